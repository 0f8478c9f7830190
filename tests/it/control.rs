//! TCP 65001 and streams to a target, with `hdhomerun_config` and with clients that are played as they are.

use crate::kit::hdhr::{self, ask, frame, get, keyed, receive, receiver, reply, set};
use crate::kit::http;
use crate::kit::media::{decode_errors, inspect, read_for};
use crate::kit::{Daemon, SOON, run, wait_until};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

fn config(daemon: &Daemon, arguments: &[&str]) -> String {
    let address = daemon.address().to_string();
    let (_, said) = run("hdhomerun_config", &[&[address.as_str()], arguments].concat());
    said.trim_end().to_owned()
}

fn connect(daemon: &Daemon) -> TcpStream {
    hdhr::connect(daemon.address())
}

// ---- With the real client ---------------------------------------------------------------------------------------------

#[test]
fn every_variable_is_answered() {
    let daemon = Daemon::demo();
    let help = config(&daemon, &["get", "help"]);
    assert!(help.starts_with("Supported configuration options:"), "{help}");
    for (name, part) in [
        ("/sys/model", "hdhomerun5_atsc"),
        ("/sys/hwmodel", "HDHR5-4US"),
        ("/sys/version", "20"),
        ("/sys/features", "channelmap: "),
        ("/sys/debug", "mem: "),
        ("/sys/copyright", "tunerd"),
        ("/lineup/scan", "state=complete"),
        ("/tuner0/status", "ch=none lock=none ss=0 snq=0 seq=0 bps=0 pps=0"),
        ("/tuner0/channel", "none"),
        ("/tuner0/vchannel", "none"),
        ("/tuner0/channelmap", "us-bcast"),
        ("/tuner0/filter", "0x0000-0x1fff"),
        ("/tuner0/program", "none"),
        ("/tuner0/target", "none"),
        ("/tuner0/lockkey", "none"),
        ("/tuner0/streaminfo", "none"),
        ("/tuner3/debug", "tun: ch=none"),
    ] {
        let said = config(&daemon, &["get", name]);
        assert!(said.starts_with(part) || said.contains(part) && name.starts_with("/sys"), "{name}: {said}");
    }
    for unknown in ["/tuner4/status", "/nothing", "/tuner0/nothing", "/sys/boot"] {
        assert_eq!(config(&daemon, &["get", unknown]), "ERROR: unknown getset variable", "{unknown}");
    }
}

#[test]
fn a_scan_finds_every_channel() {
    let daemon = Daemon::demo();
    let (said, started) = (config(&daemon, &["scan", "/tuner1"]), Instant::now());
    for name in ["1.1 Demo Bars", "1.2 Demo Dawn", "1.3 Demo Grid", "1.4 Demo Tennis"] {
        assert!(said.contains(&format!("PROGRAM 1: {name}")), "{said}");
    }
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(config(&daemon, &["get", "/tuner1/lockkey"]), "none", "it unlocks in the end");
}

#[test]
fn what_is_saved_is_clean() {
    let daemon = Daemon::demo();
    let file = daemon.setup.folder.path().join("saved.ts");
    assert_eq!(config(&daemon, &["set", "/tuner0/vchannel", "1.2"]), "");
    let address = daemon.address().to_string();
    let arguments = ["-s", "INT", "6", "hdhomerun_config", &address, "save", "/tuner0", file.to_str().unwrap()];
    let (_, said) = run("timeout", &arguments);
    assert!(said.contains(" 0 network errors, 0 transport errors, 0 sequence errors"), "{said}");
    let bytes = std::fs::read(&file).unwrap();
    let report = inspect(&bytes);
    assert!(report.packets > 500 && report.gaps.is_empty(), "{report:?}");
    assert!(report.first_key_frame.is_some());
    // The library throws away what comes at first, which must not be the key frame of a channel that plays already.
    let (_, mut watcher) = http::open(daemon.address(), 5004, "/auto/v1.2");
    read_for(&mut watcher, Duration::from_secs(3));
    run("timeout", &arguments);
    let report = inspect(&std::fs::read(&file).unwrap());
    assert!(report.gaps.is_empty() && report.first_key_frame == report.first_video, "{report:?}");
    drop(watcher);
    assert_eq!(config(&daemon, &["get", "/tuner0/target"]), "none");
    daemon.wait_until_idle();
}

#[test]
fn firmware_is_refused_unless_the_owner_wants_it() {
    let daemon = Daemon::demo();
    let firmware = daemon.setup.folder.write("firmware", vec![7; 2_500]);
    let said = config(&daemon, &["upgrade", firmware.to_str().unwrap()]);
    assert!(said.contains("error sending upgrade file"), "{said}");
    daemon.wait_for_log("somebody tried to upload firmware");
    assert_eq!(config(&daemon, &["get", "/sys/model"]), "hdhomerun5_atsc", "and life goes on");
}

#[test]
fn a_key_keeps_others_out() {
    let daemon = Daemon::demo();
    assert_eq!(config(&daemon, &["set", "/tuner0/lockkey", "4711"]), "");
    assert_eq!(config(&daemon, &["get", "/tuner0/lockkey"]), "127.0.0.1");
    let said = config(&daemon, &["set", "/tuner0/channel", "auto:57000000"]);
    assert_eq!(said, "ERROR: resource locked by 127.0.0.1");
    assert_eq!(config(&daemon, &["key", "4711", "set", "/tuner0/channel", "auto:57000000"]), "");
    assert_eq!(config(&daemon, &["get", "/tuner0/channel"]), "auto:57000000");
    let refused = http::get(daemon.address(), 5004, "/tuner0/v1.3");
    assert_eq!((refused.status, refused.header("x-hdhomerun-error")), (503, Some("804 Tuner In Use")));
    // The other three are for everybody.
    let streams: Vec<TcpStream> = (2..=4)
        .map(|n| {
            let (answer, stream) = http::open(daemon.address(), 5004, &format!("/auto/v1.{n}"));
            assert_eq!(answer.status, 200);
            stream
        })
        .collect();
    let refused = http::get(daemon.address(), 5004, "/auto/v1.1");
    assert_eq!((refused.status, refused.header("x-hdhomerun-error")), (503, Some("805 All Tuners In Use")));
    drop(streams);
    assert_eq!(config(&daemon, &["set", "/tuner0/lockkey", "force"]), "");
    assert_eq!(config(&daemon, &["get", "/tuner0/lockkey"]), "none");
}

#[test]
fn who_watches_over_http_is_seen_and_not_disturbed() {
    let daemon = Daemon::demo();
    let (_, stream) = http::open(daemon.address(), 5004, "/tuner0/v1.1");
    let peer = stream.local_addr().unwrap();
    assert_eq!(config(&daemon, &["get", "/tuner0/target"]), format!("http://{peer}"));
    let status = config(&daemon, &["get", "/tuner0/status"]);
    assert!(status.contains("lock=8vsb ss=100"), "{status}");
    let said = config(&daemon, &["set", "/tuner0/channel", "none"]);
    assert!(said.starts_with("ERROR: resource locked by 127."), "{said}");
    drop(stream);
    daemon.wait_until_idle();
    assert_eq!(config(&daemon, &["set", "/tuner0/channel", "none"]), "");
}

// ---- With clients as they are -----------------------------------------------------------------------------------------

#[test]
fn frames_come_in_any_pieces_and_replies_in_one() {
    let daemon = Daemon::demo();
    let mut stream = connect(&daemon);
    stream.set_nodelay(true).unwrap();
    for byte in get("/sys/model") {
        stream.write_all(&[byte]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(reply(&mut stream), (4, "hdhomerun5_atsc".to_owned()));
    // Two at once are answered in their order.
    stream.write_all(&[get("/sys/hwmodel"), get("/tuner0/lockkey")].concat()).unwrap();
    let mut bytes = [0; 4096];
    let mut len = 0;
    while len < 68 {
        len += stream.read(&mut bytes[len..]).unwrap();
    }
    let said = String::from_utf8_lossy(&bytes[..len]).into_owned();
    assert!(said.find("HDHR5-4US").unwrap() < said.find("/tuner0/lockkey").unwrap(), "{said}");
    // An error is one tag alone, and the connection lives on.
    assert_eq!(ask(&mut stream, &get("/no/such")), (5, "ERROR: unknown getset variable".to_owned()));
    assert_eq!(ask(&mut stream, &frame(4, &[])), (5, "ERROR: malformed getset request".to_owned()));
    let (tag, help) = ask(&mut stream, &get("help"));
    assert!(tag == 4 && help.len() > 300 && help.len() < 2_020);
    // What is no frame ends it, at once.
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut bytes).unwrap(), 0);
}

#[test]
fn what_is_set_is_given_back_word_by_word() {
    // MythTV compares strings, and tunes again for ever when they differ.
    let daemon = Daemon::demo();
    let mut stream = connect(&daemon);
    for (name, value) in [
        ("/tuner2/channel", "8vsb:57000000"),
        ("/tuner2/filter", "0x0000-0x0020 0x1ffb"),
        ("/tuner2/program", "1"),
        ("/tuner2/channelmap", "eu-bcast"),
        ("/tuner2/vchannel", "1.3"),
        ("/tuner2/channel", "57000000"),
    ] {
        assert_eq!(ask(&mut stream, &set(name, value)), (4, value.to_owned()), "{name}");
        assert_eq!(ask(&mut stream, &get(name)), (4, value.to_owned()), "{name}");
    }
}

#[test]
fn tvheadend_gets_its_datagrams_without_any_keepalive() {
    let daemon = Daemon::demo();
    let (mut control, socket) = (connect(&daemon), receiver());
    let port = socket.local_addr().unwrap().port();
    assert_eq!(ask(&mut control, &set("/tuner0/lockkey", "77")).0, 4);
    for (name, value) in [
        ("/tuner0/channel", "auto:57000000".to_owned()),
        ("/tuner0/filter", "0x0000-0x1fff".to_owned()),
        ("/tuner0/target", format!("udp://127.0.0.1:{port}")),
    ] {
        assert_eq!(ask(&mut control, &keyed(name, &value, 77)), (4, value), "{name}");
    }
    let bytes = receive(&socket, 1316, Duration::from_secs(4));
    let report = inspect(&bytes);
    assert!(report.packets > 500 && report.gaps.is_empty() && report.first_key_frame.is_some(), "{report:?}");
    let (_, status) = ask(&mut control, &get("/tuner0/status"));
    assert!(!status.contains("pps=0") && status.contains("ss=100"), "{status}");
    // Only its picture, please: the filter works while it plays.
    assert_eq!(ask(&mut control, &keyed("/tuner0/filter", "0x0100", 77)).0, 4);
    receive(&socket, 1316, Duration::from_millis(500));
    let filtered = receive(&socket, 1316, Duration::from_secs(2));
    let pid = |packet: &[u8]| u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
    assert!(filtered.chunks(188).all(|packet| matches!(pid(packet), 0x100 | 0x1fff)), "picture, and filling");
    // It goes without a word; nobody is left who wants it.
    drop(control);
    wait_until("the stream ends", Duration::from_secs(60), || daemon.children().is_empty());
    let mut control = connect(&daemon);
    assert_eq!(ask(&mut control, &get("/tuner0/target")).1, "none");
}

#[test]
fn jellyfin_gets_rtp_and_no_packet_is_short() {
    let daemon = Daemon::demo();
    let (mut control, socket) = (connect(&daemon), receiver());
    let target = format!("rtp://127.0.0.1:{}", socket.local_addr().unwrap().port());
    // A bare frequency, as its old code sends it.
    assert_eq!(ask(&mut control, &set("/tuner1/channel", "63000000")).0, 4);
    assert_eq!(ask(&mut control, &set("/tuner1/program", "1")).0, 4);
    assert_eq!(ask(&mut control, &set("/tuner1/target", &target)), (4, target));
    let bytes = receive(&socket, 1328, Duration::from_secs(4));
    let capture = daemon.setup.folder.write("rtp.ts", &bytes[..bytes.len() / 188 * 188]);
    assert!(inspect(&bytes).gaps.is_empty());
    let (_, said) = run("ffprobe", &["-v", "quiet", "-show_entries", "stream=codec_name", capture.to_str().unwrap()]);
    assert!(said.contains("h264") && said.contains("aac"), "{said} {}", decode_errors(&capture));
    assert_eq!(ask(&mut control, &set("/tuner1/target", "none")).0, 4);
    wait_until("the stream ends", SOON, || daemon.children().is_empty());
}

#[test]
fn nobody_can_have_packets_sent_to_somebody_else() {
    let daemon = Daemon::demo();
    let mut control = connect(&daemon);
    assert_eq!(ask(&mut control, &set("/tuner0/channel", "auto:57000000")).0, 4);
    for target in ["udp://192.0.2.9:5000", "rtp://239.255.1.1:5000", "udp://127.0.0.1:53", "rtp://0.0.0.0:5000", "x"] {
        let (tag, said) = ask(&mut control, &set("/tuner0/target", target));
        assert!(tag == 5 && said.starts_with("ERROR: "), "{target}: {said}");
    }
    assert!(daemon.children().is_empty());
}

#[test]
fn a_receiver_that_is_gone_gets_no_more() {
    // `hdhomerun_config save` into a closed pipe dies without a word; its machine refuses what comes then.
    let daemon = Daemon::demo();
    let (mut control, socket) = (connect(&daemon), receiver());
    let target = format!("udp://127.0.0.1:{}", socket.local_addr().unwrap().port());
    assert_eq!(ask(&mut control, &set("/tuner0/vchannel", "1.4")).0, 4);
    assert_eq!(ask(&mut control, &set("/tuner0/target", &target)).0, 4);
    assert!(!receive(&socket, 1316, Duration::from_secs(2)).is_empty());
    drop(socket);
    wait_until("the stream ends", Duration::from_secs(30), || daemon.children().is_empty());
    assert_eq!(ask(&mut control, &get("/tuner0/target")).1, "none");
}

#[test]
fn connections_are_bounded_and_answers_come_in_time_while_a_source_is_silent() {
    let daemon = Daemon::demo();
    let mut open: Vec<TcpStream> = (0..16).map(|_| connect(&daemon)).collect();
    let mut one_more = TcpStream::connect(SocketAddr::from((daemon.address(), 65001))).unwrap();
    one_more.set_read_timeout(Some(SOON)).unwrap();
    // A reset is as good as an end; a silence is none.
    let end = one_more.read(&mut [0; 8]).or_else(|error| match error.kind() {
        ErrorKind::ConnectionReset => Ok(0),
        _ => Err(error),
    });
    assert_eq!(end.unwrap(), 0);
    let started = Instant::now();
    for stream in &mut open {
        assert_eq!(ask(stream, &get("/sys/model")).0, 4);
    }
    assert!(started.elapsed() < Duration::from_secs(2));
}

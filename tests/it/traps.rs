//! What others that pretend to be an HDHomeRun got wrong, by the numbers of the list that was made of it; each is tried
//! on the running daemon through its doors.
//!
//! What needs a network of its own (16, 26, 48 to 50) is in `network.rs`, where each test names its number. Not here:
//! the model's name as a promise to transcode (32), which belongs to those who know whether it does, and what no code
//! can answer (51: a container without broadcasts; the README says so).

use crate::kit::fakeff::{Fake, address_of, key_of};
use crate::kit::hdhr::{self, SEARCHES, ask, bytes, frame, get, keyed, receive, receiver, set, tag_text, tags};
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, SOON, Setup, http, run, wait_until};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// In which control answers, whatever goes on.
const CONTROL_MAX: Duration = Duration::from_millis(250);

fn search(daemon: &Daemon, request: &str) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.send_to(&bytes(request), (daemon.address(), hdhr::PORT)).unwrap();
    let mut reply = vec![0; 2048];
    let len = socket.recv(&mut reply).unwrap();
    reply.truncate(len);
    reply
}

fn json(daemon: &Daemon, target: &str) -> Value {
    serde_json::from_slice(&daemon.get(target).body).unwrap()
}

fn value(stream: &mut TcpStream, name: &str) -> String {
    let (tag, value) = ask(stream, &get(name));
    assert_eq!(tag, 4, "{name}: {value}");
    value
}

/// What an error is: one text, in the one tag of its frame.
fn error(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    let mut bytes = [0; 4096];
    let len = stream.read(&mut bytes).unwrap();
    let [(tag, text)] = &tags(&bytes[..len])[..] else { panic!("an error stands alone") };
    assert_eq!((*tag, text.last()), (5, Some(&0)));
    String::from_utf8(text[..text.len() - 1].to_vec()).unwrap()
}

/// A playlist of so many channels that are never played.
fn many(channels_len: usize) -> Daemon {
    let mut setup = Setup::new();
    let playlist = (1..=channels_len).fold("#EXTM3U\n".to_owned(), |mut all, n| {
        writeln!(all, "#EXTINF:-1 tvg-chno=\"{n}\",Channel Number {n}\nhttp://127.0.0.1:9/{n}.ts").unwrap();
        all
    });
    setup.playlist(playlist);
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    daemon
}

fn post(daemon: &Daemon, query: &str) -> http::Answer {
    let address = daemon.address();
    http::ask(address, 8080, &format!("POST /lineup.post?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

// ---- Discovery and control --------------------------------------------------------------------------------------------

#[test]
fn trap_01_searches_have_no_fixed_layout() {
    let daemon = Daemon::demo();
    let unknown_first = frame(2, &bytes("7f03aabbcc 2d0800000005 00000001"));
    let by_id = u32::from_str_radix(daemon.status()["device_id"].as_str().unwrap(), 16).unwrap();
    let id_first = frame(2, &[&bytes("0204"), &by_id.to_be_bytes()[..], &bytes("010400000001")].concat());
    let made = [unknown_first, id_first]
        .map(|frame| frame.iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}")));
    for request in SEARCHES.iter().copied().chain(made.iter().map(String::as_str)) {
        assert_eq!(search(&daemon, request)[..2], [0, 3], "{request}");
    }
}

#[test]
fn trap_02_and_03_a_reply_names_its_type_for_old_and_new_clients() {
    let daemon = Daemon::demo();
    for request in SEARCHES {
        assert_eq!(tags(&search(&daemon, request))[0], (1, vec![0, 0, 0, 1]), "{request}");
    }
}

#[test]
fn trap_04_who_answers_over_tcp_answers_over_udp() {
    let daemon = Daemon::demo();
    search(&daemon, SEARCHES[0]);
    assert_eq!(value(&mut hdhr::connect(daemon.address()), "/sys/model"), "hdhomerun5_atsc");
}

#[test]
fn trap_05_40_and_46_an_id_is_valid_and_nobody_elses() {
    let daemons = [Daemon::demo(), Daemon::demo(), Daemon::demo()];
    let ids = daemons.each_ref().map(|daemon| {
        let reply = search(daemon, SEARCHES[0]);
        let id = tags(&reply).into_iter().find(|(tag, _)| *tag == 2).unwrap().1;
        let id = id.iter().fold(String::new(), |all, byte| all + &format!("{byte:02X}"));
        assert_eq!(json(daemon, "/discover.json")["DeviceID"], id.as_str(), "the same in every door");
        assert!(daemon.get("/device.xml").text().contains(&format!("<serialNumber>{id}</serialNumber>")));
        // The library itself is asked: it takes no id whose check digit is wrong.
        let (_, said) = run("hdhomerun_config", &[&daemon.address().to_string(), "get", "/sys/hwmodel"]);
        assert_eq!(said.trim(), "HDHR5-4US");
        id
    });
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    // For life: a new start, and another version, find it in the state.
    let [first, ..] = daemons;
    let setup = first.setup.clone();
    drop(first);
    assert_eq!(setup.start().status()["device_id"], ids[0].as_str());
}

#[test]
fn trap_06_and_17_addresses_are_short_literals_that_lead_somewhere() {
    let daemon = Daemon::demo();
    let reply = search(&daemon, SEARCHES[2]);
    let (base, lineup) = (tag_text(&reply, 0x2A), tag_text(&reply, 0x27));
    assert!(base.len() <= 28 && lineup.len() <= 127, "{base} {lineup}");
    assert_eq!(base, format!("http://{}:8080", daemon.address()));
    assert_eq!(lineup, format!("{base}/lineup.json"));
    assert!(daemon.get("/lineup.json").text().starts_with("[{\"GuideNumber\""), "a lineup, and no other document");
}

#[test]
fn trap_07_08_14_and_15_replies_end_with_nul_fit_and_come_in_one_piece() {
    // The lineup with the longest lists of programmes.
    let daemon = many(3_000);
    let mut stream = hdhr::connect(daemon.address());
    let mut longest = 0;
    for name in ["help", "/sys/features", "/sys/debug", "/sys/copyright", "/tuner0/debug", "/tuner0/streaminfo"] {
        if name.ends_with("streaminfo") {
            assert_eq!(ask(&mut stream, &set("/tuner0/channel", "auto:57000000")).0, 4);
        }
        stream.write_all(&get(name)).unwrap();
        let mut bytes = [0; 4096];
        let len = stream.read(&mut bytes).unwrap();
        // The frame's own length, its check sum and both NULs.
        let tags = tags(&bytes[..len]);
        assert!(len <= 2_046, "{name}: {len}");
        assert!(tags.len() == 2 && tags.iter().all(|(_, text)| text.last() == Some(&0)), "{name}");
        longest = longest.max(tags[1].1.len());
    }
    assert!(longest > 1_200, "the largest was large: {longest}");
}

#[test]
fn trap_09_an_error_is_one_tag_alone() {
    let daemon = Daemon::demo();
    let mut stream = hdhr::connect(daemon.address());
    for name in ["/nothing", "/tuner0/nothing", "/card/status", "/oob/status", "/hdd/status", ""] {
        assert_eq!(error(&mut stream, &get(name)), "ERROR: unknown getset variable", "{name}");
    }
    // As a real unit was heard to say it, byte by byte.
    stream.write_all(&get("/x")).unwrap();
    let mut bytes = [0; 100];
    let len = stream.read(&mut bytes).unwrap();
    let golden = "00050021 051f 4552524f523a20756e6b6e6f776e20676574736574207661726961626c6500 a7b780f0";
    assert_eq!(bytes[..len], hdhr::bytes(golden));
}

#[test]
fn trap_09a_frames_come_in_any_pieces() {
    let daemon = Daemon::demo();
    let mut stream = hdhr::connect(daemon.address());
    stream.set_nodelay(true).unwrap();
    let all: Vec<u8> = (0..20).flat_map(|_| get("/sys/version")).collect();
    for piece in all.chunks(7) {
        stream.write_all(piece).unwrap();
    }
    let mut bytes = vec![0; 20 * 34];
    stream.read_exact(&mut bytes).unwrap();
    assert!(bytes.chunks(34).all(|frame| tags(frame).len() == 2));
}

#[test]
fn trap_09b_names_with_blanks_do_not_break_a_status() {
    let daemon = Daemon::demo();
    let (_, _picture) = http::open(daemon.address(), 5004, "/tuner1/v1.2");
    let mut stream = hdhr::connect(daemon.address());
    for (name, wanted) in [
        ("status", ["ch=", "lock=", "ss=", "snq=", "seq=", "bps=", "pps="].as_slice()),
        ("vstatus", &["vch=", "name=", "auth=", "cci=", "cgms="]),
    ] {
        let text = value(&mut stream, &format!("/tuner1/{name}"));
        let words: Vec<&str> = text.split(' ').collect();
        assert!(
            words.len() == wanted.len() && words.iter().zip(wanted).all(|(word, key)| word.starts_with(key)),
            "{text}"
        );
    }
}

#[test]
fn trap_10_a_tuner_can_be_locked_and_is_none_when_idle() {
    let daemon = Daemon::demo();
    let (mut one, mut other) = (hdhr::connect(daemon.address()), hdhr::connect(daemon.address()));
    assert_eq!(value(&mut one, "/tuner0/lockkey"), "none");
    assert_eq!(ask(&mut one, &set("/tuner0/lockkey", "4208222852")).0, 4);
    assert_eq!(value(&mut other, "/tuner0/lockkey"), "127.0.0.1");
    let locked = "ERROR: resource locked by 127.0.0.1";
    for request in [set("/tuner0/channel", "auto:57000000"), keyed("/tuner0/channel", "auto:57000000", 1)] {
        assert_eq!(error(&mut other, &request), locked);
    }
    assert_eq!(ask(&mut other, &keyed("/tuner0/lockkey", "4208222852", 4_208_222_852)).0, 4, "once more, with its key");
    assert_eq!(error(&mut other, &set("/tuner0/lockkey", "none")), locked);
    assert_eq!(ask(&mut one, &keyed("/tuner0/lockkey", "none", 4_208_222_852)).0, 4);
    assert_eq!(value(&mut other, "/tuner0/lockkey"), "none");
}

#[test]
fn trap_11_a_connection_lives_on() {
    let daemon = Daemon::demo();
    let mut stream = hdhr::connect(daemon.address());
    for _ in 0..200 {
        assert_eq!(value(&mut stream, "/sys/model"), "hdhomerun5_atsc");
        assert_eq!(error(&mut stream, &get("/nothing")), "ERROR: unknown getset variable");
    }
}

#[test]
fn trap_12_there_are_as_many_tuners_as_we_said() {
    let daemon = Daemon::demo();
    let mut stream = hdhr::connect(daemon.address());
    assert_eq!(value(&mut stream, "/tuner3/lockkey"), "none");
    for tuner in ["4", "5", "255", "256", "65536", "4294967296", "-1", "+1", "0x0", "03", "", " 0"] {
        let said = error(&mut stream, &get(&format!("/tuner{tuner}/lockkey")));
        assert_eq!(said, "ERROR: unknown getset variable", "{tuner}");
    }
    for tuner in ["4", "99", "256"] {
        let answer = http::get(daemon.address(), 5004, &format!("/tuner{tuner}/v1.1"));
        assert_eq!((answer.status, answer.header("x-hdhomerun-error")), (404, Some("801 Unknown Channel")), "{tuner}");
    }
}

#[test]
fn trap_13_and_19_a_silent_source_delays_no_reply_and_hides_no_signal() {
    // At stake: clients give up after 2.5 seconds, and take a weak signal for none.
    let (_fake, daemon) = Fake::daemon(&[("silent", "silent"), ("dead", "exit_after=0, exit_code=1")]);
    let (mut stream, socket) = (hdhr::connect(daemon.address()), receiver());
    let target = format!("udp://127.0.0.1:{}", socket.local_addr().unwrap().port());
    let mut slowest = Duration::ZERO;
    for (tuner, number) in [("tuner0", "1"), ("tuner1", "2")] {
        for (name, what) in [("vchannel", number), ("target", &target)] {
            let asked = Instant::now();
            assert_eq!(ask(&mut stream, &set(&format!("/{tuner}/{name}"), what)).0, 4);
            slowest = slowest.max(asked.elapsed());
        }
    }
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        for tuner in ["tuner0", "tuner1"] {
            let asked = Instant::now();
            let status = value(&mut stream, &format!("/{tuner}/status"));
            slowest = slowest.max(asked.elapsed());
            let strength: u8 = status.split(" ss=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!(strength >= 45 && !status.contains("lock=none"), "{status}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(slowest < CONTROL_MAX, "{slowest:?}");
}

#[test]
fn trap_18_what_was_set_is_given_back_word_by_word() {
    let daemon = Daemon::demo();
    let mut stream = hdhr::connect(daemon.address());
    for (name, text) in [
        ("channel", "8vsb:57000000"),
        ("filter", "0x0000-0x0020 0x1ffb"),
        ("program", "1"),
        ("channelmap", "us-cable"),
        ("channel", "qam:63000000"),
        ("channel", "auto:2"),
        ("program", "0"),
        ("vchannel", "1.3"),
    ] {
        let name = format!("/tuner2/{name}");
        assert_eq!(ask(&mut stream, &set(&name, text)), (4, text.to_owned()), "{name}");
        assert_eq!(value(&mut stream, &name), text, "{name}");
    }
}

#[test]
fn trap_20_every_programme_has_a_number_a_name_and_data() {
    for daemon in [Daemon::demo(), many(120)] {
        let mut stream = hdhr::connect(daemon.address());
        assert_eq!(value(&mut stream, "/tuner0/streaminfo"), "none");
        assert_eq!(ask(&mut stream, &set("/tuner0/channel", "auto:57000000")).0, 4);
        let info = value(&mut stream, "/tuner0/streaminfo");
        let (programmes, end) = info.split_once("tsid=0x").unwrap();
        assert!(end.len() == 5 && end.ends_with('\n') && !info.contains('('), "{info}");
        for (index, line) in programmes.lines().enumerate() {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            assert_eq!(words[0], format!("{}:", index + 1), "{info}");
            assert!(words[1].split('.').next().unwrap() != "0" && !words[2].is_empty(), "{info}");
        }
    }
}

#[test]
fn trap_21_and_22_datagrams_have_the_size_and_the_head_that_was_asked_for() {
    let (_fake, daemon) = Fake::daemon(&[("good", "live")]);
    for (scheme, size) in [("udp://", 1_316), ("", 1_316), ("rtp://", 1_328)] {
        let (mut stream, socket) = (hdhr::connect(daemon.address()), receiver());
        assert_eq!(ask(&mut stream, &set("/tuner0/vchannel", "1")).0, 4);
        let target = format!("{scheme}127.0.0.1:{}", socket.local_addr().unwrap().port());
        assert_eq!(ask(&mut stream, &set("/tuner0/target", &target)), (4, target.clone()));
        socket.set_read_timeout(Some(SOON)).unwrap();
        let (mut datagram, mut sequence) = ([0; 2_000], None);
        for _ in 0..50 {
            let len = socket.recv(&mut datagram).unwrap();
            assert_eq!(len, size, "{target}");
            if size == 1_328 {
                assert_eq!(datagram[..2], [0x80, 33], "version 2, an MPEG transport stream");
                let number = u16::from_be_bytes([datagram[2], datagram[3]]);
                assert!(sequence.is_none_or(|before: u16| before.wrapping_add(1) == number));
                sequence = Some(number);
            }
            assert!(datagram[size - 1_316..size].chunks(188).all(|packet| packet[0] == 0x47));
        }
        assert_eq!(ask(&mut stream, &set("/tuner0/target", "none")).0, 4);
    }
}

#[test]
fn trap_23_nobody_is_sent_packets_for_ever() {
    // Three who never say farewell: one closes his connection, one dies, one forgets to send keepalives.
    let (_fake, daemon) = Fake::daemon(&[("good", "live")]);
    let start = |tuner: &str, socket: &UdpSocket| {
        let mut stream = hdhr::connect(daemon.address());
        assert_eq!(ask(&mut stream, &set(&format!("/{tuner}/vchannel"), "1")).0, 4);
        let target = format!("udp://127.0.0.1:{}", socket.local_addr().unwrap().port());
        assert_eq!(ask(&mut stream, &set(&format!("/{tuner}/target"), &target)).0, 4);
        assert!(!receive(socket, 1_316, Duration::from_secs(1)).is_empty());
        stream
    };
    let (closed, dead, silent) = (receiver(), receiver(), receiver());
    drop(start("tuner0", &closed));
    let _open = start("tuner1", &dead);
    drop(dead);
    let _kept = start("tuner2", &silent);
    silent.send_to(&[0; 4], (daemon.address(), 5_004)).unwrap();
    // Who asks over control, from the same address, may be the one who was lost: so nobody asks.
    wait_until("all three are over", Duration::from_secs(70), || daemon.children().is_empty());
    let mut stream = hdhr::connect(daemon.address());
    for tuner in ["tuner0", "tuner1", "tuner2"] {
        assert_eq!(value(&mut stream, &format!("/{tuner}/target")), "none");
    }
    daemon.wait_until_idle();
    assert!(receive(&silent, 1_316, Duration::from_secs(1)).len() <= 400 * 1_316, "what was on its way, no more");
}

#[test]
fn trap_24_25_and_54_an_upload_is_answered_once_at_its_end_with_a_no() {
    let daemon = Daemon::demo();
    let mut stream = hdhr::connect(daemon.address());
    let piece = |offset: u32| frame(6, &[&offset.to_be_bytes()[..], &[7; 1_024]].concat());
    stream.write_all(&[piece(0), piece(1_024)].concat()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    assert!(stream.read(&mut [0; 100]).is_err(), "no word before the end");
    stream.set_read_timeout(Some(SOON)).unwrap();
    // The end, on this connection and on one that never sent a piece.
    for mut stream in [stream, hdhr::connect(daemon.address())] {
        stream.write_all(&bytes("00060004ffffffff706cc92d")).unwrap();
        let mut answer = [0; 200];
        let len = stream.read(&mut answer).unwrap();
        assert_eq!(answer[..2], [0, 7]);
        assert!(tag_text(&answer[..len], 5).starts_with("ERROR: "));
        assert_eq!(value(&mut stream, "/sys/model"), "hdhomerun5_atsc");
    }
    // The real client's exit code says nothing; its words do.
    let file = daemon.setup.folder.write("image", vec![1; 2_500]);
    let (_, said) = run("hdhomerun_config", &[&daemon.address().to_string(), "upgrade", file.to_str().unwrap()]);
    assert!(said.contains("error sending upgrade file to hdhomerun device"), "{said}");
}

// ---- HTTP -------------------------------------------------------------------------------------------------------------

#[test]
fn trap_27_28_29_and_53_numbers_are_numbers_and_names_are_text() {
    let mut setup = Setup::new();
    let channels = ["2.1", "2.10", "2.100", "2", "20"];
    let playlist = channels.iter().fold("#EXTM3U\n".to_owned(), |all, number| {
        all + &format!("#EXTINF:-1 tvg-chno=\"{number}\",No {number}\nhttp://127.0.0.1:9/x.ts?{number}\n")
    });
    setup.playlist(playlist);
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let discover = json(&daemon, "/discover.json");
    assert_eq!(discover["TunerCount"], 4);
    let version = discover["FirmwareVersion"].as_str().unwrap();
    assert!(version.len() == 8 && version.starts_with("20") && version.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(value(&mut hdhr::connect(daemon.address()), "/sys/version"), version);
    let lineup = json(&daemon, "/lineup.json?show=all");
    let mut numbers: Vec<&str> =
        lineup.as_array().unwrap().iter().map(|row| row["GuideNumber"].as_str().unwrap()).collect();
    assert!(lineup.as_array().unwrap().iter().all(|row| row["Enabled"] == 1));
    numbers.sort_unstable();
    assert!(numbers == ["2", "2.1", "2.10", "2.100", "20"], "{numbers:?}");
    let status = json(&daemon, "/lineup_status.json");
    assert_eq!((&status["ScanInProgress"], &status["ScanPossible"]), (&0.into(), &1.into()));
}

#[test]
fn trap_30_a_lineup_that_is_still_loading_is_no_empty_one() {
    let source = Source::silent();
    let mut setup = Setup::new();
    setup.set("lineup", &format!("playlist = {:?}", source.url("/list.m3u")));
    let daemon = setup.start();
    for target in ["/lineup.json", "/lineup.xml", "/lineup.m3u", "/lineup.html", "/xmltv.xml", "/auto/v1"] {
        let answer = daemon.get(target);
        assert_eq!(answer.status, 503, "{target}");
        assert!(answer.header("retry-after").is_some(), "{target}");
    }
    assert_eq!(daemon.get("/discover.json").status, 200);
    assert_eq!(json(&daemon, "/lineup_status.json")["ScanInProgress"], 1);
}

#[test]
fn trap_31_33_34_36_and_37_a_stream_is_one_at_its_address() {
    let daemon = Daemon::demo();
    let url = json(&daemon, "/lineup.json")[0]["URL"].as_str().unwrap().to_owned();
    assert!(!url.contains('?'), "{url}");
    let path = url.strip_prefix(&format!("http://{}:5004", daemon.address())).unwrap();
    // As clients write it, without looking; and FFmpeg's own head.
    for (query, more) in [("?transcode=none", ""), ("?a?transcode=none&b", "Range: bytes=0-\r\nIcy-MetaData: 1\r\n")] {
        let asked = Instant::now();
        let mut stream = http::connect(daemon.address(), 5004);
        write!(stream, "GET {path}{query} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Lavf/60.16.100\r\n{more}\r\n")
            .unwrap();
        let mut start = [0; 2_000];
        stream.read_exact(&mut start).unwrap();
        assert!(start.starts_with(b"HTTP/1.1 200 "), "no other place, no part");
        assert!(asked.elapsed() < Duration::from_secs(6), "Channels waits no longer: {:?}", asked.elapsed());
    }
    daemon.wait_until_idle();
    for (target, status, code) in
        [("/auto/v9", 404, "801 Unknown Channel"), ("/auto/v1.1?transcode=x", 503, "802 Unknown Transcode Profile")]
    {
        let answer = http::get(daemon.address(), 5004, target);
        assert_eq!((answer.status, answer.header("x-hdhomerun-error"), answer.body.len()), (status, Some(code), 0));
    }
}

#[test]
fn trap_35_tuners_come_back_and_nobody_loses_his() {
    let (_fake, daemon) = Fake::daemon(&[("a", "live"), ("b", "live"), ("c", "live"), ("d", "live"), ("e", "live")]);
    for _ in 0..3 {
        let mut streams: Vec<TcpStream> =
            (1..=4).map(|n| http::open(daemon.address(), 5004, &format!("/auto/v{n}")).1).collect();
        let fifth = http::get(daemon.address(), 5004, "/auto/v5");
        assert_eq!((fifth.status, fifth.header("x-hdhomerun-error")), (503, Some("805 All Tuners In Use")));
        let one = http::get(daemon.address(), 5004, "/tuner0/v5");
        assert_eq!((one.status, one.header("x-hdhomerun-error")), (503, Some("804 Tuner In Use")));
        for stream in &mut streams {
            stream.read_exact(&mut vec![0; 100_000]).unwrap();
        }
        drop(streams);
        daemon.wait_until_idle();
    }
}

#[test]
fn trap_38_more_channels_than_plex_takes_are_served_and_said() {
    let daemon = many(481);
    assert_eq!(daemon.channels().len(), 481);
    daemon.wait_for_log("Plex takes 480 channels");
    assert!(!many(480).has_logged("Plex takes 480 channels"));
}

#[test]
fn trap_39_and_43_numbers_are_plain_and_no_two_are_the_same() {
    let mut setup = Setup::new();
    let wanted = ["5", "5", "5.1", "5_1", "5-1", "HBO", "5.1", ""];
    let playlist = wanted.iter().enumerate().fold("#EXTM3U\n".to_owned(), |all, (n, number)| {
        all + &format!("#EXTINF:-1 tvg-chno=\"{number}\",Name {n}\nhttp://127.0.0.1:9/{n}.ts\n")
    });
    setup.playlist(playlist);
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let mut numbers: Vec<String> = daemon.channels().into_iter().map(|(number, _)| number).collect();
    assert!(
        numbers.iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')),
        "{numbers:?}"
    );
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), wanted.len(), "{numbers:?}");
}

#[test]
fn trap_41_and_52_a_port_that_is_taken_is_said_and_costs_nothing_else() {
    // 80 is never to be had on this address: somebody holds it, or we are nobody.
    let mut setup = Setup::new();
    let _taken = TcpListener::bind((setup.address, 80));
    let _control = TcpListener::bind((setup.address, hdhr::PORT)).unwrap();
    let _discovery = UdpSocket::bind((setup.address, hdhr::PORT)).unwrap();
    setup.default_page_port();
    let daemon = setup.start();
    daemon.wait_for_lineup();
    daemon.wait_for_log("port 80 cannot be opened, so the page is on port 8080; some clients look on port 80 only");
    for (topic, words) in [("control-port", "TCP port 65001 cannot be opened"), ("discovery-port", "UDP port 65001")] {
        let said = daemon.problem(topic).unwrap_or_default();
        assert!(said.contains(words) && said.contains("Stop the other tuner program"), "{topic}: {said}");
    }
    assert_eq!(json(&daemon, "/discover.json")["BaseURL"], format!("http://{}:8080", daemon.address()));
    assert_eq!(http::get(daemon.address(), 5004, "/lineup.json").status, 200);
}

#[test]
fn trap_42_a_plus_is_a_plus_and_marks_are_kept() {
    let daemon = Daemon::demo();
    let row = |daemon: &Daemon, number: &str| {
        let all = json(daemon, "/lineup.json?show=all");
        all.as_array().unwrap().iter().find(|row| row["GuideNumber"] == number).unwrap().clone()
    };
    for (query, favorite, enabled) in
        [("+1.2", Some(1), 1), ("-1.2", None, 1), ("x1.2", None, 0), ("-1.2", None, 1), ("%2B1.2", Some(1), 1)]
    {
        let answer = post(&daemon, &format!("favorite={query}"));
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{query}");
        let row = row(&daemon, "1.2");
        assert_eq!(
            (row.get("Favorite").and_then(Value::as_i64), &row["Enabled"]),
            (favorite, &enabled.into()),
            "{query}"
        );
    }
    assert_eq!(post(&daemon, "favorite=x1.3").status, 200);
    assert_eq!(post(&daemon, "favorite=+9.9").status, 404);
    for wrong in ["", "favorite=", "favorite=1.2", "scan", "scan=maybe"] {
        assert_eq!(post(&daemon, wrong).status, 400, "{wrong}");
    }
    let shown = |daemon: &Daemon| daemon.channels().into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    assert_eq!(shown(&daemon), ["1.1", "1.2", "1.4"]);
    for target in ["/lineup.m3u", "/lineup.xml", "/lineup.html", "/xmltv.xml"] {
        assert!(!daemon.get(target).text().contains("Demo Grid"), "{target}");
    }
    // Hidden is not gone: who knows it may watch it.
    assert_eq!(http::open(daemon.address(), 5004, "/auto/v1.3").0.status, 200);
    // And all that survives.
    let setup = daemon.setup.clone();
    drop(daemon);
    let again = setup.start();
    again.wait_for_lineup();
    assert_eq!(shown(&again), ["1.1", "1.2", "1.4"]);
    assert_eq!(row(&again, "1.2")["Favorite"], 1);
}

#[test]
fn trap_44_and_45_everybody_in_the_house_is_answered_with_addresses_that_he_can_use() {
    let mut setup = Setup::new();
    setup.set("access", "names = [\"192.168.7.7\"]");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let address = daemon.address();
    for (host, base, stream) in [
        (address.to_string(), format!("http://{address}:8080"), format!("http://{address}:5004")),
        (format!("{address}:8080"), format!("http://{address}:8080"), format!("http://{address}:5004")),
        // Somebody in between has another address, which the owner has named, and another port.
        ("192.168.7.7:8080".into(), "http://192.168.7.7:8080".into(), "http://192.168.7.7:5004".into()),
        ("192.168.7.7".into(), "http://192.168.7.7:80".into(), "http://192.168.7.7:80".into()),
        ("tunerd.local:8080".into(), format!("http://{address}:8080"), format!("http://{address}:5004")),
    ] {
        let ask = |target: &str| {
            let answer = http::ask(
                address,
                8080,
                &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            );
            assert_eq!(answer.status, 200, "{host}: no password");
            answer.text().to_owned()
        };
        let discover: Value = serde_json::from_str(&ask("/discover.json")).unwrap();
        assert_eq!(
            (&discover["BaseURL"], &discover["LineupURL"]),
            (&base.as_str().into(), &format!("{base}/lineup.json").into()),
            "{host}"
        );
        assert!(ask("/lineup.json").contains(&format!("\"{stream}/auto/v1.1\"")), "{host}");
    }
}

#[test]
fn trap_47_the_guide_calls_channels_as_the_lineup_does() {
    let daemon = Daemon::demo();
    let guide = daemon.get("/xmltv.xml");
    for (number, name) in daemon.channels() {
        let from = guide.text().split(&format!("<channel id=\"{number}\">")).nth(1).unwrap();
        let channel = from.split("</channel>").next().unwrap();
        for text in [&number, &name] {
            assert!(channel.contains(&format!("<display-name>{text}</display-name>")), "{channel}");
        }
    }
}

// ---- What is beside the list ------------------------------------------------------------------------------------------

#[test]
fn a_scan_reads_the_playlist_again_and_tells_how_far_it_is() {
    let source = Source::document("#EXTM3U\n#EXTINF:-1 tvg-chno=\"5\",Five\nhttp://127.0.0.1:9/5.ts\n");
    let mut setup = Setup::new();
    setup.set("lineup", &format!("playlist = {:?}", source.url("/list.m3u")));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    wait_until("the first one is over", SOON, || !daemon.is_scanning());
    let entries = |numbers: std::ops::RangeInclusive<u32>| {
        numbers.fold(String::new(), |all, n| {
            all + &format!("#EXTINF:-1 tvg-chno=\"{n}\",No {n}\nhttp://127.0.0.1:9/{n}.ts\n")
        })
    };
    let (first, second) = (format!("#EXTM3U\n{}", entries(1..=30)), entries(31..=40));
    source.turn(Manner::halting(&first, &second));
    assert_eq!(post(&daemon, "scan=start&source=Cable").status, 200);
    let mut stream = hdhr::connect(daemon.address());
    let mut status = Value::Null;
    wait_until("it has found most of them", SOON, || {
        status = json(&daemon, "/lineup_status.json");
        status["Found"].as_u64().is_some_and(|found| found >= 29)
    });
    assert_eq!(status["ScanInProgress"], 1);
    assert!(status.get("Source").is_none() && status["Progress"].as_u64().unwrap() < 100, "{status}");
    assert!(value(&mut stream, "/lineup/scan").starts_with("state=running progress="));
    assert_eq!(daemon.channels().len(), 1, "the old ones stay until it is done");
    // Nobody wants it any more.
    assert_eq!(post(&daemon, "scan=abort").status, 200);
    wait_until("it is over", SOON, || !daemon.is_scanning());
    assert_eq!(daemon.channels().len(), 1);
    source.turn(Manner::document(format!("{first}{second}")));
    assert_eq!(ask(&mut stream, &set("/lineup/scan", "start")).0, 4, "control can do it, too");
    wait_until("it is over", SOON, || !daemon.is_scanning());
    assert_eq!(daemon.channels().len(), 40);
    assert_eq!(value(&mut stream, "/lineup/scan"), "state=complete progress=100% found=40");
}

#[test]
fn a_programme_has_the_number_that_clients_were_told() {
    // 120 channels on 49 frequencies: three on each, and every child calls its own number 1.
    let mut setup = Setup::new();
    let fake = Fake::install(&mut setup);
    fake.script("*: live\n");
    setup.playlist((1..=120).fold("#EXTM3U\n".to_owned(), |all, n| {
        all + &format!("#EXTINF:-1 tvg-chno=\"{n}\",No {n}\n{}\n", address_of(&format!("c{n}")))
    }));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let (mut stream, socket) = (hdhr::connect(daemon.address()), receiver());
    assert_eq!(ask(&mut stream, &set("/tuner0/channel", "auto:63000000")).0, 4);
    let info = value(&mut stream, "/tuner0/streaminfo");
    assert!(info.contains("3: 6 No 6\n"), "{info}");
    let tsid = u16::from_str_radix(info.split("tsid=0x").nth(1).unwrap().trim(), 16).unwrap();
    assert_eq!(ask(&mut stream, &set("/tuner0/program", "3")).0, 4);
    let target = format!("udp://127.0.0.1:{}", socket.local_addr().unwrap().port());
    assert_eq!(ask(&mut stream, &set("/tuner0/target", &target)).0, 4);
    let packets = receive(&socket, 1_316, Duration::from_secs(2));
    let capture = daemon.setup.folder.write("mux.ts", &packets);
    let arguments =
        ["-v", "error", "-show_entries", "program=program_id,pmt_pid", "-of", "csv=p=0", capture.to_str().unwrap()];
    let (_, said) = run("ffprobe", &arguments);
    assert!(said.lines().next().unwrap_or_default().starts_with("3,"), "{said}");
    let pat = packets.chunks(188).find(|packet| packet[1] & 0x5f == 0x40 && packet[2] == 0).unwrap();
    assert_eq!(u16::from_be_bytes([pat[8], pat[9]]), tsid);
    let starts = |name: &str| {
        fake.log().iter().filter(|line| line.event == "start" && line.more.contains(&key_of(name))).count()
    };
    assert_eq!((starts("c6"), starts("c4")), (1, 0), "and it is that channel");
    // Another programme of the same mux, while it plays.
    assert_eq!(ask(&mut stream, &set("/tuner0/program", "1")).0, 4);
    wait_until("the other one plays", SOON, || starts("c4") == 1);
}

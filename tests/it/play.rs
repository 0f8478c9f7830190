//! Watching: the way from a source through a child, a ring and a socket, and what happens when a part of it dies.

use crate::kit::media::{decode_errors, inspect, make, make_ts, payload_hashes, read_bytes, read_for};
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Folder, Setup, http, is_alive, run, send, wait_until};
use nix::sys::signal::Signal;
use std::fs;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

fn open(daemon: &Daemon, target: &str) -> TcpStream {
    let (answer, stream) = http::open(daemon.address(), 5004, target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.head);
    stream
}

fn viewers(daemon: &Daemon) -> usize {
    let status = daemon.status();
    status["tuners"].as_array().unwrap().iter().map(|tuner| tuner["viewers"].as_array().unwrap().len()).sum()
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_demo_channel_plays_without_a_flaw() {
    let daemon = Daemon::demo();
    let mut stream = open(&daemon, "/auto/v1.1");
    let bytes = read_for(&mut stream, Duration::from_secs(20));
    let report = inspect(&bytes);
    assert!(report.packets > 1_000, "{report:?}");
    assert!(report.gaps.is_empty(), "{report:?}");
    let capture = daemon.setup.folder.write("capture.ts", &bytes[..bytes.len() / 188 * 188]);
    assert_eq!(decode_errors(&capture), "");
    let entries = "stream=codec_name,channels,width,height";
    let arguments = ["-v", "error", "-show_entries", entries, "-of", "compact=p=0", capture.to_str().unwrap()];
    let (_, streams) = run("ffprobe", &arguments);
    assert!(streams.contains("codec_name=h264|width=640|height=360"), "{streams}");
    assert!(streams.contains("codec_name=aac|channels=2"), "{streams}");
    let frames = ["-v", "error", "-select_streams", "v", "-show_entries", "frame=key_frame", "-of", "csv=p=0"];
    let (_, frames) = run("ffprobe", &[&frames[..], &[capture.to_str().unwrap()]].concat());
    let (keys, all) = (frames.matches('1').count(), frames.lines().filter(|line| !line.is_empty()).count());
    assert!((15..=24).contains(&keys), "a key frame each second, in 20 s: {keys} of {all}");
}

#[test]
fn ffprobe_and_ffmpeg_play_it_as_clients_do() {
    let daemon = Daemon::demo();
    let url = format!("http://{}:5004/auto/v1.2", daemon.address());
    let (status, said) = run("ffprobe", &["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &url]);
    assert!(status.success() && said.contains("h264") && said.contains("aac"), "{said}");
    let (status, said) = run("ffmpeg", &["-v", "error", "-nostdin", "-t", "6", "-i", &url, "-f", "null", "-"]);
    assert!(status.success(), "{said}");
    assert_eq!(said, "");
}

#[test]
fn a_source_that_needs_no_encoding_arrives_bit_for_bit() {
    let folder = Folder::new();
    let file = make_ts(&folder.path().join("source.ts"), 12);
    let source = Source::file(&file);
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,File\n{}\n", source.url("/file.ts")));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let mut stream = open(&daemon, "/auto/v1");
    // A stream that ends is asked for again; then there is nothing, and the viewer is held by empty packets.
    wait_until("the source is asked", Duration::from_secs(5), || source.connections() == 1);
    source.turn(Manner::Fixed(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n".to_vec()));
    let mut bytes = Vec::new();
    loop {
        let packet = read_bytes(&mut stream, 188);
        if packet[1] & 0x1f == 0x1f && packet[2] == 0xff {
            break;
        }
        bytes.extend(packet);
    }
    assert!(inspect(&bytes).gaps.is_empty());
    let capture = folder.write("capture.ts", &bytes);
    assert_eq!(payload_hashes(&capture), payload_hashes(&file));
    drop(stream);
    daemon.wait_until_idle();
}

#[test]
fn eight_viewers_share_one_connection_and_miss_nothing() {
    // At stake: a box that opens its provider's stream once for each viewer is thrown out by the provider. Eight
    // viewers come at different moments; each must get every packet from his first one on.
    let folder = Folder::new();
    let source = Source::live(&make_ts(&folder.path().join("live.ts"), 40));
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Live\n{}\n", source.url("/live.ts")));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let watch = |index: u64| {
        let address = daemon.address();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300 * index));
            let (answer, mut stream) = http::open(address, 5004, "/auto/v1");
            assert_eq!(answer.status, 200);
            read_for(&mut stream, Duration::from_secs(8))
        })
    };
    let watching: Vec<_> = (0..8).map(watch).collect();
    wait_until("eight watch", Duration::from_secs(8), || viewers(&daemon) == 8);
    assert_eq!(daemon.children().len(), 0, "nothing has to be done to it");
    assert_eq!(source.connections(), 1);
    assert_eq!(source.open_now(), 1);
    for (index, capture) in watching.into_iter().enumerate() {
        let bytes = capture.join().unwrap();
        let report = inspect(&bytes);
        assert!(report.packets > 500 && report.gaps.is_empty(), "viewer {index}: {report:?}");
        let first_key = report.first_key_frame.expect("a key frame");
        assert!(report.first_pat.unwrap() < first_key && report.first_pmt.unwrap() < first_key, "{report:?}");
        if index > 0 {
            assert_eq!(report.first_video, report.first_key_frame, "viewer {index} begins with a key frame");
        }
    }
    assert_eq!(source.connections(), 1);
    daemon.wait_until_idle();
    wait_until("the source's connection is closed", Duration::from_secs(5), || source.open_now() == 0);
}

#[test]
fn the_second_viewer_begins_at_once_with_a_key_frame() {
    let daemon = Daemon::demo();
    let mut first = open(&daemon, "/auto/v1.1");
    read_for(&mut first, Duration::from_secs(3));
    let mut second = open(&daemon, "/auto/v1.1");
    let report = inspect(&read_bytes(&mut second, 188 * 4));
    assert_eq!((report.first_pat, report.first_pmt, report.first_key_frame), (Some(0), Some(1), Some(2)), "{report:?}");
}

#[test]
fn the_fifth_channel_on_four_slots_is_refused() {
    let folder = Folder::new();
    let source = Source::live(&make_ts(&folder.path().join("live.ts"), 40));
    let mut setup = Setup::new();
    let entries: String = (1..=5)
        .fold(String::new(), |all, n| all + &format!("#EXTINF:-1,Channel {n}\n{}\n", source.url(&format!("/{n}.ts"))));
    setup.playlist(format!("#EXTM3U\n{entries}"));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let streams: Vec<TcpStream> = (1..=4).map(|n| open(&daemon, &format!("/auto/v{n}"))).collect();
    let asked = Instant::now();
    let refused = http::get(daemon.address(), 5004, "/auto/v5");
    assert_eq!((refused.status, refused.header("x-hdhomerun-error")), (503, Some("805 All Tuners In Use")));
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert!(refused.body.is_empty(), "some clients take a body for video");
    assert!(asked.elapsed() < Duration::from_secs(1), "a refusal does not wait");
    let busy = http::get(daemon.address(), 5004, "/tuner2/v5");
    assert_eq!((busy.status, busy.header("x-hdhomerun-error")), (503, Some("804 Tuner In Use")));
    let states = http::get(daemon.address(), 8080, "/status.json");
    assert_eq!(states.text().matches("VctNumber").count(), 4, "{}", states.text());
    drop(streams);
    // The slots linger, but whoever needs one gets it without waiting that out.
    open(&daemon, "/auto/v5");
}

#[test]
fn a_tuner_can_be_asked_for_by_name() {
    let daemon = Daemon::demo();
    let (answer, _stream) = http::open(daemon.address(), 5004, "/tuner3/v1.1");
    assert_eq!((answer.status, answer.header("x-hdhomerun-resource")), (200, Some("tuner3")));
    assert_eq!(daemon.tuner_states()[3], "playing");
    // As on TCP 65001, there is no such thing.
    let none = http::get(daemon.address(), 5004, "/tuner4/v1.2");
    assert_eq!((none.status, none.header("x-hdhomerun-error")), (404, Some("801 Unknown Channel")));
}

#[test]
fn viewers_who_are_killed_free_their_slot_after_the_linger() {
    let daemon = Daemon::demo();
    let url = format!("http://{}:5004/auto/v1.1", daemon.address());
    let mut curl = std::process::Command::new("curl").args(["-s", "-o", "/dev/null", &url]).spawn().unwrap();
    wait_until("curl watches", Duration::from_secs(5), || viewers(&daemon) == 1);
    curl.kill().unwrap();
    curl.wait().unwrap();
    let gone = Instant::now();
    wait_until("nobody watches", Duration::from_secs(2), || viewers(&daemon) == 0);
    assert_eq!(daemon.children().len(), 1, "it lingers, since clients open, close and open again");
    daemon.wait_until_idle();
    let lingered = gone.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&lingered), "{lingered:?}");
}

#[test]
fn who_comes_back_within_the_linger_finds_the_same_child() {
    let mut setup = Setup::new();
    // ffprobe is a child for a moment, too.
    setup.set("health", "probe = false");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    drop(open(&daemon, "/auto/v1.1"));
    let child = daemon.children();
    std::thread::sleep(Duration::from_secs(1));
    let _stream = open(&daemon, "/auto/v1.1");
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(daemon.children(), child);
}

#[test]
fn a_child_that_is_killed_is_noticed_said_and_replaced() {
    let daemon = Daemon::demo();
    let mut stream = open(&daemon, "/auto/v1.1");
    let child = daemon.children()[0];
    read_bytes(&mut stream, 188 * 100);
    send(child, Signal::SIGKILL);
    daemon.wait_for_log("Demo Bars failed: FFmpeg crashed on it");
    assert!(daemon.log().contains("signal: 9"), "{}", daemon.log());
    daemon.wait_for_log("Demo Bars is restarted");
    let mut rest = read_for(&mut stream, Duration::from_secs(3));
    // A busy machine may need longer for as much.
    rest.extend(read_bytes(&mut stream, (501 * 188_usize).saturating_sub(rest.len())));
    let report = inspect(&rest[..rest.len() / 188 * 188]);
    assert!(report.packets > 500 && report.gaps.is_empty(), "one connection, one stream: {report:?}");
    drop(stream);
    daemon.wait_until_idle();
    assert!(!is_zombie(child));
    read_bytes(&mut open(&daemon, "/auto/v1.2"), 188 * 100);
}

#[test]
fn no_child_outlives_a_daemon_that_is_killed() {
    let daemon = Daemon::demo();
    let _streams = [open(&daemon, "/auto/v1.1"), open(&daemon, "/auto/v1.2")];
    let children = daemon.children();
    assert_eq!(children.len(), 2);
    daemon.signal(Signal::SIGKILL);
    wait_until("the children are gone", Duration::from_secs(3), || !children.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn a_viewer_who_stops_reading_is_overtaken_and_then_let_go_and_costs_the_others_nothing() {
    // At stake: one paused television that stalls the whole channel, or eats the memory. He stops for good; the
    // other one must miss nothing, and the slow one's packets must stay whole.
    let folder = Folder::new();
    let source = Source::live_at(
        &make(
            &folder.path().join("live.ts"),
            30,
            &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-b:v",
                "18M",
                "-minrate",
                "18M",
                "-bufsize",
                "4M",
                "-x264-params",
                "nal-hrd=cbr",
                "-c:a",
                "aac",
                "-f",
                "mpegts",
                "-muxrate",
                "20M",
            ],
        ),
        20_000_000,
    );
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Live\n{}\n", source.url("/live.ts")));
    setup.set("slots", "ring_mib = 1");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let mut slow = open(&daemon, "/auto/v1");
    let mut start = read_bytes(&mut slow, 188 * 50 + 77);
    let mut good = open(&daemon, "/auto/v1");
    let report = inspect(&read_for(&mut good, Duration::from_secs(9)));
    assert!(report.packets > 50_000 && report.gaps.is_empty(), "{} packets, gaps at {:?}", report.packets, report.gaps);
    // He reads on, and is moved to where the picture is now.
    let later = read_bytes(&mut slow, 8 * 1024 * 1024);
    start.extend(later);
    let report = inspect(&start);
    assert!(!report.gaps.is_empty(), "he was overtaken");
    let overtaken = daemon.status()["tuners"][0]["overtaken"].as_u64().unwrap();
    assert!(overtaken >= 1);
    // He stops for good.
    wait_until("he is let go", Duration::from_secs(25), || {
        read_for(&mut good, Duration::from_millis(200));
        viewers(&daemon) == 1
    });
}

#[test]
fn what_clients_do_not_play_is_encoded() {
    let folder = Folder::new();
    let file = make(
        &folder.path().join("odd.mkv"),
        6,
        &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus", "-f", "matroska"],
    );
    let source = Source::file(&file);
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Odd\n{}\n", source.url("/odd.mkv")));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let mut stream = open(&daemon, "/auto/v1");
    let bytes = read_for(&mut stream, Duration::from_secs(6));
    let capture = folder.write("capture.ts", &bytes[..bytes.len() / 188 * 188]);
    let (_, streams) = run(
        "ffprobe",
        &["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", capture.to_str().unwrap()],
    );
    assert!(streams.contains("h264") && streams.contains("aac"), "{streams}");
    assert!(daemon.log().contains("starting it again, encoding"), "{}", daemon.log());
}

#[test]
fn an_hls_source_plays() {
    let folder = Folder::new();
    make(
        &folder.path().join("index.m3u8"),
        10,
        &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-c:a",
            "aac",
            "-f",
            "hls",
            "-hls_time",
            "2",
            "-hls_list_size",
            "0",
        ],
    );
    let source = Source::folder(folder.path());
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Hls\n{}\n", source.url("/index.m3u8")));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let bytes = read_for(&mut open(&daemon, "/auto/v1"), Duration::from_secs(5));
    assert!(inspect(&bytes).gaps.is_empty());
    let capture = folder.write("capture.ts", &bytes[..bytes.len() / 188 * 188]);
    assert_eq!(decode_errors(&capture), "");
}

#[test]
fn a_udp_source_plays() {
    let folder = Folder::new();
    let file = make_ts(&folder.path().join("source.ts"), 30);
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Cable\nudp://@127.0.0.1:{port}\n"));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let target = format!("udp://127.0.0.1:{port}?pkt_size=1316");
    let mut sender = std::process::Command::new("ffmpeg")
        .args(["-v", "quiet", "-nostdin", "-re", "-i", file.to_str().unwrap(), "-c", "copy", "-f", "mpegts", &target])
        .spawn()
        .unwrap();
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1");
    let bytes = if answer.status == 200 { read_for(&mut stream, Duration::from_secs(4)) } else { Vec::new() };
    sender.kill().unwrap();
    sender.wait().unwrap();
    let report = inspect(&bytes);
    assert!(report.packets > 500 && report.first_key_frame.is_some(), "{} {report:?}", answer.status);
}

#[test]
fn a_source_that_is_not_there_is_refused_soon_and_honestly() {
    let mut setup = Setup::new();
    // Nothing listens on the discard port.
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Dead\nhttp://{}:9/x.ts\n", setup.address));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let asked = Instant::now();
    let refused = http::get(daemon.address(), 5004, "/auto/v1");
    assert_eq!((refused.status, refused.header("x-hdhomerun-error")), (503, Some("806 Tune Failed")));
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert!(daemon.log().contains("refuses connections"), "{}", daemon.log());
    daemon.wait_until_idle();
}

#[test]
fn a_source_that_says_nothing_is_answered_within_ten_seconds() {
    let source = Source::silent();
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Silent\n{}\n", source.url("/x.ts")));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let asked = Instant::now();
    let refused = http::get(daemon.address(), 5004, "/auto/v1");
    assert_eq!(refused.status, 503);
    assert!(asked.elapsed() < Duration::from_secs(11));
    daemon.wait_until_idle();
}

#[test]
fn a_duration_ends_the_stream() {
    let daemon = Daemon::demo();
    let mut stream = open(&daemon, "/auto/v1.1?duration=2");
    let asked = Instant::now();
    let bytes = read_for(&mut stream, Duration::from_secs(10));
    assert!(!bytes.is_empty() && (1..4).contains(&asked.elapsed().as_secs()));
}

//! Sources that FFmpeg calls or listens to by itself: RTSP, RTMP, SRT, and datagrams with and without RTP.
//!
//! What is at stake: an address of a stranger's playlist that becomes an option of FFmpeg's, and a source that falls
//! silent and is never missed. Tried with the real FFmpeg at both ends, but for cameras, for which it cannot stand in.

use crate::kit::media::{inspect, make, make_ts, read_for};
use crate::kit::rtsp::Camera;
use crate::kit::{Daemon, Folder, Setup, http, inside, run, wait_until};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// FFmpeg as somebody who sends a file over and over, at the pace at which it plays.
struct Sender(Child);

impl Sender {
    fn new(file: &Path, format: &[&str], target: &str) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "quiet", "-nostdin", "-re", "-stream_loop", "-1", "-i", file.to_str().unwrap()]);
        Self(command.args(["-c", "copy"]).args(format).arg(target).spawn().unwrap())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn udp_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn tcp_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn daemon(url: &str) -> Daemon {
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,One\n{url}\n"));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    daemon
}

/// Watches the channel for five seconds and wants an unbroken picture with sound.
fn plays(daemon: &Daemon) {
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200, "{}\n{}", answer.head, daemon.log());
    let bytes = read_for(&mut stream, Duration::from_secs(5));
    let report = inspect(&bytes);
    assert!(report.packets > 300 && report.first_key_frame.is_some() && report.gaps.is_empty(), "{report:?}");
    let capture = daemon.setup.folder.write("capture.ts", &bytes[..bytes.len() / 188 * 188]);
    let entries = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", capture.to_str().unwrap()];
    let (_, streams) = run("ffprobe", &entries);
    assert!(streams.contains("h264") && streams.contains("aac"), "{streams}");
}

fn source(folder: &Folder) -> std::path::PathBuf {
    make_ts(&folder.path().join("source.ts"), 10)
}

#[test]
fn an_srt_server_is_called_with_stream_id_and_passphrase() {
    let (folder, port) = (Folder::new(), udp_port());
    let target = format!("srt://127.0.0.1:{port}?mode=listener&passphrase=p@ss phrase&pbkeylen=16");
    let _server = Sender::new(&source(&folder), &["-f", "mpegts"], &target);
    let daemon = daemon(&format!(
        "srt://127.0.0.1:{port}?mode=caller&streamid=#!::r=one,m=request&passphrase=p%40ss%20phrase&latency=200"
    ));
    plays(&daemon);
    assert!(!daemon.log().contains("p@ss"), "{}", daemon.log());
}

#[test]
fn a_wrong_srt_passphrase_is_a_wrong_login() {
    let (folder, port) = (Folder::new(), udp_port());
    let target = format!("srt://127.0.0.1:{port}?mode=listener&passphrase=the right one&pbkeylen=16");
    let _server = Sender::new(&source(&folder), &["-f", "mpegts"], &target);
    let daemon = daemon(&format!("srt://127.0.0.1:{port}"));
    let refused = http::get(daemon.address(), 5004, "/auto/v1");
    assert_eq!(refused.status, 503);
    daemon.wait_for_log("it refuses the login");
}

#[test]
fn an_rtmp_server_is_asked_for_its_stream() {
    let (folder, port) = (Folder::new(), tcp_port());
    let url = format!("rtmp://127.0.0.1:{port}/live/one");
    let file = make(&folder.path().join("source.flv"), 10, &["-c:v", "libx264", "-c:a", "aac"]);
    let _server = Sender::new(&file, &["-f", "flv", "-listen", "1"], &url);
    // What looks like an option is part of the stream's name.
    plays(&daemon(&format!("{url}?listen=1&token=secret")));
}

#[test]
fn a_camera_is_watched_over_tcp_with_a_login() {
    let folder = Folder::new();
    let camera = Camera::new(&source(&folder), Some("am9lOnBAc3M="));
    let daemon = daemon(&camera.url("joe:p%40ss@"));
    plays(&daemon);
    assert!(camera.asked().iter().any(|line| line.starts_with("PLAY ") && line.contains("/stream?channel=1")));
    assert!(!daemon.log().contains("p%40ss"), "{}", daemon.log());
}

#[test]
fn a_camera_that_wants_another_login_is_told_as_such() {
    let folder = Folder::new();
    let daemon = daemon(&Camera::new(&source(&folder), Some("am9lOnBAc3M=")).url("joe:wrong@"));
    let refused = http::get(daemon.address(), 5004, "/auto/v1");
    assert_eq!(refused.status, 503);
    daemon.wait_for_log("it refuses the login");
}

/// Whoever watches when a camera falls silent keeps his connection, and the camera is asked again: FFmpeg gives up twice
/// eight seconds later, or the rules have it end.
#[test]
fn a_camera_that_falls_silent_is_asked_again() {
    let folder = Folder::new();
    let camera = Camera::new(&source(&folder), None);
    let daemon = daemon(&camera.url(""));
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200, "{}", daemon.log());
    assert!(!read_for(&mut stream, Duration::from_secs(2)).is_empty());
    camera.be_silent(true);
    let since = Instant::now();
    let asked = || camera.asked().iter().filter(|line| line.starts_with("PLAY ")).count();
    wait_until("it is asked again", Duration::from_secs(30), || asked() >= 2);
    assert!(since.elapsed() > Duration::from_secs(7), "that is no silence yet");
    camera.be_silent(false);
    daemon.wait_for_log("generation=2 channel_id=1");
    let report = inspect(&read_for(&mut stream, Duration::from_secs(4)));
    assert!(report.packets > 300, "{report:?}");
}

#[test]
fn rtp_to_this_box_plays() {
    let (folder, port) = (Folder::new(), udp_port());
    let target = format!("rtp://127.0.0.1:{port}?pkt_size=1328");
    let _sender = Sender::new(&source(&folder), &["-f", "rtp_mpegts"], &target);
    plays(&daemon(&format!("rtp://@127.0.0.1:{port}")));
}

/// Both kinds of datagrams from groups, as playlists of players have them; the second with the one sender that is heard.
#[test]
fn groups_are_heard() {
    if !inside(&["--net"], "inputs::groups_are_heard") {
        return;
    }
    let (status, said) = run("sh", &["-ec", "ip link set lo up multicast on; ip route add 224.0.0.0/4 dev lo"]);
    assert!(status.success(), "{said}");
    let folder = Folder::new();
    let file = source(&folder);
    for (format, target, url) in [
        ("mpegts", "udp://239.1.1.1:1234?pkt_size=1316", "udp://@239.1.1.1:1234"),
        ("rtp_mpegts", "rtp://239.1.1.2:5004?pkt_size=1328", "rtp://@239.1.1.2:5004"),
        ("mpegts", "udp://232.1.1.1:1234?pkt_size=1316&localaddr=127.0.0.1", "udp://127.0.0.1@232.1.1.1:1234"),
        (
            "rtp_mpegts",
            "rtp://232.1.1.2:5004?pkt_size=1328&localaddr=127.0.0.1",
            "rtp://@232.1.1.2:5004?sources=127.0.0.1",
        ),
    ] {
        let _sender = Sender::new(&file, &["-f", format], target);
        plays(&daemon(url));
    }
}

/// What is at stake: a playlist that has the box knock at its own doors (S32). Tried with whoever FFmpeg would call, in
/// a box whose settings do not allow it.
#[test]
fn this_box_is_not_called_by_itself() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for url in ["rtsp://localhost:PORT/1", "rtmp://127.0.0.1:PORT/live/1", "rtmps://localhost:PORT/live/1"] {
        let mut setup = Setup::new();
        setup.set("lineup", "this_box = false");
        setup.playlist(format!("#EXTM3U\n#EXTINF:-1,One\n{}\n", url.replace("PORT", &port.to_string())));
        let daemon = setup.start();
        daemon.wait_for_log("playlist loaded");
        assert_eq!(http::get(daemon.address(), 5004, "/auto/v1").status, 503);
        daemon.wait_for_log("is this box itself");
        assert!(listener.accept().is_err(), "{url}");
    }
}

#[test]
fn options_that_would_open_a_door_are_no_channels() {
    let hostile = [
        "srt://127.0.0.1:9?mode=listener",
        "srt://127.0.0.1:9?localport=1",
        "udp://239.1.1.1:1234?localaddr=1.2.3.4",
        "rtp://239.1.1.1:1234?localrtpport=5004",
        "rtp://239.1.1.1:1234?write_to_source=1",
        "rtmp,listen,1,://127.0.0.1/live",
        "rtsp:-i",
    ];
    let text = hostile.iter().fold(String::new(), |text, address| text + "#EXTINF:-1,Bad\n" + address + "\n");
    let daemon = daemon(&format!("rtsp://127.0.0.1:9/good\n{text}"));
    assert_eq!(daemon.channels().len(), 1);
    assert!(daemon.has_logged(&format!("left_out={}", hostile.len())), "{}", daemon.log());
}

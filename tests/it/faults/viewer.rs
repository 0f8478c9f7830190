//! V: what viewers do.

use super::{MOMENT, Viewer, all_failures, open, open_at, refused, refused_at, send_raw, viewers_len};
use crate::kit::fakeff::{Fake, Proc, address_of, seconds};
use crate::kit::media::{inspect, read_bytes};
use crate::kit::{Daemon, http, inside, run, send, wait_until};
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn url(daemon: &Daemon, channel: usize) -> String {
    format!("http://{}:5004/auto/v{channel}", daemon.address())
}

/// A client that may be stopped and killed.
fn curl(url: &str, more: &[&str]) -> std::process::Child {
    let command = Command::new("curl").args(["-s", "-o", "/dev/null"]).args(more).arg(url).stdin(Stdio::null()).spawn();
    command.unwrap()
}

#[test]
fn v01_who_leaves_early_does_not_spare_the_source_its_verdict() {
    let (fake, daemon) = Fake::daemon(&[("slow", "start_delay=4000"), ("never", "silent")]);
    let mut impatient = [curl(&url(&daemon, 1), &["--max-time", "1"]), curl(&url(&daemon, 2), &["--max-time", "1"])];
    for client in &mut impatient {
        client.wait().unwrap();
    }
    assert_eq!(daemon.children().len(), 2, "both are still being tried");
    // Who comes meanwhile joins; the other one is tried to the end.
    drop(open(&daemon, 1));
    assert_eq!(fake.starts("slow").len(), 1);
    wait_until("the verdict", Duration::from_secs(25), || super::failures(&daemon, "start_timeout") == 1);
    assert_eq!((fake.starts("never").len(), all_failures(&daemon)), (1, 1));
    daemon.wait_until_idle();
}

#[test]
fn v02_who_comes_back_finds_the_same_child() {
    let (fake, daemon) = Fake::daemon(&[("good", "live")]);
    for _ in 0..4 {
        read_bytes(&mut open(&daemon, 1), 188 * 20);
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(fake.starts("good").len(), 1);
    assert!(fake.events("term", "good").is_empty());
}

#[test]
fn v03_a_crowd_at_the_wrong_moment_shares_one_fresh_start() {
    let (fake, mut setup) = Fake::setup(&[("deaf", "live, ignore_term")]);
    setup.set("network", "connections_per_address_max = 100");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    drop(open(&daemon, 1));
    wait_until("the child is asked to end", Duration::from_secs(8), || !fake.events("term", "deaf").is_empty());
    // It has two seconds left, and does not use them to end.
    let address = daemon.address();
    let crowd: Vec<_> = (0..15)
        .map(|index| {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(index * 6));
                let (answer, mut stream) = http::open(address, 5004, "/auto/v1");
                let got = if answer.status == 200 { read_bytes(&mut stream, 188 * 20).len() } else { 0 };
                (answer.status, got)
            })
        })
        .collect();
    for one in crowd {
        assert_eq!(one.join().unwrap(), (200, 188 * 20));
    }
    assert_eq!(fake.starts("deaf").len(), 2, "one fresh start for all");
    assert!(fake.log().iter().all(|line| line.event != "overlap"));
    assert_eq!(all_failures(&daemon), 0);
}

/// A few seconds until all buffers between are full, ten without a byte taken; the kernel alone would need twenty.
const GONE: Duration = Duration::from_secs(18);

/// Two viewers, of whom the first one is no good; the other one must not notice.
fn costs_only_himself(slow: impl FnOnce(&Daemon), gone: Duration) {
    let (_fake, mut setup) = Fake::setup(&[("good", "live, bitrate=16000000")]);
    setup.set("slots", "ring_mib = 1");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let good = Viewer::watch(&daemon, 1);
    let before = Proc::of(daemon.pid()).rss_kib;
    slow(&daemon);
    wait_until("he is let go", gone, || viewers_len(&daemon) == 1);
    let report = inspect(&good.bytes());
    assert!(!good.is_over() && report.gaps.is_empty() && report.packets > 10_000, "{report:?}");
    let after = Proc::of(daemon.pid()).rss_kib;
    assert!(after < before + 4_096, "{before} → {after} KiB");
}

#[test]
fn v04_who_reads_a_byte_a_second_is_let_go() {
    costs_only_himself(
        |daemon| {
            let address = SocketAddr::from((daemon.address(), 5004));
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_recv_buffer_size(4 * 1024).unwrap();
            socket.connect(&address.into()).unwrap();
            let mut stream: TcpStream = socket.into();
            write!(stream, "GET /auto/v1 HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address()).unwrap();
            std::thread::spawn(move || {
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
            wait_until("he watches", Duration::from_secs(3), || viewers_len(daemon) == 2);
        },
        GONE,
    );
}

#[test]
fn v05_who_stops_reading_is_let_go() {
    let mut paused = None;
    costs_only_himself(
        |daemon| {
            let client = curl(&url(daemon, 1), &[]);
            wait_until("he watches", Duration::from_secs(3), || viewers_len(daemon) == 2);
            send(client.id(), Signal::SIGSTOP);
            paused = Some(client);
        },
        GONE,
    );
    let mut client = paused.unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn v06_a_viewer_without_power_frees_his_tuner_within_half_a_minute() {
    if !inside(&["--net", "--mount"], "faults::viewer::v06_a_viewer_without_power_frees_his_tuner_within_half_a_minute")
    {
        return;
    }
    // A cable between two boxes, and the client in the other one.
    let sh = |script: &str| {
        let (status, said) = run("sh", &["-ec", script]);
        assert!(status.success(), "{script}: {said}");
    };
    sh(
        "ip link set lo up; ip link add here type veth peer name there; ip addr add 10.9.0.1/24 dev here; ip link set here up",
    );
    let mut other = Command::new("unshare").args(["--net", "sleep", "100"]).spawn().unwrap();
    let (namespace, own) = (format!("/proc/{}/ns/net", other.id()), std::fs::read_link("/proc/self/ns/net").unwrap());
    let enter = format!("nsenter --net={namespace}");
    wait_until("it is a box of its own", Duration::from_secs(3), || {
        std::fs::read_link(&namespace).is_ok_and(|its| its != own)
    });
    wait_until("there is another box", Duration::from_secs(3), || {
        run(
            "sh",
            &["-c", &format!("ip link set there netns {} && {enter} ip addr add 10.9.0.2/24 dev there", other.id())],
        )
        .0
        .success()
    });
    sh(&format!("{enter} ip link set there up"));
    let (fake, mut setup) = Fake::setup(&[("good", "live")]);
    setup.address = Ipv4Addr::new(10, 9, 0, 1);
    setup.set("network", "address = \"10.9.0.1\"");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let mut client = Command::new("sh")
        .args(["-c", &format!("exec {enter} curl -s -o /dev/null {}", url(&daemon, 1))])
        .spawn()
        .unwrap();
    wait_until("he watches", Duration::from_secs(5), || viewers_len(&daemon) == 1);
    std::thread::sleep(Duration::from_secs(1));
    // The cable is pulled.
    sh(&format!("{enter} ip link set there down"));
    let pulled = Instant::now();
    wait_until("he is gone", Duration::from_secs(27), || viewers_len(&daemon) == 0);
    wait_until("the tuner is free", Duration::from_secs(8), || daemon.children().is_empty());
    assert!(pulled.elapsed() < Duration::from_secs(32), "{:?}", pulled.elapsed());
    assert_eq!(fake.starts("good").len(), 1);
    for child in [&mut client, &mut other] {
        let _ = child.kill();
        child.wait().unwrap();
    }
}

#[test]
fn v07_a_thousand_connections_of_one_address_keep_nobody_out() {
    let (_fake, daemon) = Fake::daemon(&[("good", "live")]);
    let address = SocketAddr::from((daemon.address(), 5004));
    let mut held = Vec::new();
    let mut turned_away = 0;
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(address).unwrap();
        if held.len() < 16 {
            held.push(stream);
            continue;
        }
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503") && answer.contains("803"), "{answer}");
        turned_away += usize::from(!answer.is_empty());
    }
    assert!(turned_away > 900, "{turned_away} were told why");
    // Another address is served as ever.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut other: TcpStream = socket.into();
    write!(other, "GET /auto/v1 HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address()).unwrap();
    let mut start = [0; 15];
    other.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
}

#[test]
fn v08_slow_talkers_are_hung_up_on() {
    let daemon = Daemon::demo();
    let mut slow = send_raw(&daemon, "GET /auto/v1.1 HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    let mut idle = send_raw(&daemon, "");
    let begun = Instant::now();
    for stream in [&mut slow, &mut idle] {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
    assert!((4..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(daemon.children().is_empty());
}

#[test]
fn v09_odd_requests_have_defined_answers() {
    let (fake, daemon) = Fake::daemon(&[("good", "live")]);
    let address = daemon.address();
    let ask = |request: String| {
        let mut stream = send_raw(&daemon, &request);
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        String::from_utf8(start.to_vec()).unwrap()
    };
    for _ in 0..5 {
        assert_eq!(
            ask(format!("HEAD /auto/v1 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")),
            "HTTP/1.1 200"
        );
    }
    assert!(fake.log().is_empty(), "who only looks starts nothing");
    for request in [
        format!("GET /auto/v1 HTTP/1.1\r\nHost: {address}\r\nRange: bytes=1000-2000\r\n\r\n"),
        format!("GET /auto/v1?x=%00&&&=?transcode=none HTTP/1.1\r\nHost: {address}\r\n\r\n"),
        "GET /auto/v1 HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let start = ask(request.clone());
        assert!(start.ends_with(" 200"), "{request}: {start}");
    }
    for request in [
        format!("GET /auto/v99 HTTP/1.1\r\nHost: {address}\r\n\r\n"),
        format!("GET /auto/v1/x HTTP/1.1\r\nHost: {address}\r\n\r\n"),
    ] {
        assert_eq!(ask(request.clone()), "HTTP/1.1 404", "{request}");
    }
    assert_eq!(ask(format!("PUT /auto/v1 HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")), "HTTP/1.1 405");
    assert_eq!(fake.starts("good").len(), 1);
}

#[test]
fn v10_zapping_through_twenty_channels_is_never_refused() {
    let names: Vec<String> = (1..=20).map(|number| format!("zap{number}")).collect();
    let channels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "live")).collect();
    let (fake, mut setup) = Fake::setup(&channels);
    setup.set("slots", "count = 4");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let begun = Instant::now();
    for channel in 1..=20 {
        read_bytes(&mut open(&daemon, channel), 188 * 10);
        assert!(daemon.children().len() <= 4);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    let starts: Vec<f64> =
        fake.log().iter().filter(|line| line.event == "start").map(|line| seconds(line.ms)).collect();
    assert_eq!(starts.len(), 20);
    // Five a second, after as many as two for each tuner at once.
    for (from, first) in starts.iter().enumerate() {
        for (to, last) in starts.iter().enumerate().skip(from + 8) {
            let count = f64::from(u32::try_from(to - from + 1).unwrap());
            assert!(last - first > (count - 8.0) * 0.2 - 0.5, "{count} starts in {} s", last - first);
        }
    }
    assert_eq!(all_failures(&daemon), 0);
}

#[test]
fn v11_two_viewers_share_one_child() {
    let (fake, daemon) = Fake::daemon(&[("good", "live")]);
    let first = Viewer::watch(&daemon, 1);
    std::thread::sleep(Duration::from_millis(2_300));
    let second = inspect(&read_bytes(&mut open(&daemon, 1), 188 * 40));
    assert_eq!((second.first_pat, second.first_pmt, second.first_key_frame), (Some(0), Some(1), Some(2)), "{second:?}");
    let first = inspect(&first.bytes());
    assert!(first.first_pat < first.first_key_frame && first.gaps.is_empty(), "{first:?}");
    assert_eq!((fake.starts("good").len(), daemon.children().len()), (1, 1));
}

#[test]
fn v12_v13_tuners_in_use_are_told_at_once() {
    let (_fake, mut setup) = Fake::setup(&[("one", "live"), ("two", "live"), ("three", "live")]);
    setup.set("slots", "count = 2");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let (answer, _first) = open_at(&daemon, "/tuner1/v1");
    assert_eq!(answer.header("x-hdhomerun-resource"), Some("tuner1"));
    let told = refused_at(&daemon, "/tuner1/v2");
    assert_eq!((&*told.code, told.wait_s), ("804", 10));
    let _second = open(&daemon, 2);
    let told = refused(&daemon, 3);
    assert_eq!((&*told.code, told.wait_s), ("805", 10));
    assert!(told.took < Duration::from_millis(500), "{told:?}");
    assert_eq!(all_failures(&daemon), 0);
}

#[test]
fn v14_a_recorder_is_held_over_a_gap() {
    // At stake: a recording that is torn in two because its source was away for half a minute. The second restart has
    // to wait for thirty seconds; meanwhile he gets packets that carry nothing, and they count as nothing.
    let (fake, daemon) = Fake::daemon(&[("gap", "exit_after=1500 | exit_after=1500 | live")]);
    let recorder = Viewer::watch(&daemon, 1);
    wait_until("the second one has ended", Duration::from_secs(8), || fake.events("end", "gap").len() == 2);
    let gap = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let made = daemon.status()["tuners"][0]["bits_per_s"].as_u64();
    wait_until("it goes on", Duration::from_secs(40), || fake.events("out", "gap").len() == 3);
    let (from, to) = (gap + Duration::from_secs(3), gap + Duration::from_secs(23));
    let (nulls, others) = recorder.packets_between(from, to);
    assert!((34..=46).contains(&nulls) && others == 0, "{nulls} null packets and {others} others in 20 s");
    std::thread::sleep(Duration::from_secs(3));
    let report = inspect(&recorder.bytes());
    assert!(!recorder.is_over() && report.gaps.is_empty(), "{report:?}");
    let starts = fake.start_seconds("gap");
    assert!((29.5..32.0).contains(&(starts[2] - starts[1])), "{starts:?}, {made:?}");
}

#[test]
fn v15_a_channel_that_is_deleted_meanwhile_leaves_no_orphan() {
    let (fake, daemon) = Fake::daemon(&[("stays", "live"), ("goes", "start_delay=2500")]);
    let address = daemon.address();
    let tuning = std::thread::spawn(move || http::open(address, 5004, "/auto/v2"));
    wait_until("it is started", Duration::from_secs(3), || fake.starts("goes").len() == 1);
    let left = format!("#EXTM3U\n#EXTINF:-1,stays\n{}\n", address_of("stays"));
    daemon.setup.folder.write("channels.m3u", left);
    daemon.scan();
    assert_eq!(daemon.channels().len(), 1);
    let (answer, stream) = tuning.join().unwrap();
    assert!(matches!(answer.status, 200 | 404 | 503), "{answer:?}");
    assert_eq!(http::open(address, 5004, "/auto/v2").0.status, 404);
    drop(stream);
    let left = Instant::now();
    wait_until("nothing of it is left", Duration::from_secs(10), || daemon.children().is_empty());
    assert!(left.elapsed() < Duration::from_secs(8) + MOMENT);
    daemon.wait_until_idle();
    open(&daemon, 1);
}

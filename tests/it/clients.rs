//! Clients as they are, replayed as scripts: each asks in its own order and is told what it compares, waits for, or
//! counts on. The record of who asked must name them in the end.
//!
//! Source: the clients' own code, at the revisions that the list of facts names; Plex and Channels, whose code nobody
//! sees, from their logs.

use crate::kit::hdhr::{self, SEARCHES, ask, bytes, get, keyed, receive, receiver, set, tag_text};
use crate::kit::media::inspect;
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, SOON, Setup, fakeff::Fake, http, wait_until};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// GET as a client sends it: its user agent, and the head that it adds.
fn fetch(daemon: &Daemon, port: u16, target: &str, agent: &str, more: &str) -> http::Answer {
    let address = daemon.address();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {address}:{port}\r\nUser-Agent: {agent}\r\n{more}");
    http::ask(address, port, &format!("{head}Connection: close\r\n\r\n"))
}

fn json(answer: &http::Answer) -> Value {
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).unwrap()
}

fn open_as(daemon: &Daemon, target: &str, agent: &str) -> TcpStream {
    let mut stream = http::connect(daemon.address(), 5004);
    let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {agent}\r\n", daemon.address());
    write!(stream, "{head}Accept: */*\r\nRange: bytes=0-\r\nConnection: close\r\nIcy-MetaData: 1\r\n\r\n").unwrap();
    stream
}

/// Reads the head and says its status.
fn status(stream: &mut TcpStream) -> u16 {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    http::parse(&head).status
}

fn search(daemon: &Daemon, request: &str) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.send_to(&bytes(request), (daemon.address(), hdhr::PORT)).unwrap();
    let mut reply = vec![0; 2048];
    let len = socket.recv(&mut reply).unwrap();
    reply.truncate(len);
    reply
}

/// Who asked, as the API tells it.
fn seen(daemon: &Daemon) -> Value {
    json(&daemon.get("/api/v1/clients"))
}

fn assert_seen(daemon: &Daemon, name: &str) {
    let seen = seen(daemon);
    assert!(seen.as_array().unwrap().iter().any(|client| client["name"] == name), "{name}: {seen}");
}

/// A daemon whose page is on port 80, where this test may open it; otherwise where it falls back to. With its port.
fn on_port_80() -> (Daemon, u16) {
    let mut setup = Setup::new();
    setup.default_page_port();
    let daemon = setup.start();
    let has_80 = TcpStream::connect((daemon.address(), 80)).is_ok();
    if !has_80 {
        // Not skipped: the same is asked of the port that it has instead.
        eprintln!("port 80 takes root, so port 8080 stands in for it here");
        daemon.wait_for_log("port 80 cannot be opened, so the page is on port 8080");
    }
    let port = if has_80 { 80 } else { 8080 };
    wait_until("there are channels", Duration::from_secs(20), || {
        http::get(daemon.address(), port, "/lineup.json").status == 200
    });
    (daemon, port)
}

#[test]
fn jellyfin_scans_and_asks_port_80_of_whoever_answers() {
    let (daemon, port) = on_port_80();
    // It takes whatever is longer than 13 bytes and has a 3 in its second, and goes by the sender.
    let reply = search(&daemon, SEARCHES[0]);
    assert!(reply.len() > 13 && reply[1] == 3);
    let agent = "Jellyfin-Server/10.11.0";
    let discover = json(&fetch(&daemon, port, "/discover.json", agent, "Accept: application/json\r\n"));
    for name in [
        "FriendlyName",
        "ModelNumber",
        "FirmwareName",
        "FirmwareVersion",
        "DeviceID",
        "DeviceAuth",
        "BaseURL",
        "LineupURL",
    ] {
        assert!(discover[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {discover}");
    }
    assert_eq!(discover["TunerCount"], 4, "so many streams it opens at most");
    let lineup_url = discover["LineupURL"].as_str().unwrap();
    let target = lineup_url.strip_prefix(discover["BaseURL"].as_str().unwrap()).unwrap();
    let lineup = json(&fetch(&daemon, port, target, agent, ""));
    for channel in lineup.as_array().unwrap() {
        assert!(!channel["GuideNumber"].as_str().unwrap().contains('_'), "it cuts its own ids there");
        assert!(channel.get("DRM").is_none_or(|drm| drm == 0));
    }
    let url = lineup[0]["URL"].as_str().unwrap();
    let target = url.strip_prefix(&format!("http://{}:5004", daemon.address())).unwrap();
    let mut stream = open_as(&daemon, target, agent);
    assert_eq!(status(&mut stream), 200);
    let clients: Value = serde_json::from_slice(&http::get(daemon.address(), port, "/api/v1/clients").body).unwrap();
    assert!(clients.as_array().unwrap().iter().any(|client| client["name"] == "Jellyfin"), "{clients}");
}

#[test]
fn jellyfin_of_old_sets_a_tuner_with_single_reads() {
    let (_fake, daemon) = Fake::daemon(&[("good", "live")]);
    let (mut control, socket) = (hdhr::connect(daemon.address()), receiver());
    // `ask` reads once, as it does. Its own lengths have one byte.
    let short = |(tag, text): (u8, String)| {
        assert!(tag == 4 && text.len() < 127, "{text}");
        text
    };
    assert_eq!(short(ask(&mut control, &get("/tuner0/lockkey"))), "none");
    let key = 1_234_567_890;
    short(ask(&mut control, &set("/tuner0/lockkey", &key.to_string())));
    // A bare frequency, without a modulation.
    assert_eq!(short(ask(&mut control, &keyed("/tuner0/channel", "57000000", key))), "57000000");
    assert_eq!(short(ask(&mut control, &keyed("/tuner0/program", "1", key))), "1");
    let target = format!("rtp://127.0.0.1:{}", socket.local_addr().unwrap().port());
    assert_eq!(short(ask(&mut control, &keyed("/tuner0/target", &target, key))), target);
    // It never sends a keepalive, and says nothing more for as long as it plays: 12 bytes off each datagram.
    let packets = receive(&socket, 1_328, Duration::from_secs(14));
    assert!(inspect(&packets).gaps.is_empty() && packets.len() > 300_000, "{}", packets.len());
    let last = receive(&socket, 1_328, Duration::from_secs(1));
    assert!(!last.is_empty(), "and it still goes on");
    short(ask(&mut control, &keyed("/tuner0/target", "none", key)));
    short(ask(&mut control, &keyed("/tuner0/lockkey", "none", key)));
    daemon.wait_until_idle();
}

#[test]
fn kodi_probes_closes_and_opens_again_with_one_tuner_only() {
    // At stake: a tuner that is still busy when the player itself comes, a moment after the probe.
    let (_fake, mut setup) = Fake::setup(&[("good", "live"), ("other", "live")]);
    setup.set("slots", "count = 1");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let reply = search(&daemon, SEARCHES[2]);
    let base = tag_text(&reply, 0x2A);
    assert!(base.len() <= 28, "{base}: longer ones are empty to it");
    let agent = "Kodi/21.1 (X11; Linux x86_64)";
    assert!(json(&fetch(&daemon, 8080, "/lineup.json", agent, ""))[0]["GuideName"].is_string());
    for _ in 0..5 {
        for target in ["/auto/v1", "/auto/v2"] {
            let mut probe = open_as(&daemon, target, agent);
            assert_eq!(status(&mut probe), 200, "{target}");
            drop(probe);
            let mut player = open_as(&daemon, target, agent);
            assert_eq!(status(&mut player), 200, "{target}");
            player.read_exact(&mut vec![0; 188 * 100]).unwrap();
        }
    }
    assert_seen(&daemon, "Kodi");
    // The other add-on looks at these.
    assert_eq!(json(&fetch(&daemon, 8080, "/status.json", agent, "")).as_array().unwrap().len(), 1);
    let tuning = json(&fetch(&daemon, 8080, "/lineup.json?tuning", agent, ""));
    for name in ["Frequency", "ProgramNumber", "TransportStreamID"] {
        assert!(tuning[0][name].is_u64(), "{tuning}");
    }
}

#[test]
fn tvheadend_locks_filters_and_polls_without_any_keepalive() {
    let (_fake, daemon) = Fake::daemon(&[("good", "live")]);
    // It searches every 15 seconds, wants a tuner count, and a model without error.
    assert_eq!(search(&daemon, SEARCHES[1])[..2], [0, 3]);
    let (mut control, socket) = (hdhr::connect(daemon.address()), receiver());
    let model = ask(&mut control, &get("/sys/model")).1;
    assert!(model.contains("_atsc"), "{model}");
    let key = 77;
    assert_eq!(ask(&mut control, &set("/tuner0/lockkey", "77")).0, 4);
    let mut tell = |name: &str, value: &str| {
        assert_eq!(ask(&mut control, &keyed(&format!("/tuner0/{name}"), value, key)), (4, value.to_owned()), "{name}");
    };
    tell("channel", "auto:57000000");
    tell("filter", "0x0000");
    let target = format!("udp://127.0.0.1:{}", socket.local_addr().unwrap().port());
    tell("target", &target);
    let poll = |control: &mut TcpStream, pause_ms: u64| {
        std::thread::sleep(Duration::from_millis(pause_ms));
        let asked = Instant::now();
        let (tag, status) = ask(control, &get("/tuner0/status"));
        assert!(tag == 4 && asked.elapsed() < Duration::from_millis(250), "{status}");
        let strength: u32 = status.split(" ss=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(strength >= 45, "{status}");
        status
    };
    poll(&mut control, 50);
    let pids = |packets: &[u8]| {
        let mut pids: Vec<u16> =
            packets.chunks(188).map(|packet| u16::from_be_bytes([packet[1] & 0x1f, packet[2]])).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|pid| *pid != 0x1fff);
        pids
    };
    // The first table, then the next one, then what it names.
    assert_eq!(pids(&receive(&socket, 1_316, Duration::from_secs(2))), [0]);
    for (filter, wanted) in
        [("0x0000 0x1000", vec![0, 0x1000]), ("0x0000 0x0100 0x0200 0x1000", vec![0, 0x100, 0x200, 0x1000])]
    {
        assert_eq!(ask(&mut control, &keyed("/tuner0/filter", filter, key)), (4, filter.to_owned()));
        receive(&socket, 1_316, Duration::from_millis(300));
        assert_eq!(pids(&receive(&socket, 1_316, Duration::from_secs(1))), wanted);
        assert_eq!(ask(&mut control, &get("/tuner0/filter")).1, filter);
    }
    // For longer than anything that is lost would live.
    let end = Instant::now() + Duration::from_secs(16);
    while Instant::now() < end {
        let status = poll(&mut control, 1_000);
        assert!(!status.contains(" pps=0"), "{status}");
    }
    assert!(inspect(&receive(&socket, 1_316, Duration::from_secs(1))).packets > 100);
    assert_eq!(ask(&mut control, &keyed("/tuner0/target", "none", key)).0, 4);
    assert_eq!(ask(&mut control, &keyed("/tuner0/lockkey", "none", key)).0, 4);
    assert_eq!(ask(&mut control, &get("/tuner0/lockkey")).1, "none");
    daemon.wait_until_idle();
    assert_seen(&daemon, "tvheadend");
}

#[test]
fn mythtv_compares_strings_and_does_not_tune_twice() {
    let (fake, daemon) = Fake::daemon(&[("good", "live")]);
    let (mut control, socket) = (hdhr::connect(daemon.address()), receiver());
    let model = ask(&mut control, &get("/sys/model")).1;
    assert!(!model.contains("cablecard") && !model.contains("dvb"), "an antenna, to it");
    assert_eq!(ask(&mut control, &set("/tuner0/lockkey", "99")).0, 4);
    let target = format!("rtp://127.0.0.1:{}", socket.local_addr().unwrap().port());
    let script = [
        ("channel", "8vsb:57000000"),
        ("filter", "0x0000-0x1fff"),
        ("target", target.as_str()),
        ("filter", "0x0000 0x0011 0x1ffb"),
        ("filter", "0x0000 0x0011 0x0100-0x0101 0x1000 0x1ffb"),
    ];
    for (name, wanted) in script {
        let name = format!("/tuner0/{name}");
        assert_eq!(ask(&mut control, &keyed(&name, wanted, 99)).1, wanted);
        // It asks until it hears its own words, and would set them again otherwise.
        for _ in 0..3 {
            assert_eq!(ask(&mut control, &get(&name)).1, wanted, "{name}");
        }
    }
    // With a keepalive a second, which carries its key, on the port beside the streams.
    for _ in 0..3 {
        socket.send_to(&99_u32.to_be_bytes(), (daemon.address(), 5_004)).unwrap();
        assert!(!receive(&socket, 1_328, Duration::from_secs(1)).is_empty());
    }
    assert_eq!(fake.starts("good").len(), 1, "tuned once");
    // Its connection breaks, and the keepalives go on: so does the stream.
    drop(control);
    for _ in 0..12 {
        socket.send_to(&99_u32.to_be_bytes(), (daemon.address(), 5_004)).unwrap();
        assert!(!receive(&socket, 1_328, Duration::from_secs(1)).is_empty());
    }
}

#[test]
fn home_assistant_asks_all_documents_and_help() {
    let daemon = Daemon::demo();
    let agent = "HomeAssistant/2026.1.0 aiohttp/3.11.0 Python/3.13";
    for target in ["/discover.json", "/lineup.json?show=found", "/lineup_status.json", "/status.json"] {
        json(&fetch(&daemon, 8080, target, agent, ""));
    }
    let device = daemon.get("/device.xml");
    assert!(device.text().contains("<manufacturer>Silicondust</manufacturer>"), "it compares letter by letter");
    assert!(device.text().contains("<deviceType>urn:schemas-upnp-org:device:MediaServer:1</deviceType>"));
    let mut control = hdhr::connect(daemon.address());
    let (tag, help) = ask(&mut control, &get("help"));
    assert_eq!(tag, 4);
    let mut lines = help.lines();
    assert_eq!(lines.next(), Some("Supported configuration options:"));
    // Whatever is named there can be asked for; what can only be set says so.
    for line in lines {
        let name = line.split(' ').next().unwrap().replace("<n>", "0");
        let (tag, said) = ask(&mut control, &get(&name));
        assert!(tag == 4 || name == "/sys/restart", "{name}: {said}");
    }
    // Its button: nobody in the house may start the box anew unless the owner says so.
    let (tag, said) = ask(&mut control, &set("/sys/restart", "self"));
    assert!(tag == 5 && said.starts_with("ERROR: "), "{said}");
    let scan = "POST /lineup.post?scan=start HTTP/1.1\r\nHost: localhost\r\nUser-Agent: HomeAssistant/2026.1.0\r\n\r\n";
    assert_eq!(http::ask(daemon.address(), 8080, scan).status, 200);
    assert_seen(&daemon, "Home Assistant");
}

#[test]
fn channels_has_its_first_byte_within_six_seconds_and_reads_the_status() {
    let daemon = Daemon::demo();
    assert_eq!(search(&daemon, SEARCHES[2])[..2], [0, 3]);
    let agent = "ChannelsDVR/2026.01.01";
    json(&fetch(&daemon, 8080, "/discover.json", agent, ""));
    for target in ["/auto/v1.1", "/tuner1/v1.2"] {
        let asked = Instant::now();
        let mut stream = open_as(&daemon, target, agent);
        assert_eq!(status(&mut stream), 200);
        stream.read_exact(&mut [0; 188]).unwrap();
        assert!(asked.elapsed() < Duration::from_secs(6), "{target}: {:?}", asked.elapsed());
        let mut control = hdhr::connect(daemon.address());
        let tuner = if target.starts_with("/auto") { "tuner0" } else { "tuner1" };
        wait_until("bits come", SOON, || {
            let (_, status) = ask(&mut control, &get(&format!("/{tuner}/status")));
            status.contains(" ss=100 snq=100 seq=100 ") && !status.contains("bps=0 ")
        });
    }
    assert_seen(&daemon, "Channels");
}

#[test]
fn plex_polls_and_never_sees_an_empty_or_partial_lineup() {
    // At stake: one poll that names fewer channels, and Plex forgets them, with every recording that was planned.
    let entries = |count: usize| {
        (1..=count).fold("#EXTM3U\n".to_owned(), |all, n| {
            all + &format!("#EXTINF:-1 tvg-chno=\"{n}\",Channel {n}\nhttp://127.0.0.1:9/{n}.ts\n")
        })
    };
    let source = Source::silent();
    let mut setup = Setup::new();
    setup.set("lineup", &format!("playlist = {:?}", source.url("/list.m3u")));
    let daemon = setup.start();
    let agent = "PlexMediaServer/1.41.0.8994-f2c27da23";
    let gzip = "Accept-Encoding: gzip\r\n";
    let poll = || {
        let discover = json(&fetch(&daemon, 8080, "/discover.json", agent, gzip));
        json(&fetch(&daemon, 8080, "/lineup_status.json", agent, gzip));
        assert_eq!(discover["TunerCount"], 4);
        let lineup = fetch(&daemon, 8080, "/lineup.json", agent, gzip);
        match lineup.status {
            503 => None,
            _ => Some(json(&lineup).as_array().unwrap().len()),
        }
    };
    for _ in 0..5 {
        assert_eq!(poll(), None, "nothing is known yet");
    }
    let post = |query: &str| {
        let request = format!("POST /lineup.post?{query} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\n\r\n");
        let answer = http::ask(daemon.address(), 8080, &request);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{query}");
    };
    let give_up = || {
        post("scan=abort");
        wait_until("the scan is over", SOON, || !daemon.is_scanning());
    };
    // The provider wakes up, and Plex asks for a scan while it polls. What has not begun yet cannot be given up.
    wait_until("the provider is asked", SOON, || source.connections() > 0);
    give_up();
    source.turn(Manner::document(entries(500)));
    post("scan=start&source=Cable");
    wait_until("all are there", SOON, || match poll() {
        None => false,
        Some(count) => {
            assert_eq!(count, 500, "all or none");
            true
        }
    });
    // Then it fails in every way; the lineup stays.
    let sorry = "<html>sorry</html>".to_owned();
    for manner in [Manner::document(""), Manner::document(sorry), Manner::Silent, Manner::halting(&entries(20), "")] {
        source.turn(manner);
        post("scan=start&source=Cable");
        for _ in 0..10 {
            assert_eq!(poll(), Some(500));
        }
        give_up();
        assert_eq!(poll(), Some(500));
    }
    assert_seen(&daemon, "Plex");
}

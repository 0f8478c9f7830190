//! What clients read over HTTP: names, types and order of every field, and every header that they may rely on.
//!
//! Golden files hold the answers; `TUNERD_BLESS=1` writes them anew, for a change that is meant.

use crate::kit::fakeff::Fake;
use crate::kit::{Daemon, Folder, Setup, http, run, wait_until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Compares with a golden file, with what differs from box to box and from day to day replaced.
fn golden(name: &str, daemon: &Daemon, text: &str) {
    let status = daemon.status();
    let id = status["device_id"].as_str().unwrap();
    // The UDN ends in the same id, in small letters; an id without letters looks the same in both.
    let udn_end = format!("-0000{}", id.to_lowercase());
    let mut shown = text.replace(&daemon.address().to_string(), "192.0.2.10").replace(&udn_end, "-0000{id}");
    shown = shown.replace(id, "{ID}");
    if let Some(at) = shown.find("\"DeviceAuth\":\"") {
        let from = at + "\"DeviceAuth\":\"".len();
        assert!(shown[from..from + 24].chars().all(|c| c.is_ascii_alphanumeric()), "{shown}");
        shown.replace_range(from..from + 24, "{AUTH}");
    }
    if let Some(at) = shown.find("Date: ") {
        let len = shown[at..].find('\n').unwrap();
        assert!(shown[at..at + len].ends_with(" GMT"), "{shown}");
        shown.replace_range(at..at + len, "Date: {DATE}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("TUNERD_BLESS").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shown, wanted, "{name}");
}

#[test]
fn every_answer_is_as_the_golden_files_hold_it() {
    let daemon = Daemon::demo();
    for (target, file, kind) in [
        ("/discover.json", "discover.json", "application/json; charset=\"utf-8\""),
        ("/lineup.json", "lineup.json", "application/json; charset=\"utf-8\""),
        ("/lineup.xml", "lineup.xml", "text/xml; charset=\"utf-8\""),
        ("/lineup.m3u", "lineup.m3u", "audio/x-mpegurl; charset=utf-8"),
        ("/lineup_status.json", "lineup_status.json", "application/json; charset=\"utf-8\""),
        ("/status.json", "status.json", "application/json; charset=\"utf-8\""),
        ("/device.xml", "device.xml", "text/xml; charset=\"utf-8\""),
        ("/lineup.json?show=all&tuning", "lineup_all_tuning.json", "application/json; charset=\"utf-8\""),
        ("/lineup.xml?tuning", "lineup_tuning.xml", "text/xml; charset=\"utf-8\""),
        ("/lineup.html", "lineup.html", "text/html; charset=utf-8"),
        ("/tuners.html", "tuners.html", "text/html; charset=utf-8"),
        ("/tuners.html?page=tuner1", "tuner1.html", "text/html; charset=utf-8"),
        ("/upgrade_status.json", "upgrade_status.json", "application/json; charset=\"utf-8\""),
    ] {
        for port in [8080, 5004] {
            let answer = http::get(daemon.address(), port, target);
            assert_eq!(answer.status, 200, "{target}");
            assert_eq!(answer.header("content-type"), Some(kind), "{target}");
            assert_eq!(answer.header("server"), Some("HDHomeRun/1.0"), "{target}");
            assert_eq!(answer.header("connection"), Some("close"), "{target}");
            assert_eq!(answer.header("cache-control"), Some("no-cache"), "{target}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{target}");
            assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "{target}");
            assert!(answer.header("date").is_some(), "{target}");
            golden(file, &daemon, answer.text());
        }
    }
    let folder = Folder::new();
    for target in ["/lineup.xml", "/device.xml"] {
        let file = folder.write("x.xml", daemon.get(target).body);
        assert_eq!(run("xmllint", &["--noout", file.to_str().unwrap()]).1, "", "{target}");
    }
}

#[test]
fn a_busy_tuner_and_a_stream_are_as_the_golden_files_hold_them() {
    let daemon = Daemon::demo();
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1.1");
    golden("stream.head", &daemon, &format!("{} {}\n", answer.status, answer.head.replace("\r\n", "\n")));
    let mut some = [0; 4096];
    stream.read_exact(&mut some).unwrap();
    // The rate is what it is.
    let answer = daemon.get("/status.json");
    let (before, after) = answer.text().split_once("\"NetworkRate\":").unwrap();
    let page = daemon.get("/tuners.html");
    assert!(page.text().contains("<tr><td>Tuner 0 Channel</td><td>1.1 Demo Bars</td></tr>"), "{}", page.text());
    let page = daemon.get("/tuners.html?page=tuner0");
    for row in ["<td>Virtual Channel</td><td>1.1 Demo Bars</td>", " Mbps</td>", "<td>IP address</td><td>127.0.0.1</td>"]
    {
        assert!(page.text().contains(row), "{}", page.text());
    }
    let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
    golden("status_busy.json", &daemon, &format!("{before}\"NetworkRate\":{{RATE}}{after}"));
}

#[test]
fn the_guide_is_valid_and_tells_the_truth() {
    let daemon = Daemon::demo();
    let answer = daemon.get("/xmltv.xml");
    assert_eq!(answer.status, 200);
    let folder = Folder::new();
    let file = folder.write("guide.xml", &answer.body);
    assert_eq!(run("xmllint", &["--noout", file.to_str().unwrap()]).1, "");
    for number in ["1.1", "1.2", "1.3", "1.4"] {
        assert!(answer.text().contains(&format!("<channel id=\"{number}\">")), "the id is the guide number");
        assert_eq!(answer.text().matches(&format!("channel=\"{number}\"")).count(), 24, "24 hours of {number}");
    }
    assert!(!answer.text().contains("<title></title>"));
}

#[test]
fn what_does_not_exist_and_what_may_not_be_done_is_said() {
    let daemon = Daemon::demo();
    for target in ["/auto/v9.9", "/auto/vx", "/tuner0/v9", "/auto/v", "/auto/v1.10"] {
        let answer = http::get(daemon.address(), 5004, target);
        assert_eq!((answer.status, answer.header("x-hdhomerun-error")), (404, Some("801 Unknown Channel")), "{target}");
        assert!(answer.body.is_empty());
    }
    for target in ["/nothing", "/..%2f..%2fetc/passwd", "/%2e%2e/", "/api//logs", "/auto/ch1", "/web/page.js"] {
        assert_eq!(daemon.get(target).status, 404, "{target}");
    }
    let address = daemon.address();
    let ask = |line: &str| {
        http::ask(address, 8080, &format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    };
    let post = ask("POST /discover.json");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    let get = ask("GET /lineup.post?scan=start");
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert_eq!(ask("POST /lineup.post").status, 400);
    let scan = ask("POST /lineup.post?scan=start&source=Cable");
    assert_eq!((scan.status, scan.body.len()), (200, 0));
    let foreign = "POST /lineup.post?scan=start HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(http::ask(address, 8080, foreign).status, 403);
}

#[test]
fn head_answers_like_get_and_takes_no_tuner() {
    let daemon = Daemon::demo();
    let head = |target: &str| {
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        http::ask(daemon.address(), 5004, &request)
    };
    for target in ["/discover.json", "/lineup.json", "/lineup.xml", "/device.xml", "/xmltv.xml", "/"] {
        let (answer, whole) = (head(target), http::get(daemon.address(), 5004, target));
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{target}");
        assert_eq!(answer.header("content-length"), whole.header("content-length"), "{target}");
    }
    let stream = head("/auto/v1.1");
    assert_eq!((stream.status, stream.header("content-type")), (200, Some("video/mpeg")));
    assert_eq!(head("/auto/v9").status, 404);
    assert!(daemon.children().is_empty());
    assert!(daemon.tuner_states().iter().all(|state| state == "free"));
}

#[test]
fn streams_have_no_length_no_chunks_and_ignore_ranges() {
    let daemon = Daemon::demo();
    for version in ["1.0", "1.1"] {
        let mut stream = http::connect(daemon.address(), 5004);
        let request =
            format!("GET /auto/v1.1?x?transcode=none HTTP/{version}\r\nHost: localhost\r\nRange: bytes=0-\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut start = vec![0; 2048];
        stream.read_exact(&mut start).unwrap();
        let end = start.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(start[..end].to_vec()).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        for absent in ["content-length", "transfer-encoding", "content-range", "accept-ranges"] {
            assert!(!head.contains(absent), "{head}");
        }
        assert_eq!(start[end + 4], 0x47, "packets follow the head at once");
    }
}

#[test]
fn a_frequency_plays_as_its_channel_does() {
    let daemon = Daemon::demo();
    for (target, resource) in [
        ("/auto/ch57000000", "tuner0"),
        ("/auto/ch57000000-1", "tuner0"),
        ("/auto/ch2", "tuner0"),
        ("/tuner2/ch63000000-1", "tuner2"),
    ] {
        let (answer, mut stream) = http::open(daemon.address(), 5004, target);
        assert_eq!((answer.status, answer.header("x-hdhomerun-resource")), (200, Some(resource)), "{target}");
        let mut packet = [0; 188];
        stream.read_exact(&mut packet).unwrap();
        assert_eq!(packet[0], 0x47);
        drop(stream);
        daemon.wait_until_idle();
    }
    for target in ["/auto/ch57000000-2", "/auto/ch500000000", "/auto/ch", "/auto/ch99", "/auto/ch-1", "/auto/ch1-"] {
        let answer = http::get(daemon.address(), 5004, target);
        assert_eq!((answer.status, answer.header("x-hdhomerun-error")), (404, Some("801 Unknown Channel")), "{target}");
    }
}

#[test]
fn limits_are_kept() {
    let daemon = Daemon::demo();
    let ask = |request: String| http::ask(daemon.address(), 8080, &request);
    let long = ask(format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "a".repeat(9_000)));
    assert_eq!(long.status, 414);
    let many: String = (0..80).fold(String::new(), |all, n| all + &format!("X-{n}: y\r\n"));
    assert_eq!(ask(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}Connection: close\r\n\r\n")).status, 431);
    let big =
        ask(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\nConnection: close\r\n\r\n", "a".repeat(40_000)));
    assert!(matches!(big.status, 400 | 431), "{}", big.status);
    let body =
        ask("POST /lineup.post?scan=abort HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n"
            .to_owned());
    assert_eq!(body.status, 413);
    for rubbish in ["\0\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        assert_eq!(ask(rubbish.to_owned()).status, 400, "{rubbish:?}");
    }
}

#[test]
fn idle_and_slow_connections_are_closed_and_keep_nobody_out() {
    // At stake: somebody opens all the connections there are and says nothing. Whoever asks something meanwhile gets the
    // place of who has said nothing for longest; the others have their time, and no more.
    let mut setup = Setup::new();
    setup.set("network", "connections_max = 12\nconnections_per_address_max = 12");
    let daemon = setup.start();
    let from_elsewhere = || {
        let mut stream = connect_from(Ipv4Addr::new(127, 255, 1, 1), daemon.address(), 8080);
        stream.write_all(b"GET /discover.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let opened = Instant::now();
    let mut idle: Vec<_> = (0..12).map(|_| http::connect(daemon.address(), 8080)).collect();
    idle[1].write_all(b"GET / HT").unwrap();
    assert!(from_elsewhere().contains("200 OK"));
    assert!(opened.elapsed() < Duration::from_secs(3), "he did not wait for theirs to be over");
    let mut nothing = [0];
    assert!(matches!(idle.remove(0).read(&mut nothing), Ok(0) | Err(_)), "the first one gave his place up");
    assert!(opened.elapsed() < Duration::from_secs(3), "and at once");
    // The one with half a head among them.
    assert!(matches!(idle.remove(0).read(&mut nothing), Ok(0) | Err(_)));
    assert!((4..9).contains(&opened.elapsed().as_secs()), "they had their time: {:?}", opened.elapsed());
    assert!(
        daemon.get("/metrics").text().lines().any(|line| {
            line.strip_prefix("tunerd_http_connections_refused_total ").is_some_and(|count| count != "0")
        })
    );
}

/// Connects from one of the many addresses of the loopback.
fn connect_from(source: Ipv4Addr, address: Ipv4Addr, port: u16) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((address, port)).into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream
}

#[test]
fn two_hundred_silent_connections_keep_neither_clients_nor_the_owner_out() {
    // As above, with the bounds that a box has, from forty addresses, and again and again.
    let daemon = Setup::new().start();
    let mut silent = std::collections::VecDeque::new();
    for round in 0..200_u8 {
        silent.push_back(connect_from(Ipv4Addr::new(127, 66, round / 50, 1 + round % 10), daemon.address(), 8080));
        if round >= 64 && round % 8 == 0 {
            for target in ["/", "/discover.json", "/api/v1/status"] {
                let asked = Instant::now();
                assert_eq!(daemon.get(target).status, 200, "{target} after {round}");
                assert!(asked.elapsed() < Duration::from_secs(1), "{target} took {:?}", asked.elapsed());
            }
        }
    }
    assert!(daemon.fds() < 150, "no more sockets than places: {}", daemon.fds());
}

#[test]
fn viewers_and_strangers_leave_the_last_places_to_who_manages_the_box() {
    let (_fake, mut setup) = Fake::setup(&[("One", "live")]);
    setup.set("network", "connections_max = 16\nconnections_per_address_max = 16");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let viewers: Vec<_> = (0..14).map(|_| http::open(daemon.address(), 5004, "/auto/v1")).collect();
    assert!(viewers.iter().all(|(answer, _)| answer.status == 200));
    let fifteenth = http::open(daemon.address(), 5004, "/auto/v1").0;
    assert_eq!((fifteenth.status, fifteenth.header("x-hdhomerun-error")), (503, Some("803 System Busy")));
    assert_eq!(fifteenth.header("connection"), Some("close"));
    assert_eq!(daemon.get("/discover.json").status, 503);
    for target in ["/", "/app.js", "/api/v1/session", "/api/v1/status"] {
        assert_eq!(daemon.get(target).status, 200, "{target}");
    }
    drop(viewers);
    wait_until("there is room again", Duration::from_secs(5), || daemon.get("/discover.json").status == 200);
}

#[test]
fn a_length_and_chunks_together_get_one_answer_and_nothing_behind_them_is_read() {
    // At stake: what could be read in two ways, of which somebody in between may choose the other one.
    let daemon = Setup::new().start();
    let behind = "GET /discover.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for both in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked",
    ] {
        let asked = Instant::now();
        let mut stream = http::connect(daemon.address(), 8080);
        let request =
            format!("POST /lineup.post?scan=abort HTTP/1.1\r\nHost: localhost\r\n{both}\r\n\r\n0\r\n\r\n{behind}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answers = Vec::new();
        stream.read_to_end(&mut answers).map(drop).unwrap_or_default();
        let answers = String::from_utf8_lossy(&answers);
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
        assert!(!answers.contains("DeviceID"), "{answers}");
        assert!(asked.elapsed() < Duration::from_secs(3), "it hangs up at once");
    }
}

#[test]
fn one_address_cannot_take_all_connections() {
    let mut setup = Setup::new();
    setup.set("network", "connections_per_address_max = 3");
    let daemon = setup.start();
    let _idle: Vec<_> = (0..3).map(|_| http::connect(daemon.address(), 5004)).collect();
    wait_until("the fourth is turned away", Duration::from_secs(3), || {
        let mut answer = String::new();
        http::connect(daemon.address(), 8080).read_to_string(&mut answer).is_ok() && answer.contains("503")
    });
}

#[test]
fn logs_metrics_and_health_can_be_read() {
    let daemon = Daemon::demo();
    let (health, entries) = (daemon.get("/healthz"), daemon.get("/api/logs/entries?level=info&limit=1"));
    assert_eq!((health.status, health.text()), (200, "ok\n"));
    let entries: serde_json::Value = serde_json::from_slice(&entries.body).unwrap();
    let newest = &entries.as_array().unwrap()[0];
    assert_eq!(newest["id"].as_str().unwrap().len(), 22);
    assert!(newest["text"].as_str().unwrap().contains("in Plex, type"));
    let after = daemon.get(&format!("/api/logs/entries?after={}", newest["id"].as_str().unwrap()));
    assert_eq!(after.text(), "[]");
    for bad in ["after=%%%", "after=AAAAAAAAAAAAAAAAAAAAAA", "after=x"] {
        assert_eq!(daemon.get(&format!("/api/logs/entries?{bad}")).status, 404, "{bad}");
    }
    for bad in ["limit=0", "limit=9999", "limit=x", "level=loud"] {
        assert_eq!(daemon.get(&format!("/api/logs/entries?{bad}")).status, 422, "{bad}");
    }
    let metrics = daemon.get("/metrics");
    for line in ["tunerd_channels 4", "tunerd_viewers 0", "tunerd_ffmpeg_processes_active 0"] {
        assert!(metrics.text().lines().any(|shown| shown == line), "{line}");
    }
}

#[test]
fn the_page_comes_whole_and_keeps_to_itself() {
    let daemon = Daemon::demo();
    let page = daemon.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (target, kind) in [("style.css", "text/css"), ("app.js", "text/javascript"), ("icon.svg", "image/svg+xml")] {
        let answer = daemon.get(&format!("/{target}"));
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{target}");
        assert!(page.text().contains(target), "the page uses {target}");
        for elsewhere in ["//cdn", "src=\"http", "url(http", "import(\"http", "innerHTML"] {
            assert!(!answer.text().contains(elsewhere), "{target} has {elsewhere}");
        }
    }
    let tag = page.header("etag").unwrap().to_owned();
    let again = format!("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n");
    assert_eq!(http::ask(daemon.address(), 8080, &again).status, 304);
}

//! Playlists as they come: odd, broken, missing, hostile. Whatever arrives, clients keep a lineup they can use.

use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Setup, http, run, wait_until};
use nix::sys::stat::Mode;
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A good playlist; its lineup is what must survive.
const GOOD: &str = "#EXTM3U\n#EXTINF:-1 tvg-chno=\"5\",Five\nhttp://127.0.0.1:9/5.ts\n\
                    #EXTINF:-1 tvg-chno=\"6.1\",Six\nhttp://127.0.0.1:9/6.ts\n";

fn good_channels() -> Vec<(String, String)> {
    [("5", "Five"), ("6.1", "Six")].map(|(number, name)| (number.to_owned(), name.to_owned())).to_vec()
}

/// A daemon that plays this playlist, once it has read it.
fn with_file(text: impl AsRef<[u8]>) -> Daemon {
    let mut setup = Setup::new();
    setup.playlist(text);
    start(setup)
}

fn with_source(source: &Source) -> Daemon {
    start(subscribed_to(&source.url("/list.m3u")))
}

fn subscribed_to(playlist: &str) -> Setup {
    let mut setup = Setup::new();
    setup.set("lineup", &format!("playlist = {playlist:?}"));
    setup
}

fn start(setup: Setup) -> Daemon {
    let daemon = setup.start();
    wait_until("the playlist is read", Duration::from_secs(20), || {
        daemon.get("/lineup.json").status == 200 && !daemon.is_scanning()
    });
    assert_eq!(daemon.problem("playlist"), None);
    daemon
}

fn file(daemon: &Daemon) -> PathBuf {
    daemon.setup.folder.path().join("channels.m3u")
}

/// Has the playlist fetched, which must fail, say `parts`, and leave the good lineup alone.
fn assert_refused(daemon: &Daemon, what: &str, parts: &[&str]) {
    daemon.scan();
    let problem = daemon.problem("playlist").unwrap_or_default();
    for part in parts {
        assert!(problem.contains(part), "{what}: {part:?} is not in {problem:?}");
    }
    assert!(problem.contains("The channels it had before stay."), "{what}: {problem}");
    assert!(daemon.has_logged(&problem), "{what}: {}", daemon.log());
    assert_eq!(daemon.channels(), good_channels(), "{what}");
}

fn assert_accepted(daemon: &Daemon) {
    daemon.scan();
    assert_eq!((daemon.problem("playlist"), daemon.channels()), (None, good_channels()));
}

// ---- Odd, and yet playlists --------------------------------------------------------------------------------------

#[test]
fn what_editors_and_providers_do_to_a_playlist_is_understood() {
    let daemon = with_file(
        "\u{feff}#EXTM3U\r\n#EXTINF:-1 tvg-chno=\"3\",Three\r\nhttp://127.0.0.1:9/3.ts\r\n\
         #EXTINF:-1 tvg-chno=\"3\",Also Three\r\nhttp://127.0.0.1:9/33.ts\r\n\
         #EXTINF:-1\r\nhttp://127.0.0.1:9/nameless.ts\r\n\
         http://127.0.0.1:9/lines/bare.ts\r\n\
         #EXTINF:-1,\r\nhttp://127.0.0.1:9/\r\n\
         #EXTINF:-1,Same\r\nhttp://127.0.0.1:9/a.ts\r\n#EXTINF:-1,Same\r\nhttp://127.0.0.1:9/b.ts\r\n\
         #EXTINF:-1,Camera\r\nmms://127.0.0.1/1",
    );
    let channels = daemon.channels();
    let names: Vec<&str> = channels.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["Three", "Also Three", "nameless", "bare", "Channel 5", "Same", "Same"]);
    assert_eq!(channels[0].0, "3");
    let numbers: BTreeSet<&String> = channels.iter().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), channels.len(), "{channels:?}");
    let playlist = daemon.status()["playlist"].clone();
    assert_eq!((&playlist["found"], &playlist["skipped"]), (&7.into(), &1.into()));
    assert!(playlist["first_skipped"].as_str().unwrap().contains("line 16"), "{playlist}");
}

#[test]
fn ten_thousand_channels_arrive_and_nobody_waits_meanwhile() {
    let source = Source::document(GOOD);
    let daemon = with_source(&source);
    // Every third number is asked for twice.
    let entry =
        |n: usize| format!("#EXTINF:-1 tvg-chno=\"{}\",Channel {n}\nhttp://127.0.0.1:9/{n}.ts\n", n - n % 3 / 2);
    let all: String = (1..=10_000).map(entry).collect();
    source.turn(Manner::document(format!("#EXTM3U\n{all}")));
    daemon.begin_scan();
    let (mut slowest, mut asked) = (Duration::ZERO, 0);
    while daemon.is_scanning() {
        let before = Instant::now();
        assert_eq!(daemon.get("/discover.json").status, 200);
        slowest = slowest.max(before.elapsed());
        asked += 1;
    }
    assert!(asked > 0 && slowest < Duration::from_secs(5), "asked {asked} times, waited {slowest:?} at most");
    // Clients look in the very moment when the scan ends.
    let channels = daemon.channels();
    assert_eq!(channels.len(), 10_000);
    assert!(
        channels.iter().map(|(_, name)| name).eq(&(1..=10_000).map(|n| format!("Channel {n}")).collect::<Vec<_>>())
    );
    let numbers: BTreeSet<&String> = channels.iter().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), 10_000);
    assert_eq!(daemon.get("/lineup.m3u").text().matches("#EXTINF").count(), 10_000);
    let guide = daemon.setup.folder.write("guide.xml", daemon.get("/xmltv.xml").body);
    assert!(run("xmllint", &["--noout", guide.to_str().unwrap()]).0.success());
}

#[test]
fn hostile_names_stay_names() {
    let hostile = [
        "\"><script>alert(1)</script>",
        "Tom & Jerry &amp; <b>",
        "quote ' and \" and ]]>",
        "bell \u{7} escape \u{1b}[31m delete \u{7f} \u{85} \u{fffe}",
        "line\u{2028}separator",
        "#EXTINF:-1,Fake",
        "%s%n {} ${HOME} $(reboot) `reboot`",
        "-i /etc/passwd",
    ];
    let entry = |name: &&str| format!("#EXTINF:-1 tvg-id=\"{name}\" group-title='{name}',{name}\nhttp://h/x?a&b=1\n");
    let entries: Vec<String> = hostile.iter().map(entry).collect();
    let daemon = with_file(format!("#EXTM3U\n{}", entries.concat()));
    assert_eq!(daemon.channels().len(), hostile.len());
    for target in ["/lineup.xml", "/xmltv.xml", "/device.xml"] {
        let answer = daemon.get(target);
        assert_eq!(answer.status, 200, "{target}");
        let path = daemon.setup.folder.write("answer.xml", &answer.body);
        let (status, said) = run("xmllint", &["--noout", path.to_str().unwrap()]);
        assert!(status.success(), "{target}: {said}");
        assert!(!answer.text().contains("<script"), "{target}: {}", answer.text());
    }
    let answer = daemon.get("/lineup.m3u");
    let lines: Vec<&str> = answer.text().lines().collect();
    assert_eq!(lines.len(), 1 + 2 * hostile.len(), "{lines:?}");
    for entry in lines[1..].chunks(2) {
        assert!(entry[0].starts_with("#EXTINF:-1 channel-id=") && entry[1].starts_with("http://127."), "{entry:?}");
        assert_eq!(entry[0].matches('"').count() % 2, 0, "{entry:?}");
    }
}

#[test]
fn a_number_is_for_life() {
    // At stake: recordings and favourites of every client hang on the number. A provider reorders, renews its
    // addresses, drops channels and brings them back.
    let list = |entries: &[(&str, &str)]| -> String {
        let entry = |(name, token): &(&str, &str)| format!("#EXTINF:-1,{name}\nhttp://127.0.0.1:9/{name}/{token}.ts\n");
        entries.iter().map(entry).fold("#EXTM3U\n".to_owned(), |all, entry| all + &entry)
    };
    let daemon = with_file(list(&[("One", "a"), ("Two", "a"), ("Three", "a")]));
    let assert_becomes = |text: String, expected: &[(&str, &str)]| {
        fs::write(file(&daemon), text).unwrap();
        daemon.scan();
        let channels = daemon.channels();
        let found: Vec<(&str, &str)> = channels.iter().map(|(number, name)| (name.as_str(), number.as_str())).collect();
        assert_eq!(found, expected);
    };
    assert_becomes(list(&[("One", "a"), ("Two", "a"), ("Three", "a")]), &[("One", "1"), ("Two", "2"), ("Three", "3")]);
    assert_becomes(list(&[("Three", "b"), ("One", "b"), ("Two", "b")]), &[("Three", "3"), ("One", "1"), ("Two", "2")]);
    assert_becomes(list(&[("Three", "b"), ("Four", "b")]), &[("Three", "3"), ("Four", "4")]);
    // The numbers 1 and 2 are not free, even for those who ask for them.
    let asks = "#EXTINF:-1 tvg-chno=\"1\",Five\nhttp://127.0.0.1:9/5.ts\n";
    assert_becomes(list(&[("Four", "b")]) + asks, &[("Four", "4"), ("Five", "5")]);
    assert_becomes(list(&[("Two", "c"), ("One", "c"), ("Four", "c")]), &[("Two", "2"), ("One", "1"), ("Four", "4")]);
    // A removed number is unknown, not somebody else's.
    assert_eq!(http::get(daemon.address(), 5004, "/auto/v3").header("x-hdhomerun-error"), Some("801 Unknown Channel"));
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = start(setup);
    assert_eq!(daemon.channels().iter().map(|(number, _)| number.as_str()).collect::<Vec<_>>(), ["2", "1", "4"]);
}

// ---- Not to be had, or no playlists ------------------------------------------------------------------------------

/// Puts something where the playlist should be.
type Make = Box<dyn Fn(&Path)>;

#[test]
fn a_bad_file_leaves_the_old_lineup() {
    let daemon = with_file(GOOD);
    let path = file(&daemon);
    let rubbish: Vec<u8> = (0..100_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let put = |bytes: &[u8]| -> Make {
        let bytes = bytes.to_owned();
        Box::new(move |path| fs::write(path, &bytes).unwrap())
    };
    let bad: [(&str, &[&str], Make); 9] = [
        ("missing", &["No such file"], Box::new(|_| ())),
        ("binary rubbish", &["not a playlist but"], put(&rubbish)),
        ("a transport stream", &["not a playlist but a stream"], put(&[&[0x47, 0, 0][..], &rubbish].concat())),
        ("a directory", &["it is a directory, not a file"], Box::new(|path| fs::create_dir(path).unwrap())),
        ("a pipe", &["it is no plain file"], Box::new(|path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap())),
        ("empty", &["lists no channels"], put(b"")),
        ("a header and nothing else", &["lists no channels"], put(b"#EXTM3U\n")),
        (
            "HTML",
            &["not a playlist but a web page"],
            put(b"<!DOCTYPE html>\n<html><body>Your session has expired</body></html>\n"),
        ),
        ("prose", &["not a playlist but"], put(b"Dear customer,\nyour subscription has ended.\n")),
    ];
    for (what, parts, make) in bad {
        // There may be nothing, a file or a directory.
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap_or_default();
        make(&path);
        let place = path.to_str().unwrap();
        assert_refused(&daemon, what, &[&[place], parts].concat());
    }
    fs::write(&path, GOOD).unwrap();
    assert_accepted(&daemon);
}

#[test]
fn a_bad_server_leaves_the_old_lineup() {
    let source = Source::document(GOOD);
    let daemon = with_source(&source);
    let redirect = |to: &str| {
        Manner::Fixed(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    };
    let error = |status: &str| Manner::Fixed(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes());
    let mut huge = b"#EXTM3U\n".to_vec();
    let comment = [&b"#"[..], &[b'x'; 8_000], b"\n"].concat();
    while huge.len() <= 64 * 1024 * 1024 {
        huge.extend(&comment);
    }
    let promise = |len: usize| {
        Manner::Fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{GOOD}", GOOD.len() + len).into_bytes())
    };
    for (what, manner, parts) in [
        ("404", error("404 Not Found"), &["404", "there is no such playlist"][..]),
        ("403", error("403 Forbidden"), &["403", "login"]),
        ("500", error("500 Internal Server Error"), &["500"]),
        ("no content", error("204 No Content"), &["204"]),
        ("a redirect loop", redirect(&source.url("/again.m3u")), &["redirects more than 3 times"]),
        ("a redirect to a file", redirect("file:///etc/passwd"), &["redirects to a bad address"]),
        ("a redirect to nowhere", Manner::Fixed(b"HTTP/1.1 302 Found\r\n\r\n".to_vec()), &["redirects to nowhere"]),
        ("HTML", Manner::document("<html>login</html>"), &["a web page"]),
        ("empty", Manner::document(""), &["lists no channels"]),
        ("more than 64 MiB", Manner::document(huge), &["64 MiB"]),
        ("a broken connection", promise(100), &["broke in the middle"]),
        ("no HTTP", Manner::Fixed(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), &["does not speak HTTP"]),
        ("nothing at all", Manner::Fixed(Vec::new()), &["does not speak HTTP"]),
    ] {
        source.turn(manner);
        assert_refused(&daemon, what, parts);
    }
    source.turn(Manner::document(GOOD));
    assert_accepted(&daemon);
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let source = Source::document(GOOD);
    let daemon = with_source(&source);
    source.turn(Manner::halting(GOOD, ""));
    assert_refused(&daemon, "hangs in the middle", &["stopped in the middle"]);
    source.turn(Manner::document(GOOD));
    assert_accepted(&daemon);
}

#[test]
fn a_server_that_cannot_be_reached_leaves_the_old_lineup() {
    let source = Source::document(GOOD);
    let mut daemon = with_source(&source);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, part) in [
        (format!("http://{closed}/list.m3u"), "refuses connections"),
        (format!("https://127.0.0.1:{}/list.m3u", source.port()), "no secure connection"),
    ] {
        daemon.setup.set("lineup", &format!("playlist = {address:?}"));
        daemon.hang_up();
        wait_until("the new address is tried", Duration::from_secs(20), || {
            daemon.problem("playlist").is_some_and(|problem| problem.contains(&address))
        });
        assert_refused(&daemon, &address, &[part]);
    }
    daemon.setup.set("lineup", &format!("playlist = {:?}", source.url("/list.m3u")));
    daemon.hang_up();
    wait_until("the good one is back", Duration::from_secs(20), || daemon.problem("playlist").is_none());
    assert_eq!(daemon.channels(), good_channels());
}

// ---- Starting ---------------------------------------------------------------------------------------------------

#[test]
fn before_the_first_playlist_there_is_no_lineup_rather_than_an_empty_one() {
    // At stake: Plex forgets all channels of a tuner whose lineup is empty, and their recordings with them.
    let source = Source::fixed("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let daemon = subscribed_to(&source.url("/list.m3u")).start();
    wait_until("it has failed", Duration::from_secs(20), || daemon.problem("playlist").is_some());
    let problem = daemon.problem("playlist").unwrap();
    assert!(problem.contains("404") && problem.contains("no channels until it works"), "{problem}");
    for target in ["/lineup.json", "/lineup.xml", "/lineup.m3u", "/xmltv.xml", "/auto/v1"] {
        let answer = daemon.get(target);
        assert_eq!(answer.status, 503, "{target}");
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{target}");
        assert!(!answer.text().contains("[]"), "{target}");
    }
    assert_eq!(daemon.get("/healthz").status, 503);
    assert_eq!(daemon.get("/discover.json").status, 200, "the device is there all the same");
    source.turn(Manner::document(GOOD));
    assert_accepted(&daemon);
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn known_channels_are_there_after_a_restart_without_network() {
    let source = Source::document(GOOD);
    let daemon = with_source(&source);
    let setup = daemon.setup.clone();
    drop(daemon);
    for manner in [Manner::Silent, Manner::Fixed(Vec::new())] {
        source.turn(manner);
        let daemon = setup.clone().start();
        daemon.wait_for_lineup();
        assert_eq!(daemon.channels(), good_channels());
    }
}

#[test]
fn a_scan_is_in_progress_from_its_start_to_its_lineup() {
    let source = Source::document(GOOD);
    let daemon = with_source(&source);
    let status = |daemon: &Daemon| -> serde_json::Value {
        serde_json::from_slice(&daemon.get("/lineup_status.json").body).unwrap()
    };
    assert_eq!((&status(&daemon)["ScanInProgress"], &status(&daemon)["ScanPossible"]), (&0.into(), &1.into()));
    let (first, second) = GOOD.split_at(GOOD.rfind("#EXTINF").unwrap());
    source.turn(Manner::halting(first, &format!("{second}#EXTINF:-1,New\nhttp://127.0.0.1:9/new.ts\n")));
    let connections = source.connections();
    daemon.begin_scan();
    assert_eq!(status(&daemon)["ScanInProgress"], 1, "at once, or clients take it for over");
    wait_until("the first entry is counted", Duration::from_secs(5), || status(&daemon)["Found"] == 1);
    // Impatient clients ask again.
    daemon.begin_scan();
    assert_eq!(daemon.channels(), good_channels(), "the old lineup, until the new one is complete");
    source.turn(Manner::document(GOOD));
    wait_until("the scan ends", Duration::from_secs(20), || !daemon.is_scanning());
    assert_eq!(daemon.channels().len(), 3);
    assert_eq!(source.connections(), connections + 1, "one fetch is enough");
}

// ---- Secrets ----------------------------------------------------------------------------------------------------

#[test]
fn what_a_provider_keeps_secret_is_shown_nowhere() {
    // At stake: log lines and screenshots of the page end up in forums. Every place that may hold a login holds
    // SECRET42 here, and everything that can go wrong does.
    let source = Source::document(
        "#EXTM3U\n\
         #EXTINF:-1,Userinfo\nhttp://me:SECRET42@127.0.0.1:9/1.ts\n\
         #EXTINF:-1,Query\nhttp://127.0.0.1:9/2.ts?token=SECRET42\n\
         #EXTINF:-1,Path\nhttp://127.0.0.1:9/live/me/SECRET42/3.ts\n\
         http://127.0.0.1:9/live/me/SECRET42/4.ts\n\
         #EXTINF:-1,HLS\nhttp://me:SECRET42@127.0.0.1:9/live/me/SECRET42/5.m3u8?password=SECRET42\n\
         #EXTINF:-1,Refused\nmms://me:SECRET42@127.0.0.1/6\n\
         #EXTINF:-1,Refused\nhttp://me:SECRET42@127.0.0.1:port/7\n",
    );
    let url = format!("http://me:SECRET42@127.0.0.1:{}/get.php?username=me&password=SECRET42", source.port());
    let mut setup = subscribed_to(&url);
    setup.set("log", "level = \"debug\"");
    let mut daemon = start(setup);
    assert_eq!(daemon.channels().len(), 5);
    for number in 1..=5 {
        assert_eq!(http::get(daemon.address(), 5004, &format!("/auto/v{number}")).status, 503);
    }
    let redirect = |to: &str| Manner::Fixed(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n").into_bytes());
    for manner in [
        Manner::Fixed(b"HTTP/1.1 401 SECRET42\r\nContent-Length: 8\r\n\r\nSECRET42".to_vec()),
        redirect("http://me:SECRET42@127.0.0.1:9/SECRET42?SECRET42"),
        redirect("ftp://me:SECRET42@127.0.0.1/"),
        Manner::document("SECRET42"),
        Manner::document("<html>SECRET42"),
        Manner::Fixed(b"SECRET42 SECRET42\r\n\r\n".to_vec()),
    ] {
        source.turn(manner);
        daemon.scan();
        assert!(daemon.problem("playlist").is_some());
    }
    source.turn(Manner::document("#EXTM3U\n#EXTINF:-1,Name\nmms://me:SECRET42@h/\n"));
    daemon.scan();
    // Settings that cannot be read, read again.
    let broken = format!("[lineup]\nplalist = \"{url}\"\n");
    daemon.setup.folder.write("tunerd.toml", broken);
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    daemon.wait_for_log("the settings were not taken over");
    daemon.setup.set("lineup", &format!("playlist = {:?}", url.replace("http://", "https://")));
    daemon.hang_up();
    wait_until("the new address is tried", Duration::from_secs(20), || {
        daemon.problem("playlist").is_some_and(|problem| problem.contains("no secure connection"))
    });
    for target in [
        "/api/v1/status",
        "/api/logs/entries?level=debug&limit=512",
        "/lineup.json",
        "/lineup.xml",
        "/lineup.m3u",
        "/lineup_status.json",
        "/status.json",
        "/discover.json",
        "/xmltv.xml",
        "/metrics",
        "/healthz",
        "/",
    ] {
        let answer = daemon.get(target);
        assert!(!answer.body.is_empty(), "{target}");
        assert!(!answer.text().contains("SECRET42"), "{target}: {}", answer.text());
    }
    assert!(!daemon.log().contains("SECRET42"), "{}", daemon.log());
    // The test looks where there is something to see.
    assert!(daemon.log().contains("refuses connections") && daemon.log().contains("401"), "{}", daemon.log());
}

#[test]
fn a_server_must_prove_who_it_is() {
    // At stake: a playlist with logins in it, given to whoever sits in between. The same server is refused first, and
    // accepted by a box that trusts its certificate.
    let mut setup = Setup::new();
    let (key, certificate) = (setup.folder.path().join("key.pem"), setup.folder.path().join("certificate.pem"));
    let (key, certificate) = (key.to_str().unwrap().to_owned(), certificate.to_str().unwrap().to_owned());
    let made = run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=playlist",
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
    );
    assert!(made.0.success(), "{}", made.1);
    setup.folder.write("list.m3u", "#EXTM3U\n#EXTINF:-1,Secret\nhttp://127.0.0.1:9/1.ts\n");
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let _server = Killed(
        Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-WWW",
                "-accept",
                &format!("127.0.0.1:{port}"),
                "-key",
                &key,
                "-cert",
                &certificate,
            ])
            .current_dir(setup.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    setup.set("lineup", &format!("playlist = \"https://127.0.0.1:{port}/list.m3u\""));
    wait_until("the server listens", Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let trusting = setup.clone();

    let daemon = setup.start();
    wait_until("the stranger is refused", Duration::from_secs(15), || daemon.problem("playlist").is_some());
    let problem = daemon.problem("playlist").unwrap();
    assert!(problem.contains("no secure connection") && problem.contains("certificate"), "{problem}");
    assert_eq!(daemon.get("/lineup.json").status, 503);
    drop(daemon);

    let mut trusting = trusting;
    trusting.environment("SSL_CERT_FILE", &certificate);
    let daemon = trusting.start();
    wait_until("the friend is accepted", Duration::from_secs(15), || {
        daemon.get("/lineup.json").status == 200 || daemon.problem("playlist").is_some()
    });
    assert_eq!(daemon.problem("playlist"), None);
    assert_eq!(daemon.channels(), [("1".to_owned(), "Secret".to_owned())]);
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

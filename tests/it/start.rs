//! Starting, stopping, and going on when something is missing: whatever can work does, and what cannot is said.

use crate::kit::media::{inspect, make_ts, read_bytes};
use crate::kit::{Daemon, Folder, Setup, TUNERD, http, is_alive, run, wait_until};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for what should happen at once, on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(5);

/// Channels whose stream a fake FFmpeg makes.
fn playlist(channels_len: usize) -> String {
    let entry = |n: usize| format!("#EXTINF:-1,Channel {n}\nudp://channel{n}.example:9\n");
    (1..=channels_len).map(entry).fold("#EXTM3U\n".to_owned(), |all, entry| all + &entry)
}

/// A daemon whose FFmpeg is this script; `$ts` is a file of transport stream in it.
fn with_fake_ffmpeg(script: &str) -> Setup {
    let mut setup = Setup::new();
    let ts = make_ts(&setup.folder.path().join("picture.ts"), 2);
    setup.fake_ffmpeg(&format!("ts='{}'\n{script}", ts.display()));
    setup.playlist(playlist(12));
    setup
}

/// A child that plays until it is told to end.
const PLAYS: &str = "while cat \"$ts\"; do sleep 0.2; done";

fn start(setup: Setup) -> Daemon {
    let daemon = setup.start();
    daemon.wait_for_lineup();
    daemon
}

fn open(daemon: &Daemon, number: usize) -> TcpStream {
    let (answer, stream) = http::open(daemon.address(), 5004, &format!("/auto/v{number}"));
    assert_eq!(answer.status, 200, "{}", answer.head);
    stream
}

/// Reads a stream to its end, which must come soon.
fn drained(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest
}

fn device_id(daemon: &Daemon) -> String {
    daemon.status()["device_id"].as_str().unwrap().to_owned()
}

/// Ends a daemon as systemd does, and gives what is needed to start it again.
fn stop(daemon: &Daemon) -> Setup {
    daemon.signal(Signal::SIGTERM);
    let status = daemon.ended(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    daemon.setup.clone()
}

// ---- Settings ---------------------------------------------------------------------------------------------------

#[test]
fn wrong_settings_are_answered_with_key_value_range_and_the_line_to_write() {
    let folder = Folder::new();
    for (text, parts) in [
        ("[slots]\ncount = 0", &["slots.count is 0", "1 to 64", "count = 1"][..]),
        ("[network]\npage_port = 70000", &["network.page_port is 70000", "1 to 65535", "page_port = 8080"]),
        ("[log]\nlevel = \"loud\"", &["log.level is \"loud\"", "error, warn, info or debug", "level = \"info\""]),
        ("[slots]\ncont = 4", &["cont", "count", "line 2", "tools/tunerd.toml.example"]),
        ("[lineup\n", &["line 1"]),
        ("[slots]\ncount = \"four\"", &["line 2", "four"]),
    ] {
        let file = folder.write("wrong.toml", text);
        let (status, said) = run(TUNERD, &["--config", file.to_str().unwrap()]);
        assert_eq!(status.code(), Some(64), "{text:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{text:?} gave {said:?}, without {part:?}");
        }
        assert!(said.contains("wrong.toml"), "the file is named: {said}");
    }
}

#[test]
fn a_wrong_line_with_a_password_is_not_repeated() {
    let folder = Folder::new();
    let url = "http://me:SECRET42@provider.example/get.php?password=SECRET42";
    for text in [
        format!("[lineup]\nplalist = \"{url}\""),
        format!("[lineup]\nplaylist = \"{url}"),
        format!("lineup = \"{url}\""),
        format!("[lineup]\nplaylist = \"{url} x\""),
        "[lineup]\nplaylist = \"ftp://me:SECRET42@h/\"".to_owned(),
        format!("[lineup]\nplaylist = [\"{url}\"]"),
        format!("[slots]\ncount = \"my word: {url} SECRET42\""),
    ] {
        let file = folder.write("wrong.toml", &text);
        let (status, said) = run(TUNERD, &["--config", file.to_str().unwrap()]);
        assert_eq!(status.code(), Some(64), "{text:?}: {said}");
        assert!(!said.contains("SECRET42"), "{text:?} gave {said:?}");
    }
    let (status, said) = run(TUNERD, &["--playlist", "http://me:SECRET42@h:port/"]);
    assert_eq!(status.code(), Some(64), "{said}");
    assert!(said.contains("--playlist") && !said.contains("SECRET42"), "{said}");
}

#[test]
fn what_was_typed_wrongly_is_named() {
    let folder = Folder::new();
    let nowhere = folder.path().join("nowhere.toml");
    for (arguments, parts) in [
        (&["--stat", "/tmp"][..], &["--stat", "tunerd --help"][..]),
        (&["--state"], &["--state", "tunerd --help"]),
        (&["channels.m3u"], &["channels.m3u", "tunerd --help"]),
        (&["--config", nowhere.to_str().unwrap()], &["nowhere.toml", "No such file", "--config"]),
        (&["--config", folder.path().to_str().unwrap()], &["cannot read the settings", "Is a directory"]),
    ] {
        let (status, said) = run(TUNERD, arguments);
        assert_eq!(status.code(), Some(64), "{arguments:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{arguments:?} gave {said:?}, without {part:?}");
        }
    }
}

#[test]
fn help_and_version_are_there() {
    let (status, said) = run(TUNERD, &["--help"]);
    assert!(status.success());
    for option in ["--config", "--playlist", "--state", "--check", "--version", "--help"] {
        assert!(said.contains(option), "{option} is not in {said}");
    }
    let (status, said) = run(TUNERD, &["--version"]);
    assert!(status.success());
    assert_eq!(said, format!("tunerd {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_typed_counts_more_than_what_is_written() {
    let mut setup = with_fake_ffmpeg(PLAYS);
    let folder = Arc::clone(&setup.folder);
    let (state, typed) = (folder.path().join("typed"), folder.write("typed.m3u", playlist(3)));
    setup.argument("--state").argument(state.to_str().unwrap());
    setup.argument("--playlist").argument(typed.to_str().unwrap());
    let daemon = start(setup);
    assert_eq!(daemon.channels().len(), 3);
    assert!(state.join("tunerd.db").exists() && !daemon.setup.state_dir().exists());
    // Nor does SIGHUP bring back what is written.
    daemon.hang_up();
    daemon.wait_for_log("settings read again");
    daemon.scan();
    assert_eq!(daemon.channels().len(), 3);
}

#[test]
fn a_check_says_what_a_start_would_find_and_changes_nothing() {
    let mut setup = Setup::new();
    setup.fake_ffmpeg("exit 1");
    let check = |setup: &Setup| run(TUNERD, &["--config", setup.write_settings().to_str().unwrap(), "--check"]);
    let (status, said) = check(&setup);
    assert!(status.success() && !said.contains("PROBLEM"), "{said}");
    assert!(!setup.state_dir().exists());

    setup.set("ffmpeg", "path = \"/nonexistent\"");
    let (status, said) = check(&setup);
    assert!(!status.success());
    assert!(said.contains("PROBLEM") && said.contains("FFmpeg was not found as /nonexistent"), "{said}");

    fs::write(setup.state_dir(), "in the way").unwrap();
    let (status, said) = check(&setup);
    assert!(!status.success() && said.contains("is not a directory"), "{said}");
}

// ---- State ------------------------------------------------------------------------------------------------------

#[test]
fn the_state_directory_is_made_and_is_ours_alone() {
    let mut setup = Setup::new();
    let state = setup.folder.path().join("var/lib/tunerd");
    setup.set("", &format!("state_dir = {:?}", state.to_str().unwrap()));
    let daemon = start(setup);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    let files: Vec<PathBuf> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let wanted = if file.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&file), wanted, "{}", file.display());
    }
    assert_eq!(daemon.problem("store"), None);
}

#[test]
fn without_a_place_for_its_state_it_plays_and_says_so() {
    let in_the_way = Folder::new();
    let file = in_the_way.write("file", "in the way");
    for state in [file.clone(), file.join("below"), PathBuf::from("/proc/tunerd")] {
        let mut setup = with_fake_ffmpeg(PLAYS);
        setup.set("", &format!("state_dir = {:?}", state.to_str().unwrap()));
        let daemon = start(setup);
        read_bytes(&mut open(&daemon, 1), 188 * 50);
        let problem = daemon.problem("store").expect("a problem, for as long as there is one");
        assert!(problem.contains(&format!("State cannot be kept in {}", state.display())), "{problem}");
        assert!(problem.contains("state_dir") && problem.contains("everything is forgotten"), "{problem}");
        assert!(daemon.has_logged(&problem), "{}", daemon.log());
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "in the way");
}

/// A name, and what it does to a file's bytes.
type Harm = (&'static str, fn(&mut Vec<u8>));

/// Ways in which a database comes to harm.
const HARMS: [Harm; 4] = [
    ("garbage", |bytes| bytes.fill(0x5a)),
    ("truncated", |bytes| bytes.truncate(bytes.len() / 2 + 100)),
    ("a page of zeros", |bytes| bytes[4096..8192].fill(0)),
    ("emptied", Vec::clear),
];

#[test]
fn a_damaged_database_is_put_aside_for_its_copy() {
    // At stake: after a power cut on a tired card, a box with a new device id is a new device to every client, and
    // every channel a new channel. The database is harmed in several ways after its very first run.
    for (harm, inflict) in HARMS {
        let mut setup = Setup::new();
        setup.playlist("#EXTM3U\n#EXTINF:-1 tvg-chno=\"7\",Seven\nhttp://127.0.0.1:9/7.ts\n");
        let daemon = start(setup);
        let id = device_id(&daemon);
        let setup = stop(&daemon);
        let path = setup.state_dir().join("tunerd.db");
        let mut bytes = fs::read(&path).unwrap();
        inflict(&mut bytes);
        fs::write(&path, &bytes).unwrap();

        let daemon = start(setup);
        assert_eq!(device_id(&daemon), id, "{harm}");
        let problem = daemon.problem("store").unwrap_or_else(|| panic!("{harm}: no problem shown"));
        assert!(problem.contains("damaged") && problem.contains("the copy"), "{harm}: {problem}");
        assert!(daemon.has_logged(&problem), "{harm}: {}", daemon.log());
        assert_eq!(fs::read(setup_aside(&daemon)).unwrap(), bytes, "{harm}");
        assert_eq!(daemon.channels(), [("7".to_owned(), "Seven".to_owned())], "{harm}");

        // It is sound again, and stays so.
        let daemon = start(stop(&daemon));
        assert_eq!((device_id(&daemon), daemon.problem("store")), (id, None), "{harm}");
    }
}

#[test]
fn a_damaged_database_without_a_copy_means_a_new_device_and_says_so() {
    for (harm, inflict) in &HARMS[..3] {
        let daemon = start(Setup::new());
        let id = device_id(&daemon);
        let setup = stop(&daemon);
        let path = setup.state_dir().join("tunerd.db");
        let mut bytes = fs::read(&path).unwrap();
        inflict(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        fs::remove_file(setup.state_dir().join("tunerd.db.copy")).unwrap();

        let daemon = start(setup);
        let new_id = device_id(&daemon);
        assert_ne!(new_id, id, "{harm}");
        let problem = daemon.problem("store").unwrap_or_else(|| panic!("{harm}: no problem shown"));
        assert!(problem.contains("damaged") && problem.contains("new device id"), "{harm}: {problem}");
        assert_eq!(fs::read(setup_aside(&daemon)).unwrap(), bytes, "{harm}");
        assert_eq!(device_id(&start(stop(&daemon))), new_id, "{harm}: it is kept from now on");
    }
}

fn setup_aside(daemon: &Daemon) -> PathBuf {
    daemon.setup.state_dir().join("tunerd.db.damaged")
}

/// Makes the database look as a later release would leave it.
fn written_by_a_newer_release(setup: &Setup, readable_from: u32, journal_mode: &str) -> rusqlite::Connection {
    let database = rusqlite::Connection::open(setup.state_dir().join("tunerd.db")).unwrap();
    database
        .execute_batch(&format!(
            "PRAGMA journal_mode = {journal_mode};
             CREATE TABLE recording (id INTEGER PRIMARY KEY, title TEXT NOT NULL);
             ALTER TABLE channel ADD COLUMN is_favorite INTEGER NOT NULL DEFAULT 0;
             UPDATE meta SET value = '{readable_from}' WHERE key = 'readable_from';
             PRAGMA user_version = 99;"
        ))
        .unwrap();
    database
}

#[test]
fn a_database_of_a_newer_release_that_we_can_read_is_used() {
    let mut setup = Setup::new();
    setup.playlist(playlist(2));
    let daemon = start(setup);
    let id = device_id(&daemon);
    let mut setup = stop(&daemon);
    drop(written_by_a_newer_release(&setup, 1, "WAL"));
    setup.playlist(playlist(3));
    let daemon = start(setup);
    assert_eq!((device_id(&daemon), daemon.problem("store")), (id, None));
    wait_until("the third channel is there", SOON, || daemon.channels().len() == 3);
    let setup = stop(&daemon);
    let database = rusqlite::Connection::open(setup.state_dir().join("tunerd.db")).unwrap();
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 99, "it is still theirs");
    let channels: i64 = database.query_row("SELECT count(*) FROM channel", [], |row| row.get(0)).unwrap();
    assert_eq!(channels, 3);
}

#[test]
fn a_database_of_a_newer_release_that_we_cannot_read_is_left_as_it_is() {
    for (journal_mode, was_killed) in [("DELETE", false), ("WAL", false), ("WAL", true)] {
        let setup = stop(&start(Setup::new()));
        let newer = written_by_a_newer_release(&setup, 99, journal_mode);
        // What SQLite shares between processes is made anew by whoever comes first, and says nothing.
        let is_of_database = |path: &Path| {
            path.extension().is_some_and(|extension| extension != "db-shm")
                && path.file_name().unwrap().to_str().unwrap().starts_with("tunerd.db")
        };
        let files = || -> Vec<(PathBuf, Vec<u8>)> {
            let entries = fs::read_dir(setup.state_dir()).unwrap().map(|entry| entry.unwrap().path());
            let files = entries.filter(|path| is_of_database(path)).map(|path| (path.clone(), fs::read(path).unwrap()));
            let mut files: Vec<_> = files.filter(|(_, bytes)| !bytes.is_empty()).collect();
            files.sort();
            files
        };
        let before = if was_killed {
            let files = files();
            drop(newer);
            fs::remove_file(setup.state_dir().join("tunerd.db-shm")).unwrap_or_default();
            for (path, bytes) in &files {
                fs::write(path, bytes).unwrap();
            }
            files
        } else {
            drop(newer);
            files()
        };
        let daemon = start(setup.clone());
        let problem = daemon.problem("store").expect("a problem");
        assert!(problem.contains("newer release") && problem.contains("everything is forgotten"), "{problem}");
        assert!(daemon.has_logged(&problem), "{}", daemon.log());
        stop(&daemon);
        let names =
            |files: &[(PathBuf, Vec<u8>)]| format!("{:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>());
        assert!(files() == before, "{journal_mode}: {} became {}", names(&before), names(&files()));
        assert_eq!(before.len(), if was_killed { 3 } else { 2 }, "{}", names(&before));
    }
}

// ---- Ports ------------------------------------------------------------------------------------------------------

#[test]
fn a_taken_stream_port_leaves_the_page() {
    let setup = Setup::new();
    let _taken = TcpListener::bind((setup.address, 5004)).unwrap();
    let daemon = start(setup);
    let problem = daemon.problem("stream-port").expect("a problem");
    assert!(problem.contains("5004") && problem.contains("in use") && problem.contains("stream_port"), "{problem}");
    assert!(daemon.has_logged(&problem), "{}", daemon.log());
    let lineup = daemon.get("/lineup.json");
    assert!(lineup.text().contains(&format!("http://{}:8080/auto/v1.1", daemon.address())), "{}", lineup.text());
    let (answer, mut stream) = http::open(daemon.address(), 8080, "/auto/v1.1");
    assert_eq!(answer.status, 200);
    read_bytes(&mut stream, 188 * 50);
}

#[test]
fn a_taken_page_port_leaves_the_streams() {
    let setup = Setup::new();
    let _taken = TcpListener::bind((setup.address, 8080)).unwrap();
    let daemon = setup.start();
    let status = http::get(daemon.address(), 5004, "/api/v1/status");
    assert!(status.text().contains("page-port") && status.text().contains("Choose another page_port"));
    let discover = http::get(daemon.address(), 5004, "/discover.json");
    assert!(discover.text().contains(&format!("\"BaseURL\":\"http://{}:5004\"", daemon.address())));
}

#[test]
fn a_taken_discovery_port_leaves_the_rest() {
    let setup = with_fake_ffmpeg(PLAYS);
    let _taken = UdpSocket::bind((setup.address, 65_001)).unwrap();
    let daemon = start(setup);
    let problem = daemon.problem("discovery-port").expect("a problem");
    assert!(problem.contains("65001") && problem.contains("in use"), "{problem}");
    assert!(daemon.has_logged(&problem), "{}", daemon.log());
    read_bytes(&mut open(&daemon, 1), 188 * 50);
}

#[test]
fn without_any_port_it_gives_up_and_says_why() {
    let setup = Setup::new();
    let _taken = [5004, 8080].map(|port| TcpListener::bind((setup.address, port)).unwrap());
    let daemon = setup.launch();
    assert_eq!(daemon.ended(Duration::from_secs(10)).code(), Some(69));
    for part in ["Port 5004", "Port 8080", "neither the page's nor the streams' port", "giving up"] {
        assert!(daemon.log().contains(part), "{part} is not in {}", daemon.log());
    }
}

// ---- FFmpeg -----------------------------------------------------------------------------------------------------

#[test]
fn without_ffmpeg_it_starts_and_says_so() {
    let mut setup = Setup::new();
    setup.set("ffmpeg", "path = \"/nonexistent\"");
    let daemon = start(setup);
    assert_eq!(daemon.channels().len(), 4);
    let health = daemon.get("/healthz");
    assert_eq!((health.status, health.text().contains("FFmpeg is missing")), (503, true), "{}", health.text());
    let asked = Instant::now();
    let refused = http::get(daemon.address(), 5004, "/auto/v1.1");
    assert_eq!((refused.status, refused.header("x-hdhomerun-error")), (503, Some("803 System Busy")));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    let problem = daemon.problem("ffmpeg").expect("a problem");
    assert!(problem.contains("/nonexistent") && problem.contains("Install the package ffmpeg"), "{problem}");
    assert!(daemon.has_logged(&problem), "{}", daemon.log());
}

#[test]
fn ffmpeg_that_is_installed_later_is_found() {
    let mut setup = with_fake_ffmpeg(PLAYS);
    let path = setup.folder.path().join("fake-ffmpeg");
    let not_yet = setup.folder.path().join("not-yet");
    fs::rename(&path, &not_yet).unwrap();
    setup.set("log", "level = \"debug\"");
    let daemon = start(setup);
    assert_eq!(http::get(daemon.address(), 5004, "/auto/v1").header("x-hdhomerun-error"), Some("803 System Busy"));
    fs::rename(&not_yet, &path).unwrap();
    read_bytes(&mut open(&daemon, 1), 188 * 50);
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn a_child_that_ignores_sigterm_is_killed() {
    let daemon = start(with_fake_ffmpeg(&format!("trap '' TERM\n{PLAYS}")));
    let mut stream = open(&daemon, 1);
    read_bytes(&mut stream, 188 * 50);
    let children = daemon.children();
    assert_eq!(children.len(), 1);
    drop(stream);
    daemon.wait_for_log("ignored SIGTERM");
    daemon.wait_until_idle();
    assert!(!is_alive(children[0]));
    read_bytes(&mut open(&daemon, 1), 188 * 50);
}

#[test]
fn a_grandchild_that_keeps_the_pipe_does_not_keep_the_slot() {
    // The first one stays in the child's process group, the second one leaves it.
    for leave in ["", "setsid "] {
        // Beside the script: it may write nowhere else.
        let script = format!(
            "trap '' TERM\nexport pid=\"${{0%/*}}/pid\"\n\
             {leave}sh -c 'echo $$ >\"$pid.new\"; mv \"$pid.new\" \"$pid\"; exec sleep 600' &\n\
             while [ ! -e \"$pid\" ]; do sleep 0.05; done\ncat \"$ts\"",
        );
        let daemon = start(with_fake_ffmpeg(&script));
        let pid_file = daemon.setup.folder.path().join("pid");
        let mut stream = open(&daemon, 1);
        read_bytes(&mut stream, 188);
        daemon.wait_for_log("failed: it ended right after the start");
        let grandchild: u32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        drop(stream);
        wait_until("the grandchild is gone", SOON, || !is_alive(grandchild));
        daemon.wait_until_idle();
    }
}

#[test]
fn a_child_that_floods_its_stderr_floods_nothing_else() {
    let flood = "yes 'Non-monotonous DTS in output stream 0:1; previous: 1, current: 0; changing to 2.' \
                 | head -c 45000000 >&2\nhead -c 5000000 /dev/zero | tr '\\0' x >&2\necho done >\"$ts.flooded\"";
    let mut setup = with_fake_ffmpeg(&format!("({flood}) &\n{PLAYS}"));
    setup.set("log", "level = \"debug\"");
    let flooded = setup.folder.path().join("picture.ts.flooded");
    let daemon = start(setup);
    let mut stream = open(&daemon, 1);
    let children = daemon.children();
    std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    let mut slowest = Duration::ZERO;
    wait_until("50 MB of complaints were heard", Duration::from_secs(120), || {
        let asked = Instant::now();
        assert_eq!(daemon.get("/discover.json").status, 200);
        slowest = slowest.max(asked.elapsed());
        flooded.exists()
    });
    assert_eq!(daemon.children(), children, "and it played all the time");
    assert!(slowest < SOON, "an answer took {slowest:?}");
    let log = daemon.log();
    assert!(log.len() < 20_000, "{} bytes of log:\n{log}", log.len());
    assert!(log.contains("Non-monotonous DTS"), "the first ones are logged: {log}");
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 64 * 1024, "{peak}");
}

#[test]
fn garbage_is_refused_and_said() {
    let daemon = start(with_fake_ffmpeg("yes garbage | head -c 300000\nsleep 600"));
    let asked = Instant::now();
    let refused = http::get(daemon.address(), 5004, "/auto/v1");
    assert_eq!((refused.status, refused.header("x-hdhomerun-error")), (503, Some("806 Tune Failed")));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    assert!(daemon.log().contains("its output is no transport stream"), "{}", daemon.log());
    daemon.wait_until_idle();
}

#[test]
fn a_child_that_closes_its_output_and_lives_is_ended() {
    let daemon = start(with_fake_ffmpeg("cat \"$ts\"\nexec sleep 600 >&-"));
    let stream = open(&daemon, 1);
    let children = daemon.children();
    assert!(inspect(&drained(stream)).packets > 100, "what it made arrives");
    daemon.wait_for_log("its output ended and it lives on");
    daemon.wait_until_idle();
    assert!(!children.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn two_hundred_tunes_leave_nothing_behind() {
    // At stake: a box that zaps for a year without a restart. Two people zap at once, mostly within one channel's
    // linger, sometimes to the next channel; then descriptors, children and memory must be what they were.
    let mut setup = with_fake_ffmpeg(PLAYS);
    setup.set("slots", "ring_mib = 1");
    let daemon = start(setup);
    let zap = |cycles: usize| {
        std::thread::scope(|scope| {
            for person in 0..2 {
                let daemon = &daemon;
                scope.spawn(move || {
                    for cycle in 0..cycles {
                        let mut stream = open(daemon, 1 + person * 6 + cycle / 5 % 6);
                        read_bytes(&mut stream, 188 * 7);
                    }
                });
            }
        });
        daemon.wait_until_idle();
    };
    let resident_kib = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
        line.trim_end_matches(" kB").parse().unwrap()
    };
    zap(20);
    let (fds, kib) = (daemon.fds(), resident_kib());
    zap(100);
    // The test's own question is one more connection.
    wait_until("all descriptors are given back", SOON, || daemon.fds() <= fds);
    assert!(resident_kib() < kib + 8 * 1024, "{kib} KiB became {} KiB", resident_kib());
    let metrics = daemon.get("/metrics");
    let starts = metrics.text().lines().filter(|line| line.starts_with("tunerd_ffmpeg_spawn_total{"));
    let starts: u32 = starts.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum();
    assert!(starts >= 40, "{starts} children are too few to see a leak");
}

// ---- Signals ----------------------------------------------------------------------------------------------------

#[test]
fn sigterm_ends_everything_within_five_seconds() {
    let daemon = Daemon::demo();
    let mut streams: Vec<TcpStream> = (1..=4)
        .map(|n| {
            let (answer, stream) = http::open(daemon.address(), 5004, &format!("/auto/v1.{n}"));
            assert_eq!(answer.status, 200);
            stream
        })
        .collect();
    for stream in &mut streams {
        read_bytes(stream, 188 * 20);
    }
    let children = daemon.children();
    assert_eq!(children.len(), 4);
    daemon.signal(Signal::SIGTERM);
    let status = daemon.ended(SOON);
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(!children.iter().any(|pid| is_alive(*pid)));
    for stream in streams {
        assert_eq!((20 * 188 + drained(stream).len()) % 188, 0, "the last packet is whole");
    }
}

#[test]
fn sigterm_ends_children_that_ignore_it_too() {
    let daemon = start(with_fake_ffmpeg(&format!("trap '' TERM\n{PLAYS}")));
    let mut streams: Vec<TcpStream> = (1..=4).map(|n| open(&daemon, n)).collect();
    for stream in &mut streams {
        read_bytes(stream, 188 * 20);
    }
    let children = daemon.children();
    assert_eq!(children.len(), 4);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(SOON).code(), Some(0));
    assert!(!children.iter().any(|pid| is_alive(*pid)));
    for stream in streams {
        drained(stream);
    }
}

#[test]
fn a_second_sigint_ends_at_once() {
    let daemon = start(with_fake_ffmpeg(&format!("trap '' TERM\n{PLAYS}")));
    let mut stream = open(&daemon, 1);
    read_bytes(&mut stream, 188 * 20);
    let children = daemon.children();
    assert_eq!(children.len(), 1);
    daemon.signal(Signal::SIGINT);
    daemon.wait_for_log("stopping; once more Ctrl-C ends at once");
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.ended(SOON).code(), Some(130), "a stop in order ends with 0");
    wait_until("no child is left", SOON, || !children.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn sighup_takes_new_settings_over_and_disturbs_nobody() {
    let mut daemon = start(with_fake_ffmpeg(PLAYS));
    let mut stream = open(&daemon, 1);
    let children = daemon.children();
    daemon.setup.set("", "name = \"Attic\"");
    let other = daemon.setup.folder.write("other.m3u", "#EXTM3U\n#EXTINF:-1 tvg-chno=77,Other\nhttp://127.0.0.1:9/\n");
    daemon.setup.set("lineup", &format!("playlist = {:?}", other.to_str().unwrap()));
    daemon.hang_up();
    wait_until("the name is taken over", SOON, || daemon.get("/discover.json").text().contains("\"Attic\""));
    let others = [("77".to_owned(), "Other".to_owned())];
    wait_until("the lineup is taken over", SOON, || daemon.channels() == others);
    daemon.wait_for_log("settings read again");

    // The viewer's channel is gone, his picture is not.
    let bytes = read_bytes(&mut stream, 188 * 3_000);
    assert_eq!(inspect(&bytes).packets, 3_000);
    assert_eq!(daemon.children(), children);

    daemon.setup.write_settings();
    let broken = daemon.setup.folder.write("tunerd.toml", "name = \"Cellar\"\n[slots]\ncount = 0\n");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("the settings were not taken over, the old ones stay");
    assert!(daemon.log().contains("slots.count is 0"), "{}", daemon.log());
    fs::remove_file(broken).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("cannot read the settings");
    assert!(daemon.get("/discover.json").text().contains("\"Attic\""));
    assert_eq!(daemon.channels(), others);
    read_bytes(&mut stream, 188 * 500);
}

#[test]
fn sighup_leads_from_demo_to_playlist_and_back() {
    let mut daemon = Daemon::demo();
    let file = daemon.setup.folder.write("late.m3u", playlist(2));
    let before = daemon.setup.clone();
    daemon.setup.set("lineup", &format!("playlist = {:?}", file.to_str().unwrap()));
    daemon.hang_up();
    wait_until("the playlist's channels are there", SOON, || daemon.channels().len() == 2);
    daemon.setup = before;
    daemon.hang_up();
    wait_until("the demo channels are back", SOON, || daemon.channels().len() == 4);
    assert!(daemon.get("/lineup.json").text().contains("\"1.1\""));
}

#[test]
fn systemd_is_told_of_start_and_stop() {
    let mut setup = Setup::new();
    let path = setup.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    setup.environment("NOTIFY_SOCKET", path.to_str().unwrap());
    let daemon = setup.launch();
    let said = || {
        let mut datagram = [0; 256];
        let len = socket.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..len].to_vec()).unwrap()
    };
    assert!(said().lines().any(|line| line == "READY=1"));
    // Whoever waited for that may ask at once.
    assert_eq!(daemon.get("/discover.json").status, 200);
    daemon.signal(Signal::SIGTERM);
    // How it is comes in between.
    while !said().lines().any(|line| line == "STOPPING=1") {}
    assert_eq!(daemon.ended(SOON).code(), Some(0));
}

#[test]
fn a_restart_does_not_wait_for_old_connections() {
    let daemon = start(with_fake_ffmpeg(PLAYS));
    let mut stream = open(&daemon, 1);
    read_bytes(&mut stream, 188 * 20);
    let address = SocketAddr::from((daemon.address(), 5004));
    let setup = stop(&daemon);
    // The old connection still has its end here.
    let daemon = start(setup);
    assert_eq!(daemon.problem("stream-port"), None);
    TcpStream::connect(address).unwrap();
    drop(stream);
}

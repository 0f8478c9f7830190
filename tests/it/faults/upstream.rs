//! U: what sources do.

use super::{MOMENT, PACKET, Viewer, all_failures, failures, is_open, is_raised, open, refused, restarts, viewers_len};
use crate::kit::fakeff::{Fake, Metrics, Proc, monotonic_ms};
use crate::kit::media::{inspect, make, make_ts, read_for};
use crate::kit::source::Source;
use crate::kit::{Daemon, Folder, Setup, http, inside, run, wait_until};
use std::io::Read as _;
use std::time::{Duration, Instant};

/// A daemon with real FFmpeg and these sources, as channels 1, 2, ….
pub(crate) fn with_sources(urls: &[String]) -> Daemon {
    let mut setup = Setup::new();
    let entries = urls.iter().zip(1..).map(|(url, number)| format!("#EXTINF:-1,Source {number}\n{url}\n"));
    setup.playlist(format!("#EXTM3U\n{}", entries.collect::<String>()));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    daemon
}

/// The only start of a channel, with no failure.
fn undisturbed(fake: &Fake, daemon: &Daemon, name: &str) {
    assert_eq!((fake.starts(name).len(), all_failures(daemon)), (1, 0), "{name}");
}

#[test]
fn u01_a_refused_connection_is_told_at_once() {
    // Nothing listens on the discard port.
    let daemon = with_sources(&["http://127.0.0.1:9/x.ts".to_owned()]);
    let told = refused(&daemon, 1);
    assert!(told.code == "806" && (25..=30).contains(&told.wait_s) && told.took < Duration::from_secs(4), "{told:?}");
    assert_eq!((failures(&daemon, "connect"), all_failures(&daemon)), (2, 2), "the first try again is at once");
    let again = refused(&daemon, 1);
    assert!(again.code == "806" && again.took < MOMENT, "nothing is started for {again:?}");
    assert_eq!(all_failures(&daemon), 2);
}

#[test]
fn u01_a_dead_source_walks_the_time_line_to_an_open_breaker() {
    // At stake: a provider that is down, and a viewer who never gives up. Five starts, at 0, 0, 30, 60 and 90 seconds,
    // and then rest; each refusal says truly how long.
    let (fake, daemon) = Fake::daemon(&[("dead", "refused")]);
    let begun = Instant::now();
    let resting = loop {
        assert!(begun.elapsed() < Duration::from_secs(110), "the breaker stays shut: {:?}", fake.start_seconds("dead"));
        let (starts, told) = (fake.starts("dead").len(), refused(&daemon, 1));
        if told.code == "807" {
            break told;
        }
        assert_eq!(told.code, "806");
        // Whoever waited for a start that is near was told after it, whoever came too early at once.
        assert!(fake.starts("dead").len() > starts || told.took < MOMENT, "{told:?}");
        std::thread::sleep(Duration::from_secs(1));
    };
    let starts = fake.start_seconds("dead");
    assert_eq!(starts.len(), 5, "{starts:?}");
    for (start, due) in starts.iter().zip([0.0, 0.0, 30.0, 60.0, 90.0]) {
        assert!((due - 0.2..due + 2.0).contains(start), "{starts:?}");
    }
    assert!(is_open(&daemon) && restarts(&daemon) == 4);
    // It opened when the fifth child ended.
    let opened_ms = fake.events("end", "dead")[4].ms;
    let left_s = || 120 - (monotonic_ms() - opened_ms) / 1_000;
    assert!((left_s()..=left_s() + 2).contains(&resting.wait_s), "{resting:?}, {} s are left", left_s());
    std::thread::sleep(Duration::from_secs(3));
    let told = refused(&daemon, 1);
    assert!(told.code == "807" && (left_s()..=left_s() + 1).contains(&told.wait_s) && told.took < MOMENT, "{told:?}");
    assert_eq!(fake.starts("dead").len(), 5);
    let ill = &daemon.status()["channels_ill"][0];
    assert_eq!(
        (&ill["state"], &ill["last_failure"], &ill["failures"]),
        (&"resting".into(), &"connect".into(), &5.into())
    );
    assert_eq!(daemon.tuner_states(), vec!["free"; daemon.tuner_states().len()], "it keeps no tuner");
}

#[test]
fn u02_a_black_hole_is_told_after_ten_seconds() {
    if !inside(&["--net"], "faults::upstream::u02_a_black_hole_is_told_after_ten_seconds") {
        return;
    }
    // Packets to the neighbour leave, and nobody is there.
    let (status, said) = run(
        "sh",
        &[
            "-ec",
            "ip link set lo up; ip link add black type veth peer name hole; ip addr add 10.9.0.1/24 dev black
             ip link set black up; ip link set hole up
             ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:99 nud permanent dev black",
        ],
    );
    assert!(status.success(), "{said}");
    let daemon = with_sources(&["http://10.9.0.2/x.ts".to_owned()]);
    let told = refused(&daemon, 1);
    assert!(told.code == "807" && told.took > Duration::from_secs(9), "{told:?}");
    wait_until("FFmpeg gives up by itself", Duration::from_secs(20), || failures(&daemon, "connect") >= 1);
    daemon.wait_until_idle();
}

#[test]
fn u03_a_source_that_never_answers_has_twenty_seconds() {
    let (fake, daemon) = Fake::daemon(&[("never", "silent")]);
    let told = refused(&daemon, 1);
    assert!(told.code == "807" && told.wait_s == 2 && told.took > Duration::from_secs(9), "{told:?}");
    // Who comes back while it is still being tried waits for the same child.
    let told = refused(&daemon, 1);
    assert_eq!(told.code, "807", "{told:?}");
    wait_until("it is ended", Duration::from_secs(6), || !fake.events("term", "never").is_empty());
    let (start, term) = (&fake.starts("never")[0], &fake.events("term", "never")[0]);
    // It says that it lives a little after it was started.
    assert!((19_500..21_500).contains(&(term.ms - start.ms)), "ended after {} ms", term.ms - start.ms);
    wait_until("it has failed", MOMENT, || failures(&daemon, "start_timeout") == 1);
}

#[test]
fn u04_a_refused_login_is_told_as_such() {
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let source = Source::fixed(answer);
    let daemon = with_sources(&[source.url("/live.ts")]);
    let told = refused(&daemon, 1);
    assert!(told.code == "806" && told.wait_s >= 25, "no faster than any other: {told:?}");
    assert_eq!((failures(&daemon, "auth"), all_failures(&daemon)), (2, 2));
    let ill = &daemon.status()["channels_ill"][0];
    assert_eq!(ill["last_failure"], "auth");
    assert!(ill["why"].as_str().unwrap().contains("login"), "{ill}");
    assert!(daemon.log().contains("refuses the login"), "{}", daemon.log());
}

#[test]
fn u05_a_late_404_gives_the_tuner_back() {
    let (fake, daemon) = Fake::daemon(&[("late", "start_delay=10500, http_404")]);
    let told = refused(&daemon, 1);
    assert_eq!(told.code, "807", "{told:?}");
    let left = Instant::now();
    wait_until("the tuner is free", Duration::from_secs(5), || {
        daemon.children().is_empty() && daemon.tuner_states().iter().all(|state| state == "free")
    });
    assert!(left.elapsed() < Duration::from_secs(5));
    assert_eq!(
        (failures(&daemon, "http"), fake.starts("late").len()),
        (1, 1),
        "nobody waits, so nothing is tried again"
    );
}

#[test]
fn u06_a_source_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let busy = |head: &str| format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let long = Source::fixed(busy("503 Service Unavailable\r\nRetry-After: 60"));
    let short = Source::fixed(busy("429 Too Many Requests\r\nRetry-After: 2"));
    let silent = Source::fixed(busy("503 Service Unavailable"));
    let daemon = with_sources(&[long.url("/live.ts"), short.url("/live.ts"), silent.url("/live.ts")]);
    let told = refused(&daemon, 1);
    assert!(told.code == "806" && (25..=30).contains(&told.wait_s), "the most that is ever said: {told:?}");
    assert_eq!((failures(&daemon, "http"), all_failures(&daemon), long.connections()), (1, 1, 1));
    // Who comes back sooner learns the same, and the source nothing.
    refused(&daemon, 1);
    assert_eq!(long.connections(), 1);
    // One that is busy for a moment is asked again after it, for the same viewer.
    let asked = Instant::now();
    assert_eq!(refused(&daemon, 2).code, "806");
    assert!(short.connections() == 2 && asked.elapsed() > Duration::from_secs(2), "{:?}", asked.elapsed());
    // One that does not say when is like any other that fails.
    refused(&daemon, 3);
    assert_eq!(silent.connections(), 2);
}

#[test]
fn u07_redirects_lead_neither_to_files_nor_for_ever() {
    let file = Source::fixed(
        "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let circle =
        Source::fixed("HTTP/1.1 302 Found\r\nLocation: /live.ts\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let daemon = with_sources(&[file.url("/live.ts"), circle.url("/live.ts")]);
    for channel in [1, 2] {
        let told = refused(&daemon, channel);
        assert!(told.took < Duration::from_secs(5), "{channel}: {told:?}");
    }
    assert_eq!((failures(&daemon, "policy"), all_failures(&daemon)), (2, 2), "that is final");
    assert_eq!((file.connections(), circle.connections()), (1, 4), "three redirects are followed");
    daemon.wait_until_idle();
}

#[test]
fn u08_a_page_is_no_transport_stream() {
    let (fake, daemon) = Fake::daemon(&[("page", "html")]);
    let told = refused(&daemon, 1);
    assert!(told.code == "806" && told.took < Duration::from_secs(5), "{told:?}");
    assert_eq!((failures(&daemon, "not_ts"), all_failures(&daemon), fake.starts("page").len()), (2, 2, 2));
    // A real FFmpeg does not even pass it on.
    let source = Source::document("<html><body>This channel is not available.</body></html>\n".repeat(2_000));
    let daemon = with_sources(&[source.url("/live.ts")]);
    assert_eq!(refused(&daemon, 1).code, "806");
}

#[test]
fn u09_a_source_that_ends_after_a_while_goes_on_at_once() {
    let (fake, daemon) = Fake::daemon(&[("ends", "exit_after=32000 | live")]);
    let viewer = Viewer::watch(&daemon, 1);
    wait_until("it is started again", Duration::from_secs(40), || fake.starts("ends").len() == 2);
    let (ended, started) = (fake.events("end", "ends")[0].ms, fake.starts("ends")[1].ms);
    assert!(started - ended < 1_000, "after {} ms", started - ended);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((failures(&daemon, "disconnect"), all_failures(&daemon)), (1, 1));
    let report = inspect(&viewer.bytes());
    assert!(!viewer.is_over() && report.gaps.is_empty(), "{report:?}");
    assert!(viewer.has_picture(), "it is back");
}

#[test]
fn u12_silence_has_twenty_seconds_the_first_time() {
    let (fake, daemon) = Fake::daemon(&[("hush", "silence_after=3000, ignore_term | live")]);
    let viewer = Viewer::watch(&daemon, 1);
    wait_until("it is started again", Duration::from_secs(32), || fake.starts("hush").len() == 2);
    let silence = fake.events("silence", "hush")[0].ms;
    let term = fake.events("term", "hush")[0].ms;
    assert!((19_500..21_500).contains(&(term - silence)), "ended after {} ms of silence", term - silence);
    let started = fake.starts("hush")[1].ms;
    assert!((1_900..3_500).contains(&(started - term)), "it ignored SIGTERM: {} ms", started - term);
    assert_eq!((failures(&daemon, "stall"), all_failures(&daemon)), (1, 1));
    let metrics = Metrics::of(&daemon);
    assert!(metrics.must("tunerd_health_timeouts_total") > 0.5 && metrics.must("tunerd_sweep_found_total") < 0.5);
    wait_until("the picture is back", MOMENT, || viewer.has_picture());
    assert!(!viewer.is_over());
}

#[test]
fn u13_a_trickle_is_no_failure() {
    let (fake, daemon) = Fake::daemon(&[("thin", "trickle=1000")]);
    let viewer = Viewer::watch(&daemon, 1);
    std::thread::sleep(Duration::from_secs(35));
    assert!(!viewer.is_over());
    let bytes = viewer.bytes().len();
    assert!((15_000..40_000).contains(&bytes), "{bytes} bytes in 35 s");
    undisturbed(&fake, &daemon, "thin");
}

#[test]
fn u14_a_source_that_is_too_fast_takes_no_memory() {
    let mut channels = Fake::setup(&[("fast", "bitrate=8000000, speed=20")]);
    channels.1.set("slots", "ring_mib = 1");
    let daemon = channels.1.start();
    daemon.wait_for_log("playlist loaded");
    let mut stream = open(&daemon, 1);
    let before = Proc::of(daemon.pid()).rss_kib;
    let (end, mut got) = (Instant::now() + Duration::from_secs(8), 0);
    let mut piece = vec![0; 100_000];
    while Instant::now() < end {
        // At eight megabits a second, as it would play.
        stream.read_exact(&mut piece).unwrap();
        got += piece.len();
        std::thread::sleep(Duration::from_millis(100));
    }
    let made = Metrics::of(&daemon).sum("tunerd_slot_bytes_total");
    let after = Proc::of(daemon.pid()).rss_kib;
    assert!(after < before + 4_096, "{before} → {after} KiB");
    assert!(made < f64::from(u32::try_from(got).unwrap()) + 8e6, "{made} bytes were taken for {got}: it was slowed");
    undisturbed(&channels.0, &daemon, "fast");
}

/// Versions of the tables in a capture, in order of appearance.
fn table_versions(bytes: &[u8]) -> Vec<u8> {
    let mut versions: Vec<u8> = Vec::new();
    for packet in bytes.chunks_exact(PACKET) {
        let pid = u16::from(packet[1] & 0x1F) << 8 | u16::from(packet[2]);
        if pid == 0x1000 && packet[1] & 0x40 != 0 && packet[5] == 2 {
            let version = packet[10] >> 1 & 0x1F;
            if versions.last() != Some(&version) {
                versions.push(version);
            }
        }
    }
    versions
}

#[test]
fn u15_other_streams_in_the_middle_are_passed_on() {
    let (fake, daemon) = Fake::daemon(&[("moves", "change_tables=3000")]);
    let bytes = read_for(&mut open(&daemon, 1), Duration::from_secs(6));
    assert!(inspect(&bytes).gaps.is_empty());
    let versions = table_versions(&bytes);
    assert!(versions.len() == 2 && versions[0] != versions[1], "{versions:?}");
    let of_new = bytes.chunks_exact(PACKET).filter(|packet| packet[1] & 0x1F == 1 && packet[2] == 1).count();
    assert!(of_new > 50, "{of_new} packets of the new picture");
    undisturbed(&fake, &daemon, "moves");
}

#[test]
fn u16_odd_clocks_and_scrambling_are_passed_on() {
    let channels = [
        ("scrambled", "scrambled"),
        ("jumps", "pcr_jump=2000"),
        // Less than a second before 33 bits are over.
        ("wraps", "pts_base=8589900000"),
        ("untabled", "no_pat"),
    ];
    let (fake, daemon) = Fake::daemon(&channels);
    let viewers: Vec<Viewer> = (1..=3).map(|channel| Viewer::watch(&daemon, channel)).collect();
    std::thread::sleep(Duration::from_secs(6));
    for (viewer, (name, _)) in viewers.iter().zip(channels) {
        let bytes = viewer.bytes();
        let report = inspect(&bytes);
        assert!(!viewer.is_over() && bytes.len() > 100_000 && report.gaps.is_empty(), "{name}: {report:?}");
        undisturbed(&fake, &daemon, name);
    }
    // Without tables nobody could tell what it is: no picture, and an honest no in time.
    let told = refused(&daemon, 4);
    assert!(matches!(&*told.code, "806" | "807"), "{told:?}");
}

#[test]
fn u17_a_playlist_that_stands_still_is_a_stall() {
    let folder = Folder::new();
    let how = [
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
    ];
    let list = make(&folder.path().join("index.m3u8"), 8, &how);
    // A live one has no end.
    let text = std::fs::read_to_string(&list).unwrap().replace("#EXT-X-ENDLIST\n", "");
    std::fs::write(&list, text).unwrap();
    let source = Source::folder(folder.path());
    let daemon = with_sources(&[source.url("/index.m3u8")]);
    let viewer = Viewer::watch(&daemon, 1);
    wait_until("it has stalled", Duration::from_secs(45), || all_failures(&daemon) >= 1);
    let metrics = Metrics::of(&daemon);
    let told = metrics.all("tunerd_failure_total").filter(|(_, count)| *count > 0.5).map(|(class, _)| class.to_owned());
    let told: Vec<String> = told.collect();
    assert!(told == ["{class=\"stall\"}"] || told == ["{class=\"early_exit\"}"], "{told:?}");
    wait_until("it is tried again", MOMENT + Duration::from_secs(2), || restarts(&daemon) == 1);
    assert!(!viewer.is_over());
}

#[test]
fn u18_a_picture_that_cannot_be_decoded_is_restarted_after_half_a_minute() {
    // At stake: a publisher that is gone while its server goes on sending something. Only the prober can tell.
    let (fake, daemon) = Fake::daemon(&[("blank", "live")]);
    fake.script("probe *: unhealthy\n");
    let viewer = Viewer::watch(&daemon, 1);
    let begun = Instant::now();
    wait_until("it has failed", Duration::from_secs(50), || failures(&daemon, "probe_unhealthy") == 1);
    assert!(begun.elapsed() > Duration::from_secs(30), "after {:?}", begun.elapsed());
    wait_until("it is started again", Duration::from_secs(4), || {
        fake.log().iter().filter(|line| line.event == "start").count() == 2
    });
    let probes: Vec<u64> = fake.log().iter().filter(|line| line.event == "probe").map(|line| line.ms).collect();
    assert!(probes.len() >= 8, "{probes:?}");
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] >= 2_900), "three seconds from the end of one: {probes:?}");
    assert!(!viewer.is_over() && all_failures(&daemon) == 1);
}

#[test]
fn u19_a_channel_never_has_two_connections() {
    let (fake, daemon) = Fake::daemon(&[("single", "live | ignore_term, silence_after=2000 | live")]);
    let viewer = Viewer::watch(&daemon, 1);
    crate::kit::send(fake.starts("single")[0].pid, nix::sys::signal::Signal::SIGKILL);
    wait_until("it is started again", MOMENT, || fake.starts("single").len() == 2);
    drop(viewer);
    // The second one ignores that nobody watches; who comes meanwhile has to wait for its end.
    wait_until("it is asked to end", Duration::from_secs(10), || !fake.events("term", "single").is_empty());
    let answer = http::get(daemon.address(), 5004, "/auto/v1?duration=1");
    assert!(matches!(answer.status, 200 | 503), "{answer:?}");
    daemon.wait_until_idle();
    // Each start has looked whether the one before was still there, dead or alive.
    assert!(fake.log().iter().all(|line| line.event != "overlap"), "{:?}", fake.log());
}

#[test]
fn u20_a_name_that_nobody_knows_is_told_as_such() {
    let (_fake, daemon) = Fake::daemon(&[("nameless", "dns")]);
    assert_eq!(refused(&daemon, 1).code, "806");
    assert_eq!((failures(&daemon, "dns"), all_failures(&daemon)), (2, 2));
    assert_eq!(daemon.status()["channels_ill"][0]["last_failure"], "dns");
}

/// Gives whoever loads it a wall clock that begins in 1970, as a board without a battery has.
const NO_BATTERY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return real(clock == CLOCK_REALTIME ? CLOCK_MONOTONIC : clock, time);
}
"#;

#[test]
fn u21_a_certificate_is_no_fault_of_the_source_while_our_clock_is_wrong() {
    let folder = Folder::new();
    make_ts(&folder.path().join("live.ts"), 30);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=source -addext subjectAltName=IP:127.0.0.1 \
                   -addext basicConstraints=critical,CA:FALSE";
    let made = format!("{request} -keyout {} -out {} 2>&1", path("key.pem"), path("certificate.pem"));
    let (status, said) = run("sh", &["-c", &made]);
    assert!(status.success(), "{said}");
    folder.write("clock.c", NO_BATTERY);
    let (status, said) = run("cc", &["-shared", "-fPIC", "-o", &path("clock.so"), &path("clock.c"), "-ldl"]);
    assert!(status.success(), "{said}");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = std::process::Command::new("openssl")
        .args(["s_server", "-quiet", "-WWW", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-key", &path("key.pem"), "-cert", &path("certificate.pem")])
        .current_dir(folder.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the server listens", Duration::from_secs(5), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let start = |shim: Option<&str>| {
        let mut setup = Setup::new();
        setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Safe\nhttps://127.0.0.1:{port}/live.ts\n"));
        setup.environment("SSL_CERT_FILE", &path("certificate.pem"));
        if let Some(shim) = shim {
            setup.environment("LD_PRELOAD", shim);
        }
        let daemon = setup.start();
        daemon.wait_for_log("playlist loaded");
        daemon
    };
    let wrong = start(Some(&path("clock.so")));
    refused(&wrong, 1);
    assert!(wrong.log().contains("1970-01-"), "{}", wrong.log());
    let pulls = Metrics::of(&wrong).sum("tunerd_pull_total");
    assert!(all_failures(&wrong) == 0 && (2.0..8.0).contains(&pulls), "{pulls} tries");
    drop(wrong);
    // The very same source is fine for who knows the time.
    let right = start(None);
    let mut stream = open(&right, 1);
    assert!(inspect(&read_for(&mut stream, Duration::from_secs(1))).packets > 100);
    assert_eq!(failures(&right, "connect"), 0);
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn u22_when_all_sources_are_gone_there_is_one_alarm() {
    let (fake, daemon) = Fake::daemon(&[("one", "refused"), ("two", "refused"), ("three", "refused")]);
    let begun = Instant::now();
    while !is_raised(&daemon, "upstream_outage") {
        assert!(begun.elapsed() < Duration::from_secs(110), "{:?}", fake.log().len());
        for channel in 1..=3 {
            refused(&daemon, channel);
        }
        std::thread::sleep(Duration::from_millis(700));
    }
    let alarms: serde_json::Value = serde_json::from_slice(&daemon.get("/api/v1/alarms").body).unwrap();
    let outage = alarms.as_array().unwrap().iter().find(|alarm| alarm["topic"] == "upstream_outage").unwrap();
    assert_eq!(outage["count"], 1, "{outage}");
    assert!(is_open(&daemon));
    for name in ["one", "two", "three"] {
        let starts = fake.start_seconds(name);
        assert!(starts.len() <= 5, "{name}: {starts:?}");
    }
    assert_eq!(viewers_len(&daemon), 0);
}

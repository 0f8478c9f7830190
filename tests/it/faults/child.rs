//! F: what FFmpeg does.

use super::{MOMENT, Viewer, all_failures, failures, is_open, is_raised, open, refused, restarts, slow_answer};
use crate::kit::fakeff::{Fake, Metrics, Proc, is_zombie, monotonic_ms};
use crate::kit::media::{inspect, read_for};
use crate::kit::{Daemon, children_of, is_alive, send, wait_until};
use nix::sys::signal::Signal;
use std::fs;
use std::time::{Duration, Instant};

/// Processor time of a process so far.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// A process that a line of the log names.
fn child_in(fake: &Fake, name: &str) -> u32 {
    u32::try_from(fake.events("grandchild", name)[0].number("child").unwrap()).unwrap()
}

#[test]
fn f01_without_ffmpeg_the_box_is_to_blame_and_no_channel() {
    let (fake, daemon) = Fake::daemon(&[("good", "live")]);
    let program = fake.folder().join("ffmpeg");
    fs::rename(&program, fake.folder().join("gone")).unwrap();
    let told = refused(&daemon, 1);
    assert!(told.code == "803" && told.wait_s == 30 && told.took < MOMENT, "{told:?}");
    assert_eq!(daemon.get("/healthz").status, 503);
    assert!(daemon.problem("ffmpeg").is_some());
    assert_eq!(all_failures(&daemon), 0);
    // Nobody may run it.
    fs::write(&program, "no program").unwrap();
    assert_eq!(refused(&daemon, 1).code, "803");
    fs::rename(fake.folder().join("gone"), &program).unwrap();
    open(&daemon, 1);
    assert_eq!((daemon.get("/healthz").status, all_failures(&daemon)), (200, 0));
}

#[test]
fn f02_arguments_that_ffmpeg_does_not_know_are_tried_once() {
    let (fake, daemon) = Fake::daemon(&[("wrong", "usage_error")]);
    let told = refused(&daemon, 1);
    assert_eq!((&*told.code, told.wait_s), ("806", 120), "{told:?}");
    assert!(is_open(&daemon));
    let again = refused(&daemon, 1);
    assert!(again.code == "806" && again.took < MOMENT, "{again:?}");
    assert_eq!((fake.starts("wrong").len(), failures(&daemon, "config")), (1, 1));
    let ill = &daemon.status()["channels_ill"][0];
    assert!(ill["needs_help"] == true && ill["last_failure"] == "config", "{ill}");
}

#[test]
fn f03_crashes_on_two_channels_are_ffmpegs_own_trouble() {
    let (fake, daemon) = Fake::daemon(&[("one", "signal=11"), ("two", "signal=4")]);
    assert_eq!(refused(&daemon, 1).code, "806");
    assert_eq!((failures(&daemon, "crash"), fake.starts("one").len()), (2, 2));
    assert!(!is_raised(&daemon, "ffmpeg_unhealthy"), "one channel may have a source that FFmpeg cannot stand");
    assert_eq!(refused(&daemon, 2).code, "806");
    wait_until("the alarm is raised", MOMENT, || is_raised(&daemon, "ffmpeg_unhealthy"));
    assert!(daemon.log().contains("signal: 11"), "{}", daemon.log());
}

#[test]
fn f03_when_nothing_plays_any_more_the_daemon_starts_anew() {
    // E1: three batches of crashes. What the next start may do is systemd's to decide.
    let crash = "signal=11";
    let (_fake, daemon) = Fake::daemon(&[("1", crash), ("2", crash), ("3", crash), ("4", crash), ("5", crash)]);
    for channel in 1..=5 {
        if daemon.has_ended() {
            break;
        }
        refused(&daemon, channel);
    }
    let status = daemon.ended(Duration::from_secs(10));
    assert_eq!(status.code(), Some(70), "{}", daemon.log());
}

#[test]
fn f04_a_child_that_is_killed_is_replaced_under_its_viewer() {
    let (fake, daemon) = Fake::daemon(&[("hit", "live")]);
    let viewer = Viewer::watch(&daemon, 1);
    std::thread::sleep(Duration::from_secs(1));
    send(fake.starts("hit")[0].pid, Signal::SIGKILL);
    wait_until("it is replaced", MOMENT, || fake.events("out", "hit").len() == 2);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(failures(&daemon, "crash") + failures(&daemon, "oom"), 1);
    let report = inspect(&viewer.bytes());
    assert!(!viewer.is_over() && report.gaps.is_empty() && report.packets > 400, "{report:?}");
    assert_eq!((all_failures(&daemon), restarts(&daemon)), (1, 1));
}

#[test]
fn f05_a_child_that_ignores_sigterm_is_killed_after_two_seconds() {
    let (fake, daemon) = Fake::daemon(&[("deaf", "live, ignore_term")]);
    drop(open(&daemon, 1));
    let pid = fake.starts("deaf")[0].pid;
    wait_until("it is asked to end", Duration::from_secs(8), || !fake.events("term", "deaf").is_empty());
    wait_until("it is gone", Duration::from_secs(4), || !is_alive(pid));
    let lived = monotonic_ms() - fake.events("term", "deaf")[0].ms;
    assert!((1_900..2_800).contains(&lived), "{lived} ms after SIGTERM");
    daemon.wait_until_idle();
    assert_eq!(all_failures(&daemon), 0);
}

#[test]
fn f07_a_grandchild_that_keeps_the_output_keeps_no_tuner() {
    let modes = "exit_after=1500, fork_grandchild=60000, hold_stdout";
    let away = format!("{modes}, setsid");
    let (fake, daemon) = Fake::daemon(&[("group", modes), ("away", &away)]);
    for (channel, name) in [(1, "group"), (2, "away")] {
        drop(open(&daemon, channel));
        let ended = Instant::now() + Duration::from_millis(1_500);
        daemon.wait_until_idle();
        assert!(Instant::now() < ended + Duration::from_secs(5), "{name}");
        let grandchild = child_in(&fake, name);
        wait_until("the grandchild is gone", Duration::from_secs(3), || !is_alive(grandchild));
        assert!(children_of(daemon.pid()).is_empty(), "{name}");
    }
}

#[test]
fn f08_the_dead_are_reaped_within_a_second() {
    let (_fake, daemon) = Fake::daemon(&[("swarm", "live, orphans=40, exit_after=2000")]);
    let _viewer = Viewer::watch(&daemon, 1);
    let (end, mut dead_since) = (Instant::now() + Duration::from_secs(5), std::collections::BTreeMap::new());
    while Instant::now() < end {
        let dead: Vec<u32> = children_of(daemon.pid()).into_iter().filter(|pid| is_zombie(*pid)).collect();
        dead_since.retain(|pid, _| dead.contains(pid));
        for pid in dead {
            let since = *dead_since.entry(pid).or_insert_with(Instant::now);
            assert!(since.elapsed() < Duration::from_secs(1), "{pid} is dead for {:?}", since.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(Metrics::of(&daemon).must("tunerd_zombies") < 0.5);
}

#[test]
fn f09_a_flood_of_words_drowns_nobody() {
    let (fake, daemon) = Fake::daemon(&[("loud", "live, stderr_flood"), ("calm", "live")]);
    let viewers = [Viewer::watch(&daemon, 1), Viewer::watch(&daemon, 2)];
    let before = Proc::of(daemon.pid()).rss_kib;
    std::thread::sleep(Duration::from_secs(2));
    let slow = slow_answer(&daemon, 60);
    assert!(slow < Duration::from_millis(100), "{slow:?}");
    for viewer in &viewers {
        let report = inspect(&viewer.bytes());
        assert!(!viewer.is_over() && report.packets > 500 && report.gaps.is_empty(), "{report:?}");
    }
    let after = Proc::of(daemon.pid()).rss_kib;
    assert!(after < before + 2_048, "{before} → {after} KiB");
    assert!(daemon.log().len() < 20_000, "{} bytes of log", daemon.log().len());
    assert_eq!((fake.log().iter().filter(|line| line.event == "start").count(), all_failures(&daemon)), (2, 0));
}

#[test]
fn f10_a_line_of_fifty_megabytes_is_cut_and_gives_nothing_away() {
    let (_fake, mut setup) = Fake::setup(&[("line", "live, huge_line=50")]);
    setup.set("log", "level = \"debug\"");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let viewer = Viewer::watch(&daemon, 1);
    let before = Proc::of(daemon.pid()).rss_kib;
    std::thread::sleep(Duration::from_secs(5));
    let after = Proc::of(daemon.pid()).rss_kib;
    assert!(after < before + 4_096, "{before} → {after} KiB");
    let log = daemon.log();
    for secret in ["hunter2", "sesame", "\u{1b}"] {
        assert!(!log.contains(secret), "{secret:?}");
    }
    assert!(log.lines().all(|line| line.len() < 2_000), "a line of {:?}", log.lines().map(str::len).max());
    assert!(!viewer.is_over() && all_failures(&daemon) == 0);
}

#[test]
fn f11_one_byte_at_a_time_is_a_stream_all_the_same() {
    let (_fake, daemon) = Fake::daemon(&[("bytes", "bytewise, bitrate=100000"), ("odd", "odd_sizes, dup_output")]);
    let before = cpu(daemon.pid());
    let report = inspect(&read_for(&mut open(&daemon, 1), Duration::from_secs(6)));
    assert!(report.packets > 200 && report.gaps.is_empty() && report.first_key_frame.is_some(), "{report:?}");
    let used = cpu(daemon.pid()).saturating_sub(before);
    assert!(used < Duration::from_secs(3), "{used:?} of processor time in 6 s");
    // Each packet twice, in pieces of 331 bytes: packets stay whole, whatever their counters say.
    assert!(inspect(&read_for(&mut open(&daemon, 2), Duration::from_secs(3))).packets > 500);
}

#[test]
fn f12_garbage_is_no_transport_stream() {
    let (fake, daemon) = Fake::daemon(&[("noise", "garbage")]);
    let told = refused(&daemon, 1);
    assert!(told.code == "806" && told.took < Duration::from_secs(8), "{told:?}");
    assert_eq!((failures(&daemon, "not_ts"), fake.starts("noise").len()), (2, 2));
}

#[test]
fn f13_a_packet_that_is_cut_off_does_no_harm() {
    let (fake, daemon) = Fake::daemon(&[("torn", "exit_after=2000, partial_packet | live")]);
    let viewer = Viewer::watch(&daemon, 1);
    wait_until("it goes on", Duration::from_secs(6), || fake.events("out", "torn").len() == 2);
    std::thread::sleep(Duration::from_secs(2));
    // Every packet begins with its sync byte, or this panics.
    let report = inspect(&viewer.bytes());
    assert!(report.gaps.is_empty() && report.packets > 500, "{report:?}");
}

#[test]
fn f14_a_child_that_closes_its_output_has_ended() {
    let (fake, daemon) = Fake::daemon(&[("mute", "close_stdout=2000 | live")]);
    let viewer = Viewer::watch(&daemon, 1);
    let first = fake.starts("mute")[0].pid;
    wait_until("it is replaced", Duration::from_secs(8), || fake.starts("mute").len() == 2);
    assert!(!is_alive(first), "and ended before that");
    assert_eq!((failures(&daemon, "early_exit"), all_failures(&daemon)), (1, 1));
    assert!(!viewer.is_over());
}

#[test]
fn f16_a_child_that_takes_all_memory_hits_its_limit() {
    let (fake, daemon) = Fake::daemon(&[("greedy", "live, grow_data=600 | live")]);
    let viewer = Viewer::watch(&daemon, 1);
    wait_until("it is replaced", Duration::from_secs(20), || fake.starts("greedy").len() == 2);
    assert!(fake.events("end", "greedy")[0].more.contains("memory"), "{:?}", fake.log());
    assert_eq!((failures(&daemon, "limit"), all_failures(&daemon)), (1, 1));
    assert!(!viewer.is_over());
}

#[test]
fn f17_a_child_that_takes_all_processors_does_not_stop_the_executor() {
    let (_fake, daemon) = Fake::daemon(&[("hog", "live, hog=4"), ("calm", "live")]);
    let viewers = [Viewer::watch(&daemon, 1), Viewer::watch(&daemon, 2)];
    let slow = slow_answer(&daemon, 100);
    assert!(slow < Duration::from_millis(150), "{slow:?}");
    for viewer in &viewers {
        assert!(!viewer.is_over() && inspect(&viewer.bytes()).gaps.is_empty());
    }
}

#[test]
fn f19_a_prober_that_is_ill_says_nothing_about_the_stream() {
    let (fake, daemon) = Fake::daemon(&[("good", "live")]);
    fake.script("probe *: hang | flood | nonsense | crash | hang\n");
    let viewer = Viewer::watch(&daemon, 1);
    let unknown = |daemon: &Daemon| Metrics::of(daemon).must("tunerd_probe_result_total{result=\"unknown\"}");
    wait_until("three probes said nothing", Duration::from_secs(35), || unknown(&daemon) > 2.5);
    let probes: Vec<u64> = fake.log().iter().filter(|line| line.event == "probe").map(|line| line.ms).collect();
    // The first one hangs for nine seconds. The next one does not wait in a queue behind it: it comes three seconds
    // later, or nine, because the prober works half of the time at most.
    assert!((11_500..20_000).contains(&(probes[1] - probes[0])), "{probes:?}");
    wait_until("its health is unknown", MOMENT, || daemon.status()["tuners"][0]["health"] == "unknown");
    assert!(!viewer.is_over());
    assert_eq!((all_failures(&daemon), restarts(&daemon)), (0, 0));
    let metrics = Metrics::of(&daemon);
    for result in ["healthy", "unhealthy"] {
        assert!(metrics.must(&format!("tunerd_probe_result_total{{result=\"{result}\"}}")) < 0.5, "{result}");
    }
    drop(viewer);
    daemon.wait_until_idle();
}

#[test]
fn f20_a_kernel_that_starts_no_process_is_no_fault_of_the_channel() {
    for error in ["EAGAIN", "ENOMEM"] {
        // K09 as well: this is what the kernel says when there are too many processes.
        let (fake, mut setup) = Fake::setup(&[("good", "live")]);
        // The first one is the child that tries its sandbox. What a child makes itself is not followed.
        let inject = format!("inject=clone:error={error}:when=2..3");
        setup.wrapper(&["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=clone", "-e", &inject]);
        let daemon = setup.start();
        daemon.wait_for_log("playlist loaded");
        let told = refused(&daemon, 1);
        assert!(told.code == "803" && told.wait_s == 30, "{error}: {told:?}");
        assert_eq!((all_failures(&daemon), fake.log().len()), (0, 0), "{error}");
        assert!(Metrics::of(&daemon).must("tunerd_ffmpeg_spawn_failed_total") > 0.5);
        assert!(daemon.get("/discover.json").status == 200 && !daemon.has_ended());
        // Then the kernel has some again.
        let mut tries = 0;
        while crate::kit::http::open(daemon.address(), 5004, "/auto/v1").0.status != 200 {
            tries += 1;
            assert!(tries < 3, "{error}");
        }
        assert_eq!((all_failures(&daemon), fake.starts("good").len()), (0, 1), "{error}");
    }
}

#[test]
fn f21_nothing_outlives_a_daemon_that_is_killed() {
    let (fake, daemon) = Fake::daemon(&[("good", "live, ignore_term, fork_grandchild=90000, setsid, hold_stdout")]);
    let viewer = Viewer::watch(&daemon, 1);
    let (child, grandchild) = (fake.starts("good")[0].pid, child_in(&fake, "good"));
    daemon.signal(Signal::SIGKILL);
    wait_until("the child is gone", Duration::from_secs(3), || !is_alive(child));
    drop(viewer);
    let setup = daemon.setup.clone();
    drop(daemon);
    // What has left its group is found by the next start.
    let daemon = setup.start();
    wait_until("the stranger is gone", Duration::from_secs(5), || !is_alive(grandchild));
    daemon.wait_for_log("playlist loaded");
    let stream = open(&daemon, 1);
    drop(stream);
}

#[test]
fn f21_a_crash_is_no_way_around_the_guard() {
    // B13: a breaker that is open and a cooldown that runs are so after a crash as well.
    let (fake, daemon) = Fake::daemon(&[("wrong", "usage_error"), ("dead", "refused")]);
    assert_eq!((refused(&daemon, 1).code, refused(&daemon, 2).code), ("806".to_owned(), "806".to_owned()));
    let before = refused(&daemon, 2);
    // It is written once a second at most.
    std::thread::sleep(Duration::from_millis(1_200));
    daemon.signal(Signal::SIGKILL);
    daemon.ended(Duration::from_secs(3));
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    assert!(is_open(&daemon));
    let (wrong, dead) = (refused(&daemon, 1), refused(&daemon, 2));
    assert!(wrong.code == "806" && dead.code == "806", "{wrong:?} {dead:?}");
    assert!(dead.wait_s < before.wait_s && dead.wait_s > 15, "{before:?} became {dead:?}");
    assert_eq!((fake.starts("wrong").len(), fake.starts("dead").len()), (1, 2), "nothing was started anew");
}

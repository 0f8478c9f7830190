//! The fake FFmpeg itself: tests that rest on it are worth as much as it is.

use crate::kit::fakeff::{Fake, Metrics, Proc, key_of};
use crate::kit::media::{decode_errors, inspect, read_bytes, read_for};
use crate::kit::{http, is_alive, run, wait_until};
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn what_it_plays_real_decoders_play() {
    let (fake, daemon) = Fake::daemon(&[("good", "live, bitrate=2000000")]);
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200, "{}", answer.head);
    let bytes = read_for(&mut stream, Duration::from_secs(4));
    let report = inspect(&bytes);
    assert!(report.gaps.is_empty() && report.first_key_frame.is_some(), "{report:?}");
    assert!((900_000..1_200_000).contains(&bytes.len()), "{} bytes in 4 s", bytes.len());
    let capture = daemon.setup.folder.write("capture.ts", &bytes[..bytes.len() / 188 * 188]);
    assert_eq!(decode_errors(&capture), "");
    let (_, streams) = run(
        "ffprobe",
        &["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", capture.to_str().unwrap()],
    );
    assert!(streams.contains("h264") && streams.contains("mp2"), "{streams}");
    let starts = fake.starts("good");
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert!(daemon.children().contains(&starts[0].pid));
    assert!(starts[0].more.contains(&key_of("good")), "{starts:?}");
}

#[test]
fn it_witnesses_as_many_starts_as_the_daemon_counts() {
    let (fake, daemon) = Fake::daemon(&[("one", "live"), ("two", "exit_after=0, exit_code=1")]);
    drop(http::open(daemon.address(), 5004, "/auto/v1"));
    assert_eq!(http::open(daemon.address(), 5004, "/auto/v2").0.status, 503);
    daemon.wait_until_idle();
    let counted = Metrics::of(&daemon).sum("tunerd_ffmpeg_spawn_total");
    let witnessed = fake.log().iter().filter(|line| line.event == "start").count();
    assert!((counted - f64::from(u32::try_from(witnessed).unwrap())).abs() < 0.5, "{counted} and {witnessed}");
    let proc = Proc::of(daemon.pid());
    assert!(proc.children.is_empty() && proc.zombies == 0 && proc.fds > 3 && proc.rss_kib > 1_000, "{proc:?}");
}

/// Runs it without a daemon, for as long as it makes something or until the limit, and tells what it made and said.
fn alone(fake: &Fake, name: &str, limit: Duration) -> (Vec<u8>, String, Option<i32>) {
    let mut child = Command::new(fake.folder().join("ffmpeg"))
        .args(["-i", &crate::kit::fakeff::address_of(name), "pipe:1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let hearing = std::thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    });
    let end = Instant::now() + limit;
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let status = child.wait().unwrap();
    (reading.join().unwrap(), hearing.join().unwrap(), status.code())
}

#[test]
fn its_modes_do_what_they_are_called() {
    let mut setup = crate::kit::Setup::new();
    let fake = Fake::install(&mut setup);
    fake.channels(&[
        ("silent", "silent"),
        ("exit", "exit_after=300, exit_code=7"),
        ("crash", "signal=11"),
        ("usage", "usage_error"),
        ("refused", "refused"),
        ("half", "exit_after=300, partial_packet"),
        ("garbage", "garbage"),
        ("html", "html"),
        ("closed", "close_stdout=200"),
        ("slow", "trickle=1000"),
        ("twice", "exit_after=0, exit_code=1 | exit_after=0, exit_code=2"),
        ("untabled", "no_pat"),
        ("line", "huge_line=2, exit_after=900, silent"),
    ]);
    let half_second = Duration::from_millis(500);
    assert_eq!(alone(&fake, "silent", half_second), (vec![], String::new(), None));
    let (bytes, _, code) = alone(&fake, "exit", Duration::from_secs(5));
    assert!(code == Some(7) && bytes.len() % 188 == 0 && inspect(&bytes).first_key_frame.is_some());
    assert_eq!(alone(&fake, "crash", Duration::from_secs(5)).2, None);
    let (_, said, code) = alone(&fake, "usage", Duration::from_secs(5));
    assert!(code == Some(1) && said.starts_with("Unrecognized option"), "{said}");
    assert!(alone(&fake, "refused", Duration::from_secs(5)).1.contains("Connection refused"));
    assert_eq!(alone(&fake, "half", Duration::from_secs(5)).0.len() % 188, 77);
    let garbage = alone(&fake, "garbage", half_second).0;
    assert!(garbage.len() > 20_000 && !garbage.contains(&0x47), "{} bytes", garbage.len());
    assert!(alone(&fake, "html", half_second).0.starts_with(b"<html>"));
    let (bytes, _, code) = alone(&fake, "closed", Duration::from_secs(1));
    assert!(code.is_none() && !bytes.is_empty(), "lives on after {} bytes", bytes.len());
    assert!((200..1_200).contains(&alone(&fake, "slow", Duration::from_secs(1)).0.len()));
    assert_eq!(alone(&fake, "twice", Duration::from_secs(5)).2, Some(1));
    assert_eq!(alone(&fake, "twice", Duration::from_secs(5)).2, Some(2));
    assert_eq!(alone(&fake, "twice", Duration::from_secs(5)).2, Some(2));
    let report = inspect(&alone(&fake, "untabled", half_second).0);
    assert!(report.packets > 20 && report.first_pat.is_none(), "{report:?}");
    assert!(alone(&fake, "line", Duration::from_secs(5)).1.len() > 1_900_000);
    assert_eq!(fake.starts("twice").len(), 3);
}

#[test]
fn a_grandchild_can_keep_the_output_and_leave_the_group() {
    let mut setup = crate::kit::Setup::new();
    let fake = Fake::install(&mut setup);
    fake.channels(&[("fork", "fork_grandchild=1500, hold_stdout, setsid, exit_after=300")]);
    let started = Instant::now();
    // The reading ends only when nobody holds the pipe any more.
    alone(&fake, "fork", Duration::from_secs(5));
    assert!(started.elapsed() > Duration::from_millis(1_400), "{:?}", started.elapsed());
    let grandchild = u32::try_from(fake.events("grandchild", "fork")[0].number("child").unwrap()).unwrap();
    wait_until("it ends by itself", Duration::from_secs(3), || !is_alive(grandchild));
}

#[test]
fn as_ffprobe_it_answers_in_the_format_that_was_asked_for() {
    let (fake, daemon) = Fake::daemon(&[("good", "live, bitrate=2000000")]);
    let bytes = read_bytes(&mut http::open(daemon.address(), 5004, "/auto/v1").1, 188 * 2_000);
    let probe = |arguments: &[&str]| {
        let mut child = Command::new(fake.folder().join("ffprobe"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let csv = ["-show_entries", "stream=codec_type", "-of", "csv=p=0", "pipe:0"];
    assert_eq!(probe(&csv), (true, "video\naudio\n".to_owned()));
    let (_, json) = probe(&["-show_entries", "stream=codec_type", "-of", "json", "pipe:0"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["streams"][1]["codec_type"], "audio");
    fake.script(&format!("probe {}: unhealthy\n", key_of("good")));
    assert_eq!(probe(&csv), (false, String::new()));
    fake.script(&format!("probe {}: nonsense\n", key_of("good")));
    assert!(probe(&csv).0);
    let log = fake.log();
    assert_eq!(log.iter().filter(|line| line.event == "probe").count(), 4, "{log:?}");
}

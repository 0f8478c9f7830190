//! Somebody tunes and leaves, tens of thousands of times, and nothing may be left of it.
//!
//! The daemon lets five children start a second, so that as many cold starts would take hours: mostly he comes back
//! while the child still lingers, as Kodi does, and every hundredth time he zaps to a channel that has no child.

use crate::http;
use crate::load::{Answer, judge};
use crate::process::Own;
use crate::verdict::Sample;
use crate::{Outcome, hear_signals, idle, pause};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// One cold start in so many cycles.
const ZAP_EVERY: u64 = 100;
/// Memory may grow by this much: a bar of the guard.
const RSS_GROWTH_KIB_MAX: i64 = 2_048;
const SLOTS: u32 = 4;
const CHANNELS: [(&str, &str); 6] = [
    ("one", "live, bitrate=16000000"),
    ("two", "live, bitrate=16000000"),
    ("three", "live, bitrate=16000000"),
    ("four", "live, bitrate=16000000"),
    ("five", "live, bitrate=16000000"),
    ("six", "live, bitrate=16000000"),
];

/// What is left.
pub struct Outcomes {
    pub cycles: u64,
    pub starts: u64,
    pub seconds: f64,
    pub before: Sample,
    pub after: Sample,
    pub wrong: Vec<String>,
}

pub fn run(tunerd: &Path, fakeff: &Path, count: u64) -> Outcome<Outcomes> {
    let own = Own::start(tunerd, fakeff, SLOTS, Some(&CHANNELS))?;
    let streams = SocketAddr::from((own.page.ip(), 5004));
    hear_signals()?;
    warm_up(&own, streams)?;
    let before = idle(own.pid(), own.page, Duration::from_secs(30))?.ok_or("the daemon does not come to rest")?;
    let starts_before = own.witnessed_starts();
    let started = Instant::now();
    let mut wrong = Vec::new();
    for cycle in 0..count {
        let channel = 1 + cycle / ZAP_EVERY % CHANNELS.len() as u64;
        if let Err(words) = tune_and_leave(streams, &format!("/auto/v{channel}"), 188) {
            wrong.push(format!("cycle {cycle}: {words}"));
            if wrong.len() > 10 {
                break;
            }
        }
        if cycle % 1_000 == 0 {
            // A signal to this process is heard here.
            pause(Duration::ZERO)?;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let after = idle(own.pid(), own.page, Duration::from_secs(60))?.ok_or("the daemon does not come to rest")?;
    let starts = own.witnessed_starts() - starts_before;
    let mut differ = |what: &str, before: u32, after: u32| {
        if before != after {
            wrong.push(format!("{before} {what} before, {after} after"));
        }
    };
    differ("file descriptors", before.fds, after.fds);
    differ("threads", before.threads, after.threads);
    differ("children", 0, after.children);
    differ("zombies", 0, after.zombies);
    let growth_kib = i64::try_from(after.rss_kib)? - i64::try_from(before.rss_kib)?;
    if growth_kib > RSS_GROWTH_KIB_MAX {
        wrong.push(format!("memory grew by {growth_kib} KiB, at most {RSS_GROWTH_KIB_MAX}"));
    }
    if starts < count / ZAP_EVERY / 2 {
        wrong.push(format!("only {starts} children were started: the cycles did not do what they should"));
    }
    Ok(Outcomes { cycles: count, starts, seconds, before, after, wrong })
}

/// Fills every ring once, and everything else that is only taken once.
fn warm_up(own: &Own, streams: SocketAddr) -> Outcome<()> {
    for tuner in 0..SLOTS {
        let path = format!("/tuner{tuner}/v{}", tuner + 1);
        tune_and_leave(streams, &path, 3 * 1024 * 1024 / 2).map_err(|words| format!("{path}: {words}"))?;
    }
    for cycle in 0..500 {
        let path = format!("/auto/v{}", 1 + cycle / 50 % CHANNELS.len());
        tune_and_leave(streams, &path, 188).map_err(|words| format!("{path}: {words}"))?;
    }
    // What an answer of the page takes, it takes here.
    for path in ["/metrics", "/api/v1/status"] {
        http::get(own.page, path, Duration::from_secs(5))?;
    }
    Ok(())
}

/// One cycle: a picture of so many bytes at least. A refusal that says when to come back is obeyed.
fn tune_and_leave(streams: SocketAddr, path: &str, bytes: usize) -> Result<(), String> {
    for _ in 0..20 {
        let (head, mut socket) =
            http::open(streams, path, Duration::from_secs(11)).map_err(|error| format!("no answer: {error}"))?;
        match judge(&head) {
            Answer::Picture => {
                socket.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| error.to_string())?;
                let mut left = bytes;
                let mut buffer = [0; 16 * 1024];
                while left > 0 {
                    let len = buffer.len().min(left);
                    match socket.read(&mut buffer[..len]) {
                        Ok(0) => return Err("the stream ended".to_owned()),
                        Ok(len) => left -= len,
                        Err(error) => return Err(format!("no picture: {error}")),
                    }
                }
                return Ok(());
            }
            Answer::Refused(seconds) => std::thread::sleep(Duration::from_secs(seconds.min(10))),
            Answer::Unexpected(words) => return Err(words),
        }
    }
    Err("refused 20 times in a row".to_owned())
}

//! The viewers: who they are, what they do, and what they made of the answers.

use crate::http::{self, Head};
use crate::verdict::Load;
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A viewer has a picture or an honest refusal by then, and a second for the machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(11);
const UNEXPECTED_KEPT: usize = 10;

/// Always the same numbers for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    streams: AtomicU64,
    refused: AtomicU64,
    unexpected: AtomicU64,
    words: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Counts {
    fn unexpected(&self, words: String) {
        self.unexpected.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut kept) = self.words.lock() {
            if kept.len() < UNEXPECTED_KEPT {
                kept.push(words);
            }
        }
    }
}

/// Those who watch, until they are told to leave.
pub struct Viewers {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

/// What an answer to a tune is.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Picture,
    /// With how long to wait.
    Refused(u64),
    /// In words.
    Unexpected(String),
}

/// 200 is a picture; a refusal says why and, where waiting helps, how long. Anything else must not be.
pub fn judge(head: &Head) -> Answer {
    let why = head.header("x-hdhomerun-error");
    let wait = head.header("retry-after").and_then(|seconds| seconds.parse().ok());
    match (head.status, why, wait) {
        (200, None, _) => Answer::Picture,
        (404, Some(_), _) => Answer::Refused(5),
        (503, Some(_), Some(seconds @ 1..=120)) => Answer::Refused(seconds),
        (status, why, wait) => Answer::Unexpected(format!("{status} with reason {why:?} and wait {wait:?}")),
    }
}

impl Viewers {
    /// One who insists on each of the first channels that fail, and others who zap over all.
    pub fn start(streams: SocketAddr, paths: &[String], zappers: usize, seed: u64) -> Self {
        let counts = Arc::new(Counts::default());
        let mut threads = Vec::new();
        for index in 0..zappers as u64 {
            let (counts, paths) = (Arc::clone(&counts), paths.to_vec());
            threads.push(thread::spawn(move || zap(streams, &paths, Dice::new(seed * 1_000 + index), &counts)));
        }
        Self { counts, threads }
    }

    /// One more, who wants this channel and no other.
    pub fn insist(&mut self, streams: SocketAddr, path: &str) {
        let (counts, path) = (Arc::clone(&self.counts), path.to_owned());
        self.threads.push(thread::spawn(move || {
            while !counts.stop.load(Ordering::Relaxed) {
                watch(streams, &path, Duration::from_secs(86_400), false, &counts);
                pause(Duration::from_secs(1), &counts);
            }
        }));
    }

    pub fn load(&self) -> Load {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        Load {
            requests: of(&counts.requests),
            streams: of(&counts.streams),
            refused: of(&counts.refused),
            unexpected_5xx: of(&counts.unexpected),
            unexpected: counts.words.lock().map(|words| words.clone()).unwrap_or_default(),
        }
    }

    /// All leave; `false` when one of them broke.
    pub fn leave(self) -> (Load, bool) {
        self.counts.stop.store(true, Ordering::Relaxed);
        let load = || self.load();
        let before = load();
        let mut whole = true;
        let counts = Arc::clone(&self.counts);
        for thread in self.threads {
            whole &= thread.join().is_ok();
        }
        let after = Self { counts, threads: Vec::new() }.load();
        debug_assert!(after.requests >= before.requests);
        (after, whole)
    }
}

fn zap(streams: SocketAddr, paths: &[String], mut dice: Dice, counts: &Counts) {
    while !counts.stop.load(Ordering::Relaxed) {
        let path = &paths[usize::try_from(dice.below(paths.len() as u64)).unwrap_or(0)];
        let stay = match dice.below(10) {
            0..4 => Duration::from_millis(dice.below(2_000)),
            4..9 => Duration::from_secs(2 + dice.below(20)),
            _ => Duration::from_secs(60),
        };
        let vanish = dice.below(3) == 0;
        let wait = watch(streams, path, stay, vanish, counts);
        // Half obey, the others are impatient.
        let wait = if dice.below(2) == 0 { wait.min(30) } else { 1 };
        pause(Duration::from_secs(wait) + Duration::from_millis(dice.below(1_000)), counts);
    }
}

/// Sleeps, unless it is time to leave.
fn pause(time: Duration, counts: &Counts) {
    let end = Instant::now() + time;
    while Instant::now() < end && !counts.stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
    }
}

/// Tunes, stays, leaves; tells how long to wait before another try.
fn watch(streams: SocketAddr, path: &str, stay: Duration, vanish: bool, counts: &Counts) -> u64 {
    counts.requests.fetch_add(1, Ordering::Relaxed);
    let (head, mut socket) = match http::open(streams, path, ANSWER_WITHIN) {
        Ok(opened) => opened,
        Err(error) => {
            counts.unexpected(format!("{path}: no answer: {error}"));
            return 1;
        }
    };
    match judge(&head) {
        Answer::Picture => {
            counts.streams.fetch_add(1, Ordering::Relaxed);
            look_at(&mut socket, stay, counts);
            if vanish {
                // A reset instead of a good-bye.
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                let _ = setsockopt(&socket, sockopt::Linger, &linger);
            }
            1
        }
        Answer::Refused(seconds) => {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            seconds
        }
        Answer::Unexpected(words) => {
            counts.unexpected(format!("{path}: {words}"));
            1
        }
    }
}

fn look_at(socket: &mut TcpStream, stay: Duration, counts: &Counts) {
    let end = Instant::now() + stay;
    let mut buffer = vec![0; 64 * 1024];
    let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
    while Instant::now() < end && !counts.stop.load(Ordering::Relaxed) {
        match socket.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return,
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_honest_answers_are_expected() {
        let busy = "X-HDHomeRun-Error: 805 All Tuners In Use\r\nRetry-After: 10";
        assert_eq!(judge(&Head::of(200, "")), Answer::Picture);
        assert_eq!(judge(&Head::of(503, busy)), Answer::Refused(10));
        assert_eq!(judge(&Head::of(404, "X-HDHomeRun-Error: 801 Unknown Channel")), Answer::Refused(5));
        for (status, lines) in [
            (500, busy),
            (503, "Retry-After: 10"),
            (503, "X-HDHomeRun-Error: 807 No Video Data"),
            (503, "X-HDHomeRun-Error: 807 No Video Data\r\nRetry-After: 0"),
            (503, "X-HDHomeRun-Error: 807 No Video Data\r\nRetry-After: 121"),
            (404, ""),
            (302, ""),
        ] {
            assert!(matches!(judge(&Head::of(status, lines)), Answer::Unexpected(_)), "{status} {lines}");
        }
    }

    #[test]
    fn a_seed_is_a_script() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (0..20).map(|_| dice.below(100)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}

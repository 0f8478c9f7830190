//! Everything at once: channels of every temperament, viewers of every kind, and somebody who kills children.
//!
//! At stake: the bounds of the guard, with real processes and sockets, whatever comes together. A daemon with four
//! tuners is given more than a minute of it; [`witness`] judges afterwards by the fake FFmpeg's log and by what the
//! viewers noted, and somebody watches `/proc` meanwhile. When all have left nothing may be left.
//!
//! `CHAOS_SECONDS` and `CHAOS_SEED` make it longer, or the same again: a seed is a script, not a schedule.

mod witness;

use crate::kit::fakeff::{Fake, Metrics, Proc, is_zombie, monotonic_ms};
use crate::kit::{Daemon, children_of, http, send, wait_until};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use witness::Visit;

const SLOTS: usize = 4;

/// Children killed in one run. With the three crashes of a channel that makes seven: nine would be three batches, and
/// then the daemon starts anew by itself as soon as nobody watches (5-E, E1).
const KILLS_MAX: u64 = 4;

/// Name and modes; the number is the place, from 1.
const CHANNELS: [(&str, &str); 14] = [
    ("steady", "live, bitrate=2000000"),
    ("noisy", "live, stderr_flood, bitrate=1000000"),
    ("dead", "refused"),
    ("flapping", "exit_after=1000, partial_packet"),
    ("never", "silent"),
    ("misconfigured", "usage_error"),
    ("page", "html"),
    ("deaf", "live, ignore_term"),
    ("parent", "live, fork_grandchild=3000, hold_stdout"),
    ("stray", "live, fork_grandchild=3000, hold_stdout, setsid, orphans=3"),
    ("slow", "start_delay=3000"),
    ("crashes", "exit_after=4000, signal=11 | exit_after=9000, signal=11 | exit_after=2000, signal=11 | live"),
    ("bytes", "live, bytewise, bitrate=100000"),
    ("falls-silent", "silence_after=4000 | close_stdout=3000 | garbage"),
];

/// Always the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// What all threads share.
struct Stage {
    address: Ipv4Addr,
    leave: AtomicBool,
    visits: Mutex<Vec<Visit>>,
}

impl Stage {
    fn pause(&self, ms: u64) {
        let end = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < end && !self.leave.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks for a channel, does something with what comes, and notes it; tells how long the refusal says to wait.
    fn visit(&self, method: &str, resource: &str, channel: usize, stay: impl FnOnce(&Self, TcpStream)) -> u64 {
        let asked_ms = monotonic_ms();
        let mut visit = Visit {
            channel: CHANNELS[channel].0.to_owned(),
            asked_ms,
            answered_ms: asked_ms,
            ended_ms: asked_ms,
            status: None,
            error: None,
            retry_after_s: None,
            head_only: method == "HEAD",
        };
        if let Some((answer, stream)) = self.ask(method, &format!("/{resource}/v{}", channel + 1)) {
            visit.answered_ms = monotonic_ms();
            visit.status = Some(answer.status);
            visit.error = answer.header("x-hdhomerun-error").map(str::to_owned);
            visit.retry_after_s = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
            if answer.status == 200 && !visit.head_only {
                stay(self, stream);
            }
        } else {
            visit.answered_ms = monotonic_ms();
        }
        visit.ended_ms = monotonic_ms();
        let wait = u64::from(visit.retry_after_s.unwrap_or(0));
        self.visits.lock().unwrap().push(visit);
        wait
    }

    fn ask(&self, method: &str, target: &str) -> Option<(http::Answer, TcpStream)> {
        let mut stream = http::connect(self.address, 5004);
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).ok()?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.extend(byte),
                _ => return None,
            }
        }
        Some((http::parse(&head), stream))
    }

    /// Reads for so long, or until the stream ends.
    fn read(&self, stream: &mut TcpStream, ms: u64) {
        let end = Instant::now() + Duration::from_millis(ms);
        let mut buffer = vec![0; 64 * 1024];
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        while Instant::now() < end && !self.leave.load(Ordering::Relaxed) {
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Err(error)
                    if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                {
                    return;
                }
                _ => {}
            }
        }
    }
}

fn any_channel(dice: &mut Dice) -> usize {
    usize::try_from(dice.below(CHANNELS.len() as u64)).unwrap()
}

/// Comes, goes, stalls, vanishes, zaps, looks at heads, wants a tuner.
fn wander(stage: &Stage, mut dice: Dice) {
    while !stage.leave.load(Ordering::Relaxed) {
        let channel = any_channel(&mut dice);
        let stay_ms = [300, 1_000, 4_000, 9_000][usize::try_from(dice.below(4)).unwrap()] + dice.below(1_000);
        let tuner = format!("tuner{}", dice.below(SLOTS as u64 + 1));
        let wait = match dice.below(8) {
            0 => stage.visit("HEAD", "auto", channel, |_, _| {}),
            1 => stage.visit("GET", &tuner, channel, |stage, mut stream| stage.read(&mut stream, stay_ms)),
            2 => stage.visit("GET", "auto", channel, |stage, stream| {
                // Reads nothing: a paused television.
                stage.pause(stay_ms + 4_000);
                drop(stream);
            }),
            3 | 4 => stage.visit("GET", "auto", channel, |stage, mut stream| {
                stage.read(&mut stream, stay_ms);
                // Gone without a good-bye.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }),
            5 => {
                // Zapping: six channels in a row.
                for step in 0..5 {
                    stage.visit("GET", "auto", (channel + step) % CHANNELS.len(), |stage, mut stream| {
                        stage.read(&mut stream, 200);
                    });
                }
                0
            }
            _ => stage.visit("GET", "auto", channel, |stage, mut stream| stage.read(&mut stream, stay_ms)),
        };
        // Half of them obey, for a while.
        let wait_ms = if dice.below(2) == 0 { wait.min(8) * 1_000 } else { 0 };
        stage.pause(wait_ms + dice.below(700));
    }
}

/// Wants one channel and comes back a second after each refusal.
fn insist(stage: &Stage, channel: usize) {
    while !stage.leave.load(Ordering::Relaxed) {
        stage.visit("GET", "auto", channel, |stage, mut stream| stage.read(&mut stream, 3_600_000));
        stage.pause(1_000);
    }
}

/// Children that are FFmpeg, and not one of its own that came to us when it ended.
fn living_ffmpegs(daemon: u32) -> Vec<u32> {
    let is_ffmpeg = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("ffmpeg\0") && !line.contains("--grandchild")
    };
    children_of(daemon).into_iter().filter(|pid| !is_zombie(*pid)).filter(is_ffmpeg).collect()
}

/// What somebody saw who looked at `/proc` all the time.
#[derive(Default)]
struct Seen {
    wrong: Vec<String>,
    killed: BTreeMap<u32, u64>,
    opened: bool,
    most_children: usize,
}

/// Looks ten times a second, and kills a child now and then.
fn watch(stage: &Stage, daemon: &Daemon, fake: &Fake, mut dice: Dice, kill_every_ms: u64) -> Seen {
    let mut seen = Seen::default();
    let mut zombies: BTreeMap<u32, u64> = BTreeMap::new();
    let mut kill_at = monotonic_ms() + kill_every_ms / 2;
    let mut metrics_at = monotonic_ms();
    while !stage.leave.load(Ordering::Relaxed) {
        let now = monotonic_ms();
        let living = living_ffmpegs(daemon.pid());
        seen.most_children = seen.most_children.max(living.len());
        if living.len() > SLOTS {
            seen.wrong.push(format!("{} children on {SLOTS} slots: {living:?}", living.len()));
        }
        let keys = witness::keys_by_pid(&fake.log());
        // A child that was ended may linger among the dead for the moment in which its successor comes.
        let still: Vec<u32> = living_ffmpegs(daemon.pid()).into_iter().filter(|pid| living.contains(pid)).collect();
        for key in witness::doubled(&still, &keys) {
            seen.wrong.push(format!("{key} has two children: {still:?}"));
        }
        let dead: Vec<u32> = children_of(daemon.pid()).into_iter().filter(|pid| is_zombie(*pid)).collect();
        zombies.retain(|pid, _| dead.contains(pid));
        for pid in dead {
            let since = *zombies.entry(pid).or_insert(now);
            if now > since + 2_000 {
                seen.wrong.push(format!("{pid} is a zombie for {} ms", now - since));
            }
        }
        if now >= kill_at {
            let known: Vec<u32> = living.into_iter().filter(|pid| keys.contains_key(pid)).collect();
            if !known.is_empty() {
                let victim = known[usize::try_from(dice.below(known.len() as u64)).unwrap()];
                // It may have ended by itself meanwhile; then it is not ours.
                if children_of(daemon.pid()).contains(&victim) {
                    send(victim, Signal::SIGKILL);
                    seen.killed.insert(victim, now);
                }
            }
            kill_at = now + kill_every_ms;
        }
        if now >= metrics_at {
            metrics_at = now + 1_000;
            seen.opened |= Metrics::of(daemon).all("tunerd_circuit_breaker_state").any(|(_, state)| state > 1.5);
        }
        thread::sleep(Duration::from_millis(100));
    }
    seen
}

/// Nobody watches, and nothing changes any more.
fn rest(daemon: &Daemon) -> Proc {
    let mut last = Proc::of(daemon.pid());
    let mut since = Instant::now();
    wait_until("the daemon comes to rest", Duration::from_secs(60), || {
        let idle = daemon.tuner_states().iter().all(|state| state == "free");
        thread::sleep(Duration::from_millis(200));
        let now = Proc::of(daemon.pid());
        if !idle || !now.children.is_empty() || now.fds != last.fds || now.threads != last.threads {
            since = Instant::now();
        }
        last = now;
        since.elapsed() > Duration::from_secs(2)
    });
    last
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn chaos_breaks_no_bound_and_leaves_nothing_behind() {
    let seed = number_from("CHAOS_SEED").unwrap_or_else(monotonic_ms);
    let seconds = number_from("CHAOS_SECONDS").unwrap_or(75);
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    let (fake, mut setup) = Fake::setup(&CHANNELS);
    setup.set("slots", &format!("count = {SLOTS}")).set("slots", "ring_mib = 1");
    setup.set("network", "connections_per_address_max = 100").set("network", "connections_max = 120");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");

    // Whatever is taken only once is taken now: rings, buffers, the page's answers.
    fake.script("*: live, bitrate=16000000\n");
    for tuner in 0..SLOTS {
        let target = format!("/tuner{tuner}/v{}", tuner + 1);
        crate::kit::media::read_bytes(&mut http::open(daemon.address(), 5004, &target).1, 3 * 1024 * 1024 / 2);
    }
    Metrics::of(&daemon);
    let before = rest(&daemon);
    fake.channels(&CHANNELS);

    let stage = Stage { address: daemon.address(), leave: AtomicBool::new(false), visits: Mutex::default() };
    let stage = Arc::new(stage);
    let seen = thread::scope(|scope| {
        for index in 0..7 {
            let stage = &stage;
            scope.spawn(move || wander(stage, Dice::new(seed * 100 + index)));
        }
        for channel in [2, 3, 5, 11] {
            let stage = &stage;
            scope.spawn(move || insist(stage, channel));
        }
        let watching = scope.spawn(|| watch(&stage, &daemon, &fake, Dice::new(seed), seconds * 1_000 / KILLS_MAX));
        thread::sleep(Duration::from_secs(seconds));
        stage.leave.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    let after = rest(&daemon);

    let (log, visits) = (fake.log(), stage.visits.lock().unwrap().clone());
    let metrics = Metrics::of(&daemon);
    let mut wrong = seen.wrong.clone();
    wrong.extend(witness::judge(&log, &visits, &seen.killed));
    let starts = log.iter().filter(|line| line.event == "start").count();
    let counted = metrics.sum("tunerd_ffmpeg_spawn_total");
    if (counted - f64::from(u32::try_from(starts).unwrap())).abs() > 0.5 {
        wrong.push(format!("{starts} starts were witnessed, {counted} were counted"));
    }
    if metrics.must("tunerd_panics_total") > 0.5 {
        wrong.push("something panicked".to_owned());
    }
    if after.fds != before.fds || after.threads != before.threads || after.zombies > 0 {
        wrong.push(format!("before: {before:?}, after: {after:?}"));
    }
    if after.rss_kib > before.rss_kib + 2_048 {
        wrong.push(format!("memory grew from {} to {} KiB", before.rss_kib, after.rss_kib));
    }
    let restarts = witness::restarts(&log, &visits, &seen.killed).len();
    let refused = visits.iter().filter(|visit| visit.status == Some(503)).count();
    let pictures = visits.iter().filter(|visit| visit.status == Some(200)).count();
    println!(
        "{} visits, {pictures} pictures, {refused} refusals; {starts} starts, {restarts} of them restarts beyond \
         doubt ({} counted); {} killed; at most {} children; {} → {} KiB, {} → {} descriptors",
        visits.len(),
        metrics.sum("tunerd_channel_restart_total"),
        seen.killed.len(),
        seen.most_children,
        before.rss_kib,
        after.rss_kib,
        before.fds,
        after.fds,
    );
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    // A quiet run proves nothing.
    let sometimes = [
        ("a restart", restarts >= 1 && metrics.sum("tunerd_channel_restart_total") >= 1.0),
        ("an open breaker", seen.opened),
        ("a refused tune", refused >= 1),
        ("a killed child", !seen.killed.is_empty()),
        ("a picture", pictures >= 10),
        ("all slots in use", seen.most_children == SLOTS),
    ];
    for (what, happened) in sometimes {
        assert!(happened, "seed {seed}: there never was {what}");
    }
}

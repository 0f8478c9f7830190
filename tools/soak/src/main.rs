//! Watches a daemon under load and faults, and says whether it is stable. `README.md` says how to use it.
//!
//! - [`options`]: what was typed.
//! - [`process`]: the daemon's `/proc`, and a daemon of our own with a fake FFmpeg.
//! - [`load`]: viewers. [`cycles`]: one viewer, very often.
//! - [`metrics`], [`http`]: as little of both as is needed.
//! - [`verdict`]: from evidence to a verdict; it touches nothing of the world. [`report`]: its words.
//!
//! It shares no code with the daemon, so that it cannot share its errors.

mod cycles;
mod http;
mod load;
mod metrics;
mod options;
mod process;
mod report;
mod verdict;

use load::Viewers;
use metrics::Metrics;
use nix::sys::signal::{SigSet, Signal};
use options::Options;
use process::{Own, listener, look};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use verdict::{Evidence, Sample, Told};

/// Whatever went wrong with the soak itself, as a sentence.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

const SLOTS: u32 = 4;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A zombie is reaped within a second; another one for the machine.
const ZOMBIE_S_MAX: f64 = 2.0;
/// From the last viewer to nothing left: start phase, linger, kill ladder, and some.
const IDLE_WITHIN: Duration = Duration::from_secs(60);
/// The harness failed.
const EXIT_HARNESS: u8 = 2;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let outcome = match options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) if options.cycles => run_cycles(&options),
        Ok(Some(options)) => soak(&options),
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(words) => Err(words.into()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(EXIT_HARNESS)
        }
    }
}

/// Sleeps.
///
/// # Errors
/// Somebody wants to stop: return, so that everything started is ended on the way.
pub fn pause(time: Duration) -> Outcome<()> {
    let end = Instant::now() + time;
    loop {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// From here on signals are only noted. Children that were started before are spared that.
pub fn hear_signals() -> Outcome<()> {
    let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    set.thread_block()?;
    thread::spawn(move || {
        while set.wait().is_ok() {
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}

fn programs(options: &Options) -> Outcome<(&std::path::Path, &std::path::Path)> {
    let tunerd = options.tunerd.as_deref().ok_or("name a daemon with --url, or start this with tools/soak/run")?;
    let fakeff = options.fakeff.as_deref().ok_or("--fakeff is missing; start this with tools/soak/run")?;
    Ok((tunerd, fakeff))
}

fn run_cycles(options: &Options) -> Outcome<u8> {
    let (tunerd, fakeff) = programs(options)?;
    let outcome = cycles::run(tunerd, fakeff, options.count)?;
    let (before, after) = (&outcome.before, &outcome.after);
    println!("{} cycles in {:.0} s, {} cold starts", outcome.cycles, outcome.seconds, outcome.starts);
    println!("file descriptors {} → {}, threads {} → {}", before.fds, after.fds, before.threads, after.threads);
    println!(
        "memory {} → {} KiB, children {}, zombies {}",
        before.rss_kib, after.rss_kib, after.children, after.zombies
    );
    for words in &outcome.wrong {
        println!("WRONG: {words}");
    }
    Ok(u8::from(!outcome.wrong.is_empty()))
}

/// The daemon under test.
struct Target {
    page: SocketAddr,
    streams: SocketAddr,
    pid: u32,
    slots: Option<u32>,
    /// Paths of its channels, and those of our own that fail for ever.
    paths: Vec<String>,
    stubborn: Vec<String>,
}

/// Asks the daemon who it is and what it offers.
fn meet(page: SocketAddr, options: &Options) -> Outcome<Target> {
    let value = |text: &str, key: &str| {
        let rest = text.split_once(&format!("\"{key}\":"))?.1.trim_start().trim_start_matches('"').to_owned();
        Some(rest.chars().take_while(|letter| !matches!(letter, '"' | ',' | '}')).collect::<String>())
    };
    let discover = http::get(page, "/discover.json", ANSWER_WITHIN)?;
    let slots = value(&discover, "TunerCount").and_then(|count| count.parse().ok());
    let lineup = http::get(page, "/lineup.json", ANSWER_WITHIN)?;
    let (mut paths, mut streams) = (Vec::new(), None);
    for channel in lineup.split('{').skip(1) {
        let (Some(number), Some(url)) = (value(channel, "GuideNumber"), value(channel, "URL")) else { continue };
        if !options.channels.is_empty() && !options.channels.contains(&number) {
            continue;
        }
        let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or("odd stream URL")?;
        streams = Some(resolve(host)?);
        paths.push(format!("/{path}"));
    }
    let streams = streams.ok_or("it has none of these channels")?;
    let pid = options.pid.or_else(|| listener(page)).ok_or(
        "its process was not found on this machine; its /proc is the evidence, so run this beside it, as its user or \
         as root, or name it with --pid",
    )?;
    Ok(Target { page, streams, pid, slots, paths, stubborn: Vec::new() })
}

fn resolve(host: &str) -> Outcome<SocketAddr> {
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    Ok(with_port.to_socket_addrs()?.find(SocketAddr::is_ipv4).ok_or(format!("{host} has no IPv4 address"))?)
}

fn soak(options: &Options) -> Outcome<u8> {
    let own = if options.url.is_none() {
        let (tunerd, fakeff) = programs(options)?;
        Some(Own::start(tunerd, fakeff, SLOTS, None)?)
    } else {
        None
    };
    hear_signals()?;
    let mut target = match (&own, &options.url) {
        (Some(own), _) => meet(own.page, &Options { pid: Some(own.pid()), ..options.clone() })?,
        (None, Some(url)) => {
            let host = url.strip_prefix("http://").ok_or("a URL begins with http://")?;
            meet(resolve(host.split('/').next().unwrap_or(host))?, options)?
        }
        (None, None) => unreachable!("without a URL there is an own daemon"),
    };
    if own.is_some() && options.channels.is_empty() {
        // Dead, and flapping: without somebody who insists no breaker would ever open.
        target.stubborn = [3, 4].iter().filter_map(|index| target.paths.get(*index).cloned()).collect();
    }
    println!("soak: process {}, {} channels, seed {}", target.pid, target.paths.len(), options.seed);
    let evidence = gather(options, &target, own.as_ref());
    let evidence = match evidence {
        Ok(evidence) => evidence,
        Err(error) => {
            if let Some(own) = &own {
                eprintln!("soak: the daemon's last words:\n{}", own.last_words());
            }
            return Err(error);
        }
    };
    let verdict = verdict::judge(&evidence, &options.limits);
    let rows = report::rows(options, &evidence, &verdict);
    print!("{}", report::text(&rows));
    if let Some(path) = &options.json {
        std::fs::write(path, report::json(&rows))?;
    }
    if let (1, Some(own)) = (verdict.exit_code(), &own) {
        eprintln!("soak: the daemon's last words:\n{}", own.last_words());
    }
    Ok(verdict.exit_code())
}

/// Waits until nobody watches, sets the viewers on, looks every second, and waits for rest again.
fn gather(options: &Options, target: &Target, own: Option<&Own>) -> Outcome<Evidence> {
    let mut evidence = Evidence { slots: target.slots, ..Evidence::default() };
    // A first look at everything takes memory and descriptors that stay.
    for path in ["/metrics", "/lineup.json"] {
        let _: Result<_, _> = http::get(target.page, path, ANSWER_WITHIN);
    }
    evidence.idle_before = idle(target.pid, target.page, IDLE_WITHIN)?;
    let mut viewers = Viewers::start(target.streams, &target.paths, options.viewers, options.seed);
    for path in &target.stubborn {
        viewers.insist(target.streams, path);
    }
    let start = Instant::now();
    let mut zombies: BTreeMap<u32, f64> = BTreeMap::new();
    let mut due = start;
    while start.elapsed() < options.duration {
        let at_s = start.elapsed().as_secs_f64();
        let Some((mut sample, seen)) = look(target.pid, at_s) else {
            evidence.seen_wrong.push(format!("process {} was gone after {at_s:.0} s", target.pid));
            break;
        };
        zombies.retain(|pid, _| seen.contains(pid));
        for pid in seen {
            let since = *zombies.entry(pid).or_insert(at_s);
            if at_s - since > ZOMBIE_S_MAX {
                evidence.seen_wrong.push(format!("zombie {pid} stayed for {:.0} s", at_s - since));
                zombies.insert(pid, f64::INFINITY);
            }
        }
        sample.told = ask(target.page);
        evidence.samples.push(sample);
        due += SAMPLE_EVERY;
        pause(due.saturating_duration_since(Instant::now()))?;
    }
    evidence.duration_s = start.elapsed().as_secs_f64();
    let (load, whole) = viewers.leave();
    evidence.load = load;
    if !whole {
        return Err("a viewer of the soak broke".into());
    }
    evidence.idle_after = idle(target.pid, target.page, IDLE_WITHIN)?;
    evidence.witnessed_starts = own.map(Own::witnessed_starts);
    Ok(evidence)
}

/// What the daemon tells about itself; `None` when it does not answer.
fn ask(page: SocketAddr) -> Option<Told> {
    let text = http::get(page, "/metrics", ANSWER_WITHIN).ok()?;
    let metrics = Metrics::parse(&text);
    let of_channels = |name: &str| {
        // A name without any value yet is known all the same.
        let known = metrics.sum(name).is_some() || text.contains(&format!("# TYPE {name} "));
        known.then(|| metrics.each(name).map(|(labels, value)| (labels.to_owned(), value)).collect::<Vec<_>>())
    };
    Some(Told {
        storms: metrics.sum("tunerd_restart_storm_total"),
        spawns: metrics.sum("tunerd_ffmpeg_spawn_total"),
        active: metrics.sum("tunerd_ffmpeg_processes_active"),
        panics: metrics.sum("tunerd_panics_total"),
        quarantined: metrics.sum("tunerd_slot_quarantined"),
        restarts: of_channels("tunerd_channel_restart_total"),
        open: of_channels("tunerd_circuit_breaker_state")
            .map(|states| states.iter().filter(|(_, state)| (state - 2.0).abs() < 0.5).count()),
        lag: metrics.buckets("tunerd_event_loop_lag_seconds"),
    })
}

/// Waits until nothing plays and two looks a second apart see the same; `None` when that does not come.
pub fn idle(pid: u32, page: SocketAddr, limit: Duration) -> Outcome<Option<Sample>> {
    let end = Instant::now() + limit;
    let mut before: Option<Sample> = None;
    while Instant::now() < end {
        let told = ask(page);
        // The answer's own connection is closed when the daemon has seen that we left.
        pause(Duration::from_secs(1))?;
        let Some((sample, _)) = look(pid, 0.0) else { return Ok(None) };
        let at_rest = sample.children == 0
            && sample.zombies == 0
            && told.as_ref().is_some_and(|told| told.active.is_none_or(|active| active < 0.5));
        let same = before.as_ref().is_some_and(|before| before.fds == sample.fds && before.threads == sample.threads);
        let sample = Sample { told, ..sample };
        if at_rest && same {
            return Ok(Some(sample));
        }
        before = at_rest.then_some(sample);
    }
    Ok(None)
}

//! Measures tunerd against its bars, each figure beside a yardstick in the same run. `README.md` says what they mean.
//!
//! - [`figures`]: what is measured, and the bars.
//! - [`report`]: figures as text, bars held or missed.
//! - [`answers`]: short questions: documents and discovery.
//! - [`servers`]: the measured processes, and what the kernel says they cost.
//! - [`source`], [`viewers`]: the two ends of the load; threads of this process, on the other processor.
//! - [`bare`]: the yardstick. [`pull`]: the daemon's engine alone.
//! - [`http`], [`transport_stream`]: as little of both as is needed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the bans are the daemon's, not the bench's")]

mod answers;
mod bare;
mod figures;
mod http;
mod pull;
mod report;
mod servers;
mod source;
mod transport_stream;
mod viewers;

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, signal};

use figures::Bench;
use viewers::{Care, Viewers};

const HELP: &str = "\
usage: tools/bench/run FIGURE… [OPTION…]

FIGURE    relay8 relay32 channels36 pull memory zap failing8 discovery http idle, or all
OPTION    --tunerd PATH    measure this binary instead of building one
          --yardsticks     measure the yardsticks only
          --rounds N       how often a relay figure is measured; default 3
          --seconds N      how long each time; default 15
          --warmup N       how long to wait before; default 5

The parts by hand, without bars:
  bench source ADDRESS FILE                 broadcast an 8 Mbit/s file; make it if there is none
  bench bare ADDRESS SOURCE-ADDRESS PATH    the bare loop
  bench pull SOURCE-ADDRESS COUNT           the daemon's engine alone
  bench viewers ADDRESS COUNT SECONDS PATH  read, count and check packets
";

/// Whatever went wrong, as a sentence.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Sleeps.
///
/// # Errors
/// The user wants to stop: return, so that everything started is ended on the way.
pub fn pause(duration: Duration) -> Outcome<()> {
    let until = Instant::now() + duration;
    loop {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        [] | ["--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["source", address, file] => broadcast(address, Path::new(file)),
        ["bare", address, source, path] => run_bare(address, source, path),
        ["puller", source, count] => run_pull(source, count),
        ["viewers", address, count, seconds, path] => watch(address, count, seconds, path),
        _ => match measure(&words) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// Measures the figures asked for. 0: all bars held, 1: some missed, 2: some not measured.
fn measure(words: &[&str]) -> Outcome<ExitCode> {
    for caught in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler stores to an atomic and does nothing else.
        unsafe { signal(caught, SigHandler::Handler(on_signal)) }?;
    }
    let congestion_control = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?;
    if congestion_control.trim() != "reno" {
        return Err("start it with tools/bench/run: it makes a network of its own with reno for all sockets".into());
    }
    let mut bench = Bench::default();
    let mut wanted = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match *word {
            "--tunerd" => bench.tunerd = Some(fs::canonicalize(value()?)?),
            "--yardsticks" => bench.tunerd = None,
            "--rounds" => bench.rounds_len = value()?.parse()?,
            "--seconds" => bench.measured = Duration::from_secs(value()?.parse()?),
            "--warmup" => bench.warmup = Duration::from_secs(value()?.parse()?),
            "all" => wanted.extend(figures::ALL),
            name => {
                let known = figures::ALL.into_iter().find(|(known, _)| *known == name);
                wanted.push(known.ok_or(format!("there is no figure {name}; see --help"))?);
            }
        }
    }
    let longest = figures::SERVED_WITHIN + bench.warmup + bench.measured;
    if longest > Duration::from_secs(source::SECONDS_MAX) {
        return Err(format!("the source ends before {} s", longest.as_secs()).into());
    }
    servers::pin_bench()?;
    let scratch = Scratch::new()?;
    bench.scratch = scratch.0.clone();
    let mut unmeasured_len = 0;
    for (name, figure) in wanted {
        if let Err(error) = figure(&mut bench) {
            println!("{name} could not be measured: {error}\n");
            unmeasured_len += 1;
        }
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
    }
    let missed_len = bench.report.missed_len;
    println!("{} bars held, {missed_len} missed, {unmeasured_len} figures not measured", bench.report.held_len);
    Ok(ExitCode::from(if unmeasured_len > 0 { 2 } else { u8::from(missed_len > 0) }))
}

/// A directory that goes when the bench does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("tunerd-bench.{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("bench: {} remains: {error}", self.0.display());
        }
    }
}

fn broadcast(address: &str, file: &Path) -> Outcome<()> {
    if !file.exists() {
        source::make_file(file)?;
    }
    source::Source::start(address.parse()?, file)?.join();
    Ok(())
}

fn run_bare(address: &str, source: &str, path: &str) -> Outcome<()> {
    Ok(bare::run(address.parse()?, source.parse()?, path)?)
}

fn run_pull(source: &str, count: &str) -> Outcome<()> {
    pull::run(source.parse()?, count.parse()?)
}

fn watch(address: &str, count: &str, seconds: &str, path: &str) -> Outcome<()> {
    let address: SocketAddr = address.parse()?;
    let paths = vec![path.to_owned(); count.parse()?];
    let viewers = Viewers::start(address, paths, Care::Check)?;
    thread::sleep(Duration::from_secs(seconds.parse()?));
    let sample = viewers.sample();
    println!("bytes {:?}, {} viewers still served, {} gaps", sample.bytes, sample.streaming_len, sample.gaps);
    Ok(())
}

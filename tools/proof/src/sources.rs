//! Channels with several sources, and providers that count streams: random hours, and a checker of their own.
//!
//! The observer speaks of one source for each channel; this is what it does not see. It is smaller, for whatever a single
//! source can do is proven there.
//!
//! - [`checker`]: whether what was done is right; [`books`]: what it writes down for that.
//! - [`world`]: what happens.

pub mod books;
pub mod checker;
pub mod world;

use crate::observer::Violation;
use crate::trace::clock;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use world::World;

/// What a run over many seeds must reach, or it proves nothing about it.
const WANTED: &[&str] = &[
    "account full",
    "another one at once",
    "blank",
    "cold of another source",
    "crash",
    "dismissed",
    "idle ended",
    "misconfigured",
    "opened",
    "probe closed",
    "probe inconclusive",
    "probe of another source",
    "quarantine with an account",
    "resting",
    "restart of another source",
    "silence given up for another",
    "slow",
    "stall",
    "start given up for another",
    "start timeout",
    "the same one at once",
    "tune failed",
];

/// What many seeds came to.
#[derive(Debug, Default)]
pub struct Summary {
    seeds: u64,
    hours: u64,
    seconds: f64,
    counts: BTreeMap<&'static str, u64>,
    /// The first seed that broke a rule, and how.
    pub failure: Option<(u64, Violation)>,
}

/// One seed, and the events before a violation; a panic of the rules' own assertions is one, too.
fn seed(number: u64, hours: u64, trace: bool) -> (BTreeMap<&'static str, u64>, Option<Violation>, String) {
    match catch_unwind(AssertUnwindSafe(|| World::new(number, hours, trace).run())) {
        Ok((checker, trace)) => (checker.counts, checker.violation, trace.map(|it| it.text()).unwrap_or_default()),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = format!("the rules' own assertion failed: {}", words.unwrap_or_default());
            (BTreeMap::new(), Some(Violation { rule: "assert", text, at: 0 }), String::new())
        }
    }
}

/// A seed's violation in words, with the events before it.
pub fn explain(number: u64, hours: u64) -> Option<String> {
    let (_, violation, trace) = seed(number, hours, true);
    violation.map(|it| format!("{trace}\n\nseed {number} at {} broke {}: {}", clock(it.at), it.rule, it.text))
}

/// Runs so many seeds from `base` on, or those before the first that breaks a rule.
pub fn run(base: u64, seeds: u64, hours: u64, threads: usize) -> Summary {
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(base), AtomicBool::new(false));
    let shared = Mutex::new(Summary { hours, ..Summary::default() });
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= base + seeds {
                        break;
                    }
                    let (counts, violation, _) = seed(number, hours, false);
                    let mut sum = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.seeds += 1;
                    for (what, times) in counts {
                        *sum.counts.entry(what).or_default() += times;
                    }
                    if let Some(violation) = violation {
                        stop.store(true, Ordering::Relaxed);
                        if sum.failure.as_ref().is_none_or(|(known, _)| number < *known) {
                            sum.failure = Some((number, violation));
                        }
                    }
                }
            });
        }
    });
    let mut summary = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.seconds = began.elapsed().as_secs_f64();
    summary
}

impl Summary {
    /// What was never reached.
    pub fn missing(&self) -> Vec<&'static str> {
        WANTED.iter().copied().filter(|what| !self.counts.contains_key(what)).collect()
    }

    /// The sums in words.
    pub fn text(&self) -> String {
        let Self { seeds, hours, seconds, .. } = self;
        let mut text = format!("{seeds} seeds of {hours} virtual hours with several sources in {seconds:.1} s\n");
        for pair in self.counts.iter().collect::<Vec<_>>().chunks(2) {
            for (what, times) in pair {
                let _ = write!(text, "  {what:<42} {times:>10}");
            }
            text.push('\n');
        }
        text
    }
}

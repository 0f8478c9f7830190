//! Many days of many homes, on all processors, and the sum of it.

use crate::points::{Counts, Point};
use crate::trace::clock;
use crate::world::{Outcome, World};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first seed.
    pub base: u64,
    /// How many.
    pub seeds: u64,
    /// Virtual hours of each.
    pub hours: u64,
    /// Threads; 0: as many as there are processors.
    pub threads: usize,
    /// Whether a point that was never reached is a failure.
    pub demand_points: bool,
}

/// What it came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Sums over all of them.
    pub sum: Outcome,
    /// The first seed that broke a rule, in words.
    pub failure: Option<String>,
    /// That rule.
    pub rule: Option<&'static str>,
    /// Seconds it took.
    pub seconds: f64,
    /// Points that were never reached.
    pub missing: Vec<Point>,
}

/// Runs one seed; a panic of the rules' own assertions is a violation too.
pub fn seed(seed: u64, hours: u64, trace: bool) -> (Outcome, String) {
    let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, hours, trace).run()));
    match run {
        Ok((outcome, trace)) => (outcome, trace.map(|trace| trace.text()).unwrap_or_default()),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = format!("the rules' own assertion failed: {}", words.unwrap_or_default());
            let violation = crate::observer::Violation { rule: "assert", text, at: 0 };
            (Outcome { violation: Some(violation), ..Outcome::default() }, String::new())
        }
    }
}

/// A violation in words, with the events before it.
pub fn explain(number: u64, hours: u64) -> Option<String> {
    let (outcome, trace) = seed(number, hours, true);
    outcome.violation.map(|violation| {
        format!("{trace}\n\nseed {number} at {} broke {}: {}", clock(violation.at), violation.rule, violation.text)
    })
}

/// Runs all seeds of a plan, or those before the first that breaks a rule.
pub fn run(plan: Plan) -> Summary {
    let began = Instant::now();
    let threads = if plan.threads == 0 {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    } else {
        plan.threads
    };
    let next = AtomicU64::new(plan.base);
    let stop = AtomicBool::new(false);
    let shared = Mutex::new((Outcome::default(), 0_u64, None::<(u64, &'static str)>));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= plan.base + plan.seeds {
                        break;
                    }
                    let (outcome, _) = seed(number, plan.hours, false);
                    let mut shared = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    add(&mut shared.0, &outcome);
                    shared.1 += 1;
                    if let Some(violation) = outcome.violation {
                        stop.store(true, Ordering::Relaxed);
                        let broken = (number, violation.rule);
                        shared.2 = Some(shared.2.map_or(broken, |other| other.min(broken)));
                    }
                }
            });
        }
    });
    let (sum, seeds, broken) = shared.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let missing = if plan.demand_points { sum.counts.missing(crate::world::WANTED) } else { Vec::new() };
    let failure = broken.filter(|_| plan.demand_points).and_then(|(number, _)| explain(number, plan.hours));
    let rule = broken.map(|(_, rule)| rule);
    Summary { seeds, sum, failure, rule, seconds: began.elapsed().as_secs_f64(), missing }
}

fn add(sum: &mut Outcome, one: &Outcome) {
    sum.counts.add(&one.counts);
    sum.events += one.events;
    sum.spawns += one.spawns;
    sum.restarts += one.restarts;
    sum.probes += one.probes;
    sum.openings += one.openings;
}

impl Summary {
    /// The sums in words.
    pub fn text(&self, hours: u64) -> String {
        let sum = &self.sum;
        let mut text = format!(
            "{} seeds of {hours} virtual hours in {:.1} s, {:.1} seeds/s, {:.1} million events/s\n\
             {} events, {} spawns, {} restarts, {} probes among them, {} openings\n",
            self.seeds,
            self.seconds,
            self.seeds as f64 / self.seconds,
            sum.events as f64 / self.seconds / 1e6,
            sum.events,
            sum.spawns,
            sum.restarts,
            sum.probes,
            sum.openings,
        );
        for row in Point::ALL.chunks(2) {
            for point in row {
                write!(text, "  {:<44}{:>12}", point.name(), sum.counts.of(*point)).unwrap_or_default();
            }
            text.push('\n');
        }
        text
    }

    /// Whether everything holds and everything happened.
    pub fn holds(&self) -> bool {
        self.rule.is_none() && self.missing.is_empty()
    }
}

/// Sums of nothing.
pub fn nothing() -> Counts {
    Counts::default()
}

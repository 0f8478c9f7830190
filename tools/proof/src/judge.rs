//! All proofs in short, one after the other, until one of them finds something: what a mutant has to pass.

use crate::explore;
use crate::points::Point;
use crate::simulate::{self, Plan};
use crate::timelines;
use std::panic::catch_unwind;

/// The first proof that fails, and the rule that was broken; `None` when all hold.
pub fn judge() -> Option<(&'static str, String)> {
    match catch_unwind(timelines::all) {
        Ok(Ok(told)) if told == include_str!("../golden/timelines.txt") => {}
        Ok(Ok(_)) => return Some(("timelines", "timelines".to_owned())),
        Ok(Err(broken)) => {
            let rule = broken.split_once(" broke ").and_then(|(_, after)| after.split(':').next()).unwrap_or(&broken);
            return Some(("timelines", rule.to_owned()));
        }
        Err(_) => return Some(("timelines", "assert".to_owned())),
    }
    if let Some(rule) = simulated(0, 60) {
        return Some(("simulator", rule));
    }
    let explored = explore::run(&explore::QUICK, 400_000);
    if let Some(broken) = explored.broken {
        return Some(("explorer", broken.to_owned()));
    }
    simulated(60, 340).map(|rule| ("simulator", rule))
}

fn simulated(base: u64, seeds: u64) -> Option<String> {
    // A thread is enough: two mutants are judged at once.
    let plan = Plan { base, seeds, hours: 24, threads: 1, demand_points: false };
    let summary = simulate::run(plan);
    summary.rule.map(str::to_owned)
}

/// Points that a judge's seeds are to reach; a test sees to it.
pub const WANTED: &[Point] = &[Point::AcquireTimeout, Point::DenyRecords, Point::DenyHeat, Point::Recall, Point::Quarantine];

//! All proofs in short, one after the other, until one of them finds something: what a mutant has to pass.

use crate::explore;
use crate::simulate::{self, Plan};
use crate::sources;
use crate::timelines;
use std::panic::catch_unwind;

/// What each proof finds, in this order; the first that finds something is the last, unless all are wanted. `of_sources`:
/// it is for those of several sources to find, and they begin.
pub fn judge(all: bool, of_sources: bool) -> Vec<(&'static str, String)> {
    let mut proofs: [(&str, fn() -> Option<&'static str>); 5] = [
        ("sources", sourced),
        ("timelines", told),
        ("simulator", || simulated(0, 60)),
        ("explorer", || explore::run(&explore::QUICK, 400_000).broken),
        ("simulator", || simulated(60, 340)),
    ];
    if !of_sources {
        proofs.rotate_left(1);
    }
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for (name, proof) in proofs {
        let known = found.iter().any(|(known, _)| *known == name);
        if known || !all && !found.is_empty() {
            continue;
        }
        if let Some(rule) = proof() {
            found.push((name, rule.to_owned()));
        }
    }
    found
}

fn told() -> Option<&'static str> {
    match catch_unwind(timelines::all) {
        Ok(Ok(told)) => (told != include_str!("../golden/timelines.txt")).then_some("golden"),
        Ok(Err(broken)) => Some(broken.rule),
        Err(_) => Some("assert"),
    }
}

fn simulated(base: u64, seeds: u64) -> Option<&'static str> {
    // A thread is enough: two mutants are judged at once.
    simulate::run(Plan { base, seeds, hours: 24, threads: 1, demand_points: false }).rule
}

fn sourced() -> Option<&'static str> {
    sources::run(0, 120, 6, 1).failure.map(|(_, violation)| violation.rule)
}

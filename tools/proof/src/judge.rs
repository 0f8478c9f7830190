//! All proofs in short, one after the other, until one of them finds something: what a mutant has to pass.

use crate::explore;
use crate::simulate::{self, Plan};
use crate::timelines;
use std::panic::catch_unwind;

/// What each proof finds, in this order; the first that finds something is the last, unless all are wanted.
pub fn judge(all: bool) -> Vec<(&'static str, String)> {
    let proofs: [(&str, fn() -> Option<&'static str>); 4] = [
        ("timelines", told),
        ("simulator", || simulated(0, 60)),
        ("explorer", || explore::run(&explore::QUICK, 400_000).broken),
        ("simulator", || simulated(60, 340)),
    ];
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

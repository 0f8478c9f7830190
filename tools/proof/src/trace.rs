//! The last things that happened, in words, for whoever looks for a violation's cause.

use crate::spec::Ms;
use pure::rules::pool::{Effect, Event};
use std::collections::VecDeque;

/// How many events are kept.
const KEPT: usize = 40;

/// The last events of a seed, each with its effects.
#[derive(Debug)]
pub struct Trace {
    seed: u64,
    lines: VecDeque<String>,
}

impl Trace {
    /// Nothing yet.
    pub fn new(seed: u64) -> Self {
        Self { seed, lines: VecDeque::new() }
    }

    /// An event.
    pub fn event(&mut self, now: Ms, event: &Event) {
        self.say(now, &format!("{event:?}"));
    }

    /// Anything else.
    pub fn say(&mut self, now: Ms, text: &str) {
        if self.lines.len() >= std::env::var("PROOF_TRACE").ok().and_then(|it| it.parse().ok()).unwrap_or(KEPT) {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>12} {text}", clock(now)));
    }

    /// What the pool answered to the last event.
    pub fn effects(&mut self, effects: &[Effect]) {
        if let Some(line) = self.lines.back_mut() {
            for effect in effects {
                line.push_str(&format!("\n{:>16} {effect:?}", "->"));
            }
        }
    }

    /// All of it.
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        format!("the last {} events of seed {}:\n{}", lines.len(), self.seed, lines.join("\n"))
    }
}

/// A point of time as hours, minutes, seconds and milliseconds.
pub fn clock(ms: Ms) -> String {
    let seconds = ms / 1_000;
    format!("{}:{:02}:{:02}.{:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60, ms % 1_000)
}

//! What helps a daemon that fails again and again: a fresh start of the board, and if that does not, safe mode.
//!
//! Asked once systemd has given up restarting (rule E4). How long ago something was is counted in time that the board
//! was on, never by the wall clock: a board without a battery wakes up in 1970, and one with the wrong time must
//! neither reboot for ever nor never (T01). Time without power counts as none, so in doubt it is safe mode (E5).
//!
//! Not here: where this is written down, and who reboots (`ladder.rs` of the daemon, and `systemd/`). Which system the
//! boot loader takes is nobody's business here: an image that was marked good stays so (E7).

use crate::limits::{REBOOT_WINDOW_MS, REBOOTS_MAX};
use crate::time::Mono;
use core::fmt;

/// Names one start of the board.
type Boot = heapless::String<36>;

/// A reboot that we asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reboot {
    /// In which start of the board.
    boot: Boot,
    /// How long after it.
    at: Mono,
}

/// The reboots that we asked for lately, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    reboots: heapless::HistoryBuffer<Reboot, { REBOOTS_MAX + 1 }>,
    /// Lines that cannot be read. Each may have been a reboot.
    damaged: usize,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start the board anew.
    Reboot,
    /// Show the page, and play nothing.
    SafeMode(Because),
}

/// Why not to reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// That was tried often enough.
    TriedOften,
    /// Somebody said that it must not be, or this computer is none of ours.
    NotAllowed,
    /// It would not help: the settings are wrong, or nothing had crashed.
    NoHelp,
    /// It cannot be written down, and would not be counted.
    NotCounted,
}

impl Because {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::TriedOften => "the board was started anew for that often enough",
            Self::NotAllowed => "the board may not be started anew for that; see [ladder] in the settings",
            Self::NoHelp => "a fresh start of the board would not help",
            Self::NotCounted => "reboots cannot be counted, and must not go on for ever",
        }
    }
}

/// What is known when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case<'a> {
    /// This start of the board.
    pub boot: &'a str,
    /// How long ago that was.
    pub now: Mono,
    /// Whether the board may be started anew.
    pub may_reboot: bool,
    /// Whether the daemon crashed, rather than ended for a reason that stays.
    pub crashed: bool,
}

impl Ledger {
    /// Reads what `Display` wrote; what cannot be read counts as a reboot a moment ago.
    pub fn parse(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match parse_line(line) {
                Some(reboot) => ledger.reboots.write(reboot),
                None => ledger.damaged = ledger.damaged.saturating_add(1),
            }
        }
        ledger
    }

    /// Decides, and notes a reboot. Damaged lines are forgotten afterwards: they have had their effect.
    pub fn decide(&mut self, case: &Case<'_>) -> Decision {
        let lately = self.lately(case).saturating_add(core::mem::take(&mut self.damaged));
        if !case.crashed {
            Decision::SafeMode(Because::NoHelp)
        } else if !case.may_reboot {
            Decision::SafeMode(Because::NotAllowed)
        } else if lately >= REBOOTS_MAX {
            Decision::SafeMode(Because::TriedOften)
        } else {
            match Boot::try_from(case.boot) {
                Ok(boot) if !boot.is_empty() => {
                    self.reboots.write(Reboot { boot, at: case.now });
                    Decision::Reboot
                }
                _ => Decision::SafeMode(Because::NotCounted),
            }
        }
    }

    /// Reboots within the window. From one to the next, at least as much time has passed as the board was on after the
    /// first; starts in between that we know nothing of only make it more.
    fn lately(&self, case: &Case<'_>) -> usize {
        let (mut later_boot, mut later_at, mut ago_ms) = (case.boot, case.now, 0_u64);
        let mut count = 0;
        for index in (0..self.reboots.len()).rev() {
            let Some(reboot) = self.reboots.oldest_ordered().nth(index) else { break };
            let between_ms = if reboot.boot == later_boot { later_at.ms_since(reboot.at) } else { later_at.0 };
            ago_ms = ago_ms.saturating_add(between_ms);
            if ago_ms >= REBOOT_WINDOW_MS {
                break;
            }
            count += 1;
            (later_boot, later_at) = (&reboot.boot, reboot.at);
        }
        count
    }
}

fn parse_line(line: &str) -> Option<Reboot> {
    let (boot, at) = line.strip_prefix("reboot ")?.split_once(' ')?;
    let at = at.strip_suffix(" ms")?;
    Some(Reboot { boot: Boot::try_from(boot).ok().filter(|boot| !boot.is_empty())?, at: Mono(at.parse().ok()?) })
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reboots.oldest_ordered().try_for_each(|Reboot { boot, at }| writeln!(f, "reboot {boot} {} ms", at.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString as _};
    use std::vec::Vec;

    const MINUTE_MS: u64 = 60_000;
    const TRIED_OFTEN: Decision = Decision::SafeMode(Because::TriedOften);

    fn case(boot: &str, minutes: u64) -> Case<'_> {
        Case { boot, now: Mono(minutes * MINUTE_MS), may_reboot: true, crashed: true }
    }

    /// Each time it is asked so many minutes after another start of the board, with what was written before.
    fn story(minutes: &[u64]) -> Vec<Decision> {
        let mut file = String::new();
        let starts = minutes.iter().enumerate();
        starts
            .map(|(start, minutes)| {
                let mut ledger = Ledger::parse(&file);
                let decision = ledger.decide(&case(&std::format!("boot-{start}"), *minutes));
                file = ledger.to_string();
                decision
            })
            .collect()
    }

    #[test]
    fn three_reboots_an_hour_and_then_safe_mode() {
        use Decision::Reboot;
        assert_eq!(story(&[5, 5, 5, 5, 5]), [Reboot, Reboot, Reboot, TRIED_OFTEN, TRIED_OFTEN]);
        // The first of four is an hour ago when the fourth is asked for.
        assert_eq!(story(&[5, 20, 20, 20, 20, 20]), [Reboot; 6]);
        assert_eq!(story(&[5, 20, 20, 19]), [Reboot, Reboot, Reboot, TRIED_OFTEN]);
        // After a long good time everything is forgotten.
        assert_eq!(story(&[1, 1, 1, 60, 1, 1, 1]), [Reboot, Reboot, Reboot, Reboot, Reboot, Reboot, TRIED_OFTEN]);
    }

    #[test]
    fn asking_twice_in_one_start_counts_the_time_between() {
        let mut ledger = Ledger::default();
        for minutes in [1, 2, 3] {
            assert_eq!(ledger.decide(&case("a", minutes)), Decision::Reboot);
        }
        assert_eq!(ledger.decide(&case("a", 60)), TRIED_OFTEN, "the first was 59 minutes ago");
        assert_eq!(ledger.decide(&case("a", 61)), Decision::Reboot, "and now it is an hour");
    }

    #[test]
    fn no_wall_clock_can_fool_it() {
        // There is none in it: three reboots in quick succession, then a week without power, then a failure at once.
        // Nobody knows of the week, so it is safe mode: the side on which to err.
        assert_eq!(*story(&[2, 2, 2, 1]).last().unwrap(), TRIED_OFTEN);
    }

    #[test]
    fn what_is_damaged_counts_once() {
        let mut ledger = Ledger::parse("reboot a 5 ms\nrubbish\n\nreboot b x ms\nreboot  5 ms\n");
        assert_eq!(ledger.decide(&case("c", 1)), TRIED_OFTEN);
        assert_eq!(ledger.to_string(), "reboot a 5 ms\n");
        assert_eq!(Ledger::parse(&ledger.to_string()).decide(&case("c", 1)), Decision::Reboot, "and then no more");
        let long = std::format!("reboot {} 5 ms\n", "x".repeat(37));
        assert_eq!(Ledger::parse(&long), Ledger { damaged: 1, ..Ledger::default() });
        assert_eq!(Ledger::parse(""), Ledger::default());
    }

    #[test]
    fn a_reboot_that_cannot_help_or_must_not_be_is_not_tried() {
        let mut ledger = Ledger::default();
        let because = |ledger: &mut Ledger, case: &Case<'_>| match ledger.decide(case) {
            Decision::SafeMode(because) => because,
            Decision::Reboot => panic!("{case:?}"),
        };
        assert_eq!(because(&mut ledger, &Case { crashed: false, ..case("a", 1) }), Because::NoHelp);
        assert_eq!(because(&mut ledger, &Case { may_reboot: false, ..case("a", 1) }), Because::NotAllowed);
        assert_eq!(because(&mut ledger, &case("", 1)), Because::NotCounted);
        assert_eq!(because(&mut ledger, &case(&"x".repeat(37), 1)), Because::NotCounted);
        assert_eq!(ledger, Ledger::default(), "nothing was noted");
    }
}

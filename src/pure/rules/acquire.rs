//! One acquisition: from "only a slot and a token are missing" to the permit, or to giving up.
//!
//! Five attempts of twelve seconds with pauses of 2, 4, 8 and 16 seconds between them, ninety seconds in all. Waiting
//! for a cooldown, the throttle or a breaker is no acquisition. Giving up is no failure of the channel, and there is
//! no way on without a permit.

use crate::limits::ACQUIRE_ATTEMPTS_MAX;
use crate::rules::constants::Rules;
use crate::time::Mono;

/// How far an acquisition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// Counts from 1.
    attempt: u8,
    pausing: bool,
    /// The end of the present attempt, or of the pause after it.
    until: Mono,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for slot and token; this attempt lasts until then.
    Try {
        /// Its end.
        until: Mono,
    },
    /// Ask nothing before then.
    Pause {
        /// Its end.
        until: Mono,
    },
    /// The last attempt is over.
    TimedOut,
}

impl Acquire {
    /// The first attempt begins.
    pub const fn begin(now: Mono, rules: &Rules) -> Self {
        Self { attempt: 1, pausing: false, until: now.plus_ms(rules.acquire_attempt_ms) }
    }

    /// Where it stands at `now`. It may be asked rarely: attempts and pauses pass by themselves.
    pub fn step(&mut self, now: Mono, rules: &Rules) -> Step {
        while self.until <= now {
            if self.pausing {
                self.attempt += 1;
                self.until = self.until.plus_ms(rules.acquire_attempt_ms);
            } else if self.attempt >= ACQUIRE_ATTEMPTS_MAX {
                return Step::TimedOut;
            } else {
                self.until = self.until.plus_ms(1_000 << self.attempt);
            }
            self.pausing = !self.pausing;
        }
        if self.pausing { Step::Pause { until: self.until } } else { Step::Try { until: self.until } }
    }

    pub(super) const fn parts(self) -> (u8, bool, Mono) {
        (self.attempt, self.pausing, self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules::DEFAULT;

    #[test]
    fn five_attempts_fill_ninety_seconds() {
        let mut acquire = Acquire::begin(Mono(0), &RULES);
        for (now, expected) in [
            (0, Step::Try { until: Mono(12_000) }),
            (11_999, Step::Try { until: Mono(12_000) }),
            (12_000, Step::Pause { until: Mono(14_000) }),
            (14_000, Step::Try { until: Mono(26_000) }),
            (26_000, Step::Pause { until: Mono(30_000) }),
            (30_000, Step::Try { until: Mono(42_000) }),
            (42_000, Step::Pause { until: Mono(50_000) }),
            (61_999, Step::Try { until: Mono(62_000) }),
            (62_000, Step::Pause { until: Mono(78_000) }),
            (89_999, Step::Try { until: Mono(90_000) }),
            (90_000, Step::TimedOut),
            (99_000, Step::TimedOut),
        ] {
            assert_eq!(acquire.step(Mono(now), &RULES), expected, "at {now}");
        }
    }

    #[test]
    fn who_asks_rarely_learns_the_same() {
        let mut acquire = Acquire::begin(Mono(0), &RULES);
        assert_eq!(acquire.step(Mono(65_000), &RULES), Step::Pause { until: Mono(78_000) });
        assert_eq!(acquire.step(Mono(1_000_000), &RULES), Step::TimedOut);
    }
}

//! Is what a child makes worth watching? Silence, and what ffprobe says about our own output.
//!
//! Health belongs to a living attempt: a channel that waits or rests has none, so it cannot be judged. Only bytes of
//! the child move its times; the packets that we insert for waiting viewers never do.

use crate::limits::{UNHEALTHY_PROBES_MIN, UNKNOWN_PROBES_MIN};
use crate::rules::constants::Rules;
use crate::time::Mono;

/// What a look at the output said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// What should be there is there.
    Healthy,
    /// It is not.
    Unhealthy,
    /// Nobody knows: ffprobe is missing, was killed, or talked nonsense. Never healthy, and never a failure.
    Unknown,
}

/// An attempt's health, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not looked at yet, or looking did not work several times in a row.
    Unknown,
    /// Good.
    Healthy,
    /// Found unwatchable; if that lasts, it is restarted.
    Unhealthy,
    /// Silent for half of the time that is allowed.
    Silent,
}

/// The looks at one attempt's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    /// When the next one is due, unless one is on its way.
    next_at: Mono,
    /// When the one on its way began.
    began_at: Option<Mono>,
    /// It was due, and the prober was busy.
    pub was_skipped: bool,
    unhealthy_since: Option<Mono>,
    unhealthy_len: u8,
    unknown_len: u8,
    last_known: Option<ProbeResult>,
}

impl Looks {
    /// The first one is due as long after the first packet as the others after each other.
    pub const fn begin(first_packet_at: Mono, every_ms: u64) -> Self {
        Self {
            next_at: first_packet_at.plus_ms(every_ms),
            began_at: None,
            was_skipped: false,
            unhealthy_since: None,
            unhealthy_len: 0,
            unknown_len: 0,
            last_known: None,
        }
    }

    /// When the next one is due; never while one is on its way.
    pub const fn due_at(&self) -> Option<Mono> {
        if self.began_at.is_some() { None } else { Some(self.next_at) }
    }

    /// One began.
    pub const fn began(&mut self, now: Mono) {
        self.began_at = Some(now);
        self.was_skipped = false;
    }

    /// The board cannot carry one now.
    pub const fn postpone(&mut self, now: Mono, every_ms: u64) {
        self.next_at = now.plus_ms(every_ms);
    }

    /// It was answered. Says whether the output has been unwatchable for too long: since half a minute, and three
    /// times in a row, with nothing good in between. What is unknown leaves all that as it is.
    pub fn ended(&mut self, now: Mono, result: ProbeResult, every_ms: u64, rules: &Rules) -> bool {
        self.began_at = None;
        self.next_at = now.plus_ms(every_ms);
        match result {
            ProbeResult::Unknown => {
                self.unknown_len = self.unknown_len.saturating_add(1);
                return false;
            }
            ProbeResult::Healthy => {
                self.unhealthy_since = None;
                self.unhealthy_len = 0;
            }
            ProbeResult::Unhealthy => {
                self.unhealthy_since.get_or_insert(now);
                self.unhealthy_len = self.unhealthy_len.saturating_add(1);
            }
        }
        self.unknown_len = 0;
        self.last_known = Some(result);
        self.unhealthy_len >= UNHEALTHY_PROBES_MIN
            && self.unhealthy_since.is_some_and(|since| since.plus_ms(rules.unhealthy_ms) <= now)
    }

    /// What people see.
    pub const fn health(&self) -> Health {
        match self.last_known {
            _ if self.unknown_len >= UNKNOWN_PROBES_MIN => Health::Unknown,
            None | Some(ProbeResult::Unknown) => Health::Unknown,
            Some(ProbeResult::Healthy) => Health::Healthy,
            Some(ProbeResult::Unhealthy) => Health::Unhealthy,
        }
    }

    pub(super) fn fingerprint(&self, now: Mono) -> (u64, bool, u64, u8) {
        let since = self.unhealthy_since.map_or(u64::MAX, |since| now.ms_since(since));
        (self.next_at.ms_since(now), self.began_at.is_some(), since, self.unhealthy_len.min(UNHEALTHY_PROBES_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProbeResult::{Healthy, Unhealthy, Unknown};

    const RULES: Rules = Rules::DEFAULT;

    /// Answers every three seconds from 3 s on; gives the second at which it fails, and what people see in the end.
    fn story(results: &[ProbeResult]) -> (Option<u64>, Health) {
        let mut looks = Looks::begin(Mono(0), 3_000);
        let mut failed_at = None;
        for result in results {
            let now = looks.due_at().unwrap();
            looks.began(now);
            assert_eq!(looks.due_at(), None, "never two at once");
            if looks.ended(now, *result, 3_000, &RULES) {
                failed_at = failed_at.or(Some(now.0 / 1_000));
            }
        }
        (failed_at, looks.health())
    }

    #[test]
    fn half_a_minute_of_bad_answers_is_a_failure() {
        assert_eq!(story(&[Unhealthy; 11]), (Some(33), Health::Unhealthy));
        assert_eq!(story(&[Unhealthy; 10]).0, None);
    }

    #[test]
    fn one_good_answer_starts_it_over() {
        let mut results = [Unhealthy; 20];
        results[9] = Healthy;
        assert_eq!(story(&results).0, None);
    }

    #[test]
    fn not_knowing_is_no_answer() {
        assert_eq!(story(&[Unknown; 100]), (None, Health::Unknown));
        // It does not stop the clock of bad answers either.
        let mut results = [Unknown; 11];
        (results[0], results[4], results[10]) = (Unhealthy, Unhealthy, Unhealthy);
        assert_eq!(story(&results).0, Some(33));
        assert_eq!(story(&[Healthy, Unknown, Unknown]).1, Health::Healthy);
        assert_eq!(story(&[Healthy, Unknown, Unknown, Unknown]).1, Health::Unknown, "three misses are shown");
    }
}

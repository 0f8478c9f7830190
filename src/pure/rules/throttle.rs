//! Restarts of all channels together: so many in any minute, and no more.
//!
//! Cold starts are not counted, denials neither. Asked and told by [`crate::rules::gate`] only.

use crate::limits::RESTARTS_MAX;
use crate::rules::constants::Rules;
use crate::time::Mono;
use core::hash::{Hash as _, Hasher};

/// The restart ledger: the times of the last ones.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    restarts: heapless::Deque<Mono, RESTARTS_MAX>,
}

impl Throttle {
    /// From when on one more may happen; in the past when it may now. At exactly the window's length the oldest no
    /// longer counts.
    pub fn ready_at(&self, rules: &Rules) -> Mono {
        let nth_last = self.restarts.len().checked_sub(rules.restarts_max);
        let oldest = nth_last.and_then(|index| self.restarts.iter().nth(index));
        oldest.map_or(Mono(0), |at| at.plus_ms(rules.throttle_window_ms))
    }

    /// One happened.
    pub fn add(&mut self, now: Mono) {
        if self.restarts.is_full() {
            self.restarts.pop_front();
        }
        assert!(self.restarts.push_back(now).is_ok(), "room was just made");
    }

    /// The remembered ones, oldest first.
    pub fn restarts(&self) -> impl Iterator<Item = Mono> + '_ {
        self.restarts.iter().copied()
    }

    /// How many lie in the window that ends now.
    pub fn in_window(&self, now: Mono, rules: &Rules) -> usize {
        self.restarts.iter().filter(|at| at.plus_ms(rules.throttle_window_ms) > now).count()
    }

    pub(super) fn fingerprint(&self, now: Mono, rules: &Rules, hasher: &mut impl Hasher) {
        for at in self.restarts.iter().filter(|at| at.plus_ms(rules.throttle_window_ms) > now) {
            now.ms_since(*at).hash(hasher);
        }
        u64::MAX.hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const RULES: Rules = Rules::DEFAULT;

    #[test]
    fn ten_in_any_minute_and_the_eleventh_exactly_a_minute_after_the_first() {
        let mut throttle = Throttle::default();
        for at in (0..10).map(|step| Mono(1_000 + step * 100)) {
            assert!(throttle.ready_at(&RULES) <= at);
            throttle.add(at);
        }
        assert_eq!(throttle.ready_at(&RULES), Mono(61_000));
        assert_eq!((throttle.in_window(Mono(60_999), &RULES), throttle.in_window(Mono(61_000), &RULES)), (10, 9));
        throttle.add(Mono(61_000));
        assert_eq!(throttle.ready_at(&RULES), Mono(61_100));
    }

    #[test]
    fn no_span_of_a_minute_has_more_than_ten() {
        let mut throttle = Throttle::default();
        let taken: Vec<u64> = (0..600_000)
            .step_by(250)
            .filter(|now| {
                let ready = throttle.ready_at(&RULES) <= Mono(*now);
                if ready {
                    throttle.add(Mono(*now));
                }
                ready
            })
            .collect();
        assert_eq!(taken.len(), 100);
        for window in taken.windows(11) {
            assert!(window[10] - window[0] >= 60_000);
        }
    }
}

//! The limiter of spawns: an integer token bucket (GCRA), with no fraction to lose and no loop.
//!
//! It only counts. Who may take a token, and in which order, is decided in [`crate::rules::gate`] and
//! [`crate::rules::pool`].

use crate::time::Mono;

/// Lets `burst` through at once and one every `period_ms` in the long run: any j takes span at least
/// (j − burst) × period.
///
/// Source: generic cell rate algorithm, ITU-T I.371, as virtual scheduling.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Theoretical arrival time: when the bucket would be full again, in milliseconds.
    full_at: Mono,
    period_ms: u64,
    burst: u32,
}

impl Bucket {
    /// A full bucket.
    pub const fn new(period_ms: u64, burst: u32) -> Self {
        Self { full_at: Mono(0), period_ms, burst: if burst == 0 { 1 } else { burst } }
    }

    /// From when on a token is there; in the past when there is one now.
    pub fn ready_at(&self) -> Mono {
        Mono(self.full_at.0.saturating_sub(u64::from(self.burst - 1) * self.period_ms))
    }

    /// When it would be full again.
    pub(super) const fn full_at(&self) -> Mono {
        self.full_at
    }

    /// Leaves a single token.
    pub fn drain_to_one(&mut self, now: Mono) {
        self.full_at = self.full_at.max(now.plus_ms(u64::from(self.burst - 1) * self.period_ms));
    }

    /// Takes a token. Says no, and changes nothing, when there is none at `now`.
    #[must_use]
    pub fn take(&mut self, now: Mono) -> bool {
        let ready = self.ready_at() <= now;
        if ready {
            self.full_at = self.full_at.max(now).plus_ms(self.period_ms);
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_burst_passes_and_then_one_each_period() {
        let mut bucket = Bucket::new(200, 3);
        assert!(bucket.take(Mono(0)) && bucket.take(Mono(0)) && bucket.take(Mono(0)));
        assert!(!bucket.take(Mono(199)));
        assert!(bucket.take(Mono(200)));
        assert!(!bucket.take(Mono(200)));
        assert_eq!(bucket.ready_at(), Mono(400));
    }

    #[test]
    fn a_denial_leaves_no_trace() {
        let mut bucket = Bucket::new(200, 1);
        assert!(bucket.take(Mono(1_000)));
        let before = bucket.ready_at();
        for now in 1_000..1_200 {
            assert!(!bucket.take(Mono(now)));
        }
        assert_eq!(bucket.ready_at(), before);
    }

    #[test]
    fn asking_often_and_asking_rarely_grant_as_much() {
        // The ancestor forgot the fraction of a token at each question, so that frequent questions starved.
        for step_ms in [1, 7, 199, 201] {
            let mut bucket = Bucket::new(200, 2);
            let takes = (0..60_000).step_by(step_ms).filter(|now| bucket.take(Mono(*now))).count();
            assert!((290..=302).contains(&takes) || step_ms == 201 && takes >= 298, "{takes} with step {step_ms}");
        }
    }

    #[test]
    fn any_span_of_takes_is_long_enough() {
        let mut bucket = Bucket::new(200, 10);
        let takes: Vec<u64> = (0..20_000).filter(|now| bucket.take(Mono(*now))).collect();
        for (first, at_first) in takes.iter().enumerate() {
            for (last, at_last) in takes.iter().enumerate().skip(first) {
                let in_span = (last - first + 1) as u64;
                assert!(at_last - at_first >= in_span.saturating_sub(10) * 200);
            }
        }
    }
}

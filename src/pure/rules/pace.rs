//! Does a source keep up with real time?
//!
//! Its packets carry a clock. Whoever falls further and further behind it cannot be watched, though he is never silent.
//! Streams in segments come in bursts, so that being behind for a moment means nothing: what counts is the distance to
//! the best that this attempt has ever been, and for how long.

use crate::limits::{BEHIND_MS, SLOW_MS};
use crate::time::Mono;

/// How an attempt's clock goes against ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The least that it was ever behind, in milliseconds; counted from its first packet, so it may be less than none.
    best_ms: Option<i64>,
    behind_since: Option<Mono>,
}

impl Pace {
    /// Since its first packet so much time has passed here and there. `burst_ms`: the longest that it was ever silent.
    pub fn heard(&mut self, now: Mono, here_ms: u64, there_ms: u64, burst_ms: u64) {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let behind_ms = signed(here_ms).saturating_sub(signed(there_ms));
        let best_ms = self.best_ms.map_or(behind_ms, |best_ms| best_ms.min(behind_ms));
        self.best_ms = Some(best_ms);
        if behind_ms > best_ms.saturating_add(signed(BEHIND_MS + burst_ms)) {
            self.behind_since.get_or_insert(now);
        } else {
            self.behind_since = None;
        }
    }

    /// Whether it was behind for too long.
    pub fn is_slow(&self, now: Mono) -> bool {
        self.behind_since.is_some_and(|since| now.ms_since(since) >= SLOW_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every second; says when it is found slow.
    fn slow_after_s(burst_ms: u64, there_ms: impl Fn(u64) -> u64) -> Option<u64> {
        let mut pace = Pace::default();
        (0..120).find(|second| {
            let now = Mono(50_000 + second * 1_000);
            pace.heard(now, second * 1_000, there_ms(second * 1_000), burst_ms);
            pace.is_slow(now)
        })
    }

    #[test]
    fn who_keeps_up_is_not_slow_and_neither_is_who_comes_in_bursts() {
        assert_eq!(slow_after_s(100, |here_ms| here_ms), None);
        assert_eq!(slow_after_s(10_000, |here_ms| here_ms / 10_000 * 10_000), None, "segments of ten seconds");
        assert_eq!(slow_after_s(100, |here_ms| 30_000 + here_ms), None, "half a minute at once, then in real time");
        let pauses_once = |here_ms: u64| if (20_000..28_000).contains(&here_ms) { 20_000 } else { here_ms };
        assert_eq!(slow_after_s(100, pauses_once), None);
    }

    #[test]
    fn who_falls_behind_for_fifteen_seconds_is_slow() {
        assert_eq!(slow_after_s(100, |here_ms| here_ms / 2), Some(7 + 15));
        assert_eq!(slow_after_s(100, |here_ms| here_ms * 8 / 10), Some(16 + 15));
        assert_eq!(slow_after_s(100, |here_ms| here_ms.min(30_000)), Some(34 + 15), "packets, and a clock that stands");
    }
}

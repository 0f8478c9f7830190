//! When a subscription is refreshed next: on its timetable with jitter, after a failure with a growing pause.

use crate::limits::{REFRESH_RETRY_MS_MAX, REFRESH_RETRY_MS_MIN};
use crate::time::Mono;

/// After a refresh that worked: its period, and up to a tenth more, so that boxes that were switched on together do not
/// ask together. `chance` is any number; the same gives the same.
pub fn after_success(now: Mono, refresh_s: u32, chance: u64) -> Mono {
    let period_ms = u64::from(refresh_s) * 1_000;
    now.plus_ms(period_ms + spread(chance) % (period_ms / 10).max(1))
}

/// After the `failures`th failure in a row, counted from 1: doubled each time, and a little earlier by chance.
pub fn after_failure(now: Mono, failures: u32, chance: u64) -> Mono {
    let doubled = REFRESH_RETRY_MS_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause_ms = doubled.min(REFRESH_RETRY_MS_MAX);
    now.plus_ms(pause_ms - spread(chance) % (pause_ms / 10))
}

/// Neighbouring numbers far apart.
const fn spread(chance: u64) -> u64 {
    // A step of splitmix64.
    let mixed = (chance ^ (chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_do_not_ask_together_and_failures_wait_longer() {
        let now = Mono(5_000);
        for chance in 0..1_000 {
            let wait = after_success(now, 43_200, chance).ms_since(now);
            assert!((43_200_000..47_520_000).contains(&wait), "{wait}");
            let waits = [1, 2, 3, 7, 8, 1_000].map(|failures| after_failure(now, failures, chance).ms_since(now));
            for (wait, most) in waits.into_iter().zip([15_000, 30_000, 60_000, 900_000, 900_000, 900_000]) {
                assert!(wait <= most && wait > most - most / 10, "{wait} {most}");
            }
        }
        assert_ne!(after_success(now, 43_200, 1), after_success(now, 43_200, 2));
        assert_eq!(after_success(now, 43_200, 7), after_success(now, 43_200, 7));
    }
}

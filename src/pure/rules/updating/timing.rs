//! When an update that nobody asked for may go its way, and when the channel is asked.
//!
//! Boxes that are alike must not all fetch and all be away at the same minute: each has a minute of its own, for life.

use crate::limits::{UPDATE_JITTER_MIN, UPDATE_PUT_OFF_S, UPDATE_WINDOW_MIN};
use crate::model::device_id::DeviceId;
use crate::model::fingerprint::Fingerprint;
use crate::time::{TimeOfDay, Wall};

/// How many minutes after the others this box begins.
pub fn jitter_min(device: DeviceId) -> u32 {
    let number = Fingerprint::EMPTY.with("update").with(device.get().to_be_bytes()).number();
    u32::try_from(number % u64::from(UPDATE_JITTER_MIN)).unwrap_or_default()
}

/// Whether it is in the hours that begin at `hour`, and this box's turn in them.
pub fn is_night(at: TimeOfDay, hour: u8, device: DeviceId) -> bool {
    let since = (24 * 60 + u32::from(at.hour) * 60 + u32::from(at.minute) - u32::from(hour.min(23)) * 60) % (24 * 60);
    (jitter_min(device)..UPDATE_WINDOW_MIN).contains(&since)
}

/// Whether something that has been there since `since` was put off for as long as it may be. A clock that was set back
/// makes it wait, not come sooner.
pub const fn is_overdue(since: Wall, now: Wall) -> bool {
    now.0.saturating_sub(since.0) >= UPDATE_PUT_OFF_S
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn at(hour: u8, minute: u8) -> TimeOfDay {
        TimeOfDay { hour, minute, second: 0 }
    }

    #[test]
    fn the_window_is_at_night_and_each_box_has_its_turn() {
        let mut seen = BTreeSet::new();
        for random in 0..2_000 {
            let device = DeviceId::from_random(random);
            let jitter = jitter_min(device);
            assert!(jitter < UPDATE_JITTER_MIN && jitter == jitter_min(device));
            seen.insert(jitter);
            let minutes = (0..24_u8).flat_map(|hour| (0..60_u8).map(move |minute| (hour, minute)));
            let is_open = |(hour, minute): &(u8, u8)| is_night(at(*hour, *minute), 3, device);
            let number = |(hour, minute)| u32::from(hour) * 60 + u32::from(minute);
            let open: std::vec::Vec<u32> = minutes.filter(is_open).map(number).collect();
            assert_eq!((open[0], *open.last().unwrap()), (180 + jitter, 299), "from 3 to 5 o'clock");
            assert!(open.len() >= 30, "enough for an update");
        }
        assert!(seen.len() > 80, "they are spread: {}", seen.len());
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        let device = DeviceId::from_random(1);
        let hours: std::vec::Vec<u8> = (0..24).filter(|hour| is_night(at(*hour, 59), 23, device)).collect();
        assert!(hours == [0, 23] || hours == [0], "{hours:?}");
        assert!(!is_night(at(1, 0), 23, device));
        assert_eq!(is_night(at(0, 59), 200, device), is_night(at(0, 59), 23, device), "the last hour that there is");
    }

    #[test]
    fn seven_days_are_enough() {
        let since = Wall(1_800_000_000);
        assert!(!is_overdue(since, since.plus_s(7 * 86_400 - 1)));
        assert!(is_overdue(since, since.plus_s(7 * 86_400)));
        assert!(!is_overdue(since, since.plus_s(-100 * 86_400)));
    }
}

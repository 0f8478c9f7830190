//! Is it one source, or everything? When half of the channels used lately rest, the fault is nearer than the sources.

use crate::limits::{OUTAGE_CHANNELS_MIN, RECENT_CHANNELS_MAX, RECENT_MS};
use crate::model::lineup::ChannelId;
use crate::time::Mono;

/// Channels used lately, and whether most of them rest.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    recent: heapless::Vec<(ChannelId, Mono), RECENT_CHANNELS_MAX>,
    is_on: bool,
}

impl Outage {
    /// Somebody wanted a channel. When the table is full the one longest unused makes room.
    pub fn used(&mut self, now: Mono, channel: ChannelId) {
        if let Some((_, at)) = self.recent.iter_mut().find(|(known, _)| *known == channel) {
            *at = now;
            return;
        }
        if self.recent.is_full() {
            let oldest = self.recent.iter().enumerate().min_by_key(|(_, (_, at))| *at).map(|(index, _)| index);
            if let Some(index) = oldest {
                self.recent.swap_remove(index);
            }
        }
        assert!(self.recent.push((channel, now)).is_ok(), "room was just made");
    }

    /// Counts again; tells when it begins or ends.
    pub fn judge(&mut self, now: Mono, rests: impl Fn(ChannelId) -> bool) -> Option<bool> {
        let recent = || self.recent.iter().filter(|(_, at)| now < at.plus_ms(RECENT_MS));
        let (used, resting) = (recent().count(), recent().filter(|(channel, _)| rests(*channel)).count());
        let is_on = used >= OUTAGE_CHANNELS_MIN && resting * 2 >= used;
        let changed = is_on != self.is_on;
        self.is_on = is_on;
        changed.then_some(is_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_three_is_an_outage_and_two_are_no_evidence() {
        let mut outage = Outage::default();
        let now = Mono(1_000_000);
        outage.used(now, ChannelId(1));
        outage.used(now, ChannelId(2));
        assert_eq!(outage.judge(now, |_| true), None);
        outage.used(now, ChannelId(3));
        assert_eq!(outage.judge(now, |channel| channel.0 == 1), None);
        assert_eq!(outage.judge(now, |channel| channel.0 != 1), Some(true));
        assert_eq!(outage.judge(now, |_| true), None, "told once");
        outage.used(now.plus_ms(1), ChannelId(4));
        outage.used(now.plus_ms(1), ChannelId(5));
        assert_eq!(outage.judge(now, |channel| channel.0 < 3), Some(false));
        assert_eq!(outage.judge(now.plus_ms(RECENT_MS), |_| true), None, "the first three were used too long ago");
    }

    #[test]
    fn the_table_forgets_the_longest_unused() {
        let mut outage = Outage::default();
        for id in 0..1_000 {
            outage.used(Mono(u64::from(id)), ChannelId(id));
        }
        assert_eq!(outage.recent.len(), RECENT_CHANNELS_MAX);
        assert!(outage.recent.iter().all(|(channel, _)| channel.0 >= 1_000 - 128));
    }
}

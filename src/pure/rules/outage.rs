//! Is it one source, or everything? When half of the channels used lately rest, the fault is nearer than the sources.

use crate::limits::{OUTAGE_CHANNELS_MIN, RECENT_CHANNELS_MAX, RECENT_MS};
use crate::model::lineup::ChannelId;
use crate::time::Mono;

#[derive(Clone, Copy, Debug)]
struct Recent {
    channel: ChannelId,
    sources_len: usize,
    at: Mono,
}

/// Channels used lately, and whether most of them rest.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    recent: heapless::Vec<Recent, RECENT_CHANNELS_MAX>,
    is_on: bool,
}

impl Outage {
    /// Somebody wanted a channel that has so many sources. When the table is full the one longest unused makes room.
    pub fn used(&mut self, now: Mono, channel: ChannelId, sources_len: usize) {
        let used = Recent { channel, sources_len, at: now };
        if let Some(recent) = self.recent.iter_mut().find(|recent| recent.channel == channel) {
            *recent = used;
            return;
        }
        if self.recent.is_full() {
            let oldest = self.recent.iter().enumerate().min_by_key(|(_, recent)| recent.at).map(|(index, _)| index);
            if let Some(index) = oldest {
                self.recent.swap_remove(index);
            }
        }
        assert!(self.recent.push(used).is_ok(), "room was just made");
    }

    /// Counts again; tells when it begins or ends. `rests` is asked for a channel and how many sources it has.
    pub fn judge(&mut self, now: Mono, rests: impl Fn(ChannelId, usize) -> bool) -> Option<bool> {
        let recent = || self.recent.iter().filter(|recent| now < recent.at.plus_ms(RECENT_MS));
        let resting = recent().filter(|recent| rests(recent.channel, recent.sources_len)).count();
        let used = recent().count();
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
        outage.used(now, ChannelId(1), 1);
        outage.used(now, ChannelId(2), 1);
        assert_eq!(outage.judge(now, |_, _| true), None);
        outage.used(now, ChannelId(3), 1);
        assert_eq!(outage.judge(now, |channel, _| channel.0 == 1), None);
        assert_eq!(outage.judge(now, |channel, _| channel.0 != 1), Some(true));
        assert_eq!(outage.judge(now, |_, _| true), None, "told once");
        outage.used(now.plus_ms(1), ChannelId(4), 1);
        outage.used(now.plus_ms(1), ChannelId(5), 1);
        assert_eq!(outage.judge(now, |channel, _| channel.0 < 3), Some(false));
        assert_eq!(outage.judge(now.plus_ms(RECENT_MS), |_, _| true), None, "the first three were used too long ago");
    }

    #[test]
    fn the_table_forgets_the_longest_unused() {
        let mut outage = Outage::default();
        for id in 0..1_000 {
            outage.used(Mono(u64::from(id)), ChannelId(id), 1);
        }
        assert_eq!(outage.recent.len(), RECENT_CHANNELS_MAX);
        assert!(outage.recent.iter().all(|recent| recent.channel.0 >= 1_000 - 128));
    }
}

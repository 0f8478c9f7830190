//! Which of a channel's sources plays, when another takes over, and how many streams a provider sees.
//!
//! The least failed source that may start is the next one; among equals, the owner's order counts. So a source that
//! fails hands over at once, and the preferred one is back as soon as its failures are forgotten and nobody watches: a
//! picture that is well is not taken from anybody. Each source has a breaker and a cooldown of its own; the throttle is
//! everybody's.
//!
//! Streams of an account are counted by looking at the slots, so that none can be forgotten: from the commit of a start
//! until its child is reaped, and for ever while it cannot be.

use super::{Effects, Generation, Phase, Pool, Slot, SlotIndex};
use crate::limits::PACE_LOOK_MS;
use crate::model::lineup::{Account, ChannelId};
use crate::rules::failure::Failure;
use crate::rules::gate::{Deny, Wish};
use crate::rules::pool::attempts::Attempt;
use crate::rules::sources::Sources;
use crate::time::Mono;

/// Why no source of a channel may start now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) channel: ChannelId,
    /// Of the one that may start soonest; that it rests only if all do.
    pub(super) deny: Deny,
    /// When to ask again.
    pub(super) ready_at: Mono,
}

impl Slot {
    /// The account of its child, while that lives or cannot be reaped.
    pub(super) fn account(&self) -> Option<Account> {
        match self.phase {
            Phase::Running { ref attempt, .. } | Phase::Stopping { ref attempt, .. } => attempt.wish.account,
            Phase::Quarantined { account, .. } => account,
            Phase::Free | Phase::Waiting { .. } => None,
        }
    }

    /// It is not known which source is next, and so it keeps nobody's stream for itself.
    pub(super) fn keep_no_stream(&mut self) {
        self.plays = self.plays.map(|plays| Wish { account: None, ..plays });
    }
}

impl Pool {
    // ---- Which one ------------------------------------------------------------------------------------------------------

    /// The source that is to start.
    pub(super) fn choose(&self, now: Mono, sources: &Sources) -> Result<Wish, Held> {
        let mut best: Option<(usize, Wish)> = None;
        let mut held: Option<(bool, Held)> = None;
        let mut ready_at = Mono(u64::MAX);
        for wish in sources.wishes() {
            let deny = match self.gate.check_source(now, wish.origin()) {
                Ok(_) if self.is_account_full(wish) => Deny::AccountFull,
                Ok(_) => {
                    let failures_len = self.gate.breakers().failures_len(now, wish.origin());
                    if best.is_none_or(|(least, _)| failures_len < least) {
                        best = Some((failures_len, wish));
                    }
                    continue;
                }
                Err(deny) => deny,
            };
            let at = match deny {
                Deny::Open { until, .. } | Deny::Cooldown { until } | Deny::Throttled { until } => until,
                Deny::AccountFull => now.plus_ms(self.rules.admission_retry_ms),
                Deny::Draining | Deny::RecordsFull | Deny::Short(_) | Deny::Token { .. } => now,
            };
            ready_at = ready_at.min(at);
            let (rests, this) = (matches!(deny, Deny::Open { .. }), Held { channel: wish.channel, deny, ready_at: at });
            if held.is_none_or(|(known, of)| (rests, at) < (known, of.ready_at)) {
                held = Some((rests, this));
            }
        }
        match (best, held) {
            (Some((_, wish)), _) => Ok(wish),
            (None, Some((_, held))) => Err(Held { ready_at, ..held }),
            (None, None) => unreachable!("a channel has a source"),
        }
    }

    /// Why no source of a slot's channel may start now.
    pub(super) fn why_none(&self, now: Mono, index: SlotIndex) -> Option<Deny> {
        let sources = self.slot(index)?.sources?;
        self.choose(now, &sources).err().map(|held| held.deny)
    }

    /// The earliest moment at which breaker, cooldown and throttle would let one of them start.
    pub(super) fn next_start_at(&self, now: Mono, sources: &Sources) -> Mono {
        sources.wishes().map(|wish| self.gate.next_start_at(now, wish.origin())).min().unwrap_or(now)
    }

    // ---- When another takes over ----------------------------------------------------------------------------------------

    /// Whether somebody watches and another source of the channel has nothing against it, as of `since`: then the present
    /// one need not be borne with for long.
    pub(super) fn is_spare_ready(&self, index: SlotIndex, attempt: &Attempt, since: Mono) -> bool {
        let Some(sources) = self.slot(index).and_then(|slot| slot.sources.as_ref()) else { return false };
        let breakers = self.gate.breakers();
        let mut others = sources.wishes().filter(|wish| wish.source != attempt.wish.source);
        self.viewers_of(index) > 0
            && others.any(|wish| {
                breakers.failures_len(since, wish.origin()) == 0
                    && breakers.open(wish.origin()).is_none()
                    && !breakers.is_half_open(wish.origin())
                    && !self.is_account_full(wish)
            })
    }

    /// The silence after which a source that is ready takes over: three times what the present one is known for.
    pub(super) fn failover_silence_ms(&self, attempt: &Attempt) -> u64 {
        let since_first_ms = attempt.first_at.map_or(0, |first_at| attempt.output_at.ms_since(first_at));
        let [known_ms, new_ms] = self.rules.failover_silence_ms;
        let least_ms = if since_first_ms < self.rules.failover_learn_ms { new_ms } else { known_ms };
        least_ms.max(3 * attempt.silent_ms_max + 1_000)
    }

    pub(super) fn heard_pace(
        &mut self,
        now: Mono,
        index: SlotIndex,
        generation: Generation,
        played_ms: Option<u64>,
        silent_ms_max: u64,
    ) {
        let Some((attempt, _)) = self.running_mut(index, generation) else { return };
        let Some(first_at) = attempt.first_at else { return };
        attempt.silent_ms_max = silent_ms_max;
        if let Some(played_ms) = played_ms {
            attempt.pace.heard(now, now.ms_since(first_at), played_ms, silent_ms_max);
        }
    }

    /// Its pace was looked at; the next time is later.
    pub(super) fn look_at_pace(&mut self, now: Mono, index: SlotIndex) {
        if let Phase::Running { attempt, .. } = &mut self.slot_mut(index).phase {
            if attempt.pace_look_at <= now {
                attempt.pace_look_at = now.plus_ms(PACE_LOOK_MS);
            }
        }
    }

    pub(super) fn blank(&mut self, now: Mono, index: SlotIndex, generation: Generation, effects: &mut Effects) {
        let Some((attempt, _)) = self.running_mut(index, generation) else { return };
        let attempt = *attempt;
        if self.is_spare_ready(index, &attempt, now) {
            self.useless(now, index, generation, Failure::Blank, effects);
        }
    }

    // ---- What the provider allows ---------------------------------------------------------------------------------------

    /// Streams that a provider sees for an account, or may see.
    pub(super) fn streams(&self, account: u32) -> usize {
        self.slots.iter().filter_map(Slot::account).filter(|of| of.id == account).count()
    }

    /// Whether others need all streams of the account that `wish` needs one of. What nobody watches is nobody's need.
    pub(super) fn is_account_full(&self, wish: Wish) -> bool {
        let Some(account) = wish.account else { return false };
        let needs = |(index, slot): &(SlotIndex, &Slot)| match (slot.phase, slot.plays) {
            (Phase::Quarantined { account: Some(of), .. }, _) => of.id == account.id,
            (_, Some(plays)) if plays.is_same_picture(&wish) => false,
            (_, Some(Wish { account: Some(of), .. })) => of.id == account.id && self.viewers_of(*index) > 0,
            _ => false,
        };
        self.indexed().filter(needs).count() >= usize::from(account.streams_max)
    }

    /// Until when a start has to wait for a stream of its account: one that nobody watches ends for it, and the provider's
    /// server is given a moment to notice that one has ended.
    pub(super) fn wait_for_stream(&mut self, now: Mono, wish: Wish, effects: &mut Effects) -> Option<Mono> {
        let account = wish.account?;
        let (streams, allowed) = (self.streams(account.id), usize::from(account.streams_max));
        if streams >= allowed {
            let is_idle = |(index, slot): &(SlotIndex, &Slot)| {
                matches!(slot.phase, Phase::Running { .. })
                    && slot.account().is_some_and(|of| of.id == account.id)
                    && self.viewers_of(*index) == 0
            };
            let idle = self.indexed().find(is_idle).map(|(index, _)| index);
            if let Some(idle) = idle {
                self.preempt(now, idle, effects);
            }
            let ending = self.slots.iter().filter_map(|slot| match slot.phase {
                Phase::Stopping { deadline, .. } if slot.account().is_some_and(|of| of.id == account.id) => {
                    Some(deadline)
                }
                _ => None,
            });
            return ending.min().or(Some(now.plus_ms(self.rules.admission_retry_ms)));
        }
        let resting =
            || self.rests.iter().filter(|(of, until)| *of == account.id && *until > now).map(|(_, until)| *until);
        if streams + resting().count() < allowed { None } else { resting().min() }
    }

    /// The child of a slot is gone: for a moment its provider's server may not know.
    pub(super) fn leave_account(&mut self, now: Mono, index: SlotIndex) {
        // Not all at the same moment.
        let jitter_ms = self.generation.0 % 4 * 125;
        let until = now.plus_ms(self.rules.account_rest_ms + jitter_ms);
        let Some(account) = self.slot(index).and_then(Slot::account) else { return };
        self.rests.retain(|(_, until)| *until > now);
        if self.rests.is_full() {
            // More ends in so short a time than the limiter lets begin.
            self.rests.remove(0);
        }
        self.rests.push((account.id, until)).unwrap_or_default();
    }
}

//! Slots that wait for the gate, first come first served.
//!
//! The limiter's tokens are given in the order of the queue. A channel that is denied for a reason of its own, such as
//! its cooldown, lets those behind it pass. After any wait everything is asked again from the top.

use super::attempts::Attempt;
use super::failover::Held;
use super::{Effect, Effects, Note, Phase, Pool, Refusal, SlotIndex};
use crate::rules::acquire::{Acquire, Step};
use crate::rules::gate::{Deny, Wish};
use crate::time::Mono;

impl Pool {
    pub(super) fn enqueue(&mut self, now: Mono, index: SlotIndex) {
        self.set_phase(now, index, Phase::Waiting { retry_at: now });
        let slot = self.slot_mut(index);
        (slot.acquire, slot.denied) = (None, None);
        slot.keep_no_stream();
        assert!(self.queue.push_back(index).is_ok(), "a slot waits once, and there is room for all");
    }

    pub(super) fn dequeue(&mut self, index: SlotIndex) {
        for _ in 0..self.queue.len() {
            match self.queue.pop_front() {
                Some(other) if other != index => {
                    assert!(self.queue.push_back(other).is_ok(), "it was in there a moment ago");
                }
                _ => {}
            }
        }
    }

    /// A channel whose old child still ends on another slot has to wait for that: providers count connections. So has
    /// one whose source's probe runs there, in another profile: its verdict is the source's.
    fn hinders(&self, wish: Wish) -> Option<Mono> {
        self.indexed().find_map(|(index, slot)| match slot.phase {
            Phase::Stopping { ref attempt, deadline, .. } if attempt.wish.channel == wish.channel => Some(deadline),
            Phase::Running { ref attempt, .. } if slot.decides(wish.origin()) => {
                Some(self.attempt_deadline(index, attempt))
            }
            _ => None,
        })
    }

    /// Starts whatever may start, in the order of the queue.
    pub(super) fn serve_queue(&mut self, now: Mono, effects: &mut Effects) {
        let waiting: heapless::Vec<SlotIndex, { crate::limits::SLOTS_MAX }> = self.queue.iter().copied().collect();
        for index in waiting {
            let Some(slot) = self.slot(index) else { continue };
            let (Phase::Waiting { retry_at }, Some(wish)) = (slot.phase, slot.plays) else { continue };
            if retry_at > now && matches!(slot.denied, Some(Deny::Short(_) | Deny::RecordsFull)) {
                // Only the clock helps here, and facts that are asked for once a second.
                continue;
            }
            if let Some(deadline) = self.hinders(wish) {
                self.wait_for_child(index, deadline);
                continue;
            }
            self.try_to_start(now, index, effects);
        }
    }

    fn try_to_start(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        let Some(sources) = self.slot(index).and_then(|slot| slot.sources) else { return };
        let wish = match self.choose(now, &sources) {
            Ok(wish) => wish,
            Err(held) => {
                // Waiting for the guard is no acquisition, and keeps no stream from those who may start.
                let slot = self.slot_mut(index);
                slot.acquire = None;
                slot.keep_no_stream();
                self.denied(now, index, held, effects);
                return;
            }
        };
        self.slot_mut(index).plays = Some(wish);
        if let Some(deadline) = self.hinders(wish).or_else(|| self.wait_for_stream(now, wish, effects)) {
            self.wait_for_child(index, deadline);
            return;
        }
        let rules = self.rules;
        let acquire = self.slot_mut(index).acquire.get_or_insert(Acquire::begin(now, &rules));
        let attempt_until = match acquire.step(now, &rules) {
            Step::Try { until } => until,
            Step::Pause { until } => {
                self.wait_until(index, until);
                return;
            }
            Step::TimedOut => {
                effects.note(Note::AcquireTimeout { channel: wish.channel });
                self.dismiss(index, Refusal::Busy { retry_ms: 1_000 }, effects);
                self.free(now, index);
                return;
            }
        };
        let reserved_bytes = self.reserved_bytes(now);
        match self.gate.commit(now, &self.facts, wish, reserved_bytes) {
            Ok((permit, kind)) => {
                self.dequeue(index);
                self.generation.0 += 1;
                let generation = self.generation;
                let waited_ms = now.ms_since(self.slot_mut(index).wanted_at);
                let attempt = Attempt::begin(now, generation, wish, kind);
                self.set_phase(now, index, Phase::Running { attempt, linger_until: None });
                let slot = self.slot_mut(index);
                (slot.acquire, slot.denied) = (None, None);
                effects.note(Note::Acquired { channel: wish.channel, waited_ms });
                let continues = self.held_on(index) > 0;
                let Wish { channel, source, work, .. } = wish;
                effects.push(Effect::Start { slot: index, generation, channel, source, work, kind, continues, permit });
            }
            Err(deny @ Deny::Token { ready_at }) => {
                self.denied(now, index, Held { channel: wish.channel, deny, ready_at }, effects);
                self.wait_until(index, ready_at.min(attempt_until));
            }
            Err(deny) => self.denied(now, index, Held { channel: wish.channel, deny, ready_at: now }, effects),
        }
    }

    /// The throttle said no: after a quiet minute that is a storm.
    pub(super) fn note_throttled(&mut self, now: Mono, until: Mono, effects: &mut Effects) {
        if now >= self.storm_until {
            effects.note(Note::Storm);
        }
        self.storm_until = until.plus_ms(self.rules.throttle_window_ms);
    }

    /// Not for the board any more, which only the clock can help: for another child's end, at that time or before it.
    fn wait_for_child(&mut self, index: SlotIndex, deadline: Mono) {
        self.slot_mut(index).denied = None;
        self.wait_until(index, deadline);
    }

    fn wait_until(&mut self, index: SlotIndex, until: Mono) {
        if let Phase::Waiting { retry_at } = &mut self.slot_mut(index).phase {
            *retry_at = until;
        }
    }

    /// The gate said no to a waiting slot: tells it once, sends those away whom waiting cannot help, and notes when to
    /// ask again.
    fn denied(&mut self, now: Mono, index: SlotIndex, held: Held, effects: &mut Effects) {
        let Held { channel, deny, ready_at } = held;
        let slot = self.slot_mut(index);
        let is_news = slot.denied.is_none_or(|known| core::mem::discriminant(&known) != core::mem::discriminant(&deny));
        slot.denied = Some(deny);
        if is_news {
            effects.note(Note::Denied { channel, deny });
        }
        match deny {
            Deny::Throttled { until } => {
                self.note_throttled(now, until, effects);
                self.wait_until(index, ready_at);
                self.refuse_hopeless(now, index, effects);
            }
            Deny::Cooldown { .. } => {
                self.wait_until(index, ready_at);
                self.refuse_hopeless(now, index, effects);
            }
            Deny::Open { until, failure } => {
                let refusal = Self::refusal_while_open(now, failure, until);
                self.dismiss(index, refusal, effects);
                self.free(now, index);
            }
            // Who waits is told; who holds on may be lucky before his time is up.
            Deny::Short(_) | Deny::RecordsFull | Deny::AccountFull => {
                self.slot_mut(index).acquire = None;
                self.wait_until(index, now.plus_ms(self.rules.admission_retry_ms));
                let refusal = match deny {
                    Deny::Short(short) => Refusal::Short(short),
                    Deny::AccountFull => Refusal::AccountFull,
                    _ => Refusal::ViewersFull,
                };
                self.refuse_waiting(now, index, refusal, effects);
            }
            Deny::Token { .. } => {}
            Deny::Draining => {
                self.dismiss(index, Refusal::Draining, effects);
                self.free(now, index);
            }
        }
    }
}

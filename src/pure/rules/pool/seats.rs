//! Viewers: where they sit, how long they wait, and what they are told.
//!
//! A viewer waits for his answer, watches, or holds on: his channel's child is gone, his connection is not. Each has
//! his own deadline, which runs from what happened to him, not from what happens to a child.

use super::failover::Held;
use super::{Effect, Effects, Note, Phase, Pool, Refusal, SlotIndex, ViewerId};
use crate::limits::EARLY_HEADERS_MS;
use crate::model::face::{FaceId, Share};
use crate::rules::admission::BoardFacts;
use crate::rules::constants::Rules;
use crate::rules::failure::Failure;
use crate::rules::gate::{Deny, Wish};
use crate::rules::sources::Sources;
use crate::time::Mono;
use core::hash::{Hash as _, Hasher};

/// What a viewer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// Nothing yet, not even an answer.
    Waiting { answer_by: Mono },
    /// A picture.
    Watching,
    /// A connection without a picture.
    Held { until: Mono },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer {
    pub(super) id: ViewerId,
    pub(super) slot: SlotIndex,
    pub(super) asked_at: Mono,
    pub(super) seat: Seat,
    /// Through which he asked.
    pub(super) face: FaceId,
}

impl Viewer {
    pub(super) fn fingerprint(&self, now: Mono, rules: &Rules, hasher: &mut impl Hasher) {
        (self.slot.0, self.face).hash(hasher);
        match self.seat {
            Seat::Waiting { answer_by } => {
                let waited_ms = now.ms_since(self.asked_at).min(rules.preempted_wait_ms);
                (0_u8, answer_by.ms_since(now), waited_ms).hash(hasher);
            }
            Seat::Watching => 1_u8.hash(hasher),
            Seat::Held { until } => (2_u8, until.ms_since(now)).hash(hasher),
        }
    }
}

/// What a place costs those who have it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// It holds what is needed: the same source, or an encoder. A slot more would be one connection more to the
    /// provider, or one stream more than the encoder can make.
    LingersInTheWay,
    Free,
    EndsAnyway,
    Lingers(Mono),
    /// A start would be cut short.
    StartsForNobody,
}

/// A refusal, and what the gate had said, if it was the gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct No {
    pub(super) refusal: Refusal,
    pub(super) deny: Option<Deny>,
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, deny: None }
    }
}

impl Pool {
    // ---- Coming -------------------------------------------------------------------------------------------------------

    pub(super) fn ask(
        &mut self,
        now: Mono,
        viewer: ViewerId,
        sources: Sources,
        tuner: Option<SlotIndex>,
        share: Share,
        effects: &mut Effects,
    ) {
        for wish in sources.wishes() {
            self.gate.asked(wish);
        }
        let answer_by = now.plus_ms(self.rules.tune_deadline_ms);
        match self.find_seat(now, &self.facts, &sources, tuner, share, answer_by) {
            Err(No { refusal, deny }) => {
                if let Some(deny) = deny {
                    effects.note(Note::Denied { channel: sources.channel(), deny });
                }
                if let Some(Deny::Throttled { until }) = deny {
                    self.note_throttled(now, until, effects);
                }
                effects.push(Effect::Refuse { viewer, refusal });
            }
            Ok((slot, wish)) => {
                self.outage.used(now, wish.channel, sources.count());
                self.make_room(now, slot, wish, effects);
                let seat = Seat::Waiting { answer_by };
                let entry = Viewer { id: viewer, slot, asked_at: now, seat, face: share.face };
                assert!(self.viewers.push(entry).is_ok(), "there was room a moment ago");
                self.slot_mut(slot).sources = Some(sources);
                self.take_seat(now, slot, wish, effects);
            }
        }
    }

    /// Where a viewer would sit, or why not: the questions of the gate in their order, with the slot in its place.
    pub(super) fn find_seat(
        &self,
        now: Mono,
        facts: &BoardFacts,
        sources: &Sources,
        tuner: Option<SlotIndex>,
        share: Share,
        answer_by: Mono,
    ) -> Result<(SlotIndex, Wish), No> {
        let mut wish = sources.first();
        let no = |refusal, deny| No { refusal, deny: Some(deny) };
        if self.gate.is_closed() {
            return Err(no(Refusal::Draining, Deny::Draining));
        }
        if self.viewers.is_full() {
            return Err(Refusal::ViewersFull.into());
        }
        let runs = |(_, slot): &(SlotIndex, &super::Slot)| match slot.phase {
            Phase::Running { ref attempt, .. } => attempt.wish.is_same_picture(&wish),
            _ => false,
        };
        let running = self.indexed().find(runs).map(|(index, _)| index);
        if running.is_none() {
            // Somebody who cannot be served in his time is told so at once, before anybody's slot is touched.
            match self.choose(now, sources) {
                Ok(chosen) => wish = chosen,
                Err(held) => {
                    if let Some(refusal) = self.refusal_beyond(now, sources, held, answer_by) {
                        return Err(no(refusal, held.deny));
                    }
                    // Which one it will be is not known yet.
                    wish.account = None;
                }
            }
        }
        let seat = self.seat(wish, tuner)?;
        self.check_share(seat, share)?;
        let joins = self.slot(seat).is_some_and(|slot| slot.plays.is_some_and(|plays| plays.is_same_picture(&wish)));
        if !joins {
            self.gate.check_board(facts, wish, self.reserved_bytes(now)).map_err(|deny| match deny {
                Deny::Short(short) => no(Refusal::Short(short), deny),
                _ => no(Refusal::ViewersFull, deny),
            })?;
        }
        Ok((seat, wish))
    }

    /// A slot for a viewer: with those who watch the same, a free one, or one that nobody watches.
    fn seat(&self, wish: Wish, tuner: Option<SlotIndex>) -> Result<SlotIndex, Refusal> {
        if let Some(tuner) = tuner {
            // A tuner that plays something else to somebody stays his; a picture that plays elsewhere is shared.
            let in_use = self.slot(tuner).is_none_or(|slot| {
                matches!(slot.phase, Phase::Quarantined { .. })
                    || slot.is_held && slot.plays.is_none_or(|plays| !plays.is_same_picture(&wish))
                    || slot.plays.is_some_and(|plays| !plays.is_same_picture(&wish)) && self.viewers_of(tuner) > 0
            });
            if in_use {
                return Err(Refusal::TunerInUse);
            }
        }
        let plays_it =
            |(_, slot): &(SlotIndex, &super::Slot)| slot.plays.is_some_and(|plays| plays.is_same_picture(&wish));
        // To start it elsewhere while its old child ends would give it two children for a moment.
        let ends_it = |(_, slot): &(SlotIndex, &super::Slot)| {
            slot.plays.is_none()
                && matches!(slot.phase, Phase::Stopping { ref attempt, .. } if attempt.wish.channel == wish.channel)
        };
        if let Some((index, _)) = self.indexed().find(plays_it).or_else(|| self.indexed().find(ends_it)) {
            return Ok(index);
        }
        let cost = |(index, slot): (SlotIndex, &super::Slot)| {
            let cost = match slot.phase {
                Phase::Running { ref attempt, linger_until: Some(_) } if attempt.wish.is_in_the_way_of(&wish) => {
                    Cost::LingersInTheWay
                }
                Phase::Free => Cost::Free,
                Phase::Stopping { .. } if slot.plays.is_none() => Cost::EndsAnyway,
                Phase::Running { linger_until: Some(until), .. } => Cost::Lingers(until),
                Phase::Running { .. } if self.viewers_of(index) == 0 => Cost::StartsForNobody,
                _ => return None,
            };
            Some((cost, index))
        };
        self.indexed()
            .filter(|(index, slot)| tuner.is_none_or(|tuner| tuner == *index) && !slot.is_held)
            .filter_map(cost)
            .min()
            .map(|(_, index)| index)
            .ok_or(if tuner.is_some() { Refusal::TunerInUse } else { Refusal::AllTunersInUse })
    }

    /// Whether a viewer of this face may sit here: its viewers have no more slots together than their share. Where one
    /// of them sits already, another one costs nothing; where only others watch, he counts.
    fn check_share(&self, seat: SlotIndex, share: Share) -> Result<(), Refusal> {
        let has = |index| self.viewers.iter().any(|viewer| viewer.slot == index && viewer.face == share.face);
        let slots_len = self.indices().filter(|index| has(*index)).count();
        if has(seat) || slots_len < usize::from(share.slots_max) { Ok(()) } else { Err(Refusal::ShareInUse) }
    }

    /// Ends what nobody watches on a slot that another picture needs, before anybody sits there.
    fn make_room(&mut self, now: Mono, index: SlotIndex, wish: Wish, effects: &mut Effects) {
        let slot = self.slot_mut(index);
        if matches!(slot.phase, Phase::Running { ref attempt, .. } if !attempt.wish.is_same_picture(&wish)) {
            self.preempt(now, index, effects);
        }
    }

    /// The viewer just added sits on `index`: does what the slot needs to play his channel to him.
    fn take_seat(&mut self, now: Mono, index: SlotIndex, wish: Wish, effects: &mut Effects) {
        let slot = self.slot_mut(index);
        let same = slot.plays.is_some_and(|plays| plays.is_same_picture(&wish));
        match &mut slot.phase {
            Phase::Running { attempt, linger_until } if same => {
                *linger_until = None;
                if attempt.first_at.is_some() {
                    self.give_picture(index, false, effects);
                }
            }
            // The source may have become another one since it was first asked for, and the board as well.
            Phase::Waiting { retry_at } if same => (slot.plays, *retry_at) = (Some(wish), now),
            Phase::Stopping { .. } => {
                if !same {
                    slot.wanted_at = now;
                }
                slot.plays = Some(wish);
                self.refuse_hopeless(now, index, effects);
            }
            Phase::Free => {
                (slot.plays, slot.wanted_at) = (Some(wish), now);
                self.enqueue(now, index);
            }
            Phase::Running { .. } | Phase::Waiting { .. } | Phase::Quarantined { .. } => {
                unreachable!("seat() offers no slot that another picture holds")
            }
        }
    }

    // ---- Going --------------------------------------------------------------------------------------------------------

    pub(super) fn leave(&mut self, now: Mono, viewer: ViewerId) {
        let Some(position) = self.viewers.iter().position(|entry| entry.id == viewer) else { return };
        self.remove(now, position);
        self.settle_if_empty(now);
    }

    /// Takes a viewer out, and remembers how long he had waited for a start.
    fn remove(&mut self, now: Mono, position: usize) -> Viewer {
        let viewer = self.viewers.swap_remove(position);
        if let (Phase::Running { attempt, .. }, Seat::Waiting { .. }) =
            (&mut self.slot_mut(viewer.slot).phase, viewer.seat)
        {
            let waited_ms = now.ms_since(viewer.asked_at.max(attempt.started_at));
            attempt.longest_wait_ms = attempt.longest_wait_ms.max(waited_ms);
        }
        viewer
    }

    /// What becomes of slots whose last viewer is gone.
    fn settle_if_empty(&mut self, now: Mono) {
        let linger_ms = self.rules.linger_ms;
        for index in self.indices() {
            if self.viewers_of(index) > 0 {
                continue;
            }
            match &mut self.slot_mut(index).phase {
                Phase::Waiting { .. } => self.free(now, index),
                Phase::Running { attempt, linger_until } if attempt.first_at.is_some() => {
                    linger_until.get_or_insert(now.plus_ms(linger_ms));
                }
                Phase::Stopping { .. } => self.slot_mut(index).plays = None,
                // A started attempt gets its verdict, or clients that zap away would launder dead sources.
                Phase::Running { .. } | Phase::Free | Phase::Quarantined { .. } => {}
            }
        }
    }

    /// Sends all viewers of a slot away, and lets what they watched end at once. A start without its verdict gets it first.
    pub(super) fn give_back(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        if self.slots.get(usize::from(index.0)).is_none() {
            return;
        }
        self.dismiss(index, Refusal::TunerInUse, effects);
        self.settle_if_empty(now);
        if let Phase::Running { linger_until: Some(until), .. } = &mut self.slot_mut(index).phase {
            *until = now;
        }
    }

    /// Sends all viewers of a slot away: those who wait with `refusal`, the others by ending their stream.
    pub(super) fn dismiss(&mut self, index: SlotIndex, refusal: Refusal, effects: &mut Effects) {
        self.viewers.retain(|viewer| {
            if viewer.slot == index {
                effects.push(match viewer.seat {
                    Seat::Waiting { .. } => Effect::Refuse { viewer: viewer.id, refusal },
                    Seat::Watching | Seat::Held { .. } => Effect::Close { viewer: viewer.id, slot: index },
                });
            }
            viewer.slot != index
        });
    }

    /// Sends those away who wait for their answer.
    pub(super) fn refuse_waiting(&mut self, now: Mono, index: SlotIndex, refusal: Refusal, effects: &mut Effects) {
        self.refuse_those(now, index, effects, |_| true, refusal);
    }

    fn refuse_those(
        &mut self,
        now: Mono,
        index: SlotIndex,
        effects: &mut Effects,
        whose_answer_by: impl Fn(Mono) -> bool,
        refusal: Refusal,
    ) {
        let mut position = 0;
        while let Some(viewer) = self.viewers.get(position).copied() {
            match viewer.seat {
                Seat::Waiting { answer_by } if viewer.slot == index && whose_answer_by(answer_by) => {
                    self.remove(now, position);
                    effects.push(Effect::Refuse { viewer: viewer.id, refusal });
                }
                _ => position += 1,
            }
        }
        self.settle_if_empty(now);
    }

    /// Of those who wait for their answer on a slot without a living child: sends those away whom the guard makes wait
    /// for longer than they will.
    pub(super) fn refuse_hopeless(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        let Some(slot) = self.slot(index) else { return };
        let (Some(_), Some(sources)) = (slot.plays, slot.sources) else { return };
        let Err(held) = self.choose(now, &sources) else { return };
        let Some(refusal) = self.refusal_beyond(now, &sources, held, Mono(0)) else { return };
        let until = self.next_start_at(now, &sources);
        self.refuse_those(now, index, effects, |answer_by| until > answer_by, refusal);
    }

    // ---- Pictures and waiting -----------------------------------------------------------------------------------------

    /// All viewers of a slot have a picture from now on.
    pub(super) fn give_picture(&mut self, index: SlotIndex, from_start: bool, effects: &mut Effects) {
        for viewer in self.viewers.iter_mut().filter(|viewer| viewer.slot == index) {
            if let Seat::Waiting { .. } = viewer.seat {
                effects.push(Effect::Admit { viewer: viewer.id, slot: index, from_start });
            }
            viewer.seat = Seat::Watching;
        }
    }

    /// Whoever watched a slot holds on from now on.
    pub(super) fn hold(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        let until = now.plus_ms(self.rules.gap_ms);
        let mut has_held = false;
        for viewer in self.viewers.iter_mut().filter(|viewer| viewer.slot == index) {
            if viewer.seat == Seat::Watching {
                viewer.seat = Seat::Held { until };
                has_held = true;
            }
        }
        if has_held {
            effects.push(Effect::Gap { slot: index });
        }
    }

    /// When a viewer's own time is up. Who holds on while a start is on its way waits for its verdict.
    pub(super) fn viewer_deadline(&self, viewer: &Viewer) -> Option<Mono> {
        match viewer.seat {
            Seat::Waiting { .. } if self.rules.early_headers => Some(viewer.asked_at.plus_ms(EARLY_HEADERS_MS)),
            Seat::Waiting { answer_by } => Some(answer_by),
            Seat::Held { until } if !self.has_child(viewer.slot) => Some(until),
            Seat::Held { .. } | Seat::Watching => None,
        }
    }

    fn has_child(&self, index: SlotIndex) -> bool {
        self.slot(index).is_some_and(|slot| matches!(slot.phase, Phase::Running { .. }))
    }

    pub(super) fn expire_viewers(&mut self, now: Mono, effects: &mut Effects) {
        let mut position = 0;
        while let Some(viewer) = self.viewers.get(position).copied() {
            if self.viewer_deadline(&viewer).is_none_or(|at| at > now) {
                position += 1;
                continue;
            }
            match viewer.seat {
                Seat::Waiting { .. } if self.rules.early_headers => {
                    // His time without a picture runs from when he asked, whatever happens to children.
                    let until = viewer.asked_at.plus_ms(self.rules.gap_ms);
                    if let Some(viewer) = self.viewers.get_mut(position) {
                        viewer.seat = Seat::Held { until };
                    }
                    effects.push(Effect::Gap { slot: viewer.slot });
                    effects.push(Effect::Admit { viewer: viewer.id, slot: viewer.slot, from_start: true });
                }
                Seat::Waiting { .. } => {
                    let refusal = self.why_late(now, viewer.slot);
                    self.remove(now, position);
                    effects.push(Effect::Refuse { viewer: viewer.id, refusal });
                }
                Seat::Watching | Seat::Held { .. } => {
                    self.remove(now, position);
                    effects.push(Effect::Close { viewer: viewer.id, slot: viewer.slot });
                }
            }
        }
        self.settle_if_empty(now);
    }

    // ---- What they are told -------------------------------------------------------------------------------------------

    /// Why a viewer has no picture after all his time.
    fn why_late(&self, now: Mono, index: SlotIndex) -> Refusal {
        // An attempt lives, or is about to: it is worth asking again soon.
        let soon = Refusal::NoVideo { retry_ms: 2_000 };
        let Some(slot) = self.slot(index) else { return soon };
        let (Phase::Waiting { .. }, Some(sources)) = (slot.phase, slot.sources) else { return soon };
        match slot.denied {
            Some(Deny::Short(short)) => Refusal::Short(short),
            Some(Deny::Token { ready_at }) => Refusal::Busy { retry_ms: ready_at.ms_since(now) },
            _ => match self.choose(now, &sources) {
                Err(held) => self.refusal_beyond(now, &sources, held, Mono(0)).unwrap_or(soon),
                Ok(_) => Refusal::Busy { retry_ms: 1_000 },
            },
        }
    }

    /// What a viewer is told who is made to wait beyond `answer_by`; `None` when he is not.
    fn refusal_beyond(&self, now: Mono, sources: &Sources, held: Held, answer_by: Mono) -> Option<Refusal> {
        let next_start_at = self.next_start_at(now, sources);
        let retry_ms = next_start_at.ms_since(now);
        let (until, refusal) = match held.deny {
            Deny::Draining => return Some(Refusal::Draining),
            Deny::Open { until, failure } => return Some(Self::refusal_while_open(now, failure, until)),
            Deny::RecordsFull => return Some(Refusal::ViewersFull),
            Deny::AccountFull => return Some(Refusal::AccountFull),
            Deny::Short(short) => return Some(Refusal::Short(short)),
            Deny::Token { ready_at } => (ready_at, Refusal::Busy { retry_ms: ready_at.ms_since(now) }),
            Deny::Throttled { .. } => (next_start_at, Refusal::Busy { retry_ms }),
            Deny::Cooldown { .. } => {
                let was_silent = matches!(
                    self.gate.breakers().last_failure(sources.first().origin()),
                    Some(Failure::StartTimeout | Failure::Stall | Failure::ProbeUnhealthy)
                );
                let refusal = if was_silent { Refusal::NoVideo { retry_ms } } else { Refusal::TuneFailed { retry_ms } };
                (next_start_at, refusal)
            }
        };
        (until > answer_by).then_some(refusal)
    }

    /// What viewers of a channel are told all of whose breakers are OPEN.
    pub(super) fn refusal_while_open(now: Mono, failure: Failure, until: Mono) -> Refusal {
        if failure.is_final() { Refusal::Misconfigured } else { Refusal::Resting { retry_ms: until.ms_since(now) } }
    }
}

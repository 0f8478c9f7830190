//! The pool of slots: who watches what, which child runs where, and what happens next.
//!
//! The machine takes one [`Event`] at a time and answers with [`Effect`]s. It never waits and never fails. What is
//! *not* here: processes and pipes (`engine::process`), the ring and its cursors (`engine::relay`), HTTP codes
//! (`doors::http`), and whether a child may start at all ([`crate::rules::gate`]).
//!
//! The invariants that matter most: a slot is free only after its child was reaped; one channel has at most one slot,
//! and one child that could still be ended; every viewer who asks is answered exactly once, by a picture or a refusal, within [`TUNE_DEADLINE_MS`].

use crate::limits::{
    LINGER_MS, REAP_MS, RESERVATION_MS, SLOTS_MAX, START_TIMEOUT_MS, TERM_MS, TUNE_DEADLINE_MS, VIEWERS_MAX,
};
use crate::model::lineup::ChannelId;
use crate::rules::admission::{BoardFacts, Short, Work};
use crate::rules::gate::{Deny, Gate, SpawnPermit};
use crate::time::Mono;
use alloc::vec::Vec;

/// Which slot, and so which tuner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotIndex(pub u8);

/// Which attempt: each spawned child has its own, so a late report about a dead child cannot hurt its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// Which viewer; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ViewerId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A viewer asks for a channel.
    Ask {
        /// Who.
        viewer: ViewerId,
        /// What.
        channel: ChannelId,
        /// On which tuner; `None`: any.
        tuner: Option<SlotIndex>,
        /// What a child for it has to do.
        work: Work,
    },
    /// A viewer is gone, whether he was waiting or playing. Unknown ones are ignored.
    Leave {
        /// Who.
        viewer: ViewerId,
    },
    /// The board was looked at.
    Facts(BoardFacts),
    /// The first packets of a child, in formats that clients play.
    Output {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// The first packets of a copying child, in formats that clients do not play: it has to encode.
    Unsuited {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// A child will make no more packets, or none that are transport stream, but it lives.
    Useless {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// A child was reaped.
    Exited {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// The kernel did not start a child: our fault or the board's, never the channel's.
    SpawnFailed {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// The daemon is stopping.
    Drain,
    /// A deadline has passed; see [`Pool::next_deadline`].
    Deadline,
}

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Start a child.
    Start {
        /// Where.
        slot: SlotIndex,
        /// The new attempt.
        generation: Generation,
        /// What it plays.
        channel: ChannelId,
        /// How.
        work: Work,
        /// To be spent on it.
        permit: SpawnPermit,
    },
    /// Ask a child's process group to end (SIGTERM).
    Terminate {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// End a child's process group (SIGKILL).
    Kill {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// Let a viewer read a slot's ring.
    Admit {
        /// Who.
        viewer: ViewerId,
        /// Where.
        slot: SlotIndex,
        /// At the child's first packet: he waited for it. Otherwise at the newest place to join.
        from_start: bool,
    },
    /// Tell a waiting viewer no.
    Refuse {
        /// Who.
        viewer: ViewerId,
        /// Why.
        refusal: Refusal,
    },
    /// End a playing viewer's stream once he has read what is there.
    Close {
        /// Who.
        viewer: ViewerId,
        /// Where.
        slot: SlotIndex,
    },
    /// A child cannot be reaped; its slot is given up until it can.
    Quarantine {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
}

/// A polite no. The doors turn it into codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The daemon is stopping.
    Draining,
    /// The board cannot carry one more.
    Short(Short),
    /// As many viewers as there can be.
    ViewersFull,
    /// A child could not be ended; its slot is lost for now.
    SlotStuck,
    /// The tuner that was asked for is in use.
    TunerInUse,
    /// All of them are.
    AllTunersInUse,
    /// The child ended before it made a packet, or what it made is no transport stream.
    TuneFailed,
    /// Nothing arrived in time; the attempt may go on.
    NoVideo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Term,
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Free,
    Queued,
    Starting {
        generation: Generation,
        since: Mono,
    },
    Playing {
        generation: Generation,
        since: Mono,
        linger_until: Option<Mono>,
    },
    /// `ends`: the channel whose child is on its way out.
    Stopping {
        generation: Generation,
        ends: ChannelId,
        stage: Stage,
        deadline: Mono,
    },
    Quarantined {
        generation: Generation,
    },
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    phase: Phase,
    /// What it plays, or will play once its old child is reaped.
    plays: Option<(ChannelId, Work)>,
}

#[derive(Clone, Copy, Debug)]
struct Viewer {
    id: ViewerId,
    slot: SlotIndex,
    /// `None` once he has a picture.
    answer_by: Option<Mono>,
}

/// What a slot looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Nothing runs.
    Free,
    /// Waits for the limiter, or for its old child to end.
    Waiting,
    /// A child runs and has made no packet yet.
    Starting,
    /// A child makes packets.
    Playing,
    /// Its child is being ended and nobody waits.
    Stopping,
    /// Its child cannot be reaped.
    Quarantined,
}

/// A slot as the page and the answers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Which.
    pub slot: SlotIndex,
    /// In what state.
    pub state: SlotState,
    /// What it plays or is about to play.
    pub channel: Option<ChannelId>,
    /// How many have a picture or wait for one.
    pub viewers: usize,
}

/// Room for the effects of one event. It is allocated once.
#[derive(Debug)]
pub struct Effects(Vec<Effect>);

/// Each viewer gets at most one effect from one event, each slot at most an end, a start and a note.
const EFFECTS_MAX: usize = VIEWERS_MAX + 3 * SLOTS_MAX;

impl Default for Effects {
    fn default() -> Self {
        Self(Vec::with_capacity(EFFECTS_MAX))
    }
}

impl Effects {
    fn push(&mut self, effect: Effect) {
        assert!(self.0.len() < EFFECTS_MAX, "one event has bounded effects");
        self.0.push(effect);
    }

    /// Takes the effects out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.0.drain(..)
    }
}

/// The machine.
#[derive(Debug)]
pub struct Pool {
    slots: heapless::Vec<Slot, SLOTS_MAX>,
    viewers: heapless::Vec<Viewer, VIEWERS_MAX>,
    /// Slots that wait for the limiter, first come first served.
    queue: heapless::Deque<SlotIndex, SLOTS_MAX>,
    gate: Gate,
    facts: BoardFacts,
    generation: Generation,
}

impl Pool {
    /// A pool of `slots_len` free slots, at most [`SLOTS_MAX`].
    pub fn new(slots_len: usize) -> Self {
        let slots_len = slots_len.min(SLOTS_MAX);
        Self {
            slots: core::iter::repeat_n(Slot { phase: Phase::Free, plays: None }, slots_len).collect(),
            viewers: heapless::Vec::new(),
            queue: heapless::Deque::new(),
            gate: Gate::new(slots_len),
            facts: BoardFacts::default(),
            generation: Generation(0),
        }
    }

    /// Takes what happened at `now`, and says what to do about it.
    #[expect(clippy::needless_pass_by_value, reason = "an event happens once")]
    pub fn on(&mut self, now: Mono, event: Event, effects: &mut Effects) {
        match event {
            Event::Ask { viewer, channel, tuner, work } => self.ask(now, viewer, channel, tuner, work, effects),
            Event::Leave { viewer } => self.leave(now, viewer),
            Event::Facts(facts) => self.facts = facts,
            Event::Output { slot, generation } => self.output(now, slot, generation, effects),
            Event::Unsuited { slot, generation } => self.unsuited(now, slot, generation, effects),
            Event::Useless { slot, generation } => {
                if self.is_running(slot, generation) {
                    self.dismiss(slot, Refusal::TuneFailed, effects);
                    self.stop(now, slot, None, effects);
                }
            }
            Event::Exited { slot, generation } => self.ended(now, slot, generation, Refusal::TuneFailed, effects),
            Event::SpawnFailed { slot, generation } => {
                self.ended(now, slot, generation, Refusal::Short(Short::Memory), effects);
            }
            Event::Drain => self.drain(now, effects),
            Event::Deadline => {}
        }
        self.expire(now, effects);
        self.serve_queue(now, effects);
        self.check_invariants();
    }

    /// When [`Event::Deadline`] is due, if ever.
    pub fn next_deadline(&self) -> Option<Mono> {
        let of_viewers = self.viewers.iter().filter_map(|viewer| viewer.answer_by);
        let of_slots = self.slots.iter().filter_map(|slot| match slot.phase {
            Phase::Starting { since, .. } => Some(since.plus_ms(START_TIMEOUT_MS)),
            Phase::Playing { linger_until, .. } => linger_until,
            Phase::Stopping { deadline, .. } => Some(deadline),
            Phase::Free | Phase::Queued | Phase::Quarantined { .. } => None,
        });
        let of_queue = self.first_in_queue().map(|_| self.gate.token_ready_at());
        of_viewers.chain(of_slots).chain(of_queue).min()
    }

    /// Whether a decision on the board's state may be near, so that fresh [`Event::Facts`] are worth their cost.
    pub fn wants_facts(&self) -> bool {
        !self.queue.is_empty()
            || self.slots.iter().any(|slot| matches!(slot.phase, Phase::Stopping { .. }) && slot.plays.is_some())
    }

    /// Whether no child is left that could still be reaped.
    pub fn is_idle(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot.phase, Phase::Free | Phase::Quarantined { .. }))
    }

    /// All slots in order.
    pub fn slots(&self) -> impl Iterator<Item = SlotView> + '_ {
        self.indexed().map(|(index, slot)| SlotView {
            slot: index,
            state: match (slot.phase, slot.plays) {
                (Phase::Free, _) => SlotState::Free,
                (Phase::Queued, _) | (Phase::Stopping { .. }, Some(_)) => SlotState::Waiting,
                (Phase::Starting { .. }, _) => SlotState::Starting,
                (Phase::Playing { .. }, _) => SlotState::Playing,
                (Phase::Stopping { .. }, None) => SlotState::Stopping,
                (Phase::Quarantined { .. }, _) => SlotState::Quarantined,
            },
            channel: slot.plays.map(|(channel, _)| channel),
            viewers: self.viewers_of(index),
        })
    }

    // ---- Viewers ------------------------------------------------------------------------------------------------

    fn ask(
        &mut self,
        now: Mono,
        viewer: ViewerId,
        channel: ChannelId,
        tuner: Option<SlotIndex>,
        work: Work,
        effects: &mut Effects,
    ) {
        let refusal = match self.seat(channel, tuner) {
            _ if self.gate.is_closed() => Refusal::Draining,
            _ if self.viewers.is_full() => Refusal::ViewersFull,
            Err(refusal) => refusal,
            Ok(slot) => {
                let entry = Viewer { id: viewer, slot, answer_by: Some(now.plus_ms(TUNE_DEADLINE_MS)) };
                assert!(self.viewers.push(entry).is_ok(), "there was room a moment ago");
                self.take_seat(now, slot, channel, work, effects);
                return;
            }
        };
        effects.push(Effect::Refuse { viewer, refusal });
    }

    /// Where a viewer of `channel` would sit: with those who watch it, on a free slot, or on one that nobody watches.
    fn seat(&self, channel: ChannelId, tuner: Option<SlotIndex>) -> Result<SlotIndex, Refusal> {
        if let Some(tuner) = tuner {
            // A tuner that plays something else to somebody stays his; a channel that plays elsewhere is shared.
            let in_use = self.slot(tuner).is_none_or(|slot| {
                matches!(slot.phase, Phase::Quarantined { .. })
                    || slot.plays.is_some_and(|(plays, _)| plays != channel) && self.viewers_of(tuner) > 0
            });
            if in_use {
                return Err(Refusal::TunerInUse);
            }
        }
        let plays_it = |(_, slot): &(SlotIndex, &Slot)| slot.plays.is_some_and(|(plays, _)| plays == channel);
        // To start it elsewhere while its old child ends would give it two children for a moment.
        let ends_it = |(_, slot): &(SlotIndex, &Slot)| {
            slot.plays.is_none() && matches!(slot.phase, Phase::Stopping { ends, .. } if ends == channel)
        };
        if let Some((index, _)) = self.indexed().find(plays_it).or_else(|| self.indexed().find(ends_it)) {
            return Ok(index);
        }
        let cost = |index: SlotIndex, slot: &Slot| match slot.phase {
            Phase::Free => Some(0),
            Phase::Stopping { .. } if slot.plays.is_none() => Some(1),
            Phase::Playing { linger_until: Some(until), .. } => Some(2 + until.0),
            // Nobody waits for it any more, and somebody else needs the slot.
            Phase::Starting { .. } if self.viewers_of(index) == 0 => Some(u64::MAX),
            _ => None,
        };
        self.indexed()
            .filter(|(index, _)| tuner.is_none_or(|tuner| tuner == *index))
            .filter_map(|(index, slot)| cost(index, slot).map(|cost| (cost, index)))
            .min()
            .map(|(_, index)| index)
            .ok_or(if tuner.is_some() { Refusal::TunerInUse } else { Refusal::AllTunersInUse })
    }

    /// The viewer just added sits on `index`: does what the slot needs to play `channel` to him.
    fn take_seat(&mut self, now: Mono, index: SlotIndex, channel: ChannelId, work: Work, effects: &mut Effects) {
        let slot = self.slot_mut(index);
        let same = slot.plays.is_some_and(|(plays, _)| plays == channel);
        match &mut slot.phase {
            Phase::Playing { linger_until, .. } if same => {
                *linger_until = None;
                self.admit_waiting(index, false, effects);
            }
            Phase::Queued | Phase::Starting { .. } | Phase::Stopping { .. } if same => {}
            Phase::Stopping { .. } => slot.plays = Some((channel, work)),
            Phase::Free => {
                slot.plays = Some((channel, work));
                self.enqueue(index);
            }
            Phase::Playing { .. } | Phase::Starting { .. } => {
                self.stop(now, index, Some((channel, work)), effects);
            }
            Phase::Queued | Phase::Quarantined { .. } => unreachable!("seat() offers neither"),
        }
    }

    fn leave(&mut self, now: Mono, viewer: ViewerId) {
        let Some(position) = self.viewers.iter().position(|entry| entry.id == viewer) else { return };
        let index = self.viewers.swap_remove(position).slot;
        self.settle(now, index);
    }

    /// What becomes of a slot once its last viewer is gone.
    fn settle(&mut self, now: Mono, index: SlotIndex) {
        if self.viewers_of(index) > 0 {
            return;
        }
        let slot = self.slot_mut(index);
        match &mut slot.phase {
            Phase::Queued => {
                *slot = Slot { phase: Phase::Free, plays: None };
                self.dequeue(index);
            }
            Phase::Playing { linger_until, .. } => *linger_until = Some(now.plus_ms(LINGER_MS)),
            Phase::Stopping { .. } => slot.plays = None,
            // A started attempt gets its verdict, or clients that zap away would launder dead sources.
            Phase::Starting { .. } | Phase::Free | Phase::Quarantined { .. } => {}
        }
    }

    fn admit_waiting(&mut self, index: SlotIndex, from_start: bool, effects: &mut Effects) {
        for viewer in self.viewers.iter_mut().filter(|viewer| viewer.slot == index) {
            if viewer.answer_by.take().is_some() {
                effects.push(Effect::Admit { viewer: viewer.id, slot: index, from_start });
            }
        }
    }

    /// Sends all viewers of a slot away: those who wait with `refusal`, those who play by ending their stream.
    fn dismiss(&mut self, index: SlotIndex, refusal: Refusal, effects: &mut Effects) {
        self.viewers.retain(|viewer| {
            if viewer.slot == index {
                effects.push(match viewer.answer_by {
                    Some(_) => Effect::Refuse { viewer: viewer.id, refusal },
                    None => Effect::Close { viewer: viewer.id, slot: index },
                });
            }
            viewer.slot != index
        });
    }

    // ---- Children -----------------------------------------------------------------------------------------------

    fn output(&mut self, now: Mono, index: SlotIndex, generation: Generation, effects: &mut Effects) {
        let viewers_len = self.viewers_of(index);
        let Some(slot) = self.slot_at(index, generation) else { return };
        if matches!(slot.phase, Phase::Starting { .. }) {
            let linger_until = (viewers_len == 0).then(|| now.plus_ms(LINGER_MS));
            slot.phase = Phase::Playing { generation, since: now, linger_until };
            self.admit_waiting(index, true, effects);
        }
    }

    fn unsuited(&mut self, now: Mono, index: SlotIndex, generation: Generation, effects: &mut Effects) {
        let Some(slot) = self.slot_at(index, generation) else { return };
        let Phase::Starting { .. } = slot.phase else { return };
        if let Some((channel, Work::Copy)) = slot.plays {
            let again = (self.viewers_of(index) > 0).then_some((channel, Work::Encode));
            self.stop(now, index, again, effects);
        } else {
            self.dismiss(index, Refusal::TuneFailed, effects);
            self.stop(now, index, None, effects);
        }
    }

    fn ended(&mut self, now: Mono, index: SlotIndex, generation: Generation, refusal: Refusal, effects: &mut Effects) {
        let Some(slot) = self.slot_at(index, generation) else { return };
        match slot.phase {
            Phase::Stopping { .. } if slot.plays.is_some() => self.enqueue(index),
            _ => {
                *slot = Slot { phase: Phase::Free, plays: None };
                self.dismiss(index, refusal, effects);
            }
        }
        self.serve_queue(now, effects);
    }

    /// Begins to end the child of a slot, which plays `next` afterwards.
    fn stop(&mut self, now: Mono, index: SlotIndex, next: Option<(ChannelId, Work)>, effects: &mut Effects) {
        let slot = self.slot_mut(index);
        let (Phase::Starting { generation, .. } | Phase::Playing { generation, .. }) = slot.phase else { return };
        if let Some((ends, _)) = slot.plays {
            let deadline = now.plus_ms(TERM_MS);
            *slot = Slot { phase: Phase::Stopping { generation, ends, stage: Stage::Term, deadline }, plays: next };
            effects.push(Effect::Terminate { slot: index, generation });
        }
    }

    fn drain(&mut self, now: Mono, effects: &mut Effects) {
        self.gate.close();
        for index in self.indices() {
            self.dismiss(index, Refusal::Draining, effects);
            self.stop(now, index, None, effects);
            self.settle(now, index);
        }
    }

    fn expire(&mut self, now: Mono, effects: &mut Effects) {
        for index in self.indices() {
            match self.slot_mut(index).phase {
                Phase::Starting { since, .. } if since.plus_ms(START_TIMEOUT_MS) <= now => {
                    self.dismiss(index, Refusal::NoVideo, effects);
                    self.stop(now, index, None, effects);
                }
                Phase::Playing { linger_until: Some(until), .. } if until <= now => {
                    self.stop(now, index, None, effects);
                }
                Phase::Stopping { generation, ends, stage, deadline } if deadline <= now => match stage {
                    Stage::Term => {
                        self.slot_mut(index).phase =
                            Phase::Stopping { generation, ends, stage: Stage::Kill, deadline: now.plus_ms(REAP_MS) };
                        effects.push(Effect::Kill { slot: index, generation });
                    }
                    Stage::Kill => {
                        self.dismiss(index, Refusal::SlotStuck, effects);
                        *self.slot_mut(index) = Slot { phase: Phase::Quarantined { generation }, plays: None };
                        effects.push(Effect::Quarantine { slot: index, generation });
                    }
                },
                _ => {}
            }
        }
        while let Some(late) =
            self.viewers.iter().find(|viewer| viewer.answer_by.is_some_and(|by| by <= now)).map(|viewer| viewer.id)
        {
            effects.push(Effect::Refuse { viewer: late, refusal: Refusal::NoVideo });
            self.leave(now, late);
        }
    }

    // ---- The queue for the limiter --------------------------------------------------------------------------------

    fn enqueue(&mut self, index: SlotIndex) {
        self.slot_mut(index).phase = Phase::Queued;
        assert!(self.queue.push_back(index).is_ok(), "a slot queues once, and there is room for all");
    }

    fn dequeue(&mut self, index: SlotIndex) {
        for _ in 0..self.queue.len() {
            match self.queue.pop_front() {
                Some(other) if other != index => {
                    assert!(self.queue.push_back(other).is_ok(), "it was in there a moment ago");
                }
                _ => {}
            }
        }
    }

    /// The first slot in the queue that may start once there is a token. A channel whose old child still ends on
    /// another slot has to wait for that: providers count connections.
    fn first_in_queue(&self) -> Option<(SlotIndex, ChannelId, Work)> {
        let is_ending = |channel| {
            self.slots.iter().any(|slot| matches!(slot.phase, Phase::Stopping { ends, .. } if ends == channel))
        };
        self.queue
            .iter()
            .filter_map(|index| self.slot(*index)?.plays.map(|(channel, work)| (*index, channel, work)))
            .find(|(_, channel, _)| !is_ending(*channel))
    }

    fn serve_queue(&mut self, now: Mono, effects: &mut Effects) {
        while let Some((index, channel, work)) = self.first_in_queue() {
            match self.gate.commit(now, &self.facts, work, self.reserved_bytes(now)) {
                Ok(permit) => {
                    self.dequeue(index);
                    self.generation.0 += 1;
                    let generation = self.generation;
                    self.slot_mut(index).phase = Phase::Starting { generation, since: now };
                    effects.push(Effect::Start { slot: index, generation, channel, work, permit });
                }
                Err(Deny::Token { .. }) => return,
                Err(deny) => {
                    let refusal = match deny {
                        Deny::Short(short) => Refusal::Short(short),
                        Deny::Draining | Deny::Token { .. } => Refusal::Draining,
                    };
                    self.dequeue(index);
                    *self.slot_mut(index) = Slot { phase: Phase::Free, plays: None };
                    self.dismiss(index, refusal, effects);
                }
            }
        }
    }

    /// Memory promised to children that have not grown into it yet.
    fn reserved_bytes(&self, now: Mono) -> u64 {
        let growing = self.slots.iter().filter(|slot| match slot.phase {
            Phase::Starting { .. } => true,
            Phase::Playing { since, .. } => now < since.plus_ms(RESERVATION_MS),
            _ => false,
        });
        growing.filter_map(|slot| slot.plays).map(|(_, work)| work.memory_bytes()).sum()
    }

    // ---- Looking things up ----------------------------------------------------------------------------------------

    fn indices(&self) -> impl Iterator<Item = SlotIndex> + use<> {
        (0..self.slots.len()).filter_map(|index| u8::try_from(index).ok().map(SlotIndex))
    }

    fn indexed(&self) -> impl Iterator<Item = (SlotIndex, &Slot)> {
        self.indices().zip(self.slots.iter())
    }

    fn slot(&self, index: SlotIndex) -> Option<&Slot> {
        self.slots.get(usize::from(index.0))
    }

    /// A slot that the pool itself named.
    fn slot_mut(&mut self, index: SlotIndex) -> &mut Slot {
        self.slots.get_mut(usize::from(index.0)).expect("the pool names only slots that it has")
    }

    /// The slot, if this attempt still lives in it.
    fn slot_at(&mut self, index: SlotIndex, wanted: Generation) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(index.0)).filter(|slot| match slot.phase {
            Phase::Starting { generation, .. }
            | Phase::Playing { generation, .. }
            | Phase::Stopping { generation, .. }
            | Phase::Quarantined { generation } => generation == wanted,
            Phase::Free | Phase::Queued => false,
        })
    }

    fn is_running(&mut self, index: SlotIndex, generation: Generation) -> bool {
        self.slot_at(index, generation)
            .is_some_and(|slot| matches!(slot.phase, Phase::Starting { .. } | Phase::Playing { .. }))
    }

    fn viewers_of(&self, index: SlotIndex) -> usize {
        self.viewers.iter().filter(|viewer| viewer.slot == index).count()
    }

    // ---- Invariants -------------------------------------------------------------------------------------------------

    /// Asserts what must hold between any two events. It stays on in release: a pool that is wrong must not go on.
    pub fn check_invariants(&self) {
        for (index, slot) in self.indexed() {
            let viewers_len = self.viewers_of(index);
            let queued_len = self.queue.iter().filter(|queued| **queued == index).count();
            assert_eq!(queued_len, usize::from(slot.phase == Phase::Queued), "queued slots stand in the queue, once");
            let (may_play, must_have_viewers) = match slot.phase {
                Phase::Free | Phase::Quarantined { .. } => (false, false),
                Phase::Queued => (true, true),
                Phase::Starting { .. } => (true, false),
                Phase::Playing { linger_until, .. } => (true, linger_until.is_none()),
                Phase::Stopping { .. } => (slot.plays.is_some(), slot.plays.is_some()),
            };
            assert_eq!(slot.plays.is_some(), may_play, "a slot plays something exactly while it is taken");
            assert!(!must_have_viewers || viewers_len > 0, "nothing starts or goes on for nobody");
            assert!(may_play || viewers_len == 0, "viewers sit where something plays");
            if let Phase::Playing { linger_until: Some(_), .. } = slot.phase {
                assert_eq!(viewers_len, 0, "a slot lingers for nobody only");
            }
            for (other_index, other) in self.indexed() {
                let same = slot.plays.zip(other.plays).is_some_and(|(one, two)| one.0 == two.0);
                assert!(index == other_index || !same, "one channel has one slot");
            }
        }
        for viewer in &self.viewers {
            let playing = self.slot(viewer.slot).is_some_and(|slot| matches!(slot.phase, Phase::Playing { .. }));
            assert_eq!(playing, viewer.answer_by.is_none(), "a viewer has a picture exactly while his slot plays");
        }
    }
}

#[cfg(test)]
mod tests;

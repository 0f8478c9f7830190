//! The pool of slots: who watches what, which child runs where, and what happens next.
//!
//! The machine takes one [`Event`] at a time and answers with [`Effect`]s. It never waits and never fails. What is
//! *not* here: processes and pipes (`engine::process`), the ring and its cursors (`engine::relay`), HTTP codes
//! (`doors::http`), and whether a child may start at all ([`crate::rules::gate`]).
//!
//! - `pool.rs`: the words, the machine's face, and its invariants.
//! - `pool/seats.rs`: viewers: where they sit, how long they wait, what they are told.
//! - `pool/attempts.rs`: children: verdicts, silence, looks at the output, ends.
//! - `pool/queue.rs`: slots that wait for the gate.
//! - `pool/failover.rs`: which of a channel's sources plays, and what the provider allows.
//! - `pool/outlook.rs`: why the next viewer would be refused.
//!
//! The invariants that matter most: a slot is free only after its child was reaped; one picture, which is a channel in
//! a profile, has at most one slot, and one child that could still be ended; every viewer who asks is answered exactly
//! once, by a picture or a refusal, within [`TUNE_DEADLINE_MS`]; an attempt fails at most once, and only while it
//! lives; a viewer keeps his connection while his channel is restarted, but not for ever.
//!
//! [`TUNE_DEADLINE_MS`]: crate::limits::TUNE_DEADLINE_MS

mod attempts;
mod failover;
pub mod outlook;
mod queue;
mod seats;

use crate::limits::{SLOTS_MAX, TRIAL_MS_MAX, VIEWERS_MAX};
use crate::model::face::Share;
use crate::model::lineup::{Account, ChannelId, Origin, SourceClass};
use crate::model::profile::Profile;
use crate::rules::acquire::Acquire;
use crate::rules::admission::{BoardFacts, Short, Work};
use crate::rules::breaker::ChannelView;
use crate::rules::constants::Rules;
use crate::rules::failure::{End, Failure};
use crate::rules::gate::{
    CheckPermit, Deny, Gate, GlancePermit, Kind, ProbePermit, SlatePermit, SpawnPermit, TrialPermit, Wish,
};
use crate::rules::health::{Health, ProbeResult};
use crate::rules::outage::Outage;
use crate::rules::slate::Trouble;
use crate::rules::sources::Sources;
use crate::time::Mono;
use alloc::vec::Vec;
use attempts::{Attempt, Stage};
use core::fmt;
use core::hash::{Hash as _, Hasher};
use seats::{Seat, Viewer};

/// Which slot, and so which tuner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotIndex(pub u8);

/// Which attempt: each spawned child has its own, so a late report about a dead child cannot hurt its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// Which viewer; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ViewerId(pub u64);

/// What it takes to play what turned out not to be what it was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// More work on it than is done now.
    Work(Work),
    /// That FFmpeg fetches it by itself; it is of this class. A child that does so never says it.
    Alone(SourceClass),
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A viewer asks for a channel.
    Ask {
        /// Who.
        viewer: ViewerId,
        /// On which tuner; `None`: any.
        tuner: Option<SlotIndex>,
        /// Through which face, and how many slots that one's viewers may have.
        share: Share,
        /// What, and where its picture can come from.
        sources: Sources,
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
    /// When a child was last heard. To be told before each [`Event::Deadline`] and [`Event::Sweep`]; times that lie
    /// before those already known change nothing.
    Heard {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
        /// Its newest packet.
        output_at: Mono,
        /// Its newest piece of picture or, for radio, of sound.
        picture_at: Mono,
        /// How far its clock has come since its first packet, as far as it has one.
        played_ms: Option<u64>,
        /// The longest that it was ever silent between two packets.
        silent_ms_max: u64,
    },
    /// The first packets of a child, or what a task found at its source, are nothing that it can pass on as it is.
    Unsuited {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
        /// What it takes instead.
        needs: Needs,
    },
    /// A child will make no more packets, or none that are transport stream, but it lives.
    Useless {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
        /// What that is called.
        failure: Failure,
    },
    /// What a child makes is not worth watching: black, frozen, silent, a card. That counts only where the channel has
    /// another source that is ready.
    Blank {
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
        /// How it ended.
        end: End,
    },
    /// The kernel did not start a child: our fault or the board's, never the channel's.
    SpawnFailed {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// A look at the output was answered, or cannot be any more. Each [`Effect::Probe`] gets exactly one.
    Probed {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
        /// The answer.
        result: ProbeResult,
    },
    /// A person has changed a channel's source, or wants it tried: one probe is allowed, nothing is forgotten.
    Reset {
        /// Which.
        channel: ChannelId,
    },
    /// A tuner is kept for somebody who controls it, or is no longer: while it is, nobody else's channel goes there.
    Hold {
        /// Which.
        slot: SlotIndex,
        /// Whether it is.
        is_held: bool,
    },
    /// A person wants a tuner given back: whoever watches there is sent away, and nothing lingers.
    Free {
        /// Which.
        slot: SlotIndex,
    },
    /// Audits the timers; due every [`crate::limits::SWEEP_MS`].
    Sweep,
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
        /// From which of its sources.
        source: u8,
        /// How.
        work: Work,
        /// What this start is.
        kind: Kind,
        /// Viewers hold on since the last child: its packets go on where that one's ended.
        continues: bool,
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
    /// End a viewer's stream once he has read what is there.
    Close {
        /// Who.
        viewer: ViewerId,
        /// Where.
        slot: SlotIndex,
    },
    /// A slot's viewers hold on without a child, or before its first packet: packets that carry nothing keep their
    /// connections alive.
    Gap {
        /// Where.
        slot: SlotIndex,
    },
    /// Look at a slot's output.
    Probe {
        /// Where.
        slot: SlotIndex,
        /// Which attempt's.
        generation: Generation,
        /// To be spent on it.
        permit: ProbePermit,
        /// Also see what it shows; it is answered with the look.
        glance: Option<GlancePermit>,
    },
    /// A child cannot be reaped; its slot is given up until it can.
    Quarantine {
        /// Where.
        slot: SlotIndex,
        /// Which attempt.
        generation: Generation,
    },
    /// Worth telling; nothing depends on it.
    Note(Note),
}

/// What is worth a log line or a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The gate said no: once for each reason and wait, not for each question.
    Denied {
        /// To whom.
        channel: ChannelId,
        /// Why.
        deny: Deny,
    },
    /// A permit was had.
    Acquired {
        /// By whom.
        channel: ChannelId,
        /// From the request to the permit.
        waited_ms: u64,
    },
    /// No slot and token in all attempts of one acquisition.
    AcquireTimeout {
        /// For whom.
        channel: ChannelId,
    },
    /// The first throttled restart after a quiet minute.
    Storm,
    /// An attempt failed.
    Failed {
        /// Where.
        slot: SlotIndex,
        /// Which.
        generation: Generation,
        /// Whose.
        channel: ChannelId,
        /// Which of its sources.
        source: u8,
        /// Why.
        failure: Failure,
        /// Failures in the window, this one included.
        failures_len: usize,
    },
    /// A breaker opened.
    Opened {
        /// Whose.
        channel: ChannelId,
        /// Which of its sources'.
        source: u8,
        /// On what.
        failure: Failure,
        /// When a probe may be tried.
        until: Mono,
    },
    /// A probe was stable.
    Closed {
        /// Whose.
        channel: ChannelId,
    },
    /// A probe ended without a verdict.
    Inconclusive {
        /// Whose.
        channel: ChannelId,
    },
    /// An attempt is stable.
    Stable {
        /// Where.
        slot: SlotIndex,
        /// Whose.
        channel: ChannelId,
    },
    /// A child has been silent for half of what is allowed.
    SilenceWarning {
        /// Where.
        slot: SlotIndex,
        /// Whose.
        channel: ChannelId,
    },
    /// A look was due while the prober, or the board, was busy.
    ProbeSkipped {
        /// Where.
        slot: SlotIndex,
    },
    /// The sweep found a silence that its timer had missed: a bug of ours.
    SweepFound {
        /// Where.
        slot: SlotIndex,
    },
    /// Half of the channels used lately rest, or no longer.
    Outage(bool),
}

impl Note {
    /// The channel that it is about.
    pub const fn channel(&self) -> Option<ChannelId> {
        match *self {
            Self::Denied { channel, .. }
            | Self::Acquired { channel, .. }
            | Self::AcquireTimeout { channel }
            | Self::Failed { channel, .. }
            | Self::Opened { channel, .. }
            | Self::Closed { channel }
            | Self::Inconclusive { channel }
            | Self::Stable { channel, .. }
            | Self::SilenceWarning { channel, .. } => Some(channel),
            Self::Storm | Self::ProbeSkipped { .. } | Self::SweepFound { .. } | Self::Outage(_) => None,
        }
    }
}

/// A polite no. The doors turn it into codes. Where another try may help later, `retry_ms` says when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The daemon is stopping.
    Draining,
    /// The board cannot carry one more.
    Short(Short),
    /// As many viewers, or ill channels, as there can be.
    ViewersFull,
    /// A child could not be ended; its slot is lost for now.
    SlotStuck,
    /// The guard makes it wait for longer than a viewer does.
    Busy {
        /// Until it may start.
        retry_ms: u64,
    },
    /// The tuner that was asked for is in use.
    TunerInUse,
    /// All of them are.
    AllTunersInUse,
    /// As many streams as the provider allows are in use.
    AccountFull,
    /// As many as the face that was asked may occupy.
    ShareInUse,
    /// The child ended before it made a packet, or what it made is no transport stream.
    TuneFailed {
        /// Until the next restart may be.
        retry_ms: u64,
    },
    /// Nothing arrived in time; the attempt may go on.
    NoVideo {
        /// Until it is worth asking again.
        retry_ms: u64,
    },
    /// The channel's breaker is OPEN.
    Resting {
        /// Until a probe may be tried.
        retry_ms: u64,
    },
    /// The same, and only a person can help.
    Misconfigured,
}

impl Refusal {
    /// What `Retry-After` says, in whole seconds, rounded up.
    pub const fn retry_after_s(self) -> u32 {
        const fn within(retry_ms: u64, most: u64) -> u32 {
            let seconds = retry_ms.div_ceil(1_000);
            let most = if seconds > most { most } else { seconds };
            #[expect(clippy::cast_possible_truncation, reason = "at most two minutes")]
            let seconds = most as u32;
            if seconds == 0 { 1 } else { seconds }
        }
        match self {
            Self::Draining | Self::Short(Short::Heat) => 60,
            Self::Short(_) | Self::ViewersFull | Self::SlotStuck => 30,
            Self::TunerInUse | Self::AllTunersInUse | Self::AccountFull | Self::ShareInUse => 10,
            Self::Misconfigured => 120,
            Self::Busy { retry_ms } => within(retry_ms, 60),
            Self::TuneFailed { retry_ms } => within(retry_ms, 30),
            Self::NoVideo { retry_ms } | Self::Resting { retry_ms } => within(retry_ms, 120),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Free,
    /// No child; the gate is asked again at `retry_at`.
    Waiting {
        retry_at: Mono,
    },
    /// A child lives: before its first packet, or after it.
    Running {
        attempt: Attempt,
        linger_until: Option<Mono>,
    },
    /// A child is on its way out.
    Stopping {
        attempt: Attempt,
        stage: Stage,
        deadline: Mono,
    },
    Quarantined {
        generation: Generation,
        account: Option<Account>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    phase: Phase,
    since: Mono,
    /// What it plays, or will play once its old child is reaped.
    plays: Option<Wish>,
    /// Where that can come from; of the channel that it plays or, when free, played last.
    sources: Option<Sources>,
    /// Since when a start is wanted, for the latency of acquisitions.
    wanted_at: Mono,
    acquire: Option<Acquire>,
    /// Why the gate said no last, so that it is told once.
    denied: Option<Deny>,
    /// Kept for somebody who controls it.
    is_held: bool,
}

impl Slot {
    /// Whether its attempt is this source's probe, whose verdict is due.
    fn decides(&self, origin: Origin) -> bool {
        match self.phase {
            Phase::Running { ref attempt, .. } => attempt.wish.origin() == origin && attempt.decides(),
            _ => false,
        }
    }
}

/// What a slot looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Nothing runs.
    Free,
    /// Waits for the gate, or for its old child to end.
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
    /// Since when.
    pub since: Mono,
    /// What it plays or is about to play.
    pub channel: Option<ChannelId>,
    /// From which of its sources.
    pub source: u8,
    /// And in which profile.
    pub profile: Profile,
    /// What that takes.
    pub work: Option<Work>,
    /// How many have a picture or wait for one.
    pub viewers: usize,
    /// Of them: how many hold on without a picture.
    pub held: usize,
    /// How good the output is.
    pub health: Health,
    /// Counts from 1 in the window of failures.
    pub attempt: usize,
    /// While it waits: when the gate is asked again.
    pub next_try_at: Option<Mono>,
}

/// Streams that end while one counts after its end: all that live, and those that the limiter lets start meanwhile.
const RESTS_MAX: usize = 2 * SLOTS_MAX;

/// Room for the effects of one event. It is allocated once.
#[derive(Debug)]
pub struct Effects(Vec<Effect>);

/// Each viewer gets at most one effect from one event; each slot an end, a start, a gap, a look and some notes.
const EFFECTS_MAX: usize = VIEWERS_MAX + 16 * SLOTS_MAX;

impl Default for Effects {
    fn default() -> Self {
        Self(Vec::with_capacity(EFFECTS_MAX))
    }
}

impl Effects {
    /// No room at all, to stand in for one that is being emptied.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    fn push(&mut self, effect: Effect) {
        assert!(self.0.len() < EFFECTS_MAX, "one event has bounded effects");
        self.0.push(effect);
    }

    fn note(&mut self, note: Note) {
        self.push(Effect::Note(note));
    }

    /// Takes the effects out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.0.drain(..)
    }
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Pool {
    rules: Rules,
    slots: heapless::Vec<Slot, SLOTS_MAX>,
    viewers: heapless::Vec<Viewer, VIEWERS_MAX>,
    /// Slots that wait for the gate, first come first served.
    queue: heapless::Deque<SlotIndex, SLOTS_MAX>,
    gate: Gate,
    /// Whose streams ended lately, and until when their provider may not know it.
    rests: heapless::Vec<(u32, Mono), RESTS_MAX>,
    facts: BoardFacts,
    generation: Generation,
    outage: Outage,
    /// Until a minute after the last throttled restart was due: no new storm.
    storm_until: Mono,
    looks_running: usize,
    looks_began_at: Mono,
    /// The prober works half of the time at most.
    looks_rest_until: Mono,
    /// The look on its way has a glance with it.
    is_glancing: bool,
    glances_rest_until: Mono,
}

impl Pool {
    /// A pool of `slots_len` free slots, at most [`SLOTS_MAX`].
    pub fn new(slots_len: usize) -> Self {
        Self::with_rules(slots_len, Rules::DEFAULT)
    }

    /// A pool with other numbers than the daemon's. For proofs, and for early headers.
    pub fn with_rules(slots_len: usize, rules: Rules) -> Self {
        let slots_len = slots_len.min(SLOTS_MAX);
        let free = Slot {
            phase: Phase::Free,
            since: Mono(0),
            plays: None,
            sources: None,
            wanted_at: Mono(0),
            acquire: None,
            denied: None,
            is_held: false,
        };
        Self {
            slots: core::iter::repeat_n(free, slots_len).collect(),
            viewers: heapless::Vec::new(),
            queue: heapless::Deque::new(),
            gate: Gate::new(slots_len, rules),
            rests: heapless::Vec::new(),
            facts: BoardFacts::default(),
            generation: Generation(0),
            outage: Outage::default(),
            storm_until: Mono(0),
            looks_running: 0,
            looks_began_at: Mono(0),
            looks_rest_until: Mono(0),
            is_glancing: false,
            glances_rest_until: Mono(0),
            rules,
        }
    }

    /// Takes what happened at `now`, and says what to do about it.
    pub fn on(&mut self, now: Mono, event: Event, effects: &mut Effects) {
        match event {
            // What only tells something is followed by what asks for something.
            Event::Facts(facts) => {
                self.facts = facts;
                return;
            }
            Event::Heard { slot, generation, output_at, picture_at, played_ms, silent_ms_max } => {
                self.heard(now, slot, generation, (output_at, picture_at));
                self.heard_pace(now, slot, generation, played_ms, silent_ms_max);
                return;
            }
            Event::Ask { viewer, tuner, share, sources } => self.ask(now, viewer, sources, tuner, share, effects),
            Event::Leave { viewer } => self.leave(now, viewer),
            Event::Output { slot, generation } => self.output(now, slot, generation, effects),
            Event::Unsuited { slot, generation, needs } => self.unsuited(now, slot, generation, needs, effects),
            Event::Useless { slot, generation, failure } => self.useless(now, slot, generation, failure, effects),
            Event::Blank { slot, generation } => self.blank(now, slot, generation, effects),
            Event::Exited { slot, generation, end } => self.exited(now, slot, generation, end, effects),
            Event::SpawnFailed { slot, generation } => self.spawn_failed(now, slot, generation, effects),
            Event::Probed { slot, generation, result } => self.probed(now, slot, generation, result, effects),
            Event::Reset { channel } => self.gate.reset(now, channel),
            Event::Hold { slot, is_held } => {
                if let Some(slot) = self.slots.get_mut(usize::from(slot.0)) {
                    slot.is_held = is_held;
                }
            }
            Event::Free { slot } => self.give_back(now, slot, effects),
            Event::Sweep => self.sweep(now, effects),
            Event::Drain => self.drain(now, effects),
            Event::Deadline => {}
        }
        // Just before these, and not before others, it was told when each child was last heard.
        let by_the_clock = matches!(event, Event::Deadline | Event::Sweep);
        self.judge_attempts(now, by_the_clock, effects);
        self.serve_queue(now, effects);
        self.expire_viewers(now, effects);
        self.look(now, effects);
        let (gate, outage) = (&self.gate, &mut self.outage);
        for slot in &self.slots {
            if let (Phase::Running { .. }, Some(sources)) = (slot.phase, &slot.sources) {
                outage.used(now, sources.channel(), sources.count());
            }
        }
        let rests = |channel, sources_len| gate.breakers().rests(channel, sources_len);
        if let Some(is_on) = outage.judge(now, rests) {
            effects.note(Note::Outage(is_on));
        }
        self.check_invariants();
    }

    /// When [`Event::Deadline`] is due, if ever.
    pub fn next_deadline(&self) -> Option<Mono> {
        let of_viewers = self.viewers.iter().filter_map(|viewer| self.viewer_deadline(viewer));
        let of_slots = self.indexed().filter_map(|(index, slot)| match slot.phase {
            Phase::Waiting { retry_at } => Some(retry_at),
            Phase::Running { ref attempt, linger_until } => {
                let attempt_at = self.attempt_deadline(index, attempt);
                Some(linger_until.map_or(attempt_at, |until| until.min(attempt_at)))
            }
            Phase::Stopping { deadline, .. } => Some(deadline),
            Phase::Free | Phase::Quarantined { .. } => None,
        });
        of_viewers.chain(of_slots).chain(self.look_deadline()).min()
    }

    /// Whether a decision on the board's state may be near, so that fresh [`Event::Facts`] are worth their cost.
    pub fn wants_facts(&self, now: Mono) -> bool {
        !self.queue.is_empty()
            || self.look_deadline().is_some_and(|at| at <= now)
            || self.slots.iter().any(|slot| matches!(slot.phase, Phase::Stopping { .. }) && slot.plays.is_some())
    }

    /// Permits the trial of an encoder while nobody waits for a start and nothing is encoded: it would disturb them,
    /// and they would disturb it. Asked for at most once at a time.
    pub fn permit_trial(&mut self, now: Mono) -> Option<TrialPermit> {
        let leaves_room = |slot: &Slot| match slot.phase {
            Phase::Free | Phase::Quarantined { .. } => true,
            Phase::Running { ref attempt, .. } => attempt.first_at.is_some() && !attempt.wish.work.encodes(),
            Phase::Waiting { .. } | Phase::Stopping { .. } => false,
        };
        let reserved_bytes = self.reserved_bytes(now);
        let may_be = self.slots.iter().all(leaves_room);
        let permit = may_be.then(|| self.gate.permit_trial(&self.facts, reserved_bytes)).flatten();
        if permit.is_some() {
            self.glances_rest_until = self.glances_rest_until.max(now.plus_ms(TRIAL_MS_MAX));
        }
        permit
    }

    /// Permits the check of a signature, whoever watches: it is one short program that yields to all others.
    pub fn permit_check(&self, now: Mono) -> Option<CheckPermit> {
        self.gate.permit_check(&self.facts, self.reserved_bytes(now))
    }

    /// Permits the making of a slate, if the board can carry it beside all those who wait for a start.
    pub fn permit_slate(&self, now: Mono) -> Option<SlatePermit> {
        let waits = |slot: &&Slot| matches!(slot.phase, Phase::Waiting { .. } | Phase::Stopping { .. });
        let waiting = self.slots.iter().filter(waits).filter_map(|slot| slot.plays);
        let waiting_bytes: u64 = waiting.map(|wish| wish.work.memory_bytes()).sum();
        self.gate.permit_slate(&self.facts, self.reserved_bytes(now) + waiting_bytes)
    }

    /// Why a slot has no picture, for those who hold on there.
    pub fn trouble(&self, now: Mono, index: SlotIndex) -> Trouble {
        let Some((slot, wish)) = self.slot(index).and_then(|slot| Some((slot, slot.plays?))) else {
            return Trouble::default();
        };
        let next_start_at = slot.sources.map_or(now, |sources| self.next_start_at(now, &sources));
        let is_known = self.gate.breakers().failures_len(now, wish.origin()) > 0;
        let next_try_at = match slot.phase {
            Phase::Waiting { retry_at } => Some(retry_at.max(next_start_at)),
            Phase::Stopping { .. } => Some(next_start_at),
            Phase::Free | Phase::Running { .. } | Phase::Quarantined { .. } => None,
        };
        Trouble {
            failure: self.gate.breakers().last_failure(wish.origin()).filter(|_| is_known),
            deny: slot.denied,
            next_try_at: next_try_at.filter(|at| *at > now),
        }
    }

    /// Whether no child is left that could still be reaped.
    pub fn is_idle(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot.phase, Phase::Free | Phase::Quarantined { .. }))
    }

    /// All slots in order.
    pub fn slots(&self, now: Mono) -> impl Iterator<Item = SlotView> + '_ {
        self.indexed().map(move |(index, slot)| SlotView {
            slot: index,
            state: match (slot.phase, slot.plays) {
                (Phase::Free, _) => SlotState::Free,
                (Phase::Waiting { .. }, _) | (Phase::Stopping { .. }, Some(_)) => SlotState::Waiting,
                (Phase::Running { ref attempt, .. }, _) if attempt.first_at.is_none() => SlotState::Starting,
                (Phase::Running { .. }, _) => SlotState::Playing,
                (Phase::Stopping { .. }, None) => SlotState::Stopping,
                (Phase::Quarantined { .. }, _) => SlotState::Quarantined,
            },
            since: slot.since,
            channel: slot.plays.map(|wish| wish.channel),
            source: slot.plays.map_or(0, |wish| wish.source),
            profile: slot.plays.map_or(Profile::None, |wish| wish.work.profile()),
            work: slot.plays.map(|wish| wish.work),
            viewers: self.viewers_of(index),
            held: self.held_on(index),
            health: match slot.phase {
                Phase::Running { ref attempt, .. } => attempt.health(),
                _ => Health::Unknown,
            },
            attempt: slot.plays.map_or(0, |wish| self.gate.breakers().failures_len(now, wish.origin()) + 1),
            next_try_at: match slot.phase {
                Phase::Waiting { retry_at } => Some(retry_at),
                _ => None,
            },
        })
    }

    /// Channels that have failed lately, rest, or were restarted a moment ago.
    pub fn channels(&self, now: Mono) -> impl Iterator<Item = ChannelView> + '_ {
        self.gate.breakers().views(now, &self.rules)
    }

    /// Restarts in the window of the throttle.
    pub fn restarts_in_window(&self, now: Mono) -> usize {
        self.gate.throttle().in_window(now, &self.rules)
    }

    /// Changes whenever [`Pool::remember`] has something new to write, and [`Pool::channels`] something new to show.
    pub fn revision(&self) -> u64 {
        self.gate.revision()
    }

    /// Writes what a crash of the daemon must not make forgotten.
    ///
    /// # Errors
    /// What `out` said.
    pub fn remember(&self, out: &mut impl fmt::Write) -> fmt::Result {
        self.gate.remember(out)
    }

    /// Takes that back, before the first event. `clean`: the daemon had ended in order.
    pub fn recall(&mut self, now: Mono, text: &str, clean: bool) {
        self.gate.recall(now, text, clean);
    }

    // ---- Looking things up ------------------------------------------------------------------------------------------

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

    fn set_phase(&mut self, now: Mono, index: SlotIndex, phase: Phase) {
        let slot = self.slot_mut(index);
        slot.phase = phase;
        slot.since = now;
    }

    fn free(&mut self, now: Mono, index: SlotIndex) {
        self.dequeue(index);
        self.set_phase(now, index, Phase::Free);
        let slot = self.slot_mut(index);
        (slot.plays, slot.acquire, slot.denied) = (None, None, None);
    }

    fn viewers_of(&self, index: SlotIndex) -> usize {
        self.viewers.iter().filter(|viewer| viewer.slot == index).count()
    }

    // ---- Proofs -----------------------------------------------------------------------------------------------------

    /// Hashes everything that decides what happens next, with times relative to `now`: two pools with the same
    /// fingerprint go on alike. For an explorer. Generations and viewers' names are left out: only equality matters. So is
    /// when glances are due, which decides about glances only.
    pub fn fingerprint(&self, now: Mono, hasher: &mut impl Hasher) {
        for (index, slot) in self.indexed() {
            slot.is_held.hash(hasher);
            (slot.plays.map(|wish| (wish.channel.0, wish.source, wish.class as u8, wish.work))).hash(hasher);
            slot.acquire
                .map(Acquire::parts)
                .map(|(attempt, pausing, at)| (attempt, pausing, at.ms_since(now)))
                .hash(hasher);
            match slot.phase {
                Phase::Free => 0_u8.hash(hasher),
                Phase::Waiting { retry_at } => (1_u8, retry_at.ms_since(now)).hash(hasher),
                Phase::Running { ref attempt, linger_until } => {
                    (2_u8, linger_until.map(|until| until.ms_since(now))).hash(hasher);
                    attempt.fingerprint(now, &self.rules, hasher);
                    self.forgiven_look_at(index, attempt).map(|at| at.ms_since(now)).hash(hasher);
                }
                Phase::Stopping { ref attempt, stage, deadline } => {
                    (3_u8, attempt.wish.channel.0, attempt.wish.work, stage as u8, deadline.ms_since(now)).hash(hasher);
                }
                Phase::Quarantined { .. } => 4_u8.hash(hasher),
            }
        }
        for viewer in &self.viewers {
            viewer.fingerprint(now, &self.rules, hasher);
        }
        for index in &self.queue {
            index.0.hash(hasher);
        }
        for (account, until) in self.rests.iter().filter(|(_, until)| *until > now) {
            (account, until.ms_since(now)).hash(hasher);
        }
        (self.facts.ffmpeg_present, self.facts.memory_available_bytes, self.looks_running).hash(hasher);
        self.looks_rest_until.ms_since(now).hash(hasher);
        self.gate.fingerprint(now, hasher);
    }

    /// Asserts what must hold between any two events. It stays on in release: a pool that is wrong must not go on.
    pub fn check_invariants(&self) {
        for (index, slot) in self.indexed() {
            let viewers_len = self.viewers_of(index);
            let queued_len = self.queue.iter().filter(|queued| **queued == index).count();
            let waits = matches!(slot.phase, Phase::Waiting { .. });
            assert_eq!(queued_len, usize::from(waits), "waiting slots stand in the queue, once");
            let (may_play, must_have_viewers) = match slot.phase {
                Phase::Free | Phase::Quarantined { .. } => (false, false),
                Phase::Waiting { .. } => (true, true),
                Phase::Running { ref attempt, linger_until } => {
                    (true, attempt.first_at.is_some() && linger_until.is_none())
                }
                Phase::Stopping { .. } => (slot.plays.is_some(), slot.plays.is_some()),
            };
            assert_eq!(slot.plays.is_some(), may_play, "a slot plays something exactly while it is taken");
            assert!(!must_have_viewers || viewers_len > 0, "nothing starts or goes on for nobody");
            assert!(may_play || viewers_len == 0, "viewers sit where something plays");
            if let Phase::Running { ref attempt, linger_until } = slot.phase {
                assert!(linger_until.is_none() || viewers_len == 0, "a slot lingers for nobody only");
                let is_wanted = slot.plays.is_some_and(|wish| wish.is_same_picture(&attempt.wish));
                assert!(is_wanted, "it plays what it plays");
                assert!(!attempt.judged, "a child that was judged does not run on");
                let origin = attempt.wish.origin();
                let half_open = self.gate.breakers().is_half_open(origin);
                let probes_len = self.slots.iter().filter(|slot| slot.decides(origin)).count();
                let due_len = usize::from(half_open);
                assert_eq!(probes_len, due_len, "a breaker is HALF_OPEN exactly while its probe lives unjudged");
            }
            if let Some(account) = slot.account() {
                // The owner may have changed what it allows since some of them began.
                let known = self.slots.iter().filter_map(Slot::account).filter(|of| of.id == account.id);
                let streams_max = known.map(|of| usize::from(of.streams_max)).max();
                assert!(
                    Some(self.streams(account.id)) <= streams_max,
                    "a provider never sees more streams than it allows"
                );
            }
            for (other_index, other) in self.indexed() {
                let same = slot.plays.zip(other.plays).is_some_and(|(one, two)| one.is_same_picture(&two));
                assert!(index == other_index || !same, "one picture has one slot");
            }
        }
        for viewer in &self.viewers {
            let plays = self.slot(viewer.slot).is_some_and(
                |slot| matches!(slot.phase, Phase::Running { ref attempt, .. } if attempt.first_at.is_some()),
            );
            assert_eq!(plays, viewer.seat == Seat::Watching, "a viewer has a picture exactly while his slot plays");
        }
    }
}

#[cfg(test)]
mod tests;

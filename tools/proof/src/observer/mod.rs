//! The independent checker of the guard.
//!
//! It sees what the pool was told and what it answered, nothing else, keeps books of its own, and compares. It was
//! written from the specification and shares no code with `pure::rules`; of that it uses the words only. What it
//! checks is named by the specification's numbers (I1 to I25, and rules such as `F3` or `5-V`).
//!
//! Where the specification leaves a choice, the observer accepts each reading and then follows the one that was taken;
//! the comments say where. Not here: making things happen, which is for [`crate::world`] and [`crate::explore`].
//!
//! - this file: what is written down, and the order of one step
//! - [`event`]: what an event means for the books
//! - [`effect`]: whether an effect was right
//! - [`after`]: what must hold, or must have happened, when a step is over

mod after;
mod effect;
mod event;

use crate::points::{Counts, Point};
use crate::spec::{
    CHILD_FDS, COPY_BYTES, ENCODE_BYTES, HEAT_MILLI_C, Ms, RESERVE_BYTES, RESERVE_FDS, SOUND_BYTES, Spec,
};
use pure::model::lineup::{ChannelId, SourceClass};
use pure::rules::admission::{BoardFacts, Short, Work};
use pure::rules::failure::Failure;
use pure::rules::gate::Kind;
use pure::rules::pool::{Effect, Event};
use pure::time::Mono;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// What was broken, when, and how it looked.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The specification's number.
    pub rule: &'static str,
    /// What happened.
    pub text: String,
    /// When.
    pub at: Ms,
}

/// A channel's breaker, as the specification's own count says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Breaker {
    Closed,
    /// `until`: eligible from then on.
    Open {
        until: Ms,
        fatal: bool,
    },
    Half {
        generation: u64,
        since: Ms,
    },
}

#[derive(Clone, Debug)]
struct Channel {
    id: ChannelId,
    class: SourceClass,
    work: Work,
    breaker: Breaker,
    /// Those that may still be younger than the window.
    failures: Vec<Ms>,
    last_failure: Option<Failure>,
    last_restart: Option<Ms>,
    waiting: u16,
    admitted: u16,
    /// Since when its viewers wait for a child that nothing denies (I8).
    unblocked_since: Option<Ms>,
    /// Since when it only lacks a slot and a token (I18).
    acquiring_since: Option<Ms>,
    /// Since when its viewers wait for a child, and since when only the throttle denies it.
    childless_since: Option<Ms>,
    throttled_since: Option<Ms>,
    /// Since when its playing viewers have no child that could give them packets: the end of the last that did.
    dry_since: Option<Ms>,
    asked_at: Ms,
    used_at: Ms,
    look_ended_at: Option<Ms>,
    /// Times of the last notes that change its state (I17).
    told: VecDeque<Ms>,
    /// The last step in which its demand was looked at.
    checked_in: u64,
}

impl Channel {
    fn viewers(&self) -> u16 {
        self.waiting + self.admitted
    }
}

/// Whether an attempt has to fail in this step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    No,
    May,
    Must,
}

/// A child that was started and not reaped.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    generation: u64,
    slot: u8,
    /// Index into the channels.
    channel: usize,
    work: Work,
    started: Ms,
    first: Option<Ms>,
    output_at: Ms,
    picture_at: Ms,
    stable: bool,
    failed: Option<Failure>,
    ended: Option<Ms>,
    killed: Option<Ms>,
    quarantined: bool,
    /// The longest wait of a viewer on it, counted from its start, and from his question.
    waited: Ms,
    waited_in_all: Ms,
    viewerless_since: Option<Ms>,
    /// Since when the short limit of silence applies.
    short_since: Option<Ms>,
    unhealthy_since: Option<Ms>,
    unhealthy_looks: u32,
    /// Since when it could have been found stable.
    stable_since: Option<Ms>,
    gap_told: bool,
    due: Due,
    /// The failures that may be told of it in this step, as bits.
    allowed: u32,
}

impl Attempt {
    fn lives(&self) -> bool {
        self.ended.is_none()
    }

    fn plays(&self) -> bool {
        self.lives() && self.first.is_some()
    }

    /// Newest time at which all was well with its output.
    fn last(&self) -> Ms {
        self.output_at.min(self.picture_at)
    }
}

#[derive(Clone, Copy, Debug)]
struct Viewer {
    id: u64,
    channel: usize,
    tuner: Option<u8>,
    asked: Ms,
    /// When and where he got his picture.
    admitted: Option<(Ms, u8)>,
    /// Newest packet that he can have got from children that are gone.
    data_at: Ms,
}

/// What one step leaves behind for its end.
#[derive(Clone, Debug, Default)]
struct Step {
    /// The attempt that was reaped.
    reaped: Option<Attempt>,
    is_deadline: bool,
    asked: Option<u64>,
    unsuited: Option<u64>,
    spawn_failed: Option<usize>,
    clock_end: Option<usize>,
    finished: Option<usize>,
    useless: Option<usize>,
    look_ended: Option<u64>,
    opened: Vec<usize>,
    opened_told: Vec<usize>,
    inconclusive: Vec<usize>,
    timed_out: Vec<usize>,
    quarantined: Vec<u8>,
    stopped: Vec<usize>,
    /// The tuner that a person wants back.
    freed: Option<u8>,
    throttled_before: Option<(Ms, Ms)>,
    throttled: bool,
    restarted: bool,
    records_full: bool,
    storm: bool,
}

/// The checker.
#[derive(Clone, Debug)]
pub struct Observer {
    spec: Spec,
    slots_len: usize,
    /// How late the pool may be told of a deadline.
    slack: Ms,
    now: Ms,
    draining: bool,
    facts: BoardFacts,
    channels: Vec<Channel>,
    /// From a channel's id to its place; 0 for none, else one more.
    places: Vec<u32>,
    attempts: Vec<Attempt>,
    viewers: Vec<Viewer>,
    /// For each slot: since when it is kept for somebody who controls it, and whose child it had last.
    held: Vec<Option<Ms>>,
    /// The child that need not linger, because a person wants its tuner back.
    freed: Option<(u8, u64)>,
    last_on: Vec<Option<usize>>,
    restarts: VecDeque<Ms>,
    /// Credit for spawns, in milliseconds, and when it was counted.
    credit: Ms,
    credit_at: Ms,
    last_generation: u64,
    /// Looks with ffprobe that were ordered and have not ended.
    looks: Vec<(u8, u64)>,
    /// When a restart was last told to be throttled, and until when.
    throttled: Option<(Ms, Ms)>,
    throttled_until: Ms,
    outage: bool,
    step: Step,
    /// Counts the steps.
    steps: u64,
    hits: u128,
    /// The first thing that was wrong.
    pub violation: Option<Violation>,
}

/// The number of a failure as a bit.
fn bit(failure: Failure) -> u32 {
    1 << (failure as u32)
}

impl Observer {
    /// Books of a pool of `slots_len` slots that was just made, and is told of deadlines at most `slack` late.
    pub fn new(spec: Spec, slots_len: usize, slack: Ms) -> Self {
        Self {
            spec,
            slots_len,
            slack,
            now: 0,
            draining: false,
            facts: BoardFacts::default(),
            channels: Vec::new(),
            places: Vec::new(),
            attempts: Vec::new(),
            viewers: Vec::new(),
            held: vec![None; slots_len],
            freed: None,
            last_on: vec![None; slots_len],
            restarts: VecDeque::new(),
            credit: spec.burst(slots_len) * spec.period,
            credit_at: 0,
            last_generation: 0,
            looks: Vec::new(),
            throttled: None,
            throttled_until: 0,
            outage: false,
            step: Step::default(),
            steps: 0,
            hits: 0,
            violation: None,
        }
    }

    /// Takes one event with all its effects, and judges.
    pub fn on(&mut self, now: Mono, event: &Event, effects: &[Effect]) {
        if now.0 < self.now {
            self.fault("time", || "time went backwards".to_owned());
        }
        self.now = now.0;
        self.steps += 1;
        self.step = Step { throttled_before: self.throttled, ..Step::default() };
        self.take(event);
        for effect in effects {
            if let Effect::Quarantine { slot, .. } = effect {
                self.step.quarantined.push(slot.0);
            }
        }
        for effect in effects {
            self.effect(effect);
        }
        // What only tells something is followed by what asks for something.
        if !matches!(event, Event::Facts(_) | Event::Heard { .. }) {
            self.after();
        } else if !effects.is_empty() {
            self.fault("API", || "something was answered to what only tells".to_owned());
        }
    }

    /// Adds what was reached since the last time to `counts`.
    pub fn count_into(&mut self, counts: &mut Counts) {
        let mut hits = std::mem::take(&mut self.hits);
        while hits != 0 {
            counts.hit(Point::ALL[hits.trailing_zeros() as usize]);
            hits &= hits - 1;
        }
    }

    /// The daemon was killed with all its children and viewers, and another was started that has read back what was
    /// written down. I25: it must know what the observer knows.
    pub fn daemon_crashed(&mut self, now: Mono) {
        self.now = now.0;
        for attempt in std::mem::take(&mut self.attempts) {
            let channel = &mut self.channels[attempt.channel];
            // A probe without a verdict.
            if matches!(channel.breaker, Breaker::Half { .. }) {
                channel.breaker = Breaker::Open { until: now.0, fatal: false };
            }
        }
        self.viewers.clear();
        self.held = vec![None; self.slots_len];
        self.looks.clear();
        self.last_generation = 0;
        self.facts = BoardFacts::default();
        (self.throttled, self.throttled_until) = (None, 0);
        self.outage = false;
        let period = self.spec.period;
        (self.credit, self.credit_at) = (period, now.0);
        let mut open = false;
        for channel in &mut self.channels {
            (channel.waiting, channel.admitted) = (0, 0);
            channel.unblocked_since = None;
            channel.acquiring_since = None;
            channel.childless_since = None;
            channel.throttled_since = None;
            channel.dry_since = None;
            channel.look_ended_at = None;
            // Use is not written down.
            (channel.asked_at, channel.used_at) = (0, 0);
            open |= matches!(channel.breaker, Breaker::Open { until, .. } if until > now.0);
        }
        self.hit(Point::Recall);
        if open {
            self.hit(Point::RecallOpen);
        }
    }

    fn hit(&mut self, point: Point) {
        self.hits |= 1 << point as u32;
    }

    /// Writes the first violation down.
    #[cold]
    fn fault(&mut self, rule: &'static str, text: impl FnOnce() -> String) {
        static EXCEPT: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
        let except = EXCEPT
            .get_or_init(|| std::env::var("PROOF_EXCEPT").unwrap_or_default().split(',').map(str::to_owned).collect());
        if except.iter().any(|it| it == rule) {
            return;
        }
        if self.violation.is_none() {
            self.violation = Some(Violation { rule, text: text(), at: self.now });
        }
    }

    fn place(&mut self, id: ChannelId) -> Option<usize> {
        self.places.get(id.0 as usize).and_then(|place| (*place as usize).checked_sub(1))
    }

    /// The place of a channel that may be new.
    fn place_or_new(&mut self, id: ChannelId, class: SourceClass, work: Work) -> usize {
        if let Some(place) = self.place(id) {
            return place;
        }
        if self.places.len() <= id.0 as usize {
            self.places.resize(id.0 as usize + 1, 0);
        }
        self.channels.push(Channel {
            id,
            class,
            work,
            breaker: Breaker::Closed,
            failures: Vec::new(),
            last_failure: None,
            last_restart: None,
            waiting: 0,
            admitted: 0,
            unblocked_since: None,
            acquiring_since: None,
            childless_since: None,
            throttled_since: None,
            dry_since: None,
            asked_at: 0,
            used_at: 0,
            look_ended_at: None,
            told: VecDeque::new(),
            checked_in: 0,
        });
        self.places[id.0 as usize] = self.channels.len() as u32;
        self.channels.len() - 1
    }

    // ---- What the specification says about the books ----------------------------------------------------------------

    /// B2: a failure counts while it is strictly younger than the window.
    fn failures_len(&self, channel: &Channel) -> usize {
        let window = self.spec.window(channel.class);
        channel.failures.iter().filter(|at| self.now - **at < window).count()
    }

    /// The kind that a spawn of this channel has now; `None` while a probe is out.
    fn kind(&self, channel: &Channel) -> Option<Kind> {
        match channel.breaker {
            Breaker::Half { .. } => None,
            Breaker::Open { .. } => Some(Kind::Probe),
            Breaker::Closed if self.failures_len(channel) > 0 => Some(Kind::Restart),
            Breaker::Closed => Some(Kind::Cold),
        }
    }

    /// R1: restarts in (now − 60 s, now].
    fn restarts_len(&self) -> usize {
        let window = self.spec.throttle_window;
        self.restarts.iter().filter(|at| self.now - **at < window).count()
    }

    /// When the throttle lets the next restart through.
    fn throttle_ready(&self) -> Ms {
        match self.restarts.len().checked_sub(self.spec.restarts) {
            Some(tenth_last) => self.restarts[tenth_last] + self.spec.throttle_window,
            None => 0,
        }
    }

    fn cooldown_until(&self, channel: &Channel) -> Ms {
        channel.last_restart.map_or(0, |at| at + self.spec.cooldown)
    }

    /// From when on breaker, cooldown and throttle let a spawn through; in the past when they do now.
    ///
    /// Also when the failures will be so old that the spawn is no restart any more.
    fn allowed_at(&self, channel: &Channel) -> Ms {
        let guarded = self.cooldown_until(channel).max(self.throttle_ready());
        match channel.breaker {
            Breaker::Open { until, .. } => until.max(guarded),
            // Its probe has ended or will: as if eligible already.
            Breaker::Half { .. } => guarded,
            Breaker::Closed if self.failures_len(channel) > 0 => {
                let newest = channel.failures.last().copied().unwrap_or(0);
                guarded.min(newest + self.spec.window(channel.class))
            }
            Breaker::Closed => 0,
        }
    }

    /// Memory that children have not grown into yet. `strict`: of those that are being ended as well.
    fn reserved_bytes(&self, strict: bool) -> u64 {
        let growing = self.attempts.iter().filter(|attempt| {
            let grown = attempt.first.is_some_and(|first| self.now >= first + self.spec.reservation);
            !grown && (strict || attempt.lives())
        });
        growing.map(|attempt| memory_bytes(attempt.work)).sum()
    }

    /// G7: why the board cannot carry one more; each reason that applies.
    fn shorts(&self, work: Work, strict: bool) -> impl Iterator<Item = Short> + use<> {
        let facts = &self.facts;
        let need = memory_bytes(work) + RESERVE_BYTES + self.reserved_bytes(strict);
        let memory = facts.memory_available_bytes.is_some_and(|available| available < need);
        let fds =
            u64::from(facts.fds_open) + u64::from(CHILD_FDS) + u64::from(RESERVE_FDS) > u64::from(facts.fds_limit);
        let heat = work.encodes() && facts.heat_milli_c.is_some_and(|heat| heat > HEAT_MILLI_C);
        let ffmpeg = !facts.ffmpeg_present;
        [(ffmpeg, Short::Ffmpeg), (memory, Short::Memory), (fds, Short::Fds), (heat, Short::Heat)]
            .into_iter()
            .filter_map(|(short, name)| short.then_some(name))
    }

    fn is_short(&self, work: Work, strict: bool) -> bool {
        self.shorts(work, strict).next().is_some()
    }

    /// Fills the credit up to now.
    fn refill(&mut self) {
        let full = self.spec.burst(self.slots_len) * self.spec.period;
        self.credit = full.min(self.credit + (self.now - self.credit_at));
        self.credit_at = self.now;
    }

    /// The child of a channel that is not lost in the kernel.
    fn attempt_of(&self, channel: usize) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.channel == channel && !attempt.quarantined)
    }

    fn attempt_mut(&mut self, slot: u8, generation: u64) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.generation == generation && attempt.slot == slot)
    }

    /// Slots that channels other than this one have a right to: those with viewers, and those lost in the kernel.
    fn slots_of_others(&self, channel: usize) -> usize {
        let watched = |(place, other): &(usize, &Channel)| *place != channel && other.viewers() > 0;
        let watched = if self.channels.len() <= 64 {
            self.channels.iter().enumerate().filter(watched).count()
        } else {
            let mut places: Vec<usize> =
                self.viewers.iter().map(|viewer| viewer.channel).filter(|place| *place != channel).collect();
            places.sort_unstable();
            places.dedup();
            places.len()
        };
        watched + self.attempts.iter().filter(|attempt| attempt.quarantined).count() + self.held_idle()
    }

    /// Slots that are kept for somebody and that nobody watches.
    fn held_idle(&self) -> usize {
        let is_idle = |slot: usize| {
            let on_it = |attempt: &&Attempt| usize::from(attempt.slot) == slot;
            self.attempts.iter().find(on_it).is_none_or(|attempt| self.channels[attempt.channel].viewers() == 0)
        };
        self.held.iter().enumerate().filter(|(slot, held)| held.is_some() && is_idle(*slot)).count()
    }

    fn is_held(&self, slot: u8) -> bool {
        self.held.get(usize::from(slot)).is_some_and(Option::is_some)
    }

    /// Whether another channel has viewers and no child: it needs a slot.
    fn somebody_needs_a_slot(&self, channel: usize) -> bool {
        self.viewers.iter().any(|viewer| {
            viewer.channel != channel && self.attempt_of(viewer.channel).is_none_or(|attempt| attempt.ended.is_some())
        })
    }

    // ---- For the explorer -------------------------------------------------------------------------------------------

    /// Hashes the books relative to now, each time cut off where it no longer matters.
    pub fn fingerprint(&self, hasher: &mut impl Hasher) {
        let (now, spec) = (self.now, &self.spec);
        let age = |at: Ms, most: Ms| (now - at.min(now)).min(most + 1);
        let ahead = |at: Ms| at.saturating_sub(now);
        self.draining.hash(hasher);
        (self.facts.memory_available_bytes, self.facts.ffmpeg_present).hash(hasher);
        for (place, channel) in self.channels.iter().enumerate() {
            match channel.breaker {
                Breaker::Closed => 0_u64.hash(hasher),
                Breaker::Open { until, fatal } => (1_u64, ahead(until), fatal).hash(hasher),
                Breaker::Half { since, .. } => {
                    let most = spec.start + spec.stable + spec.linger + spec.term + spec.silence_first;
                    (2_u64, age(since, most + 1)).hash(hasher);
                }
            }
            let window = spec.window(channel.class);
            for at in channel.failures.iter().filter(|at| now - **at < window) {
                age(*at, window).hash(hasher);
            }
            let silent = |failure| matches!(failure, Failure::StartTimeout | Failure::Stall | Failure::ProbeUnhealthy);
            channel.last_failure.map(silent).hash(hasher);
            ahead(self.cooldown_until(channel)).hash(hasher);
            (channel.waiting, channel.admitted, channel.work).hash(hasher);
            if channel.viewers() > 0 {
                let most = (self.slots_len as u64 + 1) * spec.period + spec.admission_retry;
                channel.unblocked_since.map(|at| age(at, most)).hash(hasher);
                let childless = channel.childless_since.filter(|_| self.attempt_of(place).is_none_or(|it| !it.lives()));
                childless.map(|at| age(at, spec.gap)).hash(hasher);
                channel.throttled_since.map(|at| age(at, spec.throttle_window)).hash(hasher);
                channel.dry_since.map(|at| age(at, spec.gap)).hash(hasher);
            }
            if let Some(every) = spec.probe_every {
                channel.look_ended_at.map(|at| ahead(at + every)).hash(hasher);
            }
        }
        for attempt in &self.attempts {
            (attempt.slot, attempt.channel, attempt.quarantined).hash(hasher);
            if attempt.quarantined {
                continue;
            }
            (attempt.ended.map(|at| age(at, spec.term)), attempt.killed.map(|at| age(at, spec.reap))).hash(hasher);
            (attempt.failed.is_some(), attempt.work).hash(hasher);
            if !attempt.lives() {
                continue;
            }
            attempt.first.map(|at| age(at, spec.stable)).hash(hasher);
            match attempt.first {
                None => {
                    let most = |waited: Ms| waited.min(spec.preempted);
                    (age(attempt.started, spec.start), most(attempt.waited), most(attempt.waited_in_all)).hash(hasher);
                }
                Some(_) => {
                    let silence = spec.silence(self.channels[attempt.channel].class);
                    (age(attempt.output_at, silence), age(attempt.picture_at, silence), attempt.stable).hash(hasher);
                    attempt.stable_since.map(|at| age(at, spec.admission_retry)).hash(hasher);
                    attempt.viewerless_since.map(|at| age(at, spec.linger)).hash(hasher);
                    attempt.short_since.map(|at| at <= attempt.output_at).hash(hasher);
                    attempt.unhealthy_since.map(|at| age(at, spec.unhealthy)).hash(hasher);
                    attempt.unhealthy_looks.min(spec.unhealthy_looks).hash(hasher);
                }
            }
        }
        for viewer in &self.viewers {
            (viewer.id, viewer.channel, viewer.tuner).hash(hasher);
            match viewer.admitted {
                None => age(viewer.asked, spec.tune).hash(hasher),
                Some((_, slot)) => {
                    let fed = self.attempt_of(viewer.channel).filter(|it| it.plays()).map_or(0, |it| it.output_at);
                    let most = spec.gap + spec.start + spec.silence_file + 5 * spec.admission_retry;
                    (slot, age(viewer.data_at.max(fed), most)).hash(hasher);
                }
            }
        }
        for at in self.restarts.iter().filter(|at| *at + spec.throttle_window > now) {
            ahead(at + spec.throttle_window).hash(hasher);
        }
        let full = spec.burst(self.slots_len) * spec.period;
        full.min(self.credit + (now - self.credit_at)).hash(hasher);
        self.looks.len().hash(hasher);
        self.held.iter().map(Option::is_some).for_each(|is_held| is_held.hash(hasher));
    }
}

/// G7.
fn memory_bytes(work: Work) -> u64 {
    match work {
        // The worlds here have children only.
        Work::Pull | Work::Copy => COPY_BYTES,
        Work::Sound => SOUND_BYTES,
        Work::Encode | Work::Transcode(_) => ENCODE_BYTES,
    }
}

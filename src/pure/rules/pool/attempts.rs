//! Children: their verdicts, their silence, the looks at their output, and their ends.
//!
//! An attempt gets at most one verdict, at the first event that deserves one; what its child does later on its way out
//! adds nothing. A start is never cut short without a verdict, or clients that zap away would launder dead sources.

use super::{Effect, Effects, Generation, Needs, Note, Phase, Pool, Refusal, Seat, SlotIndex};
use crate::limits::{GLANCE_EVERY_MS, GLANCE_REST_TIMES, PROBES_MAX, SWEEP_GRACE_MS, USAGE_ERROR_MS};
use crate::model::lineup::SourceClass;
use crate::rules::admission::{Short, Work};
use crate::rules::constants::Rules;
use crate::rules::failure::{End, Failure};
use crate::rules::gate::{Deny, GlancePermit, Kind, Wish};
use crate::rules::health::{Health, Looks, ProbeResult};
use crate::rules::pace::Pace;
use crate::time::Mono;
use core::hash::{Hash as _, Hasher};

/// How far a child's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Term,
    Kill,
}

/// One spawned child, while it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) generation: Generation,
    pub(super) wish: Wish,
    pub(super) kind: Kind,
    pub(super) started_at: Mono,
    /// Its first packet.
    pub(super) first_at: Option<Mono>,
    /// Its newest packet, and its newest piece of picture. Only bytes of the child move them.
    pub(super) output_at: Mono,
    picture_at: Mono,
    /// When these were last asked for.
    heard_at: Mono,
    /// It has its verdict, or will not get one.
    pub(super) judged: bool,
    pub(super) stable: bool,
    /// When to ask again whether it is stable.
    stable_check_at: Mono,
    /// Half of the allowed silence was told.
    warned: bool,
    /// The longest that somebody waited for its first packet, and left.
    pub(super) longest_wait_ms: u64,
    looks: Option<Looks>,
    /// When its next look may have a glance with it.
    glance_at: Mono,
    pub(super) pace: Pace,
    /// When to ask for it again, where that matters.
    pub(super) pace_look_at: Mono,
    /// The longest that it was ever silent between two packets.
    pub(super) silent_ms_max: u64,
}

impl Attempt {
    pub(super) fn begin(now: Mono, generation: Generation, wish: Wish, kind: Kind) -> Self {
        Self {
            generation,
            wish,
            kind,
            started_at: now,
            first_at: None,
            output_at: now,
            picture_at: now,
            heard_at: now,
            judged: false,
            stable: false,
            stable_check_at: now,
            warned: false,
            longest_wait_ms: 0,
            looks: None,
            glance_at: now,
            pace: Pace::default(),
            pace_look_at: now,
            silent_ms_max: 0,
        }
    }

    pub(super) fn health(&self) -> Health {
        match &self.looks {
            _ if self.warned => Health::Silent,
            Some(looks) => looks.health(),
            None => Health::Unknown,
        }
    }

    /// Whether it is a probe that has not shown yet whether its channel is well.
    pub(super) fn decides(&self) -> bool {
        self.kind == Kind::Probe && !self.stable
    }

    /// Whether its memory is still promised rather than taken.
    fn is_growing(&self, now: Mono, rules: &Rules) -> bool {
        self.first_at.is_none_or(|first_at| now < first_at.plus_ms(rules.reservation_ms))
    }

    pub(super) fn fingerprint(&self, now: Mono, rules: &Rules, hasher: &mut impl Hasher) {
        (self.wish.channel.0, self.wish.source, self.wish.work, self.kind as u8).hash(hasher);
        (self.judged, self.stable, self.warned).hash(hasher);
        match self.first_at {
            None => (now.ms_since(self.started_at), self.longest_wait_ms.min(rules.preempted_wait_ms)).hash(hasher),
            Some(first_at) => {
                let to_stable_ms = if self.stable { 0 } else { self.stable_check_at.ms_since(now) + 1 };
                let growing_ms = first_at.plus_ms(rules.reservation_ms).ms_since(now);
                let silent_ms = (now.ms_since(self.output_at), now.ms_since(self.picture_at));
                (to_stable_ms, growing_ms, silent_ms).hash(hasher);
                self.looks.map(|looks| looks.fingerprint(now)).hash(hasher);
            }
        }
    }
}

impl Pool {
    // ---- What children tell -------------------------------------------------------------------------------------------

    pub(super) fn output(&mut self, now: Mono, index: SlotIndex, generation: Generation, effects: &mut Effects) {
        let viewers_len = self.viewers_of(index);
        let (linger_ms, stable_ms, every_ms) = (self.rules.linger_ms, self.rules.stable_ms, self.rules.probe_every_ms);
        let Some((attempt, linger_until)) = self.running_mut(index, generation) else { return };
        if attempt.first_at.is_some() {
            return;
        }
        attempt.first_at = Some(now);
        (attempt.output_at, attempt.picture_at) = (now, now);
        attempt.stable_check_at = now.plus_ms(stable_ms);
        attempt.glance_at = now.plus_ms(GLANCE_EVERY_MS);
        if attempt.wish.class == SourceClass::Live {
            attempt.looks = every_ms.map(|every_ms| Looks::begin(now, every_ms));
        }
        *linger_until = (viewers_len == 0).then(|| now.plus_ms(linger_ms));
        self.slot_mut(index).since = now;
        self.give_picture(index, true, effects);
    }

    pub(super) fn heard(
        &mut self,
        now: Mono,
        index: SlotIndex,
        generation: Generation,
        (output_at, picture_at): (Mono, Mono),
    ) {
        let Some((attempt, _)) = self.running_mut(index, generation) else { return };
        attempt.heard_at = now;
        if attempt.first_at.is_some() && output_at.min(now) > attempt.output_at {
            attempt.output_at = output_at.min(now);
            attempt.warned = false;
        }
        if attempt.first_at.is_some() {
            attempt.picture_at = attempt.picture_at.max(picture_at.min(now));
        }
    }

    pub(super) fn unsuited(
        &mut self,
        now: Mono,
        index: SlotIndex,
        generation: Generation,
        needs: Needs,
        effects: &mut Effects,
    ) {
        let Some((attempt, _)) = self.running_mut(index, generation) else { return };
        let wish = attempt.wish;
        if attempt.first_at.is_some() {
            return;
        }
        let Wish { class, work, .. } = wish;
        let (class, work) = match needs {
            Needs::Work(needs) if work < needs => (class, needs),
            Needs::Work(_) => {
                self.fail(now, index, Failure::NotTs, effects);
                self.end_child(now, index, effects);
                return;
            }
            Needs::Alone(class) => (class, work.max(Work::Copy)),
        };
        // No fault of the source's: it only has to be treated otherwise.
        self.end_without_verdict(now, index, effects);
        let has_viewers = self.viewers_of(index) > 0;
        let slot = self.slot_mut(index);
        slot.plays = has_viewers.then_some(Wish { class, work, ..wish });
        if let Some(sources) = &mut slot.sources {
            sources.set(wish.source, class, work);
        }
    }

    pub(super) fn useless(
        &mut self,
        now: Mono,
        index: SlotIndex,
        generation: Generation,
        failure: Failure,
        effects: &mut Effects,
    ) {
        if self.running_mut(index, generation).is_some() {
            self.fail(now, index, failure, effects);
            self.end_child(now, index, effects);
        }
    }

    pub(super) fn exited(
        &mut self,
        now: Mono,
        index: SlotIndex,
        generation: Generation,
        end: End,
        effects: &mut Effects,
    ) {
        let has_viewers = self.viewers_of(index) > 0;
        if let Some((attempt, _)) = self.running_mut(index, generation) {
            // A file that ends before it was stable is as suspect as anything else.
            let is_over = end == End::Finished && attempt.wish.class == SourceClass::File && attempt.stable;
            let origin = attempt.wish.origin();
            match verdict(attempt, now, end, has_viewers) {
                Some(failure) if !is_over => {
                    self.fail(now, index, failure, effects);
                    if let End::Busy { retry_ms } = end {
                        self.gate.wait(now, origin, retry_ms);
                    }
                }
                _ => self.no_verdict(now, index, effects),
            }
            if is_over {
                self.dismiss(index, Refusal::NoVideo { retry_ms: 1_000 }, effects);
            }
        } else if !self.lives(index, generation) {
            return;
        }
        self.leave_account(now, index);
        self.child_is_gone(now, index, effects);
    }

    /// The kernel did not start it. That is a refusal for want of something, not a failure of the channel.
    pub(super) fn spawn_failed(&mut self, now: Mono, index: SlotIndex, generation: Generation, effects: &mut Effects) {
        if self.running_mut(index, generation).is_none() {
            return;
        }
        self.no_verdict(now, index, effects);
        self.refuse_waiting(now, index, Refusal::Short(Short::Memory), effects);
        self.child_is_gone(now, index, effects);
        let retry_ms = self.rules.admission_retry_ms;
        let slot = self.slot_mut(index);
        if let Phase::Waiting { retry_at } = &mut slot.phase {
            *retry_at = now.plus_ms(retry_ms);
            slot.denied = Some(Deny::Short(Short::Memory));
        }
    }

    // ---- Verdicts -----------------------------------------------------------------------------------------------------

    /// The running attempt of a slot fails. Its child, if it lives, is ended by the caller. When that opens the breaker,
    /// all viewers are sent away in this same step.
    fn fail(&mut self, now: Mono, index: SlotIndex, failure: Failure, effects: &mut Effects) {
        let Phase::Running { attempt, .. } = &mut self.slot_mut(index).phase else { return };
        assert!(!attempt.judged, "an attempt has one verdict");
        attempt.judged = true;
        let (wish, generation) = (attempt.wish, attempt.generation);
        let (origin, Wish { channel, source, .. }) = (wish.origin(), wish);
        let decides = attempt.decides();
        let opened = if !decides && self.gate.breakers().is_half_open(origin) {
            // Another slot has the source's probe.
            self.gate.fail_beside_probe(now, origin, failure);
            None
        } else {
            self.gate.fail(now, wish, failure)
        };
        let failures_len = self.gate.breakers().failures_len(now, origin);
        effects.note(Note::Failed { slot: index, generation, channel, source, failure, failures_len });
        if let Some(until) = opened {
            effects.note(Note::Opened { channel, source, failure, until });
            // While another source may play, nobody has to go.
            if let Some(Deny::Open { until, failure }) = self.why_none(now, index) {
                let refusal = Self::refusal_while_open(now, failure, until);
                self.dismiss(index, refusal, effects);
            }
        }
    }

    /// The running attempt of a slot ends, and nobody can say whether its source is good.
    fn no_verdict(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        let Phase::Running { attempt, .. } = &mut self.slot_mut(index).phase else { return };
        attempt.judged = true;
        let (origin, decides) = (attempt.wish.origin(), attempt.decides());
        if decides {
            self.gate.inconclusive(now, origin);
            effects.note(Note::Inconclusive { channel: origin.channel });
        }
    }

    /// Judges all living attempts by the clock: starts that took too long, silence, stability, lingering, and children
    /// that do not end. `by_the_clock`: what is known of their silence is news, for only then may it be held against them.
    pub(super) fn judge_attempts(&mut self, now: Mono, by_the_clock: bool, effects: &mut Effects) {
        for index in self.indices() {
            match self.slot_mut(index).phase {
                Phase::Running { ref attempt, linger_until } => {
                    let attempt = *attempt;
                    if let Some(failure) = self.overdue(now, index, &attempt).filter(|_| by_the_clock) {
                        self.fail(now, index, failure, effects);
                        self.end_child(now, index, effects);
                    } else if linger_until.is_some_and(|until| until <= now) {
                        self.end_without_verdict(now, index, effects);
                    } else {
                        self.judge_stable(now, index, effects);
                        self.look_at_pace(now, index);
                    }
                }
                Phase::Stopping { deadline, .. } if deadline <= now => self.climb(now, index, effects),
                _ => {}
            }
        }
    }

    /// Whether an attempt has been silent for too long.
    fn overdue(&self, now: Mono, index: SlotIndex, attempt: &Attempt) -> Option<Failure> {
        if self.silent_until(index, attempt) > now {
            return (attempt.pace.is_slow(now) && self.is_spare_ready(index, attempt, now)).then_some(Failure::Slow);
        }
        Some(if attempt.first_at.is_none() { Failure::StartTimeout } else { Failure::Stall })
    }

    /// When an attempt that stays as silent as it is has failed.
    fn silent_until(&self, index: SlotIndex, attempt: &Attempt) -> Mono {
        if attempt.first_at.is_none() {
            let is_spare_ready = self.is_spare_ready(index, attempt, attempt.started_at);
            let most_ms = if is_spare_ready { self.rules.failover_start_ms } else { self.rules.start_timeout_ms };
            return attempt.started_at.plus_ms(most_ms.min(self.rules.start_timeout_ms));
        }
        let silence_ms = self.silence_ms(index, attempt);
        // Packets without any picture in them are as good as silence, but not sooner than a live source's.
        let no_picture_ms = silence_ms.max(self.rules.silence_live_ms);
        attempt.output_at.plus_ms(silence_ms).min(attempt.picture_at.plus_ms(no_picture_ms))
    }

    /// The silence that is allowed: one quick retry while somebody watches is cheap, and a probe decides soon. A slow
    /// source must not be hammered, so later ones get all of their class.
    fn silence_ms(&self, index: SlotIndex, attempt: &Attempt) -> u64 {
        let of_class = self.rules.silence_ms(attempt.wish.class);
        let is_probe = attempt.decides();
        // As it was when the silence began: its limit must not change by age alone.
        let since = attempt.output_at.min(attempt.picture_at);
        let is_first = self.gate.breakers().failures_len(since, attempt.wish.origin()) == 0;
        if attempt.wish.class == SourceClass::Live && self.is_spare_ready(index, attempt, since) {
            return of_class.min(self.rules.silence_first_ms).min(self.failover_silence_ms(attempt));
        }
        if is_probe || is_first && self.viewers_of(index) > 0 {
            of_class.min(self.rules.silence_first_ms)
        } else {
            of_class
        }
    }

    fn judge_stable(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        let (fresh_ms, check_ms) = (self.rules.stable_fresh_ms, self.rules.stable_fresh_ms.div_ceil(5));
        let silent_until = match &self.slot_mut(index).phase {
            Phase::Running { attempt, .. } => {
                let attempt = *attempt;
                attempt.output_at.plus_ms(self.silence_ms(index, &attempt) / 2)
            }
            _ => return,
        };
        let Phase::Running { attempt, .. } = &mut self.slot_mut(index).phase else { return };
        if attempt.first_at.is_none() {
            return;
        }
        let (channel, origin) = (attempt.wish.channel, attempt.wish.origin());
        let mut notes = heapless::Vec::<Note, 3>::new();
        if !attempt.warned && silent_until <= now {
            attempt.warned = true;
            notes.push(Note::SilenceWarning { slot: index, channel }).unwrap_or_default();
        }
        if !attempt.stable && attempt.stable_check_at <= now {
            if attempt.output_at.plus_ms(fresh_ms) >= now {
                attempt.stable = true;
                notes.push(Note::Stable { slot: index, channel }).unwrap_or_default();
                if attempt.kind == Kind::Probe {
                    self.gate.close_breaker(origin);
                    notes.push(Note::Closed { channel }).unwrap_or_default();
                }
            } else {
                attempt.stable_check_at = now.plus_ms(check_ms);
            }
        }
        for note in notes {
            effects.note(note);
        }
    }

    /// When [`Pool::judge_attempts`] has something to say about a running attempt.
    pub(super) fn attempt_deadline(&self, index: SlotIndex, attempt: &Attempt) -> Mono {
        let mut at = self.silent_until(index, attempt);
        if attempt.first_at.is_some() {
            if !attempt.stable {
                at = at.min(attempt.stable_check_at);
            }
            if !attempt.warned {
                at = at.min(attempt.output_at.plus_ms(self.silence_ms(index, attempt) / 2));
            }
            at = at.min(self.forgiven_look_at(index, attempt).unwrap_or(at));
            if self.is_spare_ready(index, attempt, attempt.pace_look_at) {
                at = at.min(attempt.pace_look_at);
            }
        }
        at
    }

    /// Who falls silent when his last failure is forgotten has less time than if he had before; so has he who falls
    /// silent when another source is well again. Packets come without an event, so that it must be looked for.
    pub(super) fn forgiven_look_at(&self, index: SlotIndex, attempt: &Attempt) -> Option<Mono> {
        let sources = self.slot(index)?.sources.as_ref()?;
        let look_at = |wish: Wish| {
            let forgiven_at = self.gate.breakers().forgiven_at(wish.origin())?;
            let is_own = wish.source == attempt.wish.source;
            let silence_ms = if is_own { self.rules.silence_first_ms } else { self.failover_silence_ms(attempt) };
            Some(forgiven_at.plus_ms(silence_ms)).filter(|look_at| attempt.heard_at < *look_at)
        };
        sources.wishes().filter_map(look_at).min()
    }

    /// Looks whether a timer has missed what it should have seen. The rules would have acted on it in the same step,
    /// so whatever is found here is a bug, and is counted as one.
    pub(super) fn sweep(&mut self, now: Mono, effects: &mut Effects) {
        for index in self.indices() {
            let Phase::Running { attempt, .. } = self.slot_mut(index).phase else { continue };
            if self.silent_until(index, &attempt).plus_ms(SWEEP_GRACE_MS) <= now {
                effects.note(Note::SweepFound { slot: index });
            }
        }
        self.gate.tidy(now);
    }

    // ---- Ends ---------------------------------------------------------------------------------------------------------

    /// Nobody needs the running child any more, and that says nothing about its source.
    pub(super) fn end_without_verdict(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        self.no_verdict(now, index, effects);
        self.end_child(now, index, effects);
    }

    /// Another channel needs the slot of an attempt that nobody waits for. Whoever let it start and waited has shown
    /// that it gives nothing; whoever zapped on has not.
    pub(super) fn preempt(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        let Phase::Running { attempt, .. } = self.slot_mut(index).phase else { return };
        if attempt.first_at.is_none() && attempt.longest_wait_ms >= self.rules.preempted_wait_ms {
            self.fail(now, index, Failure::StartTimeout, effects);
            self.end_child(now, index, effects);
        } else {
            self.end_without_verdict(now, index, effects);
        }
    }

    /// Begins to end the child of a slot. Viewers who are still there hold on.
    pub(super) fn end_child(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        let Phase::Running { attempt, .. } = self.slot_mut(index).phase else { return };
        assert!(attempt.judged, "nothing is ended before it is known what that means");
        let deadline = now.plus_ms(self.rules.term_ms);
        self.set_phase(now, index, Phase::Stopping { attempt, stage: Stage::Term, deadline });
        effects.push(Effect::Terminate { slot: index, generation: attempt.generation });
        if self.viewers_of(index) == 0 {
            self.slot_mut(index).plays = None;
        } else {
            self.slot_mut(index).wanted_at = now;
            self.hold(now, index, effects);
            self.refuse_hopeless(now, index, effects);
        }
    }

    /// SIGTERM has not helped: SIGKILL. SIGKILL has not helped: the slot is given up.
    fn climb(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        let Phase::Stopping { attempt, stage, .. } = self.slot_mut(index).phase else { return };
        let (generation, account) = (attempt.generation, attempt.wish.account);
        match stage {
            Stage::Term => {
                let deadline = now.plus_ms(self.rules.reap_ms);
                self.slot_mut(index).phase = Phase::Stopping { attempt, stage: Stage::Kill, deadline };
                effects.push(Effect::Kill { slot: index, generation });
            }
            Stage::Kill => {
                self.dismiss(index, Refusal::SlotStuck, effects);
                self.free(now, index);
                self.set_phase(now, index, Phase::Quarantined { generation, account });
                effects.push(Effect::Quarantine { slot: index, generation });
            }
        }
    }

    /// The child of a slot is reaped: the slot is free, or waits for the next one.
    fn child_is_gone(&mut self, now: Mono, index: SlotIndex, effects: &mut Effects) {
        if self.slot(index).is_none_or(|slot| slot.plays.is_none()) || self.viewers_of(index) == 0 {
            self.free(now, index);
            return;
        }
        if matches!(self.slot_mut(index).phase, Phase::Running { .. }) {
            self.slot_mut(index).wanted_at = now;
        }
        self.enqueue(now, index);
        self.hold(now, index, effects);
        self.refuse_hopeless(now, index, effects);
    }

    pub(super) fn drain(&mut self, now: Mono, effects: &mut Effects) {
        self.gate.close();
        for index in self.indices() {
            self.dismiss(index, Refusal::Draining, effects);
            match self.slot_mut(index).phase {
                Phase::Running { .. } => self.end_without_verdict(now, index, effects),
                Phase::Waiting { .. } => self.free(now, index),
                Phase::Stopping { .. } => self.slot_mut(index).plays = None,
                Phase::Free | Phase::Quarantined { .. } => {}
            }
        }
    }

    // ---- Looks at the output ------------------------------------------------------------------------------------------

    /// The slot whose output is to be looked at next, and since when that is due.
    fn next_look(&self) -> Option<(Mono, SlotIndex)> {
        let of_slot = |(index, slot): (SlotIndex, &super::Slot)| match &slot.phase {
            Phase::Running { attempt, linger_until: None } => Some((attempt.looks?.due_at()?, index)),
            _ => None,
        };
        self.indexed().filter_map(of_slot).min()
    }

    pub(super) fn look_deadline(&self) -> Option<Mono> {
        if self.looks_running >= PROBES_MAX {
            return None;
        }
        self.next_look().map(|(due_at, _)| due_at.max(self.looks_rest_until))
    }

    /// Begins the look that is due longest. Those that are due while the prober is busy, or rests, are counted once
    /// and wait for their turn.
    pub(super) fn look(&mut self, now: Mono, effects: &mut Effects) {
        let Some(every_ms) = self.rules.probe_every_ms else { return };
        if self.look_deadline().is_some_and(|at| at <= now) {
            if let Some((_, index)) = self.next_look() {
                let permit = self.gate.permit_probe(&self.facts, self.reserved_bytes(now));
                let glance = permit.is_some().then(|| self.permit_glance(now, index)).flatten();
                if let Phase::Running { attempt, .. } = &mut self.slot_mut(index).phase {
                    let generation = attempt.generation;
                    let Some(looks) = &mut attempt.looks else { return };
                    if let Some(permit) = permit {
                        looks.began(now);
                        if glance.is_some() {
                            attempt.glance_at = now.plus_ms(GLANCE_EVERY_MS);
                        }
                        self.looks_running += 1;
                        self.is_glancing = glance.is_some();
                        self.looks_began_at = now;
                        effects.push(Effect::Probe { slot: index, generation, permit, glance });
                    } else {
                        looks.postpone(now, every_ms);
                        effects.note(Note::ProbeSkipped { slot: index });
                    }
                }
            }
        }
        for index in self.indices() {
            let Phase::Running { attempt, linger_until: None } = &mut self.slot_mut(index).phase else { continue };
            let Some(looks) = &mut attempt.looks else { continue };
            if !looks.was_skipped && looks.due_at().is_some_and(|due_at| due_at < now) {
                looks.was_skipped = true;
                effects.note(Note::ProbeSkipped { slot: index });
            }
        }
    }

    /// Permits a glance with the look that begins at a slot: when one is due and nobody else's for longer, while all of
    /// them together have taken no more than their share, and only where nobody waits for a start and nothing is tried.
    fn permit_glance(&self, now: Mono, index: SlotIndex) -> Option<GlancePermit> {
        let is_calm = |slot: &super::Slot| match slot.phase {
            Phase::Free | Phase::Quarantined { .. } => true,
            Phase::Running { ref attempt, .. } => attempt.first_at.is_some() && !attempt.decides(),
            Phase::Stopping { .. } => slot.plays.is_none(),
            Phase::Waiting { .. } => false,
        };
        let glance_at = |slot: &super::Slot| match &slot.phase {
            Phase::Running { attempt, linger_until: None } => attempt.looks.map(|_| attempt.glance_at),
            _ => None,
        };
        let longest_due = self.slots.iter().filter_map(glance_at).min();
        let is_due = longest_due.is_some_and(|at| at <= now) && self.slot(index).and_then(glance_at) == longest_due;
        let may_be = is_due && self.glances_rest_until <= now && self.slots.iter().all(is_calm);
        may_be.then(|| self.gate.permit_glance(&self.facts, self.reserved_bytes(now))).flatten()
    }

    pub(super) fn probed(
        &mut self,
        now: Mono,
        index: SlotIndex,
        generation: Generation,
        result: ProbeResult,
        effects: &mut Effects,
    ) {
        // The one that looked is free again, whatever became of what it looked at. It works half of the time at most.
        self.looks_running = self.looks_running.saturating_sub(1);
        let took_ms = now.ms_since(self.looks_began_at);
        self.looks_rest_until = now.plus_ms(took_ms);
        if core::mem::take(&mut self.is_glancing) {
            self.glances_rest_until = self.glances_rest_until.max(now.plus_ms(GLANCE_REST_TIMES * took_ms));
        }
        let rules = self.rules;
        let Some(every_ms) = rules.probe_every_ms else { return };
        let mut has_failed = false;
        if let Some((attempt, _)) = self.running_mut(index, generation) {
            if let Some(looks) = &mut attempt.looks {
                has_failed = looks.ended(now, result, every_ms, &rules);
            }
        }
        if has_failed {
            self.fail(now, index, Failure::ProbeUnhealthy, effects);
            self.end_child(now, index, effects);
        }
    }

    // ---- Looking things up --------------------------------------------------------------------------------------------

    /// The attempt, if it runs and was not judged yet.
    pub(super) fn running_mut(
        &mut self,
        index: SlotIndex,
        wanted: Generation,
    ) -> Option<(&mut Attempt, &mut Option<Mono>)> {
        match &mut self.slots.get_mut(usize::from(index.0))?.phase {
            Phase::Running { attempt, linger_until } if attempt.generation == wanted => Some((attempt, linger_until)),
            _ => None,
        }
    }

    /// Whether this child, on its way out or given up, is still to be reaped.
    fn lives(&self, index: SlotIndex, wanted: Generation) -> bool {
        self.slot(index).is_some_and(|slot| match slot.phase {
            Phase::Stopping { ref attempt, .. } => attempt.generation == wanted,
            Phase::Quarantined { generation, .. } => generation == wanted,
            Phase::Free | Phase::Waiting { .. } | Phase::Running { .. } => false,
        })
    }

    /// Memory promised to children that have not grown into it yet.
    pub(super) fn reserved_bytes(&self, now: Mono) -> u64 {
        let growing = self.slots.iter().filter_map(|slot| match &slot.phase {
            Phase::Running { attempt, .. } if attempt.is_growing(now, &self.rules) => {
                Some(attempt.wish.work.memory_bytes())
            }
            _ => None,
        });
        growing.sum()
    }

    /// Viewers of a slot who hold on without a picture.
    pub(super) fn held_on(&self, index: SlotIndex) -> usize {
        let holds = |viewer: &&super::Viewer| viewer.slot == index && matches!(viewer.seat, Seat::Held { .. });
        self.viewers.iter().filter(holds).count()
    }
}

/// What a child's end says about its source, when we did not ask for it.
fn verdict(attempt: &Attempt, now: Mono, end: End, has_viewers: bool) -> Option<Failure> {
    let told = match end {
        End::Clock | End::Encoder => return None,
        End::Plain | End::Finished => None,
        End::Failed(failure) => Some(failure),
        End::Busy { .. } => Some(Failure::Http),
    };
    match told {
        // Whatever it did before, it died of this.
        Some(failure @ (Failure::Crash | Failure::Limit | Failure::Oom)) => Some(failure),
        _ if attempt.stable => has_viewers.then_some(Failure::Disconnect),
        _ if attempt.first_at.is_some() => Some(Failure::EarlyExit),
        // A complaint about arguments comes at once, or it is about something else.
        Some(Failure::Config) if now.ms_since(attempt.started_at) >= USAGE_ERROR_MS => Some(Failure::EarlyExit),
        Some(failure) => Some(failure),
        None => Some(Failure::EarlyExit),
    }
}

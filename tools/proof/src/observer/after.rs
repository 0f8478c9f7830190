//! What must hold, or must have happened, when a step is over.

use super::{Attempt, Breaker, Due, Observer};
use crate::points::Point;
use crate::spec::{Ms, Spec};
use pure::model::lineup::SourceClass;
use pure::rules::breaker::{BreakerState, ChannelView};
use pure::rules::gate::Kind;
use pure::rules::pool::{SlotState, SlotView};

impl Observer {
    pub(super) fn after(&mut self) {
        self.mark_viewerless();
        self.check_storm();
        self.check_reaped();
        self.check_opened();
        for index in 0..self.attempts.len() {
            self.check_attempt(index);
        }
        self.check_slots();
        for index in 0..self.viewers.len() {
            self.check_viewer(index);
        }
    }

    /// Whether a moment has been missed: it has passed, and the pool was told that time has passed.
    fn missed(&self, at: Ms) -> bool {
        self.now > at + self.slack || (self.step.is_deadline && self.now >= at)
    }

    /// R3: the first denial after a quiet minute is a storm.
    fn check_storm(&mut self) {
        let told = self.step.throttled_before.map_or(0, |(_, until)| until).max(self.throttled_until);
        let quiet = told == 0 || self.now > told + self.spec.throttle_window;
        if self.step.throttled && quiet && !self.step.storm {
            let before = self.step.throttled_before;
            self.fault("R3", || format!("no storm, though the minute was quiet: {before:?}"));
        }
    }

    fn check_reaped(&mut self) {
        let Some(attempt) = self.step.reaped else { return };
        if attempt.due == Due::Must && attempt.failed.is_none() {
            self.fault("5-F", || format!("no failure was told: {attempt:?}"));
        }
        // I16 and I11: a probe's end leaves the breaker decided.
        let channel = &self.channels[attempt.channel];
        if matches!(channel.breaker, Breaker::Half { generation, .. } if generation == attempt.generation) {
            self.fault("I11", || format!("half open, and its probe is gone: {attempt:?}"));
        }
    }

    fn check_opened(&mut self) {
        for index in 0..self.step.opened.len() {
            let place = self.step.opened[index];
            let channel = &self.channels[place];
            let id = channel.id;
            if !self.step.opened_told.contains(&place) {
                self.fault("I3", || format!("{id:?} had enough failures, and did not open"));
            }
        }
        for index in 0..self.step.inconclusive.len() {
            let place = self.step.inconclusive[index];
            let half = self.attempt_of(place).is_some_and(|attempt| attempt.lives() && attempt.started < self.now);
            if half {
                let id = self.channels[place].id;
                self.fault("B9", || format!("{id:?} inconclusive while its probe lives"));
            }
        }
    }

    fn check_attempt(&mut self, index: usize) {
        let attempt = self.attempts[index];
        let (now, spec) = (self.now, self.spec);
        let place = attempt.channel;
        if attempt.due == Due::Must && attempt.failed.is_none() && attempt.lives() {
            self.fault("5-F", || format!("a failure was missed at {now}: {attempt:?}"));
        }
        if attempt.failed.is_some() && attempt.lives() {
            self.fault("5-F", || format!("failed, and not told to end: {attempt:?}"));
        }
        match (attempt.ended, attempt.killed) {
            (Some(ended), None) if self.missed(ended + spec.term) => {
                self.fault("5-K", || format!("no SIGKILL by {now}: {attempt:?}"));
            }
            (_, Some(killed)) if !attempt.quarantined && self.missed(killed + spec.reap) => {
                self.fault("5-K", || format!("not quarantined by {now}: {attempt:?}"));
            }
            _ => {}
        }
        if self.draining && attempt.lives() {
            self.fault("G9", || format!("lives on while draining: {attempt:?}"));
        }
        if !attempt.lives() {
            if !attempt.quarantined {
                self.check_half(&attempt);
            }
            return;
        }
        if let (Some(first), Some(since)) = (attempt.first, attempt.viewerless_since) {
            if self.missed(since.max(first) + spec.linger) {
                self.fault("I6", || format!("nobody watches at {now}, and it runs: {attempt:?}"));
            }
        }
        // 5-0: with a packet that fresh, it is stable. How often a source that stutters is looked at is not said; within
        // a second is soon enough.
        let stable_since = attempt.stable_since.filter(|_| self.may_be_stable(&attempt));
        if !attempt.stable && stable_since.is_some_and(|since| self.missed(since + spec.admission_retry)) {
            self.fault("5-0", || format!("not found stable at {now}: {attempt:?}"));
        }
        let since = self.may_be_stable(&attempt).then(|| stable_since.unwrap_or(now));
        self.attempts[index].stable_since = since;
        if attempt.stable && matches!(self.channels[place].breaker, Breaker::Half { .. }) {
            self.fault("B7", || format!("a stable probe left the breaker half open: {attempt:?}"));
        }
        self.check_half(&attempt);
    }

    /// B8 and I11.
    fn check_half(&mut self, attempt: &Attempt) {
        let Breaker::Half { generation, since } = self.channels[attempt.channel].breaker else { return };
        let spec = self.spec;
        let most = spec.start + spec.stable + spec.linger + spec.term + spec.silence_first;
        if self.missed(since + most + 1) {
            let now = self.now;
            self.fault("I11", || format!("half open from {since} to {now}: {attempt:?}"));
        }
        if generation != attempt.generation && !attempt.quarantined {
            self.fault("I11", || format!("half open for {generation}, and another one runs: {attempt:?}"));
        }
    }

    fn check_slots(&mut self) {
        if self.attempts.len() > self.slots_len {
            let len = self.attempts.len();
            self.fault("I4", || format!("{len} children"));
        }
        let places = self.step.opened.len();
        for index in 0..places {
            let place = self.step.opened[index];
            if self.channels[place].viewers() > 0 && matches!(self.channels[place].breaker, Breaker::Open { .. }) {
                let channel = self.channels[place].clone();
                self.fault("B4", || format!("viewers of an open channel: {channel:?}"));
            }
        }
    }

    fn check_viewer(&mut self, index: usize) {
        let viewer = self.viewers[index];
        let (now, spec) = (self.now, self.spec);
        let place = viewer.channel;
        let child = self.attempt_of(place).copied();
        let living = child.filter(Attempt::lives);
        if self.draining {
            self.fault("G9", || format!("still there while draining: {viewer:?}"));
        }
        let breaker = self.channels[place].breaker;
        if matches!(breaker, Breaker::Open { until, .. } if until > now) {
            self.fault("I9", || format!("holds on to an open channel: {viewer:?}, {breaker:?}"));
        }
        if viewer.admitted.is_none() {
            let deadline = viewer.asked + spec.tune;
            if self.missed(deadline) {
                self.fault("V1", || format!("no answer at {now}: {viewer:?}"));
            }
            match living {
                Some(attempt) if attempt.plays() => {
                    self.fault("V5", || format!("waits while it plays: {viewer:?}, {attempt:?}"));
                }
                Some(attempt) if matches!(breaker, Breaker::Half { .. }) && viewer.asked > attempt.started => {
                    self.hit(Point::JoinedProbe);
                }
                Some(_) => {}
                None => {
                    let channel = &self.channels[place];
                    let allowed_at = self.allowed_at(channel);
                    // What others do meanwhile may still put it off; that is seen when the gate is asked again.
                    let judged = viewer.asked == now || self.step.reaped.is_some_and(|it| it.channel == place);
                    if judged && !self.step.restarted && allowed_at > deadline {
                        let channel = channel.clone();
                        self.fault("V1 early", || {
                            format!("the next start is allowed at {allowed_at}: {viewer:?} waits in vain, {channel:?}")
                        });
                    }
                    if child.is_some() && viewer.asked == now {
                        self.hit(Point::JoinedStop);
                    }
                }
            }
        } else {
            let fed_at = living.filter(Attempt::plays).map_or(0, |attempt| attempt.output_at).max(viewer.data_at);
            let silence = spec.silence(self.channels[place].class);
            if now > fed_at + spec.gap + spec.start + silence + 5 * spec.admission_retry + self.slack {
                self.fault("I15", || format!("without data since {fed_at}: {viewer:?}, {child:?}"));
            }
        }
        self.check_demand(place, child, living);
    }

    /// A channel with viewers and no living child.
    fn check_demand(&mut self, place: usize, child: Option<Attempt>, living: Option<Attempt>) {
        let (now, spec) = (self.now, self.spec);
        if living.is_some() {
            let channel = &mut self.channels[place];
            channel.childless_since = None;
            channel.throttled_since = None;
            channel.unblocked_since = None;
            channel.acquiring_since = None;
            return;
        }
        let channel = &self.channels[place];
        if channel.checked_in == self.steps {
            return;
        }
        let since = channel.childless_since.unwrap_or(now);
        if channel.admitted > 0
            && channel.dry_since.is_some()
            && self.missed(since.max(self.reaped_at(child)) + spec.gap)
        {
            let channel = channel.clone();
            self.fault("5-V3", || format!("viewers without a living child for too long at {now}: {channel:?}"));
        }
        let channel = &self.channels[place];
        let guarded = matches!(self.kind(channel), Some(Kind::Restart | Kind::Probe));
        let throttled = guarded
            && self.restarts_len() >= spec.restarts
            && self.cooldown_until(channel) <= now
            && !matches!(channel.breaker, Breaker::Open { until, .. } if until > now);
        let stopping = self.attempts.iter().any(|it| !it.quarantined && !it.lives());
        let childless = self.viewers.iter().enumerate().filter(|(index, viewer)| {
            let first = self.viewers.iter().position(|other| other.channel == viewer.channel);
            first == Some(*index) && self.attempt_of(viewer.channel).is_none()
        });
        let free = !stopping && childless.count() + self.attempts.len() + self.held_idle() <= self.slots_len;
        let on_tuner = self.viewers.iter().any(|viewer| {
            let taken = |tuner| {
                usize::from(tuner) >= self.slots_len
                    || self.is_held(tuner)
                    || self.attempts.iter().any(|it| it.slot == tuner)
            };
            viewer.channel == place && viewer.tuner.is_some_and(taken)
        });
        let blocked = self.draining
            || self.allowed_at(channel) > now
            || throttled
            || !free
            || on_tuner
            || self.is_short(channel.work, true)
            || self.records_full();
        // A1: slot and token; whoever is refused by anything else does not acquire, nor while its old child is ended, for
        // which 5-K has limits of its own.
        let acquires =
            self.allowed_at(channel) <= now && !throttled && !self.is_short(channel.work, true) && child.is_none();
        // It begins when nothing has to end for it any more.
        let begins = Some(now).filter(|_| !stopping);
        let acquiring_since = channel.acquiring_since.or(begins).filter(|_| acquires);
        if acquiring_since.is_some_and(|since| self.missed(since + spec.acquire + 1)) {
            let channel = channel.clone();
            self.fault("I18", || format!("an acquisition goes on at {now}: {channel:?}"));
        }
        let channel = &self.channels[place];
        let most = (self.slots_len as u64 + 1) * spec.period + spec.admission_retry + self.slack;
        let late = channel.unblocked_since.is_some_and(|since| !blocked && now > since + most);
        if late {
            let channel = channel.clone();
            self.fault("I8", || format!("nothing denies, and no start at {now}: {channel:?}"));
        }
        if throttled {
            // It may not be told again of a wait that goes on.
            let until = self.throttle_ready();
            self.throttled_until = self.throttled_until.max(until);
        }
        let steps = self.steps;
        let channel = &mut self.channels[place];
        channel.checked_in = steps;
        channel.acquiring_since = acquiring_since;
        channel.childless_since = Some(since);
        channel.unblocked_since = if blocked { None } else { channel.unblocked_since.or(Some(now)) };
        // Who waits for a slot's old child as well is not in the queue yet.
        channel.throttled_since =
            if throttled && free && !on_tuner { channel.throttled_since.or(Some(now)) } else { None };
    }

    /// For a child that is being ended: it is still there.
    fn reaped_at(&self, child: Option<Attempt>) -> Ms {
        child.map_or(0, |_| self.now)
    }

    // ---- What the pool shows ------------------------------------------------------------------------------------------

    /// Whether what the pool shows of its channels and slots is what the books say.
    pub fn compare(&mut self, channels: impl Iterator<Item = ChannelView>, slots: impl Iterator<Item = SlotView>) {
        let mut seen = 0;
        for view in channels {
            let Some(place) = self.place(view.channel) else {
                self.fault("view", || format!("nobody asked for {view:?}"));
                continue;
            };
            let channel = &self.channels[place];
            let failures_len = self.failures_len(channel).min(Spec::PLAN.failures);
            let state = match channel.breaker {
                Breaker::Closed => BreakerState::Closed,
                Breaker::Open { .. } => BreakerState::Open,
                Breaker::Half { .. } => BreakerState::HalfOpen,
            };
            let until = match channel.breaker {
                Breaker::Open { until, .. } => Some(until),
                _ => None,
            };
            let told_until = view.open_until.map(|at| at.0);
            // Whoever is eligible already may be shown with any time in the past.
            let same_until = told_until == until
                || until.is_none_or(|at| at <= self.now) && told_until.is_none_or(|at| at <= self.now);
            let cooldown = Some(self.cooldown_until(channel)).filter(|at| *at > self.now);
            let same_cooldown = view.restart_at.map(|at| at.0).filter(|at| *at > self.now) == cooldown;
            if state != view.state || failures_len != view.failures_len || !same_until || !same_cooldown {
                let channel = channel.clone();
                self.fault("view", || format!("{view:?}, but by the books {channel:?}, {failures_len} failures"));
            }
            seen += usize::from(state != BreakerState::Closed);
        }
        let not_closed = self.channels.iter().filter(|channel| channel.breaker != Breaker::Closed).count();
        if seen != not_closed {
            self.fault("view", || format!("{seen} channels are shown as not closed, {not_closed} are"));
        }
        let mut viewers_len = 0;
        for view in slots {
            viewers_len += view.viewers;
            let child = self.attempts.iter().find(|it| it.slot == view.slot.0).copied();
            let right = match view.state {
                SlotState::Free => child.is_none(),
                SlotState::Waiting => child.is_none_or(|it| !it.lives()),
                SlotState::Starting => child.is_some_and(|it| it.lives() && it.first.is_none()),
                SlotState::Playing => child.is_some_and(|it| it.plays()),
                SlotState::Stopping => child.is_some_and(|it| !it.lives()),
                SlotState::Quarantined => child.is_some_and(|it| it.quarantined),
            };
            if !right {
                self.fault("view", || format!("{view:?}, but its child is {child:?}"));
            }
        }
        if viewers_len != self.viewers.len() {
            let len = self.viewers.len();
            self.fault("view", || format!("{viewers_len} viewers are shown, {len} are there"));
        }
    }

    /// I25 after [`Observer::daemon_crashed`]: no restart was forgotten.
    pub fn compare_ledger(&mut self, restarts_in_window: usize) {
        let own = self.restarts_len();
        if restarts_in_window < own {
            self.fault("I25", || format!("{restarts_in_window} restarts are remembered of {own}"));
        }
    }

    /// I21: nothing is left.
    pub fn check_given_back(&mut self) {
        let (attempts, viewers) = (self.attempts.len(), self.viewers.len());
        if attempts + viewers > 0 {
            self.fault("I21", || format!("{attempts} children and {viewers} viewers are left"));
        }
    }

    /// Whether no viewer is there, and since when nobody was: `None` while somebody is.
    pub fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// Whether every child that is left was lost in the kernel.
    pub fn is_quiet(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.quarantined)
    }

    /// I17: the most state changes that were told of one channel in a minute, as of now.
    pub fn told_most(&self) -> usize {
        self.channels.iter().map(|channel| channel.told.len()).max().unwrap_or(0)
    }

    /// The class that a channel was last asked with.
    pub fn class_of(&self, place: usize) -> Option<SourceClass> {
        self.channels.get(place).map(|channel| channel.class)
    }
}

//! Whether an effect, or a note, was right.

use super::{Attempt, Breaker, Channel, Due, Observer, Viewer, bit};
use crate::points::Point;
use crate::spec::{Ms, RECORDS_MIN, Spec};
use pure::model::lineup::SourceClass;
use pure::rules::admission::{Short, Work};
use pure::rules::failure::Failure;
use pure::rules::gate::{Deny, Kind};
use pure::rules::pool::{Effect, Note, Refusal};

impl Observer {
    // ---- Notes ----------------------------------------------------------------------------------------------------------

    pub(super) fn note(&mut self, note: &Note) {
        match *note {
            Note::Failed { slot, generation, channel, failure, failures_len, .. } => {
                self.hit(failure_point(failure));
                let reaped = self.step.reaped.as_mut().filter(|it| it.generation == generation.0 && it.slot == slot.0);
                let found = match reaped {
                    Some(attempt) => Some(attempt),
                    None => self.attempts.iter_mut().find(|it| it.generation == generation.0 && it.slot == slot.0),
                };
                let Some(attempt) = found else {
                    self.fault("I10", || format!("{failure:?} of {generation:?}, which does not live"));
                    return;
                };
                let before = *attempt;
                attempt.failed = Some(failure);
                let place = before.channel;
                if before.failed.is_some() || !before.lives() {
                    self.fault("I10", || format!("{failure:?} is a second verdict on {before:?}"));
                }
                if self.channels[place].id != channel {
                    self.fault("I10", || format!("{failure:?} of {before:?} was told of {channel:?}"));
                }
                let preempted = failure == Failure::StartTimeout
                    && before.first.is_none()
                    && self.channels[place].viewers() == 0
                    && before.waited_in_all >= self.spec.preempted
                    && self.somebody_needs_a_slot(place);
                let expected = before.due != Due::No && before.allowed & bit(failure) != 0;
                if !expected && !preempted {
                    let now = self.now;
                    self.fault("5-F", || format!("{failure:?} at {now} is not due: {before:?}"));
                }
                if failure == Failure::Stall && expected {
                    let short = self.now < before.last() + self.spec.silence(self.channels[place].class);
                    self.hit(if short { Point::StallFirst } else { Point::StallClass });
                }
                self.count_failure(place, before.generation, failure);
                let own = self.failures_len(&self.channels[place]).min(Spec::PLAN.failures);
                if own != failures_len {
                    self.fault("B2", || format!("{failures_len} failures in the window, and by own count {own}"));
                }
                self.tell_of(place);
            }
            Note::Opened { channel, until, .. } => {
                let now = self.now;
                match self.place(channel) {
                    Some(place) if self.step.opened.contains(&place) => {
                        self.step.opened_told.push(place);
                        if until.0 != now + self.spec.open {
                            self.fault("B5", || format!("opened at {now} until {until:?}"));
                        }
                        self.tell_of(place);
                    }
                    _ => self.fault("I3", || format!("{channel:?} opened without cause")),
                }
            }
            Note::Closed { channel } => {
                let Some(place) = self.place(channel) else { return };
                let breaker = self.channels[place].breaker;
                let Breaker::Half { generation, .. } = breaker else {
                    self.fault("B7", || format!("{channel:?} closed from {breaker:?}"));
                    return;
                };
                let probe = self.attempts.iter().copied().find(|attempt| attempt.generation == generation);
                if !probe.is_some_and(|attempt| self.may_be_stable(&attempt)) {
                    self.fault("B7", || format!("{channel:?} closed by a probe that is not stable: {probe:?}"));
                }
                self.channels[place].breaker = Breaker::Closed;
                self.channels[place].failures.clear();
                self.hit(Point::Closed);
                self.tell_of(place);
            }
            Note::Inconclusive { channel } => {
                let Some(place) = self.place(channel) else { return };
                let breaker = self.channels[place].breaker;
                let Breaker::Half { generation, .. } = breaker else {
                    self.fault("B9", || format!("{channel:?} inconclusive from {breaker:?}"));
                    return;
                };
                let reaped = self.step.reaped.filter(|attempt| attempt.generation == generation);
                let probe = self.attempts.iter().copied().find(|attempt| attempt.generation == generation).or(reaped);
                if probe.is_none_or(|attempt| attempt.failed.is_some() || attempt.due == Due::Must) {
                    self.fault("B9", || format!("{channel:?} inconclusive with a verdict: {probe:?}"));
                }
                self.channels[place].breaker = Breaker::Open { until: self.now, fatal: false };
                self.step.inconclusive.push(place);
                self.hit(Point::Inconclusive);
                self.tell_of(place);
            }
            Note::Stable { slot, channel } => {
                let place = self.place(channel);
                let found = self.attempts.iter().position(|it| it.slot == slot.0 && it.lives() && !it.quarantined);
                let right = found
                    .map(|index| self.attempts[index])
                    .filter(|attempt| !attempt.stable && Some(attempt.channel) == place && self.may_be_stable(attempt));
                match (right, found) {
                    (Some(_), Some(index)) => {
                        self.attempts[index].stable = true;
                        self.hit(Point::Stable);
                    }
                    _ => self.fault("5-0", || format!("{channel:?} on {slot:?} is not stable")),
                }
                if let Some(place) = place {
                    self.tell_of(place);
                }
            }
            Note::Denied { channel, deny } => self.denied(channel, deny),
            Note::Acquired { waited_ms, .. } => {
                if waited_ms > 0 {
                    self.hit(Point::Acquired);
                }
            }
            Note::AcquireTimeout { channel } => {
                self.hit(Point::AcquireTimeout);
                if let Some(place) = self.place(channel) {
                    self.step.timed_out.push(place);
                }
            }
            Note::Storm => {
                self.hit(Point::Storm);
                let before = self.step.throttled_before;
                let quiet = before.is_none_or(|(at, _)| self.now - at >= self.spec.throttle_window);
                let again = std::mem::replace(&mut self.step.storm, true);
                if again {
                    self.fault("R3", || "one storm was told twice".to_owned());
                } else if self.restarts_len() < self.spec.restarts {
                    let len = self.restarts_len();
                    self.fault("R3", || format!("a storm with {len} restarts in a minute"));
                } else if !quiet {
                    self.fault("R3", || format!("a second storm; a restart was throttled {before:?}"));
                }
            }
            Note::SilenceWarning { slot, channel } => {
                self.hit(Point::SilenceWarning);
                let now = self.now;
                let half = self.spec.silence_first.min(self.spec.silence_live) / 2;
                let right = self.attempts.iter().any(|it| it.slot == slot.0 && it.plays() && now >= it.last() + half);
                if !right {
                    self.fault("W3", || format!("{channel:?} on {slot:?} is not silent"));
                }
            }
            Note::ProbeSkipped { .. } => self.hit(Point::LookSkipped),
            Note::SweepFound { slot } => {
                self.fault("W1", || format!("the sweep found on {slot:?} what a timer had missed"));
            }
            Note::Outage(on) => self.outage_told(on),
        }
    }

    /// I17.
    fn tell_of(&mut self, place: usize) {
        let now = self.now;
        let minute = self.spec.throttle_window;
        let told = &mut self.channels[place].told;
        while told.front().is_some_and(|at| now - at >= minute) {
            told.pop_front();
        }
        told.push_back(now);
    }

    fn count_failure(&mut self, place: usize, generation: u64, failure: Failure) {
        let now = self.now;
        // By the longest window: the source may be of another class tomorrow.
        let window = self.spec.window(SourceClass::File);
        let channel = &mut self.channels[place];
        channel.failures.retain(|at| now - *at < window);
        channel.failures.push(now);
        channel.last_failure = Some(failure);
        let failures_len = self.failures_len(&self.channels[place]);
        let channel = &mut self.channels[place];
        let fatal = matches!(failure, Failure::Config | Failure::Policy);
        let opens = match channel.breaker {
            Breaker::Closed => fatal || failures_len >= self.spec.failures,
            Breaker::Half { generation: probe, .. } if probe == generation => true,
            breaker => {
                self.fault("F2", || format!("a failure of {generation} while {breaker:?}"));
                return;
            }
        };
        if opens {
            let again = matches!(channel.breaker, Breaker::Half { .. });
            channel.breaker = Breaker::Open { until: now + self.spec.open, fatal };
            self.step.opened.push(place);
            self.hit(if again { Point::Reopened } else { Point::Opened });
        }
    }

    /// 5-0.
    pub(super) fn may_be_stable(&self, attempt: &Attempt) -> bool {
        attempt.plays()
            && attempt.first.is_some_and(|first| self.now >= first + self.spec.stable)
            && self.now <= attempt.output_at + self.spec.fresh
    }

    /// A denial must give the first reason in the gate's order, and the right time.
    fn denied(&mut self, id: pure::model::lineup::ChannelId, deny: Deny) {
        self.hit(match deny {
            Deny::Draining => Point::DenyDraining,
            Deny::Open { .. } => Point::DenyOpen,
            Deny::Cooldown { .. } => Point::DenyCooldown,
            Deny::Throttled { .. } => Point::DenyThrottled,
            Deny::RecordsFull => Point::DenyRecords,
            Deny::Short(Short::Ffmpeg) => Point::DenyFfmpeg,
            Deny::Short(Short::Memory) => Point::DenyMemory,
            Deny::Short(Short::Fds) => Point::DenyFds,
            Deny::Short(Short::Heat) => Point::DenyHeat,
            // Never here: nobody has an account.
            Deny::Token { .. } | Deny::AccountFull => Point::DenyToken,
        });
        let Some(place) = self.place(id) else { return };
        let channel = &self.channels[place];
        let guarded = matches!(self.kind(channel), Some(Kind::Restart | Kind::Probe));
        let now = self.now;
        let open_until = match channel.breaker {
            Breaker::Open { until, .. } if until > now => Some(until),
            _ => None,
        };
        let cooldown = Some(self.cooldown_until(channel)).filter(|until| guarded && *until > now);
        let throttle = Some(self.throttle_ready()).filter(|until| guarded && *until > now);
        let right = match deny {
            Deny::Draining => self.draining,
            _ if self.draining => false,
            Deny::Open { until, .. } => open_until == Some(until.0),
            _ if open_until.is_some() => false,
            // Admission is final at once (A1): whoever could wait for the others need not.
            Deny::Short(short) => self.shorts(channel.work, true).any(|own| own == short),
            Deny::Cooldown { until } => cooldown == Some(until.0),
            _ if cooldown.is_some() => false,
            Deny::Throttled { until } => throttle == Some(until.0),
            _ if throttle.is_some() => false,
            Deny::RecordsFull => self.records_full(),
            Deny::AccountFull => false,
            Deny::Token { ready_at } => {
                let lacks = self.spec.period.saturating_sub(self.credit + (now - self.credit_at));
                lacks > 0 && ready_at.0 == now + lacks
            }
        };
        if !right {
            let state = format!(
                "{deny:?} at {now}, but: open {open_until:?}, cooldown {cooldown:?}, throttle {throttle:?}, \
                 draining {}, credit {} at {}",
                self.draining, self.credit, self.credit_at
            );
            self.fault("G2", || state);
        }
        if let (Deny::Short(Short::Memory), Some(available)) = (deny, self.facts.memory_available_bytes) {
            let work = self.channels[place].work;
            if available >= super::memory_bytes(work) + crate::spec::RESERVE_BYTES {
                self.hit(Point::ReservationCounts);
            }
        }
        self.step.records_full |= deny == Deny::RecordsFull;
        if let Deny::Throttled { until } = deny {
            self.step.throttled = true;
            let most = self.throttled.map_or(until.0, |(_, most)| most.max(until.0));
            self.throttled = Some((now, most));
        }
    }

    /// Whether as many channels are ill as can be remembered; some places are kept for those that run.
    pub(super) fn records_full(&self) -> bool {
        let ill = |channel: &&Channel| {
            channel.breaker != Breaker::Closed
                || self.failures_len(channel) > 0
                || self.cooldown_until(channel) > self.now
        };
        self.channels.len() >= RECORDS_MIN && self.channels.iter().filter(ill).count() >= RECORDS_MIN
    }

    /// B12: half of those used lately rest, and at least three were used.
    fn outage_told(&mut self, on: bool) {
        self.hit(if on { Point::OutageOn } else { Point::OutageOff });
        if on == self.outage {
            self.fault("B12", || format!("outage {on} was told twice"));
        }
        self.outage = on;
        let now = self.now;
        // Whether a question that was refused at once is use is not said, nor whether a use ends with the child or with those who hold on.
        let (mut surely, mut maybe) = ([0, 0], [0, 0]);
        for channel in &self.channels {
            let rests = usize::from(channel.breaker != Breaker::Closed);
            if channel.viewers() > 0 || now - channel.used_at < 500_000 {
                surely[rests] += 1;
            } else if now - channel.used_at.max(channel.asked_at) < 630_000 {
                maybe[rests] += 1;
            }
        }
        let most = surely[1] + maybe[1];
        let can_be_on = most >= surely[0] && most + surely[0] + maybe[0] >= 3;
        let can_be_off = surely[1] < surely[0] + maybe[0] || surely[1] + surely[0] < 3;
        if on && !can_be_on || !on && !can_be_off {
            self.fault("B12", || format!("outage {on}, with [not resting, resting] {surely:?}, perhaps {maybe:?}"));
        }
    }

    // ---- Effects --------------------------------------------------------------------------------------------------------

    pub(super) fn effect(&mut self, effect: &Effect) {
        match *effect {
            Effect::Start { slot, generation, channel, work, kind, continues, .. } => {
                let Some(place) = self.place(channel) else {
                    self.fault("I6", || format!("{channel:?} was started, and nobody asked for it"));
                    return;
                };
                self.started(slot.0, generation.0, place, work, kind, continues);
            }
            Effect::Terminate { slot, generation } => self.terminated(slot.0, generation.0),
            Effect::Kill { slot, generation } => {
                self.hit(Point::Kill);
                let (now, term) = (self.now, self.spec.term);
                match self.attempt_mut(slot.0, generation.0) {
                    Some(attempt) if attempt.killed.is_none() && attempt.ended.is_some_and(|at| now >= at + term) => {
                        attempt.killed = Some(now);
                    }
                    other => {
                        let text = format!("SIGKILL to {generation:?} on {slot:?} at {now}: {other:?}");
                        self.fault("I13", || text);
                    }
                }
            }
            Effect::Quarantine { slot, generation } => {
                self.hit(Point::Quarantine);
                let (now, reap) = (self.now, self.spec.reap);
                match self.attempt_mut(slot.0, generation.0) {
                    Some(attempt) if !attempt.quarantined && attempt.killed.is_some_and(|at| now >= at + reap) => {
                        attempt.quarantined = true;
                    }
                    other => {
                        let text = format!("quarantine of {generation:?} on {slot:?} at {now}: {other:?}");
                        self.fault("5-K", || text);
                    }
                }
            }
            Effect::Admit { viewer, slot, from_start } => {
                let now = self.now;
                let Some(index) = self.viewers.iter().position(|entry| entry.id == viewer.0) else {
                    self.fault("I9", || format!("{viewer:?} was admitted and is not there"));
                    return;
                };
                let place = self.viewers[index].channel;
                let child = self.attempts.iter().find(|it| it.slot == slot.0 && it.plays()).copied();
                let right = child.is_some_and(|it| {
                    it.channel == place && from_start == (it.first == Some(now) && self.step.asked != Some(viewer.0))
                });
                if self.viewers[index].admitted.is_some() || !right {
                    self.fault("I9", || format!("{viewer:?} admitted to {slot:?}, from start {from_start}: {child:?}"));
                }
                self.viewers[index].admitted = Some((now, slot.0));
                self.viewers[index].data_at = now;
                self.channels[place].waiting -= 1;
                self.channels[place].admitted += 1;
                if !from_start {
                    self.hit(Point::Joined);
                }
            }
            Effect::Refuse { viewer, refusal } => {
                let Some(index) = self.viewers.iter().position(|entry| entry.id == viewer.0) else {
                    self.fault("I9", || format!("{viewer:?} was refused and is not there"));
                    return;
                };
                let entry = self.viewers[index];
                if entry.admitted.is_some() {
                    self.fault("I9", || format!("{viewer:?} was refused while he plays"));
                }
                if let Err(why) = self.justify(entry, refusal) {
                    let now = self.now;
                    let rule = if why.starts_with("the next restart") { "5-V retry" } else { "5-V" };
                    let channel = self.channels[entry.channel].clone();
                    let attempt = self.attempt_of(entry.channel).copied();
                    self.fault(rule, || {
                        format!("{refusal:?} at {now} for {entry:?}: {why}; channel {channel:?}, child {attempt:?}")
                    });
                }
                self.forget(index);
            }
            Effect::Close { viewer, slot } => {
                let Some(index) = self.viewers.iter().position(|entry| entry.id == viewer.0) else {
                    self.fault("I9", || format!("{viewer:?} was closed and is not there"));
                    return;
                };
                let entry = self.viewers[index];
                let now = self.now;
                let channel = &self.channels[entry.channel];
                let starts = self.attempt_of(entry.channel).is_some_and(Attempt::lives);
                let gap_over = !starts && channel.dry_since.is_some_and(|since| now >= since + self.spec.gap);
                let right = self.draining
                    || self.step.opened.contains(&entry.channel)
                    || self.step.timed_out.contains(&entry.channel)
                    || self.step.spawn_failed == Some(entry.channel)
                    || self.step.clock_end == Some(entry.channel)
                    || self.step.finished == Some(entry.channel)
                    || self.step.quarantined.contains(&slot.0)
                    || self.step.freed == Some(slot.0)
                    || gap_over;
                if entry.admitted.is_none() || !right {
                    let text =
                        format!("{viewer:?} was closed on {slot:?} at {now} without cause: {entry:?}, {channel:?}");
                    self.fault("5-V3", || text);
                }
                if gap_over && !self.draining {
                    self.hit(Point::GapClosed);
                }
                self.forget(index);
            }
            Effect::Gap { slot } => {
                self.hit(Point::GapOpened);
                let now = self.now;
                let ended = self
                    .attempts
                    .iter_mut()
                    .chain(self.step.reaped.as_mut())
                    .find(|it| it.slot == slot.0 && !it.gap_told && (it.ended == Some(now) || it.ended.is_none()));
                match ended {
                    Some(attempt) => attempt.gap_told = true,
                    None => self.fault("5-V3", || format!("a gap on {slot:?}, where no child ended")),
                }
            }
            Effect::Probe { slot, generation, .. } => self.looked(slot.0, generation.0),
            Effect::Note(ref note) => self.note(note),
        }
    }

    fn started(&mut self, slot: u8, generation: u64, place: usize, work: Work, kind: Kind, continues: bool) {
        let now = self.now;
        self.hit(match kind {
            Kind::Cold => Point::Cold,
            Kind::Restart => Point::Restart,
            Kind::Probe => Point::Probe,
        });
        let about = format_args!("start of {generation} for place {place} on slot {slot} at {now}").to_string();
        if self.draining {
            self.fault("G9", || format!("{about} while draining"));
        }
        if generation <= self.last_generation {
            self.fault("5-0", || format!("{about}: the number was used"));
        }
        self.last_generation = self.last_generation.max(generation);
        if usize::from(slot) >= self.slots_len || self.attempts.iter().any(|it| it.slot == slot) {
            self.fault("I4", || format!("{about}: the slot is not free"));
        }
        if self.attempt_of(place).is_some() {
            self.fault("I4", || format!("{about}: a second child of the channel"));
        }
        // Whoever was there before may go on there; nobody else's channel goes to a tuner that is kept.
        if let Some(since) = self.held.get(usize::from(slot)).copied().flatten() {
            let before = self.viewers.iter().any(|viewer| viewer.channel == place && viewer.asked <= since);
            if !before && self.last_on[usize::from(slot)] != Some(place) {
                self.fault("hold", || format!("{about}: it is kept since {since}"));
            }
        }
        if let Some(last) = self.last_on.get_mut(usize::from(slot)) {
            *last = Some(place);
        }
        let channel = &self.channels[place];
        let (waiting, admitted) = (channel.waiting, channel.admitted);
        if waiting + admitted == 0 {
            self.fault("I6", || format!("{about}: nobody watches"));
        }
        if continues != (admitted > 0) {
            self.fault("5-V3", || format!("{about}: continues {continues} with {admitted} viewers that hold on"));
        }
        let channel = &self.channels[place];
        let expected = self.kind(channel);
        match channel.breaker {
            Breaker::Half { .. } => self.fault("I3", || format!("{about}: a second probe")),
            Breaker::Open { until, .. } if now < until => {
                self.fault("I3", || format!("{about}: open until {until}"));
            }
            _ if expected != Some(kind) => {
                let rule = if kind == Kind::Cold { "I2" } else { "I3" };
                let failures_len = self.failures_len(channel);
                self.fault(rule, || format!("{about}: {kind:?} instead of {expected:?}, {failures_len} failures"));
            }
            _ => {}
        }
        if expected.is_none_or(|kind| kind != Kind::Cold) {
            let cooldown = self.cooldown_until(&self.channels[place]);
            if now < cooldown {
                self.fault("I2", || format!("{about}: cools down until {cooldown}"));
            }
            if self.restarts_len() >= self.spec.restarts {
                let restarts = self.restarts.clone();
                self.fault("I1", || format!("{about}: too many restarts, {restarts:?}"));
            }
            self.fifo(place, &about);
            self.restarts.push_back(now);
            self.step.restarted = true;
            let others_wait = self.viewers.iter().any(|viewer| {
                viewer.channel != place && self.attempt_of(viewer.channel).is_none_or(|attempt| !attempt.lives())
            });
            if others_wait && self.restarts_len() >= self.spec.restarts {
                // It may not be told again of a wait that goes on.
                self.throttled_until = self.throttled_until.max(self.throttle_ready());
            }
            while self.restarts.len() > self.spec.restarts {
                self.restarts.pop_front();
            }
            self.channels[place].last_restart = Some(now);
        }
        self.refill();
        if self.credit < self.spec.period {
            let credit = self.credit;
            self.fault("I5", || format!("{about}: no token, credit {credit} ms"));
        }
        self.credit = self.credit.saturating_sub(self.spec.period);
        if self.is_short(work, false) {
            let shorts: Vec<Short> = self.shorts(work, false).collect();
            self.fault("I7", || format!("{about}: the board refuses: {shorts:?}"));
        }
        let channel = &mut self.channels[place];
        if work < channel.work {
            self.fault("5-F", || format!("{about}: does less than was seen to be needed"));
        }
        let channel = &mut self.channels[place];
        channel.work = work;
        channel.used_at = now;
        channel.unblocked_since = None;
        channel.acquiring_since = None;
        channel.childless_since = None;
        channel.throttled_since = None;
        if kind == Kind::Probe {
            channel.breaker = Breaker::Half { generation, since: now };
        }
        self.attempts.push(Attempt {
            generation,
            slot,
            channel: place,
            work,
            started: now,
            first: None,
            output_at: now,
            picture_at: now,
            stable: false,
            failed: None,
            ended: None,
            killed: None,
            quarantined: false,
            waited: 0,
            waited_in_all: 0,
            viewerless_since: None,
            short_since: None,
            unhealthy_since: None,
            unhealthy_looks: 0,
            stable_since: None,
            gap_told: false,
            due: Due::No,
            allowed: 0,
        });
    }

    /// R3: among those whom only the throttle denies, first come first served.
    fn fifo(&mut self, place: usize, about: &str) {
        let mine = &self.channels[place];
        let waits = |since: Option<Ms>| since.unwrap_or(self.now);
        let (since, throttled) = (waits(mine.childless_since), waits(mine.throttled_since));
        let overtaken = self.viewers.iter().map(|viewer| &self.channels[viewer.channel]).find(|other| {
            other.id != mine.id
                && other.throttled_since.is_some_and(|at| at < throttled)
                && other.childless_since.is_some_and(|at| at < since)
                && !self.is_short(other.work, true)
                && self.attempts.iter().all(|it| it.quarantined || it.lives())
                && self.cooldown_until(other) <= self.now
        });
        if let Some(other) = overtaken.map(|other| (other.id, other.throttled_since)) {
            self.fault("R3", || format!("{about}: overtakes {other:?}"));
        }
    }

    fn terminated(&mut self, slot: u8, generation: u64) {
        self.hit(Point::Term);
        let now = self.now;
        let Some(attempt) = self.attempt_mut(slot, generation).map(|attempt| {
            let before = *attempt;
            attempt.ended.get_or_insert(now);
            before
        }) else {
            self.fault("I13", || format!("SIGTERM to {generation} on {slot}, which does not live"));
            return;
        };
        if !attempt.lives() {
            self.fault("I13", || format!("a second SIGTERM to {attempt:?}"));
        }
        let place = attempt.channel;
        let channel = &self.channels[place];
        self.step.stopped.push(place);
        if channel.admitted > 0 || attempt.failed.is_some() {
            self.ended_under_viewers(place, &attempt);
        }
        if attempt.failed.is_some() || self.draining {
            return;
        }
        if self.step.was_unsuited(generation) {
            self.hit(Point::Unsuited);
            return;
        }
        let channel = &self.channels[place];
        if channel.viewers() > 0 {
            let channel = channel.clone();
            self.fault("I14", || format!("ended under its viewers: {attempt:?}, {channel:?}"));
            return;
        }
        match attempt.first {
            Some(first) => {
                let since = attempt.viewerless_since.unwrap_or(now).max(first);
                if self.freed == Some((slot, generation)) {
                    self.hit(Point::Freed);
                } else if now >= since + self.spec.linger {
                    self.hit(Point::LingerOver);
                } else if self.somebody_needs_a_slot(place) {
                    self.hit(Point::LingerTaken);
                } else {
                    self.fault("V2", || format!("ended after {} ms without viewers: {attempt:?}", now - since));
                }
            }
            None => {
                // F3: only for another viewer, and only if every other slot has viewers, or would be cut short as well.
                let starts = self.attempts.iter().filter(|it| {
                    it.lives() && it.first.is_none() && it.slot != slot && self.channels[it.channel].viewers() == 0
                });
                let others_busy = self.slots_of_others(place) + starts.count() >= self.slots_len;
                let tuner_wanted = self
                    .viewers
                    .iter()
                    .any(|viewer| viewer.tuner == Some(slot) && viewer.channel != place && viewer.admitted.is_none());
                if !self.somebody_needs_a_slot(place) || !(others_busy || tuner_wanted) {
                    self.fault("I16", || format!("a start was cut short without a verdict: {attempt:?}"));
                }
                if attempt.waited >= self.spec.preempted {
                    self.fault("F3", || format!("somebody had waited for it, and no failure: {attempt:?}"));
                }
                self.hit(Point::PreemptedQuiet);
            }
        }
    }

    /// A child that gave packets has ended, or was told to: its viewers have what it gave until now.
    pub(super) fn ended_under_viewers(&mut self, place: usize, attempt: &Attempt) {
        let now = self.now;
        if self.channels[place].admitted > 0 {
            self.channels[place].dry_since.get_or_insert(now);
        }
        if attempt.first.is_some() {
            for viewer in self.viewers.iter_mut().filter(|viewer| viewer.channel == place) {
                viewer.data_at = viewer.data_at.max(attempt.output_at);
            }
        }
        if attempt.first.is_none() && attempt.failed == Some(Failure::StartTimeout) {
            let early = now < attempt.started + self.spec.start;
            if early {
                self.hit(Point::PreemptedFailed);
            }
        }
    }

    /// 5-P and I19.
    fn looked(&mut self, slot: u8, generation: u64) {
        self.hit(Point::Look);
        let now = self.now;
        let found = self.attempts.iter().find(|it| it.slot == slot && it.generation == generation).copied();
        let Some(attempt) = found.filter(Attempt::plays) else {
            self.fault("P4", || format!("a look at {generation} on {slot}, which makes nothing: {found:?}"));
            return;
        };
        let channel = &self.channels[attempt.channel];
        let Some(every) = self.spec.probe_every else {
            self.fault("P1", || "a look where none is wanted".to_owned());
            return;
        };
        if self.looks.iter().any(|(other, _)| *other == slot) || self.looks.len() >= self.spec.probes {
            let looks = self.looks.clone();
            self.fault("I19", || format!("a look at {attempt:?} overlaps {looks:?}"));
        } else if channel.look_ended_at.is_some_and(|at| now < at + every) {
            let at = channel.look_ended_at;
            self.fault("P1", || format!("a look at {now}, the last one ended at {at:?}"));
        } else if channel.class != SourceClass::Live {
            self.fault("P1", || "a look at a file".to_owned());
        } else if self.draining {
            self.fault("G9", || "a look while draining".to_owned());
        } else if !self.facts.ffmpeg_present || self.shorts(Work::Copy, false).any(|short| short == Short::Fds) {
            self.fault("G8", || "a look that the board refuses".to_owned());
        }
        self.looks.push((slot, generation));
    }

    // ---- Refusals ---------------------------------------------------------------------------------------------------

    /// Whether a waiting viewer may be refused like this: table 5-V.
    fn justify(&mut self, viewer: Viewer, refusal: Refusal) -> Result<(), String> {
        let now = self.now;
        let spec = self.spec;
        let place = viewer.channel;
        let deadline = viewer.asked + spec.tune;
        let is_late = now >= deadline;
        let allowed_at = self.allowed_at(&self.channels[place]);
        let lives = self.attempt_of(place).is_some_and(Attempt::lives);
        // The next restart is too late for him.
        // A restart that will be a cold start before its cooldown ends may be told either time.
        let guarded = match self.channels[place].breaker {
            Breaker::Closed if self.failures_len(&self.channels[place]) > 0 => {
                self.cooldown_until(&self.channels[place]).max(self.throttle_ready())
            }
            _ => allowed_at,
        };
        let too_late = !lives && guarded >= deadline;
        let wait = guarded.saturating_sub(now);
        let breaker = self.channels[place].breaker;
        let resting = match breaker {
            Breaker::Open { until, .. } => Some(until).filter(|until| *until > now),
            _ => None,
        };
        let expect = |text: &str, right: bool| if right { Ok(()) } else { Err(text.to_owned()) };
        let seconds = |ms: Ms, most: u32| u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX).clamp(1, most);
        let told = refusal.retry_after_s();
        match refusal {
            Refusal::Draining => {
                self.hit(Point::RefuseDraining);
                expect("not draining", self.draining)?;
                expect("Retry-After 60", told == 60)
            }
            Refusal::AccountFull => Err("nobody here has an account".to_owned()),
            Refusal::Short(short) => {
                self.hit(Point::RefuseShort);
                let work = self.channels[place].work;
                let right = self.shorts(work, true).any(|own| own == short) || self.step.spawn_failed == Some(place);
                expect("the board would carry it", right)?;
                expect("Retry-After 30, 60 for heat", told == if short == Short::Heat { 60 } else { 30 })
            }
            Refusal::ViewersFull => {
                self.hit(Point::RefuseFull);
                expect("there is room", self.viewers.len() > crate::spec::VIEWERS || self.step.records_full)
            }
            Refusal::SlotStuck => {
                self.hit(Point::RefuseStuck);
                let lost = !self.step.quarantined.is_empty() || self.attempts.iter().any(|it| it.quarantined);
                expect("no slot was lost", lost)
            }
            Refusal::TunerInUse => {
                self.hit(Point::RefuseTuner);
                let waits_there = |freed: u8| self.attempt_of(place).is_none_or(|attempt| attempt.slot == freed);
                if self.step.asked != Some(viewer.id) && self.step.freed.is_some_and(waits_there) {
                    return expect("Retry-After 10", told == 10);
                }
                let Some(tuner) = viewer.tuner else { return Err("he asked for no tuner".to_owned()) };
                let held = self.is_held(tuner);
                let sits = self.attempts.iter().find(|it| it.slot == tuner);
                let used = sits
                    .is_some_and(|it| it.quarantined || it.channel != place && self.channels[it.channel].viewers() > 0);
                // Another channel may have taken it and still wait for its child.
                let taken = self.somebody_needs_a_slot(place);
                expect("it is free", usize::from(tuner) >= self.slots_len || used || taken || held)?;
                expect("Retry-After 10", told == 10)
            }
            Refusal::AllTunersInUse => {
                self.hit(Point::RefuseAll);
                expect("a slot has no viewers", self.slots_of_others(place) >= self.slots_len)?;
                expect("Retry-After 10", told == 10)
            }
            // Everybody here asks the box itself, whose share is everything.
            Refusal::ShareInUse => Err("nobody has a share".to_owned()),
            Refusal::Resting { retry_ms } => {
                self.hit(Point::RefuseResting);
                expect("not open", matches!(breaker, Breaker::Open { .. }))?;
                expect("told before the breaker opened", !matches!(breaker, Breaker::Open { fatal: true, .. }))?;
                let right = resting.map_or(wait, |until| until - now);
                expect(&format!("the exact remainder is {right}"), retry_ms == right)?;
                expect("eligible, and in his time", resting.is_some() || too_late || is_late)?;
                expect("Retry-After 1 to 120, rounded up", told == seconds(right, 120))?;
                if viewer.asked < now && resting.is_none() {
                    self.hit(Point::EarlyRefusal);
                }
                Ok(())
            }
            Refusal::Misconfigured => {
                self.hit(Point::RefuseMisconfigured);
                expect("no final failure", matches!(breaker, Breaker::Open { fatal: true, .. }))?;
                expect("Retry-After 120", told == 120)
            }
            Refusal::Busy { retry_ms } => {
                self.hit(Point::RefuseBusy);
                expect("neither throttled, nor an acquisition's end, nor full", {
                    self.restarts_len() >= spec.restarts || self.step.timed_out.contains(&place) || is_late
                })?;
                let throttled = self.throttle_ready().saturating_sub(now);
                let token = spec.period.saturating_sub(self.credit + (now - self.credit_at));
                let exact = retry_ms == throttled.max(wait) || retry_ms == wait || retry_ms == token || !is_late;
                expect(&format!("throttled for {throttled}, all in all {wait}, a token in {token}"), exact)?;
                expect("Retry-After 1 to 60, rounded up", told == seconds(retry_ms, 60))
            }
            Refusal::TuneFailed { retry_ms } => {
                self.hit(Point::RefuseFailed);
                let ended_now = self.step.reaped.is_some_and(|it| it.channel == place)
                    || self.step.useless == Some(place)
                    || self.step.unsuited.is_some()
                    || self.step.stopped.contains(&place);
                expect("his next restart is in time", too_late || is_late || self.step.clock_end == Some(place))?;
                expect("nothing failed", ended_now || self.channels[place].last_failure.is_some())?;
                expect("resting", resting.is_none())?;
                expect(&format!("the next restart is allowed in {wait}"), retry_ms == wait || wait == 0)?;
                expect("Retry-After 1 to 30, rounded up", told == seconds(retry_ms, 30))?;
                if !is_late {
                    self.hit(Point::EarlyRefusal);
                }
                Ok(())
            }
            Refusal::NoVideo { retry_ms } => {
                self.hit(Point::RefuseNoVideo);
                expect("he has time left", is_late || too_late || self.step.finished == Some(place))?;
                expect("resting", resting.is_none())?;
                if lives {
                    expect("2 s while the attempt lives", retry_ms == 2_000 || spec.tune < 100)?;
                } else {
                    expect(&format!("the next restart is allowed in {wait}"), retry_ms == wait || wait == 0)?;
                }
                if is_late {
                    self.hit(Point::TuneDeadline);
                } else {
                    self.hit(Point::EarlyRefusal);
                }
                Ok(())
            }
        }
    }
}

fn failure_point(failure: Failure) -> Point {
    match failure {
        Failure::Connect => Point::FailConnect,
        Failure::Dns => Point::FailDns,
        Failure::Auth => Point::FailAuth,
        Failure::Http => Point::FailHttp,
        Failure::EarlyExit => Point::FailEarlyExit,
        Failure::Disconnect => Point::FailDisconnect,
        Failure::StartTimeout => Point::FailStartTimeout,
        // The last two only where another source is ready.
        Failure::Stall | Failure::Slow | Failure::Blank => Point::FailStall,
        Failure::ProbeUnhealthy => Point::FailProbeUnhealthy,
        Failure::NotTs => Point::FailNotTs,
        Failure::Crash => Point::FailCrash,
        Failure::Limit => Point::FailLimit,
        Failure::Oom => Point::FailOom,
        Failure::Config => Point::FailConfig,
        Failure::Policy => Point::FailPolicy,
    }
}

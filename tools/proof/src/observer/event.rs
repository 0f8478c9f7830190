//! What an event means for the books, and which attempts have to fail because of it.

use super::{Attempt, Breaker, Due, Observer, Step, Viewer, bit};
use crate::points::Point;
use crate::spec::Ms;
use pure::model::lineup::SourceClass;
use pure::rules::admission::Work;
use pure::rules::failure::{End, Failure};
use pure::rules::gate::Wish;
use pure::rules::health::ProbeResult;
use pure::rules::pool::{Event, Generation, Needs, SlotIndex};

impl Observer {
    pub(super) fn take(&mut self, event: &Event) {
        self.find_due(matches!(event, Event::Deadline | Event::Sweep));
        match *event {
            // Which tuner somebody keeps for himself changes who is refused, and nothing that is counted here.
            Event::Hold { slot, is_held } => {
                let now = self.now;
                if let Some(held) = self.held.get_mut(usize::from(slot.0)) {
                    *held = is_held.then(|| held.unwrap_or(now));
                }
            }
            // Its viewers are sent away, and what they watched ends without lingering. A start without packets goes on.
            Event::Free { slot } => {
                self.step.freed = Some(slot.0);
                let plays = self.attempts.iter().find(|attempt| attempt.slot == slot.0 && attempt.plays());
                self.freed = plays.map(|attempt| (attempt.slot, attempt.generation));
            }
            // Channels with one source; for others see `crate::sources`.
            Event::Ask { viewer, tuner, share: _, sources } => {
                let Wish { channel, work, class, .. } = sources.first();
                let place = self.place_or_new(channel, class, work);
                let now = self.now;
                let entry = &mut self.channels[place];
                entry.class = class;
                if entry.viewers() == 0 {
                    entry.work = work;
                }
                entry.waiting += 1;
                entry.asked_at = now;
                let lingers = self.attempt_of(place).is_some_and(|attempt| {
                    attempt.plays() && attempt.viewerless_since.is_some_and(|since| since < now)
                });
                // Whoever comes back to it has it linger again.
                if self.attempt_of(place).is_some_and(|attempt| self.freed == Some((attempt.slot, attempt.generation)))
                {
                    self.freed = None;
                }
                if lingers {
                    self.hit(Point::LingerJoined);
                }
                let tuner = tuner.map(|tuner| tuner.0);
                let viewer = Viewer { id: viewer.0, channel: place, tuner, asked: now, admitted: None, data_at: now };
                self.viewers.push(viewer);
                self.step.asked = Some(viewer.id);
            }
            Event::Leave { viewer } => {
                if let Some(index) = self.viewers.iter().position(|entry| entry.id == viewer.0) {
                    self.forget(index);
                }
            }
            Event::Facts(facts) => self.facts = facts,
            Event::Output { slot, generation } => self.output(slot, generation),
            Event::Heard { slot, generation, output_at, picture_at, .. } => {
                match self.attempt_mut(slot.0, generation.0) {
                    Some(attempt) if attempt.plays() => {
                        attempt.output_at = attempt.output_at.max(output_at.0);
                        attempt.picture_at = attempt.picture_at.max(picture_at.0);
                    }
                    _ => {}
                }
            }
            Event::Unsuited { slot, generation, needs } => {
                if let Some(attempt) = self.attempt_mut(slot.0, generation.0) {
                    if attempt.lives() && attempt.first.is_none() {
                        // What cannot even be encoded is not in the table of failures; any word will do.
                        let (needs, may_fail) = match needs {
                            Needs::Work(needs) => (needs, attempt.work >= needs),
                            Needs::Alone(_) => (Work::Copy, false),
                        };
                        if may_fail {
                            (attempt.due, attempt.allowed) = (Due::May, u32::MAX);
                        }
                        let place = attempt.channel;
                        self.channels[place].work = attempt.work.max(needs);
                        self.step.unsuited = Some(generation.0);
                    }
                }
            }
            Event::Useless { slot, generation, failure } => self.useless(slot, generation, failure),
            Event::Exited { slot, generation, end } => self.exited(slot, generation, Some(end)),
            Event::SpawnFailed { slot, generation } => self.exited(slot, generation, None),
            Event::Probed { slot, generation, result } => self.probed(slot, generation, result),
            Event::Reset { channel } => {
                if let Some(place) = self.place(channel) {
                    let now = self.now;
                    if let Breaker::Open { until, .. } = &mut self.channels[place].breaker {
                        // B10: eligible, window kept.
                        if *until > now {
                            *until = now;
                            self.hit(Point::ResetOpen);
                        }
                    }
                }
            }
            Event::Drain => {
                if self.attempts.iter().any(Attempt::lives) {
                    self.hit(Point::Drained);
                }
                self.draining = true;
            }
            Event::Sweep | Event::Deadline | Event::Blank { .. } => {}
        }
        let about_child = matches!(
            event,
            Event::Output { .. }
                | Event::Unsuited { .. }
                | Event::Useless { .. }
                | Event::Exited { .. }
                | Event::SpawnFailed { .. }
        );
        if !about_child {
            // What was told may have changed what is due.
            self.find_due(self.step.is_deadline);
        }
    }

    fn output(&mut self, slot: SlotIndex, generation: Generation) {
        let now = self.now;
        let Some(attempt) = self.attempt_mut(slot.0, generation.0) else {
            self.hit(Point::Stale);
            return;
        };
        if attempt.lives() && attempt.first.is_none() {
            // At the very millisecond of its end, either may come first.
            if attempt.due == Due::Must {
                attempt.due = Due::May;
            }
            attempt.first = Some(now);
            (attempt.output_at, attempt.picture_at) = (now, now);
            let place = attempt.channel;
            let short = self.is_short_silence(place);
            if let Some(attempt) = self.attempt_mut(slot.0, generation.0) {
                attempt.short_since = short.then_some(now);
            }
            let channel = &mut self.channels[place];
            if channel.dry_since.take().is_some() {
                self.hit(Point::GapBridged);
            }
        }
    }

    fn useless(&mut self, slot: SlotIndex, generation: Generation, failure: Failure) {
        let Some(attempt) = self.attempts.iter().find(|it| it.generation == generation.0 && it.slot == slot.0) else {
            self.hit(Point::Stale);
            return;
        };
        if !attempt.lives() || attempt.failed.is_some() {
            return;
        }
        let watched = self.channels[attempt.channel].viewers() > 0;
        // The end of output is an exit in all but name: after stable it is a disconnect, and nothing without viewers.
        let due = if failure != Failure::NotTs && attempt.first.is_some() && !watched { Due::May } else { Due::Must };
        let allowed = bit(failure) | if attempt.first.is_some() { bit(Failure::Disconnect) } else { 0 };
        self.step.useless = Some(attempt.channel);
        if let Some(attempt) = self.attempt_mut(slot.0, generation.0) {
            attempt.due = attempt.due.max_of(due);
            attempt.allowed |= allowed;
        }
    }

    /// A child was reaped, or was never born (`end` is `None`).
    fn exited(&mut self, slot: SlotIndex, generation: Generation, end: Option<End>) {
        let found = self.attempts.iter().position(|it| it.generation == generation.0 && it.slot == slot.0);
        let Some(index) = found else {
            self.hit(Point::Stale);
            return;
        };
        let mut attempt = self.attempts.remove(index);
        if attempt.quarantined {
            self.hit(Point::Unquarantined);
        }
        self.step.reaped = Some(attempt);
        if !attempt.lives() {
            return;
        }
        self.ended_under_viewers(attempt.channel, &attempt);
        let watched = self.channels[attempt.channel].viewers() > 0;
        let plain = if attempt.stable { Failure::Disconnect } else { Failure::EarlyExit };
        let by_clock = attempt.first.is_some_and(|first| self.now >= first + self.spec.stable);
        let (due, allowed) = match end {
            // F20: the board's failure.
            None => {
                self.step.spawn_failed = Some(attempt.channel);
                self.hit(Point::SpawnFailed);
                (Due::No, 0)
            }
            Some(End::Clock | End::Encoder) => {
                self.step.clock_end = Some(attempt.channel);
                self.hit(Point::ClockEnd);
                (Due::No, 0)
            }
            // A file that was shown may be over; one that breaks off at once is as ill as any.
            Some(End::Finished) if attempt.stable && self.channels[attempt.channel].class == SourceClass::File => {
                self.step.finished = Some(attempt.channel);
                (Due::No, 0)
            }
            Some(End::Plain | End::Finished) => match (attempt.first, attempt.stable, watched) {
                (None, ..) => (Due::Must, bit(Failure::EarlyExit)),
                // The table counts an exit before stable; its last line says that nothing counts after the last viewer.
                (Some(_), false, false) => (Due::May, bit(plain)),
                (Some(_), true, false) => (Due::No, 0),
                (Some(_), _, true) => (Due::Must, bit(plain)),
            },
            Some(end @ (End::Failed(_) | End::Busy { .. })) => {
                let failure = if let End::Failed(failure) = end { failure } else { Failure::Http };
                match attempt.first {
                    // F02: whoever took his time has understood his arguments.
                    None if failure == Failure::Config && self.now >= attempt.started + self.spec.usage => {
                        (Due::Must, bit(Failure::EarlyExit))
                    }
                    None => (Due::Must, bit(failure)),
                    // What a source is reported for counts before the first byte; a death by signal always.
                    Some(_) if watched => (Due::Must, bit(failure) | bit(plain)),
                    Some(_) => (Due::May, bit(failure) | bit(plain)),
                }
            }
        };
        attempt.due = if attempt.due == Due::Must && due == Due::No { Due::May } else { due };
        attempt.allowed |= allowed;
        if by_clock && !attempt.stable && allowed & bit(Failure::EarlyExit) != 0 {
            attempt.allowed |= bit(Failure::Disconnect);
        }
        self.step.reaped = Some(attempt);
    }

    fn probed(&mut self, slot: SlotIndex, generation: Generation, result: ProbeResult) {
        let Some(look) = self.looks.iter().position(|look| *look == (slot.0, generation.0)) else {
            self.hit(Point::Stale);
            return;
        };
        self.looks.swap_remove(look);
        let now = self.now;
        self.hit(match result {
            ProbeResult::Healthy => Point::LookHealthy,
            ProbeResult::Unhealthy => Point::LookUnhealthy,
            ProbeResult::Unknown => Point::LookUnknown,
        });
        let Some(attempt) = self.attempt_mut(slot.0, generation.0) else { return };
        let place = attempt.channel;
        if attempt.plays() {
            match result {
                ProbeResult::Healthy => {
                    attempt.unhealthy_since = None;
                    attempt.unhealthy_looks = 0;
                }
                ProbeResult::Unhealthy => {
                    attempt.unhealthy_since.get_or_insert(now);
                    attempt.unhealthy_looks += 1;
                }
                // P3: leaves the timer as it is.
                ProbeResult::Unknown => {}
            }
        }
        self.step.look_ended = (result == ProbeResult::Unhealthy).then_some(generation.0);
        self.channels[place].look_ended_at = Some(now);
    }

    /// Takes a viewer out of the books.
    pub(super) fn forget(&mut self, index: usize) -> Viewer {
        let viewer = self.viewers.remove(index);
        let now = self.now;
        let channel = &mut self.channels[viewer.channel];
        if viewer.admitted.is_some() || viewer.asked < now {
            channel.used_at = now;
        }
        if viewer.admitted.is_some() {
            channel.admitted -= 1;
            if channel.admitted == 0 {
                channel.dry_since = None;
            }
        } else {
            channel.waiting -= 1;
            let waited =
                self.attempts.iter_mut().find(|it| it.channel == viewer.channel && it.lives() && it.first.is_none());
            if let Some(attempt) = waited {
                attempt.waited = attempt.waited.max(now - viewer.asked.max(attempt.started));
                attempt.waited_in_all = attempt.waited_in_all.max(now - viewer.asked);
            }
        }
        let channel = &mut self.channels[viewer.channel];
        if channel.viewers() == 0 {
            channel.childless_since = None;
            channel.throttled_since = None;
            channel.unblocked_since = None;
            channel.acquiring_since = None;
        }
        viewer
    }

    /// Keeps since when each attempt has no viewers.
    pub(super) fn mark_viewerless(&mut self) {
        let now = self.now;
        for attempt in &mut self.attempts {
            if self.channels[attempt.channel].viewers() == 0 {
                attempt.viewerless_since.get_or_insert(now);
            } else {
                attempt.viewerless_since = None;
            }
        }
    }

    /// W2 and B7: a probe, and a first failure while somebody watches.
    fn is_short_silence(&self, place: usize) -> bool {
        let channel = &self.channels[place];
        matches!(channel.breaker, Breaker::Half { .. }) || channel.viewers() > 0 && self.failures_len(channel) == 0
    }

    /// Which living attempts have to fail by now, because of time alone.
    fn find_due(&mut self, is_deadline: bool) {
        self.step.is_deadline = is_deadline;
        let (now, spec, slack) = (self.now, self.spec, self.slack);
        for index in 0..self.attempts.len() {
            let attempt = self.attempts[index];
            if !attempt.lives() || attempt.failed.is_some() {
                self.attempts[index].due = Due::No;
                self.attempts[index].allowed = 0;
                continue;
            }
            let channel = &self.channels[attempt.channel];
            let mut due = Due::No;
            let mut allowed = 0;
            let judge = |at: Ms| match at {
                at if now > at + slack || (is_deadline && now >= at) => Due::Must,
                at if now >= at => Due::May,
                _ => Due::No,
            };
            let mut short_since = None;
            match attempt.first {
                None => {
                    due = judge(attempt.started + spec.start);
                    allowed |= bit(Failure::StartTimeout);
                }
                Some(_) => {
                    // W1, W2, B7.
                    let class = spec.silence(channel.class);
                    // Packets without a picture are silence too. How soon is not said; after the class's at the latest.
                    let mut at = attempt.last() + class;
                    if self.is_short_silence(attempt.channel) {
                        let since = attempt.short_since.unwrap_or(now);
                        short_since = Some(since);
                        let short = spec.silence_first.min(class);
                        // If it began to apply in the middle of a silence, either limit is right.
                        if since <= attempt.output_at {
                            at = at.min(attempt.output_at + short);
                        }
                        if now >= attempt.last() + short {
                            due = Due::May;
                        }
                    }
                    due = due.max_of(judge(at));
                    if due != Due::No {
                        allowed |= bit(Failure::Stall);
                    }
                    // P4. A look that says so must end it; between looks it may.
                    let ill = attempt.unhealthy_looks >= spec.unhealthy_looks
                        && attempt.unhealthy_since.is_some_and(|since| now - since >= spec.unhealthy);
                    if ill {
                        let told = self.step.look_ended == Some(attempt.generation);
                        due = due.max_of(if told { Due::Must } else { Due::May });
                        allowed |= bit(Failure::ProbeUnhealthy);
                    }
                }
            }
            let attempt = &mut self.attempts[index];
            attempt.short_since = short_since;
            (attempt.due, attempt.allowed) = (due, allowed);
        }
    }
}

impl Due {
    pub(super) fn max_of(self, other: Self) -> Self {
        match (self, other) {
            (Self::Must, _) | (_, Self::Must) => Self::Must,
            (Self::May, _) | (_, Self::May) => Self::May,
            _ => Self::No,
        }
    }
}

impl Step {
    /// Whether this attempt lost its first packets to a format that nobody plays.
    pub(super) fn was_unsuited(&self, generation: u64) -> bool {
        self.unsuited == Some(generation)
    }
}

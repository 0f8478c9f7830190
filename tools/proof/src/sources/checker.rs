//! The checker of channels with several sources, and of accounts that allow so many streams.
//!
//! It sees events and effects only, keeps books of its own, and shares no code and no number with the rules. Its
//! complaints are called by the ten rules that it was written from:
//!
//! - `S1`: never more streams on an account than it allows; one child in a slot.
//! - `S2`: an account that allows one stream is left alone for a moment after its child's end.
//! - `S3`: each source has a breaker of its own; one verdict for each attempt.
//! - `S4`: cooldown for each source, the throttle and the limiter for all.
//! - `S5`: the least failed source that may start is the one; among equals, the first.
//! - `S6`: who takes over does so in the step in which the other was reaped.
//! - `S7`: silence, slowness and pictures of no use are borne with for long only where nobody can take over.
//! - `S8`: a picture that is well is taken from nobody.
//! - `S9`: each viewer has one answer, in time, and a true one.
//! - `S10`: what may start does.
//!
//! Where two readings are possible, both are accepted: what is asked for stands in `must`, what is allowed in `may`.

use super::books::{
    BEHIND, COOLDOWN, Channel, Child, FAILURES, GAP, OPEN, Origin, PERIOD, PREEMPTED, REST, REST_JITTER, RESTARTS,
    RESTARTS_SPAN, SILENCE, SLOW, SLOW_LOOK, STABLE, START, STUCK, State, TUNE, Viewer,
};
use crate::observer::Violation;
use crate::spec::Ms;
use pure::model::lineup::Account;
use pure::rules::failure::{End, Failure};
use pure::rules::gate::Kind;
use pure::rules::pool::{Effect, Event, Note, Refusal};
use std::collections::{BTreeMap, VecDeque};

/// The checker.
#[derive(Debug)]
pub struct Checker {
    now: Ms,
    /// How late deadlines are told at most.
    late: Ms,
    burst: u64,
    pub(super) children: Vec<Child>,
    /// The one that was reaped in this step.
    gone: Option<Child>,
    channels: Vec<Channel>,
    pub(super) viewers: Vec<Viewer>,
    /// When the last child of an account that allows one stream ended.
    ended: Vec<(u32, Ms)>,
    restarts: VecDeque<Ms>,
    /// When the limiter is full again.
    full_at: Ms,
    is_plenty: bool,
    is_draining: bool,
    /// A breaker that opened, and was not told of yet.
    opening: Option<(usize, usize, Ms)>,
    /// What happened, and how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
}

impl Checker {
    /// For so many slots and channels, told of deadlines so late at most.
    pub fn new(slots_len: usize, channels_len: usize, late: Ms) -> Self {
        Self {
            now: 0,
            late,
            burst: (2 * slots_len as u64).min(10),
            children: Vec::new(),
            gone: None,
            channels: vec![Channel::default(); channels_len],
            viewers: Vec::new(),
            ended: Vec::new(),
            restarts: VecDeque::new(),
            full_at: 0,
            is_plenty: true,
            is_draining: false,
            opening: None,
            counts: BTreeMap::new(),
            violation: None,
        }
    }

    /// The daemon died with all children, and another one has read what it wrote.
    pub fn daemon_crashed(&mut self, now: Ms) {
        self.children.clear();
        self.viewers.clear();
        self.ended.clear();
        for origin in self.channels.iter_mut().flat_map(|channel| &mut channel.origins) {
            if let State::Half(_) = origin.state {
                origin.state = State::Open(now);
            }
        }
        self.full_at = self.full_at.max(now + (self.burst - 1) * PERIOD);
        self.hit("crash");
    }

    /// One event, and what the pool answered.
    pub fn on(&mut self, now: Ms, event: &Event, effects: &[Effect]) {
        self.now = now;
        self.gone = None;
        let watched: Vec<usize> = (0..self.channels.len()).map(|channel| self.viewers_len(channel)).collect();
        let blank = match *event {
            Event::Blank { generation, .. } => self.children.iter().find(|child| child.generation == generation.0),
            _ => None,
        };
        let must_go = blank.is_some_and(|child| !child.ends && self.must_take_over(child, now));
        self.event(event, effects);
        for effect in effects {
            self.effect(effect, event, effects);
        }
        if self.opening.is_some() {
            self.broken("S3", "a breaker opened, and nobody was told");
        }
        if matches!(event, Event::Heard { .. } | Event::Facts(_)) {
            return;
        }
        self.check_reaped(event, effects, &watched);
        self.check_blank(event, must_go);
        for index in 0..self.children.len() {
            self.check_patience(index);
        }
        self.check_viewers();
        for channel in 0..self.channels.len() {
            self.check_stuck(channel);
        }
    }

    pub(super) fn broken(&mut self, rule: &'static str, text: impl Into<String>) {
        self.violation.get_or_insert(Violation { rule, text: text.into(), at: self.now });
    }

    fn demand(&mut self, holds: bool, rule: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            self.broken(rule, text());
        }
    }

    fn hit(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    // ---- Events ---------------------------------------------------------------------------------------------------------

    fn event(&mut self, event: &Event, effects: &[Effect]) {
        let now = self.now;
        match *event {
            Event::Ask { viewer, ref sources, .. } => {
                let channel = sources.channel().0 as usize;
                let accounts: Vec<Option<Account>> = sources.wishes().map(|wish| wish.account).collect();
                let is_refused =
                    effects.iter().any(|it| matches!(it, Effect::Refuse { viewer: of, .. } if *of == viewer));
                let has_others = self.viewers_len(channel) > 0;
                let book = &mut self.channels[channel];
                if accounts.len() > book.origins.len() {
                    book.origins.resize_with(accounts.len(), Default::default);
                }
                let is_other = is_refused && has_others;
                book.is_vague = is_other && (book.is_vague || book.accounts != accounts);
                if !is_other {
                    book.accounts = accounts;
                }
                self.viewers.push(Viewer { id: viewer.0, channel, asked: now, is_in: false, held: None });
            }
            Event::Leave { viewer } => self.remove(viewer.0),
            Event::Facts(facts) => self.is_plenty = facts.memory_available_bytes.is_none(),
            Event::Output { generation, .. } => {
                let Some(child) = self.running(generation.0).filter(|child| child.first.is_none()) else { return };
                child.first = Some(now);
                (child.output, child.picture, child.heard) = (now, now, now);
                let channel = child.channel;
                for viewer in self.viewers.iter_mut().filter(|viewer| viewer.channel == channel) {
                    viewer.held = None;
                }
            }
            Event::Heard { generation, output_at, picture_at, played_ms, silent_ms_max, .. } => {
                let Some(child) = self.running(generation.0).filter(|child| child.first.is_some()) else { return };
                child.output = child.output.max(output_at.0);
                child.picture = child.picture.max(picture_at.0);
                child.heard = now;
                child.silent_max = silent_ms_max;
                child.hear_pace(now, played_ms);
            }
            Event::Exited { generation, .. } | Event::SpawnFailed { generation, .. } => {
                let was_born = matches!(event, Event::Exited { .. });
                let Some(index) = self.children.iter().position(|child| child.generation == generation.0) else {
                    return;
                };
                let child = self.children.swap_remove(index);
                if let Some(account) = child.account.filter(|_| was_born) {
                    self.ended.retain(|(_, ended)| now < ended + REST + REST_JITTER);
                    self.ended.push((account.id, now));
                }
                self.hold(child.channel);
                self.gone = Some(child);
            }
            Event::Reset { channel } => {
                for origin in &mut self.channels[channel.0 as usize].origins {
                    if let State::Open(until) = &mut origin.state {
                        *until = now.min(*until);
                    }
                }
            }
            Event::Drain => self.is_draining = true,
            _ => {}
        }
    }

    fn running(&mut self, generation: u64) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.generation == generation && !child.ends)
    }

    fn remove(&mut self, viewer: u64) {
        let Some(index) = self.viewers.iter().position(|entry| entry.id == viewer) else { return };
        let viewer = self.viewers.swap_remove(index);
        for child in self.children.iter_mut().filter(|child| child.channel == viewer.channel && !viewer.is_in) {
            child.waited = child.waited.max(self.now - viewer.asked.max(child.started));
        }
    }

    fn hold(&mut self, channel: usize) {
        for viewer in self.viewers.iter_mut().filter(|viewer| viewer.channel == channel && viewer.is_in) {
            viewer.held.get_or_insert(self.now);
        }
    }

    // ---- Effects --------------------------------------------------------------------------------------------------------

    fn effect(&mut self, effect: &Effect, event: &Event, effects: &[Effect]) {
        match *effect {
            Effect::Start { slot, generation, channel, source, kind, .. } => {
                self.start(slot.0, generation.0, channel.0 as usize, usize::from(source), kind);
            }
            Effect::Terminate { generation, .. } => {
                let now = self.now;
                let Some(index) = self.children.iter().position(|child| child.generation == generation.0) else {
                    return self.broken("S8", "a child is ended that does not live");
                };
                let child = &mut self.children[index];
                let (was_ending, failed, channel) = (child.ends, child.failed, child.channel);
                child.ends = true;
                let is_watched = self.viewers_len(channel) > 0;
                let may = failed || !is_watched || self.is_draining || matches!(event, Event::Unsuited { .. });
                self.demand(may && !was_ending, "S8", || format!("channel {channel} was well, and was taken away"));
                self.hold(channel);
                if !failed && !is_watched && !self.is_draining {
                    self.hit(if self.children[index].first.is_some_and(|first| first < now) {
                        "idle ended"
                    } else {
                        "start cut"
                    });
                }
            }
            Effect::Quarantine { generation, .. } => {
                if let Some(child) = self.children.iter_mut().find(|child| child.generation == generation.0) {
                    child.is_lost = true;
                    let is_paid = child.account.is_some();
                    self.hit(if is_paid { "quarantine with an account" } else { "quarantine" });
                }
            }
            Effect::Admit { viewer, slot, .. } => {
                let channel =
                    self.children.iter().find(|child| child.slot == slot.0 && child.first.is_some() && !child.ends);
                let channel = channel.map(|child| child.channel);
                match self.viewers.iter_mut().find(|entry| entry.id == viewer.0) {
                    Some(entry) if !entry.is_in && Some(entry.channel) == channel => entry.is_in = true,
                    _ => self.broken("S9", format!("viewer {} was let in where nothing plays for him", viewer.0)),
                }
            }
            Effect::Refuse { viewer, refusal } => self.refuse(viewer.0, refusal),
            Effect::Close { viewer, .. } => {
                let Some(entry) = self.viewers.iter().find(|entry| entry.id == viewer.0).copied() else {
                    return self.broken("S9", "somebody is sent away who is not there");
                };
                let is_lost = effects.iter().any(|it| matches!(it, Effect::Quarantine { .. }));
                let is_over = entry.held.is_some_and(|held| held + GAP <= self.now);
                let rests = self.channels[entry.channel].rests(self.now);
                let may = is_over || is_lost || self.is_draining || rests;
                self.demand(entry.is_in && may, "S9", || format!("viewer {} was sent away for no reason", viewer.0));
                self.remove(viewer.0);
                self.hit(if rests { "dismissed" } else { "closed" });
            }
            Effect::Note(note) => self.note(note, event),
            Effect::Kill { .. } | Effect::Gap { .. } | Effect::Probe { .. } => {}
        }
    }

    fn start(&mut self, slot: u8, generation: u64, channel: usize, source: usize, kind: Kind) {
        let now = self.now;
        let Some(account) = self.channels[channel].accounts.get(source).copied() else {
            return self.broken("S5", format!("channel {channel} has no source {source}"));
        };
        let is_vague = self.channels[channel].is_vague;
        let is_taken =
            self.children.iter().any(|child| child.slot == slot || child.channel == channel && !child.is_lost);
        self.demand(!is_taken, "S1", || format!("slot {slot} or channel {channel} has a child already"));
        self.demand(self.viewers_len(channel) > 0, "S8", || "a start for nobody".to_owned());
        self.demand(!self.is_draining, "S4", || "a start while draining".to_owned());
        if let Some(account) = account.filter(|_| !is_vague) {
            let streams = self.streams(account.id);
            self.demand(streams < usize::from(account.streams_max), "S1", || {
                format!("{} streams on an account that allows {}", streams + 1, account.streams_max)
            });
            let seen = streams + self.resting(account.id, REST);
            self.demand(seen < usize::from(account.streams_max), "S2", || {
                format!("account {} had no rest", account.id)
            });
        }
        // The right one.
        if !is_vague {
            let failures = |at: usize| self.channels[channel].origins[at].failures_len(now);
            let better = (0..self.channels[channel].accounts.len()).find(|other| {
                let is_free = self.may_start(channel, *other) && !self.is_full(channel, *other).1;
                is_free && (failures(*other), *other) < (failures(source), source)
            });
            let is_full = self.is_full(channel, source).0;
            self.demand(better.is_none(), "S5", || format!("{better:?} should have started, not {source}"));
            self.demand(!is_full, "S5", || format!("source {source} started, which others' streams leave no room for"));
        }
        // And allowed.
        let book = &self.channels[channel];
        let expected = match book.origins[source].state {
            State::Open(until) if until > now => return self.broken("S3", format!("{channel}/{source} rests")),
            State::Half(_) => return self.broken("S3", format!("{channel}/{source} has a probe already")),
            State::Open(_) => Kind::Probe,
            State::Closed if book.has_failed(now) => Kind::Restart,
            State::Closed => Kind::Cold,
        };
        self.demand(kind == expected, "S4", || format!("a start was called {kind:?} and is {expected:?}"));
        if expected != Kind::Cold {
            let may = self.channels[channel].origins[source].cools_until() <= now;
            self.demand(may, "S4", || format!("{channel}/{source} was restarted within the cooldown"));
            self.demand(self.has_throttle_room(), "S4", || "eleven restarts in a minute".to_owned());
            self.restarts.push_back(now);
            let origin = &mut self.channels[channel].origins[source];
            origin.restarted = Some(now);
            if expected == Kind::Probe {
                origin.state = State::Half(generation);
            }
        }
        self.demand(self.has_token(), "S4", || "no token".to_owned());
        self.full_at = self.full_at.max(now) + PERIOD;
        self.hit(match (expected, source) {
            (Kind::Cold, 0) => "cold",
            (Kind::Cold, _) => "cold of another source",
            (Kind::Restart, 0) => "restart",
            (Kind::Restart, _) => "restart of another source",
            (Kind::Probe, 0) => "probe",
            (Kind::Probe, _) => "probe of another source",
        });
        self.children.push(Child {
            slot,
            generation,
            channel,
            source,
            account,
            started: now,
            first: None,
            output: now,
            picture: now,
            heard: now,
            silent_max: 0,
            best: None,
            behind_since: None,
            stable: false,
            is_probe: expected == Kind::Probe,
            failed: false,
            ends: false,
            is_lost: false,
            waited: 0,
            watched_since: None,
            spare_since: None,
        });
    }

    fn refuse(&mut self, viewer: u64, refusal: Refusal) {
        let Some(entry) = self.viewers.iter().find(|entry| entry.id == viewer && !entry.is_in).copied() else {
            return self.broken("S9", format!("viewer {viewer} has had his answer"));
        };
        let (now, channel) = (self.now, entry.channel);
        let book = &self.channels[channel];
        let is_vague = book.is_vague;
        let may_start: Vec<usize> = (0..book.accounts.len()).filter(|at| self.may_start(channel, *at)).collect();
        let is_true = match refusal {
            Refusal::AccountFull => !may_start.is_empty() && may_start.iter().all(|at| self.is_full(channel, *at).1),
            Refusal::Resting { retry_ms } => book.rests(now) && book.rests_until() == Some(now + retry_ms),
            Refusal::Misconfigured => book.rests(now),
            Refusal::TuneFailed { .. } => may_start.iter().all(|at| self.is_full(channel, *at).1),
            _ => true,
        };
        self.hit(match refusal {
            Refusal::AccountFull => "account full",
            Refusal::Resting { .. } => "resting",
            Refusal::Misconfigured => "misconfigured",
            Refusal::TuneFailed { .. } => "tune failed",
            _ => "refused otherwise",
        });
        self.demand(is_true || is_vague, "S9", || format!("viewer {viewer} of channel {channel} was told {refusal:?}"));
        self.remove(viewer);
    }

    fn note(&mut self, note: Note, event: &Event) {
        let now = self.now;
        match note {
            Note::Failed { generation, channel, source, failure, .. } => {
                self.fail(generation.0, channel.0 as usize, usize::from(source), failure, event);
            }
            Note::Opened { channel, source, until, .. } => {
                let told = Some((channel.0 as usize, usize::from(source), until.0));
                let opening = self.opening.take();
                self.demand(opening == told, "S3", || format!("{opening:?} opened, and {told:?} was told"));
                self.hit("opened");
            }
            Note::Stable { slot, .. } => {
                let found = self.children.iter_mut().find(|child| child.slot == slot.0 && !child.ends && !child.stable);
                let is_true = found.is_some_and(|child| {
                    child.stable = true;
                    child.first.is_some_and(|first| first + STABLE[0] <= now) && child.output + STABLE[1] >= now
                });
                self.demand(is_true, "S3", || format!("slot {} is not stable", slot.0));
            }
            Note::Closed { channel } | Note::Inconclusive { channel } => {
                let is_closed = matches!(note, Note::Closed { .. });
                let decides = |origin: &Origin| match origin.state {
                    State::Half(generation) => Some(generation),
                    State::Closed | State::Open(_) => None,
                };
                let book = &mut self.channels[channel.0 as usize];
                let found = book.origins.iter_mut().find_map(|origin| decides(origin).map(|probe| (origin, probe)));
                let Some((origin, probe)) = found else {
                    return self.broken("S3", "a verdict on a breaker that waits for none");
                };
                let stable = self.children.iter().chain(&self.gone).any(|it| it.generation == probe && it.stable);
                if is_closed {
                    (origin.state, origin.failures) = (State::Closed, Vec::new());
                } else {
                    origin.state = State::Open(now);
                }
                self.demand(stable == is_closed, "S3", || "only a stable probe closes a breaker".to_owned());
                self.hit(if is_closed { "probe closed" } else { "probe inconclusive" });
            }
            Note::SweepFound { .. } => self.broken("S7", "the sweep found what a timer had missed"),
            _ => {}
        }
    }

    fn fail(&mut self, generation: u64, channel: usize, source: usize, failure: Failure, event: &Event) {
        let now = self.now;
        let Some(child) = self.children.iter().chain(&self.gone).find(|child| child.generation == generation) else {
            return self.broken("S3", "a child failed that does not live");
        };
        let child = child.clone();
        self.demand((child.channel, child.source) == (channel, source), "S3", || "another one's failure".to_owned());
        self.demand(!child.failed && !child.ends, "S3", || "a second verdict".to_owned());
        let is_watched = self.viewers_len(channel) > 0;
        let may_fail_over = is_watched && self.may_take_over(&child);
        let is_fresh = failure != Failure::Stall || child.heard == now;
        let is_due = match failure {
            Failure::StartTimeout => {
                let pre_empted = !is_watched && child.waited >= PREEMPTED;
                let limit = START[usize::from(!may_fail_over)];
                child.first.is_none() && (pre_empted || child.started + limit <= now)
            }
            Failure::Stall => {
                let known = self.channels[channel].origins[source].failures_len(child.silent_since());
                let is_first = known == 0 || self.channels[channel].origins[source].failures_len(now) == 0;
                let ordinary = SILENCE[usize::from(!(is_first || child.is_probe && !child.stable))];
                let limit = if may_fail_over { SILENCE[0].min(child.spare_silence()) } else { ordinary };
                let no_picture = limit.max(SILENCE[1]);
                child.first.is_some() && (child.output + limit <= now || child.picture + no_picture <= now)
            }
            Failure::Slow => may_fail_over && child.behind_since.is_some_and(|since| since + SLOW <= now),
            Failure::Blank => may_fail_over && matches!(event, Event::Blank { .. }),
            _ => self.gone.is_some() || matches!(event, Event::Useless { .. }),
        };
        self.demand(is_due, "S7", || format!("{channel}/{source} was given up too soon: {failure:?}"));
        self.demand(is_fresh, "S7", || format!("{failure:?} was judged by old news"));
        self.hit(match failure {
            Failure::StartTimeout if may_fail_over && child.started + START[1] > now => "start given up for another",
            Failure::Stall if may_fail_over && child.output + SILENCE[0] > now => "silence given up for another",
            Failure::Slow => "slow",
            Failure::Blank => "blank",
            Failure::StartTimeout => "start timeout",
            Failure::Stall => "stall",
            Failure::Disconnect => "disconnect",
            _ => "other failure",
        });
        let origin = &mut self.channels[channel].origins[source];
        origin.failures.retain(|at| *at + super::books::WINDOW > now);
        origin.failures.push(now);
        let opens = match origin.state {
            State::Half(probe) => probe == generation,
            State::Closed | State::Open(_) => failure.is_final() || origin.failures.len() >= FAILURES,
        };
        if opens {
            origin.state = State::Open(now + OPEN);
            self.opening = Some((channel, source, now + OPEN));
        }
        for child in self.children.iter_mut().chain(&mut self.gone).filter(|child| child.generation == generation) {
            child.failed = true;
        }
    }

    // ---- After a step ---------------------------------------------------------------------------------------------------

    /// A child is gone: it had its verdict, and the next one is there.
    fn check_reaped(&mut self, event: &Event, effects: &[Effect], watched: &[usize]) {
        let (Event::Exited { end, .. }, Some(gone)) = (*event, self.gone.clone()) else { return };
        if !gone.ends {
            let of_its_own = matches!(end, End::Failed(Failure::Crash | Failure::Limit | Failure::Oom));
            let must = of_its_own || !gone.stable || watched[gone.channel] > 0;
            self.demand(gone.failed == must, "S3", || format!("an end without a right verdict: {must}"));
        }
        if !gone.failed || watched[gone.channel] == 0 {
            return;
        }
        let of_channel = |it: &Effect| match it {
            Effect::Start { channel, source, .. } if channel.0 as usize == gone.channel => Some(usize::from(*source)),
            _ => None,
        };
        match effects.iter().find_map(of_channel) {
            Some(source) if source == gone.source => return self.hit("the same one at once"),
            Some(_) => return self.hit("another one at once"),
            None => {}
        }
        let channel = &self.channels[gone.channel];
        if channel.is_vague || self.has_obstacle(gone.channel) || !self.has_token() || !self.has_throttle_room() {
            return;
        }
        // The one whose turn it is: another one does not push in because that one has to wait for its account.
        let choice = self.choice(gone.channel, |at| self.is_full(gone.channel, at).1);
        let is_clear = choice == self.choice(gone.channel, |at| self.is_full(gone.channel, at).0);
        let ready = choice.filter(|at| {
            let origin = &channel.origins[*at];
            let is_well = origin.failures_len(self.now) == 0 && origin.state == State::Closed;
            *at != gone.source && is_well && self.is_free(gone.channel, *at, false)
        });
        self.demand(ready.is_none() || !is_clear, "S6", || format!("source {ready:?} of {} was ready", gone.channel));
    }

    /// `must_go`: another one was ready before the step; and it still is.
    fn check_blank(&mut self, event: &Event, must_go: bool) {
        let Event::Blank { generation, .. } = *event else { return };
        let Some(child) = self.children.iter().find(|child| child.generation == generation.0) else { return };
        let holds = child.failed || !must_go || !self.must_take_over(child, self.now);
        self.demand(holds, "S7", || "what shows nothing was kept though another is ready".to_owned());
    }

    /// Whether a child was borne with for longer than it may be.
    fn check_patience(&mut self, index: usize) {
        let now = self.now;
        let mut child = self.children[index].clone();
        let origin = &self.channels[child.channel].origins[child.source];
        let (state, failures_len) = (origin.state, origin.failures_len(child.silent_since()));
        if let State::Half(generation) = state {
            let lives = self.children.iter().any(|other| other.generation == generation && !other.ends);
            self.demand(lives, "S3", || "a probe that does not live is to decide".to_owned());
        }
        if child.ends || child.failed {
            self.demand(child.ends, "S7", || "a child that has failed runs on".to_owned());
            return;
        }
        let spare_since = self.must_take_over(&child, child.silent_since()).then(|| child.spare_since.unwrap_or(now));
        let is_watched = self.viewers_len(child.channel) > 0;
        child.watched_since = is_watched.then(|| child.watched_since.unwrap_or(now));
        self.children[index].spare_since = spare_since;
        self.children[index].watched_since = child.watched_since;
        let late = self.late + 1;
        let since = spare_since.unwrap_or(Ms::MAX / 2);
        if child.first.is_none() {
            let limit = (child.started + START[1]).min((child.started + START[0]).max(since));
            return self.demand(now <= limit + late, "S7", || format!("{} has not started for long", child.channel));
        }
        let is_short = child.is_probe && !child.stable || failures_len == 0 && is_watched;
        let ordinary = SILENCE[usize::from(!is_short)];
        let spare = (child.output + child.spare_silence().min(ordinary)).max(since);
        let ordinary = (child.output + ordinary).max(child.watched_since.unwrap_or(0)).min(child.output + SILENCE[1]);
        let limit = ordinary.min(spare);
        self.demand(now <= limit + late, "S7", || format!("{} is silent for long", child.channel));
        let no_picture = child.picture + SILENCE[1];
        self.demand(now <= no_picture + late, "S7", || format!("{} has had no picture for long", child.channel));
        let slow = child.behind_since.map(|behind| (behind + SLOW).max(since) + SLOW_LOOK + late);
        self.demand(slow.is_none_or(|until| now <= until), "S7", || {
            format!("{} is behind by more than {BEHIND} for long", child.channel)
        });
    }

    fn check_viewers(&mut self) {
        for index in 0..self.viewers.len() {
            let viewer = self.viewers[index];
            let is_late = !viewer.is_in && viewer.asked + TUNE + self.late < self.now;
            self.demand(!is_late, "S9", || format!("viewer {} has no answer", viewer.id));
            let mut living = self.children.iter().filter(|child| child.channel == viewer.channel && !child.ends);
            let plays = living.any(|child| child.first.is_some());
            self.demand(viewer.is_in || !plays, "S9", || format!("viewer {} waits before a picture", viewer.id));
        }
    }

    /// Whether a channel waits for what is there.
    fn check_stuck(&mut self, channel: usize) {
        let now = self.now;
        let waits = self.waits(channel) && !self.channels[channel].is_vague;
        if waits && !self.children.iter().any(|child| child.channel == channel && !child.is_lost) {
            let rests = self.channels[channel].rests(now);
            self.demand(!rests, "S9", || format!("the viewers of {channel} wait, and all its sources rest"));
        }
        let choice =
            self.choice(channel, |at| self.is_full(channel, at).0).filter(|at| self.is_free(channel, *at, true));
        let is_ready = waits && !self.has_obstacle(channel) && self.has_token() && choice.is_some();
        let book = &mut self.channels[channel];
        let since = if is_ready { Some(book.ready_since.unwrap_or(now)) } else { None };
        book.ready_since = since;
        let is_stuck = since.is_some_and(|since| now > since + STUCK + self.late);
        self.demand(!is_stuck, "S10", || format!("channel {channel} might start, and waits"));
    }

    // ---- Looking things up ----------------------------------------------------------------------------------------------

    /// Those who want a channel.
    pub(super) fn viewers_len(&self, channel: usize) -> usize {
        self.viewers.iter().filter(|viewer| viewer.channel == channel).count()
    }

    fn streams(&self, account: u32) -> usize {
        self.children.iter().filter(|child| child.account.is_some_and(|of| of.id == account)).count()
    }

    fn has_token(&self) -> bool {
        self.full_at <= self.now + (self.burst - 1) * PERIOD
    }

    fn has_throttle_room(&self) -> bool {
        let recent = self.restarts.iter().rev().take_while(|at| **at + RESTARTS_SPAN > self.now);
        recent.count() < RESTARTS
    }

    /// What keeps a channel from starting that is not its sources' matter: a child on its way out somewhere, whose slot
    /// it may have, and the board.
    fn has_obstacle(&self, channel: usize) -> bool {
        let hinders = |child: &Child| !child.is_lost && (child.ends || child.channel == channel);
        self.is_draining || !self.is_plenty || self.children.iter().any(hinders)
    }

    /// Whether breaker, cooldown and throttle let it.
    fn may_start(&self, channel: usize, source: usize) -> bool {
        let book = &self.channels[channel];
        let origin = &book.origins[source];
        let is_cold = origin.state == State::Closed && !book.has_failed(self.now);
        let may = match origin.state {
            State::Closed => true,
            State::Open(until) => until <= self.now,
            State::Half(_) => false,
        };
        may && (is_cold || origin.cools_until() <= self.now && self.has_throttle_room())
    }

    /// Those who wait for a child of this channel.
    fn waits(&self, channel: usize) -> bool {
        let runs = self.children.iter().any(|child| child.channel == channel && !child.ends);
        self.viewers_len(channel) > 0 && !runs
    }

    /// Whether others need all streams of its account: surely, and perhaps. Those who wait may be before it.
    fn is_full(&self, channel: usize, source: usize) -> (bool, bool) {
        let Some(account) = self.channels[channel].accounts[source] else { return (false, false) };
        let (needed, ending) = self.needed(channel, account.id);
        let claims = |other: &usize| {
            let book = &self.channels[*other];
            let may_start =
                |at: usize| self.may_start(*other, at) || self.children.iter().any(|it| it.ends && !it.is_lost);
            let is_wished = |at: usize| book.accounts[at].is_some_and(|of| of.id == account.id) && may_start(at);
            *other != channel && self.waits(*other) && (book.is_vague || (0..book.accounts.len()).any(is_wished))
        };
        let claimed = (0..self.channels.len()).filter(claims).count();
        let most = usize::from(account.streams_max);
        (needed >= most, needed + ending + claimed >= most)
    }

    /// Streams of an account that others need, and those that are about to end.
    fn needed(&self, channel: usize, account: u32) -> (usize, usize) {
        let of_account = |child: &&Child| child.account.is_some_and(|of| of.id == account);
        let is_needed = |child: &&Child| {
            child.is_lost || child.channel != channel && !child.ends && self.viewers_len(child.channel) > 0
        };
        let is_ending = |child: &&Child| !child.is_lost && child.channel != channel && child.ends;
        let children = || self.children.iter().filter(of_account);
        (children().filter(is_needed).count(), children().filter(is_ending).count())
    }

    /// The source whose turn it is: of those that may start, the least failed one, and of these the first.
    fn choice(&self, channel: usize, is_full: impl Fn(usize) -> bool) -> Option<usize> {
        let book = &self.channels[channel];
        let may = |at: &usize| self.may_start(channel, *at) && !is_full(*at);
        (0..book.accounts.len()).filter(may).min_by_key(|at| (book.origins[*at].failures_len(self.now), *at))
    }

    /// Whether its account needs no rest and has a stream that nobody has, or that could be had once what nobody watches
    /// is ended.
    fn is_free(&self, channel: usize, source: usize, with_idle: bool) -> bool {
        self.channels[channel].accounts[source].is_none_or(|account| {
            let is_idle = |child: &&Child| {
                child.account.is_some_and(|of| of.id == account.id)
                    && !child.ends
                    && self.viewers_len(child.channel) == 0
            };
            let idle = if with_idle { self.children.iter().filter(is_idle).count() } else { 0 };
            let (streams, allowed) = (self.streams(account.id), usize::from(account.streams_max));
            let resting = if streams < allowed { self.resting(account.id, REST + REST_JITTER) } else { 0 };
            // What is ended for it rests as well, so that it is ended only where nothing else helps.
            let idle = if streams < allowed { 0 } else { idle };
            streams - idle + resting < allowed
        })
    }

    /// Streams of an account that ended no longer ago than that: its provider may still count them.
    fn resting(&self, account: u32, rest: Ms) -> usize {
        self.ended.iter().filter(|(of, ended)| *of == account && self.now < ended + rest).count()
    }

    /// Whether another source has nothing against it, read generously.
    fn may_take_over(&self, child: &Child) -> bool {
        let book = &self.channels[child.channel];
        (0..book.accounts.len()).any(|at| {
            let origin = &book.origins[at];
            let failures_len = origin.failures_len(self.now).min(origin.failures_len(child.silent_since()));
            let may = failures_len == 0 && origin.state == State::Closed && !self.is_full(child.channel, at).0;
            at != child.source && (may || book.is_vague)
        })
    }

    /// Whether somebody watches and another source is ready beyond doubt, and has been since then.
    fn must_take_over(&self, child: &Child, since: Ms) -> bool {
        let book = &self.channels[child.channel];
        let is_ready = |at: usize| {
            let origin = &book.origins[at];
            let is_well = origin.failures_len(since) == 0 && origin.state == State::Closed;
            at != child.source && is_well && origin.cools_until() <= since && !self.is_full(child.channel, at).1
        };
        self.viewers_len(child.channel) > 0 && !book.is_vague && (0..book.accounts.len()).any(is_ready)
    }
}

const _: () = assert!(COOLDOWN < OPEN, "what may be probed has cooled down");

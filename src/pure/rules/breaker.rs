//! A breaker for each channel, with its window of failures and its cooldown.
//!
//! CLOSED: spawns are allowed. OPEN: none is, until the rest is over; then the first demand that passes all other gates
//! is the probe. HALF_OPEN: the probe lives, and its verdict decides. Time alone never closes a breaker, and neither do
//! pruning, a new playlist, or success while it is closed.
//!
//! Only channels that have something to remember are in the table. It is of fixed size; a channel that would not find
//! room is not started (see [`Breakers::has_room_for`]), because forgetting another one's failures would be a way
//! around the guard.
//!
//! Source: our own rules B1 to B14; the states are those of the literature (Nygard, "Release It!").

use crate::limits::{FAILURES_MAX, RECORDS_MAX, SLOTS_MAX};
use crate::model::lineup::{ChannelId, SourceClass};
use crate::rules::constants::Rules;
use crate::rules::failure::Failure;
use crate::time::Mono;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash as _, Hasher};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { failure: Failure, eligible_at: Mono },
    HalfOpen,
}

/// What one channel has done lately.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    /// Oldest first.
    failures: heapless::Deque<Mono, FAILURES_MAX>,
    last_failure: Option<Failure>,
    restarted_at: Option<Mono>,
    /// The window of its source's class when it was last asked for.
    window_ms: u64,
}

/// CLOSED, OPEN or HALF_OPEN, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Spawns are allowed.
    Closed,
    /// It rests, or waits for somebody who wants it.
    Open,
    /// One probe lives.
    HalfOpen,
}

/// A channel that has something to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelView {
    /// Which.
    pub channel: ChannelId,
    /// In what state.
    pub state: BreakerState,
    /// Failures in the window.
    pub failures_len: usize,
    /// The last one.
    pub last_failure: Option<Failure>,
    /// While OPEN: when a probe may be tried; in the past when it may now.
    pub open_until: Option<Mono>,
    /// When the next restart may be; in the past when it may now.
    pub restart_at: Option<Mono>,
}

impl Breaker {
    const fn new(window_ms: u64) -> Self {
        Self {
            state: State::Closed,
            failures: heapless::Deque::new(),
            last_failure: None,
            restarted_at: None,
            window_ms,
        }
    }

    /// Failures strictly younger than the window.
    pub fn failures_len(&self, now: Mono) -> usize {
        self.failures.iter().filter(|at| at.plus_ms(self.window_ms) > now).count()
    }

    /// Whether it may be forgotten: nothing in it changes what happens next.
    fn is_at_rest(&self, now: Mono, rules: &Rules) -> bool {
        let window_ms = rules.window_ms(SourceClass::File).max(self.window_ms);
        self.state == State::Closed
            && self.failures.iter().all(|at| at.plus_ms(window_ms) <= now)
            && self.restarted_at.is_none_or(|at| at.plus_ms(rules.cooldown_ms) <= now)
    }

    fn push_failure(&mut self, at: Mono) {
        if self.failures.is_full() {
            self.failures.pop_front();
        }
        assert!(self.failures.push_back(at).is_ok(), "room was just made");
    }

    fn view(&self, now: Mono, channel: ChannelId, rules: &Rules) -> ChannelView {
        ChannelView {
            channel,
            state: match self.state {
                State::Closed => BreakerState::Closed,
                State::Open { .. } => BreakerState::Open,
                State::HalfOpen => BreakerState::HalfOpen,
            },
            failures_len: self.failures_len(now),
            last_failure: self.last_failure,
            open_until: match self.state {
                State::Open { eligible_at, .. } => Some(eligible_at),
                State::Closed | State::HalfOpen => None,
            },
            restart_at: self.restarted_at.map(|at| at.plus_ms(rules.cooldown_ms)),
        }
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Breakers {
    /// Sorted by channel; room is taken once.
    records: Vec<(ChannelId, Breaker)>,
}

impl Default for Breakers {
    fn default() -> Self {
        Self { records: Vec::with_capacity(RECORDS_MAX) }
    }
}

impl Breakers {
    fn get(&self, channel: ChannelId) -> Option<&Breaker> {
        let index = self.records.binary_search_by_key(&channel, |(known, _)| *known).ok()?;
        self.records.get(index).map(|(_, breaker)| breaker)
    }

    fn get_mut(&mut self, channel: ChannelId) -> Option<&mut Breaker> {
        let index = self.records.binary_search_by_key(&channel, |(known, _)| *known).ok()?;
        self.records.get_mut(index).map(|(_, breaker)| breaker)
    }

    /// Whether a failure of `channel` could be remembered, even if every slot's attempt failed before it.
    pub fn has_room_for(&self, channel: ChannelId) -> bool {
        self.records.len() + SLOTS_MAX < RECORDS_MAX || self.get(channel).is_some()
    }

    /// Forgets what no longer matters.
    pub fn tidy(&mut self, now: Mono, rules: &Rules) {
        self.records.retain(|(_, breaker)| !breaker.is_at_rest(now, rules));
    }

    /// Failures of a channel in its window.
    pub fn failures_len(&self, now: Mono, channel: ChannelId) -> usize {
        self.get(channel).map_or(0, |breaker| breaker.failures_len(now))
    }

    /// When its last failure is out of the window.
    pub fn forgiven_at(&self, channel: ChannelId) -> Option<Mono> {
        let breaker = self.get(channel)?;
        breaker.failures.back().map(|at| at.plus_ms(breaker.window_ms))
    }

    /// Its last failure.
    pub fn last_failure(&self, channel: ChannelId) -> Option<Failure> {
        self.get(channel)?.last_failure
    }

    /// While OPEN: why, and until when.
    pub fn open(&self, channel: ChannelId) -> Option<(Failure, Mono)> {
        match self.get(channel)?.state {
            State::Open { failure, eligible_at } => Some((failure, eligible_at)),
            State::Closed | State::HalfOpen => None,
        }
    }

    /// Whether its probe lives.
    pub fn is_half_open(&self, channel: ChannelId) -> bool {
        self.get(channel).is_some_and(|breaker| breaker.state == State::HalfOpen)
    }

    /// When its next restart may be.
    pub fn cooldown_until(&self, channel: ChannelId, rules: &Rules) -> Mono {
        let restarted_at = self.get(channel).and_then(|breaker| breaker.restarted_at);
        restarted_at.map_or(Mono(0), |at| at.plus_ms(rules.cooldown_ms))
    }

    /// The class of its source is this one now; failures are counted in that class's window.
    pub fn set_class(&mut self, channel: ChannelId, class: SourceClass, rules: &Rules) {
        if let Some(breaker) = self.get_mut(channel) {
            breaker.window_ms = rules.window_ms(class);
        }
    }

    /// A restart was committed.
    pub fn restarted(&mut self, now: Mono, channel: ChannelId) {
        let breaker = self.get_mut(channel).expect("a restart has failures that made it one");
        breaker.restarted_at = Some(now);
    }

    /// Its source wants to be left alone until then: as if it had been restarted as much later.
    pub fn wait(&mut self, channel: ChannelId, until: Mono, rules: &Rules) {
        if let Some(breaker) = self.get_mut(channel) {
            breaker.restarted_at = breaker.restarted_at.max(Some(Mono(until.0.saturating_sub(rules.cooldown_ms))));
        }
    }

    /// The probe was committed.
    pub fn probing(&mut self, channel: ChannelId) {
        let breaker = self.get_mut(channel).expect("only an OPEN breaker is probed");
        breaker.state = State::HalfOpen;
    }

    /// A living attempt failed. Tells when that opens the breaker, and until when.
    pub fn fail(
        &mut self,
        now: Mono,
        channel: ChannelId,
        class: SourceClass,
        failure: Failure,
        rules: &Rules,
    ) -> Option<Mono> {
        let breaker = match self.records.binary_search_by_key(&channel, |(known, _)| *known) {
            Ok(index) => self.records.get_mut(index),
            Err(index) => {
                assert!(self.records.len() < RECORDS_MAX, "room was asked for before the spawn");
                self.records.insert(index, (channel, Breaker::new(rules.window_ms(class))));
                self.records.get_mut(index)
            }
        };
        let (_, breaker) = breaker.expect("found or inserted");
        breaker.last_failure = Some(failure);
        breaker.push_failure(now);
        let opens =
            breaker.state == State::HalfOpen || failure.is_final() || breaker.failures_len(now) >= rules.failures_max;
        let eligible_at = now.plus_ms(rules.open_ms);
        if opens {
            breaker.state = State::Open { failure, eligible_at };
        }
        opens.then_some(eligible_at)
    }

    /// An attempt failed while the probe of its channel lives beside it: that is counted, and the probe decides.
    pub fn fail_beside_probe(&mut self, now: Mono, channel: ChannelId, failure: Failure) {
        let breaker = self.get_mut(channel).expect("a HALF_OPEN breaker has a record");
        assert_eq!(breaker.state, State::HalfOpen, "a probe lives beside it");
        breaker.last_failure = Some(failure);
        breaker.push_failure(now);
    }

    /// The probe is stable: the window is forgotten.
    pub fn close(&mut self, channel: ChannelId) {
        if let Some(breaker) = self.get_mut(channel) {
            assert_eq!(breaker.state, State::HalfOpen, "only a probe closes a breaker");
            breaker.state = State::Closed;
            breaker.failures.clear();
        }
    }

    /// The probe ended without a verdict: another one may be tried, when the cooldown allows.
    pub fn inconclusive(&mut self, now: Mono, channel: ChannelId) {
        if let Some(breaker) = self.get_mut(channel) {
            if breaker.state == State::HalfOpen {
                let failure = breaker.last_failure.unwrap_or(Failure::EarlyExit);
                breaker.state = State::Open { failure, eligible_at: now };
            }
        }
    }

    /// A person wants one probe now; the window stays.
    pub fn reset(&mut self, now: Mono, channel: ChannelId) {
        if let Some(breaker) = self.get_mut(channel) {
            if let State::Open { failure, eligible_at } = breaker.state {
                breaker.state = State::Open { failure, eligible_at: eligible_at.min(now) };
            }
        }
    }

    /// All channels that have something to remember, by id.
    pub fn views(&self, now: Mono, rules: &Rules) -> impl Iterator<Item = ChannelView> {
        self.records.iter().map(move |(channel, breaker)| breaker.view(now, *channel, rules))
    }

    pub(super) fn fingerprint(&self, now: Mono, rules: &Rules, hasher: &mut impl Hasher) {
        for (channel, breaker) in &self.records {
            if breaker.is_at_rest(now, rules) {
                continue;
            }
            channel.0.hash(hasher);
            match breaker.state {
                State::Closed => 0_u64.hash(hasher),
                State::HalfOpen => 1_u64.hash(hasher),
                // All moments at which it is eligible are alike.
                State::Open { eligible_at, failure } => {
                    (2 + eligible_at.ms_since(now), failure.is_final()).hash(hasher);
                }
            }
            for at in breaker.failures.iter().filter(|at| at.plus_ms(breaker.window_ms) > now) {
                now.ms_since(*at).hash(hasher);
            }
            let cooldown_ms = breaker.restarted_at.map_or(0, |at| at.plus_ms(rules.cooldown_ms).ms_since(now));
            (u64::MAX, cooldown_ms).hash(hasher);
        }
    }

    // ---- The snapshot -----------------------------------------------------------------------------------------------

    /// Writes one line for each channel: id, window, state, restart, last failure, failures.
    pub(super) fn remember(&self, out: &mut impl fmt::Write) -> fmt::Result {
        for (channel, breaker) in &self.records {
            write!(out, "channel {} {}", channel.0, breaker.window_ms)?;
            match breaker.state {
                State::Closed => write!(out, " closed -")?,
                State::HalfOpen => write!(out, " half-open -")?,
                State::Open { eligible_at, .. } => write!(out, " open {}", eligible_at.0)?,
            }
            match breaker.restarted_at {
                Some(at) => write!(out, " {}", at.0)?,
                None => write!(out, " -")?,
            }
            write!(out, " {}", breaker.last_failure.map_or("-", Failure::name))?;
            for at in &breaker.failures {
                write!(out, " {}", at.0)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// Takes one of these lines back, without its first word. A probe that lived has died without a verdict.
    pub(super) fn recall(&mut self, now: Mono, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
        let channel = ChannelId(u32::try_from(number(words.next())?).ok()?);
        let window_ms = number(words.next())?;
        let (state, eligible_at) = (words.next()?, words.next()?);
        let restarted_at = words.next().and_then(|word| word.parse().ok()).map(Mono);
        let last_failure = words.next().and_then(Failure::from_name);
        let mut breaker = Breaker { last_failure, restarted_at, ..Breaker::new(window_ms) };
        let failure = last_failure.unwrap_or(Failure::EarlyExit);
        breaker.state = match state {
            "closed" => State::Closed,
            "half-open" => State::Open { failure, eligible_at: now },
            "open" => State::Open { failure, eligible_at: Mono(eligible_at.parse().ok()?) },
            _ => return None,
        };
        for at in words {
            breaker.push_failure(Mono(at.parse().ok()?));
        }
        match self.records.binary_search_by_key(&channel, |(known, _)| *known) {
            Err(index) if self.records.len() < RECORDS_MAX => self.records.insert(index, (channel, breaker)),
            Ok(_) | Err(_) => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    const RULES: Rules = Rules::DEFAULT;
    const CHANNEL: ChannelId = ChannelId(7);

    fn fail(breakers: &mut Breakers, at: u64) -> Option<Mono> {
        breakers.fail(Mono(at), CHANNEL, SourceClass::Live, Failure::EarlyExit, &RULES)
    }

    #[test]
    fn the_fifth_failure_within_the_window_opens_at_once() {
        let mut breakers = Breakers::default();
        for at in [0, 75_000, 150_000, 225_000] {
            assert_eq!(fail(&mut breakers, at), None);
        }
        assert_eq!(
            fail(&mut breakers, 300_000),
            None,
            "the first one is exactly as old as the window: it no longer counts"
        );
        assert_eq!(fail(&mut breakers, 300_001), Some(Mono(420_001)));
        assert_eq!(breakers.open(CHANNEL), Some((Failure::EarlyExit, Mono(420_001))));
        breakers.tidy(Mono(10_000_000), &RULES);
        assert!(breakers.open(CHANNEL).is_some(), "time alone never closes it");
    }

    #[test]
    fn a_probe_closes_or_opens_and_without_a_verdict_another_may_follow() {
        let mut breakers = Breakers::default();
        for at in 0..5 {
            fail(&mut breakers, at);
        }
        breakers.probing(CHANNEL);
        assert!(breakers.is_half_open(CHANNEL));
        assert_eq!(fail(&mut breakers, 200_000), Some(Mono(320_000)), "one failure is enough");
        breakers.probing(CHANNEL);
        breakers.inconclusive(Mono(400_000), CHANNEL);
        assert_eq!(breakers.open(CHANNEL), Some((Failure::EarlyExit, Mono(400_000))));
        breakers.probing(CHANNEL);
        breakers.close(CHANNEL);
        assert_eq!((breakers.open(CHANNEL), breakers.failures_len(Mono(400_000), CHANNEL)), (None, 0));
        assert_eq!(breakers.last_failure(CHANNEL), Some(Failure::EarlyExit), "what it was is still told");
    }

    #[test]
    fn what_cannot_get_better_opens_with_the_first_failure() {
        let mut breakers = Breakers::default();
        assert!(breakers.fail(Mono(5), CHANNEL, SourceClass::Live, Failure::Config, &RULES).is_some());
        breakers.reset(Mono(100), CHANNEL);
        assert_eq!(breakers.open(CHANNEL), Some((Failure::Config, Mono(100))), "a person may have changed something");
        assert_eq!(breakers.failures_len(Mono(100), CHANNEL), 1);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_only_what_no_longer_matters() {
        let mut breakers = Breakers::default();
        let mut id = 0;
        while breakers.has_room_for(ChannelId(id)) {
            breakers.fail(Mono(1), ChannelId(id), SourceClass::Live, Failure::Http, &RULES);
            id += 1;
        }
        assert_eq!(id as usize, RECORDS_MAX - SLOTS_MAX);
        assert!(breakers.has_room_for(ChannelId(3)), "it is in there");
        breakers.tidy(Mono(300_000), &RULES);
        assert!(!breakers.has_room_for(ChannelId(id)), "as a file's, its window would not be over");
        breakers.tidy(Mono(1_050_001), &RULES);
        assert!(breakers.has_room_for(ChannelId(id)));
    }

    #[test]
    fn a_snapshot_is_taken_back_and_rubbish_is_not() {
        let mut breakers = Breakers::default();
        for at in [10, 20, 30] {
            fail(&mut breakers, at);
        }
        breakers.restarted(Mono(25), CHANNEL);
        breakers.fail(Mono(40), ChannelId(9), SourceClass::File, Failure::Policy, &RULES);
        breakers.fail(Mono(50), ChannelId(8), SourceClass::File, Failure::Config, &RULES);
        breakers.probing(ChannelId(8));
        let mut text = String::new();
        breakers.remember(&mut text).unwrap();
        let mut again = Breakers::default();
        for line in text.lines() {
            again.recall(Mono(60), line.strip_prefix("channel ").unwrap()).unwrap();
        }
        let views = |breakers: &Breakers| breakers.views(Mono(60), &RULES).collect::<Vec<_>>();
        let (before, after) = (views(&breakers), views(&again));
        assert_eq!((before[0], before[2]), (after[0], after[2]));
        assert_eq!((after[1].state, after[1].open_until), (BreakerState::Open, Some(Mono(60))), "its probe died");
        for rubbish in ["", "7", "7 300000 ajar - - -", "x 1 closed - - -", "7 1 open soon - -", "7 1 closed - - - x"] {
            assert_eq!(Breakers::default().recall(Mono(60), rubbish), None, "{rubbish}");
        }
    }
}

//! Who is told what, and when: neither too soon, nor too often, nor forty times.
//!
//! [`Notices`] is shown everything that is wrong, again and again, and makes notices of what stays so: after a while, for
//! all of one provider together, not again soon, and with the good end only for what was told. [`Outbox`] keeps what one
//! place is still to be told, at its pace, and tries again. What is wrong is seen by the daemon's `notices`; that also
//! has the words and sends them.

use crate::limits::{
    NOTICE_GROUP_MS, NOTICE_QUEUE_MAX, NOTICE_REFRESH_TIMES, NOTICE_REPEAT_MS, NOTICE_RETRY_MS_MAX,
    NOTICE_RETRY_MS_MIN, NOTICE_SUBJECTS_MAX, NOTICE_TRIES_MAX, NOTICES_BURST, NOTICES_PERIOD_MS, NOTICES_TARGET_BURST,
};
use crate::model::lineup::ChannelId;
use crate::model::notification::Event;
use crate::model::subscription::SubscriptionId;
use crate::rules::bucket::Bucket;
use crate::time::Mono;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A channel, none of whose sources can be had.
    Channel(ChannelId),
    /// An account that ends soon.
    Expires(SubscriptionId),
    /// An account that has ended.
    Expired(SubscriptionId),
    /// A subscription whose last refresh failed.
    Failing(SubscriptionId),
    /// Restarts wait for each other.
    Storm,
    /// Most of what is watched cannot be had.
    Outage,
}

impl Subject {
    const fn begins(self) -> Event {
        match self {
            Self::Channel(_) => Event::ChannelIll,
            Self::Expires(_) => Event::SourceExpires,
            Self::Expired(_) => Event::SourceExpired,
            Self::Failing(_) => Event::SourceFailing,
            Self::Storm => Event::Storm,
            Self::Outage => Event::Outage,
        }
    }

    /// What is told at the end, if anything.
    const fn ends(self) -> Option<Event> {
        match self {
            Self::Channel(_) => Some(Event::ChannelRecovered),
            Self::Failing(_) => Some(Event::SourceRecovered),
            Self::Outage => Some(Event::OutageOver),
            Self::Expires(_) | Self::Expired(_) | Self::Storm => None,
        }
    }
}

/// How patient the box is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long something must be ill, and how long well again.
    pub after_ms: u64,
    /// How long others are waited for.
    pub collect_ms: u64,
    /// For how long after the start nothing is told.
    pub quiet_ms: u64,
}

impl Timing {
    /// How long this must last; alarms have waited already.
    const fn after_ms(self, subject: Subject) -> u64 {
        match subject {
            Subject::Channel(_) => self.after_ms,
            Subject::Failing(_) => self.after_ms.saturating_mul(NOTICE_REFRESH_TIMES),
            Subject::Expires(_) | Subject::Expired(_) | Subject::Storm | Subject::Outage => 0,
        }
    }
}

/// What is to be told, about one thing or about several of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// Whose channels these are, if a subscription's.
    pub of: Option<SubscriptionId>,
    /// To what.
    pub subjects: Vec<Subject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Wrong since then, and not told.
    Wrong(Mono),
    /// Told.
    Told,
    /// Told, and well since then.
    Well(Mono),
    /// Over; remembered only so that it is not told again too soon.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Condition {
    of: Option<SubscriptionId>,
    state: State,
    told_at: Option<Mono>,
}

/// What is told together.
type Group = (Event, Option<SubscriptionId>);

/// Everything that is wrong, and what of it was told.
#[derive(Debug)]
pub struct Notices {
    timing: Timing,
    speaks_from: Mono,
    conditions: BTreeMap<Subject, Condition>,
    /// When each group was told of last.
    groups: BTreeMap<Group, Mono>,
    bucket: Bucket,
    /// Things for which there was no room.
    pub left_out: u64,
}

impl Notices {
    /// Nothing is wrong yet.
    pub fn new(now: Mono, timing: Timing) -> Self {
        Self {
            timing,
            speaks_from: now.plus_ms(timing.quiet_ms),
            conditions: BTreeMap::new(),
            groups: BTreeMap::new(),
            bucket: Bucket::new(NOTICES_PERIOD_MS, NOTICES_BURST),
            left_out: 0,
        }
    }

    /// Whether something that is wrong now is new here: whoever looks may have to find out whose it is.
    pub fn knows(&self, subject: Subject) -> bool {
        self.conditions.contains_key(&subject)
    }

    /// What was told before the box was started, and has no end that is told.
    pub fn recall(&mut self, now: Mono, told: impl Iterator<Item = Subject>) {
        for subject in told.filter(|subject| subject.ends().is_none()).take(NOTICE_SUBJECTS_MAX) {
            self.conditions.insert(subject, Condition { of: None, state: State::Told, told_at: Some(now) });
        }
    }

    /// Everything that is wrong now, each with its subscription.
    pub fn look(&mut self, now: Mono, wrong: &BTreeMap<Subject, Option<SubscriptionId>>) {
        self.conditions.retain(|subject, condition| {
            if !wrong.contains_key(subject) {
                condition.state = match (condition.state, subject.ends()) {
                    (State::Told, Some(_)) => State::Well(now),
                    (State::Told | State::Wrong(_), _) => State::Over,
                    (state, _) => state,
                };
            }
            let is_recent = condition.told_at.is_some_and(|at| now < at.plus_ms(NOTICE_REPEAT_MS));
            condition.state != State::Over || is_recent
        });
        for (subject, of) in wrong {
            if let Some(condition) = self.conditions.get_mut(subject) {
                condition.of = *of;
                condition.state = match condition.state {
                    State::Well(_) => State::Told,
                    State::Over => State::Wrong(now),
                    state => state,
                };
            } else if self.conditions.len() < NOTICE_SUBJECTS_MAX {
                self.conditions.insert(*subject, Condition { of: *of, state: State::Wrong(now), told_at: None });
            } else {
                self.left_out += 1;
            }
        }
        self.groups.retain(|_, told_at| now < told_at.plus_ms(NOTICE_GROUP_MS));
    }

    /// In which group something is to be told, and from when on it is worth it.
    fn ripens(&self, subject: Subject, condition: &Condition) -> Option<(Group, Mono)> {
        let after_ms = self.timing.after_ms(subject);
        let (event, from) = match condition.state {
            State::Wrong(since) => {
                let repeat = condition.told_at.map_or(since, |at| at.plus_ms(NOTICE_REPEAT_MS));
                (subject.begins(), since.plus_ms(after_ms).max(repeat))
            }
            State::Well(since) => (subject.ends()?, since.plus_ms(after_ms.min(self.timing.after_ms))),
            State::Told | State::Over => return None,
        };
        let of = if matches!(subject, Subject::Channel(_)) { condition.of } else { None };
        Some(((event, of), from))
    }

    /// The next notice that is to be told now; called until there is none.
    pub fn take(&mut self, now: Mono) -> Option<Notice> {
        if now < self.speaks_from {
            return None;
        }
        let mut due: BTreeMap<Group, Mono> = BTreeMap::new();
        for (subject, condition) in &self.conditions {
            if let Some((group, from)) = self.ripens(*subject, condition) {
                let first = due.entry(group).or_insert(from);
                *first = (*first).min(from);
            }
        }
        let is_due = |(group, first): &(Group, Mono)| {
            let next = self.groups.get(group).map_or(Mono(0), |told_at| told_at.plus_ms(NOTICE_GROUP_MS));
            now >= next.max(first.plus_ms(self.timing.collect_ms))
        };
        // The one that waits longest.
        let (group, _) = due.into_iter().filter(is_due).min_by_key(|(_, first)| *first)?;
        if !self.bucket.take(now) {
            return None;
        }
        let ripe = |(subject, condition): (&Subject, &Condition)| {
            self.ripens(*subject, condition).filter(|(of, from)| *of == group && *from <= now).map(|_| *subject)
        };
        let subjects: Vec<Subject> = self.conditions.iter().filter_map(ripe).collect();
        for subject in &subjects {
            if let Some(condition) = self.conditions.get_mut(subject) {
                (condition.state, condition.told_at) = match condition.state {
                    State::Wrong(_) => (State::Told, Some(now)),
                    _ => (State::Over, condition.told_at),
                };
            }
        }
        self.groups.insert(group, now);
        Some(Notice { event: group.0, of: group.1, subjects })
    }

    /// What is wrong, was told, and would be told again after a start if nobody remembered.
    pub fn told(&self) -> impl Iterator<Item = Subject> {
        let is_told = |(subject, condition): &(&Subject, &Condition)| {
            condition.state == State::Told && subject.ends().is_none() && **subject != Subject::Storm
        };
        self.conditions.iter().filter(is_told).map(|(subject, _)| *subject)
    }
}

// ---- Sending --------------------------------------------------------------------------------------------------------

/// How a try to send went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is there.
    Done,
    /// It is not, and may be later; not before so many milliseconds, if that was said.
    Later(Option<u64>),
    /// It never will be.
    Never,
}

/// What one place is still to be told, in order.
#[derive(Debug)]
pub struct Outbox<M> {
    waiting: heapless::Deque<M, NOTICE_QUEUE_MAX>,
    bucket: Bucket,
    tries: u8,
    not_before: Mono,
    /// Messages that were not sent: too many, or given up.
    left_out: u32,
    /// So many of these are told by the message that is being sent.
    shown: u32,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        let bucket = Bucket::new(NOTICES_PERIOD_MS, NOTICES_TARGET_BURST);
        Self { waiting: heapless::Deque::new(), bucket, tries: 0, not_before: Mono(0), left_out: 0, shown: 0 }
    }
}

impl<M> Outbox<M> {
    /// One more message. Where there are too many, the oldest is left out that is not just being tried.
    pub fn push(&mut self, message: M) {
        if self.waiting.is_full() {
            let first = if self.tries > 0 { self.waiting.pop_front() } else { None };
            drop(self.waiting.pop_front());
            self.left_out += 1;
            if let Some(first) = first {
                drop(self.waiting.push_front(first));
            }
        }
        assert!(self.waiting.push_back(message).is_ok(), "room was just made");
    }

    /// When the next try is; none while nothing waits.
    pub fn next_try(&self) -> Option<Mono> {
        let fresh = if self.tries == 0 { self.bucket.ready_at() } else { Mono(0) };
        (!self.waiting.is_empty()).then(|| fresh.max(self.not_before))
    }

    /// The message to try now, and how many were left out before it. [`Outbox::tried`] must follow.
    pub fn start(&mut self, now: Mono) -> Option<(&M, u32)> {
        if self.next_try().is_none_or(|at| now < at) || self.tries == 0 && !self.bucket.take(now) {
            return None;
        }
        self.tries += 1;
        self.shown = self.left_out;
        self.waiting.front().map(|message| (message, self.left_out))
    }

    /// How that went. Says whether it was given up.
    pub fn tried(&mut self, now: Mono, sent: Sent) -> bool {
        let (is_over, is_lost) = match sent {
            Sent::Done => (true, false),
            Sent::Never => (true, true),
            Sent::Later(_) => (self.tries >= NOTICE_TRIES_MAX, self.tries >= NOTICE_TRIES_MAX),
        };
        if let Sent::Later(wait_ms) = sent {
            // Also the next one must not knock sooner.
            let pause =
                3_u64.saturating_pow(u32::from(self.tries.saturating_sub(1))).saturating_mul(NOTICE_RETRY_MS_MIN);
            self.not_before = now.plus_ms(pause.min(NOTICE_RETRY_MS_MAX).max(wait_ms.unwrap_or(0)));
        }
        if is_over {
            drop(self.waiting.pop_front());
            self.tries = 0;
            self.left_out = if is_lost { self.left_out + 1 } else { self.left_out - self.shown };
        }
        is_lost
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const TIMING: Timing = Timing { after_ms: 60_000, collect_ms: 15_000, quiet_ms: 120_000 };
    const PROVIDER: Option<SubscriptionId> = Some(SubscriptionId(7));

    /// A box that is looked at once a second, and all that it tells: second, event, how many.
    struct Story {
        notices: Notices,
        second: u64,
        told: Vec<(u64, Event, usize)>,
    }

    impl Story {
        fn new() -> Self {
            let notices = Notices::new(Mono(0), TIMING);
            Self { notices, second: 0, told: Vec::new() }
        }

        /// The same, when it may speak.
        fn awake() -> Self {
            let mut story = Self::new();
            story.until(1_000, &[]);
            story
        }

        fn until(&mut self, second: u64, wrong: &[Subject]) {
            let wrong: BTreeMap<_, _> = wrong.iter().map(|subject| (*subject, PROVIDER)).collect();
            while self.second < second {
                self.second += 1;
                let now = Mono(self.second * 1_000);
                self.notices.look(now, &wrong);
                while let Some(notice) = self.notices.take(now) {
                    assert!(!notice.subjects.is_empty());
                    self.told.push((self.second, notice.event, notice.subjects.len()));
                }
            }
        }
    }

    fn channel(id: u32) -> Subject {
        Subject::Channel(ChannelId(id))
    }

    fn channels(ids: core::ops::Range<u32>) -> Vec<Subject> {
        ids.map(channel).collect()
    }

    #[test]
    fn what_is_ill_for_a_moment_tells_nobody_and_what_stays_ill_is_told_once() {
        let mut story = Story::awake();
        for round in 0..20 {
            story.until(1_050 + round * 100, &[channel(1)]);
            story.until(1_100 + round * 100, &[]);
        }
        assert_eq!(story.told, []);
        story.until(20_000, &[channel(1)]);
        assert_eq!(story.told, [(3_001 + 75, Event::ChannelIll, 1)], "a minute, and 15 seconds for others");
        story.until(20_300, &[]);
        assert_eq!(story.told[1..], [(20_001 + 75, Event::ChannelRecovered, 1)]);
    }

    #[test]
    fn forty_channels_of_a_provider_are_one_message_and_so_is_their_recovery() {
        let mut story = Story::awake();
        for ill in 1..=40 {
            story.until(1_000 + u64::from(ill) / 4, &channels(0..ill));
        }
        story.until(4_000, &channels(0..40));
        assert_eq!(story.told, [(1_001 + 75, Event::ChannelIll, 40)]);
        story.until(5_000, &[]);
        assert_eq!(story.told[1..], [(4_001 + 75, Event::ChannelRecovered, 40)]);
    }

    #[test]
    fn another_provider_is_another_message() {
        let mut notices = Notices::new(Mono(0), TIMING);
        let wrong = (0..10).map(|id| (channel(id), Some(SubscriptionId(id % 2)))).collect();
        notices.look(Mono(0), &wrong);
        let told: Vec<Notice> = core::iter::from_fn(|| notices.take(Mono(500_000))).collect();
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].of, Some(SubscriptionId(0)));
        assert_eq!(told[0].subjects, [0, 2, 4, 6, 8].map(channel));
    }

    #[test]
    fn those_that_follow_later_wait_for_each_other() {
        let mut story = Story::awake();
        for ill in 1..=100 {
            story.until(1_000 + u64::from(ill) * 12, &channels(0..ill));
        }
        story.until(4_000, &channels(0..100));
        let all: usize = story.told.iter().map(|(_, _, len)| len).sum();
        assert_eq!(all, 100, "each of them is told once");
        assert!(story.told.len() <= 6, "every five minutes: {:?}", story.told);
    }

    #[test]
    fn a_channel_that_comes_and_goes_is_told_once_an_hour_at_most() {
        let mut story = Story::awake();
        for round in 0..60 {
            story.until(1_000 + round * 600 + 300, &[channel(1)]);
            story.until(1_000 + round * 600 + 600, &[]);
        }
        let ill: Vec<u64> = story.told.iter().filter(|told| told.1 == Event::ChannelIll).map(|told| told.0).collect();
        assert!((9..=10).contains(&ill.len()), "ten hours: {:?}", story.told);
        assert!(ill.windows(2).all(|pair| pair[1] - pair[0] >= 3_600));
        let recovered = story.told.iter().filter(|told| told.1 == Event::ChannelRecovered).count();
        assert!(recovered <= ill.len(), "only what was told ill is told well");
    }

    #[test]
    fn nothing_is_told_right_after_a_start_and_nothing_twice_by_it() {
        let mut story = Story::new();
        let expired = Subject::Expired(SubscriptionId(7));
        story.until(500, &[channel(1), expired, Subject::Outage]);
        assert!(story.told.iter().all(|told| told.0 >= 120), "{:?}", story.told);
        assert_eq!(story.told.len(), 3);
        assert_eq!(story.notices.told().collect::<Vec<_>>(), [expired], "the others have an end that is told");
        let mut next = Story::new();
        next.notices.recall(Mono(0), story.notices.told());
        next.until(5_000, &[expired]);
        assert_eq!(next.told, []);
        next.until(10_000, &[]);
        next.until(20_000, &[expired]);
        assert_eq!(next.told, [(10_001 + 15, Event::SourceExpired, 1)], "it was paid for meanwhile, and ended again");
    }

    #[test]
    fn a_refresh_may_fail_for_longer_and_alarms_are_told_at_once() {
        let mut story = Story::awake();
        let failing = Subject::Failing(SubscriptionId(7));
        story.until(1_500, &[failing]);
        story.until(1_600, &[]);
        assert_eq!(story.told, []);
        story.until(2_300, &[failing, Subject::Storm]);
        assert_eq!(story.told, [(1_616, Event::Storm, 1), (2_216, Event::SourceFailing, 1)]);
        story.until(9_000, &[]);
        assert_eq!(story.told[2..], [(2_376, Event::SourceRecovered, 1)], "a storm just ends");
    }

    #[test]
    fn tables_and_messages_are_bounded_whatever_happens() {
        let mut story = Story::awake();
        story.until(1_100, &channels(0..5_000));
        assert_eq!(story.notices.conditions.len(), NOTICE_SUBJECTS_MAX);
        assert!(story.notices.left_out > 0);
        let mut notices = Notices::new(Mono(0), TIMING);
        let mut told = 0;
        for second in 0..1_000 {
            // Each provider has a channel that falls ill, all the time.
            let id = |n: u64| u32::try_from(n).unwrap();
            let wrong = (0..200).map(|n| (channel(id(n + second / 600 * 200)), Some(SubscriptionId(id(n))))).collect();
            let now = Mono((200 + second) * 1_000);
            notices.look(now, &wrong);
            while notices.take(now).is_some() {
                told += 1;
            }
            assert!(notices.groups.len() <= 400 && notices.conditions.len() <= NOTICE_SUBJECTS_MAX);
        }
        assert!((20..=10 + 1_000 / 60 + 1).contains(&told), "one a minute: {told}");
    }

    #[test]
    fn a_place_gets_its_messages_in_order_and_at_its_pace() {
        let mut outbox = Outbox::default();
        for message in 0..8 {
            outbox.push(message);
        }
        let mut got = Vec::new();
        for second in 0..600 {
            let now = Mono(1_000_000 + second * 1_000);
            while let Some((message, 0)) = outbox.start(now) {
                got.push((second, *message));
                assert!(!outbox.tried(now, Sent::Done));
            }
        }
        assert_eq!(got, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (60, 5), (120, 6), (180, 7)]);
        assert!(outbox.is_empty() && outbox.next_try().is_none());
    }

    #[test]
    fn a_place_that_cannot_be_reached_is_tried_again_and_then_given_up() {
        let mut outbox = Outbox::default();
        outbox.push("first");
        let (mut now, mut tries) = (Mono(1_000_000), vec![]);
        while let Some(at) = outbox.next_try() {
            now = now.max(at);
            tries.push(now.0 / 1_000 - 1_000);
            assert_eq!(outbox.start(now), Some((&"first", 0)));
            outbox.tried(now, Sent::Later(None));
        }
        assert_eq!(tries, [0, 15, 60, 195, 600, 1_500]);
        outbox.push("second");
        assert_eq!(outbox.start(now), None, "and the next one does not knock at once");
        let now = outbox.next_try().unwrap();
        assert_eq!(outbox.start(now), Some((&"second", 1)), "it says what is missing");
        assert!(!outbox.tried(now, Sent::Later(Some(7_200_000))));
        assert_eq!(outbox.next_try(), Some(now.plus_ms(7_200_000)), "whoever is asked to wait waits");
        let now = outbox.next_try().unwrap();
        assert!(outbox.start(now).is_some() && outbox.tried(now, Sent::Never));
    }

    #[test]
    fn too_many_messages_leave_the_oldest_out_but_not_the_one_that_is_being_sent() {
        let mut outbox = Outbox::default();
        outbox.push(0);
        let now = Mono(1_000_000);
        assert_eq!(outbox.start(now), Some((&0, 0)));
        for message in 1..100 {
            outbox.push(message);
        }
        assert_eq!(outbox.len(), NOTICE_QUEUE_MAX);
        outbox.tried(now, Sent::Later(None));
        let now = outbox.next_try().unwrap();
        assert_eq!(outbox.start(now), Some((&0, 84)));
        outbox.tried(now, Sent::Done);
        assert_eq!(outbox.start(now), Some((&85, 0)), "the one before has said what is missing");
    }
}

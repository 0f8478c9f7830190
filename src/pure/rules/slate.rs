//! Slates: what viewers see who hold on without a picture, and when.
//!
//! A slate is a picture with the reason and the time of the next try, made beforehand and played over and over. Here:
//! when a slot's viewers are shown one, what it says, and when it must stop. Not here: what it looks like
//! (`slate/card.rs`), how it is made (`crate::model::recipe`, the daemon's `engine::slates`), and how long viewers are
//! held, which a slate does not change (`crate::rules::pool`).
//!
//! The invariant: a slate says nothing about a source's health. It takes no token, needs memory only that nobody else
//! waits for, and ends with the first byte of a child, with the gap, or at its own deadline.

pub mod card;

use crate::limits::{SLATE_AFTER_MS, SLATE_MS_MAX, SLATE_SOON_MS};
use crate::rules::admission::Short;
use crate::rules::failure::Failure;
use crate::rules::gate::Deny;
use crate::rules::pool::{SlotState, SlotView};
use crate::rules::slate::card::Card;
use crate::time::{Mono, TimeOfDay};
use alloc::format;

/// What is to be done for the viewers of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// They have a picture, or have waited for too long: no slate.
    Nothing,
    /// Have one ready; it may not be shown yet.
    Prepare,
    /// Show it.
    Show,
}

/// Follows the gaps of one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Since when somebody holds on.
    since: Option<Mono>,
    /// When that was last looked at.
    seen_at: Mono,
}

impl Watch {
    /// Takes a look at the slot.
    pub fn on(&mut self, now: Mono, view: &SlotView) -> Turn {
        self.seen_at = now;
        if view.held == 0 {
            self.since = None;
            return Turn::Nothing;
        }
        let since = *self.since.get_or_insert(now);
        // What a child still writes on its way out is passed on, and nothing must get in between.
        let has_old_child = view.state != SlotState::Starting && view.next_try_at.is_none();
        if now >= since.plus_ms(SLATE_MS_MAX) {
            Turn::Nothing
        } else if now < since.plus_ms(SLATE_AFTER_MS) || has_old_child {
            Turn::Prepare
        } else {
            Turn::Show
        }
    }

    /// When another look is due, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Mono> {
        let since = self.since?;
        [SLATE_AFTER_MS, SLATE_MS_MAX].into_iter().map(|ms| since.plus_ms(ms)).find(|at| *at > self.seen_at)
    }
}

/// Why a slot has no picture, as the pool knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// What failed last, as long as that is remembered.
    pub failure: Option<Failure>,
    /// Why the gate said no last.
    pub deny: Option<Deny>,
    /// While no child is there: when one may be started at the earliest.
    pub next_try_at: Option<Mono>,
}

/// What people are told about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    failure: Option<Failure>,
    short: Option<Short>,
    next: Next,
}

/// When the channel is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is being tried, or as good as.
    Now,
    /// At this time.
    At(Mono),
    /// When the board can carry it.
    WhenPossible,
}

impl Why {
    /// What is told of this trouble. `before` is what was told last: what was called a time stays one until it has
    /// come, so that a slate need not be made again because time goes by.
    pub fn new(now: Mono, trouble: Trouble, before: Option<Self>) -> Self {
        let short = match trouble.deny {
            Some(Deny::Short(short)) => Some(short),
            _ => None,
        };
        let told = before.map(|why| why.next);
        let next = match trouble.next_try_at {
            _ if short.is_some() => Next::WhenPossible,
            Some(at) if at >= now.plus_ms(SLATE_SOON_MS) || told == Some(Next::At(at)) => Next::At(at),
            Some(_) | None => Next::Now,
        };
        Self { failure: trouble.failure, short, next }
    }

    /// When the channel is tried again.
    pub const fn next(&self) -> Next {
        self.next
    }

    /// The card that says it. `time` is how a clock on the wall shows [`Next::At`]; none while that cannot be known.
    pub fn card(&self, number: &str, name: &str, now: Mono, time: Option<TimeOfDay>) -> Card {
        let why = match (self.short, self.failure) {
            (Some(short), _) => format!("This channel cannot start: {}.", short_words(short)),
            (None, Some(failure)) => format!("This channel is off the air. Its source failed: {}.", failure.words()),
            (None, None) => "This channel has no picture for a moment.".into(),
        };
        let next = match (self.next, time) {
            (Next::Now, _) => "It is being tried again now.".into(),
            (Next::WhenPossible, _) => "It is tried again as soon as that is over.".into(),
            (Next::At(_), Some(TimeOfDay { hour, minute, second })) => {
                format!("Next try at {hour:02}:{minute:02}:{second:02}.")
            }
            (Next::At(at), None) => format!("Next try {}.", within(at.ms_since(now))),
        };
        Card::new(&format!("{number} {name}"), &[&why, &next])
    }
}

/// Words that stay true while time goes by.
const fn within(ms: u64) -> &'static str {
    match ms {
        0..=30_000 => "within half a minute",
        30_001..=60_000 => "within a minute",
        60_001..=120_000 => "within two minutes",
        _ => "in some minutes",
    }
}

const fn short_words(short: Short) -> &'static str {
    match short {
        Short::Ffmpeg => "FFmpeg is missing on this box",
        Short::Memory => "this box has too little memory left",
        Short::Fds => "this box has too many files and connections open",
        Short::Heat => "this box is too hot",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::profile::Profile;
    use crate::rules::health::Health;
    use crate::rules::pool::SlotIndex;

    fn view(state: SlotState, held: usize, next_try_at: Option<u64>) -> SlotView {
        SlotView {
            slot: SlotIndex(0),
            state,
            since: Mono(0),
            channel: None,
            source: 0,
            work: None,
            profile: Profile::None,
            viewers: held,
            held,
            health: Health::Unknown,
            attempt: 1,
            next_try_at: next_try_at.map(Mono),
        }
    }

    #[test]
    fn a_slate_comes_when_a_gap_lasts_and_goes_with_it() {
        let mut watch = Watch::default();
        let waiting = view(SlotState::Waiting, 2, Some(40_000));
        assert_eq!(watch.on(Mono(500), &view(SlotState::Playing, 0, None)), Turn::Nothing);
        assert_eq!(watch.next_deadline(), None);
        assert_eq!(watch.on(Mono(1_000), &waiting), Turn::Prepare);
        assert_eq!(watch.next_deadline(), Some(Mono(3_000)));
        assert_eq!(watch.on(Mono(2_999), &waiting), Turn::Prepare);
        assert_eq!(watch.on(Mono(3_000), &waiting), Turn::Show);
        assert_eq!(watch.on(Mono(5_000), &view(SlotState::Starting, 1, None)), Turn::Show);
        // The new child is ended as well: until it is gone, nothing gets between its packets.
        assert_eq!(watch.on(Mono(25_000), &view(SlotState::Waiting, 1, None)), Turn::Prepare);
        assert_eq!(watch.on(Mono(26_000), &waiting), Turn::Show);
        assert_eq!(watch.on(Mono(27_000), &view(SlotState::Playing, 0, None)), Turn::Nothing);
        // The next gap is another one.
        assert_eq!(watch.on(Mono(28_000), &waiting), Turn::Prepare);
        assert_eq!(watch.next_deadline(), Some(Mono(30_000)));
    }

    #[test]
    fn a_quick_restart_shows_nothing() {
        let mut watch = Watch::default();
        for at in (0..SLATE_AFTER_MS).step_by(100) {
            assert_ne!(watch.on(Mono(at), &view(SlotState::Starting, 1, None)), Turn::Show);
        }
        assert_eq!(watch.on(Mono(SLATE_AFTER_MS), &view(SlotState::Playing, 0, None)), Turn::Nothing);
    }

    #[test]
    fn a_slate_cannot_hide_a_dead_channel_for_ever() {
        let mut watch = Watch::default();
        let waiting = view(SlotState::Waiting, 1, Some(u64::MAX));
        watch.on(Mono(0), &waiting);
        assert_eq!(watch.on(Mono(SLATE_MS_MAX - 1), &waiting), Turn::Show);
        assert_eq!(watch.next_deadline(), Some(Mono(SLATE_MS_MAX)));
        for at in [SLATE_MS_MAX, SLATE_MS_MAX + 1, 10 * SLATE_MS_MAX] {
            assert_eq!(watch.on(Mono(at), &waiting), Turn::Nothing);
            assert_eq!(watch.next_deadline(), None, "and nobody is woken for it any more");
        }
    }

    const FAILED: Trouble = Trouble { failure: Some(Failure::Connect), deny: None, next_try_at: None };

    #[test]
    fn what_is_told_stays_as_it_was_while_time_goes_by() {
        let trouble = Trouble { next_try_at: Some(Mono(30_000)), ..FAILED };
        let why = Why::new(Mono(0), trouble, None);
        assert_eq!(why.next(), Next::At(Mono(30_000)));
        for at in [1, 27_001, 29_999, 31_000] {
            assert_eq!(Why::new(Mono(at), trouble, Some(why)), why);
        }
        assert_eq!(Why::new(Mono(27_001), trouble, None).next(), Next::Now, "nobody could read it in that time");
        assert_eq!(Why::new(Mono(30_000), FAILED, Some(why)).next(), Next::Now);
        let short = Trouble { deny: Some(Deny::Short(Short::Memory)), ..trouble };
        assert_eq!(Why::new(Mono(0), short, Some(why)).next(), Next::WhenPossible);
        assert_eq!(Why::new(Mono(0), Trouble { next_try_at: None, ..short }, Some(why)).next(), Next::WhenPossible);
    }

    #[test]
    fn a_card_says_which_channel_why_and_when() {
        let told = |trouble, time| Why::new(Mono(0), trouble, None).card("5.1", "SPORT", Mono(0), time).sentence();
        let at = |ms| Trouble { next_try_at: Some(Mono(ms)), ..FAILED };
        let time = TimeOfDay { hour: 20, minute: 5, second: 7 };
        let failed = "This channel is off the air. Its source failed: it cannot be reached.";
        assert_eq!(told(FAILED, Some(time)), format!("{failed} It is being tried again now."));
        assert_eq!(told(at(30_000), Some(time)), format!("{failed} Next try at 20:05:07."));
        // A board whose clock is wrong names no time.
        assert_eq!(told(at(30_000), None), format!("{failed} Next try within half a minute."));
        assert_eq!(told(at(30_001), None), format!("{failed} Next try within a minute."));
        assert_eq!(told(at(100_000), None), format!("{failed} Next try within two minutes."));
        let short = Trouble { deny: Some(Deny::Short(Short::Memory)), ..at(1_000) };
        let words = "This channel cannot start: this box has too little memory left.";
        assert_eq!(told(short, Some(time)), format!("{words} It is tried again as soon as that is over."));
        let nothing = "This channel has no picture for a moment. It is being tried again now.";
        assert_eq!(told(Trouble::default(), None), nothing);
    }

    #[test]
    fn whatever_failed_fits_on_a_card() {
        let time = Some(TimeOfDay { hour: 20, minute: 5, second: 7 });
        for failure in Failure::ALL {
            let trouble = Trouble { failure: Some(failure), next_try_at: Some(Mono(60_000)), ..FAILED };
            let card = Why::new(Mono(0), trouble, None).card("5.1", &"W".repeat(500), Mono(0), time);
            assert!(card.sentence().ends_with(" Next try at 20:05:07."), "{}", card.sentence());
            assert!(card.sentence().contains(failure.words()));
        }
    }
}

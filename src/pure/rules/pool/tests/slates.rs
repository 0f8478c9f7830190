//! What the pool tells of those who hold on, and what a slate may cost.

use super::*;
use crate::limits::{COOLDOWN_MS, COPY_MEMORY_BYTES, ENCODE_MEMORY_BYTES, RESERVE_MEMORY_BYTES};
use crate::rules::slate::{Turn, Watch};

impl Story {
    fn trouble(&self) -> Trouble {
        self.pool.trouble(self.now, SlotIndex(0))
    }

    /// Viewer 1 watches channel 7, whose child then dies twice: he holds on for the third.
    fn hold_on(&mut self) {
        self.ask(1, 7);
        self.output(0, 1);
        self.wait(5_000);
        assert!(self.exited(0, 1).iter().any(|effect| matches!(effect, Effect::Start { continues: true, .. })));
        assert_eq!(self.trouble(), Trouble { failure: Some(Failure::EarlyExit), deny: None, next_try_at: None });
        self.exited(0, 2);
    }
}

#[test]
fn why_a_slot_has_no_picture_and_when_it_is_tried_again() {
    let mut story = Story::new(2);
    assert_eq!(story.trouble(), Trouble::default());
    assert_eq!(story.pool.trouble(story.now, SlotIndex(9)), Trouble::default());
    story.hold_on();
    let until = story.now.plus_ms(COOLDOWN_MS);
    let trouble = story.trouble();
    assert_eq!((trouble.failure, trouble.next_try_at), (Some(Failure::EarlyExit), Some(until)));
    assert!(matches!(trouble.deny, Some(Deny::Cooldown { .. })));
    // The board is short of memory when its time has come.
    story.on(Event::Facts(BoardFacts { memory_available_bytes: Some(0), ..PLENTY }));
    story.wait(COOLDOWN_MS);
    assert_eq!(story.trouble().deny, Some(Deny::Short(Short::Memory)));
    story.on(Event::Facts(PLENTY));
    assert!(is_start(&story.wait(1_000), 0, 7));
    assert_eq!(story.trouble().next_try_at, None);
}

#[test]
fn a_slate_gets_no_memory_that_somebody_waits_for() {
    let mut story = Story::new(2);
    story.hold_on();
    let enough = RESERVE_MEMORY_BYTES + COPY_MEMORY_BYTES + ENCODE_MEMORY_BYTES;
    for (memory, fds_open, wanted) in [(enough, 10, true), (enough - 1, 10, false), (enough, 99_990, false)] {
        story.on(Event::Facts(BoardFacts { memory_available_bytes: Some(memory), fds_open, ..PLENTY }));
        let permit = story.pool.permit_slate(story.now);
        assert_eq!(permit.map(drop).is_some(), wanted, "{memory} {fds_open}");
    }
    // It takes no token: the restart comes at its time however many are made.
    story.on(Event::Facts(PLENTY));
    for _ in 0..100 {
        assert!(story.pool.permit_slate(story.now).map(drop).is_some());
    }
    assert!(is_start(&story.wait(COOLDOWN_MS), 0, 7));
    story.on(Event::Drain);
    assert!(story.pool.permit_slate(story.now).is_none());
}

#[test]
fn whoever_holds_on_is_shown_a_slate_for_as_long_as_the_rules_hold_him() {
    // Two histories of a dead channel, with attempts that end at once and with silent ones: from two seconds on there
    // is a slate whenever no old child is in the way, and it is over with the last viewer.
    for is_silent in [false, true] {
        let mut story = Story::new(1);
        story.hold_on();
        let (mut watch, since, mut generation, mut shown_ms) = (Watch::default(), story.now, 2, 0);
        while story.pool.slots(story.now).any(|view| view.viewers > 0) {
            let view = story.pool.slots(story.now).next().unwrap();
            let turn = watch.on(story.now, &view);
            shown_ms += if turn == Turn::Show { 100 } else { 0 };
            let is_early = story.now.ms_since(since) < crate::limits::SLATE_AFTER_MS;
            assert!(turn == if is_early { Turn::Prepare } else { Turn::Show }, "{view:?} {turn:?}");
            for effect in story.wait(100) {
                let is_start = matches!(effect, Effect::Start { .. });
                generation += u64::from(is_start);
                if is_start && !is_silent || matches!(effect, Effect::Terminate { .. }) {
                    story.exited(0, generation);
                }
            }
        }
        let held_ms = story.now.ms_since(since);
        assert!((GAP_MS..=GAP_MS + START_TIMEOUT_MS + TERM_MS).contains(&held_ms), "{held_ms}");
        assert!(shown_ms + crate::limits::SLATE_AFTER_MS + 100 >= held_ms, "{shown_ms} of {held_ms}");
        let view = story.pool.slots(story.now).next().unwrap();
        assert_eq!((watch.on(story.now, &view), watch.next_deadline()), (Turn::Nothing, None));
    }
}

//! What the next viewer would be told is what he is told when he comes.

use super::*;
use crate::model::lineup::Account;
use crate::rules::pool::outlook::Obstacle;
use crate::rules::sources::Supply;

const NEVER_SEEN: ChannelId = ChannelId(u32::MAX);

fn paid(channel: ChannelId, account: u32, streams_max: u16) -> Sources {
    let account = Some(Account { id: account, streams_max });
    Sources::new(channel, [Supply { class: SourceClass::Live, work: Work::Copy, account }]).unwrap()
}

impl Story {
    fn obstacle(&self, slot: u8, others: &[Sources]) -> Option<Obstacle> {
        self.pool.obstacle(self.now, &self.pool.facts, SlotIndex(slot), others)
    }

    fn ask_paid(&mut self, viewer: u64, sources: Sources) -> Vec<Effect> {
        self.on(Event::Ask { viewer: ViewerId(viewer), tuner: None, share: Share::BOX, sources })
    }
}

#[test]
fn a_full_account_is_in_the_way_of_free_tuners_unless_another_one_is_not() {
    let mut story = Story::new(4);
    let wanted = [paid(NEVER_SEEN, 3, 2)];
    story.ask_paid(1, paid(ChannelId(7), 3, 2));
    assert_eq!(story.obstacle(1, &wanted), None);
    story.ask_paid(2, paid(ChannelId(8), 3, 2));
    assert_eq!(story.obstacle(2, &wanted), Some(Obstacle::Account { streams_max: 2 }));
    assert_eq!(refusal(&story.ask_paid(3, paid(ChannelId(9), 3, 2))), Some(Refusal::AccountFull), "and so it is");
    assert_eq!(story.obstacle(0, &wanted), None, "who wants what plays is let in");
    assert_eq!(story.obstacle(2, &[wanted[0], paid(NEVER_SEEN, 4, 1)]), None, "there is something that can be had");
    let words = story.obstacle(3, &wanted).unwrap().words(story.now);
    assert_eq!(words, "this account allows 2 streams, and all are in use");
    // Nothing has changed by asking.
    assert!(story.ask_paid(4, paid(ChannelId(8), 3, 2)).is_empty());
    assert_eq!(story.obstacle(3, &[]), None, "without channels there is nothing to refuse");
}

#[test]
fn what_the_board_lacks_is_told_with_figures() {
    let mut story = Story::new(2);
    let wanted = [Sources::one(NEVER_SEEN, Work::Encode, SourceClass::Live)];
    let mib = 1024 * 1024;
    let needed_bytes = Work::Encode.memory_bytes() + crate::limits::RESERVE_MEMORY_BYTES;
    for (facts, obstacle, words) in [
        (BoardFacts { ffmpeg_present: false, ..PLENTY }, Obstacle::Ffmpeg, "FFmpeg is missing"),
        (
            BoardFacts { memory_available_bytes: Some(40 * mib + 9), ..PLENTY },
            Obstacle::Memory { free_bytes: 40 * mib + 9, needed_bytes },
            "memory is short: 40 MiB free, 256 MiB needed",
        ),
        (BoardFacts { fds_open: 99_999, ..PLENTY }, Obstacle::Fds, "not enough descriptors are left"),
        (BoardFacts { heat_milli_c: Some(90_000), ..PLENTY }, Obstacle::Heat, "the board is too hot to encode"),
    ] {
        story.on(Event::Facts(facts));
        assert_eq!(story.obstacle(0, &wanted), Some(obstacle));
        assert_eq!(obstacle.words(story.now), words);
        assert!(refusal(&story.ask_paid(9, wanted[0])).is_some());
    }
}

#[test]
fn a_tuner_that_is_kept_lost_or_waits_says_so() {
    let mut story = Story::new(2);
    let wanted = [Sources::one(NEVER_SEEN, Work::Copy, SourceClass::Live)];
    story.on(Event::Hold { slot: SlotIndex(1), is_held: true });
    assert_eq!((story.obstacle(0, &wanted), story.obstacle(1, &wanted)), (None, Some(Obstacle::Held)));
    story.on(Event::Hold { slot: SlotIndex(1), is_held: false });
    // A viewer holds on while his channel waits for its second restart; who comes to him waits as long.
    story.ask(1, 7);
    story.output(0, 1);
    story.exited(0, 1);
    story.output(0, 2);
    story.exited(0, 2);
    let Some(Obstacle::Waits { until }) = story.obstacle(0, &wanted) else { panic!("it cools down") };
    assert!(until > story.now);
    assert!(matches!(refusal(&story.ask(2, 7)), Some(Refusal::TuneFailed { .. })));
    assert_eq!(story.obstacle(1, &wanted), None, "another channel has nothing to do with that");
    story.on(Event::Drain);
    assert_eq!(story.obstacle(1, &wanted), Some(Obstacle::Draining));
}

//! Stories of channels with several sources, and of providers that allow so many streams and no more.

use super::*;
use crate::limits::{
    ACCOUNT_REST_MS, COOLDOWN_MS, FAILOVER_LEARN_MS, FAILOVER_SILENCE_MS, FAILOVER_START_MS, FAILURE_WINDOW_MS_MIN,
    SLOW_MS,
};
use crate::rules::sources::Supply;

/// Sources of a channel, each paid with an account that allows so many streams; account 0 has no limit.
fn sources(channel: u32, accounts: &[(u32, u16)]) -> Sources {
    let supply = |(id, streams_max): &(u32, u16)| {
        let account = (*id != 0).then_some(Account { id: *id, streams_max: *streams_max });
        Supply { class: SourceClass::Live, work: Work::Copy, account }
    };
    Sources::new(ChannelId(channel), accounts.iter().map(supply)).unwrap()
}

const FREE: (u32, u16) = (0, 0);

impl Story {
    fn ask_of(&mut self, viewer: u64, sources: Sources) -> Vec<Effect> {
        self.on(Event::Ask { viewer: ViewerId(viewer), tuner: None, share: Share::BOX, sources })
    }

    /// What it makes, for so long; its clock goes at so many thousandths of real time.
    fn play_at(&mut self, generation: u64, ms: u64, thousandths: u64) -> Vec<Effect> {
        let (mut effects, begun) = (Vec::new(), self.now);
        while self.now < begun.plus_ms(ms) && effects.is_empty() {
            self.now = self.now.plus_ms(500);
            let (slot, at) = (SlotIndex(0), self.now);
            let played_ms = Some(at.ms_since(begun) * thousandths / 1_000);
            let generation = Generation(generation);
            self.on(Event::Heard { slot, generation, output_at: at, picture_at: at, played_ms, silent_ms_max: 40 });
            effects.extend(self.on(Event::Deadline));
        }
        effects
    }
}

fn started(effects: &[Effect]) -> Option<(u8, u8, Kind)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Start { slot, source, kind, .. } => Some((slot.0, *source, *kind)),
        _ => None,
    })
}

#[test]
fn a_source_that_does_not_start_hands_over_at_once_and_so_does_the_next() {
    let mut story = Story::new(2);
    assert_eq!(started(&story.ask_of(1, sources(7, &[FREE; 3]))), Some((0, 0, Kind::Cold)));
    assert_eq!(started(&story.exited(0, 1)), Some((0, 1, Kind::Restart)), "the channel has failed: it is a restart");
    assert_eq!(started(&story.exited(0, 2)), Some((0, 2, Kind::Restart)));
    assert!(is_admit(&story.output(0, 3), 1));
    assert_eq!(story.pool.slots(story.now).next().unwrap().source, 2);
}

#[test]
fn who_gives_nothing_for_five_seconds_is_given_up_when_another_is_ready() {
    let mut story = Story::new(2);
    story.ask_of(1, sources(7, &[FREE; 2]));
    assert!(story.wait(FAILOVER_START_MS - 1).is_empty());
    assert!(is_terminate(&story.wait(1), 0));
    assert_eq!(started(&story.exited(0, 1)), Some((0, 1, Kind::Restart)));
    // The last one has all the time there is: nobody else is left.
    let effects = story.wait(FAILOVER_START_MS + 1_000);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Terminate { .. })), "{effects:?}");
}

#[test]
fn under_viewers_silence_is_borne_with_for_a_moment_only_when_another_is_ready() {
    for (others, expected_ms) in [(2, FAILOVER_SILENCE_MS), (1, SILENCE_FIRST_MS)] {
        let mut story = Story::new(2);
        for viewer in 0..8 {
            story.ask_of(viewer, sources(7, &[FREE, FREE][..others]));
        }
        assert_eq!(story.output(0, 1).len(), 8);
        assert!(story.play(0, 1, 60_000).is_empty());
        assert!(story.wait(expected_ms - 1).is_empty());
        assert!(story.wait(1).iter().any(|effect| matches!(effect, Effect::Terminate { .. })));
        let source = u8::from(others == 2);
        let begun = started(&story.exited(0, 1));
        assert_eq!(begun, Some((0, source, Kind::Restart)), "with {others} sources");
        assert!(story.output(0, 2).is_empty(), "all eight have kept their connection");
        assert_eq!(story.pool.slots(story.now).next().map(|slot| (slot.viewers, slot.held)), Some((8, 0)));
    }
}

#[test]
fn who_comes_in_segments_is_given_the_time_of_three() {
    let mut story = Story::new(2);
    story.ask_of(1, sources(7, &[FREE, FREE]));
    story.output(0, 1);
    for _ in 0..10 {
        let (slot, generation, at) = (SlotIndex(0), Generation(1), story.now);
        story.on(Event::Heard {
            slot,
            generation,
            output_at: at,
            picture_at: at,
            played_ms: None,
            silent_ms_max: 4_000,
        });
        assert!(story.wait(4_000).is_empty());
    }
    assert!(story.wait(8_999).is_empty(), "three times four seconds, and one, after the last packet");
    assert!(is_terminate(&story.wait(1).split_off(0)[..1], 0));
}

#[test]
fn who_is_too_slow_or_shows_nothing_is_left_only_for_another() {
    let slow = |accounts: &[(u32, u16)]| {
        let mut story = Story::new(2);
        story.ask_of(1, sources(7, accounts));
        story.output(0, 1);
        assert!(story.play_at(1, 30_000, 1_000).is_empty());
        let effects = story.play_at(1, 60_000, 500);
        (effects, story)
    };
    let (effects, story) = slow(&[FREE, FREE]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Terminate { .. })));
    assert!(story.noted(|note| matches!(note, Note::Failed { source: 0, failure: Failure::Slow, .. })));
    assert!(story.now.ms_since(Mono(31_000)) >= SLOW_MS);
    assert!(slow(&[FREE]).0.is_empty(), "slow is better than nothing");

    for (accounts, leaves) in [(&[FREE, FREE][..], true), (&[FREE], false)] {
        let mut story = Story::new(2);
        story.ask_of(1, sources(7, accounts));
        story.output(0, 1);
        let effects = story.on(Event::Blank { slot: SlotIndex(0), generation: Generation(1) });
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::Terminate { .. })), leaves);
    }
}

#[test]
fn each_source_has_a_cooldown_and_a_breaker_of_its_own() {
    let mut story = Story::new(2);
    story.ask_of(1, sources(7, &[FREE, FREE]));
    let mut order = std::vec![0];
    for generation in 1..4 {
        order.extend(started(&story.exited(0, generation)).map(|(_, source, _)| source));
    }
    assert_eq!(order, [0, 1, 0], "the less failed first, the preferred one among equals");
    let told = refusal(&story.ask_of(2, sources(7, &[FREE, FREE])));
    assert!(matches!(told, Some(Refusal::TuneFailed { .. })), "both cool down: {told:?}");
    story.wait(COOLDOWN_MS);
    assert_eq!(started(&story.ask_of(3, sources(7, &[FREE, FREE]))).map(|begun| begun.1), Some(1));
}

#[test]
fn a_channel_rests_only_when_all_its_sources_do() {
    let mut story = Story::new(2);
    let mut opened = 0;
    for round in 0..40 {
        let asked = story.ask_of(round, sources(7, &[FREE, FREE]));
        let mut generation = story.pool.generation.0;
        let mut begun = started(&asked);
        while begun.is_some() {
            begun = started(&story.exited(0, generation));
            generation = story.pool.generation.0;
        }
        opened = story.notes.iter().filter(|note| matches!(note, Note::Opened { .. })).count();
        if opened == 2 {
            break;
        }
        story.wait(COOLDOWN_MS);
    }
    assert_eq!(opened, 2, "both");
    let told = refusal(&story.ask_of(99, sources(7, &[FREE, FREE])));
    assert!(matches!(told, Some(Refusal::Resting { .. })), "{told:?}");
    // Somebody has added a third.
    assert_eq!(started(&story.ask_of(100, sources(7, &[FREE, FREE, FREE]))).map(|begun| begun.1), Some(2));
}

#[test]
fn the_preferred_source_is_back_once_its_failures_are_forgotten_and_nobody_watches() {
    let mut story = Story::new(2);
    story.ask_of(1, sources(7, &[FREE, FREE]));
    assert_eq!(started(&story.exited(0, 1)).map(|begun| begun.1), Some(1));
    story.output(0, 2);
    for _ in 0..2 * FAILURE_WINDOW_MS_MIN / 1_000 {
        let child = [(SlotIndex(0), Generation(2), ChannelId(7), Profile::None)];
        assert!(story.wait_among(1_000, &child).is_empty(), "a picture that is well is not taken from anybody");
        story.on(heard(SlotIndex(0), Generation(2), story.now));
    }
    story.leave(1);
    story.wait(LINGER_MS);
    story.exited(0, 2);
    assert_eq!(started(&story.ask_of(2, sources(7, &[FREE, FREE]))), Some((0, 0, Kind::Cold)));
}

#[test]
fn a_provider_never_sees_more_streams_than_it_allows() {
    let mut story = Story::new(4);
    for (viewer, channel) in [(1, 5), (2, 6)] {
        assert!(started(&story.ask_of(viewer, sources(channel, &[(3, 2)]))).is_some());
        story.output(u8::try_from(viewer - 1).unwrap(), viewer);
    }
    assert_eq!(refusal(&story.ask_of(3, sources(7, &[(3, 2)]))), Some(Refusal::AccountFull));
    assert!(is_admit(&story.ask_of(4, sources(5, &[(3, 2)])), 4), "who joins costs nothing");
    assert_eq!(started(&story.ask_of(5, sources(8, &[(3, 2), (4, 1)]))), Some((2, 1, Kind::Cold)), "another account");
    assert!(started(&story.ask_of(6, sources(9, &[FREE]))).is_some());
}

#[test]
fn what_nobody_watches_ends_for_who_needs_its_stream() {
    let mut story = Story::new(4);
    story.ask_of(1, sources(5, &[(3, 1)]));
    story.output(0, 1);
    story.leave(1);
    let effects = story.ask_of(2, sources(6, &[(3, 1)]));
    assert!(is_terminate(&effects, 0), "{effects:?}");
    assert!(started(&story.exited(0, 1)).is_none(), "its server is given a moment to notice");
    assert!(started(&story.wait(ACCOUNT_REST_MS - 1)).is_none());
    assert_eq!(started(&story.wait(500)), Some((1, 0, Kind::Cold)));
}

#[test]
fn a_source_whose_account_is_full_is_no_spare() {
    let mut story = Story::new(4);
    story.ask_of(1, sources(5, &[(3, 1)]));
    story.output(0, 1);
    story.ask_of(2, sources(6, &[FREE, (3, 1)]));
    story.output(1, 2);
    assert!(
        story.play(1, 2, 60_000).iter().all(|effect| !matches!(effect, Effect::Terminate { slot: SlotIndex(1), .. }))
    );
    story.play(0, 1, 1_000);
    let blank = Event::Blank { slot: SlotIndex(1), generation: Generation(2) };
    assert!(story.on(blank).is_empty());
}

#[test]
fn a_child_that_cannot_be_ended_keeps_its_stream() {
    let mut story = Story::new(3);
    story.ask_of(1, sources(5, &[(3, 1)]));
    story.output(0, 1);
    story.leave(1);
    story.wait(LINGER_MS + TERM_MS + REAP_MS + 10_000);
    assert_eq!(story.pool.slots(story.now).next().unwrap().state, SlotState::Quarantined);
    assert_eq!(refusal(&story.ask_of(2, sources(6, &[(3, 1)]))), Some(Refusal::AccountFull));
    story.exited(0, 1);
    assert!(refusal(&story.ask_of(3, sources(6, &[(3, 1)]))).is_none());
}

#[test]
fn who_joins_finds_out_how_a_source_is_before_it_is_given_up() {
    let mut story = Story::new(2);
    story.ask_of(1, sources(7, &[FREE, FREE]));
    story.output(0, 1);
    story.play(0, 1, FAILOVER_LEARN_MS + 1_000);
    story.leave(1);
    // It makes packets all the time, and nobody has asked for a while.
    story.wait(FAILOVER_SILENCE_MS + 1_000);
    assert!(is_admit(&story.ask_of(2, sources(7, &[FREE, FREE])), 2), "a picture that is well is not taken from him");
    story.on(heard(SlotIndex(0), Generation(1), story.now));
    assert!(story.on(Event::Deadline).is_empty());
}

#[test]
fn who_may_not_start_yet_keeps_no_stream_from_who_may() {
    let mut story = Story::new(3);
    // Channel 5 was restarted a moment ago, and so waits for its cooldown.
    story.ask_of(1, sources(5, &[(3, 1)]));
    story.exited(0, 1);
    story.wait(ACCOUNT_REST_MS + 500);
    story.exited(0, 2);
    story.wait(COOLDOWN_MS - 10_000);
    let waits = story.ask_of(2, sources(5, &[(3, 1)]));
    assert!(waits.is_empty(), "{waits:?}");
    assert_eq!(started(&story.ask_of(3, sources(6, &[(3, 1)]))), Some((1, 0, Kind::Cold)), "no stream is in use");
}

#[test]
fn an_account_rests_although_another_one_ends_after_it() {
    let mut story = Story::new(2);
    story.ask_of(1, sources(5, &[(3, 1), (4, 1)]));
    assert_eq!(started(&story.exited(0, 1)), Some((0, 1, Kind::Restart)));
    story.exited(0, 2);
    assert!(started(&story.ask_of(2, sources(6, &[(3, 1)]))).is_none(), "its last child ended a moment ago");
    assert!(started(&story.wait(ACCOUNT_REST_MS - 1)).is_none());
    assert!(started(&story.wait(500)).is_some());
}

#[test]
fn what_an_account_allows_may_change_while_it_is_in_use() {
    let mut story = Story::new(4);
    story.ask_of(1, sources(5, &[(3, 1)]));
    assert_eq!(started(&story.ask_of(2, sources(6, &[(3, 2)]))), Some((1, 0, Kind::Cold)), "one more than it did");
    assert_eq!(refusal(&story.ask_of(3, sources(7, &[(3, 2)]))), Some(Refusal::AccountFull));
    assert_eq!(refusal(&story.ask_of(4, sources(8, &[(3, 1)]))), Some(Refusal::AccountFull), "fewer again");
}

#[test]
fn who_waits_for_a_stream_after_the_board_was_short_starts_when_there_is_one() {
    let mut story = Story::new(3);
    story.ask_of(1, sources(5, &[(3, 2), (3, 2)]));
    story.ask_of(2, sources(6, &[(3, 2)]));
    story.output(1, 2);
    story.leave(2);
    story.output(0, 1);
    story.exited(0, 1);
    assert!(started(&story.wait(ACCOUNT_REST_MS + 500)).is_some());
    let failed = Event::SpawnFailed { slot: SlotIndex(0), generation: Generation(3) };
    story.on(failed);
    // Meanwhile somebody else has the stream, and leaves it.
    assert!(started(&story.ask_of(3, sources(7, &[(3, 2)]))).is_some());
    story.output(2, 4);
    story.leave(3);
    assert!(story.wait(1_000).iter().any(|effect| matches!(effect, Effect::Terminate { .. })));
    story.exited(1, 2);
    assert!(started(&story.wait(ACCOUNT_REST_MS + 500)).is_some());
}

//! Stories. Every history there is, and random ones of a day each, are walked through by `tools/proof`.

mod failover;
mod outlook;
mod profiles;
mod shares;
mod slates;

use super::*;
use crate::limits::{
    BREAKER_OPEN_MS, GAP_MS, GLANCE_EVERY_MS, GLANCE_REST_TIMES, LINGER_MS, PROBE_EVERY_MS, REAP_MS, RESERVATION_MS,
    SILENCE_FIRST_MS, SILENCE_LIVE_MS, STABLE_MS, START_TIMEOUT_MS, TERM_MS, TUNE_DEADLINE_MS,
};
use std::vec::Vec;

const PLENTY: BoardFacts = BoardFacts {
    memory_available_bytes: Some(u64::MAX / 2),
    fds_open: 10,
    fds_limit: 100_000,
    ffmpeg_present: true,
    heat_milli_c: None,
};

/// A pool with its effects, told short.
struct Story {
    pool: Pool,
    now: Mono,
    effects: Effects,
    notes: Vec<Note>,
}

impl Story {
    fn new(slots_len: usize) -> Self {
        Self::with_rules(slots_len, Rules { probe_every_ms: None, ..Rules::DEFAULT })
    }

    fn with_rules(slots_len: usize, rules: Rules) -> Self {
        let pool = Pool::with_rules(slots_len, rules);
        let mut story = Self { pool, now: Mono(1_000), effects: Effects::default(), notes: Vec::new() };
        story.on(Event::Facts(PLENTY));
        story
    }

    /// What is to be done; notes are kept apart.
    fn on(&mut self, event: Event) -> Vec<Effect> {
        self.pool.on(self.now, event, &mut self.effects);
        let mut to_do = Vec::new();
        for effect in self.effects.drain() {
            match effect {
                Effect::Note(note) => self.notes.push(note),
                effect => to_do.push(effect),
            }
        }
        to_do
    }

    /// Whether something was noted, ever.
    fn noted(&self, wanted: impl Fn(&Note) -> bool) -> bool {
        self.notes.iter().any(wanted)
    }

    fn ask(&mut self, viewer: u64, channel: u32) -> Vec<Effect> {
        self.ask_tuner(viewer, channel, None)
    }

    fn ask_tuner(&mut self, viewer: u64, channel: u32, tuner: Option<u8>) -> Vec<Effect> {
        let sources = Sources::one(ChannelId(channel), Work::Copy, SourceClass::Live);
        self.on(Event::Ask { viewer: ViewerId(viewer), tuner: tuner.map(SlotIndex), share: Share::BOX, sources })
    }

    fn leave(&mut self, viewer: u64) -> Vec<Effect> {
        self.on(Event::Leave { viewer: ViewerId(viewer) })
    }

    fn output(&mut self, slot: u8, generation: u64) -> Vec<Effect> {
        self.on(Event::Output { slot: SlotIndex(slot), generation: Generation(generation) })
    }

    fn exited(&mut self, slot: u8, generation: u64) -> Vec<Effect> {
        self.on(Event::Exited { slot: SlotIndex(slot), generation: Generation(generation), end: End::Plain })
    }

    /// Nothing happens for some time but deadlines.
    fn wait(&mut self, ms: u64) -> Vec<Effect> {
        let until = self.now.plus_ms(ms);
        let mut effects = Vec::new();
        while let Some(at) = self.pool.next_deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            effects.extend(self.on(Event::Deadline));
            assert!(self.pool.next_deadline().is_none_or(|next| next > self.now), "a deadline that does not pass");
        }
        self.now = until;
        effects.extend(self.on(Event::Deadline));
        effects
    }

    /// The same, and the child of a slot makes packets all the time.
    fn play(&mut self, slot: u8, generation: u64, ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        for _ in 0..ms / 1_000 {
            effects.extend(self.wait(1_000));
            let (slot, generation) = (SlotIndex(slot), Generation(generation));
            effects.extend(self.on(heard(slot, generation, self.now)));
        }
        effects
    }
}

fn heard(slot: SlotIndex, generation: Generation, at: Mono) -> Event {
    Event::Heard { slot, generation, output_at: at, picture_at: at, played_ms: None, silent_ms_max: 0 }
}

fn is_start(effects: &[Effect], on: u8, of: u32) -> bool {
    matches!(effects, [Effect::Start { slot, channel, .. }] if *slot == SlotIndex(on) && *channel == ChannelId(of))
}

fn is_admit(effects: &[Effect], who: u64) -> bool {
    matches!(effects, [Effect::Admit { viewer, .. }] if *viewer == ViewerId(who))
}

fn is_terminate(effects: &[Effect], at: u8) -> bool {
    matches!(effects, [Effect::Terminate { slot, .. }] if *slot == SlotIndex(at))
}

fn refusal(effects: &[Effect]) -> Option<Refusal> {
    match effects {
        [Effect::Refuse { refusal, .. }] => Some(*refusal),
        _ => None,
    }
}

#[test]
fn viewers_of_one_channel_share_a_child() {
    let mut story = Story::new(4);
    assert!(is_start(&story.ask(1, 7), 0, 7));
    assert!(story.ask(2, 7).is_empty());
    assert_eq!(story.output(0, 1).len(), 2);
    assert!(is_admit(&story.ask(3, 7), 3));
    assert!(story.leave(1).is_empty());
    assert!(story.leave(2).is_empty());
    assert!(story.play(0, 1, LINGER_MS + 1_000).is_empty(), "the third still watches");
    assert!(story.leave(3).is_empty());
    assert!(story.wait(LINGER_MS - 1).is_empty());
    assert!(is_terminate(&story.wait(1), 0));
    assert!(!story.pool.is_idle(), "not free before it is reaped");
    assert!(story.exited(0, 1).is_empty());
    assert!(story.pool.is_idle());
}

#[test]
fn the_fifth_channel_on_four_slots_is_refused_at_once() {
    let mut story = Story::new(4);
    for channel in 0..4 {
        assert!(is_start(&story.ask(u64::from(channel), channel), u8::try_from(channel).unwrap(), channel));
    }
    assert_eq!(refusal(&story.ask(9, 9)), Some(Refusal::AllTunersInUse));
    assert_eq!(refusal(&story.ask_tuner(10, 9, Some(2))), Some(Refusal::TunerInUse));
    assert!(story.ask_tuner(11, 2, Some(2)).is_empty(), "the tuner that plays it is shared");
    assert_eq!(refusal(&story.ask_tuner(12, 9, Some(4))), Some(Refusal::TunerInUse), "no such tuner");
}

#[test]
fn a_lingering_slot_is_given_to_who_needs_it() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.output(0, 1);
    story.leave(1);
    assert!(is_terminate(&story.ask(2, 8), 0));
    assert!(is_start(&story.exited(0, 1), 0, 8), "only the old child's end lets the new one start");
    assert!(is_admit(&story.output(0, 2), 2));
}

#[test]
fn who_comes_back_while_the_child_ends_gets_a_fresh_one_and_never_two() {
    let mut story = Story::new(2);
    story.ask(1, 7);
    story.output(0, 1);
    story.leave(1);
    assert!(is_terminate(&story.wait(LINGER_MS), 0));
    assert!(story.ask(2, 7).is_empty(), "the other slot is free, but one channel has one child");
    assert!(story.ask(3, 7).is_empty());
    assert!(is_start(&story.exited(0, 1), 0, 7));
    assert_eq!(story.output(0, 2).len(), 2);
}

#[test]
fn a_channel_waits_for_its_old_child_on_another_slot() {
    let mut story = Story::new(2);
    story.ask(1, 7);
    story.output(0, 1);
    story.ask(2, 8);
    story.output(1, 2);
    story.leave(1);
    assert!(is_terminate(&story.ask(3, 9), 0), "channel 7 ends for channel 9");
    story.leave(2);
    assert!(is_terminate(&story.ask(4, 7), 1), "channel 7 is wanted again, and takes the slot of channel 8");
    assert!(story.exited(1, 2).is_empty(), "its old child still lives");
    let both = story.exited(0, 1);
    assert_eq!(both.iter().filter(|effect| matches!(effect, Effect::Start { .. })).count(), 2);
}

#[test]
fn a_child_that_dies_is_restarted_at_once_and_then_after_a_cooldown() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    assert!(is_start(&story.exited(0, 1), 0, 7), "before its first packet, and the viewer waits on");
    assert!(is_admit(&story.output(0, 2), 1));
    let effects = story.exited(0, 2);
    assert!(matches!(effects[..], [Effect::Gap { .. }]), "{effects:?}");
    assert!(story.exited(0, 2).is_empty(), "a late report changes nothing");
    assert!(story.wait(29_999).is_empty());
    let effects = story.wait(1);
    assert!(matches!(effects[..], [Effect::Start { kind: Kind::Restart, continues: true, .. }]), "{effects:?}");
    assert!(story.output(0, 3).is_empty(), "he was admitted long ago");
    assert!(story.noted(|note| matches!(note, Note::Failed { failure: Failure::EarlyExit, failures_len: 2, .. })));
}

#[test]
fn who_waits_in_vain_for_a_restart_is_told_when_to_come_back() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.exited(0, 1);
    assert_eq!(refusal(&story.exited(0, 2)), Some(Refusal::TuneFailed { retry_ms: 30_000 }));
    assert!(story.pool.is_idle(), "nothing starts for nobody");
    story.wait(4_500);
    let refusal_now = refusal(&story.ask(2, 7)).unwrap();
    assert_eq!(refusal_now, Refusal::TuneFailed { retry_ms: 25_500 });
    assert_eq!(refusal_now.retry_after_s(), 26);
    story.wait(16_000);
    assert!(story.ask(3, 7).is_empty(), "that is within his ten seconds");
    assert!(is_start(&story.wait(9_500), 0, 7));
}

#[test]
fn the_fifth_failure_opens_the_breaker_and_one_probe_decides() {
    let mut story = Story::new(2);
    story.ask(1, 7);
    story.output(0, 1);
    for generation in 1..=4 {
        story.exited(0, generation);
        if generation > 1 {
            story.wait(30_000);
        }
        story.output(0, generation + 1);
    }
    assert!(matches!(story.exited(0, 5)[..], [Effect::Close { viewer: ViewerId(1), .. }]));
    assert!(story.pool.is_idle(), "its slot is free");
    let retry_ms = BREAKER_OPEN_MS;
    assert_eq!(refusal(&story.ask(2, 7)), Some(Refusal::Resting { retry_ms }));
    assert!(story.wait(retry_ms - 1).is_empty());
    assert_eq!(refusal(&story.ask(3, 7)), Some(Refusal::Resting { retry_ms: 1 }));
    assert!(story.wait(60_000).is_empty(), "nobody wants it, nothing is tried");
    assert!(matches!(story.ask(4, 7)[..], [Effect::Start { kind: Kind::Probe, .. }]));
    assert!(story.ask(5, 7).is_empty(), "he joins the probe");
    assert_eq!(story.output(0, 6).len(), 2);
    story.play(0, 6, STABLE_MS);
    assert!(story.noted(|note| matches!(note, Note::Closed { .. })));
    assert!(matches!(story.exited(0, 6)[..], [Effect::Gap { .. }, Effect::Start { kind: Kind::Restart, .. }]));
    assert!(story.noted(|note| matches!(note, Note::Failed { failure: Failure::Disconnect, failures_len: 1, .. })));
}

#[test]
fn a_probe_that_nobody_watches_to_its_end_decides_nothing() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    for _ in 0..5 {
        story.ask(1, 7);
        let (slot, generation) = (SlotIndex(0), story.pool.generation);
        story.on(Event::Useless { slot, generation, failure: Failure::NotTs });
        story.on(Event::Exited { slot, generation, end: End::Plain });
        story.wait(30_000);
    }
    story.wait(BREAKER_OPEN_MS);
    let effects = story.ask(9, 7);
    assert!(matches!(effects[..], [Effect::Start { kind: Kind::Probe, .. }]), "{effects:?}");
    let generation = story.pool.generation.0;
    story.output(0, generation);
    story.leave(9);
    assert!(is_terminate(&story.wait(LINGER_MS), 0));
    assert!(story.noted(|note| matches!(note, Note::Inconclusive { .. })));
    story.exited(0, generation);
    assert_eq!(refusal(&story.ask(10, 7)), Some(Refusal::TuneFailed { retry_ms: 25_000 }), "only its cooldown is left");
    story.wait(25_000);
    assert!(matches!(story.ask(11, 7)[..], [Effect::Start { kind: Kind::Probe, .. }]));
}

#[test]
fn silence_is_a_failure_sooner_the_first_time_and_only_while_somebody_watches() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.output(0, 1);
    story.play(0, 1, 5_000);
    assert!(story.wait(SILENCE_FIRST_MS - 1).is_empty());
    assert!(story.noted(|note| matches!(note, Note::SilenceWarning { .. })), "half of it was told");
    let effects = story.wait(1);
    assert!(matches!(effects[..], [Effect::Terminate { .. }, Effect::Gap { .. }]), "{effects:?}");
    assert!(is_start(&story.exited(0, 1), 0, 7));
    story.output(0, 2);
    assert!(story.wait(SILENCE_LIVE_MS - 1).is_empty());
    assert_eq!(story.wait(1).len(), 2);
    assert!(!story.noted(|note| matches!(note, Note::SweepFound { .. })));
}

/// The limit shrinks while nothing happens but packets, of which nobody is told.
#[test]
fn who_falls_silent_after_his_last_failure_is_forgotten_is_noticed_in_time() {
    for late_ms in (0..10).map(|step| step * 9_000) {
        let mut story = Story::new(1);
        let (viewer, slot) = (ViewerId(1), SlotIndex(0));
        let sources = Sources::one(ChannelId(7), Work::Copy, SourceClass::File);
        story.on(Event::Ask { viewer, tuner: None, share: Share::BOX, sources });
        story.output(0, 1);
        let failed_at = story.now;
        assert!(is_start(&story.exited(0, 1)[1..], 0, 7), "the first restart waits for nothing");
        story.output(0, 2);
        let silent_at = failed_at.plus_ms(Rules::DEFAULT.window_ms(SourceClass::File) + late_ms);
        let ended_at = loop {
            story.now = story.pool.next_deadline().unwrap();
            let output_at = story.now.min(silent_at);
            story.on(heard(slot, Generation(2), output_at));
            if !story.on(Event::Deadline).is_empty() {
                break story.now;
            }
        };
        assert_eq!(ended_at, silent_at.plus_ms(SILENCE_FIRST_MS), "{late_ms} ms after it was forgotten");
    }
}

#[test]
fn packets_without_a_picture_are_as_good_as_silence() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.output(0, 1);
    let picture_at = story.now;
    let mut ended_after_s = None;
    for second in 1..=40 {
        let effects = story.wait(1_000);
        if is_terminate(&effects[..effects.len().min(1)], 0) {
            ended_after_s = Some(second);
            break;
        }
        let (slot, generation, output_at) = (SlotIndex(0), Generation(1), story.now);
        story.on(Event::Heard { slot, generation, output_at, picture_at, played_ms: None, silent_ms_max: 0 });
    }
    assert_eq!(ended_after_s, Some(30));
}

#[test]
fn a_viewer_holds_on_for_a_minute_and_no_longer_without_a_child() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.output(0, 1);
    story.on(Event::Facts(BoardFacts { memory_available_bytes: Some(0), ..PLENTY }));
    assert!(matches!(story.exited(0, 1)[..], [Effect::Gap { .. }]));
    assert_eq!(refusal(&story.ask(2, 7)), Some(Refusal::Short(Short::Memory)), "who comes now is told why not");
    assert!(story.wait(GAP_MS - 1).is_empty());
    assert!(matches!(story.wait(1)[..], [Effect::Close { viewer: ViewerId(1), .. }]));
    assert!(story.pool.is_idle());
}

#[test]
fn a_start_on_its_way_keeps_who_holds_on_until_its_verdict() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.output(0, 1);
    story.exited(0, 1);
    story.exited(0, 2);
    assert!(is_start(&story.wait(30_000), 0, 7));
    story.on(Event::Exited { slot: SlotIndex(0), generation: Generation(3), end: End::Plain });
    assert!(is_start(&story.wait(30_000), 0, 7), "exactly when his minute is over");
    assert!(story.wait(START_TIMEOUT_MS - 1).is_empty());
    let effects = story.wait(1);
    assert!(matches!(effects[..], [Effect::Terminate { .. }, Effect::Close { .. }]), "{effects:?}");
}

#[test]
fn arguments_that_ffmpeg_does_not_understand_are_not_tried_again() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    let (slot, generation) = (SlotIndex(0), Generation(1));
    let end = End::Failed(Failure::Config);
    assert_eq!(refusal(&story.on(Event::Exited { slot, generation, end })), Some(Refusal::Misconfigured));
    assert_eq!(refusal(&story.ask(2, 7)), Some(Refusal::Misconfigured));
    story.on(Event::Reset { channel: ChannelId(7) });
    assert!(matches!(story.ask(3, 7)[..], [Effect::Start { kind: Kind::Probe, .. }]), "a person has changed something");
    story.wait(1_000);
    let generation = Generation(2);
    story.on(Event::Exited { slot, generation, end });
    assert!(story.noted(|note| matches!(note, Note::Failed { failure: Failure::EarlyExit, .. })), "too late for that");
}

#[test]
fn a_file_that_is_over_is_over_and_a_broadcast_is_not() {
    for (class, is_over) in [(SourceClass::File, true), (SourceClass::Live, false)] {
        let mut story = Story::new(1);
        let sources = Sources::one(ChannelId(7), Work::Copy, class);
        story.on(Event::Ask { viewer: ViewerId(1), tuner: None, share: Share::BOX, sources });
        story.output(0, 1);
        story.play(0, 1, STABLE_MS);
        let end = Event::Exited { slot: SlotIndex(0), generation: Generation(1), end: End::Finished };
        let effects = story.on(end);
        assert_eq!(matches!(effects[..], [Effect::Close { .. }]), is_over, "{effects:?}");
        assert_eq!(story.noted(|note| matches!(note, Note::Failed { .. })), !is_over);
    }
}

#[test]
fn a_tuner_that_is_kept_for_somebody_is_nobody_elses() {
    let mut story = Story::new(2);
    story.on(Event::Hold { slot: SlotIndex(0), is_held: true });
    assert!(is_start(&story.ask(1, 7), 1, 7));
    assert_eq!(refusal(&story.ask(2, 8)), Some(Refusal::AllTunersInUse));
    assert_eq!(refusal(&story.ask_tuner(3, 8, Some(0))), Some(Refusal::TunerInUse));
    story.on(Event::Hold { slot: SlotIndex(0), is_held: false });
    assert!(is_start(&story.ask_tuner(4, 8, Some(0)), 0, 8));
    story.on(Event::Hold { slot: SlotIndex(0), is_held: true });
    assert!(story.ask(5, 8).is_empty(), "what plays there may be shared");
}

#[test]
fn a_tuner_that_a_person_frees_is_free() {
    let mut story = Story::new(2);
    story.ask(1, 7);
    story.output(0, 1);
    story.ask(2, 7);
    story.ask(3, 8);
    let effects = story.on(Event::Free { slot: SlotIndex(0) });
    let closed = |viewer: u64| {
        effects.iter().any(|effect| matches!(effect, Effect::Close { viewer: found, .. } if *found == ViewerId(viewer)))
    };
    assert!(closed(1) && closed(2) && !closed(3), "{effects:?}");
    let ended = |effects: &[Effect]| {
        effects.iter().any(|effect| matches!(effect, Effect::Terminate { slot: SlotIndex(0), .. }))
    };
    assert!(ended(&effects) || ended(&story.wait(0)), "it does not linger");
    story.exited(0, 1);
    assert!(is_start(&story.ask(4, 9), 0, 9));
    // One that nobody has, or that is not there: nothing.
    assert!(story.on(Event::Free { slot: SlotIndex(9) }).is_empty());
    // Who still waits is told no; the start gets its verdict all the same.
    let effects = story.on(Event::Free { slot: SlotIndex(1) });
    assert_eq!(refusal(&effects), Some(Refusal::TunerInUse), "{effects:?}");
    story.pool.check_invariants();
}

#[test]
fn a_wrong_clock_is_nobodys_failure() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.on(Event::Exited { slot: SlotIndex(0), generation: Generation(1), end: End::Clock });
    assert!(!story.noted(|note| matches!(note, Note::Failed { .. })));
    assert_eq!(story.pool.channels(story.now).count(), 0);
}

#[test]
fn ten_restarts_a_minute_are_for_all_channels_together() {
    let mut story = Story::new(12);
    for channel in 0..12 {
        story.ask(u64::from(channel), channel);
        story.output(u8::try_from(channel).unwrap(), story.pool.generation.0);
        story.wait(200);
    }
    let mut restarts = 0;
    for slot in 0..12 {
        let generation = u64::from(slot) + 1;
        let effects = story.exited(slot, generation);
        restarts += effects.iter().filter(|effect| matches!(effect, Effect::Start { .. })).count();
        restarts += story.wait(200).iter().filter(|effect| matches!(effect, Effect::Start { .. })).count();
    }
    assert_eq!(restarts, 10);
    assert_eq!(story.notes.iter().filter(|note| **note == Note::Storm).count(), 1, "told once");
    assert_eq!(story.pool.restarts_in_window(story.now), 10);
    assert_eq!(refusal(&story.ask(50, 11)), Some(Refusal::Busy { retry_ms: 60_000 - 12 * 200 }));
}

#[test]
fn unwatchable_output_is_restarted_after_half_a_minute() {
    let mut story = Story::with_rules(1, Rules::DEFAULT);
    story.ask(1, 7);
    story.output(0, 1);
    let (slot, generation) = (SlotIndex(0), Generation(1));
    let mut looks = 0;
    for second in 1..=60 {
        let heard = heard(slot, generation, story.now);
        story.on(heard);
        let effects = story.wait(1_000);
        assert!(effects.len() <= 1);
        if let [Effect::Probe { .. }] = effects[..] {
            looks += 1;
            assert!(story.wait(200).is_empty(), "one at a time");
            let effects = story.on(Event::Probed { slot, generation, result: ProbeResult::Unhealthy });
            if !effects.is_empty() {
                assert!(matches!(effects[..], [Effect::Terminate { .. }, Effect::Gap { .. }]));
                assert!(second >= 33 && looks >= 11, "{second} s, {looks} looks");
                assert!(story.noted(|note| matches!(note, Note::Failed { failure: Failure::ProbeUnhealthy, .. })));
                return;
            }
        }
    }
    panic!("it was never restarted");
}

#[test]
fn looks_wait_for_each_other_and_for_the_board() {
    let mut story = Story::with_rules(2, Rules::DEFAULT);
    for (viewer, channel, slot) in [(1, 7, 0), (2, 8, 1)] {
        story.ask(viewer, channel);
        story.output(slot, story.pool.generation.0);
    }
    assert!(matches!(story.wait(PROBE_EVERY_MS)[..], [Effect::Probe { slot: SlotIndex(0), .. }]));
    assert!(story.wait(100).is_empty());
    assert!(story.noted(|note| *note == Note::ProbeSkipped { slot: SlotIndex(1) }));
    let (slot, generation) = (SlotIndex(0), Generation(1));
    assert!(story.on(Event::Probed { slot, generation, result: ProbeResult::Healthy }).is_empty(), "it rests as long");
    assert!(matches!(story.wait(100)[..], [Effect::Probe { slot: SlotIndex(1), .. }]));
    let view = story.pool.slots(story.now).next().unwrap();
    assert_eq!(view.health, Health::Healthy);
    let (slot, generation) = (SlotIndex(1), Generation(2));
    story.on(Event::Probed { slot, generation, result: ProbeResult::Unknown });
    story.on(Event::Facts(BoardFacts { memory_available_bytes: Some(0), ..PLENTY }));
    story.notes.clear();
    assert!(story.wait(PROBE_EVERY_MS).is_empty());
    assert!(story.noted(|note| *note == Note::ProbeSkipped { slot: SlotIndex(0) }));
}

/// Runs looks of 100 ms each for a time; says at which second, and on which slot, there was a glance with one.
fn glances(story: &mut Story, seconds: u64) -> Vec<(u64, u8)> {
    let mut glances = Vec::new();
    for tenth in 1..=10 * seconds {
        for slot in [SlotIndex(0), SlotIndex(1)] {
            story.on(heard(slot, Generation(u64::from(slot.0) + 1), story.now));
        }
        for effect in story.wait(100) {
            let Effect::Probe { slot, generation, glance, .. } = effect else { continue };
            if glance.is_some() {
                glances.push((tenth / 10, slot.0));
            }
            story.wait(100);
            story.on(Event::Probed { slot, generation, result: ProbeResult::Healthy });
        }
    }
    glances
}

#[test]
fn some_looks_have_a_glance_with_them() {
    let mut story = Story::with_rules(3, Rules::DEFAULT);
    for (viewer, channel, slot) in [(1, 7, 0), (2, 8, 1)] {
        story.ask(viewer, channel);
        story.output(slot, story.pool.generation.0);
    }
    let seen = glances(&mut story, 60);
    for slot in [0, 1] {
        let times: Vec<u64> = seen.iter().filter(|(_, of)| *of == slot).map(|(at, _)| *at).collect();
        assert!((4..=5).contains(&times.len()), "{seen:?}");
        assert!(times.iter().zip(times.iter().skip(1)).all(|(one, two)| two - one >= GLANCE_EVERY_MS / 1_000 - 1));
    }
    assert!(story.pool.permit_trial(story.now).is_some());
    let after_trial = glances(&mut story, 30);
    assert!(after_trial.iter().all(|(at, _)| *at >= 7) && !after_trial.is_empty(), "{after_trial:?}");
    // A third channel that does not come.
    story.ask(3, 9);
    assert_eq!(glances(&mut story, 15), []);
}

#[test]
fn glances_have_their_share_of_the_time_and_none_of_a_board_without_room() {
    let mut story = Story::with_rules(2, Rules::DEFAULT);
    for (viewer, channel, slot) in [(1, 7, 0), (2, 8, 1)] {
        story.ask(viewer, channel);
        story.output(slot, story.pool.generation.0);
    }
    let (mut glances_len, mut looks_ms, mut glances_ms) = (0, 0, 0);
    let began = story.now;
    while story.now.ms_since(began) < 600_000 {
        for slot in [SlotIndex(0), SlotIndex(1)] {
            story.on(heard(slot, Generation(u64::from(slot.0) + 1), story.now));
        }
        for effect in story.wait(100) {
            let Effect::Probe { slot, generation, glance, .. } = effect else { continue };
            story.wait(1_500);
            looks_ms += 1_500;
            glances_len += u64::from(glance.is_some());
            glances_ms += if glance.is_some() { 1_500 } else { 0 };
            story.on(Event::Probed { slot, generation, result: ProbeResult::Healthy });
        }
    }
    assert!(glances_ms * (GLANCE_REST_TIMES + 1) <= 615_000 && glances_len > 60, "{glances_len} of {looks_ms}");
    story.on(Event::Facts(BoardFacts { heat_milli_c: Some(90_000), ..PLENTY }));
    assert!(glances(&mut story, 60).is_empty());
}

#[test]
fn early_headers_keep_impatient_clients_for_a_minute() {
    let mut story = Story::with_rules(1, Rules { early_headers: true, ..Rules::DEFAULT });
    story.ask(1, 7);
    let effects = story.wait(2_000);
    assert!(matches!(effects[..], [Effect::Gap { .. }, Effect::Admit { viewer: ViewerId(1), .. }]), "{effects:?}");
    assert!(story.output(0, 1).is_empty());
    story.leave(1);
    assert!(is_terminate(&story.wait(LINGER_MS), 0));
}

#[test]
fn a_crash_of_the_daemon_makes_nothing_forgotten() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.exited(0, 1);
    story.exited(0, 2);
    let mut text = std::string::String::new();
    story.pool.remember(&mut text).unwrap();
    let mut again = Story::new(1);
    again.now = story.now.plus_ms(1_000);
    again.pool.recall(again.now, &text, false);
    assert_eq!(refusal(&again.ask(2, 7)), Some(Refusal::TuneFailed { retry_ms: 29_000 }));
    assert_eq!(again.pool.restarts_in_window(again.now), 1);
}

#[test]
fn most_channels_resting_is_one_outage() {
    let mut story = Story::new(3);
    for channel in 0..3 {
        story.ask(u64::from(channel), channel);
        let (slot, generation) = (SlotIndex(0), story.pool.generation);
        story.on(Event::Exited { slot, generation, end: End::Failed(Failure::Policy) });
    }
    assert_eq!(story.notes.iter().filter(|note| **note == Note::Outage(true)).count(), 1);
    story.wait(600_000);
    assert!(story.noted(|note| *note == Note::Outage(false)));
}

#[test]
fn a_viewer_is_answered_in_time_and_the_attempt_goes_on() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    assert_eq!(story.pool.next_deadline(), Some(story.now.plus_ms(TUNE_DEADLINE_MS)));
    assert_eq!(refusal(&story.wait(TUNE_DEADLINE_MS)), Some(Refusal::NoVideo { retry_ms: 2_000 }));
    assert!(story.ask(2, 7).is_empty(), "joins the same attempt");
    story.wait(TUNE_DEADLINE_MS);
    assert!(story.noted(|note| matches!(note, Note::Failed { failure: Failure::StartTimeout, .. })));
    assert!(story.pool.slots(story.now).all(|slot| slot.viewers == 0));
}

#[test]
fn a_starting_child_is_not_ended_because_its_viewer_left_unless_the_slot_is_needed() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    assert!(story.leave(1).is_empty());
    assert!(story.wait(LINGER_MS).is_empty());
    assert!(is_terminate(&story.ask(2, 8), 0));
}

#[test]
fn a_child_that_ignores_sigterm_is_killed_and_one_that_ignores_that_is_given_up() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    story.output(0, 1);
    story.leave(1);
    story.wait(LINGER_MS);
    assert!(matches!(story.wait(TERM_MS)[..], [Effect::Kill { .. }]));
    story.ask(2, 8);
    let end = story.wait(REAP_MS);
    assert!(
        matches!(end[..], [Effect::Refuse { refusal: Refusal::SlotStuck, .. }, Effect::Quarantine { .. }]),
        "{end:?}"
    );
    assert_eq!(refusal(&story.ask(3, 8)), Some(Refusal::AllTunersInUse));
    assert!(story.exited(0, 1).is_empty());
    assert!(is_start(&story.ask(4, 8), 0, 8), "reaped after all");
}

#[test]
fn what_ffmpeg_fetches_by_itself_is_started_again_and_no_failure() {
    for (work, then) in [(Work::Pull, Work::Copy), (Work::Encode, Work::Encode)] {
        let mut story = Story::new(1);
        let sources = Sources::one(ChannelId(1), work, SourceClass::Live);
        let _ = story.on(Event::Ask { viewer: ViewerId(7), tuner: None, share: Share::BOX, sources });
        let needs = Needs::Alone(SourceClass::File);
        assert!(is_terminate(&story.on(Event::Unsuited { slot: SlotIndex(0), generation: Generation(1), needs }), 0));
        assert!(matches!(story.exited(0, 1)[..], [Effect::Start { work, .. }] if work == then));
        assert!(!story.noted(|note| matches!(note, Note::Failed { .. })));
        assert!(is_admit(&story.output(0, 2), 7));
    }
}

#[test]
fn a_source_in_formats_that_clients_do_not_play_is_started_again_encoding() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    assert!(is_terminate(
        &story.on(Event::Unsuited { slot: SlotIndex(0), generation: Generation(1), needs: Needs::Work(Work::Encode) }),
        0
    ));
    assert!(matches!(story.exited(0, 1)[..], [Effect::Start { work: Work::Encode, .. }]));
    assert!(is_admit(&story.output(0, 2), 1));
}

#[test]
fn a_sound_that_clients_do_not_play_is_encoded_alone_and_all_of_it_if_that_was_not_all() {
    let mut story = Story::new(1);
    story.ask(1, 7);
    let unsuited = |generation, needs| Event::Unsuited {
        slot: SlotIndex(0),
        generation: Generation(generation),
        needs: Needs::Work(needs),
    };
    assert!(is_terminate(&story.on(unsuited(1, Work::Sound)), 0));
    assert!(matches!(story.exited(0, 1)[..], [Effect::Start { work: Work::Sound, .. }]));
    assert!(is_terminate(&story.on(unsuited(2, Work::Encode)), 0));
    story.exited(0, 2);
    assert!(matches!(story.wait(1_000)[..], [Effect::Start { work: Work::Encode, .. }]), "once there is a token");
    // Who does more than is needed, and finds it needed, blames the source.
    assert!(!story.noted(|note| matches!(note, Note::Failed { .. })));
    story.on(unsuited(3, Work::Sound));
    assert!(story.noted(|note| matches!(note, Note::Failed { failure: Failure::NotTs, .. })));
}

#[test]
fn what_the_board_cannot_carry_is_refused_and_leaves_no_trace() {
    let mut story = Story::new(2);
    story.on(Event::Facts(BoardFacts { memory_available_bytes: Some(0), ..PLENTY }));
    for viewer in 0..100 {
        assert_eq!(refusal(&story.ask(viewer, 7)), Some(Refusal::Short(Short::Memory)));
    }
    story.on(Event::Facts(PLENTY));
    assert!(is_start(&story.ask(200, 7), 0, 7));
}

#[test]
fn two_starts_cannot_spend_the_same_memory() {
    let mut story = Story::new(2);
    let for_one = Work::Copy.memory_bytes() + crate::limits::RESERVE_MEMORY_BYTES;
    story.on(Event::Facts(BoardFacts { memory_available_bytes: Some(for_one), ..PLENTY }));
    assert!(is_start(&story.ask(1, 7), 0, 7));
    assert_eq!(refusal(&story.ask(2, 8)), Some(Refusal::Short(Short::Memory)));
    story.output(0, 1);
    story.wait(RESERVATION_MS);
    assert!(is_start(&story.ask(3, 8), 1, 8), "by then the facts show what the first one really took");
}

#[test]
fn the_limiter_makes_the_fifth_start_wait_its_turn() {
    let mut story = Story::new(2);
    for round in 0..4u32 {
        assert!(is_start(&story.ask(u64::from(round), round), 0, round));
        story.leave(u64::from(round));
        story.exited(0, u64::from(round) + 1);
    }
    assert!(story.ask(50, 50).is_empty());
    assert!(story.ask(51, 51).is_empty());
    let ready_at = story.pool.next_deadline().unwrap();
    assert_eq!(ready_at, story.now.plus_ms(200));
    assert!(is_start(&story.wait(200), 0, 50));
    assert!(is_start(&story.wait(200), 1, 51));
}

#[test]
fn a_drain_ends_everything_and_lets_nobody_in() {
    let mut story = Story::new(3);
    story.ask(1, 1);
    story.output(0, 1);
    story.ask(2, 2);
    assert_eq!(story.on(Event::Drain).len(), 4, "one closed, one refused, two children told to end");
    assert_eq!(refusal(&story.ask(3, 3)), Some(Refusal::Draining));
    story.exited(0, 1);
    story.exited(1, 2);
    assert!(story.pool.is_idle());
}

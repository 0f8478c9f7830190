//! Stories of one channel in several profiles, and a long random one: `tools/proof` asks for plain channels only.

use super::*;

/// A living child, and what it plays.
type Child = (SlotIndex, Generation, ChannelId, Profile);

impl Story {
    fn ask_for(&mut self, viewer: u64, channel: u32, profile: Profile) -> Vec<Effect> {
        let work = if profile == Profile::None { Work::Copy } else { Work::Transcode(profile) };
        let sources = Sources::one(ChannelId(channel), work, SourceClass::Live);
        self.on(Event::Ask { viewer: ViewerId(viewer), tuner: None, share: Share::BOX, sources })
    }

    /// As [`Story::wait`], with silent children.
    pub(super) fn wait_among(&mut self, ms: u64, living: &[Child]) -> Vec<Effect> {
        let until = self.now.plus_ms(ms);
        let mut effects = Vec::new();
        loop {
            let at = self.pool.next_deadline().filter(|at| *at <= until);
            self.now = at.unwrap_or(until).max(self.now);
            for (slot, generation, ..) in living.iter().copied() {
                self.on(heard(slot, generation, Mono(0)));
            }
            effects.extend(self.on(Event::Deadline));
            assert!(self.pool.next_deadline().is_none_or(|next| next > self.now), "a deadline that does not pass");
            if at.is_none() {
                return effects;
            }
        }
    }

    fn ended(&mut self, slot: u8, generation: u64, end: End) -> Vec<Effect> {
        self.on(Event::Exited { slot: SlotIndex(slot), generation: Generation(generation), end })
    }
}

#[test]
fn viewers_of_one_profile_share_a_child_and_those_of_two_do_not() {
    let mut story = Story::new(4);
    let first = story.ask_for(1, 7, Profile::Heavy);
    assert!(matches!(first[..], [Effect::Start { work: Work::Transcode(Profile::Heavy), .. }]), "{first:?}");
    assert!(story.ask_for(2, 7, Profile::Heavy).is_empty());
    assert!(is_start(&story.ask_for(3, 7, Profile::None), 1, 7));
    assert!(is_start(&story.ask_for(4, 7, Profile::Mobile), 2, 7));
    assert_eq!(story.output(0, 1).len(), 2);
    assert!(is_admit(&story.ask_for(5, 7, Profile::Heavy), 5));
    // A source that has to be encoded anyway is no other picture.
    let sources = Sources::one(ChannelId(7), Work::Encode, SourceClass::Live);
    assert!(story.on(Event::Ask { viewer: ViewerId(6), tuner: None, share: Share::BOX, sources }).is_empty());
    assert_eq!(refusal(&story.ask_tuner(7, 7, Some(0))), Some(Refusal::TunerInUse), "it plays another picture");
    assert_eq!(story.output(1, 2).len(), 2);
    let profiles: Vec<Profile> = story.pool.slots(story.now).map(|slot| slot.profile).collect();
    assert_eq!(profiles, [Profile::Heavy, Profile::None, Profile::Mobile, Profile::None]);
}

#[test]
fn who_changes_the_profile_costs_the_provider_no_second_connection() {
    let mut story = Story::new(4);
    story.ask_for(1, 7, Profile::None);
    story.output(0, 1);
    story.leave(1);
    assert!(is_terminate(&story.ask_for(2, 7, Profile::Heavy), 0));
    assert!(is_start(&story.exited(0, 1), 0, 7));
    // Nor does who zaps have a stream encoded for nobody, which may be all that the box can encode.
    story.output(0, 2);
    story.leave(2);
    assert!(is_terminate(&story.ask_for(3, 8, Profile::Heavy), 0));
    assert!(is_start(&story.exited(0, 2), 0, 8));
    story.output(0, 3);
    story.leave(3);
    assert!(is_start(&story.ask_for(4, 9, Profile::None), 1, 9), "whoever wants neither takes a free slot");
}

#[test]
fn a_channel_has_one_breaker_for_all_its_profiles() {
    let mut story = Story::new(4);
    story.ask_for(1, 7, Profile::None);
    story.output(0, 1);
    let dies = |story: &mut Story, viewer, generation| {
        story.ask_for(viewer, 7, Profile::Heavy);
        story.ended(1, generation, End::Failed(Failure::Policy))
    };
    let effects = dies(&mut story, 2, 2);
    assert_eq!(refusal(&effects), Some(Refusal::Misconfigured), "{effects:?}");
    assert_eq!(refusal(&story.ask_for(3, 7, Profile::Mobile)), Some(Refusal::Misconfigured));
    assert!(is_admit(&story.ask_for(4, 7, Profile::None), 4), "who has a picture keeps and shares it");

    story.play(0, 1, BREAKER_OPEN_MS);
    let probe = story.ask_for(5, 7, Profile::Heavy);
    assert!(matches!(probe[..], [Effect::Start { kind: Kind::Probe, .. }]), "{probe:?}");
    let mobile = story.ask_for(6, 7, Profile::Mobile);
    assert!(matches!(refusal(&mobile), Some(Refusal::TuneFailed { .. })), "the cooldown is the channel's: {mobile:?}");
    let effects = story.exited(0, 1);
    assert!(
        matches!(effects[..], [Effect::Gap { .. }]),
        "what fails beside the probe waits for it as well: {effects:?}"
    );
    story.output(1, 3);
    let effects = story.play(1, 3, STABLE_MS + 1_000);
    let starts = effects.iter().filter(|effect| matches!(effect, Effect::Start { .. })).count();
    assert_eq!(starts, 1, "the others' turn: {effects:?}");
    assert!(story.noted(|note| matches!(note, Note::Closed { .. })));
}

#[test]
fn a_probe_decides_for_the_other_profiles_too() {
    let mut story = Story::new(4);
    story.ask_for(1, 7, Profile::Heavy);
    story.ended(0, 1, End::Failed(Failure::Policy));
    // By now no failure is in the window any more, and no cooldown makes anybody wait.
    story.wait(2 * 3_600_000);
    let probe = story.ask_for(2, 7, Profile::Heavy);
    assert!(matches!(probe[..], [Effect::Start { kind: Kind::Probe, .. }]), "{probe:?}");
    story.output(0, 2);
    story.play(0, 2, STABLE_MS - 3_000);
    assert!(story.ask_for(3, 7, Profile::Mobile).is_empty(), "its verdict is awaited");
    let effects = story.play(0, 2, 4_000);
    assert!(matches!(effects[..], [Effect::Start { kind: Kind::Cold, .. }]), "{effects:?}");
}

#[test]
fn an_encoder_that_fails_is_not_the_channels_failure() {
    let mut story = Story::new(1);
    story.ask_for(1, 7, Profile::Heavy);
    story.output(0, 1);
    let effects = story.ended(0, 1, End::Encoder);
    assert!(
        matches!(effects[..], [Effect::Gap { .. }, Effect::Start { kind: Kind::Cold, continues: true, .. }]),
        "{effects:?}"
    );
    assert!(!story.noted(|note| matches!(note, Note::Failed { .. })));
    let unsuited =
        story.on(Event::Unsuited { slot: SlotIndex(0), generation: Generation(2), needs: Needs::Work(Work::Encode) });
    assert!(is_terminate(&unsuited[..1], 0));
    assert!(story.noted(|note| matches!(note, Note::Failed { failure: Failure::NotTs, .. })), "encoding does not help");
}

#[test]
fn an_encoder_is_tried_while_nobody_needs_the_board() {
    let mut story = Story::new(2);
    let permitted = |story: &mut Story| story.pool.permit_trial(story.now).map(drop).is_some();
    assert!(permitted(&mut story));
    story.ask_for(1, 7, Profile::None);
    assert!(!permitted(&mut story), "somebody waits for a start");
    story.output(0, 1);
    assert!(permitted(&mut story), "packets are copied without effort");
    story.ask_for(2, 8, Profile::Heavy);
    story.output(1, 2);
    assert!(!permitted(&mut story), "something is encoded");
    story.leave(2);
    story.wait(LINGER_MS);
    story.exited(1, 2);
    story.on(Event::Facts(BoardFacts { memory_available_bytes: Some(0), ..PLENTY }));
    assert!(!permitted(&mut story));
    story.on(Event::Facts(PLENTY));
    story.on(Event::Drain);
    assert!(!permitted(&mut story));
}

#[test]
fn a_signature_is_checked_whoever_watches_while_there_is_memory() {
    let mut story = Story::new(2);
    let permitted = |story: &Story| story.pool.permit_check(story.now).map(drop).is_some();
    story.ask_for(1, 7, Profile::Heavy);
    assert!(permitted(&mut story));
    story.on(Event::Facts(BoardFacts { ffmpeg_present: false, ..PLENTY }));
    assert!(permitted(&mut story), "it needs no FFmpeg");
    story.on(Event::Facts(BoardFacts { memory_available_bytes: Some(0), ..PLENTY }));
    assert!(!permitted(&mut story));
    story.on(Event::Facts(PLENTY));
    story.on(Event::Drain);
    assert!(!permitted(&mut story));
}

/// What is at stake: an assertion of the pool ends the daemon, and with several slots of one channel its breaker can be
/// pulled from two sides. Tried with random days of two channels in three pictures each; the pool asserts by itself.
#[test]
fn random_days_in_several_profiles_break_nothing() {
    const PROFILES: [Profile; 3] = [Profile::None, Profile::Heavy, Profile::Internet240];
    let (mut beside_probe, mut refused, mut probes) = (0, 0, 0);
    for seed in 0..20_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((state >> 33) % below).unwrap()
        };
        let mut story = Story::new(3);
        let mut living: Vec<Child> = Vec::new();
        for viewer in 0..3_000_u64 {
            let mut effects = match random(12) {
                0..=3 => story.ask_for(viewer, u32::try_from(random(2)).unwrap(), PROFILES[random(3)]),
                4 => story.leave(viewer.saturating_sub(random(12) as u64)),
                5..=6 => story.wait_among(random(4_000) as u64, &living),
                7 => story.wait_among(random(60_000) as u64, &living),
                _ if living.is_empty() => continue,
                chosen => {
                    let (slot, generation, channel, _) = living[random(living.len() as u64)];
                    match chosen {
                        8 | 9 => {
                            let before = story.on(Event::Output { slot, generation });
                            let heard = heard(slot, generation, story.now);
                            before.into_iter().chain(story.on(heard)).collect()
                        }
                        10 => story.on(Event::Useless { slot, generation, failure: Failure::NotTs }),
                        _ => {
                            let ends = [End::Plain, End::Clock, End::Encoder, End::Failed(Failure::Http)];
                            beside_probe +=
                                u32::from(story.pool.gate.breakers().is_half_open(Origin { channel, source: 0 }));
                            living.retain(|(_, alive, ..)| *alive != generation);
                            story.ended(slot.0, generation.0, ends[random(4)])
                        }
                    }
                }
            };
            // Who is asked to end does so as a rule.
            let mut position = 0;
            while position < effects.len() {
                match effects[position] {
                    Effect::Start { slot, generation, channel, work, kind, .. } => {
                        let picture = (channel, work.profile());
                        let has_two = living.iter().any(|(_, _, channel, profile)| (*channel, *profile) == picture);
                        assert!(!has_two, "{picture:?} has two children in seed {seed}");
                        living.push((slot, generation, channel, work.profile()));
                        probes += u32::from(kind == Kind::Probe);
                    }
                    Effect::Terminate { slot, generation } | Effect::Kill { slot, generation } if random(8) > 0 => {
                        living.retain(|(_, alive, ..)| *alive != generation);
                        let more = story.ended(slot.0, generation.0, End::Plain);
                        effects.extend(more);
                    }
                    // Whom nothing ends is given up, and may have a successor.
                    Effect::Quarantine { generation, .. } => living.retain(|(_, alive, ..)| *alive != generation),
                    Effect::Refuse { .. } => refused += 1,
                    _ => {}
                }
                position += 1;
            }
        }
    }
    assert!(beside_probe > 100 && refused > 1_000 && probes > 100, "{beside_probe} {refused} {probes}");
}

//! The guard's decisions.

use crate::allocations;
use pure::model::face::{FaceId, Share};
use pure::model::lineup::{Account, ChannelId, SourceClass};
use pure::rules::admission::{BoardFacts, Work};
use pure::rules::failure::{End, Failure};
use pure::rules::health::ProbeResult;
use pure::rules::pool::{Effect, Effects, Event, Generation, Pool, SlotIndex, ViewerId};
use pure::rules::sources::{Sources, Supply};
use pure::time::Mono;

/// A small generator with a full period.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn small(&mut self, sides: u8) -> u8 {
        u8::try_from(self.roll(u64::from(sides))).unwrap()
    }
}

#[test]
fn a_decision_allocates_nothing() {
    const SLOTS: u8 = 4;
    let mut pool = Pool::new(usize::from(SLOTS));
    let mut effects = Effects::default();
    let mut dice = Dice(7);
    let (mut now, mut viewer, mut starts) = (Mono(0), 0, 0);
    let plenty = BoardFacts { fds_limit: 1_000, ffmpeg_present: true, ..BoardFacts::default() };
    pool.on(now, Event::Facts(plenty), &mut effects);
    let before = allocations();
    for _ in 0..300_000 {
        now = pool.next_deadline().map_or(now, |at| at.max(now)).min(now.plus_ms(dice.roll(2_000)));
        let slot = SlotIndex(dice.small(SLOTS));
        let generation = Generation(starts - dice.roll(2 * u64::from(SLOTS)).min(starts));
        let event = match dice.roll(12) {
            0..=2 => {
                viewer += 1;
                let account = Some(Account { id: u32::from(dice.small(3)), streams_max: 2 });
                let supply = Supply { class: SourceClass::Live, work: Work::Copy, account };
                let supplies = [supply, Supply { account: None, ..supply }];
                let channel = ChannelId(u32::from(dice.small(40)));
                let sources = Sources::new(channel, supplies.into_iter().take(1 + dice.small(2) as usize)).unwrap();
                let share = Share { face: FaceId(u32::from(dice.small(2))), slots_max: 3 };
                Event::Ask { viewer: ViewerId(viewer), tuner: None, share, sources }
            }
            3..=5 => Event::Leave { viewer: ViewerId(viewer - dice.roll(20).min(viewer)) },
            6 => Event::Output { slot, generation },
            7 => {
                let (played_ms, silent_ms_max) = (Some(dice.roll(20_000)), dice.roll(2_000));
                Event::Heard { slot, generation, output_at: now, picture_at: now, played_ms, silent_ms_max }
            }
            8 => Event::Exited { slot, generation, end: End::Failed(Failure::Http) },
            9 => Event::Probed { slot, generation, result: ProbeResult::Healthy },
            10 => Event::Sweep,
            _ => Event::Deadline,
        };
        pool.on(now, event, &mut effects);
        starts += effects.drain().filter(|effect| matches!(effect, Effect::Start { .. })).count() as u64;
    }
    assert_eq!(allocations() - before, 0);
    assert!(starts > 100, "only {starts} starts: it decided nothing");
}

//! Which encoder a channel gets: by what trials showed, by what is at work already, and by what failed while running.
//!
//! A hardware encoder that fails rests, each time for longer, and software takes over; should that fail too, it is the
//! channel's failure and the guard's matter ([`crate::rules::gate`]), so nothing here ever goes round. A box that
//! cannot keep up makes a smaller picture, or says no.
//!
//! Here: the decision. What a trial is: `encoders/trial.rs`. Whose fault an end was: `encoders/blame.rs`. Not here: who
//! runs FFmpeg, and what encoders are told (`model/recipe/transcode.rs`).
//!
//! Source: our own rules. That a chip has so many pixels a second to give and no more: a Raspberry Pi 4 encodes 1080
//! lines 30 times a second once (its firmware's limit), and two streams of 720 lines instead.

pub mod blame;
pub mod trial;

use crate::limits::{
    ENCODER_GOOD_MS, ENCODER_REST_MS_MAX, ENCODER_REST_MS_MIN, ENCODERS_MAX, REAL_TIME_PERCENT_MIN, SLOTS_MAX,
    SOFTWARE_ONLY_MAX, SOFTWARE_ONLY_MS,
};
use crate::model::encoder::{Candidates, Encoder};
use crate::model::lineup::ChannelId;
use crate::model::profile::{Profile, Target};
use crate::model::recipe::Treatment;
use crate::rules::encoders::blame::{Blame, Ended, blame, cause};
use crate::rules::encoders::trial::{Outcome, cut};
use crate::rules::pool::SlotIndex;
use crate::time::Mono;
use alloc::string::String;

/// The encoders of this box, and what is known of them.
#[derive(Clone, Debug)]
pub struct Encoders {
    /// In order of preference; software is always among them.
    entries: heapless::Vec<Entry, ENCODERS_MAX>,
    running: [Option<Running>; SLOTS_MAX],
    /// Channels that are left to software, and until when; the oldest first.
    software_only: heapless::Deque<(ChannelId, Mono), SOFTWARE_ONLY_MAX>,
}

#[derive(Clone, Debug)]
struct Entry {
    encoder: Encoder,
    outcome: Outcome,
    /// It may not be used before.
    rests_until: Option<Mono>,
    /// Failures since it last worked for a while.
    failures: u32,
    /// Why it failed last while running.
    last_words: String,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    encoder: Encoder,
    channel: ChannelId,
    pixels_per_s: u64,
    since: Mono,
}

/// What a channel's pictures are encoded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// By whom.
    pub encoder: Encoder,
    /// To what; smaller than was asked for when `reduced`.
    pub profile: Profile,
    /// The same in numbers.
    pub target: Target,
    /// The box could not keep up with what was asked for.
    pub reduced: bool,
}

impl Choice {
    /// For the recipe.
    pub const fn treatment(self) -> Treatment {
        Treatment::Transcode(self.target, self.encoder)
    }
}

/// Why nothing can be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cannot {
    /// No encoder works on this box.
    NoEncoder,
    /// The fastest one is too slow for the smallest picture.
    TooSlow,
    /// All that it could carry is in use; it will be free again.
    Busy,
}

impl Cannot {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoEncoder => "no encoder works on this box; its channels can be watched as they are",
            Self::TooSlow => {
                "this box is too slow to encode pictures of any size; its channels can be watched as they are"
            }
            Self::Busy => "this box encodes as much as it can already; another stream must end first",
        }
    }
}

/// What the end of a child changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The encoder failed and rests; others take over.
    Rests {
        /// Which.
        encoder: Encoder,
        /// Until then.
        until: Mono,
    },
    /// The encoder failed for this stream as well; it rests already.
    RestsAlready,
    /// The channel may not suit the encoder, and is left to software.
    SoftwareOnly {
        /// Which.
        channel: ChannelId,
        /// Until then.
        until: Mono,
    },
}

/// An encoder, to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderView<'a> {
    /// Which.
    pub encoder: Encoder,
    /// What its trial showed.
    pub outcome: &'a Outcome,
    /// While it rests: until when.
    pub rests_until: Option<Mono>,
    /// Failures since it last worked for a while.
    pub failures: u32,
    /// Why it failed last while running; empty when it never did.
    pub last_words: &'a str,
    /// Streams that it makes now.
    pub streams: usize,
}

/// What an encoder of 100 percent has to give: the pixels of the test picture in each second.
const TRIAL_PIXELS_PER_S: u64 = 1280 * 720 * 25;

impl Entry {
    fn is_awake(&self, now: Mono) -> bool {
        self.rests_until.is_none_or(|until| until <= now)
    }

    /// Pixels a second, all streams together; nothing when it does not work. Software that was not tried yet is
    /// trusted, so that a box that is watched from its first second on can show something.
    fn capacity(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Works { percent, .. } => Some(u64::from(*percent) * (TRIAL_PIXELS_PER_S / 100)),
            Outcome::Untried if !self.encoder.is_hardware() => Some(u64::MAX),
            Outcome::Untried | Outcome::Fails(_) => None,
        }
    }
}

/// Whether `capacity`, of which `used` is taken, carries `more` with room to spare.
const fn carries(capacity: u64, used: u64, more: u64) -> bool {
    capacity.saturating_sub(used) >= more.saturating_mul(REAL_TIME_PERCENT_MIN) / 100
}

impl Encoders {
    /// What is to be tried, in order of preference; software is added where it is missing, in the last place.
    pub fn new(candidates: &Candidates) -> Self {
        let mut entries = heapless::Vec::new();
        let mut add = |encoder| {
            let entry =
                Entry { encoder, outcome: Outcome::Untried, rests_until: None, failures: 0, last_words: String::new() };
            entries.push(entry).unwrap_or_default();
        };
        let hardware = candidates.iter().copied().filter(|encoder| encoder.is_hardware());
        hardware.take(ENCODERS_MAX - 1).for_each(&mut add);
        add(Encoder::Software);
        Self { entries, running: [None; SLOTS_MAX], software_only: heapless::Deque::new() }
    }

    // ---- Trials -----------------------------------------------------------------------------------------------------

    /// The next one whose trial is due.
    pub fn to_try(&self) -> Option<Encoder> {
        self.entries.iter().find(|entry| entry.outcome == Outcome::Untried).map(|entry| entry.encoder)
    }

    /// What its trial showed.
    pub fn tried(&mut self, encoder: Encoder, outcome: Outcome) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.encoder == encoder) {
            entry.outcome = outcome;
        }
    }

    /// Forgets what trials showed, for a person who has changed something, or a box that was busy with its own start.
    pub fn try_again(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.outcome = Outcome::Untried);
    }

    /// Whether this box may promise to transcode: some encoder makes 720 lines as fast as they play. Nothing while that
    /// is not known.
    pub fn can_transcode(&self) -> Option<bool> {
        let fast = |entry: &Entry| matches!(entry.outcome, Outcome::Works { percent, .. } if percent >= 100);
        if self.entries.iter().any(fast) {
            Some(true)
        } else if self.to_try().is_none() {
            Some(false)
        } else {
            None
        }
    }

    /// All of them, in order of preference.
    pub fn views(&self, now: Mono) -> impl Iterator<Item = EncoderView<'_>> {
        self.entries.iter().map(move |entry| EncoderView {
            encoder: entry.encoder,
            outcome: &entry.outcome,
            rests_until: entry.rests_until.filter(|until| *until > now),
            failures: entry.failures,
            last_words: &entry.last_words,
            streams: self.running.iter().flatten().filter(|running| running.encoder == entry.encoder).count(),
        })
    }

    // ---- Streams ----------------------------------------------------------------------------------------------------

    /// Chooses for one more stream; nothing is to be encoded for [`Profile::None`].
    ///
    /// The size that was asked for comes first, then the order of preference: a picture does not get smaller while any
    /// encoder can make it.
    ///
    /// # Errors
    /// [`Cannot`]; only [`Cannot::Busy`] passes by itself.
    pub fn choose(&self, now: Mono, channel: ChannelId, asked: Profile) -> Result<Option<Choice>, Cannot> {
        if asked == Profile::None {
            return Ok(None);
        }
        let software_only = self.software_only.iter().any(|(left, until)| *left == channel && *until > now);
        let fits = |entry: &&Entry, target: Target, used: u64| {
            let suits = entry.is_awake(now) && !(software_only && entry.encoder.is_hardware());
            suits && entry.capacity().is_some_and(|capacity| carries(capacity, used, target.pixels_per_s()))
        };
        let mut step = Some(asked);
        while let Some((profile, target)) = step.and_then(|profile| Some((profile, profile.target()?))) {
            if let Some(entry) = self.entries.iter().find(|entry| fits(entry, target, self.used(entry.encoder))) {
                return Ok(Some(Choice { encoder: entry.encoder, profile, target, reduced: profile != asked }));
            }
            step = profile.smaller();
        }
        let smallest = const { Profile::Internet240.target().expect("it makes something") };
        Err(if self.entries.iter().all(|entry| entry.capacity().is_none()) {
            Cannot::NoEncoder
        } else if self.entries.iter().any(|entry| fits(&entry, smallest, 0)) {
            Cannot::Busy
        } else {
            Cannot::TooSlow
        })
    }

    /// A child of this slot encodes as was chosen.
    pub fn started(&mut self, now: Mono, slot: SlotIndex, channel: ChannelId, choice: Choice) {
        let pixels_per_s = choice.target.pixels_per_s();
        if let Some(place) = self.running.get_mut(usize::from(slot.0)) {
            *place = Some(Running { encoder: choice.encoder, channel, pixels_per_s, since: now });
        }
    }

    /// The slot's child ended. For a child that does not encode by choice it changes nothing. Whatever changes, the
    /// next start of the same channel gets another encoder.
    pub fn ended(&mut self, now: Mono, slot: SlotIndex, ended: &Ended<'_>) -> Option<Change> {
        let running = self.running.get_mut(usize::from(slot.0))?.take()?;
        let entry = self.entries.iter_mut().find(|entry| entry.encoder == running.encoder)?;
        if ended.had_output && now.ms_since(running.since) >= ENCODER_GOOD_MS {
            entry.failures = 0;
        }
        match blame(running.encoder, ended) {
            Blame::Nobody | Blame::Source => None,
            Blame::Encoder => {
                entry.last_words = cut(cause(running.encoder, ended.words));
                // Streams that fail together are one failure.
                if !entry.is_awake(now) {
                    return Some(Change::RestsAlready);
                }
                let rest_ms = ENCODER_REST_MS_MIN << entry.failures.min(16);
                let until = now.plus_ms(rest_ms.min(ENCODER_REST_MS_MAX));
                entry.rests_until = Some(until);
                entry.failures += 1;
                Some(Change::Rests { encoder: running.encoder, until })
            }
            Blame::Unclear => {
                let (channel, until) = (running.channel, now.plus_ms(SOFTWARE_ONLY_MS));
                self.leave_to_software(channel, until);
                Some(Change::SoftwareOnly { channel, until })
            }
        }
    }

    fn leave_to_software(&mut self, channel: ChannelId, until: Mono) {
        let mut kept = heapless::Deque::new();
        let others = self.software_only.iter().filter(|(known, _)| *known != channel);
        let spare = (self.software_only.len() + 1).saturating_sub(SOFTWARE_ONLY_MAX);
        for other in others.skip(spare) {
            kept.push_back(*other).unwrap_or_default();
        }
        kept.push_back((channel, until)).unwrap_or_default();
        self.software_only = kept;
    }

    fn used(&self, encoder: Encoder) -> u64 {
        let running = self.running.iter().flatten().filter(|running| running.encoder == encoder);
        running.map(|running| running.pixels_per_s).sum()
    }
}

/// The printable model and the firmware's name: a promise to transcode, or none.
///
/// Jellyfin offers its profiles, and asks for them, where the model contains `HDTC`; so a box that cannot keep that
/// promise must not have such a name. Source: models and firmware of real boxes.
pub const fn model(can_transcode: bool) -> (&'static str, &'static str) {
    if can_transcode { ("HDTC-2US", "hdhomeruntc_atsc") } else { ("HDHR5-4US", "hdhomerun5_atsc") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::encoders::blame::How;
    use std::string::ToString;
    use std::vec::Vec;

    const CHANNEL: ChannelId = ChannelId(7);
    const VAAPI_GONE: &str = "[AVHWDeviceContext @ 0x5] No VA display found for device /dev/dri/renderD128.\n";

    fn vaapi() -> Encoder {
        "vaapi:renderD128".parse().unwrap()
    }

    fn works(percent: u32) -> Outcome {
        Outcome::Works { percent, start_ms: 100 }
    }

    /// A box with a chip and software of these speeds.
    fn encoders(chip: u32, software: u32) -> Encoders {
        let mut encoders = Encoders::new(&Candidates::from_slice(&[vaapi()]).unwrap());
        encoders.tried(vaapi(), works(chip));
        encoders.tried(Encoder::Software, works(software));
        encoders
    }

    fn choose(encoders: &Encoders, at: u64, asked: Profile) -> Choice {
        encoders.choose(Mono(at), CHANNEL, asked).unwrap().unwrap()
    }

    fn fails(had_output: bool, words: &str) -> Ended<'_> {
        Ended { how: How::Exit, had_output, words }
    }

    #[test]
    fn the_first_that_keeps_up_is_chosen() {
        for (chip, software, asked, encoder, profile) in [
            (500, 500, Profile::Heavy, vaapi(), Profile::Heavy),
            // 1080 lines are 2.25 times 720 lines, and a tenth to spare.
            (248, 110, Profile::Heavy, vaapi(), Profile::Heavy),
            (247, 110, Profile::Heavy, vaapi(), Profile::Internet720),
            // The size matters more than who makes it.
            (200, 300, Profile::Heavy, Encoder::Software, Profile::Heavy),
            (109, 110, Profile::Internet720, Encoder::Software, Profile::Internet720),
            (60, 80, Profile::Internet720, Encoder::Software, Profile::Internet540),
            (70, 80, Profile::Mobile, vaapi(), Profile::Internet540),
            (13, 9, Profile::Heavy, vaapi(), Profile::Internet240),
        ] {
            let choice = choose(&encoders(chip, software), 0, asked);
            assert_eq!((choice.encoder, choice.profile), (encoder, profile), "{chip} {software} {asked}");
            assert_eq!(choice.reduced, profile != asked);
            assert_eq!(Some(choice.target), profile.target());
        }
        assert_eq!(encoders(500, 500).choose(Mono(0), CHANNEL, Profile::None), Ok(None));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_words() {
        let mut encoders = encoders(8, 8);
        assert_eq!(encoders.choose(Mono(0), CHANNEL, Profile::Internet240), Err(Cannot::TooSlow));
        encoders.tried(vaapi(), works(200));
        // Each takes from what is left, and what is left is enough for smaller and smaller ones.
        for (slot, profile) in
            (0..).zip([Profile::Internet720, Profile::Internet540, Profile::Internet360, Profile::Internet240])
        {
            let choice = choose(&encoders, 0, Profile::Internet720);
            assert_eq!((choice.profile, choice.reduced), (profile, slot > 0));
            encoders.started(Mono(0), SlotIndex(slot), CHANNEL, choice);
        }
        assert_eq!(encoders.choose(Mono(0), CHANNEL, Profile::Internet720), Err(Cannot::Busy));
        encoders.ended(Mono(9), SlotIndex(0), &Ended { how: How::Asked, had_output: true, words: "" });
        assert!(!choose(&encoders, 9, Profile::Internet540).reduced);
        for encoder in [vaapi(), Encoder::Software] {
            encoders.tried(encoder, Outcome::Fails("no".to_string()));
        }
        assert_eq!(encoders.choose(Mono(0), CHANNEL, Profile::Internet240), Err(Cannot::NoEncoder));
        assert!(Cannot::TooSlow.words().contains("too slow"));
    }

    #[test]
    fn before_the_trials_software_is_trusted_and_nothing_is_promised() {
        let mut encoders = Encoders::new(&Candidates::from_slice(&[vaapi()]).unwrap());
        assert_eq!(choose(&encoders, 0, Profile::Heavy).encoder, Encoder::Software);
        assert_eq!((encoders.can_transcode(), encoders.to_try()), (None, Some(vaapi())));
        encoders.tried(vaapi(), Outcome::Fails("no".to_string()));
        assert_eq!((encoders.can_transcode(), encoders.to_try()), (None, Some(Encoder::Software)));
        encoders.tried(Encoder::Software, works(99));
        assert_eq!((encoders.can_transcode(), encoders.to_try()), (Some(false), None));
        encoders.tried(Encoder::Software, works(100));
        assert_eq!(encoders.can_transcode(), Some(true));
        encoders.try_again();
        assert_eq!((encoders.can_transcode(), encoders.to_try()), (None, Some(vaapi())));
        assert_eq!(model(true), ("HDTC-2US", "hdhomeruntc_atsc"));
        assert!(!model(false).0.to_lowercase().contains("hdtc") && model(false).1 == "hdhomerun5_atsc");
    }

    #[test]
    fn software_takes_over_once_and_the_chip_rests_ever_longer() {
        let mut encoders = encoders(500, 500);
        let slot = SlotIndex(3);
        let mut now = 0;
        for rest_s in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            let choice = choose(&encoders, now, Profile::Heavy);
            assert_eq!(choice.encoder, vaapi());
            encoders.started(Mono(now), slot, CHANNEL, choice);
            let until = Mono(now + 500 + rest_s * 1_000);
            let change = encoders.ended(Mono(now + 500), slot, &fails(false, VAAPI_GONE));
            assert_eq!(change, Some(Change::Rests { encoder: vaapi(), until }));
            let choice = choose(&encoders, now + 500, Profile::Heavy);
            assert_eq!(choice.encoder, Encoder::Software);
            // Should software fail as well, that changes nothing here.
            encoders.started(Mono(now + 500), slot, CHANNEL, choice);
            assert_eq!(encoders.ended(Mono(now + 900), slot, &fails(false, "Conversion failed!")), None);
            assert_eq!(choose(&encoders, until.0 - 1, Profile::Heavy).encoder, Encoder::Software);
            now = until.0;
        }
        assert_eq!(
            encoders.views(Mono(0)).next().unwrap().last_words,
            "No VA display found for device /dev/dri/renderD128."
        );
        // A minute of work, and it is as good as new.
        encoders.started(Mono(now), slot, CHANNEL, choose(&encoders, now, Profile::Heavy));
        let change = encoders.ended(Mono(now + 60_000), slot, &fails(true, VAAPI_GONE));
        assert_eq!(change, Some(Change::Rests { encoder: vaapi(), until: Mono(now + 120_000) }));
    }

    #[test]
    fn streams_that_fail_together_are_one_failure() {
        let mut encoders = encoders(2_000, 500);
        for slot in 0..4 {
            encoders.started(Mono(0), SlotIndex(slot), CHANNEL, choose(&encoders, 0, Profile::Heavy));
        }
        let changes: Vec<_> =
            (0..4).map(|slot| encoders.ended(Mono(1), SlotIndex(slot), &fails(true, VAAPI_GONE)).unwrap()).collect();
        let rests = Change::Rests { encoder: vaapi(), until: Mono(1 + ENCODER_REST_MS_MIN) };
        assert_eq!(changes, [rests, Change::RestsAlready, Change::RestsAlready, Change::RestsAlready]);
        assert_eq!(encoders.views(Mono(1)).next().unwrap().failures, 1);
    }

    #[test]
    fn a_channel_that_ends_for_unknown_reasons_is_tried_by_software_and_others_are_not() {
        let mut encoders = encoders(500, 500);
        encoders.started(Mono(0), SlotIndex(0), CHANNEL, choose(&encoders, 0, Profile::Heavy));
        let until = Mono(1 + SOFTWARE_ONLY_MS);
        let change = encoders.ended(Mono(1), SlotIndex(0), &fails(false, ""));
        assert_eq!(change, Some(Change::SoftwareOnly { channel: CHANNEL, until }));
        assert_eq!(choose(&encoders, 2, Profile::Heavy).encoder, Encoder::Software);
        let other = encoders.choose(Mono(2), ChannelId(8), Profile::Heavy).unwrap().unwrap();
        assert_eq!(other.encoder, vaapi());
        assert_eq!(choose(&encoders, until.0, Profile::Heavy).encoder, vaapi());
        // Whatever fails, the list stays small.
        for id in 0..100 {
            encoders.started(Mono(3), SlotIndex(0), ChannelId(id), other);
            encoders.ended(Mono(4), SlotIndex(0), &fails(false, ""));
            assert!(encoders.software_only.len() <= SOFTWARE_ONLY_MAX);
        }
        assert!(encoders.software_only.iter().any(|(channel, _)| *channel == ChannelId(99)));
    }

    #[test]
    fn a_dead_source_costs_no_encoder_its_good_name() {
        let mut encoders = encoders(500, 500);
        encoders.started(Mono(0), SlotIndex(0), CHANNEL, choose(&encoders, 0, Profile::Heavy));
        let change = encoders.ended(Mono(1), SlotIndex(0), &fails(false, "http://a/: Server returned 404 Not Found\n"));
        assert_eq!(change, None);
        assert_eq!(choose(&encoders, 2, Profile::Heavy).encoder, vaapi());
        // A child that copies has no place here, and its end none either.
        assert_eq!(encoders.ended(Mono(1), SlotIndex(0), &fails(false, VAAPI_GONE)), None);
        assert_eq!(encoders.ended(Mono(1), SlotIndex(255), &fails(false, VAAPI_GONE)), None);
    }

    /// What is at stake: a chip that never works again must not be started over and over. Tried by asking all the time
    /// for a day, with children that fail at once.
    #[test]
    fn a_broken_chip_is_asked_seldom() {
        let mut encoders = encoders(500, 500);
        let (mut chip, day_ms) = (0, 86_400_000);
        for now in (0..day_ms).step_by(1_000) {
            let choice = choose(&encoders, now, Profile::Internet720);
            encoders.started(Mono(now), SlotIndex(0), CHANNEL, choice);
            if choice.encoder.is_hardware() {
                chip += 1;
                encoders.ended(Mono(now), SlotIndex(0), &fails(false, VAAPI_GONE));
            } else {
                encoders.ended(Mono(now), SlotIndex(0), &Ended { how: How::Asked, had_output: true, words: "" });
            }
        }
        assert!((24..=32).contains(&chip), "{chip} times in a day");
    }
}

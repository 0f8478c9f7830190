//! Is what a channel shows of any use? Black, frozen and silent pictures, and streams that have all but dried up.
//!
//! A child that makes packets in time, with a picture in them that can be decoded, may still show nothing. It is glanced
//! at now and then, one key frame as 64 by 36 shades of grey and a second of its sound, and what it makes a second is
//! compared with what it made at first. A film may be black for a while, so that it takes half a minute and several
//! glances in a row, and twice as long where there is sound. What follows is [`crate::rules::pool`]'s to know: nothing,
//! unless another source is ready.
//!
//! What is *not* here: when a glance is due (`pool/attempts.rs`), and who decodes (`engine::glance`).

use crate::limits::{
    BLACK_LUMA_MAX, BLACK_SPREAD_MAX, BLANK_AGAIN_MS, BLANK_MS, BLANK_SOUND_MS, GLANCE_PIXELS, GLANCES_APART_MS_MAX,
    GLANCES_MIN, RATE_STARVED_MS, SILENT_PEAK_MAX, STARVED_LEARN_MS, STARVED_TIMES, STILL_LUMA_MAX,
};
use crate::model::lineup::ChannelId;
use crate::time::Mono;

/// Shades of grey, line by line; 0 is black.
pub type Pixels = [u8; GLANCE_PIXELS];

/// What there is to be seen and heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nobody has looked yet.
    Unknown,
    /// Something.
    Good,
    /// A black picture.
    Black,
    /// A picture in which nothing moves: a card, or an encoder that hangs.
    Frozen,
    /// No sound, though there is a stream of it. The picture moves, so that this is no reason for anything.
    Silent,
    /// Next to nothing comes, and no picture was seen to move meanwhile.
    Starved,
}

impl Sight {
    /// All that are wrong.
    pub const BAD: [Self; 4] = [Self::Black, Self::Frozen, Self::Silent, Self::Starved];

    /// As JSON and metrics name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "ok",
            Self::Black => "black",
            Self::Frozen => "frozen",
            Self::Silent => "silent",
            Self::Starved => "starved",
        }
    }

    /// What it means, to a person; it goes on from a channel's name.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unknown => "was not looked at yet",
            Self::Good => "shows a picture that moves",
            Self::Black => "shows a black picture",
            Self::Frozen => "shows a picture in which nothing moves",
            Self::Silent => "has no sound",
            Self::Starved => "makes less than a tenth of what it made at first",
        }
    }

    /// Whether another source would be better.
    pub const fn is_useless(self) -> bool {
        matches!(self, Self::Black | Self::Frozen | Self::Starved)
    }
}

/// Something that was so at each of the last few glances.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    since: Mono,
    glances_len: u8,
}

impl Run {
    fn saw(&mut self, now: Mono, is_so: bool) {
        if !is_so {
            *self = Self::default();
            return;
        }
        if self.glances_len == 0 {
            self.since = now;
        }
        self.glances_len = self.glances_len.saturating_add(1);
    }

    fn lasted(self, until: Mono, ms: u64) -> bool {
        self.glances_len >= GLANCES_MIN && until.ms_since(self.since) >= ms
    }
}

/// What comes a second, against what came at first.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    first: Option<(Mono, u64)>,
    learnt_bits_per_s: Option<u64>,
    mark: (Mono, u64),
    starved_since: Option<Mono>,
}

impl Rate {
    /// Says whether there is something new.
    fn received(&mut self, now: Mono, bytes: u64) -> bool {
        let rate = |(since, before): (Mono, u64)| {
            bytes.saturating_sub(before).saturating_mul(8_000) / now.ms_since(since).max(1)
        };
        let first = *self.first.get_or_insert((now, bytes));
        let Some(learnt) = self.learnt_bits_per_s else {
            if now.ms_since(first.0) >= STARVED_LEARN_MS {
                self.learnt_bits_per_s = Some(rate(first));
                self.mark = (now, bytes);
            }
            return false;
        };
        // Streams in segments come in bursts: what came in a second says nothing.
        if now.ms_since(self.mark.0) < RATE_STARVED_MS {
            return false;
        }
        if rate(self.mark).saturating_mul(STARVED_TIMES) < learnt {
            self.starved_since.get_or_insert(self.mark.0);
        } else {
            self.starved_since = None;
        }
        self.mark = (now, bytes);
        true
    }
}

/// The judge of what one slot shows.
#[derive(Clone, Debug)]
pub struct Judge {
    sight: Sight,
    since: Mono,
    glanced_at: Mono,
    /// The first picture of those that look alike: whoever moves slowly moves away from it.
    anchor: Option<Pixels>,
    moved_at: Option<Mono>,
    black: Run,
    still: Run,
    silent: Run,
    /// `None`: what comes says nothing about what is seen.
    rate: Option<Rate>,
    /// Whose source was left because of what it showed, and when.
    left: Option<(ChannelId, Mono)>,
}

impl Default for Judge {
    fn default() -> Self {
        Self::new(Mono(0), None, false)
    }
}

impl Judge {
    const fn new(now: Mono, left: Option<(ChannelId, Mono)>, has_rate: bool) -> Self {
        const NONE: Run = Run { since: Mono(0), glances_len: 0 };
        const AT_FIRST: Rate = Rate { first: None, learnt_bits_per_s: None, mark: (Mono(0), 0), starved_since: None };
        Self {
            sight: Sight::Unknown,
            since: now,
            glanced_at: now,
            anchor: None,
            moved_at: None,
            black: NONE,
            still: NONE,
            silent: NONE,
            rate: if has_rate { Some(AT_FIRST) } else { None },
            left,
        }
    }

    /// Another child begins. `has_rate`: how much it makes is its source's doing, neither an encoder's nor a viewer's.
    pub fn begin(&mut self, now: Mono, channel: ChannelId, has_rate: bool) {
        *self = Self::new(now, self.left.filter(|(of, _)| *of == channel), has_rate);
    }

    /// What a glance has seen and heard; `None` is what there is not, or what nobody knows. `peak` is of 32,768.
    pub fn glanced(&mut self, now: Mono, picture: Option<&Pixels>, peak: Option<u16>) {
        if picture.is_none() && peak.is_none() {
            return;
        }
        if now.ms_since(self.glanced_at) > GLANCES_APART_MS_MAX {
            (self.black, self.still, self.silent) = (Run::default(), Run::default(), Run::default());
        }
        self.glanced_at = now;
        if let Some(peak) = peak {
            self.silent.saw(now, peak <= SILENT_PEAK_MAX);
        }
        if let Some(picture) = picture {
            self.black.saw(now, is_black(picture));
            if self.anchor.as_ref().is_some_and(|anchor| has_moved(anchor, picture)) {
                self.moved_at = Some(now);
                (self.still, self.anchor) = (Run::default(), None);
            }
            self.anchor.get_or_insert(*picture);
            self.still.saw(now, true);
        }
        self.judge(now);
    }

    /// Its child has made so many bytes so far. Says whether there is something new.
    pub fn received(&mut self, now: Mono, bytes: u64) -> bool {
        let is_new = self.rate.as_mut().is_some_and(|rate| rate.received(now, bytes));
        if is_new {
            self.judge(now);
        }
        is_new
    }

    /// What there is to be seen, and since when.
    pub const fn sight(&self) -> (Sight, Mono) {
        (self.sight, self.since)
    }

    /// Whether that is a reason to take another source. When the one before this was left for such a reason a while
    /// ago, it is what the channel shows just now.
    pub fn is_reason(&self, now: Mono) -> bool {
        let was_left = self.left.is_some_and(|(_, at)| now.ms_since(at) < BLANK_AGAIN_MS);
        self.sight.is_useless() && !was_left
    }

    /// It was left because of it.
    pub const fn left(&mut self, now: Mono, channel: ChannelId) {
        self.left = Some((channel, now));
    }

    fn judge(&mut self, now: Mono) {
        let until = self.glanced_at;
        let is_silent = self.silent.lasted(until, BLANK_MS);
        let least_ms = if is_silent { BLANK_MS } else { BLANK_SOUND_MS };
        let starved_since = self.rate.and_then(|rate| rate.starved_since);
        let starved_since = starved_since.filter(|since| self.moved_at.is_none_or(|at| at < *since));
        let (sight, since) = if self.black.lasted(until, least_ms) {
            (Sight::Black, self.black.since)
        } else if self.still.lasted(until, least_ms) {
            (Sight::Frozen, self.still.since)
        } else if let Some(since) = starved_since {
            (Sight::Starved, since)
        } else if is_silent {
            (Sight::Silent, self.silent.since)
        } else {
            (Sight::Good, now)
        };
        if sight != self.sight {
            (self.sight, self.since) = (sight, since);
        }
    }
}

fn is_black(picture: &Pixels) -> bool {
    let (least, most) = picture.iter().fold((u8::MAX, 0), |(least, most), luma| (least.min(*luma), most.max(*luma)));
    most <= BLACK_LUMA_MAX && most - least <= BLACK_SPREAD_MAX
}

/// Whether anything has: one pixel is enough, since a clock or a line of running text is no more than a few of them,
/// and a mean would not show them.
fn has_moved(before: &Pixels, now: &Pixels) -> bool {
    before.iter().zip(now).any(|(one, two)| one.abs_diff(*two) > STILL_LUMA_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GLANCE_WIDTH;
    use Sight::{Black, Frozen, Good, Silent, Starved, Unknown};

    const CHANNEL: ChannelId = ChannelId(7);
    const LOUD: Option<u16> = Some(9_000);
    const NO_SOUND: Option<u16> = Some(0);

    /// A picture with something in it, a little noise from coding it anew each time, and `more`.
    fn card(turn: u64, more: impl Fn(usize, usize) -> Option<u8>) -> Pixels {
        core::array::from_fn(|index| {
            let (x, y) = (index % GLANCE_WIDTH, index / GLANCE_WIDTH);
            let noise = u8::try_from((index as u64 * 31 + turn * 17) % 4).unwrap();
            more(x, y).unwrap_or(u8::try_from(x * 3).unwrap()) + noise
        })
    }

    fn still(turn: u64) -> Pixels {
        card(turn, |_, _| None)
    }

    /// Glances every twelve seconds from 0 on; says when what came of it was first seen, in seconds.
    fn first(wanted: Sight, peak: Option<u16>, picture: impl Fn(u64) -> Option<Pixels>) -> Option<u64> {
        let mut judge = Judge::default();
        judge.begin(Mono(1_000), CHANNEL, false);
        (0..100).find_map(|turn| {
            let now = Mono(1_000 + turn * 12_000);
            judge.glanced(now, picture(turn).as_ref(), peak);
            (judge.sight().0 == wanted).then_some(turn * 12)
        })
    }

    #[test]
    fn what_stays_black_or_still_is_found_sooner_without_sound() {
        let black = |turn: u64| Some([u8::try_from(turn % 3).unwrap(); GLANCE_PIXELS]);
        assert_eq!(
            (first(Black, NO_SOUND, black), first(Black, LOUD, black), first(Black, None, black)),
            (Some(36), Some(60), Some(60))
        );
        let test_card = |turn| Some(still(turn));
        assert_eq!((first(Frozen, NO_SOUND, test_card), first(Frozen, LOUD, test_card)), (Some(36), Some(60)));
        assert_eq!(first(Black, NO_SOUND, test_card), None);
    }

    #[test]
    fn a_clock_or_a_line_of_text_that_runs_is_a_picture_that_moves() {
        let clock =
            |turn: u64| Some(card(turn, |x, y| (y == 2 && x == 58).then_some(if turn % 2 == 0 { 40 } else { 47 })));
        assert_eq!(first(Frozen, NO_SOUND, clock), None);
        let ticker = |turn: u64| {
            let text = |x: usize| 60 + u8::try_from((x as u64 * 7 + turn * 5) % 40).unwrap();
            Some(card(turn, |x, y| (y == 34).then_some(text(x))))
        };
        assert_eq!(first(Frozen, NO_SOUND, ticker), None);
        // A photograph that is slowly drawn nearer: from one glance to the next there is next to nothing.
        let zoom =
            |turn: u64| Some(core::array::from_fn(|index| u8::try_from(index as u64 % 64 + turn * 2 % 190).unwrap()));
        assert_eq!(first(Frozen, NO_SOUND, zoom), None);
    }

    #[test]
    fn credits_and_dark_scenes_are_no_black_picture() {
        let credits =
            |turn: u64| Some(core::array::from_fn(|index| u8::from((index as u64 + turn * 64) % 640 < 20) * 180));
        assert_eq!((first(Black, LOUD, credits), first(Frozen, LOUD, credits)), (None, None));
        let night =
            |turn: u64| Some(core::array::from_fn(|index| u8::try_from((index as u64 + turn * 11) % 23).unwrap()));
        assert_eq!((first(Black, LOUD, night), first(Frozen, LOUD, night)), (None, None));
        // Black between two advertisements, again and again.
        let cuts = |turn: u64| Some(if turn % 4 == 3 { still(turn) } else { [0; GLANCE_PIXELS] });
        assert_eq!((first(Black, NO_SOUND, cuts), first(Frozen, NO_SOUND, cuts)), (None, None));
    }

    #[test]
    fn radio_is_never_black_and_silence_alone_is_only_told() {
        for sight in [Black, Frozen, Silent] {
            assert_eq!(first(sight, LOUD, |_| None), None);
        }
        assert_eq!(first(Silent, NO_SOUND, |_| None), Some(36));
        let moves = |turn: u64| Some([u8::try_from(turn * 40 % 200).unwrap(); GLANCE_PIXELS]);
        assert_eq!(first(Silent, NO_SOUND, moves), Some(36));
        assert!(!Silent.is_useless());
        assert_eq!(first(Silent, None, moves), None, "what has no sound is not silent");
    }

    #[test]
    fn a_few_glances_far_apart_say_nothing() {
        let mut judge = Judge::default();
        for turn in 0..20 {
            judge.glanced(Mono(turn * (GLANCES_APART_MS_MAX + 1)), Some(&still(turn)), NO_SOUND);
            assert_eq!(judge.sight().0, Good);
        }
        judge.begin(Mono(0), CHANNEL, false);
        for turn in 0..u64::from(GLANCES_MIN) - 1 {
            judge.glanced(Mono(turn * 100_000), Some(&still(turn)), NO_SOUND);
        }
        assert_eq!(judge.sight().0, Good, "nor do few in a row");
        judge.begin(Mono(0), CHANNEL, false);
        for turn in 0..30 {
            judge.glanced(Mono(turn * 900), Some(&still(turn)), NO_SOUND);
        }
        assert_eq!(judge.sight().0, Good, "nor do many in a short time");
        judge.begin(Mono(0), CHANNEL, false);
        judge.glanced(Mono(5), None, None);
        assert_eq!(judge.sight().0, Unknown);
    }

    #[test]
    fn since_when_is_told_and_one_good_glance_ends_it() {
        let mut judge = Judge::default();
        judge.begin(Mono(0), CHANNEL, false);
        judge.glanced(Mono(1_000), Some(&still(1)), NO_SOUND);
        assert_eq!(judge.sight(), (Good, Mono(1_000)));
        for turn in 1..=5 {
            judge.glanced(Mono(turn * 11_000), Some(&[0; GLANCE_PIXELS]), NO_SOUND);
        }
        assert_eq!(judge.sight(), (Black, Mono(11_000)));
        judge.glanced(Mono(70_000), Some(&still(2)), LOUD);
        assert_eq!(judge.sight(), (Good, Mono(70_000)));
    }

    #[test]
    fn a_source_is_left_for_what_it_shows_once_in_half_an_hour() {
        let mut judge = Judge::default();
        let mut now = Mono(0);
        let mut is_reason = |judge: &mut Judge, channel, at: Mono| {
            judge.begin(at, channel, false);
            for turn in 0..6 {
                now = at.plus_ms(turn * 12_000);
                judge.glanced(now, Some(&still(turn)), NO_SOUND);
            }
            assert_eq!(judge.sight().0, Frozen);
            judge.is_reason(now)
        };
        assert!(is_reason(&mut judge, CHANNEL, Mono(0)));
        judge.left(Mono(60_000), CHANNEL);
        assert!(!is_reason(&mut judge, CHANNEL, Mono(61_000)), "both show it: it is the programme");
        assert!(is_reason(&mut judge, CHANNEL, Mono(60_000 + BLANK_AGAIN_MS)));
        judge.left(Mono(BLANK_AGAIN_MS * 2), CHANNEL);
        assert!(is_reason(&mut judge, ChannelId(8), Mono(BLANK_AGAIN_MS * 2)), "another channel");
    }

    /// Asks every two seconds; says when it was first found starved, in seconds.
    fn starved_at(has_rate: bool, moves: bool, bits_per_s: impl Fn(u64) -> u64) -> Option<u64> {
        let mut judge = Judge::default();
        judge.begin(Mono(0), CHANNEL, has_rate);
        let mut bytes = 5_000_000;
        (0..300).find(|second| {
            bytes += bits_per_s(*second) / 8;
            if second % 2 == 0 {
                judge.received(Mono(second * 1_000), bytes);
            }
            if moves && second % 11 == 0 {
                judge.glanced(
                    Mono(second * 1_000),
                    Some(&[u8::try_from(second / 11 % 2).unwrap() * 90; GLANCE_PIXELS]),
                    LOUD,
                );
            }
            judge.sight().0 == Starved
        })
    }

    #[test]
    fn a_stream_that_all_but_dries_up_is_found_unless_its_picture_moves() {
        let dries_up = |second| if second < 100 { 4_000_000 } else { 300_000 };
        let found = starved_at(true, false, dries_up).unwrap();
        assert!((115..=132).contains(&found), "{found}");
        assert_eq!(starved_at(true, true, dries_up), None, "a good encoder needs next to nothing for some pictures");
        assert_eq!(starved_at(false, false, dries_up), None, "our own encoder's output");
        assert_eq!(starved_at(true, false, |second| if second < 100 { 4_000_000 } else { 500_000 }), None);
        // Segments of ten seconds, three of them at once at first.
        let bursts = |second: u64| {
            if second == 0 {
                120_000_000
            } else if second % 10 == 0 {
                40_000_000
            } else {
                0
            }
        };
        assert_eq!(starved_at(true, false, bursts), None);
        assert_eq!(starved_at(true, false, |_| 0), None);
    }
}

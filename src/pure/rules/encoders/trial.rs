//! The trial of an encoder: a second of a test picture, and what came of it.
//!
//! Whoever runs FFmpeg with [`crate::model::recipe::trial`] shows its output here as it comes. Two questions are
//! answered: can anybody join what it makes, and how fast is it?

use crate::limits::{ENCODER_WORDS_BYTES_MAX, TRIAL_MS_MAX, TRIAL_PICTURES};
use crate::model::encoder::Encoder;
use crate::rules::encoders::blame::cause;
use crate::time::Mono;
use crate::wire::ts::{PACKET_BYTES, Packet, PacketBytes};
use alloc::format;
use alloc::string::{String, ToString as _};

/// What a trial showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    #[default]
    Untried,
    /// It makes a stream that anybody can join.
    Works {
        /// How much faster than the test picture plays, in percent: 250 is two and a half times.
        percent: u32,
        /// From its start to its first packet.
        start_ms: u32,
    },
    /// It cannot be used, and why, for people.
    Fails(String),
}

/// How FFmpeg's trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialEnd<'a> {
    /// With success.
    Done,
    /// Without, or by a signal, having said this.
    Failed(&'a str),
    /// It had to be ended, because its time was over.
    TooLong,
}

/// A running trial.
#[derive(Clone, Debug)]
pub struct Trial {
    encoder: Encoder,
    started_at: Mono,
    first_at: Option<Mono>,
    last_at: Mono,
    /// The beginning of a packet whose end has not come yet.
    part: heapless::Vec<u8, PACKET_BYTES>,
    key_frames: u32,
    bare_key_frames: u32,
}

/// Pictures that an encoder may hold back before it gives the first: those that are not counted, so that a fast end
/// does not make up for a slow beginning. Software is told to hold none.
const fn held_back(encoder: Encoder) -> u32 {
    if encoder.is_hardware() { 5 } else { 1 }
}

impl Trial {
    /// FFmpeg was started.
    pub const fn new(now: Mono, encoder: Encoder) -> Self {
        Self {
            encoder,
            started_at: now,
            first_at: None,
            last_at: now,
            part: heapless::Vec::new(),
            key_frames: 0,
            bare_key_frames: 0,
        }
    }

    /// When it must be ended.
    pub fn deadline(&self) -> Mono {
        self.started_at.plus_ms(TRIAL_MS_MAX)
    }

    /// This came out of it.
    pub fn output(&mut self, now: Mono, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.first_at.get_or_insert(now);
        self.last_at = now;
        for byte in bytes {
            // It is emptied as soon as it is full.
            self.part.push(*byte).unwrap_or_default();
            if let Ok(packet) = <&PacketBytes>::try_from(self.part.as_slice()) {
                let packet = Packet::new(packet);
                if packet.synced() && packet.payload_unit_start() && packet.random_access() {
                    self.key_frames += 1;
                    self.bare_key_frames += u32::from(!begins_with_parameters(packet.payload()));
                }
                self.part.clear();
            }
        }
    }

    /// It is over.
    pub fn end(self, end: TrialEnd<'_>) -> Outcome {
        let fails = |words: &str| Outcome::Fails(words.to_string());
        match end {
            TrialEnd::Failed(words) => Outcome::Fails(cut(cause(self.encoder, words))),
            TrialEnd::TooLong if self.first_at.is_none() => {
                Outcome::Fails(format!("it gave no picture within {} seconds", TRIAL_MS_MAX / 1_000))
            }
            TrialEnd::TooLong => {
                Outcome::Fails(format!("it needs more than {} seconds for one of picture", TRIAL_MS_MAX / 1_000))
            }
            TrialEnd::Done if self.key_frames == 0 => fails("it gave no picture"),
            TrialEnd::Done if self.key_frames == 1 => fails("it makes no second key frame, so nobody could join"),
            TrialEnd::Done if self.bare_key_frames > 0 => {
                fails("it does not repeat its parameter sets before key frames, so nobody could join")
            }
            TrialEnd::Done => {
                let first_at = self.first_at.unwrap_or(self.last_at);
                let picture_ms = u64::from(TRIAL_PICTURES - held_back(self.encoder)) * 40;
                let percent = picture_ms * 100 / self.last_at.ms_since(first_at).max(1);
                let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
                Outcome::Works { percent: small(percent), start_ms: small(first_at.ms_since(self.started_at)) }
            }
        }
    }
}

/// Whether a PES packet of H.264 has a sequence parameter set before its first slice (ITU-T H.264 table 7-1). Only the
/// first packet is looked at: parameter sets come first and are short.
fn begins_with_parameters(payload: &[u8]) -> bool {
    let units = payload.windows(4).filter_map(|window| match window {
        [0, 0, 1, unit] => Some(unit & 0x1F),
        _ => None,
    });
    // The start code of the PES packet itself comes first.
    units.skip(1).take_while(|unit| !matches!(unit, 1 | 5)).any(|unit| unit == 7)
}

/// As much as is kept.
pub(super) fn cut(words: &str) -> String {
    let mut kept = String::new();
    for c in words.chars() {
        if kept.len() + c.len_utf8() > ENCODER_WORDS_BYTES_MAX {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const SPS: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0, 0, 0, 0, 1, 0x67, 0x64];
    const BARE: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0, 0, 0, 0, 1, 0x65, 0x88];

    /// A packet that begins a picture.
    fn picture(is_key: bool, units: &[u8]) -> PacketBytes {
        let mut bytes = [0xFF; PACKET_BYTES];
        let flags = if is_key { 0x40 } else { 0 };
        let head = [0x47, 0x41, 0x00, 0x30, 1, flags, 0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1];
        bytes[..head.len()].copy_from_slice(&head);
        bytes[head.len()..head.len() + units.len()].copy_from_slice(units);
        bytes
    }

    /// A trial that gave these, one after the other, every 20 ms from 300 ms on.
    fn trial(encoder: Encoder, pictures: &[PacketBytes]) -> Trial {
        let mut trial = Trial::new(Mono(1_000), encoder);
        for (at, packet) in (0..).zip(pictures) {
            // In pieces that are no packets.
            let (head, tail) = packet.split_at(37 + usize::try_from(at % 100).unwrap());
            trial.output(Mono(1_300 + at * 20), head);
            trial.output(Mono(1_300 + at * 20), tail);
        }
        trial
    }

    fn pictures(keys: &[usize], units: &[u8]) -> Vec<PacketBytes> {
        (0..30)
            .map(|index| picture(keys.contains(&index), if keys.contains(&index) { units } else { &[0; 4] }))
            .collect()
    }

    #[test]
    fn speed_is_counted_from_the_first_packet_on() {
        let good = pictures(&[0, 25], SPS);
        // 29 pictures of 40 ms in 29 × 20 ms.
        let works = |percent, start_ms| Outcome::Works { percent, start_ms };
        assert_eq!(trial(Encoder::Software, &good).end(TrialEnd::Done), works(200, 300));
        // An encoder that may have held five back is counted for 25.
        assert_eq!(trial(Encoder::Rkmpp, &good).end(TrialEnd::Done), works(172, 300));
        let mut at_once = Trial::new(Mono(0), Encoder::Rkmpp);
        at_once.output(Mono(5), &good.concat());
        assert_eq!(at_once.end(TrialEnd::Done), works(100_000, 5));
    }

    #[test]
    fn what_nobody_could_join_does_not_work() {
        let end = |keys: &[usize], units| trial(Encoder::Rkmpp, &pictures(keys, units)).end(TrialEnd::Done);
        for (outcome, word) in [
            (end(&[0], SPS), "second key frame"),
            (end(&[0, 25], BARE), "parameter sets"),
            (end(&[], SPS), "no picture"),
            (trial(Encoder::Rkmpp, &[]).end(TrialEnd::Done), "no picture"),
            (trial(Encoder::Rkmpp, &[]).end(TrialEnd::TooLong), "no picture within 10 seconds"),
            (trial(Encoder::Rkmpp, &pictures(&[0], SPS)).end(TrialEnd::TooLong), "more than 10 seconds"),
        ] {
            let Outcome::Fails(words) = outcome else { unreachable!("{word}: {outcome:?}") };
            assert!(words.contains(word), "{words}");
        }
        // The first key frame has its parameters, the second one not: as the plain FFmpeg on a Raspberry Pi 4.
        let mut once = pictures(&[0, 25], SPS);
        once[25] = picture(true, BARE);
        assert!(matches!(trial(Encoder::Rkmpp, &once).end(TrialEnd::Done), Outcome::Fails(_)));
    }

    #[test]
    fn long_words_are_cut_and_rubbish_is_counted_as_nothing() {
        let words = "é".repeat(4_000);
        let Outcome::Fails(kept) = trial(Encoder::Rkmpp, &[]).end(TrialEnd::Failed(&words)) else { unreachable!() };
        assert_eq!(kept.len(), ENCODER_WORDS_BYTES_MAX);
        let mut rubbish = Trial::new(Mono(0), Encoder::Software);
        for seed in 0..5_000_u32 {
            rubbish.output(Mono(u64::from(seed)), &seed.wrapping_mul(2_654_435_761).to_be_bytes());
        }
        assert!(matches!(rubbish.end(TrialEnd::Done), Outcome::Fails(_)));
    }
}

//! The id of a log line: 22 characters, which are base64url without padding of boot id and sequence.
//!
//! Source: RFC 4648, section 5 (alphabet) and 3.5 (the last character's unused bits are zero, so that two ids never
//! name one line). What the ids stand for, and which boot is ours, is known in the daemon's `observe::logs`.

use core::str;

/// Characters of an id. No fixed part of any of our addresses is this long, so none can be taken for an id.
pub const LOG_ID_CHARS: usize = 22;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Which line of which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId {
    /// Differs from run to run.
    pub boot: u64,
    /// Counts lines.
    pub sequence: u64,
}

/// An id as it stands in an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdText([u8; LOG_ID_CHARS]);

impl LogIdText {
    /// The characters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }
}

impl LogId {
    /// Writes it.
    pub fn text(self) -> LogIdText {
        // 128 bits in 21 characters of 6 and a last one of 2, which stand at its upper end.
        let bits = u128::from(self.boot) << 64 | u128::from(self.sequence);
        let mut text = [0; LOG_ID_CHARS];
        for (index, character) in text.iter_mut().enumerate() {
            let six = match 122_usize.checked_sub(6 * index) {
                Some(shift) => bits >> shift,
                None => bits << 4,
            };
            *character = usize::try_from(six & 63).ok().and_then(|six| ALPHABET.get(six)).copied().unwrap_or_default();
        }
        LogIdText(text)
    }

    /// Reads one; `None` for whatever [`LogId::text`] would not have written.
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; LOG_ID_CHARS] = text.as_bytes().try_into().ok()?;
        let (last, others) = text.split_last()?;
        let bits = others.iter().try_fold(0_u128, |bits, character| Some(bits << 6 | value(*character)?))?;
        let end = value(*last)?;
        if end & 0b1111 != 0 {
            return None;
        }
        let bits = bits << 2 | end >> 4;
        let low = u64::try_from(bits & u128::from(u64::MAX)).ok()?;
        Some(Self { boot: u64::try_from(bits >> 64).ok()?, sequence: low })
    }
}

fn value(character: u8) -> Option<u128> {
    Some(u128::from(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    const SOME: LogId = LogId { boot: 0x0011_2233_4455_6677, sequence: 0x8899_aabb_ccdd_eeff };

    #[test]
    fn it_is_base64url_without_padding() {
        // Source: coreutils, `printf … | basenc --base64url`.
        assert_eq!(SOME.text().as_str(), "ABEiM0RVZneImaq7zN3u_w");
        assert_eq!(LogId { boot: 0, sequence: 0 }.text().as_str(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(LogId { boot: u64::MAX, sequence: u64::MAX }.text().as_str(), "_____________________w");
    }

    #[test]
    fn what_was_written_is_read_back() {
        // A walk over all 128 single bits and some numbers between them: xorshift64.
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..10_000_u32 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let id = match round {
                0..64 => LogId { boot: 1 << round, sequence: 0 },
                64..128 => LogId { boot: 0, sequence: 1 << (round - 64) },
                _ => LogId { boot: seed, sequence: seed.rotate_left(23) },
            };
            assert_eq!(LogId::parse(id.text().as_str()), Some(id));
        }
    }

    #[test]
    fn every_other_text_is_refused() {
        let good = SOME.text();
        let good = good.as_str();
        for (at, _) in good.char_indices() {
            for character in (0..=127_u8).map(char::from).chain("äﬀ\u{0}".chars()) {
                let other: String =
                    good.char_indices().map(|(index, kept)| if index == at { character } else { kept }).collect();
                match LogId::parse(&other) {
                    // One text for one id: so what is accepted is what would be written.
                    Some(id) => assert_eq!(id.text().as_str(), other),
                    None => assert_ne!(other, good),
                }
            }
        }
        let long = "A".repeat(10_000);
        for bad in
            ["", "entries", "entry", &good[1..], &good[..21], "ABEiM0RVZneImaq7zN3u_w=", "ABEiM0RVZneImaq7zN3u_w=="]
        {
            assert_eq!(LogId::parse(bad), None, "{bad}");
        }
        for bad in
            ["ABEiM0RVZneImaq7zN3u/w", "ABEiM0RVZneImaq7zN3u+w", "ABEiM0RVZneImaq7zN3u_x", "ABEiM0RVZneImaq7zN3%5w"]
        {
            assert_eq!(LogId::parse(bad), None, "{bad}");
        }
        assert_eq!(LogId::parse(&long), None);
    }
}

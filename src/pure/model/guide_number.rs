//! Guide numbers: what a viewer types to reach a channel, such as `5` or `5.1`.
//!
//! Not here: who gets which number, and that no two channels share one; that is decided where a lineup is made.
//!
//! A guide number is always text. `1.1` and `1.10` are two channels, and anything that passes through a float or an
//! integer merges them: emulators that did so lost channels of their users. So the part after the dot is kept as it
//! was written; the part before the dot loses its leading zeros, because `007` and `7` are one key press to a viewer
//! and playlists write both.

use crate::limits::GUIDE_NUMBER_BYTES_MAX;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

/// What a viewer types to reach a channel: digits, or digits, a dot and digits.
///
/// Ordered as people count: 2 before 10, 1.2 before 1.10, and 1 before 1.0. Two spellings that count the same, such as
/// 1.1 and 1.01, are still two numbers; the shorter comes first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GuideNumber {
    /// ASCII; zeros after `len`, so that equality may compare all of it.
    bytes: [u8; GUIDE_NUMBER_BYTES_MAX],
    len: u8,
}

/// Why a text is no guide number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuideNumberError {
    /// There is nothing to read.
    Empty,
    /// A character other than the digits 0 to 9 and the dot.
    NotADigit(char),
    /// A dot without digits on both sides, or a second dot.
    StrayDot,
    /// More than [`GUIDE_NUMBER_BYTES_MAX`] characters.
    TooLong,
}

impl GuideNumber {
    /// The number without a dot, such as `5`.
    pub const fn whole(number: u32) -> Self {
        Self { bytes: [0; GUIDE_NUMBER_BYTES_MAX], len: 0 }.with_decimal(number)
    }

    /// The number with a dot, such as `5.1`.
    pub const fn subchannel(major: u16, minor: u16) -> Self {
        let mut number = Self::whole(major as u32);
        number.bytes[number.len as usize] = b'.';
        number.len += 1;
        number.with_decimal(minor as u32)
    }

    /// The number as text, which is what it is.
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(text).expect("only digits and a dot are ever stored")
    }

    /// Before the dot, and after it.
    fn parts(&self) -> (&str, Option<&str>) {
        match self.as_str().split_once('.') {
            Some((major, minor)) => (major, Some(minor)),
            None => (self.as_str(), None),
        }
    }

    /// Appends `number`. The callers' types bound the length; see the assertions below.
    const fn with_decimal(mut self, number: u32) -> Self {
        let mut power = 1;
        while number / power >= 10 {
            power *= 10;
        }
        while power > 0 {
            self.bytes[self.len as usize] = b'0' + (number / power % 10).to_le_bytes()[0];
            self.len += 1;
            power /= 10;
        }
        self
    }
}

const _: () = assert!(GUIDE_NUMBER_BYTES_MAX >= "4294967295".len(), "GuideNumber::whole holds any u32");
const _: () = assert!(GUIDE_NUMBER_BYTES_MAX >= "65535.65535".len(), "GuideNumber::subchannel holds any two u16");
const _: () = assert!(GUIDE_NUMBER_BYTES_MAX <= u8::MAX as usize, "the length is one byte");

impl FromStr for GuideNumber {
    type Err = GuideNumberError;

    fn from_str(text: &str) -> Result<Self, GuideNumberError> {
        if text.is_empty() {
            return Err(GuideNumberError::Empty);
        }
        if let Some(stray) = text.chars().find(|c| !c.is_ascii_digit() && *c != '.') {
            return Err(GuideNumberError::NotADigit(stray));
        }
        let (major, minor) = text.split_once('.').map_or((text, None), |(major, minor)| (major, Some(minor)));
        if major.is_empty() || minor.is_some_and(|minor| minor.is_empty() || minor.contains('.')) {
            return Err(GuideNumberError::StrayDot);
        }
        // All zeros are one zero.
        let written = text.get(leading_zeros(major).min(major.len() - 1)..).unwrap_or_default();
        let mut bytes = [0; GUIDE_NUMBER_BYTES_MAX];
        bytes.get_mut(..written.len()).ok_or(GuideNumberError::TooLong)?.copy_from_slice(written.as_bytes());
        let len = u8::try_from(written.len()).map_err(|_| GuideNumberError::TooLong)?;
        Ok(Self { bytes, len })
    }
}

impl Ord for GuideNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        // Most have no dot, and a large lineup compares a million: no zeros in front, so the longer one is the larger.
        if !self.bytes.contains(&b'.') && !other.bytes.contains(&b'.') {
            return (self.len, self.bytes).cmp(&(other.len, other.bytes));
        }
        let (major, minor) = self.parts();
        let (other_major, other_minor) = other.parts();
        count(major, other_major).then_with(|| match (minor, other_minor) {
            (Some(minor), Some(other_minor)) => {
                count(minor, other_minor).then_with(|| minor.len().cmp(&other_minor.len()))
            }
            (minor, other_minor) => minor.is_some().cmp(&other_minor.is_some()),
        })
    }
}

impl PartialOrd for GuideNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for GuideNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for GuideNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuideNumber").field(&self.as_str()).finish()
    }
}

impl fmt::Display for GuideNumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the guide number is empty")?,
            Self::NotADigit(stray) => write!(f, "the guide number contains {stray:?}")?,
            Self::StrayDot => f.write_str("the guide number has a dot without digits on both sides")?,
            Self::TooLong => write!(f, "the guide number has more than {GUIDE_NUMBER_BYTES_MAX} characters")?,
        }
        f.write_str("; write digits, or digits, a dot and digits, such as 5 or 5.1")
    }
}

impl core::error::Error for GuideNumberError {}

fn leading_zeros(digits: &str) -> usize {
    digits.bytes().take_while(|digit| *digit == b'0').count()
}

/// Compares digits as numbers of any length.
fn count(digits: &str, other: &str) -> Ordering {
    let digits = digits.trim_start_matches('0');
    let other = other.trim_start_matches('0');
    digits.len().cmp(&other.len()).then_with(|| digits.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use std::format;
    use std::vec::Vec;

    #[test]
    fn numbers_stay_the_text_they_were() {
        for (written, kept) in [
            ("5", "5"),
            ("5.1", "5.1"),
            ("1.10", "1.10"),
            ("1.01", "1.01"),
            ("0", "0"),
            ("0.0", "0.0"),
            ("007", "7"),
            ("000", "0"),
            ("00.50", "0.50"),
            ("010.5", "10.5"),
            ("123456789012", "123456789012"),
            ("0000000000000000000042", "42"),
            ("12345.678901", "12345.678901"),
        ] {
            let number: GuideNumber = written.parse().unwrap();
            assert_eq!(number.as_str(), kept, "{written}");
            assert_eq!(number.to_string(), kept);
            assert_eq!(kept.parse(), Ok(number), "what is kept reads back as itself");
        }
        assert_eq!(format!("{:?}", GuideNumber::whole(7)), r#"GuideNumber("7")"#);
        assert_eq!(format!("{:>4}|", GuideNumber::whole(7)), "   7|");
    }

    #[test]
    fn what_no_remote_control_can_type_is_refused() {
        for (written, why) in [
            ("", GuideNumberError::Empty),
            (".", GuideNumberError::StrayDot),
            ("5.", GuideNumberError::StrayDot),
            (".5", GuideNumberError::StrayDot),
            ("5..1", GuideNumberError::StrayDot),
            ("5.1.2", GuideNumberError::StrayDot),
            ("5-1", GuideNumberError::NotADigit('-')),
            ("5_1", GuideNumberError::NotADigit('_')),
            ("+5", GuideNumberError::NotADigit('+')),
            (" 5", GuideNumberError::NotADigit(' ')),
            ("5\n", GuideNumberError::NotADigit('\n')),
            ("1e3", GuideNumberError::NotADigit('e')),
            ("٣", GuideNumberError::NotADigit('٣')),
            ("1234567890123", GuideNumberError::TooLong),
            ("12345.6789012", GuideNumberError::TooLong),
        ] {
            assert_eq!(written.parse::<GuideNumber>(), Err(why), "{written:?}");
            assert!(why.to_string().ends_with("such as 5 or 5.1"));
        }
    }

    #[test]
    fn numbers_made_by_us_equal_numbers_read() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u32::MAX] {
            assert_eq!(number.to_string().parse(), Ok(GuideNumber::whole(number)));
        }
        for (major, minor, text) in [(1, 1, "1.1"), (0, 0, "0.0"), (5, 10, "5.10"), (u16::MAX, u16::MAX, "65535.65535")]
        {
            assert_eq!(text.parse(), Ok(GuideNumber::subchannel(major, minor)));
        }
    }

    #[test]
    fn one_point_one_is_not_one_point_ten() {
        assert_ne!("1.1".parse::<GuideNumber>(), "1.10".parse());
        assert_ne!("1".parse::<GuideNumber>(), "1.0".parse());
        assert_eq!("007".parse::<GuideNumber>(), "7".parse());
    }

    #[test]
    fn numbers_sort_as_people_count() {
        let sorted: Vec<GuideNumber> = [
            "0",
            "0.0",
            "1",
            "1.0",
            "1.00",
            "1.1",
            "1.01",
            "1.2",
            "1.10",
            "2",
            "2.1",
            "10",
            "10.1",
            "99",
            "100",
            "999999999999",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        for (left_index, left) in sorted.iter().enumerate() {
            for (right_index, right) in sorted.iter().enumerate() {
                assert_eq!(left.cmp(right), left_index.cmp(&right_index), "{left} and {right}");
                assert_eq!(left == right, left_index == right_index);
            }
        }
    }
}

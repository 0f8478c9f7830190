//! Which packets of a transport stream a receiver wants: a set of PIDs.
//!
//! Here: the set, and its text as HDHomeRun clients write it. Not here: where the PIDs of a programme come from
//! ([`crate::wire::ts`]), and who sets a filter ([`crate::rules::control`]).
//!
//! A set is 1 KiB and knows nothing of order: clients compare the text they set with the text they get, so whoever
//! keeps a filter for them keeps its text too.

use core::fmt;

/// PIDs are 13 bits.
const PIDS: u16 = 0x2000;
const WORDS: usize = PIDS as usize / 64;
/// The PID of the table that every other one hangs on.
const PAT_PID: u16 = 0;

/// A set of PIDs.
#[derive(Clone, PartialEq, Eq)]
pub struct PidFilter([u64; WORDS]);

impl PidFilter {
    /// No packet at all.
    pub const NONE: Self = Self([0; WORDS]);
    /// Every packet, those that carry nothing included.
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// The tables and streams of one programme, the PAT included.
    pub fn programme(pmt_pid: u16, streams: impl IntoIterator<Item = u16>) -> Self {
        let mut filter = Self::NONE;
        filter.insert(PAT_PID);
        filter.insert(pmt_pid);
        for pid in streams {
            filter.insert(pid);
        }
        filter
    }

    /// Reads a text such as `0x0000-0x0030 0x1ffb`: ranges and single PIDs with blanks between them.
    ///
    /// Upper case and fewer digits are read too. None for whatever else: a filter that is only half understood would
    /// be a stream without sound.
    pub fn parse(text: &str) -> Option<Self> {
        let mut filter = Self::NONE;
        let mut parts = 0;
        for part in text.split_ascii_whitespace() {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (pid(first)?, pid(last)?);
            if first > last {
                return None;
            }
            for pid in first..=last {
                filter.insert(pid);
            }
            parts += 1;
        }
        (parts > 0).then_some(filter)
    }

    /// Adds a PID. Numbers that no PID has are left out.
    pub fn insert(&mut self, pid: u16) {
        if let Some(word) = self.0.get_mut(usize::from(pid / 64)) {
            *word |= 1 << (pid % 64);
        }
    }

    /// Whether packets of this PID pass.
    pub fn contains(&self, pid: u16) -> bool {
        self.0.get(usize::from(pid / 64)).is_some_and(|word| word >> (pid % 64) & 1 != 0)
    }
}

fn pid(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("0x")?;
    // `from_str_radix` alone would take a sign.
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u16::from_str_radix(digits, 16).ok().filter(|pid| *pid < PIDS)
}

/// As clients write it: ranges, lower case, four digits.
impl fmt::Display for PidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = None;
        let mut between = "";
        for pid in 0..=PIDS {
            match (first, self.contains(pid)) {
                (None, true) => first = Some(pid),
                (Some(start), false) => {
                    write!(f, "{between}0x{start:04x}")?;
                    if start + 1 < pid {
                        write!(f, "-0x{:04x}", pid - 1)?;
                    }
                    first = None;
                    between = " ";
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PidFilter({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn texts_are_read_as_clients_write_them() {
        for (text, written) in [
            ("0x0000-0x1fff", "0x0000-0x1fff"),
            ("0x0000", "0x0000"),
            ("0x0000 0x0030-0x0031 0x1FFB", "0x0000 0x0030-0x0031 0x1ffb"),
            // tvheadend ends its list with a blank; neighbours become one range.
            ("0x0031 0x0030 ", "0x0030-0x0031"),
            ("0x10-0x1F 0x18-0x20", "0x0010-0x0020"),
        ] {
            let filter = PidFilter::parse(text).unwrap();
            assert_eq!(filter.to_string(), written);
            assert_eq!(PidFilter::parse(written), Some(filter));
        }
        assert_eq!(PidFilter::parse("0x0000-0x1fff"), Some(PidFilter::ALL));
    }

    #[test]
    fn half_a_filter_is_none() {
        for text in [
            "",
            " ",
            "0x",
            "0x2000",
            "0x0000-",
            "-0x0000",
            "0x0002-0x0001",
            "0x+001",
            "256",
            "0x00001",
            "none",
            "0x0000,0x0001",
            "0x0000-0x0001-0x0002",
            "0x0000 x",
        ] {
            assert_eq!(PidFilter::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_programme_brings_its_tables() {
        let filter = PidFilter::programme(0x1000, [0x100, 0x101, 0x9999]);
        assert_eq!(filter.to_string(), "0x0000 0x0100-0x0101 0x1000");
        assert!(filter.contains(0) && filter.contains(0x1000) && !filter.contains(0x1FFF) && !filter.contains(0x9999));
        assert_eq!(PidFilter::NONE.to_string(), "");
    }
}

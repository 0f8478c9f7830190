//! Whether a guide tells of the same programmes as another one, hours later or earlier: then one of them has its time
//! zone wrong. Nothing is moved for that; a person is told, who sees which one is right.

use crate::limits::{GUIDE_SHIFT_AGREE_MIN, GUIDE_SHIFT_HOURS_MAX};
use crate::time::Wall;
use alloc::collections::BTreeMap;

/// How often the programmes of one guide are those of another, moved by so many hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    by_hours: BTreeMap<i64, u32>,
}

impl Tally {
    /// Compares a channel's programmes, beginnings and titles, in one guide and in another.
    pub fn compare(&mut self, ours: &[(Wall, &str)], theirs: &[(Wall, &str)]) {
        for (at, title) in ours.iter().filter(|(_, title)| !title.is_empty()) {
            for (_, other_at) in theirs.iter().filter(|(_, other)| other == title).map(|(at, other)| (other, at)) {
                let seconds = at.0 - other_at.0;
                if seconds % 3_600 == 0 && seconds.abs() <= GUIDE_SHIFT_HOURS_MAX * 3_600 {
                    *self.by_hours.entry(seconds / 3_600).or_default() += 1;
                }
            }
        }
    }

    /// By how many hours the first guide seems to be later than the other one; `None`: they agree, or nobody can say.
    pub fn shift_h(&self) -> Option<i64> {
        let (hours, count) = self.by_hours.iter().max_by_key(|(hours, count)| (**count, hours.abs() == 0))?;
        let agree = self.by_hours.get(&0).copied().unwrap_or(0);
        // What is on every hour agrees with itself at any shift.
        let is_clear = *hours != 0 && *count >= GUIDE_SHIFT_AGREE_MIN && *count >= 2 * agree;
        is_clear.then_some(*hours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn shift(titles: &[&str], later_h: i64) -> Option<i64> {
        let at = |n: usize| Wall(1_795_253_400 + i64::try_from(n).unwrap() * 3_600);
        let theirs: Vec<(Wall, &str)> = titles.iter().enumerate().map(|(n, title)| (at(n), *title)).collect();
        let ours: Vec<(Wall, &str)> = theirs.iter().map(|(at, title)| (at.plus_s(later_h * 3_600), *title)).collect();
        let mut tally = Tally::default();
        tally.compare(&ours, &theirs);
        tally.shift_h()
    }

    #[test]
    fn a_shift_is_seen_where_it_is_clear() {
        let titles: Vec<String> = (0..24).map(|n| format!("Programme {n}")).collect();
        let different: Vec<&str> = titles.iter().map(String::as_str).collect();
        for hours in [1, -1, 2, 12] {
            assert_eq!(shift(&different, hours), Some(hours));
        }
        assert_eq!(shift(&different, 0), None, "they agree");
        assert_eq!(shift(&different, 13), None, "that is no time zone's doing");
        assert_eq!(shift(&["News"; 24], 1), None, "nobody can say");
        assert_eq!(shift(&different[..7], 1), None, "too few to be sure");
        assert_eq!(shift(&[""; 24], 1), None);
    }
}

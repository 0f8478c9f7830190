//! Points in time, as plain numbers. Only `clock.rs` of the daemon makes them from a clock.
//!
//! Monotonic time is for waiting, wall time for the guide and for people; they are different types because mixing them
//! is a bug: wall time may jump.

use alloc::string::ToString as _;
use core::fmt;
use core::str::FromStr;

/// A monotonic point in time, in milliseconds since the board was started: the same for every run of one boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(pub u64);

impl Mono {
    /// This point, `ms` milliseconds later. Saturates: a deadline beyond the end of time never comes.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this point; 0 when `earlier` is later.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A wall-clock point in time, in seconds since 1970-01-01 UTC. It may jump when the clock is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub i64);

/// What a clock on the wall of the house shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
}

/// A calendar date and time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year, such as 2026.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
}

impl Wall {
    /// The calendar date and time of day in UTC, in the proleptic Gregorian calendar.
    ///
    /// Source: the era-based day count that is common for this (400-year eras of 146,097 days, years begin in March).
    pub const fn civil(self) -> Civil {
        let second_of_day = self.0.rem_euclid(86_400);
        let days = self.0.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        Civil {
            year,
            month: low_byte(month),
            day: low_byte(day_of_year - (153 * shifted_month + 2) / 5 + 1),
            hour: low_byte(second_of_day / 3_600),
            minute: low_byte(second_of_day / 60 % 60),
            second: low_byte(second_of_day % 60),
        }
    }

    /// The point at which a calendar in UTC shows this. Parts that are too large carry over: minute 60 is the next
    /// hour's first.
    pub const fn from_civil(civil: Civil) -> Self {
        let Civil { year, month, day, hour, minute, second } = civil;
        let shifted_year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
        let shifted_month = (month as i64 + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + day as i64 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        Self(days * 86_400 + hour as i64 * 3_600 + minute as i64 * 60 + second as i64)
    }

    /// The beginning of the hour that this point lies in.
    #[must_use]
    pub const fn hour_start(self) -> Self {
        Self(self.0 - self.0.rem_euclid(3_600))
    }

    /// This point, `seconds` later (earlier when negative).
    #[must_use]
    pub const fn plus_s(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

/// The lowest byte of a small calendar number; calendar arithmetic above keeps them below 256.
const fn low_byte(number: i64) -> u8 {
    number.to_le_bytes()[0]
}

/// RFC 3339 in UTC, such as `2026-11-21T09:30:00Z`.
/// As [`Wall`] is written, and in no other way.
impl FromStr for Wall {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let part =
            |from: usize, to: usize| text.get(from..to).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = |from, to| part(from, to).and_then(|digits| digits.parse::<u8>().ok()).ok_or(());
        let civil = Civil {
            year: part(0, 4).and_then(|digits| digits.parse().ok()).ok_or(())?,
            month: number(5, 7)?,
            day: number(8, 10)?,
            hour: number(11, 13)?,
            minute: number(14, 16)?,
            second: number(17, 19)?,
        };
        let wall = Self::from_civil(civil);
        // Whatever is no date comes out as another one.
        if wall.to_string() == text { Ok(wall) } else { Err(()) }
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A point in time as HTTP and SSDP write it, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Source: RFC 9110, section 5.6.7.
#[derive(Clone, Copy, Debug)]
pub struct HttpDate(pub Wall);

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 1970 began on a Thursday.
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let Civil { year, month, day, hour, minute, second } = self.0.civil();
        let weekday = usize::try_from(self.0.0.div_euclid(86_400).rem_euclid(7)).unwrap_or_default();
        let weekday = DAYS.get(weekday).copied().unwrap_or_default();
        let month = MONTHS.get(usize::from(month.saturating_sub(1))).copied().unwrap_or_default();
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn wall_time_reads_as_a_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_253_400, "2026-11-21T09:30:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Wall(seconds).to_string(), text);
            assert_eq!(Wall::from_civil(Wall(seconds).civil()), Wall(seconds));
        }
        let carried = Civil { year: 2026, month: 12, day: 31, hour: 24, minute: 60, second: 60 };
        assert_eq!(Wall::from_civil(carried).to_string(), "2027-01-01T01:01:00Z");
    }

    #[test]
    fn hours_start_on_the_hour_even_before_1970() {
        assert_eq!(Wall(7_199).hour_start(), Wall(3_600));
        assert_eq!(Wall(-1).hour_start(), Wall(-3_600));
    }

    #[test]
    fn monotonic_time_saturates() {
        assert_eq!(Mono(u64::MAX).plus_ms(1), Mono(u64::MAX));
        assert_eq!(Mono(1).ms_since(Mono(2)), 0);
    }
}

//! What is on, when several programmes claim the same minute.
//!
//! Not here: reading the programmes ([`crate::wire::xmltv`]). The invariant (S50, M05): what comes out follows each other,
//! each ends after it began, and no two overlap. Whatever is changed or left out for that is counted.

use crate::limits::{PROGRAMME_OPEN_S_MAX, PROGRAMME_S_MAX};
use crate::time::Wall;

/// A programme with its place in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// When it begins.
    pub start: Wall,
    /// When it ends; later than that.
    pub stop: Wall,
    /// What it is.
    pub what: T,
}

/// What was done to the programmes of a guide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Left out, because another one begins at the same time, or a later one came before.
    pub dropped: u32,
    /// Ended sooner, because the next one begins.
    pub cut: u32,
    /// Ended by us, because their end was not told, or too far away.
    pub ended: u32,
}

impl Repairs {
    /// Adds those of another channel.
    pub fn add(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.cut += other.cut;
        self.ended += other.ended;
    }
}

/// Puts the programmes of one channel into their places. They come in the order of their beginnings.
#[derive(Debug)]
pub struct Timeline<T> {
    waiting: Option<(Wall, Option<Wall>, T)>,
    /// What was done so far.
    pub repairs: Repairs,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self { waiting: None, repairs: Repairs::default() }
    }
}

impl<T> Timeline<T> {
    /// Takes the next programme, and gives the one before it.
    pub fn push(&mut self, start: Wall, stop: Option<Wall>, what: T) -> Option<Placed<T>> {
        if self.waiting.as_ref().is_some_and(|(before, ..)| start <= *before) {
            self.repairs.dropped += 1;
            return None;
        }
        let placed = self.place(Some(start));
        let told = stop.filter(|stop| *stop > start && stop.0 - start.0 <= PROGRAMME_S_MAX);
        self.repairs.ended += u32::from(told.is_none());
        self.waiting = Some((start, told, what));
        placed
    }

    /// Says that there are no more, and gives the last one.
    pub fn finish(&mut self) -> Option<Placed<T>> {
        self.place(None)
    }

    fn place(&mut self, next: Option<Wall>) -> Option<Placed<T>> {
        let (start, stop, what) = self.waiting.take()?;
        let end = stop.unwrap_or_else(|| start.plus_s(PROGRAMME_OPEN_S_MAX));
        let stop = match next {
            Some(next) if next < end => {
                self.repairs.cut += u32::from(stop.is_some());
                next
            }
            _ => end,
        };
        Some(Placed { start, stop, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn placed(programmes: &[(i64, Option<i64>)]) -> (Vec<(i64, i64)>, Repairs) {
        let mut timeline = Timeline::default();
        let mut out = Vec::new();
        for (start, stop) in programmes {
            out.extend(timeline.push(Wall(*start), stop.map(Wall), ()));
        }
        out.extend(timeline.finish());
        (out.iter().map(|placed| (placed.start.0, placed.stop.0)).collect(), timeline.repairs)
    }

    #[test]
    fn programmes_never_overlap() {
        let hour = 3_600;
        for (programmes, expected, repairs) in [
            (&[(0, Some(10)), (10, Some(20))][..], &[(0, 10), (10, 20)][..], (0, 0, 0)),
            (&[(0, Some(15)), (10, Some(20))], &[(0, 10), (10, 20)], (0, 1, 0)),
            (&[(0, Some(100)), (10, Some(20)), (50, Some(60))], &[(0, 10), (10, 20), (50, 60)], (0, 1, 0)),
            (&[(0, None), (10, None)], &[(0, 10), (10, 10 + PROGRAMME_OPEN_S_MAX)], (0, 0, 2)),
            (&[(0, Some(10)), (0, Some(20)), (5, Some(6))], &[(0, 5), (5, 6)], (1, 1, 0)),
            (&[(20, Some(30)), (10, Some(20))], &[(20, 30)], (1, 0, 0)),
            (&[(10, Some(10))], &[(10, 10 + PROGRAMME_OPEN_S_MAX)], (0, 0, 1)),
            (&[(0, Some(24 * hour))], &[(0, 24 * hour)], (0, 0, 0)),
            (&[(0, Some(24 * hour + 1))], &[(0, 6 * hour)], (0, 0, 1)),
            (&[], &[], (0, 0, 0)),
        ] {
            let (dropped, cut, ended) = repairs;
            assert_eq!(placed(programmes), (expected.to_vec(), Repairs { dropped, cut, ended }), "{programmes:?}");
        }
    }

    #[test]
    fn a_hundred_thousand_in_one_minute_leave_sixty() {
        let crowd: Vec<(i64, Option<i64>)> = (0..100_000).map(|n| (n * 60 / 100_000, Some(3_600))).collect();
        let (out, repairs) = placed(&crowd);
        assert_eq!((out.len(), repairs.dropped), (60, 99_940));
        assert!(out.windows(2).all(|pair| pair[0].1 <= pair[1].0) && out.iter().all(|(start, stop)| start < stop));
    }
}

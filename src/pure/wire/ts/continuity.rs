//! Counts what is missing, since each stream's packets carry a counter of four bits, and remembers how far each stream
//! has come, so that another child can carry it on.
//!
//! Not here: what becomes of the content; how it is carried on (`ts/seam.rs`). The table is bounded; streams beyond it
//! are reported, not watched. Streams of a child that is gone make room for those of its successor.

use crate::wire::ts::stamps::{SECOND, Stamps, Ticks};
use crate::wire::ts::{PIDS_MAX, Packet};
use heapless::Vec;

/// How far a stream's time goes on after its last unit, where nothing else is known: a picture.
pub(super) const UNIT_TICKS: i64 = SECOND / 25;
/// A unit that is longer is none: its stream paused, or jumped.
const UNIT_TICKS_MAX: i64 = SECOND;
/// Two times that are further apart have nothing to do with each other: one of them jumped.
pub(super) const NEAR_TICKS: i64 = 10 * SECOND;

/// The counters and times of all streams.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    watched: Vec<Watched, PIDS_MAX>,
    /// Beside what every packet asks for, so that one cache line or two hold that.
    times: [Times; PIDS_MAX],
}

/// How a packet follows the one before it in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// As it must, or as the first of its stream.
    Next,
    /// It is the packet before it, sent once more.
    Repeat,
    /// Something between them is missing.
    Gap,
    /// Nobody knows: too many streams.
    Unwatched,
}

#[derive(Debug)]
struct Watched {
    pid: u16,
    counter: u8,
    repeated: bool,
    /// Not seen since another child began.
    past: bool,
}

/// How far a stream's time has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When its newest unit is decoded.
    dts: Ticks,
    /// When the latest of its newest units is shown.
    pts: Ticks,
    /// How long its units are; rather the long ones, for what matters is that the next one does not begin too early.
    unit: i64,
    age: Age,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// It had no stamps yet.
    Unknown,
    /// Its stamps are those of a child before.
    Past,
    /// Its stamps are the present child's.
    Present,
}

impl Continuity {
    pub(super) const fn new() -> Self {
        Self { watched: Vec::new(), times: [Times::new(); PIDS_MAX] }
    }

    /// What comes next is another child's, and goes on where this one stopped.
    pub(super) fn go_on(&mut self) {
        for watched in &mut self.watched {
            watched.repeated = false;
            watched.past = true;
        }
        for times in self.times.iter_mut().filter(|times| times.age == Age::Present) {
            times.age = Age::Past;
        }
    }

    /// Takes the next packet that is neither damaged nor null.
    ///
    /// Source: ISO/IEC 13818-1, 2.4.3.3: the counter grows with each packet that has a payload; such a packet may be
    /// sent twice; a discontinuity indicator lets the counter jump.
    pub(super) fn step(&mut self, packet: Packet<'_>) -> Step {
        let pid = packet.pid();
        let found = self.watched.iter_mut().enumerate().find(|(_, watched)| watched.pid == pid);
        let (index, step) = match found {
            Some((index, watched)) => (index, watched.step(packet)),
            None => match self.watch(packet) {
                Some(index) => (index, Step::Next),
                None => return Step::Unwatched,
            },
        };
        if packet.payload_unit_start() && step != Step::Repeat {
            self.note(index, packet);
        }
        step
    }

    fn note(&mut self, index: usize, packet: Packet<'_>) {
        if let (Some(times), Some(stamps)) = (self.times.get_mut(index), packet.stamps()) {
            times.note(stamps);
        }
    }

    /// Watches the stream of its first packet, if there is room.
    fn watch(&mut self, packet: Packet<'_>) -> Option<usize> {
        let (pid, counter) = (packet.pid(), packet.continuity());
        let first = Watched { pid, counter, repeated: false, past: false };
        let Err(first) = self.watched.push(first) else { return Some(self.watched.len() - 1) };
        let index = self.watched.iter().position(|watched| watched.past)?;
        *self.watched.get_mut(index)? = first;
        *self.times.get_mut(index)? = Times::new();
        Some(index)
    }

    /// The counter that this packet must have to go on where its stream stopped; none where that is not known.
    pub(super) fn expected(&self, packet: Packet<'_>) -> Option<u8> {
        let watched = self.watched.iter().find(|watched| watched.pid == packet.pid())?;
        Some(watched.expected(packet))
    }

    /// How far some stream of the present child came.
    pub(super) fn present(&self) -> Option<Ticks> {
        self.times.iter().find(|times| times.age == Age::Present).map(|times| times.dts)
    }

    /// How far streams came in a child before, as long as the present one has not given them a stamp.
    pub(super) fn past(&self) -> impl Iterator<Item = (u16, &Times)> {
        let all = self.watched.iter().zip(&self.times);
        all.filter(|(_, times)| times.age == Age::Past).map(|(watched, times)| (watched.pid, times))
    }
}

impl Watched {
    fn expected(&self, packet: Packet<'_>) -> u8 {
        if packet.has_payload() { (self.counter + 1) & 0x0F } else { self.counter }
    }

    fn step(&mut self, packet: Packet<'_>) -> Step {
        let before = self.counter;
        let counter = packet.continuity();
        self.past = false;
        if counter == self.expected(packet) || packet.discontinuity() {
            // A packet without payload leaves open whether the one before it is sent again.
            self.repeated &= !packet.has_payload();
            self.counter = counter;
            return Step::Next;
        }
        if counter == before && !self.repeated {
            self.repeated = true;
            return Step::Repeat;
        }
        self.repeated = false;
        self.counter = counter;
        Step::Gap
    }
}

impl Times {
    const fn new() -> Self {
        Self { dts: Ticks::new(0), pts: Ticks::new(0), unit: UNIT_TICKS, age: Age::Unknown }
    }

    fn note(&mut self, Stamps { pts, dts }: Stamps) {
        if self.age == Age::Unknown {
            *self = Self { dts, pts, unit: UNIT_TICKS, age: Age::Present };
            return;
        }
        let unit = dts.since(self.dts);
        if self.age == Age::Present && (1..=UNIT_TICKS_MAX).contains(&unit) {
            self.unit = unit.max(self.unit - self.unit / 16);
        }
        self.dts = dts;
        // Pictures are not shown in the order in which they are sent; only a jump makes the newest one the latest.
        self.pts = if self.pts.since(pts) > NEAR_TICKS { pts } else { self.pts.later(pts) };
        self.age = Age::Present;
    }

    /// When the unit after the newest one may be decoded.
    pub(super) const fn next_dts(&self) -> Ticks {
        self.dts.plus(self.unit)
    }

    /// When the unit after the latest one may be shown.
    pub(super) const fn next_pts(&self) -> Ticks {
        self.pts.plus(self.unit)
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ts::build::{packet, with_adaptation};

    fn steps(counters: &[u8]) -> std::vec::Vec<Step> {
        let mut continuity = Continuity::new();
        counters.iter().map(|counter| continuity.step(Packet::new(&packet(0x100, *counter, false, &[])))).collect()
    }

    #[test]
    fn counters_are_judged_by_the_one_before() {
        use Step::{Gap, Next, Repeat};
        assert_eq!(steps(&[14, 15, 0, 1]), [Next, Next, Next, Next]);
        assert_eq!(steps(&[3, 4, 6, 7]), [Next, Next, Gap, Next]);
        assert_eq!(steps(&[3, 4, 4, 5]), [Next, Next, Repeat, Next]);
        // Twice the same is allowed, three times is not, and whoever starts over is not blamed twice.
        assert_eq!(steps(&[3, 3, 3, 3, 4]), [Next, Repeat, Gap, Repeat, Next]);
        assert_eq!(steps(&[3, 2, 3]), [Next, Gap, Next]);
    }

    #[test]
    fn each_stream_has_its_own_counter() {
        let mut continuity = Continuity::new();
        for (pid, counter) in [(0x100, 1), (0x101, 9), (0x100, 2), (0x101, 10)] {
            assert_eq!(continuity.step(Packet::new(&packet(pid, counter, false, &[]))), Step::Next);
        }
    }

    #[test]
    fn packets_without_payload_do_not_count() {
        let mut continuity = Continuity::new();
        let mut clock_only = with_adaptation(0x100, 5, false, &[0x10; 183], &[]);
        clock_only[3] &= !0x10;
        let story = [
            (packet(0x100, 5, false, &[]), Step::Next),
            (clock_only, Step::Next),
            (clock_only, Step::Next),
            (packet(0x100, 6, false, &[]), Step::Next),
            (clock_only, Step::Gap),
        ];
        for (bytes, expected) in story {
            assert_eq!(continuity.step(Packet::new(&bytes)), expected);
        }
    }

    #[test]
    fn a_discontinuity_lets_the_counter_jump() {
        let mut continuity = Continuity::new();
        assert_eq!(continuity.step(Packet::new(&packet(0x100, 5, false, &[]))), Step::Next);
        assert_eq!(continuity.step(Packet::new(&with_adaptation(0x100, 11, false, &[0x80], &[]))), Step::Next);
        assert_eq!(continuity.step(Packet::new(&packet(0x100, 12, false, &[]))), Step::Next);
    }

    #[test]
    fn streams_beyond_the_table_are_not_watched() {
        let mut continuity = Continuity::new();
        for pid in 0..32 {
            assert_eq!(continuity.step(Packet::new(&packet(pid, 0, false, &[]))), Step::Next);
        }
        assert_eq!(continuity.step(Packet::new(&packet(32, 0, false, &[]))), Step::Unwatched);
        assert_eq!(continuity.step(Packet::new(&packet(31, 1, false, &[]))), Step::Next);
    }
}

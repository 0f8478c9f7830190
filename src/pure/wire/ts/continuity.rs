//! Counts what is missing: each stream's packets carry a counter of four bits.
//!
//! Not here: what becomes of the content. The table is bounded; streams beyond it are reported, not watched.

use crate::wire::ts::Packet;
use heapless::Vec;

/// Most PIDs that are watched; a single programme has about ten.
const PIDS_MAX: usize = 32;

/// The counters of all streams.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    watched: Vec<Watched, PIDS_MAX>,
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
}

impl Continuity {
    pub(super) const fn new() -> Self {
        Self { watched: Vec::new() }
    }

    /// Takes the next packet that is neither damaged nor null.
    ///
    /// Source: ISO/IEC 13818-1, 2.4.3.3: the counter grows with each packet that has a payload; such a packet may be
    /// sent twice; a discontinuity indicator lets the counter jump.
    pub(super) fn step(&mut self, packet: Packet<'_>) -> Step {
        let pid = packet.pid();
        let counter = packet.continuity();
        let Some(watched) = self.watched.iter_mut().find(|watched| watched.pid == pid) else {
            let first = Watched { pid, counter, repeated: false };
            return if self.watched.push(first).is_ok() { Step::Next } else { Step::Unwatched };
        };
        let before = watched.counter;
        let expected = if packet.has_payload() { (before + 1) & 0x0F } else { before };
        if counter == expected || packet.discontinuity() {
            // A packet without payload leaves open whether the one before it is sent again.
            watched.repeated &= !packet.has_payload();
            watched.counter = counter;
            return Step::Next;
        }
        if counter == before && !watched.repeated {
            watched.repeated = true;
            return Step::Repeat;
        }
        watched.repeated = false;
        watched.counter = counter;
        Step::Gap
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

//! Stretches of a ring that can be given out one by one: segments, of which a playlist can be made.
//!
//! A segment is from one place where one can join to another, tables first, as FFmpeg writes them in front of a key
//! frame; so one after the other they are what viewers get. It takes no memory: its packets are the ring's, and when
//! those are overwritten it is gone. What is *not* here: who is given them (`engine::preview`), and how a playlist is
//! written (`doors::http::preview`).

use super::{Relay, Ring};
use heapless::Deque;
use pure::limits::{SEGMENT_MS_MAX, SEGMENT_MS_MIN, SEGMENTS_MAX};
use std::rc::Rc;

/// A stretch of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Counts from 0 over the slot's whole life, without a gap.
    pub sequence: u64,
    /// How long it lasts, by the clock of the stream.
    pub ms: u64,
    /// How often what is played did not go on where it ended, up to here: another child made it, or something was left
    /// out.
    pub breaks: u64,
    from: u64,
    to: u64,
}

#[cfg(test)]
impl Segment {
    pub(crate) const fn new(sequence: u64, ms: u64, breaks: u64) -> Self {
        Self { sequence, ms, breaks, from: 0, to: 0 }
    }
}

/// A place in a feed that moves on as time does, whether its segments are taken or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Place {
    /// Which segment is being played.
    pub(in crate::engine) sequence: u64,
    /// How much of it has been.
    played_ms: u64,
}

/// The segments of one ring.
#[derive(Debug, Default)]
pub(super) struct Segments {
    known: Deque<Segment, SEGMENTS_MAX>,
    next: u64,
    /// Where the one that is being written began, and how far the child's clock had run.
    open: Option<(u64, u64)>,
    breaks: u64,
    is_break: bool,
}

impl Segments {
    /// The one that is being written ends at `to`, if it is one.
    fn close(&mut self, to: u64, ran_ms: u64) {
        let Some((from, began_ms)) = self.open.take() else { return };
        let ms = ran_ms.saturating_sub(began_ms);
        if !(1..=SEGMENT_MS_MAX).contains(&ms) {
            self.is_break = true;
            return;
        }
        if self.known.is_full() {
            self.known.pop_front();
        }
        self.breaks += u64::from(std::mem::take(&mut self.is_break));
        let segment = Segment { sequence: self.next, ms, breaks: self.breaks, from, to };
        self.known.push_back(segment).unwrap_or_default();
        self.next += 1;
    }
}

impl Ring {
    /// A viewer can join at the packet that is published next: a segment may end here.
    pub(super) fn segment(&mut self) {
        let tables = self.inspector.tables();
        let Some(from) = self.head.checked_sub(tables.len() as u64).filter(|from| *from >= self.origin) else { return };
        let (one, two) = self.from(from);
        if tables.is_empty() || !one.iter().chain(two).eq(tables) {
            return;
        }
        let ran_ms = self.inspector.clock_ran_ms().unwrap_or(0);
        if self.segments.open.is_some_and(|(_, began_ms)| ran_ms.saturating_sub(began_ms) < SEGMENT_MS_MIN) {
            return;
        }
        self.segments.close(from, ran_ms);
        self.segments.open = Some((from, ran_ms));
    }

    /// What comes next does not go on where this ends.
    pub(super) fn break_segment(&mut self) {
        let ran_ms = self.inspector.clock_ran_ms().unwrap_or(0);
        self.segments.close(self.head, ran_ms);
        self.segments.is_break = true;
    }

    /// The feed is another one.
    pub(super) fn forget_segments(&mut self) {
        self.segments.known.clear();
        self.segments.open = None;
    }

    /// Those that are still there, oldest first.
    fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.known.iter().filter(|segment| self.holds(segment.from))
    }

    /// Where somebody begins who is to have `behind` segments already.
    fn begin_segments(&self, behind: u64) -> Place {
        let oldest = self.segments().next().map_or(self.segments.next, |segment| segment.sequence);
        Place { sequence: oldest.max(self.segments.next.saturating_sub(behind + 1)), played_ms: 0 }
    }

    /// Moves a place on, and says where in the ring that is.
    fn pass(&self, place: &mut Place, ms: u64) -> u64 {
        place.played_ms += ms;
        let at = place.sequence;
        for segment in self.segments().filter(|segment| segment.sequence >= at) {
            if segment.sequence > place.sequence {
                // What it was in is gone.
                *place = Place { sequence: segment.sequence, played_ms: 0 };
            }
            if place.played_ms < segment.ms {
                return segment.from + (segment.to - segment.from) * place.played_ms / segment.ms;
            }
            *place = Place { sequence: segment.sequence + 1, played_ms: place.played_ms - segment.ms };
        }
        // What is not there yet cannot be played.
        *place = Place { sequence: self.segments.next, played_ms: 0 };
        self.segments.open.map_or(self.head, |(from, _)| from)
    }
}

impl Relay {
    /// Where somebody begins who is to have `behind` segments already.
    pub(in crate::engine) fn place(&self, behind: u64) -> Place {
        self.ring.borrow().begin_segments(behind)
    }

    /// The segments of the present feed from `first` to `last` that are still there.
    pub(in crate::engine) fn segments(&self, first: u64, last: u64) -> Vec<Segment> {
        self.ring.borrow().segments().filter(|segment| (first..=last).contains(&segment.sequence)).copied().collect()
    }

    /// The packets of a segment, if they are still there.
    pub(in crate::engine) fn copy(&self, sequence: u64) -> Option<Vec<u8>> {
        let ring = self.ring.borrow();
        let segment = ring.segments().find(|segment| segment.sequence == sequence)?;
        let len = usize::try_from(segment.to - segment.from).ok()?;
        let (one, two) = ring.from(segment.from);
        let mut bytes = Vec::with_capacity(len);
        bytes.extend(one.iter().chain(two).take(len));
        Some(bytes)
    }
}

impl super::Cursor {
    /// What it reads.
    pub(in crate::engine) fn relay(&self) -> Rc<Relay> {
        Rc::clone(&self.relay)
    }

    /// Moves on by time and not by what was sent: what is made waits for it, see [`Relay::gate`].
    pub(in crate::engine) fn pass(&mut self, place: &mut Place, ms: u64) {
        let relay = Rc::clone(&self.relay);
        let ring = relay.ring.borrow();
        self.position = Some(ring.pass(place, ms));
        self.set_seat(self.position);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Dice, SAMPLE, cursor, stream, write};
    use super::*;
    use pure::rules::pool::Generation;
    use pure::wire::ts::{Inspector, PACKET_BYTES, Packet};

    fn playing(seconds: usize) -> (Rc<Relay>, Vec<u8>) {
        let (relay, bytes) = (Relay::new(1), stream(seconds));
        relay.begin(Generation(1), false);
        write(&relay, &mut Dice(1), &bytes);
        (relay, bytes)
    }

    fn all(relay: &Relay) -> Vec<Segment> {
        relay.segments(0, u64::MAX)
    }

    #[test]
    fn segments_go_from_tables_to_tables_and_are_the_stream() {
        let (relay, bytes) = playing(20);
        let segments = all(&relay);
        assert!((7..=10).contains(&segments.len()), "{segments:?}");
        let mut joined = Vec::new();
        for (segment, sequence) in segments.iter().zip(0..) {
            assert_eq!((segment.sequence, segment.breaks), (sequence, segments[0].breaks));
            assert!((SEGMENT_MS_MIN..=SEGMENT_MS_MAX).contains(&segment.ms), "{segment:?}");
            let packets = relay.copy(sequence).unwrap();
            let pids: Vec<u16> =
                packets.chunks(PACKET_BYTES).take(3).map(|it| Packet::new(it.try_into().unwrap()).pid()).collect();
            assert_eq!(pids, [0, 0x1000, 0x100], "PAT, PMT, picture");
            assert_eq!(packets.len() % PACKET_BYTES, 0);
            joined.extend(packets);
        }
        let from = bytes.windows(joined.len()).position(|it| it == joined);
        assert_eq!(from, Some(PACKET_BYTES), "all of it from the first tables on");
        assert!(joined.len() + 4 * SAMPLE.len() > bytes.len(), "but for what is being written");
    }

    #[test]
    fn what_is_overwritten_is_no_segment_any_more() {
        let (relay, _) = playing(150);
        let segments = all(&relay);
        let first = segments.first().unwrap().sequence;
        assert!(first > 10 && relay.copy(first - 1).is_none() && relay.copy(first).is_some());
        assert!(segments.windows(2).all(|two| two[0].sequence + 1 == two[1].sequence));
        let held: u64 = segments.iter().map(|segment| segment.to - segment.from).sum();
        assert!(held <= relay.ring.borrow().len());
        assert_eq!(relay.copy(u64::MAX), None);
    }

    #[test]
    fn another_child_is_a_break_and_another_feed_begins_anew() {
        let (relay, _) = playing(7);
        let before = all(&relay);
        relay.gap();
        relay.begin(Generation(2), true);
        write(&relay, &mut Dice(2), &stream(7));
        let after = all(&relay);
        assert_eq!(after[..before.len()], before);
        let last = after.last().unwrap();
        assert_eq!(last.breaks, before[0].breaks + 1, "one break, whatever was left over: {after:?}");
        assert!(after.windows(2).all(|two| two[0].sequence + 1 == two[1].sequence), "{after:?}");
        relay.end();
        relay.begin(Generation(3), false);
        assert_eq!(all(&relay), []);
        write(&relay, &mut Dice(3), &stream(7));
        let anew = all(&relay);
        assert!(anew[0].sequence > last.sequence, "no number comes twice");
        assert!(anew[0].breaks > last.breaks);
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let relay = Relay::new(1);
        relay.begin(Generation(1), false);
        let (long, mut inspector, mut seen) = (stream(12), Inspector::new(), 0);
        // Between the third and the eighth second there is no key frame.
        for packet in long.chunks(PACKET_BYTES) {
            let is_join = inspector.packet(packet.try_into().unwrap()).join_point;
            seen += u32::from(is_join);
            let mut packet = packet.to_vec();
            if is_join && (9..24).contains(&seen) {
                packet[5] &= !0x40;
                packet[12..].fill(0xFF);
            }
            write(&relay, &mut Dice(1), &packet);
        }
        let segments = all(&relay);
        assert!(segments.iter().all(|segment| segment.ms <= SEGMENT_MS_MAX), "{segments:?}");
        assert_eq!(segments.last().unwrap().breaks, segments[0].breaks + 1, "{segments:?}");
        assert!(segments.len() >= 2);
    }

    #[test]
    fn a_place_moves_on_as_time_does_and_never_beyond_what_is_there() {
        let (relay, _) = playing(20);
        let segments = all(&relay);
        let mut reader = cursor(&relay, true);
        let mut place = relay.place(3);
        let first = segments[segments.len() - 4];
        assert_eq!(place, Place { sequence: first.sequence, played_ms: 0 });
        reader.pass(&mut place, 500);
        assert_eq!(place, Place { sequence: first.sequence, played_ms: 500 });
        let at = reader.position.unwrap();
        assert!(first.from < at && at < first.to);
        reader.pass(&mut place, first.ms);
        assert_eq!(place, Place { sequence: first.sequence + 1, played_ms: 500 });
        reader.pass(&mut place, 60_000);
        let next = segments.last().unwrap().sequence + 1;
        assert_eq!(place, Place { sequence: next, played_ms: 0 });
        assert_eq!(reader.position, Some(segments.last().unwrap().to));
        assert_eq!(relay.place(1_000).sequence, segments[0].sequence);
        // What it was in is gone meanwhile.
        let mut late = relay.place(1_000);
        write(&relay, &mut Dice(1), &stream(150));
        reader.pass(&mut late, 0);
        assert_eq!(late.sequence, all(&relay)[0].sequence);
    }
}

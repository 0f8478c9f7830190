//! The ring against a child that writes as it likes, and viewers who read as they like.

use super::*;
use pure::wire::ts::{Packet, Suits};
use std::alloc::{GlobalAlloc, Layout, System};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature; it is in tests only")]
// SAFETY: everything is left to the system's allocator; counting touches a plain thread-local number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

pub(super) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// A second of real television, with a key frame every third of it.
pub(super) const SAMPLE: &[u8] = include_bytes!("../../../tests/golden/h264-mp2.ts");

/// The sample again and again, as one stream: so many seconds, with three key frames in each.
pub(super) fn stream(seconds: usize) -> Vec<u8> {
    let (mut inspector, mut bytes) = (Inspector::new(), Vec::new());
    for _ in 0..seconds {
        let mut seam = Seam::new(&mut inspector);
        for packet in SAMPLE.chunks(PACKET_BYTES) {
            let mut packet = packet.try_into().unwrap();
            seam.packet(&mut packet, &inspector);
            inspector.packet(&packet);
            bytes.extend_from_slice(&packet);
        }
    }
    bytes
}

pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides).unwrap()
    }
}

/// Writes `bytes` into the relay in pieces.
pub(super) fn write(relay: &Relay, dice: &mut Dice, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let len = relay
            .fill(|space| {
                let len = (1 + dice.roll(3_000)).min(space.len()).min(bytes.len());
                space[..len].copy_from_slice(&bytes[..len]);
                Ok(len)
            })
            .unwrap();
        bytes = &bytes[len..];
    }
}

pub(super) fn cursor(relay: &Rc<Relay>, from_start: bool) -> Cursor {
    Cursor::new(relay, from_start, Rc::default())
}

/// A socket that takes at most `room` bytes.
pub(super) fn socket(taken: &mut Vec<u8>, mut room: usize) -> impl FnMut(&[IoSlice<'_>]) -> io::Result<usize> {
    move |pieces| {
        let mut len = 0;
        for piece in pieces {
            let part = room.min(piece.len());
            taken.extend_from_slice(&piece[..part]);
            room -= part;
            len += part;
        }
        if len == 0 && pieces.iter().any(|piece| !piece.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(len)
    }
}

fn assert_whole_packets(bytes: &[u8]) {
    assert_eq!(bytes.len() % PACKET_BYTES, 0);
    assert!(bytes.chunks(PACKET_BYTES).all(|packet| packet[0] == SYNC_BYTE), "a packet was cut");
}

#[test]
fn a_viewer_from_the_start_gets_every_byte_however_it_comes_and_goes() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let relay = Relay::new(1);
        relay.begin(Generation(1), false);
        let mut cursor = cursor(&relay, true);
        let (mut sent, mut taken) = (Vec::new(), Vec::new());
        // Three times around the ring.
        for _ in 0..210 {
            write(&relay, &mut dice, SAMPLE);
            sent.extend_from_slice(SAMPLE);
            let room = dice.roll(40_000);
            cursor.send(socket(&mut taken, room)).unwrap();
        }
        relay.end();
        assert_eq!(cursor.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::Ended);
        assert!(taken == sent, "seed {seed}: {} of {} bytes, or others", taken.len(), sent.len());
        assert_eq!(relay.stats().overtaken, 0);
    }
}

#[test]
fn who_comes_later_begins_with_tables_and_a_key_frame() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    write(&relay, &mut Dice(1), SAMPLE);
    let mut taken = Vec::new();
    cursor(&relay, false).send(socket(&mut taken, usize::MAX)).unwrap();
    assert_whole_packets(&taken);
    let mut inspector = Inspector::new();
    let joins: Vec<bool> =
        taken.chunks(PACKET_BYTES).map(|packet| inspector.packet(packet.try_into().unwrap()).join_point).collect();
    assert_eq!(joins.iter().position(|join| *join), Some(2), "PAT, PMT, key frame");
    assert_eq!(inspector.counters().continuity_errors, 0, "the tables fit to what follows");
}

#[test]
fn who_falls_behind_is_moved_to_a_key_frame_after_the_packet_he_has_begun() {
    for seed in 0..50 {
        let mut dice = Dice(seed);
        let relay = Relay::new(1);
        relay.begin(Generation(1), false);
        write(&relay, &mut dice, SAMPLE);
        let mut cursor = cursor(&relay, true);
        let mut taken = Vec::new();
        cursor.send(socket(&mut taken, 1 + dice.roll(5_000))).unwrap();
        for _ in 0..100 {
            write(&relay, &mut dice, SAMPLE);
        }
        assert_eq!(cursor.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::CaughtUp);
        assert_whole_packets(&taken);
        assert_eq!(relay.stats().overtaken, 1, "seed {seed}");
        assert!(taken.len() < 4 * SAMPLE.len(), "he did not get what is gone");
    }
}

#[test]
fn rubbish_between_packets_is_left_out() {
    for seed in 0..50 {
        let mut dice = Dice(seed);
        let relay = Relay::new(1);
        relay.begin(Generation(1), false);
        let mut cursor = cursor(&relay, true);
        let (mut taken, mut good) = (Vec::new(), 0);
        for _ in 0..150 {
            let rubbish: Vec<u8> = (0..dice.roll(700)).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect();
            write(&relay, &mut dice, &rubbish);
            write(&relay, &mut dice, SAMPLE);
            good += SAMPLE.len();
            cursor.send(socket(&mut taken, usize::MAX)).unwrap();
        }
        assert_whole_packets(&taken);
        // A packet or three beside each piece of rubbish may be taken for a part of it, or a part of it for a packet.
        assert!(taken.len().abs_diff(good) < 150 * 4 * PACKET_BYTES, "seed {seed}: {} of {good}", taken.len());
    }
}

#[test]
fn what_is_no_transport_stream_is_known_soon() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    assert_eq!(relay.verdict(), Verdict::Open);
    write(&relay, &mut Dice(1), "<html>Sorry, no such channel</html>\n".repeat(3_000).as_bytes());
    assert_eq!(relay.verdict(), Verdict::NotTransportStream);
    relay.begin(Generation(2), false);
    write(&relay, &mut Dice(1), SAMPLE);
    assert_eq!(relay.verdict(), Verdict::Suited);
}

#[test]
fn an_old_feed_ends_for_its_viewers_when_the_slot_plays_another() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    write(&relay, &mut Dice(1), SAMPLE);
    let mut cursor = cursor(&relay, true);
    relay.begin(Generation(2), false);
    write(&relay, &mut Dice(1), SAMPLE);
    let mut taken = Vec::new();
    assert_eq!(cursor.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::Ended);
    assert!(taken.is_empty(), "not a byte of the other channel");
}

#[test]
fn the_reader_waits_for_the_fastest_viewer_and_for_nobody_else() {
    let relay = Relay::new(1);
    let mut dice = Dice(1);
    let fill = |relay: &Relay, dice: &mut Dice| {
        for _ in 0..100 {
            if relay.would_overtake_all() {
                return true;
            }
            write(relay, dice, SAMPLE);
        }
        false
    };
    relay.begin(Generation(1), false);
    assert!(fill(&relay, &mut dice), "the start is kept for who waits for it");
    let mut taken = Vec::new();
    let mut fast = cursor(&relay, true);
    let slow = cursor(&relay, true);
    fast.send(socket(&mut taken, usize::MAX)).unwrap();
    assert!(!relay.would_overtake_all(), "the slow one holds nothing up");
    assert!(fill(&relay, &mut dice));
    fast.send(socket(&mut taken, usize::MAX)).unwrap();
    assert!(!relay.would_overtake_all());
    assert_whole_packets(&taken);
    drop((fast, slow));
    assert!(fill(&relay, &mut dice), "who comes back soon finds what he had not seen");
    assert!(cursor(&relay, false).send(socket(&mut taken, usize::MAX)).is_ok());
}

// ---- One feed, several children -----------------------------------------------------------------------------------

/// What a receiver finds in what he got, null packets left out: no gap, and a clock that runs forwards.
pub(super) fn assert_goes_on(taken: &[u8]) -> u64 {
    assert_whole_packets(taken);
    let mut inspector = Inspector::new();
    let mut last_clock = None;
    for packet in taken.chunks(PACKET_BYTES) {
        let packet = packet.try_into().unwrap();
        inspector.packet(packet);
        if let Some(clock) = Packet::new(packet).pcr() {
            assert!(last_clock.is_none_or(|last| last < clock), "{last_clock:?} {clock}");
            last_clock = Some(clock);
        }
    }
    assert_eq!((inspector.counters().continuity_errors, inspector.counters().damaged_packets), (0, 0));
    inspector.counters().packets - inspector.counters().null_packets
}

fn null_packets(taken: &[u8]) -> usize {
    taken.chunks(PACKET_BYTES).filter(|packet| **packet == NULL_PACKET).count()
}

/// As if he had waited long enough.
fn be_patient(cursor: &mut Cursor) {
    assert!(cursor.null_at.is_some_and(|due| due > clock::mono()), "there is a timer, and it is not due");
    cursor.null_at = Some(Mono(0));
}

#[test]
fn a_viewer_goes_on_across_children() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let relay = Relay::new(1);
        relay.begin(Generation(1), false);
        let mut viewer = cursor(&relay, true);
        let mut taken = Vec::new();
        let mut made = 0;
        for generation in 2..6 {
            let end = PACKET_BYTES * (40 + dice.roll(40));
            write(&relay, &mut dice, &SAMPLE[..end]);
            made += end;
            let room = dice.roll(20_000);
            viewer.send(socket(&mut taken, room)).unwrap();
            // What is incomplete of a packet at its end is dropped (F13).
            let cut = dice.roll(PACKET_BYTES as u64);
            write(&relay, &mut dice, &SAMPLE[3 * PACKET_BYTES..][..cut]);
            relay.gap();
            relay.begin(Generation(generation), true);
            assert_eq!((relay.generation(), relay.stats().last_packet_at), (Generation(generation), None));
        }
        write(&relay, &mut dice, SAMPLE);
        assert_eq!(relay.stats().continuity_errors, 0);
        relay.end();
        assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::Ended);
        let packets = assert_goes_on(&taken) * PACKET_BYTES as u64;
        assert_eq!(packets, (made + SAMPLE.len()) as u64, "seed {seed}: he missed something, or got too much");
        // A feed that has ended does not go on.
        relay.begin(Generation(9), true);
        write(&relay, &mut dice, SAMPLE);
        taken.clear();
        assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::Ended);
        assert!(taken.is_empty() && !relay.ended.get());
    }
}

#[test]
fn newcomers_join_at_what_any_of_the_children_made() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    write(&relay, &mut Dice(1), SAMPLE);
    relay.gap();
    let mut taken = Vec::new();
    let mut in_the_gap = cursor(&relay, false);
    in_the_gap.send(socket(&mut taken, usize::MAX)).unwrap();
    assert!(!taken.is_empty());
    relay.begin(Generation(2), true);
    let mut before_its_first = cursor(&relay, false);
    let mut waited_for_it = cursor(&relay, true);
    write(&relay, &mut Dice(2), SAMPLE);
    in_the_gap.send(socket(&mut taken, usize::MAX)).unwrap();
    assert_goes_on(&taken);
    for (viewer, at_least) in [(&mut before_its_first, SAMPLE.len()), (&mut waited_for_it, SAMPLE.len())] {
        taken.clear();
        viewer.send(socket(&mut taken, usize::MAX)).unwrap();
        assert_goes_on(&taken);
        assert!(taken.len() >= at_least, "{}", taken.len());
    }
    assert_eq!(taken.len(), SAMPLE.len(), "who waited for the second child begins with its first packet");
    taken.clear();
    cursor(&relay, false).send(socket(&mut taken, usize::MAX)).unwrap();
    assert!(assert_goes_on(&taken) * (PACKET_BYTES as u64) < SAMPLE.len() as u64, "its newest key frame");
}

#[test]
fn viewers_who_have_everything_are_held_with_null_packets() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    let (mut viewer, mut slow) = (cursor(&relay, true), cursor(&relay, true));
    let mut taken = Vec::new();
    assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::CaughtUp);
    let (first, last_words) = SAMPLE.split_at(50 * PACKET_BYTES);
    write(&relay, &mut Dice(1), first);
    assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::CaughtUp);
    assert_eq!(viewer.null_at, None, "no timer while the child lives");
    let (before, head) = (relay.stats(), relay.ring.borrow().head);
    relay.gap();
    for round in 0..5 {
        assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::CaughtUp);
        assert_eq!(null_packets(&taken), round, "not before its time");
        be_patient(&mut viewer);
        // In two pieces: the rest of a null packet is never left out.
        assert_eq!(viewer.send(socket(&mut taken, 100)).unwrap(), Progress::Blocked);
        assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::CaughtUp);
        assert_eq!(null_packets(&taken), round + 1);
    }
    // What is not yet sent comes first.
    let mut late = Vec::new();
    assert_eq!(slow.send(socket(&mut late, 1_000)).unwrap(), Progress::Blocked);
    assert_eq!(slow.null_at, None);
    // The dying child's last words are passed on, and the gap goes on.
    write(&relay, &mut Dice(2), last_words);
    viewer.null_at = Some(Mono(0));
    viewer.send(socket(&mut taken, usize::MAX)).unwrap();
    assert_eq!(null_packets(&taken), 5, "he has just got something");
    be_patient(&mut viewer);
    viewer.send(socket(&mut taken, usize::MAX)).unwrap();
    assert_eq!(null_packets(&taken), 6);
    // They are nobody's output (I20).
    assert_eq!(relay.ring.borrow().head - head, last_words.len() as u64);
    assert_eq!(relay.stats().bytes - before.bytes, last_words.len() as u64);
    // The next child's first packet ends the gap, not its beginning.
    relay.begin(Generation(2), true);
    assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::CaughtUp);
    be_patient(&mut viewer);
    viewer.send(socket(&mut taken, usize::MAX)).unwrap();
    assert_eq!((null_packets(&taken), relay.stats().last_packet_at), (7, None));
    write(&relay, &mut Dice(3), SAMPLE);
    assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::CaughtUp);
    assert_eq!(viewer.null_at, None);
    slow.send(socket(&mut late, usize::MAX)).unwrap();
    assert_eq!(assert_goes_on(&taken), assert_goes_on(&late));
    // A second child that dies after a packet or two opens another.
    relay.gap();
    viewer.send(socket(&mut taken, usize::MAX)).unwrap();
    be_patient(&mut viewer);
    relay.end();
    assert_eq!(viewer.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::Ended);
    assert_eq!(null_packets(&taken), 7);
}

#[test]
fn null_packets_come_between_packets_however_a_socket_takes_them() {
    for seed in 0..50 {
        let mut dice = Dice(seed);
        let relay = Relay::new(1);
        relay.begin(Generation(1), false);
        let mut viewer = cursor(&relay, true);
        let mut taken = Vec::new();
        for round in 0..300 {
            match dice.roll(4) {
                0 => relay.gap(),
                1 => relay.begin(Generation(round), true),
                _ => {
                    let len = dice.roll(3_000);
                    write(&relay, &mut dice, &SAMPLE[..len]);
                }
            }
            viewer.null_at = viewer.null_at.map(|_| Mono(0));
            let room = dice.roll(2_000);
            viewer.send(socket(&mut taken, room)).unwrap();
        }
        relay.end();
        viewer.send(socket(&mut taken, usize::MAX)).unwrap();
        assert_whole_packets(&taken);
        let of_children = taken.len() - null_packets(&taken) * PACKET_BYTES;
        assert_eq!(of_children as u64, relay.stats().bytes, "seed {seed}");
        assert!(null_packets(&taken) > 0);
    }
}

#[test]
fn a_viewer_may_come_before_there_is_anything() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    write(&relay, &mut Dice(1), SAMPLE);
    let old = cursor(&relay, true);
    relay.end();
    // No child yet: he is in the next feed, and the one before is none of his.
    relay.gap();
    let mut viewers = [cursor(&relay, true), cursor(&relay, false)];
    let mut taken = [Vec::new(), Vec::new()];
    for (viewer, taken) in viewers.iter_mut().zip(&mut taken) {
        assert_eq!(viewer.send(socket(taken, usize::MAX)).unwrap(), Progress::CaughtUp);
        be_patient(viewer);
        viewer.send(socket(taken, usize::MAX)).unwrap();
        assert_eq!(*taken, NULL_PACKET);
    }
    assert!(old.is_over());
    // The child of the feed before may still have something to say. It may be another channel's.
    write(&relay, &mut Dice(1), &SAMPLE[..50 * PACKET_BYTES]);
    relay.gap();
    for (viewer, taken) in viewers.iter_mut().zip(&mut taken) {
        viewer.send(socket(taken, usize::MAX)).unwrap();
        assert_eq!(*taken, NULL_PACKET);
    }
    relay.begin(Generation(2), true);
    write(&relay, &mut Dice(1), SAMPLE);
    for (viewer, taken) in viewers.iter_mut().zip(&mut taken) {
        viewer.send(socket(taken, usize::MAX)).unwrap();
        assert_goes_on(taken);
    }
    assert!(taken[0][PACKET_BYTES..] == *SAMPLE, "the first child of a feed passes no seam that changes it");
    // The other way around: the child has begun when he comes, and it is still silent.
    relay.begin(Generation(3), false);
    let mut viewer = cursor(&relay, true);
    relay.gap();
    let mut taken = Vec::new();
    viewer.send(socket(&mut taken, usize::MAX)).unwrap();
    be_patient(&mut viewer);
    viewer.send(socket(&mut taken, usize::MAX)).unwrap();
    write(&relay, &mut Dice(1), SAMPLE);
    viewer.send(socket(&mut taken, usize::MAX)).unwrap();
    assert_eq!((null_packets(&taken), taken.len()), (1, PACKET_BYTES + SAMPLE.len()));
    assert_eq!(viewer.null_at, None, "its first packet has ended the gap");
}

#[test]
fn one_viewer_can_be_closed() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    let closed = Rc::new(Cell::new(false));
    let (mut one, mut other) = (Cursor::new(&relay, true, Rc::clone(&closed)), cursor(&relay, true));
    write(&relay, &mut Dice(1), SAMPLE);
    relay.gap();
    closed.set(true);
    relay.wake();
    let mut taken = Vec::new();
    assert_eq!(one.send(socket(&mut taken, 1_000)).unwrap(), Progress::Blocked);
    assert_eq!(one.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::Ended);
    assert!(taken == SAMPLE, "what is there, and nothing else");
    assert_eq!(other.send(socket(&mut taken, usize::MAX)).unwrap(), Progress::CaughtUp);
    // Who was closed before he came sees nothing, whoever plays there now.
    taken.clear();
    assert_eq!(Cursor::new(&relay, true, closed).send(socket(&mut taken, usize::MAX)).unwrap(), Progress::Ended);
    assert!(taken.is_empty());
}

// ---- What is told --------------------------------------------------------------------------------------------------

/// Writes `bytes` as if it were `now`.
fn write_at(relay: &Relay, bytes: &[u8], now: Mono) {
    let mut ring = relay.ring.borrow_mut();
    for piece in bytes.chunks(READ_BYTES_MAX) {
        let mut rest = piece;
        while !rest.is_empty() {
            let len = rest.len().min(ring.space().len());
            ring.space()[..len].copy_from_slice(&rest[..len]);
            ring.wrote(len, now);
            rest = &rest[len..];
        }
    }
    drop(ring);
    relay.stats.set(RelayStats { last_packet_at: Some(now), ..relay.stats.get() });
}

fn excerpt(relay: &Relay) -> (Vec<u8>, Inspector) {
    let mut bytes = vec![1, 2, 3];
    relay.excerpt(&mut bytes);
    assert_whole_packets(&bytes);
    assert!(bytes.len() <= EXCERPT_BYTES_MAX);
    let mut inspector = Inspector::new();
    let joins = bytes.chunks(PACKET_BYTES).position(|packet| inspector.packet(packet.try_into().unwrap()).join_point);
    assert!(joins.is_none_or(|at| at == 2), "PAT, PMT, key frame");
    (bytes, inspector)
}

#[test]
fn an_excerpt_shows_the_last_second_or_two() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    assert!(excerpt(&relay).0.is_empty());
    // Key frames are at 0, 0.4 and 0.8 of each second; here all of a second comes at once.
    write_at(&relay, SAMPLE, Mono(1_000));
    assert!(excerpt(&relay).0.len() > SAMPLE.len() * 9 / 10, "all there is");
    for second in 2..200 {
        write_at(&relay, SAMPLE, Mono(second * 1_000));
        let (bytes, inspector) = excerpt(&relay);
        assert!((SAMPLE.len() * 3 / 2..SAMPLE.len() * 5 / 2).contains(&bytes.len()), "{}", bytes.len());
        assert_eq!(inspector.streams().unwrap().suits_clients(), Suits::Whole);
    }
    // After a pause it is what came before the pause; and another child has its own.
    assert!(relay.ring.borrow().excerpt(Mono(500_000)).1 > 0);
    relay.begin(Generation(2), true);
    assert!(excerpt(&relay).0.is_empty());
    write_at(&relay, SAMPLE, Mono(600_000));
    assert!(excerpt(&relay).0.len() < SAMPLE.len() + 2 * PACKET_BYTES);
}

#[test]
fn an_excerpt_with_the_same_key_frame_begins_at_the_same_place_and_no_other_does() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    let begins = |relay: &Relay| relay.excerpt(&mut Vec::new());
    write_at(&relay, SAMPLE, Mono(1_000));
    let first = begins(&relay);
    for second in 2..20 {
        // Sound goes on, and the next key frame is far away.
        write_at(&relay, &SAMPLE[13 * PACKET_BYTES..19 * PACKET_BYTES], Mono(1_000 + second));
        assert_eq!(begins(&relay), first);
    }
    write_at(&relay, SAMPLE, Mono(20_000));
    write_at(&relay, SAMPLE, Mono(30_000));
    let second = begins(&relay);
    assert!(second > first);
    relay.begin(Generation(2), true);
    write_at(&relay, SAMPLE, Mono(40_000));
    assert!(begins(&relay) > second);
}

#[test]
fn an_excerpt_has_bounds() {
    // A key frame, and then pictures for a whole ring: the place to join is gone.
    let unmarked: Vec<u8> = SAMPLE.chunks(PACKET_BYTES).skip(13).take(6).flatten().copied().collect();
    let mut inspector = Inspector::new();
    assert!(!unmarked.chunks(PACKET_BYTES).any(|packet| inspector.packet(packet.try_into().unwrap()).join_point));
    for (mib, all) in [(1, 1), (4, 2), (8, 2)] {
        let relay = Relay::new(mib);
        relay.begin(Generation(1), false);
        write_at(&relay, SAMPLE, Mono(1_000));
        for second in 2..u64::try_from(mib * 1_000).unwrap() {
            write_at(&relay, &unmarked, Mono(second * 1_000));
        }
        let (bytes, inspector) = excerpt(&relay);
        let (expected, tables) = (all * 1024 * 1024, 2 * PACKET_BYTES);
        assert!((expected - READ_BYTES_MAX..=expected + tables).contains(&bytes.len()), "{mib}: {}", bytes.len());
        assert!(inspector.streams().is_some(), "the tables are there");
    }
}

#[test]
fn relays_tell_what_to_expect_and_when_the_picture_moved() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    assert_eq!(relay.expects(), Expect::default());
    assert_eq!((relay.stats().last_picture_at, relay.stats().last_clock_at), (None, None));
    write(&relay, &mut Dice(1), SAMPLE);
    assert_eq!(relay.expects(), Expect { video: true, audio: true });
    assert!(relay.stats().last_picture_at.is_some() && relay.stats().last_clock_at.is_some());
    assert!(!relay.stats().clock_stalled());
    let clock_at = relay.stats().last_clock_at.unwrap();
    relay.stats.set(RelayStats { last_packet_at: Some(clock_at.plus_ms(CLOCK_STALL_MS)), ..relay.stats.get() });
    assert!(relay.stats().clock_stalled());
    // Another child's, and nothing of it yet.
    relay.begin(Generation(2), true);
    assert_eq!(relay.expects(), Expect::default());
    assert_eq!((relay.stats().last_picture_at, relay.stats().last_clock_at), (None, None));
    assert_eq!(relay.verdict(), Verdict::Open);
    // Null packets, and a table: packets, and neither picture nor clock.
    write(&relay, &mut Dice(1), &[&NULL_PACKET[..], &SAMPLE[..3 * PACKET_BYTES]].concat());
    assert!(relay.stats().last_packet_at.is_some());
    assert_eq!((relay.stats().last_picture_at, relay.stats().last_clock_at), (None, None));
}

#[test]
fn relaying_allocates_nothing() {
    let relay = Relay::new(1);
    relay.begin(Generation(1), false);
    let mut cursors: Vec<Cursor> = (0..8).map(|_| cursor(&relay, true)).collect();
    let mut round = |room: usize| {
        let mut rest = SAMPLE;
        while !rest.is_empty() {
            let filled = relay.fill(|space| {
                let len = rest.len().min(2_632).min(space.len());
                space[..len].copy_from_slice(&rest[..len]);
                Ok(len)
            });
            rest = &rest[filled.unwrap()..];
            for (index, cursor) in cursors.iter_mut().enumerate() {
                let mut left = if index == 0 { room / 50 } else { room };
                let sent = cursor.send(|pieces| {
                    let len = pieces.iter().map(|piece| piece.len()).sum::<usize>().min(left);
                    left -= len;
                    if len == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(len) }
                });
                assert!(sent.is_ok());
            }
        }
    };
    round(10_000);
    // A second child's packets pass the seam.
    relay.gap();
    relay.begin(Generation(2), true);
    round(10_000);
    let before = ALLOCATIONS.get();
    for _ in 0..1_000 {
        round(10_000);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "82,000 packets to 8 viewers, one of whom is overtaken again and again");
    assert!(relay.stats().overtaken > 10);
}

#[test]
fn a_ring_that_nobody_reads_any_more_costs_no_memory_and_can_be_used_again() {
    let relay = Relay::new(1);
    let touched = || relay.ring.borrow().bytes.chunks(4_096).filter(|page| page.iter().any(|byte| *byte != 0)).count();
    relay.begin(Generation(1), false);
    let mut viewer = cursor(&relay, true);
    write(&relay, &mut Dice(1), &stream(20));
    relay.end();
    let mut taken = Vec::new();
    viewer.send(socket(&mut taken, 1_000)).unwrap();
    relay.rest(relay.feed());
    assert!(touched() > 20, "he has not read it all");
    drop(viewer);
    relay.rest(relay.feed() - 1);
    assert!(touched() > 20, "that was another feed");
    relay.rest(relay.feed());
    assert!(touched() <= 2, "at most what shares its page with others");
    // A child that ends late still writes.
    write(&relay, &mut Dice(1), &stream(20));
    relay.rest(relay.feed());
    assert!(touched() <= 2);

    relay.begin(Generation(2), false);
    let (mut viewer, mut taken) = (cursor(&relay, true), Vec::new());
    write(&relay, &mut Dice(1), SAMPLE);
    viewer.send(socket(&mut taken, usize::MAX)).unwrap();
    assert!(taken == *SAMPLE, "all of it, as it came");
}

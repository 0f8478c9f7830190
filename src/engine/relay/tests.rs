//! The ring against a child that writes as it likes, and viewers who read as they like.

use super::*;
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

/// A second of real television, with a key frame every third of it.
const SAMPLE: &[u8] = include_bytes!("../../../tests/golden/h264-mp2.ts");

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides).unwrap()
    }
}

/// Writes `bytes` into the relay in pieces.
fn write(relay: &Relay, dice: &mut Dice, mut bytes: &[u8]) {
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

/// A socket that takes at most `room` bytes.
fn socket(taken: &mut Vec<u8>, mut room: usize) -> impl FnMut(&[IoSlice<'_>]) -> io::Result<usize> {
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
        relay.begin(Generation(1));
        let mut cursor = Cursor::new(&relay, true);
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
    relay.begin(Generation(1));
    write(&relay, &mut Dice(1), SAMPLE);
    let mut taken = Vec::new();
    Cursor::new(&relay, false).send(socket(&mut taken, usize::MAX)).unwrap();
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
        relay.begin(Generation(1));
        write(&relay, &mut dice, SAMPLE);
        let mut cursor = Cursor::new(&relay, true);
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
        relay.begin(Generation(1));
        let mut cursor = Cursor::new(&relay, true);
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
    relay.begin(Generation(1));
    assert_eq!(relay.verdict(), Verdict::Open);
    write(&relay, &mut Dice(1), "<html>Sorry, no such channel</html>\n".repeat(3_000).as_bytes());
    assert_eq!(relay.verdict(), Verdict::NotTransportStream);
    relay.begin(Generation(2));
    write(&relay, &mut Dice(1), SAMPLE);
    assert_eq!(relay.verdict(), Verdict::Suited);
}

#[test]
fn an_old_feed_ends_for_its_viewers_when_the_slot_plays_another() {
    let relay = Relay::new(1);
    relay.begin(Generation(1));
    write(&relay, &mut Dice(1), SAMPLE);
    let mut cursor = Cursor::new(&relay, true);
    relay.begin(Generation(2));
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
    relay.begin(Generation(1));
    assert!(fill(&relay, &mut dice), "the start is kept for who waits for it");
    let mut taken = Vec::new();
    let mut fast = Cursor::new(&relay, true);
    let slow = Cursor::new(&relay, true);
    fast.send(socket(&mut taken, usize::MAX)).unwrap();
    assert!(!relay.would_overtake_all(), "the slow one holds nothing up");
    assert!(fill(&relay, &mut dice));
    fast.send(socket(&mut taken, usize::MAX)).unwrap();
    assert!(!relay.would_overtake_all());
    assert_whole_packets(&taken);
    drop((fast, slow));
    assert!(fill(&relay, &mut dice), "who comes back soon finds what he had not seen");
    assert!(Cursor::new(&relay, false).send(socket(&mut taken, usize::MAX)).is_ok());
}

#[test]
fn relaying_allocates_nothing() {
    let relay = Relay::new(1);
    relay.begin(Generation(1));
    let mut cursors: Vec<Cursor> = (0..8).map(|_| Cursor::new(&relay, true)).collect();
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
    let before = ALLOCATIONS.get();
    for _ in 0..1_000 {
        round(10_000);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "82,000 packets to 8 viewers, one of whom is overtaken again and again");
    assert!(relay.stats().overtaken > 10);
}

//! Any bytes as children of one feed, cut anywhere: what goes out keeps its rhythm, and no clock runs backwards.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::wire::ts::seam::Seam;
use pure::wire::ts::{Inspector, NULL_PID, PACKET_BYTES, PIDS_MAX, Packet, PacketBytes, SYNC_BYTE};
use std::collections::BTreeMap;

/// Ticks of a clock before it starts over, in 27 MHz.
const CLOCK_WRAP: u64 = (1 << 33) * 300;

// The first byte says where children end: after so many packets, each time. The second says what is done to packets.
fuzz_target!(|bytes: &[u8]| {
    let [split, manner, bytes @ ..] = bytes else { return };
    let mut feed = Feed::default();
    for (child, packets) in bytes.chunks(PACKET_BYTES * (1 + usize::from(split % 32))).enumerate() {
        if child > 0 {
            feed.begin();
        }
        for chunk in packets.chunks_exact(PACKET_BYTES) {
            let mut packet: PacketBytes = chunk.try_into().expect("chunks are packets");
            if manner & 1 == 0 {
                packet[0] = SYNC_BYTE;
            }
            if manner & 2 == 0 {
                seal(&mut packet);
            }
            feed.packet(packet);
        }
    }
});

#[derive(Default)]
struct Feed {
    inspector: Inspector,
    seam: Option<Seam>,
    /// Sees the child as it is.
    alone: Inspector,
    /// The last counter of each stream that went out.
    counters: BTreeMap<u16, u8>,
    /// How the child's counters are shifted.
    shifts: BTreeMap<u16, u8>,
    /// The last clock of the child before, until the present one has shown its own; and that.
    clock_before: Option<u64>,
    clock: Option<u64>,
    /// The clock has moved to another stream, and the mark of that lets a counter jump where the child had a gap.
    moved: bool,
}

impl Feed {
    fn begin(&mut self) {
        self.seam = Some(Seam::new(&mut self.inspector));
        self.alone = Inspector::new();
        self.shifts.clear();
        self.clock_before = self.clock.take();
        self.moved = false;
    }

    fn packet(&mut self, before: PacketBytes) {
        let mut after = before;
        if let Some(seam) = &mut self.seam {
            seam.packet(&mut after, &self.inspector);
        }
        let seen = self.inspector.packet(&after);
        let seen_alone = self.alone.packet(&before);
        let (before, after) = (Packet::new(&before), Packet::new(&after));

        // It is the same packet to whoever reads it: place and kind.
        assert_eq!(after.synced(), before.synced());
        assert_eq!((after.pid(), after.has_payload()), (before.pid(), before.has_payload()));
        assert_eq!(after.transport_error(), before.transport_error());
        assert_eq!(after.payload_unit_start(), before.payload_unit_start());
        assert_eq!((after.scrambled(), after.random_access()), (before.scrambled(), before.random_access()));
        assert_eq!((after.payload().len(), after.pcr().is_some()), (before.payload().len(), before.pcr().is_some()));
        // And the same stream: nothing is understood otherwise, and the seam itself is no error.
        self.moved |= after.discontinuity() && !before.discontinuity();
        if !self.moved {
            assert_eq!(self.inspector.streams(), self.alone.streams());
            assert_eq!(self.inspector.counters(), self.alone.counters());
            assert_eq!(seen, seen_alone);
        }
        if !after.synced() || after.transport_error() || after.pid() == NULL_PID {
            assert_eq!(after.continuity(), before.continuity());
            return;
        }
        self.check_counter(before, after);
        if let Some(clock) = after.pcr() {
            self.clock = Some(clock);
            if let Some(earlier) = self.clock_before.take() {
                let forwards = (clock + CLOCK_WRAP - earlier) % CLOCK_WRAP;
                assert!((1..CLOCK_WRAP / 2).contains(&forwards), "{earlier} {clock}");
            }
        }
    }

    /// Goes on from the child before; within a child, steps are what they were. With too many streams nobody knows.
    fn check_counter(&mut self, before: Packet<'_>, after: Packet<'_>) {
        let last = self.counters.insert(after.pid(), after.continuity());
        if self.counters.len() > PIDS_MAX {
            return;
        }
        let shift = after.continuity().wrapping_sub(before.continuity()) & 0x0F;
        match (self.shifts.insert(after.pid(), shift), last) {
            (Some(shift_before), _) => assert_eq!(shift, shift_before),
            (None, Some(last)) => {
                let expected = if after.has_payload() { (last + 1) & 0x0F } else { last };
                assert_eq!(after.continuity(), expected);
            }
            (None, None) => assert_eq!(shift, 0),
        }
    }
}

/// Gives a section that begins and ends in this packet its check sum.
fn seal(packet: &mut PacketBytes) {
    let view = Packet::new(packet);
    if !view.payload_unit_start() {
        return;
    }
    let Some((pointer, rest)) = view.payload().split_first() else { return };
    let Some([_, high, low, ..]) = rest.get(usize::from(*pointer)..) else { return };
    let begin = PACKET_BYTES - rest.len() + usize::from(*pointer);
    let end = begin + 3 + usize::from(u16::from_be_bytes([high & 0x0F, *low]));
    if end <= PACKET_BYTES && end >= begin + 7 {
        let crc = packet[begin..end - 4].iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ (0x04C1_1DB7 & (crc >> 31).wrapping_neg()))
        });
        packet[end - 4..end].copy_from_slice(&crc.to_be_bytes());
    }
}

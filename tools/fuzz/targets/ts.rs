//! Any bytes as a stream: the inspector keeps its promises, and cuts into reads change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::model::channel_map::Place;
use pure::wire::ts::renumber::Renumber;
use pure::wire::ts::{Inspector, PACKET_BYTES, Packet, PacketBytes, SYNC_BYTE, Seen, Sync, next_sync};

fuzz_target!(|bytes: &[u8]| {
    rhythm(bytes);
    inspect(bytes);
});

/// Finds the rhythm at once, and again with every possible amount of bytes at hand.
fn rhythm(bytes: &[u8]) {
    let bytes = bytes.get(..2_048).unwrap_or(bytes);
    let whole = next_sync(bytes);
    if let Sync::At(at) = whole {
        assert!((0..3).all(|index| bytes[at + index * PACKET_BYTES] == SYNC_BYTE));
    }
    // A reader that keeps only what it was told to keep.
    let mut kept_from = 0;
    for end in 0..=bytes.len() {
        match next_sync(&bytes[kept_from..end]) {
            Sync::At(at) => {
                assert_eq!(Sync::At(kept_from + at), whole);
                return;
            }
            Sync::Need { keep_from } => {
                kept_from += keep_from;
                assert!(kept_from <= end && end - kept_from <= 2 * PACKET_BYTES);
            }
        }
    }
    assert!(matches!(whole, Sync::Need { .. }));
}

fn inspect(bytes: &[u8]) {
    let mut inspector = Inspector::new();
    let mut renumber = Renumber::new(Place { frequency_hz: 0, programme: 3, tsid: 0x1234 });
    // Half of the inputs are streams as they are. In the others the fuzzer need not learn check sums: see `seal`.
    let sealed = bytes.first().is_some_and(|first| first & 1 == 0);
    for (index, chunk) in bytes.chunks_exact(PACKET_BYTES).enumerate() {
        let mut packet: PacketBytes = chunk.try_into().expect("chunks are packets");
        if sealed {
            packet[0] = SYNC_BYTE;
            seal(&mut packet);
        }
        ask(Packet::new(&packet));
        let mut numbered = packet;
        renumber.packet(&mut numbered);
        assert_eq!(numbered[..4], packet[..4], "what a packet is stays");
        let streams_before = inspector.streams().cloned();
        let counters_before = *inspector.counters();
        let seen = inspector.packet(&packet);
        let counters = inspector.counters();
        assert_eq!(counters.packets, index as u64 + 1);
        assert!(counters.continuity_errors - counters_before.continuity_errors <= 1);
        assert!(seen.streams_changed || inspector.streams() == streams_before.as_ref());
        promises(&inspector, seen, &packet);
    }
    // What is sent in front of a newcomer tells him the same; with too many streams nobody knows what was repeated.
    if inspector.counters().unwatched_packets > 0 {
        return;
    }
    let mut newcomer = Inspector::new();
    for packet in inspector.tables().chunks_exact(PACKET_BYTES) {
        newcomer.packet(packet.try_into().expect("chunks are packets"));
    }
    if !inspector.tables().is_empty() {
        assert_eq!(newcomer.streams(), inspector.streams());
        assert_eq!(newcomer.tables(), inspector.tables());
    }
}

fn promises(inspector: &Inspector, seen: Seen, packet: &PacketBytes) {
    let tables = inspector.tables();
    assert!(tables.len() % PACKET_BYTES == 0 && tables.len() <= 12 * PACKET_BYTES);
    assert_eq!(tables.is_empty(), inspector.streams().is_none());
    for table in tables.chunks_exact(PACKET_BYTES) {
        assert!(Packet::new(table.try_into().expect("chunks are packets")).synced());
    }
    if seen.join_point {
        assert!(seen.unit_start);
    }
    if seen.unit_start {
        let packet = Packet::new(packet);
        let streams = inspector.streams().expect("a unit of a known stream");
        assert!(packet.payload_unit_start() && streams.list().iter().any(|stream| stream.pid == packet.pid()));
    }
}

/// Every question to a packet.
fn ask(packet: Packet<'_>) {
    assert!(packet.pid() <= 0x1FFF && packet.continuity() < 16);
    assert!(packet.payload().len() <= PACKET_BYTES - 4);
    assert!(packet.has_payload() || packet.payload().is_empty());
    assert!(packet.pcr().is_none_or(|pcr| pcr < (1 << 33) * 300 + 512));
    let _flags = (packet.random_access(), packet.discontinuity(), packet.scrambled(), packet.transport_error());
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

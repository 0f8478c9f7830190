//! A short piece of transport stream that is played over and over, at the pace that its own clock tells.
//!
//! Here: whether such a piece is any good, and how much of it is due when. Not here: how one round is joined to the
//! next (`ts/seam.rs`), and who plays it (the daemon's `engine::relay`).

use crate::limits::{SLATE_BYTES_MAX, SLATE_MS};
use crate::wire::ts::stamps::Ticks;
use crate::wire::ts::{Codec, Inspector, PACKET_BYTES, Packet, PacketBytes};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Whole packets, and when each is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    bytes: Box<[u8]>,
    /// Each packet with a clock that begins a unit: its place, and when it is due after the first of them. Times never
    /// run backwards; and what ends in front of such a place ends with a whole picture.
    steps: Box<[(usize, u64)]>,
}

impl Clip {
    /// What a child made, if it can be played over and over: whole packets without a flaw, an H.264 picture that can be
    /// joined, and a clock that runs through about [`SLATE_MS`]. At most [`SLATE_BYTES_MAX`] long.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let packets = bytes.chunks_exact(PACKET_BYTES);
        if !packets.remainder().is_empty() || bytes.len() > SLATE_BYTES_MAX {
            return None;
        }
        let (mut inspector, mut is_joinable, mut first) = (Inspector::new(), false, None);
        let mut steps: Vec<(usize, u64)> = Vec::new();
        for (index, packet) in packets.filter_map(<[u8]>::first_chunk).enumerate() {
            is_joinable |= inspector.packet(packet).join_point;
            let Some(clock) = clock_of(packet) else { continue };
            let ms = u64::try_from(clock.since(*first.get_or_insert(clock)) / 90).ok()?;
            if steps.last().is_some_and(|(_, before)| ms < *before) {
                return None;
            }
            steps.push((index * PACKET_BYTES, ms));
        }
        let counters = inspector.counters();
        let is_flawless = counters.damaged_packets + counters.continuity_errors + counters.damaged_sections == 0;
        let has_picture = inspector.streams().is_some_and(|streams| streams.video_codec() == Some(Codec::H264));
        let lasts_ms = steps.last().map_or(0, |(_, ms)| *ms);
        let is_long_enough = (SLATE_MS / 2..=SLATE_MS).contains(&lasts_ms);
        let is_good = is_flawless && has_picture && is_joinable && is_long_enough;
        is_good.then(|| Self { bytes: bytes.into_boxed_slice(), steps: steps.into_boxed_slice() })
    }

    /// All of it; whole packets.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where ends what is due so many milliseconds after its beginning.
    pub fn due(&self, elapsed_ms: u64) -> usize {
        let next = self.steps.partition_point(|(_, ms)| *ms <= elapsed_ms);
        self.steps.get(next).map_or(self.bytes.len(), |(at, _)| *at)
    }
}

fn clock_of(packet: &PacketBytes) -> Option<Ticks> {
    let packet = Packet::new(packet);
    packet.clock().filter(|_| packet.payload_unit_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten rounds of a second would run backwards; a stretched clock makes four seconds of one.
    const GOLDEN: &[u8] = include_bytes!("../../../../tests/golden/h264-mp2.ts");

    fn stretched(by: i64) -> Vec<u8> {
        let mut bytes = GOLDEN.to_vec();
        let mut first = None;
        for packet in bytes.chunks_exact_mut(PACKET_BYTES) {
            let Some(clock) = clock_of(packet.first_chunk().unwrap()) else { continue };
            let first = *first.get_or_insert(clock);
            let field = packet.get_mut(6..12).unwrap().first_chunk_mut().unwrap();
            crate::wire::ts::stamps::set_clock(field, first.plus(clock.since(first) * by));
        }
        bytes
    }

    #[test]
    fn a_clip_comes_at_the_pace_of_its_clock() {
        let clip = Clip::new(stretched(4)).unwrap();
        assert_eq!(clip.bytes().len(), GOLDEN.len());
        let mut before = 0;
        for ms in (0..=SLATE_MS).step_by(40) {
            let due = clip.due(ms);
            assert!(due >= before && due % PACKET_BYTES == 0);
            // About as much as of the time; pictures differ in size.
            let share = due as u64 * SLATE_MS / clip.bytes().len() as u64;
            assert!(share.abs_diff(ms) < SLATE_MS / 3, "{ms}: {share}");
            before = due;
        }
        assert!(clip.due(0) > 0 && clip.due(SLATE_MS / 2) < clip.bytes().len());
        assert_eq!(clip.due(SLATE_MS), clip.bytes().len());
    }

    #[test]
    fn what_cannot_be_played_over_and_over_is_no_clip() {
        let good = stretched(4);
        assert!(Clip::new(good.clone()).is_some());
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("no stream", std::vec![7; 10 * PACKET_BYTES]),
            ("half a packet", good[..good.len() - 7].to_vec()),
            ("too short", GOLDEN.to_vec()),
            ("too long", stretched(9)),
            ("backwards", stretched(-4)),
            ("too large", good.repeat(1 + SLATE_BYTES_MAX / good.len())),
            ("something is missing", [&good[..60 * PACKET_BYTES], &good[63 * PACKET_BYTES..]].concat()),
        ] {
            assert!(Clip::new(bytes).is_none(), "{what}");
        }
    }
}

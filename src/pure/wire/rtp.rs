//! Datagrams of a transport stream: seven packets each, bare or behind an RTP header.
//!
//! Receivers of the HDHomeRun library silently drop a datagram of any other size, so there is no short one: what is
//! left over when a stream pauses is filled up with packets that carry nothing.
//!
//! Here: the header and the [`Packetiser`]. Not here: where the packets come from, which of them are wanted
//! ([`PidFilter`]), and sending.
//!
//! Source: RFC 3550, section 5.1; RFC 3551, table 5 (type 33 is MP2T, clock of 90 kHz); RFC 2250, section 2; and
//! `libhdhomerun`, `hdhomerun_video.c` (sizes).

use crate::model::pid_filter::PidFilter;
use crate::wire::ts::{NULL_PACKET, PACKET_BYTES, Packet, PacketBytes};

/// Packets of a datagram.
pub const DATAGRAM_PACKETS: usize = 7;
/// Bytes of an RTP header without extras.
pub const HEADER_BYTES: usize = 12;
/// Bytes of a datagram without header.
pub const UDP_BYTES: usize = DATAGRAM_PACKETS * PACKET_BYTES;
/// Bytes of a datagram with header.
pub const RTP_BYTES: usize = HEADER_BYTES + UDP_BYTES;

/// Version 2, nothing optional.
const VERSION: u8 = 0x80;
/// An MPEG transport stream.
const PAYLOAD_TYPE: u8 = 33;

/// What stands in front of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing: 1,316 bytes.
    Udp,
    /// An RTP header: 1,328 bytes.
    Rtp {
        /// Names the stream; made of chance.
        ssrc: u32,
    },
}

/// Gathers the wanted packets of a stream into datagrams.
#[derive(Debug)]
pub struct Packetiser {
    framing: Framing,
    /// Room for the header, then packets.
    bytes: [u8; RTP_BYTES],
    packets: usize,
    sequence: u16,
}

impl Packetiser {
    /// One that has gathered nothing. The first sequence number is `sequence`, by rights made of chance.
    pub const fn new(framing: Framing, sequence: u16) -> Self {
        Self { framing, bytes: [0; RTP_BYTES], packets: 0, sequence }
    }

    /// Takes the next packet of the stream, if it is wanted. Gives a datagram when it was the seventh.
    ///
    /// `now_90k` is a clock of 90 kHz that any beginning will do for.
    pub fn packet(&mut self, packet: &PacketBytes, wanted: &PidFilter, now_90k: u32) -> Option<&[u8]> {
        if !wanted.contains(Packet::new(packet).pid()) {
            return None;
        }
        self.put(packet);
        (self.packets == DATAGRAM_PACKETS).then(|| self.seal(now_90k))
    }

    /// Fills up and gives what was gathered; none when there was nothing.
    pub fn flush(&mut self, now_90k: u32) -> Option<&[u8]> {
        if self.packets == 0 {
            return None;
        }
        while self.packets < DATAGRAM_PACKETS {
            self.put(&NULL_PACKET);
        }
        Some(self.seal(now_90k))
    }

    /// Whether packets wait for others.
    pub const fn is_waiting(&self) -> bool {
        self.packets > 0
    }

    fn put(&mut self, packet: &PacketBytes) {
        let at = HEADER_BYTES + self.packets * PACKET_BYTES;
        if let Some(place) = self.bytes.get_mut(at..at + PACKET_BYTES) {
            place.copy_from_slice(packet);
            self.packets += 1;
        }
    }

    fn seal(&mut self, now_90k: u32) -> &[u8] {
        self.packets = 0;
        let from = match self.framing {
            Framing::Udp => HEADER_BYTES,
            Framing::Rtp { ssrc } => {
                let [sequence_high, sequence_low] = self.sequence.to_be_bytes();
                let [head, rest @ ..] = &mut self.bytes;
                *head = VERSION;
                if let Some((fields, _)) = rest.split_first_chunk_mut::<{ HEADER_BYTES - 1 }>() {
                    let [kind, high, low, clock @ ..] = fields;
                    (*kind, *high, *low) = (PAYLOAD_TYPE, sequence_high, sequence_low);
                    clock[..4].copy_from_slice(&now_90k.to_be_bytes());
                    clock[4..].copy_from_slice(&ssrc.to_be_bytes());
                }
                self.sequence = self.sequence.wrapping_add(1);
                0
            }
        };
        self.bytes.get(from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ts::{NULL_PID, SYNC_BYTE};
    use std::vec::Vec;

    fn packet(pid: u16, mark: u8) -> PacketBytes {
        let [high, low] = pid.to_be_bytes();
        let mut bytes = [mark; PACKET_BYTES];
        bytes[..4].copy_from_slice(&[SYNC_BYTE, high, low, 0x10]);
        bytes
    }

    fn pids(datagram: &[u8]) -> Vec<u16> {
        datagram.chunks_exact(PACKET_BYTES).map(|bytes| Packet::new(bytes.try_into().unwrap()).pid()).collect()
    }

    #[test]
    fn trap_21_datagrams_have_one_size() {
        for (framing, size) in [(Framing::Udp, 1_316), (Framing::Rtp { ssrc: 1 }, 1_328)] {
            let mut packetiser = Packetiser::new(framing, 0);
            let mut sizes = Vec::new();
            for index in 0..30 {
                sizes.extend(packetiser.packet(&packet(256, index), &PidFilter::ALL, 0).map(<[u8]>::len));
            }
            // Two packets are left over.
            assert!(packetiser.is_waiting());
            sizes.extend(packetiser.flush(0).map(<[u8]>::len));
            assert_eq!(sizes, [size; 5]);
            assert!(!packetiser.is_waiting() && packetiser.flush(0).is_none());
        }
    }

    #[test]
    fn trap_22_rtp_has_its_header_and_udp_has_none() {
        let mut udp = Packetiser::new(Framing::Udp, 7);
        let mut rtp = Packetiser::new(Framing::Rtp { ssrc: 0x1122_3344 }, 0xFFFF);
        let mut datagrams = Vec::new();
        for index in 0..14 {
            let packet = packet(0x100, index);
            let bare = udp.packet(&packet, &PidFilter::ALL, 0).map(<[u8]>::to_vec);
            let framed = rtp.packet(&packet, &PidFilter::ALL, 0xDEAD_0000 + u32::from(index)).map(<[u8]>::to_vec);
            datagrams.extend(bare.zip(framed));
        }
        let heads: Vec<&[u8]> = datagrams.iter().map(|(_, framed)| &framed[..12]).collect();
        assert_eq!(heads[0], [0x80, 33, 0xFF, 0xFF, 0xDE, 0xAD, 0, 6, 0x11, 0x22, 0x33, 0x44]);
        assert_eq!(heads[1], [0x80, 33, 0, 0, 0xDE, 0xAD, 0, 13, 0x11, 0x22, 0x33, 0x44], "the number starts over");
        for (bare, framed) in datagrams {
            assert_eq!(bare, framed[12..]);
            assert_eq!(bare[0], SYNC_BYTE);
        }
    }

    #[test]
    fn only_what_is_wanted_goes_out() {
        let mut packetiser = Packetiser::new(Framing::Udp, 0);
        let wanted = PidFilter::parse("0x0000 0x0100-0x0101").unwrap();
        for pid in [0, 1, 0x100, 0x102, 0x101, NULL_PID, 0x100] {
            assert_eq!(packetiser.packet(&packet(pid, 0), &wanted, 0), None);
        }
        let datagram = packetiser.flush(0).unwrap();
        assert_eq!(pids(datagram), [0, 0x100, 0x101, 0x100, NULL_PID, NULL_PID, NULL_PID]);
        assert!(datagram.ends_with(&NULL_PACKET));
        assert_eq!(packetiser.packet(&packet(5, 0), &PidFilter::NONE, 0), None);
        assert_eq!(packetiser.flush(0), None);
    }
}

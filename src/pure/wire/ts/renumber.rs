//! Gives the programme of a stream the number that clients know it by.
//!
//! Every child calls its programme number 1. A client that tunes by frequency was told that it is the third of its mux,
//! and looks for that number in the tables. So both tables are changed on their way out, with their check sums; whoever
//! watches over HTTP gets them as they are.
//!
//! Not here: sections that begin in the middle of a packet, which muxers of one programme do not write; they pass as
//! they are.
//!
//! Source: ISO/IEC 13818-1, 2.4.4.4 (PAT), 2.4.4.9 (PMT), annex A (check sum).

use crate::model::channel_map::Place;
use crate::wire::ts::tables::{CRC_BYTES, PAT_PID, PAT_TABLE, PMT_TABLE, SECTION_HEAD_BYTES, crc32_step, length};
use crate::wire::ts::{Packet, PacketBytes};

/// Where a section of long syntax has the number of what it is about: the stream in a PAT, the programme in a PMT.
const NUMBER_AT: usize = 3;
/// Where the programmes of a PAT begin, and the bytes of each.
const PROGRAMMES_AT: usize = 8;
const PROGRAMME_BYTES: usize = 4;

/// Changes the numbers in a stream of packets.
#[derive(Debug)]
pub struct Renumber {
    programme: u16,
    tsid: u16,
    /// What the stream itself calls its programme, and where its table is.
    found: Option<(u16, u16)>,
    pat: Open,
    pmt: Open,
}

/// A section that has begun: how much of it is left, and what is to be added to its check sum.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    left: usize,
    patch: u32,
}

impl Renumber {
    /// For a channel that clients were told to find there.
    pub fn new(place: Place) -> Self {
        let (pat, pmt) = Default::default();
        Self { programme: place.programme, tsid: place.tsid, found: None, pat, pmt }
    }

    /// Whether a packet may hold a number; all others can be passed on without a copy.
    pub fn concerns(&self, packet: Packet<'_>) -> bool {
        packet.pid() == PAT_PID || self.found.is_some_and(|(_, pmt_pid)| packet.pid() == pmt_pid)
    }

    /// Changes a packet.
    pub fn packet(&mut self, bytes: &mut PacketBytes) {
        let packet = Packet::new(bytes);
        let (is_pat, starts, payload_bytes) =
            (packet.pid() == PAT_PID, packet.payload_unit_start(), packet.payload().len());
        let Some(payload) = bytes.len().checked_sub(payload_bytes).and_then(|at| bytes.get_mut(at..)) else { return };
        if !starts {
            let open = if is_pat { &mut self.pat } else { &mut self.pmt };
            open.go_on(payload);
            return;
        }
        let [0, section @ ..] = payload else { return };
        if is_pat {
            self.pat(section);
        } else {
            self.pmt(section);
        }
    }

    fn pat(&mut self, section: &mut [u8]) {
        self.pat = Open::default();
        let Some(mut open) = Open::new(section, PAT_TABLE) else { return };
        let here = section.len().min(open.left.saturating_sub(CRC_BYTES));
        let entries = section.get(PROGRAMMES_AT..here).unwrap_or_default().chunks_exact(PROGRAMME_BYTES);
        let first = (0..).zip(entries).find_map(|(index, entry)| {
            let [high, low, pid_high, pid_low] = entry else { return None };
            let (number, pid) = (u16::from_be_bytes([*high, *low]), u16::from_be_bytes([*pid_high & 0x1F, *pid_low]));
            // Number 0 is the network's.
            (number != 0).then_some((PROGRAMMES_AT + index * PROGRAMME_BYTES, (number, pid)))
        });
        open.write(section, NUMBER_AT, self.tsid);
        if let Some((at, found)) = first {
            self.found = Some(found);
            open.write(section, at, self.programme);
        }
        open.go_on(section);
        self.pat = open;
    }

    fn pmt(&mut self, section: &mut [u8]) {
        self.pmt = Open::default();
        let Some(mut open) = Open::new(section, PMT_TABLE) else { return };
        let number = section.get(NUMBER_AT..NUMBER_AT + 2).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok());
        if number.map(u16::from_be_bytes) == self.found.map(|(number, _)| number) {
            open.write(section, NUMBER_AT, self.programme);
            open.go_on(section);
            self.pmt = open;
        }
    }
}

impl Open {
    /// A section that begins here, if it is of this table.
    fn new(section: &[u8], table_id: u8) -> Option<Self> {
        let [first, flags, low, ..] = *section else { return None };
        let has_sum = flags & 0x80 != 0;
        (first == table_id && has_sum).then(|| Self { left: SECTION_HEAD_BYTES + length(flags, low), patch: 0 })
    }

    /// Writes a number into the beginning of a section. Check sums add up: what the change alone makes of one is kept.
    fn write(&mut self, section: &mut [u8], at: usize, number: u16) {
        let behind = self.left.checked_sub(at + 2 + CRC_BYTES);
        let (Some(zeros), Some(place)) = (behind, section.get_mut(at..at + 2)) else { return };
        let change = place.iter().zip(number.to_be_bytes()).map(|(old, new)| old ^ new);
        self.patch ^= change.chain(core::iter::repeat_n(0, zeros)).fold(0, crc32_step);
        place.copy_from_slice(&number.to_be_bytes());
    }

    /// Takes the section's next bytes, and corrects those of them that belong to its check sum.
    fn go_on(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let patch = self.patch.to_be_bytes();
            if let Some(patch) = CRC_BYTES.checked_sub(self.left).and_then(|at| patch.get(at)) {
                *byte ^= patch;
            }
            self.left = self.left.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ts::tables::crc32_mpeg2;
    use crate::wire::ts::{PACKET_BYTES, SYNC_BYTE};
    use std::vec::Vec;

    const PLACE: Place = Place { frequency_hz: 57_000_000, programme: 3, tsid: 0x1234 };
    const PMT_PID: u16 = 0x1000;

    fn section(table_id: u8, number: u16, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(5 + body.len() + CRC_BYTES).unwrap() | 0xB000;
        let mut bytes = [&[table_id][..], &len.to_be_bytes(), &number.to_be_bytes(), &[0xC1, 0, 0], body].concat();
        bytes.extend(crc32_mpeg2(&bytes).to_be_bytes());
        bytes
    }

    /// A section in as many packets as it takes.
    fn packets(pid: u16, section: &[u8]) -> Vec<PacketBytes> {
        let [high, low] = pid.to_be_bytes();
        let all = [&[0][..], section].concat();
        let pieces = all.chunks(PACKET_BYTES - 4).enumerate();
        let packet = |(index, piece): (usize, &[u8])| {
            let mut bytes = [0xFF; PACKET_BYTES];
            bytes[..4].copy_from_slice(&[SYNC_BYTE, high | if index == 0 { 0x40 } else { 0 }, low, 0x10]);
            bytes[4..4 + piece.len()].copy_from_slice(piece);
            bytes
        };
        pieces.map(packet).collect()
    }

    /// The section in packets, whose check sum must be right.
    fn gathered(packets: &[PacketBytes], section_bytes: usize) -> Vec<u8> {
        let payloads: Vec<u8> = packets.iter().flat_map(|packet| packet[4..].to_vec()).collect();
        let section = payloads[1..=section_bytes].to_vec();
        assert_eq!(crc32_mpeg2(&section), 0, "the check sum is right");
        assert!(payloads[1 + section_bytes..].iter().all(|byte| *byte == 0xFF), "what stands behind it stays");
        section
    }

    fn pass(renumber: &mut Renumber, packets: &mut [PacketBytes]) {
        for packet in packets {
            if renumber.concerns(Packet::new(packet)) {
                renumber.packet(packet);
            }
        }
    }

    #[test]
    fn both_tables_tell_the_number_that_clients_were_told() {
        let mut renumber = Renumber::new(PLACE);
        // The network's own entry comes first.
        let pat = section(PAT_TABLE, 1, &[0, 0, 0xE0, 0x10, 0, 1, 0xF0, 0x00]);
        let mut changed = packets(0, &pat);
        pass(&mut renumber, &mut changed);
        assert_eq!(gathered(&changed, pat.len())[3..16], [0x12, 0x34, 0xC1, 0, 0, 0, 0, 0xE0, 0x10, 0, 3, 0xF0, 0x00]);
        // Short, in one packet; long, in three; and with its check sum cut by the end of a packet.
        for body_bytes in [20, 400, 170, 171, 172, 173, 174] {
            let pmt = section(PMT_TABLE, 1, &std::vec![7; body_bytes]);
            let mut changed = packets(PMT_PID, &pmt);
            pass(&mut renumber, &mut changed);
            assert_eq!(gathered(&changed, pmt.len()), section(PMT_TABLE, 3, &std::vec![7; body_bytes]), "{body_bytes}");
        }
    }

    #[test]
    fn what_is_not_ours_passes_as_it_is() {
        let mut renumber = Renumber::new(PLACE);
        pass(&mut renumber, &mut packets(0, &section(PAT_TABLE, 1, &[0, 1, 0xF0, 0x00])));
        let mut damaged_head = packets(0, &section(PAT_TABLE, 1, &[0, 1, 0xF0, 0x00]));
        damaged_head[0][4] = 183;
        for mut same in [
            packets(PMT_PID, &section(PMT_TABLE, 2, &[7; 20])),
            packets(PMT_PID, &section(0x42, 1, &[7; 20])),
            packets(0x100, &section(PMT_TABLE, 1, &[7; 20])),
            damaged_head,
        ] {
            let before = same.clone();
            pass(&mut renumber, &mut same);
            assert_eq!(same, before);
        }
    }

    #[test]
    fn any_bytes_are_taken() {
        let mut renumber = Renumber::new(PLACE);
        let mut state: u32 = 1;
        for _ in 0..20_000 {
            let mut packet = [0; PACKET_BYTES];
            for byte in &mut packet {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = state.to_be_bytes()[0];
            }
            packet = [&[SYNC_BYTE, packet[1] & 0x40, 0, packet[3], 0, packet[5] & 2], &packet[6..]]
                .concat()
                .try_into()
                .unwrap();
            renumber.packet(&mut packet);
        }
    }
}

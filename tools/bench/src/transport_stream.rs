//! What the bench reads of a transport stream: whether packets are missing, and where the first key frame begins.
//!
//! Source: ISO/IEC 13818-1, 2.4.3 (packets), 2.4.4 (PAT and PMT).

const PACKET_BYTES: usize = 188;
const PIDS_LEN: usize = 8192;
const NULL_PID: u16 = 0x1fff;

/// Cuts bytes, as they arrive, into packets. The first byte is the first of a packet.
#[derive(Default)]
pub struct Packets {
    rest: Vec<u8>,
}

impl Packets {
    /// Calls `each` with every packet that `bytes` completes.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Packet)) {
        if !self.rest.is_empty() {
            let taken = bytes.len().min(PACKET_BYTES - self.rest.len());
            self.rest.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.rest.len() < PACKET_BYTES {
                return;
            }
            each(Packet(&self.rest));
            self.rest.clear();
        }
        let packets = bytes.chunks_exact(PACKET_BYTES);
        self.rest.extend_from_slice(packets.remainder());
        packets.for_each(|packet| each(Packet(packet)));
    }
}

/// One packet of 188 bytes.
pub struct Packet<'a>(&'a [u8]);

impl Packet<'_> {
    fn in_sync(&self) -> bool {
        self.0[0] == 0x47
    }

    fn pid(&self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1f, self.0[2]])
    }

    fn starts_unit(&self) -> bool {
        self.0[1] & 0x40 != 0
    }

    fn has_payload(&self) -> bool {
        self.0[3] & 0x10 != 0
    }

    fn counter(&self) -> u8 {
        self.0[3] & 0x0f
    }

    /// The flags of the adaptation field: 0x80 discontinuity, 0x40 random access.
    fn adaptation_flags(&self) -> u8 {
        if self.0[3] & 0x20 != 0 && self.0[4] > 0 { self.0[5] } else { 0 }
    }

    /// The section that starts in this packet, up to the packet's end.
    fn section(&self) -> Option<&[u8]> {
        let adaptation_bytes = if self.0[3] & 0x20 != 0 { 1 + self.0[4] as usize } else { 0 };
        let payload = self.0.get(4 + adaptation_bytes..)?;
        if self.starts_unit() { payload.get(1 + *payload.first()? as usize..) } else { None }
    }
}

/// Counts places where packets are missing.
pub struct Continuity {
    counters: Box<[u8; PIDS_LEN]>,
    /// Packets that did not follow the one before them on their PID, or had no sync byte.
    pub gaps: u64,
}

impl Continuity {
    const UNSEEN: u8 = 0xff;

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self { counters: Box::new([Self::UNSEEN; PIDS_LEN]), gaps: 0 }
    }

    /// Looks at the next packet.
    pub fn on(&mut self, packet: &Packet) {
        if !packet.in_sync() {
            self.gaps += 1;
            return;
        }
        if packet.pid() == NULL_PID || !packet.has_payload() {
            return;
        }
        let last = &mut self.counters[packet.pid() as usize];
        // A packet may be sent twice with the same counter.
        let follows = packet.counter() == last.wrapping_add(1) & 0x0f || packet.counter() == *last;
        if *last != Self::UNSEEN && !follows && packet.adaptation_flags() & 0x80 == 0 {
            self.gaps += 1;
        }
        *last = packet.counter();
    }
}

/// Waits for the first key frame that a player could show: one with a PAT and a PMT before it.
#[derive(Default)]
pub struct FirstKeyFrame {
    pmt_pid: Option<u16>,
    video_pid: Option<u16>,
}

impl FirstKeyFrame {
    /// Whether the next packet is the one.
    pub fn on(&mut self, packet: &Packet) -> bool {
        if packet.pid() == 0 {
            self.pmt_pid = packet.section().and_then(pmt_pid).or(self.pmt_pid);
        } else if Some(packet.pid()) == self.pmt_pid {
            self.video_pid = packet.section().and_then(video_pid).or(self.video_pid);
        }
        Some(packet.pid()) == self.video_pid && packet.starts_unit() && packet.adaptation_flags() & 0x40 != 0
    }
}

/// The PMT of the first programme of a PAT.
fn pmt_pid(section: &[u8]) -> Option<u16> {
    let programme = section.get(8..12)?;
    (section[0] == 0x00 && programme[..2] != [0, 0]).then(|| u16::from_be_bytes([programme[2] & 0x1f, programme[3]]))
}

/// The first video stream of a PMT: MPEG-2, H.264 or H.265.
fn video_pid(section: &[u8]) -> Option<u16> {
    let programme_info_bytes = u16::from_be_bytes([section.get(10)? & 0x0f, *section.get(11)?]) as usize;
    let mut streams = section.get(12 + programme_info_bytes..)?;
    while section[0] == 0x02 && streams.len() >= 5 {
        if matches!(streams[0], 0x02 | 0x1b | 0x24) {
            return Some(u16::from_be_bytes([streams[1] & 0x1f, streams[2]]));
        }
        let info_bytes = u16::from_be_bytes([streams[3] & 0x0f, streams[4]]) as usize;
        streams = streams.get(5 + info_bytes..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pid: u16, counter: u8) -> Vec<u8> {
        let mut bytes = vec![0xff; PACKET_BYTES];
        bytes[..4].copy_from_slice(&[0x47, (pid >> 8) as u8, pid as u8, 0x10 | counter]);
        bytes
    }

    #[test]
    fn a_missing_packet_is_a_gap_and_a_cut_packet_is_not() {
        let stream: Vec<u8> = [14, 15, 0, 0, 1, 3].iter().flat_map(|counter| packet(256, *counter)).collect();
        for piece_len in [1, 100, 188, 300, 5000] {
            let (mut packets, mut continuity) = (Packets::default(), Continuity::new());
            for piece in stream.chunks(piece_len) {
                packets.feed(piece, |packet| continuity.on(&packet));
            }
            assert_eq!(continuity.gaps, 1, "in pieces of {piece_len}");
        }
    }
}

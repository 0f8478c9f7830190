//! Gathers the sections of PAT and PMT from their packets and reads them.
//!
//! Not here: other tables; programmes but the first one, because a relay carries a single programme. Packets are kept
//! only once their section is whole and its check sum is correct, so a newcomer never gets half a table.
//!
//! A section's version number tells nothing here: muxers that start over begin at 0 again. What a section says is
//! compared instead. Receivers do go by the number, which is why it is kept for the next child ([`Edition`]).
//!
//! Source: ISO/IEC 13818-1, 2.4.4 (sections), 2.4.4.4 (PAT), 2.4.4.9 (PMT), annex A (check sum).

use crate::limits::TABLE_PACKETS_MAX;
use crate::wire::ts::{Codec, Counters, NULL_PID, PACKET_BYTES, Packet, Stream, Streams};
use heapless::Vec;

pub(super) const PAT_PID: u16 = 0;
/// What sections of either table begin with.
pub(super) const PAT_TABLE: u8 = 0x00;
pub(super) const PMT_TABLE: u8 = 0x02;
/// PIDs below this belong to tables of the standard.
const FREE_PID_MIN: u16 = 0x10;
/// Bytes of a section of PAT or PMT; private sections may be longer and are none of ours.
const SECTION_BYTES_MAX: usize = 1_024;
/// Bytes of a section in front of what its length counts.
pub(super) const SECTION_HEAD_BYTES: usize = 3;
/// Where a section of long syntax has its version.
pub(super) const VERSION_AT: usize = 5;
/// Bytes of a check sum.
pub(super) const CRC_BYTES: usize = 4;
/// Bytes of the packets of both tables.
const TABLES_BYTES_MAX: usize = TABLE_PACKETS_MAX * PACKET_BYTES;
/// Bytes of the packets of one table.
const TABLE_BYTES_MAX: usize = TABLES_BYTES_MAX / 2;

/// The tables of the first programme.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pat: Gatherer,
    pmt: Gatherer,
    programme: Programme,
    editions: Editions,
}

/// What receivers have last seen of both tables, from whichever child.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Editions {
    pub(super) pat: Option<Edition>,
    pub(super) pmt: Option<Edition>,
}

/// A table as receivers know it: two of the same edition say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edition {
    pub(super) version: u8,
    sum: [u8; CRC_BYTES],
}

impl Edition {
    /// The edition of a whole section of long syntax.
    pub(super) fn of(section: &[u8]) -> Option<Self> {
        Some(Self { version: section.get(VERSION_AT)? >> 1 & 0x1F, sum: *section.last_chunk()? })
    }
}

impl Tables {
    pub(super) const fn new() -> Self {
        let editions = Editions { pat: None, pmt: None };
        Self { pat: Gatherer::new(), pmt: Gatherer::new(), programme: Programme::new(), editions }
    }

    /// Forgets all but what receivers know: the tables that follow are another child's.
    pub(super) fn go_on(&mut self) {
        *self = Self { editions: self.editions, ..Self::new() };
    }

    pub(super) const fn editions(&self) -> Editions {
        self.editions
    }

    /// The number of the first programme; none until the PAT is known.
    pub(super) fn programme_number(&self) -> Option<u16> {
        self.programme.place.map(|place| place.number)
    }

    /// Whether packets of this PID are to be given to [`Tables::packet`].
    pub(super) fn want(&self, pid: u16) -> bool {
        pid == PAT_PID || Some(pid) == self.programme.pmt_pid()
    }

    /// Takes a wanted packet; `gap` says that one before it is missing. True when the streams are no longer the same.
    pub(super) fn packet(&mut self, packet: Packet<'_>, gap: bool, counters: &mut Counters) -> bool {
        let Self { pat, pmt, programme, editions } = self;
        let mut changed = false;
        let mut damaged = 0;
        let oversized = if packet.pid() == PAT_PID {
            let pmt_pid_before = programme.pmt_pid();
            let oversized = pat.packet(packet, gap, |section, packets| match programme.on_pat(section, packets) {
                Ok(Some(now)) => {
                    changed |= now;
                    editions.pat = Edition::of(section);
                }
                Ok(None) => {}
                Err(Damaged) => damaged += 1,
            });
            if programme.pmt_pid() != pmt_pid_before {
                pmt.reset();
            }
            oversized
        } else {
            pmt.packet(packet, gap, |section, packets| match programme.on_pmt(section, packets) {
                Ok(Some(now)) => {
                    changed |= now;
                    editions.pmt = Edition::of(section);
                }
                Ok(None) => {}
                Err(Damaged) => damaged += 1,
            })
        };
        counters.damaged_sections += damaged;
        counters.oversized_sections += u64::from(oversized);
        changed
    }

    /// The packets of both tables, PAT first; empty until both are known.
    pub(super) fn packets(&self) -> &[u8] {
        if self.programme.streams.is_some() { &self.programme.packets } else { &[] }
    }

    pub(super) const fn streams(&self) -> Option<&Streams> {
        self.programme.streams.as_ref()
    }

    /// The stream whose units decide where a newcomer may join.
    pub(super) const fn leading(&self) -> Option<Stream> {
        self.programme.leading
    }
}

// ---- What the tables say ------------------------------------------------------------------------------------------

/// A section with a wrong check sum, or one that contradicts itself.
#[derive(Debug, PartialEq, Eq)]
struct Damaged;

/// Where a programme's table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    number: u16,
    pmt_pid: u16,
}

/// What is known of the first programme.
#[derive(Debug, Default)]
struct Programme {
    place: Option<Place>,
    streams: Option<Streams>,
    leading: Option<Stream>,
    /// Packets of the PAT, `pat_bytes` of them, then of the PMT.
    packets: Vec<u8, TABLES_BYTES_MAX>,
    pat_bytes: usize,
}

impl Programme {
    const fn new() -> Self {
        Self { place: None, streams: None, leading: None, packets: Vec::new(), pat_bytes: 0 }
    }

    fn pmt_pid(&self) -> Option<u16> {
        self.place.map(|place| place.pmt_pid)
    }

    /// Takes a whole section from the PAT's PID; none when it is of no use. True when the streams are no longer the
    /// same.
    fn on_pat(&mut self, section: &[u8], packets: &[u8]) -> Result<Option<bool>, Damaged> {
        let Some((head, body)) = open(section)? else { return Ok(None) };
        // Further sections of a long PAT name further programmes.
        if head.table_id != PAT_TABLE || head.section_number != 0 {
            return Ok(None);
        }
        let place = first_programme(body);
        let pmt: Vec<u8, TABLE_BYTES_MAX> = match self.packets.get(self.pat_bytes..) {
            Some(pmt) if place == self.place => Vec::from_slice(pmt).unwrap_or_default(),
            _ => Vec::new(),
        };
        self.keep(packets, &pmt);
        if place == self.place {
            return Ok(Some(false));
        }
        self.place = place;
        self.leading = None;
        Ok(Some(self.streams.take().is_some()))
    }

    /// Takes a whole section from the PMT's PID; none when it is of no use. True when the streams are no longer the
    /// same.
    fn on_pmt(&mut self, section: &[u8], packets: &[u8]) -> Result<Option<bool>, Damaged> {
        let Some((head, body)) = open(section)? else { return Ok(None) };
        // Programmes may share a PID for their tables.
        if head.table_id != PMT_TABLE || self.place.map(|place| place.number) != Some(head.extension) {
            return Ok(None);
        }
        let streams = streams_of(body).ok_or(Damaged)?;
        let pat: Vec<u8, TABLE_BYTES_MAX> =
            self.packets.get(..self.pat_bytes).and_then(|pat| Vec::from_slice(pat).ok()).unwrap_or_default();
        self.keep(&pat, packets);
        if self.streams.as_ref() == Some(&streams) {
            return Ok(Some(false));
        }
        self.leading = streams.leading();
        self.streams = Some(streams);
        Ok(Some(true))
    }

    /// Keeps these packets instead of those before.
    fn keep(&mut self, pat: &[u8], pmt: &[u8]) {
        debug_assert!(pat.len() + pmt.len() <= TABLES_BYTES_MAX, "a gatherer keeps half of that at most");
        self.packets.clear();
        self.pat_bytes = if self.packets.extend_from_slice(pat).is_ok() { pat.len() } else { 0 };
        // Cannot fail; without a PMT a newcomer would wait for the next one in the stream, no more.
        let _kept = self.packets.extend_from_slice(pmt);
    }
}

/// What the long head of a section says.
struct Head {
    table_id: u8,
    extension: u16,
    section_number: u8,
}

/// Checks a whole section and takes it apart. None when it is of no use: not yet valid, or of another syntax.
fn open(section: &[u8]) -> Result<Option<(Head, &[u8])>, Damaged> {
    // Sections of short syntax have no check sum. Neither PAT nor PMT are among them.
    let [table_id, flags, _, rest @ ..] = section else { return Err(Damaged) };
    if flags & 0x80 == 0 {
        return Ok(None);
    }
    if crc32_mpeg2(section) != 0 {
        return Err(Damaged);
    }
    let [extension_high, extension_low, version, section_number, _, body @ ..] = rest else { return Err(Damaged) };
    let (body, _crc) = body.split_last_chunk::<CRC_BYTES>().ok_or(Damaged)?;
    let is_current = version & 0x01 != 0;
    let extension = u16::from_be_bytes([*extension_high, *extension_low]);
    let head = Head { table_id: *table_id, extension, section_number: *section_number };
    Ok(is_current.then_some((head, body)))
}

/// The first programme that a PAT names, leaving out the entry of the network.
fn first_programme(body: &[u8]) -> Option<Place> {
    body.chunks_exact(4).find_map(|entry| {
        let [number_high, number_low, pid_high, pid_low] = entry else { return None };
        let number = u16::from_be_bytes([*number_high, *number_low]);
        let pmt_pid = pid(*pid_high, *pid_low);
        (number != 0 && (FREE_PID_MIN..NULL_PID).contains(&pmt_pid)).then_some(Place { number, pmt_pid })
    })
}

/// The streams that a PMT names; none when its lengths cannot be true.
fn streams_of(body: &[u8]) -> Option<Streams> {
    let [_, _, info_high, info_low, rest @ ..] = body else { return None };
    let mut rest = rest.get(length(*info_high, *info_low)..)?;
    let mut streams = Streams::default();
    while let [stream_type, pid_high, pid_low, info_high, info_low, after @ ..] = rest {
        let (descriptors, next) = after.split_at_checked(length(*info_high, *info_low))?;
        streams.add(Stream { pid: pid(*pid_high, *pid_low), codec: Codec::new(*stream_type, descriptors) });
        rest = next;
    }
    rest.is_empty().then_some(streams)
}

const fn pid(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high & 0x1F, low])
}

/// A length of twelve bits.
pub(super) fn length(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high & 0x0F, low]))
}

/// The check sum of sections; 0 over a whole section that has its own at the end.
pub(super) fn crc32_mpeg2(bytes: &[u8]) -> u32 {
    bytes.iter().copied().fold(u32::MAX, crc32_step)
}

/// The check sum of what gave `crc` with another byte behind it.
///
/// Polynomial 0x04C11DB7, begins with all bits set, nothing reflected. Four bits at a time: tables are rare, and the
/// table of this takes 64 bytes.
pub(super) fn crc32_step(crc: u32, byte: u8) -> u32 {
    const STEPS: [u32; 16] = {
        let mut steps = [0; 16];
        let mut value: u32 = 0;
        while value < 16 {
            let mut crc = value << 28;
            let mut bit = 0;
            while bit < 4 {
                crc = crc << 1 ^ if crc & 0x8000_0000 == 0 { 0 } else { 0x04C1_1DB7 };
                bit += 1;
            }
            steps[value as usize] = crc;
            value += 1;
        }
        steps
    };
    let step = |crc: u32, bits: u8| crc << 4 ^ STEPS[usize::from((crc >> 28).to_le_bytes()[0] ^ bits) & 0x0F];
    step(step(crc, byte >> 4), byte & 0x0F)
}

// ---- Gathering ----------------------------------------------------------------------------------------------------

/// Puts the sections of one PID together, with the packets they came in.
#[derive(Debug, Default)]
struct Gatherer {
    section: Vec<u8, SECTION_BYTES_MAX>,
    /// The packets of the section, whole; empty while none is being gathered.
    packets: Vec<u8, TABLE_BYTES_MAX>,
}

/// A section that does not fit.
#[derive(Debug)]
struct Oversized;

impl Gatherer {
    const fn new() -> Self {
        Self { section: Vec::new(), packets: Vec::new() }
    }

    /// Forgets a section of which a part is missing.
    fn reset(&mut self) {
        self.section.clear();
        self.packets.clear();
    }

    /// Takes the next packet and calls `whole` with each section that it completes, and with the section's packets.
    /// True when a section did not fit and was dropped.
    fn packet(&mut self, packet: Packet<'_>, gap: bool, mut whole: impl FnMut(&[u8], &[u8])) -> bool {
        if gap {
            self.reset();
        }
        let fits = self.gather(packet, &mut whole);
        if fits.is_err() {
            self.reset();
        }
        fits.is_err()
    }

    fn gather(&mut self, packet: Packet<'_>, whole: &mut impl FnMut(&[u8], &[u8])) -> Result<(), Oversized> {
        let Some((tail, mut starts)) = split_payload(packet) else {
            self.reset();
            return Ok(());
        };
        if !self.packets.is_empty() {
            self.packets.extend_from_slice(packet.0).map_err(|()| Oversized)?;
            self.take(tail, whole)?;
        }
        // What is stuffed is stuffed to the end (2.4.4).
        while !matches!(starts, [] | [0xFF, ..]) {
            self.reset();
            self.packets.extend_from_slice(packet.0).map_err(|()| Oversized)?;
            starts = self.take(starts, whole)?;
        }
        Ok(())
    }

    /// Takes what the section still lacks and gives back what is left.
    fn take<'b>(&mut self, bytes: &'b [u8], whole: &mut impl FnMut(&[u8], &[u8])) -> Result<&'b [u8], Oversized> {
        let mut rest = bytes;
        // Twice: only the head says how much follows.
        for _ in 0..2 {
            let (now, later) = rest.split_at(self.missing().min(rest.len()));
            self.section.extend_from_slice(now).map_err(|()| Oversized)?;
            rest = later;
        }
        if self.section.len() >= SECTION_HEAD_BYTES && self.missing() == 0 {
            whole(&self.section, &self.packets);
            self.reset();
        }
        Ok(rest)
    }

    /// Bytes that the section lacks, or its head as long as that is not whole.
    fn missing(&self) -> usize {
        let bytes = match self.section.as_slice() {
            [_, high, low, ..] => SECTION_HEAD_BYTES + length(*high, *low),
            _ => SECTION_HEAD_BYTES,
        };
        bytes.saturating_sub(self.section.len())
    }
}

/// What of a packet belongs to the section before, and where new sections start. None when the packet lies about it.
fn split_payload(packet: Packet<'_>) -> Option<(&[u8], &[u8])> {
    if !packet.payload_unit_start() {
        return Some((packet.payload(), &[]));
    }
    let (pointer, rest) = packet.payload().split_first()?;
    rest.split_at_checked(usize::from(*pointer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sum_is_the_known_one() {
        assert_eq!(crc32_mpeg2(b"123456789"), 0x0376_E6E7);
        assert_eq!(crc32_mpeg2(b""), u32::MAX);
    }
}

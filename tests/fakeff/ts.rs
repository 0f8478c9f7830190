//! Makes a transport stream that real decoders play: H.264 at 25 frames a second with a key frame each second, silent
//! MPEG audio, tables, a clock, and continuous counters. It shares no code with the daemon.

use std::collections::BTreeMap;
use std::ops::Range;

const PACKET: usize = 188;
const PMT_PID: u16 = 0x1000;
const SDT_PID: u16 = 0x11;
const NULL_PID: u16 = 0x1FFF;
/// One second of pictures, 64 by 64, as Annex B; each begins with an access unit delimiter.
const GOP: &[u8] = include_bytes!("gop.h264");
const DELIMITER: &[u8] = &[0, 0, 0, 1, 9];
/// Of a picture, in ticks of 90 kHz.
const FRAME_TICKS: u64 = 3_600;
/// MPEG-1 layer II, 32 kbit/s, 48 kHz, one channel; all zeros behind the header is silence. 24 ms.
const SOUND_HEADER: [u8; 4] = [0xFF, 0xFD, 0x14, 0xC0];
const SOUND_BYTES: usize = 96;
const SOUND_TICKS: u64 = 2_160;
/// Behind a clock a decoder needs some time until the picture is due.
const LEAD_TICKS: u64 = 9_000;
const TICKS_MASK: u64 = (1 << 33) - 1;

/// What kind of stream it is to be.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault that may come with any other")]
pub(super) struct Kind {
    /// Stands in each key frame, so that a prober can tell whose picture it is.
    pub(super) mark: String,
    /// Timestamp of the first picture.
    pub(super) base_ticks: u64,
    pub(super) bits_per_s: u64,
    pub(super) no_tables: bool,
    pub(super) no_video: bool,
    pub(super) no_audio: bool,
    pub(super) scrambled: bool,
    /// Every so often a packet is left out.
    pub(super) lossy: bool,
    /// Tables name formats that clients do not play.
    pub(super) unsuited: bool,
    pub(super) nothing_but_nulls: bool,
}

/// The stream, picture by picture.
pub(super) struct Maker {
    kind: Kind,
    frames: Vec<Range<usize>>,
    counters: BTreeMap<u16, u8>,
    frame: u64,
    sounds: u64,
    bytes_made: u64,
    /// Added to every timestamp.
    jump_ticks: u64,
    version: u8,
    video_pid: u16,
}

impl Maker {
    pub(super) fn new(kind: Kind) -> Self {
        let starts: Vec<usize> = (0..GOP.len()).filter(|at| GOP[*at..].starts_with(DELIMITER)).collect();
        let ends = starts.iter().skip(1).copied().chain([GOP.len()]);
        let frames = starts.iter().copied().zip(ends).map(|(from, to)| from..to).collect();
        let kind = if kind.bits_per_s == 0 { Kind { bits_per_s: 300_000, ..kind } } else { kind };
        Self {
            kind,
            frames,
            counters: BTreeMap::new(),
            frame: 0,
            sounds: 0,
            bytes_made: 0,
            jump_ticks: 0,
            version: 0,
            video_pid: 0x100,
        }
    }

    /// From now on all clocks are ahead by this.
    pub(super) fn jump(&mut self, ms: u64) {
        self.jump_ticks += ms * 90;
    }

    /// From now on the picture has another PID, and the tables another version.
    pub(super) fn change_tables(&mut self) {
        self.version = (self.version + 1) % 32;
        self.video_pid += 1;
    }

    /// From now on there is no picture, while sound and tables go on.
    pub(super) fn freeze(&mut self) {
        self.kind.no_video = true;
    }

    /// The next 40 ms.
    pub(super) fn next(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let index = self.frame % self.frames.len() as u64;
        let key = index == 0;
        let time = self.frame * FRAME_TICKS;
        if self.kind.nothing_but_nulls {
            out.extend((0..8).flat_map(|_| null_packet()));
            self.frame += 1;
            return out;
        }
        if !self.kind.no_tables {
            if index % 12 == 0 {
                self.section(&mut out, SDT_PID, &service_section(&self.kind.mark));
            }
            if index % 2 == 0 {
                let (pat, pmt) = (association_section(), self.map_section());
                self.section(&mut out, 0, &pat);
                self.section(&mut out, PMT_PID, &pmt);
            }
        }
        if !self.kind.no_video {
            let range = self.frames[usize::try_from(index).unwrap_or(0)].clone();
            let mut picture = GOP[range].to_vec();
            if key {
                let after_delimiter = DELIMITER.len() + 1;
                picture.splice(after_delimiter..after_delimiter, mark_unit(&self.kind.mark));
            }
            // What the rate asks for beyond the picture is filled up, as broadcasters do it.
            let due = self.kind.bits_per_s * (self.frame + 1) / 25 / 8;
            let missing =
                usize::try_from(due.saturating_sub(self.bytes_made)).unwrap_or(0).saturating_sub(picture.len());
            if missing > 600 {
                picture.extend([0, 0, 0, 1, 12]);
                picture.extend(std::iter::repeat_n(0xFF, missing / PACKET * 184 - 300));
                picture.push(0x80);
            }
            let stamp = self.stamp(time);
            let clock = (self.kind.base_ticks + time + self.jump_ticks) & TICKS_MASK;
            self.unit(&mut out, self.video_pid, 0xE0, stamp, &picture, Some((clock, key)));
        }
        if !self.kind.no_audio {
            while self.sounds * SOUND_TICKS <= time {
                let mut sound = vec![0; SOUND_BYTES];
                sound[..4].copy_from_slice(&SOUND_HEADER);
                let stamp = self.stamp(self.sounds * SOUND_TICKS);
                self.unit(&mut out, 0x200, 0xC0, stamp, &sound, None);
                self.sounds += 1;
            }
        }
        self.frame += 1;
        self.bytes_made += out.len() as u64;
        if self.kind.lossy && self.frame % 40 == 7 && out.len() >= 3 * PACKET {
            out.drain(PACKET..2 * PACKET);
        }
        out
    }

    fn stamp(&self, time: u64) -> u64 {
        (self.kind.base_ticks + LEAD_TICKS + time + self.jump_ticks) & TICKS_MASK
    }

    fn map_section(&self) -> Vec<u8> {
        let clock_pid = if self.kind.no_video { 0x200 } else { self.video_pid };
        let mut table = vec![0x02, 0, 0, 0, 1, 0xC1 | self.version << 1, 0, 0];
        table.extend((0xE000 | clock_pid).to_be_bytes());
        table.extend([0xF0, 0]);
        let mut stream = |kind: u8, pid: u16| {
            table.push(kind);
            table.extend((0xE000 | pid).to_be_bytes());
            table.extend([0xF0, 0]);
        };
        // 0x99 is in nobody's list.
        stream(if self.kind.unsuited { 0x99 } else { 0x1B }, self.video_pid);
        if !self.kind.no_audio {
            stream(0x03, 0x200);
        }
        sealed(table)
    }

    fn section(&mut self, out: &mut Vec<u8>, pid: u16, section: &[u8]) {
        let mut payload = vec![0];
        payload.extend(section);
        payload.resize(PACKET - 4, 0xFF);
        out.extend([0x47, 0x40 | high(pid), low(pid), 0x10 | self.count(pid)]);
        out.extend(payload);
    }

    /// A PES packet in as many packets as it needs.
    fn unit(&mut self, out: &mut Vec<u8>, pid: u16, id: u8, stamp: u64, data: &[u8], clock: Option<(u64, bool)>) {
        let len = if id == 0xE0 { 0 } else { u16::try_from(data.len() + 8).unwrap_or(0) };
        let mut bytes = vec![0, 0, 1, id];
        bytes.extend(len.to_be_bytes());
        bytes.extend([0x80, 0x80, 5]);
        bytes.extend(stamp_bytes(stamp));
        bytes.extend(data);
        let mut rest = &bytes[..];
        let mut first = true;
        while !rest.is_empty() {
            let mut field = Vec::new();
            if let (true, Some((clock, key))) = (first, clock) {
                field.push(0x10 | if key { 0x40 } else { 0 });
                field.extend(clock_bytes(clock));
            }
            let room = PACKET - 4 - if field.is_empty() { 0 } else { field.len() + 1 };
            let take = rest.len().min(room);
            let mut header = vec![0x47, high(pid) | if first { 0x40 } else { 0 }, low(pid), 0x10 | self.count(pid)];
            if self.kind.scrambled {
                header[3] |= 0x80;
            }
            if !field.is_empty() || take < room {
                header[3] |= 0x20;
                let len = PACKET - 4 - take - 1;
                header.push(u8::try_from(len).unwrap_or(0));
                if len > 0 {
                    if field.is_empty() {
                        field.push(0);
                    }
                    field.resize(len, 0xFF);
                    header.extend(field);
                }
            }
            out.extend(header);
            out.extend(&rest[..take]);
            rest = &rest[take..];
            first = false;
        }
    }

    fn count(&mut self, pid: u16) -> u8 {
        let counter = self.counters.entry(pid).or_insert(15);
        *counter = (*counter + 1) & 15;
        *counter
    }
}

fn high(pid: u16) -> u8 {
    pid.to_be_bytes()[0]
}

fn low(pid: u16) -> u8 {
    pid.to_be_bytes()[1]
}

fn null_packet() -> [u8; PACKET] {
    let mut packet = [0xFF; PACKET];
    packet[..4].copy_from_slice(&[0x47, high(NULL_PID), low(NULL_PID), 0x10]);
    packet
}

fn association_section() -> Vec<u8> {
    let mut table = vec![0x00, 0, 0, 0, 1, 0xC1, 0, 0, 0, 1];
    table.extend((0xE000 | PMT_PID).to_be_bytes());
    sealed(table)
}

/// A service table with a name, as FFmpeg writes one.
fn service_section(name: &str) -> Vec<u8> {
    let name = &name.as_bytes()[..name.len().min(60)];
    let mut table = vec![0x42, 0, 0, 0, 1, 0xC1, 0, 0, 0xFF, 1, 0xFF, 0, 1, 0xFC, 0x80];
    let len = u8::try_from(name.len()).unwrap_or(0);
    table.extend([len + 5, 0x48, len + 3, 1, 0, len]);
    table.extend(name);
    sealed(table)
}

/// Fills in the length and appends the check sum.
fn sealed(mut table: Vec<u8>) -> Vec<u8> {
    let len = u16::try_from(table.len() - 3 + 4).unwrap_or(0) | 0xB000;
    table[1..3].copy_from_slice(&len.to_be_bytes());
    let mut sum = 0xFFFF_FFFF_u32;
    for byte in &table {
        sum ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            sum = if sum & 0x8000_0000 == 0 { sum << 1 } else { sum << 1 ^ 0x04C1_1DB7 };
        }
    }
    table.extend(sum.to_be_bytes());
    table
}

/// A unit of user data in the coded picture.
fn mark_unit(mark: &str) -> Vec<u8> {
    let mark = &mark.as_bytes()[..mark.len().min(80)];
    let mut unit = vec![0, 0, 0, 1, 6, 5, u8::try_from(16 + MARK.len() + mark.len() + 1).unwrap_or(0)];
    unit.extend([0xFA; 16]);
    unit.extend(MARK);
    unit.extend(mark);
    unit.extend([b';', 0x80]);
    unit
}

/// Stands before the mark of a key frame.
pub(super) const MARK: &[u8] = b"fakeff:";

fn stamp_bytes(ticks: u64) -> [u8; 5] {
    let byte = |shift: u32| (ticks >> shift).to_le_bytes()[0];
    [0x21 | (byte(30) & 0x07) << 1, byte(22), byte(14) | 1, byte(7), byte(0) << 1 | 1]
}

/// 33 bits, six reserved ones, and nine bits that count to 300, which we leave at zero.
fn clock_bytes(ticks: u64) -> [u8; 6] {
    let [_, _, bytes @ ..] = (ticks << 15 | 0x7E00).to_be_bytes();
    bytes
}

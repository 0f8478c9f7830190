//! MPEG transport stream, as far as a relay needs it: packets, where they begin, and where a newcomer may join.
//!
//! Here: a view of one packet, finding packets in bytes that lost their rhythm, and the [`Inspector`] that sees every
//! packet of a stream once and knows its tables, its streams and its key frames. Gathering sections and reading the
//! tables: `ts/tables.rs`. Counting what is missing: `ts/continuity.rs`. Reading and writing times: `ts/stamps.rs`.
//! Joining the packets of one child to those of another: [`seam`]. Numbering for clients: [`renumber`]. Not here: any
//! codec beyond the first byte of its units, and making a stream, which is the child's work.
//!
//! Bytes come from the network: nothing in this room panics, allocates or grows, whatever they are. What is kept in
//! front of a newcomer was whole, had a correct check sum, and was seen in this order.
//!
//! Source: ISO/IEC 13818-1 (2019); sections are named where a number needs them.

pub mod clip;
mod continuity;
pub mod renumber;
pub mod seam;
mod stamps;
mod tables;

use crate::wire::ts::continuity::{Continuity, Step};
use crate::wire::ts::stamps::{Stamps, Ticks};
use crate::wire::ts::tables::Tables;
use heapless::Vec;

/// Bytes of a packet.
pub const PACKET_BYTES: usize = 188;
/// One packet, as bytes.
pub type PacketBytes = [u8; PACKET_BYTES];
/// The first byte of every packet.
pub const SYNC_BYTE: u8 = 0x47;
/// The PID of packets that carry nothing.
pub const NULL_PID: u16 = 0x1FFF;
/// A packet that carries nothing, to keep a connection alive: no reader counts it.
pub const NULL_PACKET: PacketBytes = {
    let mut bytes = [0xFF; PACKET_BYTES];
    bytes[0] = SYNC_BYTE;
    bytes[1] = 0x1F;
    bytes[3] = 0x10;
    bytes
};

/// Most streams of one programme that we list; broadcasts with five sound tracks and four kinds of subtitles have 12.
pub const STREAMS_MAX: usize = 16;
/// Most PIDs whose packets are counted, and carried on at a seam; a single programme has about ten.
pub const PIDS_MAX: usize = 32;

// ---- Packets ----------------------------------------------------------------------------------------------------

/// A view of one packet (2.4.3.2). Every question has an answer, whatever the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a>(&'a PacketBytes);

impl<'a> Packet<'a> {
    /// Looks at these bytes as a packet.
    pub const fn new(bytes: &'a PacketBytes) -> Self {
        Self(bytes)
    }

    /// Whether the packet begins as a packet must.
    pub const fn synced(self) -> bool {
        self.0[0] == SYNC_BYTE
    }

    /// Whether a demodulator says that these bytes are damaged: nothing else in the packet can be trusted then.
    pub const fn transport_error(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    /// Whether a section or a PES packet starts in this packet.
    pub const fn payload_unit_start(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    /// Which stream the packet belongs to, 0 to 0x1FFF.
    pub const fn pid(self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1F, self.0[2]])
    }

    /// Whether the payload is scrambled.
    pub const fn scrambled(self) -> bool {
        self.0[3] & 0xC0 != 0
    }

    /// Whether the header announces a payload. It may still be empty: see [`Packet::payload`].
    pub const fn has_payload(self) -> bool {
        self.0[3] & 0x10 != 0
    }

    /// The continuity counter, 0 to 15.
    pub const fn continuity(self) -> u8 {
        self.0[3] & 0x0F
    }

    /// Whether decoding may start here, as the muxer says (2.4.3.5, `random_access_indicator`).
    pub fn random_access(self) -> bool {
        self.adaptation_flags() & 0x40 != 0
    }

    /// Whether clock and counter may jump here (2.4.3.5, `discontinuity_indicator`).
    pub fn discontinuity(self) -> bool {
        self.adaptation_flags() & 0x80 != 0
    }

    /// The programme clock, in units of 27 MHz, where the packet carries one. It starts over after 26.5 hours.
    pub fn pcr(self) -> Option<u64> {
        match self.adaptation()? {
            [flags, clock @ ..] if flags & 0x10 != 0 => {
                // 33 bits of 90 kHz, six reserved bits, nine bits that count to 300.
                let [base @ .., middle, low] = clock.first_chunk::<6>()?;
                let base = u64::from(u32::from_be_bytes(*base)) << 1 | u64::from(middle >> 7);
                Some(base * 300 + u64::from(u16::from_be_bytes([middle & 0x01, *low])))
            }
            _ => None,
        }
    }

    /// The programme clock in 90 kHz, without what is below that.
    fn clock(self) -> Option<Ticks> {
        match self.adaptation()? {
            [flags, clock @ ..] if flags & 0x10 != 0 => clock.first_chunk().copied().map(stamps::clock),
            _ => None,
        }
    }

    /// When the unit that starts here is to be shown and decoded; none where it does not say, or is scrambled.
    fn stamps(self) -> Option<Stamps> {
        if self.payload_unit_start() && !self.scrambled() { stamps::stamps(self.payload()) } else { None }
    }

    /// What the packet carries; empty when it carries nothing or lies about its adaptation field.
    pub fn payload(self) -> &'a [u8] {
        let [_, _, _, control, rest @ ..] = self.0;
        match control & 0x30 {
            0x10 => rest,
            0x30 => {
                let [length, rest @ ..] = rest;
                rest.get(usize::from(*length)..).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// The adaptation field behind its length; none where its length cannot be true.
    fn adaptation(self) -> Option<&'a [u8]> {
        let [_, _, _, control, length, rest @ ..] = self.0;
        if control & 0x20 == 0 {
            return None;
        }
        rest.get(..usize::from(*length))
    }

    fn adaptation_flags(self) -> u8 {
        self.adaptation().and_then(<[u8]>::first).copied().unwrap_or(0)
    }
}

/// Where whole packets begin in bytes that lost their rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// At this index: three packets in a row begin with a sync byte.
    At(usize),
    /// Not yet to be said. What is before `keep_from` is of no use; the rest, at most two packets long, must be kept
    /// until more bytes have come.
    Need {
        /// Index of the first byte to keep; the length of the bytes when none is of use.
        keep_from: usize,
    },
}

/// Finds the first place where packets begin, in bytes of any origin.
///
/// To be asked only when the byte at a packet's place is no sync byte: a sync byte within a payload is common, three
/// of them at a packet's distance are not.
pub fn next_sync(bytes: &[u8]) -> Sync {
    let may_sync = |at: usize| bytes.get(at).is_none_or(|byte| *byte == SYNC_BYTE);
    for (at, byte) in bytes.iter().enumerate() {
        let third = at + 2 * PACKET_BYTES;
        if *byte == SYNC_BYTE && may_sync(at + PACKET_BYTES) && may_sync(third) {
            // Where this one cannot be decided, none behind it can.
            return if third < bytes.len() { Sync::At(at) } else { Sync::Need { keep_from: at } };
        }
    }
    Sync::Need { keep_from: bytes.len() }
}

// ---- Streams ----------------------------------------------------------------------------------------------------

/// How a stream is coded, as its programme's table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// MPEG-1 video.
    Mpeg1Video,
    /// MPEG-2 video.
    Mpeg2Video,
    /// H.264.
    H264,
    /// H.265.
    Hevc,
    /// MPEG audio, layer I to III.
    MpegAudio,
    /// AAC in ADTS.
    Aac,
    /// AAC in LATM.
    AacLatm,
    /// AC-3.
    Ac3,
    /// E-AC-3.
    Eac3,
    /// Sound that clients of a network tuner do not play: DTS, Opus, AC-4, MPEG-H, PCM.
    OtherAudio,
    /// DVB subtitles.
    Subtitles,
    /// Teletext.
    Teletext,
    /// Neither picture nor sound, such as splice points or interactive applications; clients skip it.
    Data,
    /// A stream type that we do not know, or private data without a descriptor that we know.
    Unknown(u8),
}

impl Codec {
    /// Whether it is a picture.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Mpeg1Video | Self::Mpeg2Video | Self::H264 | Self::Hevc)
    }

    /// Whether it is sound.
    pub const fn is_audio(self) -> bool {
        matches!(self, Self::MpegAudio | Self::Aac | Self::AacLatm | Self::Ac3 | Self::Eac3 | Self::OtherAudio)
    }

    /// Whether clients of a network tuner expect it.
    ///
    /// Source: what Plex, Jellyfin, Channels and Kodi are known to play from such a device: MPEG-2, H.264 or HEVC with
    /// AC-3, AAC or MPEG audio.
    const fn is_expected(self) -> bool {
        matches!(
            self,
            Self::Mpeg2Video | Self::H264 | Self::Hevc | Self::MpegAudio | Self::Aac | Self::Ac3 | Self::Eac3
        )
    }

    /// What a stream of this type with these descriptors is.
    ///
    /// Source: ISO/IEC 13818-1 table 2-34; ETSI EN 300 468 table 12 for descriptors of private data; ATSC A/53 part 3
    /// for 0x81 and 0x87; SCTE 35 for 0x86; what Blu-rays have at 0x82 and 0x85. What only AV1 or VP9 streams carry ends
    /// as unknown on purpose.
    fn new(stream_type: u8, descriptors: &[u8]) -> Self {
        let by_type = match stream_type {
            0x01 => Self::Mpeg1Video,
            0x02 => Self::Mpeg2Video,
            0x03 | 0x04 => Self::MpegAudio,
            0x05 | 0x08 | 0x0A..=0x0D | 0x15 | 0x86 => Self::Data,
            0x0F => Self::Aac,
            0x11 => Self::AacLatm,
            0x1B => Self::H264,
            0x24 => Self::Hevc,
            0x2D | 0x2E | 0x82 | 0x85 => Self::OtherAudio,
            0x81 => Self::Ac3,
            0x87 => Self::Eac3,
            other => Self::Unknown(other),
        };
        // Types that a standard gives to one codec need no descriptor; private ones mean what their owner says.
        if stream_type == 0x06 || stream_type >= 0x80 { described(descriptors).unwrap_or(by_type) } else { by_type }
    }
}

/// How registrations of sounds begin that clients do not play: DTS, Opus, SMPTE 302M, AC-4.
const OTHER_SOUNDS: [&[u8]; 4] = [b"DTS", b"Opus", b"BSSD", b"AC-4"];

/// What the first telling one of these descriptors says.
fn described(mut descriptors: &[u8]) -> Option<Codec> {
    while let [tag, length, rest @ ..] = descriptors {
        let (body, next) = rest.split_at_checked(usize::from(*length))?;
        let codec = match (*tag, body) {
            (0x05, [b'A', b'C', b'-', b'3', ..]) | (0x6A, _) => Some(Codec::Ac3),
            (0x05, [b'E', b'A', b'C', b'3', ..]) | (0x7A, _) => Some(Codec::Eac3),
            (0x05, [b'H', b'E', b'V', b'C', ..]) => Some(Codec::Hevc),
            (0x05, [b'C', b'U', b'E', b'I', ..] | [b'I', b'D', b'3', b' ', ..] | [b'K', b'L', b'V', b'A', ..]) => {
                Some(Codec::Data)
            }
            (0x05, body) if OTHER_SOUNDS.iter().any(|known| body.starts_with(known)) => Some(Codec::OtherAudio),
            // DTS; in an extension: DTS-HD, DTS neural, AC-4, DTS-UHD.
            (0x7B, _) | (0x7F, [0x0E | 0x0F | 0x15 | 0x21, ..]) => Some(Codec::OtherAudio),
            (0x56, _) => Some(Codec::Teletext),
            (0x59, _) => Some(Codec::Subtitles),
            _ => None,
        };
        if codec.is_some() {
            return codec;
        }
        descriptors = next;
    }
    None
}

/// One stream of a programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The PID of its packets.
    pub pid: u16,
    /// How it is coded.
    pub codec: Codec,
}

/// How much of a programme clients can be expected to play as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suits {
    /// All of it.
    Whole,
    /// The picture, if there is one, but none of its sounds.
    AllButSound,
    /// Nothing that is sure.
    Nothing,
}

/// The streams of a programme, in the order of its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    list: Vec<Stream, STREAMS_MAX>,
    unlisted: usize,
}

#[cfg(test)]
impl FromIterator<Stream> for Streams {
    fn from_iter<T: IntoIterator<Item = Stream>>(streams: T) -> Self {
        let mut all = Self::default();
        streams.into_iter().for_each(|stream| all.add(stream));
        all
    }
}

impl Streams {
    /// The streams, at most [`STREAMS_MAX`].
    pub fn list(&self) -> &[Stream] {
        &self.list
    }

    /// How many streams the programme has beyond those listed.
    pub const fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// How much of the programme clients can be expected to play as it is.
    ///
    /// It needs a picture or sound that they expect, a sound that they expect where there is any, and nothing that we do
    /// not know: a stream of unknown kind may be the picture itself, such as VP9 in private data, or where there is a
    /// picture, the sound. Streams that we could not list are not known either.
    pub fn suits_clients(&self) -> Suits {
        let any = |kind: fn(Codec) -> bool| self.list.iter().any(|stream| kind(stream.codec));
        let is_known = self.unlisted == 0 && !any(|codec| matches!(codec, Codec::Unknown(_)));
        let (has_picture, has_sound) = (any(Codec::is_video), any(Codec::is_audio));
        let good_picture = any(|codec| codec.is_video() && codec.is_expected());
        let good_sound = any(|codec| codec.is_audio() && codec.is_expected());
        if is_known && (good_sound || good_picture && !has_sound) {
            Suits::Whole
        } else if good_picture || is_known && has_sound && !has_picture {
            Suits::AllButSound
        } else {
            Suits::Nothing
        }
    }

    /// How the first picture is coded; none without a picture.
    pub fn video_codec(&self) -> Option<Codec> {
        self.first(Codec::is_video).map(|stream| stream.codec)
    }

    /// How the first sound is coded; none without sound.
    pub fn audio_codec(&self) -> Option<Codec> {
        self.first(Codec::is_audio).map(|stream| stream.codec)
    }

    /// The stream whose units decide where a newcomer may join: the picture, else the sound, else whatever comes first.
    fn leading(&self) -> Option<Stream> {
        self.first(Codec::is_video).or_else(|| self.first(Codec::is_audio)).or_else(|| self.first(|_| true))
    }

    fn first(&self, kind: impl Fn(Codec) -> bool) -> Option<Stream> {
        self.list.iter().find(|stream| kind(stream.codec)).copied()
    }

    /// Appends a stream, or counts it when the list is full.
    fn add(&mut self, stream: Stream) {
        if self.list.push(stream).is_err() {
            self.unlisted += 1;
        }
    }
}

// ---- Inspector --------------------------------------------------------------------------------------------------

/// Sees every packet of one stream once, in order, and knows what a relay must know. Of fixed size, about 8 KiB.
#[derive(Debug, Default)]
pub struct Inspector {
    continuity: Continuity,
    tables: Tables,
    counters: Counters,
    clock: Option<Clock>,
}

/// A step of the clock that is no passing of time: it comes ten times a second at least (2.7.2).
const CLOCK_LEAP: i64 = 10 * stamps::SECOND;

/// The newest programme clock, of whichever stream: a relay carries a single programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    pid: u16,
    time: Ticks,
    /// How often another time came than before.
    moves: u64,
    /// How far it has run, leaps left out, since the present child's first; in ticks.
    ran: i64,
    /// It is that of a child before.
    past: bool,
}

/// What a packet means to a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// A newcomer may start with exactly this packet, after [`Inspector::tables`]: a key frame starts here or, without
    /// a picture, a piece of sound.
    pub join_point: bool,
    /// A unit of the leading stream starts here, key frame or not, and the tables are known. For a newcomer who has
    /// waited too long for a join point: some encoders refresh the picture bit by bit and never make a key frame.
    pub unit_start: bool,
    /// [`Inspector::streams`] is not what it was before this packet.
    pub streams_changed: bool,
}

/// What was seen so far. Only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// All packets.
    pub packets: u64,
    /// Packets that carry nothing.
    pub null_packets: u64,
    /// Packets without a sync byte or marked as damaged; their content is not looked at.
    pub damaged_packets: u64,
    /// Packets sent once more, as the standard allows.
    pub repeated_packets: u64,
    /// Gaps in a continuity counter.
    pub continuity_errors: u64,
    /// Packets whose counter is not watched, because too many PIDs came before theirs.
    pub unwatched_packets: u64,
    /// Sections of tables with a wrong check sum or wrong inside.
    pub damaged_sections: u64,
    /// Sections that are longer, or in more packets, than a table may be.
    pub oversized_sections: u64,
}

impl Inspector {
    /// An inspector that has seen nothing.
    pub const fn new() -> Self {
        Self { continuity: Continuity::new(), tables: Tables::new(), counters: Counters::new(), clock: None }
    }

    /// What comes next is made by another child, and joined on by a [`seam::Seam`]: tables, streams and counters begin
    /// anew; how far each stream has come is kept, so what is joined on well counts no error.
    fn go_on(&mut self) {
        self.continuity.go_on();
        self.tables.go_on();
        self.counters = Counters::new();
        self.clock = self.clock.map(|clock| Clock { past: true, ..clock });
    }

    /// Looks at the next packet of the stream. Costs a few nanoseconds unless it is a table.
    pub fn packet(&mut self, bytes: &PacketBytes) -> Seen {
        let packet = Packet::new(bytes);
        let pid = packet.pid();
        self.counters.packets += 1;
        if !packet.synced() || packet.transport_error() {
            // Not even its PID is sure. The counter of its stream will show the gap.
            self.counters.damaged_packets += 1;
            return Seen::default();
        }
        if pid == NULL_PID {
            self.counters.null_packets += 1;
            return Seen::default();
        }
        // A packet that is sent twice may carry another clock the second time (2.4.3.3).
        if let Some(time) = packet.clock() {
            let moves = self.clock.map_or(0, |clock| clock.moves + u64::from(clock.time != time));
            let ran = self.clock.filter(|clock| !clock.past).map_or(0, |clock| {
                let step = time.since(clock.time);
                clock.ran + if (0..CLOCK_LEAP).contains(&step) { step } else { 0 }
            });
            self.clock = Some(Clock { pid, time, moves, ran, past: false });
        }
        let step = self.continuity.step(packet);
        match step {
            Step::Next => {}
            Step::Gap => self.counters.continuity_errors += 1,
            Step::Unwatched => self.counters.unwatched_packets += 1,
            Step::Repeat => {
                self.counters.repeated_packets += 1;
                return Seen::default();
            }
        }
        if self.tables.want(pid) {
            let streams_changed = self.tables.packet(packet, step == Step::Gap, &mut self.counters);
            return Seen { streams_changed, ..Seen::default() };
        }
        match self.tables.leading() {
            Some(leading) if leading.pid == pid && packet.payload_unit_start() => {
                Seen { join_point: may_join(leading.codec, packet), unit_start: true, streams_changed: false }
            }
            _ => Seen::default(),
        }
    }

    /// The packets of PAT and PMT as last seen, to be sent in front of a join point; empty until both are known.
    ///
    /// They are unchanged, so the counters of what follows in the stream continue theirs. Always whole packets.
    pub fn tables(&self) -> &[u8] {
        self.tables.packets()
    }

    /// The streams of the first programme; none until its table is known, or while a new one is awaited.
    pub fn streams(&self) -> Option<&Streams> {
        self.tables.streams()
    }

    /// How often the programme clock has moved: what is played needs one that does.
    pub fn clock_moves(&self) -> u64 {
        self.clock.map_or(0, |clock| clock.moves)
    }

    /// How far the present child's clock has run since its first, in milliseconds; `None` before it has moved.
    pub fn clock_ran_ms(&self) -> Option<u64> {
        let clock = self.clock.filter(|clock| !clock.past && clock.ran > 0)?;
        u64::try_from(clock.ran / (stamps::SECOND / 1_000)).ok()
    }

    /// What was seen so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Counters {
    const fn new() -> Self {
        Self {
            packets: 0,
            null_packets: 0,
            damaged_packets: 0,
            repeated_packets: 0,
            continuity_errors: 0,
            unwatched_packets: 0,
            damaged_sections: 0,
            oversized_sections: 0,
        }
    }
}

/// Whether decoding can start with this packet, in which a unit of the leading stream starts.
fn may_join(codec: Codec, packet: Packet<'_>) -> bool {
    !codec.is_video() || packet.random_access() || (!packet.scrambled() && holds_key_unit(codec, packet.payload()))
}

/// Whether the beginning of a PES packet shows a key frame, for muxers that do not mark them.
///
/// Only this first packet is searched: encoders put parameter sets and sequence headers first.
fn holds_key_unit(codec: Codec, payload: &[u8]) -> bool {
    // 2.4.3.6: start code, stream id, length, flags that begin with `10`, flags, bytes of header that follow.
    let [0, 0, 1, _, _, _, flags, _, header_length, rest @ ..] = payload else { return false };
    if flags & 0xC0 != 0x80 {
        return false;
    }
    let units = rest.get(usize::from(*header_length)..).unwrap_or_default();
    units.windows(4).any(|window| matches!(window, [0, 0, 1, unit] if is_key_unit(codec, *unit)))
}

/// Whether a unit with this first byte comes only where decoding can start.
///
/// Source: ITU-T H.264 table 7-1 (5 IDR slice, 7 sequence parameters); ITU-T H.265 table 7-1 (16 to 21 random access
/// pictures, 32 to 34 parameter sets); ITU-T H.262 table 6-1 (B3 sequence header).
const fn is_key_unit(codec: Codec, unit: u8) -> bool {
    match codec {
        Codec::H264 => matches!(unit & 0x1F, 5 | 7),
        Codec::Hevc => matches!(unit >> 1 & 0x3F, 16..=21 | 32..=34),
        Codec::Mpeg1Video | Codec::Mpeg2Video => unit == 0xB3,
        _ => false,
    }
}

/// PAT and PMT, then pictures of H.264, each a key frame in one packet with a clock.
#[cfg(test)]
pub(crate) fn sample(pictures: u8) -> std::vec::Vec<u8> {
    let mut packets = std::vec![build::packet(0, 0, true, &[&[0], build::pat(&[(1, 0x100)]).as_slice()].concat())];
    packets.push(build::packet(0x100, 0, true, &[&[0], build::pmt(1, &[(0x1B, 0x101, &[])]).as_slice()].concat()));
    for at in 0..pictures {
        // A key frame may be joined at; the clock is 0.1 s further on each time.
        let field = [0x50, 0, 0, at * 0x11, 0x94, 0x7E, 0];
        packets.push(build::with_adaptation(0x101, at & 15, true, &field, &[0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0]));
    }
    packets.concat()
}

#[cfg(test)]
mod build {
    //! Packets and sections by hand.

    use crate::wire::ts::tables::crc32_mpeg2;
    use crate::wire::ts::{PACKET_BYTES, PacketBytes, SYNC_BYTE};
    use std::vec;
    use std::vec::Vec;

    /// A packet with this payload; what is left is stuffed behind it, as sections are.
    pub(super) fn packet(pid: u16, counter: u8, starts: bool, payload: &[u8]) -> PacketBytes {
        let [high, low] = pid.to_be_bytes();
        let mut bytes = [0xFF; PACKET_BYTES];
        bytes[..4].copy_from_slice(&[SYNC_BYTE, high | u8::from(starts) << 6, low, 0x10 | counter]);
        bytes[4..4 + payload.len()].copy_from_slice(payload);
        bytes
    }

    /// A packet with this adaptation field in front of its payload.
    pub(super) fn with_adaptation(pid: u16, counter: u8, starts: bool, field: &[u8], payload: &[u8]) -> PacketBytes {
        let mut all = vec![u8::try_from(field.len()).unwrap()];
        all.extend(field);
        all.extend(payload);
        let mut bytes = packet(pid, counter, starts, &all);
        bytes[3] |= 0x20;
        bytes
    }

    /// A section with the long head, section 0 of 0, currently valid, and with its check sum.
    pub(super) fn section(table_id: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
        let [length_high, length_low] = u16::try_from(body.len() + 9).unwrap().to_be_bytes();
        let [high, low] = extension.to_be_bytes();
        let mut bytes = vec![table_id, 0xB0 | length_high, length_low, high, low, 0xC1 | version << 1, 0, 0];
        bytes.extend(body);
        seal(bytes)
    }

    /// Appends the check sum.
    pub(super) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend(crc32_mpeg2(&bytes).to_be_bytes());
        bytes
    }

    /// A PAT of programme numbers and PIDs.
    pub(super) fn pat(programmes: &[(u16, u16)]) -> Vec<u8> {
        let entry = |(number, pid): &(u16, u16)| [number.to_be_bytes(), (pid | 0xE000).to_be_bytes()].concat();
        section(0x00, 1, 0, &programmes.iter().flat_map(entry).collect::<Vec<u8>>())
    }

    /// A PMT of stream types, PIDs and descriptors.
    pub(super) fn pmt(number: u16, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0xE1, 0x00, 0xF0, 0x00];
        for (stream_type, pid, descriptors) in streams {
            body.push(*stream_type);
            body.extend((pid | 0xE000).to_be_bytes());
            body.extend((u16::try_from(descriptors.len()).unwrap() | 0xF000).to_be_bytes());
            body.extend(*descriptors);
        }
        section(0x02, number, 0, &body)
    }

    /// The packets of sections that follow each other.
    pub(super) fn packets(pid: u16, first_counter: u8, sections: &[u8]) -> Vec<PacketBytes> {
        let mut payload = vec![0];
        payload.extend(sections);
        let mut counter = first_counter;
        let mut made = Vec::new();
        for (index, chunk) in payload.chunks(PACKET_BYTES - 4).enumerate() {
            made.push(packet(pid, counter, index == 0, chunk));
            counter = (counter + 1) % 16;
        }
        made
    }

    /// The beginning of a PES packet with these units.
    pub(super) fn pes(units: &[u8]) -> Vec<u8> {
        [&[0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1], units].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::build::{packet, packets, pat, pes, pmt, seal, section, with_adaptation};
    use super::*;
    use std::vec;
    use std::vec::Vec as StdVec;

    const PMT_PID: u16 = 0x1000;
    const VIDEO_PID: u16 = 0x100;
    const AUDIO_PID: u16 = 0x101;
    const H264_KEY: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0, 0, 0, 0, 1, 0x67, 0x64];
    const H264_DELTA: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0, 0, 0, 0, 1, 0x41, 0x9A];

    /// Shows all packets and gives back what the last one meant.
    fn show(inspector: &mut Inspector, shown: &[PacketBytes]) -> Seen {
        shown.iter().map(|bytes| inspector.packet(bytes)).last().unwrap_or_default()
    }

    /// An inspector that knows a programme of these streams.
    fn inspector_of(streams: &[(u8, u16, &[u8])]) -> Inspector {
        let mut inspector = Inspector::new();
        show(&mut inspector, &packets(0, 0, &pat(&[(1, PMT_PID)])));
        show(&mut inspector, &packets(PMT_PID, 0, &pmt(1, streams)));
        inspector
    }

    fn codecs_of(streams: &[(u8, u16, &[u8])]) -> StdVec<Codec> {
        inspector_of(streams).streams().unwrap().list().iter().map(|stream| stream.codec).collect()
    }

    /// A small generator with a fixed seed: the same bytes on every machine.
    struct Random(u64);

    impl Random {
        fn byte(&mut self) -> u8 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0.to_be_bytes()[0]
        }
    }

    // ---- Packets ----

    #[test]
    fn a_packet_is_read_as_the_standard_says() {
        let bytes = with_adaptation(0x1ABC, 7, true, &[0xD0, 0x12, 0x34, 0x56, 0x78, 0xFF, 0x2B], &[9; 176]);
        let packet = Packet::new(&bytes);
        assert!(packet.synced() && packet.payload_unit_start() && packet.has_payload());
        assert!(packet.random_access() && packet.discontinuity());
        assert!(!packet.transport_error() && !packet.scrambled());
        assert_eq!((packet.pid(), packet.continuity()), (0x1ABC, 7));
        assert_eq!(packet.pcr(), Some((0x1234_5678 * 2 + 1) * 300 + 0x12B));
        assert_eq!(packet.payload(), [9; 176]);
    }

    #[test]
    fn a_packet_may_lie_about_its_adaptation_field() {
        let mut bytes = packet(5, 0, true, &[0xFF; 184]);
        bytes[3] = 0x30;
        for (length, payload_len, known) in
            [(0, 183, false), (1, 182, true), (182, 1, true), (183, 0, true), (184, 0, false), (255, 0, false)]
        {
            bytes[4] = length;
            let packet = Packet::new(&bytes);
            assert_eq!(packet.payload().len(), payload_len);
            assert_eq!(packet.random_access(), known);
            assert_eq!(packet.pcr().is_some(), known && length >= 7);
        }
        bytes[3] = 0x00;
        assert!(Packet::new(&bytes).payload().is_empty());
        bytes[3] = 0x20;
        assert!(Packet::new(&bytes).payload().is_empty());
    }

    #[test]
    fn the_null_packet_is_one() {
        let packet = Packet::new(&NULL_PACKET);
        assert!(packet.synced() && !packet.transport_error() && !packet.payload_unit_start());
        assert_eq!((packet.pid(), packet.payload().len()), (NULL_PID, 184));
        let mut inspector = Inspector::new();
        assert_eq!(show(&mut inspector, &[NULL_PACKET; 3]), Seen::default());
        assert_eq!(inspector.counters(), &Counters { packets: 3, null_packets: 3, ..Counters::new() });
    }

    // ---- Rhythm ----

    #[test]
    fn the_rhythm_is_found_behind_false_starts() {
        let mut bytes = vec![SYNC_BYTE; 5];
        bytes.extend([0; 30]);
        let begin = bytes.len();
        for counter in 0..3 {
            bytes.extend(packet(0x100, counter, false, &[]));
        }
        for end in 0..bytes.len() {
            match next_sync(&bytes[..end]) {
                Sync::At(at) => assert!(at == begin && end > begin + 2 * PACKET_BYTES),
                Sync::Need { keep_from } => {
                    assert!(end <= begin + 2 * PACKET_BYTES && keep_from <= begin.min(end));
                    assert!(end - keep_from <= 2 * PACKET_BYTES);
                }
            }
        }
        assert_eq!(next_sync(&bytes), Sync::At(begin));
    }

    #[test]
    fn bytes_without_rhythm_are_not_kept() {
        assert_eq!(next_sync(&[]), Sync::Need { keep_from: 0 });
        assert_eq!(next_sync(&[0; 1_000]), Sync::Need { keep_from: 1_000 });
        let mut random = Random(1);
        for _ in 0..200 {
            let bytes: StdVec<u8> = (0..1_000).map(|_| random.byte() | 0x40).collect();
            match next_sync(&bytes) {
                Sync::At(at) => assert!((0..3).all(|index| bytes[at + index * PACKET_BYTES] == SYNC_BYTE)),
                Sync::Need { keep_from } => assert!(bytes.len() - keep_from <= 2 * PACKET_BYTES),
            }
        }
    }

    // ---- Tables ----

    #[test]
    fn tables_are_kept_as_last_seen() {
        let mut inspector = Inspector::new();
        let pat = pat(&[(0, 0x10), (1, PMT_PID)]);
        let pmt = pmt(1, &[(0x1B, VIDEO_PID, &[]), (0x0F, AUDIO_PID, &[])]);
        assert!(!show(&mut inspector, &packets(0, 3, &pat)).streams_changed);
        assert!(inspector.tables().is_empty() && inspector.streams().is_none());
        assert!(show(&mut inspector, &packets(PMT_PID, 9, &pmt)).streams_changed);
        assert_eq!(inspector.tables(), [packets(0, 3, &pat), packets(PMT_PID, 9, &pmt)].concat().concat());
        // The same again: the copies carry the newer counters, so the stream behind them continues.
        assert!(!show(&mut inspector, &packets(0, 4, &pat)).streams_changed);
        assert!(!show(&mut inspector, &packets(PMT_PID, 10, &pmt)).streams_changed);
        assert_eq!(inspector.tables(), [packets(0, 4, &pat), packets(PMT_PID, 10, &pmt)].concat().concat());
        assert_eq!(inspector.counters(), &Counters { packets: 4, ..Counters::new() });
        let streams = inspector.streams().unwrap();
        assert_eq!(streams.list()[1], Stream { pid: AUDIO_PID, codec: Codec::Aac });
        assert_eq!((streams.video_codec(), streams.audio_codec()), (Some(Codec::H264), Some(Codec::Aac)));
    }

    #[test]
    fn a_long_table_spans_packets() {
        let descriptors = [0x0A; 200];
        let long = pmt(1, &[(0x1B, VIDEO_PID, &[]), (0x0F, AUDIO_PID, &descriptors), (0x03, 0x102, &descriptors)]);
        let shown = packets(PMT_PID, 14, &long);
        assert_eq!(shown.len(), 3);
        let mut inspector = inspector_of(&[(0x1B, VIDEO_PID, &[])]);
        let before = inspector.tables().to_vec();
        show(&mut inspector, &shown[..2]);
        assert_eq!(inspector.tables(), before, "half a table replaces nothing");
        assert!(show(&mut inspector, &shown[2..]).streams_changed);
        assert_eq!(inspector.tables()[PACKET_BYTES..], shown.concat());
        // A part is missing: the old table stays, and nothing wrong is put together.
        let again = packets(PMT_PID, 1, &long);
        show(&mut inspector, &[again[0], again[2]]);
        assert_eq!(inspector.tables()[PACKET_BYTES..], shown.concat());
        assert_eq!(inspector.counters().damaged_sections, 0);
        // A packet sent twice is no second part.
        let again = packets(PMT_PID, 4, &long);
        show(&mut inspector, &[again[0], again[1], again[1], again[2]]);
        assert_eq!(inspector.tables()[PACKET_BYTES..], again.concat());
    }

    #[test]
    fn sections_may_begin_where_another_ends() {
        let other = pmt(2, &[(0x02, 0x200, &[])]);
        let ours = pmt(1, &[(0x1B, VIDEO_PID, &[])]);
        // Two programmes share the PID; ours begins in the first packet, and its head is split.
        let filler = section(0x02, 7, 0, &[0; 149]);
        let sections = [other.clone(), filler, ours.clone()].concat();
        let mut shown = packets(PMT_PID, 1, &sections);
        assert_eq!(shown.len(), 2);
        let split = 183 - (sections.len() - ours.len());
        assert_eq!(split, 1, "the head is split");
        let mut inspector = inspector_of(&[(0x02, VIDEO_PID, &[])]);
        // The second packet starts a section of its own behind the tail of ours.
        let tail = ours[split..].to_vec();
        let payload = [vec![u8::try_from(tail.len()).unwrap()], tail, other].concat();
        shown[1] = packet(PMT_PID, 2, true, &payload);
        assert!(show(&mut inspector, &shown).streams_changed);
        assert_eq!(inspector.streams().unwrap().video_codec(), Some(Codec::H264));
        assert_eq!(inspector.tables()[PACKET_BYTES..], shown.concat());
        assert_eq!(inspector.counters().damaged_sections, 0);
    }

    #[test]
    fn what_does_not_hold_changes_nothing() {
        let ours: &[(u8, u16, &[u8])] = &[(0x1B, VIDEO_PID, &[])];
        let mut flipped = pmt(1, &[(0x02, VIDEO_PID, &[])]);
        flipped[12] ^= 1;
        let mut not_yet = pmt(1, &[(0x02, VIDEO_PID, &[])]);
        not_yet[5] ^= 1;
        not_yet.truncate(not_yet.len() - 4);
        let cases = [
            (flipped, 1, 0),
            (seal(not_yet), 0, 0),
            (pmt(2, &[(0x02, VIDEO_PID, &[])]), 0, 0),
            (section(0x42, 1, 0, &[0; 20]), 0, 0),
            // Lengths within that reach beyond.
            (section(0x02, 1, 0, &[0xE1, 0, 0xF0, 9, 0x1B, 0xE1, 0]), 1, 0),
            (section(0x02, 1, 0, &[0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 1]), 1, 0),
            (section(0x02, 1, 0, &[0xE1, 0, 0xF0, 0, 0x1B, 0xE1]), 1, 0),
            (vec![0x02, 0xB0, 0], 1, 0),
            (seal(vec![0x02, 0xB0, 4]), 1, 0),
            // Longer than a table may be.
            (section(0x02, 1, 0, &[0; 1_100]), 0, 1),
            (vec![0x02, 0xBF, 0xFF], 0, 0),
        ];
        for (section, damaged_sections, oversized_sections) in cases {
            let mut inspector = inspector_of(ours);
            let before = inspector.tables().to_vec();
            assert!(!show(&mut inspector, &packets(PMT_PID, 1, &section)).streams_changed);
            assert_eq!(inspector.tables(), before);
            assert_eq!(inspector.streams().unwrap().video_codec(), Some(Codec::H264));
            assert_eq!(inspector.counters().damaged_sections, damaged_sections, "{section:02X?}");
            assert_eq!(inspector.counters().oversized_sections, oversized_sections, "{section:02X?}");
        }
    }

    #[test]
    fn a_table_in_too_many_packets_is_refused() {
        // All packets but the first carry one byte, the rest is adaptation field.
        let section = pmt(1, &[(0x1B, VIDEO_PID, &[])]);
        let mut inspector = Inspector::new();
        show(&mut inspector, &packets(0, 0, &pat(&[(1, PMT_PID)])));
        let mut counter = 0;
        show(&mut inspector, &[with_adaptation(PMT_PID, 0, true, &[0; 181], &[0, section[0]])]);
        for byte in &section[1..] {
            counter = (counter + 1) % 16;
            show(&mut inspector, &[with_adaptation(PMT_PID, counter, false, &[0; 182], &[*byte])]);
        }
        assert!(inspector.streams().is_none());
        assert_eq!(inspector.counters().oversized_sections, 1);
    }

    #[test]
    fn a_table_that_moves_is_awaited() {
        let mut inspector = inspector_of(&[(0x1B, VIDEO_PID, &[])]);
        assert!(show(&mut inspector, &packets(0, 1, &pat(&[(1, 0x1234)]))).streams_changed);
        assert!(inspector.tables().is_empty() && inspector.streams().is_none());
        assert_eq!(show(&mut inspector, &[packet(VIDEO_PID, 0, true, &pes(H264_KEY))]), Seen::default());
        assert!(show(&mut inspector, &packets(0x1234, 1, &pmt(1, &[(0x02, VIDEO_PID, &[])]))).streams_changed);
        assert_eq!(inspector.streams().unwrap().video_codec(), Some(Codec::Mpeg2Video));
        assert_eq!(inspector.tables().len(), 2 * PACKET_BYTES);
        // Without any programme nothing is known.
        assert!(show(&mut inspector, &packets(0, 2, &pat(&[(0, 0x10), (5, 0x1FFF), (6, 0)]))).streams_changed);
        assert!(inspector.streams().is_none());
    }

    // ---- Streams ----

    #[test]
    fn stream_types_and_descriptors_name_the_codec() {
        let by_type = [
            (0x01, Codec::Mpeg1Video),
            (0x02, Codec::Mpeg2Video),
            (0x03, Codec::MpegAudio),
            (0x04, Codec::MpegAudio),
            (0x05, Codec::Data),
            (0x06, Codec::Unknown(0x06)),
            (0x0F, Codec::Aac),
            (0x10, Codec::Unknown(0x10)),
            (0x11, Codec::AacLatm),
            (0x1B, Codec::H264),
            (0x24, Codec::Hevc),
            (0x33, Codec::Unknown(0x33)),
            (0x81, Codec::Ac3),
            (0x82, Codec::OtherAudio),
            (0x86, Codec::Data),
            (0x87, Codec::Eac3),
        ];
        for (stream_type, codec) in by_type {
            assert_eq!(codecs_of(&[(stream_type, VIDEO_PID, &[])]), [codec]);
        }
        let private: [(&[u8], Codec); 18] = [
            (&[0x6A, 1, 0], Codec::Ac3),
            (&[0x7A, 0], Codec::Eac3),
            (&[0x56, 0], Codec::Teletext),
            (&[0x59, 0], Codec::Subtitles),
            (b"\x05\x04AC-3", Codec::Ac3),
            (b"\x05\x04EAC3", Codec::Eac3),
            (b"\x05\x04HEVC", Codec::Hevc),
            (b"\x05\x04KLVA", Codec::Data),
            (b"\x05\x04Opus\x7F\x02\x80\x02", Codec::OtherAudio),
            (b"\x05\x04DTS2", Codec::OtherAudio),
            (b"\x05\x04BSSD", Codec::OtherAudio),
            (&[0x7B, 0], Codec::OtherAudio),
            (&[0x7F, 1, 0x15], Codec::OtherAudio),
            (&[0x7F, 1, 0x06], Codec::Unknown(0x06)),
            (&[0x7F, 0], Codec::Unknown(0x06)),
            (b"\x05\x04AV01", Codec::Unknown(0x06)),
            // The telling one comes behind others; one that reaches beyond says nothing.
            (&[0x0A, 4, b'd', b'e', b'u', 0, 0x52, 1, 3, 0x6A, 1, 0], Codec::Ac3),
            (&[0x0A, 0, 0x6A, 9, 0], Codec::Unknown(0x06)),
        ];
        for (descriptors, codec) in private {
            assert_eq!(codecs_of(&[(0x06, VIDEO_PID, descriptors)]), [codec]);
        }
        assert_eq!(codecs_of(&[(0x1B, VIDEO_PID, &[0x6A, 0])]), [Codec::H264]);
        assert_eq!(codecs_of(&[(0xEA, VIDEO_PID, &[0x7A, 0])]), [Codec::Eac3]);
    }

    #[test]
    fn clients_are_given_what_they_expect() {
        let suits = |streams: &[(u8, u16, &[u8])]| inspector_of(streams).streams().unwrap().suits_clients();
        let whole: [&[(u8, u16, &[u8])]; 7] = [
            &[(0x1B, VIDEO_PID, &[]), (0x0F, AUDIO_PID, &[])],
            &[(0x02, VIDEO_PID, &[]), (0x06, AUDIO_PID, &[0x6A, 0]), (0x06, 0x102, &[0x59, 0])],
            &[(0x24, VIDEO_PID, &[]), (0x05, 0x102, &[])],
            // Radio.
            &[(0x03, AUDIO_PID, &[])],
            &[(0x01, VIDEO_PID, &[]), (0x03, AUDIO_PID, &[])],
            // There is another sound for those who cannot play one.
            &[(0x1B, VIDEO_PID, &[]), (0x11, AUDIO_PID, &[]), (0x81, 0x102, &[])],
            &[(0x1B, VIDEO_PID, &[])],
        ];
        let all_but_sound: [&[(u8, u16, &[u8])]; 5] = [
            &[(0x1B, VIDEO_PID, &[]), (0x11, AUDIO_PID, &[])],
            &[(0x24, VIDEO_PID, &[]), (0x06, AUDIO_PID, b"\x05\x04DTS1"), (0x06, 0x102, &[0x59, 0])],
            &[(0x06, VIDEO_PID, b"\x05\x04Opus"), (0x1B, VIDEO_PID, &[])],
            // A camera's telephone sound has no name in a transport stream.
            &[(0x1B, VIDEO_PID, &[]), (0x06, AUDIO_PID, &[])],
            &[(0x11, AUDIO_PID, &[])],
        ];
        let nothing: [&[(u8, u16, &[u8])]; 4] = [
            &[],
            &[(0x01, VIDEO_PID, &[])],
            &[(0x01, VIDEO_PID, &[]), (0x11, AUDIO_PID, &[])],
            // VP9 is not even named.
            &[(0x06, VIDEO_PID, &[]), (0x0F, AUDIO_PID, &[])],
        ];
        for (how, all) in [(Suits::Whole, &whole[..]), (Suits::AllButSound, &all_but_sound), (Suits::Nothing, &nothing)]
        {
            for streams in all {
                assert_eq!(suits(streams), how, "{streams:?}");
            }
        }
    }

    #[test]
    fn streams_beyond_the_list_are_counted() {
        let many: StdVec<(u8, u16, &[u8])> = (0..20).map(|index| (0x0F, 0x100 + index, &[][..])).collect();
        let inspector = inspector_of(&many);
        let streams = inspector.streams().unwrap();
        assert_eq!((streams.list().len(), streams.unlisted()), (STREAMS_MAX, 4));
        assert_eq!(streams.suits_clients(), Suits::Nothing);
    }

    // ---- Join points ----

    #[test]
    fn a_newcomer_joins_at_key_frames() {
        let key = Seen { join_point: true, unit_start: true, streams_changed: false };
        let delta = Seen { join_point: false, ..key };
        let mpeg2_key: &[u8] = &[0, 0, 1, 0xB3, 0x16];
        let mpeg2_delta: &[u8] = &[0, 0, 1, 0x00, 0x00];
        let cases: [(u8, &[u8], Seen); 14] = [
            (0x1B, H264_KEY, key),
            (0x1B, &[0, 0, 1, 0x65], key),
            (0x1B, H264_DELTA, delta),
            (0x1B, &[0, 0, 1, 0x68], delta),
            (0x24, &[0, 0, 1, 0x40, 1], key),
            (0x24, &[0, 0, 1, 0x26, 1], key),
            (0x24, &[0, 0, 1, 0x2A, 1], key),
            (0x24, &[0, 0, 1, 0x46, 1, 0, 0, 1, 0x02, 1], delta),
            (0x24, &[0, 0, 1, 0x44, 1], key),
            (0x02, mpeg2_key, key),
            (0x02, mpeg2_delta, delta),
            (0x01, mpeg2_key, key),
            (0x1B, mpeg2_delta, delta),
            (0x1B, &[], delta),
        ];
        for (stream_type, units, expected) in cases {
            let mut inspector = inspector_of(&[(0x0F, AUDIO_PID, &[]), (stream_type, VIDEO_PID, &[])]);
            assert_eq!(show(&mut inspector, &[packet(VIDEO_PID, 0, true, &pes(units))]), expected, "{units:02X?}");
            assert_eq!(show(&mut inspector, &[packet(VIDEO_PID, 1, false, &pes(units))]), Seen::default());
            assert_eq!(show(&mut inspector, &[packet(AUDIO_PID, 0, true, &pes(units))]), Seen::default());
        }
    }

    #[test]
    fn the_muxers_mark_is_believed() {
        let mut inspector = inspector_of(&[(0x1B, VIDEO_PID, &[])]);
        assert!(show(&mut inspector, &[with_adaptation(VIDEO_PID, 0, true, &[0x40], &pes(H264_DELTA))]).join_point);
        assert!(!show(&mut inspector, &[with_adaptation(VIDEO_PID, 1, false, &[0x40], &[])]).join_point);
        // Scrambled units look like anything; the mark is in the clear.
        let mut scrambled = packet(VIDEO_PID, 2, true, &pes(H264_KEY));
        scrambled[3] |= 0x80;
        assert!(!show(&mut inspector, &[scrambled]).join_point);
        let mut scrambled = with_adaptation(VIDEO_PID, 3, true, &[0x40], &pes(H264_KEY));
        scrambled[3] |= 0x80;
        assert!(show(&mut inspector, &[scrambled]).join_point);
    }

    #[test]
    fn without_a_picture_any_sound_will_do() {
        let mut inspector = inspector_of(&[(0x06, 0x99, &[0x56, 0]), (0x03, AUDIO_PID, &[]), (0x0F, 0x102, &[])]);
        assert!(show(&mut inspector, &[packet(AUDIO_PID, 0, true, &pes(&[]))]).join_point);
        assert!(!show(&mut inspector, &[packet(AUDIO_PID, 1, false, &[])]).join_point);
        assert!(!show(&mut inspector, &[packet(0x102, 0, true, &pes(&[]))]).join_point);
        let mut inspector = inspector_of(&[(0x06, 0x99, &[])]);
        assert!(show(&mut inspector, &[packet(0x99, 0, true, &[])]).join_point, "better than never");
    }

    #[test]
    fn damaged_packets_are_not_looked_at() {
        let mut inspector = inspector_of(&[(0x1B, VIDEO_PID, &[])]);
        let key = packet(VIDEO_PID, 0, true, &pes(H264_KEY));
        let mut marked = key;
        marked[1] |= 0x80;
        let mut unsynced = key;
        unsynced[0] = 0x46;
        for damaged in [marked, unsynced] {
            assert_eq!(show(&mut inspector, &[damaged]), Seen::default());
        }
        assert_eq!(inspector.counters().damaged_packets, 2);
        assert_eq!(inspector.counters().continuity_errors, 0);
        show(&mut inspector, &[key, packet(VIDEO_PID, 2, false, &[])]);
        assert_eq!(inspector.counters().continuity_errors, 1);
    }

    // ---- A real muxer ----

    /// A second of `ffmpeg` 5.1, `libx264` with `-g 10` at 25 pictures a second, MP2, muxed as `mpegts`.
    const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/h264-mp2.ts");

    #[test]
    fn what_ffmpeg_muxes_is_understood() {
        let mut inspector = Inspector::new();
        let mut marked = 0;
        let mut unmarked = 0;
        for bytes in GOLDEN.chunks_exact(PACKET_BYTES) {
            let bytes: &PacketBytes = bytes.try_into().unwrap();
            if inspector.packet(bytes).join_point {
                marked += u32::from(Packet::new(bytes).random_access());
                assert_eq!(inspector.tables().len(), 2 * PACKET_BYTES);
            }
        }
        // Once more, without the muxer's marks: the same places are found.
        let mut blind = Inspector::new();
        for bytes in GOLDEN.chunks_exact(PACKET_BYTES) {
            let mut bytes: PacketBytes = bytes.try_into().unwrap();
            if Packet::new(&bytes).random_access() {
                bytes[5] &= !0x40;
            }
            unmarked += u32::from(blind.packet(&bytes).join_point);
        }
        assert_eq!((marked, unmarked), (3, 3));
        let streams = inspector.streams().unwrap();
        assert_eq!((streams.video_codec(), streams.audio_codec()), (Some(Codec::H264), Some(Codec::MpegAudio)));
        assert_eq!(streams.suits_clients(), Suits::Whole);
        let packets = u64::try_from(GOLDEN.len() / PACKET_BYTES).unwrap();
        assert_eq!(inspector.counters(), &Counters { packets, ..Counters::new() });
        assert_eq!(next_sync(&GOLDEN[100..]), Sync::At(88));
    }

    // ---- Anything ----

    /// A relay reads from strangers. Packets of a real stream are damaged at random, and packets are made of chance
    /// alone; whatever comes, the promises about tables hold and nothing panics.
    #[test]
    fn no_bytes_break_the_promises() {
        let mut random = Random(0x5EED);
        let mut inspector = Inspector::new();
        let good = [
            packets(0, 0, &pat(&[(1, PMT_PID)])),
            packets(PMT_PID, 0, &pmt(1, &[(0x1B, VIDEO_PID, &[]), (0x06, AUDIO_PID, &[0x6A, 0])])),
            vec![packet(VIDEO_PID, 0, true, &pes(H264_KEY))],
        ]
        .concat();
        for round in 0..60_000_usize {
            let mut bytes = good[round % good.len()];
            if random.byte() < 40 {
                bytes = [0; PACKET_BYTES].map(|_| random.byte());
            }
            for _ in 0..random.byte() % 4 {
                bytes[usize::from(random.byte()) % PACKET_BYTES] = random.byte();
            }
            bytes[0] = SYNC_BYTE;
            bytes[3] = bytes[3] & 0xF0 | random.byte() & 0x0F;
            let seen = inspector.packet(&bytes);
            let tables = inspector.tables();
            assert_eq!(tables.len() % PACKET_BYTES, 0);
            assert_eq!(tables.is_empty(), inspector.streams().is_none());
            assert!(tables.chunks(PACKET_BYTES).all(|packet| packet[0] == SYNC_BYTE));
            assert!(!seen.join_point || (seen.unit_start && !tables.is_empty()));
        }
        assert!(inspector.counters().damaged_sections > 0 && inspector.counters().continuity_errors > 0);
    }
}

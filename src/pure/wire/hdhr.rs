//! Frames of port 65001, UDP and TCP: a type, a length, tagged values, a check sum.
//!
//! Here: taking frames apart and writing them, and the two that discovery needs. What control needs over TCP is in
//! [`control`], and frames are found in its stream of bytes by [`deframer`]. Not here: sockets, who may ask and how
//! often ([`crate::rules::replies`]), and what the variables mean ([`crate::rules::control`]).
//!
//! Nothing that was asked with a wrong check sum or for somebody else is answered: a reply is seven times as long as
//! its request, and the address it goes to is only claimed.
//!
//! Source: `libhdhomerun`, `hdhomerun_pkt.h` and `hdhomerun_pkt.c`, releases 20220303 and 20250506, and what their
//! `hdhomerun_config` sends.

pub mod control;
pub mod deframer;

use crate::model::device_id::{AUTH_BYTES, DeviceId};

/// The port of discovery over UDP and of control over TCP.
pub const PORT: u16 = 65_001;

/// Type of a request for devices.
pub const DISCOVER_REQUEST: u16 = 0x0002;
/// Type of a device's answer.
pub const DISCOVER_REPLY: u16 = 0x0003;
/// Type of a request to read or write a variable.
pub const GETSET_REQUEST: u16 = 0x0004;
/// Type of its answer.
pub const GETSET_REPLY: u16 = 0x0005;
/// Type of a piece of firmware, and of the word that it was the last one.
pub const UPGRADE_REQUEST: u16 = 0x0006;
/// Type of the answer to that word.
pub const UPGRADE_REPLY: u16 = 0x0007;

/// Tag of a kind of device, 32 bits.
pub const TAG_DEVICE_TYPE: u8 = 0x01;
/// Tag of a device id, 32 bits.
pub const TAG_DEVICE_ID: u8 = 0x02;
/// Tag of a variable's name, with a NUL at its end.
pub const TAG_GETSET_NAME: u8 = 0x03;
/// Tag of a variable's value, with a NUL at its end.
pub const TAG_GETSET_VALUE: u8 = 0x04;
/// Tag of a refusal, with a NUL at its end.
pub const TAG_ERROR_MESSAGE: u8 = 0x05;
/// Tag of the number of tuners, 8 bits.
pub const TAG_TUNER_COUNT: u8 = 0x10;
/// Tag of the key that locks a tuner, 32 bits.
pub const TAG_GETSET_LOCKKEY: u8 = 0x15;
/// Tag of the lineup's address, without NUL.
pub const TAG_LINEUP_URL: u8 = 0x27;
/// Tag of the recordings' address, without NUL: only what records has one.
pub const TAG_STORAGE_URL: u8 = 0x28;
/// Tag of the address that all others are below, without NUL.
pub const TAG_BASE_URL: u8 = 0x2A;
/// Tag of the `DeviceAuth`, without NUL.
pub const TAG_DEVICE_AUTH_STR: u8 = 0x2B;
/// Tag of what records, without NUL.
pub const TAG_STORAGE_ID: u8 = 0x2C;
/// Tag of several kinds of device, 32 bits each.
pub const TAG_MULTI_TYPE: u8 = 0x2D;

/// Bytes of the longest base address: clients that use the older interface of the library (Kodi) take a longer one for
/// none at all. `http://255.255.255.255:65535` just fits; host names and paths mostly do not.
pub const BASE_URL_BYTES_MAX: usize = "http://255.255.255.255:65535".len();
/// Bytes of the longest base address with an IPv6 literal: that older interface knows no IPv6, so it never sees one.
pub const BASE_URL_V6_BYTES_MAX: usize = "http://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".len();
/// Bytes of the longest lineup address, for the same reason.
pub const LINEUP_URL_BYTES_MAX: usize = 127;
/// Bytes of the longest reply to a request for devices.
pub const REPLY_BYTES_MAX: usize = FRAME_BYTES_MIN
    + (2 + 4) // type
    + (2 + 4) // id
    + (2 + AUTH_BYTES)
    + (2 + BASE_URL_V6_BYTES_MAX)
    + (2 + 1) // tuners
    + (2 + LINEUP_URL_BYTES_MAX);

/// Bytes of a request for a device.
pub const REQUEST_BYTES: usize = FRAME_BYTES_MIN + (2 + 4) + (2 + 4);

const TYPE_TUNER: u32 = 0x0000_0001;
/// Any type of device, and any device.
const WILDCARD: u32 = 0xFFFF_FFFF;

const HEAD_BYTES: usize = 4;
const CRC_BYTES: usize = 4;
const FRAME_BYTES_MIN: usize = HEAD_BYTES + CRC_BYTES;

// ---- Frames -------------------------------------------------------------------------------------------------------

/// A frame whose check sum was correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type, such as [`DISCOVER_REQUEST`].
    pub kind: u16,
    /// Its tagged values; see [`Tlvs`].
    pub payload: &'a [u8],
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Fewer bytes than the shortest frame has. From a stream: read more.
    TooShort,
    /// Fewer bytes than the frame says it has. From a stream: read more.
    LengthMismatch,
    /// The check sum is wrong.
    BadCrc,
}

impl<'a> Frame<'a> {
    /// Takes the frame at the beginning of `bytes`. What follows it is ignored, as clients do.
    ///
    /// # Errors
    /// [`FrameError`]: a datagram is not answered.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        if bytes.len() < FRAME_BYTES_MIN {
            return Err(FrameError::TooShort);
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(FrameError::TooShort)?;
        let [kind_high, kind_low, length_high, length_low] = *head;
        let payload_bytes = usize::from(u16::from_be_bytes([length_high, length_low]));
        let (payload, rest) = rest.split_at_checked(payload_bytes).ok_or(FrameError::LengthMismatch)?;
        let crc = rest.first_chunk::<CRC_BYTES>().ok_or(FrameError::LengthMismatch)?;
        let covered = bytes.get(..HEAD_BYTES + payload_bytes).ok_or(FrameError::LengthMismatch)?;
        // The only number of the protocol that travels with its low byte first.
        if crc32(covered) != u32::from_le_bytes(*crc) {
            return Err(FrameError::BadCrc);
        }
        Ok(Self { kind: u16::from_be_bytes([kind_high, kind_low]), payload })
    }

    /// The tagged values of the frame.
    pub const fn tlvs(self) -> Tlvs<'a> {
        Tlvs(self.payload)
    }
}

/// A tagged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// What it is, such as [`TAG_DEVICE_ID`].
    pub tag: u8,
    /// The value; may be empty.
    pub value: &'a [u8],
}

/// The tagged values of a payload, in order. Ends silently at a value that reaches beyond the payload, as clients do.
///
/// A length has one byte up to 127. Longer ones have two, the lower seven bits first; a short length written in two
/// bytes is accepted.
#[derive(Clone, Debug)]
pub struct Tlvs<'a>(&'a [u8]);

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        // Whatever cannot be read leaves nothing behind it that could.
        let payload = core::mem::take(&mut self.0);
        let (tag, length, rest) = match payload {
            [tag, length @ 0..=0x7F, rest @ ..] => (*tag, usize::from(*length), rest),
            [tag, low, high, rest @ ..] => (*tag, usize::from(low & 0x7F) | usize::from(*high) << 7, rest),
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Tlv { tag, value })
    }
}

/// Writes a frame into a buffer, without allocating.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut [u8],
    /// Bytes written; none once something did not fit.
    written: Option<usize>,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame of this type.
    pub fn new(out: &'a mut [u8], kind: u16) -> Self {
        let mut writer = Self { out, written: Some(0) };
        writer.put(&kind.to_be_bytes());
        // The length, once it is known.
        writer.put(&[0, 0]);
        writer
    }

    /// Appends a tagged value. One of more than 32,767 bytes cannot be written at all.
    #[must_use]
    pub fn tlv(mut self, tag: u8, value: &[u8]) -> Self {
        self.head(tag, value.len());
        self.put(value);
        self
    }

    /// Appends a text with the NUL that control wants at its end: some clients drop the last byte without looking.
    #[must_use]
    pub fn text(mut self, tag: u8, text: &str) -> Self {
        self.head(tag, text.len() + 1);
        self.put(text.as_bytes());
        self.put(&[0]);
        self
    }

    /// Ends the frame with its length and check sum. None when it did not fit.
    pub fn finish(mut self) -> Option<&'a [u8]> {
        let payload_bytes = u16::try_from(self.written?.checked_sub(HEAD_BYTES)?).ok()?;
        self.out.get_mut(2..HEAD_BYTES)?.copy_from_slice(&payload_bytes.to_be_bytes());
        let crc = crc32(self.out.get(..self.written?)?);
        self.put(&crc.to_le_bytes());
        self.out.get(..self.written?)
    }

    /// Tag and length of a value.
    fn head(&mut self, tag: u8, value_bytes: usize) {
        match u16::try_from(value_bytes).map(u16::to_be_bytes) {
            Ok([0, length @ 0..=0x7F]) => self.put(&[tag, length]),
            Ok([high @ 0..=0x7F, low]) => self.put(&[tag, low | 0x80, high << 1 | low >> 7]),
            _ => self.written = None,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.written = self.written.and_then(|written| {
            let end = written.checked_add(bytes.len())?;
            self.out.get_mut(written..end)?.copy_from_slice(bytes);
            Some(end)
        });
    }
}

/// The check sum of frames: CRC-32 as in Ethernet and zlib.
///
/// Four bits at a time: frames are short, and the table of this takes 64 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    const STEPS: [u32; 16] = {
        let mut steps = [0; 16];
        let mut value: u32 = 0;
        while value < 16 {
            let mut crc = value;
            let mut bit = 0;
            while bit < 4 {
                crc = crc >> 1 ^ if crc & 1 == 0 { 0 } else { 0xEDB8_8320 };
                bit += 1;
            }
            steps[value as usize] = crc;
            value += 1;
        }
        steps
    };
    let step = |crc: u32, bits: u8| crc >> 4 ^ STEPS[usize::from(crc.to_le_bytes()[0] ^ bits) & 0x0F];
    !bytes.iter().fold(u32::MAX, |crc, byte| step(step(crc, *byte), byte >> 4))
}

// ---- Discovery ----------------------------------------------------------------------------------------------------

/// Somebody asks which devices there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoverRequest {
    /// Whether tuners are among the types asked for.
    pub wants_tuner: bool,
    /// The only device that is to answer; none when all are.
    pub device_id: Option<u32>,
}

/// Why a datagram is no request for devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// It is no frame.
    Frame(FrameError),
    /// It is a frame of this other type, such as the reply of another device that a broadcast socket sees too.
    OtherKind(u16),
    /// A type or an id has the wrong length.
    Malformed,
}

impl DiscoverRequest {
    /// Reads a request, as old and new clients send it.
    ///
    /// Clients up to 20220303 send a type and an id, which may both mean "any". Newer ones leave the id out when they
    /// mean any, and send a list instead of the type when they ask for several. A request that names no type at all
    /// asks for no tuner: nobody sends it, and what is not understood is not answered.
    ///
    /// # Errors
    /// [`RequestError`]: the datagram is not answered.
    pub fn parse(datagram: &[u8]) -> Result<Self, RequestError> {
        let frame = Frame::parse(datagram).map_err(RequestError::Frame)?;
        if frame.kind != DISCOVER_REQUEST {
            return Err(RequestError::OtherKind(frame.kind));
        }
        let mut request = Self { wants_tuner: false, device_id: None };
        for Tlv { tag, value } in frame.tlvs() {
            match tag {
                TAG_DEVICE_TYPE => request.wants_tuner |= is_tuner(number(value)?),
                TAG_MULTI_TYPE => {
                    for device_type in value.chunks(4) {
                        request.wants_tuner |= is_tuner(number(device_type)?);
                    }
                }
                TAG_DEVICE_ID => request.device_id = Some(number(value)?).filter(|id| *id != WILDCARD),
                _ => {}
            }
        }
        Ok(request)
    }

    /// Writes the question for the tuner with this id, or for all, as clients up to 20220303 do: every device
    /// understands it. Whoever else answers to our own id is a second box with it.
    pub fn write(device_id: Option<DeviceId>, out: &mut [u8; REQUEST_BYTES]) -> &[u8] {
        let device_id = device_id.map_or(WILDCARD, DeviceId::get);
        FrameWriter::new(out, DISCOVER_REQUEST)
            .tlv(TAG_DEVICE_TYPE, &TYPE_TUNER.to_be_bytes())
            .tlv(TAG_DEVICE_ID, &device_id.to_be_bytes())
            .finish()
            .unwrap_or_default()
    }

    /// Whether this device is to answer.
    pub fn matches(&self, device_id: DeviceId) -> bool {
        self.wants_tuner && self.device_id.is_none_or(|wanted| wanted == device_id.get())
    }
}

fn number(value: &[u8]) -> Result<u32, RequestError> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| RequestError::Malformed)
}

const fn is_tuner(device_type: u32) -> bool {
    matches!(device_type, TYPE_TUNER | WILDCARD)
}

/// Another device that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour<'a> {
    /// Its id, right or wrong.
    pub device_id: u32,
    /// Where it says that it is; empty when it does not.
    pub base_url: &'a str,
}

impl<'a> Neighbour<'a> {
    /// Reads a reply. None for whatever else, and for one without an id.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let frame = Frame::parse(datagram).ok().filter(|frame| frame.kind == DISCOVER_REPLY)?;
        let value = |wanted: u8| frame.tlvs().find(|tlv| tlv.tag == wanted).map(|tlv| tlv.value);
        let device_id = number(value(TAG_DEVICE_ID)?).ok()?;
        let base_url = value(TAG_BASE_URL).and_then(|url| core::str::from_utf8(url).ok()).unwrap_or_default();
        Some(Self { device_id, base_url })
    }
}

/// What this device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoverReply<'a> {
    /// Who we are.
    pub device_id: DeviceId,
    /// How many can be watched at once; clients make as many tuners of it.
    pub tuner_count: u8,
    /// Where we are, as the one who asked can reach it, without path and slash: `http://192.0.2.10:80`.
    pub base_url: &'a str,
    /// Where the lineup is.
    pub lineup_url: &'a str,
    /// The `DeviceAuth`.
    pub auth: &'a str,
}

impl DiscoverReply<'_> {
    /// Writes the reply, in the order of real devices (an HDHR5-4DT with firmware 20220203).
    ///
    /// None when a text is longer than clients have room for: [`BASE_URL_BYTES_MAX`] or, for an IPv6 literal,
    /// [`BASE_URL_V6_BYTES_MAX`]; [`LINEUP_URL_BYTES_MAX`]; [`AUTH_BYTES`]. They would not shorten it but drop it, each
    /// in its own way, and a device that is found at the wrong address is worse than one that is not found.
    pub fn write<'o>(&self, out: &'o mut [u8; REPLY_BYTES_MAX]) -> Option<&'o [u8]> {
        let is_v6 = self.base_url.starts_with("http://[");
        let fits = self.base_url.len() <= if is_v6 { BASE_URL_V6_BYTES_MAX } else { BASE_URL_BYTES_MAX }
            && self.lineup_url.len() <= LINEUP_URL_BYTES_MAX
            && self.auth.len() <= AUTH_BYTES;
        if !fits {
            return None;
        }
        FrameWriter::new(out, DISCOVER_REPLY)
            .tlv(TAG_DEVICE_TYPE, &TYPE_TUNER.to_be_bytes())
            .tlv(TAG_DEVICE_ID, &self.device_id.get().to_be_bytes())
            .tlv(TAG_DEVICE_AUTH_STR, self.auth.as_bytes())
            .tlv(TAG_BASE_URL, self.base_url.as_bytes())
            .tlv(TAG_TUNER_COUNT, &[self.tuner_count])
            .tlv(TAG_LINEUP_URL, self.lineup_url.as_bytes())
            .finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const OURS: u32 = 0x10AA_5474;

    /// Tags with their values.
    type Values<'a> = &'a [(u8, &'a [u8])];

    /// Bytes of a hex text with blanks.
    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|digit| digit.to_digit(16)).map(|d| d.try_into().unwrap()).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn ours() -> DeviceId {
        DeviceId::new(OURS).unwrap()
    }

    /// A frame of these values.
    fn frame(kind: u16, tlvs: Values<'_>) -> Vec<u8> {
        let mut out = [0; 256];
        let writer = FrameWriter::new(&mut out, kind);
        tlvs.iter().fold(writer, |writer, (tag, value)| writer.tlv(*tag, value)).finish().unwrap().to_vec()
    }

    fn reply() -> DiscoverReply<'static> {
        DiscoverReply {
            device_id: ours(),
            tuner_count: 4,
            base_url: "http://192.0.2.10:80",
            lineup_url: "http://192.0.2.10:80/lineup.json",
            auth: "ABCDEFGHIJKLMNOPQRSTUVWX",
        }
    }

    const FULL_REPLY: &str = "00030061 010400000001 020410aa5474
        2b18 4142434445464748494a4b4c4d4e4f505152535455565758
        2a14 687474703a2f2f3139322e302e322e31303a3830 100104
        2720 687474703a2f2f3139322e302e322e31303a38302f6c696e6575702e6a736f6e 9b94f30d";

    #[test]
    fn the_check_sum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn requests_of_all_clients_are_read() {
        for (request, wants_tuner, device_id) in [
            // Clients up to 20220303, and Jellyfin.
            ("0002000c 0104ffffffff 0204ffffffff 73cc7d8f", true, None),
            ("0002000c0104000000010204ffffffff4e507f35", true, None),
            ("0002000c0104000000050204ffffffff5d7430c1", false, None),
            // Newer ones.
            ("00020006 010400000001 393077e7", true, None),
            ("000200060104ffffffff4c20cb4e", true, None),
            ("0002000a 2d08 00000001 00000005 4f63391f", true, None),
            // Look-ups of one device.
            ("0002000c010400000001020410aa5474f1d28de6", true, Some(OURS)),
            ("0002000c0104ffffffff020410aa5474cc4e8f5c", true, Some(OURS)),
        ] {
            let request = DiscoverRequest::parse(&hex(request)).unwrap();
            assert_eq!(request, DiscoverRequest { wants_tuner, device_id });
            assert_eq!(request.matches(ours()), wants_tuner);
            assert_eq!(request.matches(DeviceId::new(0x1251_129F).unwrap()), wants_tuner && device_id.is_none());
        }
    }

    #[test]
    fn our_own_question_is_the_one_of_old_clients() {
        let mut out = [0; REQUEST_BYTES];
        assert_eq!(DiscoverRequest::write(None, &mut out), hex("0002000c0104000000010204ffffffff4e507f35"));
        assert_eq!(DiscoverRequest::write(Some(ours()), &mut out), hex("0002000c010400000001020410aa5474f1d28de6"));
    }

    #[test]
    fn neighbours_are_read_however_they_answer() {
        let full = hex(FULL_REPLY);
        let neighbour = Neighbour { device_id: OURS, base_url: "http://192.0.2.10:80" };
        assert_eq!(Neighbour::parse(&full), Some(neighbour));
        let minimal = hex("0003000c 010400000001 020410aa5474 1909765f");
        assert_eq!(Neighbour::parse(&minimal), Some(Neighbour { base_url: "", ..neighbour }));
        let odd = frame(DISCOVER_REPLY, &[(0x2A, &[0xFF]), (0x02, &[0x12, 0x34, 0x56, 0x78])]);
        assert_eq!(Neighbour::parse(&odd), Some(Neighbour { device_id: 0x1234_5678, base_url: "" }));
        for nothing in [frame(DISCOVER_REPLY, &[(0x01, &[0, 0, 0, 1])]), frame(DISCOVER_REQUEST, &[(0x02, &[1; 4])])] {
            assert_eq!(Neighbour::parse(&nothing), None);
        }
    }

    #[test]
    fn order_and_unknown_tags_do_not_matter() {
        let id = OURS.to_be_bytes();
        let cases: [(Values<'_>, bool); 12] = [
            (&[(0x02, &id), (0x01, &[0, 0, 0, 1])], true),
            (&[(0x7E, &[1; 200]), (0x2D, &[0, 0, 0, 5, 0, 0, 0, 1]), (0x00, &[])], true),
            (&[(0x2D, &[0xFF; 4])], true),
            (&[(0x01, &[0, 0, 0, 5]), (0x2D, &[0, 0, 0, 1])], true),
            (&[(0x01, &[0, 0, 0, 5]), (0x2D, &[0, 0, 0, 5, 0, 0, 0, 6])], false),
            (&[(0x2D, &[])], false),
            // Neither type nor list.
            (&[], false),
            (&[(0x02, &id)], false),
            (&[(0x02, &[0xFF; 4])], false),
            // Somebody else, nobody, and a number that is no id.
            (&[(0x01, &[0, 0, 0, 1]), (0x02, &[0x12, 0x51, 0x12, 0x9F])], false),
            (&[(0x01, &[0, 0, 0, 1]), (0x02, &[0; 4])], false),
            (&[(0x01, &[0, 0, 0, 1]), (0x02, &[0x12, 0x34, 0x56, 0x78])], false),
        ];
        for (tlvs, matches) in cases {
            let request = DiscoverRequest::parse(&frame(DISCOVER_REQUEST, tlvs)).unwrap();
            assert_eq!(request.matches(ours()), matches, "{tlvs:02X?}");
        }
    }

    #[test]
    fn values_of_the_wrong_length_are_not_answered() {
        for (tag, length) in [(0x01, 0), (0x01, 3), (0x01, 5), (0x02, 0), (0x02, 8), (0x2D, 3), (0x2D, 7)] {
            let request = frame(DISCOVER_REQUEST, &[(0x01, &[0, 0, 0, 1]), (tag, &vec![0xFF; length])]);
            assert_eq!(DiscoverRequest::parse(&request), Err(RequestError::Malformed));
        }
    }

    #[test]
    fn other_frames_are_no_requests() {
        let get = hex("0004000d 030b2f7379732f6d6f64656c00 8f5b54b5");
        assert_eq!(DiscoverRequest::parse(&get), Err(RequestError::OtherKind(GETSET_REQUEST)));
        assert_eq!(DiscoverRequest::parse(&hex(FULL_REPLY)), Err(RequestError::OtherKind(DISCOVER_REPLY)));
        let short = DiscoverRequest::parse(&[]);
        assert_eq!(short, Err(RequestError::Frame(FrameError::TooShort)));
    }

    #[test]
    fn no_part_of_a_frame_is_a_frame() {
        let whole = hex(FULL_REPLY);
        for end in 0..whole.len() {
            let expected = if end < 8 { FrameError::TooShort } else { FrameError::LengthMismatch };
            assert_eq!(Frame::parse(&whole[..end]), Err(expected));
        }
        // What follows a frame does not spoil it.
        let longer = [whole.as_slice(), &[0x47; 5]].concat();
        assert_eq!(Frame::parse(&longer), Frame::parse(&whole));
    }

    #[test]
    fn no_flipped_bit_is_accepted() {
        for whole in
            [hex(FULL_REPLY), hex("00020006 010400000001 393077e7"), hex("0002000a2d0800000001000000054f63391f")]
        {
            for bit in 0..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(Frame::parse(&flipped).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn replies_are_those_of_a_real_device() {
        let mut out = [0; REPLY_BYTES_MAX];
        let written = reply().write(&mut out).unwrap();
        assert_eq!(written, hex(FULL_REPLY));
        assert_eq!(written.len(), 105);
        // The shorter and the longer worked example, which we do not send.
        let id = OURS.to_be_bytes();
        let minimal = frame(DISCOVER_REPLY, &[(0x01, &[0, 0, 0, 1]), (0x02, &id)]);
        assert_eq!(minimal, hex("0003000c 010400000001 020410aa5474 1909765f"));
        let with_storage = frame(
            DISCOVER_REPLY,
            &[
                (0x2D, &[0, 0, 0, 1, 0, 0, 0, 5]),
                (0x01, &[0, 0, 0, 1]),
                (0x02, &id),
                (0x2A, b"http://192.0.2.10:80"),
                (0x10, &[4]),
                (0x27, b"http://192.0.2.10:80/lineup.json"),
                (0x2C, b"01234567-89ab-cdef-0123-456789abcdef"),
                (0x28, b"http://192.0.2.10:80/recorded_files.json"),
            ],
        );
        assert_eq!(with_storage.len(), 169);
        assert_eq!(with_storage[165..], [0xAC, 0xF4, 0x4A, 0x5A]);
    }

    #[test]
    fn replies_that_clients_would_misread_are_not_written() {
        let mut out = [0; REPLY_BYTES_MAX];
        let long = "h".repeat(128);
        let longest = DiscoverReply { base_url: "http://255.255.255.255:65535", lineup_url: &long[..127], ..reply() };
        assert!(longest.write(&mut out).is_some());
        let longest_v6 = "http://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        let v6 = DiscoverReply { base_url: longest_v6, ..longest };
        assert_eq!(v6.write(&mut out).unwrap().len(), REPLY_BYTES_MAX);
        for refused in [
            DiscoverReply { base_url: "http://255.255.255.255:65535/", ..longest },
            DiscoverReply { base_url: "http://tunerd-in-the-attic.local", ..longest },
            DiscoverReply { base_url: &longest_v6.replace("]:", "%0]:"), ..longest },
            DiscoverReply { lineup_url: &long, ..longest },
            DiscoverReply { auth: &long[..25], ..longest },
        ] {
            assert_eq!(refused.write(&mut out), None);
        }
    }

    #[test]
    fn control_frames_are_read_and_written() {
        let examples: [(&str, u16, Values<'_>); 9] = [
            ("0004000d 030b2f7379732f6d6f64656c00 8f5b54b5", GETSET_REQUEST, &[(3, b"/sys/model\0")]),
            (
                "0005001f 030b2f7379732f6d6f64656c00 0410 6864686f6d6572756e345f6174736300 aa54a687",
                GETSET_REPLY,
                &[(3, b"/sys/model\0"), (4, b"hdhomerun4_atsc\0")],
            ),
            ("0004000f030d2f7379732f76657273696f6e00170ebc4e", GETSET_REQUEST, &[(3, b"/sys/version\0")]),
            (
                "0005001a030d2f7379732f76657273696f6e000409323032353036323300053b1257",
                GETSET_REPLY,
                &[(3, b"/sys/version\0"), (4, b"20250623\0")],
            ),
            (
                "00050021 051f 4552524f523a20756e6b6e6f776e20676574736574207661726961626c6500 a7b780f0",
                GETSET_REPLY,
                &[(5, b"ERROR: unknown getset variable\0")],
            ),
            (
                "00050022 0520 4552524f523a206d616c666f726d6564206765747365742072657175657374 00 37494141",
                GETSET_REPLY,
                &[(5, b"ERROR: malformed getset request\0")],
            ),
            (
                "00050027 0525 4552524f523a207265736f75726365206c6f636b6564206279203139322e302e322e323000 92e3a982",
                GETSET_REPLY,
                &[(5, b"ERROR: resource locked by 192.0.2.20\0")],
            ),
            (
                "00050042 030f2f74756e6572302f73746174757300 042f 63683d6e6f6e65206c6f636b3d6e6f6e652073733d3020
                 736e713d30207365713d30206270733d30207070733d3000 5c99727d",
                GETSET_REPLY,
                &[(3, b"/tuner0/status\0"), (4, b"ch=none lock=none ss=0 snq=0 seq=0 bps=0 pps=0\0")],
            ),
            (
                "00040029 03102f74756e6572302f6368616e6e656c00 040f6175746f3a35373830303030303000 150400003039 c14bd42e",
                GETSET_REQUEST,
                &[(3, b"/tuner0/channel\0"), (4, b"auto:578000000\0"), (0x15, &[0, 0, 0x30, 0x39])],
            ),
        ];
        for (text, kind, expected) in examples {
            let bytes = hex(text);
            let parsed = Frame::parse(&bytes).unwrap();
            assert_eq!(parsed.kind, kind);
            let found: Vec<(u8, &[u8])> = parsed.tlvs().map(|tlv| (tlv.tag, tlv.value)).collect();
            assert_eq!(found, expected);
            assert_eq!(frame(kind, expected), bytes);
        }
    }

    #[test]
    fn lengths_are_written_as_the_library_does() {
        for (length, encoded) in [
            (0, "00"),
            (1, "01"),
            (127, "7f"),
            (128, "8001"),
            (130, "8201"),
            (200, "c801"),
            (255, "ff01"),
            (256, "8002"),
            (360, "e802"),
            (1_024, "8008"),
            (2_020, "e40f"),
            (16_383, "ff7f"),
            (32_767, "ffff"),
        ] {
            let value = vec![7; length];
            let mut out = vec![0; length + 12];
            let written = FrameWriter::new(&mut out, GETSET_REPLY).tlv(TAG_GETSET_VALUE, &value).finish().unwrap();
            let encoded = hex(encoded);
            assert_eq!(written[5..5 + encoded.len()], encoded);
            let tlvs: Vec<Tlv<'_>> = Frame::parse(written).unwrap().tlvs().collect();
            assert_eq!(tlvs, [Tlv { tag: TAG_GETSET_VALUE, value: &value }]);
        }
        let value = vec![0; 32_768];
        let mut out = vec![0; 70_000];
        assert_eq!(FrameWriter::new(&mut out, GETSET_REPLY).tlv(4, &value).finish(), None);
        let writer = FrameWriter::new(&mut out, GETSET_REPLY).tlv(4, &value[1..]).tlv(4, &value[1..]);
        assert_eq!(writer.finish(), None, "a payload's length has sixteen bits");
    }

    #[test]
    fn a_frame_that_does_not_fit_is_not_written() {
        let whole = hex(FULL_REPLY);
        for bytes in 0..whole.len() {
            let mut out = vec![0; bytes];
            let frame = Frame::parse(&whole).unwrap();
            let writer = FrameWriter::new(&mut out, frame.kind);
            assert_eq!(frame.tlvs().fold(writer, |writer, tlv| writer.tlv(tlv.tag, tlv.value)).finish(), None);
        }
    }

    // ---- Traps: what other emulators get wrong ----

    #[test]
    fn trap_01_requests_have_no_fixed_layout() {
        // Every library since 20221020 leaves the id out, or sends a list instead of the type.
        for request in ["00020006 010400000001 393077e7", "0002000a 2d08 00000001 00000005 4f63391f"] {
            assert!(DiscoverRequest::parse(&hex(request)).unwrap().matches(ours()));
        }
    }

    #[test]
    fn trap_02_and_03_the_reply_names_its_type_alone_and_first() {
        let mut out = [0; REPLY_BYTES_MAX];
        let written = reply().write(&mut out).unwrap();
        let first = Frame::parse(written).unwrap().tlvs().next();
        assert_eq!(first, Some(Tlv { tag: TAG_DEVICE_TYPE, value: &[0, 0, 0, 1] }));
    }

    #[test]
    fn trap_05_a_reply_cannot_carry_a_bad_id() {
        // `DiscoverReply` takes a `DeviceId`, and there is none for these.
        for number in [0x1234_5678, 0x105A_1234, 0xDEAD_BEEF, 0, u32::MAX] {
            assert_eq!(DeviceId::new(number), None);
        }
    }

    #[test]
    fn trap_06_a_base_address_that_clients_cut_is_not_sent() {
        let mut out = [0; REPLY_BYTES_MAX];
        for base_url in ["http://192.168.100.100:8080/x", "http://tunerd-attic.example.org"] {
            assert_eq!(DiscoverReply { base_url, ..reply() }.write(&mut out), None);
        }
    }

    #[test]
    fn trap_08_long_values_carry_their_length_in_seven_bit_pieces() {
        let value = [b'x'; 360];
        let mut out = [0; 400];
        let written = FrameWriter::new(&mut out, GETSET_REPLY).tlv(TAG_GETSET_VALUE, &value).finish().unwrap();
        assert_eq!(written[4..7], [TAG_GETSET_VALUE, 0xE8, 0x02]);
    }

    #[test]
    fn odd_values_end_silently() {
        for payload in [
            b"\x03\x85\x00abcde".as_slice(), // a short length in two bytes
            b"\x03\x05abcde\x04",
            b"\x03\x05abcde\x04\x80",
            b"\x03\x05abcde\x04\x02a",
            b"\x03\x05abcde\x04\xFF\xFFab\x05\x00",
        ] {
            let tlvs: Vec<Tlv<'_>> = Tlvs(payload).collect();
            assert_eq!(tlvs, [Tlv { tag: 3, value: b"abcde" }]);
        }
        assert_eq!(Tlvs(b"\x04\x00").collect::<Vec<Tlv<'_>>>(), [Tlv { tag: 4, value: b"" }]);
        assert_eq!(Tlvs(b"").next(), None);
    }
}

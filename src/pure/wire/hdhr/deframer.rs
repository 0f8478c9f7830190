//! Finds frames in the bytes of a TCP connection, however they were cut or glued together on their way.
//!
//! A connection gives its bytes to [`Deframer::space`] and says with [`Deframer::filled`] how many there were; then
//! [`Deframer::next`] gives one whole frame after the other. Everything lies in one fixed array. A connection that
//! sends something else than frames is done for: behind a wrong check sum nobody knows where the next frame begins,
//! and a client that is hung up on tries again at once, while one that hears nothing waits for seconds.

use crate::wire::hdhr::{CRC_BYTES, FRAME_BYTES_MIN, Frame, FrameError, GETSET_REQUEST, HEAD_BYTES, UPGRADE_REQUEST};

/// Bytes of the longest frame that clients send, head and check sum included.
/// Source: `libhdhomerun`, `hdhomerun_pkt.h`, `HDHOMERUN_MAX_PACKET_SIZE`.
pub const REQUEST_FRAME_BYTES_MAX: usize = 1_460;
/// Bytes of one connection's array: clients glue pieces of firmware together, and a second one need not wait.
const DEFRAMER_BYTES: usize = 2 * REQUEST_FRAME_BYTES_MAX;

/// The bytes of one connection that are not yet taken.
#[derive(Debug)]
pub struct Deframer {
    bytes: [u8; DEFRAMER_BYTES],
    /// Where the next frame begins.
    start: usize,
    /// Where the bytes end.
    end: usize,
    broken: Option<Broken>,
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A frame of a type that nobody sends here.
    OtherKind(u16),
    /// A frame that says it is longer than any.
    TooLong,
    /// A wrong check sum.
    BadCrc,
}

impl Deframer {
    /// Without any bytes.
    pub const fn new() -> Self {
        Self { bytes: [0; DEFRAMER_BYTES], start: 0, end: 0, broken: None }
    }

    /// Where to put the next bytes. Never empty as long as [`Deframer::next`] is asked until it says none, and the
    /// connection is not broken.
    pub fn space(&mut self) -> &mut [u8] {
        if self.broken.is_some() {
            return &mut [];
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Says how many bytes were put there.
    pub fn filled(&mut self, bytes: usize) {
        self.end = self.end.saturating_add(bytes).min(DEFRAMER_BYTES);
    }

    /// The next whole frame. None: more bytes must come first.
    ///
    /// A frame that can never be one is known by its first four bytes, so nobody who speaks another language (a
    /// browser, say) is waited for.
    ///
    /// # Errors
    /// [`Broken`]: close the connection. It says so from then on.
    #[expect(clippy::should_implement_trait, reason = "a frame borrows from here, which an iterator's items cannot")]
    pub fn next(&mut self) -> Option<Result<Frame<'_>, Broken>> {
        if let Some(broken) = self.broken {
            return Some(Err(broken));
        }
        let (kind, frame_bytes) = match self.head()? {
            Ok(head) => head,
            Err(broken) => return Some(Err(self.give_up(broken))),
        };
        let whole = self.start..self.start + frame_bytes;
        if whole.end > self.end {
            return None;
        }
        if let Err(FrameError::BadCrc) = Frame::parse(self.bytes.get(whole.clone())?) {
            return Some(Err(self.give_up(Broken::BadCrc)));
        }
        self.start = whole.end;
        let payload = self.bytes.get(whole.start + HEAD_BYTES..whole.end - CRC_BYTES)?;
        Some(Ok(Frame { kind, payload }))
    }

    /// Whether a frame has begun and not yet ended; who stays there for long means no good.
    pub const fn is_amid(&self) -> bool {
        self.start < self.end
    }

    /// Type and length of the frame at the beginning, once they are there.
    fn head(&self) -> Option<Result<(u16, usize), Broken>> {
        let head = self.bytes.get(self.start..self.end)?.first_chunk::<HEAD_BYTES>()?;
        let [kind_high, kind_low, length_high, length_low] = *head;
        let kind = u16::from_be_bytes([kind_high, kind_low]);
        if !matches!(kind, GETSET_REQUEST | UPGRADE_REQUEST) {
            return Some(Err(Broken::OtherKind(kind)));
        }
        let frame_bytes = FRAME_BYTES_MIN + usize::from(u16::from_be_bytes([length_high, length_low]));
        Some(if frame_bytes > REQUEST_FRAME_BYTES_MAX { Err(Broken::TooLong) } else { Ok((kind, frame_bytes)) })
    }

    fn give_up(&mut self, broken: Broken) -> Broken {
        self.broken = Some(broken);
        self.start = self.end;
        broken
    }
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hdhr::{
        DISCOVER_REQUEST, FrameWriter, GETSET_REPLY, TAG_GETSET_NAME, TAG_GETSET_VALUE, UPGRADE_REQUEST,
    };
    use std::vec;
    use std::vec::Vec;

    fn get(name: &str) -> Vec<u8> {
        let mut out = [0; REQUEST_FRAME_BYTES_MAX];
        FrameWriter::new(&mut out, GETSET_REQUEST).text(TAG_GETSET_NAME, name).finish().unwrap().to_vec()
    }

    /// A piece of firmware, as the library cuts it: 1,024 bytes behind their place.
    fn piece(offset: u32) -> Vec<u8> {
        let mut bytes = vec![0, 6, 4, 4];
        bytes.extend(offset.to_be_bytes());
        bytes.extend([0xA5; 1_024]);
        bytes.extend(crate::wire::hdhr::crc32(&bytes).to_le_bytes());
        bytes
    }

    /// What comes out when these pieces go in, and how it ended.
    fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<(u16, Vec<u8>)>, Option<Broken>) {
        let mut deframer = Deframer::new();
        let mut frames = Vec::new();
        for mut piece in pieces {
            while !piece.is_empty() {
                let space = deframer.space();
                let taken = piece.len().min(space.len());
                assert!(taken > 0, "there is always space");
                space[..taken].copy_from_slice(&piece[..taken]);
                deframer.filled(taken);
                piece = &piece[taken..];
                while let Some(frame) = deframer.next() {
                    match frame {
                        Ok(frame) => frames.push((frame.kind, frame.payload.to_vec())),
                        Err(broken) => {
                            assert_eq!(deframer.next(), Some(Err(broken)));
                            assert!(deframer.space().is_empty() && !deframer.is_amid());
                            return (frames, Some(broken));
                        }
                    }
                }
            }
        }
        (frames, None)
    }

    #[test]
    fn trap_09a_frames_are_found_in_any_split() {
        // Pieces of firmware arrive glued together, and a name may arrive byte by byte.
        let frames = [get("/sys/model"), piece(0), get(""), piece(1_024), piece(2_048), get("/tuner0/status")];
        let stream = frames.concat();
        let expected: Vec<(u16, Vec<u8>)> =
            frames.iter().map(|frame| (u16::from(frame[1]), frame[4..frame.len() - 4].to_vec())).collect();
        for size in [1, 2, 3, 4, 5, 7, 8, 1_035, 1_036, 1_037, 1_459, 1_460, 2_920, 100_000] {
            assert_eq!(feed(stream.chunks(size)), (expected.clone(), None), "pieces of {size}");
        }
        for cut in 0..stream.len() {
            let (front, back) = stream.split_at(cut);
            assert_eq!(feed([front, back]).0, expected, "cut at {cut}");
        }
    }

    #[test]
    fn the_longest_frame_is_taken_and_one_byte_more_is_not() {
        let value = vec![b'x'; REQUEST_FRAME_BYTES_MAX - 8 - 3];
        let mut out = [0; REQUEST_FRAME_BYTES_MAX];
        let longest = FrameWriter::new(&mut out, GETSET_REQUEST).tlv(TAG_GETSET_VALUE, &value).finish().unwrap();
        assert_eq!(longest.len(), REQUEST_FRAME_BYTES_MAX);
        assert_eq!(feed([longest, longest, longest]).0.len(), 3);
        let mut longer = longest.to_vec();
        longer[3] += 1;
        assert_eq!(feed([&longer[..4]]), (vec![], Some(Broken::TooLong)), "known by its head");
    }

    #[test]
    fn who_speaks_another_language_is_hung_up_on() {
        for (bytes, broken) in [
            (b"GET / HTTP/1.1\r\n".as_slice(), Broken::OtherKind(0x4745)),
            (&[0x16, 0x03, 0x01, 0x02], Broken::OtherKind(0x1603)),
            (&[0, 2, 0, 0], Broken::OtherKind(DISCOVER_REQUEST)),
            (&[0, 5, 0, 0], Broken::OtherKind(GETSET_REPLY)),
            (&[0, 6, 0xFF, 0xFF], Broken::TooLong),
            (&[0, 4, 0, 0, 1, 2, 3, 4], Broken::BadCrc),
        ] {
            assert_eq!(feed([bytes]), (vec![], Some(broken)));
            assert_eq!(feed(bytes.chunks(1)), (vec![], Some(broken)));
        }
        // What was whole before is still served.
        let mut stream = get("/sys/model");
        stream.extend(b"GET /");
        assert_eq!(
            feed([stream.as_slice()]),
            (vec![(4, b"\x03\x0b/sys/model\0".to_vec())], Some(Broken::OtherKind(0x4745)))
        );
    }

    #[test]
    fn a_frame_that_has_begun_is_known() {
        let whole = get("/sys/model");
        let mut deframer = Deframer::default();
        assert!(!deframer.is_amid());
        deframer.space()[..5].copy_from_slice(&whole[..5]);
        deframer.filled(5);
        assert!(deframer.next().is_none() && deframer.is_amid());
        let rest = whole.len() - 5;
        deframer.space()[..rest].copy_from_slice(&whole[5..]);
        deframer.filled(rest);
        assert_eq!(deframer.next().unwrap().unwrap().kind, GETSET_REQUEST);
        assert!(!deframer.is_amid());
        assert_eq!(UPGRADE_REQUEST, 6);
    }

    #[test]
    fn no_bytes_break_it() {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        for _ in 0..2_000 {
            let mut stream: Vec<u8> = Vec::new();
            for _ in 0..random() % 6 {
                match random() % 4 {
                    0 => stream.extend((0..random() % 40).map(|_| random())),
                    1 => stream.extend(piece(u32::from(random()))),
                    _ => stream.extend(get("/tuner0/status")),
                }
            }
            let size = usize::from(random()) + 1;
            assert_eq!(feed(stream.chunks(size)), feed([stream.as_slice()]));
        }
    }
}

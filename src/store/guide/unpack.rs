//! Guides as they travel: plain, or packed by gzip or xz.
//!
//! Not here: what is in them. The invariant (M04): however small what comes in is, what comes out is bounded in size, in
//! its ratio to that, and in memory; a checksum that does not fit, or an end that is missing, refuses the whole.

use flate2::write::MultiGzDecoder;
use pure::limits::{GUIDE_BYTES_MAX, GUIDE_RATIO_FROM_BYTES, GUIDE_RATIO_MAX, XZ_WINDOW_BYTES_MAX};
use std::io::{self, Write};
use xz4rust::{XzDecoder, XzError, XzNextBlockResult};

/// Takes what was unpacked; the error is for people.
pub(super) trait Sink {
    /// The next bytes.
    ///
    /// # Errors
    /// They are no good, and neither is the rest.
    fn take(&mut self, bytes: &[u8]) -> Result<(), String>;
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
/// How many bytes tell what it is.
const HEAD_BYTES: usize = 6;
/// What xz gives at once.
const XZ_PIECE_BYTES: usize = 64 * 1024;

/// A sink behind a bound.
struct Bounded<S> {
    sink: S,
    bytes_in: u64,
    bytes_out: u64,
    /// Why it took no more.
    refused: Option<String>,
}

impl<S: Sink> Bounded<S> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.bytes_out += bytes.len() as u64;
        if self.bytes_out > GUIDE_BYTES_MAX {
            return Err(format!("it is larger than {} MiB", GUIDE_BYTES_MAX / 1024 / 1024));
        }
        if self.bytes_out > GUIDE_RATIO_FROM_BYTES && self.bytes_out / self.bytes_in.max(1) > GUIDE_RATIO_MAX {
            return Err(format!("it unpacks to more than {GUIDE_RATIO_MAX} times its size, which no real guide does"));
        }
        self.sink.take(bytes)
    }
}

impl<S: Sink> Write for Bounded<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(|why| {
            self.refused = Some(why);
            io::Error::other("refused")
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Xz<S> {
    decoder: Box<XzDecoder<'static>>,
    bounded: Bounded<S>,
    /// Bytes that are too few to go on with.
    rest: Vec<u8>,
    piece: Vec<u8>,
    /// A stream has ended; zeros or another one may follow.
    ended: bool,
}

enum Kind<S: Sink> {
    /// Too little has come to tell.
    Unknown(Vec<u8>, Bounded<S>),
    Plain(Bounded<S>),
    Gzip(Box<MultiGzDecoder<Bounded<S>>>),
    Xz(Box<Xz<S>>),
    /// It is no good.
    Failed,
}

/// Unpacks one guide. Push bytes as they come, then call [`Unpacker::finish`].
pub(super) struct Unpacker<S: Sink>(Kind<S>);

impl<S: Sink> Unpacker<S> {
    /// For what comes out.
    pub(super) fn new(sink: S) -> Self {
        Self(Kind::Unknown(Vec::new(), Bounded { sink, bytes_in: 0, bytes_out: 0, refused: None }))
    }

    /// Takes the next bytes, cut anywhere.
    ///
    /// # Errors
    /// For people: why it is no good. The rest need not be fetched.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        match &mut self.0 {
            Kind::Unknown(head, _) => {
                head.extend_from_slice(bytes);
                if head.len() < HEAD_BYTES { Ok(()) } else { self.decide() }
            }
            Kind::Plain(bounded) => {
                bounded.bytes_in += bytes.len() as u64;
                bounded.take(bytes)
            }
            Kind::Gzip(decoder) => {
                decoder.get_mut().bytes_in += bytes.len() as u64;
                let written = decoder.write_all(bytes);
                written.map_err(|error| explain_gzip(decoder.get_mut(), &error))
            }
            Kind::Xz(xz) => xz.push(bytes),
            Kind::Failed => Err("it is no good".to_owned()),
        }
    }

    /// Says that no more bytes come, and gives the sink back.
    ///
    /// # Errors
    /// For people: why it is no good.
    pub(super) fn finish(mut self) -> Result<S, String> {
        if matches!(self.0, Kind::Unknown(..)) {
            self.decide()?;
        }
        match self.0 {
            Kind::Plain(bounded) => Ok(bounded.sink),
            Kind::Gzip(mut decoder) => {
                let ended = decoder.try_finish();
                ended.map_err(|error| explain_gzip(decoder.get_mut(), &error))?;
                decoder.finish().map(|bounded| bounded.sink).map_err(|error| error.to_string())
            }
            Kind::Xz(xz) if xz.ended => Ok(xz.bounded.sink),
            Kind::Xz(_) => Err("it ends in the middle".to_owned()),
            Kind::Unknown(..) | Kind::Failed => Err("it is no good".to_owned()),
        }
    }

    fn decide(&mut self) -> Result<(), String> {
        let Kind::Unknown(head, bounded) = std::mem::replace(&mut self.0, Kind::Failed) else { return Ok(()) };
        self.0 = if head.starts_with(GZIP) {
            Kind::Gzip(Box::new(MultiGzDecoder::new(bounded)))
        } else if head.starts_with(XZ) {
            Kind::Xz(Box::new(Xz {
                decoder: XzDecoder::in_heap_with_alloc_dict_size(0, XZ_WINDOW_BYTES_MAX),
                bounded,
                rest: Vec::new(),
                piece: vec![0; XZ_PIECE_BYTES],
                ended: false,
            }))
        } else if head.starts_with(b"PK") {
            return Err(
                "it is a ZIP archive; take an address of the plain guide, or of one packed by gzip or xz".to_owned()
            );
        } else {
            Kind::Plain(bounded)
        };
        self.push(&head)
    }
}

fn explain_gzip<S: Sink>(bounded: &mut Bounded<S>, error: &io::Error) -> String {
    let refused = bounded.refused.take();
    refused.unwrap_or_else(|| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends in the middle".to_owned(),
        _ => format!("it is damaged: gzip says {error}"),
    })
}

impl<S: Sink> Xz<S> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.bounded.bytes_in += bytes.len() as u64;
        let mut waiting = std::mem::take(&mut self.rest);
        let mut input = if waiting.is_empty() {
            bytes
        } else {
            waiting.extend_from_slice(bytes);
            &waiting
        };
        loop {
            if self.ended {
                // Padding between two streams.
                input = input.get(input.iter().take_while(|byte| **byte == 0).count()..).unwrap_or_default();
                if input.is_empty() {
                    return Ok(());
                }
                self.decoder.reset();
                self.ended = false;
            }
            let (consumed, produced) = match self.decoder.decode(input, &mut self.piece) {
                Ok(XzNextBlockResult::NeedMoreData(consumed, produced)) => (consumed, produced),
                Ok(XzNextBlockResult::EndOfStream(consumed, produced)) => {
                    self.ended = true;
                    (consumed, produced)
                }
                Err(XzError::NeedsLargerInputBuffer) => {
                    self.rest = input.to_vec();
                    return Ok(());
                }
                Err(XzError::DictionaryTooLarge(bytes)) => {
                    return Err(format!(
                        "it is packed by xz with a window of {} MiB; this box takes up to {}, which is what `xz -8` uses",
                        bytes / 1024 / 1024,
                        XZ_WINDOW_BYTES_MAX / 1024 / 1024
                    ));
                }
                Err(error) => return Err(format!("it is damaged: xz says {error}")),
            };
            let produced_bytes = self.piece.get(..produced).unwrap_or_default();
            if produced > 0 {
                self.bounded.take(produced_bytes)?;
            }
            input = input.get(consumed..).unwrap_or_default();
            if input.is_empty() && produced < self.piece.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    #[derive(Default)]
    struct Kept(Vec<u8>);

    impl Sink for Kept {
        fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }

    fn unpack(packed: &[u8], piece_bytes: usize) -> Result<Vec<u8>, String> {
        let mut unpacker = Unpacker::new(Kept::default());
        for piece in packed.chunks(piece_bytes) {
            unpacker.push(piece)?;
        }
        unpacker.finish().map(|kept| kept.0)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// `<tv></tv>` as `xz` packs it.
    const XZ_TV: &[u8] = &[
        253, 55, 122, 88, 90, 0, 0, 4, 230, 214, 180, 70, 2, 0, 33, 1, 22, 0, 0, 0, 116, 47, 229, 163, 1, 0, 8, 60,
        116, 118, 62, 60, 47, 116, 118, 62, 0, 0, 0, 0, 122, 199, 59, 6, 135, 113, 232, 75, 0, 1, 33, 9, 108, 24, 197,
        213, 31, 182, 243, 125, 1, 0, 0, 0, 0, 4, 89, 90,
    ];

    #[test]
    fn plain_and_packed_guides_come_out_as_they_went_in() {
        let text = b"<tv>some text</tv>\n".repeat(5_000);
        let two = [gzip(&text), gzip(b"more")].concat();
        let both = [&text[..], b"more"].concat();
        let xz_twice = [XZ_TV, &[0; 4], XZ_TV].concat();
        for piece_bytes in [1, 3, 1_000, 1_000_000] {
            assert_eq!(unpack(&text, piece_bytes).unwrap(), text);
            assert_eq!(unpack(&two, piece_bytes).unwrap(), both, "concatenated members");
            assert_eq!(unpack(XZ_TV, piece_bytes).unwrap(), b"<tv></tv>");
            assert_eq!(unpack(&xz_twice, piece_bytes).unwrap(), b"<tv></tv><tv></tv>");
        }
        assert_eq!(unpack(b"<tv>", 1).unwrap(), b"<tv>");
        assert_eq!(unpack(b"", 1).unwrap(), b"");
    }

    #[test]
    fn what_is_damaged_or_cut_off_is_refused_whole() {
        let good = gzip(&b"<tv>some text</tv>".repeat(100));
        let mut bad_crc = good.clone();
        let crc_at = bad_crc.len() - 8;
        bad_crc[crc_at] ^= 1;
        let mut bad_xz = XZ_TV.to_vec();
        bad_xz[30] ^= 1;
        let tail = [&good[..], b"garbage, and some more of it"].concat();
        for (packed, why) in [
            (&bad_crc[..], "damaged"),
            (&good[..good.len() - 1], "damaged"),
            (&good[..good.len() / 2], "middle"),
            (&tail, "damaged"),
            (&bad_xz, "damaged"),
            (&XZ_TV[..XZ_TV.len() - 4], "middle"),
            (b"PK\x03\x04abcdef", "ZIP"),
        ] {
            for piece_bytes in [1, 1_000] {
                let error = unpack(packed, piece_bytes).unwrap_err();
                assert!(error.contains(why), "{error}");
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let zeros = vec![0; 16 * 1024 * 1024];
        let bomb = gzip(&zeros);
        let error = unpack(&bomb, 1_024).unwrap_err();
        assert!(error.contains("200 times"), "{error}");
        // Of many members, each of which is harmless.
        let error = unpack(&gzip(&zeros[..1_000_000]).repeat(4), 1_024).unwrap_err();
        assert!(error.contains("200 times"), "{error}");
    }
}

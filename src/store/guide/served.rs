//! A guide as it goes out: from files, with addresses in it that the one who asks can use.
//!
//! Logos are at our own address, and that is another one for each network. They stand among the channels, which come
//! first in a document and are a small part of it: only this head is written anew, and packed anew, for each answer. The
//! programmes behind it lie packed already, as a stream that needs nothing before it.
//!
//! The files are held open, so that whoever asks gets one document whole, whatever takes its place meanwhile.

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use pure::limits::{NAME_BYTES_MAX, URL_BYTES_MAX};
use pure::wire::xml::OWN_BASE;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// What of the head is written before others get their turn.
const PIECE_BYTES: usize = 32 * 1024;
const _: () =
    assert!(8 * URL_BYTES_MAX < PIECE_BYTES && 8 * NAME_BYTES_MAX < PIECE_BYTES, "lines fit, escaped as well");
/// Source: RFC 1952, section 2.3: deflate, no flags, no time, no system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A document that was made.
#[derive(Clone, Debug)]
pub struct Document {
    /// All of it.
    pub(super) plain: Arc<File>,
    pub(super) plain_bytes: u64,
    /// How much of it is the head.
    pub(super) head_bytes: u64,
    /// What follows the head, packed.
    pub(super) packed: Arc<File>,
    pub(super) packed_bytes: u64,
    /// Its check sum before it was packed.
    pub(super) tail: Arc<Crc>,
}

/// A document for one who asks: what comes first, a part of a file, and what comes last.
pub struct Parts {
    /// What comes first.
    pub head: Vec<u8>,
    /// Where most of it is.
    pub file: Arc<File>,
    /// From here on.
    pub from: u64,
    /// So many.
    pub bytes: u64,
    /// What comes last.
    pub end: Vec<u8>,
}

impl Document {
    /// The document for whom we are at `base`, packed by gzip or plain.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn parts(&self, base: &str, is_packed: bool) -> io::Result<Parts> {
        if !is_packed {
            let mut head = Vec::new();
            self.head(base, |text| head.write_all(text)).await?;
            let (from, bytes) = (self.head_bytes, self.plain_bytes - self.head_bytes);
            return Ok(Parts { head, file: Arc::clone(&self.plain), from, bytes, end: Vec::new() });
        }
        let (mut packer, mut crc) = (DeflateEncoder::new(GZIP_HEAD.to_vec(), Compression::fast()), Crc::new());
        let pack = |text: &[u8]| {
            crc.update(text);
            packer.write_all(text)
        };
        self.head(base, pack).await?;
        // All of it is out then, at the end of a byte, and the stream is not over.
        packer.flush()?;
        let head = std::mem::take(packer.get_mut());
        crc.combine(&self.tail);
        let end = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
        Ok(Parts { head, file: Arc::clone(&self.packed), from: 0, bytes: self.packed_bytes, end })
    }

    /// Gives the head in pieces.
    async fn head(&self, base: &str, mut on: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut at = 0;
        while at < self.head_bytes {
            let len = usize::try_from(self.head_bytes - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let mut piece = vec![0; len];
            self.plain.read_exact_at(&mut piece, at)?;
            // Whole lines only, so that neither a character nor an address is cut in two. None is longer than a piece.
            piece.truncate(piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
            if piece.is_empty() {
                return Err(io::Error::other("a line of the guide has no end"));
            }
            at += piece.len() as u64;
            let text = String::from_utf8(piece).map_err(io::Error::other)?;
            on(text.replace(OWN_BASE, base).as_bytes())?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

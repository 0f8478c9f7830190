//! What an update channel says: which version there is, for which boards, and for how many of the boxes.
//!
//! It is a short JSON document and a second one beside it, with `.sig` behind its name, that holds who signed it:
//!
//! ```text
//! tunerd-signature 1
//! key {"format":1,"serial":3,"expires":"2027-11-22T00:00:00Z","key":"<64 hex digits>"}
//! root <128 hex digits>
//! release <128 hex digits>
//! ```
//!
//! `root` is the Ed25519 signature of the root key, which is kept offline, over what stands behind `key `; `release` is
//! that of the key named there over the document. Both are over a word of their own and what follows, so that neither can
//! stand in for the other. Not here: the signatures and the JSON, which are the daemon's update room's; it checks the ones
//! before it reads the other. What follows is `crate::rules::updating::rollout`'s.

use crate::rules::updating::Version;
use crate::time::Wall;
use alloc::string::String;
use alloc::vec::Vec;

/// In front of the record of a key, where the root key signs it.
pub const KEY_WORD: &[u8] = b"tunerd release key\n";
/// In front of the document, where the release key signs it.
pub const DOCUMENT_WORD: &[u8] = b"tunerd update channel\n";
/// What an address of a channel gets for that of its signatures.
pub const SIGNATURE_SUFFIX: &str = ".sig";

/// Bytes of an Ed25519 key. Source: RFC 8032.
pub const KEY_BYTES: usize = 32;
/// And of a signature.
pub const SIGNATURE_BYTES: usize = 64;
/// And of a SHA-256.
pub const HASH_BYTES: usize = 32;

/// Who signed, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The record of the release key, as the root key signed it.
    pub record: &'a str,
    /// By the root key.
    pub root: [u8; SIGNATURE_BYTES],
    /// By the release key.
    pub release: [u8; SIGNATURE_BYTES],
}

impl<'a> Envelope<'a> {
    /// None when it is not one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let mut line = |word: &str| lines.next()?.strip_prefix(word);
        line("tunerd-signature 1").filter(|rest| rest.is_empty())?;
        let record = line("key ")?;
        let (root, release) = (hex(line("root ")?)?, hex(line("release ")?)?);
        lines.next().is_none().then_some(Self { record, root, release })
    }
}

/// A release key, as the root key names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// A new key has a higher one, and an older key counts no more once that was seen.
    pub serial: u64,
    /// When it stops to count.
    pub expires: Wall,
    /// The public key.
    pub key: [u8; KEY_BYTES],
}

/// Where the bundle for a board is, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// RAUC's word for the boards that it is for.
    pub compatible: String,
    /// Its address; a relative one begins at the document's.
    pub url: String,
    /// Of all its bytes.
    pub sha256: [u8; HASH_BYTES],
    /// How many there are.
    pub bytes: u64,
}

/// What a channel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFile {
    /// Higher in each one that is signed by the same key.
    pub serial: u64,
    /// When it stops to count: who keeps a new one from us cannot do so for ever.
    pub expires: Wall,
    /// The version that there is.
    pub version: Version,
    /// What is older is not to be installed any more, whoever signed it.
    pub minimum_version: Option<Version>,
    /// How many of a hundred boxes may have it.
    pub percentage: u8,
    /// Nobody gets it for now.
    pub hold: bool,
    /// Versions that turned out to be bad.
    pub abort: Vec<Version>,
    /// For each board.
    pub bundles: Vec<Bundle>,
}

/// Reads digits in small letters, exactly as many as it takes.
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let mut digits = text.bytes();
    for byte in &mut bytes {
        *byte = digit(digits.next()?)? << 4 | digit(digits.next()?)?;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString as _;

    #[test]
    fn an_envelope_has_four_lines() {
        let record =
            format!(r#"{{"format":1,"serial":2,"expires":"2027-01-01T00:00:00Z","key":"{}"}}"#, "01".repeat(32));
        let (root, release) = ("ab".repeat(64), "cd".repeat(64));
        let text = format!("tunerd-signature 1\nkey {record}\nroot {root}\nrelease {release}\n");
        let envelope = Envelope::parse(&text).unwrap();
        assert_eq!((envelope.root, envelope.release), ([0xab; 64], [0xcd; 64]));
        assert_eq!(envelope.record, record);
        for wrong in [
            text.replace("signature 1", "signature 2"),
            text.replace("ab", "AB"),
            text.replace("release", "relief"),
            format!("{text}more\n"),
            text[..text.len() - 2].to_string(),
        ] {
            assert_eq!(Envelope::parse(&wrong), None, "{wrong}");
        }
    }
}

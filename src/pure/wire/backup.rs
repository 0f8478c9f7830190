//! The frame of a backup: what stands in front of what is sealed. Not here: sealing and opening, and what is inside; both
//! are the daemon's `store`.
//!
//! All numbers are big-endian: magic, version, the costs of Argon2id (KiB, passes, lanes), salt, nonce, length of the
//! sealed bytes; then these, which end with their tag. The head is authenticated with them, so a flipped bit of it is
//! noticed as well. What is read here comes from anybody: costs beyond ours by far would be an attack on the board.

use crate::limits::{BACKUP_BYTES_MAX, BACKUP_KIB_MAX, BACKUP_LANES_MAX, BACKUP_PASSES_MAX};
use alloc::vec::Vec;
use core::fmt;

const MAGIC: &[u8; 8] = b"tunerdBK";
const VERSION: u16 = 1;
/// Bytes of the random salt.
pub const SALT_BYTES: usize = 16;
/// Bytes of the random nonce. Source: RFC 8439, section 2.8.
pub const NONCE_BYTES: usize = 12;
/// Bytes of the tag at the end. Source: the same.
pub const TAG_BYTES: usize = 16;
/// Bytes in front of what is sealed.
pub const HEAD_BYTES: usize = MAGIC.len() + 2 + 3 * 4 + SALT_BYTES + NONCE_BYTES + 4;

/// What Argon2id takes to make the key of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Memory.
    pub kib: u32,
    /// How often it is gone through.
    pub passes: u32,
    /// Lanes that could run side by side.
    pub lanes: u32,
}

impl Costs {
    const fn are_fine(self) -> bool {
        self.lanes >= 1
            && self.lanes <= BACKUP_LANES_MAX
            && self.passes >= 1
            && self.passes <= BACKUP_PASSES_MAX
            && self.kib >= 8 * self.lanes
            && self.kib <= BACKUP_KIB_MAX
    }
}

/// A backup, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// How the key is made.
    pub costs: Costs,
    /// With this.
    pub salt: &'a [u8; SALT_BYTES],
    /// For the sealing.
    pub nonce: &'a [u8; NONCE_BYTES],
    /// What is authenticated as it stands.
    pub head: &'a [u8],
    /// What is sealed, and its tag.
    pub sealed: &'a [u8],
}

/// Why bytes are no backup that can be opened. The text is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is something else.
    Foreign,
    /// Another release wrote it.
    Version(u16),
    /// Its end is missing.
    Truncated,
    /// More follows.
    Longer,
    /// No release of ours made a key like that.
    Costs,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("this file is no backup of a tunerd box"),
            Self::Version(version) => {
                write!(f, "this backup has version {version}, and this release reads version {VERSION}; update the box")
            }
            Self::Truncated => f.write_str("the end of this backup is missing; copy the file again"),
            Self::Longer => f.write_str("something follows behind the end of this backup; copy the file again"),
            Self::Costs => f.write_str("this backup wants more memory or time for its password than any box asks for"),
        }
    }
}

/// The head for `sealed_len` bytes, the tag among them.
pub fn head(costs: Costs, salt: &[u8; SALT_BYTES], nonce: &[u8; NONCE_BYTES], sealed_len: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_be_bytes());
    for cost in [costs.kib, costs.passes, costs.lanes] {
        head.extend_from_slice(&cost.to_be_bytes());
    }
    head.extend_from_slice(salt);
    head.extend_from_slice(nonce);
    head.extend_from_slice(&sealed_len.to_be_bytes());
    head
}

/// Takes a backup apart.
///
/// # Errors
/// [`Wrong`].
pub fn parse(bytes: &[u8]) -> Result<Frame<'_>, Wrong> {
    if !bytes.starts_with(MAGIC) {
        let is_begun = !bytes.is_empty() && MAGIC.starts_with(bytes);
        return Err(if is_begun { Wrong::Truncated } else { Wrong::Foreign });
    }
    let (version, rest) = bytes.get(MAGIC.len()..).and_then(<[u8]>::split_first_chunk).ok_or(Wrong::Truncated)?;
    match u16::from_be_bytes(*version) {
        VERSION => {}
        other => return Err(Wrong::Version(other)),
    }
    let (kib, rest) = number(rest)?;
    let (passes, rest) = number(rest)?;
    let (lanes, rest) = number(rest)?;
    let (salt, rest) = rest.split_first_chunk().ok_or(Wrong::Truncated)?;
    let (nonce, rest) = rest.split_first_chunk().ok_or(Wrong::Truncated)?;
    let (len, sealed) = number(rest)?;
    let costs = Costs { kib, passes, lanes };
    if !costs.are_fine() {
        return Err(Wrong::Costs);
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if !(TAG_BYTES..=BACKUP_BYTES_MAX).contains(&len) {
        return Err(Wrong::Foreign);
    }
    if sealed.len() < len {
        return Err(Wrong::Truncated);
    }
    if sealed.len() > len {
        return Err(Wrong::Longer);
    }
    let head = bytes.get(..HEAD_BYTES).ok_or(Wrong::Truncated)?;
    Ok(Frame { costs, salt, nonce, head, sealed })
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), Wrong> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Wrong::Truncated)?;
    Ok((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { kib: 19_456, passes: 2, lanes: 1 };

    fn whole() -> Vec<u8> {
        let mut bytes = head(COSTS, &[1; SALT_BYTES], &[2; NONCE_BYTES], 20);
        bytes.extend_from_slice(&[3; 20]);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = whole();
        let frame = parse(&bytes).unwrap();
        assert_eq!((frame.costs, frame.salt, frame.nonce), (COSTS, &[1; SALT_BYTES], &[2; NONCE_BYTES]));
        assert_eq!((frame.head.len(), frame.sealed), (HEAD_BYTES, &[3; 20][..]));
    }

    #[test]
    fn a_part_is_told_from_something_else() {
        let bytes = whole();
        for len in 1..bytes.len() {
            assert_eq!(parse(&bytes[..len]), Err(Wrong::Truncated), "{len}");
        }
        assert_eq!(parse(&[]), Err(Wrong::Foreign));
        assert_eq!(parse(&[&bytes[..], b"x"].concat()), Err(Wrong::Longer));
        assert_eq!(parse(b"PK\x03\x04 and so on"), Err(Wrong::Foreign));
        let mut other = whole();
        other[9] = 2;
        assert_eq!(parse(&other), Err(Wrong::Version(2)));
    }

    #[test]
    fn costs_that_no_box_asks_for_are_refused() {
        let dear =
            [(BACKUP_KIB_MAX + 1, 2, 1), (u32::MAX, 2, 1), (19_456, u32::MAX, 1), (19_456, 0, 1), (19_456, 2, 0)];
        for (kib, passes, lanes) in dear.into_iter().chain([(7, 1, 1), (19_456, 2, u32::MAX)]) {
            let mut bytes = head(Costs { kib, passes, lanes }, &[0; SALT_BYTES], &[0; NONCE_BYTES], 16);
            bytes.extend_from_slice(&[0; 16]);
            assert_eq!(parse(&bytes), Err(Wrong::Costs), "{kib} {passes} {lanes}");
        }
    }
}

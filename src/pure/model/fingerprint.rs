//! A number that stands for a text, the same on every machine and in every release.

/// FNV-1a, of parts that are kept apart. Not for secrets: who wants two texts to share one can make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of nothing yet.
    pub const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Of one more part.
    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        for byte in part.as_ref().iter().chain(&[0x1f]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    /// As the store keeps it.
    pub const fn signed(self) -> i64 {
        i64::from_ne_bytes(self.0.to_ne_bytes())
    }

    /// As it stands in an address, in hexadecimal.
    pub const fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_changes_and_parts_are_kept_apart() {
        // Stored by every release before: another number would make every entry a new one.
        assert_eq!(Fingerprint::EMPTY.with("ard.de").with("Das Erste").signed(), 538_515_977_939_707_572);
        assert_ne!(Fingerprint::EMPTY.with("ab").with("c"), Fingerprint::EMPTY.with("a").with("bc"));
    }
}

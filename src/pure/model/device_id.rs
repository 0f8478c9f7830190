//! The device id: eight hex digits by which every client knows this box for life.
//!
//! Here: its check sum, and what is derived from it, so that a box that keeps its id keeps everything. Not here: where
//! chance comes from, and where the id is stored; both are the daemon's.
//!
//! A [`DeviceId`] always has a correct check sum and is never reserved: clients refuse to talk to others, and
//! tvheadend goes on with a device that its library did not make.

use core::fmt::{self, Write as _};
use core::str::FromStr;
use heapless::String;

/// Characters of a `DeviceAuth`, as on real devices; older clients have room for no more.
pub const AUTH_BYTES: usize = 24;
/// Characters of a UUID.
pub const UDN_BYTES: usize = 36;

/// The top twelve bits of ids that we make: a family of four-tuner boxes that no client takes for a legacy one.
const PREFIX: u32 = 0x107;

/// Names this device to its clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(u32);

/// Why a text is no device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceIdError {
    /// It is not eight hex digits.
    Form,
    /// Its check sum is wrong.
    CheckSum {
        /// The id with its last digit corrected.
        corrected: DeviceId,
    },
    /// It means "no device" or "any device", give or take its last digit.
    Reserved,
}

impl DeviceId {
    /// The id with this number; none when its check sum is wrong or when it is reserved.
    pub const fn new(number: u32) -> Option<Self> {
        if residue(number) == 0 && !is_reserved(number) { Some(Self(number)) } else { None }
    }

    /// An id made of chance: the low sixteen bits of `random` between a fixed prefix and the check digit.
    pub const fn from_random(random: u32) -> Self {
        let unchecked = PREFIX << 20 | (random & 0xFFFF) << 4;
        Self(unchecked ^ residue(unchecked))
    }

    /// The number, as it travels on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The UUID of this device, for its description.
    ///
    /// Version 8, variant 10: the bits are ours to choose, and different ids give different UUIDs.
    /// Source: RFC 9562, section 5.8. It begins with `tunerd` in ASCII and ends with the id.
    pub fn udn(self) -> String<UDN_BYTES> {
        let mut udn = String::new();
        write!(udn, "74756e65-7264-8000-8000-0000{:08x}", self.0).expect("36 characters fit in 36");
        udn
    }

    /// The `DeviceAuth` of this device: constant, because it opens nothing; long and never empty, because clients
    /// are said to insist on that.
    pub fn auth(self) -> String<AUTH_BYTES> {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut state = u64::from(self.0);
        let mut auth = String::new();
        for _ in 0..AUTH_BYTES {
            let choice = usize::try_from(split_mix(&mut state) % 62).unwrap_or_default();
            let character = ALPHABET.get(choice).copied().unwrap_or(b'A');
            auth.push(char::from(character)).expect("24 characters fit in 24");
        }
        auth
    }
}

/// As everybody writes it, such as `10AA5474`.
impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    /// Reads eight hex digits, upper or lower case.
    fn from_str(text: &str) -> Result<Self, DeviceIdError> {
        // `from_str_radix` alone would take a sign.
        if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(DeviceIdError::Form);
        }
        let number = u32::from_str_radix(text, 16).map_err(|_| DeviceIdError::Form)?;
        let corrected = Self::new(number ^ residue(number)).ok_or(DeviceIdError::Reserved)?;
        if corrected.0 == number { Ok(corrected) } else { Err(DeviceIdError::CheckSum { corrected }) }
    }
}

impl fmt::Display for DeviceIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("a device id is eight hex digits"),
            Self::CheckSum { corrected } => {
                write!(f, "the last digit of the device id does not fit the others; with them it is {corrected}")
            }
            Self::Reserved => f.write_str("this device id means none or any device; choose another one"),
        }
    }
}

impl core::error::Error for DeviceIdError {}

/// What an exclusive or must add to an id to make its check sum correct: 0 to 15, and 0 when it is.
///
/// Source: `libhdhomerun`, `hdhomerun_discover_validate_device_id`, release 20250506.
const fn residue(number: u32) -> u32 {
    const HIGH_DIGITS: [u8; 16] = [0xA, 0x5, 0xF, 0x6, 0x7, 0xC, 0x1, 0xB, 0x9, 0x2, 0x8, 0xD, 0x4, 0x3, 0xE, 0x0];
    let bytes = number.to_be_bytes();
    let mut residue = 0;
    let mut index = 0;
    while index < bytes.len() {
        residue ^= HIGH_DIGITS[(bytes[index] >> 4) as usize] ^ bytes[index] & 0x0F;
        index += 1;
    }
    residue as u32
}

/// Whether the number means no device or any device.
const fn is_reserved(number: u32) -> bool {
    number == 0 || number == u32::MAX
}

/// The next number of a sequence that looks like chance.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), with the usual constants.
const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn check_sums_are_those_of_real_devices() {
        for (number, residue_expected, repaired) in [
            (0x10AA_5474, 0x0, 0x10AA_5474),
            (0x1251_129F, 0x0, 0x1251_129F),
            (0x1234_5678, 0xC, 0x1234_5674),
            (0x105A_1234, 0x6, 0x105A_1232),
            (0x1000_0000, 0xF, 0x1000_000F),
            (0xDEAD_BEEF, 0xA, 0xDEAD_BEE5),
        ] {
            assert_eq!(residue(number), residue_expected);
            assert_eq!(DeviceId::new(number).is_some(), residue_expected == 0);
            assert_eq!(DeviceId::new(repaired).map(DeviceId::get), Some(repaired));
        }
    }

    #[test]
    fn one_number_in_sixteen_is_an_id() {
        let valid = (0x107A_0000..0x107B_0000).filter(|number| DeviceId::new(*number).is_some()).count();
        assert_eq!(valid, 0x1000);
    }

    #[test]
    fn reserved_numbers_are_no_ids() {
        for number in [0, u32::MAX] {
            assert_eq!(residue(number), 0);
            assert_eq!(DeviceId::new(number), None);
        }
        assert_eq!("00000000".parse::<DeviceId>(), Err(DeviceIdError::Reserved));
        assert_eq!("ffffffff".parse::<DeviceId>(), Err(DeviceIdError::Reserved));
        assert_eq!("00000005".parse::<DeviceId>(), Err(DeviceIdError::Reserved));
    }

    #[test]
    fn chance_gives_valid_ids_of_one_family() {
        for random in (0..=0xFFFF).chain([u32::MAX, 0xDEAD_BEEF]) {
            let id = DeviceId::from_random(random);
            assert_eq!(DeviceId::new(id.get()), Some(id));
            assert_eq!(id.get() >> 20, 0x107);
            assert_eq!(id.get() >> 4 & 0xFFFF, random & 0xFFFF);
        }
    }

    #[test]
    fn texts_become_ids_and_back() {
        let id: DeviceId = "10aA5474".parse().unwrap();
        assert_eq!(id.get(), 0x10AA_5474);
        assert_eq!(id.to_string(), "10AA5474");
        assert_eq!(format!("{id:?}"), "DeviceId(10AA5474)");
        for text in ["", "10AA547", "10AA54744", "+0AA5474", "10AA547G", " 10AA547", "10AA54\u{e9}"] {
            assert_eq!(text.parse::<DeviceId>(), Err(DeviceIdError::Form), "{text}");
        }
        let error = "12345678".parse::<DeviceId>().unwrap_err();
        assert_eq!(error, DeviceIdError::CheckSum { corrected: DeviceId(0x1234_5674) });
        assert!(error.to_string().contains("12345674"));
    }

    #[test]
    fn what_is_derived_never_changes() {
        let id = DeviceId::new(0x10AA_5474).unwrap();
        assert_eq!(id.udn(), "74756e65-7264-8000-8000-000010aa5474");
        // A client that knows this box by these must know it after an update too.
        assert_eq!(id.auth(), "r1og2LUyNlS0BwlMOkI6cEZG");
        let other = DeviceId::new(0x1251_129F).unwrap();
        assert_ne!(id.auth(), other.auth());
        assert_ne!(id.udn(), other.udn());
        for random in 0..1_000 {
            let auth = DeviceId::from_random(random).auth();
            assert!(auth.len() == AUTH_BYTES && auth.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn the_udn_is_a_real_uuid() {
        let udn = DeviceId::from_random(0xABCD).udn();
        let mut groups = udn.split('-').map(str::len);
        assert!(groups.by_ref().eq([8, 4, 4, 4, 12]));
        assert_eq!(udn.chars().nth(14), Some('8'), "version");
        assert_eq!(udn.chars().nth(19), Some('8'), "variant 10");
    }
}

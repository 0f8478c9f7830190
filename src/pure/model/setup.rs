//! What somebody writes on the card before the box starts from it: `setup.toml`.
//!
//! Judged as a whole, before any of it is applied. No word of what was written is in a refusal: it may be a password.

use super::subscription::{FieldError, Kind, Subscription};
use super::wishes::Wishes;
use crate::limits::{PASSPHRASE_BYTES_MAX, PASSPHRASE_BYTES_MIN, SSID_BYTES_MAX};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

/// What stands in the file; none: nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub name: Option<String>,
    pub time_zone: Option<String>,
    pub playlist: Option<String>,
    pub password: Option<String>,
    pub password_hash: Option<String>,
    pub wifi_ssid: Option<String>,
    pub wifi_password: Option<String>,
    pub wifi_country: Option<String>,
}

/// What is to be done.
pub struct Setup {
    /// What clients call the box.
    pub name: Option<String>,
    /// Where it stands.
    pub time_zone: Option<String>,
    /// A playlist to subscribe to.
    pub playlist: Option<Subscription>,
    /// The owner's password.
    pub password: Option<Password>,
    /// The wireless network that it is in.
    pub network: Option<Network>,
}

/// The owner's password. How good it is depends on what the box is called, so that is judged later.
pub enum Password {
    /// Itself.
    Plain(String),
    /// As Argon2 made it, in that one's own writing.
    Hash(String),
}

/// A wireless network.
pub struct Network {
    /// Its name.
    pub ssid: String,
    /// What opens it.
    pub key: Key,
    /// Where the box stands, which rules the channels and powers that it may use.
    country: Option<[u8; 2]>,
}

/// What opens a wireless network.
pub enum Key {
    /// It is open.
    None,
    /// The passphrase; the key is made of it and of the network's name.
    Passphrase(String),
    /// The key itself.
    Made([u8; 32]),
}

impl Written {
    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// What cannot be, and why.
    pub fn judge(self) -> Result<Setup, FieldError> {
        let network = self.network()?;
        let wishes = Wishes { name: self.name, time_zone: self.time_zone, ..Wishes::default() };
        wishes.check()?;
        let playlist = self.playlist.map(|address| {
            let mut playlist = Subscription { address, ..Subscription::new(Kind::Playlist) };
            let checked = playlist.check();
            checked.map(|()| playlist).map_err(|error| FieldError { field: "playlist", ..error })
        });
        let password = match (self.password, self.password_hash) {
            (Some(_), Some(_)) => return Err(FieldError::new("password_hash", "either this or password")),
            (password, hash) => password.map(Password::Plain).or(hash.map(Password::Hash)),
        };
        let Wishes { name, time_zone, .. } = wishes;
        Ok(Setup { name, time_zone, playlist: playlist.transpose()?, password, network })
    }

    fn network(&self) -> Result<Option<Network>, FieldError> {
        let Some(ssid) = &self.wifi_ssid else {
            let alone = [("wifi_password", &self.wifi_password), ("wifi_country", &self.wifi_country)];
            return match alone.into_iter().find(|(_, value)| value.is_some()) {
                Some((field, _)) => Err(FieldError::new(field, "of which network? Write wifi_ssid as well")),
                None => Ok(None),
            };
        };
        if !(1..=SSID_BYTES_MAX).contains(&ssid.len()) || ssid.chars().any(char::is_control) {
            let why = format!("the name of the network, 1 to {SSID_BYTES_MAX} bytes without control characters");
            return Err(FieldError::new("wifi_ssid", why));
        }
        // Said or not is a difference: a line that is missing must not make a network an open one.
        let Some(password) = &self.wifi_password else {
            return Err(FieldError::new("wifi_password", "is missing; \"\" for a network that has none"));
        };
        let key = key(password).ok_or_else(|| {
            let why = format!(
                "{PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX} bytes without control characters, or the key itself \
                 in 64 hexadecimal digits, or \"\" for a network that has none"
            );
            FieldError::new("wifi_password", why)
        })?;
        let country = self.wifi_country.as_deref().map(|text| {
            let letters: Option<[u8; 2]> = text.to_ascii_uppercase().into_bytes().try_into().ok();
            letters
                .filter(|letters| letters.iter().all(u8::is_ascii_uppercase))
                .ok_or_else(|| FieldError::new("wifi_country", "two letters, such as DE, GB or US"))
        });
        Ok(Some(Network { ssid: ssid.to_owned(), key, country: country.transpose()? }))
    }
}

/// Source: IEEE 802.11, annex J.4, and `wpa_supplicant.conf(5)`: 8 to 63 characters, or 64 digits.
fn key(text: &str) -> Option<Key> {
    if text.is_empty() {
        return Some(Key::None);
    }
    if let Some(made) = unhex(text) {
        return Some(Key::Made(made));
    }
    let is_good = (PASSPHRASE_BYTES_MIN..=PASSPHRASE_BYTES_MAX).contains(&text.len());
    (is_good && !text.chars().any(char::is_control)).then(|| Key::Passphrase(text.to_owned()))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

impl Network {
    /// What `wpa_supplicant` reads, with the `made` key; none for an open network. Whatever a person typed stands there in
    /// hexadecimal digits only, so it cannot say anything else.
    ///
    /// A network that knows nothing but WPA3 is not joined: that wants the passphrase itself.
    ///
    /// Source: `wpa_supplicant.conf(5)`; in `config.c` of `wpa_supplicant`, a string without quotes is hexadecimal.
    pub fn for_supplicant(&self, made: Option<&[u8; 32]>) -> String {
        let mut text = String::from("# Made by tunerd --setup.\n");
        if let Some(country) = self.country {
            text += "country=";
            text.extend(country.map(char::from));
            text += "\n";
        }
        text += "network={\n    ssid=";
        push_hex(&mut text, self.ssid.as_bytes());
        // Networks that hide their name are asked for it.
        text += "\n    scan_ssid=1\n";
        match made {
            Some(made) => {
                text += "    key_mgmt=WPA-PSK WPA-PSK-SHA256\n    ieee80211w=1\n    psk=";
                push_hex(&mut text, made);
                text += "\n";
            }
            None => text += "    key_mgmt=NONE\n",
        }
        text + "}\n"
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;
    use std::vec::Vec;

    fn network(ssid: &str, password: &str) -> Result<Setup, FieldError> {
        let some = |text: &str| Some(text.to_owned());
        Written { wifi_ssid: some(ssid), wifi_password: some(password), ..Written::default() }.judge()
    }

    fn field(judged: Result<Setup, FieldError>) -> &'static str {
        judged.map_or_else(|error| error.field, |_| "good")
    }

    #[test]
    fn networks_are_what_802_11_allows() {
        for (ssid, password, wrong) in [
            ("House", "eight888", "good"),
            ("House", "", "good"),
            ("a'b\"c $(reboot)", "quote \" and 'tick", "good"),
            ("Größe", &"ü".repeat(31), "good"),
            ("House", &"0a".repeat(32), "good"),
            ("", "eight888", "wifi_ssid"),
            (&"x".repeat(33), "eight888", "wifi_ssid"),
            ("two\nlines", "eight888", "wifi_ssid"),
            ("nul\0", "eight888", "wifi_ssid"),
            ("House", "seven77", "wifi_password"),
            ("House", &"x".repeat(64), "wifi_password"),
            ("House", "eight888\n", "wifi_password"),
        ] {
            assert_eq!(field(network(ssid, password)), wrong, "{ssid:?} {password:?}");
        }
        let with = |country: &str| {
            let some = |text: &str| Some(text.to_owned());
            let (wifi_ssid, wifi_password) = (some("House"), some(""));
            Written { wifi_ssid, wifi_password, wifi_country: some(country), ..Written::default() }.judge()
        };
        assert_eq!([field(with("DE")), field(with("gb"))], ["good", "good"]);
        for wrong in ["", "D", "DEU", "D1", "D\n", "ÄÖ"] {
            assert_eq!(field(with(wrong)), "wifi_country", "{wrong:?}");
        }
    }

    #[test]
    fn a_line_that_is_missing_opens_no_network() {
        let some = |text: &str| Some(text.to_owned());
        let ssid = Written { wifi_ssid: some("House"), ..Written::default() };
        let password = Written { wifi_password: some("eight888"), ..Written::default() };
        let country = Written { wifi_country: some("DE"), ..Written::default() };
        assert_eq!(field(ssid.judge()), "wifi_password");
        assert_eq!(field(password.judge()), "wifi_password");
        assert_eq!(field(country.judge()), "wifi_country");
    }

    #[test]
    fn nothing_typed_can_say_more_to_the_supplicant_than_a_name_and_a_key() {
        for ssid in ["House", "}\u{a0}network={", "a\" psk=\"b", "$(reboot)#"] {
            let network =
                network(ssid, "eight888").unwrap_or_else(|error| panic!("{ssid}: {error:?}")).network.unwrap();
            let text = network.for_supplicant(Some(&[0xAB; 32]));
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let hex = ssid.bytes().fold(String::new(), |text, byte| std::format!("{text}{byte:02x}"));
            assert_eq!(lines[2], "ssid=".to_string() + &hex);
            assert_eq!(lines[6], "psk=".to_string() + &"ab".repeat(32));
            assert_eq!((lines[1], lines[7], lines.len()), ("network={", "}", 8));
        }
        let open = network("House", "").ok().and_then(|setup| setup.network).unwrap();
        assert!(matches!(open.key, Key::None) && open.for_supplicant(None).contains("key_mgmt=NONE\n"));
    }

    #[test]
    fn the_rest_is_judged_as_the_page_judges_it() {
        let some = |text: &str| Some(text.to_owned());
        let written = Written {
            name: some("Attic"),
            time_zone: some("Europe/Berlin"),
            playlist: some("http://h/list.m3u?user=a&pass=b"),
            password: some("x"),
            ..Written::default()
        };
        let setup = written.clone().judge().unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!((setup.name.as_deref(), setup.time_zone.as_deref()), (Some("Attic"), Some("Europe/Berlin")));
        let playlist = setup.playlist.unwrap();
        assert_eq!((playlist.kind, playlist.name.as_str()), (Kind::Playlist, "h"));
        assert_eq!(field(Written { name: some("a\nb"), ..written.clone() }.judge()), "name");
        assert_eq!(field(Written { time_zone: some("../../etc"), ..written.clone() }.judge()), "time_zone");
        assert_eq!(field(Written { playlist: some("/etc/shadow"), ..written.clone() }.judge()), "playlist");
        assert_eq!(field(Written { playlist: some("file:///etc/shadow"), ..written.clone() }.judge()), "playlist");
        assert_eq!(field(Written { password_hash: some("x"), ..written }.judge()), "password_hash");
        assert!(Written::default().is_empty());
    }
}

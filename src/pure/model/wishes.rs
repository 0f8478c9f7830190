//! What the owner says of the box as a whole, in place of the settings.

use super::source_url::{Scheme, SourceUrl};
use super::subscription::FieldError;
use crate::limits::BOX_NAME_CHARS_MAX;
use alloc::format;
use alloc::string::String;

/// What he says; none: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// What clients call the box.
    pub name: Option<String>,
    /// Where it stands, as the time zone database calls that.
    pub time_zone: Option<String>,
    /// Where updates are announced.
    pub update_channel: Option<String>,
    /// Whether they come by themselves.
    pub update_automatic: Option<bool>,
    /// From which hour of the night on.
    pub update_hour: Option<u8>,
}

impl Wishes {
    /// # Errors
    /// What cannot be, and why.
    pub fn check(&self) -> Result<(), FieldError> {
        if self.name.as_deref().is_some_and(|name| !is_name(name)) {
            let why = format!("1 to {BOX_NAME_CHARS_MAX} characters without control characters, or null");
            return Err(FieldError::new("name", why));
        }
        if self.time_zone.as_deref().is_some_and(|zone| !is_zone(zone)) {
            return Err(FieldError::new("time_zone", "a name such as Europe/Berlin, or null"));
        }
        if self.update_channel.as_deref().is_some_and(|channel| !is_channel(channel)) {
            return Err(FieldError::new("update_channel", "an address with http:// or https://, or null"));
        }
        if self.update_hour.is_some_and(|hour| hour > 23) {
            return Err(FieldError::new("update_hour", "0 to 23, or null"));
        }
        Ok(())
    }
}

/// Whether clients may know the box by that.
pub fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= BOX_NAME_CHARS_MAX && !name.chars().any(char::is_control)
}

/// Whether updates could be announced there.
pub fn is_channel(channel: &str) -> bool {
    let url: Result<SourceUrl, _> = channel.parse();
    url.is_ok_and(|url| matches!(url.scheme(), Scheme::Http | Scheme::Https)) && !channel.contains(['?', '#'])
}

/// Whether it could be a name of the time zone database, and is no way out of its folder.
/// Source: the database's theory file: parts of letters, digits, `-`, `+` and `_`, of 14 characters in its own names.
fn is_zone(zone: &str) -> bool {
    let is_part = |part: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'_');
        (1..=32).contains(&part.len()) && part.bytes().all(is_plain)
    };
    zone.len() <= 64 && zone.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_zones_are_what_they_should_be() {
        let long = "x".repeat(BOX_NAME_CHARS_MAX + 1);
        let name = |name: &str| Wishes { name: Some(name.into()), ..Wishes::default() }.check().is_ok();
        for (text, good) in [("TV", true), ("Büro 2", true), ("", false), (" ", false), ("a\nb", false), (&long, false)]
        {
            assert_eq!(name(text), good, "{text:?}");
        }
        let zone = |zone: &str| Wishes { time_zone: Some(zone.into()), ..Wishes::default() }.check().is_ok();
        for (text, good) in [
            ("Europe/Berlin", true),
            ("America/Argentina/Buenos_Aires", true),
            ("Etc/GMT+5", true),
            ("UTC", true),
            ("", false),
            ("Europe/", false),
            ("../etc/passwd", false),
            ("/etc/passwd", false),
            ("Europe/Ber lin", false),
        ] {
            assert_eq!(zone(text), good, "{text:?}");
        }
        let channel =
            |channel: &str| Wishes { update_channel: Some(channel.into()), ..Wishes::default() }.check().is_ok();
        assert!(channel("https://updates.example/stable.json") && channel("http://10.0.0.1:8000/x"));
        for wrong in ["", "stable", "ftp://h/x", "file:///etc/x", "https://h/x?y=1", "rtsp://h/x"] {
            assert!(!channel(wrong), "{wrong}");
        }
        assert!(Wishes { update_hour: Some(24), ..Wishes::default() }.check().is_err());
        assert_eq!(Wishes::default().check(), Ok(()));
    }
}

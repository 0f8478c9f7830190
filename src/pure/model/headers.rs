//! What a provider wants to see in a request besides the user agent.
//!
//! The invariant: only names from our own list, each at most once, and values that stay on their line. So what a playlist
//! says can never become another header, a second request, or an option of FFmpeg.

use crate::limits::HEADER_VALUE_BYTES_MAX;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// A header that a playlist may ask for. Others are of no use to a player, or would change the request's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeaderName {
    /// The page that the stream is shown on.
    Referer,
    /// The site that asks.
    Origin,
    /// A session. A secret.
    Cookie,
}

impl HeaderName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Referer, Self::Origin, Self::Cookie];

    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Referer => "Referer",
            Self::Origin => "Origin",
            Self::Cookie => "Cookie",
        }
    }

    /// The header of this name, in either case; `referrer` is a common misspelling of a common misspelling.
    pub fn find(name: &str) -> Option<Self> {
        let name = name.trim();
        let known = Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name));
        known.or_else(|| name.eq_ignore_ascii_case("referrer").then_some(Self::Referer))
    }
}

/// Headers, each name at most once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, String)>);

impl Headers {
    /// Sets one. A value that could not stand in a request as it is changes nothing: a wrong one is worse than none.
    pub fn set(&mut self, name: HeaderName, value: &str) {
        let value = value.trim();
        let is_good = value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.len() <= HEADER_VALUE_BYTES_MAX;
        if value.is_empty() || !is_good {
            return;
        }
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.to_string()));
        self.0.sort_unstable();
    }

    /// These, and where both say something, what `stronger` says.
    #[must_use]
    pub fn under(&self, stronger: &Self) -> Self {
        let mut both = self.clone();
        for (name, value) in stronger.iter() {
            both.set(name, value);
        }
        both
    }

    /// All of them, **with their secrets**: for requests and the store only.
    pub fn iter(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One `Name: value` a line, **with their secrets**.
    pub fn to_lines(&self) -> String {
        self.iter().fold(String::new(), |mut lines, (name, value)| {
            for part in [name.as_str(), ": ", value, "\r\n"] {
                lines.push_str(part);
            }
            lines
        })
    }

    /// What [`Headers::to_lines`] wrote; other lines are left out.
    pub fn from_lines(lines: &str) -> Self {
        let mut headers = Self::default();
        for (name, value) in lines.lines().filter_map(|line| line.split_once(':')) {
            if let Some(name) = HeaderName::find(name) {
                headers.set(name, value);
            }
        }
        headers
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_value_stays_on_its_line_and_a_name_comes_once() {
        let mut headers = Headers::default();
        for value in ["", " ", "a\r\nHost: b", "a\nb", "a\0b", "ü", &"x".repeat(HEADER_VALUE_BYTES_MAX + 1)] {
            headers.set(HeaderName::Referer, value);
            assert!(headers.is_empty(), "{value:?}");
        }
        headers.set(HeaderName::Cookie, "s=1; t=2");
        headers.set(HeaderName::Referer, "http://a/");
        headers.set(HeaderName::Referer, " http://b/ ");
        assert_eq!(headers.to_lines(), "Referer: http://b/\r\nCookie: s=1; t=2\r\n");
        assert_eq!(Headers::from_lines(&headers.to_lines()), headers);
        let mut stronger = Headers::default();
        stronger.set(HeaderName::Cookie, "s=2");
        assert_eq!(headers.under(&stronger).to_lines(), "Referer: http://b/\r\nCookie: s=2\r\n");
        assert_eq!(Headers::from_lines("Host: x\r\nReferer\r\n"), Headers::default());
        assert_eq!(HeaderName::find("REFERRER"), Some(HeaderName::Referer));
        assert!(!format!("{headers:?}").contains("s=1"), "a cookie is a secret");
    }
}

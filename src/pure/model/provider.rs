//! How a provider is reached: what he wants to see, through which proxy, and where else he is.
//!
//! The invariant: a [`ProxyUrl`] has one reading, host and port included, and shows its login to nobody but
//! [`ProxyUrl::login`] and [`ProxyUrl::written`]; a [`Host`] is a host and perhaps a port, and nothing else.

use crate::limits::{HOSTS_MAX, PROXY_LOGIN_BYTES_MAX};
use crate::model::headers::Headers;
use crate::model::source_url::SourceUrl;
use crate::wire::percent;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP, RFC 9110, 9.3.6.
    Http,
    /// SOCKS version 5, RFC 1928.
    Socks5,
}

/// The address of a proxy: `http://[user:password@]host:port` or `socks5://[user:password@]host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    kind: ProxyKind,
    /// Host, port and login, as an address of HTTP.
    place: SourceUrl,
}

/// A text is no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyUrlError;

/// A login at a proxy, decoded. A secret.
pub struct Login {
    /// Who.
    pub user: Vec<u8>,
    /// May be empty.
    pub password: Vec<u8>,
}

impl ProxyUrl {
    /// What it speaks.
    pub fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Where it is: a name or an address without brackets.
    pub fn host(&self) -> &str {
        self.place.host()
    }

    /// And its port.
    pub fn port(&self) -> u16 {
        self.place.port()
    }

    /// Who we are there. A secret.
    pub fn login(&self) -> Option<Login> {
        let (user, password) = split_login(self.place.userinfo()?);
        Some(Login { user: percent::decode(user), password: percent::decode(password) })
    }

    /// All of it, **with its login**: for the store only.
    pub fn written(&self) -> String {
        let scheme = self.scheme();
        let rest = self.place.as_str().strip_prefix("http").unwrap_or_default();
        format!("{scheme}{}", rest.trim_end_matches('/'))
    }

    const fn scheme(&self) -> &'static str {
        match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        }
    }
}

fn split_login(userinfo: &str) -> (&str, &str) {
    userinfo.split_once(':').unwrap_or((userinfo, ""))
}

/// Reads `[login@]host[:port]`, and says whether the port was written.
fn read_place(written: &str) -> Option<(SourceUrl, bool)> {
    if written.contains(['/', '?', '#']) {
        return None;
    }
    let place: SourceUrl = format!("http://{written}/").parse().ok()?;
    let is_written = place.as_str().ends_with(&format!(":{}/", place.port()));
    Some((place, is_written))
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(written: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = written.trim().split_once("://").ok_or(ProxyUrlError)?;
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyKind::Http,
            // What others call it where the proxy resolves names, which ours always does.
            "socks5" | "socks5h" => ProxyKind::Socks5,
            _ => return Err(ProxyUrlError),
        };
        let (place, has_port) = read_place(rest.strip_suffix('/').unwrap_or(rest)).ok_or(ProxyUrlError)?;
        let proxy = Self { kind, place };
        let is_good = proxy.login().is_none_or(|login| {
            let lens = (1..=PROXY_LOGIN_BYTES_MAX, ..=PROXY_LOGIN_BYTES_MAX);
            lens.0.contains(&login.user.len()) && lens.1.contains(&login.password.len()) && !login.user.contains(&b':')
        });
        if has_port && is_good { Ok(proxy) } else { Err(ProxyUrlError) }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.place.userinfo().is_some() { "***@" } else { "" };
        write!(f, "{}://{login}{}:{}", self.scheme(), self.place.bracketed_host(), self.port())
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

/// A host that stands in for another one, perhaps on another port: `host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// The same address at this host; the port stays where none was written.
    pub fn stand_in(&self, url: &SourceUrl) -> Option<SourceUrl> {
        let (place, has_port) = read_place(&self.0)?;
        let port = if has_port { place.port() } else { url.port() };
        url.at(&place.bracketed_host(), port)
    }
}

impl FromStr for Host {
    type Err = ();

    fn from_str(written: &str) -> Result<Self, ()> {
        let (place, has_port) = read_place(written.trim()).filter(|(place, _)| place.userinfo().is_none()).ok_or(())?;
        let port = if has_port { format!(":{}", place.port()) } else { String::new() };
        Ok(Self(format!("{}{port}", place.bracketed_host())))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How all that a subscription names is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Whose: the subscription's id.
    pub id: u32,
    /// The host of its address; empty where it has none.
    pub host: String,
    /// What is seen in place of who we are.
    pub user_agent: Option<String>,
    /// What he wants to see besides.
    pub headers: Headers,
    /// Everything goes through it.
    pub proxy: Option<ProxyUrl>,
    /// Who stands in for `host` where that cannot be reached, in this order.
    pub hosts: Vec<Host>,
}

impl Provider {
    /// Whether an address is at his own host.
    pub fn has(&self, url: &SourceUrl) -> bool {
        !self.host.is_empty() && url.scheme().is_http() && url.host() == self.host
    }

    /// In how many places something is to be looked for.
    pub fn places_len(&self, url: &SourceUrl) -> usize {
        if self.has(url) { 1 + self.hosts.len() } else { 1 }
    }

    /// Where it is in one of them; none in the first, which is the address itself.
    pub fn stand_in(&self, url: &SourceUrl, place: usize) -> Option<SourceUrl> {
        self.hosts.get(place.checked_sub(1)?).filter(|_| self.has(url))?.stand_in(url)
    }

    /// The headers for what is not his stream, but named by him: his own host gets them, and nobody else.
    pub fn headers_at(&self, url: &SourceUrl) -> Option<&Headers> {
        Some(&self.headers).filter(|_| self.has(url))
    }
}

/// Reads hosts as they are kept: one a word, [`HOSTS_MAX`] of them.
pub fn hosts_from_words(words: &str) -> Option<Vec<Host>> {
    let hosts: Option<Vec<Host>> = words.split_whitespace().map(|word| word.parse().ok()).collect();
    hosts.filter(|hosts| hosts.len() <= HOSTS_MAX)
}

/// Writes what [`hosts_from_words`] reads.
pub fn hosts_to_words(hosts: &[Host]) -> String {
    hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_in_one_way_and_shows_no_login() {
        let proxy: ProxyUrl = "SOCKS5://me:p%40ss@Proxy.example:1080/".parse().unwrap();
        assert_eq!((proxy.kind(), proxy.host(), proxy.port()), (ProxyKind::Socks5, "proxy.example", 1_080));
        let login = proxy.login().unwrap();
        assert_eq!((login.user.as_slice(), login.password.as_slice()), (&b"me"[..], &b"p@ss"[..]));
        assert_eq!(proxy.written(), "socks5://me:p%40ss@proxy.example:1080");
        assert_eq!(proxy.written().parse(), Ok(proxy.clone()));
        assert_eq!(proxy.to_string(), "socks5://***@proxy.example:1080");
        assert!(!format!("{proxy:?}").contains("p%40ss"));
        let plain: ProxyUrl = "http://[fd00::1]:80".parse().unwrap();
        assert_eq!((plain.host(), plain.port(), plain.login().is_none()), ("fd00::1", 80, true));
        assert_eq!(plain.written().parse(), Ok(plain));
    }

    #[test]
    fn what_is_no_proxy_is_none() {
        let long = format!("http://{}:x@a:1", "u".repeat(256));
        for wrong in [
            "",
            "a:1",
            "http://a",
            "https://a:1",
            "socks4://a:1",
            "http://:1",
            "http://a:0",
            "http://a:1/x",
            "http://a:1?x",
            "http://a:1#x",
            "http://a b:1",
            "http://a:1\r\nX: y",
            "http://:p@a:1",
            "http://u%3Av:p@a:1",
            "socks5://2130706433:1",
            &long,
        ] {
            assert_eq!(wrong.parse::<ProxyUrl>(), Err(ProxyUrlError), "{wrong:?}");
        }
    }

    #[test]
    fn a_host_stands_in_for_another_and_nothing_else_changes() {
        let provider = Provider {
            id: 1,
            host: "a.example".to_string(),
            user_agent: None,
            headers: Headers::default(),
            proxy: None,
            hosts: hosts_from_words("B.example c.example:81 [2600::1]").unwrap(),
        };
        let url: SourceUrl = "http://u:p@a.example:8080/live/1.ts?x=1".parse().unwrap();
        let places = (0..provider.places_len(&url)).map(|place| provider.stand_in(&url, place));
        let places: Vec<String> = places.map(|url| url.map_or_else(String::new, |url| url.as_str().into())).collect();
        assert_eq!(
            places,
            [
                "",
                "http://u:p@b.example:8080/live/1.ts?x=1",
                "http://u:p@c.example:81/live/1.ts?x=1",
                "http://u:p@[2600::1]:8080/live/1.ts?x=1"
            ]
        );
        let other: SourceUrl = "http://other.example/1.ts".parse().unwrap();
        assert_eq!((provider.places_len(&other), provider.stand_in(&other, 1)), (1, None));
        assert_eq!(hosts_to_words(&provider.hosts), "b.example c.example:81 [2600::1]");
        for wrong in ["", "http://a", "a/x", "u@a", "a:0", "a:x", "a b", "127.1", "a?x"] {
            assert_eq!(wrong.parse::<Host>(), Err(()), "{wrong:?}");
        }
        assert_eq!(hosts_from_words(&"a ".repeat(HOSTS_MAX + 1)), None);
    }
}

//! Addresses of streams and playlists, checked once (S30).
//!
//! Not here: whether we may connect there (public, private or our own address, S32), which only the fetcher can judge
//! after it has resolved the host; and the `|User-Agent=…` that players append, which [`crate::wire::m3u`] takes off.
//!
//! The invariant: the text inside has one reading. ASCII without spaces, control bytes, quotes or backslashes; a scheme
//! from our own list; one host; no second `@`; no fragment. So FFmpeg, our fetcher and we agree on who is being called,
//! and the text can never become an option of FFmpeg. What a person or a log sees of it ([`fmt::Display`],
//! [`fmt::Debug`]) hides names and passwords; only [`SourceUrl::as_str`] shows them.

use crate::limits::URL_BYTES_MAX;
use crate::wire::percent;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// How a source is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// Flash's way, which many encoders and servers still speak.
    Rtmp,
    /// The same over TLS.
    Rtmps,
    /// Transport stream in RTP, multicast or to us.
    Rtp,
    /// What cameras speak.
    Rtsp,
    /// Transport stream over SRT; we call.
    Srt,
    /// Transport stream in UDP datagrams, multicast or to us.
    Udp,
}

impl Scheme {
    const ALL: [Self; 8] =
        [Self::Http, Self::Https, Self::Rtmp, Self::Rtmps, Self::Rtp, Self::Rtsp, Self::Srt, Self::Udp];

    /// As it stands in an address, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Rtp => "rtp",
            Self::Rtsp => "rtsp",
            Self::Srt => "srt",
            Self::Udp => "udp",
        }
    }

    /// The port that an address may leave out.
    pub const fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https | Self::Rtmps => Some(443),
            Self::Rtmp => Some(1_935),
            Self::Rtsp => Some(554),
            Self::Rtp | Self::Srt | Self::Udp => None,
        }
    }

    /// Whether documents come this way, too.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Whether nobody is called: what comes to the address is heard.
    pub const fn is_datagrams(self) -> bool {
        matches!(self, Self::Rtp | Self::Udp)
    }
}

/// The address of a stream or a playlist.
///
/// Written the one way we write it: scheme and host in lower case, bytes outside ASCII percent-encoded, no fragment,
/// at least `/` as the path of an HTTP address; no path or query at all in a UDP or RTP one, but perhaps the one sender
/// that is heard, in front of an `@`; of an SRT one's options those that we know, in an order of ours.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    text: String,
    scheme: Scheme,
    /// Where the host begins, without bracket.
    host_start: u16,
    /// Where the host ends, without bracket.
    host_end: u16,
    port: u16,
    /// Where the path begins, or what stands in its place.
    path_start: u16,
}

const _: () = assert!(URL_BYTES_MAX <= u16::MAX as usize, "places in an address are two bytes");

/// Why a text is no address that we would open. No part of the address is inside: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceUrlError {
    /// There is nothing to read.
    Empty,
    /// More than [`URL_BYTES_MAX`] bytes, after percent-encoding.
    TooLong,
    /// A line break, tab, NUL or another control byte.
    ControlByte,
    /// A character that no address may hold as it is: a space, a quote, a backslash, a bar.
    Character(char),
    /// No `scheme://` in front.
    SchemeMissing,
    /// A stream of a kind that we know and do not play yet.
    SchemeNotYet(&'static str),
    /// A scheme that no source of ours may have: it reaches files or programs of this box, or nothing known.
    SchemeRefused,
    /// No host.
    HostMissing,
    /// No host name, and no address in its usual spelling.
    HostMalformed,
    /// A host name with letters outside ASCII.
    HostNotAscii,
    /// An address of a kind that has no usual port, without one.
    PortMissing,
    /// A port that is not a number from 1 to 65535.
    PortMalformed,
    /// An `@` in name or password, or a name and password where there can be none.
    UserinfoMalformed,
    /// A UDP or RTP address with a path or with an option that we do not know.
    UdpOption,
    /// An SRT address with a path, with an option that we do not know, or with one that cannot be.
    SrtOption,
    /// An SRT address that would have us wait for somebody to call.
    SrtMode,
    /// A redirect that leads out of HTTP.
    NotHttp,
}

/// What may be an address, or the path of a file, as people may see it: without secrets.
pub fn shown(text: &str) -> String {
    text.parse::<SourceUrl>().map_or_else(|_| text.to_string(), |url| url.to_string())
}

impl SourceUrl {
    /// All of it, **with name, password and tokens**: for FFmpeg's arguments, the fetcher and the store only; never for
    /// a log, a page or an error. Those use `Display`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How the source is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case: a name, an IPv4 address, or an IPv6 address **without** its brackets.
    pub fn host(&self) -> &str {
        self.slice(self.host_start, self.host_end)
    }

    /// The port, written or by default.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host as it stands in an address: an IPv6 address has brackets.
    pub fn bracketed_host(&self) -> String {
        let host = self.host();
        if host.contains(':') { alloc::format!("[{host}]") } else { host.to_string() }
    }

    /// The same at another host, which is written as in an address, and port; none where that would be no address.
    pub fn at(&self, host: &str, port: u16) -> Option<Self> {
        let userinfo = self.userinfo().map(|userinfo| alloc::format!("{userinfo}@")).unwrap_or_default();
        let (scheme, rest) = (self.scheme.as_str(), self.path_and_query());
        alloc::format!("{scheme}://{userinfo}{host}:{port}{rest}").parse().ok()
    }

    /// What a request asks for, from the first `/` on, or the options of an SRT address; empty for UDP and RTP. May hold
    /// passwords and tokens.
    pub fn path_and_query(&self) -> &str {
        self.text.get(usize::from(self.path_start)..).unwrap_or_default()
    }

    /// Name and password as written before the `@`, still percent-encoded. A secret.
    pub fn userinfo(&self) -> Option<&str> {
        let authority = self.text.get(self.authority_start()..usize::from(self.path_start)).unwrap_or_default();
        authority.split_once('@').map(|(userinfo, _)| userinfo)
    }

    /// The one sender that is heard of all that send to a group.
    pub fn sender(&self) -> Option<IpAddr> {
        if self.scheme.is_datagrams() { read_sender(self.userinfo()?) } else { None }
    }

    /// What an option of an SRT address says, decoded. May be a secret.
    pub fn srt_option(&self, wanted: SrtOption) -> Option<String> {
        let (_, query) = split_query(self.path_and_query());
        let mut pairs = query.strip_prefix('?')?.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| self.scheme == Scheme::Srt && *key == wanted.key())?;
        String::from_utf8(percent::decode(value)).ok()
    }

    /// Whether the path ends as HLS playlists do. The only addresses for which FFmpeg may open a playlist.
    pub fn looks_like_hls(&self) -> bool {
        self.has_extension(&["m3u8", "m3u"])
    }

    /// Whether the path, without the query, ends in a dot and one of these, in either case.
    pub fn has_extension(&self, extensions: &[&str]) -> bool {
        let (path, _) = split_query(self.path_and_query());
        let name = path.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        extensions.iter().any(|one_of| one_of.eq_ignore_ascii_case(extension))
    }

    /// The address that `reference`, found in a redirect of this one, leads to: absolute, without scheme, without
    /// host, or relative. Name and password travel with us only as long as the host is not named anew.
    ///
    /// Source: RFC 3986, section 5.2.
    ///
    /// # Errors
    /// As for parsing, and [`SourceUrlError::NotHttp`] when either end is not HTTP. Whether a step from `https` to
    /// `http` or to a private address is right is the fetcher's to decide.
    pub fn resolve(&self, reference: &str) -> Result<Self, SourceUrlError> {
        if !self.scheme.is_http() {
            return Err(SourceUrlError::NotHttp);
        }
        let (reference, _) = split_fragment(reference);
        let origin = self.text.get(..usize::from(self.path_start)).unwrap_or_default();
        let (path, _) = split_query(self.path_and_query());
        let mut target = String::new();
        if split_scheme(reference).is_some() {
            target.push_str(reference);
        } else if reference.starts_with("//") {
            target.push_str(self.scheme.as_str());
            target.push(':');
            target.push_str(reference);
        } else if reference.is_empty() {
            target.push_str(&self.text);
        } else {
            let (reference_path, query) = split_query(reference);
            target.push_str(origin);
            if reference_path.is_empty() {
                target.push_str(path);
            } else {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let base = if reference_path.starts_with('/') { "" } else { folder };
                push_without_dots(&mut target, base, reference_path);
            }
            target.push_str(query);
        }
        let target: Self = target.parse()?;
        if target.scheme.is_http() { Ok(target) } else { Err(SourceUrlError::NotHttp) }
    }

    fn authority_start(&self) -> usize {
        self.scheme.as_str().len() + "://".len()
    }

    fn slice(&self, start: u16, end: u16) -> &str {
        self.text.get(usize::from(start)..usize::from(end)).unwrap_or_default()
    }
}

impl FromStr for SourceUrl {
    type Err = SourceUrlError;

    fn from_str(written: &str) -> Result<Self, SourceUrlError> {
        if written.is_empty() {
            return Err(SourceUrlError::Empty);
        }
        if written.len() > URL_BYTES_MAX {
            return Err(SourceUrlError::TooLong);
        }
        check_characters(written)?;
        let (scheme, rest) = read_scheme(written)?;
        // The ids of SRT streams begin with a `#`.
        let (rest, _) = if scheme == Scheme::Srt { (rest, "") } else { split_fragment(rest) };
        let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at_checked(authority_len).unwrap_or((rest, ""));
        let (userinfo, host_and_port) = read_userinfo(scheme, authority)?;
        let (host, port) = split_port(host_and_port)?;
        // Players' way to say "whatever is sent to this box".
        let host = if host.is_empty() && scheme.is_datagrams() && authority.contains('@') { ANY_HOST } else { host };
        let port = match port {
            Some(digits) => Some(read_port(digits)?),
            None => None,
        };
        let option = if scheme.is_datagrams() { read_udp_options(path_and_query)? } else { None };
        let sender = match (userinfo, option) {
            (Some(_), Some(_)) => return Err(SourceUrlError::UdpOption),
            (named, option) if scheme.is_datagrams() => named.or(option).map(sender_in_an_address).transpose()?,
            _ => None,
        };

        let mut text = String::with_capacity(written.len() + 1);
        text.push_str(scheme.as_str());
        text.push_str("://");
        if let Some(userinfo) = sender.as_deref().or(userinfo) {
            push_encoded(&mut text, userinfo);
            text.push('@');
        }
        let is_v6 = host.starts_with('[');
        let bracket = usize::from(is_v6);
        let host_start = text.len() + bracket;
        text.extend(host.chars().map(|c| c.to_ascii_lowercase()));
        let host_end = text.len() - bracket;
        check_host(text.get(host_start..host_end).unwrap_or_default(), is_v6)?;
        if let Some(port) = port {
            fmt::Write::write_fmt(&mut text, format_args!(":{port}")).map_err(|_| SourceUrlError::TooLong)?;
        }
        let path_start = text.len();
        match scheme {
            Scheme::Rtp | Scheme::Udp => {}
            Scheme::Srt => push_srt_options(&mut text, path_and_query)?,
            Scheme::Http | Scheme::Https | Scheme::Rtmp | Scheme::Rtmps | Scheme::Rtsp => {
                // Cameras and servers of streams compare what they are asked for.
                if scheme.is_http() && !path_and_query.starts_with('/') {
                    text.push('/');
                }
                push_encoded(&mut text, path_and_query);
            }
        }
        if text.len() > URL_BYTES_MAX {
            return Err(SourceUrlError::TooLong);
        }
        Ok(Self {
            text,
            scheme,
            host_start: place(host_start)?,
            host_end: place(host_end)?,
            port: port.or(scheme.default_port()).ok_or(SourceUrlError::PortMissing)?,
            path_start: place(path_start)?,
        })
    }
}

/// A place in an address as we keep it. A place beyond the limit is only met on the way to [`SourceUrlError::TooLong`].
fn place(at: usize) -> Result<u16, SourceUrlError> {
    u16::try_from(at).map_err(|_| SourceUrlError::TooLong)
}

// ---- Reading ----------------------------------------------------------------------------------------------------

/// Streams that FFmpeg can open and we do not offer yet.
const SCHEMES_NOT_YET: [&str; 11] =
    ["rtsps", "rtspu", "satip", "rtmpe", "rtmpt", "rtmpte", "rtmpts", "rist", "mms", "mmsh", "mmst"];

/// All addresses of this box.
const ANY_HOST: &str = "0.0.0.0";

/// Schemes that are written without `//`; told apart from a host and port that merely lack a scheme.
const SCHEMES_WITHOUT_SLASHES: [&str; 10] =
    ["file", "pipe", "fd", "concat", "concatf", "subfile", "data", "crypto", "cache", "async"];

/// Options that FFmpeg users append to addresses of datagrams and that our recipe sets by itself, or that are for those
/// who send: dropped, nothing is lost.
const UDP_OPTIONS_DROPPED: [&str; 9] =
    ["fifo_size", "overrun_nonfatal", "buffer_size", "pkt_size", "timeout", "reuse", "ttl", "bitrate", "fec"];

/// The same for SRT. Both sides agree on the larger of their latencies, and on buffers and bandwidth by themselves.
const SRT_OPTIONS_DROPPED: [&str; 16] = [
    "timeout",
    "connect_timeout",
    "conntimeo",
    "rcvlatency",
    "peerlatency",
    "rcvbuf",
    "sndbuf",
    "ffs",
    "fc",
    "pkt_size",
    "payload_size",
    "maxbw",
    "inputbw",
    "oheadbw",
    "tlpktdrop",
    "nakreport",
];

/// What an SRT address may say beside host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtOption {
    /// Which of a server's streams is wanted, and often by whom. Up to 512 bytes.
    StreamId,
    /// What the stream is encrypted with: 10 to 79 bytes.
    Passphrase,
    /// Bytes of the key that is made of it: 16, 24 or 32.
    KeyBytes,
    /// Microseconds that a lost packet has to come again.
    Latency,
}

impl SrtOption {
    /// In the order in which an address has them.
    pub const ALL: [Self; 4] = [Self::StreamId, Self::Passphrase, Self::KeyBytes, Self::Latency];

    /// Its name in an address.
    pub const fn key(self) -> &'static str {
        match self {
            Self::StreamId => "streamid",
            Self::Passphrase => "passphrase",
            Self::KeyBytes => "pbkeylen",
            Self::Latency => "latency",
        }
    }

    /// The value that is kept; none for one that cannot be. What is kept reads back as itself.
    ///
    /// Source: `SRTO_STREAMID`, `SRTO_PASSPHRASE`, `SRTO_PBKEYLEN` of libsrt's API-socket-options.
    fn check(self, value: &str) -> Option<String> {
        let is_good = match self {
            Self::StreamId => (1..=512).contains(&value.len()),
            Self::Passphrase => (10..=79).contains(&value.len()),
            Self::KeyBytes => matches!(value, "16" | "24" | "32"),
            Self::Latency => return latency_us(value),
        };
        (is_good && !value.chars().any(char::is_control)).then(|| value.to_string())
    }
}

/// Longest time for a lost packet to come again. FFmpeg counts in microseconds, everybody else in milliseconds: what is
/// at most this is taken for milliseconds.
const SRT_LATENCY_MS_MAX: u64 = 8_000;
/// So that what is kept is never taken for milliseconds.
const SRT_LATENCY_MS_MIN: u64 = 20;
const _: () = assert!(SRT_LATENCY_MS_MIN * 1_000 > SRT_LATENCY_MS_MAX, "or it would be read in two ways");

fn latency_us(value: &str) -> Option<String> {
    let written: u64 = value.parse().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()))?;
    let ms = if written <= SRT_LATENCY_MS_MAX { written } else { written / 1_000 };
    Some((ms.clamp(SRT_LATENCY_MS_MIN, SRT_LATENCY_MS_MAX) * 1_000).to_string())
}

fn check_characters(written: &str) -> Result<(), SourceUrlError> {
    for c in written.chars() {
        if c.is_control() {
            return Err(SourceUrlError::ControlByte);
        }
        // Two readings: `\` is `/` to browsers, `|` and quotes end addresses for players and shells.
        if matches!(c, ' ' | '"' | '\\' | '|' | '<' | '>') {
            return Err(SourceUrlError::Character(c));
        }
    }
    Ok(())
}

/// The scheme and what follows its colon, if the text begins with one.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let is_scheme = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b','));
    is_scheme.then_some((scheme, rest))
}

/// The scheme, and everything after its `//`.
fn read_scheme(written: &str) -> Result<(Scheme, &str), SourceUrlError> {
    let (written_scheme, rest) = split_scheme(written).ok_or(SourceUrlError::SchemeMissing)?;
    let Some(rest) = rest.strip_prefix("//") else {
        // `subfile,,start,0,…` carries its options before the colon.
        let name = written_scheme.split_once(',').map_or(written_scheme, |(name, _)| name);
        let is_known = SCHEMES_WITHOUT_SLASHES.iter().any(|scheme| scheme.eq_ignore_ascii_case(name));
        return Err(if is_known { SourceUrlError::SchemeRefused } else { SourceUrlError::SchemeMissing });
    };
    for scheme in Scheme::ALL {
        if written_scheme.eq_ignore_ascii_case(scheme.as_str()) {
            return Ok((scheme, rest));
        }
    }
    match SCHEMES_NOT_YET.iter().find(|scheme| scheme.eq_ignore_ascii_case(written_scheme)) {
        Some(scheme) => Err(SourceUrlError::SchemeNotYet(scheme)),
        None => Err(SourceUrlError::SchemeRefused),
    }
}

/// Name and password if there are any, and the rest of the authority.
fn read_userinfo(scheme: Scheme, authority: &str) -> Result<(Option<&str>, &str), SourceUrlError> {
    let Some((userinfo, host)) = authority.split_once('@') else {
        return Ok((None, authority));
    };
    // `udp://@group:port` is the players' way to say "listen", and `udp://sender@group:port` to whom.
    let is_sender = scheme.is_datagrams() && read_sender(userinfo).is_some();
    let has_room = !matches!(scheme, Scheme::Rtp | Scheme::Srt | Scheme::Udp);
    if host.contains('@') || !(userinfo.is_empty() || is_sender || has_room) {
        return Err(SourceUrlError::UserinfoMalformed);
    }
    Ok(((!userinfo.is_empty()).then_some(userinfo), host))
}

/// Host, still in brackets if it has them, and what is written as port.
fn split_port(host_and_port: &str) -> Result<(&str, Option<&str>), SourceUrlError> {
    let host_len = if host_and_port.starts_with('[') {
        host_and_port.find(']').ok_or(SourceUrlError::HostMalformed)? + 1
    } else {
        host_and_port.find(':').unwrap_or(host_and_port.len())
    };
    let (host, rest) = host_and_port.split_at_checked(host_len).ok_or(SourceUrlError::HostMalformed)?;
    if rest.is_empty() {
        return Ok((host, None));
    }
    rest.strip_prefix(':').map(|port| (host, Some(port))).ok_or(SourceUrlError::HostMalformed)
}

fn read_port(digits: &str) -> Result<u16, SourceUrlError> {
    // `parse` alone would accept a plus sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SourceUrlError::PortMalformed);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(SourceUrlError::PortMalformed),
        Ok(port) => Ok(port),
    }
}

/// Checks a host in lower case, without brackets.
fn check_host(host: &str, is_v6: bool) -> Result<(), SourceUrlError> {
    if host.is_empty() {
        return Err(SourceUrlError::HostMissing);
    }
    if is_v6 {
        return host.parse::<Ipv6Addr>().map(|_| ()).map_err(|_| SourceUrlError::HostMalformed);
    }
    if !host.is_ascii() {
        return Err(SourceUrlError::HostNotAscii);
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if host.len() > 253 || !host.split('.').all(is_label) {
        return Err(SourceUrlError::HostMalformed);
    }
    // `2130706433`, `0x7f.1` and `127.1` are this very box to some resolvers, and names to others.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return Err(SourceUrlError::HostMalformed);
    }
    Ok(())
}

/// Everything after host and port would reach FFmpeg as options of its UDP reader, so nothing of it is kept, but for the
/// one sender that somebody wants to hear.
fn read_udp_options(path_and_query: &str) -> Result<Option<&str>, SourceUrlError> {
    let mut sender = None;
    for (key, value) in options(path_and_query).ok_or(SourceUrlError::UdpOption)? {
        if key == "sources" && sender.is_none() {
            sender = Some(value);
        } else if !UDP_OPTIONS_DROPPED.contains(&key) {
            return Err(SourceUrlError::UdpOption);
        }
    }
    Ok(sender)
}

fn read_sender(written: &str) -> Option<IpAddr> {
    written.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(written).parse().ok()
}

fn sender_in_an_address(written: &str) -> Result<String, SourceUrlError> {
    match read_sender(written).ok_or(SourceUrlError::UdpOption)? {
        IpAddr::V4(v4) => Ok(v4.to_string()),
        IpAddr::V6(v6) => Ok(alloc::format!("[{v6}]")),
    }
}

/// Appends the options that we know, in our order. FFmpeg would take any: one that listens, one that names a file.
fn push_srt_options(text: &mut String, path_and_query: &str) -> Result<(), SourceUrlError> {
    let mut kept: [Option<String>; SrtOption::ALL.len()] = Default::default();
    for (key, value) in options(path_and_query).ok_or(SourceUrlError::SrtOption)? {
        match (key, value) {
            ("mode", "caller") | ("transtype", "live") => continue,
            ("mode", _) => return Err(SourceUrlError::SrtMode),
            _ if SRT_OPTIONS_DROPPED.contains(&key) => continue,
            _ => {}
        }
        let known = SrtOption::ALL.iter().zip(&mut kept).find(|(option, _)| option.key() == key);
        let decoded = String::from_utf8(percent::decode(value)).map_err(|_| SourceUrlError::SrtOption)?;
        match known {
            Some((option, place @ None)) => {
                *place = Some(option.check(&decoded).ok_or(SourceUrlError::SrtOption)?);
            }
            // Said twice, it would have two readings.
            _ => return Err(SourceUrlError::SrtOption),
        }
    }
    let mut separator = '?';
    for (option, value) in SrtOption::ALL.iter().zip(kept) {
        let Some(value) = value else { continue };
        text.push(separator);
        text.push_str(option.key());
        text.push('=');
        for byte in value.bytes() {
            let is_plain = byte.is_ascii_alphanumeric() || b"-._~:,=/!".contains(&byte);
            push_byte(text, byte, is_plain);
        }
        separator = '&';
    }
    Ok(())
}

/// The options of an address that has no path; none when it has one.
fn options(path_and_query: &str) -> Option<impl Iterator<Item = (&str, &str)>> {
    let (path, query) = split_query(path_and_query);
    let options = query.trim_start_matches('?').split('&').filter(|option| !option.is_empty());
    matches!(path, "" | "/").then(|| options.map(|option| option.split_once('=').unwrap_or((option, ""))))
}

/// The path, and the query with its question mark.
fn split_query(path_and_query: &str) -> (&str, &str) {
    let at = path_and_query.find('?').unwrap_or(path_and_query.len());
    path_and_query.split_at_checked(at).unwrap_or((path_and_query, ""))
}

/// The text before the fragment, and the fragment. Servers never see fragments.
fn split_fragment(text: &str) -> (&str, &str) {
    text.split_once('#').unwrap_or((text, ""))
}

/// Appends a part of an address; what may not stand in one is percent-encoded, what is already encoded stays.
fn push_encoded(text: &mut String, part: &str) {
    for byte in part.bytes() {
        push_byte(text, byte, byte.is_ascii_graphic() && !matches!(byte, b'^' | b'`' | b'{' | b'}'));
    }
}

fn push_byte(text: &mut String, byte: u8, is_plain: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if is_plain {
        text.push(char::from(byte));
    } else {
        text.push('%');
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// Appends `path`, found in folder `base`, without its `.` and `..`.
///
/// Source: RFC 3986, section 5.2.4.
fn push_without_dots(target: &mut String, base: &str, path: &str) {
    let root_len = target.len();
    let relative = path.strip_prefix('/').unwrap_or(path);
    let mut ends_in_folder = false;
    for segment in base.strip_prefix('/').into_iter().flat_map(|base| base.split('/')).chain(relative.split('/')) {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                let parent = target.rfind('/').unwrap_or(root_len).max(root_len);
                target.truncate(parent);
            }
            segment => {
                target.push('/');
                target.push_str(segment);
            }
        }
    }
    if ends_in_folder || target.len() == root_len {
        target.push('/');
    }
}

// ---- Showing ----------------------------------------------------------------------------------------------------

/// Stands for a secret of any length.
const HIDDEN: &str = "***";

/// Parts of query keys whose values are never shown.
const SECRET_KEY_PARTS: [&str; 14] =
    ["user", "pass", "pwd", "token", "auth", "key", "secret", "sig", "sess", "login", "cred", "mac", "hash", "jwt"];

/// Whole query keys whose values are never shown.
const SECRET_KEYS: [&str; 11] = ["u", "p", "t", "k", "s", "h", "sid", "uid", "pin", "code", "streamid"];

/// First folders of Xtream addresses; name and password are the two after it.
const XTREAM_FOLDERS: [&str; 4] = ["live", "movie", "series", "timeshift"];

/// Letters and digits from which on a word is taken for a token.
const TOKEN_CHARACTERS_MIN: usize = 20;

/// The address as people and logs may see it.
impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme.as_str())?;
        f.write_str("://")?;
        let authority = self.text.get(self.authority_start()..usize::from(self.path_start)).unwrap_or_default();
        match authority.split_once('@') {
            Some((_, host)) if !self.scheme.is_datagrams() => write!(f, "{HIDDEN}@{host}")?,
            _ => f.write_str(authority)?,
        }
        let (path, query) = split_query(self.path_and_query());
        show_path(f, path)?;
        show_query(f, query)
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

/// Writes `line`, which someone else composed, with every address in it as [`SourceUrl`] would show it. FFmpeg names
/// whole addresses in its messages, passwords, redirects and segments included.
pub fn hide_secrets(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let before = rest.get(..at).unwrap_or_default();
        let scheme_len = before.bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
        let (prose, from_scheme) = rest.split_at_checked(at - scheme_len).unwrap_or((rest, ""));
        let len = from_scheme.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(from_scheme.len());
        let (word, after) = from_scheme.split_at_checked(len).unwrap_or((from_scheme, ""));
        // FFmpeg ends addresses with a colon, a full stop or a bracket of its own.
        let address = word.trim_end_matches([':', '.', ',', ';', ']', ')', '>']);
        let end = word.get(address.len()..).unwrap_or_default();
        shown.push_str(prose);
        if let Ok(url) = address.parse::<SourceUrl>() {
            shown.push_str(&url.to_string());
        } else {
            shown.push_str(from_scheme.get(..scheme_len).unwrap_or_default());
            shown.push_str("://");
            shown.push_str(HIDDEN);
        }
        shown.push_str(end);
        rest = after;
    }
    shown.push_str(rest);
    shown
}

fn show_path(f: &mut fmt::Formatter<'_>, path: &str) -> fmt::Result {
    let segments = || path.split('/').skip(1);
    let len = segments().count();
    let ends_in_id = segments().last().is_some_and(is_stream_id);
    let is_xtream = len >= 3 && segments().next().is_some_and(|first| XTREAM_FOLDERS.contains(&first));
    for (index, segment) in segments().enumerate() {
        let is_before_id = ends_in_id && index + 1 < len && index + 3 >= len;
        let is_after_folder = is_xtream && (index == 1 || index == 2);
        let is_secret_pair = segment.contains('=') && is_secret_key(segment);
        let is_secret = is_before_id || is_after_folder || is_secret_pair || looks_like_secret(segment);
        f.write_str("/")?;
        f.write_str(if is_secret && !segment.is_empty() { HIDDEN } else { segment })?;
    }
    Ok(())
}

fn show_query(f: &mut fmt::Formatter<'_>, query: &str) -> fmt::Result {
    let Some(query) = query.strip_prefix('?') else {
        return Ok(());
    };
    f.write_str("?")?;
    for pair in query.split_inclusive(['&', ';']) {
        let (pair, separator) = pair.split_at_checked(pair.trim_end_matches(['&', ';']).len()).unwrap_or((pair, ""));
        match pair.split_once('=') {
            Some((key, value)) => {
                f.write_str(if looks_like_secret(key) { HIDDEN } else { key })?;
                f.write_str("=")?;
                f.write_str(if is_secret_key(key) || looks_like_secret(value) { HIDDEN } else { value })?;
            }
            None => f.write_str(if looks_like_secret(pair) { HIDDEN } else { pair })?,
        }
        f.write_str(separator)?;
    }
    Ok(())
}

/// Whether a segment is what Xtream servers put last: digits, perhaps with an extension.
fn is_stream_id(segment: &str) -> bool {
    let digits = segment.split_once('.').map_or(segment, |(digits, _)| digits);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_secret_key(key: &str) -> bool {
    let contains =
        |part: &&str| key.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    SECRET_KEYS.iter().any(|secret| secret.eq_ignore_ascii_case(key)) || SECRET_KEY_PARTS.iter().any(contains)
}

/// Whether a word is too long and too mixed to be a name, or carries another address, which may hold a password.
fn looks_like_secret(word: &str) -> bool {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let characters = word.bytes().filter(u8::is_ascii_alphanumeric).count();
    let is_token = has_digit && has_letter && characters >= TOKEN_CHARACTERS_MIN;
    is_token || word.contains('@') || word.contains("%40") || word.contains("://")
}

impl fmt::Display for SourceUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the address is empty"),
            Self::TooLong => write!(f, "the address is longer than {URL_BYTES_MAX} bytes"),
            Self::ControlByte => f.write_str("the address holds a line break or another control byte"),
            Self::Character(' ') => f.write_str("the address holds a space; write it as %20"),
            Self::Character(c) => write!(f, "the address holds {c:?}, which addresses write percent-encoded"),
            Self::SchemeMissing => f.write_str("the address does not begin with http://, https:// or another scheme"),
            Self::SchemeNotYet(scheme) => {
                write!(f, "{scheme}:// streams are not played yet; look for an http, rtsp, rtmp, srt, udp or rtp address")
            }
            Self::SchemeRefused => {
                f.write_str("only http, https, rtsp, rtmp, rtmps, srt, udp and rtp addresses are opened")
            }
            Self::HostMissing => f.write_str("the address names no host"),
            Self::HostMalformed => {
                f.write_str("the host is neither a name nor an address in its usual spelling, such as 192.168.1.5")
            }
            Self::HostNotAscii => f.write_str("the host name has letters outside ASCII; write it in its xn-- form"),
            Self::PortMissing => f.write_str("this kind of address needs a port, such as udp://@239.0.0.1:1234"),
            Self::PortMalformed => f.write_str("the port is not a number from 1 to 65535"),
            Self::UserinfoMalformed => f.write_str("there is an @ too many; write @ in a password as %40"),
            Self::UdpOption => f.write_str("a udp:// or rtp:// address ends after its port; leave out what follows"),
            Self::SrtOption => f.write_str(
                "an srt:// address may say streamid, passphrase (10 to 79 characters), pbkeylen (16, 24 or 32) and latency; \
                 leave out what else follows its port",
            ),
            Self::SrtMode => f.write_str("the box calls others over SRT and cannot be called; leave mode out"),
            Self::NotHttp => f.write_str("the redirect leads out of HTTP"),
        }
    }
}

impl core::error::Error for SourceUrlError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    fn url(text: &str) -> SourceUrl {
        text.parse().unwrap_or_else(|error| unreachable!("{text}: {error}"))
    }

    #[test]
    fn addresses_are_kept_in_one_spelling() {
        for (written, kept) in [
            ("http://example.com/live.ts", "http://example.com/live.ts"),
            ("HTTP://Example.COM/Live.TS", "http://example.com/Live.TS"),
            ("https://example.com", "https://example.com/"),
            ("http://example.com?a=1", "http://example.com/?a=1"),
            ("http://example.com/a#t=10", "http://example.com/a"),
            ("http://example.com/a?b#c?d", "http://example.com/a?b"),
            ("http://user:80#@example.com/", "http://user:80/"),
            ("http://example.com:8080/a", "http://example.com:8080/a"),
            ("http://example.com:080/a", "http://example.com:80/a"),
            ("http://user:pass@example.com/a", "http://user:pass@example.com/a"),
            ("http://@example.com/a", "http://example.com/a"),
            ("http://jürgen@example.com/", "http://j%C3%BCrgen@example.com/"),
            ("http://192.168.1.5:5004/auto/v5.1", "http://192.168.1.5:5004/auto/v5.1"),
            ("http://[2001:DB8::1]:8080/a", "http://[2001:db8::1]:8080/a"),
            ("http://my_nas/a", "http://my_nas/a"),
            ("http://example.com/Das%20Erste.ts", "http://example.com/Das%20Erste.ts"),
            ("http://example.com/zdf/übersicht?q=ß", "http://example.com/zdf/%C3%BCbersicht?q=%C3%9F"),
            ("http://example.com/a/../b/./c", "http://example.com/a/../b/./c"),
            ("http://example.com/{id}`^", "http://example.com/%7Bid%7D%60%5E"),
            ("http://example.com/100%/%zz/%0d%0a", "http://example.com/100%/%zz/%0d%0a"),
            ("http://example.com/a?u=b@c/d:e", "http://example.com/a?u=b@c/d:e"),
            ("http://example.com/%03d.jpg", "http://example.com/%03d.jpg"),
            ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
            ("udp://239.0.0.1:1234", "udp://239.0.0.1:1234"),
            ("UDP://encoder:5000/", "udp://encoder:5000"),
            ("udp://@[ff05::1]:1234", "udp://[ff05::1]:1234"),
            ("udp://@239.0.0.1:1234?fifo_size=1000000&overrun_nonfatal=1", "udp://239.0.0.1:1234"),
            ("udp://@:1234", "udp://0.0.0.0:1234"),
            ("udp://10.0.0.1@232.0.0.1:1234", "udp://10.0.0.1@232.0.0.1:1234"),
            ("udp://@232.0.0.1:1234?sources=10.0.0.1&ttl=1", "udp://10.0.0.1@232.0.0.1:1234"),
            ("rtp://[2001:DB8::0:1]@[FF35::1]:5004", "rtp://[2001:db8::1]@[ff35::1]:5004"),
            ("RTP://@239.0.0.1:5004?fec=prompeg%3Dl%3D5", "rtp://239.0.0.1:5004"),
            ("rtp://@:5004/", "rtp://0.0.0.0:5004"),
            ("RTSP://joe:pw@Camera/cam/1?channel=1&subtype=0#x", "rtsp://joe:pw@camera/cam/1?channel=1&subtype=0"),
            ("rtsp://camera", "rtsp://camera"),
            ("rtsp://camera?1", "rtsp://camera?1"),
            ("rtmp://h/live/One?token=a&listen=1", "rtmp://h/live/One?token=a&listen=1"),
            ("rtmps://h:1936/live/one", "rtmps://h:1936/live/one"),
            ("SRT://H:9000/?mode=caller&latency=120&connect_timeout=5", "srt://h:9000?latency=120000"),
            ("srt://h:9000?latency=300000", "srt://h:9000?latency=300000"),
            ("srt://h:9000?latency=1", "srt://h:9000?latency=20000"),
            ("srt://h:9000?latency=99999999999", "srt://h:9000?latency=8000000"),
            ("srt://h:9000?streamid=#!::r=live/a,m=request", "srt://h:9000?streamid=%23!::r=live/a,m=request"),
            (
                "srt://[::1]:1?pbkeylen=16&passphrase=a%20b+cd@e%26f&streamid=%2F&",
                "srt://[::1]:1?streamid=/&passphrase=a%20b%2Bcd%40e%26f&pbkeylen=16",
            ),
        ] {
            let read = url(written);
            assert_eq!(read.as_str(), kept, "{written}");
            assert_eq!(url(kept), read, "what is kept reads back as itself");
        }
    }

    #[test]
    fn hostile_and_mistaken_addresses_are_refused() {
        use SourceUrlError as E;
        for (written, why) in [
            ("", E::Empty),
            (" ", E::Character(' ')),
            ("-i", E::SchemeMissing),
            ("-version", E::SchemeMissing),
            ("-http://example.com/", E::SchemeMissing),
            ("/etc/passwd", E::SchemeMissing),
            ("../x.ts", E::SchemeMissing),
            ("C:/tv.ts", E::SchemeMissing),
            ("C:\\tv.ts", E::Character('\\')),
            ("example.com/a.ts", E::SchemeMissing),
            ("example.com:8080/a.ts", E::SchemeMissing),
            ("//example.com/a.ts", E::SchemeMissing),
            ("http:example.com", E::SchemeMissing),
            ("http:/example.com", E::SchemeMissing),
            ("://example.com", E::SchemeMissing),
            ("1http://example.com", E::SchemeMissing),
            ("file:/etc/passwd", E::SchemeRefused),
            ("file:///etc/passwd", E::SchemeRefused),
            ("FILE:///etc/passwd", E::SchemeRefused),
            ("pipe:0", E::SchemeRefused),
            ("fd:0", E::SchemeRefused),
            ("concat:a.ts", E::SchemeRefused),
            ("concat:http://a/", E::SchemeRefused),
            ("concat:a|b", E::Character('|')),
            ("subfile,,start,0,end,0,,:/etc/passwd", E::SchemeRefused),
            ("crypto://example.com/a", E::SchemeRefused),
            ("crypto:http://example.com/a", E::SchemeRefused),
            ("crypto+http://example.com/a", E::SchemeRefused),
            ("hls+http://example.com/a", E::SchemeRefused),
            ("data:text/plain,x", E::SchemeRefused),
            ("ftp://example.com/a", E::SchemeRefused),
            ("gopher://example.com/a", E::SchemeRefused),
            ("unix:///run/a.sock", E::SchemeRefused),
            ("tcp://example.com:1", E::SchemeRefused),
            ("tee:http://example.com", E::SchemeMissing),
            ("javascript://example.com/%0a", E::SchemeRefused),
            ("mms://example.com/1", E::SchemeNotYet("mms")),
            ("RTSPS://camera/1", E::SchemeNotYet("rtsps")),
            ("rtmpt://example.com/live", E::SchemeNotYet("rtmpt")),
            ("rtmp,listen,1,://example.com/live", E::SchemeRefused),
            ("http://example.com/a b", E::Character(' ')),
            ("http://example.com/a\r\nHost: b", E::ControlByte),
            ("http://example.com/a\0", E::ControlByte),
            ("http://example.com/a\t", E::ControlByte),
            ("http://example.com/a\u{7f}", E::ControlByte),
            ("http://example.com/a\u{85}", E::ControlByte),
            ("http://example.com/a|User-Agent=x", E::Character('|')),
            ("http://example.com\\@evil/", E::Character('\\')),
            ("http://example.com/\"", E::Character('"')),
            ("http://", E::HostMissing),
            ("http:///a", E::HostMissing),
            ("http://:80/", E::HostMissing),
            ("http://user@/a", E::HostMissing),
            ("http://?a", E::HostMissing),
            ("http://[]/", E::HostMissing),
            ("http://#@example.com/", E::HostMissing),
            ("http://-i/", E::HostMalformed),
            ("http://a.-b/", E::HostMalformed),
            ("http://a..b/", E::HostMalformed),
            ("http://example.com./", E::HostMalformed),
            ("http://.example.com/", E::HostMalformed),
            ("http://exa%6dple.com/", E::HostMalformed),
            ("http://exam,ple.com/", E::HostMalformed),
            ("http://$(reboot)/", E::HostMalformed),
            ("http://2130706433/", E::HostMalformed),
            ("http://0x7f.1/", E::HostMalformed),
            ("http://0x7f000001/", E::HostMalformed),
            ("http://127.1/", E::HostMalformed),
            ("http://0177.0.0.1/", E::HostMalformed),
            ("http://256.0.0.1/", E::HostMalformed),
            ("http://1.2.3.4.5/", E::HostMalformed),
            ("http://[::1/", E::HostMalformed),
            ("http://[fe80::1%25eth0]/", E::HostMalformed),
            ("http://[example.com]/", E::HostMalformed),
            ("http://[::1]a/", E::HostMalformed),
            ("http://::1/", E::PortMalformed),
            ("http://bücher.example/", E::HostNotAscii),
            ("http://exаmple.com/", E::HostNotAscii),
            ("http://example.com:/", E::PortMalformed),
            ("http://example.com:0/", E::PortMalformed),
            ("http://example.com:65536/", E::PortMalformed),
            ("http://example.com:+80/", E::PortMalformed),
            ("http://example.com:80:80/", E::PortMalformed),
            ("http://example.com:8o/", E::PortMalformed),
            ("http://a@b@c/", E::UserinfoMalformed),
            ("http://user:p@ss@example.com/", E::UserinfoMalformed),
            ("udp://sender@239.0.0.1:1234", E::UserinfoMalformed),
            ("udp://@239.0.0.1", E::PortMissing),
            ("udp://:1234", E::HostMissing),
            ("udp://10.0.0.1@:1234@a:1", E::UserinfoMalformed),
            ("udp://239.0.0.1:1234/a", E::UdpOption),
            ("udp://239.0.0.1:1234?localaddr=10.0.0.1", E::UdpOption),
            ("udp://239.0.0.1:1234?localport=1", E::UdpOption),
            ("udp://239.0.0.1:1234?block=10.0.0.1", E::UdpOption),
            ("udp://239.0.0.1:1234?sources=10.0.0.1,10.0.0.2", E::UdpOption),
            ("udp://239.0.0.1:1234?sources=example.com", E::UdpOption),
            ("udp://239.0.0.1:1234?sources=10.0.0.1&sources=10.0.0.2", E::UdpOption),
            ("udp://10.0.0.1@239.0.0.1:1234?sources=10.0.0.2", E::UdpOption),
            ("rtp://239.0.0.1:1234?localrtpport=1", E::UdpOption),
            ("rtp://239.0.0.1:1234?localaddr=10.0.0.1", E::UdpOption),
            ("rtp://239.0.0.1:1234?write_to_source=1", E::UdpOption),
            ("rtp://joe@239.0.0.1:1234", E::UserinfoMalformed),
            ("rtp://239.0.0.1", E::PortMissing),
            ("srt://example.com", E::PortMissing),
            ("srt://:9000", E::HostMissing),
            ("srt://@:9000", E::HostMissing),
            ("srt://joe@h:9000", E::UserinfoMalformed),
            ("srt://h:9000/a", E::SrtOption),
            ("srt://h:9000?mode=listener", E::SrtMode),
            ("srt://h:9000?mode=rendezvous&mode=caller", E::SrtMode),
            ("srt://h:9000?mode=", E::SrtMode),
            ("srt://h:9000?MODE=caller", E::SrtOption),
            ("srt://h:9000?%6dode=listener", E::SrtOption),
            ("srt://h:9000?listen_timeout=1", E::SrtOption),
            ("srt://h:9000?localport=1", E::SrtOption),
            ("srt://h:9000?transtype=file", E::SrtOption),
            ("srt://h:9000?passphrase=short", E::SrtOption),
            ("srt://h:9000?passphrase=longenough%0a", E::SrtOption),
            ("srt://h:9000?streamid=", E::SrtOption),
            ("srt://h:9000?streamid=%ff", E::SrtOption),
            ("srt://h:9000?streamid=a&streamid=b", E::SrtOption),
            ("srt://h:9000?pbkeylen=8", E::SrtOption),
            ("srt://h:9000?latency=+5", E::SrtOption),
            ("srt://h:9000?latency=-1", E::SrtOption),
            ("srt://h:9000#x", E::PortMalformed),
        ] {
            assert_eq!(written.parse::<SourceUrl>(), Err(why), "{written:?}");
            assert!(!why.to_string().is_empty());
        }
    }

    #[test]
    fn addresses_have_a_longest_one() {
        let longest = format!("http://a/{}", "b".repeat(URL_BYTES_MAX - 9));
        assert_eq!(url(&longest).as_str(), longest);
        assert_eq!(format!("{longest}b").parse::<SourceUrl>(), Err(SourceUrlError::TooLong));
        let grows = format!("http://a/{}", "ü".repeat((URL_BYTES_MAX - 9) / 2));
        assert_eq!(grows.parse::<SourceUrl>(), Err(SourceUrlError::TooLong), "percent-encoding counts");
        let far_too_long = "ü".repeat(URL_BYTES_MAX * 40);
        assert_eq!(far_too_long.parse::<SourceUrl>(), Err(SourceUrlError::TooLong));
        assert_eq!(
            format!("http://{}/", "a.".repeat(127) + "a").parse::<SourceUrl>(),
            Err(SourceUrlError::HostMalformed)
        );
    }

    #[test]
    fn parts_are_where_they_belong() {
        let full = url("https://joe:s3cret@TV.example.com:8443/live/1.m3u8?x=1");
        assert_eq!(full.scheme(), Scheme::Https);
        assert_eq!(full.host(), "tv.example.com");
        assert_eq!(full.port(), 8443);
        assert_eq!(full.path_and_query(), "/live/1.m3u8?x=1");
        assert_eq!(full.userinfo(), Some("joe:s3cret"));

        let bare = url("http://[2001:db8::1]");
        assert_eq!((bare.host(), bare.port(), bare.path_and_query(), bare.userinfo()), ("2001:db8::1", 80, "/", None));
        assert_eq!(url("http://a/b@c").userinfo(), None, "an @ in the path is no userinfo");

        let multicast = url("udp://@239.0.0.1:1234");
        assert_eq!((multicast.host(), multicast.port(), multicast.path_and_query()), ("239.0.0.1", 1234, ""));
        assert_eq!((multicast.userinfo(), multicast.sender()), (None, None));

        let chosen = url("rtp://[2001:db8::1]@[ff35::1]:5004");
        assert_eq!((chosen.host(), chosen.port()), ("ff35::1", 5004));
        assert_eq!(chosen.sender(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(url("rtsp://10.0.0.1@camera/").sender(), None, "that is his name");
        assert_eq!(
            [url("rtsp://camera").port(), url("rtmp://h/a").port(), url("rtmps://h/a").port()],
            [554, 1_935, 443]
        );

        let call = url("srt://h:9000?streamid=#!::u=joe&passphrase=p%40ss+phrase&latency=200");
        let said = SrtOption::ALL.map(|option| call.srt_option(option));
        let text = |text: &str| Some(text.to_string());
        assert_eq!(said, [text("#!::u=joe"), text("p@ss+phrase"), None, text("200000")]);
        assert_eq!(url("http://h/?latency=1").srt_option(SrtOption::Latency), None);
    }

    #[test]
    fn hls_is_told_by_the_end_of_the_path() {
        for (written, is_hls) in [
            ("http://a/b.m3u8", true),
            ("http://a/b.M3U8?token=1", true),
            ("http://a/b.m3u", true),
            ("http://a/.m3u", true),
            ("http://a/b.ts?file=c.m3u8", false),
            ("http://a/m3u8", false),
            ("http://a.m3u8/", false),
            ("http://a/b.m3u8/c", false),
            ("udp://@239.0.0.1:1234", false),
        ] {
            assert_eq!(url(written).looks_like_hls(), is_hls, "{written}");
        }
    }

    #[test]
    fn redirects_lead_where_rfc_3986_says() {
        // The examples of section 5.4, without those that leave HTTP or carry a path parameter.
        let base = url("http://joe:pw@a/b/c/d;p?q");
        for (reference, target) in [
            ("g", "http://joe:pw@a/b/c/g"),
            ("./g", "http://joe:pw@a/b/c/g"),
            ("g/", "http://joe:pw@a/b/c/g/"),
            ("/g", "http://joe:pw@a/g"),
            ("//g", "http://g/"),
            ("?y", "http://joe:pw@a/b/c/d;p?y"),
            ("g?y", "http://joe:pw@a/b/c/g?y"),
            ("#s", "http://joe:pw@a/b/c/d;p?q"),
            ("g#s", "http://joe:pw@a/b/c/g"),
            ("g?y#s", "http://joe:pw@a/b/c/g?y"),
            ("", "http://joe:pw@a/b/c/d;p?q"),
            (".", "http://joe:pw@a/b/c/"),
            ("./", "http://joe:pw@a/b/c/"),
            ("..", "http://joe:pw@a/b/"),
            ("../", "http://joe:pw@a/b/"),
            ("../g", "http://joe:pw@a/b/g"),
            ("../..", "http://joe:pw@a/"),
            ("../../g", "http://joe:pw@a/g"),
            ("../../../../g", "http://joe:pw@a/g"),
            ("/./g", "http://joe:pw@a/g"),
            ("/../g", "http://joe:pw@a/g"),
            ("g.", "http://joe:pw@a/b/c/g."),
            ("..g", "http://joe:pw@a/b/c/..g"),
            ("./g/.", "http://joe:pw@a/b/c/g/"),
            ("g/../h", "http://joe:pw@a/b/c/h"),
            ("g?y/../x", "http://joe:pw@a/b/c/g?y/../x"),
            ("/", "http://joe:pw@a/"),
            ("/live/ü.ts", "http://joe:pw@a/live/%C3%BC.ts"),
            ("https://B/c", "https://b/c"),
            ("http://other@b:81/c", "http://other@b:81/c"),
        ] {
            assert_eq!(base.resolve(reference).map(|target| target.text), Ok(target.to_string()), "{reference}");
        }
        assert_eq!(url("http://a").resolve("b").unwrap().as_str(), "http://a/b");

        for (reference, why) in [
            ("file:///etc/passwd", SourceUrlError::SchemeRefused),
            ("http:g", SourceUrlError::SchemeMissing),
            ("udp://@239.0.0.1:1", SourceUrlError::NotHttp),
            ("rtsp://a/", SourceUrlError::NotHttp),
            ("srt://a:1", SourceUrlError::NotHttp),
            ("//", SourceUrlError::HostMissing),
            ("/a b", SourceUrlError::Character(' ')),
            ("/a\r\nb", SourceUrlError::ControlByte),
        ] {
            assert_eq!(base.resolve(reference), Err(why), "{reference:?}");
        }
        assert_eq!(url("udp://@239.0.0.1:1").resolve("/a"), Err(SourceUrlError::NotHttp));
    }

    #[test]
    fn nobody_sees_a_password() {
        for (written, shown) in [
            ("http://example.com/das/erste.ts?quality=hd", "http://example.com/das/erste.ts?quality=hd"),
            ("http://joe:hunter2@example.com:81/a", "http://***@example.com:81/a"),
            ("http://joe@example.com/a", "http://***@example.com/a"),
            ("http://h:8080/live/joe/hunter2/123.ts", "http://h:8080/live/***/***/123.ts"),
            ("http://h:8080/joe/hunter2/123", "http://h:8080/***/***/123"),
            ("http://h/joe/hunter2/123.m3u8?x=1", "http://h/***/***/123.m3u8?x=1"),
            ("http://h/live/joe/hunter2/index.m3u8", "http://h/live/***/***/index.m3u8"),
            ("http://h/live/joe/hunter2", "http://h/live/***/***"),
            ("http://h/timeshift/joe/hunter2/60/2026-01-01:10-00/7.ts", "http://h/timeshift/***/***/***/***/7.ts"),
            ("http://h/hunter2/7.ts", "http://h/***/7.ts"),
            ("http://h/7.ts", "http://h/7.ts"),
            (
                "http://h/get.php?username=joe&password=hunter2&type=m3u_plus&output=ts",
                "http://h/get.php?username=***&password=***&type=m3u_plus&output=ts",
            ),
            ("http://h/a?u=joe&p=hunter2;Token=hunter2&x", "http://h/a?u=***&p=***;Token=***&x"),
            ("http://h/a?api_key=1&&API-KEY=2&access_token=", "http://h/a?api_key=***&&API-KEY=***&access_token=***"),
            ("http://h/a?x=eyJhbGciOiJIUzI1NiIsInR5", "http://h/a?x=***"),
            ("http://h/a?eyJhbGciOiJIUzI1NiIsInR5", "http://h/a?***"),
            ("http://h/a?mac=00:1A:79:00:00:01", "http://h/a?mac=***"),
            ("http://h/a?from=http://joe:hunter2@b/", "http://h/a?from=***"),
            ("http://h/a?from=http%3A%2F%2Fjoe%3Ahunter2%40b", "http://h/a?from=***"),
            ("http://h/proxy/joe:hunter2@b/c", "http://h/proxy/***/c"),
            ("http://h/token=hunter2/c.m3u8", "http://h/***/c.m3u8"),
            ("http://h/9f86d081884c7d659a2feaa0c55ad015/c.m3u8", "http://h/***/c.m3u8"),
            ("http://h/stream/channelname-of-a-long-kind", "http://h/stream/channelname-of-a-long-kind"),
            ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
            ("udp://10.0.0.1@239.0.0.1:1234", "udp://10.0.0.1@239.0.0.1:1234"),
            ("rtsp://joe:hunter2@camera/1", "rtsp://***@camera/1"),
            ("rtmp://h/live/one?token=hunter2", "rtmp://h/live/one?token=***"),
            (
                "srt://h:1?passphrase=hunter2hunter2&streamid=u=joe&latency=20",
                "srt://h:1?streamid=***&passphrase=***&latency=20000",
            ),
        ] {
            let url = url(written);
            assert_eq!(url.to_string(), shown, "{written}");
            assert_eq!(format!("{url:?}"), format!("SourceUrl({shown})"));
            assert!(!shown.contains("hunter2") && !shown.contains("joe"));
        }
    }

    #[test]
    fn secrets_are_hidden_in_the_words_of_others() {
        for (line, shown) in [
            ("nothing to hide: a:b", "nothing to hide: a:b"),
            (
                "http://h/live/joe/hunter2/1.ts: Connection timed out",
                "http://h/live/***/***/1.ts: Connection timed out",
            ),
            ("Error opening input file http://joe:hunter2@h/.", "Error opening input file http://***@h/."),
            ("parse_playlist error [https://h/a?token=hunter2]", "parse_playlist error [https://h/a?token=***]"),
            (
                "Opening 'http://h/a?p=hunter2' and \"http://joe@h/\"",
                "Opening 'http://h/a?p=***' and \"http://***@h/\"",
            ),
            ("rtsp://joe:hunter2@camera/1: gone", "rtsp://***@camera/1: gone"),
            ("srt://h:1?mode=listener&passphrase=hunter2: gone", "srt://***: gone"),
            ("crypto+http://joe:hunter2@h/", "crypto+http://***@h/"),
            ("http://h/a|x=hunter2 end", "http://*** end"),
            ("://joe:hunter2", "://***"),
            ("ü://hunter2 ü", "ü://*** ü"),
            ("", ""),
        ] {
            assert_eq!(hide_secrets(line), shown, "{line}");
        }
    }

    /// No text may panic or be read in two ways: whatever is accepted has only harmless characters, and reads back as
    /// itself. Tried with addresses put together from the pieces that confuse parsers.
    #[test]
    fn whatever_is_accepted_reads_back_as_itself() {
        const PIECES: &str = "http,udp,srt,rtp,rtsp,streamid=,latency=8,mode=,caller,10.0.0.1,:1,file,:,//,/,@,?,#,[,],::1,.,..,-,a,example.com,80,%2f,%,ü, ,\\,|,\n,&,=,0x7f";
        let pieces: Vec<&str> = PIECES.split(',').collect();
        let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut accepted = 0;
        for round in 0..40_000 {
            let mut written = String::from(["http://", "", "srt://h:1?", "rtp://", ""][round % 5]);
            for _ in 0..=round % 9 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let index = usize::try_from(state >> 33).unwrap() % pieces.len();
                written.push_str(pieces[index]);
            }
            if let Ok(read) = written.parse::<SourceUrl>() {
                accepted += 1;
                assert!(read.as_str().bytes().all(|b| b.is_ascii_graphic() && !b"\"\\|<>#".contains(&b)), "{written}");
                assert_eq!(url(read.as_str()), read);
                assert!(!read.host().is_empty() && !read.host().starts_with('-'));
                assert!(!read.to_string().is_empty());
                assert_eq!(read.resolve(&written).is_ok(), read.scheme().is_http(), "{written}");
            }
        }
        assert!(accepted > 500, "{accepted} accepted: the test must try something");
    }
}

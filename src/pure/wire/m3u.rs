//! Playlists in the M3U dialect of IPTV, read while they arrive.
//!
//! Not here: fetching, unpacking and redirects (the daemon's `subscriptions`); which channel gets which number when two
//! ask for the same (where the lineup is made); HLS, which is one stream and FFmpeg's to read.
//!
//! The dialect has no specification. What is read is what providers write and players agree on: `#EXTINF` with
//! attributes in either quotes or none, `#EXTGRP`, VLC's `#EXTVLCOPT:http-user-agent` and `http-referrer`, Kodi's
//! `|User-Agent=…&Referer=…` behind an address and in `#KODIPROP:…stream_headers=`. Other lines that begin with `#` are
//! comments. The header may be missing or name guides, lines may end in any way, text may be UTF-8 or Latin-1.
//!
//! The invariant: memory is bounded by one line and one entry, time is linear, and however the bytes are cut into
//! pieces, the same entries come out. Nothing is dropped without being reported as [`Skipped`] and counted.

use crate::limits::{
    ENTRIES_MAX, NAME_BYTES_MAX, PLAYLIST_BYTES_MAX, PLAYLIST_GUIDES_MAX, PLAYLIST_LINE_BYTES_MAX, URL_BYTES_MAX,
};
use crate::model::guide_number::GuideNumber;
use crate::model::headers::{HeaderName, Headers};
use crate::model::source_url::{Scheme, SourceUrl, SourceUrlError};
use crate::wire::percent;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// One channel of a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What a viewer reads; never empty.
    pub name: String,
    /// The number its provider suggests. Two entries may suggest the same.
    pub number: Option<GuideNumber>,
    /// Its id in the provider's guide; empty when none.
    pub tvg_id: String,
    /// Its name in the provider's guide; empty when none.
    pub tvg_name: String,
    /// How much later than its guide says it broadcasts, in minutes.
    pub tvg_shift_min: i16,
    /// Its group; empty when none.
    pub group: String,
    /// The HTTP address of its logo; empty when none.
    pub logo: String,
    /// Its stream.
    pub url: SourceUrl,
    /// The user agent its provider wants to see, if any.
    pub user_agent: Option<String>,
    /// What else its provider wants to see.
    pub headers: Headers,
    /// How what was broadcast before can be had.
    pub catchup: Catchup,
}

/// How what was broadcast before can be had, as the playlist says it: for players that know what to do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catchup {
    /// The kind, such as `default`, `append`, `shift`, `xc`; empty when it cannot be had.
    pub kind: String,
    /// For how many days.
    pub days: u16,
    /// A template of its address; empty when the kind needs none.
    pub source: String,
}

/// Something in a playlist that is no channel for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The line, from 1.
    pub line: u32,
    /// Why.
    pub why: SkipReason,
}

/// Why a part of a playlist is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// An address that we do not open.
    Address(SourceUrlError),
    /// More than [`PLAYLIST_LINE_BYTES_MAX`] bytes in one line. If the line told an entry's name, the entry is kept and
    /// named after its address.
    LineTooLong,
    /// A name without an address after it.
    NoAddress,
}

/// What a playlist came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Channels found.
    pub entries: u32,
    /// Things skipped; each was reported.
    pub skipped: u32,
    /// Entries among the found ones whose number is no guide number, and was left out.
    pub numbers_refused: u32,
    /// Lines read.
    pub lines: u32,
}

/// Why a whole playlist is refused. Whoever asked keeps the lineup they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistError {
    /// Something else was served in its place.
    NotAPlaylist(Seen),
    /// One stream, cut into segments.
    HlsStream,
    /// No channel that we can play, and how many were skipped, the first of them and why.
    Empty {
        /// How many were skipped.
        skipped: u32,
        /// The first of them.
        first: Option<Skipped>,
    },
    /// More than [`ENTRIES_MAX`] entries.
    TooManyEntries,
    /// More than [`PLAYLIST_BYTES_MAX`] bytes.
    TooLong,
}

/// What was served in place of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A web page.
    Html,
    /// XML, such as a guide.
    Xml,
    /// JSON, such as a provider's error.
    Json,
    /// A playlist of the PLS kind.
    Pls,
    /// Something packed by gzip.
    Gzip,
    /// Text in UTF-16.
    Utf16,
    /// A transport stream.
    TransportStream,
    /// Bytes that are no text.
    Binary,
    /// Text without a single address.
    Text,
}

/// Reads one playlist. Push bytes as they come, then call [`Parser::finish`].
#[derive(Debug, Default)]
pub struct Parser {
    /// The line that has not ended yet, up to [`PLAYLIST_LINE_BYTES_MAX`].
    line: Vec<u8>,
    line_is_too_long: bool,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The first bytes of all, for telling what was served instead.
    head: Vec<u8>,
    bytes_len: usize,
    sight: Sight,
    pending: Pending,
    summary: Summary,
    first_skipped: Option<Skipped>,
    guides: Vec<SourceUrl>,
    /// What the header says for entries that say nothing themselves.
    shift: String,
    failed: Option<PlaylistError>,
}

/// What the lines so far look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sight {
    /// Blank, or nothing at all.
    #[default]
    Nothing,
    /// Text of some kind.
    Text,
    /// Something that only playlists have.
    Playlist,
}

/// What was told of an entry before its address.
#[derive(Debug, Default)]
struct Pending {
    /// Where its `#EXTINF` stood.
    line: Option<u32>,
    name: String,
    tvg_name: String,
    tvg_id: String,
    number: String,
    group: String,
    logo: String,
    shift: String,
    user_agent: Option<String>,
    headers: Headers,
    catchup: Catchup,
}

/// Who is told of each entry.
type Listener<'a> = &'a mut dyn FnMut(Result<Entry, Skipped>);

/// How many of the first bytes tell what was served.
const HEAD_BYTES: usize = 4;

impl Parser {
    /// A parser that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The guides that the header names so far, at most [`PLAYLIST_GUIDES_MAX`].
    pub fn guides(&self) -> &[SourceUrl] {
        &self.guides
    }

    /// Takes the next bytes, cut anywhere, and tells `on` of each entry that they complete.
    ///
    /// # Errors
    /// [`PlaylistError`]: the rest need not be fetched; pushing on gives the same error again. What `on` was told
    /// before belongs to no playlist.
    pub fn push(&mut self, bytes: &[u8], on: Listener<'_>) -> Result<(), PlaylistError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.read(bytes, on).inspect_err(|error| self.failed = Some(*error))
    }

    /// Says that no more bytes come: the last line may lack its end.
    ///
    /// # Errors
    /// [`PlaylistError`], among them [`PlaylistError::Empty`].
    pub fn finish(mut self, on: Listener<'_>) -> Result<Summary, PlaylistError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !self.line.is_empty() || self.line_is_too_long {
            self.end_line(on)?;
        }
        self.give_up_pending(on);
        if self.summary.entries > 0 {
            Ok(self.summary)
        } else if self.sight == Sight::Playlist || self.bytes_len == 0 {
            Err(PlaylistError::Empty { skipped: self.summary.skipped, first: self.first_skipped })
        } else {
            Err(PlaylistError::NotAPlaylist(Seen::Text))
        }
    }

    fn read(&mut self, mut bytes: &[u8], on: Listener<'_>) -> Result<(), PlaylistError> {
        let head_missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(head_missing));
        while !bytes.is_empty() {
            let plain_len = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0)).unwrap_or(bytes.len());
            let (plain, rest) = bytes.split_at_checked(plain_len).unwrap_or((bytes, &[]));
            if !plain.is_empty() {
                self.after_cr = false;
                self.count_bytes(plain.len())?;
                self.extend_line(plain);
            }
            let Some((end, rest)) = rest.split_first() else {
                return Ok(());
            };
            self.count_bytes(1)?;
            match end {
                0 => return Err(PlaylistError::NotAPlaylist(self.seen_binary())),
                b'\n' if self.after_cr => self.after_cr = false,
                end => {
                    self.after_cr = *end == b'\r';
                    self.end_line(on)?;
                }
            }
            bytes = rest;
        }
        Ok(())
    }

    fn count_bytes(&mut self, more: usize) -> Result<(), PlaylistError> {
        self.bytes_len = self.bytes_len.saturating_add(more);
        if self.bytes_len > PLAYLIST_BYTES_MAX { Err(PlaylistError::TooLong) } else { Ok(()) }
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        let room = PLAYLIST_LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line_is_too_long |= bytes.len() > room;
        self.line.extend(bytes.iter().take(room));
    }

    fn end_line(&mut self, on: Listener<'_>) -> Result<(), PlaylistError> {
        self.summary.lines = self.summary.lines.saturating_add(1);
        let bytes = core::mem::take(&mut self.line);
        let is_too_long = core::mem::take(&mut self.line_is_too_long);
        let text = decode(without_bom(&bytes, self.summary.lines));
        let text = text.trim();
        let result = self.read_line(text, is_too_long, on);
        self.line = bytes;
        self.line.clear();
        result
    }

    fn read_line(&mut self, text: &str, is_too_long: bool, on: Listener<'_>) -> Result<(), PlaylistError> {
        if text.is_empty() {
            return Ok(());
        }
        if self.sight == Sight::Nothing {
            self.sight = Sight::Text;
            if let Some(seen) = self.seen_instead(text) {
                return Err(PlaylistError::NotAPlaylist(seen));
            }
        }
        if is_too_long {
            // Whatever the line was, it must not leave its neighbour's name to the next address.
            if strip_prefix(text, "#EXTINF:").is_some() {
                self.give_up_pending(on);
            } else if !text.starts_with('#') {
                self.pending = Pending::default();
            }
            self.skip(Skipped { line: self.summary.lines, why: SkipReason::LineTooLong }, on);
        } else if text.starts_with('#') {
            self.read_directive(text, on)?;
        } else {
            self.read_address(text, on)?;
        }
        Ok(())
    }

    fn read_directive(&mut self, text: &str, on: Listener<'_>) -> Result<(), PlaylistError> {
        if let Some(rest) = strip_prefix(text, "#EXTINF:") {
            self.sight = Sight::Playlist;
            self.give_up_pending(on);
            self.pending.line = Some(self.summary.lines);
            self.pending.read_extinf(rest);
        } else if let Some(rest) = strip_prefix(text, "#EXTGRP:") {
            if self.pending.group.is_empty() {
                self.pending.group = cut(rest);
            }
        } else if let Some((name, value)) = strip_prefix(text, "#EXTVLCOPT:http-").and_then(|rest| rest.split_once('='))
        {
            self.pending.set_header(name, unquote(value));
        } else if let Some((key, value)) = strip_prefix(text, "#KODIPROP:").and_then(|rest| rest.split_once('=')) {
            if KODI_HEADERS.iter().any(|known| key.trim().eq_ignore_ascii_case(known)) {
                self.pending.set_headers(value);
            }
        } else if let Some(rest) = strip_prefix(text, "#EXTM3U") {
            self.sight = Sight::Playlist;
            self.read_header(rest);
        } else if HLS_TAGS.iter().any(|tag| strip_prefix(text, tag).is_some()) {
            return Err(PlaylistError::HlsStream);
        }
        Ok(())
    }

    /// Keeps the guides' addresses, of which a header may name several with commas between them, and by how much all of
    /// them are moved.
    fn read_header(&mut self, text: &str) {
        each_attribute(text, |key, value| {
            if ["url-tvg", "x-tvg-url", "tvg-url"].iter().any(|known| key.eq_ignore_ascii_case(known)) {
                for address in value.split(',') {
                    let Ok(url) = address.trim().parse::<SourceUrl>() else { continue };
                    let is_new = url.scheme().is_http() && !self.guides.contains(&url);
                    if is_new && self.guides.len() < PLAYLIST_GUIDES_MAX {
                        self.guides.push(url);
                    }
                }
            } else if key.eq_ignore_ascii_case("tvg-shift") {
                self.shift = cut(value);
            }
        });
    }

    fn read_address(&mut self, text: &str, on: Listener<'_>) -> Result<(), PlaylistError> {
        let mut pending = core::mem::take(&mut self.pending);
        let (address, suffix) = text.split_once('|').unwrap_or((text, ""));
        let url: SourceUrl = match address.trim().parse() {
            Ok(url) => url,
            Err(error) => {
                // A line of prose is no sign of a playlist; an address that we refuse is.
                if address.contains("://") {
                    self.sight = Sight::Playlist;
                }
                self.skip(Skipped { line: self.summary.lines, why: SkipReason::Address(error) }, on);
                return Ok(());
            }
        };
        self.sight = Sight::Playlist;
        if usize::try_from(self.summary.entries).is_ok_and(|entries| entries >= ENTRIES_MAX) {
            return Err(PlaylistError::TooManyEntries);
        }
        self.summary.entries += 1;
        let number = pending.number.trim().parse().ok();
        if number.is_none() && !pending.number.trim().is_empty() {
            self.summary.numbers_refused += 1;
        }
        pending.set_headers(suffix);
        let name = [pending.name, pending.tvg_name.clone(), name_from(&url)]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_else(|| format!("Channel {}", self.summary.entries));
        on(Ok(Entry {
            name,
            number,
            tvg_id: pending.tvg_id,
            tvg_name: pending.tvg_name,
            tvg_shift_min: minutes_from(if pending.shift.is_empty() { &self.shift } else { &pending.shift }),
            group: pending.group,
            logo: pending.logo,
            url,
            user_agent: pending.user_agent,
            headers: pending.headers,
            catchup: pending.catchup,
        }));
        Ok(())
    }

    /// An `#EXTINF` that no address follows is reported where it stood.
    fn give_up_pending(&mut self, on: Listener<'_>) {
        let had = core::mem::take(&mut self.pending);
        if let Some(line) = had.line {
            self.skip(Skipped { line, why: SkipReason::NoAddress }, on);
        } else {
            // `#EXTGRP` and `#EXTVLCOPT` may also stand before their `#EXTINF`.
            self.pending = had;
        }
    }

    fn skip(&mut self, skipped: Skipped, on: Listener<'_>) {
        self.summary.skipped = self.summary.skipped.saturating_add(1);
        self.first_skipped.get_or_insert(skipped);
        on(Err(skipped));
    }

    /// What the first line that is not blank gives away.
    fn seen_instead(&self, text: &str) -> Option<Seen> {
        let starts_with = |prefix| strip_prefix(text, prefix).is_some();
        if self.head.starts_with(&[0x1f, 0x8b]) {
            Some(Seen::Gzip)
        } else if starts_with("<?xml") || starts_with("<tv") {
            Some(Seen::Xml)
        } else if starts_with("<") {
            Some(Seen::Html)
        } else if starts_with("[playlist]") {
            Some(Seen::Pls)
        } else if starts_with("{") || starts_with("[") {
            Some(Seen::Json)
        } else {
            None
        }
    }

    /// What bytes that hold a NUL are.
    fn seen_binary(&self) -> Seen {
        match self.head.as_slice() {
            [0x1f, 0x8b, ..] => Seen::Gzip,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Seen::Utf16,
            [0x47, ..] => Seen::TransportStream,
            _ => Seen::Binary,
        }
    }
}

/// Each HLS playlist has one of these, and nothing else does.
///
/// Source: RFC 8216, sections 4.3.3.1, 4.3.3.2 and 4.3.4.2.
const HLS_TAGS: [&str; 3] = ["#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-STREAM-INF"];

/// Kodi's properties that hold headers, written like what follows the bar behind an address.
const KODI_HEADERS: [&str; 3] = [
    "inputstream.adaptive.stream_headers",
    "inputstream.adaptive.manifest_headers",
    "inputstream.adaptive.common_headers",
];

impl Pending {
    /// Reads what follows `#EXTINF:`, a duration, attributes, a comma and the name.
    fn read_extinf(&mut self, text: &str) {
        let attributes = text.trim_start_matches(|c: char| !c.is_whitespace() && c != ',');
        if let Some(name) = each_attribute(attributes, |key, value| self.set(key, value)) {
            self.name = cut(name);
        }
    }

    /// `User-Agent=…&Referer=…`, percent-encoded.
    fn set_headers(&mut self, text: &str) {
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            self.set_header(name, &percent_decode(value));
        }
    }

    fn set_header(&mut self, name: &str, value: &str) {
        if name.trim().eq_ignore_ascii_case("user-agent") {
            self.user_agent = clean_user_agent(value).or(self.user_agent.take());
        } else if let Some(name) = HeaderName::find(name) {
            self.headers.set(name, value);
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        if is("tvg-id") {
            self.tvg_id = cut(value);
        } else if is("tvg-name") {
            self.tvg_name = cut(value);
        } else if is("tvg-chno") || (is("channel-number") && self.number.is_empty()) {
            self.number = cut(value);
        } else if is("group-title") {
            self.group = cut(value);
        } else if is("tvg-shift") {
            self.shift = cut(value);
        } else if is("catchup") || is("catchup-type") {
            self.catchup.kind = cut(value);
        } else if is("catchup-source") {
            self.catchup.source = cut_to(value, URL_BYTES_MAX);
        } else if is("catchup-days") || is("timeshift") || is("tvg-rec") {
            self.catchup.days = value.trim().parse().unwrap_or(self.catchup.days);
        } else if is("tvg-logo") || (is("logo") && self.logo.is_empty()) {
            let logo = value.trim().parse().ok().filter(|logo: &SourceUrl| logo.scheme().is_http());
            self.logo = logo.map(|logo| logo.as_str().to_string()).unwrap_or_default();
        }
    }
}

/// An attribute's value, in quotes or up to the next space or comma, and what follows it.
fn split_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        // Without a second quote, the first one is taken for a mistake.
        if let Some((value, after)) = text.strip_prefix(quote).and_then(|inner| inner.split_once(quote)) {
            return (value, after);
        }
    }
    let len = text.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(text.len());
    let (value, after) = text.split_at_checked(len).unwrap_or((text, ""));
    (value.trim_start_matches(['"', '\'']), after)
}

/// Tells `on` of each attribute, up to the comma that a name follows, which is given back.
fn each_attribute(text: &str, mut on: impl FnMut(&str, &str)) -> Option<&str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(name) = rest.strip_prefix(',') {
            return Some(name);
        }
        let key_len = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | '=')).unwrap_or(rest.len());
        let (key, after) = rest.split_at_checked(key_len).unwrap_or((rest, ""));
        let Some(value) = after.strip_prefix('=') else {
            if after.is_empty() {
                return None;
            }
            // A word that is no attribute.
            rest = after;
            continue;
        };
        let (value, after) = split_value(value);
        on(key, value);
        rest = after;
    }
}

/// `-1.5` hours are -90 minutes. What is no number within two days is none.
fn minutes_from(hours: &str) -> i16 {
    let hours = hours.trim();
    let (sign, digits) = match hours.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, hours.strip_prefix('+').unwrap_or(hours)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = if whole.is_empty() && !part.is_empty() { "0" } else { whole };
    let Some(whole) = whole.parse::<i16>().ok().filter(|whole| (0..=48).contains(whole)) else { return 0 };
    // Guides are shifted by quarters of an hour at most.
    let part = match part.get(..part.len().min(2)).unwrap_or_default() {
        "25" => 15,
        "5" | "50" => 30,
        "75" => 45,
        _ => 0,
    };
    sign * (whole * 60 + part)
}

fn clean_user_agent(text: &str) -> Option<String> {
    Some(cut(text)).filter(|user_agent| !user_agent.is_empty())
}

fn unquote(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// A name out of the last part of an address, as far as it may be shown.
fn name_from(url: &SourceUrl) -> String {
    if matches!(url.scheme(), Scheme::Rtp | Scheme::Srt | Scheme::Udp) {
        return cut(&format!("{}:{}", url.host(), url.port()));
    }
    let shown = url.to_string();
    let path = shown.split_once('?').map_or(shown.as_str(), |(path, _)| path);
    let last = path.rsplit('/').next().unwrap_or_default();
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    if stem.contains("***") { String::new() } else { cut(&percent_decode(stem)) }
}

/// Decodes `%20` and the like; what is not UTF-8 afterwards is left as it was.
fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    String::from_utf8(percent::decode(text)).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The text without control characters and blank ends, at most [`NAME_BYTES_MAX`] bytes, cut at a character.
fn cut(text: &str) -> String {
    cut_to(text, NAME_BYTES_MAX)
}

fn cut_to(text: &str, bytes_max: usize) -> String {
    let mut kept = String::new();
    for c in text.trim().chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > bytes_max {
            break;
        }
        kept.push(c);
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// UTF-8, or else Latin-1, whose bytes are the first 256 characters.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match core::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

fn without_bom(bytes: &[u8], line: u32) -> &[u8] {
    if line == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes }
}

/// What follows `prefix`, which is ASCII, in either case.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::LineTooLong => write!(f, "the line is longer than {PLAYLIST_LINE_BYTES_MAX} bytes"),
            Self::NoAddress => f.write_str("no address follows this name"),
        }
    }
}

impl fmt::Display for PlaylistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPlaylist(seen) => write!(f, "this is not a playlist but {seen}"),
            Self::HlsStream => f.write_str(
                "this is one stream (HLS), not a list of channels; put its address into a playlist of your own, below \
                 a line such as #EXTINF:-1,My channel",
            ),
            Self::Empty { skipped: 0, .. } => f.write_str("the playlist lists no channels; ask your provider why"),
            Self::Empty { skipped, first } => {
                write!(f, "the playlist lists no channel that can be played; {skipped} were skipped")?;
                match first {
                    Some(first) => write!(f, ", the first at {first}"),
                    None => Ok(()),
                }
            }
            Self::TooManyEntries => write!(
                f,
                "the playlist lists more than {ENTRIES_MAX} entries; ask your provider for a shorter list, most can \
                 filter by country or group"
            ),
            Self::TooLong => write!(
                f,
                "the playlist is longer than {} MiB; ask your provider for one without films and series",
                PLAYLIST_BYTES_MAX / (1024 * 1024)
            ),
        }
    }
}

impl core::error::Error for PlaylistError {}

/// Ends the sentence that [`PlaylistError`] begins.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Html => "a web page; open the address in a browser to see what your provider says",
            Self::Xml => "XML, perhaps the guide; take your provider's M3U address",
            Self::Json => "JSON, perhaps an error of your provider; open the address in a browser to see it",
            Self::Pls => "a PLS file; take the M3U address instead",
            Self::Gzip => "packed with gzip; unpack it, or take the address without .gz",
            Self::Utf16 => "text in UTF-16; save it as UTF-8",
            Self::TransportStream => {
                "a stream; put its address into a playlist of your own, below a line such as #EXTINF:-1,My channel"
            }
            Self::Binary => "something that is not text; check the address",
            Self::Text => "text without a single address; check the address you gave",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use std::string::ToString;

    type Outcome = (Vec<Result<Entry, Skipped>>, Result<Summary, PlaylistError>);

    /// Reads `playlist` in pieces of `piece_len` bytes.
    fn read_in_pieces(playlist: &[u8], piece_len: usize) -> Outcome {
        let mut parser = Parser::new();
        let mut told = Vec::new();
        for piece in playlist.chunks(piece_len) {
            if let Err(error) = parser.push(piece, &mut |entry| told.push(entry)) {
                assert_eq!(parser.push(b"more", &mut |_| ()), Err(error), "an error stays");
                assert_eq!(parser.finish(&mut |_| ()), Err(error));
                return (told, Err(error));
            }
        }
        let result = parser.finish(&mut |entry| told.push(entry));
        (told, result)
    }

    fn read(playlist: impl AsRef<[u8]>) -> Outcome {
        read_in_pieces(playlist.as_ref(), usize::MAX)
    }

    fn only(playlist: impl AsRef<[u8]>) -> Entry {
        let (told, result) = read(playlist);
        assert_eq!(told.len(), 1, "{told:?} {result:?}");
        told.into_iter().next().unwrap().unwrap()
    }

    fn entry(name: &str, url: &str) -> Entry {
        Entry {
            name: name.to_string(),
            number: None,
            tvg_id: String::new(),
            tvg_name: String::new(),
            tvg_shift_min: 0,
            group: String::new(),
            logo: String::new(),
            url: url.parse().unwrap(),
            user_agent: None,
            headers: Headers::default(),
            catchup: Catchup::default(),
        }
    }

    #[test]
    fn every_dialect_of_headers_and_attributes_is_read() {
        let text = "#EXTM3U url-tvg=\"http://g/1.xml.gz, http://g/2.xml\" x-tvg-url='http://g/3.xml' m3u-autoload=1\n\
            #EXTINF:-1 tvg-id=a tvg-name=\"A one\" tvg-shift=-1.5 logo=\"http://l/a.png\" catchup=\"append\" \
            catchup-days=7 catchup-source=\"?utc={utc}&lutc={lutc}\",A\n\
            #EXTVLCOPT:http-user-agent=\"VLC/3\"\n#EXTVLCOPT:http-referrer=http://r/\n#EXTVLCOPT:network-caching=1\n\
            #KODIPROP:inputstream.adaptive.stream_headers=Origin=http%3A%2F%2Fo&X-Other=1\n\
            http://h/a.ts|Cookie=s%3D1&Referer=http%3A%2F%2Flast\n\
            #EXTINF:-1,B\nhttp://h/b.ts\n";
        let mut parser = Parser::new();
        let mut told = Vec::new();
        parser.push(text.as_bytes(), &mut |entry| told.push(entry.unwrap())).unwrap();
        let guides: Vec<&str> = parser.guides().iter().map(SourceUrl::as_str).collect();
        assert_eq!(guides, ["http://g/1.xml.gz", "http://g/2.xml", "http://g/3.xml"]);
        let first = &told[0];
        assert_eq!(
            (first.tvg_name.as_str(), first.tvg_shift_min, first.logo.as_str()),
            ("A one", -90, "http://l/a.png")
        );
        assert_eq!(first.user_agent.as_deref(), Some("VLC/3"));
        assert_eq!(first.headers.to_lines(), "Referer: http://last\r\nOrigin: http://o\r\nCookie: s=1\r\n");
        let source = "?utc={utc}&lutc={lutc}".to_string();
        assert_eq!(first.catchup, Catchup { kind: "append".to_string(), days: 7, source });
        assert_eq!(told[1], entry("B", "http://h/b.ts"), "what was said of one entry is not said of the next");
    }

    #[test]
    fn shifts_are_quarters_of_hours() {
        for (text, minutes) in [
            ("", 0),
            ("1", 60),
            ("+2", 120),
            ("-1.5", -90),
            (".5", 30),
            ("-.25", -15),
            (".", 0),
            ("0.25", 15),
            ("5.75", 345),
            ("49", 0),
            ("x", 0),
            ("--1", 0),
        ] {
            assert_eq!(minutes_from(text), minutes, "{text}");
        }
    }

    #[test]
    fn a_head_moves_what_says_nothing_itself() {
        let text = "#EXTM3U tvg-shift=-2\n#EXTINF:-1,A\nhttp://h/a\n#EXTINF:-1 tvg-shift=\"1.5\",B\nhttp://h/b\n\
                    #EXTINF:-1 tvg-shift=0,C\nhttp://h/c\n";
        let shifts: Vec<i16> = read(text).0.into_iter().map(|entry| entry.unwrap().tvg_shift_min).collect();
        assert_eq!(shifts, [-120, 90, 0]);
    }

    /// As a provider sends it, with most of what the dialect has.
    const ORDINARY: &str = "\u{feff}#EXTM3U x-tvg-url=\"http://example.com/guide.xml\"\r\n\
        #EXTINF:-1 tvg-id=\"ard.de\" tvg-name=\"ARD\" tvg-chno=\"1\" tvg-logo=\"http://example.com/ard.png\" \
        group-title=\"Vollprogramm, HD\",Das Erste, HD\r\n\
        #EXTVLCOPT:http-user-agent=VLC/3.0\r\n\
        http://example.com/ard.ts\r\n\
        \r\n\
        # a comment\r\n\
        #KODIPROP:inputstream=inputstream.adaptive\r\n\
        #EXTINF:0 channel-number='5.10' group-title=News,Nachrichten für alle\r\n\
        http://example.com/n.m3u8|Referer=http%3A%2F%2Fa&User-Agent=Kodi%2F21%20x\r\n\
        #EXTINF:-1,Multicast\r\n\
        #EXTGRP:Local\r\n\
        udp://@239.0.0.1:1234\r\n\
        #EXTINF:-1,Camera\r\n\
        mms://camera/1\r\n";

    #[test]
    fn an_ordinary_playlist_is_read() {
        let (told, result) = read(ORDINARY);
        assert_eq!(
            told,
            vec![
                Ok(Entry {
                    number: Some(GuideNumber::whole(1)),
                    tvg_id: "ard.de".to_string(),
                    tvg_name: "ARD".to_string(),
                    group: "Vollprogramm, HD".to_string(),
                    logo: "http://example.com/ard.png".to_string(),
                    user_agent: Some("VLC/3.0".to_string()),
                    ..entry("Das Erste, HD", "http://example.com/ard.ts")
                }),
                Ok(Entry {
                    number: Some(GuideNumber::subchannel(5, 10)),
                    group: "News".to_string(),
                    user_agent: Some("Kodi/21 x".to_string()),
                    headers: Headers::from_lines("Referer: http://a"),
                    ..entry("Nachrichten für alle", "http://example.com/n.m3u8")
                }),
                Ok(Entry { group: "Local".to_string(), ..entry("Multicast", "udp://239.0.0.1:1234") }),
                Err(Skipped { line: 14, why: SkipReason::Address(SourceUrlError::SchemeNotYet("mms")) }),
            ]
        );
        assert_eq!(result, Ok(Summary { entries: 3, skipped: 1, numbers_refused: 0, lines: 14 }));
    }

    /// What is at stake: networks cut anywhere, in a line end, in a character, in the byte order mark. Tried with every
    /// size of piece.
    #[test]
    fn any_cut_yields_the_same_entries() {
        let mut latin =
            b"\xef\xbb\xbf#EXTM3U\r#EXTINF:-1,M\xfcnchen\n\rhttp://a/\xfc\r\n\n\n#EXTINF:1,x\rhttp://b/".to_vec();
        latin.extend_from_slice("\r\n#EXTINF:1,ü\r\r\n#EXTINF:1,y".as_bytes());
        let overlong = [b"#EXTM3U\n".as_slice(), &vec![b'x'; PLAYLIST_LINE_BYTES_MAX + 1], b"\nhttp://a/\n"].concat();
        let binary = b"#EXTM3U\nhttp://a/\n\0http://b/\n".to_vec();
        for playlist in [ORDINARY.as_bytes(), &latin, &overlong, &binary] {
            let whole = read(playlist);
            for piece_len in (1..80).chain([1_000, 16_383, 16_384, 16_385]) {
                assert_eq!(read_in_pieces(playlist, piece_len), whole, "{piece_len}");
            }
        }
        for cut_at in 0..=latin.len() {
            let (left, right) = latin.split_at(cut_at);
            let mut parser = Parser::new();
            let mut told = Vec::new();
            for piece in [left, &[], right] {
                parser.push(piece, &mut |entry| told.push(entry)).unwrap();
            }
            let result = parser.finish(&mut |entry| told.push(entry));
            assert_eq!((told, result), read(&latin), "{cut_at}");
        }
    }

    #[test]
    fn lines_end_in_any_way() {
        for end in ["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r"] {
            for last in ["", end] {
                let playlist = ["#EXTM3U", end, "#EXTINF:-1,A", end, "http://a/1", end, "http://a/b", last].concat();
                let (told, _) = read(playlist);
                assert_eq!(told, vec![Ok(entry("A", "http://a/1")), Ok(entry("b", "http://a/b"))], "{end:?} {last:?}");
            }
        }
        assert_eq!(read("#EXTM3U\r\nhttp://a/\r\n").1.unwrap().lines, 2, "CR LF is one end");
    }

    #[test]
    fn names_come_from_the_best_place() {
        for (lines, name) in [
            ("#EXTINF:-1,Plain\nhttp://a/b.ts", "Plain"),
            ("#EXTINF:-1,  spaced \t\nhttp://a/b.ts", "spaced"),
            ("#EXTINF:-1 ,Name\nhttp://a/b.ts", "Name"),
            ("#EXTINF:-1.5,One, two, three\nhttp://a/b.ts", "One, two, three"),
            ("#extinf:-1,Lower\nhttp://a/b.ts", "Lower"),
            ("#EXTINF:,Name\nhttp://a/b.ts", "Name"),
            ("#EXTINF:-1 tvg-name=\"Guide\",Shown\nhttp://a/b.ts", "Shown"),
            ("#EXTINF:-1 tvg-name=\"Guide\",\nhttp://a/b.ts", "Guide"),
            ("#EXTINF:-1 tvg-name=\"Guide\"\nhttp://a/b.ts", "Guide"),
            ("#EXTINF:-1 tvg-name='It, is'\nhttp://a/b.ts", "It, is"),
            ("#EXTINF:-1 tvg-name=Bare tvg-id=x\nhttp://a/b.ts", "Bare"),
            ("#EXTINF:-1 tvg-name=\"a,b\" tvg-id='c,d' x=\"e,f\",N\nhttp://a/b.ts", "N"),
            ("#EXTINF:-1 tvg-name=\"open,Name\nhttp://a/b.ts", "Name"),
            ("#EXTINF:-1 tvg-name=\"an \"inner\" quote\",Name\nhttp://a/b.ts", "Name"),
            ("#EXTINF:-1 junk = = words,Name\nhttp://a/b.ts", "Name"),
            ("#EXTINF:-1 a=b\u{a0}c,Name\nhttp://a/b.ts", "Name"),
            ("#EXTINF:-1,a\u{1b}[31mb\u{7}\nhttp://a/b.ts", "a[31mb"),
            ("#EXTINF:-1,<script>&\"\nhttp://a/b.ts", "<script>&\""),
            ("#EXTINF:-1\nhttp://a/b.ts", "b"),
            ("#EXTINF\nhttp://a/das%20erste.hd.ts?x=1/y", "das erste.hd"),
            ("http://a/%FF.ts", "%FF"),
            ("http://a/%c3%bc%0a.ts", "ü"),
            ("http://a/100%.ts", "100%"),
            ("http://a/", "Channel 1"),
            ("http://a/b/", "Channel 1"),
            ("http://a/.ts", "Channel 1"),
            ("http://a/joe/hunter2/123.ts", "123"),
            ("http://a/9f86d081884c7d659a2feaa0c55ad015.ts", "Channel 1"),
            ("udp://@239.0.0.1:1234", "239.0.0.1:1234"),
        ] {
            assert_eq!(only(lines).name, name, "{lines}");
        }
        let long = only(format!("#EXTINF:-1,{}\nhttp://a/", "ü".repeat(1_000)));
        assert_eq!(long.name, "ü".repeat(NAME_BYTES_MAX / 2), "cut at a character");
    }

    #[test]
    fn attributes_are_read_or_left_out() {
        let numbered = |attributes: &str| only(format!("#EXTINF:-1 {attributes},N\nhttp://a/")).number;
        for (attributes, number) in [
            ("tvg-chno=\"5.1\"", Some("5.1")),
            ("TVG-CHNO=5", Some("5")),
            ("tvg-chno=\" 007 \"", Some("7")),
            ("channel-number=\"9\"", Some("9")),
            ("channel-number=\"9\" tvg-chno=\"8\"", Some("8")),
            ("tvg-chno=\"8\" channel-number=\"9\"", Some("8")),
            ("tvg-chno=\"\"", None),
            ("tvg-chno=\"5-1\"", None),
            ("tvg-chno=\"1e3\"", None),
        ] {
            assert_eq!(numbered(attributes), number.map(|number| number.parse().unwrap()), "{attributes}");
        }
        let (_, result) = read("#EXTINF:-1 tvg-chno=\"x\",N\nhttp://a/\n#EXTINF:-1 tvg-chno=\"\",N\nhttp://b/\n");
        assert_eq!(result.unwrap().numbers_refused, 1);

        for (logo, kept) in [
            ("http://a/l.png", "http://a/l.png"),
            ("HTTPS://A/ü.png", "https://a/%C3%BC.png"),
            ("javascript:alert(1)", ""),
            ("data:image/png;base64,AAAA", ""),
            ("file:///l.png", ""),
            ("udp://@239.0.0.1:1", ""),
            ("l.png", ""),
            ("", ""),
        ] {
            assert_eq!(only(format!("#EXTINF:-1 tvg-logo=\"{logo}\",N\nhttp://a/")).logo, kept, "{logo}");
        }

        for (lines, user_agent) in [
            ("#EXTVLCOPT:http-user-agent=A B\nhttp://a/", Some("A B")),
            ("#EXTVLCOPT:http-user-agent=\"A\"\nhttp://a/", Some("A")),
            ("#EXTVLCOPT:http-user-agent=\nhttp://a/", None),
            ("#EXTVLCOPT:http-referrer=A\nhttp://a/", None),
            ("http://a/|user-agent=A%0D%0AHost:%20b", Some("AHost: b")),
            ("http://a/|User-Agent=", None),
            ("http://a/|Referer=x", None),
            ("#EXTVLCOPT:http-user-agent=A\nhttp://a/ | User-Agent=B&c", Some("B")),
            ("#EXTVLCOPT:http-user-agent=A\n#EXTINF:-1,N\nhttp://a/", Some("A")),
        ] {
            assert_eq!(only(lines).user_agent.as_deref(), user_agent, "{lines}");
        }
        let two = "#EXTINF:-1 tvg-chno=1 group-title=G,A\n#EXTVLCOPT:http-user-agent=X\nhttp://a/\nhttp://b/c";
        assert_eq!(read(two).0.last(), Some(&Ok(entry("c", "http://b/c"))), "nothing is left for the next entry");
        let both = only("#EXTGRP:Later\n#EXTINF:-1 group-title=\"First\",N\nhttp://a/");
        assert_eq!(both.group, "First");
        assert_eq!(only("#EXTGRP:Before\n#EXTINF:-1,N\nhttp://a/").group, "Before");
    }

    #[test]
    fn text_may_be_latin_1() {
        assert_eq!(only(b"#EXTINF:-1,M\xfcnchen\nhttp://a/\xfc").name, "München");
        assert_eq!(only(b"#EXTINF:-1,M\xfcnchen\nhttp://a/\xfc").url.as_str(), "http://a/%C3%BC");
        assert_eq!(only("#EXTINF:-1,München\nhttp://a/").name, "München", "UTF-8 is told by the line");
    }

    #[test]
    fn what_is_skipped_is_told_and_counted() {
        let playlist = format!(
            "#EXTM3U\n#EXTINF:-1,no address\n#EXTINF:-1,file\nfile:///etc/passwd\n#EXTINF:-1,space\nhttp://a/b c\n\
             #EXTINF:-1,far\n{}\n#EXTINF:-1 tvg-logo=\"data:{}\",Long\nhttp://a/kept.ts\n#EXTINF:-1,last",
            "http://a/".repeat(PLAYLIST_LINE_BYTES_MAX / 8),
            "A".repeat(PLAYLIST_LINE_BYTES_MAX)
        );
        let (told, result) = read(&playlist);
        let skipped = |line, why| Err(Skipped { line, why });
        assert_eq!(
            told,
            vec![
                skipped(2, SkipReason::NoAddress),
                skipped(4, SkipReason::Address(SourceUrlError::SchemeRefused)),
                skipped(6, SkipReason::Address(SourceUrlError::Character(' '))),
                skipped(8, SkipReason::LineTooLong),
                skipped(9, SkipReason::LineTooLong),
                Ok(entry("kept", "http://a/kept.ts")),
                skipped(11, SkipReason::NoAddress),
            ]
        );
        assert_eq!(result, Ok(Summary { entries: 1, skipped: 6, numbers_refused: 0, lines: 11 }));
        let fits = format!("#{}\nhttp://a/b", "x".repeat(PLAYLIST_LINE_BYTES_MAX - 1));
        assert_eq!(read(fits).1.unwrap().skipped, 0, "the longest line is read");
    }

    #[test]
    fn what_is_no_playlist_is_named() {
        for (served, seen) in [
            (b"<!DOCTYPE html><html>".as_slice(), Seen::Html),
            (b"\n\n  <html>\nhttp://a/\n", Seen::Html),
            (b"\xef\xbb\xbf<?xml version=\"1.0\"?>", Seen::Xml),
            (b"<tv generator-info-name=\"x\">", Seen::Xml),
            (b"{\"user_info\":{\"auth\":0}}", Seen::Json),
            (b"[]", Seen::Json),
            (b"[playlist]\nFile1=http://a/", Seen::Pls),
            (b"\x1f\x8b\x08\x00\x00\x00", Seen::Gzip),
            (b"\x1f\x8b\x08\x08abcd\n", Seen::Gzip),
            (b"\xff\xfe#\0E\0X\0T\0", Seen::Utf16),
            (b"\xfe\xff\0#\0E", Seen::Utf16),
            (b"G@\x11\x10\0B\xf0%", Seen::TransportStream),
            (b"\x89PNG\r\n\x1a\n\0\0\0", Seen::Binary),
            (b"#EXTM3U\nhttp://a/\n\0", Seen::Binary),
            (b"Account expired", Seen::Text),
            (b"Hello\nworld\n", Seen::Text),
            (b"# only a comment", Seen::Text),
            (b"\n\n", Seen::Text),
        ] {
            let (_, result) = read(served);
            assert_eq!(result, Err(PlaylistError::NotAPlaylist(seen)), "{}", decode(served));
        }
        let minified = [b"<html>".as_slice(), &vec![b'x'; 3 * PLAYLIST_LINE_BYTES_MAX]].concat();
        assert_eq!(read(minified).1, Err(PlaylistError::NotAPlaylist(Seen::Html)));
    }

    #[test]
    fn one_stream_is_not_a_list_of_channels() {
        for served in [
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXTINF:6.0,\n1.ts\n",
            "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:6.0,\n1.ts\n",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n",
        ] {
            assert_eq!(read(served).1, Err(PlaylistError::HlsStream), "{served}");
        }
        assert!(read("#EXTM3U\n#EXT-X-APP:x\n#EXTINF:-1,A\nhttp://a/\n").1.is_ok(), "players have tags of their own");
    }

    #[test]
    fn a_playlist_without_channels_says_so() {
        assert_eq!(read("").1, Err(PlaylistError::Empty { skipped: 0, first: None }));
        assert_eq!(read("#EXTM3U\n").1, Err(PlaylistError::Empty { skipped: 0, first: None }));
        let (_, result) = read("#EXTM3U\n#EXTINF:-1,A\nmms://a/\n#EXTINF:-1,B\nfile:/b\n");
        let first = Skipped { line: 3, why: SkipReason::Address(SourceUrlError::SchemeNotYet("mms")) };
        assert_eq!(result, Err(PlaylistError::Empty { skipped: 2, first: Some(first) }));
        assert_eq!(
            result.unwrap_err().to_string(),
            "the playlist lists no channel that can be played; 2 were skipped, the first at line 3: mms:// streams are \
             not played yet; look for an http, rtsp, rtmp, srt, udp or rtp address"
        );
    }

    #[test]
    fn ten_thousand_channels_are_read() {
        let mut playlist = String::from("#EXTM3U\n");
        for index in 0..10_000 {
            let number = index.to_string();
            playlist +=
                &["#EXTINF:-1 tvg-chno=\"", &number, "\",Channel ", &number, "\nhttp://a/", &number, "\n"].concat();
        }
        let (told, result) = read_in_pieces(playlist.as_bytes(), 1_448);
        assert_eq!(result, Ok(Summary { entries: 10_000, skipped: 0, numbers_refused: 0, lines: 20_001 }));
        let last = told.last().unwrap().as_ref().unwrap();
        assert_eq!((last.name.as_str(), last.number), ("Channel 9999", Some(GuideNumber::whole(9_999))));
    }

    /// What is at stake: a hostile playlist must not take the memory or the time of the box (M01). Tried at each limit,
    /// and with lines that would be slow if any part of one were read twice.
    #[test]
    fn limits_hold() {
        let entry_line = b"http://a/\n";
        let mut parser = Parser::new();
        for _ in 0..ENTRIES_MAX {
            parser.push(entry_line, &mut |_| ()).unwrap();
        }
        assert_eq!(parser.push(entry_line, &mut |_| ()), Err(PlaylistError::TooManyEntries));

        let mut parser = Parser::new();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..PLAYLIST_BYTES_MAX >> 20 {
            parser.push(&piece, &mut |_| ()).unwrap();
        }
        assert_eq!(parser.line.len(), PLAYLIST_LINE_BYTES_MAX, "one line is kept, whatever comes");
        assert_eq!(parser.push(b"x", &mut |_| ()), Err(PlaylistError::TooLong));

        for odd in ["\"", "a=\"", "= ", ",", "'a", "a='b ", "%", "\u{a0}"] {
            let line = format!("#EXTINF:{}\nhttp://a/\n", odd.repeat(PLAYLIST_LINE_BYTES_MAX / odd.len() - 8));
            for _ in 0..20 {
                assert_eq!(read(&line).0.len(), 1, "{odd:?}");
            }
        }
    }

    #[test]
    fn every_refusal_is_a_sentence() {
        for error in [
            PlaylistError::HlsStream,
            PlaylistError::TooManyEntries,
            PlaylistError::TooLong,
            PlaylistError::Empty { skipped: 0, first: None },
            PlaylistError::NotAPlaylist(Seen::Html),
            PlaylistError::NotAPlaylist(Seen::Text),
        ] {
            let text = error.to_string();
            assert!(text.starts_with("th") && text.len() > 30 && !text.contains("  "), "{text}");
        }
    }

    #[test]
    fn a_head_names_guides() {
        for (head, expected) in [
            ("#EXTM3U x-tvg-url=\"http://h/a.xml.gz\"", &["http://h/a.xml.gz"][..]),
            ("#EXTM3U url-tvg='http://h/a,https://h/b' x-tvg-url=\"http://h/a\"", &["http://h/a", "https://h/b"]),
            ("#EXTM3U url-tvg=http://h/a tvg-shift=0", &["http://h/a"]),
            ("#EXTM3U x-tvg-url=\"\"", &[]),
            ("#EXTM3U x-tvg-url=\"file:///etc/passwd,udp://239.0.0.1:1\"", &[]),
            ("#EXTM3U", &[]),
        ] {
            let mut parser = Parser::new();
            parser.push(format!("{head}\nhttp://h/x\n").as_bytes(), &mut |_| {}).unwrap();
            let guides: Vec<&str> = parser.guides().iter().map(SourceUrl::as_str).collect();
            assert_eq!(guides, expected, "{head}");
        }
    }
}

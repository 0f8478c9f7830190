//! HLS playlists: masters that name variants, and windows of segments.
//!
//! A playlist is read whole, from text that the fetcher has bounded; what it costs in memory is bounded by
//! [`HLS_LINES_MAX`]. Addresses stay as they are written: what they are relative to, and whether anybody may go there,
//! is the fetcher's business. Which segment is next is decided in [`crate::rules::window`].
//!
//! What is [`HlsError::Beyond`] us is for FFmpeg: sound in a playlist of its own, fragments of MP4, variables, and
//! samples that are encrypted one by one. Left out, because nothing that we do depends on it: low-latency parts, date
//! ranges, I-frame playlists, and subtitles.
//!
//! Source: RFC 8216.

use crate::limits::{HLS_BYTES_MAX, HLS_LINES_MAX, URL_BYTES_MAX};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playlist {
    /// Names variants of the same, at least one.
    Master(Vec<Variant>),
    /// Names segments.
    Media(Media),
}

/// One quality of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Where its playlist is.
    pub uri: String,
    /// Bits a second at most.
    pub bandwidth: u64,
    /// Its picture is coded in H.264, or it does not say.
    pub is_h264: bool,
    /// Its sound is not in its segments, but in a playlist of its own.
    pub sound_apart: bool,
}

/// A window of segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// The longest that a segment lasts.
    pub target_ms: u64,
    /// The number of the first segment.
    pub sequence: u64,
    /// Nothing will be added.
    pub is_over: bool,
    /// In order.
    pub segments: Vec<Segment>,
    /// Keys that segments refer to, each once.
    keys: Vec<Key>,
}

/// A piece of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is.
    pub part: Part,
    /// How long it lasts.
    pub duration_ms: u64,
    /// It follows on nothing: other streams, other clocks.
    pub discontinuity: bool,
    /// It is known to be missing.
    pub is_gap: bool,
    key: Option<usize>,
}

/// An address, or some bytes of what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub uri: String,
    /// The first byte and how many; all of it otherwise.
    pub range: Option<(u64, u64)>,
}

/// How segments are encrypted: AES-128 in CBC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where its sixteen bytes are.
    pub uri: String,
    /// Where to begin; the segment's number otherwise.
    pub iv: Option<[u8; 16]>,
}

impl Media {
    /// How a segment of it is encrypted.
    pub fn key(&self, segment: &Segment) -> Option<&Key> {
        self.keys.get(segment.key?)
    }
}

/// Where the decryption of segment `sequence` begins.
pub fn iv(key: &Key, sequence: u64) -> [u8; 16] {
    key.iv.unwrap_or_else(|| u128::from(sequence).to_be_bytes())
}

/// Why a text is no playlist that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HlsError {
    /// It does not begin with `#EXTM3U`.
    NoPlaylist,
    /// More than [`HLS_LINES_MAX`] lines, or [`HLS_BYTES_MAX`] bytes.
    TooLong,
    /// An address longer than [`URL_BYTES_MAX`].
    LongAddress,
    /// It names nothing.
    Empty,
    /// It is encrypted for its provider's own player.
    Encryption,
    /// It is sound, and FFmpeg plays it better than we do, or alone.
    Beyond,
}

impl fmt::Display for HlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPlaylist => "what came is no HLS playlist",
            Self::TooLong => "its playlist is too long",
            Self::LongAddress => "its playlist has an address that is too long",
            Self::Empty => "its playlist names no segments",
            Self::Encryption => "it is encrypted in a way that only its provider's own player can open",
            Self::Beyond => "its playlist is of a kind that FFmpeg reads by itself",
        })
    }
}

/// Reads a playlist.
///
/// # Errors
/// [`HlsError`]: nothing of it can be used.
pub fn parse(text: &str) -> Result<Playlist, HlsError> {
    if text.len() > HLS_BYTES_MAX {
        return Err(HlsError::TooLong);
    }
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    if !lines.next().is_some_and(|first| first.starts_with("#EXTM3U")) {
        return Err(HlsError::NoPlaylist);
    }
    let mut reading = Reading::default();
    for (number, line) in lines.enumerate() {
        if number >= HLS_LINES_MAX {
            return Err(HlsError::TooLong);
        }
        if !line.is_empty() {
            reading.line(line)?;
        }
    }
    reading.finish()
}

/// What the lines so far have said.
#[derive(Default)]
struct Reading {
    media: Media,
    variants: Vec<Variant>,
    /// Groups of sounds that have a playlist of their own.
    sounds: Vec<String>,
    /// The variant whose address is the next line, and its group of sounds.
    variant: Option<(Variant, Option<String>)>,
    groups: Vec<Option<String>>,
    /// Of the segment whose address comes next.
    duration_ms: Option<u64>,
    discontinuity: bool,
    is_gap: bool,
    range: Option<(u64, Option<u64>)>,
    /// Where the last range ended.
    range_end: u64,
    key: Option<usize>,
    /// It uses what is not for us.
    is_beyond: bool,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), HlsError> {
        let Some(tag) = line.strip_prefix('#') else { return self.address(line) };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "EXTINF" => self.duration_ms = Some(milliseconds(value.split(',').next().unwrap_or_default())),
            "EXT-X-TARGETDURATION" => self.media.target_ms = milliseconds(value),
            "EXT-X-MEDIA-SEQUENCE" => self.media.sequence = value.trim().parse().unwrap_or(0),
            "EXT-X-DISCONTINUITY" => self.discontinuity = true,
            "EXT-X-GAP" => self.is_gap = true,
            "EXT-X-ENDLIST" => self.media.is_over = true,
            "EXT-X-BYTERANGE" => self.range = range(value),
            "EXT-X-KEY" => self.set_key(value)?,
            "EXT-X-MAP" | "EXT-X-DEFINE" => self.is_beyond = true,
            "EXT-X-STREAM-INF" => {
                let codecs = attribute(value, "CODECS").unwrap_or_default();
                let other = ["hvc1", "hev1", "dvh1", "dvhe", "av01", "vp09"];
                let variant = Variant {
                    uri: String::new(),
                    bandwidth: attribute(value, "BANDWIDTH").and_then(|bits| bits.parse().ok()).unwrap_or(0),
                    is_h264: !other.iter().any(|codec| codecs.contains(codec)),
                    sound_apart: false,
                };
                self.variant = Some((variant, attribute(value, "AUDIO").map(ToOwned::to_owned)));
            }
            "EXT-X-MEDIA" if attribute(value, "TYPE") == Some("AUDIO") && attribute(value, "URI").is_some() => {
                self.sounds.extend(attribute(value, "GROUP-ID").map(ToOwned::to_owned));
            }
            _ => {}
        }
        Ok(())
    }

    fn address(&mut self, uri: &str) -> Result<(), HlsError> {
        let uri = bounded(uri)?;
        if let Some((variant, group)) = self.variant.take() {
            self.variants.push(Variant { uri, ..variant });
            self.groups.push(group);
            return Ok(());
        }
        let range = self.range.take().map(|(len, from)| (from.unwrap_or(self.range_end), len));
        self.range_end = range.map_or(0, |(from, len)| from.saturating_add(len));
        self.media.segments.push(Segment {
            part: Part { uri, range },
            duration_ms: self.duration_ms.take().unwrap_or(self.media.target_ms),
            discontinuity: core::mem::take(&mut self.discontinuity),
            is_gap: core::mem::take(&mut self.is_gap),
            key: self.key,
        });
        Ok(())
    }

    fn set_key(&mut self, value: &str) -> Result<(), HlsError> {
        let (method, uri) = (attribute(value, "METHOD"), attribute(value, "URI"));
        self.key = match (method, uri) {
            (Some("NONE"), _) => None,
            (Some("AES-128"), Some(uri)) if is_plain_key(value) => {
                let iv = attribute(value, "IV").and_then(hexadecimal);
                self.media.keys.push(Key { uri: bounded(uri)?, iv });
                Some(self.media.keys.len() - 1)
            }
            // FFmpeg knows others, if their keys are to be had.
            (Some(_), Some(uri)) if is_plain_key(value) && !uri.starts_with("skd:") => {
                self.is_beyond = true;
                None
            }
            _ => return Err(HlsError::Encryption),
        };
        Ok(())
    }

    fn finish(self) -> Result<Playlist, HlsError> {
        let Self { media, mut variants, groups, sounds, is_beyond, .. } = self;
        if is_beyond {
            return Err(HlsError::Beyond);
        }
        if !variants.is_empty() {
            for (variant, group) in variants.iter_mut().zip(&groups) {
                variant.sound_apart = group.as_ref().is_some_and(|group| sounds.contains(group));
            }
            return Ok(Playlist::Master(variants));
        }
        // A live window may be empty for a moment.
        if media.segments.is_empty() && media.target_ms == 0 {
            return Err(HlsError::Empty);
        }
        Ok(Playlist::Media(media))
    }
}

/// The variant to play: in the codec that clients know, of those the best, and of equals the one with its sound.
///
/// # Errors
/// [`HlsError::Beyond`]: its sound must be joined to it.
pub fn choose(variants: &[Variant]) -> Result<&Variant, HlsError> {
    let best = variants.iter().max_by_key(|variant| (variant.is_h264, variant.bandwidth, !variant.sound_apart));
    best.filter(|variant| !variant.sound_apart).ok_or(HlsError::Beyond)
}

fn bounded(uri: &str) -> Result<String, HlsError> {
    if uri.len() > URL_BYTES_MAX { Err(HlsError::LongAddress) } else { Ok(uri.to_owned()) }
}

/// Other key formats are for players of their providers.
fn is_plain_key(value: &str) -> bool {
    attribute(value, "KEYFORMAT").is_none_or(|format| format == "identity")
}

/// The value of an attribute, without its quotes.
///
/// Source: RFC 8216, 4.2.
fn attribute<'a>(list: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"')?;
                (value, after.split_once(',').map_or("", |(_, after)| after))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if name.trim() == wanted {
            return Some(value.trim());
        }
        rest = after;
    }
}

/// Seconds with up to three places, as milliseconds.
fn milliseconds(text: &str) -> u64 {
    let (whole, places) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let thousandths = places
        .bytes()
        .chain([b'0'; 3])
        .take(3)
        .fold(0, |all, digit| all * 10 + u64::from(digit.wrapping_sub(b'0').min(9)));
    // A day is longer than any segment.
    whole.parse::<u64>().map_or(0, |seconds| seconds.min(86_400) * 1_000 + thousandths)
}

/// `length[@first]`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    match text.split_once('@') {
        Some((len, from)) => Some((len.trim().parse().ok()?, Some(from.trim().parse().ok()?))),
        None => Some((text.trim().parse().ok()?, None)),
    }
}

/// Sixteen bytes behind `0x`.
fn hexadecimal(text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn media(text: &str) -> Media {
        match parse(text) {
            Ok(Playlist::Media(media)) => media,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_live_window_is_read_as_encoders_write_it() {
        let read = media(
            "\u{feff}#EXTM3U\r\n#EXT-X-VERSION:4\r\n#EXT-X-TARGETDURATION:6\r\n#EXT-X-MEDIA-SEQUENCE:2680\r\n\r\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"https://k/k?a=1,b\",IV=0x0000000000000000000000000000000A\r\n\
             #EXTINF:5.96,News, at \"ten\"\r\na.ts\r\n#EXT-X-BYTERANGE:1000@200\r\n#EXTINF:6,\r\nb.ts\r\n\
             #EXT-X-BYTERANGE:50\r\n#EXTINF:6.0061,\r\nb.ts\r\n#EXT-X-KEY:METHOD=NONE\r\n#EXT-X-DISCONTINUITY\r\n\
             #EXT-X-GAP\r\n#EXTINF:4\r\n../c.m4s\r\n",
        );
        assert_eq!((read.target_ms, read.sequence, read.is_over, read.segments.len()), (6_000, 2_680, false, 4));
        let [a, b, more, c] = &read.segments[..] else { unreachable!() };
        assert_eq!((a.part.uri.as_str(), a.duration_ms, a.discontinuity), ("a.ts", 5_960, false));
        let key = read.key(a).unwrap();
        assert_eq!((key.uri.as_str(), iv(key, 7)[15]), ("https://k/k?a=1,b", 10));
        assert_eq!((b.part.range, more.part.range), (Some((200, 1_000)), Some((1_200, 50))));
        assert_eq!((more.duration_ms, read.key(more)), (6_006, Some(key)));
        assert_eq!((read.key(c), c.discontinuity, c.is_gap), (None, true, true));
        assert_eq!(iv(&Key { uri: String::new(), iv: None }, 0x0102)[14..], [1, 2]);
    }

    #[test]
    fn the_best_variant_that_clients_play_is_chosen() {
        let master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"a.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"inside\",NAME=\"x\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=300,AUDIO=\"a\"\napart.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=800,CODECS=\"hvc1.2.4,mp4a.40.2\"\nhevc.m3u8\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5000,URI=\"i.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=300,CODECS=\"avc1.4d401f,mp4a.40.2\",AUDIO=\"inside\"\nmid.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=100\nlow.m3u8\n";
        let Ok(Playlist::Master(variants)) = parse(master) else { unreachable!() };
        assert_eq!(variants.len(), 4);
        assert_eq!(choose(&variants).unwrap().uri, "mid.m3u8");
        assert!(variants[0].sound_apart && !variants[2].sound_apart);
        let better = master.replace("BANDWIDTH=300,AUDIO", "BANDWIDTH=301,AUDIO");
        let Ok(Playlist::Master(variants)) = parse(&better) else { unreachable!() };
        assert_eq!(choose(&variants), Err(HlsError::Beyond), "the better picture comes without its sound");
    }

    #[test]
    fn what_is_no_playlist_is_refused() {
        let many = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{}", "a.ts\n".repeat(HLS_LINES_MAX));
        let long = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{}\n", "a".repeat(URL_BYTES_MAX + 1));
        for (text, error) in [
            ("", HlsError::NoPlaylist),
            ("<html>", HlsError::NoPlaylist),
            ("#EXTM3U\n", HlsError::Empty),
            ("#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\"\na.ts\n", HlsError::Encryption),
            ("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"com.apple\"\na\n", HlsError::Encryption),
            ("#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\na.ts\n", HlsError::Beyond),
            ("#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:1,\na.m4s\n", HlsError::Beyond),
            ("#EXTM3U\n#EXT-X-DEFINE:NAME=\"x\",VALUE=\"y\"\n#EXTINF:1,\n{$x}.ts\n", HlsError::Beyond),
            (&many, HlsError::TooLong),
            (&long, HlsError::LongAddress),
            (&"\n".repeat(HLS_BYTES_MAX + 1), HlsError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error));
        }
        let odd = media("#EXTM3U\n#EXT-X-TARGETDURATION:9999999999999\n#EXT-X-BYTERANGE:-1@x\n#EXTINF:NaN,\na\n");
        assert_eq!((odd.target_ms, odd.segments[0].duration_ms, odd.segments[0].part.range), (86_400_000, 0, None));
    }
}

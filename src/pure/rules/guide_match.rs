//! Which channel of which guide tells what is on a channel of ours.
//!
//! Not here: what the owner chose, which always comes first and is never changed by anything here. A match is by id, then
//! by name, and has a reason and a confidence that people see. The same guides and the same channels give the same
//! matches on every machine: what is left to choose is chosen by whether programmes are known, then by the order of the
//! guides, then by the order in them.
//!
//! A wrong guide is worse than none: where both tell their country and it is not the same one, a name proves nothing.

use alloc::string::String;
use alloc::vec::Vec;

/// Why a guide channel was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The owner said so.
    Owner,
    /// Both have the same id.
    SameId,
    /// Their ids differ in how they are written.
    SimilarId,
    /// Both have the same name.
    SameName,
    /// Their names differ in what says nothing: HD, a country in front, dots and blanks.
    SimilarName,
    /// One's id is the other's name.
    IdIsName,
}

impl Reason {
    /// In the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::SameId => "same-id",
            Self::SimilarId => "similar-id",
            Self::SameName => "same-name",
            Self::SimilarName => "similar-name",
            Self::IdIsName => "id-is-name",
        }
    }

    /// How sure that is, of 100.
    const fn confidence(self) -> u8 {
        match self {
            Self::Owner | Self::SameId => 100,
            Self::SimilarId => 90,
            Self::SameName => 85,
            Self::SimilarName => 70,
            Self::IdIsName => 60,
        }
    }

    const fn is_by_id(self) -> bool {
        matches!(self, Self::SameId | Self::SimilarId)
    }
}

/// How much less sure it is when several of one guide would do.
const RIVALS_COST: u8 = 20;

/// A match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which guide, by its place among the guides.
    pub guide: u32,
    /// Which of its channels, by the number that it was added under.
    pub channel: u32,
    /// Why.
    pub reason: Reason,
    /// How sure, of 100.
    pub confidence: u8,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    guide: u32,
    channel: u32,
    country: Option<[u8; 2]>,
    has_programmes: bool,
}

/// The channels of all guides, by what they can be found by.
///
/// Keys are hashes, so that some ten thousand channels take a megabyte: a collision by chance is as likely as winning
/// the lottery, and one on purpose would give a guide's maker what he has anyway, his programmes on a channel.
#[derive(Debug, Default)]
pub struct Index {
    entries: Vec<Entry>,
    keys: Vec<(Reason, u64, u32)>,
}

impl Index {
    /// Adds a channel of a guide. All are added in one order, the best guide first.
    pub fn add(&mut self, guide: u32, channel: u32, id: &str, names: &[&str], has_programmes: bool) {
        let Ok(at) = u32::try_from(self.entries.len()) else { return };
        self.entries.push(Entry { guide, channel, country: country_of_id(id), has_programmes });
        let mut key = |reason, text: &str| {
            if !text.is_empty() {
                self.keys.push((reason, hash(text), at));
            }
        };
        key(Reason::SameId, id);
        key(Reason::SimilarId, &folded_id(id));
        key(Reason::IdIsName, &plain_name(without_country(id)).0);
        for name in names {
            key(Reason::SameName, &folded_name(name));
            key(Reason::SimilarName, &plain_name(name).0);
        }
    }

    /// Says that all are there.
    pub fn ready(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
    }

    /// The guide channel for a channel whose playlist calls it this.
    pub fn find(&self, tvg_id: &str, name: &str) -> Option<Match> {
        self.find_in(None, tvg_id, name)
    }

    /// The same in one guide only, or in all.
    pub fn find_in(&self, only: Option<u32>, tvg_id: &str, name: &str) -> Option<Match> {
        let (plain, country) = plain_name(name);
        let tries = [
            (Reason::SameId, Reason::SameId, String::from(tvg_id)),
            (Reason::SimilarId, Reason::SimilarId, folded_id(tvg_id)),
            (Reason::SameName, Reason::SameName, folded_name(name)),
            (Reason::SimilarName, Reason::SimilarName, plain.clone()),
            // Some providers write a name where an id belongs, and some guides an id that is a name.
            (Reason::SimilarName, Reason::IdIsName, plain_name(without_country(tvg_id)).0),
            (Reason::IdIsName, Reason::IdIsName, plain),
        ];
        tries.iter().find_map(|(key, reason, text)| {
            let country = country.filter(|_| !reason.is_by_id());
            if text.is_empty() { None } else { self.best(only, *key, *reason, hash(text), country) }
        })
    }

    fn best(
        &self,
        only: Option<u32>,
        key: Reason,
        reason: Reason,
        hash: u64,
        country: Option<[u8; 2]>,
    ) -> Option<Match> {
        let from = self.keys.partition_point(|(reason, other, _)| (*reason, *other) < (key, hash));
        let found = self.keys.iter().skip(from).take_while(|(reason, other, _)| (*reason, *other) == (key, hash));
        let entries = found.filter_map(|(_, _, at)| self.entries.get(usize::try_from(*at).ok()?));
        let fits = |entry: &&Entry| {
            let is_wanted = only.is_none_or(|guide| entry.guide == guide);
            is_wanted && country.is_none_or(|here| entry.country.is_none_or(|there| here == there))
        };
        let entries: Vec<&Entry> = entries.filter(fits).collect();
        let best = entries.iter().min_by_key(|entry| {
            let elsewhere = country.is_some() && entry.country != country;
            (!entry.has_programmes, elsewhere, entry.guide, entry.channel)
        })?;
        let is_rival = |entry: &&&Entry| entry.guide == best.guide && entry.has_programmes == best.has_programmes;
        let rivals = entries.iter().filter(is_rival).count() > 1;
        let cost = if rivals { RIVALS_COST } else { 0 };
        Some(Match { guide: best.guide, channel: best.channel, reason, confidence: reason.confidence() - cost })
    }
}

/// FNV-1a: the same on every machine.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// An id without what people write differently, and without the feed that some add: `BBC-One.uk@HD` is `bbcone.uk`.
fn folded_id(id: &str) -> String {
    let id = id.split('@').next().unwrap_or_default();
    id.chars().filter(|c| c.is_alphanumeric() || matches!(c, '.' | '+')).flat_map(char::to_lowercase).collect()
}

fn folded_name(name: &str) -> String {
    let mut out = String::new();
    for word in name.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}

/// Words of a name that tell of the stream and not of the channel.
const NOISE: [&str; 26] = [
    "hd", "fhd", "uhd", "qhd", "sd", "hq", "lq", "4k", "8k", "3840p", "2160p", "1080p", "1080i", "1080", "720p", "720",
    "576p", "480p", "hevc", "h264", "h265", "x265", "50fps", "60fps", "raw", "vip",
];

/// A name without what tells nothing of the channel, in one word; and the country that stands in front of it.
/// `UK | BBC One FHD (backup)` is `bbcone`. What comes an hour later is another channel: `+1` stays.
fn plain_name(name: &str) -> (String, Option<[u8; 2]>) {
    let (name, country) = split_country(name);
    let (mut out, mut word, mut depth) = (String::new(), String::new(), 0u32);
    for c in name.chars().chain([' ']) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            '+' => word.push_str("plus"),
            '&' => word.push_str("and"),
            // Small capitals and superscripts: decoration.
            '\u{1d2c}'..='\u{1d6a}' | '\u{2070}'..='\u{209f}' | '\'' | '’' | '.' => {}
            c if c.is_alphanumeric() => word.extend(c.to_lowercase().map(unaccented)),
            _ => {
                if !NOISE.contains(&word.as_str()) {
                    out.push_str(&word);
                }
                word.clear();
            }
        }
    }
    (out, country)
}

/// `UK: BBC One`, `UK | BBC One`, `|UK| BBC One`, `UK - BBC One`.
fn split_country(name: &str) -> (&str, Option<[u8; 2]>) {
    let text = name.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '|' | '[' | '┃'));
    let code = text.get(..2).filter(|code| code.bytes().all(|byte| byte.is_ascii_uppercase()));
    let Some(code) = code else { return (name, None) };
    let rest = text.get(2..).unwrap_or_default();
    let after = [":", " :", "|", " |", "]", "┃", " ┃", " - ", "▎"].iter().find_map(|mark| rest.strip_prefix(mark));
    match after {
        Some(after) if !after.trim().is_empty() => (after, country(code)),
        _ => (name, None),
    }
}

/// The country at the end of an id, as in `BBCOne.uk`.
fn country_of_id(id: &str) -> Option<[u8; 2]> {
    let (_, code) = id.split('@').next()?.rsplit_once('.')?;
    country(code)
}

fn without_country(id: &str) -> &str {
    let id = id.split('@').next().unwrap_or_default();
    match id.rsplit_once('.') {
        Some((name, code)) if country(code).is_some() => name,
        _ => id,
    }
}

fn country(code: &str) -> Option<[u8; 2]> {
    match *code.as_bytes() {
        [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
            let code = [first.to_ascii_lowercase(), second.to_ascii_lowercase()];
            // Two names of one country.
            Some(if code == *b"gb" { *b"uk" } else { code })
        }
        _ => None,
    }
}

const fn unaccented(c: char) -> char {
    match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'ď' | 'đ' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ě' | 'ę' => 'e',
        'ğ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ı' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' => 'o',
        'ř' => 'r',
        'ś' | 'š' | 'ş' | 'ș' => 's',
        'ť' | 'ţ' | 'ț' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ů' | 'ű' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(guides: &[&[(&str, &[&str], bool)]]) -> Index {
        let mut index = Index::default();
        for (guide, channels) in (0..).zip(guides) {
            for (channel, (id, names, has_programmes)) in (0..).zip(*channels) {
                index.add(guide, channel, id, names, *has_programmes);
            }
        }
        index.ready();
        index
    }

    #[test]
    fn channels_are_matched_by_id_then_by_name() {
        let guide: &[(&str, &[&str], bool)] = &[
            ("BBCOne.uk", &["BBC One", "BBC 1"], true),
            ("bbcone.uk", &["BBC One small"], true),
            ("DasErste.de", &["Das Erste", "ARD"], true),
            ("ITV1Plus1.uk", &["ITV1 +1"], true),
            ("ITV1.uk", &["ITV1"], true),
            ("Pro7.de", &["ProSieben"], true),
            ("Discovery.de", &["Discovery"], true),
            ("EspnUs.us", &["ESPN"], true),
            ("Müller TV", &["Müller-TV"], true),
            ("AandE.us", &["A&E"], true),
        ];
        let index = index(&[guide]);
        for (tvg_id, name, expected) in [
            ("BBCOne.uk", "whatever", Some((0, Reason::SameId, 100))),
            ("bbcone.uk", "whatever", Some((1, Reason::SameId, 100))),
            ("DASERSTE.DE", "whatever", Some((2, Reason::SimilarId, 90))),
            ("DasErste.de@HD", "whatever", Some((2, Reason::SimilarId, 90))),
            ("", "das  ERSTE", Some((2, Reason::SameName, 85))),
            ("unknown", "ARD", Some((2, Reason::SameName, 85))),
            ("", "DE: Das Erste FHD", Some((2, Reason::SimilarName, 70))),
            ("", "|DE| Das Erste ᴴᴰ [backup]", Some((2, Reason::SimilarName, 70))),
            ("", "UK | ITV1 +1 HD", Some((3, Reason::SimilarName, 70))),
            ("", "ITV1 HD", Some((4, Reason::SimilarName, 70))),
            ("ProSieben", "P7", Some((5, Reason::IdIsName, 60))),
            ("", "Pro7 HD", Some((5, Reason::IdIsName, 60))),
            ("", "Muller TV", Some((8, Reason::SimilarName, 70))),
            ("", "A and E", Some((9, Reason::SimilarName, 70))),
            // Another country's.
            ("", "UK: Discovery", None),
            ("", "DE: Discovery", Some((6, Reason::SimilarName, 70))),
            ("", "US - ESPN", Some((7, Reason::SimilarName, 70))),
            ("", "HD", None),
            ("", "", None),
            ("", "No such", None),
        ] {
            let found = index.find(tvg_id, name).map(|found| (found.channel, found.reason, found.confidence));
            assert_eq!(found, expected, "{tvg_id:?} {name:?}");
        }
    }

    #[test]
    fn of_several_the_one_with_programmes_then_the_first_guide_and_less_sure() {
        let first: &[(&str, &[&str], bool)] = &[("a", &["One"], false), ("b", &["Two"], true), ("c", &["Two"], true)];
        let second: &[(&str, &[&str], bool)] = &[("a", &["One"], true), ("b", &["Two"], true)];
        let index = index(&[first, second]);
        let found = |id, name| index.find(id, name).map(|found| (found.guide, found.channel, found.confidence));
        assert_eq!(found("a", ""), Some((1, 0, 100)), "the first knows nothing of it");
        assert_eq!(found("b", ""), Some((0, 1, 100)));
        assert_eq!(found("", "One"), Some((1, 0, 85)));
        assert_eq!(found("", "two"), Some((0, 1, 65)), "two of that name");
    }
}

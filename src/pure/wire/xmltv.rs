//! Guides in the XMLTV format, read while they arrive.
//!
//! Not here: fetching and unpacking (the daemon's `subscriptions` and `store`); which programme is on when two claim it
//! ([`crate::rules::timeline`]); whose guide it is ([`crate::rules::guide_match`]); the guide that we serve
//! ([`super::xml`]).
//!
//! What a programme says besides its times is kept as XML of our own making: only elements that clients use, in the
//! order that the DTD wants, escaped. So it is checked once, when it comes, and only copied when it goes out (S50).
//!
//! The invariant: memory is bounded by one programme, and however the bytes are cut into pieces, the same channels and
//! programmes come out. Nothing is dropped without being counted.

pub mod check;

use super::markup::{Attributes, Event, Markup, MarkupError, decode};
use super::xml::Escaped;
use crate::limits::{
    GUIDE_DETAILS_MAX, GUIDE_NAMES_MAX, GUIDE_TEXT_BYTES_MAX, NAME_BYTES_MAX, URL_BYTES_MAX, XML_DEPTH_MAX,
};
use crate::time::{Civil, Wall};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// A channel of a guide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuideChannel {
    /// What its programmes call it.
    pub id: String,
    /// What people call it.
    pub names: Vec<String>,
    /// The HTTP address of its logo; empty when none.
    pub icon: String,
}

/// A programme of a guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programme {
    /// The id of its channel.
    pub channel: String,
    /// When it begins.
    pub start: Wall,
    /// When it ends, if that is told and later.
    pub stop: Option<Wall>,
    /// Whether it has a title.
    pub has_title: bool,
    /// Whether something is told about it.
    pub has_description: bool,
    /// Whether it has a number as an episode.
    pub has_episode: bool,
    /// All that is told, as elements of a `programme`; the title comes first, if there is one.
    pub details: String,
}

/// The title in [`Programme::details`]; empty when there is none.
pub fn title_of(details: &str) -> String {
    let title = details.strip_prefix("<title").and_then(|rest| rest.split_once('>')?.1.split_once('<'));
    title.map_or_else(String::new, |(title, _)| decode(title.as_bytes()))
}

/// The text of the first element of this name in the details of a programme, as we keep them; empty when there is none.
pub fn text_in(details: &str, name: &str) -> String {
    let mut rest = details;
    while let Some((_, behind)) = rest.split_once('<') {
        rest = behind;
        let is_it = behind.strip_prefix(name).is_some_and(|behind| behind.starts_with(['>', ' ']));
        if let Some((text, _)) = is_it.then(|| behind.split_once('>')?.1.split_once('<')).flatten() {
            return decode(text.as_bytes());
        }
    }
    String::new()
}

/// What a guide holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A channel.
    Channel(GuideChannel),
    /// A programme.
    Programme(Programme),
}

/// What a guide came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Channels.
    pub channels: u32,
    /// Programmes.
    pub programmes: u32,
    /// Channels and programmes without an id.
    pub nameless: u32,
    /// Programmes left out because nobody can say when they begin.
    pub times_broken: u32,
    /// Programmes whose end was no good.
    pub stops_broken: u32,
    /// Programmes whose times have no zone; they are taken for UTC.
    pub zoneless: u32,
    /// Texts that were cut.
    pub texts_cut: u32,
}

/// Why a guide is refused. Whoever asked keeps what he has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuideError {
    /// It cannot be read.
    Markup(MarkupError),
    /// It is some other document.
    NotAGuide,
}

impl From<MarkupError> for GuideError {
    fn from(error: MarkupError) -> Self {
        Self::Markup(error)
    }
}

impl fmt::Display for GuideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Markup(error) => error.fmt(f),
            Self::NotAGuide => f.write_str("it is no guide in the XMLTV format"),
        }
    }
}

/// What of a programme is kept, in the order of the DTD.
/// Source: `xmltv.dtd` of the XMLTV project, element `programme`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Title,
    SubTitle,
    Desc,
    Director,
    Actor,
    Writer,
    Presenter,
    Guest,
    Date,
    Category,
    Icon,
    Country,
    EpisodeNum,
    PreviouslyShown,
    Premiere,
    New,
    Rating,
    StarRating,
}

impl Kind {
    /// The kind of an element, and the element that it must stand in.
    fn of(name: &str, parent: &str) -> Option<Self> {
        Some(match (parent, name) {
            ("programme", "title") => Self::Title,
            ("programme", "sub-title") => Self::SubTitle,
            ("programme", "desc") => Self::Desc,
            ("credits", "director") => Self::Director,
            ("credits", "actor") => Self::Actor,
            ("credits", "writer") => Self::Writer,
            ("credits", "presenter") => Self::Presenter,
            ("credits", "guest") => Self::Guest,
            ("programme", "date") => Self::Date,
            ("programme", "category") => Self::Category,
            ("programme", "icon") => Self::Icon,
            ("programme", "country") => Self::Country,
            ("programme", "episode-num") => Self::EpisodeNum,
            ("programme", "previously-shown") => Self::PreviouslyShown,
            ("programme", "premiere") => Self::Premiere,
            ("programme", "new") => Self::New,
            ("rating", "value") => Self::Rating,
            ("star-rating", "value") => Self::StarRating,
            _ => return None,
        })
    }

    const fn element(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::SubTitle => "sub-title",
            Self::Desc => "desc",
            Self::Director => "director",
            Self::Actor => "actor",
            Self::Writer => "writer",
            Self::Presenter => "presenter",
            Self::Guest => "guest",
            Self::Date => "date",
            Self::Category => "category",
            Self::Icon => "icon",
            Self::Country => "country",
            Self::EpisodeNum => "episode-num",
            Self::PreviouslyShown => "previously-shown",
            Self::Premiere => "premiere",
            Self::New => "new",
            Self::Rating => "rating",
            Self::StarRating => "star-rating",
        }
    }

    /// The one attribute of it that is kept.
    const fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Title | Self::SubTitle | Self::Desc | Self::Category => Some("lang"),
            Self::Actor => Some("role"),
            Self::EpisodeNum => Some("system"),
            Self::Icon => Some("src"),
            _ => None,
        }
    }

    const fn is_credit(self) -> bool {
        matches!(self, Self::Director | Self::Actor | Self::Writer | Self::Presenter | Self::Guest)
    }

    /// How many of it a programme may have.
    const fn count_max(self) -> usize {
        match self {
            Self::Date | Self::PreviouslyShown | Self::Premiere | Self::New | Self::Icon => 1,
            Self::Rating | Self::StarRating | Self::SubTitle | Self::Desc | Self::Title => 2,
            _ => 8,
        }
    }
}

struct Detail {
    kind: Kind,
    attribute: String,
    text: String,
}

/// The channel or programme that is being read.
#[derive(Default)]
struct Pending {
    id: String,
    start: Option<Moment>,
    stop: Option<Moment>,
    has_stop: bool,
    names: Vec<String>,
    icon: String,
    details: Vec<Detail>,
}

/// Reads one guide. Push bytes as they come, then call [`Reader::finish`].
#[derive(Default)]
pub struct Reader {
    markup: Markup,
    inner: Inner,
}

#[derive(Default)]
struct Inner {
    /// Names of the open elements, as far as they matter.
    path: heapless::Vec<Element, XML_DEPTH_MAX>,
    pending: Pending,
    /// The text of the element that is being read, as it stands; and what its start told.
    text: Vec<u8>,
    text_is_cut: bool,
    attribute: String,
    summary: Summary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Tv,
    Channel,
    Programme,
    DisplayName,
    Credits,
    Rating,
    StarRating,
    Detail(Kind),
    Other,
}

/// Who is told of each channel and programme.
type Listener<'a> = &'a mut dyn FnMut(Item);

impl Reader {
    /// A reader that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, cut anywhere, and tells `on` of what they complete.
    ///
    /// # Errors
    /// [`GuideError`]: the rest need not be fetched.
    pub fn push(&mut self, bytes: &[u8], on: Listener<'_>) -> Result<(), GuideError> {
        let Self { markup, inner } = self;
        markup.push(bytes, &mut |event| inner.on(&event, on))
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`GuideError`]; what `on` was told before belongs to no guide.
    pub fn finish(self) -> Result<Summary, GuideError> {
        self.markup.finish()?;
        Ok(self.inner.summary)
    }
}

impl Inner {
    fn on(&mut self, event: &Event<'_>, on: Listener<'_>) -> Result<(), GuideError> {
        match event {
            Event::Open(name, attributes) => self.open(name, *attributes),
            Event::Text(bytes) => {
                self.take(bytes);
                Ok(())
            }
            Event::Plain(bytes) => {
                for part in bytes.split_inclusive(|byte| *byte == b'&') {
                    self.take(part);
                    if part.ends_with(b"&") {
                        self.take(b"amp;");
                    }
                }
                Ok(())
            }
            Event::Close(_) => {
                self.close(on);
                Ok(())
            }
        }
    }

    fn open(&mut self, name: &str, attributes: Attributes<'_>) -> Result<(), GuideError> {
        let get = |name: &str| attributes.get(name).unwrap_or_default();
        let element = match (self.path.last(), name) {
            (None, "tv") => Element::Tv,
            (None, _) => return Err(GuideError::NotAGuide),
            (Some(Element::Tv), "channel") => {
                self.pending = Pending { id: line(&get("id"), NAME_BYTES_MAX).0, ..Pending::default() };
                Element::Channel
            }
            (Some(Element::Tv), "programme") => {
                let stop = attributes.get("stop");
                self.pending = Pending {
                    id: line(&get("channel"), NAME_BYTES_MAX).0,
                    start: parse_time(&get("start")),
                    stop: stop.as_deref().and_then(parse_time),
                    has_stop: stop.is_some(),
                    ..Pending::default()
                };
                Element::Programme
            }
            (Some(Element::Channel), "display-name") => Element::DisplayName,
            (Some(Element::Channel), "icon") => {
                if self.pending.icon.is_empty() {
                    self.pending.icon = address(&get("src"));
                }
                Element::Other
            }
            (Some(Element::Programme), "credits") => Element::Credits,
            (Some(Element::Programme), "rating") => Element::Rating,
            (Some(Element::Programme), "star-rating") => Element::StarRating,
            (Some(parent), name) => match Kind::of(name, parent.name()) {
                Some(kind) => {
                    let (attribute, _) =
                        line(&kind.attribute().map_or(String::new(), |name| get(name).into_owned()), 64);
                    self.attribute = match kind {
                        Kind::Icon => address(&get("src")),
                        Kind::Title | Kind::SubTitle | Kind::Desc | Kind::Category if !is_language(&attribute) => {
                            String::new()
                        }
                        _ => attribute,
                    };
                    Element::Detail(kind)
                }
                None => Element::Other,
            },
        };
        if matches!(element, Element::Detail(_) | Element::DisplayName) {
            self.text.clear();
            self.text_is_cut = false;
        }
        // The reader below counts the depth.
        self.path.push(element).map_err(|_| GuideError::Markup(MarkupError::TooDeep))
    }

    /// Keeps text of an element that is wanted. Entities may double its length.
    fn take(&mut self, bytes: &[u8]) {
        if matches!(self.path.last(), Some(Element::Detail(_) | Element::DisplayName)) {
            let room = (2 * GUIDE_TEXT_BYTES_MAX).saturating_sub(self.text.len());
            self.text_is_cut |= bytes.len() > room;
            self.text.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
    }

    fn close(&mut self, on: Listener<'_>) {
        match self.path.pop() {
            Some(Element::DisplayName) => {
                let (name, _) = line(&decode_cut(&self.text, self.text_is_cut), NAME_BYTES_MAX);
                if !name.is_empty() && self.pending.names.len() < GUIDE_NAMES_MAX {
                    self.pending.names.push(name);
                }
            }
            Some(Element::Detail(kind)) => self.keep(kind),
            Some(Element::Channel) => {
                let Pending { id, names, icon, .. } = core::mem::take(&mut self.pending);
                if id.is_empty() {
                    self.summary.nameless += 1;
                } else {
                    self.summary.channels += 1;
                    on(Item::Channel(GuideChannel { id, names, icon }));
                }
            }
            Some(Element::Programme) => self.programme(on),
            _ => {}
        }
    }

    fn keep(&mut self, kind: Kind) {
        let bytes_max = if kind == Kind::Desc { GUIDE_TEXT_BYTES_MAX } else { NAME_BYTES_MAX };
        let (text, is_cut) = line(&decode_cut(&self.text, self.text_is_cut), bytes_max);
        self.summary.texts_cut += u32::from(is_cut || self.text_is_cut);
        let attribute = core::mem::take(&mut self.attribute);
        let is_empty = match kind {
            Kind::Icon => attribute.is_empty(),
            Kind::PreviouslyShown | Kind::Premiere | Kind::New => false,
            _ => text.is_empty(),
        };
        let details = &mut self.pending.details;
        let same = details.iter().filter(|detail| detail.kind == kind).count();
        if !is_empty && same < kind.count_max() && details.len() < GUIDE_DETAILS_MAX {
            details.push(Detail { kind, attribute, text });
        }
    }

    fn programme(&mut self, on: Listener<'_>) {
        let Pending { id, start, stop, has_stop, mut details, .. } = core::mem::take(&mut self.pending);
        if id.is_empty() {
            self.summary.nameless += 1;
            return;
        }
        let Some(start) = start else {
            self.summary.times_broken += 1;
            return;
        };
        let stop = stop.map(|stop| stop.at).filter(|stop| *stop > start.at);
        self.summary.stops_broken += u32::from(has_stop && stop.is_none());
        self.summary.zoneless += u32::from(!start.has_zone);
        self.summary.programmes += 1;
        // Stable: what stood first stays first among its kind.
        details.sort_by_key(|detail| detail.kind);
        let has = |kind| details.iter().any(|detail| detail.kind == kind);
        let (has_title, has_description, has_episode) = (has(Kind::Title), has(Kind::Desc), has(Kind::EpisodeNum));
        let details = render(&details).unwrap_or_default();
        on(Item::Programme(Programme {
            channel: id,
            start: start.at,
            stop,
            has_title,
            has_description,
            has_episode,
            details,
        }));
    }
}

impl Element {
    const fn name(self) -> &'static str {
        match self {
            Self::Programme => "programme",
            Self::Credits => "credits",
            Self::Rating => "rating",
            Self::StarRating => "star-rating",
            _ => "",
        }
    }
}

/// The text of an element of which the end may be missing: then the last entity may be, too.
fn decode_cut(bytes: &[u8], is_cut: bool) -> String {
    let mut end = bytes.len();
    if is_cut {
        // A character of UTF-8 has four bytes at most, an entity that matters ten.
        let tail = bytes.len().saturating_sub(10);
        let open = bytes.get(tail..).and_then(|tail| tail.iter().rposition(|byte| *byte == b'&'));
        end = open.map(|at| tail + at).filter(|at| !bytes.iter().skip(*at).any(|byte| *byte == b';')).unwrap_or(end);
        let is_inside = |byte: &u8| byte & 0xc0 == 0x80;
        while end > 0 && bytes.len() - end < 4 && bytes.get(end - 1).is_some_and(is_inside) {
            end -= 1;
        }
        if end > 0 && bytes.get(end - 1).is_some_and(|byte| *byte >= 0xc0) {
            end -= 1;
        }
    }
    decode(bytes.get(..end).unwrap_or_default())
}

/// A text in one line, within a length, and whether something was cut.
fn line(text: &str, bytes_max: usize) -> (String, bool) {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let gap = usize::from(!out.is_empty());
        let room = bytes_max.saturating_sub(out.len() + gap);
        if word.len() > room {
            // A word that does not fit is cut where it is the only one, else left out.
            if out.is_empty() {
                let end = (0..=room).rev().find(|end| word.is_char_boundary(*end)).unwrap_or(0);
                out.push_str(word.get(..end).unwrap_or_default());
            }
            return (out, true);
        }
        if gap == 1 {
            out.push(' ');
        }
        out.push_str(word);
    }
    (out, false)
}

/// An address of a picture, or nothing (M06).
fn address(text: &str) -> String {
    let text = text.trim();
    let is_fine = (text.starts_with("http://") || text.starts_with("https://"))
        && text.len() <= URL_BYTES_MAX
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_fine { String::from(text) } else { String::new() }
}

fn is_language(text: &str) -> bool {
    (2..=12).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn render(details: &[Detail]) -> Result<String, fmt::Error> {
    let (mut out, mut credits_open) = (String::new(), false);
    for Detail { kind, attribute, text } in details {
        if kind.is_credit() != credits_open {
            out.push_str(if kind.is_credit() { "<credits>" } else { "</credits>" });
            credits_open = kind.is_credit();
        }
        let element = kind.element();
        write!(out, "<{element}")?;
        if let Some(name) = kind.attribute().filter(|_| !attribute.is_empty()) {
            write!(out, " {name}=\"{}\"", Escaped(attribute))?;
        }
        match kind {
            Kind::Icon | Kind::PreviouslyShown | Kind::New => out.push_str("/>"),
            Kind::Premiere if text.is_empty() => out.push_str("/>"),
            Kind::Rating | Kind::StarRating => write!(out, "><value>{}</value></{element}>", Escaped(text))?,
            _ => write!(out, ">{}</{element}>", Escaped(text))?,
        }
    }
    if credits_open {
        out.push_str("</credits>");
    }
    Ok(out)
}

/// A point in time, as a guide tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    at: Wall,
    has_zone: bool,
}

/// Offsets from UTC that have a name in guides, in minutes. What a name means in two places, such as CST, is taken as
/// the XMLTV project's own tools take it.
const ZONES: [(&str, i64); 22] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("Z", 0),
    ("WET", 0),
    ("WEST", 60),
    ("BST", 60),
    ("IST", 60),
    ("CET", 60),
    ("MET", 60),
    ("CEST", 120),
    ("MEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("AST", -240),
    ("EDT", -240),
    ("EST", -300),
    ("CDT", -300),
    ("CST", -360),
    ("MST", -420),
    ("PST", -480),
];

/// Reads `20261121093000 +0100`, with fewer digits down to the day, a zone by name or none, or ISO 8601. Years 1970 to
/// 2100.
///
/// Source: `xmltv.dtd` of the XMLTV project, "all dates and times"; what guides have besides.
fn parse_time(text: &str) -> Option<Moment> {
    let text = text.trim();
    let mut digits: heapless::Vec<u8, 14> = heapless::Vec::new();
    let mut zone = "";
    for (at, c) in text.char_indices() {
        let is_iso = matches!((at, c), (4 | 7, '-') | (10, 'T' | ' ') | (13 | 16, ':'));
        match c {
            '0'..='9' if digits.len() < 14 => digits.push(u8::try_from(c).ok()? - b'0').ok()?,
            // `2026-11-21T09:30:00+01:00`
            _ if is_iso && digits.len() < 14 && text.get(4..5) == Some("-") => {}
            _ => {
                zone = text.get(at..)?;
                break;
            }
        }
    }
    // Fractions of a second.
    if let Some(fraction) = zone.strip_prefix('.') {
        zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    if digits.len() < 8 || digits.len() % 2 == 1 {
        return None;
    }
    let number = |from: usize, len: usize| {
        digits.iter().skip(from).take(len).fold(0i64, |number, digit| number * 10 + i64::from(*digit))
    };
    let part = |from: usize| u8::try_from(number(from, 2)).unwrap_or(u8::MAX);
    let civil =
        Civil { year: number(0, 4), month: part(4), day: part(6), hour: part(8), minute: part(10), second: part(12) };
    let Civil { year, month, day, hour, minute, second } = civil;
    let is_calendar = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    // Some guides end a day at 24 o'clock; a minute may have a leap second.
    let is_clock = minute <= 59 && second <= 60 && (hour <= 23 || hour == 24 && minute == 0 && second == 0);
    let offset_min = parse_zone(zone.trim())?;
    if !is_calendar || !is_clock {
        return None;
    }
    let at = Wall::from_civil(civil).plus_s(-60 * offset_min.unwrap_or(0));
    (1_970..=2_100).contains(&at.civil().year).then_some(Moment { at, has_zone: offset_min.is_some() })
}

const fn days_of(year: i64, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Minutes east of UTC; `Some(None)`: no zone is told.
#[expect(clippy::option_option, reason = "no zone is fine, a wrong one is not")]
fn parse_zone(zone: &str) -> Option<Option<i64>> {
    if zone.is_empty() {
        return Some(None);
    }
    let (sign, rest) = match zone.as_bytes().first()? {
        b'+' => (1, zone.get(1..)?),
        b'-' => (-1, zone.get(1..)?),
        _ => {
            let (_, minutes) = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(zone))?;
            return Some(Some(*minutes));
        }
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None if (1..=2).contains(&rest.len()) => (rest, "0"),
        None => return None,
    };
    let number = |text: &str| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse::<i64>().ok() } else { None }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 14 && minutes <= 59).then_some(Some(sign * (hours * 60 + minutes)))
}

#[cfg(test)]
mod tests;

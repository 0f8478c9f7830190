//! Whether a guide that we made is one that we may give out.
//!
//! It reads the finished document with other eyes than those that wrote it: well-formed, valid characters only, the order
//! of the DTD at the top, ids that the lineup has, times as they must be written, nothing that overlaps, no empty title.
//! The whole DTD is the tests' to check.

use super::super::markup::{Event, Markup, MarkupError, decode};
use crate::model::guide_number::GuideNumber;
use crate::time::{Civil, Wall};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What the guide of a lineup came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Channels in it.
    pub channels: u32,
    /// Programmes in it.
    pub programmes: u32,
    /// Of these: without a description.
    pub without_description: u32,
    /// Of these: without a number as an episode.
    pub without_episode: u32,
    /// Channels of the lineup that it lacks, and channels that the lineup lacks.
    pub mismatches: u32,
    /// What is wrong with it.
    pub errors: u32,
    /// The first of that.
    pub first_error: Option<&'static str>,
}

/// Checks one guide. Push bytes as they come, then call [`Checker::finish`].
pub struct Checker {
    markup: Markup,
    inner: Inner,
    /// The end of what came, in case a character is cut.
    tail: Vec<u8>,
}

#[derive(Default)]
struct Inner {
    /// When the last programme of each channel of the lineup ended; `None`: the guide does not list it yet.
    ends: BTreeMap<GuideNumber, Option<Wall>>,
    depth: usize,
    programme: Option<Programme>,
    in_title: bool,
    title: Vec<u8>,
    report: Report,
}

#[derive(Default)]
struct Programme {
    has_title: bool,
    has_description: bool,
    has_episode: bool,
}

impl Checker {
    /// For the guide of a lineup that lists these.
    pub fn new(lineup: impl Iterator<Item = GuideNumber>) -> Self {
        let ends = lineup.map(|number| (number, None)).collect();
        Self { markup: Markup::new(), inner: Inner { ends, ..Inner::default() }, tail: Vec::new() }
    }

    /// Takes the next bytes, cut anywhere.
    ///
    /// # Errors
    /// It is no XML.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), MarkupError> {
        self.characters(bytes);
        let Self { markup, inner, .. } = self;
        markup.push(bytes, &mut |event| {
            inner.on(&event);
            Ok(())
        })
    }

    /// What it came to.
    ///
    /// # Errors
    /// It is no XML.
    pub fn finish(mut self) -> Result<Report, MarkupError> {
        if !self.tail.is_empty() {
            self.inner.wrong("it is not UTF-8");
        }
        self.markup.finish()?;
        let missing = self.inner.ends.values().filter(|end| end.is_none()).count();
        self.inner.report.mismatches += u32::try_from(missing).unwrap_or(u32::MAX);
        Ok(self.inner.report)
    }

    /// UTF-8, and no character that XML does not have.
    /// Source: XML 1.0, fifth edition, section 2.2.
    fn characters(&mut self, bytes: &[u8]) {
        let owned;
        let bytes = if self.tail.is_empty() {
            bytes
        } else {
            let mut joined = core::mem::take(&mut self.tail);
            joined.extend_from_slice(bytes);
            owned = joined;
            &owned
        };
        let text = match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                let (text, tail) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((bytes, &[]));
                self.tail = tail.to_vec();
                core::str::from_utf8(text).unwrap_or_default()
            }
            Err(_) => return self.inner.wrong("it is not UTF-8"),
        };
        let is_no_xml = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}');
        if text.contains(is_no_xml) {
            self.inner.wrong("it has a character that XML does not have");
        }
    }
}

impl Inner {
    fn wrong(&mut self, what: &'static str) {
        self.report.errors = self.report.errors.saturating_add(1);
        self.report.first_error.get_or_insert(what);
    }

    fn on(&mut self, event: &Event<'_>) {
        match event {
            Event::Open(name, attributes) => {
                match (self.depth, *name) {
                    (1, "channel") => self.channel(&attributes.get("id").unwrap_or_default()),
                    (1, "programme") => {
                        let get = |name| attributes.get(name).unwrap_or_default();
                        self.place(&get("channel"), &get("start"), &get("stop"));
                        self.programme = Some(Programme::default());
                    }
                    (2, name) => {
                        if let Some(programme) = &mut self.programme {
                            self.in_title = name == "title";
                            programme.has_title |= self.in_title;
                            programme.has_description |= name == "desc";
                            programme.has_episode |= name == "episode-num";
                            let is_first = programme.has_title;
                            if !is_first {
                                self.wrong("a programme does not begin with its title");
                            }
                        }
                    }
                    _ => {}
                }
                self.depth += 1;
            }
            Event::Text(bytes) | Event::Plain(bytes) => {
                if self.in_title {
                    self.title.extend_from_slice(bytes);
                }
            }
            Event::Close(name) => {
                self.depth = self.depth.saturating_sub(1);
                if core::mem::take(&mut self.in_title) {
                    if decode(&self.title).trim().is_empty() {
                        self.wrong("a title is empty");
                    }
                    self.title.clear();
                }
                if let Some(programme) = self.programme.take_if(|_| *name == "programme") {
                    let Programme { has_title, has_description, has_episode } = programme;
                    if !has_title {
                        self.wrong("a programme has no title");
                    }
                    self.report.programmes += 1;
                    self.report.without_description += u32::from(!has_description);
                    self.report.without_episode += u32::from(!has_episode);
                }
            }
        }
    }

    fn channel(&mut self, id: &str) {
        self.report.channels += 1;
        let end = id.parse().ok().and_then(|number: GuideNumber| self.ends.get_mut(&number));
        match end {
            Some(end @ None) => *end = Some(Wall(0)),
            Some(Some(_)) => self.wrong("a channel is listed twice"),
            None => self.report.mismatches += 1,
        }
    }

    fn place(&mut self, channel: &str, start: &str, stop: &str) {
        let (Some(start), Some(stop)) = (time(start), time(stop)) else {
            return self.wrong("a time is not written as it must be");
        };
        let end = channel.parse().ok().and_then(|number: GuideNumber| self.ends.get_mut(&number));
        match end {
            Some(Some(end)) if stop > start && start >= *end => *end = stop,
            Some(Some(_)) => self.wrong("programmes overlap, or end before they begin"),
            Some(None) | None => self.wrong("a programme is on a channel that is not listed"),
        }
    }
}

/// `20261121093000 +0000`, and nothing else.
fn time(text: &str) -> Option<Wall> {
    let digits = text.strip_suffix(" +0000")?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to)?.parse().ok();
    let year = digits.get(..4)?.parse().ok()?;
    let civil = Civil {
        year,
        month: part(4, 6)?,
        day: part(6, 8)?,
        hour: part(8, 10)?,
        minute: part(10, 12)?,
        second: part(12, 14)?,
    };
    // A date that there is not would become another one.
    let at = Wall::from_civil(civil);
    ((1_970..=2_100).contains(&year) && (1..=12).contains(&civil.month) && at.civil() == civil).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    const CHANNEL: &str = "<channel id=\"5.1\"><display-name>Five</display-name></channel>";

    fn check(body: &str, piece_bytes: usize) -> Report {
        let document = format!("<?xml version=\"1.0\"?><tv>{body}</tv>");
        let mut checker = Checker::new(["5.1".parse().unwrap()].into_iter());
        for piece in document.as_bytes().chunks(piece_bytes) {
            checker.push(piece).unwrap();
        }
        checker.finish().unwrap()
    }

    fn programme(start: &str, stop: &str, channel: &str, inside: &str) -> String {
        format!("<programme start=\"{start}\" stop=\"{stop}\" channel=\"{channel}\">{inside}</programme>")
    }

    #[test]
    fn a_good_guide_passes_and_each_fault_is_seen() {
        let (nine, ten, eleven) = ("20261121090000 +0000", "20261121100000 +0000", "20261121110000 +0000");
        let fine = "<title>ü</title><desc>d</desc><episode-num>1</episode-num>";
        let good = format!(
            "{CHANNEL}{}{}",
            programme(nine, ten, "5.1", fine),
            programme(ten, eleven, "5.1", "<title>x</title>")
        );
        for piece_bytes in [1, 2, 3, 1_000] {
            let report = check(&good, piece_bytes);
            let expected =
                Report { channels: 1, programmes: 2, without_description: 1, without_episode: 1, ..Report::default() };
            assert_eq!(report, expected, "{piece_bytes}");
        }
        let one = |start: &str, stop: &str, inside: &str| format!("{CHANNEL}{}", programme(start, stop, "5.1", inside));
        for (body, errors, mismatches) in [
            (String::from(CHANNEL), 0, 0),
            (String::new(), 0, 1),
            (format!("{CHANNEL}<channel id=\"6\"/>"), 0, 1),
            (format!("{CHANNEL}{CHANNEL}"), 1, 0),
            (one(ten, nine, fine), 1, 0),
            (one(nine, nine, fine), 1, 0),
            (one("20261121090000 +0100", ten, fine), 1, 0),
            (one("20261121090000", ten, fine), 1, 0),
            (one("20260229090000 +0000", ten, fine), 1, 0),
            (one("00001121090000 +0000", ten, fine), 1, 0),
            (one("20261121090000 +0000", "99991121090000 +0000", fine), 1, 0),
            (one(nine, ten, ""), 1, 0),
            (one(nine, ten, "<title> </title>"), 1, 0),
            (one(nine, ten, "<desc>x</desc><title>x</title>"), 1, 0),
            (one(nine, ten, "<title>\u{1}</title>"), 1, 0),
            (format!("{CHANNEL}{}", programme(nine, ten, "6", fine)), 1, 0),
            (format!("{}{CHANNEL}", programme(nine, ten, "5.1", fine)), 1, 0),
            (format!("{CHANNEL}{}{}", programme(nine, eleven, "5.1", fine), programme(ten, eleven, "5.1", fine)), 1, 0),
        ] {
            let report = check(&body, 7);
            assert_eq!((report.errors, report.mismatches), (errors, mismatches), "{body}");
            assert_eq!(report.first_error.is_some(), errors > 0);
        }
    }

    #[test]
    fn a_character_cut_in_two_is_one_and_half_a_one_is_none() {
        let mut checker = Checker::new(core::iter::empty());
        checker.push(b"<tv>\xc3").unwrap();
        checker.push(b"\xbc</tv>").unwrap();
        assert_eq!(checker.finish().unwrap().errors, 0);
        let mut checker = Checker::new(core::iter::empty());
        checker.push(b"<tv>\xc3").unwrap();
        checker.push(b"</tv>").unwrap();
        assert_eq!(checker.finish().unwrap().errors, 1);
    }
}

//! XML that strangers wrote, read while it arrives: tags and texts, one after the other.
//!
//! Not here: what the tags mean ([`super::xmltv`]); XML that we write ([`super::xml`]).
//!
//! An own reader because the ones there are pull from a file with the world's standard library, while this one is
//! pushed into, and because what it must refuse is longer than what it must read: a document can define nothing, ask
//! for nothing and nest nothing deeply. `<!DOCTYPE tv SYSTEM "xmltv.dtd">` stands in most guides and says nothing, so it
//! is passed over and never fetched; one that defines something is refused (M03).
//!
//! The invariant: memory is bounded by one tag, time is linear, and however the bytes are cut into pieces, the same
//! tags and the same texts come out.

use crate::limits::{XML_ATTRIBUTE_BYTES_MAX, XML_ATTRIBUTES_MAX, XML_DEPTH_MAX, XML_TAG_BYTES_MAX};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What comes next in a document.
#[derive(Debug)]
pub enum Event<'a> {
    /// An element begins. An empty one, `<a/>`, begins and ends.
    Open(&'a str, Attributes<'a>),
    /// A piece of the text in it, as it stands: [`decode`] it once all is there.
    Text(&'a [u8]),
    /// A piece of text that has no entities.
    Plain(&'a [u8]),
    /// It ends.
    Close(&'a str),
}

/// Why a document is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkupError {
    /// It defines something: entities, or its own grammar.
    Doctype,
    /// Elements in elements, more than [`XML_DEPTH_MAX`].
    TooDeep,
    /// More than [`XML_ATTRIBUTE_BYTES_MAX`] bytes in an attribute, [`XML_TAG_BYTES_MAX`] in a tag, or
    /// [`XML_ATTRIBUTES_MAX`] attributes.
    TagTooLong,
    /// It is no XML.
    Broken,
    /// It ends in the middle.
    CutOff,
    /// It holds bytes that no text has.
    Binary,
}

impl fmt::Display for MarkupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Doctype => "it defines entities or a grammar of its own, which is refused",
            Self::TooDeep => "its elements are nested too deeply",
            Self::TagTooLong => "it has a tag that is too long",
            Self::Broken => "it is no well-formed XML",
            Self::CutOff => "it ends in the middle",
            Self::Binary => "it is not text in UTF-8 or Latin-1",
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After `<`; the quote that is open, if any.
    Tag(Option<u8>),
    Comment,
    /// `<![CDATA[…]]>`
    Plain,
    /// `<?…?>`
    Instruction,
    Doctype(Option<u8>),
}

/// Reads one document. Push bytes as they come, then call [`Markup::finish`].
#[derive(Debug, Default)]
pub struct Markup {
    state: State,
    /// What of a tag is there, without its angles; elsewhere the last bytes, which may begin an end.
    tag: Vec<u8>,
    /// Names of the elements that are open, one after the other, and where each begins.
    names: String,
    open: heapless::Vec<usize, XML_DEPTH_MAX>,
    had_root: bool,
    failed: Option<MarkupError>,
}

/// Who is told; an error of his ends the reading.
type Listener<'a, E> = &'a mut dyn FnMut(Event<'_>) -> Result<(), E>;

impl Markup {
    /// A reader that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, cut anywhere.
    ///
    /// # Errors
    /// [`MarkupError`], or what the listener said: the rest need not be read.
    pub fn push<E: From<MarkupError>>(&mut self, bytes: &[u8], on: Listener<'_, E>) -> Result<(), E> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.step(rest, on)?;
        }
        Ok(())
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`MarkupError::CutOff`], and [`MarkupError::Broken`] when there was no element.
    pub fn finish(self) -> Result<(), MarkupError> {
        match self.failed {
            Some(error) => Err(error),
            None if !self.open.is_empty() || self.state != State::Text => Err(MarkupError::CutOff),
            None if !self.had_root => Err(MarkupError::Broken),
            None => Ok(()),
        }
    }

    fn fail<E: From<MarkupError>>(&mut self, error: MarkupError) -> E {
        self.failed = Some(error);
        error.into()
    }

    /// Reads on as far as one thing goes, and gives back what follows it.
    fn step<'a, E: From<MarkupError>>(&mut self, bytes: &'a [u8], on: Listener<'_, E>) -> Result<&'a [u8], E> {
        match self.state {
            State::Text => self.text(bytes, on),
            State::Tag(quote) => self.tag(bytes, quote, on),
            State::Doctype(quote) => self.doctype(bytes, quote),
            State::Plain => {
                let (plain, rest) = self.until(bytes, b"]]>");
                if !plain.is_empty() && !self.open.is_empty() {
                    on(Event::Plain(&plain))?;
                }
                Ok(rest)
            }
            State::Comment => Ok(self.until(bytes, b"-->").1),
            State::Instruction => Ok(self.until(bytes, b"?>").1),
        }
    }

    fn text<'a, E: From<MarkupError>>(&mut self, bytes: &'a [u8], on: Listener<'_, E>) -> Result<&'a [u8], E> {
        let len = bytes.iter().position(|byte| *byte == b'<').unwrap_or(bytes.len());
        let (text, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
        let (is_outside, had_root) = (self.open.is_empty(), self.had_root);
        let is_bad =
            |byte: &&u8| **byte == 0 || is_outside && !byte.is_ascii_whitespace() && (had_root || !is_bom(**byte));
        // The first one decides, wherever the bytes were cut.
        match text.iter().find(is_bad) {
            Some(0) => return Err(self.fail(MarkupError::Binary)),
            Some(_) => return Err(self.fail(MarkupError::Broken)),
            None if !is_outside && !text.is_empty() => on(Event::Text(text))?,
            None => {}
        }
        let Some((_, rest)) = rest.split_first() else { return Ok(&[]) };
        self.state = State::Tag(None);
        self.tag.clear();
        Ok(rest)
    }

    /// Bytes up to `end`, without it, and those after it.
    fn until<'a>(&mut self, bytes: &'a [u8], end: &[u8]) -> (Cow<'a, [u8]>, &'a [u8]) {
        if self.tag.is_empty() {
            // The usual case: all of it is here.
            if let Some(at) = bytes.windows(end.len()).position(|window| window == end) {
                self.state = State::Text;
                let (before, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
                return (Cow::Borrowed(before), rest.get(end.len()..).unwrap_or_default());
            }
        }
        // The last bytes may begin the end; they wait for what comes.
        let mut seen = core::mem::take(&mut self.tag);
        let waited = seen.len();
        seen.extend_from_slice(bytes);
        if let Some(at) = seen.windows(end.len()).position(|window| window == end) {
            self.state = State::Text;
            let rest = bytes.get((at + end.len()).saturating_sub(waited)..).unwrap_or_default();
            seen.truncate(at);
            return (Cow::Owned(seen), rest);
        }
        let held = (1..end.len()).rev().find(|len| seen.ends_with(end.get(..*len).unwrap_or_default())).unwrap_or(0);
        self.tag = seen.split_off(seen.len() - held);
        (Cow::Owned(seen), &[])
    }

    fn tag<'a, E: From<MarkupError>>(
        &mut self,
        bytes: &'a [u8],
        quote: Option<u8>,
        on: Listener<'_, E>,
    ) -> Result<&'a [u8], E> {
        let mut quote = quote;
        for (at, byte) in bytes.iter().enumerate() {
            match (quote, *byte) {
                (_, 0) => return Err(self.fail(MarkupError::Binary)),
                (None, b'>') => {
                    self.state = State::Text;
                    let tag = core::mem::take(&mut self.tag);
                    let ended = self.end_tag(&tag, on);
                    self.tag = tag;
                    self.tag.clear();
                    ended?;
                    return Ok(bytes.get(at + 1..).unwrap_or_default());
                }
                (None, b'<') => return Err(self.fail(MarkupError::Broken)),
                (None, b'"' | b'\'') => quote = Some(*byte),
                (Some(open), byte) if byte == open => quote = None,
                _ => {}
            }
            self.tag.push(*byte);
            if self.tag.len() > XML_TAG_BYTES_MAX {
                return Err(self.fail(MarkupError::TagTooLong));
            }
            if let Some(state) = self.special()? {
                self.state = state;
                self.tag.clear();
                return Ok(bytes.get(at + 1..).unwrap_or_default());
            }
        }
        self.state = State::Tag(quote);
        Ok(&[])
    }

    /// What begins like a tag and is none.
    fn special<E: From<MarkupError>>(&mut self) -> Result<Option<State>, E> {
        match self.tag.as_slice() {
            [b'?'] => Ok(Some(State::Instruction)),
            b"!--" => Ok(Some(State::Comment)),
            b"![CDATA[" => Ok(Some(State::Plain)),
            b"!DOCTYPE" if !self.had_root => Ok(Some(State::Doctype(None))),
            [b'!', rest @ ..] => {
                let fine = [&b"--"[..], b"[CDATA[", b"DOCTYPE"].iter().any(|word| word.starts_with(rest));
                if fine && self.tag.len() < 8 { Ok(None) } else { Err(self.fail(MarkupError::Doctype)) }
            }
            _ => Ok(None),
        }
    }

    fn doctype<'a, E: From<MarkupError>>(&mut self, bytes: &'a [u8], quote: Option<u8>) -> Result<&'a [u8], E> {
        let mut quote = quote;
        for (at, byte) in bytes.iter().enumerate() {
            match (quote, *byte) {
                (None, b'>') => {
                    self.state = State::Text;
                    return Ok(bytes.get(at + 1..).unwrap_or_default());
                }
                (None, b'[' | b'<') => return Err(self.fail(MarkupError::Doctype)),
                (None, b'"' | b'\'') => quote = Some(*byte),
                (Some(open), byte) if byte == open => quote = None,
                _ => {}
            }
        }
        self.state = State::Doctype(quote);
        Ok(&[])
    }

    fn end_tag<E: From<MarkupError>>(&mut self, tag: &[u8], on: Listener<'_, E>) -> Result<(), E> {
        let text = latin_or_utf8(tag);
        if let Some(name) = text.strip_prefix('/') {
            let name = name.trim_end();
            let from = self.open.pop();
            if from.is_none_or(|from| self.names.get(from..) != Some(name)) {
                return Err(self.fail(MarkupError::Broken));
            }
            self.names.truncate(from.unwrap_or(0));
            return on(Event::Close(name));
        }
        let (text, is_empty) = text.strip_suffix('/').map_or((&*text, false), |text| (text, true));
        let name_len = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
        let (name, attributes) = text.split_at_checked(name_len).unwrap_or((text, ""));
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        if name.is_empty() || !name.chars().all(is_name) || self.had_root && self.open.is_empty() {
            return Err(self.fail(MarkupError::Broken));
        }
        let attributes = Attributes(attributes);
        if let Err(error) = attributes.check() {
            return Err(self.fail(error));
        }
        self.had_root = true;
        if self.open.push(self.names.len()).is_err() {
            return Err(self.fail(MarkupError::TooDeep));
        }
        self.names.push_str(name);
        on(Event::Open(name, attributes))?;
        if is_empty {
            let from = self.open.pop().unwrap_or(0);
            self.names.truncate(from);
            on(Event::Close(name))?;
        }
        Ok(())
    }
}

const fn is_bom(byte: u8) -> bool {
    matches!(byte, 0xef | 0xbb | 0xbf)
}

/// What stands in a tag after its name.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(&'a str);

impl<'a> Attributes<'a> {
    /// The value of an attribute, decoded.
    pub fn get(self, wanted: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.0;
        while let Ok(Some((name, value, after))) = split_attribute(rest) {
            if name == wanted {
                return Some(decode_text(value));
            }
            rest = after;
        }
        None
    }

    fn check(self) -> Result<(), MarkupError> {
        let (mut rest, mut count) = (self.0, 0);
        while let Some((_, value, after)) = split_attribute(rest)? {
            count += 1;
            if value.len() > XML_ATTRIBUTE_BYTES_MAX || count > XML_ATTRIBUTES_MAX {
                return Err(MarkupError::TagTooLong);
            }
            rest = after;
        }
        Ok(())
    }
}

/// Name and value of the first attribute, and what follows.
fn split_attribute(text: &str) -> Result<Option<(&str, &str, &str)>, MarkupError> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return Ok(None);
    }
    let (name, after) = text.split_once('=').ok_or(MarkupError::Broken)?;
    let after = after.trim_ascii_start();
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(MarkupError::Broken)?;
    let (value, rest) = after.get(1..).and_then(|after| after.split_once(quote)).ok_or(MarkupError::Broken)?;
    let name = name.trim_ascii_end();
    if name.is_empty() || name.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '<')) {
        return Err(MarkupError::Broken);
    }
    Ok(Some((name, value, rest)))
}

/// Text of a document. What is not UTF-8 is Latin-1, whatever the document says of itself: then it is wrong as often as
/// it is right.
fn latin_or_utf8(bytes: &[u8]) -> Cow<'_, str> {
    match core::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// The text that bytes of a document mean.
pub fn decode(bytes: &[u8]) -> String {
    match latin_or_utf8(bytes) {
        Cow::Borrowed(text) => decode_text(text).into_owned(),
        Cow::Owned(text) => decode_text(&text).into_owned(),
    }
}

/// Replaces the five entities of XML and those that are numbers. Others are left as they stand, and so is an `&` that
/// begins none: people forget to escape it.
fn decode_text(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let entity = after.split_once(';').and_then(|(name, after)| Some((entity(name)?, after)));
        if let Some((c, after)) = entity {
            out.push(c);
            rest = after;
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    /// All events of a document, its texts joined, read in pieces of so many bytes.
    fn read(document: &[u8], piece_bytes: usize) -> Result<Vec<String>, MarkupError> {
        let (mut said, mut text): (Vec<String>, Vec<u8>) = (Vec::new(), Vec::new());
        let mut markup = Markup::new();
        for piece in document.chunks(piece_bytes) {
            markup.push(piece, &mut |event| {
                if !matches!(event, Event::Text(_) | Event::Plain(_)) && !text.is_empty() {
                    said.push(format!("{:?}", decode(&core::mem::take(&mut text))));
                }
                match event {
                    Event::Open(name, attributes) => said.push(format!("<{name} {:?}", attributes.get("a"))),
                    Event::Text(bytes) => text.extend(bytes),
                    Event::Plain(bytes) => text.extend(
                        bytes.to_vec().iter().flat_map(
                            |byte| {
                                if *byte == b'&' { b"&amp;".to_vec() } else { vec![*byte] }
                            },
                        ),
                    ),
                    Event::Close(name) => said.push(format!("/{name}")),
                }
                Ok::<(), MarkupError>(())
            })?;
        }
        markup.finish().map(|()| said)
    }

    #[test]
    fn documents_are_read_however_they_are_cut() {
        let document = "\u{feff}<?xml version=\"1.0\"?>\n<!DOCTYPE tv SYSTEM \"x>y.dtd\">\n<!-- - -- a <b> --->\n\
            <tv a='x \"&gt;\" > y'>t1 &amp; R&B &nbsp; &#65;&#x42;&#xd800;<![CDATA[<&amp;]]]]><e/><ü a = \"\u{e9}\" /></tv>\n";
        let expected = [
            "<tv Some(\"x \\\">\\\" > y\")",
            "\"t1 & R&B &nbsp; AB&#xd800;<&amp;]]\"",
            "<e None",
            "/e",
            "<ü Some(\"é\")",
            "/ü",
            "/tv",
        ];
        for piece_bytes in [1, 2, 3, 5, 7, 64, 4_096] {
            assert_eq!(read(document.as_bytes(), piece_bytes).unwrap(), expected, "{piece_bytes}");
        }
        assert_eq!(read(b"<t a='M\xfcller'>\xe4</t>", 4).unwrap(), ["<t Some(\"Müller\")", "\"ä\"", "/t"]);
    }

    #[test]
    fn what_is_no_harmless_document_is_refused() {
        let deep = "<a>".repeat(XML_DEPTH_MAX + 1);
        let long = format!("<a a='{}'/>", "x".repeat(XML_ATTRIBUTE_BYTES_MAX + 1));
        let many: Vec<String> = (0..=XML_ATTRIBUTES_MAX).map(|n| format!(" a{n}='1'")).collect();
        let many = many.concat();
        let endless = format!("<a {}", "b='1' ".repeat(XML_TAG_BYTES_MAX));
        for (document, why) in [
            ("<!DOCTYPE tv [<!ENTITY a \"b\">]><tv/>", MarkupError::Doctype),
            ("<!DOCTYPE tv SYSTEM 'x' [", MarkupError::Doctype),
            ("<!ENTITY a \"b\"><tv/>", MarkupError::Doctype),
            ("<tv><!DOCTYPE tv></tv>", MarkupError::Doctype),
            (&deep, MarkupError::TooDeep),
            (&long, MarkupError::TagTooLong),
            (&format!("<a{many}/>"), MarkupError::TagTooLong),
            (&endless, MarkupError::TagTooLong),
            ("", MarkupError::Broken),
            ("text", MarkupError::Broken),
            ("<a></b>", MarkupError::Broken),
            ("<a/><b/>", MarkupError::Broken),
            ("<a/>text", MarkupError::Broken),
            ("</a>", MarkupError::Broken),
            ("<a b></a>", MarkupError::Broken),
            ("<a b=c></a>", MarkupError::Broken),
            ("< a></a>", MarkupError::Broken),
            ("<a>", MarkupError::CutOff),
            ("<a><!-- ", MarkupError::CutOff),
            ("<a>\0</a>", MarkupError::Binary),
        ] {
            for piece_bytes in [1, 4_096] {
                let shown = document.chars().take(40).collect::<String>();
                assert_eq!(read(document.as_bytes(), piece_bytes), Err(why), "{shown}");
            }
            assert!(!why.to_string().is_empty());
        }
    }
}

//! What a mail server says, and a mail as it goes over the wire.
//!
//! Replies are read within bounds, whatever comes. A mail is made of parts that cannot hold a line break where none
//! belongs: addresses were read as such, a subject is encoded, and of a text every line is stuffed.
//!
//! Source: RFC 5321 (SMTP), RFC 5322 (the mail), RFC 2047 (words of a header), RFC 2045, 6.7 (quoted-printable).

use crate::limits::{SMTP_LINE_BYTES_MAX, SMTP_LINES_MAX};
use crate::model::notification::MailAddress;
use crate::time::{HttpDate, Wall};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// What a server says to one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Three digits; 2xx and 3xx are good.
    pub code: u16,
    /// Its lines without the code; printable ASCII.
    pub lines: Vec<String>,
}

impl Reply {
    /// Whether the command was taken.
    pub const fn is_good(&self) -> bool {
        matches!(self.code, 200..=399)
    }

    /// Whether the same may be taken later.
    pub const fn is_for_now(&self) -> bool {
        matches!(self.code, 400..=499)
    }

    /// The words behind a keyword of EHLO; `None` where the server does not have it.
    pub fn keyword<'a>(&'a self, keyword: &str) -> Option<&'a str> {
        // The first line is a greeting.
        self.lines.iter().skip(1).find_map(|line| {
            let (first, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            first.eq_ignore_ascii_case(keyword).then_some(rest)
        })
    }
}

/// What came is no reply, or is too long for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Puts replies together.
#[derive(Debug, Default)]
pub struct Replies {
    line: Vec<u8>,
    reply: Reply,
}

impl Replies {
    /// Takes the next byte, and gives the reply that it ends.
    ///
    /// # Errors
    /// [`Malformed`]: nothing more can be read from there.
    pub fn push(&mut self, byte: u8) -> Result<Option<Reply>, Malformed> {
        if byte != b'\n' {
            self.line.push(byte);
            return if self.line.len() > SMTP_LINE_BYTES_MAX { Err(Malformed) } else { Ok(None) };
        }
        let line = core::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let (digits, rest) = line.split_at_checked(3).ok_or(Malformed)?;
        let is_first_digit = digits.first().is_some_and(|digit| (b'2'..=b'5').contains(digit));
        if !is_first_digit || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        let (is_last, text) = match rest.split_first() {
            None => (true, &[][..]),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(Malformed),
        };
        if self.reply.lines.len() >= SMTP_LINES_MAX || !self.reply.lines.is_empty() && self.reply.code != code {
            return Err(Malformed);
        }
        let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' };
        self.reply.code = code;
        self.reply.lines.push(text.iter().map(shown).collect());
        Ok(is_last.then(|| core::mem::take(&mut self.reply)))
    }

    /// Whether nothing came behind the last reply.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty() && self.reply.lines.is_empty()
    }
}

/// A mail.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    /// Who writes, for people.
    pub name: &'a str,
    /// Who writes.
    pub from: &'a MailAddress,
    /// To whom.
    pub to: &'a [MailAddress],
    /// What about; one line.
    pub subject: &'a str,
    /// What.
    pub text: &'a str,
    /// When.
    pub at: Wall,
    /// Names this one mail.
    pub id: u128,
}

impl Mail<'_> {
    /// As it goes out behind DATA, with the dot that ends it.
    pub fn to_wire(&self) -> String {
        let Self { name, from, to, subject, text, at, id } = *self;
        let to: Vec<&str> = to.iter().map(MailAddress::as_str).collect();
        let date = HttpDate(at).to_string();
        let mut wire = format!(
            "Date: {} +0000\r\nFrom: {} <{}>\r\nTo: {}\r\nSubject: {}\r\nMessage-ID: <{id:032x}@{}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\n",
            date.trim_end_matches(" GMT"),
            words(name),
            from.as_str(),
            to.join(",\r\n "),
            words(subject),
            from.domain(),
        );
        for line in text.lines() {
            push_quoted(&mut wire, line);
        }
        wire.push_str(".\r\n");
        wire
    }
}

/// Bytes of an encoded word's text: with what stands around them that is 75 at most, and the name of the header fits in front of it.
const WORD_BYTES: usize = 39;

/// A text in a header: as encoded words, one a line, whatever is in it.
fn words(text: &str) -> String {
    let mut encoded = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut len = rest.len().min(WORD_BYTES);
        while !rest.is_char_boundary(len) {
            len -= 1;
        }
        let (word, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        encoded.push_str(if encoded.is_empty() { "=?UTF-8?B?" } else { "\r\n =?UTF-8?B?" });
        push_base64(&mut encoded, word.as_bytes());
        encoded.push_str("?=");
        rest = after;
    }
    encoded
}

/// RFC 4648, 4.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    push_base64(&mut text, bytes);
    text
}

fn push_base64(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for part in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(part.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS.get(bits >> (18 - 6 * at) & 63).copied().unwrap_or(b'=');
            text.push(if at <= part.len() { char::from(digit) } else { '=' });
        }
    }
}

/// Characters of a line in quoted-printable, with the sign that it goes on.
const QUOTED_LINE: usize = 76;

/// One line of a text, broken where it is too long, with the dot of SMTP before each that begins with one.
fn push_quoted(wire: &mut String, line: &str) {
    let mut len = 0;
    let mut put = |wire: &mut String, piece: &str| {
        if len + piece.len() >= QUOTED_LINE {
            wire.push_str("=\r\n");
            len = 0;
        }
        if len == 0 && piece == "." {
            wire.push('.');
        }
        wire.push_str(piece);
        len += piece.len();
    };
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_last_space = *byte == b' ' && at + 1 == bytes.len();
        if (byte.is_ascii_graphic() || *byte == b' ') && *byte != b'=' && !is_last_space {
            put(wire, char::from(*byte).encode_utf8(&mut [0; 4]));
        } else {
            put(wire, &format!("={byte:02X}"));
        }
    }
    wire.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::notification::{MailRoute, Target, Way};
    use std::vec;

    fn replies(text: &[u8]) -> Result<Vec<Reply>, Malformed> {
        let mut replies = Replies::default();
        text.iter().filter_map(|byte| replies.push(*byte).transpose()).collect()
    }

    #[test]
    fn replies_of_one_line_and_of_several_are_read() {
        let read = replies(b"220 mail.example.org ESMTP\r\n250-mail\r\n250-STARTTLS\r\n250 AUTH LOGIN PLAIN\r\n354\n")
            .unwrap();
        assert_eq!(read.iter().map(|reply| reply.code).collect::<Vec<_>>(), [220, 250, 354]);
        assert_eq!((read[1].keyword("starttls"), read[1].keyword("AUTH")), (Some(""), Some("LOGIN PLAIN")));
        assert_eq!((read[1].keyword("mail"), read[1].keyword("SIZE")), (None, None));
        assert!(read[1].is_good() && read[2].is_good());
        let [late] = &replies(b"451 4.7.1 \x1b[31mcome back\r\n").unwrap()[..] else { panic!() };
        assert!(late.is_for_now() && !late.is_good() && late.lines == ["4.7.1 ?[31mcome back"]);
    }

    #[test]
    fn what_is_no_reply_ends_it_within_bounds() {
        for text in ["hello\r\n", "25\r\n", "250+x\r\n", "650 x\r\n", "150 x\r\n", "250-a\r\n251 b\r\n", "\r\n"] {
            assert_eq!(replies(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert_eq!(replies(&vec![b'2'; SMTP_LINE_BYTES_MAX + 1]), Err(Malformed));
        assert_eq!(replies(&b"250-x\r\n".repeat(SMTP_LINES_MAX + 1)), Err(Malformed));
        let mut replies = Replies::default();
        assert!(replies.is_empty());
        replies.push(b'2').unwrap();
        assert!(!replies.is_empty());
    }

    fn wire(subject: &str, text: &str) -> String {
        let target = Target::read("smtp://host/?from=box@example.org&to=a@example.org,b@example.org", None).unwrap();
        let Way::Mail(MailRoute { from, to, .. }) = target.way() else { panic!() };
        Mail { name: "Attic", from, to, subject, text, at: Wall(1_795_253_400), id: 0xabc }.to_wire()
    }

    #[test]
    fn a_mail_has_its_headers_and_ends_with_a_dot() {
        let wire = wire("Ünï", "Line\n.dot\n..two\nwith = and ü \n");
        let expected = "Date: Sat, 21 Nov 2026 09:30:00 +0000\r\nFrom: =?UTF-8?B?QXR0aWM=?= <box@example.org>\r\n\
            To: a@example.org,\r\n b@example.org\r\nSubject: =?UTF-8?B?w5xuw68=?=\r\n\
            Message-ID: <00000000000000000000000000000abc@example.org>\r\nAuto-Submitted: auto-generated\r\n\
            MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nLine\r\n..dot\r\n...two\r\nwith =3D and =C3=BC=20\r\n.\r\n";
        assert_eq!(wire, expected);
    }

    #[test]
    fn nothing_breaks_out_of_its_place() {
        // Neither a subject nor a text makes a header, a command or an end of its own.
        let evil = "x\r\nBcc: y@z\r\n.\r\nMAIL FROM:<y@z>\r\n";
        for wire in [wire(evil, "text"), wire(&"ü".repeat(500), &".".repeat(500)), wire("", evil)] {
            let (head, body) = wire.split_once("\r\n\r\n").unwrap();
            assert!(head.is_ascii() && !head.contains("Bcc") && head.lines().all(|line| line.len() <= 78), "{head}");
            assert_eq!(wire.matches("\r\n.\r\n").count(), 1, "{wire}");
            assert!(body.lines().all(|line| line.len() <= 78), "{body}");
            assert_eq!(wire.matches('\n').count(), wire.matches("\r\n").count());
        }
    }

    #[test]
    fn base64_is_as_everywhere() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}

//! A small JSON reader, for documents that are signed and short: no fractions, no name twice, no depth without end.
//!
//! Not here: what a document should hold. What programs send to the API is read by the daemon, with serde.
//! Source: RFC 8259.

use crate::limits::JSON_DEPTH_MAX;
use alloc::string::String;
use alloc::vec::Vec;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Flag(bool),
    /// A whole number that is not negative: others do not occur.
    Number(u64),
    /// Text
    Text(String),
    /// `[…]`
    List(Vec<Self>),
    /// `{…}`, in the order in which it stands there; no name twice.
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Reads all of `text`; none when it is not a JSON that we read.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text };
        let value = reader.value(0)?;
        reader.blanks();
        reader.rest.is_empty().then_some(value)
    }

    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Its text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Its number, if it is one.
    pub const fn number(&self) -> Option<u64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Whether `word` comes next, which is taken then.
    fn takes(&mut self, word: &str) -> bool {
        self.blanks();
        let after = self.rest.strip_prefix(word);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > JSON_DEPTH_MAX {
            return None;
        }
        if self.takes("{") {
            return self.object(depth);
        }
        if self.takes("[") {
            return self.list(depth);
        }
        if self.takes("\"") {
            return self.string().map(Json::Text);
        }
        for (word, value) in [("null", Json::Null), ("true", Json::Flag(true)), ("false", Json::Flag(false))] {
            if self.takes(word) {
                return Some(value);
            }
        }
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        let is_plain = digits == "0" || !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_plain).map(Json::Number)
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        if self.takes("}") {
            return Some(Json::Object(fields));
        }
        loop {
            if !self.takes("\"") {
                return None;
            }
            let name = self.string()?;
            if !self.takes(":") || fields.iter().any(|(field, _)| *field == name) {
                return None;
            }
            fields.push((name, self.value(depth + 1)?));
            if self.takes("}") {
                return Some(Json::Object(fields));
            }
            if !self.takes(",") {
                return None;
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        let mut items = Vec::new();
        if self.takes("]") {
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.takes("]") {
                return Some(Json::List(items));
            }
            if !self.takes(",") {
                return None;
            }
        }
    }

    /// What stands behind the first quote, up to the second one.
    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                '"' => {
                    self.rest = chars.as_str();
                    return Some(text);
                }
                '\\' => text.push(match chars.next()? {
                    same @ ('"' | '\\' | '/') => same,
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    // Halves of a pair are no character.
                    'u' => {
                        let (digits, rest) = chars.as_str().split_at_checked(4)?;
                        chars = rest.chars();
                        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                        char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?)?
                    }
                    _ => return None,
                }),
                control if control < ' ' => return None,
                plain => text.push(plain),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_is_json_is_read() {
        let read = Json::parse(" {\"a\": [1, true, null, \"x\\n\\u00e4\\\"\"], \"b\" : {} } ").unwrap();
        let text = Json::Text("x\nä\"".into());
        let list = Json::List(vec![Json::Number(1), Json::Flag(true), Json::Null, text]);
        assert_eq!(read.get("a"), Some(&list));
        assert_eq!(read.get("b"), Some(&Json::Object(vec![])));
        assert_eq!(Json::parse("18446744073709551615").unwrap().number(), Some(u64::MAX));
        assert_eq!(Json::parse("\"a\"").unwrap().text(), Some("a"));
    }

    #[test]
    fn what_is_none_is_not() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "[1",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "01",
            "-1",
            "1.5",
            "1e3",
            "\"a",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\u00\"",
            "\"\\u+123\"",
            "\"\n\"",
            "tru",
            "nullx",
            "1 2",
            "18446744073709551616",
            &deep,
        ] {
            assert_eq!(Json::parse(text), None, "{text:?}");
        }
    }
}

//! The items of a JSON array, found while it arrives: lists of providers are too long to be held as a whole.
//!
//! Not here: what is in an item; that is read from its bytes by who knows what it should be (the daemon, with serde). An
//! item may hold anything, also arrays: those at the top are told one by one.
//!
//! The invariant: memory is bounded by one item, time is linear, and however the bytes are cut, the same items come out.

use crate::limits::JSON_ITEM_BYTES_MAX;
use alloc::vec::Vec;
use core::fmt;

/// Why something is not an array as we read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemsError {
    /// It does not begin with a bracket.
    NotAnArray,
    /// An item has more than [`JSON_ITEM_BYTES_MAX`] bytes.
    ItemTooLong,
    /// It ends in the middle.
    Cut,
}

/// Finds items. Push bytes as they come, then call [`Items::finish`].
#[derive(Debug, Default)]
pub struct Items {
    item: Vec<u8>,
    /// Brackets and braces that are open, the array's own included.
    depth: usize,
    in_string: bool,
    after_backslash: bool,
    has_ended: bool,
    failed: Option<ItemsError>,
}

impl Items {
    /// Takes the next bytes and tells `on` of each item that they complete, with blanks around it taken off.
    ///
    /// # Errors
    /// [`ItemsError`]; it stays.
    pub fn push(&mut self, bytes: &[u8], on: &mut dyn FnMut(&[u8])) -> Result<(), ItemsError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        bytes.iter().try_for_each(|byte| self.take(*byte, on)).inspect_err(|error| self.failed = Some(*error))
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`ItemsError::Cut`], or what was wrong before.
    pub fn finish(self) -> Result<(), ItemsError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.has_ended => Ok(()),
            None => Err(ItemsError::Cut),
        }
    }

    fn take(&mut self, byte: u8, on: &mut dyn FnMut(&[u8])) -> Result<(), ItemsError> {
        if self.has_ended || self.depth == 0 {
            // A byte order mark is no part of it, and what follows its end is nobody's business.
            match byte {
                b'[' if !self.has_ended => self.depth = 1,
                b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => {}
                _ if self.has_ended => {}
                _ => return Err(ItemsError::NotAnArray),
            }
            return Ok(());
        }
        if self.in_string {
            self.in_string = self.after_backslash || byte != b'"';
            self.after_backslash = !self.after_backslash && byte == b'\\';
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth -= 1,
                b',' if self.depth == 1 => {
                    self.end_item(on);
                    return Ok(());
                }
                _ => {}
            }
            if self.depth == 0 {
                self.end_item(on);
                self.has_ended = true;
                return Ok(());
            }
        }
        if self.item.len() >= JSON_ITEM_BYTES_MAX {
            return Err(ItemsError::ItemTooLong);
        }
        self.item.push(byte);
        Ok(())
    }

    fn end_item(&mut self, on: &mut dyn FnMut(&[u8])) {
        let item = self.item.trim_ascii();
        if !item.is_empty() {
            on(item);
        }
        self.item.clear();
    }
}

impl fmt::Display for ItemsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArray => f.write_str("the answer is no list"),
            Self::ItemTooLong => write!(f, "an item of the list is longer than {JSON_ITEM_BYTES_MAX} bytes"),
            Self::Cut => f.write_str("the list ends in the middle"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;

    fn read(text: &[u8], piece_len: usize) -> (Vec<String>, Result<(), ItemsError>) {
        let (mut items, mut told) = (Items::default(), Vec::new());
        for piece in text.chunks(piece_len) {
            let pushed = items.push(piece, &mut |item| told.push(String::from_utf8_lossy(item).into_owned()));
            if let Err(error) = pushed {
                return (told, Err(error));
            }
        }
        (told, items.finish())
    }

    #[test]
    fn items_are_found_however_they_are_cut() {
        let text = br#" [ {"a":"]},\"[\\","b":[1,{"c":2}]} , 7, "x,y",[],null ] trailing"#;
        let expected = [r#"{"a":"]},\"[\\","b":[1,{"c":2}]}"#, "7", r#""x,y""#, "[]", "null"];
        for piece_len in 1..text.len() {
            let (told, result) = read(text, piece_len);
            assert_eq!((told.as_slice(), result), (expected.map(String::from).as_slice(), Ok(())), "{piece_len}");
        }
        assert_eq!(read(b"[]", 9), (vec![], Ok(())));
        assert_eq!(read(b"\xef\xbb\xbf[1]", 1), (vec!["1".into()], Ok(())));
    }

    #[test]
    fn what_is_no_array_is_refused_within_bounds() {
        for (text, error) in [
            (&b"{}"[..], ItemsError::NotAnArray),
            (b"<html>", ItemsError::NotAnArray),
            (b"", ItemsError::Cut),
            (b"[", ItemsError::Cut),
            (b"[\"a]", ItemsError::Cut),
            (b"[{]", ItemsError::Cut),
        ] {
            assert_eq!(read(text, 3).1, Err(error), "{text:?}");
        }
        let long = [b"[\"".as_slice(), &vec![b'x'; JSON_ITEM_BYTES_MAX + 1]].concat();
        assert_eq!(read(&long, 1_000).1, Err(ItemsError::ItemTooLong));
        let deep = [b"[".as_slice(), &vec![b'['; JSON_ITEM_BYTES_MAX + 1]].concat();
        assert_eq!(read(&deep, 1_000).1, Err(ItemsError::ItemTooLong));
        let mut items = Items::default();
        assert!(items.push(b"x", &mut |_| ()).is_err() && items.push(b"[]", &mut |_| ()).is_err(), "an error stays");
    }
}

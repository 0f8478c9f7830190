//! What a slate says, and the picture of it: words, letters, and where they stand.
//!
//! The picture is made here, dot by dot, because nothing that a provider calls his channels may get near the syntax of
//! FFmpeg's filters, and because a box may have no font. Letters that the font does not have are shown as the nearest
//! that it has, or as a question mark.

use crate::limits::SLATE_LINES_MAX;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Dots of the picture in a row; what FFmpeg makes of it is larger by whole numbers for the usual sizes.
pub const CARD_WIDTH: usize = 320;
/// Rows of dots.
pub const CARD_HEIGHT: usize = 180;

/// Empty dots around everything: televisions cut the edges off.
const MARGIN: usize = 20;
/// A letter with the space beside it, and with the one below.
const LETTER_WIDTH: usize = 6;
const LETTER_HEIGHT: usize = 11;
/// The title's letters are so much larger.
const TITLE_SCALE: usize = 2;
/// Letters in a line of text.
const COLUMNS: usize = (CARD_WIDTH - 2 * MARGIN) / LETTER_WIDTH;
/// Letters in a line of the title.
const TITLE_COLUMNS: usize = COLUMNS / TITLE_SCALE;
const TITLE_LINES_MAX: usize = 2;
/// Between the title and the lines below it.
const GAP: usize = 6;
const _: () = assert!(
    2 * MARGIN + LETTER_HEIGHT * (TITLE_LINES_MAX * TITLE_SCALE + SLATE_LINES_MAX) + GAP <= CARD_HEIGHT,
    "all lines fit"
);

const PAPER: u8 = 28;
const INK: u8 = 215;
const TITLE_INK: u8 = 250;

/// A title, and lines below it. All of its letters are ones that the font has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    title: Vec<String>,
    lines: Vec<String>,
}

impl Card {
    /// Puts texts on a card: each of them begins a line of its own, and what is too long for the card is left out.
    pub fn new(title: &str, texts: &[&str]) -> Self {
        let mut lines = Vec::new();
        for text in texts {
            wrap(text, COLUMNS, SLATE_LINES_MAX, &mut lines);
        }
        let mut title_lines = Vec::new();
        wrap(title, TITLE_COLUMNS, TITLE_LINES_MAX, &mut title_lines);
        Self { title: title_lines, lines }
    }

    /// All of it in one line, for people who read rather than watch.
    pub fn sentence(&self) -> String {
        self.lines.join(" ")
    }

    /// The picture: a byte for each dot, 0 is black, row after row.
    pub fn picture(&self) -> Vec<u8> {
        let mut dots = vec![PAPER; CARD_WIDTH * CARD_HEIGHT];
        let height = LETTER_HEIGHT * (self.title.len() * TITLE_SCALE + self.lines.len()) + GAP;
        let mut top = MARGIN.max(CARD_HEIGHT.saturating_sub(height) / 2);
        for line in &self.title {
            write(&mut dots, line, top, TITLE_SCALE, TITLE_INK);
            top += LETTER_HEIGHT * TITLE_SCALE;
        }
        top += GAP;
        for line in &self.lines {
            write(&mut dots, line, top, 1, INK);
            top += LETTER_HEIGHT;
        }
        dots
    }
}

/// Breaks a text between words, or within one that is longer than a line. `lines` never become more than `lines_max`.
fn wrap(text: &str, columns: usize, lines_max: usize, lines: &mut Vec<String>) {
    let clean: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { nearest(letter) }).collect();
    let mut line = String::new();
    for word in clean.split(' ').filter(|word| !word.is_empty()) {
        let mut rest = word;
        while !rest.is_empty() {
            let space = usize::from(!line.is_empty());
            if line.len() + space + rest.len().min(columns) > columns {
                if lines.len() == lines_max {
                    return;
                }
                lines.push(core::mem::take(&mut line));
                continue;
            }
            if space > 0 {
                line.push(' ');
            }
            // All letters are ASCII here.
            let (here, later) = rest.split_at(rest.len().min(columns));
            line.push_str(here);
            rest = later;
        }
    }
    if !line.is_empty() && lines.len() < lines_max {
        lines.push(line);
    }
}

/// Writes a line in the middle of its row.
fn write(dots: &mut [u8], line: &str, top: usize, scale: usize, ink: u8) {
    let left = CARD_WIDTH.saturating_sub(line.len() * LETTER_WIDTH * scale) / 2;
    for (index, letter) in line.bytes().enumerate() {
        let glyph = LETTERS.get(usize::from(letter.wrapping_sub(b' '))).copied().unwrap_or_default();
        for (column, bits) in glyph.into_iter().enumerate() {
            for row in (0..8).filter(|row| bits >> row & 1 == 1) {
                let x = left + (index * LETTER_WIDTH + column) * scale;
                for y in (top + row * scale)..(top + (row + 1) * scale) {
                    let from = y * CARD_WIDTH + x;
                    dots.get_mut(from..from + scale).unwrap_or_default().fill(ink);
                }
            }
        }
    }
}

/// The letter of the font that is nearest to this one.
fn nearest(letter: char) -> char {
    /// For U+00A0 to U+017F, in order.
    const PLAIN: &[u8] = b" !cL?Y|S\"ca<--R-o+23'uP.,1o>???\
?AAAAAAACEEEEIIIIDNOOOOOxOUUUUYTsaaaaaaaceeeeiiiidnooooo/ouuuuyty\
AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHh\
IiIiIiIiIiIiJjKkkLlLlLlLlLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";
    match letter {
        ' '..='~' => letter,
        '\u{a0}'..='\u{17f}' => {
            let index = u32::from(letter) - 0xA0;
            let plain = usize::try_from(index).ok().and_then(|index| PLAIN.get(index));
            plain.map_or('?', |plain| char::from(*plain))
        }
        '\u{2010}'..='\u{2015}' => '-',
        '\u{2018}'..='\u{201a}' => '\'',
        '\u{201c}'..='\u{201e}' => '"',
        '\u{2022}' => '*',
        '\u{2026}' => '.',
        _ => '?',
    }
}

/// The letters from the space to the tilde: five columns each, the topmost dot is the lowest bit.
#[rustfmt::skip]
const LETTERS: [[u8; 5]; 95] = [
    [0x00, 0x00, 0x00, 0x00, 0x00], [0x00, 0x00, 0x5F, 0x00, 0x00], [0x00, 0x07, 0x00, 0x07, 0x00],
    [0x14, 0x7F, 0x14, 0x7F, 0x14], [0x24, 0x2A, 0x7F, 0x2A, 0x12], [0x23, 0x13, 0x08, 0x64, 0x62],
    [0x36, 0x49, 0x55, 0x22, 0x50], [0x00, 0x00, 0x07, 0x00, 0x00], [0x00, 0x1C, 0x22, 0x41, 0x00],
    [0x00, 0x41, 0x22, 0x1C, 0x00], [0x14, 0x08, 0x3E, 0x08, 0x14], [0x08, 0x08, 0x3E, 0x08, 0x08],
    [0x00, 0x50, 0x30, 0x00, 0x00], [0x08, 0x08, 0x08, 0x08, 0x08], [0x00, 0x60, 0x60, 0x00, 0x00],
    [0x20, 0x10, 0x08, 0x04, 0x02],
    // 0 to 9
    [0x3E, 0x51, 0x49, 0x45, 0x3E], [0x00, 0x42, 0x7F, 0x40, 0x00], [0x42, 0x61, 0x51, 0x49, 0x46],
    [0x21, 0x41, 0x45, 0x4B, 0x31], [0x18, 0x14, 0x12, 0x7F, 0x10], [0x27, 0x45, 0x45, 0x45, 0x39],
    [0x3C, 0x4A, 0x49, 0x49, 0x30], [0x01, 0x71, 0x09, 0x05, 0x03], [0x36, 0x49, 0x49, 0x49, 0x36],
    [0x06, 0x49, 0x49, 0x29, 0x1E],
    // : to @
    [0x00, 0x36, 0x36, 0x00, 0x00], [0x00, 0x56, 0x36, 0x00, 0x00], [0x08, 0x14, 0x22, 0x41, 0x00],
    [0x14, 0x14, 0x14, 0x14, 0x14], [0x00, 0x41, 0x22, 0x14, 0x08], [0x02, 0x01, 0x51, 0x09, 0x06],
    [0x32, 0x49, 0x79, 0x41, 0x3E],
    // A to Z
    [0x7E, 0x11, 0x11, 0x11, 0x7E], [0x7F, 0x49, 0x49, 0x49, 0x36], [0x3E, 0x41, 0x41, 0x41, 0x22],
    [0x7F, 0x41, 0x41, 0x41, 0x3E], [0x7F, 0x49, 0x49, 0x49, 0x41], [0x7F, 0x09, 0x09, 0x09, 0x01],
    [0x3E, 0x41, 0x49, 0x49, 0x7A], [0x7F, 0x08, 0x08, 0x08, 0x7F], [0x00, 0x41, 0x7F, 0x41, 0x00],
    [0x20, 0x40, 0x41, 0x3F, 0x01], [0x7F, 0x08, 0x14, 0x22, 0x41], [0x7F, 0x40, 0x40, 0x40, 0x40],
    [0x7F, 0x02, 0x0C, 0x02, 0x7F], [0x7F, 0x04, 0x08, 0x10, 0x7F], [0x3E, 0x41, 0x41, 0x41, 0x3E],
    [0x7F, 0x09, 0x09, 0x09, 0x06], [0x3E, 0x41, 0x51, 0x21, 0x5E], [0x7F, 0x09, 0x19, 0x29, 0x46],
    [0x46, 0x49, 0x49, 0x49, 0x31], [0x01, 0x01, 0x7F, 0x01, 0x01], [0x3F, 0x40, 0x40, 0x40, 0x3F],
    [0x1F, 0x20, 0x40, 0x20, 0x1F], [0x3F, 0x40, 0x38, 0x40, 0x3F], [0x63, 0x14, 0x08, 0x14, 0x63],
    [0x07, 0x08, 0x70, 0x08, 0x07], [0x61, 0x51, 0x49, 0x45, 0x43],
    // [ to `
    [0x00, 0x7F, 0x41, 0x41, 0x00], [0x02, 0x04, 0x08, 0x10, 0x20], [0x00, 0x41, 0x41, 0x7F, 0x00],
    [0x04, 0x02, 0x01, 0x02, 0x04], [0x40, 0x40, 0x40, 0x40, 0x40], [0x00, 0x01, 0x02, 0x04, 0x00],
    // a to z; the lowest dot of the eight is for what hangs below the line
    [0x20, 0x54, 0x54, 0x54, 0x78], [0x7F, 0x48, 0x44, 0x44, 0x38], [0x38, 0x44, 0x44, 0x44, 0x20],
    [0x38, 0x44, 0x44, 0x48, 0x7F], [0x38, 0x54, 0x54, 0x54, 0x18], [0x08, 0x7E, 0x09, 0x01, 0x02],
    [0x18, 0xA4, 0xA4, 0xA4, 0x7C], [0x7F, 0x08, 0x04, 0x04, 0x78], [0x00, 0x44, 0x7D, 0x40, 0x00],
    [0x40, 0x80, 0x84, 0x7D, 0x00], [0x7F, 0x10, 0x28, 0x44, 0x00], [0x00, 0x41, 0x7F, 0x40, 0x00],
    [0x7C, 0x04, 0x18, 0x04, 0x78], [0x7C, 0x08, 0x04, 0x04, 0x78], [0x38, 0x44, 0x44, 0x44, 0x38],
    [0xFC, 0x24, 0x24, 0x24, 0x18], [0x18, 0x24, 0x24, 0x28, 0xFC], [0x7C, 0x08, 0x04, 0x04, 0x08],
    [0x48, 0x54, 0x54, 0x54, 0x20], [0x04, 0x3F, 0x44, 0x40, 0x20], [0x3C, 0x40, 0x40, 0x20, 0x7C],
    [0x1C, 0x20, 0x40, 0x20, 0x1C], [0x3C, 0x40, 0x30, 0x40, 0x3C], [0x44, 0x28, 0x10, 0x28, 0x44],
    [0x1C, 0xA0, 0xA0, 0xA0, 0x7C], [0x44, 0x64, 0x54, 0x4C, 0x44],
    // { to ~
    [0x00, 0x08, 0x36, 0x41, 0x00], [0x00, 0x00, 0x7F, 0x00, 0x00], [0x00, 0x41, 0x36, 0x08, 0x00],
    [0x08, 0x04, 0x08, 0x10, 0x08],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_the_font_differs_from_all_others() {
        for (index, glyph) in LETTERS.iter().enumerate() {
            assert!(index == 0 || glyph.iter().any(|column| *column != 0), "{index}");
            assert!(!LETTERS[..index].contains(glyph), "{index}");
        }
    }

    #[test]
    fn letters_are_ones_that_the_font_has() {
        for (letter, shown) in [
            ('a', 'a'),
            ('~', '~'),
            ('ä', 'a'),
            ('Ö', 'O'),
            ('ß', 's'),
            ('é', 'e'),
            ('ÿ', 'y'),
            ('Ā', 'A'),
            ('ń', 'n'),
            ('Š', 'S'),
            ('š', 's'),
            ('ű', 'u'),
            ('Ÿ', 'Y'),
            ('ź', 'z'),
            ('ž', 'z'),
            ('ſ', 's'),
            ('\u{a0}', ' '),
            ('–', '-'),
            ('’', '\''),
            ('漢', '?'),
            ('\u{7f}', '?'),
        ] {
            assert_eq!(nearest(letter), shown, "{letter}");
        }
        for letter in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            assert!(matches!(nearest(letter), ' '..='~'), "{letter:?}");
        }
    }

    #[test]
    fn texts_are_broken_between_words_and_clamped() {
        let lines = |text: &str, columns, most| {
            let mut lines = Vec::new();
            wrap(text, columns, most, &mut lines);
            lines
        };
        assert_eq!(lines("one two  three", 7, 9), ["one two", "three"]);
        assert_eq!(lines("one\ntwo\0", 9, 9), ["one two"]);
        assert_eq!(lines("abcdefghij", 4, 9), ["abcd", "efgh", "ij"]);
        assert_eq!(lines("a abcdefgh", 4, 9), ["a", "abcd", "efgh"]);
        assert_eq!(lines("a b c d e f", 3, 2), ["a b", "c d"]);
        assert!(lines("", 4, 9).is_empty() && lines(" \t ", 4, 9).is_empty());
        let long = "W".repeat(100_000);
        let card = Card::new(&long, &[&long, &long]);
        assert!(card.title.len() <= TITLE_LINES_MAX && card.lines.len() <= SLATE_LINES_MAX);
        assert_eq!(card.picture().len(), CARD_WIDTH * CARD_HEIGHT);
    }

    #[test]
    fn a_card_shows_what_it_says() {
        let blank = Card::new("", &[]).picture();
        assert!(blank.iter().all(|dot| *dot == PAPER), "a card without text is one all the same");
        let card = Card::new("5.1 |", &["l"]);
        assert_eq!(card.sentence(), "l");
        let picture = card.picture();
        let inks = |ink| picture.iter().map(|dot| usize::from(*dot == ink)).sum::<usize>();
        // 14, 1, 9 and 7 dots, each of four.
        let bits: u32 = "5.1|".bytes().flat_map(|letter| LETTERS[usize::from(letter - b' ')]).map(u8::count_ones).sum();
        assert_eq!(inks(TITLE_INK), 4 * bits as usize);
        assert_eq!(inks(INK), 10);
        let rows: Vec<&[u8]> = picture.chunks_exact(CARD_WIDTH).collect();
        assert!(
            rows[..MARGIN].iter().chain(&rows[CARD_HEIGHT - MARGIN..]).all(|row| row.iter().all(|dot| *dot == PAPER))
        );
        // Different words, different pictures.
        assert_ne!(Card::new("5.1", &["a"]).picture(), Card::new("5.1", &["b"]).picture());
    }
}

//! Which passwords the owner may choose: long ones that are not the first that somebody would try (S01).
//!
//! Here: length, well-known words, patterns. Not here: how a password is kept, which `access` of the daemon does, and how
//! often one may be guessed, which is [`crate::rules::access`].
//!
//! The list has some thousand well-known passwords and words. What is left of a password without digits and signs, and
//! with letters for digits that look like them, must not be one of them, nor two: `P@ssw0rd2026!` is `password`.
//! Source: the most frequent of published lists of passwords that leaked, without what is rude, and words of our own.

use alloc::string::String;
use core::fmt;

/// The shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// The longest.
pub const PASSWORD_CHARS_MAX: usize = 128;
/// So many different characters make no pattern.
const DIFFERENT_MIN: usize = 5;

const WORDS: &str = include_str!("password_words.txt");

/// Why a password is not taken, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    /// Too few characters, or too many.
    Length,
    /// One or two words of the list.
    Common,
    /// The same again and again, or one after the other.
    Pattern,
    /// What this box is called.
    Name,
}

impl fmt::Display for Weak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "{PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"),
            Self::Common => {
                f.write_str("this is one of the first that people try; three or four unrelated words are good")
            }
            Self::Pattern => f.write_str("this only repeats or counts; three or four unrelated words are good"),
            Self::Name => f.write_str("this is what the box is called; three or four unrelated words are good"),
        }
    }
}

/// Judges a password that somebody wants to set; `names` are those of this box.
///
/// # Errors
/// Why it is not taken.
pub fn judge(password: &str, names: &[&str]) -> Result<(), Weak> {
    let len = password.chars().take(PASSWORD_CHARS_MAX + 1).count();
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&len) {
        return Err(Weak::Length);
    }
    let lower = password.to_lowercase();
    if is_pattern(&lower) {
        return Err(Weak::Pattern);
    }
    let cores = [core_of(&lower), lower.chars().map(plain).filter(char::is_ascii_alphabetic).collect()];
    let is_name = |name: &&str| {
        let name = name.to_lowercase();
        name.len() >= 4
            && [&lower, &cores[0], &cores[1]]
                .into_iter()
                .any(|text| text.contains(&name) && text.replace(&name, "").chars().count() < 4)
    };
    if names.iter().any(is_name) {
        return Err(Weak::Name);
    }
    if is_listed(&lower) || cores.iter().any(|core| is_one_or_two(core)) {
        return Err(Weak::Common);
    }
    Ok(())
}

/// The letter that a digit or sign stands for.
const fn plain(written: char) -> char {
    match written {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// The letters, without what stands before and behind them.
fn core_of(lower: &str) -> String {
    lower.trim_matches(|c: char| !c.is_alphabetic()).chars().map(plain).filter(char::is_ascii_alphabetic).collect()
}

fn is_listed(text: &str) -> bool {
    WORDS.split_ascii_whitespace().any(|word| word == text)
}

/// Letters only, so that it can be cut anywhere.
fn is_one_or_two(core: &str) -> bool {
    !core.is_empty() && (is_listed(core) || (1..core.len()).any(|at| is_listed(&core[..at]) && is_listed(&core[at..])))
}

fn is_pattern(text: &str) -> bool {
    let len = text.chars().count();
    let mut seen: heapless::Vec<char, DIFFERENT_MIN> = heapless::Vec::new();
    for one in text.chars() {
        if !seen.contains(&one) && seen.push(one).is_err() {
            break;
        }
    }
    if !seen.is_full() {
        return true;
    }
    // A few characters again and again.
    let repeats = |period: usize| text.chars().zip(text.chars().skip(period)).all(|(one, next)| one == next);
    if (1..=len / 2).any(repeats) {
        return true;
    }
    // Almost all of it goes up or down by one.
    let steps = || {
        text.chars().zip(text.chars().skip(1)).map(|(one, next)| i64::from(u32::from(next)) - i64::from(u32::from(one)))
    };
    [1, 0, -1].into_iter().any(|step| steps().filter(|found| *found == step).count() + 3 >= len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn what_people_try_first_is_refused_with_a_reason() {
        for (password, why) in [
            ("", Weak::Length),
            ("hunter2!?", Weak::Length),
            ("ninesigns", Weak::Length),
            ("aaaaaaaaaaaa", Weak::Pattern),
            ("abababababab", Weak::Pattern),
            ("horse+horse+", Weak::Pattern),
            ("abcdefghijkl", Weak::Pattern),
            ("abcdefghijk!", Weak::Pattern),
            ("9876543210", Weak::Pattern),
            ("1234567890", Weak::Pattern),
            ("password12", Weak::Common),
            ("P@ssw0rd2026!", Weak::Common),
            ("!!123Password123!!", Weak::Common),
            ("passwordpasswort", Weak::Common),
            ("Welcome2Home", Weak::Common),
            ("letmein-2026", Weak::Common),
            ("qwertyuiop", Weak::Common),
            ("1q2w3e4r5t6y", Weak::Common),
            ("iloveyou2026", Weak::Common),
            ("raspberrypi4", Weak::Common),
            ("Wohnzimmer42", Weak::Common),
            ("Attic-Box-1", Weak::Name),
            ("2attic-box", Weak::Name),
            ("11234abcd99", Weak::Name),
        ] {
            assert_eq!(judge(password, &["Attic-Box", "1234ABCD"]), Err(why), "{password}");
        }
        assert_eq!(judge(&"aB3$x".repeat(26), &[]), Err(Weak::Length), "130 characters");
    }

    #[test]
    fn long_ones_of_any_kind_are_taken() {
        for password in [
            "violin-otter-cement",
            "correct horse battery",
            "xk7#Vq9!mZ",
            "Grüne Tomaten im März",
            "пароль от нашего ящика",
            "the password of my attic box is long",
        ] {
            assert_eq!(judge(password, &["tunerd", "Attic-Box", ""]), Ok(()), "{password}");
        }
        let longest: String = "0123456789abcdefgh".chars().cycle().take(127).chain(['ü']).collect();
        assert_eq!(judge(&longest, &[]), Ok(()));
    }

    #[test]
    fn the_list_is_about_a_thousand_words_in_order() {
        let words: Vec<&str> = WORDS.split_ascii_whitespace().collect();
        let sorted: BTreeSet<&str> = words.iter().copied().collect();
        assert!((900..1_100).contains(&words.len()), "{}", words.len());
        assert_eq!(sorted.into_iter().collect::<Vec<_>>(), words);
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
    }
}

//! `%20` and the like, in addresses and queries.

use alloc::vec::Vec;

/// The bytes that a text means. What is no `%` with two digits behind it stays as it is.
pub fn decode(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let pair = match after {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        decoded.push(pair.map_or(*first, |(high, low)| high << 4 | low));
        rest = after.get(if pair.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pair_of_digits_stays() {
        assert_eq!(decode("a%2"), b"a%2");
        assert_eq!(decode("%zz%41"), b"%zzA");
    }
}

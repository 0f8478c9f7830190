//! Any bytes as what a mail server says: replies are bounded, and cutting the bytes elsewhere changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::limits::{SMTP_LINE_BYTES_MAX, SMTP_LINES_MAX};
use pure::wire::smtp::Replies;

fuzz_target!(|bytes: &[u8]| {
    let mut replies = Replies::default();
    for byte in bytes {
        match replies.push(*byte) {
            Err(_) => return,
            Ok(None) => {}
            Ok(Some(reply)) => {
                assert!((200..600).contains(&reply.code) && replies.is_empty());
                assert!((1..=SMTP_LINES_MAX).contains(&reply.lines.len()));
                let is_plain = |line: &String| line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
                assert!(reply.lines.iter().all(|line| line.len() <= SMTP_LINE_BYTES_MAX && is_plain(line)));
                assert!(reply.keyword("AUTH").is_none_or(|words| words.len() < SMTP_LINE_BYTES_MAX));
            }
        }
    }
});

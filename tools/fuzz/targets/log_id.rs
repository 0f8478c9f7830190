//! Any text: what is taken for an id is exactly what would be written for it, and every id is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::wire::log_id::{LOG_ID_CHARS, LogId};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        match LogId::parse(text) {
            Some(id) => assert_eq!(id.text().as_str(), text),
            None => {
                let strict = text.len() == LOG_ID_CHARS
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                    && text.ends_with(['A', 'Q', 'g', 'w']);
                assert!(!strict, "a good id was refused");
            }
        }
    }
    if let Some((boot, rest)) = bytes.split_first_chunk() {
        if let Some(sequence) = rest.first_chunk() {
            let id = LogId { boot: u64::from_be_bytes(*boot), sequence: u64::from_be_bytes(*sequence) };
            assert_eq!(LogId::parse(id.text().as_str()), Some(id));
        }
    }
});

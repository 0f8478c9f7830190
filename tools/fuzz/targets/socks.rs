//! Any bytes as what a proxy answers: what is read next has a bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::wire::socks::{Reply, method, reply, status};

fuzz_target!(|bytes: &[u8]| {
    if let Some(first) = bytes.first_chunk() {
        assert!(method(*first).is_none_or(|_| first[0] == 5));
    }
    if let Some(Reply::Connected(rest)) = bytes.first_chunk().and_then(|first| reply(*first)) {
        assert!((5..=257).contains(&rest) || bytes[3] == 3);
    }
    assert!(status(bytes).is_none_or(|status| status < 1_000));
});

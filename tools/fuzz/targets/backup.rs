//! Any bytes as a backup: what is taken apart is put together as it was, and asks for no more than a board has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::limits::{BACKUP_KIB_MAX, BACKUP_LANES_MAX, BACKUP_PASSES_MAX};
use pure::wire::backup::{TAG_BYTES, head, parse};

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = parse(bytes) else { return };
    let sealed_len = u32::try_from(frame.sealed.len()).unwrap();
    let again = [&head(frame.costs, frame.salt, frame.nonce, sealed_len)[..], frame.sealed].concat();
    assert!(again == bytes && frame.sealed.len() >= TAG_BYTES);
    assert!(frame.costs.kib <= BACKUP_KIB_MAX && frame.costs.passes <= BACKUP_PASSES_MAX);
    assert!(frame.costs.lanes <= BACKUP_LANES_MAX);
});

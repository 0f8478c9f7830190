//! Any text as what an update channel publishes: it is read within bounds, and what is read of it makes sense.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::limits::{CHANNEL_BOARDS_MAX, CHANNEL_VERSIONS_MAX};
use pure::rules::updating::Version;
use pure::wire::release::{ChannelFile, Envelope, KeyRecord};

fuzz_target!(|text: &str| {
    if let Some(envelope) = Envelope::parse(text) {
        assert!(text.contains(envelope.record) && !envelope.record.contains('\n'));
        let _ = KeyRecord::parse(envelope.record);
    }
    let _ = KeyRecord::parse(text);
    let Some(file) = ChannelFile::parse(text) else { return };
    assert!(file.percentage <= 100 && file.bundles.len() <= CHANNEL_BOARDS_MAX);
    assert!(file.abort.len() <= CHANNEL_VERSIONS_MAX);
    let again = Version::parse(&file.version.to_string()).expect("a version reads back");
    assert!(again == file.version && again.cmp(&file.version).is_eq());
});

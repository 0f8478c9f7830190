//! Any text as the signatures of what an update channel publishes, and as a version.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::rules::updating::Version;
use pure::wire::release::Envelope;

fuzz_target!(|text: &str| {
    if let Some(envelope) = Envelope::parse(text) {
        assert!(text.contains(envelope.record) && !envelope.record.contains('\n'));
    }
    let Some(version) = Version::parse(text) else { return };
    let again = Version::parse(&version.to_string()).expect("a version reads back");
    assert!(again == version && again.cmp(&version).is_eq());
});

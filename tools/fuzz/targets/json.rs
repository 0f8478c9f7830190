//! Any text as JSON: it is read in bounded depth, and what is text in it is found again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::limits::JSON_DEPTH_MAX;
use pure::wire::json::Json;

fuzz_target!(|text: &str| {
    if let Some(json) = Json::parse(text) {
        look(&json, 0);
    }
});

fn look(json: &Json, depth: usize) {
    assert!(depth <= JSON_DEPTH_MAX + 1);
    match json {
        Json::List(items) => items.iter().for_each(|item| look(item, depth + 1)),
        Json::Object(fields) => {
            for (place, (name, value)) in fields.iter().enumerate() {
                assert!(fields.iter().position(|(other, _)| other == name) == Some(place), "no name twice");
                assert_eq!(json.get(name), Some(value));
                look(value, depth + 1);
            }
        }
        _ => {}
    }
}

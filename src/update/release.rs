//! Reads what a channel publishes, once its signatures are good.

use pure::limits::{CHANNEL_BOARDS_MAX, CHANNEL_BYTES_MAX, CHANNEL_VERSIONS_MAX};
use pure::rules::updating::Version;
use pure::time::Wall;
use pure::wire::release::{Bundle, ChannelFile, KeyRecord, hex};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Format {
    format: u64,
}

#[derive(Deserialize)]
struct Record {
    serial: u64,
    expires: String,
    key: String,
}

#[derive(Deserialize)]
struct Document {
    serial: u64,
    expires: String,
    version: String,
    minimum_version: Option<String>,
    percentage: u8,
    #[serde(default)]
    hold: bool,
    #[serde(default)]
    abort: Vec<String>,
    bundles: BTreeMap<String, Place>,
}

#[derive(Deserialize)]
struct Place {
    url: String,
    sha256: String,
    size: u64,
}

/// Fields that later releases add are no reason not to read it; another format is.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    let format: Format = serde_json::from_slice(text).ok().filter(|_| text.len() <= CHANNEL_BYTES_MAX)?;
    serde_json::from_slice(text).ok().filter(|_| format.format == 1)
}

/// None when it is not the record of a key.
pub(super) fn key(text: &[u8]) -> Option<KeyRecord> {
    let Record { serial, expires, key } = parse(text)?;
    Some(KeyRecord { serial, expires: time(&expires)?, key: hex(&key)? })
}

/// None when it is not what a channel says.
pub(super) fn file(text: &[u8]) -> Option<ChannelFile> {
    let told: Document = parse(text)?;
    if told.percentage > 100 || told.bundles.len() > CHANNEL_BOARDS_MAX || told.abort.len() > CHANNEL_VERSIONS_MAX {
        return None;
    }
    let bundle = |(compatible, place): (String, Place)| {
        Some(Bundle { compatible, url: place.url, sha256: hex(&place.sha256)?, bytes: place.size })
    };
    Some(ChannelFile {
        serial: told.serial,
        expires: time(&told.expires)?,
        version: Version::parse(&told.version)?,
        minimum_version: match told.minimum_version {
            None => None,
            Some(version) => Some(Version::parse(&version)?),
        },
        percentage: told.percentage,
        hold: told.hold,
        abort: told.abort.iter().map(|version| Version::parse(version)).collect::<Option<_>>()?,
        bundles: told.bundles.into_iter().map(bundle).collect::<Option<_>>()?,
    })
}

fn time(text: &str) -> Option<Wall> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"format": 1, "serial": 7, "expires": "2026-12-22T00:00:00Z", "version": "1.2.0",
        "minimum_version": "1.0", "percentage": 25, "hold": false, "abort": ["1.1.9"], "later": {"x": []},
        "bundles": {"tunerd-test": {"url": "tunerd-1.2.0.raucb", "size": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}}"#;

    #[test]
    fn a_channel_says_what_there_is() {
        let told = file(FILE.as_bytes()).unwrap();
        assert_eq!((told.serial, told.percentage, told.hold), (7, 25, false));
        assert_eq!(told.expires.to_string(), "2026-12-22T00:00:00Z");
        assert_eq!((told.version.to_string(), told.abort.len()), ("1.2.0".to_string(), 1));
        let bundle = &told.bundles[0];
        assert_eq!((bundle.compatible.as_str(), bundle.bytes, bundle.sha256[0]), ("tunerd-test", 3, 0xba));
    }

    #[test]
    fn what_is_wrong_in_any_field_is_no_channel() {
        for (right, wrong) in [
            ("\"format\": 1", "\"format\": 2"),
            ("\"serial\": 7", "\"serial\": -7"),
            ("\"serial\": 7, ", ""),
            ("2026-12-22T00:00:00Z", "2026-12-22"),
            ("\"version\": \"1.2.0\"", "\"version\": \"new\""),
            ("\"1.0\"", "1"),
            ("25", "101"),
            ("false", "\"no\""),
            ("[\"1.1.9\"]", "[1]"),
            ("\"size\": 3", "\"size\": null"),
            ("ba78", "BA78"),
            ("ba78", "ba7"),
            ("\"url\"", "\"uri\""),
        ] {
            assert!(FILE.contains(right));
            assert_eq!(file(FILE.replace(right, wrong).as_bytes()), None, "{wrong}");
        }
        assert_eq!(file(format!("{FILE}{}", " ".repeat(CHANNEL_BYTES_MAX)).as_bytes()), None);
    }

    #[test]
    fn a_key_has_a_number_and_an_end() {
        let record =
            format!(r#"{{"format":1,"serial":2,"expires":"2027-01-01T00:00:00Z","key":"{}"}}"#, "01".repeat(32));
        let told = key(record.as_bytes()).unwrap();
        assert_eq!((told.serial, told.key, told.expires.to_string().as_str()), (2, [1; 32], "2027-01-01T00:00:00Z"));
        for (right, wrong) in
            [("\"format\":1", "\"format\":2"), ("0101", "01"), ("2027-01-01T", ""), ("serial", "number")]
        {
            assert_eq!(key(record.replacen(right, wrong, 1).as_bytes()), None, "{wrong}");
        }
    }
}

//! What tunerd is made of, as `tools/sbom` says it: whoever reads an advisory must find every part there.

use crate::kit::{Folder, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names and versions of all parts.
fn parts(arguments: &[&str]) -> (Value, BTreeSet<(String, String)>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/sbom");
    let (status, said) = run(script.to_str().unwrap(), arguments);
    assert!(status.success(), "{said}");
    let document: Value = serde_json::from_str(&said).unwrap();
    let text = |part: &Value, key: &str| part[key].as_str().unwrap().to_owned();
    let parts = document["components"].as_array().unwrap();
    let parts = parts.iter().map(|part| (text(part, "name"), text(part, "version"))).collect();
    (document, parts)
}

#[test]
fn every_crate_is_listed_with_its_checksum() {
    let (document, listed) = parts(&[]);
    assert_eq!(
        (&document["bomFormat"], &document["metadata"]["component"]["name"]),
        (&"CycloneDX".into(), &"tunerd".into())
    );
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let crates = lock["package"].as_array().unwrap();
    assert!(crates.len() > 100);
    for one in crates {
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        assert!(text("name") == "tunerd" || listed.contains(&(text("name"), text("version"))), "{one:?}");
    }
    for part in document["components"].as_array().unwrap() {
        let is_ours = part["name"] == "pure";
        assert_eq!(part["hashes"].as_array().unwrap().is_empty(), is_ours, "{part}");
    }
}

#[test]
fn every_package_is_listed_and_none_that_was_removed() {
    let folder = Folder::new();
    let status = folder.path().join("status");
    let text = "Package: libc6\nStatus: install ok installed\nArchitecture: arm64\nSource: glibc\nVersion: 2.41-12\n\
                Description: a\n b: c\n\n\
                Package: gone\nStatus: deinstall ok config-files\nArchitecture: arm64\nVersion: 1\n\n\
                Package: mawk\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1.3.4+b1\n";
    fs::write(&status, text).unwrap();
    let (document, listed) = parts(&["--packages", status.to_str().unwrap(), "--ffmpeg", "7:7.1.5"]);
    let has = |name: &str, version: &str| listed.contains(&(name.to_owned(), version.to_owned()));
    assert!(has("libc6", "2.41-12") && has("mawk", "1.3.4+b1") && has("ffmpeg", "7:7.1.5"));
    assert!(!listed.iter().any(|(name, _)| name == "gone"));
    let parts = document["components"].as_array().unwrap();
    let libc = parts.iter().find(|part| part["name"] == "libc6").unwrap();
    assert_eq!(libc["properties"][0]["value"], "glibc 2.41-12", "advisories name sources");
}

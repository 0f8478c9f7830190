//! The house rules: which room may know which, and what stands at the top level.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room → rooms it may import. A new entry is a decision: say why in the commit.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("observe", &["clock"]),
    ("settings", &[]),
    // A client of another box as well as of this one: it knows no more than any other.
    ("ctl", &["clock"]),
    ("fetch", &["clock"]),
    ("board", &["clock"]),
    ("store", &["clock"]),
    ("engine", &["clock", "board", "observe", "fetch"]),
    ("ladder", &["clock"]),
    ("doctor", &["clock"]),
    ("guardian", &["clock", "observe", "store", "engine"]),
    ("subscriptions", &["clock", "observe", "store", "engine", "fetch"]),
    ("update", &["clock", "observe", "engine", "fetch"]),
    ("access", &["clock", "store"]),
    ("notices", &["clock", "observe", "store", "engine", "fetch", "subscriptions"]),
    // What the board is, what the engine finds out, and what is kept of both.
    ("capacity", &["clock", "board", "engine"]),
    (
        "doors",
        &["clock", "board", "capacity", "doctor", "observe", "engine", "subscriptions", "update", "access", "notices"],
    ),
];

/// What may stand at the top level: what people were promised, and what tools force upon it.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".git",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "board",
    "src",
    "systemd",
    "target",
    "tests",
    "tools",
    "yocto",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room that a file of `src` belongs to; `None` for `main.rs`, `lib.rs`, and what is in `pure`.
fn room(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(room, "main" | "lib" | "pure")).then(|| room.to_owned())
}

/// Rooms that a text names as `crate::room`, also in braces and through `super`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for part in text.split("crate::").skip(1) {
        let names: Vec<&str> = match part.strip_prefix('{') {
            Some(list) => list.split(['}', ';']).next().unwrap().split(',').collect(),
            None => vec![part],
        };
        for name in names {
            let name = name.trim().split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            rooms.insert(name.to_owned());
        }
    }
    rooms
}

#[test]
fn imports_point_downwards_only() {
    let mut seen = BTreeSet::new();
    for file in sources(&root().join("src")) {
        let Some(room) = room(&file) else { continue };
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            panic!("{} is a room that the table does not know", file.display());
        };
        seen.insert(room.clone());
        for imported in imports(&fs::read_to_string(&file).unwrap()) {
            let fine = imported == room || allowed.contains(&imported.as_str());
            assert!(fine, "{} imports {imported}, which {room} may not", file.display());
        }
    }
    assert_eq!(seen.len(), MAY_IMPORT.len(), "the table names a room that is not there");
}

#[test]
fn the_import_check_sees_what_it_should() {
    let found = imports("use crate::engine::Handle;\nuse crate::{clock, store::{self}};\ncrate::doors::x()");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["clock", "doors", "engine", "store"]);
}

#[test]
fn decisions_know_no_world() {
    // no_std keeps std out; this keeps crates out that would bring the world back in.
    let manifest = fs::read_to_string(root().join("src/pure/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let names: Vec<&String> = manifest["dependencies"].as_table().unwrap().keys().collect();
    assert_eq!(names, ["heapless"]);
    let library = fs::read_to_string(root().join("src/pure/lib.rs")).unwrap();
    assert!(library.contains("#![no_std]") && library.contains("#![forbid(unsafe_code)]"));
    for file in sources(&root().join("src/pure")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["f32", "f64", "HashMap"] {
            let used = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|found| found == word);
            assert!(!used, "{} uses {word}; the same seed must give the same run everywhere", file.display());
        }
    }
}

#[test]
fn the_top_level_stays_as_it_was_asked_for() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(TOP_LEVEL.contains(&name.as_str()), "{name} has no place at the top level");
    }
}

#[test]
fn only_the_clock_reads_clocks_and_only_one_file_starts_processes() {
    // Clippy bans the calls; this holds the list of places that are excused from its bans.
    let mut excused = BTreeSet::new();
    for file in sources(&root().join("src")) {
        if fs::read_to_string(&file).unwrap().contains("clippy::disallowed_methods") {
            excused.insert(file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
    let excused: Vec<String> = excused.into_iter().collect();
    assert_eq!(excused, ["src/clock.rs", "src/engine/process.rs", "src/guardian.rs"]);
}

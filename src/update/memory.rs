//! What must be known after a fresh start of the box: what was attempted, what came of it, what was believed.
//!
//! It is one small file in the state directory, which both systems of the box share: what a newer version writes there,
//! an older one reads, and leaves out what it does not know. A second file is what `tunerd --prove` found out, which its
//! unit runs as the daemon's user. Where root runs it by hand, the file is the daemon's all the same.

use crate::{clock, disk};
use pure::rules::updating::Version;
use pure::rules::updating::rollout::Seen;
use pure::time::Wall;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// In the state directory.
const FILE: &str = "update.json";
/// Beside it, what the last start came to.
const PROOF: &str = "proved";
/// In the state directory, too: in which start of the board a proof was asked for last. A file of its own, because the
/// other one may still tell why another system went.
const PROVING: &str = "proving";
/// More than either ever has.
const BYTES_MAX: u64 = 64 * 1024;

/// An update that was begun, or a way back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// To which version; empty when that is not known.
    pub version: String,
    /// From which.
    pub from: String,
    /// The slot that ran then.
    pub from_slot: String,
    /// The start of the board in which it was begun.
    pub boot: String,
    /// Whether RAUC was done with it.
    pub written: bool,
    /// Whether it is the owner's way back.
    pub back: bool,
    /// How many channels there were.
    pub channels: usize,
}

/// What came of the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Last {
    /// `installed`, `rolled_back`, `back`, or `failed`.
    pub outcome: String,
    /// Which version.
    pub version: String,
    /// And the other one.
    pub from: String,
    /// Why, where that is known; empty otherwise.
    pub why: String,
    /// Seconds since 1970.
    pub at: i64,
}

/// What the channel has for us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offered {
    /// Which version.
    pub version: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    seen_key: u64,
    seen_serial: u64,
    /// What is older is not installed.
    pub floor: String,
    /// Versions that turned out to be bad, as the channel said last.
    pub recalled: Vec<String>,
    /// A version that went wrong here.
    pub failed: String,
    /// What the channel has.
    pub offered: Option<Offered>,
    /// What is under way.
    pub attempt: Option<Attempt>,
    /// What was.
    pub last: Option<Last>,
}

impl Memory {
    /// What stands in `folder`; nothing where that cannot be read.
    pub(super) fn load(folder: &Path) -> Self {
        let text = read(&folder.join(FILE)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// On the disk: the next thing may be a fresh start. It waits for that.
    pub(super) fn save(&self, folder: &Path) -> io::Result<()> {
        disk::replace(&folder.join(FILE), &serde_json::to_vec(self)?)
    }

    /// What of a channel was believed last.
    pub(super) const fn seen(&self) -> Seen {
        Seen { key: self.seen_key, serial: self.seen_serial }
    }

    pub(super) const fn see(&mut self, seen: Seen) {
        (self.seen_key, self.seen_serial) = (seen.key, seen.serial);
    }

    /// Whether that version turned out to be bad.
    pub(super) fn has_recalled(&self, version: &Version) -> bool {
        self.recalled().contains(version)
    }

    pub(super) fn recalled(&self) -> Vec<Version> {
        self.recalled.iter().filter_map(|text| Version::parse(text)).collect()
    }

    /// Notes what came of the attempt.
    pub(super) fn close(&mut self, outcome: &str, why: &str, at: Wall) {
        if let Some(Attempt { version, from, .. }) = self.attempt.take() {
            let (outcome, why) = (outcome.to_owned(), why.to_owned());
            self.last = Some(Last { outcome, version, from, why, at: at.0 });
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether there were channels before the box was started anew for an update.
pub fn had_channels(folder: &Path) -> bool {
    Memory::load(folder).attempt.is_some_and(|attempt| attempt.channels > 0)
}

/// What this start of the board came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It plays.
    Good,
    /// It does not, and why.
    Bad(String),
}

/// Notes that `tunerd --prove` asks, in this start of the board.
pub fn proving(folder: &Path) {
    note(folder, PROVING, clock::boot_id());
}

/// Whether a proof was asked for in this start of the board.
pub(super) fn is_proving(folder: &Path) -> bool {
    read(&folder.join(PROVING)).is_ok_and(|boot| boot == clock::boot_id())
}

/// Notes what `tunerd --prove` has found out.
pub fn proved(folder: &Path, found: Result<(), &str>) {
    let text = match found {
        Ok(()) => format!("good {}\n", clock::boot_id()),
        Err(why) => format!("bad {} {}\n", clock::boot_id(), why.replace('\n', " ")),
    };
    note(folder, PROOF, &text);
}

/// Who cannot write it goes on: the exit status of a proof is what counts.
fn note(folder: &Path, file: &str, text: &str) {
    if let Err(error) = disk::replace(&folder.join(file), text.as_bytes()) {
        tracing::debug!(file, %error, "the state of a proof could not be noted");
    }
}

pub(super) fn forget_proof(folder: &Path) {
    fs::remove_file(folder.join(PROOF)).unwrap_or_default();
}

/// What was proved last, and in which start of the board.
pub(super) fn proof(folder: &Path) -> Option<(String, Proof)> {
    let text = read(&folder.join(PROOF)).ok()?;
    let mut parts = text.trim().splitn(3, ' ');
    let (word, boot) = (parts.next()?, parts.next()?.to_owned());
    match word {
        "good" => Some((boot, Proof::Good)),
        "bad" => Some((boot, Proof::Bad(parts.next().unwrap_or_default().chars().take(240).collect()))),
        _ => None,
    }
}

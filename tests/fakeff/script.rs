//! What a child is to do: the script that a test has written, and the log that a test will read.
//!
//! Both lie beside the program (`fakeff.script`, `fakeff.log`), or where `FAKEFF_SCRIPT` and `FAKEFF_LOG` say. A line of
//! the script is `key: mode, mode=number, mode | …`: the first line whose key stands in any argument counts, `*` fits
//! all. Behind each `|` stand the modes of one start more; further starts do as the last one. `5..9` is a number drawn
//! for each start. What no line names plays.
//!
//! A line of the log is `event key=… start=… pid=… ms=… …`, written by one call, so that lines of many children never
//! mix; `ms` is `CLOCK_MONOTONIC`.

use nix::time::{ClockId, clock_gettime};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

/// The modes of one start.
pub(super) struct Modes {
    key: String,
    start: usize,
    list: Vec<(String, Option<u64>)>,
    text: String,
}

/// The path beside the program, or the one that a variable names.
fn file(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    Some(std::env::current_exe().ok()?.parent()?.join(name))
}

impl Modes {
    /// Looks up what this start is to do.
    pub(super) fn find(program: &str, arguments: &[String]) -> Self {
        let script = file("FAKEFF_SCRIPT", "fakeff.script").and_then(|path| fs::read_to_string(path).ok());
        let said = arguments.join("\n");
        let found = script.iter().flat_map(|script| script.lines()).find_map(|line| {
            let (key, modes) = line.split('#').next()?.split_once(':')?;
            let key = key.trim();
            // Lines for the prober are for nobody else, and the other way round.
            let (key, fits) = match key.strip_prefix("probe ") {
                Some(key) => (key, program == "probe"),
                None => (key, program != "probe"),
            };
            (fits && (key == "*" || said.contains(key))).then(|| (key.to_owned(), modes.to_owned()))
        });
        let (key, all) = found.unwrap_or_else(|| ("-".to_owned(), "live".to_owned()));
        let start = starts_of(program, &key) + 1;
        let choices: Vec<&str> = all.split('|').collect();
        let text = choices[(start - 1).min(choices.len() - 1)].trim().to_owned();
        let list = text.split(',').map(|mode| {
            let (name, value) = mode.split_once('=').unwrap_or((mode, ""));
            (name.trim().to_owned(), number(value.trim(), &key, start))
        });
        let list = list.collect();
        Self { key, start, list, text }
    }

    /// Whether a mode was asked for.
    pub(super) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|(mode, _)| mode == name)
    }

    /// The number of a mode, or this one where it has none; `None` where it was not asked for.
    pub(super) fn number(&self, name: &str, otherwise: u64) -> Option<u64> {
        self.list.iter().find(|(mode, _)| mode == name).map(|(_, value)| value.unwrap_or(otherwise))
    }

    /// The names of all modes.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|(mode, _)| mode.as_str())
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Writes a line for the test to read.
    pub(super) fn log(&self, event: &str, more: &str) {
        let Some(path) = file("FAKEFF_LOG", "fakeff.log") else { return };
        let (pid, ms) = (std::process::id(), monotonic_ms());
        let line = format!("{event} key={} start={} pid={pid} ms={ms} {more}\n", self.key, self.start);
        if let Ok(mut log) = OpenOptions::new().create(true).append(true).open(path) {
            // One call: lines of many children never mix. Nobody can be told that it failed.
            let _ = log.write(line.as_bytes());
        }
    }

    /// A child of the same key that is still there, dead or alive: there must be none.
    pub(super) fn predecessor(&self) -> Option<u32> {
        if self.key == "*" {
            return None;
        }
        let log = file("FAKEFF_LOG", "fakeff.log").and_then(|path| fs::read_to_string(path).ok())?;
        let key = format!(" key={} ", self.key);
        let pids = log.lines().filter(|line| line.starts_with("start ") && line.contains(&key)).filter_map(|line| {
            let pid = line.split(" pid=").nth(1)?.split(' ').next()?;
            pid.parse().ok().filter(|pid| *pid != std::process::id())
        });
        let newest = pids.reduce(|_, pid| pid);
        newest.filter(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(false))
    }
}

/// How often this program was started with this key before.
fn starts_of(program: &str, key: &str) -> usize {
    let log = file("FAKEFF_LOG", "fakeff.log").and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let (event, key) = (format!("{program} "), format!(" key={key} "));
    log.lines().filter(|line| line.starts_with(&event) && line.contains(&key)).count()
}

/// `5`, or `5..9`: always the same one for the same start.
fn number(text: &str, key: &str, start: usize) -> Option<u64> {
    let Some((low, high)) = text.split_once("..") else { return text.parse().ok() };
    let (low, high): (u64, u64) = (low.parse().ok()?, high.parse().ok()?);
    let seed = key.bytes().fold(start as u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    Some(low + (seed ^ seed >> 29) % (high - low).max(1))
}

pub(super) fn monotonic_ms() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000
    })
}

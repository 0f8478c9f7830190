//! The black box: the last events of the guard, kept in a fixed ring, and written down when the daemon gives up.
//!
//! Events name viewers, channels and slots by number only: no address is in it.

use crate::clock;
use pure::limits::{BLACK_BOX_LINE_BYTES, BLACK_BOX_LINES};
use pure::time::Mono;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const FILE: &str = "black-box.txt";
/// What an earlier run wrote, once it was seen.
const EARLIER_FILE: &str = "black-box.earlier.txt";

type Line = heapless::String<BLACK_BOX_LINE_BYTES>;

struct Inner {
    lines: RefCell<heapless::HistoryBuffer<(Mono, Line), BLACK_BOX_LINES>>,
    path: Option<PathBuf>,
}

/// The last events.
#[derive(Clone)]
pub struct BlackBox(Rc<Inner>);

impl BlackBox {
    /// To be written into `folder`. What an earlier run left there is put aside, and the log says where.
    pub fn open(folder: Option<&Path>) -> Self {
        if let Some(folder) = folder {
            let (found, kept) = (folder.join(FILE), folder.join(EARLIER_FILE));
            // Most of the time there is none.
            if fs::rename(&found, &kept).is_ok() {
                tracing::warn!(
                    "an earlier run ended badly; what happened just before is in {}: please report it",
                    kept.display()
                );
            }
        }
        let path = folder.map(|folder| folder.join(FILE));
        Self(Rc::new(Inner { lines: RefCell::new(heapless::HistoryBuffer::new()), path }))
    }

    /// Keeps one event.
    pub fn note(&self, now: Mono, event: fmt::Arguments<'_>) {
        let mut line = Line::new();
        // What does not fit is cut.
        Cut(&mut line).write_fmt(event).unwrap_or_default();
        if let Ok(mut lines) = self.0.lines.try_borrow_mut() {
            lines.write((now, line));
        }
    }

    /// The newest event.
    pub fn last(&self) -> Option<(Mono, String)> {
        let lines = self.0.lines.try_borrow().ok()?;
        lines.recent().map(|(at, line)| (*at, line.as_str().to_owned()))
    }

    /// Writes everything down, because of `why`. It may be called in the middle of a panic.
    pub fn save(&self, why: &str) {
        let Some(path) = &self.0.path else { return };
        match fs::write(path, self.text(why)) {
            Ok(()) => tracing::error!("the last events are in {}", path.display()),
            Err(error) => tracing::error!(%error, "the last events cannot be written to {}", path.display()),
        }
    }

    fn text(&self, why: &str) -> String {
        let (now, wall) = (clock::mono(), clock::wall());
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!(
            "tunerd {version} ended at {wall}, {} ms after the board was started, {} ms after tunerd was:\n{why}\n\n",
            now.0,
            now.ms_since(clock::started())
        );
        if let Ok(lines) = self.0.lines.try_borrow() {
            for (at, line) in lines.oldest_ordered() {
                // Writing to a string cannot fail.
                writeln!(text, "{:>12} {line}", at.0).unwrap_or_default();
            }
        }
        text
    }
}

/// Writes what fits, on one line.
struct Cut<'a>(&'a mut Line);

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.0.push(if c.is_control() { ' ' } else { c }).map_err(|()| fmt::Error)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_written_down_and_found_by_the_next_run() {
        let folder = std::env::temp_dir().join(format!("tunerd-black-box-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let black_box = BlackBox::open(Some(&folder));
        assert!(black_box.last().is_none());
        for index in 0..1_000_u64 {
            black_box.note(Mono(index), format_args!("event {index}\n{}", "x".repeat(200)));
        }
        assert!(black_box.last().unwrap().1.starts_with("event 999 xxx"));
        black_box.save("somebody wanted it");
        let text = fs::read_to_string(folder.join(FILE)).unwrap();
        assert!(text.contains("somebody wanted it") && text.lines().count() == 3 + BLACK_BOX_LINES, "{text}");
        assert!(text.contains(" event 744 ") && !text.contains(" event 743 "), "the oldest are gone");
        assert!(text.lines().skip(3).all(|line| line.len() <= 13 + BLACK_BOX_LINE_BYTES));
        let next = BlackBox::open(Some(&folder));
        assert!(!folder.join(FILE).exists() && folder.join(EARLIER_FILE).exists());
        assert!(next.last().is_none());
        BlackBox::open(Some(&folder));
        assert!(folder.join(EARLIER_FILE).exists(), "kept until there is another one");
        fs::remove_dir_all(&folder).unwrap();
        // Where nothing can be written, life goes on.
        BlackBox::open(Some(&folder)).save("in vain");
        BlackBox::open(None).save("in vain");
    }
}

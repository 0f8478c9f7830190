//! Log lines: to stderr, and the last ones in a fixed ring for the API.
//!
//! Under systemd each line carries its priority for the journal; elsewhere its time. Nothing here touches the card.

use crate::clock;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pure::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use pure::time::Wall;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Arc, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// One kept line.
#[derive(Clone)]
pub struct Entry {
    /// Counts up from 1 since the daemon started.
    pub sequence: u64,
    /// When.
    pub at: Wall,
    /// How bad.
    pub level: Level,
    /// The message and its keys, cut at [`LOG_LINE_BYTES_MAX`].
    pub text: heapless::String<LOG_LINE_BYTES_MAX>,
}

struct Lines {
    entries: heapless::HistoryBuffer<Entry, LOG_LINES_MAX>,
    sequence: u64,
    level_max: Level,
}

#[expect(
    clippy::disallowed_types,
    reason = "tracing wants Sync, and the store's thread logs too; held for a copy only"
)]
type Shared = Arc<std::sync::Mutex<Box<Lines>>>;

/// The kept lines.
#[derive(Clone)]
pub struct Logs {
    lines: Shared,
    boot: u64,
}

/// Begins to log lines up to `level_max`; to be called once.
pub fn init(level_max: Level) -> Logs {
    let boot = u64::from(std::process::id()) << 40 ^ clock::wall().0.unsigned_abs();
    #[expect(clippy::disallowed_types, reason = "see Shared")]
    let lines = Shared::new(std::sync::Mutex::new(Box::new(Lines {
        entries: heapless::HistoryBuffer::new(),
        sequence: 0,
        level_max,
    })));
    let logs = Logs { lines, boot };
    let to_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = ToRingAndStderr { logs: logs.clone(), to_journal };
    // An error says that a test in this process has begun to log before.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap_or_default();
    logs
}

impl Logs {
    fn with<R>(&self, act: impl FnOnce(&mut Lines) -> R) -> R {
        act(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on lines up to `level_max` are kept.
    pub fn set_level(&self, level_max: Level) {
        self.with(|lines| lines.level_max = level_max);
    }

    /// Kept lines, oldest first: those after `after`, not more verbose than `level_max`, the newest `limit` of them.
    pub fn entries(&self, level_max: Level, after: u64, limit: usize) -> Vec<Entry> {
        self.with(|lines| {
            let wanted = |entry: &&Entry| entry.level <= level_max && entry.sequence > after;
            let found = lines.entries.oldest_ordered().filter(wanted).count();
            lines.entries.oldest_ordered().filter(wanted).skip(found.saturating_sub(limit)).cloned().collect()
        })
    }

    /// The line's id in the API: 22 characters that no other boot and no other line has.
    pub fn id(&self, entry: &Entry) -> String {
        let mut bytes = [0; 16];
        let (boot, sequence) = bytes.split_at_mut(8);
        boot.copy_from_slice(&self.boot.to_be_bytes());
        sequence.copy_from_slice(&entry.sequence.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The sequence that an id stands for; `None` when it is no id of this boot.
    pub fn sequence(&self, id: &str) -> Option<u64> {
        let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?;
        let (boot, sequence) = bytes.split_first_chunk::<8>()?;
        (*boot == self.boot.to_be_bytes()).then(|| u64::from_be_bytes(sequence.try_into().unwrap_or_default()))
    }
}

struct ToRingAndStderr {
    logs: Logs,
    to_journal: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ToRingAndStderr {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.logs.with(|lines| *metadata.level() <= lines.level_max)
            && (metadata.target().starts_with("tunerd") || *metadata.level() <= Level::WARN)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let Text { mut message, keys } = text;
        // A line that is too long is cut.
        message.push_str(&keys).unwrap_or_default();
        let (at, level) = (clock::wall(), *event.metadata().level());
        let mut line = heapless::String::<{ LOG_LINE_BYTES_MAX + 64 }>::new();
        let written = if self.to_journal {
            writeln!(line, "<{}>{message}", priority(level))
        } else {
            writeln!(line, "{at} {level:>5} {message}")
        };
        if written.is_ok() {
            // There is nowhere left to complain.
            std::io::stderr().write_all(line.as_bytes()).unwrap_or_default();
        }
        self.logs.with(|lines| {
            lines.sequence += 1;
            let sequence = lines.sequence;
            lines.entries.write(Entry { sequence, at, level, text: message });
        });
    }
}

/// Syslog priorities, as `sd-daemon(3)` wants them.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Collects an event's message, and its keys behind it.
#[derive(Default)]
struct Text {
    message: heapless::String<LOG_LINE_BYTES_MAX>,
    keys: heapless::String<LOG_LINE_BYTES_MAX>,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // What does not fit is cut.
        if field.name() == "message" {
            write!(Cut(&mut self.message), "{value:?}").unwrap_or_default();
        } else {
            write!(Cut(&mut self.keys), " {}={value:?}", field.name()).unwrap_or_default();
        }
    }
}

/// Writes what fits; control characters, which could forge lines, become dots.
struct Cut<'a>(&'a mut heapless::String<LOG_LINE_BYTES_MAX>);

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.0.push(if c.is_control() { '·' } else { c }).map_err(|()| fmt::Error)?;
        }
        Ok(())
    }
}

//! Log lines: to stderr, and the last ones in a fixed ring for the API.
//!
//! Under systemd each line carries its priority for the journal; elsewhere its time. Nothing here touches the card.
//!
//! A line about one channel names it in a key `channel_id`. By that the API filters, and by that a channel that keeps
//! failing is kept from filling the log: what is over its share of a minute is counted, and its next line tells.

use crate::clock;
use pure::limits::{CHANNEL_LINES_PER_MINUTE, CHANNEL_LINES_TABLE, LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use pure::time::{Mono, Wall};
use pure::wire::log_id::{LogId, LogIdText};
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Arc, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

const MINUTE_MS: u64 = 60_000;

/// One kept line.
#[derive(Clone)]
pub struct Entry {
    /// Counts up from 1 since the daemon started.
    pub sequence: u64,
    /// When, by the clock on the wall, which may have been wrong.
    pub at: Wall,
    /// When, by the clock that never jumps.
    pub mono: Mono,
    /// How bad.
    pub level: Level,
    /// Which channel it is about, if it is about one.
    pub channel_id: Option<u32>,
    /// The message and its keys, cut at [`LOG_LINE_BYTES_MAX`].
    pub text: heapless::String<LOG_LINE_BYTES_MAX>,
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The most verbose level.
    pub level_max: Level,
    /// Only lines about this channel.
    pub channel_id: Option<u32>,
    /// Only lines after this one, the oldest of these; without it, the newest of all.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// How many lines there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Errors.
    pub error: u64,
    /// Warnings.
    pub warn: u64,
    /// What one should know.
    pub info: u64,
    /// The rest.
    pub debug: u64,
    /// Lines about a channel that had had its share.
    pub left_out: u64,
}

struct Lines {
    entries: VecDeque<Entry>,
    counts: Counts,
    shares: heapless::Vec<Share, CHANNEL_LINES_TABLE>,
    sequence: u64,
    level_max: Level,
}

/// What one channel had of the log.
struct Share {
    channel_id: u32,
    lines: heapless::HistoryBuffer<Mono, CHANNEL_LINES_PER_MINUTE>,
    left_out: u32,
}

impl Share {
    fn newest(&self) -> Option<Mono> {
        self.lines.recent().copied()
    }
}

impl Lines {
    fn new(level_max: Level) -> Self {
        Self {
            entries: VecDeque::with_capacity(LOG_LINES_MAX),
            counts: Counts::default(),
            shares: heapless::Vec::new(),
            sequence: 0,
            level_max,
        }
    }

    /// Takes one line of a channel's share; says how many were left out before it, or `None` when it must be, too.
    fn take_share(&mut self, now: Mono, channel_id: u32) -> Option<u32> {
        let known = self.shares.iter().position(|share| share.channel_id == channel_id);
        let index = known.or_else(|| {
            let new = Share { channel_id, lines: heapless::HistoryBuffer::new(), left_out: 0 };
            match self.shares.push(new) {
                Ok(()) => Some(self.shares.len() - 1),
                Err(new) => {
                    let (index, oldest) = self.shares.iter_mut().enumerate().min_by_key(|(_, share)| share.newest())?;
                    *oldest = new;
                    Some(index)
                }
            }
        });
        let share = self.shares.get_mut(index?)?;
        let recent = share.lines.as_slice().iter().filter(|at| now.ms_since(**at) < MINUTE_MS).count();
        if recent >= CHANNEL_LINES_PER_MINUTE {
            share.left_out = share.left_out.saturating_add(1);
            self.counts.left_out += 1;
            return None;
        }
        share.lines.write(now);
        Some(std::mem::take(&mut share.left_out))
    }

    fn keep(&mut self, mut entry: Entry) {
        let count = match entry.level {
            Level::ERROR => &mut self.counts.error,
            Level::WARN => &mut self.counts.warn,
            Level::INFO => &mut self.counts.info,
            _ => &mut self.counts.debug,
        };
        *count += 1;
        self.sequence += 1;
        entry.sequence = self.sequence;
        if self.entries.len() >= LOG_LINES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn wanted(&self, wanted: &Wanted) -> Vec<Entry> {
        let fits = |entry: &&Entry| {
            entry.level <= wanted.level_max
                && wanted.after.is_none_or(|after| entry.sequence > after)
                && wanted.channel_id.is_none_or(|channel| entry.channel_id == Some(channel))
        };
        let found = self.entries.iter().filter(fits);
        // Whoever follows the log must not miss a line; whoever looks at it wants the newest.
        let skipped = if wanted.after.is_some() { 0 } else { found.clone().count().saturating_sub(wanted.limit) };
        found.skip(skipped).take(wanted.limit).cloned().collect()
    }
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
    let kernel = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot = run_id(&kernel, clock::mono(), clock::wall(), std::process::id());
    #[expect(clippy::disallowed_types, reason = "see Shared")]
    let lines = Shared::new(std::sync::Mutex::new(Box::new(Lines::new(level_max))));
    let logs = Logs { lines, boot };
    let to_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = ToRingAndStderr { logs: logs.clone(), to_journal };
    // An error says that a test in this process has begun to log before.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap_or_default();
    logs
}

/// Names this run of the daemon: the kernel's boot id, and when and as which process we started in that boot.
fn run_id(kernel: &str, started: Mono, at: Wall, pid: u32) -> u64 {
    let digits = kernel.chars().filter_map(|digit| digit.to_digit(16)).take(16);
    let boot = digits.fold(0_u64, |id, digit| id << 4 | u64::from(digit));
    // Without a boot id, the clock has to tell two boots apart.
    let boot = if boot == 0 { at.0.unsigned_abs().rotate_left(32) } else { boot };
    // A process id has 22 bits at most.
    boot ^ started.0 << 22 ^ u64::from(pid)
}

impl Logs {
    fn with<R>(&self, act: impl FnOnce(&mut Lines) -> R) -> R {
        act(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on lines up to `level_max` are kept.
    pub fn set_level(&self, level_max: Level) {
        self.with(|lines| lines.level_max = level_max);
    }

    /// Kept lines, oldest first.
    pub fn entries(&self, wanted: &Wanted) -> Vec<Entry> {
        self.with(|lines| lines.wanted(wanted))
    }

    /// The line that an id names; `None` when it names none of this run, or one that is forgotten.
    pub fn entry(&self, id: &str) -> Option<Entry> {
        let sequence = self.sequence(id)?;
        self.with(|lines| {
            let oldest = lines.entries.front()?.sequence;
            lines.entries.get(usize::try_from(sequence.checked_sub(oldest)?).ok()?).cloned()
        })
    }

    /// How many lines there were.
    pub fn counts(&self) -> Counts {
        self.with(|lines| lines.counts)
    }

    /// The line's id in the API: 22 characters that no other run and no other line has.
    pub fn id(&self, entry: &Entry) -> LogIdText {
        LogId { boot: self.boot, sequence: entry.sequence }.text()
    }

    /// The sequence that an id stands for; `None` when this run has not given it to a line.
    pub fn sequence(&self, id: &str) -> Option<u64> {
        let LogId { boot, sequence } = LogId::parse(id)?;
        let newest = self.with(|lines| lines.sequence);
        (boot == self.boot && (1..=newest).contains(&sequence)).then_some(sequence)
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
        let Text { mut message, keys, channel_id } = text;
        // A line that is too long is cut.
        message.push_str(&keys).unwrap_or_default();
        let (at, mono, level) = (clock::wall(), clock::mono(), *event.metadata().level());
        if let Some(channel_id) = channel_id {
            match self.logs.with(|lines| lines.take_share(mono, channel_id)) {
                Some(0) => {}
                Some(left_out) => write!(Cut(&mut message), " left_out={left_out}").unwrap_or_default(),
                None => return,
            }
        }
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
        self.logs.with(|lines| lines.keep(Entry { sequence: 0, at, mono, level, channel_id, text: message }));
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
    channel_id: Option<u32>,
}

impl Visit for Text {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "channel_id" {
            self.channel_id = u32::try_from(value).ok();
        }
        self.record_debug(field, &value);
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(level: Level, channel_id: Option<u32>) -> Entry {
        Entry { sequence: 0, at: Wall(0), mono: Mono(0), level, channel_id, text: heapless::String::new() }
    }

    fn lines(len: usize) -> Lines {
        let mut lines = Lines::new(Level::DEBUG);
        for index in 0..len {
            let level = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG][index % 4];
            lines.keep(entry(level, u32::try_from(index % 3).ok().filter(|channel| *channel > 0)));
        }
        lines
    }

    fn logs(lines: Lines, boot: u64) -> Logs {
        #[expect(clippy::disallowed_types, reason = "see Shared")]
        let lines = Shared::new(std::sync::Mutex::new(Box::new(lines)));
        Logs { lines, boot }
    }

    const ALL: Wanted = Wanted { level_max: Level::TRACE, channel_id: None, after: None, limit: usize::MAX };

    fn sequences(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn who_looks_gets_the_newest_and_who_follows_misses_none() {
        let lines = lines(20);
        assert_eq!(sequences(&lines.wanted(&ALL)), (1..=20).collect::<Vec<_>>());
        assert_eq!(sequences(&lines.wanted(&Wanted { limit: 3, ..ALL })), [18, 19, 20]);
        assert_eq!(sequences(&lines.wanted(&Wanted { limit: 3, after: Some(5), ..ALL })), [6, 7, 8]);
        assert_eq!(sequences(&lines.wanted(&Wanted { level_max: Level::ERROR, ..ALL })), [1, 5, 9, 13, 17]);
        assert_eq!(sequences(&lines.wanted(&Wanted { level_max: Level::WARN, limit: 2, ..ALL })), [17, 18]);
        assert_eq!(sequences(&lines.wanted(&Wanted { channel_id: Some(2), limit: 2, ..ALL })), [15, 18]);
        assert!(lines.wanted(&Wanted { channel_id: Some(3), ..ALL }).is_empty());
        assert!(lines.wanted(&Wanted { after: Some(20), ..ALL }).is_empty());
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_says_so() {
        let kept = lines(LOG_LINES_MAX + 10);
        assert_eq!(kept.entries.len(), LOG_LINES_MAX);
        assert_eq!(kept.entries.capacity(), Lines::new(Level::INFO).entries.capacity(), "it never grows");
        let logs = logs(kept, 7);
        let id = |sequence| LogId { boot: 7, sequence }.text();
        assert!(logs.entry(id(10).as_str()).is_none(), "it is forgotten");
        assert_eq!(logs.sequence(id(10).as_str()), Some(10), "and still a place to go on from");
        assert_eq!(logs.entry(id(11).as_str()).unwrap().sequence, 11);
        let newest = (LOG_LINES_MAX + 10) as u64;
        assert_eq!(logs.entry(id(newest).as_str()).unwrap().sequence, newest);
        for never in [0, newest + 1, u64::MAX] {
            assert!(logs.entry(id(never).as_str()).is_none() && logs.sequence(id(never).as_str()).is_none());
        }
        let other = LogId { boot: 8, sequence: newest }.text();
        assert!(logs.sequence(other.as_str()).is_none(), "another run's");
    }

    #[test]
    fn a_channel_has_six_lines_a_minute_and_what_was_left_out_is_told() {
        let mut lines = Lines::new(Level::INFO);
        for second in 0..6 {
            assert_eq!(lines.take_share(Mono(second * 1_000), 1), Some(0));
        }
        for second in 6..60 {
            assert_eq!(lines.take_share(Mono(second * 1_000), 1), None, "{second}");
            assert_eq!(lines.take_share(Mono(second * 1_000), 100 + u32::try_from(second).unwrap()), Some(0));
        }
        assert_eq!(lines.take_share(Mono(60_000), 1), Some(54), "the first of the six is a minute old");
        assert_eq!(lines.take_share(Mono(60_000), 1), None);
        assert_eq!(lines.counts.left_out, 55);
        // Any number of channels, in a table that does not grow.
        for channel in 1_000..10_000 {
            assert_eq!(lines.take_share(Mono(61_000), channel), Some(0));
        }
        assert_eq!(lines.shares.len(), CHANNEL_LINES_TABLE);
    }

    #[test]
    fn two_runs_never_share_an_id() {
        let kernel = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n";
        let run = |kernel, started, at, pid| run_id(kernel, Mono(started), Wall(at), pid);
        let one = run(kernel, 5_000, 1_700_000_000, 400);
        assert_eq!(one, 0x0f1e_2d3c_4b5a_6978 ^ 5_000 << 22 ^ 0x190);
        assert_eq!(run(kernel, 5_000, 0, 400), one, "the wall's clock may be wrong");
        assert_ne!(run(kernel, 5_001, 1_700_000_000, 400), one, "another start");
        assert_ne!(run(kernel, 5_000, 1_700_000_000, 401), one, "another process");
        assert_ne!(run("1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n", 5_000, 1_700_000_000, 400), one, "another boot");
        assert_ne!(
            run("", 5_000, 1_700_000_000, 400),
            run("", 5_000, 1_700_000_001, 400),
            "the clock stands in for it"
        );
    }
}

//! Prometheus' text format, written into one buffer that is allocated once.
//!
//! A row is written whole or not at all; those that find no room are counted. Nothing here waits: while a slow reader
//! still has the last text, the next one is told to come again. What is measured stands in [`super::metrics`].
//!
//! Source: Prometheus, "Exposition formats", text format 0.0.4.

use bytes::{Bytes, BytesMut};
use pure::limits::EXPOSITION_BYTES_MAX;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display, Write};

/// Room that only the last family may use: it tells what was left out.
const LAST_BYTES: usize = 1024;

/// The kinds of families that we have.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The buffer.
pub(super) struct Exposition(RefCell<BytesMut>);

impl Default for Exposition {
    fn default() -> Self {
        Self(RefCell::new(BytesMut::with_capacity(EXPOSITION_BYTES_MAX)))
    }
}

impl Exposition {
    /// Has `fill` write a text; `None` while the last one is still being sent.
    pub(super) fn write(&self, fill: impl FnOnce(&mut Text<'_>)) -> Option<Bytes> {
        let mut buffer = self.0.borrow_mut();
        // Takes the memory back from the last text, if nobody holds that any more; it never allocates.
        if !buffer.try_reclaim(EXPOSITION_BYTES_MAX) {
            return None;
        }
        let mut text = Text { buffer: &mut buffer, end: EXPOSITION_BYTES_MAX - LAST_BYTES, name: "", left_out: 0 };
        fill(&mut text);
        Some(buffer.split().freeze())
    }
}

/// A text that is being written.
pub(super) struct Text<'a> {
    buffer: &'a mut BytesMut,
    end: usize,
    name: &'static str,
    left_out: u64,
}

impl Text<'_> {
    /// Begins a family; its rows follow.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) {
        self.name = name;
        let kind = kind.name();
        self.whole(|room| write!(room, "# HELP tunerd_{name} {help}\n# TYPE tunerd_{name} {kind}\n"));
    }

    /// One row of the family, without labels.
    pub(super) fn value(&mut self, value: impl Display) {
        self.row("", &[], value);
    }

    /// One row of the family. Values of labels are words and numbers of ours and need no escaping.
    pub(super) fn row(&mut self, suffix: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let name = self.name;
        self.whole(|room| {
            write!(room, "tunerd_{name}{suffix}")?;
            for (index, (label, value)) in labels.iter().enumerate() {
                write!(room, "{}{label}=\"{value}\"", if index == 0 { '{' } else { ',' })?;
            }
            writeln!(room, "{}{value}", if labels.is_empty() { " " } else { "} " })
        });
    }

    /// The rows of a histogram.
    pub(super) fn histogram<const N: usize>(&mut self, labels: &[(&str, &dyn Display)], histogram: &Histogram<N>) {
        let mut sum = 0;
        for (bound, count) in histogram.bounds_us.iter().zip(&histogram.counts) {
            sum += count.get();
            self.with_bound(labels, &Seconds(*bound), sum);
        }
        let count = sum + histogram.above.get();
        self.with_bound(labels, &"+Inf", count);
        self.row("_sum", labels, Seconds(histogram.sum_us.get()));
        self.row("_count", labels, count);
    }

    fn with_bound(&mut self, labels: &[(&str, &dyn Display)], bound: &dyn Display, count: u64) {
        let mut all: heapless::Vec<(&str, &dyn Display), 4> = heapless::Vec::new();
        // A histogram has one label of its own at most.
        all.extend_from_slice(labels).unwrap_or_default();
        all.push(("le", bound)).unwrap_or_default();
        self.row("_bucket", &all, count);
    }

    /// Opens the room that was kept for the last family, and says how many rows found none before.
    pub(super) fn last(&mut self) -> u64 {
        self.end = EXPOSITION_BYTES_MAX;
        self.left_out
    }

    fn whole(&mut self, write: impl FnOnce(&mut Room<'_>) -> fmt::Result) {
        let from = self.buffer.len();
        if write(&mut Room { buffer: &mut *self.buffer, end: self.end }).is_err() {
            self.buffer.truncate(from);
            self.left_out += 1;
        }
    }
}

/// Takes what fits.
struct Room<'a> {
    buffer: &'a mut BytesMut,
    end: usize,
}

impl Write for Room<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.buffer.len() + text.len() > self.end {
            return Err(fmt::Error);
        }
        self.buffer.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Counts durations by their length, in whole microseconds.
pub struct Histogram<const N: usize> {
    bounds_us: &'static [u64; N],
    counts: [Cell<u64>; N],
    above: Cell<u64>,
    sum_us: Cell<u64>,
}

impl<const N: usize> Histogram<N> {
    /// With buckets up to these bounds, which rise.
    pub(super) const fn new(bounds_us: &'static [u64; N]) -> Self {
        Self { bounds_us, counts: [const { Cell::new(0) }; N], above: Cell::new(0), sum_us: Cell::new(0) }
    }

    /// Counts one.
    pub fn add_us(&self, us: u64) {
        let bucket = self.bounds_us.iter().zip(&self.counts).find(|(bound, _)| us <= **bound);
        let count = bucket.map_or(&self.above, |(_, count)| count);
        count.set(count.get() + 1);
        self.sum_us.set(self.sum_us.get().saturating_add(us));
    }

    /// Counts one.
    pub fn add_ms(&self, ms: u64) {
        self.add_us(ms.saturating_mul(1_000));
    }
}

/// Microseconds, shown as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, mut rest, mut digits) = (self.0 / 1_000_000, self.0 % 1_000_000, 6);
        if rest == 0 {
            return write!(f, "{seconds}");
        }
        while rest % 10 == 0 {
            rest /= 10;
            digits -= 1;
        }
        write!(f, "{seconds}.{rest:0digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_whole_numbers_and_shown_as_seconds() {
        for (us, shown) in [(0, "0"), (1, "0.000001"), (1_500, "0.0015"), (20_000, "0.02"), (90_000_000, "90")] {
            assert_eq!(Seconds(us).to_string(), shown);
        }
        let histogram = Histogram::new(&[1_000, 20_000, 1_000_000]);
        for us in [0, 1_000, 1_001, 20_001, 5_000_000] {
            histogram.add_us(us);
        }
        histogram.add_ms(20);
        let text = Exposition::default().write(|text| {
            text.family(Kind::Histogram, "lag_seconds", "Lag");
            text.histogram(&[("of", &"me")], &histogram);
        });
        let text = text.unwrap();
        let wanted = "# HELP tunerd_lag_seconds Lag\n# TYPE tunerd_lag_seconds histogram\n\
            tunerd_lag_seconds_bucket{of=\"me\",le=\"0.001\"} 2\n\
            tunerd_lag_seconds_bucket{of=\"me\",le=\"0.02\"} 4\n\
            tunerd_lag_seconds_bucket{of=\"me\",le=\"1\"} 5\n\
            tunerd_lag_seconds_bucket{of=\"me\",le=\"+Inf\"} 6\n\
            tunerd_lag_seconds_sum{of=\"me\"} 5.042002\n\
            tunerd_lag_seconds_count{of=\"me\"} 6\n";
        assert_eq!(std::str::from_utf8(&text).unwrap(), wanted);
    }

    #[test]
    fn the_buffer_is_one_and_its_memory_comes_back() {
        let exposition = Exposition::default();
        let fill = |text: &mut Text<'_>| {
            text.family(Kind::Gauge, "x", "X");
            text.value(1);
        };
        let first = exposition.write(fill).unwrap();
        let at = first.as_ptr();
        assert!(exposition.write(fill).is_none(), "a reader still has it");
        let copy = first.clone();
        drop(first);
        assert!(exposition.write(fill).is_none(), "a reader still has it");
        drop(copy);
        for _ in 0..1_000 {
            assert_eq!(exposition.write(fill).unwrap().as_ptr(), at, "the same memory again");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole_and_counted() {
        let exposition = Exposition::default();
        // The end of the room falls on each place of a row once.
        for shift in 1..60 {
            let text = exposition.write(|text| {
                text.family(Kind::Counter, "x_total", &"x".repeat(shift));
                for index in 0..10_000_u32 {
                    text.row("", &[("index", &index)], index);
                }
                let left_out = text.last();
                text.family(Kind::Counter, "left_out_total", "Left out");
                text.value(left_out);
            });
            let text = text.unwrap();
            assert!(text.len() <= EXPOSITION_BYTES_MAX);
            let text = std::str::from_utf8(&text).unwrap();
            let rows = text.lines().filter(|line| line.starts_with("tunerd_x_total")).count();
            assert!(rows > 1_000);
            let last = rows - 1;
            let end = format!("\ntunerd_x_total{{index=\"{last}\"}} {last}\n# HELP tunerd_left_out_total Left out\n");
            assert!(text.contains(&end), "a half row stands there: {}", &text[text.len() - 300..]);
            assert!(text.ends_with(&format!("\ntunerd_left_out_total {}\n", 10_000 - rows)));
        }
    }
}

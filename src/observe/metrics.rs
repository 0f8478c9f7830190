//! The one table of metrics, and how Prometheus reads it.

use pure::rules::pool::Refusal;
use std::cell::Cell;
use std::fmt::Write as _;

/// A number that only grows.
#[derive(Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }

    fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Refusals are counted by reason; the words are the label's closed set.
const REFUSALS: [&str; 10] = [
    "draining",
    "memory",
    "fd",
    "ffmpeg",
    "viewers_full",
    "slot_stuck",
    "tuner_in_use",
    "all_tuners_in_use",
    "tune_failed",
    "no_video",
];

const fn refusal_index(refusal: Refusal) -> usize {
    use pure::rules::admission::Short;
    match refusal {
        Refusal::Draining => 0,
        Refusal::Short(Short::Memory) => 1,
        Refusal::Short(Short::Fds) => 2,
        Refusal::Short(Short::Ffmpeg) => 3,
        Refusal::ViewersFull => 4,
        Refusal::SlotStuck => 5,
        Refusal::TunerInUse => 6,
        Refusal::AllTunersInUse => 7,
        Refusal::TuneFailed => 8,
        Refusal::NoVideo => 9,
    }
}

/// All counters.
#[derive(Default)]
pub struct Metrics {
    /// Children started.
    pub ffmpeg_starts: Counter,
    /// Children that the kernel did not start.
    pub ffmpeg_start_failures: Counter,
    /// Children that ended under a viewer.
    pub ffmpeg_deaths: Counter,
    /// Viewers who got a picture.
    pub streams_started: Counter,
    /// Requests answered, streams included.
    pub http_requests: Counter,
    /// Connections turned away because there were too many.
    pub http_connections_refused: Counter,
    /// Discovery requests answered.
    pub discovery_answers: Counter,
    /// Datagrams on the discovery port that deserved no answer.
    pub discovery_ignored: Counter,
    /// Playlists read.
    pub playlist_loads: Counter,
    /// Playlists that could not be had or used.
    pub playlist_failures: Counter,
    /// Handlers that panicked.
    pub panics: Counter,
    refusals: [Counter; REFUSALS.len()],
}

/// What is measured at the moment of asking.
#[derive(Default)]
pub struct Gauges {
    /// Children alive.
    pub ffmpeg_processes_active: u64,
    /// Children waited for.
    pub ffmpeg_spawn_pending: u64,
    /// Viewers with a picture or waiting for one.
    pub viewers: u64,
    /// Slots given up.
    pub slots_quarantined: u64,
    /// Channels in the lineup.
    pub channels: u64,
    /// Problems at present.
    pub problems: u64,
    /// Open file descriptors.
    pub fd_usage: u64,
    /// Resident memory of the daemon.
    pub system_rss_bytes: u64,
    /// Bytes that each slot published, its overtaken viewers, and its packets out of order.
    pub slots: Vec<(u64, u64, u64)>,
}

impl Metrics {
    /// Counts a viewer sent away.
    pub fn refused(&self, refusal: Refusal) {
        if let Some(counter) = self.refusals.get(refusal_index(refusal)) {
            counter.add(1);
        }
    }

    /// All of them in Prometheus' text format.
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut out = String::with_capacity(8 * 1024);
        let mut single = |kind: &str, name: &str, help: &str, value: u64| {
            // Writing to a string cannot fail.
            writeln!(out, "# HELP tunerd_{name} {help}\n# TYPE tunerd_{name} {kind}\ntunerd_{name} {value}")
                .unwrap_or_default();
        };
        for (name, help, value) in [
            ("ffmpeg_processes_active", "FFmpeg processes alive", gauges.ffmpeg_processes_active),
            ("ffmpeg_spawn_pending", "Slots that wait to start a process", gauges.ffmpeg_spawn_pending),
            ("viewers", "Viewers with a picture or waiting for one", gauges.viewers),
            ("slot_quarantined", "Slots whose process cannot be ended", gauges.slots_quarantined),
            ("channels", "Channels in the lineup", gauges.channels),
            ("problems", "Problems at present", gauges.problems),
            ("fd_usage", "Open file descriptors", gauges.fd_usage),
            ("system_rss_bytes", "Resident memory of the daemon", gauges.system_rss_bytes),
        ] {
            single("gauge", name, help, value);
        }
        for (name, help, counter) in [
            ("ffmpeg_spawn_total", "FFmpeg processes started", &self.ffmpeg_starts),
            ("ffmpeg_spawn_failed_total", "FFmpeg processes the kernel did not start", &self.ffmpeg_start_failures),
            ("ffmpeg_death_total", "FFmpeg processes that ended under a viewer", &self.ffmpeg_deaths),
            ("stream_success_total", "Viewers who got a picture", &self.streams_started),
            ("http_requests_total", "Requests answered", &self.http_requests),
            ("http_connections_refused_total", "Connections over the limit", &self.http_connections_refused),
            ("discovery_answers_total", "Discovery requests answered", &self.discovery_answers),
            ("discovery_ignored_total", "Datagrams that deserved no answer", &self.discovery_ignored),
            ("playlist_loads_total", "Playlists read", &self.playlist_loads),
            ("playlist_failures_total", "Playlists that could not be had or used", &self.playlist_failures),
            ("panics_total", "Handlers that panicked", &self.panics),
        ] {
            single("counter", name, help, counter.get());
        }
        let mut labelled = |name: &str, help: &str, label: &str, rows: &mut dyn Iterator<Item = (String, u64)>| {
            writeln!(out, "# HELP tunerd_{name} {help}\n# TYPE tunerd_{name} counter").unwrap_or_default();
            for (value, count) in rows {
                writeln!(out, "tunerd_{name}{{{label}=\"{value}\"}} {count}").unwrap_or_default();
            }
        };
        let refusals = REFUSALS.iter().zip(&self.refusals);
        labelled(
            "stream_failure_total",
            "Viewers sent away",
            "reason",
            &mut refusals.map(|(reason, counter)| ((*reason).to_owned(), counter.get())),
        );
        let slots = || gauges.slots.iter().enumerate();
        labelled(
            "slot_bytes_total",
            "Bytes of transport stream that a slot's children made",
            "slot",
            &mut slots().map(|(index, slot)| (index.to_string(), slot.0)),
        );
        labelled(
            "viewer_lagged_total",
            "Viewers moved ahead because they were too slow",
            "slot",
            &mut slots().map(|(index, slot)| (index.to_string(), slot.1)),
        );
        labelled(
            "slot_continuity_errors",
            "Packets out of order in what the present child makes",
            "slot",
            &mut slots().map(|(index, slot)| (index.to_string(), slot.2)),
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pure::rules::admission::Short;

    #[test]
    fn what_is_counted_is_shown_under_its_name() {
        let metrics = Metrics::default();
        metrics.ffmpeg_starts.add(3);
        metrics.refused(Refusal::AllTunersInUse);
        metrics.refused(Refusal::Short(Short::Memory));
        let text = metrics.render(&Gauges { viewers: 7, slots: vec![(188, 0, 0), (376, 1, 2)], ..Gauges::default() });
        for line in [
            "tunerd_ffmpeg_spawn_total 3",
            "tunerd_viewers 7",
            "tunerd_stream_failure_total{reason=\"all_tuners_in_use\"} 1",
            "tunerd_stream_failure_total{reason=\"memory\"} 1",
            "tunerd_stream_failure_total{reason=\"no_video\"} 0",
            "tunerd_slot_bytes_total{slot=\"1\"} 376",
            "tunerd_viewer_lagged_total{slot=\"1\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}

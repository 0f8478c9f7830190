//! Under which name each number is shown, with its help; and the bounds of this release beside them.

use super::Metrics;
use super::count::Words;
use crate::clock;
use crate::observe::exposition::{Kind as Family, Text};
use bytes::Bytes;
use pure::limits;
use pure::model::lineup::Origin;
use pure::rules::alarms::Level;
use pure::rules::breaker::BreakerState;
use pure::time::Mono;
use std::fmt::Display;

/// What is measured at the moment of asking.
#[derive(Default)]
pub struct Gauges<'a> {
    /// Children alive.
    pub ffmpeg_processes_active: u64,
    /// Slots that wait to start one.
    pub ffmpeg_spawn_pending: u64,
    /// Viewers with a picture or waiting for one.
    pub viewers: u64,
    /// Slots whose viewers are shown why they have no picture.
    pub slates_shown: u64,
    /// Slots given up.
    pub slots_quarantined: u64,
    /// Channels in the lineup.
    pub channels: u64,
    /// Open file descriptors.
    pub fd_usage: u64,
    /// File descriptors that may be open.
    pub fd_limit: u64,
    /// Resident memory of the daemon.
    pub system_rss_bytes: u64,
    /// Memory that new children could have; `None`: unknown.
    pub memory_available_bytes: Option<u64>,
    /// Dead children that nobody has asked about.
    pub zombies: u64,
    /// Age of the guide; `None`: there is none.
    pub guide_age_s: Option<u64>,
    /// What is in it.
    pub guide: GuideGauges,
    /// Log lines by level.
    pub log_lines: &'a [(&'static str, u64)],
    /// Lines left out because one channel had enough of them.
    pub log_lines_left_out: u64,
    /// The slots in order.
    pub slots: &'a [SlotGauge],
    /// Sources that have failed lately, and their breakers.
    pub breakers: &'a [(Origin, BreakerState)],
    /// Every alarm and problem there could be, and its level if there is one now.
    pub alarms: &'a [(&'static str, Option<Level>)],
}

/// What is in the guide that was made last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuideGauges {
    /// Programmes.
    pub programmes: u64,
    /// Of these: had no title, and got their channel's name.
    pub without_title: u64,
    /// Of these: have no description.
    pub without_description: u64,
    /// Of these: have no number as an episode.
    pub without_episode: u64,
    /// What is wrong with it; then the one before is served.
    pub validation_errors: u64,
    /// Channels that only the lineup or only the guide has.
    pub lineup_mismatches: u64,
}

/// What a slot's packets tell.
#[derive(Clone, Copy, Default)]
pub struct SlotGauge {
    /// Bytes of transport stream that its children made.
    pub bytes: u64,
    /// Viewers who were moved ahead because they were too slow.
    pub overtaken: u64,
    /// Packets out of order in what the present child makes.
    pub continuity_errors: u64,
}

/// A number of a slot.
type OfSlot = fn(&SlotGauge) -> u64;

impl Metrics {
    /// All of them in Prometheus' text format; `None` while a slow reader still gets the last text.
    pub fn render(&self, gauges: &Gauges<'_>) -> Option<Bytes> {
        self.render_at(clock::mono(), gauges)
    }

    pub(super) fn render_at(&self, now: Mono, gauges: &Gauges<'_>) -> Option<Bytes> {
        self.exposition.write(|text| {
            self.guard(text, now, gauges);
            self.streams(text, gauges);
            self.box_itself(text, now, gauges);
            self.channels(text, gauges);
            self.left_out(text);
        })
    }

    /// Children, restarts, breakers.
    fn guard(&self, text: &mut Text<'_>, now: Mono, gauges: &Gauges<'_>) {
        single(
            text,
            Family::Gauge,
            "ffmpeg_processes_active",
            "FFmpeg processes alive",
            gauges.ffmpeg_processes_active,
        );
        single(
            text,
            Family::Gauge,
            "ffmpeg_spawn_pending",
            "Slots that wait to start a process",
            gauges.ffmpeg_spawn_pending,
        );
        words(text, "ffmpeg_spawn_total", "FFmpeg processes started", "kind", &self.spawns);
        words(text, "pull_total", "Sources pulled without an FFmpeg", "kind", &self.pulls);
        words(text, "ffmpeg_spawn_rejected_total", "Spawns that the gate held back", "reason", &self.rejections);
        for (name, help, counter) in [
            ("ffmpeg_spawn_timeout_total", "Spawns given up after 90 s without a permit", &self.acquire_timeouts),
            ("ffmpeg_spawn_failed_total", "FFmpeg processes the kernel did not start", &self.ffmpeg_start_failures),
            ("ffmpeg_death_total", "FFmpeg processes that ended under a viewer", &self.ffmpeg_deaths),
            ("restart_storm_total", "First restarts held back after a quiet minute", &self.storms),
            ("health_timeouts_total", "Children restarted because they went silent", &self.health_timeouts),
            ("sweep_found_total", "Silences that only the sweep noticed; each is a bug", &self.sweep_found),
            ("probe_skipped_total", "Probes of our output that found no room", &self.probes_skipped),
            ("snapshot_skipped_total", "Snapshots of the guard that could not be written", &self.snapshots_skipped),
        ] {
            single(text, Family::Counter, name, help, counter.get());
        }
        let [timeout, refused] = &self.acquired_not;
        text.family(
            Family::Histogram,
            "pool_acquisition_latency_seconds",
            "From being allowed to start to having a permit, by outcome",
        );
        text.histogram(&[("outcome", &"ok")], &self.acquired);
        text.histogram(&[("outcome", &"timeout")], timeout);
        text.histogram(&[("outcome", &"refused")], refused);
        let restarts = self.restarts.borrow();
        let recent = |at: &&Mono| now.ms_since(**at) < limits::THROTTLE_WINDOW_MS;
        let recent = restarts.as_slice().iter().filter(recent).count();
        single(text, Family::Gauge, "restart_rate_per_minute", "Restarts in the last 60 s", recent);
        words(text, "failure_total", "Failures of all channels", "class", &self.failures);
        words(text, "probe_result_total", "What probes of our output found", "result", &self.probe_results);
        words(text, "picture_bad_total", "How often a channel began to show nothing of use", "sight", &self.sights);
        words(text, "sometimes_total", "Rare places that were reached", "point", &self.points);
    }

    /// Viewers and what they get.
    fn streams(&self, text: &mut Text<'_>, gauges: &Gauges<'_>) {
        single(text, Family::Gauge, "viewers", "Viewers with a picture or waiting for one", gauges.viewers);
        single(text, Family::Counter, "stream_success_total", "Viewers who got a picture", self.streams_started.get());
        words(text, "stream_failure_total", "Viewers sent away", "reason", &self.refusals);
        let by_slot: [(Family, &str, &str, OfSlot); 3] = [
            (Family::Counter, "slot_bytes_total", "Bytes of transport stream that a slot's children made", |slot| {
                slot.bytes
            }),
            (Family::Counter, "viewer_lagged_total", "Viewers moved ahead because they were too slow", |slot| {
                slot.overtaken
            }),
            (Family::Gauge, "slot_continuity_errors", "Packets out of order in what the present child makes", |slot| {
                slot.continuity_errors
            }),
        ];
        for (family, name, help, of) in by_slot {
            text.family(family, name, help);
            for (index, slot) in gauges.slots.iter().enumerate() {
                text.row("", &[("slot", &index)], of(slot));
            }
        }
        single(
            text,
            Family::Gauge,
            "slates_shown",
            "Slots whose viewers are shown why they have no picture",
            gauges.slates_shown,
        );
        single(
            text,
            Family::Gauge,
            "slot_quarantined",
            "Slots whose process cannot be ended",
            gauges.slots_quarantined,
        );
    }

    /// The daemon and the board.
    fn box_itself(&self, text: &mut Text<'_>, now: Mono, gauges: &Gauges<'_>) {
        text.family(Family::Gauge, "build_info", "Which release this is");
        text.row("", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
        single(text, Family::Gauge, "uptime_seconds", "How long the daemon runs", self.uptime_s(now));
        for (name, help, value) in [
            ("channels", "Channels in the lineup", Some(gauges.channels)),
            ("fd_usage", "Open file descriptors", Some(gauges.fd_usage)),
            ("fd_limit", "File descriptors that may be open", Some(gauges.fd_limit)),
            ("system_rss_bytes", "Resident memory of the daemon", Some(gauges.system_rss_bytes)),
            ("memory_available_bytes", "Memory that new processes could have", gauges.memory_available_bytes),
            ("zombies", "Dead children that were not reaped", Some(gauges.zombies)),
            ("guide_age_seconds", "Age of the guide that is served", gauges.guide_age_s),
        ] {
            text.family(Family::Gauge, name, help);
            match value {
                Some(value) => text.value(value),
                None => text.value("NaN"),
            }
        }
        let guide = &gauges.guide;
        single(text, Family::Gauge, "guide_programmes", "Programmes in the guide", guide.programmes);
        text.family(Family::Gauge, "guide_programmes_without", "Programmes of the guide that lack something");
        for (what, count) in [
            ("title", guide.without_title),
            ("description", guide.without_description),
            ("episode", guide.without_episode),
        ] {
            text.row("", &[("what", &what)], count);
        }
        for (name, help, value) in [
            ("guide_validation_errors", "What is wrong with the guide that was made last", guide.validation_errors),
            ("guide_lineup_mismatches", "Channels that only the lineup or only the guide has", guide.lineup_mismatches),
        ] {
            single(text, Family::Gauge, name, help, value);
        }
        text.family(Family::Histogram, "event_loop_lag_seconds", "How late the executor came to what was due");
        text.histogram(&[], &self.loop_lag);
        text.family(Family::Histogram, "db_commit_seconds", "How long the database took for a change");
        text.histogram(&[], &self.db_commit);
        words(text, "playout_rebuild_total", "Lineups and guides made anew", "of", &self.rebuilds);
        for (name, help, counter) in [
            ("http_requests_total", "Requests answered", &self.http_requests),
            ("http_connections_refused_total", "Connections over the limit", &self.http_connections_refused),
            ("discovery_answers_total", "Discovery requests answered", &self.discovery_answers),
            ("control_requests_total", "Requests over TCP 65001 answered", &self.control_requests),
            ("control_connections_refused_total", "Control connections turned away", &self.control_connections_refused),
            ("discovery_ignored_total", "Datagrams that deserved no answer", &self.discovery_ignored),
            ("ssdp_answers_total", "Answers to searches over SSDP", &self.ssdp_answers),
            ("ssdp_ignored_total", "Datagrams of SSDP that deserved no answer", &self.ssdp_ignored),
            ("mdns_restarts_total", "Times that mDNS had to be started anew", &self.mdns_restarts),
            ("playlist_loads_total", "Playlists read", &self.playlist_loads),
            ("playlist_failures_total", "Playlists that could not be had or used", &self.playlist_failures),
            ("guide_loads_total", "Guides read", &self.guide_loads),
            ("guide_failures_total", "Guides that could not be had or used", &self.guide_failures),
            ("panics_total", "Handlers that panicked", &self.panics),
        ] {
            single(text, Family::Counter, name, help, counter.get());
        }
        text.family(Family::Counter, "log_lines_total", "Log lines by level");
        for (level, count) in gauges.log_lines {
            text.row("", &[("level", level)], count);
        }
        single(
            text,
            Family::Counter,
            "log_lines_left_out_total",
            "Log lines left out because one channel had enough of them",
            gauges.log_lines_left_out,
        );
        let raised = gauges.alarms.iter().filter(|(_, level)| level.is_some()).count();
        single(text, Family::Gauge, "problems", "Alarms and problems at present", raised);
        text.family(Family::Gauge, "alarms", "1 where an alarm or problem has this level now");
        for (name, present) in gauges.alarms {
            for level in Level::ALL {
                text.row("", &[("name", name), ("level", &level.name())], u8::from(*present == Some(level)));
            }
        }
        text.family(Family::Gauge, "limit", "The bounds that this release was built with");
        for (name, value) in LIMITS {
            text.row("", &[("name", &name)], value);
        }
    }

    /// Rows of single channels, which may be many.
    fn channels(&self, text: &mut Text<'_>, gauges: &Gauges<'_>) {
        text.family(Family::Counter, "channel_restart_total", "Restarts and probes of a channel");
        for row in &self.restarts_of.borrow().rows {
            text.row("", &[("channel_id", &row.key.0)], row.count);
        }
        text.family(Family::Counter, "channel_failure_total", "Failures of a channel");
        for row in &self.failures_of.borrow().rows {
            let (channel, failure) = row.key;
            text.row("", &[("channel_id", &channel.0), ("class", &failure.name())], row.count);
        }
        text.family(
            Family::Gauge,
            "circuit_breaker_state",
            "Breaker of a source that failed lately: 0 closed, 1 half open, 2 open",
        );
        // Those that let nobody in come first, should there be no room for all.
        let state = |state: BreakerState| match state {
            BreakerState::Closed => 0_u8,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        let mut shown = 0;
        for wanted in [2, 1, 0] {
            for (origin, _) in gauges.breakers.iter().filter(|(_, breaker)| state(*breaker) == wanted) {
                if shown < limits::BREAKER_ROWS_MAX {
                    text.row("", &[("channel_id", &origin.channel.0), ("source", &origin.source)], wanted);
                    shown += 1;
                }
            }
        }
        self.breakers_left_out.add((gauges.breakers.len() - shown) as u64);
    }

    /// What the bounds of this page cost.
    fn left_out(&self, text: &mut Text<'_>) {
        let page = text.last();
        text.family(Family::Counter, "metric_rows_left_out_total", "Rows that were forgotten or found no room");
        let rows: [(&str, u64); 4] = [
            ("channel_restart_total", self.restarts_of.borrow().forgotten),
            ("channel_failure_total", self.failures_of.borrow().forgotten),
            ("circuit_breaker_state", self.breakers_left_out.get()),
            ("page", page),
        ];
        for (metric, count) in rows {
            text.row("", &[("metric", &metric)], count);
        }
    }
}

fn single(text: &mut Text<'_>, family: Family, name: &'static str, help: &str, value: impl Display) {
    text.family(family, name, help);
    text.value(value);
}

fn words<const N: usize>(text: &mut Text<'_>, name: &'static str, help: &str, label: &str, words: &Words<N>) {
    text.family(Family::Counter, name, help);
    for (word, count) in words.rows() {
        text.row("", &[(label, &word)], count);
    }
}

/// The bounds that matter to whoever reads the numbers beside them. They stand here once, so that no document and no
/// dashboard needs a copy.
const LIMITS: [(&str, u64); 32] = [
    ("slots_max", limits::SLOTS_MAX as u64),
    ("viewers_max", limits::VIEWERS_MAX as u64),
    ("spawn_period_ms", limits::SPAWN_PERIOD_MS),
    ("spawn_burst_max", limits::SPAWN_BURST_MAX as u64),
    ("copy_memory_bytes", limits::COPY_MEMORY_BYTES),
    ("sound_memory_bytes", limits::SOUND_MEMORY_BYTES),
    ("encode_memory_bytes", limits::ENCODE_MEMORY_BYTES),
    ("reserve_memory_bytes", limits::RESERVE_MEMORY_BYTES),
    ("reserve_fds", limits::RESERVE_FDS as u64),
    ("failures_max", limits::FAILURES_MAX as u64),
    ("failure_window_ms_min", limits::FAILURE_WINDOW_MS_MIN),
    ("breaker_open_ms", limits::BREAKER_OPEN_MS),
    ("cooldown_ms", limits::COOLDOWN_MS),
    ("restarts_max", limits::RESTARTS_MAX as u64),
    ("throttle_window_ms", limits::THROTTLE_WINDOW_MS),
    ("acquire_ms_max", limits::ACQUIRE_MS_MAX),
    ("acquire_attempts_max", limits::ACQUIRE_ATTEMPTS_MAX as u64),
    ("silence_live_ms", limits::SILENCE_LIVE_MS),
    ("silence_file_ms", limits::SILENCE_FILE_MS),
    ("silence_first_ms", limits::SILENCE_FIRST_MS),
    ("sweep_ms", limits::SWEEP_MS),
    ("stable_ms", limits::STABLE_MS),
    ("probe_every_ms", limits::PROBE_EVERY_MS),
    ("probe_kill_ms", limits::PROBE_KILL_MS),
    ("unhealthy_ms", limits::UNHEALTHY_MS),
    ("gap_ms", limits::GAP_MS),
    ("tune_deadline_ms", limits::TUNE_DEADLINE_MS),
    ("start_timeout_ms", limits::START_TIMEOUT_MS),
    ("linger_ms", limits::LINGER_MS),
    ("term_ms", limits::TERM_MS),
    ("reap_ms", limits::REAP_MS),
    ("drain_ms", limits::DRAIN_MS),
];

//! The one table of metrics, and how Prometheus reads it.
//!
//! Counting is adding to a cell; nothing is formatted, allocated or waited for before somebody asks. Names follow the
//! plan of the guard. Rows of single channels are bounded: the newest are kept, and what was forgotten is counted. What
//! is *not* here: how the text is written ([`super::exposition`]), and what is measured at the moment of asking
//! ([`Gauges`], which the door fills).
//!
//! - `metrics.rs`: what is counted.
//! - `metrics/count.rs`: how it is counted.
//! - `metrics/show.rs`: under which name it is shown.

mod count;
mod show;

use super::exposition::{Exposition, Histogram};
use crate::clock;
pub use count::Counter;
use count::{Newest, Words};
use pure::limits;
use pure::model::lineup::ChannelId;
use pure::rules::admission::Short;
use pure::rules::blank::Sight;
use pure::rules::failure::Failure;
use pure::rules::gate::{Deny, Kind};
use pure::rules::health::ProbeResult;
use pure::rules::pool::{Note, Refusal};
use pure::time::Mono;
pub use show::{Gauges, GuideGauges, SlotGauge};
use std::cell::RefCell;

/// Why viewers are sent away.
const REFUSALS: [&str; 16] = [
    "draining",
    "memory",
    "fd",
    "heat",
    "ffmpeg",
    "viewers_full",
    "slot_stuck",
    "busy",
    "tuner_in_use",
    "all_tuners_in_use",
    "tune_failed",
    "no_video",
    "resting",
    "misconfigured",
    "account_full",
    "unknown_channel",
];

const fn refusal_index(refusal: Refusal) -> usize {
    match refusal {
        Refusal::Draining => 0,
        Refusal::Short(Short::Memory) => 1,
        Refusal::Short(Short::Fds) => 2,
        Refusal::Short(Short::Heat) => 3,
        Refusal::Short(Short::Ffmpeg) => 4,
        Refusal::ViewersFull => 5,
        Refusal::SlotStuck => 6,
        Refusal::Busy { .. } => 7,
        Refusal::TunerInUse => 8,
        Refusal::AllTunersInUse | Refusal::ShareInUse => 9,
        Refusal::TuneFailed { .. } => 10,
        Refusal::NoVideo { .. } => 11,
        Refusal::Resting { .. } => 12,
        Refusal::Misconfigured => 13,
        Refusal::AccountFull => 14,
    }
}

/// Why the gate lets no child through. `slot` is counted where the pool has none to offer, before the gate is asked.
const REJECTIONS: [&str; 12] = [
    "drain", "breaker", "cooldown", "throttle", "slot", "memory", "fd", "heat", "ffmpeg", "token", "records", "account",
];

const REJECTED_FOR_SLOT: usize = 4;

const fn rejection_index(deny: &Deny) -> usize {
    match deny {
        Deny::Draining => 0,
        Deny::Open { .. } => 1,
        Deny::Cooldown { .. } => 2,
        Deny::Throttled { .. } => 3,
        Deny::Short(Short::Memory) => 5,
        Deny::Short(Short::Fds) => 6,
        Deny::Short(Short::Heat) => 7,
        Deny::Short(Short::Ffmpeg) => 8,
        Deny::Token { .. } => 9,
        Deny::RecordsFull => 10,
        Deny::AccountFull => 11,
    }
}

const KINDS: [&str; 3] = ["cold", "restart", "probe"];
const PROBE_RESULTS: [&str; 3] = ["healthy", "unhealthy", "unknown"];
const SIGHTS: [&str; Sight::BAD.len()] =
    [Sight::BAD[0].name(), Sight::BAD[1].name(), Sight::BAD[2].name(), Sight::BAD[3].name()];
const REBUILDS: [&str; 2] = ["lineup", "guide"];
const FAILURES: [&str; Failure::ALL.len()] = {
    let mut names = [""; Failure::ALL.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = Failure::ALL[index].name();
        index += 1;
    }
    names
};

/// Places that a long run should come by sometimes: a soak that never saw one of them has proved nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A breaker opened.
    BreakerOpened,
    /// A probe of an open breaker was started.
    BreakerProbed,
    /// A breaker closed after a stable probe.
    BreakerClosed,
    /// A probe ended without a verdict.
    BreakerInconclusive,
    /// The gate said no because of the breaker.
    DeniedBreaker,
    /// … of the channel's cooldown.
    DeniedCooldown,
    /// … of the throttle.
    DeniedThrottle,
    /// … of memory, descriptors, heat, or a missing FFmpeg.
    DeniedShort,
    /// … of the limiter.
    DeniedToken,
    /// … of what the provider allows.
    DeniedAccount,
    /// … of draining.
    DeniedDraining,
    /// An acquisition took too long.
    AcquireTimedOut,
    /// A child was stable.
    Stable,
    /// A child was silent for half of what it may be.
    SilenceWarned,
    /// A viewer was held over a gap.
    GapHeld,
    /// A new child's packets were joined to a viewer's stream.
    SeamJoined,
    /// A child ignored SIGTERM.
    Killed,
    /// A slot was given up.
    Quarantined,
    /// A probe of the output was skipped.
    ProbeSkipped,
    /// Half of the channels in use were open.
    Outage,
    /// A viewer was refused.
    Refused,
}

const POINTS: [&str; 21] = [
    "breaker_opened",
    "breaker_probed",
    "breaker_closed",
    "breaker_inconclusive",
    "denied_breaker",
    "denied_cooldown",
    "denied_throttle",
    "denied_short",
    "denied_token",
    "denied_account",
    "denied_draining",
    "acquire_timed_out",
    "stable",
    "silence_warned",
    "gap_held",
    "seam_joined",
    "killed",
    "quarantined",
    "probe_skipped",
    "outage",
    "refused",
];
const _: () = assert!(Point::Refused as usize + 1 == POINTS.len(), "each point has a name");

/// Up to where acquisitions are told apart: most take milliseconds, none more than 90 s.
static ACQUISITION_BOUNDS_US: [u64; 12] = [
    1_000, 10_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 12_000_000, 30_000_000,
    90_000_000,
];
/// Up to where delays are told apart: 20 ms and 100 ms are promised, 20 s is the watchdog.
static LAG_BOUNDS_US: [u64; 12] =
    [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 20_000_000];
/// Up to where commits are told apart: a good card takes 5 ms, a worn one seconds.
static COMMIT_BOUNDS_US: [u64; 10] =
    [1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000, 3_000_000, 10_000_000];

/// All counters.
pub struct Metrics {
    started: Mono,
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
    /// Requests over control answered.
    pub control_requests: Counter,
    /// Control connections turned away.
    pub control_connections_refused: Counter,
    /// Datagrams on the discovery port that deserved no answer.
    pub discovery_ignored: Counter,
    /// Answers to searches over SSDP.
    pub ssdp_answers: Counter,
    /// Datagrams on the port of SSDP that deserved no answer.
    pub ssdp_ignored: Counter,
    /// How often the thread of mDNS was started anew.
    pub mdns_restarts: Counter,
    /// Playlists read.
    pub playlist_loads: Counter,
    /// Playlists that could not be had or used.
    pub playlist_failures: Counter,
    /// Guides read.
    pub guide_loads: Counter,
    /// Guides that could not be had or used.
    pub guide_failures: Counter,
    /// Handlers that panicked.
    pub panics: Counter,
    /// Snapshots of the guard's memory that could not be written (K07).
    pub snapshots_skipped: Counter,
    /// How late the executor came to what was due.
    pub loop_lag: Histogram<{ LAG_BOUNDS_US.len() }>,
    /// How long the database took for a change, its wait in the inbox included.
    pub db_commit: Histogram<{ COMMIT_BOUNDS_US.len() }>,
    acquire_timeouts: Counter,
    storms: Counter,
    health_timeouts: Counter,
    sweep_found: Counter,
    probes_skipped: Counter,
    spawns: Words<{ KINDS.len() }>,
    pulls: Words<{ KINDS.len() }>,
    refusals: Words<{ REFUSALS.len() }>,
    rejections: Words<{ REJECTIONS.len() }>,
    failures: Words<{ FAILURES.len() }>,
    probe_results: Words<{ PROBE_RESULTS.len() }>,
    sights: Words<{ SIGHTS.len() }>,
    rebuilds: Words<{ REBUILDS.len() }>,
    points: Words<{ POINTS.len() }>,
    acquired: Histogram<{ ACQUISITION_BOUNDS_US.len() }>,
    acquired_not: [Histogram<{ ACQUISITION_BOUNDS_US.len() }>; 2],
    /// More than the throttle lets through in its window, so that a throttle that leaks would show.
    restarts: RefCell<heapless::HistoryBuffer<Mono, { 4 * limits::RESTARTS_MAX }>>,
    restarts_of: RefCell<Newest<ChannelId, { limits::CHANNEL_ROWS_MAX }>>,
    failures_of: RefCell<Newest<(ChannelId, Failure), { limits::FAILURE_ROWS_MAX }>>,
    breakers_left_out: Counter,
    exposition: Exposition,
}

impl Default for Metrics {
    fn default() -> Self {
        let acquisition = || Histogram::new(&ACQUISITION_BOUNDS_US);
        Self {
            started: clock::mono(),
            ffmpeg_start_failures: Counter::default(),
            ffmpeg_deaths: Counter::default(),
            streams_started: Counter::default(),
            http_requests: Counter::default(),
            http_connections_refused: Counter::default(),
            discovery_answers: Counter::default(),
            control_requests: Counter::default(),
            control_connections_refused: Counter::default(),
            discovery_ignored: Counter::default(),
            ssdp_answers: Counter::default(),
            ssdp_ignored: Counter::default(),
            mdns_restarts: Counter::default(),
            playlist_loads: Counter::default(),
            playlist_failures: Counter::default(),
            guide_loads: Counter::default(),
            guide_failures: Counter::default(),
            panics: Counter::default(),
            snapshots_skipped: Counter::default(),
            loop_lag: Histogram::new(&LAG_BOUNDS_US),
            db_commit: Histogram::new(&COMMIT_BOUNDS_US),
            acquire_timeouts: Counter::default(),
            storms: Counter::default(),
            health_timeouts: Counter::default(),
            sweep_found: Counter::default(),
            probes_skipped: Counter::default(),
            spawns: Words::new(&KINDS),
            pulls: Words::new(&KINDS),
            refusals: Words::new(&REFUSALS),
            rejections: Words::new(&REJECTIONS),
            failures: Words::new(&FAILURES),
            probe_results: Words::new(&PROBE_RESULTS),
            sights: Words::new(&SIGHTS),
            rebuilds: Words::new(&REBUILDS),
            points: Words::new(&POINTS),
            acquired: acquisition(),
            acquired_not: [acquisition(), acquisition()],
            restarts: RefCell::default(),
            restarts_of: RefCell::default(),
            failures_of: RefCell::default(),
            breakers_left_out: Counter::default(),
            exposition: Exposition::default(),
        }
    }
}

impl Metrics {
    /// How long the daemon runs.
    pub fn uptime_s(&self, now: Mono) -> u64 {
        now.ms_since(self.started) / 1_000
    }

    /// Counts a viewer sent away by the engine.
    pub fn refused(&self, refusal: Refusal) {
        self.refusals.add(refusal_index(refusal));
        self.sometimes(Point::Refused);
        if matches!(refusal, Refusal::TunerInUse | Refusal::AllTunersInUse | Refusal::ShareInUse | Refusal::SlotStuck) {
            self.rejections.add(REJECTED_FOR_SLOT);
        }
        if !matches!(refusal, Refusal::Busy { .. } | Refusal::TuneFailed { .. } | Refusal::NoVideo { .. }) {
            let [_, refused] = &self.acquired_not;
            // Such a no is final and comes at once.
            refused.add_us(0);
        }
    }

    /// Counts a viewer who asked for a channel that there is not.
    pub fn refused_unknown_channel(&self) {
        self.refusals.add(REFUSALS.len() - 1);
    }

    /// Counts a child that was started.
    pub fn started(&self, kind: Kind, channel: ChannelId) {
        self.started_at(clock::mono(), kind, channel);
    }

    /// Counts a start that needed no child.
    pub fn pulled(&self, kind: Kind, channel: ChannelId) {
        self.pulls.add(kind as usize);
        self.began(clock::mono(), kind, channel);
    }

    fn started_at(&self, now: Mono, kind: Kind, channel: ChannelId) {
        self.spawns.add(kind as usize);
        self.began(now, kind, channel);
    }

    fn began(&self, now: Mono, kind: Kind, channel: ChannelId) {
        if kind == Kind::Probe {
            self.sometimes(Point::BreakerProbed);
        }
        if kind != Kind::Cold {
            self.restarts.borrow_mut().write(now);
            self.restarts_of.borrow_mut().add(channel);
        }
    }

    /// Counts what a probe of our own output found.
    pub fn probed(&self, result: ProbeResult) {
        self.probe_results.add(match result {
            ProbeResult::Healthy => 0,
            ProbeResult::Unhealthy => 1,
            ProbeResult::Unknown => 2,
        });
    }

    /// Counts what a channel shows from now on, if that is wrong.
    pub fn sighted(&self, sight: Sight) {
        if let Some(index) = Sight::BAD.iter().position(|bad| *bad == sight) {
            self.sights.add(index);
        }
    }

    /// Counts a lineup or a guide that was made anew.
    pub fn rebuilt(&self, what: Rebuilt) {
        self.rebuilds.add(what as usize);
    }

    /// Counts that a rare place was reached.
    pub fn sometimes(&self, point: Point) {
        self.points.add(point as usize);
    }

    /// Counts what the pool notes.
    pub fn note(&self, note: &Note) {
        match note {
            Note::Denied { deny, .. } => {
                self.rejections.add(rejection_index(deny));
                self.sometimes(match deny {
                    Deny::Draining => Point::DeniedDraining,
                    Deny::Open { .. } | Deny::RecordsFull => Point::DeniedBreaker,
                    Deny::Cooldown { .. } => Point::DeniedCooldown,
                    Deny::Throttled { .. } => Point::DeniedThrottle,
                    Deny::Short(_) => Point::DeniedShort,
                    Deny::Token { .. } => Point::DeniedToken,
                    Deny::AccountFull => Point::DeniedAccount,
                });
            }
            Note::Acquired { waited_ms, .. } => self.acquired.add_ms(*waited_ms),
            Note::AcquireTimeout { .. } => {
                self.acquire_timeouts.add(1);
                let [timeout, _] = &self.acquired_not;
                timeout.add_ms(limits::ACQUIRE_MS_MAX);
                self.sometimes(Point::AcquireTimedOut);
            }
            Note::Storm => self.storms.add(1),
            Note::Failed { channel, failure, .. } => {
                self.failures.add(*failure as usize);
                self.failures_of.borrow_mut().add((*channel, *failure));
                if *failure == Failure::Stall {
                    self.health_timeouts.add(1);
                }
            }
            Note::Opened { .. } => self.sometimes(Point::BreakerOpened),
            Note::Closed { .. } => self.sometimes(Point::BreakerClosed),
            Note::Inconclusive { .. } => self.sometimes(Point::BreakerInconclusive),
            Note::Stable { .. } => self.sometimes(Point::Stable),
            Note::SilenceWarning { .. } => self.sometimes(Point::SilenceWarned),
            Note::ProbeSkipped { .. } => {
                self.probes_skipped.add(1);
                self.sometimes(Point::ProbeSkipped);
            }
            Note::SweepFound { .. } => self.sweep_found.add(1),
            Note::Outage(true) => self.sometimes(Point::Outage),
            Note::Outage(false) => {}
        }
    }
}

/// What was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// The channels.
    Lineup,
    /// The guide.
    Guide,
}

#[cfg(test)]
mod tests;

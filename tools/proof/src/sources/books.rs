//! What the checker knows of channels, children and viewers; and the numbers of the specification once more.

use crate::spec::Ms;
use pure::model::lineup::Account;

/// Failures that open a breaker, their window for live sources, and its rest.
pub const FAILURES: usize = 5;
/// See [`FAILURES`].
pub const WINDOW: Ms = 300_000;
/// See [`FAILURES`].
pub const OPEN: Ms = 120_000;
/// Between two restarts of one source.
pub const COOLDOWN: Ms = 30_000;
/// Restarts of all channels in [`RESTARTS_SPAN`].
pub const RESTARTS: usize = 10;
/// See [`RESTARTS`].
pub const RESTARTS_SPAN: Ms = 60_000;
/// A token each.
pub const PERIOD: Ms = 200;
/// After a stream of an account that allows one.
pub const REST: Ms = 2_000;
/// Accounts do not all rest equally long: at most so much more.
pub const REST_JITTER: Ms = 375;
/// No first packet, where another source is ready, and where none is.
pub const START: [Ms; 2] = [5_000, 20_000];
/// Silence where another source is ready: of an attempt that is known, and of one that is new.
pub const SILENCE_SPARE: [Ms; 2] = [1_500, 12_000];
/// From the first packet until it is known.
pub const KNOWN: Ms = 30_000;
/// Silence of a first failure with viewers or of a probe, and of all others.
pub const SILENCE: [Ms; 2] = [20_000, 30_000];
/// So far behind its best, for so long.
pub const BEHIND: Ms = 3_000;
/// See [`BEHIND`].
pub const SLOW: Ms = 15_000;
/// How often that is looked at, at least.
pub const SLOW_LOOK: Ms = 2_000;
/// From the first packet to stable, and how old the last packet may be then.
pub const STABLE: [Ms; 2] = [30_000, 5_000];
/// A viewer's answer.
pub const TUNE: Ms = 10_000;
/// A viewer without a living child.
pub const GAP: Ms = 60_000;
/// A wait that makes a pre-empted start a failure.
pub const PREEMPTED: Ms = 5_000;
/// What may start starts within this.
pub const STUCK: Ms = 1_000;

/// A breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Spawns are allowed.
    #[default]
    Closed,
    /// None is until then, and a probe from then on.
    Open(Ms),
    /// This attempt decides.
    Half(u64),
}

/// A source of a channel.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Its breaker.
    pub state: State,
    /// When it failed.
    pub failures: Vec<Ms>,
    /// Its last restart or probe.
    pub restarted: Option<Ms>,
}

impl Origin {
    /// Failures strictly younger than the window.
    pub fn failures_len(&self, now: Ms) -> usize {
        self.failures.iter().filter(|at| **at + WINDOW > now).count()
    }

    /// Until when it may not be restarted.
    pub fn cools_until(&self) -> Ms {
        self.restarted.map_or(0, |at| at + COOLDOWN)
    }
}

/// A channel.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    /// Its sources' accounts, as told in the last Ask that was not refused at once.
    pub accounts: Vec<Option<Account>>,
    /// Told otherwise in an Ask that was refused at once: nobody knows which of them counts.
    pub is_vague: bool,
    /// Its sources' books.
    pub origins: Vec<Origin>,
    /// Since when it waits although it might start.
    pub ready_since: Option<Ms>,
}

impl Channel {
    /// Whether any of its sources has failed in its window.
    pub fn has_failed(&self, now: Ms) -> bool {
        self.origins.iter().any(|origin| origin.failures_len(now) > 0)
    }

    /// Whether all of its sources rest.
    pub fn rests(&self, now: Ms) -> bool {
        let rests = |origin: &Origin| matches!(origin.state, State::Open(until) if until > now);
        self.origins.iter().take(self.accounts.len()).all(rests)
    }

    /// When the first of them may be probed.
    pub fn rests_until(&self) -> Option<Ms> {
        let until = |origin: &Origin| match origin.state {
            State::Open(until) => Some(until),
            State::Closed | State::Half(_) => None,
        };
        self.origins.iter().take(self.accounts.len()).filter_map(until).min()
    }
}

/// A child, from its start until it is reaped.
#[derive(Clone, Debug)]
pub struct Child {
    /// Where.
    pub slot: u8,
    /// Which.
    pub generation: u64,
    /// What it plays.
    pub channel: usize,
    /// From which source.
    pub source: usize,
    /// What that is paid with.
    pub account: Option<Account>,
    /// When it was started.
    pub started: Ms,
    /// Its first packet.
    pub first: Option<Ms>,
    /// Its last packet that was told of.
    pub output: Ms,
    /// Its last piece of picture that was told of.
    pub picture: Ms,
    /// When that was told.
    pub heard: Ms,
    /// The longest silence between two packets.
    pub silent_max: Ms,
    /// The least that it was ever behind.
    pub best: Option<i64>,
    /// Since when it is too far behind that.
    pub behind_since: Option<Ms>,
    /// It was said to be stable.
    pub stable: bool,
    /// It is a probe.
    pub is_probe: bool,
    /// It has failed.
    pub failed: bool,
    /// It was asked to end.
    pub ends: bool,
    /// It cannot be reaped.
    pub is_lost: bool,
    /// The longest that somebody waited for its first packet and left.
    pub waited: Ms,
    /// Since when somebody watches.
    pub watched_since: Option<Ms>,
    /// Since when another source is ready, at every event.
    pub spare_since: Option<Ms>,
}

impl Child {
    /// Since when it is silent, or without a first packet.
    pub fn silent_since(&self) -> Ms {
        if self.first.is_none() { self.started } else { self.output.min(self.picture) }
    }

    /// The silence that is enough where another source is ready, before it is capped.
    pub fn spare_silence(&self) -> Ms {
        let is_new = self.output - self.first.unwrap_or(self.output) < KNOWN;
        SILENCE_SPARE[usize::from(is_new)].max(3 * self.silent_max + 1_000)
    }

    /// How far its clock has come.
    pub fn hear_pace(&mut self, now: Ms, played: Option<Ms>) {
        let (Some(first), Some(played)) = (self.first, played) else { return };
        let behind = (now - first) as i64 - played as i64;
        let best = self.best.map_or(behind, |best| best.min(behind));
        self.best = Some(best);
        if behind - best > (BEHIND + self.silent_max) as i64 {
            self.behind_since.get_or_insert(now);
        } else {
            self.behind_since = None;
        }
    }
}

/// A viewer who was not sent away.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    /// Who.
    pub id: u64,
    /// What he wants.
    pub channel: usize,
    /// When he asked.
    pub asked: Ms,
    /// He was answered with a picture.
    pub is_in: bool,
    /// Since when he has had none again.
    pub held: Option<Ms>,
}

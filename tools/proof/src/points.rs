//! What must have happened at least once, or the proof is hollow.
//!
//! The prototype's first simulator never reached the global throttle and so could not see two of its mutants. Since then
//! every denial, every failure and every turn of the rules is counted, and a run that missed one fails.

macro_rules! points {
    ($($name:ident = $text:literal,)*) => {
        /// Something that a run must reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each has its name in words")]
        pub enum Point { $($name,)* }

        impl Point {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

points! {
    Cold = "spawn: cold",
    Restart = "spawn: restart",
    Probe = "spawn: probe",
    DenyDraining = "denied: draining",
    DenyOpen = "denied: breaker",
    DenyCooldown = "denied: cooldown",
    DenyThrottled = "denied: throttle",
    DenyRecords = "denied: records",
    DenyFfmpeg = "denied: ffmpeg missing",
    DenyMemory = "denied: memory",
    DenyFds = "denied: descriptors",
    DenyHeat = "denied: heat",
    DenyToken = "denied: token",
    FailConnect = "failure: connect",
    FailDns = "failure: dns",
    FailAuth = "failure: auth",
    FailHttp = "failure: http",
    FailEarlyExit = "failure: early_exit",
    FailDisconnect = "failure: disconnect",
    FailStartTimeout = "failure: start_timeout",
    FailStall = "failure: stall",
    FailProbeUnhealthy = "failure: probe_unhealthy",
    FailNotTs = "failure: not_ts",
    FailCrash = "failure: crash",
    FailLimit = "failure: limit",
    FailOom = "failure: oom",
    FailConfig = "failure: config",
    FailPolicy = "failure: policy",
    Opened = "breaker: opened",
    Reopened = "breaker: probe failed, open again",
    Closed = "breaker: stable probe closed it",
    Inconclusive = "breaker: inconclusive probe",
    ResetOpen = "breaker: reset by a person",
    Stable = "attempt: stable",
    StallFirst = "silence: the short limit",
    StallClass = "silence: the limit of its class",
    SilenceWarning = "silence: warning",
    PreemptedQuiet = "pre-empted without verdict",
    PreemptedFailed = "pre-empted with verdict",
    LingerTaken = "linger: slot given to another",
    Freed = "linger: none, a person wants the tuner back",
    LingerOver = "linger: over",
    LingerJoined = "linger: joined again",
    Joined = "viewer joins a running child",
    JoinedProbe = "viewer joins a probe",
    JoinedStop = "viewer asks while the child stops",
    Acquired = "acquire: waited",
    AcquireTimeout = "acquire: timeout",
    Storm = "storm",
    OutageOn = "outage: on",
    OutageOff = "outage: off",
    Term = "ladder: SIGTERM",
    Kill = "ladder: SIGKILL",
    Quarantine = "ladder: quarantine",
    Unquarantined = "ladder: reaped after all",
    GapOpened = "gap: opened",
    GapBridged = "gap: bridged",
    GapClosed = "gap: closed",
    RefuseDraining = "refused: draining",
    RefuseShort = "refused: board is short",
    RefuseFull = "refused: viewers full",
    RefuseStuck = "refused: slot stuck",
    RefuseBusy = "refused: busy",
    RefuseTuner = "refused: tuner in use",
    RefuseAll = "refused: all tuners in use",
    RefuseFailed = "refused: tune failed",
    RefuseNoVideo = "refused: no video",
    RefuseResting = "refused: resting",
    RefuseMisconfigured = "refused: misconfigured",
    EarlyRefusal = "refused: next restart is too late for him",
    TuneDeadline = "refused: tune deadline",
    Unsuited = "unsuited: started again, encoding more",
    SpawnFailed = "spawn failed in the kernel",
    ClockEnd = "clock class: nobody's failure",
    Look = "ffprobe: look",
    LookHealthy = "ffprobe: healthy",
    LookUnhealthy = "ffprobe: unhealthy",
    LookUnknown = "ffprobe: unknown",
    LookSkipped = "ffprobe: skipped",
    Stale = "stale report ignored",
    Recall = "recalled after a crash",
    RecallOpen = "recalled with an open breaker",
    ReservationCounts = "reservation refuses what memory alone would carry",
    Drained = "drained with children",
}

/// How often each was reached.
#[derive(Clone, Debug)]
pub struct Counts(Vec<u64>);

impl Default for Counts {
    fn default() -> Self {
        Self(vec![0; Point::ALL.len()])
    }
}

impl Counts {
    /// Once more.
    pub fn hit(&mut self, point: Point) {
        self.0[point as usize] += 1;
    }

    /// How often.
    pub fn of(&self, point: Point) -> u64 {
        self.0[point as usize]
    }

    /// Takes those of another run in.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// Those never reached, out of `wanted`.
    pub fn missing(&self, wanted: &[Point]) -> Vec<Point> {
        wanted.iter().copied().filter(|point| self.of(*point) == 0).collect()
    }
}

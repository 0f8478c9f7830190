//! The numbers of the specification, written down once more.
//!
//! The observer judges by these, and not by `pure::limits`: a number that is changed there by mistake shows as a
//! violation here. Whoever changes one on purpose changes it in both places. The explorer has smaller numbers, and gives
//! them to the rules as well.

use pure::model::lineup::SourceClass;
use pure::rules::constants::Rules;

/// Milliseconds; points of time and spans alike.
pub type Ms = u64;

const MIB: u64 = 1 << 20;

/// The numbers. Each names its rule.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// B2: failures that open.
    pub failures: usize,
    /// B3: the shortest window.
    pub window_min: Ms,
    /// B5: rest of an open breaker.
    pub open: Ms,
    /// Q1: between two restarts of a channel.
    pub cooldown: Ms,
    /// R1: restarts of all channels...
    pub restarts: usize,
    /// R1: ...in this span.
    pub throttle_window: Ms,
    /// T2: five a second.
    pub period: Ms,
    /// T2: so many at once, or twice the slots if that is less.
    pub burst_max: u64,
    /// A1: an acquisition.
    pub acquire: Ms,
    /// W1: silence of a live source.
    pub silence_live: Ms,
    /// W1: silence of a file.
    pub silence_file: Ms,
    /// W2, B7: silence of a first failure with viewers, and of a probe.
    pub silence_first: Ms,
    /// W1: the sweep.
    pub sweep: Ms,
    /// 5-0: stable after.
    pub stable: Ms,
    /// 5-0: with a last packet not older than.
    pub fresh: Ms,
    /// 5-F: a first byte by then.
    pub start: Ms,
    /// V1: an answer by then.
    pub tune: Ms,
    /// V2: after the last viewer.
    pub linger: Ms,
    /// V3: a viewer without a living child.
    pub gap: Ms,
    /// 5-K: SIGTERM to SIGKILL.
    pub term: Ms,
    /// 5-K: SIGKILL to quarantine.
    pub reap: Ms,
    /// F3: who waited so long makes a pre-empted start a failure.
    pub preempted: Ms,
    /// 5-F: a usage error comes sooner than this.
    pub usage: Ms,
    /// P1: from the end of one look with ffprobe to the next; `None`: no looks.
    pub probe_every: Option<Ms>,
    /// P4: so long unhealthy...
    pub unhealthy: Ms,
    /// P4: ...and so often.
    pub unhealthy_looks: u32,
    /// 5-P, G8: looks at once.
    pub probes: usize,
    /// G7: reservation after the first byte.
    pub reservation: Ms,
    /// How often admission is asked again for viewers who hold on.
    pub admission_retry: Ms,
}

/// G7: memory of a child that copies, of one that encodes, and what stays.
pub const COPY_BYTES: u64 = 64 * MIB;
/// See [`COPY_BYTES`].
pub const SOUND_BYTES: u64 = 80 * MIB;
/// See [`COPY_BYTES`].
pub const ENCODE_BYTES: u64 = 160 * MIB;
/// See [`COPY_BYTES`].
pub const RESERVE_BYTES: u64 = 96 * MIB;
/// G7: descriptors of a child.
pub const CHILD_FDS: u32 = 12;
/// G7: descriptors that stay.
pub const RESERVE_FDS: u32 = 32;
/// G7: nothing is encoded above 82 °C.
pub const HEAT_MILLI_C: i32 = 82_000;
/// So many ill channels are remembered at least; those that have recovered are forgotten with the next sweep.
pub const RECORDS_MIN: usize = 1_800;
/// Viewers at once.
pub const VIEWERS: usize = 256;

impl Spec {
    /// The specification as it stands.
    pub const PLAN: Self = Self {
        failures: 5,
        window_min: 300_000,
        open: 120_000,
        cooldown: 30_000,
        restarts: 10,
        throttle_window: 60_000,
        period: 200,
        burst_max: 10,
        acquire: 90_000,
        silence_live: 30_000,
        silence_file: 180_000,
        silence_first: 20_000,
        sweep: 30_000,
        stable: 30_000,
        fresh: 5_000,
        start: 20_000,
        tune: 10_000,
        linger: 5_000,
        gap: 60_000,
        term: 2_000,
        reap: 5_000,
        preempted: 5_000,
        usage: 500,
        probe_every: Some(3_000),
        unhealthy: 30_000,
        unhealthy_looks: 3,
        probes: 1,
        reservation: 10_000,
        admission_retry: 1_000,
    };

    /// W1.
    pub fn silence(&self, class: SourceClass) -> Ms {
        match class {
            SourceClass::Live => self.silence_live,
            SourceClass::File => self.silence_file,
        }
    }

    /// B3: W = max(300 s, 5 × (silence + 30 s)).
    pub fn window(&self, class: SourceClass) -> Ms {
        self.window_min.max(self.failures as u64 * (self.silence(class) + self.sweep))
    }

    /// T2: min(10, 2N).
    pub fn burst(&self, slots_len: usize) -> u64 {
        self.burst_max.min(2 * slots_len as u64).max(1)
    }

    /// What the rules are to run with, where they do not run with their own numbers.
    pub fn rules(&self) -> Rules {
        Rules {
            failures_max: self.failures,
            window_ms_min: self.window_min,
            open_ms: self.open,
            cooldown_ms: self.cooldown,
            restarts_max: self.restarts,
            throttle_window_ms: self.throttle_window,
            spawn_period_ms: self.period,
            spawn_burst_max: self.burst_max as u32,
            acquire_attempt_ms: self.acquire * 12 / 90,
            admission_retry_ms: self.admission_retry,
            silence_live_ms: self.silence_live,
            silence_file_ms: self.silence_file,
            silence_first_ms: self.silence_first,
            sweep_ms: self.sweep,
            stable_ms: self.stable,
            stable_fresh_ms: self.fresh,
            start_timeout_ms: self.start,
            tune_deadline_ms: self.tune,
            linger_ms: self.linger,
            gap_ms: self.gap,
            reservation_ms: self.reservation,
            term_ms: self.term,
            reap_ms: self.reap,
            preempted_wait_ms: self.preempted,
            probe_every_ms: self.probe_every,
            unhealthy_ms: self.unhealthy,
            // What only channels with several sources, or with accounts, need: see `crate::sources`.
            failover_silence_ms: [1_500, 12_000],
            failover_start_ms: 5_000,
            failover_learn_ms: 30_000,
            account_rest_ms: 2_000,
            early_headers: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_run_with_the_numbers_of_the_specification() {
        assert_eq!(Spec::PLAN.rules(), Rules::DEFAULT);
    }
}

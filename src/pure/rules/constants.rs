//! The guard's numbers as one value.
//!
//! The daemon runs with [`Rules::DEFAULT`], which repeats `limits.rs`. Other values exist for proofs only: an explorer
//! that walks through every state needs small numbers. No setting reaches here.

use crate::limits;
use crate::model::lineup::SourceClass;

/// The guard's numbers. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Failures within the window that open a breaker; at most [`limits::FAILURES_MAX`].
    pub failures_max: usize,
    /// The shortest window.
    pub window_ms_min: u64,
    /// How long a breaker rests.
    pub open_ms: u64,
    /// Between two restarts of one channel.
    pub cooldown_ms: u64,
    /// Restarts of all channels within the throttle's window; at most [`limits::RESTARTS_MAX`].
    pub restarts_max: usize,
    /// The throttle's window.
    pub throttle_window_ms: u64,
    /// Between two spawns in the long run.
    pub spawn_period_ms: u64,
    /// Spawns at once, for many slots; for few it is twice their number.
    pub spawn_burst_max: u32,
    /// One wait for slot and token within an acquisition.
    pub acquire_attempt_ms: u64,
    /// How long after its first packet a child's memory is still promised rather than taken.
    pub reservation_ms: u64,
    /// How often admission is asked again for viewers who hold on.
    pub admission_retry_ms: u64,
    /// Silence of a live source.
    pub silence_live_ms: u64,
    /// Silence of a file.
    pub silence_file_ms: u64,
    /// Silence at a first failure with viewers, and of a probe.
    pub silence_first_ms: u64,
    /// The same where another source is ready: at least so long, for an attempt that has shown how it comes, and for one
    /// that has not.
    pub failover_silence_ms: [u64; 2],
    /// No first packet, where another source is ready.
    pub failover_start_ms: u64,
    /// From an attempt's first packet until it has shown how it comes.
    pub failover_learn_ms: u64,
    /// So long a stream of an account counts after its end.
    pub account_rest_ms: u64,
    /// Between two sweeps; only the failure window is derived from it.
    pub sweep_ms: u64,
    /// From the first packet to stable.
    pub stable_ms: u64,
    /// Age of the last packet when stable.
    pub stable_fresh_ms: u64,
    /// No first packet.
    pub start_timeout_ms: u64,
    /// A viewer's answer.
    pub tune_deadline_ms: u64,
    /// After the last viewer.
    pub linger_ms: u64,
    /// A viewer without a living child.
    pub gap_ms: u64,
    /// SIGTERM to SIGKILL.
    pub term_ms: u64,
    /// SIGKILL to giving up.
    pub reap_ms: u64,
    /// A wait for a pre-empted start that makes it a failure.
    pub preempted_wait_ms: u64,
    /// From the end of one look at the output to the next; `None`: the output is not looked at with ffprobe.
    pub probe_every_ms: Option<u64>,
    /// Unwatchable output before a restart.
    pub unhealthy_ms: u64,
    /// Whether viewers get their head, and packets that carry nothing, before there is a picture.
    pub early_headers: bool,
}

impl Rules {
    /// What the daemon runs with.
    pub const DEFAULT: Self = Self {
        failures_max: limits::FAILURES_MAX,
        window_ms_min: limits::FAILURE_WINDOW_MS_MIN,
        open_ms: limits::BREAKER_OPEN_MS,
        cooldown_ms: limits::COOLDOWN_MS,
        restarts_max: limits::RESTARTS_MAX,
        throttle_window_ms: limits::THROTTLE_WINDOW_MS,
        spawn_period_ms: limits::SPAWN_PERIOD_MS,
        spawn_burst_max: limits::SPAWN_BURST_MAX,
        acquire_attempt_ms: limits::ACQUIRE_ATTEMPT_MS,
        reservation_ms: limits::RESERVATION_MS,
        admission_retry_ms: limits::ADMISSION_RETRY_MS,
        silence_live_ms: limits::SILENCE_LIVE_MS,
        silence_file_ms: limits::SILENCE_FILE_MS,
        silence_first_ms: limits::SILENCE_FIRST_MS,
        failover_silence_ms: [limits::FAILOVER_SILENCE_MS, limits::FAILOVER_SILENCE_NEW_MS],
        failover_start_ms: limits::FAILOVER_START_MS,
        failover_learn_ms: limits::FAILOVER_LEARN_MS,
        account_rest_ms: limits::ACCOUNT_REST_MS,
        sweep_ms: limits::SWEEP_MS,
        stable_ms: limits::STABLE_MS,
        stable_fresh_ms: limits::STABLE_FRESH_MS,
        start_timeout_ms: limits::START_TIMEOUT_MS,
        tune_deadline_ms: limits::TUNE_DEADLINE_MS,
        linger_ms: limits::LINGER_MS,
        gap_ms: limits::GAP_MS,
        term_ms: limits::TERM_MS,
        reap_ms: limits::REAP_MS,
        preempted_wait_ms: limits::PREEMPTED_WAIT_MS,
        probe_every_ms: Some(limits::PROBE_EVERY_MS),
        unhealthy_ms: limits::UNHEALTHY_MS,
        early_headers: false,
    };

    /// Silence after which a source of this class has stalled.
    pub const fn silence_ms(&self, class: SourceClass) -> u64 {
        match class {
            SourceClass::Live => self.silence_live_ms,
            SourceClass::File => self.silence_file_ms,
        }
    }

    /// The window in which failures of a source of this class are counted together: wide enough that as many
    /// silences as open the breaker fall into it (B3).
    pub fn window_ms(&self, class: SourceClass) -> u64 {
        let silences = self.failures_max as u64 * (self.silence_ms(class) + self.sweep_ms);
        self.window_ms_min.max(silences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_silences_fit_into_the_window_of_every_class() {
        assert_eq!(Rules::DEFAULT.window_ms(SourceClass::Live), 300_000);
        assert_eq!(Rules::DEFAULT.window_ms(SourceClass::File), 1_050_000);
    }
}

//! The one gate that every child process passes, and the permit it mints.
//!
//! Order: draining, then admission, then a token; the token is consumed and therefore last. Breaker, cooldown and
//! throttle are to stand between the first two. A denial leaves no trace. After any wait everything is asked again.
//!
//! A permit cannot be made elsewhere:
//!
//! ```
//! fn spend(permit: pure::rules::gate::SpawnPermit) {
//!     drop(permit);
//! }
//! ```
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::SpawnPermit) {
//!     drop(permit);
//! }
//! spend(pure::rules::gate::SpawnPermit { _minted: () });
//! ```
//! nor used twice:
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::SpawnPermit) {
//!     drop(permit);
//!     drop(permit);
//! }
//! ```

use crate::limits::{SPAWN_BURST_MAX, SPAWN_PERIOD_MS};
use crate::rules::admission::{BoardFacts, Short, Work, admit};
use crate::rules::bucket::Bucket;
use crate::time::Mono;

/// Permission to start one child process. Only [`Gate::commit`] makes one; starting takes it by value.
#[must_use = "a permit that is not spent is a spawn that was counted and never happened"]
#[derive(Debug)]
pub struct SpawnPermit {
    _minted: (),
}

/// Why no child may start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deny {
    /// The daemon is stopping.
    Draining,
    /// The board cannot carry it.
    Short(Short),
    /// The limiter has no token; ask again at this time.
    Token {
        /// When there will be one.
        ready_at: Mono,
    },
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    bucket: Bucket,
    draining: bool,
}

impl Gate {
    /// A gate for a pool of `slots_len` slots.
    pub fn new(slots_len: usize) -> Self {
        let burst = u32::try_from(2 * slots_len).unwrap_or(SPAWN_BURST_MAX).min(SPAWN_BURST_MAX);
        Self { bucket: Bucket::new(SPAWN_PERIOD_MS, burst), draining: false }
    }

    /// Closes the gate for good.
    pub fn close(&mut self) {
        self.draining = true;
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.draining
    }

    /// From when on the limiter has a token; in the past when it has one.
    pub fn token_ready_at(&self) -> Mono {
        self.bucket.ready_at()
    }

    /// Asks whether a child may start now, and changes nothing.
    ///
    /// `reserved_bytes`: memory promised to children that have not grown into it yet.
    ///
    /// # Errors
    /// [`Deny`], with the most final reason first.
    pub fn check(&self, now: Mono, facts: &BoardFacts, work: Work, reserved_bytes: u64) -> Result<(), Deny> {
        if self.draining {
            return Err(Deny::Draining);
        }
        admit(facts, work, reserved_bytes).map_err(Deny::Short)?;
        let ready_at = self.bucket.ready_at();
        if ready_at > now { Err(Deny::Token { ready_at }) } else { Ok(()) }
    }

    /// Asks again and, if the answer is yes, takes the token and mints the permit.
    ///
    /// # Errors
    /// As [`Gate::check`].
    pub fn commit(
        &mut self,
        now: Mono,
        facts: &BoardFacts,
        work: Work,
        reserved_bytes: u64,
    ) -> Result<SpawnPermit, Deny> {
        self.check(now, facts, work, reserved_bytes)?;
        assert!(self.bucket.take(now), "a token was there a moment ago");
        Ok(SpawnPermit { _minted: () })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: BoardFacts =
        BoardFacts { memory_available_bytes: None, fds_open: 0, fds_limit: 1024, ffmpeg_present: true };

    #[test]
    fn the_most_final_reason_comes_first() {
        let mut gate = Gate::new(1);
        let bare = BoardFacts::default();
        assert_eq!(gate.check(Mono(0), &bare, Work::Copy, 0), Err(Deny::Short(Short::Ffmpeg)));
        gate.close();
        assert_eq!(gate.check(Mono(0), &bare, Work::Copy, 0), Err(Deny::Draining));
        assert_eq!(gate.commit(Mono(0), &PLENTY, Work::Copy, 0).map(drop), Err(Deny::Draining));
    }

    #[test]
    fn a_denial_takes_no_token() {
        let mut gate = Gate::new(1);
        for _ in 0..100 {
            assert!(gate.commit(Mono(0), &BoardFacts::default(), Work::Copy, 0).is_err());
        }
        for _ in 0..2 {
            assert!(gate.commit(Mono(0), &PLENTY, Work::Copy, 0).is_ok());
        }
        assert_eq!(
            gate.commit(Mono(0), &PLENTY, Work::Copy, 0).map(drop),
            Err(Deny::Token { ready_at: Mono(200) }),
            "two tokens for one slot, then one each 200 ms"
        );
    }
}

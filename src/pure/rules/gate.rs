//! The one gate that every child process passes, and the permits it mints.
//!
//! Order: draining, breaker, cooldown, throttle, (a stream of the provider's and a slot, which [`crate::rules::pool`]
//! finds), admission, a token. The
//! most final reason comes first; the token is consumed and therefore last. A denial leaves no trace. After any wait
//! everything is asked again.
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
//! nor copied:
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::SpawnPermit) {
//!     drop(permit.clone());
//!     drop(permit);
//! }
//! ```
//! The permits of ffprobe, of a glance, of an encoder's trial, of a signature's check, and of a slate are other ones, and
//! no better to be had:
//! ```
//! fn spend(permit: pure::rules::gate::ProbePermit) {
//!     drop(permit);
//! }
//! ```
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::ProbePermit) {
//!     drop(permit);
//! }
//! spend(pure::rules::gate::ProbePermit { _minted: () });
//! ```
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::SpawnPermit) {
//!     drop(permit);
//! }
//! fn cheat(permit: pure::rules::gate::ProbePermit) {
//!     spend(permit);
//! }
//! ```
//! ```
//! fn spend(permit: pure::rules::gate::TrialPermit) {
//!     drop(permit);
//! }
//! ```
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::TrialPermit) {
//!     drop(permit);
//! }
//! spend(pure::rules::gate::TrialPermit { _minted: () });
//! ```
//! ```
//! fn spend(permit: pure::rules::gate::CheckPermit) {
//!     drop(permit);
//! }
//! ```
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::CheckPermit) {
//!     drop(permit);
//! }
//! spend(pure::rules::gate::CheckPermit { _minted: () });
//! ```
//! ```
//! fn spend(permit: pure::rules::gate::SlatePermit) {
//!     drop(permit);
//! }
//! ```
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::SlatePermit) {
//!     drop(permit);
//! }
//! spend(pure::rules::gate::SlatePermit { _minted: () });
//! ```
//! ```
//! fn spend(permit: pure::rules::gate::GlancePermit) {
//!     drop(permit);
//! }
//! ```
//! ```compile_fail
//! fn spend(permit: pure::rules::gate::GlancePermit) {
//!     drop(permit);
//! }
//! spend(pure::rules::gate::GlancePermit { _minted: () });
//! ```

use crate::limits::{RECORDS_MAX, RETRY_AFTER_MS_MAX};
use crate::model::lineup::{Account, ChannelId, Origin, SourceClass};
use crate::model::profile::Profile;
use crate::rules::admission::{BoardFacts, Short, Work, admit};
use crate::rules::breaker::Breakers;
use crate::rules::bucket::Bucket;
use crate::rules::constants::Rules;
use crate::rules::failure::Failure;
use crate::rules::throttle::Throttle;
use crate::time::Mono;
use core::fmt;

/// Permission to start one child process. Only [`Gate::commit`] makes one; starting takes it by value.
#[must_use = "a permit that is not spent is a spawn that was counted and never happened"]
#[derive(Debug)]
pub struct SpawnPermit {
    _minted: (),
}

/// Permission to start ffprobe once. Only [`Gate::permit_probe`] makes one.
#[must_use = "a permit that is not spent is a look that never happened"]
#[derive(Debug)]
pub struct ProbePermit {
    _minted: (),
}

/// Permission to decode one picture of our output. Only [`Gate::permit_glance`] makes one.
#[must_use = "a permit that is not spent is a glance that never happened"]
#[derive(Debug)]
pub struct GlancePermit {
    _minted: (),
}

/// Permission to try an encoder once. Only [`Gate::permit_trial`] makes one.
#[must_use = "a permit that is not spent is a trial that never happened"]
#[derive(Debug)]
pub struct TrialPermit {
    _minted: (),
}

/// Permission to have a signature checked once. Only [`Gate::permit_check`] makes one.
#[must_use = "a permit that is not spent is a check that never happened"]
#[derive(Debug)]
pub struct CheckPermit {
    _minted: (),
}

/// Permission to make a slate once. Only [`Gate::permit_slate`] makes one.
#[must_use = "a permit that is not spent is a slate that was never made"]
#[derive(Debug)]
pub struct SlatePermit {
    _minted: (),
}

/// What a spawn is. Who asked for it plays no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The channel has no failure in its window.
    Cold,
    /// It has.
    Restart,
    /// Its breaker is OPEN, and this one decides whether it closes.
    Probe,
}

/// Who wants to start, and what it takes.
///
/// What a slot plays is one *picture*: a channel in a profile. Whoever wants the same one shares it. Failures, cooldown
/// and breaker are its source's, whatever the picture. A spawn is a restart while any source of the channel has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The channel.
    pub channel: ChannelId,
    /// Which of its sources.
    pub source: u8,
    /// What that one is paid with, if that has a limit.
    pub account: Option<Account>,
    /// What its source is.
    pub class: SourceClass,
    /// What the child has to do.
    pub work: Work,
}

impl Wish {
    /// Which source of which channel.
    pub const fn origin(&self) -> Origin {
        Origin { channel: self.channel, source: self.source }
    }

    /// Whether the same child would do for both.
    pub fn is_same_picture(&self, other: &Self) -> bool {
        self.channel == other.channel && self.work.profile() == other.work.profile()
    }

    /// Whether a child that nobody watches should end before `other` starts.
    pub fn is_in_the_way_of(&self, other: &Self) -> bool {
        let transcodes = |wish: &Self| wish.work.profile() != Profile::None;
        self.channel == other.channel || transcodes(self) && transcodes(other)
    }
}

/// Why no child may start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deny {
    /// The daemon is stopping.
    Draining,
    /// The channel's breaker rests.
    Open {
        /// Until then.
        until: Mono,
        /// What opened it.
        failure: Failure,
    },
    /// The channel was restarted a moment ago.
    Cooldown {
        /// When it may be again.
        until: Mono,
    },
    /// All channels together were restarted too often.
    Throttled {
        /// When the next one may be.
        until: Mono,
    },
    /// All streams that the provider allows at once are in use.
    AccountFull,
    /// So many sources failed lately that no more can be remembered.
    RecordsFull,
    /// The board cannot carry it.
    Short(Short),
    /// The limiter has no token; ask again at this time.
    Token {
        /// When there will be one.
        ready_at: Mono,
    },
}

/// The gate.
#[derive(Clone, Debug)]
pub struct Gate {
    rules: Rules,
    bucket: Bucket,
    throttle: Throttle,
    breakers: Breakers,
    draining: bool,
    /// Grows with everything that a crash must not make forgotten.
    revision: u64,
}

impl Gate {
    /// A gate for a pool of `slots_len` slots.
    pub fn new(slots_len: usize, rules: Rules) -> Self {
        let burst = u32::try_from(2 * slots_len).unwrap_or(u32::MAX).min(rules.spawn_burst_max);
        Self {
            bucket: Bucket::new(rules.spawn_period_ms, burst),
            throttle: Throttle::default(),
            breakers: Breakers::default(),
            draining: false,
            revision: 0,
            rules,
        }
    }

    /// Which state [`Gate::remember`] would write down: the same number, the same text, but for what only time changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Closes the gate for good.
    pub fn close(&mut self) {
        self.draining = true;
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.draining
    }

    /// The channels' breakers, to look at.
    pub fn breakers(&self) -> &Breakers {
        &self.breakers
    }

    /// The restart ledger, to look at.
    pub fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// The first half of the questions, which need no slot: draining, breaker, cooldown, throttle.
    ///
    /// # Errors
    /// [`Deny`], with the most final reason first.
    pub fn check_source(&self, now: Mono, origin: Origin) -> Result<Kind, Deny> {
        if self.draining {
            return Err(Deny::Draining);
        }
        let kind = match self.breakers.open(origin) {
            Some((failure, until)) if until > now => return Err(Deny::Open { until, failure }),
            Some(_) => Kind::Probe,
            None if self.breakers.has_failed(now, origin.channel) => Kind::Restart,
            None => Kind::Cold,
        };
        if kind != Kind::Cold {
            let until = self.breakers.cooldown_until(origin, &self.rules);
            if until > now {
                return Err(Deny::Cooldown { until });
            }
            let until = self.throttle.ready_at(&self.rules);
            if until > now {
                return Err(Deny::Throttled { until });
            }
        }
        Ok(kind)
    }

    /// The earliest moment at which breaker, cooldown and throttle would all agree, as far as is known now. A viewer who
    /// comes back then is not sent away for the next of these reasons.
    pub fn next_start_at(&self, now: Mono, origin: Origin) -> Mono {
        let open_until = self.breakers.open(origin).map(|(_, until)| until);
        if open_until.is_none() && !self.breakers.has_failed(now, origin.channel) {
            return now;
        }
        let cooldown_until = self.breakers.cooldown_until(origin, &self.rules);
        let throttled_until = self.throttle.ready_at(&self.rules);
        now.max(open_until.unwrap_or(now)).max(cooldown_until).max(throttled_until)
    }

    /// The questions between slot and token: room to remember a failure, and what the board has left.
    ///
    /// `reserved_bytes`: memory promised to children that have not grown into it yet.
    ///
    /// # Errors
    /// [`Deny::RecordsFull`] and [`Deny::Short`].
    pub fn check_board(&self, facts: &BoardFacts, wish: Wish, reserved_bytes: u64) -> Result<(), Deny> {
        if !self.breakers.has_room_for(wish.origin()) {
            return Err(Deny::RecordsFull);
        }
        admit(facts, wish.work, reserved_bytes).map_err(Deny::Short)
    }

    /// Asks everything and, if the answer is yes, writes it all down in one step and mints the permit.
    ///
    /// # Errors
    /// [`Deny`], with the most final reason first; nothing has changed then.
    pub fn commit(
        &mut self,
        now: Mono,
        facts: &BoardFacts,
        wish: Wish,
        reserved_bytes: u64,
    ) -> Result<(SpawnPermit, Kind), Deny> {
        let kind = self.check_source(now, wish.origin())?;
        self.check_board(facts, wish, reserved_bytes)?;
        if !self.bucket.take(now) {
            return Err(Deny::Token { ready_at: self.bucket.ready_at() });
        }
        if kind != Kind::Cold {
            self.revision += 1;
            self.throttle.add(now);
            self.breakers.restarted(now, wish.origin(), wish.class, &self.rules);
        }
        if kind == Kind::Probe {
            self.breakers.probing(wish.origin());
        }
        Ok((SpawnPermit { _minted: () }, kind))
    }

    /// Permits one look at our output, if the board can carry it. It is no restart and takes no token: how many there
    /// are at once, and how often, is bounded by [`crate::rules::pool`].
    pub fn permit_probe(&self, facts: &BoardFacts, reserved_bytes: u64) -> Option<ProbePermit> {
        let admitted = !self.draining && admit(facts, Work::Copy, reserved_bytes).is_ok();
        admitted.then_some(ProbePermit { _minted: () })
    }

    /// Permits one glance at our output, likewise. Who decodes needs as much as who encodes, and a box that is hot has
    /// better things to do.
    pub fn permit_glance(&self, facts: &BoardFacts, reserved_bytes: u64) -> Option<GlancePermit> {
        let admitted = !self.draining && admit(facts, Work::Encode, reserved_bytes).is_ok();
        admitted.then_some(GlancePermit { _minted: () })
    }

    /// Permits one trial of an encoder, likewise. One is made at a time, and only while nobody needs the board; that is
    /// [`crate::rules::pool`]'s to know.
    pub fn permit_trial(&self, facts: &BoardFacts, reserved_bytes: u64) -> Option<TrialPermit> {
        let admitted = !self.draining && admit(facts, Work::Encode, reserved_bytes).is_ok();
        admitted.then_some(TrialPermit { _minted: () })
    }

    /// Permits one check of an update's signature, likewise. It needs no FFmpeg; that one is made at a time is the
    /// update room's to know.
    pub fn permit_check(&self, facts: &BoardFacts, reserved_bytes: u64) -> Option<CheckPermit> {
        let facts = BoardFacts { ffmpeg_present: true, ..*facts };
        let admitted = !self.draining && admit(&facts, Work::Copy, reserved_bytes).is_ok();
        admitted.then_some(CheckPermit { _minted: () })
    }

    /// Permits the making of one slate, likewise. `reserved_bytes` has to count those who wait for a start as well:
    /// their memory is not to be had. That one is made at a time is the engine's to know.
    pub fn permit_slate(&self, facts: &BoardFacts, reserved_bytes: u64) -> Option<SlatePermit> {
        let admitted = !self.draining && admit(facts, Work::Encode, reserved_bytes).is_ok();
        admitted.then_some(SlatePermit { _minted: () })
    }

    /// Somebody asks for a channel, and this is what its source is today: the owner may have changed it since a failure.
    pub fn asked(&mut self, wish: Wish) {
        self.breakers.set_class(wish.origin(), wish.class, &self.rules);
    }

    /// A living attempt that is no probe failed while its channel's probe lives; see [`Breakers::fail_beside_probe`].
    pub fn fail_beside_probe(&mut self, now: Mono, origin: Origin, failure: Failure) {
        self.revision += 1;
        self.breakers.fail_beside_probe(now, origin, failure);
    }

    /// A living attempt failed; see [`Breakers::fail`].
    pub fn fail(&mut self, now: Mono, wish: Wish, failure: Failure) -> Option<Mono> {
        self.revision += 1;
        self.breakers.fail(now, wish.origin(), wish.class, failure, &self.rules)
    }

    /// The source of a failed attempt wants to be left alone for so long.
    pub fn wait(&mut self, now: Mono, origin: Origin, retry_ms: u64) {
        self.revision += 1;
        self.breakers.wait(origin, now.plus_ms(retry_ms.min(RETRY_AFTER_MS_MAX)), &self.rules);
    }

    /// The probe is stable.
    pub fn close_breaker(&mut self, origin: Origin) {
        self.revision += 1;
        self.breakers.close(origin);
    }

    /// The probe ended without a verdict.
    pub fn inconclusive(&mut self, now: Mono, origin: Origin) {
        self.revision += 1;
        self.breakers.inconclusive(now, origin);
    }

    /// A person wants one probe now.
    pub fn reset(&mut self, now: Mono, channel: ChannelId) {
        self.revision += 1;
        self.breakers.reset(now, channel);
    }

    /// Forgets what no longer matters.
    pub fn tidy(&mut self, now: Mono) {
        self.breakers.tidy(now, &self.rules);
    }

    pub(super) fn fingerprint(&self, now: Mono, hasher: &mut impl core::hash::Hasher) {
        use core::hash::Hash as _;
        (self.bucket.full_at().ms_since(now), self.draining).hash(hasher);
        self.throttle.fingerprint(now, &self.rules, hasher);
        self.breakers.fingerprint(now, &self.rules, hasher);
    }

    // ---- The snapshot -----------------------------------------------------------------------------------------------

    /// Writes what a crash of the daemon must not make forgotten: the restart ledger, breakers and cooldowns.
    ///
    /// # Errors
    /// What `out` said.
    pub fn remember(&self, out: &mut impl fmt::Write) -> fmt::Result {
        for at in self.throttle.restarts() {
            writeln!(out, "restart {}", at.0)?;
        }
        self.breakers.remember(out)
    }

    /// Takes that back. Lines that it does not understand are left out. After an unclean end the limiter starts with a
    /// single token.
    pub fn recall(&mut self, now: Mono, text: &str, clean: bool) {
        for line in text.lines().take(RECORDS_MAX + 2 * crate::limits::RESTARTS_MAX) {
            match line.split_once(' ') {
                Some(("restart", at)) => {
                    if let Ok(at) = at.parse() {
                        self.throttle.add(Mono(at).min(now));
                    }
                }
                Some(("channel", rest)) => self.breakers.recall(now, rest).unwrap_or_default(),
                _ => {}
            }
        }
        if !clean {
            self.bucket.drain_to_one(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    const PLENTY: BoardFacts = BoardFacts {
        memory_available_bytes: None,
        fds_open: 0,
        fds_limit: 1024,
        ffmpeg_present: true,
        heat_milli_c: None,
    };
    const CHANNEL: ChannelId = ChannelId(7);
    const WISH: Wish = Wish { channel: CHANNEL, source: 0, account: None, class: SourceClass::Live, work: Work::Copy };

    fn gate() -> Gate {
        Gate::new(4, Rules::DEFAULT)
    }

    fn commit(gate: &mut Gate, at: u64) -> Result<Kind, Deny> {
        gate.commit(Mono(at), &PLENTY, WISH, 0).map(|(permit, kind)| {
            drop(permit);
            kind
        })
    }

    #[test]
    fn the_most_final_reason_comes_first() {
        let mut gate = gate();
        for at in 0..5 {
            gate.fail(Mono(at), WISH, Failure::Http);
        }
        let bare = BoardFacts::default();
        let open = Deny::Open { until: Mono(120_004), failure: Failure::Http };
        assert_eq!(gate.commit(Mono(10), &bare, WISH, 0).map(|_| ()), Err(open));
        assert_eq!(commit(&mut gate, 120_003), Err(open));
        assert_eq!(gate.commit(Mono(120_004), &bare, WISH, 0).map(|_| ()), Err(Deny::Short(Short::Ffmpeg)));
        assert_eq!(commit(&mut gate, 120_004), Ok(Kind::Probe));
        gate.inconclusive(Mono(130_000), WISH.origin());
        assert_eq!(commit(&mut gate, 130_000), Err(Deny::Cooldown { until: Mono(150_004) }));
        for at in 0..9 {
            gate.throttle.add(Mono(140_000 + at));
        }
        assert_eq!(commit(&mut gate, 150_004), Err(Deny::Throttled { until: Mono(180_004) }));
        gate.close();
        assert_eq!(commit(&mut gate, 150_004), Err(Deny::Draining));
    }

    #[test]
    fn a_cold_start_asks_neither_cooldown_nor_throttle() {
        let mut gate = gate();
        for at in 0..10 {
            gate.throttle.add(Mono(at));
        }
        assert_eq!(commit(&mut gate, 10), Ok(Kind::Cold));
        gate.fail(Mono(20), WISH, Failure::EarlyExit);
        assert_eq!(commit(&mut gate, 20), Err(Deny::Throttled { until: Mono(60_000) }));
    }

    #[test]
    fn a_first_restart_is_immediate_and_the_next_one_waits() {
        let mut gate = gate();
        assert_eq!(commit(&mut gate, 0), Ok(Kind::Cold));
        gate.fail(Mono(1_000), WISH, Failure::EarlyExit);
        assert_eq!(commit(&mut gate, 1_000), Ok(Kind::Restart));
        gate.fail(Mono(2_000), WISH, Failure::EarlyExit);
        assert_eq!(commit(&mut gate, 30_999), Err(Deny::Cooldown { until: Mono(31_000) }));
        assert_eq!(commit(&mut gate, 31_000), Ok(Kind::Restart));
        assert_eq!(gate.throttle.in_window(Mono(31_000), &Rules::DEFAULT), 2);
    }

    #[test]
    fn a_denial_leaves_no_trace() {
        let mut gate = Gate::new(1, Rules::DEFAULT);
        gate.fail(Mono(0), WISH, Failure::Http);
        for _ in 0..100 {
            assert!(gate.commit(Mono(0), &BoardFacts::default(), WISH, 0).is_err());
        }
        assert_eq!(gate.throttle.restarts().count(), 0);
        let other = Wish { channel: ChannelId(8), ..WISH };
        for _ in 0..2 {
            assert!(gate.commit(Mono(0), &PLENTY, other, 0).is_ok(), "all tokens are there");
        }
        assert_eq!(commit(&mut gate, 0), Err(Deny::Token { ready_at: Mono(200) }));
        assert_eq!(gate.throttle.restarts().count(), 0, "and no restart was written down for want of a token");
        assert_eq!(commit(&mut gate, 200), Ok(Kind::Restart));
    }

    #[test]
    fn a_crash_is_no_way_around() {
        let mut gate = gate();
        for at in 0..5 {
            gate.fail(Mono(at), WISH, Failure::Http);
        }
        gate.throttle.add(Mono(9));
        let mut text = String::new();
        gate.remember(&mut text).unwrap();
        let mut again = Gate::new(4, Rules::DEFAULT);
        again.recall(Mono(5_000), &(text + "rubbish\nrestart x\nchannel\n"), false);
        assert!(matches!(commit(&mut again, 5_000), Err(Deny::Open { until: Mono(120_004), .. })));
        assert_eq!(again.throttle.restarts().collect::<std::vec::Vec<_>>(), [Mono(9)]);
        let other = Wish { channel: ChannelId(8), ..WISH };
        assert!(again.commit(Mono(5_000), &PLENTY, other, 0).is_ok());
        assert!(matches!(again.commit(Mono(5_000), &PLENTY, other, 0), Err(Deny::Token { .. })), "one token only");
    }
}

//! When a stream to a receiver, or a lock, has lost its owner.
//!
//! Receivers that use the video socket of the library send a keepalive every second; tvheadend and Jellyfin send
//! none, and are there as long as their control connection is. A client may lose its connection and come back on
//! another one. So: [`Presence`] follows the connection, [`Delivery`] adds keepalives and refused datagrams.
//!
//! Streams that nobody ends are normal: `hdhomerun_config save` into a closed pipe dies without a word.

use crate::limits::{KEEPALIVE_MS, ORPHAN_MS, REFUSAL_GAP_MS, REFUSALS_MIN, REFUSED_MS};
use crate::rules::control::ConnectionId;
use crate::time::Mono;

/// Whether an owner is still connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    connection: ConnectionId,
    since: Mono,
    gone_at: Option<Mono>,
    /// When the connection before this one went, if it did before this one came.
    gone_before: Option<Mono>,
}

impl Presence {
    /// An owner on a connection.
    pub const fn new(now: Mono, connection: ConnectionId) -> Self {
        Self { connection, since: now, gone_at: None, gone_before: None }
    }

    /// The owner has shown its key, or said again what it wants, on this connection.
    pub fn adopt(&mut self, now: Mono, connection: ConnectionId) {
        if self.connection != connection || self.gone_at.is_some() {
            *self = Self::new(now, connection);
        }
    }

    /// Somebody with the owner's address has asked something on this connection. Counts when the owner's own is gone:
    /// whoever only polls comes back like that.
    pub fn heard(&mut self, now: Mono, connection: ConnectionId) {
        if self.gone_at.is_some() {
            *self = Self { gone_before: self.gone_at, ..Self::new(now, connection) };
        }
    }

    /// A connection is closed.
    ///
    /// One that only came to ask and went again, such as a script's, does not make the owner look younger.
    pub fn closed(&mut self, now: Mono, connection: ConnectionId) {
        if self.connection == connection && self.gone_at.is_none() {
            let stayed = now.ms_since(self.since) >= ORPHAN_MS;
            self.gone_at = Some(self.gone_before.filter(|_| !stayed).unwrap_or(now));
        }
    }

    /// Since when nobody is connected.
    pub const fn gone_at(&self) -> Option<Mono> {
        self.gone_at
    }
}

/// Why a stream ended that nobody ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Keepalives came, and came no more.
    Silent,
    /// The control connection was closed, and no keepalive came.
    Orphaned,
    /// The receiver's machine says that nobody is there.
    Refused,
}

/// A stream to a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    presence: Presence,
    /// A group never answers, and is ended by whoever set it.
    is_multicast: bool,
    keepalive_at: Option<Mono>,
    refusals: Option<Refusals>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusals {
    count: u8,
    first_at: Mono,
    last_at: Mono,
}

impl Delivery {
    /// A stream that was asked for on this connection.
    pub const fn new(now: Mono, connection: ConnectionId, is_multicast: bool) -> Self {
        Self { presence: Presence::new(now, connection), is_multicast, keepalive_at: None, refusals: None }
    }

    /// Whose it is.
    pub const fn presence(&mut self) -> &mut Presence {
        &mut self.presence
    }

    /// The receiver sent a keepalive.
    pub fn keepalive(&mut self, now: Mono) {
        self.keepalive_at = Some(now);
        self.refusals = None;
    }

    /// The receiver's machine refused a datagram (ICMP port unreachable).
    pub fn refused(&mut self, now: Mono) {
        let fresh = Refusals { count: 0, first_at: now, last_at: now };
        let counted = self.refusals.filter(|refusals| now.ms_since(refusals.last_at) <= REFUSAL_GAP_MS);
        let refusals = counted.unwrap_or(fresh);
        self.refusals = Some(Refusals { count: refusals.count.saturating_add(1), last_at: now, ..refusals });
    }

    /// When it is to end, and why, if nothing happens before.
    pub fn gone_at(&self) -> Option<(Mono, Gone)> {
        if self.is_multicast {
            return None;
        }
        if let Some(Refusals { last_at, .. }) = self.refusals.filter(Refusals::is_enough) {
            return Some((last_at, Gone::Refused));
        }
        let silent = self.keepalive_at.map(|at| (at.plus_ms(KEEPALIVE_MS), Gone::Silent));
        let orphaned = self.presence.gone_at.map(|gone_at| {
            let last_at = self.keepalive_at.map_or(gone_at, |at| at.max(gone_at));
            (last_at.plus_ms(ORPHAN_MS), Gone::Orphaned)
        });
        match (silent, orphaned) {
            (Some(silent), Some(orphaned)) => Some(if orphaned.0 < silent.0 { orphaned } else { silent }),
            (silent, orphaned) => silent.or(orphaned),
        }
    }

    /// Why it is to end now, if it is.
    pub fn gone(&self, now: Mono) -> Option<Gone> {
        self.gone_at().filter(|(at, _)| *at <= now).map(|(_, why)| why)
    }
}

impl Refusals {
    fn is_enough(&self) -> bool {
        self.count >= REFUSALS_MIN && self.last_at.ms_since(self.first_at) >= REFUSED_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConnectionId = ConnectionId(1);
    const TWO: ConnectionId = ConnectionId(2);
    const DAY: Mono = Mono(86_400_000);

    fn delivery() -> Delivery {
        Delivery::new(Mono(0), ONE, false)
    }

    #[test]
    fn trap_23_a_connected_owner_needs_no_keepalives() {
        // tvheadend and Jellyfin: a control connection, and nothing else.
        let mut stream = delivery();
        assert_eq!((stream.gone_at(), stream.gone(DAY)), (None, None));
        stream.presence().closed(DAY, ONE);
        assert_eq!(stream.gone_at(), Some((DAY.plus_ms(ORPHAN_MS), Gone::Orphaned)));
        assert_eq!(stream.gone(DAY.plus_ms(ORPHAN_MS - 1)), None);
        assert_eq!(stream.gone(DAY.plus_ms(ORPHAN_MS)), Some(Gone::Orphaned));
    }

    #[test]
    fn trap_23_keepalives_keep_a_stream_whose_connection_is_gone() {
        let mut stream = delivery();
        stream.presence().closed(Mono(500), ONE);
        for second in 1..=3_600 {
            let now = Mono(second * 1_000);
            assert_eq!(stream.gone(now), None);
            stream.keepalive(now);
        }
        assert_eq!(stream.gone_at(), Some((Mono(3_600_000 + ORPHAN_MS), Gone::Orphaned)));
    }

    #[test]
    fn trap_23_a_receiver_that_fell_silent_is_gone() {
        let mut stream = delivery();
        stream.keepalive(Mono(1_000));
        assert_eq!(stream.gone_at(), Some((Mono(1_000 + KEEPALIVE_MS), Gone::Silent)));
        // Its connection breaks late: that does not prolong it.
        stream.presence().closed(Mono(25_000), ONE);
        assert_eq!(stream.gone_at(), Some((Mono(1_000 + KEEPALIVE_MS), Gone::Silent)));
    }

    #[test]
    fn refusals_count_when_they_last() {
        let mut stream = delivery();
        // Two, even over some time, and a burst at once, say nothing.
        stream.refused(Mono(0));
        stream.refused(Mono(4_000));
        assert_eq!(stream.gone_at(), None);
        let mut burst = delivery();
        for _ in 0..100 {
            burst.refused(Mono(5));
        }
        assert_eq!(burst.gone_at(), None);
        burst.refused(Mono(1_005));
        assert_eq!(burst.gone(Mono(1_005)), Some(Gone::Refused));
        stream.refused(Mono(5_000));
        assert_eq!(stream.gone(Mono(5_000)), Some(Gone::Refused));
        // A keepalive says that somebody is there after all, and a long pause that it was about something else.
        stream.keepalive(Mono(5_001));
        assert_eq!(stream.gone(Mono(5_001)), None);
        let mut rare = delivery();
        for minute in 0..60 {
            rare.refused(Mono(minute * 60_000));
            assert_eq!(rare.gone_at(), None);
        }
    }

    #[test]
    fn a_group_is_ended_by_hand_only() {
        let mut stream = Delivery::new(Mono(0), ONE, true);
        stream.presence().closed(Mono(1), ONE);
        for at in 0..10 {
            stream.refused(Mono(at * 1_000));
        }
        assert_eq!((stream.gone_at(), stream.gone(DAY)), (None, None));
    }

    #[test]
    fn an_owner_may_come_back_on_another_connection() {
        let mut owner = Presence::new(Mono(0), ONE);
        owner.heard(Mono(1), TWO);
        owner.closed(Mono(2), TWO);
        assert_eq!(owner.gone_at(), None, "whoever else asks does not matter");
        owner.closed(Mono(3), ONE);
        assert_eq!(owner.gone_at(), Some(Mono(3)));
        owner.heard(Mono(4), TWO);
        assert_eq!(owner.gone_at(), None);
        // It stays, so it was the owner.
        owner.closed(DAY, TWO);
        assert_eq!(owner.gone_at(), Some(DAY));
        owner.closed(DAY.plus_ms(9), TWO);
        assert_eq!(owner.gone_at(), Some(DAY), "once is enough");
    }

    #[test]
    fn a_script_that_polls_keeps_nobody_alive() {
        let mut owner = Presence::new(Mono(0), ConnectionId(0));
        owner.closed(Mono(1_000), ConnectionId(0));
        for turn in 1..100 {
            owner.heard(Mono(1_000 + turn * 5_000), ConnectionId(turn));
            owner.closed(Mono(1_000 + turn * 5_000 + 50), ConnectionId(turn));
            assert_eq!(owner.gone_at(), Some(Mono(1_000)));
        }
        owner.adopt(Mono(600_000), ConnectionId(200));
        owner.closed(Mono(600_001), ConnectionId(200));
        assert_eq!(owner.gone_at(), Some(Mono(600_001)), "whoever shows the key is the owner");
    }
}

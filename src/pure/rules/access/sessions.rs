//! Who is signed in (S02): for half an hour after he was last seen, and for half a day at most.
//!
//! A session is known by the digest of its id; the id itself is known only to the browser. The table has a fixed size;
//! who was not seen for longest makes room. There is one owner, so all sessions are the same.

use super::is_same;
use crate::limits::{SESSION_IDLE_MS, SESSION_MS_MAX, SESSIONS_MAX};
use crate::time::Mono;
use heapless::Vec;

/// The digest of a session's id.
pub type Digest = [u8; 32];

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions(Vec<Session, SESSIONS_MAX>);

#[derive(Debug)]
struct Session {
    id: Digest,
    began_at: Mono,
    seen_at: Mono,
}

impl Session {
    fn lives(&self, now: Mono) -> bool {
        now.ms_since(self.seen_at) < SESSION_IDLE_MS && now.ms_since(self.began_at) < SESSION_MS_MAX
    }
}

impl Sessions {
    /// Nobody is signed in.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Somebody signed in.
    pub fn begin(&mut self, now: Mono, id: Digest) {
        self.0.retain(|session| session.lives(now));
        if self.0.is_full() {
            let silent = self.0.iter().enumerate().min_by_key(|(_, session)| session.seen_at);
            let silent = silent.map_or(0, |(index, _)| index);
            self.0.swap_remove(silent);
        }
        self.0.push(Session { id, began_at: now, seen_at: now }).unwrap_or_default();
    }

    /// Whether this one is signed in, who is seen with it.
    pub fn see(&mut self, now: Mono, id: &Digest) -> bool {
        self.0.retain(|session| session.lives(now));
        // All are looked at, so that the time does not tell which one it is.
        self.0.iter_mut().fold(false, |found, session| {
            let same = is_same(&session.id, id);
            if same {
                session.seen_at = now;
            }
            found | same
        })
    }

    /// Somebody signed out.
    pub fn end(&mut self, id: &Digest) {
        self.0.retain(|session| !is_same(&session.id, id));
    }

    /// The password was changed.
    pub fn end_all(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn id(number: u8) -> Digest {
        [number; 32]
    }

    #[test]
    fn half_an_hour_of_silence_ends_a_session() {
        let mut sessions = Sessions::new();
        sessions.begin(Mono(0), id(1));
        assert!(sessions.see(Mono(30 * MINUTE - 1), &id(1)), "and counts from there");
        assert!(sessions.see(Mono(59 * MINUTE), &id(1)));
        assert!(!sessions.see(Mono(89 * MINUTE), &id(1)));
        assert!(!sessions.see(Mono(89 * MINUTE), &id(1)), "and it does not come back");
        assert!(!sessions.see(Mono(0), &id(2)), "nobody made that one");
    }

    #[test]
    fn half_a_day_ends_it_whoever_is_seen() {
        let mut sessions = Sessions::new();
        sessions.begin(Mono(0), id(1));
        for minute in (0..720).step_by(20) {
            assert!(sessions.see(Mono(minute * MINUTE), &id(1)), "{minute}");
        }
        assert!(!sessions.see(Mono(720 * MINUTE), &id(1)));
    }

    #[test]
    fn a_new_password_ends_all_and_signing_out_ends_one() {
        let mut sessions = Sessions::new();
        for number in 1..=3 {
            sessions.begin(Mono(0), id(number));
        }
        sessions.end(&id(2));
        assert_eq!([1, 2, 3].map(|number| sessions.see(Mono(1), &id(number))), [true, false, true]);
        sessions.end_all();
        assert_eq!([1, 2, 3].map(|number| sessions.see(Mono(1), &id(number))), [false; 3]);
    }

    #[test]
    fn the_table_is_bounded_and_who_was_not_seen_for_longest_makes_room() {
        let mut sessions = Sessions::new();
        let many = u8::try_from(SESSIONS_MAX).unwrap();
        for number in 0..many {
            sessions.begin(Mono(u64::from(number)), id(number));
        }
        assert!(sessions.see(Mono(100), &id(0)));
        sessions.begin(Mono(101), id(many));
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        assert!(sessions.see(Mono(102), &id(0)) && sessions.see(Mono(102), &id(many)));
        assert!(!sessions.see(Mono(102), &id(1)));
    }
}

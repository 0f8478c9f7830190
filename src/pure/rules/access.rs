//! Who may manage the box: when it may be claimed, how often a password may be guessed, and how long somebody who knew it
//! stays signed in (S01 to S04).
//!
//! Ids and digests are made outside, of random numbers, and times are given. Which password is good enough stands in
//! [`crate::model::password`].

pub mod guesses;
pub mod sessions;

use crate::limits::CLAIM_MS;
use crate::time::Mono;

/// What somebody may do, and what something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// What anybody near may.
    #[default]
    Open,
    /// Look.
    Read,
    /// Change everything.
    Admin,
}

impl Scope {
    /// As tokens have it; none for what no token is for.
    pub fn find(name: &str) -> Option<Self> {
        [Self::Read, Self::Admin].into_iter().find(|scope| scope.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "none",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// The time in which a box without a password may be given one: after its start, and after its button was pressed.
#[derive(Clone, Copy, Debug)]
pub struct ClaimWindow {
    ends_at: Mono,
}

impl ClaimWindow {
    /// It opens with the start.
    pub const fn new(started: Mono) -> Self {
        Self { ends_at: started.plus_ms(CLAIM_MS) }
    }

    /// Somebody who can touch the box wants it open.
    pub const fn press(&mut self, now: Mono) {
        self.ends_at = now.plus_ms(CLAIM_MS);
    }

    /// For how long it is open still, in milliseconds; none when it is closed.
    pub fn left_ms(&self, now: Mono) -> Option<u64> {
        Some(self.ends_at.ms_since(now)).filter(|left| *left > 0)
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differing = one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other));
    core::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_closes_after_half_an_hour_and_a_press_opens_it_again() {
        let started = Mono(7_000);
        let mut window = ClaimWindow::new(started);
        assert_eq!(window.left_ms(started), Some(1_800_000));
        assert_eq!(window.left_ms(started.plus_ms(1_799_999)), Some(1));
        assert_eq!(window.left_ms(started.plus_ms(1_800_000)), None);
        assert_eq!(window.left_ms(started.plus_ms(90_000_000)), None);
        window.press(Mono(90_000_000));
        assert_eq!(window.left_ms(Mono(90_000_000)), Some(1_800_000));
        assert_eq!(window.left_ms(Mono(91_800_000)), None);
    }

    #[test]
    fn who_may_change_may_look_and_nothing_is_more_than_that() {
        assert!(Scope::Open < Scope::Read && Scope::Read < Scope::Admin);
        assert_eq!([Scope::find("read"), Scope::find("admin")], [Some(Scope::Read), Some(Scope::Admin)]);
        assert_eq!([Scope::find("none"), Scope::find("owner"), Scope::find("")], [None; 3]);
    }

    #[test]
    fn secrets_differ_wherever_they_differ() {
        let secret = [0x5a; 32];
        assert!(is_same(&secret, &secret.clone()));
        for at in 0..32 {
            let mut other = secret;
            other[at] ^= 1 << (at % 8);
            assert!(!is_same(&secret, &other), "{at}");
        }
    }
}

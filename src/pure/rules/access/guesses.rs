//! How often a password may be guessed (S03): five times from one address, then after a minute, then after twice as long
//! each time up to a quarter of an hour; and thirty times a minute from everywhere.
//!
//! A guess is counted before it is known whether it is right, so that many at once are many. A right one makes the
//! address start over. The table has a fixed size; who has not guessed for longest makes room.

use crate::limits::{
    GUESS_FORGET_MS, GUESS_PAUSE_MS_MAX, GUESS_PAUSE_MS_MIN, GUESS_WINDOW_MS, GUESSERS_MAX, GUESSES_FREE, GUESSES_MAX,
};
use crate::time::Mono;
use core::net::{IpAddr, Ipv6Addr};
use heapless::{Deque, Vec};

/// Who has guessed how often, lately.
#[derive(Debug, Default)]
pub struct Guesses {
    guessers: Vec<Guesser, GUESSERS_MAX>,
    /// The last ones of all.
    all: Deque<Mono, GUESSES_MAX>,
}

#[derive(Debug)]
struct Guesser {
    address: IpAddr,
    /// Since the last right one.
    guesses: u32,
    last_at: Mono,
}

impl Guesser {
    /// When he may guess again.
    fn ready_at(&self) -> Mono {
        let Some(pauses) = self.guesses.checked_sub(GUESSES_FREE) else { return self.last_at };
        let doubled = GUESS_PAUSE_MS_MIN.checked_shl(pauses.min(32)).unwrap_or(u64::MAX);
        self.last_at.plus_ms(doubled.min(GUESS_PAUSE_MS_MAX))
    }
}

/// Not now; in so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften {
    /// From now on.
    pub wait_ms: u64,
}

impl Guesses {
    /// Nobody has guessed.
    pub const fn new() -> Self {
        Self { guessers: Vec::new(), all: Deque::new() }
    }

    /// Counts a guess from this address, unless there were too many.
    ///
    /// # Errors
    /// Nothing was counted; when to come back.
    pub fn ask(&mut self, now: Mono, address: IpAddr) -> Result<(), TooOften> {
        let address = household(address);
        self.guessers.retain(|guesser| now.ms_since(guesser.last_at) < GUESS_FORGET_MS);
        let known = self.guessers.iter_mut().find(|guesser| guesser.address == address);
        let own = known.as_ref().map_or(Mono(0), |guesser| guesser.ready_at());
        let oldest = if self.all.is_full() { self.all.front().copied() } else { None };
        let ready_at = own.max(oldest.map_or(Mono(0), |at| at.plus_ms(GUESS_WINDOW_MS)));
        let wait_ms = ready_at.ms_since(now);
        if wait_ms > 0 {
            return Err(TooOften { wait_ms });
        }
        if oldest.is_some() {
            self.all.pop_front();
        }
        self.all.push_back(now).unwrap_or_default();
        if let Some(guesser) = known {
            guesser.guesses = guesser.guesses.saturating_add(1);
            guesser.last_at = now;
            return Ok(());
        }
        if self.guessers.is_full() {
            let silent = self.guessers.iter().enumerate().min_by_key(|(_, guesser)| guesser.last_at);
            let silent = silent.map_or(0, |(index, _)| index);
            self.guessers.swap_remove(silent);
        }
        self.guessers.push(Guesser { address, guesses: 1, last_at: now }).unwrap_or_default();
        Ok(())
    }

    /// Somebody at this address knew it.
    pub fn forgive(&mut self, address: IpAddr) {
        let address = household(address);
        self.guessers.retain(|guesser| guesser.address != address);
    }
}

/// One house has a whole network of `IPv6`, and whoever is in it as many addresses as he likes.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4((0x0A00_0000 + number).into())
    }

    fn wait(guesses: &mut Guesses, now: u64, address: IpAddr) -> u64 {
        guesses.ask(Mono(now), address).map_or_else(|often| often.wait_ms, |()| 0)
    }

    #[test]
    fn five_are_free_and_then_each_takes_twice_as_long_up_to_a_quarter_of_an_hour() {
        let mut guesses = Guesses::new();
        for _ in 0..5 {
            assert_eq!(guesses.ask(Mono(1_000), address(1)), Ok(()));
        }
        let mut now = 1_000;
        for pause_s in [60, 120, 240, 480, 900, 900, 900] {
            assert_eq!(wait(&mut guesses, now, address(1)), pause_s * 1_000);
            now += pause_s * 1_000;
            assert_eq!(wait(&mut guesses, now - 1, address(1)), 1, "not a moment earlier, and asking costs nothing");
            assert_eq!(guesses.ask(Mono(now), address(1)), Ok(()));
        }
        assert_eq!(guesses.ask(Mono(now), address(2)), Ok(()), "another one is not concerned");
        assert_eq!(guesses.ask(Mono(now + 3_600_000), address(1)), Ok(()));
        assert_eq!(guesses.ask(Mono(now + 3_600_000), address(1)), Ok(()), "after an hour it is forgotten");
    }

    #[test]
    fn a_right_one_starts_over() {
        let mut guesses = Guesses::new();
        for round in 0..5 {
            for _ in 0..4 {
                assert_eq!(guesses.ask(Mono(round * 60_000), address(1)), Ok(()));
            }
            guesses.forgive(address(1));
        }
    }

    #[test]
    fn all_together_have_thirty_a_minute() {
        let mut guesses = Guesses::new();
        for number in 0..30 {
            assert_eq!(guesses.ask(Mono(u64::from(number) * 1_000), address(number)), Ok(()));
        }
        assert_eq!(wait(&mut guesses, 30_000, address(99)), 30_000);
        assert_eq!(guesses.ask(Mono(60_000), address(99)), Ok(()));
        assert_eq!(wait(&mut guesses, 60_000, address(98)), 1_000);
        // In any minute of a long attack from everywhere.
        let mut taken = std::vec::Vec::new();
        for now in (100_000..1_000_000).step_by(250) {
            let number = u32::try_from(now / 250).unwrap();
            if guesses.ask(Mono(now), address(number)).is_ok() {
                taken.push(now);
            }
        }
        assert!(taken.windows(31).all(|span| span[30] - span[0] >= 60_000));
        assert!(taken.len() >= 14 * 30, "{}", taken.len());
    }

    #[test]
    fn the_table_is_bounded_and_a_network_of_ipv6_is_one() {
        let mut guesses = Guesses::new();
        for number in 0..10_000 {
            assert_eq!(guesses.ask(Mono(u64::from(number) * 3_000), address(number)), Ok(()));
            assert!(guesses.guessers.len() <= GUESSERS_MAX);
        }
        let mut guesses = Guesses::new();
        for last in 1..=5 {
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, last);
            assert_eq!(guesses.ask(Mono(0), v6.into()), Ok(()));
        }
        assert_eq!(wait(&mut guesses, 0, Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 9, 9, 9, 9).into()), 60_000);
        assert_eq!(guesses.ask(Mono(0), Ipv6Addr::new(0x2001, 0xdb8, 0, 8, 0, 0, 0, 1).into()), Ok(()));
    }
}

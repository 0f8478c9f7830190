//! The last hour, minute by minute, for people who would rather look than read. It is not kept: metrics are for that.

use heapless::Deque;
use pure::limits::HISTORY_MINUTES;
use pure::time::Wall;
use std::cell::RefCell;

/// How it was in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    /// When that was seen.
    pub at: Wall,
    /// Tuners that were not free.
    pub tuners_used: u32,
    /// Viewers of all of them.
    pub viewers: u32,
    /// What they all made, bits a second.
    pub bits_per_s: u64,
    /// Channels in trouble.
    pub ill: u32,
}

/// The newest minutes.
#[derive(Debug, Default)]
pub struct History(RefCell<Deque<Minute, HISTORY_MINUTES>>);

impl History {
    /// Remembers one more, and forgets the oldest when there are enough.
    pub fn push(&self, minute: Minute) {
        let mut minutes = self.0.borrow_mut();
        if minutes.is_full() {
            minutes.pop_front();
        }
        minutes.push_back(minute).expect("one was taken out if it was full");
    }

    /// All of them, oldest first.
    pub fn minutes(&self) -> Vec<Minute> {
        self.0.borrow().iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_remembered_and_no_more() {
        let history = History::default();
        for minute in 0..65 {
            history.push(Minute { at: Wall(minute * 60), tuners_used: 0, viewers: 0, bits_per_s: 0, ill: 0 });
        }
        let minutes = history.minutes();
        assert_eq!((minutes.len(), minutes[0].at, minutes[59].at), (60, Wall(300), Wall(64 * 60)));
    }
}

//! Plays slates into a ring, in a gap.
//!
//! A slate is joined to what came before it, and each of its rounds to the one before, as children are. A child's first
//! byte ends it, see [`Relay::fill`]. What is shown, and when, is decided in `pure::rules::slate`.

use super::{Gap, Relay, Ring};
use crate::clock;
use crate::engine::slates::Slate;
use pure::limits::{SLATE_MS, SLATE_STEP_MS};
use pure::time::Mono;
use std::rc::Rc;

impl Ring {
    /// The next packets are a slate's. A round of it is joined to what came before as a child would be.
    fn begin_round(&mut self) {
        self.begin(true);
        self.is_slate = true;
    }

    /// Publishes packets of a slate.
    fn play(&mut self, mut packets: &[u8], now: Mono) {
        while !packets.is_empty() {
            let space = self.space();
            let len = space.len().min(packets.len());
            let (here, later) = packets.split_at(len);
            space.get_mut(..len).unwrap_or_default().copy_from_slice(here);
            self.wrote(len, now);
            packets = later;
        }
    }
}

impl Relay {
    /// Shows a slate to those who hold on, or another one from its next round on. Says no where there is nobody to show
    /// it to: no gap, a feed that had no picture yet, or a child whose first packet has begun.
    pub(in crate::engine) fn show(self: &Rc<Self>, slate: &Rc<Slate>) -> bool {
        let has_begun = match self.gap.get() {
            Gap::None | Gap::Empty => return false,
            Gap::Open => false,
            Gap::Closing => self.ring.borrow().pending() > 0,
        };
        let had_picture = self.ring.borrow().join.is_some();
        if self.ended.get() || has_begun || !had_picture {
            return false;
        }
        if self.slate.replace(Some(Rc::clone(slate))).is_none() {
            self.slates.set(self.slates.get() + 1);
            let (relay, number) = (Rc::clone(self), self.slates.get());
            tokio::task::spawn_local(async move { relay.play(number).await });
        }
        true
    }

    /// Ends the slate, if one is shown. Its last packets stay: what comes next is joined to them.
    pub(in crate::engine) fn hide(&self) {
        self.slate.take();
    }

    /// What is to be read on the slate that is shown.
    pub(in crate::engine) fn slate_says(&self) -> Option<Rc<str>> {
        self.slate.borrow().as_ref().map(|slate| Rc::clone(&slate.says))
    }

    /// Plays slates round after round, until what was begun as `number` is over.
    async fn play(&self, number: u64) {
        loop {
            let current = || self.slate.borrow().clone().filter(|_| self.slates.get() == number);
            let Some(slate) = current() else { return };
            self.ring.borrow_mut().begin_round();
            let (began_at, mut played) = (clock::mono(), 0);
            while clock::mono().ms_since(began_at) < SLATE_MS {
                clock::pause(SLATE_STEP_MS).await;
                if current().is_none() {
                    return;
                }
                let due = slate.clip.due(clock::mono().ms_since(began_at));
                // What viewers have not read yet is worth more.
                if due > played && !self.would_overtake_all() {
                    self.ring.borrow_mut().play(slate.clip.bytes().get(played..due).unwrap_or_default(), clock::mono());
                    played = due;
                    self.published.notify_waiters();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::tests::{Dice, SAMPLE, allocations, assert_goes_on, cursor, socket, stream, write};
    use super::*;
    use pure::rules::pool::Generation;
    use pure::wire::ts::PACKET_BYTES;
    use pure::wire::ts::clip::Clip;

    /// Three seconds of the sample.
    fn slate() -> Rc<Slate> {
        Rc::new(Slate { clip: Clip::new(stream(3)).unwrap(), says: "Next try at 20:15:07.".into() })
    }

    /// A relay whose child has played a second and is gone.
    fn in_gap() -> Rc<Relay> {
        let relay = Relay::new(1);
        relay.begin(Generation(1), false);
        write(&relay, &mut Dice(1), SAMPLE);
        relay.gap();
        relay
    }

    /// As the task does, but for the time.
    fn play(relay: &Relay, slate: &Rc<Slate>, rounds: usize) {
        relay.slate.replace(Some(Rc::clone(slate)));
        for _ in 0..rounds {
            relay.ring.borrow_mut().begin_round();
            for piece in slate.clip.bytes().chunks(7 * PACKET_BYTES) {
                relay.ring.borrow_mut().play(piece, clock::mono());
            }
        }
    }

    #[test]
    fn a_slate_goes_on_until_the_first_byte_of_the_next_child() {
        let (relay, slate) = (in_gap(), slate());
        let mut viewer = cursor(&relay, true);
        play(&relay, &slate, 2);
        // The next child begins in the middle of a round, and has nothing to show yet.
        relay.ring.borrow_mut().begin_round();
        let (half, rest) = slate.clip.bytes().split_at(slate.clip.due(1_000));
        relay.ring.borrow_mut().play(half, clock::mono());
        relay.begin(Generation(2), true);
        assert!(relay.slate_says().is_some());
        let rest = &rest[..slate.clip.due(2_000) - half.len()];
        relay.ring.borrow_mut().play(rest, clock::mono());
        // Its first packet comes in two pieces: no packet of a slate may get in between.
        for piece in [&SAMPLE[..100], &SAMPLE[100..]] {
            write(&relay, &mut Dice(1), piece);
            assert_eq!(relay.slate_says(), None);
        }
        assert_eq!(relay.verdict(), Verdict::Suited);
        let mut taken = Vec::new();
        viewer.send(socket(&mut taken, usize::MAX)).unwrap();
        let packets = assert_goes_on(&taken);
        let slates_bytes = 2 * slate.clip.bytes().len() + half.len() + rest.len();
        assert_eq!(packets, ((2 * SAMPLE.len() + slates_bytes) / PACKET_BYTES) as u64);
    }

    #[test]
    fn a_slate_says_nothing_about_a_child() {
        let (relay, slate) = (in_gap(), slate());
        relay.begin(Generation(2), true);
        let before = relay.stats();
        play(&relay, &slate, 1);
        let after = relay.stats();
        assert_eq!((after.last_packet_at, after.last_picture_at, after.last_clock_at), (None, None, None));
        assert_eq!((after.bytes, after.continuity_errors), (before.bytes, 0));
        assert_eq!(relay.streams(), None, "they are not the child's");
        // Nor are its pictures looked at when the child plays.
        write(&relay, &mut Dice(1), SAMPLE);
        let mut excerpt = Vec::new();
        relay.excerpt(&mut excerpt);
        assert!(excerpt.len() <= SAMPLE.len() + 2 * PACKET_BYTES, "{}", excerpt.len());
        assert!(relay.streams().is_some());
        // A table alone moves no clock, whatever the slate's was.
        relay.gap();
        relay.begin(Generation(3), true);
        play(&relay, &slate, 1);
        write(&relay, &mut Dice(1), &SAMPLE[..PACKET_BYTES]);
        assert!(relay.stats().last_packet_at.is_some());
        assert_eq!((relay.stats().last_picture_at, relay.stats().last_clock_at), (None, None));
    }

    #[test]
    fn a_slate_is_shown_in_a_gap_of_a_feed_that_had_a_picture() {
        let local = tokio::runtime::LocalOptions::default();
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(local).unwrap().block_on(async {
            let slate = slate();
            let relay = Relay::new(1);
            assert!(!relay.show(&slate), "no feed");
            relay.gap();
            assert!(!relay.show(&slate), "the feed had no child yet");
            relay.begin(Generation(1), false);
            assert!(!relay.show(&slate), "it had no picture yet");
            write(&relay, &mut Dice(1), SAMPLE);
            assert!(!relay.show(&slate), "no gap");
            relay.gap();
            assert!(relay.show(&slate) && relay.show(&slate));
            assert_eq!(relay.slates.get(), 1, "it is played once");
            relay.begin(Generation(2), true);
            assert!(relay.show(&slate));
            write(&relay, &mut Dice(1), &SAMPLE[..100]);
            assert!(!relay.show(&slate) && relay.slate_says().is_none(), "a packet has begun");
            write(&relay, &mut Dice(1), &SAMPLE[100..]);
            relay.gap();
            assert!(relay.show(&slate));
            relay.end();
            assert!(relay.slate_says().is_none() && !relay.show(&slate), "the feed is over");
        });
    }

    #[test]
    fn playing_a_slate_allocates_nothing() {
        let (relay, slate) = (in_gap(), slate());
        play(&relay, &slate, 1);
        let before = allocations();
        play(&relay, &slate, 100);
        assert_eq!(allocations() - before, 0);
    }
}

//! Slates in flesh: has them made, keeps the newest few, and gives them to the rings of slots whose viewers hold on.
//!
//! When a slate is shown and what it says is decided in `pure::rules::slate`, FFmpeg's arguments stand in
//! `pure::model::recipe::slate`, and [`super::relay`] plays it. One is made at a time, by a child that yields to all
//! others and has a permit of the gate; it takes half of the time at most. Whoever finds none ready goes without.

use super::probe::{converse, hear};
use super::process;
use super::relay::Relay;
use crate::clock;
use pure::limits::{
    ADMISSION_RETRY_MS, SLATE_BYTES_MAX, SLATE_MAKE_MS_MAX, SLATE_RETRY_MS, SLATES_MAX, TRIAL_WORDS_BYTES_MAX,
};
use pure::model::lineup::Channel;
use pure::model::recipe::slate::{SlateFormat, slate};
use pure::rules::gate::SlatePermit;
use pure::rules::pool::{SlotIndex, SlotView};
use pure::rules::slate::card::Card;
use pure::rules::slate::{Next, Trouble, Turn, Watch, Why};
use pure::time::{Mono, TimeOfDay, Wall};
use pure::wire::ts::Streams;
use pure::wire::ts::clip::Clip;
use std::path::Path;
use std::rc::Rc;
use tokio::sync::oneshot;

/// A slate that is ready.
#[derive(Debug)]
pub(super) struct Slate {
    /// What is played.
    pub(super) clip: Clip,
    /// What is to be read on it.
    pub(super) says: Rc<str>,
}

/// A slate that is wanted.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    card: Card,
    format: SlateFormat,
}

/// Those of all slots.
#[derive(Default)]
pub(super) struct Slates {
    slots: Vec<Slot>,
    /// The oldest first.
    ready: heapless::Vec<(Rc<Order>, Rc<Slate>), SLATES_MAX>,
    making: Option<Making>,
    /// Nothing is made before.
    rests_until: Mono,
}

#[derive(Default)]
struct Slot {
    watch: Watch,
    /// What the last child's output consisted of.
    streams: Option<Streams>,
    why: Option<Why>,
    wants: Option<Rc<Order>>,
}

struct Making {
    order: Rc<Order>,
    since: Mono,
    made: oneshot::Receiver<Result<Clip, String>>,
}

/// What a slate tells of.
pub(super) struct About {
    pub(super) channel: Channel,
    /// How wide its picture is, where that is known.
    pub(super) width: Option<u32>,
}

impl Slates {
    /// For so many slots; for none where there are to be no slates.
    pub(super) fn new(slots_len: usize) -> Self {
        Self { slots: (0..slots_len).map(|_| Slot::default()).collect(), ..Self::default() }
    }

    fn slot(&mut self, index: SlotIndex) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(index.0))
    }

    /// A slot's viewers hold on from now on; that is what they had.
    pub(super) fn gap(&mut self, index: SlotIndex, streams: Option<Streams>) {
        if let (Some(slot), Some(streams)) = (self.slot(index), streams) {
            slot.streams = Some(streams);
        }
    }

    /// Looks after one slot: shows what is ready, and notes what is wanted.
    pub(super) fn tend(
        &mut self,
        now: Mono,
        view: &SlotView,
        trouble: impl FnOnce() -> Trouble,
        about: impl FnOnce() -> Option<About>,
        relay: &Rc<Relay>,
    ) {
        let Some(slot) = self.slot(view.slot) else { return };
        let turn = slot.watch.on(now, view);
        if turn == Turn::Nothing {
            slot.wants = None;
            if slot.why.take().is_some() {
                relay.hide();
            }
            return;
        }
        let why = Why::new(now, trouble(), slot.why);
        if slot.why != Some(why) {
            slot.why = Some(why);
            slot.wants = about().and_then(|About { channel, width }| {
                let format = SlateFormat::of(slot.streams.as_ref(), width)?;
                let time = next_time(now, &why);
                let card = why.card(channel.number.as_str(), &channel.name, now, time);
                Some(Rc::new(Order { card, format }))
            });
        }
        if turn == Turn::Show {
            let wanted = slot.wants.clone();
            if let Some(slate) = wanted.and_then(|order| self.ready(&order)) {
                relay.show(slate);
            }
        }
    }

    fn ready(&self, wanted: &Order) -> Option<&Rc<Slate>> {
        self.ready.iter().find(|(order, _)| **order == *wanted).map(|(_, slate)| slate)
    }

    /// The oldest that nobody plays or waits for.
    fn spare(&self) -> Option<usize> {
        let is_wanted = |order: &Order| self.slots.iter().any(|slot| slot.wants.as_deref() == Some(order));
        self.ready.iter().position(|(order, slate)| Rc::strong_count(slate) == 1 && !is_wanted(order))
    }

    /// What is wanted and not ready, if there would be room for it.
    fn missing(&self) -> Option<&Rc<Order>> {
        let has_room = !self.ready.is_full() || self.spare().is_some();
        let mut wanted = self.slots.iter().filter_map(|slot| slot.wants.as_ref());
        wanted.find(|order| self.ready(order).is_none()).filter(|_| has_room && self.making.is_none())
    }

    /// Whether one may be made now, if the gate permits it.
    pub(super) fn wants_to_make(&self, now: Mono) -> bool {
        now >= self.rests_until && self.missing().is_some()
    }

    /// Has one made of those that are wanted.
    pub(super) fn make(&mut self, now: Mono, permit: Option<SlatePermit>, ffmpeg: &Path) {
        let Some(order) = self.missing().cloned() else { return };
        let Some(permit) = permit else {
            self.rests_until = now.plus_ms(ADMISSION_RETRY_MS);
            return;
        };
        let (tell, made) = oneshot::channel();
        self.making = Some(Making { order: Rc::clone(&order), since: now, made });
        let ffmpeg = ffmpeg.to_owned();
        tokio::task::spawn_local(async move {
            // With nobody to tell, the daemon is ending.
            tell.send(make(permit, &ffmpeg, &order).await).map_err(drop).unwrap_or_default();
        });
    }

    /// Resolves when there is something to do for a slate; what was made is ready then.
    pub(super) async fn due(&mut self) {
        let watches = self.slots.iter().filter_map(|slot| slot.watch.next_deadline());
        let at = watches.chain(self.missing().map(|_| self.rests_until)).min();
        let Some(Making { made, .. }) = &mut self.making else { return clock::until(at).await };
        let made = tokio::select! {
            made = made => made.unwrap_or_else(|_| Err("its task ended".to_owned())),
            () = clock::until(at) => return,
        };
        let Some(Making { order, since, .. }) = self.making.take() else { return };
        let now = clock::mono();
        self.rests_until = now.plus_ms(now.ms_since(since));
        match made {
            Ok(clip) => self.keep(order, clip),
            Err(why) => {
                self.rests_until = now.plus_ms(SLATE_RETRY_MS);
                // Nor would it be made then; others may be.
                for slot in &mut self.slots {
                    slot.wants.take_if(|wanted| **wanted == *order);
                }
                tracing::info!(why, "no picture could be made that says why a channel has none");
            }
        }
    }

    fn keep(&mut self, order: Rc<Order>, clip: Clip) {
        if self.ready.is_full() {
            let Some(oldest) = self.spare() else { return };
            self.ready.remove(oldest);
        }
        let says = order.card.sentence().into();
        self.ready.push((order, Rc::new(Slate { clip, says }))).unwrap_or_default();
    }
}

/// How a clock on the wall shows the next try.
fn next_time(now: Mono, why: &Why) -> Option<TimeOfDay> {
    let Next::At(at) = why.next() else { return None };
    let seconds = i64::try_from(at.ms_since(now).div_ceil(1_000)).ok()?;
    let at = Wall(clock::wall().0.checked_add(seconds)?);
    clock::wall_is_plausible().then(|| clock::time_of_day(at)).flatten()
}

/// Has FFmpeg make a slate. Dropped, it ends FFmpeg.
///
/// # Errors
/// Why there is none, for the log.
async fn make(permit: SlatePermit, ffmpeg: &Path, order: &Order) -> Result<Clip, String> {
    let child = process::slate(permit, ffmpeg, slate(order.format).args()).map_err(|error| error.to_string())?;
    let picture = order.card.picture();
    let made = converse(child, &picture, SLATE_MAKE_MS_MAX, async |stdout, stderr| {
        tokio::try_join!(hear(stdout, SLATE_BYTES_MAX), hear(stderr, TRIAL_WORDS_BYTES_MAX))
    });
    let (status, (bytes, words)) = made.await.map_err(|error| format!("FFmpeg was ended: {error}"))?;
    if !status.success() {
        let words = String::from_utf8_lossy(&words);
        return Err(format!("FFmpeg ended with {status}: {}", words.lines().next().unwrap_or_default()));
    }
    Clip::new(bytes).ok_or_else(|| "FFmpeg made something else".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::process::alone;
    use pure::model::lineup::ChannelId;
    use pure::model::profile::Profile;
    use pure::rules::admission::BoardFacts;
    use pure::rules::constants::Rules;
    use pure::rules::gate::Gate;
    use pure::rules::health::Health;
    use pure::rules::pool::SlotState;
    use std::os::unix::fs::PermissionsExt as _;

    fn run<R>(future: impl Future<Output = R>) -> R {
        let local = tokio::runtime::LocalOptions::default();
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(local).unwrap().block_on(future)
    }

    fn permit() -> Option<SlatePermit> {
        let facts = BoardFacts { ffmpeg_present: true, fds_limit: 1_024, ..BoardFacts::default() };
        Gate::new(1, Rules::DEFAULT).permit_slate(&facts, 0)
    }

    fn order(title: &str) -> Order {
        Order { card: Card::new(title, &["Next try at 20:15:07."]), format: SlateFormat::of(None, Some(640)).unwrap() }
    }

    /// Slates of which these are wanted, one for each slot.
    fn wanting(titles: &[&str]) -> Slates {
        let mut slates = Slates::new(titles.len());
        for (slot, title) in slates.slots.iter_mut().zip(titles) {
            slot.wants = Some(Rc::new(order(title)));
        }
        slates
    }

    #[test]
    fn ffmpeg_makes_a_slate_of_whatever_a_channel_is_called() {
        let _alone = alone();
        run(async {
            for title in ["5.1 SPORT", "'; drawtext=textfile=/etc/passwd:[in]%{n}\\", "\0\n🎬 漢字", ""] {
                let clip = make(permit().unwrap(), Path::new("ffmpeg"), &order(title)).await.unwrap();
                assert!((20_000..SLATE_BYTES_MAX).contains(&clip.bytes().len()), "{}", clip.bytes().len());
            }
            // The largest there is, full of the letter with the most dots.
            let card = Card::new(&"B".repeat(99), &[&"B".repeat(999)]);
            let full = Order { card, format: SlateFormat::of(None, Some(3_840)).unwrap() };
            assert!(make(permit().unwrap(), Path::new("ffmpeg"), &full).await.is_ok());
        });
    }

    #[test]
    fn an_ffmpeg_that_makes_none_does_no_harm() {
        let _alone = alone();
        run(async {
            let path = std::env::temp_dir().join(format!("tunerd-slates-{}", std::process::id()));
            assert!(make(permit().unwrap(), Path::new("/no/such/program"), &order("a")).await.is_err());
            for (script, why) in [
                ("cat >/dev/null; echo 'Unknown encoder' >&2; exit 1", "Unknown encoder"),
                ("exit 0", "something else"),
                ("cat /dev/zero", "invalid data"),
            ] {
                std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
                let said = make(permit().unwrap(), &path, &order("a")).await.unwrap_err();
                assert!(said.contains(why), "{script}: {said}");
            }
            std::fs::remove_file(&path).unwrap();
        });
    }

    #[test]
    fn one_is_made_at_a_time_and_a_no_is_not_asked_again_at_once() {
        let _alone = alone();
        run(async {
            let mut slates = wanting(&["a", "b"]);
            let now = clock::mono();
            assert!(slates.wants_to_make(now));
            slates.make(now, None, Path::new("ffmpeg"));
            assert!(!slates.wants_to_make(now) && slates.wants_to_make(now.plus_ms(ADMISSION_RETRY_MS)));
            slates.make(now, permit(), Path::new("ffmpeg"));
            assert!(!slates.wants_to_make(now.plus_ms(ADMISSION_RETRY_MS)), "one at a time");
            slates.due().await;
            assert!(slates.ready(&order("a")).is_some());
            let (now, rests_until) = (clock::mono(), slates.rests_until);
            assert!(rests_until > now && !slates.wants_to_make(now), "half of the time at most");
            // The second cannot be made, and is not tried again for this gap.
            slates.make(now, permit(), Path::new("/no/such/program"));
            slates.due().await;
            assert!(!slates.wants_to_make(clock::mono().plus_ms(SLATE_RETRY_MS)));
        });
    }

    #[test]
    fn memory_is_bounded_and_nobody_loses_what_he_reads() {
        let _alone = alone();
        run(async {
            let clip = make(permit().unwrap(), Path::new("ffmpeg"), &order("a")).await.unwrap();
            let titles: Vec<String> = (0..SLATES_MAX + 3).map(|number| number.to_string()).collect();
            let mut slates = wanting(&titles.iter().map(String::as_str).collect::<Vec<_>>());
            for title in &titles {
                slates.keep(Rc::new(order(title)), clip.clone());
            }
            assert_eq!(slates.ready.len(), SLATES_MAX);
            assert!(slates.ready(&order("0")).is_some() && !slates.wants_to_make(clock::mono()), "all are waited for");
            slates.slots[3].wants = None;
            assert!(slates.wants_to_make(clock::mono()));
            let played = Rc::clone(slates.ready(&order("3")).unwrap());
            assert!(!slates.wants_to_make(clock::mono()), "it is played");
            drop(played);
            slates.keep(Rc::new(order("new")), clip);
            assert!(slates.ready(&order("3")).is_none() && slates.ready(&order("new")).is_some());
        });
    }

    #[test]
    fn radio_gets_no_picture_and_slates_can_be_switched_off() {
        let view = SlotView {
            slot: SlotIndex(0),
            state: SlotState::Waiting,
            since: Mono(0),
            channel: Some(ChannelId(1)),
            source: 0,
            work: None,
            profile: Profile::None,
            viewers: 1,
            held: 1,
            health: Health::Unknown,
            attempt: 1,
            next_try_at: Some(Mono(90_000)),
        };
        let relay = Relay::new(1);
        let about = || {
            let channel = Channel {
                id: ChannelId(1),
                number: "5.1".parse().unwrap(),
                name: "One".to_owned(),
                group: String::new(),
                logo: String::new(),
                tvg_id: String::new(),
                tvg_shift_min: 0,
                sources: Vec::new(),
            };
            Some(About { channel, width: None })
        };
        let wants = |slots_len, streams: Option<Streams>| {
            let mut slates = Slates::new(slots_len);
            slates.gap(SlotIndex(0), streams);
            slates.tend(Mono(0), &view, Trouble::default, about, &relay);
            slates.missing().is_some()
        };
        assert!(wants(1, None));
        assert!(!wants(0, None), "switched off");
        assert!(!wants(1, Some(Streams::default())), "no picture among its streams");
    }
}

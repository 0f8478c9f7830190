//! Slates in flesh: has them made, keeps the newest few, and gives them to the rings of slots whose viewers hold on.
//!
//! When a slate is shown and what it says is decided in `pure::rules::slate`, FFmpeg's arguments stand in
//! `pure::model::recipe::slate`, and [`super::relay`] plays it. One is made at a time, by a child that yields to all others
//! and has a permit of the gate; it takes half of the time at most. Whoever finds none ready goes without.

use super::probe::hear;
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
use tokio::io::AsyncWriteExt as _;
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

    /// What is wanted and not ready, if there would be room for it.
    fn missing(&self) -> Option<&Rc<Order>> {
        let has_room = !self.ready.is_full() || self.ready.iter().any(is_idle);
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
            let Some(oldest) = self.ready.iter().position(is_idle) else { return };
            self.ready.remove(oldest);
        }
        let says = order.card.sentence().into();
        self.ready.push((order, Rc::new(Slate { clip, says }))).unwrap_or_default();
    }
}

/// Whether nobody plays it.
fn is_idle((_, slate): &(Rc<Order>, Rc<Slate>)) -> bool {
    Rc::strong_count(slate) == 1
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
    let mut child = process::slate(permit, ffmpeg, slate(order.format).args()).map_err(|error| error.to_string())?;
    let picture = order.card.picture();
    let heard = {
        let giving = async {
            if let Some(mut stdin) = child.stdin.take() {
                // Should it have ended, its last words say more than the pipe does.
                stdin.write_all(&picture).await.unwrap_or_default();
            }
            Ok(())
        };
        let output = hear(&mut child.stdout, SLATE_BYTES_MAX);
        let words = hear(&mut child.stderr, TRIAL_WORDS_BYTES_MAX);
        tokio::select! {
            heard = async { tokio::try_join!(giving, output, words) } => heard.map_err(|error| error.to_string()),
            () = clock::pause(SLATE_MAKE_MS_MAX) => Err("FFmpeg took too long".to_owned()),
        }
    };
    if heard.is_err() {
        child.reaper.group().kill();
    }
    let status = child.reaper.reap().await.map_err(|error| error.to_string())?;
    let ((), bytes, words) = heard?;
    if !status.success() {
        let words = String::from_utf8_lossy(&words);
        return Err(format!("FFmpeg ended with {status}: {}", words.lines().next().unwrap_or_default()));
    }
    Clip::new(bytes).ok_or_else(|| "FFmpeg made something else".to_owned())
}

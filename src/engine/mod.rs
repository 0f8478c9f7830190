//! Slots in flesh: the supervisor, its children, and the rings that viewers read.
//!
//! The rest of the house sees [`Handle`] and [`Viewer`]. Who gets a slot and when a child starts or ends is decided in
//! `pure::rules::pool`; here it is done. Doors and the store are unknown here.

mod call;
mod check;
pub mod encoders;
pub mod facts;
mod glance;
mod last_words;
mod measure;
pub mod preview;
mod probe;
pub mod process;
mod pull;
mod relay;
pub mod sandbox;
mod slates;
mod snapshot;
mod supervisor;
mod telling;
mod tend;
mod upstream;

use crate::board::vitals;
use crate::clock;
use crate::engine::encoders::{Encoding, Shown, Started};
use crate::fetch::Fetcher;
use crate::observe::black_box::BlackBox;
use crate::observe::metrics::Metrics;
use crate::observe::problems::Problems;
pub use check::Checked;
use preview::Preview;
use pure::limits::{ENGINE_INBOX, TRIALS_AFTER_MS, TRIALS_RETRY_MS};
use pure::model::encoder::Candidates;
use pure::model::face::{FaceId, Share};
use pure::model::lineup::{ChannelId, Lineup};
use pure::model::profile::Profile;
use pure::model::recipe::Recipe;
use pure::rules::blank::{Judge, Sight};
use pure::rules::breaker::ChannelView;
use pure::rules::gate::{CheckPermit, TrialPermit};
use pure::rules::pool::outlook::Obstacle;
use pure::rules::pool::{Refusal, SlotIndex, SlotState, SlotView, ViewerId};
use pure::time::Mono;
use pure::wire::ts::Codec;
pub use relay::segments::Segment;
use relay::{Cursor, Relay};
pub use relay::{Progress, RelayStats};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::unix::pipe;
use tokio::process::ChildStderr;
use tokio::sync::{Notify, mpsc, oneshot};

/// How the engine is to run.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the settings, each on its own")]
pub struct Options {
    /// Slots, and so tuners.
    pub slots_len: usize,
    /// Ring of each slot.
    pub ring_mib: usize,
    /// FFmpeg, as a path or as `PATH` finds it.
    pub ffmpeg: PathBuf,
    /// ffprobe, likewise.
    pub ffprobe: PathBuf,
    /// Whether ffprobe looks at what slots make.
    pub probe: bool,
    /// Whether some of these looks also see what is shown.
    pub glance: bool,
    /// Whether viewers get their head before there is a picture.
    pub early_headers: bool,
    /// Whether viewers who hold on are shown why.
    pub slates: bool,
    /// What may encode the smaller pictures that clients ask for, to be tried; `None`: they get none.
    pub encoders: Option<Candidates>,
    /// Where the board tells how it is.
    pub vitals: vitals::Sources,
    /// Where to keep what the next run must know after a crash; `None`: nowhere.
    pub runtime_dir: Option<PathBuf>,
    /// Asks sources.
    pub fetcher: Fetcher,
    /// Whether nothing is to play.
    pub safe_mode: bool,
}

/// A viewer whose answer is awaited.
enum Command {
    Ask {
        viewer: ViewerId,
        channel: ChannelId,
        profile: Profile,
        tuner: Option<SlotIndex>,
        share: Share,
        peer: SocketAddr,
        /// It gives way to others.
        is_preview: bool,
        answer: oneshot::Sender<Result<Place, Refusal>>,
    },
    /// An encoder is to be tried; no answer means not now.
    Trial {
        answer: oneshot::Sender<TrialPermit>,
    },
    /// A signature is to be checked; no answer means not now.
    Check {
        answer: oneshot::Sender<CheckPermit>,
    },
    /// Whether the loop still turns; it sweeps on that occasion.
    Pulse {
        done: oneshot::Sender<()>,
    },
    /// A person wants a channel that rests tried again.
    Retry {
        channel: ChannelId,
    },
    /// A tuner is given back, because a person wants it.
    Free {
        slot: SlotIndex,
    },
    /// A tuner is kept for somebody who controls it, or is no longer.
    Hold {
        slot: SlotIndex,
        is_held: bool,
    },
    Drain {
        done: oneshot::Sender<()>,
    },
}

/// Where a viewer was put.
struct Place {
    slot: SlotIndex,
    from_start: bool,
    /// Set, with a word to the relay, when this one viewer is to end while the feed goes on.
    closed: Rc<Cell<bool>>,
}

/// What a channel was made of when it last played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// How its picture is coded.
    pub video: Option<Codec>,
    /// How its sound is coded.
    pub audio: Option<Codec>,
    /// How wide its picture is, in pixels; known once ffprobe has looked at it.
    pub width: Option<u32>,
}

/// What is known of channels that have played.
#[derive(Default)]
struct Known {
    formats: BTreeMap<ChannelId, Formats>,
    revision: u64,
}

impl Known {
    fn note(&mut self, channel: ChannelId, change: impl FnOnce(&mut Formats)) {
        let formats = self.formats.entry(channel).or_default();
        let before = *formats;
        change(formats);
        if *formats != before {
            self.revision += 1;
        }
    }
}

struct Shared {
    inbox: mpsc::Sender<Command>,
    leavers: Rc<Leavers>,
    relays: Vec<Rc<Relay>>,
    lineup: RefCell<Option<Arc<Lineup>>>,
    known: RefCell<Known>,
    lineup_changed: Notify,
    /// What the pool last looked like; the supervisor keeps it fresh.
    slots: RefCell<Vec<SlotView>>,
    /// What stands in the next viewer's way, slot by slot; looked at when a slot changes, and with each pulse.
    obstacles: RefCell<Vec<Option<Obstacle>>>,
    /// What each slot's child shows; meant while it plays.
    sights: RefCell<Vec<Judge>>,
    /// Channels that failed lately, likewise.
    channels: RefCell<Vec<ChannelView>>,
    watchers: RefCell<Vec<Watcher>>,
    /// The last one, over or not.
    preview: RefCell<Option<Rc<Preview>>>,
    next_viewer: Cell<u64>,
    metrics: Rc<Metrics>,
    problems: Problems,
    black_box: BlackBox,
    safe_mode: bool,
    ffmpeg: PathBuf,
    encoding: Option<Encoding>,
    /// Whether the box may promise to transcode. While encoders are tried again, what was known before.
    transcodes: Cell<bool>,
    /// Somebody wants to watch: trials give way.
    wanted: Notify,
    /// A person wants the encoders tried again.
    try_again: Notify,
}

/// Viewers who are gone and whom the supervisor has not noticed yet. Each accepted question has one place here, so it
/// is as bounded as connections are.
#[derive(Default)]
struct Leavers {
    gone: RefCell<VecDeque<ViewerId>>,
    some: Notify,
}

/// Who watches what.
#[derive(Clone, Debug)]
pub struct Watcher {
    viewer: ViewerId,
    /// On which slot; `None` while he waits for his answer.
    pub slot: Option<SlotIndex>,
    /// From where.
    pub peer: SocketAddr,
    /// Through which face.
    pub face: FaceId,
    /// Since when.
    pub since: Mono,
    /// He looks at a preview, and gives way to others.
    pub is_preview: bool,
    /// Set when his stream is to end while others go on.
    closed: Rc<Cell<bool>>,
}

/// A tuner as the page and the answers show it.
#[derive(Clone, Debug)]
pub struct Tuner {
    /// Its slot and what the pool knows.
    pub view: SlotView,
    /// Why the next viewer would be refused.
    pub obstacle: Option<Obstacle>,
    /// What its packets tell.
    pub stats: RelayStats,
    /// What those who hold on read in place of a picture, if they are shown anything.
    pub slate: Option<Rc<str>>,
    /// What there is to be seen, and since when.
    pub sight: (Sight, Mono),
    /// Who watches.
    pub watchers: Vec<Watcher>,
}

impl Tuner {
    /// Whether a viewer of another channel could have it.
    pub fn is_free(&self) -> bool {
        self.view.viewers == 0 && !matches!(self.view.state, SlotState::Quarantined)
    }
}

/// The engine, as others see it.
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

/// Makes the engine and the loop that runs it; the loop ends after [`Handle::drain`].
///
/// What an earlier run left running is ended first, and what its guard knew is taken over.
pub fn new(
    options: &Options,
    metrics: Rc<Metrics>,
    problems: Problems,
    black_box: BlackBox,
) -> (Handle, impl Future<Output = ()> + use<>) {
    let (sender, inbox) = mpsc::channel(ENGINE_INBOX);
    process::adopt_orphans();
    let shared = Rc::new(Shared {
        inbox: sender,
        leavers: Rc::default(),
        relays: (0..options.slots_len).map(|_| Relay::new(options.ring_mib)).collect(),
        lineup: RefCell::default(),
        known: RefCell::default(),
        lineup_changed: Notify::new(),
        slots: RefCell::default(),
        obstacles: RefCell::new(vec![None; options.slots_len]),
        sights: RefCell::new(vec![Judge::default(); options.slots_len]),
        channels: RefCell::default(),
        watchers: RefCell::default(),
        preview: RefCell::default(),
        next_viewer: Cell::new(1),
        metrics,
        problems,
        black_box,
        safe_mode: options.safe_mode,
        ffmpeg: options.ffmpeg.clone(),
        encoding: options.encoders.as_ref().map(|encoders| Encoding::new(encoders, encoders::has_device)),
        transcodes: Cell::new(false),
        wanted: Notify::new(),
        try_again: Notify::new(),
    });
    let supervisor = supervisor::Supervisor::new(options, Rc::clone(&shared), inbox);
    (Handle(shared), supervisor.run())
}

impl Handle {
    /// Asks to watch a channel of the present lineup in a profile, on `tuner` or on any, through a face that has a share
    /// of them.
    ///
    /// A box that cannot transcode at all gives the channel as it is, as one does that was never made for it.
    ///
    /// # Errors
    /// [`Refusal`], at once or within [`pure::limits::TUNE_DEADLINE_MS`].
    pub async fn watch(
        &self,
        channel: ChannelId,
        profile: Profile,
        tuner: Option<SlotIndex>,
        share: Share,
        peer: SocketAddr,
    ) -> Result<Viewer, Refusal> {
        let asked = self.ask(channel, profile, tuner, share, peer, false);
        self.answered(asked).await
    }

    /// The same for who controls `tuner` and keeps it meanwhile, see [`Handle::hold`]. Where others watch there what he
    /// does not want, he gets another one.
    ///
    /// # Errors
    /// As [`Handle::watch`].
    pub async fn watch_held(
        &self,
        channel: ChannelId,
        profile: Profile,
        tuner: SlotIndex,
        peer: SocketAddr,
    ) -> Result<Viewer, Refusal> {
        // Nobody gets in between these three: the supervisor takes them in their order.
        self.hold(tuner, false);
        let asked = self.ask(channel, profile, Some(tuner), Share::BOX, peer, false);
        self.hold(tuner, true);
        match self.answered(asked).await {
            Err(Refusal::TunerInUse) => self.watch(channel, profile, None, Share::BOX, peer).await,
            answered => answered,
        }
    }

    fn ask(
        &self,
        channel: ChannelId,
        profile: Profile,
        tuner: Option<SlotIndex>,
        share: Share,
        peer: SocketAddr,
        is_preview: bool,
    ) -> Result<Asked, Refusal> {
        let shared = &self.0;
        if shared.safe_mode {
            return Err(Refusal::Draining);
        }
        let viewer = ViewerId(shared.next_viewer.replace(shared.next_viewer.get() + 1));
        let seat = Seat { viewer, leavers: Rc::clone(&shared.leavers) };
        let (answer, answered) = oneshot::channel();
        let command = Command::Ask { viewer, channel, profile, tuner, share, peer, is_preview, answer };
        match shared.inbox.try_send(command) {
            Ok(()) => Ok(Asked { seat, answered }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Refusal::ViewersFull),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::Draining),
        }
    }

    async fn answered(&self, asked: Result<Asked, Refusal>) -> Result<Viewer, Refusal> {
        let shared = &self.0;
        let result = match asked {
            Ok(Asked { seat, answered }) => {
                let place = answered.await.unwrap_or(Err(Refusal::Draining));
                place.map(|place| (seat, place))
            }
            Err(refusal) => Err(refusal),
        };
        let (seat, place) = result.inspect_err(|refusal| shared.metrics.refused(*refusal))?;
        let relay = shared.relays.get(usize::from(place.slot.0)).ok_or(Refusal::AllTunersInUse)?;
        shared.metrics.streams_started.add(1);
        Ok(Viewer { slot: place.slot, cursor: Cursor::new(relay, place.from_start, place.closed), _seat: seat })
    }

    /// All tuners in order.
    pub fn tuners(&self) -> Vec<Tuner> {
        let slots = self.0.slots.borrow();
        let (watchers, sights) = (self.0.watchers.borrow(), self.0.sights.borrow());
        slots
            .iter()
            .zip(&self.0.relays)
            .zip(sights.iter().zip(self.0.obstacles.borrow().iter()))
            .map(|((view, relay), (judge, obstacle))| Tuner {
                view: *view,
                obstacle: *obstacle,
                stats: relay.stats(),
                slate: relay.slate_says(),
                sight: if view.state == SlotState::Playing { judge.sight() } else { (Sight::Unknown, view.since) },
                watchers: watchers.iter().filter(|watcher| watcher.slot == Some(view.slot)).cloned().collect(),
            })
            .collect()
    }

    /// Channels that have failed lately or rest.
    pub fn channels(&self) -> Vec<ChannelView> {
        self.0.channels.borrow().clone()
    }

    /// Whether no slot is taken.
    pub fn is_free(&self) -> bool {
        self.0.slots.borrow().iter().all(|slot| slot.state == SlotState::Free)
    }

    /// How many tuners there are.
    pub fn tuners_len(&self) -> usize {
        self.0.relays.len()
    }

    /// The lineup; `None` while none was loaded yet.
    pub fn lineup(&self) -> Option<Arc<Lineup>> {
        self.0.lineup.borrow().clone()
    }

    /// What a channel was made of when it last played; `None` when it has not played yet.
    pub fn formats(&self, channel: ChannelId) -> Option<Formats> {
        self.0.known.borrow().formats.get(&channel).copied()
    }

    /// Another number whenever [`Handle::formats`] has something new to say.
    pub fn formats_revision(&self) -> u64 {
        self.0.known.borrow().revision
    }

    /// Replaces the lineup. Who watches a channel that is gone keeps his feed.
    pub fn set_lineup(&self, lineup: Arc<Lineup>) {
        self.0.known.borrow_mut().formats.retain(|channel, _| lineup.by_id(*channel).is_some());
        *self.0.lineup.borrow_mut() = Some(lineup);
        self.0.lineup_changed.notify_waiters();
    }

    /// Returns when there is another lineup.
    pub async fn lineup_changed(&self) {
        self.0.lineup_changed.notified().await;
    }

    /// Returns once the loop has turned, and swept when that was due. Whoever waits for it in vain knows that it hangs.
    pub async fn pulse(&self) -> bool {
        let (done, turned) = oneshot::channel();
        self.0.inbox.send(Command::Pulse { done }).await.is_ok() && turned.await.is_ok()
    }

    /// Keeps a tuner for somebody who controls it, or gives it back. It takes effect before any later [`Handle::watch`].
    /// Says whether that was heard.
    pub fn hold(&self, slot: SlotIndex, is_held: bool) -> bool {
        self.0.inbox.try_send(Command::Hold { slot, is_held }).is_ok()
    }

    /// A person wants a tuner given back, whoever watches there. Says whether that was heard.
    pub fn free(&self, slot: SlotIndex) -> bool {
        self.0.inbox.try_send(Command::Free { slot }).is_ok()
    }

    /// A person wants a channel that rests tried again. Says whether that was heard.
    pub fn retry(&self, channel: ChannelId) -> bool {
        self.0.inbox.try_send(Command::Retry { channel }).is_ok()
    }

    /// Whether the box may promise to transcode, which its model says.
    pub fn transcodes(&self) -> bool {
        self.0.transcodes.get()
    }

    /// The encoders of this box, in order of preference; none when it is not to transcode.
    pub fn encoders(&self) -> Vec<Shown> {
        self.0.encoding.as_ref().map(Encoding::shown).unwrap_or_default()
    }

    /// A person wants the encoders tried again, because something was plugged in or installed.
    pub fn try_encoders_again(&self) {
        self.0.try_again.notify_one();
    }

    /// Tries the encoders of this box while nobody needs it, and whenever a person wants that; never ends. `tried` is
    /// called after each time, once where there are none, and given up when they are to be tried again.
    pub async fn try_encoders(&self, mut tried: impl AsyncFnMut()) {
        let shared = &self.0;
        if shared.safe_mode {
            return std::future::pending().await;
        }
        clock::pause(TRIALS_AFTER_MS).await;
        let Some(encoding) = &shared.encoding else {
            tried().await;
            return std::future::pending().await;
        };
        loop {
            let start = async |recipe: &Recipe| self.start_trial(recipe).await;
            if encoding.try_all(start, shared.wanted.notified()).await {
                shared.transcodes.set(encoding.can_transcode() == Some(true));
                tracing::info!("{}", encoding.sentence());
                tokio::select! {
                    () = shared.try_again.notified() => {}
                    () = async { tried().await; std::future::pending().await } => {}
                }
                encoding.try_again();
            } else {
                clock::pause(TRIALS_RETRY_MS).await;
            }
        }
    }

    /// How much faster than it plays the processor decodes what the last trial made, in percent, found out while nobody
    /// needs the board; `None`: it made nothing, or that cannot be found out.
    pub async fn decode_percent(&self) -> Option<u32> {
        let shared = &self.0;
        let clip = shared.encoding.as_ref()?.take_clip();
        if clip.is_empty() {
            return None;
        }
        loop {
            let measured = async { Some(measure::decode(self.trial_permit().await?, &shared.ffmpeg, &clip).await) };
            let outcome = tokio::select! {
                biased;
                () = shared.wanted.notified() => None,
                outcome = measured => outcome,
            };
            match outcome {
                Some(percent) => return percent,
                None => clock::pause(TRIALS_RETRY_MS).await,
            }
        }
    }

    async fn trial_permit(&self) -> Option<TrialPermit> {
        let (answer, permit) = oneshot::channel();
        self.0.inbox.send(Command::Trial { answer }).await.ok()?;
        permit.await.ok()
    }

    /// `None`: not now.
    async fn start_trial(
        &self,
        recipe: &Recipe,
    ) -> Option<io::Result<Started<pipe::Receiver, ChildStderr, impl Future<Output = io::Result<ExitStatus>> + use<>>>>
    {
        let permit = self.trial_permit().await?;
        match process::trial(permit, &self.0.ffmpeg, recipe.args()) {
            Ok(child) => {
                let (_, output, words, mut reaper) = child.split();
                Some(Ok(Started { output, words, end: async move { reaper.reap().await } }))
            }
            Err(error) if error.is_resource() => None,
            Err(error) => Some(Err(io::Error::other(error.to_string()))),
        }
    }

    /// Runs a program that checks the signature of a file, or has one written, for `ms_max` at most; `on_line` hears what
    /// it says. One at a time, please.
    pub async fn check(
        &self,
        program: &Path,
        arguments: &[OsString],
        ms_max: u64,
        on_line: &mut dyn FnMut(&str),
    ) -> Checked {
        let (answer, permit) = oneshot::channel();
        if self.0.inbox.send(Command::Check { answer }).await.is_err() {
            return Checked::NotNow;
        }
        match permit.await {
            Ok(permit) => check::check(ms_max, permit, program, arguments, on_line).await,
            Err(_) => Checked::NotNow,
        }
    }

    /// Ends all feeds and lets nobody in; returns when every child is reaped.
    pub async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        if self.0.inbox.send(Command::Drain { done }).await.is_ok() {
            // An error says that the loop is gone, and its children with it.
            drained.await.unwrap_or_default();
        }
    }
}

/// A question on its way. Dropped, it leaves again.
struct Asked {
    seat: Seat,
    answered: oneshot::Receiver<Result<Place, Refusal>>,
}

/// A seat in the pool; giving it back is a plain drop.
struct Seat {
    viewer: ViewerId,
    leavers: Rc<Leavers>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leavers.gone.borrow_mut().push_back(self.viewer);
        self.leavers.some.notify_one();
    }
}

/// Somebody who has a picture. Dropping him gives his place back.
pub struct Viewer {
    /// The tuner he occupies.
    pub slot: SlotIndex,
    cursor: Cursor,
    _seat: Seat,
}

impl Viewer {
    /// Sends what is there with `write`, which takes what it can and may say [`io::ErrorKind::WouldBlock`]. Only
    /// whole packets go out over the life of a viewer, unless `write` fails. While his channel's child is replaced, he
    /// is held with packets that carry nothing.
    ///
    /// # Errors
    /// What `write` said: the client is gone.
    pub fn send(&mut self, write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<Progress> {
        self.cursor.send(write)
    }

    /// Waits until [`Viewer::send`] may find more, or the end. There is a timer only while he is held.
    pub async fn more(&self) {
        self.cursor.more().await;
    }
}

//! The update room: takes bundles in, has their signature verified before anything else is done with them, has them
//! installed by RAUC when nobody is disturbed by it, and tells afterwards what came of that.
//!
//! A bundle comes from the page, from `hdhomerun_config upgrade`, from an address, or from the channel that the owner
//! chose. It is poured into one file (`intake.rs`), or RAUC reads it where it is, if its server gives out parts. RAUC
//! verifies and installs (`rauc.rs`); `carry.rs` takes it all the way, step by step. `channel.rs` believes a channel or not,
//! and `offer.rs` makes of that what this box may have. `trial.rs` finds out after a fresh start of the box what came of it,
//! and `memory.rs` keeps what must be known then. What may be installed and when: `pure::rules::updating`.
//!
//! Not here: the fresh start itself, which a root unit makes when the file `reboot` or `factory-reset` appears in our
//! runtime directory; and whether the new system is kept, which `tunerd --prove` finds out and the boot loader carries out.

mod carry;
mod channel;
mod intake;
mod memory;
mod offer;
mod rauc;
mod release;
mod trial;

use crate::clock;
use crate::engine;
use crate::fetch::Fetcher;
use crate::observe::problems::{Problems, Topic};
use carry::Bundle;
pub use intake::Incoming;
use memory::Memory;
pub use memory::{Attempt, Last, Offered, had_channels, proved, proving};
use pure::limits::{CHANNEL_PERIOD_S, UPDATE_LOOK_MS, UPLOAD_NOTICE_MS};
use pure::model::device_id::DeviceId;
use pure::model::notification::Event;
use pure::model::source_url::SourceUrl;
use pure::model::wishes::Wishes;
use pure::rules::timetable;
use pure::rules::updating::{Haste, Phase, Refusal, Updating, Version};
use pure::time::{Mono, Wall};
use rauc::Rauc;
pub use rauc::{Boot, BootSlot};
use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The file of an upload, in the state directory.
const FILE: &str = "upload.raucb";
/// Asks for a fresh start of the box, in the runtime directory.
const REBOOT: &str = "reboot";
/// The same, with everything forgotten before.
const FACTORY_RESET: &str = "factory-reset";
/// Says that what this box trusts was made for trying things out.
const DEVELOPMENT_KEYS: &str = "/etc/tunerd/development-keys";
/// Where a system says which one it is. Source: `os-release(5)`.
const OS_RELEASE: &str = "/etc/os-release";

/// How updates are taken.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most bytes that somebody may send with `hdhomerun_config`; none when nobody may.
    pub upload_bytes_max: Option<u32>,
    /// The most bytes that any bundle may have.
    pub bundle_bytes_max: u64,
    /// The certificates of those who may sign.
    pub keyring: PathBuf,
    /// The channel, where the owner has not chosen another one.
    pub channel: Option<String>,
    /// Where files are kept.
    pub state_dir: PathBuf,
    /// Where a fresh start is asked for.
    pub runtime_dir: PathBuf,
    /// Who we are.
    pub device: DeviceId,
}

/// The rooms that we work with.
#[derive(Clone)]
pub struct Rooms {
    /// Who starts RAUC, and knows who watches.
    pub engine: engine::Handle,
    /// Who asks servers.
    pub fetcher: Fetcher,
    /// What people are told.
    pub problems: Problems,
}

/// What doors know of the room.
#[derive(Clone)]
pub struct Handle(Rc<Room>);

struct Room {
    options: Options,
    rooms: Rooms,
    machine: RefCell<Updating>,
    memory: RefCell<Memory>,
    /// Writes to the disk come one after the other.
    saving: tokio::sync::Mutex<()>,
    /// A second one is with whoever has the file.
    seat: Arc<()>,
    /// What is under way.
    job: RefCell<Option<AbortHandle>>,
    boot: RefCell<Option<Boot>>,
    /// Why the last one was refused.
    refused: Cell<Option<(Wall, Refusal)>>,
    /// When the channel was asked, and what is wrong with it.
    asked: Cell<Option<(Wall, Option<Refusal>)>>,
    wishes: RefCell<Wishes>,
    /// Before that, nothing is brought by itself.
    next_try_at: Cell<Mono>,
    /// Ends what the page tells of the last refusal.
    notice: RefCell<Option<AbortHandle>>,
    news: RefCell<Vec<(Event, String)>>,
    wanted: Notify,
}

/// The one update that there may be. Dropped, there is none any more.
pub struct Claim(Weak<Room>);

impl Claim {
    fn fetched(&self, bytes: u64, of: Option<u64>) {
        if let Some(room) = self.0.upgrade() {
            room.machine.borrow_mut().fetched(bytes, of);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(room) = self.0.upgrade() {
            room.machine.borrow_mut().end();
        }
    }
}

/// From where an update is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Whatever the channel has.
    Channel,
    /// A bundle at an address.
    Address(SourceUrl),
}

impl From {
    /// `channel`, or an address.
    ///
    /// # Errors
    /// [`Refusal::BadAddress`]
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text == "channel" { Ok(Self::Channel) } else { channel::address(text).map(Self::Address) }
    }
}

/// All that there is to tell.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub struct View {
    /// Whether there are boot slots to install into.
    pub has_slots: bool,
    /// The version of the whole system, as it says itself.
    pub system: Option<String>,
    /// What there is to start from.
    pub boot: Option<Boot>,
    /// Whether what this box trusts was made for trying things out.
    pub has_development_keys: bool,
    /// How far the update is.
    pub phase: Phase,
    /// How it goes its way.
    pub haste: Option<Haste>,
    /// Which version it is.
    pub version: Option<String>,
    /// Whether it can be thrown away.
    pub can_cancel: bool,
    /// Whether what runs has yet to prove itself.
    pub is_on_trial: bool,
    /// When and why the last one was refused.
    pub refused: Option<(Wall, Refusal)>,
    /// What the channel has.
    pub offered: Option<Offered>,
    /// When the channel was asked, and what was wrong with it.
    pub asked: Option<(Wall, Option<Refusal>)>,
    /// What came of the last one.
    pub last: Option<Last>,
}

impl Handle {
    /// A room without an update; what an earlier run left is removed.
    pub fn new(options: Options, rooms: Rooms) -> Self {
        let left = options.state_dir.join(FILE);
        match fs::remove_file(&left) {
            Ok(()) => tracing::info!(file = %left.display(), "removed what was left of an upload"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The state directory is no good; the store says so.
            Err(error) => tracing::debug!(file = %left.display(), %error, "cannot be removed"),
        }
        fs::remove_file(options.runtime_dir.join(REBOOT)).unwrap_or_default();
        let memory = Memory::load(&options.state_dir);
        Self(Rc::new(Room {
            options,
            rooms,
            machine: RefCell::default(),
            memory: RefCell::new(memory),
            saving: tokio::sync::Mutex::new(()),
            seat: Arc::default(),
            job: RefCell::default(),
            boot: RefCell::default(),
            refused: Cell::default(),
            asked: Cell::default(),
            wishes: RefCell::default(),
            next_try_at: Cell::default(),
            notice: RefCell::default(),
            news: RefCell::default(),
            wanted: Notify::new(),
        }))
    }

    /// The most bytes that somebody may send with `hdhomerun_config`; none when nobody may.
    pub fn upload_bytes_max(&self) -> Option<u32> {
        self.0.options.upload_bytes_max
    }

    /// How things are.
    pub fn view(&self) -> View {
        let room = &self.0;
        let (machine, memory) = (room.machine.borrow(), room.memory.borrow());
        View {
            has_slots: rauc::has_slots(),
            system: running(),
            boot: room.boot.borrow().clone(),
            has_development_keys: Path::new(DEVELOPMENT_KEYS).exists(),
            phase: machine.phase().clone(),
            haste: machine.haste(),
            version: machine.version().map(ToString::to_string),
            can_cancel: machine.can_cancel(),
            is_on_trial: room.is_on_trial(),
            refused: room.refused.get(),
            offered: memory.offered.clone(),
            asked: room.asked.get(),
            last: memory.last.clone(),
        }
    }

    /// Begins to take a bundle in that somebody sends.
    ///
    /// # Errors
    /// There is an update already, or no thread for it.
    pub fn begin(&self, haste: Haste) -> Result<Incoming, Refusal> {
        self.0.receive(haste)
    }

    /// Verifies what has come in, and goes on with it if it may be installed: the answer is which version that is.
    ///
    /// # Errors
    /// [`Refusal`]: it is gone.
    pub async fn take(&self, mut incoming: Incoming) -> Result<Version, Refusal> {
        match self.0.judge_file(&mut incoming).await {
            Ok(version) => {
                self.0.refused.set(None);
                let room = Rc::clone(&self.0);
                let accepted = version.clone();
                self.0.work(async move { room.carry(Bundle::File(incoming), accepted).await });
                Ok(version)
            }
            Err(refusal) => {
                drop(incoming.discard().await);
                self.0.refused.set(Some((clock::wall(), refusal)));
                Err(refusal)
            }
        }
    }

    /// Begins to install what is somewhere else.
    ///
    /// # Errors
    /// [`Refusal`]: it does not even begin. What goes wrong later, [`View::refused`] tells.
    pub fn install(&self, from: From, haste: Haste) -> Result<(), Refusal> {
        if !rauc::has_slots() {
            return Err(Refusal::NotOurImage);
        }
        if self.0.is_on_trial() {
            return Err(Refusal::OnTrial);
        }
        if haste == Haste::Now && matches!(self.0.machine.borrow().phase(), Phase::Waiting | Phase::Written) {
            // What was to wait does not have to any more.
            self.0.machine.borrow_mut().hurry();
            return Ok(());
        }
        if from == From::Channel && self.0.channel().is_none() {
            return Err(Refusal::NoChannel);
        }
        let incoming = self.0.receive(haste)?;
        self.0.refused.set(None);
        let room = Rc::clone(&self.0);
        self.0.work(async move {
            if let Err(refusal) = room.bring(from, incoming).await {
                tracing::warn!(why = refusal.words(), "an update was not installed");
                room.refused.set(Some((clock::wall(), refusal)));
            }
        });
        Ok(())
    }

    /// Throws away what is not written yet.
    ///
    /// # Errors
    /// [`Refusal::TooLate`]
    pub fn cancel(&self) -> Result<(), Refusal> {
        if !self.0.machine.borrow().can_cancel() {
            return Err(Refusal::TooLate);
        }
        let job = self.0.job.borrow_mut().take();
        let job = job.ok_or(Refusal::TooLate)?;
        job.abort();
        self.0.refused.set(Some((clock::wall(), Refusal::Cancelled)));
        Ok(())
    }

    /// Starts the box anew.
    ///
    /// # Errors
    /// Something is being written, or nobody here could do it.
    pub fn reboot(&self) -> Result<(), Refusal> {
        if !rauc::has_slots() {
            return Err(Refusal::NotOurImage);
        }
        let permit = self.0.machine.borrow_mut().reboot_now()?;
        self.0.ask_root(permit, REBOOT)
    }

    /// Has all forgotten that the owner ever set, and starts the box anew. Who asks has made sure that it is the owner.
    ///
    /// # Errors
    /// As for [`Self::reboot`].
    pub fn factory_reset(&self) -> Result<(), Refusal> {
        if !rauc::has_slots() {
            return Err(Refusal::NotOurImage);
        }
        let permit = self.0.machine.borrow_mut().reboot_now()?;
        self.0.ask_root(permit, FACTORY_RESET)
    }

    /// Goes back to the other version, and starts the box anew for that.
    ///
    /// # Errors
    /// There is none, or something is being written.
    pub async fn back(&self) -> Result<(), Refusal> {
        if !rauc::has_slots() {
            return Err(Refusal::NotOurImage);
        }
        let boot = self.0.look().await?;
        let (Some(here), Some(other)) = (boot.booted(), boot.other().filter(|slot| slot.is_good)) else {
            return Err(Refusal::NoWayBack);
        };
        let permit = self.0.machine.borrow_mut().reboot_now()?;
        let attempt = Attempt {
            version: other.version.clone().unwrap_or_default(),
            from: running().unwrap_or_default(),
            from_slot: here.name.clone(),
            boot: clock::boot_id().to_owned(),
            written: true,
            back: true,
            channels: self.0.channels_len(),
        };
        let gone = async {
            self.0.attempt(Some(attempt)).await?;
            self.0.rauc()?.mark("mark-active", "other").await?;
            self.0.ask_root(permit, REBOOT)
        };
        let gone = gone.await;
        if gone.is_err() {
            self.0.machine.borrow_mut().reboot_failed();
            self.0.attempt(None).await.unwrap_or_default();
        }
        gone
    }

    /// Asks the channel now.
    ///
    /// # Errors
    /// There is none.
    pub fn check(&self) -> Result<(), Refusal> {
        if !rauc::has_slots() {
            return Err(Refusal::NotOurImage);
        }
        self.0.channel().ok_or(Refusal::NoChannel)?;
        self.0.wanted.notify_one();
        Ok(())
    }

    /// Tells people that somebody's upload was refused.
    pub fn refused(&self, peer: IpAddr, refusal: Refusal) {
        let text = format!("An update from {peer} was not installed: {}.", refusal.words());
        let problems = &self.0.rooms.problems;
        problems.set(Topic::Update, text);
        let over = tokio::task::spawn_local({
            let problems = problems.clone();
            async move {
                clock::pause(UPLOAD_NOTICE_MS).await;
                problems.clear(Topic::Update);
            }
        });
        if let Some(earlier) = self.0.notice.replace(Some(over.abort_handle())) {
            earlier.abort();
        }
    }
}

/// Looks at what the last start came to, asks the channel on a timetable, and lets updates that nobody asked for go their
/// way; never ends. `wishes`: what the owner says now; `tell`: who wants to hear news.
pub async fn run(handle: Handle, wishes: impl Fn() -> Wishes, tell: impl Fn(Event, String)) {
    let room = &handle.0;
    if !rauc::has_slots() {
        return;
    }
    *room.wishes.borrow_mut() = wishes();
    if room.look().await.is_err() {
        tracing::warn!("RAUC does not say what there is to start from");
    }
    room.look_back().await;
    room.tell_recall();
    let chance = u64::from(room.options.device.get());
    // Not all boxes of a street at once after a power cut, and not while this one is just starting.
    let mut ask_at = clock::mono().plus_ms(120_000 + chance % 600 * 1_000);
    let mut failures = 0;
    loop {
        for (event, thing) in room.news.take() {
            tell(event, thing);
        }
        let is_due = clock::mono() >= ask_at;
        let is_wanted = tokio::select! {
            () = room.wanted.notified() => true,
            () = clock::pause(if room.memory.borrow().attempt.is_some() { UPDATE_LOOK_MS } else { 15_000 }) => false,
        };
        *room.wishes.borrow_mut() = wishes();
        room.settle().await;
        if (is_due || is_wanted) && room.channel().is_some() {
            let found = room.ask_channel().await;
            failures = if found.is_ok() { 0 } else { failures + 1 };
            let now = clock::mono();
            ask_at = match found {
                Ok(_) => timetable::after_success(now, CHANNEL_PERIOD_S, chance),
                Err(_) => timetable::after_failure(now, failures, chance),
            };
        }
        room.go_by_itself(&handle);
    }
}

impl Room {
    fn receive(self: &Rc<Self>, haste: Haste) -> Result<Incoming, Refusal> {
        if Arc::strong_count(&self.seat) > 1 {
            return Err(Refusal::Busy);
        }
        self.machine.borrow_mut().begin(haste)?;
        let claim = Claim(Rc::downgrade(self));
        let Options { state_dir, bundle_bytes_max, .. } = &self.options;
        Incoming::begin(claim, state_dir.join(FILE), Arc::clone(&self.seat), *bundle_bytes_max)
    }

    /// Does something in the background, of which there is one at a time.
    fn work(self: &Rc<Self>, job: impl Future<Output = ()> + 'static) {
        let room = Rc::downgrade(self);
        let job = tokio::task::spawn_local(async move {
            job.await;
            if let Some(room) = room.upgrade() {
                room.job.borrow_mut().take();
            }
        });
        *self.job.borrow_mut() = Some(job.abort_handle());
    }

    fn rauc(&self) -> Result<Rauc<'_>, Refusal> {
        Rauc::find(&self.rooms.engine, &self.options.keyring)
    }

    /// Asks what there is to start from.
    async fn look(&self) -> Result<Boot, Refusal> {
        let mut boot = self.rauc()?.status().await?;
        // RAUC does not know what was written onto the card without it; the first update came from there.
        if let Some(other) = boot.slots.iter_mut().find(|slot| !slot.is_booted && slot.version.is_none()) {
            let memory = self.memory.borrow();
            let last = memory.last.as_ref().filter(|last| last.outcome == "installed");
            other.version = last.map(|last| last.from.clone());
        }
        *self.boot.borrow_mut() = Some(boot.clone());
        Ok(boot)
    }

    fn is_on_trial(&self) -> bool {
        let memory = self.memory.borrow();
        memory.attempt.as_ref().is_some_and(|attempt| attempt.boot != clock::boot_id())
    }

    fn channels_len(&self) -> usize {
        self.rooms.engine.lineup().map_or(0, |lineup| lineup.channels().len())
    }
}

/// Which version the whole system is.
fn running() -> Option<String> {
    let text = fs::read_to_string(OS_RELEASE).ok()?;
    let value = |key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        let found = found.trim().trim_matches(['"', '\'']);
        (!found.is_empty()).then(|| found.to_owned())
    };
    value("IMAGE_VERSION").or_else(|| value("VERSION_ID"))
}

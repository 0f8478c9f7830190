//! Keeps what the owner subscribed to fresh, and turns it into the lineup; what is on: [`guides`].
//!
//! A lineup that was loaded once is kept: whatever goes wrong with a later refresh, clients see the old channels and the
//! page says what happened. One refresh goes on at a time. How a playlist is read: `pure::wire::m3u`; how it gets to the
//! store: `intake`; what the owner may ask: `desk`; where everything is kept: [`crate::store`]; when a refresh is due:
//! `pure::rules::timetable`.

mod desk;
mod document;
mod faces;
pub mod guides;
mod intake;
mod keep;
mod logos;
mod wishes;
mod xtream;

pub use crate::store::{Restored, Revision};
pub use desk::{Error, View};

use crate::clock;
use crate::engine;
use crate::fetch::Fetcher;
use crate::observe::metrics::{Metrics, Rebuilt};
use crate::observe::problems::{Problems, Topic};
use crate::store::guide::Validators;
use crate::store::{self, Adopted, Origin};
use bytes::Bytes;
use document::Asking;
use intake::{Intake, M3u};
use pure::limits::{CHANNELS_MAX, FETCH_MS_MAX, PLEX_CHANNELS_MAX};
use pure::model::lineup::{ChannelId, Lineup, Mark};
use pure::model::subscription::{Facts, Kind, Listing, Refreshed, Subscription, SubscriptionId};
use pure::rules::timetable;
use pure::time::{Mono, Wall};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// How often it is looked whether anybody still reads an old lineup.
const DISCARD_MS: u64 = 100;
/// How much of a refresh is done once all is read.
const READ_PERCENT: u64 = 95;

/// How the last refreshes went, all together.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// One is going on.
    pub in_progress: bool,
    /// How far it is, in percent.
    pub progress: u8,
    /// Entries that it has found so far.
    pub found_now: u32,
    /// Entries found in the last ones that worked.
    pub found: u32,
    /// Entries left out of them.
    pub skipped: u32,
    /// Why the first of them was left out.
    pub first_skipped: Option<String>,
    /// When the last one that worked ended.
    pub loaded_at: Option<Wall>,
}

/// What the owner thinks of channels.
#[derive(Debug, Default)]
pub struct Marks {
    by_channel: BTreeMap<ChannelId, Mark>,
    /// Another number for every change.
    pub revision: u64,
}

impl Marks {
    /// What he thinks of one.
    pub fn of(&self, channel: ChannelId) -> Mark {
        self.by_channel.get(&channel).copied().unwrap_or_default()
    }
}

/// How far a refresh is.
#[derive(Debug, Default)]
struct Progress {
    found: Cell<u32>,
    percent: Cell<u8>,
    /// How many there were the last time.
    expected: Cell<u32>,
}

impl Progress {
    fn restart(&self, expected: u32) {
        self.found.set(0);
        self.percent.set(0);
        self.expected.set(expected);
    }

    fn note(&self, found: u32, bytes: u64, whole: Option<u64>) {
        self.found.set(found);
        // Where the end is not known, it is probably as far away as it was the last time.
        let (done, all) = match whole {
            Some(whole) => (bytes, whole),
            None => (found.into(), self.expected.get().into()),
        };
        // What is read has to be stored, too.
        let percent = done.min(all) * READ_PERCENT / all.max(1);
        self.percent.set(self.percent.get().max(u8::try_from(percent).unwrap_or(0)));
    }
}

/// What is done about a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Queued,
    Running,
}

/// A subscription and its refreshes.
struct Job {
    subscription: Subscription,
    listing: Listing,
    state: State,
    failures: u32,
    due: Option<Mono>,
    skipped: u32,
    first_skipped: Option<String>,
    /// Why the last refresh failed.
    error: Option<String>,
    /// How many channels the owner wants in all, if that is too many.
    too_many: Option<usize>,
}

impl Job {
    fn new(subscription: Subscription, listing: Listing) -> Self {
        Self {
            subscription,
            listing,
            state: State::Idle,
            failures: 0,
            due: None,
            skipped: 0,
            first_skipped: None,
            error: None,
            too_many: None,
        }
    }

    /// Has it refreshed; one that is going on is enough.
    fn queue(&mut self) {
        if self.state == State::Idle {
            self.state = State::Queued;
        }
    }

    /// Whether there is somewhere to fetch it from.
    fn can_fetch(&self) -> bool {
        self.subscription.enabled && self.subscription.kind != Kind::Upload
    }
}

/// What the settings say.
#[derive(Clone, Default)]
struct Written {
    playlist: Option<String>,
    groups: Option<Vec<String>>,
}

/// The rooms that we work with.
#[derive(Clone)]
pub struct Rooms {
    /// Where everything is kept.
    pub store: store::Handle,
    /// Where guides are kept and made.
    pub guide: store::guide::Handle,
    /// Whose lineup it is.
    pub engine: engine::Handle,
    /// What is wrong.
    pub problems: Problems,
    /// Who fetches.
    pub fetcher: Fetcher,
    /// Counters.
    pub metrics: Rc<Metrics>,
}

struct Shared {
    rooms: Rooms,
    written: RefCell<Written>,
    /// The settings' subscription is to be made what they say.
    to_follow: Cell<bool>,
    /// Everything is to be shown anew: somebody waits for it.
    to_show: Cell<bool>,
    /// What clients see is what the store has.
    is_shown: Cell<bool>,
    jobs: RefCell<BTreeMap<SubscriptionId, Job>>,
    progress: Progress,
    marks: RefCell<Rc<Marks>>,
    wanted: Notify,
    /// Nobody waits for the refresh that is going on any more.
    unwanted: Notify,
    /// Held while something is imported.
    importing: Mutex<()>,
    /// Held while channels are made.
    adopting: Mutex<()>,
    logos: logos::Logos,
    guides: guides::Handle,
    faces: faces::Faces,
    said: wishes::Said,
}

/// The subscriptions, as others see them.
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

impl Handle {
    /// With the playlist and the groups of it that the settings name.
    pub fn new(rooms: Rooms, playlist: Option<String>, groups: Option<Vec<String>>, guides: guides::Handle) -> Self {
        Self(Rc::new(Shared {
            rooms,
            written: RefCell::new(Written { playlist, groups }),
            to_follow: Cell::new(true),
            to_show: Cell::new(true),
            is_shown: Cell::new(false),
            jobs: RefCell::default(),
            progress: Progress::default(),
            marks: RefCell::default(),
            wanted: Notify::new(),
            unwanted: Notify::new(),
            importing: Mutex::new(()),
            adopting: Mutex::new(()),
            logos: logos::Logos::new(),
            guides,
            faces: faces::Faces::new(),
            said: wishes::Said::new(),
        }))
    }

    /// The guides.
    pub fn guides(&self) -> &guides::Handle {
        &self.0.guides
    }

    /// Asks for a refresh of everything; one that is going on is enough. From now on one is in progress, until its
    /// channels are there: clients ask for their lineup in the moment when it ends.
    pub fn refresh(&self) {
        self.0.jobs.borrow_mut().values_mut().filter(|job| job.can_fetch()).for_each(Job::queue);
        self.0.to_show.set(true);
        self.0.wanted.notify_one();
    }

    /// Gives up refreshes that are going on or wait. The channels stay as they are.
    pub fn abort(&self) {
        for job in self.0.jobs.borrow_mut().values_mut().filter(|job| job.state == State::Queued) {
            job.state = State::Idle;
        }
        self.0.unwanted.notify_waiters();
    }

    /// What the owner thinks of channels.
    pub fn marks(&self) -> Rc<Marks> {
        Rc::clone(&self.0.marks.borrow())
    }

    /// Keeps what the owner thinks of a channel; it is so once this comes back.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn mark(&self, channel: ChannelId, mark: Mark) -> Result<(), store::StoreError> {
        self.mark_all(vec![channel], mark).await
    }

    async fn mark_all(&self, channels: Vec<ChannelId>, mark: Mark) -> Result<(), store::StoreError> {
        let handle = self.clone();
        // To the end, even if who asked leaves in the middle: what is stored must also be shown.
        let done = tokio::task::spawn_local(async move {
            handle.0.rooms.store.set_marks(channels.clone(), mark).await?;
            let old = handle.marks();
            let mut by_channel = old.by_channel.clone();
            for channel in channels {
                match mark {
                    Mark::Plain => by_channel.remove(&channel),
                    Mark::Favorite | Mark::Hidden => by_channel.insert(channel, mark),
                };
            }
            *handle.0.marks.borrow_mut() = Rc::new(Marks { by_channel, revision: old.revision + 1 });
            faces::show(&handle);
            handle.0.guides.make_anew();
            Ok(())
        });
        done.await.unwrap_or_else(|_| Err(store::StoreError::busy()))
    }

    /// Takes what the settings say now, and fetches it.
    pub fn set_playlist(&self, playlist: Option<String>, groups: Option<Vec<String>>) {
        *self.0.written.borrow_mut() = Written { playlist, groups };
        self.0.to_follow.set(true);
        self.0.to_show.set(true);
        self.0.wanted.notify_one();
    }

    /// How the last refreshes went.
    pub fn status(&self) -> Status {
        let jobs = self.0.jobs.borrow();
        let enabled = || jobs.values().filter(|job| job.subscription.enabled);
        Status {
            in_progress: self.0.to_show.get() || enabled().any(|job| job.state != State::Idle),
            progress: self.0.progress.percent.get(),
            found_now: self.0.progress.found.get(),
            found: enabled().map(|job| job.listing.entries).sum(),
            skipped: enabled().map(|job| job.skipped).sum(),
            first_skipped: enabled().find_map(|job| job.first_skipped.clone()),
            loaded_at: enabled().filter_map(|job| job.listing.loaded_at).max(),
        }
    }

    /// Whether the lineup comes from a subscription.
    pub fn has_playlist(&self) -> bool {
        self.0.written.borrow().playlist.is_some() || self.0.jobs.borrow().values().any(|job| job.subscription.enabled)
    }
}

/// Shows what is stored, then fetches what is due and whatever somebody asks for; never ends.
pub async fn run(handle: Handle) {
    // Before the first lineup: what is hidden must not be shown for a moment.
    recall_marks(&handle).await;
    wishes::recall(&handle).await;
    faces::recall(&handle).await;
    tokio::select! {
        () = guides::run(&handle, true) => {}
        () = refresh(&handle) => {}
    }
}

async fn refresh(handle: &Handle) {
    let shared = &handle.0;
    loop {
        if shared.to_follow.take() {
            follow(handle).await;
        }
        let next = next_job(handle);
        if let Some(id) = next {
            // It is in progress by its own now.
            shared.to_show.set(false);
            refresh_one(handle, id).await;
            continue;
        }
        if shared.to_show.get() && !has_jobs(handle) {
            show_demo(handle).await;
        }
        shared.to_show.set(false);
        if shared.to_follow.get() {
            continue;
        }
        let due = shared.jobs.borrow().values().filter_map(|job| job.due).min();
        tokio::select! {
            () = shared.wanted.notified() => {}
            () = clock::until(due) => {}
        }
    }
}

async fn recall_marks(handle: &Handle) {
    let Rooms { store, problems, .. } = &handle.0.rooms;
    match store.marks().await {
        Ok(by_channel) => {
            let revision = handle.marks().revision + 1;
            *handle.0.marks.borrow_mut() = Rc::new(Marks { by_channel, revision });
        }
        Err(error) => problems.set(Topic::Lineup, format!("Favourites could not be read: {error}")),
    }
}

/// Whether channels are to be expected of a subscription. One that nothing was uploaded to is none yet.
fn has_jobs(handle: &Handle) -> bool {
    handle.0.jobs.borrow().values().any(|job| job.can_fetch() || job.subscription.enabled && job.listing.entries > 0)
}

/// The next subscription to refresh: one that somebody waits for, or one that is due.
fn next_job(handle: &Handle) -> Option<SubscriptionId> {
    let (now, jobs) = (clock::mono(), handle.0.jobs.borrow());
    let queued = jobs.iter().find(|(_, job)| job.state == State::Queued);
    let due = || jobs.iter().find(|(_, job)| job.can_fetch() && job.due.is_some_and(|due| due <= now));
    queued.or_else(due).map(|(id, _)| *id)
}

/// Makes the stored subscriptions what the settings say, and shows what they list already: channels that were known
/// before the start are there at once, even while the network is not.
async fn follow(handle: &Handle) {
    let followed = store_settings(handle).await;
    reload(handle).await;
    if has_jobs(handle) {
        show(handle).await;
    } else {
        handle.0.rooms.problems.clear(Topic::Playlist);
    }
    let now = clock::mono();
    for (id, job) in handle.0.jobs.borrow_mut().iter_mut().filter(|(_, job)| job.can_fetch()) {
        if Some(*id) == followed {
            job.state = State::Queued;
        } else if job.due.is_none() {
            job.due = Some(first_due(now, job));
        }
    }
}

/// Makes the stored subscription of the settings what they say, and gives it if there is one.
async fn store_settings(handle: &Handle) -> Option<SubscriptionId> {
    let Rooms { store, problems, .. } = &handle.0.rooms;
    let Written { playlist, groups } = handle.0.written.borrow().clone();
    store.follow_settings(playlist, groups).await.unwrap_or_else(|error| {
        problems.set(Topic::Lineup, format!("The settings' playlist could not be stored: {}", Error::from(error)));
        None
    })
}

/// What was fetched lately before the start is not fetched again at once.
fn first_due(now: Mono, job: &Job) -> Mono {
    let Some(loaded_at) = job.listing.loaded_at.filter(|_| clock::wall_is_plausible()) else { return now };
    let age_s = u64::try_from(clock::wall().0.saturating_sub(loaded_at.0)).unwrap_or(u64::MAX);
    now.plus_ms(u64::from(job.subscription.refresh_s).saturating_sub(age_s).saturating_mul(1_000))
}

/// Reads the subscriptions again as they are stored; what goes on with them stays.
async fn reload(handle: &Handle) {
    match handle.0.rooms.store.subscriptions().await {
        Ok(stored) => {
            let mut jobs = handle.0.jobs.borrow_mut();
            jobs.retain(|id, _| stored.iter().any(|(subscription, _)| subscription.id == *id));
            for (subscription, listing) in stored {
                match jobs.get_mut(&subscription.id) {
                    Some(job) => (job.subscription, job.listing) = (subscription, listing),
                    None => drop(jobs.insert(subscription.id, Job::new(subscription, listing))),
                }
            }
            drop(jobs);
            tell_guides(handle);
        }
        Err(error) => {
            handle.0.rooms.problems.set(Topic::Lineup, format!("The subscriptions could not be read: {error}"));
        }
    }
}

/// Says which guides playlists name.
fn tell_guides(handle: &Handle) {
    let jobs = handle.0.jobs.borrow();
    let enabled = || jobs.values().filter(|job| job.subscription.enabled);
    let mut guides: Vec<guides::Named> = Vec::new();
    for job in enabled() {
        let (Listing { guides: named, reach, .. }, provider) = (&job.listing, job.subscription.provider());
        for url in named {
            if let Some(known) = guides.iter_mut().find(|known| known.address == url.as_str()) {
                known.reach = (*reach).max(known.reach);
                continue;
            }
            let (address, provider) = (url.as_str().to_owned(), provider.clone());
            guides.push(guides::Named { address, reach: *reach, provider });
        }
    }
    // What was not read yet may name those that are known.
    if !guides.is_empty() || enabled().all(|job| job.listing.loaded_at.is_some()) {
        handle.0.guides.set_playlist_guides(guides);
    }
}

// ---- One refresh ----------------------------------------------------------------------------------------------------

/// How one ended.
enum Ended {
    /// Everything was read.
    Whole(Facts),
    /// The server says that it is as it was.
    Unchanged,
}

async fn refresh_one(handle: &Handle, id: SubscriptionId) {
    let shared = &handle.0;
    let importing = shared.importing.lock().await;
    let asked = {
        let mut jobs = shared.jobs.borrow_mut();
        let Some(job) = jobs.get_mut(&id) else { return };
        (job.state, job.due) = (State::Running, None);
        shared.progress.restart(job.listing.entries);
        (job.subscription.clone(), job.listing.clone())
    };
    let (subscription, listing) = asked;
    let mut intake = Intake::new(&shared.rooms.store, id, &shared.progress);
    let ended = tokio::select! {
        ended = tokio::time::timeout(Duration::from_millis(FETCH_MS_MAX), load(handle, &subscription, &listing, &mut intake)) => {
            Some(ended.unwrap_or_else(|_| Err(format!("it took longer than {} s", FETCH_MS_MAX / 1_000))))
        }
        () = shared.unwanted.notified() => None,
    };
    let skipped = (intake.skipped, intake.first_skipped.take());
    // What the store was given belongs to nothing from here on, unless it is told otherwise.
    let ended = match ended {
        None => {
            // Somebody gave up. Without any channels there must be another try.
            let again = shared.rooms.engine.lineup().is_none();
            settle(handle, id, |job, now| job.due = again.then(|| after_failure(now, job)));
            return;
        }
        Some(Ok(Ended::Unchanged)) => shared.rooms.store.note_unchanged(id, clock::wall()).await.map(|()| None),
        Some(Ok(Ended::Whole(facts))) => store_all(handle, &subscription, facts).await.map(Some),
        Some(Err(why)) => Err(store::StoreError::from(why)),
    };
    drop(importing);
    match ended {
        Ok(refreshed) => {
            reload(handle).await;
            if refreshed.is_some() {
                if let Some(job) = shared.jobs.borrow_mut().get_mut(&id) {
                    (job.skipped, job.first_skipped) = skipped;
                }
            }
            // Also where nothing changed: an attempt to make channels may have failed the last time.
            let made = adopt(handle, id).await;
            let has_changed = matches!(refreshed, Some(Refreshed::Applied(_)));
            // A lineup that is shown already is not made again.
            if has_changed || made > 0 || !shared.is_shown.get() {
                show(handle).await;
            }
            shared.rooms.metrics.playlist_loads.add(1);
            settle(handle, id, |job, now| {
                (job.failures, job.error) = (0, None);
                let chance = now.0 ^ u64::from(job.subscription.id.0) << 32;
                job.due = Some(timetable::after_success(now, job.subscription.refresh_s, chance));
                tracing::info!(channels = job.listing.entries, left_out = job.skipped, "playlist loaded");
            });
        }
        Err(why) => {
            shared.rooms.metrics.playlist_failures.add(1);
            settle(handle, id, |job, now| {
                job.error = Some(why.to_string());
                job.due = Some(after_failure(now, job));
                job.failures = job.failures.saturating_add(1);
            });
        }
    }
    tell_failures(handle);
}

/// When to try again after one more failure.
fn after_failure(now: Mono, job: &Job) -> Mono {
    timetable::after_failure(now, job.failures.saturating_add(1), now.0 ^ u64::from(job.subscription.id.0) << 32)
}

fn settle(handle: &Handle, id: SubscriptionId, with: impl FnOnce(&mut Job, Mono)) {
    let mut jobs = handle.0.jobs.borrow_mut();
    if let Some(job) = jobs.get_mut(&id) {
        // Somebody may have asked again meanwhile; one that has just ended is enough.
        job.state = State::Idle;
        with(job, clock::mono());
    }
}

/// Ends a refresh in the store.
async fn store_all(handle: &Handle, subscription: &Subscription, facts: Facts) -> Result<Refreshed, store::StoreError> {
    let asked_at = clock::mono();
    let refreshed = handle.0.rooms.store.finish(facts, subscription.held).await?;
    handle.0.rooms.metrics.db_commit.add_ms(clock::mono().ms_since(asked_at));
    match refreshed {
        Refreshed::Applied(changes) | Refreshed::Waiting(changes) => {
            let waits = matches!(refreshed, Refreshed::Waiting(_));
            let (new, gone, renamed, moved) = (changes.new, changes.gone, changes.renamed, changes.moved);
            tracing::info!(subscription = subscription.id.0, new, gone, renamed, moved, waits, "listing changed");
        }
        Refreshed::Same | Refreshed::Refused => {}
    }
    Ok(refreshed)
}

/// Makes channels of what is new, or says why that cannot be. How many there are.
async fn adopt(handle: &Handle, id: SubscriptionId) -> u32 {
    let Rooms { store, problems, .. } = &handle.0.rooms;
    let _turn = handle.0.adopting.lock().await;
    let (made, too_many) = match store.adopt(id).await {
        Ok(Adopted::Made(made)) => (made, None),
        Ok(Adopted::TooMany(wanted)) => (0, Some(wanted)),
        Err(error) => {
            problems.set(Topic::Lineup, format!("New channels could not be stored: {}", Error::from(error)));
            return 0;
        }
    };
    let mut jobs = handle.0.jobs.borrow_mut();
    if let Some(job) = jobs.get_mut(&id) {
        job.too_many = too_many;
    }
    let most = jobs.values().find_map(|job| Some((job.subscription.name.clone(), job.too_many?)));
    match most {
        None => problems.clear(Topic::Groups),
        Some((name, wanted)) => problems.set(
            Topic::Groups,
            format!(
                "New channels of {name} are not offered: that would make {wanted} channels, and this box offers at most \
                 {CHANNELS_MAX}. Tick fewer of its groups on the page, below Sources, or choose them with \
                 groups = [\"…\"] below [lineup] in the settings."
            ),
        ),
    }
    made
}

/// Says which subscriptions cannot be had.
fn tell_failures(handle: &Handle) {
    let Rooms { engine, problems, .. } = &handle.0.rooms;
    let meanwhile = match engine.lineup() {
        Some(_) => "The channels it had before stay.",
        None => "There are no channels until it works.",
    };
    let jobs = handle.0.jobs.borrow();
    let failing = jobs.values().filter(|job| job.subscription.enabled).filter_map(|job| {
        let what = if job.subscription.kind == Kind::Playlist { "playlist" } else { "subscription" };
        let why = job.error.as_ref()?;
        Some(format!("The {what} {} cannot be used: {why}. {meanwhile}", job.subscription.shown()))
    });
    let failing: Vec<String> = failing.collect();
    if failing.is_empty() {
        problems.clear(Topic::Playlist);
    } else {
        problems.set(Topic::Playlist, failing.join(" "));
    }
}

/// Reads a whole subscription; the error is for people.
async fn load(
    handle: &Handle,
    subscription: &Subscription,
    listing: &Listing,
    intake: &mut Intake<'_>,
) -> Result<Ended, String> {
    let fetcher = &handle.0.rooms.fetcher;
    let facts = |account| Facts { at: clock::wall(), account: Some(account), ..Facts::default() };
    match subscription.kind {
        Kind::Upload => Err("it was uploaded; upload it again".to_owned()),
        Kind::Xtream => Ok(Ended::Whole(facts(xtream::read(fetcher, subscription, intake).await?))),
        Kind::HdHomeRun => Ok(Ended::Whole(facts(xtream::read_lineup(fetcher, subscription, intake).await?))),
        Kind::Playlist => {
            let known = Validators { etag: listing.etag.clone(), last_modified: listing.last_modified.clone() };
            let provider = subscription.provider();
            let asking = Asking { known: Some(&known), ..Asking::new(fetcher).of(provider.as_deref()) };
            let Some(document) = asking.read(&subscription.address).await? else { return Ok(Ended::Unchanged) };
            let reach = document.reach;
            intake.reach = reach;
            let mut playlist = M3u::new(intake);
            let take = async |bytes: Bytes, whole| playlist.push(&bytes, whole).await;
            let Validators { etag, last_modified } = document.pour(take).await?;
            let (guides, _) = playlist.finish().await?;
            let at = clock::wall();
            Ok(Ended::Whole(Facts { at, etag, last_modified, guides, reach, ..Facts::default() }))
        }
    }
}

// ---- What clients see -----------------------------------------------------------------------------------------------

/// Shows what the subscriptions list. An empty lineup would make clients forget their channels: then the old one stays.
async fn show(handle: &Handle) {
    match handle.0.rooms.store.lineup(Origin::Playlist).await {
        Ok(lineup) if lineup.channels().is_empty() => {}
        lineup => {
            handle.0.is_shown.set(lineup.is_ok());
            let channels = lineup.as_ref().map_or(0, |lineup| lineup.channels().len());
            let before = handle.0.rooms.engine.lineup().map_or(0, |lineup| lineup.channels().len());
            publish(handle, lineup);
            if channels > PLEX_CHANNELS_MAX && channels != before {
                tracing::warn!(
                    "Plex takes {PLEX_CHANNELS_MAX} channels of one box, and here are {channels}; choose groups, or let Plex \
                     have a face of its own with the first {PLEX_CHANNELS_MAX} of them"
                );
            }
        }
    }
}

async fn show_demo(handle: &Handle) {
    handle.0.is_shown.set(false);
    publish(handle, handle.0.rooms.store.lineup(Origin::Demo).await);
}

fn publish(handle: &Handle, lineup: Result<Lineup, store::StoreError>) {
    let Rooms { store, engine, problems, metrics, .. } = &handle.0.rooms;
    match lineup {
        Ok(lineup) => {
            let old = engine.lineup();
            engine.set_lineup(Arc::new(lineup));
            faces::show(handle);
            handle.0.guides.make_anew();
            if let Some(old) = old {
                tokio::task::spawn_local(discard(store.clone(), old));
            }
            metrics.rebuilt(Rebuilt::Lineup);
            problems.clear(Topic::Lineup);
        }
        Err(error) => problems.set(Topic::Lineup, format!("The lineup could not be stored or read: {error}")),
    }
}

/// Has a lineup freed where that holds nobody up: a large one takes its time. Somebody may still read it.
async fn discard(store: store::Handle, mut old: Arc<Lineup>) {
    loop {
        match Arc::try_unwrap(old) {
            Ok(old) => return store.discard(old),
            Err(shared) => old = shared,
        }
        clock::pause(DISCARD_MS).await;
    }
}

/// Shows what is stored and fetches nothing, whoever asks; never ends. For safe mode: a playlist may be what the daemon
/// failed on.
///
/// `sure`: the settings could be read. Otherwise nobody knows whether there is a playlist, and clients must not forget
/// its channels for that.
pub async fn run_stored(handle: Handle, sure: bool) {
    recall_marks(&handle).await;
    wishes::recall(&handle).await;
    faces::recall(&handle).await;
    tokio::select! {
        () = guides::run(&handle, false) => {}
        () = show_stored(&handle, sure) => {}
    }
}

async fn show_stored(handle: &Handle, sure: bool) {
    loop {
        if handle.0.to_follow.take() && sure {
            store_settings(handle).await;
        }
        reload(handle).await;
        if has_jobs(handle) {
            publish(handle, handle.0.rooms.store.lineup(Origin::Playlist).await);
        } else {
            show_demo(handle).await;
        }
        for job in handle.0.jobs.borrow_mut().values_mut() {
            job.state = State::Idle;
        }
        handle.0.to_show.set(false);
        handle.0.wanted.notified().await;
    }
}

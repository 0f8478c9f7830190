//! Fetches guides on a timetable, keeps what the owner chose, and has the guide made that clients get.
//!
//! What a guide told once is kept: whatever goes wrong with a later fetch, clients see the old programmes and the page
//! says what happened. The served guide is made anew when something that it is made of changes, and otherwise a few
//! times a day; until it is good, the old one is served. Where guides are kept and made: [`crate::store::guide`].

use super::document::Asking;
use crate::clock;
use crate::fetch::Fetcher;
use crate::observe::metrics::{GuideGauges, Rebuilt};
use crate::observe::problems::Topic;
use crate::store::guide::window::{Row, Shown};
use crate::store::guide::{FaceWanted, Imported, Importing, Known, Matched, Offered, Published, Validators, Wanted};
use crate::store::guides::{Guide, Namer};
use bytes::Bytes;
use pure::limits::{
    GUIDE_BYTES_MAX, GUIDE_EVERY_MS, GUIDE_FETCH_MS_MAX, GUIDE_INBOX, GUIDE_JITTER_MS, GUIDE_PAUSE_MS, GUIDE_REMAKE_MS,
    GUIDE_RETRY_MS_MAX, GUIDE_RETRY_MS_MIN, GUIDE_WAIT_MS, GUIDES_MAX,
};
use pure::model::face::{Cut, FaceId};
use pure::model::guide::{Choice, GuideId};
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::{Channel, ChannelId, Lineup, Mark};
use pure::model::provider::Provider;
use pure::model::source_url::{self, SourceUrl};
use pure::rules::reach::Reach;
use pure::time::{Mono, Wall};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// What the settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Addresses or files of guides.
    pub addresses: Vec<String>,
    /// How many days are served.
    pub days: u8,
    /// Channels that the served guide may lack or have too many, of 100.
    pub mismatch_percent: u8,
    /// Whether each programme must have a number as an episode.
    pub episodes_required: bool,
}

/// A guide that a playlist names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Where it is.
    pub(super) address: String,
    /// How far that may lead.
    pub(super) reach: Reach,
    /// How it is fetched.
    pub(super) provider: Option<Arc<Provider>>,
}

/// A guide, and how it is.
#[derive(Clone, Debug)]
pub struct GuideState {
    /// Which one.
    pub guide: Guide,
    /// What is known of it.
    pub known: Known,
    /// What the last fetch of this run came to.
    pub last: Option<Imported>,
    /// Why the last fetch failed.
    pub problem: Option<String>,
    /// It is being fetched.
    pub in_progress: bool,
    next_at: Mono,
    retry_ms: u64,
}

/// A guide as clients get it, and what it was made for.
pub struct Served {
    lineup: Weak<Lineup>,
    marks: u64,
    revision: u64,
    /// When it was made.
    pub made_at: Mono,
    /// What is in it.
    pub published: Published,
    /// When the oldest guide that is in it was fetched; `None`: there is none in it.
    pub data_from: Option<Wall>,
}

/// What the owner wants; each is answered once it is so.
enum Command {
    Choose { channel: ChannelId, choice: Choice, done: Done<()> },
    Move { id: GuideId, offset_s: i64, done: Done<()> },
    Name { addresses: Vec<String>, done: Done<()> },
    Offered { id: GuideId, text: String, done: Done<Vec<Offered>> },
    Window { rows: Vec<Row>, from: Wall, to: Wall, done: Done<Vec<Vec<Shown>>> },
    Recall { done: Done<()> },
}

/// The error is for people.
type Done<T> = oneshot::Sender<Result<T, String>>;

struct Shared {
    options: RefCell<Options>,
    /// What the playlist names; `None`: it was not read yet.
    playlist: RefCell<Option<Vec<Named>>>,
    guides: RefCell<Vec<GuideState>>,
    choices: RefCell<BTreeMap<ChannelId, Choice>>,
    served: RefCell<Option<Rc<Served>>>,
    /// Why the last one that was made is not served.
    refused: RefCell<Option<String>>,
    gauges: Cell<GuideGauges>,
    /// Another number for every change of what the guide is made of, besides lineup and marks.
    revision: Cell<u64>,
    /// The same for changes of programmes.
    data: Cell<u64>,
    /// Somebody names other guides, or wants them fetched.
    wanted: Notify,
    changed: Notify,
    /// One was made, or could not be.
    made: Notify,
    commands: mpsc::Sender<Command>,
    inbox: RefCell<Option<mpsc::Receiver<Command>>>,
}

/// The guides, as others see them.
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

impl Handle {
    /// For the settings' guides.
    pub fn new(options: Options) -> Self {
        let (commands, inbox) = mpsc::channel(GUIDE_INBOX);
        Self(Rc::new(Shared {
            options: RefCell::new(options),
            playlist: RefCell::default(),
            guides: RefCell::default(),
            choices: RefCell::default(),
            served: RefCell::default(),
            refused: RefCell::default(),
            gauges: Cell::default(),
            revision: Cell::new(1),
            data: Cell::new(0),
            wanted: Notify::new(),
            changed: Notify::new(),
            made: Notify::new(),
            commands,
            inbox: RefCell::new(Some(inbox)),
        }))
    }

    /// Takes over other settings.
    pub fn set_options(&self, options: Options) {
        *self.0.options.borrow_mut() = options;
        self.bump();
        self.0.wanted.notify_one();
    }

    /// Takes over what playlists name.
    pub(super) fn set_playlist_guides(&self, guides: Vec<Named>) {
        let guides = Some(guides);
        if self.0.playlist.replace(guides.clone()) != guides {
            self.0.wanted.notify_one();
        }
    }

    /// Has the served guide looked at: something that it is made of may have changed.
    pub(super) fn make_anew(&self) {
        self.0.changed.notify_one();
    }

    /// The same: something besides lineup and marks has changed.
    pub(super) fn bump(&self) {
        self.0.revision.set(self.0.revision.get() + 1);
        self.make_anew();
    }

    /// All guides, the best first.
    pub fn guides(&self) -> Vec<GuideState> {
        self.0.guides.borrow().clone()
    }

    /// What the owner chose for a channel.
    pub fn choice(&self, channel: ChannelId) -> Choice {
        self.0.choices.borrow().get(&channel).cloned().unwrap_or_default()
    }

    /// The guide that is served, whatever it was made for.
    pub fn served(&self) -> Option<Rc<Served>> {
        self.0.served.borrow().clone()
    }

    /// Why the last one that was made is not served.
    pub fn refused(&self) -> Option<String> {
        self.0.refused.borrow().clone()
    }

    /// What is measured of it.
    pub fn gauges(&self) -> GuideGauges {
        self.0.gauges.get()
    }

    /// The guide for a lineup, or for a face's part of it: one that was made for it, or one that fits well enough. Waits a
    /// while where one is being made.
    ///
    /// # Errors
    /// There is none, for people.
    pub async fn fitting(
        &self,
        lineup: &Arc<Lineup>,
        marks: &super::Marks,
        face: Option<(FaceId, &Cut)>,
    ) -> Result<Rc<Served>, &'static str> {
        let deadline = clock::mono().plus_ms(GUIDE_WAIT_MS);
        loop {
            let made = self.0.made.notified();
            let served = self.served();
            if let Some(served) = served.as_ref().filter(|served| self.is_fresh(served, lineup, marks.revision)) {
                return Ok(Rc::clone(served));
            }
            tokio::select! {
                () = made => {}
                () = clock::until(Some(deadline)) => return self.fits(served.as_ref(), lineup, marks, face),
            }
        }
    }

    fn is_fresh(&self, served: &Served, lineup: &Arc<Lineup>, marks: u64) -> bool {
        Weak::as_ptr(&served.lineup) == Arc::as_ptr(lineup)
            && served.marks == marks
            && served.revision == self.0.revision.get()
    }

    fn fits(
        &self,
        served: Option<&Rc<Served>>,
        lineup: &Lineup,
        marks: &super::Marks,
        face: Option<(FaceId, &Cut)>,
    ) -> Result<Rc<Served>, &'static str> {
        let (id, cut) = face.map_or((FaceId::BOX, None), |(id, cut)| (id, Some(cut)));
        let (served, numbers) = served
            .and_then(|served| Some((served, served.published.numbers.get(&id)?)))
            .ok_or("The guide is still being made.\n")?;
        let is_in = |position: usize| cut.is_none_or(|cut| cut.has(position));
        let listed = listed(lineup, marks).filter(|(position, _)| is_in(*position));
        let listed: Vec<GuideNumber> = listed.map(|(_, channel)| channel.number).collect();
        let common = listed.iter().filter(|number| numbers.binary_search(number).is_ok()).count();
        let mismatches = listed.len() + numbers.len() - 2 * common;
        if cut.is_none() {
            let mut gauges = self.0.gauges.get();
            gauges.lineup_mismatches = mismatches as u64;
            self.0.gauges.set(gauges);
        }
        let allowed = usize::from(self.0.options.borrow().mismatch_percent);
        if mismatches * 100 > allowed * listed.len().max(1) {
            return Err("The guide does not fit the channels yet; it is being made.\n");
        }
        Ok(Rc::clone(served))
    }

    /// Has guides fetched now: this one, or all.
    pub fn refresh(&self, only: Option<GuideId>) {
        for state in self.0.guides.borrow_mut().iter_mut().filter(|state| only.is_none_or(|id| state.guide.id == id)) {
            state.next_at = Mono(0);
        }
        self.0.wanted.notify_one();
    }

    /// Keeps what the owner chose for a channel; it is so once this comes back.
    ///
    /// # Errors
    /// Nothing was changed, for people.
    pub async fn choose(&self, channel: ChannelId, choice: Choice) -> Result<(), String> {
        self.command(|done| Command::Choose { channel, choice, done }).await
    }

    /// Moves a guide in time.
    ///
    /// # Errors
    /// Nothing was changed, for people.
    pub async fn move_guide(&self, id: GuideId, offset_s: i64) -> Result<(), String> {
        self.command(|done| Command::Move { id, offset_s, done }).await
    }

    /// Adds a guide of the owner's.
    ///
    /// # Errors
    /// Nothing was changed, for people.
    pub async fn add(&self, address: &SourceUrl) -> Result<(), String> {
        if self.0.guides.borrow().len() >= GUIDES_MAX {
            return Err(format!("there are {GUIDES_MAX} guides already"));
        }
        let mut addresses = self.owners(None);
        addresses.push(address.as_str().to_owned());
        self.command(|done| Command::Name { addresses, done }).await
    }

    /// Removes a guide of the owner's.
    ///
    /// # Errors
    /// Nothing was changed, for people.
    pub async fn remove(&self, id: GuideId) -> Result<(), String> {
        let addresses = self.owners(Some(id));
        self.command(|done| Command::Name { addresses, done }).await
    }

    fn owners(&self, but: Option<GuideId>) -> Vec<String> {
        let guides = self.0.guides.borrow();
        let owners = guides.iter().filter(|state| state.guide.namer == Namer::Owner && Some(state.guide.id) != but);
        owners.map(|state| state.guide.address.clone()).collect()
    }

    /// Channels of a guide that the owner may choose from.
    ///
    /// # Errors
    /// For people.
    pub async fn offered(&self, id: GuideId, text: String) -> Result<Vec<Offered>, String> {
        self.command(|done| Command::Offered { id, text, done }).await
    }

    /// What is on from `from` to `to` on these channels of a lineup, with the moves that the owner and playlists want.
    ///
    /// # Errors
    /// For people.
    pub async fn window(&self, channels: &[&Channel], from: Wall, to: Wall) -> Result<Vec<Vec<Shown>>, String> {
        let served = self.served();
        let offsets =
            self.0.guides.borrow().iter().map(|state| (state.guide.id, state.guide.offset_s)).collect::<Vec<_>>();
        let row = |channel: &&Channel| {
            let found = served.as_ref().and_then(|served| matched(served, channel.id));
            let guide = found.map(|found| found.guide);
            let offset_s = offsets.iter().find(|(id, _)| Some(*id) == guide).map_or(0, |(_, offset_s)| *offset_s);
            Row {
                // What nobody knows is in no guide.
                guide: guide.unwrap_or(GuideId(0)),
                channel: found.map_or_else(String::new, |found| found.guide_channel.clone()),
                offset_s: offset_s + self.choice(channel.id).offset_s_for(channel.tvg_shift_min),
            }
        };
        let rows = channels.iter().map(row).collect();
        self.command(|done| Command::Window { rows, from, to, done }).await
    }

    /// Takes what the owner chose as it is stored.
    pub(super) async fn recall(&self) {
        // Who is too busy to be told now has it at the next start.
        self.command(|done| Command::Recall { done }).await.unwrap_or_default();
    }

    async fn command<T>(&self, command: impl FnOnce(Done<T>) -> Command) -> Result<T, String> {
        let (done, is_done) = oneshot::channel();
        let busy = || "the box is busy; try again".to_owned();
        self.0.commands.try_send(command(done)).map_err(|_| busy())?;
        is_done.await.unwrap_or_else(|_| Err(busy()))
    }
}

/// The channels that a lineup lists, and where they stand in it.
fn listed<'a>(lineup: &'a Lineup, marks: &'a super::Marks) -> impl Iterator<Item = (usize, &'a Channel)> {
    lineup.channels().iter().enumerate().filter(|(_, channel)| marks.of(channel.id) != Mark::Hidden)
}

/// Whom the guides' tasks talk to.
struct Rooms<'a> {
    subscriptions: &'a super::Handle,
}

impl Rooms<'_> {
    fn shared(&self) -> &Shared {
        &self.subscriptions.0.guides.0
    }

    fn handle(&self) -> &Handle {
        &self.subscriptions.0.guides
    }

    fn fetcher(&self) -> &Fetcher {
        &self.subscriptions.0.rooms.fetcher
    }
}

impl Deref for Rooms<'_> {
    type Target = super::Rooms;

    fn deref(&self) -> &super::Rooms {
        &self.subscriptions.0.rooms
    }
}

/// Fetches guides where that `may` be done, keeps what the owner wants, and makes the guide for clients; never ends.
pub(super) async fn run(subscriptions: &super::Handle, may_fetch: bool) {
    let rooms = &Rooms { subscriptions };
    recall(rooms).await;
    tokio::join!(obey(rooms), make(rooms), async {
        if may_fetch {
            fetch_all(rooms).await;
        }
    });
}

/// Takes what the owner chose as it is stored.
async fn recall(rooms: &Rooms<'_>) {
    match rooms.store.guide_choices().await {
        Ok(choices) => *rooms.shared().choices.borrow_mut() = choices,
        Err(error) => rooms.problems.set(Topic::Guide, format!("What was chosen for channels is not known: {error}")),
    }
    name(rooms).await;
}

// ---- What the owner wants -------------------------------------------------------------------------------------------

async fn obey(rooms: &Rooms<'_>) {
    let inbox = rooms.shared().inbox.borrow_mut().take();
    let Some(mut inbox) = inbox else { return std::future::pending().await };
    while let Some(command) = inbox.recv().await {
        // Who asked may be gone.
        match command {
            Command::Choose { channel, choice, done } => {
                let kept = rooms.store.choose_guide(channel, choice.clone()).await.map_err(|error| error.to_string());
                if kept.is_ok() {
                    let mut choices = rooms.shared().choices.borrow_mut();
                    if choice == Choice::default() {
                        choices.remove(&channel);
                    } else {
                        choices.insert(channel, choice);
                    }
                    rooms.handle().bump();
                }
                done.send(kept).unwrap_or_default();
            }
            Command::Move { id, offset_s, done } => {
                let kept = rooms.store.move_guide(id, offset_s).await.map_err(|error| error.to_string());
                if kept.is_ok() {
                    let mut guides = rooms.shared().guides.borrow_mut();
                    for state in guides.iter_mut().filter(|state| state.guide.id == id) {
                        state.guide.offset_s = offset_s;
                    }
                    rooms.handle().bump();
                }
                done.send(kept).unwrap_or_default();
            }
            Command::Name { addresses, done } => {
                let named = rooms.store.name_guides(Namer::Owner, typed(addresses)).await;
                let named = named.map_err(|error| error.to_string());
                if named.is_ok() {
                    name(rooms).await;
                    rooms.shared().wanted.notify_one();
                }
                done.send(named.map(drop)).unwrap_or_default();
            }
            Command::Recall { done } => {
                recall(rooms).await;
                rooms.handle().bump();
                rooms.shared().wanted.notify_one();
                done.send(Ok(())).unwrap_or_default();
            }
            Command::Offered { id, text, done } => {
                let offered = rooms.guide.offered(id, text, clock::wall()).await;
                done.send(offered).unwrap_or_default();
            }
            Command::Window { rows, from, to, done } => {
                let shown = rooms.guide.window(rows, from, to).await;
                done.send(shown).unwrap_or_default();
            }
        }
    }
}

/// How far what the owner typed may lead is for the settings of the day to say, and not kept.
fn typed(addresses: Vec<String>) -> Vec<(String, Reach)> {
    addresses.into_iter().map(|address| (address, Reach::default())).collect()
}

/// Finds out which guides there are, now that somebody may name others.
async fn name(rooms: &Rooms<'_>) {
    let shared = rooms.shared();
    let (settings, playlist) = (shared.options.borrow().addresses.clone(), shared.playlist.borrow().clone());
    let mut named = rooms.store.name_guides(Namer::Settings, typed(settings)).await;
    if let Some(playlist) = playlist {
        let playlist = playlist.into_iter().map(|named| (named.address, named.reach)).collect();
        named = rooms.store.name_guides(Namer::Playlist, playlist).await;
    }
    let named = match named {
        Ok(named) => named,
        Err(error) => {
            rooms.problems.set(Topic::Guide, format!("Which guides there are is not known: {error}"));
            return;
        }
    };
    let known = rooms.guide.known().await.unwrap_or_default();
    let (now, wall) = (clock::mono(), clock::wall());
    let before = shared.guides.take();
    let is_same = before.iter().map(|state| state.guide.id).eq(named.iter().map(|guide| guide.id));
    let states = named.into_iter().map(|guide| {
        if let Some(state) = before.iter().find(|state| state.guide.id == guide.id) {
            // Where its address may lead further, or less far, than it did, that is tried at once.
            let is_same = (state.guide.namer, state.guide.reach) == (guide.namer, guide.reach);
            let next_at = if is_same { state.next_at } else { now };
            return GuideState { guide, next_at, ..state.clone() };
        }
        let known = known.get(&guide.id).cloned().unwrap_or_default();
        // What was fetched before the start need not be fetched again at once; nor what the clock knows nothing of.
        let age_s = known.fetched_at.map(|at| wall.0 - at.0).filter(|age_s| *age_s >= 0);
        let wait_ms = age_s.map_or(0, |age_s| every_ms().saturating_sub(u64::try_from(age_s).unwrap_or(0) * 1_000));
        let (last, problem, retry_ms) = (None, None, GUIDE_RETRY_MS_MIN);
        GuideState { guide, known, last, problem, in_progress: false, next_at: now.plus_ms(wait_ms), retry_ms }
    });
    *shared.guides.borrow_mut() = states.collect();
    if !is_same {
        let keep = shared.guides.borrow().iter().map(|state| state.guide.id).collect();
        // What cannot be thrown away now is thrown away another time.
        rooms.guide.forget_all_but(keep).await.unwrap_or_default();
        rooms.handle().bump();
    }
    show_problems(rooms);
}

/// From one fetch to the next: not all boxes come at the same time.
fn every_ms() -> u64 {
    GUIDE_EVERY_MS + RandomState::new().hash_one(0) % GUIDE_JITTER_MS
}

// ---- Fetching -------------------------------------------------------------------------------------------------------

async fn fetch_all(rooms: &Rooms<'_>) {
    let shared = rooms.shared();
    loop {
        let next = {
            let (guides, is_told) = (shared.guides.borrow(), shared.playlist.borrow().is_some());
            // How a playlist's are fetched, only it says.
            let known = guides.iter().filter(|state| is_told || state.guide.namer != Namer::Playlist);
            known.map(|state| (state.next_at, state.guide.clone())).min_by_key(|next| next.0)
        };
        match next {
            Some((at, guide)) if at <= clock::mono() => fetch_one(rooms, &guide).await,
            next => {
                tokio::select! {
                    () = shared.wanted.notified() => {}
                    () = clock::until(next.map(|(at, _)| at)) => continue,
                }
                name(rooms).await;
            }
        }
    }
}

fn with_state(rooms: &Rooms<'_>, id: GuideId, change: impl FnOnce(&mut GuideState)) {
    // It may have been removed meanwhile.
    if let Some(state) = rooms.shared().guides.borrow_mut().iter_mut().find(|state| state.guide.id == id) {
        change(state);
    }
}

async fn fetch_one(rooms: &Rooms<'_>, guide: &Guide) {
    let mut validators = Validators::default();
    with_state(rooms, guide.id, |state| {
        state.in_progress = true;
        validators = state.known.validators.clone();
    });
    let wall = clock::wall();
    let loading = load(rooms, guide, &validators, wall);
    let loaded = tokio::time::timeout(Duration::from_millis(GUIDE_FETCH_MS_MAX), loading).await;
    let loaded = loaded.unwrap_or_else(|_| Err(format!("it took longer than {} min", GUIDE_FETCH_MS_MAX / 60_000)));
    let now = clock::mono();
    match loaded {
        Ok(None) => {
            // As it was. What cannot be noted costs a fetch after the next start.
            rooms.guide.touch(guide.id, wall).await.unwrap_or_default();
            with_state(rooms, guide.id, |state| {
                state.known.fetched_at = Some(wall);
                (state.problem, state.retry_ms) = (None, GUIDE_RETRY_MS_MIN);
                state.next_at = now.plus_ms(every_ms());
            });
        }
        Ok(Some((imported, validators))) => {
            rooms.metrics.guide_loads.add(1);
            let Imported { channels, kept, outside, .. } = imported;
            tracing::info!(guide = guide.id.0, channels, programmes = kept, too_far_away = outside, "guide loaded");
            with_state(rooms, guide.id, |state| {
                state.known = Known { validators, fetched_at: Some(wall), channels, programmes: kept };
                state.last = Some(imported);
                (state.problem, state.retry_ms) = (None, GUIDE_RETRY_MS_MIN);
                state.next_at = now.plus_ms(every_ms());
            });
            rooms.shared().data.set(rooms.shared().data.get() + 1);
            rooms.handle().bump();
        }
        Err(why) => {
            rooms.metrics.guide_failures.add(1);
            with_state(rooms, guide.id, |state| {
                state.problem = Some(why);
                state.next_at = now.plus_ms(state.retry_ms);
                state.retry_ms = (state.retry_ms * 2).min(GUIDE_RETRY_MS_MAX);
            });
        }
    }
    with_state(rooms, guide.id, |state| state.in_progress = false);
    show_problems(rooms);
}

fn show_problems(rooms: &Rooms<'_>) {
    let guides = rooms.shared().guides.borrow();
    let ill = guides.iter().find_map(|state| Some((state, state.problem.as_ref()?)));
    match ill {
        Some((state, why)) => {
            let meanwhile = match state.known.fetched_at {
                Some(_) => "What it told before stays.",
                None => "Its channels have no programmes until it works.",
            };
            let address = source_url::shown(&state.guide.address);
            rooms.problems.set(Topic::Guide, format!("The guide {address} cannot be used: {why}. {meanwhile}"));
        }
        None => rooms.problems.clear(Topic::Guide),
    }
}

/// Reads a whole guide; `None`: it is as it was.
async fn load(
    rooms: &Rooms<'_>,
    guide: &Guide,
    validators: &Validators,
    now: Wall,
) -> Result<Option<(Imported, Validators)>, String> {
    let mut importing: Option<Importing> = None;
    let take = async |bytes: Bytes, _whole: Option<u64>| {
        if importing.is_none() {
            importing = Some(rooms.guide.import(guide.id, now)?);
        }
        let Some(importing) = &importing else { return Ok(()) };
        importing.push(bytes).await.map_err(|()| REFUSED.to_owned())
    };
    let fetcher = rooms.fetcher();
    let reach = match guide.namer {
        Namer::Owner | Namer::Settings => fetcher.typed(),
        Namer::Playlist => guide.reach,
    };
    let known = Some(validators);
    let provider = provider(rooms, guide);
    let asking = Asking { reach, known, thing: "guide", bytes_max: GUIDE_BYTES_MAX, ..Asking::new(fetcher) };
    let asking = match guide.address.parse() {
        Ok(url) => asking.named_by(provider.as_deref(), &url),
        Err(_) => asking,
    };
    let poured = match asking.read(&guide.address).await? {
        Some(document) => document.pour(take).await,
        None => return Ok(None),
    };
    let validators = match poured {
        Ok(validators) => validators,
        Err(why) if why == REFUSED => Validators::default(),
        Err(why) => return Err(why),
    };
    let importing = importing.ok_or("it is empty")?;
    importing.finish(validators.clone()).await.map(|imported| Some((imported, validators)))
}

/// Whose a guide is that a playlist names. What the owner typed is fetched like anything else.
fn provider(rooms: &Rooms<'_>, guide: &Guide) -> Option<Arc<Provider>> {
    let playlist = rooms.shared().playlist.borrow();
    let named = playlist.iter().flatten().find(|named| named.address == guide.address);
    named.filter(|_| guide.namer == Namer::Playlist)?.provider.clone()
}

/// The guide's thread has said why.
const REFUSED: &str = "";

// ---- Making ---------------------------------------------------------------------------------------------------------

/// What a guide is made for.
#[derive(Clone)]
struct Aim {
    lineup: Arc<Lineup>,
    marks: Rc<super::Marks>,
    revision: u64,
}

/// Makes the guide for clients, whenever it must be made; never ends.
async fn make(rooms: &Rooms<'_>) {
    let shared = rooms.shared();
    // What was made last, with which success, when, and from which programmes.
    let mut last: Option<(Weak<Lineup>, u64, u64, bool, Mono)> = None;
    let mut data = 0;
    loop {
        let now = clock::mono();
        let lineup = rooms.engine.lineup().filter(|_| clock::wall_is_plausible());
        let aim =
            lineup.map(|lineup| Aim { lineup, marks: rooms.subscriptions.marks(), revision: shared.revision.get() });
        let due_at = match (&aim, &last) {
            (None, _) => Some(now.plus_ms(GUIDE_WAIT_MS)),
            (Some(_), None) => None,
            (Some(aim), Some((lineup, marks, revision, went_well, at))) => {
                let is_same = Weak::as_ptr(lineup) == Arc::as_ptr(&aim.lineup)
                    && (*marks, *revision) == (aim.marks.revision, aim.revision);
                Some(at.plus_ms(match (is_same, went_well) {
                    (false, _) => GUIDE_PAUSE_MS,
                    (true, true) => GUIDE_REMAKE_MS,
                    (true, false) => GUIDE_RETRY_MS_MIN,
                }))
            }
        };
        match aim {
            Some(aim) if due_at.is_none_or(|at| at <= now) => {
                let is_new_data = std::mem::replace(&mut data, shared.data.get()) != shared.data.get();
                let went_well = make_one(rooms, &aim, is_new_data).await;
                let Aim { lineup, marks, revision } = aim;
                last = Some((Arc::downgrade(&lineup), marks.revision, revision, went_well, clock::mono()));
                shared.made.notify_waiters();
            }
            _ => tokio::select! {
                () = shared.changed.notified() => {}
                () = rooms.engine.lineup_changed() => {}
                () = clock::until(due_at) => {}
            },
        }
    }
}

/// Makes one, and says whether it went well.
async fn make_one(rooms: &Rooms<'_>, aim: &Aim, is_new_data: bool) -> bool {
    let shared = rooms.shared();
    let wanted = {
        let options = shared.options.borrow();
        let guides = shared.guides.borrow();
        Wanted {
            lineup: Arc::clone(&aim.lineup),
            listed: listed(&aim.lineup, &aim.marks).filter_map(|(position, _)| u32::try_from(position).ok()).collect(),
            faces: faces_wanted(rooms, aim),
            choices: shared.choices.borrow().clone(),
            guides: guides.iter().map(|state| (state.guide.id, state.guide.offset_s)).collect(),
            now: clock::wall(),
            ahead_s: i64::from(options.days) * 86_400,
            episodes_required: options.episodes_required,
        }
    };
    let made = rooms.guide.publish(wanted).await;
    let published = match made {
        Ok(published) => published,
        Err(why) => {
            refuse(rooms, &why);
            return false;
        }
    };
    let Published { report, without_title, .. } = &published;
    let before = shared.gauges.get();
    let gauges = GuideGauges {
        programmes: report.programmes.into(),
        without_title: (*without_title).into(),
        without_description: report.without_description.into(),
        without_episode: report.without_episode.into(),
        validation_errors: report.errors.into(),
        lineup_mismatches: report.mismatches.into(),
    };
    shared.gauges.set(gauges);
    if let Some(error) = report.first_error {
        refuse(rooms, &format!("{error} ({} times)", report.errors));
        return false;
    }
    // Where nothing was known before, nothing got worse.
    if is_new_data && rooms.handle().served().is_some_and(|served| served.data_from.is_some()) {
        show_drift(rooms, before, gauges);
    }
    let used = |state: &&GuideState| published.matches.values().any(|matched| matched.guide == state.guide.id);
    let data_from = shared.guides.borrow().iter().filter(used).filter_map(|state| state.known.fetched_at).min();
    rooms.metrics.rebuilt(Rebuilt::Guide);
    rooms.problems.clear(Topic::GuideMade);
    *shared.refused.borrow_mut() = None;
    *shared.served.borrow_mut() = Some(Rc::new(Served {
        lineup: Arc::downgrade(&aim.lineup),
        marks: aim.marks.revision,
        revision: aim.revision,
        made_at: clock::mono(),
        published,
        data_from,
    }));
    true
}

/// Which of the listed channels each face shows.
fn faces_wanted(rooms: &Rooms<'_>, aim: &Aim) -> Vec<FaceWanted> {
    let faces = rooms.subscriptions.faces().into_iter();
    let wanted = faces.map(|face| {
        let cut = rooms.subscriptions.cut(&face, &aim.lineup, &aim.marks);
        let shows = listed(&aim.lineup, &aim.marks).map(|(position, _)| cut.has(position)).collect();
        FaceWanted { face: face.id, shows }
    });
    // One without channels has nothing on.
    wanted.filter(|face| face.shows.contains(&true)).collect()
}

fn refuse(rooms: &Rooms<'_>, why: &str) {
    let meanwhile =
        if rooms.handle().served().is_some() { "The one before stays." } else { "There is none until then." };
    rooms.problems.set(Topic::GuideMade, format!("The guide for clients could not be made: {why}. {meanwhile}"));
    *rooms.shared().refused.borrow_mut() = Some(why.to_owned());
}

/// A guide that got much worse than it was before its last fetch is the provider's trouble, and nobody would notice.
fn show_drift(rooms: &Rooms<'_>, before: GuideGauges, after: GuideGauges) {
    let share = |part: u64, gauges: GuideGauges| part * 1_000 / gauges.programmes.max(1);
    let worse = [
        ("without a title", before.without_title, after.without_title),
        ("without a description", before.without_description, after.without_description),
        ("without an episode number", before.without_episode, after.without_episode),
    ];
    let had = before.programmes > 0;
    let worse = worse.into_iter().find(|(_, old, new)| had && share(*new, after) > share(*old, before) + 100);
    match worse {
        Some((what, old, new)) => rooms.problems.set(
            Topic::GuideDrift,
            format!(
                "The guide got worse with its last refresh: {} of 100 programmes are {what}, before it were {}. If it \
                 stays so, ask the provider",
                share(new, after) / 10,
                share(old, before) / 10
            ),
        ),
        None => rooms.problems.clear(Topic::GuideDrift),
    }
}

/// What is known of the guide of a channel.
pub fn matched(served: &Served, channel: ChannelId) -> Option<&Matched> {
    served.published.matches.get(&channel)
}

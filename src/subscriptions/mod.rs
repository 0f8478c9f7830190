//! Fetches the playlist and turns it into the lineup.
//!
//! A lineup that was loaded once is kept: whatever goes wrong with a later fetch, clients see the old channels and the
//! page says what happened. How a playlist is read: `pure::wire::m3u`; where channels are kept: [`crate::store`].

pub mod guides;

use crate::clock;
use crate::engine;
use crate::fetch::{Answer, Ask, Fetcher, Kind};
use crate::observe::metrics::{Metrics, Rebuilt};
use crate::observe::problems::{Problems, Topic};
use crate::store::{self, Origin};
use hyper::body::Bytes;
use pure::limits::{FETCH_MS_MAX, MARKS_INBOX, PLAYLIST_BYTES_MAX, PLEX_CHANNELS_MAX};
use pure::model::lineup::{ChannelId, Mark};
use pure::model::source_url::SourceUrl;
use pure::rules::reach::Reach;
use pure::time::Wall;
use pure::wire::m3u::{Entry, Parser, Skipped, Summary};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// From a failed fetch to the next try; doubled each time.
const RETRY_MS_MIN: u64 = 15_000;
/// The longest pause between two tries.
const RETRY_MS_MAX: u64 = 900_000;
/// How much of a refresh is done once all is read.
const READ_PERCENT: u64 = 95;

/// How the last refresh went.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// One is going on.
    pub in_progress: bool,
    /// How far it is, in percent.
    pub progress: u8,
    /// Entries that it has found so far.
    pub found_now: u32,
    /// Entries found in the last one that worked.
    pub found: u32,
    /// Entries left out of it, and why the first of them was.
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

/// A thought that is to be kept.
struct Marking {
    channel: ChannelId,
    mark: Mark,
    done: oneshot::Sender<Result<(), store::StoreError>>,
}

struct Shared {
    fetcher: Fetcher,
    playlist: RefCell<Option<String>>,
    status: RefCell<Status>,
    marks: RefCell<Rc<Marks>>,
    wanted: Notify,
    /// Nobody waits for the refresh that is going on any more.
    unwanted: Notify,
    marking: mpsc::Sender<Marking>,
    to_mark: RefCell<Option<mpsc::Receiver<Marking>>>,
    guides: guides::Handle,
}

impl Shared {
    fn begin(&self) -> bool {
        let mut status = self.status.borrow_mut();
        if !std::mem::replace(&mut status.in_progress, true) {
            (status.progress, status.found_now) = (0, 0);
            return true;
        }
        false
    }

    fn end(&self) {
        self.status.borrow_mut().in_progress = false;
    }

    fn note_loaded(&self, summary: Summary) {
        let mut status = self.status.borrow_mut();
        (status.found, status.skipped) = (summary.entries, summary.skipped);
        status.loaded_at = Some(clock::wall());
    }
}

/// The subscriptions, as others see them.
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

impl Handle {
    /// For a playlist, or the demo channels; and for guides, the one for clients being in `folder`.
    pub fn new(playlist: Option<String>, guides: guides::Options, folder: PathBuf, fetcher: Fetcher) -> Self {
        let (marking, to_mark) = mpsc::channel(MARKS_INBOX);
        Self(Rc::new(Shared {
            fetcher,
            playlist: RefCell::new(playlist),
            status: RefCell::default(),
            marks: RefCell::default(),
            wanted: Notify::new(),
            unwanted: Notify::new(),
            marking,
            to_mark: RefCell::new(Some(to_mark)),
            guides: guides::Handle::new(guides, folder),
        }))
    }

    /// The guides.
    pub fn guides(&self) -> &guides::Handle {
        &self.0.guides
    }

    /// Asks for a refresh; one that is going on is enough. From now on one is in progress, until its channels are
    /// there: clients ask for their lineup in the moment when it ends.
    pub fn refresh(&self) {
        if self.0.begin() {
            self.0.wanted.notify_one();
        }
    }

    /// Gives up the refresh that is going on, if there is one. The channels stay as they are.
    pub fn abort(&self) {
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
        let (done, is_done) = oneshot::channel();
        let asked = self.0.marking.try_send(Marking { channel, mark, done });
        asked.map_err(|_| store::StoreError::busy())?;
        is_done.await.unwrap_or_else(|_| Err(store::StoreError::busy()))
    }

    /// Takes another playlist and fetches it.
    pub fn set_playlist(&self, playlist: Option<String>) {
        *self.0.playlist.borrow_mut() = playlist;
        self.0.begin();
        self.0.wanted.notify_one();
    }

    /// How the last refresh went.
    pub fn status(&self) -> Status {
        self.0.status.borrow().clone()
    }

    /// Whether the lineup comes from a playlist.
    pub fn has_playlist(&self) -> bool {
        self.0.playlist.borrow().is_some()
    }
}

/// Loads what is stored, then fetches whenever somebody asks, and again after failures; never ends.
pub async fn run(
    handle: Handle,
    store: store::Handle,
    guide: store::guide::Handle,
    engine: engine::Handle,
    problems: Problems,
    metrics: Rc<Metrics>,
) {
    // Before the first lineup: what is hidden must not be shown for a moment.
    recall_marks(&handle, &store, &problems).await;
    let rooms = guides::Rooms {
        subscriptions: &handle,
        store: &store,
        guide: &guide,
        engine: &engine,
        problems: &problems,
        metrics: &metrics,
    };
    tokio::select! {
        () = guides::run(&rooms, true) => {}
        () = keep_marks(&handle, &store) => {}
        () = refresh(&handle, &store, &engine, &problems, &metrics) => {}
    }
}

async fn recall_marks(handle: &Handle, store: &store::Handle, problems: &Problems) {
    match store.marks().await {
        Ok(by_channel) => *handle.0.marks.borrow_mut() = Rc::new(Marks { by_channel, revision: 1 }),
        Err(error) => problems.set(Topic::Lineup, format!("Favourites could not be read: {error}")),
    }
}

/// Keeps what the owner thinks, while a playlist may be on its way; never ends.
async fn keep_marks(handle: &Handle, store: &store::Handle) {
    let inbox = handle.0.to_mark.borrow_mut().take();
    let Some(mut inbox) = inbox else { return std::future::pending().await };
    while let Some(Marking { channel, mark, done }) = inbox.recv().await {
        let kept = store.set_mark(channel, mark).await;
        if kept.is_ok() {
            let old = handle.marks();
            let mut by_channel = old.by_channel.clone();
            match mark {
                Mark::Plain => by_channel.remove(&channel),
                Mark::Favorite | Mark::Hidden => by_channel.insert(channel, mark),
            };
            *handle.0.marks.borrow_mut() = Rc::new(Marks { by_channel, revision: old.revision + 1 });
            handle.0.guides.make_anew();
        }
        // Who asked may be gone.
        done.send(kept).unwrap_or_default();
    }
}

async fn refresh(
    handle: &Handle,
    store: &store::Handle,
    engine: &engine::Handle,
    problems: &Problems,
    metrics: &Metrics,
) {
    let mut retry_ms = RETRY_MS_MIN;
    let mut restore = true;
    loop {
        let playlist = handle.0.playlist.borrow().clone();
        let Some(playlist) = playlist else {
            problems.clear(Topic::Playlist);
            publish(engine, problems, metrics, store.lineup(Origin::Demo).await);
            handle.0.end();
            handle.0.wanted.notified().await;
            restore = true;
            continue;
        };
        if std::mem::take(&mut restore) {
            // Channels that were known before the start are there at once, even while the network is not.
            match store.lineup(Origin::Playlist).await {
                Ok(stored) if stored.channels().is_empty() => {}
                stored => publish(engine, problems, metrics, stored),
            }
        }
        handle.0.begin();
        let loaded = tokio::select! {
            loaded = tokio::time::timeout(Duration::from_millis(FETCH_MS_MAX), load(handle, &playlist)) => {
                Some(loaded.unwrap_or_else(|_| Err(format!("it took longer than {} s", FETCH_MS_MAX / 1_000))))
            }
            () = handle.0.unwanted.notified() => None,
        };
        let retry_at = match loaded {
            // Somebody gave up. Without any channels there must be another try.
            None => engine.lineup().is_none().then(|| clock::mono().plus_ms(retry_ms)),
            Some(Ok((entries, summary, reach))) => {
                let asked_at = clock::mono();
                let stored = store.replace_playlist(entries, reach).await;
                metrics.db_commit.add_ms(clock::mono().ms_since(asked_at));
                publish(engine, problems, metrics, stored);
                metrics.playlist_loads.add(1);
                tracing::info!(channels = summary.entries, left_out = summary.skipped, "playlist loaded");
                if summary.entries > PLEX_CHANNELS_MAX {
                    tracing::warn!(
                        "Plex takes {PLEX_CHANNELS_MAX} channels of one box, and here are {}; a second box with the \
                         others helps, or a shorter playlist",
                        summary.entries
                    );
                }
                handle.0.note_loaded(summary);
                problems.clear(Topic::Playlist);
                retry_ms = RETRY_MS_MIN;
                None
            }
            Some(Err(why)) => {
                metrics.playlist_failures.add(1);
                let meanwhile = match engine.lineup() {
                    Some(_) => "The channels it had before stay.",
                    None => "There are no channels until it works.",
                };
                problems.set(
                    Topic::Playlist,
                    format!("The playlist {} cannot be used: {why}. {meanwhile}", show(&playlist)),
                );
                let at = clock::mono().plus_ms(retry_ms);
                retry_ms = (retry_ms * 2).min(RETRY_MS_MAX);
                Some(at)
            }
        };
        handle.0.end();
        tokio::select! {
            () = handle.0.wanted.notified() => {}
            () = clock::until(retry_at) => {}
        }
    }
}

/// Shows what is stored and fetches nothing, whoever asks; never ends. For safe mode: a playlist may be what the daemon
/// failed on.
///
/// `sure`: the settings could be read. Otherwise nobody knows whether there is a playlist, and clients must not forget
/// its channels for that.
pub async fn run_stored(
    handle: Handle,
    sure: bool,
    store: store::Handle,
    guide: store::guide::Handle,
    engine: engine::Handle,
    problems: Problems,
    metrics: Rc<Metrics>,
) {
    recall_marks(&handle, &store, &problems).await;
    let rooms = guides::Rooms {
        subscriptions: &handle,
        store: &store,
        guide: &guide,
        engine: &engine,
        problems: &problems,
        metrics: &metrics,
    };
    tokio::select! {
        () = guides::run(&rooms, false) => {}
        () = keep_marks(&handle, &store) => {}
        () = show_stored(&handle, sure, &store, &engine, &problems, &metrics) => {}
    }
}

async fn show_stored(
    handle: &Handle,
    sure: bool,
    store: &store::Handle,
    engine: &engine::Handle,
    problems: &Problems,
    metrics: &Metrics,
) {
    loop {
        let stored = store.lineup(Origin::Playlist).await;
        let has_some = stored.as_ref().is_ok_and(|stored| !stored.channels().is_empty());
        let wanted = handle.has_playlist() || !sure && has_some;
        let lineup = if wanted { stored } else { store.lineup(Origin::Demo).await };
        publish(engine, problems, metrics, lineup);
        handle.0.end();
        handle.0.wanted.notified().await;
    }
}

fn publish(
    engine: &engine::Handle,
    problems: &Problems,
    metrics: &Metrics,
    lineup: Result<pure::model::lineup::Lineup, store::StoreError>,
) {
    match lineup {
        Ok(lineup) => {
            engine.set_lineup(Rc::new(lineup));
            metrics.rebuilt(Rebuilt::Lineup);
            problems.clear(Topic::Lineup);
        }
        Err(error) => problems.set(Topic::Lineup, format!("The lineup could not be stored or read: {error}")),
    }
}

/// A playlist as people may see it: addresses without their secrets.
fn show(playlist: &str) -> String {
    playlist.parse::<SourceUrl>().map_or_else(|_| playlist.to_owned(), |url| url.to_string())
}

/// Reads a whole playlist from a file or an address, and says how far its entries may lead; the error is for people.
async fn load(handle: &Handle, playlist: &str) -> Result<(Vec<Entry>, Summary, Reach), String> {
    let mut reading = Reading { handle, parser: Parser::new(), entries: Vec::new(), first_skipped: None, bytes: 0 };
    let reach = if let Ok(url) = playlist.parse::<SourceUrl>() {
        let ask = Ask::new(&url, handle.0.fetcher.typed());
        let take = async |bytes: Bytes, whole| reading.push(&bytes, whole);
        let answer = fetch(&handle.0.fetcher, ask, "playlist", PLAYLIST_BYTES_MAX as u64, take).await?;
        // Its entries lead no further than to where it lies itself.
        answer.ok_or("its server says that it is as it was")?.reach
    } else {
        read_file(Path::new(playlist), &mut reading).await?;
        handle.0.fetcher.typed()
    };
    let (entries, summary) = reading.finish(reach)?;
    Ok((entries, summary, reach))
}

/// Reads a `thing` from an address and gives its body to `take`, piece by piece, each with the length of the whole where
/// the server says it. What is left of the answer is given back; `None`: it is as it was. The error is for people.
async fn fetch(
    fetcher: &Fetcher,
    ask: Ask<'_>,
    thing: &str,
    bytes_max: u64,
    mut take: impl AsyncFnMut(Bytes, Option<u64>) -> Result<(), String>,
) -> Result<Option<Answer>, String> {
    let mut session = fetcher.session();
    let mut answer = match session.get(ask).await {
        Ok(answer) => answer,
        Err(error) => match error.kind {
            Kind::Status(304, _) if !ask.conditions.is_empty() => return Ok(None),
            Kind::Status(status, _) => return Err(format!("{error}: {}", explain_status(status, thing))),
            _ => return Err(error.to_string()),
        },
    };
    let mut left = bytes_max;
    while let Some(bytes) = answer.piece().await.map_err(|error| error.to_string())? {
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| too_large(bytes_max))?;
        take(bytes, answer.whole).await?;
        tokio::task::yield_now().await;
    }
    Ok(Some(answer))
}

/// What is said when a document has no end in sight.
fn too_large(bytes_max: u64) -> String {
    format!("it is larger than {} MiB", bytes_max / 1024 / 1024)
}

fn explain_status(status: u16, thing: &str) -> String {
    match status {
        401 | 403 => "it refuses the login, which may have expired".to_owned(),
        404 | 410 => format!("there is no such {thing}"),
        429 => "it was asked too often".to_owned(),
        500.. => "it has trouble of its own".to_owned(),
        _ => format!("which is no {thing}"),
    }
}

struct Reading<'a> {
    handle: &'a Handle,
    parser: Parser,
    entries: Vec<Entry>,
    first_skipped: Option<String>,
    /// Bytes that came so far.
    bytes: u64,
}

impl Reading<'_> {
    /// Takes a piece of a playlist that has so many bytes as a `whole`, if that is known.
    fn push(&mut self, bytes: &[u8], whole: Option<u64>) -> Result<(), String> {
        let Self { parser, entries, first_skipped, .. } = self;
        let pushed = parser.push(bytes, &mut |result| sort(result, entries, first_skipped));
        self.bytes += bytes.len() as u64;
        let mut status = self.handle.0.status.borrow_mut();
        status.found_now = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        // Where the end is not known, it is probably as far away as it was the last time.
        let (done, all) = match whole {
            Some(whole) => (self.bytes, whole),
            None => (status.found_now.into(), status.found.into()),
        };
        // What is read has to be stored, too.
        let percent = done.min(all) * READ_PERCENT / all.max(1);
        status.progress = status.progress.max(u8::try_from(percent).unwrap_or(0));
        pushed.map_err(|error| error.to_string())
    }

    fn finish(self, reach: Reach) -> Result<(Vec<Entry>, Summary), String> {
        let Self { handle, parser, mut entries, mut first_skipped, bytes: _ } = self;
        let guides = parser.guides().to_vec();
        let summary = parser.finish(&mut |result| sort(result, &mut entries, &mut first_skipped));
        let summary = summary.map_err(|error| error.to_string())?;
        handle.0.status.borrow_mut().first_skipped = first_skipped;
        handle.0.guides.set_playlist_guides(&guides, reach);
        Ok((entries, summary))
    }
}

/// Keeps an entry, or why the first of those left out was.
fn sort(result: Result<Entry, Skipped>, entries: &mut Vec<Entry>, first_skipped: &mut Option<String>) {
    match result {
        Ok(entry) => entries.push(entry),
        Err(skipped) if first_skipped.is_none() => *first_skipped = Some(skipped.to_string()),
        Err(_) => {}
    }
}

/// Reads a local file in pieces, so that nobody else waits long.
async fn read_file(path: &Path, reading: &mut Reading<'_>) -> Result<(), String> {
    let (mut file, whole) = open_plain(path)?;
    let mut left = PLAYLIST_BYTES_MAX;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let len = file.read(&mut piece).map_err(|error| format!("the file cannot be read ({error})"))?;
        if len == 0 {
            return Ok(());
        }
        left = left.checked_sub(len).ok_or_else(|| too_large(PLAYLIST_BYTES_MAX as u64))?;
        reading.push(piece.get(..len).unwrap_or_default(), Some(whole))?;
        tokio::task::yield_now().await;
    }
}

/// Opens a plain file, and says how long it is.
fn open_plain(path: &Path) -> Result<(fs::File, u64), String> {
    // A pipe without writer would block for ever.
    let opened = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| format!("the file cannot be opened ({error})"))?;
    let kind = file.metadata().map_err(|error| format!("the file cannot be looked at ({error})"))?;
    if kind.is_dir() {
        return Err("it is a directory, not a file".to_owned());
    }
    if kind.is_file() { Ok((file, kind.len())) } else { Err("it is no plain file".to_owned()) }
}

//! Fetches the playlist and turns it into the lineup.
//!
//! A lineup that was loaded once is kept: whatever goes wrong with a later fetch, clients see the old channels and the
//! page says what happened. How a playlist is read: `pure::wire::m3u`; where channels are kept: [`crate::store`].

mod fetch;

use crate::clock;
use crate::engine;
use crate::observe::metrics::{Metrics, Rebuilt};
use crate::observe::problems::{Problems, Topic};
use crate::store::{self, Origin};
use pure::limits::FETCH_MS_MAX;
use pure::model::source_url::SourceUrl;
use pure::time::Wall;
use pure::wire::m3u::{Entry, Parser, Skipped, Summary};
use std::cell::RefCell;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// From a failed fetch to the next try; doubled each time.
const RETRY_MS_MIN: u64 = 15_000;
/// The longest pause between two tries.
const RETRY_MS_MAX: u64 = 900_000;

/// How the last refresh went.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// One is going on.
    pub in_progress: bool,
    /// Entries found so far, or in the last one that worked.
    pub found: u32,
    /// Entries left out of it, and why the first of them was.
    pub skipped: u32,
    /// Why the first of them was left out.
    pub first_skipped: Option<String>,
    /// When the last one that worked ended.
    pub loaded_at: Option<Wall>,
}

struct Shared {
    playlist: RefCell<Option<String>>,
    status: RefCell<Status>,
    wanted: Notify,
}

impl Shared {
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
    /// For a playlist, or the demo channels.
    pub fn new(playlist: Option<String>) -> Self {
        Self(Rc::new(Shared { playlist: RefCell::new(playlist), status: RefCell::default(), wanted: Notify::new() }))
    }

    /// Asks for a refresh; one that is going on is enough. From now on one is in progress, until its channels are
    /// there: clients ask for their lineup in the moment when it ends.
    pub fn refresh(&self) {
        if !std::mem::replace(&mut self.0.status.borrow_mut().in_progress, true) {
            self.0.wanted.notify_one();
        }
    }

    /// Takes another playlist and fetches it.
    pub fn set_playlist(&self, playlist: Option<String>) {
        *self.0.playlist.borrow_mut() = playlist;
        self.0.status.borrow_mut().in_progress = true;
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
    engine: engine::Handle,
    problems: Problems,
    metrics: Rc<Metrics>,
) {
    let mut retry_ms = RETRY_MS_MIN;
    let mut restore = true;
    loop {
        let playlist = handle.0.playlist.borrow().clone();
        let Some(playlist) = playlist else {
            problems.clear(Topic::Playlist);
            publish(&engine, &problems, &metrics, store.lineup(Origin::Demo).await);
            handle.0.status.borrow_mut().in_progress = false;
            handle.0.wanted.notified().await;
            restore = true;
            continue;
        };
        if std::mem::take(&mut restore) {
            // Channels that were known before the start are there at once, even while the network is not.
            match store.lineup(Origin::Playlist).await {
                Ok(stored) if stored.channels().is_empty() => {}
                stored => publish(&engine, &problems, &metrics, stored),
            }
        }
        handle.0.status.borrow_mut().in_progress = true;
        let loaded = tokio::time::timeout(Duration::from_millis(FETCH_MS_MAX), load(&handle, &playlist)).await;
        let loaded = loaded.unwrap_or_else(|_| Err(format!("it took longer than {} s", FETCH_MS_MAX / 1_000)));
        let retry_at = match loaded {
            Ok((entries, summary)) => {
                let asked_at = clock::mono();
                let stored = store.replace_playlist(entries).await;
                metrics.db_commit.add_ms(clock::mono().ms_since(asked_at));
                publish(&engine, &problems, &metrics, stored);
                metrics.playlist_loads.add(1);
                tracing::info!(channels = summary.entries, left_out = summary.skipped, "playlist loaded");
                handle.0.note_loaded(summary);
                problems.clear(Topic::Playlist);
                retry_ms = RETRY_MS_MIN;
                None
            }
            Err(why) => {
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
        handle.0.status.borrow_mut().in_progress = false;
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
    engine: engine::Handle,
    problems: Problems,
    metrics: Rc<Metrics>,
) {
    loop {
        let stored = store.lineup(Origin::Playlist).await;
        let has_some = stored.as_ref().is_ok_and(|stored| !stored.channels().is_empty());
        let wanted = handle.has_playlist() || !sure && has_some;
        let lineup = if wanted { stored } else { store.lineup(Origin::Demo).await };
        publish(&engine, &problems, &metrics, lineup);
        handle.0.status.borrow_mut().in_progress = false;
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

/// Reads a whole playlist from a file or an address; the error is for people.
async fn load(handle: &Handle, playlist: &str) -> Result<(Vec<Entry>, Summary), String> {
    let mut reading = Reading { handle, parser: Parser::new(), entries: Vec::new(), first_skipped: None };
    match playlist.parse::<SourceUrl>() {
        Ok(url) => fetch::get(url, |bytes| reading.push(bytes)).await?,
        Err(_) => read_file(Path::new(playlist), &mut reading).await?,
    }
    reading.finish()
}

struct Reading<'a> {
    handle: &'a Handle,
    parser: Parser,
    entries: Vec<Entry>,
    first_skipped: Option<String>,
}

impl Reading<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Self { parser, entries, first_skipped, .. } = self;
        let pushed = parser.push(bytes, &mut |result| sort(result, entries, first_skipped));
        self.handle.0.status.borrow_mut().found = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        pushed.map_err(|error| error.to_string())
    }

    fn finish(self) -> Result<(Vec<Entry>, Summary), String> {
        let Self { handle, parser, mut entries, mut first_skipped } = self;
        let summary = parser.finish(&mut |result| sort(result, &mut entries, &mut first_skipped));
        let summary = summary.map_err(|error| error.to_string())?;
        handle.0.status.borrow_mut().first_skipped = first_skipped;
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
    // A pipe without writer would block for ever.
    let opened = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let mut file = opened.map_err(|error| format!("the file cannot be opened ({error})"))?;
    let kind = file.metadata().map_err(|error| format!("the file cannot be looked at ({error})"))?;
    if !kind.is_file() {
        return Err(if kind.is_dir() {
            "it is a directory, not a file".to_owned()
        } else {
            "it is no plain file".to_owned()
        });
    }
    let mut left = pure::limits::PLAYLIST_BYTES_MAX;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let len = file.read(&mut piece).map_err(|error| format!("the file cannot be read ({error})"))?;
        if len == 0 {
            return Ok(());
        }
        left = left.checked_sub(len).ok_or_else(fetch::too_large)?;
        reading.push(piece.get(..len).unwrap_or_default())?;
        tokio::task::yield_now().await;
    }
}

//! What must survive: identity and channels, in one `SQLite` database.
//!
//! One thread, one connection; everybody else has a [`Handle`]. The database is never on the path of a packet. It runs
//! in WAL mode with synchronous FULL: what was acknowledged survives a power cut. Migrations only add, so the previous
//! release can still read what this one wrote. A database that is damaged is put aside, and the last good copy, made
//! at each start and whenever channels changed, takes its place.

pub mod guide;
pub mod guides;
mod schema;

use pure::limits::STORE_INBOX;
use pure::model::device_id::DeviceId;
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::{Channel, ChannelId, DemoIndex, Lineup, Mark, Source};
use pure::model::recipe::DEMO;
use pure::rules::reach::Reach;
use pure::wire::m3u::Entry;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// Why the store cannot do what was asked. The text is for people.
#[derive(Clone, Debug)]
pub struct StoreError(String);

impl StoreError {
    /// It has more to do than it can take.
    pub fn busy() -> Self {
        Self("the database is busy; try again".to_owned())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(format!("the database says: {error}"))
    }
}

/// Where a lineup comes from; each origin has its own channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The channels we make ourselves.
    Demo,
    /// The owner's playlist.
    Playlist,
}

impl Origin {
    const fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Playlist => "playlist",
        }
    }
}

enum Request {
    Lineup {
        origin: Origin,
        answer: oneshot::Sender<Result<Lineup, StoreError>>,
    },
    Replace {
        entries: Vec<Entry>,
        reach: Reach,
        answer: oneshot::Sender<Result<Lineup, StoreError>>,
    },
    Marks {
        answer: oneshot::Sender<Result<BTreeMap<ChannelId, Mark>, StoreError>>,
    },
    SetMark {
        channel: ChannelId,
        mark: Mark,
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
    Ping {
        answer: oneshot::Sender<()>,
    },
    /// What a room beside this one wants done.
    Do(Box<dyn FnOnce(&mut Connection) + Send>),
}

/// How the store's thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It answers.
    Alive,
    /// It has more to do than it can take.
    Busy,
    /// It has ended, which must not happen.
    Stopped,
}

/// The store, as others see it.
#[derive(Clone)]
pub struct Handle(mpsc::SyncSender<Request>);

/// What was found when the store was opened.
pub struct Opened {
    /// To ask it.
    pub handle: Handle,
    /// Who we are on the network.
    pub device_id: DeviceId,
    /// What is wrong with it, for people; `None` when nothing is.
    pub problem: Option<String>,
    /// Ends when the last handle is gone and everything is written.
    pub thread: std::thread::JoinHandle<()>,
}

/// Opens the store in `folder`. It always succeeds: where state cannot be kept, it is held in memory, and
/// [`Opened::problem`] says so.
///
/// # Errors
/// Only when not even a database in memory or a thread can be had.
pub fn open(folder: &Path) -> Result<Opened, StoreError> {
    let (mut database, mut problem) = schema::open(folder)?;
    let device_id = device_id(&mut database)?;
    // The copy of the very first start must know the device id, too.
    if let Err(error) = schema::keep_copy(&database, folder) {
        problem.get_or_insert(format!("No copy of the database could be made in {}: {error}", folder.display()));
    }
    let (sender, inbox) = mpsc::sync_channel(STORE_INBOX);
    let thread = std::thread::Builder::new()
        .name("store".to_owned())
        .stack_size(512 * 1024)
        .spawn({
            let folder = folder.to_owned();
            move || serve(&mut database, &folder, &inbox)
        })
        .map_err(|error| StoreError(format!("no thread for the database: {error}")))?;
    Ok(Opened { handle: Handle(sender), device_id, problem, thread })
}

impl Handle {
    /// The stored lineup of an origin; the demo channels always exist.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn lineup(&self, origin: Origin) -> Result<Lineup, StoreError> {
        self.ask(|answer| Request::Lineup { origin, answer }).await
    }

    /// Makes `entries` the playlist's channels, in their order: known ones keep id and number, new ones get theirs,
    /// and those that are gone keep theirs for when they come back. `reach`: how far their addresses may lead.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn replace_playlist(&self, entries: Vec<Entry>, reach: Reach) -> Result<Lineup, StoreError> {
        self.ask(|answer| Request::Replace { entries, reach, answer }).await
    }

    /// What the owner thinks of channels; those without a row are plain.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn marks(&self) -> Result<BTreeMap<ChannelId, Mark>, StoreError> {
        self.ask(|answer| Request::Marks { answer }).await
    }

    /// Keeps what the owner thinks of a channel.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn set_mark(&self, channel: ChannelId, mark: Mark) -> Result<(), StoreError> {
        self.ask(|answer| Request::SetMark { channel, mark, answer }).await
    }

    /// Waits for the store's thread to come round to this question; as long as it takes.
    pub async fn ping(&self) -> Pulse {
        let (answer, answered) = oneshot::channel();
        match self.0.try_send(Request::Ping { answer }) {
            Ok(()) if answered.await.is_ok() => Pulse::Alive,
            Ok(()) | Err(mpsc::TrySendError::Disconnected(_)) => Pulse::Stopped,
            Err(mpsc::TrySendError::Full(_)) => Pulse::Busy,
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|answer| Request::Do(Box::new(move |database| drop(answer.send(work(database)))))).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(request(answer)).map_err(|_| StoreError::busy())?;
        answered.await.unwrap_or_else(|_| Err(StoreError("the database has stopped".to_owned())))
    }
}

/// The store's thread.
fn serve(database: &mut Connection, folder: &Path, inbox: &mpsc::Receiver<Request>) {
    while let Ok(request) = inbox.recv() {
        // Who asked may have given up; that is his business.
        match request {
            Request::Ping { answer } => answer.send(()).unwrap_or_default(),
            Request::Do(work) => work(database),
            Request::Lineup { origin, answer } => drop(answer.send(lineup(database, origin))),
            Request::Marks { answer } => drop(answer.send(marks(database))),
            Request::SetMark { channel, mark, answer } => drop(answer.send(set_mark(database, channel, mark))),
            Request::Replace { entries, reach, answer } => {
                let before = lineup(database, Origin::Playlist).ok();
                let after = replace_playlist(database, &entries, reach);
                let changed = after.as_ref().is_ok_and(|after| before.as_ref() != Some(after));
                drop(answer.send(after));
                if changed {
                    // New channels have numbers that must survive, too; the next start tells if no copy can be made.
                    schema::keep_copy(database, folder).unwrap_or_default();
                }
            }
        }
    }
}

/// The stored id; a new random one the first time.
fn device_id(database: &mut Connection) -> Result<DeviceId, StoreError> {
    let stored: Option<String> =
        database.query_row("SELECT value FROM meta WHERE key = 'device_id'", [], |row| row.get(0)).optional()?;
    if let Some(id) = stored.and_then(|text| DeviceId::from_str(&text).ok()) {
        return Ok(id);
    }
    let mut seed = [0; 4];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut seed))
        .map_err(|error| StoreError(format!("no random numbers for a device id: {error}")))?;
    let id = DeviceId::from_random(u32::from_ne_bytes(seed));
    database.execute(
        "INSERT INTO meta (key, value) VALUES ('device_id', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1",
        [id.to_string()],
    )?;
    Ok(id)
}

fn lineup(database: &mut Connection, origin: Origin) -> Result<Lineup, StoreError> {
    if origin == Origin::Demo {
        add_demo(database)?;
    }
    let mut sources = sources(database)?;
    let mut statement = database.prepare_cached(
        "SELECT id, number, name, grouping, logo, key FROM channel
         WHERE origin = ?1 AND position IS NOT NULL ORDER BY position",
    )?;
    let rows = statement.query_map([origin.name()], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get::<_, String>(5)?))
    })?;
    let mut channels = Vec::new();
    for row in rows {
        let (id, number, name, group, logo, key) = row?;
        // A row that this release cannot read stays for the release that can.
        let (Ok(number), Some(sources)) = (GuideNumber::from_str(&number), sources.remove(&id)) else { continue };
        // An entry of a playlist is known by its id in the provider's guide and by its name.
        let tvg_id = key.split_once('\u{1f}').map_or_else(String::new, |(tvg_id, _)| tvg_id.to_owned());
        channels.push(Channel { id: ChannelId(id), number, name, group, logo, tvg_id, sources });
    }
    Lineup::new(channels).map_err(|error| StoreError(format!("the stored lineup is contradictory: {error:?}")))
}

fn sources(database: &Connection) -> Result<BTreeMap<u32, Vec<Source>>, StoreError> {
    let mut statement = database
        .prepare_cached("SELECT channel_id, address, user_agent, reach FROM source ORDER BY channel_id, position")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?)))?;
    let mut sources: BTreeMap<u32, Vec<Source>> = BTreeMap::new();
    for row in rows {
        let (channel, address, user_agent, reach): (u32, String, Option<String>, Option<String>) = row?;
        let source = match address.strip_prefix("demo:").and_then(|index| index.parse().ok()) {
            Some(index) => Source::Demo(DemoIndex(index)),
            None => match address.parse() {
                Ok(url) => {
                    let reach = Reach::from_name(reach.as_deref().unwrap_or_default());
                    Source::Url { url, user_agent, reach }
                }
                Err(_) => continue,
            },
        };
        sources.entry(channel).or_default().push(source);
    }
    Ok(sources)
}

const FAVORITE: &str = "favorite";
const HIDDEN: &str = "hidden";

fn marks(database: &Connection) -> Result<BTreeMap<ChannelId, Mark>, StoreError> {
    let mut statement = database.prepare_cached("SELECT channel_id, mark FROM mark")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut marks = BTreeMap::new();
    for row in rows {
        let (channel, mark) = row?;
        let mark = match mark.as_str() {
            FAVORITE => Mark::Favorite,
            HIDDEN => Mark::Hidden,
            // Of a release that knows more.
            _ => continue,
        };
        marks.insert(ChannelId(channel), mark);
    }
    Ok(marks)
}

fn set_mark(database: &Connection, channel: ChannelId, mark: Mark) -> Result<(), StoreError> {
    let text = match mark {
        Mark::Plain => {
            database.execute("DELETE FROM mark WHERE channel_id = ?1", [channel.0])?;
            return Ok(());
        }
        Mark::Favorite => FAVORITE,
        Mark::Hidden => HIDDEN,
    };
    database.execute(
        "INSERT INTO mark (channel_id, mark) VALUES (?1, ?2) ON CONFLICT (channel_id) DO UPDATE SET mark = ?2",
        params![channel.0, text],
    )?;
    Ok(())
}

fn add_demo(database: &mut Connection) -> Result<(), StoreError> {
    let transaction = database.transaction()?;
    for (index, demo) in (0u8..).zip(&DEMO) {
        let added = transaction.execute(
            "INSERT OR IGNORE INTO channel (origin, key, number, name, grouping, logo, position)
             VALUES ('demo', ?1, ?2, ?3, 'Demo', '', ?4)",
            params![format!("demo:{index}"), demo.number.as_str(), demo.name, index],
        )?;
        if added > 0 {
            let id = transaction.last_insert_rowid();
            transaction.execute(
                "INSERT INTO source (channel_id, position, address) VALUES (?1, 0, ?2)",
                params![id, format!("demo:{index}")],
            )?;
        }
    }
    Ok(transaction.commit()?)
}

fn replace_playlist(database: &mut Connection, entries: &[Entry], reach: Reach) -> Result<Lineup, StoreError> {
    let transaction = database.transaction()?;
    merge(&transaction, entries, reach)?;
    transaction.commit()?;
    lineup(database, Origin::Playlist)
}

/// A known channel: its id, and whether its address changed is decided by writing it again.
fn merge(transaction: &Transaction<'_>, entries: &[Entry], reach: Reach) -> Result<(), StoreError> {
    let mut known: BTreeMap<String, i64> = BTreeMap::new();
    // The demo channels may come back one day.
    let mut taken: BTreeSet<GuideNumber> = DEMO.iter().map(|demo| demo.number).collect();
    {
        let mut statement = transaction.prepare("SELECT id, origin, key, number FROM channel")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if row.get::<_, String>(1)? == Origin::Playlist.name() {
                known.insert(row.get(2)?, row.get(0)?);
            }
            taken.extend(GuideNumber::from_str(&row.get::<_, String>(3)?));
        }
    }
    transaction.execute("UPDATE channel SET position = NULL WHERE origin = 'playlist'", [])?;
    let mut insert = transaction.prepare(
        "INSERT INTO channel (origin, key, number, name, grouping, logo, position)
         VALUES ('playlist', ?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut update =
        transaction.prepare("UPDATE channel SET name = ?2, grouping = ?3, logo = ?4, position = ?5 WHERE id = ?1")?;
    let mut forget = transaction.prepare("DELETE FROM source WHERE channel_id = ?1")?;
    let mut source = transaction
        .prepare("INSERT INTO source (channel_id, position, address, user_agent, reach) VALUES (?1, 0, ?2, ?3, ?4)")?;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut next_free = 1;
    for (position, entry) in (0i64..).zip(entries) {
        let base = format!("{}\u{1f}{}", entry.tvg_id, entry.name);
        let occurrence = seen.entry(base.clone()).or_default();
        let key = format!("{base}\u{1f}{occurrence}");
        *occurrence += 1;
        let id = if let Some(id) = known.get(&key) {
            update.execute(params![id, entry.name, entry.group, entry.logo, position])?;
            forget.execute([id])?;
            *id
        } else {
            let number = entry.number.filter(|number| !taken.contains(number)).unwrap_or_else(|| {
                while taken.contains(&GuideNumber::whole(next_free)) {
                    next_free += 1;
                }
                GuideNumber::whole(next_free)
            });
            taken.insert(number);
            insert.execute(params![key, number.as_str(), entry.name, entry.group, entry.logo, position])?;
            transaction.last_insert_rowid()
        };
        source.execute(params![id, entry.url.as_str(), entry.user_agent, reach.name()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

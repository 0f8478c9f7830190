//! What must survive: identity, channels and subscriptions, and what these list, in two `SQLite` databases.
//!
//! One thread; everybody else has a [`Handle`]. A database is never on the path of a packet. The owner's ([`owner`]) runs
//! in WAL mode with synchronous FULL: what was acknowledged survives a power cut. Migrations only add, so the previous
//! release can still read what this one wrote. A database that is damaged is put aside, and the last good copy, made
//! at each start and whenever channels changed, takes its place. The providers' ([`listing`]) can be fetched again: it
//! has no copy, and one that is damaged is begun anew.

pub mod access;
mod backup;
mod document;
mod edits;
mod faces;
pub mod guide;
pub mod guides;
mod history;
mod listing;
mod logos;
mod notifications;
mod owner;
mod schema;
mod wishes;

pub use document::Restored;
pub use history::Revision;
use listing::Import;
use owner::Adoption;
use pure::limits::{CHANNELS_MAX, STORE_INBOX};
use pure::model::device_id::DeviceId;
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::{Channel, ChannelId, DemoIndex, Lineup, Mark, Source};
use pure::model::recipe::DEMO;
use pure::model::subscription::{
    ChangeSet, Decision, Detail, Difference, Edit, Facts, FieldError, Group, ListedEntry, Listing, Refreshed,
    Subscription, SubscriptionId,
};
use pure::rules::reach::Reach;
use pure::time::Wall;
use pure::wire::m3u::Entry;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;
pub use wishes::time_zone;

/// Why the store cannot do what was asked. The text is for people.
#[derive(Clone, Debug)]
pub struct StoreError(String);

impl StoreError {
    /// It has more to do than it can take.
    pub fn busy() -> Self {
        Self("the database is busy; try again".to_owned())
    }

    /// A refresh ended before.
    fn over() -> Self {
        Self("the refresh was over already".to_owned())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for StoreError {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(format!("the database says: {error}"))
    }
}

/// Why something was not changed.
#[derive(Clone, Debug)]
pub enum EditError {
    /// What was asked is wrong, and in which field.
    Field(FieldError),
    /// There is no such thing.
    NotFound,
    /// The database did not do it.
    Store(StoreError),
}

impl From<StoreError> for EditError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for EditError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<FieldError> for EditError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

/// Where a lineup comes from; each origin has its own channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The channels we make ourselves.
    Demo,
    /// What the owner subscribed to.
    Playlist,
}

/// Something to be done on the store's thread.
type Work = Box<dyn FnOnce(&mut Database) + Send>;

enum Request {
    Work(Work),
    Stop,
}

/// Both databases. The connection to the listings knows nothing of the owner's; that of the owner's reads the listings.
pub(crate) struct Database {
    owner: Connection,
    listings: Connection,
    folder: PathBuf,
    import: Option<Import>,
    adoption: Option<Adoption>,
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
pub struct Handle {
    inbox: mpsc::SyncSender<Request>,
    /// The number of what the owner chose.
    revision: Arc<AtomicU64>,
}

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
    let device_id = device_id(&mut database.owner)?;
    // The copy of the very first start must know the device id, too.
    if let Err(error) = schema::keep_copy(&database.owner, folder) {
        problem.get_or_insert(format!("No copy of the database could be made in {}: {error}", folder.display()));
    }
    let revision = Arc::new(AtomicU64::new(0));
    // The way back from the first write; and what was done past us has to be in one, too.
    history::keep(&database.owner, "as it was at the start", &revision);
    let (sender, inbox) = mpsc::sync_channel(STORE_INBOX);
    let thread = std::thread::Builder::new()
        .name("store".to_owned())
        .stack_size(512 * 1024)
        .spawn(move || {
            while let Ok(Request::Work(work)) = inbox.recv() {
                work(&mut database);
            }
        })
        .map_err(|error| StoreError(format!("no thread for the database: {error}")))?;
    Ok(Opened { handle: Handle { inbox: sender, revision }, device_id, problem, thread })
}

/// Removes all that is in `folder`, while no tunerd runs there, but who the box is on the network: clients would take it
/// for another one otherwise. Nothing outside of it is touched, whatever links lead there.
///
/// A power cut in between leaves the old database with less around it, or the new one.
///
/// # Errors
/// That is no directory of tunerd's; something could not be removed, or the new database not be made.
pub fn factory_reset(folder: &Path) -> Result<(), StoreError> {
    if !folder.join(schema::FILE).is_file() {
        return Err(StoreError(format!("there is no {} in {}", schema::FILE, folder.display())));
    }
    let stored = schema::open_offline(folder).ok().and_then(|database| {
        database.query_row("SELECT value FROM meta WHERE key = 'device_id'", [], |row| row.get::<_, String>(0)).ok()
    });
    // One that cannot be read any more is no reason to keep the rest.
    let id = stored
        .filter(|text| DeviceId::from_str(text).is_ok())
        .map_or_else(|| random_id().map(|id| id.to_string()), Ok)?;
    let explain = |error: std::io::Error| StoreError(format!("{}: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(explain)? {
        let entry = entry.map_err(explain)?;
        let removed = match entry.file_type().map_err(explain)? {
            _ if entry.file_name() == schema::FILE => continue,
            kind if kind.is_dir() => std::fs::remove_dir_all(entry.path()),
            _ => std::fs::remove_file(entry.path()),
        };
        removed.map_err(explain)?;
    }
    schema::start_over(folder, &id)
}

impl Handle {
    /// The stored lineup of an origin; the demo channels always exist.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn lineup(&self, origin: Origin) -> Result<Lineup, StoreError> {
        self.ask(move |database| match origin {
            Origin::Demo => demo_lineup(&mut database.owner),
            Origin::Playlist => owner::lineup(&database.owner),
        })
        .await
    }

    /// What the owner thinks of channels; those without a row are plain.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn marks(&self) -> Result<BTreeMap<ChannelId, Mark>, StoreError> {
        self.ask(|database| marks(&database.owner)).await
    }

    /// Keeps what the owner thinks of channels; all of them or none.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn set_marks(&self, channels: Vec<ChannelId>, mark: Mark) -> Result<(), StoreError> {
        self.write(history::told_mark(mark, channels.len()), move |database| {
            let transaction = database.owner.transaction()?;
            for channel in channels {
                set_mark(&transaction, channel, mark)?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }

    // ---- Subscriptions ----------------------------------------------------------------------------------------------

    /// All subscriptions, and what they list.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn subscriptions(&self) -> Result<Vec<(Subscription, Listing)>, StoreError> {
        self.ask(|database| {
            let all = owner::subscriptions(&database.owner)?.into_iter();
            all.map(|one| listing::listing(&database.listings, one.id).map(|listing| (one, listing))).collect()
        })
        .await
    }

    /// Makes the settings' subscription what the settings say, and gives its id if there is one.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn follow_settings(
        &self,
        playlist: Option<String>,
        groups: Option<Vec<String>>,
    ) -> Result<Option<SubscriptionId>, EditError> {
        self.write("the settings were read", move |database| {
            owner::follow_settings(database, playlist.as_deref(), groups.as_deref())
        })
        .await
    }

    /// Keeps a subscription that was checked, a new one if its id is 0.
    ///
    /// # Errors
    /// There are too many, or nothing was changed.
    pub async fn put(&self, subscription: Subscription) -> Result<SubscriptionId, EditError> {
        let done = if subscription.id.0 == 0 { "added" } else { "changed" };
        self.write(format!("subscription {done}: {}", subscription.name), move |database| {
            let before = owner::subscription(&database.owner, subscription.id);
            if before.is_err() && subscription.id.0 != 0 {
                return Err(EditError::NotFound);
            }
            let id = owner::put(&database.owner, &subscription)?;
            if before.is_ok_and(|before| before.address != subscription.address) {
                listing::forget_version(&database.listings, id)?;
            }
            if subscription.id != id {
                // A database that was begun anew counts from 1 again; what is listed under that number is another's.
                while listing::forget(&mut database.listings, id)? {}
            }
            Ok(id)
        })
        .await
    }

    /// Removes a subscription and all that it lists; its channels stay known.
    ///
    /// # Errors
    /// There is none with this id, or nothing was changed.
    pub async fn remove(&self, id: SubscriptionId) -> Result<(), EditError> {
        let name = self.ask(move |database| Ok::<_, EditError>(owner::subscription(&database.owner, id)?.name)).await?;
        self.write(format!("subscription removed: {name}"), move |database| owner::remove(&mut database.owner, id))
            .await?;
        while self.ask(move |database| listing::forget(&mut database.listings, id)).await? {}
        Ok(())
    }

    /// Ticks exactly these groups, or with `None` says that all entries are wanted.
    ///
    /// # Errors
    /// There would be too many channels, or nothing was changed.
    pub async fn tick(&self, id: SubscriptionId, groups: Option<Vec<String>>) -> Result<(), EditError> {
        let what = match &groups {
            Some(groups) if groups.len() == 1 => "1 group ticked".to_owned(),
            Some(groups) => format!("{} groups ticked", groups.len()),
            None => "all groups ticked".to_owned(),
        };
        self.write(what, move |database| owner::tick(&mut database.owner, id, groups.as_deref())).await
    }

    /// From which number on new channels of a group are numbered; `None`: like others.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn set_range(&self, id: SubscriptionId, group: String, from: Option<u32>) -> Result<(), EditError> {
        let what = format!("numbers chosen for the group {group}");
        self.write(what, move |database| owner::set_range(&database.owner, id, &group, from)).await
    }

    /// The groups that a subscription lists.
    ///
    /// # Errors
    /// There is none with this id, or the database cannot be read.
    pub async fn groups(&self, id: SubscriptionId) -> Result<Vec<Group>, EditError> {
        self.ask(move |database| owner::groups(&database.owner, id)).await
    }

    /// Entries after the position `after`, `limit` of them or more if there are so many, and where to go on.
    ///
    /// # Errors
    /// There is no subscription with this id, or the database cannot be read.
    pub async fn entries(
        &self,
        id: SubscriptionId,
        group: Option<String>,
        search: String,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<ListedEntry>, Option<i64>), EditError> {
        let (mut found, mut next) = (Vec::new(), Some(after));
        // In steps, so that others get their turn.
        while let Some(after) = next.filter(|_| found.len() < limit) {
            let (group, search) = (group.clone(), search.clone());
            let look =
                move |database: &mut Database| owner::entries(&database.owner, id, group.as_deref(), &search, after);
            let (more, then) = self.ask(look).await?;
            found.extend(more);
            next = then;
        }
        Ok((found, next))
    }

    // ---- A refresh --------------------------------------------------------------------------------------------------

    /// Begins a refresh, whose entries may lead so far. There is one at a time; an older one that did not end never was.
    ///
    /// # Errors
    /// The database cannot be written, or is too busy.
    pub async fn begin(&self, id: SubscriptionId, reach: Reach) -> Result<(), StoreError> {
        let mut after = Some(i64::MIN);
        while let Some(from) = after {
            after = self.ask(move |database| listing::tidy(&mut database.listings, id, from)).await?;
        }
        self.ask(move |database| {
            database.import = Some(listing::begin(&mut database.listings, id, reach)?);
            Ok(())
        })
        .await
    }

    /// Takes the next entries of the refresh, in order.
    ///
    /// # Errors
    /// There are too many, or they cannot be written. The refresh is over.
    pub async fn stage(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.ask(move |database| {
            let Some(mut import) = database.import.take() else { return Err(StoreError::over()) };
            import.stage(&mut database.listings, &entries)?;
            database.import = Some(import);
            Ok(())
        })
        .await
    }

    /// Ends the refresh: what it listed counts from now on, or waits if `held`.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn finish(&self, facts: Facts, held: bool) -> Result<Refreshed, StoreError> {
        let search = |database: &mut Database| match &mut database.import {
            Some(import) => import.search(&mut database.listings),
            None => Err(StoreError::over()),
        };
        while self.ask(search).await? {}
        self.ask(move |database| {
            let import = database.import.take().ok_or_else(StoreError::over)?;
            let (id, owner) = (import.subscription, &database.owner);
            import.finish(&mut database.listings, &facts, held, |key| owner::is_known(owner, id, key))
        })
        .await
    }

    /// Whether the logo of a channel is one that the owner chose.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn has_own_logo(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.ask(move |database| owner::has_own_logo(&database.owner, channel)).await
    }

    /// It was asked, and nothing is new.
    ///
    /// # Errors
    /// The database cannot be written, or is too busy.
    pub async fn note_unchanged(&self, id: SubscriptionId, at: Wall) -> Result<(), StoreError> {
        self.ask(move |database| listing::note_unchanged(&database.listings, id, at)).await
    }

    /// Makes channels of what the owner wants and has no channel yet; unless there would be too many, which is answered
    /// with their number.
    ///
    /// # Errors
    /// The database cannot be written, or is too busy. Some channels may have been made.
    pub async fn adopt(&self, id: SubscriptionId) -> Result<Adopted, EditError> {
        let wanted = self.ask(|database| owner::wanted(&database.owner)).await?;
        if wanted > CHANNELS_MAX {
            return Ok(Adopted::TooMany(wanted));
        }
        self.ask(move |database| {
            database.adoption = Some(Adoption::new(&database.owner, id)?);
            Ok::<(), EditError>(())
        })
        .await?;
        loop {
            let step = |database: &mut Database| {
                let Some(mut adoption) = database.adoption.take() else { return Err(StoreError::over()) };
                let more = adoption.step(&mut database.owner)?;
                let made = adoption.made;
                if more {
                    database.adoption = Some(adoption);
                } else if made > 0 {
                    // They have numbers that must survive; the next start tells if no copy can be made.
                    schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
                }
                Ok((more, made))
            };
            if let (false, made) = self.ask(step).await? {
                return Ok(Adopted::Made(made));
            }
        }
    }

    // ---- What the owner decides -------------------------------------------------------------------------------------

    /// Change sets of a subscription, the newest first.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn change_sets(&self, id: SubscriptionId) -> Result<Vec<ChangeSet>, StoreError> {
        self.ask(move |database| listing::change_sets(&database.listings, id)).await
    }

    /// Differences of a change set after the position `after`, `limit` or more of them if there are so many, and where
    /// to go on. Only of the newest ones is everything still known.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn differences(
        &self,
        id: SubscriptionId,
        batch: i64,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<Difference>, Option<i64>), StoreError> {
        let (mut found, mut next) = (Vec::new(), Some(after));
        while let Some(after) = next.filter(|_| found.len() < limit) {
            let look = move |database: &mut Database| listing::differences(&database.listings, id, batch, after);
            let (more, then) = self.ask(look).await?;
            found.extend(more);
            next = then;
        }
        Ok((found, next))
    }

    /// Decides on the newest change set. After an undo, changes of this subscription wait for the owner.
    ///
    /// # Errors
    /// There is none to decide on, or nothing was changed.
    pub async fn decide(&self, id: SubscriptionId, decision: Decision) -> Result<(), EditError> {
        self.write("changes of a subscription undone", move |database| {
            let mut subscription = owner::subscription(&database.owner, id)?;
            if !listing::decide(&mut database.listings, id, decision)? {
                return Err(EditError::NotFound);
            }
            if decision == Decision::Undo && !subscription.held {
                subscription.held = true;
                owner::put(&database.owner, &subscription)?;
            }
            Ok(())
        })
        .await
    }

    /// Changes channels; all of them or none.
    ///
    /// # Errors
    /// What is wrong with it, or nothing was changed.
    pub async fn edit(&self, channels: Vec<ChannelId>, edit: Edit) -> Result<(), EditError> {
        self.write(history::told(&edit, channels.len()), move |database| {
            edits::edit(&mut database.owner, &channels, &edit)?;
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(())
        })
        .await
    }

    /// What is known of channels besides their place in the lineup, in the order of the question.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn details(&self, channels: Vec<ChannelId>) -> Result<Vec<Detail>, StoreError> {
        self.ask(move |database| edits::details(&database.owner, &channels)).await
    }

    /// A logo that is kept, by the fingerprint of its address. `day`: today, in days since 1970.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn logo(&self, fingerprint: i64, day: i64) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(move |database| logos::find(&database.listings, fingerprint, day)).await
    }

    /// Keeps a logo.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn keep_logo(&self, fingerprint: i64, day: i64, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.ask(move |database| logos::keep(&mut database.listings, fingerprint, day, &bytes)).await
    }

    // ---- Itself -----------------------------------------------------------------------------------------------------

    /// Waits for the store's thread to come round to this question; as long as it takes.
    pub async fn ping(&self) -> Pulse {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |_| answer.send(()).unwrap_or_default());
        match self.inbox.try_send(Request::Work(work)) {
            Ok(()) if answered.await.is_ok() => Pulse::Alive,
            Ok(()) | Err(mpsc::TrySendError::Disconnected(_)) => Pulse::Stopped,
            Err(mpsc::TrySendError::Full(_)) => Pulse::Busy,
        }
    }

    /// Has the thread end after what was asked so far. Waits for room if there is none: it is for the end only.
    pub fn stop(&self) {
        self.inbox.send(Request::Stop).unwrap_or_default();
    }

    /// Frees a lineup where it disturbs nobody: a large one takes its time.
    pub fn discard(&self, lineup: Lineup) {
        // If the thread has too much to do, it is freed here.
        self.inbox.try_send(Request::Work(Box::new(move |_| drop(lineup)))).unwrap_or_default();
    }

    async fn ask<T, E>(&self, work: impl FnOnce(&mut Database) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        // Who asked may have given up; that is his business.
        let work: Work = Box::new(move |database| drop(answer.send(work(database))));
        self.inbox.try_send(Request::Work(work)).map_err(|_| StoreError::busy())?;
        answered.await.unwrap_or_else(|_| Err(StoreError("the database has stopped".to_owned()).into()))
    }
}

/// What became of new entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// So many channels were made.
    Made(u32),
    /// None, for the owner wants so many channels, which do not fit.
    TooMany(usize),
}

/// The stored id; a new random one the first time.
fn device_id(database: &mut Connection) -> Result<DeviceId, StoreError> {
    let stored: Option<String> =
        database.query_row("SELECT value FROM meta WHERE key = 'device_id'", [], |row| row.get(0)).optional()?;
    if let Some(id) = stored.and_then(|text| DeviceId::from_str(&text).ok()) {
        return Ok(id);
    }
    let id = random_id()?;
    database.execute(
        "INSERT INTO meta (key, value) VALUES ('device_id', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1",
        [id.to_string()],
    )?;
    Ok(id)
}

fn random_id() -> Result<DeviceId, StoreError> {
    let mut seed = [0; 4];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut seed))
        .map_err(|error| StoreError(format!("no random numbers for a device id: {error}")))?;
    Ok(DeviceId::from_random(u32::from_ne_bytes(seed)))
}

fn demo_lineup(database: &mut Connection) -> Result<Lineup, StoreError> {
    add_demo(database)?;
    let mut sources = sources(database)?;
    let mut statement = database.prepare_cached(
        "SELECT id, number, name, grouping, logo FROM channel
         WHERE origin = 'demo' AND position IS NOT NULL ORDER BY position",
    )?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
    let mut channels = Vec::new();
    for row in rows {
        let (id, number, name, group, logo) = row?;
        // A row that this release cannot read stays for the release that can.
        let (Ok(number), Some(sources)) = (GuideNumber::from_str(&number), sources.remove(&id)) else { continue };
        let (id, tvg_id) = (ChannelId(id), String::new());
        channels.push(Channel { id, number, name, group, logo, tvg_id, tvg_shift_min: 0, sources });
    }
    Lineup::new(channels).map_err(|error| StoreError(format!("the stored lineup is contradictory: {error:?}")))
}

fn sources(database: &Connection) -> Result<BTreeMap<u32, Vec<Source>>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT s.channel_id, s.address FROM source s JOIN channel c ON c.id = s.channel_id AND c.origin = 'demo'
         ORDER BY s.channel_id, s.position",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut sources: BTreeMap<u32, Vec<Source>> = BTreeMap::new();
    for row in rows {
        let (channel, address): (u32, String) = row?;
        // A row that this release cannot read stays for the release that can.
        let index = address.strip_prefix("demo:").and_then(|index| index.parse().ok());
        sources.entry(channel).or_default().extend(index.map(|index| Source::Demo(DemoIndex(index))));
    }
    sources.retain(|_, sources| !sources.is_empty());
    Ok(sources)
}

fn marks(database: &Connection) -> Result<BTreeMap<ChannelId, Mark>, StoreError> {
    let mut statement = database.prepare_cached("SELECT channel_id, mark FROM mark")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut marks = BTreeMap::new();
    for row in rows {
        let (channel, mark) = row?;
        // Others are of a release that knows more.
        if let Some(mark) = Mark::find(&mark) {
            marks.insert(ChannelId(channel), mark);
        }
    }
    Ok(marks)
}

fn set_mark(database: &Connection, channel: ChannelId, mark: Mark) -> Result<(), StoreError> {
    if mark == Mark::Plain {
        database.execute("DELETE FROM mark WHERE channel_id = ?1", [channel.0])?;
        return Ok(());
    }
    database.execute(
        "INSERT INTO mark (channel_id, mark) VALUES (?1, ?2) ON CONFLICT (channel_id) DO UPDATE SET mark = ?2",
        params![channel.0, mark.name()],
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

#[cfg(test)]
mod tests;

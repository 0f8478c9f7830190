//! What is on: the guides that were fetched, each in a database of its own, and the one that clients get.
//!
//! Nothing here must survive: all of it is made again from the providers' guides. What the owner chose for a channel is
//! in the settings' database ([`super::guides`]), which no guide can reach. One thread of its own does the work, because
//! a large guide takes it a minute, and neither packets nor favourites may wait for that. While it reads a guide it
//! answers other questions between two pieces.
//!
//! Not here: fetching (`subscriptions`); what a guide means, which match is best and what is on when two claim it
//! (`pure`).

mod import;
mod publish;
mod served;
mod unpack;
pub mod window;

use import::{Importer, explain, explain_file};
use pure::limits::{GUIDE_INBOX, GUIDE_PIECES_MAX, GUIDE_ROWS_MAX};
use pure::model::face::FaceId;
use pure::model::guide::{Choice, GuideId};
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::{Channel, ChannelId, Lineup};
use pure::rules::guide_match::Reason;
use pure::rules::timeline::Repairs;
use pure::time::Wall;
use pure::wire::xmltv::check::Report;
use pure::wire::xmltv::{Summary, title_of};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
pub use served::{Document, Parts};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use tokio::sync::{mpsc as pieces, oneshot};
use unpack::Unpacker;
use window::{Row, Shown};

/// What a server says of a document, so that it need not send it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, as it was.
    pub etag: Option<String>,
    /// `Last-Modified`, as it was.
    pub last_modified: Option<String>,
}

/// A part of a guide on its way.
pub enum Piece {
    /// Bytes as they came.
    Bytes(bytes::Bytes),
    /// That was all. Without this, nothing of it counts.
    End(Validators),
}

/// What is known of a guide that was read before.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What its server said of it.
    pub validators: Validators,
    /// When it was fetched.
    pub fetched_at: Option<Wall>,
    /// Its channels.
    pub channels: u32,
    /// Its programmes that matter.
    pub programmes: u32,
}

/// What a guide came to.
#[derive(Clone, Copy, Debug)]
pub struct Imported {
    /// What was read.
    pub summary: Summary,
    /// Channels, those included that it does not list.
    pub channels: u32,
    /// Programmes that are kept.
    pub kept: u32,
    /// Those that are too far away in time.
    pub outside: u32,
    /// Those that begin when another one of their channel does.
    pub doubled: u32,
    /// Those that are too many.
    pub over: u32,
}

/// The guide of a face: a part of the whole one.
#[derive(Clone, Debug)]
pub struct FaceWanted {
    /// Whose.
    pub face: FaceId,
    /// For each channel, whether the face shows it.
    pub shows: Vec<bool>,
}

impl FaceWanted {
    /// The channels that it shows.
    pub fn numbers(&self, wanted: &Wanted) -> impl Iterator<Item = GuideNumber> {
        wanted.channels().zip(&self.shows).filter(|(_, shown)| **shown).map(|(channel, _)| channel.number)
    }
}

/// What the served guide is to be made of.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The channels, in order.
    pub lineup: Arc<Lineup>,
    /// Where those stand in it that are listed.
    pub listed: Vec<u32>,
    /// The faces besides the box itself, which get documents of their own.
    pub faces: Vec<FaceWanted>,
    /// What the owner chose.
    pub choices: BTreeMap<ChannelId, Choice>,
    /// The guides, the best first, and by how much each is moved.
    pub guides: Vec<(GuideId, i64)>,
    /// The time.
    pub now: Wall,
    /// How far ahead.
    pub ahead_s: i64,
    /// Whether each programme must have a number as an episode.
    pub episodes_required: bool,
}

impl Wanted {
    /// The channels that are listed, in order.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        let channels = self.lineup.channels();
        self.listed.iter().filter_map(|position| channels.get(usize::try_from(*position).ok()?))
    }
}

/// The guide of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Which one.
    pub guide: GuideId,
    /// How that guide calls it.
    pub guide_channel: String,
    /// What people call it there.
    pub guide_name: String,
    /// Why it was taken.
    pub reason: Reason,
    /// How sure that is, of 100.
    pub confidence: u8,
    /// What is on there, when the guide was made.
    pub now: Option<String>,
    /// Its programmes in the guide.
    pub programmes: u32,
}

/// A guide that was made; it is served unless the report has errors.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// What is in it.
    pub report: Report,
    /// What had to be repaired.
    pub repairs: Repairs,
    /// Programmes that got their channel's name for a title.
    pub without_title: u32,
    /// The guide of each channel that one knows.
    pub matches: BTreeMap<ChannelId, Matched>,
    /// The channels of the box itself and of its other faces, by number.
    pub numbers: BTreeMap<FaceId, Vec<GuideNumber>>,
    /// Its size.
    pub bytes: u64,
    /// The documents of the box itself and of its other faces.
    pub documents: BTreeMap<FaceId, Document>,
    /// Guides that seem to be later than another one, by so many hours; earlier when negative.
    pub shifts: Vec<(GuideId, GuideId, i64)>,
}

/// A channel of a guide that the owner may choose.
#[derive(Clone, Debug)]
pub struct Offered {
    /// How its guide calls it.
    pub id: String,
    /// What people call it.
    pub names: Vec<String>,
    /// What is on there.
    pub now: Option<String>,
}

/// The error is for people.
type Answer<T> = oneshot::Sender<Result<T, String>>;

enum Request {
    Known { answer: Answer<BTreeMap<GuideId, Known>> },
    Import { id: GuideId, now: Wall, pieces: pieces::Receiver<Piece>, answer: Answer<Imported> },
    Touch { id: GuideId, now: Wall, answer: Answer<()> },
    Forget { keep: Vec<GuideId>, answer: Answer<()> },
    Offered { id: GuideId, text: String, now: Wall, answer: Answer<Vec<Offered>> },
    Window { rows: Vec<Row>, from: Wall, to: Wall, answer: Answer<Vec<Vec<Shown>>> },
    Publish { wanted: Box<Wanted>, answer: Answer<Published> },
}

/// The guides' thread, as others see it.
#[derive(Clone)]
pub struct Handle(mpsc::SyncSender<Request>);

/// What is there once it runs.
pub struct Opened {
    /// To ask it.
    pub handle: Handle,
    /// Where the served guide is.
    pub folder: PathBuf,
    /// Ends when the last handle is gone.
    pub thread: std::thread::JoinHandle<()>,
}

/// Starts the guides' thread. Where its folder cannot be made, each question is answered with why.
///
/// # Errors
/// No thread can be had.
pub fn open(state: &Path) -> Result<Opened, super::StoreError> {
    let folder = state.join("guide");
    let (sender, inbox) = mpsc::sync_channel(GUIDE_INBOX);
    let thread = std::thread::Builder::new()
        .name("guide".to_owned())
        .stack_size(512 * 1024)
        .spawn({
            let folder = folder.clone();
            move || Guides { folder, databases: BTreeMap::new(), is_open: false }.serve(&inbox)
        })
        .map_err(|error| super::StoreError(format!("no thread for the guide: {error}")))?;
    Ok(Opened { handle: Handle(sender), folder, thread })
}

impl Handle {
    /// What is known of guides that were read before.
    ///
    /// # Errors
    /// For people.
    pub async fn known(&self) -> Result<BTreeMap<GuideId, Known>, String> {
        self.ask(|answer| Request::Known { answer }).await
    }

    /// Begins to read a guide. Its pieces go to the first, and what it came to comes from the second.
    ///
    /// # Errors
    /// For people.
    pub fn import(&self, id: GuideId, now: Wall) -> Result<Importing, String> {
        let (sender, pieces) = pieces::channel(GUIDE_PIECES_MAX);
        let (answer, answered) = oneshot::channel();
        let request = Request::Import { id, now, pieces, answer };
        self.0.try_send(request).map_err(|_| busy())?;
        Ok(Importing { pieces: sender, answered })
    }

    /// Notes that a guide is as it was.
    ///
    /// # Errors
    /// For people.
    pub async fn touch(&self, id: GuideId, now: Wall) -> Result<(), String> {
        self.ask(|answer| Request::Touch { id, now, answer }).await
    }

    /// Throws away all guides but these.
    ///
    /// # Errors
    /// For people.
    pub async fn forget_all_but(&self, keep: Vec<GuideId>) -> Result<(), String> {
        self.ask(|answer| Request::Forget { keep, answer }).await
    }

    /// Channels of a guide whose id or name has this in it.
    ///
    /// # Errors
    /// For people.
    pub async fn offered(&self, id: GuideId, text: String, now: Wall) -> Result<Vec<Offered>, String> {
        self.ask(|answer| Request::Offered { id, text, now, answer }).await
    }

    /// What is on from `from` to `to`, for each row.
    ///
    /// # Errors
    /// For people.
    pub async fn window(&self, rows: Vec<Row>, from: Wall, to: Wall) -> Result<Vec<Vec<Shown>>, String> {
        self.ask(|answer| Request::Window { rows, from, to, answer }).await
    }

    /// Makes the guide that clients get.
    ///
    /// # Errors
    /// For people; the old one stays.
    pub async fn publish(&self, wanted: Wanted) -> Result<Published, String> {
        self.ask(|answer| Request::Publish { wanted: Box::new(wanted), answer }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(request(answer)).map_err(|_| busy())?;
        answered.await.unwrap_or_else(|_| Err("the guide's thread has stopped".to_owned()))
    }
}

fn busy() -> String {
    "the guide has more to do than it can take".to_owned()
}

/// A guide that is being read.
pub struct Importing {
    pieces: pieces::Sender<Piece>,
    answered: oneshot::Receiver<Result<Imported, String>>,
}

impl Importing {
    /// Gives it the next bytes; waits while it has enough.
    ///
    /// # Errors
    /// It wants no more; [`Importing::finish`] says why.
    pub async fn push(&self, bytes: bytes::Bytes) -> Result<(), ()> {
        self.pieces.send(Piece::Bytes(bytes)).await.map_err(drop)
    }

    /// Says that it has all, and waits for what it came to.
    ///
    /// # Errors
    /// For people; what was there before stays.
    pub async fn finish(self, validators: Validators) -> Result<Imported, String> {
        let Self { pieces, answered } = self;
        // Who takes no more has said why.
        pieces.send(Piece::End(validators)).await.unwrap_or_default();
        answered.await.unwrap_or_else(|_| Err("the guide's thread has stopped".to_owned()))
    }
}

/// The guides' thread.
struct Guides {
    folder: PathBuf,
    /// One for each guide that was read.
    databases: BTreeMap<GuideId, Connection>,
    is_open: bool,
}

impl Guides {
    fn serve(mut self, inbox: &mpsc::Receiver<Request>) {
        let mut waiting = VecDeque::new();
        loop {
            let next = waiting.pop_front().map_or_else(|| inbox.recv().ok(), Some);
            let Some(request) = next else { return };
            // Who asked may have given up; that is his business.
            match request {
                Request::Import { id, now, pieces, answer } => {
                    let imported = self.import(id, now, pieces, &mut || {
                        while let Ok(request) = inbox.try_recv() {
                            waiting.push_back(request);
                        }
                        // Another guide waits for this one to end, and so does whatever comes after it.
                        match waiting.front() {
                            Some(Request::Import { .. }) | None => None,
                            Some(_) => waiting.pop_front(),
                        }
                    });
                    drop(answer.send(imported));
                }
                request => self.answer(request),
            }
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Known { answer } => drop(answer.send(self.known())),
            Request::Touch { id, now, answer } => drop(answer.send(self.touch(id, now))),
            Request::Forget { keep, answer } => drop(answer.send(self.forget(&keep))),
            Request::Offered { id, text, now, answer } => drop(answer.send(self.offered(id, &text, now))),
            Request::Window { rows, from, to, answer } => drop(answer.send(self.window(&rows, from, to))),
            Request::Publish { wanted, answer } => {
                let published = self.open().and_then(|()| publish::publish(&self.folder, &self.databases, &wanted));
                drop(answer.send(published));
            }
            Request::Import { answer, .. } => drop(answer.send(Err(busy()))),
        }
    }

    /// Makes the folder, and opens what is in it, once.
    fn open(&mut self) -> Result<(), String> {
        if self.is_open {
            return Ok(());
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| explain_file(&self.folder, &error))?;
        let entries = fs::read_dir(&self.folder).map_err(|error| explain_file(&self.folder, &error))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".db")?.parse().ok());
            let Some(id) = number.map(GuideId) else { continue };
            match open_database(&entry.path()) {
                Ok(database) => drop(self.databases.insert(id, database)),
                // It is fetched again.
                Err(_) => fs::remove_file(entry.path()).unwrap_or_default(),
            }
        }
        self.is_open = true;
        Ok(())
    }

    fn path(&self, id: GuideId) -> PathBuf {
        self.folder.join(format!("{}.db", id.0))
    }

    fn known(&mut self) -> Result<BTreeMap<GuideId, Known>, String> {
        self.open()?;
        Ok(self.databases.iter().map(|(id, database)| (*id, known(database))).collect())
    }

    fn import(
        &mut self,
        id: GuideId,
        now: Wall,
        mut pieces: pieces::Receiver<Piece>,
        meanwhile: &mut dyn FnMut() -> Option<Request>,
    ) -> Result<Imported, String> {
        self.open()?;
        let fresh = self.folder.join(format!("{}.new", id.0));
        let imported = Importer::new(&fresh, now).and_then(|importer| {
            let mut unpacker = Unpacker::new(importer);
            loop {
                match pieces.blocking_recv() {
                    Some(Piece::Bytes(bytes)) => unpacker.push(&bytes)?,
                    Some(Piece::End(validators)) => {
                        let Validators { etag, last_modified } = validators;
                        return unpacker.finish()?.finish(&[
                            ("fetched_at", &now.0.to_string()),
                            ("etag", &etag.unwrap_or_default()),
                            ("last_modified", &last_modified.unwrap_or_default()),
                        ]);
                    }
                    None => return Err("it was given up".to_owned()),
                }
                if let Some(request) = meanwhile() {
                    self.answer(request);
                }
            }
        });
        // Whoever still sends is told by this that nothing more is wanted.
        drop(pieces);
        let path = self.path(id);
        let placed = imported.and_then(|imported| {
            let file = fs::File::open(&fresh).and_then(|file| file.sync_all());
            file.and_then(|()| fs::rename(&fresh, &path)).map_err(|error| explain_file(&path, &error))?;
            self.databases.insert(id, open_database(&path)?);
            Ok(imported)
        });
        if placed.is_err() {
            fs::remove_file(&fresh).unwrap_or_default();
        }
        placed
    }

    fn touch(&mut self, id: GuideId, now: Wall) -> Result<(), String> {
        self.open()?;
        let Some(database) = self.databases.get(&id) else { return Ok(()) };
        let changed = database.execute("UPDATE meta SET value = ?1 WHERE key = 'fetched_at'", [now.0.to_string()]);
        changed.map(drop).map_err(explain)
    }

    fn forget(&mut self, keep: &[GuideId]) -> Result<(), String> {
        self.open()?;
        let gone: Vec<GuideId> = self.databases.keys().filter(|id| !keep.contains(id)).copied().collect();
        for id in gone {
            self.databases.remove(&id);
            fs::remove_file(self.path(id)).map_err(|error| explain_file(&self.path(id), &error))?;
        }
        Ok(())
    }

    fn offered(&mut self, id: GuideId, text: &str, now: Wall) -> Result<Vec<Offered>, String> {
        self.open()?;
        let Some(database) = self.databases.get(&id) else { return Ok(Vec::new()) };
        let wanted = text.to_lowercase();
        let mut channels = database.prepare("SELECT id, key, names FROM channel ORDER BY key").map_err(explain)?;
        let mut rows = channels.query([]).map_err(explain)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(explain)? {
            let (channel, id, names): (u32, String, String) =
                (row.get(0).map_err(explain)?, row.get(1).map_err(explain)?, row.get(2).map_err(explain)?);
            if !id.to_lowercase().contains(&wanted) && !names.to_lowercase().contains(&wanted) {
                continue;
            }
            let now = on_now(database, channel, now).map_err(explain)?;
            found.push(Offered { id, names: names.lines().map(str::to_owned).collect(), now });
            if found.len() >= GUIDE_ROWS_MAX {
                break;
            }
        }
        Ok(found)
    }
}

/// What is on now on a channel of a guide.
fn on_now(database: &Connection, channel: u32, now: Wall) -> rusqlite::Result<Option<String>> {
    let mut newest = database
        .prepare_cached("SELECT details, stop FROM programme WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")?;
    let ids = params![import::row_id(channel, Wall(0)), import::row_id(channel, now)];
    let row: Option<(String, i64)> = newest.query_row(ids, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(row.filter(|(_, stop)| *stop == 0 || *stop > now.0).map(|(details, _)| title_of(&details)))
}

fn open_database(path: &Path) -> Result<Connection, String> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(explain)?;
    database
        .execute_batch(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512;
             PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
        )
        .map_err(explain)?;
    // Whether it is one of ours at all.
    database.query_row("SELECT count(*) FROM meta, channel WHERE channel.id = 1", [], |_| Ok(())).map_err(explain)?;
    Ok(database)
}

fn known(database: &Connection) -> Known {
    let get = |key: &str| {
        let value = database.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, String>(0));
        value.unwrap_or_default()
    };
    let some = |key: &str| Some(get(key)).filter(|value| !value.is_empty());
    Known {
        validators: Validators { etag: some("etag"), last_modified: some("last_modified") },
        fetched_at: get("fetched_at").parse().ok().map(Wall),
        channels: get("channels").parse().unwrap_or(0),
        programmes: get("programmes").parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;

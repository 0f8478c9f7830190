//! One guide, on its way into a database of its own.
//!
//! The new database grows beside the old one and takes its place whole, so a guide that turns out to be no good in its
//! last byte changes nothing. It keeps no journal: what is cut off is thrown away.

use super::Imported;
use super::unpack::Sink;
use crate::clock;
use pure::limits::{
    GUIDE_AHEAD_S, GUIDE_CHANNELS_MAX, GUIDE_CPU_MS_MAX, GUIDE_DISK_FREE_BYTES_MIN, GUIDE_OFFSET_S_MAX, GUIDE_PAST_S,
    GUIDE_PROGRAMMES_MAX, PROGRAMME_OPEN_S_MAX,
};
use pure::time::Wall;
use pure::wire::xmltv::{GuideChannel, Item, Programme, Reader};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A programme's row has its channel and its beginning as its id, so that one tree holds them in order.
const START_BITS: u32 = 33;

/// The id of the row of a programme.
pub(super) fn row_id(channel: u32, start: Wall) -> i64 {
    (i64::from(channel) << START_BITS) | start.0.clamp(0, (1 << START_BITS) - 1)
}

/// When the programme of a row begins.
pub(super) fn start_of(row_id: i64) -> Wall {
    Wall(row_id & ((1 << START_BITS) - 1))
}

/// In a programme's row: it has a title.
pub(super) const HAS_TITLE: i64 = 1;

const SCHEMA: &str = "
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -8192;
    PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE channel (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,   -- as its guide calls it
        names TEXT NOT NULL,        -- one a line
        icon TEXT NOT NULL,
        programmes INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE programme (
        id INTEGER PRIMARY KEY,     -- see row_id
        stop INTEGER NOT NULL,      -- 0: not told
        flags INTEGER NOT NULL,
        details TEXT NOT NULL
    ) STRICT;
    BEGIN;
";

/// What the channels of a guide are counted under.
#[derive(Default)]
struct Known {
    /// Its row, and the programmes found.
    by_key: BTreeMap<String, (u32, u32)>,
}

/// Takes an unpacked guide.
pub(super) struct Importer {
    database: Connection,
    folder: PathBuf,
    /// `None`: it is finished.
    reader: Option<Reader>,
    rows: Rows,
    cpu_from_ms: u64,
}

/// What is written while the reader reads.
struct Rows {
    known: Known,
    from: Wall,
    to: Wall,
    outside: u32,
    doubled: u32,
    over: u32,
    kept: u32,
    error: Option<String>,
}

impl Importer {
    /// Begins a new database in `path`, for programmes that matter at `now`.
    pub(super) fn new(path: &Path, now: Wall) -> Result<Self, String> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(explain_file(path, &error)),
            _ => {}
        }
        let database = Connection::open(path).map_err(explain)?;
        database.execute_batch(SCHEMA).map_err(explain)?;
        let rows = Rows {
            known: Known::default(),
            from: now.plus_s(-GUIDE_PAST_S),
            to: now.plus_s(GUIDE_AHEAD_S + GUIDE_OFFSET_S_MAX),
            outside: 0,
            doubled: 0,
            over: 0,
            kept: 0,
            error: None,
        };
        let folder = path.parent().unwrap_or(path).to_owned();
        Ok(Self { database, folder, reader: Some(Reader::new()), rows, cpu_from_ms: clock::thread_cpu_ms() })
    }

    /// Writes what is left, and what the guide came to.
    pub(super) fn finish(mut self, meta: &[(&str, &str)]) -> Result<Imported, String> {
        let reader = self.reader.take().unwrap_or_default();
        let summary = reader.finish().map_err(|error| error.to_string())?;
        if self.rows.known.by_key.is_empty() {
            return Err("there is no channel in it".to_owned());
        }
        let Rows { known, outside, doubled, over, kept, .. } = &self.rows;
        {
            let mut count =
                self.database.prepare("UPDATE channel SET programmes = ?2 WHERE id = ?1").map_err(explain)?;
            for (id, programmes) in known.by_key.values() {
                count.execute([id, programmes]).map_err(explain)?;
            }
            let mut put = self.database.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)").map_err(explain)?;
            for (key, value) in meta {
                put.execute([key, value]).map_err(explain)?;
            }
            for (key, number) in
                [("channels", u32::try_from(known.by_key.len()).unwrap_or(u32::MAX)), ("programmes", *kept)]
            {
                put.execute(params![key, number.to_string()]).map_err(explain)?;
            }
        }
        self.database.execute_batch("COMMIT").map_err(explain)?;
        let imported = Imported {
            summary,
            channels: u32::try_from(known.by_key.len()).unwrap_or(u32::MAX),
            kept: *kept,
            outside: *outside,
            doubled: *doubled,
            over: *over,
        };
        self.database.close().map_err(|(_, error)| explain(error))?;
        Ok(imported)
    }
}

impl Sink for Importer {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        check_room(&self.folder)?;
        let Self { database, reader, rows, .. } = self;
        let Some(reader) = reader else { return Ok(()) };
        // Large pieces are read in small ones, so that its time is looked at often enough.
        for piece in bytes.chunks(64 * 1024) {
            reader.push(piece, &mut |item| rows.keep(database, item)).map_err(|error| error.to_string())?;
            if let Some(error) = rows.error.take() {
                return Err(error);
            }
            if clock::thread_cpu_ms().saturating_sub(self.cpu_from_ms) > GUIDE_CPU_MS_MAX {
                return Err(format!("it takes more than {} s to read", GUIDE_CPU_MS_MAX / 1_000));
            }
        }
        Ok(())
    }
}

impl Rows {
    fn keep(&mut self, database: &Connection, item: Item) {
        if self.error.is_some() {
            return;
        }
        let kept = match item {
            Item::Channel(channel) => self.channel(database, &channel),
            Item::Programme(programme) => self.programme(database, &programme),
        };
        self.error = kept.err();
    }

    fn channel(&mut self, database: &Connection, channel: &GuideChannel) -> Result<(), String> {
        let GuideChannel { id, names, icon } = channel;
        let row = self.row(database, id)?;
        // The first description of a channel is the one that counts.
        let mut name = database
            .prepare_cached("UPDATE channel SET names = ?2, icon = ?3 WHERE id = ?1 AND names = ''")
            .map_err(explain)?;
        name.execute(params![row, names.join("\n"), icon]).map_err(explain)?;
        Ok(())
    }

    /// The row of a channel. Some guides do not list the channels that they know programmes of.
    fn row(&mut self, database: &Connection, key: &str) -> Result<u32, String> {
        if let Some((row, _)) = self.known.by_key.get(key) {
            return Ok(*row);
        }
        if self.known.by_key.len() >= GUIDE_CHANNELS_MAX {
            return Err(format!("it has more than {GUIDE_CHANNELS_MAX} channels"));
        }
        let row = u32::try_from(self.known.by_key.len() + 1).unwrap_or(u32::MAX);
        let mut add = database
            .prepare_cached("INSERT INTO channel (id, key, names, icon, programmes) VALUES (?1, ?2, '', '', 0)")
            .map_err(explain)?;
        add.execute(params![row, key]).map_err(explain)?;
        self.known.by_key.insert(key.to_owned(), (row, 0));
        Ok(row)
    }

    fn programme(&mut self, database: &Connection, programme: &Programme) -> Result<(), String> {
        let Programme { channel, start, stop, has_title, details, .. } = programme;
        let row = self.row(database, channel)?;
        let end = stop.unwrap_or(start.plus_s(PROGRAMME_OPEN_S_MAX));
        if end < self.from || *start > self.to || start.0 < 0 {
            self.outside += 1;
            return Ok(());
        }
        if self.kept >= GUIDE_PROGRAMMES_MAX {
            self.over += 1;
            return Ok(());
        }
        let mut add = database
            .prepare_cached("INSERT OR IGNORE INTO programme (id, stop, flags, details) VALUES (?1, ?2, ?3, ?4)")
            .map_err(explain)?;
        let flags = if *has_title { HAS_TITLE } else { 0 };
        let stop = stop.map_or(0, |stop| stop.0);
        let added = add.execute(params![row_id(row, *start), stop, flags, details]).map_err(explain)?;
        if added == 0 {
            self.doubled += 1;
        } else {
            self.kept += 1;
            if let Some((_, programmes)) = self.known.by_key.get_mut(channel) {
                *programmes += 1;
            }
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn explain(error: rusqlite::Error) -> String {
    format!("the guide's database says: {error}")
}

/// Whether there is room to go on writing there.
pub(super) fn check_room(folder: &Path) -> Result<(), String> {
    let found = nix::sys::statvfs::statvfs(folder);
    let free = found.map(|found| u128::from(found.blocks_available()) * u128::from(found.fragment_size()));
    // Who cannot say does not stop it.
    if free.is_ok_and(|free| free < u128::from(GUIDE_DISK_FREE_BYTES_MIN)) {
        return Err(format!("the disk has less than {} MiB left", GUIDE_DISK_FREE_BYTES_MIN / 1024 / 1024));
    }
    Ok(())
}

pub(super) fn explain_file(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

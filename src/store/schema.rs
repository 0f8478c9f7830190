//! The database file: opening, migrations, and what is done when it is damaged.

use super::{Database, StoreError};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Each step leads from one schema to the next. Steps only add, so that an older release can read a newer file.
const STEPS: [&str; 12] = [
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    -- A row stays for ever, so that neither id nor number is ever given to another channel.
    CREATE TABLE channel (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        origin TEXT NOT NULL,
        key TEXT NOT NULL,          -- what names it to its origin
        number TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        grouping TEXT NOT NULL,
        logo TEXT NOT NULL,
        position INTEGER,           -- in the lineup; NULL while its origin does not list it
        UNIQUE (origin, key)
    ) STRICT;
    CREATE TABLE source (
        channel_id INTEGER NOT NULL REFERENCES channel (id),
        position INTEGER NOT NULL,  -- in order of preference
        address TEXT NOT NULL,
        user_agent TEXT,
        PRIMARY KEY (channel_id, position)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What the owner thinks of a channel, apart from what its playlist says of it; most have no row.
    CREATE TABLE mark (
        channel_id INTEGER PRIMARY KEY REFERENCES channel (id),
        mark TEXT NOT NULL
    ) STRICT;
",
    "
    -- The owner's layer. What subscriptions list is in a database of its own, which can be fetched again.
    CREATE TABLE subscription (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        address TEXT NOT NULL,
        username TEXT NOT NULL,
        password TEXT NOT NULL,
        user_agent TEXT,
        refresh_s INTEGER NOT NULL,
        streams_max INTEGER,
        held INTEGER NOT NULL,          -- changes wait for the owner
        ticked_only INTEGER NOT NULL,   -- only ticked groups become channels
        from_settings INTEGER NOT NULL,
        enabled INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE tick (
        subscription_id INTEGER NOT NULL,
        grouping TEXT NOT NULL,
        PRIMARY KEY (subscription_id, grouping)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE number_range (
        subscription_id INTEGER NOT NULL,
        grouping TEXT NOT NULL,
        number_from INTEGER NOT NULL,
        PRIMARY KEY (subscription_id, grouping)
    ) STRICT, WITHOUT ROWID;
    -- Where channels come from now; the table source is the previous release's, and the demo channels'.
    CREATE TABLE channel_source (
        channel_id INTEGER NOT NULL REFERENCES channel (id),
        position INTEGER NOT NULL,      -- in order of preference
        subscription_id INTEGER NOT NULL,
        key INTEGER NOT NULL,           -- names the entry in its list
        PRIMARY KEY (channel_id, position)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX channel_source_entry ON channel_source (subscription_id, key);
    -- What the owner says instead of the provider; NULL: nothing.
    CREATE TABLE override (
        channel_id INTEGER PRIMARY KEY REFERENCES channel (id),
        name TEXT,
        grouping TEXT,
        logo TEXT,
        moved_behind INTEGER,           -- a channel, or 0 for the top
        moved_when INTEGER              -- later ones stand nearer
    ) STRICT;
    -- Numbers that channels had before; they stay theirs.
    CREATE TABLE retired (
        number TEXT PRIMARY KEY,
        channel_id INTEGER NOT NULL REFERENCES channel (id)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- A row stays for ever: what the owner chose names its id.
    CREATE TABLE guide (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        address TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL,       -- who named it: owner, settings or playlist
        present INTEGER NOT NULL,   -- 0: nobody does any more
        offset_s INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    -- What the owner chose for a channel, apart from what is found by itself; most have no row.
    CREATE TABLE guide_choice (
        channel_id INTEGER PRIMARY KEY REFERENCES channel (id),
        guide_id INTEGER REFERENCES guide (id), -- NULL: the best match, or nothing
        guide_channel TEXT,                     -- NULL: the best match; empty: nothing
        offset_s INTEGER NOT NULL
    ) STRICT;
",
    "
    -- How far the address of a guide may lead that a playlist names; NULL: as far as the internet.
    ALTER TABLE guide ADD COLUMN reach TEXT;
",
    "
    -- Devices that the box looks like besides itself. A row stays for ever, so that nobody else gets its device id.
    CREATE TABLE face (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        present INTEGER NOT NULL,       -- 0: removed
        place INTEGER NOT NULL,         -- its port is so many above that of the first one
        device_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        tuners INTEGER NOT NULL,
        slice TEXT NOT NULL,            -- all, favorites or groups
        first INTEGER                   -- so many of them; NULL: all
    ) STRICT;
    CREATE TABLE face_group (
        face_id INTEGER NOT NULL REFERENCES face (id),
        grouping TEXT NOT NULL,
        PRIMARY KEY (face_id, grouping)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Whether the owner said by how much; otherwise the playlist does.
    ALTER TABLE guide_choice ADD COLUMN offset_said INTEGER NOT NULL DEFAULT 0;
",
    "
    -- How a provider is reached: headers he wants to see, one a line; the proxy that everything goes through, with its
    -- login; who stands in for his host, one a word.
    ALTER TABLE subscription ADD COLUMN headers TEXT NOT NULL DEFAULT '';
    ALTER TABLE subscription ADD COLUMN proxy TEXT;
    ALTER TABLE subscription ADD COLUMN hosts TEXT NOT NULL DEFAULT '';
",
    "
    -- What the owner says of the box as a whole, in place of the settings.
    CREATE TABLE wish (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
",
    super::access::STEP,
    "
    -- What the owner chose, as it was after each of his writes; the newest ones.
    CREATE TABLE revision (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        what TEXT NOT NULL,
        state BLOB NOT NULL
    ) STRICT;
    -- Number and sources of a channel, as they were before the owner changed them for the first time.
    CREATE TABLE first_state (
        channel_id INTEGER PRIMARY KEY REFERENCES channel (id),
        number TEXT NOT NULL,
        sources TEXT NOT NULL           -- subscription:key, with spaces between them
    ) STRICT;
",
    "
    -- Who is told what happens.
    CREATE TABLE notification (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        address TEXT NOT NULL,      -- with its secrets
        events TEXT NOT NULL,       -- their names, one a word
        enabled INTEGER NOT NULL
    ) STRICT;
    -- What was told of subscriptions and is still so: no start tells it again.
    CREATE TABLE notice_told (
        subscription_id INTEGER NOT NULL,
        event TEXT NOT NULL,
        PRIMARY KEY (subscription_id, event)
    ) STRICT, WITHOUT ROWID;
",
];

/// The oldest schema whose release can still read what this release writes. It is written into the file, so that a
/// release that is older than that can say so instead of guessing.
const READABLE_FROM: i64 = 1;

pub(super) const FILE: &str = "tunerd.db";
const COPY: &str = "tunerd.db.copy";
/// What subscriptions list.
const LISTINGS: &str = "listings.db";

/// Opens the database in `folder`, and says what is wrong with it, if anything.
pub(super) fn open(folder: &Path) -> Result<(Database, Option<String>), StoreError> {
    let (owner, problem) = open_owner(folder)?;
    let kept = owner.path().is_some_and(|path| !path.is_empty());
    let path = folder.join(LISTINGS);
    let opened = kept.then(|| open_listings(&path, &owner).or_else(|| renew_listings(&path, &owner))).flatten();
    let listings = match opened {
        Some(listings) => listings,
        None => listings_in_memory(&owner)?,
    };
    Ok((Database { owner, listings, folder: folder.to_owned(), import: None, adoption: None }, problem))
}

/// Opens the owner's database alone, while nobody else does, to change what a person in front of the box wants changed.
pub(super) fn open_offline(folder: &Path) -> Result<Connection, StoreError> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Err(StoreError(format!("there is no {}", path.display())));
    }
    open_file(&path).map_err(|damage| match damage {
        Damage::Broken(text) | Damage::Newer(text) | Damage::Unusable(text) => StoreError(text),
    })
}

/// Puts a new database that knows nothing but this id in the place of the old one, in one step.
pub(super) fn start_over(folder: &Path, id: &str) -> Result<(), StoreError> {
    let (fresh, explain) = (folder.join("tunerd.db.fresh"), |error: io::Error| StoreError(error.to_string()));
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&fresh).map_err(explain)?;
    let mut database = Connection::open_with_flags(&fresh, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    migrate(&mut database)?;
    database.execute("INSERT INTO meta (key, value) VALUES ('device_id', ?1)", [id])?;
    database.close().map_err(|(_, error)| error)?;
    fs::rename(&fresh, folder.join(FILE)).map_err(explain)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(explain)
}

/// Opens the listings twice: to be written, and attached to the owner's database, to be read.
fn open_listings(path: &Path, owner: &Connection) -> Option<Connection> {
    let open = || {
        fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let listings =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(io::Error::other)?;
        let set_up = || {
            // A power cut takes the last refresh at most; it is made again.
            listings.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4096;
                 PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY;
                 PRAGMA trusted_schema = OFF;",
            )?;
            listings.busy_timeout(Duration::from_secs(2))?;
            listings.execute_batch(super::listing::SCHEMA)?;
            // One that lacks a column is begun anew as well.
            listings.prepare("SELECT l.reach, e.reach FROM listing l, entry e")?;
            listings.query_row("SELECT count(*) FROM listing, sqlite_schema", [], |row| row.get::<_, u32>(0))?;
            owner.execute("ATTACH ?1 AS listings", [path.to_string_lossy()])
        };
        set_up().map_err(io::Error::other)?;
        Ok(listings)
    };
    open().map_err(|error: io::Error| tracing::warn!(%error, "what subscriptions list could not be read")).ok()
}

/// Begins anew with what can be fetched again.
fn renew_listings(path: &Path, owner: &Connection) -> Option<Connection> {
    for end in ["", "-wal", "-shm"] {
        let mut path = path.as_os_str().to_owned();
        path.push(end);
        fs::remove_file(path).unwrap_or_default();
    }
    open_listings(path, owner)
}

fn listings_in_memory(owner: &Connection) -> Result<Connection, StoreError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let uri = format!("file:listings-{}?mode=memory&cache=shared", NEXT.fetch_add(1, Ordering::Relaxed));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let listings = Connection::open_with_flags(&uri, flags)?;
    listings.execute_batch(super::listing::SCHEMA)?;
    owner.execute("ATTACH ?1 AS listings", [&uri])?;
    Ok(listings)
}

/// Opens the owner's database, and says what is wrong with it, if anything.
fn open_owner(folder: &Path) -> Result<(Connection, Option<String>), StoreError> {
    let path = folder.join(FILE);
    let opened = lost(folder).and_then(|()| prepare(folder)).and_then(|()| open_file(&path));
    let problem = match opened {
        Ok(database) => return Ok((database, None)),
        Err(Damage::Broken(what)) => match replace_broken(folder, &path) {
            Ok((database, how)) => return Ok((database, Some(format!("The database was damaged ({what}); {how}")))),
            Err(error) => format!("The database is damaged ({what}), and could not be replaced: {error}"),
        },
        Err(Damage::Newer(text)) => text,
        Err(Damage::Unusable(error)) => format!(
            "State cannot be kept in {}: {error}. Make it a directory that this user may write, or name another one \
             with state_dir or --state",
            folder.display()
        ),
    };
    let mut database = Connection::open_in_memory()?;
    migrate(&mut database)?;
    Ok((database, Some(format!("{problem}. Until then everything is forgotten at the next start."))))
}

enum Damage {
    /// The file is no sound database.
    Broken(String),
    /// It was written by a release that this one cannot follow.
    Newer(String),
    /// The directory or the file cannot be used at all.
    Unusable(String),
}

/// A copy without its database tells of an accident: of one that left nothing, or of a power cut while it was mended.
fn lost(folder: &Path) -> Result<(), Damage> {
    let is_lost = |path: &Path| {
        fs::metadata(path)
            .map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |file| file.is_file() && file.len() == 0)
    };
    if folder.join(COPY).is_file() && is_lost(&folder.join(FILE)) {
        return Err(Damage::Broken("there is nothing left of it".to_owned()));
    }
    Ok(())
}

fn prepare(folder: &Path) -> Result<(), Damage> {
    let unusable = |error: io::Error| Damage::Unusable(error.to_string());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    // SQLite would make it readable for all.
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(FILE)).map_err(unusable)?;
    Ok(())
}

fn open_file(path: &Path) -> Result<Connection, Damage> {
    let sort = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            Damage::Broken(error.to_string())
        }
        _ => Damage::Unusable(error.to_string()),
    };
    refuse_newer(path)?;
    // The listings may be in memory, which has a URI for a name.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    let mut database = Connection::open_with_flags(path, flags).map_err(sort)?;
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA wal_autocheckpoint = 256; PRAGMA journal_size_limit = 1048576; PRAGMA cache_size = -512;
             PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
        )
        .map_err(sort)?;
    database.busy_timeout(Duration::from_secs(2)).map_err(sort)?;
    let check: String = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sort)?;
    if check != "ok" {
        return Err(Damage::Broken(check.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    migrate(&mut database).map_err(sort)?;
    Ok(database)
}

/// Says no to a file that only a newer release can read. It is looked at without the right to write: even a change of
/// the journal's mode would be one too many.
fn refuse_newer(path: &Path) -> Result<(), Damage> {
    let look = || {
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        database.query_row("SELECT value FROM meta WHERE key = 'readable_from'", [], |row| row.get::<_, String>(0))
    };
    // What is wrong otherwise is found out later.
    let readable_from: Option<i64> = look().ok().and_then(|text| text.parse().ok());
    if readable_from.is_some_and(|from| from > known_schema()) {
        return Err(Damage::Newer(
            "The database was written by a newer release that this one cannot follow; it was left untouched. Install \
             the newer release again"
                .to_owned(),
        ));
    }
    Ok(())
}

fn known_schema() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Takes the steps that the file has not taken. A newer file has taken them all.
fn migrate(database: &mut Connection) -> rusqlite::Result<()> {
    let found: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (step, next) in STEPS.iter().zip(1..).skip(usize::try_from(found).unwrap_or(0)) {
        let transaction = database.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", next)?;
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('readable_from', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1",
            [READABLE_FROM.to_string()],
        )?;
        transaction.commit()?;
    }
    Ok(())
}

/// Keeps a copy of a sound database; it replaces the old copy whole or not at all. One in memory needs none.
pub(super) fn keep_copy(database: &Connection, folder: &Path) -> Result<(), StoreError> {
    if database.path().is_none_or(str::is_empty) {
        return Ok(());
    }
    let fresh = folder.join("tunerd.db.copy-new");
    let explain = |error: io::Error| StoreError(error.to_string());
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(explain(error)),
        _ => {}
    }
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&fresh).map_err(explain)?;
    let mut copy = Connection::open_with_flags(&fresh, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Backup::new(database, &mut copy)?.run_to_completion(1_000, Duration::ZERO, None)?;
    copy.close().map_err(|(_, error)| error)?;
    fs::rename(&fresh, folder.join(COPY)).map_err(explain)
}

/// Puts a broken file aside, and the copy, or nothing, in its place. Says what was done.
fn replace_broken(folder: &Path, path: &Path) -> Result<(Connection, String), StoreError> {
    let explain = |error: io::Error| StoreError(error.to_string());
    match fs::rename(path, folder.join("tunerd.db.damaged")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(explain(error)),
        _ => {}
    }
    for journal in ["tunerd.db-wal", "tunerd.db-shm"] {
        match fs::remove_file(folder.join(journal)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(explain(error)),
            _ => {}
        }
    }
    let text = |damage| match damage {
        Damage::Broken(text) | Damage::Newer(text) | Damage::Unusable(text) => StoreError(text),
    };
    if fs::copy(folder.join(COPY), path).is_ok() {
        if let Ok(database) = open_file(path) {
            return Ok((
                database,
                "the copy from the last good start is in use now. The damaged one is kept as \
                                  tunerd.db.damaged."
                    .to_owned(),
            ));
        }
        fs::remove_file(path).map_err(explain)?;
    }
    prepare(folder).map_err(text)?;
    let database = open_file(path).map_err(text)?;
    Ok((
        database,
        "there was no good copy, so this box has a new device id and clients have to add it again. The \
                   damaged one is kept as tunerd.db.damaged."
            .to_owned(),
    ))
}

//! The provider's layer: what subscriptions list. The only file that writes it, and it has a database of its own, so a
//! refresh cannot touch what the owner chose: the connection that it works on does not know that database.
//!
//! An entry's row says from which refresh (`born`) up to which (`gone`) it was listed. A refresh adds rows and ends rows
//! for a number that nobody looks at yet; then one small transaction makes that number the one that counts. So a refresh
//! that fails changes nothing, an unchanged playlist writes nothing, the differences are there without comparing
//! again, and what was before can be brought back as long as its rows are kept: one step.
//!
//! What identifies an entry (`key`) is its guide id and its name, and among those that share both their order
//! (`name_key`). An entry of another name with the address of one that is gone is that one, renamed: it keeps its `key`;
//! unless it is one that was gone itself and comes back, which only the owner's layer remembers.

use super::StoreError;
use pure::limits::{CHANGE_SETS_MAX, ENTRIES_MAX, GROUPS_MAX, NAME_BYTES_MAX, ROWS_MAX};
use pure::model::fingerprint::Fingerprint;
use pure::model::source_url::SourceUrl;
use pure::model::subscription::{
    Account, ChangeSet, ChangeState, Changes, Decision, Difference, Facts, Listing, Refreshed, SubscriptionId,
};
use pure::rules::reach::Reach;
use pure::time::Wall;
use pure::wire::m3u::Entry;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};

/// The provider's layer, as its own database has it.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS listing (
        subscription_id INTEGER PRIMARY KEY,
        batch INTEGER NOT NULL DEFAULT 0,       -- the refresh that counts
        previous INTEGER NOT NULL DEFAULT 0,    -- the one before it
        next INTEGER NOT NULL DEFAULT 1,        -- the number of the next one
        entries INTEGER NOT NULL DEFAULT 0,
        refused_digest INTEGER,                 -- what the owner did not want
        loaded_at INTEGER, etag TEXT, last_modified TEXT,
        account_status TEXT NOT NULL DEFAULT '', expires_at INTEGER, connections_max INTEGER,
        guides TEXT NOT NULL DEFAULT '', reach TEXT     -- how far these may lead
    ) STRICT;
    CREATE TABLE IF NOT EXISTS entry (
        id INTEGER PRIMARY KEY,
        subscription_id INTEGER NOT NULL,
        key INTEGER NOT NULL,
        name_key INTEGER NOT NULL,
        address_hash INTEGER NOT NULL,
        content INTEGER NOT NULL,               -- hash of all that follows but position
        born INTEGER NOT NULL,
        gone INTEGER,
        position INTEGER NOT NULL,
        twin INTEGER NOT NULL,                  -- how many of the same guide id and name stand before it
        name TEXT NOT NULL, number TEXT, tvg_id TEXT NOT NULL, tvg_name TEXT NOT NULL, tvg_shift_min INTEGER NOT NULL,
        grouping TEXT NOT NULL, logo TEXT NOT NULL, address TEXT NOT NULL, user_agent TEXT, headers TEXT NOT NULL,
        catchup TEXT NOT NULL, catchup_days INTEGER NOT NULL, catchup_source TEXT NOT NULL,
        reach TEXT                              -- how far its address may lead; NULL: as far as the internet
    ) STRICT;
    CREATE INDEX IF NOT EXISTS entry_position ON entry (subscription_id, position);
    CREATE INDEX IF NOT EXISTS entry_key ON entry (subscription_id, key);
    -- Most have one key for both; an index of all of them would be a third of an import's work.
    CREATE INDEX IF NOT EXISTS entry_renamed ON entry (subscription_id, name_key) WHERE name_key <> key;
    CREATE TABLE IF NOT EXISTS entry_group (
        subscription_id INTEGER NOT NULL,
        batch INTEGER NOT NULL,
        name TEXT NOT NULL,
        entries INTEGER NOT NULL,
        PRIMARY KEY (subscription_id, batch, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS logo (
        fingerprint INTEGER PRIMARY KEY,    -- of its address
        used_day INTEGER NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS change_set (
        subscription_id INTEGER NOT NULL,
        batch INTEGER NOT NULL,
        at INTEGER NOT NULL,
        state TEXT NOT NULL,
        digest INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        new INTEGER NOT NULL, gone INTEGER NOT NULL, renamed INTEGER NOT NULL, moved INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        PRIMARY KEY (subscription_id, batch)
    ) STRICT, WITHOUT ROWID;
";

/// Rows of one subscription that its counting refresh lists: `e` is the entry, `l` the listing.
pub(super) const LIVE: &str = "e.born <= l.batch AND (e.gone IS NULL OR e.gone > l.batch)";

/// Room between the positions of a first import, for what comes between later.
const GAP: i64 = 1_024;

/// From so many entries on an import gets more memory, for its time.
const LARGE: u32 = 65_536;

/// What identifies an entry in its list.
pub(super) fn name_key(tvg_id: &str, name: &str, twin: u32) -> i64 {
    Fingerprint::EMPTY.with(tvg_id).with(name).with(twin.to_le_bytes()).signed()
}

fn content(entry: &Entry, reach: Reach) -> i64 {
    let number = entry.number.as_ref().map_or("", |number| number.as_str());
    let Entry { tvg_id, tvg_name, group, logo, url, .. } = entry;
    let mut hash = Fingerprint::EMPTY;
    for part in [&entry.name, number, tvg_id, tvg_name, group, logo, url.as_str()] {
        hash = hash.with(part);
    }
    hash.with(entry.tvg_shift_min.to_le_bytes())
        .with(entry.user_agent.as_deref().unwrap_or_default())
        .with(entry.headers.to_lines())
        .with(&entry.catchup.kind)
        .with(&entry.catchup.source)
        .with(entry.catchup.days.to_le_bytes())
        .with(reach.name())
        .signed()
}

/// A refresh that is going on.
pub(super) struct Import {
    pub(super) subscription: SubscriptionId,
    /// How far its entries may lead.
    reach: Reach,
    /// Its number.
    batch: i64,
    /// The one that counts meanwhile; 0: there is none.
    base: i64,
    /// How often each guide id and name came so far.
    twins: BTreeMap<i64, u32>,
    /// Rows of the base that are listed again, changed or not.
    seen: BTreeSet<i64>,
    /// New ones, unless all are new: hash of the address, row, and key.
    fresh: Vec<(i64, i64, i64)>,
    /// Those that are gone, by the hash of their address: row and key.
    lost: BTreeMap<i64, (i64, i64)>,
    groups: BTreeMap<String, u32>,
    entries: u32,
    is_large: bool,
    position: i64,
    digest: Fingerprint,
    changes: Changes,
    /// How far the search for what is gone has come.
    searched: i64,
}

fn ensure(database: &Connection, id: SubscriptionId) -> Result<(), StoreError> {
    database.execute("INSERT OR IGNORE INTO listing (subscription_id) VALUES (?1)", [id.0])?;
    Ok(())
}

/// The end of the next window of rows in the order of the list, from `after` on; `None`: there are no more.
fn window(database: &Connection, id: SubscriptionId, after: i64) -> Result<Option<i64>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT max(position) FROM (SELECT position FROM entry
         WHERE subscription_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3)",
    )?;
    Ok(statement.query_row(params![id.0, after, ROWS_MAX], |row| row.get(0))?)
}

/// Takes away, from `after` on, what is of no use any more: rows of refreshes that do not count, and those that were gone
/// before the last step. Gives back where to go on.
pub(super) fn tidy(database: &mut Connection, id: SubscriptionId, after: i64) -> Result<Option<i64>, StoreError> {
    let transaction = database.transaction()?;
    ensure(&transaction, id)?;
    if after == i64::MIN {
        // What waited is dropped, so the server must be asked for all of it again.
        let dropped = transaction.execute(
            "UPDATE change_set SET state = 'superseded' WHERE subscription_id = ?1 AND state = 'waiting'",
            [id.0],
        )?;
        if dropped > 0 {
            transaction
                .execute("UPDATE listing SET etag = NULL, last_modified = NULL WHERE subscription_id = ?1", [id.0])?;
        }
        transaction.execute(
            "DELETE FROM entry_group WHERE subscription_id = ?1 AND batch NOT IN
             (SELECT batch FROM listing WHERE subscription_id = ?1 UNION
              SELECT previous FROM listing WHERE subscription_id = ?1)",
            [id.0],
        )?;
    }
    let end = window(&transaction, id, after)?;
    if let Some(end) = end {
        let (batch, previous) =
            transaction.query_row("SELECT batch, previous FROM listing WHERE subscription_id = ?1", [id.0], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })?;
        transaction
            .prepare_cached(
                "DELETE FROM entry WHERE subscription_id = ?1 AND position > ?2 AND position <= ?3
                 AND (born > ?4 OR gone <= ?5)",
            )?
            .execute(params![id.0, after, end, batch, previous])?;
        transaction
            .prepare_cached(
                "UPDATE entry SET gone = NULL WHERE subscription_id = ?1 AND position > ?2 AND position <= ?3
                 AND gone > ?4",
            )?
            .execute(params![id.0, after, end, batch])?;
    }
    transaction.commit()?;
    Ok(end)
}

/// Begins a refresh; [`tidy`] must have gone through.
pub(super) fn begin(database: &mut Connection, id: SubscriptionId, reach: Reach) -> Result<Import, StoreError> {
    ensure(database, id)?;
    let (base, batch) = database.query_row(
        "UPDATE listing SET next = next + 1 WHERE subscription_id = ?1 RETURNING batch, next - 1",
        [id.0],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(Import {
        subscription: id,
        reach,
        batch,
        base,
        twins: BTreeMap::new(),
        seen: BTreeSet::new(),
        fresh: Vec::new(),
        lost: BTreeMap::new(),
        groups: BTreeMap::new(),
        entries: 0,
        is_large: false,
        position: 0,
        digest: Fingerprint::EMPTY,
        changes: Changes::default(),
        searched: i64::MIN,
    })
}

/// A row of the base that an entry is compared with.
struct Known {
    id: i64,
    key: i64,
    content: i64,
    position: i64,
    group: String,
}

impl Import {
    /// Takes the next entries, in order.
    pub(super) fn stage(&mut self, database: &mut Connection, entries: &[Entry]) -> Result<(), StoreError> {
        if self.entries >= LARGE && !std::mem::replace(&mut self.is_large, true) {
            // The indexes of a large list are written all over.
            database.execute_batch("PRAGMA cache_size = -12288")?;
        }
        let transaction = database.transaction()?;
        for entry in entries {
            self.stage_one(&transaction, entry)?;
        }
        Ok(transaction.commit()?)
    }

    fn stage_one(&mut self, transaction: &Transaction<'_>, entry: &Entry) -> Result<(), StoreError> {
        if usize::try_from(self.entries).is_ok_and(|entries| entries >= ENTRIES_MAX) {
            return Err(StoreError(format!("it lists more than {ENTRIES_MAX} entries")));
        }
        self.entries += 1;
        if let Some(count) = self.groups.get_mut(&entry.group) {
            *count += 1;
        } else if self.groups.len() < GROUPS_MAX {
            self.groups.insert(entry.group.clone(), 1);
        } else {
            return Err(StoreError(format!("it lists more than {GROUPS_MAX} groups")));
        }
        let twins = self.twins.entry(Fingerprint::EMPTY.with(&entry.tvg_id).with(&entry.name).signed()).or_default();
        let twin = *twins;
        *twins += 1;
        let (name_key, content) = (name_key(&entry.tvg_id, &entry.name, twin), content(entry, self.reach));
        self.digest = self.digest.with(content.to_le_bytes());
        let known = self.known(transaction, name_key)?;
        if let Some(known) = &known {
            self.seen.insert(known.id);
            if known.content == content && known.position > self.position {
                self.position = known.position;
                return Ok(());
            }
            if known.group == entry.group {
                self.changes.changed += 1;
            } else {
                self.changes.moved += 1;
            }
            transaction
                .prepare_cached("UPDATE entry SET gone = ?2 WHERE id = ?1")?
                .execute(params![known.id, self.batch])?;
        } else {
            self.changes.new += 1;
        }
        self.position += if self.base == 0 { GAP } else { 1 };
        let key = match &known {
            Some(known) => known.key,
            None => self.free_key(transaction, name_key)?,
        };
        let address_hash = Fingerprint::EMPTY.with(entry.url.as_str()).signed();
        transaction
            .prepare_cached(
                "INSERT INTO entry (subscription_id, key, name_key, address_hash, content, born, position, twin, name,
                 number, tvg_id, tvg_name, tvg_shift_min, grouping, logo, address, user_agent, headers, catchup,
                 catchup_days, catchup_source, reach)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                 ?22)",
            )?
            .execute(params![
                self.subscription.0,
                key,
                name_key,
                address_hash,
                content,
                self.batch,
                self.position,
                twin,
                entry.name,
                entry.number.as_ref().map(pure::model::guide_number::GuideNumber::as_str),
                entry.tvg_id,
                entry.tvg_name,
                entry.tvg_shift_min,
                entry.group,
                entry.logo,
                entry.url.as_str(),
                entry.user_agent,
                entry.headers.to_lines(),
                entry.catchup.kind,
                entry.catchup.days,
                entry.catchup.source,
                self.reach.name(),
            ])?;
        if known.is_none() && self.base != 0 {
            self.fresh.push((address_hash, transaction.last_insert_rowid(), key));
        }
        Ok(())
    }

    fn known(&self, transaction: &Transaction<'_>, name_key: i64) -> Result<Option<Known>, StoreError> {
        if self.base == 0 {
            return Ok(None);
        }
        for keys in ["key = ?2 AND name_key = ?2", "name_key = ?2 AND name_key <> key"] {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT id, key, content, position, grouping FROM entry
                 WHERE subscription_id = ?1 AND {keys} AND born <= ?3 AND (gone IS NULL OR gone = ?4)"
            ))?;
            let known = statement.query_row(params![self.subscription.0, name_key, self.base, self.batch], |row| {
                Ok(Known {
                    id: row.get(0)?,
                    key: row.get(1)?,
                    content: row.get(2)?,
                    position: row.get(3)?,
                    group: row.get(4)?,
                })
            });
            if let Some(known) = known.optional()? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// The name's key, unless an entry that was renamed has it for life.
    fn free_key(&self, transaction: &Transaction<'_>, name_key: i64) -> Result<i64, StoreError> {
        let mut statement = transaction
            .prepare_cached("SELECT 1 FROM entry WHERE subscription_id = ?1 AND key = ?2 AND name_key <> ?2 LIMIT 1")?;
        let taken = self.base != 0 && statement.exists(params![self.subscription.0, name_key])?;
        Ok(if taken {
            Fingerprint::EMPTY.with(name_key.to_le_bytes()).with(self.batch.to_le_bytes()).signed()
        } else {
            name_key
        })
    }

    /// Looks at the next rows for what is gone. Whether there are more.
    pub(super) fn search(&mut self, database: &mut Connection) -> Result<bool, StoreError> {
        if self.base == 0 {
            return Ok(false);
        }
        let transaction = database.transaction()?;
        let Some(end) = window(&transaction, self.subscription, self.searched)? else { return Ok(false) };
        {
            let mut statement = transaction.prepare_cached(
                "SELECT id, key, address_hash FROM entry WHERE subscription_id = ?1 AND position > ?2
                 AND position <= ?3 AND born <= ?4 AND gone IS NULL",
            )?;
            let mut rows = statement.query(params![self.subscription.0, self.searched, end, self.base])?;
            let mut lost = Vec::new();
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                if !self.seen.contains(&id) {
                    lost.push(id);
                    self.lost.insert(row.get(2)?, (id, row.get(1)?));
                    self.changes.gone += 1;
                }
            }
            let mut end = transaction.prepare_cached("UPDATE entry SET gone = ?2 WHERE id = ?1")?;
            for id in lost {
                end.execute(params![id, self.batch])?;
            }
        }
        transaction.commit()?;
        self.searched = end;
        Ok(true)
    }

    /// Ends the refresh, once nothing is left to [`Import::search`]: from now on it counts, or waits if `held`.
    /// `is_known`: whether an entry with this key was a channel's source before.
    pub(super) fn finish(
        mut self,
        database: &mut Connection,
        facts: &Facts,
        held: bool,
        is_known: impl Fn(i64) -> Result<bool, StoreError>,
    ) -> Result<Refreshed, StoreError> {
        let transaction = database.transaction()?;
        for (address_hash, id, own_key) in std::mem::take(&mut self.fresh) {
            if !self.lost.contains_key(&address_hash) || is_known(own_key)? {
                continue;
            }
            if let Some((_, key)) = self.lost.remove(&address_hash) {
                transaction.prepare_cached("UPDATE entry SET key = ?2 WHERE id = ?1")?.execute(params![id, key])?;
                self.changes.renamed += 1;
                self.changes.new -= 1;
                self.changes.gone -= 1;
            }
        }
        note_facts(&transaction, self.subscription, facts)?;
        let digest = self.digest.signed();
        let refused: Option<i64> = transaction.query_row(
            "SELECT refused_digest FROM listing WHERE subscription_id = ?1",
            [self.subscription.0],
            |row| row.get(0),
        )?;
        let refreshed = if self.base != 0 && self.changes.is_empty() {
            Refreshed::Same
        } else if self.base != 0 && refused == Some(digest) {
            Refreshed::Refused
        } else {
            let state = if held && self.base != 0 { ChangeState::Waiting } else { ChangeState::Applied };
            self.note(&transaction, facts.at, digest, state)?;
            if state == ChangeState::Waiting {
                Refreshed::Waiting(self.changes)
            } else {
                turn_to(&transaction, self.subscription, self.batch)?;
                Refreshed::Applied(self.changes)
            }
        };
        transaction.commit()?;
        database.execute_batch("PRAGMA cache_size = -1024; PRAGMA shrink_memory")?;
        Ok(refreshed)
    }

    fn note(&self, transaction: &Transaction<'_>, at: Wall, digest: i64, state: ChangeState) -> Result<(), StoreError> {
        let (id, changes) = (self.subscription.0, self.changes);
        let mut insert = transaction.prepare_cached("INSERT INTO entry_group VALUES (?1, ?2, ?3, ?4)")?;
        for (name, entries) in &self.groups {
            insert.execute(params![id, self.batch, name, entries])?;
        }
        transaction.execute(
            "INSERT INTO change_set VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                id,
                self.batch,
                at.0,
                state.name(),
                digest,
                self.entries,
                changes.new,
                changes.gone,
                changes.renamed,
                changes.moved,
                changes.changed
            ],
        )?;
        transaction.execute(
            "DELETE FROM change_set WHERE subscription_id = ?1 AND batch NOT IN (SELECT batch FROM change_set
             WHERE subscription_id = ?1 ORDER BY batch DESC LIMIT ?2) AND batch NOT IN (SELECT batch FROM listing
             UNION SELECT previous FROM listing)",
            params![id, CHANGE_SETS_MAX],
        )?;
        Ok(())
    }
}

/// Keeps what a server and a provider said, also where the list itself is as it was.
pub(super) fn note_facts(database: &Connection, id: SubscriptionId, facts: &Facts) -> Result<(), StoreError> {
    ensure(database, id)?;
    let guides: Vec<&str> = facts.guides.iter().map(SourceUrl::as_str).collect();
    database.execute(
        "UPDATE listing SET loaded_at = ?2, etag = ?3, last_modified = ?4, guides = ?5, reach = ?6
         WHERE subscription_id = ?1",
        params![id.0, facts.at.0, facts.etag, facts.last_modified, guides.join("\n"), facts.reach.name()],
    )?;
    if let Some(account) = &facts.account {
        let status: String = account.status.chars().take(NAME_BYTES_MAX / 4).collect();
        database.execute(
            "UPDATE listing SET account_status = ?2, expires_at = ?3, connections_max = ?4 WHERE subscription_id = ?1",
            params![id.0, status, account.expires_at.map(|at| at.0), account.connections_max],
        )?;
    }
    Ok(())
}

/// Another server's versions mean nothing: it must be asked for all of it.
pub(super) fn forget_version(database: &Connection, id: SubscriptionId) -> Result<(), StoreError> {
    let forget = "UPDATE listing SET etag = NULL, last_modified = NULL WHERE subscription_id = ?1";
    database.execute(forget, [id.0])?;
    Ok(())
}

/// It was asked, and nothing is new.
pub(super) fn note_unchanged(database: &Connection, id: SubscriptionId, at: Wall) -> Result<(), StoreError> {
    database.execute("UPDATE listing SET loaded_at = ?2 WHERE subscription_id = ?1", params![id.0, at.0])?;
    Ok(())
}

fn turn_to(transaction: &Transaction<'_>, id: SubscriptionId, batch: i64) -> Result<(), StoreError> {
    transaction.execute(
        "UPDATE listing SET previous = batch, batch = ?2,
         entries = (SELECT entries FROM change_set WHERE subscription_id = ?1 AND batch = ?2) WHERE subscription_id = ?1",
        params![id.0, batch],
    )?;
    Ok(())
}

/// Decides on a change set. Whether there was one to decide on.
pub(super) fn decide(database: &mut Connection, id: SubscriptionId, decision: Decision) -> Result<bool, StoreError> {
    let transaction = database.transaction()?;
    let state = match decision {
        Decision::Approve | Decision::Refuse => ChangeState::Waiting,
        Decision::Undo => ChangeState::Applied,
    };
    let newest: Option<(i64, String)> = transaction
        .query_row(
            "SELECT batch, state FROM change_set WHERE subscription_id = ?1 AND state IN ('waiting', 'applied')
             ORDER BY batch DESC LIMIT 1",
            [id.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((batch, _)) = newest.filter(|(_, found)| *found == state.name()) else { return Ok(false) };
    let new_state = match decision {
        Decision::Approve => {
            turn_to(&transaction, id, batch)?;
            ChangeState::Applied
        }
        Decision::Refuse => ChangeState::Refused,
        Decision::Undo => {
            let (current, previous) = transaction.query_row(
                "SELECT batch, previous FROM listing WHERE subscription_id = ?1",
                [id.0],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
            )?;
            // Before the first there is nothing, and there is one step back only.
            if current != batch || previous == 0 || previous == current {
                return Ok(false);
            }
            turn_to(&transaction, id, previous)?;
            transaction.execute("UPDATE listing SET previous = batch WHERE subscription_id = ?1", [id.0])?;
            ChangeState::Undone
        }
    };
    if decision != Decision::Approve {
        transaction.execute(
            "UPDATE listing SET refused_digest = (SELECT digest FROM change_set WHERE subscription_id = ?1 AND batch = ?2)
             WHERE subscription_id = ?1",
            params![id.0, batch],
        )?;
    }
    transaction.execute(
        "UPDATE change_set SET state = ?3 WHERE subscription_id = ?1 AND batch = ?2",
        params![id.0, batch, new_state.name()],
    )?;
    transaction.commit()?;
    Ok(true)
}

/// Forgets everything of a subscription, from its first rows on. Whether there is more.
pub(super) fn forget(database: &mut Connection, id: SubscriptionId) -> Result<bool, StoreError> {
    let transaction = database.transaction()?;
    let end = window(&transaction, id, i64::MIN)?;
    if let Some(end) = end {
        transaction.execute("DELETE FROM entry WHERE subscription_id = ?1 AND position <= ?2", params![id.0, end])?;
    } else {
        for table in ["listing", "entry_group", "change_set"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE subscription_id = ?1"), [id.0])?;
        }
    }
    transaction.commit()?;
    Ok(end.is_some())
}

/// What a subscription lists now.
pub(super) fn listing(database: &Connection, id: SubscriptionId) -> Result<Listing, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT entries, loaded_at, etag, last_modified, account_status, expires_at, connections_max, guides, reach
         FROM listing WHERE subscription_id = ?1",
    )?;
    let found = statement.query_row([id.0], |row| {
        let guides: String = row.get(7)?;
        Ok(Listing {
            entries: row.get(0)?,
            loaded_at: row.get::<_, Option<i64>>(1)?.map(Wall),
            etag: row.get(2)?,
            last_modified: row.get(3)?,
            account: Account {
                status: row.get(4)?,
                expires_at: row.get::<_, Option<i64>>(5)?.map(Wall),
                connections_max: row.get(6)?,
            },
            guides: guides.lines().filter_map(|url| url.parse().ok()).collect(),
            reach: Reach::from_name(row.get::<_, Option<String>>(8)?.as_deref().unwrap_or_default()),
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Change sets, the newest first.
pub(super) fn change_sets(database: &Connection, id: SubscriptionId) -> Result<Vec<ChangeSet>, StoreError> {
    let mut statement = database.prepare_cached(
        "SELECT batch, at, state, new, gone, renamed, moved, changed FROM change_set
         WHERE subscription_id = ?1 ORDER BY batch DESC",
    )?;
    let read = |row: &Row<'_>| {
        let state: String = row.get(2)?;
        Ok(ChangeSet {
            batch: row.get(0)?,
            at: Wall(row.get(1)?),
            state: ChangeState::find(&state).unwrap_or(ChangeState::Superseded),
            changes: Changes {
                new: row.get(3)?,
                gone: row.get(4)?,
                renamed: row.get(5)?,
                moved: row.get(6)?,
                changed: row.get(7)?,
            },
        })
    };
    Ok(statement.query_map([id.0], read)?.collect::<rusqlite::Result<_>>()?)
}

/// Differences of a change set, from `after` on, among the next rows; and where to go on.
pub(super) fn differences(
    database: &Connection,
    id: SubscriptionId,
    batch: i64,
    after: i64,
) -> Result<(Vec<Difference>, Option<i64>), StoreError> {
    let Some(end) = window(database, id, after)? else { return Ok((Vec::new(), None)) };
    let mut statement = database.prepare_cached(
        "SELECT e.position, old.name, e.name, e.grouping, e.gone = ?4 FROM entry e
         LEFT JOIN entry old ON old.subscription_id = e.subscription_id AND old.key = e.key AND old.gone = ?4
         AND e.born = ?4
         WHERE e.subscription_id = ?1 AND e.position > ?2 AND e.position <= ?3 AND (e.born = ?4 OR (e.gone = ?4
         AND NOT EXISTS (SELECT 1 FROM entry n WHERE n.subscription_id = ?1 AND n.key = e.key AND n.born = ?4)))
         ORDER BY e.position",
    )?;
    let rows = statement.query_map(params![id.0, after, end, batch], |row| {
        let (name, ended): (String, Option<bool>) = (row.get(2)?, row.get(4)?);
        let ended = ended.unwrap_or(false);
        Ok(Difference {
            position: row.get(0)?,
            before: if ended { Some(name.clone()) } else { row.get(1)? },
            after: (!ended).then_some(name),
            group: row.get(3)?,
        })
    })?;
    Ok((rows.collect::<rusqlite::Result<_>>()?, Some(end)))
}

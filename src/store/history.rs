//! What the owner chose, as it was after each of his writes, so that he can go back.
//!
//! A revision has what he chose, not what came of it: channels that he never touched are in none, however many there
//! are. So that a channel can be put back to what it was before he touched it for the first time, that is kept
//! ([`touch`]). A revision that says what the one before it says is not kept. What is in one: `document`.

use super::document::{self, Restored, Scope};
use super::{Database, EditError, Handle, StoreError, listing, schema};
use crate::clock;
use pure::limits::{REVISIONS_BYTES_MAX, REVISIONS_MAX};
use pure::model::lineup::Mark;
use pure::model::subscription::Edit;
use pure::time::Wall;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::sync::atomic::{AtomicU64, Ordering};

/// A state that can be had back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Counts up from 1.
    pub number: u64,
    /// When it began.
    pub at: Wall,
    /// What the owner did.
    pub what: String,
}

impl Handle {
    /// The number of the revision that counts. It is known without asking the thread.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// All that are kept, the newest first.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn revisions(&self) -> Result<Vec<Revision>, StoreError> {
        self.ask(|database| {
            let mut statement =
                database.owner.prepare_cached("SELECT number, at, what FROM revision ORDER BY number DESC")?;
            let rows = statement
                .query_map([], |row| Ok((row.get::<_, i64>(0)?, Wall(row.get(1)?), row.get::<_, String>(2)?)))?;
            rows.map(|row| {
                let (number, at, what) = row?;
                Ok(Revision { number: number.unsigned_abs(), at, what })
            })
            .collect()
        })
        .await
    }

    /// Puts the owner's layer back to what it was. That is a revision itself, so it can be undone.
    ///
    /// # Errors
    /// It is not kept any more, or nothing was changed.
    pub async fn restore_revision(&self, number: u64) -> Result<Restored, EditError> {
        self.replace(format!("back to revision {number}"), move |owner| {
            let number = i64::try_from(number).map_err(|_| EditError::NotFound)?;
            let state = owner.query_row("SELECT state FROM revision WHERE number = ?1", [number], |row| row.get(0));
            Ok((state.optional()?.ok_or(EditError::NotFound)?, Scope::Revision))
        })
        .await
    }

    /// Makes the owner's layer what a document says, whole or not at all.
    pub(super) async fn replace(
        &self,
        what: String,
        document: impl FnOnce(&Connection) -> Result<(Vec<u8>, Scope), EditError> + Send + 'static,
    ) -> Result<Restored, EditError> {
        let restored = self
            .write(what, move |database| {
                let (packed, scope) = document(&database.owner)?;
                // Whatever was changed past us has to be there for the way back.
                note(&database.owner, "before that")?;
                let transaction = database.owner.transaction()?;
                let restored = document::apply(&transaction, &packed, scope)?;
                transaction.commit()?;
                for id in &restored.moved {
                    listing::forget_version(&database.listings, *id)?;
                }
                schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
                Ok::<Restored, EditError>(restored)
            })
            .await?;
        for id in restored.forget.clone() {
            while self.ask(move |database| listing::forget(&mut database.listings, id)).await? {}
        }
        Ok(restored)
    }

    /// Does what the owner asked for, and keeps how it is then.
    pub(super) async fn write<T, E>(
        &self,
        what: impl Into<String>,
        work: impl FnOnce(&mut Database) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (what, revision) = (what.into(), self.revision.clone());
        self.ask(move |database| {
            let done = work(database)?;
            keep(&database.owner, &what, &revision);
            Ok(done)
        })
        .await
    }
}

/// Keeps a revision, and tells its number. What the owner did is done, also where this cannot be kept.
pub(super) fn keep(owner: &Connection, what: &str, revision: &AtomicU64) {
    match note(owner, what) {
        Ok(number) => revision.store(number, Ordering::Relaxed),
        Err(error) => tracing::warn!(%error, "what the owner did cannot be undone: it could not be kept"),
    }
}

/// Keeps how it is now, if that is not what the newest revision says; the number of the newest.
fn note(owner: &Connection, what: &str) -> Result<u64, StoreError> {
    let state = document::pack(owner, Scope::Revision)?;
    let mut newest = owner.prepare_cached("SELECT number, state FROM revision ORDER BY number DESC LIMIT 1")?;
    let newest = newest.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()?;
    if let Some((number, _)) = newest.filter(|(_, known)| *known == state) {
        return Ok(number.unsigned_abs());
    }
    owner.prepare_cached("INSERT INTO revision (at, what, state) VALUES (?1, ?2, ?3)")?.execute(params![
        clock::wall().0,
        what,
        state
    ])?;
    let number = owner.last_insert_rowid();
    // The two newest stay whatever they weigh: there is always a way back.
    owner
        .prepare_cached(
            "DELETE FROM revision WHERE number < ?1 - 1 AND (number <= ?1 - ?2 OR ?3 < (SELECT sum(length(newer.state))
             FROM revision newer WHERE newer.number >= revision.number))",
        )?
        .execute(params![number, REVISIONS_MAX, i64::try_from(REVISIONS_BYTES_MAX).unwrap_or(i64::MAX)])?;
    Ok(number.unsigned_abs())
}

/// Keeps how a channel is, before the owner changes its number or its sources for the first time.
pub(super) fn touch(owner: &Connection, channel: i64) -> Result<(), StoreError> {
    owner
        .prepare_cached(
            "INSERT OR IGNORE INTO first_state (channel_id, number, sources)
             SELECT id, number, coalesce((SELECT group_concat(subscription_id || ':' || key, ' ') FROM (SELECT * FROM
             channel_source WHERE channel_id = channel.id ORDER BY position)), '') FROM channel WHERE id = ?1",
        )?
        .execute([channel])?;
    Ok(())
}

/// What an edit of so many channels does, in a few words.
pub(super) fn told(edit: &Edit, channels: usize) -> String {
    let what = match edit {
        Edit::Name(Some(_)) | Edit::Replace { .. } => "renamed",
        Edit::Name(None) => "named as listed",
        Edit::Group(Some(_)) => "put into another group",
        Edit::Group(None) => "grouped as listed",
        Edit::Logo(Some(_)) => "given another logo",
        Edit::Logo(None) => "with the logo as listed",
        Edit::NumberFrom(_) => "renumbered",
        Edit::MoveBehind(_) => "moved",
        Edit::MoveBack => "moved back",
        Edit::Merge => "merged",
        Edit::Split => "split",
        Edit::SourceOrder(_) => "with other sources first",
    };
    counted(channels, what)
}

/// The same of a mark.
pub(super) fn told_mark(mark: Mark, channels: usize) -> String {
    let what = match mark {
        Mark::Plain => "neither favourite nor hidden",
        Mark::Favorite => "made favourite",
        Mark::Hidden => "hidden",
    };
    counted(channels, what)
}

fn counted(channels: usize, what: &str) -> String {
    format!("{channels} channel{} {what}", if channels == 1 { "" } else { "s" })
}

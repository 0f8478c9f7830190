//! What the owner chose, written as lines of JSON and read back: what a revision keeps and what a backup seals.
//!
//! First who wrote it, then each table: its columns, and a line for each row. Reading is one transaction of the caller's,
//! line by line, so that neither side is ever in memory as a whole. A channel's id and every number that was ever
//! somebody's stay where they are: a row is found again by what names it to its origin, and only what is free is given
//! out. What cannot be had is told ([`Restored::ignored`]). Where revisions are kept: `history`; how a backup is sealed:
//! `backup`.

mod channels;
mod reading;
#[cfg(test)]
mod tests;

use super::owner::field;
use super::{EditError, StoreError};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use pure::limits::{BACKUP_IGNORED_MAX, BACKUP_UNPACKED_BYTES_MAX};
use pure::model::subscription::SubscriptionId;
pub(super) use reading::apply;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Write;

/// Raised when the tables that every document has are others.
const FORMAT: u32 = 1;

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// What the owner chose, and of channels those that he changed.
    Revision,
    /// The same, and all channels.
    Backup,
}

/// The tables that every document has, in this order: how they are read, and which of the rows a revision has.
const TABLES: [(&str, &str, &str); 12] = [
    ("subscription", "SELECT * FROM subscription", ""),
    ("channel", "SELECT * FROM channel", "WHERE id IN (SELECT channel_id FROM first_state)"),
    ("retired", "SELECT * FROM retired", "WHERE 0"),
    ("channel_source", "SELECT * FROM channel_source", "WHERE channel_id IN (SELECT channel_id FROM first_state)"),
    ("tick", "SELECT * FROM tick", ""),
    ("number_range", "SELECT * FROM number_range", ""),
    ("override", "SELECT * FROM override WHERE coalesce(name, grouping, logo, moved_behind) IS NOT NULL", ""),
    ("mark", "SELECT * FROM mark", ""),
    (
        "guide",
        "SELECT id, address, origin = 'owner' AND present AS present, offset_s FROM guide
         WHERE origin = 'owner' AND present OR offset_s <> 0 OR id IN (SELECT guide_id FROM guide_choice)",
        "",
    ),
    ("guide_choice", "SELECT * FROM guide_choice", ""),
    ("face", "SELECT * FROM face WHERE present", ""),
    ("face_group", "SELECT * FROM face_group WHERE face_id IN (SELECT id FROM face WHERE present)", ""),
];

/// Tables that are taken as they are, where the box has them: they name nothing of the others. Who reads them must
/// doubt what he finds there.
const OPAQUE: [&str; 2] = ["notification", "wish"];

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    device_id: String,
}

#[derive(Serialize, Deserialize)]
struct Section {
    table: String,
    columns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob { base64: String },
}

impl Cell {
    fn read(value: ValueRef<'_>) -> Result<Self, StoreError> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob { base64: BASE64_STANDARD.encode(bytes) },
            ValueRef::Real(_) => return Err(StoreError("a table has a kind of number that no backup has".to_owned())),
        })
    }
}

impl rusqlite::ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Integer(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob { base64 } => ToSqlOutput::from(BASE64_STANDARD.decode(base64).unwrap_or_default()),
        })
    }
}

// ---- Writing --------------------------------------------------------------------------------------------------------

/// What the owner chose, packed. Equal states give equal bytes.
pub(super) fn pack(owner: &Connection, scope: Scope) -> Result<Vec<u8>, StoreError> {
    let mut to = ZlibEncoder::new(Vec::new(), Compression::default());
    line(&mut to, &Head { format: FORMAT, device_id: device_id(owner)? })?;
    for (table, select, of_revision) in TABLES {
        let filter = if scope == Scope::Revision { of_revision } else { "" };
        write_table(owner, &mut to, table, &format!("{select} {filter}"))?;
    }
    for table in OPAQUE {
        if !columns(owner, table)?.is_empty() {
            write_table(owner, &mut to, table, &format!("SELECT * FROM {table}"))?;
        }
    }
    to.finish().map_err(|error| StoreError(error.to_string()))
}

fn write_table(owner: &Connection, to: &mut ZlibEncoder<Vec<u8>>, table: &str, select: &str) -> Result<(), StoreError> {
    let mut statement = owner.prepare(&format!("{select} ORDER BY 1, 2"))?;
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let len = columns.len();
    line(to, &Section { table: table.to_owned(), columns })?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let cells: Vec<Cell> = (0..len).map(|at| Cell::read(row.get_ref(at)?)).collect::<Result<_, _>>()?;
        line(to, &cells)?;
    }
    if to.total_in() > BACKUP_UNPACKED_BYTES_MAX {
        return Err(StoreError("there is more than a backup can hold".to_owned()));
    }
    Ok(())
}

fn line(to: &mut impl Write, value: &impl Serialize) -> Result<(), StoreError> {
    let written = serde_json::to_writer(&mut *to, value).map_err(std::io::Error::from);
    written.and_then(|()| to.write_all(b"\n")).map_err(|error| StoreError(error.to_string()))
}

fn device_id(owner: &Connection) -> Result<String, StoreError> {
    let stored = owner.query_row("SELECT value FROM meta WHERE key = 'device_id'", [], |row| row.get(0));
    Ok(stored.optional()?.unwrap_or_default())
}

/// The columns of a table; none where there is no such table.
fn columns(owner: &Connection, table: &str) -> Result<BTreeSet<String>, StoreError> {
    let mut statement = owner.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

// ---- Reading --------------------------------------------------------------------------------------------------------

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Subscriptions that are there now.
    pub subscriptions: u32,
    /// Channels that were found or made.
    pub channels: u32,
    /// Faces.
    pub faces: u32,
    /// Guides of the owner's.
    pub guides: u32,
    /// What could not be had, and why; for people, without secrets.
    pub ignored: Vec<String>,
    /// Subscriptions whose listing is nobody's any more.
    pub(super) forget: Vec<SubscriptionId>,
    /// Subscriptions that lead elsewhere now.
    pub(super) moved: Vec<SubscriptionId>,
}

impl Restored {
    /// Subscriptions that have to be fetched.
    pub fn to_fetch(&self) -> impl Iterator<Item = SubscriptionId> + '_ {
        self.forget.iter().chain(&self.moved).copied()
    }

    pub(in crate::store) fn ignore(&mut self, what: impl Into<String>) {
        match self.ignored.len() {
            len if len < BACKUP_IGNORED_MAX => self.ignored.push(what.into()),
            BACKUP_IGNORED_MAX => self.ignored.push("and more of that kind".to_owned()),
            _ => {}
        }
    }
}

fn contradiction() -> EditError {
    field("body", "what is in it contradicts itself, so nothing was changed")
}

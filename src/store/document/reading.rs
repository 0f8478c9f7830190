//! Reading a document: its lines, and the tables that stand for themselves. Channels: `channels`.

use super::super::{EditError, StoreError, faces, owner};
use super::channels::Numbering;
use super::{Cell, FORMAT, Head, OPAQUE, Restored, Scope, Section, TABLES, columns, contradiction, device_id};
use crate::store::owner::field;
use flate2::bufread::ZlibDecoder;
use pure::limits::{
    BACKUP_ROW_BYTES_MAX, BACKUP_UNPACKED_BYTES_MAX, FACES_MAX, GUIDE_OFFSET_S_MAX, GUIDES_MAX, NAME_BYTES_MAX,
    SUBSCRIPTIONS_MAX,
};
use pure::model::device_id::DeviceId;
use pure::model::lineup::Mark;
use pure::model::source_url::SourceUrl;
use pure::model::subscription::SubscriptionId;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params, params_from_iter};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _};

/// Makes the owner's layer what a document says, as far as that can be.
pub(in crate::store) fn apply(owner: &Transaction<'_>, packed: &[u8], scope: Scope) -> Result<Restored, EditError> {
    let mut lines = BufReader::new(ZlibDecoder::new(packed).take(BACKUP_UNPACKED_BYTES_MAX + 1));
    let (mut line, mut all_bytes) = (Vec::new(), 0);
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        let read = (&mut lines).take(BACKUP_ROW_BYTES_MAX + 1).read_until(b'\n', line);
        let bytes = read.map_err(|_| field("body", "what is packed in it is damaged"))? as u64;
        all_bytes += bytes;
        if bytes > BACKUP_ROW_BYTES_MAX || all_bytes > BACKUP_UNPACKED_BYTES_MAX {
            return Err(field("body", "it unpacks to more than any box has"));
        }
        Ok(bytes > 0)
    };
    next(&mut line)?;
    let head: Head = serde_json::from_slice(&line).map_err(|_| contradiction())?;
    if head.format != FORMAT {
        return Err(field("body", "another release of the box made it; update this one"));
    }
    let mut reading = Reading::begin(owner, scope, head.device_id == device_id(owner)?)?;
    let mut known = TABLES.iter().map(|(table, ..)| *table);
    let mut section: Option<(Section, Vec<bool>)> = None;
    while next(&mut line)? {
        if line.starts_with(b"[") {
            let (section, here) = section.as_ref().ok_or_else(contradiction)?;
            let cells: Vec<Cell> = serde_json::from_slice(&line).map_err(|_| contradiction())?;
            if cells.len() != section.columns.len() {
                return Err(contradiction());
            }
            let named = section.columns.iter().zip(cells).zip(here).filter(|(_, here)| **here);
            reading.row(&section.table, Row(named.map(|((name, cell), _)| (name.clone(), cell)).collect()))?;
            continue;
        }
        if let Some((last, _)) = section.take() {
            reading.end(&last.table)?;
        }
        let begun: Section = serde_json::from_slice(&line).map_err(|_| contradiction())?;
        // In the order that they lean on each other.
        if TABLES.iter().any(|(table, ..)| *table == begun.table) && known.next() != Some(&begun.table) {
            return Err(contradiction());
        }
        reading.table(&begun.table)?;
        let there = columns(owner, &begun.table)?;
        let here = begun.columns.iter().map(|column| there.contains(column)).collect();
        section = Some((begun, here));
    }
    if let Some((last, _)) = section {
        reading.end(&last.table)?;
    }
    if known.next().is_some() {
        return Err(contradiction());
    }
    Ok(reading.restored)
}

/// A row, with those of its columns that this release has.
pub(super) struct Row(Vec<(String, Cell)>);

impl Row {
    pub(super) fn cell(&self, column: &str) -> &Cell {
        self.0.iter().find(|(name, _)| name == column).map_or(&Cell::Null, |(_, cell)| cell)
    }

    pub(super) fn integer(&self, column: &str) -> Option<i64> {
        match self.cell(column) {
            Cell::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A number that can name a row.
    pub(super) fn id(&self, column: &str) -> Option<i64> {
        self.integer(column).filter(|id| (1..=i64::from(u32::MAX >> 1)).contains(id))
    }

    pub(super) fn text(&self, column: &str) -> &str {
        match self.cell(column) {
            Cell::Text(text) => text,
            _ => "",
        }
    }

    pub(super) fn set(&mut self, column: &str, cell: Cell) {
        match self.0.iter_mut().find(|(name, _)| name == column) {
            Some((_, old)) => *old = cell,
            None => self.0.push((column.to_owned(), cell)),
        }
    }

    /// Writes it; one with this id becomes it where it is to be `replaced`.
    pub(super) fn insert(&self, owner: &Connection, table: &str, replaced: bool) -> Result<i64, StoreError> {
        let names: Vec<String> = self.0.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let marks: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
        let (or, conflict) = if replaced {
            let set: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
            ("", format!("ON CONFLICT (id) DO UPDATE SET {}", set.join(", ")))
        } else {
            ("OR IGNORE", String::new())
        };
        let insert =
            format!("INSERT {or} INTO {table} ({}) VALUES ({}) {conflict}", names.join(", "), marks.join(", "));
        owner.prepare_cached(&insert)?.execute(params_from_iter(self.0.iter().map(|(_, cell)| cell)))?;
        Ok(owner.last_insert_rowid())
    }
}

/// A document that is being read. What was written with one id may stand under another one here.
pub(super) struct Reading<'a> {
    pub(super) owner: &'a Connection,
    pub(super) scope: Scope,
    pub(super) same_box: bool,
    /// The highest id that a subscription ever had here, before.
    pub(super) subscription_last: i64,
    /// And the highest that one had there.
    pub(super) subscription_highest: i64,
    pub(super) subscriptions: BTreeMap<i64, i64>,
    pub(super) channels: BTreeMap<i64, i64>,
    pub(super) new_channels: BTreeSet<i64>,
    pub(super) numbers: Vec<Numbering>,
    /// Of each channel of the document.
    pub(super) sources: BTreeMap<i64, Vec<(i64, i64)>>,
    pub(super) guides: BTreeMap<i64, i64>,
    /// Faces of before, by name.
    pub(super) face_names: BTreeMap<String, i64>,
    pub(super) faces: BTreeMap<i64, i64>,
    pub(super) places: BTreeSet<i64>,
    pub(super) restored: Restored,
}

impl<'a> Reading<'a> {
    fn begin(owner: &'a Connection, scope: Scope, same_box: bool) -> Result<Self, StoreError> {
        let any = "SELECT EXISTS (SELECT 1 FROM channel WHERE origin <> 'demo')";
        let is_fresh = !owner.query_row(any, [], |row| row.get::<_, bool>(0))?;
        let mut statement = owner.prepare("SELECT name, id FROM face WHERE present")?;
        let face_names = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        owner.execute_batch(
            "DELETE FROM override; DELETE FROM mark; DELETE FROM guide_choice; DELETE FROM face_group;
             UPDATE guide SET present = 0 WHERE origin = 'owner'; UPDATE guide SET offset_s = 0 WHERE offset_s <> 0;
             UPDATE face SET present = 0;",
        )?;
        if is_fresh && !same_box && scope == Scope::Backup {
            // Nobody has anything but the demo channels, which make room for the ids of those that come; they come back
            // with others.
            owner.execute_batch(
                "DELETE FROM retired; DELETE FROM first_state; DELETE FROM channel_source; DELETE FROM source;
                 DELETE FROM channel;",
            )?;
        }
        let last = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'subscription'), 0)";
        Ok(Self {
            owner,
            scope,
            same_box,
            subscription_last: owner.query_row(last, [], |row| row.get(0))?,
            subscription_highest: 0,
            subscriptions: BTreeMap::new(),
            channels: BTreeMap::new(),
            new_channels: BTreeSet::new(),
            numbers: Vec::new(),
            sources: BTreeMap::new(),
            guides: BTreeMap::new(),
            face_names,
            faces: BTreeMap::new(),
            places: BTreeSet::new(),
            restored: Restored::default(),
        })
    }

    /// A table begins.
    fn table(&mut self, table: &str) -> Result<(), EditError> {
        let is_known = TABLES.iter().any(|(known, ..)| *known == table);
        let is_opaque = OPAQUE.contains(&table) && !columns(self.owner, table)?.is_empty();
        if is_opaque {
            self.owner.execute(&format!("DELETE FROM {table}"), [])?;
        } else if !is_known {
            self.restored.ignore("something that this release does not know");
        }
        Ok(())
    }

    fn row(&mut self, table: &str, row: Row) -> Result<(), EditError> {
        match table {
            "subscription" => self.subscription(row),
            "channel" => self.channel(row),
            "retired" => self.retired(&row),
            "channel_source" => {
                self.source(&row);
                Ok(())
            }
            "tick" | "number_range" => self.of_subscription(table, row),
            "override" => self.overriding(row),
            "mark" if Mark::find(row.text("mark")).is_none() => Ok(()),
            "mark" => self.of_channel("mark", row),
            "guide" => self.guide(&row),
            "guide_choice" => self.choice(row),
            "face" => self.face(&row),
            "face_group" => self.face_group(row),
            opaque if OPAQUE.contains(&opaque) => Ok(row.insert(self.owner, opaque, false).map(drop)?),
            _ => Ok(()),
        }
    }

    /// A table has ended.
    fn end(&mut self, table: &str) -> Result<(), EditError> {
        match table {
            "subscription" => self.end_subscriptions(),
            "channel" => self.end_channels(),
            "channel_source" => self.end_sources(),
            "face_group" => self.end_faces(),
            _ => Ok(()),
        }
    }

    pub(super) fn has(&self, table: &str, id: i64) -> Result<bool, StoreError> {
        Ok(self.owner.prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = ?1"))?.exists([id])?)
    }

    // ---- Subscriptions ----------------------------------------------------------------------------------------------

    fn subscription(&mut self, mut row: Row) -> Result<(), EditError> {
        let Some(id) = row.id("id") else { return Err(contradiction()) };
        self.subscription_highest = self.subscription_highest.max(id);
        let here = self.subscription_here(&row, id)?;
        let mut living =
            self.owner.prepare_cached("SELECT address, enabled, from_settings FROM subscription WHERE id = ?1")?;
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?));
        let before = living.query_row([here], read).optional()?;
        row.set("id", here.map_or(Cell::Null, Cell::Integer));
        row.set("from_settings", Cell::Integer(0));
        if let Some((address, enabled, true)) = &before {
            // The settings rule it.
            row.set("from_settings", Cell::Integer(1));
            row.set("address", Cell::Text(address.clone()));
            row.set("enabled", Cell::Integer(*enabled));
        }
        self.owner.execute_batch("SAVEPOINT one")?;
        let new = row.insert(self.owner, "subscription", true)?;
        let here = here.unwrap_or(new);
        let number = SubscriptionId(u32::try_from(here).unwrap_or(0));
        let checked = owner::subscription(self.owner, number)
            .map_err(|_| "this release does not know its kind".to_owned())
            .and_then(|mut kept| kept.check().map_err(|error| format!("{}: {}", error.field, error.why)));
        if let Err(why) = checked {
            self.owner.execute_batch("ROLLBACK TO one; RELEASE one")?;
            self.restored.ignore(format!("the subscription {}: {why}", name(&row)));
            return Ok(());
        }
        self.owner.execute_batch("RELEASE one")?;
        self.subscriptions.insert(id, here);
        self.restored.subscriptions += 1;
        match before {
            None => self.restored.forget.push(number),
            Some((address, ..)) if address != row.text("address") => self.restored.moved.push(number),
            Some(_) => {}
        }
        Ok(())
    }

    /// Which one of this box it is; `None`: a new one. An id that ever was another one's here is not given again.
    fn subscription_here(&self, row: &Row, id: i64) -> Result<Option<i64>, StoreError> {
        if self.same_box {
            return Ok(Some(id));
        }
        let mut statement = self.owner.prepare_cached(
            "SELECT id FROM subscription WHERE kind = ?1 AND address = ?2 AND username = ?3 AND (address <> '' OR name = ?4)
             AND NOT from_settings ORDER BY id",
        )?;
        let same = statement.query_map(
            params![row.text("kind"), row.text("address"), row.text("username"), row.text("name")],
            |row| row.get::<_, i64>(0),
        )?;
        let same = same.collect::<Result<Vec<_>, _>>()?;
        if let Some(here) = same.into_iter().find(|here| self.subscriptions.values().all(|known| known != here)) {
            return Ok(Some(here));
        }
        Ok((id > self.subscription_last && !self.has("subscription", id)?).then_some(id))
    }

    fn end_subscriptions(&mut self) -> Result<(), EditError> {
        let mut statement = self.owner.prepare("SELECT id FROM subscription WHERE NOT from_settings")?;
        let all = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        for id in all {
            if self.subscriptions.values().all(|known| *known != id) {
                for table in ["channel_source", "tick", "number_range"] {
                    self.owner.execute(&format!("DELETE FROM {table} WHERE subscription_id = ?1"), [id])?;
                }
                self.owner.execute("DELETE FROM subscription WHERE id = ?1", [id])?;
                self.restored.forget.push(SubscriptionId(u32::try_from(id).unwrap_or(0)));
            }
        }
        for id in self.subscriptions.values() {
            self.owner.execute("DELETE FROM tick WHERE subscription_id = ?1", [id])?;
            self.owner.execute("DELETE FROM number_range WHERE subscription_id = ?1", [id])?;
        }
        let len: u32 = self.owner.query_row("SELECT count(*) FROM subscription", [], |row| row.get(0))?;
        if len as usize > SUBSCRIPTIONS_MAX {
            return Err(field("body", format!("it has more than {SUBSCRIPTIONS_MAX} subscriptions")));
        }
        Ok(())
    }

    fn of_subscription(&self, table: &str, mut row: Row) -> Result<(), EditError> {
        let here = row.id("subscription_id").and_then(|id| self.subscriptions.get(&id));
        if let (Some(here), true) = (here, is_plain(row.text("grouping"), NAME_BYTES_MAX)) {
            row.set("subscription_id", Cell::Integer(*here));
            row.insert(self.owner, table, false)?;
        }
        Ok(())
    }

    // ---- Guides and faces -------------------------------------------------------------------------------------------

    fn guide(&mut self, row: &Row) -> Result<(), EditError> {
        let Some(id) = row.id("id") else { return Err(contradiction()) };
        let address = row.text("address");
        let mut known = self.owner.prepare_cached("SELECT id FROM guide WHERE address = ?1")?;
        let known = known.query_row([address], |row| row.get::<_, i64>(0)).optional()?;
        let is_address = address.parse::<SourceUrl>().is_ok_and(|url| url.scheme().is_http());
        let is_owners = row.integer("present") == Some(1);
        let offset_s = row.integer("offset_s").unwrap_or(0).clamp(-GUIDE_OFFSET_S_MAX, GUIDE_OFFSET_S_MAX);
        if known.is_none() && !is_address || is_owners && self.restored.guides as usize >= GUIDES_MAX {
            self.restored.ignore("a guide that is no address, or one too many");
            return Ok(());
        }
        let here = if let Some(here) = known {
            here
        } else {
            let id = (!self.has("guide", id)?).then_some(id);
            self.owner.execute(
                "INSERT INTO guide (id, address, origin, present) VALUES (?1, ?2, 'playlist', 0)",
                params![id, address],
            )?;
            self.owner.last_insert_rowid()
        };
        self.owner.execute("UPDATE guide SET offset_s = ?2 WHERE id = ?1", params![here, offset_s])?;
        if is_owners && is_address {
            self.owner.execute("UPDATE guide SET origin = 'owner', present = 1 WHERE id = ?1", [here])?;
            self.restored.guides += 1;
        }
        self.guides.insert(id, here);
        Ok(())
    }

    fn choice(&self, mut row: Row) -> Result<(), EditError> {
        let guide = match row.cell("guide_id") {
            Cell::Null => Cell::Null,
            _ => match row.id("guide_id").and_then(|id| self.guides.get(&id)) {
                Some(here) => Cell::Integer(*here),
                None => return Ok(()),
            },
        };
        let is_near = row
            .integer("offset_s")
            .is_some_and(|offset_s| offset_s.unsigned_abs() <= GUIDE_OFFSET_S_MAX.unsigned_abs());
        if !is_near || !is_plain(row.text("guide_channel"), NAME_BYTES_MAX) {
            return Ok(());
        }
        row.set("guide_id", guide);
        self.of_channel("guide_choice", row)
    }

    fn face(&mut self, row: &Row) -> Result<(), EditError> {
        let place = row.integer("place").filter(|place| usize::try_from(*place).is_ok_and(|place| place < FACES_MAX));
        let (Some(id), Some(place)) = (row.id("id"), place.filter(|place| !self.places.contains(place))) else {
            self.restored.ignore(format!("the face {}: its port is another one's", name(row)));
            return Ok(());
        };
        let here = match self.face_here(row)? {
            Some(here) => here,
            None => self.new_face(row, id)?,
        };
        self.owner.execute(
            "UPDATE face SET present = 1, place = ?2, name = ?3, tuners = ?4, slice = ?5, first = ?6 WHERE id = ?1",
            params![
                here,
                place,
                row.text("name"),
                row.integer("tuners").unwrap_or(0).clamp(0, 255),
                row.text("slice"),
                row.integer("first").filter(|first| u32::try_from(*first).is_ok()),
            ],
        )?;
        self.places.insert(place);
        self.faces.insert(id, here);
        Ok(())
    }

    /// The face of this box that it is: on the box that wrote it the one with its device id, elsewhere one of its name.
    fn face_here(&mut self, row: &Row) -> Result<Option<i64>, StoreError> {
        if !self.same_box {
            return Ok(self.face_names.remove(row.text("name")));
        }
        let mut known = self.owner.prepare_cached("SELECT id FROM face WHERE device_id = ?1")?;
        Ok(known.query_row([row.text("device_id")], |row| row.get(0)).optional()?)
    }

    fn new_face(&self, row: &Row, id: i64) -> Result<i64, StoreError> {
        let own = row.text("device_id").parse::<DeviceId>().ok().filter(|_| self.same_box);
        // The device id is the origin box's, and it may still be there.
        let device_id = match own {
            Some(own) => own,
            None => faces::free_id(self.owner)?,
        };
        let id = (!self.has("face", id)?).then_some(id);
        self.owner.execute(
            "INSERT INTO face (id, present, place, device_id, name, tuners, slice) VALUES (?1, 0, 0, ?2, '', 1, 'all')",
            params![id, device_id.to_string()],
        )?;
        Ok(self.owner.last_insert_rowid())
    }

    fn face_group(&self, mut row: Row) -> Result<(), EditError> {
        if let Some(here) = row.id("face_id").and_then(|id| self.faces.get(&id)) {
            row.set("face_id", Cell::Integer(*here));
            row.insert(self.owner, "face_group", false)?;
        }
        Ok(())
    }

    fn end_faces(&mut self) -> Result<(), EditError> {
        for face in faces::faces(self.owner)? {
            match face.terms.check() {
                Ok(()) => self.restored.faces += 1,
                Err(error) => {
                    self.owner.execute("UPDATE face SET present = 0 WHERE id = ?1", [face.id.0])?;
                    self.restored.ignore(format!("a face, for its {}: {}", error.field, error.why));
                }
            }
        }
        Ok(())
    }
}

/// A name that people may read.
fn name(row: &Row) -> String {
    row.text("name").chars().filter(|character| !character.is_control()).take(64).collect()
}

pub(super) fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.chars().any(char::is_control)
}

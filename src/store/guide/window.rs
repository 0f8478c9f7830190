//! What is on in some hours, for a person who looks at a page of the guide.

use super::import::{row_id, start_of};
use super::{Connection, Guides, explain};
use pure::limits::{PROGRAMME_S_MAX, WINDOW_PROGRAMMES_MAX};
use pure::model::guide::GuideId;
use pure::time::Wall;
use pure::wire::xmltv::{text_in, title_of};
use rusqlite::{OptionalExtension as _, params};

/// Whose programmes are wanted.
#[derive(Clone, Debug)]
pub struct Row {
    /// In which guide.
    pub guide: GuideId,
    /// How that guide calls the channel.
    pub channel: String,
    /// How much later they come than it says.
    pub offset_s: i64,
}

/// What is on, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its first second.
    pub start: Wall,
    /// The second after its last.
    pub stop: Wall,
    /// What it is called; empty when nobody knows.
    pub title: String,
    /// More of that.
    pub sub_title: String,
    /// What happens in it.
    pub description: String,
}

impl Guides {
    /// For each row what is on from `from` to `to`, in order and without overlaps.
    pub(super) fn window(&mut self, rows: &[Row], from: Wall, to: Wall) -> Result<Vec<Vec<Shown>>, String> {
        self.open()?;
        let shown = |row: &Row| match self.databases.get(&row.guide) {
            Some(database) => shown(database, row, from, to).map_err(explain),
            None => Ok(Vec::new()),
        };
        rows.iter().map(shown).collect()
    }
}

fn shown(database: &Connection, row: &Row, from: Wall, to: Wall) -> rusqlite::Result<Vec<Shown>> {
    let channel = database
        .prepare_cached("SELECT id FROM channel WHERE key = ?1")?
        .query_row([&row.channel], |row| row.get::<_, u32>(0))
        .optional()?;
    let Some(channel) = channel else { return Ok(Vec::new()) };
    let mut programmes =
        database.prepare_cached("SELECT id, stop, details FROM programme WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
    // One that began before and still goes on belongs to it, too.
    let first = row_id(channel, from.plus_s(-row.offset_s - PROGRAMME_S_MAX));
    let last = row_id(channel, to.plus_s(-row.offset_s));
    let mut rows = programmes.query(params![first, last])?;
    let mut found: Vec<Shown> = Vec::new();
    while let Some(programme) = rows.next()? {
        let start = start_of(programme.get(0)?).plus_s(row.offset_s);
        let stop = match programme.get::<_, i64>(1)? {
            0 => start.plus_s(PROGRAMME_S_MAX),
            stop => Wall(stop).plus_s(row.offset_s),
        };
        // It ends where the next one begins, at the latest.
        if let Some(last) = found.last_mut() {
            last.stop = last.stop.min(start);
            if last.stop <= from {
                found.pop();
            }
        }
        if found.len() == WINDOW_PROGRAMMES_MAX || start >= to {
            break;
        }
        if stop > from {
            let details: String = programme.get(2)?;
            let (sub_title, description) = (text_in(&details, "sub-title"), text_in(&details, "desc"));
            found.push(Shown { start, stop, title: title_of(&details), sub_title, description });
        }
    }
    Ok(found)
}

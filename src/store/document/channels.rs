//! Channels of a document: their ids, numbers and sources, which are for life.

use super::reading::{Reading, Row, is_plain};
use super::{Cell, Scope, contradiction};
use crate::store::history::touch;
use crate::store::{EditError, StoreError, owner};
use pure::limits::{NAME_BYTES_MAX, SOURCES_MAX};
use pure::model::guide_number::GuideNumber;
use pure::model::recipe::DEMO;
use pure::model::source_url::SourceUrl;
use rusqlite::{OptionalExtension as _, params};
use std::collections::BTreeSet;

/// A number that a channel is to have.
pub(super) struct Numbering {
    channel: i64,
    wanted: String,
    name: String,
    is_new: bool,
    is_demo: bool,
}

impl Reading<'_> {
    pub(super) fn channel(&mut self, mut row: Row) -> Result<(), EditError> {
        let Some(id) = row.id("id") else { return Err(contradiction()) };
        let origin = self.origin_here(row.text("origin"))?;
        let is_demo = origin == "demo";
        let key = row.text("key").to_owned();
        let mut known = self.owner.prepare_cached("SELECT id FROM channel WHERE origin = ?1 AND key = ?2")?;
        let known = known.query_row(params![origin, key], |row| row.get::<_, i64>(0)).optional()?;
        let (wanted, name) = (row.text("number").to_owned(), row.text("name").to_owned());
        let here = if let Some(here) = known {
            here
        } else {
            row.set("origin", Cell::Text(origin));
            // Until all are known.
            row.set("number", Cell::Text(format!("#new {id}")));
            if self.has("channel", id)? {
                row.set("id", Cell::Null);
            }
            let here = row.insert(self.owner, "channel", false)?;
            if is_demo {
                self.owner.execute(
                    "INSERT OR IGNORE INTO source (channel_id, position, address) VALUES (?1, 0, ?2)",
                    params![here, key],
                )?;
            }
            self.new_channels.insert(here);
            here
        };
        self.channels.insert(id, here);
        self.sources.insert(here, Vec::new());
        self.restored.channels += u32::from(!is_demo);
        self.numbers.push(Numbering { channel: here, wanted, name, is_new: known.is_none(), is_demo });
        Ok(())
    }

    /// What names a subscription's channels, with the number that it has here.
    fn origin_here(&mut self, origin: &str) -> Result<String, StoreError> {
        let Some(id) = origin.strip_prefix("subscription:").and_then(|id| id.parse::<i64>().ok()) else {
            return Ok(origin.to_owned());
        };
        if let Some(here) = self.subscriptions.get(&id) {
            return Ok(format!("subscription:{here}"));
        }
        // One that was removed before. Nobody else's channels are to be taken for its own.
        if self.same_box || id > self.subscription_last && !self.has("subscription", id)? {
            self.subscription_highest = self.subscription_highest.max(id);
            return Ok(origin.to_owned());
        }
        Ok(format!("{origin} elsewhere"))
    }

    fn number_of(&self, channel: i64) -> Result<String, StoreError> {
        let mut statement = self.owner.prepare_cached("SELECT number FROM channel WHERE id = ?1")?;
        Ok(statement.query_row([channel], |row| row.get(0))?)
    }

    /// Whose a number is or was.
    fn holders(&self, number: &str) -> Result<Vec<i64>, StoreError> {
        let mut holders = Vec::new();
        for table in ["SELECT id FROM channel WHERE number = ?1", "SELECT channel_id FROM retired WHERE number = ?1"] {
            let mut statement = self.owner.prepare_cached(table)?;
            holders.extend(statement.query_row([number], |row| row.get::<_, i64>(0)).optional()?);
        }
        Ok(holders)
    }

    /// Gives the channels their numbers: among themselves they may swap, and nobody else's is taken.
    pub(super) fn end_channels(&mut self) -> Result<(), EditError> {
        let mut numbers = std::mem::take(&mut self.numbers);
        if self.scope == Scope::Revision {
            for (channel, wanted, _) in self.first_states()? {
                numbers.push(Numbering { channel, wanted, name: String::new(), is_new: false, is_demo: false });
            }
        }
        let mut waiting = Vec::new();
        for numbering in numbers {
            if numbering.is_new || self.number_of(numbering.channel)? != numbering.wanted {
                waiting.push(numbering);
            }
        }
        // Who does not get what he wants keeps what he has, which another one may have wanted.
        let mut losers = Vec::new();
        loop {
            let set: BTreeSet<i64> = waiting.iter().map(|numbering| numbering.channel).collect();
            let (mut fine, mut taken, before) = (Vec::new(), BTreeSet::new(), losers.len());
            for numbering in waiting {
                let is_number = numbering.wanted.parse::<GuideNumber>().is_ok_and(|number| {
                    number.as_str() == numbering.wanted
                        && (numbering.is_demo || DEMO.iter().all(|demo| demo.number != number))
                });
                let is_free = self.holders(&numbering.wanted)?.iter().all(|holder| set.contains(holder));
                if is_number && is_free && taken.insert(numbering.wanted.clone()) {
                    fine.push(numbering);
                } else {
                    losers.push(numbering);
                }
            }
            waiting = fine;
            if losers.len() == before {
                break;
            }
        }
        for numbering in waiting.iter().filter(|numbering| !numbering.is_new) {
            touch(self.owner, numbering.channel)?;
            self.owner
                .prepare_cached("INSERT OR IGNORE INTO retired SELECT number, id FROM channel WHERE id = ?1")?
                .execute([numbering.channel])?;
            self.owner
                .prepare_cached("UPDATE channel SET number = ?2 WHERE id = ?1")?
                .execute(params![numbering.channel, format!("#{}", numbering.channel)])?;
        }
        for Numbering { channel, wanted, .. } in &waiting {
            self.owner
                .prepare_cached("UPDATE channel SET number = ?2 WHERE id = ?1")?
                .execute(params![channel, wanted])?;
            self.owner.prepare_cached("DELETE FROM retired WHERE number = ?1")?.execute([wanted])?;
        }
        let mut next = 1;
        for Numbering { channel, wanted, name, is_new, .. } in losers {
            let has = if is_new {
                let number = owner::next_number(self.owner, &mut next)?;
                self.owner
                    .prepare_cached("UPDATE channel SET number = ?2 WHERE id = ?1")?
                    .execute(params![channel, number.as_str()])?;
                number.as_str().to_owned()
            } else {
                self.number_of(channel)?
            };
            let shown: String = wanted.chars().take(16).collect();
            self.restored
                .ignore(format!("the number {shown} of {name} is or was another channel's here; it has {has}"));
        }
        self.owner.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'subscription'",
            [self.subscription_highest],
        )?;
        self.owner.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'subscription', ?1
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'subscription')",
            [self.subscription_highest],
        )?;
        Ok(())
    }

    /// Number and sources of channels that the owner changed later than the document says: as they were before.
    fn first_states(&self) -> Result<Vec<(i64, String, String)>, StoreError> {
        let mut statement =
            self.owner.prepare("SELECT channel_id, number, sources FROM first_state ORDER BY channel_id")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut states: Vec<(i64, String, String)> = rows.collect::<Result<_, _>>()?;
        states.retain(|(channel, ..)| !self.sources.contains_key(channel));
        Ok(states)
    }

    pub(super) fn retired(&self, row: &Row) -> Result<(), EditError> {
        let (number, channel) = (row.text("number"), row.id("channel_id").and_then(|id| self.channels.get(&id)));
        if let (Some(channel), true, Ok(_)) = (channel, self.holders(number)?.is_empty(), number.parse::<GuideNumber>())
        {
            self.owner
                .prepare_cached("INSERT OR IGNORE INTO retired (number, channel_id) VALUES (?1, ?2)")?
                .execute(params![number, channel])?;
        }
        Ok(())
    }

    pub(super) fn source(&mut self, row: &Row) {
        let channel = row.id("channel_id").and_then(|id| self.channels.get(&id));
        let subscription = row.id("subscription_id").and_then(|id| self.subscriptions.get(&id));
        let (Some(channel), Some(subscription), Some(key)) = (channel, subscription, row.integer("key")) else {
            return;
        };
        let sources = self.sources.entry(*channel).or_default();
        if sources.len() < SOURCES_MAX {
            sources.push((*subscription, key));
        }
    }

    fn sources_of(&self, channel: i64) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut statement = self.owner.prepare_cached(
            "SELECT subscription_id, key FROM channel_source WHERE channel_id = ?1 ORDER BY position",
        )?;
        let rows = statement.query_map([channel], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn holder_of(&self, (subscription, key): (i64, i64)) -> Result<Option<i64>, StoreError> {
        let mut statement = self
            .owner
            .prepare_cached("SELECT channel_id FROM channel_source WHERE subscription_id = ?1 AND key = ?2")?;
        Ok(statement.query_row([subscription, key], |row| row.get(0)).optional()?)
    }

    /// Gives the channels their sources. What is nobody's then is adopted later.
    pub(super) fn end_sources(&mut self) -> Result<(), EditError> {
        let mut differing = Vec::new();
        for (channel, sources) in &self.sources {
            let has = if self.new_channels.contains(channel) { Vec::new() } else { self.sources_of(*channel)? };
            if has != *sources {
                differing.push((*channel, sources));
            }
        }
        for (channel, sources) in &differing {
            let losers = sources.iter().map(|source| self.holder_of(*source)).collect::<Result<Vec<_>, _>>()?;
            for channel in losers.into_iter().flatten().chain([*channel]) {
                if !self.new_channels.contains(&channel) {
                    touch(self.owner, channel)?;
                }
            }
        }
        for (channel, _) in differing.iter().filter(|(channel, _)| !self.new_channels.contains(channel)) {
            self.owner.prepare_cached("DELETE FROM channel_source WHERE channel_id = ?1")?.execute([channel])?;
        }
        for (channel, sources) in &differing {
            self.put_sources(*channel, sources)?;
            if self.new_channels.contains(channel) && !self.would_be_adopted(*channel, sources)? {
                touch(self.owner, *channel)?;
            }
        }
        if self.scope == Scope::Revision {
            self.first_sources()?;
        }
        Ok(())
    }

    /// Gives channels that the owner changed later than the document says what they had before. Who got some of it
    /// since then, by adoption, gives it back; where two had the same before, the older one had it first.
    fn first_sources(&self) -> Result<(), EditError> {
        let mut claimed: BTreeSet<(i64, i64)> = self.sources.values().flatten().copied().collect();
        for (channel, _, sources) in self.first_states()? {
            let mut first = Vec::new();
            for source in sources.split(' ').filter_map(|source| source.split_once(':')) {
                let (Ok(subscription), Ok(key)) = (source.0.parse(), source.1.parse()) else { continue };
                if self.has("subscription", subscription)? && claimed.insert((subscription, key)) {
                    first.push((subscription, key));
                }
            }
            if self.sources_of(channel)? != first {
                for holder in first.iter().map(|source| self.holder_of(*source)).collect::<Result<Vec<_>, _>>()? {
                    holder.map_or(Ok(()), |holder| touch(self.owner, holder))?;
                }
                self.owner.prepare_cached("DELETE FROM channel_source WHERE channel_id = ?1")?.execute([channel])?;
                self.put_sources(channel, &first)?;
            }
        }
        Ok(())
    }

    fn put_sources(&self, channel: i64, sources: &[(i64, i64)]) -> Result<(), StoreError> {
        for (position, (subscription, key)) in (0u32..).zip(sources) {
            // Whoever has it now gives it away.
            self.owner
                .prepare_cached("INSERT OR REPLACE INTO channel_source VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![channel, position, subscription, key])?;
        }
        Ok(())
    }

    /// Whether a channel would come to these sources by itself, were they gone for a while.
    fn would_be_adopted(&self, channel: i64, sources: &[(i64, i64)]) -> Result<bool, StoreError> {
        let [(subscription, key)] = sources else { return Ok(sources.is_empty()) };
        let mut statement = self.owner.prepare_cached("SELECT origin = ?2 AND key = ?3 FROM channel WHERE id = ?1")?;
        let (origin, key) = (format!("subscription:{subscription}"), key.to_string());
        Ok(statement.query_row(params![channel, origin, key], |row| row.get(0))?)
    }

    pub(super) fn of_channel(&self, table: &str, mut row: Row) -> Result<(), EditError> {
        if let Some(channel) = row.id("channel_id").and_then(|id| self.channel_here(id)) {
            row.set("channel_id", Cell::Integer(channel));
            row.insert(self.owner, table, false)?;
        }
        Ok(())
    }

    /// A revision has few channels, and the others are where they were.
    fn channel_here(&self, id: i64) -> Option<i64> {
        let known = self.channels.get(&id).copied();
        known.or_else(|| (self.scope == Scope::Revision && self.has("channel", id).unwrap_or(false)).then_some(id))
    }

    pub(super) fn overriding(&mut self, mut row: Row) -> Result<(), EditError> {
        let is_name = |text: &str| is_plain(text, NAME_BYTES_MAX) && !text.trim().is_empty();
        let is_logo = |text: &str| text.parse::<SourceUrl>().is_ok_and(|url| url.scheme().is_http());
        for (column, is_fine) in [
            ("name", is_name(row.text("name"))),
            ("grouping", is_name(row.text("grouping"))),
            ("logo", is_logo(row.text("logo"))),
        ] {
            if !is_fine && *row.cell(column) != Cell::Null {
                row.set(column, Cell::Null);
                self.restored.ignore(format!("a {column} of a channel that cannot be one"));
            }
        }
        let anchor = row.integer("moved_behind");
        let anchor = anchor.and_then(|id| if id == 0 { Some(0) } else { self.channel_here(id) });
        row.set("moved_behind", anchor.map_or(Cell::Null, Cell::Integer));
        if anchor.is_none() {
            row.set("moved_when", Cell::Null);
        }
        self.of_channel("override", row)
    }
}

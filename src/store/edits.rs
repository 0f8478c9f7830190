//! What the owner does to channels, several at once: all of it or nothing.
//!
//! Only this file changes a channel that is there. Which numbers are free is strict: one that was ever another channel's
//! is not, also on request.

use super::history::touch;
use super::listing::LIVE;
use super::owner::field;
use super::{EditError, StoreError};
use pure::limits::SOURCES_MAX;
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::ChannelId;
use pure::model::recipe::DEMO;
use pure::model::subscription::{Detail, Edit, SubscriptionId};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use std::collections::BTreeSet;

/// Changes channels; all of them or none.
pub(super) fn edit(owner: &mut Connection, channels: &[ChannelId], edit: &Edit) -> Result<(), EditError> {
    let transaction = owner.transaction()?;
    let Some(first) = channels.first() else { return Err(field("channels", "at least one id")) };
    let unique: BTreeSet<ChannelId> = channels.iter().copied().collect();
    if unique.len() != channels.len() {
        return Err(field("channels", "each id once"));
    }
    for id in channels {
        let mut statement = transaction.prepare_cached("SELECT 1 FROM channel WHERE id = ?1 AND origin <> 'demo'")?;
        if !statement.exists([id.0])? {
            return Err(field("channels", format!("there is no channel with the id {}", id.0)));
        }
    }
    let single = |name: &'static str| {
        if channels.len() == 1 { Ok(()) } else { Err(field(name, "for one channel at a time")) }
    };
    match edit {
        Edit::Name(name) => {
            single("name")?;
            set(&transaction, channels, "name", name.as_deref())?;
        }
        Edit::Group(group) => set(&transaction, channels, "grouping", group.as_deref())?,
        Edit::Logo(logo) => {
            single("logo")?;
            set(&transaction, channels, "logo", logo.as_deref())?;
        }
        Edit::Replace { part, with } => replace(&transaction, channels, part, with)?,
        Edit::NumberFrom(from) => number(&transaction, channels, *from)?,
        Edit::MoveBehind(anchor) => {
            if anchor.is_some_and(|anchor| unique.contains(&anchor)) {
                return Err(field("move_behind", "a channel that is not moved itself"));
            }
            let mut anchor = anchor.map_or(0, |anchor| anchor.0);
            let mut when: i64 =
                transaction.query_row("SELECT coalesce(max(moved_when), 0) FROM override", [], |row| row.get(0))?;
            for id in channels {
                when += 1;
                ensure_override(&transaction, *id)?;
                transaction
                    .prepare_cached("UPDATE override SET moved_behind = ?2, moved_when = ?3 WHERE channel_id = ?1")?
                    .execute(params![id.0, anchor, when])?;
                anchor = id.0;
            }
        }
        Edit::MoveBack => {
            for id in channels {
                transaction.execute(
                    "UPDATE override SET moved_behind = NULL, moved_when = NULL WHERE channel_id = ?1",
                    [id.0],
                )?;
            }
        }
        Edit::Merge => merge(&transaction, *first, channels.get(1..).unwrap_or_default())?,
        Edit::Split => {
            for id in channels {
                touch(&transaction, id.0.into())?;
                transaction.execute(
                    "DELETE FROM channel_source WHERE channel_id = ?1 AND position > (SELECT min(position)
                     FROM channel_source WHERE channel_id = ?1)",
                    [id.0],
                )?;
            }
        }
        Edit::SourceOrder(order) => {
            single("source_order")?;
            reorder(&transaction, *first, order)?;
        }
    }
    Ok(transaction.commit()?)
}

fn ensure_override(transaction: &Transaction<'_>, id: ChannelId) -> Result<(), EditError> {
    transaction.prepare_cached("INSERT OR IGNORE INTO override (channel_id) VALUES (?1)")?.execute([id.0])?;
    Ok(())
}

fn set(
    transaction: &Transaction<'_>,
    channels: &[ChannelId],
    column: &str,
    value: Option<&str>,
) -> Result<(), EditError> {
    for id in channels {
        ensure_override(transaction, *id)?;
        let mut update =
            transaction.prepare_cached(&format!("UPDATE override SET {column} = ?2 WHERE channel_id = ?1"))?;
        update.execute(params![id.0, value])?;
    }
    Ok(())
}

fn replace(transaction: &Transaction<'_>, channels: &[ChannelId], part: &str, with: &str) -> Result<(), EditError> {
    if part.is_empty() {
        return Err(field("replace", "the part must not be empty"));
    }
    for id in channels {
        let name = shown_name(transaction, *id)?;
        let new = name.replace(part, with);
        let new = new.trim();
        if new != name && !new.is_empty() && new.len() <= pure::limits::NAME_BYTES_MAX {
            set(transaction, &[*id], "name", Some(new))?;
        }
    }
    Ok(())
}

fn shown_name(transaction: &Transaction<'_>, id: ChannelId) -> Result<String, EditError> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT coalesce((SELECT name FROM override WHERE channel_id = c.id), (SELECT e.name FROM channel_source s
             JOIN listings.listing l ON l.subscription_id = s.subscription_id
             JOIN listings.entry e ON e.subscription_id = s.subscription_id AND e.key = s.key AND {LIVE}
             WHERE s.channel_id = c.id ORDER BY s.position LIMIT 1), c.name) FROM channel c WHERE c.id = ?1"
    ))?;
    Ok(statement.query_row([id.0], |row| row.get(0))?)
}

/// Numbers channels one after the other. Among themselves they may swap; nobody else's number is taken, not even one
/// that another channel had before.
fn number(transaction: &Transaction<'_>, channels: &[ChannelId], from: GuideNumber) -> Result<(), EditError> {
    let text = from.as_str();
    let wrong = || field("number_from", "numbers that fit, from a number such as 100 or 5.1 on");
    let (prefix, start) = match text.split_once('.') {
        Some((major, minor)) => (format!("{major}."), minor.parse::<u32>().map_err(|_| wrong())?),
        None => (String::new(), text.parse::<u32>().map_err(|_| wrong())?),
    };
    let mut targets = Vec::with_capacity(channels.len());
    for step in 0..channels.len() {
        let number = u32::try_from(step).ok().and_then(|step| start.checked_add(step)).ok_or_else(wrong)?;
        targets.push(format!("{prefix}{number}").parse::<GuideNumber>().map_err(|_| wrong())?);
    }
    let set: BTreeSet<u32> = channels.iter().map(|id| id.0).collect();
    for target in &targets {
        let mut holders: Vec<u32> = Vec::new();
        for table in ["SELECT id FROM channel WHERE number = ?1", "SELECT channel_id FROM retired WHERE number = ?1"] {
            let mut statement = transaction.prepare_cached(table)?;
            holders.extend(statement.query_row([target.as_str()], |row| row.get::<_, u32>(0)).optional()?);
        }
        if DEMO.iter().any(|demo| demo.number == *target) || holders.iter().any(|holder| !set.contains(holder)) {
            return Err(field("number_from", format!("{target} is or was the number of another channel")));
        }
    }
    // Out of the way first: among themselves they may swap.
    for id in channels {
        touch(transaction, id.0.into())?;
        transaction
            .prepare_cached("INSERT OR IGNORE INTO retired SELECT number, id FROM channel WHERE id = ?1")?
            .execute([id.0])?;
        transaction
            .prepare_cached("UPDATE channel SET number = ?2 WHERE id = ?1")?
            .execute(params![id.0, format!("#{}", id.0)])?;
    }
    for (id, target) in channels.iter().zip(&targets) {
        transaction
            .prepare_cached("UPDATE channel SET number = ?2 WHERE id = ?1")?
            .execute(params![id.0, target.as_str()])?;
        transaction.prepare_cached("DELETE FROM retired WHERE number = ?1")?.execute([target.as_str()])?;
    }
    Ok(())
}

fn sources_len(transaction: &Transaction<'_>, id: ChannelId) -> Result<u32, EditError> {
    let mut statement = transaction.prepare_cached("SELECT count(*) FROM channel_source WHERE channel_id = ?1")?;
    Ok(statement.query_row([id.0], |row| row.get(0))?)
}

fn merge(transaction: &Transaction<'_>, into: ChannelId, others: &[ChannelId]) -> Result<(), EditError> {
    if others.is_empty() {
        return Err(field("channels", "two channels or more"));
    }
    touch(transaction, into.0.into())?;
    for other in others {
        touch(transaction, other.0.into())?;
        transaction.execute(
            "UPDATE channel_source SET position = position + (SELECT 1 + coalesce(max(position), -1)
                 FROM channel_source WHERE channel_id = ?1), channel_id = ?1 WHERE channel_id = ?2",
            params![into.0, other.0],
        )?;
    }
    if sources_len(transaction, into)? as usize > SOURCES_MAX {
        return Err(field("channels", format!("together they have more than {SOURCES_MAX} sources")));
    }
    Ok(())
}

fn reorder(transaction: &Transaction<'_>, id: ChannelId, order: &[u32]) -> Result<(), EditError> {
    let mut statement = transaction
        .prepare_cached("SELECT subscription_id, key FROM channel_source WHERE channel_id = ?1 ORDER BY position")?;
    let rows = statement.query_map([id.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?)))?;
    let sources = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..u32::try_from(sources.len()).unwrap_or(0)) {
        return Err(field("source_order", format!("each place from 0 to {} once", sources.len().saturating_sub(1))));
    }
    touch(transaction, id.0.into())?;
    transaction.execute("DELETE FROM channel_source WHERE channel_id = ?1", [id.0])?;
    for (position, place) in order.iter().enumerate() {
        if let Some((subscription, key)) = sources.get(*place as usize) {
            transaction.execute(
                "INSERT INTO channel_source VALUES (?1, ?2, ?3, ?4)",
                params![id.0, u32::try_from(position).unwrap_or(0), subscription, key],
            )?;
        }
    }
    Ok(())
}

pub(super) fn details(owner: &Connection, channels: &[ChannelId]) -> Result<Vec<Detail>, StoreError> {
    let mut statement = owner.prepare_cached(&format!(
        "SELECT s.subscription_id, e.name, e.grouping, e.tvg_id, e.tvg_name, e.tvg_shift_min FROM channel_source s
         LEFT JOIN listings.listing l ON l.subscription_id = s.subscription_id
         LEFT JOIN listings.entry e ON e.subscription_id = s.subscription_id AND e.key = s.key AND {LIVE}
         WHERE s.channel_id = ?1 ORDER BY s.position"
    ))?;
    let mut own = owner.prepare_cached(
        "SELECT name IS NOT NULL, grouping IS NOT NULL, moved_behind IS NOT NULL FROM override WHERE channel_id = ?1",
    )?;
    let mut details = Vec::with_capacity(channels.len());
    for id in channels {
        let mut detail = Detail::default();
        let mut rows = statement.query([id.0])?;
        while let Some(row) = rows.next()? {
            let name: Option<String> = row.get(1)?;
            if detail.listed_name.is_none() {
                (detail.listed_name, detail.listed_group) = (name.clone(), row.get(2)?);
                detail.tvg_id = row.get::<_, Option<String>>(3)?.unwrap_or_default();
                detail.tvg_name = row.get::<_, Option<String>>(4)?.unwrap_or_default();
                detail.tvg_shift_min = row.get::<_, Option<i16>>(5)?.unwrap_or(0);
            }
            detail.sources.push((SubscriptionId(row.get(0)?), name));
        }
        if let Some(own) = own.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()? {
            (detail.own_name, detail.own_group, detail.moved) = own;
        }
        details.push(detail);
    }
    Ok(details)
}

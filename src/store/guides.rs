//! Which guides there are, and what the owner chose for channels. Not here: what is in a guide ([`super::guide`]), which
//! can be thrown away; this cannot.

use super::{Handle, StoreError};
use pure::limits::GUIDES_MAX;
use pure::model::guide::{Choice, Chosen, GuideId};
use pure::model::lineup::ChannelId;
use pure::rules::reach::Reach;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// Who named a guide. The first ones are asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namer {
    /// The owner, on the page.
    Owner,
    /// The settings file.
    Settings,
    /// The playlist.
    Playlist,
}

impl Namer {
    const ALL: [Self; 3] = [Self::Owner, Self::Settings, Self::Playlist];

    /// In the database and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Settings => "settings",
            Self::Playlist => "playlist",
        }
    }
}

/// A guide that somebody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guide {
    /// For life.
    pub id: GuideId,
    /// An address, or the path of a file.
    pub address: String,
    /// Who named it.
    pub namer: Namer,
    /// How far its address may lead, if the playlist named it. What the owner typed leads further, as the settings allow.
    pub reach: Reach,
    /// By how much it is moved, in seconds; later when positive.
    pub offset_s: i64,
}

impl Handle {
    /// Makes `addresses` the guides that this one names, and gives all guides, the best first. A guide keeps its id and
    /// its offset while nobody names it. Beside each stands how far it may lead, if it is a playlist that names it.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn name_guides(&self, namer: Namer, addresses: Vec<(String, Reach)>) -> Result<Vec<Guide>, StoreError> {
        if namer != Namer::Owner {
            return self.ask(move |database| name_guides(&mut database.owner, namer, &addresses)).await;
        }
        let what = "other guides named";
        self.write(what, move |database| name_guides(&mut database.owner, namer, &addresses)).await
    }

    /// All guides, the best first.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn guides(&self) -> Result<Vec<Guide>, StoreError> {
        self.ask(|database| guides(&database.owner)).await
    }

    /// Moves a guide in time.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn move_guide(&self, id: GuideId, offset_s: i64) -> Result<(), StoreError> {
        self.write("guide moved in time", move |database| {
            database.owner.execute("UPDATE guide SET offset_s = ?2 WHERE id = ?1", params![id.0, offset_s])?;
            Ok(())
        })
        .await
    }

    /// What the owner chose.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn guide_choices(&self) -> Result<BTreeMap<ChannelId, Choice>, StoreError> {
        self.ask(|database| choices(&database.owner)).await
    }

    /// Keeps what the owner chose for a channel.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn choose_guide(&self, channel: ChannelId, choice: Choice) -> Result<(), StoreError> {
        self.write("guide chosen for a channel", move |database| choose(&database.owner, channel, &choice)).await
    }
}

fn name_guides(
    database: &mut Connection,
    namer: Namer,
    addresses: &[(String, Reach)],
) -> Result<Vec<Guide>, StoreError> {
    let transaction = database.transaction()?;
    transaction.execute("UPDATE guide SET present = 0 WHERE origin = ?1", [namer.name()])?;
    for (address, reach) in addresses.iter().take(GUIDES_MAX) {
        // Whoever has it keeps it, but for the playlist: what the owner types is his.
        transaction.execute(
            "INSERT INTO guide (address, origin, present, reach) VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (address) DO UPDATE SET
                 origin = CASE WHEN present = 1 AND origin <> ?4 THEN origin ELSE excluded.origin END,
                 present = 1, reach = excluded.reach",
            [address.as_str(), namer.name(), reach.name(), Namer::Playlist.name()],
        )?;
    }
    transaction.commit()?;
    guides(database)
}

fn guides(database: &Connection) -> Result<Vec<Guide>, StoreError> {
    let mut statement = database
        .prepare_cached("SELECT id, address, origin, offset_s, reach FROM guide WHERE present = 1 ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let (origin, reach) = (row.get::<_, String>(2)?, row.get::<_, Option<String>>(4)?);
        Ok((row.get(0)?, row.get::<_, String>(1)?, origin, row.get(3)?, reach))
    })?;
    let mut guides = Vec::new();
    for row in rows {
        let (id, address, origin, offset_s, reach) = row?;
        // Of a release that knows more.
        let Some(namer) = Namer::ALL.into_iter().find(|namer| namer.name() == origin) else { continue };
        let reach = Reach::from_name(reach.as_deref().unwrap_or_default());
        guides.push(Guide { id: GuideId(id), address, namer, reach, offset_s });
    }
    guides.sort_by_key(|guide| guide.namer);
    guides.truncate(GUIDES_MAX);
    Ok(guides)
}

fn choices(database: &Connection) -> Result<BTreeMap<ChannelId, Choice>, StoreError> {
    let mut statement = database
        .prepare_cached("SELECT channel_id, guide_id, guide_channel, offset_s, offset_said FROM guide_choice")?;
    let rows = statement.query_map([], |row| {
        let (guide, channel): (Option<u32>, Option<String>) = (row.get(1)?, row.get(2)?);
        let guide = match (guide, channel) {
            (Some(guide), Some(channel)) => Chosen::Channel(GuideId(guide), channel),
            (None, Some(_)) => Chosen::Nothing,
            (_, None) => Chosen::Automatic,
        };
        // The previous release could not say that nothing was said.
        let (offset_s, was_said): (i64, bool) = (row.get(3)?, row.get(4)?);
        let offset_s = Some(offset_s).filter(|offset_s| was_said || *offset_s != 0);
        Ok((ChannelId(row.get(0)?), Choice { guide, offset_s }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn choose(database: &Connection, channel: ChannelId, choice: &Choice) -> Result<(), StoreError> {
    if *choice == Choice::default() {
        database.execute("DELETE FROM guide_choice WHERE channel_id = ?1", [channel.0])?;
        return Ok(());
    }
    let (guide, guide_channel) = match &choice.guide {
        Chosen::Automatic => (None, None),
        Chosen::Nothing => (None, Some("")),
        Chosen::Channel(guide, channel) => (Some(guide.0), Some(channel.as_str())),
    };
    database.execute(
        "INSERT INTO guide_choice (channel_id, guide_id, guide_channel, offset_s, offset_said)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (channel_id) DO UPDATE SET guide_id = ?2, guide_channel = ?3, offset_s = ?4, offset_said = ?5",
        params![channel.0, guide, guide_channel, choice.offset_s.unwrap_or(0), choice.offset_s.is_some()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Database, schema};
    use super::*;

    fn addresses(guides: &[Guide]) -> Vec<(&str, Namer)> {
        guides.iter().map(|guide| (guide.address.as_str(), guide.namer)).collect()
    }

    #[test]
    fn a_guide_keeps_its_id_and_the_owner_comes_first() {
        let folder = std::env::temp_dir().join(format!("tunerd-guides-{}", std::process::id()));
        let (Database { mut owner, .. }, _) = schema::open(&folder).unwrap();
        let name = |database: &mut Connection, namer, names: &[&str]| {
            let names: Vec<(String, Reach)> = names.iter().map(|name| ((*name).to_owned(), Reach::Private)).collect();
            name_guides(database, namer, &names).unwrap()
        };
        let first = name(&mut owner, Namer::Playlist, &["a", "b"]);
        assert_eq!(addresses(&first), [("a", Namer::Playlist), ("b", Namer::Playlist)]);
        assert!(first.iter().all(|guide| guide.reach == Reach::Private));
        let both = name(&mut owner, Namer::Owner, &["c", "b"]);
        let of_both = [("b", Namer::Owner), ("c", Namer::Owner), ("a", Namer::Playlist)];
        assert_eq!(addresses(&both), of_both, "what the playlist names as well is his, too");
        assert_eq!(addresses(&name(&mut owner, Namer::Playlist, &["b"])), of_both[..2]);
        assert_eq!(addresses(&name(&mut owner, Namer::Owner, &["c"])), of_both[1..2]);
        assert_eq!(addresses(&name(&mut owner, Namer::Playlist, &["b"])), [of_both[1], ("b", Namer::Playlist)]);
        let back = name(&mut owner, Namer::Playlist, &["a", "b"]);
        assert_eq!(back.iter().find(|guide| guide.address == "a"), first.first());

        let chosen = Choice { guide: Chosen::Channel(GuideId(2), "x".to_owned()), offset_s: Some(-60) };
        owner
            .execute_batch("INSERT INTO channel (id, origin, key, number, name, grouping, logo) VALUES (7, 'o', 'k', '1', '', '', '')")
            .unwrap();
        for choice in [
            chosen,
            Choice { guide: Chosen::Nothing, offset_s: None },
            Choice { offset_s: Some(0), ..Choice::default() },
        ] {
            choose(&owner, ChannelId(7), &choice).unwrap();
            assert_eq!(choices(&owner).unwrap(), BTreeMap::from([(ChannelId(7), choice)]));
        }
        choose(&owner, ChannelId(7), &Choice::default()).unwrap();
        assert!(choices(&owner).unwrap().is_empty());
        drop(owner);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

//! What the owner says of the box as a whole. What he does not say is as the settings have it.

use super::{EditError, Handle, StoreError, schema};
use pure::model::wishes::Wishes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use std::path::Path;

const YES: &str = "yes";

impl Handle {
    /// All of it.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn wishes(&self) -> Result<Wishes, StoreError> {
        self.ask(|database| {
            let wish = |key| read(&database.owner, key);
            Ok(Wishes {
                name: wish("name")?,
                time_zone: wish("time_zone")?,
                update_channel: wish("update_channel")?,
                update_automatic: wish("update_automatic")?.map(|wish| wish == YES),
                update_hour: wish("update_hour")?.and_then(|hour| hour.parse().ok()),
            })
        })
        .await
    }

    /// Keeps it; what is none is not said any more.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn set_wishes(&self, wishes: Wishes) -> Result<(), EditError> {
        self.write("name or place of the box changed", move |database| {
            let transaction = database.owner.transaction()?;
            let automatic = wishes.update_automatic.map(|wish| if wish { YES } else { "no" }.to_owned());
            let hour = wishes.update_hour.map(|hour| hour.to_string());
            for (key, value) in [
                ("name", wishes.name),
                ("time_zone", wishes.time_zone),
                ("update_channel", wishes.update_channel),
                ("update_automatic", automatic),
                ("update_hour", hour),
            ] {
                match value {
                    Some(value) => transaction
                        .execute("INSERT OR REPLACE INTO wish (key, value) VALUES (?1, ?2)", params![key, value])?,
                    None => transaction.execute("DELETE FROM wish WHERE key = ?1", [key])?,
                };
            }
            transaction.commit()?;
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(())
        })
        .await
    }
}

/// Where the box stands, as the store in `folder` has it; to be asked before that is opened.
pub fn time_zone(folder: &Path) -> Option<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(folder.join(schema::FILE), flags).ok()?;
    let zone = read(&database, "time_zone").ok().flatten();
    zone.filter(|zone| Wishes { time_zone: Some(zone.clone()), ..Wishes::default() }.check().is_ok())
}

fn read(database: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let mut wish = database.prepare_cached("SELECT value FROM wish WHERE key = ?1")?;
    Ok(wish.query_row([key], |row| row.get(0)).optional()?)
}

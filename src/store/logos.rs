//! Logos that were fetched once, beside the listings: those that nobody asked for longest make room.

use super::StoreError;
use pure::limits::LOGOS_BYTES_MAX;
use rusqlite::{Connection, OptionalExtension as _, params};

/// One that is kept. `day`: today; noted once a day at most, to spare the card.
pub(super) fn find(database: &Connection, fingerprint: i64, day: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = database.prepare_cached("SELECT used_day, bytes FROM logo WHERE fingerprint = ?1")?;
    let found: Option<(i64, Vec<u8>)> =
        statement.query_row([fingerprint], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if found.as_ref().is_some_and(|(used, _)| *used != day) {
        database.execute("UPDATE logo SET used_day = ?2 WHERE fingerprint = ?1", params![fingerprint, day])?;
    }
    Ok(found.map(|(_, bytes)| bytes))
}

/// Keeps one.
pub(super) fn keep(database: &mut Connection, fingerprint: i64, day: i64, bytes: &[u8]) -> Result<(), StoreError> {
    let transaction = database.transaction()?;
    transaction.execute("INSERT OR REPLACE INTO logo VALUES (?1, ?2, ?3)", params![fingerprint, day, bytes])?;
    let most = i64::try_from(LOGOS_BYTES_MAX).unwrap_or(i64::MAX);
    while transaction.query_row("SELECT coalesce(sum(length(bytes)), 0) > ?1 FROM logo", [most], |row| row.get(0))? {
        transaction.execute(
            "DELETE FROM logo WHERE fingerprint = (SELECT fingerprint FROM logo WHERE fingerprint <> ?1
             ORDER BY used_day, rowid LIMIT 1)",
            [fingerprint],
        )?;
    }
    Ok(transaction.commit()?)
}

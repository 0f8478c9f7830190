//! What is kept of the owner's secrets: his password as Argon2id made it, and digests of tokens.

use super::{Handle, StoreError, schema};
use pure::limits::TOKENS_MAX;
use pure::rules::access::Scope;
use pure::time::Wall;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::path::Path;

/// The step of the schema that brings these tables.
pub(super) const STEP: &str = "
    -- The owner's password, if he has set one, as Argon2id made it.
    CREATE TABLE password (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        salt BLOB NOT NULL,
        hash BLOB NOT NULL,
        memory_kib INTEGER NOT NULL,
        passes INTEGER NOT NULL
    ) STRICT;
    -- For programs; the token itself is shown once and known to nobody afterwards.
    CREATE TABLE token (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,            -- read or admin
        digest BLOB NOT NULL UNIQUE,    -- SHA-256
        made_at INTEGER NOT NULL,
        used_at INTEGER
    ) STRICT;
";

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// Random.
    pub salt: [u8; 16],
    /// What Argon2id made of password and salt.
    pub hash: [u8; 32],
    /// With so much memory.
    pub memory_kib: u32,
    /// In so many passes.
    pub passes: u32,
}

/// What is kept of a token.
pub struct Token {
    /// Never another one's.
    pub id: u32,
    /// What the owner calls it.
    pub name: String,
    /// What it is for.
    pub scope: Scope,
    /// SHA-256 of it.
    pub digest: [u8; 32],
    /// When it was made.
    pub made_at: Wall,
    /// When it was last used, roughly; none while it was not.
    pub used_at: Option<Wall>,
}

impl Handle {
    /// The password, if one was set, and all tokens.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn access(&self) -> Result<(Option<PasswordHash>, Vec<Token>), StoreError> {
        self.ask(|database| Ok((password(&database.owner)?, tokens(&database.owner)?))).await
    }

    /// Keeps a password; as the `first` one only where there is none. Says whether it was kept.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn set_password(&self, password: PasswordHash, first: bool) -> Result<bool, StoreError> {
        self.ask(move |database| {
            let PasswordHash { salt, hash, memory_kib, passes } = password;
            let or = if first { "IGNORE" } else { "REPLACE" };
            let set = database.owner.execute(
                &format!(
                    "INSERT OR {or} INTO password (id, salt, hash, memory_kib, passes) VALUES (1, ?1, ?2, ?3, ?4)"
                ),
                params![salt, hash, memory_kib, passes],
            )?;
            // A copy that takes the database's place must not bring an old password back.
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(set > 0)
        })
        .await
    }

    /// Keeps a token, and gives its id; none when there are enough.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn add_token(
        &self,
        name: String,
        scope: Scope,
        digest: [u8; 32],
        at: Wall,
    ) -> Result<Option<u32>, StoreError> {
        self.ask(move |database| {
            let added = database.owner.execute(
                "INSERT INTO token (name, scope, digest, made_at)
                 SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM token) < ?5",
                params![name, scope.name(), digest, at.0, TOKENS_MAX],
            )?;
            let id = u32::try_from(database.owner.last_insert_rowid()).ok().filter(|_| added > 0);
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(id)
        })
        .await
    }

    /// Forgets a token. Says whether there was one with this id.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn remove_token(&self, id: u32) -> Result<bool, StoreError> {
        self.ask(move |database| {
            let removed = database.owner.execute("DELETE FROM token WHERE id = ?1", [id])?;
            // As above.
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(removed > 0)
        })
        .await
    }

    /// Notes when a token was used.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn note_token_used(&self, id: u32, at: Wall) -> Result<(), StoreError> {
        self.ask(move |database| {
            database.owner.execute("UPDATE token SET used_at = ?2 WHERE id = ?1", params![id, at.0])?;
            Ok(())
        })
        .await
    }
}

fn password(database: &Connection) -> rusqlite::Result<Option<PasswordHash>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(PasswordHash { salt: row.get(0)?, hash: row.get(1)?, memory_kib: row.get(2)?, passes: row.get(3)? })
    };
    database.query_row("SELECT salt, hash, memory_kib, passes FROM password", [], read).optional()
}

fn tokens(database: &Connection) -> rusqlite::Result<Vec<Token>> {
    let mut statement =
        database.prepare("SELECT id, name, scope, digest, made_at, used_at FROM token ORDER BY id LIMIT ?1")?;
    let rows = statement.query_map([TOKENS_MAX], |row| {
        let (scope, used_at): (String, Option<i64>) = (row.get(2)?, row.get(5)?);
        // One of a release that knows more scopes is good for nothing here.
        Ok(Scope::find(&scope).map(|scope| {
            Ok(Token {
                id: row.get(0)?,
                name: row.get(1)?,
                scope,
                digest: row.get(3)?,
                made_at: Wall(row.get(4)?),
                used_at: used_at.map(Wall),
            })
        }))
    })?;
    rows.filter_map(Result::transpose).map(|row| row?).collect()
}

/// Removes password and tokens from the store in `folder`, while no tunerd runs there. Whoever may write the file may
/// manage the box.
///
/// # Errors
/// There is no database, or it cannot be written.
pub fn forget(folder: &Path) -> Result<(), StoreError> {
    let database = schema::open_offline(folder)?;
    // What is deleted must not be found in the file.
    database.execute_batch("PRAGMA secure_delete = ON; DELETE FROM password; DELETE FROM token;")?;
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
    schema::keep_copy(&database, folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Opened, open};

    #[tokio::test]
    async fn the_first_password_is_set_once_and_no_copy_keeps_an_old_one() {
        let folder = std::env::temp_dir().join(format!("tunerd-access-{}", std::process::id()));
        let hash = |byte: u8| PasswordHash { salt: [byte; 16], hash: [byte; 32], memory_kib: 19_456, passes: 2 };
        let Opened { handle, thread, .. } = open(&folder).unwrap();
        assert!(handle.access().await.unwrap().0.is_none());
        assert!(handle.set_password(hash(0xA1), true).await.unwrap());
        assert!(!handle.set_password(hash(0xA2), true).await.unwrap(), "somebody was first");
        assert!(handle.access().await.unwrap().0.unwrap() == hash(0xA1));
        assert!(handle.set_password(hash(0xA3), false).await.unwrap());
        let first = handle.add_token("one".to_owned(), Scope::Read, [1; 32], Wall(5)).await.unwrap().unwrap();
        let second = handle.add_token("two".to_owned(), Scope::Admin, [2; 32], Wall(6)).await.unwrap().unwrap();
        assert!(handle.remove_token(first).await.unwrap() && !handle.remove_token(first).await.unwrap());
        handle.note_token_used(second, Wall(7)).await.unwrap();
        handle.stop();
        thread.join().unwrap();
        let has = |file: &str, what: &[u8]| {
            std::fs::read(folder.join(file)).unwrap().windows(what.len()).any(|window| window == what)
        };
        assert!(has("tunerd.db.copy", &[0xA3; 32]) && !has("tunerd.db.copy", &[0xA1; 32]));

        let Opened { handle, thread, .. } = open(&folder).unwrap();
        let (password, tokens) = handle.access().await.unwrap();
        assert!(password.unwrap() == hash(0xA3));
        assert_eq!(tokens.len(), 1);
        let Token { id, name, scope, digest, made_at, used_at } = &tokens[0];
        assert_eq!((*id, name.as_str(), *scope, digest), (second, "two", Scope::Admin, &[2; 32]));
        assert_eq!((*made_at, *used_at), (Wall(6), Some(Wall(7))));
        for number in 3..=TOKENS_MAX {
            let digest = [u8::try_from(number).unwrap(); 32];
            assert!(handle.add_token("more".to_owned(), Scope::Read, digest, Wall(0)).await.unwrap().is_some());
        }
        assert!(handle.add_token("more".to_owned(), Scope::Read, [99; 32], Wall(0)).await.unwrap().is_some());
        assert!(handle.add_token("too many".to_owned(), Scope::Read, [98; 32], Wall(0)).await.unwrap().is_none());
        handle.stop();
        thread.join().unwrap();

        forget(&folder).unwrap();
        for file in ["tunerd.db", "tunerd.db.copy"] {
            assert!(!has(file, &[0xA3; 32]) && !has(file, &[2; 32]), "{file}");
        }
        let Opened { handle, thread, problem, .. } = open(&folder).unwrap();
        let (password, tokens) = handle.access().await.unwrap();
        assert!(password.is_none() && tokens.is_empty() && problem.is_none());
        handle.stop();
        thread.join().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(forget(&folder).is_err(), "there is nothing");
    }
}

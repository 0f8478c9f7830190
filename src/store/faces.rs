//! The faces of the box, as the owner wants them. The box itself is none of them: its id is kept apart.

use super::{EditError, Handle, StoreError, random_id, schema};
use pure::limits::FACES_MAX;
use pure::model::device_id::DeviceId;
use pure::model::face::{Face, FaceId, Slice, Terms, Which};
use pure::model::subscription::FieldError;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::str::FromStr as _;

/// How often a device id is thrown before nobody believes in a free one any more.
const THROWS_MAX: usize = 1_000;

impl Handle {
    /// All faces in their order.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn faces(&self) -> Result<Vec<Face>, StoreError> {
        self.ask(|database| faces(&database.owner)).await
    }

    /// Makes a face on these terms, which were checked.
    ///
    /// # Errors
    /// There are enough, or nothing was changed.
    pub async fn add_face(&self, terms: Terms) -> Result<FaceId, EditError> {
        self.write(format!("face added: {}", terms.name), move |database| {
            let id = add(&mut database.owner, &terms)?;
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(id)
        })
        .await
    }

    /// Changes the terms of a face. What clients know it by stays.
    ///
    /// # Errors
    /// There is none with this id, or nothing was changed.
    pub async fn change_face(&self, id: FaceId, terms: Terms) -> Result<(), EditError> {
        self.write(format!("face changed: {}", terms.name), move |database| {
            change(&mut database.owner, id, &terms)?;
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(())
        })
        .await
    }

    /// Removes a face. Nobody else gets its ids.
    ///
    /// # Errors
    /// There is none with this id, or nothing was changed.
    pub async fn remove_face(&self, id: FaceId) -> Result<(), EditError> {
        self.write("face removed", move |database| {
            let removed =
                database.owner.execute("UPDATE face SET present = 0 WHERE id = ?1 AND present = 1", [id.0])?;
            if removed == 0 {
                return Err(EditError::NotFound);
            }
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(())
        })
        .await
    }
}

pub(super) fn faces(database: &Connection) -> Result<Vec<Face>, StoreError> {
    let mut groups = database.prepare_cached("SELECT grouping FROM face_group WHERE face_id = ?1 ORDER BY grouping")?;
    let mut statement = database.prepare_cached(
        "SELECT id, place, device_id, name, tuners, slice, first FROM face WHERE present = 1 ORDER BY place",
    )?;
    let mut rows = statement.query([])?;
    let mut faces = Vec::new();
    while let Some(row) = rows.next()? {
        let id: u32 = row.get(0)?;
        let which = match row.get::<_, String>(5)?.as_str() {
            "all" => Which::All,
            "favorites" => Which::Favorites,
            "groups" => Which::Groups(groups.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?),
            // It is of a release that knows more: better no face than one that shows what it must not.
            _ => continue,
        };
        let Ok(device_id) = DeviceId::from_str(&row.get::<_, String>(2)?) else { continue };
        let slice = Slice { which, first: row.get(6)? };
        let terms = Terms { name: row.get(3)?, tuners: row.get(4)?, slice };
        faces.push(Face { id: FaceId(id), place: row.get(1)?, device_id, terms });
    }
    Ok(faces)
}

fn add(database: &mut Connection, terms: &Terms) -> Result<FaceId, EditError> {
    let transaction = database.transaction()?;
    let places: Vec<u8> = transaction
        .prepare_cached("SELECT place FROM face WHERE present = 1")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let Some(place) = (0..).take(FACES_MAX).find(|place| !places.contains(place)) else {
        return Err(FieldError::new("name", format!("there are {FACES_MAX} faces already; remove one")).into());
    };
    let device_id = free_id(&transaction)?;
    transaction.execute(
        "INSERT INTO face (present, place, device_id, name, tuners, slice) VALUES (1, ?1, ?2, '', 1, 'all')",
        params![place, device_id.to_string()],
    )?;
    let id = FaceId(u32::try_from(transaction.last_insert_rowid()).unwrap_or(u32::MAX));
    write(&transaction, id, terms)?;
    transaction.commit()?;
    Ok(id)
}

/// A device id that neither the box nor any face has, or ever had.
pub(super) fn free_id(database: &Connection) -> Result<DeviceId, StoreError> {
    for _ in 0..THROWS_MAX {
        let id = random_id()?;
        let known = database.query_row(
            "SELECT 1 FROM face WHERE device_id = ?1 UNION SELECT 1 FROM meta WHERE key = 'device_id' AND value = ?1",
            [id.to_string()],
            |_| Ok(()),
        );
        if known.optional()?.is_none() {
            return Ok(id);
        }
    }
    Err(StoreError("no device id is left for one more face".to_owned()))
}

fn change(database: &mut Connection, id: FaceId, terms: &Terms) -> Result<(), EditError> {
    let transaction = database.transaction()?;
    let present = transaction.query_row("SELECT present FROM face WHERE id = ?1", [id.0], |row| row.get(0));
    if !present.optional()?.unwrap_or(false) {
        return Err(EditError::NotFound);
    }
    write(&transaction, id, terms)?;
    Ok(transaction.commit()?)
}

fn write(database: &Connection, id: FaceId, terms: &Terms) -> Result<(), StoreError> {
    let Terms { name, tuners, slice: Slice { which, first } } = terms;
    let (slice, groups) = match which {
        Which::All => ("all", &[][..]),
        Which::Favorites => ("favorites", &[][..]),
        Which::Groups(groups) => ("groups", &groups[..]),
    };
    database.execute(
        "UPDATE face SET name = ?2, tuners = ?3, slice = ?4, first = ?5 WHERE id = ?1",
        params![id.0, name, tuners, slice, first],
    )?;
    database.execute("DELETE FROM face_group WHERE face_id = ?1", [id.0])?;
    for group in groups {
        database.execute("INSERT OR IGNORE INTO face_group VALUES (?1, ?2)", params![id.0, group])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Opened, open};
    use std::collections::BTreeSet;

    fn terms(name: &str) -> Terms {
        Terms { name: name.to_owned(), tuners: 2, slice: Slice::default() }
    }

    #[tokio::test]
    async fn faces_keep_their_ids_for_life_and_nobody_else_gets_them() {
        let folder = std::env::temp_dir().join(format!("tunerd-faces-{}", std::process::id()));
        let start = || open(&folder).unwrap();
        let Opened { handle, device_id: own, thread, .. } = start();
        let groups = Which::Groups(vec!["Sport".to_owned(), String::new()]);
        let narrow = Terms { slice: Slice { which: groups, first: Some(480) }, ..terms("Narrow") };
        let first = handle.add_face(terms("One")).await.unwrap();
        let second = handle.add_face(narrow.clone()).await.unwrap();
        let before = handle.faces().await.unwrap();
        assert_eq!(before.iter().map(|face| (face.id, face.place)).collect::<Vec<_>>(), [(first, 0), (second, 1)]);
        handle.change_face(first, Terms { name: "Other".to_owned(), tuners: 1, ..narrow }).await.unwrap();
        handle.stop();
        thread.join().unwrap();

        let Opened { handle, thread, .. } = start();
        let after = handle.faces().await.unwrap();
        assert_eq!(after.len(), 2);
        assert_eq!(after[1].terms.slice.which, Which::Groups(vec![String::new(), "Sport".to_owned()]));
        assert_eq!(after[0].terms.name, "Other");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((before.id, before.place, before.device_id), (after.id, after.place, after.device_id));
        }
        // One that is removed leaves its place, and nothing else.
        handle.remove_face(first).await.unwrap();
        assert!(matches!(handle.remove_face(first).await, Err(EditError::NotFound)));
        assert!(matches!(handle.change_face(first, terms("x")).await, Err(EditError::NotFound)));
        let mut ids: BTreeSet<DeviceId> = before.iter().map(|face| face.device_id).chain([own]).collect();
        assert_eq!(ids.len(), 3);
        for _ in 0..3 {
            let id = handle.add_face(terms("Another")).await.unwrap();
            assert!(id > second);
            let face = handle.faces().await.unwrap().into_iter().find(|face| face.id == id).unwrap();
            assert!(ids.insert(face.device_id), "nobody had that before");
        }
        let places: Vec<u8> = handle.faces().await.unwrap().iter().map(|face| face.place).collect();
        assert_eq!(places, [0, 1, 2, 3]);
        assert!(matches!(handle.add_face(terms("Fifth")).await, Err(EditError::Field(_))));
        handle.stop();
        thread.join().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

//! Who is told what happens, as the owner wants it, and what was told that a start must not tell again.

use super::{EditError, Handle, StoreError, schema};
use pure::limits::NOTIFICATIONS_MAX;
use pure::model::notification::{Event, Events, Notification, NotificationId, Target};
use pure::model::subscription::{FieldError, SubscriptionId};
use pure::rules::notices::Subject;
use rusqlite::{Connection, params};

impl Handle {
    /// All of them, in the order in which they were made.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn notifications(&self) -> Result<Vec<Notification>, StoreError> {
        self.ask(|database| notifications(&database.owner)).await
    }

    /// Keeps one that was checked, a new one if its id is 0.
    ///
    /// # Errors
    /// There are enough, there is none with this id, or nothing was changed.
    pub async fn put_notification(&self, notification: Notification) -> Result<NotificationId, EditError> {
        self.ask(move |database| {
            let id = put(&mut database.owner, &notification)?;
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(id)
        })
        .await
    }

    /// Removes one.
    ///
    /// # Errors
    /// There is none with this id, or nothing was changed.
    pub async fn remove_notification(&self, id: NotificationId) -> Result<(), EditError> {
        self.ask(move |database| {
            if database.owner.execute("DELETE FROM notification WHERE id = ?1", [id.0])? == 0 {
                return Err(EditError::NotFound);
            }
            schema::keep_copy(&database.owner, &database.folder).unwrap_or_default();
            Ok(())
        })
        .await
    }

    /// What was told of subscriptions.
    ///
    /// # Errors
    /// The database cannot be read, or is too busy.
    pub async fn told(&self) -> Result<Vec<Subject>, StoreError> {
        self.ask(|database| {
            let mut statement = database.owner.prepare_cached("SELECT subscription_id, event FROM notice_told")?;
            let rows = statement.query_map([], |row| Ok((SubscriptionId(row.get(0)?), row.get::<_, String>(1)?)))?;
            let all: Vec<_> = rows.collect::<Result<_, _>>()?;
            let subject = |(id, event): (SubscriptionId, String)| match Event::find(&event)? {
                Event::SourceExpires => Some(Subject::Expires(id)),
                Event::SourceExpired => Some(Subject::Expired(id)),
                _ => None,
            };
            Ok(all.into_iter().filter_map(subject).collect())
        })
        .await
    }

    /// Exactly this is told now.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn set_told(&self, told: Vec<Subject>) -> Result<(), StoreError> {
        self.ask(move |database| {
            let transaction = database.owner.transaction()?;
            transaction.execute("DELETE FROM notice_told", [])?;
            for subject in told {
                let (id, event) = match subject {
                    Subject::Expires(id) => (id, Event::SourceExpires),
                    Subject::Expired(id) => (id, Event::SourceExpired),
                    _ => continue,
                };
                transaction
                    .execute("INSERT OR IGNORE INTO notice_told VALUES (?1, ?2)", params![id.0, event.name()])?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }
}

fn notifications(database: &Connection) -> Result<Vec<Notification>, StoreError> {
    let mut statement =
        database.prepare_cached("SELECT id, name, address, events, enabled FROM notification ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        // Of a release that knows more kinds.
        let Ok(target) = Target::read(&row.get::<_, String>(2)?, None) else { continue };
        let events: Events = row.get::<_, String>(3)?.split(' ').filter_map(Event::find).collect();
        let id = NotificationId(row.get(0)?);
        all.push(Notification { id, name: row.get(1)?, target, events, enabled: row.get(4)? });
    }
    Ok(all)
}

fn put(database: &mut Connection, notification: &Notification) -> Result<NotificationId, EditError> {
    let Notification { id, name, target, events, enabled } = notification;
    let events: Vec<&str> = events.iter().map(Event::name).collect();
    let (events, address) = (events.join(" "), target.as_str());
    if id.0 != 0 {
        let changed = database.execute(
            "UPDATE notification SET name = ?2, address = ?3, events = ?4, enabled = ?5 WHERE id = ?1",
            params![id.0, name, address, events, enabled],
        )?;
        return if changed == 0 { Err(EditError::NotFound) } else { Ok(*id) };
    }
    let transaction = database.transaction()?;
    let count: u32 = transaction.query_row("SELECT count(*) FROM notification", [], |row| row.get(0))?;
    if count as usize >= NOTIFICATIONS_MAX {
        let why = format!("there are {NOTIFICATIONS_MAX} already; remove one");
        return Err(FieldError::new("url", why).into());
    }
    transaction.execute(
        "INSERT INTO notification (name, address, events, enabled) VALUES (?1, ?2, ?3, ?4)",
        params![name, address, events, enabled],
    )?;
    let id = NotificationId(u32::try_from(transaction.last_insert_rowid()).unwrap_or(u32::MAX));
    transaction.commit()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Opened, open};

    #[tokio::test]
    async fn targets_and_what_was_told_survive_a_start() {
        let folder = std::env::temp_dir().join(format!("tunerd-notifications-{}", std::process::id()));
        let Opened { handle, thread, .. } = open(&folder).unwrap();
        let target = Target::read("smtp://me:p%40ss@host/?from=a@b", None).unwrap();
        let events = [Event::Storm, Event::Outage].into_iter().collect();
        let mut mine = Notification { id: NotificationId(0), name: "Ü".to_owned(), target, events, enabled: true };
        mine.id = handle.put_notification(mine.clone()).await.unwrap();
        mine.enabled = false;
        assert_eq!(handle.put_notification(mine.clone()).await.unwrap(), mine.id);
        let told = vec![Subject::Expired(SubscriptionId(3)), Subject::Storm, Subject::Expires(SubscriptionId(4))];
        handle.set_told(told).await.unwrap();
        handle.stop();
        thread.join().unwrap();

        let Opened { handle, thread, .. } = open(&folder).unwrap();
        assert_eq!(handle.notifications().await.unwrap(), [mine.clone()]);
        let told = handle.told().await.unwrap();
        assert_eq!(told, [Subject::Expired(SubscriptionId(3)), Subject::Expires(SubscriptionId(4))]);
        handle.remove_notification(mine.id).await.unwrap();
        assert!(matches!(handle.remove_notification(mine.id).await, Err(EditError::NotFound)));
        assert!(matches!(handle.put_notification(mine.clone()).await, Err(EditError::NotFound)));
        mine.id = NotificationId(0);
        for _ in 0..NOTIFICATIONS_MAX {
            handle.put_notification(mine.clone()).await.unwrap();
        }
        assert!(matches!(handle.put_notification(mine).await, Err(EditError::Field(_))));
        handle.stop();
        thread.join().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

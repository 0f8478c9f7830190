//! Undo, backup and restore. What comes back is shown at once: subscriptions, channels, faces and guides follow without a
//! restart.

use super::desk::to_the_end;
use super::{Error, Handle, adopt, faces, recall_marks, reload, wishes};
use crate::store::{Restored, Revision};
use pure::model::subscription::SubscriptionId;

impl Handle {
    /// The number of what the owner chose; another one after each of his writes that changed anything.
    pub fn revision(&self) -> u64 {
        self.0.rooms.store.revision()
    }

    /// What can be had back, the newest first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revisions(&self) -> Result<Vec<Revision>, Error> {
        Ok(self.0.rooms.store.revisions().await?)
    }

    /// Puts everything back to what it was. That can be undone as well.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn restore_revision(&self, number: u64) -> Result<Restored, Error> {
        let store = self.0.rooms.store.clone();
        self.replace(async move { Ok(store.restore_revision(number).await?) }).await
    }

    /// All that the owner chose, in a file that only this password opens.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn backup(&self, password: String) -> Result<Vec<u8>, Error> {
        Ok(self.0.rooms.store.backup(password).await?)
    }

    /// Makes everything what a backup says.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn restore(&self, file: Vec<u8>, password: String) -> Result<Restored, Error> {
        let store = self.0.rooms.store.clone();
        self.replace(async move { Ok(store.restore(file, password).await?) }).await
    }

    async fn replace(&self, work: impl Future<Output = Result<Restored, Error>> + 'static) -> Result<Restored, Error> {
        let handle = self.clone();
        to_the_end(async move {
            let restored = {
                // What is being fetched may be of a subscription that goes.
                handle.abort();
                let _importing = handle.0.importing.lock().await;
                let _adopting = handle.0.adopting.lock().await;
                work.await?
            };
            // Before the channels: what is hidden must not be shown for a moment.
            recall_marks(&handle).await;
            wishes::recall(&handle).await;
            faces::recall(&handle).await;
            handle.0.guides.recall().await;
            reload(&handle).await;
            let ids: Vec<SubscriptionId> = handle.0.jobs.borrow().keys().copied().collect();
            for id in ids {
                // What is nobody's source any more is a channel again.
                adopt(&handle, id).await;
            }
            for id in restored.to_fetch() {
                if let Some(job) = handle.0.jobs.borrow_mut().get_mut(&id).filter(|job| job.can_fetch()) {
                    job.failures = 0;
                    job.queue();
                }
            }
            // The settings have the last word on theirs, and whoever was given up gets another turn.
            handle.0.to_follow.set(true);
            handle.settle(None).await;
            Ok(restored)
        })
        .await
    }
}

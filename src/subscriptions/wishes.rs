//! What the owner says of the box as a whole, and who wants to know when that changes.

use super::desk::to_the_end;
use super::{Error, Handle};
use crate::observe::problems::Topic;
use pure::model::wishes::Wishes;
use std::cell::RefCell;
use tokio::sync::watch;

/// What he says now.
pub(super) struct Said {
    now: RefCell<Wishes>,
    changed: watch::Sender<()>,
}

impl Said {
    pub(super) fn new() -> Self {
        Self { now: RefCell::default(), changed: watch::Sender::new(()) }
    }
}

impl Handle {
    /// What he says.
    pub fn wishes(&self) -> Wishes {
        self.0.said.now.borrow().clone()
    }

    /// Tells when that is something else.
    pub fn wish_changes(&self) -> watch::Receiver<()> {
        self.0.said.changed.subscribe()
    }

    /// He says something else.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn wish(&self, wishes: Wishes) -> Result<(), Error> {
        wishes.check().map_err(Error::Field)?;
        let handle = self.clone();
        to_the_end(async move {
            handle.0.rooms.store.set_wishes(wishes).await?;
            recall(&handle).await;
            Ok(())
        })
        .await
    }
}

/// Takes what is stored, and has everybody know.
pub(super) async fn recall(handle: &Handle) {
    match handle.0.rooms.store.wishes().await {
        // What came out of a backup was never asked for.
        Ok(wishes) => {
            let wishes = Some(wishes).filter(|wishes| wishes.check().is_ok()).unwrap_or_default();
            *handle.0.said.now.borrow_mut() = wishes;
            handle.0.said.changed.send_replace(());
        }
        Err(error) => {
            let text = format!("What you say of the box could not be read: {error}");
            handle.0.rooms.problems.set(Topic::Store, text);
        }
    }
}

//! What the owner asks for: subscriptions, groups, change sets, channels. Whatever changes is shown at once.

use super::document::too_large;
use super::intake::{Intake, M3u};
use super::{Handle, Job, State, adopt, reload, show, tell_failures};
use crate::clock;
use crate::store::{EditError, StoreError};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use hyper::body::Bytes;
use pure::limits::PLAYLIST_BYTES_MAX;
use pure::model::lineup::{ChannelId, Mark};
use pure::model::subscription::{
    ChangeSet, Decision, Detail, Difference, Edit, Facts, FieldError, Group, Kind, ListedEntry, Listing, Subscription,
    SubscriptionId,
};
use std::fmt;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// What was asked is wrong, and in which field.
    Field(FieldError),
    /// There is no such thing.
    NotFound,
    /// Not now, and why.
    Later(String),
}

impl From<EditError> for Error {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Field(error) => Self::Field(error),
            EditError::NotFound => Self::NotFound,
            EditError::Store(error) => Self::Later(error.to_string()),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(FieldError { field, why }) => write!(f, "{field}: {why}"),
            Self::NotFound => f.write_str("there is no such thing"),
            Self::Later(why) => f.write_str(why),
        }
    }
}

/// A subscription, as a page shows it.
#[derive(Clone, Debug)]
pub struct View {
    /// As the owner has it. With secrets: who shows it leaves them out.
    pub subscription: Subscription,
    /// What it lists.
    pub listing: Listing,
    /// Whether it is being refreshed, or will be at once.
    pub in_progress: bool,
    /// How far that is, in percent.
    pub progress: u8,
    /// Entries left out of the last refresh.
    pub skipped: u32,
    /// Why the first of them was.
    pub first_skipped: Option<String>,
    /// Why the last refresh failed.
    pub error: Option<String>,
    /// How many channels the owner wants in all, if these are too many.
    pub too_many: Option<usize>,
    /// When it is refreshed next, in seconds.
    pub next_in_s: Option<u64>,
}

impl Handle {
    fn view(&self, job: &Job) -> View {
        let is_running = job.state == State::Running;
        View {
            subscription: job.subscription.clone(),
            listing: job.listing.clone(),
            in_progress: job.state != State::Idle,
            progress: if is_running { self.0.progress.percent.get() } else { 0 },
            skipped: job.skipped,
            first_skipped: job.first_skipped.clone(),
            error: job.error.clone(),
            too_many: job.too_many,
            next_in_s: job.due.map(|due| due.ms_since(clock::mono()).div_ceil(1_000)),
        }
    }

    /// All subscriptions.
    pub fn list(&self) -> Vec<View> {
        self.0.jobs.borrow().values().map(|job| self.view(job)).collect()
    }

    /// One of them.
    pub fn find(&self, id: SubscriptionId) -> Option<View> {
        self.0.jobs.borrow().get(&id).map(|job| self.view(job))
    }

    /// Keeps a subscription, a new one if its id is 0, and refreshes it.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn put(&self, mut subscription: Subscription) -> Result<SubscriptionId, Error> {
        subscription.check().map_err(Error::Field)?;
        let handle = self.clone();
        to_the_end(async move {
            let id = handle.0.rooms.store.put(subscription).await?;
            reload(&handle).await;
            if let Some(job) = handle.0.jobs.borrow_mut().get_mut(&id).filter(|job| job.can_fetch()) {
                job.failures = 0;
                job.queue();
            }
            handle.settle(None).await;
            Ok(id)
        })
        .await
    }

    /// Removes a subscription. Its channels stay known, in case it comes back.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed. The settings' one is theirs to remove.
    pub async fn remove(&self, id: SubscriptionId) -> Result<(), Error> {
        let view = self.find(id).ok_or(Error::NotFound)?;
        if view.subscription.from_settings {
            return Err(Error::Field(FieldError::new("id", "take the playlist out of the settings instead")));
        }
        self.cancel(id)?;
        let handle = self.clone();
        to_the_end(async move {
            {
                let _importing = handle.0.importing.lock().await;
                handle.0.rooms.store.remove(id).await?;
            }
            handle.settle(None).await;
            Ok(())
        })
        .await
    }

    /// Refreshes one now.
    ///
    /// # Errors
    /// [`Error`]: there is none, or there is nowhere to fetch it from.
    pub fn refresh_now(&self, id: SubscriptionId) -> Result<(), Error> {
        let mut jobs = self.0.jobs.borrow_mut();
        let job = jobs.get_mut(&id).ok_or(Error::NotFound)?;
        if !job.can_fetch() {
            return Err(Error::Field(FieldError::new(
                "id",
                "it is uploaded or switched off; there is nothing to fetch",
            )));
        }
        job.queue();
        self.0.wanted.notify_one();
        Ok(())
    }

    /// Gives up a refresh that is going on or waits.
    ///
    /// # Errors
    /// There is no such subscription.
    pub fn cancel(&self, id: SubscriptionId) -> Result<(), Error> {
        let mut jobs = self.0.jobs.borrow_mut();
        let job = jobs.get_mut(&id).ok_or(Error::NotFound)?;
        match job.state {
            State::Idle => {}
            State::Queued => job.state = State::Idle,
            State::Running => self.0.unwanted.notify_waiters(),
        }
        Ok(())
    }

    /// Takes a playlist that somebody brings.
    ///
    /// # Errors
    /// [`Error`]: what was there before stays.
    pub async fn upload<B>(&self, id: SubscriptionId, mut body: B) -> Result<u32, Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let view = self.find(id).ok_or(Error::NotFound)?;
        if view.subscription.kind != Kind::Upload {
            return Err(Error::Field(FieldError::new("id", "it is fetched, not uploaded")));
        }
        let wrong = |why: String| Error::Field(FieldError::new("body", why));
        let importing = self.0.importing.lock().await;
        self.0.progress.restart(view.listing.entries);
        let mut intake = Intake::new(&self.0.rooms.store, id, &self.0.progress);
        let reach = self.0.rooms.fetcher.typed();
        intake.reach = reach;
        let mut playlist = M3u::new(&mut intake);
        let mut left = PLAYLIST_BYTES_MAX;
        let whole = body.size_hint().exact();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| wrong("it broke off in the middle".to_owned()))?;
            if let Ok(bytes) = frame.into_data() {
                left = left.checked_sub(bytes.len()).ok_or_else(|| wrong(too_large(PLAYLIST_BYTES_MAX as u64)))?;
                playlist.push(&bytes, whole).await.map_err(wrong)?;
                tokio::task::yield_now().await;
            }
        }
        let (guides, summary) = playlist.finish().await.map_err(wrong)?;
        let skipped = (intake.skipped, intake.first_skipped.take());
        let facts = Facts { at: clock::wall(), guides, reach, ..Facts::default() };
        super::store_all(self, &view.subscription, facts).await?;
        drop(importing);
        let handle = self.clone();
        to_the_end(async move {
            if let Some(job) = handle.0.jobs.borrow_mut().get_mut(&id) {
                ((job.skipped, job.first_skipped), job.error) = (skipped, None);
            }
            handle.settle(Some(id)).await;
            Ok(summary.entries)
        })
        .await
    }

    // ---- Groups and entries -----------------------------------------------------------------------------------------

    /// The groups that a subscription lists.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn groups(&self, id: SubscriptionId) -> Result<Vec<Group>, Error> {
        Ok(self.0.rooms.store.groups(id).await?)
    }

    /// Ticks exactly these groups, or with `None` says that everything is wanted.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn tick(&self, id: SubscriptionId, groups: Option<Vec<String>>) -> Result<(), Error> {
        let handle = self.clone();
        to_the_end(async move {
            handle.0.rooms.store.tick(id, groups).await?;
            handle.settle(Some(id)).await;
            Ok(())
        })
        .await
    }

    /// From which number on new channels of a group are numbered.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn set_range(&self, id: SubscriptionId, group: String, from: Option<u32>) -> Result<(), Error> {
        Ok(self.0.rooms.store.set_range(id, group, from).await?)
    }

    /// Entries after a position, and where to go on.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn entries(
        &self,
        id: SubscriptionId,
        group: Option<String>,
        search: String,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<ListedEntry>, Option<i64>), Error> {
        let (mut found, mut next) = self.0.rooms.store.entries(id, group, search, after, limit).await?;
        if let Some(last) = found.len().checked_sub(limit + 1).and_then(|_| found.get(limit - 1)) {
            next = Some(last.position);
            found.truncate(limit);
        }
        Ok((found, next))
    }

    // ---- Change sets ------------------------------------------------------------------------------------------------

    /// Change sets of a subscription, the newest first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn change_sets(&self, id: SubscriptionId) -> Result<Vec<ChangeSet>, Error> {
        self.find(id).ok_or(Error::NotFound)?;
        Ok(self.0.rooms.store.change_sets(id).await?)
    }

    /// What is in one of them, after a position, and where to go on.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn differences(
        &self,
        id: SubscriptionId,
        batch: i64,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<Difference>, Option<i64>), Error> {
        self.find(id).ok_or(Error::NotFound)?;
        Ok(self.0.rooms.store.differences(id, batch, after, limit).await?)
    }

    /// Decides on the newest change set.
    ///
    /// # Errors
    /// [`Error`]: there is none to decide on, or nothing was changed.
    pub async fn decide(&self, id: SubscriptionId, decision: Decision) -> Result<(), Error> {
        let handle = self.clone();
        to_the_end(async move {
            {
                let _importing = handle.0.importing.lock().await;
                handle.0.rooms.store.decide(id, decision).await?;
            }
            handle.settle(Some(id)).await;
            Ok(())
        })
        .await
    }

    // ---- Channels ---------------------------------------------------------------------------------------------------

    /// Changes channels; all of them or none.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn edit(&self, channels: Vec<ChannelId>, edit: Edit) -> Result<(), Error> {
        let (is_split, handle) = (edit == Edit::Split, self.clone());
        to_the_end(async move {
            handle.0.rooms.store.edit(channels, edit).await?;
            let ids: Vec<SubscriptionId> = handle.0.jobs.borrow().keys().copied().filter(|_| is_split).collect();
            for id in ids {
                // What is a source no more is a channel again.
                adopt(&handle, id).await;
            }
            handle.settle(None).await;
            Ok(())
        })
        .await
    }

    /// What the owner thinks of several channels.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn mark_channels(&self, channels: Vec<ChannelId>, mark: Mark) -> Result<(), Error> {
        Ok(self.mark_all(channels, mark).await?)
    }

    /// What is known of channels besides their place in the lineup.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn details(&self, channels: Vec<ChannelId>) -> Result<Vec<Detail>, Error> {
        Ok(self.0.rooms.store.details(channels).await?)
    }

    /// Shows what changed.
    pub(super) async fn settle(&self, adopting: Option<SubscriptionId>) {
        reload(self).await;
        if let Some(id) = adopting {
            adopt(self, id).await;
        }
        if super::has_jobs(self) {
            show(self).await;
        } else {
            self.0.to_show.set(true);
        }
        tell_failures(self);
        self.0.wanted.notify_one();
    }
}

/// Does something as a whole, even if who asked leaves in the middle: what is stored must also be shown.
pub(super) async fn to_the_end<T: 'static>(work: impl Future<Output = Result<T, Error>> + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_local(work).await;
    done.unwrap_or_else(|_| Err(Error::Later("it broke off".to_owned())))
}

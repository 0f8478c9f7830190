//! Tells people elsewhere what happens here: looks at channels, subscriptions and alarms, and sends messages.
//!
//! When something is worth a message, and when it is tried again: `pure::rules::notices`. The words: `texts`; how a
//! message gets there: `deliver` and `smtp`. One message at a time is on its way to each place; each try has a deadline,
//! and what waits is bounded, so that a place that never answers costs nothing but its own messages.

mod deliver;
mod smtp;
mod texts;

use crate::clock;
use crate::engine;
use crate::fetch::Fetcher;
use crate::observe::problems::Problems;
use crate::store;
use crate::subscriptions::{self, Error, View as SourceView};
use pure::limits::{
    EXPIRES_SOON_S, NOTICE_LOOK_MS, NOTICE_SEND_MS, NOTICE_SUBJECTS_MAX, NOTICES_PERIOD_MS, NOTICES_TARGET_BURST,
};
use pure::model::lineup::ChannelId;
use pure::model::notification::{Event, Notification, NotificationId, Target};
use pure::model::subscription::SubscriptionId;
use pure::rules::alarms::Alarm;
use pure::rules::breaker::BreakerState;
use pure::rules::bucket::Bucket;
use pure::rules::notices::{Notices, Outbox, Sent, Subject, Timing};
use pure::time::Wall;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use texts::Message;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The rooms that we work with.
#[derive(Clone)]
pub struct Rooms {
    /// Where it is kept who is told what.
    pub store: store::Handle,
    /// Whose channels may fall ill.
    pub engine: engine::Handle,
    /// Whose sources may fail or end.
    pub subscriptions: subscriptions::Handle,
    /// Alarms.
    pub problems: Problems,
    /// Who sends.
    pub fetcher: Fetcher,
}

/// Which box a message is from.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What clients call it.
    pub name: String,
    /// Where its page is.
    pub address: String,
}

/// A place that is told what happens, as a page shows it.
#[derive(Clone, Debug)]
pub struct View {
    /// As the owner has it. With secrets: who shows it leaves them out.
    pub notification: Notification,
    /// When the last message got there, since the start.
    pub sent_at: Option<Wall>,
    /// When the last try failed, and why; none once one went well again.
    pub failed: Option<(Wall, String)>,
    /// Messages that wait.
    pub waiting: usize,
}

/// A place and what it is still to be told.
struct Place {
    notification: Notification,
    outbox: RefCell<Outbox<Rc<Message>>>,
    is_busy: Cell<bool>,
    sent_at: Cell<Option<Wall>>,
    failed: RefCell<Option<(Wall, String)>>,
}

struct Shared {
    rooms: Rooms,
    timing: Timing,
    places: RefCell<BTreeMap<NotificationId, Rc<Place>>>,
    /// What others say has happened.
    happened: RefCell<heapless::Deque<(Event, String), 8>>,
    /// How often people may try.
    trials: RefCell<Bucket>,
    wanted: Notify,
}

/// The notifications, as others see them.
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

impl Handle {
    /// Nobody is told anything before [`run`].
    pub fn new(rooms: Rooms, timing: Timing) -> Self {
        Self(Rc::new(Shared {
            rooms,
            timing,
            places: RefCell::default(),
            happened: RefCell::default(),
            trials: RefCell::new(Bucket::new(NOTICES_PERIOD_MS / 10, NOTICES_TARGET_BURST)),
            wanted: Notify::new(),
        }))
    }

    /// Everybody who is told something.
    pub fn list(&self) -> Vec<View> {
        let view = |place: &Rc<Place>| View {
            notification: place.notification.clone(),
            sent_at: place.sent_at.get(),
            failed: place.failed.borrow().clone(),
            waiting: place.outbox.borrow().len(),
        };
        self.0.places.borrow().values().map(view).collect()
    }

    /// One of them.
    pub fn find(&self, id: NotificationId) -> Option<Notification> {
        self.0.places.borrow().get(&id).map(|place| place.notification.clone())
    }

    /// Keeps one, a new one if its id is 0.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn put(&self, notification: Notification) -> Result<NotificationId, Error> {
        notification.check().map_err(Error::Field)?;
        let id = self.0.rooms.store.put_notification(notification).await?;
        reload(self).await?;
        Ok(id)
    }

    /// Removes one. What it was still to be told is forgotten.
    ///
    /// # Errors
    /// [`Error`]: nothing was changed.
    pub async fn remove(&self, id: NotificationId) -> Result<(), Error> {
        self.0.rooms.store.remove_notification(id).await?;
        reload(self).await
    }

    /// Sends a message now, and says in words how that went; the first is whether it is there.
    ///
    /// # Errors
    /// [`Error`]: there is no such place, or somebody tries too often.
    pub async fn test(&self, id: NotificationId, identity: &Identity) -> Result<(bool, String), Error> {
        let place = self.0.places.borrow().get(&id).cloned().ok_or(Error::NotFound)?;
        if !self.0.trials.borrow_mut().take(clock::mono()) {
            return Err(Error::Later("notifications are tried too often".to_owned()));
        }
        let message = texts::test(identity);
        Ok(match send(&self.0.rooms.fetcher, &place, &message, 0).await {
            Ok(said) => (true, said),
            Err((_, why)) => (false, why),
        })
    }

    /// Something that happens once has happened, to a thing of this name: an update.
    pub fn happened(&self, event: Event, thing: String) {
        let mut happened = self.0.happened.borrow_mut();
        if happened.is_full() {
            drop(happened.pop_front());
        }
        drop(happened.push_back((event, thing)));
        self.0.wanted.notify_one();
    }

    fn has_listeners(&self) -> bool {
        self.0.places.borrow().values().any(|place| place.notification.enabled)
    }
}

/// Reads them as they are stored; what goes on with those that did not change stays.
async fn reload(handle: &Handle) -> Result<(), Error> {
    let stored = handle.0.rooms.store.notifications().await?;
    let mut places = handle.0.places.borrow_mut();
    let mut old = std::mem::take(&mut *places);
    for notification in stored {
        let known = old.remove(&notification.id).filter(|place| place.notification == notification);
        let place = known.unwrap_or_else(|| {
            Rc::new(Place {
                notification,
                outbox: RefCell::default(),
                is_busy: Cell::new(false),
                sent_at: Cell::new(None),
                failed: RefCell::default(),
            })
        });
        places.insert(place.notification.id, place);
    }
    handle.0.wanted.notify_one();
    Ok(())
}

/// Looks, tells, and tries again; never ends. `identity` says which box this is now.
pub async fn run(handle: Handle, identity: impl Fn() -> Identity) {
    if let Err(error) = reload(&handle).await {
        tracing::error!("nobody is told what happens: {error}");
    }
    let mut watch = Watch {
        notices: Notices::new(clock::mono(), handle.0.timing),
        whose: BTreeMap::new(),
        remembered: handle.0.rooms.store.told().await.unwrap_or_default(),
    };
    watch.notices.recall(clock::mono(), watch.remembered.iter().copied());
    // It ends with us, and what is on its way with it.
    let mut sending = JoinSet::new();
    loop {
        if handle.has_listeners() {
            for message in watch.look(&handle, &identity).await {
                tell(&handle, &Rc::new(message));
            }
        } else {
            // Whoever comes later is not told old news.
            handle.0.happened.borrow_mut().clear();
        }
        while sending.try_join_next().is_some() {}
        start_sending(&handle, &mut sending);
        tokio::select! {
            () = handle.0.wanted.notified() => {}
            () = clock::pause(NOTICE_LOOK_MS), if handle.has_listeners() => {}
        }
    }
}

// ---- Looking --------------------------------------------------------------------------------------------------------

/// What is watched, and what was told of it.
struct Watch {
    notices: Notices,
    /// Which subscription an ill channel is of.
    whose: BTreeMap<ChannelId, Option<SubscriptionId>>,
    /// What the store has of what was told.
    remembered: Vec<Subject>,
}

impl Watch {
    /// Looks at everything once, and makes messages of what is due.
    async fn look(&mut self, handle: &Handle, identity: &impl Fn() -> Identity) -> Vec<Message> {
        let Rooms { engine, subscriptions, problems, store, .. } = &handle.0.rooms;
        let (now, sources) = (clock::mono(), subscriptions.list());
        let mut wrong = BTreeMap::new();
        wrong.extend(of_sources(&sources));
        let levels = problems.levels();
        let is_raised = |alarm: Alarm| levels.iter().any(|(name, level)| *name == alarm.name() && level.is_some());
        wrong.extend(is_raised(Alarm::RestartStorm).then_some((Subject::Storm, None)));
        wrong.extend(is_raised(Alarm::UpstreamOutage).then_some((Subject::Outage, None)));
        let ill = ill_channels(engine);
        self.find_out_whose(subscriptions, &ill).await;
        wrong.extend(ill.iter().map(|id| (Subject::Channel(*id), self.whose.get(id).copied().flatten())));
        self.notices.look(now, &wrong);

        let facts = texts::Facts { engine, sources: &sources, identity: identity() };
        let mut messages = Vec::new();
        while let Some(notice) = self.notices.take(now) {
            messages.push(texts::of_notice(&notice, &facts));
        }
        let happened = std::mem::take(&mut *handle.0.happened.borrow_mut());
        messages.extend(happened.into_iter().map(|(event, thing)| texts::of_news(event, &thing, &facts)));
        let told: Vec<Subject> = self.notices.told().collect();
        if told != self.remembered && store.set_told(told.clone()).await.is_ok() {
            self.remembered = told;
        }
        messages
    }

    /// Asks once for each channel that falls ill.
    async fn find_out_whose(&mut self, subscriptions: &subscriptions::Handle, ill: &[ChannelId]) {
        self.whose.retain(|id, _| ill.binary_search(id).is_ok());
        let fresh: Vec<ChannelId> = ill.iter().copied().filter(|id| !self.whose.contains_key(id)).collect();
        if fresh.is_empty() {
            return;
        }
        // A store that is busy is asked again the next time; till then it is nobody's.
        if let Ok(details) = subscriptions.details(fresh.clone()).await {
            let of = details.into_iter().map(|detail| detail.sources.first().map(|(id, _)| *id));
            self.whose.extend(fresh.into_iter().zip(of));
        }
    }
}

/// Channels that cannot be played: each of their sources rests, or is just tried. In order.
fn ill_channels(engine: &engine::Handle) -> Vec<ChannelId> {
    let Some(lineup) = engine.lineup() else { return Vec::new() };
    let mut resting: BTreeMap<ChannelId, usize> = BTreeMap::new();
    for view in engine.channels().iter().filter(|view| view.state != BreakerState::Closed) {
        *resting.entry(view.channel).or_default() += 1;
    }
    let is_ill = |(id, resting): &(ChannelId, usize)| lineup.by_id(*id).is_some_and(|it| it.sources.len() <= *resting);
    resting.into_iter().filter(is_ill).map(|(id, _)| id).take(NOTICE_SUBJECTS_MAX).collect()
}

fn of_sources(sources: &[SourceView]) -> BTreeMap<Subject, Option<SubscriptionId>> {
    let mut wrong = BTreeMap::new();
    for view in sources.iter().filter(|view| view.subscription.enabled) {
        let id = view.subscription.id;
        if view.error.is_some() {
            wrong.insert(Subject::Failing(id), Some(id));
        }
        // A board that does not know the time yet knows no end either.
        let ends = view.listing.account.expires_at.filter(|_| clock::wall_is_plausible());
        match ends.map(|ends| ends.0.saturating_sub(clock::wall().0)) {
            Some(..=0) => drop(wrong.insert(Subject::Expired(id), Some(id))),
            Some(..=EXPIRES_SOON_S) => drop(wrong.insert(Subject::Expires(id), Some(id))),
            _ => {}
        }
    }
    wrong
}

// ---- Sending --------------------------------------------------------------------------------------------------------

fn tell(handle: &Handle, message: &Rc<Message>) {
    for place in handle.0.places.borrow().values() {
        if place.notification.enabled && place.notification.events.has(message.event) {
            place.outbox.borrow_mut().push(Rc::clone(message));
        }
    }
}

fn start_sending(handle: &Handle, sending: &mut JoinSet<()>) {
    let now = clock::mono();
    let places = handle.0.places.borrow();
    for place in places.values().filter(|place| place.notification.enabled && !place.is_busy.get()) {
        let started = place.outbox.borrow_mut().start(now).map(|(message, left_out)| (Rc::clone(message), left_out));
        let Some((message, left_out)) = started else { continue };
        place.is_busy.set(true);
        let (place, fetcher) = (Rc::clone(place), handle.0.rooms.fetcher.clone());
        sending.spawn_local(async move {
            let sent = match send(&fetcher, &place, &message, left_out).await {
                Ok(_) => Sent::Done,
                Err((sent, _)) => sent,
            };
            let given_up = place.outbox.borrow_mut().tried(clock::mono(), sent);
            place.is_busy.set(false);
            if given_up {
                let (id, why) = (place.notification.id.0, place.failed.borrow().clone().map(|(_, why)| why));
                tracing::warn!(
                    notification = id,
                    event = message.event.name(),
                    "notification given up: {}",
                    why.unwrap_or_default()
                );
            }
        });
    }
}

/// Sends one message, and notes how that went. The words are for people, and name no secret.
async fn send(fetcher: &Fetcher, place: &Place, message: &Message, left_out: u32) -> Result<String, (Sent, String)> {
    let limit = Duration::from_millis(NOTICE_SEND_MS);
    let target: &Target = &place.notification.target;
    let sending = deliver::deliver(fetcher, target, message, left_out);
    let took_too_long = |_| (Sent::Later(None), format!("it took longer than {} seconds", NOTICE_SEND_MS / 1_000));
    let sent = tokio::time::timeout(limit, sending).await.map_err(took_too_long).and_then(|sent| sent);
    match &sent {
        Ok(_) => {
            place.sent_at.set(Some(clock::wall()));
            place.failed.replace(None);
        }
        Err((_, why)) => drop(place.failed.replace(Some((clock::wall(), why.clone())))),
    }
    sent
}

//! A look at a channel in the page itself: a viewer like any other to the pool, who is given segments of the ring.
//!
//! There is one at a time. It gives way to whoever asks for a tuner and would be refused because of it, see
//! `super::supervisor`; it ends when nobody asks for its playlist any more, and after two minutes in any case.
//!
//! Not here: what a segment is (`relay/segments.rs`), and how playlist and segments are given out
//! (`doors::http::preview`).

use super::relay::Relay;
use super::relay::segments::{Place, Segment};
use super::{Handle, Viewer};
use crate::clock;
use pure::limits::{
    PREVIEW_AHEAD, PREVIEW_BEHIND, PREVIEW_IDLE_MS, PREVIEW_MS_MAX, PREVIEW_NEWS_MS_MAX, PREVIEW_SEGMENTS_MIN,
    PREVIEW_START_MS_MAX, PREVIEW_STEP_MS,
};
use pure::model::face::Share;
use pure::model::lineup::ChannelId;
use pure::model::profile::Profile;
use pure::rules::encoders::Cannot;
use pure::rules::pool::Refusal;
use pure::time::Mono;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

/// What is shown: H.264 and AAC, which every browser plays, in a picture as large as a dialog.
pub(super) const PROFILE: Profile = Profile::Internet360;

/// Why there is no preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// The pool said no.
    Refused(Refusal),
    /// It is not known yet what can encode.
    Untried,
    /// No encoder can do it.
    Cannot(Cannot),
    /// It began, and is over.
    Over(Over),
}

/// Why a preview is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Who looked has closed it.
    Closed,
    /// Nobody asked for its playlist any more.
    Left,
    /// It has lasted for as long as it may.
    TimeUp,
    /// Somebody needed the tuner, or wanted another preview.
    GaveWay,
    /// Its channel plays no longer.
    Ended,
    /// There were no segments in time.
    Late,
}

/// A preview, also for a while after its end.
pub struct Preview {
    /// Never given twice.
    pub id: u64,
    relay: Rc<Relay>,
    viewer: RefCell<Option<Viewer>>,
    place: Cell<Place>,
    asked_at: Cell<Mono>,
    /// The newest segment that a player was told of.
    told: Cell<Option<u64>>,
    ends_at: Mono,
    over: Cell<Option<Over>>,
}

impl Handle {
    /// Begins a preview of a channel of the present lineup, in place of any other; returns once there is something to
    /// see.
    ///
    /// # Errors
    /// [`No`], within [`pure::limits::TUNE_DEADLINE_MS`] and [`PREVIEW_START_MS_MAX`].
    pub async fn preview(&self, channel: ChannelId, peer: SocketAddr) -> Result<Rc<Preview>, No> {
        let Some(encoding) = &self.0.encoding else { return Err(No::Cannot(Cannot::NoEncoder)) };
        match encoding.choose(channel, PROFILE) {
            Ok(_) | Err(Cannot::Busy) => {}
            Err(_) if encoding.can_transcode().is_none() => return Err(No::Untried),
            Err(cannot) => return Err(No::Cannot(cannot)),
        }
        let asked = self.ask(channel, PROFILE, None, Share::BOX, peer, true);
        let id = asked.as_ref().map_or(0, |asked| asked.seat.viewer.0);
        let viewer = self.answered(asked).await.map_err(No::Refused)?;
        let (relay, now) = (viewer.cursor.relay(), clock::mono());
        let place = Cell::new(relay.place(PREVIEW_BEHIND));
        let viewer = RefCell::new(Some(viewer));
        let ends_at = now.plus_ms(PREVIEW_MS_MAX);
        let preview = Rc::new(Preview {
            id,
            relay,
            viewer,
            place,
            asked_at: Cell::new(now),
            told: Cell::default(),
            ends_at,
            over: Cell::default(),
        });
        *self.0.preview.borrow_mut() = Some(Rc::clone(&preview));
        tokio::task::spawn_local(Rc::clone(&preview).play());
        let late_at = now.plus_ms(PREVIEW_START_MS_MAX);
        while preview.segments().map_err(No::Over)?.len() < PREVIEW_SEGMENTS_MIN {
            if clock::mono() >= late_at {
                preview.end(Over::Late);
            }
            clock::pause(PREVIEW_STEP_MS).await;
        }
        Ok(preview)
    }

    /// The last preview, if it has this id.
    pub fn find_preview(&self, id: u64) -> Option<Rc<Preview>> {
        self.0.preview.borrow().clone().filter(|preview| preview.id == id)
    }
}

impl Preview {
    /// What there is to be played, oldest first. Asking for it keeps the preview alive.
    ///
    /// # Errors
    /// It is over.
    pub fn segments(&self) -> Result<Vec<Segment>, Over> {
        let now = clock::mono();
        self.check(now)?;
        self.asked_at.set(now);
        let at = self.place.get().sequence;
        Ok(self.relay.segments(at.saturating_sub(PREVIEW_BEHIND), at.saturating_add(PREVIEW_AHEAD)))
    }

    /// The same once there is more than what was told before, or after [`PREVIEW_NEWS_MS_MAX`].
    ///
    /// # Errors
    /// It is over.
    pub async fn news(&self) -> Result<Vec<Segment>, Over> {
        let late_at = clock::mono().plus_ms(PREVIEW_NEWS_MS_MAX);
        loop {
            let segments = self.segments()?;
            let newest = segments.last().map(|segment| segment.sequence);
            if newest != self.told.get() || clock::mono() >= late_at {
                self.told.set(newest);
                return Ok(segments);
            }
            clock::pause(PREVIEW_STEP_MS).await;
        }
    }

    /// The packets of a segment; none if they are not there any more.
    ///
    /// # Errors
    /// It is over.
    pub fn packets(&self, sequence: u64) -> Result<Option<Vec<u8>>, Over> {
        self.check(clock::mono())?;
        Ok(self.relay.copy(sequence))
    }

    /// Ends it; only the first reason counts.
    pub fn end(&self, over: Over) {
        if let Some(viewer) = self.viewer.take() {
            self.over.set(Some(over));
            tracing::debug!(slot = viewer.slot.0, ?over, "a preview ended");
        }
    }

    fn check(&self, now: Mono) -> Result<(), Over> {
        let has_ended = self.viewer.borrow().as_ref().is_some_and(|viewer| viewer.cursor.is_over());
        if has_ended {
            self.end(Over::Ended);
        } else if now >= self.ends_at {
            self.end(Over::TimeUp);
        } else if now.ms_since(self.asked_at.get()) >= PREVIEW_IDLE_MS {
            self.end(Over::Left);
        }
        self.over.get().map_or(Ok(()), Err)
    }

    /// Moves on as time does, until it is over.
    async fn play(self: Rc<Self>) {
        let mut played_at = clock::mono();
        loop {
            clock::pause(PREVIEW_STEP_MS).await;
            let now = clock::mono();
            if self.check(now).is_err() {
                return;
            }
            if let Some(viewer) = self.viewer.borrow_mut().as_mut() {
                let mut place = self.place.get();
                viewer.cursor.pass(&mut place, now.ms_since(played_at));
                self.place.set(place);
            }
            played_at = now;
        }
    }
}

//! The guide: a whole document or none.
//!
//! It is made once an hour for each lineup and shared by all who ask, because a large one takes megabytes and
//! milliseconds.

use super::App;
use super::answer::{self, Body};
use super::lineup::loading;
use crate::clock;
use crate::observe::metrics::Rebuilt;
use crate::subscriptions::Marks;
use hyper::Response;
use hyper::body::Bytes;
use pure::model::lineup::{Channel, Lineup, Mark};
use pure::time::{Mono, Wall};
use pure::wire::xml::{XMLTV_HEAD, XMLTV_TAIL, write_channel, write_programmes};
use std::fmt;
use std::rc::{Rc, Weak};

/// Before this, the clock was never set: 2025-01-01. A guide for 1970 would only confuse.
const PLAUSIBLE_FROM: Wall = Wall(1_735_689_600);

/// Channels that are written before others get their turn.
const BATCH: usize = 128;

/// A guide, and what it was made for.
pub struct Guide {
    lineup: Weak<Lineup>,
    marks: u64,
    hour: Wall,
    made_at: Mono,
    document: Bytes,
}

impl Guide {
    /// How old it is.
    pub(super) fn age_s(&self, now: Mono) -> u64 {
        now.ms_since(self.made_at) / 1_000
    }
}

pub(super) async fn xmltv(app: &App) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return loading() };
    let now = clock::wall();
    if now < PLAUSIBLE_FROM {
        return answer::later("The clock of this box is not set yet, so there is no guide.\n", 60);
    }
    let (hour, marks) = (now.hour_start(), app.subscriptions.marks());
    let is_fresh = |guide: &&Guide| {
        guide.hour == hour && guide.marks == marks.revision && Weak::as_ptr(&guide.lineup) == Rc::as_ptr(&lineup)
    };
    let known = app.guide.borrow().as_ref().filter(is_fresh).map(|guide| guide.document.clone());
    if let Some(document) = known {
        return answer::device(answer::XML, document);
    }
    let Ok(document) = write(&lineup, &marks, now).await else {
        return answer::later("The guide could not be made.\n", 60);
    };
    let document = Bytes::from(document);
    app.metrics.rebuilt(Rebuilt::Guide);
    let made_at = clock::mono();
    *app.guide.borrow_mut() = Some(Guide {
        lineup: Rc::downgrade(&lineup),
        marks: marks.revision,
        hour,
        made_at,
        document: document.clone(),
    });
    answer::device(answer::XML, document)
}

/// The channels that a lineup lists, and no others.
async fn write(lineup: &Lineup, marks: &Marks, now: Wall) -> Result<String, fmt::Error> {
    let mut document = String::from(XMLTV_HEAD);
    let is_listed = |channel: &&Channel| marks.of(channel.id) != Mark::Hidden;
    for channels in lineup.channels().chunks(BATCH) {
        let mut listed = channels.iter().filter(is_listed);
        listed.try_for_each(|channel| write_channel(&mut document, channel))?;
        tokio::task::yield_now().await;
    }
    for channels in lineup.channels().chunks(BATCH) {
        let mut listed = channels.iter().filter(is_listed);
        listed.try_for_each(|channel| write_programmes(&mut document, channel, now))?;
        tokio::task::yield_now().await;
    }
    document.push_str(XMLTV_TAIL);
    Ok(document)
}

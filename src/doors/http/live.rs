//! How the box is right now and was in the last hour, for those who keep looking: events, and what graphs are made of.

use super::App;
use super::answer::{self, Body};
use super::api::{Status, fresh, ill_len, status};
use super::route::Asked;
use crate::clock;
use crate::observe::history::Minute;
use hyper::Response;
use hyper::body::Bytes;
use serde::Serialize;
use std::rc::Rc;

/// Tells the status again and again.
pub(super) fn events(app: &Rc<App>, asked: &Asked) -> Response<Body> {
    let (app, asked) = (Rc::clone(app), asked.clone());
    answer::events(move || event(&status(&app, &asked)))
}

fn event(status: &Status) -> Bytes {
    let data = serde_json::to_string(status).unwrap_or_default();
    // JSON has no line ends of its own, so it is one line.
    format!("retry: 1000\nevent: status\ndata: {data}\n\n").into()
}

#[derive(Serialize)]
pub(super) struct HistoryView {
    tuners_len: usize,
    minutes: Vec<MinuteView>,
}

#[derive(Serialize)]
struct MinuteView {
    at: String,
    tuners_used: u32,
    viewers: u32,
    bitrate_bps: u64,
    ill: u32,
}

/// The last hour, a point a minute.
pub(super) fn history(app: &App) -> Response<Body> {
    fresh(&view(app))
}

pub(super) fn view(app: &App) -> HistoryView {
    let view = |Minute { at, tuners_used, viewers, bits_per_s, ill }| MinuteView {
        at: at.to_string(),
        tuners_used,
        viewers,
        bitrate_bps: bits_per_s,
        ill,
    };
    let minutes = app.history.minutes().into_iter().map(view).collect();
    HistoryView { tuners_len: app.engine.tuners_len(), minutes }
}

/// Looks every minute; never ends.
pub async fn keep_history(app: Rc<App>) {
    loop {
        let tuners = app.engine.tuners();
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        app.history.push(Minute {
            at: clock::wall(),
            tuners_used: count(tuners.iter().filter(|tuner| !tuner.is_free()).count()),
            viewers: count(tuners.iter().map(|tuner| tuner.view.viewers).sum()),
            bits_per_s: tuners.iter().map(|tuner| tuner.stats.bits_per_s).sum(),
            ill: count(ill_len(&app)),
        });
        clock::pause(60_000).await;
    }
}

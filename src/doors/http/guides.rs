//! What the owner asks and says about guides: which there are and how they are, whose programmes a channel shows and
//! why, and what he chooses himself.

use super::App;
use super::answer::{self, Body};
use super::api::{channel, fresh};
use super::route::{query, query_text};
use crate::clock;
use crate::subscriptions::guides::{GuideState, matched};
use hyper::{Response, StatusCode};
use pure::limits::{GUIDE_OFFSET_S_MAX, GUIDE_ROWS_MAX};
use pure::model::guide::{Choice, Chosen, GuideId};
use pure::model::source_url::{self, SourceUrl};
use serde::Serialize;

#[derive(Serialize)]
struct GuidesView {
    guides: Vec<GuideView>,
    served: Option<ServedView>,
    /// Why what was made last is not served.
    refused: Option<String>,
}

#[derive(Serialize)]
struct GuideView {
    id: u32,
    /// Without its secrets.
    address: String,
    /// Who named it: owner, settings, playlist.
    named_by: &'static str,
    offset_minutes: i64,
    in_progress: bool,
    fetched_at: Option<String>,
    problem: Option<String>,
    channels: u32,
    programmes: u32,
    /// What the last fetch left out or repaired; null before the first one since the start.
    left_out: Option<LeftOutView>,
    /// What the owner may want to know.
    hint: Option<String>,
}

#[derive(Serialize)]
struct LeftOutView {
    /// Nobody can say when they begin.
    times_broken: u32,
    /// Their end was no good.
    stops_broken: u32,
    /// Too far away in time.
    outside: u32,
    /// They begin when another one of their channel does.
    doubled: u32,
    /// Too many.
    over: u32,
    /// Channels and programmes without an id.
    nameless: u32,
    /// Texts that were cut.
    texts_cut: u32,
}

#[derive(Serialize)]
struct ServedView {
    bytes: u64,
    age_s: u64,
    data_from: Option<String>,
    channels: u32,
    programmes: u32,
    without_title: u32,
    without_description: u32,
    without_episode: u32,
    overlaps_cut: u32,
    doubles_dropped: u32,
    matched: usize,
}

impl GuideView {
    /// `shifts`: guides that seem to be later than others.
    fn new(state: &GuideState, shifts: &[(GuideId, GuideId, i64)]) -> Self {
        let GuideState { guide, known, last, problem, in_progress, .. } = state;
        let shift = shifts.iter().find(|(shifted, ..)| *shifted == guide.id);
        let is_zoneless = last.is_some_and(|last| last.summary.zoneless * 2 > last.summary.programmes);
        Self {
            id: guide.id.0,
            address: source_url::shown(&guide.address),
            named_by: guide.namer.name(),
            offset_minutes: guide.offset_s / 60,
            in_progress: *in_progress,
            fetched_at: known.fetched_at.map(|at| at.to_string()),
            problem: problem.clone(),
            channels: known.channels,
            programmes: known.programmes,
            left_out: last.map(|last| LeftOutView {
                times_broken: last.summary.times_broken,
                stops_broken: last.summary.stops_broken,
                outside: last.outside,
                doubled: last.doubled,
                over: last.over,
                nameless: last.summary.nameless,
                texts_cut: last.summary.texts_cut,
            }),
            hint: shift
                .map(|(_, other, hours)| {
                    let (hours, how) = (hours.abs(), if *hours > 0 { "later" } else { "earlier" });
                    format!(
                        "Its programmes come {hours} h {how} than those of guide {}. One of them has its time zone \
                         wrong: see what is on, and set an offset.",
                        other.0
                    )
                })
                .or_else(|| {
                    is_zoneless.then(|| {
                        "Its times tell no time zone, so they are taken for UTC. If its programmes come hours too early \
                         or too late, set an offset."
                            .to_owned()
                    })
                }),
        }
    }
}

/// All guides, and the one that clients get.
pub(super) fn list(app: &App) -> Response<Body> {
    let guides = app.subscriptions.guides();
    let served = guides.served();
    let shifts = served.as_ref().map_or(Vec::new(), |served| served.published.shifts.clone());
    let views = guides.guides().iter().map(|state| GuideView::new(state, &shifts)).collect();
    let served = served.map(|served| ServedView {
        bytes: served.published.bytes,
        age_s: clock::mono().ms_since(served.made_at) / 1_000,
        data_from: served.data_from.map(|at| at.to_string()),
        channels: served.published.report.channels,
        programmes: served.published.report.programmes,
        without_title: served.published.without_title,
        without_description: served.published.report.without_description,
        without_episode: served.published.report.without_episode,
        overlaps_cut: served.published.repairs.cut,
        doubles_dropped: served.published.repairs.dropped,
        matched: served.published.matches.len(),
    });
    fresh(&GuidesView { guides: views, served, refused: guides.refused() })
}

#[derive(Serialize)]
struct MatchView {
    channel_id: u32,
    number: String,
    name: String,
    /// automatic, none or guide, as the owner chose.
    chosen: &'static str,
    offset_minutes: i64,
    /// owner, playlist (its `tvg-shift`), or nobody.
    offset_said_by: Option<&'static str>,
    guide: Option<u32>,
    guide_channel: Option<String>,
    guide_name: Option<String>,
    reason: Option<&'static str>,
    confidence: u8,
    /// What is on there, when the guide was made: whoever looks at the channel sees whether it is true.
    now_airing: Option<String>,
    programmes: u32,
}

/// Whose programmes channels show, and why; 500 of them, after the channel `after`.
pub(super) fn matches(app: &App, asked: &str) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return super::lineup::loading() };
    let after = match query(asked, "after").map(str::parse::<u32>) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return answer::bad_request("after is the channel_id of the last channel seen"),
    };
    let guides = app.subscriptions.guides();
    let served = guides.served();
    let position = |id| lineup.position(pure::model::lineup::ChannelId(id)).map_or(0, |position| position + 1);
    let channels = lineup.channels().iter().skip(after.map_or(0, position)).take(GUIDE_ROWS_MAX);
    let views = channels.map(|channel| {
        let found = served.as_ref().and_then(|served| matched(served, channel.id));
        let choice = guides.choice(channel.id);
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        MatchView {
            channel_id: channel.id.0,
            number: channel.number.as_str().to_owned(),
            name: channel.name.clone(),
            chosen: match choice.guide {
                Chosen::Automatic => "automatic",
                Chosen::Nothing => "none",
                Chosen::Channel(..) => "guide",
            },
            offset_minutes: choice.offset_s_for(channel.tvg_shift_min) / 60,
            offset_said_by: match (choice.offset_s, channel.tvg_shift_min) {
                (Some(_), _) => Some("owner"),
                (None, 0) => None,
                (None, _) => Some("playlist"),
            },
            guide: found.map(|found| found.guide.0),
            guide_channel: found.and_then(|found| text(&found.guide_channel)),
            guide_name: found.and_then(|found| text(&found.guide_name)),
            reason: found.map(|found| found.reason.name()),
            confidence: found.map_or(0, |found| found.confidence),
            now_airing: found.and_then(|found| found.now.clone()),
            programmes: found.map_or(0, |found| found.programmes),
        }
    });
    fresh(&views.collect::<Vec<_>>())
}

#[derive(Serialize)]
struct OfferedView {
    id: String,
    names: Vec<String>,
    now_airing: Option<String>,
}

/// Channels of a guide that the owner may choose; `search`: what their id or name must have in it.
pub(super) async fn offered(app: &App, asked: &str) -> Response<Body> {
    let Some(id) = guide_id(asked, "guide") else { return answer::bad_request("guide is the id of a guide") };
    let search = query_text(asked, "search").unwrap_or_default();
    match app.subscriptions.guides().offered(id, search).await {
        Ok(offered) => {
            let views = offered.into_iter().map(|offered| OfferedView {
                id: offered.id,
                names: offered.names,
                now_airing: offered.now,
            });
            fresh(&views.collect::<Vec<_>>())
        }
        Err(why) => not_now(&why),
    }
}

fn guide_id(asked: &str, key: &str) -> Option<GuideId> {
    query(asked, key)?.parse().ok().map(GuideId)
}

fn not_now(why: &str) -> Response<Body> {
    tracing::warn!("a wish about guides was not fulfilled: {why}");
    answer::later("The box is busy.\n", 5)
}

fn done(result: Result<(), String>) -> Response<Body> {
    match result {
        Ok(()) => answer::plain(StatusCode::OK, answer::TEXT, ""),
        Err(why) => not_now(&why),
    }
}

/// What may be changed; each says the same with an empty answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// `address`
    Add,
    /// `guide`
    Remove,
    /// `guide`, or all
    Refresh,
    /// `guide`, `minutes`
    Offset,
    /// `channel` or `channel_id`; `guide` and `id`, or `id=none`, or `id=auto`; `minutes`
    Choose,
}

pub(super) async fn change(app: &App, what: Change, asked: &str) -> Response<Body> {
    let guides = app.subscriptions.guides();
    let known = |id: &GuideId| guides.guides().iter().any(|state| state.guide.id == *id);
    let id = guide_id(asked, "guide").filter(known);
    match what {
        Change::Add => {
            let address = query_text(asked, "address").unwrap_or_default();
            match address.parse::<SourceUrl>() {
                Ok(url) if url.scheme().is_http() => done(guides.add(&url).await),
                _ => answer::bad_request("address is the http:// or https:// address of a guide in the XMLTV format"),
            }
        }
        Change::Refresh => {
            guides.refresh(id);
            answer::plain(StatusCode::ACCEPTED, answer::TEXT, "")
        }
        Change::Choose => choose(app, asked, id).await,
        Change::Remove | Change::Offset => {
            let Some(id) = id else { return answer::bad_request("guide is the id of a guide") };
            match (what, minutes(asked)) {
                (Change::Remove, _) => done(guides.remove(id).await),
                (_, Ok(Some(offset_s))) => done(guides.move_guide(id, offset_s).await),
                (_, _) => answer::bad_request(MINUTES),
            }
        }
    }
}

const MINUTES: &str = "minutes says by how much to move, from -1440 to 1440; later when positive; auto for a channel: \
                       as its playlist says";

fn minutes(asked: &str) -> Result<Option<i64>, ()> {
    let Some(text) = query(asked, "minutes") else { return Ok(None) };
    let minutes: i64 = text.parse().map_err(drop)?;
    let offset_s = minutes.checked_mul(60).ok_or(())?;
    if offset_s.abs() <= GUIDE_OFFSET_S_MAX { Ok(Some(offset_s)) } else { Err(()) }
}

async fn choose(app: &App, asked: &str, guide: Option<GuideId>) -> Response<Body> {
    let guides = app.subscriptions.guides();
    let channel = match channel(app, asked) {
        Ok(Some(id)) => id,
        Ok(None) => return answer::bad_request("channel or channel_id says which channel"),
        Err(why) => return answer::bad_request(why),
    };
    let Choice { guide: chosen, offset_s } = guides.choice(channel);
    let chosen = match (query_text(asked, "id").as_deref(), guide) {
        (None, _) => chosen,
        (Some("auto"), None) => Chosen::Automatic,
        (Some("none"), None) => Chosen::Nothing,
        (Some(id), Some(guide)) if !id.is_empty() => Chosen::Channel(guide, id.to_owned()),
        (Some(_), _) => return answer::bad_request("id is a channel of the guide that guide names, or auto, or none"),
    };
    let offset_s = match (query(asked, "minutes"), minutes(asked)) {
        (Some("auto"), _) => None,
        (None, _) => offset_s,
        (_, Ok(offset_s)) => offset_s,
        (_, Err(())) => return answer::bad_request(MINUTES),
    };
    done(guides.choose(channel, Choice { guide: chosen, offset_s }).await)
}

//! What the owner asks and says about guides: which there are and how they are, whose programmes a channel shows and
//! why, and what he chooses himself.

use super::App;
use super::answer::Body;
use super::api::fresh;
use super::owner::{Answer, Given, Page, done, loading, read, wrong};
use super::route::query_text;
use super::v1::{Call, page};
use crate::clock;
use crate::subscriptions::Error;
use crate::subscriptions::guides::{GuideState, matched};
use hyper::Response;
use hyper::body::Incoming;
use pure::limits::{GUIDE_OFFSET_S_MAX, GUIDE_ROWS_MAX, GUIDES_MAX, WINDOW_ROWS_MAX, WINDOW_S_MAX};
use pure::model::guide::{Choice, Chosen, GuideId};
use pure::model::lineup::{Channel, ChannelId, Mark};
use pure::model::source_url::{self, SourceUrl};
use pure::time::Wall;
use serde::{Deserialize, Serialize};

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
fn list(app: &App) -> Response<Body> {
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
pub(super) struct MatchView {
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

impl MatchView {
    pub(super) fn new(app: &App, channel: &Channel) -> Self {
        let guides = app.subscriptions.guides();
        let served = guides.served();
        let found = served.as_ref().and_then(|served| matched(served, channel.id));
        let choice = guides.choice(channel.id);
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
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
    }
}

/// Whose programmes channels show, and why; `after`: the channel before the first one wanted.
fn matches(app: &App, asked: &str) -> Answer {
    let lineup = app.engine.lineup().ok_or_else(loading)?;
    let (after, limit) = page::<u32>(asked, GUIDE_ROWS_MAX, GUIDE_ROWS_MAX)?;
    let position = |id| lineup.position(ChannelId(id)).map_or(0, |position| position + 1);
    let skipped = after.map_or(0, position);
    let channels = lineup.channels().iter().skip(skipped).take(limit);
    let items: Vec<MatchView> = channels.map(|channel| MatchView::new(app, channel)).collect();
    let is_end = skipped + items.len() >= lineup.channels().len();
    let next = items.last().filter(|_| !is_end).map(|last| i64::from(last.channel_id));
    Ok(fresh(&Page { items, next }))
}

#[derive(Serialize)]
struct RowView {
    channel_id: u32,
    number: String,
    name: String,
    programmes: Vec<ProgrammeView>,
}

#[derive(Serialize)]
struct ProgrammeView {
    start: String,
    stop: String,
    title: String,
    sub_title: String,
    description: String,
}

/// What is on `from` … `to`; without them in the next six hours.
async fn programmes(app: &App, asked: &str) -> Answer {
    let lineup = app.engine.lineup().ok_or_else(loading)?;
    let (after, limit) = page::<u32>(asked, WINDOW_ROWS_MAX / 2, WINDOW_ROWS_MAX)?;
    let time = |key: &'static str, usual: Wall| match query_text(asked, key) {
        None => Ok(usual),
        Some(text) => text.parse().map_err(|()| wrong(key, "a time in UTC, such as 2026-12-24T18:00:00Z")),
    };
    let from = time("from", clock::wall())?;
    let to = time("to", from.plus_s(6 * 3_600))?;
    if to.0 <= from.0 || to.0 - from.0 > WINDOW_S_MAX {
        return Err(wrong("to", format!("later than from, by {} hours at most", WINDOW_S_MAX / 3_600)));
    }
    let marks = app.subscriptions.marks();
    let skipped = after.map_or(0, |id| lineup.position(ChannelId(id)).map_or(0, |position| position + 1));
    let mut listed = lineup.channels().iter().skip(skipped).filter(|channel| marks.of(channel.id) != Mark::Hidden);
    let channels: Vec<&Channel> = listed.by_ref().take(limit).collect();
    let next = channels.last().filter(|_| listed.next().is_some()).map(|channel| i64::from(channel.id.0));
    let shown = app.subscriptions.guides().window(&channels, from, to).await.map_err(Error::Later)?;
    let rows = channels.into_iter().zip(shown).map(|(channel, shown)| {
        let programmes = shown.into_iter().map(|shown| ProgrammeView {
            start: shown.start.to_string(),
            stop: shown.stop.to_string(),
            title: shown.title,
            sub_title: shown.sub_title,
            description: shown.description,
        });
        RowView {
            channel_id: channel.id.0,
            number: channel.number.as_str().to_owned(),
            name: channel.name.clone(),
            programmes: programmes.collect(),
        }
    });
    Ok(fresh(&Page { items: rows.collect(), next }))
}

#[derive(Serialize)]
struct OfferedView {
    id: String,
    names: Vec<String>,
    now_airing: Option<String>,
}

/// Channels of a guide that the owner may choose; `search`: what their id or name must have in it.
async fn offered(app: &App, id: GuideId, asked: &str) -> Answer {
    let search = query_text(asked, "search").unwrap_or_default();
    let offered = app.subscriptions.guides().offered(id, search).await.map_err(Error::Later)?;
    let views = offered.into_iter().map(|offered| OfferedView {
        id: offered.id,
        names: offered.names,
        now_airing: offered.now,
    });
    Ok(fresh(&views.collect::<Vec<_>>()))
}

/// What may be asked and said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    Matches,
    /// What is on, channel by channel.
    Programmes,
    Offered,
    Add,
    Edit,
    Remove,
    Refresh,
    RefreshAll,
    /// Whose programmes a channel shows, and how much later.
    Choose,
}

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask, call: &Call<'_>, body: Incoming) -> Answer {
    let guides = app.subscriptions.guides();
    let id = || known(app, call.id()?).ok_or(Error::NotFound);
    match ask {
        Ask::List => Ok(list(app)),
        Ask::Matches => matches(app, call.query),
        Ask::Programmes => programmes(app, call.query).await,
        Ask::Offered => offered(app, id()?, call.query).await,
        Ask::Add => add(app, body).await,
        Ask::Edit => {
            let id = id()?;
            let Edited { offset_minutes } = read(body).await?;
            said(guides.move_guide(id, seconds(offset_minutes)?).await)
        }
        Ask::Remove => {
            let id = id()?;
            let is_owners = |state: &GuideState| state.guide.id == id && state.guide.namer.name() == "owner";
            if !guides.guides().iter().any(is_owners) {
                return Err(wrong("id", "a playlist or the settings name it: take it out there"));
            }
            said(guides.remove(id).await)
        }
        Ask::Refresh => {
            guides.refresh(Some(id()?));
            Ok(done())
        }
        Ask::RefreshAll => {
            guides.refresh(None);
            Ok(done())
        }
        Ask::Choose => choose(app, ChannelId(call.id()?), body).await,
    }
}

fn known(app: &App, id: u32) -> Option<GuideId> {
    app.subscriptions.guides().guides().iter().map(|state| state.guide.id).find(|known| known.0 == id)
}

fn said(result: Result<(), String>) -> Answer {
    result.map(|()| done()).map_err(Error::Later)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Added {
    address: String,
}

async fn add(app: &App, body: Incoming) -> Answer {
    let Added { address } = read(body).await?;
    if app.subscriptions.guides().guides().len() >= GUIDES_MAX {
        return Err(wrong("address", format!("there are {GUIDES_MAX} guides already; remove one")));
    }
    match address.parse::<SourceUrl>() {
        Ok(url) if url.scheme().is_http() => said(app.subscriptions.guides().add(&url).await),
        _ => Err(wrong("address", "the http:// or https:// address of a guide in the XMLTV format")),
    }
}

/// What is written of a guide.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edited {
    offset_minutes: i64,
}

fn seconds(minutes: i64) -> Result<i64, Error> {
    let offset_s = minutes.checked_mul(60).filter(|offset_s| offset_s.abs() <= GUIDE_OFFSET_S_MAX);
    offset_s.ok_or_else(|| wrong("offset_minutes", "by how much to move, from -1440 to 1440; later when positive"))
}

/// What is written of a channel's programmes; what is not written stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenChoice {
    /// automatic, none or guide.
    chosen: Option<String>,
    guide: Option<u32>,
    guide_channel: Option<String>,
    /// Null: as its playlist says.
    #[serde(default)]
    offset_minutes: Given<i64>,
}

async fn choose(app: &App, channel: ChannelId, body: Incoming) -> Answer {
    let guides = app.subscriptions.guides();
    app.engine.lineup().and_then(|lineup| lineup.by_id(channel).map(|_| ())).ok_or(Error::NotFound)?;
    let written: WrittenChoice = read(body).await?;
    let Choice { guide: chosen, offset_s } = guides.choice(channel);
    let chosen = match (written.chosen.as_deref(), written.guide, written.guide_channel) {
        (None, None, None) => chosen,
        (Some("automatic"), None, None) => Chosen::Automatic,
        (Some("none"), None, None) => Chosen::Nothing,
        (None | Some("guide"), Some(guide), Some(id)) if !id.is_empty() => {
            let guide = known(app, guide).ok_or_else(|| wrong("guide", "the id of a guide"))?;
            Chosen::Channel(guide, id)
        }
        _ => return Err(wrong("chosen", "automatic, or none, or guide, with guide and guide_channel")),
    };
    let offset_s = match written.offset_minutes {
        Given::Nothing => offset_s,
        Given::Null => None,
        Given::Value(minutes) => Some(seconds(minutes)?),
    };
    said(guides.choose(channel, Choice { guide: chosen, offset_s }).await)
}

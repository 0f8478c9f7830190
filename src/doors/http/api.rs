//! What the page asks for, and what those ask who look deeper: logs, metrics, health.

use super::App;
use super::answer::{self, Body};
use super::route::{Asked, query};
use crate::clock;
use crate::engine::{Tuner, facts};
use crate::observe::metrics::Gauges;
use hyper::{Response, StatusCode};
use pure::limits::LOG_LINES_MAX;
use pure::rules::pool::SlotState;
use serde::Serialize;
use tracing::Level;

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => answer::plain(status, answer::JSON, body),
        Err(_) => answer::plain(StatusCode::INTERNAL_SERVER_ERROR, answer::TEXT, ""),
    }
}

/// Whether the box can do its work: a lineup is loaded and FFmpeg is there.
pub(super) fn health(app: &App) -> Response<Body> {
    let mut missing = Vec::new();
    if app.engine.lineup().is_none() {
        missing.push("no lineup is loaded yet");
    }
    if !app.check_ffmpeg() {
        missing.push("FFmpeg is missing");
    }
    if missing.is_empty() {
        answer::plain(StatusCode::OK, answer::TEXT, "ok\n")
    } else {
        answer::plain(StatusCode::SERVICE_UNAVAILABLE, answer::TEXT, missing.join("; ") + "\n")
    }
}

pub(super) fn metrics(app: &App) -> Response<Body> {
    let tuners = app.engine.tuners();
    let count = |wanted: fn(&Tuner) -> bool| tuners.iter().filter(|tuner| wanted(tuner)).count() as u64;
    let gauges = Gauges {
        ffmpeg_processes_active: count(|tuner| {
            matches!(tuner.view.state, SlotState::Starting | SlotState::Playing | SlotState::Stopping)
        }),
        ffmpeg_spawn_pending: count(|tuner| tuner.view.state == SlotState::Waiting),
        viewers: tuners.iter().map(|tuner| tuner.view.viewers as u64).sum(),
        slots_quarantined: count(|tuner| tuner.view.state == SlotState::Quarantined),
        channels: app.engine.lineup().map_or(0, |lineup| lineup.channels().len() as u64),
        problems: app.problems.list().len() as u64,
        fd_usage: u64::from(facts::fds_open()),
        system_rss_bytes: facts::resident_bytes().unwrap_or(0),
        slots: tuners
            .iter()
            .map(|tuner| (tuner.stats.bytes, tuner.stats.overtaken, tuner.stats.continuity_errors))
            .collect(),
    };
    answer::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", app.metrics.render(&gauges))
}

#[derive(Serialize)]
struct LogEntry {
    id: String,
    at: String,
    level: &'static str,
    text: String,
}

/// `level`: the most verbose one wanted; `after`: an id; `limit`: how many of the newest.
pub(super) fn log_entries(app: &App, asked: &str) -> Response<Body> {
    let level = match query(asked, "level") {
        None | Some("debug") => Level::DEBUG,
        Some("info") => Level::INFO,
        Some("warn") => Level::WARN,
        Some("error") => Level::ERROR,
        Some(_) => return bad_request("level is one of error, warn, info, debug"),
    };
    let after = match query(asked, "after") {
        None => 0,
        Some(id) => match app.logs.sequence(id) {
            Some(sequence) => sequence,
            None => return answer::not_found(),
        },
    };
    let limit = match query(asked, "limit").map(str::parse) {
        None => 100,
        Some(Ok(limit @ 1..=LOG_LINES_MAX)) => limit,
        Some(_) => return bad_request("limit is a number from 1 to 512"),
    };
    let entries: Vec<LogEntry> = app
        .logs
        .entries(level, after, limit)
        .iter()
        .map(|entry| LogEntry {
            id: app.logs.id(entry),
            at: entry.at.to_string(),
            level: match entry.level {
                Level::ERROR => "error",
                Level::WARN => "warn",
                Level::INFO => "info",
                _ => "debug",
            },
            text: entry.text.as_str().to_owned(),
        })
        .collect();
    json(StatusCode::OK, &entries)
}

fn bad_request(why: &str) -> Response<Body> {
    answer::plain(StatusCode::BAD_REQUEST, answer::TEXT, format!("{why}\n"))
}

#[derive(Serialize)]
struct Status {
    name: String,
    version: &'static str,
    device_id: String,
    board: String,
    uptime_s: u64,
    level: &'static str,
    sentence: String,
    problems: Vec<ProblemView>,
    addresses: Addresses,
    tuners: Vec<TunerView>,
    channels_len: usize,
    playlist: PlaylistView,
}

#[derive(Serialize)]
struct ProblemView {
    topic: &'static str,
    text: String,
    since: String,
}

#[derive(Serialize)]
struct Addresses {
    base: String,
    host_port: String,
    lineup_m3u: String,
    guide: String,
}

#[derive(Serialize)]
struct TunerView {
    tuner: u8,
    state: &'static str,
    channel: Option<ChannelView>,
    viewers: Vec<ViewerView>,
    bits_per_s: u64,
    continuity_errors: u64,
    overtaken: u64,
}

#[derive(Serialize)]
struct ChannelView {
    number: String,
    name: String,
}

#[derive(Serialize)]
struct ViewerView {
    address: String,
    since_s: u64,
}

#[derive(Serialize)]
struct PlaylistView {
    in_use: bool,
    in_progress: bool,
    found: u32,
    skipped: u32,
    first_skipped: Option<String>,
    loaded_at: Option<String>,
}

/// Everything the page shows.
pub(super) fn status(app: &App, asked: &Asked) -> Response<Body> {
    app.check_ffmpeg();
    let (lineup, now) = (app.engine.lineup(), clock::mono());
    let tuners = app.engine.tuners();
    let problems = app.problems.list();
    let base = app.base_url(asked.local);
    let channels_len = lineup.as_ref().map_or(0, |lineup| lineup.channels().len());
    let playlist = app.subscriptions.status();
    let (level, sentence) = sentence(lineup.is_some(), channels_len, &tuners, problems.len());
    let view = |tuner: &Tuner| TunerView {
        tuner: tuner.view.slot.0,
        state: match tuner.view.state {
            SlotState::Free => "free",
            SlotState::Waiting => "waiting",
            SlotState::Starting => "starting",
            SlotState::Playing => "playing",
            SlotState::Stopping => "stopping",
            SlotState::Quarantined => "lost",
        },
        channel: tuner
            .view
            .channel
            .zip(lineup.as_ref())
            .and_then(|(id, lineup)| lineup.by_id(id))
            .map(|channel| ChannelView { number: channel.number.as_str().to_owned(), name: channel.name.clone() }),
        viewers: tuner
            .watchers
            .iter()
            .map(|watcher| ViewerView {
                address: watcher.peer.ip().to_string(),
                since_s: now.ms_since(watcher.since) / 1_000,
            })
            .collect(),
        bits_per_s: if tuner.view.state == SlotState::Playing { tuner.stats.bits_per_s } else { 0 },
        continuity_errors: tuner.stats.continuity_errors,
        overtaken: tuner.stats.overtaken,
    };
    let mut answer = json(
        StatusCode::OK,
        &Status {
            name: app.name.borrow().clone(),
            version: env!("CARGO_PKG_VERSION"),
            device_id: app.device_id.to_string(),
            board: app.board.clone(),
            uptime_s: now.0 / 1_000,
            level,
            sentence,
            problems: problems
                .into_iter()
                .map(|(topic, problem)| ProblemView {
                    topic: topic.name(),
                    text: problem.text,
                    since: problem.since.to_string(),
                })
                .collect(),
            addresses: Addresses {
                host_port: base.trim_start_matches("http://").to_owned(),
                lineup_m3u: format!("{base}/lineup.m3u"),
                guide: format!("{base}/xmltv.xml"),
                base,
            },
            tuners: tuners.iter().map(view).collect(),
            channels_len,
            playlist: PlaylistView {
                in_use: app.subscriptions.has_playlist(),
                in_progress: playlist.in_progress,
                found: playlist.found,
                skipped: playlist.skipped,
                first_skipped: playlist.first_skipped,
                loaded_at: playlist.loaded_at.map(|at| at.to_string()),
            },
        },
    );
    answer.headers_mut().insert(hyper::header::CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    answer
}

/// The state of the box in one sentence, and how good that is.
fn sentence(loaded: bool, channels_len: usize, tuners: &[Tuner], problems_len: usize) -> (&'static str, String) {
    let free = tuners.iter().filter(|tuner| tuner.is_free()).count();
    let channels = match channels_len {
        1 => "1 channel".to_owned(),
        many => format!("{many} channels"),
    };
    let of_tuners = match (free, tuners.len()) {
        (0, 1) => "the tuner is in use".to_owned(),
        (0, all) => format!("all {all} tuners are in use"),
        (1, 1) => "the tuner is free".to_owned(),
        (1, all) => format!("1 of {all} tuners is free"),
        (free, all) => format!("{free} of {all} tuners are free"),
    };
    match (loaded, problems_len) {
        (false, _) => ("ill", "There are no channels yet.".to_owned()),
        (true, 1) => ("ill", format!("There is a problem. {channels}, {of_tuners}.")),
        (true, 2..) => ("ill", format!("There are {problems_len} problems. {channels}, {of_tuners}.")),
        (true, 0) if free == 0 => ("busy", format!("Working. {channels}, {of_tuners}.")),
        (true, 0) => ("good", format!("Ready. {channels}, {of_tuners}.")),
    }
}

//! What the page asks for, and what those ask who look deeper: logs, metrics, health.

use super::App;
use super::answer::{self, Body};
use super::live;
use super::owner::{Answer, done, wrong};
use super::route::{Asked, query, query_text};
use super::v1::Call;
use crate::board::vitals::Seen;
use crate::capacity;
use crate::clock;
use crate::engine::encoders::Shown;
use crate::engine::{Tuner, facts};
use crate::observe::logs::{Entry, Wanted};
use crate::observe::metrics::{Gauges, SlotGauge};
use crate::observe::problems::{Problem, Topic};
use crate::subscriptions::{Error, View};
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};
use pure::limits::{CLIENTS_SHOWN, ILL_CHANNELS_MAX, LOG_ANSWER_DEFAULT, LOG_ANSWER_MAX, LOG_LINES_MAX};
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::{ChannelId, Lineup, Origin, Source};
use pure::model::profile::Profile;
use pure::model::subscription::Subscription;
use pure::rules::admission::Work;
use pure::rules::alarms::{Alarm, Level as AlarmLevel};
use pure::rules::blank::Sight;
use pure::rules::breaker::{BreakerState, ChannelView as GuardView};
use pure::rules::clients::{Asked as Wish, Client, Kind as ClientKind};
use pure::rules::failure::Failure;
use pure::rules::health::Health;
use pure::rules::pool::outlook::Obstacle;
use pure::rules::pool::{SlotIndex, SlotState};
use pure::time::Mono;
use serde::Serialize;
use std::rc::Rc;
use tracing::Level;

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => answer::plain(status, answer::JSON, body),
        Err(_) => answer::broken(),
    }
}

/// Whether the box can do its work: a lineup is loaded and FFmpeg is there.
pub(super) fn health(app: &App) -> Response<Body> {
    let mut missing = Vec::new();
    if app.problems.has(Topic::SafeMode) {
        missing.push("safe mode: nothing plays");
    }
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

/// An answer that is true for a moment only.
pub(super) fn fresh(value: &impl Serialize) -> Response<Body> {
    let mut answer = json(StatusCode::OK, value);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

pub(super) fn metrics(app: &App) -> Response<Body> {
    let tuners = app.engine.tuners();
    let count = |wanted: fn(&Tuner) -> bool| tuners.iter().filter(|tuner| wanted(tuner)).count() as u64;
    let (log, now) = (app.logs.counts(), clock::mono());
    let slots: Vec<SlotGauge> = tuners
        .iter()
        .map(|tuner| SlotGauge {
            bytes: tuner.stats.bytes,
            overtaken: tuner.stats.overtaken,
            continuity_errors: tuner.stats.continuity_errors,
        })
        .collect();
    let breakers: Vec<(Origin, BreakerState)> = app
        .engine
        .channels()
        .iter()
        .map(|view| (Origin { channel: view.channel, source: view.source }, view.state))
        .collect();
    let gauges = Gauges {
        ffmpeg_processes_active: count(|tuner| {
            matches!(tuner.view.state, SlotState::Starting | SlotState::Playing | SlotState::Stopping)
        }),
        ffmpeg_spawn_pending: count(|tuner| tuner.view.state == SlotState::Waiting),
        viewers: tuners.iter().map(|tuner| tuner.view.viewers as u64).sum(),
        slates_shown: count(|tuner| tuner.slate.is_some()),
        slots_quarantined: count(|tuner| tuner.view.state == SlotState::Quarantined),
        channels: app.engine.lineup().map_or(0, |lineup| lineup.channels().len() as u64),
        fd_usage: facts::fds_open().into(),
        fd_limit: facts::fds_limit().into(),
        system_rss_bytes: facts::resident_bytes().unwrap_or(0),
        memory_available_bytes: facts::memory_available_bytes(),
        zombies: facts::zombies() as u64,
        guide_age_s: guide_age_s(app, now),
        guide: app.subscriptions.guides().gauges(),
        log_lines: &[("error", log.error), ("warn", log.warn), ("info", log.info), ("debug", log.debug)],
        log_lines_left_out: log.left_out,
        slots: &slots,
        breakers: &breakers,
        alarms: &app.problems.levels(),
    };
    match app.metrics.render(&gauges) {
        Some(text) => answer::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
        None => answer::later("Somebody else is just reading the numbers.\n", 1),
    }
}

/// How old what clients get is: since its oldest programmes were fetched, or, with none, since it was made.
fn guide_age_s(app: &App, now: Mono) -> Option<u64> {
    let served = app.subscriptions.guides().served()?;
    let fetched = served.data_from.and_then(|from| u64::try_from(clock::wall().0 - from.0).ok());
    Some(fetched.unwrap_or_else(|| now.ms_since(served.made_at) / 1_000))
}

#[derive(Serialize)]
pub(super) struct LogEntry {
    id: String,
    at: String,
    mono_ms: u64,
    level: &'static str,
    channel_id: Option<u32>,
    text: String,
}

impl LogEntry {
    fn new(app: &App, entry: &Entry) -> Self {
        Self {
            id: app.logs.id(entry).as_str().to_owned(),
            at: entry.at.to_string(),
            mono_ms: entry.mono.0,
            level: match entry.level {
                Level::ERROR => "error",
                Level::WARN => "warn",
                Level::INFO => "info",
                _ => "debug",
            },
            channel_id: entry.channel_id,
            text: entry.text.as_str().to_owned(),
        }
    }
}

/// Log lines, oldest first. `level`: the most verbose one wanted; `channel`: only lines about this guide number, or
/// `channel_id` as metrics and lines name it; `after`: an id, and then the lines that follow it; `limit`: how many,
/// which without `after` are the newest; `search`: what they must have in them.
pub(super) fn log_entries(app: &App, asked: &str) -> Result<Vec<LogEntry>, Error> {
    let level_max = match query(asked, "level") {
        None | Some("debug") => Level::DEBUG,
        Some("info") => Level::INFO,
        Some("warn") => Level::WARN,
        Some("error") => Level::ERROR,
        Some(_) => return Err(wrong("level", "one of error, warn, info, debug")),
    };
    let channel_id = channel(app, asked)?.map(|id| id.0);
    let after = query(asked, "after").map(|id| app.logs.sequence(id).ok_or(Error::NotFound)).transpose()?;
    let limit = match query(asked, "limit").map(str::parse) {
        None => LOG_ANSWER_DEFAULT,
        Some(Ok(limit @ 1..=LOG_ANSWER_MAX)) => limit,
        Some(_) => return Err(wrong("limit", format!("a number from 1 to {LOG_ANSWER_MAX}"))),
    };
    let search = query_text(asked, "search").unwrap_or_default().to_lowercase();
    // Whoever searches means all lines that there are.
    let looked_at = if search.is_empty() { limit } else { LOG_LINES_MAX };
    let mut found = app.logs.entries(&Wanted { level_max, channel_id, after, limit: looked_at });
    found.retain(|entry| search.is_empty() || entry.text.to_lowercase().contains(&search));
    if after.is_some() {
        found.truncate(limit);
    } else {
        found.drain(..found.len().saturating_sub(limit));
    }
    Ok(found.iter().map(|entry| LogEntry::new(app, entry)).collect())
}

/// All lines, for people.
pub(super) fn log_text(app: &App) -> String {
    let wanted = Wanted { level_max: Level::DEBUG, channel_id: None, after: None, limit: LOG_LINES_MAX };
    let line = |entry: &Entry| format!("{} {} {}\n", entry.at, entry.level, entry.text);
    app.logs.entries(&wanted).iter().map(line).collect()
}

/// The same as a part of a list; `next` is the place to go on from, also when nothing follows yet.
fn log_page(app: &App, asked: &str) -> Answer {
    let items = log_entries(app, asked)?;
    let next = items.last().map(|entry| entry.id.clone()).or_else(|| query(asked, "after").map(str::to_owned));
    Ok(fresh(&LogPage { items, next }))
}

#[derive(Serialize)]
struct LogPage {
    items: Vec<LogEntry>,
    next: Option<String>,
}

/// The channel that a question is about: by `channel_id`, as metrics and log lines name it, or by `channel`, the
/// number that viewers type.
fn channel(app: &App, asked: &str) -> Result<Option<ChannelId>, Error> {
    match (query(asked, "channel_id").map(str::parse), query(asked, "channel")) {
        (None, None) => Ok(None),
        (Some(Ok(id)), _) => Ok(Some(ChannelId(id))),
        (Some(Err(_)), _) => Err(wrong("channel_id", "the number that log lines and metrics show")),
        (None, Some(number)) => {
            let found = number.parse::<GuideNumber>().ok().zip(app.engine.lineup());
            let found = found.and_then(|(number, lineup)| Some(lineup.by_number(&number)?.id));
            found.map(Some).ok_or_else(|| wrong("channel", "the number of a channel in the lineup, such as 5.1"))
        }
    }
}

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Status,
    /// The status again and again.
    Events,
    History,
    /// A person wants a tuner back.
    Free,
    Alarms,
    Clients,
    Logs,
    Log,
    /// A person wants a channel that rests tried: one try is allowed, and nothing is forgotten.
    Retry,
    /// For a person who has plugged in or installed something.
    TryEncoders,
    RefreshAll,
}

fn busy() -> Error {
    Error::Later("the engine is busy".to_owned())
}

/// Answers one of them.
pub(super) fn respond(app: &Rc<App>, ask: Ask, call: &Call<'_>) -> Answer {
    match ask {
        Ask::Status => Ok(fresh(&status(app, call.asked))),
        Ask::Events => Ok(live::events(app, call.asked)),
        Ask::History => Ok(live::history(app)),
        Ask::Free => {
            let tuner = u8::try_from(call.id()?).map_err(|_| Error::NotFound)?;
            if usize::from(tuner) >= app.engine.tuners_len() {
                return Err(Error::NotFound);
            }
            if app.engine.free(SlotIndex(tuner)) { Ok(done()) } else { Err(busy()) }
        }
        Ask::Alarms => Ok(fresh(&alarm_views(app))),
        Ask::Clients => Ok(fresh(&client_views(app))),
        Ask::Logs => log_page(app, call.query),
        Ask::Log => log_entry(app, call.part()),
        Ask::Retry => {
            let id = ChannelId(call.id()?);
            app.engine.lineup().and_then(|lineup| lineup.by_id(id).map(|_| ())).ok_or(Error::NotFound)?;
            if app.engine.retry(id) { Ok(done()) } else { Err(busy()) }
        }
        Ask::TryEncoders => {
            app.engine.try_encoders_again();
            Ok(done())
        }
        Ask::RefreshAll => {
            app.subscriptions.refresh();
            Ok(done())
        }
    }
}

#[derive(Serialize)]
pub(super) struct ClientView {
    address: String,
    /// Which program it probably is.
    name: &'static str,
    user_agent: String,
    /// What it asked last.
    asked: &'static str,
    asked_s_ago: u64,
    /// When it last took the lineup, if ever.
    lineup_s_ago: Option<u64>,
    requests: u64,
}

impl ClientView {
    fn new(client: &Client, now: Mono) -> Self {
        Self {
            address: client.address.to_string(),
            name: client.kind.name(),
            user_agent: client.user_agent.as_str().to_owned(),
            asked: match client.asked {
                Wish::Discovery | Wish::Ssdp => "discovery",
                Wish::Control => "control",
                Wish::Device => "device",
                Wish::Lineup => "lineup",
                Wish::Status => "status",
                Wish::Guide => "guide",
                Wish::Stream => "stream",
                Wish::Page => "page",
            },
            asked_s_ago: now.ms_since(client.at) / 1_000,
            lineup_s_ago: client.lineup_at.map(|at| now.ms_since(at) / 1_000),
            requests: client.count,
        }
    }
}

/// Everybody who asked this box lately, whoever asked last first.
pub(super) fn client_views(app: &App) -> Vec<ClientView> {
    let now = clock::mono();
    app.clients.list().iter().map(|client| ClientView::new(client, now)).collect()
}

/// Those of them whom the page names: people who look at it know that themselves.
fn clients_shown(app: &App, now: Mono) -> Vec<ClientView> {
    let list = app.clients.list();
    let is_wanted = |kind| !matches!(kind, ClientKind::Browser | ClientKind::Doctor);
    let wanted = list.iter().filter(|client| is_wanted(client.kind) && client.asked != Wish::Page);
    wanted.take(CLIENTS_SHOWN).map(|client| ClientView::new(client, now)).collect()
}

/// One log line.
pub(super) fn log_entry(app: &App, id: &str) -> Answer {
    app.logs.entry(id).map(|entry| fresh(&LogEntry::new(app, &entry))).ok_or(Error::NotFound)
}

#[derive(Serialize)]
pub(super) struct Status {
    name: String,
    version: &'static str,
    device_id: String,
    board: String,
    model: &'static str,
    uptime_s: u64,
    level: &'static str,
    sentence: String,
    problems: Vec<ProblemView>,
    addresses: Addresses,
    tuners: Vec<TunerView>,
    channels_len: usize,
    channels_ill: Vec<IllView>,
    channels_ill_len: usize,
    playlist: PlaylistView,
    clients: Vec<ClientView>,
    sources: Vec<SourceView>,
    board_health: BoardView,
    /// What makes pictures smaller, in order of preference; empty where nothing is to.
    encoders: Vec<Shown>,
    /// How many tuners there are, and why.
    capacity: capacity::Shown,
}

/// A subscription, as far as one wants to know at a glance.
#[derive(Serialize)]
struct SourceView {
    id: u32,
    name: String,
    kind: &'static str,
    /// off, refreshing, failed or ok.
    state: &'static str,
    error: Option<String>,
    entries: u32,
    refreshed_at: Option<String>,
    next_refresh_in_s: Option<u64>,
    expires_at: Option<String>,
    streams: StreamsView,
}

#[derive(Serialize)]
struct StreamsView {
    /// Null where nobody counts them, because there is no limit.
    used: Option<usize>,
    max: Option<u16>,
}

/// What the board tells; null: it does not.
#[derive(Serialize)]
struct BoardView {
    model: Option<String>,
    temperature_c: Option<f64>,
    throttled: Option<bool>,
    under_voltage: Option<bool>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    /// What tunerd and its children may have of it; null: all.
    memory_max_bytes: Option<u64>,
    card_written_today_bytes: Option<u64>,
    clock_synced: Option<bool>,
    link_mbit: Option<u32>,
}

impl From<Seen> for BoardView {
    fn from(seen: Seen) -> Self {
        Self {
            model: seen.model,
            temperature_c: seen.heat_milli_c.map(|heat| f64::from(heat) / 1e3),
            throttled: seen.throttled,
            under_voltage: seen.under_voltage,
            memory_used_bytes: seen.memory.map(|memory| memory.total_bytes.saturating_sub(memory.available_bytes)),
            memory_total_bytes: seen.memory.map(|memory| memory.total_bytes),
            memory_max_bytes: facts::memory_max_bytes(),
            card_written_today_bytes: seen.written_today_bytes,
            clock_synced: seen.clock_synced,
            link_mbit: seen.link_mbit,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ProblemView {
    topic: &'static str,
    level: Option<&'static str>,
    text: String,
    since: Option<String>,
    first: Option<String>,
    last: Option<String>,
    count: u32,
}

impl From<Problem> for ProblemView {
    fn from(problem: Problem) -> Self {
        let Problem { name, level, text, since, first, last, count } = problem;
        Self {
            topic: name,
            level: level.map(AlarmLevel::name),
            text,
            since: level.map(|_| since.to_string()),
            first: (count > 0).then(|| first.to_string()),
            last: (count > 0).then(|| last.to_string()),
            count,
        }
    }
}

/// All alarms, those that are not raised included: their `level` is null, and the rest tells of the last time.
pub(super) fn alarm_views(app: &App) -> Vec<ProblemView> {
    app.problems.alarms().into_iter().map(ProblemView::from).collect()
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
    since_s: u64,
    channel: Option<ChannelView>,
    /// From which of the channel's sources, counted from 0 in their order.
    source: u8,
    /// In which profile; null as it is.
    profile: Option<&'static str>,
    /// What is done for it: `pull` and `copy` pass on what the source sends, without and with FFmpeg, `sound` encodes the
    /// sound, `encode` all of it.
    path: Option<&'static str>,
    viewers: Vec<ViewerView>,
    /// Of the viewers: how many hold on without a picture.
    held: usize,
    /// What they read in place of it; null while they get nothing.
    slate: Option<String>,
    health: &'static str,
    /// What there is to be seen.
    picture: &'static str,
    /// Since when; null while that is unknown.
    picture_since_s: Option<u64>,
    /// Counts from 1; more than that is a restart.
    attempt: usize,
    next_try_in_s: Option<u64>,
    /// Why the next viewer would be refused, in plain words; null: he would not.
    refuses: Option<String>,
    refuses_why: Option<RefusesView>,
    bits_per_s: u64,
    continuity_errors: u64,
    overtaken: u64,
}

/// The same for programs: which reason, and its figures where it has some.
#[derive(Serialize)]
struct RefusesView {
    code: &'static str,
    /// Streams that an account allows.
    streams: Option<u16>,
    free_bytes: Option<u64>,
    needed_bytes: Option<u64>,
    retry_in_s: Option<u64>,
}

impl RefusesView {
    fn new(obstacle: Obstacle, now: Mono) -> Self {
        let (mut streams, mut bytes) = (None, None);
        match obstacle {
            Obstacle::Account { streams_max } => streams = Some(streams_max),
            Obstacle::Memory { free_bytes, needed_bytes } => bytes = Some((free_bytes, needed_bytes)),
            _ => {}
        }
        Self {
            code: obstacle.name(),
            streams,
            free_bytes: bytes.map(|(free, _)| free),
            needed_bytes: bytes.map(|(_, needed)| needed),
            retry_in_s: obstacle.until().map(|until| seconds_until(now, until)),
        }
    }
}

#[derive(Serialize)]
struct ChannelView {
    number: String,
    name: String,
}

/// A channel that rests, is tried, or failed lately.
#[derive(Serialize)]
struct IllView {
    channel_id: u32,
    number: Option<String>,
    name: Option<String>,
    /// Which of its sources, counted from 0 in their order.
    source: u8,
    state: &'static str,
    failures: usize,
    last_failure: Option<&'static str>,
    why: Option<&'static str>,
    /// Trying again cannot help before a person changes something.
    needs_help: bool,
    /// When it may be tried again, if somebody wants it; 0: now.
    next_try_in_s: u64,
}

impl IllView {
    fn new(view: &GuardView, lineup: Option<&Lineup>, now: Mono) -> Self {
        let channel = lineup.and_then(|lineup| lineup.by_id(view.channel));
        let next_try_at = match view.state {
            BreakerState::Open => view.open_until.max(view.restart_at),
            BreakerState::Closed => view.restart_at,
            BreakerState::HalfOpen => None,
        };
        Self {
            channel_id: view.channel.0,
            number: channel.map(|channel| channel.number.as_str().to_owned()),
            name: channel.map(|channel| channel.name.clone()),
            source: view.source,
            state: match view.state {
                BreakerState::Open => "resting",
                BreakerState::HalfOpen => "trying",
                BreakerState::Closed => "failing",
            },
            failures: view.failures_len,
            last_failure: view.last_failure.map(Failure::name),
            why: view.last_failure.map(Failure::words),
            needs_help: view.state == BreakerState::Open && view.last_failure.is_some_and(Failure::is_final),
            next_try_in_s: next_try_at.map_or(0, |at| seconds_until(now, at)),
        }
    }
}

/// Rounded up: whoever waits so long is not too early.
fn seconds_until(now: Mono, at: Mono) -> u64 {
    at.ms_since(now).div_ceil(1_000)
}

fn is_ill(view: &GuardView) -> bool {
    view.state != BreakerState::Closed || view.failures_len > 0
}

/// How many channels are in trouble.
pub(super) fn ill_len(app: &App) -> usize {
    app.engine.channels().iter().filter(|view| is_ill(view)).count()
}

/// Channels in trouble, the worst first, and how many there are in all.
fn ill_channels(app: &App, lineup: Option<&Lineup>, now: Mono) -> (Vec<IllView>, usize) {
    let mut ill = app.engine.channels();
    ill.retain(is_ill);
    ill.sort_by_key(|view| {
        let rank = match view.state {
            BreakerState::Open => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Closed => 2,
        };
        (rank, std::cmp::Reverse(view.failures_len), view.channel)
    });
    let shown = ill.iter().take(ILL_CHANNELS_MAX).map(|view| IllView::new(view, lineup, now));
    (shown.collect(), ill.len())
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

/// How the box is, for its page.
pub(super) fn status(app: &App, asked: &Asked) -> Status {
    app.check_ffmpeg();
    let (lineup, now) = (app.engine.lineup(), clock::mono());
    let tuners = app.engine.tuners();
    let problems = app.problems.list();
    let base = asked.reach.base.to_string();
    let channels_len = lineup.as_ref().map_or(0, |lineup| lineup.channels().len());
    let playlist = app.subscriptions.status();
    let (level, sentence) = sentence(lineup.is_some(), channels_len, &tuners, &problems);
    let (channels_ill, channels_ill_len) = ill_channels(app, lineup.as_deref(), now);
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
        since_s: now.ms_since(tuner.view.since.max(clock::started())) / 1_000,
        held: tuner.view.held,
        slate: tuner.slate.as_deref().map(str::to_owned),
        health: match tuner.view.health {
            Health::Unknown => "unknown",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Silent => "silent",
        },
        picture: tuner.sight.0.name(),
        picture_since_s: (tuner.sight.0 != Sight::Unknown).then(|| now.ms_since(tuner.sight.1) / 1_000),
        attempt: tuner.view.attempt,
        next_try_in_s: tuner.view.next_try_at.map(|at| seconds_until(now, at)),
        refuses: tuner.obstacle.map(|obstacle| obstacle.words(now)),
        refuses_why: tuner.obstacle.map(|obstacle| RefusesView::new(obstacle, now)),
        channel: tuner
            .view
            .channel
            .zip(lineup.as_ref())
            .and_then(|(id, lineup)| lineup.by_id(id))
            .map(|channel| ChannelView { number: channel.number.as_str().to_owned(), name: channel.name.clone() }),
        source: tuner.view.source,
        profile: Some(tuner.view.profile).filter(|profile| *profile != Profile::None).map(Profile::name),
        path: tuner.view.work.map(Work::name),
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
    Status {
        name: app.name(),
        version: env!("CARGO_PKG_VERSION"),
        device_id: app.device_id.to_string(),
        board: app.board.clone(),
        model: app.model().0,
        uptime_s: app.metrics.uptime_s(now),
        level,
        sentence,
        problems: problems.into_iter().map(ProblemView::from).collect(),
        addresses: Addresses {
            host_port: base.trim_start_matches("http://").to_owned(),
            lineup_m3u: format!("{base}/lineup.m3u"),
            guide: format!("{base}/xmltv.xml"),
            base,
        },
        tuners: tuners.iter().map(view).collect(),
        channels_len,
        channels_ill,
        channels_ill_len,
        playlist: PlaylistView {
            in_use: app.subscriptions.has_playlist(),
            in_progress: playlist.in_progress,
            found: playlist.found,
            skipped: playlist.skipped,
            first_skipped: playlist.first_skipped,
            loaded_at: playlist.loaded_at.map(|at| at.to_string()),
        },
        clients: clients_shown(app, now),
        sources: sources(app, &tuners, lineup.as_deref()),
        board_health: app.vitals.look().into(),
        encoders: app.engine.encoders(),
        capacity: app.capacity.shown(),
    }
}

/// All subscriptions, and how many streams of their accounts are in use.
fn sources(app: &App, tuners: &[Tuner], lineup: Option<&Lineup>) -> Vec<SourceView> {
    let account_of = |tuner: &Tuner| {
        let channel = lineup?.by_id(tuner.view.channel?)?;
        match channel.sources.get(usize::from(tuner.view.source))? {
            Source::Url { account, .. } => account.map(|account| account.id),
            Source::Demo(_) => None,
        }
    };
    let playing: Vec<_> = tuners.iter().filter(|tuner| !tuner.is_free()).filter_map(account_of).collect();
    let view = |view: View| {
        let Subscription { id, kind, name, streams_max, enabled, .. } = view.subscription;
        let account = &view.listing.account;
        let max = streams_max.or(account.connections_max);
        SourceView {
            id: id.0,
            name,
            kind: kind.name(),
            state: match (&view.error, view.in_progress, enabled) {
                (_, _, false) => "off",
                (_, true, true) => "refreshing",
                (Some(_), ..) => "failed",
                (None, ..) => "ok",
            },
            error: view.error,
            entries: view.listing.entries,
            refreshed_at: view.listing.loaded_at.map(|at| at.to_string()),
            next_refresh_in_s: view.next_in_s,
            expires_at: account.expires_at.map(|at| at.to_string()),
            streams: StreamsView { used: max.map(|_| playing.iter().filter(|account| **account == id.0).count()), max },
        }
    };
    app.subscriptions.list().into_iter().map(view).collect()
}

/// The state of the box in one sentence, and how good that is: ill where somebody has or will have no picture, busy
/// where there is something to know.
fn sentence(loaded: bool, channels_len: usize, tuners: &[Tuner], problems: &[Problem]) -> (&'static str, String) {
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
    let critical = problems.iter().filter(|problem| problem.level == Some(AlarmLevel::Critical)).count();
    // That the tuners are taken stands in the sentence anyway.
    let is_pressure = |problem: &&Problem| problem.name == Alarm::PoolPressure.name();
    let warnings = problems.len() - critical - problems.iter().filter(is_pressure).count();
    match (loaded, critical, warnings) {
        (false, ..) => ("ill", "There are no channels yet.".to_owned()),
        (true, 1, _) => ("ill", format!("There is a problem. {channels}, {of_tuners}.")),
        (true, 2.., _) => ("ill", format!("There are {critical} problems. {channels}, {of_tuners}.")),
        (true, 0, 1) => ("busy", format!("Working, with a warning. {channels}, {of_tuners}.")),
        (true, 0, 2..) => ("busy", format!("Working, with {warnings} warnings. {channels}, {of_tuners}.")),
        (true, 0, 0) if free == 0 || !problems.is_empty() => ("busy", format!("Working. {channels}, {of_tuners}.")),
        (true, 0, 0) => ("good", format!("Ready. {channels}, {of_tuners}.")),
    }
}

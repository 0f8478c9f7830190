//! Which address means what. The table is closed: what does not stand here does not exist.

use super::answer::{self, Body};
use super::{App, Playing, api, device, guide, page};
use crate::clock;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HOST, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use pure::limits::{BODY_BYTES_MAX, TARGET_BYTES_MAX};
use pure::model::guide_number::GuideNumber;
use pure::rules::pool::SlotIndex;
use pure::wire::log_id::{LOG_ID_CHARS, LogId};
use std::net::{Ipv4Addr, SocketAddr};

/// Where a request came from, and where it came in.
pub(super) struct Asked {
    /// Our address as the client sees it.
    pub(super) local: Ipv4Addr,
    /// The client's.
    pub(super) peer: SocketAddr,
}

/// What becomes of a request.
pub(super) enum Outcome {
    Answer(Response<Body>),
    Play(Box<Playing>),
}

/// What a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Asset(&'static page::Asset),
    Discover,
    LineupJson,
    LineupXml,
    LineupM3u,
    LineupStatus,
    LineupPost,
    Status,
    DeviceXml,
    Guide,
    Health,
    Metrics,
    ApiStatus,
    ApiAlarms,
    ChannelRetry,
    LogEntries,
    LogEntry { id: &'a str },
    Stream { tuner: Option<SlotIndex>, number: &'a str },
}

/// The fixed addresses. They are looked up before anything that holds a number or an id.
const TABLE: [(&str, Route<'static>); 15] = [
    ("/discover.json", Route::Discover),
    ("/lineup.json", Route::LineupJson),
    ("/lineup.xml", Route::LineupXml),
    ("/lineup.m3u", Route::LineupM3u),
    ("/lineup_status.json", Route::LineupStatus),
    ("/lineup.post", Route::LineupPost),
    ("/status.json", Route::Status),
    ("/device.xml", Route::DeviceXml),
    ("/xmltv.xml", Route::Guide),
    ("/healthz", Route::Health),
    ("/metrics", Route::Metrics),
    ("/api/status", Route::ApiStatus),
    ("/api/alarms", Route::ApiAlarms),
    ("/api/channels/retry", Route::ChannelRetry),
    ("/api/logs/entries", Route::LogEntries),
];

/// In front of the id of a log line.
const LOG_ENTRY: [&str; 2] = ["/api/logs/entry/", "/api/logs/"];

/// Whether a part of the path is as long as an id of a log line, and could be taken for one (S22).
const fn has_part_like_an_id(path: &str) -> bool {
    let bytes = path.as_bytes();
    let (mut at, mut len) = (0, 0);
    while at < bytes.len() {
        len = if bytes[at] == b'/' { 0 } else { len + 1 };
        let ends = at + 1 == bytes.len() || bytes[at + 1] == b'/';
        if ends && len == LOG_ID_CHARS {
            return true;
        }
        at += 1;
    }
    false
}
const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(!has_part_like_an_id(TABLE[index].0), "an id could be taken for a fixed part of a path");
        index += 1;
    }
    assert!(!has_part_like_an_id(LOG_ENTRY[0]), "an id could be taken for a fixed part of a path");
};

fn route(path: &str) -> Option<Route<'_>> {
    let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
    let fixed = TABLE.iter().find(|(fixed, _)| *fixed == path).map(|(_, route)| *route);
    fixed.or_else(|| page::asset(path).map(Route::Asset)).or_else(|| log_entry(path)).or_else(|| stream(path))
}

/// `/api/logs/entry/{id}`, and `/api/logs/{id}` for the same. Whether there is such a line is not known here.
fn log_entry(path: &str) -> Option<Route<'_>> {
    let id = LOG_ENTRY.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    LogId::parse(id).map(|_| Route::LogEntry { id })
}

/// `/auto/v5.1` and `/tuner0/v5.1`.
fn stream(path: &str) -> Option<Route<'_>> {
    let (resource, channel) = path.strip_prefix('/')?.split_once('/')?;
    let number = channel.strip_prefix('v')?;
    let tuner = match resource.strip_prefix("tuner") {
        None if resource == "auto" => None,
        // Digits only: "+1" is no tuner.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(SlotIndex(digits.parse().ok()?)),
        _ => return None,
    };
    Some(Route::Stream { tuner, number })
}

/// The value of the first `key=` in a query; clients append a second `?` without looking, so that separates as well.
pub(super) fn query<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split(['&', '?']).find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// Answers a request, or lets it play.
pub(super) async fn respond(app: &App, asked: &Asked, request: &Request<Incoming>) -> Outcome {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > TARGET_BYTES_MAX) {
        return Outcome::Answer(answer::plain(StatusCode::URI_TOO_LONG, answer::TEXT, ""));
    }
    let body_bytes = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if body_bytes.is_some_and(|bytes: u64| bytes > BODY_BYTES_MAX as u64) {
        return Outcome::Answer(answer::plain(StatusCode::PAYLOAD_TOO_LARGE, answer::TEXT, ""));
    }
    let Some(route) = route(request.uri().path()) else { return Outcome::Answer(answer::not_found()) };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = match route {
        Route::LineupPost | Route::ChannelRetry if *request.method() != Method::POST => answer::wrong_method("POST"),
        Route::LineupPost | Route::ChannelRetry if is_foreign(request) => {
            answer::plain(StatusCode::FORBIDDEN, answer::TEXT, "")
        }
        Route::LineupPost => device::lineup_post(app, request),
        Route::ChannelRetry => api::channel_retry(app, request.uri().query().unwrap_or_default()),
        _ if !is_read => answer::wrong_method("GET, HEAD"),
        Route::Asset(asset) => page::serve(asset, request),
        Route::Discover => device::discover(app, asked),
        Route::LineupJson => device::lineup_json(app, asked),
        Route::LineupXml => device::lineup_xml(app, asked),
        Route::LineupM3u => device::lineup_m3u(app, asked),
        Route::LineupStatus => device::lineup_status(app),
        Route::Status => device::status(app),
        Route::DeviceXml => device::device_xml(app, asked),
        Route::Guide => guide::xmltv(app).await,
        Route::Health => api::health(app),
        Route::Metrics => api::metrics(app),
        Route::ApiStatus => api::status(app, asked),
        Route::ApiAlarms => api::alarms(app),
        Route::LogEntries => api::log_entries(app, request.uri().query().unwrap_or_default()),
        Route::LogEntry { id } => api::log_entry(app, id),
        Route::Stream { tuner, number } => return play(app, asked, request, tuner, number).await,
    };
    Outcome::Answer(answer)
}

/// A page of somebody else must not make the owner's browser knock here.
fn is_foreign(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    headers.get(ORIGIN).is_some_and(|origin| {
        origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")).is_none_or(|origin| Some(origin) != host)
    })
}

async fn play(
    app: &App,
    asked: &Asked,
    request: &Request<Incoming>,
    tuner: Option<SlotIndex>,
    number: &str,
) -> Outcome {
    let Some(lineup) = app.engine.lineup() else { return Outcome::Answer(device::loading()) };
    let channel = number.parse::<GuideNumber>().ok().and_then(|number| lineup.by_number(&number).map(|found| found.id));
    let Some(channel) = channel else {
        app.metrics.refused_unknown_channel();
        return Outcome::Answer(answer::unknown_channel());
    };
    if *request.method() == Method::HEAD {
        // Clients look before they tune; that must not take a tuner.
        return Outcome::Answer(device::stream_head());
    }
    let duration_s: Option<u64> =
        query(request.uri().query().unwrap_or_default(), "duration").and_then(|s| s.parse().ok());
    match app.engine.watch(channel, tuner, asked.peer).await {
        Ok(viewer) => {
            let ends_at = duration_s.map(|seconds| clock::mono().plus_ms(seconds.saturating_mul(1_000)));
            Outcome::Play(Box::new(Playing { viewer, ends_at }))
        }
        Err(refusal) => Outcome::Answer(answer::refused(refusal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_found_by_tuner_and_number() {
        let found = |path| route(path);
        let stream = |tuner: Option<u8>, number| Some(Route::Stream { tuner: tuner.map(SlotIndex), number });
        assert_eq!(found("/auto/v5.1"), stream(None, "5.1"));
        assert_eq!(found("/tuner0/v5.1/"), stream(Some(0), "5.1"));
        assert_eq!(found("/tuner12/v7"), stream(Some(12), "7"));
        for nothing in ["/auto/5.1", "/tuner/v5", "/tuner-1/v5", "/tuner+1/v5", "/tuner256/v5", "/auto/../v5", "//v5"] {
            assert_eq!(found(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn only_what_stands_in_the_table_exists() {
        for nothing in
            ["/..%2f..%2fetc/passwd", "/%2e%2e/", "/api//logs", "/api/logs/entriesx", "/LINEUP.JSON", "/a\0b"]
        {
            assert_eq!(route(nothing), None, "{nothing}");
        }
        assert_eq!(route("/lineup.json/"), Some(Route::LineupJson));
    }

    #[test]
    fn the_word_entries_is_no_id_and_an_id_is_no_word() {
        let id = "ABEiM0RVZneImaq7zN3u_w";
        for path in ["/api/logs/ABEiM0RVZneImaq7zN3u_w", "/api/logs/entry/ABEiM0RVZneImaq7zN3u_w/"] {
            assert_eq!(route(path), Some(Route::LogEntry { id }), "{path}");
        }
        assert_eq!(route("/api/logs/entries"), Some(Route::LogEntries));
        for nothing in [
            "/api/logs/entry",
            "/api/logs/entry/",
            "/api/logs/entry/entries",
            "/api/logs/entries/ABEiM0RVZneImaq7zN3u_w",
            "/api/logs/ABEiM0RVZneImaq7zN3u_w==",
            "/api/logs/ABEiM0RVZneImaq7zN3u_x",
            "/api/logs/ABEiM0RVZneImaq7zN3u_",
            "/api/logs/ABEiM0RVZneImaq7zN3u_wA",
            "/api/logs/%41BEiM0RVZneImaq7zN3u_w",
            "/api/logs/entry/ABEiM0RVZneImaq7zN3u_w/x",
        ] {
            assert_eq!(route(nothing), None, "{nothing}");
        }
        assert!(has_part_like_an_id("/api/ABEiM0RVZneImaq7zN3u_w/x") && has_part_like_an_id("/ABEiM0RVZneImaq7zN3u_w"));
        assert!(!has_part_like_an_id("/ABEiM0RVZneImaq7zN3u_wA/") && !has_part_like_an_id("/"));
    }

    #[test]
    fn queries_are_read_as_clients_write_them() {
        assert_eq!(query("duration=5", "duration"), Some("5"));
        assert_eq!(query("a=1?transcode=none&duration=9", "duration"), Some("9"));
        assert_eq!(query("show=found&tuning", "tuning"), None);
        assert_eq!(query("scan=start&source=Cable", "source"), Some("Cable"));
        assert_eq!(query("favorite=+5.1", "favorite"), Some("+5.1"));
    }
}

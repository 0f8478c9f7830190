//! Which address means what. The table is closed: what does not stand here does not exist.

use super::access;
use super::answer::{self, Body};
use super::identity::CHANNEL_MAP;
use super::lineup::{self, Form};
use super::{App, Playing, Reach, api, device, guide, owner, page, pages, v1};
use crate::clock;
use crate::doctor::prove::TEST_PICTURE;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, ORIGIN, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use pure::limits::TARGET_BYTES_MAX;
use pure::model::channel_map::{MuxPlan, RfProgramme};
use pure::model::face::{Cut, Face, Share};
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::{ChannelId, Lineup, TEST_CHANNEL};
use pure::model::profile::Profile;
use pure::rules::access::Scope;
use pure::rules::clients::Asked as Wish;
use pure::rules::pool::{Refusal, SlotIndex};
use pure::wire::log_id::{LOG_ID_CHARS, LogId};
use pure::wire::percent;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// Who asks, and how he reaches us.
#[derive(Clone)]
pub(super) struct Asked {
    /// Our addresses as the client can use them.
    pub(super) reach: Reach,
    /// The client's.
    pub(super) peer: SocketAddr,
    /// Where he reached us.
    pub(super) local: IpAddr,
    /// The face that he asks; `None`: the box itself.
    pub(super) face: Option<Rc<Face>>,
}

impl Asked {
    /// What his viewers may occupy.
    fn share(&self) -> Share {
        self.face.as_ref().map_or(Share::BOX, |face| face.share())
    }

    /// What he sees of a lineup; `None`: everything.
    pub(super) fn cut(&self, app: &App, lineup: &Arc<Lineup>) -> Option<Rc<Cut>> {
        let marks = app.subscriptions.marks();
        self.face.as_ref().map(|face| app.subscriptions.cut(face, lineup, &marks))
    }

    /// Whether he asks from the box itself.
    fn is_here(&self) -> bool {
        let peer = self.peer.ip().to_canonical();
        peer.is_loopback() || peer == self.local.to_canonical()
    }

    /// How many tuners he has.
    pub(super) fn tuners_len(&self, app: &App) -> usize {
        app.engine.tuners_len().min(usize::from(self.share().slots_max))
    }
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
    Lineup(Form),
    LineupStatus,
    LineupPost,
    LineupPage,
    Status,
    TunersPage,
    UpgradeStatus,
    DeviceXml,
    Guide(guide::Form),
    Health,
    Metrics,
    SecurityTxt,
    LogEntries,
    LogEntry {
        id: &'a str,
    },
    /// Below [`v1::PREFIX`].
    Api {
        path: &'a str,
    },
    Logo {
        channel: u32,
        fingerprint: u64,
    },
    /// A picture that every box has, for who is on the box itself.
    TestPicture,
    Stream {
        tuner: Option<SlotIndex>,
        what: Tuned<'a>,
    },
}

/// What a stream's address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tuned<'a> {
    /// A guide number.
    Virtual(&'a str),
    /// A frequency or a channel number of the map, maybe with a programme.
    Physical(&'a str),
}

impl Tuned<'_> {
    /// The channel that is meant, and where it stands.
    fn find(self, lineup: &Lineup) -> Option<(usize, ChannelId)> {
        match self {
            Self::Virtual(number) => {
                let number: GuideNumber = number.parse().ok()?;
                let id = lineup.by_number(&number)?.id;
                Some((lineup.position(id)?, id))
            }
            Self::Physical(text) => {
                let plan = MuxPlan::new(CHANNEL_MAP, lineup.channels().len());
                // A whole mux is its first programme: each of ours has a source of its own, and a client that asks for
                // all of them plays the first.
                let position = RfProgramme::parse(text)?.channel(&plan)?;
                lineup.channels().get(position).map(|channel| (position, channel.id))
            }
        }
    }
}

/// The fixed addresses. They are looked up before anything that holds a number or an id.
const TABLE: [(&str, Route<'static>); 19] = [
    ("/discover.json", Route::Discover),
    ("/lineup.json", Route::Lineup(Form::Json)),
    ("/lineup.xml", Route::Lineup(Form::Xml)),
    ("/lineup.m3u", Route::Lineup(Form::M3u)),
    ("/lineup_status.json", Route::LineupStatus),
    ("/lineup.post", Route::LineupPost),
    ("/lineup.html", Route::LineupPage),
    ("/status.json", Route::Status),
    ("/tuners.html", Route::TunersPage),
    ("/upgrade_status.json", Route::UpgradeStatus),
    ("/device.xml", Route::DeviceXml),
    ("/playlist.m3u", Route::Lineup(Form::Playlist)),
    ("/xmltv.xml", Route::Guide(guide::Form::Xml)),
    ("/xmltv.xml.gz", Route::Guide(guide::Form::Gzip)),
    ("/healthz", Route::Health),
    ("/metrics", Route::Metrics),
    ("/.well-known/security.txt", Route::SecurityTxt),
    ("/api/logs/entries", Route::LogEntries),
    (TEST_PICTURE, Route::TestPicture),
];

/// In front of the id of a log line, where it was before there was a version.
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
    fixed
        .or_else(|| page::asset(path).map(Route::Asset))
        .or_else(|| path.strip_prefix(v1::PREFIX).filter(|path| path.starts_with('/')).map(|path| Route::Api { path }))
        .or_else(|| log_entry(path))
        .or_else(|| logo(path))
        .or_else(|| stream(path))
}

/// `/api/logs/entry/{id}`, and `/api/logs/{id}` for the same. Whether there is such a line is not known here.
fn log_entry(path: &str) -> Option<Route<'_>> {
    let id = LOG_ENTRY.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    LogId::parse(id).map(|_| Route::LogEntry { id })
}

/// `/logos/17/0123456789abcdef`.
fn logo(path: &str) -> Option<Route<'_>> {
    let (channel, fingerprint) = path.strip_prefix("/logos/")?.split_once('/')?;
    let is_plain = fingerprint.len() == 16 && channel.bytes().all(|byte| byte.is_ascii_digit());
    let fingerprint = u64::from_str_radix(fingerprint, 16).ok().filter(|_| is_plain)?;
    Some(Route::Logo { channel: channel.parse().ok()?, fingerprint })
}

/// `/auto/v5.1`, `/tuner0/v5.1`, `/auto/ch473000000-1` and `/tuner0/ch14`.
fn stream(path: &str) -> Option<Route<'_>> {
    let (resource, channel) = path.strip_prefix('/')?.split_once('/')?;
    let what = match channel.strip_prefix("ch") {
        Some(physical) => Tuned::Physical(physical),
        None => Tuned::Virtual(channel.strip_prefix('v')?),
    };
    let tuner = match resource.strip_prefix("tuner") {
        None if resource == "auto" => None,
        // Digits only: "+1" is no tuner. One beyond all numbers is like any other that is not there.
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(SlotIndex(digits.parse().unwrap_or(u8::MAX)))
        }
        _ => return None,
    };
    Some(Route::Stream { tuner, what })
}

/// The value of the first `key=` in a query; clients append a second `?` without looking, so that separates as well.
pub(super) fn query<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split(['&', '?']).find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// The same with `%20` and the like decoded; none where that makes no text.
pub(super) fn query_text(text: &str, key: &str) -> Option<String> {
    String::from_utf8(percent::decode(query(text, key)?)).ok()
}

/// Whether `key` stands in a query, with a value or without.
pub(super) fn has(query: &str, key: &str) -> bool {
    query
        .split(['&', '?'])
        .any(|pair| pair.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
}

/// What a client wants, for the record of who asked; none for what no client of ours asks.
const fn wish(route: Route<'_>) -> Option<Wish> {
    match route {
        Route::Discover | Route::DeviceXml => Some(Wish::Device),
        Route::Lineup(_) => Some(Wish::Lineup),
        Route::LineupStatus | Route::LineupPost | Route::Status | Route::TunersPage | Route::UpgradeStatus => {
            Some(Wish::Status)
        }
        Route::Guide(_) => Some(Wish::Guide),
        Route::Stream { .. } => Some(Wish::Stream),
        Route::Asset(_) | Route::LineupPage => Some(Wish::Page),
        Route::Health
        | Route::Metrics
        | Route::SecurityTxt
        | Route::LogEntries
        | Route::Api { .. }
        | Route::TestPicture
        | Route::Logo { .. }
        | Route::LogEntry { .. } => None,
    }
}

/// Whether a further face answers that: what a device is asked, and nothing that is about the box.
const fn is_of_faces(route: Route<'_>) -> bool {
    matches!(
        route,
        Route::Discover
            | Route::Lineup(_)
            | Route::LineupStatus
            | Route::LineupPost
            | Route::Status
            | Route::UpgradeStatus
            | Route::DeviceXml
            | Route::Guide(_)
            | Route::Logo { .. }
            | Route::Stream { .. }
    )
}

/// Whether it is a method that HTTP itself has.
fn is_known(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH]
        .contains(method)
}

/// Answers a request, or lets it play.
pub(super) async fn respond(app: &Rc<App>, asked: &Asked, request: Request<Incoming>) -> Outcome {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > TARGET_BYTES_MAX) {
        return Outcome::Answer(answer::plain(StatusCode::URI_TOO_LONG, answer::TEXT, ""));
    }
    let body_bytes = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, ());
    let route = route(request.uri().path());
    let bytes_max = v1::body_bytes_max(request.method(), request.uri().path());
    if body_bytes.is_some_and(|bytes: u64| bytes > bytes_max as u64) {
        return Outcome::Answer(match route {
            Some(Route::Api { .. }) => {
                answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &format!("At most {bytes_max} bytes."), None)
            }
            _ => answer::plain(StatusCode::PAYLOAD_TOO_LARGE, answer::TEXT, ""),
        });
    }
    if !is_known(request.method()) {
        return Outcome::Answer(answer::no_such_method());
    }
    if let Err(no) = access::host(app, asked, &request) {
        return Outcome::Answer(*no);
    }
    let route = route.filter(|route| asked.face.is_none() || is_of_faces(*route));
    let scope = scope(asked, route, &request);
    let judged = scope.map(|scope| access::judge(app, asked, request.headers(), request.method(), scope));
    if let Some(Err(no)) = judged {
        return Outcome::Answer(*no);
    }
    let Some(route) = route else { return Outcome::Answer(answer::not_found()) };
    if let Some(wish) = wish(route) {
        let agent = request.headers().get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        app.clients.saw(asked.peer.ip(), wish, agent);
    }
    let query = request.uri().query().unwrap_or_default();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if let Route::Api { path } = route {
        return Outcome::Answer(v1::respond(app, asked, &request, (path, query), body).await);
    }
    let is_change = route == Route::LineupPost;
    let answer = match route {
        _ if is_change && *request.method() != Method::POST => answer::wrong_method("POST"),
        _ if !is_change && !is_read => answer::wrong_method("GET, HEAD"),
        Route::LineupPost if is_browser(&request) => answer::forbidden(),
        Route::LineupPost => lineup::post(app, asked, query).await,
        Route::Logo { channel, fingerprint } => lineup::serve_logo(app, channel, fingerprint).await,
        Route::Asset(asset) => page::serve(asset, &request),
        Route::Discover => device::discover(app, asked),
        Route::Lineup(form) => lineup::document(app, asked, form, query).await,
        Route::LineupStatus => lineup::status(app),
        Route::LineupPage => pages::lineup(app, asked),
        Route::Status => device::status(app, asked),
        Route::TunersPage => pages::tuners(app, query),
        Route::UpgradeStatus => device::upgrade_status(),
        Route::DeviceXml => device::device_xml(app, asked),
        Route::Guide(form) => guide::xmltv(app, asked, form, request.headers()).await,
        Route::Health => api::health(app),
        Route::Metrics => api::metrics(app),
        Route::SecurityTxt => pages::security(app),
        Route::LogEntries => {
            api::log_entries(app, query).map_or_else(|error| owner::refuse(&error), |entries| api::fresh(&entries))
        }
        Route::LogEntry { id } => api::log_entry(app, id).unwrap_or_else(|error| owner::refuse(&error)),
        Route::Api { .. } => answer::not_found(),
        // It proves nothing to others, and would take a tuner from them.
        Route::TestPicture if !asked.is_here() => answer::not_found(),
        Route::TestPicture => match app.engine.watch(TEST_CHANNEL, Profile::None, None, Share::BOX, asked.peer).await {
            Ok(viewer) => return Outcome::Play(Box::new(Playing { viewer, ends_at: None })),
            Err(refusal) => answer::refused(refusal),
        },
        Route::Stream { tuner, what } => return play(app, asked, &request, tuner, what).await,
    };
    Outcome::Answer(answer)
}

/// What it takes to be answered; none for what any client of a device may ask, and for the page itself.
fn scope(asked: &Asked, route: Option<Route<'_>>, request: &Request<()>) -> Option<Scope> {
    let is_here = asked.peer.ip().to_canonical().is_loopback();
    match route {
        // Whoever is on the box may read its log anyway.
        Some(Route::Metrics | Route::LogEntries | Route::LogEntry { .. }) if is_here => Some(Scope::Open),
        Some(Route::Metrics | Route::LogEntries | Route::LogEntry { .. }) => Some(Scope::Read),
        // A stranger is not told what there is.
        None if request.uri().path().starts_with("/api/") && asked.face.is_none() => {
            let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
            Some(if is_read { Scope::Read } else { Scope::Admin })
        }
        _ => None,
    }
}

/// Whether a browser sent it, whose owner may not know what he asks: programs say neither of these (S11).
fn is_browser(request: &Request<()>) -> bool {
    let headers = request.headers();
    headers.contains_key(ORIGIN) || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}

async fn play(app: &App, asked: &Asked, request: &Request<()>, tuner: Option<SlotIndex>, what: Tuned<'_>) -> Outcome {
    let Some(lineup) = app.engine.lineup() else { return Outcome::Answer(lineup::loading()) };
    let is_there = tuner.is_none_or(|tuner| usize::from(tuner.0) < asked.tuners_len(app));
    let cut = asked.cut(app, &lineup);
    let is_shown = |position: usize| cut.as_ref().is_none_or(|cut| cut.has(position));
    let found = what.find(&lineup).filter(|(position, _)| is_there && is_shown(*position));
    let Some((_, channel)) = found else {
        app.metrics.refused_unknown_channel();
        return Outcome::Answer(answer::unknown_channel());
    };
    let query_text = request.uri().query().unwrap_or_default();
    // Empty is none.
    let profile = query(query_text, "transcode").filter(|profile| !profile.is_empty());
    let Ok(profile) = profile.map_or(Ok(Profile::None), str::parse) else {
        return Outcome::Answer(answer::unknown_profile());
    };
    if *request.method() == Method::HEAD {
        // Clients look before they tune; that must not take a tuner.
        return Outcome::Answer(device::stream_head());
    }
    let duration_s: Option<u64> = query(query_text, "duration").and_then(|s| s.parse().ok());
    // The tuners of a face are a number, not certain ones: which slots others occupy is nothing to its clients.
    let tuner = tuner.filter(|_| asked.face.is_none());
    match app.engine.watch(channel, profile, tuner, asked.share(), asked.peer).await {
        Ok(viewer) => {
            let ends_at = duration_s.map(|seconds| clock::mono().plus_ms(seconds.saturating_mul(1_000)));
            Outcome::Play(Box::new(Playing { viewer, ends_at }))
        }
        Err(refusal) => {
            if let (Refusal::ShareInUse, Some(face)) = (refusal, &asked.face) {
                let (channel_id, share, name) = (channel.0, face.terms.tuners, &face.terms.name);
                tracing::info!(channel_id, "all tuners of the face {name} are in use; its share is {share}");
            }
            Outcome::Answer(answer::refused(refusal))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_found_by_tuner_and_number() {
        let found = |path| route(path);
        let stream = |tuner: Option<u8>, what| Some(Route::Stream { tuner: tuner.map(SlotIndex), what });
        assert_eq!(found("/auto/v5.1"), stream(None, Tuned::Virtual("5.1")));
        assert_eq!(found("/tuner0/v5.1/"), stream(Some(0), Tuned::Virtual("5.1")));
        assert_eq!(found("/tuner12/v7"), stream(Some(12), Tuned::Virtual("7")));
        assert_eq!(found("/auto/ch473000000-1"), stream(None, Tuned::Physical("473000000-1")));
        assert_eq!(found("/tuner3/ch14"), stream(Some(3), Tuned::Physical("14")));
        assert_eq!(found("/tuner256/v5"), stream(Some(u8::MAX), Tuned::Virtual("5")), "there is no such tuner, either");
        for nothing in ["/auto/5.1", "/tuner/v5", "/tuner-1/v5", "/tuner+1/v5", "/auto/../v5", "//v5"] {
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
        assert_eq!(route("/lineup.json/"), Some(Route::Lineup(Form::Json)));
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
        assert_eq!(query("transcode=", "transcode"), Some(""));
        assert_eq!(query_text("id=a%20%C3%BC%2B+%&x", "id").as_deref(), Some("a ü++%"));
        assert_eq!(query_text("id=%ff", "id"), None);
        for (text, found) in [
            ("tuning", true),
            ("tuning=", true),
            ("show=found&tuning", true),
            ("show=found?tuning", true),
            ("?tuning", true),
            ("tunings", false),
            ("show=tuning", false),
            ("", false),
        ] {
            assert_eq!(has(text, "tuning"), found, "{text}");
        }
    }
}

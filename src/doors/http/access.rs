//! Who may ask what: the one place where a request is judged, and what a browser or a program signs in with.
//!
//! [`host`] keeps names away that are not ours, so that no foreign page can speak to us by pointing its own name at this
//! box (S10). [`judge`] keeps foreign pages from having the owner's browser knock here (S11), and everybody from what is
//! not for him (S01, S04). What devices are asked is open to the house, as with any HDHomeRun.

use super::answer::{self, Body};
use super::api::{fresh, json};
use super::owner;
use super::route::Asked;
use super::v1::{self, Call};
use super::{App, literal, page};
use crate::access::{By, Grant, Refusal, Secret, TokenFacts};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    SET_COOKIE, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use pure::limits::{PASSWORD_BODY_BYTES_MAX, TOKEN_NAME_CHARS_MAX};
use pure::rules::access::Scope;
use serde::{Deserialize, Serialize};

const COOKIE_NAME: &str = "tunerd_session";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
/// What a body of a write may be: JSON, or a file. A page of somebody else cannot send any of these unasked.
const TYPES: [&str; 3] = ["application/json", "application/octet-stream", "audio/x-mpegurl"];

/// A no; in a box because answers are large.
pub(super) type No = Box<Response<Body>>;

fn no(status: StatusCode, detail: &str) -> No {
    Box::new(answer::problem(status, detail, None))
}

// ---- Judging --------------------------------------------------------------------------------------------------------

/// Whether the last places are for who asks that: he manages the box, or gets the page to sign in with.
pub(super) fn is_owner<B>(app: &App, request: &Request<B>) -> bool {
    let path = request.uri().path();
    match path.strip_prefix(v1::PREFIX) {
        Some("/session" | "/claim") => true,
        Some(_) => grant(app, request.headers()).scope > Scope::Open,
        None => page::asset(path).is_some(),
    }
}

/// Whether the box is called by one of its names. A very old client may leave the name out of what is open to all.
pub(super) fn host(app: &App, asked: &Asked, request: &Request<()>) -> Result<(), No> {
    let foreign = |headers: &HeaderMap| headers.contains_key(PRIVATE_NETWORK);
    if *request.method() == Method::OPTIONS && foreign(request.headers()) {
        return Err(no(StatusCode::FORBIDDEN, "No page from elsewhere may speak to this box."));
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_err(|_| no(StatusCode::BAD_REQUEST, "Host is no name."))?,
        (None, _) if request.version() == Version::HTTP_10 => return Ok(()),
        _ => return Err(no(StatusCode::BAD_REQUEST, "One Host is needed.")),
    };
    let is_ours = |host: &str| is_our_name(app, asked, host);
    if is_ours(host) && request.uri().authority().is_none_or(|target| is_ours(target.as_str())) {
        return Ok(());
    }
    Err(no(
        StatusCode::MISDIRECTED_REQUEST,
        "This box is not known by this name. Ask it by its address, or add the name to the settings: names = [\"…\"] \
         below [access].",
    ))
}

fn is_our_name(app: &App, asked: &Asked, host: &str) -> bool {
    let is_named = |name: &str| app.names.iter().any(|ours| ours.eq_ignore_ascii_case(name));
    if let Some((ip, _)) = literal(host) {
        let is_own = ip == asked.local.to_canonical() || ip.is_loopback() || app.interfaces.now().is_own(ip);
        return is_own || is_named(&ip.to_string());
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let own = [app.mdns_host.borrow().clone(), format!("{}.local", app.device_id)];
    name.eq_ignore_ascii_case("localhost") || own.iter().any(|own| own.eq_ignore_ascii_case(name)) || is_named(name)
}

/// Whether this request may be answered, for something that takes this scope.
///
/// # Errors
/// The answer to give instead.
pub(super) fn judge(app: &App, asked: &Asked, headers: &HeaderMap, method: &Method, scope: Scope) -> Result<(), No> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    if *method == Method::OPTIONS {
        return Err(no(StatusCode::FORBIDDEN, "No page from elsewhere may speak to this box."));
    }
    if !headers.contains_key(HOST) {
        return Err(no(StatusCode::BAD_REQUEST, "One Host is needed."));
    }
    if is_foreign(app, headers, is_read) {
        return Err(no(StatusCode::FORBIDDEN, "This comes from a page of somebody else."));
    }
    let grant = grant(app, headers);
    if grant.scope < scope {
        return Err(refuse_scope(app, asked, grant));
    }
    // A browser says where a change comes from; whatever has its cookie and does not is none.
    if !is_read && scope > Scope::Open && grant.by == By::Session && !headers.contains_key(ORIGIN) {
        return Err(no(StatusCode::FORBIDDEN, "A change by a browser needs Origin; programs have tokens."));
    }
    if !is_read && !has_good_type(headers) {
        return Err(no(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send application/json."));
    }
    Ok(())
}

/// A page of somebody else must not make the owner's browser knock here.
fn is_foreign(app: &App, headers: &HeaderMap, is_read: bool) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_ours = |origin: &HeaderValue| {
        let origin = origin.to_str().unwrap_or_default();
        match (origin.strip_prefix("http://"), origin.strip_prefix("https://")) {
            (Some(origin), _) => origin.eq_ignore_ascii_case(host),
            // Somebody whom the owner named stands in front of the box and speaks TLS.
            (_, Some(origin)) => origin.eq_ignore_ascii_case(host) && app.names.iter().any(|name| is_host(host, name)),
            _ => false,
        }
    };
    let mut origins = headers.get_all(ORIGIN).iter();
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    // Typed into the browser's line, a look is fine.
    !origins.all(is_ours) || !sites.all(|site| site == "same-origin" || is_read && site == "none")
}

/// Whether a `Host` is this name, with or without a port.
fn is_host(host: &str, name: &str) -> bool {
    let rest = host.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name)).map(|_| &host[name.len()..]);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn has_good_type(headers: &HeaderMap) -> bool {
    let is_empty = !headers.contains_key(TRANSFER_ENCODING)
        && headers.get(CONTENT_LENGTH).is_none_or(|length| length.as_bytes() == b"0");
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    is_empty
        || types.next().and_then(|found| found.to_str().ok()).is_some_and(|found| {
            let essence = found.split(';').next().unwrap_or_default().trim();
            TYPES.iter().any(|good| good.eq_ignore_ascii_case(essence))
        }) && types.next().is_none()
}

fn grant(app: &App, headers: &HeaderMap) -> Grant {
    let authorization = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    let token = authorization.map(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        // Whatever else it is, it is none of our tokens.
        _ => "",
    });
    app.access.judge(sessions(headers), token)
}

fn sessions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

fn refuse_scope(app: &App, asked: &Asked, grant: Grant) -> No {
    if grant.scope > Scope::Open {
        return no(StatusCode::FORBIDDEN, "This token is for looking only.");
    }
    let view = app.access.view();
    let detail = match (view.claimed, view.claim_left_ms) {
        (true, _) => "Sign in, or send a token: Authorization: Bearer …",
        (false, Some(_)) if is_near(app, asked) => "The box has no password yet. Open its page and set one.",
        (false, Some(_)) => FAR,
        (false, None) => CLOSED,
    };
    let mut answer = no(StatusCode::UNAUTHORIZED, detail);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tunerd\""));
    answer
}

const FAR: &str = "The box has no password yet. It can be set from the box's own network only.";
const CLOSED: &str = "The box has no password, and the half hour to set one is over. Switch the box off and on, or restart \
                      the service (systemctl restart tunerd), and open its page.";

/// Whether somebody is in one of the box's own networks, or on the box.
fn is_near(app: &App, asked: &Asked) -> bool {
    app.interfaces.now().is_on_link(asked.peer.ip().to_canonical())
}

// ---- Signing in -----------------------------------------------------------------------------------------------------

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Session,
    SignIn,
    SignOut,
    Claim,
    Change,
    Tokens,
    AddToken,
    RemoveToken,
}

type Answer = Result<Response<Body>, No>;

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask, call: &Call<'_>, body: Incoming) -> owner::Answer {
    let (asked, headers) = (call.asked, call.headers);
    let answer = match ask {
        Ask::Session => Ok(session(app, headers)),
        Ask::SignIn => sign_in(app, asked, body).await,
        Ask::SignOut => Ok(sign_out(app, headers)),
        Ask::Claim => claim(app, asked, body).await,
        Ask::Change => change(app, asked, body).await,
        Ask::Tokens => Ok(fresh(&app.access.tokens().iter().map(TokenView::from).collect::<Vec<_>>())),
        Ask::AddToken => add_token(app, body).await,
        Ask::RemoveToken => {
            app.access.remove_token(call.id()?).await.map(|()| done(None)).map_err(|refusal| refuse(&refusal))
        }
    };
    Ok(answer.unwrap_or_else(|no| *no))
}

#[derive(Serialize)]
struct SessionView {
    claimed: bool,
    claim_left_s: Option<u64>,
    signed_in: bool,
    scope: &'static str,
    open: bool,
}

fn session(app: &App, headers: &HeaderMap) -> Response<Body> {
    let (view, grant) = (app.access.view(), grant(app, headers));
    fresh(&SessionView {
        claimed: view.claimed,
        claim_left_s: view.claim_left_ms.map(|left| left.div_ceil(1_000)),
        signed_in: grant.by == By::Session,
        scope: grant.scope.name(),
        open: view.open,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    password: String,
}

async fn sign_in(app: &App, asked: &Asked, body: Incoming) -> Answer {
    let Shown { password } = read(body).await?;
    let secret = app.access.sign_in(asked.peer.ip(), password).await.map_err(|refusal| refuse(&refusal))?;
    Ok(done(Some(&secret)))
}

fn sign_out(app: &App, headers: &HeaderMap) -> Response<Body> {
    for id in sessions(headers) {
        app.access.sign_out(id);
    }
    let mut answer = done(None);
    let gone = HeaderValue::from_static("tunerd_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    answer.headers_mut().insert(SET_COOKIE, gone);
    answer
}

async fn claim(app: &App, asked: &Asked, body: Incoming) -> Answer {
    let Shown { password } = read(body).await?;
    if !app.access.view().claimed && !is_near(app, asked) {
        return Err(no(StatusCode::FORBIDDEN, FAR));
    }
    let names = names(app);
    let claimed = app.access.claim(password, &names.each_ref().map(String::as_str)).await;
    let mut answer = done(Some(&claimed.map_err(|refusal| refuse(&refusal))?));
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}

/// Whether somebody knows the password, where there is one: what is worth more than a session asks again.
///
/// # Errors
/// The answer to give instead.
pub(super) async fn prove(app: &App, asked: &Asked, password: &str) -> Result<(), No> {
    if !app.access.view().claimed {
        return Ok(());
    }
    app.access.prove(asked.peer.ip(), password.to_owned()).await.map_err(|refusal| match refusal {
        Refusal::Wrong => wrong("password", "this is not the password"),
        other => refuse(&other),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    old: String,
    new: String,
}

async fn change(app: &App, asked: &Asked, body: Incoming) -> Answer {
    let Change { old, new } = read(body).await?;
    let names = names(app);
    let changed = app.access.change_password(asked.peer.ip(), old, new, &names.each_ref().map(String::as_str)).await;
    let secret = changed.map_err(|refusal| match refusal {
        Refusal::Weak(why) => wrong("new", &why.to_string()),
        // Who asks is signed in; only this was not it.
        Refusal::Wrong => wrong("old", "this is not the password"),
        other => refuse(&other),
    })?;
    Ok(done(Some(&secret)))
}

/// What the box is called: no password of it may be that.
fn names(app: &App) -> [String; 3] {
    [app.name(), app.device_id.to_string(), "tunerd".to_owned()]
}

#[derive(Serialize)]
struct TokenView<'a> {
    id: u32,
    name: &'a str,
    scope: &'static str,
    made_at: String,
    used_at: Option<String>,
}

impl<'a> From<&'a TokenFacts> for TokenView<'a> {
    fn from(token: &'a TokenFacts) -> Self {
        Self {
            id: token.id,
            name: &token.name,
            scope: token.scope.name(),
            made_at: token.made_at.to_string(),
            used_at: token.used_at.map(|at| at.to_string()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: String,
    scope: String,
}

#[derive(Serialize)]
struct MadeToken<'a> {
    id: u32,
    token: &'a str,
}

async fn add_token(app: &App, body: Incoming) -> Answer {
    let NewToken { name, scope } = read(body).await?;
    let name = name.trim();
    if name.is_empty() || name.chars().count() > TOKEN_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let why = format!("1 to {TOKEN_NAME_CHARS_MAX} characters");
        return Err(wrong("name", &why));
    }
    let scope = Scope::find(&scope).ok_or_else(|| wrong("scope", "read or admin"))?;
    let made = app.access.add_token(name.to_owned(), scope).await;
    let (id, secret) = made.map_err(|refusal| refuse(&refusal))?;
    let mut answer = json(StatusCode::CREATED, &MadeToken { id, token: secret.reveal() });
    answer.headers_mut().insert(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

// ---- Reading and answering ------------------------------------------------------------------------------------------

async fn read<T: for<'a> Deserialize<'a>>(body: Incoming) -> Result<T, No> {
    let read = Limited::new(body, PASSWORD_BODY_BYTES_MAX).collect().await;
    let bytes = read.map_err(|_| no(StatusCode::PAYLOAD_TOO_LARGE, "A few words are enough."))?;
    let bytes = bytes.to_bytes();
    if !owner::is_object(&bytes) {
        return Err(wrong("body", "not the JSON that is expected, which is an object"));
    }
    // What was found is not told: it may be a password.
    serde_json::from_slice(&bytes).map_err(|error| wrong("body", &owner::place(&error)))
}

fn wrong(field: &str, why: &str) -> No {
    Box::new(answer::problem(StatusCode::UNPROCESSABLE_ENTITY, why, Some(field)))
}

/// Done, and signed in with a new session if there is one.
fn done(session: Option<&Secret>) -> Response<Body> {
    let mut answer = answer::plain(StatusCode::NO_CONTENT, answer::TEXT, "");
    if let Some(secret) = session {
        let cookie = format!("{COOKIE_NAME}={}; HttpOnly; SameSite=Strict; Path=/", secret.reveal());
        if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
            cookie.set_sensitive(true);
            answer.headers_mut().insert(SET_COOKIE, cookie);
        }
    }
    answer
}

fn refuse(refusal: &Refusal) -> No {
    let later = |status, detail: &str, ms: u64| {
        let mut answer = no(status, detail);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000).max(1)));
        answer
    };
    match refusal {
        Refusal::Claimed => no(StatusCode::CONFLICT, "The box has a password already. Sign in with it."),
        Refusal::Unclaimed => no(StatusCode::CONFLICT, "The box has no password yet."),
        Refusal::Closed => no(StatusCode::FORBIDDEN, CLOSED),
        Refusal::Wrong => no(StatusCode::UNAUTHORIZED, "This is not the password."),
        Refusal::TooOften(often) => {
            later(StatusCode::TOO_MANY_REQUESTS, "Too many wrong passwords. Wait a little.", often.wait_ms)
        }
        Refusal::Weak(why) => wrong("password", &why.to_string()),
        Refusal::Full => no(StatusCode::CONFLICT, "There are enough tokens. Remove one that is not used."),
        Refusal::NotFound => no(StatusCode::NOT_FOUND, "There is no such token."),
        Refusal::Busy => later(StatusCode::SERVICE_UNAVAILABLE, "The box is busy with passwords. Try again.", 2_000),
        Refusal::Fault(error) => {
            tracing::warn!("what the owner asked for was not done: {error}");
            later(StatusCode::SERVICE_UNAVAILABLE, "The box could not do it now; the log says why.", 5_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_body_is_json_or_a_file_and_nothing_is_neither() {
        for (lines, good) in [
            (&[("content-length", "0")][..], true),
            (&[], true),
            (&[("content-length", "2"), ("content-type", "application/json")], true),
            (&[("content-length", "2"), ("content-type", "Application/JSON; charset=utf-8")], true),
            (&[("content-length", "2"), ("content-type", "audio/x-mpegurl")], true),
            (&[("content-length", "2"), ("content-type", "text/plain")], false),
            (&[("content-length", "2"), ("content-type", "text/plain; application/json")], false),
            (&[("content-length", "2"), ("content-type", "application/x-www-form-urlencoded")], false),
            (&[("content-length", "2")], false),
            (&[("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "chunked"), ("content-type", "application/json")], true),
        ] {
            assert_eq!(has_good_type(&headers(lines)), good, "{lines:?}");
        }
    }

    #[test]
    fn cookies_are_found_among_others() {
        let found = |cookie: &str| sessions(&headers(&[("cookie", cookie)])).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found("tunerd_session=a"), ["a"]);
        assert_eq!(found("x=1; tunerd_session=a;tunerd_session=b; tunerd_session2=c"), ["a", "b"]);
        assert!(found("xtunerd_session=a; tunerd_sessio=b").is_empty());
    }

    #[test]
    fn a_name_is_the_same_with_a_port() {
        assert!(is_host("tv.example", "tv.example") && is_host("TV.example:8443", "tv.example"));
        assert!(!is_host("tv.example.evil", "tv.example") && !is_host("tv", "tv.example"));
    }
}

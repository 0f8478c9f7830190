//! The API: which method at which address below `/api/v1` means what, and who may.
//!
//! The table is closed, as [`super::route`]'s is. What a document of the API says stands in `openapi.json`, and a test
//! holds the two together. Whatever is refused is told as `application/problem+json` (RFC 9457), with the field that is
//! wrong where there is one.

use super::answer::{self, Body};
use super::owner::{self, Answer, refuse, wrong};
use super::route::Asked;
use super::{App, access, api, backup, doctor, faces, guides, notifications, preview, settings, update};
use crate::doors::discovery;
use crate::subscriptions::Error;
use hyper::body::Incoming;
use hyper::header::{ALLOW, ETAG, HeaderMap, HeaderValue, IF_MATCH};
use hyper::{Method, Request, Response, StatusCode};
use pure::limits::{BODY_BYTES_MAX, PLAYLIST_BYTES_MAX, UPLOAD_MIB_MAX};
use pure::model::subscription::Decision;
use pure::rules::access::Scope;
use pure::wire::log_id::LogId;
use std::rc::Rc;

/// In front of every address of the API.
pub(super) const PREFIX: &str = "/api/v1";

/// The same table for programs, with the shapes of what is sent and answered.
const OPENAPI: &[u8] = include_bytes!("openapi.json");

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The document that says all this to programs.
    Describe,
    /// The other tuners of this network.
    Neighbours,
    Access(access::Ask),
    Home(api::Ask),
    Owner(owner::Ask),
    Guides(guides::Ask),
    Faces(faces::Ask),
    Settings(settings::Ask),
    Backup(backup::Ask),
    Notifications(notifications::Ask),
    Doctor(doctor::Ask),
    Preview(preview::Ask),
    Update(update::Ask),
}

/// One line of the table: `{…}` in a path stands for a part that is an id.
struct Operation(Method, &'static str, Scope, Act);

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

use Act::{
    Access, Backup, Describe, Doctor, Faces, Guides, Home, Neighbours, Notifications, Owner, Preview, Settings, Update,
};
use Scope::{Admin, Open, Read};

const TABLE: &[Operation] = &[
    Operation(GET, "/openapi.json", Open, Describe),
    Operation(GET, "/session", Open, Access(access::Ask::Session)),
    Operation(POST, "/session", Open, Access(access::Ask::SignIn)),
    Operation(DELETE, "/session", Open, Access(access::Ask::SignOut)),
    Operation(POST, "/claim", Open, Access(access::Ask::Claim)),
    Operation(PUT, "/password", Admin, Access(access::Ask::Change)),
    Operation(GET, "/tokens", Admin, Access(access::Ask::Tokens)),
    Operation(POST, "/tokens", Admin, Access(access::Ask::AddToken)),
    Operation(DELETE, "/tokens/{id}", Admin, Access(access::Ask::RemoveToken)),
    Operation(GET, "/status", Read, Home(api::Ask::Status)),
    Operation(GET, "/events", Read, Home(api::Ask::Events)),
    Operation(GET, "/history", Read, Home(api::Ask::History)),
    Operation(POST, "/tuners/{tuner}/free", Admin, Home(api::Ask::Free)),
    Operation(GET, "/alarms", Read, Home(api::Ask::Alarms)),
    Operation(GET, "/clients", Read, Home(api::Ask::Clients)),
    Operation(GET, "/logs", Read, Home(api::Ask::Logs)),
    Operation(GET, "/logs/{log_id}", Read, Home(api::Ask::Log)),
    Operation(POST, "/channels/{id}/retry", Admin, Home(api::Ask::Retry)),
    Operation(POST, "/channels/{id}/preview", Admin, Preview(preview::Ask::Start)),
    Operation(GET, "/preview/{id}/index.m3u8", Admin, Preview(preview::Ask::Playlist)),
    Operation(GET, "/preview/{id}/{segment}", Admin, Preview(preview::Ask::Segment)),
    Operation(DELETE, "/preview/{id}", Admin, Preview(preview::Ask::End)),
    Operation(POST, "/encoders/try", Admin, Home(api::Ask::TryEncoders)),
    Operation(GET, "/neighbours", Admin, Neighbours),
    Operation(GET, "/subscriptions", Read, Owner(owner::Ask::List)),
    Operation(POST, "/subscriptions", Admin, Owner(owner::Ask::Add)),
    Operation(POST, "/subscriptions/refresh", Admin, Home(api::Ask::RefreshAll)),
    Operation(GET, "/subscriptions/{id}", Read, Owner(owner::Ask::One)),
    Operation(PATCH, "/subscriptions/{id}", Admin, Owner(owner::Ask::Edit)),
    Operation(DELETE, "/subscriptions/{id}", Admin, Owner(owner::Ask::Remove)),
    Operation(POST, "/subscriptions/{id}/refresh", Admin, Owner(owner::Ask::Refresh)),
    Operation(POST, "/subscriptions/{id}/cancel", Admin, Owner(owner::Ask::Cancel)),
    Operation(POST, "/subscriptions/{id}/approve", Admin, Owner(owner::Ask::Decide(Decision::Approve))),
    Operation(POST, "/subscriptions/{id}/refuse", Admin, Owner(owner::Ask::Decide(Decision::Refuse))),
    Operation(POST, "/subscriptions/{id}/undo", Admin, Owner(owner::Ask::Decide(Decision::Undo))),
    Operation(PUT, "/subscriptions/{id}/playlist", Admin, Owner(owner::Ask::Upload)),
    Operation(GET, "/subscriptions/{id}/groups", Read, Owner(owner::Ask::Groups)),
    Operation(PUT, "/subscriptions/{id}/groups", Admin, Owner(owner::Ask::Tick)),
    Operation(PUT, "/subscriptions/{id}/ranges", Admin, Owner(owner::Ask::Range)),
    Operation(GET, "/subscriptions/{id}/entries", Read, Owner(owner::Ask::Entries)),
    Operation(GET, "/subscriptions/{id}/changes", Read, Owner(owner::Ask::Changes)),
    Operation(GET, "/subscriptions/{id}/changes/{batch}", Read, Owner(owner::Ask::Differences)),
    Operation(GET, "/channels", Read, Owner(owner::Ask::Channels)),
    Operation(GET, "/channels/groups", Read, Owner(owner::Ask::ChannelGroups)),
    Operation(PATCH, "/channels", Admin, Owner(owner::Ask::ChannelsEdit)),
    Operation(PUT, "/channels/{id}/guide", Admin, Guides(guides::Ask::Choose)),
    Operation(GET, "/guides", Read, Guides(guides::Ask::List)),
    Operation(POST, "/guides", Admin, Guides(guides::Ask::Add)),
    Operation(GET, "/guides/matches", Read, Guides(guides::Ask::Matches)),
    Operation(POST, "/guides/refresh", Admin, Guides(guides::Ask::RefreshAll)),
    Operation(PATCH, "/guides/{id}", Admin, Guides(guides::Ask::Edit)),
    Operation(DELETE, "/guides/{id}", Admin, Guides(guides::Ask::Remove)),
    Operation(POST, "/guides/{id}/refresh", Admin, Guides(guides::Ask::Refresh)),
    Operation(GET, "/guides/{id}/channels", Read, Guides(guides::Ask::Offered)),
    Operation(GET, "/programmes", Read, Guides(guides::Ask::Programmes)),
    Operation(GET, "/settings", Read, Settings(settings::Ask::Show)),
    Operation(PATCH, "/settings", Admin, Settings(settings::Ask::Edit)),
    Operation(GET, "/update", Read, Update(update::Ask::Show)),
    Operation(POST, "/update", Admin, Update(update::Ask::Upload)),
    Operation(POST, "/update/install", Admin, Update(update::Ask::Install)),
    Operation(POST, "/update/check", Admin, Update(update::Ask::Check)),
    Operation(POST, "/update/cancel", Admin, Update(update::Ask::Cancel)),
    Operation(POST, "/update/back", Admin, Update(update::Ask::Back)),
    Operation(POST, "/update/reboot", Admin, Update(update::Ask::Reboot)),
    Operation(GET, "/support", Admin, Settings(settings::Ask::Support)),
    Operation(GET, "/doctor", Read, Doctor(doctor::Ask::Show)),
    Operation(POST, "/doctor", Admin, Doctor(doctor::Ask::Start)),
    Operation(DELETE, "/doctor", Admin, Doctor(doctor::Ask::Stop)),
    Operation(GET, "/notifications", Read, Notifications(notifications::Ask::List)),
    Operation(POST, "/notifications", Admin, Notifications(notifications::Ask::Add)),
    Operation(PATCH, "/notifications/{id}", Admin, Notifications(notifications::Ask::Edit)),
    Operation(DELETE, "/notifications/{id}", Admin, Notifications(notifications::Ask::Remove)),
    Operation(POST, "/notifications/{id}/test", Admin, Notifications(notifications::Ask::Test)),
    Operation(GET, "/faces", Read, Faces(faces::Ask::List)),
    Operation(POST, "/faces", Admin, Faces(faces::Ask::Add)),
    Operation(PATCH, "/faces/{id}", Admin, Faces(faces::Ask::Edit)),
    Operation(DELETE, "/faces/{id}", Admin, Faces(faces::Ask::Remove)),
    Operation(POST, "/backup", Admin, Backup(backup::Ask::Backup)),
    Operation(POST, "/restore", Admin, Backup(backup::Ask::Restore)),
    Operation(GET, "/configurations", Admin, Backup(backup::Ask::Revisions)),
    Operation(POST, "/configurations/{id}/restore", Admin, Backup(backup::Ask::RestoreRevision)),
    Operation(POST, "/factory-reset", Admin, Backup(backup::Ask::FactoryReset)),
];

/// What is asked, as its door needs to know it.
pub(super) struct Call<'a> {
    /// What stands where the path has `{…}`, in this order.
    parts: [&'a str; 2],
    pub(super) query: &'a str,
    pub(super) asked: &'a Asked,
    pub(super) headers: &'a HeaderMap,
}

impl Call<'_> {
    /// The id in the path.
    ///
    /// # Errors
    /// It is none, so there is no such thing.
    pub(super) fn id(&self) -> Result<u32, Error> {
        number(self.parts[0])
    }

    /// The second one.
    ///
    /// # Errors
    /// It is none, so there is no such thing.
    pub(super) fn second_id(&self) -> Result<u32, Error> {
        number(self.parts[1])
    }

    /// What stands in the path, as it stands there.
    pub(super) fn part(&self) -> &str {
        self.parts[0]
    }

    /// And the second one.
    pub(super) fn second_part(&self) -> &str {
        self.parts[1]
    }
}

/// Digits only: "+1" and "01" name nothing.
fn number(text: &str) -> Result<u32, Error> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(Error::NotFound)
}

/// The parts of `path` that stand where `template` has `{…}`; none if it is another path.
fn fits<'a>(template: &str, path: &'a str) -> Option<[&'a str; 2]> {
    let (mut parts, mut found) = ([""; 2], 0);
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parts),
            (Some("{log_id}"), Some(part)) if LogId::parse(part).is_none() => return None,
            (Some(name), Some(part)) if name.starts_with('{') && !part.is_empty() => {
                *parts.get_mut(found)? = part;
                found += 1;
            }
            (Some(name), Some(part)) if name == part => {}
            _ => return None,
        }
    }
}

/// Whether a body of an upload may come in there.
pub(super) fn body_bytes_max(method: &Method, path: &str) -> usize {
    let found = path.strip_prefix(PREFIX).and_then(|path| find(method, path).ok());
    match found {
        // It is counted while it is read, and never held.
        Some((Operation(.., Owner(owner::Ask::Upload)), _)) => PLAYLIST_BYTES_MAX,
        Some((Operation(.., Backup(backup::Ask::Restore)), _)) => backup::FILE_BYTES_MAX,
        // The update room counts, by what the settings say.
        Some((Operation(.., Update(update::Ask::Upload)), _)) => UPLOAD_MIB_MAX * 1024 * 1024,
        _ => BODY_BYTES_MAX,
    }
}

/// Whether a body comes in there that takes its time.
pub(super) fn takes_long(method: &Method, path: &str) -> bool {
    let found = path.strip_prefix(PREFIX).and_then(|path| find(method, path).ok());
    matches!(found, Some((Operation(.., Update(update::Ask::Upload)), _)))
}

/// Looks an operation up; the error names the methods that this address knows.
fn find<'a>(method: &Method, path: &'a str) -> Result<(&'static Operation, [&'a str; 2]), String> {
    // A fixed word is never taken for an id: it stands first among those that fit.
    let fitting = || TABLE.iter().filter_map(|operation| Some((operation, fits(operation.1, path)?)));
    let fixed_len = |operation: &Operation| operation.1.matches('{').count();
    let fewest = fitting().map(|(operation, _)| fixed_len(operation)).min();
    let mut fitting = fitting().filter(|(operation, _)| Some(fixed_len(operation)) == fewest);
    let wanted = if *method == Method::HEAD { &GET } else { method };
    let mut allowed = Vec::new();
    fitting
        .find(|(operation, _)| {
            allowed.push(operation.0.as_str());
            operation.0 == *wanted
        })
        .ok_or_else(|| allowed.join(", "))
}

/// Answers what is asked below [`PREFIX`]; `path` begins behind it.
pub(super) async fn respond(
    app: &Rc<App>,
    asked: &Asked,
    request: &Request<()>,
    (path, query): (&str, &str),
    body: Incoming,
) -> Response<Body> {
    let (method, headers) = (request.method(), request.headers());
    let found = find(method, path);
    // A stranger is not even told what there is.
    let scope = found.as_ref().map_or(Read, |(operation, _)| operation.2);
    if let Err(no) = access::judge(app, asked, headers, method, scope) {
        return *no;
    }
    let (Operation(.., act), parts) = match found {
        Ok(found) => found,
        Err(allowed) if allowed.is_empty() => return refuse(&Error::NotFound),
        Err(allowed) => {
            let mut answer = answer::problem(StatusCode::METHOD_NOT_ALLOWED, "This address knows other methods.", None);
            answer.headers_mut().extend(HeaderValue::from_str(&allowed).map(|allowed| (ALLOW, allowed)));
            return answer;
        }
    };
    let revision = is_configuration(*act).then(|| etag(app.subscriptions.revision()));
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    if let Some(revision) = revision.as_ref().filter(|_| !is_read && headers.contains_key(IF_MATCH)) {
        let is_it = |written: &str| written.trim() == "*" || written.trim() == revision.as_str();
        let mut written = headers.get_all(IF_MATCH).iter().filter_map(|written| written.to_str().ok());
        if !written.any(|written| written.split(',').any(is_it)) {
            let what = "Something was changed meanwhile, on another page perhaps. Look at it again.";
            return answer::problem(StatusCode::PRECONDITION_FAILED, what, None);
        }
    }
    let call = Call { parts, query, asked, headers };
    let answer: Answer = match *act {
        Describe => Ok(answer::plain(StatusCode::OK, answer::JSON, OPENAPI)),
        Neighbours => Ok(api::fresh(&discovery::neighbours(app, asked.peer.ip()).await)),
        Access(ask) => access::respond(app, ask, &call, body).await,
        Home(ask) => api::respond(app, ask, &call),
        Owner(ask) => owner::respond(app, ask, &call, body).await,
        Guides(ask) => guides::respond(app, ask, &call, body).await,
        Doctor(ask) => doctor::respond(app, ask).await,
        Preview(ask) => preview::respond(app, ask, &call).await,
        Notifications(ask) => notifications::respond(app, ask, &call, body).await,
        Settings(ask) => settings::respond(app, ask, &call, body).await,
        Update(ask) => update::respond(app, ask, &call, body).await,
        Faces(ask) => faces::respond(app, ask, &call, body).await,
        Backup(ask) => backup::respond(app, ask, &call, body).await,
    };
    let mut answer = answer.unwrap_or_else(|error| refuse(&error));
    let revision = revision.filter(|_| is_read && answer.status().is_success());
    answer.headers_mut().extend(revision.and_then(|revision| Some((ETAG, HeaderValue::from_str(&revision).ok()?))));
    answer
}

/// Whether it is about what the owner chose, which has a revision.
const fn is_configuration(act: Act) -> bool {
    matches!(act, Owner(_) | Guides(_) | Faces(_) | Settings(settings::Ask::Show | settings::Ask::Edit))
}

/// The whole configuration has one: whoever writes says which one he has seen.
fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// From where on, and how many of a list; `usual` when nothing is said.
pub(super) fn page<T: std::str::FromStr>(query: &str, usual: usize, most: usize) -> Result<(Option<T>, usize), Error> {
    let after = super::route::query(query, "after").map(str::parse).transpose();
    let after = after.map_err(|_| wrong("after", "what next was in the answer before"))?;
    match super::route::query(query, "limit").map(str::parse) {
        None => Ok((after, usual)),
        Some(Ok(limit)) if (1..=most).contains(&limit) => Ok((after, limit)),
        Some(_) => Err(wrong("limit", format!("1 to {most}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_found_where_the_template_has_them() {
        assert_eq!(fits("/guides", "/guides"), Some(["", ""]));
        assert_eq!(fits("/guides/{id}", "/guides/7"), Some(["7", ""]));
        assert_eq!(fits("/a/{id}/b/{batch}", "/a/7/b/-9"), Some(["7", "-9"]));
        for path in ["/guides/", "/guides/7/", "/guides//", "/guides/7/x", "/GUIDES/7", "guides/7", ""] {
            assert_eq!(fits("/guides/{id}", path), None, "{path}");
        }
    }

    #[test]
    fn a_fixed_word_is_no_id_and_methods_are_told() {
        let act = |method: Method, path| find(&method, path).map(|(operation, _)| operation.3);
        assert_eq!(act(GET, "/guides/matches"), Ok(Guides(guides::Ask::Matches)));
        assert_eq!(act(Method::HEAD, "/guides/matches"), Ok(Guides(guides::Ask::Matches)));
        assert_eq!(act(DELETE, "/guides/matches"), Err("GET".to_owned()));
        assert_eq!(act(DELETE, "/guides/7"), Ok(Guides(guides::Ask::Remove)));
        assert_eq!(act(PUT, "/channels"), Err("GET, PATCH".to_owned()));
        assert_eq!(act(GET, "/nothing"), Err(String::new()));
    }

    #[test]
    fn ids_are_digits() {
        for (text, id) in [("0", Some(0)), ("17", Some(17)), ("017", None), ("+1", None), ("-1", None), ("", None)] {
            assert_eq!(number(text).ok(), id, "{text}");
        }
        assert!(number("99999999999").is_err());
    }

    #[test]
    fn the_document_has_each_operation_with_its_scope_and_no_other() {
        use std::collections::BTreeSet;
        let document: serde_json::Value = serde_json::from_slice(OPENAPI).unwrap();
        let mut told = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let named: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
            let listed = item["parameters"].as_array().into_iter().flatten();
            let listed: Vec<&str> =
                listed.map(|one| one["$ref"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
            assert_eq!(listed, named, "what stands in {path}");
            for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
                let scope = operation["x-scope"].as_str().unwrap();
                assert_eq!(operation.get("security").is_some(), scope == "open", "{method} {path}: who may");
                assert!(operation["responses"].get("405").is_none(), "{method} {path}: it is known here");
                assert!(operation["responses"].get("401").is_some() || scope == "open", "{method} {path}: 401");
                told.insert(format!("{} {path} {scope}", method.to_uppercase()));
            }
        }
        let scope = |scope| match scope {
            Open => "open",
            Read => "read",
            Admin => "admin",
        };
        let done = TABLE.iter().map(|Operation(method, path, who, _)| format!("{method} {path} {}", scope(*who)));
        let done: BTreeSet<String> = done.collect();
        let only = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
        assert_eq!(only(&done, &told), Vec::<String>::new(), "the document lacks these");
        assert_eq!(only(&told, &done), Vec::<String>::new(), "nobody answers these");
    }
}

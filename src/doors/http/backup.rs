//! Backup, restore, the way back to what was before, and to nothing at all.

use super::answer::{self, Body};
use super::api::{fresh, json};
use super::owner::{Answer, read, wrong};
use super::route::Asked;
use super::v1::Call;
use super::{App, access};
use crate::clock;
use crate::subscriptions::{Restored, Revision};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use pure::limits::{BACKUP_BYTES_MAX, PASSWORD_CHARS_MAX};
use pure::rules::updating::Refusal;
use pure::wire::backup::HEAD_BYTES;
use pure::wire::percent;
use serde::{Deserialize, Serialize};

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Backup,
    Restore,
    Revisions,
    RestoreRevision,
    FactoryReset,
}

/// Where no unit of ours waits for the owner's wish.
const NO_RESET: &str = "This computer was not installed from tunerd's image. On it, run: sudo systemctl start \
                        tunerd-factory-reset. It forgets everything and restarts the computer.";

/// The largest file.
pub(super) const FILE_BYTES_MAX: usize = HEAD_BYTES + BACKUP_BYTES_MAX;

/// Bytes of a password in a header, where each may take three.
const WRITTEN_BYTES_MAX: usize = 4 * 3 * PASSWORD_CHARS_MAX;

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask, call: &Call<'_>, body: Incoming) -> Answer {
    match ask {
        Ask::Backup => backup(app, call.asked, body).await,
        Ask::Restore => restore(app, call.headers, body).await,
        Ask::Revisions => revisions(app).await,
        Ask::RestoreRevision => Ok(told(&app.subscriptions.restore_revision(call.id()?.into()).await?)),
        Ask::FactoryReset => factory_reset(app, call.asked, body).await,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    password: String,
}

async fn backup(app: &App, asked: &Asked, body: Incoming) -> Answer {
    let Written { password } = read(body).await?;
    if let Err(no) = access::prove(app, asked, &password).await {
        return Ok(*no);
    }
    let file = app.subscriptions.backup(password).await?;
    let mut answer = answer::plain(StatusCode::OK, "application/octet-stream", file);
    let day: String = clock::wall().to_string().chars().take(10).collect();
    let name = format!("attachment; filename=\"tunerd-{day}.backup\"");
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(answer)
}

/// What is worth more than a session: the password is asked for again.
async fn factory_reset(app: &App, asked: &Asked, body: Incoming) -> Answer {
    let Written { password } = read(body).await?;
    if !app.update.view().has_slots {
        return Ok(answer::problem(StatusCode::CONFLICT, NO_RESET, None));
    }
    if let Err(no) = access::prove(app, asked, &password).await {
        return Ok(*no);
    }
    Ok(match app.update.factory_reset() {
        Ok(()) => {
            tracing::warn!("the owner has everything forgotten, from {}", asked.peer.ip());
            answer::plain(StatusCode::ACCEPTED, answer::TEXT, "")
        }
        Err(Refusal::Busy) => {
            answer::problem(StatusCode::CONFLICT, "An update is under way. Wait for it, or cancel it.", None)
        }
        Err(_) => answer::problem(StatusCode::SERVICE_UNAVAILABLE, "The box could not do it; the log says why.", None),
    })
}

#[derive(Serialize)]
struct Told<'a> {
    restored: Counts,
    ignored: &'a [String],
}

#[derive(Serialize)]
struct Counts {
    subscriptions: u32,
    channels: u32,
    faces: u32,
    guides: u32,
}

fn told(restored: &Restored) -> Response<Body> {
    let counts = Counts {
        subscriptions: restored.subscriptions,
        channels: restored.channels,
        faces: restored.faces,
        guides: restored.guides,
    };
    json(StatusCode::OK, &Told { restored: counts, ignored: &restored.ignored })
}

/// The password is the one of the file, which may be of another day than the box's.
async fn restore(app: &App, headers: &HeaderMap, body: Incoming) -> Answer {
    let written = headers.get("x-backup-password").map(HeaderValue::as_bytes).unwrap_or_default();
    let missing = || wrong("password", "the password of the backup, percent-encoded, in the header X-Backup-Password");
    let written = std::str::from_utf8(written).ok().filter(|text| (1..=WRITTEN_BYTES_MAX).contains(&text.len()));
    let password = String::from_utf8(percent::decode(written.ok_or_else(missing)?)).map_err(|_| missing())?;
    let file = Limited::new(body, FILE_BYTES_MAX).collect().await;
    let file = file.map_err(|_| wrong("body", format!("a backup of at most {FILE_BYTES_MAX} bytes, and all of it")))?;
    Ok(told(&app.subscriptions.restore(file.to_bytes().into(), password).await?))
}

#[derive(Serialize)]
struct RevisionView {
    revision: u64,
    at: String,
    what: String,
}

async fn revisions(app: &App) -> Answer {
    let revisions = app.subscriptions.revisions().await?.into_iter();
    let view = |one: Revision| RevisionView { revision: one.number, at: one.at.to_string(), what: one.what };
    Ok(fresh(&revisions.map(view).collect::<Vec<_>>()))
}

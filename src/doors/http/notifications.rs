//! Who is told what happens, as the owner wants it: `/api/v1/notifications`.
//!
//! Addresses come in with their secrets and never go out with them. An address that comes back as it was shown means that
//! it stays what it is.

use super::App;
use super::answer::Body;
use super::api::{fresh, json};
use super::owner::{Answer, done, read, wrong};
use super::route::Asked;
use super::v1::Call;
use crate::notices::{Identity, View};
use crate::subscriptions::Error;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use pure::model::notification::{Event, Events, Notification, NotificationId, Target};
use serde::{Deserialize, Serialize};

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    Add,
    Edit,
    Remove,
    Test,
}

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask, call: &Call<'_>, body: Incoming) -> Answer {
    match ask {
        Ask::List => Ok(list(app)),
        Ask::Add => add(app, body).await,
        Ask::Edit => edit(app, NotificationId(call.id()?), body).await,
        Ask::Remove => app.notices.remove(NotificationId(call.id()?)).await.map(|()| done()),
        Ask::Test => test(app, call.asked, NotificationId(call.id()?)).await,
    }
}

#[derive(Serialize)]
struct NotificationView {
    id: u32,
    name: String,
    kind: &'static str,
    /// Without secrets.
    url: String,
    events: Vec<&'static str>,
    enabled: bool,
    last_sent_at: Option<String>,
    last_error_at: Option<String>,
    last_error: Option<String>,
    /// Messages that wait to be sent.
    waiting: usize,
}

impl From<View> for NotificationView {
    fn from(view: View) -> Self {
        let View { notification: Notification { id, name, target, events, enabled }, sent_at, failed, waiting } = view;
        let (last_error_at, last_error) = failed.map(|(at, why)| (at.to_string(), why)).unzip();
        Self {
            id: id.0,
            name,
            kind: target.kind(),
            url: target.to_string(),
            events: events.iter().map(Event::name).collect(),
            enabled,
            last_sent_at: sent_at.map(|at| at.to_string()),
            last_error_at,
            last_error,
            waiting,
        }
    }
}

#[derive(Serialize)]
struct Listed {
    items: Vec<NotificationView>,
    next: Option<u32>,
    /// What there is to be told.
    events: [&'static str; Event::ALL.len()],
}

fn list(app: &App) -> Response<Body> {
    let items = app.notices.list().into_iter().map(NotificationView::from).collect();
    fresh(&Listed { items, next: None, events: Event::ALL.map(Event::name) })
}

/// What a person writes; what is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    url: Option<String>,
    /// Apart from the address, for those who do not want to write it with % codes.
    password: Option<String>,
    events: Option<Vec<String>>,
    enabled: Option<bool>,
}

impl Written {
    /// This one, or a new one, with what is written in its place.
    fn apply(self, old: Option<Notification>) -> Result<Notification, Error> {
        let Self { name, url, password, events, enabled } = self;
        let password = password.filter(|password| !password.is_empty());
        let known = old.as_ref().map(|old| &old.target);
        let written = url.as_deref().map(str::trim);
        // As it was shown: it is the one that is known.
        let is_known = known.is_some_and(|known| written.is_none_or(|written| written == known.to_string()));
        let target = match (known, password.as_deref()) {
            (Some(known), None) if is_known => known.clone(),
            (Some(known), password) if is_known => read_target(known.as_str(), password)?,
            (_, password) => read_target(written.unwrap_or_default(), password)?,
        };
        let events = match events {
            None => old.as_ref().map_or(Events::ALL, |old| old.events),
            Some(names) => {
                let found: Option<Events> = names.iter().map(|name| Event::find(name)).collect();
                found.ok_or_else(|| {
                    let names = Event::ALL.map(Event::name).join(", ");
                    wrong("events", format!("each one of {names}"))
                })?
            }
        };
        let name = name.map(|name| name.trim().to_owned()).or(old.as_ref().map(|old| old.name.clone()));
        Ok(Notification {
            id: old.as_ref().map_or(NotificationId(0), |old| old.id),
            // Most people have one of a kind.
            name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| target.kind().to_owned()),
            target,
            events,
            enabled: enabled.or(old.map(|old| old.enabled)).unwrap_or(true),
        })
    }
}

fn read_target(text: &str, password: Option<&str>) -> Result<Target, Error> {
    Target::read(text, password).map_err(|error| wrong("url", error.0))
}

#[derive(Serialize)]
struct Added {
    id: u32,
}

async fn add(app: &App, body: Incoming) -> Answer {
    let id = app.notices.put(read::<Written>(body).await?.apply(None)?).await?;
    Ok(json(StatusCode::CREATED, &Added { id: id.0 }))
}

async fn edit(app: &App, id: NotificationId, body: Incoming) -> Answer {
    let old = app.notices.find(id).ok_or(Error::NotFound)?;
    app.notices.put(read::<Written>(body).await?.apply(Some(old))?).await?;
    Ok(done())
}

#[derive(Serialize)]
struct Tried {
    delivered: bool,
    /// In words.
    detail: String,
}

async fn test(app: &App, asked: &Asked, id: NotificationId) -> Answer {
    let identity = Identity { name: app.name(), address: asked.reach.base.to_string() };
    let (delivered, detail) = app.notices.test(id, &identity).await?;
    Ok(json(StatusCode::OK, &Tried { delivered, detail }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_comes_back_as_shown_stays_what_it_is() {
        let written = |text: &str| serde_json::from_str::<Written>(text).unwrap();
        let mine = written(r#"{"url":"smtp://me:SECRET@host/?from=a@b"}"#).apply(None).unwrap();
        assert_eq!((mine.name.as_str(), mine.events, mine.enabled), ("mail", Events::ALL, true));
        let shown = format!(r#"{{"url":"{}","name":" Me ","events":["storm"],"enabled":false}}"#, mine.target);
        let same = written(&shown).apply(Some(mine.clone())).unwrap();
        assert!(same.target == mine.target && same.name == "Me" && !same.enabled && !same.events.has(Event::Outage));
        let other = written(r#"{"password":"OTHER"}"#).apply(Some(mine)).unwrap();
        assert!(other.target.as_str().contains(":OTHER@"));
        assert!(
            written(r#"{"name":"x"}"#).apply(None).is_err()
                && written(r#"{"url":"x","events":["y"]}"#).apply(None).is_err()
        );
    }
}

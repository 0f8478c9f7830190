//! What the owner says of the box as a whole, and what he sends to somebody who helps him.

use super::answer::{self, Body};
use super::api::{self, fresh};
use super::owner::{Answer, Given, done, read};
use super::v1::Call;
use super::{App, live};
use crate::clock;
use hyper::body::Incoming;
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use hyper::{Response, StatusCode};
use pure::limits::UPDATE_HOUR;
use pure::model::wishes::Wishes;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Show,
    Edit,
    Support,
}

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask, call: &Call<'_>, body: Incoming) -> Answer {
    match ask {
        Ask::Show => {
            let Wishes { time_zone, update_channel, update_automatic, update_hour, .. } = app.subscriptions.wishes();
            Ok(fresh(&SettingsView {
                name: app.name(),
                time_zone,
                update_channel,
                update_automatic: update_automatic.unwrap_or(true),
                update_hour: update_hour.unwrap_or(UPDATE_HOUR),
            }))
        }
        Ask::Edit => edit(app, body).await,
        Ask::Support => Ok(support(app, call)),
    }
}

/// Has those know who announce the box when it is called something else; ends with the subscriptions.
pub async fn follow_wishes(app: Rc<App>) {
    let mut changes = app.subscriptions.wish_changes();
    while changes.changed().await.is_ok() {
        app.device_changes.send_replace(());
    }
}

#[derive(Serialize)]
struct SettingsView {
    name: String,
    time_zone: Option<String>,
    update_channel: Option<String>,
    update_automatic: bool,
    update_hour: u8,
}

/// What is written; null: as the settings have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    name: Given<String>,
    #[serde(default)]
    time_zone: Given<String>,
    #[serde(default)]
    update_channel: Given<String>,
    #[serde(default)]
    update_automatic: Given<bool>,
    #[serde(default)]
    update_hour: Given<u8>,
}

fn take<T>(wish: &mut Option<T>, written: Given<T>) {
    match written {
        Given::Nothing => {}
        Given::Null => *wish = None,
        Given::Value(value) => *wish = Some(value),
    }
}

async fn edit(app: &App, body: Incoming) -> Answer {
    let Written { name, time_zone, update_channel, update_automatic, update_hour } = read(body).await?;
    let mut wishes = app.subscriptions.wishes();
    let texts =
        [(&mut wishes.name, name), (&mut wishes.time_zone, time_zone), (&mut wishes.update_channel, update_channel)];
    for (wish, mut written) in texts {
        if let Given::Value(text) = &mut written {
            *text = text.trim().to_owned();
        }
        take(wish, written);
    }
    take(&mut wishes.update_automatic, update_automatic);
    take(&mut wishes.update_hour, update_hour);
    app.subscriptions.wish(wishes).await?;
    Ok(done())
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Everything that somebody needs who helps, and no secret: each part of it is shown elsewhere as well.
fn support(app: &App, call: &Call<'_>) -> Response<Body> {
    let parts = [
        ("status", pretty(&api::status(app, call.asked))),
        ("the last hour", pretty(&live::view(app))),
        ("alarms", pretty(&api::alarm_views(app))),
        ("clients", pretty(&api::client_views(app))),
        ("log", api::log_text(app)),
    ];
    let head = format!("tunerd {}, {}\n", env!("CARGO_PKG_VERSION"), clock::wall());
    let text = parts.iter().fold(head, |text, (title, what)| text + "\n==== " + title + "\n" + what + "\n");
    let mut answer = answer::plain(StatusCode::OK, answer::TEXT, text);
    let name = HeaderValue::from_static("attachment; filename=\"tunerd-support.txt\"");
    answer.headers_mut().insert(CONTENT_DISPOSITION, name);
    answer
}

//! Takes a message to its place, in the form that is wanted there.

use super::Identity;
use super::texts::Message;
use crate::fetch::{FetchError, Fetcher, Kind};
use pure::model::notification::{Target, Way};
use pure::rules::notices::Sent;
use serde_json::{Value, json};

/// Discord takes 2,000 characters; the others more.
const CHARACTERS_MAX: usize = 1_900;

/// What people read where nothing is wrong.
const DELIVERED: &str = "The message was delivered.";

/// Sends it once. Both answers are for people and name no secret.
///
/// # Errors
/// Whether it may go better later, and why it did not go.
pub(super) async fn deliver(
    fetcher: &Fetcher,
    target: &Target,
    message: &Message,
    left_out: u32,
) -> Result<String, (Sent, String)> {
    let text: String = message.full_text(left_out).chars().take(CHARACTERS_MAX).collect();
    let (url, body) = match target.way() {
        Way::Webhook(url) => (url, webhook(message, left_out)),
        Way::Discord(url) => (url, discord(message, &text)),
        Way::Ntfy { url, topic } => (url, ntfy(message, &text, topic)),
        Way::Telegram { url, chat } => (url, telegram(message, &text, chat)),
        Way::Mail(route) => return super::smtp::send(fetcher, route, message, &text).await,
    };
    match fetcher.post(url, body.to_string().into_bytes()).await {
        Ok(()) => Ok(DELIVERED.to_owned()),
        Err(error) => Err((judge(&error), explain(&error, target))),
    }
}

/// Whether it may go better later.
pub(super) fn judge(error: &FetchError) -> Sent {
    match error.kind {
        Kind::Status(408 | 425 | 429 | 500..=599, retry_ms) => Sent::Later(retry_ms),
        Kind::Status(..) | Kind::Policy => Sent::Never,
        _ => Sent::Later(None),
    }
}

fn explain(error: &FetchError, target: &Target) -> String {
    let hint = match (error.kind, target.way()) {
        (Kind::Status(401 | 403 | 404, _), Way::Discord(_)) => "; the webhook may be gone: make a new one there",
        (Kind::Status(401 | 404, _), Way::Telegram { .. }) => "; the token is no bot's",
        (Kind::Status(400 | 403, _), Way::Telegram { .. }) => {
            "; write to the bot first, and check the number of the chat"
        }
        (Kind::Status(401 | 403, _), _) => "; check user, password or token in the address",
        (Kind::Status(404 | 405, _), _) => "; check the path of the address",
        _ => "",
    };
    format!("{error}{hint}")
}

fn event(message: &Message) -> &'static str {
    if message.is_test { "test" } else { message.event.name() }
}

fn webhook(message: &Message, left_out: u32) -> Value {
    let Message { title, text, things, count, at, identity: Identity { name, address }, .. } = message;
    json!({
        "event": event(message), "title": title, "text": text, "things": things, "count": count, "at": at.to_string(),
        "box": name, "address": format!("{address}/"), "left_out": left_out,
    })
}

fn discord(message: &Message, text: &str) -> Value {
    // Nobody is called by a name that stands in a playlist.
    json!({ "content": format!("**{}**\n{text}", message.title), "allowed_mentions": { "parse": [] } })
}

fn ntfy(message: &Message, text: &str, topic: &str) -> Value {
    let is_good = message.is_test || message.event.is_good();
    json!({
        "topic": topic, "title": message.title, "message": text, "priority": if is_good { 3 } else { 4 },
        "tags": [if is_good { "tv" } else { "warning" }], "click": format!("{}/", message.identity.address),
    })
}

fn telegram(message: &Message, text: &str, chat: &str) -> Value {
    // Without a mode for markup: names are names.
    json!({ "chat_id": chat, "text": format!("{}\n{text}", message.title), "disable_web_page_preview": true })
}

#[cfg(test)]
mod tests {
    use super::super::texts;
    use super::*;

    #[test]
    fn each_service_gets_its_own_form() {
        let identity = Identity { name: "Attic \"x\"".to_owned(), address: "http://192.168.1.9".to_owned() };
        let message = texts::test(&identity);
        let text = message.full_text(0);
        let sent = webhook(&message, 2);
        assert_eq!((&sent["event"], &sent["left_out"]), (&json!("test"), &json!(2)));
        assert_eq!((&sent["box"], &sent["address"]), (&json!("Attic \"x\""), &json!("http://192.168.1.9/")));
        assert_eq!(ntfy(&message, &text, "tv")["topic"], "tv");
        assert_eq!(telegram(&message, &text, "-100")["chat_id"], "-100");
        let sent = discord(&message, &text);
        assert_eq!(sent["allowed_mentions"]["parse"], json!([]));
        assert!(sent["content"].as_str().unwrap().starts_with("**This is a test**\nIf you"));
    }
}

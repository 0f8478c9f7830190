//! Providers who answer in JSON: Xtream logins, and other `HDHomeRun`s.
//!
//! Their lists are read item by item (`pure::wire::json_items`); an item that makes no sense is skipped and counted like
//! a bad line of a playlist. What the provider says of the account comes along.
//!
//! Source: `player_api.php` as panels answer it (there is no specification; numbers come as numbers or as text), and
//! `SiliconDust`'s HTTP documentation.

use super::document::Asking;
use super::intake::Intake;
use crate::fetch::Fetcher;
use bytes::Bytes;
use pure::limits::{GROUPS_MAX, NAME_BYTES_MAX};
use pure::model::headers::Headers;
use pure::model::source_url::SourceUrl;
use pure::model::subscription::{Account, Subscription};
use pure::time::Wall;
use pure::wire::json_items::Items;
use pure::wire::m3u::{Catchup, Entry};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes of an answer that is read as a whole.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What says of a document that was not asked for on a condition that it is as it was.
const UNASKED: &str = "its server answers 304: nobody asked for that";

fn base(subscription: &Subscription) -> Result<SourceUrl, String> {
    subscription.address.parse().map_err(|error| format!("its address is not usable: {error}"))
}

/// Where something of the same server is.
fn at(base: &SourceUrl, path: &str) -> Result<SourceUrl, String> {
    base.resolve(path).map_err(|error| format!("its address is not usable: {error}"))
}

/// A small answer.
async fn value(url: &SourceUrl, asking: Asking<'_>) -> Result<Value, String> {
    let mut body = Vec::new();
    let document = asking.get(url).await?.ok_or(UNASKED)?;
    let take = async |bytes: Bytes, _| {
        if body.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err("its answer is too long".to_owned());
        }
        body.extend_from_slice(&bytes);
        Ok(())
    };
    document.pour(take).await?;
    serde_json::from_slice(&body).map_err(|_| "its answer is no JSON; is the address right?".to_owned())
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

/// Percent-encodes what would end a part of a path or of a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    encoded
}

/// A number that comes as one or as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A text that comes as one or as a number.
fn text(value: &Value) -> String {
    let text =
        value.as_str().map_or_else(|| number(value).map(|n| n.to_string()).unwrap_or_default(), ToOwned::to_owned);
    let mut clean: String = text.trim().chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX).collect();
    while clean.len() > NAME_BYTES_MAX {
        clean.pop();
    }
    clean
}

/// What a login says of the account; an error says that there is none.
fn account(login: &Value) -> Result<Account, String> {
    let user = login.get("user_info").filter(|user| user.is_object()).ok_or("its answer is not that of a provider")?;
    let field = |name: &str| user.get(name).cloned().unwrap_or(Value::Null);
    if number(&field("auth")) == Some(0) {
        return Err("it refuses the login; check name and password".to_owned());
    }
    let account = Account {
        status: text(&field("status")),
        expires_at: number(&field("exp_date")).filter(|at| *at > 0).map(Wall),
        connections_max: number(&field("max_connections")).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0),
    };
    if matches!(account.status.as_str(), "Expired" | "Banned" | "Disabled") {
        return Err(format!("the account is {}; ask your provider", account.status.to_lowercase()));
    }
    Ok(account)
}

#[derive(Deserialize)]
struct Category {
    #[serde(rename = "category_id", default)]
    id: Value,
    #[serde(rename = "category_name", default)]
    name: Value,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    name: Value,
    #[serde(rename = "stream_id", default)]
    id: Value,
    #[serde(rename = "stream_icon", default)]
    icon: Value,
    #[serde(default)]
    epg_channel_id: Value,
    #[serde(default)]
    category_id: Value,
    #[serde(default)]
    tv_archive: Value,
    #[serde(default)]
    tv_archive_duration: Value,
}

fn logo(address: &Value) -> String {
    let url = address.as_str().and_then(|address| address.trim().parse::<SourceUrl>().ok());
    url.map(|url| url.as_str().to_owned()).unwrap_or_default()
}

/// Reads an Xtream login into `intake`.
pub(super) async fn read(
    fetcher: &Fetcher,
    subscription: &Subscription,
    intake: &mut Intake<'_>,
) -> Result<Account, String> {
    let provider = subscription.provider();
    let asking = Asking::new(fetcher).of(provider.as_deref());
    let base = base(subscription)?;
    let (user, password) = (encoded(&subscription.username), encoded(&subscription.password));
    let api = |action: &str| at(&base, &format!("player_api.php?username={user}&password={password}{action}"));
    let account = account(&value(&api("")?, asking).await?)?;

    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    let mut items = Items::default();
    let mut on_group = |item: &[u8]| {
        if let (Ok(group), true) = (serde_json::from_slice::<Category>(item), groups.len() < GROUPS_MAX) {
            groups.insert(text(&group.id), text(&group.name));
        }
    };
    let document = asking.get(&api("&action=get_live_categories")?).await?.ok_or(UNASKED)?;
    let take = async |bytes: Bytes, _| items.push(&bytes, &mut on_group).map_err(|error| error.to_string());
    document.pour(take).await?;
    items.finish().map_err(|error| error.to_string())?;

    let document = asking.get(&api("&action=get_live_streams")?).await?.ok_or(UNASKED)?;
    intake.reach = document.reach;
    let mut items = Items::default();
    let mut streams = Vec::new();
    let take = async |bytes: Bytes, whole| {
        let pushed = items.push(&bytes, &mut |item| streams.push(serde_json::from_slice::<Stream>(item)));
        for stream in streams.drain(..) {
            let stream = stream.map_err(|_| "an item of the list is no channel".to_owned());
            match stream.and_then(|stream| entry(&base, &user, &password, &groups, &stream)) {
                Ok(entry) => intake.take(entry),
                Err(why) => intake.skip(&why),
            }
        }
        intake.count(bytes.len(), whole);
        pushed.map_err(|error| error.to_string())?;
        intake.settle().await
    };
    document.pour(take).await?;
    items.finish().map_err(|error| error.to_string())?;
    if intake.end().await? == 0 {
        return Err("the provider lists no channels for this login".to_owned());
    }
    Ok(account)
}

fn entry(
    base: &SourceUrl,
    user: &str,
    password: &str,
    groups: &BTreeMap<String, String>,
    stream: &Stream,
) -> Result<Entry, String> {
    let id = number(&stream.id).filter(|id| *id >= 0).ok_or("a channel without an id")?;
    let name = Some(text(&stream.name)).filter(|name| !name.is_empty()).unwrap_or_else(|| format!("Channel {id}"));
    let url = at(base, &format!("live/{user}/{password}/{id}.ts"))?;
    let has_archive = number(&stream.tv_archive) == Some(1);
    let days = number(&stream.tv_archive_duration).and_then(|days| u16::try_from(days).ok()).unwrap_or(0);
    let kind = if has_archive { "xc".to_owned() } else { String::new() };
    Ok(Entry {
        name,
        number: None,
        tvg_id: text(&stream.epg_channel_id),
        tvg_name: String::new(),
        tvg_shift_min: 0,
        group: groups.get(&text(&stream.category_id)).cloned().unwrap_or_default(),
        logo: logo(&stream.icon),
        url,
        user_agent: None,
        headers: Headers::default(),
        catchup: Catchup { kind, days: if has_archive { days } else { 0 }, source: String::new() },
    })
}

/// A channel of another HDHomeRun.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Program {
    guide_number: String,
    #[serde(default)]
    guide_name: String,
    #[serde(rename = "URL")]
    url: String,
    /// Copy protection: nobody but its own programs can play it.
    #[serde(rename = "DRM", default)]
    drm: Value,
}

/// Reads the lineup of another HDHomeRun into `intake`. It allows as many streams as it has tuners.
pub(super) async fn read_lineup(
    fetcher: &Fetcher,
    subscription: &Subscription,
    intake: &mut Intake<'_>,
) -> Result<Account, String> {
    let provider = subscription.provider();
    let asking = Asking::new(fetcher).of(provider.as_deref());
    let base = base(subscription)?;
    let device = value(&at(&base, "/discover.json")?, asking).await?;
    if device.get("DeviceID").and_then(Value::as_str).is_none() {
        return Err("there is no HDHomeRun at this address".to_owned());
    }
    let tuners = device.get("TunerCount").and_then(number).and_then(|count| u16::try_from(count).ok());
    let account = Account { connections_max: tuners.filter(|count| *count > 0), ..Account::default() };
    let document = asking.get(&at(&base, "/lineup.json")?).await?.ok_or(UNASKED)?;
    intake.reach = document.reach;
    let mut items = Items::default();
    let mut programs = Vec::new();
    let take = async |bytes: Bytes, whole| {
        let pushed = items.push(&bytes, &mut |item| programs.push(serde_json::from_slice::<Program>(item)));
        for program in programs.drain(..) {
            match program.map_err(|_| "an item of the lineup is no channel".to_owned()).and_then(listed) {
                Ok(entry) => intake.take(entry),
                Err(why) => intake.skip(&why),
            }
        }
        intake.count(bytes.len(), whole);
        pushed.map_err(|error| error.to_string())?;
        intake.settle().await
    };
    document.pour(take).await?;
    items.finish().map_err(|error| error.to_string())?;
    if intake.end().await? == 0 {
        return Err("it has no channels; have it scan for some".to_owned());
    }
    Ok(account)
}

fn listed(program: Program) -> Result<Entry, String> {
    if number(&program.drm).is_some_and(|drm| drm != 0) {
        return Err(format!("{} is copy protected", program.guide_number));
    }
    let url = program.url.parse().map_err(|error| format!("{}: {error}", program.guide_number))?;
    let name = text(&Value::String(program.guide_name));
    Ok(Entry {
        name: if name.is_empty() { program.guide_number.clone() } else { name },
        number: program.guide_number.parse().ok(),
        // Two stations of one name are told apart by their number.
        tvg_id: program.guide_number,
        tvg_name: String::new(),
        tvg_shift_min: 0,
        group: String::new(),
        logo: String::new(),
        url,
        user_agent: None,
        headers: Headers::default(),
        catchup: Catchup::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_panels_say_of_an_account_is_understood() {
        let told = |user: Value| account(&json!({ "user_info": user }));
        let good =
            Account { status: "Active".to_owned(), expires_at: Some(Wall(1_800_000_000)), connections_max: Some(2) };
        let (as_text, as_number) = (json!("1800000000"), json!(1_800_000_000));
        for (expires, most) in [(as_text, json!("2")), (as_number, json!(2))] {
            let user = json!({"auth": 1, "status": "Active", "exp_date": expires, "max_connections": most});
            assert_eq!(told(user), Ok(good.clone()));
        }
        let endless = told(json!({"auth": "1", "status": "Active", "exp_date": null, "max_connections": "0"})).unwrap();
        assert_eq!((endless.expires_at, endless.connections_max), (None, None));
        assert!(told(json!({"auth": 0})).unwrap_err().contains("refuses the login"));
        assert!(told(json!({"auth": 1, "status": "Expired"})).unwrap_err().contains("expired"));
        assert!(account(&json!([])).is_err());
    }

    #[test]
    fn a_stream_becomes_an_entry() {
        let base: SourceUrl = "http://h:8080/".parse().unwrap();
        let groups = BTreeMap::from([("3".to_owned(), "News".to_owned())]);
        let read = |item: Value| {
            let stream = serde_json::from_value(item).unwrap();
            entry(&base, &encoded("me@home"), &encoded("p/s?"), &groups, &stream)
        };
        let item = json!({"name": " One\n", "stream_id": "17", "stream_icon": "http://l/1.png",
            "epg_channel_id": null, "category_id": 3, "tv_archive": 1, "tv_archive_duration": "7", "extra": {}});
        let one = read(item).unwrap();
        assert_eq!((one.name.as_str(), one.group.as_str(), one.logo.as_str()), ("One", "News", "http://l/1.png"));
        assert_eq!(one.url.as_str(), "http://h:8080/live/me%40home/p%2Fs%3F/17.ts");
        assert_eq!((one.catchup.kind.as_str(), one.catchup.days), ("xc", 7));
        assert!(read(json!({"name": "No id"})).is_err());
        assert_eq!(read(json!({"stream_id": 4})).unwrap().name, "Channel 4");
    }
}

//! What the owner asks of subscriptions, change sets and channels.
//!
//! What is wrong with a write is answered with 422 and the field. A part of a list is asked for with `after` and `limit`;
//! `next` in the answer is the next `after`, and null at the end. Secrets come in here and never go out.

use super::App;
use super::answer::{self, Body};
use super::api::{fresh, json};
use super::guides::MatchView;
use super::route::query;
use super::v1::{Call, page};
use crate::subscriptions::{Error, View};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use pure::limits::{BODY_BYTES_MAX, BULK_MAX, HEADER_VALUE_BYTES_MAX, NAME_BYTES_MAX, PAGE_LEN_MAX};
use pure::model::headers::{HeaderName, Headers};
use pure::model::lineup::{Channel, ChannelId, Mark, logo_path};
use pure::model::source_url::SourceUrl;
use pure::model::subscription::{
    ChangeSet, Decision, Detail, Difference, Edit, FieldError, Group, Kind, ListedEntry, Subscription, SubscriptionId,
};
use pure::wire::percent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    One,
    Add,
    Edit,
    Remove,
    Refresh,
    Cancel,
    Upload,
    Groups,
    Tick,
    Range,
    Entries,
    Changes,
    Differences,
    Decide(Decision),
    Channels,
    ChannelGroups,
    ChannelsEdit,
}

pub(super) type Answer = Result<Response<Body>, Error>;

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask, call: &Call<'_>, body: Incoming) -> Answer {
    let one = || app.subscriptions.find(SubscriptionId(call.id()?)).ok_or(Error::NotFound);
    let id = || one().map(|view| view.subscription.id);
    match ask {
        Ask::List => Ok(fresh(&app.subscriptions.list().iter().map(SubscriptionView::from).collect::<Vec<_>>())),
        Ask::One => Ok(fresh(&SubscriptionView::from(&one()?))),
        Ask::Add => add(app, body).await,
        Ask::Edit => edit(app, one()?.subscription, body).await,
        Ask::Remove => app.subscriptions.remove(id()?).await.map(|()| done()),
        Ask::Refresh => app.subscriptions.refresh_now(id()?).map(|()| done()),
        Ask::Cancel => app.subscriptions.cancel(id()?).map(|()| done()),
        Ask::Upload => upload(app, id()?, body).await,
        Ask::Groups => groups(app, id()?).await,
        Ask::Tick => tick(app, id()?, body).await,
        Ask::Range => range(app, id()?, body).await,
        Ask::Entries => entries(app, id()?, call.query).await,
        Ask::Changes => changes(app, id()?).await,
        Ask::Differences => differences(app, id()?, call).await,
        Ask::Decide(decision) => app.subscriptions.decide(id()?, decision).await.map(|()| done()),
        Ask::Channels => channels(app, call.query).await,
        Ask::ChannelGroups => channel_groups(app).await,
        Ask::ChannelsEdit => channels_edit(app, body).await,
    }
}

// ---- Reading and refusing -------------------------------------------------------------------------------------------

pub(super) fn refuse(error: &Error) -> Response<Body> {
    match error {
        Error::Field(FieldError { field, why }) => answer::problem(StatusCode::UNPROCESSABLE_ENTITY, why, Some(field)),
        Error::NotFound => answer::problem(StatusCode::NOT_FOUND, "There is nothing at this address.", None),
        Error::Later(why) => {
            tracing::warn!("what the owner asked for was not done: {why}");
            let what = "The box could not do it now; the log says why.";
            let mut answer = answer::problem(StatusCode::SERVICE_UNAVAILABLE, what, None);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            answer
        }
    }
}

/// There is no lineup yet.
pub(super) fn loading() -> Error {
    Error::Later("the channels are still being loaded".to_owned())
}

pub(super) fn done() -> Response<Body> {
    answer::plain(StatusCode::NO_CONTENT, answer::TEXT, "")
}

pub(super) fn wrong(field: &'static str, why: impl Into<String>) -> Error {
    Error::Field(FieldError::new(field, why))
}

pub(super) async fn read<T: for<'a> Deserialize<'a>>(body: Incoming) -> Result<T, Error> {
    let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let bytes = read.map_err(|_| wrong("body", format!("at most {BODY_BYTES_MAX} bytes, and all of them")))?;
    let bytes = bytes.to_bytes();
    if !is_object(&bytes) {
        return Err(wrong("body", "not the JSON that is expected, which is an object"));
    }
    // The place and what was expected; never what was found, which may be a password.
    serde_json::from_slice(&bytes).map_err(|error| {
        let text = error.to_string();
        let what = if text.contains("unknown field") || text.contains("missing field") { text } else { place(&error) };
        wrong("body", what)
    })
}

/// Fields have names here; serde would take a list of values for them as well.
pub(super) fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

pub(super) fn place(error: &serde_json::Error) -> String {
    format!("not the JSON that is expected, at line {} column {}", error.line(), error.column())
}

/// Decodes a part of a query, as forms write it.
fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent::decode(&text.replace('+', " "))).into_owned()
}

fn words(asked: &str, key: &str) -> Option<String> {
    query(asked, key).map(decoded)
}

#[derive(Serialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<i64>,
}

/// As many as one answer has when nothing is said.
const PAGE_LEN: usize = PAGE_LEN_MAX / 5;

// ---- Subscriptions --------------------------------------------------------------------------------------------------

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "as in Subscription")]
struct SubscriptionView {
    id: u32,
    kind: &'static str,
    name: String,
    /// Without secrets.
    address: String,
    username: String,
    user_agent: Option<String>,
    /// Their names: what they say may be a secret.
    headers: Vec<&'static str>,
    /// Without its login.
    proxy: Option<String>,
    hosts: Vec<String>,
    refresh_s: u32,
    streams_max: Option<u16>,
    held: bool,
    enabled: bool,
    ticked_only: bool,
    from_settings: bool,
    entries: u32,
    loaded_at: Option<String>,
    next_in_s: Option<u64>,
    in_progress: bool,
    progress: u8,
    skipped: u32,
    first_skipped: Option<String>,
    error: Option<String>,
    /// How many channels are wanted in all, if these are too many.
    too_many: Option<usize>,
    account: AccountView,
    /// Without secrets.
    guides: Vec<String>,
}

#[derive(Serialize)]
struct AccountView {
    status: String,
    expires_at: Option<String>,
    connections_max: Option<u16>,
}

impl From<&View> for SubscriptionView {
    fn from(view: &View) -> Self {
        let Subscription { id, kind, from_settings, .. } = view.subscription;
        let subscription = &view.subscription;
        Self {
            id: id.0,
            kind: kind.name(),
            name: subscription.name.clone(),
            address: subscription.shown(),
            username: subscription.username.clone(),
            user_agent: subscription.user_agent.clone(),
            headers: subscription.headers.iter().map(|(name, _)| name.as_str()).collect(),
            proxy: subscription.proxy.as_ref().map(ToString::to_string),
            hosts: subscription.hosts.iter().map(ToString::to_string).collect(),
            refresh_s: subscription.refresh_s,
            streams_max: subscription.streams_max,
            held: subscription.held,
            enabled: subscription.enabled,
            ticked_only: subscription.ticked_only,
            from_settings,
            entries: view.listing.entries,
            loaded_at: view.listing.loaded_at.map(|at| at.to_string()),
            next_in_s: view.next_in_s,
            in_progress: view.in_progress,
            progress: view.progress,
            skipped: view.skipped,
            first_skipped: view.first_skipped.clone(),
            error: view.error.clone(),
            too_many: view.too_many,
            account: AccountView {
                status: view.listing.account.status.clone(),
                expires_at: view.listing.account.expires_at.map(|at| at.to_string()),
                connections_max: view.listing.account.connections_max,
            },
            guides: view.listing.guides.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What a person writes of a subscription; what is left out stays as it is.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    kind: Option<String>,
    name: Option<String>,
    address: Option<String>,
    username: Option<String>,
    password: Option<String>,
    /// Empty: none.
    user_agent: Option<String>,
    /// All of them, by name.
    headers: Option<BTreeMap<String, String>>,
    /// Empty: none.
    proxy: Option<String>,
    hosts: Option<Vec<String>>,
    refresh_s: Option<u32>,
    /// 0: what the provider allows.
    streams_max: Option<u16>,
    held: Option<bool>,
    enabled: Option<bool>,
}

impl Written {
    fn apply(self, subscription: &mut Subscription) -> Result<(), Error> {
        let Self { name, address, username, password, user_agent, refresh_s, streams_max, held, enabled, .. } = self;
        if let Some(headers) = self.headers {
            subscription.headers = read_headers(&headers)?;
        }
        if let Some(proxy) = self.proxy {
            let read = (!proxy.is_empty()).then(|| proxy.parse()).transpose();
            let what =
                "http://host:port or socks5://host:port, with user:password@ before the host where it wants a login";
            subscription.proxy = read.map_err(|_| wrong("proxy", what))?;
        }
        if let Some(hosts) = self.hosts {
            let read: Result<Vec<_>, ()> = hosts.iter().map(|host| host.parse()).collect();
            subscription.hosts = read.map_err(|()| wrong("hosts", "each a host, or host:port, without http://"))?;
        }
        let texts = [
            (&mut subscription.name, name),
            (&mut subscription.address, address),
            (&mut subscription.username, username),
            (&mut subscription.password, password),
        ];
        for (old, new) in texts {
            *old = new.unwrap_or_else(|| std::mem::take(old));
        }
        if let Some(agent) = user_agent {
            subscription.user_agent = Some(agent).filter(|agent| !agent.is_empty());
        }
        if let Some(most) = streams_max {
            subscription.streams_max = Some(most).filter(|most| *most > 0);
        }
        subscription.refresh_s = refresh_s.unwrap_or(subscription.refresh_s);
        subscription.held = held.unwrap_or(subscription.held);
        subscription.enabled = enabled.unwrap_or(subscription.enabled);
        Ok(())
    }
}

/// A wrong one is told, and not left out.
fn read_headers(written: &BTreeMap<String, String>) -> Result<Headers, Error> {
    let mut headers = Headers::default();
    for (name, value) in written {
        let name =
            HeaderName::find(name).ok_or_else(|| wrong("headers", "Referer, Origin and Cookie, and no others"))?;
        headers.set(name, value);
        if headers.iter().all(|(set, _)| set != name) {
            return Err(wrong("headers", format!("1 to {HEADER_VALUE_BYTES_MAX} plain characters each")));
        }
    }
    Ok(headers)
}

#[derive(Serialize)]
struct Added {
    id: u32,
}

async fn add(app: &App, body: Incoming) -> Answer {
    let written: Written = read(body).await?;
    let kind = written.kind.as_deref().and_then(Kind::find);
    let kind = kind.ok_or_else(|| wrong("kind", "playlist, upload, xtream or hdhomerun"))?;
    let mut subscription = Subscription::new(kind);
    written.apply(&mut subscription)?;
    let id = app.subscriptions.put(subscription).await?;
    Ok(json(StatusCode::CREATED, &Added { id: id.0 }))
}

async fn edit(app: &App, mut subscription: Subscription, body: Incoming) -> Answer {
    let written: Written = read(body).await?;
    if written.kind.is_some() {
        return Err(wrong("kind", "it stays what it is; add another one"));
    }
    if subscription.from_settings && (written.address.is_some() || written.enabled.is_some()) {
        return Err(wrong("address", "the settings rule it: change the line playlist below [lineup]"));
    }
    written.apply(&mut subscription)?;
    app.subscriptions.put(subscription).await?;
    Ok(done())
}

#[derive(Serialize)]
struct Uploaded {
    entries: u32,
}

async fn upload(app: &App, id: SubscriptionId, body: Incoming) -> Answer {
    let entries = app.subscriptions.upload(id, body).await?;
    Ok(json(StatusCode::OK, &Uploaded { entries }))
}

// ---- Groups and entries ---------------------------------------------------------------------------------------------

#[derive(Serialize)]
struct GroupView {
    name: String,
    entries: u32,
    ticked: bool,
    number_from: Option<u32>,
}

async fn groups(app: &App, id: SubscriptionId) -> Answer {
    let groups = app.subscriptions.groups(id).await?.into_iter();
    let view = |Group { name, entries, ticked, number_from }| GroupView { name, entries, ticked, number_from };
    Ok(fresh(&groups.map(view).collect::<Vec<_>>()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticks {
    /// Null: everything. It must be said: who forgets it does not mean that.
    #[serde(deserialize_with = "Option::deserialize")]
    groups: Option<Vec<String>>,
}

async fn tick(app: &App, id: SubscriptionId, body: Incoming) -> Answer {
    let Ticks { groups } = read(body).await?;
    let known = app.subscriptions.groups(id).await?;
    if let Some(unknown) = groups.iter().flatten().find(|group| known.iter().all(|known| known.name != **group)) {
        return Err(wrong("groups", format!("there is no group {unknown:?}")));
    }
    app.subscriptions.tick(id, groups).await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    group: String,
    /// Null: like any other.
    #[serde(deserialize_with = "Option::deserialize")]
    number_from: Option<u32>,
}

async fn range(app: &App, id: SubscriptionId, body: Incoming) -> Answer {
    let Range { group, number_from } = read(body).await?;
    if group.len() > NAME_BYTES_MAX {
        return Err(wrong("group", "a group of the list"));
    }
    app.subscriptions.set_range(id, group, number_from).await?;
    Ok(done())
}

#[derive(Serialize)]
struct EntryView {
    position: i64,
    name: String,
    group: String,
    tvg_id: String,
    channel_id: Option<u32>,
}

async fn entries(app: &App, id: SubscriptionId, asked: &str) -> Answer {
    let (after, limit) = page::<i64>(asked, PAGE_LEN, PAGE_LEN_MAX)?;
    let (group, search) = (words(asked, "group"), words(asked, "search").unwrap_or_default());
    let found = app.subscriptions.entries(id, group, search, after.unwrap_or(i64::MIN), limit).await?;
    let view = |ListedEntry { position, name, group, tvg_id, channel, key: _ }| EntryView {
        position,
        name,
        group,
        tvg_id,
        channel_id: channel,
    };
    let (entries, next) = found;
    Ok(fresh(&Page { items: entries.into_iter().map(view).collect(), next }))
}

// ---- Change sets ----------------------------------------------------------------------------------------------------

#[derive(Serialize)]
struct ChangeSetView {
    batch: i64,
    at: String,
    state: &'static str,
    new: u32,
    gone: u32,
    renamed: u32,
    moved: u32,
    changed: u32,
}

impl From<ChangeSet> for ChangeSetView {
    fn from(set: ChangeSet) -> Self {
        let pure::model::subscription::Changes { new, gone, renamed, moved, changed } = set.changes;
        let (at, state) = (set.at.to_string(), set.state.name());
        Self { batch: set.batch, at, state, new, gone, renamed, moved, changed }
    }
}

#[derive(Serialize)]
struct DifferenceView {
    before: Option<String>,
    after: Option<String>,
    group: String,
}

async fn changes(app: &App, id: SubscriptionId) -> Answer {
    let sets = app.subscriptions.change_sets(id).await?;
    Ok(fresh(&sets.into_iter().map(ChangeSetView::from).collect::<Vec<_>>()))
}

async fn differences(app: &App, id: SubscriptionId, call: &Call<'_>) -> Answer {
    let batch = i64::from(call.second_id()?);
    let (after, limit) = page::<i64>(call.query, PAGE_LEN, PAGE_LEN_MAX)?;
    let (found, next) = app.subscriptions.differences(id, batch, after.unwrap_or(i64::MIN), limit).await?;
    let view = |Difference { before, after, group, position: _ }| DifferenceView { before, after, group };
    Ok(fresh(&Page { items: found.into_iter().map(view).collect(), next }))
}

// ---- Channels -------------------------------------------------------------------------------------------------------

/// Channels that are looked at before others get their turn.
const BATCH: usize = 512;

#[derive(Serialize)]
struct ChannelView {
    id: u32,
    number: String,
    name: String,
    group: String,
    logo: String,
    mark: &'static str,
    /// What the provider says, where the owner says something else.
    listed_name: Option<String>,
    listed_group: Option<String>,
    moved: bool,
    sources: Vec<SourceView>,
    /// Where the box has its logo; null: it has none.
    image: Option<String>,
    guide: MatchView,
}

#[derive(Serialize)]
struct SourceView {
    subscription_id: u32,
    /// Its name there; null while it is not listed.
    name: Option<String>,
}

impl ChannelView {
    fn new(app: &App, channel: &Channel, mark: Mark, detail: Detail) -> Self {
        Self {
            id: channel.id.0,
            number: channel.number.as_str().to_owned(),
            name: channel.name.clone(),
            group: channel.group.clone(),
            logo: channel.logo.clone(),
            mark: mark.name(),
            listed_name: detail.listed_name.filter(|_| detail.own_name),
            listed_group: detail.listed_group.filter(|_| detail.own_group),
            moved: detail.moved,
            image: logo_path(channel.id, &channel.logo),
            guide: MatchView::new(app, channel),
            sources: detail
                .sources
                .into_iter()
                .map(|(subscription, name)| SourceView { subscription_id: subscription.0, name })
                .collect(),
        }
    }
}

/// Channels of the lineup in its order. `after` is a place in it.
async fn channels(app: &App, asked: &str) -> Answer {
    let (after, limit) = page::<i64>(asked, PAGE_LEN, PAGE_LEN_MAX)?;
    let (group, search) = (words(asked, "group"), words(asked, "search").unwrap_or_default().to_lowercase());
    let lineup = app.engine.lineup().ok_or_else(loading)?;
    let start = after.and_then(|after| usize::try_from(after).ok()).unwrap_or(0);
    let (mut found, mut next) = (Vec::new(), None);
    for (at, channel) in lineup.channels().iter().enumerate().skip(start) {
        if found.len() == limit {
            next = i64::try_from(at).ok();
            break;
        }
        let is_wanted = group.as_ref().is_none_or(|group| *group == channel.group)
            && (search.is_empty()
                || channel.number.as_str() == search
                || channel.name.to_lowercase().contains(&search));
        if is_wanted {
            found.push(channel);
        }
        if at % BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
    let details = app.subscriptions.details(found.iter().map(|channel| channel.id).collect()).await?;
    let marks = app.subscriptions.marks();
    let views = found.into_iter().zip(details);
    let items = views.map(|(channel, detail)| ChannelView::new(app, channel, marks.of(channel.id), detail)).collect();
    Ok(fresh(&Page { items, next }))
}

#[derive(Serialize)]
struct ChannelGroup {
    name: String,
    channels: usize,
}

/// The groups that channels of the lineup are in, whoever put them there.
async fn channel_groups(app: &App) -> Answer {
    let lineup = app.engine.lineup().ok_or_else(loading)?;
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, channel) in lineup.channels().iter().enumerate() {
        *groups.entry(&channel.group).or_default() += 1;
        if at % BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
    groups.remove("");
    let view = |(name, channels): (&str, usize)| ChannelGroup { name: name.to_owned(), channels };
    Ok(fresh(&groups.into_iter().map(view).collect::<Vec<_>>()))
}

/// Tells null from nothing.
#[derive(Default)]
pub(super) enum Given<T> {
    #[default]
    Nothing,
    Null,
    Value(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::deserialize(from).map(|value| value.map_or(Self::Null, Self::Value))
    }
}

/// What is to be done to channels: one thing at a time. Null takes back what was said before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEdit {
    channels: Vec<u32>,
    #[serde(default)]
    name: Given<String>,
    #[serde(default)]
    group: Given<String>,
    #[serde(default)]
    logo: Given<String>,
    /// A part of the names, and what stands there instead.
    replace: Option<[String; 2]>,
    number_from: Option<String>,
    /// 0: at the top; null: where the list has it.
    #[serde(default)]
    move_behind: Given<u32>,
    #[serde(default)]
    merge: bool,
    #[serde(default)]
    split: bool,
    source_order: Option<Vec<u32>>,
    mark: Option<String>,
}

fn checked(field: &'static str, text: &str) -> Result<String, Error> {
    let text = text.trim();
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(wrong(field, format!("1 to {NAME_BYTES_MAX} bytes without control characters, or null")));
    }
    Ok(text.to_owned())
}

fn checked_logo(text: &str) -> Result<String, Error> {
    match text.trim().parse::<SourceUrl>() {
        Ok(url) if url.scheme().is_http() => Ok(url.as_str().to_owned()),
        _ => Err(wrong("logo", "an address with http:// or https://, or null")),
    }
}

impl WrittenEdit {
    fn edit(self) -> Result<Edit, Error> {
        let mut edits = Vec::new();
        match self.name {
            Given::Nothing => {}
            Given::Null => edits.push(Edit::Name(None)),
            Given::Value(name) => edits.push(Edit::Name(Some(checked("name", &name)?))),
        }
        match self.group {
            Given::Nothing => {}
            Given::Null => edits.push(Edit::Group(None)),
            Given::Value(group) => edits.push(Edit::Group(Some(checked("group", &group)?))),
        }
        match self.logo {
            Given::Nothing => {}
            Given::Null => edits.push(Edit::Logo(None)),
            Given::Value(logo) => edits.push(Edit::Logo(Some(checked_logo(&logo)?))),
        }
        if let Some([part, with]) = self.replace {
            if with.len() > NAME_BYTES_MAX || with.chars().any(char::is_control) {
                return Err(wrong("replace", format!("at most {NAME_BYTES_MAX} bytes without control characters")));
            }
            edits.push(Edit::Replace { part, with });
        }
        if let Some(from) = self.number_from {
            let from = from.parse().map_err(|_| wrong("number_from", "a number such as 100 or 5.1"))?;
            edits.push(Edit::NumberFrom(from));
        }
        match self.move_behind {
            Given::Nothing => {}
            Given::Null => edits.push(Edit::MoveBack),
            Given::Value(behind) => edits.push(Edit::MoveBehind((behind != 0).then_some(ChannelId(behind)))),
        }
        edits.extend(self.merge.then_some(Edit::Merge));
        edits.extend(self.split.then_some(Edit::Split));
        edits.extend(self.source_order.map(Edit::SourceOrder));
        match (edits.len(), edits.pop()) {
            (1, Some(edit)) => Ok(edit),
            _ => Err(wrong("body", "one thing at a time, such as name, group, number_from, merge or mark")),
        }
    }
}

async fn channels_edit(app: &App, body: Incoming) -> Answer {
    let mut written: WrittenEdit = read(body).await?;
    let channels: Vec<ChannelId> = std::mem::take(&mut written.channels).into_iter().map(ChannelId).collect();
    if channels.is_empty() || channels.len() > BULK_MAX {
        return Err(wrong("channels", format!("1 to {BULK_MAX} ids")));
    }
    if let Some(mark) = written.mark {
        let mark = Mark::find(&mark).ok_or_else(|| wrong("mark", "plain, favorite or hidden"))?;
        let lineup = app.engine.lineup();
        let unknown = channels.iter().find(|id| lineup.as_ref().is_none_or(|lineup| lineup.by_id(**id).is_none()));
        if let Some(unknown) = unknown {
            return Err(wrong("channels", format!("there is no channel with the id {} now", unknown.0)));
        }
        app.subscriptions.mark_channels(channels, mark).await?;
    } else {
        app.subscriptions.edit(channels, written.edit()?).await?;
    }
    Ok(done())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_as_forms_write_them() {
        for (text, read) in [("a+b%20c", "a b c"), ("%C3%BC", "ü"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("", "")]
        {
            assert_eq!(decoded(text), read, "{text}");
        }
        assert_eq!(words("id=1&group=A%26B", "group").as_deref(), Some("A&B"));
        let read = |text| page::<i64>(text, PAGE_LEN, PAGE_LEN_MAX);
        assert_eq!(read("after=-5&limit=7").unwrap(), (Some(-5), 7));
        assert!(read("limit=0").is_err() && read("limit=501").is_err() && read("after=x").is_err());
    }

    #[test]
    fn one_thing_at_a_time() {
        let edit = |text: &str| serde_json::from_str::<WrittenEdit>(text).unwrap().edit();
        assert_eq!(edit(r#"{"channels":[1],"name":null}"#), Ok(Edit::Name(None)));
        assert_eq!(edit(r#"{"channels":[1],"name":" A "}"#), Ok(Edit::Name(Some("A".to_owned()))));
        assert_eq!(edit(r#"{"channels":[1],"move_behind":0}"#), Ok(Edit::MoveBehind(None)));
        assert_eq!(edit(r#"{"channels":[1],"move_behind":null}"#), Ok(Edit::MoveBack));
        for (text, field) in [
            (r#"{"channels":[1]}"#, "body"),
            (r#"{"channels":[1],"name":"A","merge":true}"#, "body"),
            (r#"{"channels":[1],"name":""}"#, "name"),
            (r#"{"channels":[1],"logo":"file:///etc/passwd"}"#, "logo"),
            (r#"{"channels":[1],"number_from":"x"}"#, "number_from"),
        ] {
            assert!(matches!(edit(text), Err(Error::Field(error)) if error.field == field), "{text}");
        }
    }
}

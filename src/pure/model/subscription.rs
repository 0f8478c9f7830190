//! What the owner subscribes to, and what a refresh of it changes.
//!
//! Two layers, and no way from the lower to the upper: what a provider lists (entries, groups, change sets) is written by
//! a refresh; what the owner chose (subscriptions, ticked groups, channels with their numbers, names and order) is
//! written by him. Where both are stored: the daemon's `store`.

use crate::limits::{HOSTS_MAX, NAME_BYTES_MAX, REFRESH_S_DEFAULT, REFRESH_S_MAX, REFRESH_S_MIN};
use crate::model::guide_number::GuideNumber;
use crate::model::headers::Headers;
use crate::model::lineup::ChannelId;
use crate::model::provider::{Host, Provider, ProxyUrl};
use crate::model::source_url::{self, SourceUrl};
use crate::rules::reach::Reach;
use crate::time::Wall;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// Names a subscription for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionId(pub u32);

/// What stands behind a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An M3U playlist at an address, or in a file that the settings name.
    Playlist,
    /// An M3U playlist that was brought here.
    Upload,
    /// A login at a provider who speaks Xtream.
    Xtream,
    /// Another HDHomeRun.
    HdHomeRun,
}

impl Kind {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Playlist, "playlist"),
        (Self::Upload, "upload"),
        (Self::Xtream, "xtream"),
        (Self::HdHomeRun, "hdhomerun"),
    ];

    /// Its name in the API and the store.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The kind of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// A subscription, as the owner has it.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Subscription {
    /// For life; 0 before it is stored.
    pub id: SubscriptionId,
    /// What stands behind it.
    pub kind: Kind,
    /// What the owner calls it.
    pub name: String,
    /// Address or path, **with its secrets**; empty for an upload.
    pub address: String,
    /// For a login.
    pub username: String,
    /// For a login. A secret.
    pub password: String,
    /// What the provider wants to see, if anything.
    pub user_agent: Option<String>,
    /// And what else.
    pub headers: Headers,
    /// Through which all that it names is fetched.
    pub proxy: Option<ProxyUrl>,
    /// Who stands in for the host of its address where that cannot be reached, in this order.
    pub hosts: Vec<Host>,
    /// From one refresh to the next, in seconds.
    pub refresh_s: u32,
    /// Streams at once that the owner allows; the provider's own limit counts as well.
    pub streams_max: Option<u16>,
    /// Changes wait for the owner.
    pub held: bool,
    /// It is refreshed, and its channels are shown.
    pub enabled: bool,
    /// Only ticked groups become channels; otherwise everything.
    pub ticked_only: bool,
    /// It is the one that the settings name: they rule it.
    pub from_settings: bool,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({}, {})", self.id.0, self.kind.name())
    }
}

/// What is wrong with what somebody wrote, and in which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Its name in the API.
    pub field: &'static str,
    /// What is allowed, for people. No part of what was written is inside: it may be a password.
    pub why: String,
}

impl FieldError {
    /// For a field, in these words.
    pub fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }
}

impl Subscription {
    /// One that is not kept yet, with nothing written.
    pub fn new(kind: Kind) -> Self {
        Self {
            id: SubscriptionId(0),
            kind,
            name: String::new(),
            address: String::new(),
            username: String::new(),
            password: String::new(),
            user_agent: None,
            headers: Headers::default(),
            proxy: None,
            hosts: Vec::new(),
            refresh_s: REFRESH_S_DEFAULT,
            streams_max: None,
            held: false,
            enabled: true,
            ticked_only: false,
            from_settings: false,
        }
    }

    /// Checks what a person may write, and writes it the one way we write it.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&mut self) -> Result<(), FieldError> {
        for (field, text) in [("name", &self.name), ("username", &self.username), ("password", &self.password)] {
            if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(FieldError::new(field, format!("at most {NAME_BYTES_MAX} bytes, no control characters")));
            }
        }
        if let Some(agent) = &self.user_agent {
            if agent.is_empty()
                || agent.len() > NAME_BYTES_MAX
                || !agent.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            {
                return Err(FieldError::new("user_agent", format!("1 to {NAME_BYTES_MAX} plain characters")));
            }
        }
        if self.hosts.len() > HOSTS_MAX {
            return Err(FieldError::new("hosts", format!("at most {HOSTS_MAX} hosts")));
        }
        if self.kind == Kind::Upload && !self.hosts.is_empty() {
            return Err(FieldError::new("hosts", "an uploaded playlist has no host that others could stand in for"));
        }
        if !(REFRESH_S_MIN..=REFRESH_S_MAX).contains(&self.refresh_s) {
            return Err(FieldError::new("refresh_s", format!("{REFRESH_S_MIN} to {REFRESH_S_MAX} seconds")));
        }
        if self.streams_max == Some(0) {
            return Err(FieldError::new("streams_max", "at least 1, or nothing for what the provider allows"));
        }
        match self.kind {
            Kind::Upload if !self.address.is_empty() => {
                return Err(FieldError::new("address", "an uploaded playlist has none"));
            }
            Kind::Upload => {}
            // A path; only the settings can name one.
            Kind::Playlist if self.from_settings && !self.address.contains("://") => {}
            Kind::Playlist | Kind::Xtream | Kind::HdHomeRun => self.address = checked_address(&self.address)?,
        }
        if self.kind == Kind::Xtream {
            for (field, text) in [("username", &self.username), ("password", &self.password)] {
                if text.is_empty() {
                    return Err(FieldError::new(field, "a login needs it"));
                }
            }
        }
        if self.name.trim().is_empty() {
            let host = self.address.parse::<SourceUrl>().map(|url| url.host().to_owned());
            self.name = host.unwrap_or_else(|_| "Playlist".to_owned());
        }
        Ok(())
    }

    /// How all that it names is fetched; none: like anything else.
    pub fn provider(&self) -> Option<Arc<Provider>> {
        let Self { user_agent, headers, proxy, hosts, .. } = self.clone();
        if user_agent.is_none() && headers.is_empty() && proxy.is_none() && hosts.is_empty() {
            return None;
        }
        let host = self.address.parse::<SourceUrl>().map(|url| url.host().to_owned()).unwrap_or_default();
        Some(Arc::new(Provider { id: self.id.0, host, user_agent, headers, proxy, hosts }))
    }

    /// As people may see its address: without secrets.
    pub fn shown(&self) -> String {
        source_url::shown(&self.address)
    }
}

fn checked_address(text: &str) -> Result<String, FieldError> {
    match text.trim().parse::<SourceUrl>() {
        Ok(url) if !url.scheme().is_http() => {
            Err(FieldError::new("address", format!("http:// or https://, not {}://", url.scheme().as_str())))
        }
        Ok(url) => Ok(url.as_str().to_string()),
        Err(error) => Err(FieldError::new("address", format!("an address with http:// or https://: {error}"))),
    }
}

/// What a provider says of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// In his words, such as `Active`; empty when he says nothing.
    pub status: String,
    /// When it ends, if ever.
    pub expires_at: Option<Wall>,
    /// Streams at once that he allows.
    pub connections_max: Option<u16>,
}

/// What a subscription lists now, and how that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Entries.
    pub entries: u32,
    /// When it was last fetched whole, or found unchanged.
    pub loaded_at: Option<Wall>,
    /// What its server called this version.
    pub etag: Option<String>,
    /// And when it changed, in its server's words.
    pub last_modified: Option<String>,
    /// What the provider says of the account.
    pub account: Account,
    /// Guides that it names.
    pub guides: Vec<SourceUrl>,
    /// How far these may lead.
    pub reach: Reach,
}

/// What became of a change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeState {
    /// It waits for the owner.
    Waiting,
    /// It is what the channels are made of.
    Applied,
    /// It was, until the owner took it back.
    Undone,
    /// The owner did not want it.
    Refused,
    /// A newer one came while it waited.
    Superseded,
}

impl ChangeState {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Waiting, "waiting"),
        (Self::Applied, "applied"),
        (Self::Undone, "undone"),
        (Self::Refused, "refused"),
        (Self::Superseded, "superseded"),
    ];

    /// Its name in the API and the store.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// The state of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(state, _)| *state)
    }
}

/// What one refresh changed, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries that were not there before.
    pub new: u32,
    /// Entries that are there no more.
    pub gone: u32,
    /// Entries that have another name, and the address they had.
    pub renamed: u32,
    /// Entries in another group.
    pub moved: u32,
    /// Entries of which anything else changed: address, logo, order.
    pub changed: u32,
}

impl Changes {
    /// Whether everything is as it was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the owner does with a change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// What waits is to be.
    Approve,
    /// What waits is not to be.
    Refuse,
    /// The last one that was applied is to be taken back; from then on changes wait.
    Undo,
}

/// A change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeSet {
    /// Its number among those of the subscription.
    pub batch: i64,
    /// When it was fetched.
    pub at: Wall,
    /// What became of it.
    pub state: ChangeState,
    /// What is in it.
    pub changes: Changes,
}

/// What a whole refresh came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Everything is as it was.
    Same,
    /// What it changed is there.
    Applied(Changes),
    /// What it changed waits for the owner.
    Waiting(Changes),
    /// It is what the owner did not want.
    Refused,
}

/// What is known at the end of a refresh besides the entries.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// When it ended.
    pub at: Wall,
    /// What its server calls this version.
    pub etag: Option<String>,
    /// And when it changed.
    pub last_modified: Option<String>,
    /// What the provider says of the account, if anything.
    pub account: Option<Account>,
    /// Guides that it names.
    pub guides: Vec<SourceUrl>,
    /// How far these may lead.
    pub reach: Reach,
}

/// One difference of a change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where it stands in the list.
    pub position: i64,
    /// What it was called, if it was there.
    pub before: Option<String>,
    /// What it is called, if it is there.
    pub after: Option<String>,
    /// Its group, now or last.
    pub group: String,
}

/// A group of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As the provider writes it; may be empty.
    pub name: String,
    /// How many entries it has.
    pub entries: u32,
    /// Whether the owner ticked it.
    pub ticked: bool,
    /// From which number on its new channels are numbered.
    pub number_from: Option<u32>,
}

/// An entry, as a page shows it. Its address is not there: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// Names it in its list.
    pub key: i64,
    /// Where it stands in its list.
    pub position: i64,
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its id in the guide.
    pub tvg_id: String,
    /// The channel that it is a source of.
    pub channel: Option<u32>,
}

/// What the owner does to channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Another name; none: the provider's again. For one channel.
    Name(Option<String>),
    /// A part of their names becomes another.
    Replace {
        /// The part.
        part: String,
        /// What stands there instead.
        with: String,
    },
    /// Another group; none: the provider's again.
    Group(Option<String>),
    /// The address of another logo; none: the provider's again. For one channel.
    Logo(Option<String>),
    /// Numbers from this one on, in the order of the request.
    NumberFrom(GuideNumber),
    /// They stand behind this channel, in the order of the request; none: at the top.
    MoveBehind(Option<ChannelId>),
    /// They stand where their list has them.
    MoveBack,
    /// The others become further sources of the first.
    Merge,
    /// Its further sources are channels of their own again.
    Split,
    /// Its sources in another order, as places in the order that is. For one channel.
    SourceOrder(Vec<u32>),
}

/// What is known of a channel besides its place in the lineup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// What its provider calls it.
    pub listed_name: Option<String>,
    /// What its provider's group is.
    pub listed_group: Option<String>,
    /// Its id in the provider's guide; empty when none.
    pub tvg_id: String,
    /// Its name in the provider's guide; empty when none.
    pub tvg_name: String,
    /// How much later than its guide says it broadcasts, in minutes.
    pub tvg_shift_min: i16,
    /// Its sources in order: subscription, and its name there if it is listed now.
    pub sources: Vec<(SubscriptionId, Option<String>)>,
    /// Whether the owner named it.
    pub own_name: bool,
    /// Whether the owner grouped it.
    pub own_group: bool,
    /// Whether the owner moved it.
    pub moved: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn playlist(address: &str) -> Subscription {
        Subscription { address: address.to_owned(), ..Subscription::new(Kind::Playlist) }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let mut good = playlist("HTTP://Joe:secret@Example.com/list.m3u");
        assert_eq!(good.check(), Ok(()));
        assert_eq!(
            (good.name.as_str(), good.address.as_str()),
            ("example.com", "http://Joe:secret@example.com/list.m3u")
        );
        assert!(!format!("{good:?} {}", good.shown()).contains("secret"));
        for (field, wrong) in [
            ("address", playlist("")),
            ("address", playlist("/etc/passwd")),
            ("address", playlist("file:///etc/passwd")),
            ("address", playlist("udp://239.0.0.1:1")),
            ("address", Subscription { kind: Kind::Upload, ..good.clone() }),
            ("name", Subscription { name: "a\nb".to_owned(), ..good.clone() }),
            ("user_agent", Subscription { user_agent: Some("ü".to_owned()), ..good.clone() }),
            ("hosts", Subscription { hosts: vec!["a".parse().unwrap(); HOSTS_MAX + 1], ..good.clone() }),
            ("hosts", Subscription { hosts: vec!["a".parse().unwrap()], ..Subscription::new(Kind::Upload) }),
            ("refresh_s", Subscription { refresh_s: 1, ..good.clone() }),
            ("streams_max", Subscription { streams_max: Some(0), ..good.clone() }),
            ("username", Subscription { kind: Kind::Xtream, ..good.clone() }),
            ("password", Subscription { kind: Kind::Xtream, username: "u".to_owned(), ..good.clone() }),
        ] {
            assert_eq!(wrong.clone().check().unwrap_err().field, field);
        }
        let mut file = Subscription { from_settings: true, ..playlist("/home/me/list.m3u") };
        assert_eq!(file.check(), Ok(()));
    }

    #[test]
    fn names_are_found_again() {
        for (kind, name) in Kind::NAMES {
            assert_eq!((Kind::find(name), kind.name()), (Some(kind), name));
        }
        for (state, name) in ChangeState::NAMES {
            assert_eq!((ChangeState::find(name), state.name()), (Some(state), name));
        }
    }
}

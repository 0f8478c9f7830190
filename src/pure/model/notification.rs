//! Where notifications go, written as one address, and what they may be about.
//!
//! `https://…` or `http://…` is a webhook of any kind; `discord://id/token` or the address that Discord shows;
//! `ntfys://host/topic` and `ntfy://host/topic`, with and without TLS; `tgram://token/chat`;
//! `smtp://user:password@host:587/?from=…&to=…`, and `smtps://` where TLS comes first.
//!
//! The invariant: whatever is inside was read, not copied. A mail address has no space, bracket, comma or line break, so
//! no command and no header can be made of it. What people see ([`fmt::Display`], [`fmt::Debug`]) hides every part that
//! would let somebody else send or listen; only [`Target::as_str`] shows them. What is sent: the daemon's `notices`;
//! when: [`crate::rules::notices`].

use crate::limits::{MAIL_RECIPIENTS_MAX, NAME_BYTES_MAX, URL_BYTES_MAX};
use crate::model::source_url::SourceUrl;
use crate::model::subscription::FieldError;
use crate::wire::percent;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

/// Names a place where notifications go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotificationId(pub u32);

/// A place where notifications go, as the owner has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// For life.
    pub id: NotificationId,
    /// What the owner calls it.
    pub name: String,
    /// Where it is.
    pub target: Target,
    /// What it is told.
    pub events: Events,
    /// Whether it is told anything.
    pub enabled: bool,
}

impl Notification {
    /// # Errors
    /// The name is none.
    pub fn check(&self) -> Result<(), FieldError> {
        let is_good = (1..=NAME_BYTES_MAX).contains(&self.name.len()) && !self.name.chars().any(char::is_control);
        let why = || FieldError::new("name", format!("1 to {NAME_BYTES_MAX} bytes without control characters"));
        is_good.then_some(()).ok_or_else(why)
    }
}

// ---- Events ---------------------------------------------------------------------------------------------------------

/// What a notification may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A channel cannot be played: all of its sources rest.
    ChannelIll,
    /// One that was told ill plays again.
    ChannelRecovered,
    /// An account of a subscription ends soon.
    SourceExpires,
    /// It has ended.
    SourceExpired,
    /// A subscription cannot be refreshed.
    SourceFailing,
    /// One that was told so can.
    SourceRecovered,
    /// So much fails that restarts wait for each other.
    Storm,
    /// Most of what is watched cannot be had.
    Outage,
    /// It can be again.
    OutageOver,
    /// There is a newer release.
    UpdateAvailable,
    /// It was installed.
    UpdateInstalled,
    /// It was no good, and the one before is back.
    UpdateRolledBack,
}

impl Event {
    /// All of them, in the order in which people read them.
    pub const ALL: [Self; 12] = [
        Self::ChannelIll,
        Self::ChannelRecovered,
        Self::SourceExpires,
        Self::SourceExpired,
        Self::SourceFailing,
        Self::SourceRecovered,
        Self::Storm,
        Self::Outage,
        Self::OutageOver,
        Self::UpdateAvailable,
        Self::UpdateInstalled,
        Self::UpdateRolledBack,
    ];

    /// Its name in the API, the database and what a webhook gets.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChannelIll => "channel_ill",
            Self::ChannelRecovered => "channel_recovered",
            Self::SourceExpires => "source_expires",
            Self::SourceExpired => "source_expired",
            Self::SourceFailing => "source_failing",
            Self::SourceRecovered => "source_recovered",
            Self::Storm => "storm",
            Self::Outage => "outage",
            Self::OutageOver => "outage_over",
            Self::UpdateAvailable => "update_available",
            Self::UpdateInstalled => "update_installed",
            Self::UpdateRolledBack => "update_rolled_back",
        }
    }

    /// The event of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    /// Whether it says that something is well again, or news.
    pub const fn is_good(self) -> bool {
        matches!(
            self,
            Self::ChannelRecovered
                | Self::SourceRecovered
                | Self::OutageOver
                | Self::UpdateAvailable
                | Self::UpdateInstalled
        )
    }
}

/// Several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events(u16);

const _: () = assert!(Event::ALL.len() <= 16, "each event is one bit");

impl Events {
    /// All of them.
    pub const ALL: Self = Self((1 << Event::ALL.len()) - 1);

    /// Whether this one is among them.
    pub const fn has(self, event: Event) -> bool {
        self.0 & (1 << event as u16) != 0
    }

    /// Those that are.
    pub fn iter(self) -> impl Iterator<Item = Event> {
        Event::ALL.into_iter().filter(move |event| self.has(*event))
    }
}

impl FromIterator<Event> for Events {
    fn from_iter<T: IntoIterator<Item = Event>>(events: T) -> Self {
        Self(events.into_iter().fold(0, |bits, event| bits | 1 << event as u16))
    }
}

// ---- Targets --------------------------------------------------------------------------------------------------------

/// Where a message goes. Equal texts, equal targets.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    text: String,
    way: Way,
}

/// How it gets there.
#[derive(Clone, PartialEq, Eq)]
pub enum Way {
    /// JSON of ours to any address.
    Webhook(SourceUrl),
    /// A webhook of Discord.
    Discord(SourceUrl),
    /// A server of ntfy, and the topic.
    Ntfy {
        /// Where the server takes messages.
        url: SourceUrl,
        /// Who knows it can listen.
        topic: String,
    },
    /// A bot of Telegram, and whom it writes to.
    Telegram {
        /// What the bot is asked.
        url: SourceUrl,
        /// A number, or a channel's name.
        chat: String,
    },
    /// Mail.
    Mail(MailRoute),
}

/// A mail server, who we are there, and who writes to whom.
#[derive(Clone, PartialEq, Eq)]
pub struct MailRoute {
    /// Name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS comes before anything else; otherwise the server is asked for it.
    pub tls_first: bool,
    /// User and password. Secrets; no control characters.
    pub login: Option<(String, String)>,
    /// Who writes.
    pub from: MailAddress,
    /// To whom; at least one.
    pub to: Vec<MailAddress>,
}

/// A mail address in the form that nearly all have: no quotes, no comments, ASCII. It can stand in a command and in a
/// header as it is.
///
/// Source: RFC 5321, 4.1.2 (`Dot-string "@" Domain`), and 4.5.3.1 for the lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress(String);

impl MailAddress {
    fn read(text: &str) -> Option<Self> {
        let (local, domain) = text.split_once('@')?;
        let is_atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        let is_local = (1..=64).contains(&local.len())
            && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_domain = domain.len() <= 253 && domain.split('.').all(is_label);
        (is_local && is_domain).then(|| Self(text.to_string()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, domain)| domain)
    }
}

/// Why a text is no target: what is allowed, for people. No part of the text is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetError(pub &'static str);

const KINDS: TargetError = TargetError(
    "https://…, discord://id/token, ntfys://host/topic, tgram://token/chat, smtp://user:password@host/?from=…&to=… or \
     smtps://…",
);
const CHARACTERS: TargetError = TargetError(
    "an address without spaces, line breaks and #; write such characters of a password as %20, %0A and %23",
);
const ADDRESS: TargetError =
    TargetError("host or port are not what an address may have; is there an @ or : to write as %40 or %3A?");
const DISCORD: TargetError = TargetError("discord://id/token, or the address that Discord shows for the webhook");
const NTFY: TargetError = TargetError("ntfys://host/topic, the topic of 1 to 64 letters, digits, _ and -");
const TELEGRAM: TargetError = TargetError("tgram://token/chat, the token as 123456:ABC…, the chat a number or @name");
const MAIL: TargetError = TargetError(
    "smtp://user:password@host:587/?from=me@example.org&to=you@example.org, with % codes for characters such as @ in user \
     and password",
);
const MAIL_PORT: TargetError = TargetError("port 465 wants TLS from the start: write smtps:// in place of smtp://");
const PASSWORD: TargetError = TargetError("only mail and ntfy have a password of their own, behind a user");

const HIDDEN: &str = "***";
const DISCORD_HOSTS: [&str; 4] = ["discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com"];

impl Target {
    /// Reads what a person wrote; the password may also be written apart from it.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn read(text: &str, password: Option<&str>) -> Result<Self, TargetError> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\');
        if !is_plain || text.is_empty() || text.len() > URL_BYTES_MAX {
            return Err(if text.is_empty() { KINDS } else { CHARACTERS });
        }
        let (scheme, rest) = text.split_once("://").ok_or(KINDS)?;
        let target = match &*scheme.to_ascii_lowercase() {
            "https" | "http" => web(text),
            "discord" => discord(rest),
            "ntfy" => ntfy(rest, false, password),
            "ntfys" => ntfy(rest, true, password),
            "tgram" => telegram(rest),
            "smtp" => mail(rest, false, password),
            "smtps" => mail(rest, true, password),
            _ => Err(KINDS),
        }?;
        let takes_password = matches!(target.way, Way::Mail(_) | Way::Ntfy { .. });
        if password.is_some() && !takes_password { Err(PASSWORD) } else { Ok(target) }
    }

    /// All of it, **with its secrets**: for the store only.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How it is reached. With secrets.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// What kind it is, in the API.
    pub const fn kind(&self) -> &'static str {
        match self.way {
            Way::Webhook(_) => "webhook",
            Way::Discord(_) => "discord",
            Way::Ntfy { .. } => "ntfy",
            Way::Telegram { .. } => "telegram",
            Way::Mail(_) => "mail",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or_default();
        match &self.way {
            Way::Webhook(url) | Way::Ntfy { url, .. } => {
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                let (login, host) = authority.rsplit_once('@').map_or((false, authority), |(_, host)| (true, host));
                let path = if self.kind() == "webhook" && url.path_and_query() == "/" { "" } else { HIDDEN };
                write!(f, "{scheme}://{}{host}/{path}", if login { "***@" } else { "" })
            }
            Way::Discord(_) => write!(f, "{scheme}://{}/{HIDDEN}", rest.split('/').next().unwrap_or_default()),
            Way::Telegram { chat, .. } => write!(f, "{scheme}://{HIDDEN}/{chat}"),
            Way::Mail(route) => f.write_str(&mail_text(route, |_| HIDDEN.to_string())),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

fn is_word(text: &str, len_max: usize) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=len_max).contains(&text.len()) && text.bytes().all(is_good)
}

fn is_number(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn web(text: &str) -> Result<Target, TargetError> {
    let url: SourceUrl = text.parse().map_err(|_| ADDRESS)?;
    if DISCORD_HOSTS.contains(&url.host()) {
        let path = url.path_and_query().strip_prefix("/api/").ok_or(DISCORD)?;
        let (_, path) = path.split_once("webhooks/").ok_or(DISCORD)?;
        return discord(path);
    }
    Ok(Target { text: url.as_str().to_string(), way: Way::Webhook(url) })
}

fn discord(rest: &str) -> Result<Target, TargetError> {
    let (id, token) = rest.trim_end_matches('/').split_once('/').ok_or(DISCORD)?;
    if !is_number(id) || !is_word(token, 128) {
        return Err(DISCORD);
    }
    let url = format!("https://discord.com/api/webhooks/{id}/{token}").parse().map_err(|_| DISCORD)?;
    Ok(Target { text: format!("discord://{id}/{token}"), way: Way::Discord(url) })
}

fn ntfy(rest: &str, tls: bool, password: Option<&str>) -> Result<Target, TargetError> {
    let url: SourceUrl = format!("https://{rest}").parse().map_err(|_| ADDRESS)?;
    let topic = url.path_and_query().trim_matches('/');
    if !is_word(topic, 64) {
        return Err(NTFY);
    }
    // What is sent there without TLS is answered with where to go, and was read on the way.
    let tls = tls || url.host() == "ntfy.sh";
    let scheme = if tls { "https" } else { "http" };
    let authority = rest.split('/').next().unwrap_or_default();
    let authority = match (password, authority.rsplit_once('@')) {
        (Some(password), Some((user, host))) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{user}:{}@{host}", encoded(password))
        }
        (Some(_), None) => return Err(PASSWORD),
        (None, _) => authority.to_string(),
    };
    let server = format!("{scheme}://{authority}/").parse().map_err(|_| ADDRESS)?;
    let text = format!("{}://{authority}/{topic}", if tls { "ntfys" } else { "ntfy" });
    Ok(Target { text, way: Way::Ntfy { url: server, topic: topic.to_string() } })
}

fn telegram(rest: &str) -> Result<Target, TargetError> {
    let (token, chat) = rest.trim_end_matches('/').split_once('/').ok_or(TELEGRAM)?;
    let (bot, secret) = token.split_once(':').ok_or(TELEGRAM)?;
    let is_chat = is_number(chat.strip_prefix('-').unwrap_or(chat))
        || chat.strip_prefix('@').is_some_and(|name| is_word(name, 32) && !name.contains('-'));
    if !is_number(bot) || !is_word(secret, 64) || !is_chat {
        return Err(TELEGRAM);
    }
    let url = format!("https://api.telegram.org/bot{token}/sendMessage").parse().map_err(|_| TELEGRAM)?;
    Ok(Target { text: format!("tgram://{token}/{chat}"), way: Way::Telegram { url, chat: chat.to_string() } })
}

// ---- Mail -----------------------------------------------------------------------------------------------------------

fn mail(rest: &str, tls_first: bool, password: Option<&str>) -> Result<Target, TargetError> {
    // Host, port, user and password have the form that they have in any address.
    let url: SourceUrl = format!("https://{rest}").parse().map_err(|_| ADDRESS)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host_and_port.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    let port = if has_port { url.port() } else { [587, 465][usize::from(tls_first)] };
    if port == 465 && !tls_first {
        return Err(MAIL_PORT);
    }
    let (user, written) =
        match url.userinfo().map(|info| info.split_once(':').map_or((info, None), |(u, p)| (u, Some(p)))) {
            Some((user, written)) => (Some(decoded(user)?), written.map(decoded).transpose()?),
            None => (None, None),
        };
    let password = match password {
        Some(password) if password.chars().any(char::is_control) => return Err(MAIL),
        Some(password) => Some(password.to_string()),
        None => written,
    };
    let login = match (user, password) {
        (Some(user), Some(password)) if !user.is_empty() => Some((user, password)),
        (None, None) => None,
        _ => return Err(MAIL),
    };
    let query = url.path_and_query();
    let query = query.strip_prefix("/?").or((query == "/").then_some("")).ok_or(MAIL)?;
    let (mut from, mut to) = (None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(MAIL)?;
        let value = decoded(value)?;
        match key {
            "from" if from.is_none() => from = Some(MailAddress::read(&value).ok_or(MAIL)?),
            "to" => {
                for address in value.split(',') {
                    to.push(MailAddress::read(address).ok_or(MAIL)?);
                }
            }
            _ => return Err(MAIL),
        }
    }
    // Most people are known to their server by their address, and write to themselves.
    let own = || login.as_ref().and_then(|(user, _)| MailAddress::read(user));
    let from = from.or_else(own).ok_or(MAIL)?;
    if to.is_empty() {
        to.push(from.clone());
    }
    if to.len() > MAIL_RECIPIENTS_MAX {
        return Err(TargetError("at most eight addresses behind to="));
    }
    let route = MailRoute { host: url.host().to_string(), port, tls_first, login, from, to };
    let text = mail_text(&route, encoded);
    // Less than that: to be read it becomes an address with https, which may be a letter longer.
    if text.len() >= URL_BYTES_MAX { Err(CHARACTERS) } else { Ok(Target { text, way: Way::Mail(route) }) }
}

fn mail_text(route: &MailRoute, show_password: impl Fn(&str) -> String) -> String {
    let MailRoute { host, port, tls_first, login, from, to } = route;
    let login = login.as_ref().map(|(user, password)| format!("{}:{}@", encoded(user), show_password(password)));
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let to: Vec<String> = to.iter().map(|address| query_encoded(address.as_str())).collect();
    format!(
        "{}://{}{host}:{port}/?from={}&to={}",
        if *tls_first { "smtps" } else { "smtp" },
        login.unwrap_or_default(),
        query_encoded(from.as_str()),
        to.join(",")
    )
}

fn decoded(text: &str) -> Result<String, TargetError> {
    let text = String::from_utf8(percent::decode(text)).map_err(|_| MAIL)?;
    if text.chars().any(char::is_control) { Err(CHARACTERS) } else { Ok(text) }
}

/// With `%` codes for all but letters, digits and what never means anything.
fn encoded(text: &str) -> String {
    encode(text, b"-._~")
}

/// The same in a query, where `@` and `+` stand for themselves.
fn query_encoded(text: &str) -> String {
    encode(text, b"-._~@+")
}

fn encode(text: &str, kept: &[u8]) -> String {
    let digit = |number: u8| char::from_digit(number.into(), 16).unwrap_or_default().to_ascii_uppercase();
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let target = Target::read(text, None).unwrap();
        let kept = Target::read(target.as_str(), None).unwrap();
        assert!(kept == target, "what is kept reads back as itself: {text}");
        target.to_string()
    }

    #[test]
    fn what_is_kept_reads_back_however_long_its_password_is() {
        // A sign of the password is three when it is written down, a letter is one.
        for letters in 1..=3 {
            let mut longest = 0;
            for len in 600..700 {
                let password = format!("{}{}", "a".repeat(letters), "=".repeat(len));
                let Ok(target) = Target::read("smtp://me%40home:x@b", Some(&password)) else { break };
                assert_eq!(Target::read(target.as_str(), None).as_ref(), Ok(&target), "{letters} {len}");
                longest = len;
            }
            assert!((601..699).contains(&longest), "{longest}");
        }
    }

    #[test]
    fn every_kind_is_read_and_shows_no_secret() {
        for (written, read) in [
            ("https://example.org", "https://example.org/"),
            ("https://Example.org:8443/hook/SECRET42?key=SECRET42", "https://example.org:8443/***"),
            ("http://me:SECRET42@192.168.1.9/api/webhook/SECRET42", "http://***@192.168.1.9/***"),
            ("discord://1234567890/SECRET42-_x", "discord://1234567890/***"),
            ("https://discord.com/api/webhooks/1234567890/SECRET42", "discord://1234567890/***"),
            ("https://ptb.discord.com/api/v10/webhooks/1234567890/SECRET42", "discord://1234567890/***"),
            ("ntfy://192.168.1.9:8080/SECRET42", "ntfy://192.168.1.9:8080/***"),
            ("ntfys://user:SECRET42@example.org/SECRET42", "ntfys://***@example.org/***"),
            ("ntfy://ntfy.sh/SECRET42", "ntfys://ntfy.sh/***"),
            ("tgram://123456:SECRET42_x-Y/-1001234", "tgram://***/-1001234"),
            ("tgram://123456:SECRET42/@channel_name/", "tgram://***/@channel_name"),
            (
                "smtp://me%40example.org:SECRET42%3A%40%2F@mail.example.org/?to=you+tv@example.org",
                "smtp://me%40example.org:***@mail.example.org:587/?from=me@example.org&to=you+tv@example.org",
            ),
            ("smtps://[2001:db8::1]/?from=a@b&to=c@d,e@f", "smtps://[2001:db8::1]:465/?from=a@b&to=c@d,e@f"),
        ] {
            assert_eq!(shown(written), read);
            let target = Target::read(written, None).unwrap();
            assert!(!format!("{target:?}").contains("SECRET42"), "{target:?}");
        }
        let Way::Ntfy { url, topic } = Target::read("ntfys://u:p@example.org/t", None).unwrap().way else { panic!() };
        assert_eq!((url.as_str(), topic.as_str()), ("https://u:p@example.org/", "t"));
        let Way::Telegram { url, .. } = Target::read("tgram://1:a/2", None).unwrap().way else { panic!() };
        assert_eq!(url.as_str(), "https://api.telegram.org/bot1:a/sendMessage");
    }

    #[test]
    fn a_password_may_be_written_apart() {
        let mail = Target::read("smtp://me@mail.example.org/?from=me@example.org", Some("a b:@/ü")).unwrap();
        let Way::Mail(route) = mail.way() else { panic!() };
        assert_eq!(route.login, Some(("me".to_string(), "a b:@/ü".to_string())));
        assert!(Target::read(mail.as_str(), None).unwrap() == mail);
        let ntfy = Target::read("ntfys://me@example.org/t", Some("p@ss")).unwrap();
        assert_eq!(ntfy.as_str(), "ntfys://me:p%40ss@example.org/t");
        for (text, password) in [("https://example.org/x", "p"), ("discord://1/t", "p"), ("ntfy://host/t", "p")] {
            assert_eq!(Target::read(text, Some(password)), Err(PASSWORD), "{text}");
        }
        assert_eq!(Target::read("smtp://me@host/?from=a@b", Some("a\r\nRCPT TO:<x@y>")), Err(MAIL));
    }

    #[test]
    fn what_is_anything_else_is_refused() {
        for (text, why) in [
            ("", KINDS),
            ("example.org", KINDS),
            ("file:///etc/passwd", KINDS),
            ("https://exa mple.org/", CHARACTERS),
            ("https://example.org/\r\nX-Other: 1", CHARACTERS),
            ("https://example.org/#part", CHARACTERS),
            ("https://exämple.org/", CHARACTERS),
            ("https://user@other@example.org/", ADDRESS),
            ("https://:80/", ADDRESS),
            ("discord://name/token", DISCORD),
            ("discord://1/to/ken", DISCORD),
            ("discord://1", DISCORD),
            ("https://discord.com/channels/1/2", DISCORD),
            ("ntfy://host", NTFY),
            ("ntfy://host/a/b", NTFY),
            ("ntfy://host/a?b", NTFY),
            ("tgram://token/1", TELEGRAM),
            ("tgram://1:a/@b-c", TELEGRAM),
            ("tgram://1:a/me", TELEGRAM),
            ("tgram://1:a/../2", TELEGRAM),
            ("smtp://host/", MAIL),
            ("smtp://user@host/?from=a@b", MAIL),
            ("smtp://host/path?from=a@b", MAIL),
            ("smtp://host/?from=a@b&from=c@d", MAIL),
            ("smtp://host/?from=a@b&cc=c@d", MAIL),
            ("smtp://host/?from=a@b&to=%3Cc@d%3E", MAIL),
            ("smtp://host/?from=a@b&to=c@d%20x", MAIL),
            ("smtp://host/?from=a@b&to=x%3Cc@d", MAIL),
            ("smtp://host/?from=a@b&to=c%20x@d", MAIL),
            ("smtp://host/?from=a@b&to=c@d%0D%0ADATA", CHARACTERS),
            ("smtp://host/?from=a..b@c", MAIL),
            ("smtp://host/?from=a@-b", MAIL),
            ("smtp://u:p%00@host/?from=a@b", CHARACTERS),
            ("smtp://host:465/?from=a@b", MAIL_PORT),
            ("smtp://host:0/?from=a@b", ADDRESS),
        ] {
            assert_eq!(Target::read(text, None), Err(why), "{text}");
        }
        let many = format!("smtp://host/?from=a@b&to={}", ["c@d"; 9].join(","));
        assert!(Target::read(&many, None).is_err());
    }

    #[test]
    fn events_have_names_and_stand_in_sets() {
        let some: Events = ["storm", "outage"].into_iter().filter_map(Event::find).collect();
        assert!(some.has(Event::Storm) && some.has(Event::Outage) && !some.has(Event::ChannelIll));
        assert_eq!(Events::ALL.iter().count(), Event::ALL.len());
        assert_eq!(Event::ALL.map(|event| Event::find(event.name())), Event::ALL.map(Some));
    }
}

//! The doctor: what clients do with the box, as a closed list of checks, and what their answers mean.
//!
//! Here: the list ([`CHECKS`]) with the words that people read, which check is left out and why ([`skip`]), and the judging
//! of what came back: answers to searches, descriptions, lineups, guides, refusals. What a stream was worth is in
//! [`stream`]. Not here: sockets and time, which are the doctor's room's.
//!
//! The doctor takes no tuner from a person: a check that plays runs while a tuner is free, or is left out.
//!
//! Source: what each client reads and how long it waits, as its source or its users' reports show: Jellyfin's
//! `HdHomerunHost.cs`, Kodi's `HDHomeRunTuners.cpp`, issue threads for Plex, Emby and Channels.

pub mod stream;

use crate::limits::{DOCTOR_MS_MAX, DOCTOR_SOURCES_MAX, PLEX_CHANNELS_MAX};
use crate::model::device_id::DeviceId;
use crate::model::guide_number::GuideNumber;
use crate::wire::hdhr::{BASE_URL_BYTES_MAX, Neighbour};
use crate::wire::xmltv::check::Report;
use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use core::fmt::Display;
use core::net::Ipv4Addr;

/// As whom the doctor plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// Nobody: the box itself.
    Itself,
    /// Plex Media Server.
    Plex,
    /// Jellyfin and Emby, which do the same.
    Jellyfin,
    /// Kodi with its HDHomeRun add-on.
    Kodi,
    /// Channels DVR.
    Channels,
    /// VLC.
    Vlc,
    /// Nobody in particular: a channel of each subscription.
    Subscriptions,
}

impl Client {
    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Itself => "The box",
            Self::Plex => "Plex",
            Self::Jellyfin => "Jellyfin and Emby",
            Self::Kodi => "Kodi",
            Self::Channels => "Channels",
            Self::Vlc => "VLC",
            Self::Subscriptions => "Your subscriptions",
        }
    }
}

/// One thing that a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    Ready,
    PlexFind,
    PlexSsdp,
    JellyfinFind,
    KodiFind,
    ChannelsFind,
    VlcName,
    ChannelsControl,
    PlexDevice,
    PlexStatus,
    PlexLineup,
    PlexLimit,
    JellyfinLineup,
    KodiLineup,
    ChannelsPorts,
    VlcPlaylist,
    PlexGuide,
    PlexProgrammes,
    JellyfinGuide,
    KodiHead,
    ChannelsPatience,
    PlexReopen,
    JellyfinReopen,
    KodiReopen,
    KodiBusy,
    PlexZap,
    VlcLeave,
    ChannelsDuration,
    /// A channel of a subscription, by its place among those that are played.
    Source(u8),
}

/// What people read of a check, and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Which.
    pub check: Check,
    /// Its name for programs.
    pub id: &'static str,
    /// As whom.
    pub client: Client,
    /// What the client does.
    pub name: &'static str,
    /// What it proves that this works.
    pub proves: &'static str,
    /// What a person can do when it fails and nothing better is known.
    pub fix: &'static str,
    /// Checks that must have passed.
    pub needs: &'static [Check],
    /// Whether it plays, and so needs a free tuner.
    pub plays: bool,
    /// How long it may take, in milliseconds.
    pub ms_max: u64,
}

const LOOK_AT_PAGE: &str =
    "Open the page of the box: it says under \"What is ill\" what is wrong and which button helps";
const RESTART: &str = "Restart the box. If this fails again, send the support bundle from the page, under System, to whoever looks after it";
const UDP_FIX: &str = "Clients cannot find the box by themselves. Let UDP port 65001 through any firewall on the box, stop \
                       other tuner programs on it, and keep box and client in one network (no guest network, no VPN). Until \
                       then, type the address of the box into the client by hand";
const PLAY_FIX: &str = "Try another channel. If none plays, open the page of the box: each channel that is ill says there why, \
                        and \"Try now\" tries it again";

/// All checks, in the order in which they are made: finding, reading, playing.
pub const CHECKS: [Line; 28 + DOCTOR_SOURCES_MAX] = {
    use Check as C;
    use Client as By;
    const fn line(check: Check, id: &'static str, client: Client, name: &'static str, proves: &'static str) -> Line {
        Line { check, id, client, name, proves, fix: RESTART, needs: &[], plays: false, ms_max: 5_000 }
    }
    const fn source(place: u8, id: &'static str) -> Line {
        Line {
            fix: "The box works, the source of this channel does not. Check in the page, under Sources, whether the \
                  subscription has expired or its login has changed, and ask the provider if it looks right",
            needs: &[Check::Ready, Check::PlexLineup],
            plays: true,
            ms_max: 8_000,
            ..line(
                Check::Source(place),
                id,
                Client::Subscriptions,
                "A channel plays",
                "the provider sends pictures that clients can show",
            )
        }
    }
    [
        Line {
            fix: LOOK_AT_PAGE,
            ..line(C::Ready, "box-ready", By::Itself, "Is ready to play", "channels are loaded and FFmpeg is there")
        },
        Line {
            fix: UDP_FIX,
            ms_max: 3_000,
            ..line(C::PlexFind, "plex-find", By::Plex, "Finds the box", "searches on UDP port 65001 are answered")
        },
        Line {
            fix: "Let UDP port 1900 through any firewall on the box, and switch on \"IGMP snooping querier\" or switch off \
                  \"multicast filtering\" in the router. Plex also finds the box without this",
            ms_max: 4_000,
            ..line(
                C::PlexSsdp,
                "plex-ssdp",
                By::Plex,
                "Finds the box by SSDP",
                "searches for UPnP devices are answered",
            )
        },
        Line {
            fix: "Jellyfin looks on port 80 only. Free port 80 on the box (stop the other web server) and restart tunerd, \
                  or type the address with its port into Jellyfin: Dashboard, Live TV, Add tuner, HDHomeRun",
            needs: &[C::PlexFind],
            ..line(
                C::JellyfinFind,
                "jellyfin-find",
                By::Jellyfin,
                "Finds the box",
                "the box that answered a search is asked again on port 80",
            )
        },
        Line {
            fix: UDP_FIX,
            ms_max: 3_000,
            ..line(C::KodiFind, "kodi-find", By::Kodi, "Finds the box", "searches of the newer kind are answered")
        },
        Line {
            fix: UDP_FIX,
            ms_max: 3_000,
            ..line(
                C::ChannelsFind,
                "channels-find",
                By::Channels,
                "Finds the box by calling everybody",
                "searches to the whole network are heard and answered",
            )
        },
        Line {
            fix: "Use the address of the box instead of its name. If the name leads to another box, give that one another \
                  network name",
            ms_max: 5_000,
            ..line(C::VlcName, "vlc-name", By::Vlc, "Knows the box by name", "tunerd.local leads to the box")
        },
        Line {
            fix: "Stop other tuner programs on the box: TCP port 65001 must be tunerd's. Then restart tunerd",
            ..line(
                C::ChannelsControl,
                "channels-control",
                By::Channels,
                "Asks for the model",
                "TCP port 65001 answers as a tuner does",
            )
        },
        line(C::PlexDevice, "plex-device", By::Plex, "Reads who the box is", "discover.json is complete and true"),
        line(C::PlexStatus, "plex-status", By::Plex, "Asks whether a scan runs", "lineup_status.json is answered"),
        Line {
            fix: LOOK_AT_PAGE,
            ms_max: 8_000,
            needs: &[C::PlexDevice],
            ..line(C::PlexLineup, "plex-lineup", By::Plex, "Reads the channels", "lineup.json is whole and right")
        },
        Line {
            fix: "Tick fewer groups in the page, under Sources, or add a further device there with the groups that Plex \
                  shall have",
            needs: &[C::PlexLineup],
            ..line(C::PlexLimit, "plex-limit", By::Plex, "Takes all channels", "there are no more than Plex takes")
        },
        Line {
            fix: LOOK_AT_PAGE,
            needs: &[C::PlexLineup],
            ..line(
                C::JellyfinLineup,
                "jellyfin-lineup",
                By::Jellyfin,
                "Reads the channels",
                "lineup.json suits Jellyfin",
            )
        },
        Line {
            fix: "Give these channels plain numbers in the page, under Channels: Kodi understands 5 and 5.1 only",
            needs: &[C::PlexLineup],
            ..line(C::KodiLineup, "kodi-lineup", By::Kodi, "Reads the channels", "numbers are those that Kodi reads")
        },
        Line {
            fix: "Channels insists on port 80 for the page and 5004 for the streams. Free both on the box and leave \
                  page_port and stream_port out of the settings; or add the box to Channels as a custom channels source: \
                  its address and /playlist.m3u",
            needs: &[C::PlexLineup],
            ..line(
                C::ChannelsPorts,
                "channels-ports",
                By::Channels,
                "Uses the usual ports",
                "page and streams are on ports 80 and 5004",
            )
        },
        Line {
            needs: &[C::PlexLineup],
            ms_max: 8_000,
            ..line(C::VlcPlaylist, "vlc-playlist", By::Vlc, "Opens the playlist", "lineup.m3u lists the same channels")
        },
        Line {
            fix: "Wait some minutes while the guide is made, and examine again. If it stays so, open the page under Guide",
            needs: &[C::PlexLineup],
            ms_max: 15_000,
            ..line(C::PlexGuide, "plex-guide", By::Plex, "Reads the guide, packed", "the guide fits the channels")
        },
        Line {
            fix: "Add the guide of your provider in the page, under Guide: an XMLTV address. Most providers send it with \
                  the playlist's address",
            needs: &[C::PlexGuide],
            ..line(C::PlexProgrammes, "plex-programmes", By::Plex, "Shows what is on", "the guide has programmes")
        },
        Line {
            fix: "Wait some minutes while the guide is made, and examine again. If it stays so, open the page under Guide",
            needs: &[C::PlexGuide],
            ms_max: 15_000,
            ..line(
                C::JellyfinGuide,
                "jellyfin-guide",
                By::Jellyfin,
                "Reads the guide, plain",
                "it is the same unpacked",
            )
        },
        Line {
            needs: &[C::PlexLineup],
            ..line(C::KodiHead, "kodi-head", By::Kodi, "Looks at a channel without tuning", "HEAD takes no tuner")
        },
        Line {
            fix: PLAY_FIX,
            needs: &[C::Ready, C::PlexLineup],
            plays: true,
            ms_max: 20_000,
            ..line(
                C::ChannelsPatience,
                "channels-patience",
                By::Channels,
                "Gets a picture within six seconds",
                "a clean transport stream with a key frame comes in time",
            )
        },
        Line {
            fix: PLAY_FIX,
            needs: &[C::ChannelsPatience],
            plays: true,
            ms_max: 14_000,
            ..line(
                C::PlexReopen,
                "plex-reopen",
                By::Plex,
                "Looks into a channel, then plays it",
                "a stream that was closed opens again at once",
            )
        },
        Line {
            fix: PLAY_FIX,
            needs: &[C::ChannelsPatience],
            plays: true,
            ms_max: 14_000,
            ..line(
                C::JellyfinReopen,
                "jellyfin-reopen",
                By::Jellyfin,
                "Probes a channel, then plays it",
                "a stream that was closed opens again at once",
            )
        },
        Line {
            fix: PLAY_FIX,
            needs: &[C::ChannelsPatience],
            plays: true,
            ms_max: 14_000,
            ..line(
                C::KodiReopen,
                "kodi-reopen",
                By::Kodi,
                "Knocks at a channel, then plays it",
                "a stream that was closed before its first byte opens again at once",
            )
        },
        Line {
            needs: &[C::Ready, C::PlexLineup],
            ..line(
                C::KodiBusy,
                "kodi-busy",
                By::Kodi,
                "Hears that a tuner is taken",
                "refusals have the codes that clients know",
            )
        },
        Line {
            fix: "Examine again while nobody watches. If it fails again, raise the number of tuners, or ask the provider how \
                  many streams your account may play at once",
            needs: &[C::ChannelsPatience],
            plays: true,
            ms_max: 28_000,
            ..line(
                C::PlexZap,
                "plex-zap",
                By::Plex,
                "Zaps through four channels",
                "each tuner is given back for the next",
            )
        },
        Line {
            needs: &[C::ChannelsPatience],
            plays: true,
            ms_max: 9_000,
            ..line(C::VlcLeave, "vlc-leave", By::Vlc, "Leaves while it plays", "the tuner is free again soon")
        },
        Line {
            needs: &[C::ChannelsPatience],
            plays: true,
            ms_max: 10_000,
            ..line(
                C::ChannelsDuration,
                "channels-duration",
                By::Channels,
                "Plays for two seconds",
                "a stream with duration= ends by itself",
            )
        },
        source(0, "source-1"),
        source(1, "source-2"),
        source(2, "source-3"),
    ]
};

impl Check {
    /// What people read of it.
    pub fn line(self) -> &'static Line {
        CHECKS.iter().find(|line| line.check == self).unwrap_or(&CHECKS[0])
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Fail,
    /// It was not made.
    Skip,
}

impl Outcome {
    /// Its name for programs and people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
    /// What to do, where more is known than the check's own advice says.
    pub fix: Option<&'static str>,
}

impl Judged {
    /// It works.
    pub fn pass(detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Pass, detail: detail.into(), fix: None }
    }

    /// It does not.
    pub fn fail(detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, detail: detail.into(), fix: None }
    }

    /// Nobody can say.
    pub fn skip(detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skip, detail: detail.into(), fix: None }
    }

    /// The same, with better advice.
    #[must_use]
    pub fn with_fix(self, fix: &'static str) -> Self {
        Self { fix: Some(fix), ..self }
    }
}

/// Why a check is not made. `done`: how those before it ended; `tuners_free`: when known; `spent_ms`: since the
/// examination began.
pub fn skip(line: &Line, done: &[(Check, Outcome)], tuners_free: Option<usize>, spent_ms: u64) -> Option<String> {
    if spent_ms >= DOCTOR_MS_MAX {
        return Some("there was no time left for it".to_owned());
    }
    let passed = |needed: &Check| done.contains(&(*needed, Outcome::Pass));
    if let Some(needed) = line.needs.iter().find(|needed| !passed(needed)) {
        let needed = needed.line();
        return Some(format!("it needs \"{}: {}\", which did not pass", needed.client.name(), needed.name));
    }
    (line.plays && tuners_free == Some(0))
        .then(|| "all tuners are in use; the doctor takes none from people who watch".to_owned())
}

// ---- Finding --------------------------------------------------------------------------------------------------------

/// Judges the answer to a search on UDP 65001, asked for at `host`. `is_short`: the client has room for a short address.
pub fn found(datagram: &[u8], host: Ipv4Addr, is_short: bool) -> Judged {
    let Some(Neighbour { device_id, base_url }) = Neighbour::parse(datagram) else {
        return Judged::fail("what answers there is no HDHomeRun").with_fix(UDP_FIX);
    };
    if DeviceId::new(device_id).is_none() {
        return Judged::fail(format!("its device id {device_id:08X} is none that clients accept")).with_fix(RESTART);
    }
    if host_of(base_url) != Some(host) {
        return Judged::fail(format!("it says that it is at {base_url}, and was found at {host}")).with_fix(RESTART);
    }
    if is_short && base_url.len() > BASE_URL_BYTES_MAX {
        return Judged::fail(format!("its address {base_url} is longer than Kodi can keep")).with_fix(RESTART);
    }
    Judged::pass(format!("device {device_id:08X} at {base_url}"))
}

/// The address in a URL of ours.
fn host_of(url: &str) -> Option<Ipv4Addr> {
    let authority = url.strip_prefix("http://")?.split('/').next()?;
    authority.split(':').next()?.parse().ok()
}

/// The port in a URL of ours.
pub fn port_of(url: &str) -> Option<u16> {
    let authority = url.strip_prefix("http://")?.split('/').next()?;
    authority.split_once(':').map_or(Some(80), |(_, port)| port.parse().ok())
}

/// Whether an answer to a search by SSDP is from the box at `host`.
pub fn is_ssdp_answer_of(datagram: &[u8], host: Ipv4Addr) -> bool {
    let text = core::str::from_utf8(datagram).unwrap_or_default();
    let location = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("location").then_some(value.trim())
    });
    text.starts_with("HTTP/1.1 200") && location.and_then(host_of) == Some(host)
}

/// The question for the address of `tunerd.local`, as mDNS asks it.
pub const NAME_QUESTION: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x06tunerd\x05local\0\0\x01\0\x01";

/// Whether a datagram of mDNS says that `tunerd.local` is at `host`; none when it says nothing of that name.
pub fn named(datagram: &[u8], host: Ipv4Addr) -> Option<bool> {
    let is_answer = datagram.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let name = b"\x06tunerd\x05local\0";
    let is_ours = datagram.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name));
    // An address of four bytes, behind its length; where the name is spelled out, its addresses are near.
    let [a, b, c, d] = host.octets();
    (is_answer && is_ours).then(|| datagram.windows(6).any(|window| window == [0, 4, a, b, c, d]))
}

// ---- Reading --------------------------------------------------------------------------------------------------------

/// What `discover.json` says; a field that is missing or of another type is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    pub friendly_name: String,
    pub model_number: String,
    pub device_id: String,
    pub device_auth: String,
    pub base_url: String,
    pub lineup_url: String,
    pub tuner_count: u64,
}

/// Judges it, as read from `host`.
pub fn described(said: &Described, host: Ipv4Addr) -> Judged {
    let missing = [
        ("FriendlyName", &said.friendly_name),
        ("ModelNumber", &said.model_number),
        ("DeviceID", &said.device_id),
        ("DeviceAuth", &said.device_auth),
        ("BaseURL", &said.base_url),
        ("LineupURL", &said.lineup_url),
    ];
    if let Some((name, _)) = missing.iter().find(|(_, value)| value.is_empty()) {
        return Judged::fail(format!("discover.json has no {name}"));
    }
    if said.device_id.parse::<DeviceId>().is_err() {
        return Judged::fail(format!("its device id {} is none that clients accept", said.device_id));
    }
    if said.tuner_count == 0 {
        return Judged::fail("it says that it has no tuners");
    }
    if let Some(url) = [&said.base_url, &said.lineup_url].into_iter().find(|url| host_of(url) != Some(host)) {
        return Judged::fail(format!("it sends clients to {url}, and was asked at {host}"));
    }
    Judged::pass(format!("{} with {} tuners", said.friendly_name, said.tuner_count))
}

/// A lineup as it comes, one channel after the other.
#[derive(Clone, Debug)]
pub struct Listed {
    host: Ipv4Addr,
    /// Its numbers.
    numbers: BTreeSet<GuideNumber>,
    len: usize,
    port: Option<u16>,
    wrong: Option<String>,
    wrong_for_kodi: Option<String>,
    wrong_for_jellyfin: Option<String>,
}

impl Listed {
    /// None yet; asked for at `host`.
    pub const fn new(host: Ipv4Addr) -> Self {
        Self {
            host,
            numbers: BTreeSet::new(),
            len: 0,
            port: None,
            wrong: None,
            wrong_for_kodi: None,
            wrong_for_jellyfin: None,
        }
    }

    /// The next channel.
    pub fn add(&mut self, number: &str, name: &str, url: &str) {
        self.len += 1;
        let wrong = match number.parse() {
            _ if name.is_empty() => Some(format!("channel {number} has no name")),
            Ok(number) if !self.numbers.insert(number) => Some(format!("there are two channels {number}")),
            Ok(_) if host_of(url) != Some(self.host) => Some(format!("channel {number} is said to be at {url}")),
            Ok(_) if url.contains('?') => Some(format!("the address of channel {number} has a question mark in it")),
            Ok(_) => None,
            Err(_) => Some(format!("{number:?} is no channel number")),
        };
        let keep = |known: &mut Option<String>, wrong: Option<String>| *known = known.take().or(wrong);
        keep(&mut self.wrong, wrong);
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let suits_kodi = match number.split_once('.') {
            None => is_number(number),
            Some((major, minor)) => is_number(major) && is_number(minor),
        };
        keep(&mut self.wrong_for_kodi, (!suits_kodi).then(|| format!("{number} is no number for Kodi")));
        let breaks_jellyfin = number.contains('_').then(|| format!("{number} has a _ in it, where Jellyfin cuts it"));
        keep(&mut self.wrong_for_jellyfin, breaks_jellyfin);
        self.port = self.port.or_else(|| port_of(url));
    }

    /// Its numbers.
    pub fn numbers(&self) -> &BTreeSet<GuideNumber> {
        &self.numbers
    }

    /// Judges it for a client.
    pub fn judge(&self, client: Client) -> Judged {
        let own = match client {
            Client::Kodi => &self.wrong_for_kodi,
            Client::Jellyfin => &self.wrong_for_jellyfin,
            _ => &None,
        };
        if let Some(wrong) = self.wrong.as_ref().or(own.as_ref()) {
            return Judged::fail(wrong.clone());
        }
        if self.len == 0 {
            return Judged::fail("the lineup is empty").with_fix(
                "Add channels in the page, under Sources, or show some that are hidden, under Channels. A player that has \
                 seen an empty lineup forgets its channels: have it search again afterwards",
            );
        }
        Judged::pass(format!("{} channels", self.len))
    }

    /// Judges whether Plex takes them all.
    pub fn limit(&self) -> Judged {
        if self.len > PLEX_CHANNELS_MAX {
            return Judged::fail(format!(
                "there are {} channels, and Plex takes {PLEX_CHANNELS_MAX} of a device",
                self.len
            ));
        }
        Judged::pass(format!("{} of at most {PLEX_CHANNELS_MAX} channels", self.len))
    }

    /// Judges whether page and streams are where Channels insists that they are.
    pub fn ports(&self, page: u16) -> Judged {
        match (page, self.port) {
            (80, Some(5004)) => Judged::pass("page on port 80, streams on port 5004"),
            (_, streams) => {
                let streams = streams.map_or_else(|| "no port".to_owned(), |port| format!("port {port}"));
                Judged::fail(format!("the page is on port {page}, the streams are on {streams}"))
            }
        }
    }

    /// Judges a playlist of these numbers.
    pub fn playlist(&self, numbers: &BTreeSet<GuideNumber>) -> Judged {
        match numbers.symmetric_difference(&self.numbers).next() {
            None => Judged::pass(format!("{} channels", numbers.len())),
            Some(number) => Judged::fail(format!("playlist and lineup do not agree about channel {number}")),
        }
    }
}

/// Judges a guide that was read to its end; `placeholders` of its programmes say that nothing is known.
pub fn guide(report: &Report, bytes: u64) -> Judged {
    if let Some(error) = report.first_error {
        return Judged::fail(format!("the guide is damaged: {error}"));
    }
    if report.mismatches > 0 {
        return Judged::fail(format!("{} channels are in the lineup or in the guide only", report.mismatches));
    }
    Judged::pass(format!(
        "{} programmes for {} channels, {} kB",
        report.programmes,
        report.channels,
        bytes.div_ceil(1_000)
    ))
}

/// Judges whether a guide says anything.
pub fn programmes(report: &Report, placeholders: u32) -> Judged {
    match report.programmes.saturating_sub(placeholders) {
        0 => Judged::fail("no programme is known for any channel"),
        known => Judged::pass(format!("{known} programmes")),
    }
}

/// Counts a text in bytes that come in pieces, cut anywhere.
#[derive(Clone, Debug)]
pub struct Counter {
    text: &'static [u8],
    /// How many bytes of the text were the last ones.
    matched: usize,
    /// How often it came.
    pub count: u32,
}

impl Counter {
    /// For a text whose first byte is nowhere else in it.
    pub const fn new(text: &'static str) -> Self {
        Self { text: text.as_bytes(), matched: 0, count: 0 }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.text.get(self.matched) == Some(byte) {
                self.matched += 1;
            } else {
                self.matched = usize::from(self.text.first() == Some(byte));
            }
            if self.matched == self.text.len() {
                (self.matched, self.count) = (0, self.count.saturating_add(1));
            }
        }
    }
}

// ---- Playing --------------------------------------------------------------------------------------------------------

/// Judges the answer to HEAD.
pub fn head(status: u16, content_type: &str) -> Judged {
    match status {
        200 if content_type == "video/mpeg" => Judged::pass("video/mpeg"),
        200 => Judged::fail(format!("it says {content_type:?} where clients want video/mpeg")),
        _ => Judged::fail(format!("it is answered with {status}")),
    }
}

/// Judges the refusal to play `channel`. `error`: `X-HDHomeRun-Error`.
pub fn refused(channel: impl Display, status: u16, error: &str) -> Judged {
    let detail = format!("channel {channel} was refused: {status} {error}");
    match error.split(' ').next() {
        Some("804" | "805") => {
            Judged::skip(format!("channel {channel} was not played: no tuner or no stream of the account is free"))
        }
        Some("801") => Judged::fail(detail).with_fix("The channels have just changed: examine again"),
        Some("803") => Judged::fail(detail).with_fix(
            "The box is busy: wait a minute and examine again. If it stays so, it has too little memory for its number of \
             tuners: lower that in the settings, or restart the box",
        ),
        _ => Judged::fail(detail),
    }
}

/// Judges how a request was refused that must be refused with `code`.
pub fn refusal(code: u16, status: u16, error: &str, has_retry: bool, body_bytes: usize) -> Judged {
    if code != 801 && matches!(error.split(' ').next(), Some("806" | "807")) {
        return Judged::skip("the channels to try it with do not play");
    }
    let wanted = if code == 801 { 404 } else { 503 };
    if status != wanted || error.split(' ').next() != Some(&format!("{code}")) {
        return Judged::fail(format!("expected {wanted} with error {code}, got {status} with {error:?}"));
    }
    if code != 801 && !has_retry {
        return Judged::fail(format!("error {code} does not say when to come back"));
    }
    if body_bytes > 0 {
        return Judged::fail(format!("error {code} has a text, which Jellyfin would play as video"));
    }
    Judged::pass(error)
}

/// Judges how long a tuner stayed taken after its viewer had left, if it was given back at all.
pub fn left(freed_ms: Option<u64>) -> Judged {
    match freed_ms {
        Some(ms) => Judged::pass(format!("free again after {ms} ms")),
        None => Judged::fail("the tuner still counts as taken three seconds after the viewer left"),
    }
}

/// Judges a stream that was to end after two seconds. `ended_ms`: when it did.
pub fn lasted(ended_ms: Option<u64>) -> Judged {
    match ended_ms {
        Some(ms @ 1_000..=5_000) => Judged::pass(format!("ended after {ms} ms")),
        Some(ms) => Judged::fail(format!("it ended after {ms} ms instead of two seconds")),
        None => Judged::fail("it does not end by itself"),
    }
}

#[cfg(test)]
mod tests;

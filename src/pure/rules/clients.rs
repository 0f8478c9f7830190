//! Who asked us, for the page: "Plex at .20 asked 4 s ago and took the lineup".
//!
//! A table of fixed size; who has been silent for longest makes room. Nothing depends on it, so what clients say of
//! themselves is taken at its word, cut and cleaned.
//!
//! One address may be several clients: a server that runs Plex and Jellyfin. A request that says nothing of its
//! client (discovery, control) is counted with whoever spoke from that address last.

use crate::limits::{CLIENTS_MAX, USER_AGENT_BYTES_MAX};
use crate::rules::control::variable::TunerVariable;
use crate::time::Mono;
use core::net::IpAddr;
use heapless::{String, Vec};

/// Which program it probably is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Not known, or not yet.
    Unknown,
    /// Plex Media Server.
    Plex,
    /// Jellyfin.
    Jellyfin,
    /// Emby.
    Emby,
    /// Channels DVR.
    Channels,
    /// Kodi.
    Kodi,
    /// MythTV.
    MythTv,
    /// tvheadend.
    Tvheadend,
    /// VLC.
    Vlc,
    /// Home Assistant.
    HomeAssistant,
    /// An app of the maker of the HDHomeRun.
    HdhomerunApp,
    /// `hdhomerun_config`, or another program with its library that did nothing telling yet.
    Library,
    /// FFmpeg, which many of the others use to fetch streams.
    Ffmpeg,
    /// A browser.
    Browser,
    /// Our own doctor, who does as the others do.
    Doctor,
}

impl Kind {
    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Plex => "Plex",
            Self::Jellyfin => "Jellyfin",
            Self::Emby => "Emby",
            Self::Channels => "Channels",
            Self::Kodi => "Kodi",
            Self::MythTv => "MythTV",
            Self::Tvheadend => "tvheadend",
            Self::Vlc => "VLC",
            Self::HomeAssistant => "Home Assistant",
            Self::HdhomerunApp => "HDHomeRun app",
            Self::Library => "HDHomeRun library",
            Self::Ffmpeg => "FFmpeg",
            Self::Browser => "browser",
            Self::Doctor => "the doctor",
        }
    }

    /// What a user agent says. The order matters: many call themselves a browser, too.
    fn of_user_agent(agent: &str) -> Self {
        const WORDS: [(&str, Kind); 22] = [
            ("tunerd-doctor", Kind::Doctor),
            ("plex", Kind::Plex),
            ("jellyfin", Kind::Jellyfin),
            ("emby", Kind::Emby),
            ("channelsdvr", Kind::Channels),
            ("channels dvr", Kind::Channels),
            ("channels/", Kind::Channels),
            ("kodi", Kind::Kodi),
            ("xbmc", Kind::Kodi),
            ("mythtv", Kind::MythTv),
            ("mythbackend", Kind::MythTv),
            ("tvheadend", Kind::Tvheadend),
            ("vlc", Kind::Vlc),
            ("libvlc", Kind::Vlc),
            ("homeassistant", Kind::HomeAssistant),
            ("home assistant", Kind::HomeAssistant),
            ("silicondust", Kind::HdhomerunApp),
            ("hdhomerun", Kind::HdhomerunApp),
            ("lavf/", Kind::Ffmpeg),
            ("ffmpeg", Kind::Ffmpeg),
            ("libmpv", Kind::Ffmpeg),
            ("mozilla/", Kind::Browser),
        ];
        WORDS.iter().find(|(word, _)| contains(agent, word)).map_or(Self::Unknown, |(_, kind)| *kind)
    }

    /// Whether the name says less than another one from the same address could.
    const fn is_vague(self) -> bool {
        matches!(self, Self::Unknown | Self::Library | Self::Ffmpeg)
    }
}

fn contains(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// UDP 65001: which devices there are.
    Discovery,
    /// TCP 65001: a variable.
    Control,
    /// SSDP: which devices there are.
    Ssdp,
    /// What we are: `discover.json`, `device.xml`.
    Device,
    /// The channels, in any form.
    Lineup,
    /// How a scan or the tuners are doing.
    Status,
    /// What is on.
    Guide,
    /// A stream.
    Stream,
    /// A page for people.
    Page,
}

/// Somebody who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// From where.
    pub address: IpAddr,
    /// Probably which program.
    pub kind: Kind,
    /// What it calls itself: printable ASCII, cut; empty when it said nothing.
    pub user_agent: String<USER_AGENT_BYTES_MAX>,
    /// What it asked last.
    pub asked: Asked,
    /// When that was.
    pub at: Mono,
    /// When it last took the lineup, if ever.
    pub lineup_at: Option<Mono>,
    /// How often it asked.
    pub count: u64,
}

/// Everybody who asked lately.
#[derive(Debug, Default)]
pub struct Clients(Vec<Client, CLIENTS_MAX>);

impl Clients {
    /// Nobody yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes a request. `user_agent` is empty where there is none.
    pub fn saw(&mut self, now: Mono, address: IpAddr, asked: Asked, user_agent: &[u8]) {
        let agent = clean(user_agent);
        let kind = match (agent.is_empty(), asked) {
            (false, _) => Kind::of_user_agent(&agent),
            (true, Asked::Discovery | Asked::Control) => Kind::Library,
            (true, _) => Kind::Unknown,
        };
        let client = self.entry(now, address.to_canonical(), kind, asked);
        let Some(client) = client else { return };
        // Who is known by a telling name keeps it while its player fetches a stream in the name of FFmpeg.
        if !agent.is_empty() && (client.user_agent.is_empty() || !kind.is_vague()) {
            client.user_agent = agent;
        }
        client.asked = asked;
        client.at = client.at.max(now);
        client.count = client.count.saturating_add(1);
        if asked == Asked::Lineup {
            client.lineup_at = Some(now);
        }
    }

    /// Notes what a client without a name does over control, which may tell which one it is.
    ///
    /// Sets of a `lock`, then of the `filter` to the PAT alone, are how tvheadend begins. Others lock and filter, too,
    /// but none begins with that.
    pub fn set_variable(&mut self, address: IpAddr, variable: TunerVariable, value: &str) {
        let address = address.to_canonical();
        let is_tvheadend = variable == TunerVariable::Filter && value.trim_ascii() == "0x0000";
        let newest = self.0.iter_mut().filter(|client| client.address == address).max_by_key(|client| client.at);
        if let Some(client) = newest.filter(|client| is_tvheadend && client.kind == Kind::Library) {
            client.kind = Kind::Tvheadend;
        }
    }

    /// Everybody, in no order.
    pub fn list(&self) -> &[Client] {
        &self.0
    }

    /// The entry that a request counts for, made when there is none.
    fn entry(&mut self, now: Mono, address: IpAddr, kind: Kind, asked: Asked) -> Option<&mut Client> {
        let from_there = |client: &Client| client.address == address;
        let same = self.0.iter().position(|client| from_there(client) && client.kind == kind);
        let newest = || {
            let mine = self.0.iter().enumerate().filter(|(_, client)| from_there(client));
            mine.max_by_key(|(_, client)| client.at).map(|(index, _)| index)
        };
        let index = match same {
            // A vague name counts for the last one from there, whatever it was.
            _ if kind.is_vague() => newest(),
            Some(index) => Some(index),
            // A telling name names an entry that had none.
            None => newest().filter(|index| self.0.get(*index).is_some_and(|client| client.kind.is_vague())),
        };
        if let Some(index) = index {
            let client = self.0.get_mut(index)?;
            if client.kind.is_vague() && kind != Kind::Unknown {
                client.kind = kind;
            }
            return Some(client);
        }
        let new = Client { address, kind, user_agent: String::new(), asked, at: now, lineup_at: None, count: 0 };
        let index = match self.0.push(new) {
            Ok(()) => self.0.len().checked_sub(1)?,
            Err(new) => {
                let (index, silent) = self.0.iter_mut().enumerate().min_by_key(|(_, client)| client.at)?;
                *silent = new;
                index
            }
        };
        self.0.get_mut(index)
    }
}

/// Printable ASCII, cut: the text comes from the network and ends in logs, JSON and a page.
fn clean(user_agent: &[u8]) -> String<USER_AGENT_BYTES_MAX> {
    let printable = user_agent.trim_ascii().iter().map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    });
    printable.take(USER_AGENT_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    #[test]
    fn clients_are_known_by_what_they_call_themselves() {
        for (agent, kind) in [
            ("PlexMediaServer/1.41.2.9200-c6bbc1b53", Kind::Plex),
            ("Jellyfin-Server/10.11.0", Kind::Jellyfin),
            ("Emby Server/4.8.11.0", Kind::Emby),
            ("ChannelsDVR/2025.01 (linux-x86_64)", Kind::Channels),
            ("Kodi/21.1 (X11; Linux x86_64) Ubuntu/24.04 App_Bitness/64 Version/21.1", Kind::Kodi),
            ("MythTV/34.0 (Linux)", Kind::MythTv),
            ("TVHeadend/4.3", Kind::Tvheadend),
            ("VLC/3.0.21 LibVLC/3.0.21", Kind::Vlc),
            ("HomeAssistant/2026.1 aiohttp/3.10", Kind::HomeAssistant),
            ("HDHomeRun/20250506", Kind::HdhomerunApp),
            ("Lavf/60.16.100", Kind::Ffmpeg),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Kind::Browser),
            ("curl/8.14.1", Kind::Unknown),
        ] {
            let mut clients = Clients::new();
            clients.saw(Mono(1), address(1), Asked::Device, agent.as_bytes());
            assert_eq!(clients.list()[0].kind, kind, "{agent}");
            assert_eq!(clients.list()[0].user_agent, agent);
        }
    }

    #[test]
    fn one_story_is_one_entry() {
        // Plex finds us, reads us, and its transcoder takes the stream in the name of FFmpeg.
        let mut clients = Clients::new();
        clients.saw(Mono(0), address(20), Asked::Discovery, b"");
        clients.saw(Mono(10), address(20), Asked::Device, b"PlexMediaServer/1.41");
        clients.saw(Mono(20), address(20), Asked::Lineup, b"PlexMediaServer/1.41");
        clients.saw(Mono(4_000), address(20), Asked::Stream, b"Lavf/60.16.100");
        let [plex] = clients.list() else { panic!("{clients:?}") };
        assert_eq!((plex.kind, plex.asked, plex.at, plex.count), (Kind::Plex, Asked::Stream, Mono(4_000), 4));
        assert_eq!((plex.user_agent.as_str(), plex.lineup_at), ("PlexMediaServer/1.41", Some(Mono(20))));
        // Jellyfin on the same machine is another one.
        clients.saw(Mono(5_000), address(20), Asked::Lineup, b"Jellyfin-Server/10.11");
        assert_eq!(clients.list().len(), 2);
        clients.saw(Mono(6_000), "::ffff:192.0.2.20".parse().unwrap(), Asked::Discovery, b"");
        assert_eq!((clients.list().len(), clients.list()[1].count), (2, 2));
    }

    #[test]
    fn tvheadend_is_known_by_how_it_begins() {
        let mut clients = Clients::new();
        clients.saw(Mono(0), address(1), Asked::Control, b"");
        assert_eq!(clients.list()[0].kind, Kind::Library);
        clients.set_variable(address(1), TunerVariable::Channel, "auto:578000000");
        clients.set_variable(address(2), TunerVariable::Filter, "0x0000");
        assert_eq!(clients.list()[0].kind, Kind::Library);
        clients.set_variable(address(1), TunerVariable::Filter, "0x0000");
        assert_eq!(clients.list()[0].kind, Kind::Tvheadend);
        clients.saw(Mono(1), address(1), Asked::Control, b"");
        assert_eq!(clients.list()[0].kind, Kind::Tvheadend, "it stays known");
    }

    #[test]
    fn names_are_cut_and_cleaned() {
        let mut clients = Clients::new();
        clients.saw(Mono(0), address(1), Asked::Page, b"  <b>\r\n\x1b[31m\xFF\"x ");
        assert_eq!(clients.list()[0].user_agent, "<b>???[31m?\"x");
        clients.saw(Mono(0), address(2), Asked::Page, &[b'a'; 1_000]);
        assert_eq!(clients.list()[1].user_agent.len(), USER_AGENT_BYTES_MAX);
    }

    #[test]
    fn who_is_silent_for_longest_makes_room() {
        let mut clients = Clients::new();
        for last in 0..=200 {
            clients.saw(Mono(u64::from(last)), address(last), Asked::Lineup, b"Kodi/21");
        }
        assert_eq!(clients.list().len(), CLIENTS_MAX);
        assert!(clients.list().iter().all(|client| client.at > Mono(200 - CLIENTS_MAX as u64)));
    }
}

use super::*;
use crate::limits::{GUIDE_NUMBER_BYTES_MAX, KEEPALIVE_MS, ORPHAN_MS};
use crate::model::lineup::{DemoIndex, Source};
use crate::rules::control::target::Scheme;
use crate::wire::hdhr::{Frame, TAG_ERROR_MESSAGE, TAG_GETSET_NAME, TAG_GETSET_VALUE};
use std::borrow::ToOwned as _;
use std::format;
use std::string::{String as StdString, ToString as _};
use std::vec;

/// A box, and what a test lets happen on it.
struct Fixture {
    control: Control,
    lineup: Option<Lineup>,
    seen: Vec<Seen<'static>>,
    now: Mono,
    last: Change,
}

impl World for Fixture {
    fn lineup(&self) -> Option<&Lineup> {
        self.lineup.as_ref()
    }
    fn seen(&self, tuner: SlotIndex) -> Seen<'_> {
        self.seen[usize::from(tuner.0)]
    }
    fn device(&self) -> Device<'_> {
        Device {
            model: "hdhomerun5_atsc",
            hw_model: "HDHR5-4US",
            version: "20261101",
            copyright: "\u{a9} the authors of tunerd",
        }
    }
    fn board(&self) -> Board {
        Board { memory_mib: 1_024, free_mib: 512, stall_ms: 3, link_mbit: 1_000 }
    }
    fn scan(&self) -> Scan {
        Scan { state: ScanState::Complete, progress: 100, found: 4 }
    }
}

fn channel(id: u32, number: &str, name: &str) -> Channel {
    Channel {
        id: ChannelId(id),
        number: number.parse().unwrap(),
        name: name.to_owned(),
        group: StdString::new(),
        logo: StdString::new(),
        tvg_id: StdString::new(),
        tvg_shift_min: 0,
        sources: vec![Source::Demo(DemoIndex(0))],
    }
}

/// Channels 1.1, 2.1 and so on, with ids that begin at 100.
fn lineup(len: u32) -> Lineup {
    let channels = (0..len).map(|index| channel(100 + index, &format!("{}.1", index + 1), &format!("Name {index}")));
    Lineup::new(channels.collect()).unwrap()
}

/// Who asks: connection and address.
fn by(connection: u64, peer: &str) -> By {
    By { connection: ConnectionId(connection), peer: peer.parse().unwrap() }
}

fn one() -> By {
    by(1, "192.0.2.20:40001")
}

fn two() -> By {
    by(2, "192.0.2.21:40002")
}

impl Fixture {
    fn new() -> Self {
        Self::of(4, ChannelMap::UsBcast, lineup(4))
    }

    fn of(tuners_len: usize, map: ChannelMap, lineup: Lineup) -> Self {
        let policy = Policy { multicast_ttl_max: Some(4), may_restart: true };
        let control = Control::new(tuners_len, map, policy);
        let seen = vec![Seen::default(); tuners_len];
        Self { control, lineup: Some(lineup), seen, now: Mono(0), last: Change::Nothing }
    }

    /// What the box answers; what follows is in `last`.
    fn ask(&mut self, by: &By, request: ControlRequest<'_>) -> Result<&'static str, &'static str> {
        let mut control =
            core::mem::replace(&mut self.control, Control::new(0, ChannelMap::UsBcast, Policy::default()));
        let mut out = [0; CONTROL_REPLY_BYTES_MAX];
        let (reply, change) = control.answer(self.now, by, request, self, &mut out);
        self.control = control;
        self.last = change;
        let frame = Frame::parse(reply).unwrap();
        assert_eq!(frame.kind, 5);
        // Tests are short: texts may stay.
        let tlvs: Vec<(u8, &'static str)> = frame
            .tlvs()
            .map(|tlv| {
                let (nul, text) = tlv.value.split_last().unwrap();
                assert_eq!(*nul, 0);
                (tlv.tag, &*core::str::from_utf8(text).unwrap().to_owned().leak())
            })
            .collect();
        match tlvs.as_slice() {
            [(TAG_GETSET_NAME, name), (TAG_GETSET_VALUE, value)] => {
                assert!(
                    matches!(request, ControlRequest::Get { name: asked } | ControlRequest::Set { name: asked, .. } if asked == *name)
                );
                Ok(*value)
            }
            [(TAG_ERROR_MESSAGE, error)] => {
                assert!(error.starts_with("ERROR: ") && change == Change::Nothing);
                Err(*error)
            }
            other => panic!("{other:?}"),
        }
    }

    fn get(&mut self, name: &str) -> &'static str {
        self.ask(&by(99, "192.0.2.99:50000"), ControlRequest::Get { name }).unwrap()
    }

    fn set(&mut self, by: &By, name: &str, value: &str, lockkey: Option<u32>) -> Result<&'static str, &'static str> {
        self.ask(by, ControlRequest::Set { name, value, lockkey })
    }

    /// Sets what must work, and gives what follows.
    fn must(&mut self, by: &By, name: &str, value: &str, lockkey: Option<u32>) -> Change {
        assert_eq!(self.set(by, name, value, lockkey), Ok(value), "{name}={value}");
        self.last
    }

    fn lock(&mut self, by: &By, tuner: u8, key: u32) {
        let name = format!("/tuner{tuner}/lockkey");
        let owner = by.address().to_string();
        assert_eq!(self.set(by, &name, &key.to_string(), None), Ok(owner.as_str()));
    }

    fn deadline(&mut self) -> Vec<Change> {
        let mut changes = Changes::new();
        self.control.deadline(self.now, &mut changes);
        changes.to_vec()
    }
}

const TUNER: SlotIndex = SlotIndex(0);
const STOP: Change = Change::Stop { tuner: TUNER };

fn play(channel: u32, target: &str) -> Change {
    play_in(channel, target, Profile::None)
}

fn play_in(channel: u32, target: &str, profile: Profile) -> Change {
    let (scheme, address) = target.split_once("://").unwrap();
    let scheme = if scheme == "rtp" { Scheme::Rtp } else { Scheme::Udp };
    let target = Target { scheme, address: address.parse().unwrap(), ttl: None };
    Change::Play(Play { tuner: TUNER, channel: ChannelId(channel), target, profile })
}

const LOCKED: &str = "ERROR: resource locked by 192.0.2.20";
const BAD_VALUE: &str = "ERROR: invalid getset value";

// ---- Texts --------------------------------------------------------------------------------------------------------

#[test]
fn an_idle_box_says_what_real_ones_say() {
    let mut fixture = Fixture::new();
    for (name, text) in [
        ("/sys/model", "hdhomerun5_atsc"),
        ("/sys/hwmodel", "HDHR5-4US"),
        ("/sys/version", "20261101"),
        ("/sys/copyright", "\u{a9} the authors of tunerd"),
        (
            "/sys/debug",
            "mem: ddr=1024 free=512\nloop: stall=3\nt0: pt=0\nt1: pt=0\nt2: pt=0\nt3: pt=0\neth: link=1000\n",
        ),
        ("/lineup/scan", "state=complete progress=100% found=4"),
        ("/tuner0/channel", "none"),
        ("/tuner0/channelmap", "us-bcast"),
        (
            "/tuner0/debug",
            "tun: ch=none lock=none ss=0 snq=0 seq=0 dbg=0\ndev: bps=0 resync=0 overflow=0\n\
             ts:  bps=0 te=0 crc=0\nnet: bps=0 pps=0 err=0 stop=0\n",
        ),
        ("/tuner0/filter", "0x0000-0x1fff"),
        ("/tuner0/lockkey", "none"),
        ("/tuner0/plpinfo", "none"),
        ("/tuner0/program", "none"),
        ("/tuner3/status", "ch=none lock=none ss=0 snq=0 seq=0 bps=0 pps=0"),
        ("/tuner0/streaminfo", "none"),
        ("/tuner0/target", "none"),
        ("/tuner0/vchannel", "none"),
        ("/tuner0/vstatus", "vch=none name=none auth=unspecified cci=unspecified cgms=unspecified"),
    ] {
        assert_eq!(fixture.get(name), text, "{name}");
    }
}

#[test]
fn help_names_what_there_is_and_nothing_else() {
    let mut fixture = Fixture::new();
    let help = fixture.get("help");
    let mut lines = help.lines();
    assert_eq!(lines.next(), Some("Supported configuration options:"));
    let mut count = 0;
    for line in lines {
        let name = line.split(' ').next().unwrap().replace("<n>", "3");
        let variable = fixture.control.variable(&name);
        assert!(variable.is_ok(), "{line}");
        count += 1;
    }
    // All but help itself: eight of the box and twelve of a tuner.
    assert_eq!(count, 8 + 12);
    let features = fixture.get("/sys/features");
    for map in ChannelMap::ALL {
        assert!(features.lines().next().unwrap().split(' ').any(|name| name == map.name()));
    }
    assert!(features.contains("\nauto-modulation: auto "));
}

#[test]
fn trap_19_a_channel_that_exists_is_received_at_once() {
    let mut fixture = Fixture::new();
    for (value, lock) in [
        ("auto:57000000", "8vsb"),
        ("57000000", "8vsb"),
        ("8vsb:57000000", "8vsb"),
        ("auto:2", "8vsb"),
        ("3", "8vsb"),
        ("qam256:57028615", "qam256"),
        ("qam:57000000", "qam256"),
        ("auto6t:57000000", "t6qam64"),
        ("auto8c:57000000", "a8qam256-6900"),
        ("t8qam64:57000000", "t8qam64"),
        ("a8qam256-6900:57000000", "a8qam256-6900"),
    ] {
        assert_eq!(fixture.must(&one(), "/tuner0/channel", value, None), Change::Nothing);
        assert_eq!(fixture.get("/tuner0/channel"), value);
        let status = format!("ch={value} lock={lock} ss=100 snq=100 seq=100 bps=0 pps=0");
        assert_eq!(fixture.get("/tuner0/status"), status);
    }
    for nothing_there in ["auto:81000000", "auto:58000000", "51", "4294967295"] {
        fixture.must(&one(), "/tuner0/channel", nothing_there, None);
        let status = format!("ch={nothing_there} lock=none ss=0 snq=0 seq=0 bps=0 pps=0");
        assert_eq!(fixture.get("/tuner0/status"), status);
        assert_eq!(fixture.get("/tuner0/streaminfo"), "none");
    }
    for (map, frequency, lock) in [
        ("eu-bcast", 177_500_000, "t8qam64"),
        ("eu-cable", 108_000_000, "a8qam256-6900"),
        ("us-cable", 57_000_000, "qam256"),
        ("au-bcast", 177_500_000, "t7qam64"),
        ("jp-bcast", 473_000_000, "t6qam64"),
    ] {
        fixture.must(&one(), "/tuner1/channelmap", map, None);
        fixture.must(&one(), "/tuner1/channel", &format!("auto:{frequency}"), None);
        let status = fixture.get("/tuner1/status");
        assert!(status.contains(&format!(" lock={lock} ss=100 ")), "{map} {status}");
    }
}

#[test]
fn what_plays_shows_in_status_and_debug() {
    let mut fixture = Fixture::new();
    fixture.must(&one(), "/tuner0/channel", "auto:57000000", None);
    let counters = Counters { resyncs: 1, overflows: 2, damaged_packets: 3, damaged_sections: 4, dropped_packets: 5 };
    let seen = Seen { bits_per_s: 24_128_160, packets_per_s: 2_000, counters, ..Seen::default() };
    fixture.seen[0] = seen;
    let status = "ch=auto:57000000 lock=8vsb ss=100 snq=100 seq=100 bps=24128160 pps=2000";
    assert_eq!(fixture.get("/tuner0/status"), status);
    assert_eq!(
        fixture.get("/tuner0/debug"),
        "tun: ch=auto:57000000 lock=8vsb:57000000 ss=100 snq=100 seq=100 dbg=0\n\
         dev: bps=24128160 resync=1 overflow=2\nts:  bps=24128160 te=3 crc=4\nnet: bps=21056000 pps=2000 err=5 stop=0\n"
    );
    // It is there, but no pictures come: people see it in the symbols.
    fixture.seen[0] = Seen { is_failing: true, bits_per_s: u64::MAX, ..seen };
    let failing = "ch=auto:57000000 lock=8vsb ss=100 snq=100 seq=0 bps=4294967295 pps=2000";
    assert_eq!(fixture.get("/tuner0/status"), failing);
}

#[test]
fn trap_20_every_programme_has_a_number_and_a_name() {
    let names = ["News (HD)", "", "  \n\t ", "Caf\u{e9} (no data)", "A name that is much longer than thirty-one bytes"];
    let channels = names.iter().zip(1..).map(|(name, id)| channel(id, &format!("{id}"), name)).collect();
    let mut fixture = Fixture::of(1, ChannelMap::UsBcast, Lineup::new(channels).unwrap());
    let expected = [
        "1: 1 News [HD]\n",
        "1: 2 2\n",
        "1: 3 3\n",
        "1: 4 Caf\u{e9} [no data]\n",
        "1: 5 A name that is much longer than\n",
    ];
    for (number, line) in (2..).zip(expected) {
        fixture.must(&one(), "/tuner0/channel", &format!("auto:{number}"), None);
        let tsid = number - 1;
        assert_eq!(fixture.get("/tuner0/streaminfo"), format!("{line}tsid=0x{tsid:04X}\n"));
    }
    fixture.must(&one(), "/tuner0/channelmap", "eu-bcast", None);
    fixture.must(&one(), "/tuner0/channel", "auto:5", None);
    assert_eq!(fixture.get("/tuner0/streaminfo"), "1: 1 News [HD]\ntsid=0x0001\nonid=0xFF00\n");
}

#[test]
fn trap_09b_tokens_have_no_blanks() {
    let lineup = Lineup::new(vec![channel(1, "5.1", "The First (HD)\u{a0}x")]).unwrap();
    let mut fixture = Fixture::of(1, ChannelMap::UsBcast, lineup);
    fixture.must(&one(), "/tuner0/vchannel", "5.1", None);
    assert_eq!(
        fixture.get("/tuner0/vstatus"),
        "vch=5.1 name=The_First_[HD]_x auth=subscribed cci=unrestricted cgms=unrestricted"
    );
    assert_eq!(fixture.get("/tuner0/status").split(' ').count(), 7);
    for value in ["auto: 57000000", "au to:57000000", "auto:57000000 x", "AUTO:57000000"] {
        assert_eq!(fixture.set(&one(), "/tuner0/channel", value, None), Err(BAD_VALUE));
    }
}

#[test]
fn trap_14_the_longest_texts_fit_into_a_reply() {
    // As many tuners as there can be, and a mux that is as full as it can be, of the longest numbers and names.
    let long = "\u{1F600}".repeat(64);
    let channels = (0..49 * 64).map(|id| channel(id, &format!("{}", 999_999_900_000_u64 + u64::from(id)), &long));
    let lineup = Lineup::new(channels.collect()).unwrap();
    assert_eq!(lineup.channels()[0].number.as_str().len(), GUIDE_NUMBER_BYTES_MAX);
    let mut fixture = Fixture::of(SLOTS_MAX, ChannelMap::UsBcast, lineup);
    fixture.must(&one(), "/tuner63/channel", "auto:57000000", None);
    let streaminfo = fixture.get("/tuner63/streaminfo");
    assert_eq!(streaminfo.lines().count(), 64 + 1);
    assert!(streaminfo.ends_with("\ntsid=0x0001\n") && streaminfo.len() > 1_500);
    let filter = (0..140).map(|pid| format!("0x{:04x}", 2 * pid)).collect::<Vec<_>>().join("  ");
    assert!(filter.len() > 1_000);
    fixture.must(&one(), "/tuner63/filter", &filter, None);
    assert_eq!(fixture.get("/tuner63/filter"), filter);
    let debug = fixture.get("/sys/debug");
    assert!(debug.contains("\nt63: pt=0\neth: ") && fixture.get("help").len() < 2_000);
}

// ---- Errors -------------------------------------------------------------------------------------------------------

#[test]
fn trap_09_what_is_not_there_is_an_error() {
    let mut fixture = Fixture::new();
    for name in ["/sys/boot", "/card/status", "/tuner4/status", "/tuner0/plotsample", "/lineup/location", "", "/"] {
        let unknown = Err("ERROR: unknown getset variable");
        assert_eq!(fixture.ask(&one(), ControlRequest::Get { name }), unknown);
        assert_eq!(fixture.set(&one(), name, "x", None), unknown);
    }
    let malformed = fixture.ask(&one(), ControlRequest::Malformed);
    assert_eq!(malformed, Err("ERROR: malformed getset request"));
    for name in ["help", "/sys/model", "/tuner0/status", "/tuner0/streaminfo", "/tuner0/debug", "/tuner0/vstatus"] {
        let read_only = Err("ERROR: getset variable is read-only");
        assert_eq!(fixture.set(&one(), name, "x", None), read_only);
    }
    let restart = fixture.ask(&one(), ControlRequest::Get { name: "/sys/restart" });
    assert_eq!(restart, Err("ERROR: getset variable is write-only"));
}

#[test]
fn values_that_mean_nothing_are_refused_and_change_nothing() {
    let mut fixture = Fixture::new();
    fixture.must(&one(), "/tuner0/vchannel", "1.1", None);
    fixture.must(&one(), "/tuner0/target", "udp://192.0.2.20:5000", None);
    let names = ["channel", "channelmap", "filter", "lockkey", "program", "target", "vchannel", "status"];
    let all = |fixture: &mut Fixture| names.map(|name| fixture.get(&format!("/tuner0/{name}")));
    let before = all(&mut fixture);
    for (name, values) in [
        ("channel", ["", "auto:", ":57000000", "auto:37", "none:57000000", "auto:57000000:1", "auto:-1"].as_slice()),
        ("channelmap", &["", "us", "us-bcast ", "none"]),
        ("filter", &["", "0x2000", "none", "0x0000-"]),
        ("lockkey", &["", "0", "-1", "+1", "4294967296", "0x1", "None"]),
        ("program", &["", "x", "65536", "1 ", "1 transcode=", "1 transcode=huge", "1 x=y", "+1", "none none"]),
        ("target", &["", "udp://x:1", "udp://192.0.2.20", "http://192.0.2.20:5000"]),
        ("vchannel", &["", "9.9", "x", "1.1 transcode=huge", "1.1  transcode=heavy"]),
    ] {
        for value in values {
            let result = fixture.set(&one(), &format!("/tuner0/{name}"), value, None);
            assert_eq!(result, Err(BAD_VALUE), "{name}={value}");
            assert_eq!(all(&mut fixture), before, "{name}={value}");
        }
    }
    let long = "0x0000 ".repeat(FILTER_BYTES_MAX);
    assert_eq!(fixture.set(&one(), "/tuner0/filter", &long, None), Err(BAD_VALUE));
    assert_eq!(all(&mut fixture), before);
}

#[test]
fn the_box_is_searched_and_started_anew_on_demand() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.must(&one(), "/lineup/scan", "start", None), Change::ScanStart);
    assert_eq!(fixture.must(&one(), "/lineup/scan", "abort", None), Change::ScanAbort);
    assert_eq!(fixture.must(&one(), "/sys/restart", "self", None), Change::Restart);
    for (name, value) in [("/lineup/scan", "stop"), ("/sys/restart", "tuner0"), ("/sys/restart", "")] {
        assert_eq!(fixture.set(&one(), name, value, None), Err(BAD_VALUE));
    }
    fixture.control.policy = Policy::default();
    let refused = fixture.set(&one(), "/sys/restart", "self", None);
    assert_eq!(refused, Err("ERROR: getset value is not allowed"));
}

// ---- Clients ------------------------------------------------------------------------------------------------------

#[test]
fn tvheadend_locks_tunes_filters_and_polls() {
    let mut fixture = Fixture::new();
    let (me, key) = (one(), Some(2_345_678_901));
    fixture.lock(&me, 0, 2_345_678_901);
    assert_eq!(fixture.must(&me, "/tuner0/channel", "auto:57000000", key), Change::Nothing);
    assert_eq!(fixture.must(&me, "/tuner0/filter", "0x0000", key), Change::Nothing);
    let playing = play(100, "udp://192.0.2.20:5000");
    assert_eq!(fixture.must(&me, "/tuner0/target", "udp://192.0.2.20:5000", key), playing);
    assert_eq!(fixture.control.pids(TUNER), PidFilter::parse("0x0000"));
    assert_eq!(fixture.control.held_by(TUNER), Some(me.address()));
    // Its filter grows while it learns; it polls once a second, without a key, for a day.
    let filter = "0x0000 0x0100-0x0101 0x1000 ";
    assert_eq!(fixture.must(&me, "/tuner0/filter", filter, key), Change::Filter { tuner: TUNER });
    assert_eq!(fixture.get("/tuner0/filter"), filter);
    assert_eq!(fixture.control.pids(TUNER), PidFilter::parse(filter));
    for second in 0..86_400 {
        fixture.now = Mono(second * 1_000);
        let status = fixture.ask(&me, ControlRequest::Get { name: "/tuner0/status" }).unwrap();
        assert!(status.contains("ss=100"));
        assert_eq!(fixture.control.next_deadline(), None);
    }
    // Another channel needs no new target.
    let next = play(101, "udp://192.0.2.20:5000");
    assert_eq!(fixture.must(&me, "/tuner0/channel", "auto:63000000", key), next);
    assert_eq!(fixture.get("/tuner0/filter"), "0x0000-0x1fff", "what was chosen there means nothing here");
    assert_eq!(fixture.must(&me, "/tuner0/target", "none", key), STOP);
    assert_eq!(fixture.set(&me, "/tuner0/lockkey", "none", key), Ok("none"));
    assert_eq!(fixture.control.held_by(TUNER), None);
}

#[test]
fn jellyfin_sends_bare_numbers_and_reads_short_replies() {
    let mut fixture = Fixture::new();
    let (me, key) = (one(), Some(7));
    assert_eq!(fixture.get("/tuner0/lockkey"), "none");
    fixture.lock(&me, 0, 7);
    fixture.must(&me, "/tuner0/channel", "69000000", key);
    fixture.must(&me, "/tuner0/program", "1", key);
    let playing = play(102, "rtp://192.0.2.20:6000");
    assert_eq!(fixture.must(&me, "/tuner0/target", "rtp://192.0.2.20:6000", key), playing);
    assert_eq!(fixture.control.pids(TUNER), None, "the programme's");
    assert_eq!(fixture.get("/tuner0/program"), "1");
}

#[test]
fn trap_18_mythtv_gets_back_what_it_set() {
    let mut fixture = Fixture::new();
    for (name, value) in [
        ("/tuner0/channel", "8vsb:57000000"),
        ("/tuner0/filter", "0x0000-0x0000 0x1FFB 0x0100-0x0102"),
        ("/tuner0/program", "1 transcode=none"),
        ("/tuner0/program", "0"),
        ("/tuner0/program", "none"),
        ("/tuner0/target", "192.0.2.20:5000"),
        ("/tuner0/target", "udp://192.0.2.20:5000 ttl=2"),
        ("/tuner0/channelmap", "us-irc"),
        ("/tuner0/vchannel", "2.1 transcode=mobile"),
        ("/tuner0/vchannel", "none"),
        ("/tuner0/channel", "none"),
    ] {
        fixture.must(&one(), name, value, None);
        assert_eq!(fixture.get(name), value);
    }
}

/// The walk of `hdhomerun_config scan`: from the highest frequency down, ask at each what is there.
#[test]
fn a_scan_finds_every_channel_and_plays_none() {
    for (map, len) in [(ChannelMap::UsBcast, 4), (ChannelMap::UsBcast, 120), (ChannelMap::EuCable, 10)] {
        let mut fixture = Fixture::of(2, map, lineup(len));
        let (me, key) = (one(), Some(9));
        fixture.lock(&me, 1, 9);
        fixture.must(&me, "/tuner1/target", "none", key);
        assert_eq!(fixture.get("/tuner1/channelmap"), map.name());
        let mut found = vec![];
        let mut frequencies: Vec<u32> = (0..1_000).filter_map(|number| map.frequency(number)).collect();
        frequencies.sort_unstable();
        while let Some(frequency) = frequencies.pop() {
            assert_eq!(fixture.must(&me, "/tuner1/channel", &format!("auto:{frequency}"), key), Change::Nothing);
            let status = fixture.get("/tuner1/status");
            if status.contains(" lock=none ss=0 ") {
                continue;
            }
            assert!(status.contains(" seq=100 "));
            let info = fixture.get("/tuner1/streaminfo");
            let (programmes, tsid) = info.trim_end().rsplit_once('\n').unwrap();
            let tsid = if map.is_dvb() { programmes.rsplit_once('\n').unwrap().1 } else { tsid };
            assert!(tsid.starts_with("tsid=0x"), "{info}");
            found.extend(info.lines().filter(|line| line.contains("Name ")).map(str::to_owned));
            frequencies.retain(|next| *next <= frequency - 5_500_000);
        }
        assert_eq!(found.len(), usize::try_from(len).unwrap());
        assert_eq!(fixture.set(&me, "/tuner1/lockkey", "none", key), Ok("none"));
        assert_eq!(fixture.last, Change::Nothing);
    }
}

#[test]
fn an_upgrade_clears_the_way_but_not_of_viewers() {
    let mut fixture = Fixture::new();
    fixture.lock(&two(), 0, 5);
    fixture.must(&two(), "/tuner0/channel", "auto:57000000", Some(5));
    fixture.must(&two(), "/tuner0/target", "udp://192.0.2.21:5000", Some(5));
    fixture.seen[1].http = Some("192.0.2.30:33000".parse().unwrap());
    assert_eq!(fixture.set(&one(), "/tuner0/lockkey", "force", None), Ok("none"));
    assert_eq!(fixture.last, STOP);
    assert_eq!(fixture.must(&one(), "/tuner0/channel", "none", None), Change::Nothing);
    for (name, value) in [("/tuner1/lockkey", "force"), ("/tuner1/channel", "none")] {
        let refused = fixture.set(&one(), name, value, None);
        assert_eq!(refused, Err("ERROR: resource locked by 192.0.2.30"));
    }
}

// ---- Programmes ---------------------------------------------------------------------------------------------------

#[test]
fn programmes_of_a_full_mux_are_chosen_by_number() {
    let mut fixture = Fixture::of(1, ChannelMap::UsBcast, lineup(120));
    let target = "udp://192.0.2.20:5000";
    fixture.must(&one(), "/tuner0/target", target, None);
    // Three share a frequency.
    assert_eq!(fixture.must(&one(), "/tuner0/channel", "auto:63000000", None), play(103, target));
    assert_eq!(fixture.control.pids(TUNER), Some(PidFilter::ALL));
    assert_eq!(fixture.must(&one(), "/tuner0/program", "3", None), play(105, target));
    assert_eq!(fixture.control.pids(TUNER), None);
    // PIDs of the same programme; the choice stays.
    let filtered = fixture.must(&one(), "/tuner0/filter", "0x0000-0x0fff", None);
    assert_eq!((filtered, fixture.get("/tuner0/program")), (Change::Filter { tuner: TUNER }, "3"));
    assert_eq!(fixture.must(&one(), "/tuner0/program", "4", None), STOP, "there is none");
    assert!(fixture.get("/tuner0/status").contains(" lock=8vsb ss=100 "), "but the mux is there");
    assert_eq!(fixture.must(&one(), "/tuner0/program", "none", None), play(103, target));
    assert_eq!(fixture.control.pids(TUNER), Some(PidFilter::ALL));
    let by_number = fixture.must(&one(), "/tuner0/vchannel", "5.1", None);
    assert_eq!(by_number, play(104, target));
    assert_eq!(fixture.get("/tuner0/channel"), "auto:63000000");
    assert_eq!(fixture.get("/tuner0/program"), "2");
    assert_eq!(fixture.get("/tuner0/vchannel"), "5.1");
    assert_eq!(fixture.get("/tuner0/streaminfo"), "1: 4.1 Name 3\n2: 5.1 Name 4\n3: 6.1 Name 5\ntsid=0x0002\n");
    assert_eq!(fixture.must(&one(), "/tuner0/channel", "auto:57000000", None), play(100, target));
    assert_eq!(fixture.get("/tuner0/vchannel"), "none");
}

#[test]
fn profiles_stand_behind_a_blank() {
    let mut fixture = Fixture::new();
    let target = "udp://192.0.2.20:5000";
    fixture.must(&one(), "/tuner0/target", target, None);
    let heavy = fixture.must(&one(), "/tuner0/vchannel", "2.1 transcode=heavy", None);
    assert_eq!(heavy, play_in(101, target, Profile::Heavy));
    assert_eq!(fixture.must(&one(), "/tuner0/vchannel", "2.1 transcode=none", None), play(101, target));
    let mobile = fixture.must(&one(), "/tuner0/program", "1 transcode=mobile", None);
    assert_eq!(mobile, play_in(101, target, Profile::Mobile));
}

#[test]
fn a_programme_shows_its_pids_once_they_are_known() {
    let mut fixture = Fixture::new();
    fixture.must(&one(), "/tuner0/channel", "auto:57000000", None);
    fixture.must(&one(), "/tuner0/program", "1", None);
    assert_eq!(fixture.get("/tuner0/filter"), "0x0000-0x1fff");
    let pids = std::boxed::Box::leak(std::boxed::Box::new(PidFilter::programme(0x1000, [0x100, 0x101])));
    fixture.seen[0].pids = Some(pids);
    assert_eq!(fixture.get("/tuner0/filter"), "0x0000 0x0100-0x0101 0x1000");
}

#[test]
fn a_lineup_larger_than_the_map_is_watched_by_number() {
    let mut fixture = Fixture::of(1, ChannelMap::UsBcast, lineup(49 * 64 + 1));
    let target = "udp://192.0.2.20:5000";
    fixture.must(&one(), "/tuner0/target", target, None);
    assert_eq!(fixture.must(&one(), "/tuner0/vchannel", "3137.1", None), play(100 + 3_136, target));
    assert_eq!(fixture.get("/tuner0/channel"), "v3137.1");
    assert_eq!(fixture.get("/tuner0/status"), "ch=v3137.1 lock=8vsb ss=100 snq=100 seq=100 bps=0 pps=0");
    assert_eq!(fixture.get("/tuner0/streaminfo"), "1: 3137.1 Name 3136\ntsid=0x0000\n");
}

// ---- Locks --------------------------------------------------------------------------------------------------------

#[test]
fn trap_10_a_lock_keeps_others_out_and_lets_all_look() {
    let mut fixture = Fixture::new();
    fixture.lock(&one(), 0, 12_345);
    for (name, value) in [
        ("channel", "auto:57000000"),
        ("vchannel", "1.1"),
        ("channelmap", "us-cable"),
        ("filter", "0x0000"),
        ("program", "1"),
        ("target", "udp://192.0.2.21:5000"),
        ("lockkey", "99"),
        ("lockkey", "none"),
    ] {
        for key in [None, Some(1), Some(12_346)] {
            let refused = fixture.set(&two(), &format!("/tuner0/{name}"), value, key);
            assert_eq!(refused, Err(LOCKED), "{name} {key:?}");
        }
        // Even from the same machine: the key counts.
        assert_eq!(fixture.set(&one(), &format!("/tuner0/{name}"), value, None), Err(LOCKED));
    }
    assert_eq!(fixture.get("/tuner0/lockkey"), "192.0.2.20");
    assert_eq!(fixture.get("/tuner0/channel"), "none");
    assert_eq!(fixture.get("/tuner1/lockkey"), "none");
    fixture.must(&two(), "/tuner1/channel", "auto:57000000", None);
    // The owner may change its key, and from another place if it has it.
    assert_eq!(fixture.set(&two(), "/tuner0/lockkey", "77", Some(12_345)), Ok("192.0.2.21"));
    assert!(fixture.set(&one(), "/tuner0/channel", "none", Some(12_345)).is_err());
    fixture.must(&one(), "/tuner0/channel", "none", Some(77));
    assert_eq!(fixture.set(&two(), "/tuner0/lockkey", "none", Some(77)), Ok("none"));
    assert_eq!(fixture.get("/tuner0/lockkey"), "none");
    // A key that opens nothing does not hurt where nothing is locked.
    fixture.must(&two(), "/tuner0/channel", "auto:57000000", Some(77));
    assert_eq!(fixture.set(&two(), "/tuner0/lockkey", "none", None), Ok("none"));
}

#[test]
fn force_frees_a_tuner_and_ends_what_it_sent() {
    let mut fixture = Fixture::new();
    fixture.lock(&one(), 0, 1);
    fixture.must(&one(), "/tuner0/channel", "auto:57000000", Some(1));
    fixture.must(&one(), "/tuner0/target", "udp://192.0.2.20:5000", Some(1));
    assert_eq!(fixture.set(&two(), "/tuner0/lockkey", "force", None), Ok("none"));
    assert_eq!((fixture.last, fixture.get("/tuner0/target")), (STOP, "none"));
    fixture.lock(&two(), 0, 2);
}

#[test]
fn giving_a_lock_back_ends_what_was_sent_under_it() {
    let mut fixture = Fixture::new();
    fixture.must(&one(), "/tuner0/channel", "auto:57000000", None);
    fixture.must(&one(), "/tuner0/target", "udp://192.0.2.20:5000", None);
    assert_eq!(fixture.set(&one(), "/tuner0/lockkey", "none", None), Ok("none"));
    assert_eq!(fixture.last, Change::Nothing, "there was none");
    fixture.lock(&one(), 0, 1);
    assert_eq!(fixture.set(&one(), "/tuner0/lockkey", "none", Some(1)), Ok("none"));
    assert_eq!(fixture.last, STOP);
}

#[test]
fn locks_expire_when_their_owner_is_gone() {
    let mut fixture = Fixture::new();
    fixture.lock(&one(), 0, 1);
    fixture.now = Mono(3_600_000);
    assert_eq!(fixture.control.next_deadline(), None, "it is connected");
    fixture.control.closed(fixture.now, ConnectionId(1));
    let expires = Mono(3_600_000 + LOCK_IDLE_MS);
    assert_eq!(fixture.control.next_deadline(), Some(expires));
    // Its key on another connection is a sign of life, and that connection's end another one.
    fixture.now = Mono(3_610_000);
    fixture.must(&by(3, "192.0.2.20:40003"), "/tuner0/channel", "auto:57000000", Some(1));
    assert_eq!(fixture.control.next_deadline(), None);
    fixture.control.closed(fixture.now, ConnectionId(3));
    fixture.now = fixture.now.plus_ms(LOCK_IDLE_MS - 1);
    assert!(fixture.set(&two(), "/tuner0/channel", "none", None).is_err());
    fixture.now = fixture.now.plus_ms(1);
    // Even when nobody has called the deadline yet.
    fixture.must(&two(), "/tuner0/channel", "none", None);
    assert_eq!(fixture.get("/tuner0/lockkey"), "none");
    assert_eq!(fixture.control.next_deadline(), None);
}

#[test]
fn a_viewer_over_http_holds_its_tuner() {
    let mut fixture = Fixture::new();
    fixture.must(&one(), "/tuner0/channel", "auto:63000000", None);
    let viewer = "[::ffff:192.0.2.30]:33000".parse().unwrap();
    fixture.seen[0] =
        Seen { channel: Some(ChannelId(102)), http: Some(viewer), bits_per_s: 5_000_000, ..Seen::default() };
    for (name, text) in [
        ("channel", "auto:69000000"),
        ("vchannel", "3.1"),
        ("program", "1"),
        ("lockkey", "192.0.2.30"),
        ("target", "http://192.0.2.30:33000"),
        ("status", "ch=auto:69000000 lock=8vsb ss=100 snq=100 seq=100 bps=5000000 pps=0"),
        ("streaminfo", "1: 3.1 Name 2\ntsid=0x0003\n"),
        ("filter", "0x0000-0x1fff"),
    ] {
        assert_eq!(fixture.get(&format!("/tuner0/{name}")), text);
    }
    for (name, value) in
        [("channel", "none"), ("target", "none"), ("lockkey", "5"), ("lockkey", "none"), ("filter", "0x0000")]
    {
        let refused = fixture.set(&one(), &format!("/tuner0/{name}"), value, None);
        assert_eq!(refused, Err("ERROR: resource locked by 192.0.2.30"));
    }
    // When he is gone, all is as before.
    fixture.seen[0] = Seen::default();
    assert_eq!(fixture.get("/tuner0/channel"), "auto:63000000");
    // Whoever watches along does not take a tuner from the one who holds it.
    fixture.must(&one(), "/tuner0/target", "udp://192.0.2.20:5000", None);
    fixture.seen[0] = Seen { channel: Some(ChannelId(101)), http: Some(viewer), ..Seen::default() };
    fixture.must(&one(), "/tuner0/filter", "0x0000", None);
    assert_eq!(fixture.get("/tuner0/target"), "udp://192.0.2.20:5000");
}

// ---- Streams that nobody ends -------------------------------------------------------------------------------------

/// A stream from tuner 0 to the first client, with a lock of key 5.
fn streaming() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.lock(&one(), 0, 5);
    fixture.must(&one(), "/tuner0/channel", "auto:57000000", Some(5));
    fixture.must(&one(), "/tuner0/target", "rtp://192.0.2.20:5000", Some(5));
    fixture
}

#[test]
fn trap_23_a_stream_ends_with_its_owner() {
    let mut fixture = streaming();
    fixture.control.closed(Mono(1_000), ConnectionId(1));
    fixture.now = Mono(1_000 + ORPHAN_MS);
    assert_eq!(fixture.control.next_deadline(), Some(fixture.now));
    assert_eq!(fixture.deadline(), [STOP]);
    assert_eq!(fixture.get("/tuner0/target"), "none");
    assert!(fixture.get("/tuner0/debug").ends_with(" stop=3\n"));
    // The lock goes a little later.
    assert_eq!(fixture.control.next_deadline(), Some(Mono(1_000 + LOCK_IDLE_MS)));
    fixture.now = Mono(1_000 + LOCK_IDLE_MS);
    assert_eq!(fixture.deadline(), []);
    assert_eq!((fixture.control.next_deadline(), fixture.control.held_by(TUNER)), (None, None));
}

#[test]
fn a_client_that_reconnects_keeps_its_stream_and_its_lock() {
    let mut fixture = streaming();
    fixture.control.closed(Mono(1_000), ConnectionId(1));
    fixture.now = Mono(3_000);
    let again = by(2, "192.0.2.20:40009");
    fixture.ask(&again, ControlRequest::Get { name: "/tuner0/status" }).unwrap();
    assert_eq!(fixture.control.next_deadline(), None);
    // Somebody else's question says nothing.
    let mut fixture = streaming();
    fixture.control.closed(Mono(1_000), ConnectionId(1));
    fixture.ask(&two(), ControlRequest::Get { name: "/tuner0/status" }).unwrap();
    assert!(fixture.control.next_deadline().is_some());
}

#[test]
fn keepalives_keep_stream_and_lock() {
    let mut fixture = streaming();
    fixture.control.closed(Mono(0), ConnectionId(1));
    let from = "192.0.2.20:5000".parse().unwrap();
    for second in 1..100 {
        fixture.now = Mono(second * 1_000);
        assert!(fixture.control.keepalive(fixture.now, from, 5));
        assert_eq!(fixture.deadline(), []);
    }
    // From elsewhere, or with another key, they are nobody's.
    for (from, key) in [("192.0.2.20:5001", 5), ("192.0.2.21:5000", 5), ("192.0.2.20:5000", 6), ("192.0.2.20:5000", 0)]
    {
        assert!(!fixture.control.keepalive(fixture.now, from.parse().unwrap(), key));
    }
    fixture.now = Mono(99_000 + ORPHAN_MS);
    assert_eq!(fixture.deadline(), [STOP]);
    // Connected, but the receiver died.
    let mut fixture = streaming();
    assert!(fixture.control.keepalive(Mono(1_000), "[::ffff:192.0.2.20]:5000".parse().unwrap(), 5));
    fixture.now = Mono(1_000 + KEEPALIVE_MS);
    assert_eq!(fixture.deadline(), [STOP]);
    assert!(fixture.get("/tuner0/debug").ends_with(" stop=2\n"));
    assert_eq!(fixture.get("/tuner0/lockkey"), "192.0.2.20", "its owner is still connected");
}

#[test]
fn a_machine_that_refuses_gets_no_more() {
    let mut fixture = streaming();
    for at in [0, 600, 1_200] {
        assert_eq!(fixture.deadline(), []);
        fixture.now = Mono(at);
        fixture.control.refused(fixture.now, TUNER);
    }
    assert_eq!(fixture.control.next_deadline(), Some(Mono(1_200)));
    assert_eq!(fixture.deadline(), [STOP]);
    assert!(fixture.get("/tuner0/debug").ends_with(" stop=4\n"));
    fixture.must(&one(), "/tuner0/target", "rtp://192.0.2.20:5001", Some(5));
    assert!(fixture.get("/tuner0/debug").ends_with(" stop=0\n"));
    fixture.control.refused(Mono(0), SlotIndex(9));
}

#[test]
fn what_the_engine_gives_up_is_no_target_any_more() {
    let mut fixture = streaming();
    assert!(matches!(fixture.control.wanted(TUNER), Some(Play { channel: ChannelId(100), .. })));
    fixture.control.ended(TUNER);
    assert_eq!((fixture.control.wanted(TUNER), fixture.get("/tuner0/target")), (None, "none"));
    assert!(fixture.get("/tuner0/debug").ends_with(" stop=1\n"));
    assert!(fixture.get("/tuner0/status").contains("ss=100"), "it can be asked for again");
}

#[test]
fn targets_are_the_askers_own_or_allowed_groups() {
    let mut fixture = Fixture::new();
    for target in ["udp://192.0.2.21:5000", "rtp://0.0.0.0:5000", "udp://239.1.1.1:5000 ttl=5"] {
        let refused = fixture.set(&one(), "/tuner0/target", target, None);
        assert_eq!(refused, Err("ERROR: getset value is not allowed"));
    }
    fixture.must(&one(), "/tuner0/channel", "auto:57000000", None);
    let Change::Play(play) = fixture.must(&one(), "/tuner0/target", "rtp://239.1.1.1:5000 ttl=4", None) else {
        panic!("{:?}", fixture.last);
    };
    assert_eq!(play.target.ttl, Some(4));
    fixture.control.closed(Mono(0), ConnectionId(1));
    assert_eq!(fixture.control.next_deadline(), None, "groups do not answer");
}

// ---- Lineups ------------------------------------------------------------------------------------------------------

#[test]
fn a_channel_may_be_set_before_the_lineup_is_there() {
    let mut fixture = Fixture::new();
    let lineup = fixture.lineup.take();
    fixture.must(&one(), "/tuner0/channel", "auto:57000000", None);
    fixture.must(&one(), "/tuner0/target", "udp://192.0.2.20:5000", None);
    assert!(fixture.get("/tuner0/status").contains(" lock=none ss=0 "));
    let early = fixture.set(&one(), "/tuner0/vchannel", "1.1", None);
    assert_eq!(early, Err("ERROR: lineup is still loading"));
    fixture.lineup = lineup;
    let mut changes = Changes::new();
    fixture.control.new_lineup(fixture.lineup.as_ref().unwrap(), &mut changes);
    assert_eq!(changes.as_slice(), [play(100, "udp://192.0.2.20:5000")]);
    assert!(fixture.get("/tuner0/status").contains(" lock=8vsb ss=100 "));
}

#[test]
fn what_plays_goes_on_when_the_lineup_changes() {
    let mut fixture = streaming();
    let renew = |fixture: &mut Fixture, channels: Vec<Channel>| {
        let mut changes = Changes::new();
        let lineup = Lineup::new(channels).unwrap();
        fixture.control.new_lineup(&lineup, &mut changes);
        fixture.lineup = Some(lineup);
        changes.to_vec()
    };
    // It moves to another frequency: it still plays, and says so.
    let moved = vec![channel(7, "7", "x"), channel(100, "1.1", "y")];
    assert_eq!(renew(&mut fixture, moved), []);
    assert!(fixture.get("/tuner0/status").starts_with("ch=auto:57000000 lock=8vsb ss=100 "));
    // It is no more: what stands at its frequency now takes its place, or nothing does.
    assert_eq!(renew(&mut fixture, vec![channel(7, "7", "x")]), [play(7, "rtp://192.0.2.20:5000")]);
    assert_eq!(renew(&mut fixture, vec![]), [STOP]);
    assert!(fixture.get("/tuner0/status").starts_with("ch=auto:57000000 lock=none ss=0 "));
}

// ---- All at once --------------------------------------------------------------------------------------------------

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// Clients that do what they want, in any order: whoever follows the changes always plays what is wanted, and nobody
/// gets past a lock.
#[test]
fn whoever_follows_the_changes_plays_what_is_wanted() {
    const NAMES: &[&str] = &["channel", "vchannel", "program", "filter", "target", "lockkey", "channelmap", "status"];
    const VALUES: &[&str] = &[
        "none",
        "auto:57000000",
        "auto:63000000",
        "3",
        "1.1",
        "2.1 transcode=heavy",
        "1",
        "2 transcode=mobile",
        "0x0000-0x0100",
        "udp://192.0.2.20:5000",
        "rtp://192.0.2.21:5000",
        "udp://239.1.1.1:5000",
        "5",
        "6",
        "force",
        "us-bcast",
        "eu-bcast",
        "\u{1F600}",
    ];
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let len = [0, 3, 60, 200][dice.roll(4)];
        let mut fixture = Fixture::of(2, ChannelMap::UsBcast, lineup(len));
        let mut playing: [Option<Play>; 2] = [None; 2];
        let follow = |playing: &mut [Option<Play>; 2], change: Change| match change {
            Change::Play(play) => playing[usize::from(play.tuner.0)] = Some(play),
            Change::Stop { tuner } => {
                assert!(playing[usize::from(tuner.0)].take().is_some(), "nothing to stop");
            }
            Change::Filter { tuner } => assert!(playing[usize::from(tuner.0)].is_some()),
            Change::Nothing | Change::ScanStart | Change::ScanAbort | Change::Restart => {}
        };
        for step in 0..200 {
            fixture.now = fixture.now.plus_ms(dice.roll(4_000) as u64);
            let address = dice.pick(&["192.0.2.20:40000", "192.0.2.21:40000"]);
            let asker = by(dice.roll(6) as u64, address);
            match dice.roll(12) {
                0 => fixture.control.closed(fixture.now, asker.connection),
                1 => {
                    fixture.control.keepalive(fixture.now, "192.0.2.20:5000".parse().unwrap(), 5);
                }
                2 => fixture.control.refused(fixture.now, SlotIndex(u8::try_from(dice.roll(3)).unwrap())),
                3 => {
                    for change in fixture.deadline() {
                        follow(&mut playing, change);
                    }
                    assert!(fixture.control.next_deadline().is_none_or(|at| at > fixture.now));
                }
                4 => {
                    let viewer = (dice.roll(3) == 0).then(|| "192.0.2.30:1".parse().unwrap());
                    let id = ChannelId(100 + u32::try_from(dice.roll(10)).unwrap());
                    fixture.seen[0] = Seen { http: viewer, channel: viewer.map(|_| id), ..Seen::default() };
                }
                5 if dice.roll(4) == 0 => {
                    let lineup = lineup([0, 2, 100][dice.roll(3)]);
                    let mut changes = Changes::new();
                    fixture.control.new_lineup(&lineup, &mut changes);
                    fixture.lineup = Some(lineup);
                    for change in changes {
                        follow(&mut playing, change);
                    }
                }
                _ => {
                    let tuner = dice.roll(3);
                    let name = format!("/tuner{tuner}/{}", dice.pick(NAMES));
                    let value = dice.pick(VALUES);
                    let key = [None, Some(5), Some(6)][dice.roll(3)];
                    let lock = fixture.control.tuners.get(tuner).and_then(|tuner| tuner.lock.as_ref());
                    let locked = lock.is_some_and(|lock| {
                        key != Some(lock.key) && lock.expires_at().is_none_or(|at| at > fixture.now)
                    });
                    let result = fixture.set(&asker, &name, value, key);
                    assert!(!locked || value == "force" || result.is_err(), "seed {seed} step {step} {name}={value}");
                    follow(&mut playing, fixture.last);
                }
            }
            for (index, playing) in (0..).map(SlotIndex).zip(playing) {
                assert_eq!(fixture.control.wanted(index), playing, "seed {seed} step {step}");
            }
            let name = format!("/tuner{}/{}", dice.roll(2), dice.pick(NAMES));
            fixture.get(&name);
            fixture.get(&format!("/tuner{}/streaminfo", dice.roll(2)));
        }
    }
}

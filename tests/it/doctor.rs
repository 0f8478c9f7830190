//! The doctor: what is well passes, and each fault makes the check fail that is about it, with advice that helps.
//!
//! At stake: who trusts the doctor and reads "all is well", or follows his advice, must not be misled. Tried with a box
//! and the fake FFmpeg, once whole, and once for each thing that can be broken on the loopback.

use crate::kit::fakeff::Fake;
use crate::kit::{Daemon, Setup, TUNERD, http, inside, media, run, wait_until};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

const FOUR: [(&str, &str); 4] = [("one", "live"), ("two", "live"), ("three", "live"), ("four", "live")];

/// A box as it should be, as far as the loopback has it: usual ports, four channels, a guide.
fn whole(channels: &[(&str, &str)]) -> (Fake, Setup) {
    let (fake, mut setup) = Fake::setup(channels);
    setup.set("network", "page_port = 80");
    let mut guide = "<tv>".to_owned();
    for (name, _) in channels {
        write!(guide, "<channel id=\"{name}\"><display-name>{name}</display-name></channel>").unwrap();
    }
    let today = run("date", &["-u", "+%Y%m%d"]).1;
    for (name, _) in channels {
        write!(
            guide,
            "<programme channel=\"{name}\" start=\"{0}000000 +0000\" stop=\"{0}235900 +0000\">",
            today.trim()
        )
        .unwrap();
        guide += "<title>All day</title></programme>";
    }
    let guide = setup.folder.write("guide.xml", guide + "</tv>");
    setup.set("guide", &format!("sources = [{:?}]", guide.to_str().unwrap()));
    (fake, setup)
}

fn get(daemon: &Daemon, port: u16, target: &str) -> http::Answer {
    http::get(daemon.address(), port, target)
}

fn start(setup: Setup, port: u16) -> Daemon {
    let daemon = setup.start();
    wait_until("there are channels", Duration::from_secs(20), || get(&daemon, port, "/lineup.json").status == 200);
    daemon
}

fn wait_for_guide(daemon: &Daemon, port: u16) {
    wait_until("there is a guide", Duration::from_secs(20), || {
        let guide = get(daemon, port, "/xmltv.xml");
        guide.status == 200 && guide.text().contains("All day")
    });
}

fn begin(daemon: &Daemon, port: u16) -> u16 {
    let address = daemon.address();
    let head =
        format!("POST /api/v1/doctor HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    http::ask(address, port, &head).status
}

fn report(daemon: &Daemon, port: u16) -> Value {
    serde_json::from_slice(&get(daemon, port, "/api/v1/doctor").body).unwrap()
}

/// Has the box examined, and gives all checks.
fn examine(daemon: &Daemon, port: u16) -> Findings {
    assert_eq!(begin(daemon, port), 202);
    let mut last = Value::Null;
    wait_until("the doctor has seen everything", Duration::from_secs(100), || {
        last = report(daemon, port);
        last["state"] == "done"
    });
    assert_eq!(last["checks"].as_array().unwrap().len() as u64, last["checks_len"].as_u64().unwrap());
    Findings(last["checks"].as_array().unwrap().clone())
}

struct Findings(Vec<Value>);

impl Findings {
    /// The ids of all checks that ended so.
    fn all(&self, outcome: &str) -> Vec<&str> {
        let found = self.0.iter().filter(|check| check["outcome"] == outcome);
        found.map(|check| check["id"].as_str().unwrap()).collect()
    }

    fn of(&self, id: &str) -> (&str, &str, &str) {
        let check = self.0.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("{id} is there"));
        let text = |name: &str| check[name].as_str().unwrap_or_default();
        (text("outcome"), text("detail"), text("fix"))
    }

    /// The one check that failed, and what it says.
    fn only(&self, id: &str) -> (&str, &str) {
        assert_eq!(self.all("fail"), [id], "{:#?}", self.0);
        let (_, detail, fix) = self.of(id);
        (detail, fix)
    }
}

/// What cannot be tried where nobody else is, or was switched off by the tests' setup.
const NOT_HERE: [&str; 3] = ["plex-ssdp", "channels-find", "vlc-name"];

#[test]
fn an_examination_that_is_stopped_leaves_the_box_at_once_and_can_be_begun_again() {
    let (_fake, setup) = whole(&FOUR);
    let daemon = start(setup, 80);
    let address = daemon.address();
    let stop = || {
        let head = format!("DELETE /api/v1/doctor HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        http::ask(address, 80, &head).status
    };
    assert_eq!((stop(), report(&daemon, 80)["state"].clone()), (204, "none".into()), "there is none");
    for _ in 0..2 {
        assert_eq!(begin(&daemon, 80), 202);
        let watches = || {
            let status: Value = serde_json::from_slice(&get(&daemon, 80, "/api/v1/status").body).unwrap();
            status["tuners"].as_array().unwrap().iter().any(|tuner| tuner["viewers"] != serde_json::json!([]))
        };
        wait_until("he watches", Duration::from_secs(30), watches);
        assert_eq!(stop(), 204);
        let report = report(&daemon, 80);
        assert_eq!(report["state"], "stopped");
        let checks_len = report["checks"].as_array().unwrap().len() as u64;
        assert!(checks_len > 0 && checks_len < report["checks_len"].as_u64().unwrap(), "{report}");
        wait_until("nobody watches", Duration::from_secs(3), || !watches());
    }
}

#[test]
fn a_whole_box_passes_and_is_left_as_it_was() {
    let (fake, setup) = whole(&FOUR);
    let daemon = start(setup, 80);
    wait_for_guide(&daemon, 80);
    assert_eq!(report(&daemon, 80)["state"], "none");
    let findings = examine(&daemon, 80);
    assert_eq!(findings.all("fail"), [""; 0], "{:#?}", findings.0);
    assert_eq!(findings.all("skip"), NOT_HERE, "{:#?}", findings.0);
    assert_eq!(findings.all("pass").len() + NOT_HERE.len(), findings.0.len());
    assert!(
        fake.log().iter().filter(|line| line.event == "start").count() <= 8,
        "it starts no more than viewers would"
    );
    wait_until("nothing plays any more", Duration::from_secs(15), || daemon.children().is_empty());
}

#[test]
fn one_examination_at_a_time_and_none_for_the_page_of_somebody_else() {
    let (_fake, setup) = whole(&FOUR);
    let daemon = start(setup, 80);
    assert_eq!((begin(&daemon, 80), begin(&daemon, 80)), (202, 409));
    wait_until("it can be seen how far it is", Duration::from_secs(20), || {
        let report = report(&daemon, 80);
        let len = report["checks"].as_array().unwrap().len() as u64;
        report["state"] == "running" && (1..report["checks_len"].as_u64().unwrap()).contains(&len)
    });
    let foreign =
        "POST /api/v1/doctor HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(http::ask(daemon.address(), 80, foreign).status, 403);
}

#[test]
fn a_box_without_ffmpeg_is_told_to_install_it() {
    let (_fake, mut setup) = whole(&FOUR);
    setup.set("ffmpeg", "path = \"/nowhere/ffmpeg\"");
    let daemon = start(setup, 80);
    wait_for_guide(&daemon, 80);
    let findings = examine(&daemon, 80);
    let (detail, fix) = findings.only("box-ready");
    assert!(detail.contains("FFmpeg is missing") && fix.contains("apt install ffmpeg"), "{detail}: {fix}");
    assert_eq!(findings.of("plex-zap").0, "skip");
    assert!(findings.of("channels-patience").1.contains("Is ready to play"), "{:?}", findings.of("channels-patience"));
}

#[test]
fn without_a_guide_only_what_is_on_is_missed() {
    let (_fake, mut setup) = Fake::setup(&FOUR);
    setup.set("network", "page_port = 80");
    let daemon = start(setup, 80);
    wait_until("there is a guide", Duration::from_secs(20), || get(&daemon, 80, "/xmltv.xml").status == 200);
    let findings = examine(&daemon, 80);
    let (detail, fix) = findings.only("plex-programmes");
    assert!(detail.contains("no programme is known") && fix.contains("XMLTV"), "{detail}: {fix}");
}

#[test]
fn a_person_who_watches_keeps_his_tuner_and_the_doctor_takes_what_is_left() {
    for slots in [1, 2] {
        let (fake, mut setup) = whole(&FOUR);
        setup.set("slots", &format!("count = {slots}"));
        let daemon = start(setup, 80);
        wait_for_guide(&daemon, 80);
        let (answer, mut viewer) = http::open(daemon.address(), 5004, "/auto/v4");
        assert_eq!(answer.status, 200);
        let findings = examine(&daemon, 80);
        assert_eq!(findings.all("fail"), [""; 0], "{slots}: {:#?}", findings.0);
        let (patience, busy) = (findings.of("channels-patience"), findings.of("kodi-busy"));
        if slots == 1 {
            assert!(patience.0 == "skip" && patience.1.contains("people who watch"), "{patience:?}");
            assert!(busy.0 == "pass" && busy.1.contains("805"), "{busy:?}");
        } else {
            assert_eq!((patience.0, busy.0), ("pass", "pass"), "{patience:?} {busy:?}");
            assert_eq!(findings.of("plex-zap").0, "pass", "{:?}", findings.of("plex-zap"));
        }
        assert_eq!(fake.starts("four").len(), 1, "he was not disturbed");
        assert!(media::read_for(&mut viewer, Duration::from_millis(500)).len() > 188);
    }
}

#[test]
fn a_dead_source_is_the_subscriptions_fault_and_not_the_boxs() {
    let (_fake, setup) =
        whole(&[("dead", "exit_after=0, exit_code=1"), ("two", "live"), ("three", "live"), ("four", "live")]);
    let daemon = start(setup, 80);
    wait_for_guide(&daemon, 80);
    let findings = examine(&daemon, 80);
    let (detail, fix) = findings.only("source-1");
    assert!(detail.contains("channel 1") && fix.contains("subscription has expired"), "{detail}: {fix}");
    assert!(findings.of("channels-patience").1.contains("channel 2"), "{:?}", findings.of("channels-patience"));
}

#[test]
fn nothing_but_dead_sources_fails_what_plays_and_asks_no_more() {
    let (_fake, setup) = whole(&[("one", "silent"), ("two", "silent")]);
    let daemon = start(setup, 80);
    wait_for_guide(&daemon, 80);
    let findings = examine(&daemon, 80);
    assert_eq!(findings.all("fail"), ["channels-patience", "source-1"], "{:#?}", findings.0);
    assert!(findings.of("channels-patience").2.contains("Try now"), "{:?}", findings.of("channels-patience"));
    assert_eq!(findings.of("plex-reopen").0, "skip");
}

#[test]
fn a_box_that_cannot_be_found_says_how_it_can() {
    let (_fake, mut setup) = whole(&FOUR);
    setup.set("network", "discovery = false");
    let daemon = start(setup, 80);
    wait_for_guide(&daemon, 80);
    let findings = examine(&daemon, 80);
    assert_eq!(findings.all("fail"), ["plex-find", "kodi-find", "channels-find"], "{:#?}", findings.0);
    assert!(findings.of("plex-find").2.contains("discovery = true"));
    assert_eq!(findings.of("jellyfin-find").0, "skip");
    // From outside nobody knows the settings: nobody answers, and that is told.
    let (status, said) = run(TUNERD, &["doctor", "--address", &daemon.address().to_string()]);
    assert!(status.code() == Some(1) && said.contains("-> Clients cannot find the box"), "{status}: {said}");
    assert!(said.contains("fail  Plex               Finds the box"), "{said}");
}

#[test]
fn ports_that_others_hold_are_named_by_those_who_need_them() {
    let (_fake, mut setup) = whole(&FOUR);
    setup.set("network", "page_port = 8080").default_page_port();
    setup.set("network", "stream_port = 5014");
    let (_page, _control) = (hold(&setup, 80), hold(&setup, 65_001));
    let daemon = start(setup, 8080);
    wait_for_guide(&daemon, 8080);
    let findings = examine(&daemon, 8080);
    assert_eq!(findings.all("fail"), ["jellyfin-find", "channels-control", "channels-ports"], "{:#?}", findings.0);
    assert!(findings.of("jellyfin-find").2.contains("Free port 80"));
    let (_, detail, _) = findings.of("channels-ports");
    assert!(detail.contains("page is on port 8080") && detail.contains("port 5014"), "{detail}");
}

/// Another program on a port: it hangs up on everybody.
fn hold(setup: &Setup, port: u16) -> Arc<TcpListener> {
    let listener = Arc::new(TcpListener::bind((setup.address, port)).unwrap());
    let theirs = Arc::downgrade(&listener);
    std::thread::spawn(move || while theirs.upgrade().is_some_and(|listener| listener.accept().is_ok()) {});
    listener
}

#[test]
fn more_channels_than_plex_takes_fail_for_plex_alone() {
    let names: Vec<String> = (1..=481).map(|number| format!("channel {number}")).collect();
    let channels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "live")).collect();
    let (_fake, setup) = whole(&channels);
    let daemon = start(setup, 80);
    wait_for_guide(&daemon, 80);
    let findings = examine(&daemon, 80);
    let (detail, fix) = findings.only("plex-limit");
    assert!(detail.contains("481") && fix.contains("Tick fewer groups"), "{detail}: {fix}");
}

#[test]
fn from_a_shell_the_same_is_a_table() {
    let (_fake, setup) = whole(&FOUR);
    let daemon = start(setup, 80);
    wait_for_guide(&daemon, 80);
    let address = daemon.address().to_string();
    let (status, said) = run(TUNERD, &["doctor", "--address", &address]);
    assert!(status.success() && said.contains(" 0 failed,"), "{status}: {said}");
    assert!(said.contains("pass  Plex               Zaps through four channels"), "{said}");
    drop(daemon);
    let (status, said) = run(TUNERD, &["doctor", "--address", &address]);
    assert!(status.code() == Some(64) && said.contains("no box answers at"), "{status}: {said}");
    assert_eq!(run(TUNERD, &["doctor", "--adress", &address]).0.code(), Some(64));
}

#[test]
fn in_a_network_the_box_is_found_by_calling_everybody_and_by_name() {
    let name = "doctor::in_a_network_the_box_is_found_by_calling_everybody_and_by_name";
    if !inside(&["--net", "--mount"], name) {
        return;
    }
    let (status, said) = run(
        "sh",
        &[
            "-ec",
            "ip link set lo up; ip link add lan type veth peer name other; ip link set other up
          ip addr add 192.168.77.1/24 brd + dev lan; ip link set lan up; ip route add default via 192.168.77.2",
        ],
    );
    assert!(status.success(), "{said}");
    let (_fake, mut setup) = whole(&FOUR);
    setup.set("network", "address = \"0.0.0.0\"").set("network", "ssdp = true").set("network", "mdns = true");
    setup.address = Ipv4Addr::new(192, 168, 77, 1);
    let daemon = start(setup, 80);
    wait_for_guide(&daemon, 80);
    let mut findings = examine(&daemon, 80);
    // A machine that is busy with other tests may answer a datagram too late; what does not work never does.
    for _ in 0..2 {
        if findings.all("pass").len() < findings.0.len() {
            findings = examine(&daemon, 80);
        }
    }
    assert_eq!(findings.all("pass").len(), findings.0.len(), "{:#?}", findings.0);
    assert!(findings.of("vlc-name").1.contains("192.168.77.1"));
}

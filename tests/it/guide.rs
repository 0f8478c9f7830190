//! Guides as people meet them: a playlist that names one, a provider that fails, a document that means harm.

use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Folder, Setup, http, run, wait_until};
use pure::model::lineup::{Channel, ChannelId, Lineup};
use serde_json::json;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// Debian's package `xmltv-util` has it.
const DTD: &str = "/usr/share/xmltv/xmltv.dtd";

/// Now, as XMLTV writes it, and some hours later.
fn at(hours: i64) -> String {
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
    let hour = now.unwrap() / 3_600 * 3_600 + hours * 3_600;
    let text = pure::time::Wall(hour).to_string();
    text.chars().filter(char::is_ascii_digit).collect::<String>() + " +0000"
}

fn programme(channel: &str, from: i64, to: i64, inside: &str) -> String {
    let (from, to) = (at(from), at(to));
    format!("<programme start=\"{from}\" stop=\"{to}\" channel=\"{channel}\">{inside}</programme>\n")
}

fn guide() -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE tv SYSTEM \"xmltv.dtd\">\n<tv>\n".to_owned();
    text += "<channel id=\"one.de\"><display-name>The One</display-name></channel>\n";
    text += "<channel id=\"two.de\"><display-name>Zwei HD</display-name><icon src=\"http://h/two.png\"/></channel>\n";
    text += "<channel id=\"other.de\"><display-name>Other</display-name></channel>\n";
    text += &programme("one.de", 0, 1, "<title>Now &amp; here</title><desc>D</desc>");
    text += &programme("one.de", 1, 2, "<desc>Without a title</desc>");
    text += &programme("two.de", 0, 2, "<title>Long</title><episode-num system=\"onscreen\">S1E2</episode-num>");
    text += &programme("two.de", 1, 3, "<title>Overlapping</title>");
    text += &programme("other.de", 0, 1, "<title>Elsewhere</title>");
    text + "</tv>\n"
}

const CHANNELS: &str = "#EXTINF:-1 tvg-id=\"one.de\",First\nhttp://h/1\n#EXTINF:-1,DE: Zwei FHD\nhttp://h/2\n\
    #EXTINF:-1,Three\nhttp://h/3\n";

fn playlist(guide: &str) -> String {
    format!("#EXTM3U x-tvg-url=\"{guide}\"\n{CHANNELS}")
}

fn valid(guide: &[u8]) {
    let folder = Folder::new();
    let file = folder.write("guide.xml", guide);
    assert_eq!(run("xmllint", &["--noout", "--dtdvalid", DTD, file.to_str().unwrap()]).1, "");
}

fn json(daemon: &Daemon, target: &str) -> serde_json::Value {
    serde_json::from_slice(&daemon.get(target).body).unwrap()
}

fn post(daemon: &Daemon, target: &str, body: &serde_json::Value) -> u16 {
    daemon.call(target, body).status
}

/// What the owner says of the programmes of a channel.
fn choose(daemon: &Daemon, number: &str, choice: &serde_json::Value) -> u16 {
    let found = json(daemon, &format!("/api/v1/channels?search={number}"));
    post(daemon, &format!("PUT /api/v1/channels/{}/guide", found["items"][0]["id"]), choice)
}

fn refresh(daemon: &Daemon) {
    assert_eq!(post(daemon, "/api/v1/guides/refresh", &json!(null)), 204);
}

fn wait_for_programmes(daemon: &Daemon, text: &str) {
    wait_until(&format!("the guide says {text:?}"), LIMIT, || {
        let answer = daemon.get("/xmltv.xml");
        answer.status == 200 && answer.text().contains(text)
    });
}

/// Title and times of the programmes of a channel.
fn shown(daemon: &Daemon, number: &str) -> Vec<(String, String, String)> {
    let answer = daemon.get("/xmltv.xml");
    let between = |text: &str, from: &str, to: &str| text.split(from).nth(1)?.split(to).next().map(str::to_owned);
    let programmes = answer
        .text()
        .split("<programme ")
        .skip(1)
        .filter(|text| between(text, "channel=\"", "\"").as_deref() == Some(number));
    programmes
        .map(|text| {
            let title = between(text, "<title", "</title>").unwrap();
            let title = title.split_once('>').unwrap().1.to_owned();
            (title, between(text, "start=\"", "\"").unwrap(), between(text, "stop=\"", "\"").unwrap())
        })
        .collect()
}

#[test]
fn a_playlist_names_a_guide_and_clients_get_its_programmes() {
    let source = Source::document(guide());
    let mut setup = Setup::new();
    setup.playlist(playlist(&source.url("/guide.xml")));
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    let answer = daemon.get("/xmltv.xml");
    valid(&answer.body);
    assert_eq!(
        shown(&daemon, "1"),
        [("Now &amp; here".to_owned(), at(0), at(1)), ("First".to_owned(), at(1), at(2))],
        "what has no title is called as its channel"
    );
    assert_eq!(shown(&daemon, "2"), [("Long".to_owned(), at(0), at(1)), ("Overlapping".to_owned(), at(1), at(3))]);
    assert!(shown(&daemon, "3").iter().all(|(title, ..)| title == "Three"), "its name, where nothing is known");
    assert!(answer.text().contains("http://h/two.png") && !answer.text().contains("Elsewhere"));

    let packed = daemon.get("/xmltv.xml.gz");
    assert_eq!((packed.status, packed.header("content-type")), (200, Some("application/gzip")));
    let folder = Folder::new();
    let file = folder.write("guide.xml.gz", &packed.body);
    assert_eq!(run("gzip", &["-dc", file.to_str().unwrap()]).1.as_bytes(), answer.body);
    let address = daemon.address();
    let head =
        format!("GET /xmltv.xml HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    let encoded = http::ask(address, 8080, &head);
    assert_eq!((encoded.header("content-encoding"), &encoded.body), (Some("gzip"), &packed.body));

    let matches = &json(&daemon, "/api/v1/guides/matches")["items"];
    let rows: Vec<String> = matches
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {} {}",
                row["number"], row["guide_channel"], row["reason"], row["confidence"], row["now_airing"]
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            r#""1" "one.de" "same-id" 100 "Now & here""#,
            r#""2" "two.de" "similar-name" 70 "Long""#,
            r#""3" null null 0 null"#,
        ]
    );
    let guides = json(&daemon, "/api/v1/guides");
    assert_eq!((&guides["guides"][0]["named_by"], &guides["guides"][0]["channels"]), (&"playlist".into(), &3.into()));
    assert_eq!((&guides["served"]["matched"], &guides["served"]["without_title"]), (&2.into(), &1.into()));
    let metrics = daemon.get("/metrics");
    for line in [
        "tunerd_guide_programmes_without{what=\"title\"} 1",
        "tunerd_guide_programmes_without{what=\"description\"} 2",
        "tunerd_guide_programmes_without{what=\"episode\"} 3",
        "tunerd_guide_validation_errors 0",
        "tunerd_guide_lineup_mismatches 0",
        "tunerd_guide_loads_total 1",
    ] {
        assert!(metrics.text().contains(line), "{line}\n{}", metrics.text());
    }

    let m3u = daemon.get("/playlist.m3u");
    let base = format!("http://{address}:8080");
    assert!(m3u.text().starts_with(&format!("#EXTM3U url-tvg=\"{base}/xmltv.xml\" x-tvg-url=\"{base}/xmltv.xml\"\n")));
    assert!(m3u.text().contains("#EXTINF:-1 tvg-id=\"1\" tvg-chno=\"1\" tvg-name=\"First\",First\n"), "{}", m3u.text());
}

#[test]
fn logos_are_at_the_address_that_the_client_uses() {
    // At stake: a provider's server on plain HTTP that no client reaches, and a box that is known by several addresses.
    let source = Source::document(guide());
    let mut setup = Setup::new();
    let logos = [("one", "http://logos.example/1.png"), ("two", "https://logos.example/2.png"), ("three", "")];
    let entries = logos.iter().fold(String::new(), |all, (name, logo)| {
        format!("{all}#EXTINF:-1 tvg-id=\"one.de\" tvg-logo=\"{logo}\",{name} http://tunerd.invalid\nhttp://h/{name}\n")
    });
    setup.playlist(format!("#EXTM3U x-tvg-url=\"{}\"\n{entries}", source.url("/guide.xml")));
    setup.set("access", "names = [\"192.168.100.200\"]");
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    let address = daemon.address();
    let ask = |host: &str, target: &str, more: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
        let answer = http::ask(address, 8080, &head);
        assert_eq!(answer.status, 200);
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        assert_eq!(length, answer.body.len());
        answer.body
    };
    let folder = Folder::new();
    // As itself, and as somebody in between calls it, whose address is longer.
    for (host, base) in [
        (format!("{address}:8080"), format!("http://{address}:8080")),
        ("192.168.100.200:18080".to_owned(), "http://192.168.100.200:18080".to_owned()),
    ] {
        let plain = ask(&host, "/xmltv.xml", "");
        valid(&plain);
        let text = String::from_utf8(plain.clone()).unwrap();
        let icons: Vec<&str> = text.split("<icon src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let path = icons[0].strip_prefix(&base).unwrap_or_else(|| panic!("{icons:?}"));
        assert!(path.starts_with("/logos/1/"), "{icons:?}");
        assert_eq!(icons[1..], ["https://logos.example/2.png"], "what clients can fetch themselves they fetch");
        // The playlist says the same.
        let playlist = String::from_utf8(ask(&host, "/playlist.m3u", "")).unwrap();
        assert!(playlist.contains(&format!("tvg-logo=\"{}\"", icons[0])), "{playlist}");
        // Packed, it is the same, to the strictest reader.
        let packed = ask(&host, "/xmltv.xml.gz", "");
        assert_eq!(packed, ask(&host, "/xmltv.xml", "Accept-Encoding: gzip\r\n"));
        let file = folder.write("guide.xml.gz", &packed);
        assert_eq!(run("gzip", &["-tv", file.to_str().unwrap()]).1.split_whitespace().last(), Some("OK"));
        assert_eq!(run("gzip", &["-dc", file.to_str().unwrap()]).1.as_bytes(), plain);
    }
}

#[test]
fn a_playlist_moves_programmes_unless_the_owner_says_by_how_much() {
    let source = Source::document(guide());
    let mut setup = Setup::new();
    setup.playlist(
        playlist(&source.url("/guide.xml")).replace("tvg-id=\"one.de\"", "tvg-id=\"one.de\" tvg-shift=\"+1.5\""),
    );
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    let starts = |minutes: &str| {
        wait_until(&format!("its first programme starts {minutes} later"), LIMIT, || {
            shown(&daemon, "1").first().is_some_and(|(title, from, _)| title.contains("Now") && from == minutes)
        });
    };
    let half_past = |hours: i64| at(hours).replace("0000 +0000", "3000 +0000");
    let said = |by: Option<&str>, minutes: i64| {
        let matches = &json(&daemon, "/api/v1/guides/matches")["items"];
        let by = by.map_or(serde_json::Value::Null, Into::into);
        assert_eq!((&matches[0]["offset_said_by"], &matches[0]["offset_minutes"]), (&by, &minutes.into()));
        assert_eq!(matches[1]["offset_said_by"], serde_json::Value::Null);
    };
    starts(&half_past(1));
    said(Some("playlist"), 90);
    assert_eq!(shown(&daemon, "2")[0].1, at(0), "what says nothing is not moved");
    // Nothing is something when the owner says it; and what he says of the guide comes on top.
    assert_eq!(choose(&daemon, "1", &json!({"offset_minutes": 0})), 204);
    starts(&at(0));
    said(Some("owner"), 0);
    assert_eq!(post(&daemon, "PATCH /api/v1/guides/1", &json!({"offset_minutes": 60})), 204);
    starts(&at(1));
    assert_eq!(choose(&daemon, "1", &json!({"offset_minutes": null})), 204);
    starts(&half_past(2));
    said(Some("playlist"), 90);
}

#[test]
fn the_page_is_told_what_is_on() {
    let source = Source::document(guide());
    let mut setup = Setup::new();
    setup.playlist(playlist(&source.url("/guide.xml")));
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    let ask = |query: &str| json(&daemon, &format!("/api/v1/programmes{query}"));
    let first = &ask("?limit=1");
    assert_eq!((&first["items"][0]["number"], first["items"].as_array().unwrap().len()), (&"1".into(), 1), "{first}");
    let titles = |row: &serde_json::Value| -> Vec<String> {
        row["programmes"].as_array().unwrap().iter().map(|one| one["title"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(titles(&first["items"][0])[0], "Now & here");
    let rest = ask(&format!("?after={}", first["next"]));
    assert_eq!((&rest["items"][0]["number"], &rest["next"]), (&"2".into(), &serde_json::Value::Null));
    let second = rest["items"][0]["programmes"].as_array().unwrap();
    assert_eq!(titles(&rest["items"][0]), ["Long", "Overlapping"]);
    assert_eq!(second[0]["stop"], second[1]["start"], "as clients are told, without overlaps");
    assert!(titles(&rest["items"][1]).is_empty(), "nobody knows it");
    assert_eq!(choose(&daemon, "2", &json!({"offset_minutes": 600})), 204);
    assert!(titles(&ask("?limit=2")["items"][1]).is_empty(), "it comes ten hours later");
    for (query, field) in [
        ("?from=now", "from"),
        ("?from=2026-02-30T00:00:00Z", "from"),
        ("?from=2026-11-21T10:00:00Z&to=2026-11-21T10:00:00Z", "to"),
        ("?from=2026-11-21T10:00:00Z&to=2026-11-23T10:00:00Z", "to"),
        ("?limit=101", "limit"),
    ] {
        let answer = daemon.get(&format!("/api/v1/programmes{query}"));
        let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &said["field"]), (422, &field.into()), "{query}: {said}");
    }
}

#[test]
fn what_the_owner_chose_outlives_refresh_and_restart() {
    // At stake: hours of matching by hand. Each choice is made, the guide changes, the daemon starts anew.
    let source = Source::document(guide());
    let mut setup = Setup::new();
    setup.playlist(playlist(&source.url("/guide.xml")));
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    let offered = json(&daemon, "/api/v1/guides/1/channels?search=OTHER");
    assert_eq!(offered[0]["id"], "other.de");
    assert_eq!(offered[0]["now_airing"], "Elsewhere");
    let other = json!({"chosen": "guide", "guide": 1, "guide_channel": "other.de", "offset_minutes": 60});
    for (number, choice, status) in [
        ("3", other, 204),
        ("1", json!({"chosen": "none"}), 204),
        ("1", json!({"guide": 9, "guide_channel": "x"}), 422),
        ("1", json!({"guide": 1, "guide_channel": ""}), 422),
        ("1", json!({"offset_minutes": "x"}), 422),
        ("1", json!({"offset_minutes": 1_441}), 422),
    ] {
        assert_eq!(choose(&daemon, number, &choice), status, "{choice}");
    }
    for (target, body, status) in [
        ("PATCH /api/v1/guides/1", json!({"offset_minutes": -30}), 204),
        ("PATCH /api/v1/guides/1", json!({"offset_minutes": 1_441}), 422),
        ("PATCH /api/v1/guides/9", json!({"offset_minutes": 1}), 404),
        ("PUT /api/v1/channels/999/guide", json!({"chosen": "none"}), 404),
        ("POST /api/v1/guides", json!({"address": "file:///etc/passwd"}), 422),
        ("GET /api/v1/channels/1/guide", json!(null), 405),
    ] {
        assert_eq!(post(&daemon, target, &body), status, "{target}");
    }
    wait_for_programmes(&daemon, "Elsewhere");
    let check = |daemon: &Daemon| {
        let moved = at(0).replace("0000 +0000", "3000 +0000");
        assert_eq!(shown(daemon, "3")[0].1, moved, "an hour later, half an hour earlier");
        assert!(shown(daemon, "1").iter().all(|(title, ..)| title == "First"));
        let matches = &json(daemon, "/api/v1/guides/matches")["items"];
        assert_eq!((&matches[2]["reason"], &matches[2]["chosen"]), (&"owner".into(), &"guide".into()));
        assert_eq!((&matches[0]["guide"], &matches[0]["chosen"]), (&serde_json::Value::Null, &"none".into()));
    };
    check(&daemon);
    // A better match comes up; it is not asked for.
    source.turn(Manner::document(
        guide().replace("</tv>", "<channel id=\"x\"><display-name>Three</display-name></channel></tv>"),
    ));
    let before = source.connections();
    refresh(&daemon);
    wait_until("it was fetched", LIMIT, || {
        source.connections() > before && json(&daemon, "/api/v1/guides")["guides"][0]["channels"] == 4
    });
    check(&daemon);
    let setup = daemon.setup.clone();
    drop(daemon);
    source.turn(Manner::Fixed(Vec::new()));
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Elsewhere");
    check(&daemon);
    assert_eq!(choose(&daemon, "3", &json!({"chosen": "automatic", "offset_minutes": 0})), 204);
    wait_until("it is as it was found", LIMIT, || {
        json(&daemon, "/api/v1/guides/matches")["items"][2]["guide_channel"] == "x"
    });
}

#[test]
fn a_refresh_that_fails_keeps_what_was_there() {
    let source = Source::document(guide());
    let mut setup = Setup::new();
    setup.playlist(playlist(&source.url("/guide.xml")));
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    let good = guide();
    let (half, _) = good.split_at(good.len() / 2);
    for (manner, why) in [
        (Manner::Fixed(Vec::new()), "HTTP"),
        (Manner::Fixed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()), "404"),
        (Manner::document("<html>Login</html>"), "no guide"),
        (Manner::document(half), "middle"),
        (Manner::document(""), "empty"),
        (Manner::document("<tv></tv>"), "no channel"),
        (Manner::document("PK\x03\x04aaaaaaaa"), "ZIP"),
        (Manner::document(b"\x1f\x8b\x08\x00\x00\x00\x00\x00"), "middle"),
    ] {
        source.turn(manner);
        refresh(&daemon);
        wait_until(&format!("the page says {why:?}"), LIMIT, || {
            daemon.problem("guide").is_some_and(|text| text.contains(why) && text.contains("stays"))
        });
        assert!(daemon.get("/xmltv.xml").text().contains("Now &amp; here"), "{why}");
    }
    source.turn(Manner::document(guide().replace("Now &amp; here", "Back again")));
    refresh(&daemon);
    wait_for_programmes(&daemon, "Back again");
    wait_until("the problem is gone", LIMIT, || daemon.problem("guide").is_none());
}

#[test]
fn a_guide_that_did_not_change_is_not_sent_again() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/guide.xml", listener.local_addr().unwrap());
    let heads = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let head = head.join("\n").to_lowercase();
            let has_it = head.contains("if-none-match: \"v1\"") && head.contains("if-modified-since: yesterday");
            heads.lock().unwrap().push(head);
            let body = guide();
            let answer = if has_it {
                "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_owned()
            } else {
                let tags = "ETag: \"v1\"\r\nLast-Modified: yesterday\r\nConnection: close\r\n";
                format!("HTTP/1.1 200 OK\r\n{tags}Content-Length: {}\r\n\r\n{body}", body.len())
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n{CHANNELS}")).set("guide", &format!("sources = [{url:?}]"));
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    assert_eq!(json(&daemon, "/api/v1/guides")["guides"][0]["named_by"], "settings");
    refresh(&daemon);
    wait_until("it was asked again", LIMIT, || asked.lock().unwrap().len() == 2);
    wait_until("that is over", LIMIT, || json(&daemon, "/api/v1/guides")["guides"][0]["in_progress"] == false);
    assert!(asked.lock().unwrap()[1].contains("if-none-match"));
    assert!(daemon.get("/metrics").text().contains("tunerd_guide_loads_total 1\n"));
    assert!(daemon.problem("guide").is_none());
    // What was fetched just now is not fetched again by a new start.
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_guide_that_may_not_be_served_is_none() {
    let source = Source::document(guide());
    let mut setup = Setup::new();
    setup.playlist(playlist(&source.url("/guide.xml"))).set("guide", "require_episode_numbers = true");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    // Placeholders are no episodes of anything; programmes are.
    wait_until("it is refused", LIMIT, || daemon.problem("guide-made").is_some_and(|text| text.contains("episode")));
    assert!(!daemon.get("/xmltv.xml").text().contains("Now &amp; here"), "the one before stays");
    let address = daemon.address();
    for number in ["1", "2", "3"] {
        let head =
            format!("POST /lineup.post?favorite=x{number} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        assert_eq!(http::ask(address, 8080, &head).status, 200);
    }
    let answer = daemon.get("/xmltv.xml");
    assert_eq!(answer.status, 503, "no channels, no guide");
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn a_guide_that_seems_shifted_is_told_of() {
    let day = |later: i64| {
        let programmes =
            (0..24).map(|n| programme("one.de", n + later, n + later + 1, &format!("<title>P{n}</title>")));
        let programmes: Vec<String> = programmes.collect();
        format!("<tv><channel id='one.de'><display-name>First</display-name></channel>{}</tv>", programmes.concat())
    };
    let (right, wrong) = (Source::document(day(0)), Source::document(day(2)));
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n{CHANNELS}"));
    setup.set("guide", &format!("sources = [{:?}, {:?}]", wrong.url("/a"), right.url("/b")));
    let daemon = setup.start();
    let hint = |daemon: &Daemon| json(daemon, "/api/v1/guides")["guides"][0]["hint"].as_str().map(str::to_owned);
    wait_until("there is a hint", LIMIT, || {
        hint(&daemon).is_some_and(|hint| hint.contains("2 h later than those of guide 2"))
    });
    assert_eq!(post(&daemon, "PATCH /api/v1/guides/1", &json!({"offset_minutes": -120})), 204);
    wait_until("it is gone", LIMIT, || hint(&daemon).is_none());
    assert_eq!(shown(&daemon, "1")[0].0, "P0");
}

#[test]
fn a_guide_that_does_not_fit_the_channels_is_not_served() {
    // At stake: Plex maps channels by what the guide lists. The guide's folder becomes read-only, so no new one can be
    // made, and the lineup changes a little, then much.
    let source = Source::document(guide());
    let list = Source::document(playlist(&source.url("/guide.xml")));
    let mut setup = Setup::new();
    let url = list.url("/list.m3u");
    setup.set("lineup", &format!("playlist = {url:?}")).set("guide", "mismatch_percent = 40");
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    // A folder stands where the new one would be written.
    std::fs::create_dir(daemon.setup.state_dir().join("guide/xmltv.xml.new")).unwrap();
    let more = |count: usize| {
        let names = (0..count).map(|n| format!("#EXTINF:-1,More {n}\nhttp://h/m{n}\n"));
        playlist(&source.url("/guide.xml")) + &names.collect::<Vec<String>>().concat()
    };
    list.turn(Manner::document(more(1)));
    daemon.scan();
    let answer = daemon.get("/xmltv.xml");
    assert_eq!(answer.status, 200, "one of four is missing, of which 40 of 100 may");
    assert!(daemon.problem("guide-made").is_some());
    list.turn(Manner::document(more(5)));
    daemon.scan();
    let answer = daemon.get("/xmltv.xml");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("10")));
    assert!(daemon.get("/metrics").text().contains("tunerd_guide_lineup_mismatches 5\n"));
    std::fs::remove_dir(daemon.setup.state_dir().join("guide/xmltv.xml.new")).unwrap();
    wait_until("there is one that fits", Duration::from_secs(90), || daemon.get("/xmltv.xml").status == 200);
}

#[test]
fn a_guide_that_got_much_worse_is_told_of() {
    let source = Source::document(guide());
    let mut setup = Setup::new();
    setup.playlist(playlist(&source.url("/guide.xml")));
    let daemon = setup.start();
    wait_for_programmes(&daemon, "Now &amp; here");
    assert_eq!(daemon.problem("guide-drift"), None);
    source.turn(Manner::document(guide().replace("<title>Long</title>", "").replace("<title>Overlapping</title>", "")));
    refresh(&daemon);
    wait_until("the page warns", LIMIT, || daemon.problem("guide-drift").is_some_and(|text| text.contains("title")));
    source.turn(Manner::document(guide()));
    refresh(&daemon);
    wait_until("and stops", LIMIT, || daemon.problem("guide-drift").is_none());
}

/// A document that is made while it is sent: a head, one part again and again, a tail.
fn endless(head: &'static [u8], part: Vec<u8>, bytes: u64) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/guide.xml", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let start = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", head].concat();
            let mut sent = 0;
            // Whoever hangs up has had enough.
            let mut ok = stream.write_all(&start).is_ok();
            while ok && sent < bytes {
                ok = stream.write_all(&part).is_ok();
                sent += part.len() as u64;
            }
        }
    });
    url
}

fn rss_kib(daemon: &Daemon, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let folder = Folder::new();
    let file = folder.write("packed", content);
    assert!(run("gzip", &["-9", file.to_str().unwrap()]).0.success());
    std::fs::read(folder.path().join("packed.gz")).unwrap()
}

#[test]
fn hostile_guides_take_no_memory_and_leave_the_old_one_alone() {
    // At stake: a provider, or whoever took his name, kills the box with one document. Each one is served in place of a
    // good guide; the good one must still be there, and the memory of the daemon must not have grown beyond 64 MiB.
    const MIB: u64 = 1024 * 1024;
    let laughs: String = (1..10).fold("<!DOCTYPE lolz [<!ENTITY lol0 \"lol\">".to_owned(), |mut text, n| {
        write!(text, "<!ENTITY lol{n} \"{}\">", format!("&lol{};", n - 1).repeat(10)).unwrap();
        text
    });
    let laughs = format!("<?xml version=\"1.0\"?>{laughs}]><tv>&lol9;</tv>");
    // Members of 8 MiB, each of 8 KiB.
    let nothing = vec![b' '; 8 * 1024 * 1024];
    let external = "<!DOCTYPE tv [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><tv>&x;</tv>";
    let crowd: String = "<tv><channel id='one.de'/>".to_owned();
    let line = b"<tv><channel id=\"a\"><display-name>";
    let programmes = programme("one.de", 0, 1, &format!("<desc>{}</desc>", "crowd ".repeat(5_000))).repeat(10);
    let from = at(0);
    let minute = from.get(..10).unwrap();
    let crowded: String = (0..100_000).fold(crowd, |mut text, n| {
        let second = n % 60;
        writeln!(
            text,
            "<programme start=\"{minute}00{second:02} +0000\" channel=\"one.de\"><title>c{n}</title></programme>"
        )
        .unwrap();
        text
    }) + "</tv>";
    for (name, url, why) in [
        ("a billion laughs", keep(Source::document(laughs)), "entities"),
        ("an external entity", keep(Source::document(external)), "entities"),
        ("a depth of a million", endless(b"<tv>", b"<a>".repeat(1_000), 3 * MIB), "deeply"),
        ("ten million attributes", endless(b"<tv ", b"a='1' ".repeat(1_000), 60 * MIB), "too long"),
        ("a tag without end", endless(b"<tv><channel id='", b"x".repeat(4_096), 1_024 * MIB), "too long"),
        ("a line of a gigabyte", endless(line, b"x".repeat(65_536), 1_024 * MIB), "larger than"),
        ("a comment of a gigabyte", endless(b"<tv><!--", b"- ".repeat(32_768), 1_024 * MIB), "larger than"),
        ("ten gigabytes of nothing", endless(gzip(b"<tv>").leak(), gzip(&nothing), 10 * MIB), "200 times"),
        ("a million channels", many_channels(), "channels"),
        ("programmes without end", endless(b"<tv>", programmes.into_bytes(), 1_024 * MIB), "larger than"),
    ] {
        let source = Source::document(guide());
        let mut setup = Setup::new();
        setup.playlist(playlist(&source.url("/guide.xml")));
        let daemon = setup.start();
        wait_for_programmes(&daemon, "Now &amp; here");
        let before = rss_kib(&daemon, "VmRSS:");
        source.turn(Manner::Fixed(
            format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        ));
        refresh(&daemon);
        wait_until(&format!("{name} is refused"), Duration::from_secs(60), || {
            daemon.problem("guide").is_some_and(|text| text.contains(why))
        });
        let most = rss_kib(&daemon, "VmHWM:");
        assert!(most < before + 64 * 1024, "{name}: {before} KiB became {most} KiB");
        assert!(daemon.get("/xmltv.xml").text().contains("Now &amp; here"), "{name}");
    }
    // A crowd in one minute is no attack that must be refused; what comes out is still a guide.
    let source = Source::document(crowded);
    let mut setup = Setup::new();
    setup.playlist(playlist(&source.url("/guide.xml")));
    let daemon = setup.start();
    wait_for_programmes(&daemon, "<title>c59</title>");
    valid(&daemon.get("/xmltv.xml").body);
    assert_eq!(shown(&daemon, "1").len(), 60);
    assert_eq!(json(&daemon, "/api/v1/guides")["guides"][0]["left_out"]["doubled"], 99_940);
}

/// The source serves as long as the test runs.
fn keep(source: Source) -> String {
    let url = source.url("/guide.xml");
    std::mem::forget(source);
    url
}

fn many_channels() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/guide.xml", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let mut text = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<tv>".to_owned();
            for n in 0..1_000_000 {
                write!(text, "<channel id='{n:0200}'/>").unwrap();
                if text.len() > 65_536 {
                    if stream.write_all(text.as_bytes()).is_err() {
                        break;
                    }
                    text.clear();
                }
            }
        }
    });
    url
}

/// A guide of which something is broken, as the dice fall.
fn mutated(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut dice = |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % sides
    };
    let times = [
        "00000000000000 +0000",
        "99991231235959 +0000",
        "20261121",
        "19700101000000 +1400",
        "",
        "yesterday",
        "20261121093000 EST",
        "2026-11-21T09:30:00Z",
    ];
    let texts = [
        "plain",
        "R&amp;B",
        "a & b",
        "&#1;&#xfffe;&#0;x",
        "]]&gt;",
        "&lt;/title&gt;",
        "\u{1}\u{7f}\u{85}",
        "ü📺",
        "<![CDATA[<b>&]]>",
        "",
        " ",
        "&nbsp;",
        "\"'",
        "&#55296;",
    ];
    let elements = [
        "title",
        "sub-title",
        "desc",
        "date",
        "category",
        "icon src='http://h/&quot;'",
        "episode-num system='&lt;'",
        "previously-shown start='&amp;'",
        "premiere",
        "new",
        "country",
        "length units='minutes'",
        "keyword",
        "url",
        "title lang='x y'",
        "rating system='&gt;'",
        "star-rating",
        "credits",
        "image",
        "unknown",
    ];
    let mut text = "<tv><channel id='one.de'><display-name>The One</display-name></channel>".to_owned();
    for _ in 0..dice(12) {
        let hours = i64::try_from(dice(40)).unwrap() - 10;
        let mut time = |hours: i64| if dice(6) == 0 { times[dice(times.len())].to_owned() } else { at(hours) };
        let (start, stop) = (time(hours), time(hours + 1));
        let channel = ["one.de", "two.de", "other", ""][dice(4)];
        write!(text, "<programme start='{start}' stop='{stop}' channel='{channel}'>").unwrap();
        for _ in 0..dice(8) {
            let element = elements[dice(elements.len())];
            let name = element.split(' ').next().unwrap();
            let inside = match name {
                "credits" => {
                    format!("<actor role='&amp;'>{0}</actor><director>{0}</director>", texts[dice(texts.len())])
                }
                "rating" | "star-rating" => format!("<value>{}</value>", texts[dice(texts.len())]),
                _ => texts[dice(texts.len())].to_owned(),
            };
            write!(text, "<{element}>{inside}</{name}>").unwrap();
        }
        text += "</programme>";
    }
    text += "<channel id='two.de'><display-name>Zwei</display-name><icon src='http://h/\"'/></channel>"
        .replace('"', "&quot;")
        .as_str();
    text += "</tv>";
    let mut bytes = text.into_bytes();
    // Every other one is damaged as a document, too.
    for _ in 0..dice(4) {
        let at = dice(bytes.len());
        match dice(4) {
            0 => bytes[at] = u8::try_from(dice(256)).unwrap(),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b"<>&\"'\0\xff/"[dice(8)]),
            _ => {}
        }
    }
    bytes
}

#[test]
fn ten_thousand_mutated_guides_never_make_a_bad_one() {
    // At stake: Plex drops a whole guide for one bad character. Guides with everything wrong that the dice find go the
    // whole way; whatever would be served is checked with the XMLTV project's own DTD.
    const GUIDES: u64 = 10_000;
    let folder = Folder::new();
    let opened = tunerd::store::guide::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let source = pure::model::lineup::Source::Url {
        url: "http://h/1.ts".parse().unwrap(),
        user_agent: None,
        headers: pure::model::headers::Headers::default(),
        account: None,
        reach: pure::rules::reach::Reach::Public,
        provider: None,
    };
    let channel = |id: u32, name: &str, tvg_id: &str| Channel {
        id: ChannelId(id),
        number: id.to_string().parse().unwrap(),
        name: name.to_owned(),
        group: String::new(),
        logo: String::new(),
        tvg_id: tvg_id.to_owned(),
        tvg_shift_min: i16::try_from(id).unwrap() * 45 - 90,
        sources: vec![source.clone()],
    };
    let lineup = vec![channel(1, "One & <All>", "one.de"), channel(2, "Zwei", ""), channel(3, "Three", "")];
    let lineup = Arc::new(Lineup::new(lineup).unwrap());
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
    let now = pure::time::Wall(now.unwrap());
    let (mut read, mut programmes) = (0, 0);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    for seed in 0..GUIDES {
        let id = pure::model::guide::GuideId(1);
        let published = runtime.block_on(async {
            let importing = opened.handle.import(id, now).unwrap();
            // Who refuses it says so at the end.
            importing.push(mutated(seed).into()).await.unwrap_or_default();
            read += u32::from(importing.finish(tunerd::store::guide::Validators::default()).await.is_ok());
            let wanted = tunerd::store::guide::Wanted {
                lineup: Arc::clone(&lineup),
                listed: vec![0, 1, 2],
                guides: vec![(id, 0)],
                now,
                ahead_s: 14 * 86_400,
                ..tunerd::store::guide::Wanted::default()
            };
            opened.handle.publish(wanted).await.unwrap()
        });
        assert_eq!((published.report.errors, published.report.mismatches), (0, 0), "seed {seed}: {published:?}");
        programmes += published.matches.values().map(|matched| matched.programmes).sum::<u32>();
        std::fs::copy(opened.folder.join("xmltv.xml"), out.join(format!("{seed}.xml"))).unwrap();
        if seed % 500 == 499 {
            validate_all(&out);
        }
    }
    // The dice must not have made rubbish only.
    assert!(read > 3_000 && programmes > 10_000, "{read} read, {programmes} programmes");
}

/// Checks all files of a folder with the DTD, and removes them.
fn validate_all(folder: &Path) {
    let files: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().to_str().unwrap().to_owned()).collect();
    let arguments: Vec<&str> =
        ["--noout", "--dtdvalid", DTD].into_iter().chain(files.iter().map(String::as_str)).collect();
    let (status, said) = run("xmllint", &arguments);
    assert!(status.success(), "{}", said.chars().take(2_000).collect::<String>());
    for file in files {
        std::fs::remove_file(file).unwrap();
    }
}

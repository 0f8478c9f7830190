//! Faces: one box that looks like several devices. Plex gets 480 channels and two tuners, others get everything.

use crate::kit::fakeff::Fake;
use crate::kit::hdhr::{self, SEARCHES, bytes, tag_text, tags};
use crate::kit::{Daemon, Folder, Setup, http, run, wait_until};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
/// Debian's package `xmltv-util` has it.
const DTD: &str = "/usr/share/xmltv/xmltv.dtd";
/// Port of the first face.
const FACE: u16 = 5005;

fn post(daemon: &Daemon, target: &str, body: &Value) -> http::Answer {
    daemon.call(target, body)
}

/// Adds a face, waits for its port, and gives its id.
fn add(daemon: &Daemon, face: &Value, port: u16) -> u64 {
    let answer = post(daemon, "/api/v1/faces", face);
    assert_eq!(answer.status, 201, "{face}: {}", answer.text());
    wait_for_port(daemon, port, true);
    serde_json::from_slice::<Value>(&answer.body).unwrap()["id"].as_u64().unwrap()
}

fn wait_for_port(daemon: &Daemon, port: u16, is_open: bool) {
    wait_until(&format!("port {port} is open: {is_open}"), LIMIT, || {
        TcpStream::connect((daemon.address(), port)).is_ok() == is_open
    });
}

fn get(daemon: &Daemon, port: u16, target: &str) -> Value {
    let answer = http::get(daemon.address(), port, target);
    assert_eq!(answer.status, 200, "{port} {target}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn numbers(lineup: &Value) -> Vec<String> {
    let number = |row: &Value| row["GuideNumber"].as_str().unwrap().to_owned();
    lineup.as_array().unwrap().iter().map(number).collect()
}

/// Status and error of a stream that is asked for.
fn tune(daemon: &Daemon, port: u16, target: &str) -> (u16, Option<String>, TcpStream) {
    let (answer, stream) = http::open(daemon.address(), port, target);
    (answer.status, answer.header("x-hdhomerun-error").map(str::to_owned), stream)
}

fn said(status: u16, error: &str) -> (u16, Option<String>) {
    (status, Some(error.to_owned()))
}

/// Channels 1 to `len`; the odd ones are in the group "Odd", the others in "Even".
fn setup(len: usize) -> Setup {
    let mut setup = Setup::new();
    let playlist = (1..=len).fold("#EXTM3U\n".to_owned(), |mut all, n| {
        let group = if n % 2 == 1 { "Odd" } else { "Even" };
        writeln!(all, "#EXTINF:-1 tvg-chno=\"{n}\" group-title=\"{group}\",Channel {n}\nhttp://127.0.0.1:9/{n}.ts")
            .unwrap();
        all
    });
    setup.playlist(playlist);
    setup
}

fn daemon(len: usize) -> Daemon {
    let daemon = setup(len).start();
    daemon.wait_for_log("playlist loaded");
    daemon
}

/// Who answers to a search, with what it says of itself.
fn found(daemon: &Daemon, search: &[u8], replies: usize) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.send_to(search, (daemon.address(), hdhr::PORT)).unwrap();
    let mut found = Vec::new();
    let end = Instant::now() + if replies == 0 { Duration::from_millis(300) } else { LIMIT };
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    while Instant::now() < end {
        let mut reply = vec![0; 2048];
        match socket.recv(&mut reply) {
            Ok(len) => {
                reply.truncate(len);
                found.push(reply);
            }
            // One more than is expected would come at once.
            Err(_) if found.len() >= replies => break,
            Err(_) => {}
        }
    }
    assert_eq!(found.len(), replies, "{found:02x?}");
    found
}

fn id_of(reply: &[u8]) -> String {
    let (_, id) = tags(reply).into_iter().find(|(tag, _)| *tag == 2).unwrap();
    id.iter().fold(String::new(), |all, byte| format!("{all}{byte:02X}"))
}

#[test]
fn plex_gets_480_of_600_channels_and_others_get_all() {
    // At stake: Plex drops a device with more channels than it takes, and a short list without a word is a lie. Plex's
    // own order of questions is asked of the face, and everybody else's of the box.
    let daemon = daemon(600);
    add(&daemon, &json!({"name": "Plex & me", "tuners": 2, "first": 480}), FACE);
    let base = format!("http://{}:{FACE}", daemon.address());
    let discover = get(&daemon, FACE, "/discover.json");
    let own = get(&daemon, 8080, "/discover.json");
    assert_eq!((&discover["FriendlyName"], &discover["TunerCount"]), (&json!("Plex & me"), &json!(2)));
    assert_eq!((&discover["BaseURL"], &discover["LineupURL"]), (&json!(base), &json!(format!("{base}/lineup.json"))));
    assert_eq!(own["FriendlyName"], "tunerd", "the box itself is as it was");
    for field in ["DeviceID", "DeviceAuth"] {
        assert_ne!(discover[field], own[field], "{field}");
    }
    assert_eq!(discover["ModelNumber"], own["ModelNumber"]);
    let id = discover["DeviceID"].as_str().unwrap();
    let description = http::get(daemon.address(), FACE, "/device.xml");
    let description = description.text();
    assert!(description.contains(&format!("<serialNumber>{id}</serialNumber>")), "{description}");
    assert!(description.contains(&format!("<UDN>uuid:74756e65-7264-8000-8000-0000{}</UDN>", id.to_lowercase())));
    assert!(description.contains("<friendlyName>Plex &amp; me</friendlyName>"), "{description}");
    assert!(description.contains(&format!("<presentationURL>http://{}:8080/</presentationURL>", daemon.address())));
    assert_eq!(get(&daemon, FACE, "/lineup_status.json")["ScanPossible"], 1);
    let tuners = get(&daemon, FACE, "/status.json");
    assert_eq!(tuners, json!([{"Resource": "tuner0"}, {"Resource": "tuner1"}]));

    let (lineup, all) = (get(&daemon, FACE, "/lineup.json"), get(&daemon, 8080, "/lineup.json"));
    let expected: Vec<String> = (1..=480).map(|n: u32| n.to_string()).collect();
    assert_eq!(numbers(&lineup), expected);
    assert_eq!(numbers(&all).len(), 600);
    assert_eq!(lineup[479]["URL"], format!("{base}/auto/v480"), "its own port");
    assert_eq!(get(&daemon, FACE, "/lineup.json"), lineup, "the order is stable between calls");
    assert_eq!(get(&daemon, FACE, "/lineup.json?show=all").as_array().unwrap().len(), 480);
    let text = |target: &str| String::from_utf8(http::get(daemon.address(), FACE, target).body).unwrap();
    assert_eq!(text("/lineup.xml").matches("<Program>").count(), 480);
    assert_eq!(text("/lineup.m3u").matches("#EXTINF").count(), 480);
    let playlist = text("/playlist.m3u");
    assert_eq!(playlist.matches("#EXTINF").count(), 480);
    assert!(playlist.starts_with(&format!("#EXTM3U url-tvg=\"{base}/xmltv.xml\"")), "{playlist:.200}");

    // What is outside of the slice is not there, however it is asked for; nor is what is about the box.
    for target in ["/auto/v481", "/tuner0/v481", "/tuner2/v1", "/auto/v601"] {
        let answer = http::get(daemon.address(), FACE, target);
        assert_eq!((answer.status, answer.header("x-hdhomerun-error")), (404, Some("801 Unknown Channel")), "{target}");
    }
    for target in ["/", "/api/v1/status", "/api/v1/faces", "/metrics", "/tuners.html", "/api/v1/subscriptions"] {
        assert_eq!(http::get(daemon.address(), FACE, target).status, 404, "{target}");
    }
    let outside =
        "POST /lineup.post?favorite=x481 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(http::ask(daemon.address(), FACE, outside).status, 404);
    assert_eq!(numbers(&get(&daemon, 8080, "/lineup.json")).len(), 600);

    // The box itself is told of; so is a face, with its name, while the small one is not.
    daemon.wait_for_log("Plex takes 480 channels of one box, and here are 600");
    assert!(!daemon.has_logged("and the face"));
    add(&daemon, &json!({"name": "Everything", "tuners": 1}), FACE + 1);
    daemon.wait_for_log("Plex takes 480 channels of one box, and the face Everything has 600");
}

#[test]
fn slices_follow_favourites_groups_and_what_is_hidden() {
    let daemon = daemon(6);
    let odd = add(&daemon, &json!({"name": "Odd", "tuners": 1, "channels": "groups", "groups": ["Odd"]}), FACE);
    add(&daemon, &json!({"name": "Liked", "tuners": 1, "channels": "favorites"}), FACE + 1);
    add(&daemon, &json!({"name": "Two", "tuners": 1, "first": 2}), FACE + 2);
    let lineup = |port| numbers(&get(&daemon, port, "/lineup.json"));
    assert_eq!(
        (lineup(FACE), lineup(FACE + 2)),
        (vec!["1".into(), "3".into(), "5".into()], vec!["1".into(), "2".into()])
    );
    // An empty lineup would make clients forget their channels.
    let empty = http::get(daemon.address(), FACE + 1, "/lineup.json");
    assert_eq!((empty.status, empty.header("retry-after")), (503, Some("60")));
    assert_eq!(http::get(daemon.address(), FACE + 1, "/xmltv.xml").status, 503);
    let problem = daemon.problem("faces").unwrap();
    assert!(problem.contains("The face Liked has no channels"), "{problem}");
    let mark = |port: u16, mark: &str| {
        let address = daemon.address();
        let head = format!("POST /lineup.post?favorite={mark} HTTP/1.1\r\nHost: {address}\r\n");
        let answer = http::ask(address, port, &format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n"));
        assert_eq!(answer.status, 200, "{mark}");
    };
    mark(8080, "+4");
    mark(FACE, "+3");
    assert_eq!(lineup(FACE + 1), ["3", "4"], "at once, in the lineup's order");
    assert_eq!(daemon.problem("faces"), None);
    mark(FACE + 2, "x1");
    assert_eq!(lineup(FACE + 2), ["2", "3"], "what is hidden is not one of the two");
    assert_eq!(lineup(FACE), ["3", "5"]);
    mark(FACE, "-1");
    assert_eq!(lineup(FACE), ["1", "3", "5"], "and it can be brought back where it is");

    // Other terms, and the same device.
    let before = get(&daemon, FACE, "/discover.json");
    let edit = |body: &Value| post(&daemon, &format!("PATCH /api/v1/faces/{odd}"), body);
    assert_eq!(edit(&json!({"name": "Even", "groups": ["Even"], "tuners": 2})).status, 204);
    let after = get(&daemon, FACE, "/discover.json");
    assert_eq!((&after["DeviceID"], &after["FriendlyName"]), (&before["DeviceID"], &json!("Even")));
    assert_eq!((lineup(FACE), &after["TunerCount"]), (vec!["2".into(), "4".into(), "6".into()], &json!(2)));
    assert_eq!(edit(&json!({"channels": "all", "first": 1})).status, 204);
    assert_eq!(lineup(FACE), ["1"]);

    // What is wrong is said with its field.
    let face = |more: &Value| {
        let mut face = json!({"name": "x", "tuners": 1});
        face.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        face
    };
    for (body, field) in [
        (json!({}), "name"),
        (face(&json!({"name": ""})), "name"),
        (face(&json!({"tuners": 0})), "tuners"),
        (face(&json!({"tuners": 65})), "tuners"),
        (face(&json!({"first": 70_000})), "first"),
        (face(&json!({"channels": "none"})), "channels"),
        (face(&json!({"channels": "groups"})), "groups"),
        (face(&json!({"channels": "groups", "groups": ["Nobody's"]})), "groups"),
        (face(&json!({"groups": ["Odd"]})), "groups"),
        (face(&json!({"device_id": "10700000"})), "body"),
    ] {
        let answer = post(&daemon, "/api/v1/faces", &body);
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert_eq!((answer.status, &said["field"]), (422, &json!(field)), "{body}: {}", answer.text());
    }
    for (target, status) in [("PATCH", 0, 422), ("PATCH", 99, 404), ("DELETE", 99, 404), ("GET", 1, 405)]
        .map(|(method, id, status)| (format!("{method} /api/v1/faces/{id}"), status))
    {
        assert_eq!(post(&daemon, &target, &json!({})).status, status, "{target}");
    }
    add(&daemon, &json!({"name": "Four"}), FACE + 3);
    let fifth = post(&daemon, "/api/v1/faces", &json!({"name": "Five"}));
    assert_eq!(fifth.status, 422, "{}", fifth.text());
    let all = get(&daemon, 8080, "/api/v1/faces");
    let rows: Vec<String> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|face| format!("{} {} {} {}", face["id"], face["name"], face["port"], face["listed"]))
        .collect();
    let expected =
        ["0 \"tunerd\" 8080 6", "1 \"Even\" 5005 1", "2 \"Liked\" 5006 2", "3 \"Two\" 5007 2", "4 \"Four\" 5008 6"];
    assert_eq!(rows, expected);
}

#[test]
fn each_face_is_found_as_a_device_of_its_own() {
    let daemon = daemon(3);
    let face = add(&daemon, &json!({"name": "Second", "tuners": 1}), FACE);
    let id = |port| get(&daemon, port, "/discover.json")["DeviceID"].as_str().unwrap().to_owned();
    let (own, other) = (id(8080), id(FACE));
    let (status, told) = run("hdhomerun_config", &["discover", &daemon.address().to_string()]);
    assert!(status.success(), "{told}");
    for id in [&own, &other] {
        assert!(told.contains(&format!("hdhomerun device {id} found at {}", daemon.address())), "{told}");
    }
    for search in SEARCHES {
        let found = found(&daemon, &bytes(search), 2);
        assert_eq!(found.iter().map(|reply| id_of(reply)).collect::<Vec<_>>(), [own.clone(), other.clone()]);
        assert_eq!(tag_text(&found[1], 0x2a), format!("http://{}:{FACE}", daemon.address()));
        assert_eq!(tag_text(&found[1], 0x27), format!("http://{}:{FACE}/lineup.json", daemon.address()));
        let count = |reply: &[u8]| tags(reply).into_iter().find(|(tag, _)| *tag == 0x10).unwrap().1;
        assert_eq!(count(&found[1]), [1], "its share");
    }
    // Who asks for one of them gets that one; who asks for storage or a stranger, none.
    for (id, replies) in [(&own, 1), (&other, 1), (&"10AA5474".to_owned(), 0)] {
        let search = hdhr::frame(2, &[hdhr::tlv(1, &1_u32.to_be_bytes()), hdhr::tlv(2, &bytes(id))].concat());
        let found = found(&daemon, &search, replies);
        assert!(found.iter().all(|reply| id_of(reply) == **id));
    }
    let storage = hdhr::frame(2, &[hdhr::tlv(1, &5_u32.to_be_bytes()), hdhr::tlv(2, &[0xff; 4])].concat());
    found(&daemon, &storage, 0);
    // Who is gone is not found.
    assert_eq!(post(&daemon, &format!("DELETE /api/v1/faces/{face}"), &json!({})).status, 204);
    wait_for_port(&daemon, FACE, false);
    assert_eq!(found(&daemon, &bytes(SEARCHES[0]), 1).iter().map(|reply| id_of(reply)).collect::<Vec<_>>(), [own]);
}

#[test]
fn faces_come_and_go_at_run_time_and_keep_their_ids_for_life() {
    let daemon = daemon(3);
    // Somebody else has the port of the first one: that is told, and costs nothing else.
    let taken = TcpListener::bind((daemon.address(), FACE)).unwrap();
    let first = post(&daemon, "/api/v1/faces", &json!({"name": "First"}));
    assert_eq!(first.status, 201);
    wait_until("the problem is told", LIMIT, || daemon.problem("face-port").is_some());
    let problem = daemon.problem("face-port").unwrap();
    assert!(problem.contains("Port 5005 for the face First cannot be opened"), "{problem}");
    let second = add(&daemon, &json!({"name": "Second"}), FACE + 1);
    assert_eq!(get(&daemon, 8080, "/api/v1/faces")[1]["port"], Value::Null);
    assert_eq!(found(&daemon, &bytes(SEARCHES[0]), 2).len(), 2, "nobody is sent to a port that is another's");
    assert_eq!(daemon.get("/lineup.json").status, 200);
    drop(taken);
    wait_for_port(&daemon, FACE, true);
    wait_until("the problem is over", LIMIT, || daemon.problem("face-port").is_none());

    // A removed one closes its port, and leaves the others where they are.
    let ids = |daemon: &Daemon| -> Vec<(u64, String, u64)> {
        let faces = get(daemon, 8080, "/api/v1/faces");
        let row = |face: &Value| {
            (
                face["id"].as_u64().unwrap(),
                face["device_id"].as_str().unwrap().to_owned(),
                face["port"].as_u64().unwrap(),
            )
        };
        faces.as_array().unwrap().iter().map(row).collect()
    };
    let before = ids(&daemon);
    assert_eq!(post(&daemon, "DELETE /api/v1/faces/1", &json!({})).status, 204);
    wait_for_port(&daemon, FACE, false);
    assert_eq!(ids(&daemon), [before[0].clone(), before[2].clone()]);
    let third = add(&daemon, &json!({"name": "Third"}), FACE);
    assert!(third > second, "an id is never given twice");
    let all = ids(&daemon);
    assert!(before.iter().all(|(_, id, _)| *id != all[1].1), "nor is a device id");

    // A new start changes none of them.
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    daemon.wait_for_lineup();
    wait_for_port(&daemon, FACE, true);
    wait_for_port(&daemon, FACE + 1, true);
    assert_eq!(ids(&daemon), all);
    for (_, id, port) in all {
        assert_eq!(get(&daemon, u16::try_from(port).unwrap(), "/discover.json")["DeviceID"], id);
    }
}

#[test]
fn a_face_has_no_more_tuners_than_its_share() {
    let (_fake, mut setup) = Fake::setup(&[("one", "play"), ("two", "play"), ("three", "play"), ("four", "play")]);
    setup.set("network", "face_port = 6100");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    add(&daemon, &json!({"name": "Plex", "tuners": 2}), 6100);
    let port = 6100;
    let plays = |(status, error, stream): (u16, Option<String>, TcpStream)| {
        assert_eq!((status, error), (200, None));
        stream
    };
    let no = |(status, error, _): (u16, Option<String>, TcpStream)| (status, error);
    let busy = said(503, "805 All Tuners In Use");
    let one = plays(tune(&daemon, port, "/auto/v1"));
    let again = plays(tune(&daemon, port, "/tuner0/v1"));
    let two = plays(tune(&daemon, port, "/tuner0/v2"));
    assert_eq!(no(tune(&daemon, port, "/auto/v3")), busy);
    daemon.wait_for_log("all tuners of the face Plex are in use; its share is 2");
    let status = get(&daemon, port, "/status.json");
    let numbers: Vec<&Value> = status.as_array().unwrap().iter().map(|tuner| &tuner["VctNumber"]).collect();
    assert_eq!(numbers, [&json!("1"), &json!("2")], "its own two are busy");
    // The box has tuners left, and who asks it gets them.
    let three = plays(tune(&daemon, 5004, "/auto/v3"));
    assert_eq!(no(tune(&daemon, port, "/auto/v3")), busy, "what others play counts, too");
    assert_eq!(get(&daemon, port, "/status.json").as_array().unwrap().len(), 2, "others' tuners are not shown");
    let _more = plays(tune(&daemon, port, "/auto/v2"));
    // One of two leaves a channel: it still costs. The other one, and it does not.
    drop(again);
    assert_eq!(no(tune(&daemon, port, "/auto/v4")), busy);
    drop(one);
    wait_until("a tuner of the share is free", LIMIT, || tune(&daemon, port, "/auto/v3").0 == 200);
    drop((two, three));
    assert!(daemon.get("/metrics").text().contains("reason=\"all_tuners_in_use\"} "));
}

#[test]
fn the_guide_of_a_face_holds_its_channels_and_is_valid() {
    let daemon = daemon(6);
    add(&daemon, &json!({"name": "Odd", "channels": "groups", "groups": ["Odd"]}), FACE);
    let guide = |port: u16, target: &str| http::get(daemon.address(), port, target);
    let channels = |text: &str| -> Vec<String> {
        text.split("<channel id=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    wait_until("the guide is there", LIMIT, || guide(FACE, "/xmltv.xml").status == 200);
    let (own, whole) = (guide(FACE, "/xmltv.xml"), guide(8080, "/xmltv.xml"));
    assert_eq!(channels(own.text()), ["1", "3", "5"]);
    assert_eq!(channels(whole.text()).len(), 6);
    assert!(own.text().matches("<programme ").all(|_| true) && !own.text().contains("channel=\"2\""));
    for number in ["1", "3", "5"] {
        assert!(own.text().contains(&format!("channel=\"{number}\"")), "{number} has programmes");
    }
    let folder = Folder::new();
    let file = folder.write("guide.xml", &own.body);
    assert_eq!(run("xmllint", &["--noout", "--dtdvalid", DTD, file.to_str().unwrap()]).1, "");
    let packed = folder.write("guide.xml.gz", &guide(FACE, "/xmltv.xml.gz").body);
    assert_eq!(run("gzip", &["-dc", packed.to_str().unwrap()]).1.as_bytes(), own.body);
    // Other channels, and the guide follows.
    assert_eq!(post(&daemon, "PATCH /api/v1/faces/1", &json!({"groups": ["Even"]})).status, 204);
    wait_until("the guide follows", LIMIT, || {
        let answer = guide(FACE, "/xmltv.xml");
        assert!(answer.status != 200 || channels(answer.text()) == ["2", "4", "6"], "a guide of other channels");
        answer.status == 200
    });
    // What was made for a face goes with it.
    let state = daemon.setup.state_dir().join("guide");
    assert!(state.join("xmltv-1.xml").exists());
    assert_eq!(post(&daemon, "DELETE /api/v1/faces/1", &json!({})).status, 204);
    wait_until("its guide is gone", LIMIT, || {
        !state.join("xmltv-1.xml").exists() && !state.join("xmltv-1.xml.gz").exists()
    });
    assert_eq!(channels(guide(8080, "/xmltv.xml").text()).len(), 6);
}

#[test]
fn a_connection_that_was_open_is_told_that_its_face_is_gone() {
    let daemon = daemon(1);
    add(&daemon, &json!({"name": "Short"}), FACE);
    let mut stream = http::connect(daemon.address(), FACE);
    let mut ask = |line: &str| {
        write!(stream, "GET {line} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        let mut rest = [0; 4096];
        let _ = stream.read(&mut rest).unwrap();
        String::from_utf8_lossy(&head).into_owned()
    };
    assert_eq!(ask("/api/none"), "HTTP/1.1 404");
    assert_eq!(post(&daemon, "DELETE /api/v1/faces/1", &json!({})).status, 204);
    assert_eq!(ask("/discover.json"), "HTTP/1.1 404");
}

//! Undo, backup and restore: what the owner chose comes back, as it was, and without a restart.

use crate::kit::source::Source;
use crate::kit::{Daemon, Folder, Setup, http, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct horse battery";
/// Port of the first face.
const FACE: u16 = 5005;

fn get(daemon: &Daemon, target: &str) -> Value {
    let answer = daemon.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn good(daemon: &Daemon, target: &str, body: &Value) -> Value {
    let answer = daemon.call(target, body);
    assert!((200..300).contains(&answer.status), "{target} {body}: {} {}", answer.status, answer.text());
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

fn edit(daemon: &Daemon, body: &Value) {
    good(daemon, "PATCH /api/v1/channels", body);
}

fn add(daemon: &Daemon, body: &Value) -> u64 {
    let id = good(daemon, "/api/v1/subscriptions", body)["id"].as_u64().unwrap();
    settled(daemon);
    id
}

fn settled(daemon: &Daemon) {
    wait_until("all refreshes end", LIMIT, || {
        let all = get(daemon, "/api/v1/subscriptions");
        all.as_array().unwrap().iter().all(|one| one["in_progress"] == false)
    });
}

/// A provider of channels 1 to `len`; the odd ones are in the group "Odd", the others in "Even".
fn provider(len: usize) -> Source {
    Source::document((1..=len).fold("#EXTM3U\n".to_owned(), |mut all, n| {
        let group = if n % 2 == 1 { "Odd" } else { "Even" };
        writeln!(all, "#EXTINF:-1 tvg-chno=\"{n}\" group-title=\"{group}\",Channel {n}\nhttp://127.0.0.1:9/{n}.ts")
            .unwrap();
        all
    }))
}

/// What the owner sees of what he chose.
fn state(daemon: &Daemon) -> Value {
    daemon.wait_for_lineup();
    let channels = get(daemon, "/api/v1/channels?limit=500");
    let channels = channels["items"].as_array().unwrap().iter();
    let wanted = ["id", "number", "name", "group", "mark", "moved", "sources"];
    let channels: Vec<Value> =
        channels.map(|channel| wanted.iter().map(|key| channel[*key].clone()).collect()).collect();
    let subscriptions = get(daemon, "/api/v1/subscriptions");
    let subscriptions = subscriptions.as_array().unwrap().iter();
    let subscriptions: Vec<Value> =
        subscriptions.map(|one| json!([one["id"], one["name"], one["refresh_s"], one["enabled"]])).collect();
    let faces = get(daemon, "/api/v1/faces");
    let guides = get(daemon, "/api/v1/guides");
    let guides: Vec<Value> = guides["guides"]
        .as_array()
        .unwrap()
        .iter()
        .map(|guide| json!([guide["id"], guide["from"], guide["offset_minutes"]]))
        .collect();
    json!({"channels": channels, "subscriptions": subscriptions, "faces": faces, "guides": guides})
}

fn configurations(daemon: &Daemon) -> Vec<(u64, String)> {
    let all = get(daemon, "/api/v1/configurations");
    let one = |one: &Value| (one["revision"].as_u64().unwrap(), one["what"].as_str().unwrap().to_owned());
    all.as_array().unwrap().iter().map(one).collect()
}

fn back_to(daemon: &Daemon, revision: u64) -> Value {
    let told = good(daemon, &format!("/api/v1/configurations/{revision}/restore"), &Value::Null);
    settled(daemon);
    told
}

fn is_open(daemon: &Daemon) -> bool {
    TcpStream::connect((daemon.address(), FACE)).is_ok()
}

#[test]
fn the_very_first_change_can_be_undone() {
    let daemon = Setup::new().start();
    let [(first, _)] = configurations(&daemon)[..] else { panic!("there is how it was at the start") };
    assert_eq!(daemon.call("/api/v1/faces", &json!({"name": "Kids"})).status, 201);
    assert_eq!(configurations(&daemon).len(), 2);
    let faces = || get(&daemon, "/api/v1/faces").as_array().unwrap().len();
    assert_eq!(faces(), 2);
    good(&daemon, &format!("/api/v1/configurations/{first}/restore"), &Value::Null);
    assert_eq!(faces(), 1);
}

#[test]
fn one_click_takes_back_and_another_one_takes_that_back() {
    let source = provider(8);
    let guide = Source::document("<tv></tv>");
    let daemon = Daemon::demo();
    let mut states: Vec<(u64, Value)> = Vec::new();
    let mut note = |what: &str| {
        settled(&daemon);
        let newest = configurations(&daemon).remove(0);
        assert!(newest.1.contains(what), "{newest:?} tells of {what}");
        assert!(states.iter().all(|(known, _)| *known < newest.0), "each write has a number of its own");
        states.push((newest.0, state(&daemon)));
    };
    note("start");
    let id = add(&daemon, &json!({"kind": "playlist", "name": "Eins", "address": source.url("/SECRET42.m3u")}));
    note("subscription added: Eins");
    let ids: Vec<u64> =
        state(&daemon)["channels"].as_array().unwrap().iter().map(|one| one[0].as_u64().unwrap()).collect();
    edit(&daemon, &json!({"channels": ids[..3], "group": "Meine"}));
    note("3 channels put into another group");
    edit(&daemon, &json!({"channels": [ids[0]], "name": "Erste"}));
    note("1 channel renamed");
    edit(&daemon, &json!({"channels": ids[3..6], "number_from": "500"}));
    note("3 channels renumbered");
    edit(&daemon, &json!({"channels": [ids[5], ids[4], ids[3]], "number_from": "500"}));
    note("3 channels renumbered");
    edit(&daemon, &json!({"channels": [ids[0], ids[6], ids[7]], "merge": true}));
    note("3 channels merged");
    edit(&daemon, &json!({"channels": [ids[0]], "source_order": [2, 0, 1]}));
    note("other sources first");
    edit(&daemon, &json!({"channels": [ids[0]], "split": true}));
    note("1 channel split");
    edit(&daemon, &json!({"channels": [ids[1]], "mark": "hidden"}));
    note("1 channel hidden");
    edit(&daemon, &json!({"channels": [ids[2]], "move_behind": 0}));
    note("1 channel moved");
    good(&daemon, &format!("PUT /api/v1/subscriptions/{id}/groups"), &json!({"groups": ["Odd"]}));
    note("1 group ticked");
    good(&daemon, "/api/v1/faces", &json!({"name": "Klein", "tuners": 1}));
    wait_until("the face has its port", LIMIT, || is_open(&daemon));
    note("face added: Klein");
    good(&daemon, "/api/v1/guides", &json!({"address": guide.url("/guide.xml")}));
    note("guides");
    good(&daemon, &format!("PATCH /api/v1/subscriptions/{id}"), &json!({"name": "Zwei", "refresh_s": 7200}));
    note("subscription changed: Zwei");
    good(&daemon, &format!("DELETE /api/v1/subscriptions/{id}"), &Value::Null);
    wait_until("the demo channels are back", LIMIT, || state(&daemon)["channels"][0][2] != "Erste");
    note("subscription removed: Zwei");
    // Back from any to any other: what is there then is what was there then.
    let order = [14, 0, 8, 3, 15, 7, 5, 6, 1, 12, 4, 2, 9, 11, 13, 10, 14, 15];
    for step in order {
        let (revision, then) = &states[step];
        let told = back_to(&daemon, *revision);
        assert_eq!(told["ignored"], json!([]), "{step}");
        wait_until(&format!("all is as it was after step {step}"), LIMIT, || {
            let now = state(&daemon);
            let has_channels = then["subscriptions"].as_array().is_some_and(|all| !all.is_empty());
            let part = |state: &Value| json!([state["subscriptions"], state["faces"], state["guides"]]);
            // Whoever takes from nobody sees the demo channels, as soon as they are made again.
            now == *then
                || (!has_channels && part(&now) == part(then) && now["channels"][0][2] == then["channels"][0][2])
        });
        let has_face = !then["faces"].as_array().unwrap()[1..].is_empty();
        wait_until("the port of the face follows", LIMIT, || is_open(&daemon) == has_face);
    }
    // Going back is a step like any other.
    let newest = configurations(&daemon).remove(0);
    assert_eq!(newest.1, format!("back to revision {}", states[15].0));
    assert_eq!(daemon.call("/api/v1/configurations/9999/restore", &Value::Null).status, 404);
    assert!(!daemon.get("/api/v1/configurations").text().contains("SECRET42"));
    assert!(!daemon.log().contains("SECRET42"));
}

#[test]
fn fifty_states_are_kept_and_what_changes_nothing_is_none() {
    let source = provider(2);
    let daemon = Daemon::demo();
    add(&daemon, &json!({"kind": "playlist", "address": source.url("/list.m3u")}));
    let id = state(&daemon)["channels"][0][0].as_u64().unwrap();
    for step in 0..60 {
        edit(&daemon, &json!({"channels": [id], "name": format!("Name {step}")}));
    }
    let all = configurations(&daemon);
    assert_eq!(all.len(), 50);
    assert!(all.windows(2).all(|pair| pair[0].0 == pair[1].0 + 1), "the newest first, none left out");
    edit(&daemon, &json!({"channels": [id], "name": "Name 59"}));
    edit(&daemon, &json!({"channels": [id], "mark": "plain"}));
    assert_eq!(configurations(&daemon), all, "nothing has changed");
    back_to(&daemon, all[49].0);
    assert_eq!(state(&daemon)["channels"][0][2], "Name 10");
    assert_eq!(daemon.call(&format!("/api/v1/configurations/{}/restore", all[49].0 - 1), &Value::Null).status, 404);
    // They survive the end of the daemon, whatever that was.
    let all = configurations(&daemon);
    let setup = daemon.setup.clone();
    daemon.signal(Signal::SIGKILL);
    daemon.ended(LIMIT);
    let daemon = setup.start();
    assert_eq!(configurations(&daemon), all);
}

/// A backup with the password of all these tests.
fn backup(daemon: &Daemon) -> Vec<u8> {
    let answer = daemon.call("/api/v1/backup", &json!({"password": PASSWORD}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.body
}

fn send_restore(daemon: &Daemon, password: &str, file: &[u8]) -> TcpStream {
    let address = daemon.address();
    let mut stream = http::connect(address, 8080);
    let head = format!(
        "POST /api/v1/restore HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Backup-Password: {}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        password.replace(' ', "%20"),
        file.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Who is refused early may be hung up on before all is sent.
    let _ = stream.write_all(file);
    stream
}

fn restore(daemon: &Daemon, password: &str, file: &[u8]) -> http::Answer {
    let mut bytes = Vec::new();
    let _ = send_restore(daemon, password, file).read_to_end(&mut bytes);
    http::parse(&bytes)
}

fn restored(daemon: &Daemon, file: &[u8]) -> Value {
    let answer = restore(daemon, PASSWORD, file);
    assert_eq!(answer.status, 200, "{}", answer.text());
    settled(daemon);
    serde_json::from_slice(&answer.body).unwrap()
}

fn device_id(daemon: &Daemon, port: u16) -> String {
    let said: Value = serde_json::from_slice(&http::get(daemon.address(), port, "/discover.json").body).unwrap();
    said["DeviceID"].as_str().unwrap().to_owned()
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

/// A box with a bit of everything, and its provider.
fn furnished(source: &Source) -> Daemon {
    let daemon = Daemon::demo();
    let id = add(
        &daemon,
        &json!({"kind": "playlist", "name": "Eins", "address": source.url("/list.m3u?token=SECRET42"),
                "username": "me", "password": "SECRET42"}),
    );
    good(&daemon, &format!("PUT /api/v1/subscriptions/{id}/groups"), &json!({"groups": ["Odd"]}));
    let ids: Vec<u64> =
        state(&daemon)["channels"].as_array().unwrap().iter().map(|one| one[0].as_u64().unwrap()).collect();
    edit(&daemon, &json!({"channels": [ids[1]], "name": "Zweite"}));
    edit(&daemon, &json!({"channels": [ids[1]], "number_from": "77"}));
    edit(&daemon, &json!({"channels": [ids[2]], "mark": "favorite"}));
    edit(&daemon, &json!({"channels": [ids[0], ids[3]], "merge": true}));
    good(&daemon, "/api/v1/faces", &json!({"name": "Klein", "tuners": 1, "channels": "favorites"}));
    wait_until("the face has its port", LIMIT, || is_open(&daemon));
    daemon
}

#[test]
fn a_backup_comes_back_on_another_box_without_its_identity() {
    let source = provider(8);
    let first = furnished(&source);
    let (file, before) = (backup(&first), state(&first));
    assert!(file.len() < 8 * 1024, "{} bytes", file.len());
    for part in ["SECRET42", "Klein", "Zweite", "http"] {
        assert!(!contains(&file, part), "{part} can be read");
    }
    let second = Daemon::demo();
    let own = device_id(&second, 8080);
    let revision = configurations(&second)[0].0;
    let told = restored(&second, &file);
    assert_eq!(told["restored"], json!({"subscriptions": 1, "channels": 8, "faces": 1, "guides": 0}), "{told}");
    assert_eq!(told["ignored"], json!([]));
    let part = |state: &Value| json!([state["channels"], state["subscriptions"]]);
    wait_until("the channels are there", LIMIT, || part(&state(&second)) == part(&before));
    wait_until("the face has its port", LIMIT, || is_open(&second));
    assert_eq!(device_id(&second, 8080), own, "it is still itself");
    assert_ne!(device_id(&second, FACE), device_id(&first, FACE), "and its face is nobody else's");
    for target in ["/api/v1/subscriptions", "/api/v1/configurations", "/api/v1/status"] {
        assert!(!second.get(target).text().contains("SECRET42"), "{target}");
    }
    assert!(!second.log().contains("SECRET42"));
    // Once more changes nothing.
    let (now, face) = (state(&second), device_id(&second, FACE));
    let all = configurations(&second);
    restored(&second, &file);
    assert_eq!((state(&second), device_id(&second, FACE)), (now, face));
    assert_eq!(configurations(&second), all);
    // And it can be undone.
    back_to(&second, revision);
    wait_until("it is as it was before", LIMIT, || {
        let now = state(&second);
        now["subscriptions"] == json!([]) && !is_open(&second) && now["channels"][0][2] != "Channel 1"
    });

    // On the box that made it, faces are themselves again.
    let face = device_id(&first, FACE);
    let faces = get(&first, "/api/v1/faces");
    let id = faces[1]["id"].as_u64().unwrap();
    good(&first, &format!("DELETE /api/v1/faces/{id}"), &Value::Null);
    let ids = json!([before["channels"][0][0]]);
    edit(&first, &json!({"channels": ids, "number_from": "900"}));
    edit(&first, &json!({"channels": ids, "split": true}));
    restored(&first, &file);
    wait_until("all is as it was", LIMIT, || is_open(&first) && state(&first) == before);
    assert_eq!(device_id(&first, FACE), face);
}

#[test]
fn what_is_taken_on_another_box_stays_and_is_told() {
    let source = provider(8);
    let first = furnished(&source);
    let file = backup(&first);
    // The same numbers, ids and subscription, but of another provider.
    let other = Source::document("#EXTM3U\n#EXTINF:-1 tvg-chno=\"1\",Other\nhttp://127.0.0.1:9/other.ts\n");
    let second = Daemon::demo();
    add(&second, &json!({"kind": "playlist", "name": "Own", "address": other.url("/own.m3u")}));
    let own = state(&second)["channels"][0].clone();
    assert_eq!((&own[1], &own[2]), (&json!("1"), &json!("Other")));
    let told = restored(&second, &file);
    let ignored = told["ignored"].to_string();
    assert!(ignored.contains("the number 1 of Channel 1"), "{told}");
    wait_until("its channels are there", LIMIT, || state(&second)["channels"][0][2] == "Channel 1");
    let now = state(&second);
    let channels = now["channels"].as_array().unwrap();
    assert!(channels.iter().all(|channel| channel[1] != "1" && channel[0] != own[0]), "{now}");
    assert!(channels.iter().any(|channel| channel[1] == "77" && channel[2] == "Zweite"), "{now}");
    // Back again, the own channel is itself.
    let before = configurations(&second)[1].0;
    back_to(&second, before);
    wait_until("the own channel is back", LIMIT, || state(&second)["channels"] == json!([own]));
}

#[test]
fn what_is_no_backup_changes_nothing() {
    let source = provider(8);
    let first = furnished(&source);
    let file = backup(&first);
    let (before, all) = (state(&first), configurations(&first));
    let mut damaged = file.clone();
    damaged[file.len() / 2] ^= 1;
    let mut newer = file.clone();
    newer[9] = 7;
    let longer = [&file[..], b"x"].concat();
    let cases: [(&str, &[u8], &str, &str); 8] = [
        ("wrong horse battery", &file, "password", "not the password"),
        (PASSWORD, &damaged, "password", "damaged"),
        (PASSWORD, &file[..file.len() - 1], "body", "the end of this backup is missing"),
        (PASSWORD, &newer, "body", "version 7"),
        (PASSWORD, &longer, "body", "follows"),
        (PASSWORD, b"PK\x03\x04rubbish", "body", "no backup"),
        (PASSWORD, b"", "body", "no backup"),
        ("", &file, "password", "X-Backup-Password"),
    ];
    for (password, bytes, field, why) in cases {
        let answer = restore(&first, password, bytes);
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &said["field"]), (422, &json!(field)), "{said}");
        assert!(said["detail"].as_str().unwrap().contains(why), "{said}");
    }
    for password in ["short", &"x".repeat(129)] {
        assert_eq!(first.call("/api/v1/backup", &json!({"password": password})).status, 422);
    }
    assert_eq!((state(&first), configurations(&first)), (before, all));
}

#[test]
fn a_box_that_dies_while_it_is_restored_has_the_old_or_the_new() {
    // A restore is one transaction. A box is killed in the middle of one, earlier and later; what it has after the next
    // start belongs together.
    let (many, few) = (provider(3_000), provider(3));
    let first = Daemon::demo();
    add(&first, &json!({"kind": "playlist", "name": "new", "address": many.url("/list.m3u")}));
    good(&first, "/api/v1/faces", &json!({"name": "new", "tuners": 1}));
    let file = backup(&first);
    drop(first);
    let daemon = Daemon::demo();
    add(&daemon, &json!({"kind": "playlist", "name": "old", "address": few.url("/list.m3u")}));
    good(&daemon, "/api/v1/faces", &json!({"name": "old", "tuners": 1}));
    let mut daemon = daemon;
    let whole = |daemon: &Daemon| {
        let name = |target, at: usize| get(daemon, target)[at]["name"].as_str().unwrap().to_owned();
        let names = [name("/api/v1/subscriptions", 0), name("/api/v1/faces", 1)];
        assert!(names[0] == names[1], "half of one and half of the other: {names:?}");
        names[0].clone()
    };
    let mut seen = Vec::new();
    // Later and later, until it was too late.
    for delay_ms in (0..40).map(|step| step * step * 15) {
        let setup: Setup = daemon.setup.clone();
        let stream = send_restore(&daemon, PASSWORD, &file);
        std::thread::sleep(Duration::from_millis(delay_ms));
        daemon.signal(Signal::SIGKILL);
        daemon.ended(LIMIT);
        drop(stream);
        daemon = setup.start();
        wait_until("it knows its subscriptions", LIMIT, || {
            get(&daemon, "/api/v1/subscriptions").as_array().is_some_and(|all| !all.is_empty())
        });
        seen.push(whole(&daemon));
        assert!(!seen.windows(2).any(|pair| pair == ["new", "old"]), "nothing goes back by itself: {seen:?}");
        if seen.last().is_some_and(|last| last == "new") {
            break;
        }
    }
    println!("after each kill: {seen:?}");
    assert_eq!(seen[0], "old", "nothing is restored in no time");
    restored(&daemon, &file);
    assert_eq!(whole(&daemon), "new");
}

#[test]
fn the_settings_keep_the_last_word_on_theirs() {
    let mut setup = Setup::new();
    let folder = Folder::new();
    let list = |name: &str| folder.write(name, format!("#EXTM3U\n#EXTINF:-1,{name}\nhttp://127.0.0.1:9/{name}.ts\n"));
    let (one, two) = (list("one.m3u"), list("two.m3u"));
    setup.set("lineup", &format!("playlist = {one:?}"));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let id = state(&daemon)["channels"][0][0].as_u64().unwrap();
    edit(&daemon, &json!({"channels": [id], "name": "Meiner"}));
    let revision = configurations(&daemon)[0].0;
    let mut setup = daemon.setup.clone();
    drop(daemon);
    setup.set("lineup", &format!("playlist = {two:?}"));
    let daemon = setup.start();
    wait_until("the other list is there", LIMIT, || state(&daemon)["channels"][0][2] == "two.m3u");
    back_to(&daemon, revision);
    assert_eq!(state(&daemon)["channels"][0][2], "two.m3u", "its address is the settings'");
}

#[test]
fn who_has_seen_something_older_does_not_write_over_it() {
    let daemon = Daemon::demo();
    let seen = daemon.get("/api/v1/faces").header("etag").unwrap().to_owned();
    let address = daemon.address();
    let write = |if_match: &str| {
        let body = "{\"name\":\"Attic\"}";
        let head = format!(
            "PATCH /api/v1/settings HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             If-Match: {if_match}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        http::ask(address, 8080, &head).status
    };
    assert_eq!(write("\"x\""), 412);
    assert_eq!(write(&format!("\"x\", {seen}")), 204);
    assert_ne!(daemon.get("/api/v1/settings").header("etag"), Some(seen.as_str()));
    assert_eq!(write(&seen), 412, "somebody else has written");
    assert_eq!(write("*"), 204);
}

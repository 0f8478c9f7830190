//! Subscriptions as their owner meets them: added, chosen from, edited, refreshed, taken back. And what hostile ones do.

use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Folder, Setup, http, wait_until};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) fn post(daemon: &Daemon, target: &str, body: &Value) -> http::Answer {
    daemon.call(target, body)
}

fn get(daemon: &Daemon, target: &str) -> Value {
    let answer = daemon.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Posts what must work.
pub(crate) fn good(daemon: &Daemon, target: &str, body: &Value) -> Value {
    let answer = post(daemon, target, body);
    assert!((200..300).contains(&answer.status), "{target} {body}: {} {}", answer.status, answer.text());
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

/// Posts what must be refused, and gives the field.
pub(crate) fn refused(daemon: &Daemon, target: &str, body: &Value) -> String {
    let answer = post(daemon, target, body);
    assert_eq!(answer.status, 422, "{target} {body}: {}", answer.text());
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(!said["detail"].as_str().unwrap().is_empty());
    said["field"].as_str().unwrap().to_owned()
}

pub(crate) fn subscription(daemon: &Daemon, id: u64) -> Value {
    let all = get(daemon, "/api/v1/subscriptions");
    all.as_array().unwrap().iter().find(|one| one["id"] == id).cloned().unwrap_or(Value::Null)
}

/// Adds one and waits until it was fetched.
pub(crate) fn add(daemon: &Daemon, body: &Value) -> u64 {
    let id = good(daemon, "/api/v1/subscriptions", body)["id"].as_u64().unwrap();
    settled(daemon, id);
    id
}

fn settled(daemon: &Daemon, id: u64) {
    wait_until("the refresh ends", Duration::from_secs(30), || subscription(daemon, id)["in_progress"] == false);
}

fn refresh(daemon: &Daemon, id: u64) {
    good(daemon, &format!("/api/v1/subscriptions/{id}/refresh"), &Value::Null);
    settled(daemon, id);
}

fn names(daemon: &Daemon) -> Vec<String> {
    daemon.channels().into_iter().map(|(_, name)| name).collect()
}

pub(crate) fn channel_ids(daemon: &Daemon, search: &str) -> Vec<u64> {
    let page = get(daemon, &format!("/api/v1/channels?search={search}"));
    page["items"].as_array().unwrap().iter().map(|channel| channel["id"].as_u64().unwrap()).collect()
}

fn playlist(entries: &[(&str, &str)]) -> String {
    entries.iter().fold("#EXTM3U\n".to_owned(), |mut text, (name, group)| {
        writeln!(text, "#EXTINF:-1 group-title=\"{group}\",{name}\nhttp://127.0.0.1:9/{name}.ts").unwrap();
        text
    })
}

#[test]
fn a_subscription_lives_from_adding_to_removing() {
    let source = Source::document(playlist(&[("A", "UK"), ("B", "DE"), ("C", "UK")]));
    let daemon = Daemon::demo();
    let id = add(&daemon, &json!({"kind": "playlist", "address": source.url("/me/SECRET42.m3u?token=SECRET42")}));
    assert_eq!(names(&daemon), ["A", "B", "C"], "the demo channels make room");
    let groups = get(&daemon, &format!("/api/v1/subscriptions/{id}/groups"));
    assert_eq!(groups.as_array().unwrap().len(), 2, "{groups}");
    good(&daemon, &format!("PUT /api/v1/subscriptions/{id}/groups"), &json!({"groups": ["UK"]}));
    assert_eq!(names(&daemon), ["A", "C"]);
    let entries = get(&daemon, &format!("/api/v1/subscriptions/{id}/entries?search=b"));
    assert_eq!((&entries["items"][0]["name"], &entries["next"]), (&"B".into(), &Value::Null));
    let page = get(&daemon, &format!("/api/v1/subscriptions/{id}/entries?group=UK&limit=1"));
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let rest = get(&daemon, &format!("/api/v1/subscriptions/{id}/entries?group=UK&limit=1&after={}", page["next"]));
    assert_eq!(rest["items"][0]["name"], "C");
    // Not even its secrets are shown.
    let shown = daemon.get("/api/v1/subscriptions");
    assert!(!shown.text().contains("token=SECRET42"), "{}", shown.text());
    for (target, body, field) in [
        ("/api/v1/subscriptions".to_owned(), json!({"kind": "carrier pigeon"}), "kind"),
        ("/api/v1/subscriptions".to_owned(), json!({"kind": "playlist", "address": "file:///etc/passwd"}), "address"),
        ("/api/v1/subscriptions".to_owned(), json!({"kind": "playlist", "address": "/etc/passwd"}), "address"),
        ("/api/v1/subscriptions".to_owned(), json!({"kind": "xtream", "address": "http://h/"}), "username"),
        ("/api/v1/subscriptions".to_owned(), json!({"kind": "playlist", "adress": "http://h/"}), "body"),
        (format!("PATCH /api/v1/subscriptions/{id}"), json!({"refresh_s": 1}), "refresh_s"),
        (format!("PUT /api/v1/subscriptions/{id}/groups"), json!({"groups": ["FR"]}), "groups"),
        (format!("PUT /api/v1/subscriptions/{id}/groups"), json!({}), "body"),
        (format!("PUT /api/v1/subscriptions/{id}/ranges"), json!({"group": "UK"}), "body"),
        ("PATCH /api/v1/channels".to_owned(), json!({"channels": [], "merge": true}), "channels"),
        ("PATCH /api/v1/channels".to_owned(), json!({"channels": [99_999], "name": "x"}), "channels"),
    ] {
        assert_eq!(refused(&daemon, &target, &body), field, "{target} {body}");
    }
    for nobody in ["POST /api/v1/subscriptions/77/refresh", "PATCH /api/v1/subscriptions/x"] {
        assert_eq!(post(&daemon, nobody, &Value::Null).status, 404);
    }
    // A page of somebody else does not get in.
    let address = daemon.address();
    let foreign = format!(
        "DELETE /api/v1/subscriptions/{id} HTTP/1.1\r\nHost: {address}:8080\r\nOrigin: http://evil.example\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(http::ask(address, 8080, &foreign).status, 403);
    let refused = post(&daemon, "PUT /api/v1/subscriptions", &Value::Null);
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, POST")));
    good(&daemon, &format!("DELETE /api/v1/subscriptions/{id}"), &Value::Null);
    wait_until("the demo channels are back", Duration::from_secs(10), || {
        names(&daemon).first().is_some_and(|name| name.contains("Demo"))
    });
    assert!(!daemon.log().contains("SECRET42"), "{}", daemon.log());
}

#[test]
fn what_the_owner_edits_is_his_through_every_refresh_and_restart() {
    // At stake: the evening somebody spent on his channels. Edited in every way; refreshed with renamed, moved, new and
    // missing entries; started anew.
    let source = Source::document(playlist(&[("A", "UK"), ("B", "DE"), ("C", "UK"), ("D", "UK")]));
    let mut setup = Setup::new();
    setup.set("lineup", &format!("playlist = {:?}", source.url("/list.m3u")));
    let daemon = setup.start();
    daemon.wait_for_lineup();
    wait_until("it is read", Duration::from_secs(10), || !daemon.is_scanning());
    let [a, b, c, d] = channel_ids(&daemon, "")[..] else { panic!("{:?}", daemon.channels()) };
    let edit = |body: &Value| good(&daemon, "PATCH /api/v1/channels", body);
    edit(&json!({"channels": [a], "name": "Mine"}));
    edit(&json!({"channels": [b, c], "number_from": "100"}));
    edit(&json!({"channels": [d], "move_behind": 0}));
    edit(&json!({"channels": [c], "group": "Own"}));
    edit(&json!({"channels": [b], "mark": "hidden"}));
    let own = [("DE", 1), ("Own", 1), ("UK", 2)].map(|(name, channels)| json!({"name": name, "channels": channels}));
    assert_eq!(get(&daemon, "/api/v1/channels/groups"), Value::from(own.to_vec()));
    assert_eq!(get(&daemon, "/api/v1/channels?group=Own")["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        refused(&daemon, "PATCH /api/v1/channels", &json!({"channels": [a], "number_from": "2"})),
        "number_from"
    );
    let expected = [("4", "D"), ("1", "Mine"), ("101", "C")].map(|(n, name)| (n.to_owned(), name.to_owned()));
    assert_eq!(daemon.channels(), expected);
    source.turn(Manner::document(playlist(&[
        ("C", "Elsewhere"),
        ("New", "UK"),
        ("A", "DE"),
        ("B", "DE"),
        ("D", "UK"),
    ])));
    daemon.scan();
    let after =
        [("4", "D"), ("101", "C"), ("5", "New"), ("1", "Mine")].map(|(n, name)| (n.to_owned(), name.to_owned()));
    assert_eq!(daemon.channels(), after);
    let shown = get(&daemon, "/api/v1/channels?search=mine");
    assert_eq!((&shown["items"][0]["listed_name"], &shown["items"][0]["number"]), (&"A".into(), &"1".into()));
    source.turn(Manner::Silent);
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    daemon.wait_for_lineup();
    assert_eq!(daemon.channels(), after);
}

#[test]
fn changes_are_shown_held_and_taken_back() {
    let (one, two) = (playlist(&[("A", ""), ("B", "")]), playlist(&[("A", ""), ("C", "")]));
    let source = Source::document(&one);
    let daemon = Daemon::demo();
    let id = add(&daemon, &json!({"kind": "playlist", "address": source.url("/l.m3u"), "name": "TV"}));
    let numbers = daemon.channels();
    source.turn(Manner::document(&two));
    refresh(&daemon, id);
    assert_eq!(names(&daemon), ["A", "C"]);
    let sets = get(&daemon, &format!("/api/v1/subscriptions/{id}/changes"));
    assert_eq!((&sets[0]["state"], &sets[0]["new"], &sets[0]["gone"]), (&"applied".into(), &1.into(), &1.into()));
    let inside = get(&daemon, &format!("/api/v1/subscriptions/{id}/changes/{}", sets[0]["batch"]));
    assert_eq!(inside["items"].as_array().unwrap().len(), 2, "{inside}");
    good(&daemon, &format!("/api/v1/subscriptions/{id}/undo"), &Value::Null);
    assert_eq!(daemon.channels(), numbers, "as it was, numbers and all");
    assert_eq!(subscription(&daemon, id)["held"], true);
    refresh(&daemon, id);
    assert_eq!(daemon.channels(), numbers, "what was taken back does not come again by itself");
    source.turn(Manner::document(playlist(&[("A", ""), ("B", ""), ("E", "")])));
    refresh(&daemon, id);
    assert_eq!(daemon.channels(), numbers);
    assert_eq!(get(&daemon, &format!("/api/v1/subscriptions/{id}/changes"))[0]["state"], "waiting");
    good(&daemon, &format!("/api/v1/subscriptions/{id}/approve"), &Value::Null);
    assert_eq!(names(&daemon), ["A", "B", "E"]);
    assert_eq!(post(&daemon, &format!("/api/v1/subscriptions/{id}/approve"), &Value::Null).status, 404);
}

#[test]
fn an_xtream_login_brings_channels_and_what_the_account_allows() {
    let folder = Folder::new();
    let put = |action: &str, text: &Value| {
        let name = format!("player_api.php?username=me%40home&password=p%2Fw{action}");
        folder.write(&name, text.to_string());
    };
    let user = |status: &str| json!({"user_info": {"auth": 1, "status": status, "exp_date": "1900000000", "max_connections": "2"}});
    put("", &user("Active"));
    put("&action=get_live_categories", &json!([{"category_id": "1", "category_name": "News"}]));
    let stream =
        |id: u32, name: &str| json!({"stream_id": id, "name": name, "category_id": "1", "epg_channel_id": name});
    put("&action=get_live_streams", &json!([stream(1, "One"), stream(2, "Two"), {"name": "broken"}, 7]));
    let source = Source::folder(folder.path());
    let daemon = Daemon::demo();
    let login = json!({"kind": "xtream", "address": source.url("/"), "username": "me@home", "password": "p/w"});
    let id = add(&daemon, &login);
    assert_eq!(names(&daemon), ["One", "Two"]);
    let shown = subscription(&daemon, id);
    assert_eq!(shown["account"]["connections_max"], 2);
    assert!(shown["account"]["expires_at"].as_str().unwrap().starts_with("2030"), "{shown}");
    assert_eq!((&shown["skipped"], shown.get("password")), (&2.into(), None));
    assert_eq!(get(&daemon, "/api/v1/channels")["items"][0]["group"], "News");
    put("", &user("Expired"));
    refresh(&daemon, id);
    let problem = daemon.problem("playlist").unwrap();
    assert!(problem.contains("expired") && problem.contains("The channels it had before stay."), "{problem}");
    assert_eq!(names(&daemon), ["One", "Two"]);
    for answer in ["[]", "{}", "<html>", "", "{\"user_info\":{\"auth\":0}}"] {
        folder.write("player_api.php?username=me%40home&password=p%2Fw", answer);
        refresh(&daemon, id);
        assert!(daemon.problem("playlist").is_some(), "{answer}");
    }
    assert!(!daemon.log().contains("p%2Fw") && !daemon.log().contains("p/w"), "{}", daemon.log());
}

#[test]
fn another_box_is_a_subscription_too() {
    let first = Daemon::demo();
    let second = Daemon::demo();
    let id = add(&second, &json!({"kind": "hdhomerun", "address": format!("http://{}:8080/", first.address())}));
    let shown = subscription(&second, id);
    assert_eq!((&shown["entries"], &shown["account"]["connections_max"]), (&4.into(), &4.into()), "{shown}");
    assert_eq!(names(&second), names(&first));
}

#[test]
fn an_uploaded_playlist_stays_until_the_next() {
    let daemon = Daemon::demo();
    let id = good(&daemon, "/api/v1/subscriptions", &json!({"kind": "upload", "name": "Mine"}))["id"].as_u64().unwrap();
    let upload =
        |body: &[u8]| daemon.send(&format!("PUT /api/v1/subscriptions/{id}/playlist"), "audio/x-mpegurl", body);
    assert_eq!(upload(playlist(&[("A", ""), ("B", "")]).as_bytes()).text(), "{\"entries\":2}");
    assert_eq!(names(&daemon), ["A", "B"]);
    for bad in [&b"<html>"[..], b"", b"\x1f\x8b\x08\0", &[0xff; 100], b"#EXTM3U\n"] {
        let answer = upload(bad);
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert_eq!(names(&daemon), ["A", "B"]);
    }
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    daemon.wait_for_lineup();
    assert_eq!(names(&daemon), ["A", "B"]);
}

/// A provider who knows versions, and who notes what he was asked.
fn with_versions(body: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/list.m3u", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && std::io::Read::read(&mut stream, &mut byte).is_ok_and(|len| len > 0) {
                head.extend(byte);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let answer = if head.contains("if-none-match: \"v1\"") {
                "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_owned()
            } else {
                let len = body.len();
                format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
            };
            noted.lock().unwrap().push(head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, heads)
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let (url, heads) = with_versions(playlist(&[("A", "")]));
    let daemon = Daemon::demo();
    let id = add(&daemon, &json!({"kind": "playlist", "address": url, "user_agent": "VLC/3.0"}));
    refresh(&daemon, id);
    assert_eq!((names(&daemon), daemon.problem("playlist")), (vec!["A".to_owned()], None));
    let heads = heads.lock().unwrap();
    assert!(!heads[0].contains("if-none-match") && heads[1].contains("if-none-match"), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains("user-agent: vlc/3.0")), "{heads:?}");
}

#[test]
fn a_refresh_can_be_given_up() {
    let source = Source::document(playlist(&[("A", "")]));
    let daemon = Daemon::demo();
    let id = add(&daemon, &json!({"kind": "playlist", "address": source.url("/l.m3u")}));
    source.turn(Manner::halting(&playlist(&[("B", ""), ("C", "")]), ""));
    good(&daemon, &format!("/api/v1/subscriptions/{id}/refresh"), &Value::Null);
    wait_until("it goes on", Duration::from_secs(10), || source.open_now() > 0);
    good(&daemon, &format!("/api/v1/subscriptions/{id}/cancel"), &Value::Null);
    wait_until("it ends", Duration::from_secs(5), || subscription(&daemon, id)["in_progress"] == false);
    assert_eq!((names(&daemon), daemon.problem("playlist")), (vec!["A".to_owned()], None));
}

#[test]
fn guides_of_all_playlists_are_fetched_and_found_by_the_providers_ids() {
    // At stake: the guide of whoever has two providers, and gives channels names of his own.
    let guide = |id: &str| {
        Source::document(format!("<tv><channel id=\"{id}\"><display-name>As there</display-name></channel></tv>"))
    };
    let (one, two) = (guide("one.de"), guide("two.de"));
    let list = |guide: &Source, id: &str, name: &str| {
        let guide = guide.url("/guide.xml");
        format!(
            "#EXTM3U url-tvg=\"{guide}\"\n#EXTINF:-1 tvg-id=\"{id}\" tvg-logo=\"http://h/logo.png\",{name}\nhttp://h/{name}\n"
        )
    };
    let mut setup = Setup::new();
    setup.playlist(list(&one, "one.de", "A"));
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let second = Source::document(list(&two, "two.de", "B"));
    let id = add(&daemon, &json!({"kind": "playlist", "address": second.url("/l.m3u")}));
    let b = channel_ids(&daemon, "B")[0];
    good(&daemon, "PATCH /api/v1/channels", &json!({"channels": [b], "name": "Mine"}));
    let named = || get(&daemon, "/api/v1/guides")["guides"].as_array().unwrap().len();
    wait_until("both guides are there", Duration::from_secs(30), || {
        let matches = &get(&daemon, "/api/v1/guides/matches")["items"];
        let found = |at: usize| (matches[at]["guide_channel"].clone(), matches[at]["reason"].clone());
        named() == 2
            && [found(0), found(1)] == [("one.de", "same-id"), ("two.de", "same-id")].map(|(a, b)| (a.into(), b.into()))
    });
    for list in ["/lineup.m3u", "/playlist.m3u"] {
        let text = daemon.get(list).text().to_owned();
        assert!(text.contains(":8080/logos/") && !text.contains("http://h/logo.png"), "{list}: {text}");
    }
    good(&daemon, &format!("PATCH /api/v1/subscriptions/{id}"), &json!({"enabled": false}));
    wait_until("who is switched off names none", Duration::from_secs(30), || named() == 1);
}

#[test]
fn logos_come_from_us_and_only_those_of_channels() {
    let png = b"\x89PNG\r\n\x1a\n0123456789";
    let logos = Source::document(png);
    let (svg, huge) =
        (Source::document("<svg onload='alert(1)'/>"), Source::document([&png[..], &vec![0; 300_000]].concat()));
    let logo = |name: &str, url: &str| format!("#EXTINF:-1 tvg-logo=\"{url}\",{name}\nhttp://127.0.0.1:9/{name}.ts\n");
    let text = format!(
        "#EXTM3U\n{}{}{}{}",
        logo("A", &logos.url("/SECRET42/a.png")),
        logo("B", &svg.url("/b.svg")),
        logo("C", &huge.url("/c.png")),
        logo("D", "https://logos.example/d.png")
    );
    let mut setup = Setup::new();
    setup.playlist(text);
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let list = daemon.get("/lineup.m3u").text().to_owned();
    let urls: Vec<&str> = list.split("tvg-logo=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(urls[3], "https://logos.example/d.png");
    let path = |at: usize| urls[at].split_once(":8080").unwrap().1;
    for _ in 0..3 {
        let answer = daemon.get(path(0));
        assert_eq!((answer.status, answer.body.as_slice()), (200, &png[..]));
        assert_eq!(answer.header("content-type"), Some("image/png"));
        assert!(answer.header("cache-control").unwrap().contains("immutable"));
        assert_eq!((daemon.get(path(1)).status, daemon.get(path(2)).status), (404, 404));
    }
    assert_eq!((logos.connections(), svg.connections(), huge.connections()), (1, 1, 1), "each is asked once");
    for nothing in ["/logos/1/0000000000000000", "/logos/99/0000000000000000", "/logos/1/x", "/logos/-1/0", "/logos/"] {
        assert_eq!(daemon.get(nothing).status, 404, "{nothing}");
    }
    assert!(!list.contains("SECRET42"));
}

// ---- Too much, and worse (M01, M02, S36) ----------------------------------------------------------------------------

#[test]
fn what_does_not_fit_is_not_cut_and_says_what_to_do() {
    let mut text = "#EXTM3U\n".to_owned();
    for n in 0..70_000 {
        writeln!(text, "#EXTINF:-1 group-title=\"G{}\",Channel {n}\nhttp://127.0.0.1:9/{n}.ts", n / 500).unwrap();
    }
    let mut setup = Setup::new();
    setup.playlist(text);
    let mut daemon = setup.start();
    wait_until("it says that it is too much", Duration::from_secs(60), || daemon.problem("groups").is_some());
    let problem = daemon.problem("groups").unwrap();
    assert!(problem.contains("70000") && problem.contains("65536") && problem.contains("groups ="), "{problem}");
    assert_eq!(daemon.get("/lineup.json").status, 503, "no list is better than half of one");
    daemon.setup.set("lineup", "groups = [\"G7\", \"G139\"]");
    daemon.hang_up();
    daemon.wait_for_lineup();
    wait_until("it fits", Duration::from_secs(60), || !daemon.is_scanning() && daemon.problem("groups").is_none());
    let channels = names(&daemon);
    assert_eq!(
        (channels.len(), channels[0].as_str(), channels[999].as_str()),
        (1_000, "Channel 3500", "Channel 69999")
    );
    let answer = post(&daemon, "PUT /api/v1/subscriptions/1/groups", &json!({"groups": null}));
    assert_eq!(answer.status, 204, "all of it is what the owner may want; he is told");
    wait_until("it is told again", Duration::from_secs(20), || daemon.problem("groups").is_some());
    assert!(names(&daemon).len() >= 1_000, "the channels that are there stay");
}

/// A body that never ends, at full speed; how much of it was taken.
fn endless(piece: &'static [u8]) -> (String, Arc<Mutex<u64>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/list.m3u", listener.local_addr().unwrap());
    let sent = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&sent);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // An answer that comes before its question is none.
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n#EXTM3U\n");
            let block = piece.repeat(65_536 / piece.len());
            while stream.write_all(&block).is_ok() {
                *counted.lock().unwrap() += block.len() as u64;
            }
        }
    });
    (url, sent)
}

fn resident_kib(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_gigabyte_costs_bounded_memory_and_the_old_lineup_stays() {
    // At stake: the box. One line without end, names without end, entries without end, NULs: each is cut off with a
    // reason, the peak of memory stays near what it was, and clients keep their channels.
    let source = Source::document(playlist(&[("A", "")]));
    let daemon = Daemon::demo();
    let id = add(&daemon, &json!({"kind": "playlist", "address": source.url("/l.m3u")}));
    let before = resident_kib(&daemon);
    for (what, piece, why) in [
        ("one line", &b"x"[..], "larger than 64 MiB"),
        ("names", b"#EXTINF:-1,one of very many names without an address\n", "larger than 64 MiB"),
        ("entries", b"#EXTINF:-1,x\nhttp://h/\n", "more than 262144"),
        ("groups", b"#EXTINF:-1,x\nhttp://h/\n\0", "not a playlist"),
    ] {
        let (url, sent) = endless(piece);
        let began = Instant::now();
        good(&daemon, &format!("PATCH /api/v1/subscriptions/{id}"), &json!({"address": url}));
        // Until it ends: what the last one failed on is still told before.
        wait_until(what, Duration::from_secs(170), || subscription(&daemon, id)["in_progress"] == false);
        let (taken, problem) = (*sent.lock().unwrap(), daemon.problem("playlist").unwrap_or_default());
        assert!(problem.contains(why), "{what}: {problem}");
        assert!(taken < 80 << 20, "{what}: {taken} bytes in {:?}", began.elapsed());
        assert_eq!(names(&daemon), ["A"], "{what}");
    }
    let peak = resident_kib(&daemon);
    assert!(peak - before < 64 * 1024, "{before} KiB before, {peak} KiB at the peak");
}

#[test]
fn addresses_that_reach_for_the_box_are_no_channels() {
    let hostile = [
        "file:///etc/passwd",
        "concat:http://a/|http://b/",
        "pipe:0",
        "-i",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "http://a b/",
        "http://a@b@c/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://\u{e4}.example/",
        "http://h/\\..\\",
        "data:text/plain,x",
        "udp://239.0.0.1:1234?localaddr=1.2.3.4",
    ];
    let text = hostile.iter().fold("#EXTM3U\n".to_owned(), |text, address| text + "#EXTINF:-1,Bad\n" + address + "\n");
    let source = Source::document(
        text + "#EXTINF:-1,Good\nhttp://127.0.0.1:9/good.ts|User-Agent=a%0d%0aHost:%20b&Referer=x%0ay\n",
    );
    let daemon = Daemon::demo();
    let id = add(&daemon, &json!({"kind": "playlist", "address": source.url("/l.m3u")}));
    assert_eq!(names(&daemon), ["Good"]);
    assert_eq!(subscription(&daemon, id)["skipped"], hostile.len());
}

//! How the box is right now, for those who keep looking, and the one button of each tuner.

use crate::kit::{Daemon, SOON, http, wait_until};
use serde_json::{Value, json};
use std::io::{BufReader, Read as _};
use std::time::Duration;

/// The next status that is told.
fn event(stream: &mut impl std::io::BufRead) -> Value {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "it ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[test]
fn whoever_listens_is_told_how_the_box_is_again_and_again() {
    let daemon = Daemon::demo();
    let (head, stream) = http::open(daemon.address(), 8080, "/api/v1/events");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let mut stream = BufReader::new(stream);
    assert_eq!(event(&mut stream)["tuners"][0]["state"], "free");
    let (_, _watching) = http::open(daemon.address(), 5004, "/auto/v1.1");
    wait_until("it is told that somebody watches", SOON, || event(&mut stream)["tuners"][0]["state"] == "playing");
    let history: Value = serde_json::from_slice(&daemon.get("/api/v1/history").body).unwrap();
    assert_eq!(history["tuners_len"], history["tuners_len"].as_u64().unwrap());
    assert_eq!(history["minutes"][0]["tuners_used"], 0, "{history}");
    let status = daemon.status();
    assert!(
        status["board_health"]["memory_total_bytes"].as_u64() > status["board_health"]["memory_used_bytes"].as_u64()
    );
}

#[test]
fn a_tuner_that_is_freed_sends_its_viewers_away_and_may_be_had_at_once() {
    let daemon = Daemon::demo();
    let (_, mut watching) = http::open(daemon.address(), 5004, "/tuner0/v1.1");
    wait_until("it plays", SOON, || daemon.status()["tuners"][0]["state"] == "playing");
    for (target, status) in [("x", 404), ("99", 404), ("256", 404), ("0", 204)] {
        assert_eq!(daemon.call(&format!("/api/v1/tuners/{target}/free"), &Value::Null).status, status, "{target}");
    }
    let mut rest = Vec::new();
    watching.read_to_end(&mut rest).unwrap();
    wait_until("nothing lingers", Duration::from_secs(3), || daemon.status()["tuners"][0]["state"] == "free");
    assert_eq!(daemon.get("/api/v1/tuners/0/free").status, 405);
}

#[test]
fn a_source_tells_how_it_is_at_a_glance() {
    let source = crate::kit::source::Source::document("#EXTM3U\n#EXTINF:-1,A\nhttp://127.0.0.1:9/a.ts\n");
    let daemon = Daemon::demo();
    let body = json!({"kind": "playlist", "name": "Mine", "address": source.url("/l.m3u"), "streams_max": 2});
    crate::subscriptions::add(&daemon, &body);
    let shown = &daemon.status()["sources"][0];
    assert_eq!((&shown["name"], &shown["state"], &shown["entries"]), (&json!("Mine"), &json!("ok"), &json!(1)));
    assert_eq!(shown["streams"], json!({"used": 0, "max": 2}));
}

#[test]
fn what_the_owner_calls_the_box_is_what_clients_call_it() {
    let daemon = Daemon::demo();
    let name = |daemon: &Daemon| -> String {
        let discover: Value = serde_json::from_slice(&daemon.get("/discover.json").body).unwrap();
        discover["FriendlyName"].as_str().unwrap().to_owned()
    };
    let before = name(&daemon);
    let settings = |daemon: &Daemon| -> Value {
        let all: Value = serde_json::from_slice(&daemon.get("/api/v1/settings").body).unwrap();
        json!({"name": all["name"], "time_zone": all["time_zone"]})
    };
    assert_eq!(settings(&daemon), json!({"name": before, "time_zone": null}));
    let said = daemon.call("PATCH /api/v1/settings", &json!({"name": " Attic ", "time_zone": "Europe/Berlin"}));
    assert_eq!(said.status, 204, "{}", said.text());
    assert_eq!(name(&daemon), "Attic");
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(33)}), "name"),
        (json!({"time_zone": "../etc/passwd"}), "time_zone"),
        (json!({"nickname": "x"}), "body"),
    ] {
        assert_eq!(crate::subscriptions::refused(&daemon, "PATCH /api/v1/settings", &body), field);
    }
    // It outlives a start, and what the settings say comes back when it is taken back.
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    wait_until("it is recalled", SOON, || name(&daemon) == "Attic");
    assert_eq!(settings(&daemon), json!({"name": "Attic", "time_zone": "Europe/Berlin"}));
    assert_eq!(daemon.call("PATCH /api/v1/settings", &json!({"name": null})).status, 204);
    assert_eq!(name(&daemon), before);
}

#[test]
fn what_goes_to_somebody_who_helps_has_all_of_it_and_no_secret() {
    let source = crate::kit::source::Source::document("#EXTM3U\n#EXTINF:-1,A\nhttp://127.0.0.1:9/SECRET42.ts\n");
    let daemon = Daemon::demo();
    crate::subscriptions::add(&daemon, &json!({"kind": "playlist", "address": source.url("/l.m3u?token=SECRET42")}));
    let answer = daemon.get("/api/v1/support");
    for part in ["==== status", "==== the last hour", "==== alarms", "==== clients", "==== log", "is ready as device"] {
        assert!(answer.text().contains(part), "{part}");
    }
    assert!(!answer.text().contains("SECRET42"), "{}", answer.text());
    let found: Value = serde_json::from_slice(&daemon.get("/api/v1/logs?search=IS%20READY&limit=5").body).unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
}

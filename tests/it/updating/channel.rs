//! The update channel, against servers that mean harm: each threat is refused with words of its own, and nothing is
//! written.

use super::{Box, update, wait_for_state};
use crate::kit::source::Source;
use crate::kit::{Daemon, SOON, http, wait_until};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const BUNDLE: &[u8] = &[7; 100_000];
/// Longer than it takes to be installed by itself, where it is.
const A_WHILE: Duration = Duration::from_secs(20);

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

/// A channel as it is published.
#[derive(Clone)]
struct Published {
    file: Value,
    key_serial: u64,
    key_expires: &'static str,
    root: u8,
    named: u8,
    release: u8,
}

impl Published {
    fn new(serial: u64) -> Self {
        let bundle = json!({"url": "tunerd.raucb", "sha256": hex(digest(&SHA256, BUNDLE)), "size": BUNDLE.len()});
        let file = json!({
            "format": 1, "serial": serial, "expires": "2099-01-01T00:00:00Z", "version": "1.2", "percentage": 100,
            "bundles": {"tunerd-test": bundle},
        });
        Self { file, key_serial: 1, key_expires: "2099-01-01T00:00:00Z", root: 1, named: 2, release: 2 }
    }

    fn with(&self, name: &str, value: Value) -> Self {
        let mut other = self.clone();
        other.file[name] = value;
        other
    }

    /// Puts it where the box asks.
    fn put(&self, it: &Box) {
        let sign = |seed: u8, word: &str, text: &str| hex(pair(seed).sign(format!("{word}\n{text}").as_bytes()));
        let document = self.file.to_string();
        let key = hex(pair(self.named).public_key());
        let record =
            json!({"format": 1, "serial": self.key_serial, "expires": self.key_expires, "key": key}).to_string();
        let (root, release) =
            (sign(self.root, "tunerd release key", &record), sign(self.release, "tunerd update channel", &document));
        it.write("served/stable.json", &document);
        let envelope = format!("tunerd-signature 1\nkey {record}\nroot {root}\nrelease {release}\n");
        it.write("served/stable.json.sig", &envelope);
    }
}

/// A box, its server, and a channel that its owner chose.
fn following() -> (Box, Source, Daemon) {
    let (it, server) = serving();
    let daemon = it.start();
    let settings = json!({"update_channel": server.url("/stable.json"), "update_automatic": false});
    assert_eq!(daemon.call("PATCH /api/v1/settings", &settings).status, 204);
    (it, server, daemon)
}

/// A box, and the server of a channel.
fn serving() -> (Box, Source) {
    let it = Box::new();
    fs::create_dir_all(it.path("served")).unwrap();
    fs::create_dir_all(it.path("etc/tunerd")).unwrap();
    it.write("etc/tunerd/channel.pub", &hex(pair(1).public_key()));
    fs::write(it.path("served/tunerd.raucb"), BUNDLE).unwrap();
    let server = Source::folder(&it.path("served"));
    (it, server)
}

/// Has the box ask its channel until that is seen.
fn wait_for(daemon: &Daemon, what: &str, seen: impl Fn(&Value) -> bool) {
    wait_until(what, SOON, || {
        daemon.call("/api/v1/update/check", &Value::Null);
        seen(&update(daemon))
    });
}

/// Asks for what the channel has, and gives why there is nothing.
fn refused(daemon: &Daemon) -> String {
    let asked = json!({"address": "channel", "now": true});
    wait_until("the last one is over", SOON, || daemon.call("/api/v1/update/install", &asked).status == 202);
    wait_until("it is refused", SOON, || !update(daemon)["problem"].is_null() && update(daemon)["state"] == "idle");
    update(daemon)["problem"]["detail"].as_str().unwrap().to_owned()
}

#[test]
fn what_the_channel_has_is_told_fetched_checked_and_installed() {
    let (it, _server, daemon) = following();
    it.write("go", "");
    Published::new(1).put(&it);
    wait_until("it is told", SOON, || {
        // The daemon takes the wish over before it asks.
        daemon.call("/api/v1/update/check", &Value::Null);
        update(&daemon)["available"] == "1.2"
    });
    assert_eq!((it.written().len(), &update(&daemon)["state"]), (0, &json!("idle")), "it is not automatic");
    let asked = json!({"address": "channel", "now": true});
    assert_eq!(daemon.call("/api/v1/update/install", &asked).status, 202);
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
    assert_eq!(it.written().len(), 1);
}

#[test]
fn each_threat_is_refused_with_words_of_its_own() {
    let (it, _server, daemon) = following();
    wait_until("the wish is known", SOON, || daemon.call("/api/v1/update/check", &Value::Null).status == 202);
    let good = Published::new(10);
    let signature = "the update channel is not signed by who may sign it";
    let stories: [(&str, Published, &str); 11] = [
        ("wrong root", Published { root: 3, ..good.clone() }, signature),
        ("wrong release key", Published { release: 3, ..good.clone() }, signature),
        (
            "expired key",
            Published { key_expires: "2020-01-01T00:00:00Z", ..good.clone() },
            "key of the update channel has",
        ),
        ("freeze", good.with("expires", json!("2020-01-01T00:00:00Z")), "is too old"),
        ("another format", good.with("format", json!(2)), "does not understand"),
        ("wrong board", good.with("bundles", json!({})), "nothing newer for this box"),
        ("older version", good.with("version", json!("1.0")), "nothing newer for this box"),
        ("hold", good.with("hold", json!(true)), "nothing newer for this box"),
        ("aborted", good.with("abort", json!(["1.2.0"])), "nothing newer for this box"),
        ("not yet ours", good.with("percentage", json!(0)), "nothing newer for this box"),
        ("endless channel", good.with("more", json!("x".repeat(20_000))), "does not understand"),
    ];
    for (what, published, words) in stories {
        published.put(&it);
        let said = refused(&daemon);
        assert!(said.contains(words), "{what}: {said}");
    }
    // What was good once comes again, after something newer.
    good.put(&it);
    fs::write(it.path("served/tunerd.raucb"), b"another bundle").unwrap();
    assert!(refused(&daemon).contains("it is not what the update channel announced"), "mixed files");
    fs::write(it.path("served/tunerd.raucb"), &BUNDLE[..50_000]).unwrap();
    assert!(refused(&daemon).contains("it is not what the update channel announced"), "truncated");
    fs::write(it.path("served/tunerd.raucb"), [BUNDLE, BUNDLE].concat()).unwrap();
    assert!(refused(&daemon).contains("it is not what the update channel announced"), "endless data");
    Published::new(9).put(&it);
    assert!(refused(&daemon).contains("something older than before"), "replay");
    // The bundle is what the channel says, and RAUC does not trust its signer.
    fs::write(it.path("served/tunerd.raucb"), BUNDLE).unwrap();
    good.put(&it);
    it.write("info.exit", "1");
    assert!(refused(&daemon).contains("the keyring of this box trusts"));
    it.write("info.exit", "0");
    // It is signed, and below what the channel said is safe.
    good.with("minimum_version", json!("1.3")).with("serial", json!(11)).put(&it);
    assert!(refused(&daemon).contains("older than the oldest version that is still safe"));
    // The key was replaced; the old one counts no more, whatever it signs.
    let rotated = Published { key_serial: 2, named: 4, release: 4, ..good.with("percentage", json!(0)) };
    rotated.put(&it);
    assert!(refused(&daemon).contains("nothing newer"), "the new key is believed");
    Published::new(1_000).put(&it);
    assert!(refused(&daemon).contains("signed with a key that was replaced"));
    assert_eq!(it.written(), [""; 0], "nothing was ever written");
}

// ---- What its makers call back ----------------------------------------------------------------------------------------

const CALLED_BACK: &str = "its makers have called it back";

#[test]
fn what_is_called_back_is_offered_no_more_and_nobody_installs_it() {
    let (it, _server, daemon) = following();
    Published::new(1).put(&it);
    wait_for(&daemon, "it is offered", |now| now["available"] == "1.2");
    Published::new(2).with("abort", json!(["1.2"])).put(&it);
    wait_for(&daemon, "it is not", |now| now["available"].is_null());
    assert!(update(&daemon)["problem"]["detail"].as_str().unwrap().contains(CALLED_BACK));
    // Nor does who has the file.
    let answer = daemon.send("POST /api/v1/update", "application/octet-stream", BUNDLE);
    assert!(answer.status == 409 && answer.text().contains(CALLED_BACK), "{}", answer.text());
    assert_eq!(it.written(), [""; 0]);
    assert_eq!(daemon.problem("version-recalled"), None);
}

#[test]
fn what_is_called_back_while_it_waits_is_not_written() {
    let (it, _server, daemon) = following();
    it.write("go", "");
    Published::new(1).put(&it);
    wait_for(&daemon, "it is offered", |now| now["available"] == "1.2");
    let (_, _viewer) = http::open(daemon.address(), 5004, "/auto/v1.1");
    assert_eq!(daemon.call("/api/v1/update/install", &json!({"address": "channel"})).status, 202);
    wait_for_state(&daemon, "waiting");
    Published::new(2).with("abort", json!(["1.2"])).put(&it);
    wait_for(&daemon, "it is dropped", |now| now["state"] == "idle");
    assert!(update(&daemon)["problem"]["detail"].as_str().unwrap().contains(CALLED_BACK));
    assert!(!it.setup.state_dir().join("upload.raucb").exists());
    assert_eq!(it.written(), [""; 0]);
}

#[test]
fn what_is_called_back_when_it_is_written_is_not_started() {
    let (it, _server, daemon) = following();
    Published::new(1).put(&it);
    wait_for(&daemon, "it is offered", |now| now["available"] == "1.2");
    assert_eq!(daemon.call("/api/v1/update/install", &json!({"address": "channel"})).status, 202);
    wait_until("RAUC writes", SOON, || update(&daemon)["state"] == "installing");
    let (_, _viewer) = http::open(daemon.address(), 5004, "/auto/v1.1");
    it.write("go", "");
    wait_for_state(&daemon, "written");
    Published::new(2).with("abort", json!(["1.2"])).put(&it);
    wait_for(&daemon, "it is dropped", |now| now["state"] == "idle");
    assert_eq!(it.written()[1..], ["status mark-active booted", "status mark-bad other"]);
    let now = update(&daemon);
    assert_eq!((&now["last"]["outcome"], &now["last"]["version"]), (&json!("failed"), &json!("1.2")));
    assert!(now["last"]["why"].as_str().unwrap().contains(CALLED_BACK), "{now}");
    assert!(!it.is_reboot_asked_for());
}

#[test]
fn what_is_called_back_when_it_runs_is_told_and_left_to_the_owner() {
    let (it, _server, daemon) = following();
    let held = Published::new(1).with("hold", json!(true));
    held.with("abort", json!(["1.1"])).put(&it);
    let is_told = || daemon.problem("version-recalled");
    wait_for(&daemon, "it is told", |_| is_told().is_some());
    let text = is_told().unwrap();
    assert!(text.contains("1.1, which runs here") && text.contains("Go back to 1.0"), "{text}");
    assert_eq!((it.written().len(), it.is_reboot_asked_for()), (0, false));
    // The next daemon knows it before it asks.
    drop(daemon);
    let daemon = it.start();
    wait_until("it is told again", SOON, || daemon.problem("version-recalled").is_some());
    held.with("serial", json!(2)).with("abort", json!(["1.0", "1.1"])).put(&it);
    wait_for(&daemon, "there is no good way back", |_| {
        daemon.problem("version-recalled").is_some_and(|text| !text.contains("Go back"))
    });
    held.with("serial", json!(3)).put(&it);
    wait_for(&daemon, "it is over", |_| daemon.problem("version-recalled").is_none());
}

// ---- At night ---------------------------------------------------------------------------------------------------------

/// Has the clock on the wall of the house show this time, by the time zone that the box is told.
fn clock_shows(it: &mut Box, hour: u64, minute: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    let ahead = (24 * 60 + hour * 60 + minute - now % (24 * 60)) % (24 * 60);
    it.setup.environment("TZ", &format!("HOUSE-{}:{:02}", ahead / 60, ahead % 60));
}

/// After each box had its turn, and before all of them are over.
const AT_NIGHT: (u64, u64) = (4, 35);

#[test]
fn at_night_it_goes_by_itself_when_nobody_watches() {
    let (mut it, server) = serving();
    it.write("go", "");
    clock_shows(&mut it, 15, 0);
    let daemon = it.start();
    let settings = json!({"update_channel": server.url("/stable.json")});
    assert_eq!(daemon.call("PATCH /api/v1/settings", &settings).status, 204);
    Published::new(1).put(&it);
    wait_for(&daemon, "it is offered", |now| now["available"] == "1.2");
    std::thread::sleep(A_WHILE);
    assert_eq!((&update(&daemon)["state"], it.written().len()), (&json!("idle"), 0), "by day nothing happens");
    drop(daemon);

    clock_shows(&mut it, AT_NIGHT.0, AT_NIGHT.1);
    let daemon = it.start();
    let (_, viewer) = http::open(daemon.address(), 5004, "/auto/v1.1");
    std::thread::sleep(A_WHILE);
    assert_eq!((&update(&daemon)["state"], it.written().len()), (&json!("idle"), 0), "somebody watches");
    drop(viewer);
    wait_until("a fresh start is asked for", 3 * SOON, || it.is_reboot_asked_for());
    assert_eq!(it.written().len(), 1);
}

#[test]
fn after_seven_days_somebody_who_watches_at_night_is_no_reason_to_wait() {
    let (mut it, server) = serving();
    it.write("go", "");
    clock_shows(&mut it, 15, 0);
    let daemon = it.start();
    let settings = json!({"update_channel": server.url("/stable.json")});
    assert_eq!(daemon.call("PATCH /api/v1/settings", &settings).status, 204);
    Published::new(1).put(&it);
    wait_for(&daemon, "it is offered", |now| now["available"] == "1.2");
    drop(daemon);
    let path = it.setup.state_dir().join("update.json");
    let mut memory: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    memory["offered"]["since"] = json!(memory["offered"]["since"].as_i64().unwrap() - 7 * 86_400);
    fs::write(&path, memory.to_string()).unwrap();

    clock_shows(&mut it, AT_NIGHT.0, AT_NIGHT.1);
    let daemon = it.start();
    let (_, _viewer) = http::open(daemon.address(), 5004, "/auto/v1.1");
    wait_until("a fresh start is asked for", 3 * SOON, || it.is_reboot_asked_for());
    assert_eq!(it.written().len(), 1);
}

#[test]
fn who_switched_it_off_is_left_alone_at_night() {
    let (mut it, server) = serving();
    clock_shows(&mut it, AT_NIGHT.0, AT_NIGHT.1);
    let daemon = it.start();
    let settings = json!({"update_channel": server.url("/stable.json"), "update_automatic": false});
    assert_eq!(daemon.call("PATCH /api/v1/settings", &settings).status, 204);
    Published::new(1).put(&it);
    wait_for(&daemon, "it is offered", |now| now["available"] == "1.2");
    std::thread::sleep(A_WHILE);
    assert_eq!((&update(&daemon)["state"], it.written().len()), (&json!("idle"), 0));
}

//! The update channel, against servers that mean harm: each threat is refused with words of its own, and nothing is
//! written.

use super::{Box, SOON, update};
use crate::kit::source::Source;
use crate::kit::{Daemon, wait_until};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::fs;

const BUNDLE: &[u8] = &[7; 100_000];

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
    let it = Box::new();
    fs::create_dir_all(it.path("served")).unwrap();
    fs::create_dir_all(it.path("etc/tunerd")).unwrap();
    it.write("etc/tunerd/channel.pub", &hex(pair(1).public_key()));
    fs::write(it.path("served/tunerd.raucb"), BUNDLE).unwrap();
    let server = Source::folder(&it.path("served"));
    let daemon = it.start();
    let settings = json!({"update_channel": server.url("/stable.json"), "update_automatic": false});
    assert_eq!(daemon.call("PATCH /api/v1/settings", &settings).status, 204);
    (it, server, daemon)
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

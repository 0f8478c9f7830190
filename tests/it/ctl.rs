//! `tunerd ctl`, as people and their scripts type it.

use crate::kit::{Daemon, Setup, TUNERD, run, wait_until};
use serde_json::Value;
use std::time::Duration;

/// Types a command for this box: its exit code, and what is said.
fn typed(daemon: &Daemon, words: &[&str]) -> (i32, String) {
    let address = format!("{}:8080", daemon.address());
    let (status, said) = run(TUNERD, &[&["ctl", "--box", &address], words].concat());
    (status.code().unwrap(), said)
}

fn good(daemon: &Daemon, words: &[&str]) -> String {
    let (code, said) = typed(daemon, words);
    assert_eq!(code, 0, "{words:?}: {said}");
    said
}

#[test]
fn people_manage_a_box_from_a_shell() {
    let mut setup = Setup::new();
    setup.playlist(
        "#EXTM3U\n#EXTINF:-1 tvg-chno=\"7\",One\nhttp://127.0.0.1:9/1.ts\n#EXTINF:-1,Two\nhttp://127.0.0.1:9/2.ts\n",
    );
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let status = good(&daemon, &["status"]);
    assert!(status.contains("4 of 4 tuners are free") && status.contains("/lineup.m3u"), "{status}");
    assert_eq!(good(&daemon, &["tuners"]).lines().count(), 5);

    let channels = good(&daemon, &["channels", "one"]);
    let mut lines = channels.lines();
    assert!(lines.next().unwrap().starts_with("ID  NUMBER  NAME"), "{channels}");
    let id = lines.next().unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(good(&daemon, &["channel", &id, "rename", "Mine"]), "Done.\n");
    assert_eq!(good(&daemon, &["channel", &id, "hide"]), "Done.\n");
    assert!(good(&daemon, &["channels", "mine"]).contains("hidden"));
    assert!(daemon.channels().iter().all(|(_, name)| name != "Mine"), "clients do not see it");
    good(&daemon, &["channel", &id, "show"]);
    good(&daemon, &["channel", &id, "retry"]);

    // Everything else of the API, and JSON for scripts.
    let face = good(&daemon, &["post", "/faces", r#"{"name": "Kids"}"#]);
    let face: Value = serde_json::from_str(&face).unwrap();
    assert_eq!(good(&daemon, &["delete", &format!("faces/{}", face["id"])]), "");
    let channels: Value = serde_json::from_str(&good(&daemon, &["--json", "channels"])).unwrap();
    assert_eq!(channels.as_array().unwrap().len(), 2);
    let alarms: Value = serde_json::from_str(&good(&daemon, &["get", "/api/v1/alarms"])).unwrap();
    assert!(alarms.is_array());
    assert!(good(&daemon, &["logs"]).contains(" info  tunerd "));
}

#[test]
fn a_source_is_added_shown_and_removed_from_a_shell() {
    let source = crate::kit::source::Source::document("#EXTM3U\n#EXTINF:-1,A\u{1b}[2J\nhttp://127.0.0.1:9/a.ts\n");
    let daemon = Daemon::demo();
    let added = good(&daemon, &["source", "add", &source.url("/list.m3u"), "Mine"]);
    let id = added.trim_end_matches(".\n").rsplit(' ').next().unwrap().to_owned();
    wait_until("it is read", Duration::from_secs(20), || {
        let list: Value = serde_json::from_str(&good(&daemon, &["--json", "sources"])).unwrap();
        list[0]["entries"] == 1
    });
    assert!(good(&daemon, &["sources"]).contains("playlist  Mine"));
    assert!(!good(&daemon, &["channels"]).contains('\u{1b}'), "a terminal obeys nothing of what a list says");
    assert_eq!(good(&daemon, &["source", &id, "refresh"]), "Done.\n");
    assert_eq!(good(&daemon, &["source", &id, "remove"]), "Done.\n");
    assert_eq!(good(&daemon, &["sources"]).lines().count(), 1);
}

#[test]
fn a_no_says_why_and_the_exit_code_says_which() {
    let daemon = Setup::new().start();
    for (words, code, part) in [
        (&["nonsense"][..], 64, "\"nonsense\" is no command"),
        (&["channel", "x", "hide"], 64, "is no id"),
        (&["post", "/faces", "{"], 64, "no JSON"),
        (&["get", "/a b"], 64, "is no path"),
        (&["source", "99", "refresh"], 1, "There is nothing at this address."),
        (&["guide", "add", "file:///etc/passwd"], 1, "address: "),
        (&["--box", "http://x", "status"], 64, "without http://"),
    ] {
        let (found, said) = typed(&daemon, words);
        assert_eq!(found, code, "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }
    let (status, said) = run(TUNERD, &["ctl", "--box", &format!("{}:9", daemon.address()), "status"]);
    assert_eq!(status.code(), Some(69), "{said}");
    assert!(said.contains("cannot be reached") && said.contains("--box"), "{said}");
    let (status, said) = run(TUNERD, &["ctl", "--help"]);
    assert!(status.success() && said.contains("TUNERD_TOKEN"), "{said}");
}

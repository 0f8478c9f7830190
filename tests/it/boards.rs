//! What the box can carry: measured once, kept, used at the next start, told with its reason; and the board's light.

use crate::kit::{Daemon, Folder, Setup, TUNERD, run, wait_until};
use crate::profiles;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Two seconds after the start it begins, and is over soon; with FFmpeg on a busy machine later.
const MEASURED: Duration = Duration::from_secs(60);

fn stop(daemon: &Daemon) -> Setup {
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended(Duration::from_secs(10)).success());
    daemon.setup.clone()
}

/// What it tells of its capacity, once it was measured.
fn measured(daemon: &Daemon) -> Value {
    let told = || daemon.status()["capacity"].clone();
    wait_until("the box is measured", MEASURED, || !told()["measured"].is_null());
    told()
}

/// Changes what was kept, as another run of the box could have written it.
fn rewrite(setup: &Setup, change: impl FnOnce(&mut Value)) {
    let path = setup.state_dir().join("capacity.json");
    let mut kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut kept);
    fs::write(path, kept.to_string()).unwrap();
}

/// What is at stake: a box that promises more tuners than it carries, or measures itself at each start. The first start
/// measures in the background; a kept result decides, with a reason, until something that it depends on has changed.
#[test]
fn a_box_is_measured_once_and_what_was_kept_decides_at_the_next_start() {
    let daemon = Setup::new().start();
    let first = measured(&daemon);
    assert!(first["measured"]["packets_per_s"].as_u64() > Some(0) && first["measured"]["sync_ms"].is_u64(), "{first}");
    daemon.wait_for_log("this box was measured: ");
    let log = daemon.log();
    assert!(log.find(" is ready as device ") < log.find("this box was measured: "), "clients need not wait: {log}");
    let kept = daemon.setup.state_dir().join("capacity.json");
    wait_until("it is kept", MEASURED, || kept.exists());

    // A slower box.
    let setup = stop(&daemon);
    rewrite(&setup, |kept| kept["found"]["packets_per_s"] = json!(2 * 21_276));
    let daemon = setup.start();
    let told = daemon.status();
    let capacity = &told["capacity"];
    let shown = [&capacity["slots"], &capacity["next"], &capacity["because"], &capacity["text"]];
    assert_eq!(shown, [&json!(2), &json!(2), &json!("processor"), &json!("because its processor carries no more")]);
    assert_eq!((told["tuners"].as_array().unwrap().len(), &capacity["board"]), (2, &first["board"]));
    assert!(daemon.log().contains("with 2 tuners, because its processor carries no more"), "{}", daemon.log());
    let discover: Value = serde_json::from_slice(&daemon.get("/discover.json").body).unwrap();
    assert_eq!(discover["TunerCount"], 2);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(daemon.status()["capacity"], *capacity, "it is not measured again");
    assert!(!daemon.log().contains("this box was measured"), "{}", daemon.log());

    // What the owner says counts before all of it, and the check before a start tells the same.
    let mut setup = stop(&daemon);
    let check = |setup: &Setup| run(TUNERD, &["--config", setup.write_settings().to_str().unwrap(), "--check"]).1;
    assert!(check(&setup).contains("with 2 tuners, because its processor carries no more"));
    setup.set("slots", "count = 3");
    assert!(check(&setup).contains("with 3 tuners, because the settings say so"));
    let daemon = setup.start();
    let capacity = daemon.status()["capacity"].clone();
    assert_eq!(
        [&capacity["slots"], &capacity["next"], &capacity["because"]],
        [&json!(3), &json!(3), &json!("settings")]
    );
    stop(&daemon);
}

#[test]
fn another_box_is_measured_again() {
    let daemon = Setup::new().start();
    let first = measured(&daemon);
    let kept = daemon.setup.state_dir().join("capacity.json");
    wait_until("it is kept", MEASURED, || kept.exists());
    let setup = stop(&daemon);
    let changes: [fn(&mut Value); 4] = [
        |of| of["board"] = json!("another"),
        |of| of["encoders"] = json!(["rkmpp"]),
        |of| of["ffmpeg"] = json!("/opt/ffmpeg 1 2"),
        |of| of["memory_mib"] = json!(64),
    ];
    for change in changes {
        rewrite(&setup, |kept| {
            kept["found"]["packets_per_s"] = json!(1);
            change(&mut kept["of"]);
        });
        let daemon = setup.clone().start();
        assert_eq!(daemon.status()["capacity"]["slots"], first["next"], "what was kept is another box's");
        let again = measured(&daemon);
        assert!(again["measured"]["packets_per_s"].as_u64() > Some(1), "{again}");
        daemon.wait_for_log("this box was measured: ");
        stop(&daemon);
    }
}

#[test]
fn encoding_and_decoding_are_measured_with_ffmpeg() {
    let daemon = profiles::setup(0).start();
    let mut told = measured(&daemon);
    // Each has ten seconds, which pass on a machine that does a lot besides.
    for _ in 0..5 {
        if told["measured"]["decode_percent"].is_u64() {
            break;
        }
        let before = told["measured"]["at"].clone();
        assert_eq!(daemon.call("POST /api/v1/encoders/try", &Value::Null).status, 204);
        wait_until("it is measured again", MEASURED, || daemon.status()["capacity"]["measured"]["at"] != before);
        told = daemon.status()["capacity"].clone();
    }
    for what in ["encode_percent", "decode_percent", "packets_per_s"] {
        assert!(told["measured"][what].as_u64() > Some(0), "{what}: {told}");
    }
    assert!(told["encodes"].is_u64() && told["measured"]["by_chip"] == false, "{told}");
    daemon.wait_for_log("this box was measured: ");

    // A box that was slow once. Whoever has the encoders tried again has all of it measured again, and what comes of it
    // counts from the next start on.
    let kept = daemon.setup.state_dir().join("capacity.json");
    wait_until("it is kept", MEASURED, || kept.exists());
    let setup = stop(&daemon);
    rewrite(&setup, |kept| kept["found"]["packets_per_s"] = json!(1));
    let daemon = setup.start();
    assert_eq!(daemon.status()["capacity"]["slots"], 1);
    wait_until("all encoders are tried", MEASURED, || daemon.status()["encoders"][0]["state"] != "untried");
    assert_eq!(daemon.call("POST /api/v1/encoders/try", &Value::Null).status, 204);
    wait_until("it is measured again", MEASURED, || daemon.status()["capacity"]["next"] != 1);
    let capacity = daemon.status()["capacity"].clone();
    assert_eq!((&capacity["slots"], &capacity["next"]), (&json!(1), &told["next"]), "{capacity}");
    daemon.wait_for_log("another number of tuners from the next start on");
}

#[test]
fn the_boards_light_shows_how_the_box_is() {
    let folder = Folder::new();
    let light = folder.path().join("leds/ACT");
    fs::create_dir_all(&light).unwrap();
    let name = folder.write("light", "ACT\n");
    fs::write(light.join("max_brightness"), "255\n").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/board/image/root/usr/lib/tunerd/light");
    let show = |state: &str, name: &std::path::Path| {
        let mut command = Command::new("sh");
        command.args([script, state]).env("LEDS", folder.path().join("leds")).env("LIGHT", name);
        command.status().unwrap().code()
    };
    let read = |file: &str| fs::read_to_string(light.join(file)).unwrap_or_default().trim().to_owned();
    for (state, half_ms) in [("slow", "1000"), ("fast", "150")] {
        assert_eq!(show(state, &name), Some(0));
        assert_eq!([read("trigger"), read("delay_on"), read("delay_off")], ["timer", half_ms, half_ms]);
    }
    assert_eq!(show("on", &name), Some(0));
    assert_eq!([read("trigger"), read("brightness")], ["none", "255"]);
    // No light, none that this kernel knows, no such state.
    assert_eq!(show("on", &folder.path().join("none")), Some(0));
    assert_eq!(show("on", &folder.write("other", "PWR\n")), Some(0));
    assert_eq!(show("off", &name), Some(64));
}

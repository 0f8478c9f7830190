//! Updates of the whole box, on a system as our image has it: boot slots, a version, and RAUC, whose place a script takes,
//! because what it does needs partitions.
//!
//! What is at stake: a box that is started anew while somebody watches, one that installs what it should not, and one that
//! does not tell what has become of it. The next start of the box is played by another daemon on the same state, with
//! what RAUC and the system say then.

mod channel;

use crate::faults::{as_strs, mounting};
use crate::kit::source::Source;
use crate::kit::{Daemon, SOON, Setup, http, run, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// A box with two boot slots, of which A runs.
pub(crate) struct Box {
    pub(crate) setup: Setup,
}

impl Box {
    pub(crate) fn new() -> Self {
        let mut setup = Setup::new();
        for folder in ["bin", "run", "etc"] {
            fs::create_dir_all(setup.folder.path().join(folder)).unwrap();
        }
        let there = setup.folder.path().display().to_string();
        let script = format!(
            "#!/bin/sh
            echo \"$*\" >>{there}/rauc.log
            case \"$1 $2\" in
            'info '*) cat {there}/info.json && exit \"$(cat {there}/info.exit)\";;
            'status --detailed')
                [ ! -e {there}/busy ] || {{ echo 'already processing a different method' >&2; exit 1; }}
                cat {there}/status.json;;
            'status mark-active' | 'status mark-bad') ;;
            'install '*)
                echo installing; echo '  0% Installing'; echo ' 40% Copying image to rootfs.1'
                while [ ! -e {there}/go ]; do sleep 0.1; done
                [ \"$(cat {there}/install.exit)\" = 0 ] || {{ echo 'LastError: no space'; echo 'it failed' >&2; }}
                exit \"$(cat {there}/install.exit)\";;
            *) exit 9;;
            esac\n"
        );
        let rauc = setup.folder.write("bin/rauc", script);
        fs::set_permissions(&rauc, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{there}/bin:{}", std::env::var("PATH").unwrap());
        setup.environment("PATH", &path);
        setup.environment("RUNTIME_DIRECTORY", &format!("{there}/run"));
        // FFmpeg finds its libraries and fonts with these.
        let kept = "/etc/alternatives /etc/ld.so.cache /etc/fonts";
        let wrapper = mounting(&format!(
            "cp -a {kept} {there}/etc/ || true; mount -t tmpfs tmpfs /etc; cp -r {there}/etc/. /etc/"
        ));
        setup.wrapper(&as_strs(&wrapper));
        fs::create_dir_all(setup.folder.path().join("etc/rauc")).unwrap();
        setup.folder.write("etc/rauc/system.conf", "[system]\ncompatible=tunerd-test\n");
        let it = Self { setup };
        it.write("info.exit", "0");
        it.write("install.exit", "0");
        it.bundle("tunerd-test", "1.2");
        it.runs("A", "1.1");
        it
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        self.setup.folder.write(name, text);
    }

    /// What RAUC says of any bundle.
    pub(crate) fn bundle(&self, compatible: &str, version: &str) {
        self.write("info.json", &json!({"compatible": compatible, "version": version}).to_string());
    }

    /// What is started the next time.
    pub(crate) fn runs(&self, slot: &str, version: &str) {
        self.write("etc/os-release", &format!("ID=tunerd\nIMAGE_VERSION=\"{version}\"\n"));
        self.slots(slot, slot, "1.0");
    }

    /// What RAUC says then: which slot runs, which one is started the next time, and what is in B.
    pub(crate) fn slots(&self, running: &str, next: &str, in_b: &str) {
        let state = |name: &str| if name == running { "booted" } else { "inactive" };
        let group = |name: &str, bundle: &str| {
            json!({"bootname": name, "state": state(name), "boot_status": "good",
                   "slot_status": {"bundle": {"version": bundle}}})
        };
        // A was written onto the card, and RAUC knows nothing of it.
        let slots = json!([{"rootfs.0": group("A", "")}, {"rootfs.1": group("B", in_b)}]);
        let next = if next == "A" { "rootfs.0" } else { "rootfs.1" };
        let status = json!({"compatible": "tunerd-test", "boot_primary": next, "slots": slots});
        self.write("status.json", &status.to_string());
    }

    /// The next daemon believes that the board was started anew since.
    pub(crate) fn reboots(&self) {
        let path = self.setup.state_dir().join("update.json");
        let mut memory: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        memory["attempt"]["boot"] = json!("another start");
        fs::write(path, memory.to_string()).unwrap();
    }

    pub(crate) fn start(&self) -> Daemon {
        let daemon = self.setup.clone().start();
        daemon.wait_for_lineup();
        daemon
    }

    /// What was asked of RAUC that writes something.
    pub(crate) fn written(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("rauc.log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with("install ") || line.contains("mark-")).map(str::to_owned).collect()
    }

    pub(crate) fn is_reboot_asked_for(&self) -> bool {
        self.path("run/reboot").exists()
    }
}

pub(crate) fn update(daemon: &Daemon) -> Value {
    serde_json::from_slice(&daemon.get("/api/v1/update").body).unwrap()
}

fn send(daemon: &Daemon, target: &str) -> http::Answer {
    daemon.send(&format!("POST /api/v1{target}"), "application/octet-stream", &vec![7; 300_000])
}

pub(crate) fn wait_for_state(daemon: &Daemon, state: &str) {
    wait_until(&format!("the update is {state}"), SOON, || {
        let now = update(daemon);
        assert!(now["problem"].is_null() || state == "idle", "{now}");
        now["state"] == state
    });
}

fn detail(answer: &http::Answer) -> String {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    problem["detail"].as_str().unwrap().to_owned()
}

#[test]
fn an_update_is_installed_proves_itself_and_is_told() {
    let it = Box::new();
    let daemon = it.start();
    let before = update(&daemon);
    assert_eq!(
        (&before["how"], &before["system"], &before["command"]),
        (&json!("bundle"), &json!("1.1"), &Value::Null)
    );
    let answer = send(&daemon, "/update");
    assert_eq!((answer.status, answer.text()), (202, "{\"version\":\"1.2\"}"));
    wait_until("RAUC writes", SOON, || update(&daemon)["percent"] == 40);
    let during = update(&daemon);
    assert_eq!((&during["state"], &during["target"]), (&json!("installing"), &json!("1.2")));
    let file = it.setup.state_dir().join("upload.raucb");
    assert_eq!(it.written(), [format!("install {}", file.display())]);
    assert_eq!(fs::metadata(&file).unwrap().len(), 300_000);
    assert_eq!(daemon.call("/api/v1/update/cancel", &Value::Null).status, 409, "it is being written");
    assert_eq!(send(&daemon, "/update").status, 409, "one at a time");
    assert!(!it.is_reboot_asked_for());
    it.write("go", "");
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
    assert!(!file.exists() && update(&daemon)["state"] == "rebooting");
    drop(daemon);

    it.runs("B", "1.2");
    it.reboots();
    let daemon = it.start();
    wait_until("it is on trial", SOON, || update(&daemon)["on_trial"] == true);
    assert!(!it.is_reboot_asked_for() && update(&daemon)["last"].is_null());
    assert!(detail(&send(&daemon, "/update")).contains("it is the version that runs here already"));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(it.setup.state_dir().join("proved"), format!("good {boot}")).unwrap();
    wait_until("it has proved itself", SOON, || update(&daemon)["last"]["outcome"] == "installed");
    let after = update(&daemon);
    assert_eq!((&after["last"]["version"], &after["last"]["from"]), (&json!("1.2"), &json!("1.1")));
    assert_eq!(after["on_trial"], false);
    // What it came from, which RAUC cannot say.
    wait_until("the way back", SOON, || update(&daemon)["back"] == "1.1");
}

#[test]
fn a_version_that_does_not_play_is_told_with_the_reason() {
    let it = Box::new();
    it.write("go", "");
    let daemon = it.start();
    assert_eq!(send(&daemon, "/update?now=true").status, 202);
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
    drop(daemon);
    // The new one was started, said that it does not play, and the boot loader has gone back.
    it.reboots();
    fs::write(it.setup.state_dir().join("proved"), "bad its-start the test picture: nothing came\n").unwrap();
    let daemon = it.start();
    wait_until("it is told", SOON, || !update(&daemon)["last"].is_null());
    let last = &update(&daemon)["last"];
    assert_eq!(
        (&last["outcome"], &last["version"], &last["from"]),
        (&json!("rolled_back"), &json!("1.2"), &json!("1.1"))
    );
    assert_eq!(last["why"], "the test picture: nothing came");
    daemon.wait_for_log("the box went back to the version before");
}

#[test]
fn nobody_who_watches_is_disturbed_unless_the_owner_says_now() {
    let it = Box::new();
    it.write("go", "");
    let daemon = it.start();
    let (_, viewer) = http::open(daemon.address(), 5004, "/auto/v1.1");
    assert_eq!(send(&daemon, "/update").status, 202);
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!((&update(&daemon)["state"], it.written().len()), (&json!("waiting"), 0));
    // The owner takes it back, and the file is gone.
    assert_eq!(daemon.call("/api/v1/update/cancel", &Value::Null).status, 204);
    wait_for_state(&daemon, "idle");
    wait_until("the file is gone", SOON, || !it.setup.state_dir().join("upload.raucb").exists());
    assert_eq!(daemon.call("/api/v1/update/cancel", &Value::Null).status, 409);
    assert_eq!(send(&daemon, "/update").status, 202);
    wait_for_state(&daemon, "waiting");
    drop(viewer);
    wait_until("he is gone", SOON, || it.is_reboot_asked_for());
    drop(daemon);

    let it = Box::new();
    it.write("go", "");
    let daemon = it.start();
    let _viewer = http::open(daemon.address(), 5004, "/auto/v1.1");
    assert_eq!(send(&daemon, "/update?now=true").status, 202);
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
}

#[test]
fn only_what_is_newer_genuine_and_for_this_board_is_written() {
    let it = Box::new();
    let daemon = it.start();
    for (compatible, version, words) in [
        ("tunerd-other", "1.2", "it is for other boards than this one"),
        ("tunerd-test", "1.0", "it is older than what runs here"),
        ("tunerd-test", "1.1", "it is the version that runs here already"),
        ("tunerd-test", "newest", "it does not say which version it is"),
    ] {
        it.bundle(compatible, version);
        let answer = send(&daemon, "/update");
        assert_eq!(answer.status, 409);
        assert!(detail(&answer).contains(words), "{}", answer.text());
    }
    it.write("info.exit", "1");
    assert!(detail(&send(&daemon, "/update")).contains("the keyring of this box trusts"));
    assert_eq!(it.written(), [""; 0]);
    assert!(update(&daemon)["problem"]["detail"].as_str().unwrap().contains("trusts"));
}

#[test]
fn what_rauc_cannot_write_leaves_the_box_as_it_was() {
    let it = Box::new();
    it.write("go", "");
    it.write("install.exit", "1");
    let daemon = it.start();
    assert_eq!(send(&daemon, "/update?now=true").status, 202);
    wait_until("it failed", SOON, || update(&daemon)["last"]["outcome"] == "failed");
    wait_for_state(&daemon, "idle");
    let now = update(&daemon);
    assert!(now["problem"]["detail"].as_str().unwrap().contains("the version that runs here is untouched"), "{now}");
    assert!(!it.is_reboot_asked_for() && !it.setup.state_dir().join("upload.raucb").exists());
    daemon.wait_for_log("no space");
    // And the next one may come.
    it.write("install.exit", "0");
    assert_eq!(send(&daemon, "/update?now=true").status, 202);
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
}

/// A box whose daemon was ended while RAUC wrote; RAUC's service goes on.
fn interrupted() -> Box {
    let it = Box::new();
    let daemon = it.start();
    assert_eq!(send(&daemon, "/update?now=true").status, 202);
    wait_until("RAUC writes", SOON, || update(&daemon)["percent"] == 40);
    it.write("busy", "");
    it
}

#[test]
fn what_rauc_writes_on_while_the_daemon_starts_anew_is_installed() {
    let it = interrupted();
    let daemon = it.start();
    wait_until("it is known", SOON, || update(&daemon)["state"] == "installing");
    let now = update(&daemon);
    assert_eq!((&now["target"], &now["last"]), (&json!("1.2"), &Value::Null));
    assert_eq!(send(&daemon, "/update").status, 409, "one at a time");
    it.slots("A", "B", "1.2");
    fs::remove_file(it.path("busy")).unwrap();
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
    assert_eq!(it.written().len(), 1, "it is not written again");
    drop(daemon);
    it.runs("B", "1.2");
    it.reboots();
    let daemon = it.start();
    wait_until("it is on trial", SOON, || update(&daemon)["on_trial"] == true);
}

#[test]
fn what_rauc_gave_up_while_the_daemon_started_anew_is_told() {
    let it = interrupted();
    fs::remove_file(it.path("busy")).unwrap();
    let daemon = it.start();
    wait_until("it is told", SOON, || update(&daemon)["last"]["outcome"] == "failed");
    let now = update(&daemon);
    assert!(now["last"]["why"].as_str().unwrap().contains("RAUC gave it up"), "{now}");
    wait_for_state(&daemon, "idle");
    assert!(!it.is_reboot_asked_for());
}

#[test]
fn what_runs_after_a_power_cut_is_on_trial_even_if_nobody_saw_it_written() {
    let it = interrupted();
    fs::remove_file(it.path("busy")).unwrap();
    it.runs("B", "1.2");
    it.reboots();
    let daemon = it.start();
    wait_until("it is on trial", SOON, || update(&daemon)["on_trial"] == true);
    assert_eq!(update(&daemon)["last"], Value::Null);
}

#[test]
fn a_way_back_is_gone_also_by_the_next_daemon() {
    for (next, is_gone) in [("B", true), ("A", false)] {
        let it = Box::new();
        let daemon = it.start();
        wait_until("the slots are known", SOON, || update(&daemon)["back"] == "1.0");
        assert_eq!(daemon.call("/api/v1/update/back", &Value::Null).status, 202);
        drop(daemon);
        it.slots("A", next, "1.0");
        let daemon = it.start();
        if is_gone {
            wait_until("a fresh start is asked for again", SOON, || it.is_reboot_asked_for());
            assert_eq!(update(&daemon)["last"], Value::Null);
        } else {
            wait_until("it is told", SOON, || update(&daemon)["last"]["outcome"] == "failed");
            let now = update(&daemon);
            assert!(now["last"]["why"].as_str().unwrap().contains("before the boot loader knew"), "{now}");
            assert!(!it.is_reboot_asked_for());
        }
    }
}

#[test]
fn one_button_goes_back() {
    let it = Box::new();
    let daemon = it.start();
    wait_until("the slots are known", SOON, || update(&daemon)["back"] == "1.0");
    assert_eq!(daemon.call("/api/v1/update/back", &Value::Null).status, 202);
    assert!(it.is_reboot_asked_for());
    assert_eq!(it.written(), ["status mark-active other"]);
    drop(daemon);
    it.runs("B", "1.0");
    it.reboots();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(it.setup.state_dir().join("proved"), format!("good {boot}")).unwrap();
    let daemon = it.start();
    wait_until("it is told", SOON, || update(&daemon)["last"]["outcome"] == "back");
    assert_eq!(update(&daemon)["last"]["version"], "1.0");
}

#[test]
fn hdhomerun_config_upgrade_installs_where_that_is_switched_on() {
    let mut it = Box::new();
    it.write("go", "");
    it.setup.set("update", "hdhomerun_upload = true");
    let daemon = it.start();
    let bundle = it.setup.folder.write("bundle", vec![7; 100_000]);
    let arguments = [&daemon.address().to_string(), "upgrade", bundle.to_str().unwrap()];
    let (_, said) = run("hdhomerun_config", &arguments);
    assert!(!said.contains("error sending"), "{said}");
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
    assert_eq!(it.written().len(), 1);
}

#[test]
fn what_a_server_gives_out_in_parts_rauc_reads_by_itself() {
    let it = Box::new();
    it.write("go", "");
    fs::create_dir_all(it.path("served")).unwrap();
    it.write("served/tunerd.raucb", "a bundle");
    let server = Source::folder(&it.path("served"));
    let daemon = it.start();
    let address = server.url("/tunerd.raucb");
    let install = |address: &str| daemon.call("/api/v1/update/install", &json!({"address": address, "now": true}));
    assert_eq!(install(&address).status, 202);
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
    assert_eq!(it.written(), [format!("install {address}")]);
    drop(daemon);

    let it = Box::new();
    it.write("go", "");
    let server = Source::document(vec![7; 200_000]);
    let daemon = it.start();
    let install = |address: &str| daemon.call("/api/v1/update/install", &json!({"address": address, "now": true}));
    assert_eq!(install(&server.url("/x")).status, 202);
    wait_until("a fresh start is asked for", SOON, || it.is_reboot_asked_for());
    assert_eq!(it.written(), [format!("install {}", it.setup.state_dir().join("upload.raucb").display())]);
}

#[test]
fn on_another_system_the_page_says_which_command_updates_it() {
    let daemon = Setup::new().start();
    let now = update(&daemon);
    assert_eq!(now["how"], "package");
    assert!(now["command"].as_str().unwrap().contains("cargo build"));
    assert!(detail(&send(&daemon, "/update")).contains("this box was not installed from our image"));
}

#[test]
fn a_start_proves_itself_by_answering_listing_and_playing() {
    let daemon = Daemon::demo();
    let prove = |arguments: &[&str]| {
        let settings = daemon.setup.folder.path().join("tunerd.toml");
        let all = [&["--prove", "--config", settings.to_str().unwrap()], arguments].concat();
        run(env!("CARGO_BIN_EXE_tunerd"), &all)
    };
    let (status, said) = prove(&[]);
    assert!(status.success() && said.contains("It answers, lists its channels and plays."), "{said}");
    let file = daemon.setup.state_dir().join("proved");
    let proof = fs::read_to_string(&file).unwrap();
    let boot = fs::read_to_string(daemon.setup.state_dir().join("proving")).unwrap();
    assert_eq!(proof.trim(), format!("good {boot}"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "the daemon's, whoever asked");
    assert_eq!(http::open(daemon.address(), 8080, "/test.ts").0.status, 200);
    // Its page is somewhere else: nobody answers there.
    let base = format!("http://{}:9", daemon.address());
    let (status, said) = prove(&["--base", &base, "--within", "3"]);
    assert!(!status.success() && said.contains("does not prove itself: nobody listens on port 9"), "{said}");
    let proof = fs::read_to_string(daemon.setup.state_dir().join("proved")).unwrap();
    assert!(proof.starts_with("bad ") && proof.contains("nobody listens"), "{proof}");
}

#[test]
fn a_start_without_a_picture_does_not_prove_itself() {
    let mut setup = Setup::new();
    setup.fake_ffmpeg("exit 1");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let settings = daemon.setup.folder.path().join("tunerd.toml");
    let arguments = ["--prove", "--config", settings.to_str().unwrap(), "--within", "15"];
    let (status, said) = run(env!("CARGO_BIN_EXE_tunerd"), &arguments);
    assert!(!status.success() && said.contains("test picture"), "{said}");
}

#[test]
fn the_owner_has_everything_forgotten_with_his_password_and_only_on_a_box_of_ours() {
    let mut it = Box::new();
    it.setup.set("access", "open = false");
    let daemon = it.setup.clone().start();
    let (address, password) = (daemon.address(), "violin otter cement");
    let ask = |path: &str, cookie: &str, password: &str| {
        let body = json!({ "password": password }).to_string();
        let head = format!("POST /api/v1{path} HTTP/1.1\r\nHost: {address}:8080\r\nOrigin: http://{address}:8080\r\n");
        let head =
            format!("{head}Cookie: {cookie}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        http::ask(address, 8080, &format!("{head}Connection: close\r\n\r\n{body}"))
    };
    let claimed = ask("/claim", "", password);
    let cookie = claimed.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let asked_for = || it.path("run/factory-reset").exists();
    assert_eq!(ask("/factory-reset", "", password).status, 401, "a stranger");
    let wrong = ask("/factory-reset", &cookie, "not his password");
    assert_eq!(wrong.status, 422, "{}", wrong.text());
    assert!(wrong.text().contains("\"password\"") && !asked_for(), "{}", wrong.text());
    assert_eq!(ask("/factory-reset", &cookie, password).status, 202);
    assert!(asked_for() && !it.is_reboot_asked_for());
    // Once is enough, and while it goes on nothing is installed.
    assert_eq!(ask("/factory-reset", &cookie, password).status, 409);
    drop(daemon);

    // On any other computer nobody waits for that wish; it is told what does it there.
    let daemon = Setup::new().start();
    let answer = daemon.call("POST /api/v1/factory-reset", &json!({"password": "x"}));
    assert!(answer.status == 409 && detail(&answer).contains("tunerd-factory-reset"), "{}", answer.text());
}

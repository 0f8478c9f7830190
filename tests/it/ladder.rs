//! What happens when the daemon itself fails: what systemd is told, what the next run knows, and what helps in the end.

use crate::kit::fakeff::Fake;
use crate::kit::{Daemon, Setup, TUNERD, http, is_alive, wait_until};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A stand-in for systemd's end of `NOTIFY_SOCKET`.
struct Systemd(UnixDatagram);

impl Systemd {
    /// Listens, and lets the daemon of `setup` know where. Its watchdog wants to be fed within `watchdog_ms`.
    fn for_setup(setup: &mut Setup, watchdog_ms: u64) -> Self {
        // Without a file, whose path could be too long.
        let name = format!("tunerd-it-{}", setup.folder.path().display());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        setup.environment("NOTIFY_SOCKET", &format!("@{name}"));
        setup.environment("WATCHDOG_USEC", &(watchdog_ms * 1_000).to_string());
        Self(socket)
    }

    /// What it is told within that time.
    fn hear(&self, within: Duration) -> Vec<String> {
        let end = Instant::now() + within;
        let mut heard = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return heard;
            }
            self.0.set_read_timeout(Some(left)).unwrap();
            let mut message = [0; 512];
            if let Ok(len) = self.0.recv(&mut message) {
                heard.extend(String::from_utf8_lossy(&message[..len]).lines().map(str::to_owned));
            }
        }
    }

    /// Waits until it is told so.
    fn wait_for(&self, wanted: &str) {
        let mut heard = Vec::new();
        wait_until(&format!("systemd is told {wanted:?}"), Duration::from_secs(10), || {
            heard.extend(self.hear(Duration::from_millis(50)));
            heard.iter().any(|message| message.contains(wanted))
        });
    }

    fn fed(&self, within: Duration) -> usize {
        self.hear(within).iter().filter(|message| *message == "WATCHDOG=1").count()
    }
}

#[test]
fn systemd_is_told_what_happens() {
    let (_fake, mut setup) = Fake::setup(&[("One", "live")]);
    let systemd = Systemd::for_setup(&mut setup, 400);
    let daemon = setup.start();
    let first = systemd.hear(Duration::from_secs(1));
    assert!(first.contains(&"READY=1".to_owned()), "{first:?}");
    assert!(first.contains(&"STATUS=All 4 tuners are silent; no problems.".to_owned()), "{first:?}");
    // A beat each 100 ms: four chances for each deadline of systemd's.
    assert!((7..=11).contains(&systemd.fed(Duration::from_secs(1))));
    daemon.wait_for_log("playlist loaded");
    let (answer, stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200);
    systemd.wait_for("STATUS=1 of 4 tuners play; viewers: 1; no problems.");
    let quiet = systemd.hear(Duration::from_secs(1));
    assert!(quiet.iter().all(|message| message == "WATCHDOG=1"), "nothing new, nothing said: {quiet:?}");
    drop(stream);
    daemon.signal(Signal::SIGTERM);
    systemd.wait_for("STOPPING=1");
    assert!(daemon.ended(Duration::from_secs(10)).success());
}

/// One thread of the daemon, held until this is dropped.
struct Held(Pid);

impl Held {
    fn thread(daemon: &Daemon, name: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().flatten();
        let mut named =
            tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
        let thread = named.next().unwrap().file_name().into_string().unwrap().parse().unwrap();
        let thread = Pid::from_raw(thread);
        ptrace::attach(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self(thread)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The daemon may be gone.
        let _ = ptrace::detach(self.0, None);
    }
}

#[test]
fn a_store_that_hangs_starves_the_watchdog_and_nothing_else() {
    // At stake: a database thread that hangs in a dying card would go unnoticed for ever, because nothing that plays
    // needs it. Its thread alone is held, as a debugger does it.
    let mut setup = Setup::new();
    let systemd = Systemd::for_setup(&mut setup, 800);
    let daemon = setup.start();
    daemon.wait_for_lineup();
    assert!(systemd.fed(Duration::from_secs(1)) >= 3);
    let held = Held::thread(&daemon, "store");
    daemon.wait_for_log("the store does not answer");
    systemd.hear(Duration::from_millis(100));
    assert_eq!(systemd.fed(Duration::from_secs(2)), 0, "systemd would end it after 800 ms");
    assert_eq!(daemon.get("/lineup.json").status, 200, "while all else goes on");
    assert_eq!(http::open(daemon.address(), 5004, "/auto/v1.1").0.status, 200);
    drop(held);
    daemon.wait_for_log("all answer again");
    assert!(systemd.fed(Duration::from_secs(1)) >= 3);
}

#[test]
fn an_executor_that_stands_still_is_noticed() {
    // K12. Nothing in the daemon can be told to hang, so all of it is stopped for a while.
    let daemon = Daemon::demo();
    let _stream = http::open(daemon.address(), 5004, "/auto/v1.1");
    let count = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.trim().parse::<f64>().unwrap()
    };
    wait_until("lateness is measured often", Duration::from_secs(15), || {
        count(daemon.get("/metrics").text(), "tunerd_event_loop_lag_seconds_count") >= 10.0
    });
    let before = count(daemon.get("/metrics").text(), "tunerd_event_loop_lag_seconds_sum");
    daemon.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(2_500));
    daemon.signal(Signal::SIGCONT);
    daemon.wait_for_log("the executor stood still");
    let after = count(daemon.get("/metrics").text(), "tunerd_event_loop_lag_seconds_sum");
    assert!((2.0..4.0).contains(&(after - before)), "{before} to {after}");
    assert!(daemon.log().contains("last_event="), "what was going on");
    let alarms: serde_json::Value = serde_json::from_slice(&daemon.get("/api/v1/alarms").body).unwrap();
    let stall = alarms.as_array().unwrap().iter().find(|alarm| alarm["topic"] == "loop_stall").unwrap();
    assert_eq!(stall["level"], "critical", "{stall}");
}

// ---- After a crash ------------------------------------------------------------------------------------------------------

/// Kills a daemon as a crash would, and starts another one in its place.
fn crash(daemon: Daemon) -> Daemon {
    daemon.signal(Signal::SIGKILL);
    daemon.ended(Duration::from_secs(10));
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    daemon.wait_for_lineup();
    daemon
}

fn tune(daemon: &Daemon) -> http::Answer {
    http::open(daemon.address(), 5004, "/auto/v1").0
}

#[test]
fn a_crash_is_no_way_around_the_guard() {
    // At stake: a daemon that crashes on a source and forgets it would storm the provider with every restart. A dead
    // source is tried twice and must then rest for half a minute, crash or not.
    let (fake, setup) = Fake::setup(&[("Dead", "refused")]);
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    assert_eq!(tune(&daemon).status, 503);
    wait_until("a cold start and a first restart", Duration::from_secs(10), || fake.starts("Dead").len() == 2);
    // Written within a second.
    std::thread::sleep(Duration::from_millis(1_500));
    let mut daemon = crash(daemon);
    for _ in 0..2 {
        let asked = Instant::now();
        let answer = tune(&daemon);
        assert_eq!(answer.status, 503, "{}", answer.head);
        assert!(asked.elapsed() < Duration::from_secs(5), "it knows at once that there is nothing to wait for");
        let retry_after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((10..=30).contains(&retry_after), "{retry_after}");
        assert_eq!(fake.starts("Dead").len(), 2, "no third start");
        daemon = crash(daemon);
    }
}

#[test]
fn what_a_killed_daemon_leaves_running_is_ended_by_the_next() {
    // F21. The child dies with the daemon; what it had started, in a session of its own, does not.
    let (fake, setup) = Fake::setup(&[("One", "fork_grandchild=600000 setsid")]);
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let stream = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(stream.0.status, 200);
    wait_until("there is a grandchild", Duration::from_secs(5), || !fake.events("grandchild", "One").is_empty());
    let child = daemon.children()[0];
    let marked = |daemon: &Daemon| processes_with_environment(&format!("TUNERD_RUN={}-", daemon.pid()));
    let left: Vec<u32> = marked(&daemon).into_iter().filter(|pid| *pid != child).collect();
    assert_eq!(left.len(), 1);
    // Somebody else's, with another mark.
    let mut other = Command::new("sleep").arg("600").env("TUNERD_RUN", "1-1").spawn().unwrap();
    daemon.signal(Signal::SIGKILL);
    daemon.ended(Duration::from_secs(10));
    wait_until("the child dies with the daemon", Duration::from_secs(5), || !is_alive(child));
    assert!(is_alive(left[0]), "and the grandchild does not");
    let setup = daemon.setup.clone();
    drop((stream, daemon));
    let daemon = setup.start();
    wait_until("the next run ends it", Duration::from_secs(5), || !is_alive(left[0]));
    daemon.wait_for_log("an earlier run had left behind were ended");
    assert!(is_alive(other.id()));
    other.kill().unwrap();
    other.wait().unwrap();
}

fn processes_with_environment(start: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(start.as_bytes()))
    };
    pids.filter(has).collect()
}

#[test]
fn strays_are_collected_while_it_runs() {
    // F07, F08: one that left the group, and many short ones that nobody waits for.
    let modes = "fork_grandchild=600000 setsid orphans=20";
    let (fake, daemon) = Fake::daemon(&[("One", modes)]);
    let stream = http::open(daemon.address(), 5004, "/auto/v1");
    wait_until("there is a grandchild", Duration::from_secs(5), || !fake.events("grandchild", "One").is_empty());
    drop(stream);
    daemon.wait_until_idle();
    let left = processes_with_environment(&format!("TUNERD_RUN={}-", daemon.pid()));
    assert!(left.iter().all(|pid| !is_alive(*pid)), "{left:?}");
}

#[test]
fn the_black_box_of_a_bad_end_is_pointed_out() {
    let setup = Setup::new();
    fs::create_dir_all(setup.state_dir()).unwrap();
    fs::write(setup.state_dir().join("black-box.txt"), "the last events").unwrap();
    let daemon = setup.start();
    let kept = daemon.setup.state_dir().join("black-box.earlier.txt");
    assert!(daemon.has_logged("an earlier run ended badly"), "{}", daemon.log());
    assert_eq!(fs::read_to_string(kept).unwrap(), "the last events");
}

// ---- Safe mode ----------------------------------------------------------------------------------------------------------

#[test]
fn safe_mode_shows_everything_and_plays_nothing() {
    let (fake, mut setup) = Fake::setup(&[("One", "live"), ("Two", "live")]);
    {
        let daemon = setup.clone().start();
        daemon.wait_for_log("playlist loaded");
        daemon.signal(Signal::SIGTERM);
        daemon.ended(Duration::from_secs(10));
    }
    let systemd = Systemd::for_setup(&mut setup, 400);
    // The playlist may be what it failed on: what is stored is shown, and nothing is fetched.
    setup.playlist("rubbish");
    setup.argument("--safe-mode");
    let daemon = setup.start();
    systemd.wait_for("STATUS=Safe mode: page and logs are there, and nothing plays.");
    assert!(systemd.fed(Duration::from_secs(1)) >= 5);
    daemon.wait_for_lineup();
    assert_eq!(daemon.channels().len(), 2);
    assert_eq!(daemon.get("/").status, 200);
    assert_eq!(daemon.get("/discover.json").status, 200);
    assert!(daemon.problem("safe-mode").unwrap().contains("nothing plays"));
    assert!(daemon.get("/api/logs/entries").text().contains("Safe mode"));
    let health = daemon.get("/healthz");
    assert_eq!((health.status, health.text().contains("safe mode")), (503, true), "{}", health.text());
    for target in ["/auto/v1", "/tuner0/v2"] {
        let answer = http::open(daemon.address(), 5004, target).0;
        assert_eq!(answer.status, 503);
        assert!(answer.header("x-hdhomerun-error").unwrap().starts_with("803"), "{}", answer.head);
        assert!(answer.header("retry-after").is_some());
    }
    daemon.scan();
    assert_eq!(daemon.channels().len(), 2);
    assert!(!daemon.has_logged("playlist loaded"));
    assert!(fake.log().is_empty(), "not one child");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended(Duration::from_secs(10)).success());
}

#[test]
fn safe_mode_works_with_settings_that_do_not() {
    // In a network of its own, because the default ports are those of other tests.
    let setup = Setup::new();
    let settings = setup.folder.write("bad.toml", "[slots]\ncount = 0\n");
    let mut daemon = Command::new("unshare")
        .args(["-Urn", TUNERD, "--safe-mode", "--config"])
        .arg(settings)
        .arg("--state")
        .arg(setup.state_dir())
        .env_remove("JOURNAL_STREAM")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(daemon.stderr.take().unwrap()).lines().map(Result::unwrap) {
        let done = line.contains("its page");
        said.push(line);
        if done {
            break;
        }
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let said = said.join("\n");
    assert!(said.contains("The settings cannot be used") && said.contains("slots.count is 0"), "{said}");
    assert!(said.contains(" is ready as device "), "{said}");
}

// ---- The last steps -----------------------------------------------------------------------------------------------------

/// Asks what helps after a daemon that ended like this.
fn escalate(settings: &Path, end: (&str, &str)) -> (i32, String) {
    let output = Command::new(TUNERD)
        .arg("--escalate")
        .arg("--config")
        .arg(settings)
        .env_remove("JOURNAL_STREAM")
        .env("MONITOR_EXIT_CODE", end.0)
        .env("MONITOR_EXIT_STATUS", end.1)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const ABORTED: (&str, &str) = ("killed", "ABRT");
const REBOOT: i32 = 0;
const SAFE_MODE: i32 = 75;

#[test]
fn three_reboots_and_then_safe_mode() {
    let mut setup = Setup::new();
    fs::create_dir_all(setup.state_dir()).unwrap();
    setup.set("ladder", "reboot = true");
    let settings = setup.write_settings();
    let counted = || fs::read_to_string(setup.state_dir().join("reboots")).unwrap_or_default().lines().count();
    for end in [("exited", "64"), ("exited", "0")] {
        let (code, said) = escalate(&settings, end);
        assert_eq!(code, SAFE_MODE, "{end:?}: {said}");
    }
    assert_eq!(counted(), 0);
    for count in 1..=3 {
        assert_eq!(escalate(&settings, ABORTED).0, REBOOT);
        assert_eq!(counted(), count);
    }
    let (code, said) = escalate(&settings, ABORTED);
    assert!(code == SAFE_MODE && said.contains("often enough"), "{said}");
    assert_eq!(counted(), 3);
    // Damage is taken for reboots, once.
    fs::write(setup.state_dir().join("reboots"), b"\xff\n\xff\n\xff\n").unwrap();
    assert_eq!(escalate(&settings, ABORTED).0, SAFE_MODE);
    assert_eq!(escalate(&settings, ABORTED).0, REBOOT);
}

#[test]
fn a_reboot_that_cannot_be_counted_is_none() {
    let mut setup = Setup::new();
    setup.set("ladder", "reboot = true");
    let settings = setup.write_settings();
    let (code, said) = escalate(&settings, ABORTED);
    assert!(code == SAFE_MODE && said.contains("cannot be counted"), "no state directory: {said}");
    fs::create_dir_all(setup.state_dir().join("reboots")).unwrap();
    assert_eq!(escalate(&settings, ABORTED).0, SAFE_MODE, "a directory in its place");
    let bad = setup.folder.write("bad.toml", "[ladder]\nreboot = 1\n");
    assert_eq!(escalate(&bad, ABORTED).0, SAFE_MODE, "settings that do not say");
    fs::remove_dir(setup.state_dir().join("reboots")).unwrap();
    setup.set("ladder", "reboot = false");
    let (code, said) = escalate(&setup.write_settings(), ABORTED);
    assert!(code == SAFE_MODE && said.contains("[ladder]"), "{said}");
}

/// The settings of a unit, by section and key; what stands twice is joined.
fn unit(name: &str) -> BTreeMap<(String, String), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
    let (text, mut section, mut found) = (fs::read_to_string(path).unwrap(), String::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            line.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=').unwrap();
        let all: &mut String = found.entry((section.clone(), key.to_owned())).or_default();
        all.push_str(value);
        all.push('\n');
    }
    found
}

#[test]
fn the_box_starts_anew_only_where_that_is_meant() {
    let get = |name: &str, section: &str, key: &str| {
        let value = unit(name).get(&(format!("[{section}]"), key.to_owned())).cloned();
        value.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    // Who ends well, and who ends badly, reboots the board. A unit that is not named here must not.
    let mut actions = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".service") {
            continue;
        }
        let found = (get(&name, "Unit", "SuccessAction"), get(&name, "Unit", "FailureAction"));
        if found != Default::default() {
            actions.insert(name, found);
        }
    }
    let reboot = || "reboot".to_owned();
    let expected = [
        ("tunerd-escalate.service", (reboot(), String::new())),
        ("tunerd-factory-reset.service", (reboot(), String::new())),
        ("tunerd-prove.service", (String::new(), reboot())),
        ("tunerd-reboot.service", (reboot(), String::new())),
    ];
    assert_eq!(actions, expected.map(|(name, found)| (name.to_owned(), found)).into());
    // E7: a system that has proved itself once is never given up for what happens later.
    let (prove, good) = ("tunerd-prove.service", "tunerd-mark-good.service");
    assert!(get(prove, "Unit", "ConditionPathExists").contains("!/var/lib/rauc/tunerd-good-%A-%B"));
    assert!(get(good, "Service", "ExecStart").contains("/var/lib/rauc/tunerd-good-%A-%B"));
    assert_eq!((get(good, "Unit", "Requires"), get(good, "Unit", "After")), (prove.to_owned(), prove.to_owned()));
    for name in [prove, good] {
        assert!(get(name, "Unit", "ConditionPathExists").contains("/etc/rauc/system.conf"), "{name}");
    }
    // Whoever is asked by a file takes it back, or it is asked again for ever.
    for wish in ["reboot", "factory-reset"] {
        let (path, service) = (format!("tunerd-{wish}.path"), format!("tunerd-{wish}.service"));
        assert_eq!(get(&path, "Path", "PathExists"), format!("/run/tunerd/{wish}"));
        assert!(get(&service, "Service", "ExecStart").starts_with(&format!("/bin/rm -f /run/tunerd/{wish}")));
    }
}

#[test]
fn the_units_agree_with_each_other_and_with_the_daemon() {
    let (normal, safe, escalate) =
        (unit("tunerd.service"), unit("tunerd-safe.service"), unit("tunerd-escalate.service"));
    let get = |unit: &BTreeMap<(String, String), String>, section: &str, key: &str| {
        let value = unit.get(&(format!("[{section}]"), key.to_owned()));
        value.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    // Whatever else is changed in one of the two must be changed in the other.
    let may_differ = |(section, key): &(String, String)| match section.as_str() {
        "[Unit]" => ["Description", "After", "Conflicts", "OnFailure", "StartLimitIntervalSec", "StartLimitBurst"]
            .contains(&key.as_str()),
        "[Service]" => key == "ExecStart",
        _ => section == "[Install]",
    };
    let same = |unit: &BTreeMap<(String, String), String>| {
        unit.iter().filter(|(name, _)| !may_differ(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (normal_rest, safe_rest): (BTreeMap<_, _>, BTreeMap<_, _>) = (same(&normal), same(&safe));
    assert_eq!(normal_rest, safe_rest);
    assert!(normal_rest.len() > 40);
    assert_eq!(get(&safe, "Service", "ExecStart"), get(&normal, "Service", "ExecStart") + " --safe-mode");
    assert_eq!(get(&safe, "Unit", "StartLimitIntervalSec"), "0");
    assert_eq!(get(&safe, "Unit", "Conflicts"), "tunerd.service");
    assert!(get(&safe, "Unit", "After").contains("tunerd.service"), "or the ports are not free yet");
    // The ladder (E4): each step names the next.
    assert_eq!(get(&normal, "Unit", "OnFailure"), "tunerd-escalate.service");
    assert_eq!(get(&escalate, "Unit", "OnFailure"), "tunerd-safe.service");
    assert_eq!(get(&escalate, "Unit", "SuccessAction"), "reboot");
    assert_eq!(get(&escalate, "Unit", "StartLimitIntervalSec"), "0");
    assert!(get(&escalate, "Service", "ExecStart").ends_with(" --escalate"));
    for (key, value) in [("StartLimitIntervalSec", "10min"), ("StartLimitBurst", "6")] {
        assert_eq!(get(&normal, "Unit", key), value);
    }
    for (key, value) in [
        ("Restart", "always"),
        ("RestartSec", "1"),
        ("RestartSteps", "5"),
        ("RestartMaxDelaySec", "30"),
        ("WatchdogSec", "20"),
        ("RestartPreventExitStatus", "64"),
        ("RuntimeDirectory", "tunerd"),
        ("RuntimeDirectoryPreserve", "yes"),
        // Encoders, and no other devices.
        ("DevicePolicy", "closed"),
        ("SupplementaryGroups", "video render"),
        ("PrivateDevices", ""),
    ] {
        assert_eq!(get(&normal, "Service", key), value);
    }
    // Both write to the same place as the same user.
    for key in ["User", "DynamicUser", "StateDirectory"] {
        assert_eq!(get(&normal, "Service", key), get(&escalate, "Service", key));
    }
    assert_eq!(get(&unit("tunerd-watchdog.conf"), "Manager", "RuntimeWatchdogSec"), "15s");
}

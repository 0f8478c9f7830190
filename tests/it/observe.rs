//! What the box tells about itself: metrics, alarms, problems, and the log.

use crate::kit::http::Answer;
use crate::kit::{Daemon, Setup, http, run, wait_until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

// ---- Reading what Prometheus reads -------------------------------------------------------------------------------

/// A family of metrics, as it stands in the text.
#[derive(Debug)]
struct Family {
    kind: String,
    help: String,
    /// Name and labels as they stand there, and the value.
    rows: Vec<(String, BTreeMap<String, String>, f64)>,
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `name{label="value",…} number`, and nothing else.
fn row(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line:?}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("open brace: {line:?}"))),
    };
    assert!(is_name(name), "{line:?}");
    let mut found = BTreeMap::new();
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (key, quoted) = label.split_once('=').unwrap_or_else(|| panic!("no label: {line:?}"));
        let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let text = text.unwrap_or_else(|| panic!("no quotes: {line:?}"));
        assert!(is_name(key) && !text.contains(['"', '\\', '\n']), "{line:?}");
        assert_eq!(found.insert(key.to_owned(), text.to_owned()), None, "the same label twice: {line:?}");
    }
    (name.to_owned(), found, value)
}

/// Reads a text as strictly as the format allows: each family once, with help and type before its rows, no series twice,
/// histograms whole.
/// Source: Prometheus, "Exposition formats", text format 0.0.4; names as `promtool check metrics` wants them.
fn exposition(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n') && !text.contains("\n\n") && !text.contains('\r'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut present: Option<String> = None;
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            let family = Family { kind: String::new(), help: help.to_owned(), rows: Vec::new() };
            assert!(is_name(name) && families.insert(name.to_owned(), family).is_none(), "{line:?}");
            present = Some(name.to_owned());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            let family = families.get_mut(name).unwrap_or_else(|| panic!("type without help: {line:?}"));
            assert!(family.kind.is_empty() && family.rows.is_empty() && present.as_deref() == Some(name), "{line:?}");
            kind.clone_into(&mut family.kind);
        } else {
            let (name, labels, value) = row(line);
            let family_name = present.clone().unwrap();
            let family = families.get_mut(&family_name).unwrap();
            let suffix = name.strip_prefix(&family_name).unwrap_or_else(|| panic!("outside its family: {line:?}"));
            match family.kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line:?}"),
                "counter" | "gauge" => assert_eq!(suffix, "", "{line:?}"),
                _ => panic!("no type before {line:?}"),
            }
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line:?}");
            if family.kind != "gauge" {
                assert!(value >= 0.0, "{line:?}");
            }
            family.rows.push((name, labels, value));
        }
    }
    for (name, family) in &families {
        assert!(name.starts_with("tunerd_") && !family.help.is_empty(), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
        if family.kind == "histogram" {
            check_histogram(name, family);
        }
    }
    families
}

fn check_histogram(name: &str, family: &Family) {
    assert!(name.ends_with("_seconds"), "{name}");
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<(String, f64)>> = BTreeMap::new();
    for (row, labels, value) in &family.rows {
        let mut labels = labels.clone();
        let bound = labels.remove("le");
        assert_eq!(bound.is_some(), row.ends_with("_bucket"), "{row}");
        series.entry(labels).or_default().push((bound.unwrap_or_else(|| row.clone()), *value));
    }
    for rows in series.values() {
        let (count, sum) = (rows.last().unwrap(), &rows[rows.len() - 2]);
        assert!(count.0.ends_with("_count") && sum.0.ends_with("_sum"), "{name}: {rows:?}");
        let buckets = &rows[..rows.len() - 2];
        assert_eq!(buckets.last().unwrap(), &("+Inf".to_owned(), count.1), "{name}");
        let bound = |row: &(String, f64)| row.0.parse::<f64>().unwrap();
        for pair in buckets.windows(2) {
            assert!(bound(&pair[0]) < bound(&pair[1]) && pair[0].1 <= pair[1].1, "{name}: {pair:?}");
        }
    }
}

/// The metrics of a daemon, whose text is what the format says, and small enough.
fn metrics(daemon: &Daemon) -> BTreeMap<String, Family> {
    let answer = daemon.get("/metrics");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.body.len() <= 64 * 1024, "{} bytes", answer.body.len());
    exposition(answer.text())
}

/// The value of the row that has these labels, among others perhaps.
fn value(metrics: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = metrics.get(&format!("tunerd_{name}")).unwrap_or_else(|| panic!("there is no {name}"));
    let fits = |found: &BTreeMap<String, String>| {
        labels.iter().all(|(key, text)| found.get(*key).is_some_and(|value| value == text))
    };
    family.rows.iter().filter(|(_, found, _)| fits(found)).map(|(_, _, value)| value).sum()
}

/// Whether Prometheus' own checker is there; where everything must be tried, it has to be.
fn has_promtool() -> bool {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "promtool is missing; ./tools/test installs it where CI is set");
    found
}

fn tools(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/observe").join(name)
}

fn json(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

// ---- Metrics --------------------------------------------------------------------------------------------------------

/// The names of the plan (5-M), which dashboards elsewhere are built on.
const NAMES: [&str; 39] = [
    "ffmpeg_processes_active",
    "ffmpeg_spawn_pending",
    "ffmpeg_spawn_rejected_total",
    "ffmpeg_spawn_timeout_total",
    "pool_acquisition_latency_seconds",
    "restart_rate_per_minute",
    "restart_storm_total",
    "channel_restart_total",
    "channel_failure_total",
    "circuit_breaker_state",
    "health_timeouts_total",
    "sweep_found_total",
    "probe_result_total",
    "probe_skipped_total",
    "stream_success_total",
    "stream_failure_total",
    "viewers",
    "viewer_lagged_total",
    "slot_quarantined",
    "event_loop_lag_seconds",
    "fd_usage",
    "system_rss_bytes",
    "zombies",
    "sometimes_total",
    "guide_age_seconds",
    "db_commit_seconds",
    "playout_rebuild_total",
    "snapshot_skipped_total",
    "alarms",
    "limit",
    "build_info",
    "ffmpeg_spawn_total",
    "pull_total",
    "failure_total",
    "metric_rows_left_out_total",
    "log_lines_total",
    "log_lines_left_out_total",
    "problems",
    "channels",
];

#[test]
fn the_metrics_are_what_prometheus_reads_and_have_the_names_of_the_plan() {
    let daemon = Daemon::demo();
    assert_eq!(daemon.get("/xmltv.xml").status, 200);
    let (answer, _stream) = http::open(daemon.address(), 5004, "/auto/v1.1");
    assert_eq!(answer.status, 200);
    let found = metrics(&daemon);
    for name in NAMES {
        assert!(found.contains_key(&format!("tunerd_{name}")), "{name} is missing");
    }
    let reasons = |name: &str, label: &str| -> BTreeSet<String> {
        found[name].rows.iter().map(|(_, labels, _)| labels[label].clone()).collect()
    };
    let rejected = reasons("tunerd_ffmpeg_spawn_rejected_total", "reason");
    for reason in
        ["breaker", "cooldown", "throttle", "slot", "memory", "fd", "heat", "ffmpeg", "token", "drain", "records"]
    {
        assert!(rejected.contains(reason), "{reason} is not in {rejected:?}");
    }
    assert_eq!(reasons("tunerd_probe_result_total", "result").len(), 3);
    let outcomes = reasons("tunerd_pool_acquisition_latency_seconds", "outcome");
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["ok", "refused", "timeout"]);
    for (name, labels, wanted) in [
        ("viewers", &[][..], 1.0),
        ("channels", &[], 4.0),
        ("stream_success_total", &[], 1.0),
        ("ffmpeg_processes_active", &[], 1.0),
        ("ffmpeg_spawn_total", &[("kind", "cold")], 1.0),
        ("ffmpeg_spawn_total", &[("kind", "restart")], 0.0),
        ("pool_acquisition_latency_seconds", &[("outcome", "ok"), ("le", "+Inf")], 1.0),
        ("playout_rebuild_total", &[("of", "guide")], 1.0),
        ("playout_rebuild_total", &[("of", "lineup")], 1.0),
        ("zombies", &[], 0.0),
        ("problems", &[], 0.0),
        ("limit", &[("name", "breaker_open_ms")], 120_000.0),
        ("limit", &[("name", "restarts_max")], 10.0),
    ] {
        assert!((value(&found, name, labels) - wanted).abs() < 0.5, "{name}{labels:?} is not {wanted}");
    }
    assert!((0.0..60.0).contains(&value(&found, "guide_age_seconds", &[])));
    assert!(value(&found, "system_rss_bytes", &[]) > 1e6 && value(&found, "fd_usage", &[]) > 5.0);
    let fds = u32::try_from(daemon.fds()).unwrap();
    assert!((value(&found, "fd_usage", &[]) - f64::from(fds)).abs() < 4.0, "{fds} are open");
}

#[test]
fn promtool_has_no_complaint() {
    if !has_promtool() {
        return;
    }
    let daemon = Daemon::demo();
    let file = daemon.setup.folder.write("metrics", daemon.get("/metrics").body);
    let command = format!("promtool check metrics < {}", file.display());
    let (status, said) = run("sh", &["-c", &command]);
    assert!(status.success() && said.is_empty(), "{said}");
    let (status, said) = run("promtool", &["check", "rules", tools("alerts.yml").to_str().unwrap()]);
    assert!(status.success(), "{said}");
}

/// Names of our metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    text.split(word).filter(|word| word.starts_with("tunerd_")).map(str::to_owned).collect()
}

#[test]
fn alert_rules_and_dashboard_use_only_what_there_is_and_forget_no_alarm() {
    let daemon = Daemon::demo();
    let found = metrics(&daemon);
    let rules = fs::read_to_string(tools("alerts.yml")).unwrap();
    let dashboard = fs::read_to_string(tools("dashboard.json")).unwrap();
    let series: BTreeSet<&str> =
        found.values().flat_map(|family| family.rows.iter().map(|(name, ..)| name.as_str())).collect();
    for (file, text) in [("alerts.yml", &rules), ("dashboard.json", &dashboard)] {
        let used = named(text);
        assert!(used.len() > 5, "{file} uses {used:?}");
        for name in used {
            // Rows of single channels come with the first failure; their family is there from the start.
            assert!(series.contains(name.as_str()) || found.contains_key(&name), "{file}: there is no {name}");
            assert!(
                found.get(&name).is_none_or(|family| family.kind != "histogram"),
                "{file}: {name} is a histogram; use its _bucket"
            );
        }
    }
    // Every alarm and problem that there is has a rule.
    for (_, labels, _) in &found["tunerd_alarms"].rows {
        let name = &labels["name"];
        let alone = format!("name=\"{name}\"");
        let among = |list: &str| list.split('|').any(|word| word == name);
        let lists = rules.split("name=~\"").skip(1).filter_map(|rest| rest.split('"').next());
        assert!(rules.contains(&alone) || lists.into_iter().any(among), "{name} has no rule");
    }
    // And every label that a rule asks for can be had.
    for expression in rules.lines().filter(|line| line.contains("tunerd_alarms{")) {
        let word = |key: &str| expression.split(&format!("{key}=\"")).nth(1)?.split('"').next();
        let Some(name) = word("name") else { continue };
        let row = |labels: &BTreeMap<String, String>| {
            labels["name"] == name && Some(labels["level"].as_str()) == word("level")
        };
        assert!(found["tunerd_alarms"].rows.iter().any(|(_, labels, _)| row(labels)), "{expression}");
    }
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "each panel has an id of its own: {panel}");
        let is_row = panel["type"] == "row";
        assert_eq!(is_row, panel["targets"].as_array().is_none_or(Vec::is_empty), "{panel}");
    }
    assert!(panels.len() > 20 && dashboard["uid"] == "tunerd");
}

#[test]
fn a_hundred_and_forty_failing_channels_are_counted_and_bounded() {
    // At stake: a playlist of thousands of channels whose provider is gone must not make the numbers grow without
    // bound. Every channel is tuned once and fails; the newest have rows of their own, the rest is counted.
    let mut setup = Setup::new();
    let channels = (1..=140).fold(String::from("#EXTM3U\n"), |mut all, n| {
        write!(all, "#EXTINF:-1,Channel {n}\nudp://192.0.2.1:{n}\n").unwrap();
        all
    });
    setup.playlist(&channels).fake_ffmpeg("echo broken >&2\nexit 1").set("slots", "count = 8");
    setup.set("network", "connections_per_address_max = 64");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let address = daemon.address();
    let tuning: Vec<_> = (0..7_u32)
        .map(|worker| {
            std::thread::spawn(move || {
                for n in (1..=140).filter(|n| n % 7 == worker) {
                    let answer = http::get(address, 5004, &format!("/auto/v{n}"));
                    assert_eq!(answer.status, 503, "{n}");
                    let retry_s: u32 = answer.header("retry-after").unwrap().parse().unwrap();
                    assert!((1..=120).contains(&retry_s), "{n}: {retry_s}");
                    assert!(answer.header("x-hdhomerun-error").is_some_and(|code| code.starts_with("80")), "{n}");
                    assert!(answer.body.is_empty(), "some clients take a body for video");
                }
            })
        })
        .collect();
    for worker in tuning {
        worker.join().unwrap();
    }
    let found = metrics(&daemon);
    let failed = value(&found, "failure_total", &[("class", "early_exit")]);
    assert!(failed >= 140.0, "{failed}");
    assert_eq!(found["tunerd_channel_failure_total"].rows.len(), 128);
    assert!(found["tunerd_circuit_breaker_state"].rows.len() <= 128);
    assert!(value(&found, "metric_rows_left_out_total", &[("metric", "channel_failure_total")]) >= 12.0);
    assert!(value(&found, "metric_rows_left_out_total", &[("metric", "page")]) < 0.5);
    assert!(value(&found, "restart_rate_per_minute", &[]) <= 10.0);
    let status = daemon.status();
    assert_eq!(status["channels_ill"].as_array().unwrap().len(), 32);
    assert!(status["channels_ill_len"].as_u64().unwrap() >= 100, "{}", status["channels_ill_len"]);
    let ill = &status["channels_ill"][0];
    assert_eq!((&ill["last_failure"], &ill["why"]), (&"early_exit".into(), &"it ended right after the start".into()));
    assert!(ill["name"].as_str().unwrap().starts_with("Channel ") && ill["failures"].as_u64().unwrap() >= 1, "{ill}");
}

// ---- Alarms ---------------------------------------------------------------------------------------------------------

fn alarm(daemon: &Daemon, name: &str) -> Value {
    let alarms = json(&daemon.get("/api/v1/alarms"));
    let found = alarms.as_array().unwrap().iter().find(|alarm| alarm["topic"] == name).cloned();
    found.unwrap_or_else(|| panic!("there is no alarm {name}"))
}

#[test]
fn every_alarm_has_a_name_and_a_state() {
    let daemon = Daemon::demo();
    let alarms = json(&daemon.get("/api/v1/alarms"));
    let names: Vec<&str> = alarms.as_array().unwrap().iter().map(|alarm| alarm["topic"].as_str().unwrap()).collect();
    let wanted = [
        "restart_velocity",
        "restart_storm",
        "pool_pressure",
        "upstream_outage",
        "ffmpeg_unhealthy",
        "memory",
        "slot_quarantined",
        "loop_stall",
        "fds",
    ];
    assert_eq!(names, wanted);
    for name in ["restart_storm", "upstream_outage", "ffmpeg_unhealthy", "slot_quarantined", "fds"] {
        let alarm = alarm(&daemon, name);
        assert!(alarm["level"].is_null() && alarm["since"].is_null() && alarm["count"] == 0, "{alarm}");
    }
}

#[test]
fn all_tuners_in_use_is_busy_and_not_ill() {
    let mut setup = Setup::new();
    setup.set("slots", "count = 2");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let open = |number: &str| -> TcpStream {
        let (answer, stream) = http::open(daemon.address(), 5004, &format!("/auto/v{number}"));
        assert_eq!(answer.status, 200);
        stream
    };
    let streams = [open("1.1"), open("1.2")];
    for stream in &streams {
        let mut stream = stream.try_clone().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    }
    wait_until("the alarm is raised", Duration::from_secs(20), || !alarm(&daemon, "pool_pressure")["level"].is_null());
    let status = daemon.status();
    assert_eq!(alarm(&daemon, "pool_pressure")["level"], "warning");
    assert_eq!(status["level"], "busy", "{status}");
    assert!(status["sentence"].as_str().unwrap().starts_with("Working. 4 channels, all 2 tuners"), "{status}");
    let problem = &status["problems"][0];
    assert_eq!((&problem["topic"], &problem["level"]), (&"pool_pressure".into(), &"warning".into()));
    assert!(problem["text"].as_str().unwrap().starts_with("2 of 2 tuners are taken."), "{problem}");
    let found = metrics(&daemon);
    let raised = |level| value(&found, "alarms", &[("name", "pool_pressure"), ("level", level)]);
    assert!(raised("warning") > 0.5 && raised("critical") < 0.5 && value(&found, "problems", &[]) > 0.5);
    assert_eq!(daemon.get("/healthz").status, 200);
    for stream in streams {
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
    daemon.wait_until_idle();
    wait_until("the alarm is over", Duration::from_secs(20), || daemon.status()["problems"] == Value::Array(vec![]));
    assert_eq!(daemon.status()["level"], "good");
    let over = alarm(&daemon, "pool_pressure");
    assert!(over["level"].is_null() && over["count"] == 1 && !over["last"].is_null(), "{over}");
}

#[test]
fn a_problem_is_critical_and_stands_in_every_place() {
    let mut setup = Setup::new();
    setup.set("ffmpeg", "path = \"no-such-ffmpeg\"");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let status = daemon.status();
    assert_eq!(status["level"], "ill");
    let problem = status["problems"].as_array().unwrap().iter().find(|problem| problem["topic"] == "ffmpeg").unwrap();
    assert_eq!((&problem["level"], &problem["count"]), (&"critical".into(), &1.into()), "asking is no second sign");
    assert!(problem["since"] == problem["first"] && !problem["last"].is_null());
    assert!(value(&metrics(&daemon), "alarms", &[("name", "ffmpeg"), ("level", "critical")]) > 0.5);
}

#[test]
fn k01_a_box_without_descriptors_raises_one_alarm_and_does_not_fill_its_log() {
    // At stake: when the kernel gives no descriptor for a connection, the door is told so as often as it asks. The soft
    // limit is put below what is open, connections come and are not taken, and then the limit is put back.
    let daemon = Daemon::demo();
    let pid = daemon.pid().to_string();
    let limit = |soft: usize| {
        let (status, said) = run("prlimit", &["--pid", &pid, &format!("--nofile={soft}:")]);
        assert!(status.success(), "{said}");
    };
    let lines = daemon.log().lines().count();
    limit(daemon.fds() - 2);
    let waiting: Vec<TcpStream> = (0..3).map(|_| http::connect(daemon.address(), 8080)).collect();
    daemon.wait_for_log("has run out of file descriptors");
    std::thread::sleep(Duration::from_secs(2));
    let said = daemon.log().lines().count() - lines;
    assert!(said <= 3, "{said} lines in two seconds:\n{}", daemon.log());
    limit(1024);
    drop(waiting);
    let fds = alarm(&daemon, "fds");
    assert_eq!(fds["level"], "critical", "{fds}");
    assert!(fds["count"].as_u64().unwrap() > 3, "one alarm with many signs: {fds}");
    assert_eq!(daemon.status()["level"], "ill");
}

// ---- Log ------------------------------------------------------------------------------------------------------------

fn entries(daemon: &Daemon, query: &str) -> Vec<Value> {
    json(&daemon.get(&format!("/api/logs/entries{query}"))).as_array().unwrap().clone()
}

fn id(entry: &Value) -> &str {
    entry["id"].as_str().unwrap()
}

/// Has one line logged about a channel.
fn retry(daemon: &Daemon, number: &str) -> Answer {
    let found = json(&daemon.get(&format!("/api/v1/channels?search={number}")));
    daemon.call(&format!("/api/v1/channels/{}/retry", found["items"][0]["id"]), &Value::Null)
}

#[test]
fn s22_a_log_line_has_an_address_and_the_word_entries_is_none() {
    let daemon = Daemon::demo();
    let all = entries(&daemon, "");
    assert!(all.len() > 2);
    for entry in &all {
        assert_eq!(id(entry).len(), 22);
        assert!(id(entry).chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{entry}");
        for path in ["/api/logs/entry/", "/api/logs/"] {
            assert_eq!(json(&daemon.get(&format!("{path}{}", id(entry)))), *entry);
        }
    }
    let ids: BTreeSet<&str> = all.iter().map(id).collect();
    assert_eq!(ids.len(), all.len());
    assert_eq!(daemon.get("/api/logs/entries").status, 200);
    assert_eq!(daemon.get("/api/logs/entriesx").status, 404);
    let post = format!("POST /api/logs/{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", id(&all[0]));
    assert_eq!(http::ask(daemon.address(), 8080, &post).status, 405);
}

#[test]
fn s23_m09_whatever_is_no_id_is_not_found_and_leaves_no_trace() {
    let daemon = Daemon::demo();
    let all = entries(&daemon, "");
    let good = id(&all[0]).to_owned();
    // Another run's ids differ in the first eight bytes: the first characters.
    let other_run = format!("{}{}", if good.starts_with('A') { 'B' } else { 'A' }, &good[1..]);
    // One that this run has not given yet.
    let future = format!("{}____w", &good[..17]);
    // The last character has four bits that must be zero.
    let loose = format!("{}{}", &good[..21], if good.ends_with('A') { 'B' } else { 'x' });
    let long = "A".repeat(7_000);
    let bad = [
        "%25%25%25",
        "entries=",
        "entry",
        &format!("{good}="),
        &format!("{good}=="),
        &format!("{good}A"),
        &good[..21],
        &good.replace(&good[..1], "%41"),
        &format!("+{}", &good[1..]),
        &format!("/{}", &good[1..]),
        &other_run,
        &future,
        &loose,
        &long,
        "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
    ];
    let before = (daemon.log(), value(&metrics(&daemon), "log_lines_total", &[]));
    for bad in bad {
        for path in ["/api/logs/entry/", "/api/logs/"] {
            let answer = daemon.get(&format!("{path}{bad}"));
            // Bytes that no address may have are a bad request.
            let wanted = if bad.is_ascii() { 404 } else { answer.status.clamp(400, 404) };
            assert_eq!(answer.status, wanted, "{path}{bad}");
        }
    }
    let too_long = daemon.get(&format!("/api/logs/{}", "A".repeat(10_000)));
    assert!((400..500).contains(&too_long.status), "{}", too_long.status);
    let after = (daemon.log(), value(&metrics(&daemon), "log_lines_total", &[]));
    assert_eq!(before.0, after.0);
    assert!((before.1 - after.1).abs() < 0.5);
    assert_eq!(entries(&daemon, "").len(), all.len());
}

#[test]
fn who_follows_the_log_misses_nothing() {
    let mut setup = Setup::new();
    setup.set("log", "level = \"debug\"");
    setup.playlist(
        (1..=40).fold("#EXTM3U\n".to_owned(), |text, n| text + &format!("#EXTINF:-1,C{n}\nhttp://h/{n}.ts\n")),
    );
    let daemon = setup.start();
    daemon.wait_for_lineup();
    for channel in 1..=40 {
        assert_eq!(retry(&daemon, &channel.to_string()).status, 204);
    }
    wait_until("all of it is logged", Duration::from_secs(5), || entries(&daemon, "?limit=500").len() > 42);
    let all = entries(&daemon, "?limit=500");
    let ids: Vec<&str> = all.iter().map(id).collect();
    // Page by page from the first line on.
    let mut followed = vec![ids[0].to_owned()];
    loop {
        let next = entries(&daemon, &format!("?limit=7&after={}", followed.last().unwrap()));
        assert!(next.len() <= 7);
        followed.extend(next.iter().map(|entry| id(entry).to_owned()));
        if next.len() < 7 {
            break;
        }
    }
    assert_eq!(followed, ids);
    // And without a place to begin, the newest.
    let newest: Vec<Value> = entries(&daemon, "?limit=3");
    assert_eq!(newest.iter().map(id).collect::<Vec<_>>(), ids[ids.len() - 3..]);
    for bad in ["limit=0", "limit=501", "limit=-1", "limit=", "level=loud", "level=", "channel=9.9", "channel_id=x"] {
        assert_eq!(daemon.get(&format!("/api/logs/entries?{bad}")).status, 422, "{bad}");
    }
    for bad in ["after=", "after=entries", "after=AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(daemon.get(&format!("/api/logs/entries?{bad}")).status, 404, "{bad}");
    }
}

#[test]
fn the_log_is_filtered_by_level_and_by_channel() {
    let mut setup = Setup::new();
    setup.set("ffmpeg", "path = \"no-such-ffmpeg\"");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    assert_eq!(daemon.status()["level"], "ill");
    assert_eq!(retry(&daemon, "1.2").status, 204);
    assert_eq!(retry(&daemon, "1.3").status, 204);
    wait_until("it is logged", Duration::from_secs(5), || entries(&daemon, "?channel=1.3").len() == 1);
    let warnings = entries(&daemon, "?level=warn");
    assert!(
        !warnings.is_empty()
            && warnings.iter().all(|entry| ["warn", "error"].contains(&entry["level"].as_str().unwrap()))
    );
    assert!(entries(&daemon, "?level=error").is_empty());
    assert!(entries(&daemon, "?level=info").len() > warnings.len());
    let about = entries(&daemon, "?channel=1.2");
    assert_eq!(about.len(), 1, "{about:?}");
    let channel_id = about[0]["channel_id"].as_u64().unwrap();
    assert_eq!(entries(&daemon, &format!("?channel_id={channel_id}")), about);
    assert!(entries(&daemon, "?channel=1.2&level=warn").is_empty());
    assert!(entries(&daemon, &format!("?channel=1.2&after={}", id(&about[0]))).is_empty());
    assert!(warnings.iter().all(|entry| entry["channel_id"].is_null()), "they are about the box");
}

#[test]
fn i17_a_channel_has_six_lines_a_minute() {
    let daemon = Daemon::demo();
    for _ in 0..50 {
        assert_eq!(retry(&daemon, "1.1").status, 204);
    }
    assert_eq!(retry(&daemon, "1.4").status, 204);
    wait_until("all of it was heard", Duration::from_secs(5), || entries(&daemon, "?channel=1.4").len() == 1);
    assert_eq!(entries(&daemon, "?channel=1.1").len(), 6);
    assert_eq!(daemon.log().matches("wants this channel tried again").count(), 7);
    assert!((value(&metrics(&daemon), "log_lines_left_out_total", &[]) - 44.0).abs() < 0.5);
}

#[test]
fn only_the_owner_may_have_a_channel_tried_again() {
    let daemon = Daemon::demo();
    let (address, port) = (daemon.address(), 8080);
    assert_eq!(daemon.get("/api/v1/channels/1/retry").status, 405);
    let foreign = "POST /api/v1/channels/1/retry HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\
        Connection: close\r\n\r\n";
    assert_eq!(http::ask(address, port, foreign).status, 403);
    for bad in ["0", "99", "x", "-1", "01", "4294967296"] {
        assert_eq!(daemon.call(&format!("/api/v1/channels/{bad}/retry"), &Value::Null).status, 404, "{bad}");
    }
    assert!(entries(&daemon, "?level=debug").iter().all(|entry| entry["channel_id"].is_null()));
    assert_eq!(retry(&daemon, "1.1").status, 204);
}

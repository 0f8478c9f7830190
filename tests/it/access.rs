//! Who may manage the box, over real sockets: its first password, sessions, guesses, tokens, and what foreign pages get.
//! What needs time to pass is told in `pure::rules::access`.

use crate::kit::http::{self, Answer};
use crate::kit::{Daemon, Setup, TUNERD, inside, run};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Instant;

const PASSWORD: &str = "violin otter cement";
const OTHER: &str = "nine blue umbrellas";

/// One that wants a password.
fn fresh() -> Daemon {
    closed(&mut Setup::new()).clone().start()
}

fn closed(setup: &mut Setup) -> &mut Setup {
    setup.set("access", "open = false")
}

/// Somebody who asks.
struct Client<'a> {
    daemon: &'a Daemon,
    /// As a browser sends it.
    cookie: Option<String>,
    token: Option<String>,
    /// Whether he says which page of ours he is, as a browser does.
    is_browser: bool,
}

impl<'a> Client<'a> {
    fn program(daemon: &'a Daemon) -> Self {
        Self { daemon, cookie: None, token: None, is_browser: false }
    }

    fn browser(daemon: &'a Daemon) -> Self {
        Self { is_browser: true, ..Self::program(daemon) }
    }

    fn with(daemon: &'a Daemon, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::program(daemon) }
    }

    fn ask(&self, line: &str, body: Option<&Value>) -> Answer {
        let address = self.daemon.address();
        let mut head = format!("{line} HTTP/1.1\r\nHost: {address}:8080\r\nConnection: close\r\n");
        if self.is_browser {
            write!(head, "Origin: http://{address}:8080\r\nSec-Fetch-Site: same-origin\r\n").unwrap();
        }
        if let Some(cookie) = &self.cookie {
            write!(head, "Cookie: {cookie}\r\n").unwrap();
        }
        if let Some(token) = &self.token {
            write!(head, "Authorization: Bearer {token}\r\n").unwrap();
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).unwrap();
        }
        http::ask(address, 8080, &format!("{head}\r\n{body}"))
    }

    fn status(&self, line: &str) -> u16 {
        self.ask(line, None).status
    }

    /// Asks with a password, and keeps the cookie that comes.
    fn password(&mut self, line: &str, password: &str) -> Answer {
        let answer = self.ask(line, Some(&json!({ "password": password })));
        self.keep(&answer);
        answer
    }

    fn keep(&mut self, answer: &Answer) {
        let cookie = answer.header("set-cookie").map(|cookie| cookie.split(';').next().unwrap().to_owned());
        self.cookie = cookie.or(self.cookie.take());
    }

    fn session(&self) -> Value {
        let answer = self.ask("GET /api/v1/session", None);
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
        serde_json::from_slice(&answer.body).unwrap()
    }
}

/// A browser that has claimed the box and is signed in.
fn owner(daemon: &Daemon) -> Client<'_> {
    let mut owner = Client::browser(daemon);
    assert_eq!(owner.password("POST /api/v1/claim", PASSWORD).status, 201);
    owner
}

fn token(owner: &Client<'_>, scope: &str) -> (u64, String) {
    let made = owner.ask("POST /api/v1/tokens", Some(&json!({ "name": "a program", "scope": scope })));
    assert_eq!(made.status, 201, "{}", made.text());
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    (made["id"].as_u64().unwrap(), made["token"].as_str().unwrap().to_owned())
}

/// What takes the owner, and what is read by him only.
const WRITES: [&str; 7] = [
    "PATCH /api/v1/channels",
    "DELETE /api/v1/subscriptions/1",
    "POST /api/v1/faces",
    "POST /api/v1/guides",
    "POST /api/v1/encoders/try",
    "PUT /api/v1/channels/1/guide",
    "DELETE /api/v1/tokens/99",
];
const READS: [&str; 6] = [
    "GET /api/v1/status",
    "GET /api/v1/alarms",
    "GET /api/v1/clients",
    "GET /api/v1/subscriptions",
    "GET /api/v1/faces",
    "GET /api/v1/x",
];

#[test]
fn s01_a_fresh_box_gives_strangers_nothing_until_its_owner_has_set_a_password() {
    let daemon = fresh();
    let mut client = Client::browser(&daemon);
    for line in WRITES.into_iter().chain(READS) {
        assert_eq!(client.status(line), 401, "{line}");
    }
    // What makes it a tuner is open, and so is the page that sets the password.
    daemon.wait_for_lineup();
    for target in ["/", "/app.js", "/discover.json", "/lineup.json", "/xmltv.xml", "/device.xml", "/healthz"] {
        assert_eq!(daemon.get(target).status, 200, "{target}");
    }
    let session = client.session();
    let left = session["claim_left_s"].as_u64().unwrap();
    assert!((1_700..=1_800).contains(&left), "{left}");
    assert_eq!(session["claimed"], false);
    assert_eq!(
        (&session["signed_in"], &session["scope"], &session["open"]),
        (&json!(false), &json!("none"), &json!(false))
    );
    assert_eq!(client.password("POST /api/v1/session", PASSWORD).status, 409, "there is none yet");
    // A weak one is told why, and not taken.
    for (weak, why) in [
        ("short", "10 to 128"),
        ("P@ssw0rd2026!", "first that people try"),
        ("abcdefghijklm", "repeats or counts"),
        ("xxxxxxxxxxxxx", "repeats or counts"),
        ("tunerd-2026", "the box is called"),
        (&"long ".repeat(26), "10 to 128"),
    ] {
        let answer = client.password("POST /api/v1/claim", weak);
        assert_eq!((answer.status, answer.header("content-type")), (422, Some("application/problem+json")), "{weak}");
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((&said["field"], &said["status"]), (&json!("password"), &json!(422)));
        assert!(said["detail"].as_str().unwrap().contains(why), "{weak}: {said}");
        assert!(!answer.text().contains(weak));
    }
    let claimed = client.password("POST /api/v1/claim", PASSWORD);
    assert_eq!(claimed.status, 201, "{}", claimed.text());
    let session = client.session();
    assert_eq!((&session["claimed"], &session["claim_left_s"]), (&json!(true), &Value::Null));
    assert_eq!((&session["signed_in"], &session["scope"]), (&json!(true), &json!("admin")));
    assert_eq!(client.status("GET /api/v1/status"), 200);
    // Nobody claims it a second time, and it stays claimed.
    assert_eq!(Client::browser(&daemon).password("POST /api/v1/claim", OTHER).status, 409);
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    let mut client = Client::browser(&daemon);
    assert_eq!(client.session()["claimed"], true);
    assert_eq!(client.status("GET /api/v1/status"), 401);
    assert_eq!(client.password("POST /api/v1/session", PASSWORD).status, 204);
    assert_eq!(client.status("GET /api/v1/status"), 200);
    let log = daemon.log();
    let kept = std::fs::read(daemon.setup.state_dir().join("tunerd.db")).unwrap();
    assert!(!log.contains(PASSWORD) && !kept.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()));
}

#[test]
fn s01_two_claims_at_once_make_one_owner() {
    let daemon = fresh();
    let claim = |password: &str| Client::browser(&daemon).password("POST /api/v1/claim", password).status;
    let (claim, mut statuses) = (&claim, Vec::new());
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|n| scope.spawn(move || claim(&format!("{PASSWORD} {n}")))).collect();
        statuses.extend(asking.into_iter().map(|one| one.join().unwrap()));
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
}

#[test]
fn s02_a_session_is_a_cookie_that_no_script_reads_and_a_new_password_ends_it() {
    let daemon = fresh();
    let mut client = owner(&daemon);
    let answer = Client::browser(&daemon).password("POST /api/v1/session", PASSWORD);
    let cookie = answer.header("set-cookie").unwrap();
    let (pair, flags) = cookie.split_once("; ").unwrap();
    assert_eq!(flags, "HttpOnly; SameSite=Strict; Path=/");
    let id = pair.strip_prefix("tunerd_session=").unwrap();
    assert_eq!(id.len(), 43, "256 bits");
    assert!(Some(pair) != client.cookie.as_deref(), "each has one of his own");

    let (old, mut second) = (client.cookie.clone(), Client::browser(&daemon));
    second.cookie = Some(pair.to_owned());
    assert_eq!((client.status("GET /api/v1/status"), second.status("GET /api/v1/status")), (200, 200));
    let change = |client: &mut Client<'_>, old: &str, new: &str| {
        let answer = client.ask("PUT /api/v1/password", Some(&json!({ "old": old, "new": new })));
        client.keep(&answer);
        let field = serde_json::from_slice::<Value>(&answer.body).map(|said| said["field"].clone()).unwrap_or_default();
        (answer.status, field)
    };
    assert_eq!(change(&mut Client::browser(&daemon), PASSWORD, OTHER).0, 401, "only who is signed in");
    assert_eq!(change(&mut client, "not the password", OTHER), (422, json!("old")));
    assert_eq!(change(&mut client, PASSWORD, "password123"), (422, json!("new")));
    assert_eq!(change(&mut client, PASSWORD, OTHER), (204, Value::Null));
    assert_eq!(client.status("GET /api/v1/status"), 200, "who changed it stays");
    assert_ne!(client.cookie, old);
    for stale in [old, second.cookie] {
        let replay = Client { cookie: stale, ..Client::browser(&daemon) };
        assert_eq!(replay.status("GET /api/v1/status"), 401);
    }
    assert_eq!(Client::browser(&daemon).password("POST /api/v1/session", PASSWORD).status, 401);
    assert_eq!(Client::browser(&daemon).password("POST /api/v1/session", OTHER).status, 204);
    // And signing out ends one.
    let out = client.ask("DELETE /api/v1/session", None);
    assert!(out.status == 204 && out.header("set-cookie").unwrap().ends_with("Max-Age=0"));
    assert_eq!(client.status("GET /api/v1/status"), 401);
    // Nobody makes his own.
    for invented in ["tunerd_session=", "tunerd_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let client = Client { cookie: Some(invented.to_owned()), ..Client::browser(&daemon) };
        assert_eq!(client.status("GET /api/v1/status"), 401);
    }
}

#[test]
fn s03_twenty_guesses_are_five_and_a_pause_and_a_wrong_one_takes_as_long_as_the_right_one() {
    let daemon = fresh();
    let owner = owner(&daemon);
    let guess = |password: &str| {
        let begun = Instant::now();
        let answer = Client::browser(&daemon).password("POST /api/v1/session", password);
        (answer.status, begun.elapsed().as_secs_f64(), answer.header("retry-after").map(str::to_owned))
    };
    // The fastest of a few, by turns: how fast this machine is changes.
    let mut fastest = [f64::MAX; 2];
    for _ in 0..5 {
        for (fastest, (password, wanted)) in fastest.iter_mut().zip([("a wrong password", 401), (PASSWORD, 204)]) {
            let (status, took, _) = guess(password);
            assert_eq!(status, wanted);
            *fastest = fastest.min(took);
        }
    }
    let [wrong, right] = fastest;
    assert!(
        (0.25..4.0).contains(&(wrong / right)),
        "{wrong} s and {right} s; one that is not hashed takes a hundredth"
    );
    let guesses: Vec<_> = (0..20).map(|n| guess(&format!("a wrong password {n}"))).collect();
    for (status, _, retry) in &guesses[..5] {
        assert_eq!((*status, retry.as_deref()), (401, None));
    }
    for (status, _, retry) in &guesses[5..] {
        let wait: u64 = retry.as_ref().unwrap().parse().unwrap();
        assert!(*status == 429 && (30..=60).contains(&wait), "{status} {wait}");
    }
    assert_eq!(guess(PASSWORD).0, 429, "even the right one");
    assert_eq!(owner.status("GET /api/v1/status"), 200, "who is signed in does not notice");
}

#[test]
fn s04_tokens_are_shown_once_do_what_they_are_for_and_end_when_they_are_revoked() {
    let daemon = fresh();
    let owner = owner(&daemon);
    for (body, field) in [
        (json!({ "name": "", "scope": "read" }), "name"),
        (json!({ "name": "a", "scope": "none" }), "scope"),
        (json!({ "name": "a".repeat(65), "scope": "read" }), "name"),
        (json!({ "name": "a" }), "body"),
    ] {
        let answer = owner.ask("POST /api/v1/tokens", Some(&body));
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["field"], field);
    }
    let ((read_id, read), (_, admin)) = (token(&owner, "read"), token(&owner, "admin"));
    assert!(read.starts_with("tunerd_") && read.len() == 50 && read != admin);
    let listed = owner.ask("GET /api/v1/tokens", None);
    assert!(!listed.text().contains(&read) && !listed.text().contains(&admin));
    let listed: Value = serde_json::from_slice(&listed.body).unwrap();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["scope"], &listed[0]["used_at"]),
        (&json!("a program"), &json!("read"), &Value::Null)
    );
    let (reads, writes) = (Client::with(&daemon, &read), Client::with(&daemon, &admin));
    for line in READS {
        let wanted = if line.ends_with("/x") { 404 } else { 200 };
        assert_eq!((reads.status(line), writes.status(line)), (wanted, wanted), "{line}");
    }
    for line in WRITES {
        assert_eq!(reads.status(line), 403, "{line}");
        assert!(![401, 403, 415].contains(&writes.status(line)), "{line}");
    }
    assert_eq!((reads.status("GET /api/v1/tokens"), writes.status("GET /api/v1/tokens")), (403, 200));
    let used: Value = serde_json::from_slice(&owner.ask("GET /api/v1/tokens", None).body).unwrap();
    assert!(used[0]["used_at"].is_string());
    // A wrong one is not made up for by a cookie.
    let confused =
        Client { token: Some("tunerd_x".to_owned()), cookie: owner.cookie.clone(), ..Client::browser(&daemon) };
    assert_eq!(confused.status("GET /api/v1/status"), 401);
    // They outlive the daemon, as digests only, and a change of the password; revoked they end at once.
    let database = std::fs::read(daemon.setup.state_dir().join("tunerd.db")).unwrap();
    assert!([&read, &admin].iter().all(|token| !database.windows(token.len()).any(|part| part == token.as_bytes())));
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    let (reads, writes) = (Client::with(&daemon, &read), Client::with(&daemon, &admin));
    assert_eq!(reads.status("GET /api/v1/status"), 200);
    assert_eq!(writes.status(&format!("DELETE /api/v1/tokens/{read_id}")), 204);
    assert_eq!(writes.status(&format!("DELETE /api/v1/tokens/{read_id}")), 404);
    assert_eq!(reads.status("GET /api/v1/status"), 401);
    assert_eq!(writes.status("GET /api/v1/status"), 200);
}

#[test]
fn s04_metrics_and_logs_are_for_tokens_and_for_who_is_on_the_box() {
    if !inside(&["--net"], "access::s04_metrics_and_logs_are_for_tokens_and_for_who_is_on_the_box") {
        return;
    }
    let house = Ipv4Addr::new(192, 168, 77, 1);
    let (made, said) = run("sh", &["-ec", &format!("ip link set lo up; ip addr add {house}/24 dev lo")]);
    assert!(made.success(), "{said}");
    let mut setup = Setup::new();
    setup.set("network", "address = \"0.0.0.0\"");
    setup.address = house;
    let daemon = closed(&mut setup).clone().start();
    let owner = owner(&daemon);
    let (_, read) = token(&owner, "read");
    for line in ["GET /metrics", "GET /api/logs/entries"] {
        assert_eq!(Client::program(&daemon).status(line), 401, "{line}: from another address");
        assert_eq!((Client::with(&daemon, &read).status(line), owner.status(line)), (200, 200), "{line}");
        let target = line.strip_prefix("GET ").unwrap();
        assert_eq!(http::get(Ipv4Addr::LOCALHOST, 8080, target).status, 200, "{line}: on the box");
    }
    assert_eq!(http::get(Ipv4Addr::LOCALHOST, 8080, "/api/v1/status").status, 401, "that is for the owner there, too");
}

#[test]
fn s01_the_first_password_is_set_from_the_boxs_own_network_only() {
    if !inside(&["--net"], "access::s01_the_first_password_is_set_from_the_boxs_own_network_only") {
        return;
    }
    // Whoever is behind a router may have a private address as well. This one leads here and is in no network of ours.
    let (made, said) = run(
        "sh",
        &["-ec", "ip link set lo up; ip addr add 192.168.77.1/24 dev lo; ip route add local 10.8.0.5/32 dev lo"],
    );
    assert!(made.success(), "{said}");
    let mut setup = Setup::new();
    setup.set("network", "address = \"0.0.0.0\"");
    setup.address = Ipv4Addr::new(192, 168, 77, 1);
    let _daemon = closed(&mut setup).clone().start();
    let body = json!({ "password": PASSWORD }).to_string();
    let claim = |from: &str| {
        let (_, said) = run(
            "curl",
            &[
                "-s",
                "-o",
                "/dev/stdout",
                "-w",
                "\n%{http_code}",
                "--interface",
                from,
                "-H",
                "Content-Type: application/json",
                "-d",
                &body,
                "http://192.168.77.1:8080/api/v1/claim",
            ],
        );
        said
    };
    let far = claim("10.8.0.5");
    assert!(far.ends_with("\n403") && far.contains("own network"), "{far}");
    let near = claim("192.168.77.1");
    assert!(near.ends_with("\n201"), "{near}");
}

#[test]
fn a_forgotten_password_takes_a_shell_on_the_box_and_takes_the_tokens_with_it() {
    let daemon = fresh();
    let owner = owner(&daemon);
    let (_, admin) = token(&owner, "admin");
    let (settings, setup) = (daemon.setup.write_settings(), daemon.setup.clone());
    let (done, said) = run(TUNERD, &["--config", settings.to_str().unwrap(), "--forget-password"]);
    assert!(done.success() && said.contains("Restart tunerd"), "{said}");
    assert_eq!(owner.status("GET /api/v1/status"), 200, "it knows nothing of it yet");
    drop(daemon);
    let daemon = setup.start();
    let client = Client::browser(&daemon);
    assert_eq!(
        (&client.session()["claimed"], Client::with(&daemon, &admin).status("GET /api/v1/status")),
        (&json!(false), 401)
    );
    assert_eq!(Client::browser(&daemon).password("POST /api/v1/claim", OTHER).status, 201);
    let (done, said) =
        run(TUNERD, &["--config", settings.to_str().unwrap(), "--state", "/nowhere", "--forget-password"]);
    assert!(!done.success() && said.contains("/nowhere/tunerd.db"), "{said}");
}

#[test]
fn a_factory_reset_forgets_everything_but_the_device_id() {
    let daemon = fresh();
    let owner = owner(&daemon);
    let id = |daemon: &Daemon| {
        let answer = serde_json::from_slice::<Value>(&daemon.get("/discover.json").body).unwrap();
        answer["DeviceID"].as_str().unwrap().to_owned()
    };
    let (before, setup) = (id(&daemon), daemon.setup.clone());
    let settings = setup.write_settings();
    drop(owner);
    drop(daemon);
    let state = setup.state_dir();
    let outside = setup.folder.write("outside", "is not ours");
    std::fs::create_dir(state.join("deep")).unwrap();
    std::os::unix::fs::symlink(&outside, state.join("deep/link")).unwrap();
    std::fs::write(state.join("left"), "of another release").unwrap();
    let reset = || run(TUNERD, &["--config", settings.to_str().unwrap(), "--factory-reset"]);
    let (done, said) = reset();
    assert!(done.success() && said.contains("forgotten"), "{said}");
    let left: Vec<_> = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["tunerd.db"]);
    assert!(outside.exists());
    let daemon = setup.clone().start();
    assert_eq!(id(&daemon), before);
    assert_eq!(Client::browser(&daemon).session()["claimed"], false);
    drop(daemon);
    // A database that is no good any more, and a directory that never was ours.
    std::fs::write(state.join("tunerd.db"), "rubbish").unwrap();
    assert!(reset().0.success());
    assert_ne!(id(&setup.clone().start()), before);
    let (done, said) = run(TUNERD, &["--state", outside.parent().unwrap().to_str().unwrap(), "--factory-reset"]);
    assert!(!done.success() && said.contains("there is no tunerd.db"), "{said}");
    assert!(outside.exists());
}

#[test]
fn s10_only_names_of_the_box_are_answered() {
    let mut setup = Setup::new();
    closed(&mut setup).set("access", "names = [\"TV.example\", \"203.0.113.7\"]");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    let address = daemon.address();
    let id = serde_json::from_slice::<Value>(&daemon.get("/discover.json").body).unwrap()["DeviceID"].clone();
    let id = id.as_str().unwrap();
    let ask = |hosts: &[&str], target: &str, version: &str| {
        let hosts = hosts.iter().fold(String::new(), |all, host| format!("{all}Host: {host}\r\n"));
        http::ask(address, 8080, &format!("GET {target} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n"))
    };
    let own = address.to_string();
    for target in ["/discover.json", "/", "/api/v1/session", "/healthz"] {
        for host in [
            own.as_str(),
            &format!("{own}:80"),
            "localhost",
            "127.0.0.1:8080",
            "[::1]",
            &format!("{id}.local"),
            &format!("{}.local.:8080", id.to_lowercase()),
            "tunerd.local",
            "tv.example",
            "tv.EXAMPLE:8443",
            "203.0.113.7",
        ] {
            assert_eq!(ask(&[host], target, "1.1").status, 200, "{target} as {host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "192.168.99.99",
            "192.168.99.99:80",
            "0.0.0.0",
            "[::]",
            "tv.example.evil.example",
            "tunerd.local.evil.example",
            "10000000.local",
            &format!("{own}.evil.example"),
            "evil.example/x\"",
            "localhost:x",
            "",
        ] {
            assert_eq!(ask(&[host], target, "1.1").status, 421, "{target} as {host}");
        }
        for hosts in [&[][..], &[own.as_str(), &own], &[&own, "evil.example"]] {
            assert_eq!(ask(hosts, target, "1.1").status, 400, "{target} as {hosts:?}");
        }
        let absolute = format!("http://evil.example{target}");
        assert_eq!(ask(&[&own], &absolute, "1.1").status, 421, "{absolute}");
    }
    for target in ["/api/v1/status", "/metrics", "/auto/v1.1", "/nothing"] {
        assert_eq!(ask(&["evil.example"], target, "1.1").status, 421, "{target}");
    }
    // Very old programs do not say whom they ask; browsers do.
    assert_eq!(ask(&[], "/discover.json", "1.0").status, 200);
    assert_eq!(ask(&[], "/api/v1/session", "1.0").status, 400);
    let text = ask(&["evil.example"], "/", "1.1").text().to_owned();
    assert!(text.contains("[access]") && !text.contains("evil"), "{text}");
}

#[test]
fn s11_pages_of_others_change_nothing() {
    let daemon = fresh();
    let owner = owner(&daemon);
    let (_, admin) = token(&owner, "admin");
    let (address, cookie) = (daemon.address(), owner.cookie.clone().unwrap());
    let ask = |line: &str, more: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: {address}:8080\r\nConnection: close\r\n{more}");
        http::ask(address, 8080, &format!("{head}\r\n{}", if more.contains("Length: 2") { "{}" } else { "" })).status
    };
    let (cookie, token) = (format!("Cookie: {cookie}\r\n"), format!("Authorization: Bearer {admin}\r\n"));
    let origin = |origin: &str| format!("Origin: {origin}\r\n");
    let own = origin(&format!("http://{address}:8080"));
    let json = "Content-Type: application/json\r\nContent-Length: 2\r\n";
    let write = "POST /api/v1/encoders/try";
    for (more, status) in [
        (format!("{cookie}{own}"), 200),
        (format!("{cookie}{own}Sec-Fetch-Site: same-origin\r\n"), 200),
        (cookie.clone(), 403),
        (format!("{cookie}{}", origin("http://evil.example")), 403),
        (format!("{cookie}{}", origin("null")), 403),
        (format!("{cookie}{}", origin(&format!("http://{address}:5004"))), 403),
        (format!("{cookie}{}", origin(&format!("https://{address}:8080"))), 403),
        (format!("{cookie}{own}{}", origin("http://evil.example")), 403),
        (format!("{cookie}{own}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{cookie}{own}Sec-Fetch-Site: same-site\r\n"), 403),
        (format!("{cookie}{own}Sec-Fetch-Site: none\r\n"), 403),
        (token.clone(), 200),
        (format!("{token}{}", origin("http://evil.example")), 403),
        (own.clone(), 401),
        (String::new(), 401),
    ] {
        assert_eq!(ask(write, &more) / 10 * 10, status / 10 * 10, "{more}");
        let said = ask(write, &more);
        assert!(said == status || status == 200 && said < 300, "{said} {more}");
    }
    // Looking is not for them either, except at a page that somebody typed.
    let read = "GET /api/v1/status";
    assert_eq!(ask(read, &cookie), 200);
    assert_eq!(ask(read, &format!("{cookie}Sec-Fetch-Site: none\r\n")), 200);
    assert_eq!(ask(read, &format!("{cookie}Sec-Fetch-Site: cross-site\r\n")), 403);
    assert_eq!(ask(read, &format!("{cookie}{}", origin("http://evil.example"))), 403);
    assert_eq!(ask("GET /", "Sec-Fetch-Site: cross-site\r\n"), 200, "a link leads to the page");
    // No form can sign anybody in, or send what a page's script would.
    for (kind, refused) in
        [("text/plain", true), ("application/x-www-form-urlencoded", true), ("application/json", false)]
    {
        let body = format!("{cookie}{own}Content-Type: {kind}\r\nContent-Length: 2\r\n");
        for line in ["PATCH /api/v1/channels", "POST /api/v1/session", "PUT /api/v1/password", "POST /api/v1/tokens"] {
            assert_eq!(ask(line, &body) == 415, refused, "{line} {kind}");
        }
    }
    let foreign = format!("{}{json}", origin("http://evil.example"));
    assert_eq!((ask("POST /api/v1/session", &foreign), ask("POST /api/v1/claim", &foreign)), (403, 403));
    // What changes is never asked by GET, and clients' commands are not for browsers.
    for path in ["/api/v1/channels/1/retry", "/api/v1/encoders/try", "/api/v1/claim", "/api/v1/password"] {
        assert_eq!(ask(&format!("GET {path}"), &cookie), 405, "{path}");
    }
    for more in [own.as_str(), "Sec-Fetch-Site: same-origin\r\n"] {
        assert_eq!(ask("POST /lineup.post?scan=start", more), 403, "{more}");
    }
}

#[test]
fn s12_and_s14_no_page_from_elsewhere_may_read_what_is_the_owners() {
    let daemon = fresh();
    let owner = owner(&daemon);
    for line in ["GET /api/v1/status", "GET /", "GET /api/v1/session", "GET /api/v1/x", "POST /api/v1/claim"] {
        let answer = owner.ask(line, None);
        let csp = answer.header("content-security-policy").unwrap();
        assert!(csp.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{line}: {csp}");
        assert!(csp.contains("frame-ancestors 'none'") && !csp.contains("unsafe"), "{line}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{line}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{line}");
        assert!(!answer.head.to_lowercase().contains("access-control-"), "{line}");
    }
    let address = daemon.address();
    for (target, private) in [
        ("/api/v1/status", ""),
        ("/api/v1/session", ""),
        ("/api/v1/x", ""),
        ("/", "Access-Control-Request-Private-Network: true\r\n"),
    ] {
        let answer = http::ask(
            address,
            8080,
            &format!(
                "OPTIONS {target} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://evil.example\r\n{private}\
                 Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
            ),
        );
        assert_eq!(answer.status, 403, "{target}");
        assert!(!answer.head.to_lowercase().contains("allow"), "{target}: {}", answer.head);
    }
}

#[test]
fn a_box_that_is_open_has_an_owner_in_everybody_near_but_not_in_foreign_pages() {
    let daemon = Setup::new().start();
    let client = Client::program(&daemon);
    let session = client.session();
    assert_eq!(
        (&session["open"], &session["scope"], &session["claimed"]),
        (&json!(true), &json!("admin"), &json!(false))
    );
    assert_eq!((client.status("GET /api/v1/status"), client.status("POST /api/v1/encoders/try") / 100), (200, 2));
    let address = daemon.address();
    for more in ["Host: evil.example\r\n", "Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        let host = if more.starts_with("Host") { String::new() } else { format!("Host: {address}\r\n") };
        let head = format!("POST /api/v1/encoders/try HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n");
        assert!([403, 421].contains(&http::ask(address, 8080, &head).status), "{more}");
    }
}

#[test]
fn s_rel1_a_box_says_whom_to_tell_of_a_hole_if_anybody_wants_to_know() {
    const WELL_KNOWN: &str = "/.well-known/security.txt";
    let mut setup = Setup::new();
    setup.set("access", "security_contact = \"mailto:security@tv.example\"");
    let answer = setup.start().get(WELL_KNOWN);
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")), "{text}");
    let field =
        |name: &str| text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect::<Vec<_>>();
    assert_eq!(field("Contact"), ["mailto:security@tv.example"]);
    // It ends within a year, and not yet.
    let days = |date: &str| {
        let (status, seconds) = run("date", &["--utc", "--date", date, "+%s"]);
        assert!(status.success(), "{date}: {seconds}");
        seconds.trim().parse::<i64>().unwrap() / 86_400
    };
    let left = days(field("Expires")[0]) - days("now");
    assert!((30..365).contains(&left), "{text}");
    // Nobody has said whom to tell: then there is no address that nobody reads.
    assert_eq!(Setup::new().start().get(WELL_KNOWN).status, 404);
}

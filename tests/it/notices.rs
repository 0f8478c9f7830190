//! People elsewhere are told what happens: once, together, and without a secret. Receivers stand on this box.

use crate::kit::media::make_ts;
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Setup, http, wait_until};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// An HTTP server that notes what it gets, and answers what it is told to.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let noted = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|len| len > 0) {}
                let len =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
                let mut body = vec![0; len];
                reader.read_exact(&mut body).unwrap();
                noted.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
                let _ = (&stream).write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            }
        });
        Self { port, got }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn got(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    fn events(&self) -> Vec<String> {
        self.got().iter().map(|body| body["event"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn ask(daemon: &Daemon, method: &str, target: &str, body: &Value) -> http::Answer {
    let (address, body) = (daemon.address(), body.to_string());
    let head = format!("{method} /api/v1/notifications{target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    http::ask(address, 8080, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
}

fn add(daemon: &Daemon, body: &Value) -> u64 {
    let answer = ask(daemon, "POST", "", body);
    assert_eq!(answer.status, 201, "{body}: {}", answer.text());
    serde_json::from_slice::<Value>(&answer.body).unwrap()["id"].as_u64().unwrap()
}

fn list(daemon: &Daemon) -> Vec<Value> {
    let answer = daemon.get("/api/v1/notifications");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice::<Value>(&answer.body).unwrap()["items"].as_array().unwrap().clone()
}

/// A daemon that has little patience, with a channel for each address.
fn daemon(urls: &[String]) -> Daemon {
    let mut setup = Setup::new();
    setup.set("notifications", "after_s = 2").set("notifications", "collect_s = 2").set("notifications", "quiet_s = 0");
    setup.set("network", "connections_per_address_max = 64");
    let playlist = urls.iter().zip(1..).fold("#EXTM3U\n".to_owned(), |mut all, (url, n)| {
        writeln!(all, "#EXTINF:-1 tvg-chno=\"{n}\",Channel {n}\n{url}").unwrap();
        all
    });
    setup.playlist(playlist);
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    daemon
}

/// What no box opens, so that a channel rests at once.
fn ill() -> Source {
    let source = Source::silent();
    source.turn(Source::redirecting("file:///etc/passwd"));
    source
}

fn tune(daemon: &Daemon, channel: usize) -> u16 {
    http::open(daemon.address(), 5004, &format!("/auto/v{channel}")).0.status
}

fn retry(daemon: &Daemon, channel: usize) {
    let address = daemon.address();
    let head = format!("POST /api/channels/retry?channel={channel} HTTP/1.1\r\nHost: {address}\r\n");
    let answer = http::ask(address, 8080, &format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n"));
    assert_eq!(answer.status, 202);
}

#[test]
fn a_channel_that_falls_ill_is_told_once_and_so_is_its_recovery() {
    // At stake: the one message that people want, and want once. A real channel rests, is asked for again and again, gets
    // a good source, and is watched.
    let source = ill();
    let daemon = daemon(&[source.url("/1.ts")]);
    let receiver = Receiver::new();
    add(&daemon, &json!({"name": "Me", "url": receiver.url("/hook")}));
    assert_eq!(tune(&daemon, 1), 503);
    wait_until("the illness is told", LIMIT, || !receiver.got().is_empty());
    for _ in 0..3 {
        assert_eq!(tune(&daemon, 1), 503);
        std::thread::sleep(Duration::from_secs(1));
    }
    let told = receiver.got();
    assert_eq!(told.len(), 1, "{told:?}");
    let [first] = &told[..] else { panic!() };
    assert_eq!((&first["event"], &first["count"]), (&json!("channel_ill"), &json!(1)));
    assert_eq!((&first["things"], &first["box"]), (&json!(["1 Channel 1"]), &json!("tunerd")));
    assert_eq!(first["address"], format!("http://{}:8080/", daemon.address()));
    let text = first["text"].as_str().unwrap();
    assert!(text.contains("cannot be played") && text.contains("its address must not be opened"), "{text}");
    assert!(text.contains("tries again"), "what the box does next: {text}");

    source.turn(Manner::Live(make_ts(&daemon.setup.folder.path().join("good.ts"), 10), 2_000_000));
    retry(&daemon, 1);
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200);
    std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    wait_until("the recovery is told", Duration::from_secs(60), || receiver.got().len() > 1);
    assert_eq!(receiver.events(), ["channel_ill", "channel_recovered"]);
    assert!(list(&daemon)[0]["last_sent_at"].is_string() && list(&daemon)[0]["last_error"].is_null());
}

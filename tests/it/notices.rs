//! People elsewhere are told what happens: once, together, and without a secret. Receivers stand on this box.

use crate::kit::media::make_ts;
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Setup, http, run, wait_until};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

const LIMIT: Duration = Duration::from_secs(20);

/// An HTTP server that notes what it gets, and answers what it is told to.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<(String, Value)>>>,
    answer: Arc<Mutex<String>>,
}

impl Receiver {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let answer = Arc::new(Mutex::new("204 No Content".to_owned()));
        let (noted, said) = (Arc::clone(&got), Arc::clone(&answer));
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
                let answer = said.lock().unwrap().clone();
                if answer == "never" {
                    // It hears, and says nothing for as long as the test lasts.
                    std::mem::forget(stream);
                } else {
                    let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = (&stream).write_all(head.as_bytes());
                }
            }
        });
        Self { port, got, answer }
    }

    fn answers(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap());
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
    daemon.call(&format!("{method} /api/v1/notifications{target}"), body)
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

fn try_now(daemon: &Daemon, id: u64) -> Value {
    let answer = ask(daemon, "POST", &format!("/{id}/test"), &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// A box that has little patience, with a channel for each address.
fn setup(urls: &[String]) -> Setup {
    let mut setup = Setup::new();
    setup.set("notifications", "after_s = 2").set("notifications", "collect_s = 2").set("notifications", "quiet_s = 0");
    setup.set("network", "connections_per_address_max = 64");
    let playlist = urls.iter().zip(1..).fold("#EXTM3U\n".to_owned(), |mut all, (url, n)| {
        writeln!(all, "#EXTINF:-1 tvg-chno=\"{n}\",Channel {n}\n{url}").unwrap();
        all
    });
    setup.playlist(playlist);
    setup
}

fn daemon(urls: &[String]) -> Daemon {
    let daemon = setup(urls).start();
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
    let found: Value = serde_json::from_slice(&daemon.get(&format!("/api/v1/channels?search={channel}")).body).unwrap();
    let answer = daemon.call(&format!("/api/v1/channels/{}/retry", found["items"][0]["id"]), &Value::Null);
    assert_eq!(answer.status, 204);
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

#[test]
fn forty_channels_of_a_provider_that_fall_ill_together_are_one_message() {
    // At stake: a phone that rings forty times because a provider restarts his server. Forty real channels are tuned and
    // rest; one message names some of them, and counts all.
    let source = ill();
    let urls: Vec<String> = (0..40).map(|n| source.url(&format!("/{n}.ts"))).collect();
    let mut setup = setup(&urls);
    setup.set("notifications", "collect_s = 15").set("slots", "count = 8");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let named = daemon.call("PATCH /api/v1/subscriptions/1", &json!({"name": "My provider"}));
    assert_eq!(named.status, 204, "{}", named.text());
    let receiver = Receiver::new();
    add(&daemon, &json!({"url": receiver.url("/"), "events": ["channel_ill", "channel_recovered"]}));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || {
                for channel in (1..=40).filter(|n| n % 8 == worker) {
                    assert_eq!(tune(daemon, channel), 503);
                }
            });
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(14), "they fell ill together: {:?}", begun.elapsed());
    wait_until("it is told", Duration::from_secs(30), || !receiver.got().is_empty());
    std::thread::sleep(Duration::from_secs(3));
    let told = receiver.got();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["count"], &told[0]["title"]),
        (&json!(40), &json!("40 channels of My provider cannot be played"))
    );
    assert_eq!(told[0]["things"].as_array().unwrap().len(), 10);
    assert!(told[0]["text"].as_str().unwrap().contains(" and 30 more."), "{}", told[0]["text"]);
}

#[test]
fn a_receiver_that_refuses_or_never_answers_holds_nobody_up() {
    // At stake: a dead webhook that fills the memory, or keeps the others from hearing. One says to come back in 20
    // seconds, one never answers, one is well.
    let source = ill();
    let daemon = daemon(&[source.url("/1.ts")]);
    let (busy, silent, well) = (Receiver::new(), Receiver::new(), Receiver::new());
    busy.answers("429 Too Many Requests\r\nRetry-After: 20");
    silent.answers("never");
    for receiver in [&busy, &silent, &well] {
        add(&daemon, &json!({"url": receiver.url("/"), "events": ["channel_ill"]}));
    }
    tune(&daemon, 1);
    wait_until("the one who is well hears of it", LIMIT, || well.got().len() == 1);
    wait_until("the busy one is asked", LIMIT, || busy.got().len() == 1);
    let refused_at = Instant::now();
    wait_until("the refusal is shown", LIMIT, || list(&daemon)[0]["last_error"] == "its server answers 429");
    busy.answers("204 No Content");
    wait_until("the silence is shown", Duration::from_secs(30), || list(&daemon)[1]["last_error"].is_string());
    let shown = list(&daemon);
    assert!(shown[1]["last_error"].as_str().unwrap().contains("longer than"), "{}", shown[1]);
    assert_eq!((&shown[1]["waiting"], &shown[1]["last_sent_at"]), (&json!(1), &Value::Null));
    wait_until("the busy one is asked again", Duration::from_secs(30), || busy.got().len() == 2);
    assert!(refused_at.elapsed() >= Duration::from_secs(19), "{:?}", refused_at.elapsed());
    wait_until("that is shown", LIMIT, || list(&daemon)[0]["last_error"].is_null());
    assert_eq!(busy.got()[0], busy.got()[1], "it is the same message");
    assert_eq!(well.got().len(), 1);
}

#[test]
fn targets_are_kept_changed_tried_and_removed_and_no_secret_is_ever_shown() {
    // At stake: SECRET42, which would let anybody write or read in the owner's name. It is in every kind of address, some
    // of which fail, and must be in no answer and no line of the log.
    let daemon = daemon(&[ill().url("/1.ts")]);
    let receiver = Receiver::new();
    let urls = [
        receiver.url("/SECRET42/x?token=SECRET42"),
        "https://discord.com/api/webhooks/1234567890/SECRET42".to_owned(),
        "ntfy://me:SECRET42@127.0.0.1:9/SECRET42".to_owned(),
        "tgram://123456:SECRET42/-100".to_owned(),
        "smtp://me:SECRET42@127.0.0.1:9/?from=a@b".to_owned(),
    ];
    let ids: Vec<u64> = urls.iter().map(|url| add(&daemon, &json!({"url": url, "events": ["storm"]}))).collect();
    let shown = daemon.get("/api/v1/notifications").text().to_owned();
    assert!(!shown.contains("SECRET42") && shown.matches("***").count() >= 5, "{shown}");
    let kinds: Vec<Value> = list(&daemon).iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["webhook", "discord", "ntfy", "telegram", "mail"]);
    assert_eq!((&list(&daemon)[0]["events"], &list(&daemon)[0]["enabled"]), (&json!(["storm"]), &json!(true)));

    let tried = try_now(&daemon, ids[0]);
    assert_eq!(tried, json!({"delivered": true, "detail": "The message was delivered."}));
    assert_eq!((receiver.events(), receiver.got()[0]["count"].clone()), (vec!["test".to_owned()], json!(0)));
    assert!(receiver.got.lock().unwrap()[0].0.starts_with("POST /SECRET42/x?token=SECRET42 HTTP/1.1\r\n"));
    receiver.answers("404 Not Found");
    let tried = try_now(&daemon, ids[0]);
    assert_eq!(tried["detail"], "its server answers 404; check the path of the address");
    receiver.answers("302 Found\r\nLocation: http://127.0.0.1:9/");
    assert!(try_now(&daemon, ids[0])["detail"].as_str().unwrap().contains("type its new address"));
    for id in [ids[2], ids[4]] {
        let tried = try_now(&daemon, id);
        assert_eq!(tried, json!({"delivered": false, "detail": "127.0.0.1 port 9 refuses connections"}));
    }
    // Whoever clicks on and on is asked to wait.
    let answers: Vec<u16> =
        (0..6).map(|_| ask(&daemon, "POST", &format!("/{}/test", ids[4]), &Value::Null).status).collect();
    assert!(answers.contains(&503), "{answers:?}");

    // A form sends back what it was shown.
    let before = list(&daemon)[4].clone();
    let edited = ask(
        &daemon,
        "PATCH",
        &format!("/{}", ids[4]),
        &json!({"url": before["url"], "name": "Mail", "enabled": false}),
    );
    assert_eq!(edited.status, 204, "{}", edited.text());
    let after = list(&daemon)[4].clone();
    assert_eq!((&after["name"], &after["enabled"], &after["url"]), (&json!("Mail"), &json!(false), &before["url"]));
    for (body, field) in [
        (json!({"url": "smtp://me:SECRET42@host/?from=SECRET42"}), "url"),
        (json!({"url": "file:///SECRET42"}), "url"),
        (json!({"url": "https://example.org/", "password": "SECRET42"}), "url"),
        (json!({"url": "https://example.org/", "events": ["SECRET42"]}), "events"),
        (json!({"url": "https://example.org/", "name": "SECRET42\nx"}), "name"),
        (json!({"uri": "https://example.org/"}), "body"),
    ] {
        let answer = ask(&daemon, "POST", "", &body);
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &said["field"]), (422, &json!(field)), "{body}: {said}");
        assert!(!answer.text().contains("SECRET42"), "{}", answer.text());
    }
    let foreign = format!(
        "DELETE /api/v1/notifications/{} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n",
        ids[0]
    );
    assert_eq!(http::ask(daemon.address(), 8080, &format!("{foreign}Connection: close\r\n\r\n")).status, 403);
    for (method, target, status) in [
        ("PUT", "", 405),
        ("GET", "/1", 405),
        ("GET", "/1/test", 405),
        ("PATCH", "/99", 404),
        ("DELETE", "/99", 404),
        ("POST", "/99/test", 404),
        ("PATCH", "/x", 404),
    ] {
        assert_eq!(ask(&daemon, method, target, &json!({})).status, status, "{method} {target}");
    }
    assert_eq!(ask(&daemon, "DELETE", &format!("/{}", ids[0]), &Value::Null).status, 204);
    assert_eq!(list(&daemon).len(), 4);
    for target in ["/", "/api/v1/status", "/api/logs/entries?limit=1024", "/metrics", "/api/v1/notifications"] {
        assert!(!daemon.get(target).text().contains("SECRET42"), "{target}");
    }
    assert!(!daemon.log().contains("SECRET42"), "{}", daemon.log());
}

// ---- Mail -----------------------------------------------------------------------------------------------------------

/// What one client said to a mail server, before TLS and after it.
#[derive(Clone, Debug, Default)]
struct Session {
    plain: Vec<String>,
    secret: Vec<String>,
    mail: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Security {
    None,
    StartTls,
    TlsFirst,
}

/// A small mail server that takes `me` with `pass word`.
struct MailServer {
    port: u16,
    sessions: Arc<Mutex<Vec<Session>>>,
}

/// Makes a certificate for this box, and its key.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=mail -addext subjectAltName=IP:127.0.0.1 -addext \
                   basicConstraints=critical,CA:FALSE";
    let mut arguments: Vec<&str> = request.split(' ').filter(|word| !word.is_empty()).collect();
    arguments.extend(["-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()]);
    let made = run("openssl", &arguments);
    assert!(made.0.success(), "{}", made.1);
    (certificate, key)
}

trait Wire: std::io::Read + std::io::Write {}

impl<T: std::io::Read + std::io::Write> Wire for T {}

impl MailServer {
    fn new(security: Security, certificate: &(PathBuf, PathBuf)) -> Self {
        let chain = vec![CertificateDer::from_pem_file(&certificate.0).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&certificate.1).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let sessions = Arc::<Mutex<Vec<Session>>>::default();
        let noted = Arc::clone(&sessions);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut session = Session::default();
                // Who does not like our certificate hangs up.
                let _ = talk(stream, security, &config, &mut session);
                noted.lock().unwrap().push(session);
            }
        });
        Self { port, sessions }
    }

    fn last(&self) -> Session {
        self.sessions.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

fn read_line(wire: &mut dyn Wire) -> std::io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\r\n") {
        wire.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8(line[..line.len() - 2].to_vec()).unwrap())
}

fn talk(
    stream: TcpStream,
    security: Security,
    config: &Arc<ServerConfig>,
    session: &mut Session,
) -> std::io::Result<()> {
    let secure = |stream: TcpStream| -> Box<dyn Wire> {
        Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream))
    };
    let copy = stream.try_clone()?;
    let mut wire: Box<dyn Wire> = if security == Security::TlsFirst { secure(stream) } else { Box::new(stream) };
    let mut is_secret = security == Security::TlsFirst;
    wire.write_all(b"220-mail.example.org\r\n220 at your service\r\n")?;
    loop {
        let line = read_line(&mut *wire)?;
        if is_secret { &mut session.secret } else { &mut session.plain }.push(line.clone());
        let answer = match line.split(' ').next().unwrap() {
            "EHLO" if !is_secret && security == Security::StartTls => "250-mail.example.org\r\n250 STARTTLS",
            "EHLO" if is_secret => "250-mail.example.org\r\n250 AUTH PLAIN LOGIN",
            "EHLO" => "250-mail.example.org\r\n250-SIZE 1000000\r\n250 AUTH LOGIN",
            "STARTTLS" => {
                wire.write_all(b"220 go on\r\n")?;
                wire = secure(copy.try_clone()?);
                is_secret = true;
                continue;
            }
            // "\0me\0pass word"
            "AUTH" if line == "AUTH PLAIN AG1lAHBhc3Mgd29yZA==" => "235 welcome",
            "AUTH" if line == "AUTH LOGIN" => "334 VXNlcm5hbWU6",
            "bWU=" => "334 UGFzc3dvcmQ6",
            "cGFzcyB3b3Jk" => "235 welcome",
            "AUTH" => "535 5.7.8 no such login",
            "DATA" => {
                wire.write_all(b"354 go on\r\n")?;
                while !session.mail.ends_with("\r\n.\r\n") {
                    session.mail.push_str(&read_line(&mut *wire)?);
                    session.mail.push_str("\r\n");
                }
                "250 taken"
            }
            "RCPT" if line.contains("nobody@") => "550 nobody here",
            "QUIT" => {
                wire.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => "250 ok",
        };
        wire.write_all(format!("{answer}\r\n").as_bytes())?;
    }
}

#[test]
fn mail_goes_over_tls_with_a_login_and_arrives_whole() {
    let mut setup = setup(&[ill().url("/1.ts")]);
    let certificate = certificate(setup.folder.path());
    setup.environment("SSL_CERT_FILE", certificate.0.to_str().unwrap());
    setup.set("", "name = \"Dächboden\"");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    for security in [Security::StartTls, Security::TlsFirst] {
        let server = MailServer::new(security, &certificate);
        let scheme = if security == Security::TlsFirst { "smtps" } else { "smtp" };
        let url = format!(
            "{scheme}://me@127.0.0.1:{}/?from=box@example.org&to=a@example.org,nobody@example.org",
            server.port
        );
        let id = add(&daemon, &json!({"url": url, "password": "pass word"}));
        let tried = try_now(&daemon, id);
        let said = "The mail server took the mail. It refused 1 of 2 receivers.";
        assert_eq!(tried, json!({"delivered": true, "detail": said}));
        wait_until("the server has said farewell", LIMIT, || !server.last().secret.is_empty());
        let session = server.last();
        let hello = session.secret[0].clone();
        assert_eq!(
            session.plain,
            if security == Security::StartTls { vec![hello.as_str(), "STARTTLS"] } else { vec![] }
        );
        assert_eq!(hello, "EHLO [127.0.0.1]");
        assert_eq!(
            session.secret[1..],
            [
                "AUTH PLAIN AG1lAHBhc3Mgd29yZA==",
                "MAIL FROM:<box@example.org>",
                "RCPT TO:<a@example.org>",
                "RCPT TO:<nobody@example.org>",
                "DATA",
                "QUIT"
            ]
        );
        let (head, body) = session.mail.split_once("\r\n\r\n").unwrap();
        for part in [
            " +0000\r\n",
            "From: =?UTF-8?B?RMOkY2hib2Rlbg==?= <box@example.org>\r\n",
            "Message-ID: <",
            "@example.org>\r\n",
        ] {
            assert!(head.contains(part), "{part}: {head}");
        }
        assert!(head.contains("Subject: =?UTF-8?B?RMOkY2hib2RlbjogVGhpcyBpcyBhIHRlc3Q=?=\r\n"), "{head}");
        assert!(body.starts_with("If you can read this") && body.contains("D=C3=A4chboden, http://"), "{body}");

        let wrong = ask(&daemon, "PATCH", &format!("/{id}"), &json!({"password": "SECRET42"}));
        assert_eq!(wrong.status, 204);
        let tried = try_now(&daemon, id);
        assert_eq!(tried["delivered"], false);
        assert!(tried["detail"].as_str().unwrap().contains("answers 535") && !tried.to_string().contains("SECRET42"));
    }
    assert!(!daemon.log().contains("SECRET42") && !daemon.log().contains("pass word"));
}

#[test]
fn a_password_is_not_said_to_a_mail_server_that_cannot_prove_who_it_is() {
    // At stake: the password of the owner's mail, given to whoever sits in between. This box does not trust the server's
    // certificate; and a server in the house that has no TLS at all is told of.
    let daemon = daemon(&[ill().url("/1.ts")]);
    let certificate = certificate(daemon.setup.folder.path());
    for (security, scheme) in [(Security::StartTls, "smtp"), (Security::TlsFirst, "smtps")] {
        let server = MailServer::new(security, &certificate);
        let url = format!("{scheme}://me:pass%20word@127.0.0.1:{}/?from=box@example.org", server.port);
        let tried = try_now(&daemon, add(&daemon, &json!({"url": url})));
        let why = tried["detail"].as_str().unwrap();
        assert!(
            tried["delivered"] == false && why.contains("no secure connection") && why.contains("certificate"),
            "{why}"
        );
        wait_until("the server has noted it", LIMIT, || !server.sessions.lock().unwrap().is_empty());
        let Session { plain, secret, mail } = server.last();
        assert!(secret.is_empty() && mail.is_empty() && plain.iter().all(|line| !line.contains("AUTH")), "{plain:?}");
    }
    let server = MailServer::new(Security::None, &certificate);
    let url = format!("smtp://me:pass%20word@127.0.0.1:{}/?from=box@example.org", server.port);
    let tried = try_now(&daemon, add(&daemon, &json!({"url": url})));
    let said = "The mail server took the mail. Its server offers no encryption: the password went through your network as it is.";
    assert_eq!(tried, json!({"delivered": true, "detail": said}));
    wait_until("the mail is there", LIMIT, || !server.last().mail.is_empty());
    assert_eq!(server.last().plain[1..4], ["AUTH LOGIN", "bWU=", "cGFzcyB3b3Jk"]);
}

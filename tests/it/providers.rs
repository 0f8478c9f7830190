//! How a subscription's provider is reached: what he wants to see, through a proxy, and at another host.

use crate::kit::media::make_ts;
use crate::kit::relay::Relay;
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Folder, SOON, http, wait_until};
use crate::subscriptions::{add, channel_ids, good, post, refused, subscription};
use pure::model::lineup::{ChannelId, logo_path};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Read as _;
use std::time::Duration;

/// Takes some of a channel's stream, or says what was answered.
fn play(daemon: &Daemon, number: u32) -> Result<(), u16> {
    let (answer, mut stream) = http::open(daemon.address(), 5004, &format!("/auto/v{number}"));
    if answer.status != 200 {
        return Err(answer.status);
    }
    let mut some = vec![0; 188 * 200];
    stream.read_exact(&mut some).unwrap();
    Ok(())
}

fn error(daemon: &Daemon, id: u64) -> String {
    subscription(daemon, id)["error"].as_str().unwrap_or_default().to_owned()
}

/// A folder with a list of these addresses, a stream, a guide and a logo.
fn provider(addresses: &[&str]) -> (Folder, Source) {
    let folder = Folder::new();
    make_ts(&folder.path().join("1.ts"), 20);
    folder.write("logo.png", b"\x89PNG\r\n\x1a\n");
    folder.write("guide.xml", "<tv><channel id=\"1\"><display-name>One</display-name></channel></tv>");
    let mut list = "#EXTM3U x-tvg-url=\"http://provider.example/guide.xml\"\n".to_owned();
    for address in addresses {
        writeln!(list, "#EXTINF:-1 tvg-logo=\"http://provider.example/logo.png\",{address}\n{address}").unwrap();
    }
    folder.write("list.m3u", list);
    let source = Source::folder(folder.path());
    (folder, source)
}

const LOGIN: &str = "me:s3cr3t@word";
const WRITTEN: &str = "me:s3cr3t%40word@";

#[test]
fn nothing_of_a_subscription_goes_past_its_proxy() {
    // At stake: an owner whose provider may see the proxy's address only. Nobody but the proxy knows where the provider
    // is, and the provider counts who came; a name that is resolved by us, or a connection of ours, fails the test.
    for is_socks in [false, true] {
        let (_folder, source) = provider(&["http://provider.example/1.ts"]);
        let relay = if is_socks { Relay::socks } else { Relay::http }(source.port(), Some(LOGIN));
        let scheme = if is_socks { "socks5" } else { "http" };
        let proxy = format!("{scheme}://{WRITTEN}127.0.0.1:{}", relay.port());
        let daemon = Daemon::demo();
        let id = add(
            &daemon,
            &json!({"kind": "playlist", "address": "http://provider.example/list.m3u", "proxy": proxy,
                "user_agent": "VLC/3.0", "headers": {"Cookie": "token=c00kie", "Referer": "http://r.example/"}}),
        );
        assert_eq!(error(&daemon, id), "", "{scheme}");
        play(&daemon, 1).unwrap();
        assert!(daemon.children().is_empty());
        wait_until("the guide is there", Duration::from_secs(20), || {
            relay.heads().iter().any(|head| head.starts_with("get /guide.xml"))
        });
        let channel = u32::try_from(channel_ids(&daemon, "http://provider.example/1.ts")[0]).unwrap();
        let logo = logo_path(ChannelId(channel), "http://provider.example/logo.png").unwrap();
        assert_eq!(daemon.get(&logo).status, 200);
        let heads = relay.heads();
        assert_eq!(heads.len(), source.connections(), "{heads:?}");
        for path in ["/list.m3u", "/1.ts", "/guide.xml", "/logo.png"] {
            let head = heads.iter().find(|head| head.starts_with(&format!("get {path} "))).expect(path);
            for wanted in ["host: provider.example\r\n", "user-agent: vlc/3.0", "cookie: token=c00kie", "referer: http"]
            {
                assert!(head.contains(wanted), "{wanted}: {head}");
            }
        }
        let named = if is_socks { "provider.example:80" } else { "http://provider.example/" };
        assert!(relay.asked().iter().all(|asked| asked.starts_with(named)), "{:?}", relay.asked());
        // What is kept is shown without its secrets, and stays when something else is edited.
        good(&daemon, &format!("PATCH /api/v1/subscriptions/{id}"), &json!({"name": "Mine"}));
        let shown = subscription(&daemon, id);
        assert_eq!(shown["proxy"], format!("{scheme}://***@127.0.0.1:{}", relay.port()));
        assert_eq!(shown["headers"], json!(["Referer", "Cookie"]));
        wait_until("it was fetched again", Duration::from_secs(20), || {
            subscription(&daemon, id)["in_progress"] == false
        });
        assert_eq!(error(&daemon, id), "", "{scheme}");
        // Another password is told as what it is.
        let wrong = proxy.replace("s3cr3t", "wr0ng");
        good(&daemon, &format!("PATCH /api/v1/subscriptions/{id}"), &json!({"proxy": wrong}));
        wait_until("it is told", Duration::from_secs(20), || error(&daemon, id).contains("proxy refuses the login"));
        // What was played before may have ended meanwhile, after which the channel rests for a moment.
        wait_until("a channel fails of it", SOON, || {
            assert_eq!(play(&daemon, 1), Err(503));
            daemon.status()["channels_ill"][0]["last_failure"] == "auth"
        });
        assert_eq!(relay.heads().len(), source.connections());
        let everything = ["/api/v1/status", "/api/v1/subscriptions", "/api/v1/guides", "/metrics"];
        let mut said: String = everything.iter().map(|path| daemon.get(path).text().to_owned()).collect();
        said += &daemon.log();
        for secret in ["s3cr3t", "wr0ng", "c00kie"] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
    }
}

#[test]
fn a_child_that_fetches_by_itself_takes_the_proxy_too() {
    let (folder, source) = provider(&["http://provider.example/film.mkv", "rtsp://provider.example/1"]);
    crate::kit::media::make(&folder.path().join("film.mkv"), 20, &["-c:v", "libx264", "-c:a", "aac"]);
    let (http, socks) = (Relay::http(source.port(), Some(LOGIN)), Relay::socks(source.port(), Some(LOGIN)));
    for (scheme, relay) in [("http", http), ("socks5", socks)] {
        let before = source.connections();
        let daemon = Daemon::demo();
        let proxy = format!("{scheme}://{WRITTEN}127.0.0.1:{}", relay.port());
        let body = json!({"kind": "playlist", "address": "http://provider.example/list.m3u", "proxy": proxy,
            "headers": {"Cookie": "token=c00kie"}});
        let id = add(&daemon, &body);
        assert_eq!(error(&daemon, id), "");
        play(&daemon, 1).unwrap();
        let films: Vec<String> = relay.heads().into_iter().filter(|head| head.starts_with("get /film.mkv ")).collect();
        assert!(!films.is_empty() && films.iter().all(|head| head.contains("cookie: token=c00kie")), "{films:?}");
        assert_eq!(relay.heads().len(), source.connections() - before);
        // What speaks no HTTP stays at home.
        assert_eq!(play(&daemon, 2), Err(503));
        daemon.wait_for_log("carries HTTP and nothing else");
    }
}

#[test]
fn a_proxy_opens_no_door_of_the_house() {
    // What the list names is judged by what is written, since the name is the proxy's to resolve.
    let addresses = ["http://127.0.0.1/1.ts", "http://192.168.1.1/1.ts", "http://router/1.ts", "http://nas.local/1.ts"];
    let (_folder, source) = provider(&addresses);
    let relay = Relay::socks(source.port(), None);
    let daemon = Daemon::demo();
    let proxy = format!("socks5://127.0.0.1:{}", relay.port());
    add(&daemon, &json!({"kind": "playlist", "address": "http://provider.example/list.m3u", "proxy": proxy}));
    for number in 1..=4 {
        assert_eq!(play(&daemon, number), Err(503));
    }
    let ill = daemon.status()["channels_ill"].clone();
    let failures: Vec<&str> = ill.as_array().unwrap().iter().map(|one| one["last_failure"].as_str().unwrap()).collect();
    assert_eq!(failures, ["policy"; 4], "{ill}");
    assert!(relay.asked().iter().all(|asked| asked == "provider.example:80"), "{:?}", relay.asked());
}

#[test]
fn a_proxy_that_is_down_keeps_everything_at_home() {
    // At stake: the address that a proxy hides. The provider can be reached without it here; nobody may try.
    let source = Source::document("#EXTM3U\n#EXTINF:-1,x\nhttp://127.0.0.1:9/x\n");
    let daemon = Daemon::demo();
    let body = json!({"kind": "playlist", "address": source.url("/list.m3u"), "proxy": "http://me:s3cr3t@127.0.0.1:9",
        "hosts": [format!("127.0.0.1:{}", source.port())]});
    let id = add(&daemon, &body);
    let why = error(&daemon, id);
    assert!(why.contains("its proxy cannot be used: 127.0.0.1 port 9 refuses connections"), "{why}");
    assert!(daemon.problem("playlist").unwrap().contains("its proxy cannot be used"));
    // Nor after the next start, when the proxy is read from where it is kept.
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    wait_until("it was tried again", Duration::from_secs(20), || error(&daemon, id).contains("its proxy"));
    assert_eq!(source.connections(), 0);
    good(&daemon, &format!("PATCH /api/v1/subscriptions/{id}"), &json!({"proxy": ""}));
    wait_until("without a proxy it is there", Duration::from_secs(20), || error(&daemon, id).is_empty());
    assert!(source.connections() > 0);
}

#[test]
fn a_tunnel_is_asked_for_where_the_server_speaks_tls() {
    let source = Source::document("no TLS");
    let relay = Relay::http(source.port(), Some(LOGIN));
    let daemon = Daemon::demo();
    for (password, why) in [("s3cr3t%40word", "no secure connection to provider.example"), ("x", "refuses the login")] {
        let proxy = format!("http://me:{password}@127.0.0.1:{}", relay.port());
        let address = "https://provider.example:8443/list.m3u";
        let id = add(&daemon, &json!({"kind": "playlist", "address": address, "proxy": proxy}));
        let said = error(&daemon, id);
        assert!(said.contains(why), "{said}");
    }
    assert!(relay.asked().iter().all(|asked| asked == "provider.example:8443"), "{:?}", relay.asked());
}

#[test]
fn another_host_stands_in_and_the_first_is_back_after_a_restart() {
    let (folder, second) = provider(&[]);
    // Nobody is at the first host; and then somebody is.
    let first = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let other = Source::at("127.0.0.3:0", Manner::Folder(folder.path().to_owned()));
    folder.write(
        "list.m3u",
        format!("#EXTM3U\n#EXTINF:-1,Own\nhttp://{first}/1.ts\n#EXTINF:-1,Other\n{}\n", other.url("/1.ts")),
    );
    let dead = Source::fixed("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let hosts = [format!("127.0.0.1:{}", dead.port()), format!("127.0.0.1:{}", second.port())];
    let daemon = Daemon::demo();
    let body = json!({"kind": "playlist", "address": format!("http://{first}/list.m3u"), "hosts": hosts,
        "headers": {"Referer": "http://r.example/"}});
    let id = add(&daemon, &body);
    assert_eq!(error(&daemon, id), "");
    play(&daemon, 1).unwrap();
    // The stream went where the list was found, at once, and with what the provider wants to see.
    assert_eq!((dead.connections(), second.connections()), (1, 2));
    let heads = second.heads();
    assert!(heads.iter().all(|head| head.contains("referer: http://r.example/")), "{heads:?}");
    play(&daemon, 2).unwrap();
    assert_eq!((other.connections(), second.connections()), (1, 2), "somebody else's host stays what it is");
    assert_eq!(subscription(&daemon, id)["hosts"], json!(hosts));
    // The first is back, and is asked after the next start only.
    let back = Source::at(first, Manner::Folder(folder.path().to_owned()));
    daemon.wait_until_idle();
    play(&daemon, 1).unwrap();
    assert_eq!((back.connections(), second.connections()), (0, 3));
    let setup = daemon.setup.clone();
    drop(daemon);
    let daemon = setup.start();
    daemon.wait_for_lineup();
    play(&daemon, 1).unwrap();
    assert_eq!(second.connections(), 3);
    assert!(back.connections() > 0);
}

#[test]
fn what_is_wrong_with_a_way_is_told_by_its_field() {
    let daemon = Daemon::demo();
    let target = "/api/v1/subscriptions";
    for (field, wrong) in [
        ("headers", json!({"Host": "x"})),
        ("headers", json!({"Cookie": "a\r\nb"})),
        ("headers", json!({"Cookie": ""})),
        ("proxy", json!("socks4://a:1")),
        ("proxy", json!("http://me:s3cr3t@a")),
        ("hosts", json!(["http://a/"])),
        ("hosts", json!(["a", "a", "a", "a", "a", "a", "a", "a", "a"])),
    ] {
        let body = json!({"kind": "playlist", "address": "http://a.example/", field: wrong});
        assert_eq!(refused(&daemon, target, &body), field, "{body}");
        assert!(!post(&daemon, target, &body).text().contains("s3cr3t"));
    }
}

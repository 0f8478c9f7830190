//! Channels with several sources, and providers with limits, as viewers meet them.

use crate::kit::media::make_ts;
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Folder, Setup, http, wait_until};
use crate::seam::{decoding_times, runs_backwards};
use crate::subscriptions::{add, channel_ids, good};
use pure::wire::ts::{NULL_PACKET, PACKET_BYTES};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A source that plays a file of so many seconds at its own pace.
pub(crate) fn live(file: &Path, seconds: u64) -> (Source, Manner) {
    let bits_per_s = fs::metadata(file).unwrap().len() * 8 / seconds;
    (Source::live_at(file, bits_per_s), Manner::Live(file.to_owned(), bits_per_s / 2))
}

pub(crate) fn list(entries: &[(&str, &Source)]) -> String {
    entries.iter().fold("#EXTM3U\n".to_owned(), |mut text, (name, source)| {
        writeln!(text, "#EXTINF:-1,{name}\n{}", source.url(&format!("/{name}.ts"))).unwrap();
        text
    })
}

/// Makes one channel of two.
pub(crate) fn merge(daemon: &Daemon, first: &str, second: &str) {
    let ids: Vec<u64> = [first, second].iter().flat_map(|name| channel_ids(daemon, name)).collect();
    assert_eq!(ids.len(), 2, "{first} {second}");
    good(daemon, "PATCH /api/v1/channels", &json!({"channels": ids, "merge": true}));
}

/// What a viewer got.
pub(crate) struct Watched {
    pub(crate) bytes: Vec<u8>,
    /// The longest time without anything but packets that carry nothing.
    pub(crate) longest: Duration,
    pub(crate) closed: bool,
}

fn watch(daemon: &Daemon, number: u32, until: Instant) -> JoinHandle<Watched> {
    watch_while(daemon, number, move || Instant::now() < until)
}

pub(crate) fn watch_while(
    daemon: &Daemon,
    number: u32,
    is_wanted: impl Fn() -> bool + Send + 'static,
) -> JoinHandle<Watched> {
    let address = daemon.address();
    std::thread::spawn(move || {
        let (answer, mut stream) = http::open(address, 5004, &format!("/auto/v{number}"));
        assert_eq!(answer.status, 200, "{}", answer.head);
        let mut watched = Watched { bytes: Vec::new(), longest: Duration::ZERO, closed: false };
        let (mut piece, mut seen_at) = (vec![0; 64 * 1024], Instant::now());
        while is_wanted() && !watched.closed {
            let len = stream.read(&mut piece).unwrap();
            watched.closed = len == 0;
            watched.bytes.extend_from_slice(&piece[..len]);
            if piece[..len] != NULL_PACKET[..] {
                watched.longest = watched.longest.max(seen_at.elapsed());
                seen_at = Instant::now();
            }
        }
        watched
    })
}

pub(crate) fn source_in_use(daemon: &Daemon, number: &str) -> Option<u64> {
    let status = daemon.status();
    let mut tuners = status["tuners"].as_array().unwrap().iter();
    let tuner = tuners.find(|tuner| tuner["channel"]["number"] == number && tuner["state"] == "playing")?;
    tuner["source"].as_u64()
}

#[test]
fn the_next_source_takes_over_under_eight_viewers_and_they_keep_their_connection() {
    // At stake: a match that goes on although its source has died, stalls, or crawls. Three channels with two sources
    // each; the first source of each gets ill in another way; nobody is sent away, and nobody sees a flaw.
    let folder = Folder::new();
    let seconds = 90;
    let file = make_ts(&folder.path().join("live.ts"), seconds);
    let ill: Vec<(Source, Manner)> = (0..3).map(|_| live(&file, seconds.into())).collect();
    let (well, _) = live(&file, seconds.into());
    let names = ["Dies", "Stalls", "Crawls"];
    let mut entries: Vec<(String, &Source)> = Vec::new();
    for (name, (source, _)) in names.iter().zip(&ill) {
        entries.push(((*name).to_owned(), source));
        entries.push((format!("Spare{name}"), &well));
    }
    let entries: Vec<(&str, &Source)> = entries.iter().map(|(name, source)| (name.as_str(), *source)).collect();
    let provider = Source::document(list(&entries));
    let mut setup = Setup::new();
    setup.set("network", "connections_per_address_max = 64");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    add(&daemon, &json!({"kind": "playlist", "address": provider.url("/list.m3u")}));
    for name in names {
        merge(&daemon, &format!("{name}&limit=1"), &format!("Spare{name}"));
    }
    let numbers: Vec<u32> = daemon.channels().iter().map(|(number, _)| number.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 3, "{:?}", daemon.channels());

    let until = Instant::now() + Duration::from_secs(75);
    let watching: Vec<Vec<JoinHandle<Watched>>> =
        numbers.iter().map(|number| (0..8).map(|_| watch(&daemon, *number, until)).collect()).collect();
    let sources = || numbers.iter().map(|number| source_in_use(&daemon, &number.to_string())).collect::<Vec<_>>();
    wait_until("all play from their first source", Duration::from_secs(20), || sources() == [Some(0); 3]);
    // Until it is known how they come.
    std::thread::sleep(Duration::from_secs(32));
    ill[0].0.turn(Manner::Fixed(Vec::new()));
    ill[1].0.turn(Manner::Silent);
    ill[2].0.turn(ill[2].1.clone());
    wait_until("the first two play from their second", Duration::from_secs(12), || sources()[..2] == [Some(1); 2]);
    wait_until("so does the third", Duration::from_secs(35), || sources()[2] == Some(1));
    for (name, viewers) in names.iter().zip(watching) {
        for (index, viewer) in viewers.into_iter().enumerate() {
            let Watched { bytes, longest, closed } = viewer.join().unwrap();
            assert!(!closed, "viewer {index} of {name} was sent away");
            // Two seconds and the start of the next one; how long that takes is for the benchmark.
            assert!(longest < Duration::from_secs(8), "viewer {index} of {name} saw nothing for {longest:?}");
            if index == 0 {
                let whole = &bytes[..bytes.len() / PACKET_BYTES * PACKET_BYTES];
                let capture = folder.write(&format!("{name}.ts"), whole);
                // A picture that a source breaks off stays broken; time goes on all the same.
                assert!(!runs_backwards(&decoding_times(&capture)), "{name}");
            }
        }
    }
    assert_eq!(well.connections(), 3, "each was opened once");
}

#[test]
fn a_source_that_is_not_there_costs_its_viewers_a_moment() {
    let folder = Folder::new();
    let (well, _) = live(&make_ts(&folder.path().join("live.ts"), 20), 20);
    let silent = Source::silent();
    let dead = Source::fixed("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
    for (name, first) in [("Silent", &silent), ("Dead", &dead)] {
        let provider = Source::document(list(&[(name, first), ("Spare", &well)]));
        let daemon = Daemon::demo();
        add(&daemon, &json!({"kind": "playlist", "address": provider.url("/list.m3u")}));
        merge(&daemon, name, "Spare");
        let (answer, _stream) = http::open(daemon.address(), 5004, "/auto/v1");
        assert_eq!(answer.status, 200, "{name}: {}", daemon.log());
        assert_eq!(source_in_use(&daemon, "1"), Some(1));
    }
}

#[test]
fn a_provider_sees_as_many_streams_as_it_allows_and_not_one_more() {
    // At stake: an account that is locked because it was used twice at once. Two streams are allowed; the third channel
    // is refused as by a box whose tuners are all in use, until somebody leaves.
    let folder = Folder::new();
    let (source, _) = live(&make_ts(&folder.path().join("live.ts"), 40), 40);
    let provider = Source::document(list(&[("A", &source), ("B", &source), ("C", &source)]));
    let daemon = Daemon::demo();
    let address = provider.url("/list.m3u");
    add(&daemon, &json!({"kind": "playlist", "address": address, "streams_max": 2}));
    let mut streams: Vec<_> =
        [1, 2].map(|number| http::open(daemon.address(), 5004, &format!("/auto/v{number}"))).into();
    let refused = http::get(daemon.address(), 5004, "/auto/v3");
    assert_eq!((refused.status, refused.header("x-hdhomerun-error")), (503, Some("805 All Tuners In Use")));
    daemon.wait_for_log("all streams that its provider allows at once are in use");
    let refuses = |tuner: usize| daemon.status()["tuners"][tuner]["refuses"].clone();
    assert_eq!(refuses(0), serde_json::Value::Null, "who wants the same is let in");
    assert_eq!(refuses(2), "this account allows 2 streams, and all are in use");
    assert_eq!(daemon.status()["tuners"][2]["refuses_why"]["code"], "account");
    let (answer, third) = http::open(daemon.address(), 5004, "/auto/v2");
    assert_eq!(answer.status, 200, "who joins costs nothing");
    drop(third);
    assert_eq!((source.connections(), source.open_now()), (2, 2));
    // Somebody leaves: his stream lingers, and ends for who needs it.
    drop(streams.remove(0));
    wait_until("his stream lingers", Duration::from_secs(5), || {
        daemon.status()["tuners"]
            .as_array()
            .unwrap()
            .iter()
            .any(|tuner| tuner["channel"]["number"] == "1" && tuner["viewers"].as_array().unwrap().is_empty())
    });
    let most = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| http::open(daemon.address(), 5004, "/auto/v3"));
        while !asking.is_finished() {
            most.fetch_max(source.open_now(), std::sync::atomic::Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(asking.join().unwrap().0.status, 200, "{}", daemon.log());
    });
    assert_eq!(most.into_inner(), 2, "never more than two at once");
}

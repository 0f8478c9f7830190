//! Previews: what the page is given of a channel, whom they give way to, and when they end.
//!
//! What is at stake: a person who looks at a channel in the page must never take a tuner from somebody who watches. The
//! fake FFmpeg plays, but for the one test of what real encoders make.

use crate::kit::fakeff::{Fake, address_of};
use crate::kit::media::{decode_errors, inspect, make_ts, read_bytes, read_for};
use crate::kit::source::Source;
use crate::kit::{Daemon, SOON, Setup, http, run, wait_until};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::time::Duration;

/// As in `profiles.rs`: a trial that shows a fast encoder.
const TRIALS: &str = "testsrc2: speed=20, exit_after=400, exit_code=0\n";

/// Channels 1, 2, … that play, with `slots` tuners, and whatever else is to be said.
fn daemon(slots: usize, names: &[&str], script: &str) -> (Fake, Daemon) {
    let (fake, mut setup) = Fake::setup(&[]);
    fake.script(&format!("{TRIALS}{script}"));
    setup.playlist(
        names
            .iter()
            .fold("#EXTM3U\n".to_owned(), |all, name| all + &format!("#EXTINF:-1,{name}\n{}\n", address_of(name))),
    );
    setup.set("transcode", "enabled = true");
    setup.set("slots", &format!("count = {slots}"));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    wait_for_trials(&daemon);
    (fake, daemon)
}

fn wait_for_trials(daemon: &Daemon) {
    wait_until("all encoders are tried", SOON, || {
        let status = daemon.status();
        let encoders = status["encoders"].as_array().unwrap();
        !encoders.is_empty() && encoders.iter().all(|encoder| encoder["state"] != "untried")
    });
}

fn open(daemon: &Daemon, target: &str) -> TcpStream {
    let (answer, stream) = http::open(daemon.address(), 5004, target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.head);
    stream
}

/// Asks for a preview of the channel at this place of the lineup.
fn begin(daemon: &Daemon, channel: usize) -> http::Answer {
    let channels: Value = serde_json::from_slice(&daemon.get("/api/v1/channels").body).unwrap();
    let id = &channels["items"][channel - 1]["id"];
    daemon.call(&format!("POST /api/v1/channels/{id}/preview"), &Value::Null)
}

/// The path in front of playlist and segments of a preview that has begun.
fn preview(daemon: &Daemon, channel: usize) -> String {
    let answer = begin(daemon, channel);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let path = format!("/api/v1/preview/{}", told["id"]);
    assert_eq!(told, json!({"id": told["id"], "playlist": format!("{path}/index.m3u8"), "seconds": 120}));
    path
}

/// A playlist, line by line.
#[derive(Debug)]
struct Playlist {
    target_s: u64,
    sequence: u64,
    /// Number, seconds, and whether it goes on where the one before it ended.
    segments: Vec<(u64, f64, bool)>,
}

fn playlist(daemon: &Daemon, path: &str) -> Playlist {
    let answer = daemon.get(&format!("{path}/index.m3u8"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let text = answer.text();
    assert!(text.starts_with("#EXTM3U\n#EXT-X-VERSION:3\n") && !text.contains("ENDLIST"), "{text}");
    let number = |tag: &str| -> u64 { text.lines().find_map(|line| line.strip_prefix(tag)).unwrap().parse().unwrap() };
    let (mut segments, mut seconds, mut goes_on) = (Vec::new(), 0.0, true);
    for line in text.lines() {
        if let Some(told) = line.strip_prefix("#EXTINF:") {
            seconds = told.trim_end_matches(',').parse().unwrap();
        } else if line == "#EXT-X-DISCONTINUITY" {
            goes_on = false;
        } else if let Some(number) = line.strip_suffix(".ts") {
            segments.push((number.parse().unwrap(), seconds, goes_on));
            goes_on = true;
        }
    }
    let sequence = number("#EXT-X-MEDIA-SEQUENCE:");
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:"), "{text}");
    let told = Playlist { target_s: number("#EXT-X-TARGETDURATION:"), sequence, segments };
    assert!(told.segments.iter().map(|(number, ..)| *number).eq((sequence..).take(told.segments.len())), "{text}");
    assert!(told.segments.iter().all(|(_, seconds, _)| seconds.round() <= 3.0 && *seconds > 0.0), "{text}");
    assert_eq!(told.target_s, 3, "it never changes");
    told
}

fn segment(daemon: &Daemon, path: &str, number: u64) -> Vec<u8> {
    let answer = daemon.get(&format!("{path}/{number}.ts"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp2t")));
    answer.body
}

/// Why a preview is no more, or was refused.
fn why(answer: &http::Answer) -> (u16, String) {
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    (answer.status, told["detail"].as_str().unwrap().to_owned())
}

fn is_over(daemon: &Daemon, path: &str) -> String {
    let (status, detail) = why(&daemon.get(&format!("{path}/index.m3u8")));
    assert_eq!(status, 410, "{detail}");
    assert_eq!(daemon.get(&format!("{path}/0.ts")).status, 410);
    detail
}

fn viewers(daemon: &Daemon) -> usize {
    let status = daemon.status();
    status["tuners"].as_array().unwrap().iter().map(|tuner| tuner["viewers"].as_array().unwrap().len()).sum()
}

/// Tried over twenty seconds: all segments that were ever listed are one stream without a gap, which a real decoder plays.
#[test]
fn a_playlist_grows_by_segments_that_are_one_stream() {
    let (_fake, daemon) = daemon(2, &["one"], "");
    let path = preview(&daemon, 1);
    let (mut next, mut joined) = (None, Vec::new());
    wait_until("eight segments", Duration::from_secs(40), || {
        let told = playlist(&daemon, &path);
        for (number, seconds, goes_on) in &told.segments {
            if next.is_none_or(|next| next == *number) {
                let bytes = segment(&daemon, &path, *number);
                assert_eq!(bytes.len() % 188, 0);
                let pid = |packet: usize| u16::from_be_bytes([bytes[packet * 188 + 1] & 0x1F, bytes[packet * 188 + 2]]);
                assert_eq!((pid(0), pid(1), pid(2)), (0, 0x1000, 0x100), "PAT, PMT, picture");
                assert!(bytes[2 * 188 + 3] & 0x20 != 0 && bytes[2 * 188 + 5] & 0x40 != 0, "a key frame");
                assert!(*goes_on && (2.0..=3.0).contains(seconds), "{told:?}");
                joined.extend(bytes);
                next = Some(number + 1);
            } else {
                assert!(next.is_some_and(|next| *number < next), "none is passed over: {next:?}, {told:?}");
            }
        }
        next.is_some_and(|next| next >= 8)
    });
    for name in ["99999.ts", "x.ts", "1", "-1.ts", "18446744073709551616.ts", "%2e%2e"] {
        assert_eq!(daemon.get(&format!("{path}/{name}")).status, 404, "{name}");
    }
    let report = inspect(&joined);
    assert!(report.gaps.is_empty(), "{report:?}");
    let capture = daemon.setup.folder.write("capture.ts", &joined);
    assert_eq!(decode_errors(&capture), "");
    assert_eq!(daemon.call(&format!("DELETE {path}"), &Value::Null).status, 204);
    assert_eq!(is_over(&daemon, &path), "this preview is over");
    wait_until("nobody watches", SOON, || viewers(&daemon) == 0);
    assert_eq!(daemon.get("/api/v1/preview/99/index.m3u8").status, 404);
}

#[test]
fn a_preview_gives_way_to_whoever_needs_its_tuner() {
    let (_fake, daemon) = daemon(1, &["one", "two", "three"], "");
    let first = preview(&daemon, 1);
    let mut stream = open(&daemon, "/auto/v2");
    read_bytes(&mut stream, 188 * 20);
    assert!(is_over(&daemon, &first).contains("its tuner is needed"));
    assert_eq!(viewers(&daemon), 1);
    // And takes none from him.
    let (status, detail) = why(&begin(&daemon, 1));
    assert!(status == 409 && detail.contains("all tuners are in use"), "{status} {detail}");
    read_bytes(&mut stream, 188 * 20);
    drop(stream);
    wait_until("nobody watches", SOON, || viewers(&daemon) == 0);
    let second = preview(&daemon, 1);
    // Who wants this very tuner gets it as well.
    read_bytes(&mut open(&daemon, "/tuner0/v3"), 188 * 20);
    is_over(&daemon, &second);
}

#[test]
fn a_preview_that_is_in_nobodys_way_goes_on() {
    let (_fake, daemon) = daemon(3, &["one", "two", "three", "four"], "");
    let path = preview(&daemon, 1);
    let mut streams = vec![open(&daemon, "/auto/v2"), open(&daemon, "/auto/v3")];
    playlist(&daemon, &path);
    // Who watches the same in the same size is not sent away with it.
    streams.push(open(&daemon, "/auto/v1?transcode=internet360"));
    let (answer, _) = http::open(daemon.address(), 5004, "/auto/v4");
    assert_eq!(answer.header("x-hdhomerun-error"), Some("805 All Tuners In Use"));
    playlist(&daemon, &path);
    drop(streams.pop());
    wait_until("he has left", SOON, || viewers(&daemon) == 3);
    streams.push(open(&daemon, "/auto/v4"));
    is_over(&daemon, &path);
    for stream in &mut streams {
        read_bytes(stream, 188 * 20);
    }
}

#[test]
fn a_start_that_is_for_a_preview_only_gives_way_as_well() {
    let (_fake, daemon) = daemon(1, &["never", "two"], &format!("{}: silent\n", crate::kit::fakeff::key_of("never")));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| begin(&daemon, 1));
        wait_until("it starts", SOON, || daemon.tuner_states() == ["starting"]);
        read_bytes(&mut open(&daemon, "/auto/v2"), 188 * 20);
        assert_eq!(waiting.join().unwrap().status, 409);
    });
}

#[test]
fn there_is_one_preview_at_a_time_and_it_ends_when_nobody_asks() {
    let (_fake, daemon) = daemon(1, &["one", "two"], "");
    let first = preview(&daemon, 1);
    let second = preview(&daemon, 2);
    assert_eq!(daemon.get(&format!("{first}/index.m3u8")).status, 404, "it was replaced");
    playlist(&daemon, &second);
    assert_eq!(viewers(&daemon), 1);
    wait_until("it is over", SOON, || viewers(&daemon) == 0);
    assert_eq!(is_over(&daemon, &second), "this preview is over");
}

#[test]
fn a_restart_is_a_break_in_the_playlist() {
    let (fake, daemon) = daemon(1, &["one"], &format!("{}: exit_after=9000\n", crate::kit::fakeff::key_of("one")));
    let path = preview(&daemon, 1);
    let mut newest = 0;
    wait_until("it goes on after a break", Duration::from_secs(50), || {
        let told = playlist(&daemon, &path);
        let last = told.segments.last().map_or(newest, |(number, ..)| *number);
        assert!(last >= newest && told.sequence <= newest + 1, "{told:?}");
        newest = last;
        told.segments.iter().any(|(_, _, goes_on)| !goes_on)
    });
    assert!(fake.starts("one").len() >= 2);
}

#[test]
fn a_preview_counts_as_one_stream_of_its_provider() {
    let mut setup = Setup::new();
    let source = Source::file(&make_ts(&setup.folder.path().join("source.ts"), 4));
    let fake = Fake::install(&mut setup);
    fake.script(TRIALS);
    setup.set("transcode", "enabled = true");
    let daemon = setup.start();
    wait_for_trials(&daemon);
    let list = json!({"kind": "upload", "name": "List", "streams_max": 1});
    let added = daemon.call("/api/v1/subscriptions", &list);
    assert_eq!(added.status, 201, "{}", added.text());
    let id = serde_json::from_slice::<Value>(&added.body).unwrap()["id"].clone();
    let text = (1..=2).fold("#EXTM3U\n".to_owned(), |all, n| {
        all + &format!("#EXTINF:-1 tvg-chno=\"{n}\",C{n}\n{}\n", source.url(&format!("/{n}.ts")))
    });
    let sent = daemon.send(&format!("PUT /api/v1/subscriptions/{id}/playlist"), "audio/x-mpegurl", text.as_bytes());
    assert_eq!(sent.status, 200, "{}", sent.text());
    wait_until("its channels are there", SOON, || daemon.channels().iter().any(|(_, name)| name == "C2"));
    let place = |name: &str| {
        let channels: Value = serde_json::from_slice(&daemon.get("/api/v1/channels").body).unwrap();
        1 + channels["items"].as_array().unwrap().iter().position(|channel| channel["name"] == name).unwrap()
    };
    let number = |wanted: &str| daemon.channels().into_iter().find(|(_, name)| name == wanted).unwrap().0;
    let path = preview(&daemon, place("C1"));
    let mut stream = open(&daemon, &format!("/auto/v{}", number("C2")));
    read_bytes(&mut stream, 188);
    is_over(&daemon, &path);
    let (status, detail) = why(&begin(&daemon, place("C1")));
    assert!(status == 409 && detail.contains("provider"), "{status} {detail}");
}

#[test]
fn without_an_encoder_there_is_no_preview_and_it_is_said_why() {
    let daemon = Daemon::demo();
    let answer = begin(&daemon, 1);
    assert!(answer.header("retry-after").is_some());
    let (status, detail) = why(&answer);
    assert!(status == 424 && detail.contains("no encoder works"), "{status} {detail}");
    assert_eq!(daemon.tuner_states().iter().filter(|state| *state != "free").count(), 0);
}

/// What the real FFmpeg makes: each segment alone is a picture and its sound, of which all can be decoded.
#[test]
fn segments_of_a_real_encoder_can_be_played_one_by_one() {
    let mut setup = crate::profiles::setup(0);
    setup.set("slots", "count = 1");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    wait_for_trials(&daemon);
    // Somebody watches the same in the same size already, so that there is something on a machine that is slow, too.
    let number = daemon.channels().remove(0).0;
    let mut stream = open(&daemon, &format!("/auto/v{number}?transcode=internet360"));
    read_for(&mut stream, Duration::from_secs(8));
    let path = preview(&daemon, 1);
    assert_eq!(daemon.tuner_states(), ["playing"]);
    let mut numbers = Vec::new();
    wait_until("three segments", Duration::from_secs(30), || {
        numbers = playlist(&daemon, &path).segments;
        numbers.len() >= 3
    });
    // All of it at once: a preview does not wait for who looks closely.
    let taken: Vec<_> =
        numbers.iter().map(|(number, seconds, _)| (segment(&daemon, &path, *number), *seconds)).collect();
    // As HLS from the outside.
    let url = format!("http://{}:8080{path}/index.m3u8", daemon.address());
    let (status, said) = run("ffprobe", &["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &url]);
    assert!(status.success() && said.contains("h264") && said.contains("aac"), "{said}");
    for (bytes, seconds) in taken {
        let capture = daemon.setup.folder.write("segment.ts", bytes);
        assert_eq!(decode_errors(&capture), "");
        let entries = "stream=codec_name,width,height,duration";
        let arguments = ["-v", "error", "-show_entries", entries, "-of", "json", capture.to_str().unwrap()];
        let told: Value = serde_json::from_str(&run("ffprobe", &arguments).1).unwrap();
        let streams = told["streams"].as_array().unwrap();
        let named = |name: &str| streams.iter().find(|stream| stream["codec_name"] == name).unwrap();
        let (video, _) = (named("h264"), named("aac"));
        assert_eq!((&video["width"], &video["height"]), (&json!(640), &json!(360)));
        let lasts: f64 = video["duration"].as_str().unwrap().parse().unwrap();
        assert!((lasts - seconds).abs() < 0.1, "{lasts} and {seconds}");
    }
}

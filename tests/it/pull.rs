//! Sources that we pull ourselves: streams over HTTP, and HLS in its kinds.

use crate::faults::upstream::with_sources;
use crate::kit::media::{decode_errors, inspect, make, make_ts, payload_hashes, read_for};
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Folder, http, run, wait_until};
use crate::seam::{decoding_times, runs_backwards};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const H264: [&str; 5] = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a"];

/// Makes segments of two seconds in a folder, and their playlist.
fn make_hls(folder: &Path, seconds: u32, how: &[&str]) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let hls = ["aac", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0"];
    keep_open(&make(&folder.join("index.m3u8"), seconds, &[&H264[..], &hls, how].concat()))
}

/// Makes a window of all segments, which never moves, out of a film: a film that is over would be played again.
fn keep_open(list: &Path) -> PathBuf {
    let text = fs::read_to_string(list).unwrap();
    let is_kept = |line: &&str| !line.starts_with("#EXT-X-TARGETDURATION") && *line != "#EXT-X-ENDLIST";
    let lines: Vec<&str> = text.lines().filter(is_kept).collect();
    fs::write(
        list.with_file_name("open.m3u8"),
        lines.join("\n").replace("#EXTM3U", "#EXTM3U\n#EXT-X-TARGETDURATION:20"),
    )
    .unwrap();
    list.to_owned()
}

/// Reads until nothing more comes.
fn capture(daemon: &Daemon, into: &Folder, channel: usize) -> PathBuf {
    capture_for(daemon, into, channel, Duration::from_secs(60))
}

fn capture_for(daemon: &Daemon, into: &Folder, channel: usize, most: Duration) -> PathBuf {
    let begun = Instant::now();
    let (answer, mut stream) = http::open(daemon.address(), 5004, &format!("/auto/v{channel}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..len]);
        if begun.elapsed() > most {
            break;
        }
    }
    into.write("capture.ts", &bytes[..bytes.len() / 188 * 188])
}

/// A film arrives bit for bit, and no child was needed for it.
fn assert_arrives(folder: &Folder, playlist: &str, source: &Source, original: &Path) {
    let daemon = with_sources(&[source.url(playlist)]);
    let captured = capture(&daemon, folder, 1);
    assert_eq!(payload_hashes(&captured), payload_hashes(original));
    assert_eq!(decode_errors(&captured), "");
    assert!(daemon.children().is_empty());
    assert!(!daemon.log().contains("starting it again"), "{}", daemon.log());
}

#[test]
fn segments_arrive_bit_for_bit_without_a_child() {
    let folder = Folder::new();
    let list = make_hls(folder.path(), 9, &[]);
    // Under another name, and behind a redirect: relative addresses belong to where it was found.
    let moved = folder.path().join("elsewhere");
    let list_elsewhere = make_hls(&moved, 9, &[]);
    let source = Source::folder(folder.path());
    assert_arrives(&folder, "/open.m3u8", &source, &list);
    let redirect = Source::fixed("HTTP/1.1 302 Found\r\nLocation: TARGET\r\nContent-Length: 0\r\n\r\n");
    redirect.turn(Source::redirecting(&source.url("/elsewhere/open.m3u8")));
    assert_arrives(&folder, "/live/1", &redirect, &list_elsewhere);
}

#[test]
fn the_best_variant_is_played() {
    let folder = Folder::new();
    make_hls(&folder.path().join("low"), 4, &[]);
    let best = make_hls(&folder.path().join("best"), 4, &["-b:a", "200k"]);
    folder.write(
        "master.m3u8",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nlow/open.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS=\"avc1.42c00d,mp4a.40.2\"\nbest/open.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1900000,CODECS=\"hvc1.1.6.L93\"\nnone/index.m3u8\n",
    );
    assert_arrives(&folder, "/master.m3u8", &Source::folder(folder.path()), &best);
}

#[test]
fn encrypted_segments_are_decrypted() {
    let folder = Folder::new();
    folder.write("secret.key", [7, 1, 0, 255, 3, 9, 8, 200, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (name, iv) in [("given", "\n000102030405060708090a0b0c0d0e0f"), ("counted", "")] {
        let inside = folder.path().join(name);
        fs::create_dir_all(&inside).unwrap();
        let key = folder.path().join("secret.key");
        let info = folder.write("key.info", format!("../secret.key\n{}{iv}\n", key.display()));
        let list = make_hls(&inside, 7, &["-hls_key_info_file", info.to_str().unwrap()]);
        let text = fs::read_to_string(&list).unwrap();
        assert!(text.contains("METHOD=AES-128"), "{text}");
        // FFmpeg wants leave to read keys from files.
        let plain = folder.path().join(format!("{name}.ts"));
        let (status, said) = run(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-nostdin",
                "-y",
                "-allowed_extensions",
                "ALL",
                "-protocol_whitelist",
                "file,crypto,data",
                "-i",
                list.to_str().unwrap(),
                "-c",
                "copy",
                plain.to_str().unwrap(),
            ],
        );
        assert!(status.success(), "{said}");
        assert_arrives(&folder, &format!("/{name}/open.m3u8"), &Source::folder(folder.path()), &plain);
    }
}

/// Reads what FFmpeg makes of a source that it fetches by itself.
fn capture_from_ffmpeg(daemon: &Daemon, into: &Folder) -> PathBuf {
    // What it fetched is over by then, and it is started again.
    let captured = capture_for(daemon, into, 1, Duration::from_secs(4));
    assert_eq!(decode_errors(&captured), "");
    assert!(inspect(&fs::read(&captured).unwrap()).packets > 200);
    let log = daemon.log();
    let before = log.split(" plays ").next().unwrap();
    assert!(!before.contains("failed"), "it is no failure of the channel's: {log}");
    captured
}

/// At stake: what FFmpeg plays and we do not, which is found out at the source.
#[test]
fn fragments_of_mp4_are_for_ffmpeg_and_no_failure() {
    let folder = Folder::new();
    let list = make_hls(folder.path(), 8, &["-hls_segment_type", "fmp4"]);
    assert!(fs::read_to_string(&list).unwrap().contains("EXT-X-MAP"));
    let source = Source::folder(folder.path());
    let daemon = with_sources(&[source.url("/open.m3u8")]);
    capture_from_ffmpeg(&daemon, &folder);
    assert!(daemon.log().contains("starting it again with FFmpeg"), "{}", daemon.log());
}

/// At stake: a picture without its sound. The better of two variants has its sound in a playlist of its own.
#[test]
fn sound_in_a_playlist_of_its_own_is_heard() {
    let folder = Folder::new();
    make_hls(&folder.path().join("low"), 8, &["-s", "128x72"]);
    let apart = folder.path().join("apart");
    fs::create_dir_all(&apart).unwrap();
    let variants = "v:0,agroup:a a:0,agroup:a,default:yes";
    let how = ["aac", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-master_pl_name", "index.m3u8"];
    let list = apart.join("%v.m3u8");
    make(&list, 8, &[&H264[..], &how, &["-map", "0:v", "-map", "1:a", "-var_stream_map", variants]].concat());
    let master = fs::read_to_string(apart.join("index.m3u8")).unwrap();
    assert!(master.contains("TYPE=AUDIO") && master.contains("URI="), "{master}");
    for name in ["0", "1"] {
        keep_open(&apart.join(name).with_extension("m3u8"));
        fs::rename(apart.join("open.m3u8"), apart.join(name).with_extension("m3u8")).unwrap();
    }
    let better = master.replace("0.m3u8", "apart/0.m3u8").replace("1.m3u8", "apart/1.m3u8");
    folder.write("master.m3u8", format!("{better}\n#EXT-X-STREAM-INF:BANDWIDTH=9\nlow/index.m3u8\n"));
    let source = Source::folder(folder.path());
    let daemon = with_sources(&[source.url("/master.m3u8")]);
    let captured = capture_from_ffmpeg(&daemon, &folder);
    assert_eq!(decoding_times(&captured).len(), 2, "picture and sound");
}

/// At stake: a film whose index stands at its end, which cannot be read from its beginning to its end; under a name that
/// tells that it is one, and under one that does not.
#[test]
fn a_film_whose_index_stands_at_its_end_is_played() {
    let folder = Folder::new();
    let film = make(&folder.path().join("film.mp4"), 20, &[&H264[..], &["aac"]].concat());
    let bytes = fs::read(&film).unwrap();
    let of = |name: &[u8]| bytes.windows(4).position(|window| window == name).unwrap();
    assert!(of(b"mdat") < of(b"moov") && bytes.len() > 200_000);
    fs::copy(&film, folder.path().join("film")).unwrap();
    let source = Source::folder(folder.path());
    for (path, is_told) in [("/film.mp4", true), ("/film", false)] {
        let daemon = with_sources(&[source.url(path)]);
        let captured = capture_from_ffmpeg(&daemon, &folder);
        assert_eq!(decoding_times(&captured).len(), 2, "{path}");
        assert_eq!(daemon.log().contains("starting it again with FFmpeg"), !is_told, "{path}");
    }
}

/// At stake: what FFmpeg fetches by itself is to lead no further than what we fetch (S32). The film's own server sends it
/// to another one of this box, which is named by nobody, and a playlist names a segment there.
#[test]
fn ffmpeg_goes_nowhere_that_we_would_not_go() {
    let folder = Folder::new();
    let inner = Source::at(("127.0.0.2", 0), Manner::Folder(folder.path().to_owned()));
    make(&folder.path().join("film.mp4"), 4, &[&H264[..], &["aac"]].concat());
    let film = Source::fixed("");
    film.turn(Source::redirecting(&inner.url("/film.mp4")));
    let list = Source::document(format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"{0}\"\n#EXTINF:2,\n{0}\n",
        inner.url("/film.mp4")
    ));
    let daemon = with_sources(&[film.url("/film.mp4"), list.url("/index.m3u8")]);
    for channel in ["1", "2"] {
        let (answer, _) = http::open(daemon.address(), 5004, &format!("/auto/v{channel}"));
        assert_eq!(answer.status, 503, "{answer:?}");
    }
    assert!(film.connections() > 0 && list.connections() > 0);
    assert_eq!(inner.connections(), 0);
    assert!(daemon.log().matches("must not be opened").count() >= 2, "{}", daemon.log());
}

/// At stake: FFmpeg waits for more from us, and hears no signal meanwhile. It is told to end, and must do so promptly.
#[test]
fn a_child_that_waits_for_us_ends_when_it_is_told_to() {
    let folder = Folder::new();
    let how = ["-c:v", "mpeg4", "-c:a", "mp2", "-f", "mpegts"];
    let bytes = fs::read(make(&folder.path().join("old.ts"), 12, &how)).unwrap();
    let source = Source::fixed("");
    source.turn(Manner::Halting([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &bytes[..]].concat(), Vec::new()));
    let daemon = with_sources(&[source.url("/old")]);
    let (answer, stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200, "{answer:?} {}", daemon.log());
    assert_eq!(daemon.children().len(), 1);
    drop(stream);
    wait_until("the linger is over", Duration::from_secs(20), || daemon.tuner_states().iter().all(|one| one == "free"));
    wait_until("it has ended", Duration::from_secs(1), || daemon.children().is_empty());
    assert!(!daemon.log().contains("ignored SIGTERM"), "{}", daemon.log());
}

#[test]
fn a_discontinuity_is_joined() {
    // At stake: an advertisement with other clocks and streams in the middle of a channel.
    let folder = Folder::new();
    make_hls(&folder.path().join("a"), 4, &[]);
    make_hls(&folder.path().join("b"), 4, &["-output_ts_offset", "5000"]);
    make_hls(&folder.path().join("c"), 4, &["-output_ts_offset", "95441"]);
    let part = |name: &str| {
        let text = fs::read_to_string(folder.path().join(name).join("index.m3u8")).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("#EXTINF") || !line.starts_with('#'));
        lines.fold(String::new(), |all, line| {
            all + &if line.starts_with('#') { format!("{line}\n") } else { format!("{name}/{line}\n") }
        })
    };
    let (a, b, c) = (part("a"), part("b"), part("c"));
    let joined = format!("{a}#EXT-X-DISCONTINUITY\n{b}#EXT-X-DISCONTINUITY\n{c}");
    folder.write("index.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:20\n{joined}"));
    let source = Source::folder(folder.path());
    let daemon = with_sources(&[source.url("/index.m3u8")]);
    let captured = capture(&daemon, &folder, 1);
    let bytes = fs::read(&captured).unwrap();
    assert!(inspect(&bytes).gaps.is_empty());
    assert_eq!(decode_errors(&captured), "");
    let times = decoding_times(&captured);
    assert!(!runs_backwards(&times));
    for times in times.values() {
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(times.last().unwrap() - times[0] > 11.0 && longest < 0.5, "{longest} s in {} packets", times.len());
    }
}

#[test]
fn a_live_window_is_followed_past_a_segment_that_is_missing() {
    let folder = Folder::new();
    let text = fs::read_to_string(make_hls(folder.path(), 40, &[])).unwrap();
    let segments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let window = |first: usize| {
        let lines = segments[first..first + 5].iter().map(|name| format!("#EXTINF:2.0,\n{name}\n"));
        let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        fs::write(folder.path().join("new"), head + &lines.collect::<String>()).unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("live.m3u8")).unwrap();
    };
    window(0);
    fs::remove_file(folder.path().join(segments[7])).unwrap();
    let source = Source::folder(folder.path());
    let daemon = with_sources(&[source.url("/live.m3u8")]);
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200, "{answer:?}");
    let begun = Instant::now();
    let reading = std::thread::spawn(move || read_for(&mut stream, Duration::from_secs(18)));
    for first in 1..12 {
        std::thread::sleep(Duration::from_secs(2));
        window(first);
    }
    let bytes = reading.join().unwrap();
    let captured = folder.write("capture.ts", &bytes[..bytes.len() / 188 * 188]);
    assert!(inspect(&fs::read(&captured).unwrap()).gaps.is_empty());
    assert!(!runs_backwards(&decoding_times(&captured)));
    // It was begun three segments from the end, and one is missing.
    let played = decoding_times(&captured).values().map(|times| times.last().unwrap() - times[0]).fold(0.0, f64::max);
    assert!((17.0..28.0).contains(&played), "{played} s in {:?}", begun.elapsed());
    assert!(!daemon.log().contains("failed"), "{}", daemon.log());
    // Not asked more often than a window changes: it, segments, and looks in between.
    let asked = source.connections();
    assert!(asked < 40, "{asked} requests in {:?}", begun.elapsed());
}

#[test]
fn playlists_that_cannot_be_played_are_refused_with_the_reason() {
    let huge = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}", "#EXTINF:2,\na.ts\n".repeat(70_000));
    let lines = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}", "a.ts\n".repeat(10_001));
    let bodies = [
        huge.as_str(),
        &lines,
        "#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\"\n#EXTINF:2,\na.ts\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nindex.m3u8\n",
    ];
    let sources = bodies.map(Source::document);
    let daemon = with_sources(&sources.each_ref().map(|source| source.url("/index.m3u8")));
    for channel in 1..=bodies.len() {
        let (answer, _) = http::open(daemon.address(), 5004, &format!("/auto/v{channel}"));
        assert_eq!(answer.status, 503, "{channel}: {answer:?}");
    }
    let log = daemon.log();
    for said in ["is too long", "own player", "a bad address", "playlists of playlists"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(log.matches("is too long").count() >= 2, "{log}");
    assert!(!log.contains("root:"));
}

#[test]
fn a_stream_that_is_ended_is_closed_at_once_and_takes_no_child() {
    let folder = Folder::new();
    let source = Source::live(&make_ts(&folder.path().join("live.ts"), 20));
    let daemon = with_sources(&[source.url("/live.ts")]);
    let (answer, stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!((answer.status, source.open_now()), (200, 1));
    assert!(daemon.children().is_empty());
    drop(stream);
    wait_until("the linger is over", Duration::from_secs(8), || daemon.tuner_states().iter().all(|one| one == "free"));
    wait_until("its connection is closed", Duration::from_secs(1), || source.open_now() == 0);
    assert_eq!(source.connections(), 1);
    source.turn(Manner::Silent);
}

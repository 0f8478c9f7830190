//! Sounds that clients do not play: the picture is passed on as it is, and the sound alone is encoded.
//!
//! What is at stake: a channel without sound, or a whole core for a picture that needed nothing. Tried with the real
//! FFmpeg and pictures in MPEG-2, which nobody here would encode to: whatever still has them was copied.

use crate::kit::media::{inspect, make, read_for};
use crate::kit::source::Source;
use crate::kit::{Daemon, Folder, Setup, http, run, wait_until};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SAID: &str = "a sound that clients do not play";

fn daemon(url: &str) -> Daemon {
    let mut setup = Setup::new();
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,One\n{url}\n"));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    daemon
}

/// Watches for four seconds; what kinds of streams came, and what the status says is done for them.
fn watch(daemon: &Daemon) -> (String, String) {
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200, "{}\n{}", answer.head, daemon.log());
    let bytes = read_for(&mut stream, Duration::from_secs(4));
    let tuner = &daemon.status()["tuners"][0];
    assert_eq!(tuner["attempt"], 1, "no failure of anybody's: {}", daemon.log());
    let path = tuner["path"].as_str().unwrap_or_default().to_owned();
    let report = inspect(&bytes);
    assert!(report.packets > 200 && report.gaps.is_empty(), "{report:?}");
    let capture = daemon.setup.folder.write("capture.ts", &bytes[..bytes.len() / 188 * 188]);
    let entries = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", capture.to_str().unwrap()];
    let (_, streams) = run("ffprobe", &entries);
    let mut streams: Vec<&str> =
        streams.lines().map(|line| line.trim_matches(',')).filter(|line| !line.is_empty()).collect();
    streams.sort_unstable();
    streams.dedup();
    (streams.join(" "), path)
}

/// Twice as fast as it plays.
fn live(file: &Path) -> Source {
    Source::live_at(file, std::fs::metadata(file).unwrap().len() * 8 / 5)
}

fn source(folder: &Folder, name: &str, sound: &[&str]) -> PathBuf {
    make(&folder.path().join(name), 10, &[&["-c:v", "mpeg2video", "-b:v", "600k"], sound].concat())
}

#[test]
fn sounds_that_clients_do_not_play_are_encoded_and_pictures_are_not() {
    let folder = Folder::new();
    for (name, sound) in [
        ("latm.ts", &["-c:a", "aac", "-mpegts_flags", "latm"][..]),
        ("opus.ts", &["-c:a", "libopus", "-ac", "2"]),
        ("dts.ts", &["-c:a", "dca", "-strict", "-2", "-ac", "2"]),
        ("s302m.ts", &["-c:a", "s302m", "-strict", "-2", "-ac", "2"]),
    ] {
        let server = live(&source(&folder, name, sound));
        let daemon = daemon(&server.url("/one"));
        assert_eq!(watch(&daemon), ("aac mpeg2video".to_owned(), "sound".to_owned()), "{name}: {}", daemon.log());
        daemon.wait_until_idle();
        // The second time it is known.
        assert_eq!(watch(&daemon).1, "sound");
        assert_eq!(daemon.log().matches(SAID).count(), 1, "{name}: {}", daemon.log());
    }
}

#[test]
fn a_file_whose_sound_has_no_name_in_a_transport_stream_keeps_its_picture() {
    let folder = Folder::new();
    let server = live(&source(&folder, "pcm.mkv", &["-c:a", "pcm_s16le"]));
    let daemon = daemon(&server.url("/one.mkv"));
    assert_eq!(watch(&daemon), ("aac mpeg2video".to_owned(), "sound".to_owned()), "{}", daemon.log());
}

#[test]
fn what_clients_play_is_passed_on() {
    let folder = Folder::new();
    for (name, url, sound, kinds, path) in [
        ("ac3.ts", "/one", &["-c:a", "ac3"][..], "ac3 mpeg2video", "pull"),
        ("mp2.ts", "/one", &["-c:a", "mp2"], "mp2 mpeg2video", "pull"),
        ("eac3.ts", "/one", &["-c:a", "eac3"], "eac3 mpeg2video", "pull"),
        ("aac.mkv", "/one.mkv", &["-c:a", "aac"], "aac mpeg2video", "copy"),
    ] {
        let server = live(&source(&folder, name, sound));
        let daemon = daemon(&server.url(url));
        assert_eq!(watch(&daemon), (kinds.to_owned(), path.to_owned()), "{name}: {}", daemon.log());
        assert!(!daemon.has_logged(SAID));
    }
}

#[test]
fn a_picture_that_clients_do_not_play_is_encoded_with_its_sound() {
    let folder = Folder::new();
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus", "-ac", "2"];
    let server = live(&make(&folder.path().join("one.mkv"), 10, &vp9));
    let daemon = daemon(&server.url("/one.mkv"));
    assert_eq!(watch(&daemon), ("aac h264".to_owned(), "encode".to_owned()), "{}", daemon.log());
    wait_until("it was told", Duration::from_secs(5), || daemon.has_logged("formats that clients do not play"));
}

//! Transcoding by profile, with the FFmpeg that is installed: real pictures, and encoders that fail as real ones do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::kit::media::{decode_errors, inspect, make};
use crate::kit::{Folder, run};
use pure::model::encoder::{Candidates, Encoder};
use pure::model::headers::Headers;
use pure::model::lineup::{ChannelId, DemoIndex, Source};
use pure::model::profile::{Profile, Size};
use pure::model::recipe::{Reader, Recipe, Treatment, recipe, trial};
use pure::rules::encoders::blame::{Blame, Ended, How, blame};
use pure::rules::encoders::trial::{Outcome, Trial, TrialEnd};
use pure::rules::encoders::{Cannot, Choice};
use pure::rules::pool::SlotIndex;
use pure::rules::reach::Reach;
use pure::time::Mono;
use tokio::process::{ChildStderr, ChildStdout};
use tunerd::engine::encoders::{Encoding, Started, has_device};

const HARDWARE: [&str; 5] = ["v4l2m2m:video11", "vaapi:renderD128", "qsv:renderD128", "nvenc:0", "rkmpp"];

fn encoder(name: &str) -> Encoder {
    name.parse().unwrap()
}

fn candidates(names: &[&str]) -> Candidates {
    names.iter().map(|name| encoder(name)).collect()
}

/// A transport stream over HTTP, which recipes expect on standard input.
fn stream() -> Source {
    Source::Url {
        url: "http://source.example/1.ts".parse().unwrap(),
        user_agent: None,
        headers: Headers::default(),
        account: None,
        reach: Reach::Public,
        provider: None,
    }
}

/// Runs a recipe to its end.
pub(crate) fn cook(program: &Path, arguments: &[String]) -> Output {
    cook_from(program, arguments, Path::new("/dev/null"))
}

/// The same, with `file` on its standard input.
fn cook_from(program: &Path, arguments: &[String], file: &Path) -> Output {
    let file = fs::File::open(file).unwrap();
    let output = Command::new("timeout").arg("120").arg(program).args(arguments).stdin(file).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// The streams of a file, as ffprobe sees them, by kind.
pub(crate) fn probe(file: &Path) -> BTreeMap<String, serde_json::Value> {
    let arguments = ["-v", "error", "-show_streams", "-of", "json", file.to_str().unwrap()];
    let (status, said) = run("ffprobe", &arguments);
    assert!(status.success(), "{said}");
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
    let streams = answer["streams"].as_array().unwrap().iter();
    streams.map(|stream| (stream["codec_type"].as_str().unwrap().to_owned(), stream.clone())).collect()
}

/// Times of all pictures in seconds, whether each is a key frame, and the bytes of all.
fn pictures(file: &Path) -> (Vec<(f64, bool)>, u64) {
    let entries = "packet=pts_time,flags,size";
    let arguments =
        ["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", file.to_str().unwrap()];
    let (_, said) = run("ffprobe", &arguments);
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
    let packets = answer["packets"].as_array().unwrap();
    let text = |packet: &serde_json::Value, key| packet[key].as_str().unwrap().to_owned();
    let times = packets
        .iter()
        .map(|packet| (text(packet, "pts_time").parse().unwrap(), text(packet, "flags").starts_with('K')));
    (times.collect(), packets.iter().map(|packet| text(packet, "size").parse::<u64>().unwrap()).sum())
}

/// What is at stake: the sizes, rates and key frames that clients were promised. Tried with a broadcast of 1080
/// interlaced lines and six channels of sound that is hard to compress.
#[test]
fn every_profile_makes_what_it_promises() {
    let folder = Folder::new();
    let file = folder.path().join("broadcast.ts");
    let (status, said) = run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-nostdin",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1920x1080:rate=25,noise=alls=12:allf=t",
            "-f",
            "lavfi",
            "-i",
            "anoisesrc=amplitude=0.1:sample_rate=48000,aformat=channel_layouts=5.1",
            "-t",
            "4",
            "-vf",
            "setfield=tff",
            "-c:v",
            "mpeg2video",
            "-flags",
            "+ilme+ildct",
            "-b:v",
            "30M",
            "-g",
            "12",
            "-c:a",
            "ac3",
            "-f",
            "mpegts",
            file.to_str().unwrap(),
        ],
    );
    assert!(status.success(), "{said}");
    for profile in Profile::ALL {
        let Some(target) = profile.target() else { continue };
        let treatment = Treatment::Transcode(target, Encoder::Software);
        let made =
            cook_from(Path::new("ffmpeg"), recipe(&stream(), Reader::TransportStream, "Test", treatment).args(), &file);
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{profile}: {said}");
        let capture = folder.write(&format!("{profile}.ts"), &made.stdout);
        assert_eq!(decode_errors(&capture), "", "{profile}");

        let streams = probe(&capture);
        let (video, audio) = (&streams["video"], &streams["audio"]);
        let size = target.size(Size { width: 1920, height: 1080 }, 1, 1);
        assert_eq!((&video["width"], &video["height"]), (&size.width.into(), &size.height.into()), "{profile}");
        assert_eq!((&video["codec_name"], &audio["codec_name"]), (&"h264".into(), &"aac".into()));
        assert_eq!((&audio["channels"], &audio["sample_rate"]), (&2.into(), &"48000".into()), "{profile}");
        assert_eq!((&video["pix_fmt"], &video["field_order"]), (&"yuv420p".into(), &"progressive".into()));
        assert_eq!(video["display_aspect_ratio"], "16:9", "{profile}");
        let told = match target.h264 {
            pure::model::profile::H264::Main { level } => ("Main", level),
            pure::model::profile::H264::High { level } => ("High", level),
        };
        assert_eq!((&video["profile"], &video["level"]), (&told.0.into(), &told.1.into()), "{profile}");

        let (pictures, bytes) = pictures(&capture);
        assert!((97..=101).contains(&pictures.len()), "{profile}: {} pictures", pictures.len());
        // Noise needs all that it may have; a buffer of two seconds may be over or under at the end.
        let kbits = bytes * 8 * 25 / 1_000 / u64::try_from(pictures.len()).unwrap();
        let percent = kbits * 100 / u64::from(target.video_kbits);
        assert!((70..125).contains(&percent), "{profile}: {kbits} kbit/s");
        let keys: Vec<f64> = pictures.iter().filter(|(_, key)| *key).map(|(time, _)| *time).collect();
        assert!(pictures[0].1 && keys.len() >= 4, "{profile}: key frames at {keys:?}");
        assert!(keys.windows(2).all(|two| two[1] - two[0] < 1.1), "{profile}: key frames at {keys:?}");
        let seen = inspect(&made.stdout);
        assert!(seen.gaps.is_empty() && seen.first_key_frame.is_some(), "{profile}");
    }
}

#[test]
fn small_and_fast_sources_are_not_made_larger_or_faster() {
    let folder = Folder::new();
    // Half of sixty, of an odd size; and a picture that FFmpeg makes by itself.
    let how = [
        "-r",
        "60",
        "-s",
        "426x242",
        "-aspect",
        "426:242",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-c:a",
        "aac",
        "-f",
        "mpegts",
    ];
    let file = make(&folder.path().join("small.ts"), 2, &how);
    for (source, profile, size, rate) in [
        (stream(), Profile::Internet720, (416, 242), "30/1"),
        (stream(), Profile::Heavy, (416, 242), "60/1"),
        (Source::Demo(DemoIndex(0)), Profile::Internet240, (432, 240), "25/1"),
    ] {
        let treatment = Treatment::Transcode(profile.target().unwrap(), Encoder::Software);
        let mut arguments = recipe(&source, Reader::of(&source), "x", treatment).args().to_vec();
        // The demo channel does not end.
        let end = arguments.len() - 1;
        arguments.splice(end..end, ["-t".to_owned(), "2".to_owned()]);
        let made = cook_from(Path::new("ffmpeg"), &arguments, &file);
        let capture = folder.write("capture.ts", &made.stdout);
        let video = &probe(&capture)["video"];
        assert_eq!((&video["width"], &video["height"]), (&size.0.into(), &size.1.into()), "{profile}");
        assert_eq!(video["r_frame_rate"], rate, "{profile}");
    }
}

/// What is at stake: lines that are no multiple of 64 come out skewed from a Raspberry Pi. Tried with libx264 in the
/// encoder's place, behind the same filters.
#[test]
fn the_raspberry_pi_gets_whole_lines() {
    let folder = Folder::new();
    let file = make(&folder.path().join("odd.ts"), 1, &["-s", "854x482", "-c:v", "libx264", "-f", "mpegts"]);
    for (profile, size) in
        [(Profile::Heavy, (832, 482)), (Profile::Internet480, (832, 480)), (Profile::Internet240, (448, 240))]
    {
        let treatment = Treatment::Transcode(profile.target().unwrap(), encoder("v4l2m2m:video11"));
        let mut arguments = recipe(&stream(), Reader::TransportStream, "x", treatment).args().to_vec();
        let at = arguments.iter().position(|argument| argument == "-num_capture_buffers").unwrap();
        arguments.drain(at..at + 2);
        arguments[at - 1] = "libx264".to_owned();
        let made = cook_from(Path::new("ffmpeg"), &arguments, &file);
        let video = &probe(&folder.write("capture.ts", &made.stdout))["video"];
        assert_eq!((&video["width"], &video["height"]), (&size.0.into(), &size.1.into()), "{profile}");
    }
}

// ---- Hardware ---------------------------------------------------------------------------------------------------

/// What is at stake: a trial on a computer without the device, or with a driver that does not work, must end soon and
/// say why. Tried with the installed FFmpeg; a computer that has the device may pass.
#[test]
fn the_installed_ffmpeg_says_why_an_encoder_does_not_work() {
    for name in HARDWARE {
        let asked = Instant::now();
        let made = cook(Path::new("ffmpeg"), trial(encoder(name)).args());
        assert!(asked.elapsed() < Duration::from_secs(10), "{name}");
        if made.status.success() {
            continue;
        }
        let words = String::from_utf8_lossy(&made.stderr);
        let ended = Ended { how: How::Exit, had_output: false, words: &words };
        assert_eq!(blame(encoder(name), &ended), Blame::Encoder, "{name}: {words}");
        let mut seen = Trial::new(Mono(0), encoder(name));
        seen.output(Mono(1), &made.stdout);
        let Outcome::Fails(shown) = seen.end(TrialEnd::Failed(&words)) else { panic!("{name}") };
        assert!(!shown.is_empty() && !shown.contains("0x") && !shown.starts_with("Error parsing"), "{name}: {shown}");
    }
}

/// What is at stake: an option that FFmpeg does not know would make an encoder fail its trial for ever. Tried by leaving
/// the device away: FFmpeg must then miss the device, and nothing else.
#[test]
fn the_installed_ffmpeg_knows_every_option_that_encoders_are_told() {
    for (name, misses) in [
        ("v4l2m2m:video11", "valid device"),
        ("vaapi:renderD128", "hwupload"),
        ("qsv:renderD128", "hwupload"),
        ("nvenc:0", "hwupload"),
    ] {
        let device = ["-init_hw_device", "-filter_hw_device", "-hwaccel", "-hwaccel_device", "-hwaccel_output_format"];
        let mut arguments = Vec::new();
        let told = trial(encoder(name));
        let mut rest = told.args().iter();
        while let Some(argument) = rest.next() {
            if device.contains(&argument.as_str()) {
                rest.next();
            } else {
                arguments.push(argument.clone());
            }
        }
        let made = cook(Path::new("ffmpeg"), &arguments);
        let words = String::from_utf8_lossy(&made.stderr);
        assert!(!made.status.success() && words.contains(misses), "{name}: {words}");
        for unknown in ["Option not found", "Unrecognized option", "Error initializing filter", "Unable to parse"] {
            assert!(!words.contains(unknown), "{name}: {words}");
        }
        // The encoder's own options, for which its device must not be missing earlier.
        let (_, known) = run("ffmpeg", &["-hide_banner", "-h", &format!("encoder={}", encoder(name).codec())]);
        let at = told.args().iter().position(|argument| argument == "-c:v").unwrap();
        for option in told.args()[at + 2..].iter().filter(|argument| argument.starts_with('-')) {
            let common = ["-bf", "-g", "-b:v", "-maxrate", "-bufsize", "-force_key_frames", "-level:v", "-metadata"];
            if common.contains(&option.as_str()) {
                continue;
            }
            if option == "-max_interleave_delta" {
                break;
            }
            let option = option.split(':').next().unwrap();
            assert!(known.contains(&format!("  {option} ")), "{name} does not know {option}:\n{known}");
        }
    }
}

// ---- The house, with a fake FFmpeg --------------------------------------------------------------------------------

/// Fails like the real one, by encoder; software is the real one.
const FAKE: &str = r#"#!/bin/sh
case "$*" in
*h264_vaapi*)
    echo "[AVHWDeviceContext @ 0x562ed7861980] No VA display found for device /dev/dri/renderD128." >&2
    echo "Device creation failed: -22." >&2
    echo "Failed to set value 'vaapi=va:/dev/dri/renderD128' for option 'init_hw_device': Invalid argument" >&2
    echo "Error parsing global options: Invalid argument" >&2
    exit 1 ;;
*h264_nvenc*) kill -SEGV $$ ;;
*h264_rkmpp*) exec sleep 1000 ;;
*h264_v4l2m2m*)
    # As the plain FFmpeg does on a Raspberry Pi 4: parameter sets before the first key frame only.
    exec ffmpeg -v error -nostdin -f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 30 -c:v libx264 -g 25 \
        -bsf:v "filter_units=remove_types=7-8" -f mpegts pipe:1 ;;
*) exec ffmpeg "$@" ;;
esac
"#;

struct House {
    folder: Folder,
    program: PathBuf,
}

type Ending = Pin<Box<dyn Future<Output = io::Result<ExitStatus>>>>;

impl House {
    fn new() -> Self {
        let folder = Folder::new();
        let program = folder.write("fake-ffmpeg", FAKE);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, program }
    }

    fn start(&self, recipe: &Recipe) -> io::Result<Started<ChildStdout, ChildStderr, Ending>> {
        let mut child = tokio::process::Command::new(&self.program)
            .args(recipe.args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (output, words) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Ok(Started { output, words, end: Box::pin(async move { child.wait().await }) })
    }

    /// Tries all encoders as the daemon does.
    fn try_all(&self, encoding: &Encoding, busy: impl Future<Output = ()>) -> bool {
        let start = async |recipe: &Recipe| Some(self.start(recipe));
        block_on(encoding.try_all(start, busy))
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn states(encoding: &Encoding) -> Vec<(String, &'static str, String)> {
    let shown = encoding.shown().into_iter();
    shown.map(|one| (one.name, one.state, one.says.unwrap_or_default())).collect()
}

/// What is at stake: the trial at start, whatever encoders do in it. Tried with one that fails, one that crashes, one
/// that hangs, one that nobody could join, one that is not there, and the real libx264.
#[test]
fn trials_end_and_tell_what_works() {
    let house = House::new();
    let names = ["vaapi:renderD128", "nvenc:0", "rkmpp", "v4l2m2m:video11", "qsv:renderD129"];
    let encoding = Encoding::new(&candidates(&names), |node| node != "/dev/dri/renderD129");
    assert_eq!(encoding.can_transcode(), None);
    let starts = Rc::new(RefCell::new(Vec::new()));
    let start = async |recipe: &Recipe| {
        starts.borrow_mut().push((recipe.args().contains(&"h264_rkmpp".to_owned()), Instant::now()));
        Some(house.start(recipe))
    };
    assert!(block_on(encoding.try_all(start, std::future::pending())));
    let starts = starts.borrow();
    assert_eq!(starts.len(), 5, "each once, and nothing where the device is missing");
    let hung = starts.windows(2).find(|two| two[0].0).map(|two| two[1].1 - two[0].1).unwrap();
    assert!((10..12).contains(&hung.as_secs()), "{hung:?}");
    let states = states(&encoding);
    for ((name, state, says), (wanted, word)) in states.iter().zip([
        ("fails", "No VA display found for device /dev/dri/renderD128."),
        ("fails", "signal: 11"),
        ("fails", "no picture within 10 seconds"),
        ("fails", "parameter sets"),
        ("fails", "/dev/dri/renderD129 is not there"),
        ("works", ""),
    ]) {
        assert!(*state == wanted && says.contains(word), "{name}: {state} {says}");
    }
    let software = encoding.shown().pop().unwrap();
    assert!(software.speed_percent.unwrap() > 10 && software.start_ms.unwrap() < 10_000, "{software:?}");
    assert_eq!(encoding.can_transcode(), Some(software.speed_percent.unwrap() >= 100));
    let json = serde_json::to_value(encoding.shown()).unwrap();
    assert_eq!((&json[5]["name"], &json[5]["codec"]), (&"software".into(), &"libx264".into()));
}

#[test]
fn a_trial_gives_way_to_a_viewer_and_is_made_up_for() {
    let house = House::new();
    let encoding = Encoding::new(&candidates(&["rkmpp"]), |_| true);
    let began = Instant::now();
    let viewer = async { tokio::time::sleep(Duration::from_millis(300)).await };
    assert!(!house.try_all(&encoding, viewer));
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(states(&encoding)[0].1, "untried");
    // No permit: nothing is started, nothing is learnt.
    let none = async |_: &Recipe| None::<io::Result<Started<ChildStdout, ChildStderr, Ending>>>;
    assert!(!block_on(encoding.try_all(none, std::future::pending())));
    assert_eq!(states(&encoding)[1].1, "untried");
    // Meanwhile software is trusted.
    let choice = encoding.choose(ChannelId(1), Profile::Internet720).unwrap().unwrap();
    assert_eq!(choice.encoder, Encoder::Software);
}

#[test]
fn without_ffmpeg_nothing_works_and_nothing_is_promised() {
    let encoding = Encoding::new(&Candidates::new(), has_device);
    let missing = async |_: &Recipe| {
        let error = Err::<Started<ChildStdout, ChildStderr, Ending>, _>(io::Error::from(io::ErrorKind::NotFound));
        Some(error)
    };
    assert!(block_on(encoding.try_all(missing, std::future::pending())));
    assert_eq!(encoding.can_transcode(), Some(false));
    assert_eq!(encoding.choose(ChannelId(1), Profile::Mobile), Err(Cannot::NoEncoder));
}

/// What is at stake: a chip that worked in its trial and fails when it counts. The viewer's second attempt must play,
/// and nobody may go on asking the chip.
#[test]
fn software_takes_over_from_a_chip_that_fails_while_running() {
    let house = House::new();
    let file = make(
        &house.folder.path().join("source.ts"),
        3,
        &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-f", "mpegts"],
    );
    let (slot, channel) = (SlotIndex(0), ChannelId(1));
    // The trial of a chip that works: the real libx264 stands in for it.
    let encoding = Encoding::new(&candidates(&["vaapi:renderD128", "nvenc:0"]), |_| true);
    let good = async |_: &Recipe| Some(house.start(&trial(Encoder::Software)));
    assert!(block_on(encoding.try_all(good, std::future::pending())));

    let attempts = Rc::new(Cell::new(0));
    let attempt = || -> (Choice, Output) {
        attempts.set(attempts.get() + 1);
        let choice = encoding.choose(channel, Profile::Internet240).unwrap().unwrap();
        encoding.started(slot, channel, Profile::Internet240, choice);
        (
            choice,
            cook_from(
                &house.program,
                recipe(&stream(), Reader::TransportStream, "Test", choice.treatment()).args(),
                &file,
            ),
        )
    };
    let end = |made: &Output| {
        let how = made.status.signal().map_or(How::Exit, How::Signal);
        // `timeout` passes a crash on as an exit code.
        let how = if made.status.code() == Some(139) { How::Signal(11) } else { how };
        let words = String::from_utf8_lossy(&made.stderr);
        encoding.ended(slot, &Ended { how, had_output: !made.stdout.is_empty(), words: &words })
    };
    let (choice, made) = attempt();
    assert_eq!(choice.encoder, encoder("vaapi:renderD128"));
    assert!(end(&made), "another encoder takes over");
    // The next chip of the box has its chance, and crashes.
    let (choice, made) = attempt();
    assert_eq!(choice.encoder, encoder("nvenc:0"));
    assert!(end(&made));
    let (choice, made) = attempt();
    assert_eq!(choice.encoder, Encoder::Software);
    assert!(made.status.success());
    let capture = house.folder.write("capture.ts", &made.stdout);
    assert_eq!(probe(&capture)["video"]["height"], 180, "and it is not made larger");
    assert!(!end(&made));
    assert_eq!(attempt().0.encoder, Encoder::Software, "the chips rest");
    let shown = encoding.shown();
    assert_eq!((shown[0].state, shown[0].failures), ("rests", 1));
    assert!(shown[0].says.as_ref().unwrap().contains("No VA display found"), "{shown:?}");
    assert!((50..=60).contains(&shown[0].rests_s.unwrap()), "{shown:?}");
    assert_eq!(attempts.get(), 4);
}

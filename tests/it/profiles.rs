//! `transcode=` as clients ask for it: what they get, who shares it, what the box says it is, and what happens when an
//! encoder dies (F18).
//!
//! Trials take a moment of a machine that other tests keep busy, so that their outcome is put in their place: a file
//! that is given back at once, or slowly. What viewers get is really encoded, unless the fake FFmpeg plays.

use crate::faults::{all_failures, as_strs, mounting, whole};
use crate::kit::fakeff::{Fake, Metrics, address_of};
use crate::kit::media::{decode_errors, inspect, make, read_bytes, read_for};
use crate::kit::source::Source;
use crate::kit::{Daemon, SOON, Setup, http, is_alive, run, wait_until};
use crate::transcode::{cook, probe};
use pure::model::encoder::Encoder;
use pure::model::profile::{Profile, Size};
use pure::model::recipe::trial;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Key of all trials in the script of the fake FFmpeg, and mark of them for a shell.
const TRIAL: &str = "testsrc2";
/// A trial that shows a fast encoder.
const FAST: &str = "speed=20, exit_after=400, exit_code=0";

fn open(daemon: &Daemon, target: &str) -> TcpStream {
    let (answer, stream) = http::open(daemon.address(), 5004, target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.head);
    stream
}

/// A setup that transcodes with the real FFmpeg; trials give back what one made, once `pause` seconds are over in the
/// midst of it; without a pause in one go, so that a busy machine does not make a slow encoder of it.
pub(crate) fn setup(pause: u32) -> Setup {
    let mut setup = Setup::new();
    let made = cook(Path::new("ffmpeg"), trial(Encoder::Software).args());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (head, tail) = made.stdout.split_at(if pause == 0 { 0 } else { made.stdout.len() / 2 });
    let (head, tail) = (setup.folder.write("head.ts", head), setup.folder.write("tail.ts", tail));
    let (head, tail) = (head.display(), tail.display());
    setup.fake_ffmpeg(&format!(
        "case \"$*\" in *{TRIAL}*) cat {head}; sleep {pause}; exec cat {tail} ;; esac\nexec ffmpeg \"$@\""
    ));
    setup.set("transcode", "enabled = true");
    setup
}

fn wait_for_trials(daemon: &Daemon) {
    wait_until("all encoders are tried", SOON, || {
        let status = daemon.status();
        let encoders = status["encoders"].as_array().unwrap();
        !encoders.is_empty() && encoders.iter().all(|encoder| encoder["state"] != "untried")
    });
}

/// The states of all tuners that play, with their profiles.
fn playing(daemon: &Daemon) -> Vec<Option<String>> {
    let status = daemon.status();
    let tuners = status["tuners"].as_array().unwrap().iter().filter(|tuner| tuner["state"] == "playing");
    tuners.map(|tuner| tuner["profile"].as_str().map(str::to_owned)).collect()
}

/// The model in all the places where clients read it, which must agree; and the firmware's name.
fn model(daemon: &Daemon) -> (String, String) {
    let discover: serde_json::Value = serde_json::from_slice(&daemon.get("/discover.json").body).unwrap();
    let text = |key: &str| discover[key].as_str().unwrap().to_owned();
    let (model, firmware) = (text("ModelNumber"), text("FirmwareName"));
    let device = daemon.get("/device.xml");
    for element in ["modelName", "modelNumber"] {
        assert!(device.text().contains(&format!("<{element}>{model}</{element}>")), "{}", device.text());
    }
    assert_eq!(daemon.status()["model"], *model);
    let address = daemon.address().to_string();
    for (variable, told) in [("/sys/hwmodel", &model), ("/sys/model", &firmware)] {
        assert_eq!(run("hdhomerun_config", &[&address, "get", variable]).1.trim_end(), told);
    }
    (model, firmware)
}

/// What is at stake: the table that clients were told of (section 4.8 of the protocol's notes: sizes, H.264 and AAC).
/// Tried over HTTP, a channel for each profile, with a source of 1080 lines.
#[test]
fn each_profile_is_what_clients_are_told() {
    let mut setup = setup(0);
    let how = ["-s", "1920x1080", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "ac3", "-f", "mpegts"];
    let source = Source::file(&make(&setup.folder.path().join("large.ts"), 4, &how));
    let channels = (1..=8).fold("#EXTM3U\n".to_owned(), |all, index| {
        all + &format!("#EXTINF:-1,Large {index}\n{}\n", source.url(&format!("/{index}.ts")))
    });
    setup.playlist(channels);
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    wait_for_trials(&daemon);
    for (channel, profile) in (1..).zip(Profile::ALL) {
        // As Plex and Jellyfin append it, without looking.
        let mut stream = open(&daemon, &format!("/auto/v{channel}?duration=4?transcode={profile}"));
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert!(inspect(&bytes).gaps.is_empty(), "{profile}");
        let capture = daemon.setup.folder.write("capture.ts", &bytes);
        let streams = probe(&capture);
        let (video, audio) = (&streams["video"], &streams["audio"]);
        let size = profile.target().map(|target| target.size(Size { width: 1920, height: 1080 }, 1, 1));
        let size = size.unwrap_or(Size { width: 1920, height: 1080 });
        assert_eq!((&video["width"], &video["height"]), (&size.width.into(), &size.height.into()), "{profile}");
        let sound = if profile == Profile::None { "ac3" } else { "aac" };
        assert_eq!((&video["codec_name"], &audio["codec_name"]), (&"h264".into(), &sound.into()), "{profile}");
        assert_eq!(decode_errors(&capture), "", "{profile}");
    }
}

#[test]
fn a_profile_that_nobody_knows_is_802_and_takes_no_tuner() {
    let mut setup = setup(0);
    setup.set("slots", "count = 1");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    for target in ["/auto/v1.1?transcode=huge", "/tuner0/v1.1?transcode=HEAVY", "/auto/ch57000000-1?x?transcode=heavy;"]
    {
        for method in ["GET", "HEAD"] {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let answer = http::ask(daemon.address(), 5004, &request);
            assert_eq!(answer.status, 503, "{target}");
            assert_eq!(answer.header("x-hdhomerun-error"), Some("802 Unknown Transcode Profile"));
            assert!(answer.body.is_empty());
        }
    }
    assert_eq!(daemon.tuner_states(), ["free"]);
    for target in ["/tuner0/v1.1?transcode=", "/auto/v1.1?transcode=none", "/auto/v1.1"] {
        read_bytes(&mut open(&daemon, target), 188);
    }
    assert_eq!(whole(Metrics::of(&daemon).sum("tunerd_ffmpeg_spawn_total")), 1, "all of that is one picture");
    // By tuner, and by frequency.
    read_bytes(&mut open(&daemon, "/tuner0/v1.2?transcode=mobile"), 188);
    assert_eq!(playing(&daemon), [Some("mobile".to_owned())]);
    read_bytes(&mut open(&daemon, "/tuner0/ch57000000-1?transcode=internet240"), 188);
    assert_eq!(playing(&daemon), [Some("internet240".to_owned())]);
}

#[test]
fn one_picture_has_one_child_and_another_profile_is_another_picture() {
    let (fake, mut setup) = Fake::setup(&[]);
    fake.script(&format!("{TRIAL}: {FAST}\n"));
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,One\n{}\n", address_of("one")));
    setup.set("transcode", "enabled = true");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    wait_for_trials(&daemon);
    let mut streams: Vec<TcpStream> = ["heavy", "heavy", "none", "mobile", "heavy", "none"]
        .iter()
        .map(|profile| open(&daemon, &format!("/auto/v1?transcode={profile}")))
        .collect();
    for stream in &mut streams {
        read_bytes(stream, 188);
    }
    let heavy = || Some("heavy".to_owned());
    assert_eq!(playing(&daemon), [heavy(), None, Some("mobile".to_owned())]);
    assert_eq!(daemon.children().len(), 3);
    assert_eq!(daemon.status()["encoders"][0]["streams"], 2);
    // What encodes for nobody makes room for the next one.
    drop(streams);
    wait_until("nobody watches", SOON, || {
        daemon.status()["tuners"]
            .as_array()
            .unwrap()
            .iter()
            .all(|tuner| tuner["viewers"].as_array().unwrap().is_empty())
    });
    let _stream = open(&daemon, "/auto/v1?transcode=internet360");
    assert!(!playing(&daemon).contains(&heavy()));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.ended(SOON).success());
}

/// What is at stake: clients take `HDTC` in the model for a promise, so a box that cannot keep it must not make it
/// (trap 32). Tried with encoders that are good, bad, and good again when a person has them tried.
#[test]
fn the_model_promises_what_the_trials_have_shown() {
    let (fake, mut setup) = Fake::setup(&[("one", "live")]);
    setup.set("transcode", "enabled = true");
    fake.script(&format!("{TRIAL}: exit_code=1, exit_after=0\n"));
    let daemon = setup.start();
    assert_eq!(model(&daemon).0, "HDHR5-4US", "nothing is promised before it is known");
    daemon.wait_for_log("no encoder works on this box");
    assert_eq!(model(&daemon), ("HDHR5-4US".to_owned(), "hdhomerun5_atsc".to_owned()));
    let encoder = &daemon.status()["encoders"][0];
    assert_eq!((&encoder["name"], &encoder["state"]), (&"software".into(), &"fails".into()));
    // A client that asks all the same gets the channel as it is.
    read_bytes(&mut open(&daemon, "/auto/v1?transcode=heavy"), 188);
    assert_eq!(playing(&daemon), [None]);

    fake.script(&format!("{TRIAL}: {FAST}\n"));
    let request = |origin: &str| {
        let head =
            "POST /api/v1/encoders/try HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n";
        http::ask(daemon.address(), 8080, &format!("{head}{origin}\r\n")).status
    };
    assert_eq!(request("Origin: http://evil.example\r\n"), 403);
    assert_eq!(daemon.get("/api/v1/encoders/try").status, 405);
    assert_eq!(request(""), 204);
    wait_until("the box is another model", SOON, || daemon.status()["model"] == "HDTC-2US");
    assert_eq!(model(&daemon), ("HDTC-2US".to_owned(), "hdhomeruntc_atsc".to_owned()));
    assert!(daemon.has_logged("this box can make its channels smaller: software at "), "{}", daemon.log());
}

#[test]
fn a_box_that_is_not_to_transcode_starts_nothing_and_promises_nothing() {
    let (fake, mut setup) = Fake::setup(&[("one", "live")]);
    setup.set("transcode", "enabled = false");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    read_bytes(&mut open(&daemon, "/auto/v1?transcode=heavy"), 188);
    assert_eq!(playing(&daemon), [None]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(fake.log().iter().filter(|line| line.event == "start").count(), 1);
    assert_eq!((model(&daemon).0.as_str(), daemon.status()["encoders"].as_array().unwrap().len()), ("HDHR5-4US", 0));
}

#[test]
fn a_box_that_is_busy_makes_less_or_says_so() {
    // A fifth of what 720 lines need: one stream of 240 lines, and no second one.
    let mut setup = setup(5);
    setup.set("slots", "count = 4");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    wait_for_trials(&daemon);
    assert_eq!(model(&daemon).0, "HDHR5-4US");
    let mut stream = open(&daemon, "/auto/v1.1?transcode=heavy&duration=3");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let capture = daemon.setup.folder.write("capture.ts", &bytes);
    assert_eq!(probe(&capture)["video"]["height"], 240);
    let _one = open(&daemon, "/auto/v1.1?transcode=heavy");
    let _joins = open(&daemon, "/auto/v1.1?transcode=heavy");
    let (answer, _) = http::open(daemon.address(), 5004, "/auto/v1.2?transcode=mobile");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-hdhomerun-error"), Some("803 System Busy"));
    assert_eq!(answer.header("retry-after"), Some("10"));
    read_bytes(&mut open(&daemon, "/auto/v1.2"), 188);
}

/// What is at stake: a box that has just been switched on is for its viewers. Tried with a trial that takes all the
/// time it may have: whoever asks gets his channel at once, and the trial is gone, and made up for later.
#[test]
fn a_trial_gives_way_to_a_viewer() {
    let (fake, mut setup) = Fake::setup(&[]);
    fake.script(&format!("{TRIAL}: silent | {FAST}\n"));
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,One\n{}\n", address_of("one")));
    setup.set("transcode", "enabled = true");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let trials =
        || fake.log().into_iter().filter(|line| line.event == "start" && line.key == TRIAL).collect::<Vec<_>>();
    wait_until("a trial runs", SOON, || trials().len() == 1);
    let asked = Instant::now();
    let mut stream = open(&daemon, "/auto/v1?transcode=heavy");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    wait_until("the trial is gone", Duration::from_secs(2), || !is_alive(trials()[0].pid));
    read_bytes(&mut stream, 188);
    // While he has pictures encoded the encoder is not tried.
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(trials().len(), 1);
    assert_eq!(playing(&daemon), [Some("heavy".to_owned())], "software is trusted until it was tried");
    drop(stream);
    wait_until("the box is another model", SOON, || daemon.status()["model"] == "HDTC-2US");
    assert_eq!((trials().len(), model(&daemon).0.as_str()), (2, "HDTC-2US"));
    // And the end of the daemon does not wait for one.
    fake.script(&format!("{TRIAL}: silent\n"));
    http::ask(
        daemon.address(),
        8080,
        "POST /api/v1/encoders/try HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    wait_until("a trial runs", SOON, || trials().len() == 3);
    let asked = Instant::now();
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.ended(SOON).success() && asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert!(!is_alive(trials()[2].pid));
}

/// A daemon with channels from 1 that believes in a render node, in a namespace of its own. Its VAAPI encoder passes the
/// trial and does `as_told` to the channels; Quick Sync is not there.
fn with_a_chip(as_told: &str, addresses: &[String]) -> (Fake, Daemon) {
    let (fake, mut setup) = Fake::setup(&[]);
    setup.playlist(
        addresses.iter().fold("#EXTM3U\n".to_owned(), |all, address| all + "#EXTINF:-1,Some\n" + address + "\n"),
    );
    setup.set("transcode", "enabled = true");
    fake.script(&format!(
        "h264_vaapi: {FAST} | {as_told}\nh264_qsv: exit_after=0, exit_code=1\nlibx264: {FAST} | live\n"
    ));
    let dev = setup.folder.path().join("dev");
    std::fs::create_dir(&dev).unwrap();
    let dev = dev.display();
    setup.wrapper(&as_strs(&mounting(&format!(
        "mount -t tmpfs none {dev}; mkdir {dev}/dri; touch {dev}/dri/renderD128 {dev}/null {dev}/urandom; \
         mount --bind /dev/null {dev}/null; mount --bind /dev/urandom {dev}/urandom; mount --rbind {dev} /dev"
    ))));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    wait_for_trials(&daemon);
    assert_eq!(encoders(&daemon), ["vaapi:renderD128 works", "qsv:renderD128 fails", "software works"]);
    wait_until("that is told", SOON, || daemon.status()["model"] == "HDTC-2US");
    (fake, daemon)
}

/// The encoders in their order, with their states.
fn encoders(daemon: &Daemon) -> Vec<String> {
    let status = daemon.status();
    let text = |encoder: &serde_json::Value, key: &str| encoder[key].as_str().unwrap().to_owned();
    let encoders = status["encoders"].as_array().unwrap().iter();
    encoders.map(|encoder| format!("{} {}", text(encoder, "name"), text(encoder, "state"))).collect()
}

fn starts(fake: &Fake, key: &str) -> usize {
    fake.log().iter().filter(|line| line.event == "start" && line.key == key).count()
}

/// F18. What is at stake: a driver that dies in the midst of a film. Tried with one that crashes three seconds into the
/// channel: the viewer keeps his connection, software goes on, and the channel is not to blame.
#[test]
fn f18_an_encoder_that_dies_is_replaced_by_software() {
    let (fake, daemon) = with_a_chip("exit_after=3000, signal=11", &[address_of("one")]);
    let mut stream = open(&daemon, "/auto/v1?transcode=internet540");
    let bytes = read_for(&mut stream, Duration::from_secs(8));
    let report = inspect(&bytes);
    assert!(report.gaps.is_empty() && report.packets > 500, "{report:?}");
    assert_eq!((starts(&fake, "h264_vaapi"), starts(&fake, "libx264")), (2, 2), "a trial and a stream each");
    assert_eq!(encoders(&daemon), ["vaapi:renderD128 rests", "qsv:renderD128 fails", "software works"]);
    assert!(daemon.has_logged("encoder failed; it rests, and others take over"), "{}", daemon.log());
    assert_eq!(all_failures(&daemon), 0, "the channel is not to blame");
    let status = daemon.status();
    assert!(status["channels_ill"].as_array().unwrap().is_empty(), "{status}");
    assert_eq!(status["encoders"][2]["streams"], 1);
    assert!(!read_bytes(&mut stream, 188 * 50).is_empty(), "and it goes on");
}

/// F18. The same with one that hangs: it cannot be told from a source that does, so that both get their due. The
/// attempt has failed, the next one is software's, and the encoder is kept for other channels.
#[test]
fn f18_an_encoder_that_hangs_is_not_asked_again_for_this_channel() {
    let (fake, daemon) = with_a_chip("silence_after=2000", &[address_of("one")]);
    let mut stream = open(&daemon, "/auto/v1?transcode=internet540");
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let bytes = read_for(&mut stream, Duration::from_secs(28));
    assert!(inspect(&bytes).gaps.is_empty());
    assert_eq!((starts(&fake, "h264_vaapi"), starts(&fake, "libx264")), (2, 2), "{}", daemon.log());
    assert_eq!(all_failures(&daemon), 1);
    assert_eq!(encoders(&daemon)[0], "vaapi:renderD128 works");
    assert!(daemon.has_logged("it is left to software"), "{}", daemon.log());
    assert!(!read_bytes(&mut stream, 188 * 50).is_empty(), "and it goes on");
}

/// What is at stake: a chip that is taken from a channel because its provider was away. Tried with one source that says
/// 404 and one that says nothing, and children that wait for them: the channels fail, and the chip is theirs all the same.
#[test]
fn f18_an_encoder_that_got_nothing_is_not_to_blame() {
    let (gone, silent) = (Source::fixed("HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n"), Source::silent());
    let (fake, daemon) = with_a_chip("silent", &[gone.url("/1.ts"), silent.url("/2.ts")]);
    let address = daemon.address();
    for channel in [1, 2] {
        std::thread::spawn(move || http::open(address, 5004, &format!("/auto/v{channel}?transcode=internet540")));
    }
    wait_until("both fail", Duration::from_secs(40), || all_failures(&daemon) == 2);
    wait_until("both have ended", SOON, || {
        daemon.status()["tuners"].as_array().unwrap().iter().all(|tuner| tuner["state"] == "free")
    });
    assert_eq!(starts(&fake, "h264_vaapi"), 3, "a trial and two channels");
    assert_eq!((gone.connections(), silent.connections()), (1, 1));
    assert_eq!(encoders(&daemon)[0], "vaapi:renderD128 works");
    assert!(!daemon.has_logged("it is left to software"), "{}", daemon.log());
}

/// Old clients name the profile where they set the channel.
#[test]
fn packets_to_a_target_have_the_profile_that_was_set() {
    let (fake, mut setup) = Fake::setup(&[("one", "live")]);
    setup.set("transcode", "enabled = true");
    fake.script(&format!("{TRIAL}: {FAST}\n"));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let target = format!("udp://{}", socket.local_addr().unwrap());
    let address = daemon.address().to_string();
    for (variable, value) in [("/tuner0/vchannel", "1 transcode=internet480"), ("/tuner0/target", &target)] {
        let (status, said) = run("hdhomerun_config", &[&address, "set", variable, value]);
        assert!(status.success(), "{said}");
    }
    assert_eq!(socket.recv(&mut [0; 2_000]).unwrap(), 1_316);
    assert_eq!(playing(&daemon), [Some("internet480".to_owned())]);
}

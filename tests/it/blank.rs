//! Channels that play and show nothing of use.

use crate::failover::{Watched, list, live, merge, source_in_use, watch_while};
use crate::kit::media::make_ts;
use crate::kit::source::Source;
use crate::kit::{Daemon, Folder, Setup, run, wait_until};
use crate::subscriptions::add;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BITS_PER_S: u64 = 1_200_000;
const GOOD_S: u32 = 12;
const BAD_S: u32 = 240;

/// A stream that is well for twelve seconds; then `pad` says what its picture becomes, and its sound is none.
fn make_ill(path: &Path, pad: &str) -> PathBuf {
    let video = format!("testsrc2=size=320x180:rate=25:duration={GOOD_S},tpad={pad}:stop_duration={BAD_S}");
    let audio = format!("sine=sample_rate=48000:duration={GOOD_S},apad=pad_dur={BAD_S}");
    let mut arguments = vec!["-v", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio];
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50"]);
    arguments.extend(["-b:v", "700k", "-maxrate", "700k", "-bufsize", "350k", "-c:a", "mp2", "-b:a", "64k"]);
    let (rate, path_text) = (BITS_PER_S.to_string(), path.to_str().unwrap());
    arguments.extend(["-muxrate", &rate, "-f", "mpegts", path_text]);
    let (status, said) = run("ffmpeg", &arguments);
    assert!(status.success(), "{said}");
    path.to_owned()
}

fn picture(daemon: &Daemon, number: &str) -> (String, Option<u64>) {
    let status = daemon.status();
    let mut tuners = status["tuners"].as_array().unwrap().iter();
    let tuner = tuners.find(|tuner| tuner["channel"]["number"] == number).unwrap();
    (tuner["picture"].as_str().unwrap().to_owned(), tuner["picture_since_s"].as_u64())
}

#[test]
fn a_picture_of_no_use_is_left_for_another_source_and_only_shown_without_one() {
    // At stake: an evening in front of a black picture although the list has another one; and a film that is dark for a
    // minute on the only source there is. Two channels have a second source and one does not; all three become
    // useless under their viewers.
    let folder = Folder::new();
    let black = make_ill(&folder.path().join("black.ts"), "stop_mode=add:color=black");
    let still = make_ill(&folder.path().join("still.ts"), "stop_mode=clone");
    let (spare, _) = live(&make_ts(&folder.path().join("spare.ts"), 90), 90);
    let [first, second, alone] = [&black, &still, &black].map(|file| Source::live_at(file, BITS_PER_S));
    let entries =
        [("Black", &first), ("SpareBlack", &spare), ("Still", &second), ("SpareStill", &spare), ("Alone", &alone)];
    let provider = Source::document(list(&entries));
    let mut setup = Setup::new();
    setup.set("health", "glance = true");
    let daemon = setup.start();
    daemon.wait_for_lineup();
    add(&daemon, &json!({"kind": "playlist", "address": provider.url("/list.m3u")}));
    for name in ["Black", "Still"] {
        merge(&daemon, &format!("{name}&limit=1"), &format!("Spare{name}"));
    }
    let number = |name: &str| daemon.channels().into_iter().find(|(_, of)| of == name).unwrap().0;
    let numbers = ["Black", "Still", "Alone"].map(number);

    let (began, is_over) = (Instant::now(), Arc::<AtomicBool>::default());
    let viewers = numbers.clone().map(|number| {
        let is_over = Arc::clone(&is_over);
        watch_while(&daemon, number.parse().unwrap(), move || !is_over.load(Ordering::SeqCst))
    });
    let source = |index: usize| source_in_use(&daemon, &numbers[index]);
    wait_until("all play", Duration::from_secs(20), || (0..3).all(|index| source(index) == Some(0)));
    wait_until("they are looked at", Duration::from_secs(60), || {
        numbers.iter().all(|number| picture(&daemon, number).0 == "ok")
    });
    for (index, words) in
        ["shows a black picture since", "shows a picture in which nothing moves since"].iter().enumerate()
    {
        wait_until("the second source plays", Duration::from_secs(150), || source(index) == Some(1));
        daemon.wait_for_log(words);
    }
    assert!(began.elapsed() > Duration::from_secs(u64::from(GOOD_S) + 30), "not before it lasted");
    wait_until("the third is black", Duration::from_secs(60), || picture(&daemon, &numbers[2]).0 == "black");
    assert!(picture(&daemon, &numbers[2]).1.unwrap() >= 30);
    wait_until("the spares show something", Duration::from_secs(60), || {
        [0, 1].iter().all(|index| picture(&daemon, &numbers[*index]).0 == "ok")
    });
    let metrics = String::from_utf8(daemon.get("/metrics").body).unwrap();
    for line in [
        "tunerd_picture_bad_total{sight=\"black\"} 2",
        "tunerd_picture_bad_total{sight=\"frozen\"} 1",
        "tunerd_failure_total{class=\"blank\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    is_over.store(true, Ordering::SeqCst);
    for (viewer, name) in viewers.into_iter().zip(["Black", "Still", "Alone"]) {
        let Watched { longest, closed, .. } = viewer.join().unwrap();
        assert!(!closed, "the viewer of {name} was sent away");
        assert!(longest < Duration::from_secs(8), "the viewer of {name} got nothing for {longest:?}");
    }
    assert_eq!(source(2), Some(0), "nothing is done where there is nothing better");
    assert_eq!(alone.connections(), 1);
}

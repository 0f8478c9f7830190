//! Slates: what a viewer is shown while his channel has no picture, as FFmpeg meets it.

use crate::kit::media::{decode_errors, inspect, make};
use crate::kit::source::{Manner, Source};
use crate::kit::{Daemon, Setup, http, run, wait_until};
use crate::seam::{decoding_times, runs_backwards};
use pure::wire::ts::PACKET_BYTES;
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A source that can be killed and come back, a daemon, and a viewer who reads on and on.
struct Story {
    source: Source,
    live: Manner,
    daemon: Daemon,
    got: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<Instant>,
}

const GONE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const MOMENT: Duration = Duration::from_secs(10);

impl Story {
    fn begin(how: &[&str]) -> Self {
        let mut setup = Setup::new();
        let file = make(&setup.folder.path().join("source.ts"), 20, how);
        let live = Manner::Live(file.clone(), fs::metadata(&file).unwrap().len() * 8 / 20);
        let source = Source::file(&file);
        source.turn(live.clone());
        setup
            .playlist(format!("#EXTM3U\n#EXTINF:-1 tvg-chno=\"5.1\",SPÖRT: [in]%{{n}}'\n{}\n", source.url("/live.ts")));
        setup.set("health", "slates = true");
        let daemon = setup.start();
        daemon.wait_for_log("playlist loaded");
        let (answer, stream) = http::open(daemon.address(), 5004, "/auto/v5.1");
        assert_eq!(answer.status, 200);
        let got = Arc::<Mutex<Vec<u8>>>::default();
        let reader = read_on(stream, Arc::clone(&got));
        // As long as it takes to look at the picture once, and to know how wide it is.
        wait_until("it is healthy", MOMENT, || daemon.status()["tuners"][0]["health"] == "healthy");
        Self { source, live, daemon, got, reader }
    }

    fn slate(&self) -> Option<String> {
        self.daemon.status()["tuners"][0]["slate"].as_str().map(str::to_owned)
    }

    fn slates_shown(&self) -> u64 {
        let metrics = http::get(self.daemon.address(), 8080, "/metrics");
        let line = metrics.text().lines().find_map(|line| line.strip_prefix("tunerd_slates_shown ")).unwrap();
        line.parse().unwrap()
    }

    fn got_len(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// What he got so far, in a file: up to the picture that has only begun.
    fn capture(&self) -> PathBuf {
        let got = self.got.lock().unwrap();
        let begins = |packet: &[u8]| packet[1] & 0x5F == 0x41 && packet[2] == 0;
        let end = got.chunks_exact(PACKET_BYTES).rposition(begins).unwrap() * PACKET_BYTES;
        self.daemon.setup.folder.write("capture.ts", &got[..end])
    }
}

/// Reads until the connection is closed; says when that was.
fn read_on(mut stream: TcpStream, got: Arc<Mutex<Vec<u8>>>) -> JoinHandle<Instant> {
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = stream.read(&mut piece) {
            got.lock().unwrap().extend_from_slice(&piece[..len]);
        }
        Instant::now()
    })
}

/// Whether each picture of a stream is a slate: dark paper with a little light ink.
fn slates(capture: &Path, stream: &str) -> Vec<bool> {
    const DOTS: usize = 320 * 180;
    let pictures = capture.with_extension("gray");
    let arguments =
        ["-v", "error", "-y", "-i", capture.to_str().unwrap(), "-map", stream, "-vf", "scale=320:180,format=gray"];
    let (status, said) = run(
        "ffmpeg",
        &[&arguments[..], &["-fps_mode", "passthrough", "-f", "rawvideo", pictures.to_str().unwrap()]].concat(),
    );
    assert!(status.success(), "{said}");
    let is_slate = |picture: &[u8]| {
        let paper = picture.iter().filter(|dot| (20..36).contains(*dot)).count();
        let ink = picture.iter().filter(|dot| **dot > 160).count();
        paper > DOTS * 7 / 10 && ink > 500
    };
    fs::read(pictures).unwrap().chunks_exact(DOTS).map(is_slate).collect()
}

/// Kills the source of a channel under a viewer, lets it come back, and looks at all that he got.
fn a_source_that_returns(how: &[&str], has_own_stream: bool) {
    let story = Story::begin(how);
    assert_eq!((story.slate(), story.slates_shown()), (None, 0), "nobody needs one");
    story.source.turn(Manner::Fixed(GONE.into()));
    let killed_at = Instant::now();
    wait_until("a slate says when the next try is", 2 * MOMENT, || {
        story
            .slate()
            .is_some_and(|says| says.contains(" Next try at ") && says.contains("it answers with an HTTP error"))
    });
    assert!(killed_at.elapsed() >= Duration::from_secs(2), "a quick restart shows nothing");
    assert_eq!(story.slates_shown(), 1);
    story.source.turn(story.live.clone());
    let attempts = story.source.connections();
    std::thread::sleep(Duration::from_secs(5));
    let health = &story.daemon.status()["tuners"][0]["state"];
    assert_eq!(health, "waiting", "a slate is no picture of the channel's");
    wait_until("the source is tried again", Duration::from_secs(40), || story.source.connections() > attempts);
    wait_until("it plays", MOMENT, || story.daemon.status()["tuners"][0]["state"] == "playing");
    let gap = killed_at.elapsed();
    assert!((25..40).contains(&gap.as_secs()), "the guard's times are what they were: {gap:?}");
    assert_eq!((story.slate(), story.slates_shown()), (None, 0));
    wait_until("it is found healthy", MOMENT, || story.daemon.status()["tuners"][0]["health"] == "healthy");
    assert!(!story.reader.is_finished(), "his connection stayed");

    let capture = story.capture();
    let report = inspect(&fs::read(&capture).unwrap());
    assert!(report.gaps.is_empty(), "{report:?}");
    assert_eq!(decode_errors(&capture), "");
    let times = decoding_times(&capture);
    assert!(!runs_backwards(&times));
    // From two seconds into the gap, and some more where the box is busy, to its end.
    let shown_min = 25 * usize::try_from(gap.as_secs() - 12).unwrap();
    if has_own_stream {
        assert_eq!(times.len(), 3, "{:?}", times.keys());
        assert!(!slates(&capture, "0:v:0").contains(&true));
        let slates = slates(&capture, "0:v:1");
        assert!(slates.len() > shown_min && !slates.contains(&false), "{} pictures in {gap:?}", slates.len());
        return;
    }
    let slates = slates(&capture, "0:v:0");
    let first = slates.iter().position(|is_slate| *is_slate).unwrap();
    let shown = slates[first..].iter().take_while(|is_slate| **is_slate).count();
    let rest = &slates[first + shown..];
    assert!(shown > shown_min, "{shown} pictures in {gap:?}");
    assert!(first > 50 && rest.len() > 50 && !rest.contains(&true), "{first} before, {} behind", rest.len());
    assert_eq!(times.len(), 2, "{:?}", times.keys());
    for times in times.values() {
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(longest < 1.2, "{longest} s without a stamp");
        let lasts = times.last().unwrap() - times[0];
        assert!(lasts > gap.as_secs_f64(), "{lasts} s");
    }
}

#[test]
fn a_viewer_is_shown_why_he_has_no_picture_until_he_has_one_again() {
    // At stake: players freeze or give up where nothing comes. The source of a channel is killed under a viewer and
    // comes back. In the gap he gets pictures with words, and all that he got is one stream without a flaw.
    a_source_that_returns(&["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-f", "mpegts"], false);
}

#[test]
fn a_slate_fits_a_channel_of_other_codecs() {
    // Its own picture has another PID, because no player expects another codec under one that it knows; silence is
    // coded as the channel's sound is.
    a_source_that_returns(&["-c:v", "mpeg2video", "-b:v", "1M", "-c:a", "ac3", "-f", "mpegts"], true);
}

#[test]
fn a_slate_hides_no_dead_channel() {
    // At stake: a card that is shown for ever. The source is killed and stays dead; a slate plays, and all the same the
    // viewer is let go a minute after he lost his picture, as he would be without.
    let story = Story::begin(&["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-f", "mpegts"]);
    story.source.turn(Manner::Fixed(GONE.into()));
    let killed_at = Instant::now();
    wait_until("a slate is shown", MOMENT, || story.slate().is_some());
    let so_far = story.got_len();
    let Story { daemon, got, reader, .. } = story;
    let held = reader.join().unwrap().duration_since(killed_at);
    assert!((58..66).contains(&held.as_secs()), "{held:?}");
    assert!(got.lock().unwrap().len() > so_far + 100_000, "it was played to the end");
    wait_until("the tuner is free", MOMENT, || daemon.status()["tuners"][0]["state"] == "free");
    assert!(daemon.status()["tuners"][0]["slate"].is_null());
}

#[test]
fn without_slates_nothing_is_made() {
    // FFmpeg plays once and is no good for anything else, slates included.
    for (wanted, slates) in [(false, "slates = false"), (true, "slates = true")] {
        let mut setup = Setup::new();
        let starts = setup.folder.path().join("starts");
        setup.playlist("#EXTM3U\n#EXTINF:-1,Brittle\nudp://239.255.1.2:9\n");
        let file = make(&setup.folder.path().join("source.ts"), 3, &["-c:v", "libx264", "-c:a", "aac", "-f", "mpegts"]);
        setup.fake_ffmpeg(&format!(
            "echo \"$*\" >>'{starts}'; [ $(wc -l <'{starts}') = 1 ] && exec cat '{file}'; sleep 1; exit 1",
            starts = starts.display(),
            file = file.display(),
        ));
        setup.set("health", slates);
        let daemon = setup.start();
        daemon.wait_for_log("playlist loaded");
        let (answer, stream) = http::open(daemon.address(), 5004, "/auto/v1");
        assert_eq!(answer.status, 200);
        let reader = read_on(stream, Arc::default());
        wait_until("it waits", MOMENT, || daemon.status()["tuners"][0]["next_try_in_s"].is_u64());
        std::thread::sleep(Duration::from_secs(3));
        let asked = fs::read_to_string(&starts).unwrap();
        assert_eq!(asked.contains("rawvideo"), wanted, "{asked}");
        assert_eq!(daemon.has_logged("no picture could be made"), wanted);
        assert!(!reader.is_finished() && daemon.status()["tuners"][0]["slate"].is_null(), "nothing can be shown");
    }
}

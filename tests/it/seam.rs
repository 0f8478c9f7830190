//! Seams: a viewer's one stream, made by several children, as FFmpeg meets it.
//!
//! What is joined here was made by real encoders and a real muxer; what is proven of single packets stands with
//! `pure::wire::ts::seam`.

use crate::kit::media::{decode_errors, inspect, make, make_ts};
use crate::kit::{Folder, Setup, http, run};
use pure::wire::ts::seam::Seam;
use pure::wire::ts::{Inspector, NULL_PACKET, PACKET_BYTES, PacketBytes};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SECONDS: u32 = 4;

/// What a relay makes of these children: all but the first pass a seam, and between them viewers are held.
fn join(children: &[Vec<u8>]) -> Vec<u8> {
    let mut inspector = Inspector::new();
    let mut joined = Vec::new();
    for (index, child) in children.iter().enumerate() {
        let mut seam = (index > 0).then(|| Seam::new(&mut inspector));
        for packet in child.chunks_exact(PACKET_BYTES) {
            let mut packet: PacketBytes = packet.try_into().unwrap();
            if let Some(seam) = &mut seam {
                seam.packet(&mut packet, &inspector);
            }
            inspector.packet(&packet);
            joined.extend(packet);
        }
        joined.extend(NULL_PACKET.repeat(3));
    }
    joined
}

/// Times of decoding in seconds, by stream, in the order of the packets, as FFmpeg demuxes them. Once it has met
/// pictures out of order it knows none for the very first one.
pub(crate) fn decoding_times(file: &Path) -> BTreeMap<u32, Vec<f64>> {
    let entries = ["-v", "error", "-show_entries", "packet=stream_index,dts_time", "-of", "csv=p=0"];
    let (status, said) = run("ffprobe", &[&entries[..], &[file.to_str().unwrap()]].concat());
    assert!(status.success(), "{said}");
    let mut times: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for line in said.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.split(',');
        let stream = fields.next().unwrap().parse().unwrap();
        let times = times.entry(stream).or_default();
        match fields.next().unwrap().parse() {
            Ok(time) => times.push(time),
            Err(_) => assert!(times.is_empty(), "a packet without time: {line}"),
        }
    }
    times
}

pub(crate) fn runs_backwards(times: &BTreeMap<u32, Vec<f64>>) -> bool {
    times.values().any(|times| times.windows(2).any(|pair| pair[1] <= pair[0]))
}

/// Children that differ in everything a child can differ in.
struct Children {
    folder: Folder,
    /// As a recipe makes it.
    plain: Vec<u8>,
    /// With pictures that are not shown in the order in which they are sent, another muxer's delay, and much later.
    reordered: Vec<u8>,
    /// Copied from the middle of another, with its times as they were.
    copied: Vec<u8>,
    /// Other codecs on other PIDs, with its table elsewhere.
    other: Vec<u8>,
    /// Its times start over on the way.
    wrapping: Vec<u8>,
}

impl Children {
    fn new() -> Self {
        let folder = Folder::new();
        let child = |name: &str, how: &[&str]| {
            let path = make(&folder.path().join(name), SECONDS, &[how, &["-f", "mpegts"]].concat());
            fs::read(path).unwrap()
        };
        let h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
        let recipe =
            ["-muxdelay", "0", "-muxpreload", "0", "-pat_period", "0.1", "-mpegts_flags", "+initial_discontinuity"];
        let plain = child("plain.ts", &[&h264[..], &recipe].concat());
        let reordered =
            ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-c:a", "aac", "-output_ts_offset", "5000"];
        let reordered = child("reordered.ts", &reordered);
        let other =
            ["-c:v", "mpeg2video", "-c:a", "mp2", "-mpegts_start_pid", "0x200", "-mpegts_pmt_start_pid", "0x1100"];
        let other = child("other.ts", &[&other[..], &recipe].concat());
        // 2^33 ticks are 95,443.7 seconds.
        let wrapping = child("wrapping.ts", &[&h264[..], &recipe, &["-output_ts_offset", "95442"]].concat());
        let (whole, part) = (folder.path().join("reordered.ts"), folder.path().join("copied.ts"));
        let copy = ["-v", "error", "-nostdin", "-y", "-copyts", "-ss", "1.2", "-i", whole.to_str().unwrap()];
        let (status, said) =
            run("ffmpeg", &[&copy[..], &["-c", "copy"], &recipe, &["-f", "mpegts", part.to_str().unwrap()]].concat());
        assert!(status.success(), "{said}");
        let copied = fs::read(part).unwrap();
        Self { folder, plain, reordered, copied, other, wrapping }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        self.folder.write(name, bytes)
    }
}

#[test]
fn a_stream_of_several_children_is_one_stream_to_ffmpeg() {
    // At stake: a recording or a player that breaks at each restart. Children that differ in codecs, PIDs, delays and
    // times are joined in several orders; FFmpeg must find nothing to complain about in what comes out, and time must
    // neither run backwards in any stream nor jump: by less than half a second, and where the clock of the next child
    // runs 0.7 s behind its pictures, by that much more.
    let made = Children::new();
    let Children { plain, reordered, copied, other, wrapping, .. } = &made;
    let orders: [(&str, [&Vec<u8>; 4]); 4] = [
        ("restarts", [plain, plain, plain, plain]),
        ("times", [plain, reordered, wrapping, copied]),
        ("wrap", [wrapping, plain, copied, reordered]),
        ("codecs", [plain, other, plain, reordered]),
    ];
    for (name, order) in orders {
        let children = order.map(Clone::clone);
        let joined = join(&children);
        assert!(inspect(&joined).gaps.is_empty(), "{name}");
        let file = made.write(&format!("{name}.ts"), &joined);
        assert_eq!(decode_errors(&file), "", "{name}");
        let times = decoding_times(&file);
        assert_eq!(times.len(), if name == "codecs" { 4 } else { 2 }, "{name}: {:?}", times.keys());
        assert!(!runs_backwards(&times), "{name}");
        if name != "codecs" {
            for (stream, times) in &times {
                let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
                let longest = steps.fold(0.0, f64::max);
                let allowed = if name == "restarts" { 0.5 } else { 1.2 };
                assert!(longest < allowed, "{name}: {longest} s in stream {stream}");
            }
        }
        // The same without seams is what a viewer must not get, and these checks see it.
        let raw = made.write(&format!("{name}-raw.ts"), &children.concat());
        assert!(runs_backwards(&decoding_times(&raw)), "{name}");
    }
}

/// What a viewer got, and when.
struct Arrival {
    at: Duration,
    bytes: Vec<u8>,
}

/// Null packets of each stretch without anything else that lasted for more than two seconds, and how long it lasted.
fn held(arrivals: &[Arrival]) -> Vec<(usize, Duration)> {
    let mut stretches = vec![];
    let (mut since, mut nulls) = (Duration::ZERO, 0);
    for arrival in arrivals {
        if arrival.bytes == NULL_PACKET {
            nulls += 1;
            continue;
        }
        if arrival.at.saturating_sub(since) > Duration::from_secs(2) {
            stretches.push((nulls, arrival.at.saturating_sub(since)));
        }
        (since, nulls) = (arrival.at, 0);
    }
    stretches
}

#[test]
fn a_viewers_connection_outlives_three_children() {
    // At stake: what this box is for. FFmpeg ends three times under a viewer: the first restart is immediate, the next
    // ones come 30 s after the one before. His one connection stays, with null packets while there is no child, and
    // what he got is one stream without a flaw.
    let mut setup = Setup::new();
    let (path, starts) = (setup.folder.path().join("source.ts"), setup.folder.path().join("starts"));
    let file = make_ts(&path, 30);
    setup.playlist(format!("#EXTM3U\n#EXTINF:-1,Brittle\nudp://{}:9\n", setup.address));
    // Each child begins at another time.
    setup.fake_ffmpeg(&format!(
        "echo >>'{starts}'; n=$(wc -l <'{starts}')
         case $n in 1) seconds=4;; 2|3) seconds=20;; *) seconds=30;; esac
         exec ffmpeg -v error -nostdin -re -i '{file}' -t $seconds -c copy -output_ts_offset $((n * 1000 % 2500)) \
             -muxdelay 0 -muxpreload 0 -flush_packets 1 -mpegts_flags +initial_discontinuity -f mpegts pipe:1",
        starts = starts.display(),
        file = file.display(),
    ));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let (answer, mut stream) = http::open(daemon.address(), 5004, "/auto/v1");
    assert_eq!(answer.status, 200);
    let begun = Instant::now();
    let mut arrivals = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    let starts = || fs::read(&starts).unwrap().len();
    let mut end = begun + Duration::from_secs(90);
    while Instant::now() < end {
        let len = stream.read(&mut piece).unwrap();
        assert_ne!(len, 0, "the connection was closed after {:?} and {} children", begun.elapsed(), starts());
        arrivals.push(Arrival { at: begun.elapsed(), bytes: piece[..len].to_vec() });
        if starts() == 4 {
            end = end.min(Instant::now() + Duration::from_secs(6));
        }
    }
    assert_eq!(starts(), 4, "children in {:?}", begun.elapsed());

    // The second and third restart wait for 30 s since the one before, of which the child played 20.
    let held = held(&arrivals);
    assert_eq!(held.len(), 2, "{held:?}");
    for (nulls, lasted) in held {
        assert!((6..14).contains(&lasted.as_secs()), "{lasted:?}");
        let expected = usize::try_from(lasted.as_millis() / 500).unwrap();
        assert!((expected - 3..=expected).contains(&nulls), "{nulls} null packets in {lasted:?}");
    }

    let bytes: Vec<u8> = arrivals.into_iter().flat_map(|arrival| arrival.bytes).collect();
    let whole = &bytes[..bytes.len() / PACKET_BYTES * PACKET_BYTES];
    let report = inspect(whole);
    assert!(report.packets > 5_000 && report.gaps.is_empty(), "{report:?}");
    let capture = daemon.setup.folder.write("capture.ts", whole);
    assert_eq!(decode_errors(&capture), "");
    let times = decoding_times(&capture);
    assert_eq!(times.len(), 2);
    assert!(!runs_backwards(&times));
    let played = 4.0 + 20.0 + 20.0 + 4.0;
    for times in times.values() {
        assert!(times.last().unwrap() - times[0] > played, "all that was played is there");
    }
}

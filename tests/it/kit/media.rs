//! Transport streams: making them, and looking at what arrived. It shares no code with the daemon.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::run;

const PACKET: usize = 188;

/// Makes `seconds` of picture and tone, H.264 and AAC with a key frame each second.
pub(crate) fn make_ts(path: &Path, seconds: u32) -> PathBuf {
    make(path, seconds, &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-f", "mpegts"])
}

/// Makes `seconds` of picture and tone with these encoders and format.
pub(crate) fn make(path: &Path, seconds: u32, how: &[&str]) -> PathBuf {
    let seconds = seconds.to_string();
    let target = path.to_str().unwrap();
    let mut arguments = vec!["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &seconds, "-g", "25"]);
    arguments.extend(["-pix_fmt", "yuv420p"]);
    arguments.extend(how);
    arguments.push(target);
    let (status, said) = run("ffmpeg", &arguments);
    assert!(status.success(), "{said}");
    path.to_owned()
}

/// A hash of each elementary stream's payload, as FFmpeg demuxes it.
pub(crate) fn payload_hashes(path: &Path) -> String {
    let arguments = [
        "-v",
        "error",
        "-i",
        path.to_str().unwrap(),
        "-map",
        "0",
        "-c",
        "copy",
        "-f",
        "streamhash",
        "-hash",
        "md5",
        "-",
    ];
    let (status, said) = run("ffmpeg", &arguments);
    assert!(status.success(), "{said}");
    said
}

/// What FFmpeg says when it decodes all of a file; nothing when it is flawless. Without the last picture: a capture that
/// was left by the clock may have half of it.
pub(crate) fn decode_errors(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let end = inspect(&bytes).last_picture.map_or(bytes.len(), |place| place * PACKET);
    let whole = path.with_extension("whole.ts");
    fs::write(&whole, &bytes[..end]).unwrap();
    let (_, said) = run("ffmpeg", &["-v", "error", "-i", whole.to_str().unwrap(), "-f", "null", "-"]);
    said
}

/// Reads a stream for some time, or to its end.
pub(crate) fn read_for(stream: &mut TcpStream, time: Duration) -> Vec<u8> {
    let end = Instant::now() + time;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while Instant::now() < end {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            len => bytes.extend_from_slice(&piece[..len]),
        }
    }
    bytes
}

/// Reads at least `len` bytes of a stream.
pub(crate) fn read_bytes(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// What a capture consists of.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) packets: usize,
    /// Packets whose counter does not follow the one before, with their places.
    pub(crate) gaps: Vec<usize>,
    /// Places of the first PAT, the first PMT, and the first packet of a key frame.
    pub(crate) first_pat: Option<usize>,
    pub(crate) first_pmt: Option<usize>,
    pub(crate) first_key_frame: Option<usize>,
    /// Place of the first packet with video.
    pub(crate) first_video: Option<usize>,
    /// Place of the packet with which the last picture begins.
    pub(crate) last_picture: Option<usize>,
}

/// Looks at every whole packet of a capture.
pub(crate) fn inspect(bytes: &[u8]) -> Report {
    let mut report = Report::default();
    let mut counters: BTreeMap<u16, u8> = BTreeMap::new();
    let (mut pmt_pid, mut video_pid) = (None, None);
    for (place, packet) in bytes.chunks_exact(PACKET).enumerate() {
        assert_eq!(packet[0], 0x47, "packet {place} does not begin with the sync byte");
        report.packets += 1;
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let (has_payload, counter) = (packet[3] & 0x10 != 0, packet[3] & 0x0f);
        if has_payload && pid != 0x1fff {
            if let Some(before) = counters.insert(pid, counter) {
                if counter != (before + 1) & 0x0f {
                    report.gaps.push(place);
                }
            }
        }
        let starts = packet[1] & 0x40 != 0;
        let payload = if packet[3] & 0x20 != 0 { 5 + usize::from(packet[4]) } else { 4 };
        if pid == 0 && starts {
            report.first_pat.get_or_insert(place);
            let entry = payload + 1 + 8;
            pmt_pid = Some(u16::from(packet[entry + 2] & 0x1f) << 8 | u16::from(packet[entry + 3]));
        } else if Some(pid) == pmt_pid && starts {
            report.first_pmt.get_or_insert(place);
            let table = payload + 1;
            let info = usize::from(packet[table + 10] & 0x0f) << 8 | usize::from(packet[table + 11]);
            let stream = table + 12 + info;
            video_pid = Some(u16::from(packet[stream + 1] & 0x1f) << 8 | u16::from(packet[stream + 2]));
        } else if Some(pid) == video_pid {
            report.first_video.get_or_insert(place);
            if starts {
                report.last_picture = Some(place);
            }
            let random_access = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x40 != 0;
            if starts && random_access {
                report.first_key_frame.get_or_insert(place);
            }
        }
    }
    report
}

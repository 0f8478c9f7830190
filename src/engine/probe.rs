//! A look at our own output with ffprobe: is there a picture in it, and sound?
//!
//! It gets the newest seconds of a ring through its standard input, never an address: no second connection to the
//! source, no network at all. A look that did not work says [`ProbeResult::Unknown`], which is no reason for anything;
//! only what ffprobe says about the stream itself can be bad. When looks are due, and what they lead to, is decided in
//! `pure::rules::health`.

use super::process::{self, Prober};
use super::relay::Expect;
use crate::clock;
use pure::limits::{PROBE_ANSWER_BYTES_MAX, PROBE_KILL_MS};
use pure::rules::gate::ProbePermit;
use pure::rules::health::ProbeResult;
use pure::wire::ts::{Inspector, PACKET_BYTES};
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdout};

/// Source: ffprobe(1) of FFmpeg 5.1 and 8.0. The demuxer is pinned, and nothing but the pipe can be opened.
const ARGUMENTS: [&str; 14] = [
    "-v",
    "error",
    "-protocol_whitelist",
    "pipe",
    "-format_whitelist",
    "mpegts",
    "-f",
    "mpegts",
    "-show_entries",
    "stream=codec_type,width,sample_rate",
    "-of",
    "compact=p=0",
    "-i",
    INPUT,
];

/// ffprobe begins its judgement of the input with this name, and no other complaint.
const INPUT: &str = "pipe:0";

/// Looks at `excerpt`, whole packets with tables and, if there is any, a key frame. It takes a tenth of a second as a
/// rule and [`PROBE_KILL_MS`] at most; dropped, it ends ffprobe.
pub(super) async fn probe(permit: ProbePermit, ffprobe: &Path, excerpt: &[u8], expect: Expect) -> Found {
    probe_within(PROBE_KILL_MS, permit, ffprobe, excerpt, expect).await
}

async fn probe_within(kill_ms: u64, permit: ProbePermit, ffprobe: &Path, excerpt: &[u8], expect: Expect) -> Found {
    // Between two key frames nobody can see a picture, however healthy it is.
    if !has_join_point(excerpt) {
        return Found::NOTHING;
    }
    let prober = match process::probe(permit, ffprobe, &ARGUMENTS) {
        Ok(prober) => prober,
        Err(error) => {
            tracing::debug!(program = %ffprobe.display(), %error, "ffprobe could not be started");
            return Found::NOTHING;
        }
    };
    let asked = converse(prober, excerpt, kill_ms, async |stdout, stderr| {
        tokio::try_join!(hear(stdout, PROBE_ANSWER_BYTES_MAX), hear(stderr, PROBE_ANSWER_BYTES_MAX))
    });
    match asked.await {
        Ok((status, (answer, complaint))) => {
            Found { result: judge(status.code(), &answer, &complaint, expect), width: width(&answer) }
        }
        Err(_) => Found::NOTHING,
    }
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether what is made can be watched.
    pub(super) result: ProbeResult,
    /// How wide the picture is, in pixels.
    pub(super) width: Option<u32>,
}

impl Found {
    pub(super) const NOTHING: Self = Self { result: ProbeResult::Unknown, width: None };
}

/// How wide the first picture is that has a width.
fn width(answer: &[u8]) -> Option<u32> {
    let mut pictures = std::str::from_utf8(answer).ok()?.lines().filter(|line| line.contains("codec_type=video"));
    pictures.find_map(|line| {
        let width = line.trim().split('|').find_map(|key| key.strip_prefix("width="))?;
        width.parse().ok().filter(|width| *width > 0)
    })
}

fn has_join_point(excerpt: &[u8]) -> bool {
    let mut inspector = Inspector::new();
    let mut packets = excerpt.chunks_exact(PACKET_BYTES).filter_map(|packet| packet.first_chunk());
    packets.any(|packet| inspector.packet(packet).join_point)
}

/// Gives a program all that it is to take in, hears what it says, for so long at most, and reaps it.
///
/// # Errors
/// It took too long, said too much, or cannot be heard or reaped; then it was ended.
pub(super) async fn converse<T>(
    mut prober: Prober,
    given: &[u8],
    within_ms: u64,
    hearing: impl AsyncFnOnce(&mut ChildStdout, &mut ChildStderr) -> io::Result<T>,
) -> io::Result<(ExitStatus, T)> {
    let heard = {
        let Prober { stdin, stdout, stderr, reaper: _ } = &mut prober;
        let giving = async {
            if let Some(mut stdin) = stdin.take() {
                // It may have had enough before the end, and what it says tells more than the pipe does.
                stdin.write_all(given).await.unwrap_or_default();
            }
            Ok(())
        };
        tokio::select! {
            heard = async { tokio::try_join!(giving, hearing(stdout, stderr)) } => heard.map(|((), heard)| heard),
            () = clock::pause(within_ms) => Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long")),
        }
    };
    if heard.is_err() {
        prober.reaper.group().kill();
    }
    let status = prober.reaper.reap().await?;
    Ok((status, heard?))
}

/// All that it says.
///
/// # Errors
/// It is too much, or cannot be heard.
pub(super) async fn hear(pipe: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    pipe.take(bytes_max as u64 + 1).read_to_end(&mut said).await?;
    if said.len() > bytes_max { Err(io::ErrorKind::InvalidData.into()) } else { Ok(said) }
}

/// What its words mean; `code` is `None` when a signal ended it.
fn judge(code: Option<i32>, answer: &[u8], complaint: &[u8], expect: Expect) -> ProbeResult {
    let (Ok(answer), Some(code)) = (std::str::from_utf8(answer), code) else { return ProbeResult::Unknown };
    let mut found = Expect { video: false, audio: false };
    let mut lines = answer.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_none() {
        let is_about_input = String::from_utf8_lossy(complaint).lines().any(|line| line.starts_with("pipe:0: "));
        return if code != 0 && is_about_input { ProbeResult::Unhealthy } else { ProbeResult::Unknown };
    }
    for line in lines {
        let Some(stream) = line.strip_prefix("codec_type=") else { return ProbeResult::Unknown };
        let (kind, keys) = stream.split_once('|').unwrap_or((stream, ""));
        let has = |wanted: &str| {
            let value = keys.split('|').find_map(|key| key.strip_prefix(wanted)?.strip_prefix('='));
            value.and_then(|value| value.parse::<u32>().ok()).is_some_and(|value| value > 0)
        };
        match kind {
            "video" => found.video |= has("width"),
            "audio" => found.audio |= has("sample_rate"),
            // Subtitles and data, whose absence nobody would notice.
            _ => {}
        }
    }
    if (found.video || !expect.video) && (found.audio || !expect.audio) {
        ProbeResult::Healthy
    } else {
        ProbeResult::Unhealthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProbeResult::{Healthy, Unhealthy, Unknown};
    use pure::rules::admission::BoardFacts;
    use pure::rules::constants::Rules;
    use pure::rules::gate::Gate;
    use std::os::unix::fs::PermissionsExt as _;

    const BOTH: Expect = Expect { video: true, audio: true };
    const RADIO: Expect = Expect { video: false, audio: true };
    const GOLDEN: &[u8] = include_bytes!("../../tests/golden/h264-mp2.ts");

    fn look(ffprobe: &Path, excerpt: &[u8], expect: Expect, kill_ms: u64) -> ProbeResult {
        let facts = BoardFacts { ffmpeg_present: true, fds_limit: 1_024, ..BoardFacts::default() };
        let permit = Gate::new(1, Rules::DEFAULT).permit_probe(&facts, 0).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(probe_within(kill_ms, permit, ffprobe, excerpt, expect)).result
    }

    #[test]
    fn the_width_of_the_picture_is_read() {
        for (answer, wanted) in [
            ("codec_type=video|width=1280\ncodec_type=audio|sample_rate=48000\n", Some(1280)),
            ("codec_type=audio|sample_rate=48000\n  codec_type=video|width=1920|x\n", Some(1920)),
            ("codec_type=video|width=0\ncodec_type=video|width=720\n", Some(720)),
            ("codec_type=video|width=N/A\n", None),
            ("codec_type=audio|width=9\n", None),
            ("", None),
        ] {
            assert_eq!(width(answer.as_bytes()), wanted, "{answer:?}");
        }
    }

    /// The golden stream with every packet of one kind changed or left out.
    fn golden(mut change: impl FnMut(u16, &mut [u8]) -> bool) -> Vec<u8> {
        let mut out = Vec::new();
        for packet in GOLDEN.chunks_exact(PACKET_BYTES) {
            let mut packet = packet.to_vec();
            let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
            if change(pid, &mut packet) {
                out.extend_from_slice(&packet);
            }
        }
        out
    }

    #[test]
    fn ffprobe_tells_good_from_bad() {
        let _alone = process::alone();
        let ffprobe = Path::new("ffprobe");
        let judged = |excerpt: &[u8], expect| look(ffprobe, excerpt, expect, PROBE_KILL_MS);
        assert_eq!(judged(GOLDEN, BOTH), Healthy);
        let len = GOLDEN.len() / PACKET_BYTES / 2 * PACKET_BYTES;
        assert_eq!(judged(&GOLDEN[..len + 77], BOTH), Healthy, "cut in the middle of a packet");
        let mut inspector = Inspector::new();
        for packet in GOLDEN.chunks_exact(PACKET_BYTES) {
            inspector.packet(packet.first_chunk().unwrap());
        }
        let (video, audio) = (0x100, 0x101);
        let radio = golden(|pid, _| pid != video);
        assert_eq!(judged(&radio, BOTH), Unknown, "no key frame, so it cannot be said");
        // The mark of a key frame stays, the picture behind it does not.
        let garbage = golden(|pid, packet| {
            if pid == video {
                let adaptation = if packet[3] & 0x20 == 0 { 0 } else { usize::from(packet[4]) + 1 };
                let unit_start = if packet[1] & 0x40 == 0 { 0 } else { 19 };
                packet[(4 + adaptation + unit_start).min(188)..].fill(0xA5);
            }
            true
        });
        assert_eq!(judged(&garbage, BOTH), Unhealthy);
        assert_eq!(judged(&garbage, RADIO), Healthy, "who expects sound only");
        assert_eq!(judged(&golden(|pid, _| pid != audio), BOTH), Unhealthy, "the sound is gone");
        let bare = golden(|pid, _| pid < 0x100 || pid == 0x1000);
        assert_eq!(judged(&bare, BOTH), Unknown, "tables only");
        assert_eq!(judged(&[], BOTH), Unknown);
        assert_eq!(look(Path::new("no-such-ffprobe"), GOLDEN, BOTH, PROBE_KILL_MS), Unknown);
    }

    #[test]
    fn a_prober_that_is_ill_says_nothing_about_the_stream() {
        let _alone = process::alone();
        let folder = std::env::temp_dir().join(format!("tunerd-probe-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (script, kill_ms, result) in [
            ("exec sleep 60", 300, Unknown),
            ("trap '' TERM; cat >/dev/null; sleep 60 & sleep 60", 300, Unknown),
            ("cat >/dev/null; yes codec_type=audio", 5_000, Unknown),
            ("cat >/dev/null; yes >&2", 5_000, Unknown),
            ("cat >/dev/null; echo '{\"streams\": []}'", 5_000, Unknown),
            ("printf 'codec_type=video|width=\\377\\n'", 5_000, Unknown),
            ("exit 1", 5_000, Unknown),
            ("echo 'ffprobe: error while loading shared libraries' >&2; exit 127", 5_000, Unknown),
            ("echo \"Unrecognized option 'x'\" >&2; exit 1", 5_000, Unknown),
            ("kill -SEGV $$", 5_000, Unknown),
            ("cat >/dev/null; echo 'pipe:0: Invalid data found' >&2; exit 1", 5_000, Unhealthy),
            ("printf 'codec_type=video|width=640\\ncodec_type=audio|sample_rate=48000\\n'", 5_000, Healthy),
        ] {
            let path = folder.join("ffprobe");
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(look(&path, GOLDEN, BOTH, kill_ms), result, "{script}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn answers_are_read_as_ffprobe_writes_them() {
        let judged = |answer: &str, expect| judge(Some(0), answer.as_bytes(), b"", expect);
        let good = "codec_type=video|width=1280\ncodec_type=audio|sample_rate=44100\n\ncodec_type=video|width=1280\n";
        assert_eq!(judged(good, BOTH), Healthy);
        assert_eq!(judged("codec_type=video|width=0\ncodec_type=audio|sample_rate=44100\n", BOTH), Unhealthy);
        assert_eq!(judged("codec_type=video|width=0\ncodec_type=audio|sample_rate=44100\n", RADIO), Healthy);
        assert_eq!(judged("codec_type=audio|sample_rate=0\n", RADIO), Unhealthy);
        assert_eq!(judged("codec_type=data\ncodec_type=audio|sample_rate=8000\n", RADIO), Healthy);
        assert_eq!(judged("", BOTH), Unknown);
        assert_eq!(judge(None, good.as_bytes(), b"", BOTH), Unknown);
        assert_eq!(judge(Some(1), b"", b"pipe:0: End of file\n", BOTH), Unhealthy);
    }
}

//! A glance at our own output: one key frame, small and grey, and how loud a second of its sound is.
//!
//! FFmpeg gets the newest seconds of a ring through its standard input, as ffprobe does for a look, and decodes the first
//! key frame in it. No address, no network, and nothing that a source says is among its arguments. A glance that did not
//! work has seen nothing, which is no reason for anything. What the pictures mean is decided in `pure::rules::blank`,
//! when a glance is due in `pure::rules::pool`.

use super::probe::{converse, hear};
use super::process;
use super::relay::Expect;
use pure::limits::{GLANCE_KILL_MS, GLANCE_PIXELS, GLANCE_SOUND_BYTES_MAX};
use pure::rules::blank::Pixels;
use pure::rules::gate::GlancePermit;
use std::io;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Source: ffmpeg(1) of FFmpeg 5.1 and 8.0. Nothing is said, since the sound comes where words would.
const INPUT: [&str; 16] = [
    "-v",
    "quiet",
    "-nostats",
    "-nostdin",
    "-protocol_whitelist",
    "pipe",
    "-format_whitelist",
    "mpegts",
    "-f",
    "mpegts",
    "-threads",
    "1",
    "-skip_frame",
    "nokey",
    "-i",
    "pipe:0",
];

/// `GLANCE_WIDTH` by `GLANCE_HEIGHT`. Each pixel is the mean of all that it stands for: a thin line of text counts.
const PICTURE: [&str; 9] =
    ["-map", "0:v:0", "-frames:v", "1", "-vf", "scale=64:36:flags=area,format=gray", "-f", "rawvideo", "pipe:1"];

/// All channels at their own rate: mixed down, what is on two of them could cancel out.
const SOUND: [&str; 9] = ["-map", "0:a:0", "-t", "1", "-c:a", "pcm_s16le", "-f", "s16le", "pipe:2"];

/// What a glance has seen and heard; `None` is what there is not, or what nobody knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Glanced {
    pub(super) picture: Option<Box<Pixels>>,
    /// The loudest sample, of 32,768.
    pub(super) peak: Option<u16>,
}

/// Glances at `excerpt`, in which a key frame is. It takes a tenth of a second as a rule and [`GLANCE_KILL_MS`] at most;
/// dropped, it ends FFmpeg.
pub(super) async fn glance(permit: GlancePermit, ffmpeg: &Path, excerpt: &[u8], expect: Expect) -> Glanced {
    glance_within(GLANCE_KILL_MS, permit, ffmpeg, excerpt, expect).await
}

async fn glance_within(kill_ms: u64, permit: GlancePermit, ffmpeg: &Path, excerpt: &[u8], expect: Expect) -> Glanced {
    let picture = expect.video.then_some(PICTURE);
    let sound = expect.audio.then_some(SOUND);
    if picture.is_none() && sound.is_none() {
        return Glanced::default();
    }
    let arguments: Vec<&str> = INPUT.into_iter().chain(picture.into_iter().chain(sound).flatten()).collect();
    let prober = match process::glance(permit, ffmpeg, &arguments) {
        Ok(prober) => prober,
        Err(error) => {
            tracing::debug!(program = %ffmpeg.display(), %error, "FFmpeg could not be started for a glance");
            return Glanced::default();
        }
    };
    let seen = converse(prober, excerpt, kill_ms, async |stdout, stderr| {
        tokio::try_join!(hear(stdout, GLANCE_PIXELS), loudest(stderr))
    });
    match seen.await {
        // Where one of the two cannot be decoded, the other one still counts.
        Ok((status, (seen, peak))) if status.code().is_some() => {
            Glanced { picture: seen.into_boxed_slice().try_into().ok(), peak: peak.filter(|_| expect.audio) }
        }
        _ => Glanced::default(),
    }
}

/// The loudest of all samples, sixteen bits each; `None` when there is none.
///
/// # Errors
/// There are too many, or they cannot be heard.
async fn loudest(pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<u16>> {
    let mut pipe = pipe.take(GLANCE_SOUND_BYTES_MAX + 1);
    let (mut piece, mut len, mut peak) = ([0; 4_096], 0, None);
    loop {
        match pipe.read(piece.get_mut(len..).unwrap_or_default()).await? {
            0 if pipe.limit() == 0 => return Err(io::ErrorKind::InvalidData.into()),
            0 => return Ok(peak),
            more => len += more,
        }
        let samples = piece.get(..len).unwrap_or_default().chunks_exact(2);
        let loudness = samples.filter_map(|sample| Some(i16::from_le_bytes(*sample.first_chunk()?).unsigned_abs()));
        peak = loudness.chain(peak).max();
        // Half a sample may be left over.
        let odd = len % 2;
        piece.copy_within(len - odd..len, 0);
        len = odd;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pure::limits::{GLANCE_HEIGHT, GLANCE_WIDTH};
    use pure::rules::admission::BoardFacts;
    use pure::rules::constants::Rules;
    use pure::rules::gate::Gate;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const BOTH: Expect = Expect { video: true, audio: true };
    const GOLDEN: &[u8] = include_bytes!("../../tests/golden/h264-mp2.ts");

    fn seen(ffmpeg: &Path, excerpt: &[u8], expect: Expect, kill_ms: u64) -> Glanced {
        let facts = BoardFacts { ffmpeg_present: true, fds_limit: 1_024, ..BoardFacts::default() };
        let permit = Gate::new(1, Rules::DEFAULT).permit_glance(&facts, 0).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(glance_within(kill_ms, permit, ffmpeg, excerpt, expect))
    }

    #[test]
    fn the_picture_has_the_size_that_its_judge_expects() {
        let scale = format!("scale={GLANCE_WIDTH}:{GLANCE_HEIGHT}:flags=area,format=gray");
        assert!(PICTURE.contains(&scale.as_str()));
    }

    #[test]
    fn a_picture_and_its_sound_are_seen_and_heard() {
        let _alone = process::alone();
        let ffmpeg = Path::new("ffmpeg");
        let both = seen(ffmpeg, GOLDEN, BOTH, 10_000);
        let picture = both.picture.unwrap();
        assert!(picture.iter().max().unwrap() - picture.iter().min().unwrap() > 100, "a test picture");
        assert!(both.peak.unwrap() > 1_000, "{:?}", both.peak);
        let radio = seen(ffmpeg, GOLDEN, Expect { video: false, audio: true }, 10_000);
        assert_eq!((radio.picture, radio.peak), (None, both.peak));
        let mute = seen(ffmpeg, GOLDEN, Expect { video: true, audio: false }, 10_000);
        assert_eq!((mute.picture, mute.peak), (Some(picture), None));
        assert_eq!(seen(ffmpeg, GOLDEN, Expect { video: false, audio: false }, 10_000), Glanced::default());
        assert_eq!(seen(ffmpeg, &[0x47; 188 * 50], BOTH, 10_000), Glanced::default());
        assert_eq!(seen(Path::new("no-such-ffmpeg"), GOLDEN, BOTH, 10_000), Glanced::default());
    }

    #[test]
    fn who_is_ill_has_seen_nothing() {
        let _alone = process::alone();
        let folder = std::env::temp_dir().join(format!("tunerd-glance-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let picture = "head -c 2304 /dev/zero";
        for (script, kill_ms, has_picture, peak) in [
            ("exec sleep 60", 300, false, None),
            ("trap '' TERM; cat >/dev/null; sleep 60 & sleep 60", 300, false, None),
            ("cat >/dev/null; yes", 10_000, false, None),
            ("cat >/dev/null; yes >&2", 10_000, false, None),
            ("cat >/dev/null; head -c 2303 /dev/zero", 10_000, false, None),
            ("cat >/dev/null; head -c 2305 /dev/zero", 10_000, false, None),
            (&format!("{picture}; kill -SEGV $$"), 10_000, false, None),
            (&format!("cat >/dev/null; {picture}; exit 1"), 10_000, true, None),
            (&format!("{picture}; printf '\\001\\000\\000\\200\\007' >&2"), 10_000, true, Some(32_768)),
        ] {
            let path = folder.join("ffmpeg");
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let seen = seen(&path, GOLDEN, BOTH, kill_ms);
            assert_eq!((seen.picture.is_some(), seen.peak), (has_picture, peak), "{script}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}

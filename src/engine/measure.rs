//! How fast the processor decodes: the second of picture that an encoder's trial made, several times over.
//!
//! FFmpeg gets it through its standard input, as for a glance, and gives each picture back small and grey. What that means
//! is decided in `pure::rules::capacity`.

use super::probe::{converse, hear};
use super::process;
use crate::clock;
use pure::limits::{DECODE_ROUNDS, GLANCE_PIXELS, PROBE_ANSWER_BYTES_MAX, TRIAL_MS_MAX};
use pure::rules::gate::TrialPermit;
use std::io;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Source: ffmpeg(1) of FFmpeg 5.1 and 8.0. `GLANCE_WIDTH` by `GLANCE_HEIGHT`: making it small must cost next to nothing.
const ARGUMENTS: [&str; 20] = [
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
    "-i",
    "pipe:0",
    "-map",
    "0:v:0",
    "-vf",
    "scale=64:36:flags=neighbor,format=gray",
    // Each round begins with the same times.
    "-fps_mode",
    "passthrough",
    "-f",
    "rawvideo",
];

/// How much faster than it plays a clip is decoded, in percent; `None` when that cannot be found out. Dropped, it ends
/// FFmpeg.
pub(super) async fn decode(permit: TrialPermit, ffmpeg: &Path, clip: &[u8]) -> Option<u32> {
    let arguments: Vec<&str> = ARGUMENTS.into_iter().chain(["pipe:1"]).collect();
    let prober = process::decode(permit, ffmpeg, &arguments).ok()?;
    let given = clip.repeat(DECODE_ROUNDS);
    let decoded = converse(prober, &given, TRIAL_MS_MAX, async |stdout, stderr| {
        tokio::try_join!(pace(stdout), hear(stderr, PROBE_ANSWER_BYTES_MAX))
    });
    let (status, (percent, _)) = decoded.await.ok()?;
    percent.filter(|_| status.success())
}

/// How much faster than they play pictures come, once the first ones are there: what comes before is FFmpeg's start.
async fn pace(pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<u32>> {
    let (mut piece, mut began, mut bytes) = ([0; 4_096], None, 0);
    let mut last_at = clock::mono();
    while let len @ 1.. = pipe.read(&mut piece).await? {
        last_at = clock::mono();
        if began.is_none() {
            began = Some(last_at);
        } else {
            bytes += len as u64;
        }
    }
    let picture_ms = bytes / GLANCE_PIXELS as u64 * 40;
    let took_ms = began.map_or(0, |began| last_at.ms_since(began)).max(1);
    let percent = Some(picture_ms * 100 / took_ms).filter(|percent| *percent > 0);
    Ok(percent.map(|percent| u32::try_from(percent).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[test]
    fn what_comes_first_is_not_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let percent = |pieces: usize, pause_ms: u64| {
            runtime.block_on(async {
                let (mut pipe, mut writer) = tokio::io::duplex(GLANCE_PIXELS);
                let writing = async move {
                    for _ in 0..pieces {
                        writer.write_all(&[0; GLANCE_PIXELS]).await.unwrap();
                        clock::pause(pause_ms).await;
                    }
                };
                tokio::join!(pace(&mut pipe), writing).0.unwrap()
            })
        };
        assert_eq!((percent(0, 0), percent(1, 0)), (None, None), "one picture tells nothing");
        // Ten pictures in 200 ms and a little more are 400 ms of film.
        let slow = percent(11, 20).unwrap();
        assert!((20..=210).contains(&slow), "{slow}");
    }
}

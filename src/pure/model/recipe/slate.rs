//! FFmpeg's arguments for a slate: a few seconds of one picture and of silence.
//!
//! The picture comes on standard input, dot by dot (`rules/slate/card.rs`); no text gets in here. It becomes H.264,
//! which is what clients play, of the channel's own width; the sound is of the kind that the channel has. Streams that
//! are coded as the channel's are have the PIDs of the channel's, so that a player sees the same stream go on; others
//! have their own, because players do not expect another codec under a PID that they know.

use super::{ALWAYS, Recipe};
use crate::limits::{SLATE_MS, SLATE_RATE};
use crate::rules::slate::card::{CARD_HEIGHT, CARD_WIDTH};
use crate::wire::ts::{Codec, Stream, Streams};
use alloc::format;

/// In which format a slate is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlateFormat {
    width: u32,
    video_pid: u16,
    /// Its codec in FFmpeg's words, its rate in bits a second, and its PID.
    sound: Option<(&'static str, &'static str, u16)>,
}

/// The width where the channel's is not known, and the most that is made: nobody needs more to read it.
const WIDTH_DEFAULT: u32 = 1_280;
const WIDTH_MIN: u32 = 320;
const WIDTH_MAX: u32 = 1_920;
/// What FFmpeg's own muxer would choose first, and so what most of our children have.
const FIRST_PID: u16 = 0x100;
/// PIDs for what is coded differently than the channel.
const OTHER_PIDS: core::ops::Range<u16> = 0x1E0..0x1FF;

impl SlateFormat {
    /// For a channel with these streams, as far as they are known, and this width. `None`: it is radio, and needs no
    /// picture.
    pub fn of(streams: Option<&Streams>, width: Option<u32>) -> Option<Self> {
        let width = width.unwrap_or(WIDTH_DEFAULT).clamp(WIDTH_MIN, WIDTH_MAX) / 16 * 16;
        let Some(streams) = streams else {
            let sound = Some(("aac", "64k", FIRST_PID + 1));
            return Some(Self { width, video_pid: FIRST_PID, sound });
        };
        let list = streams.list();
        let video = list.iter().find(|stream| stream.codec.is_video())?;
        let mut free = OTHER_PIDS.filter(|pid| list.iter().all(|stream| stream.pid != *pid));
        let mut pid = |stream: &Stream, made: Codec| {
            // FFmpeg keeps what lies below for tables, and 0x1000 for its own.
            let is_possible = (0x20..0x1000).contains(&stream.pid);
            if stream.codec == made && is_possible { Some(stream.pid) } else { free.next() }
        };
        let video_pid = pid(video, Codec::H264)?;
        let sound = list.iter().find(|stream| stream.codec.is_audio()).and_then(|stream| {
            let (made, codec, rate) = match stream.codec {
                Codec::MpegAudio => (Codec::MpegAudio, "mp2", "64k"),
                Codec::Ac3 => (Codec::Ac3, "ac3", "96k"),
                Codec::Eac3 => (Codec::Eac3, "eac3", "96k"),
                _ => (Codec::Aac, "aac", "64k"),
            };
            Some((codec, rate, pid(stream, made)?))
        });
        Some(Self { width, video_pid, sound })
    }
}

/// The recipe for a slate in this format.
pub fn slate(format: SlateFormat) -> Recipe {
    let SlateFormat { width, video_pid, sound } = format;
    let mut recipe = Recipe { args: alloc::vec::Vec::new() };
    recipe.push(&ALWAYS);
    recipe.push(&["-protocol_whitelist", "pipe", "-f", "rawvideo", "-pixel_format", "gray"]);
    recipe.push_value("-video_size", format!("{CARD_WIDTH}x{CARD_HEIGHT}"));
    recipe.push_value("-framerate", format!("{SLATE_RATE}"));
    recipe.push(&["-i", "pipe:0"]);
    if sound.is_some() {
        recipe.push(&["-f", "lavfi", "-i", "anullsrc=sample_rate=48000:channel_layout=stereo"]);
    }
    recipe.push(&["-map", "0:v:0"]);
    recipe.push_value("-streamid", format!("0:{video_pid}"));
    let pictures = SLATE_RATE * SLATE_MS / 1_000;
    // Letters are drawn in whole dots, and stay so: sharp edges cost a third of what soft ones do.
    let height = width * 9 / 16 / 2 * 2;
    recipe.push(&["-filter_threads", "1"]);
    recipe.push_value(
        "-vf",
        format!(
            "scale=w={width}:h={height}:flags=neighbor,format=yuv420p,setsar=1,tpad=stop_mode=clone:stop={}",
            pictures - 1
        ),
    );
    recipe.push_value("-frames:v", format!("{pictures}"));
    recipe.push_value("-t", format!("{}", SLATE_MS / 1_000));
    recipe.push(&["-c:v", "libx264", "-preset", "superfast", "-tune", "stillimage", "-threads:v", "1"]);
    recipe.push(&["-profile:v", "main", "-bf", "0", "-crf", "30", "-sc_threshold", "0"]);
    recipe.push_value("-g", format!("{}", pictures / 2));
    if let Some((codec, rate, pid)) = sound {
        recipe.push(&["-map", "1:a:0", "-c:a", codec, "-b:a", rate]);
        recipe.push_value("-streamid", format!("1:{pid}"));
    }
    recipe.push(&["-muxdelay", "0", "-muxpreload", "0", "-pat_period", "0.5", "-f", "mpegts", "pipe:1"]);
    recipe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ts::Inspector;

    #[test]
    fn a_slate_is_made_of_numbers_and_templates() {
        let recipe = slate(SlateFormat::of(None, Some(1_921)).unwrap());
        let line = recipe.args().join(" ");
        assert!(line.starts_with("-nostdin "), "{line}");
        assert!(
            line.contains(" -protocol_whitelist pipe -f rawvideo -pixel_format gray -video_size 320x180 "),
            "{line}"
        );
        assert!(line.contains(" -vf scale=w=1920:h=1080:flags=neighbor,"), "{line}");
        assert!(line.contains(" -streamid 0:256 ") && line.contains(" -c:a aac -b:a 64k -streamid 1:257 "), "{line}");
    }

    #[test]
    fn sizes_are_within_what_is_worth_it() {
        let size = |width| SlateFormat::of(None, width).unwrap().width;
        assert_eq!([None, Some(0), Some(720), Some(1_440), Some(7_680)].map(size), [1_280, 320, 720, 1_440, 1_920]);
    }

    #[test]
    fn what_is_coded_alike_keeps_its_pid() {
        // An H.264 picture on 0x100 and MPEG audio on 0x101.
        let mut inspector = Inspector::new();
        for packet in include_bytes!("../../../../tests/golden/h264-mp2.ts").chunks_exact(188) {
            inspector.packet(packet.first_chunk().unwrap());
        }
        let format = SlateFormat::of(inspector.streams(), None).unwrap();
        assert_eq!((format.video_pid, format.sound), (0x100, Some(("mp2", "64k", 0x101))));
    }

    #[test]
    fn what_is_coded_otherwise_has_a_pid_of_its_own() {
        let format = |streams: &[(u16, Codec)]| {
            let streams: Streams = streams.iter().map(|(pid, codec)| Stream { pid: *pid, codec: *codec }).collect();
            SlateFormat::of(Some(&streams), None).map(|format| (format.video_pid, format.sound))
        };
        let hevc = format(&[(0x100, Codec::Hevc), (0x101, Codec::AacLatm)]);
        assert_eq!(hevc, Some((0x1E0, Some(("aac", "64k", 0x1E1)))));
        // Not even one that is taken, and none that FFmpeg would not have.
        let odd = format(&[(0x1E0, Codec::Mpeg2Video), (0x1000, Codec::Ac3), (0x1E1, Codec::Eac3)]);
        assert_eq!(odd, Some((0x1E2, Some(("ac3", "96k", 0x1E3)))));
        assert_eq!(format(&[(0x21, Codec::H264)]), Some((0x21, None)), "no sound, no silence");
        assert_eq!(format(&[(0x101, Codec::Aac), (0x102, Codec::Teletext)]), None, "radio");
    }
}

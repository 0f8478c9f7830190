//! FFmpeg's arguments for each encoder: what opens its device, what carries pictures to it, and how it is told to code.
//!
//! Here: the templates and the few numbers that go into them, all of them from `model/profile.rs` and
//! `model/encoder.rs`. Not here: the source, and the multiplexer (`recipe.rs`).
//!
//! All of them deinterlace what is interlaced, make no picture larger, decode in hardware where that falls back to
//! software by itself, and make a key frame every second with its parameter sets in front, so that anybody can join.
//! What they promise is shown by a trial of the same templates, not believed.
//!
//! Source: options and their meaning from FFmpeg 5.1 (`-h encoder=…`, `-h filter=…`), `libavfilter/vf_hwupload.c` for
//! passing on what is in hardware already, and `libavcodec/rkmppenc.c` and `vf_vpp_rkrga.c` of ffmpeg-rockchip 7.1.

use super::Recipe;
use crate::model::encoder::Encoder;
use crate::model::profile::{H264, Target};
use alloc::format;
use alloc::string::String;

impl Recipe {
    /// What stands in front of the input's own options: the device, and how the source is decoded.
    pub(super) fn push_device(&mut self, encoder: Encoder) {
        match encoder {
            Encoder::Software | Encoder::V4l2m2m(_) => {}
            Encoder::Vaapi(node) | Encoder::Qsv(node) => {
                self.push_value("-init_hw_device", format!("vaapi=va:{node}"));
                self.push(&VAAPI_INPUT);
            }
            Encoder::Nvenc(gpu) => {
                self.push_value("-init_hw_device", format!("cuda=cu:{}", gpu.number()));
                self.push(&CUDA_INPUT);
            }
            Encoder::Rkmpp => self.push(&RKMPP_INPUT),
        }
    }

    /// What stands behind the input: the way to the encoder, the encoder, and the sound.
    pub(super) fn push_coding(&mut self, target: Target, encoder: Encoder) {
        self.push_picture(target, encoder);
        self.push(&["-c:a", "aac"]);
        self.push_value("-b:a", format!("{}k", target.audio_kbits));
        self.push(&SOUND);
    }

    /// The picture alone.
    pub(super) fn push_picture(&mut self, target: Target, encoder: Encoder) {
        self.push_value("-vf", filters(target, encoder));
        self.push(&["-c:v", encoder.codec()]);
        self.push(match encoder {
            Encoder::Software => &SOFTWARE,
            Encoder::V4l2m2m(_) => &V4L2M2M,
            Encoder::Vaapi(_) => &VAAPI,
            Encoder::Qsv(_) => &QSV,
            Encoder::Nvenc(_) => &NVENC,
            Encoder::Rkmpp => &RKMPP,
        });
        let (profile, level) = match target.h264 {
            H264::Main { level } => ("main", level),
            H264::High { level } => ("high", level),
        };
        match encoder {
            // It has a control for it that not every driver knows, and makes High by itself.
            Encoder::V4l2m2m(_) => {}
            // They refuse a level that they hold for too low, and some drivers of VAAPI spoil pictures over it; by
            // themselves they write the right one.
            Encoder::Vaapi(_) | Encoder::Nvenc(_) | Encoder::Rkmpp => self.push(&["-profile:v", profile]),
            Encoder::Software | Encoder::Qsv(_) => {
                self.push(&["-profile:v", profile]);
                self.push_value("-level:v", format!("{level}"));
            }
        }
        let rate = u32::from(target.video_kbits);
        self.push_value("-b:v", format!("{rate}k"));
        self.push_value("-maxrate", format!("{rate}k"));
        self.push_value("-bufsize", format!("{}k", 2 * rate));
        self.push(&KEY_FRAMES);
    }
}

// ---- Filters ----------------------------------------------------------------------------------------------------

/// The way of a picture from the decoder to the encoder. Pictures that were decoded in hardware stay there; others are
/// uploaded.
fn filters(target: Target, encoder: Encoder) -> String {
    let rate = if target.halves_rate || matches!(encoder, Encoder::V4l2m2m(_)) { AT_MOST_30 } else { "" };
    let size = |multiple| scale(target, multiple);
    match encoder {
        Encoder::Software => format!("yadif=deint=interlaced,{rate}scale={},format=yuv420p", size(16)),
        // The Raspberry Pi's driver wants lines of 64 bytes; pictures of other widths come out skewed.
        Encoder::V4l2m2m(_) => format!("yadif=deint=interlaced,{rate}scale={},format=yuv420p", size(64)),
        Encoder::Vaapi(_) => {
            format!("format=nv12|vaapi,hwupload,deinterlace_vaapi=auto=1,{rate}scale_vaapi={}:format=nv12", size(16))
        }
        // Its encoder holds more pictures at once than the scaler would set aside.
        Encoder::Qsv(_) => format!(
            "format=nv12|vaapi,hwupload,deinterlace_vaapi=auto=1,{rate}scale_vaapi={}:format=nv12:extra_hw_frames=24,\
             hwmap=derive_device=qsv,format=qsv",
            size(16)
        ),
        Encoder::Nvenc(_) => {
            format!("format=nv12|cuda,hwupload,yadif_cuda=deint=interlaced,{rate}scale_cuda={}:format=nv12", size(16))
        }
        // Its decoders deinterlace by themselves.
        Encoder::Rkmpp => format!(
            "format=nv12|drm_prime,hwupload,{rate}scale_rkrga={}:format=nv12:force_original_aspect_ratio=disable",
            size(16)
        ),
    }
}

/// Every other picture of fifty or sixty a second, whole ones of what is less. A rate that cannot be is taken for 25.
const AT_MOST_30: &str =
    "fps=fps='if(between(source_fps,1,31),source_fps,if(between(source_fps,46,62),source_fps/2,25))',";

/// Width and height of what is made, for any of the scalers; [`Target::size`] computes the same.
///
/// `sar` is 1 where the source does not say. The scaler writes down what rounding did to the shape of a pixel.
fn scale(target: Target, multiple: u8) -> String {
    let smaller = format!("min(1,{}/max(ih,iw*sar*9/16))", target.lines_max);
    format!(
        "w='max({multiple},trunc(min(iw*sar*{smaller}/{multiple}+0.4,iw*sar/{multiple}))*{multiple})':\
         h='max(16,trunc(ih*{smaller}/2+0.25)*2)'"
    )
}

// ---- Devices ----------------------------------------------------------------------------------------------------

// A decoder that does not know a source's format, or a chip that does not, leaves it to software; pictures that should
// be turned would need a filter that only software has.

#[rustfmt::skip]
const VAAPI_INPUT: [&str; 9] = [
    "-filter_hw_device", "va",
    "-hwaccel", "vaapi", "-hwaccel_device", "va", "-hwaccel_output_format", "vaapi", "-noautorotate",
];

#[rustfmt::skip]
const CUDA_INPUT: [&str; 9] = [
    "-filter_hw_device", "cu",
    "-hwaccel", "cuda", "-hwaccel_device", "cu", "-hwaccel_output_format", "cuda", "-noautorotate",
];

#[rustfmt::skip]
const RKMPP_INPUT: [&str; 9] = [
    "-init_hw_device", "rkmpp=rk", "-filter_hw_device", "rk",
    "-hwaccel", "rkmpp", "-hwaccel_output_format", "drm_prime", "-noautorotate",
];

// ---- Encoders ---------------------------------------------------------------------------------------------------

/// Without delay, and on all cores: as the encoding without a profile.
#[rustfmt::skip]
const SOFTWARE: [&str; 6] = ["-preset", "veryfast", "-tune", "zerolatency", "-sc_threshold", "0"];

/// Four buffers, its own choice, can all be on their way at once, and then it waits for ever.
const V4L2M2M: [&str; 2] = ["-num_capture_buffers", "16"];

/// Closed captions of some broadcasts are too long for what newer versions would put them into.
const VAAPI: [&str; 4] = ["-bf", "0", "-sei", "identifier+timing+recovery_point"];

const QSV: [&str; 6] = ["-preset", "veryfast", "-bf", "0", "-forced_idr", "1"];

#[rustfmt::skip]
const NVENC: [&str; 14] = [
    "-preset", "p3", "-tune", "ll", "-rc", "vbr", "-bf", "0", "-forced-idr", "1", "-delay", "0", "-zerolatency", "1",
];

const RKMPP: [&str; 2] = ["-rc_mode", "CBR"];

/// One each second; should an encoder not do as it is told, one in fifty pictures.
const KEY_FRAMES: [&str; 4] = ["-g", "50", "-force_key_frames", "expr:gte(t,n_forced)"];

const SOUND: [&str; 6] = ["-ac", "2", "-ar", "48000", "-max_muxing_queue_size", "1024"];

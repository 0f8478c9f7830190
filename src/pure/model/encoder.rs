//! Encoders: what may turn pictures into H.264 on this box, and the device nodes they need.
//!
//! Not here: FFmpeg's arguments for them (`model/recipe/transcode.rs`), and which of them is used
//! (`rules/encoders.rs`).
//!
//! Numbers of devices come from a board's file or from what is in `/dev`, never from the network, and are numbers: no
//! text can slip into an argument through them.

use crate::limits::ENCODERS_MAX;
use core::fmt;
use core::str::FromStr;

/// The list of encoders to be tried, in order.
pub type Candidates = heapless::Vec<Encoder, ENCODERS_MAX>;

/// One way to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoder {
    /// libx264, on the processor.
    Software,
    /// The kernel's codec devices, such as the Raspberry Pi's up to model 4. FFmpeg finds the right one by itself; the
    /// number says which must be there for a trial to make sense.
    V4l2m2m(VideoNode),
    /// Intel and AMD graphics.
    Vaapi(RenderNode),
    /// Intel's own way to the same chip; pictures are decoded and scaled by VAAPI.
    Qsv(RenderNode),
    /// NVIDIA graphics.
    Nvenc(Gpu),
    /// Rockchip, with the vendor's kernel and a patched FFmpeg.
    Rkmpp,
}

/// `/dev/videoN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VideoNode(u8);

/// `/dev/dri/renderDN`, 128 to 191.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RenderNode(u8);

/// `/dev/nvidiaN`, which is CUDA's number too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gpu(u8);

/// Most video nodes that are looked at.
const VIDEO_NODES: u8 = 64;
/// The kernel gives render nodes these numbers (`drivers/gpu/drm/drm_drv.c`, `DRM_MINOR_RENDER`).
const RENDER_NODES: core::ops::Range<u8> = 128..192;
/// Most graphics cards that are looked at.
const GPUS: u8 = 8;

impl VideoNode {
    /// The node of this number.
    pub const fn new(number: u8) -> Option<Self> {
        if number < VIDEO_NODES { Some(Self(number)) } else { None }
    }
}

impl RenderNode {
    /// The node of this number.
    pub const fn new(number: u8) -> Option<Self> {
        if number >= RENDER_NODES.start && number < RENDER_NODES.end { Some(Self(number)) } else { None }
    }
}

impl Gpu {
    /// The card of this number.
    pub const fn new(number: u8) -> Option<Self> {
        if number < GPUS { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for VideoNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/video{}", self.0)
    }
}

impl fmt::Display for RenderNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/dri/renderD{}", self.0)
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/nvidia{}", self.0)
    }
}

impl Encoder {
    /// FFmpeg's name of it.
    pub const fn codec(self) -> &'static str {
        match self {
            Self::Software => "libx264",
            Self::V4l2m2m(_) => "h264_v4l2m2m",
            Self::Vaapi(_) => "h264_vaapi",
            Self::Qsv(_) => "h264_qsv",
            Self::Nvenc(_) => "h264_nvenc",
            Self::Rkmpp => "h264_rkmpp",
        }
    }

    /// Whether a chip does it.
    pub const fn is_hardware(self) -> bool {
        !matches!(self, Self::Software)
    }

    /// Whether the device that it needs is there, as `exists` tells of a path. Software needs none.
    ///
    /// The Rockchip's second name is that of older vendor kernels.
    pub fn is_there(self, mut exists: impl FnMut(&dyn fmt::Display) -> bool) -> bool {
        match self {
            Self::Software => true,
            Self::V4l2m2m(node) => exists(&node),
            Self::Vaapi(node) | Self::Qsv(node) => exists(&node),
            Self::Nvenc(gpu) => exists(&gpu),
            Self::Rkmpp => exists(&"/dev/mpp_service") || exists(&"/dev/mpp-service"),
        }
    }
}

/// What to try on a board that we have no file for: whatever has its device, and software last.
///
/// VAAPI stands before QSV: it is the same chip with fewer parts that may be missing. Cards that do not answer fail
/// their trial within a moment.
pub fn candidates(mut exists: impl FnMut(&dyn fmt::Display) -> bool) -> Candidates {
    let mut found = Candidates::new();
    let mut add = |encoder| {
        // The last place is kept for software.
        if found.len() + 1 < ENCODERS_MAX {
            found.push(encoder).unwrap_or_default();
        }
    };
    if Encoder::Rkmpp.is_there(&mut exists) {
        add(Encoder::Rkmpp);
    }
    for gpu in (0..GPUS).map(Gpu).filter(|gpu| exists(gpu)) {
        add(Encoder::Nvenc(gpu));
    }
    for node in RENDER_NODES.map(RenderNode).filter(|node| exists(node)) {
        add(Encoder::Vaapi(node));
        add(Encoder::Qsv(node));
    }
    // Which node is the encoder only FFmpeg can tell, and it asks them all.
    if let Some(node) = (0..VIDEO_NODES).map(VideoNode).find(|node| exists(node)) {
        add(Encoder::V4l2m2m(node));
    }
    found.push(Encoder::Software).unwrap_or_default();
    found
}

/// A text names no encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEncoder;

impl fmt::Display for UnknownEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("encoders are v4l2m2m:video11, vaapi:renderD128, qsv:renderD128, nvenc:0 and rkmpp")
    }
}

/// As board files and the API name it: `vaapi:renderD128`.
impl fmt::Display for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Software => f.write_str("software"),
            Self::V4l2m2m(VideoNode(number)) => write!(f, "v4l2m2m:video{number}"),
            Self::Vaapi(RenderNode(number)) => write!(f, "vaapi:renderD{number}"),
            Self::Qsv(RenderNode(number)) => write!(f, "qsv:renderD{number}"),
            Self::Nvenc(Gpu(number)) => write!(f, "nvenc:{number}"),
            Self::Rkmpp => f.write_str("rkmpp"),
        }
    }
}

impl FromStr for Encoder {
    type Err = UnknownEncoder;

    fn from_str(text: &str) -> Result<Self, UnknownEncoder> {
        let number = |text: &str| -> Option<u8> {
            // As we write it ourselves: no sign, no leading zero.
            let plain = text == "0" || text.starts_with(|first| matches!(first, '1'..='9'));
            text.parse().ok().filter(|_| plain)
        };
        let (kind, device) = text.split_once(':').unwrap_or((text, ""));
        let video = || device.strip_prefix("video").and_then(number).and_then(VideoNode::new);
        let render = || device.strip_prefix("renderD").and_then(number).and_then(RenderNode::new);
        let encoder = match (kind, device) {
            ("software", "") => Some(Self::Software),
            ("rkmpp", "") => Some(Self::Rkmpp),
            ("v4l2m2m", _) => video().map(Self::V4l2m2m),
            ("vaapi", _) => render().map(Self::Vaapi),
            ("qsv", _) => render().map(Self::Qsv),
            ("nvenc", _) => number(device).and_then(Gpu::new).map(Self::Nvenc),
            _ => None,
        };
        // One way to write each: `software:` is none.
        encoder.filter(|_| !text.ends_with(':')).ok_or(UnknownEncoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn an_encoder_is_read_as_it_is_written() {
        for text in ["software", "v4l2m2m:video11", "vaapi:renderD128", "qsv:renderD191", "nvenc:0", "nvenc:7", "rkmpp"]
        {
            assert_eq!(text.parse::<Encoder>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "software:",
            "software:1",
            "rkmpp:",
            "rkmpp:0",
            "vaapi",
            "vaapi:",
            "vaapi:renderD",
            "vaapi:renderD127",
            "vaapi:renderD192",
            "vaapi:renderD0128",
            "vaapi:renderD+128",
            "vaapi:/dev/dri/renderD128",
            "vaapi:renderD128,driver=evil",
            "nvenc:8",
            "nvenc:00",
            "nvenc:256",
            "v4l2m2m:video64",
            "VAAPI:renderD128",
            "x264",
        ] {
            assert_eq!(text.parse::<Encoder>(), Err(UnknownEncoder), "{text}");
        }
    }

    fn found(nodes: &[&str]) -> Vec<std::string::String> {
        let exists = |path: &dyn fmt::Display| nodes.contains(&path.to_string().as_str());
        candidates(exists).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_board_tries_what_has_a_device() {
        assert_eq!(found(&[]), ["software"]);
        assert_eq!(found(&["/dev/dri/renderD128"]), ["vaapi:renderD128", "qsv:renderD128", "software"]);
        assert_eq!(found(&["/dev/video10", "/dev/video11", "/dev/video31"]), ["v4l2m2m:video10", "software"]);
        assert_eq!(found(&["/dev/mpp-service", "/dev/video0"]), ["rkmpp", "v4l2m2m:video0", "software"]);
        assert_eq!(
            found(&["/dev/nvidia0", "/dev/dri/renderD129"]),
            ["nvenc:0", "vaapi:renderD129", "qsv:renderD129", "software"]
        );
    }

    #[test]
    fn a_box_full_of_devices_still_tries_software() {
        let all = candidates(|_| true);
        assert_eq!((all.len(), all.last()), (ENCODERS_MAX, Some(&Encoder::Software)));
    }
}

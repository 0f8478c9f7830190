//! Whose fault it was that a hardware encoder's child ended, by what it said.
//!
//! The last line that speaks of one of them decides: warnings of a good start stand above it.
//!
//! Source: words of FFmpeg 5.1 without the devices (they stand in the tests), of FFmpeg 5 to 7 in reports about drivers
//! (raspberrypi/linux 3171, blakeblackshear/frigate 1021, jellyfin/jellyfin 7227), and of `libavcodec/rkmppenc.c`.

use crate::model::encoder::Encoder;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// We ended it: nobody watched any more, or the box stops.
    Asked,
    /// It ended by itself.
    Exit,
    /// A signal that was not ours ended it.
    Signal(i32),
    /// It had to be ended, because it lived and gave nothing.
    Silent,
    /// One of the two, and its source gave it nothing, or nothing more for a while.
    Starved,
}

/// What is known of a child's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended<'a> {
    /// How.
    pub how: How,
    /// Whether it gave packets before.
    pub had_output: bool,
    /// Its last lines; a few of them, for newer versions end with lines that say nothing.
    pub words: &'a str,
}

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nobody's that could be helped by another encoder.
    Nobody,
    /// The source's.
    Source,
    /// The encoder's, its device's or its driver's.
    Encoder,
    /// Perhaps the encoder's: it never gave anything, and did not say why.
    Unclear,
}

/// Signals that a program gets for its own mistakes, or its libraries': ILL, ABRT, BUS, FPE, SEGV, with the numbers
/// that they have on all boards we know.
const CRASHES: [i32; 5] = [4, 6, 7, 8, 11];

/// Whose fault the end of this encoder's child was.
pub fn blame(encoder: Encoder, ended: &Ended<'_>) -> Blame {
    if !encoder.is_hardware() {
        return Blame::Nobody;
    }
    match (ended.how, told(encoder, ended.words)) {
        (How::Signal(signal), _) if CRASHES.contains(&signal) => Blame::Encoder,
        // Other signals are the kernel's, for want of memory most likely.
        (How::Asked | How::Signal(_), _) => Blame::Nobody,
        (How::Exit | How::Silent | How::Starved, Some(Blame::Encoder)) => Blame::Encoder,
        (How::Starved, _) => Blame::Source,
        (How::Exit, Some(blame)) => blame,
        (How::Exit, None) if ended.had_output => Blame::Nobody,
        // It had what it needs: one that lives on waits for the chip.
        (How::Exit | How::Silent, _) => Blame::Unclear,
    }
}

/// The line of `words` that tells best why an encoder failed, without FFmpeg's name of the part that says it.
pub fn cause(encoder: Encoder, words: &str) -> &str {
    let first = words.lines().map(str::trim).find(|line| matches!(of_line(encoder, line), Some(Blame::Encoder)));
    let any = || words.lines().map(str::trim).rfind(|line| !line.is_empty());
    let line = first.or_else(any).unwrap_or("it ended and did not say why");
    // `[h264_vaapi @ 0x55…] words`
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, rest)) => rest,
        None => line,
    }
}

/// Whom the last line that speaks of one of them speaks of.
fn told(encoder: Encoder, words: &str) -> Option<Blame> {
    words.lines().rev().find_map(|line| of_line(encoder, line))
}

fn of_line(encoder: Encoder, line: &str) -> Option<Blame> {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| line.contains(phrase));
    if has(&HARMLESS) {
        None
    } else if has(&ENCODERS) || ((has(&OPENING) || line.contains(encoder.codec())) && !has(&SOUND)) {
        Some(Blame::Encoder)
    } else if has(&SOURCES) {
        Some(Blame::Source)
    } else {
        None
    }
}

/// What drivers say that work all the same.
const HARMLESS: [&str; 6] = [
    "Failed to set ",
    "Failed to get ",
    "does not support end of stream",
    "deprecated",
    "Failed setup for format",
    "Using device",
];

/// What only devices, hardware frames and encoders say.
const ENCODERS: [&str; 16] = [
    "AVHWDeviceContext",
    "AVHWFramesContext",
    "Device creation failed",
    "init_hw_device",
    "device specification",
    "hardware device",
    "hwupload",
    "hwmap",
    "[Parsed_",
    "Unknown encoder",
    "No such filter",
    "Impossible to convert between",
    "into filter network",
    "initializing filter",
    "to the encoder",
    "capture buffers returned",
];

/// What is said of the picture's encoder and of the sound's.
const OPENING: [&str; 2] = ["Error while opening encoder", "Error initializing output stream"];

/// What then tells that it was the sound's.
const SOUND: [&str; 3] = ["aost#", "output stream #0:1", "output stream 0:1"];

/// What is said of sources.
const SOURCES: [&str; 21] = [
    "Server returned",
    "HTTP error",
    "[http @",
    "[https @",
    "[tls @",
    "[tcp @",
    "[udp @",
    "[hls @",
    "[mpegts @",
    "[in#",
    "Connection ",
    "No route to host",
    "Network is unreachable",
    "Failed to resolve",
    "Error opening input",
    "processing input",
    "Input/output error",
    "Immediate exit requested",
    "any stream",
    "matches no streams",
    "codec parameters",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(text: &str) -> Encoder {
        text.parse().unwrap()
    }

    /// What FFmpeg 5.1.9 of Debian 12 said on a computer without any of the devices, to our own arguments.
    const NO_DEVICE: [(&str, &str, &str); 6] = [
        (
            "v4l2m2m:video11",
            "[h264_v4l2m2m @ 0x55945b1fe200] Could not find a valid device\n\
             [h264_v4l2m2m @ 0x55945b1fe200] can't configure encoder\n\
             Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe \
             incorrect parameters such as bit_rate, rate, width or height\n",
            "Could not find a valid device",
        ),
        (
            "vaapi:renderD128",
            "[AVHWDeviceContext @ 0x562ed7861980] No VA display found for device /dev/dri/renderD128.\n\
             Device creation failed: -22.\n\
             Failed to set value 'vaapi=va:/dev/dri/renderD128' for option 'init_hw_device': Invalid argument\n\
             Error parsing global options: Invalid argument\n",
            "No VA display found for device /dev/dri/renderD128.",
        ),
        (
            "qsv:renderD128",
            "[h264_qsv @ 0x5577c90182c0] Error initializing an internal MFX session: unsupported (-3)\n\
             Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe \
             incorrect parameters such as bit_rate, rate, width or height\n",
            "Error initializing an internal MFX session: unsupported (-3)",
        ),
        (
            "nvenc:0",
            "[AVHWDeviceContext @ 0x55e8cf7d7980] Cannot load libcuda.so.1\n\
             [AVHWDeviceContext @ 0x55e8cf7d7980] Could not dynamically load CUDA\n\
             Device creation failed: -1.\n\
             Failed to set value 'cuda=cu:0' for option 'init_hw_device': Operation not permitted\n\
             Error parsing global options: Operation not permitted\n",
            "Cannot load libcuda.so.1",
        ),
        (
            "rkmpp",
            "Invalid device specification \"rkmpp=rk\": unknown device type\n\
             Failed to set value 'rkmpp=rk' for option 'init_hw_device': Invalid argument\n\
             Error parsing global options: Invalid argument\n",
            "Invalid device specification \"rkmpp=rk\": unknown device type",
        ),
        ("rkmpp", "Unknown encoder 'h264_rkmpp'\n", "Unknown encoder 'h264_rkmpp'"),
    ];

    #[test]
    fn a_missing_device_is_the_encoders_fault_and_named() {
        for (name, words, best) in NO_DEVICE {
            let ended = Ended { how: How::Exit, had_output: false, words };
            assert_eq!(blame(encoder(name), &ended), Blame::Encoder, "{name}: {words}");
            assert_eq!(cause(encoder(name), words), best);
        }
    }

    #[test]
    fn drivers_that_fail_later_are_known_by_their_words() {
        for (name, words) in [
            // A Raspberry Pi whose contiguous memory is used up.
            (
                "v4l2m2m:video11",
                "[h264_v4l2m2m @ 0x28bda20] output VIDIOC_REQBUFS failed: Cannot allocate memory\n\
                 [h264_v4l2m2m @ 0x28bda20] no v4l2 output context's buffers\n\
                 [h264_v4l2m2m @ 0x28bda20] can't configure encoder\n",
            ),
            (
                "vaapi:renderD128",
                "[Parsed_hwupload_1 @ 0x55] Query format failed for 'Parsed_hwupload_1': Invalid argument\n",
            ),
            (
                "vaapi:renderD128",
                "[h264_vaapi @ 0x5] Failed to end picture encode issue: 24 (internal encoding error).\n\
                 [vost#0:0/h264_vaapi @ 0x5] Error submitting video frame to the encoder\nConversion failed!\n",
            ),
            (
                "nvenc:0",
                "[h264_nvenc @ 0x5] OpenEncodeSessionEx failed: out of memory (10): (no details)\n\
                 [vost#0:0/h264_nvenc @ 0x5] Error while opening encoder - maybe incorrect parameters such as bit_rate, \
                 rate, width or height.\nError opening output files: Generic error in an external library\n",
            ),
            ("rkmpp", "[h264_rkmpp @ 0x5] Failed to init MPP context: -1\nConversion failed!\n"),
        ] {
            for had_output in [false, true] {
                let ended = Ended { how: How::Exit, had_output, words };
                assert_eq!(blame(encoder(name), &ended), Blame::Encoder, "{words}");
            }
        }
        let stuck = "[h264_v4l2m2m @ 0x5] All capture buffers returned to userspace. Increase num_capture_buffers to \
                     prevent device deadlock or dropped packets/frames.\n";
        let ended = Ended { how: How::Silent, had_output: true, words: stuck };
        assert_eq!(blame(encoder("v4l2m2m:video11"), &ended), Blame::Encoder);
    }

    #[test]
    fn a_source_that_fails_is_not_the_encoders_fault() {
        let pi = encoder("v4l2m2m:video11");
        let start = "[h264_v4l2m2m @ 0x5] Failed to set gop size: Invalid argument\n";
        for words in [
            "[http @ 0x5] HTTP error 404 Not Found\nhttp://a/: Server returned 404 Not Found\n",
            "http://a/: Connection refused\n",
            "[tcp @ 0x5] Failed to resolve hostname a: Name or service not known\nhttp://a/: Input/output error\n",
            "[in#0 @ 0x5] Error opening input: Server returned 5XX Server Error reply\nError opening input files: 5XX\n",
            "http://a/: Invalid data found when processing input\n",
            "Output file #0 does not contain any stream\n",
        ] {
            let ended = Ended { how: How::Exit, had_output: false, words };
            assert_eq!(blame(pi, &ended), Blame::Source, "{words}");
        }
        // Warnings of a good start stay in what is kept of its words.
        let words = &(std::string::String::from(start) + "[http @ 0x5] Connection reset by peer\n");
        assert_eq!(blame(pi, &Ended { how: How::Exit, had_output: true, words }), Blame::Source);
        assert_eq!(blame(pi, &Ended { how: How::Exit, had_output: true, words: start }), Blame::Nobody);
        let sound = "Error initializing output stream 0:1 -- Error while opening encoder for output stream #0:1\n";
        assert_eq!(blame(pi, &Ended { how: How::Exit, had_output: false, words: sound }), Blame::Unclear);
    }

    #[test]
    fn an_end_without_words_is_judged_by_how_it_was() {
        let card = encoder("nvenc:0");
        let end = |how, had_output| blame(card, &Ended { how, had_output, words: "" });
        assert_eq!(end(How::Signal(11), true), Blame::Encoder);
        assert_eq!(end(How::Signal(9), true), Blame::Nobody);
        assert_eq!(end(How::Asked, false), Blame::Nobody);
        assert_eq!(end(How::Exit, true), Blame::Nobody);
        assert_eq!(end(How::Exit, false), Blame::Unclear);
        assert_eq!(end(How::Silent, true), Blame::Unclear);
        assert_eq!([end(How::Starved, false), end(How::Starved, true)], [Blame::Source; 2]);
        let software = Ended { how: How::Signal(11), had_output: false, words: "" };
        assert_eq!(blame(Encoder::Software, &software), Blame::Nobody, "there is nothing to fall back to");
        assert_eq!(cause(card, " \n"), "it ended and did not say why");
    }
}

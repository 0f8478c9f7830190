//! Recipes: the FFmpeg arguments for a source and a treatment. The only place that knows FFmpeg's flags.
//!
//! Not here: who starts FFmpeg, and how often (the daemon's `engine::process`, with a permit); what the demo channels
//! look like (`recipe/demo.rs`); what each encoder wants (`recipe/transcode.rs`); what
//! viewers see in the meantime (`recipe/slate.rs`).
//!
//! The invariant (S30, S31, S33): every argument comes from a template of this file, except a few values, each in a place
//! of its own where FFmpeg takes it for a value and nothing else: the name of the channel, after `-metadata` and behind
//! `service_name=`; the address of what we do not fetch ourselves, right after `-i`; what such an address says, a provider's
//! user agent and the headers that he wants to see, after options of their own. Rates, sizes and devices are numbers of our
//! own tables. No shell, no "extra arguments". Which demuxers and protocols may open an address is listed exactly. A
//! transport stream over HTTP is fetched by ourselves and comes through a pipe, and FFmpeg may open nothing else; where it
//! fetches by itself over HTTP, the daemon is its proxy, and sees every connection that it wants. FFmpeg takes options out
//! of the addresses of datagrams and SRT: what stands there is ours ([`Reader::address`]).

mod demo;
pub mod slate;
mod transcode;

use crate::limits::{NAME_BYTES_MAX, TRIAL_PICTURES};
use crate::model::encoder::Encoder;
use crate::model::guide_number::GuideNumber;
use crate::model::lineup::SourceClass;
use crate::model::lineup::{DemoIndex, Source};
use crate::model::profile::{Profile, Target};
use crate::model::recipe::demo::Scene;
use crate::model::source_url::{Scheme, SourceUrl, SrtOption};
use crate::rules::admission::Work;
use crate::rules::reach::Reach;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// What happens to pictures and sound on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// The coded pictures and sound are passed on bit by bit; only their wrapping is new.
    Copy,
    /// The coded pictures are passed on bit by bit, the first sound becomes AAC stereo.
    Sound,
    /// Video becomes H.264 with a key frame every second, the first sound AAC stereo.
    Encode,
    /// The same, of the size and rate that a client asked for, made by this encoder.
    Transcode(Target, Encoder),
}

/// FFmpeg's arguments, without the name of the program. They make a transport stream on standard output.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipe {
    args: Vec<String>,
}

impl Recipe {
    /// The arguments in order.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    fn push(&mut self, templates: &[&str]) {
        self.args.extend(templates.iter().map(|template| (*template).to_owned()));
    }

    fn push_value(&mut self, option: &str, value: String) {
        self.args.push(option.to_owned());
        self.args.push(value);
    }
}

/// Shows no argument: the address among them may hold a password.
impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipe({} arguments)", self.args.len())
    }
}

/// A channel that FFmpeg makes by itself: a moving picture with a clock, and a tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoChannel {
    /// What a viewer types.
    pub number: GuideNumber,
    /// What a viewer reads, in the guide and in the picture. Letters and digits that `recipe/demo.rs` can draw.
    pub name: &'static str,
    /// What is to be seen and heard, for the guide.
    pub description: &'static str,
    scene: Scene,
    left_hz: u16,
    right_hz: u16,
}

/// The demo channels, in the order of their [`DemoIndex`]. A fifth apart from left to right, so that an ear can tell
/// channels and sides.
pub const DEMO: [DemoChannel; 4] = [
    DemoChannel {
        number: GuideNumber::subchannel(1, 1),
        name: "Demo Bars",
        description: "Colour bars with a line that crosses them every six seconds, and the time in UTC. \
                      A steady tone, C on the left and G on the right.",
        scene: Scene::Bars,
        left_hz: 262,
        right_hz: 392,
    },
    DemoChannel {
        number: GuideNumber::subchannel(1, 2),
        name: "Demo Dawn",
        description: "The colours of a morning sky, drifting from night to day and back, and the time in UTC. \
                      A steady tone, D on the left and A on the right.",
        scene: Scene::Dawn,
        left_hz: 294,
        right_hz: 440,
    },
    DemoChannel {
        number: GuideNumber::subchannel(1, 3),
        name: "Demo Grid",
        description: "A grid that glides up and to the left, and the time in UTC. \
                      A steady tone, E on the left and B on the right.",
        scene: Scene::Grid,
        left_hz: 330,
        right_hz: 494,
    },
    DemoChannel {
        number: GuideNumber::subchannel(1, 4),
        name: "Demo Tennis",
        description: "Two bats that never miss a ball, and the time in UTC. \
                      A steady tone, G on the left and D on the right.",
        scene: Scene::Tennis,
        left_hz: 392,
        right_hz: 587,
    },
];

/// The demo channel of this index; the first one for an index that this release does not have.
pub fn demo_channel(index: DemoIndex) -> &'static DemoChannel {
    const { &DEMO }.get(usize::from(index.0)).unwrap_or(const { &DEMO[0] })
}

/// How a source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// FFmpeg draws it.
    Demo,
    /// A transport stream over HTTP, fetched by ourselves: whatever nobody says otherwise of. FFmpeg gets it through a pipe
    /// where it must be coded.
    TransportStream,
    /// A file of another kind over HTTP, in which FFmpeg goes back and forth by itself.
    File,
    /// A playlist of segments over HTTP, followed by ourselves, or by FFmpeg where it must be coded or is beyond us.
    Hls,
    /// A transport stream in datagrams.
    Udp,
    /// A transport stream in datagrams that are numbered.
    Rtp,
    /// A camera, or a server that speaks as one; over TCP, which passes every firewall that lets it out.
    Rtsp,
    /// What FLV files hold, as it comes.
    Rtmp,
    /// The same over TLS.
    Rtmps,
    /// A transport stream over SRT.
    Srt,
}

/// The recipe for one source. `channel_name` is what players show that read the stream's own service table.
///
/// A demo source is always encoded: there is nothing to copy.
pub fn recipe(source: &Source, reader: Reader, channel_name: &str, treatment: Treatment) -> Recipe {
    recipe_at(source, reader, None, channel_name, treatment)
}

/// The same, calling or hearing nobody but `at`, which is where the source of [`to_call`] was found to be.
pub fn recipe_at(
    source: &Source,
    reader: Reader,
    at: Option<IpAddr>,
    channel_name: &str,
    treatment: Treatment,
) -> Recipe {
    let mut recipe = Recipe { args: Vec::new() };
    recipe.push(&ALWAYS);
    if let Treatment::Transcode(_, encoder) = treatment {
        recipe.push_device(encoder);
    }
    recipe.push_input(source, reader, at);
    recipe.push(reader.streams(treatment));
    match (source, treatment) {
        (_, Treatment::Transcode(target, encoder)) => recipe.push_coding(target, encoder),
        (Source::Demo(_), _) => recipe.push(&DEMO_ENCODE),
        (Source::Url { .. }, Treatment::Copy) => recipe.push(&COPY),
        (Source::Url { .. }, Treatment::Sound) => recipe.push(&SOUND),
        (Source::Url { .. }, Treatment::Encode) => recipe.push(&ENCODE),
    }
    recipe.push_value("-metadata", service_name(channel_name));
    recipe.push(&OUTPUT);
    recipe
}

/// Whom FFmpeg calls by itself for a source, or where it listens, and how far that may be; what it fetches over HTTP goes
/// through a proxy of ours.
pub fn to_call(source: &Source) -> Option<(&SourceUrl, Reach)> {
    match source {
        Source::Url { url, reach, .. } if !url.scheme().is_http() => Some((url, *reach)),
        Source::Demo(_) | Source::Url { .. } => None,
    }
}

/// The recipe that shows what an encoder can do: a second of a test picture of 720 lines, on the very way that a
/// channel takes to `internet720`.
pub fn trial(encoder: Encoder) -> Recipe {
    const TARGET: Target = Profile::Internet720.target().expect("it makes something");
    let mut recipe = Recipe { args: Vec::new() };
    recipe.push(&ALWAYS);
    recipe.push_device(encoder);
    recipe.push(&TRIAL_INPUT);
    recipe.push_value("-frames:v", format!("{TRIAL_PICTURES}"));
    recipe.push_picture(TARGET, encoder);
    recipe.push_value("-metadata", service_name("trial"));
    recipe.push(&OUTPUT);
    recipe
}

impl Recipe {
    /// All of the input. Nothing behind it depends on where the bytes come from.
    fn push_input(&mut self, source: &Source, reader: Reader, at: Option<IpAddr>) {
        match source {
            Source::Demo(index) => {
                self.push(&DEMO_INPUT);
                self.push_value("-i", demo_channel(*index).graph());
            }
            Source::Url { url, user_agent, headers, provider, .. } => {
                let headers = provider.as_ref().map_or_else(|| headers.clone(), |by| headers.under(&by.headers));
                self.push(reader.input());
                if matches!(reader, Reader::File | Reader::Hls | Reader::Rtsp) {
                    self.push_value("-user_agent", clean_user_agent(user_agent.as_deref()));
                }
                if matches!(reader, Reader::File | Reader::Hls) && !headers.is_empty() {
                    self.push_value("-headers", headers.to_lines());
                }
                for option in SrtOption::ALL {
                    if let Some(value) = url.srt_option(option) {
                        // FFmpeg has an option `-streamid` of its own.
                        let prefix = if option == SrtOption::StreamId { "srt_" } else { "" };
                        self.push_value(&format!("-{prefix}{}", option.key()), value);
                    }
                }
                if let (Reader::Rtmp, Some(_)) = (reader, at) {
                    // Servers of many names go by this one.
                    let place = format!("rtmp://{}:{}/{}", url.bracketed_host(), url.port(), rtmp_app(url));
                    self.push_value("-rtmp_tcurl", place);
                }
                self.push_value("-i", reader.address(url, at));
            }
        }
    }
}

// ---- Templates --------------------------------------------------------------------------------------------------

/// Quiet, and never at the keyboard.
const ALWAYS: [&str; 5] = ["-nostdin", "-hide_banner", "-nostats", "-loglevel", "warning"];

/// One thread for a picture this small is plenty, and four of these channels share one core.
const DEMO_INPUT: [&str; 7] = ["-filter_threads", "1", "-threads", "1", "-re", "-f", "lavfi"];

const DEMO_STREAMS: [&str; 4] = ["-map", "0:v:0", "-map", "0:a:0"];

/// A picture with detail and motion, as fast as it can be made.
#[rustfmt::skip]
const TRIAL_INPUT: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25"];

/// The two-loop coder of the AAC encoder and its tools double the cost of a steady tone, for nothing.
#[rustfmt::skip]
const DEMO_ENCODE: [&str; 32] = [
    "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads:v", "1",
    "-pix_fmt", "yuv420p", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0",
    "-c:a", "aac", "-aac_coder", "fast", "-aac_pns", "0", "-aac_is", "0", "-aac_tns", "0", "-b:a", "96k",
    "-ar", "48000", "-ac", "2",
];

/// Ends of addresses that are opened as files.
const FILE_EXTENSIONS: [&str; 8] = ["mp4", "m4v", "mov", "mkv", "webm", "flv", "mpg", "mpeg"];

impl Reader {
    /// How a source is read, as far as its address tells.
    pub fn of(source: &Source) -> Self {
        let Source::Url { url, .. } = source else { return Self::Demo };
        match url.scheme() {
            Scheme::Udp => Self::Udp,
            Scheme::Rtp => Self::Rtp,
            Scheme::Rtsp => Self::Rtsp,
            Scheme::Rtmp => Self::Rtmp,
            Scheme::Rtmps => Self::Rtmps,
            Scheme::Srt => Self::Srt,
            Scheme::Http | Scheme::Https if url.looks_like_hls() => Self::Hls,
            Scheme::Http | Scheme::Https if url.has_extension(&FILE_EXTENSIONS) => Self::File,
            Scheme::Http | Scheme::Https => Self::TransportStream,
        }
    }

    /// How an answer is read that begins like this, where that says it for sure; addresses tell little.
    ///
    /// Source: RFC 8216, 4.3.1.1; ISO/IEC 14496-12, 4.3; RFC 8794, 4; ISO/IEC 13818-1, 2.5.3.3; Adobe's FLV, E.2.
    pub fn of_content(first: &[u8]) -> Option<Self> {
        let text = first.strip_prefix("\u{feff}".as_bytes()).unwrap_or(first);
        if text.starts_with(b"#EXTM3U") {
            return Some(Self::Hls);
        }
        let is_file = matches!(
            first,
            [_, _, _, _, b'f', b't', b'y', b'p', ..]
                | [_, _, _, _, b'm', b'o', b'o', b'v', ..]
                | [0x1A, 0x45, 0xDF, 0xA3, ..]
                | [0, 0, 1, 0xBA, ..]
                | [b'F', b'L', b'V', 1, ..]
        );
        is_file.then_some(Self::File)
    }

    /// The least that it takes to play it; what comes may need more.
    pub const fn least_work(self) -> Work {
        match self {
            Self::Demo => Work::Encode,
            Self::TransportStream | Self::Hls => Work::Pull,
            _ => Work::Copy,
        }
    }

    /// What it is, as far as silence goes.
    pub const fn class(self) -> SourceClass {
        match self {
            Self::File => SourceClass::File,
            _ => SourceClass::Live,
        }
    }

    /// What stands before the input. The demuxer is pinned where it is known; where FFmpeg hears the network itself,
    /// silence ends the child after eight seconds, in microseconds, or after twice that where it waits at two places, as it
    /// does once a camera, RTMP or RTP has begun to play.
    ///
    /// Source: `url.c`, `udp.c`, `mpegts.c` and `options_table.h` of libavformat, tried with FFmpeg 5.1 and 9.0; `rtsp.c`,
    /// `rtmpproto.c` and `libsrt.c`, tried with FFmpeg 5.1.
    fn input(self) -> &'static [&'static str] {
        match self {
            Self::Demo => &DEMO_INPUT,
            Self::TransportStream => &TRANSPORT_STREAM_INPUT,
            Self::File => &FILE_INPUT,
            Self::Hls => &HLS_INPUT,
            Self::Udp => &UDP_INPUT,
            Self::Rtp => &RTP_INPUT,
            Self::Rtsp => &RTSP_INPUT,
            Self::Rtmp => &RTMP_INPUT,
            Self::Rtmps => &RTMPS_INPUT,
            Self::Srt => &SRT_INPUT,
        }
    }

    /// The address as FFmpeg gets it, which calls nobody but `at` then. Of datagrams and SRT it would take any option out
    /// of it: there are none but ours.
    fn address(self, url: &SourceUrl, at: Option<IpAddr>) -> String {
        let scheme = url.scheme().as_str();
        let place = match at {
            // Who can show this name's certificate is who was meant, wherever he is.
            Some(_) | None if self == Self::Rtmps => url.bracketed_host(),
            Some(IpAddr::V6(v6)) => format!("[{v6}]"),
            Some(IpAddr::V4(v4)) => format!("{v4}"),
            None => url.bracketed_host(),
        };
        let port = url.port();
        match self {
            Self::Demo | Self::TransportStream => "pipe:0".to_owned(),
            Self::File | Self::Hls => url.as_str().to_owned(),
            Self::Srt => format!("{scheme}://{place}:{port}"),
            Self::Udp => {
                let sender = url.sender().map_or(String::new(), |sender| format!("?sources={sender}"));
                format!("{scheme}://{place}:{port}{sender}")
            }
            // Its reader passes no option on to where its datagrams come from.
            Self::Rtp => {
                let sender = url.sender().map_or(String::new(), |sender| format!("&sources={sender}"));
                format!("{scheme}://{place}:{port}?timeout=8000000{sender}")
            }
            Self::Rtsp | Self::Rtmp | Self::Rtmps => {
                let userinfo = url.userinfo().map_or(String::new(), |userinfo| format!("{userinfo}@"));
                format!("{scheme}://{userinfo}{place}:{port}{}", url.path_and_query())
            }
        }
    }

    /// Which streams are taken.
    fn streams(self, treatment: Treatment) -> &'static [&'static str] {
        match (self, treatment) {
            (Self::Demo, _) => &DEMO_STREAMS,
            // FFmpeg takes the best picture and the best sound of a playlist's variants, and loads no others.
            (Self::Hls, _) => &["-sn", "-dn"],
            (_, Treatment::Copy) => &["-map", "0:v:0?", "-map", "0:a?"],
            // An encoder that waits for a sound that never comes would hold the picture back.
            (_, Treatment::Sound | Treatment::Encode | Treatment::Transcode(..)) => {
                &["-map", "0:v:0?", "-map", "0:a:0?"]
            }
        }
    }
}

// A transport stream is analysed until every stream is known: with `scan_all_pmts 0` (else it would be the whole
// `analyzeduration`, whatever is found) and `fpsprobesize 0` that is its first key frame. The limits are for streams
// that stay silent; what was read meanwhile is not lost.

#[rustfmt::skip]
const TRANSPORT_STREAM_INPUT: [&str; 14] = [
    "-protocol_whitelist", "pipe", "-format_whitelist", "mpegts",
    "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
    "-f", "mpegts", "-scan_all_pmts", "0",
];

// FFmpeg asks a proxy for these, which is the daemon: `http` includes TLS, because providers redirect to it, and
// `httpproxy` is how it comes to speak TLS with somebody behind a proxy.

#[rustfmt::skip]
const FILE_INPUT: [&str; 12] = [
    "-protocol_whitelist", "http,https,httpproxy,tcp,tls", "-format_whitelist", "mov,matroska,flv,mpeg",
    "-rw_timeout", "8000000", "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
];

#[rustfmt::skip]
const HLS_INPUT: [&str; 14] = [
    "-protocol_whitelist", "http,https,httpproxy,tcp,tls,crypto",
    "-format_whitelist", "hls,mpegts,mov,aac,mp3,ac3,eac3,webvtt", "-rw_timeout", "8000000",
    "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
    "-f", "hls",
];

#[rustfmt::skip]
const UDP_INPUT: [&str; 20] = [
    "-protocol_whitelist", "udp", "-format_whitelist", "mpegts",
    "-timeout", "8000000", "-fifo_size", "28672", "-overrun_nonfatal", "1",
    "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
    "-f", "mpegts", "-scan_all_pmts", "0",
];

/// Error correction comes to other ports, and is left alone.
#[rustfmt::skip]
const RTP_INPUT: [&str; 14] = [
    "-protocol_whitelist", "rtp,udp", "-format_whitelist", "rtp", "-listen_timeout", "8",
    "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
    "-f", "rtp",
];

#[rustfmt::skip]
const RTSP_INPUT: [&str; 16] = [
    "-protocol_whitelist", "tcp", "-format_whitelist", "rtsp", "-timeout", "8000000", "-rtsp_transport", "tcp",
    "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
    "-f", "rtsp",
];

// `-timeout` would have FFmpeg listen here.

#[rustfmt::skip]
const RTMP_INPUT: [&str; 14] = [
    "-protocol_whitelist", "rtmp,tcp", "-format_whitelist", "flv", "-rw_timeout", "8000000",
    "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
    "-f", "flv",
];

#[rustfmt::skip]
const RTMPS_INPUT: [&str; 16] = [
    "-protocol_whitelist", "rtmps,tls,tcp", "-format_whitelist", "flv", "-rw_timeout", "8000000", "-tls_verify", "1",
    "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
    "-f", "flv",
];

/// One of its time-outs counts in milliseconds.
#[rustfmt::skip]
const SRT_INPUT: [&str; 20] = [
    "-protocol_whitelist", "srt", "-format_whitelist", "mpegts",
    "-mode", "caller", "-connect_timeout", "5000", "-timeout", "8000000",
    "-analyzeduration", "3000000", "-probesize", "5000000", "-fpsprobesize", "0",
    "-f", "mpegts", "-scan_all_pmts", "0",
];

const COPY: [&str; 2] = ["-c", "copy"];

/// What every client plays, and no receiver has to be told about.
#[rustfmt::skip]
const SOUND: [&str; 12] = [
    "-c:v", "copy", "-c:a", "aac", "-b:a", "160k", "-ac", "2", "-ar", "48000", "-max_muxing_queue_size", "1024",
];

/// Baseline of what every client plays. The picture is not scaled; interlaced pictures are made whole.
#[rustfmt::skip]
const ENCODE: [&str; 30] = [
    "-vf", "yadif=deint=interlaced",
    "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
    "-crf", "23", "-maxrate", "6000k", "-bufsize", "6000k",
    "-force_key_frames", "expr:gte(t,n_forced)", "-sc_threshold", "0",
    "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000",
    "-max_muxing_queue_size", "1024",
];

/// Written as soon as it is made. Should one of the streams fall silent, the others wait a second for it, not FFmpeg's
/// ten. The first packets say that they follow on nothing, so that a decoder takes a restart for what it is.
#[rustfmt::skip]
const OUTPUT: [&str; 17] = [
    "-metadata", "service_provider=tunerd",
    "-max_interleave_delta", "1000000", "-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1",
    "-pat_period", "0.1", "-mpegts_flags", "+initial_discontinuity",
    "-f", "mpegts", "pipe:1",
];

/// The part of an RTMP stream's name that a server takes for an application's.
///
/// Source: `rtmp_open` in `rtmpproto.c`.
fn rtmp_app(url: &SourceUrl) -> &str {
    let path = url.path_and_query().trim_start_matches('/');
    let Some((first, rest)) = path.split_once('/') else { return path };
    let instance = rest.split_once('/').filter(|(instance, _)| first != "ondemand" && !instance.contains(':'));
    instance.and_then(|(instance, _)| path.get(..first.len() + 1 + instance.len())).unwrap_or(first)
}

// ---- Values -----------------------------------------------------------------------------------------------------

/// What providers see where a playlist names no user agent.
const USER_AGENT: &str = "tunerd";

/// Name and provider share a descriptor of 255 bytes (ETSI EN 300 468, `service_descriptor`), and FFmpeg does not check.
const SERVICE_NAME_BYTES_MAX: usize = 200;
const _: () = assert!(SERVICE_NAME_BYTES_MAX <= NAME_BYTES_MAX, "only ever cuts");

/// What a source's provider sees: its own user agent where it wants one, in a form that cannot end its header line.
pub fn user_agent(source: &Source) -> String {
    match source {
        Source::Url { user_agent, .. } => clean_user_agent(user_agent.as_deref()),
        Source::Demo(_) => USER_AGENT.to_owned(),
    }
}

fn clean_user_agent(user_agent: Option<&str>) -> String {
    let clean: String =
        user_agent.unwrap_or_default().chars().filter(|c| matches!(c, ' '..='~')).take(NAME_BYTES_MAX).collect();
    let clean = clean.trim();
    if clean.is_empty() { USER_AGENT } else { clean }.to_owned()
}

fn service_name(channel_name: &str) -> String {
    let mut pair = String::from("service_name=");
    let len_max = pair.len() + SERVICE_NAME_BYTES_MAX;
    for c in channel_name.chars().filter(|c| !c.is_control()) {
        if pair.len() + c.len_utf8() > len_max {
            break;
        }
        pair.push(c);
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::headers::{HeaderName, Headers};
    use std::string::ToString;

    fn source(url: &str) -> Source {
        let (url, headers) = (url.parse().unwrap(), Headers::default());
        Source::Url { url, user_agent: None, headers, account: None, reach: Reach::Public, provider: None }
    }

    fn url_recipe(url: &str, user_agent: Option<&str>, treatment: Treatment) -> Recipe {
        let user_agent = user_agent.map(ToString::to_string);
        let source = Source::Url {
            url: url.parse().unwrap(),
            user_agent,
            headers: Headers::default(),
            account: None,
            reach: Reach::Public,
            provider: None,
        };
        recipe(&source, Reader::of(&source), "Das Erste", treatment)
    }

    /// What is at stake: any flag that changes unseen changes what FFmpeg may open. Tried against files that hold one
    /// argument a line.
    #[test]
    fn arguments_are_the_golden_ones() {
        let http = "http://joe:hunter2@example.com:8080/live/1.ts?x=1";
        let file = "https://example.com/vod/film.mkv";
        let hls = "https://example.com/live/index.m3u8";
        let udp = "udp://@239.0.0.1:1234";
        let srt =
            "srt://example.com:9000?mode=caller&streamid=#!::r=one&passphrase=p%40ss+phrase&latency=200&pbkeylen=16";
        let demo = |index| {
            recipe(&Source::Demo(DemoIndex(index)), Reader::Demo, DEMO[usize::from(index)].name, Treatment::Encode)
        };
        for (name, recipe, golden) in [
            ("demo_bars", demo(0), include_str!("../../../tests/golden/argv/demo_bars.txt")),
            ("demo_dawn", demo(1), include_str!("../../../tests/golden/argv/demo_dawn.txt")),
            ("demo_grid", demo(2), include_str!("../../../tests/golden/argv/demo_grid.txt")),
            ("demo_tennis", demo(3), include_str!("../../../tests/golden/argv/demo_tennis.txt")),
            (
                "http_copy",
                url_recipe(http, None, Treatment::Copy),
                include_str!("../../../tests/golden/argv/http_copy.txt"),
            ),
            (
                "file_encode",
                url_recipe(file, Some("VLC/3.0"), Treatment::Encode),
                include_str!("../../../tests/golden/argv/file_encode.txt"),
            ),
            (
                "hls_copy",
                url_recipe(hls, None, Treatment::Copy),
                include_str!("../../../tests/golden/argv/hls_copy.txt"),
            ),
            (
                "udp_copy",
                url_recipe(udp, None, Treatment::Copy),
                include_str!("../../../tests/golden/argv/udp_copy.txt"),
            ),
            (
                "udp_sender_copy",
                url_recipe("udp://@232.0.0.1:1234?sources=10.0.0.1", None, Treatment::Copy),
                include_str!("../../../tests/golden/argv/udp_sender_copy.txt"),
            ),
            (
                "rtp_copy",
                url_recipe("rtp://10.0.0.1@232.0.0.1:5004", None, Treatment::Copy),
                include_str!("../../../tests/golden/argv/rtp_copy.txt"),
            ),
            (
                "rtsp_copy",
                url_recipe("rtsp://joe:hunter2@camera/1?channel=2", Some("VLC/3.0"), Treatment::Copy),
                include_str!("../../../tests/golden/argv/rtsp_copy.txt"),
            ),
            (
                "rtmp_copy",
                url_recipe("rtmp://example.com/live/one?token=hunter2", None, Treatment::Copy),
                include_str!("../../../tests/golden/argv/rtmp_copy.txt"),
            ),
            (
                "rtsp_sound",
                url_recipe("rtsp://camera/1", None, Treatment::Sound),
                include_str!("../../../tests/golden/argv/rtsp_sound.txt"),
            ),
            (
                "http_sound",
                url_recipe(http, None, Treatment::Sound),
                include_str!("../../../tests/golden/argv/http_sound.txt"),
            ),
            (
                "rtmps_encode",
                url_recipe("rtmps://example.com/live/one", None, Treatment::Encode),
                include_str!("../../../tests/golden/argv/rtmps_encode.txt"),
            ),
            (
                "rtmp_pinned",
                recipe_at(
                    &source("rtmp://joe:hunter2@example.com/live/one?token=hunter2"),
                    Reader::Rtmp,
                    Some("2001:db8::7".parse().unwrap()),
                    "Das Erste",
                    Treatment::Copy,
                ),
                include_str!("../../../tests/golden/argv/rtmp_pinned.txt"),
            ),
            (
                "srt_copy",
                url_recipe(srt, None, Treatment::Copy),
                include_str!("../../../tests/golden/argv/srt_copy.txt"),
            ),
            (
                "http_transcode",
                url_recipe(http, None, transcode(Profile::Internet480, "vaapi:renderD128")),
                include_str!("../../../tests/golden/argv/http_transcode.txt"),
            ),
            ("trial", trial(Encoder::Software), include_str!("../../../tests/golden/argv/trial.txt")),
        ] {
            let now = recipe.args().join("\n") + "\n";
            assert!(now == golden, "{name}.txt is different; the recipe is now:\n{now}");
        }
    }

    const ENCODERS: [&str; 6] =
        ["software", "v4l2m2m:video11", "vaapi:renderD128", "qsv:renderD129", "nvenc:1", "rkmpp"];

    fn transcode(profile: Profile, encoder: &str) -> Treatment {
        Treatment::Transcode(profile.target().unwrap(), encoder.parse().unwrap())
    }

    /// The same for every profile and encoder: an option and its value a line, without what belongs to the source.
    #[test]
    fn every_encoder_is_told_the_golden_things() {
        for (encoder, golden) in ENCODERS.into_iter().zip([
            include_str!("../../../tests/golden/argv/transcode_software.txt"),
            include_str!("../../../tests/golden/argv/transcode_v4l2m2m.txt"),
            include_str!("../../../tests/golden/argv/transcode_vaapi.txt"),
            include_str!("../../../tests/golden/argv/transcode_qsv.txt"),
            include_str!("../../../tests/golden/argv/transcode_nvenc.txt"),
            include_str!("../../../tests/golden/argv/transcode_rkmpp.txt"),
        ]) {
            let mut now = String::new();
            for profile in Profile::ALL.into_iter().filter(|profile| profile.target().is_some()) {
                let copied = url_recipe("http://a/b", None, Treatment::Copy);
                let made = url_recipe("http://a/b", None, transcode(profile, encoder));
                let (source_at, source_end) = (ALWAYS.len(), place(&copied, "-i"));
                let source = &copied.args()[source_at..=source_end + 1];
                let at = place(&made, "-i") + 2 - source.len();
                assert_eq!(&made.args()[at..place(&made, "-i") + 2], source, "the source is opened the same way");
                now += profile.name();
                now += "\n";
                let options = |args: &[String]| {
                    let mut text = String::new();
                    for arg in args {
                        let starts = arg.starts_with('-');
                        text += if starts { "\n    " } else { " " };
                        text += arg;
                    }
                    text.trim_start_matches('\n').to_owned() + "\n"
                };
                if at > source_at {
                    now += &options(&made.args()[source_at..at]);
                }
                now += "    …\n";
                now += &options(&made.args()[place(&made, "-vf")..place(&made, "-metadata")]);
            }
            assert!(now == golden, "{encoder} is told other things; now they are:\n{now}");
        }
    }

    fn place(recipe: &Recipe, option: &str) -> usize {
        recipe.args().iter().position(|arg| arg == option).unwrap()
    }

    #[test]
    fn a_demo_channel_has_one_recipe() {
        let source = Source::Demo(DemoIndex(2));
        assert_eq!(
            recipe(&source, Reader::Demo, "x", Treatment::Copy),
            recipe(&source, Reader::Demo, "x", Treatment::Encode)
        );
        let asked = recipe(&source, Reader::Demo, "x", transcode(Profile::Mobile, "software"));
        assert_eq!(asked.args()[place(&asked, "-b:v") + 1], "2000k", "but it can be asked for in another size");
        assert_eq!(demo_channel(DemoIndex(200)).name, DEMO[0].name, "an index of a later release still plays");
    }

    /// What is at stake: an address that becomes an option (S30). What we fetch ourselves leaves no trace of its address
    /// or user agent among the arguments; other addresses and user agents stand each in its one place.
    #[test]
    fn nothing_in_an_address_or_a_name_moves_an_argument() {
        let hosts = ["a", "_-_.example.com", "joe:p%40ss@a", "[::1]:81", "192.168.1.5:8080"];
        let ends = [
            "",
            "/",
            "/-init_hw_device",
            "/-i",
            "/?-f=lavfi",
            "/$(reboot);`id`&",
            "/a,b:c'd",
            "/%0a-vf%20movie=x",
            "/concat:a@b",
            "/ü",
        ];
        let names = ["", "-y", "a\r\n-f b", "x=y", "\0", &"é".repeat(300)];
        let agents = [None, Some(""), Some("-i"), Some("a\r\nHost: b"), Some(" Müller \u{7f}"), Some("x/1.0 (y; z)")];
        let transcodes = ENCODERS.map(|encoder| transcode(Profile::Heavy, encoder));
        for treatment in [Treatment::Copy, Treatment::Sound, Treatment::Encode].into_iter().chain(transcodes) {
            for suffix in ["", ".m3u8", ".mkv"] {
                let plain = url_recipe(&format!("http://a/b{suffix}"), None, treatment);
                let name_at = plain.args().iter().position(|arg| arg.starts_with("service_name=")).unwrap();
                let after = |option: &str| Some(plain.args().iter().position(|arg| arg == option)? + 1);
                let url_at = after("-i").filter(|_| !suffix.is_empty());
                let agent_at = after("-user_agent");
                assert_eq!((url_at.is_some(), agent_at.is_some()), (!suffix.is_empty(), !suffix.is_empty()));
                for url in hosts.iter().flat_map(|host| ends.map(|end| format!("http://{host}/x{suffix}?{end}"))) {
                    for name in names {
                        for agent in agents {
                            let url: SourceUrl = url.parse().unwrap_or_else(|e| unreachable!("{url}: {e}"));
                            let user_agent = agent.map(ToString::to_string);
                            let (headers, reach) = (Headers::default(), Reach::Public);
                            let (account, provider) = (None, None);
                            let url_there = url.clone();
                            let source = Source::Url { url: url_there, user_agent, headers, account, reach, provider };
                            let made = recipe(&source, Reader::of(&source), name, treatment);
                            assert_eq!(made.args().len(), plain.args().len());
                            for (at, (arg, same)) in made.args().iter().zip(plain.args()).enumerate() {
                                if at == name_at {
                                    assert!(arg.starts_with("service_name=") && arg.len() <= 213);
                                    assert!(!arg.chars().any(char::is_control));
                                } else if Some(at) == url_at {
                                    assert_eq!(arg, url.as_str());
                                } else if Some(at) == agent_at {
                                    assert!(!arg.is_empty() && arg.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                                } else {
                                    assert_eq!(arg, same, "{at}");
                                }
                            }
                        }
                    }
                }
            }
            for address in ["udp://@239.0.0.1:1234", "udp://_-_:1", "udp://[ff02::1]:5?fifo_size=7"] {
                let (made, plain) = (url_recipe(address, None, treatment), url_recipe("udp://a:1", None, treatment));
                let url_at = plain.args().iter().position(|arg| arg == "-i").unwrap() + 1;
                for (at, (arg, same)) in made.args().iter().zip(plain.args()).enumerate() {
                    assert!(if at == url_at { arg.starts_with("udp://") } else { arg == same }, "{at}: {arg}");
                }
                assert_eq!(made.args().len(), plain.args().len());
            }
        }
    }

    /// What is at stake: FFmpeg takes options out of the addresses of datagrams and SRT, such as one that listens or one
    /// that leaves by another interface.
    #[test]
    fn no_address_brings_options_along() {
        for (written, called) in [
            ("udp://@239.0.0.1:1234?fifo_size=7&reuse=1", "udp://239.0.0.1:1234"),
            ("udp://@:1234", "udp://0.0.0.0:1234"),
            ("udp://[2001:db8::1]@[ff35::1]:1234", "udp://[ff35::1]:1234?sources=2001:db8::1"),
            ("rtp://@239.0.0.1:5004?ttl=9", "rtp://239.0.0.1:5004?timeout=8000000"),
            ("srt://h:9000?streamid=-i&passphrase=-listener%26mode=1", "srt://h:9000"),
            ("srt://[2001:db8::1]:9000", "srt://[2001:db8::1]:9000"),
        ] {
            let made = url_recipe(written, None, Treatment::Copy);
            let at = made.args().iter().rposition(|arg| arg == "-i").unwrap();
            assert_eq!(made.args()[at + 1], called, "{written}");
        }
        let call = url_recipe("srt://h:9000?streamid=-i&passphrase=-listener%26mode=1", None, Treatment::Copy);
        assert_eq!(call.args()[place(&call, "-srt_streamid") + 1], "-i", "a value, where one is wanted");
        assert_eq!(call.args()[place(&call, "-passphrase") + 1], "-listener&mode=1");
    }

    #[test]
    fn only_who_was_judged_is_called() {
        for (written, called) in [
            ("srt://h:9000?streamid=one", "srt://192.0.2.7:9000"),
            ("rtsp://joe:pw@camera/1?2", "rtsp://joe:pw@192.0.2.7:554/1?2"),
            ("rtmp://h:81/live/one", "rtmp://192.0.2.7:81/live/one"),
            ("rtmps://h/live/one", "rtmps://h:443/live/one"),
            ("udp://h:1", "udp://192.0.2.7:1"),
            ("rtp://10.0.0.1@h:1", "rtp://192.0.2.7:1?timeout=8000000&sources=10.0.0.1"),
        ] {
            let source = source(written);
            let made =
                recipe_at(&source, Reader::of(&source), Some("192.0.2.7".parse().unwrap()), "x", Treatment::Copy);
            assert_eq!(made.args()[place(&made, "-i") + 1], called, "{written}");
        }
    }

    #[test]
    fn an_rtmp_application_is_what_ffmpeg_takes_for_it() {
        for (path, app) in [
            ("live", "live"),
            ("live/one?a=b", "live"),
            ("live/inst/one", "live/inst"),
            ("live/inst/a/b", "live/inst"),
            ("vod/mp4:a/b", "vod"),
            ("ondemand/a/b", "ondemand"),
            ("", ""),
        ] {
            assert_eq!(rtmp_app(&format!("rtmp://h/{path}").parse().unwrap()), app, "{path}");
        }
    }

    #[test]
    fn user_agents_stay_on_their_line() {
        for (given, sent) in [
            (None, USER_AGENT),
            (Some(""), USER_AGENT),
            (Some(" \r\n"), USER_AGENT),
            (Some("VLC/3.0.20 LibVLC/3.0.20"), "VLC/3.0.20 LibVLC/3.0.20"),
            (Some("a\r\nHost: evil"), "aHost: evil"),
            (Some("café"), "caf"),
        ] {
            assert_eq!(clean_user_agent(given), sent, "{given:?}");
        }
    }

    #[test]
    fn a_recipe_holds_no_password() {
        let made = url_recipe("http://joe:hunter2@example.com/", None, Treatment::Copy);
        assert!(!made.args().iter().any(|arg| arg.contains("hunter2")));
    }

    #[test]
    fn no_more_is_done_than_a_source_needs() {
        let of = |url: &str| Source::Url {
            url: url.parse().unwrap(),
            user_agent: None,
            headers: Headers::default(),
            account: None,
            reach: Reach::Public,
            provider: None,
        };
        for (url, reader, work) in [
            ("http://h/live", Reader::TransportStream, Work::Pull),
            ("https://h/a.m3u8?x", Reader::Hls, Work::Pull),
            ("http://h/film.MKV", Reader::File, Work::Copy),
            ("udp://@239.0.0.1:1234", Reader::Udp, Work::Copy),
        ] {
            assert_eq!((Reader::of(&of(url)), reader.least_work()), (reader, work), "{url}");
        }
        assert_eq!(Reader::of(&Source::Demo(DemoIndex(0))).least_work(), Work::Encode);
    }

    #[test]
    fn content_tells_what_an_address_does_not() {
        for (first, reader) in [
            (&b"#EXTM3U\n"[..], Some(Reader::Hls)),
            (b"\xef\xbb\xbf#EXTM3U", Some(Reader::Hls)),
            (b"\0\0\0\x20ftypisom", Some(Reader::File)),
            (b"\x1a\x45\xdf\xa3\x9fB", Some(Reader::File)),
            (b"\0\0\x01\xba!", Some(Reader::File)),
            (b"FLV\x01", Some(Reader::File)),
            (b"G@\0\x10", None),
            (b"<html>", None),
            (b"\0\0\0\x20fty", None),
            (b"", None),
        ] {
            assert_eq!(Reader::of_content(first), reader, "{first:?}");
        }
    }

    #[test]
    fn headers_are_one_argument() {
        let made = |url: &str| {
            let mut headers = Headers::default();
            headers.set(HeaderName::Referer, "http://r/ -y");
            let source = Source::Url {
                url: url.parse().unwrap(),
                user_agent: None,
                headers,
                account: None,
                reach: Reach::Public,
                provider: None,
            };
            recipe(&source, Reader::of(&source), "A", Treatment::Copy)
        };
        let film = made("http://a/b.mp4");
        let at = film.args().iter().position(|arg| arg == "-headers").unwrap();
        assert_eq!(film.args()[at + 1], "Referer: http://r/ -y\r\n");
        assert_eq!(film.args()[at + 2], "-i");
        for other in ["http://a/b", "udp://239.0.0.1:1234"] {
            assert!(!made(other).args().iter().any(|arg| arg == "-headers"), "{other}");
        }
    }
}

//! What a HDHomeRun says of its channels over HTTP, and what clients may do with them: search, star, hide.
//!
//! Names, types and order of fields are a contract: golden files hold them. A lineup goes out whole or not at all:
//! clients forget channels that one answer does not name.
//!
//! Source: SiliconDust's HTTP documentation, captures of real units (HDHR5-4US family), and of what their own page asks.

use super::App;
use super::BaseUrl;
use super::answer::{self, Body};
use super::identity::CHANNEL_MAP;
use super::route::{Asked, has, query};
use crate::clock;
use crate::engine::Formats;
use crate::subscriptions::Error;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};
use pure::limits::{DOCUMENTS_BYTES_MAX, DOCUMENTS_MAX};
use pure::model::channel_map::{MuxPlan, Place};
use pure::model::face::Cut;
use pure::model::fingerprint::Fingerprint;
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::{Channel, ChannelId, Lineup, Mark, Source, logo_path};
use pure::wire::ts::Codec;
use pure::wire::xml::Escaped;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// Channels that are written before others get their turn.
const BATCH: usize = 256;
/// From this width on a picture is called HD.
const HD_WIDTH_MIN: u32 = 1_280;

/// What clients get before the first lineup was loaded: an empty one would make Plex forget its channels.
pub(super) fn loading() -> Response<Body> {
    answer::later("The channels are still being loaded.\n", 5)
}

// ---- Documents ------------------------------------------------------------------------------------------------------

/// In which form a lineup is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Xml,
    /// As a real box writes it.
    M3u,
    /// As players of IPTV like it.
    Playlist,
}

impl Form {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => answer::JSON,
            Self::Xml => answer::XML,
            Self::M3u | Self::Playlist => "audio/x-mpegurl; charset=utf-8",
        }
    }
}

/// What of a lineup is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    form: Form,
    /// What is hidden, too.
    all: bool,
    /// How to tune by frequency, too.
    tuning: bool,
}

impl Wanted {
    /// `show=found` is what everybody gets, and so is `show=unprotected`, since nothing here is protected, and whatever
    /// else may be known to other boxes.
    fn new(form: Form, asked: &str) -> Self {
        Self { form, all: query(asked, "show") == Some("all"), tuning: has(asked, "tuning") }
    }
}

/// A document, and everything that it was made of.
struct Kept {
    lineup: Weak<Lineup>,
    marks: u64,
    formats: u64,
    wanted: Wanted,
    /// The part of the lineup that it shows; `None`: all of it.
    cut: Option<Rc<Cut>>,
    base: BaseUrl,
    stream: BaseUrl,
    document: Bytes,
}

/// Documents as they last went out: a client that polls gets the same again without work.
#[derive(Default)]
pub struct Documents(RefCell<VecDeque<Kept>>);

impl Documents {
    fn find(&self, is_it: impl Fn(&Kept) -> bool) -> Option<Bytes> {
        self.0.borrow().iter().find(|kept| is_it(kept)).map(|kept| kept.document.clone())
    }

    fn keep(&self, new: Kept) {
        let mut all = self.0.borrow_mut();
        // Whatever else there is of the same kind is old, or will be made again when somebody asks.
        all.retain(|kept| {
            let same = kept.wanted == new.wanted && kept.base == new.base && kept.stream == new.stream;
            !same && kept.lineup.strong_count() > 0
        });
        all.push_back(new);
        let bytes = |all: &VecDeque<Kept>| all.iter().map(|kept| kept.document.len()).sum::<usize>();
        while all.len() > DOCUMENTS_MAX || bytes(&all) > DOCUMENTS_BYTES_MAX {
            all.pop_front();
        }
    }
}

/// The lineup, in one form or another.
pub(super) async fn document(app: &App, asked: &Asked, form: Form, what: &str) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return loading() };
    let (marks, formats, wanted) = (app.subscriptions.marks(), app.engine.formats_revision(), Wanted::new(form, what));
    let (base, stream) = (&asked.reach.base, &asked.reach.stream);
    let cut = asked.cut(app, &lineup);
    if cut.as_ref().is_some_and(|cut| cut.listed_len() == 0) {
        // An empty lineup would make clients forget their channels.
        return answer::later("There are no channels for this face now.\n", 60);
    }
    let known = app.documents.find(|kept| {
        Weak::as_ptr(&kept.lineup) == Arc::as_ptr(&lineup)
            && (kept.marks, kept.formats, kept.wanted) == (marks.revision, formats, wanted)
            && kept.base == *base
            && kept.stream == *stream
            && kept.cut.as_ref().map(Rc::as_ptr) == cut.as_ref().map(Rc::as_ptr)
    });
    if let Some(document) = known {
        return answer::device(form.content_type(), document);
    }
    let plan = MuxPlan::new(CHANNEL_MAP, lineup.channels().len());
    let mut writer = Writer::new(form, base);
    for (batch, channels) in lineup.channels().chunks(BATCH).enumerate() {
        for (index, channel) in channels.iter().enumerate() {
            let (mark, position) = (marks.of(channel.id), batch * BATCH + index);
            let is_hidden = mark == Mark::Hidden && !wanted.all;
            if is_hidden || cut.as_ref().is_some_and(|cut| !cut.has(position)) {
                continue;
            }
            let place = plan.place(position).filter(|_| wanted.tuning);
            let program = Program::new(channel, app.engine.formats(channel.id), mark, wanted.all, place, stream);
            if writer.write(channel, &program).is_err() {
                return answer::broken();
            }
        }
        tokio::task::yield_now().await;
    }
    let document = Bytes::from(writer.finish());
    app.documents.keep(Kept {
        lineup: Arc::downgrade(&lineup),
        marks: marks.revision,
        formats,
        wanted,
        cut,
        base: base.clone(),
        stream: stream.clone(),
        document: document.clone(),
    });
    answer::device(form.content_type(), document)
}

/// A channel as clients see it. What is not known is left out, and so are flags that are not set: real boxes do it so.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Program<'a> {
    guide_number: &'a str,
    guide_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    video_codec: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_codec: Option<&'static str>,
    #[serde(rename = "HD", skip_serializing_if = "Option::is_none")]
    hd: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    favorite: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<u8>,
    #[serde(flatten)]
    tuning: Option<Tuning>,
    /// Never with a query: clients append theirs without looking.
    #[serde(rename = "URL")]
    url: String,
}

/// How to tune to a channel by frequency.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tuning {
    modulation: &'static str,
    frequency: u32,
    #[serde(rename = "TransportStreamID")]
    transport_stream_id: u16,
    program_number: u16,
}

impl<'a> Program<'a> {
    fn new(
        channel: &'a Channel,
        formats: Option<Formats>,
        mark: Mark,
        all: bool,
        place: Option<Place>,
        stream: &BaseUrl,
    ) -> Self {
        // What a playlist's stream holds is known once it has played; what we make ourselves is known before.
        let is_ours = matches!(channel.sources.first(), Some(Source::Demo(_)));
        let ours = Formats { video: Some(Codec::H264), audio: Some(Codec::Aac), width: Some(HD_WIDTH_MIN) };
        let Formats { video, audio, width } = if is_ours { ours } else { formats.unwrap_or_default() };
        Self {
            guide_number: channel.number.as_str(),
            guide_name: &channel.name,
            video_codec: video.and_then(codec_name),
            audio_codec: audio.and_then(codec_name),
            hd: width.is_some_and(|width| width >= HD_WIDTH_MIN).then_some(1),
            favorite: (mark == Mark::Favorite).then_some(1),
            enabled: all.then_some(u8::from(mark != Mark::Hidden)),
            tuning: place.map(|Place { frequency_hz, programme, tsid }| Tuning {
                modulation: CHANNEL_MAP.auto_lock(),
                frequency: frequency_hz,
                transport_stream_id: tsid,
                program_number: programme,
            }),
            url: format!("{stream}/auto/v{}", channel.number),
        }
    }
}

/// As real boxes call it; none for what they have no name for.
const fn codec_name(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::Mpeg1Video => Some("MPEG1"),
        Codec::Mpeg2Video => Some("MPEG2"),
        Codec::H264 => Some("H264"),
        Codec::Hevc => Some("HEVC"),
        Codec::MpegAudio => Some("MPEG"),
        Codec::Aac | Codec::AacLatm => Some("AAC"),
        Codec::Ac3 => Some("AC3"),
        Codec::Eac3 => Some("EAC3"),
        Codec::OtherAudio | Codec::Subtitles | Codec::Teletext | Codec::Data | Codec::Unknown(_) => None,
    }
}

struct Writer {
    form: Form,
    out: Vec<u8>,
    is_first: bool,
    base: BaseUrl,
}

impl Writer {
    fn new(form: Form, base: &BaseUrl) -> Self {
        let out = match form {
            Form::Json => b"[".to_vec(),
            Form::Xml => b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Lineup>\n".to_vec(),
            Form::M3u => format!("#EXTM3U url-tvg=\"{base}/xmltv.xml\"\n").into_bytes(),
            // Some players know the one name, some the other.
            Form::Playlist => {
                format!("#EXTM3U url-tvg=\"{base}/xmltv.xml\" x-tvg-url=\"{base}/xmltv.xml\"\n").into_bytes()
            }
        };
        Self { form, out, is_first: true, base: base.clone() }
    }

    fn write(&mut self, channel: &Channel, program: &Program<'_>) -> Result<(), ()> {
        match self.form {
            Form::Json => {
                if !std::mem::take(&mut self.is_first) {
                    self.out.push(b',');
                }
                serde_json::to_writer(&mut self.out, program).map_err(drop)?;
            }
            Form::Xml => self.out.extend(xml(program).into_bytes()),
            Form::M3u => self.out.extend(m3u(channel, program, &self.base).into_bytes()),
            Form::Playlist => self.out.extend(playlist(channel, program, &self.base).into_bytes()),
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.extend(match self.form {
            Form::Json => &b"]"[..],
            Form::Xml => b"</Lineup>\n",
            Form::M3u | Form::Playlist => b"",
        });
        self.out
    }
}

fn xml(program: &Program<'_>) -> String {
    let mut text = "<Program>".to_owned();
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            write!(text, "<{name}>{}</{name}>", Escaped(value)).unwrap_or_default();
        }
    };
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    field("GuideNumber", Some(program.guide_number));
    field("GuideName", Some(program.guide_name));
    field("VideoCodec", program.video_codec);
    field("AudioCodec", program.audio_codec);
    field("HD", number(program.hd.map(u32::from)).as_deref());
    field("Favorite", number(program.favorite.map(u32::from)).as_deref());
    field("Enabled", number(program.enabled.map(u32::from)).as_deref());
    if let Some(tuning) = &program.tuning {
        field("Modulation", Some(tuning.modulation));
        field("Frequency", number(Some(tuning.frequency)).as_deref());
        field("TransportStreamID", number(Some(tuning.transport_stream_id.into())).as_deref());
        field("ProgramNumber", number(Some(tuning.program_number.into())).as_deref());
    }
    field("URL", Some(&program.url));
    text.push_str("</Program>\n");
    text
}

/// Where clients get a channel's logo.
fn logo(channel: &Channel, base: &BaseUrl) -> String {
    logo_path(channel.id, &channel.logo).map_or_else(|| channel.logo.clone(), |path| format!("{base}{path}"))
}

/// The logo of a channel.
pub(super) async fn serve_logo(app: &App, channel: u32, fingerprint: u64) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return loading() };
    let channel = lineup.by_id(ChannelId(channel)).filter(|channel| !channel.logo.is_empty());
    let channel = channel.filter(|channel| Fingerprint::EMPTY.with(&channel.logo).number() == fingerprint);
    // It may take a while; the lineup is not held meanwhile.
    let Some(channel) = channel.cloned() else { return answer::not_found() };
    drop(lineup);
    match app.subscriptions.logo(&channel).await {
        Ok((bytes, kind)) => {
            let mut answer = answer::plain(StatusCode::OK, kind, bytes);
            let forever = HeaderValue::from_static("public, max-age=2592000, immutable");
            answer.headers_mut().insert(CACHE_CONTROL, forever);
            answer
        }
        Err(Error::Later(_)) => answer::later("Other logos are being fetched.\n", 5),
        Err(_) => answer::not_found(),
    }
}

fn m3u(channel: &Channel, program: &Program<'_>, base: &BaseUrl) -> String {
    let number = program.guide_number;
    let head = format!("#EXTINF:-1 channel-id=\"{number}\" channel-number=\"{number}\" tvg-id=\"{number}\"");
    let name = format!("{number} {}", clean(&channel.name));
    entry(head, channel, &name, program, base)
}

/// The number stands in an attribute of its own, and the name is the name.
fn playlist(channel: &Channel, program: &Program<'_>, base: &BaseUrl) -> String {
    let number = program.guide_number;
    let head = format!("#EXTINF:-1 tvg-id=\"{number}\" tvg-chno=\"{number}\"");
    entry(head, channel, &clean(&channel.name), program, base)
}

/// A quote would end the attribute, a line break the entry.
fn clean(text: &str) -> String {
    text.replace('"', "'").replace(['\r', '\n'], " ")
}

fn entry(mut text: String, channel: &Channel, name: &str, program: &Program<'_>, base: &BaseUrl) -> String {
    for (attribute, value) in
        [("tvg-name", &channel.name), ("tvg-logo", &logo(channel, base)), ("group-title", &channel.group)]
    {
        if !value.is_empty() {
            write!(text, " {attribute}=\"{}\"", clean(value)).unwrap_or_default();
        }
    }
    writeln!(text, ",{name}\n{}", program.url).unwrap_or_default();
    text
}

// ---- Searching for channels -----------------------------------------------------------------------------------------

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Idle {
    scan_in_progress: u8,
    scan_possible: u8,
    source: &'static str,
    source_list: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Scanning {
    scan_in_progress: u8,
    progress: u8,
    found: u32,
}

/// A scan reads the playlist again.
pub(super) fn status(app: &App) -> Response<Body> {
    let status = app.subscriptions.status();
    if status.in_progress {
        answer::json(&Scanning { scan_in_progress: 1, progress: status.progress, found: status.found_now })
    } else {
        answer::json(&Idle { scan_in_progress: 0, scan_possible: 1, source: "Cable", source_list: ["Cable"] })
    }
}

/// Has the playlist read again, unless that was asked for too often: everybody in the house may ask, and each time the
/// provider is asked.
pub(super) fn scan(app: &App) -> Response<Body> {
    // Who asks while one is going on gets that one.
    if !app.subscriptions.status().in_progress {
        let now = clock::mono();
        let mut scans = app.scans.borrow_mut();
        if !scans.take(now) {
            let wait_s = scans.ready_at().ms_since(now).div_ceil(1_000);
            return answer::busy(u32::try_from(wait_s).unwrap_or(u32::MAX).max(1));
        }
        app.subscriptions.refresh();
    }
    answer::device(answer::TEXT, "")
}

/// What a client may do with the channels. The answer to what worked is empty, as that of a real box.
pub(super) async fn post(app: &App, asked: &Asked, what: &str) -> Response<Body> {
    match (query(what, "scan"), query(what, "favorite")) {
        (Some("start"), _) => scan(app),
        (Some("abort"), _) => {
            app.subscriptions.abort();
            answer::device(answer::TEXT, "")
        }
        (None, Some(favorite)) => mark(app, asked, favorite).await,
        _ => answer::bad_request("Known here: scan=start, scan=abort, favorite=+5.1, favorite=-5.1, favorite=x5.1."),
    }
}

/// `+5.1` is a favourite, `-5.1` is one no more and is shown, `x5.1` is hidden.
async fn mark(app: &App, asked: &Asked, favorite: &str) -> Response<Body> {
    let Some((mark, number)) = read_mark(favorite) else {
        return answer::bad_request("A favourite is written +5.1, a plain channel -5.1, a hidden one x5.1.");
    };
    let Some(lineup) = app.engine.lineup() else { return loading() };
    let cut = asked.cut(app, &lineup);
    let is_shown = |id| cut.as_ref().is_none_or(|cut| lineup.position(id).is_some_and(|position| cut.has(position)));
    let channel = lineup.by_number(&number).filter(|channel| is_shown(channel.id));
    let Some(channel) = channel else { return answer::unknown_channel() };
    match app.subscriptions.mark(channel.id, mark).await {
        Ok(()) => answer::device(answer::TEXT, ""),
        Err(error) => {
            tracing::warn!(channel_id = channel.id.0, "what somebody thinks of a channel could not be stored: {error}");
            answer::busy(5)
        }
    }
}

fn read_mark(text: &str) -> Option<(Mark, GuideNumber)> {
    // A real box's own page sends the plus as it is. Who encodes it, or has it decoded to a blank on the way, means the
    // same.
    let marks = [
        ("+", Mark::Favorite),
        ("%2B", Mark::Favorite),
        ("%2b", Mark::Favorite),
        ("%20", Mark::Favorite),
        ("-", Mark::Plain),
        ("%2D", Mark::Plain),
        ("%2d", Mark::Plain),
        ("x", Mark::Hidden),
    ];
    let (number, mark) = marks.iter().find_map(|(prefix, mark)| Some((text.strip_prefix(prefix)?, *mark)))?;
    Some((mark, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_a_plus_however_it_travelled() {
        let number: GuideNumber = "5.1".parse().unwrap();
        for (text, mark) in [
            ("+5.1", Some(Mark::Favorite)),
            ("%2B5.1", Some(Mark::Favorite)),
            ("%2b5.1", Some(Mark::Favorite)),
            ("%205.1", Some(Mark::Favorite)),
            ("-5.1", Some(Mark::Plain)),
            ("x5.1", Some(Mark::Hidden)),
            ("5.1", None),
            ("X5.1", None),
            ("+", None),
            ("++5.1", None),
            ("", None),
        ] {
            assert_eq!(read_mark(text), mark.map(|mark| (mark, number)), "{text}");
        }
    }

    #[test]
    fn queries_say_what_is_wanted() {
        for (asked, all, tuning) in [
            ("", false, false),
            ("show=found", false, false),
            ("show=unprotected", false, false),
            ("show=whatever", false, false),
            ("show", false, false),
            ("show=", false, false),
            ("show=all", true, false),
            ("tuning", false, true),
            ("tuning=", false, true),
            ("show=found&tuning", false, true),
            ("tuning&show=all", true, true),
            ("tuning?show=all", true, true),
            ("retuning=1", false, false),
        ] {
            assert_eq!(Wanted::new(Form::Json, asked), Wanted { form: Form::Json, all, tuning }, "{asked}");
        }
    }

    #[test]
    fn documents_are_kept_within_bounds() {
        let documents = Documents::default();
        let lineup = Arc::new(Lineup::default());
        let kept = |host: u8, bytes: usize| Kept {
            lineup: Arc::downgrade(&lineup),
            marks: 1,
            formats: 1,
            wanted: Wanted::new(Form::Json, ""),
            cut: None,
            base: super::super::url([10, 0, 0, host].into(), None),
            stream: BaseUrl::new(),
            document: Bytes::from(vec![0; bytes]),
        };
        let hosts = |documents: &Documents| documents.0.borrow().len();
        for host in 0..20 {
            documents.keep(kept(host, 10));
            documents.keep(kept(host, 11));
        }
        assert_eq!(hosts(&documents), DOCUMENTS_MAX, "one for each address");
        documents.keep(kept(99, DOCUMENTS_BYTES_MAX - 11));
        assert_eq!(hosts(&documents), 2, "a large one takes the place of many");
        documents.keep(kept(100, DOCUMENTS_BYTES_MAX + 1));
        assert_eq!(hosts(&documents), 0, "and what is too large is made each time");
        assert!(documents.find(|_| true).is_none());
    }
}

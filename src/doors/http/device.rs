//! What a HDHomeRun answers over HTTP. Names, types and order of fields are a contract: golden files hold them.
//!
//! Source: SiliconDust's HTTP documentation, and captures of real units (HDHR5-4US family).

use super::App;
use super::answer::{self, Body};
use super::identity::{FIRMWARE_NAME, FIRMWARE_VERSION, MODEL};
use super::route::{Asked, query};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use pure::model::lineup::{Channel, Source};
use pure::wire::xml::Escaped;
use serde::Serialize;
use std::fmt::Write as _;

/// What clients get before the first lineup was loaded: an empty one would make Plex forget its channels.
pub(super) fn loading() -> Response<Body> {
    answer::later("The channels are still being loaded.\n", 5)
}

fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => answer::device(answer::JSON, body),
        Err(_) => answer::plain(StatusCode::INTERNAL_SERVER_ERROR, answer::TEXT, ""),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Discover {
    friendly_name: String,
    model_number: &'static str,
    firmware_name: &'static str,
    firmware_version: &'static str,
    #[serde(rename = "DeviceID")]
    device_id: String,
    device_auth: String,
    #[serde(rename = "BaseURL")]
    base_url: String,
    #[serde(rename = "LineupURL")]
    lineup_url: String,
    tuner_count: usize,
}

pub(super) fn discover(app: &App, asked: &Asked) -> Response<Body> {
    let base_url = app.base_url(asked.local);
    json(&Discover {
        friendly_name: app.name.borrow().clone(),
        model_number: MODEL,
        firmware_name: FIRMWARE_NAME,
        firmware_version: FIRMWARE_VERSION,
        device_id: app.device_id.to_string(),
        device_auth: app.device_id.auth().to_string(),
        lineup_url: format!("{base_url}/lineup.json"),
        base_url,
        tuner_count: app.engine.tuners_len(),
    })
}

/// A channel as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Program<'a> {
    guide_number: &'a str,
    guide_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    video_codec: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_codec: Option<&'static str>,
    #[serde(rename = "URL")]
    url: String,
}

impl<'a> Program<'a> {
    fn new(channel: &'a Channel, stream_url: &str) -> Self {
        // What a playlist's stream holds is known only once it plays.
        let is_ours = matches!(channel.sources.first(), Some(Source::Demo(_)));
        Self {
            guide_number: channel.number.as_str(),
            guide_name: &channel.name,
            video_codec: is_ours.then_some("H264"),
            audio_codec: is_ours.then_some("AAC"),
            url: format!("{stream_url}/auto/v{}", channel.number.as_str()),
        }
    }
}

pub(super) fn lineup_json(app: &App, asked: &Asked) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return loading() };
    let stream_url = app.stream_url(asked.local);
    let programs: Vec<_> = lineup.channels().iter().map(|channel| Program::new(channel, &stream_url)).collect();
    json(&programs)
}

pub(super) fn lineup_xml(app: &App, asked: &Asked) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return loading() };
    let stream_url = app.stream_url(asked.local);
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Lineup>\n");
    for channel in lineup.channels() {
        let program = Program::new(channel, &stream_url);
        body.push_str("<Program>");
        let mut field = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                write!(body, "<{name}>{}</{name}>", Escaped(value)).unwrap_or_default();
            }
        };
        field("GuideNumber", Some(program.guide_number));
        field("GuideName", Some(program.guide_name));
        field("VideoCodec", program.video_codec);
        field("AudioCodec", program.audio_codec);
        field("URL", Some(&program.url));
        body.push_str("</Program>\n");
    }
    body.push_str("</Lineup>\n");
    answer::device(answer::XML, body)
}

pub(super) fn lineup_m3u(app: &App, asked: &Asked) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return loading() };
    let stream_url = app.stream_url(asked.local);
    let mut body = format!("#EXTM3U url-tvg=\"{}/xmltv.xml\"\n", app.base_url(asked.local));
    for channel in lineup.channels() {
        let number = channel.number.as_str();
        // A quote would end the attribute, a line break the entry.
        let clean = |text: &str| text.replace('"', "'").replace(['\r', '\n'], " ");
        write!(body, "#EXTINF:-1 channel-id=\"{number}\" channel-number=\"{number}\" tvg-id=\"{number}\"")
            .unwrap_or_default();
        for (name, value) in [("tvg-name", &channel.name), ("tvg-logo", &channel.logo), ("group-title", &channel.group)]
        {
            if !value.is_empty() {
                write!(body, " {name}=\"{}\"", clean(value)).unwrap_or_default();
            }
        }
        writeln!(body, ",{number} {}\n{stream_url}/auto/v{number}", clean(&channel.name)).unwrap_or_default();
    }
    answer::device("audio/x-mpegurl; charset=utf-8", body)
}

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
pub(super) fn lineup_status(app: &App) -> Response<Body> {
    let status = app.subscriptions.status();
    if status.in_progress {
        // How much is to come is not known before it has come.
        json(&Scanning { scan_in_progress: 1, progress: 50, found: status.found })
    } else {
        json(&Idle { scan_in_progress: 0, scan_possible: 1, source: "Cable", source_list: ["Cable"] })
    }
}

pub(super) fn lineup_post(app: &App, request: &Request<Incoming>) -> Response<Body> {
    match query(request.uri().query().unwrap_or_default(), "scan") {
        Some("start") => {
            app.subscriptions.refresh();
            answer::device(answer::TEXT, "")
        }
        Some("abort") => answer::device(answer::TEXT, ""),
        _ => answer::plain(StatusCode::BAD_REQUEST, answer::TEXT, "Known here: scan=start and scan=abort.\n"),
    }
}

#[derive(Serialize)]
struct TunerStatus {
    #[serde(rename = "Resource")]
    resource: String,
    #[serde(flatten)]
    busy: Option<Busy>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Busy {
    vct_number: String,
    vct_name: String,
    signal_strength_percent: u8,
    signal_quality_percent: u8,
    symbol_quality_percent: u8,
    #[serde(rename = "TargetIP", skip_serializing_if = "Option::is_none")]
    target_ip: Option<String>,
    network_rate: u64,
}

pub(super) fn status(app: &App) -> Response<Body> {
    let lineup = app.engine.lineup();
    let tuners: Vec<TunerStatus> = app
        .engine
        .tuners()
        .into_iter()
        .map(|tuner| {
            let channel = tuner.view.channel.zip(lineup.as_ref()).and_then(|(id, lineup)| lineup.by_id(id));
            let busy = channel.filter(|_| tuner.view.viewers > 0).map(|channel| Busy {
                vct_number: channel.number.as_str().to_owned(),
                vct_name: channel.name.clone(),
                signal_strength_percent: 100,
                signal_quality_percent: 100,
                symbol_quality_percent: 100,
                target_ip: tuner.watchers.first().map(|watcher| watcher.peer.ip().to_string()),
                network_rate: tuner.stats.bits_per_s,
            });
            TunerStatus { resource: format!("tuner{}", tuner.view.slot.0), busy }
        })
        .collect();
    json(&tuners)
}

/// The answer to HEAD on a stream: what GET would say, without a tuner.
pub(super) fn stream_head() -> Response<Body> {
    let mut answer = answer::device("video/mpeg", "");
    let headers = answer.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("video/mpeg"));
    headers.insert(HeaderName::from_static("transfermode.dlna.org"), HeaderValue::from_static("Streaming"));
    answer
}

/// Source: `UPnP` Device Architecture 1.0, section 2.1.
pub(super) fn device_xml(app: &App, asked: &Asked) -> Response<Body> {
    let (base, id, udn) = (app.base_url(asked.local), app.device_id, app.device_id.udn());
    let name = app.name.borrow();
    answer::device(
        answer::XML,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <root xmlns=\"urn:schemas-upnp-org:device-1-0\">\n\
             <specVersion><major>1</major><minor>0</minor></specVersion>\n\
             <URLBase>{base}</URLBase>\n\
             <device>\n\
             <deviceType>urn:schemas-upnp-org:device:MediaServer:1</deviceType>\n\
             <friendlyName>{}</friendlyName>\n\
             <manufacturer>Silicondust</manufacturer>\n\
             <manufacturerURL>https://www.silicondust.com/</manufacturerURL>\n\
             <modelDescription>HDHomeRun compatible network tuner (tunerd)</modelDescription>\n\
             <modelName>{MODEL}</modelName>\n\
             <modelNumber>{MODEL}</modelNumber>\n\
             <serialNumber>{id}</serialNumber>\n\
             <UDN>uuid:{udn}</UDN>\n\
             <presentationURL>/</presentationURL>\n\
             </device>\n\
             </root>\n",
            Escaped(&name)
        ),
    )
}

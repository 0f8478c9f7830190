//! What a HDHomeRun says of itself over HTTP. Names, types and order of fields are a contract: golden files hold them.
//! What it says of its channels is in [`super::lineup`], what it shows to people in [`super::pages`].
//!
//! Source: SiliconDust's HTTP documentation, and captures of real units (HDHR5-4US family).

use super::App;
use super::answer::{self, Body};
use super::identity::{CHANNEL_MAP, DEVICE_TYPE, FIRMWARE_VERSION, MANUFACTURER};
use super::route::Asked;
use crate::engine::Tuner;
use hyper::Response;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use pure::model::channel_map::MuxPlan;
use pure::model::device_id::DeviceId;
use pure::model::lineup::{Channel, Lineup};
use pure::wire::xml::Escaped;
use serde::Serialize;
use std::net::IpAddr;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Discover<'a> {
    friendly_name: &'a str,
    model_number: &'static str,
    firmware_name: &'static str,
    firmware_version: &'static str,
    #[serde(rename = "DeviceID")]
    device_id: String,
    device_auth: &'a str,
    #[serde(rename = "BaseURL")]
    base_url: &'a str,
    #[serde(rename = "LineupURL")]
    lineup_url: String,
    tuner_count: usize,
}

pub(super) fn discover(app: &App, asked: &Asked) -> Response<Body> {
    let base_url = asked.reach.base.as_str();
    let (name, device_id) = identity(app, asked);
    let (model_number, firmware_name) = app.model();
    answer::json(&Discover {
        friendly_name: &name,
        model_number,
        firmware_name,
        firmware_version: FIRMWARE_VERSION,
        device_id: device_id.to_string(),
        device_auth: &device_id.auth(),
        base_url,
        lineup_url: format!("{base_url}/lineup.json"),
        tuner_count: asked.tuners_len(app),
    })
}

/// What clients call whom they ask, and its id.
fn identity(app: &App, asked: &Asked) -> (String, DeviceId) {
    match &asked.face {
        None => (app.name(), app.device_id),
        Some(face) => (face.terms.name.clone(), face.device_id),
    }
}

/// A tuner that somebody watches, and what; a tuner whose channel left the lineup shows nothing.
pub(super) fn busy<'a>(tuner: &Tuner, lineup: Option<&'a Lineup>) -> Option<(usize, &'a Channel)> {
    let id = tuner.view.channel.filter(|_| tuner.view.viewers > 0)?;
    let position = lineup?.position(id)?;
    Some((position, lineup?.channels().get(position)?))
}

/// For whom a tuner plays: the first of its viewers.
pub(super) fn target(tuner: &Tuner) -> Option<IpAddr> {
    tuner.watchers.first().map(|watcher| watcher.peer.ip().to_canonical())
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
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency: Option<u32>,
    signal_strength_percent: u8,
    signal_quality_percent: u8,
    symbol_quality_percent: u8,
    #[serde(rename = "TargetIP", skip_serializing_if = "Option::is_none")]
    target_ip: Option<String>,
    network_rate: u64,
}

/// The tuners of the box; those of a further face are a number: the busy ones come first.
pub(super) fn status(app: &App, asked: &Asked) -> Response<Body> {
    let lineup = app.engine.lineup();
    let plan = MuxPlan::new(CHANNEL_MAP, lineup.as_ref().map_or(0, |lineup| lineup.channels().len()));
    let show = |(index, tuner): (usize, &Tuner)| TunerStatus {
        resource: format!("tuner{index}"),
        busy: busy(tuner, lineup.as_deref()).map(|(position, channel)| Busy {
            vct_number: channel.number.as_str().to_owned(),
            vct_name: channel.name.clone(),
            frequency: plan.place(position).map(|place| place.frequency_hz),
            signal_strength_percent: 100,
            signal_quality_percent: 100,
            symbol_quality_percent: 100,
            target_ip: target(tuner).map(|target| target.to_string()),
            network_rate: tuner.stats.bits_per_s,
        }),
    };
    let mut tuners = app.engine.tuners();
    let mut shown_len = tuners.len();
    if let Some(face) = &asked.face {
        for tuner in &mut tuners {
            tuner.watchers.retain(|watcher| watcher.face == face.id);
        }
        tuners.retain(|tuner| !tuner.watchers.is_empty());
        shown_len = asked.tuners_len(app);
        tuners.truncate(shown_len);
    }
    let idle = (tuners.len()..shown_len).map(|index| TunerStatus { resource: format!("tuner{index}"), busy: None });
    answer::json(&tuners.iter().enumerate().map(show).chain(idle).collect::<Vec<_>>())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpgradeStatus {
    upgrade_in_progress: u8,
}

/// A real box is asked this by its own page while it takes a new firmware; ours takes none this way.
pub(super) fn upgrade_status() -> Response<Body> {
    answer::json(&UpgradeStatus { upgrade_in_progress: 0 })
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

/// Source: `UPnP` Device Architecture 1.0, section 2.1. The order is that of its example; whatever a person has chosen
/// is escaped.
pub(super) fn device_xml(app: &App, asked: &Asked) -> Response<Body> {
    let base = &asked.reach.base;
    let ((name, id), (model, _)) = (identity(app, asked), app.model());
    let udn = id.udn();
    // The page is the box's.
    let page = if asked.face.is_some() { format!("{}/", asked.reach.page) } else { "/".to_owned() };
    answer::device(
        answer::XML,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <root xmlns=\"urn:schemas-upnp-org:device-1-0\">\n\
             <specVersion><major>1</major><minor>0</minor></specVersion>\n\
             <URLBase>{base}</URLBase>\n\
             <device>\n\
             <deviceType>{DEVICE_TYPE}</deviceType>\n\
             <friendlyName>{}</friendlyName>\n\
             <manufacturer>{MANUFACTURER}</manufacturer>\n\
             <manufacturerURL>https://www.silicondust.com/</manufacturerURL>\n\
             <modelDescription>HDHomeRun compatible network tuner (tunerd)</modelDescription>\n\
             <modelName>{model}</modelName>\n\
             <modelNumber>{model}</modelNumber>\n\
             <serialNumber>{id}</serialNumber>\n\
             <UDN>uuid:{udn}</UDN>\n\
             <presentationURL>{page}</presentationURL>\n\
             </device>\n\
             </root>\n",
            Escaped(&name)
        ),
    )
}

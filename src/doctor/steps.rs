//! The steps of an examination, one for each check, each bounded in bytes and time.
//!
//! A step only fetches and counts; `pure::rules::doctor` judges. An error of a step is a failure in words.

use super::ask::{Answer, ask, hear, search};
use super::{Finding, Patient, way_to};
use crate::clock;
use flate2::write::GzDecoder;
use pure::limits::{
    DOCTOR_BODY_BYTES_MAX, DOCTOR_DOCUMENT_BYTES_MAX, DOCTOR_MS_MAX, DOCTOR_PATIENCE_MS, GUIDE_BYTES_MAX,
};
use pure::rules::doctor::stream::Watch;
use pure::rules::doctor::{
    self as rules, CHECKS, Check, Client, Counter, Described, Judged, Line, Listed, NAME_QUESTION, Outcome,
};
use pure::time::Mono;
use pure::wire::hdhr::{
    DiscoverRequest, Frame, FrameWriter, GETSET_REPLY, GETSET_REQUEST, PORT, REQUEST_BYTES, TAG_GETSET_NAME,
    TAG_GETSET_VALUE, TAG_MULTI_TYPE,
};
use pure::wire::json_items::Items;
use pure::wire::m3u::Parser;
use pure::wire::ssdp;
use pure::wire::xml::NO_GUIDE;
use pure::wire::xmltv::check::{Checker, Report};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// Channels that a viewer zaps through.
const ZAP_LEN: usize = 4;
/// How long a search is waited for.
const SEARCH_MS: u64 = 2_000;
/// How often and how long a name is asked for: who answers may pause between two answers (RFC 6762, section 6).
const NAME_TRIES: u32 = 3;
const NAME_MS: u64 = 1_500;
/// How long a tuner may count as taken after its viewer has left.
const LEAVE_MS: u64 = 3_000;
/// How often the tuners are looked at meanwhile.
const LOOK_MS: u64 = 100;
/// What is unpacked at once, so that little comes out even of what is packed best.
const PACKED_PIECE_BYTES: usize = 4 * 1024;
const MDNS_PORT: u16 = 5_353;
const MDNS_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// A type of device as newer clients ask for it: tuners.
const TUNERS_ONLY: [u8; 4] = [0, 0, 0, 1];

/// The checks that are made of a patient.
pub(super) fn checks(patient: &Patient) -> impl Iterator<Item = &'static Line> {
    let sources_len = patient.sources.len();
    CHECKS.iter().filter(move |line| match line.check {
        Check::Source(place) => usize::from(place) < sources_len,
        _ => true,
    })
}

/// Makes all checks, and tells of each one that is over.
pub(super) async fn examine(patient: &Patient, mut tell: impl FnMut(Finding)) {
    let began = clock::mono();
    let mut visit = Visit::new(patient);
    let mut done = Vec::new();
    for line in checks(patient) {
        let started = clock::mono();
        let spent_ms = started.ms_since(began);
        // What cannot be made anyway need not look for tuners.
        let mut why = rules::skip(line, &done, None, spent_ms);
        if line.plays && why.is_none() {
            why = rules::skip(line, &done, visit.tuners_free().await, spent_ms);
        }
        let judged = if let Some(why) = why {
            Judged::skip(why)
        } else {
            let ms_max = line.ms_max.min(DOCTOR_MS_MAX - spent_ms);
            match tokio::time::timeout(Duration::from_millis(ms_max), visit.make(line.check)).await {
                Ok(made) => made.unwrap_or_else(Judged::fail),
                Err(_) => Judged::fail(format!("it was not over after {} seconds", ms_max.div_ceil(1_000))),
            }
        };
        done.push((line.check, judged.outcome));
        tell(Finding { check: line.check, judged, took_ms: clock::mono().ms_since(started) });
    }
}

/// A channel of the lineup, as clients are told where it is.
#[derive(Clone, Debug)]
struct Channel {
    number: String,
    port: u16,
    /// Its path, from `/auto/` on.
    path: String,
}

impl Channel {
    fn new(row: &Row) -> Option<Self> {
        let path = row.url.strip_prefix("http://")?.find('/').and_then(|at| row.url.get("http://".len() + at..))?;
        // What a stranger's lineup says goes into a request as it is.
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic());
        let port = rules::port_of(&row.url).filter(|_| is_path)?;
        Some(Self { number: row.guide_number.clone(), port, path: path.to_owned() })
    }
}

/// A channel, as `lineup.json` has it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Row {
    guide_number: String,
    guide_name: String,
    #[serde(rename = "URL")]
    url: String,
}

/// A tuner, as `status.json` has it.
struct Tuner {
    name: String,
    channel: Option<String>,
    target: Option<Ipv4Addr>,
}

/// What came of looking at a channel.
struct Look {
    judged: Judged,
    /// The stream, while it plays.
    answer: Option<Answer>,
}

/// What is known so far.
struct Visit<'a> {
    patient: &'a Patient,
    host: Ipv4Addr,
    /// Where we ask from.
    own: Ipv4Addr,
    listed: Listed,
    play: Vec<Channel>,
    sources: Vec<Option<Channel>>,
    guide: Option<(Report, u32)>,
}

type Made = Result<Judged, String>;

impl<'a> Visit<'a> {
    fn new(patient: &'a Patient) -> Self {
        let host = patient.host;
        let own = way_to(host).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let sources = vec![None; patient.sources.len()];
        Self { patient, host, own, listed: Listed::new(host), play: Vec::new(), sources, guide: None }
    }

    async fn make(&mut self, check: Check) -> Made {
        match check {
            Check::Ready => self.ready().await,
            Check::PlexFind => self.find(false).await,
            Check::KodiFind => self.find(true).await,
            Check::ChannelsFind => self.find_by_broadcast().await,
            Check::PlexSsdp => self.find_by_ssdp().await,
            Check::VlcName => self.find_by_name().await,
            Check::JellyfinFind => self.described(80).await,
            Check::PlexDevice => self.described(self.patient.port).await,
            Check::ChannelsControl => self.control().await,
            Check::PlexStatus => self.scan_status().await,
            Check::PlexLineup => self.lineup().await,
            Check::PlexLimit => Ok(self.listed.limit()),
            Check::JellyfinLineup => Ok(self.listed.judge(Client::Jellyfin)),
            Check::KodiLineup => Ok(self.listed.judge(Client::Kodi)),
            Check::ChannelsPorts => Ok(self.listed.ports(self.patient.port)),
            Check::VlcPlaylist => self.playlist().await,
            Check::PlexGuide => self.guide(true).await,
            Check::JellyfinGuide => self.guide(false).await,
            Check::PlexProgrammes => Ok(match &self.guide {
                Some((report, placeholders)) => rules::programmes(report, *placeholders),
                None => Judged::skip("there is no guide"),
            }),
            Check::KodiHead => self.head().await,
            Check::ChannelsPatience => self.patience().await,
            Check::PlexReopen => self.reopen("?transcode=none", true).await,
            Check::JellyfinReopen => self.reopen("", true).await,
            Check::KodiReopen => self.reopen("", false).await,
            Check::KodiBusy => self.busy().await,
            Check::PlexZap => self.zap().await,
            Check::VlcLeave => self.leave().await,
            Check::ChannelsDuration => self.duration().await,
            Check::Source(place) => self.source(usize::from(place)).await,
        }
    }

    async fn get(&self, target: &str) -> Result<Answer, String> {
        ask((self.host, self.patient.port), "GET", target, "").await
    }

    /// The same, when it must be there.
    async fn read(&self, target: &str, lines: &str) -> Result<Answer, String> {
        let answer = ask((self.host, self.patient.port), "GET", target, lines).await?;
        if answer.status == 200 {
            return Ok(answer);
        }
        let status = answer.status;
        let said = answer.body(DOCTOR_BODY_BYTES_MAX).await.unwrap_or_default();
        let said: String = String::from_utf8_lossy(&said).trim().chars().take(200).collect();
        Err(format!("{target} is answered with {status} {said}"))
    }

    async fn json(&self, port: u16, target: &str) -> Result<Value, String> {
        let answer = ask((self.host, port), "GET", target, "").await?;
        if answer.status != 200 {
            return Err(format!("{target} is answered with {}", answer.status));
        }
        let body = answer.body(DOCTOR_BODY_BYTES_MAX).await?;
        serde_json::from_slice(&body).map_err(|_| format!("{target} is no JSON"))
    }

    // ---- Finding ----------------------------------------------------------------------------------------------------

    async fn ready(&self) -> Made {
        let answer = self.get("/healthz").await?;
        if answer.status != 503 {
            return Ok(Judged::pass(if answer.status == 200 { "channels are loaded" } else { "it does not say" }));
        }
        let said = answer.body(DOCTOR_BODY_BYTES_MAX).await?;
        let said = String::from_utf8_lossy(&said);
        let judged = Judged::fail(said.trim());
        Ok(if said.contains("FFmpeg") {
            judged.with_fix(
                "Install FFmpeg on the box (on Debian: apt install ffmpeg), or write in the settings where it is: under \
                 [ffmpeg], path = \"/usr/bin/ffmpeg\"",
            )
        } else if said.contains("safe mode") {
            judged.with_fix(
                "The box has failed again and again and plays nothing. Switch it off and on, and examine again",
            )
        } else {
            judged
        })
    }

    /// `is_new`: as clients of the newer library ask.
    async fn find(&self, is_new: bool) -> Made {
        if self.patient.off.discovery {
            return Ok(switched_off("discovery"));
        }
        let mut old = [0; REQUEST_BYTES];
        let mut new = [0; REQUEST_BYTES];
        let question = if is_new {
            let writer = FrameWriter::new(&mut new, pure::wire::hdhr::DISCOVER_REQUEST);
            writer.tlv(TAG_MULTI_TYPE, &TUNERS_ONLY).finish().unwrap_or_default()
        } else {
            DiscoverRequest::write(None, &mut old)
        };
        let to = SocketAddr::from((self.host, PORT));
        let is_it = |_: &[u8], from: SocketAddr| from.ip() == IpAddr::V4(self.host);
        let heard = search(Ipv4Addr::UNSPECIFIED, to, question, SEARCH_MS, is_it).await?;
        Ok(heard.map_or_else(nobody, |heard| rules::found(&heard, self.host, is_new)))
    }

    async fn find_by_broadcast(&self) -> Made {
        if self.patient.off.discovery {
            return Ok(switched_off("discovery"));
        }
        if self.is_alone() {
            return Ok(alone());
        }
        let mut question = [0; REQUEST_BYTES];
        let question = DiscoverRequest::write(None, &mut question);
        let to = SocketAddr::from((Ipv4Addr::BROADCAST, PORT));
        let is_it = |_: &[u8], from: SocketAddr| from.ip() == IpAddr::V4(self.host);
        let heard = search(self.own, to, question, SEARCH_MS, is_it).await?;
        Ok(heard.map_or_else(nobody, |heard| rules::found(&heard, self.host, false)))
    }

    async fn find_by_ssdp(&self) -> Made {
        if self.patient.off.ssdp {
            return Ok(Judged::skip("SSDP is switched off in the settings"));
        }
        if self.is_alone() {
            return Ok(alone());
        }
        let to = SocketAddr::from((ssdp::GROUP_V4, ssdp::PORT));
        let question = format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {to}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n"
        );
        let is_it = |datagram: &[u8], _: SocketAddr| rules::is_ssdp_answer_of(datagram, self.host);
        // Answers take their time: up to the second that we ask for.
        let heard = search(self.own, to, question.as_bytes(), 3_000, is_it).await?;
        Ok(heard.map_or_else(nobody, |_| Judged::pass("answered")))
    }

    async fn find_by_name(&self) -> Made {
        if self.patient.off.mdns {
            return Ok(Judged::skip("mDNS is switched off in the settings"));
        }
        if self.is_alone() {
            return Ok(alone());
        }
        let socket = mdns_socket(self.own).map_err(|error| format!("mDNS cannot be heard: {error}"))?;
        let to = SocketAddr::from((MDNS_GROUP, MDNS_PORT));
        for _ in 0..NAME_TRIES {
            socket.send_to(NAME_QUESTION, to).await.map_err(|error| format!("nobody can be asked: {error}"))?;
            let heard = hear(&socket, |datagram, _| rules::named(datagram, self.host) == Some(true));
            if tokio::time::timeout(Duration::from_millis(NAME_MS), heard).await.is_ok() {
                return Ok(Judged::pass(format!("tunerd.local is {}", self.host)));
            }
        }
        Ok(Judged::fail("nobody says that tunerd.local is this box"))
    }

    /// Whether nobody else can be where we are: broadcasts and groups lead nowhere then.
    fn is_alone(&self) -> bool {
        self.host.is_loopback() || self.own.is_loopback()
    }

    async fn control(&self) -> Made {
        let at = SocketAddr::from((self.host, PORT));
        let mut stream =
            TcpStream::connect(at).await.map_err(|error| format!("TCP port {PORT} does not answer: {error}"))?;
        let mut question = [0; 64];
        let writer = FrameWriter::new(&mut question, GETSET_REQUEST).text(TAG_GETSET_NAME, "/sys/model");
        let question = writer.finish().unwrap_or_default();
        let broken = |error: std::io::Error| format!("TCP port {PORT} hangs up: {error}");
        stream.write_all(question).await.map_err(broken)?;
        let mut reply = [0; 256];
        // One reply in one piece, as Jellyfin insists.
        let len = stream.read(&mut reply).await.map_err(broken)?;
        let frame = Frame::parse(reply.get(..len).unwrap_or_default()).ok().filter(|frame| frame.kind == GETSET_REPLY);
        let value = frame.and_then(|frame| frame.tlvs().find(|tlv| tlv.tag == TAG_GETSET_VALUE)).map(|tlv| tlv.value);
        let model = value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        Ok(match model.trim_end_matches('\0') {
            "" => Judged::fail(format!("what answers on TCP port {PORT} is no tuner")),
            model => Judged::pass(model),
        })
    }

    // ---- Reading ----------------------------------------------------------------------------------------------------

    async fn described(&self, port: u16) -> Made {
        let said = self.json(port, "/discover.json").await?;
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let said = Described {
            friendly_name: text("FriendlyName"),
            model_number: text("ModelNumber"),
            device_id: text("DeviceID"),
            device_auth: text("DeviceAuth"),
            base_url: text("BaseURL"),
            lineup_url: text("LineupURL"),
            tuner_count: said["TunerCount"].as_u64().unwrap_or_default(),
        };
        Ok(rules::described(&said, self.host))
    }

    async fn scan_status(&self) -> Made {
        let said = self.json(self.patient.port, "/lineup_status.json").await?;
        let running = said["ScanInProgress"].as_u64().ok_or("lineup_status.json has no ScanInProgress")?;
        Ok(Judged::pass(if running == 0 { "no scan is running" } else { "a scan is running" }))
    }

    async fn lineup(&mut self) -> Made {
        let mut answer = self.read("/lineup.json", "").await?;
        let (mut items, mut bytes) = (Items::default(), 0);
        let mut listed = Listed::new(self.host);
        let (mut first, mut chosen) = (Vec::new(), Vec::new());
        let (patient, sources) = (self.patient, &mut self.sources);
        while let Some(piece) = answer.next().await? {
            count(&mut bytes, piece.len(), DOCTOR_DOCUMENT_BYTES_MAX)?;
            let pushed = items.push(&piece, &mut |item| {
                let row: Row = serde_json::from_slice(item).unwrap_or_default();
                listed.add(&row.guide_number, &row.guide_name, &row.url);
                if first.len() < ZAP_LEN {
                    first.extend(Channel::new(&row));
                }
                if patient.play.contains(&row.guide_number) {
                    chosen.extend(Channel::new(&row));
                }
                for (source, (number, _)) in sources.iter_mut().zip(&patient.sources) {
                    if *number == row.guide_number {
                        *source = Channel::new(&row);
                    }
                }
            });
            pushed.map_err(|_| "lineup.json is no list")?;
        }
        items.finish().map_err(|_| "lineup.json ends in the middle")?;
        self.listed = listed;
        self.play = if chosen.is_empty() { first } else { chosen };
        self.play.truncate(ZAP_LEN);
        Ok(self.listed.judge(Client::Plex))
    }

    async fn playlist(&self) -> Made {
        let mut answer = self.read("/lineup.m3u", "").await?;
        let (mut parser, mut numbers) = (Parser::new(), BTreeSet::new());
        let broken = |_| "lineup.m3u is no playlist".to_owned();
        while let Some(piece) = answer.next().await? {
            let pushed = parser.push(&piece, &mut |entry| numbers.extend(entry.ok().and_then(|entry| entry.number)));
            pushed.map_err(broken)?;
        }
        parser.finish(&mut |entry| numbers.extend(entry.ok().and_then(|entry| entry.number))).map_err(broken)?;
        Ok(self.listed.playlist(&numbers))
    }

    async fn guide(&mut self, is_packed: bool) -> Made {
        let lines = if is_packed { "Accept-Encoding: gzip\r\n" } else { "" };
        let mut answer = self.read("/xmltv.xml", lines).await?;
        if (answer.header("content-encoding") == "gzip") != is_packed {
            return Ok(Judged::fail(if is_packed { "it comes unpacked" } else { "it comes packed, unasked" }));
        }
        let mut checker = Checker::new(self.listed.numbers().iter().copied());
        let mut placeholders = Counter::new(NO_GUIDE);
        let mut unpacker = GzDecoder::new(Vec::new());
        let mut bytes = 0;
        let broken = |error: &dyn std::fmt::Display| format!("the guide cannot be read: {error}");
        while let Some(piece) = answer.next().await? {
            for piece in piece.chunks(PACKED_PIECE_BYTES) {
                let unpacked;
                let piece = if is_packed {
                    unpacker.write_all(piece).map_err(|error| broken(&error))?;
                    unpacked = std::mem::take(unpacker.get_mut());
                    &unpacked
                } else {
                    piece
                };
                count(&mut bytes, piece.len(), GUIDE_BYTES_MAX)?;
                placeholders.push(piece);
                checker.push(piece).map_err(|error| broken(&error))?;
                // It is long, and others want to be served meanwhile.
                tokio::task::yield_now().await;
            }
        }
        if is_packed {
            let rest = unpacker.finish().map_err(|error| broken(&error))?;
            placeholders.push(&rest);
            checker.push(&rest).map_err(|error| broken(&error))?;
        }
        let report = checker.finish().map_err(|error| broken(&error))?;
        if is_packed {
            self.guide = Some((report, placeholders.count));
        }
        Ok(rules::guide(&report, bytes))
    }

    // ---- Playing ----------------------------------------------------------------------------------------------------

    async fn tuners(&self) -> Result<Vec<Tuner>, String> {
        let said = self.json(self.patient.port, "/status.json").await?;
        let tuner = |tuner: &Value| Tuner {
            name: tuner["Resource"].as_str().unwrap_or_default().to_owned(),
            channel: tuner["VctNumber"].as_str().map(str::to_owned),
            target: tuner["TargetIP"].as_str().and_then(|target| target.parse().ok()),
        };
        Ok(said.as_array().into_iter().flatten().map(tuner).filter(|tuner| tuner.name.starts_with("tuner")).collect())
    }

    /// How many tuners nobody uses. What we have just left ourselves may take a moment.
    async fn tuners_free(&self) -> Option<usize> {
        let began = clock::mono();
        loop {
            let looked = tokio::time::timeout(Duration::from_millis(SEARCH_MS), self.tuners()).await;
            let tuners = looked.ok()?.ok()?;
            let free = tuners.iter().filter(|tuner| tuner.channel.is_none()).count();
            let is_ours = tuners.iter().any(|tuner| tuner.target == Some(self.own));
            if free > 0 || !is_ours || clock::mono().ms_since(began) > LEAVE_MS {
                return Some(free);
            }
            clock::pause(LOOK_MS).await;
        }
    }

    fn first(&self) -> Result<&Channel, String> {
        self.play.first().ok_or_else(|| "there is no channel".to_owned())
    }

    /// Tunes to a channel, and watches until it shows a picture or a client would have given up.
    async fn look(&self, channel: &Channel, more: &str) -> Result<Look, String> {
        let began = clock::mono();
        let mut watch = Watch::default();
        let watching = async {
            let path = format!("{}{more}", channel.path);
            let mut answer = ask((self.host, channel.port), "GET", &path, "").await?;
            if answer.status != 200 {
                return Ok(Err(rules::refused(&channel.number, answer.status, answer.header("x-hdhomerun-error"))));
            }
            follow(&mut answer, &mut watch, began).await?;
            Ok::<_, String>(Ok(answer))
        };
        // A little longer than clients wait: it is to be seen how much too late it comes.
        let patience = Duration::from_millis(DOCTOR_PATIENCE_MS + 500);
        let answer = match tokio::time::timeout(patience, watching).await {
            Ok(tuned) => match tuned? {
                Ok(answer) => Some(answer),
                Err(judged) => return Ok(Look { judged, answer: None }),
            },
            Err(_) => None,
        };
        Ok(Look { judged: watch.judge(&channel.number), answer })
    }

    /// Looks for a channel that plays, so that one with a bad source is not taken for a bad box.
    async fn patience(&mut self) -> Made {
        let mut earlier = String::new();
        self.first()?;
        for (place, channel) in self.play.iter().enumerate() {
            let mut judged = self.look(channel, "").await?.judged;
            judged.detail.push_str(&earlier);
            if judged.outcome != Outcome::Fail || place + 1 == self.play.len() {
                self.play.swap(0, place);
                return Ok(judged);
            }
            earlier = format!("; before that, {}", judged.detail);
        }
        Err("there is no channel".to_owned())
    }

    /// Opens a stream, closes it, and opens it again at once. `reads`: some of it is read the first time.
    async fn reopen(&self, more: &str, reads: bool) -> Made {
        let channel = self.first()?;
        if reads {
            let Look { judged, answer } = self.look(channel, more).await?;
            drop(answer);
            if judged.outcome != Outcome::Pass {
                return Ok(judged);
            }
        } else {
            let path = format!("{}{more}", channel.path);
            let answer = ask((self.host, channel.port), "GET", &path, "").await?;
            if answer.status != 200 {
                return Ok(rules::refused(&channel.number, answer.status, answer.header("x-hdhomerun-error")));
            }
        }
        let Look { mut judged, .. } = self.look(channel, more).await?;
        judged.detail.insert_str(0, "the second time, ");
        Ok(judged)
    }

    async fn head(&self) -> Made {
        let channel = self.first()?;
        let answer = ask((self.host, channel.port), "HEAD", &channel.path, "").await?;
        Ok(rules::head(answer.status, answer.header("content-type")))
    }

    /// Asks for what cannot be had: a channel that is not there, and a tuner that we occupy ourselves or, when people have
    /// them all, any.
    async fn busy(&self) -> Made {
        let channel = self.first()?;
        let mut judged = self.refusal(channel.port, &format!("{}_", channel.path), 801).await?;
        if judged.outcome != Outcome::Pass {
            return Ok(judged);
        }
        let tuners = self.tuners().await?;
        if tuners.iter().all(|tuner| tuner.channel.is_some()) {
            let plays = |channel: &Channel| tuners.iter().any(|tuner| tuner.channel.as_ref() == Some(&channel.number));
            return match self.play.iter().find(|channel| !plays(channel)) {
                Some(channel) => self.refusal(channel.port, &channel.path, 805).await,
                None => Ok(judged),
            };
        }
        let taking = ask((self.host, channel.port), "GET", &channel.path, "");
        let taken = tokio::time::timeout(Duration::from_millis(SEARCH_MS), taking).await;
        let held = taken.ok().and_then(Result::ok).filter(|held| held.status == 200);
        // Which one it has become: viewers of a channel share a tuner.
        let mut tuners = self.tuners().await?.into_iter();
        let ours = tuners.find(|tuner| tuner.channel.as_ref() == Some(&channel.number));
        let (Some(held), Some(ours)) = (held, ours) else {
            return Ok(Judged::skip(format!("channel {} did not play", channel.number)));
        };
        for other in self.play.iter().filter(|other| other.number != channel.number) {
            let path = other.path.replacen("/auto/", &format!("/{}/", ours.name), 1);
            judged = self.refusal(other.port, &path, 804).await?;
            if judged.outcome != Outcome::Skip {
                break;
            }
        }
        drop(held);
        Ok(judged)
    }

    async fn refusal(&self, port: u16, path: &str, code: u16) -> Made {
        let answer = ask((self.host, port), "GET", path, "").await?;
        let (status, error) = (answer.status, answer.header("x-hdhomerun-error").to_owned());
        if code == 805 && status == 200 {
            return Ok(Judged::skip("a tuner has just become free"));
        }
        let has_retry = !answer.header("retry-after").is_empty();
        let body = if status == 200 { Vec::new() } else { answer.body(DOCTOR_BODY_BYTES_MAX).await? };
        Ok(rules::refusal(code, status, &error, has_retry, body.len()))
    }

    async fn zap(&self) -> Made {
        let mut played = 0;
        let began = clock::mono();
        for channel in &self.play {
            let Look { judged, .. } = self.look(channel, "").await?;
            match judged.outcome {
                Outcome::Pass => played += 1,
                // Ours was the last one, so it should be there again.
                Outcome::Skip if played > 0 => {
                    let number = &channel.number;
                    return Ok(Judged::fail(format!(
                        "channel {number} found no tuner after {played} others were left"
                    )));
                }
                Outcome::Skip => return Ok(judged),
                // Its source is somebody else's.
                Outcome::Fail => {}
            }
        }
        if played < 2 {
            return Ok(Judged::skip("it takes two channels that play"));
        }
        Ok(Judged::pass(format!("{played} channels in {} ms", clock::mono().ms_since(began))))
    }

    async fn leave(&self) -> Made {
        let channel = self.first()?;
        let is_ours = |tuner: &Tuner| tuner.channel.as_ref() == Some(&channel.number) && tuner.target == Some(self.own);
        let Look { judged, answer } = self.look(channel, "").await?;
        let Some(answer) = answer else { return Ok(judged) };
        if !self.tuners().await?.iter().any(is_ours) {
            return Ok(Judged::skip(format!("somebody else watches channel {}", channel.number)));
        }
        drop(answer);
        let left = clock::mono();
        loop {
            let is_taken = self.tuners().await?.iter().any(is_ours);
            let ms = clock::mono().ms_since(left);
            if !is_taken || ms > LEAVE_MS {
                return Ok(rules::left((!is_taken).then_some(ms)));
            }
            clock::pause(LOOK_MS).await;
        }
    }

    async fn duration(&self) -> Made {
        let channel = self.first()?;
        let path = format!("{}?duration=2", channel.path);
        let mut answer = ask((self.host, channel.port), "GET", &path, "").await?;
        if answer.status != 200 {
            return Ok(rules::refused(&channel.number, answer.status, answer.header("x-hdhomerun-error")));
        }
        let began = clock::mono();
        let to_end = async { while answer.next().await.is_ok_and(|piece| piece.is_some()) {} };
        let ended = tokio::time::timeout(Duration::from_millis(DOCTOR_PATIENCE_MS), to_end).await;
        Ok(rules::lasted(ended.is_ok().then(|| clock::mono().ms_since(began))))
    }

    async fn source(&self, place: usize) -> Made {
        let name = self.patient.sources.get(place).map_or("", |(_, name)| name);
        let Some(Some(channel)) = self.sources.get(place) else {
            return Ok(Judged::skip(format!("{name} has no channel in the lineup now")));
        };
        let Look { mut judged, .. } = self.look(channel, "").await?;
        judged.detail.insert_str(0, &format!("{name}: "));
        Ok(judged)
    }
}

/// Reads a stream until it shows that it plays, or ends.
async fn follow(answer: &mut Answer, watch: &mut Watch, began: Mono) -> Result<(), String> {
    while let Some(piece) = answer.next().await? {
        watch.push(clock::mono().ms_since(began), &piece);
        if watch.is_enough() {
            break;
        }
    }
    Ok(())
}

fn count(bytes: &mut u64, more: usize, most: u64) -> Result<(), String> {
    *bytes += more as u64;
    if *bytes > most { Err("it is longer than it can be".to_owned()) } else { Ok(()) }
}

fn nobody() -> Judged {
    Judged::fail("nobody answers")
}

fn alone() -> Judged {
    Judged::skip("the box is in no network here")
}

fn switched_off(key: &str) -> Judged {
    Judged::fail(format!("{key} is switched off in the settings")).with_fix(
        "Write discovery = true under [network] in the settings, or remove the line, and restart tunerd; or type the \
         address of the box into the client by hand",
    )
}

/// A socket that hears what others on this machine hear, too.
fn mdns_socket(own: Ipv4Addr) -> std::io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, MDNS_PORT)).into())?;
    socket.join_multicast_v4(&MDNS_GROUP, &own)?;
    socket.set_multicast_if_v4(&own)?;
    UdpSocket::from_std(socket.into())
}

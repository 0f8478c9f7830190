//! Updates on the page: how things are, a bundle that comes in, and what the owner wants to be done.
//!
//! What may be installed, and when: `crate::update`. The bundle is poured on while it comes, and never held.

use super::answer::{self, Body};
use super::api::{fresh, json};
use super::owner::{Answer, done, read, wrong};
use super::v1::Call;
use super::{App, route};
use crate::update::{BootSlot, From, Incoming, Last, View};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming as Coming};
use hyper::{Response, StatusCode};
use pure::limits::PIECE_MS_MAX;
use pure::rules::updating::{Haste, Phase, Refusal};
use pure::time::Wall;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What brings a program that was not installed with our image up to date.
const COMMAND: &str = "git pull && cargo build --release && sudo systemctl restart tunerd";

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Show,
    Upload,
    Install,
    Check,
    Cancel,
    Back,
    Reboot,
}

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask, call: &Call<'_>, body: Coming) -> Answer {
    let update = &app.update;
    let begun = |begun: Result<(), Refusal>| begun.map(|()| answer::plain(StatusCode::ACCEPTED, answer::TEXT, ""));
    let answered = match ask {
        Ask::Show => return Ok(fresh(&UpdateView::new(&update.view()))),
        Ask::Upload => upload(app, call, body).await,
        Ask::Install => {
            let Written { address, now } = read(body).await?;
            let from = From::parse(address.trim()).map_err(|refusal| wrong("address", refusal.words()))?;
            begun(update.install(from, haste(now)))
        }
        Ask::Check => begun(update.check()),
        Ask::Cancel => update.cancel().map(|()| done()),
        Ask::Back => begun(update.back().await),
        Ask::Reboot => begun(update.reboot()),
    };
    Ok(answered.unwrap_or_else(refuse))
}

const fn haste(now: bool) -> Haste {
    if now { Haste::Now } else { Haste::Quiet }
}

/// What is to be installed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// An address, or `channel`.
    address: String,
    /// Whoever watches.
    #[serde(default)]
    now: bool,
}

fn refuse(refusal: Refusal) -> Response<Body> {
    let status = match refusal {
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::NotNow | Refusal::NoService | Refusal::TooSlow | Refusal::DiskFull | Refusal::NotStored => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::CONFLICT,
    };
    answer::problem(status, &format!("No update: {}.", refusal.words()), None)
}

#[derive(Serialize)]
struct Taken {
    version: String,
}

/// Takes a bundle in. The answer comes when its signature is known to be good.
async fn upload(app: &App, call: &Call<'_>, body: Coming) -> Result<Response<Body>, Refusal> {
    // Who cannot install it need not send all of it.
    if !app.update.view().has_slots {
        return Err(Refusal::NotOurImage);
    }
    let mut incoming = app.update.begin(haste(route::query(call.query, "now") == Some("true")))?;
    if let Err(refusal) = pour(body, &mut incoming).await {
        drop(incoming.discard().await);
        return Err(refusal);
    }
    let version = app.update.take(incoming).await?.to_string();
    Ok(json(StatusCode::ACCEPTED, &Taken { version }))
}

async fn pour(mut body: Coming, incoming: &mut Incoming) -> Result<(), Refusal> {
    let of = body.size_hint().exact();
    loop {
        let frame = tokio::time::timeout(Duration::from_millis(PIECE_MS_MAX), body.frame()).await;
        match frame.map_err(|_| Refusal::Incomplete)? {
            None => return Ok(()),
            Some(frame) => {
                let frame = frame.map_err(|_| Refusal::Incomplete)?;
                incoming.write(frame.data_ref().map(AsRef::as_ref).unwrap_or_default(), of).await?;
            }
        }
    }
}

#[derive(Serialize)]
struct UpdateView {
    version: &'static str,
    /// package: whoever installed it updates it, with `command`. bundle: the whole system has versions.
    how: &'static str,
    command: Option<&'static str>,
    /// The version of the whole system.
    system: Option<String>,
    board: Option<String>,
    development_keys: bool,
    boot_slots: Vec<SlotView>,
    /// How far the update is that is under way.
    state: &'static str,
    /// Of which version, once that is known.
    target: Option<String>,
    percent: Option<u64>,
    on_trial: bool,
    can_cancel: bool,
    /// Where the button leads that goes back; none where it leads nowhere.
    back: Option<String>,
    /// Why the last one was refused.
    problem: Option<Told>,
    available: Option<String>,
    asked_at: Option<String>,
    /// What is wrong with the channel.
    channel_problem: Option<&'static str>,
    last: Option<LastView>,
}

#[derive(Serialize)]
struct SlotView {
    name: String,
    version: Option<String>,
    is_running: bool,
    is_good: bool,
}

#[derive(Serialize)]
struct Told {
    at: String,
    detail: &'static str,
}

#[derive(Serialize)]
struct LastView {
    /// installed, `rolled_back`, back or failed.
    outcome: String,
    version: String,
    from: String,
    why: Option<String>,
    at: String,
}

impl UpdateView {
    fn new(view: &View) -> Self {
        let boot = view.boot.as_ref().filter(|_| view.has_slots);
        let running = |slot: &BootSlot| slot.is_booted.then(|| view.system.clone()).flatten();
        let slot = |slot: &BootSlot| SlotView {
            name: slot.name.clone(),
            version: running(slot).or_else(|| slot.version.clone()),
            is_running: slot.is_booted,
            is_good: slot.is_good,
        };
        let back = boot.and_then(|boot| boot.other()).filter(|slot| slot.is_good);
        let told = |(at, refusal): (Wall, Refusal)| Told { at: at.to_string(), detail: refusal.words() };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            how: if view.has_slots { "bundle" } else { "package" },
            command: (!view.has_slots).then_some(COMMAND),
            system: view.system.clone().filter(|_| view.has_slots),
            board: boot.map(|boot| boot.compatible.clone()),
            development_keys: view.has_development_keys,
            boot_slots: boot.map(|boot| boot.slots.iter().map(slot).collect()).unwrap_or_default(),
            state: view.phase.name(),
            target: view.version.clone(),
            percent: percent(&view.phase),
            on_trial: view.is_on_trial,
            can_cancel: view.can_cancel,
            back: back.map(|slot| slot.version.clone().unwrap_or_else(|| slot.name.clone())),
            problem: view.refused.map(told),
            available: view.offered.as_ref().map(|offered| offered.version.clone()),
            asked_at: view.asked.map(|(at, _)| at.to_string()),
            channel_problem: view.asked.and_then(|(_, why)| why).map(Refusal::words),
            last: view.last.as_ref().map(|Last { outcome, version, from, why, at }| LastView {
                outcome: outcome.clone(),
                version: version.clone(),
                from: from.clone(),
                why: Some(why.clone()).filter(|why| !why.is_empty()),
                at: Wall(*at).to_string(),
            }),
        }
    }
}

fn percent(phase: &Phase) -> Option<u64> {
    match phase {
        Phase::Fetching { bytes, of: Some(of) } => Some((bytes.saturating_mul(100) / (*of).max(1)).min(100)),
        Phase::Installing { percent } => Some(u64::from(*percent)),
        _ => None,
    }
}

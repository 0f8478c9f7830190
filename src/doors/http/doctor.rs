//! The doctor on the page: begins an examination, tells how far it has come, and ends it.
//!
//! What is examined and what it means: `crate::doctor`, `pure::rules::doctor`. Here is said which channels are played:
//! test pictures where there are any, and one channel of each of the first few subscriptions.

use super::App;
use super::answer::{self, Body};
use super::api::fresh;
use super::owner::{Answer, done};
use crate::doctor::{Busy, Finding};
use hyper::{Response, StatusCode};
use pure::limits::{DOCTOR_SOURCES_MAX, PAGE_LEN_MAX};
use pure::model::guide_number::GuideNumber;
use pure::model::lineup::{ChannelId, Mark, Source};
use serde::Serialize;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Show,
    Start,
    Stop,
}

/// Answers one of them.
pub(super) async fn respond(app: &App, ask: Ask) -> Answer {
    Ok(match ask {
        Ask::Show => show(app),
        Ask::Start => start(app).await,
        Ask::Stop => {
            app.doctor.stop().await;
            done()
        }
    })
}

#[derive(Serialize)]
struct CheckView {
    id: &'static str,
    client: &'static str,
    name: &'static str,
    /// What it proves that this works.
    proves: &'static str,
    /// pass, fail or skip.
    outcome: &'static str,
    took_ms: u64,
    detail: String,
    /// What a person can do; null where there is nothing to do.
    fix: Option<&'static str>,
}

impl From<&Finding> for CheckView {
    fn from(finding: &Finding) -> Self {
        let line = finding.check.line();
        Self {
            id: line.id,
            client: line.client.name(),
            name: line.name,
            proves: line.proves,
            outcome: finding.judged.outcome.name(),
            took_ms: finding.took_ms,
            detail: finding.judged.detail.clone(),
            fix: finding.fix(),
        }
    }
}

#[derive(Serialize)]
struct ReportView {
    /// none, running, stopped or done.
    state: &'static str,
    started_at: Option<String>,
    /// How many checks there are in all.
    checks_len: usize,
    /// Those that are over, client by client.
    checks: Vec<CheckView>,
}

/// What the last examination found, or the one under way so far.
fn show(app: &App) -> Response<Body> {
    let mut report = app.doctor.report();
    report.findings.sort_by_key(|finding| finding.check.line().client);
    fresh(&ReportView {
        state: match report.started_at {
            None => "none",
            Some(_) if report.is_running => "running",
            Some(_) if report.is_stopped => "stopped",
            Some(_) => "done",
        },
        started_at: report.started_at.map(|at| at.to_string()),
        checks_len: report.checks_len,
        checks: report.findings.iter().map(CheckView::from).collect(),
    })
}

/// Begins an examination, unless one is under way.
async fn start(app: &App) -> Response<Body> {
    let (play, sources) = channels(app).await;
    let port = app.page_port.get().or(app.stream_port.get()).unwrap_or(80);
    if app.doctor.start(app.doctor.patient(port, play, sources)) == Err(Busy) {
        return answer::problem(StatusCode::CONFLICT, "The doctor is examining the box already.", None);
    }
    answer::plain(StatusCode::ACCEPTED, answer::TEXT, "")
}

/// The numbers of test pictures; and a channel of each subscription, with the subscription's name. Of a long lineup a
/// sample is looked at.
async fn channels(app: &App) -> (Vec<String>, Vec<(String, String)>) {
    let (mut play, mut sources) = (Vec::new(), Vec::new());
    let (Some(lineup), marks) = (app.engine.lineup(), app.subscriptions.marks()) else { return (play, sources) };
    let shown = lineup.channels().iter().filter(|channel| marks.of(channel.id) != Mark::Hidden);
    let (demo, real): (Vec<_>, Vec<_>) =
        shown.partition(|channel| matches!(channel.sources.first(), Some(Source::Demo(_))));
    play.extend(demo.iter().map(|channel| channel.number.as_str().to_owned()));
    let step = real.len().div_ceil(PAGE_LEN_MAX).max(1);
    let sample: Vec<(ChannelId, GuideNumber)> =
        real.into_iter().step_by(step).map(|channel| (channel.id, channel.number)).collect();
    // The store may take its time; the lineup is not held meanwhile.
    drop(lineup);
    let details = app.subscriptions.details(sample.iter().map(|(id, _)| *id).collect()).await.unwrap_or_default();
    let mut seen = Vec::new();
    for ((_, number), detail) in sample.iter().zip(&details) {
        let Some((subscription, _)) = detail.sources.first() else { continue };
        if seen.len() < DOCTOR_SOURCES_MAX && !seen.contains(subscription) {
            seen.push(*subscription);
            let name = app.subscriptions.find(*subscription).map(|view| view.subscription.name).unwrap_or_default();
            let name = if name.is_empty() { format!("subscription {}", subscription.0) } else { name };
            sources.push((number.as_str().to_owned(), name));
        }
    }
    (play, sources)
}

//! The pages of a real box that programs read: who is busy, and what there is. People have a better one at `/`.
//!
//! Some programs take these apart with patterns: a row is one line, and begins with the words that a real box uses.
//! Source: the pages of firmware 2018 to 2022, as their readers describe them.

use super::App;
use super::answer::{self, Body};
use super::device::{busy, target};
use super::lineup::loading;
use super::route::{Asked, query};
use crate::clock;
use crate::engine::Tuner;
use hyper::Response;
use pure::limits::SECURITY_TXT_LASTS_S;
use pure::model::lineup::{Lineup, Mark};
use pure::time::Civil;
use pure::wire::xml::Escaped;
use std::fmt::Write as _;

const HTML: &str = "text/html; charset=utf-8";
const IDLE: &str = "not in use";

fn page(title: &str, links: &str, rows: &str) -> Response<Body> {
    answer::device(
        HTML,
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n<h1>{title}</h1>\n\
             <p><a href=\"/\">All about this box</a>{links}</p>\n<table>\n{rows}</table>\n</body>\n</html>\n"
        ),
    )
}

/// Whom to tell of a hole in what the box runs, where who gave it away has said so.
///
/// Source: RFC 9116. It wants an end within a year: what is asked of the box is as new as the box itself.
pub(super) fn security(app: &App) -> Response<Body> {
    let Some(contact) = &app.security_contact else { return answer::not_found() };
    let Civil { year, month, day, .. } = clock::wall().plus_s(SECURITY_TXT_LASTS_S).civil();
    answer::device(
        answer::TEXT,
        format!(
            "# tunerd {}. You hear from us within 3 days, and what we found within 14; please give us 90 before you\n\
             # tell everybody. We name you with the repair, if you like.\n\
             Contact: {contact}\nExpires: {year:04}-{month:02}-{day:02}T00:00:00Z\nPreferred-Languages: en, de\n",
            env!("CARGO_PKG_VERSION")
        ),
    )
}

fn row(rows: &mut String, label: &str, value: &str) {
    // Writing to a string cannot fail.
    writeln!(rows, "<tr><td>{label}</td><td>{}</td></tr>", Escaped(value)).unwrap_or_default();
}

fn watched(tuner: &Tuner, lineup: Option<&Lineup>) -> Option<String> {
    busy(tuner, lineup).map(|(_, channel)| format!("{} {}", channel.number, channel.name))
}

/// All tuners in a row each, or one of them: `?page=tuner0`.
pub(super) fn tuners(app: &App, asked: &str) -> Response<Body> {
    let (tuners, lineup) = (app.engine.tuners(), app.engine.lineup());
    let mut links = " · <a href=\"/tuners.html\">Summary</a>".to_owned();
    for tuner in &tuners {
        let number = tuner.view.slot.0;
        write!(links, " · <a href=\"/tuners.html?page=tuner{number}\">Tuner {number}</a>").unwrap_or_default();
    }
    let wanted = query(asked, "page").and_then(|page| page.strip_prefix("tuner")?.parse().ok());
    let one = wanted.and_then(|number: u8| tuners.iter().find(|tuner| tuner.view.slot.0 == number));
    let mut rows = String::new();
    let Some(tuner) = one else {
        for tuner in &tuners {
            let channel = watched(tuner, lineup.as_deref());
            row(&mut rows, &format!("Tuner {} Channel", tuner.view.slot.0), channel.as_deref().unwrap_or(IDLE));
        }
        return page("Tuner Status", &links, &rows);
    };
    let channel = watched(tuner, lineup.as_deref());
    let is_busy = channel.is_some();
    row(&mut rows, "Virtual Channel", channel.as_deref().unwrap_or("none"));
    if is_busy {
        let kbit = tuner.stats.bits_per_s / 1_000;
        row(&mut rows, "Signal Strength", "100%");
        row(&mut rows, "Signal Quality", "100%");
        row(&mut rows, "Symbol Quality", "100%");
        row(&mut rows, "Streaming Rate", &format!("{}.{:03} Mbps", kbit / 1_000, kbit % 1_000));
    }
    if let Some(target) = target(tuner).filter(|_| is_busy) {
        row(&mut rows, "IP address", &target.to_string());
    }
    page(&format!("Tuner {} Status", tuner.view.slot.0), &links, &rows)
}

/// All channels, with what opens them.
pub(super) fn lineup(app: &App, asked: &Asked) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return loading() };
    let marks = app.subscriptions.marks();
    let mut rows = String::new();
    for channel in lineup.channels().iter().filter(|channel| marks.of(channel.id) != Mark::Hidden) {
        let (number, stream) = (channel.number, &asked.reach.stream);
        let star = if marks.of(channel.id) == Mark::Favorite { "★" } else { "" };
        writeln!(
            rows,
            "<tr><td>{star}</td><td><a href=\"{stream}/auto/v{number}\">{number}</a></td><td>{}</td></tr>",
            Escaped(&channel.name)
        )
        .unwrap_or_default();
    }
    page("Channel Lineup", " · <a href=\"/lineup.m3u\">as a playlist</a>", &rows)
}

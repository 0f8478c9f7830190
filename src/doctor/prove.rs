//! `tunerd --prove`: whether the system that has just started does what a box is for. A unit asks it, as the daemon's user,
//! after the first start of a system, and another one marks the system as good; one that is not goes, and the one before
//! comes back.
//!
//! It knocks as clients do: discovery (UDP 65001), the lineup, ten seconds of the test picture. Five good answers in a
//! row come first, because a daemon that falls over again and again answers in between. What the owner's providers send
//! is not looked at: that they are down is no reason to go back.

use super::ask::{ask, search};
use crate::clock;
use pure::limits::{DOCTOR_DOCUMENT_BYTES_MAX, PROVE_ANSWERS, PROVE_PAUSE_MS, PROVE_PICTURE_MS, PROVE_STEP_MS_MAX};
use pure::rules::doctor::stream::Watch;
use pure::rules::doctor::{self as rules, Outcome};
use pure::wire::hdhr::{DiscoverRequest, PORT, REQUEST_BYTES};
use pure::wire::json_items::Items;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long one answer is waited for.
const ANSWER_MS: u64 = 5_000;
/// Where the test picture is.
pub const TEST_PICTURE: &str = "/test.ts";

/// What this box should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Whether its settings let it be found.
    pub discovery: bool,
    /// Whether it had channels before it was started anew.
    pub channels: bool,
}

/// Where a page is, by its address.
pub fn place(base: &str) -> Option<(Ipv4Addr, u16)> {
    let authority = base.strip_prefix("http://")?.trim_end_matches('/');
    let (host, port) = authority.split_once(':').map_or((authority, "80"), |parts| parts);
    Some((host.parse().ok()?, port.parse().ok().filter(|port| *port > 0)?))
}

/// Asks the box, whose page is at one of these places, until it has proved itself or its time is over.
///
/// # Errors
/// What it did not do the last time, in words.
pub async fn prove(
    places: &[(Ipv4Addr, u16)],
    expected: &Expected,
    within_ms: u64,
    mut print: impl FnMut(&str),
) -> Result<(), String> {
    let mut last = String::from("it was not asked in time");
    let trying = async {
        loop {
            match try_once(places, expected).await {
                Ok(()) => return,
                Err(why) => {
                    if why != last {
                        print(&format!("not yet: {why}\n"));
                    }
                    last = why;
                }
            }
            clock::pause(PROVE_PAUSE_MS).await;
        }
    };
    let proved = tokio::time::timeout(Duration::from_millis(within_ms), trying).await;
    proved.map_err(|_| last)
}

async fn try_once(places: &[(Ipv4Addr, u16)], expected: &Expected) -> Result<(), String> {
    let mut place = None;
    for answer in 0..PROVE_ANSWERS {
        if answer > 0 {
            clock::pause(PROVE_PAUSE_MS).await;
        }
        if expected.discovery {
            let host = places.first().map_or(Ipv4Addr::LOCALHOST, |(host, _)| *host);
            in_time(ANSWER_MS, discovery(host)).await?;
        }
        let mut listed = Err("its page is nowhere".to_owned());
        for at in places {
            listed = in_time(ANSWER_MS, lineup(*at, expected)).await;
            if listed.is_ok() {
                place = Some(*at);
                break;
            }
        }
        listed?;
    }
    let place = place.ok_or("its page is nowhere")?;
    in_time(PROVE_STEP_MS_MAX, picture(place)).await
}

async fn in_time(ms: u64, step: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let late = |_| format!("an answer takes longer than {} seconds", ms / 1_000);
    tokio::time::timeout(Duration::from_millis(ms), step).await.map_err(late)?
}

async fn discovery(host: Ipv4Addr) -> Result<(), String> {
    let mut question = [0; REQUEST_BYTES];
    let question = DiscoverRequest::write(None, &mut question);
    let is_it = |_: &[u8], from: SocketAddr| from.ip() == IpAddr::V4(host);
    let heard = search(Ipv4Addr::UNSPECIFIED, SocketAddr::from((host, PORT)), question, ANSWER_MS, is_it).await?;
    let judged = rules::found(&heard.ok_or("nobody answers discovery")?, host, false);
    if judged.outcome == Outcome::Pass { Ok(()) } else { Err(format!("discovery: {}", judged.detail)) }
}

async fn lineup(at: (Ipv4Addr, u16), expected: &Expected) -> Result<(), String> {
    let mut answer = ask(at, "GET", "/lineup.json", "").await?;
    // There is none yet, because the owner's list was never fetched: his provider's doing, and no reason to go back.
    if answer.status == 503 && !expected.channels {
        return Ok(());
    }
    if answer.status != 200 {
        return Err(format!("lineup.json is answered with {}", answer.status));
    }
    let (mut items, mut bytes, mut channels, mut wrong) = (Items::default(), 0, 0_u64, 0_u64);
    while let Some(piece) = answer.next().await? {
        bytes += piece.len() as u64;
        if bytes > DOCTOR_DOCUMENT_BYTES_MAX {
            return Err("lineup.json has no end".to_owned());
        }
        let pushed = items.push(&piece, &mut |item| {
            let row: Value = serde_json::from_slice(item).unwrap_or_default();
            let has = |name: &str| row[name].as_str().is_some_and(|text| !text.is_empty());
            channels += 1;
            wrong += u64::from(!has("GuideNumber") || !has("URL"));
        });
        pushed.map_err(|_| "lineup.json is no list")?;
    }
    items.finish().map_err(|_| "lineup.json ends in the middle")?;
    if wrong > 0 {
        return Err(format!("{wrong} of {channels} channels cannot be tuned to"));
    }
    if channels == 0 && expected.channels { Err("the lineup is empty, and was not before".to_owned()) } else { Ok(()) }
}

/// Watches the test picture. Where people have all tuners, what one of them watches is as good.
async fn picture(at: (Ipv4Addr, u16)) -> Result<(), String> {
    let mut answer = ask(at, "GET", TEST_PICTURE, "").await?;
    if answer.status == 503 {
        if let Some(watched) = watched(at).await {
            answer = ask(at, "GET", &format!("/auto/v{watched}"), "").await?;
        }
    }
    if answer.status != 200 {
        let error = answer.header("x-hdhomerun-error");
        return Err(format!("the test picture is answered with {} {error}", answer.status));
    }
    let mut watch = Watch::default();
    let asked = clock::mono();
    while let Some(piece) = answer.next().await? {
        watch.push(clock::mono().ms_since(asked), &piece);
        if watch.ran_ms() >= PROVE_PICTURE_MS {
            break;
        }
    }
    watch.fault(PROVE_PICTURE_MS).map_or(Ok(()), |fault| Err(format!("the test picture: {fault}")))
}

/// A channel that is on: whoever watches the same one shares its tuner.
async fn watched(at: (Ipv4Addr, u16)) -> Option<String> {
    let body = ask(at, "GET", "/status.json", "").await.ok()?.body(pure::limits::DOCTOR_BODY_BYTES_MAX).await.ok()?;
    let tuners: Value = serde_json::from_slice(&body).ok()?;
    let number = tuners.as_array()?.iter().find_map(|tuner| tuner["VctNumber"].as_str())?;
    number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_where_its_address_says() {
        let local = Ipv4Addr::LOCALHOST;
        assert_eq!(place("http://127.0.0.1"), Some((local, 80)));
        assert_eq!(place("http://127.0.0.1:8080/"), Some((local, 8080)));
        for wrong in ["127.0.0.1", "https://127.0.0.1", "http://box", "http://127.0.0.1:0", "http://127.0.0.1:x", ""] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}

//! `tunerd doctor`: the same examination from another place in the network, or from a shell on the box, as a table.

use super::ask::ask;
use super::{Finding, Off, Patient, own_address, steps};
use pure::rules::doctor::Outcome;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where a page may be when nobody says where.
const PORTS: [u16; 2] = [80, 8080];
/// How long somebody is given to answer there.
const KNOCK_MS: u64 = 3_000;

/// Examines the box at `address`, a host with or without a port; without one, the box on this machine. `print` gets lines
/// as they become known. Says whether all is well.
///
/// # Errors
/// Nobody is there, in words.
pub async fn examine(address: Option<&str>, mut print: impl FnMut(&str)) -> Result<bool, String> {
    let (host, port) = find(address).await?;
    let patient = Patient { host, port, off: Off::default(), play: Vec::new(), sources: Vec::new() };
    print(&format!("Examining the box at {host}:{port}; this takes up to a minute and a half.\n\n"));
    let mut counts = [0; 3];
    steps::examine(&patient, |finding| {
        let outcome = finding.judged.outcome;
        let place = match outcome {
            Outcome::Pass => 0,
            Outcome::Fail => 1,
            Outcome::Skip => 2,
        };
        counts[place] += 1;
        print(&line(&finding));
    })
    .await;
    let [passed, failed, skipped] = counts;
    print(&format!("\n{passed} passed, {failed} failed, {skipped} skipped.\n"));
    Ok(failed == 0)
}

/// A line of the table, and what to do below it.
fn line(finding: &Finding) -> String {
    let check = finding.check.line();
    let (outcome, client) = (finding.judged.outcome.name(), check.client.name());
    let ms = finding.took_ms;
    let mut text = format!("{outcome:<5} {client:<18} {:<37} {ms:>6} ms  ", check.name);
    // What a stranger's box says must not reach the terminal as anything but text.
    text.extend(finding.judged.detail.chars().map(|c| if c.is_control() { ' ' } else { c }));
    text.push('\n');
    if let Some(fix) = finding.fix() {
        writeln!(text, "      -> {fix}.").unwrap_or_default();
    }
    text
}

/// Where the page is.
async fn find(address: Option<&str>) -> Result<(Ipv4Addr, u16), String> {
    let (name, port) = match address {
        None => (None, None),
        Some(address) => match address.rsplit_once(':') {
            None => (Some(address), None),
            Some((name, port)) => {
                let port = port.parse().map_err(|_| format!("{port:?} is no port; write --address HOST:PORT"))?;
                (Some(name), Some(port))
            }
        },
    };
    let hosts = match name {
        None => vec![own_address(), Ipv4Addr::LOCALHOST],
        Some(name) => vec![resolve(name).await?],
    };
    let ports = port.map_or_else(|| PORTS.to_vec(), |port| vec![port]);
    for host in &hosts {
        for port in &ports {
            let knock = ask((*host, *port), "GET", "/discover.json", "");
            let answer = tokio::time::timeout(Duration::from_millis(KNOCK_MS), knock).await;
            if matches!(answer, Ok(Ok(answer)) if answer.status == 200) {
                return Ok((*host, *port));
            }
        }
    }
    let at = address.map_or_else(|| "on this machine".to_owned(), |address| format!("at {address}"));
    Err(format!(
        "no box answers {at}. Is it switched on and in the same network? Write --address HOST:PORT if its page is on \
         another port than 80 or 8080"
    ))
}

async fn resolve(name: &str) -> Result<Ipv4Addr, String> {
    let looked =
        tokio::net::lookup_host((name, 80)).await.map_err(|error| format!("{name:?} has no address: {error}"))?;
    let found = looked.into_iter().find_map(|address| match address {
        SocketAddr::V4(address) => Some(*address.ip()),
        SocketAddr::V6(_) => None,
    });
    found.ok_or_else(|| format!("{name:?} has no IPv4 address"))
}

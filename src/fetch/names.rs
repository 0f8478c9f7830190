//! Names to addresses, each judged before anybody connects to it.

use super::{FetchError, Kind};
use crate::clock;
use nix::ifaddrs::getifaddrs;
use pure::limits::{NAME_ADDRESSES_MAX, NAME_FRESH_MS, NAME_STALE_MS, NAMES_MAX, RESOLVE_MS_MAX};
use pure::rules::reach::{Reach, Zone, zone, zone_of_target};
use pure::time::Mono;
use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

type Addresses = heapless::Vec<IpAddr, NAME_ADDRESSES_MAX>;

/// An answer of the resolver.
struct Known {
    name: String,
    addresses: Addresses,
    at: Mono,
    /// None of them answered: the next time the resolver is asked again.
    distrusted: bool,
}

/// What the resolver said lately.
#[derive(Default)]
pub(super) struct Names(RefCell<Vec<Known>>);

impl Names {
    /// The addresses of `host` that `reach` allows, in the order in which they are to be tried.
    pub(super) async fn resolve(
        &self,
        host: &str,
        reach: Reach,
    ) -> Result<heapless::Vec<(IpAddr, Zone), NAME_ADDRESSES_MAX>, FetchError> {
        let addresses = match host.parse() {
            Ok(address) => Addresses::from_iter([address]),
            Err(_) => self.look_up(host).await?,
        };
        let ours = our_addresses();
        let judged = addresses.iter().map(|address| (*address, zone(*address, |one| ours.contains(&one))));
        let allowed: heapless::Vec<_, NAME_ADDRESSES_MAX> = judged.filter(|(_, zone)| reach.allows(*zone)).collect();
        if allowed.is_empty() {
            let nearest = addresses.iter().map(|address| zone(*address, |one| ours.contains(&one))).min();
            let text = format!("{host} is {}", explain_zone(nearest.unwrap_or(Zone::Nowhere)));
            return Err(FetchError::new(Kind::Policy, text));
        }
        Ok(allowed)
    }

    /// None of its addresses answered: it may have moved.
    pub(super) fn distrust(&self, host: &str) {
        for known in self.0.borrow_mut().iter_mut().filter(|known| known.name == host) {
            known.distrusted = true;
        }
    }

    async fn look_up(&self, host: &str) -> Result<Addresses, FetchError> {
        let kept = |ms_max: u64, or_distrusted: bool| {
            let known = self.0.borrow();
            let is_good = |known: &&Known| {
                known.name == host && clock::mono().ms_since(known.at) < ms_max && (or_distrusted || !known.distrusted)
            };
            known.iter().find(is_good).map(|known| known.addresses.clone())
        };
        if let Some(addresses) = kept(NAME_FRESH_MS, false) {
            return Ok(addresses);
        }
        let asking = tokio::net::lookup_host((host, 0));
        let found: Addresses = match tokio::time::timeout(Duration::from_millis(RESOLVE_MS_MAX), asking).await {
            Ok(Ok(found)) => interleave(found.map(|address| address.ip())),
            Ok(Err(_)) | Err(_) => Addresses::new(),
        };
        if found.is_empty() {
            // A resolver that is down is no reason to stop what plays.
            return kept(NAME_STALE_MS, true)
                .ok_or_else(|| FetchError::new(Kind::Dns, format!("the name {host} cannot be resolved")));
        }
        self.remember(host, &found);
        Ok(found)
    }

    fn remember(&self, host: &str, addresses: &Addresses) {
        let mut all = self.0.borrow_mut();
        all.retain(|known| known.name != host);
        if all.len() >= NAMES_MAX {
            all.remove(0);
        }
        all.push(Known { name: host.to_owned(), addresses: addresses.clone(), at: clock::mono(), distrusted: false });
    }
}

/// Judges a host that a proxy will resolve, by what is written.
pub(super) fn judge(host: &str, reach: Reach) -> Result<Zone, FetchError> {
    let ours = our_addresses();
    let zone = zone_of_target(host, |one| ours.contains(&one));
    if reach.allows(zone) {
        return Ok(zone);
    }
    Err(FetchError::new(Kind::Policy, format!("{host} is {}", explain_zone(zone))))
}

/// By turns one of each family, the resolver's first choice first (RFC 8305, 4).
fn interleave(found: impl Iterator<Item = IpAddr>) -> Addresses {
    let mut found: Vec<IpAddr> = found.take(4 * NAME_ADDRESSES_MAX).collect();
    let mut ordered = Addresses::new();
    while !found.is_empty() {
        let wanted = ordered.last().is_none_or(IpAddr::is_ipv4);
        let first_is_v6 = ordered.first().or(found.first()).is_some_and(IpAddr::is_ipv6);
        let want_v6 = if ordered.is_empty() { first_is_v6 } else { wanted };
        let at = found.iter().position(|address| address.is_ipv6() == want_v6).unwrap_or(0);
        let next = found.remove(at);
        if !ordered.contains(&next) && ordered.push(next).is_err() {
            break;
        }
    }
    ordered
}

/// This box's own addresses. It has few, and they change.
fn our_addresses() -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten();
    let addresses = all.filter_map(|interface| interface.address).filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    addresses.take(pure::limits::INTERFACES_MAX * pure::limits::ADDRESSES_MAX).collect()
}

const fn explain_zone(zone: Zone) -> &'static str {
    match zone {
        Zone::Private => "in a house, and whoever named it is not; only an address that you type may lead there",
        Zone::ThisBox => "this box itself; lineup.this_box in the settings allows that for what you type",
        Zone::Public | Zone::Nowhere => "nowhere that streams come from",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let of = |text: &str| text.split(' ').map(|one| one.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
        let sorted = |text: &str| interleave(of(text).into_iter()).into_iter().collect::<Vec<_>>();
        assert_eq!(sorted("2600::1 2600::2 8.8.8.8 8.8.4.4"), of("2600::1 8.8.8.8 2600::2 8.8.4.4"));
        assert_eq!(sorted("8.8.8.8 8.8.8.8 2600::1"), of("8.8.8.8 2600::1"));
        assert_eq!(sorted("2600::1 2600::2"), of("2600::1 2600::2"));
        assert_eq!(sorted(&["8.8.8.8"; 3].join(" ")), of("8.8.8.8"));
    }

    #[test]
    fn this_box_knows_its_own_addresses() {
        assert!(our_addresses().contains(&"127.0.0.1".parse().unwrap()));
    }
}

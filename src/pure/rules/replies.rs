//! Who gets how many answers: discovery and SSDP answer with more bytes than they were asked with, and the address
//! they answer to is only claimed.
//!
//! Every source has a bucket of its own, and all of them share one (S40). The table has a fixed size; who has been
//! silent for longest makes room. A flood of invented addresses can so empty the shared bucket, which costs others a
//! retry, but it cannot turn us into a weapon.
//!
//! Here: [`may_be_answered`] and [`Replies`]. Not here: which prefixes are ours, which the door knows.

use crate::limits::{
    REPLIES_BURST, REPLIES_PERIOD_MS, REPLY_SOURCES_MAX, SOURCE_REPLIES_BURST, SOURCE_REPLIES_PERIOD_MS,
};
use crate::rules::bucket::Bucket;
use crate::time::Mono;
use core::net::{IpAddr, SocketAddr};
use heapless::Vec;

/// Ports below this belong to services that never ask, so an answer there hits somebody who did not.
const PORT_MIN: u16 = 1_024;
/// Services that ask from their own port: SSDP and mDNS.
const PORTS_ALLOWED: [u16; 2] = [1_900, 5_353];

/// Whether an answer to this address can be one to whoever asked. Says nothing about prefixes.
pub fn may_be_answered(source: SocketAddr) -> bool {
    let address = source.ip().to_canonical();
    let is_one = match address {
        IpAddr::V4(v4) => !v4.is_broadcast() && v4.octets()[0] != 0 && v4.octets()[0] < 240,
        IpAddr::V6(_) => true,
    };
    is_one
        && !address.is_multicast()
        && !address.is_unspecified()
        && (source.port() >= PORT_MIN || PORTS_ALLOWED.contains(&source.port()))
}

/// The buckets of those who asked lately, and the one of all.
#[derive(Debug)]
pub struct Replies {
    sources: Vec<Source, REPLY_SOURCES_MAX>,
    all: Bucket,
}

#[derive(Debug)]
struct Source {
    address: IpAddr,
    bucket: Bucket,
    asked_at: Mono,
}

impl Replies {
    /// Nobody has asked yet.
    pub const fn new() -> Self {
        Self { sources: Vec::new(), all: Bucket::new(REPLIES_PERIOD_MS, REPLIES_BURST) }
    }

    /// Whether this source may get `replies` datagrams now: all of them or none. Counts them when it may.
    #[must_use]
    pub fn ask(&mut self, now: Mono, address: IpAddr, replies: u8) -> bool {
        let index = self.index(now, address.to_canonical());
        let Some(source) = self.sources.get_mut(index) else { return false };
        source.asked_at = now;
        // On copies first: a denial costs neither bucket anything.
        let (Some(bucket), Some(all)) = (take(&source.bucket, now, replies), take(&self.all, now, replies)) else {
            return false;
        };
        source.bucket = bucket;
        self.all = all;
        true
    }

    /// Where the entry of an address is, made when there was none.
    fn index(&mut self, now: Mono, address: IpAddr) -> usize {
        if let Some(index) = self.sources.iter().position(|source| source.address == address) {
            return index;
        }
        let bucket = Bucket::new(SOURCE_REPLIES_PERIOD_MS, SOURCE_REPLIES_BURST);
        let Err(new) = self.sources.push(Source { address, bucket, asked_at: now }) else {
            return self.sources.len() - 1;
        };
        let silent = self.sources.iter_mut().enumerate().min_by_key(|(_, source)| source.asked_at);
        silent.map_or(0, |(index, source)| {
            *source = new;
            index
        })
    }
}

impl Default for Replies {
    fn default() -> Self {
        Self::new()
    }
}

/// The bucket after so many takes; none when it has not so many.
fn take(bucket: &Bucket, now: Mono, count: u8) -> Option<Bucket> {
    let mut bucket = bucket.clone();
    (0..count).all(|_| bucket.take(now)).then_some(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4((0x0A00_0000 + number).into())
    }

    #[test]
    fn one_source_gets_a_burst_and_then_five_a_second() {
        let mut replies = Replies::new();
        let granted = (0..10_000).filter(|_| replies.ask(Mono(0), address(1), 1)).count();
        assert_eq!(granted, 10);
        // Ten thousand a second for a minute.
        let granted = (1..=600_000).filter(|tenth| replies.ask(Mono(tenth / 10), address(1), 1)).count();
        assert_eq!(granted, 300);
        assert!(replies.ask(Mono(60_000), address(2), 1), "another one is not held responsible");
    }

    #[test]
    fn all_together_get_a_hundred_a_second() {
        let mut replies = Replies::new();
        let granted = (0..5_000).filter(|source| replies.ask(Mono(0), address(*source), 1)).count();
        assert_eq!(granted, 100);
        // Five new addresses each millisecond.
        let granted = (0..50_000_u32).filter(|turn| replies.ask(Mono(u64::from(turn / 5)), address(*turn), 1)).count();
        assert!((990..=1_010).contains(&granted), "{granted} in ten seconds");
    }

    #[test]
    fn a_denial_costs_nothing() {
        let mut replies = Replies::new();
        // Six at once, then five more do not fit; four do.
        assert!(replies.ask(Mono(0), address(1), 6));
        assert!(!replies.ask(Mono(0), address(1), 5));
        assert!(replies.ask(Mono(0), address(1), 4));
        assert!(!replies.ask(Mono(0), address(1), 1));
        assert!(!replies.ask(Mono(0), address(2), 11), "more than a source ever gets");
        // When all is spent, a source keeps its own.
        for source in 3..12 {
            assert!(replies.ask(Mono(0), address(source), 10), "{source}");
        }
        assert!(!replies.ask(Mono(0), address(99), 1));
        assert!(replies.ask(Mono(1_000), address(99), 10), "nothing was taken from it");
    }

    #[test]
    fn who_is_silent_for_longest_makes_room() {
        let mut replies = Replies::new();
        for source in 0..256 {
            assert!(replies.ask(Mono(u64::from(source) * 1_000), address(source), 10));
        }
        let now = Mono(256_000);
        assert!(!replies.ask(now, address(255), 9), "remembered");
        assert!(replies.ask(now, address(1_000), 1), "in the place of the first");
        assert_eq!(replies.sources.len(), REPLY_SOURCES_MAX);
        assert!(!replies.sources.iter().any(|source| source.address == address(0)));
        assert!(replies.sources.iter().any(|source| source.address == address(1)));
    }

    #[test]
    fn one_address_has_one_bucket_however_it_is_written() {
        let mut replies = Replies::new();
        assert!(replies.ask(Mono(0), "192.0.2.1".parse().unwrap(), 10));
        assert!(!replies.ask(Mono(0), "::ffff:192.0.2.1".parse().unwrap(), 1));
    }

    #[test]
    fn only_one_who_may_have_asked_is_answered() {
        for (source, expected) in [
            ("192.0.2.20:50000", true),
            ("127.0.0.1:50000", true),
            ("192.0.2.20:1900", true),
            ("192.0.2.20:65001", true),
            ("[fe80::1]:50000", true),
            ("[::ffff:192.0.2.20]:50000", true),
            ("192.0.2.20:0", false),
            ("192.0.2.20:53", false),
            ("192.0.2.20:1023", false),
            ("0.0.0.0:50000", false),
            ("0.1.2.3:50000", false),
            ("239.255.255.250:50000", false),
            ("255.255.255.255:50000", false),
            ("240.0.0.1:50000", false),
            ("[::]:50000", false),
            ("[ff02::176]:50000", false),
            ("[::ffff:224.0.0.1]:50000", false),
            ("[::ffff:255.255.255.255]:50000", false),
        ] {
            let address: SocketAddr = source.parse().unwrap();
            assert_eq!(may_be_answered(address), expected, "{address}");
        }
    }
}

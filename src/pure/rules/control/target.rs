//! Where a client wants its packets: `udp://192.0.2.20:5000`, `rtp://…`, or without either for UDP.
//!
//! A box that sends wherever it is told can be made to flood somebody else. So packets go to the one who asks, or to a
//! group that the owner of the box has allowed, and nowhere else.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};

/// Ports below this belong to services that never wait for a stream.
const PORT_MIN: u16 = 1_024;

/// How packets are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all: 1,316 bytes a datagram.
    Udp,
    /// Behind an RTP header: 1,328 bytes a datagram.
    Rtp,
}

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// How they are wrapped.
    pub scheme: Scheme,
    /// Where to.
    pub address: SocketAddr,
    /// For a group: over how many routers.
    pub ttl: Option<u8>,
}

/// Why there is no such target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It is no address with a port.
    Form,
    /// It is neither the asker's nor an allowed group.
    NotAllowed,
}

impl Target {
    /// Reads a target that `peer` asks for. `multicast_ttl_max` is none when no group is allowed.
    ///
    /// A client that came over IPv6 may name `0.0.0.0`, because it knows no better; it must hear that this does not
    /// work, or it waits for ever.
    ///
    /// # Errors
    /// [`TargetError`]: the client tries another scheme, or gives up at once.
    pub fn parse(text: &str, peer: SocketAddr, multicast_ttl_max: Option<u8>) -> Result<Self, TargetError> {
        let (place, ttl) = match text.split_once(' ') {
            None => (text, None),
            Some((place, ttl)) => (place, Some(hops(ttl).ok_or(TargetError::Form)?)),
        };
        let (scheme, place) = match place.split_once("://") {
            None => (Scheme::Udp, place),
            Some(("udp", place)) => (Scheme::Udp, place),
            Some(("rtp", place)) => (Scheme::Rtp, place),
            Some(_) => return Err(TargetError::Form),
        };
        let address: SocketAddr = place.parse().map_err(|_| TargetError::Form)?;
        let (ip, peer_ip) = (address.ip().to_canonical(), peer.ip().to_canonical());
        if address.port() < PORT_MIN {
            return Err(TargetError::NotAllowed);
        }
        if ip.is_multicast() {
            let ttl = ttl.unwrap_or(1);
            let is_allowed = multicast_ttl_max.is_some_and(|most| ttl <= most);
            let target = Self { scheme, address: SocketAddr::new(ip, address.port()), ttl: Some(ttl) };
            return is_allowed.then_some(target).ok_or(TargetError::NotAllowed);
        }
        if ip != peer_ip {
            return Err(TargetError::NotAllowed);
        }
        // The same link as the one the asker is on: its address alone would not say which.
        let address = match (ip, peer) {
            (IpAddr::V6(ip), SocketAddr::V6(peer)) => {
                SocketAddr::V6(SocketAddrV6::new(ip, address.port(), 0, peer.scope_id()))
            }
            _ => SocketAddr::new(ip, address.port()),
        };
        Ok(Self { scheme, address, ttl: None })
    }

    /// Whether it is a group and not one receiver.
    pub const fn is_multicast(&self) -> bool {
        self.address.ip().is_multicast()
    }
}

/// The number in `ttl=8`.
fn hops(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("ttl=")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?.filter(|ttl| *ttl > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, peer: &str) -> Result<Target, TargetError> {
        Target::parse(text, peer.parse().unwrap(), Some(8))
    }

    #[test]
    fn packets_go_to_the_one_who_asks() {
        let address = "192.0.2.20:5000".parse().unwrap();
        let udp = Target { scheme: Scheme::Udp, address, ttl: None };
        for (text, peer, expected) in [
            ("udp://192.0.2.20:5000", "192.0.2.20:40000", udp),
            ("192.0.2.20:5000", "192.0.2.20:40000", udp),
            ("udp://192.0.2.20:5000 ttl=4", "192.0.2.20:40000", udp),
            ("rtp://192.0.2.20:5000", "192.0.2.20:40000", Target { scheme: Scheme::Rtp, ..udp }),
            // Over a socket for both families.
            ("udp://192.0.2.20:5000", "[::ffff:192.0.2.20]:40000", udp),
            ("udp://[::ffff:192.0.2.20]:5000", "192.0.2.20:40000", udp),
            (
                "rtp://[fe80::1]:5000",
                "[fe80::1%7]:40000",
                Target { scheme: Scheme::Rtp, address: "[fe80::1%7]:5000".parse().unwrap(), ttl: None },
            ),
        ] {
            assert_eq!(parse(text, peer), Ok(expected), "{text} {peer}");
        }
        assert_eq!(parse("udp://127.0.0.1:5000", "127.0.0.1:1").unwrap().address, "127.0.0.1:5000".parse().unwrap());
    }

    #[test]
    fn and_to_nobody_else() {
        for text in [
            "udp://192.0.2.21:5000",
            "udp://192.0.2.20:53",
            "udp://192.0.2.20:0",
            "udp://255.255.255.255:5000",
            "udp://127.0.0.1:5000",
            "udp://[2001:db8::1]:5000",
            "udp://239.255.1.1:5000 ttl=9",
        ] {
            assert_eq!(parse(text, "192.0.2.20:40000"), Err(TargetError::NotAllowed), "{text}");
        }
        for text in [
            "",
            "none",
            "udp://",
            "udp://192.0.2.20",
            "udp://192.0.2.20:",
            "udp://192.0.2.20:65536",
            "udp://localhost:5000",
            "tcp://192.0.2.20:5000",
            "udp://192.0.2.20:5000/",
            "udp://192.0.2.20:5000 ",
            "udp://192.0.2.20:5000 ttl=0",
            "udp://192.0.2.20:5000 ttl=+1",
            "udp://192.0.2.20:5000 ttl=256",
            "udp://192.0.2.20:5000 ttl=1 ttl=2",
            " udp://192.0.2.20:5000",
        ] {
            assert_eq!(parse(text, "192.0.2.20:40000"), Err(TargetError::Form), "{text:?}");
        }
    }

    #[test]
    fn groups_only_as_the_owner_allows() {
        let peer = "192.0.2.20:40000".parse().unwrap();
        let group = Target::parse("rtp://239.255.1.1:59001 ttl=8", peer, Some(8)).unwrap();
        assert_eq!((group.ttl, group.is_multicast()), (Some(8), true));
        assert_eq!(Target::parse("rtp://239.255.1.1:59001", peer, Some(1)).unwrap().ttl, Some(1));
        for (text, most) in [("rtp://239.255.1.1:59001", None), ("udp://[ff05::1]:5000 ttl=2", Some(1))] {
            assert_eq!(Target::parse(text, peer, most), Err(TargetError::NotAllowed));
        }
    }

    #[test]
    fn trap_26_a_client_over_ipv6_that_names_no_address_hears_so() {
        for text in ["rtp://0.0.0.0:5000", "udp://0.0.0.0:5000", "rtp://[::]:5000"] {
            assert_eq!(parse(text, "[2001:db8::20]:40000"), Err(TargetError::NotAllowed));
        }
    }
}

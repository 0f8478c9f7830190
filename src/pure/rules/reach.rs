//! How far an address may lead (S32): a stranger's playlist must not make us knock at doors of the house.
//!
//! Every address on the network lies in a [`Zone`], and everything that we fetch has a [`Reach`]: the most private zone
//! that it may lead to. What the owner typed reaches into the house; what a server says, a redirect, an entry of its
//! playlist, a segment or a key, reaches no further than that server itself. This box and its loopback are reached only
//! where the settings allow it and the owner typed it.
//!
//! Not here: asking the resolver, and connecting to nothing but the address that was judged (the daemon's `fetch`).
//!
//! Source: IANA's registries of special-purpose addresses (RFC 6890, updated 2025), RFC 4291, 6052, 3056, 4380.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address lies, from the least to the most private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zone {
    /// On the internet.
    Public,
    /// In a house: RFC 1918, or unique local.
    Private,
    /// This very box.
    ThisBox,
    /// Nobody that a stream could come from: link-local, multicast, the metadata of clouds, what is reserved.
    Nowhere,
}

/// The most private zone that something may lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The internet only.
    #[default]
    Public,
    /// The house, too.
    Private,
    /// This box as well; only where the settings allow it.
    ThisBox,
}

impl Reach {
    /// What the owner typed himself. `this_box`: the settings let him have streams of this box.
    pub const fn typed(this_box: bool) -> Self {
        if this_box { Self::ThisBox } else { Self::Private }
    }

    /// Whether it goes as far as `zone`.
    pub const fn allows(self, zone: Zone) -> bool {
        match zone {
            Zone::Public => true,
            Zone::Private => !matches!(self, Self::Public),
            Zone::ThisBox => matches!(self, Self::ThisBox),
            Zone::Nowhere => false,
        }
    }

    /// Whether datagrams that come to `address` may be listened to. Nobody is called: groups are open to everybody, but
    /// for those of our own link; this box opens a port only for what the owner typed.
    pub const fn hears(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) if v4.is_multicast() => !matches!(v4.octets(), [224, 0, 0, _]),
            // Scopes below that of a realm are of an interface or a link (RFC 7346).
            IpAddr::V6(v6) if v6.is_multicast() => v6.segments()[0] & 0xF >= 3,
            IpAddr::V4(_) | IpAddr::V6(_) => !matches!(self, Self::Public),
        }
    }

    /// What is left of it for everything that somebody in `zone` names: no more than where he is himself.
    #[must_use]
    pub fn through(self, zone: Zone) -> Self {
        let of_zone = match zone {
            Zone::Public | Zone::Nowhere => Self::Public,
            Zone::Private => Self::Private,
            Zone::ThisBox => Self::ThisBox,
        };
        self.min(of_zone)
    }

    /// Its name where it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::ThisBox => "this_box",
        }
    }

    /// The reach of this name; the shortest for any other.
    pub fn from_name(name: &str) -> Self {
        [Self::Private, Self::ThisBox].into_iter().find(|reach| reach.name() == name).unwrap_or_default()
    }
}

/// Where an address lies. `is_ours` tells whether it is one of this box's own.
pub fn zone(address: IpAddr, is_ours: impl Fn(IpAddr) -> bool) -> Zone {
    let zone = match address {
        IpAddr::V4(v4) => zone_v4(v4),
        IpAddr::V6(v6) => zone_v6(v6),
    };
    // An address that leads to another one in its disguise is ours when that one is.
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => carried(v6).map(IpAddr::V4),
    };
    let is_here = is_ours(address) || inner.is_some_and(is_ours);
    if is_here && zone < Zone::ThisBox { Zone::ThisBox } else { zone }
}

/// Where a target lies that only a proxy will resolve, as far as its name tells: names of one word and those that no
/// public resolver knows are somebody's house.
pub fn zone_of_target(host: &str, is_ours: impl Fn(IpAddr) -> bool) -> Zone {
    if let Ok(address) = host.parse() {
        return zone(address, is_ours);
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let (_, last) = name.rsplit_once('.').unwrap_or(("", &name));
    match last {
        "localhost" => Zone::ThisBox,
        // RFC 6762, 8375, 9476 and what ICANN reserved; routers' own.
        "local" | "internal" | "lan" | "home" | "corp" | "intranet" => Zone::Private,
        _ if !name.contains('.') || name.ends_with(".home.arpa") => Zone::Private,
        _ => Zone::Public,
    }
}

/// Servers that tell a rented machine its secrets, where their address alone would not say so.
const METADATA: [Ipv4Addr; 2] = [
    // Azure's wire server.
    Ipv4Addr::new(168, 63, 129, 16),
    // Oracle's older one.
    Ipv4Addr::new(192, 0, 0, 192),
];

fn zone_v4(address: Ipv4Addr) -> Zone {
    if METADATA.contains(&address) {
        return Zone::Nowhere;
    }
    match address.octets() {
        [127, ..] => Zone::ThisBox,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Zone::Private,
        // "This network", multicast, reserved, broadcast, shared by carriers, link-local with the clouds' metadata.
        [0 | 224..=255, ..] | [100, 64..=127, ..] | [169, 254, ..]
        // Protocol assignments, documents, benchmarks, the old relay of 6to4.
        | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18..=19, ..] | [192, 88, 99, _] => {
            Zone::Nowhere
        }
        _ => Zone::Public,
    }
}

fn zone_v6(address: Ipv6Addr) -> Zone {
    if address == Ipv6Addr::LOCALHOST {
        return Zone::ThisBox;
    }
    if let Some(inner) = carried(address) {
        return zone_v4(inner);
    }
    match address.segments() {
        // Amazon's and Google's metadata lie among the unique local addresses.
        [0xFD00, 0x0EC2, ..] | [0xFD20, 0xCE, ..]
        // ISATAP, which carries an IPv4 address behind any prefix, and which nobody uses any more.
        | [.., 0 | 0x0200, 0x5EFE, _, _]
        // What begins like Teredo and could not be unwrapped, ORCHID, benchmarks, and documents.
        | [0x2001, 0..=0x01FF | 0x0DB8, ..] | [0x3FFF, 0..=0x0FFF, ..] => Zone::Nowhere,
        [0xFC00..=0xFDFF, ..] => Zone::Private,
        [0x2000..=0x3FFF, ..] => Zone::Public,
        // Unspecified, link-local, site-local, multicast, and all that nobody was given yet.
        _ => Zone::Nowhere,
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, translated (NAT64), 6to4, Teredo.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        // `::` and `::1` are themselves; the rest is IPv4-compatible, which nobody uses any more.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Compatible, mapped and translated ones, NAT64 with the well-known prefix, and 6to4.
        [0, 0, 0, 0, 0, 0 | 0xFFFF, high, low]
        | [0, 0, 0, 0, 0xFFFF, 0, high, low]
        | [0x64, 0xFF9B, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        // A NAT64 of one's own may translate into anything.
        [0x64, 0xFF9B, 1, ..] => Some(Ipv4Addr::UNSPECIFIED),
        // Teredo: the client's address with all bits turned.
        [0x2001, 0, _, _, _, _, high, low] => Some(v4(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Zone {
        zone(address.parse().unwrap(), |one| one == "192.168.1.5".parse::<IpAddr>().unwrap())
    }

    #[test]
    fn names_of_the_house_are_known_by_their_ends() {
        let of = |host: &str| zone_of_target(host, |_| false);
        let public = ["example.com", "local.example.com", "8.8.8.8", "localhost.example"].map(of);
        assert_eq!(public, [Zone::Public; 4]);
        let private = ["router", "NAS.local", "nas.local.", "a.home.arpa", "box.lan", "10.0.0.1", "x.internal"].map(of);
        assert_eq!(private, [Zone::Private; 7]);
        assert_eq!(["localhost", "a.LocalHost", "127.0.0.1", "::1"].map(of), [Zone::ThisBox; 4]);
        assert_eq!(of("169.254.169.254"), Zone::Nowhere);
    }

    #[test]
    fn every_kind_of_address_has_its_zone() {
        let table: [(Zone, &[&str]); 4] = [
            (
                Zone::Public,
                &[
                    "93.184.216.34",
                    "8.8.8.8",
                    "172.15.0.1",
                    "172.32.0.1",
                    "100.63.1.1",
                    "100.128.0.1",
                    "2606:2800:220:1::1",
                    "2a00:1450::1",
                    "::ffff:93.184.216.34",
                    "64:ff9b::5db8:d822",
                    "2002:5db8:d822::1",
                ],
            ),
            (
                Zone::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                    "fd12:3456::1",
                    "fc00::1",
                    "::ffff:10.0.0.1",
                    "64:ff9b::c0a8:1",
                    "2002:0a00:0001::1",
                    "2001:0:1:2:3:4:f5ff:fffe",
                    "::192.168.0.1",
                ],
            ),
            (
                Zone::ThisBox,
                &[
                    "127.0.0.1",
                    "127.255.255.254",
                    "::1",
                    "::ffff:127.0.0.1",
                    "::ffff:7f00:1",
                    "::127.0.0.1",
                    "64:ff9b::127.0.0.1",
                    "2002:7f00:1::",
                    "2001:0:1:2:3:4:80ff:fffe",
                    "::ffff:0:127.0.0.1",
                    "192.168.1.5",
                    "::ffff:192.168.1.5",
                    "2002:c0a8:0105::9",
                ],
            ),
            (
                Zone::Nowhere,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "100.64.0.1",
                    "100.127.255.255",
                    "100.100.100.200",
                    "169.254.169.254",
                    "169.254.0.1",
                    "192.0.0.8",
                    "192.0.0.192",
                    "192.0.2.1",
                    "198.18.0.1",
                    "198.19.255.255",
                    "198.51.100.1",
                    "203.0.113.1",
                    "224.0.0.1",
                    "239.255.255.250",
                    "240.0.0.1",
                    "255.255.255.255",
                    "168.63.129.16",
                    "::",
                    "fe80::1",
                    "febf::1",
                    "fec0::1",
                    "ff02::1",
                    "ff0e::1",
                    "fd00:ec2::254",
                    "fd20:ce::254",
                    "2001:db8::1",
                    "2001:2::1",
                    "2001:10::1",
                    "4000::1",
                    "64:ff9b:1::808:808",
                    "::ffff:169.254.169.254",
                    "2002:a9fe:a9fe::1",
                    "64:ff9b::a9fe:a9fe",
                    "::ffff:0.0.0.0",
                    "100::1",
                    "2606::5efe:7f00:1",
                    "fe80::5efe:808:808",
                    "fd00::200:5efe:808:808",
                ],
            ),
        ];
        for (zone, addresses) in table {
            for address in addresses {
                assert_eq!(of(address), zone, "{address}");
            }
        }
    }

    #[test]
    fn groups_are_heard_and_ports_are_the_owners() {
        for (address, by_all) in [
            ("239.0.0.1", true),
            ("232.1.1.1", true),
            ("224.0.1.1", true),
            ("224.0.0.251", false),
            ("ff02::fb", false),
            ("ff01::1", false),
            ("ff05::1", true),
            ("ff3e::1", true),
        ] {
            let address = address.parse().unwrap();
            assert!([Reach::Public, Reach::Private, Reach::ThisBox].iter().all(|one| one.hears(address) == by_all));
        }
        for address in ["0.0.0.0", "192.168.1.5", "127.0.0.1", "8.8.8.8", "::", "::ffff:239.0.0.1"] {
            let address = address.parse().unwrap();
            assert!(!Reach::Public.hears(address) && Reach::Private.hears(address), "{address}");
        }
    }

    #[test]
    fn nobody_leads_further_than_where_he_is() {
        for this_box in [false, true] {
            let typed = Reach::typed(this_box);
            assert!(typed.allows(Zone::Public) && typed.allows(Zone::Private) && !typed.allows(Zone::Nowhere));
            assert_eq!(typed.allows(Zone::ThisBox), this_box);
            assert_eq!(typed.through(Zone::Public), Reach::Public);
            assert_eq!(typed.through(Zone::Private), Reach::Private);
            assert_eq!(typed.through(Zone::ThisBox), typed);
        }
        for zone in [Zone::Public, Zone::Private, Zone::ThisBox, Zone::Nowhere] {
            assert_eq!(Reach::Public.through(zone), Reach::Public);
            assert!(Reach::Public.allows(zone) == (zone == Zone::Public));
        }
        for reach in [Reach::Public, Reach::Private, Reach::ThisBox] {
            assert_eq!(Reach::from_name(reach.name()), reach);
        }
        assert_eq!(Reach::from_name("everywhere"), Reach::Public);
    }
}

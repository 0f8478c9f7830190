//! Any address: what the standard library knows to be special is never public, whatever it is wrapped in, and nobody
//! leads further than where he is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::rules::reach::{Reach, Zone, zone};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const REACHES: [Reach; 3] = [Reach::Public, Reach::Private, Reach::ThisBox];

fn check_v4(v4: Ipv4Addr) {
    let of = |address: IpAddr| zone(address, |_| false);
    let plain = of(v4.into());
    let is_special = v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_unspecified()
        || v4.is_documentation();
    assert!(!(is_special && plain == Zone::Public), "{v4}");
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    for disguise in [
        v4.to_ipv6_mapped(),
        Ipv6Addr::new(0x64, 0xFF9B, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 1, 2, 3, 4, 5),
        Ipv6Addr::new(0x2001, 0, 1, 2, 3, 4, !high, !low),
    ] {
        assert_eq!(of(disguise.into()), plain, "{disguise}");
        // Ours, in whatever it is wrapped.
        assert!(zone(disguise.into(), |one| one == IpAddr::V4(v4)) >= Zone::ThisBox, "{disguise}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(four) = bytes.first_chunk::<4>() {
        check_v4(Ipv4Addr::from(*four));
    }
    let Some(sixteen) = bytes.first_chunk::<16>() else { return };
    let v6 = Ipv6Addr::from(*sixteen);
    let found = zone(v6.into(), |_| false);
    let is_special = v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_multicast()
        || v6.is_unicast_link_local()
        || v6.is_unique_local();
    assert!(!(is_special && found == Zone::Public), "{v6}");
    assert!(zone(v6.into(), |_| true) >= Zone::ThisBox);
    for reach in REACHES {
        assert!(!reach.allows(Zone::Nowhere) && reach.through(found) <= reach);
        assert!(found == Zone::Nowhere || !reach.through(found).allows(Zone::ThisBox) || found == Zone::ThisBox);
    }
});

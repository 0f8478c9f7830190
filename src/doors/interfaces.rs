//! The interfaces of this box with their addresses, and word when that changes.
//!
//! Discovery, SSDP and HTTP build addresses for clients from it: each client gets one that it can reach. Not here:
//! joining groups, which every door does for itself.
//!
//! The kernel tells of changes over netlink; what changed is then looked up as a whole, so that no order of messages
//! can leave us with something that is not true.

use crate::clock;
use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrLike as _, SockaddrStorage, bind, socket,
};
use pure::limits::{ADDRESSES_MAX, INTERFACES_MAX, LINKS_EVERY_MS, LINKS_POLL_MS, LINKS_SETTLE_MS};
use pure::model::subnet::Subnet;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use tokio::net::UnixDatagram;
use tokio::sync::watch;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It leads nowhere but to ourselves.
    pub is_loopback: bool,
    /// Groups can be joined there.
    pub has_groups: bool,
    /// Its own addresses, each with the length of its prefix, in the kernel's order.
    addresses: Vec<Subnet>,
}

impl Interface {
    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(Subnet::address)
    }

    /// The address that others in its network use best: `IPv4` first, because every client knows it.
    ///
    /// None where there is only one that means nothing without the name of the interface.
    pub fn host(&self, allow_v6: bool) -> Option<IpAddr> {
        let rank = |address: &IpAddr| match address {
            IpAddr::V4(v4) if v4.is_link_local() => 3,
            IpAddr::V4(_) => 0,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => 4,
            IpAddr::V6(v6) if v6.is_unique_local() => 2,
            IpAddr::V6(_) => 1,
        };
        // The first of the best ones.
        self.addresses().filter(|address| rank(address) < 4 && (allow_v6 || address.is_ipv4())).min_by_key(rank)
    }
}

/// All interfaces that are up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces(Vec<Interface>);

impl Interfaces {
    /// All of them, in the kernel's order.
    pub fn list(&self) -> &[Interface] {
        &self.0
    }

    /// The one with this number.
    pub fn by_index(&self, index: u32) -> Option<&Interface> {
        self.0.iter().find(|interface| interface.index == index)
    }

    /// The one with this address.
    pub fn by_address(&self, address: IpAddr) -> Option<&Interface> {
        let holds = |interface: &&Interface| {
            // All of 127/8 is the loopback's, whatever it lists.
            interface.addresses().any(|own| own == address) || interface.is_loopback && address.is_loopback()
        };
        self.0.iter().find(holds)
    }

    /// Whether this address is ours.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.by_address(address).is_some()
    }

    /// Whether somebody with this address is in a network that we are in, without a router in between.
    pub fn is_on_link(&self, peer: IpAddr) -> bool {
        let is_link_local = match peer {
            IpAddr::V4(peer) => peer.is_link_local(),
            IpAddr::V6(peer) => peer.is_unicast_link_local(),
        };
        peer.is_loopback()
            || is_link_local
            || self.0.iter().any(|interface| interface.addresses.iter().any(|subnet| subnet.contains(peer)))
    }

    /// The address to write into what `peer` is told, who reached us at `local` on an interface.
    ///
    /// That is where he reached us, if he can use it in an address: not a group, and not an address of the link, which
    /// means nothing without the name of *his* interface. Then it is the best one of the same interface; for a peer
    /// with an address of the same network that one, for it proves that he can use it.
    pub fn host_for(&self, index: u32, local: IpAddr, peer: IpAddr, allow_v6: bool) -> Option<IpAddr> {
        let (local, peer) = (local.to_canonical(), peer.to_canonical());
        if local.is_loopback() || peer.is_loopback() {
            return (local.is_loopback() && peer.is_loopback() && (allow_v6 || local.is_ipv4())).then_some(local);
        }
        let is_usable = match local {
            IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => allow_v6 && !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
        };
        if is_usable {
            return Some(local);
        }
        let interface = self.by_index(index)?;
        let same_network = interface.addresses.iter().find(|subnet| match subnet.address() {
            IpAddr::V6(v6) => allow_v6 && !v6.is_unicast_link_local() && subnet.contains(peer),
            IpAddr::V4(_) => subnet.contains(peer),
        });
        same_network.map(Subnet::address).or_else(|| interface.host(allow_v6))
    }

    /// What there is now; nothing when the kernel does not tell.
    pub fn look() -> Self {
        let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
        let Ok(entries) = getifaddrs() else { return Self::default() };
        for entry in entries {
            let flags = entry.flags;
            if !flags.contains(InterfaceFlags::IFF_UP) {
                continue;
            }
            let Ok(index) = if_nametoindex(entry.interface_name.as_str()) else { continue };
            if found.len() >= INTERFACES_MAX && !found.contains_key(&index) {
                continue;
            }
            let interface = found.entry(index).or_insert_with(|| Interface {
                index,
                name: entry.interface_name.clone(),
                is_loopback: flags.contains(InterfaceFlags::IFF_LOOPBACK),
                has_groups: flags.contains(InterfaceFlags::IFF_MULTICAST),
                addresses: Vec::new(),
            });
            let address = entry.address.as_ref().and_then(ip_of);
            let prefix_len = entry.netmask.as_ref().and_then(ip_of).map(prefix_len);
            let Some((address, prefix_len)) = address.zip(prefix_len) else { continue };
            let same_family = interface.addresses().filter(|other| other.is_ipv4() == address.is_ipv4()).count();
            if same_family < ADDRESSES_MAX {
                interface.addresses.extend(Subnet::new(address, prefix_len));
            }
        }
        Self(found.into_values().collect())
    }
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    match address.family()? {
        AddressFamily::Inet => address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip())),
        AddressFamily::Inet6 => address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())),
        _ => None,
    }
}

fn prefix_len(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => u32::from(mask).leading_ones(),
        IpAddr::V6(mask) => u128::from(mask).leading_ones(),
    };
    u8::try_from(ones).unwrap_or(128)
}

/// What watchers see: the interfaces, and a number that grows when groups are to be joined anew.
#[derive(Clone, Debug)]
pub struct Links {
    /// The interfaces.
    pub interfaces: Rc<Interfaces>,
    /// Changes with them, and every two minutes besides.
    pub round: u64,
}

/// The interfaces as they are now, and word when they change.
#[derive(Clone)]
pub struct Watch(watch::Receiver<Links>);

impl Watch {
    /// The interfaces now.
    pub fn now(&self) -> Rc<Interfaces> {
        Rc::clone(&self.0.borrow().interfaces)
    }

    /// Waits for the next round; never comes back when nobody looks any more.
    pub async fn next(&mut self) -> Links {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.borrow_and_update().clone()
    }
}

/// The one who looks.
pub struct Watcher(watch::Sender<Links>);

/// Looks for the first time.
pub fn watch() -> (Watch, Watcher) {
    let links = Links { interfaces: Rc::new(Interfaces::look()), round: 0 };
    let (sender, receiver) = watch::channel(links);
    (Watch(receiver), Watcher(sender))
}

impl Watcher {
    /// Looks whenever something may have changed; never ends.
    pub async fn run(self) {
        let changes = Changes::open().inspect_err(|error| {
            tracing::debug!(%error, "the kernel does not tell of changed interfaces; looking every few seconds");
        });
        let mut changes = changes.ok();
        let mut joined_at = clock::mono();
        loop {
            let wait_ms = if changes.is_some() { LINKS_EVERY_MS } else { LINKS_POLL_MS };
            let told = match changes.as_mut() {
                None => {
                    clock::pause(wait_ms).await;
                    Ok(())
                }
                Some(changes) => tokio::select! {
                    told = changes.next() => told,
                    () = clock::pause(wait_ms) => Ok(()),
                },
            };
            if let Err(error) = told {
                tracing::debug!(%error, "the kernel stopped telling of changed interfaces");
                changes = None;
            }
            let found = Interfaces::look();
            let now = clock::mono();
            let is_new = *self.0.borrow().interfaces != found;
            if is_new || now.ms_since(joined_at) >= LINKS_EVERY_MS {
                joined_at = now;
                self.0.send_modify(|links| {
                    if is_new {
                        links.interfaces = Rc::new(found);
                    }
                    links.round += 1;
                });
            }
        }
    }
}

/// The kernel's word that links or addresses changed. To tokio every socket of datagrams is the same.
struct Changes(UnixDatagram);

impl Changes {
    fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, u32::try_from(groups).unwrap_or_default()))?;
        Ok(Self(UnixDatagram::from_std(socket.into())?))
    }

    /// Waits for a change, and for what comes with it. What is said is thrown away: what is true now is looked up.
    async fn next(&mut self) -> io::Result<()> {
        let mut rubbish = [0; 4096];
        heard(self.0.recv(&mut rubbish).await)?;
        clock::pause(LINKS_SETTLE_MS).await;
        loop {
            match self.0.try_recv(&mut rubbish) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                said => heard(said)?,
            }
        }
    }
}

fn heard(said: io::Result<usize>) -> io::Result<()> {
    match said {
        // More was said than there was room for: all the more reason to look.
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
        said => said.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn interface(index: u32, addresses: &[&str]) -> Interface {
        Interface {
            index,
            name: format!("eth{index}"),
            is_loopback: false,
            has_groups: true,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn house() -> Interfaces {
        let mut lo = interface(1, &["127.0.0.1/8", "::1/128"]);
        lo.is_loopback = true;
        Interfaces(vec![
            lo,
            interface(2, &["192.168.1.5/24", "2001:db8:1::5/64", "fe80::5/64"]),
            interface(3, &["10.0.0.1/8", "fe80::1/64"]),
            interface(4, &["fe80::4/64", "fd00:4::1/64"]),
            interface(5, &["fe80::9/64"]),
        ])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_in_our_networks_is_on_link() {
        let house = house();
        for (peer, expected) in [
            ("192.168.1.77", true),
            ("192.168.2.77", false),
            ("10.200.0.1", true),
            ("127.0.0.9", true),
            ("169.254.7.7", true),
            ("203.0.113.9", false),
            ("2001:db8:1::77", true),
            ("2001:db8:2::77", false),
            ("fe80::77", true),
            ("::1", true),
        ] {
            assert_eq!(house.is_on_link(ip(peer)), expected, "{peer}");
        }
        assert!(house.is_own(ip("10.0.0.1")) && house.is_own(ip("127.3.2.1")) && !house.is_own(ip("10.0.0.2")));
    }

    #[test]
    fn everybody_is_told_an_address_that_he_can_use() {
        let house = house();
        for (index, local, peer, host) in [
            // Where he reached us.
            (2, "192.168.1.5", "192.168.1.77", Some("192.168.1.5")),
            (2, "2001:db8:1::5", "2001:db8:1::77", Some("2001:db8:1::5")),
            (2, "::ffff:192.168.1.5", "::ffff:192.168.1.77", Some("192.168.1.5")),
            // Over a group, from an address of the link: the interface's own, and nobody else's.
            (2, "ff02::176", "fe80::77", Some("192.168.1.5")),
            (3, "ff02::176", "fe80::77", Some("10.0.0.1")),
            (4, "ff02::176", "fe80::77", Some("fd00:4::1")),
            (5, "ff02::176", "fe80::77", None),
            (9, "ff02::176", "fe80::77", None),
            // From a network address: what is in that network.
            (2, "ff05::176", "2001:db8:1::77", Some("2001:db8:1::5")),
            (2, "ff05::176", "2001:db8:9::77", Some("192.168.1.5")),
            (2, "fe80::5", "fe80::77", Some("192.168.1.5")),
            (2, "239.255.255.250", "192.168.1.77", Some("192.168.1.5")),
            // Nobody but ourselves can use these.
            (1, "127.0.0.1", "127.0.0.1", Some("127.0.0.1")),
            (1, "::1", "::1", Some("::1")),
            (1, "127.0.0.1", "192.168.1.77", None),
            (2, "192.168.1.5", "127.0.0.1", None),
        ] {
            let found = house.host_for(index, ip(local), ip(peer), true);
            assert_eq!(found, host.map(ip), "{local} from {peer}");
        }
        assert_eq!(house.host_for(4, ip("ff02::176"), ip("fe80::77"), false), None, "IPv6 is not served");
        assert_eq!(house.host_for(2, ip("2001:db8:1::5"), ip("2001:db8:1::7"), false), Some(ip("192.168.1.5")));
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let found = Interfaces::look();
        let own = found.by_address(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        assert!(own.is_loopback && own.index > 0, "{found:?}");
        assert!(found.is_own(IpAddr::V4(Ipv4Addr::new(127, 9, 9, 9))));
        assert!(!found.is_own(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    }
}

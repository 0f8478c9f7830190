//! Datagrams with both of their ends: where they came in, and where an answer must leave.
//!
//! The kernel tells with each datagram on which interface and for which of our addresses it came; an answer goes out
//! on that interface, from that address. `IPv4` and `IPv6` have a socket each.

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use pure::limits::DATAGRAM_TTL;
use socket2::{Domain, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use tokio::net::UdpSocket;

/// A datagram that came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Its length.
    pub len: usize,
    /// Who sent it.
    pub peer: SocketAddr,
    /// On which interface it came.
    pub interface: u32,
    /// Where it was sent to: one of our addresses, a group, or a broadcast address.
    pub to: IpAddr,
    /// Which of our own addresses that means; none for a group over `IPv6`, where the kernel does not say.
    pub local: Option<IpAddr>,
}

/// Opens a port for `IPv4` or `IPv6`. With `shared`, other programs may have it, too: all get what comes for groups.
///
/// # Errors
/// What the kernel said: the port is taken, or there is no such family.
pub fn open(address: IpAddr, port: u16, shared: bool) -> io::Result<UdpSocket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    if shared {
        socket.set_reuse_address(true)?;
        // Some programs let only those in who say this as well.
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        // Otherwise every group that any program here has joined comes to us.
        socket.set_multicast_all_v4(false)?;
        socket.set_multicast_ttl_v4(DATAGRAM_TTL)?;
        socket.set_ttl_v4(DATAGRAM_TTL)?;
    } else {
        socket.set_only_v6(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        socket.set_multicast_all_v6(false)?;
        socket.set_multicast_hops_v6(DATAGRAM_TTL)?;
        socket.set_unicast_hops_v6(DATAGRAM_TTL)?;
    }
    socket.bind(&SocketAddr::from((address, port)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Joins a group on an interface; leaves it first, so that switches hear of it once more.
pub fn join(socket: &UdpSocket, group: IpAddr, interface: u32) -> io::Result<()> {
    let socket = socket2::SockRef::from(socket);
    match group {
        IpAddr::V4(group) => {
            let interface = socket2::InterfaceIndexOrAddress::Index(interface);
            // It may never have been joined.
            socket.leave_multicast_v4_n(&group, &interface).unwrap_or_default();
            socket.join_multicast_v4_n(&group, &interface)
        }
        IpAddr::V6(group) => {
            socket.leave_multicast_v6(&group, interface).unwrap_or_default();
            socket.join_multicast_v6(&group, interface)
        }
    }
}

/// Takes one datagram into `buffer`; none when it does not say where it came in.
///
/// # Errors
/// `WouldBlock` when there is none; anything else concerns one datagram or one client only.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
    let mut control = cmsg_space!(in_pktinfo, in6_pktinfo);
    let mut pieces = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(&mut control), flags)?;
    let Some(peer) = received.address.as_ref().and_then(socket_address) else { return Ok(None) };
    let len = received.bytes;
    let arrival = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Arrival {
            len,
            peer,
            interface: u32::try_from(info.ipi_ifindex).ok()?,
            to: IpAddr::V4(from_kernel(info.ipi_addr)),
            local: Some(IpAddr::V4(from_kernel(info.ipi_spec_dst))),
        }),
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let to = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let local = (!to.is_multicast()).then_some(IpAddr::V6(to));
            Some(Arrival { len, peer, interface: info.ipi6_ifindex, to: IpAddr::V6(to), local })
        }
        _ => None,
    });
    Ok(arrival)
}

/// Sends a datagram on an interface, from one of our addresses or from the one that the kernel chooses.
///
/// # Errors
/// What the kernel said; a full buffer is no reason to wait.
pub fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr, interface: u32, from: Option<IpAddr>) -> io::Result<()> {
    let (pieces, flags) = ([IoSlice::new(bytes)], MsgFlags::MSG_DONTWAIT);
    let target = SockaddrStorage::from(to);
    if to.is_ipv4() {
        let from = match from {
            Some(IpAddr::V4(from)) => from,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let info = in_pktinfo {
            ipi_ifindex: i32::try_from(interface).unwrap_or_default(),
            ipi_spec_dst: in_addr { s_addr: u32::from(from).to_be() },
            ipi_addr: in_addr { s_addr: 0 },
        };
        sendmsg(socket.as_raw_fd(), &pieces, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&target))?;
    } else {
        let from = match from {
            Some(IpAddr::V6(from)) => from,
            _ => Ipv6Addr::UNSPECIFIED,
        };
        let info = in6_pktinfo { ipi6_ifindex: interface, ipi6_addr: in6_addr { s6_addr: from.octets() } };
        sendmsg(socket.as_raw_fd(), &pieces, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&target))?;
    }
    Ok(())
}

fn from_kernel(address: in_addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be(address.s_addr))
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4(SocketAddrV4::from(*v4)));
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
}

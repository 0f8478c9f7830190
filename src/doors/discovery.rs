//! UDP 65001: how clients find us. It never meets the engine, so the device is found even when every slot is ill.
//!
//! What is answered is decided in `pure::wire::hdhr`; here datagrams come and go, each answer from the address that
//! its request came in on, with addresses built from it.

use crate::doors::http::App;
use nix::cmsg_space;
use nix::libc::in_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};
use pure::wire::hdhr::{DiscoverReply, DiscoverRequest, PORT, REPLY_BYTES_MAX};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Requests that are answered before others get their turn.
const BATCH: usize = 32;

/// Opens the port.
///
/// # Errors
/// What the kernel said: the port is taken.
pub fn listen(address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    socket.bind(&SocketAddr::from((address, PORT)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Answers for ever.
pub async fn serve(socket: UdpSocket, app: Rc<App>) {
    loop {
        if socket.readable().await.is_err() {
            continue;
        }
        for _ in 0..BATCH {
            match socket.try_io(Interest::READABLE, || answer_one(&socket, &app)) {
                Ok(true) => app.metrics.discovery_answers.add(1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Not for us; or a client that is gone already, and the next one may be better.
                Ok(false) | Err(_) => app.metrics.discovery_ignored.add(1),
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Takes one datagram and says whether it was answered.
fn answer_one(socket: &UdpSocket, app: &App) -> io::Result<bool> {
    // One byte more than a packet may have, so that longer ones are seen to be too long.
    let mut datagram = [0; 1461];
    let mut control = cmsg_space!(in_pktinfo);
    let mut pieces = [IoSliceMut::new(&mut datagram)];
    let received = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let came_in_on = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
        _ => None,
    });
    let (len, peer) = (received.bytes, received.address.map(SocketAddrV4::from));
    let (Some(info), Some(peer)) = (came_in_on, peer) else { return Ok(false) };
    let Some(datagram) = datagram.get(..len) else { return Ok(false) };
    if peer.port() == 0 || peer.ip().is_multicast() || peer.ip().is_broadcast() || peer.ip().is_unspecified() {
        return Ok(false);
    }
    match DiscoverRequest::parse(datagram) {
        Ok(request) if request.matches(app.device_id) => {}
        _ => return Ok(false),
    }
    // For a broadcast this is the receiving interface's own address.
    let local = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
    let base_url = app.base_url(local);
    let mut out = [0; REPLY_BYTES_MAX];
    let reply = DiscoverReply {
        device_id: app.device_id,
        tuner_count: u8::try_from(app.engine.tuners_len()).unwrap_or(u8::MAX),
        base_url: &base_url,
        lineup_url: &format!("{base_url}/lineup.json"),
        auth: &app.device_id.auth(),
    };
    let Some(reply) = reply.write(&mut out) else { return Ok(false) };
    let from = in_pktinfo { ipi_addr: nix::libc::in_addr { s_addr: 0 }, ..info };
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(reply)],
        &[ControlMessage::Ipv4PacketInfo(&from)],
        MsgFlags::MSG_DONTWAIT,
        Some(&SockaddrIn::from(peer)),
    )?;
    Ok(true)
}

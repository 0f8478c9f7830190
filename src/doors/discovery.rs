//! UDP 65001: how clients find us. It never meets the engine, so the device is found even when every slot is ill.
//!
//! Each face of the box answers for itself, the box first. What is answered is decided in `pure::wire::hdhr`, and how
//! often in `pure::rules::replies`; here datagrams come and go, each answer from the address that its request came in on,
//! with addresses built from it. And once in a while the network is asked whether another box answers to our id, because
//! clients would take both for one (L04).

use crate::clock;
use crate::doors::datagram::{self, Arrival};
use crate::doors::http::{App, Device};
use crate::doors::interfaces::Links;
use crate::observe::problems::Topic;
use nix::libc;
use pure::limits::{DATAGRAM_BATCH, NEIGHBOURS_MAX, PORT_RETRY_MS_MAX, PORT_RETRY_MS_MIN, TWIN_EVERY_MS, TWIN_WAIT_MS};
use pure::model::device_id::DeviceId;
use pure::rules::clients::Asked;
use pure::rules::replies::may_be_answered;
use pure::wire::hdhr::{
    DiscoverReply, DiscoverRequest, LINEUP_URL_BYTES_MAX, Neighbour, PORT, REPLY_BYTES_MAX, REQUEST_BYTES,
};
use serde::Serialize;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Where clients ask over `IPv6`: on the link, and within the site.
const GROUPS: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0x176), Ipv6Addr::new(0xFF05, 0, 0, 0, 0, 0, 0, 0x176)];
/// One byte more than a packet may have, so that longer ones are seen to be too long.
const BYTES_MAX: usize = 1_461;

/// Opens the port, and goes on trying where it is taken; answers for ever.
pub fn open(app: &Rc<App>, address: Ipv4Addr) {
    let only = (!address.is_unspecified()).then_some(address);
    // A socket of one address hears no broadcasts. There are none on the loopback, where tests want to stay apart.
    let bind_to = if address.is_loopback() { address } else { Ipv4Addr::UNSPECIFIED };
    let first = datagram::open(IpAddr::V4(bind_to), PORT, false);
    tokio::task::spawn_local(serve(Rc::clone(app), IpAddr::V4(bind_to), only, first));
    if only.is_none() {
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        tokio::task::spawn_local(serve(Rc::clone(app), any, None, datagram::open(any, PORT, false)));
    }
    if !address.is_loopback() {
        tokio::task::spawn_local(look_for_twins(Rc::clone(app), only));
    }
}

async fn serve(app: Rc<App>, bind_to: IpAddr, only: Option<Ipv4Addr>, first: io::Result<UdpSocket>) {
    let Some(socket) = opened(&app, bind_to, first).await else { return };
    let mut interfaces = app.interfaces.clone();
    join(&socket, bind_to, &app.interfaces.now());
    loop {
        tokio::select! {
            ready = socket.readable() => if ready.is_err() { continue },
            Links { interfaces, .. } = interfaces.next() => {
                join(&socket, bind_to, &interfaces);
                continue;
            }
        }
        for _ in 0..DATAGRAM_BATCH {
            match socket.try_io(Interest::READABLE, || answer_one(&socket, &app, only)) {
                Ok(answers @ 1..) => app.metrics.discovery_answers.add(answers),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Not for us; or a client that is gone already, and the next one may be better.
                Ok(0) | Err(_) => app.metrics.discovery_ignored.add(1),
            }
        }
        tokio::task::yield_now().await;
    }
}

/// The socket, once it can be had; none where there is no such family.
async fn opened(app: &App, bind_to: IpAddr, mut opened: io::Result<UdpSocket>) -> Option<UdpSocket> {
    let mut pause_ms = PORT_RETRY_MS_MIN;
    loop {
        match opened {
            Ok(socket) => {
                if bind_to.is_ipv4() {
                    app.problems.clear(Topic::DiscoveryPort);
                }
                return Some(socket);
            }
            Err(error) if bind_to.is_ipv4() => app.problems.set(
                Topic::DiscoveryPort,
                format!(
                    "Clients cannot find this box by themselves: UDP port {PORT} cannot be opened: {error}. Stop the \
                     other tuner program that holds it"
                ),
            ),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
                tracing::debug!(%error, "there is no IPv6 here, so nobody looks for this box over it");
                return None;
            }
            Err(error) => tracing::warn!(%error, "UDP port {PORT} cannot be opened over IPv6; over IPv4 all is well"),
        }
        clock::pause(pause_ms).await;
        pause_ms = (pause_ms * 2).min(PORT_RETRY_MS_MAX);
        opened = datagram::open(bind_to, PORT, false);
    }
}

/// Joins the groups of `IPv6` wherever there are any. Over `IPv4` clients use broadcasts.
fn join(socket: &UdpSocket, bind_to: IpAddr, interfaces: &crate::doors::interfaces::Interfaces) {
    if bind_to.is_ipv4() {
        return;
    }
    for interface in interfaces.list().iter().filter(|interface| interface.has_groups || interface.is_loopback) {
        for group in GROUPS {
            // An interface may be gone again, or have no IPv6.
            if let Err(error) = datagram::join(socket, IpAddr::V6(group), interface.index) {
                tracing::debug!(interface = interface.name, %group, %error, "group could not be joined");
            }
        }
    }
}

/// Takes one datagram and says how many answers it got.
fn answer_one(socket: &UdpSocket, app: &App, only: Option<Ipv4Addr>) -> io::Result<u64> {
    let mut datagram = [0; BYTES_MAX];
    let Some(arrival) = datagram::receive(socket, &mut datagram)? else { return Ok(0) };
    let peer = arrival.peer.ip();
    if !may_be_answered(arrival.peer) || only.is_some_and(|only| arrival.local != Some(IpAddr::V4(only))) {
        return Ok(0);
    }
    let Ok(request) = DiscoverRequest::parse(datagram.get(..arrival.len).unwrap_or_default()) else { return Ok(0) };
    let devices = app.devices();
    let mut meant = devices.iter().filter(|device| request.matches(device.id)).peekable();
    if meant.peek().is_none() || !app.is_neighbour(peer) {
        return Ok(0);
    }
    app.clients.saw(peer, Asked::Discovery, b"");
    let local = arrival.local.unwrap_or(arrival.to);
    let host = app.interfaces.now().host_for(arrival.interface, local, peer, app.has_v6.get());
    // Somebody who could not use what he is told is told nothing.
    let Some(host) = host else { return Ok(0) };
    let mut answers = 0;
    for device in meant {
        // Nobody else can speak for our own machine, so that it need not be protected from answers. Each one is counted:
        // when no more may be sent, the box itself was heard at least.
        if !peer.is_loopback() && !app.replies.borrow_mut().ask(clock::mono(), peer, 1) {
            break;
        }
        answer_as(device, host, socket, &arrival)?;
        answers += 1;
    }
    Ok(answers)
}

fn answer_as(device: &Device, host: IpAddr, socket: &UdpSocket, arrival: &Arrival) -> io::Result<()> {
    let base_url = device.base_url(host);
    let mut lineup_url = heapless::String::<LINEUP_URL_BYTES_MAX>::new();
    write!(lineup_url, "{base_url}/lineup.json").map_err(|_| io::ErrorKind::InvalidData)?;
    let mut out = [0; REPLY_BYTES_MAX];
    let reply = DiscoverReply {
        device_id: device.id,
        tuner_count: device.tuners_len,
        base_url: &base_url,
        lineup_url: &lineup_url,
        auth: &device.id.auth(),
    };
    let reply = reply.write(&mut out).ok_or(io::ErrorKind::InvalidData)?;
    datagram::send(socket, reply, arrival.peer, arrival.interface, arrival.local)
}

// ---- Twins ----------------------------------------------------------------------------------------------------------

/// Asks the network for our own id, now and then and whenever it has changed.
async fn look_for_twins(app: Rc<App>, only: Option<Ipv4Addr>) {
    let mut interfaces = app.interfaces.clone();
    let mut links = None;
    loop {
        match twin(&app, only).await {
            Ok(None) => app.problems.clear(Topic::DeviceId),
            Ok(Some(twin)) => app.problems.set(
                Topic::DeviceId,
                format!(
                    "Another box in this network, at {twin}, has the same device id {} as this one, and clients take \
                     both for one. One of them runs on a copy of the other's state: stop it, remove its state \
                     directory, and start it again",
                    app.device_id
                ),
            ),
            Err(error) => tracing::debug!(%error, "the network could not be asked for our own device id"),
        }
        let asked_at = clock::mono();
        loop {
            tokio::select! {
                () = clock::until(Some(asked_at.plus_ms(TWIN_EVERY_MS))) => break,
                next = interfaces.next() => {
                    // Another round is not yet another network.
                    let is_new = links.as_ref().is_none_or(|known| *known != next.interfaces);
                    links = Some(next.interfaces);
                    if is_new {
                        break;
                    }
                }
            }
        }
    }
}

/// Another box that answers to our id.
async fn twin(app: &App, only: Option<Ipv4Addr>) -> io::Result<Option<IpAddr>> {
    let socket = ask_everybody(app, only, Some(app.device_id))?;
    let hearing = async {
        let mut datagram = [0; BYTES_MAX];
        loop {
            let (len, from) = socket.recv_from(&mut datagram).await?;
            let neighbour = Neighbour::parse(datagram.get(..len).unwrap_or_default());
            let is_us = app.interfaces.now().is_own(from.ip());
            if neighbour.is_some_and(|neighbour| neighbour.device_id == app.device_id.get()) && !is_us {
                return Ok(Some(from.ip()));
            }
        }
    };
    tokio::time::timeout(Duration::from_millis(TWIN_WAIT_MS), hearing).await.unwrap_or(Ok(None))
}

/// Asks every network for the tuner of this id, or for all; whoever has the socket hears the answers.
fn ask_everybody(app: &App, only: Option<Ipv4Addr>, wanted: Option<DeviceId>) -> io::Result<UdpSocket> {
    let socket = datagram::open(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, false)?;
    socket.set_broadcast(true)?;
    let mut request = [0; REQUEST_BYTES];
    let request = DiscoverRequest::write(wanted, &mut request);
    let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, PORT));
    let interfaces = app.interfaces.now();
    for interface in interfaces.list().iter().filter(|interface| !interface.is_loopback) {
        let from = interface.addresses().find(|own| match (own, only) {
            (IpAddr::V4(own), Some(only)) => *own == only,
            (IpAddr::V4(_), None) => true,
            (IpAddr::V6(_), _) => false,
        });
        if from.is_some() {
            // One interface may lead nowhere, and the next one to everybody.
            datagram::send(&socket, request, everybody, interface.index, from).unwrap_or_default();
        }
    }
    Ok(socket)
}

/// Another tuner, and where it can be reached.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Found {
    device_id: String,
    address: String,
}

impl Found {
    /// A port is taken from what it says, but nobody may send us to somebody else.
    fn new(neighbour: &Neighbour<'_>, from: IpAddr) -> Self {
        let plain = format!("http://{from}");
        let port = neighbour.base_url.strip_prefix(&plain).and_then(|rest| rest.strip_prefix(':'));
        let port = port.and_then(|port| port.trim_end_matches('/').parse::<u16>().ok()).filter(|port| *port != 80);
        let address = port.map_or_else(|| plain.clone(), |port| format!("{plain}:{port}"));
        Self { device_id: format!("{:08X}", neighbour.device_id), address }
    }
}

/// The other tuners of this network, for an owner who wants to take channels from one. Somebody on this very box is told
/// of none: he may be a test.
pub(super) async fn neighbours(app: &App, peer: IpAddr) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    if peer.to_canonical().is_loopback() {
        return found;
    }
    let hearing = async {
        let socket = ask_everybody(app, None, None)?;
        let mut datagram = [0; BYTES_MAX];
        while found.len() < NEIGHBOURS_MAX {
            let (len, from) = socket.recv_from(&mut datagram).await?;
            let Some(neighbour) = Neighbour::parse(datagram.get(..len).unwrap_or_default()) else { continue };
            let new = Found::new(&neighbour, from.ip());
            if !app.interfaces.now().is_own(from.ip()) && !found.contains(&new) {
                found.push(new);
            }
        }
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(Duration::from_millis(TWIN_WAIT_MS), hearing).await {
        tracing::debug!(%error, "the network could not be asked for other tuners");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_where_its_answer_came_from_whatever_it_says() {
        let from = IpAddr::from([192, 168, 1, 9]);
        let address = |base_url| Found::new(&Neighbour { device_id: 0x10A4_B2C6, base_url }, from).address;
        for (told, wanted) in [
            ("http://192.168.1.9:80", "http://192.168.1.9"),
            ("http://192.168.1.9:5004/", "http://192.168.1.9:5004"),
            ("http://192.168.1.90:5004", "http://192.168.1.9"),
            ("http://10.0.0.1:5004", "http://192.168.1.9"),
            ("http://192.168.1.9@10.0.0.1", "http://192.168.1.9"),
            ("", "http://192.168.1.9"),
        ] {
            assert_eq!(address(told), wanted, "{told}");
        }
    }
}

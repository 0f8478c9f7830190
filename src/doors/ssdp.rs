//! SSDP: how `UPnP` control points find us. UDP 1900, shared with whoever else is here.
//!
//! What is answered, and how it is written, is decided in `pure::wire::ssdp`; here searches come in, answers wait for
//! their time in a queue of fixed size, and the network is told when we come, stay, move and go. Every answer and every
//! announcement names the address of the interface that it goes through. Descriptions are fetched over HTTP.
//!
//! Each face of the box is a device of its own here, and comes and goes with its port.
//!
//! There are no events: nobody can subscribe, so nobody can have us call strangers (S41).

use crate::clock;
use crate::doors::datagram::{self, Arrival};
use crate::doors::http::identity::{DEVICE_TYPE, PRODUCT};
use crate::doors::http::{self, App};
use crate::doors::interfaces::{Interface, Links};
use crate::observe::problems::Topic;
use nix::libc;
use pure::limits::{
    DATAGRAM_BATCH, FACES_MAX, FAREWELL_MS, PORT_RETRY_MS_MAX, PORT_RETRY_MS_MIN, SSDP_ALIVE_MS_MAX, SSDP_ALIVE_MS_MIN,
    SSDP_BURST_LEN, SSDP_BURST_MS, SSDP_BYTES_MAX, SSDP_FIRST_MS_MAX, SSDP_PENDING_MAX,
};
use pure::model::device_id::{DeviceId, UDN_BYTES};
use pure::rules::clients::Asked;
use pure::rules::replies::may_be_answered;
use pure::time::Mono;
use pure::wire::ssdp::{
    Device, GROUP_V4, GROUP_V6_LINK, GROUP_V6_SITE, MESSAGE_BYTES_MAX, PORT, Search, TARGET_BYTES_MAX,
};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The open door; [`Ssdp::leave`] closes it.
pub struct Ssdp {
    stop: Rc<Notify>,
    task: JoinHandle<()>,
}

/// Opens the port, and goes on trying where it cannot be had.
pub fn open(app: &Rc<App>, address: Ipv4Addr) -> Ssdp {
    let stop = Rc::new(Notify::new());
    let mut door = Door {
        app: Rc::clone(app),
        only: (!address.is_unspecified()).then_some(address),
        v4: None,
        v6: None,
        retry_at: None,
        retry_ms: PORT_RETRY_MS_MIN,
        known: Known::all(app),
        pending: heapless::Vec::new(),
        announced: Vec::new(),
        burst: None,
        dice: Dice(RandomState::new().hash_one(app.device_id.get())),
    };
    door.open();
    Ssdp { task: tokio::task::spawn_local(door.serve(Rc::clone(&stop))), stop }
}

impl Ssdp {
    /// Says farewell to everybody who knows us.
    pub async fn leave(self) {
        self.stop.notify_one();
        if tokio::time::timeout(Duration::from_millis(FAREWELL_MS), self.task).await.is_err() {
            tracing::debug!("no farewell over SSDP in time");
        }
    }
}

/// Where we are announced: an interface, and what we call ourselves there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    interface: u32,
    host: IpAddr,
    /// It has an address of `IPv4`; of `IPv6` on the link, and beyond.
    has_v4: bool,
    has_v6: bool,
    has_v6_site: bool,
}

/// An answer that waits for its time.
struct Pending {
    at: Mono,
    arrival: Arrival,
    /// Who answers.
    device: DeviceId,
    /// What was looked for, as it was written.
    target: heapless::String<TARGET_BYTES_MAX>,
}

/// Announcements that are due.
#[derive(Clone, Copy)]
struct Burst {
    at: Mono,
    left: u8,
}

struct Door {
    app: Rc<App>,
    only: Option<Ipv4Addr>,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    /// When to try again to open the port.
    retry_at: Option<Mono>,
    retry_ms: u64,
    known: heapless::Vec<Known, { FACES_MAX + 1 }>,
    pending: heapless::Vec<Pending, SSDP_PENDING_MAX>,
    announced: Vec<Place>,
    burst: Option<Burst>,
    dice: Dice,
}

/// As what we are known: the box itself, and its faces.
#[derive(Clone, PartialEq, Eq)]
struct Known {
    device: http::Device,
    udn: heapless::String<UDN_BYTES>,
}

impl Known {
    fn all(app: &App) -> heapless::Vec<Self, { FACES_MAX + 1 }> {
        app.devices().into_iter().map(|device| Self { device, udn: device.id.udn() }).collect()
    }

    /// What it is. Without services: see [`DEVICE_TYPE`].
    fn device(&self) -> Device<'_> {
        Device { udn: &self.udn, kind: DEVICE_TYPE, services: &[], product: PRODUCT }
    }

    fn location(&self, host: IpAddr) -> String {
        format!("{}/device.xml", self.device.base_url(host))
    }
}

/// What is told in an announcement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Alive,
    Byebye,
}

impl Door {
    fn open(&mut self) {
        self.retry_at = None;
        if self.v4.is_none() {
            match datagram::open(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT, true) {
                Ok(socket) => {
                    self.v4 = Some(socket);
                    self.app.problems.clear(Topic::SsdpPort);
                }
                Err(error) => {
                    self.app.problems.set(
                        Topic::SsdpPort,
                        format!(
                            "Home Assistant and others cannot find this box by UPnP: UDP port {PORT} cannot be opened: \
                             {error}. Stop the program that does not share it, or write ssdp = false under [network]"
                        ),
                    );
                    self.retry_at = Some(clock::mono().plus_ms(self.retry_ms));
                    self.retry_ms = (self.retry_ms * 2).min(PORT_RETRY_MS_MAX);
                }
            }
        }
        if self.v6.is_none() && self.only.is_none() {
            match datagram::open(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT, true) {
                Ok(socket) => self.v6 = Some(socket),
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {}
                Err(error) => tracing::warn!(%error, "UDP port {PORT} cannot be opened over IPv6"),
            }
        }
    }

    async fn serve(mut self, stop: Rc<Notify>) {
        let (mut interfaces, mut devices) = (self.app.interfaces.clone(), self.app.device_changes.subscribe());
        self.settle();
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                () = stop.notified() => break,
                () = readable(self.v4.as_ref()) => self.receive(false),
                () = readable(self.v6.as_ref()) => self.receive(true),
                () = clock::until(deadline) => self.on_deadline(clock::mono()),
                Links { .. } = interfaces.next() => self.settle(),
                Ok(()) = devices.changed() => self.settle(),
            }
            tokio::task::yield_now().await;
        }
        self.announce(Word::Byebye);
        // Datagrams get lost, and this is the last one.
        clock::pause(SSDP_BURST_MS).await;
        self.announce(Word::Byebye);
    }

    fn next_deadline(&self) -> Option<Mono> {
        let answer = self.pending.iter().map(|pending| pending.at).min();
        [answer, self.burst.map(|burst| burst.at), self.retry_at].into_iter().flatten().min()
    }

    fn on_deadline(&mut self, now: Mono) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.open();
            self.settle();
        }
        while let Some(due) = self.pending.iter().position(|pending| pending.at <= now) {
            let pending = self.pending.swap_remove(due);
            self.answer(&pending);
        }
        if let Some(burst) = self.burst.filter(|burst| burst.at <= now) {
            self.announce(Word::Alive);
            self.burst = Some(if burst.left > 1 {
                Burst { at: now.plus_ms(SSDP_BURST_MS), left: burst.left - 1 }
            } else {
                let wait_ms = self.dice.within(SSDP_ALIVE_MS_MIN, SSDP_ALIVE_MS_MAX);
                Burst { at: now.plus_ms(wait_ms), left: SSDP_BURST_LEN }
            });
        }
    }

    // ---- Coming, moving, going ----------------------------------------------------------------------------------

    /// Takes interfaces and faces as they are now: joins the groups, and tells where and what we are if that is new.
    fn settle(&mut self) {
        let interfaces = self.app.interfaces.now();
        let mut places = Vec::new();
        for interface in interfaces.list() {
            let Some(place) = self.place(interface) else { continue };
            self.join(interface);
            places.push(place);
        }
        let moved = |new: &&Place| self.announced.iter().any(|old| old.interface == new.interface && old != *new);
        // What was said before is wrong there now, and must be taken back first.
        let byebye: Vec<Place> = places.iter().filter(moved).copied().collect();
        let is_new = places.iter().any(|place| !self.announced.contains(place));
        for place in byebye {
            self.known.iter().for_each(|known| self.say(Word::Byebye, &place, known));
        }
        let known = Known::all(&self.app);
        for gone in self.known.iter().filter(|old| !known.contains(old)) {
            self.announced.iter().for_each(|place| self.say(Word::Byebye, place, gone));
        }
        let is_new = is_new || known.iter().any(|known| !self.known.contains(known));
        (self.announced, self.known) = (places, known);
        if is_new {
            let wait_ms = self.dice.within(0, SSDP_FIRST_MS_MAX.into());
            self.burst = Some(Burst { at: clock::mono().plus_ms(wait_ms), left: SSDP_BURST_LEN });
        }
    }

    /// What we are called on an interface; none where nobody can hear of us.
    fn place(&self, interface: &Interface) -> Option<Place> {
        let host = match self.only {
            None if interface.is_loopback => return None,
            None => interface.host(self.app.has_v6.get())?,
            Some(only) if interface.is_loopback && only.is_loopback() => IpAddr::V4(only),
            Some(only) => interface.addresses().find(|own| *own == IpAddr::V4(only))?,
        };
        if !interface.has_groups && !interface.is_loopback {
            return None;
        }
        let is_link = |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        Some(Place {
            interface: interface.index,
            host,
            has_v4: interface.addresses().any(|own| own.is_ipv4()),
            has_v6: interface.addresses().any(is_link),
            has_v6_site: interface.addresses().any(|own| own.is_ipv6() && !is_link(own)),
        })
    }

    fn join(&self, interface: &Interface) {
        let v4 = self.v4.as_ref().map(|socket| (socket, IpAddr::V4(GROUP_V4)));
        let v6 = self.v6.as_ref();
        let groups = [GROUP_V6_LINK, GROUP_V6_SITE];
        let v6 = groups.into_iter().filter_map(|group| v6.map(|socket| (socket, IpAddr::V6(group))));
        for (socket, group) in v4.into_iter().chain(v6) {
            if let Err(error) = datagram::join(socket, group, interface.index) {
                tracing::debug!(interface = interface.name, %group, %error, "group could not be joined");
            }
        }
    }

    fn announce(&self, word: Word) {
        for place in &self.announced {
            self.known.iter().for_each(|known| self.say(word, place, known));
        }
    }

    fn say(&self, word: Word, place: &Place, known: &Known) {
        let location = known.location(place.host);
        let (link, site) = (GROUP_V6_LINK, GROUP_V6_SITE);
        let over_v6 = |group: Ipv6Addr| SocketAddr::V6(SocketAddrV6::new(group, PORT, 0, place.interface));
        let ways = [
            self.v4.as_ref().filter(|_| place.has_v4).map(|socket| (socket, SocketAddr::from((GROUP_V4, PORT)))),
            self.v6.as_ref().filter(|_| place.has_v6).map(|socket| (socket, over_v6(link))),
            self.v6.as_ref().filter(|_| place.has_v6_site).map(|socket| (socket, over_v6(site))),
        ];
        let device = known.device();
        for (socket, group) in ways.into_iter().flatten() {
            let host = match group {
                SocketAddr::V4(group) => group.to_string(),
                // Without the interface, which is nobody's business.
                SocketAddr::V6(group) => format!("[{}]:{PORT}", group.ip()),
            };
            let from = Some(place.host).filter(|own| own.is_ipv4() == group.is_ipv4());
            for target in device.targets() {
                let mut out = [0; MESSAGE_BYTES_MAX];
                let message = match word {
                    Word::Alive => device.write_alive(target, &location, &host, &mut out),
                    Word::Byebye => device.write_byebye(target, &host, &mut out),
                };
                let Some(message) = message else { continue };
                // A full buffer or a lost link is repaired by the next announcement.
                if let Err(error) = datagram::send(socket, message, group, place.interface, from) {
                    tracing::debug!(%group, %error, "announcement could not be sent");
                }
            }
        }
    }

    // ---- Searches -----------------------------------------------------------------------------------------------

    fn receive(&mut self, over_v6: bool) {
        for _ in 0..DATAGRAM_BATCH {
            // One byte more than is read, so that longer ones are seen to be too long.
            let mut datagram = [0; SSDP_BYTES_MAX + 1];
            let socket = if over_v6 { self.v6.as_ref() } else { self.v4.as_ref() };
            let Some(socket) = socket else { return };
            match socket.try_io(Interest::READABLE, || datagram::receive(socket, &mut datagram)) {
                Ok(Some(arrival)) => {
                    let bytes = datagram.get(..arrival.len).unwrap_or_default();
                    if !self.on_search(&arrival, bytes) {
                        self.app.metrics.ssdp_ignored.add(1);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => self.app.metrics.ssdp_ignored.add(1),
            }
        }
    }

    /// Puts the answer to a search into the queue, and says whether there will be one.
    fn on_search(&mut self, arrival: &Arrival, datagram: &[u8]) -> bool {
        let (peer, to_all) = (arrival.peer.ip(), arrival.to.is_multicast());
        if !may_be_answered(arrival.peer) {
            return false;
        }
        let Ok(search) = Search::parse(datagram, to_all) else { return false };
        // Announcements and searches of others are most of what comes; they are no reason to look at interfaces.
        let is_here = !to_all || self.announced.iter().any(|place| place.interface == arrival.interface);
        if !is_here || !self.app.is_neighbour(peer) {
            return false;
        }
        let Ok(target) = heapless::String::<TARGET_BYTES_MAX>::try_from(search.target) else { return false };
        let (now, mut is_answered) = (clock::mono(), false);
        for known in &self.known {
            let found = known.device().found(&search).count();
            if found == 0 || self.pending.is_full() {
                continue;
            }
            self.app.clients.saw(peer, Asked::Ssdp, b"");
            // One after the other: where there is not enough for all, the box itself is found.
            if !self.app.replies.borrow_mut().ask(now, peer, u8::try_from(found).unwrap_or(u8::MAX)) {
                break;
            }
            let (at, device) = (now.plus_ms(search.delay_ms(self.dice.next())), known.device.id);
            let pending = Pending { at, arrival: *arrival, device, target: target.clone() };
            is_answered |= self.pending.push(pending).is_ok();
        }
        is_answered
    }

    fn answer(&self, pending: &Pending) {
        let Arrival { peer, interface, to, local, .. } = pending.arrival;
        let interfaces = self.app.interfaces.now();
        let host = match self.only {
            Some(only) => Some(IpAddr::V4(only)),
            None => interfaces.host_for(interface, local.unwrap_or(to), peer.ip(), self.app.has_v6.get()),
        };
        let socket = if peer.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() };
        let Some((host, socket)) = host.zip(socket) else { return };
        // A face may be gone by now.
        let Some(known) = self.known.iter().find(|known| known.device.id == pending.device) else { return };
        let (device, location) = (known.device(), known.location(host));
        for target in device.found(&Search { target: &pending.target, wait_s_max: None }) {
            let mut out = [0; MESSAGE_BYTES_MAX];
            let Some(message) = device.write_answer(target, &location, clock::wall(), &mut out) else { continue };
            match datagram::send(socket, message, peer, interface, local.filter(|own| !own.is_loopback())) {
                Ok(()) => self.app.metrics.ssdp_answers.add(1),
                Err(error) => tracing::debug!(%peer, %error, "answer could not be sent"),
            }
        }
    }
}

/// Waits until something can be read; for ever without a socket.
async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) if socket.readable().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// Numbers that nobody guesses and nobody has to: they only keep devices from speaking all at once.
struct Dice(u64);

impl Dice {
    /// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), with the usual constants.
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        let [a, b, c, d, ..] = (mixed ^ mixed >> 31).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// A number from `least` to `most`.
    fn within(&mut self, least: u64, most: u64) -> u64 {
        least + ((u64::from(self.next()) * (most - least + 1)) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_stays_within_its_bounds_and_reaches_them() {
        let mut dice = Dice(7);
        let thrown: Vec<u64> = (0..10_000).map(|_| dice.within(600_000, 600_009)).collect();
        assert_eq!((thrown.iter().min(), thrown.iter().max()), (Some(&600_000), Some(&600_009)));
        assert_ne!(Dice(1).next(), Dice(2).next());
    }
}

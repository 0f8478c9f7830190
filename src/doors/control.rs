//! TCP 65001: what old clients set on tuners, and the packets that go to them.
//!
//! What a request means is decided in `pure::rules::control`; here connections are kept, changes are done, and tuners
//! are kept from others while somebody controls them. The packets leave in `control/delivery.rs`. A reply never waits
//! for a source: what is slow or ill shows in the status.
//!
//! Source: `libhdhomerun`, releases 20220303 and 20250506.

mod delivery;
mod receiving;
mod world;

use crate::clock;
use crate::doors::http::identity::CHANNEL_MAP;
use crate::doors::http::{App, set_up};
use crate::update;
use delivery::Stream;
use pure::limits::{CONTROL_CONNECTIONS_MAX, CONTROL_CONNECTIONS_PER_ADDRESS_MAX, CONTROL_STALL_MS};
use pure::model::lineup::Lineup;
use pure::rules::clients::Asked;
use pure::rules::control::variable::Variable;
use pure::rules::control::{By, Change, Changes, ConnectionId, Control, Policy};
use pure::rules::pool::SlotIndex;
use pure::rules::updating::Refusal;
use pure::wire::hdhr::PORT;
use pure::wire::hdhr::control::{CONTROL_REPLY_BYTES_MAX, ControlRequest, keepalive, write_upgrade};
use pure::wire::hdhr::deframer::Deframer;
use receiving::Receiving;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;
use world::Snapshot;

/// The door's state: what clients have set, and what runs for them.
pub struct Door {
    app: Rc<App>,
    update: update::Handle,
    control: RefCell<Control>,
    /// By tuner: the stream that goes to a target, if any.
    streams: RefCell<Vec<Option<Stream>>>,
    /// By tuner: whether the engine was told to keep it.
    kept: RefCell<Vec<bool>>,
    /// Addresses of those who are connected.
    peers: RefCell<Vec<IpAddr>>,
    next_connection: Cell<u64>,
    /// The lineup that was last looked at.
    lineup: RefCell<Option<Arc<Lineup>>>,
    /// Something has a new deadline.
    changed: Rc<Notify>,
}

/// Opens the port, on IPv6 as well where the address is any.
///
/// # Errors
/// What the kernel said: the port is taken. An IPv6 that the box does not have is none.
pub fn listen(address: Ipv4Addr) -> io::Result<Vec<TcpListener>> {
    let mut listeners = vec![open(address.into())?];
    if address.is_unspecified() {
        listeners.extend(open(Ipv6Addr::UNSPECIFIED.into()));
    }
    Ok(listeners)
}

fn open(address: IpAddr) -> io::Result<TcpListener> {
    let address = SocketAddr::new(address, PORT);
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(64)?;
    TcpListener::from_std(socket.into())
}

/// Opens the port that receivers send their keepalives to: UDP, with the number of the streams' port.
///
/// # Errors
/// What the kernel said. Without it, streams live as long as their control connection.
pub fn listen_keepalives(address: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((address, port))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

impl Door {
    /// A door on which nothing was set yet.
    pub fn new(app: Rc<App>, update: update::Handle, policy: Policy) -> Rc<Self> {
        let tuners_len = app.engine.tuners_len();
        Rc::new(Self {
            control: RefCell::new(Control::new(tuners_len, CHANNEL_MAP, policy)),
            streams: RefCell::new((0..tuners_len).map(|_| None).collect()),
            kept: RefCell::new(vec![false; tuners_len]),
            peers: RefCell::default(),
            next_connection: Cell::new(1),
            lineup: RefCell::default(),
            changed: Rc::default(),
            app,
            update,
        })
    }

    /// Does what is due by the clock: locks and streams that have lost their owner, and new lineups. Never ends.
    pub async fn keep_time(self: Rc<Self>) {
        loop {
            let due_at = self.control.borrow().next_deadline();
            tokio::select! {
                () = clock::until(due_at) => {}
                () = self.changed.notified() => {}
                () = self.app.engine.lineup_changed() => {}
            }
            self.count_refusals();
            let mut changes = Changes::new();
            self.control.borrow_mut().deadline(clock::mono(), &mut changes);
            self.look_at_lineup(&mut changes);
            for change in changes {
                self.perform(change);
            }
            self.keep_tuners();
        }
    }

    /// Tells which targets have refused datagrams.
    fn count_refusals(&self) {
        let (streams, mut control) = (self.streams.borrow(), self.control.borrow_mut());
        for (tuner, stream) in (0..).map(SlotIndex).zip(streams.iter()) {
            if stream.as_ref().is_some_and(Stream::take_refused) {
                control.refused(clock::mono(), tuner);
            }
        }
    }

    fn look_at_lineup(&self, changes: &mut Changes) {
        let now = self.app.engine.lineup();
        let is_same = match (&*self.lineup.borrow(), &now) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            _ => false,
        };
        if let (false, Some(lineup)) = (is_same, &now) {
            self.control.borrow_mut().new_lineup(lineup, changes);
        }
        *self.lineup.borrow_mut() = now;
    }

    /// Takes connections on one port; never ends.
    pub async fn serve(self: Rc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                // Out of descriptors, most likely: some will come back.
                clock::pause(100).await;
                continue;
            };
            let ip = peer.ip().to_canonical();
            let (all, of_peer) = {
                let peers = self.peers.borrow();
                (peers.len(), peers.iter().filter(|known| **known == ip).count())
            };
            if !self.app.is_local(ip)
                || all >= CONTROL_CONNECTIONS_MAX
                || of_peer >= CONTROL_CONNECTIONS_PER_ADDRESS_MAX
            {
                self.app.metrics.control_connections_refused.add(1);
                continue;
            }
            self.peers.borrow_mut().push(ip);
            let door = Rc::clone(&self);
            tokio::task::spawn_local(async move {
                let connection = ConnectionId(door.next_connection.replace(door.next_connection.get() + 1));
                // Errors are the client's: it is gone, or speaks something else.
                door.converse(stream, By { connection, peer: SocketAddr::new(ip, peer.port()) })
                    .await
                    .unwrap_or_default();
                door.control.borrow_mut().closed(clock::mono(), connection);
                let mut peers = door.peers.borrow_mut();
                if let Some(position) = peers.iter().position(|known| *known == ip) {
                    peers.swap_remove(position);
                }
                door.changed.notify_one();
            });
        }
    }

    /// Answers one connection until it ends. Clients keep it open for as long as they have a tuner, so only who stops
    /// in the middle of a frame is hung up on, and who is silently gone.
    async fn converse(&self, mut stream: TcpStream, by: By) -> io::Result<()> {
        set_up(&stream)?;
        let local = stream.local_addr()?.ip().to_canonical();
        let mut deframer = Box::new(Deframer::new());
        let mut reply = Box::new([0; CONTROL_REPLY_BYTES_MAX]);
        let mut upload = Receiving::new(self.update.clone());
        loop {
            while let Some(frame) = deframer.next() {
                let Ok(frame) = frame else { return Ok(()) };
                let Some(request) = ControlRequest::parse(frame) else { return Ok(()) };
                self.app.metrics.control_requests.add(1);
                self.note_client(&by, &request);
                if let ControlRequest::Upgrade(part) = request {
                    if let Some(taken) = upload.on(part).await {
                        let why = taken.err().map(|refusal| self.refused(&by, refusal));
                        let answer = write_upgrade(&mut reply, why.as_deref()).unwrap_or_default();
                        stream.write_all(answer).await?;
                    }
                    continue;
                }
                let (answer, change) = {
                    let world = Snapshot::take(self);
                    self.control.borrow_mut().answer(clock::mono(), &by, request, &world, &mut reply)
                };
                stream.write_all(answer).await?;
                self.perform_from(change, local);
                self.keep_tuners();
                self.changed.notify_one();
            }
            let reading = stream.read(deframer.space());
            let read = tokio::time::timeout(Duration::from_millis(CONTROL_STALL_MS), reading).await;
            match read {
                Ok(Ok(0)) => return Ok(()),
                Ok(read) => {
                    let len = read?;
                    deframer.filled(len);
                }
                Err(_) if deframer.is_amid() => return Ok(()),
                Err(_) => upload.stalled().await,
            }
        }
    }

    /// Tells people of an upload that is refused, and gives the answer's text.
    fn refused(&self, by: &By, refusal: Refusal) -> String {
        let why = refusal.words();
        if refusal == Refusal::Off {
            tracing::warn!(from = %by.peer, why, "somebody tried to upload firmware");
        } else {
            self.update.refused(by.peer.ip(), refusal);
        }
        format!("ERROR: {why}")
    }

    /// For the record of who asked: what somebody sets may tell which program it is.
    fn note_client(&self, by: &By, request: &ControlRequest<'_>) {
        let (clients, ip) = (&self.app.clients, by.peer.ip());
        clients.saw(ip, Asked::Control, b"");
        if let ControlRequest::Set { name, value, .. } = request {
            if let Ok(Variable::Tuner(_, variable)) = self.control.borrow().variable(name) {
                clients.note(|clients| clients.set_variable(ip, variable, value));
            }
        }
    }

    fn perform(self: &Rc<Self>, change: Change) {
        self.perform_from(change, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }

    /// `local`: the address that the client knows us by, which packets are to come from.
    fn perform_from(&self, change: Change, local: IpAddr) {
        match change {
            // A restart is not allowed by the policy, so never asked for.
            Change::Nothing | Change::Restart => {}
            Change::Play(play) => {
                let (pids, place) = {
                    let (control, lineup) = (self.control.borrow(), self.app.engine.lineup());
                    (control.pids(play.tuner), lineup.and_then(|lineup| control.place(play.tuner, &lineup)))
                };
                let stream = Stream::start(&self.app, play, local, pids, place, &self.changed);
                self.put(play.tuner, Some(stream));
            }
            Change::Stop { tuner } => self.put(tuner, None),
            Change::Filter { tuner } => {
                let pids = self.control.borrow().pids(tuner);
                if let Some(Some(stream)) = self.streams.borrow().get(usize::from(tuner.0)) {
                    stream.set_pids(pids);
                }
            }
            Change::ScanStart => self.app.subscriptions.refresh(),
            Change::ScanAbort => self.app.subscriptions.abort(),
        }
    }

    fn put(&self, tuner: SlotIndex, stream: Option<Stream>) {
        if let Some(place) = self.streams.borrow_mut().get_mut(usize::from(tuner.0)) {
            // The one before ends with its drop.
            *place = stream;
        }
    }

    /// Keeps from others what somebody controls, and gives back what nobody does.
    fn keep_tuners(&self) {
        let control = self.control.borrow();
        for (index, kept) in (0..).map(SlotIndex).zip(self.kept.borrow_mut().iter_mut()) {
            let is_held = control.held_by(index).is_some();
            if *kept != is_held && self.app.engine.hold(index, is_held) {
                *kept = is_held;
            }
        }
    }

    /// Hears the receivers' keepalives, and notes which targets refuse datagrams; never ends.
    pub async fn hear_keepalives(self: Rc<Self>, socket: UdpSocket) {
        let mut datagram = [0; 16];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut datagram).await else {
                clock::pause(100).await;
                continue;
            };
            let key = datagram.get(..len).and_then(keepalive);
            if let (true, Some(key)) = (self.app.is_local(from.ip()), key) {
                if self.control.borrow_mut().keepalive(clock::mono(), from, key) {
                    self.changed.notify_one();
                }
            }
        }
    }
}

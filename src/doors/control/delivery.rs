//! Packets to a receiver that asked for them: datagrams of seven, bare or behind an RTP header.
//!
//! A stream is one task. It asks the engine for its channel until it gets it, and again when it loses it, for as long
//! as the client wants it: a source that is ill shows in the tuner's status. Datagrams that the network does not take
//! are lost, as on any cable.

use crate::clock;
use crate::doors::http::App;
use crate::engine::{Progress, Viewer};
use pure::model::channel_map::Place;
use pure::model::pid_filter::PidFilter;
use pure::rules::control::Play;
use pure::rules::control::target::Scheme;
use pure::rules::pool::SlotIndex;
use pure::wire::rtp::{Framing, Packetiser};
use pure::wire::ts::renumber::Renumber;
use pure::wire::ts::{PACKET_BYTES, Packet};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// SiliconDust's library empties its buffer 64 ms after it has set a target. What came before is lost, and with it the
/// key frame that everything up to the next one needs.
const SETTLE_MS: u64 = 200;
/// What goes out in [`PACE_MS`] at most, 84 Mbit/s: a feed is joined at its last key frame, and a receiver's buffer does
/// not hold all since then at once.
const PACE_BYTES: usize = 16 * 7 * PACKET_BYTES;
const PACE_MS: u64 = 2;
/// How long packets wait for others to fill their datagram.
const FLUSH_MS: u64 = 100;
/// Tables of networks, services and events: PIDs that belong to no programme.
const SERVICE_PIDS: std::ops::RangeInclusive<u16> = 0x10..=0x1F;
/// The highest PID below that of packets that carry nothing.
const PID_MAX: u16 = 0x1FFE;

/// A stream on its way; it ends when this is dropped.
pub(super) struct Stream {
    task: JoinHandle<()>,
    state: Rc<State>,
}

/// What a stream shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Where to.
    pub(super) target: SocketAddr,
    /// Its slot, while it has one.
    pub(super) slot: Option<SlotIndex>,
    /// Datagrams that go out.
    pub(super) datagrams_per_s: u32,
    /// Datagrams that could not be sent.
    pub(super) lost: u64,
}

struct State {
    target: SocketAddr,
    pids: RefCell<PidFilter>,
    slot: Cell<Option<SlotIndex>>,
    datagrams: Cell<u64>,
    lost: Cell<u64>,
    refused: Cell<bool>,
    /// Told when it was.
    changed: Rc<Notify>,
    /// Datagrams counted a while ago, and when.
    mark: Cell<(pure::time::Mono, u64)>,
    per_second: Cell<u32>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream {
    /// Begins to play. `local` is where packets come from, `place` where the client was told to find the channel.
    pub(super) fn start(
        app: &Rc<App>,
        play: Play,
        local: IpAddr,
        pids: Option<PidFilter>,
        place: Option<Place>,
        changed: &Rc<Notify>,
    ) -> Self {
        let state = Rc::new(State {
            target: play.target.address,
            pids: RefCell::new(pids.unwrap_or_else(of_programme)),
            slot: Cell::new(None),
            datagrams: Cell::new(0),
            lost: Cell::new(0),
            refused: Cell::new(false),
            changed: Rc::clone(changed),
            mark: Cell::new((clock::mono(), 0)),
            per_second: Cell::new(0),
        });
        let task = tokio::task::spawn_local(deliver(Rc::clone(app), play, local, place, Rc::clone(&state)));
        Self { task, state }
    }

    /// From now on these go out; none: those of the programme.
    pub(super) fn set_pids(&self, pids: Option<PidFilter>) {
        *self.state.pids.borrow_mut() = pids.unwrap_or_else(of_programme);
    }

    /// How it is doing.
    pub(super) fn shown(&self) -> Shown {
        let State { target, slot, per_second, lost, .. } = &*self.state;
        Shown { target: *target, slot: slot.get(), datagrams_per_s: per_second.get(), lost: lost.get() }
    }

    /// Whether the receiver's machine has refused a datagram since this was last asked.
    pub(super) fn take_refused(&self) -> bool {
        self.state.refused.take()
    }
}

/// All that belongs to the one programme of our streams.
fn of_programme() -> PidFilter {
    let mut pids = PidFilter::NONE;
    for pid in (0..=PID_MAX).filter(|pid| !SERVICE_PIDS.contains(pid)) {
        pids.insert(pid);
    }
    pids
}

async fn deliver(app: Rc<App>, play: Play, local: IpAddr, place: Option<Place>, state: Rc<State>) {
    let socket = match socket(&play, local).await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(target = %play.target.address, %error, "no packets can be sent there");
            return;
        }
    };
    let framing = match play.target.scheme {
        Scheme::Udp => Framing::Udp,
        Scheme::Rtp => Framing::Rtp { ssrc: app.device_id.get() },
    };
    #[expect(clippy::cast_possible_truncation, reason = "any beginning will do")]
    let mut packetiser = Box::new(Packetiser::new(framing, clock::mono().0 as u16));
    let settled_at = clock::mono().plus_ms(SETTLE_MS);
    loop {
        let retry_s = match app.engine.watch_held(play.channel, play.profile, play.tuner, play.target.address).await {
            Ok(mut viewer) => {
                state.slot.set(Some(viewer.slot));
                clock::until(Some(settled_at)).await;
                pour(&socket, &mut viewer, &mut packetiser, place.map(Renumber::new), &state).await;
                state.slot.set(None);
                1
            }
            Err(refusal) => refusal.retry_after_s(),
        };
        clock::pause(u64::from(retry_s) * 1_000).await;
    }
}

async fn socket(play: &Play, local: IpAddr) -> io::Result<UdpSocket> {
    let address = play.target.address;
    let from = match (local, address) {
        (IpAddr::V4(local), SocketAddr::V4(_)) => IpAddr::V4(local),
        (IpAddr::V6(local), SocketAddr::V6(_)) if !local.is_unicast_link_local() => IpAddr::V6(local),
        (_, SocketAddr::V4(_)) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (_, SocketAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((from, 0)).await?;
    if let (true, Some(ttl)) = (play.target.is_multicast(), play.target.ttl) {
        let socket = socket2::SockRef::from(&socket);
        match address {
            SocketAddr::V4(_) => socket.set_multicast_ttl_v4(ttl.into())?,
            SocketAddr::V6(_) => socket.set_multicast_hops_v6(ttl.into())?,
        }
    }
    socket.connect(address).await?;
    Ok(socket)
}

/// Sends until the feed ends.
async fn pour(
    socket: &UdpSocket,
    viewer: &mut Viewer,
    packetiser: &mut Packetiser,
    mut renumber: Option<Renumber>,
    state: &State,
) {
    loop {
        let mut left = PACE_BYTES;
        let sent = viewer.send(|pieces| {
            if left == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let pids = state.pids.borrow();
            let now_90k = now_90k();
            let mut taken = 0;
            for piece in pieces {
                for packet in piece.chunks_exact(PACKET_BYTES).take(left / PACKET_BYTES) {
                    taken += PACKET_BYTES;
                    left -= PACKET_BYTES;
                    let Some(packet) = packet.first_chunk::<PACKET_BYTES>() else { continue };
                    let mut own;
                    let packet = match renumber.as_mut().filter(|numbers| numbers.concerns(Packet::new(packet))) {
                        Some(numbers) => {
                            own = *packet;
                            numbers.packet(&mut own);
                            &own
                        }
                        None => packet,
                    };
                    if let Some(datagram) = packetiser.packet(packet, &pids, now_90k) {
                        send(socket, datagram, state);
                    }
                }
            }
            Ok(taken)
        });
        match sent {
            Ok(Progress::CaughtUp) if packetiser.is_waiting() => tokio::select! {
                () = viewer.more() => {}
                () = clock::pause(FLUSH_MS) => {
                    if let Some(datagram) = packetiser.flush(now_90k()) {
                        send(socket, datagram, state);
                    }
                }
            },
            Ok(Progress::CaughtUp) => viewer.more().await,
            Ok(Progress::Blocked) => clock::pause(PACE_MS).await,
            Ok(Progress::Ended) | Err(_) => return,
        }
    }
}

/// A clock of 90 kHz that wraps, as RTP's does.
#[expect(clippy::cast_possible_truncation, reason = "it wraps")]
fn now_90k() -> u32 {
    (clock::mono().0 * 90) as u32
}

fn send(socket: &UdpSocket, datagram: &[u8], state: &State) {
    match socket.try_send(datagram) {
        Ok(_) => state.datagrams.set(state.datagrams.get() + 1),
        Err(error) => {
            state.lost.set(state.lost.get() + 1);
            if error.kind() == io::ErrorKind::ConnectionRefused {
                state.refused.set(true);
                state.changed.notify_one();
            }
        }
    }
    let (now, (marked_at, marked)) = (clock::mono(), state.mark.get());
    let elapsed_ms = now.ms_since(marked_at);
    if elapsed_ms >= 1_000 {
        let per_second = (state.datagrams.get() - marked) * 1_000 / elapsed_ms;
        state.per_second.set(u32::try_from(per_second).unwrap_or(u32::MAX));
        state.mark.set((now, state.datagrams.get()));
    }
}

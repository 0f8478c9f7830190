//! HTTP: accepting, limits, and the two ways a connection goes.
//!
//! hyper reads requests and writes ordinary answers, with a bound on everything (S20). A stream is different: once the
//! engine has admitted the viewer, the socket is taken back from hyper and [`media`] feeds it from the ring without
//! another copy. What each address means stands in [`route`].

mod access;
mod answer;
mod api;
mod backup;
mod device;
mod doctor;
mod faces;
mod guide;
mod guides;
pub mod identity;
mod lineup;
mod live;
mod media;
mod notifications;
mod owner;
mod page;
mod pages;
mod preview;
mod route;
mod settings;
mod update;
mod v1;

use crate::access as accounts;
use crate::board::vitals::Vitals;
use crate::doctor::Handle as Doctor;
use crate::doors::clients::Seen;
use crate::doors::interfaces::{Interfaces, Watch};
use crate::engine::{self, Viewer};
use crate::notices;
use crate::observe::history::History;
use crate::observe::logs::Logs;
use crate::observe::metrics::Metrics;
use crate::observe::problems::{Problems, Topic};
use crate::subscriptions;
use crate::update as updates;
use crate::{capacity, clock};
pub use faces::keep_ports;
use heapless::String as ShortString;
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
pub use lineup::Documents;
pub use live::keep_history;
use nix::libc;
pub use page::pack as pack_page;
use pure::limits::{
    CONNECTION_BYTES, CONVERSATION_MS_MAX, FACES_MAX, HEAD_BYTES_MAX, HEAD_MS_MAX, HEADERS_MAX, OWNER_CONNECTIONS,
};
use pure::model::device_id::DeviceId;
use pure::model::face::FaceId;
use pure::model::subnet::Subnet;
use pure::rules::alarms::Sign;
use pure::rules::bucket::Bucket;
use pure::rules::replies::Replies;
use pure::wire::hdhr::BASE_URL_V6_BYTES_MAX;
pub use settings::follow_wishes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// What the answers are made of.
pub struct App {
    /// What the settings call this box.
    pub settings_name: RefCell<String>,
    /// Who we are.
    pub device_id: DeviceId,
    /// Who may manage it.
    pub access: accounts::Handle,
    /// Further names by which it may be asked, in small letters.
    pub names: Vec<String>,
    /// Whom to tell of a hole in it.
    pub security_contact: Option<String>,
    /// Its name by mDNS.
    pub mdns_host: RefCell<String>,
    /// The board's name.
    pub board: String,
    /// What it can carry.
    pub capacity: capacity::Handle,
    /// Port of the page, if it could be bound.
    pub page_port: Cell<Option<u16>>,
    /// Port of the streams, if it could be bound.
    pub stream_port: Cell<Option<u16>>,
    /// Ports of the further faces, while they are open.
    pub face_ports: RefCell<BTreeMap<FaceId, u16>>,
    /// Tells when what [`App::devices`] says has changed.
    pub device_changes: watch::Sender<()>,
    /// Whether these ports are open over `IPv6`, too.
    pub has_v6: Cell<bool>,
    /// Networks that are ours besides those that the box is in.
    pub subnets: Vec<Subnet>,
    /// The box's own interfaces.
    pub interfaces: Watch,
    /// FFmpeg, as a path or as `PATH` finds it.
    pub ffmpeg: std::path::PathBuf,
    /// Slots and lineup.
    pub engine: engine::Handle,
    /// Plays as clients do.
    pub doctor: Doctor,
    /// Playlists.
    pub subscriptions: subscriptions::Handle,
    /// Who is told what happens.
    pub notices: notices::Handle,
    /// New versions.
    pub update: updates::Handle,
    /// Log lines.
    pub logs: Logs,
    /// Counters.
    pub metrics: Rc<Metrics>,
    /// What is wrong.
    pub problems: Problems,
    /// How the last hour was.
    pub history: History,
    /// How the board is.
    pub vitals: Vitals,
    /// Who asked us.
    pub clients: Seen,
    /// Who gets how many answers by datagram.
    pub replies: RefCell<Replies>,
    /// Lineups as they last went out.
    pub documents: Documents,
    /// How often anybody may have the provider asked.
    pub scans: RefCell<Bucket>,
}

/// As what the network knows the box: as itself, and as each of its further faces whose port is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Who.
    pub id: DeviceId,
    /// How many can watch at once.
    pub tuners_len: u8,
    port: Option<u16>,
}

impl Device {
    /// Where it answers, for a client that knows the box as `host`.
    pub fn base_url(&self, host: IpAddr) -> BaseUrl {
        url(host, self.port)
    }
}

/// All of them; the box itself comes first.
pub type Devices = heapless::Vec<Device, { FACES_MAX + 1 }>;

/// The address of this box as one client can use it, without path and slash.
pub type BaseUrl = ShortString<BASE_URL_V6_BYTES_MAX>;

impl App {
    /// What clients call this box.
    pub fn name(&self) -> String {
        self.subscriptions.wishes().name.unwrap_or_else(|| self.settings_name.borrow().clone())
    }

    /// Whether FFmpeg is there. It may be installed, or vanish, while we run: the problem comes and goes with it.
    pub fn check_ffmpeg(&self) -> bool {
        match engine::process::find(&self.ffmpeg) {
            Ok(_) => self.problems.clear(Topic::Ffmpeg),
            Err(ref missing) => self.problems.set(Topic::Ffmpeg, missing.to_string()),
        }
        !self.problems.has(Topic::Ffmpeg)
    }

    /// The printable model and the firmware's name: whoever cannot transcode must not say so.
    pub fn model(&self) -> (&'static str, &'static str) {
        pure::rules::encoders::model(self.engine.transcodes())
    }

    /// As what the network knows the box.
    pub fn devices(&self) -> Devices {
        let tuners_len = u8::try_from(self.engine.tuners_len()).unwrap_or(u8::MAX);
        let port = self.page_port.get().or(self.stream_port.get());
        let own = Device { id: self.device_id, tuners_len, port };
        let ports = self.face_ports.borrow();
        self.subscriptions.with_faces(|faces| {
            let faces = faces.iter().filter_map(|face| {
                let port = Some(*ports.get(&face.id)?);
                Some(Device { id: face.device_id, tuners_len: face.terms.tuners.min(tuners_len), port })
            });
            [own].into_iter().chain(faces).take(FACES_MAX + 1).collect()
        })
    }

    /// The address of page and answers, as a client that knows us as `host` can use it.
    pub fn base_url(&self, host: IpAddr) -> BaseUrl {
        url(host, self.page_port.get().or(self.stream_port.get()))
    }

    /// Where the streams are, for the same client.
    fn stream_url(&self, host: IpAddr) -> BaseUrl {
        url(host, self.stream_port.get().or(self.page_port.get()))
    }

    /// Whether datagrams of this peer may be answered: one of ours, or of a network that the owner named (S40).
    pub fn is_neighbour(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.interfaces.now().is_on_link(peer) || self.subnets.iter().any(|subnet| subnet.contains(peer))
    }

    /// Whether connections from this address are taken at all.
    pub fn is_local(&self, peer: IpAddr) -> bool {
        is_local(peer, &self.interfaces.now(), &self.subnets)
    }

    /// The addresses for a client that reached us at `local`, by a name or address that he calls `host`. A further face
    /// has all in one place.
    fn reach(&self, local: SocketAddr, peer: SocketAddr, host: Option<&str>, is_face: bool) -> Reach {
        let reach = |host: IpAddr| {
            let page = self.base_url(host);
            if is_face {
                let base = url(host, Some(local.port()));
                return Reach { stream: base.clone(), base, page };
            }
            Reach { base: page.clone(), stream: self.stream_url(host), page }
        };
        let interface = match local {
            SocketAddr::V6(local) => local.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let own = local.ip().to_canonical();
        // Somebody stands in between and changes addresses or ports: then what the client calls us is what works for
        // him. A name is not taken over: whoever knows us by name found us at an address, too.
        if let Some((ip, port)) = host.and_then(literal).filter(|(ip, _)| *ip != own && !ip.is_unspecified()) {
            let port = port.unwrap_or(80);
            if port != local.port() {
                let base = url(ip, Some(port));
                return Reach { stream: base.clone(), page: base.clone(), base };
            }
            return reach(ip);
        }
        let known = self.interfaces.now().host_for(interface, own, peer.ip(), self.has_v6.get());
        reach(known.unwrap_or(own))
    }
}

/// An address with or without a port, as a client writes it into `Host`; none when it is a name.
fn literal(host: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Some((address.ip().to_canonical(), Some(address.port())));
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|ip| (ip.to_canonical(), None))
}

fn url(host: IpAddr, port: Option<u16>) -> BaseUrl {
    let mut url = BaseUrl::new();
    let written = match (host, port) {
        (IpAddr::V4(host), Some(port)) => write!(url, "http://{host}:{port}"),
        (IpAddr::V4(host), None) => write!(url, "http://{host}"),
        (IpAddr::V6(host), Some(port)) => write!(url, "http://[{host}]:{port}"),
        (IpAddr::V6(host), None) => write!(url, "http://[{host}]"),
    };
    written.expect("the longest literal and port fit");
    url
}

/// The addresses of this box for one client.
#[derive(Clone)]
pub(super) struct Reach {
    /// Page and answers.
    base: BaseUrl,
    /// Streams.
    stream: BaseUrl,
    /// The page for people, which only the box itself has.
    page: BaseUrl,
}

/// How many connections there are, from where, and which of them nobody would miss.
///
/// When all places are taken, whoever has been idle for longest gives his up: he sent no head yet, or has all of his
/// answer, so a client loses nothing but the time to connect again. Idle connections keep nobody out, then; and those
/// that are not idle leave the last [`OWNER_CONNECTIONS`] places to who manages the box ([`Counted::is_for_owner`]).
pub struct Connections {
    total_max: usize,
    per_address_max: usize,
    all: RefCell<BTreeMap<u64, Place>>,
    /// Counts connections, and times at which one became idle.
    count: Cell<u64>,
}

struct Place {
    from: IpAddr,
    /// Whoever became so first has the smallest number; `None`: he is being answered, or watches.
    idle_since: Option<u64>,
    give_up: Rc<Notify>,
}

impl Connections {
    /// With bounds from the settings.
    pub fn new(total_max: usize, per_address_max: usize) -> Rc<Self> {
        Rc::new(Self { total_max, per_address_max, all: RefCell::default(), count: Cell::default() })
    }

    fn next(&self) -> u64 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }

    fn is_full(&self) -> bool {
        self.all.borrow().len() >= self.total_max
    }

    /// Counts one more; `None` when there are enough.
    fn admit(self: &Rc<Self>, from: IpAddr) -> Option<Counted> {
        let is_full = self.is_full();
        let mut all = self.all.borrow_mut();
        if all.values().filter(|place| place.from == from).count() >= self.per_address_max {
            return None;
        }
        if is_full {
            let idle = all.iter().filter_map(|(id, place)| Some((place.idle_since?, *id)));
            let place = idle.min().and_then(|(_, id)| all.remove(&id))?;
            place.give_up.notify_one();
        }
        let (id, give_up) = (self.next(), Rc::<Notify>::default());
        all.insert(id, Place { from, idle_since: Some(id), give_up: Rc::clone(&give_up) });
        Some(Counted { connections: Rc::clone(self), id, give_up })
    }
}

/// One connection; it is counted while this lives, unless it had to give up its place.
pub(super) struct Counted {
    connections: Rc<Connections>,
    id: u64,
    give_up: Rc<Notify>,
}

impl Counted {
    /// Its client is being answered from now on, until what is returned is dropped.
    fn answering(self: &Rc<Self>) -> Answering {
        if let Some(place) = self.connections.all.borrow_mut().get_mut(&self.id) {
            place.idle_since = None;
        }
        Answering(Rc::clone(self))
    }

    /// Whether only places are left that are kept for the owner.
    fn is_for_owner(&self) -> bool {
        let all = self.connections.all.borrow();
        let taken = all.values().filter(|place| place.idle_since.is_none()).count();
        // Who allows few has fewer to keep.
        let total_max = self.connections.total_max;
        taken + OWNER_CONNECTIONS.min(total_max / 8) > total_max
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.all.borrow_mut().remove(&self.id);
    }
}

/// Somebody is being answered while this lives; it goes with the answer's body.
pub(super) struct Answering(Rc<Counted>);

impl Drop for Answering {
    fn drop(&mut self) {
        let connections = &self.0.connections;
        if let Some(place) = connections.all.borrow_mut().get_mut(&self.0.id) {
            place.idle_since = Some(connections.next());
        }
    }
}

/// Opens a listening port.
///
/// # Errors
/// What the kernel said: the port is taken, or not ours to take.
pub fn listen(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let address = SocketAddr::from((address, port));
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        // The other family has a socket of its own.
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the old connections' ghosts.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

/// Answers one listening port, as the box itself or as a further face; never ends.
pub async fn serve(listener: TcpListener, app: Rc<App>, connections: Rc<Connections>, face: Option<FaceId>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: some will come back. Until then the kernel says so ten times a second,
                // and the alarm once.
                if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
                    app.problems.sign(Sign::FdsExhausted);
                } else {
                    tracing::warn!(%error, "connection could not be accepted");
                }
                clock::pause(100).await;
                continue;
            }
        };
        if !app.is_local(peer.ip()) {
            continue;
        }
        let was_full = connections.is_full();
        let Some(counted) = connections.admit(peer.ip()) else {
            app.metrics.http_connections_refused.add(1);
            // What does not fit into an empty socket buffer is not worth waiting for.
            stream.try_write(answer::BUSY).unwrap_or_default();
            continue;
        };
        let (app, counted) = (Rc::clone(&app), Rc::new(counted));
        tokio::task::spawn_local(async move {
            let taken = tokio::select! {
                taken = converse(stream, peer, &app, face, &counted) => taken,
                () = counted.give_up.notified() => {
                    app.metrics.http_connections_refused.add(1);
                    None
                }
            };
            if let Some(Taken { stream, playing, answering, buffer }) = taken {
                // A task of its own: a viewer must not keep the memory that his request took. hyper's buffer is given
                // back last, in one piece, or the next request would find its place taken by this viewer.
                tokio::task::spawn_local(media::feed(stream, playing, answering));
                drop(buffer);
            }
        });
        if was_full {
            // Who has to give up his place does so now: there are no more sockets than places.
            tokio::task::yield_now().await;
        }
    }
}

/// Tuners are for the house, not for the world: public addresses get no answer. Over `IPv6` a house has public ones:
/// there, its own networks count.
fn is_local(peer: IpAddr, interfaces: &Interfaces, subnets: &[Subnet]) -> bool {
    let peer = peer.to_canonical();
    if subnets.iter().any(|subnet| subnet.contains(peer)) {
        return true;
    }
    match peer {
        IpAddr::V4(peer) => {
            let [first, second, ..] = peer.octets();
            let shared = first == 100 && (64..128).contains(&second);
            peer.is_private() || peer.is_loopback() || peer.is_link_local() || shared
        }
        IpAddr::V6(v6) => v6.is_unique_local() || interfaces.is_on_link(peer),
    }
}

/// A stream's request, once it is admitted.
pub(super) struct Playing {
    viewer: Viewer,
    ends_at: Option<pure::time::Mono>,
}

/// Where a handler leaves an admitted viewer for the connection to take over.
#[derive(Default)]
struct Takeover {
    playing: RefCell<Option<Box<Playing>>>,
    answering: RefCell<Option<Answering>>,
    ready: Notify,
    /// Whether a bundle is coming in, which takes minutes; who reads it gives up on who is silent.
    takes_long: Cell<bool>,
}

/// A connection taken back from hyper.
struct Taken {
    stream: TcpStream,
    playing: Box<Playing>,
    /// He is, for as long as he watches.
    answering: Answering,
    /// What hyper read into; what a client says after its request is of no interest.
    buffer: Bytes,
}

/// Answers requests until the connection ends, or gives the socket back with the viewer whom it is for.
///
/// Whoever sends a length and chunks may want it to be read in two ways (S21). hyper reads the chunks, throws the length
/// away before anybody sees it, and hangs up after the answer, whatever it was asked: what RFC 9112, 6.1, allows besides
/// a 400, and as safe here, where nobody before us shares the connection and nothing behind the chunks is ever read.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    app: &Rc<App>,
    face: Option<FaceId>,
    counted: &Rc<Counted>,
) -> Option<Taken> {
    set_up(&stream).ok()?;
    let local = stream.local_addr().ok()?;
    let takeover = Rc::new(Takeover::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (app, takeover, counted) = (Rc::clone(app), Rc::clone(&takeover), Rc::clone(counted));
        async move {
            app.metrics.http_requests.add(1);
            let answering = counted.answering();
            if counted.is_for_owner() && !access::is_owner(&app, &request) {
                return Ok(answer::crowded().map(|body| answer::Kept::new(body, answering)));
            }
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
            let reach = app.reach(local, peer, host, face.is_some());
            let asked = match face.map(|face| app.subscriptions.face(face)) {
                None => route::Asked { reach, peer, local: local.ip(), face: None },
                Some(Some(face)) => route::Asked { reach, peer, local: local.ip(), face: Some(face) },
                // It was removed a moment ago.
                Some(None) => return Ok(answer::not_found().map(|body| answer::Kept::new(body, answering))),
            };
            takeover.takes_long.set(v1::takes_long(request.method(), request.uri().path()));
            let outcome = route::respond(&app, &asked, request).await;
            takeover.takes_long.set(false);
            match outcome {
                route::Outcome::Answer(answer) => {
                    Ok::<Response<answer::Kept>, Infallible>(answer.map(|body| answer::Kept::new(body, answering)))
                }
                route::Outcome::Play(playing) => {
                    *takeover.answering.borrow_mut() = Some(answering);
                    *takeover.playing.borrow_mut() = Some(playing);
                    takeover.ready.notify_one();
                    // The connection is taken from hyper now, with this future in it.
                    std::future::pending().await
                }
            }
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(CONNECTION_BYTES)
        // As a real box writes them; a client of a few lines of C may look for them so.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    // Everything but a stream is small: a client that takes this long for it is gone, or means harm.
    let end = async {
        loop {
            clock::pause(CONVERSATION_MS_MAX).await;
            if !takeover.takes_long.get() {
                break;
            }
        }
    };
    tokio::select! {
        // Errors are the client's: bad requests were answered, broken connections cannot be.
        _ = &mut connection => None,
        () = end => None,
        () = takeover.ready.notified() => {
            let (playing, answering) = (takeover.playing.borrow_mut().take()?, takeover.answering.borrow_mut().take()?);
            let http1::Parts { io, read_buf, .. } = connection.into_parts();
            Some(Taken { stream: io.into_inner(), playing, answering, buffer: read_buf })
        }
    }
}

/// A client that vanishes without a word is noticed within half a minute (V06).
pub(in crate::doors) fn set_up(stream: &TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(20)))?;
    let alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    socket.set_tcp_keepalive(&alive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pure::limits::CONNECTIONS_DEFAULT;

    #[test]
    fn connections_are_bounded_in_all_and_from_each_address() {
        let connections = Connections::new(3, 2);
        let busy =
            |from: u8| connections.admit(IpAddr::from([10, 0, 0, from])).map(|counted| Rc::new(counted).answering());
        let first = busy(1).unwrap();
        let _second = busy(1).unwrap();
        assert!(busy(1).is_none());
        let _third = busy(2).unwrap();
        assert!(busy(2).is_none(), "all are being answered");
        drop(first);
        assert!(busy(1).is_some());
        assert_eq!(connections.all.borrow().len(), 2, "who is gone is forgotten");
    }

    #[test]
    fn whoever_has_been_idle_for_longest_gives_his_place_up() {
        let connections = Connections::new(3, 3);
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let [first, second, third] = [(); 3].map(|()| Rc::new(connections.admit(one).unwrap()));
        let ids = || connections.all.borrow().keys().copied().collect::<Vec<_>>();
        // The first one is answered, which makes him the one who was idle last.
        drop(first.answering());
        let watching = third.answering();
        let fourth = connections.admit(two).unwrap();
        assert_eq!(ids(), [first.id, third.id, fourth.id]);
        drop(second);
        let fifth = connections.admit(two).unwrap();
        assert_eq!(ids(), [third.id, fourth.id, fifth.id], "who is gone has no place to give back twice");
        drop((fourth, watching, first, third, fifth));
        assert!(ids().is_empty());
    }

    #[test]
    fn the_last_places_are_the_owners() {
        let connections = Connections::new(CONNECTIONS_DEFAULT, 64);
        let some = [(); CONNECTIONS_DEFAULT - 3].map(|()| Rc::new(connections.admit([10, 0, 0, 1].into()).unwrap()));
        let mut answering: Vec<_> = some.iter().skip(1).map(Counted::answering).collect();
        assert!(!some[0].is_for_owner());
        answering.push(some[0].answering());
        assert!(some[0].is_for_owner());
        answering.remove(0);
        assert!(!some[0].is_for_owner());
    }

    #[test]
    fn the_world_gets_no_answer() {
        for (address, local) in [
            ("127.0.0.1", true),
            ("192.168.1.9", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("169.254.9.9", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("172.32.0.1", false),
            ("8.8.8.8", false),
            ("203.0.113.9", false),
            ("2001:db8::1", false),
            ("fe80::1", true),
            ("fd00::1", true),
            ("::1", true),
            ("::ffff:192.168.1.9", true),
            ("::ffff:8.8.8.8", false),
        ] {
            let found = is_local(address.parse().unwrap(), &Interfaces::default(), &[]);
            assert_eq!(found, local, "{address}");
        }
        let office: Subnet = "203.0.113.0/24".parse().unwrap();
        assert!(is_local(IpAddr::from([203, 0, 113, 9]), &Interfaces::default(), &[office]), "the owner says so");
    }

    #[test]
    fn what_a_client_calls_us_is_an_address_or_a_name() {
        let (v4, v6) = (IpAddr::from([192, 0, 2, 10]), "fd00::1".parse().unwrap());
        for (host, found) in [
            ("192.0.2.10", Some((v4, None))),
            ("192.0.2.10:8080", Some((v4, Some(8080)))),
            ("[fd00::1]:80", Some((v6, Some(80)))),
            ("[fd00::1]", Some((v6, None))),
            ("[::ffff:192.0.2.10]:80", Some((v4, Some(80)))),
            ("tunerd.local", None),
            ("tunerd.local:80", None),
            ("192.0.2", None),
            ("[fe80::1%25eth0]", None),
            ("", None),
        ] {
            assert_eq!(literal(host), found, "{host}");
        }
        assert_eq!(url(v6, Some(5004)), "http://[fd00::1]:5004");
        assert_eq!(url("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(), Some(65_535)).len(), 54);
    }
}

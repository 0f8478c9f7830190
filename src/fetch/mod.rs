//! Outgoing HTTP: one GET after another, with redirects, TLS, a bound on everything, and the address policy (S32).
//!
//! A name is resolved here and nowhere else, each of its addresses is judged by [`pure::rules::reach`], and only those
//! that passed are connected to: what a resolver says later changes nothing. That holds for every redirect, every
//! segment and every key anew. What is read is for others: playlists and guides for the subscriptions, streams for
//! the engine. What is sent, which is little: [`post`].

mod names;
pub mod post;
pub mod proxy;
mod socket;
mod tls;
mod via;

use http_body_util::Empty;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION, RANGE, RETRY_AFTER,
    TRANSFER_ENCODING, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use names::Names;
use pure::limits::{
    ANSWER_MS_MAX, CONNECT_MS_MAX, EYEBALLS_MS, FETCH_BUFFER_BYTES, IDLE_CONNECTIONS_MAX, REDIRECTS_MAX,
    RETRY_AFTER_MS_MAX,
};
use pure::model::headers::Headers;
use pure::model::provider::{Provider, ProxyUrl};
use pure::model::source_url::{Scheme, SourceUrl};
use pure::rules::failure::{End, Failure};
use pure::rules::reach::{Reach, Zone};
use pure::wire::percent;
use socket::{Pace, Socket};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tls::Trust;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use via::{Forwards, Wire};

/// What something could not be fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is, or leads to, what must not be opened.
    Policy,
    /// Its name cannot be resolved.
    Dns,
    /// It cannot be reached.
    Connect,
    /// Its certificate was refused while our own clock cannot be right.
    Clock,
    /// It answers with this status; after so many milliseconds it may be asked again, if it says so.
    Status(u16, Option<u64>),
    /// Its provider's proxy cannot be used, or does not let us go there.
    Proxy,
    /// And that wants another login.
    ProxyLogin,
    /// It broke off, or does not speak HTTP.
    Broken,
}

/// Why something could not be fetched. The text is for people, goes on behind "it cannot be used:", and names no
/// secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// What it means.
    pub kind: Kind,
    text: String,
}

impl FetchError {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// What that is for a channel whose source this was.
    pub fn end(&self) -> End {
        End::Failed(match self.kind {
            Kind::Policy => Failure::Policy,
            Kind::Dns => Failure::Dns,
            Kind::Connect | Kind::Proxy => Failure::Connect,
            Kind::Clock => return End::Clock,
            Kind::ProxyLogin | Kind::Status(401 | 403 | 407, _) => Failure::Auth,
            Kind::Status(429 | 503, Some(retry_ms)) => return End::Busy { retry_ms },
            Kind::Status(..) => Failure::Http,
            Kind::Broken => return End::Plain,
        })
    }
}

impl FetchError {
    /// Whether another host may do better.
    const fn is_unreachable(&self) -> bool {
        matches!(self.kind, Kind::Dns | Kind::Connect | Kind::Status(500..=599, _))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Its address.
    pub url: &'a SourceUrl,
    /// How far it may lead.
    pub reach: Reach,
    /// What its provider wants to see.
    pub user_agent: Option<&'a str>,
    /// And what else, wherever he sends us.
    pub headers: Option<&'a Headers>,
    /// How it is reached, if its provider has a way of his own.
    pub provider: Option<&'a Provider>,
    /// Only these bytes: the first one, and how many.
    pub range: Option<(u64, u64)>,
    /// `If-…` headers: only where it is not as it was. If it is, the answer is an error with the status 304.
    pub conditions: &'a [(HeaderName, String)],
}

impl<'a> Ask<'a> {
    /// All of `url`.
    pub const fn new(url: &'a SourceUrl, reach: Reach) -> Self {
        Self { url, reach, user_agent: None, headers: None, provider: None, range: None, conditions: &[] }
    }
}

/// Asks servers. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher(Rc<Shared>);

struct Shared {
    names: Names,
    trust: Trust,
    this_box: bool,
    /// Where to look first for what is a provider's, by his id: where it was found the last time.
    places: RefCell<BTreeMap<u32, usize>>,
}

impl Fetcher {
    /// `this_box`: whether what the owner types may be on this box itself.
    pub fn new(this_box: bool) -> Self {
        Self(Rc::new(Shared { names: Names::default(), trust: Trust::default(), this_box, places: RefCell::default() }))
    }

    /// Where something is looked for first, and how far that may lead: at the host itself, or at one that the owner said
    /// stands in for it.
    pub fn place(&self, url: &SourceUrl, reach: Reach, provider: Option<&Provider>) -> (SourceUrl, Reach) {
        let place = provider.and_then(|provider| self.nth_place(url, provider, 0).1);
        place.map_or_else(|| (url.clone(), reach), |url| (url, self.typed()))
    }

    fn nth_place(&self, url: &SourceUrl, provider: &Provider, nth: usize) -> (usize, Option<SourceUrl>) {
        let first = self.0.places.borrow().get(&provider.id).copied().unwrap_or_default();
        let place = (first + nth) % provider.places_len(url);
        (place, provider.stand_in(url, place))
    }

    /// Notes that a provider could not be reached at a place: the next one is the first from now on.
    fn leave(&self, url: &SourceUrl, provider: &Provider, place: usize) {
        let mut places = self.0.places.borrow_mut();
        let first = places.entry(provider.id).or_default();
        let len = provider.places_len(url);
        // Unless somebody else found out before.
        if *first % len == place {
            *first = (place + 1) % len;
        }
        tracing::debug!(
            subscription = provider.id,
            place,
            next = *first,
            "a host was not reached, another one is next"
        );
    }

    /// How far an address leads that the owner typed, or that stands in a file of his.
    pub fn typed(&self) -> Reach {
        Reach::typed(self.0.this_box)
    }

    /// Where somebody is whom FFmpeg is to call, or where it is to listen: one address, judged as all others here.
    ///
    /// # Errors
    /// [`FetchError`]: there is no such name, or none of its addresses may be called.
    pub async fn find(&self, url: &SourceUrl, reach: Reach, provider: Option<&Provider>) -> Result<IpAddr, FetchError> {
        if url.scheme().is_datagrams() {
            // Another's name stands for what he sends to this box.
            let address = url.host().parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let refused = || FetchError::new(Kind::Policy, "only an address that you type may have this box listen");
            return reach.hears(address).then_some(address).ok_or_else(refused);
        }
        if provider.is_some_and(|provider| provider.proxy.is_some()) {
            let text = "its subscription has a proxy, which carries HTTP and nothing else";
            return Err(FetchError::new(Kind::Policy, text));
        }
        let found = self.0.names.resolve(url.host(), reach).await?;
        // There is one try, and more boxes have IPv6 that leads nowhere than servers have no IPv4.
        let best = found.iter().find(|(address, _)| address.is_ipv4()).or(found.first());
        best.map(|(address, _)| *address).ok_or_else(|| FetchError::new(Kind::Dns, "it has no address"))
    }

    /// Several questions, over few connections.
    pub fn session(&self) -> Session {
        Session { fetcher: self.clone(), idle: Vec::with_capacity(IDLE_CONNECTIONS_MAX) }
    }

    /// Connects to one of the addresses of a host, the first that answers (RFC 8305).
    async fn connect(&self, host: &str, port: u16, reach: Reach) -> Result<(TcpStream, Zone), FetchError> {
        let addresses = self.0.names.resolve(host, reach).await?;
        let mut left = addresses.iter().map(|(address, zone)| (SocketAddr::new(*address, port), *zone));
        let mut trying = JoinSet::new();
        let mut last = None;
        loop {
            if let Some((address, zone)) = left.next() {
                trying.spawn_local(async move { (TcpStream::connect(address).await, zone) });
            } else if trying.is_empty() {
                self.0.names.distrust(host);
                let error = last.unwrap_or_else(|| io::ErrorKind::TimedOut.into());
                return Err(FetchError::new(Kind::Connect, explain_connect(host, port, &error)));
            }
            let patience = if left.len() > 0 { EYEBALLS_MS } else { CONNECT_MS_MAX };
            match tokio::time::timeout(Duration::from_millis(patience), trying.join_next()).await {
                Ok(Some(Ok((Ok(stream), zone)))) => {
                    // A delay of small requests helps nobody.
                    stream.set_nodelay(true).unwrap_or_default();
                    return Ok((stream, zone));
                }
                Ok(Some(Ok((Err(error), _)))) => last = Some(error),
                Ok(Some(Err(_)) | None) => {}
                Err(_) if left.len() > 0 => {}
                Err(_) => {
                    self.0.names.distrust(host);
                    return Err(FetchError::new(Kind::Connect, format!("{host} does not answer")));
                }
            }
        }
    }

    async fn open(&self, url: &SourceUrl, reach: Reach, proxy: Option<&ProxyUrl>) -> Result<Connection, FetchError> {
        let Wire { stream, zone, forwards } = self.reach_out(url, reach, proxy).await?;
        let pace = Pace::default();
        let stream = Socket::new(stream, Rc::clone(&pace));
        let (sender, driver) = match url.scheme() {
            Scheme::Https => shake_hands(Box::new(self.0.trust.connect(url.host(), stream).await?)).await?,
            Scheme::Http => shake_hands(Box::new(stream)).await?,
            _ => return Err(FetchError::new(Kind::Policy, "only what speaks HTTP can be fetched")),
        };
        Ok(Connection {
            scheme: url.scheme(),
            host: url.host().to_owned(),
            port: url.port(),
            zone,
            proxy: proxy.cloned(),
            forwards,
            sender,
            driver: Some(driver),
            pace,
        })
    }
}

fn explain_connect(host: &str, port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("{host} port {port} refuses connections"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("there is no way to {host}; is the network up?")
        }
        io::ErrorKind::TimedOut => format!("{host} does not answer"),
        _ => format!("no connection to {host}: {error}"),
    }
}

type Sender = SendRequest<Empty<Bytes>>;
/// What moves a connection on. It is polled by whoever waits for an answer and by nobody else, so that nothing is read
/// that nobody takes; dropped, it closes the connection at once, which a provider counts.
type Driver = Box<http1::Connection<TokioIo<Box<dyn Stream>>, Empty<Bytes>>>;

/// What HTTP is spoken over.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

async fn shake_hands(stream: Box<dyn Stream>) -> Result<(Sender, Driver), FetchError> {
    let mut builder = http1::Builder::new();
    builder.max_headers(pure::limits::HEADERS_MAX).max_buf_size(FETCH_BUFFER_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| no_http(&error))?;
    Ok((sender, Box::new(connection)))
}

fn no_http(error: &hyper::Error) -> FetchError {
    FetchError::new(Kind::Broken, format!("its server does not speak HTTP as it should ({error})"))
}

/// An open connection to a server.
struct Connection {
    scheme: Scheme,
    host: String,
    port: u16,
    zone: Zone,
    /// What it goes through, and how that is asked.
    proxy: Option<ProxyUrl>,
    forwards: Option<Forwards>,
    sender: Sender,
    /// None once the connection has ended.
    driver: Option<Driver>,
    pace: Pace,
}

impl Connection {
    fn serves(&self, url: &SourceUrl, reach: Reach, proxy: Option<&ProxyUrl>) -> bool {
        (self.scheme, self.host.as_str(), self.port) == (url.scheme(), url.host(), url.port())
            && self.proxy.as_ref() == proxy
            && reach.allows(self.zone)
            && self.sender.is_ready()
    }

    async fn send(&mut self, ask: &Ask<'_>, url: &SourceUrl) -> Result<Response<Incoming>, FetchError> {
        let request = request(ask, url, self.forwards.as_ref())?;
        let mut answering = pin!(self.sender.send_request(request));
        let driver = &mut self.driver;
        let answering = poll_fn(|context| {
            drive(driver, context);
            answering.as_mut().poll(context)
        });
        match tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), answering).await {
            Err(_) => {
                Err(FetchError::new(Kind::Connect, format!("{} takes the request and does not answer", url.host())))
            }
            Ok(answer) => answer.map_err(|error| no_http(&error)),
        }
    }
}

fn drive(driver: &mut Option<Driver>, context: &mut Context<'_>) {
    // Its errors come out where its answer is read.
    if driver.as_mut().is_some_and(|driver| driver.poll_without_shutdown(context).is_ready()) {
        *driver = None;
    }
}

fn request(ask: &Ask<'_>, url: &SourceUrl, forwards: Option<&Forwards>) -> Result<Request<Empty<Bytes>>, FetchError> {
    let host = if url.host().contains(':') { format!("[{}]", url.host()) } else { url.host().to_owned() };
    let is_default_port = url.scheme().default_port() == Some(url.port());
    let host = if is_default_port { host } else { format!("{host}:{}", url.port()) };
    let ours = HeaderValue::from_static(concat!("tunerd/", env!("CARGO_PKG_VERSION")));
    let user_agent = ask.user_agent.and_then(|text| HeaderValue::from_str(text).ok()).unwrap_or(ours);
    let target = match forwards {
        Some(_) => format!("http://{host}{}", url.path_and_query()),
        None => url.path_and_query().to_owned(),
    };
    let mut request = Request::get(target).header(HOST, host).header(ACCEPT, "*/*").header(USER_AGENT, user_agent);
    if let Some(userinfo) = url.userinfo() {
        request = request.header(AUTHORIZATION, login_of(userinfo));
    }
    if let Some(authorization) = forwards.and_then(|forwards| forwards.authorization.as_ref()) {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    if let Some((from, len)) = ask.range {
        request = request.header(RANGE, format!("bytes={from}-{}", from.saturating_add(len.max(1)) - 1));
    }
    for (name, value) in ask.conditions {
        request = request.header(name, value);
    }
    for (name, value) in ask.headers.into_iter().flat_map(Headers::iter) {
        request = request.header(name.as_str(), value);
    }
    request.body(Empty::new()).map_err(|_| FetchError::new(Kind::Policy, "its address cannot be asked for".to_owned()))
}

/// Several questions, one after the other. Connections that may serve again are kept, few of them.
pub struct Session {
    fetcher: Fetcher,
    idle: Vec<Connection>,
}

impl Session {
    /// Asks, and follows redirects. Nothing of the body is read yet.
    ///
    /// # Errors
    /// [`FetchError`], within a bounded time.
    pub async fn get(&mut self, ask: Ask<'_>) -> Result<Answer, FetchError> {
        let Some(provider) = ask.provider else { return self.get_at(ask, ask.url.clone(), ask.reach).await };
        let mut first_error = None;
        for _ in 0..provider.places_len(ask.url) {
            let (place, stand_in) = self.fetcher.nth_place(ask.url, provider, 0);
            let reach = if stand_in.is_some() { self.fetcher.typed() } else { ask.reach };
            match self.get_at(ask, stand_in.unwrap_or_else(|| ask.url.clone()), reach).await {
                Err(error) if error.is_unreachable() && provider.has(ask.url) && !provider.hosts.is_empty() => {
                    self.fetcher.leave(ask.url, provider, place);
                    first_error.get_or_insert(error);
                }
                done => return done,
            }
        }
        Err(first_error.unwrap_or_else(|| FetchError::new(Kind::Connect, "it is nowhere")))
    }

    async fn get_at(&mut self, ask: Ask<'_>, mut url: SourceUrl, reach: Reach) -> Result<Answer, FetchError> {
        // The settings may have changed since it was said how far it may lead.
        let mut reach = reach.min(self.fetcher.typed());
        for _ in 0..=REDIRECTS_MAX {
            let (response, connection) = self.exchange(&ask, &url, reach).await?;
            let status = response.status();
            let named = reach.through(connection.zone);
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                let next = redirected(&url, response.headers())?;
                // Most of them have no body; another one is not worth waiting for.
                if response.body().is_end_stream() {
                    self.put(connection);
                }
                (url, reach) = (next, named);
                continue;
            }
            if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
                if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED && connection.forwards.is_some() {
                    return Err(via::no_login());
                }
                let retry_ms = retry_after_ms(response.headers());
                let text = format!("its server answers {}", status.as_u16());
                return Err(FetchError::new(Kind::Status(status.as_u16(), retry_ms), text));
            }
            let is_part = status == StatusCode::PARTIAL_CONTENT;
            let (head, body) = response.into_parts();
            let whole = body.size_hint().exact();
            let taken = 0;
            return Ok(Answer { url, reach: named, is_part, whole, headers: head.headers, body, connection, taken });
        }
        Err(FetchError::new(Kind::Policy, format!("its server redirects more than {REDIRECTS_MAX} times")))
    }

    async fn exchange(
        &mut self,
        ask: &Ask<'_>,
        url: &SourceUrl,
        reach: Reach,
    ) -> Result<(Response<Incoming>, Connection), FetchError> {
        let proxy = ask.provider.and_then(|provider| provider.proxy.as_ref());
        if let Some(at) = self.idle.iter().position(|connection| connection.serves(url, reach, proxy)) {
            let mut connection = self.idle.swap_remove(at);
            // Its server may just have closed it; that is no answer yet.
            if let Ok(response) = connection.send(ask, url).await {
                return Ok((response, connection));
            }
        }
        let mut connection = self.fetcher.open(url, reach, proxy).await?;
        let response = connection.send(ask, url).await?;
        Ok((response, connection))
    }

    /// What an answer was read to its end from may serve again.
    fn put(&mut self, connection: Connection) {
        if self.idle.len() >= IDLE_CONNECTIONS_MAX {
            self.idle.remove(0);
        }
        self.idle.push(connection);
    }

    /// Takes the connection of an answer back that was read to its end.
    pub fn done(&mut self, answer: Answer) {
        if answer.body.is_end_stream() {
            self.put(answer.connection);
        }
    }
}

/// Where a redirect leads.
fn redirected(url: &SourceUrl, headers: &HeaderMap) -> Result<SourceUrl, FetchError> {
    let policy = |text: String| FetchError::new(Kind::Policy, text);
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| policy("its server redirects to nowhere".to_owned()))?;
    let next =
        url.resolve(location).map_err(|error| policy(format!("its server redirects to a bad address: {error}")))?;
    if url.scheme() == Scheme::Https && next.scheme() != Scheme::Https {
        return Err(policy("its server redirects from https to http, which could be read on the way".to_owned()));
    }
    Ok(next)
}

/// RFC 9110, 10.2.3; a date is as good as no answer, since our clocks may differ.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000).min(RETRY_AFTER_MS_MAX))
}

/// The head of an answer that was good, with its body still to be read.
pub struct Answer {
    /// Where it came from, after all redirects: what its relative addresses belong to.
    pub url: SourceUrl,
    /// How far the addresses in it may lead.
    pub reach: Reach,
    /// Whether it is only the part that was asked for.
    pub is_part: bool,
    /// Bytes of its body, where the server says it.
    pub whole: Option<u64>,
    /// What else its server says of it.
    pub headers: HeaderMap,
    body: Incoming,
    connection: Connection,
    /// Bytes of the body that came so far.
    taken: u64,
}

impl Answer {
    /// The next piece; none at the end. It may be waited for in vain: see [`Answer::piece`].
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The rest of a body that comes as it is, to be read without detours. What comes may wait for so long in the kernel
    /// before it is taken, so that much is taken at once. The answer is given back where a body comes in pieces that
    /// must be put together.
    pub fn relax(self, pace_ms: u64) -> Result<Rest, Box<Self>> {
        self.connection.pace.set(Some(pace_ms));
        if self.headers.contains_key(TRANSFER_ENCODING) {
            return Err(Box::new(self));
        }
        let Self { whole, mut body, connection, mut taken, .. } = self;
        let mut before = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        // What was read from the connection already.
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) {
            before.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        }
        let stream = connection.driver.map(|driver| {
            let parts = driver.into_parts();
            before.extend_from_slice(&parts.read_buf);
            parts.io.into_inner()
        });
        taken += before.len() as u64;
        let left = whole.map(|whole| whole.saturating_sub(taken));
        Ok(Rest { before: before.into(), stream, left })
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FetchError>> {
        let broke = |error| FetchError::new(Kind::Broken, format!("the connection broke in the middle ({error})"));
        loop {
            let mut polled = Pin::new(&mut self.body).poll_frame(context);
            if polled.is_pending() {
                drive(&mut self.connection.driver, context);
                polled = Pin::new(&mut self.body).poll_frame(context);
            }
            return match polled {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(Ok(None)),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(broke(error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        self.taken += bytes.len() as u64;
                        Poll::Ready(Ok(Some(bytes)))
                    }
                    // Trailers say nothing that matters.
                    Err(_) => continue,
                },
            };
        }
    }

    /// The next piece of a document, which must come in time.
    ///
    /// # Errors
    /// The connection broke, or nothing came.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, FetchError> {
        let patience = Duration::from_millis(pure::limits::PIECE_MS_MAX);
        let stopped = |_| FetchError::new(Kind::Broken, "its server stopped in the middle");
        tokio::time::timeout(patience, self.next()).await.map_err(stopped)?
    }
}

/// The rest of a body.
pub struct Rest {
    /// What was read before.
    before: Bytes,
    stream: Option<Box<dyn Stream>>,
    /// Bytes that are still to come, where the server said it.
    left: Option<u64>,
}

impl Rest {
    /// Reads into `space`; nothing at the end.
    ///
    /// # Errors
    /// `WouldBlock`: nothing is there yet, and whoever polls is woken. Any other: the connection broke.
    pub fn try_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> io::Result<usize> {
        let len = space.len().min(self.before.len());
        if let (1.., Some(space)) = (len, space.get_mut(..len)) {
            space.copy_from_slice(&self.before.split_to(len));
            return Ok(len);
        }
        let most = self.left.map_or(space.len(), |left| space.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let (Some(stream), Some(space @ [_, ..])) = (&mut self.stream, space.get_mut(..most)) else { return Ok(0) };
        let mut into = ReadBuf::new(space);
        match Pin::new(stream).poll_read(context, &mut into) {
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(read) => read?,
        }
        let len = into.filled().len();
        if len == 0 && self.left.is_some() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.map(|left| left.saturating_sub(len as u64));
        Ok(len)
    }
}

/// User and password stand percent-encoded in an address.
fn login_of(userinfo: &str) -> String {
    let userinfo = if userinfo.contains(':') { userinfo.to_owned() } else { format!("{userinfo}:") };
    basic(&percent::decode(&userinfo))
}

/// RFC 7617.
fn basic(login: &[u8]) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_an_address_becomes_a_header() {
        assert_eq!(login_of("Aladdin:open%20sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn a_busy_server_says_when_to_come_back() {
        let told = |value: &'static str| {
            retry_after_ms(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]))
        };
        assert_eq!([told("60"), told(" 7 "), told("99999999999999999999")], [Some(60_000), Some(7_000), None]);
        assert_eq!([told("86400"), told("Fri, 31 Dec 1999 23:59:59 GMT"), told("-1")], [Some(300_000), None, None]);
    }
}

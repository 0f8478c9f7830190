//! The proxy of a child that fetches by itself: it sees every connection that the child wants, and opens those that the
//! policy allows.
//!
//! FFmpeg goes back and forth in a file, and reads playlists of kinds that we do not; but it would follow any redirect
//! and any segment to anywhere (S32). So whatever it wants, it wants from here. A name is resolved and judged as for our
//! own fetches. Beyond the internet it may go only to the very host that the source names, as far as that may lead: what
//! a redirect or a playlist names lies on the internet, or is refused.

use super::via::{Forwards, Wire};
use super::{FetchError, Fetcher, Kind};
use crate::clock;
use pure::limits::{CONNECT_MS_MAX, PROXY_CONNECTIONS_MAX, PROXY_HEAD_BYTES_MAX};
use pure::model::provider::Provider;
use pure::model::source_url::SourceUrl;
use pure::rules::reach::Reach;
use pure::wire::proxy::{self, ProxyRequest};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A proxy for one child.
pub struct Proxy {
    listener: TcpListener,
    rules: Rc<Rules>,
}

struct Rules {
    fetcher: Fetcher,
    host: String,
    reach: Reach,
    /// Why something was not opened; the first time counts.
    refused: RefCell<Option<FetchError>>,
    /// Whose proxy all goes through, if he has one.
    provider: Option<Arc<Provider>>,
    /// What was looked for; the child plays it where it was found.
    url: SourceUrl,
}

impl Proxy {
    /// For a child that plays `url` where that is found first, which may lead as far as `reach`.
    ///
    /// # Errors
    /// The box is out of descriptors.
    pub fn new(fetcher: &Fetcher, url: &SourceUrl, reach: Reach, provider: Option<Arc<Provider>>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let (fetcher, url) = (fetcher.clone(), url.clone());
        let (place, reach) = fetcher.place(&url, reach, provider.as_deref());
        let (host, reach) = (place.host().to_owned(), reach.min(fetcher.typed()));
        let rules = Rules { fetcher, host, reach, refused: RefCell::default(), provider, url };
        Ok(Self { listener: TcpListener::from_std(listener)?, rules: Rc::new(rules) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves the child; never ends. Dropped, it closes whatever is open.
    pub async fn serve<T>(&self) -> T {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if open.len() < PROXY_CONNECTIONS_MAX => match accepted {
                    Ok((child, _)) => drop(open.spawn_local(serve(child, Rc::clone(&self.rules)))),
                    // It is out of descriptors for a moment.
                    Err(_) => clock::pause(100).await,
                },
                Some(_) = open.join_next() => {}
            }
        }
    }

    /// Why something was not opened.
    pub fn refused(&self) -> Option<FetchError> {
        self.rules.refused.borrow().clone()
    }
}

/// One connection of the child's, to its end. An end of either side is nobody's error.
async fn serve(mut child: TcpStream, rules: Rc<Rules>) {
    let patience = Duration::from_millis(CONNECT_MS_MAX);
    let Ok(Ok(Some((head, more)))) = tokio::time::timeout(patience, read_head(&mut child)).await else { return };
    let server = match proxy::parse(&head) {
        Some(ProxyRequest { url, head }) => rules.open(&url).await.map(|server| (server, url, head)),
        None => Err(FetchError::new(Kind::Policy, "FFmpeg asked for what no source needs")),
    };
    match server {
        Ok((server, url, head)) => {
            let (mut server, forwards) = (server.stream, server.forwards);
            let head = head.map(|head| forwards.map_or(head.clone(), |by| forwarded(&url, &head, &by)));
            let begun = match head {
                Some(head) => server.write_all(head.as_bytes()).await,
                None => child.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await,
            };
            if begun.is_ok() && server.write_all(&more).await.is_ok() {
                tokio::io::copy_bidirectional(&mut child, &mut server).await.unwrap_or_default();
            }
        }
        Err(error) => {
            rules.refused.borrow_mut().get_or_insert(error);
            let no = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            child.write_all(no).await.unwrap_or_default();
        }
    }
}

impl Rules {
    async fn open(&self, url: &SourceUrl) -> Result<Wire, FetchError> {
        let reach = if url.host() == self.host { self.reach } else { Reach::Public };
        let provider = self.provider.as_deref();
        let proxy = provider.and_then(|provider| provider.proxy.as_ref());
        let opened = self.fetcher.reach_out(url, reach, proxy).await;
        if let (Err(error), Some(provider)) = (&opened, provider) {
            // The next child is told of another host.
            if error.is_unreachable() && url.host() == self.host && !provider.hosts.is_empty() {
                let (place, _) = self.fetcher.nth_place(&self.url, provider, 0);
                self.fetcher.leave(&self.url, provider, place);
            }
        }
        opened
    }
}

/// The same request, as a provider's proxy expects it.
fn forwarded(url: &SourceUrl, head: &str, by: &Forwards) -> String {
    let (first, rest) = head.split_once("\r\n").unwrap_or((head, "\r\n"));
    let authorization = by.authorization.as_ref();
    let authorization = authorization.map(|text| format!("Proxy-Authorization: {text}\r\n")).unwrap_or_default();
    let path = first.strip_prefix("GET ").unwrap_or_default();
    format!("GET http://{}:{}{path}\r\n{authorization}{rest}", url.bracketed_host(), url.port())
}

/// A request's head, and what came behind it; `None`: it has no end in sight.
async fn read_head(child: &mut TcpStream) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut head = Vec::new();
    while head.len() < PROXY_HEAD_BYTES_MAX {
        let before = head.len();
        if child.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
        let from = before.saturating_sub(END.len());
        let found = head.get(from..).and_then(|new| new.windows(END.len()).position(|window| window == END));
        if let Some(at) = found {
            let more = head.split_off(from + at + END.len());
            return Ok(Some((head, more)));
        }
    }
    Ok(None)
}

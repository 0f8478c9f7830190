//! The proxy of a child that fetches by itself: it sees every connection that the child wants, and opens those that the
//! policy allows.
//!
//! FFmpeg goes back and forth in a file, and reads playlists of kinds that we do not; but it would follow any redirect
//! and any segment to anywhere (S32). So whatever it wants, it wants from here. A name is resolved and judged as for our
//! own fetches. Beyond the internet it may go only to the very host that the source names, as far as that may lead: what
//! a redirect or a playlist names lies on the internet, or is refused.

use super::{FetchError, Fetcher, Kind};
use crate::clock;
use pure::limits::{CONNECT_MS_MAX, PROXY_CONNECTIONS_MAX, PROXY_HEAD_BYTES_MAX};
use pure::model::source_url::SourceUrl;
use pure::rules::reach::Reach;
use pure::wire::proxy::{self, ProxyRequest};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
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
}

impl Proxy {
    /// For a child that plays `url`, which may lead as far as `reach`.
    ///
    /// # Errors
    /// The box is out of descriptors.
    pub fn new(fetcher: &Fetcher, url: &SourceUrl, reach: Reach) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let (fetcher, host) = (fetcher.clone(), url.host().to_owned());
        let rules = Rules { reach: reach.min(fetcher.typed()), fetcher, host, refused: RefCell::default() };
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
        Some(ProxyRequest { url, head }) => rules.open(&url).await.map(|server| (server, head)),
        None => Err(FetchError::new(Kind::Policy, "FFmpeg asked for what no source needs")),
    };
    match server {
        Ok((mut server, head)) => {
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
    async fn open(&self, url: &SourceUrl) -> Result<TcpStream, FetchError> {
        let reach = if url.host() == self.host { self.reach } else { Reach::Public };
        Ok(self.fetcher.connect(url, reach).await?.0)
    }
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

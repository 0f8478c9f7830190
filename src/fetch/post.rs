//! What is sent: short messages, to where the owner typed. The address policy is that of everything that he types.
//!
//! No redirect is followed: it would be somebody else who says where a message goes. Nothing of an answer but its status
//! is read.

use super::{FetchError, Fetcher, Kind, Stream, explain_connect, login_of, no_http, retry_after_ms};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use pure::limits::{ANSWER_MS_MAX, FETCH_BUFFER_BYTES, HEADERS_MAX};
use pure::model::source_url::{Scheme, SourceUrl};
use pure::rules::reach::Zone;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

impl Fetcher {
    /// Sends JSON.
    ///
    /// # Errors
    /// [`FetchError`], within a bounded time. A status that is not of success is [`Kind::Status`].
    pub async fn post(&self, url: &SourceUrl, json: Vec<u8>) -> Result<(), FetchError> {
        let mut line = self.call(url.host(), url.port()).await?;
        if url.scheme() == Scheme::Https {
            line = line.secure(self, url.host()).await?;
        }
        let mut builder = http1::Builder::new();
        builder.max_headers(HEADERS_MAX).max_buf_size(FETCH_BUFFER_BYTES);
        let (mut sender, connection) =
            builder.handshake::<_, Full<Bytes>>(TokioIo::new(line)).await.map_err(|error| no_http(&error))?;
        let is_default_port = url.scheme().default_port() == Some(url.port());
        let port = if is_default_port { String::new() } else { format!(":{}", url.port()) };
        let mut request = Request::post(url.path_and_query())
            .header(HOST, format!("{}{port}", url.bracketed_host()))
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("tunerd/", env!("CARGO_PKG_VERSION")));
        if let Some(userinfo) = url.userinfo() {
            request = request.header(AUTHORIZATION, login_of(userinfo));
        }
        let request = request.body(Full::from(json));
        let request = request.map_err(|_| FetchError::new(Kind::Policy, "its address cannot be asked for"))?;
        let mut answering = pin!(sender.send_request(request));
        let sending = async {
            tokio::select! {
                biased;
                answer = &mut answering => answer,
                // The end may have brought the answer along.
                _ = connection => answering.await,
            }
        };
        let no_answer =
            || FetchError::new(Kind::Connect, format!("{} takes the message and does not answer", url.host()));
        let answer = tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), sending).await;
        let answer = answer.map_err(|_| no_answer())?.map_err(|error| no_http(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let retry_ms = retry_after_ms(answer.headers());
        let text = if status.is_redirection() {
            format!("its server answers {}: it is somewhere else; type its new address", status.as_u16())
        } else {
            format!("its server answers {}", status.as_u16())
        };
        Err(FetchError::new(Kind::Status(status.as_u16(), retry_ms), text))
    }

    /// A connection to a server that the owner typed, for what is spoken line by line.
    ///
    /// # Errors
    /// [`FetchError`], within a bounded time.
    pub async fn call(&self, host: &str, port: u16) -> Result<Line, FetchError> {
        let (stream, zone) = self.connect(host, port, self.typed()).await?;
        let own =
            stream.local_addr().map_err(|error| FetchError::new(Kind::Connect, explain_connect(host, port, &error)))?;
        Ok(Line { stream: Box::new(stream), own, zone })
    }
}

/// A connection to a server.
pub struct Line {
    stream: Box<dyn Stream>,
    /// Our end of it.
    pub own: SocketAddr,
    zone: Zone,
}

impl Line {
    /// Whether it ends within the house.
    pub fn is_private(&self) -> bool {
        matches!(self.zone, Zone::Private | Zone::ThisBox)
    }

    /// From now on over TLS, with a server that proves that it is `host`. What was read before must have been all.
    ///
    /// # Errors
    /// [`FetchError`], within a bounded time.
    pub async fn secure(self, fetcher: &Fetcher, host: &str) -> Result<Self, FetchError> {
        let Self { stream, own, zone } = self;
        Ok(Self { stream: Box::new(fetcher.0.trust.connect(host, stream).await?), own, zone })
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

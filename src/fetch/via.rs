//! To a server, straight or through its provider's proxy.
//!
//! Where there is a proxy nothing goes past it, names included: it resolves them. So what is judged of a target then is
//! what can be: an address that is written as one, and what a name says of itself (`pure::rules::reach`). The proxy
//! itself is where the owner said, in the house if he likes.

use super::{FetchError, Fetcher, Kind, basic};
use pure::limits::{ANSWER_MS_MAX, PROXY_ANSWER_BYTES_MAX};
use pure::model::provider::{Login, ProxyKind, ProxyUrl};
use pure::model::source_url::{Scheme, SourceUrl};
use pure::rules::reach::{Reach, Zone};
use pure::wire::socks::{self, Method, Reply};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that leads to a server.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    /// Where the server lies, as far as that is known.
    pub(super) zone: Zone,
    /// It leads to an HTTP proxy, which wants whole addresses.
    pub(super) forwards: Option<Forwards>,
}

/// How an HTTP proxy is asked to pass a request on.
#[derive(Clone)]
pub(super) struct Forwards {
    /// What it wants to hear of us. A secret.
    pub(super) authorization: Option<String>,
}

/// What a proxy would not do, for people, and what that means.
type Refused = (Kind, &'static str);

const NO_PROXY: Refused = (Kind::Proxy, "what is there is no proxy of that kind");
const NO_LOGIN: Refused = (Kind::ProxyLogin, "its proxy refuses the login; check user and password of the proxy");
const FORBIDDEN: Refused = (Kind::Proxy, "its proxy does not let anybody go there");

/// An HTTP proxy wants another login.
pub(super) fn no_login() -> FetchError {
    FetchError::new(NO_LOGIN.0, NO_LOGIN.1)
}

impl Fetcher {
    /// Connects to the server of `url`.
    pub(super) async fn reach_out(
        &self,
        url: &SourceUrl,
        reach: Reach,
        proxy: Option<&ProxyUrl>,
    ) -> Result<Wire, FetchError> {
        let Some(proxy) = proxy else {
            let (stream, zone) = self.connect(url.host(), url.port(), reach).await?;
            return Ok(Wire { stream, zone, forwards: None });
        };
        let zone = super::names::judge(url.host(), reach)?;
        let connected = self.connect(proxy.host(), proxy.port(), self.typed()).await;
        let (mut stream, _) = connected.map_err(|error| FetchError {
            kind: if error.kind == Kind::Policy { Kind::Policy } else { Kind::Proxy },
            text: format!("its proxy cannot be used: {}", error.text),
        })?;
        let login = proxy.login();
        let authorization = login.as_ref().map(|login| basic(&[&login.user[..], b":", &login.password].concat()));
        if (proxy.kind(), url.scheme()) == (ProxyKind::Http, Scheme::Http) {
            return Ok(Wire { stream, zone, forwards: Some(Forwards { authorization }) });
        }
        let asking = async {
            match proxy.kind() {
                ProxyKind::Http => tunnel(&mut stream, url, authorization.as_deref()).await,
                ProxyKind::Socks5 => shake_socks(&mut stream, url, login.as_ref()).await,
            }
        };
        // It has to connect, too.
        match tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), asking).await {
            Ok(Ok(Ok(()))) => Ok(Wire { stream, zone, forwards: None }),
            Ok(Ok(Err((Kind::Connect, text)))) => Err(FetchError::new(Kind::Connect, format!("{} {text}", url.host()))),
            Ok(Ok(Err((kind, text)))) => Err(FetchError::new(kind, text)),
            Ok(Err(error)) => Err(FetchError::new(Kind::Proxy, format!("its proxy hangs up ({})", error.kind()))),
            Err(_) => Err(FetchError::new(Kind::Proxy, "its proxy does not answer")),
        }
    }
}

const UNREACHABLE: Refused = (Kind::Connect, "cannot be reached from its proxy");

/// RFC 9110, 9.3.6.
async fn tunnel(
    stream: &mut TcpStream,
    url: &SourceUrl,
    authorization: Option<&str>,
) -> io::Result<Result<(), Refused>> {
    let target = format!("{}:{}", url.bracketed_host(), url.port());
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = authorization {
        for part in ["Proxy-Authorization: ", authorization, "\r\n"] {
            request.push_str(part);
        }
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    // One by one: what comes behind it is the server's.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_ANSWER_BYTES_MAX {
            return Ok(Err(NO_PROXY));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(match socks::status(&head) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(NO_LOGIN),
        Some(500..=599) => Err(UNREACHABLE),
        Some(400..=499) => Err(FORBIDDEN),
        _ => Err(NO_PROXY),
    })
}

/// RFC 1928 and 1929.
async fn shake_socks(
    stream: &mut TcpStream,
    url: &SourceUrl,
    login: Option<&Login>,
) -> io::Result<Result<(), Refused>> {
    stream.write_all(&socks::hello(login.is_some())).await?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await?;
    match (socks::method(chosen), login.and_then(socks::login)) {
        (Some(Method::Open), _) => {}
        (Some(Method::Login), Some(login)) => {
            stream.write_all(&login).await?;
            let mut said = [0; 2];
            stream.read_exact(&mut said).await?;
            if said[1] != 0 {
                return Ok(Err(NO_LOGIN));
            }
        }
        (Some(_), _) => return Ok(Err(NO_LOGIN)),
        (None, _) => return Ok(Err(NO_PROXY)),
    }
    let Some(asked) = socks::connect(url.host(), url.port()) else { return Ok(Err(UNREACHABLE)) };
    stream.write_all(&asked).await?;
    let mut said = [0; 5];
    // A refusal may be shorter.
    stream.read_exact(&mut said[..2]).await?;
    if said[1] == 0 {
        stream.read_exact(&mut said[2..]).await?;
    }
    Ok(match socks::reply(said) {
        Some(Reply::Connected(rest)) => {
            let mut own_end = [0; 257];
            if let Some(own_end) = own_end.get_mut(..rest) {
                stream.read_exact(own_end).await?;
            }
            Ok(())
        }
        Some(Reply::Forbidden) => Err(FORBIDDEN),
        Some(Reply::Unreachable) => Err(UNREACHABLE),
        None => Err(NO_PROXY),
    })
}

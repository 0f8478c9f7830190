//! A document, by one HTTP GET with redirects and TLS or from a local file, and a bound on everything.

use crate::store::guide::Validators;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Bytes};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, AUTHORIZATION, ETAG, HOST, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
    USER_AGENT,
};
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use pure::limits::{NAME_BYTES_MAX, PLAYLIST_BYTES_MAX, REDIRECTS_MAX};
use pure::model::source_url::{Scheme, SourceUrl};
use pure::wire::percent;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// From asking to an open connection, from the request to the answer's head, and from one piece of it to the next.
const STEP: Duration = Duration::from_secs(10);

/// What is said when a document has no end in sight.
pub(super) fn too_large(bytes_max: u64) -> String {
    format!("it is larger than {} MiB", bytes_max / 1024 / 1024)
}

/// How something is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    /// What people call it.
    pub(super) thing: &'static str,
    /// How large it may be.
    pub(super) bytes_max: u64,
    /// What the provider wants to see; otherwise who we are.
    pub(super) user_agent: Option<&'a str>,
    /// What the server called the version that we have.
    pub(super) etag: Option<&'a str>,
    /// And when that changed.
    pub(super) last_modified: Option<&'a str>,
}

impl Default for Asking<'_> {
    fn default() -> Self {
        let bytes_max = PLAYLIST_BYTES_MAX as u64;
        Self { thing: "playlist", bytes_max, user_agent: None, etag: None, last_modified: None }
    }
}

/// The same as [`get`], also from a local file if `address` is its path.
pub(super) async fn read(
    address: &str,
    asking: Asking<'_>,
    take: impl AsyncFnMut(Bytes, Option<u64>) -> Result<(), String>,
) -> Result<Option<Validators>, String> {
    match address.parse::<SourceUrl>() {
        Ok(url) => get(url, asking, take).await,
        Err(_) => read_file(Path::new(address), asking.bytes_max, take).await.map(|()| Some(Validators::default())),
    }
}

/// In pieces, so that nobody else waits long.
async fn read_file(
    path: &Path,
    bytes_max: u64,
    mut take: impl AsyncFnMut(Bytes, Option<u64>) -> Result<(), String>,
) -> Result<(), String> {
    let (mut file, whole) = open_plain(path)?;
    let mut left = bytes_max;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let len = file.read(&mut piece).map_err(|error| format!("the file cannot be read ({error})"))?;
        if len == 0 {
            return Ok(());
        }
        left = left.checked_sub(len as u64).ok_or_else(|| too_large(bytes_max))?;
        take(Bytes::copy_from_slice(piece.get(..len).unwrap_or_default()), Some(whole)).await?;
        tokio::task::yield_now().await;
    }
}

/// Opens a plain file, and says how long it is.
fn open_plain(path: &Path) -> Result<(fs::File, u64), String> {
    // A pipe without writer would block for ever.
    let opened = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| format!("the file cannot be opened ({error})"))?;
    let kind = file.metadata().map_err(|error| format!("the file cannot be looked at ({error})"))?;
    if kind.is_dir() {
        return Err("it is a directory, not a file".to_owned());
    }
    if kind.is_file() { Ok((file, kind.len())) } else { Err("it is no plain file".to_owned()) }
}

/// Gets `url` and gives its body to `take`, piece by piece, each with the length of the whole where the server says it.
/// `None`: it is the version that we have. Errors are for people, and name no secret.
pub(super) async fn get(
    mut url: SourceUrl,
    asking: Asking<'_>,
    mut take: impl AsyncFnMut(Bytes, Option<u64>) -> Result<(), String>,
) -> Result<Option<Validators>, String> {
    for _ in 0..=REDIRECTS_MAX {
        let response = ask(&url, asking).await?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && (asking.etag.is_some() || asking.last_modified.is_some()) {
            return Ok(None);
        }
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or("its server redirects to nowhere")?;
            let next =
                url.resolve(location).map_err(|error| format!("its server redirects to a bad address: {error}"))?;
            if url.scheme() == Scheme::Https && next.scheme() != Scheme::Https {
                return Err("its server redirects from https to http, which could be read on the way".to_owned());
            }
            url = next;
            continue;
        }
        if status != StatusCode::OK {
            return Err(explain_status(status, asking.thing));
        }
        // Longer ones are no names but contents.
        let said = |name: HeaderName| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.filter(|value| value.len() <= NAME_BYTES_MAX).map(ToOwned::to_owned)
        };
        let version = Validators { etag: said(ETAG), last_modified: said(LAST_MODIFIED) };
        pour(response, asking.bytes_max, &mut take).await?;
        return Ok(Some(version));
    }
    Err(format!("its server redirects more than {REDIRECTS_MAX} times"))
}

fn explain_status(status: StatusCode, thing: &str) -> String {
    let hint = match status.as_u16() {
        401 | 403 => "it refuses the login, which may have expired".to_owned(),
        404 | 410 => format!("there is no such {thing}"),
        429 => "it was asked too often".to_owned(),
        500.. => "it has trouble of its own".to_owned(),
        _ => format!("which is no {thing}"),
    };
    format!("its server answers {}: {hint}", status.as_u16())
}

async fn pour(
    response: Response<Incoming>,
    bytes_max: u64,
    take: &mut impl AsyncFnMut(Bytes, Option<u64>) -> Result<(), String>,
) -> Result<(), String> {
    let mut left = bytes_max;
    let mut body = response.into_body();
    let whole = body.size_hint().exact();
    loop {
        let next = tokio::time::timeout(STEP, body.frame()).await;
        let Some(frame) = next.map_err(|_| "its server stopped in the middle".to_owned())? else { return Ok(()) };
        let frame = frame.map_err(|error| format!("the connection broke in the middle ({error})"))?;
        if let Ok(bytes) = frame.into_data() {
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| too_large(bytes_max))?;
            take(bytes, whole).await?;
            tokio::task::yield_now().await;
        }
    }
}

async fn ask(url: &SourceUrl, asking: Asking<'_>) -> Result<Response<Incoming>, String> {
    let address = (url.host(), url.port());
    let connecting = tokio::time::timeout(STEP, TcpStream::connect(address)).await;
    let stream = match connecting {
        Err(_) => return Err(format!("{} does not answer", url.host())),
        Ok(Err(error)) => return Err(explain_connect(url, &error)),
        Ok(Ok(stream)) => stream,
    };
    match url.scheme() {
        Scheme::Http => exchange(url, asking, stream).await,
        Scheme::Https => {
            let name = ServerName::try_from(url.host().to_owned())
                .map_err(|_| format!("{} cannot have a certificate", url.host()))?;
            let handshake = TlsConnector::from(tls_config()?).connect(name, stream);
            match tokio::time::timeout(STEP, handshake).await {
                Err(_) => Err(format!("{} does not finish the TLS handshake", url.host())),
                Ok(Err(error)) => Err(format!("no secure connection to {}: {error}", url.host())),
                Ok(Ok(stream)) => exchange(url, asking, stream).await,
            }
        }
        _ => Err("a document comes over HTTP".to_owned()),
    }
}

fn explain_connect(url: &SourceUrl, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("{} port {} refuses connections", url.host(), url.port()),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("there is no way to {}; is the network up?", url.host())
        }
        _ => format!("no connection to {}: {error}", url.host()),
    }
}

/// Trusts what the system trusts; read each time, since it is rarely needed and the system may be updated.
fn tls_config() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this box has no certificates to trust; install the package ca-certificates".to_owned());
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|config| Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
        .map_err(|error| format!("TLS does not work here: {error}"))
}

async fn exchange<S>(url: &SourceUrl, asking: Asking<'_>, stream: S) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let broke = |error: hyper::Error| format!("its server does not speak HTTP as it should ({error})");
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(pure::limits::HEADERS_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(broke)?;
    // It ends with the response's body; its errors come out there.
    tokio::task::spawn_local(async { connection.await.unwrap_or_default() });
    let default_port = url.scheme().default_port() == Some(url.port());
    let host = if default_port { url.host().to_owned() } else { format!("{}:{}", url.host(), url.port()) };
    let mut request = Request::get(url.path_and_query())
        .header(HOST, host)
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, asking.user_agent.unwrap_or(concat!("tunerd/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in [(IF_NONE_MATCH, asking.etag), (IF_MODIFIED_SINCE, asking.last_modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    if let Some(userinfo) = url.userinfo() {
        request = request.header(AUTHORIZATION, basic(userinfo));
    }
    let request = request.body(Empty::new()).map_err(|_| "its address cannot be asked for".to_owned())?;
    match tokio::time::timeout(STEP, sender.send_request(request)).await {
        Err(_) => Err(format!("{} takes the request and does not answer", url.host())),
        Ok(answer) => answer.map_err(broke),
    }
}

/// RFC 7617; user and password stand percent-encoded in an address.
fn basic(userinfo: &str) -> String {
    use base64::Engine as _;
    let userinfo = if userinfo.contains(':') { userinfo.to_owned() } else { format!("{userinfo}:") };
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(percent::decode(&userinfo)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_an_address_becomes_a_header() {
        assert_eq!(basic("Aladdin:open%20sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}

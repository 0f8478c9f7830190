//! One request after another to one box.

use super::Failure;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::net::TcpStream;

/// A box that restores a large backup needs a while.
const ANSWER_S_MAX: u64 = 120;
const CONNECT_S_MAX: u64 = 10;
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What goes with a request.
pub(super) enum Sent {
    Nothing,
    Json(String),
    Backup { bytes: Vec<u8>, password: String },
}

/// A box, and who asks it.
pub(super) struct Remote {
    host: String,
    port: u16,
    token: Option<HeaderValue>,
}

impl Remote {
    /// From what was typed, or stands in the environment.
    pub(super) fn new(address: Option<&str>, token: Option<&str>) -> Result<Self, Failure> {
        let from = |typed: Option<&str>, name| typed.map(str::to_owned).or_else(|| std::env::var(name).ok());
        let address = from(address, "TUNERD_BOX").unwrap_or_else(|| "127.0.0.1".to_owned());
        let (host, port) = split(&address).ok_or_else(|| {
            Failure::Usage(format!("{address:?} is no box: write HOST, HOST:PORT or [ADDRESS]:PORT, without http://"))
        })?;
        let token = from(token, "TUNERD_TOKEN").filter(|token| !token.is_empty());
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let token = token.map_err(|_| Failure::Usage("the token has characters that no token has".to_owned()))?;
        Ok(Self { host, port, token })
    }

    /// What the box calls itself towards HTTP.
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }

    /// Asks for JSON; null where nothing came.
    pub(super) async fn json(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let sent = body.map_or(Sent::Nothing, |body| Sent::Json(body.to_string()));
        let bytes = self.bytes(method, path, sent).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        let wrong = |_| Failure::Refused("what answered is no tunerd, or a very different one".to_owned());
        serde_json::from_slice(&bytes).map_err(wrong)
    }

    /// Asks for whatever it is.
    pub(super) async fn bytes(&self, method: &Method, path: &str, sent: Sent) -> Result<Bytes, Failure> {
        let silent = || Failure::Unavailable(format!("{} does not answer", self.authority()));
        let time = Duration::from_secs(ANSWER_S_MAX);
        tokio::time::timeout(time, self.converse(method, path, sent)).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn converse(&self, method: &Method, path: &str, sent: Sent) -> Result<Bytes, Failure> {
        let authority = self.authority();
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let connect = tokio::time::timeout(Duration::from_secs(CONNECT_S_MAX), connect).await;
        let stream = connect.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(|error| {
            let help = "Is tunerd running there? Name another box with --box HOST[:PORT].";
            Failure::Unavailable(format!("{authority} cannot be reached: {error}. {help}"))
        })?;
        let broken = |error: hyper::Error| Failure::Unavailable(format!("{authority} broke off: {error}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = self.request(method, path, sent)?;
        let conversation = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| Failure::Unavailable(format!("{authority} broke off: {error}")))?;
            Ok((status, body.to_bytes()))
        };
        let mut connection = std::pin::pin!(connection);
        let mut conversation = std::pin::pin!(conversation);
        let (status, bytes) = tokio::select! {
            answered = &mut conversation => answered?,
            // It ends with the last byte of the answer, which the other one has then.
            _ = &mut connection => conversation.await?,
        };
        if status.is_success() { Ok(bytes) } else { Err(self.refusal(status, &bytes)) }
    }

    fn request(&self, method: &Method, path: &str, sent: Sent) -> Result<Request<Full<Bytes>>, Failure> {
        let path = if path.starts_with("/api/") {
            path.to_owned()
        } else {
            format!("/api/v1/{}", path.strip_prefix('/').unwrap_or(path))
        };
        let mut request = Request::builder().method(method).uri(&path).header(HOST, self.authority());
        request = request.header(ACCEPT, "application/json, application/problem+json, application/octet-stream");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let body = match sent {
            Sent::Nothing if *method == Method::GET => Vec::new(),
            // The box wants this of everything that changes something, because no form of a browser can say so.
            Sent::Nothing => {
                request = request.header(CONTENT_TYPE, "application/json");
                Vec::new()
            }
            Sent::Json(text) => {
                request = request.header(CONTENT_TYPE, "application/json");
                text.into_bytes()
            }
            Sent::Backup { bytes, password } => {
                let password = password.bytes().fold(String::new(), |mut all, byte| {
                    write!(all, "%{byte:02X}").unwrap_or_default();
                    all
                });
                request =
                    request.header(CONTENT_TYPE, "application/octet-stream").header("x-backup-password", password);
                bytes
            }
        };
        let request = request.body(Full::from(body));
        request.map_err(|_| Failure::Usage(format!("{path:?} is no path: write %20 for a space, and the like")))
    }

    /// What a no means for a person.
    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> Failure {
        let problem: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        let mut text = match (problem["detail"].as_str(), problem["field"].as_str()) {
            (Some(detail), Some(field)) => format!("{field}: {detail}"),
            (Some(detail), None) => detail.to_owned(),
            (None, _) => format!("the box answered {status}"),
        };
        let help = match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => {
                " Make a token on the box's page, below System, and put it into TUNERD_TOKEN."
            }
            (StatusCode::UNAUTHORIZED, Some(_)) => " The token is not one of this box, or was taken back.",
            (StatusCode::FORBIDDEN, _) => " That takes a token with the scope admin.",
            (StatusCode::MISDIRECTED_REQUEST, _) => " Name the box by its address, or by a name that it knows.",
            _ => "",
        };
        text.push_str(help);
        Failure::Refused(text)
    }
}

/// Host and port of what was typed.
fn split(address: &str) -> Option<(String, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("80"))?)
        }
        // More than one colon, and no brackets: a bare address.
        None if address.matches(':').count() > 1 => (address, "80"),
        None => address.split_once(':').unwrap_or((address, "80")),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'_');
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty() && host.bytes().all(is_plain)).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_a_host_with_or_without_a_port() {
        for (text, found) in [
            ("tv.local", Some(("tv.local", 80))),
            ("10.0.0.7:8080", Some(("10.0.0.7", 8080))),
            ("[fd00::1]:81", Some(("fd00::1", 81))),
            ("[fd00::1]", Some(("fd00::1", 80))),
            ("fd00::1", Some(("fd00::1", 80))),
            ("http://tv.local", None),
            ("tv.local:0", None),
            ("tv.local:x", None),
            ("[fd00::1]81", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(split(text), found.map(|(host, port)| (host.to_owned(), port)), "{text}");
        }
    }
}

//! How the doctor asks: HTTP and datagrams, as clients send them, with a bound on whatever comes back.
//!
//! It says who it is in `User-Agent`, so that the page does not tell people that Plex has been here.

use pure::limits::HEAD_BYTES_MAX;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// What is read at once.
const PIECE_BYTES: usize = 16 * 1024;
/// The longest datagram that anybody answers with, and one byte.
const DATAGRAM_BYTES: usize = 1_461;

/// An answer whose body is still coming.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    stream: TcpStream,
    /// What came with the head, up to where it was given out.
    piece: Vec<u8>,
    /// What is left of the body, where that was said.
    left: Option<u64>,
}

/// Asks for `target`, with more lines of head, each with its end.
///
/// # Errors
/// What happened, for people.
pub(super) async fn ask(
    (host, port): (Ipv4Addr, u16),
    method: &str,
    target: &str,
    lines: &str,
) -> Result<Answer, String> {
    let at = SocketAddr::from((host, port));
    let mut stream = TcpStream::connect(at).await.map_err(|error| explain(port, &error))?;
    let agent = concat!("tunerd-doctor/", env!("CARGO_PKG_VERSION"));
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {agent}\r\nConnection: close\r\n{lines}\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| explain(port, &error))?;
    let mut bytes = Vec::with_capacity(PIECE_BYTES);
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(format!("what answers on port {port} does not speak HTTP"));
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return Err(format!("port {port} hangs up without an answer")),
            Ok(_) => {}
            Err(error) => return Err(explain(port, &error)),
        }
    };
    let piece = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.ok_or_else(|| format!("what answers on port {port} does not speak HTTP"))?;
    let mut answer = Answer { status, head, stream, piece, left: None };
    answer.left = if method == "HEAD" { Some(0) } else { answer.header("content-length").parse().ok() };
    Ok(answer)
}

fn explain(port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nobody listens on port {port}"),
        _ => format!("port {port} does not answer: {error}"),
    }
}

impl Answer {
    /// The value of a header; empty when there is none.
    pub(super) fn header(&self, wanted: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map_or("", |(_, value)| value.trim())
    }

    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut piece = std::mem::take(&mut self.piece);
        if self.left == Some(0) {
            return Ok(None);
        }
        if piece.is_empty() {
            piece.reserve(PIECE_BYTES);
            match self.stream.read_buf(&mut piece).await {
                Ok(0) if self.left.is_some() => return Err("the answer was cut off".to_owned()),
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(format!("the answer was cut off: {error}")),
            }
        }
        if let Some(left) = &mut self.left {
            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
        }
        Ok(Some(piece))
    }

    /// All of a short body.
    pub(super) async fn body(mut self, bytes_max: usize) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(piece) = self.next().await? {
            body.extend(piece);
            if body.len() > bytes_max {
                return Err("the answer is longer than it should be".to_owned());
            }
        }
        Ok(body)
    }
}

/// Sends a datagram twice, because one may get lost, and gives the first answer that `is_it`; none when there is none.
///
/// # Errors
/// What happened, for people.
pub(super) async fn search(
    from: Ipv4Addr,
    to: SocketAddr,
    question: &[u8],
    patience_ms: u64,
    is_it: impl Fn(&[u8], SocketAddr) -> bool,
) -> Result<Option<Vec<u8>>, String> {
    let socket = UdpSocket::bind((from, 0)).await.map_err(|error| format!("no socket: {error}"))?;
    socket.set_broadcast(true).map_err(|error| format!("no broadcasts: {error}"))?;
    for _ in 0..2 {
        socket.send_to(question, to).await.map_err(|error| format!("nothing can be sent to {to}: {error}"))?;
        let heard = hear(&socket, &is_it);
        if let Ok(heard) = tokio::time::timeout(Duration::from_millis(patience_ms / 2), heard).await {
            return heard.map(Some);
        }
    }
    Ok(None)
}

/// Waits for a datagram that `is_it`.
pub(super) async fn hear(socket: &UdpSocket, is_it: impl Fn(&[u8], SocketAddr) -> bool) -> Result<Vec<u8>, String> {
    let mut datagram = [0; DATAGRAM_BYTES];
    loop {
        match socket.recv_from(&mut datagram).await {
            Ok((len, from)) => {
                let bytes = datagram.get(..len).unwrap_or_default();
                if is_it(bytes, from) {
                    return Ok(bytes.to_vec());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(format!("nobody listens there: {error}"));
            }
            Err(error) => return Err(format!("nothing can be heard: {error}")),
        }
    }
}

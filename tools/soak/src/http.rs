//! As little HTTP as the soak needs: one request a connection, and every wait with a limit.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const HEAD_BYTES_MAX: usize = 8 << 10;
const BODY_BYTES_MAX: u64 = 16 << 20;

/// The head of an answer.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub status: u16,
    lines: String,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| io::Error::other("the head is not text"))?;
        let (first, lines) = text.split_once("\r\n").unwrap_or((text, ""));
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("the answer has no status"))?;
        Ok(Self { status, lines: lines.to_owned() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.lines.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// For tests of what is made of an answer.
    #[cfg(test)]
    pub fn of(status: u16, lines: &str) -> Self {
        Self { status, lines: lines.to_owned() }
    }
}

/// Asks, and reads the head within the limit; the connection then stands before the body.
pub fn open(address: SocketAddr, path: &str, limit: Duration) -> io::Result<(Head, TcpStream)> {
    let end = Instant::now() + limit;
    let mut socket = TcpStream::connect_timeout(&address, limit)?;
    socket.set_write_timeout(Some(limit))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: soak\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        // Byte by byte, so that nothing of the body is taken with it.
        let mut byte = [0];
        match socket.read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => head.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the head has no end"));
        }
    }
    head.truncate(head.len() - 4);
    Ok((Head::parse(&head)?, socket))
}

/// Fetches a page with status 200.
pub fn get(address: SocketAddr, path: &str, limit: Duration) -> io::Result<String> {
    let (head, socket) = open(address, path, limit)?;
    if head.status != 200 {
        return Err(io::Error::other(format!("{path} was answered with {}", head.status)));
    }
    socket.set_read_timeout(Some(limit))?;
    let mut body = Vec::new();
    socket.take(BODY_BYTES_MAX).read_to_end(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

//! A plain HTTP client that shows what really came over the wire.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Head without the status line, as it came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn connect(address: Ipv4Addr, port: u16) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::from((address, port))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(15))).unwrap();
    stream
}

pub(crate) fn get(address: Ipv4Addr, port: u16, target: &str) -> Answer {
    ask(address, port, &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// Sends `request` as it stands and reads until the connection is closed.
pub(crate) fn ask(address: Ipv4Addr, port: u16, request: &str) -> Answer {
    let mut stream = connect(address, port);
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes)
}

/// The same for one who may be hung up on before all is sent.
pub(crate) fn send(address: Ipv4Addr, port: u16, request: &[u8]) -> Answer {
    let mut stream = connect(address, port);
    stream.write_all(request).unwrap_or_default();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(drop).unwrap_or_default();
    parse(&bytes)
}

/// Asks for a stream and reads the head; what follows is the body.
pub(crate) fn open(address: Ipv4Addr, port: u16, target: &str) -> (Answer, TcpStream) {
    let mut stream = connect(address, port);
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed in the head: {}", String::from_utf8_lossy(&head));
        head.extend(byte);
    }
    (parse(&head), stream)
}

/// Takes an answer apart.
pub(crate) fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (line, head) = head.split_once("\r\n").unwrap_or((&head, ""));
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: bytes[end + 4..].to_vec() }
}

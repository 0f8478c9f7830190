//! As little HTTP as the bench needs: one request a connection, answers that end with it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server of this bench says before a stream that ends with the connection.
pub const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/mpeg\r\nConnection: close\r\n\r\n";

const HEAD_BYTES_MAX: usize = 8 << 10;

/// The request every viewer sends.
pub fn request(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The status and the length of the head, once `bytes` has all of it.
///
/// # Errors
/// `bytes` is not the beginning of an answer, or its head is too long.
pub fn parse_head(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        let message = "the head of the answer has no end";
        return if bytes.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(io::Error::other(message)) };
    };
    let status = std::str::from_utf8(&bytes[..end]).ok().and_then(|head| head.split(' ').nth(1)?.parse().ok());
    Ok(Some((status.ok_or_else(|| io::Error::other("the answer has no status"))?, end + 4)))
}

/// Reads the head byte by byte, so that nothing of the body is taken with it, and gives the status.
pub fn read_head_exactly(socket: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::new();
    loop {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
        if let Some((status, _)) = parse_head(&head)? {
            return Ok(status);
        }
    }
}

/// Fetches a small page, whatever its status.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    // HTTP/1.0, so that the body does not come in chunks.
    socket.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    socket.take(1 << 20).read_to_end(&mut answer)?;
    let (_, head_len) = parse_head(&answer)?.ok_or_else(|| io::Error::other("the answer ended within its head"))?;
    Ok(String::from_utf8_lossy(&answer[head_len..]).into_owned())
}

//! Streams: the socket is ours, the ring is the engine's, and nothing stands between them.

use super::identity::PRODUCT;
use super::{Answering, Playing};
use crate::clock;
use crate::engine::{Progress, Viewer};
use pure::limits::WRITE_STALL_MS;
use pure::time::HttpDate;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// Sends head and packets until the client leaves, stalls, or the feed ends. The body ends with the connection, as a
/// real box does it: neither length nor chunks.
pub(super) async fn feed(stream: TcpStream, mut playing: Box<Playing>, _answering: Answering) {
    let head = head(playing.viewer.slot.0);
    let sent = tokio::time::timeout(Duration::from_millis(WRITE_STALL_MS), write_all(&stream, head.as_bytes())).await;
    drop(head);
    if matches!(sent, Ok(Ok(()))) {
        let ends_at = playing.ends_at;
        tokio::select! {
            () = pour(&stream, &mut playing.viewer) => {}
            () = clock::until(ends_at) => {}
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The head of a stream's answer.
/// Source: captures of real units; `X-HDHomeRun-Resource` came with newer firmware.
pub(super) fn head(tuner: u8) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: {PRODUCT}\r\nConnection: close\r\nContent-Type: video/mpeg\r\n\
         Cache-Control: no-cache\r\ntransferMode.dlna.org: Streaming\r\nX-HDHomeRun-Resource: tuner{tuner}\r\n\
         Date: {}\r\n\r\n",
        HttpDate(clock::wall())
    )
}

async fn pour(stream: &TcpStream, viewer: &mut Viewer) {
    loop {
        match viewer.send(|pieces| stream.try_write_vectored(pieces)) {
            Ok(Progress::CaughtUp) => tokio::select! {
                () = viewer.more() => {}
                () = left(stream) => return,
            },
            Ok(Progress::Blocked) => tokio::select! {
                writable = stream.writable() => if writable.is_err() { return },
                () = left(stream) => return,
                () = clock::pause(WRITE_STALL_MS) => return,
            },
            Ok(Progress::Ended) | Err(_) => return,
        }
    }
}

/// Returns when the client has hung up. What it says meanwhile is of no interest.
async fn left(stream: &TcpStream) {
    let mut rubbish = [0; 256];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut rubbish) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

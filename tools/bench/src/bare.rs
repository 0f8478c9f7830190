//! The yardstick: the least a program can do to give one live stream to many viewers.
//!
//! One thread, one epoll. One `recv` into a shared ring on every arrival, then one `send` to each viewer. No look into
//! the stream, no coalescing, no look at the request: who connects gets the head and then the stream from its newest
//! packet on. A viewer that falls a ring behind is closed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, send};

use crate::http;

const RING_BYTES: usize = 1 << 20;
const RECV_BYTES_MAX: usize = 256 << 10;
const PACKET_BYTES: u64 = 188;

const LISTENER: u64 = u64::MAX;
const UPSTREAM: u64 = u64::MAX - 1;

struct Viewer {
    socket: TcpStream,
    /// Bytes of the stream this viewer has; the place in the ring is this modulo its size.
    cursor: u64,
    /// Whether epoll waits for room in the socket.
    blocked: bool,
}

/// Relays `path` of `upstream` to everyone who connects to `listen`, until the upstream ends.
pub fn run(listen: SocketAddr, upstream: SocketAddr, path: &str) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let mut upstream = open_upstream(upstream, path)?;

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    epoll.add(&upstream, EpollEvent::new(EpollFlags::EPOLLIN, UPSTREAM))?;

    let mut ring = vec![0; RING_BYTES];
    let mut head: u64 = 0;
    let mut viewers: Vec<Option<Viewer>> = Vec::new();
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let events_len = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            other => other?,
        };
        for event in &events[..events_len] {
            match event.data() {
                LISTENER => accept(&listener, &epoll, &mut viewers, head)?,
                UPSTREAM => {
                    let place = (head % RING_BYTES as u64) as usize;
                    let room = RECV_BYTES_MAX.min(RING_BYTES - place);
                    match upstream.read(&mut ring[place..place + room]) {
                        Ok(0) => return Ok(()),
                        Ok(len) => head += len as u64,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                        Err(error) => return Err(error),
                    }
                    for (index, viewer) in viewers.iter_mut().enumerate() {
                        serve(viewer, index, &epoll, &ring, head);
                    }
                }
                index => {
                    let viewer = &mut viewers[index as usize];
                    if event.events().intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP) {
                        *viewer = None; // closing takes it out of epoll
                    }
                    serve(viewer, index as usize, &epoll, &ring, head);
                }
            }
        }
    }
}

/// Sends `viewer` all it has not had yet. A viewer that is gone, or a ring behind, becomes `None`.
fn serve(viewer: &mut Option<Viewer>, index: usize, epoll: &Epoll, ring: &[u8], head: u64) {
    let Some(open) = viewer else { return };
    let mut full = false;
    while open.cursor < head && !full {
        if head - open.cursor > (RING_BYTES - RECV_BYTES_MAX) as u64 {
            *viewer = None;
            return;
        }
        let place = (open.cursor % RING_BYTES as u64) as usize;
        let len = ((head - open.cursor) as usize).min(RING_BYTES - place);
        match send(open.socket.as_raw_fd(), &ring[place..place + len], MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => open.cursor += sent as u64,
            Err(nix::Error::EAGAIN) => full = true,
            Err(_) => {
                *viewer = None;
                return;
            }
        }
    }
    if full != open.blocked {
        open.blocked = full;
        let wanted = if full { EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLRDHUP };
        if epoll.modify(&open.socket, &mut EpollEvent::new(wanted, index as u64)).is_err() {
            *viewer = None;
        }
    }
}

fn accept(listener: &TcpListener, epoll: &Epoll, viewers: &mut Vec<Option<Viewer>>, head: u64) -> io::Result<()> {
    loop {
        let mut socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        if socket.write_all(http::STREAM_HEAD).is_err() {
            continue;
        }
        let index = viewers.iter().position(Option::is_none).unwrap_or(viewers.len());
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLRDHUP, index as u64))?;
        // The upstream's body began with a packet.
        let viewer = Viewer { socket, cursor: head / PACKET_BYTES * PACKET_BYTES, blocked: false };
        if index == viewers.len() {
            viewers.push(Some(viewer));
        } else {
            viewers[index] = Some(viewer);
        }
    }
}

/// Asks for the stream and reads just the head of the answer.
fn open_upstream(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut upstream = TcpStream::connect(address)?;
    upstream.write_all(&http::request(address, path))?;
    let status = http::read_head_exactly(&mut upstream)?;
    if status != 200 {
        return Err(io::Error::other(format!("the source answered {status}")));
    }
    upstream.set_nonblocking(true)?;
    Ok(upstream)
}

//! Viewers: many that read whatever comes at once, one that barely reads, and one that waits for its first picture.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv};

use crate::http;
use crate::transport_stream::{Continuity, FirstKeyFrame, Packets};

const RECV_BYTES_MAX: usize = 1 << 20;
/// A refused viewer comes again after this: a daemon may start its channels one after another.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// What a viewer does with the bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Counts them; the kernel throws them away without copying.
    Count,
    /// Looks whether packets are missing.
    Check,
}

/// Viewers at work, on a thread of their own. Dropping them closes all.
pub struct Viewers {
    shared: Arc<Shared>,
    watching: Option<JoinHandle<()>>,
}

struct Shared {
    ending: AtomicBool,
    tallies: Vec<Tally>,
}

#[derive(Default)]
struct Tally {
    bytes: AtomicU64,
    gaps: AtomicU64,
    streaming: AtomicBool,
}

/// What the viewers had at one moment.
pub struct Sample {
    /// Bytes of stream of each viewer, since it came.
    pub bytes: Vec<u64>,
    /// Places where packets were missing, over all viewers; 0 unless they check.
    pub gaps: u64,
    /// Viewers that are being served.
    pub streaming_len: usize,
}

impl Viewers {
    /// Opens one viewer for each path, in order, and has them read until dropped.
    pub fn start(address: SocketAddr, paths: Vec<String>, care: Care) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let tallies = paths.iter().map(|_| Tally::default()).collect();
        let shared = Arc::new(Shared { ending: AtomicBool::new(false), tallies });
        let watching = thread::spawn({
            let shared = shared.clone();
            move || watch(address, &paths, care, &epoll, &shared)
        });
        Ok(Self { shared, watching: Some(watching) })
    }

    /// Reads the tallies.
    pub fn sample(&self) -> Sample {
        let tallies = &self.shared.tallies;
        Sample {
            bytes: tallies.iter().map(|tally| tally.bytes.load(Ordering::Relaxed)).collect(),
            gaps: tallies.iter().map(|tally| tally.gaps.load(Ordering::Relaxed)).sum(),
            streaming_len: tallies.iter().filter(|tally| tally.streaming.load(Ordering::Relaxed)).count(),
        }
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        self.watching.take().map(JoinHandle::join);
    }
}

/// One viewer of many.
struct Seat {
    socket: Option<TcpStream>,
    open_at: Instant,
    /// Of the answer, until it is whole.
    head: Vec<u8>,
    packets: Packets,
    continuity: Continuity,
}

fn watch(address: SocketAddr, paths: &[String], care: Care, epoll: &Epoll, shared: &Shared) {
    let now = Instant::now();
    let mut seats: Vec<Seat> = paths
        .iter()
        .map(|_| Seat {
            socket: None,
            open_at: now,
            head: Vec::new(),
            packets: Packets::default(),
            continuity: Continuity::new(),
        })
        .collect();
    let mut buffer = vec![0; RECV_BYTES_MAX];
    let mut events = [EpollEvent::empty(); 64];
    while !shared.ending.load(Ordering::Relaxed) {
        for (index, seat) in seats.iter_mut().enumerate() {
            let untried = seat.socket.is_none() && shared.tallies[index].bytes.load(Ordering::Relaxed) == 0;
            if untried && Instant::now() >= seat.open_at {
                seat.open_at = Instant::now() + RETRY_AFTER;
                seat.head.clear();
                seat.socket = open(address, &paths[index], epoll, index).ok();
            }
        }
        let events_len = epoll.wait(&mut events, EpollTimeout::from(50_u16)).unwrap_or(0);
        for event in &events[..events_len] {
            let index = event.data() as usize;
            if !matches!(seats[index].read(care, &mut buffer, &shared.tallies[index]), Ok(len) if len > 0) {
                seats[index].socket = None;
                shared.tallies[index].streaming.store(false, Ordering::Relaxed);
            }
        }
    }
}

fn open(address: SocketAddr, path: &str, epoll: &Epoll, index: usize) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    socket.write_all(&http::request(address, path))?;
    socket.set_nonblocking(true)?;
    epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
    Ok(socket)
}

impl Seat {
    /// Reads once, and gives how much. 0 and errors are the end of this connection.
    fn read(&mut self, care: Care, buffer: &mut [u8], tally: &Tally) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else { return Ok(0) };
        if !tally.streaming.load(Ordering::Relaxed) {
            let len = socket.read(&mut buffer[..4096])?;
            self.head.extend_from_slice(&buffer[..len]);
            if let Some((status, head_len)) = http::parse_head(&self.head)? {
                if status != 200 {
                    return Ok(0);
                }
                tally.streaming.store(true, Ordering::Relaxed);
                let body = self.head.split_off(head_len);
                self.count(care, &body, tally);
            }
            return Ok(len);
        }
        if care == Care::Check {
            let len = socket.read(buffer)?;
            self.count(care, &buffer[..len], tally);
            return Ok(len);
        }
        let len = recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC)?;
        tally.bytes.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }

    fn count(&mut self, care: Care, body: &[u8], tally: &Tally) {
        tally.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        if care == Care::Check {
            self.packets.feed(body, |packet| self.continuity.on(&packet));
            tally.gaps.store(self.continuity.gaps, Ordering::Relaxed);
        }
    }
}

/// A viewer that reads 1 kB a second. Dropping it closes it.
pub struct SlowViewer {
    ending: Arc<AtomicBool>,
    watching: Option<JoinHandle<()>>,
}

impl SlowViewer {
    /// Opens it.
    pub fn start(address: SocketAddr, path: &str) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.write_all(&http::request(address, path))?;
        let ending = Arc::new(AtomicBool::new(false));
        let watching = thread::spawn({
            let ending = ending.clone();
            move || {
                let mut buffer = [0; 100];
                while !ending.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(100));
                    let _closed_by_daemon = socket.read(&mut buffer);
                }
            }
        });
        Ok(Self { ending, watching: Some(watching) })
    }
}

impl Drop for SlowViewer {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.watching.take().map(JoinHandle::join);
    }
}

/// How long a viewer who comes now waits for the first byte of the stream.
pub fn wait_for_first_byte(address: SocketAddr, path: &str) -> io::Result<Duration> {
    wait_until(address, path, |_| true)
}

/// How long a viewer who comes now waits for the first byte of a key frame with a PAT and a PMT before it.
pub fn wait_for_key_frame(address: SocketAddr, path: &str) -> io::Result<Duration> {
    let (mut packets, mut first) = (Packets::default(), FirstKeyFrame::default());
    wait_until(address, path, |body| {
        let mut found = false;
        packets.feed(body, |packet| found |= first.on(&packet));
        found
    })
}

fn wait_until(address: SocketAddr, path: &str, mut arrived: impl FnMut(&[u8]) -> bool) -> io::Result<Duration> {
    let began = Instant::now();
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.write_all(&http::request(address, path))?;
    let status = http::read_head_exactly(&mut socket)?;
    if status != 200 {
        return Err(io::Error::other(format!("{path} was answered with {status}")));
    }
    let mut buffer = vec![0; RECV_BYTES_MAX];
    while began.elapsed() < Duration::from_secs(20) {
        let len = socket.read(&mut buffer)?;
        if len == 0 {
            return Err(io::Error::other(format!("{path} ended before what was waited for")));
        }
        if arrived(&buffer[..len]) {
            return Ok(began.elapsed());
        }
    }
    Err(io::Error::other(format!("{path} did not bring what was waited for within 20 s")))
}

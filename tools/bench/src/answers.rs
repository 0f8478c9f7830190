//! Short questions instead of streams: documents over HTTP, and discovery, one at a time or as a flood.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::servers::DISCOVERY;
use crate::{Outcome, http, pause};

/// Any device, as old clients ask. Source: `hdhomerun_discover_find_devices` of libhdhomerun.
pub const SEARCH: [u8; 20] = *b"\x00\x02\x00\x0c\x01\x04\xff\xff\xff\xff\x02\x04\xff\xff\xff\xff\x73\xcc\x7d\x8f";
/// The shortest search there is, of new clients: a tuner, of any id.
const SHORTEST: [u8; 14] = *b"\x00\x02\x00\x06\x01\x04\x00\x00\x00\x01\x39\x30\x77\xe7";
/// Another device's id; not answered.
const FOREIGN: [u8; 20] = *b"\x00\x02\x00\x0c\x01\x04\x00\x00\x00\x01\x02\x04\x10\xaa\x54\x74\xf1\xd2\x8d\xe6";
/// The check sum is wrong; not answered.
const BROKEN: [u8; 14] = *b"\x00\x02\x00\x06\x01\x04\x00\x00\x00\x01\x39\x30\x77\xe8";

/// How many clients ask at a time.
const CLIENTS_LEN: usize = 4;
/// Sent at once, before the time is looked at again.
const PIECE_LEN: u64 = 100;

/// How many answers a second several clients get, each of which asks on a new connection as soon as it has an answer.
///
/// # Errors
/// An answer was not 200, or had another length.
pub fn requests_per_second(address: SocketAddr, path: &str, body_bytes: usize, time: Duration) -> Outcome<f64> {
    let (ending, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    let asked = thread::scope(|scope| {
        let client = || -> io::Result<()> {
            let mut answer = Vec::with_capacity(body_bytes + 4096);
            while !ending.load(Ordering::Relaxed) {
                ask(address, path, &mut answer)?;
                let head = http::parse_head(&answer)?;
                if !head.is_some_and(|(status, head_len)| status == 200 && answer.len() - head_len == body_bytes) {
                    return Err(io::Error::other("an answer was not what it should be"));
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let clients: Vec<_> = (0..CLIENTS_LEN).map(|_| scope.spawn(client)).collect();
        let waited = pause(time);
        ending.store(true, Ordering::Relaxed);
        let asked: io::Result<()> =
            clients.into_iter().try_for_each(|client| client.join().unwrap_or(Err(io::ErrorKind::Other.into())));
        waited.and(asked.map_err(Into::into))
    });
    asked?;
    Ok(count.into_inner() as f64 / began.elapsed().as_secs_f64())
}

fn ask(address: SocketAddr, path: &str, answer: &mut Vec<u8>) -> io::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.write_all(&http::request(address, path))?;
    answer.clear();
    socket.read_to_end(answer)?;
    Ok(())
}

/// Asks a hundred times a second; how long each answer took, in milliseconds. One that does not come counts as a second.
pub fn waits_ms(address: SocketAddr, time: Duration) -> Outcome<Vec<f64>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (began, mut waits) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let asked = Instant::now();
        socket.send_to(&SEARCH, address)?;
        let answered = socket.recv(&mut [0; 1500]).is_ok();
        waits.push(if answered { asked.elapsed().as_secs_f64() * 1e3 } else { 1_000.0 });
        pause(Duration::from_millis(10).saturating_sub(asked.elapsed()))?;
    }
    Ok(waits)
}

/// Sends back what comes, for a while: what a datagram's way there and back costs without any thought.
pub fn echo(time: Duration) -> Outcome<Vec<f64>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (address, ending) = (socket.local_addr()?, AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut datagram = [0; 1500];
            while !ending.load(Ordering::Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut datagram) {
                    let _lost = socket.send_to(&datagram[..len], from);
                }
            }
        });
        let waits = waits_ms(address, time);
        ending.store(true, Ordering::Relaxed);
        waits
    })
}

/// Sends so many datagrams a second, half of them such as are answered; how many a second it really were.
///
/// Nobody waits for the answers: they are lost when the socket is full of them.
pub fn flood(per_second: u64, time: Duration) -> Outcome<f64> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let (began, mut sent) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        let due = began.elapsed().as_micros() as u64 * per_second / 1_000_000;
        while sent < due {
            for index in 0..PIECE_LEN {
                let datagram: &[u8] = match (sent + index) % 4 {
                    0 => &SEARCH,
                    1 => &FOREIGN,
                    2 => &SHORTEST,
                    _ => &BROKEN,
                };
                socket.send_to(datagram, DISCOVERY)?;
            }
            sent += PIECE_LEN;
        }
        pause(Duration::from_millis(1))?;
    }
    Ok(sent as f64 / began.elapsed().as_secs_f64())
}

/// Bytes of the answer for each byte of the shortest search.
pub fn amplification() -> Outcome<f64> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.send_to(&SHORTEST, DISCOVERY)?;
    Ok(socket.recv(&mut [0; 1500])? as f64 / SHORTEST.len() as f64)
}

//! A small RTSP server that stands in for a camera: a transport stream in RTP, between the answers on one connection.
//!
//! Source: RFC 2326, 10.12 (interleaving); RFC 3551 (payload type 33).

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PACKET: usize = 188;
/// What a file of `make_ts` plays at, and half as much again.
const BITS_PER_S: u64 = 1_500_000;

/// The server; it serves as long as the test runs.
pub(crate) struct Camera {
    address: SocketAddr,
    is_silent: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Camera {
    /// Shows a file over and over. With `login`, `name:password` in base64, nobody else sees it.
    pub(crate) fn new(file: &Path, login: Option<&'static str>) -> Self {
        let bytes = Arc::new(std::fs::read(file).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (is_silent, asked) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (silence, heard) = (Arc::clone(&is_silent), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (bytes, silence, heard) = (Arc::clone(&bytes), Arc::clone(&silence), Arc::clone(&heard));
                // The client may leave at any moment.
                std::thread::spawn(move || serve(stream, &bytes, login, &silence, &heard).unwrap_or_default());
            }
        });
        Self { address, is_silent, asked }
    }

    /// `user` is `name:password@`, or nothing.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("rtsp://{user}{}/stream?channel=1", self.address)
    }

    /// From now on it sends nothing, on connections that stay open; or it does again.
    pub(crate) fn be_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// The first lines of all requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    bytes: &[u8],
    login: Option<&str>,
    silence: &AtomicBool,
    heard: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => request.push(line.to_owned()),
            }
        }
        let method = request.first().and_then(|line| line.split(' ').next()).unwrap_or_default().to_owned();
        heard.lock().unwrap().extend(request.first().cloned());
        let header = |name: &str| {
            let found = request.iter().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name);
            found.map_or("", |(_, value)| value).to_owned()
        };
        let cseq = header("CSeq");
        let is_known = login.is_none_or(|login| header("Authorization") == format!("Basic {login}"));
        if method != "OPTIONS" && !is_known {
            write!(stream, "RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n")?;
            continue;
        }
        let (headers, body) = match method.as_str() {
            "OPTIONS" => ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n".to_owned(), ""),
            "DESCRIBE" => {
                let sdp =
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track1\r\n";
                (format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", sdp.len()), sdp)
            }
            "SETUP" if !header("Transport").contains("TCP") => {
                write!(stream, "RTSP/1.0 461 Unsupported Transport\r\nCSeq: {cseq}\r\n\r\n")?;
                continue;
            }
            "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n".to_owned(), ""),
            _ => ("Session: 7\r\n".to_owned(), ""),
        };
        write!(stream, "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{headers}\r\n{body}")?;
        if method == "PLAY" {
            play(&mut stream, bytes, silence)?;
        }
    }
}

/// Seven packets of transport stream in each of RTP, at the pace at which the file plays.
fn play(stream: &mut TcpStream, bytes: &[u8], silence: &AtomicBool) -> io::Result<()> {
    let mut sequence: u16 = 0;
    let mut stamp: u32 = 0;
    for piece in bytes.chunks(7 * PACKET).cycle() {
        while silence.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let rtp_len = u16::try_from(12 + piece.len()).unwrap();
        let mut packet = vec![b'$', 0];
        packet.extend(rtp_len.to_be_bytes());
        packet.extend([0x80, 33]);
        packet.extend(sequence.to_be_bytes());
        packet.extend(stamp.to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend(piece);
        stream.write_all(&packet)?;
        let us = piece.len() as u64 * 8_000_000 / BITS_PER_S;
        sequence = sequence.wrapping_add(1);
        stamp = stamp.wrapping_add(u32::try_from(us * 9 / 100).unwrap());
        std::thread::sleep(Duration::from_micros(us));
    }
    Ok(())
}

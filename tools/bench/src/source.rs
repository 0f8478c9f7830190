//! A live source: every channel is the same file, broadcast at its own pace from the moment the source starts.
//!
//! Live means: who comes later gets what is sent now, in the middle of things, at the nearest packet. The file is of
//! constant rate, so a position in it is a point in time, and it is longer than any measurement, so time never jumps
//! back; at its end the connections close.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http;

/// Of the stream, with everything in it.
pub const BYTES_PER_SECOND: u64 = 1_000_000;
/// How long the source can broadcast.
pub const SECONDS_MAX: u64 = 150;
const TICK: Duration = Duration::from_millis(20);
const PACKET_BYTES: u64 = 188;
/// Between neighbouring channels, so that their key frames do not come all at once.
const STAGGER: Duration = Duration::from_millis(97);

/// A source at work. Dropping it ends all of it.
pub struct Source {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Source {
    /// Broadcasts `file` on `address` from now on, as `/0.ts`, `/1.ts` and so on.
    pub fn start(address: SocketAddr, file: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let file = Arc::new(File::open(file)?);
        let ending = Arc::new(AtomicBool::new(false));
        let listening = thread::spawn({
            let ending = ending.clone();
            move || listen(&listener, &file, &ending)
        });
        Ok(Self { address, ending, listening: Some(listening) })
    }

    /// Waits until the source ends, which it does not by itself.
    pub fn join(mut self) {
        self.listening.take().map(JoinHandle::join);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        let _woken = TcpStream::connect(self.address);
        self.listening.take().map(JoinHandle::join);
    }
}

fn listen(listener: &TcpListener, file: &Arc<File>, ending: &Arc<AtomicBool>) {
    let started = Instant::now();
    let mut clients = Vec::new();
    for client in listener.incoming() {
        if ending.load(Ordering::Relaxed) {
            break;
        }
        let (Ok(client), file, ending) = (client, file.clone(), ending.clone()) else { continue };
        // What a client may do wrong is its own affair: the measurement sees it.
        clients.push(thread::spawn(move || feed(client, &file, started, &ending).unwrap_or_default()));
    }
    for client in clients {
        let _panicked = client.join();
    }
}

fn feed(mut client: TcpStream, file: &File, started: Instant, ending: &AtomicBool) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    client.set_write_timeout(Some(Duration::from_secs(2)))?;
    let Request { is_head, channel_index } = read_request(&mut client)?;
    client.write_all(http::STREAM_HEAD)?;
    if is_head {
        return Ok(());
    }
    let started = started.checked_sub(STAGGER * channel_index).unwrap_or(started);
    let mut position = live_position(started);
    let mut chunk = vec![0; 64 << 10];
    let mut tick_at = Instant::now();
    while !ending.load(Ordering::Relaxed) {
        tick_at += TICK;
        thread::sleep(tick_at.saturating_duration_since(Instant::now()));
        let due = live_position(started);
        while position < due {
            let piece_len = (due - position).min(chunk.len() as u64) as usize;
            file.read_exact_at(&mut chunk[..piece_len], position)?;
            client.write_all(&chunk[..piece_len])?;
            position += piece_len as u64;
        }
    }
    Ok(())
}

/// Where in the file the broadcast is now, at a whole packet.
fn live_position(started: Instant) -> u64 {
    started.elapsed().as_micros() as u64 * BYTES_PER_SECOND / 1_000_000 / PACKET_BYTES * PACKET_BYTES
}

struct Request {
    is_head: bool,
    channel_index: u32,
}

fn read_request(client: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = [0; 4096];
    let mut bytes_len = 0;
    while !bytes[..bytes_len].ends_with(b"\r\n\r\n") {
        match client.read(&mut bytes[bytes_len..])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            len => bytes_len += len,
        }
    }
    let text = String::from_utf8_lossy(&bytes[..bytes_len]);
    let channel = text.split(' ').nth(1).and_then(|path| path.strip_prefix('/')?.strip_suffix(".ts")?.parse().ok());
    Ok(Request { is_head: text.starts_with("HEAD "), channel_index: channel.unwrap_or(0) })
}

/// Makes the file: 8 Mbit/s of moving picture and tone, H.264 and AAC, a key frame every second.
///
/// The rate is filled by noise in the picture, not by null packets, which every remuxer takes out.
pub fn make_file(file: &Path) -> io::Result<()> {
    let seconds = SECONDS_MAX.to_string();
    let rate = (BYTES_PER_SECOND * 8).to_string();
    #[rustfmt::skip]
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25,noise=alls=20:allf=t"])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &seconds])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args(["-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-x264-params", "nal-hrd=cbr"])
        .args(["-b:v", "7300k", "-minrate", "7300k", "-maxrate", "7300k", "-bufsize", "3650k"])
        .args(["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-muxrate", &rate, "-f", "mpegts"])
        .arg(file)
        .stdin(Stdio::null())
        .status()?;
    let bytes = file.metadata()?.len();
    if !status.success() || bytes < SECONDS_MAX * BYTES_PER_SECOND {
        return Err(io::Error::other(format!("FFmpeg made {bytes} bytes for the source and left with {status}")));
    }
    Ok(())
}

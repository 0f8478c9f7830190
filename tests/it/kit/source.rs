//! A local HTTP server that stands in for a provider.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a source answers with.
#[derive(Clone, PartialEq)]
pub(crate) enum Manner {
    /// One file, whatever is asked, as fast as it can.
    File(PathBuf),
    /// One file, whatever is asked, at this rate in bits a second, and then over again. When the source is told another
    /// manner, it ends at a key frame.
    Live(PathBuf, u64),
    /// The files of a folder, or the part of one that is asked for.
    Folder(PathBuf),
    /// Takes the request and says nothing.
    Silent,
    /// Always this answer: head and body as they stand.
    Fixed(Vec<u8>),
    /// The first part of an answer, and the second once the source is told another manner.
    Halting(Vec<u8>, Vec<u8>),
}

impl Manner {
    /// A document, well served.
    pub(crate) fn document(body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        Self::Fixed([head.as_bytes(), body].concat())
    }

    /// A document that comes in two parts.
    pub(crate) fn halting(first: &str, second: &str) -> Self {
        Self::Halting([HEAD, first.as_bytes()].concat(), second.into())
    }
}

#[derive(Default)]
struct Counts {
    all: AtomicUsize,
    open: AtomicUsize,
}

/// The server; it serves as long as the test runs.
pub(crate) struct Source {
    address: SocketAddr,
    counts: Arc<Counts>,
    manner: Arc<Mutex<Manner>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Source {
    pub(crate) fn file(path: &Path) -> Self {
        Self::serve(Manner::File(path.to_owned()))
    }

    /// At the pace at which the file plays; it must be CBR, or short enough for that not to matter.
    pub(crate) fn live(path: &Path) -> Self {
        // Twice the mean rate of the test picture, so that FFmpeg always has enough.
        let bits = fs::metadata(path).unwrap().len() * 8;
        Self::live_at(path, bits / 40)
    }

    pub(crate) fn live_at(path: &Path, bits_per_s: u64) -> Self {
        Self::serve(Manner::Live(path.to_owned(), bits_per_s))
    }

    pub(crate) fn folder(path: &Path) -> Self {
        Self::serve(Manner::Folder(path.to_owned()))
    }

    pub(crate) fn silent() -> Self {
        Self::serve(Manner::Silent)
    }

    pub(crate) fn fixed(answer: impl Into<Vec<u8>>) -> Self {
        Self::serve(Manner::Fixed(answer.into()))
    }

    pub(crate) fn document(body: impl AsRef<[u8]>) -> Self {
        Self::serve(Manner::document(body))
    }

    /// From now on it answers like this.
    pub(crate) fn turn(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends everybody there.
    pub(crate) fn redirecting(to: &str) -> Manner {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        Manner::Fixed(head.into_bytes())
    }

    /// Connections that asked for something, since the start.
    pub(crate) fn connections(&self) -> usize {
        self.counts.all.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub(crate) fn open_now(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// The requests so far, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn serve(manner: Manner) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0), manner)
    }

    /// On an address of the network that this thread is in.
    pub(crate) fn at(address: impl ToSocketAddrs, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (address, counts) = (listener.local_addr().unwrap(), Arc::<Counts>::default());
        let manner = Arc::new(Mutex::new(manner));
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&heads);
        let (shared, turned) = (Arc::clone(&counts), Arc::clone(&manner));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, counts, heads) = (Arc::clone(&turned), Arc::clone(&shared), Arc::clone(&noted));
                std::thread::spawn(move || {
                    let reader = BufReader::new(stream.try_clone().unwrap());
                    let lines: Vec<String> =
                        reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                    let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else { return };
                    let range = lines.iter().find_map(|line| range(line));
                    heads.lock().unwrap().push(lines.join("\n").to_lowercase());
                    counts.all.fetch_add(1, Ordering::SeqCst);
                    counts.open.fetch_add(1, Ordering::SeqCst);
                    // The client may leave at any moment.
                    let _ = answer(stream, &manner, path, range);
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, counts, manner, heads }
    }
}

/// Whether a packet begins a unit where decoding can start, in the stream that has the clock.
fn starts_key_frame(packet: &[u8]) -> bool {
    packet.len() == 188 && packet[1] & 0x40 != 0 && packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x50 == 0x50
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n";

/// The first byte of a range that a header asks for, and the last if it names one.
fn range(line: &str) -> Option<(usize, Option<usize>)> {
    let (name, value) = line.split_once(": bytes=")?;
    let (from, to) = value.split_once('-')?;
    (name.eq_ignore_ascii_case("range")).then(|| Some((from.parse().ok()?, to.parse().ok())))?
}

fn answer(
    mut stream: TcpStream,
    turned: &Mutex<Manner>,
    path: &str,
    range: Option<(usize, Option<usize>)>,
) -> std::io::Result<()> {
    let manner = turned.lock().unwrap().clone();
    match &manner {
        Manner::File(file) => {
            stream.write_all(HEAD)?;
            std::io::copy(&mut fs::File::open(file)?, &mut stream)?;
        }
        Manner::Live(file, bits_per_s) => {
            stream.write_all(HEAD)?;
            let bytes = fs::read(file)?;
            let (mut at, mut due, mut sent) = (Instant::now(), 0, 0);
            loop {
                std::thread::sleep(Duration::from_millis(20));
                // Another pace, or none, is for whoever listens already; anything else for those who come.
                let (bits_per_s, ends) = match &*turned.lock().unwrap() {
                    Manner::Live(_, turned) => (*turned, false),
                    Manner::Silent => (0, false),
                    _ => (*bits_per_s, true),
                };
                due += u64::try_from(at.elapsed().as_micros()).unwrap() * bits_per_s / 8_000_000;
                at = Instant::now();
                while sent < due {
                    let at = usize::try_from(sent).unwrap() % bytes.len();
                    let piece = &bytes[at..bytes.len().min(at + 188 * 56)];
                    if ends {
                        if let Some(packet) = piece.chunks(188).position(starts_key_frame) {
                            return stream.write_all(&piece[..packet * 188]);
                        }
                    }
                    stream.write_all(piece)?;
                    sent += piece.len() as u64;
                }
            }
        }
        Manner::Folder(folder) => match fs::read(folder.join(path.trim_start_matches('/'))) {
            Ok(bytes) => {
                let Some((from, to)) = range.filter(|(from, _)| *from < bytes.len()) else {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        bytes.len()
                    );
                    stream.write_all(head.as_bytes())?;
                    return stream.write_all(&bytes);
                };
                let part = &bytes[from..to.map_or(bytes.len(), |to| bytes.len().min(to + 1))];
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n",
                    from + part.len() - 1,
                    bytes.len(),
                    part.len()
                );
                stream.write_all(head.as_bytes())?;
                stream.write_all(part)?;
            }
            Err(_) => stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n")?,
        },
        Manner::Silent => std::thread::sleep(Duration::from_secs(60)),
        Manner::Fixed(bytes) => stream.write_all(bytes)?,
        Manner::Halting(first, second) => {
            stream.write_all(first)?;
            while *turned.lock().unwrap() == manner {
                std::thread::sleep(Duration::from_millis(10));
            }
            stream.write_all(second)?;
        }
    }
    Ok(())
}

//! Faults, one test each, named by its number in the catalogue: what comes in, what dies, who leaves, what runs out.
//!
//! Whatever the fault, the daemon neither ends nor waits, no other channel notices, and what a viewer is told is true.
//! Faults that need hours are told in virtual time beside the rules; here is what real processes, sockets and a real
//! kernel can show within two minutes. Not here:
//!
//! - U10, U11: flapping every 40 or 75 seconds, for hours; golden time-lines of the rules.
//! - U07, half of it, U20, half of it, and U23: redirects into a house, resolvers and address families stand in `reach`.
//! - F06: a process that cannot be killed. It takes a broken driver; the rules are told "not reaped".
//! - F15: reused process ids. A race that a test cannot win; the simulator plays it.
//! - F18: an encoder that dies; in `profiles.rs`. F22: a day, in virtual time.
//! - K09 is F20: whatever the kernel is short of, it says so at the same place. K13 wants no test.

mod child;
mod kernel;
pub(crate) mod upstream;
mod viewer;

use crate::kit::fakeff::Metrics;
use crate::kit::http::Answer;
use crate::kit::{Daemon, http};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PACKET: usize = 188;
/// A moment on a busy machine.
const MOMENT: Duration = Duration::from_millis(1_500);

/// A refusal, as the viewer got it.
#[derive(Debug)]
struct Refused {
    /// `803` and so on.
    code: String,
    wait_s: u64,
    took: Duration,
}

/// Tunes, and must be refused, with a reason and with how long to wait.
fn refused(daemon: &Daemon, channel: usize) -> Refused {
    refused_at(daemon, &format!("/auto/v{channel}"))
}

fn refused_at(daemon: &Daemon, target: &str) -> Refused {
    let asked = Instant::now();
    // The head only: a picture in place of a refusal would never end.
    let (answer, _) = http::open(daemon.address(), 5004, target);
    let took = asked.elapsed();
    assert_eq!(answer.status, 503, "{target}: {answer:?}");
    let code = answer.header("x-hdhomerun-error").expect("a reason")[..3].to_owned();
    let wait_s = answer.header("retry-after").expect("how long to wait").parse().unwrap();
    assert!((1..=120).contains(&wait_s), "{answer:?}");
    assert!(took < Duration::from_secs(10) + MOMENT, "{target} was answered after {took:?}");
    Refused { code, wait_s, took }
}

/// Tunes, and must get a picture.
fn open(daemon: &Daemon, channel: usize) -> TcpStream {
    open_at(daemon, &format!("/auto/v{channel}")).1
}

fn open_at(daemon: &Daemon, target: &str) -> (Answer, TcpStream) {
    let (answer, stream) = http::open(daemon.address(), 5004, target);
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    (answer, stream)
}

/// Failures of this class, over all channels.
fn failures(daemon: &Daemon, class: &str) -> u32 {
    whole(Metrics::of(daemon).must(&format!("tunerd_failure_total{{class=\"{class}\"}}")))
}

/// Failures of any class.
pub(crate) fn all_failures(daemon: &Daemon) -> u32 {
    whole(Metrics::of(daemon).sum("tunerd_failure_total"))
}

/// Restarts of all channels.
fn restarts(daemon: &Daemon) -> u32 {
    whole(Metrics::of(daemon).sum("tunerd_channel_restart_total"))
}

/// Whether the breaker of any channel is open.
fn is_open(daemon: &Daemon) -> bool {
    Metrics::of(daemon).all("tunerd_circuit_breaker_state").any(|(_, state)| state > 1.5)
}

/// Whether this alarm is raised.
fn is_raised(daemon: &Daemon, alarm: &str) -> bool {
    let name = format!("name=\"{alarm}\"");
    Metrics::of(daemon).all("tunerd_alarms").any(|(labels, raised)| labels.contains(&name) && raised > 0.5)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test")]
pub(crate) fn whole(count: f64) -> u32 {
    count.round() as u32
}

/// Viewers of all tuners, as the page shows them.
fn viewers_len(daemon: &Daemon) -> usize {
    let status = daemon.status();
    status["tuners"].as_array().unwrap().iter().map(|tuner| tuner["viewers"].as_array().unwrap().len()).sum()
}

/// What came, and when.
type Pieces = Arc<Mutex<Vec<(Instant, Vec<u8>)>>>;

/// Somebody who watches in the background and keeps all he gets.
struct Viewer {
    pieces: Pieces,
    over: Arc<AtomicBool>,
    leave: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Viewer {
    /// Gets a picture, and goes on.
    fn watch(daemon: &Daemon, channel: usize) -> Self {
        Self::of(open(daemon, channel))
    }

    fn of(mut stream: TcpStream) -> Self {
        let pieces = Pieces::default();
        let (over, leave) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (kept, ended, leaving) = (Arc::clone(&pieces), Arc::clone(&over), Arc::clone(&leave));
        let thread = std::thread::spawn(move || {
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut buffer = vec![0; 64 * 1024];
            while !leaving.load(Ordering::Relaxed) {
                match stream.read(&mut buffer) {
                    Ok(len @ 1..) => kept.lock().unwrap().push((Instant::now(), buffer[..len].to_vec())),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            ended.store(true, Ordering::Relaxed);
        });
        Self { pieces, over, leave, thread: Some(thread) }
    }

    /// Whether the daemon has ended his stream.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// All he got so far, in whole packets.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.pieces.lock().unwrap().iter().flat_map(|(_, piece)| piece.clone()).collect();
        bytes.truncate(bytes.len() / PACKET * PACKET);
        bytes
    }

    /// Whether pictures came in the last moment.
    fn has_picture(&self) -> bool {
        let pieces = self.pieces.lock().unwrap();
        let recent = pieces.iter().filter(|(at, _)| at.elapsed() < MOMENT).map(|(_, piece)| count(piece).1);
        recent.sum::<usize>() > 20
    }

    /// Packets that carry nothing, and others, of those that came in this span.
    fn packets_between(&self, from: Instant, to: Instant) -> (usize, usize) {
        let pieces = self.pieces.lock().unwrap();
        let inside = pieces.iter().filter(|(at, _)| (from..to).contains(at)).flat_map(|(_, piece)| piece.clone());
        count(&inside.collect::<Vec<u8>>())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Packets that carry nothing, and others.
fn count(bytes: &[u8]) -> (usize, usize) {
    let is_null = |packet: &&[u8]| packet[1] & 0x1F == 0x1F && packet[2] == 0xFF;
    let nulls = bytes.chunks_exact(PACKET).filter(is_null).count();
    (nulls, bytes.len() / PACKET - nulls)
}

/// How long the slowest of many small questions took, without the worst twentieth.
fn slow_answer(daemon: &Daemon, questions: usize) -> Duration {
    let mut times: Vec<Duration> = (0..questions)
        .map(|_| {
            let asked = Instant::now();
            assert_eq!(daemon.get("/discover.json").status, 200);
            std::thread::sleep(Duration::from_millis(20));
            asked.elapsed().saturating_sub(Duration::from_millis(20))
        })
        .collect();
    times.sort();
    times[questions * 95 / 100]
}

/// A program of the shell that gives the daemon a mount namespace of its own, does `prepare` in it, and becomes it.
pub(crate) fn mounting(prepare: &str) -> Vec<String> {
    let flags = if nix::unistd::geteuid().is_root() { "--mount" } else { "-Urm" };
    ["unshare", flags, "--", "sh", "-c", &format!("set -e; {prepare}; exec \"$0\" \"$@\"")].map(str::to_owned).to_vec()
}

pub(crate) fn as_strs(parts: &[String]) -> Vec<&str> {
    parts.iter().map(String::as_str).collect()
}

/// Sends a request as it stands, without waiting for the answer.
fn send_raw(daemon: &Daemon, request: &str) -> TcpStream {
    let mut stream = http::connect(daemon.address(), 5004);
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

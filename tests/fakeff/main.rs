//! Stands in for FFmpeg and ffprobe in tests, and misbehaves as it is told.
//!
//! It takes our real arguments and does what the test's script says about the address in them; see [`script`]. It keeps
//! a log of its own, which is the independent witness of what the daemon really started. Modes:
//!
//! | mode | does |
//! |---|---|
//! | `live` | plays; also what happens without any other mode |
//! | `start_delay=ms` | the first byte comes so late |
//! | `silent` | never a byte |
//! | `exit_after=ms`, `exit_code=n`, `signal=n` | ends then, with this code or by this signal; `partial_packet`: in the midst of a packet |
//! | `silence_after=ms`, `freeze_after=ms` | no byte any more; no picture any more |
//! | `close_stdout=ms` | closes its output then, and lives on |
//! | `garbage`, `html`, `no_pat`, `nulls` | what comes out instead of a stream |
//! | `pcr_jump=ms`, `change_tables=ms` | then the clock jumps by two hours; the tables change |
//! | `pts_base=ticks`, `bitrate=bits`, `speed=n`, `lossy`, `scrambled`, `unsuited`, `no_audio` | kinds of stream; `speed` times real time |
//! | `trickle=bytes`, `bytewise`, `odd_sizes`, `dup_output` | so many bytes a second, one at a time; ways of writing |
//! | `stderr_flood`, `huge_line=mib`, `says` | stderr as fast as it goes; one line; a line a second |
//! | `usage_error`, `refused`, `dns`, `http_401` … `http_503`, `invalid` | says what FFmpeg says, and ends with 1 |
//! | `ignore_term` | lives on when asked to end |
//! | `fork_grandchild=ms`, `hold_stdout`, `setsid`, `orphans=n` | a child of its own that lives so long, keeps the output, leaves the group; many short ones |
//! | `grow_rss=mib`, `grow_data=mib`, `hog=threads` | so much more memory a second, used or only taken; busy loops |
//! | `escape` | tries what is forbidden to it, and logs what was not |
//! | `healthy`, `unhealthy`, `hang`, `flood`, `nonsense`, `crash`, `probe_delay=ms` | for ffprobe, in a line whose key begins with `probe ` |
#![expect(clippy::disallowed_methods, reason = "no daemon, and no executor")]
#![allow(clippy::let_underscore_must_use, reason = "who reads may be gone")]

mod escape;
mod probe;
mod script;
mod ts;

use nix::sys::signal::{SigSet, Signal, raise};
use script::{Modes, monotonic_ms};
use std::io::{Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Nobody needs one for longer, and a test that was killed must not leave any behind.
const LIFE_MAX: Duration = Duration::from_secs(48 * 3_600);

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args_os().map(|one| one.to_string_lossy().into_owned()).collect();
    let program = arguments.remove(0);
    if let [option, ms, rest @ ..] = &arguments[..] {
        if option == "--grandchild" {
            return grandchild(ms, rest.contains(&"--setsid".to_owned()));
        }
    }
    if program.rsplit('/').next().is_some_and(|name| name.contains("probe")) {
        return probe::run(&arguments);
    }
    // Before any thread starts, so that only the one that waits for it gets it.
    let mut terminate = SigSet::empty();
    terminate.add(Signal::SIGTERM);
    let _ = terminate.thread_block();

    let modes = Arc::new(Modes::find("start", &arguments));
    let address = arguments.iter().skip_while(|one| *one != "-i").nth(1).map_or("", String::as_str);
    let address: String = address.chars().take(200).collect();
    modes.log("start", &format!("address={address} modes={}", modes.text()));
    if let Some(pid) = modes.predecessor() {
        modes.log("overlap", &format!("other={pid}"));
    }
    let (heard, speaking) = (Arc::clone(&modes), Arc::clone(&modes));
    thread::spawn(move || hear_terminate(&terminate, &heard));
    thread::spawn(move || {
        thread::sleep(LIFE_MAX);
        speaking.log("end", "why=age");
        std::process::exit(1);
    });
    if let Some(code) = complain(&modes, &address) {
        return code;
    }
    misbehave(&modes);
    let Some(why) = play(&modes) else { return ExitCode::FAILURE };
    end(&modes, why)
}

fn hear_terminate(set: &SigSet, modes: &Modes) {
    while set.wait().is_ok() {
        modes.log("term", "");
        if !modes.has("ignore_term") {
            // As FFmpeg does after it has closed everything.
            std::process::exit(255);
        }
    }
}

/// Says what FFmpeg 5.1 says in the same case, and ends.
fn complain(modes: &Modes, address: &str) -> Option<ExitCode> {
    let said = modes.names().find_map(|name| {
        Some(match name {
            "usage_error" => "Unrecognized option 'stream_loop_forever'.\n\
                Error splitting the argument list: Option not found\n"
                .to_owned(),
            "refused" => format!(
                "[tcp @ 0x55649106e000] Connection to tcp://192.0.2.1:80 failed: Connection refused\n\
                 {address}: Connection refused\n"
            ),
            "dns" => format!(
                "[tcp @ 0x564d72c4d000] Failed to resolve hostname no-such-host.invalid: Name or service not known\n\
                 {address}: Input/output error\n"
            ),
            "http_401" => format!("{address}: Server returned 401 Unauthorized (authorization failed)\n"),
            "http_403" => format!(
                "[http @ 0x56471f9671c0] HTTP error 403 Forbidden\n{address}: Server returned 403 Forbidden (access denied)\n"
            ),
            "http_404" => format!(
                "[http @ 0x5570e64661c0] HTTP error 404 Not Found\n{address}: Server returned 404 Not Found\n"
            ),
            "http_503" => format!(
                "[http @ 0x55fda8a9e1c0] HTTP error 503 Service Unavailable\n{address}: Server returned 5XX Server Error reply\n"
            ),
            "invalid" => format!("{address}: Invalid data found when processing input\n"),
            _ => return None,
        })
    })?;
    if let Some(ms) = modes.number("start_delay", 0) {
        thread::sleep(Duration::from_millis(ms));
    }
    let _ = std::io::stderr().write_all(said.as_bytes());
    modes.log("end", "why=complaint");
    Some(ExitCode::from(code(modes, 1)))
}

fn code(modes: &Modes, otherwise: u64) -> u8 {
    modes.number("exit_code", otherwise).unwrap_or(otherwise).try_into().unwrap_or(1)
}

/// What goes on beside the stream.
fn misbehave(modes: &Arc<Modes>) {
    if let Some(ms) = modes.number("fork_grandchild", 15_000) {
        let mut command = myself(ms);
        if modes.has("setsid") {
            command.arg("--setsid");
        }
        if !modes.has("hold_stdout") {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let pid = command.spawn().map_or(0, |child| child.id());
        modes.log("grandchild", &format!("child={pid}"));
    }
    for _ in 0..modes.number("orphans", 1).unwrap_or(0) {
        let _ = myself(20).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
    if modes.has("stderr_flood") {
        thread::spawn(|| {
            let line = "[mpegts @ 0x55fd510119c0] DTS 8589934592 < 8589938192 out of order, and so on for ever\n";
            let block = line.repeat(800);
            while std::io::stderr().write_all(block.as_bytes()).is_ok() {}
        });
    }
    if let Some(mib) = modes.number("huge_line", 50) {
        thread::spawn(move || {
            let piece = b"\x1b[31m\xFF\xFE http://joe:hunter2@example.com/live/joe/hunter2/1.ts?token=sesame ";
            let block = piece.repeat(16 * 1024 / piece.len());
            for _ in 0..mib * 64 {
                let _ = std::io::stderr().write_all(&block);
            }
            let _ = std::io::stderr().write_all(b"\n");
        });
    }
    if modes.has("says") {
        thread::spawn(|| {
            loop {
                let _ = std::io::stderr().write_all(b"[h264 @ 0x5570e64661c0] error while decoding MB 3 1\n");
                thread::sleep(Duration::from_secs(1));
            }
        });
    }
    if modes.has("escape") {
        modes.log("escape", &format!("got={}", escape::tried()));
    }
    for (mode, touched) in [("grow_rss", true), ("grow_data", false)] {
        if let Some(mib) = modes.number(mode, 1) {
            let modes = Arc::clone(modes);
            thread::spawn(move || grow(usize::try_from(mib).unwrap_or(1), touched, &modes));
        }
    }
    for _ in 0..modes.number("hog", 1).unwrap_or(0) {
        thread::spawn(|| {
            let busy = AtomicBool::new(true);
            while busy.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
    }
}

/// Takes more memory ten times a second, and ends as FFmpeg does when there is no more.
fn grow(mib_a_s: usize, touched: bool, modes: &Modes) {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        let (mut piece, len) = (Vec::new(), mib_a_s * 1024 * 1024 / 10);
        if piece.try_reserve_exact(len).is_err() {
            let _ = std::io::stderr().write_all(b"Error while decoding stream #0:0: Cannot allocate memory\n");
            modes.log("end", "why=memory");
            std::process::exit(1);
        }
        if touched {
            piece.resize(len, 0x5A);
        }
        held.push(piece);
        thread::sleep(Duration::from_millis(100));
    }
}

/// This program once more, to be a grandchild.
fn myself(ms: u64) -> Command {
    let path = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut command = Command::new(path);
    command.args(["--grandchild", &ms.to_string()]).stdin(Stdio::null());
    command
}

fn grandchild(ms: &str, leave_group: bool) -> ExitCode {
    if leave_group {
        let _ = nix::unistd::setsid();
    }
    thread::sleep(Duration::from_millis(ms.parse().unwrap_or(0)));
    ExitCode::SUCCESS
}

/// Does what the modes say until it is time to end, and says why; `None` when nobody reads any more.
fn play(modes: &Modes) -> Option<&'static str> {
    let start = Instant::now();
    let at = |name: &str| modes.number(name, 0).map(|ms| start + Duration::from_millis(ms));
    let end = at("exit_after").or_else(|| modes.has("signal").then_some(start));
    let reached = |time: Option<Instant>| time.is_some_and(|time| Instant::now() >= time);
    // Sleeps until this time, or until the end if that comes first, and says whether it is the end.
    let sleep_until = |time: Instant| {
        let until = end.map_or(time, |end| end.min(time));
        thread::sleep(until.saturating_duration_since(Instant::now()));
        reached(end)
    };
    let for_ever = start + LIFE_MAX;
    if sleep_until(at("start_delay").unwrap_or(start)) {
        return Some("before");
    }
    if modes.has("silent") {
        sleep_until(for_ever);
        return Some("silent");
    }
    let mut out = Out { modes, begun: false };
    if modes.has("html") {
        let page = "<html><head><title>Error</title></head><body>This channel is not available.</body></html>\n";
        out.write(page.repeat(1_000).as_bytes())?;
        sleep_until(for_ever);
        return Some("html");
    }
    let (close, silence) = (at("close_stdout"), at("silence_after"));
    let (mut freeze, mut jump, mut change) = (at("freeze_after"), at("pcr_jump"), at("change_tables"));
    let mut maker = ts::Maker::new(ts::Kind {
        mark: modes.key().to_owned(),
        base_ticks: modes.number("pts_base", 126_000).unwrap_or(126_000),
        bits_per_s: modes.number("bitrate", 300_000).unwrap_or(300_000),
        no_tables: modes.has("no_pat"),
        no_video: false,
        no_audio: modes.has("no_audio"),
        scrambled: modes.has("scrambled"),
        lossy: modes.has("lossy"),
        unsuited: modes.has("unsuited"),
        nothing_but_nulls: modes.has("nulls"),
    });
    let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
    let step = Duration::from_millis(40) / u32::try_from(modes.number("speed", 1).unwrap_or(1).max(1)).unwrap_or(1);
    let mut due = Instant::now();
    loop {
        if reached(close) {
            // The daemon sees the end of the output, while the process stays.
            let null = std::fs::File::options().write(true).open("/dev/null").ok()?;
            nix::unistd::dup2_stdout(null).ok()?;
            modes.log("closed", "");
            sleep_until(for_ever);
            return Some("closed");
        }
        if reached(silence) {
            modes.log("silence", "");
            sleep_until(for_ever);
            return Some("silence");
        }
        if reached(freeze) {
            freeze = None;
            maker.freeze();
        }
        if reached(jump) {
            jump = None;
            maker.jump(2 * 3_600_000);
        }
        if reached(change) {
            change = None;
            maker.change_tables();
        }
        if reached(end) {
            if modes.has("partial_packet") {
                out.write(&maker.next()[..188 + 77])?;
            }
            return Some("exit");
        }
        let bytes = if modes.has("garbage") { noise_bytes(&mut noise) } else { maker.next() };
        out.write(&bytes)?;
        if modes.has("dup_output") {
            out.write(&bytes)?;
        }
        due += step;
        if Instant::now() > due + Duration::from_secs(1) {
            // Nobody read for a while; what was due meanwhile is lost, as it is with live sources.
            due = Instant::now();
        }
        if sleep_until(due) && !modes.has("partial_packet") {
            return Some("exit");
        }
    }
}

/// Never a packet: no sync byte in it.
fn noise_bytes(state: &mut u64) -> Vec<u8> {
    let next = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).filter(|byte| *byte != 0x47).take(4_000).collect()
}

struct Out<'a> {
    modes: &'a Modes,
    begun: bool,
}

impl Out<'_> {
    /// Writes all of it, in the way that was asked for; `None` when nobody reads any more.
    fn write(&mut self, bytes: &[u8]) -> Option<()> {
        let mut stdout = RawStdout;
        let outcome = if let Some(per_s) = self.modes.number("trickle", 1_000) {
            bytes.iter().try_for_each(|byte| {
                thread::sleep(Duration::from_secs(1) / u32::try_from(per_s.max(1)).unwrap_or(1));
                self.begin();
                stdout.write_all(&[*byte])
            })
        } else {
            self.begin();
            let size = if self.modes.has("bytewise") {
                1
            } else if self.modes.has("odd_sizes") {
                331
            } else {
                bytes.len().max(1)
            };
            bytes.chunks(size).try_for_each(|piece| stdout.write_all(piece))
        };
        if outcome.is_err() {
            self.modes.log("end", "why=nobody_reads");
            return None;
        }
        Some(())
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.modes.log("out", "");
        }
    }
}

/// Standard output without a buffer in between.
struct RawStdout;

impl std::io::Write for RawStdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(nix::unistd::write(std::io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn end(modes: &Modes, why: &str) -> ExitCode {
    modes.log("end", &format!("why={why} after={}", monotonic_ms()));
    if let Some(number) = modes.number("signal", 11) {
        if let Ok(signal) = i32::try_from(number).unwrap_or(11).try_into() {
            // Rust's handler of SIGSEGV takes the first one for a stack overflow that is none, and goes away.
            let _: [nix::Result<()>; 2] = [raise(signal), raise(signal)];
            thread::sleep(Duration::from_secs(1));
        }
    }
    ExitCode::from(code(modes, 0))
}

/// Reads all there is, for at most this long.
fn read_all(limit: Duration) -> Vec<u8> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver.recv_timeout(limit).unwrap_or_default()
}

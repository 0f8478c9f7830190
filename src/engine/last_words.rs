//! What a child says: a few lines a minute for the log, and the end of it to tell why the child ended.
//!
//! A child may say anything, at any speed: what it says is taken in bounded pieces, and only its end is looked at. What
//! an end leads to is decided in `pure::rules::pool`.

use crate::clock;
use nix::sys::signal::Signal;
use pure::limits::{
    LAST_WORDS_LINES_MAX, LAST_WORDS_SHOWN, STDERR_BURST_BYTES, STDERR_LINE_BYTES_MAX, STDERR_LINES_PER_MINUTE,
    STDERR_PAUSE_MS, STDERR_READ_BYTES, STDERR_TAIL_BYTES, USAGE_ERROR_MS,
};
use pure::model::source_url::hide_secrets;
use pure::rules::failure::{End, Failure};
use pure::rules::pool::SlotIndex;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;

/// What is known of a child's life when it has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// How long it lived.
    pub(super) ran_ms: u64,
    /// Whether it made a packet that clients could have.
    pub(super) had_output: bool,
    /// Whether the kernel has ended any process for want of memory meanwhile.
    pub(super) oom_kill: bool,
    /// Whether our clock can be right.
    pub(super) wall_is_plausible: bool,
}

/// Why a child ended. `words` are its last lines, the last one last; `None` for the status says that it is unknown.
pub(super) fn end_of(status: Option<ExitStatus>, words: &[String], life: Life) -> End {
    let lines = || words.iter().rev();
    let hit_limit = || lines().any(|line| sign(line) == Some(Sign::Limit));
    match status.and_then(|status| status.signal()).map(Signal::try_from) {
        Some(Ok(Signal::SIGKILL)) if life.oom_kill => return End::Failed(Failure::Oom),
        Some(Ok(Signal::SIGXFSZ | Signal::SIGXCPU)) => return End::Failed(Failure::Limit),
        // Some code of its own crashes when it gets no memory.
        Some(_) if hit_limit() => return End::Failed(Failure::Limit),
        Some(_) => return End::Failed(Failure::Crash),
        None => {}
    }
    let before_output = |failure| (!life.had_output).then_some(End::Failed(failure));
    lines()
        .find_map(|line| match sign(line)? {
            Sign::Limit => Some(End::Failed(Failure::Limit)),
            Sign::Usage if life.ran_ms > USAGE_ERROR_MS => None,
            Sign::Usage => before_output(Failure::Config),
            Sign::Forbidden => before_output(Failure::Policy),
            Sign::Certificate if !life.wall_is_plausible => Some(End::Clock),
            Sign::Certificate | Sign::Unreachable => before_output(Failure::Connect),
            Sign::Name => before_output(Failure::Dns),
            Sign::Login => before_output(Failure::Auth),
            Sign::Http => before_output(Failure::Http),
        })
        .unwrap_or(if status.is_some_and(|status| status.success()) { End::Finished } else { End::Plain })
}

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Limit,
    Usage,
    Forbidden,
    Certificate,
    Unreachable,
    Name,
    Login,
    Http,
}

/// Words of FFmpeg's, of its libraries and of the kernel; the first that a line holds counts. None of them can stand in
/// an address, because addresses hold no spaces.
///
/// Source: seen with FFmpeg 5.1 (`tests` below); `cmdutils.c`, `avio.c`, `error.c`, `tcp.c`, `http.c`, `tls_*.c` of
/// FFmpeg 4.4 to 8.0; `srt_rejectreason_str` of libsrt 1.5; `strerror` of glibc and musl.
const SIGNS: [(&str, Sign); 42] = [
    ("Cannot allocate memory", Sign::Limit),
    ("Out of memory", Sign::Limit),
    ("Error while opening encoder - out of memory", Sign::Limit),
    ("failed to map segment from shared object", Sign::Limit),
    ("File too large", Sign::Limit),
    ("Too many open files", Sign::Limit),
    ("' not on whitelist", Sign::Forbidden),
    ("Unrecognized option ", Sign::Usage),
    ("Error splitting the argument list", Sign::Usage),
    ("Option not found", Sign::Usage),
    ("Missing argument for option", Sign::Usage),
    ("Unable to parse option value", Sign::Usage),
    ("Error setting option ", Sign::Usage),
    ("Error parsing options for ", Sign::Usage),
    ("Unknown encoder ", Sign::Usage),
    ("Unknown decoder ", Sign::Usage),
    ("Unknown input format", Sign::Usage),
    ("No such filter", Sign::Usage),
    ("Encoder not found", Sign::Usage),
    ("Protocol not found", Sign::Usage),
    ("certificate failed verification", Sign::Certificate),
    ("certificate verify failed", Sign::Certificate),
    ("certificate verification failed", Sign::Certificate),
    ("certificate is NOT trusted", Sign::Certificate),
    ("Failed to resolve hostname", Sign::Name),
    ("Name or service not known", Sign::Name),
    ("Temporary failure in name resolution", Sign::Name),
    ("HTTP error 401", Sign::Login),
    ("HTTP error 403", Sign::Login),
    ("HTTP error 407", Sign::Login),
    ("Server returned 401", Sign::Login),
    ("Server returned 403", Sign::Login),
    // Of an SRT server, whether the one that was said is wrong or none was.
    ("Password required or unexpected", Sign::Login),
    ("HTTP error ", Sign::Http),
    ("Server returned 4", Sign::Http),
    ("Server returned 5", Sign::Http),
    ("Connection refused", Sign::Unreachable),
    ("Connection timed out", Sign::Unreachable),
    ("Operation timed out", Sign::Unreachable),
    ("No route to host", Sign::Unreachable),
    ("Network is unreachable", Sign::Unreachable),
    ("Cannot assign requested address", Sign::Unreachable),
];

fn sign(line: &str) -> Option<Sign> {
    // x264 names the size in between.
    if line.contains("malloc of size ") && line.ends_with(" failed") {
        return Some(Sign::Limit);
    }
    SIGNS.iter().find(|(words, _)| line.contains(words)).map(|(_, sign)| *sign)
}

/// The end of what a child said.
pub(super) struct LastWords {
    /// At least the last [`STDERR_TAIL_BYTES`] of it.
    tail: Vec<u8>,
    /// All that it said.
    said_bytes: u64,
}

impl LastWords {
    pub(super) fn new() -> Self {
        Self { tail: Vec::with_capacity(2 * STDERR_TAIL_BYTES), said_bytes: 0 }
    }

    fn push(&mut self, said: &[u8]) {
        self.said_bytes += said.len() as u64;
        let said = said.get(said.len().saturating_sub(STDERR_TAIL_BYTES)..).unwrap_or_default();
        // Room for twice as much, so that little is moved.
        if self.tail.len() + said.len() > 2 * STDERR_TAIL_BYTES {
            let surplus = self.tail.len().saturating_sub(STDERR_TAIL_BYTES - said.len());
            self.tail.drain(..surplus);
        }
        self.tail.extend_from_slice(said);
    }

    /// Its last lines, as people may see them.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut kept = self.tail.as_slice();
        if self.said_bytes > kept.len() as u64 {
            // The first line lacks its beginning; in the middle of a word there may be a password.
            let line_end = kept.iter().position(|byte| *byte == b'\n');
            let cut = line_end.or_else(|| kept.iter().position(u8::is_ascii_whitespace)).unwrap_or(kept.len());
            kept = kept.get(cut..).unwrap_or_default();
        }
        let mut lines: Vec<String> = kept
            .rsplit(|byte| matches!(*byte, b'\n' | b'\r'))
            .map(|line| printable(cut(line)))
            .filter(|line| !line.is_empty())
            .take(LAST_WORDS_LINES_MAX)
            .collect();
        lines.reverse();
        lines
    }
}

/// The very last of some lines, for people.
pub(super) fn shown(lines: &[String]) -> String {
    lines.get(lines.len().saturating_sub(LAST_WORDS_SHOWN)..).unwrap_or_default().join(" / ")
}

/// Hears a child to the end of what it says: logs a few lines a minute, counts the rest, and keeps the end.
pub(super) async fn hear(mut stderr: ChildStderr, slot: SlotIndex, words: &mut LastWords) {
    let mut buffer = vec![0; STDERR_READ_BYTES];
    let mut log = LineLog::new(slot);
    let mut burst = (clock::mono(), 0);
    while let Ok(len @ 1..) = stderr.read(&mut buffer).await {
        let said = buffer.get(..len).unwrap_or_default();
        words.push(said);
        log.push(said);
        burst.1 += len;
        if burst.1 < STDERR_BURST_BYTES {
            tokio::task::yield_now().await;
            continue;
        }
        if clock::mono().ms_since(burst.0) < STDERR_PAUSE_MS {
            clock::pause(STDERR_PAUSE_MS).await;
        }
        burst = (clock::mono(), 0);
    }
    log.end();
}

/// Logs lines, as many a minute as are allowed, and counts the others.
struct LineLog {
    slot: SlotIndex,
    line: heapless::Vec<u8, STDERR_LINE_BYTES_MAX>,
    /// The line is longer than what was kept of it.
    overlong: bool,
    minute: pure::time::Mono,
    logged: u32,
    left_out: u64,
}

impl LineLog {
    fn new(slot: SlotIndex) -> Self {
        let line = heapless::Vec::new();
        Self { slot, line, overlong: false, minute: clock::mono(), logged: 0, left_out: 0 }
    }

    fn push(&mut self, said: &[u8]) {
        if clock::mono().ms_since(self.minute) >= 60_000 {
            self.tell_left_out();
            (self.minute, self.logged) = (clock::mono(), 0);
        }
        let mut rest = said;
        while self.logged < STDERR_LINES_PER_MINUTE {
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
            let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            self.take(line);
            self.log();
            rest = after.get(1..).unwrap_or_default();
        }
        if self.logged < STDERR_LINES_PER_MINUTE {
            self.take(rest);
        } else {
            // Not looked at any closer: there may be a hundred megabytes a second of it.
            self.left_out += rest.iter().fold(0, |lines, byte| lines + u64::from(*byte == b'\n'));
            self.line.clear();
            self.overlong = !rest.ends_with(b"\n") && (!rest.is_empty() || self.overlong);
        }
    }

    fn take(&mut self, part: &[u8]) {
        if self.overlong {
            return;
        }
        let room = self.line.capacity() - self.line.len();
        self.overlong = part.len() > room;
        self.line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default()).unwrap_or_default();
    }

    fn log(&mut self) {
        let text = printable(if self.overlong { whole_words(&self.line) } else { &self.line });
        self.line.clear();
        self.overlong = false;
        if !text.is_empty() {
            self.logged += 1;
            tracing::debug!(slot = self.slot.0, said = text, "FFmpeg spoke");
        }
    }

    fn tell_left_out(&mut self) {
        if self.left_out > 0 {
            tracing::debug!(slot = self.slot.0, lines = self.left_out, "FFmpeg spoke more than is logged");
            self.left_out = 0;
        }
    }

    fn end(&mut self) {
        if self.logged < STDERR_LINES_PER_MINUTE {
            self.log();
        }
        self.tell_left_out();
    }
}

/// A line, or what may be kept of it.
fn cut(line: &[u8]) -> &[u8] {
    match line.get(..STDERR_LINE_BYTES_MAX) {
        Some(kept) if line.len() > kept.len() => whole_words(kept),
        _ => line,
    }
}

/// Without the last word, which may be half an address with half a password.
fn whole_words(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(u8::is_ascii_whitespace).unwrap_or(0);
    line.get(..end).unwrap_or_default()
}

/// A line as people may see it: without control characters, and without what addresses hide.
fn printable(line: &[u8]) -> String {
    let words = String::from_utf8_lossy(line);
    let line = words.split_whitespace().collect::<Vec<&str>>().join(" ");
    hide_secrets(&line).chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = Life { ran_ms: 100, had_output: false, oom_kill: false, wall_is_plausible: true };

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn killed(signal: Signal) -> ExitStatus {
        ExitStatus::from_raw(signal as i32)
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    /// What FFmpeg 5.1.9 really said, run with our recipes against closed ports, servers with that answer, and so on.
    const SEEN: [(&str, End); 21] = [
        (
            "[tcp @ 0x55fb3d5ca8c0] Connection to tcp://127.0.0.1:1 failed: Connection refused\n\
             http://127.0.0.1:1/x.ts: Connection refused",
            End::Failed(Failure::Connect),
        ),
        (
            "[tcp @ 0x56305b583900] Failed to resolve hostname no.such.invalid: Name or service not known\n\
             http://no.such.invalid/x.ts: Input/output error",
            End::Failed(Failure::Dns),
        ),
        ("http://127.0.0.1:18090/x.ts: Connection timed out", End::Failed(Failure::Connect)),
        (
            "[tcp @ 0x55ad95cf9900] Connection to tcp://[2001:db8::1]:80 failed: No route to host\n\
             http://[2001:db8::1]/x.ts: No route to host",
            End::Failed(Failure::Connect),
        ),
        (
            "[http @ 0x55da0e0d5900] HTTP error 401 Unauthorized\n\
             http://127.0.0.1:18080/401.ts: Server returned 401 Unauthorized (authorization failed)",
            End::Failed(Failure::Auth),
        ),
        (
            "[http @ 0x556ac1ce3900] HTTP error 403 Forbidden\n\
             http://127.0.0.1:18080/403.ts: Server returned 403 Forbidden (access denied)",
            End::Failed(Failure::Auth),
        ),
        (
            "[http @ 0x5612c1b6c900] HTTP error 404 Not Found\n\
             http://127.0.0.1:18080/404.ts: Server returned 404 Not Found",
            End::Failed(Failure::Http),
        ),
        (
            "[http @ 0x555d70] HTTP error 429 Too Many Requests\n\
             http://127.0.0.1:18080/429.ts: Server returned 4XX Client Error, but not one of 40{0,1,3,4}",
            End::Failed(Failure::Http),
        ),
        (
            "[http @ 0x55c3a8b9b900] HTTP error 503 Service Unavailable\n\
             http://127.0.0.1:18080/503.ts: Server returned 5XX Server Error reply",
            End::Failed(Failure::Http),
        ),
        (
            "Unrecognized option 'nonsense'.\nError splitting the argument list: Option not found",
            End::Failed(Failure::Config),
        ),
        (
            "[http @ 0x55dcd37e9900] Unable to parse option value \"abc\"\n\
             [http @ 0x55dcd37e9900] Error setting option rw_timeout to value abc.\n\
             http://127.0.0.1:1/x.ts: Invalid argument",
            End::Failed(Failure::Config),
        ),
        ("Unknown encoder 'nosuch'", End::Failed(Failure::Config)),
        ("Unknown input format: 'nosuch'", End::Failed(Failure::Config)),
        (
            "[lavfi @ 0x55eb25f3d940] No such filter: 'nosuchfilter'\nnosuchfilter=1: Invalid argument",
            End::Failed(Failure::Config),
        ),
        (
            "[rtmp @ 0x55efe045e900] Protocol 'rtmp' not on whitelist 'http,https,tcp,tls'!\n\
             rtmp://127.0.0.1:1/x: Invalid argument",
            End::Failed(Failure::Policy),
        ),
        (
            "[tls @ 0x562d51949800] Peer certificate failed verification\n\
             https://127.0.0.1:18443/200.ts: Input/output error",
            End::Failed(Failure::Connect),
        ),
        (
            "x264 [error]: malloc of size 29804032 failed\n\
             Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe \
             incorrect parameters such as bit_rate, rate, width or height",
            End::Failed(Failure::Limit),
        ),
        ("testsrc=size=1920x1080: Cannot allocate memory", End::Failed(Failure::Limit)),
        (
            "[mpegts @ 0x56530a2dba00] Could not detect TS packet size, defaulting to non-FEC/DVHS\n\
             http://127.0.0.1:18080/200.ts: could not find codec parameters",
            End::Plain,
        ),
        // What a list may hold and what a disc may: a format that is not allowed is no forbidden address.
        ("[mov @ 0x55a2bbb4fa00] Format not on whitelist 'mpegts'\n/x: Invalid argument", End::Plain),
        ("", End::Plain),
    ];

    #[test]
    fn what_ffmpeg_says_is_understood() {
        for (words, end) in SEEN {
            assert_eq!(end_of(Some(exited(1)), &lines(words), LIFE), end, "{words}");
        }
        // Newer ones close with a line of their own.
        let seven = "[in#0 @ 0x5] Error opening input: Server returned 404 Not Found\n\
                     Error opening input file http://h/x.ts.\nError opening input files: Server returned 404 Not Found";
        assert_eq!(end_of(Some(exited(8)), &lines(seven), LIFE), End::Failed(Failure::Http));
    }

    #[test]
    fn the_same_words_mean_less_once_there_was_a_picture() {
        let life = Life { had_output: true, ..LIFE };
        for (words, end) in SEEN {
            let expected = if end == End::Failed(Failure::Limit) { end } else { End::Plain };
            assert_eq!(end_of(Some(exited(1)), &lines(words), life), expected, "{words}");
        }
    }

    #[test]
    fn a_usage_error_is_told_at_once_or_is_none() {
        let words = lines("Unrecognized option 'x'.\nError splitting the argument list: Option not found");
        let after = |ran_ms| end_of(Some(exited(1)), &words, Life { ran_ms, ..LIFE });
        assert_eq!(after(USAGE_ERROR_MS), End::Failed(Failure::Config));
        assert_eq!(after(USAGE_ERROR_MS + 1), End::Plain);
    }

    #[test]
    fn signals_are_told_apart() {
        let none = || lines("");
        let life = Life { oom_kill: true, ..LIFE };
        assert_eq!(end_of(Some(killed(Signal::SIGKILL)), &none(), life), End::Failed(Failure::Oom));
        assert_eq!(end_of(Some(killed(Signal::SIGKILL)), &none(), LIFE), End::Failed(Failure::Crash));
        assert_eq!(end_of(Some(killed(Signal::SIGSEGV)), &none(), life), End::Failed(Failure::Crash));
        assert_eq!(end_of(Some(killed(Signal::SIGXFSZ)), &none(), LIFE), End::Failed(Failure::Limit));
        let starved = lines("x264 [error]: malloc of size 5 failed");
        assert_eq!(end_of(Some(killed(Signal::SIGSEGV)), &starved, LIFE), End::Failed(Failure::Limit));
        assert_eq!(end_of(None, &none(), LIFE), End::Plain);
    }

    #[test]
    fn with_a_wrong_clock_a_certificate_is_nobodys_fault() {
        let words =
            lines("[tls @ 0x562d51949800] Peer certificate failed verification\nhttps://h/x: Input/output error");
        let in_1970 = Life { wall_is_plausible: false, ..LIFE };
        assert_eq!(end_of(Some(exited(1)), &words, in_1970), End::Clock);
        assert_eq!(
            end_of(Some(exited(1)), &lines("http://h/: Connection refused"), in_1970),
            End::Failed(Failure::Connect)
        );
    }

    #[test]
    fn of_endless_words_the_end_is_kept() {
        let mut words = LastWords::new();
        for index in 0..10_000 {
            words.push(format!("line {index} with some more to it\n").as_bytes());
        }
        words.push(b"Connection refused\n");
        let kept = words.lines();
        assert_eq!(kept.len(), LAST_WORDS_LINES_MAX);
        assert_eq!(kept.last().unwrap(), "Connection refused");
        assert_eq!(kept.first().unwrap(), &format!("line {} with some more to it", 10_001 - LAST_WORDS_LINES_MAX));
        assert!(words.tail.len() <= 2 * STDERR_TAIL_BYTES && words.tail.capacity() <= 2 * STDERR_TAIL_BYTES);
        assert_eq!(shown(&kept), "line 9999 with some more to it / Connection refused");
        assert_eq!(shown(&[]), "");
        words.push(&vec![b'x'; 100_000]);
        assert_eq!(words.lines(), [""; 0], "one word without beginning");
    }

    #[test]
    fn no_cut_lays_a_password_bare() {
        // The line is cut in the middle of an address: at its end, and, in the tail, at its beginning.
        let secret = "http://joe:hunter2@h/live/joe/hunter2/1.ts";
        for shift in 0..60 {
            let long = format!("{} {secret} {secret}", "a ".repeat((STDERR_LINE_BYTES_MAX - shift) / 2));
            let text = printable(cut(long.as_bytes()));
            assert!(text.len() > 900 && !text.contains("hunter"), "{shift}: {text}");
            let mut words = LastWords::new();
            words.push(format!("{secret} {}", " b".repeat(STDERR_TAIL_BYTES - shift)).as_bytes());
            words.push(b"\n");
            words.push(secret.as_bytes());
            let kept = words.lines().join(" ");
            assert!(!kept.contains("hunter") && !kept.contains("nter2"), "{shift}: {kept}");
        }
    }

    #[test]
    fn what_children_say_shows_no_secrets_and_no_control_characters() {
        assert_eq!(printable(b"  [http @ 0x55] Failed\tto open \x1b[31mit\r"), "[http @ 0x55] Failed to open ·[31mit");
        let shown = printable(b"'http://joe:hunter2@h/live/joe/hunter2/1.ts?token=sesame': refused");
        assert!(shown.starts_with("'http://") && shown.ends_with("': refused"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("sesame"), "{shown}");
        assert_eq!(printable(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }
}

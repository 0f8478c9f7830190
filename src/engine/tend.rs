//! Looks after one running child: moves what it makes into the ring, hears what it says, and reports its end.
//!
//! One task for each child. What a report leads to is decided in `pure::rules::pool`; how a child is started and ended
//! stands in [`super::process`].

use super::process::{Child, Group};
use super::relay::{Patience, Relay, Verdict};
use crate::clock;
use pure::limits::{
    COALESCE_AFTER_MS, COALESCE_MS, READ_BYTES_MAX, STDERR_LINE_BYTES_MAX, STDERR_LINES_PER_MINUTE, TERM_MS,
};
use pure::model::source_url::hide_secrets;
use pure::rules::pool::{Generation, SlotIndex};
use std::cell::Cell;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;
use tokio::sync::mpsc;

/// The living child's group of a slot; empty from the moment it is reaped.
pub(super) type LivingGroup = Rc<Cell<Option<Group>>>;

/// What a child's task tells.
pub(super) struct Report {
    pub(super) slot: SlotIndex,
    pub(super) generation: Generation,
    pub(super) what: What,
}

pub(super) enum What {
    /// Its first packets, in formats that clients play.
    Output,
    /// Its first packets, in formats that must be encoded.
    Unsuited,
    /// It lives, and will make nothing that can be used; and why.
    Useless(&'static str),
    /// It was reaped.
    Exited { status: io::Result<ExitStatus>, last_words: String },
}

/// How a child's task speaks to the supervisor.
pub(super) struct Teller {
    pub(super) slot: SlotIndex,
    pub(super) generation: Generation,
    pub(super) reporter: mpsc::Sender<Report>,
}

impl Teller {
    async fn tell(&self, what: What) {
        // An error says that the daemon is ending, and this child with it.
        self.reporter.send(Report { slot: self.slot, generation: self.generation, what }).await.unwrap_or_default();
    }
}

/// Reads a child to its end, and reports.
pub(super) async fn tend(child: Child, relay: Rc<Relay>, group: LivingGroup, tell: Teller) {
    let mut last_words = String::new();
    let (mut stdout, stderr, mut reaper) = child.split();
    let status = {
        let reading = read(&mut stdout, &relay, &tell);
        let hearing = hear(stderr, tell.slot, &mut last_words);
        let reaping = async {
            let status = reaper.reap().await;
            group.set(None);
            status
        };
        tokio::pin!(reading, hearing, reaping);
        let mut reading_done = false;
        let mut hearing_done = false;
        let status = loop {
            tokio::select! {
                status = &mut reaping => break status,
                () = &mut hearing, if !hearing_done => hearing_done = true,
                why = &mut reading, if !reading_done => {
                    reading_done = true;
                    // The end of its output usually comes just before its own.
                    tokio::select! {
                        status = &mut reaping => break status,
                        () = clock::pause(500) => tell.tell(What::Useless(why)).await,
                    }
                }
            }
        };
        // What it wrote before it ended is still in the pipes.
        tokio::select! {
            () = async {
                if !reading_done {
                    reading.await;
                }
                if !hearing_done {
                    hearing.await;
                }
            } => {}
            () = clock::pause(TERM_MS) => {}
        }
        status
    };
    tell.tell(What::Exited { status, last_words }).await;
}

/// Moves what a child makes into its ring, until there is no more or it is no use; says why it stopped.
async fn read(stdout: &mut tokio::net::unix::pipe::Receiver, relay: &Relay, tell: &Teller) -> &'static str {
    let mut patience = Patience::default();
    let mut verdict = Verdict::Open;
    let mut first_at = None;
    let mut since_pause = 0;
    loop {
        relay.gate(&mut patience).await;
        match relay.fill(|space| stdout.try_read(space)) {
            Ok(0) => return "its output ended and it lives on",
            Ok(len) => since_pause += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                since_pause = 0;
                // Many small writes are read as few large ones, once the start is over.
                if first_at.is_some_and(|at| clock::mono().ms_since(at) > COALESCE_AFTER_MS) {
                    clock::pause(COALESCE_MS).await;
                }
                if stdout.readable().await.is_err() {
                    return "its output cannot be read";
                }
                continue;
            }
            Err(_) => return "its output cannot be read",
        }
        if verdict == Verdict::Open {
            verdict = relay.verdict();
            match verdict {
                Verdict::Open => {}
                Verdict::Suited => {
                    first_at = Some(clock::mono());
                    tell.tell(What::Output).await;
                }
                Verdict::Unsuited => tell.tell(What::Unsuited).await,
                Verdict::NotTransportStream => return "its output is no transport stream",
            }
        }
        if since_pause >= 4 * READ_BYTES_MAX {
            since_pause = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Logs what a child says, a few lines a minute, and keeps its last line.
async fn hear(mut stderr: ChildStderr, slot: SlotIndex, last_words: &mut String) {
    let mut line: heapless::Vec<u8, STDERR_LINE_BYTES_MAX> = heapless::Vec::new();
    let mut buffer = [0; 2048];
    let mut minute = (clock::mono(), 0);
    loop {
        let Ok(len @ 1..) = stderr.read(&mut buffer).await else { return };
        for byte in buffer.iter().take(len) {
            if *byte != b'\n' && line.push(*byte).is_ok() {
                continue;
            }
            let text = printable(&line);
            line.clear();
            if *byte != b'\n' {
                line.push(*byte).unwrap_or_default();
            }
            if text.is_empty() {
                continue;
            }
            if clock::mono().ms_since(minute.0) >= 60_000 {
                minute = (clock::mono(), 0);
            }
            minute.1 += 1;
            if minute.1 <= STDERR_LINES_PER_MINUTE {
                tracing::debug!(slot = slot.0, said = text, "FFmpeg spoke");
            }
            *last_words = text;
        }
        tokio::task::yield_now().await;
    }
}

/// A line as people may see it: without control characters, and without what addresses hide.
fn printable(line: &[u8]) -> String {
    let words = String::from_utf8_lossy(line);
    let line = words.split_whitespace().collect::<Vec<&str>>().join(" ");
    hide_secrets(&line).chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_children_say_shows_no_secrets_and_no_control_characters() {
        assert_eq!(printable(b"  [http @ 0x55] Failed\tto open \x1b[31mit\r"), "[http @ 0x55] Failed to open ·[31mit");
        let shown = printable(b"'http://joe:hunter2@h/live/joe/hunter2/1.ts?token=sesame': refused");
        assert!(shown.starts_with("'http://") && shown.ends_with("': refused"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("sesame"), "{shown}");
        assert_eq!(printable(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }
}

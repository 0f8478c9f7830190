//! Looks after one running child: moves what it makes into the ring, hears what it says, and reports its end.
//!
//! One task for each child. What a report leads to is decided in `pure::rules::pool`; how a child is started and ended
//! stands in [`super::process`].

use super::facts;
use super::glance::Glanced;
use super::last_words::{LastWords, Life, end_of, hear};
use super::probe::Found;
use super::process::{Child, Group};
use super::relay::{Patience, Relay, Verdict};
use crate::clock;
use pure::limits::{COALESCE_AFTER_MS, COALESCE_MS, READ_BYTES_MAX, TERM_MS};
use pure::rules::failure::{End, Failure};
use pure::rules::pool::{Generation, SlotIndex};
use std::cell::Cell;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
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
    Useless { failure: Failure, why: &'static str },
    /// It was reaped. `words` are its last lines.
    Exited { status: io::Result<ExitStatus>, end: End, had_output: bool, words: Vec<String> },
    /// A look at its output was answered, and the glance that may have come with it; not told by its own task.
    Probed { found: Found, glanced: Glanced },
}

/// How a child's task speaks to the supervisor. Its end is always told: dropped too soon, it says so.
pub(super) struct Teller {
    slot: SlotIndex,
    generation: Generation,
    reporter: mpsc::Sender<Report>,
    told_end: bool,
}

impl Teller {
    pub(super) fn new(slot: SlotIndex, generation: Generation, reporter: mpsc::Sender<Report>) -> Self {
        Self { slot, generation, reporter, told_end: false }
    }

    async fn tell(&self, what: What) {
        // An error says that the daemon is ending, and this child with it.
        self.reporter.send(Report { slot: self.slot, generation: self.generation, what }).await.unwrap_or_default();
    }

    async fn tell_end(mut self, status: io::Result<ExitStatus>, end: End, had_output: bool, words: Vec<String>) {
        self.told_end = true;
        self.tell(What::Exited { status, end, had_output, words }).await;
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if !self.told_end {
            // The task panicked, and its child was killed when it was dropped with it.
            let status = Err(io::Error::other("its task ended before it"));
            let what = What::Exited { status, end: End::Plain, had_output: false, words: Vec::new() };
            self.reporter.try_send(Report { slot: self.slot, generation: self.generation, what }).unwrap_or_default();
        }
    }
}

/// Why a child that lives is of no more use.
type Useless = (Failure, &'static str);

/// Reads a child to its end, and reports.
pub(super) async fn tend(child: Child, relay: Rc<Relay>, group: LivingGroup, tell: Teller) {
    let (started, oom_kills) = (clock::mono(), facts::oom_kills());
    let mut words = LastWords::new();
    let had_output = Cell::new(false);
    let (mut stdout, stderr, mut reaper) = child.split();
    let status = {
        let reading = read(&mut stdout, &relay, &tell, &had_output);
        let hearing = hear(stderr, tell.slot, &mut words);
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
                (failure, why) = &mut reading, if !reading_done => {
                    reading_done = true;
                    // The end of its output usually comes just before its own.
                    tokio::select! {
                        status = &mut reaping => break status,
                        () = clock::pause(500) => tell.tell(What::Useless { failure, why }).await,
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
    let life = Life {
        ran_ms: clock::mono().ms_since(started),
        had_output: had_output.get(),
        oom_kill: facts::oom_kills() > oom_kills,
        wall_is_plausible: clock::wall_is_plausible(),
    };
    let lines = words.lines();
    let end = end_of(status.as_ref().ok().copied(), &lines, life);
    tell.tell_end(status, end, life.had_output, lines).await;
}

/// Moves what a child makes into its ring, until there is no more or it is no use; says why it stopped.
async fn read(
    stdout: &mut tokio::net::unix::pipe::Receiver,
    relay: &Relay,
    tell: &Teller,
    had_output: &Cell<bool>,
) -> Useless {
    const UNREADABLE: Useless = (Failure::EarlyExit, "its output cannot be read");
    let mut patience = Patience::default();
    let mut verdict = Verdict::Open;
    let mut first_at = None;
    let mut since_pause = 0;
    loop {
        relay.gate(&mut patience).await;
        match relay.fill(|space| stdout.try_read(space)) {
            Ok(0) => return (Failure::EarlyExit, "its output ended and it lives on"),
            Ok(len) => since_pause += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                since_pause = 0;
                // Many small writes are read as few large ones, once the start is over.
                if first_at.is_some_and(|at| clock::mono().ms_since(at) > COALESCE_AFTER_MS) {
                    clock::pause(COALESCE_MS).await;
                }
                if stdout.readable().await.is_err() {
                    return UNREADABLE;
                }
                continue;
            }
            Err(_) => return UNREADABLE,
        }
        if verdict == Verdict::Open {
            verdict = relay.verdict();
            match verdict {
                Verdict::Open => {}
                Verdict::Suited => {
                    first_at = Some(clock::mono());
                    had_output.set(true);
                    tell.tell(What::Output).await;
                }
                Verdict::Unsuited => tell.tell(What::Unsuited).await,
                Verdict::NotTransportStream => return (Failure::NotTs, "its output is no transport stream"),
            }
        }
        if since_pause >= 4 * READ_BYTES_MAX {
            since_pause = 0;
            tokio::task::yield_now().await;
        }
    }
}

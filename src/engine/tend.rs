//! Looks after one running child: moves what it makes into the ring, hears what it says, and reports its end.
//!
//! One task for each child. What a report leads to is decided in `pure::rules::pool`; how a child is started and ended
//! stands in [`super::process`].

use super::facts;
use super::glance::Glanced;
use super::last_words::{LastWords, Life, end_of, hear};
use super::probe::Found;
use super::process::{Child, Group, StartError};
use super::pull::feed;
use super::relay::{Patience, Relay, Verdict};
use super::upstream::{Broken, Remote};
use crate::clock;
use crate::fetch::proxy::Proxy;
use pure::limits::{COALESCE_AFTER_MS, COALESCE_MS, READ_BYTES_MAX, STARVED_MS, TERM_MS};
use pure::model::recipe::Reader;
use pure::rules::admission::Work;
use pure::rules::failure::{End, Failure};
use pure::rules::pool::{Generation, SlotIndex};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::rc::Rc;
use tokio::sync::{Notify, mpsc};

/// What plays on a slot.
pub(super) enum Alive {
    /// A child with its group. Whoever is told gives it nothing more: it may wait for that, and not hear a signal.
    Child(Group, Rc<Notify>),
    /// A task of ours.
    Task(Rc<Notify>),
}

/// What plays on a slot; empty from the moment it is reaped or over.
#[derive(Clone, Default)]
pub(super) struct Living(Rc<RefCell<Option<Alive>>>);

impl Living {
    pub(super) fn set(&self, alive: Option<Alive>) {
        *self.0.borrow_mut() = alive;
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        match &*self.0.borrow() {
            Some(Alive::Child(group, stop)) => {
                group.terminate();
                stop.notify_one();
            }
            Some(Alive::Task(stop)) => stop.notify_one(),
            None => {}
        }
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        match &*self.0.borrow() {
            Some(Alive::Child(group, _)) => group.kill(),
            Some(Alive::Task(stop)) => stop.notify_one(),
            None => {}
        }
    }
}

/// What a child's task tells.
pub(super) struct Report {
    pub(super) slot: SlotIndex,
    pub(super) generation: Generation,
    pub(super) what: What,
}

pub(super) enum What {
    /// Its first packets, in formats that clients play.
    Output,
    /// It cannot be passed on as it is.
    Unsuited { needs: Work },
    /// FFmpeg had better fetch it by itself, as this.
    Alone { reader: Reader },
    /// It lives, and will make nothing that can be used; and why.
    Useless { failure: Failure, why: &'static str },
    /// It was reaped, or is over.
    Exited(Exited),
    /// The kernel did not start it.
    Unstarted { error: StartError },
    /// A look at its output was answered, and the glance that may have come with it; not told by its own task.
    Probed { found: Found, glanced: Glanced },
}

/// How a child, or a task, ended.
pub(super) struct Exited {
    /// For people.
    pub(super) status: String,
    pub(super) signal: Option<i32>,
    /// Its source gave it nothing, or nothing more.
    pub(super) is_starved: bool,
    pub(super) had_output: bool,
    pub(super) end: End,
    /// Its last lines.
    pub(super) words: Vec<String>,
}

impl Exited {
    /// Of what is no child.
    pub(super) fn over(status: &str, end: End, words: Vec<String>) -> Self {
        Self { status: status.to_owned(), signal: None, is_starved: false, had_output: false, end, words }
    }
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

    pub(super) async fn tell(&self, what: What) {
        // An error says that the daemon is ending, and this child with it.
        self.reporter.send(Report { slot: self.slot, generation: self.generation, what }).await.unwrap_or_default();
    }

    pub(super) async fn tell_end(mut self, exited: Exited) {
        self.told_end = true;
        self.tell(What::Exited(exited)).await;
    }

    pub(super) async fn tell_unstarted(mut self, error: StartError) {
        self.told_end = true;
        self.tell(What::Unstarted { error }).await;
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if !self.told_end {
            // The task panicked, and its child was killed when it was dropped with it.
            let what = What::Exited(Exited::over("its task ended before it", End::Plain, Vec::new()));
            self.reporter.try_send(Report { slot: self.slot, generation: self.generation, what }).unwrap_or_default();
        }
    }
}

/// Why a child that lives is of no more use.
type Useless = (Failure, &'static str);

/// What a child gets from us while it lives.
pub(super) enum Supply {
    /// Nothing.
    None,
    /// What it works on.
    Fed(Remote),
    /// Connections.
    Proxy(Proxy),
}

/// Reads a child to its end, and reports.
pub(super) fn tend(
    child: Child,
    supply: Supply,
    relay: Rc<Relay>,
    living: Living,
    tell: Teller,
) -> impl Future<Output = ()> {
    let stop = Rc::new(Notify::new());
    // At once: it may be told to end before it has begun.
    living.set(Some(Alive::Child(child.group(), Rc::clone(&stop))));
    run(stop, child, supply, relay, living, tell)
}

async fn run(stop: Rc<Notify>, child: Child, supply: Supply, relay: Rc<Relay>, living: Living, tell: Teller) {
    let (started, oom_kills) = (clock::mono(), facts::oom_kills());
    let mut words = LastWords::new();
    let had_output = Cell::new(false);
    let (stdin, mut stdout, stderr, mut reaper) = child.split();
    let mut fed: Option<Broken> = None;
    let hungry = Cell::new(None);
    let status = {
        let reading = read(&mut stdout, &relay, &tell, &had_output);
        let hearing = hear(stderr, tell.slot, &mut words);
        let reaping = async {
            let status = reaper.reap().await;
            living.set(None);
            status
        };
        let feeding = async {
            let broken = async {
                match (&supply, stdin) {
                    (Supply::Fed(remote), Some(stdin)) => feed(remote, stdin, &hungry, &tell).await,
                    (Supply::Proxy(proxy), _) => proxy.serve().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                broken = broken => broken,
                () = stop.notified() => Broken::new(End::Plain, "it was ended"),
            }
        };
        tokio::pin!(reading, hearing, reaping, feeding);
        let mut reading_done = false;
        let mut hearing_done = false;
        let status = loop {
            tokio::select! {
                status = &mut reaping => break status,
                () = &mut hearing, if !hearing_done => hearing_done = true,
                // Its standard input is closed with that: it finishes what it has.
                broken = &mut feeding, if fed.is_none() => fed = Some(broken),
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
    // Who gets nothing can only complain about that.
    let refused = if let Supply::Proxy(proxy) = &supply { proxy.refused().map(Broken::from) } else { None };
    let unfed = refused.or(fed).filter(|broken| broken.is_decided() && !life.had_output);
    let is_hungry = hungry.get().is_some_and(|since| clock::mono().ms_since(since) >= STARVED_MS);
    let is_starved = unfed.is_some() || is_hungry;
    let (end, words) = unfed.map_or((end, lines), |broken| (broken.end, vec![broken.text]));
    let signal = status.as_ref().ok().and_then(ExitStatus::signal);
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    tell.tell_end(Exited { status, signal, is_starved, had_output: life.had_output, end, words }).await;
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
                Verdict::Unsuited(needs) => tell.tell(What::Unsuited { needs }).await,
                Verdict::NotTransportStream => return (Failure::NotTs, "its output is no transport stream"),
            }
        }
        if since_pause >= 4 * READ_BYTES_MAX {
            since_pause = 0;
            tokio::task::yield_now().await;
        }
    }
}

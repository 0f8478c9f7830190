//! The doctor: does with the box what Plex, Jellyfin, Kodi, Channels and VLC do with it, and says what to do about what
//! does not work.
//!
//! Here: one examination at a time, and how far it has come. What is examined, in which order, and what the answers mean
//! is decided in `pure::rules::doctor`; the steps are in `steps.rs`, over real sockets (`ask.rs`), from inside the box and
//! from outside (`outside.rs`) alike, and what a new system must do before it is kept in `prove.rs`: nobody behind the
//! doors knows that it is the doctor who knocks.

mod ask;
pub mod outside;
pub mod prove;
mod steps;

use crate::clock;
use pure::rules::doctor::{Check, Judged, Outcome};
use pure::time::Wall;
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::rc::Rc;
use tokio::task::AbortHandle;

/// What is examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// Where clients find it.
    pub host: Ipv4Addr,
    /// The port of its page.
    pub port: u16,
    /// What its settings switch off; nothing when that is not known.
    pub off: Off,
    /// Numbers of the channels to play; empty: the first ones.
    pub play: Vec<String>,
    /// Channels of subscriptions: number, and what the subscription is called.
    pub sources: Vec<(String, String)>,
}

/// What the settings switch off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Off {
    /// UDP 65001.
    pub discovery: bool,
    /// SSDP.
    pub ssdp: bool,
    /// mDNS.
    pub mdns: bool,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub check: Check,
    /// How it ended, what was seen, what to do.
    pub judged: Judged,
    /// How long it took.
    pub took_ms: u64,
}

impl Finding {
    /// What a person can do; none where there is nothing to do.
    pub fn fix(&self) -> Option<&'static str> {
        let failed = self.judged.outcome == Outcome::Fail;
        failed.then(|| self.judged.fix.unwrap_or(self.check.line().fix))
    }
}

/// An examination, under way or over.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// When it began; none before the first.
    pub started_at: Option<Wall>,
    /// Whether it is under way.
    pub is_running: bool,
    /// Whether somebody had it end before it was over.
    pub is_stopped: bool,
    /// How many checks it has.
    pub checks_len: usize,
    /// Those that are over, in the order in which they were made.
    pub findings: Vec<Finding>,
}

/// One is under way already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The room. Dropped, an examination that is under way ends.
#[derive(Clone)]
pub struct Handle(Rc<Room>);

struct Room {
    address: Ipv4Addr,
    off: Off,
    report: RefCell<Report>,
    running: Cell<Option<AbortHandle>>,
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

impl Handle {
    /// For a box that listens on `address`.
    pub fn new(address: Ipv4Addr, off: Off) -> Self {
        Self(Rc::new(Room { address, off, report: RefCell::default(), running: Cell::default() }))
    }

    /// Whom an examination examines: the box where its clients find it.
    pub fn patient(&self, port: u16, play: Vec<String>, sources: Vec<(String, String)>) -> Patient {
        let host = if self.0.address.is_unspecified() { own_address() } else { self.0.address };
        Patient { host, port, off: self.0.off, play, sources }
    }

    /// Begins an examination.
    ///
    /// # Errors
    /// One is under way.
    pub fn start(&self, patient: Patient) -> Result<(), Busy> {
        let mut report = self.0.report.borrow_mut();
        if report.is_running {
            return Err(Busy);
        }
        let checks_len = steps::checks(&patient).count();
        *report = Report {
            started_at: Some(clock::wall()),
            is_running: true,
            is_stopped: false,
            checks_len,
            findings: Vec::with_capacity(checks_len),
        };
        let (room, end) = (Rc::downgrade(&self.0), End(Rc::downgrade(&self.0)));
        let task = tokio::task::spawn_local(async move {
            let _end = end;
            let tell = |finding| {
                if let Some(room) = room.upgrade() {
                    room.report.borrow_mut().findings.push(finding);
                }
            };
            steps::examine(&patient, tell).await;
        });
        self.0.running.set(Some(task.abort_handle()));
        Ok(())
    }

    /// Ends the one that is under way, if any; what it had found stays. Whoever it watched as is gone when this returns.
    pub async fn stop(&self) {
        if let Some(running) = self.0.running.take().filter(|_| self.0.report.borrow().is_running) {
            self.0.report.borrow_mut().is_stopped = true;
            running.abort();
            while !running.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// What the last one, or the one under way, has found so far.
    pub fn report(&self) -> Report {
        self.0.report.borrow().clone()
    }
}

/// However it ends, it has ended.
struct End(std::rc::Weak<Room>);

impl Drop for End {
    fn drop(&mut self) {
        if let Some(room) = self.0.upgrade() {
            room.report.borrow_mut().is_running = false;
        }
    }
}

/// The address that others in the house most likely reach us at.
pub fn own_address() -> Ipv4Addr {
    way_to(Ipv4Addr::new(192, 0, 2, 1)).unwrap_or(Ipv4Addr::LOCALHOST)
}

/// Our own address on the way to another one.
fn way_to(other: Ipv4Addr) -> Option<Ipv4Addr> {
    // Connecting a datagram socket sends nothing; it only asks the kernel for a way out.
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((other, 9)).and_then(|()| socket.local_addr()));
    match asked.map(|address| address.ip()) {
        Ok(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}

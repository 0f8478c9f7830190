//! The ring of one slot, and the cursors of its viewers.
//!
//! A child's packets go into the ring once; a viewer is a cursor, not a buffer. Only whole packets are published. A
//! viewer who falls behind so far that his packets are overwritten is moved to the newest place where he can join,
//! after the packet that he had begun to send; nobody waits for him. What is *not* here: pipes and processes
//! ([`super::process`]), sockets (`doors::http::media`), and who may watch (`pure::rules::pool`).
//!
//! Nothing here allocates per packet, and nothing waits while it holds the ring.

use crate::clock;
use pure::limits::{GATE_MS_MAX, READ_BYTES_MAX, TABLE_PACKETS_MAX};
use pure::rules::pool::Generation;
use pure::time::Mono;
use pure::wire::ts::{Inspector, NULL_PACKET, PACKET_BYTES, SYNC_BYTE, Sync, next_sync};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use tokio::sync::Notify;

/// Packets with a PAT and a PMT.
type Tables = heapless::Vec<u8, { TABLE_PACKETS_MAX * PACKET_BYTES }>;

/// A garbled start longer than this is no transport stream.
const GARBAGE_BYTES_MAX: u64 = 64 * 1024;

/// Packets as the child wrote them, the newest few megabytes.
///
/// Positions are counted in bytes over the slot's whole life, so they never repeat; `position % bytes.len()` is the
/// place in memory. The length is a multiple of a packet's, so no packet is ever split by the edge.
struct Ring {
    bytes: Box<[u8]>,
    /// End of what is published; whole packets.
    head: u64,
    /// End of what was read, with the beginning of the next packet.
    written: u64,
    /// The highest `written` ever: what lies a ring's length before it is gone.
    reached: u64,
    inspector: Inspector,
    /// Where the present child's packets begin.
    origin: u64,
    /// The newest place where a viewer can join, and the tables he needs first.
    join: Option<u64>,
    join_tables: Tables,
    /// Bytes that were no packets.
    skipped: u64,
}

impl Ring {
    fn new(mib: usize) -> Self {
        let packets = mib * 1024 * 1024 / PACKET_BYTES;
        Self {
            // Zeroed pages are not touched until they are used, so an idle ring costs no memory.
            bytes: vec![0; packets * PACKET_BYTES].into_boxed_slice(),
            head: 0,
            written: 0,
            reached: 0,
            inspector: Inspector::new(),
            origin: 0,
            join: None,
            join_tables: Tables::new(),
            skipped: 0,
        }
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "less than the ring's length, which is a usize")]
    fn place(&self, position: u64) -> usize {
        (position % self.len()) as usize
    }

    /// Forgets the past child: the next bytes are another's.
    fn begin(&mut self) {
        self.written = self.head;
        self.origin = self.head;
        self.inspector = Inspector::new();
        self.join = None;
        self.join_tables.clear();
        self.skipped = 0;
    }

    /// Where the child's next bytes go. It ends at the edge of the ring.
    fn space(&mut self) -> &mut [u8] {
        let from = self.place(self.head) + self.pending();
        let to = self.bytes.len().min(from + READ_BYTES_MAX);
        self.bytes.get_mut(from..to).unwrap_or_default()
    }

    /// Bytes that were read and are not published.
    #[expect(clippy::cast_possible_truncation, reason = "less than the ring's length, which is a usize")]
    fn pending(&self) -> usize {
        (self.written - self.head) as usize
    }

    /// Publishes the packets among `len` bytes that were put into [`Ring::space`].
    fn wrote(&mut self, len: usize) {
        self.written += len as u64;
        self.reached = self.reached.max(self.written);
        while self.pending() >= PACKET_BYTES {
            let from = self.place(self.head);
            let Some(packet) = self.bytes.get(from..).and_then(|rest| rest.first_chunk::<PACKET_BYTES>()) else {
                unreachable!("the ring's length is a multiple of a packet's");
            };
            if packet.first() != Some(&SYNC_BYTE) {
                if !self.resync() {
                    return;
                }
                continue;
            }
            if self.inspector.packet(packet).join_point {
                self.join = Some(self.head);
                self.join_tables.clear();
                // They fit: both have room for the same number of packets.
                self.join_tables.extend_from_slice(self.inspector.tables()).unwrap_or_default();
            }
            self.head += PACKET_BYTES as u64;
        }
    }

    /// Moves the next packet that is found to where it should be. Says no when more bytes are needed.
    fn resync(&mut self) -> bool {
        let from = self.place(self.head);
        let to = from + self.pending();
        let (skip, found) = match next_sync(self.bytes.get(from..to).unwrap_or_default()) {
            Sync::At(skip) => (skip, true),
            Sync::Need { .. } if to == self.bytes.len() => {
                self.fill_to_edge(from);
                return true;
            }
            Sync::Need { keep_from } => (keep_from, false),
        };
        self.bytes.copy_within(from + skip..to, from);
        self.written -= skip as u64;
        self.skipped += skip as u64;
        found
    }

    /// Gives up what lies before the edge: in so little room no packet can be told from rubbish.
    fn fill_to_edge(&mut self, from: usize) {
        self.skipped += self.pending() as u64;
        for place in self.bytes.get_mut(from..).unwrap_or_default().chunks_exact_mut(PACKET_BYTES) {
            place.copy_from_slice(&NULL_PACKET);
            self.head += PACKET_BYTES as u64;
        }
        self.written = self.head;
    }

    /// Whether what lies at `position` is still there.
    fn holds(&self, position: u64) -> bool {
        position + self.len() >= self.reached
    }

    /// What is published from `position` on, in one piece or, over the edge, in two.
    fn from(&self, position: u64) -> (&[u8], &[u8]) {
        let (start, end) = (self.place(position), self.place(self.head));
        if position == self.head {
            (&[], &[])
        } else if start < end {
            (self.bytes.get(start..end).unwrap_or_default(), &[])
        } else {
            (self.bytes.get(start..).unwrap_or_default(), self.bytes.get(..end).unwrap_or_default())
        }
    }
}

/// What the first packets of a child are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not known yet.
    Open,
    /// Transport stream in formats that clients play.
    Suited,
    /// Transport stream that must be encoded.
    Unsuited,
    /// No transport stream at all.
    NotTransportStream,
}

/// What the page tells about a slot's packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct RelayStats {
    /// Bytes published since the daemon started.
    pub bytes: u64,
    /// Bits a second, over the last second or so.
    pub bits_per_s: u64,
    /// Packets out of order in what the child now playing makes.
    pub continuity_errors: u64,
    /// Viewers that were moved ahead because they were too slow, since the daemon started.
    pub overtaken: u64,
    /// When the child's newest packet came; `None` before its first.
    pub last_packet_at: Option<Mono>,
}

/// The ring of one slot with everything that reads it.
pub(super) struct Relay {
    ring: RefCell<Ring>,
    generation: Cell<Generation>,
    ended: Cell<bool>,
    /// Wakes viewers: packets were published, or the feed ended.
    published: Notify,
    /// Wakes the reader: a viewer moved or came.
    moved: Notify,
    /// How far each viewer is; a seat without viewer is `None`.
    cursors: RefCell<Vec<Option<u64>>>,
    /// Where the last viewer of the present child was when he left; `None` while nobody came.
    left_at: Cell<Option<u64>>,
    stats: Cell<RelayStats>,
    rate_mark: Cell<(Mono, u64)>,
}

impl Relay {
    pub(super) fn new(ring_mib: usize) -> Rc<Self> {
        Rc::new(Self {
            ring: RefCell::new(Ring::new(ring_mib)),
            generation: Cell::new(Generation(0)),
            ended: Cell::new(true),
            published: Notify::new(),
            moved: Notify::new(),
            cursors: RefCell::new(Vec::new()),
            left_at: Cell::new(None),
            stats: Cell::default(),
            rate_mark: Cell::default(),
        })
    }

    /// A new child's packets come next.
    pub(super) fn begin(&self, generation: Generation) {
        self.ring.borrow_mut().begin();
        self.generation.set(generation);
        self.ended.set(false);
        self.left_at.set(None);
        self.stats.set(RelayStats { bits_per_s: 0, continuity_errors: 0, last_packet_at: None, ..self.stats.get() });
        self.rate_mark.set((clock::mono(), self.stats.get().bytes));
        // Whoever still reads the old feed has to see that it is over.
        self.published.notify_waiters();
    }

    /// No more packets come; viewers end when they have read what is there.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.published.notify_waiters();
        self.moved.notify_waiters();
    }

    /// Lets `read` put bytes into the ring and publishes the packets among them.
    pub(super) fn fill(&self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let mut ring = self.ring.borrow_mut();
        let before = ring.head;
        let len = read(ring.space())?;
        ring.wrote(len);
        let now = clock::mono();
        let mut stats = self.stats.get();
        stats.bytes += ring.head - before;
        stats.continuity_errors = ring.inspector.counters().continuity_errors;
        if ring.head > before {
            stats.last_packet_at = Some(now);
        }
        let (marked_at, marked_bytes) = self.rate_mark.get();
        let elapsed_ms = now.ms_since(marked_at);
        if elapsed_ms >= 1_000 {
            stats.bits_per_s = (stats.bytes - marked_bytes) * 8_000 / elapsed_ms;
            self.rate_mark.set((now, stats.bytes));
        }
        self.stats.set(stats);
        if ring.head > before {
            self.published.notify_waiters();
        }
        Ok(len)
    }

    /// What the child's packets are, as far as they tell.
    pub(super) fn verdict(&self) -> Verdict {
        let ring = self.ring.borrow();
        match ring.inspector.streams() {
            Some(streams) if streams.suits_clients() => Verdict::Suited,
            Some(_) => Verdict::Unsuited,
            None if ring.skipped > GARBAGE_BYTES_MAX => Verdict::NotTransportStream,
            None => Verdict::Open,
        }
    }

    pub(super) fn stats(&self) -> RelayStats {
        self.stats.get()
    }

    /// Waits until the fastest viewer has read what the next bytes would overwrite, but not longer than
    /// [`GATE_MS_MAX`]: a file served faster than it plays is slowed to the pace of who watches it, while a viewer
    /// who stopped reading cannot stop a live source.
    pub(super) async fn gate(&self, patience: &mut Patience) {
        loop {
            if self.ended.get() || !self.would_overtake_all() {
                *patience = Patience::default();
                return;
            }
            let until = *patience.until.get_or_insert_with(|| clock::mono().plus_ms(GATE_MS_MAX));
            if clock::mono() >= until {
                return;
            }
            tokio::select! {
                () = self.moved.notified() => {}
                () = clock::until(Some(until)) => return,
            }
        }
    }

    /// Whether the next read could overwrite what even the fastest viewer, or who waits for the start, has not read.
    fn would_overtake_all(&self) -> bool {
        let ring = self.ring.borrow();
        let fastest = self.cursors.borrow().iter().flatten().max().copied();
        // Who leaves may come back in a moment, and a file must not have run on meanwhile.
        let needed = fastest.or(self.left_at.get()).unwrap_or(ring.origin);
        needed + ring.len() < ring.written + READ_BYTES_MAX as u64
    }
}

/// How long the reader has waited for viewers.
#[derive(Default)]
pub(super) struct Patience {
    until: Option<Mono>,
}

/// How far a viewer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// He has everything that is there.
    CaughtUp,
    /// His socket takes no more for now.
    Blocked,
    /// The feed is over and he has all of it.
    Ended,
}

/// A viewer's place in a feed.
pub(super) struct Cursor {
    relay: Rc<Relay>,
    generation: Generation,
    seat: usize,
    /// Next byte to send, always the beginning of a packet; `None` while there is no place to join yet.
    position: Option<u64>,
    /// What goes out before it: tables at a join, and the rest of a packet whose beginning was sent.
    /// Room for it is taken at the start; only tables that grow on the way take more.
    first: Vec<u8>,
}

impl Cursor {
    /// `from_start`: at the child's very first packet, which is right for who waited for it; otherwise at the newest
    /// place where a viewer can join.
    pub(super) fn new(relay: &Rc<Relay>, from_start: bool) -> Self {
        let seat = {
            let mut cursors = relay.cursors.borrow_mut();
            let free = cursors.iter().position(Option::is_none);
            free.unwrap_or_else(|| {
                cursors.push(None);
                cursors.len() - 1
            })
        };
        let mut cursor = Self {
            relay: Rc::clone(relay),
            generation: relay.generation.get(),
            seat,
            position: None,
            first: Vec::new(),
        };
        let ring = relay.ring.borrow();
        // A PAT and a PMT are a packet each, as a rule.
        cursor.first.reserve_exact(ring.join_tables.len().max(2 * PACKET_BYTES) + PACKET_BYTES);
        if from_start && ring.holds(ring.origin) {
            cursor.position = Some(ring.origin);
        } else {
            cursor.join(&ring);
        }
        cursor.set_seat(Some(cursor.position.unwrap_or(ring.head)));
        drop(ring);
        cursor
    }

    fn join(&mut self, ring: &Ring) {
        self.position = ring.join.filter(|join| ring.holds(*join));
        if self.position.is_some() {
            self.first.extend_from_slice(&ring.join_tables);
        }
    }

    fn set_seat(&self, position: Option<u64>) {
        if let Some(seat) = self.relay.cursors.borrow_mut().get_mut(self.seat) {
            *seat = position;
        }
        self.relay.moved.notify_waiters();
    }

    /// Whether the feed has ended or has made place for another.
    fn is_over(&self) -> bool {
        self.relay.ended.get() || self.relay.generation.get() != self.generation
    }

    /// Sends what is there with `write`, which takes what it can and may say [`io::ErrorKind::WouldBlock`].
    pub(super) fn send(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<Progress> {
        let relay = Rc::clone(&self.relay);
        let ring = relay.ring.borrow();
        loop {
            if relay.generation.get() != self.generation {
                return Ok(Progress::Ended);
            }
            if self.position.is_some_and(|position| !ring.holds(position)) {
                relay.stats.set(RelayStats { overtaken: relay.stats.get().overtaken + 1, ..relay.stats.get() });
                self.join(&ring);
            } else if self.position.is_none() {
                self.join(&ring);
            }
            let Some(position) = self.position else {
                // Keeps the reader from waiting for somebody who waits for it.
                self.set_seat(Some(ring.head));
                return Ok(if self.is_over() { Progress::Ended } else { Progress::CaughtUp });
            };
            let (one, two) = ring.from(position);
            if self.first.is_empty() && one.is_empty() {
                return Ok(if self.is_over() { Progress::Ended } else { Progress::CaughtUp });
            }
            let sent = match write(&[IoSlice::new(&self.first), IoSlice::new(one), IoSlice::new(two)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.advance(&ring, position, sent);
        }
    }

    /// Moves on by `sent` bytes, and keeps the rest of a packet that was begun, so that it is sent whole even if the
    /// ring moves on meanwhile.
    fn advance(&mut self, ring: &Ring, position: u64, sent: usize) {
        let of_first = sent.min(self.first.len());
        let left = self.first.len() - of_first;
        self.first.copy_within(of_first.., 0);
        self.first.truncate(left);
        let of_ring = sent - of_first;
        let begun = of_ring % PACKET_BYTES;
        let mut next = position + of_ring as u64;
        if begun > 0 {
            let (rest, _) = ring.from(next);
            let rest = rest.get(..PACKET_BYTES - begun).unwrap_or_default();
            // `first` is empty here: the socket took all of it before it took any of the ring.
            self.first.extend_from_slice(rest);
            next += rest.len() as u64;
        }
        self.position = Some(next);
        self.set_seat(self.position);
    }

    /// Waits for more packets, or for the end.
    pub(super) async fn more(&self) {
        self.relay.published.notified().await;
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if self.relay.generation.get() == self.generation {
            self.relay.left_at.set(self.position.max(self.relay.left_at.get()));
        }
        self.set_seat(None);
    }
}

#[cfg(test)]
mod tests;

//! The ring of one slot, and the cursors of its viewers.
//!
//! A child's packets go into the ring once; a viewer is a cursor, not a buffer. Only whole packets are published. A
//! viewer who falls behind so far that his packets are overwritten is moved to the newest place where he can join,
//! after the packet that he had begun to send; nobody waits for him.
//!
//! A *feed* is what viewers see: the output of one child or, where a child ends and another takes over, of several,
//! joined by a seam. Between two children viewers are held: each gets a packet that carries nothing now and then. Those
//! packets are the viewers' own; they are never in the ring, and never counted as output (I20). Where a gap lasts, a
//! *slate* may be played into the ring, joined on like a child, but it is none: it ends with the first byte of the next
//! child, and nothing that judges children gets to see it.
//!
//! What is *not* here: how a slate is played (`relay/slate.rs`), segments (`relay/segments.rs`), pipes and processes ([`super::process`]), sockets
//! (`doors::http::media`), who may watch and for how long a viewer is held (`pure::rules::pool`), and what joining
//! means (`pure::wire::ts::seam`).
//!
//! Nothing here allocates per packet, and nothing waits while it holds the ring.

mod pages;
pub(super) mod segments;
mod slate;

use super::slates::Slate;
use crate::clock;
use heapless::Deque;
use pure::limits::{
    CLOCK_STALL_MS, EXCERPT_BYTES_MAX, EXCERPT_MS_MIN, GATE_MS_MAX, JOIN_MARK_MS, JOIN_MARKS, NULL_EVERY_MS,
    READ_BYTES_MAX, TABLE_PACKETS_MAX,
};
use pure::rules::admission::Work;
use pure::rules::pool::Generation;
use pure::time::Mono;
use pure::wire::ts::seam::Seam;
use pure::wire::ts::{Codec, Inspector, NULL_PACKET, PACKET_BYTES, SYNC_BYTE, Streams, Suits, Sync, next_sync};
use segments::Segments;
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
    /// Sees what goes out, behind the seam.
    inspector: Inspector,
    /// Joins the present child's packets to those of the one before it; none while it is the feed's first.
    seam: Option<Seam>,
    /// What was published last is a slate's: the child's first byte begins its own packets.
    is_slate: bool,
    /// Where the present child's packets begin.
    origin: u64,
    /// The newest place where a viewer can join, and the tables he needs first.
    join: Option<u64>,
    join_tables: Tables,
    /// The last few of these places since the present child's tables are known, some way apart.
    marks: Deque<Mark, JOIN_MARKS>,
    segments: Segments,
    /// Bytes that were no packets.
    skipped: u64,
}

/// Where a viewer could join, and when that came.
#[derive(Debug)]
struct Mark {
    position: u64,
    at: Mono,
}

/// What was among the bytes of one read.
#[derive(Default)]
struct Arrived {
    packets: bool,
    /// A unit of the leading stream began: a picture or, without pictures, a piece of sound.
    picture: bool,
}

impl Ring {
    fn new(mib: usize) -> Self {
        let packets = mib * 1024 * 1024 / PACKET_BYTES;
        Self {
            // Zeroed pages are not touched until they are used, and an idle ring gives them back: it costs no memory.
            bytes: vec![0; packets * PACKET_BYTES].into_boxed_slice(),
            head: 0,
            written: 0,
            reached: 0,
            inspector: Inspector::new(),
            seam: None,
            is_slate: false,
            origin: 0,
            join: None,
            join_tables: Tables::new(),
            marks: Deque::new(),
            segments: Segments::default(),
            skipped: 0,
        }
    }

    /// Nobody reads it any more: nothing of it is remembered, and its memory is the board's again.
    fn rest(&mut self) {
        self.join = None;
        self.marks.clear();
        self.forget_segments();
        pages::give_back(&mut self.bytes);
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "less than the ring's length, which is a usize")]
    fn place(&self, position: u64) -> usize {
        (position % self.len()) as usize
    }

    /// The next bytes are another child's. What its predecessor left of a packet is dropped (F13).
    fn begin(&mut self, continues: bool) {
        self.break_segment();
        self.written = self.head;
        self.is_slate = false;
        self.origin = self.head;
        self.skipped = 0;
        self.marks.clear();
        if continues {
            self.seam = Some(Seam::new(&mut self.inspector));
        } else {
            self.forget_segments();
            self.seam = None;
            self.inspector = Inspector::new();
            self.join = None;
            self.join_tables.clear();
        }
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
    fn wrote(&mut self, len: usize, now: Mono) -> Arrived {
        let mut arrived = Arrived::default();
        self.written += len as u64;
        self.reached = self.reached.max(self.written);
        let mut from = self.place(self.head);
        while self.pending() >= PACKET_BYTES {
            let Some(packet) = self.bytes.get_mut(from..).and_then(<[u8]>::first_chunk_mut::<PACKET_BYTES>) else {
                unreachable!("the ring's length is a multiple of a packet's");
            };
            if packet.first() != Some(&SYNC_BYTE) {
                if !self.resync() {
                    break;
                }
                from = self.place(self.head);
                continue;
            }
            if let Some(seam) = &mut self.seam {
                seam.packet(packet, &self.inspector);
            }
            let seen = self.inspector.packet(packet);
            arrived.packets = true;
            arrived.picture |= seen.unit_start;
            if seen.streams_changed {
                self.marks.clear();
                self.break_segment();
            }
            if seen.join_point {
                self.mark(now);
                self.segment();
            }
            self.head += PACKET_BYTES as u64;
            from += PACKET_BYTES;
        }
        arrived
    }

    /// A viewer can join at the packet that is published next.
    fn mark(&mut self, now: Mono) {
        self.join = Some(self.head);
        self.join_tables.clear();
        // They fit: both have room for the same number of packets.
        self.join_tables.extend_from_slice(self.inspector.tables()).unwrap_or_default();
        if self.marks.back().is_none_or(|last| now.ms_since(last.at) >= JOIN_MARK_MS) {
            if self.marks.is_full() {
                self.marks.pop_front();
            }
            self.marks.push_back(Mark { position: self.head, at: now }).unwrap_or_default();
        }
    }

    /// Where the newest packets begin that show what the child makes, `EXCERPT_MS_MIN` of them if there are as many;
    /// and the tables for them. `until` is when the newest packet came.
    fn excerpt(&self, until: Mono) -> (&[u8], u64) {
        let held = || self.marks.iter().filter(|mark| self.holds(mark.position));
        let old_enough = |mark: &&Mark| until.ms_since(mark.at) >= EXCERPT_MS_MIN;
        if let Some(mark) = held().rfind(old_enough).or_else(|| held().next()) {
            return (&self.join_tables, mark.position);
        }
        // No place to join: the newest packets, whatever they are.
        let room = self.len().min(EXCERPT_BYTES_MAX as u64) / PACKET_BYTES as u64 * PACKET_BYTES as u64;
        let mut from = self.origin.max(self.head.saturating_sub(room));
        while !self.holds(from) {
            from += PACKET_BYTES as u64;
        }
        (self.inspector.tables(), from)
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
    /// Transport stream that takes more than copying.
    Unsuited(Work),
    /// No transport stream at all.
    NotTransportStream,
}

/// What the child's tables promise, for judging what somebody else finds in its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expect {
    /// A picture.
    pub(super) video: bool,
    /// Sound.
    pub(super) audio: bool,
}

/// What the page and the rules are told about a slot's packets.
#[derive(Clone, Copy, Debug)]
pub struct RelayStats {
    /// The child now or last playing, whose these packets are.
    pub generation: Generation,
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
    /// When its newest picture began or, without pictures, its newest piece of sound; `None` before its first, and as
    /// long as its tables are not known.
    pub last_picture_at: Option<Mono>,
    /// When its clock last moved; `None` before that.
    pub last_clock_at: Option<Mono>,
    /// How far its clock has run; `None` as long as it has none.
    pub played_ms: Option<u64>,
    /// The longest that it was ever silent between two packets.
    pub silent_ms_max: u64,
}

impl RelayStats {
    const fn new(generation: Generation) -> Self {
        Self {
            generation,
            bytes: 0,
            bits_per_s: 0,
            continuity_errors: 0,
            overtaken: 0,
            last_packet_at: None,
            last_picture_at: None,
            last_clock_at: None,
            played_ms: None,
            silent_ms_max: 0,
        }
    }

    /// Whether packets come and their clock stands still: players wait for it, and show nothing.
    pub fn clock_stalled(&self) -> bool {
        match (self.last_packet_at, self.last_clock_at) {
            (Some(packet_at), Some(clock_at)) => packet_at.ms_since(clock_at) >= CLOCK_STALL_MS,
            _ => false,
        }
    }
}

/// Between two children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// The child makes packets, or is thought to.
    None,
    /// It is ending or gone. What it still makes is passed on, and changes nothing.
    Open,
    /// The next one has begun; its first packet ends the gap.
    Closing,
    /// The feed has had no child yet. What still comes is that of another feed's, perhaps of another channel.
    Empty,
}

/// The ring of one slot with everything that reads it.
pub(super) struct Relay {
    ring: RefCell<Ring>,
    /// Which feed, counted from 1: a cursor ends with its own.
    feed: Cell<u64>,
    ended: Cell<bool>,
    gap: Cell<Gap>,
    /// What is played in the gap, and how often something has begun to be.
    slate: RefCell<Option<Rc<Slate>>>,
    slates: Cell<u64>,
    /// Wakes viewers: packets were published, a gap or the end has come, or one of them is closed.
    published: Notify,
    /// Wakes the reader: a viewer moved or came.
    moved: Notify,
    /// How far each viewer is; a seat without viewer is `None`.
    cursors: RefCell<Vec<Option<u64>>>,
    /// Where the last viewer of the present feed was when he left; `None` while nobody came.
    left_at: Cell<Option<u64>>,
    stats: Cell<RelayStats>,
    rate_mark: Cell<(Mono, u64)>,
    /// How often the child's clock had moved.
    clock_moves: Cell<u64>,
}

impl Relay {
    pub(super) fn new(ring_mib: usize) -> Rc<Self> {
        Rc::new(Self {
            ring: RefCell::new(Ring::new(ring_mib)),
            feed: Cell::new(0),
            ended: Cell::new(true),
            gap: Cell::new(Gap::None),
            slate: RefCell::default(),
            slates: Cell::new(0),
            published: Notify::new(),
            moved: Notify::new(),
            cursors: RefCell::new(Vec::new()),
            left_at: Cell::new(None),
            stats: Cell::new(RelayStats::new(Generation(0))),
            rate_mark: Cell::default(),
            clock_moves: Cell::default(),
        })
    }

    /// A new child's packets come next. With `continues` they go on where the child before it stopped, for the same
    /// viewers; a feed that has ended does not go on.
    pub(super) fn begin(&self, generation: Generation, continues: bool) {
        self.start(generation, continues && !self.ended.get());
        self.gap.set(Gap::Closing);
        // Whoever still reads the old feed has to see that it is over.
        self.wake();
    }

    fn start(&self, generation: Generation, continues: bool) {
        let mut ring = self.ring.borrow_mut();
        if !continues {
            self.hide();
        }
        // A slate goes on until there is something better.
        if !(continues && ring.is_slate) {
            ring.begin(continues);
        }
        if !continues {
            self.feed.set(self.feed.get() + 1);
            self.ended.set(false);
            self.left_at.set(None);
        }
        let RelayStats { bytes, overtaken, .. } = self.stats.get();
        self.stats.set(RelayStats { bytes, overtaken, ..RelayStats::new(generation) });
        self.rate_mark.set((clock::mono(), bytes));
        self.clock_moves.set(ring.inspector.clock_moves());
    }

    /// The child is ending, gone, or not there yet, and viewers hold on: whoever has read everything gets a null
    /// packet every [`NULL_EVERY_MS`], until packets of another child come. What this one still writes is passed on.
    /// To be said again when a child is gone that made a packet or two, and viewers still hold on.
    ///
    /// Where no feed runs, a new one begins, for viewers who are admitted before there is anything to see: who played
    /// before must have been ended by then.
    pub(super) fn gap(&self) {
        if self.ended.get() {
            self.start(self.stats.get().generation, false);
            self.gap.set(Gap::Empty);
        } else if self.gap.get() == Gap::None {
            self.gap.set(Gap::Open);
        }
        self.wake();
    }

    /// What comes next is of the same source and follows on nothing: other streams perhaps, and another clock. For the
    /// viewers it goes on.
    pub(super) fn splice(&self) {
        let mut ring = self.ring.borrow_mut();
        if ring.head > ring.origin {
            ring.break_segment();
            ring.written = ring.head;
            ring.marks.clear();
            ring.seam = Some(Seam::new(&mut ring.inspector));
        }
    }

    /// No more packets come; viewers end when they have read what is there.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.gap.set(Gap::None);
        self.hide();
        self.wake();
        self.moved.notify_waiters();
    }

    /// Which feed this is, as a mark for [`Self::rest`].
    pub(super) fn feed(&self) -> u64 {
        self.feed.get()
    }

    /// Lets the ring rest, if nothing has played since that feed ended, and nobody reads it any more.
    pub(super) fn rest(&self, feed: u64) {
        if self.ended.get() && self.feed.get() == feed && self.cursors.borrow().iter().all(Option::is_none) {
            self.ring.borrow_mut().rest();
        }
    }

    /// Lets viewers see what has changed: one of them may be closed.
    pub(super) fn wake(&self) {
        self.published.notify_waiters();
    }

    /// Lets `read` put bytes into the ring and publishes the packets among them.
    pub(super) fn fill(&self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let mut ring = self.ring.borrow_mut();
        let len = read(ring.space())?;
        if self.gap.get() == Gap::Empty {
            return Ok(len);
        }
        if len > 0 {
            self.hide();
            if ring.is_slate {
                // A slate leaves whole packets only, so that these bytes lie where the child's first ones belong.
                ring.begin(true);
                self.clock_moves.set(ring.inspector.clock_moves());
            }
        }
        let before = ring.head;
        let now = clock::mono();
        let arrived = ring.wrote(len, now);
        let mut stats = self.stats.get();
        stats.bytes += ring.head - before;
        stats.continuity_errors = ring.inspector.counters().continuity_errors;
        if arrived.packets {
            let silent_ms = stats.last_packet_at.map_or(0, |last_at| now.ms_since(last_at));
            stats.silent_ms_max = stats.silent_ms_max.max(silent_ms);
            stats.last_packet_at = Some(now);
            stats.played_ms = ring.inspector.clock_ran_ms();
            if self.gap.get() == Gap::Closing {
                self.gap.set(Gap::None);
            }
        }
        if arrived.picture {
            stats.last_picture_at = Some(now);
        }
        if self.clock_moves.replace(ring.inspector.clock_moves()) != ring.inspector.clock_moves() {
            stats.last_clock_at = Some(now);
        }
        let (marked_at, marked_bytes) = self.rate_mark.get();
        let elapsed_ms = now.ms_since(marked_at);
        if elapsed_ms >= 1_000 {
            stats.bits_per_s = (stats.bytes - marked_bytes) * 8_000 / elapsed_ms;
            self.rate_mark.set((now, stats.bytes));
        }
        self.stats.set(stats);
        if arrived.packets {
            self.published.notify_waiters();
        }
        Ok(len)
    }

    /// Of which streams the child's output consists; nothing while its tables are not known.
    pub(super) fn streams(&self) -> Option<Streams> {
        let ring = self.ring.borrow();
        ring.inspector.streams().filter(|_| !ring.is_slate).cloned()
    }

    /// What the child's packets are, as far as they tell.
    pub(super) fn verdict(&self) -> Verdict {
        let ring = self.ring.borrow();
        match ring.inspector.streams() {
            Some(streams) => match streams.suits_clients() {
                Suits::Whole => Verdict::Suited,
                Suits::AllButSound => Verdict::Unsuited(Work::Sound),
                Suits::Nothing => Verdict::Unsuited(Work::Encode),
            },
            None if ring.skipped > GARBAGE_BYTES_MAX => Verdict::NotTransportStream,
            None => Verdict::Open,
        }
    }

    /// What the child's tables promise; nothing while they are not known.
    pub(super) fn expects(&self) -> Expect {
        let ring = self.ring.borrow();
        ring.inspector.streams().map_or(Expect::default(), |streams| Expect {
            video: streams.video_codec().is_some(),
            audio: streams.audio_codec().is_some(),
        })
    }

    /// How the child's picture and its sound are coded; nothing while its tables are not known.
    pub(super) fn codecs(&self) -> (Option<Codec>, Option<Codec>) {
        let ring = self.ring.borrow();
        let streams = ring.inspector.streams();
        streams.map_or((None, None), |streams| (streams.video_codec(), streams.audio_codec()))
    }

    /// Puts the last second or two of what the child made into `into`, for somebody who looks at it: tables, then whole
    /// packets from a place where one can join, [`EXCERPT_BYTES_MAX`] at most. Without such a place, its newest packets.
    /// Says where they begin, which is nowhere twice.
    pub(super) fn excerpt(&self, into: &mut Vec<u8>) -> u64 {
        let ring = self.ring.borrow();
        let (tables, from) = ring.excerpt(self.stats.get().last_packet_at.unwrap_or_default());
        into.clear();
        into.extend_from_slice(tables);
        let mut room = EXCERPT_BYTES_MAX.saturating_sub(into.len()) / PACKET_BYTES * PACKET_BYTES;
        let (one, two) = ring.from(from);
        for piece in [one, two] {
            let part = piece.get(..room).unwrap_or(piece);
            into.extend_from_slice(part);
            room -= part.len();
        }
        from
    }

    /// Whose packets these are: the child now or last playing.
    pub(super) fn generation(&self) -> Generation {
        self.stats.get().generation
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
    feed: u64,
    /// Whether he is to end, whatever the feed does.
    closed: Rc<Cell<bool>>,
    seat: usize,
    /// Next byte to send, always the beginning of a packet; `None` while there is no place to join yet.
    position: Option<u64>,
    /// What goes out before it: tables at a join, and the rest of a packet whose beginning was sent.
    /// Room for it is taken at the start; only tables that grow on the way take more.
    first: Vec<u8>,
    /// When he gets the next null packet; `None` unless he has read everything in a gap.
    null_at: Option<Mono>,
}

impl Cursor {
    /// `from_start`: at the child's very first packet, which is right for who waited for it; otherwise at the newest
    /// place where a viewer can join. Who sets `closed`, and says [`Relay::wake`], ends this one viewer.
    pub(super) fn new(relay: &Rc<Relay>, from_start: bool, closed: Rc<Cell<bool>>) -> Self {
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
            // Who was closed before he came has no feed: it may be another's by now.
            feed: if closed.get() { 0 } else { relay.feed.get() },
            closed,
            seat,
            position: None,
            first: Vec::new(),
            null_at: None,
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

    /// Whether the feed has ended or has made place for another, or he is closed.
    pub(super) fn is_over(&self) -> bool {
        self.relay.ended.get() || self.relay.feed.get() != self.feed || self.closed.get()
    }

    /// Sends what is there with `write`, which takes what it can and may say [`io::ErrorKind::WouldBlock`].
    pub(super) fn send(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<Progress> {
        let relay = Rc::clone(&self.relay);
        let ring = relay.ring.borrow();
        loop {
            if relay.feed.get() != self.feed {
                return Ok(Progress::Ended);
            }
            if self.position.is_some_and(|position| !ring.holds(position)) {
                relay.stats.set(RelayStats { overtaken: relay.stats.get().overtaken + 1, ..relay.stats.get() });
                self.join(&ring);
            } else if self.position.is_none() {
                self.join(&ring);
            }
            let (one, two) = self.position.map_or_else(Default::default, |position| ring.from(position));
            if self.first.is_empty() && one.is_empty() {
                if self.position.is_none() {
                    // Keeps the reader from waiting for somebody who waits for it.
                    self.set_seat(Some(ring.head));
                }
                if self.is_over() {
                    return Ok(Progress::Ended);
                }
                if !self.is_given_null() {
                    return Ok(Progress::CaughtUp);
                }
            }
            let sent = match write(&[IoSlice::new(&self.first), IoSlice::new(one), IoSlice::new(two)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.advance(&ring, sent);
        }
    }

    /// Gives a viewer who has everything a null packet, if a gap has lasted long enough. It goes between two packets:
    /// nothing is half sent when there is nothing left to send.
    fn is_given_null(&mut self) -> bool {
        if self.relay.gap.get() == Gap::None {
            self.null_at = None;
            return false;
        }
        let now = clock::mono();
        let due = *self.null_at.get_or_insert(now.plus_ms(NULL_EVERY_MS));
        if now < due {
            return false;
        }
        self.null_at = Some(now.plus_ms(NULL_EVERY_MS));
        self.first.extend_from_slice(&NULL_PACKET);
        true
    }

    /// Moves on by `sent` bytes, and keeps the rest of a packet that was begun, so that it is sent whole even if the
    /// ring moves on meanwhile.
    fn advance(&mut self, ring: &Ring, sent: usize) {
        let of_first = sent.min(self.first.len());
        let left = self.first.len() - of_first;
        self.first.copy_within(of_first.., 0);
        self.first.truncate(left);
        let (Some(position), of_ring @ 1..) = (self.position, sent - of_first) else { return };
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
        self.null_at = None;
        self.set_seat(self.position);
    }

    /// Waits for more packets, for the end, or until a null packet is due.
    pub(super) async fn more(&self) {
        match self.null_at {
            None => self.relay.published.notified().await,
            due => tokio::select! {
                () = self.relay.published.notified() => {}
                () = clock::until(due) => {}
            },
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if self.relay.feed.get() == self.feed {
            self.relay.left_at.set(self.position.max(self.relay.left_at.get()));
        }
        self.set_seat(None);
    }
}

#[cfg(test)]
mod tests;

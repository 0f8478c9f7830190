//! Joins the packets of a new child to those of the child before it, so that a viewer's one stream goes on.
//!
//! A seam rewrites packets where they lie. After it,
//!
//! - **counters** go on in every stream that was there before;
//! - **time** goes on about where it stopped. Clock, PTS and DTS of all streams are shifted by the same ticks, so sound
//!   and picture stay in step, and so far that neither the clock nor any stream runs backwards. How far is settled by
//!   the child's first clock and stamps, with some room for streams that show up later and begin earlier. If that is
//!   not enough for one of them, all are shifted a little further from there on;
//! - **tables** that say something else than before under the same version get the next version, without which
//!   receivers would not read them, and a new check sum. Sections longer than a packet cannot be compared before they
//!   go out; they get the next version whenever theirs is the same as before, which costs receivers a look;
//! - **discontinuities** that the child marks because it begins are taken back, since there is none any more; one is
//!   marked where the clock moves to another stream, which receivers cannot tell from a jump.
//!
//! Left alone: packets that are damaged, and null packets; stamps in scrambled payload, while their clock, which is in
//! the clear, is shifted; OPCR, ESCR and splice points (see `ts/stamps.rs`); gaps and jumps within what a child makes;
//! counters of streams beyond the first [`PIDS_MAX`] of a child; streams whose time is more than ten seconds away from
//! the programme's clock, as some subtitles have it: they are shifted like all others, but nothing waits for them.
//!
//! The first child needs no seam, and costs nothing: how far its streams came is known to the [`Inspector`].
//!
//! Source: ISO/IEC 13818-1, 2.4.3.3 (counter), 2.4.3.5 (discontinuity), 2.4.4 (versions); what receivers do with a
//! version: FFmpeg's `libavformat/mpegts.c`, `skip_identical`.

use crate::wire::ts::continuity::{NEAR_TICKS, UNIT_TICKS};
use crate::wire::ts::stamps::{self, SECOND, Stamps, Ticks};
use crate::wire::ts::tables::{
    CRC_BYTES, Edition, PAT_PID, PAT_TABLE, PMT_TABLE, SECTION_HEAD_BYTES, VERSION_AT, crc32_mpeg2, crc32_step, length,
};
use crate::wire::ts::{Inspector, NULL_PID, PACKET_BYTES, PIDS_MAX, Packet, PacketBytes};
use core::mem;
use heapless::Vec;

/// What turns a child's packets into the continuation of another's.
#[derive(Debug)]
pub struct Seam {
    counters: Vec<Counter, PIDS_MAX>,
    /// Where time stopped; none if it never began.
    stopped: Option<Ticks>,
    /// Where the clock is to go on at the earliest.
    clock_goal: Option<Ticks>,
    /// By how many ticks times are shifted; none until the child has shown a time.
    shift: Option<i64>,
    /// Whether the child has shown its clock, and a stamp.
    clock_seen: bool,
    stamps_seen: bool,
    /// Which stream had the clock so far.
    clock_pid: Option<u16>,
    pat: Table,
    pmt: Table,
}

/// How the counter of a stream is shifted.
#[derive(Debug)]
struct Counter {
    pid: u16,
    by: u8,
}

/// How much earlier than the first stream that shows up another may begin, as a rule: encoders give sound a frame or
/// two as a head start, and muxers gather several of its frames before they send them.
const HEAD_START_TICKS: i64 = SECOND / 20;

impl Seam {
    /// Begins a seam. What `inspector` sees from now on is another child's, after it has passed here.
    pub fn new(inspector: &mut Inspector) -> Self {
        let editions = inspector.tables.editions();
        let clock = inspector.clock.map(|clock| (clock.time, clock.past));
        // A clock that the last child did not have any more may be far behind.
        let stopped = match clock {
            Some((time, false)) => Some(time),
            _ => inspector.continuity.present().or(clock.map(|(time, _)| time)),
        };
        let seam = Self {
            counters: Vec::new(),
            stopped,
            clock_goal: clock.map(|(time, _)| time.plus(UNIT_TICKS)).filter(|time| near(*time, stopped)).or(stopped),
            shift: None,
            clock_seen: false,
            stamps_seen: false,
            clock_pid: inspector.clock.map(|clock| clock.pid),
            pat: Table::new(editions.pat),
            pmt: Table::new(editions.pmt),
        };
        inspector.go_on();
        seam
    }

    /// Makes the child's next packet a continuation. `inspector` has seen all packets before it and sees it next.
    pub fn packet(&mut self, bytes: &mut PacketBytes, inspector: &Inspector) {
        let packet = Packet::new(bytes);
        let pid = packet.pid();
        if !packet.synced() || packet.transport_error() || pid == NULL_PID {
            return;
        }
        let (counter, clock, stamps) = (packet.continuity(), packet.clock(), packet.stamps());
        let (has_payload, starts) = (packet.has_payload(), packet.payload_unit_start());
        let payload_at = PACKET_BYTES - packet.payload().len();
        let mut discontinuity = packet.discontinuity();

        let known = self.counters.iter().find(|counter| counter.pid == pid).map(|counter| counter.by);
        let by = known.unwrap_or_else(|| {
            let expected = inspector.continuity.expected(packet);
            // The child's mark of its own beginning.
            discontinuity &= expected.is_none();
            let by = expected.map_or(0, |expected| expected.wrapping_sub(counter) & 0x0F);
            if self.counters.push(Counter { pid, by }).is_ok() { by } else { 0 }
        });
        if let (Some(_), false) = (clock, self.clock_seen) {
            discontinuity |= self.clock_pid.is_some_and(|before| before != pid);
        }
        if clock.is_some() || stamps.is_some() {
            self.reckon(pid, clock, stamps, inspector);
        }

        set_counter(bytes, counter.wrapping_add(by));
        set_discontinuity(bytes, discontinuity);
        if let Some(shift) = self.shift.filter(|shift| *shift != 0) {
            if let Some(clock) = clock {
                set_clock(bytes, clock.plus(shift));
            }
            if starts && bytes[3] & 0xC0 == 0 {
                stamps::shift(bytes.get_mut(payload_at..).unwrap_or_default(), shift);
            }
        }
        if has_payload && inspector.tables.want(pid) {
            let payload = bytes.get_mut(payload_at..).unwrap_or_default();
            if pid == PAT_PID {
                self.pat.packet(PAT_TABLE, None, counter, starts, payload);
            } else {
                self.pmt.packet(PMT_TABLE, inspector.tables.programme_number(), counter, starts, payload);
            }
        }
    }

    /// Settles the shift by the times of a packet, if they are among the child's first.
    fn reckon(&mut self, pid: u16, clock: Option<Ticks>, stamps: Option<Stamps>, inspector: &Inspector) {
        if let (Some(clock), Some(goal), false) = (clock, self.clock_goal, self.clock_seen) {
            // The clock is what the whole programme goes by, so here a stamp that led astray is overruled.
            let wanted = goal.since(clock);
            let further = self.shift.map_or(wanted, |shift| apart(wanted, shift));
            if self.shift.is_none() || !(-NEAR_TICKS..=0).contains(&further) {
                self.shift = Some(wanted);
            }
        }
        self.clock_seen |= clock.is_some();
        let Some(stamps) = stamps else { return };
        let all = !mem::replace(&mut self.stamps_seen, true);
        for (stream, times) in inspector.continuity.past().filter(|(stream, _)| all || *stream == pid) {
            let head_start = if stream == pid { 0 } else { HEAD_START_TICKS };
            for (next, time) in [(times.next_dts(), stamps.dts), (times.next_pts(), stamps.pts)] {
                if near(next, self.stopped) {
                    let wanted = next.plus(head_start).since(time);
                    let further = apart(wanted, *self.shift.get_or_insert(wanted));
                    // Without a clock, a stream that was there before knows better than one that was not.
                    let is_astray = !self.clock_seen && further.abs() > NEAR_TICKS;
                    if (1..=NEAR_TICKS).contains(&further) || is_astray {
                        self.shift = Some(wanted);
                    }
                }
            }
        }
        if let (None, Some(stopped)) = (self.shift, self.stopped) {
            self.shift = Some(stopped.since(stamps.dts));
        }
    }
}

/// Whether a time is related to where time stopped.
fn near(time: Ticks, stopped: Option<Ticks>) -> bool {
    stopped.is_some_and(|stopped| (-NEAR_TICKS..=NEAR_TICKS).contains(&time.since(stopped)))
}

/// How much further one shift is than the other.
const fn apart(one: i64, other: i64) -> i64 {
    Ticks::new(one).since(Ticks::new(other))
}

// ---- Packets ------------------------------------------------------------------------------------------------------

fn set_counter(bytes: &mut PacketBytes, counter: u8) {
    bytes[3] = bytes[3] & 0xF0 | counter & 0x0F;
}

/// The adaptation field behind its length; none where its length cannot be true.
fn adaptation(bytes: &mut PacketBytes) -> Option<&mut [u8]> {
    let [_, _, _, control, length, rest @ ..] = bytes;
    if *control & 0x20 == 0 {
        return None;
    }
    rest.get_mut(..usize::from(*length))
}

fn set_discontinuity(bytes: &mut PacketBytes, discontinuity: bool) {
    if let Some(flags) = adaptation(bytes).and_then(<[u8]>::first_mut) {
        *flags = *flags & 0x7F | u8::from(discontinuity) << 7;
    }
}

fn set_clock(bytes: &mut PacketBytes, time: Ticks) {
    if let Some(field) = adaptation(bytes).and_then(|field| field.get_mut(1..)?.first_chunk_mut()) {
        stamps::set_clock(field, time);
    }
}

// ---- Tables -------------------------------------------------------------------------------------------------------

/// One table of the child, and how its versions are shifted.
#[derive(Debug)]
struct Table {
    /// What receivers have last seen of it.
    before: Option<Edition>,
    /// How many versions later it is made; none until its first section.
    later: Option<u8>,
    /// The section that was begun, as it is behind the newest packet and as it was in front of it.
    open: Open,
    open_before: Open,
    counter: Option<u8>,
}

/// The rest of a section whose version was changed.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    bytes: usize,
    /// What the change makes of its check sum.
    patch: [u8; CRC_BYTES],
}

impl Table {
    const fn new(before: Option<Edition>) -> Self {
        const CLOSED: Open = Open { bytes: 0, patch: [0; CRC_BYTES] };
        Self { before, later: None, open: CLOSED, open_before: CLOSED, counter: None }
    }

    /// Takes a packet with this payload. Sections with another `extension` belong to other programmes.
    fn packet(&mut self, table_id: u8, extension: Option<u16>, counter: u8, starts: bool, payload: &mut [u8]) {
        if self.counter.replace(counter) == Some(counter) {
            // The same packet once more.
            self.open = self.open_before;
        }
        self.open_before = self.open;
        if !starts {
            self.open.patch(payload);
            return;
        }
        let Some((pointer, rest)) = payload.split_first_mut() else { return };
        let Some((tail, mut sections)) = rest.split_at_mut_checked(usize::from(*pointer)) else { return };
        self.open.patch(tail);
        self.open = Open::default();
        loop {
            let bytes = match &*sections {
                // What is stuffed is stuffed to the end (2.4.4).
                [] | [_] | [_, _] | [0xFF, ..] => return,
                [_, high, low, ..] => SECTION_HEAD_BYTES + length(*high, *low),
            };
            let here = bytes.min(sections.len());
            let (section, rest) = mem::take(&mut sections).split_at_mut(here);
            self.section(table_id, extension, bytes, section);
            sections = rest;
        }
    }

    /// Takes a section of so many bytes, or the beginning of one.
    fn section(&mut self, table_id: u8, extension: Option<u16>, bytes: usize, section: &mut [u8]) {
        let [first, flags, _, high, low, version, _, last_number, ..] = *section else { return };
        let is_ours = extension.is_none_or(|extension| extension == u16::from_be_bytes([high, low]));
        let is_whole = section.len() == bytes;
        if first != table_id || flags & 0x80 == 0 || !is_ours || is_whole && crc32_mpeg2(section) != 0 {
            return;
        }
        let Some(zeros) = bytes.checked_sub(VERSION_AT + 1 + CRC_BYTES) else { return };
        let number = version >> 1 & 0x1F;
        let later = match (self.later, self.before) {
            (Some(later), _) => later,
            // One that is valid later on settles nothing.
            _ if version & 0x01 == 0 => return,
            (None, Some(before)) if before.version == number => {
                let same = is_whole && last_number == 0 && Edition::of(section) == Some(before);
                u8::from(!same)
            }
            (None, _) => 0,
        };
        self.later = Some(later);
        let change = (number ^ (number + later) & 0x1F) << 1;
        if let (Some(version), 1..) = (section.get_mut(VERSION_AT), change) {
            *version ^= change;
            // Check sums add up: this is what the change alone makes of one.
            let patch = core::iter::repeat_n(0, zeros).fold(crc32_step(0, change), crc32_step).to_be_bytes();
            self.open = Open { bytes, patch };
            self.open.patch(section);
        }
    }
}

impl Open {
    /// Takes the section's next bytes, and corrects those of them that belong to its check sum.
    fn patch(&mut self, section: &mut [u8]) {
        for byte in section {
            if let Some(patch) = CRC_BYTES.checked_sub(self.bytes).and_then(|at| self.patch.get(at)) {
                *byte ^= patch;
            }
            self.bytes = self.bytes.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;

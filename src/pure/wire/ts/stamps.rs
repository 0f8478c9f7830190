//! Times in a stream: ticks of 90 kHz in 33 bits, which start over every 26.5 hours.
//!
//! Here: reckoning with them, and the two places where packets carry them: the programme clock in an adaptation field,
//! and the stamps in the head of a PES packet. Not here: what follows from them (`ts/continuity.rs`, `ts/seam.rs`).
//! Left alone wherever they occur, because no receiver needs them: OPCR (the clock of an original stream, which nobody
//! on the way may change), splice points with their `DTS_next_AU`, and ESCR.
//!
//! Source: ISO/IEC 13818-1, 2.4.3.5 (clock), 2.4.3.7 (PES packet), 2.4.2 (wrap).

/// A point in a stream's time, always less than 2^33.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticks(i64);

/// Ticks of a second.
pub(super) const SECOND: i64 = 90_000;

/// All bits of a time.
const MASK: i64 = (1 << 33) - 1;

impl Ticks {
    pub(super) const fn new(ticks: i64) -> Self {
        Self(ticks & MASK)
    }

    #[must_use]
    pub(super) const fn plus(self, ticks: i64) -> Self {
        Self::new(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to this point, less than none when this one is earlier: whatever is nearer, for times
    /// start over.
    pub(super) const fn since(self, earlier: Self) -> i64 {
        let forwards = (self.0 - earlier.0) & MASK;
        if forwards > MASK / 2 { forwards - MASK - 1 } else { forwards }
    }

    #[must_use]
    pub(super) const fn later(self, other: Self) -> Self {
        if other.since(self) > 0 { other } else { self }
    }

    const fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

// ---- The programme clock ------------------------------------------------------------------------------------------

/// The clock in six bytes: 33 bits in ticks, six reserved bits, nine bits of 27 MHz that count to 300.
pub(super) fn clock(field: [u8; 6]) -> Ticks {
    let [high @ .., last, _] = field;
    Ticks(i64::from(u32::from_be_bytes(high)) << 1 | i64::from(last >> 7))
}

/// Puts another time in; what counts to 300 stays.
pub(super) fn set_clock(field: &mut [u8; 6], time: Ticks) {
    let [.., lowest] = time.bytes();
    let [_, _, _, _, high @ ..] = Ticks(time.0 >> 1).bytes();
    let [into @ .., last, _] = field;
    *into = high;
    *last = lowest << 7 | *last & 0x7F;
}

// ---- Stamps -------------------------------------------------------------------------------------------------------

/// When a unit is to be shown, and when to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamps {
    pub(super) pts: Ticks,
    /// The same as `pts` where the head does not say.
    pub(super) dts: Ticks,
}

/// Bytes of one stamp.
const STAMP_BYTES: usize = 5;
/// Bytes in front of the stamps.
const HEAD_BYTES: usize = 9;
/// Where the head says what it has.
const FLAGS_AT: usize = 7;

/// What a payload, in which a PES packet starts, has of stamps.
enum Place {
    /// None, or a head that cannot be true.
    None,
    /// A time to be shown.
    Pts,
    /// That, and one to be decoded.
    Both,
    /// They reach into the next packet.
    Cut,
}

fn place(payload: &[u8]) -> Place {
    // Start code, stream id, two bytes of length, flags that begin with `10`, flags, bytes of head that follow.
    let [0, 0, 1, stream_id, _, _, marks, flags, rest @ ..] = payload else { return Place::None };
    // Streams whose packets have no such head: table 2-22.
    let is_plain = matches!(stream_id, 0xBC | 0xBE | 0xBF | 0xF0..=0xF2 | 0xF8 | 0xFF);
    if is_plain || marks & 0xC0 != 0x80 {
        return Place::None;
    }
    let (place, need) = match flags & 0xC0 {
        0x80 => (Place::Pts, STAMP_BYTES),
        0xC0 => (Place::Both, 2 * STAMP_BYTES),
        _ => return Place::None,
    };
    match rest {
        [head_bytes, ..] if usize::from(*head_bytes) < need => Place::None,
        [_, stamps @ ..] if stamps.len() >= need => place,
        _ => Place::Cut,
    }
}

/// The stamps of the PES packet that starts with this payload, where they lie whole in it.
pub(super) fn stamps(payload: &[u8]) -> Option<Stamps> {
    let stamp = |at: usize| payload.get(at..)?.first_chunk().copied().map(read);
    let pts = stamp(HEAD_BYTES);
    match place(payload) {
        Place::None | Place::Cut => None,
        Place::Pts => pts.map(|pts| Stamps { pts, dts: pts }),
        Place::Both => Some(Stamps { pts: pts?, dts: stamp(HEAD_BYTES + STAMP_BYTES)? }),
    }
}

/// Moves the stamps by so many ticks.
///
/// Where they reach into the next packet they are taken out instead, with whatever else the head may have: a time that
/// jumps is worse than none. What the flags no longer name is stuffing (2.4.3.7). No muxer that we know cuts a head.
pub(super) fn shift(payload: &mut [u8], by: i64) {
    let count = match place(payload) {
        Place::None => 0,
        Place::Pts => 1,
        Place::Both => 2,
        Place::Cut => {
            if let Some(flags) = payload.get_mut(FLAGS_AT) {
                *flags = 0;
            }
            0
        }
    };
    let stamps = payload.get_mut(HEAD_BYTES..).unwrap_or_default();
    for stamp in stamps.chunks_exact_mut(STAMP_BYTES).take(count) {
        if let Some(stamp) = stamp.first_chunk_mut() {
            write(stamp, read(*stamp).plus(by));
        }
    }
}

/// Four bits of prefix, then 3, 15 and 15 bits of time with a marker behind each.
fn read(stamp: [u8; STAMP_BYTES]) -> Ticks {
    let [high, middle @ .., _, _] = stamp;
    let [_, _, _, low @ ..] = stamp;
    let fifteen = |bytes| i64::from(u16::from_be_bytes(bytes) >> 1);
    Ticks(i64::from(high >> 1 & 0x07) << 30 | fifteen(middle) << 15 | fifteen(low))
}

/// Leaves prefix and markers as they are.
fn write(stamp: &mut [u8; STAMP_BYTES], time: Ticks) {
    let [.., high] = Ticks(time.0 >> 29).bytes();
    let [.., middle, middle_end] = Ticks(time.0 >> 14).bytes();
    let [.., low, low_end] = Ticks(time.0 << 1).bytes();
    let bits = [high & 0x0E, middle, middle_end & 0xFE, low, low_end & 0xFE];
    for ((byte, kept), bits) in stamp.iter_mut().zip([0xF1, 0, 0x01, 0, 0x01]).zip(bits) {
        *byte = *byte & kept | bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const TIMES: [i64; 9] = [0, 1, 0x7FFF, 0x8000, 0x3FFF_FFFF, 0x4000_0000, 0x1234_5678, MASK - 1, MASK];

    #[test]
    fn time_starts_over() {
        let last = Ticks::new(MASK);
        assert_eq!(last.plus(1), Ticks(0));
        assert_eq!(Ticks(0).plus(-1), last);
        assert_eq!((Ticks(5).since(last), last.since(Ticks(5))), (6, -6));
        assert_eq!((last.later(Ticks(5)), Ticks(5).later(last)), (Ticks(5), Ticks(5)));
        assert_eq!(Ticks(9).since(Ticks(9)), 0);
    }

    #[test]
    fn clocks_and_stamps_are_written_as_they_are_read() {
        for time in TIMES {
            let mut field = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x2B];
            set_clock(&mut field, Ticks(time));
            assert_eq!((clock(field), field[4] & 0x7F, field[5]), (Ticks(time), 0x7F, 0x2B));
            for before in [[0x21, 0, 1, 0, 1], [0x3F, 0xFF, 0xFF, 0xFF, 0xFF]] {
                let mut stamp = before;
                write(&mut stamp, Ticks(time));
                assert_eq!(read(stamp), Ticks(time));
                assert_eq!((stamp[0] & 0xF1, stamp[2] & 1, stamp[4] & 1), (before[0] & 0xF1, 1, 1));
            }
        }
        // ISO/IEC 13818-1 draws it so: 90,000 ticks are one second.
        assert_eq!(read([0x21, 0x00, 0x05, 0xBF, 0x21]), Ticks(90_000));
    }

    fn pes(stream_id: u8, flags: u8, head_bytes: u8) -> Vec<u8> {
        let mut bytes = Vec::from([0, 0, 1, stream_id, 0, 0, 0x80, flags, head_bytes]);
        bytes.extend([0x31, 0x00, 0x05, 0xBF, 0x21, 0x11, 0x00, 0x01, 0x00, 0x03, 0xAA]);
        bytes
    }

    #[test]
    fn stamps_are_found_where_they_are() {
        let (pts, dts) = (Ticks(90_000), Ticks(1));
        assert_eq!(stamps(&pes(0xE0, 0xC0, 10)), Some(Stamps { pts, dts }));
        assert_eq!(stamps(&pes(0xE0, 0x80, 10)), Some(Stamps { pts, dts: pts }));
        assert_eq!(stamps(&pes(0xE0, 0x80, 5)), Some(Stamps { pts, dts: pts }));
        for without in [pes(0xE0, 0, 10), pes(0xE0, 0x40, 10), pes(0xE0, 0xC0, 9), pes(0xBE, 0xC0, 10)] {
            assert_eq!(stamps(&without), None);
            let mut shifted = without.clone();
            shift(&mut shifted, 7);
            assert_eq!(shifted, without);
        }
        let mut shifted = pes(0xC0, 0xC0, 10);
        shift(&mut shifted, -90_001);
        assert_eq!(stamps(&shifted), Some(Stamps { pts: Ticks(MASK), dts: Ticks(MASK - 89_999) }));
        assert_eq!(shifted[19..], [0xAA]);
    }

    #[test]
    fn stamps_that_are_cut_are_taken_out() {
        let whole = pes(0xE0, 0xC1, 10);
        for len in 0..19 {
            let mut cut = whole[..len].to_vec();
            assert_eq!(stamps(&cut), None);
            shift(&mut cut, 7);
            let mut expected = whole[..len].to_vec();
            if len > FLAGS_AT {
                expected[FLAGS_AT] = 0;
            }
            assert_eq!(cut, expected);
        }
    }
}

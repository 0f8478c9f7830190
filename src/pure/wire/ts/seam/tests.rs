//! Children of all kinds, joined, and looked at as a receiver does.

use super::*;
use crate::wire::ts::build::{packet, packets, pat, pmt, section, with_adaptation};
use crate::wire::ts::{Codec, Counters};
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec as StdVec;

const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;
const FRAME: i64 = 3_600;
/// A second of `ffmpeg` 5.1, `libx264` with `-g 10` at 25 pictures a second, MP2, muxed as `mpegts`.
const GOLDEN: &[u8] = include_bytes!("../../../../../tests/golden/h264-mp2.ts");

type Child = StdVec<PacketBytes>;

fn golden() -> Child {
    GOLDEN.chunks_exact(PACKET_BYTES).map(|bytes| bytes.try_into().unwrap()).collect()
}

/// What goes out of a relay.
#[derive(Default)]
struct Joined {
    inspector: Inspector,
    seam: Option<Seam>,
    out: Child,
}

impl Joined {
    fn of(children: &[Child]) -> Child {
        let mut joined = Self::default();
        for (index, child) in children.iter().enumerate() {
            if index > 0 {
                joined.begin();
            }
            joined.packets(child);
        }
        joined.out
    }

    fn begin(&mut self) {
        self.seam = Some(Seam::new(&mut self.inspector));
    }

    fn packets(&mut self, packets: &[PacketBytes]) {
        for bytes in packets {
            let mut bytes = *bytes;
            if let Some(seam) = &mut self.seam {
                seam.packet(&mut bytes, &self.inspector);
            }
            self.inspector.packet(&bytes);
            self.out.push(bytes);
        }
    }
}

/// A stamp in a packet of this stream, with a key frame's beginning behind it.
fn stamped(pid: u16, counter: u8, dts: i64, pts: i64) -> PacketBytes {
    let mut pes = StdVec::from([0, 0, 1, 0xE0, 0, 0, 0x80, 0xC0, 10, 0x31, 0, 1, 0, 1, 0x11, 0, 1, 0, 1]);
    pes.extend([0, 0, 0, 1, 0x67]);
    let mut bytes = packet(pid, counter, true, &pes);
    assert_eq!(Packet::new(&bytes).stamps().unwrap(), Stamps { pts: Ticks::new(0), dts: Ticks::new(0) });
    // Writing is proven by itself: `ts/stamps.rs`.
    stamps::shift(&mut bytes[4..], dts);
    let mut later = bytes;
    stamps::shift(&mut later[4..], pts - dts);
    bytes[4..18].copy_from_slice(&later[4..18]);
    bytes
}

/// A clock without payload.
fn clocked(pid: u16, counter: u8, clock: i64) -> PacketBytes {
    let mut field = [0xFF; 183];
    field[0] = 0x10;
    let mut bytes = with_adaptation(pid, counter, false, &field, &[]);
    bytes[3] &= !0x10;
    set_clock(&mut bytes, Ticks::new(clock));
    bytes
}

fn tables() -> Child {
    tables_of(&[(0x1B, VIDEO_PID, &[]), (0x0F, AUDIO_PID, &[])])
}

fn tables_of(streams: &[(u8, u16, &[u8])]) -> Child {
    [packets(0, 0, &pat(&[(1, PMT_PID)])), packets(PMT_PID, 0, &pmt(1, streams))].concat()
}

/// A child of nothing but tables, clocks and stamps: a picture each 40 ms, sound each 120 ms.
fn simple(start: i64, frames: i64) -> Child {
    let mut child = tables();
    let mut sounds = 0;
    for index in 0..frames {
        let counter = u8::try_from(index % 16).unwrap();
        let dts = start + index * FRAME;
        child.push(clocked(VIDEO_PID, (counter + 15) % 16, dts - 9_000));
        child.push(stamped(VIDEO_PID, counter, dts, dts + 2 * FRAME));
        if index % 3 == 0 {
            child.push(stamped(AUDIO_PID, sounds, dts, dts));
            sounds = (sounds + 1) % 16;
        }
    }
    child
}

/// Clocks, and stamps of each stream, in order of their packets.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    clocks: StdVec<i64>,
    dts: BTreeMap<u16, StdVec<i64>>,
    pts: BTreeMap<u16, StdVec<i64>>,
    discontinuities: StdVec<(u16, usize)>,
}

fn look(child: &[PacketBytes]) -> Seen {
    let mut seen = Seen::default();
    let ticks = |time: Ticks| time.since(Ticks::new(0));
    for (place, bytes) in child.iter().enumerate() {
        let packet = Packet::new(bytes);
        seen.clocks.extend(packet.clock().map(ticks));
        if let Some(Stamps { pts, dts }) = packet.stamps() {
            seen.dts.entry(packet.pid()).or_default().push(ticks(dts));
            seen.pts.entry(packet.pid()).or_default().push(ticks(pts));
        }
        if packet.discontinuity() {
            seen.discontinuities.push((packet.pid(), place));
        }
    }
    seen
}

fn assert_grows(times: &[i64]) {
    for pair in times.windows(2) {
        assert!(Ticks::new(pair[1]).since(Ticks::new(pair[0])) > 0, "{times:?}");
    }
}

/// What must hold wherever children make what they should.
fn assert_continuous(out: &Child) -> Seen {
    let mut inspector = Inspector::new();
    for bytes in out {
        inspector.packet(bytes);
    }
    let packets = u64::try_from(out.len()).unwrap();
    let null_packets = inspector.counters().null_packets;
    assert_eq!(inspector.counters(), &Counters { packets, null_packets, ..Counters::new() });
    let seen = look(out);
    assert_grows(&seen.clocks);
    seen.dts.values().for_each(|times| assert_grows(times));
    seen
}

// ---- Counters and time ----

#[test]
fn what_ffmpeg_muxes_goes_on() {
    let (once, thrice) = (look(&golden()), Joined::of(&[golden(), golden(), golden()]));
    assert_eq!(thrice[..golden().len()], golden(), "the first child is left alone");
    let seen = assert_continuous(&thrice);
    let frames = once.dts[&VIDEO_PID].len();
    for second in 1..3 {
        let at = second * frames;
        let dts = &seen.dts[&VIDEO_PID];
        let step = dts[at] - dts[at - 1];
        assert!((FRAME..5 * FRAME).contains(&step), "about where it stopped: {step}");
        // One shift for all of a child: clock, picture and sound stay in step.
        let shift = dts[at] - once.dts[&VIDEO_PID][0];
        let same = |one: &[i64], all: &[i64]| {
            one.iter().zip(&all[second * one.len()..]).all(|(before, after)| after - before == shift)
        };
        assert!(same(&once.clocks, &seen.clocks));
        for pid in [VIDEO_PID, AUDIO_PID] {
            assert!(same(&once.dts[&pid], &seen.dts[&pid]) && same(&once.pts[&pid], &seen.pts[&pid]));
        }
    }
    // Nothing but counters and times has changed, and the tables not at all.
    let rest = |child: &[PacketBytes]| {
        let mut rest = child.to_vec();
        for bytes in &mut rest {
            set_counter(bytes, 0);
            set_discontinuity(bytes, false);
            set_clock(bytes, Ticks::new(0));
            let packet = Packet::new(bytes);
            if let (Some(Stamps { dts, .. }), at) = (packet.stamps(), PACKET_BYTES - packet.payload().len()) {
                stamps::shift(&mut bytes[at..], Ticks::new(0).since(dts));
            }
        }
        rest
    };
    assert_eq!(rest(&thrice[golden().len()..2 * golden().len()]), rest(&golden()));
}

#[test]
fn time_goes_on_whatever_the_child_begins_with() {
    let wrap = (1 << 33) - 3 * FRAME;
    for starts in [[10_000, 10_000], [5_000_000, 10_000], [0, 1 << 32], [wrap, 77], [wrap - 20 * FRAME, wrap]] {
        let out = Joined::of(&starts.map(|start| simple(start, 30)));
        let seen = assert_continuous(&out);
        let dts = &seen.dts[&VIDEO_PID];
        // Sound and picture stop at the same time.
        let step = Ticks::new(dts[30]).since(Ticks::new(dts[29]));
        assert_eq!(step, FRAME + HEAD_START_TICKS, "{starts:?}: {dts:?}");
        assert_eq!(seen.discontinuities, []);
    }
}

#[test]
fn a_clock_that_runs_further_behind_its_pictures_does_not_run_backwards() {
    let slow = |delay: i64| -> Child {
        (0..4)
            .flat_map(|index| {
                let counter = u8::try_from(index).unwrap();
                let dts = 1_000_000 + index * FRAME;
                [stamped(VIDEO_PID, counter, dts, dts), clocked(VIDEO_PID, counter, dts - delay)]
            })
            .collect()
    };
    // The stamp comes first and is settled by the stamps before; the clock behind it then asks for more.
    let seen = assert_continuous(&Joined::of(&[slow(9_000), slow(60_000)]));
    assert_eq!(seen.clocks[4] - seen.clocks[3], UNIT_TICKS);
    // The other way around it may be ahead, and time still goes on where the pictures stopped.
    let seen = assert_continuous(&Joined::of(&[slow(60_000), slow(9_000)]));
    assert_eq!(seen.dts[&VIDEO_PID][4] - seen.dts[&VIDEO_PID][3], FRAME);
}

#[test]
fn a_stream_that_shows_up_late_does_not_run_backwards() {
    let child = |late: i64| -> Child {
        vec![
            clocked(VIDEO_PID, 15, 1_000_000),
            stamped(VIDEO_PID, 0, 1_010_000, 1_010_000),
            stamped(AUDIO_PID, 0, 1_010_000 - late, 1_010_000 - late),
            stamped(VIDEO_PID, 1, 1_010_000 + FRAME, 1_010_000 + FRAME),
        ]
    };
    let seen = assert_continuous(&Joined::of(&[child(0), child(20_000)]));
    let (video, audio) = (&seen.dts[&VIDEO_PID], &seen.dts[&AUDIO_PID]);
    assert_eq!(audio[1] - audio[0], UNIT_TICKS);
    // What follows is shifted as far.
    assert_eq!(video[3] - audio[1], 20_000 + FRAME);
}

#[test]
fn sound_is_not_overlapped_by_the_next_childs() {
    let sounds = |start: i64| -> Child {
        (0..5).map(|index| stamped(AUDIO_PID, u8::try_from(index).unwrap(), start + index * 30_000, start)).collect()
    };
    let seen = look(&Joined::of(&[sounds(0), sounds(0)]));
    assert_eq!(seen.dts[&AUDIO_PID][5] - seen.dts[&AUDIO_PID][4], 30_000, "a third of a second, as the ones before");
}

#[test]
fn time_without_relation_to_the_clock_holds_nothing_up() {
    let subtitles = 0x102;
    let mut first = simple(1_000_000, 30);
    first.push(stamped(subtitles, 0, 80_000_000, 80_000_000));
    let mut second = vec![stamped(subtitles, 0, 50_000_000, 50_000_000)];
    second.extend(simple(2_000_000, 30));
    let out = Joined::of(&[first, second]);
    let seen = look(&out);
    assert_grows(&seen.clocks);
    let dts = &seen.dts[&VIDEO_PID];
    assert!((FRAME..4 * FRAME).contains(&(dts[30] - dts[29])), "{dts:?}");
}

#[test]
fn no_stamp_of_another_time_leads_astray() {
    // In the child before: what was furthest has nothing to do with the programme.
    let stray = || vec![stamped(0x102, 0, 80_000_000, 80_000_000)];
    for first in [[stray(), simple(1_000_000, 30)], [simple(1_000_000, 30), stray()]] {
        // In this one: what comes first, before any clock or with none but the clock.
        for (stray, has_clock_next) in [(5_000_000, false), (50_000_000, false), (5_000_000, true), (50_000_000, true)]
        {
            let clock = clocked(VIDEO_PID, 0, 9_991_000);
            let (at, then) = (|time| stamped(VIDEO_PID, 0, time, time), stamped(VIDEO_PID, 1, 10_003_600, 10_003_600));
            let second = vec![at(10_000_000), clock, then];
            let mut third = vec![stamped(0x103, 0, stray, stray), at(10_000_000), clock, then];
            if has_clock_next {
                third.swap(1, 2);
            }
            let seen = look(&Joined::of(&[first.concat(), second, third]));
            assert_grows(&seen.clocks);
            let dts = &seen.dts[&VIDEO_PID];
            assert_grows(dts);
            assert!((FRAME..5 * FRAME).contains(&(dts[30] - dts[29])), "{dts:?}");
            assert!((FRAME..9 * FRAME).contains(&(dts[33] - dts[31])), "{stray}: {dts:?}");
        }
    }
}

#[test]
fn pictures_are_not_shown_before_those_of_the_child_before() {
    let child = |delay: i64| -> Child {
        let frame =
            |index: i64| stamped(VIDEO_PID, u8::try_from(index % 16).unwrap(), index * FRAME, index * FRAME + delay);
        (0..20).map(frame).collect()
    };
    let seen = assert_continuous(&Joined::of(&[child(5 * FRAME), child(0)]));
    assert_grows(&seen.pts[&VIDEO_PID]);
}

#[test]
fn a_child_that_makes_nothing_does_not_break_the_chain() {
    let null = || vec![super::super::NULL_PACKET; 3];
    let seen = assert_continuous(&Joined::of(&[simple(0, 20), vec![], tables(), null(), simple(500, 20)]));
    let dts = &seen.dts[&VIDEO_PID];
    assert_eq!(dts[20] - dts[19], 2 * FRAME + HEAD_START_TICKS);
    // Nor does one that comes first.
    let seen = assert_continuous(&Joined::of(&[vec![], null(), simple(500, 20)]));
    assert_eq!(seen.dts[&VIDEO_PID][0], 500, "there was nothing to go on from");
}

#[test]
fn streams_that_pause_for_a_child_go_on_later() {
    let mut second = tables_of(&[(0x02, 0x200, &[])]);
    second.extend((0..20).map(|index| stamped(0x200, u8::try_from(index % 16).unwrap(), index * FRAME, index * FRAME)));
    let seen = assert_continuous(&Joined::of(&[simple(0, 20), second, simple(0, 20)]));
    let (first, other) = (&seen.dts[&VIDEO_PID], &seen.dts[&0x200]);
    assert!(first[19] < other[0] && other[19] < first[20]);
}

#[test]
fn packets_without_payload_do_not_count_here_either() {
    let first = vec![packet(VIDEO_PID, 7, false, &[])];
    let second = vec![clocked(VIDEO_PID, 3, 0), packet(VIDEO_PID, 4, false, &[]), packet(VIDEO_PID, 5, false, &[])];
    let out = Joined::of(&[first, second]);
    let counters: StdVec<u8> = out.iter().map(|bytes| Packet::new(bytes).continuity()).collect();
    assert_eq!(counters, [7, 7, 8, 9]);
}

#[test]
fn gaps_and_repeats_of_the_child_stay_what_they_are() {
    let second = [3, 3, 6, 7].map(|counter| packet(VIDEO_PID, counter, false, &[])).to_vec();
    let out = Joined::of(&[vec![packet(VIDEO_PID, 15, false, &[])], second]);
    let counters: StdVec<u8> = out.iter().map(|bytes| Packet::new(bytes).continuity()).collect();
    assert_eq!(counters, [15, 0, 0, 3, 4]);
}

#[test]
fn streams_beyond_the_table_are_left_as_they_are() {
    let many = |first: u16| -> Child { (first..first + 33).map(|pid| packet(pid, 4, false, &[])).collect() };
    let out = Joined::of(&[many(0x100), many(0x100)]);
    let counters: StdVec<u8> = out[33..].iter().map(|bytes| Packet::new(bytes).continuity()).collect();
    assert_eq!((&counters[..32], counters[32]), (&[5; 32][..], 4));
    // Those of a child that is gone make room.
    let mut joined = Joined::default();
    for first in [0x100, 0x200, 0x300] {
        joined.packets(&many(first));
        joined.begin();
    }
    joined.packets(&many(0x300));
    assert_eq!(Packet::new(&joined.out[99]).continuity(), 5);
}

// ---- What is left alone ----

#[test]
fn what_cannot_be_read_is_left_alone() {
    let mut damaged = stamped(VIDEO_PID, 9, 5_000, 5_000);
    damaged[1] |= 0x80;
    let mut unsynced = stamped(VIDEO_PID, 9, 5_000, 5_000);
    unsynced[0] = 0x46;
    let alone = [damaged, unsynced, super::super::NULL_PACKET];
    let mut scrambled = stamped(VIDEO_PID, 0, 5_000, 5_000);
    scrambled[3] |= 0x80;
    // A clock in the clear, with an original clock behind it.
    let mut field = [0x18, 0, 0, 0, 0, 0x7E, 0, 1, 2, 3, 4, 5, 6].to_vec();
    field.resize(20, 0xFF);
    let original = with_adaptation(VIDEO_PID, 1, false, &field, &[1; 163]);
    let mut second = alone.to_vec();
    second.extend([original, scrambled]);
    let first = simple(90_000, 20);
    let out = Joined::of(&[first.clone(), second]);
    assert_eq!(out[first.len()..][..3], alone);
    let scrambled_out = out[first.len() + 4];
    assert_eq!((Packet::new(&scrambled_out).continuity(), scrambled_out[4..].to_vec()), (3, scrambled[4..].to_vec()));
    let original_out = out[first.len() + 3];
    assert_eq!(original_out[12..], original[12..], "nobody on the way may change it");
    assert!(Packet::new(&original_out).clock().unwrap().since(Ticks::new(90_000)) > 0);
}

// ---- Discontinuities ----

#[test]
fn a_childs_mark_of_its_beginning_is_taken_back() {
    let marked = |counter: u8, field: u8| with_adaptation(VIDEO_PID, counter, false, &[field, 0xFF], &[]);
    let first = vec![marked(0, 0xC0), marked(1, 0x40)];
    let second = vec![marked(7, 0xC0), marked(8, 0xC0), with_adaptation(AUDIO_PID, 3, false, &[0x80], &[])];
    let out = Joined::of(&[first, second]);
    // Its first child's own stays, and so does one on the way, and on a stream that nobody has seen before.
    assert_eq!(look(&out).discontinuities, [(VIDEO_PID, 0), (VIDEO_PID, 3), (AUDIO_PID, 4)]);
    assert_eq!(out[2][5], 0x40, "the other flags stay");
}

#[test]
fn a_clock_that_moves_to_another_stream_is_marked() {
    let child = |pid: u16| vec![clocked(pid, 0, 1_000), clocked(pid, 0, 2_000), clocked(pid, 0, 3_000)];
    let out = Joined::of(&[child(VIDEO_PID), child(AUDIO_PID), child(AUDIO_PID), child(VIDEO_PID)]);
    let seen = look(&out);
    assert_eq!(seen.discontinuities, [(AUDIO_PID, 3), (VIDEO_PID, 9)]);
    assert_grows(&seen.clocks);
}

// ---- Tables ----

/// Versions of the sections of a PID, each of which must be whole and have the right sum.
fn versions(out: &[PacketBytes], pid: u16) -> StdVec<u8> {
    let mut inspector = Inspector::new();
    let mut versions = StdVec::new();
    for bytes in out {
        inspector.packet(bytes);
        let packet = Packet::new(bytes);
        if packet.pid() == pid && packet.payload_unit_start() {
            versions.push(packet.payload()[1 + VERSION_AT] >> 1 & 0x1F);
        }
    }
    assert_eq!((inspector.counters().damaged_sections, inspector.counters().continuity_errors), (0, 0));
    versions
}

#[test]
fn tables_that_say_the_same_stay_as_they_are() {
    let out = Joined::of(&[tables(), [tables(), tables_again(1)].concat(), tables()]);
    assert_eq!((versions(&out, 0), versions(&out, PMT_PID)), (vec![0; 4], vec![0; 4]));
}

fn tables_again(counter: u8) -> Child {
    let mut again = tables();
    for bytes in &mut again {
        set_counter(bytes, counter);
    }
    again
}

#[test]
fn tables_that_say_something_else_get_another_version() {
    let other = || tables_of(&[(0x02, VIDEO_PID, &[]), (0x0F, AUDIO_PID, &[])]);
    let mut joined = Joined::default();
    joined.packets(&tables());
    for (child, expected) in [(other(), 1), (other(), 0), (tables(), 1), (tables(), 0), (other(), 1)] {
        joined.begin();
        joined.packets(&child);
        assert_eq!(versions(&joined.out, PMT_PID).last(), Some(&expected));
    }
    assert_eq!(joined.inspector.streams().unwrap().video_codec(), Some(Codec::Mpeg2Video));
    assert_eq!(versions(&joined.out, 0), [0; 6], "the same programmes all the time");
    // And where the table is in another place, the PAT tells.
    joined.begin();
    joined.packets(&packets(0, 0, &pat(&[(1, 0x1234)])));
    joined.packets(&packets(0x1234, 0, &pmt(1, &[(0x24, 0x99, &[])])));
    assert_eq!((versions(&joined.out, 0).last(), versions(&joined.out, 0x1234).last()), (Some(&1), Some(&0)));
    assert_eq!(joined.inspector.streams().unwrap().video_codec(), Some(Codec::Hevc));
}

#[test]
fn a_childs_own_versions_go_on_from_its_first() {
    let table = |version: u8, stream_type: u8| {
        packets(PMT_PID, version, &section(0x02, 1, version, &[0xE1, 0, 0xF0, 0, stream_type, 0xE1, 0, 0xF0, 0]))
    };
    let pat = || packets(0, 0, &pat(&[(1, PMT_PID)]));
    let first = [pat(), table(31, 0x1B)].concat();
    let second = [pat(), table(31, 0x02), table(0, 0x24)].concat();
    assert_eq!(versions(&Joined::of(&[first, second]), PMT_PID), [31, 0, 1]);
}

#[test]
fn a_table_that_is_valid_later_settles_nothing() {
    let mut soon = pmt(1, &[(0x24, VIDEO_PID, &[])]);
    soon[VERSION_AT] ^= 1;
    soon.truncate(soon.len() - CRC_BYTES);
    let soon = packets(PMT_PID, 0, &crate::wire::ts::build::seal(soon));
    let second = [packets(0, 0, &pat(&[(1, PMT_PID)])), soon.clone(), tables_again(1)[1..].to_vec()].concat();
    let out = Joined::of(&[tables(), second]);
    assert_eq!(out[3][4..], soon[0][4..]);
    assert_eq!(versions(&out, PMT_PID), [0, 0, 0]);
}

#[test]
fn a_table_of_many_packets_is_changed_as_a_whole() {
    let long = |stream_type: u8| {
        let descriptors = [0x0A; 200];
        let streams: [(u8, u16, &[u8]); 3] =
            [(stream_type, VIDEO_PID, &[]), (0x0F, AUDIO_PID, &descriptors), (0x03, 0x102, &descriptors)];
        let mut child = tables_of(&streams);
        assert_eq!(child.len(), 4);
        // A packet sent twice is no other part.
        child.insert(3, child[2]);
        child
    };
    let out = Joined::of(&[long(0x1B), long(0x02), long(0x02), long(0x02)]);
    // Not known to be the same when its first packet goes out.
    assert_eq!(versions(&out, PMT_PID), [0, 1, 0, 1]);
    let mut inspector = Inspector::new();
    let changes: usize = out.iter().map(|bytes| usize::from(inspector.packet(bytes).streams_changed)).sum();
    assert_eq!((changes, inspector.streams().unwrap().video_codec()), (2, Some(Codec::Mpeg2Video)));
}

#[test]
fn sections_may_begin_anywhere_and_belong_to_others() {
    let other = pmt(2, &[(0x02, 0x200, &[])]);
    let ours = |stream_type: u8| pmt(1, &[(stream_type, VIDEO_PID, &[])]);
    let child = |stream_type: u8, filler: usize| {
        // The last one reaches into the second packet, where another begins behind it.
        let sections = [other.clone(), section(0x02, 7, 0, &vec![0; filler]), ours(stream_type)].concat();
        let mut shown = packets(PMT_PID, 0, &sections);
        assert_eq!(shown.len(), 2);
        let tail = sections[183..].to_vec();
        shown[1] = packet(PMT_PID, 1, true, &[vec![u8::try_from(tail.len()).unwrap()], tail, other.clone()].concat());
        [packets(0, 0, &pat(&[(1, PMT_PID)])), shown].concat()
    };
    for filler in 130..=143 {
        let out = Joined::of(&[child(0x1B, filler), child(0x02, filler)]);
        let mut inspector = Inspector::new();
        for bytes in &out {
            inspector.packet(bytes);
        }
        assert_eq!(inspector.counters().damaged_sections, 0, "{filler}");
        assert_eq!(inspector.streams().unwrap().video_codec(), Some(Codec::Mpeg2Video));
        // That of the other programme is what it was.
        assert_eq!(out[4][5..][..other.len()], other);
    }
}

#[test]
fn damaged_tables_stay_damaged() {
    let mut second = tables_of(&[(0x02, VIDEO_PID, &[])]);
    second[1][20] ^= 1;
    let damaged = second[1];
    let out = Joined::of(&[tables(), [second, tables_again(1)[1..].to_vec()].concat()]);
    assert_eq!(out[3][4..], damaged[4..]);
    assert_eq!(out[4][4..], tables()[1][4..], "the first good one counts, and says the same as before");
}

// ---- Anything ----

/// A small generator with a fixed seed: the same bytes on every machine.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % end
    }
}

/// Children are made of a real one whose packets are damaged, dropped, doubled and replaced by chance. Whatever comes,
/// what a receiver reads in the child he reads in what goes out, counters go on, and the clock does not run backwards.
#[test]
fn no_bytes_break_the_promises() {
    let mut random = Random(0x5EED);
    let good = [golden(), simple(77, 40)].concat();
    for _ in 0..300 {
        let mut joined = Joined::default();
        let mut last_clock: Option<Ticks> = None;
        for child in 0..3 {
            if child > 0 {
                joined.begin();
            }
            let mut alone = Inspector::new();
            let mut first_clock = None;
            let mut met = StdVec::new();
            let start = random.below(good.len());
            for index in 0..random.below(120) {
                let mut bytes = good[(start + index) % good.len()];
                match random.byte() {
                    0..8 => bytes = [0; PACKET_BYTES].map(|_| random.byte()),
                    8..32 => bytes[random.below(PACKET_BYTES)] = random.byte(),
                    32..40 => bytes[random.below(24)] ^= 1 << random.below(8),
                    _ => {}
                }
                bytes[0] = 0x47;
                let before = Packet::new(&bytes);
                let is_new = !before.transport_error() && before.pid() != NULL_PID && !met.contains(&before.pid());
                let expected = joined.inspector.continuity.expected(before).filter(|_| is_new && child > 0);
                met.push(before.pid());
                joined.packets(&[bytes]);
                alone.packet(&bytes);
                let after = joined.out.last().unwrap();
                let view = Packet::new(after);
                assert!(view.synced() && (view.pid(), view.has_payload()) == (before.pid(), before.has_payload()));
                assert!(expected.is_none_or(|expected| view.continuity() == expected));
                if let (Some(clock), false) = (view.clock(), view.transport_error()) {
                    first_clock.get_or_insert(clock);
                }
                assert_eq!(alone.streams(), joined.inspector.streams());
                let counters = [alone.counters(), joined.inspector.counters()].map(|counters| *counters);
                assert_eq!(counters[0], counters[1]);
            }
            if let (Some(before), Some(after)) = (last_clock, first_clock) {
                assert!(after.since(before) > 0, "{before:?} {after:?}");
            }
            last_clock = joined.inspector.clock.filter(|clock| !clock.past).map(|clock| clock.time);
        }
    }
}

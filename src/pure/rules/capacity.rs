//! How many slots a box has: as many as its board is for, and no more than its memory, its network and its processor
//! carry. What the owner says in the settings counts before all of that.
//!
//! A slot is counted as a child that copies a channel of 16 Mbit/s: what the board cannot make smaller as well is refused
//! when it is asked for ([`crate::rules::admission`], [`crate::rules::encoders`]), and how many pictures it can make
//! smaller at once is told beside. What is unknown limits nothing. The disk limits nothing either: no channel waits for it.
//!
//! Source: our own sums; `board/README.md` has them as a table, and the file of each board its own.

use crate::limits::{
    COPY_MEMORY_BYTES, DAEMON_MEMORY_BYTES, REAL_TIME_PERCENT_MIN, RESERVE_MEMORY_BYTES, SLOT_LINK_KBIT,
    SLOT_PACKETS_PER_S, SYSTEM_MEMORY_BYTES,
};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What a box was seen to do; `None`: that could not be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How much faster than it plays its best encoder makes a picture of 720 lines, in percent.
    pub encode_percent: Option<u32>,
    /// Whether a chip does that, and leaves the processor to others.
    pub by_chip: bool,
    /// How much faster than it plays the processor decodes one, in percent.
    pub decode_percent: Option<u32>,
    /// Until something small is on the disk.
    pub sync_ms: Option<u32>,
    /// Packets in a second that are looked into.
    pub packets_per_s: Option<u32>,
}

/// What a box is, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What the settings say.
    pub wanted: Option<usize>,
    /// The most that its board is for.
    pub board: usize,
    /// Ring of each slot.
    pub ring_mib: usize,
    /// Memory in all.
    pub memory_total_bytes: Option<u64>,
    /// What we may have of it, where that is limited.
    pub memory_max_bytes: Option<u64>,
    /// Its fastest link.
    pub link_mbit: Option<u32>,
    /// What it was seen to do.
    pub measured: Option<Measured>,
}

/// What decides how many slots there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tightest {
    /// The owner said so.
    Settings,
    /// The file of the board.
    Board,
    /// All memory there is.
    Memory,
    /// The memory that we may have.
    Share,
    /// The network.
    Link,
    /// The processor.
    Processor,
}

impl Tightest {
    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Board => "board",
            Self::Memory => "memory",
            Self::Share => "share",
            Self::Link => "link",
            Self::Processor => "processor",
        }
    }
}

/// How many slots a box has, and why no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// At least one.
    pub slots: usize,
    /// Of several that would come to the same, the first in the order of [`Tightest`].
    pub tightest: Tightest,
    facts: Facts,
}

impl Capacity {
    /// What these facts come to.
    pub fn of(facts: Facts) -> Self {
        if let Some(slots) = facts.wanted {
            return Self { slots: slots.max(1), tightest: Tightest::Settings, facts };
        }
        let slot_bytes = COPY_MEMORY_BYTES + facts.ring_mib as u64 * (1 << 20);
        let ours = RESERVE_MEMORY_BYTES + DAEMON_MEMORY_BYTES;
        let memory = facts.memory_total_bytes.map(|all| all.saturating_sub(SYSTEM_MEMORY_BYTES + ours) / slot_bytes);
        let share = facts.memory_max_bytes.map(|most| most.saturating_sub(ours) / slot_bytes);
        let link = facts.link_mbit.map(|mbit| u64::from(mbit) * 1_000 / SLOT_LINK_KBIT);
        let packets = facts.measured.and_then(|measured| measured.packets_per_s);
        let processor = packets.map(|packets| u64::from(packets) / SLOT_PACKETS_PER_S);
        let (mut slots, mut tightest) = (facts.board, Tightest::Board);
        for (limit, carried) in [
            (Tightest::Memory, memory),
            (Tightest::Share, share),
            (Tightest::Link, link),
            (Tightest::Processor, processor),
        ] {
            // A number that is no `usize` is none that limits.
            let carried = carried.and_then(|carried| usize::try_from(carried).ok());
            if let Some(fewer) = carried.filter(|carried| *carried < slots) {
                (slots, tightest) = (fewer, limit);
            }
        }
        Self { slots: slots.max(1), tightest, facts }
    }

    /// In how many of its slots it can make pictures of 720 lines smaller at once; `None`: nobody knows.
    ///
    /// What a chip encodes the processor decodes meanwhile; software does both, one after the other.
    pub fn encodes(&self) -> Option<usize> {
        let measured = self.facts.measured?;
        let encode = u64::from(measured.encode_percent?);
        let decode = measured.decode_percent.map(u64::from);
        let percent = match decode {
            None => encode,
            Some(decode) if measured.by_chip => encode.min(decode),
            Some(decode) => (encode * decode).checked_div(encode + decode).unwrap_or(0),
        };
        Some(usize::try_from(percent / REAL_TIME_PERCENT_MIN).map_or(self.slots, |count| count.min(self.slots)))
    }
}

/// Why no more, as the end of a sentence for people.
impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: Option<u64>| bytes.unwrap_or(0) >> 20;
        match self.tightest {
            Tightest::Settings => f.write_str("because the settings say so"),
            Tightest::Board => f.write_str("as many as this board is for"),
            Tightest::Memory => {
                write!(f, "because its memory of {} MiB carries no more", mib(self.facts.memory_total_bytes))
            }
            Tightest::Share => {
                write!(f, "because the {} MiB that tunerd may use carry no more", mib(self.facts.memory_max_bytes))
            }
            Tightest::Link => {
                let mbit = self.facts.link_mbit.unwrap_or(0);
                write!(f, "because its network of {mbit} Mbit/s carries no more")
            }
            Tightest::Processor => f.write_str("because its processor carries no more"),
        }
    }
}

/// What was measured, in one sentence for people.
pub fn sentence(measured: &Measured) -> String {
    let times = |percent: u32| format!("{}.{} times as fast as they play", percent / 100, percent / 10 % 10);
    let told = [
        measured.encode_percent.map(|percent| format!("720 lines are encoded {}", times(percent))),
        measured.decode_percent.map(|percent| format!("720 lines are decoded {}", times(percent))),
        measured.packets_per_s.map(|packets| format!("{packets} packets a second are looked into")),
        measured.sync_ms.map(|ms| format!("something small is on the disk after {ms} ms")),
    ];
    told.into_iter().flatten().collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    /// A Raspberry Pi 4 that was seen to do all it should.
    const GOOD: Facts = Facts {
        wanted: None,
        board: 4,
        ring_mib: 4,
        memory_total_bytes: Some(3_793 << 20),
        memory_max_bytes: Some(3_224 << 20),
        link_mbit: Some(1_000),
        measured: Some(MEASURED),
    };
    const MEASURED: Measured = Measured {
        encode_percent: Some(250),
        by_chip: true,
        decode_percent: Some(600),
        sync_ms: Some(12),
        packets_per_s: Some(3_000_000),
    };
    const UNKNOWN: Facts =
        Facts { memory_total_bytes: None, memory_max_bytes: None, link_mbit: None, measured: None, ..GOOD };

    fn told(facts: Facts) -> (usize, &'static str) {
        let capacity = Capacity::of(facts);
        (capacity.slots, capacity.tightest.name())
    }

    fn slower(packets_per_s: u32) -> Facts {
        Facts { measured: Some(Measured { packets_per_s: Some(packets_per_s), ..MEASURED }), ..GOOD }
    }

    #[test]
    fn boards_get_what_their_files_have_sums_for() {
        let board = |slots, ring_mib, mib: u64| {
            // MemoryMax=85% of the service.
            let (all, most) = (mib << 20, (mib << 20) / 100 * 85);
            let facts =
                Facts { board: slots, ring_mib, memory_total_bytes: Some(all), memory_max_bytes: Some(most), ..GOOD };
            told(facts)
        };
        // As Linux sees them: a Zero 2 W, a Raspberry Pi 3, a 4 with 1 GiB, and an RK3588 with 2 GiB.
        assert_eq!(board(2, 2, 420), (2, "board"));
        assert_eq!(board(4, 4, 900), (4, "board"));
        assert_eq!(board(4, 4, 920), (4, "board"));
        assert_eq!(board(8, 4, 1_950), (8, "board"));
        // And where somebody has put a larger board's settings on a smaller one.
        assert_eq!(board(4, 4, 420), (2, "memory"));
        assert_eq!(board(8, 4, 700), (6, "memory"));
    }

    #[test]
    fn the_tightest_decides_and_is_named() {
        let cases = [
            (GOOD, 4, "board", "as many as this board is for"),
            (UNKNOWN, 4, "board", "as many as this board is for"),
            (Facts { wanted: Some(9), ..GOOD }, 9, "settings", "because the settings say so"),
            (
                Facts { memory_total_bytes: Some(380 << 20), ..GOOD },
                2,
                "memory",
                "because its memory of 380 MiB carries no more",
            ),
            (
                Facts { memory_max_bytes: Some(312 << 20), ..GOOD },
                3,
                "share",
                "because the 312 MiB that tunerd may use carry no more",
            ),
            (Facts { link_mbit: Some(51), ..GOOD }, 3, "link", "because its network of 51 Mbit/s carries no more"),
            (slower(50_000), 2, "processor", "because its processor carries no more"),
        ];
        for (facts, slots, tightest, words) in cases {
            let capacity = Capacity::of(facts);
            assert_eq!((capacity.slots, capacity.tightest.name()), (slots, tightest));
            assert_eq!(capacity.to_string(), words);
        }
        let both = Facts { link_mbit: Some(34), ..slower(50_000) };
        assert_eq!(told(both), (2, "link"), "of two that are as tight, the first");
        assert_eq!(told(Facts { memory_total_bytes: Some(0), ..GOOD }), (1, "memory"), "a box without a slot is none");
        assert_eq!(told(Facts { wanted: Some(0), ..GOOD }), (1, "settings"));
    }

    #[test]
    fn each_slot_begins_where_it_is_carried() {
        // 238 MiB for the system and us, 68 for each slot; 17 Mbit/s; twice 10,638 packets.
        for slots in 1..=4_u32 {
            let bytes = (238 + 68 * u64::from(slots)) << 20;
            let exact = |memory: u64| told(Facts { memory_total_bytes: Some(memory), ..GOOD }).0;
            assert_eq!((exact(bytes), exact(bytes - 1)), (slots as usize, (slots as usize - 1).max(1)));
            let share = |memory: u64| told(Facts { memory_max_bytes: Some(memory), ..GOOD }).0;
            let bytes = bytes - (130 << 20);
            assert_eq!((share(bytes), share(bytes - 1)), (slots as usize, (slots as usize - 1).max(1)));
            let link = |mbit| told(Facts { link_mbit: Some(mbit), ..GOOD }).0;
            assert_eq!((link(17 * slots), link(17 * slots - 1)), (slots as usize, (slots as usize - 1).max(1)));
            let processor = |count| told(slower(count)).0;
            let count = 21_276 * slots;
            assert_eq!((processor(count), processor(count - 1)), (slots as usize, (slots as usize - 1).max(1)));
        }
    }

    #[test]
    fn it_is_never_none_never_above_the_board_and_never_less_for_more() {
        let amounts = [None, Some(0), Some(1), Some(100), Some(700), Some(4_000), Some(u32::MAX)];
        for board in [1, 2, 4, 8, 64] {
            for (memory, link) in amounts.iter().flat_map(|memory| amounts.map(|link| (*memory, link))) {
                for packets_per_s in amounts {
                    let measured =
                        Measured { packets_per_s: packets_per_s.map(|count| count.saturating_mul(100)), ..MEASURED };
                    let facts = Facts {
                        board,
                        memory_total_bytes: memory.map(|mib| u64::from(mib) << 20),
                        link_mbit: link,
                        measured: Some(measured),
                        ..GOOD
                    };
                    let slots = Capacity::of(facts).slots;
                    assert!((1..=board).contains(&slots), "{facts:?}");
                    let more = [
                        Facts {
                            memory_total_bytes: facts.memory_total_bytes.map(|bytes| bytes + (100 << 20)),
                            ..facts
                        },
                        Facts { link_mbit: link.map(|mbit| mbit.saturating_add(20)), ..facts },
                        Facts { board: board + 1, ..facts },
                    ];
                    for more in more {
                        assert!(Capacity::of(more).slots >= slots, "{more:?}");
                    }
                    assert_eq!(told(Facts { wanted: Some(3), ..facts }), (3, "settings"));
                }
            }
        }
    }

    #[test]
    fn what_can_be_made_smaller_at_once_is_told() {
        let encodes = |measured| Capacity::of(Facts { measured, ..GOOD }).encodes();
        let of = |encode_percent, by_chip, decode_percent| {
            encodes(Some(Measured { encode_percent, by_chip, decode_percent, ..MEASURED }))
        };
        assert_eq!(encodes(None), None);
        assert_eq!(of(None, false, Some(600)), None, "nothing encodes");
        assert_eq!(
            (of(Some(109), true, None), of(Some(110), true, None), of(Some(440), true, None)),
            (Some(0), Some(1), Some(4))
        );
        // A chip waits for the processor; software shares it.
        assert_eq!((of(Some(440), true, Some(230)), of(Some(230), true, Some(440))), (Some(2), Some(2)));
        assert_eq!((of(Some(440), false, Some(440)), of(Some(220), false, Some(220))), (Some(2), Some(1)));
        assert_eq!((of(Some(0), false, Some(0)), of(Some(u32::MAX), false, Some(u32::MAX))), (Some(0), Some(4)));
    }

    #[test]
    fn what_was_measured_is_told_in_words() {
        assert_eq!(
            sentence(&MEASURED),
            "720 lines are encoded 2.5 times as fast as they play, 720 lines are decoded 6.0 times as fast as they play, \
             3000000 packets a second are looked into, something small is on the disk after 12 ms"
        );
        assert_eq!(
            sentence(&Measured { sync_ms: Some(3), ..Measured::default() }),
            "something small is on the disk after 3 ms"
        );
    }
}

//! Which board this is, and what it can carry.
//!
//! One TOML for each board in `board/`, found by the device tree's `compatible`. A computer without device tree, or
//! with an unknown one, gets the defaults.

use pure::limits::{RING_MIB_DEFAULT, SLOTS_DEFAULT};
use serde::Deserialize;

/// What a board can carry.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// What people call it.
    pub name: String,
    /// Device tree names it is known by.
    pub compatible: Vec<String>,
    /// Slots.
    pub slots: usize,
    /// Ring of each slot.
    pub ring_mib: usize,
}

impl Board {
    /// Whether it is one of ours, and not just any computer.
    pub fn is_known(&self) -> bool {
        !self.compatible.is_empty()
    }
}

/// All boards we know.
const BOARDS: [&str; 5] = [
    include_str!("../board/rpi3.toml"),
    include_str!("../board/rpi-zero2w.toml"),
    include_str!("../board/rpi4.toml"),
    include_str!("../board/rpi5.toml"),
    include_str!("../board/cm4.toml"),
];

/// The board we run on.
pub fn detect() -> Board {
    find(&std::fs::read("/proc/device-tree/compatible").unwrap_or_default())
}

/// `compatible` is the device tree's property: names, the most exact first, each ended by NUL.
fn find(compatible: &[u8]) -> Board {
    let names = || compatible.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let boards = || BOARDS.iter().filter_map(|text| toml::from_str::<Board>(text).ok());
    let known =
        names().find_map(|name| boards().find(|board| board.compatible.iter().any(|known| known.as_bytes() == name)));
    known.unwrap_or_else(|| Board {
        name: "generic".to_owned(),
        compatible: Vec::new(),
        slots: SLOTS_DEFAULT,
        ring_mib: RING_MIB_DEFAULT,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pure::limits::{RING_MIB_MAX, RING_MIB_MIN, SLOTS_MAX};

    #[test]
    fn every_board_is_readable_in_range_and_found_by_its_own_names() {
        let mut names = Vec::new();
        for text in BOARDS {
            let board: Board = toml::from_str(text).unwrap();
            assert!((1..=SLOTS_MAX).contains(&board.slots), "{}", board.name);
            assert!((RING_MIB_MIN..=RING_MIB_MAX).contains(&board.ring_mib), "{}", board.name);
            assert!(board.is_known());
            for name in &board.compatible {
                assert!(!names.contains(name), "{name} stands in two files");
                assert_eq!(find(format!("{name}\0brcm,bcm2711\0").as_bytes()), board);
                names.push(name.clone());
            }
        }
    }

    #[test]
    fn an_unknown_board_gets_the_defaults() {
        for compatible in [&b""[..], b"\0\0", b"acme,box", b"raspberrypi,4-model"] {
            assert!(!find(compatible).is_known());
            assert_eq!((find(compatible).slots, find(compatible).name.as_str()), (SLOTS_DEFAULT, "generic"));
        }
    }
}

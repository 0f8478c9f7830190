//! Which board this is, and what it can carry.
//!
//! One TOML for each board in `board/`, found by the device tree's `compatible`. A computer without device tree, or
//! with an unknown one, gets the defaults.

pub mod vitals;

use pure::limits::{ENCODERS_MAX, RING_MIB_DEFAULT, SLOTS_DEFAULT};
use pure::model::encoder::{Candidates, Encoder, candidates};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

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
    /// Hardware encoders to try, in order.
    #[serde(deserialize_with = "read_encoders")]
    pub encoders: Candidates,
}

impl Board {
    /// Whether it is one of ours, and not just any computer.
    pub fn is_known(&self) -> bool {
        !self.compatible.is_empty()
    }
}

/// All boards we know.
const BOARDS: [&str; 6] = [
    include_str!("../board/rpi3.toml"),
    include_str!("../board/rpi-zero2w.toml"),
    include_str!("../board/rpi4.toml"),
    include_str!("../board/rpi5.toml"),
    include_str!("../board/cm4.toml"),
    include_str!("../board/qemu-arm64.toml"),
];

/// The board we run on.
pub fn detect() -> Board {
    let compatible = std::fs::read("/proc/device-tree/compatible").unwrap_or_default();
    find(&compatible, |node| std::fs::exists(node).unwrap_or(false))
}

/// Encoders by their names, each of them once.
fn read_encoders<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Candidates, D::Error> {
    let mut encoders = Candidates::new();
    for name in Vec::<String>::deserialize(deserializer)? {
        let encoder: Encoder = name.parse().map_err(D::Error::custom)?;
        if !encoder.is_hardware() || encoders.contains(&encoder) {
            return Err(D::Error::custom("software is always tried, and nothing twice"));
        }
        encoders.push(encoder).map_err(|_| D::Error::custom(format!("at most {ENCODERS_MAX}")))?;
    }
    Ok(encoders)
}

/// `compatible` is the device tree's property: names, the most exact first, each ended by NUL. `exists` tells of a
/// device node; only a board without a file is asked for its nodes.
fn find(compatible: &[u8], exists: impl Fn(&str) -> bool) -> Board {
    let names = || compatible.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let boards = || BOARDS.iter().filter_map(|text| toml::from_str::<Board>(text).ok());
    let known =
        names().find_map(|name| boards().find(|board| board.compatible.iter().any(|known| known.as_bytes() == name)));
    known.unwrap_or_else(|| Board {
        name: "generic".to_owned(),
        compatible: Vec::new(),
        slots: SLOTS_DEFAULT,
        ring_mib: RING_MIB_DEFAULT,
        encoders: candidates(|node| exists(&node.to_string())),
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
                assert_eq!(find(format!("{name}\0brcm,bcm2711\0").as_bytes(), |_| false), board);
                names.push(name.clone());
            }
        }
    }

    #[test]
    fn an_unknown_board_gets_the_defaults() {
        for compatible in [&b""[..], b"\0\0", b"acme,box", b"raspberrypi,4-model"] {
            let board = find(compatible, |_| false);
            assert!(!board.is_known());
            assert_eq!((board.slots, board.name.as_str()), (SLOTS_DEFAULT, "generic"));
            assert_eq!(board.encoders.as_slice(), [Encoder::Software]);
        }
    }

    #[test]
    fn a_board_names_the_encoders_to_try_and_an_unknown_one_shows_them() {
        let names = |board: Board| board.encoders.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(find(b"raspberrypi,4-model-b\0", |_| true)), ["v4l2m2m:video11"]);
        assert!(names(find(b"raspberrypi,5-model-b\0", |_| true)).is_empty(), "its chip has none, whatever /dev shows");
        let pc = find(b"", |node| node == "/dev/dri/renderD128");
        assert_eq!(names(pc), ["vaapi:renderD128", "qsv:renderD128", "software"]);
    }

    #[test]
    fn a_board_names_no_device_in_its_own_words() {
        let board = |encoders: &str| {
            let text = format!("name = \"x\"\ncompatible = []\nslots = 1\nring_mib = 1\nencoders = {encoders}\n");
            toml::from_str::<Board>(&text)
        };
        assert!(board(r#"["vaapi:renderD128", "rkmpp"]"#).is_ok() && board("[]").is_ok());
        for wrong in [
            r#"["vaapi:/dev/dri/renderD128"]"#,
            r#"["vaapi:renderD128,driver=x"]"#,
            r#"["software"]"#,
            r#"["rkmpp", "rkmpp"]"#,
            r#""rkmpp""#,
        ] {
            assert!(board(wrong).is_err(), "{wrong}");
        }
    }
}

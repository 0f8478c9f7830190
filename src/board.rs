//! Which board this is, and what it can carry.
//!
//! One TOML for each board in `board/`, found by the device tree's `compatible`. A computer without device tree, or
//! with an unknown one, gets the file of its architecture. `board/README.md` tells of the keys.

pub mod vitals;

use pure::limits::ENCODERS_MAX;
use pure::model::encoder::{Candidates, Encoder, candidates};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use vitals::{Sources, Throttled};

/// What a board can carry.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// What people call it.
    pub name: String,
    /// Device tree names it is known by.
    #[serde(default)]
    pub compatible: Vec<String>,
    /// Architectures of computers that no other file is for, as [`std::env::consts::ARCH`] has them.
    #[serde(default)]
    pub arch: Vec<String>,
    /// Slots at most.
    pub slots: usize,
    /// Ring of each slot.
    pub ring_mib: usize,
    /// Hardware encoders to try, in order; `None`: whatever has its device.
    #[serde(default, deserialize_with = "read_encoders")]
    pub encoders: Option<Candidates>,
    /// Thermal zones, by their types: the first that is there counts.
    #[serde(default)]
    pub thermal: Vec<String>,
    /// What tells that the chip was slowed down.
    #[serde(default)]
    pub throttled: Option<Throttled>,
    /// For the image builders.
    #[serde(default)]
    pub image: Option<Image>,
}

/// What an image for the board needs. We only check it; `tools/image` reads it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The directory in `board/` with its boot files.
    pub boot: String,
    /// The device of its watchdog.
    #[serde(default)]
    pub watchdog: Option<String>,
    /// The light that shows how it is, by its name in `/sys/class/leds`.
    #[serde(default)]
    pub led: Option<String>,
}

impl Board {
    /// Whether it is one of ours, and not just any computer.
    pub fn is_known(&self) -> bool {
        !self.compatible.is_empty()
    }

    /// What may encode on it; `exists` tells of a device node.
    pub fn candidates(&self, exists: impl Fn(&str) -> bool) -> Candidates {
        self.encoders.clone().unwrap_or_else(|| candidates(|node| exists(&node.to_string())))
    }

    /// Where it tells how it is.
    pub fn sources(&self) -> Sources {
        Sources { thermal: self.thermal.clone(), throttled: self.throttled }
    }
}

/// All boards we know.
const BOARDS: [&str; 9] = [
    include_str!("../board/rpi3.toml"),
    include_str!("../board/rpi-zero2w.toml"),
    include_str!("../board/rpi4.toml"),
    include_str!("../board/rpi5.toml"),
    include_str!("../board/cm4.toml"),
    include_str!("../board/qemu-arm64.toml"),
    include_str!("../board/rk3588.toml"),
    include_str!("../board/generic-arm64.toml"),
    include_str!("../board/generic-x86-64.toml"),
];

const _: () = assert!(
    cfg!(any(target_arch = "aarch64", target_arch = "arm", target_arch = "x86_64", target_arch = "x86")),
    "name this architecture in one of board/generic-*.toml, and here"
);

/// The board we run on.
pub fn detect() -> Board {
    let compatible = std::fs::read("/proc/device-tree/compatible").unwrap_or_default();
    find(&compatible, std::env::consts::ARCH).expect("each architecture that we are built for has a file")
}

/// Encoders by their names, each of them once.
fn read_encoders<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Candidates>, D::Error> {
    let mut encoders = Candidates::new();
    for name in Vec::<String>::deserialize(deserializer)? {
        let encoder: Encoder = name.parse().map_err(D::Error::custom)?;
        if !encoder.is_hardware() || encoders.contains(&encoder) {
            return Err(D::Error::custom("software is always tried, and nothing twice"));
        }
        encoders.push(encoder).map_err(|_| D::Error::custom(format!("at most {ENCODERS_MAX}")))?;
    }
    Ok(Some(encoders))
}

/// `compatible` is the device tree's property: names, the most exact first, each ended by NUL. Where none of them is
/// known, the architecture decides.
fn find(compatible: &[u8], arch: &str) -> Option<Board> {
    let mut names = compatible.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let boards = || BOARDS.iter().filter_map(|text| toml::from_str::<Board>(text).ok());
    names
        .find_map(|name| boards().find(|board| board.compatible.iter().any(|known| known.as_bytes() == name)))
        .or_else(|| boards().find(|board| board.arch.iter().any(|known| known == arch)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pure::limits::{RING_MIB_DEFAULT, RING_MIB_MAX, RING_MIB_MIN, SLOTS_DEFAULT, SLOTS_MAX};
    use std::fs;
    use std::path::Path;

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/board"))
    }

    #[test]
    fn every_file_in_board_is_built_in() {
        let mut files: Vec<String> = fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let mut known = BOARDS.map(str::to_owned).to_vec();
        files.sort();
        known.sort();
        assert!(files == known, "BOARDS in src/board.rs lacks a file of board/, or names one twice");
    }

    #[test]
    fn every_board_is_readable_in_range_and_found_by_its_own_names() {
        let mut names = Vec::new();
        for text in BOARDS {
            let board: Board = toml::from_str(text).unwrap();
            assert!((1..=SLOTS_MAX).contains(&board.slots), "{}", board.name);
            assert!((RING_MIB_MIN..=RING_MIB_MAX).contains(&board.ring_mib), "{}", board.name);
            assert!(board.is_known() == board.arch.is_empty(), "{} is found in one way", board.name);
            for name in &board.compatible {
                assert!(!names.contains(name), "{name} stands in two files");
                assert_eq!(find(format!("{name}\0acme,chip\0").as_bytes(), "x86_64").as_ref(), Some(&board));
                names.push(name.clone());
            }
            for arch in &board.arch {
                assert!(!names.contains(arch), "{arch} stands in two files");
                assert_eq!(find(b"", arch).as_ref(), Some(&board));
                names.push(arch.clone());
            }
        }
    }

    #[test]
    fn what_image_builders_read_is_there_and_names_nothing_else() {
        // tools/image reads these lines without a reader of TOML, and puts them into files.
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte));
        for text in BOARDS {
            let board: Board = toml::from_str(text).unwrap();
            let Some(image) = board.image else { continue };
            let line = |key: &str, value: &str| text.lines().any(|line| line == format!("{key} = \"{value}\""));
            assert!(folder().join(&image.boot).join("board.env").is_file(), "{}: no boot files", board.name);
            assert!(line("boot", &image.boot));
            if let Some(watchdog) = &image.watchdog {
                assert!(watchdog.strip_prefix("/dev/").is_some_and(is_plain) && line("watchdog", watchdog));
            }
            if let Some(led) = &image.led {
                assert!(is_plain(led) && line("led", led), "{led}");
            }
        }
    }

    #[test]
    fn an_unknown_board_gets_the_file_of_its_architecture() {
        for compatible in [&b""[..], b"\0\0", b"acme,box", b"raspberrypi,4-model"] {
            for (arch, name) in [
                ("x86_64", "generic x86-64"),
                ("x86", "generic x86-64"),
                ("aarch64", "generic arm64"),
                ("arm", "generic arm64"),
            ] {
                let board = find(compatible, arch).unwrap();
                assert!(!board.is_known());
                assert_eq!((board.slots, board.ring_mib, board.name.as_str()), (SLOTS_DEFAULT, RING_MIB_DEFAULT, name));
                assert_eq!(board.candidates(|_| false).as_slice(), [Encoder::Software]);
            }
        }
        assert_eq!(find(b"", "z80"), None);
        assert!(!detect().name.is_empty(), "this one has a file, too");
    }

    #[test]
    fn a_chip_finds_its_file_where_the_board_has_none() {
        let name = |compatible: &[u8]| find(compatible, "aarch64").unwrap().name;
        for compatible in [
            // As their kernels have it: upstream and, third, the vendor's.
            &b"radxa,rock-5b\0rockchip,rk3588\0"[..],
            b"xunlong,orangepi-5\0rockchip,rk3588s\0",
            b"rockchip,rk3588s-orangepi-5\0rockchip,rk3588\0",
        ] {
            assert_eq!(name(compatible), "Rockchip RK3588");
        }
        assert_eq!(name(b"raspberrypi,4-model-b\0brcm,bcm2711\0"), "Raspberry Pi 4");
    }

    #[test]
    fn a_board_names_the_encoders_to_try_and_an_unknown_one_shows_them() {
        let names = |compatible: &[u8], exists: fn(&str) -> bool| {
            let board = find(compatible, "aarch64").unwrap();
            board.candidates(exists).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(b"raspberrypi,4-model-b\0", |_| true), ["v4l2m2m:video11"]);
        assert_eq!(names(b"rockchip,rk3588\0", |_| true), ["rkmpp"]);
        assert!(names(b"raspberrypi,5-model-b\0", |_| true).is_empty(), "its chip has none, whatever /dev shows");
        let pc = names(b"", |node| node == "/dev/dri/renderD128");
        assert_eq!(pc, ["vaapi:renderD128", "qsv:renderD128", "software"]);
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

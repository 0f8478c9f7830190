//! How the board is: warm, short of current, short of memory, wearing out its card. Whatever it does not tell is unknown.
//!
//! Memory here is the board's. What a control group leaves of it to this process is `engine::facts`'s matter, which reads
//! heat and memory here as well.

use crate::clock;
use pure::time::Wall;
use serde::Deserialize;
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What there is to know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// What the firmware calls the board.
    pub model: Option<String>,
    /// Of the chip, in thousandths of a degree.
    pub heat_milli_c: Option<i32>,
    /// Whether the chip runs slower now because it is hot or short of current.
    pub throttled: Option<bool>,
    /// Whether the supply is too weak now.
    pub under_voltage: Option<bool>,
    /// Its memory.
    pub memory: Option<Memory>,
    /// What was written to the disk that keeps the state, since midnight or since we were started.
    pub written_today_bytes: Option<u64>,
    /// Whether somebody sets the clock.
    pub clock_synced: Option<bool>,
    /// The fastest link.
    pub link_mbit: Option<u32>,
}

/// The board's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In all.
    pub total_bytes: u64,
    /// What the kernel thinks new work could have.
    pub available_bytes: u64,
}

/// Where the board tells how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Thermal zones, by their types: the first that is there counts. Without any, the kernel's first zone.
    pub thermal: Vec<String>,
    /// What tells that the chip was slowed down.
    pub throttled: Option<Throttled>,
}

/// What tells that the chip was slowed down.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Throttled {
    /// The Raspberry Pi's firmware, which tells of a weak supply as well.
    Firmware,
    /// The kernel's cooling devices that slow processors down.
    Cooling,
}

/// Looks at the board.
pub struct Vitals {
    state_dir: PathBuf,
    sources: Sources,
    /// It does not change.
    model: Option<String>,
    /// The day, and what had been written when it began.
    day: Cell<Option<(i64, u64)>>,
}

impl Vitals {
    /// For a box that keeps its state there.
    pub fn new(state_dir: &Path, sources: Sources) -> Self {
        Self { state_dir: state_dir.to_owned(), sources, model: model(Path::new("/")), day: Cell::default() }
    }

    /// How it is now. It reads a few small files of the kernel.
    pub fn look(&self) -> Seen {
        let root = Path::new("/");
        let written = self.device().and_then(|device| written_bytes(root, device));
        let written_today_bytes = written.map(|bytes| self.since_midnight(bytes, clock::wall()));
        Seen { model: self.model.clone(), written_today_bytes, ..seen(root, &self.sources) }
    }

    fn since_midnight(&self, written: u64, now: Wall) -> u64 {
        let today = now.0.div_euclid(86_400);
        match self.day.get() {
            Some((day, before)) if day == today => written.saturating_sub(before),
            _ => {
                self.day.set(Some((today, written)));
                0
            }
        }
    }

    /// The device number of the disk, as the kernel writes it.
    fn device(&self) -> Option<(u64, u64)> {
        let device = fs::metadata(&self.state_dir).ok()?.dev();
        Some((nix::sys::stat::major(device), nix::sys::stat::minor(device)))
    }
}

fn text(root: &Path, file: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(file)).ok()?;
    Some(text.trim_matches(['\0', '\n', ' ']).to_owned()).filter(|text| !text.is_empty())
}

fn model(root: &Path) -> Option<String> {
    text(root, "proc/device-tree/model")
}

/// Of the chip, in thousandths of a degree.
pub fn heat_milli_c(sources: &Sources) -> Option<i32> {
    heat_below(Path::new("/"), sources)
}

fn heat_below(root: &Path, sources: &Sources) -> Option<i32> {
    // Drivers may come late, and zones are numbered as they come: so they are looked for each time.
    let zones = || listed(root, "sys/class/thermal", "thermal_zone");
    let named = sources.thermal.iter().find_map(|kind| zones().find(|zone| text(zone, "type").as_ref() == Some(kind)));
    let zone = named.unwrap_or_else(|| root.join("sys/class/thermal/thermal_zone0"));
    text(&zone, "temp")?.parse().ok()
}

/// The kernel's things of one kind.
fn listed(root: &Path, folder: &str, prefix: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let is_wanted = move |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
    entries.filter(is_wanted).map(|entry| entry.path())
}

/// Whether the chip is slowed down, and whether its supply is too weak; a board that cannot tell says nothing.
fn throttled(root: &Path, source: Throttled) -> (Option<bool>, Option<bool>) {
    match source {
        Throttled::Firmware => {
            // Bit 0: under-voltage; 1: capped; 2: throttled; 3: the soft limit of heat.
            // Source: the Raspberry Pi documentation, vcgencmd get_throttled.
            let told = text(root, "sys/devices/platform/soc/soc:firmware/get_throttled");
            let bits = told.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
            (bits.map(|bits| bits & 0b1110 != 0), bits.map(|bits| bits & 1 != 0))
        }
        Throttled::Cooling => {
            // Source: the kernel's cpufreq_cooling.c ("cpufreq-%s", until 5.10 "thermal-cpufreq-%d") and ACPI's
            // processor_core.c ("Processor"); a state above 0 is a step down.
            let slows =
                |kind: &str| ["cpufreq-", "thermal-cpufreq-", "Processor"].iter().any(|it| kind.starts_with(it));
            let devices = listed(root, "sys/class/thermal", "cooling_device");
            let processors = devices.filter(|device| text(device, "type").is_some_and(|kind| slows(&kind)));
            let states = processors.filter_map(|device| text(&device, "cur_state")?.parse::<u32>().ok());
            (states.max().map(|state| state > 0), None)
        }
    }
}

/// The fastest link, in Mbit/s.
pub fn link_mbit() -> Option<u32> {
    link_mbit_below(Path::new("/"))
}

fn link_mbit_below(root: &Path) -> Option<u32> {
    let links = fs::read_dir(root.join("sys/class/net")).into_iter().flatten().flatten();
    links.filter_map(|link| text(&link.path(), "speed")?.parse().ok()).max()
}

/// The board's memory now.
pub fn memory() -> Option<Memory> {
    memory_below(Path::new("/"))
}

fn memory_below(root: &Path) -> Option<Memory> {
    let told = text(root, "proc/meminfo")?;
    let bytes = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { total_bytes: bytes("MemTotal:")?, available_bytes: bytes("MemAvailable:")? })
}

/// Everything but the model and what was written, from the kernel's files below `root`.
fn seen(root: &Path, sources: &Sources) -> Seen {
    let (throttled, under_voltage) = sources.throttled.map_or((None, None), |source| throttled(root, source));
    Seen {
        model: None,
        heat_milli_c: heat_below(root, sources),
        throttled,
        under_voltage,
        memory: memory_below(root),
        written_today_bytes: None,
        // Only where systemd's own service sets the clock is there a file that says so.
        clock_synced: fs::exists(root.join("run/systemd/timesync"))
            .ok()
            .filter(|is_there| *is_there)
            .map(|_| fs::exists(root.join("run/systemd/timesync/synchronized")).unwrap_or(false)),
        link_mbit: link_mbit_below(root),
    }
}

/// What was written to a disk or a part of it since the board was started.
/// Source: the kernel's documentation, block/stat; sectors are of 512 bytes whatever the disk says.
fn written_bytes(root: &Path, (major, minor): (u64, u64)) -> Option<u64> {
    let stat = text(root, &format!("sys/dev/block/{major}:{minor}/stat"))?;
    stat.split_whitespace().nth(6)?.parse::<u64>().ok()?.checked_mul(512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_read_as_its_kernel_writes_it() {
        let root = std::env::temp_dir().join(format!("tunerd-vitals-{}", std::process::id()));
        for (file, text) in [
            ("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
            ("proc/meminfo", "MemTotal:        3884452 kB\nMemAvailable:    2500000 kB\n"),
            ("sys/class/thermal/thermal_zone0/type", "acpitz\n"),
            ("sys/class/thermal/thermal_zone0/temp", "27800\n"),
            ("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone1/temp", "52400\n"),
            ("sys/class/thermal/cooling_device0/type", "pwm-fan\n"),
            ("sys/class/thermal/cooling_device0/cur_state", "3\n"),
            ("sys/class/thermal/cooling_device1/type", "cpufreq-cpu0\n"),
            ("sys/class/thermal/cooling_device1/cur_state", "0\n"),
            ("sys/class/thermal/cooling_device2/type", "cpufreq-cpu4\n"),
            ("sys/class/thermal/cooling_device2/cur_state", "2\n"),
            ("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n"),
            ("sys/class/net/eth0/speed", "1000\n"),
            ("sys/class/net/wlan0/speed", "-1\n"),
            ("sys/dev/block/179:2/stat", "  1 2 3 4 5 6 2048 8 9 10 11\n"),
            ("run/systemd/timesync/synchronized", ""),
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let sources = |thermal: &[&str], throttled| Sources {
            thermal: thermal.iter().map(|kind| (*kind).to_owned()).collect(),
            throttled,
        };
        let firmware = sources(&["soc-thermal", "cpu-thermal"], Some(Throttled::Firmware));
        let found = (seen(&root, &firmware), model(&root), written_bytes(&root, (179, 2)));
        let cooling = sources(&["soc-thermal"], Some(Throttled::Cooling));
        let slowed = seen(&root, &cooling);
        fs::write(root.join("sys/class/thermal/cooling_device2/cur_state"), "0\n").unwrap();
        let cool = seen(&root, &cooling);
        fs::remove_dir_all(&root).unwrap();
        let expected = Seen {
            model: None,
            heat_milli_c: Some(52_400),
            throttled: Some(true),
            under_voltage: Some(true),
            memory: Some(Memory { total_bytes: 3_884_452 * 1024, available_bytes: 2_500_000 * 1024 }),
            written_today_bytes: None,
            clock_synced: Some(true),
            link_mbit: Some(1_000),
        };
        assert_eq!(found, (expected, Some("Raspberry Pi 4 Model B Rev 1.4".to_owned()), Some(1024 * 1024)));
        assert_eq!((slowed.heat_milli_c, slowed.throttled), (Some(27_800), Some(true)), "the first zone, and a step");
        assert_eq!((cool.throttled, cool.under_voltage), (Some(false), None), "a fan slows nothing down");
        for throttled in [None, Some(Throttled::Firmware), Some(Throttled::Cooling)] {
            assert_eq!(seen(&root, &sources(&[], throttled)), Seen::default(), "a board that tells nothing");
        }
        assert!(memory().is_some_and(|memory| memory.total_bytes > memory.available_bytes), "this one tells");
    }

    #[test]
    fn what_was_written_counts_from_midnight() {
        let vitals = Vitals::new(Path::new("/"), Sources::default());
        let day = 86_400;
        let counted = [(500, day), (900, day + 9), (2_000, 2 * day - 1), (2_500, 2 * day), (2_600, 2 * day + 1)];
        let today = counted.map(|(written, at)| vitals.since_midnight(written, Wall(at)));
        assert_eq!(today, [0, 400, 1_500, 0, 100]);
    }
}

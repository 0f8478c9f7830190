//! What the board has left: memory, and file descriptors.

use nix::sys::resource::{Resource, getrlimit};
use pure::rules::admission::BoardFacts;
use std::fs;
use std::path::Path;

/// Looks at the board. It reads a few small files of the kernel, which takes some ten microseconds.
pub(super) fn look(ffmpeg: &Path) -> BoardFacts {
    let fds_limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| u32::try_from(soft).unwrap_or(u32::MAX));
    BoardFacts {
        memory_available_bytes: memory_available_bytes(),
        fds_open: fds_open(),
        fds_limit,
        ffmpeg_present: super::process::find(ffmpeg).is_ok(),
    }
}

/// File descriptors that this process has open; all there could be when the kernel does not tell.
pub fn fds_open() -> u32 {
    fs::read_dir("/proc/self/fd").map_or(u32::MAX, |entries| u32::try_from(entries.count()).unwrap_or(u32::MAX))
}

/// The smaller of what the kernel thinks new work can have and what our control group leaves.
pub fn memory_available_bytes() -> Option<u64> {
    let of_board = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(parse_meminfo);
    let of_group = fs::read_to_string("/proc/self/cgroup").ok().as_deref().and_then(group_left_bytes);
    of_board.into_iter().chain(of_group).min()
}

/// Memory of this process that is in use, in bytes.
pub fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    line_in_kib(&text, "VmRSS:")
}

fn parse_meminfo(text: &str) -> Option<u64> {
    line_in_kib(text, "MemAvailable:")
}

fn line_in_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// `cgroups` is `/proc/self/cgroup`; only the unified hierarchy is looked at.
fn group_left_bytes(cgroups: &str) -> Option<u64> {
    let group = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = Path::new("/sys/fs/cgroup").join(group);
    let number = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    // "max", and no file at all, mean no limit.
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_as_the_kernel_writes_it() {
        let text = "MemTotal:        3884452 kB\nMemFree:          115060 kB\nMemAvailable:    2500000 kB\n";
        assert_eq!(parse_meminfo(text), Some(2_500_000 * 1024));
        assert_eq!(parse_meminfo("MemAvailable: lots\n"), None);
        assert_eq!(parse_meminfo(""), None);
    }

    #[test]
    fn this_board_tells_what_it_has() {
        let facts = look(Path::new("sh"));
        assert!(facts.fds_open >= 3 && facts.fds_limit >= facts.fds_open);
        assert!(facts.memory_available_bytes.is_some_and(|bytes| bytes > 1_000_000));
        assert!(facts.ffmpeg_present, "sh stands in for it");
        assert!(!look(Path::new("no-such-program")).ffmpeg_present);
    }
}

//! What the board has left: memory, and file descriptors. Its own figures come from `board::vitals`; here is what this
//! process may have of them.

use crate::board::vitals::{self, Sources};
use nix::sys::resource::{Resource, getrlimit};
use pure::rules::admission::BoardFacts;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Looks at the board. It reads a few small files of the kernel, which takes some ten microseconds.
pub(super) fn look(ffmpeg: &Path, sources: &Sources) -> BoardFacts {
    BoardFacts {
        memory_available_bytes: memory_available_bytes(),
        fds_open: fds_open(),
        fds_limit: fds_limit(),
        ffmpeg_present: super::process::find(ffmpeg).is_ok(),
        heat_milli_c: vitals::heat_milli_c(sources),
    }
}

/// File descriptors that this process has open; all there could be when the kernel does not tell.
pub fn fds_open() -> u32 {
    fs::read_dir("/proc/self/fd").map_or(u32::MAX, |entries| u32::try_from(entries.count()).unwrap_or(u32::MAX))
}

/// File descriptors that this process may have open.
pub fn fds_limit() -> u32 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| u32::try_from(soft).unwrap_or(u32::MAX))
}

/// Dead children of this process that nobody has asked about. A kernel that does not list children tells of none.
pub fn zombies() -> usize {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let is_zombie = |pid: &str| {
        // The name stands in parentheses and may hold anything; the state follows it.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    };
    children.map(|pids| pids.split_whitespace().filter(|pid| is_zombie(pid)).count()).sum()
}

/// The smaller of what the kernel thinks new work can have and what our control group leaves.
pub fn memory_available_bytes() -> Option<u64> {
    let of_board = vitals::memory().map(|memory| memory.available_bytes);
    let of_group = group().and_then(|group| {
        let used = number(&group, "memory.current")?;
        Some(number(&group, "memory.max")?.saturating_sub(used))
    });
    of_board.into_iter().chain(of_group).min()
}

/// Memory that our control group may have, where that is less than the board has.
pub fn memory_max_bytes() -> Option<u64> {
    number(&group()?, "memory.max").filter(|max| memory_total_bytes().is_none_or(|all| *max < all))
}

/// Memory that the board has in all.
pub fn memory_total_bytes() -> Option<u64> {
    static TOTAL: OnceLock<Option<u64>> = OnceLock::new();
    *TOTAL.get_or_init(|| vitals::memory().map(|memory| memory.total_bytes))
}

/// How many processes the kernel has ended for want of memory since the board was started, of any control group.
pub fn oom_kills() -> Option<u64> {
    parse_oom_kills(&fs::read_to_string("/proc/vmstat").ok()?)
}

fn parse_oom_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// Memory of this process that is in use, in bytes.
pub fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    line_in_kib(&text, "VmRSS:")
}

fn line_in_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Our control group's folder; only the unified hierarchy is looked at.
fn group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new("/sys/fs/cgroup").join(group))
}

/// "max", and no file at all, mean no limit.
fn number(group: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(group.join(name)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_control_group_is_a_number_or_none() {
        let group = std::env::temp_dir().join(format!("tunerd-group-{}", std::process::id()));
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), "max\n").unwrap();
        fs::write(group.join("memory.current"), "4096\n").unwrap();
        let found = ["memory.max", "memory.current", "memory.high"].map(|name| number(&group, name));
        fs::remove_dir_all(&group).unwrap();
        assert_eq!(found, [None, Some(4_096), None]);
        assert!(memory_max_bytes() < memory_total_bytes(), "what is no limit is not told as one");
    }

    #[test]
    fn kills_for_want_of_memory_are_counted() {
        assert_eq!(parse_oom_kills("oom_kill_disable 7\noom_kill 3\nnuma_hit 1\n"), Some(3));
        assert_eq!(parse_oom_kills("numa_hit 1\n"), None);
        assert!(oom_kills().is_some(), "this kernel tells");
        assert!(memory_total_bytes() > memory_available_bytes());
    }

    #[test]
    fn this_board_tells_what_it_has() {
        let facts = look(Path::new("sh"), &Sources::default());
        assert!(facts.fds_open >= 3 && facts.fds_limit >= facts.fds_open);
        assert!(facts.memory_available_bytes.is_some_and(|bytes| bytes > 1_000_000));
        assert!(facts.ffmpeg_present, "sh stands in for it");
        assert!(!look(Path::new("no-such-program"), &Sources::default()).ffmpeg_present);
    }
}

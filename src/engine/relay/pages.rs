//! Memory that a ring does not need for now: the kernel gets the pages, the ring keeps its addresses.

#![expect(unsafe_code, reason = "nix has no safe way to say that a memory's contents do not matter")]

use nix::libc;

/// Gives back what lies between the first and the last whole page of `bytes`; those read as zeros from then on. What the
/// kernel does not take stays as it is.
pub(super) fn give_back(bytes: &mut [u8]) {
    // SAFETY: it asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(usize::MAX);
    let skipped = bytes.as_ptr().align_offset(page).min(bytes.len());
    let len = (bytes.len() - skipped) / page * page;
    let Some(pages) = bytes.get_mut(skipped..skipped + len).filter(|pages| !pages.is_empty()) else { return };
    // SAFETY: whole pages of a slice that is ours alone. Zeros are bytes like any others. The memory is the allocator's,
    // private and of no file, so nothing else changes with it.
    unsafe { libc::madvise(pages.as_mut_ptr().cast(), pages.len(), libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_kib() -> usize {
        let status = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = status.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn memory_that_is_given_back_is_not_resident_and_can_be_used_again() {
        let mut bytes = vec![7; 64 << 20];
        let before = resident_kib();
        give_back(&mut bytes[1..]);
        // Other tests have some megabytes meanwhile.
        assert!(before - resident_kib() > 32 << 10, "{before} KiB before, {} after", resident_kib());
        assert_eq!((bytes[0], bytes[32 << 20]), (7, 0), "what was not part of it stays");
        bytes.fill(8);
        assert!(bytes.iter().all(|byte| *byte == 8));
        give_back(&mut bytes[..10]);
        give_back(&mut []);
        assert_eq!(bytes[0], 8);
    }
}

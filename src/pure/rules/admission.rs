//! May the board carry one more child? Memory, file descriptors, and FFmpeg itself.
//!
//! Facts are read by the daemon (`engine::facts`). What is unknown is treated as plenty only for memory, where a board
//! without `/proc/meminfo` could never play at all; it is shown as unknown.

use crate::limits::{
    CHILD_FDS, COPY_MEMORY_BYTES, ENCODE_HEAT_MAX_MILLI_C, ENCODE_MEMORY_BYTES, PULL_FDS, PULL_MEMORY_BYTES,
    RESERVE_FDS, RESERVE_MEMORY_BYTES, SOUND_MEMORY_BYTES,
};
use crate::model::profile::Profile;

/// What the board has left, read just before a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoardFacts {
    /// Memory that new work can have: the smaller of `MemAvailable` and what the control group leaves. `None`: unknown.
    pub memory_available_bytes: Option<u64>,
    /// File descriptors that this process has open.
    pub fds_open: u32,
    /// File descriptors that it may have open (the soft limit).
    pub fds_limit: u32,
    /// FFmpeg was found and ran.
    pub ffmpeg_present: bool,
    /// The SoC's temperature, in thousandths of a degree Celsius. `None`: the board does not tell.
    pub heat_milli_c: Option<i32>,
}

/// What an attempt does, and so how much it asks of the board, from little to much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// A task of ours takes packets from the network as they are; no child.
    Pull,
    /// Copies packets.
    Copy,
    /// Copies the picture, and encodes the sound because clients do not play the source's own.
    Sound,
    /// Decodes or draws, and encodes, because the source's own formats are no good.
    Encode,
    /// Encodes the picture that a client asked for by name, which is another one than the channel's own.
    Transcode(Profile),
}

impl Work {
    /// Memory that is set aside for it.
    pub const fn memory_bytes(self) -> u64 {
        match self {
            Self::Pull => PULL_MEMORY_BYTES,
            Self::Copy => COPY_MEMORY_BYTES,
            Self::Sound => SOUND_MEMORY_BYTES,
            Self::Encode | Self::Transcode(_) => ENCODE_MEMORY_BYTES,
        }
    }

    /// Whether it makes pictures. Sound alone costs a fiftieth of a core.
    pub const fn encodes(self) -> bool {
        matches!(self, Self::Encode | Self::Transcode(_))
    }

    /// Its name for people and programs that look at a tuner.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Copy => "copy",
            Self::Sound => "sound",
            Self::Encode | Self::Transcode(_) => "encode",
        }
    }

    /// Which picture of the channel comes out: its own, however it is made, or one that was asked for by name.
    pub const fn profile(self) -> Profile {
        match self {
            Self::Pull | Self::Copy | Self::Sound | Self::Encode => Profile::None,
            Self::Transcode(profile) => profile,
        }
    }

    /// File descriptors that it may need at once.
    pub const fn fds(self) -> u32 {
        match self {
            Self::Pull => PULL_FDS,
            Self::Copy | Self::Sound | Self::Encode | Self::Transcode(_) => CHILD_FDS,
        }
    }
}

/// Why the board cannot carry one more child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// FFmpeg is not there, or does not run.
    Ffmpeg,
    /// Too little memory.
    Memory,
    /// Too few file descriptors.
    Fds,
    /// Too hot to encode.
    Heat,
}

/// Whether a child doing `work` may start, when children that are still growing hold `reserved_bytes`.
///
/// # Errors
/// [`Short`], the most final reason first.
pub const fn admit(facts: &BoardFacts, work: Work, reserved_bytes: u64) -> Result<(), Short> {
    if !facts.ffmpeg_present && !matches!(work, Work::Pull) {
        return Err(Short::Ffmpeg);
    }
    if let Some(available) = facts.memory_available_bytes {
        if available.saturating_sub(reserved_bytes) < work.memory_bytes() + RESERVE_MEMORY_BYTES {
            return Err(Short::Memory);
        }
    }
    if facts.fds_open.saturating_add(work.fds()) > facts.fds_limit.saturating_sub(RESERVE_FDS) {
        return Err(Short::Fds);
    }
    match facts.heat_milli_c {
        Some(heat) if work.encodes() && heat > ENCODE_HEAT_MAX_MILLI_C => Err(Short::Heat),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const PLENTY: BoardFacts = BoardFacts {
        memory_available_bytes: Some(400 * MIB),
        fds_open: 20,
        fds_limit: 1024,
        ffmpeg_present: true,
        heat_milli_c: Some(60_000),
    };

    #[test]
    fn memory_is_counted_with_what_is_reserved() {
        let exact = BoardFacts { memory_available_bytes: Some(160 * MIB), ..PLENTY };
        assert_eq!(admit(&exact, Work::Copy, 0), Ok(()));
        assert_eq!(admit(&exact, Work::Copy, 1), Err(Short::Memory));
        assert_eq!(admit(&exact, Work::Encode, 0), Err(Short::Memory));
        assert_eq!(admit(&exact, Work::Transcode(Profile::Heavy), 0), Err(Short::Memory));
        assert_eq!(admit(&exact, Work::Sound, 0), Err(Short::Memory));
        let sound = BoardFacts { memory_available_bytes: Some(176 * MIB), ..PLENTY };
        assert_eq!((admit(&sound, Work::Sound, 0), admit(&sound, Work::Sound, 1)), (Ok(()), Err(Short::Memory)));
        assert_eq!(admit(&PLENTY, Work::Encode, 64 * MIB), Ok(()));
        assert_eq!(admit(&PLENTY, Work::Encode, u64::MAX), Err(Short::Memory));
        assert_eq!(admit(&BoardFacts { memory_available_bytes: None, ..PLENTY }, Work::Encode, 0), Ok(()));
    }

    #[test]
    fn descriptors_leave_room_for_doors() {
        let limit = |fds_open| admit(&BoardFacts { fds_open, fds_limit: 256, ..PLENTY }, Work::Copy, 0);
        assert_eq!(limit(256 - 32 - 12), Ok(()));
        assert_eq!(limit(256 - 32 - 11), Err(Short::Fds));
        let pulls = |fds_open| admit(&BoardFacts { fds_open, fds_limit: 256, ..PLENTY }, Work::Pull, 0);
        assert_eq!((pulls(256 - 32 - 4), pulls(256 - 32 - 3)), (Ok(()), Err(Short::Fds)));
    }

    #[test]
    fn a_hot_board_copies_and_does_not_encode() {
        let hot = |milli_c, work| admit(&BoardFacts { heat_milli_c: Some(milli_c), ..PLENTY }, work, 0);
        assert_eq!(hot(82_000, Work::Encode), Ok(()));
        assert_eq!(hot(82_001, Work::Encode), Err(Short::Heat));
        assert_eq!(hot(82_001, Work::Transcode(Profile::Mobile)), Err(Short::Heat));
        assert_eq!([Work::Pull, Work::Copy, Work::Sound].map(|work| hot(95_000, work)), [Ok(()); 3]);
    }

    #[test]
    fn without_ffmpeg_nothing_else_matters() {
        let bare = BoardFacts { ffmpeg_present: false, memory_available_bytes: Some(0), ..PLENTY };
        assert_eq!(admit(&bare, Work::Copy, 0), Err(Short::Ffmpeg));
        assert_eq!(admit(&bare, Work::Pull, 0), Err(Short::Memory));
        let no_child = BoardFacts { ffmpeg_present: false, memory_available_bytes: Some(100 * MIB), ..PLENTY };
        assert_eq!(admit(&no_child, Work::Pull, 0), Ok(()), "a pull needs no FFmpeg");
    }
}

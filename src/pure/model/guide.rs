//! The guide's side of a lineup: what the owner chose for a channel.

use alloc::string::String;

/// What the owner chose for a channel. No refresh touches it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Whose programmes it shows.
    pub guide: Chosen,
    /// By how much they are moved, in seconds; later when positive. `None`: as its playlist says.
    pub offset_s: Option<i64>,
}

impl Choice {
    /// By how much the programmes of a channel are moved whose playlist says `tvg_shift_min`.
    pub fn offset_s_for(&self, tvg_shift_min: i16) -> i64 {
        self.offset_s.unwrap_or(i64::from(tvg_shift_min) * 60)
    }
}

/// Whose programmes a channel shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Chosen {
    /// The best match.
    #[default]
    Automatic,
    /// Nobody's.
    Nothing,
    /// Those of this channel, by its id, of this guide.
    Channel(GuideId, String),
}

/// Names a guide for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuideId(pub u32);

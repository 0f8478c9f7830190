//! The guide's side of a lineup: what of a channel the guide needs, and what the owner chose for it.

use super::guide_number::GuideNumber;
use super::lineup::{Channel, ChannelId, DemoIndex, Source};
use alloc::string::String;

/// A channel as the guide lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// For life.
    pub id: ChannelId,
    /// Its id in the guide that we serve.
    pub number: GuideNumber,
    /// What a viewer reads.
    pub name: String,
    /// Address of its logo; empty when none.
    pub logo: String,
    /// Its id in the provider's guide; empty when none.
    pub tvg_id: String,
    /// How many minutes later than there its programmes come, as its playlist says.
    pub tvg_shift_min: i16,
    /// The test picture that it shows, if it does.
    pub demo: Option<DemoIndex>,
}

impl From<&Channel> for Listed {
    fn from(channel: &Channel) -> Self {
        let demo = match channel.sources.first() {
            Some(Source::Demo(index)) => Some(*index),
            Some(Source::Url { .. }) | None => None,
        };
        Self {
            id: channel.id,
            number: channel.number,
            name: channel.name.clone(),
            logo: channel.logo.clone(),
            tvg_id: channel.tvg_id.clone(),
            tvg_shift_min: channel.tvg_shift_min,
            demo,
        }
    }
}

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

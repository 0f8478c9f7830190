//! Why the next viewer of a tuner would be refused: the questions that real viewers are asked, with nobody there.
//!
//! Where a tuner plays, the next viewer is one who wants to see the same; where it does not, one who wants what the
//! owner may have and what never failed. That others watch a tuner is no reason: that is seen anyway.

use super::seats::No;
use super::{Phase, Pool, Refusal, SlotIndex};
use crate::limits::RESERVE_MEMORY_BYTES;
use crate::model::face::Share;
use crate::rules::admission::{BoardFacts, Short};
use crate::rules::gate::{Deny, Wish};
use crate::rules::sources::Sources;
use crate::time::Mono;
use alloc::format;
use alloc::string::String;

/// What stands in the next viewer's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The daemon is stopping.
    Draining,
    /// The box is in safe mode.
    SafeMode,
    /// As many viewers as there can be.
    Viewers,
    /// What it played cannot be ended.
    Lost,
    /// Somebody controls it.
    Held,
    /// As many streams as the account allows are in use.
    Account {
        /// So many.
        streams_max: u16,
    },
    /// Too little memory.
    Memory {
        /// What there is, without what is promised to others.
        free_bytes: u64,
        /// What it takes.
        needed_bytes: u64,
    },
    /// Too few file descriptors.
    Fds,
    /// Too hot to encode.
    Heat,
    /// FFmpeg is not there.
    Ffmpeg,
    /// All channels together were restarted too often.
    Throttled {
        /// When the next one may be.
        until: Mono,
    },
    /// Its channel failed, and waits.
    Waits {
        /// Until then.
        until: Mono,
    },
    /// Its channel failed, and only a person can help.
    Misconfigured,
}

impl Obstacle {
    /// Its name, for programs and for the page's words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::SafeMode => "safe_mode",
            Self::Viewers => "viewers",
            Self::Lost => "lost",
            Self::Held => "held",
            Self::Account { .. } => "account",
            Self::Memory { .. } => "memory",
            Self::Fds => "descriptors",
            Self::Heat => "heat",
            Self::Ffmpeg => "ffmpeg",
            Self::Throttled { .. } => "throttle",
            Self::Waits { .. } => "waits",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// When it may be over, if that is known.
    pub const fn until(self) -> Option<Mono> {
        match self {
            Self::Throttled { until } | Self::Waits { until } => Some(until),
            _ => None,
        }
    }

    /// In plain words, without a full stop.
    pub fn words(self, now: Mono) -> String {
        const MIB: u64 = 1024 * 1024;
        let seconds = self.until().map_or(0, |until| until.ms_since(now).div_ceil(1_000));
        match self {
            Self::Draining => "tunerd is stopping".into(),
            Self::SafeMode => "the box is in safe mode, where nothing plays".into(),
            Self::Viewers => "as many are watching as can be".into(),
            Self::Lost => "what it played cannot be ended".into(),
            Self::Held => "somebody controls it with hdhomerun_config or such".into(),
            Self::Account { streams_max: 1 } => "this account allows 1 stream, and it is in use".into(),
            Self::Account { streams_max } => format!("this account allows {streams_max} streams, and all are in use"),
            Self::Memory { free_bytes, needed_bytes } => {
                let needed = needed_bytes.div_ceil(MIB);
                format!("memory is short: {} MiB free, {needed} MiB needed", free_bytes / MIB)
            }
            Self::Fds => "not enough descriptors are left".into(),
            Self::Heat => "the board is too hot to encode".into(),
            Self::Ffmpeg => "FFmpeg is missing".into(),
            Self::Throttled { .. } => format!("the throttle is at work; the next restart may be in {seconds} s"),
            Self::Waits { .. } => format!("its channel failed; the next try may be in {seconds} s"),
            Self::Misconfigured => "its channel failed, and its source has to be changed first".into(),
        }
    }
}

impl Pool {
    /// What stands in the way of the next viewer of a tuner; `None`: nothing. `others`: what a viewer could want of a
    /// tuner that plays nothing; only if none of them could be had, there is something in the way.
    pub fn obstacle(&self, now: Mono, facts: &BoardFacts, index: SlotIndex, others: &[Sources]) -> Option<Obstacle> {
        let slot = self.slot(index)?;
        if matches!(slot.phase, Phase::Quarantined { .. }) {
            return Some(Obstacle::Lost);
        }
        let answer_by = now.plus_ms(self.rules.tune_deadline_ms);
        let judge = |sources: &Sources| match self.find_seat(now, facts, sources, Some(index), Share::BOX, answer_by) {
            Ok(_) => None,
            Err(no) => Some(self.name(now, facts, sources, no)),
        };
        if let (Some(_), Some(sources)) = (slot.plays, &slot.sources) {
            return judge(sources);
        }
        let mut first = None;
        for sources in others {
            first = first.or(Some(judge(sources)?));
        }
        first
    }

    fn name(&self, now: Mono, facts: &BoardFacts, sources: &Sources, No { refusal, deny }: No) -> Obstacle {
        match refusal {
            Refusal::Draining => Obstacle::Draining,
            Refusal::ViewersFull => Obstacle::Viewers,
            Refusal::SlotStuck => Obstacle::Lost,
            // Of what could be in the way of a tuner that nobody watches, that is all that is left.
            Refusal::TunerInUse | Refusal::AllTunersInUse | Refusal::ShareInUse => Obstacle::Held,
            Refusal::AccountFull => {
                let full = sources.wishes().find(|wish| self.is_account_full(*wish)).and_then(|wish| wish.account);
                Obstacle::Account { streams_max: full.map_or(0, |account| account.streams_max) }
            }
            Refusal::Short(Short::Memory) => {
                let Wish { work, .. } = self.choose(now, sources).unwrap_or_else(|_| sources.first());
                let free_bytes = facts.memory_available_bytes.unwrap_or(0).saturating_sub(self.reserved_bytes(now));
                Obstacle::Memory { free_bytes, needed_bytes: work.memory_bytes() + RESERVE_MEMORY_BYTES }
            }
            Refusal::Short(Short::Fds) => Obstacle::Fds,
            Refusal::Short(Short::Heat) => Obstacle::Heat,
            Refusal::Short(Short::Ffmpeg) => Obstacle::Ffmpeg,
            Refusal::Misconfigured => Obstacle::Misconfigured,
            Refusal::Busy { retry_ms }
            | Refusal::TuneFailed { retry_ms }
            | Refusal::NoVideo { retry_ms }
            | Refusal::Resting { retry_ms } => {
                let until = now.plus_ms(retry_ms);
                match deny {
                    Some(Deny::Throttled { .. }) => Obstacle::Throttled { until },
                    _ => Obstacle::Waits { until },
                }
            }
        }
    }
}

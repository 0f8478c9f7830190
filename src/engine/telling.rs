//! Puts into words what the guard notes: log lines for people.
//!
//! What is decided stands in `pure::rules`; what is counted in `observe::metrics`; how many lines one channel may have
//! in `observe::logs`, which knows them by `channel_id`.

use pure::model::lineup::ChannelId;
use pure::rules::admission::Short;
use pure::rules::blank::Sight;
use pure::rules::failure::Failure;
use pure::rules::gate::{Deny, Kind};
use pure::rules::pool::{Note, SlotIndex};
use pure::time::Mono;

/// Logs what deserves a line. `channel` is the name of the channel that the note is about, `said` the last words of the
/// child that a failure is about.
pub(super) fn tell(now: Mono, note: Note, channel: &str, said: &str) {
    match note {
        Note::Failed { slot, generation, channel: ChannelId(channel_id), source, failure, failures_len } => {
            tracing::warn!(
                slot = slot.0,
                generation = generation.0,
                channel_id,
                source,
                failures = failures_len,
                said,
                "{channel} failed: {}",
                failure.words()
            );
        }
        Note::Opened { channel: ChannelId(channel_id), source, failure, until } => tracing::warn!(
            channel_id,
            source,
            "{channel} rests for {} s: {}; {}",
            until.ms_since(now).div_ceil(1_000),
            failure.words(),
            what_next(failure)
        ),
        Note::Closed { channel: ChannelId(channel_id) } => {
            tracing::info!(channel_id, "{channel} plays steadily again");
        }
        Note::Inconclusive { channel: ChannelId(channel_id) } => {
            tracing::info!(channel_id, "{channel} was tried again, but nobody stayed to see whether it is well");
        }
        Note::SilenceWarning { slot, channel: ChannelId(channel_id) } => {
            tracing::info!(slot = slot.0, channel_id, "{channel} is silent; it is restarted if that goes on");
        }
        Note::AcquireTimeout { channel: ChannelId(channel_id) } => {
            tracing::warn!(channel_id, "{channel} got no tuner in 90 s, so its viewers were sent away");
        }
        // Waiting is part of every restart; a storm has an alarm of its own, and tokens come soon.
        Note::Denied { channel: ChannelId(channel_id), deny } => {
            if let Some(why) = why_short(deny) {
                tracing::info!(channel_id, "{channel} has to wait: {why}");
            } else {
                tracing::debug!(channel_id, ?deny, "{channel} has to wait");
            }
        }
        Note::SweepFound { slot } => {
            tracing::error!(slot = slot.0, "a timer missed a silent child; please report this");
        }
        // These are alarms, or counted only.
        Note::Storm | Note::Outage(_) | Note::Acquired { .. } | Note::Stable { .. } | Note::ProbeSkipped { .. } => {}
    }
}

/// Logs a start that viewers have waited for.
pub(super) fn tell_start(kind: Kind, ChannelId(channel_id): ChannelId, channel: &str) {
    match kind {
        Kind::Probe => tracing::info!(channel_id, "{channel} has rested; trying it once"),
        Kind::Restart => tracing::info!(channel_id, "{channel} is restarted"),
        Kind::Cold => {}
    }
}

/// Logs that a channel shows something else than before.
pub(super) fn tell_sight(
    now: Mono,
    (before, sight): (Sight, Sight),
    since: Mono,
    (SlotIndex(slot), ChannelId(channel_id), source): (SlotIndex, ChannelId, u8),
    channel: &str,
) {
    let words = sight.words();
    match (before, sight) {
        // The first glance, and a child that begins.
        (Sight::Unknown, Sight::Good) | (_, Sight::Unknown) => {}
        (_, Sight::Good) => tracing::info!(slot, channel_id, source, "{channel} {words} again"),
        _ => {
            let seconds = now.ms_since(since) / 1_000;
            tracing::info!(slot, channel_id, source, "{channel} {words} since {seconds} s");
        }
    }
}

fn why_short(deny: Deny) -> Option<&'static str> {
    match deny {
        Deny::Short(Short::Memory) => Some("the box has too little memory left for one more"),
        Deny::Short(Short::Fds) => Some("too many files and connections are open; raise LimitNOFILE"),
        Deny::Short(Short::Ffmpeg) => Some("FFmpeg is missing"),
        Deny::Short(Short::Heat) => Some("the box is too hot to encode one more; give it air"),
        Deny::RecordsFull => Some("too many channels failed lately"),
        Deny::AccountFull => Some("all streams that its provider allows at once are in use"),
        Deny::Draining | Deny::Open { .. } | Deny::Cooldown { .. } | Deny::Throttled { .. } | Deny::Token { .. } => {
            None
        }
    }
}

fn what_next(failure: Failure) -> &'static str {
    if failure.is_final() {
        "trying again cannot help before something is changed"
    } else {
        "then the first who wants to watch it tries it once"
    }
}

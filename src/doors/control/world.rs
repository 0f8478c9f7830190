//! What a client asks about, as it is at this moment.

use super::Door;
use super::delivery::{Shown, Stream};
use crate::doors::http::identity;
use crate::engine::{Tuner, facts};
use pure::model::lineup::Lineup;
use pure::rules::control::{Board, Counters, Device, Scan, ScanState, Seen, World};
use pure::rules::pool::{SlotIndex, SlotState};
use std::sync::Arc;

/// Everything that an answer may need.
pub(super) struct Snapshot {
    lineup: Option<Arc<Lineup>>,
    tuners: Vec<Tuner>,
    /// By tuner: what its stream shows.
    streams: Vec<Option<Shown>>,
    scan: Scan,
    /// See [`crate::doors::http::App::model`].
    model: (&'static str, &'static str),
}

impl Snapshot {
    pub(super) fn take(door: &Door) -> Self {
        let lineup = door.app.engine.lineup();
        let status = door.app.subscriptions.status();
        let found = lineup.as_ref().map_or(0, |lineup| u32::try_from(lineup.channels().len()).unwrap_or(u32::MAX));
        let scan = if status.in_progress {
            Scan { state: ScanState::Running, progress: status.progress, found: status.found_now }
        } else {
            Scan { state: ScanState::Complete, progress: 100, found }
        };
        let streams = door.streams.borrow();
        let streams = streams.iter().map(|stream| stream.as_ref().map(Stream::shown)).collect();
        Self { lineup, tuners: door.app.engine.tuners(), streams, scan, model: door.app.model() }
    }
}

impl World for Snapshot {
    fn lineup(&self) -> Option<&Lineup> {
        self.lineup.as_deref()
    }

    fn seen(&self, index: SlotIndex) -> Seen<'_> {
        let stream = self.streams.get(usize::from(index.0)).copied().flatten();
        let slot = stream.and_then(|stream| stream.slot).unwrap_or(index);
        let Some(tuner) = self.tuners.get(usize::from(slot.0)) else { return Seen::default() };
        // Whoever is not one of our own receivers came over HTTP.
        let is_ours = |peer| self.streams.iter().flatten().any(|stream| stream.target == peer);
        Seen {
            channel: tuner.view.channel,
            http: tuner.watchers.iter().map(|watcher| watcher.peer).find(|peer| !is_ours(*peer)),
            is_failing: tuner.view.channel.is_some() && tuner.view.state != SlotState::Playing,
            bits_per_s: if tuner.view.state == SlotState::Playing { tuner.stats.bits_per_s } else { 0 },
            packets_per_s: stream.map_or(0, |stream| stream.datagrams_per_s),
            pids: None,
            counters: Counters {
                overflows: tuner.stats.overtaken,
                dropped_packets: stream.map_or(0, |stream| stream.lost),
                ..Counters::default()
            },
        }
    }

    fn device(&self) -> Device<'_> {
        Device {
            model: self.model.1,
            hw_model: self.model.0,
            version: identity::FIRMWARE_VERSION,
            copyright: "tunerd, free software under MIT or Apache-2.0",
        }
    }

    fn board(&self) -> Board {
        let mib = |bytes: Option<u64>| u32::try_from(bytes.unwrap_or(0) / 1_048_576).unwrap_or(u32::MAX);
        Board {
            memory_mib: mib(facts::memory_total_bytes()),
            free_mib: mib(facts::memory_available_bytes()),
            ..Board::default()
        }
    }

    fn scan(&self) -> Scan {
        self.scan
    }
}

//! What a stream is worth to a client that waits for a picture.

use super::Judged;
use crate::limits::DOCTOR_PATIENCE_MS;
use crate::wire::ts::{Inspector, PACKET_BYTES, PacketBytes};
use alloc::boxed::Box;
use alloc::format;
use core::fmt::Display;

/// A stream as it comes in.
#[derive(Debug)]
pub struct Watch {
    inspector: Box<Inspector>,
    /// The packet that has not come whole yet.
    packet: PacketBytes,
    packet_len: usize,
    bytes: u64,
    /// When it began, and when a client could have shown something, in milliseconds since it was asked for.
    first_ms: Option<u64>,
    picture_ms: Option<u64>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            inspector: Box::default(),
            packet: [0; PACKET_BYTES],
            packet_len: 0,
            bytes: 0,
            first_ms: None,
            picture_ms: None,
        }
    }
}

impl Watch {
    /// The next bytes, `ms` after the stream was asked for.
    pub fn push(&mut self, ms: u64, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for byte in bytes {
            self.first_ms = self.first_ms.or(Some(ms));
            if let Some(place) = self.packet.get_mut(self.packet_len) {
                *place = *byte;
            }
            self.packet_len += 1;
            if self.packet_len == PACKET_BYTES {
                self.packet_len = 0;
                let seen = self.inspector.packet(&self.packet);
                // Before PAT and PMT a key frame is of no use to anybody.
                if seen.join_point && !self.inspector.tables().is_empty() {
                    self.picture_ms = self.picture_ms.or(Some(ms));
                }
            }
        }
    }

    /// Whether anything has come.
    pub const fn has_begun(&self) -> bool {
        self.bytes > 0
    }

    /// Whether it shows that it plays: tables, a key frame, and a clock that runs.
    pub fn is_enough(&self) -> bool {
        self.picture_ms.is_some() && self.inspector.clock_moves() > 1
    }

    /// How far its clock has run, in milliseconds.
    pub fn ran_ms(&self) -> u64 {
        self.inspector.clock_ran_ms().unwrap_or_default()
    }

    /// What keeps it from being a clean transport stream, if anything does: sync, tables, counters, and a clock that ran
    /// for `ms_min`.
    pub fn fault(&self, ms_min: u64) -> Option<&'static str> {
        let counters = self.inspector.counters();
        if self.bytes == 0 {
            Some("nothing came")
        } else if counters.damaged_packets > 0 {
            Some("it is no clean transport stream")
        } else if self.inspector.tables().is_empty() || counters.damaged_sections > 0 {
            Some("it does not say what it consists of (no PAT and PMT)")
        } else if counters.continuity_errors > 0 {
            Some("packets are missing")
        } else if self.picture_ms.is_none() {
            Some("there is no key frame in it")
        } else if self.ran_ms() < ms_min {
            Some("its clock does not run")
        } else {
            None
        }
    }

    /// Judges it as the stream of `channel`, after all that came in time.
    pub fn judge(&self, channel: impl Display) -> Judged {
        let counters = self.inspector.counters();
        let patience_s = DOCTOR_PATIENCE_MS / 1_000;
        let Some(first_ms) = self.first_ms else {
            return Judged::fail(format!("channel {channel} sent nothing within {patience_s} seconds"));
        };
        if counters.damaged_packets > 0 {
            return Judged::fail(format!("channel {channel} sends what is no clean transport stream"));
        }
        if counters.packets == counters.null_packets {
            return Judged::fail(format!("channel {channel} sent nothing but filling within {patience_s} seconds"));
        }
        if self.inspector.tables().is_empty() {
            return Judged::fail(format!("channel {channel} does not say what it consists of (no PAT and PMT)"));
        }
        let Some(picture_ms) = self.picture_ms else {
            return Judged::fail(format!("channel {channel} sent no key frame within {patience_s} seconds"));
        };
        if picture_ms > DOCTOR_PATIENCE_MS {
            return Judged::fail(format!(
                "channel {channel} took {picture_ms} ms, and clients wait {patience_s} seconds"
            ));
        }
        if counters.continuity_errors > 0 {
            return Judged::fail(format!("channel {channel} lost {} packets", counters.continuity_errors));
        }
        if self.inspector.clock_moves() < 2 {
            return Judged::fail(format!("the clock of channel {channel} does not run"));
        }
        Judged::pass(format!("channel {channel}: first byte after {first_ms} ms, picture after {picture_ms} ms"))
    }
}

//! What tunerd decides, without ever touching the world.
//!
//! No clock, no socket, no process, no file: every function gets what it must know, time included, and gives back
//! values. The crate is `no_std`, so the compiler holds that line. The same object code runs in the daemon, in the
//! tests and in the fuzzers.
//!
//! - [`limits`]: every bound and budget, with its reason.
//! - [`time`]: points in time, as plain numbers.
//! - [`model`]: the nouns: device id, guide number, channel, lineup, channel map, source, recipe, subscription.
//! - [`wire`]: bytes to values and back: HDHomeRun frames, SSDP, transport stream, RTP, M3U, JSON lists, XMLTV.
//! - [`rules`]: decisions over time: bucket, admission, gate, pool, control.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod limits;
pub mod model;
pub mod rules;
pub mod time;
pub mod wire;

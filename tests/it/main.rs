//! The daemon as its users meet it: the real binary, real FFmpeg, real clients, over loopback.
//!
//! Each test starts a daemon of its own on a loopback address of its own, so the real ports can be used and tests run
//! side by side. `kit` starts and watches; the other files tell what must hold.
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![allow(clippy::let_underscore_must_use, reason = "what is cleaned up may be gone already")]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the executor")]

mod access;
mod backup;
mod blank;
mod boards;
mod chaos;
mod clients;
mod contract;
mod control;
mod ctl;
mod device;
mod discovery;
mod doctor;
mod faces;
mod failover;
mod fake;
mod faults;
mod guide;
mod house;
mod inputs;
mod keys;
mod kit;
mod ladder;
mod live;
mod network;
mod notices;
mod observe;
mod play;
mod playlist;
mod power;
mod preview;
mod profiles;
mod providers;
mod pull;
mod reach;
mod sandbox;
mod sbom;
mod seam;
mod slate;
mod sound;
mod start;
mod subscriptions;
mod transcode;
mod traps;
mod update;
mod updating;

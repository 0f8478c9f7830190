//! Proofs of the guard, beside the daemon: none of this is in it.
//!
//! - [`spec`]: the specification's numbers, once more.
//! - [`observer`]: the independent checker of events and effects.
//! - [`points`]: what must have happened, or a proof is hollow.
//! - [`world`], [`simulate`]: random days in virtual time.
//! - [`sources`]: random hours with several sources for each channel, and accounts that count streams.
#![forbid(unsafe_code)]

pub mod dice;
pub mod explore;
pub mod judge;
pub mod mutants;
pub mod observer;
pub mod points;
pub mod simulate;
pub mod sources;
pub mod spec;
pub mod timelines;
pub mod trace;
pub mod world;

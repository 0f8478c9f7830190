//! Decisions over time. Each machine takes what happened and the time, and answers with what to do.
pub mod admission;
pub mod bucket;
pub mod failure;
pub mod gate;
pub mod pool;

//! What the box tells about itself: logs, metrics, and problems that last.
mod exposition;
pub mod logs;
pub mod metrics;
pub mod problems;

//! What the box tells about itself: logs, metrics, and problems that last.
pub mod black_box;
mod exposition;
pub mod history;
pub mod logs;
pub mod metrics;
pub mod problems;

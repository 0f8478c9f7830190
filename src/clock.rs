//! The one place that reads clocks.
//!
//! Decisions get their time as a value; timers of tokio are set from the same monotonic clock.
#![expect(clippy::disallowed_methods, reason = "this is the place where clocks are read")]

use pure::time::{Mono, Wall};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// When the daemon started: the zero of [`Mono`].
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Monotonic time since the first call, which `main` makes first thing.
pub fn mono() -> Mono {
    Mono(u64::try_from(start().elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Wall-clock time; it may jump.
pub fn wall() -> Wall {
    let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    };
    Wall(seconds)
}

/// Waits until `at`; for ever when there is no such time.
pub async fn until(at: Option<Mono>) {
    match at {
        Some(at) => tokio::time::sleep_until(start() + Duration::from_millis(at.0)).await,
        None => std::future::pending().await,
    }
}

/// Waits `ms` milliseconds.
pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

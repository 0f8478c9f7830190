//! The one place that reads clocks.
//!
//! Decisions get their time as a value; timers of tokio are set from the same monotonic clock.
#![expect(clippy::disallowed_methods, reason = "this is the place where clocks are read")]

use nix::time::{ClockId, clock_gettime};
use pure::limits::WALL_S_MIN;
use pure::time::{Mono, TimeOfDay, Wall};
use std::path::Path;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, Sleep};

/// When the daemon started.
struct Start {
    at: Instant,
    /// The same moment since the board was started.
    mono: Mono,
}

fn start() -> &'static Start {
    static START: OnceLock<Start> = OnceLock::new();
    START.get_or_init(|| {
        // Read once: from here on tokio's clock counts, which tests can hold. It stands still while a board sleeps, so
        // that a later run is ahead of an earlier one, never behind.
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        Start { at: Instant::now(), mono: Mono(millis(since_boot)) }
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Monotonic time since the board was started. `main` asks first thing, which fixes [`started`].
pub fn mono() -> Mono {
    let start = start();
    start.mono.plus_ms(millis(start.at.elapsed()))
}

/// When the daemon started.
pub fn started() -> Mono {
    start().mono
}

/// Names this start of the board; empty when the kernel does not tell.
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}

/// Wall-clock time; it may jump.
pub fn wall() -> Wall {
    let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    };
    Wall(seconds)
}

/// What a clock on the wall of the house shows at this time, by the box's time zone.
#[expect(unsafe_code, reason = "the C library alone knows time zones")]
#[allow(clippy::useless_conversion, reason = "time has 32 bits on some boards")]
pub fn time_of_day(at: Wall) -> Option<TimeOfDay> {
    // SAFETY: all fields of a `tm` are numbers, or a pointer that is not looked at.
    let mut tm: nix::libc::tm = unsafe { std::mem::zeroed() };
    let at = at.0.try_into().ok()?;
    // SAFETY: both point to values of ours that outlive the call; nothing here changes the environment.
    let told = unsafe { nix::libc::localtime_r(&raw const at, &raw mut tm) };
    let byte = |number: nix::libc::c_int| u8::try_from(number).ok();
    (!told.is_null()).then_some(())?;
    Some(TimeOfDay { hour: byte(tm.tm_hour)?, minute: byte(tm.tm_min)?, second: byte(tm.tm_sec)? })
}

/// Has [`time_of_day`], and the clocks on pictures that children make, go by the time of this zone; a zone that the system
/// does not know is none. To be asked first thing, by the only thread there is.
#[expect(unsafe_code, reason = "the C library reads the zone from the environment")]
pub fn set_zone(zone: &str) {
    if std::env::var_os("TZ").is_none() && Path::new("/usr/share/zoneinfo").join(zone).is_file() {
        // SAFETY: there is no other thread that could read the environment meanwhile.
        unsafe { std::env::set_var("TZ", zone) };
    }
}

/// Whether the wall clock can be right. A board without a battery wakes up in 1970 (T01).
pub fn wall_is_plausible() -> bool {
    wall().0 >= WALL_S_MIN
}

/// Processor time that the calling thread has taken, in milliseconds.
pub fn thread_cpu_ms() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |taken| millis(Duration::from(taken)))
}

/// Waits until `at`; for ever when there is no such time.
pub async fn until(at: Option<Mono>) {
    let start = start();
    // A point beyond the end of time never comes.
    let at = at.and_then(|at| start.at.checked_add(Duration::from_millis(at.ms_since(start.mono))));
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits `ms` milliseconds.
pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// A moment that comes again and again, without taking new memory. Alarms of the same period ring together, so that the
/// executor wakes up once for all of them.
pub struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    /// Rings next when the time is a whole multiple of `period_ms`.
    pub fn new(period_ms: u64) -> Self {
        Self(Box::pin(tokio::time::sleep_until(next(period_ms))))
    }

    /// As a new one, and not when it was to ring before.
    pub fn set(&mut self, period_ms: u64) {
        self.0.as_mut().reset(next(period_ms));
    }

    /// Whether it rings.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

fn next(period_ms: u64) -> Instant {
    let start = start();
    let periods = millis(start.at.elapsed()) / period_ms.max(1) + 1;
    start.at + Duration::from_millis(periods * period_ms)
}

/// Waits `ms` milliseconds and says how many microseconds more it became: time in which nothing else of ours ran
/// either. Timers have whole milliseconds, so one of them is nothing.
pub async fn late_us_after(ms: u64) -> u64 {
    let asked = Instant::now();
    pause(ms).await;
    let late = asked.elapsed().saturating_sub(Duration::from_millis(ms));
    u64::try_from(late.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[test]
    fn time_counts_from_the_start_of_the_board_and_never_runs_back() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime_s: u64 = uptime.split('.').next().unwrap().parse().unwrap();
        let now = mono();
        assert!(now.0 / 1_000 >= uptime_s && now.0 / 1_000 <= uptime_s + 60, "{now:?} at {uptime}");
        assert!(started() <= now && now <= mono());
        assert_eq!(boot_id().len(), 36);
    }

    #[test]
    fn the_time_of_day_is_that_of_the_box() {
        let now = wall();
        let date = std::process::Command::new("date").arg(format!("--date=@{}", now.0)).arg("+%T").output().unwrap();
        let TimeOfDay { hour, minute, second } = time_of_day(now).unwrap();
        assert_eq!(format!("{hour:02}:{minute:02}:{second:02}\n").as_bytes(), date.stdout);
    }

    #[tokio::test]
    async fn alarms_ring_together_whenever_they_were_set() {
        let late = || mono().ms_since(started()) % 200;
        // In the middle of a period, which is not the first of this process.
        let periods = mono().ms_since(started()) / 200 + 1;
        until(Some(started().plus_ms(periods * 200 + 120))).await;
        let mut alarm = Alarm::new(200);
        poll_fn(|context| alarm.poll(context)).await;
        assert!(late() < 100, "it rang {} ms late", late());
        let before = mono();
        pause(120).await;
        alarm.set(200);
        poll_fn(|context| alarm.poll(context)).await;
        assert!(late() < 100 && mono() > before.plus_ms(100), "it rang {} ms late", late());
    }

    #[tokio::test]
    async fn points_in_the_past_come_at_once_and_points_beyond_time_never() {
        until(Some(Mono(0))).await;
        let before = mono();
        until(Some(before.plus_ms(50))).await;
        assert!((50..5_000).contains(&mono().ms_since(before)));
        tokio::select! {
            () = until(Some(Mono(u64::MAX))) => panic!("time has ended"),
            () = pause(20) => {}
        }
        assert!(late_us_after(20).await < 5_000_000);
    }
}

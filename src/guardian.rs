//! The guardian: sees whether the executor turns, the supervisor sweeps and the store answers, and lets systemd know.
//!
//! systemd's watchdog is fed only while all of them are well, so nobody can hang and look healthy. Where only a fresh
//! start is safe the daemon ends itself, and writes down what happened before. What systemd does then, and when it
//! gives up, stands in `systemd/` and `pure::rules::escalation`.
#![expect(clippy::disallowed_methods, reason = "the one place that may abort: the black box is written first")]

use crate::clock;
use crate::engine::{self, process};
use crate::observe::black_box::BlackBox;
use crate::observe::metrics::Metrics;
use crate::observe::problems::Problems;
use crate::store::{self, Pulse};
use pure::limits::{
    BEAT_MS, LAG_EVERY_MS, PANIC_WINDOW_MS, PANICS_MAX, STALL_WARNING_MS, STORE_SILENCE_MS, STRAYS_PAUSE_MS,
};
use pure::rules::alarms::Sign;
use pure::rules::pool::SlotState;
use pure::time::Mono;
use std::cell::RefCell;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

/// Whom it looks after.
pub struct Guardian {
    /// Slots.
    pub engine: engine::Handle,
    /// The database.
    pub store: store::Handle,
    /// Where lateness is counted.
    pub metrics: Rc<Metrics>,
    /// Where stalls raise an alarm.
    pub problems: Problems,
    /// The last events, to say what was going on.
    pub black_box: BlackBox,
    /// Has something to read whenever a child of ours has ended.
    pub child_ended: UnixStream,
    /// Said instead of what plays, when nothing can.
    pub instead: Option<&'static str>,
}

/// How often it looks, and how long the store may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    beat_ms: u64,
    store_silence_ms: u64,
    has_watchdog: bool,
}

impl Pace {
    /// For systemd's watchdog, if there is one. The store gets half as much again before the watchdog is not fed any
    /// more: a card may be slow, and what plays does not need it.
    fn new(watchdog: Option<Duration>) -> Self {
        let watchdog_ms = watchdog.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        Self {
            beat_ms: watchdog_ms.map_or(BEAT_MS, |limit_ms| (limit_ms / 4).clamp(1, BEAT_MS)),
            store_silence_ms: watchdog_ms.map_or(STORE_SILENCE_MS, |limit_ms| limit_ms.saturating_add(limit_ms / 2)),
            has_watchdog: watchdog.is_some(),
        }
    }
}

/// The store's health, as far as its answers tell.
struct StoreWatch {
    handle: store::Handle,
    question: Option<Pin<Box<dyn Future<Output = Pulse>>>>,
    answered_at: Mono,
}

impl StoreWatch {
    /// Waits for its answer for `ms` at most; the same question stays open until it is answered.
    async fn look(&mut self, ms: u64) -> Option<Pulse> {
        let handle = self.handle.clone();
        let question = self.question.get_or_insert_with(|| Box::pin(async move { handle.ping().await }));
        let answer = tokio::select! {
            answer = question => answer,
            () = clock::pause(ms) => return None,
        };
        self.question = None;
        if answer == Pulse::Alive {
            self.answered_at = clock::mono();
        }
        Some(answer)
    }
}

impl Guardian {
    /// Looks after them for ever. It returns only when a fresh start is needed, and says why.
    pub async fn watch(self) -> String {
        let pace = Pace::new(watchdog());
        let Self { engine, store, metrics, problems, black_box, child_ended, instead } = self;
        let seen = Seen { engine, metrics, problems, black_box, instead };
        let store = StoreWatch { handle: store, question: None, answered_at: clock::mono() };
        tokio::select! {
            why = seen.beat(pace, store) => why,
            () = tidy(child_ended) => "its signal pipe ended".to_owned(),
        }
    }
}

/// What the beat looks at.
struct Seen {
    engine: engine::Handle,
    metrics: Rc<Metrics>,
    problems: Problems,
    black_box: BlackBox,
    instead: Option<&'static str>,
}

impl Seen {
    async fn beat(&self, pace: Pace, mut store: StoreWatch) -> String {
        let (mut told, mut well) = (String::new(), true);
        loop {
            let ill = self.look(pace, &mut store).await;
            if let Err(Ill::Gone(why)) = ill {
                return why.to_owned();
            }
            // Told once, not with every beat.
            match (ill, std::mem::replace(&mut well, ill.is_ok())) {
                (Err(Ill::Silent(who)), true) => {
                    tracing::error!("{who} does not answer; until it does, systemd's watchdog is not fed");
                }
                (Ok(()), false) => tracing::info!("all answer again"),
                _ => {}
            }
            if ill.is_ok() && pace.has_watchdog {
                notify("WATCHDOG=1");
            }
            let sentence = self.sentence();
            if sentence != told {
                notify(&format!("STATUS={sentence}"));
                told = sentence;
            }
            self.wait(pace.beat_ms).await;
        }
    }

    async fn look(&self, pace: Pace, store: &mut StoreWatch) -> Result<(), Ill> {
        let pulse = tokio::time::timeout(Duration::from_millis(pace.beat_ms), self.engine.pulse());
        let pulse = pulse.await.unwrap_or(false);
        if store.look(pace.beat_ms / 2).await == Some(Pulse::Stopped) {
            return Err(Ill::Gone("the store has ended"));
        }
        if !pulse {
            return Err(Ill::Silent("the supervisor"));
        }
        if clock::mono().ms_since(store.answered_at) > pace.store_silence_ms {
            return Err(Ill::Silent("the store"));
        }
        Ok(())
    }

    /// Lets the time of a beat pass and measures how late timers come meanwhile: often while somebody watches, once
    /// while nobody does, so that a free box is left asleep.
    async fn wait(&self, beat_ms: u64) {
        let end = clock::mono().plus_ms(beat_ms);
        loop {
            let left_ms = end.ms_since(clock::mono());
            if left_ms == 0 {
                return;
            }
            let free = self.engine.is_free();
            let late_us = clock::late_us_after(if free { left_ms } else { left_ms.min(LAG_EVERY_MS) }).await;
            self.metrics.loop_lag.add_us(late_us);
            let late_ms = late_us / 1_000;
            if late_ms >= STALL_WARNING_MS {
                let last = self.black_box.last().map_or_else(|| "none yet".to_owned(), |(_, event)| event);
                tracing::warn!(late_ms, last_event = last, "the executor stood still");
                self.problems.sign(Sign::Stalled { ms: late_ms });
            }
        }
    }

    /// For `systemctl status`.
    fn sentence(&self) -> String {
        if let Some(instead) = self.instead {
            return instead.to_owned();
        }
        let tuners = self.engine.tuners();
        let playing = tuners.iter().filter(|tuner| tuner.view.state == SlotState::Playing).count();
        let viewers: usize = tuners.iter().map(|tuner| tuner.view.viewers).sum();
        let trouble = match self.problems.list().len() {
            0 => "no problems".to_owned(),
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        };
        match playing {
            0 => format!("All {} tuners are silent; {trouble}.", tuners.len()),
            _ => format!("{playing} of {} tuners play; viewers: {viewers}; {trouble}.", tuners.len()),
        }
    }
}

/// Why all is not well.
#[derive(Clone, Copy, Debug)]
enum Ill {
    /// This one does not answer; it may come back.
    Silent(&'static str),
    /// It will not come back.
    Gone(&'static str),
}

/// Tells systemd that the doors are open.
pub fn tell_ready() {
    notify("READY=1");
}

/// Tells systemd that the end has begun.
pub fn tell_stopping() {
    notify("STOPPING=1\nSTATUS=Stopping.");
}

/// Says something to systemd, where it wants to hear us. It never waits: a systemd that hangs must not hold up what
/// plays.
///
/// Source: `sd_notify(3)`, "Standalone Implementations".
fn notify(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let send = || {
        let address = match address.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    };
    if let Err(error) = send() {
        tracing::debug!(%error, state, "systemd could not be told");
    }
}

/// Within which time systemd's watchdog wants to be fed, if there is one.
///
/// Source: `sd_watchdog_enabled(3)`.
fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|us| is_ours && *us > 0).map(Duration::from_micros)
}

/// Ends and reaps what dead children have left behind, whenever a child of ours ends.
async fn tidy(mut child_ended: UnixStream) {
    let mut signals = [0; 64];
    while child_ended.read(&mut signals).await.is_ok_and(|len| len > 0) {
        // What a dying child leaves behind may take a moment to become ours; whoever dies meanwhile is told again.
        clock::pause(STRAYS_PAUSE_MS).await;
        let strays = process::sweep_strays();
        if strays.killed > 0 {
            tracing::info!(strays.killed, "processes that children had left behind were ended");
        }
    }
}

// ---- The end ----------------------------------------------------------------------------------------------------------

/// Writes the last events down and ends the process at once; systemd starts it again. For when a decision was found
/// wrong: nothing that is in memory can be trusted (E2).
pub fn abort(black_box: &BlackBox, why: &str) -> ! {
    tracing::error!("{why}; only a fresh start is safe. Please report it");
    black_box.save(why);
    std::process::abort()
}

/// Panics lately.
#[derive(Default)]
struct Panics(heapless::HistoryBuffer<Mono, PANICS_MAX>);

impl Panics {
    /// Notes one, and says whether there are too many.
    fn note(&mut self, now: Mono) -> bool {
        self.0.write(now);
        let oldest = self.0.oldest_ordered().next().copied().unwrap_or(now);
        self.0.len() == PANICS_MAX && now.ms_since(oldest) <= PANIC_WINDOW_MS
    }
}

/// A task that panics ends alone: a connection, as a rule. It is counted and logged, and too many within a minute end
/// the daemon (E2).
pub fn watch_panics(metrics: &Rc<Metrics>, black_box: &BlackBox) {
    struct Watched {
        metrics: Rc<Metrics>,
        black_box: BlackBox,
        panics: Panics,
    }
    thread_local! {
        static WATCHED: RefCell<Option<Watched>> = const { RefCell::new(None) };
    }
    let watched = Watched { metrics: Rc::clone(metrics), black_box: black_box.clone(), panics: Panics::default() };
    WATCHED.set(Some(watched));
    std::panic::set_hook(Box::new(|info| {
        tracing::error!("a part of tunerd panicked, please report it: {info}");
        // Other threads have no such thing: when the store's is gone, the beat finds out.
        WATCHED.with(|watched| {
            let Ok(mut watched) = watched.try_borrow_mut() else { return };
            let Some(Watched { metrics, black_box, panics }) = watched.as_mut() else { return };
            metrics.panics.add(1);
            black_box.note(clock::mono(), format_args!("panic: {info}"));
            if panics.note(clock::mono()) {
                abort(black_box, &format!("{PANICS_MAX} panics within a minute, the last one: {info}"));
            }
        });
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_panics_in_a_minute_are_too_many() {
        let mut panics = Panics::default();
        for (at, too_many) in
            [(0, false), (59_999, false), (60_001, false), (119_999, true), (120_000, true), (500_000, false)]
        {
            assert_eq!(panics.note(Mono(at)), too_many, "{at}");
        }
        assert!(!panics.note(Mono(560_001)));
        assert!(!panics.note(Mono(560_002)), "the second within a minute, the third in 60,002 ms");
        assert!(panics.note(Mono(560_003)));
    }

    #[test]
    fn too_many_panics_end_the_process_and_are_written_down() {
        // It ends a process, so it is one: this test starts itself again.
        let name = "guardian::tests::too_many_panics_end_the_process_and_are_written_down";
        if let Some(folder) = std::env::var_os("TUNERD_TEST_PANICS") {
            let black_box = BlackBox::open(Some(std::path::Path::new(&folder)));
            black_box.note(Mono(7), format_args!("what happened before"));
            watch_panics(&Rc::default(), &black_box);
            for _ in 0..PANICS_MAX {
                drop(std::panic::catch_unwind(|| panic!("on purpose")));
            }
            return;
        }
        let _alone = process::alone();
        let folder = std::env::temp_dir().join(format!("tunerd-panics-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env("TUNERD_TEST_PANICS", &folder)
            .output()
            .unwrap()
            .status;
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "{status}");
        let text = std::fs::read_to_string(folder.join("black-box.txt")).unwrap();
        assert!(text.contains("3 panics within a minute") && text.contains("what happened before"), "{text}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn systemds_watchdog_is_fed_four_times_over() {
        let pace = |ms| Pace::new(Some(Duration::from_millis(ms)));
        assert_eq!(pace(20_000), Pace { beat_ms: 5_000, store_silence_ms: 30_000, has_watchdog: true });
        assert_eq!(pace(2_000).beat_ms, 500);
        assert_eq!(pace(600_000).beat_ms, BEAT_MS);
        assert_eq!(pace(0).beat_ms, 1);
        let without = Pace { beat_ms: BEAT_MS, store_silence_ms: STORE_SILENCE_MS, has_watchdog: false };
        assert_eq!(Pace::new(None), without);
    }
}

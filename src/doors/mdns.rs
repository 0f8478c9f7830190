//! mDNS: the name `tunerd.local`, and `_http._tcp` for those who browse.
//!
//! `mdns-sd` does the work, in a thread of its own. It is watched: it has died of interfaces that vanished, which must
//! cost this box nothing but a name for a moment. Nothing but names and addresses goes between the threads.
//!
//! Two boxes in one network: the second one's name becomes `tunerd-2.local`, which is in the log.

use crate::clock;
use crate::doors::http::App;
use mdns_sd::{DaemonEvent, DaemonStatus, IfKind, Receiver, ServiceDaemon, ServiceInfo};
use pure::limits::{FAREWELL_MS, MDNS_ANSWER_MS, MDNS_CHECK_MS, MDNS_RESTART_WINDOW_MS, MDNS_RESTARTS_MAX};
use pure::time::Mono;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const SERVICE: &str = "_http._tcp.local.";
const HOST: &str = "tunerd.local.";
/// The same as people write it.
pub const NAME: &str = "tunerd.local";
/// How often it looks at the interfaces by itself, in seconds; it is told when they change.
const LOOK_S: u32 = 60;
/// The same for a moment, when they have changed.
const LOOK_NOW_S: u32 = 1;

/// The door; [`Mdns::leave`] closes it.
pub struct Mdns {
    stop: Rc<Notify>,
    task: JoinHandle<()>,
}

/// Starts the thread, and starts it anew when it dies.
pub fn open(app: &Rc<App>, address: Ipv4Addr) -> Mdns {
    let stop = Rc::new(Notify::new());
    let only = (!address.is_unspecified()).then_some(address);
    let keeping = keep(Rc::clone(app), only, Rc::clone(&stop));
    Mdns { task: tokio::task::spawn_local(keeping), stop }
}

impl Mdns {
    /// Says farewell, and waits for the thread.
    pub async fn leave(self) {
        self.stop.notify_one();
        if tokio::time::timeout(Duration::from_millis(2 * FAREWELL_MS), self.task).await.is_err() {
            tracing::debug!("no farewell over mDNS in time");
        }
    }
}

/// Why the thread is not there any more, in words for the log.
type Death = String;

async fn keep(app: Rc<App>, only: Option<Ipv4Addr>, stop: Rc<Notify>) {
    let mut restarts = Restarts::default();
    loop {
        let death = match Thread::start(&app, only) {
            Err(why) => why,
            Ok(thread) => tokio::select! {
                death = thread.watch(&app) => death,
                () = stop.notified() => return thread.leave().await,
            },
        };
        let at = restarts.next(clock::mono());
        tracing::warn!("nobody answers to tunerd.local for a moment: {death}");
        tokio::select! {
            () = clock::until(Some(at)) => {}
            () = stop.notified() => return,
        }
        app.metrics.mdns_restarts.add(1);
    }
}

/// When it was started anew: the last few times.
#[derive(Default)]
struct Restarts(heapless::Deque<Mono, MDNS_RESTARTS_MAX>);

impl Restarts {
    /// When it may be started anew, which is noted: at once, but not more often than we promise.
    fn next(&mut self, now: Mono) -> Mono {
        let oldest = if self.0.is_full() { self.0.pop_front() } else { None };
        let at = oldest.map_or(now, |oldest| now.max(oldest.plus_ms(MDNS_RESTART_WINDOW_MS)));
        // A second, so that whatever killed it is over.
        let at = at.plus_ms(1_000);
        self.0.push_back(at).unwrap_or_default();
        at
    }
}

/// What is said of the box, and may change.
#[derive(PartialEq)]
struct About {
    name: String,
    model: &'static str,
}

impl About {
    fn of(app: &App) -> Self {
        Self { name: app.name(), model: app.model().0 }
    }
}

/// A running thread.
struct Thread {
    daemon: ServiceDaemon,
    events: Receiver<DaemonEvent>,
}

impl Thread {
    fn start(app: &App, only: Option<Ipv4Addr>) -> Result<Self, Death> {
        let explain = |error: mdns_sd::Error| format!("mDNS cannot be started: {error}");
        let daemon = ServiceDaemon::new().map_err(explain)?;
        let events = daemon.monitor().map_err(explain)?;
        daemon.set_ip_check_interval(LOOK_S).map_err(explain)?;
        match only {
            // An address that means the asker himself is no answer to anybody else.
            None => daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6]).map_err(explain)?,
            Some(only) => {
                daemon.disable_interface(IfKind::All).map_err(explain)?;
                daemon.enable_interface(IfKind::Addr(IpAddr::V4(only))).map_err(explain)?;
            }
        }
        let thread = Self { daemon, events };
        thread.register(app, &About::of(app))?;
        Ok(thread)
    }

    fn register(&self, app: &App, about: &About) -> Result<(), Death> {
        let Some(port) = app.page_port.get().or(app.stream_port.get()) else {
            return Err("there is no page that could be found".to_owned());
        };
        let id = app.device_id.to_string();
        let texts = [("path", "/"), ("model", about.model), ("id", id.as_str())];
        let service =
            ServiceInfo::new(SERVICE, &about.name, HOST, (), port, &texts[..]).map(ServiceInfo::enable_addr_auto);
        service.and_then(|service| self.daemon.register(service)).map_err(|error| format!("no name for mDNS: {error}"))
    }

    /// Watches it, and takes over a new name or model; comes back when it is dead.
    async fn watch(&self, app: &App) -> Death {
        let mut interfaces = app.interfaces.clone();
        let mut about = About::of(app);
        loop {
            let checked = tokio::select! {
                event = self.events.recv_async() => match event {
                    Ok(event) => {
                        tell(app, event);
                        Ok(())
                    }
                    Err(_) => Err("the thread of mDNS is gone".to_owned()),
                },
                _ = interfaces.next() => self.look_now().await,
                () = clock::pause(MDNS_CHECK_MS) => self.check().await,
            };
            if let Err(death) = checked {
                return death;
            }
            let new = About::of(app);
            if new != about {
                self.daemon.unregister(&format!("{}.{SERVICE}", about.name)).map(drop).unwrap_or_default();
                if let Err(death) = self.register(app, &new) {
                    return death;
                }
                about = new;
            }
        }
    }

    /// Has it look at the interfaces at once, not within a minute.
    async fn look_now(&self) -> Result<(), Death> {
        let gone = |error: mdns_sd::Error| format!("the thread of mDNS does not listen: {error}");
        self.daemon.set_ip_check_interval(LOOK_NOW_S).map_err(gone)?;
        clock::pause(u64::from(LOOK_NOW_S) * 1_500).await;
        self.daemon.set_ip_check_interval(LOOK_S).map_err(gone)
    }

    /// Asks it whether it lives.
    async fn check(&self) -> Result<(), Death> {
        let asked = self.daemon.status().map_err(|error| format!("the thread of mDNS does not listen: {error}"))?;
        match within(MDNS_ANSWER_MS, asked.recv_async()).await {
            Some(Ok(DaemonStatus::Running)) => Ok(()),
            Some(_) => Err("the thread of mDNS has ended".to_owned()),
            None => Err("the thread of mDNS hangs".to_owned()),
        }
    }

    /// Ends it; it says farewell itself.
    async fn leave(&self) {
        if let Ok(ended) = self.daemon.shutdown() {
            within(FAREWELL_MS, ended.recv_async()).await.map(drop).unwrap_or_default();
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // One that hangs must not come back beside its successor.
        self.daemon.shutdown().map(drop).unwrap_or_default();
    }
}

async fn within<T>(ms: u64, what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(ms), what).await.ok()
}

fn tell(app: &App, event: DaemonEvent) {
    match event {
        DaemonEvent::NameChange(change) => {
            let (original, new) = (change.original.trim_end_matches('.'), change.new_name.trim_end_matches('.'));
            tracing::info!("another box in this network is called {original} already, so this one is {new}");
            if original == NAME {
                new.clone_into(&mut app.mdns_host.borrow_mut());
            }
        }
        DaemonEvent::Error(error) => tracing::debug!(%error, "mDNS"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_started_anew_three_times_an_hour_at_most() {
        let mut restarts = Restarts::default();
        let now = Mono(5_000_000);
        for _ in 0..3 {
            assert_eq!(restarts.next(now), now.plus_ms(1_000), "at once");
        }
        let fourth = restarts.next(now);
        assert_eq!(fourth, now.plus_ms(1_000 + MDNS_RESTART_WINDOW_MS + 1_000));
        let later = fourth.plus_ms(2 * MDNS_RESTART_WINDOW_MS);
        assert_eq!(restarts.next(later), later.plus_ms(1_000));
    }

    #[tokio::test]
    async fn a_dead_thread_is_noticed() {
        let daemon = ServiceDaemon::new_with_port(5_454).unwrap();
        let thread = Thread { events: daemon.monitor().unwrap(), daemon };
        assert_eq!(thread.check().await, Ok(()));
        thread.leave().await;
        assert!(thread.check().await.is_err());
        assert!(within(5_000, thread.events.recv_async()).await.unwrap().is_err(), "and at once, without being asked");
    }
}

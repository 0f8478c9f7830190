//! What is wrong: alarms and problems, one line each, for the page, the API, the metrics and the log.
//!
//! A *problem* stays until somebody does something: a port is taken, a playlist is gone; whoever finds it sets it and
//! clears it. An *alarm* comes and goes by itself; `pure::rules::alarms` decides that from signs. Both have a name, a
//! level, and the times and number of their signs, so whoever reads need not tell them apart.

use crate::clock;
use pure::limits::ALARM_CLUSTER_MS;
use pure::rules::alarms::{Alarm, Alarms, Change, Escalation, Level, Sign, View};
use pure::rules::failure::Failure;
use pure::rules::gate::{Deny, Kind};
use pure::rules::pool::{Note, SlotState, SlotView};
use pure::time::{Mono, Wall};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a problem is about; each topic has at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// FFmpeg is missing.
    Ffmpeg,
    /// State cannot be kept, or was lost, since the start.
    Store,
    /// A port is taken.
    PagePort,
    /// A port is taken.
    StreamPort,
    /// A port is taken.
    DiscoveryPort,
    /// A port is taken.
    SsdpPort,
    /// Another box has our device id.
    DeviceId,
    ControlPort,
    /// The playlist cannot be had.
    Playlist,
    /// The channels cannot be stored or read.
    Lineup,
    /// More channels are wanted than there can be.
    Groups,
    /// A guide cannot be had.
    Guide,
    /// The guide for clients cannot be made.
    GuideMade,
    /// The guide got much worse.
    GuideDrift,
    /// A face has no channels, or is not known.
    Faces,
    /// A port is taken.
    FacePort,
    /// Nothing plays, on purpose.
    SafeMode,
    /// The settings cannot be used.
    Settings,
    /// Somebody sent an update that was refused.
    Update,
    /// FFmpeg may do more than it should.
    Sandbox,
    /// What somebody wrote on the card cannot be taken over.
    Setup,
    /// What runs turned out to be bad.
    Recalled,
}

impl Topic {
    const ALL: [Self; 22] = [
        Self::Ffmpeg,
        Self::Store,
        Self::PagePort,
        Self::StreamPort,
        Self::DiscoveryPort,
        Self::SsdpPort,
        Self::DeviceId,
        Self::ControlPort,
        Self::Playlist,
        Self::Lineup,
        Self::Groups,
        Self::Guide,
        Self::GuideMade,
        Self::GuideDrift,
        Self::Faces,
        Self::FacePort,
        Self::SafeMode,
        Self::Settings,
        Self::Update,
        Self::Sandbox,
        Self::Setup,
        Self::Recalled,
    ];

    /// How bad it is: without a guide there still is a picture, and whoever is in the house can have an update refused.
    const fn level(self) -> Level {
        match self {
            Self::Guide
            | Self::GuideMade
            | Self::GuideDrift
            | Self::Faces
            | Self::Update
            | Self::Setup
            | Self::Recalled => Level::Warning,
            _ => Level::Critical,
        }
    }

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Store => "store",
            Self::PagePort => "page-port",
            Self::StreamPort => "stream-port",
            Self::DiscoveryPort => "discovery-port",
            Self::SsdpPort => "ssdp-port",
            Self::DeviceId => "device-id",
            Self::ControlPort => "control-port",
            Self::Playlist => "playlist",
            Self::Lineup => "lineup",
            Self::Groups => "groups",
            Self::Guide => "guide",
            Self::GuideMade => "guide-made",
            Self::GuideDrift => "guide-drift",
            Self::Faces => "faces",
            Self::FacePort => "face-port",
            Self::SafeMode => "safe-mode",
            Self::Settings => "settings",
            Self::Update => "update",
            Self::Sandbox => "sandbox",
            Self::Setup => "setup",
            Self::Recalled => "version-recalled",
        }
    }
}

/// How many alarms and problems there could be.
const NAMES: usize = Alarm::ALL.len() + Topic::ALL.len();

/// Every name, and its level if it is raised now.
pub type Levels = heapless::Vec<(&'static str, Option<Level>), NAMES>;

/// An alarm or a problem, as people may see it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its name.
    pub name: &'static str,
    /// How bad it is; `None`: an alarm that is not raised.
    pub level: Option<Level>,
    /// What happened, to which thing, and what to do.
    pub text: String,
    /// Since when it is raised.
    pub since: Wall,
    /// Its first sign; what is raised again soon is still the same.
    pub first: Wall,
    /// Its last sign.
    pub last: Wall,
    /// Its signs from the first to the last.
    pub count: u32,
}

/// A problem that is or was there.
struct Known {
    present: bool,
    text: String,
    since: Mono,
    first: Mono,
    last: Mono,
    count: u32,
}

#[derive(Default)]
struct Inner {
    topics: RefCell<BTreeMap<Topic, Known>>,
    alarms: RefCell<Alarms>,
}

/// All alarms and problems.
#[derive(Clone, Default)]
pub struct Problems(Rc<Inner>);

impl Problems {
    // ---- Problems ---------------------------------------------------------------------------------------------------

    /// Notes a problem, and logs it unless it is already known with these words.
    pub fn set(&self, topic: Topic, text: String) {
        self.set_at(clock::mono(), topic, text);
    }

    fn set_at(&self, now: Mono, topic: Topic, text: String) {
        let mut topics = self.0.topics.borrow_mut();
        let known = topics.entry(topic).or_insert_with(|| Known {
            present: false,
            text: String::new(),
            since: now,
            first: now,
            last: now,
            count: 0,
        });
        let same = known.present && known.text == text;
        if !known.present {
            if now.ms_since(known.last) > ALARM_CLUSTER_MS {
                (known.first, known.count) = (now, 0);
            }
            known.since = now;
        }
        known.last = now;
        if same {
            return;
        }
        tracing::warn!(topic = topic.name(), "{text}");
        (known.present, known.text) = (true, text);
        known.count = known.count.saturating_add(1);
    }

    /// Notes that a problem is over.
    pub fn clear(&self, topic: Topic) {
        let mut topics = self.0.topics.borrow_mut();
        if let Some(known) = topics.get_mut(&topic).filter(|known| known.present) {
            known.present = false;
            tracing::info!(topic = topic.name(), "problem solved");
        }
    }

    /// Whether there is one on this topic.
    pub fn has(&self, topic: Topic) -> bool {
        self.0.topics.borrow().get(&topic).is_some_and(|known| known.present)
    }

    // ---- Alarms -----------------------------------------------------------------------------------------------------

    /// Takes a sign, logs what it changes, and says whether only a fresh start can help (E1).
    pub fn sign(&self, sign: Sign) -> Option<Escalation> {
        self.sign_at(clock::mono(), sign)
    }

    /// Takes what the pool notes.
    pub fn note(&self, note: &Note) -> Option<Escalation> {
        self.sign(sign_of(note)?)
    }

    /// A permit was spent on a child.
    pub fn started(&self, kind: Kind) {
        if kind != Kind::Cold {
            self.sign(Sign::Restarted);
        }
    }

    /// The pool looks like this now.
    pub fn slots(&self, slots: impl Iterator<Item = SlotView>) -> Option<Escalation> {
        self.sign(Sign::Slots(count(slots)))
    }

    fn sign_at(&self, now: Mono, sign: Sign) -> Option<Escalation> {
        let (changes, escalation) = {
            let mut alarms = self.0.alarms.borrow_mut();
            let changes = alarms.on(now, sign);
            (changes, alarms.escalation(now))
        };
        for Change { alarm, before, level } in changes {
            let view = self.0.alarms.borrow().views(now).find(|view| view.alarm == alarm);
            let text = view.map(|view| words(&view)).unwrap_or_default();
            let name = alarm.name();
            match level {
                // Nobody has to do anything about it.
                Some(level) if alarm == Alarm::PoolPressure => {
                    tracing::info!(alarm = name, level = level.name(), "{text}");
                }
                Some(level) if Some(level) > before => tracing::warn!(alarm = name, level = level.name(), "{text}"),
                Some(level) => tracing::info!(alarm = name, level = level.name(), "alarm is less urgent"),
                None => tracing::info!(alarm = name, "alarm is over"),
            }
        }
        escalation
    }

    // ---- All of them ------------------------------------------------------------------------------------------------

    /// All alarms and problems that are there now, the worst first.
    pub fn list(&self) -> Vec<Problem> {
        self.list_at(clock::mono(), clock::wall())
    }

    fn list_at(&self, now: Mono, wall: Wall) -> Vec<Problem> {
        let mut all: Vec<Problem> = self.problems(now, wall);
        all.extend(self.alarms_at(now, wall).into_iter().filter(|alarm| alarm.level.is_some()));
        all.sort_by_key(|problem| std::cmp::Reverse(problem.level));
        all
    }

    /// All alarms, raised or not, in the order of their names' table.
    pub fn alarms(&self) -> Vec<Problem> {
        self.alarms_at(clock::mono(), clock::wall())
    }

    /// Every name there could be, and its level if it is raised now.
    pub fn levels(&self) -> Levels {
        self.sign(Sign::Tick);
        let views = self.0.alarms.borrow();
        let alarms = views.views(clock::mono()).map(|view| (view.alarm.name(), view.level));
        let topics = Topic::ALL.into_iter().map(|topic| (topic.name(), self.has(topic).then_some(topic.level())));
        alarms.chain(topics).collect()
    }

    /// How bad it is altogether.
    pub fn worst(&self) -> Option<Level> {
        self.levels().iter().filter_map(|(_, level)| *level).max()
    }

    fn problems(&self, now: Mono, wall: Wall) -> Vec<Problem> {
        let topics = self.0.topics.borrow();
        let present = topics.iter().filter(|(_, known)| known.present);
        let shown = present.map(|(topic, known)| Problem {
            name: topic.name(),
            level: Some(topic.level()),
            text: known.text.clone(),
            since: on_wall(known.since, now, wall),
            first: on_wall(known.first, now, wall),
            last: on_wall(known.last, now, wall),
            count: known.count,
        });
        shown.collect()
    }

    fn alarms_at(&self, now: Mono, wall: Wall) -> Vec<Problem> {
        self.sign_at(now, Sign::Tick);
        let alarms = self.0.alarms.borrow();
        let shown = alarms.views(now).map(|view| Problem {
            name: view.alarm.name(),
            level: view.level,
            text: if view.level.is_some() { words(&view) } else { String::new() },
            since: on_wall(view.since, now, wall),
            first: on_wall(view.first, now, wall),
            last: on_wall(view.last, now, wall),
            count: view.count,
        });
        shown.collect()
    }
}

/// When it was by the wall's clock, as that goes now.
fn on_wall(at: Mono, now: Mono, wall: Wall) -> Wall {
    let ago = i64::try_from(now.ms_since(at) / 1_000).unwrap_or(i64::MAX);
    Wall(wall.0.saturating_sub(ago))
}

fn count(slots: impl Iterator<Item = SlotView>) -> pure::rules::alarms::SlotCounts {
    slots.fold(pure::rules::alarms::SlotCounts::default(), |mut counts, slot| {
        counts.all += 1;
        counts.taken += usize::from(slot.state != SlotState::Free);
        counts.playing += usize::from(slot.state == SlotState::Playing);
        counts.quarantined += usize::from(slot.state == SlotState::Quarantined);
        counts
    })
}

/// What a note means for the box as a whole.
fn sign_of(note: &Note) -> Option<Sign> {
    Some(match note {
        Note::Storm => Sign::Throttled { storm: true },
        Note::Denied { deny: Deny::Throttled { .. }, .. } => Sign::Throttled { storm: false },
        Note::Denied { deny: Deny::Short(short), .. } => Sign::Short(*short),
        Note::Failed { channel, failure: Failure::Crash, .. } => Sign::Crashed(*channel),
        Note::Failed { failure: Failure::Oom, .. } => Sign::OutOfMemory,
        Note::Outage(outage) => Sign::Outage(*outage),
        _ => return None,
    })
}

/// What happened, to which thing, what we do now, and what a person can do.
fn words(view: &View) -> String {
    let View { value, of, level, .. } = *view;
    let critical = level == Some(Level::Critical);
    match view.alarm {
        Alarm::RestartVelocity => format!(
            "Sources fail often: {value} restarts in the last five minutes. The list of channels says which, and why."
        ),
        Alarm::RestartStorm => {
            "So many channels fail at once that their restarts have to wait for each other. Look at \
             the network and at the provider; the box goes on by itself."
                .to_owned()
        }
        Alarm::PoolPressure => {
            format!("{value} of {of} tuners are taken. Nothing is wrong, but whoever comes next may be refused.")
        }
        Alarm::UpstreamOutage => "At least half of the channels that were watched lately cannot be had. Look at the \
             internet connection and at the provider; the box keeps trying by itself."
            .to_owned(),
        Alarm::FfmpegUnhealthy => "FFmpeg crashes on several channels. If it was updated lately, go back to the \
             version before; otherwise restart the box."
            .to_owned(),
        Alarm::Memory if critical => "The kernel ended a stream because the box has no memory left. Use fewer tuners, \
             smaller rings, or stop what else runs on this box."
            .to_owned(),
        Alarm::Memory => "There is too little memory to start another stream; those that play go on. Use fewer \
             tuners, smaller rings, or stop what else runs on this box."
            .to_owned(),
        Alarm::SlotQuarantined => format!(
            "{value} of {of} tuners are lost: FFmpeg hangs in the kernel there and cannot be ended. Restart the box \
             when nobody watches."
        ),
        Alarm::LoopStall => format!(
            "The box stood still for {value} ms, and everybody's picture with it. The log around that time may say \
             why; please report it."
        ),
        Alarm::Fds if critical => "The box has run out of file descriptors and cannot take connections. Raise \
             LimitNOFILE of its service, or have fewer connections."
            .to_owned(),
        Alarm::Fds => format!(
            "{value} of {of} file descriptors are in use: too many to start another stream; those that play go on. \
             Raise LimitNOFILE of its service."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Mono {
        Mono(second * 1_000)
    }

    #[test]
    fn a_problem_that_comes_back_soon_is_the_same_one() {
        let problems = Problems::default();
        let list = |second| problems.list_at(at(second), Wall(1_000_000 + i64::try_from(second).unwrap()));
        problems.set_at(at(10), Topic::Playlist, "gone".to_owned());
        problems.set_at(at(20), Topic::Playlist, "gone".to_owned());
        problems.set_at(at(30), Topic::Playlist, "broken".to_owned());
        let [shown] = &list(40)[..] else { panic!("one problem") };
        assert_eq!((shown.name, shown.text.as_str(), shown.count), ("playlist", "broken", 2));
        assert_eq!((shown.since, shown.last), (Wall(1_000_010), Wall(1_000_030)));
        problems.clear(Topic::Playlist);
        assert!(list(50).is_empty() && !problems.has(Topic::Playlist));
        problems.set_at(at(60), Topic::Playlist, "gone".to_owned());
        let [shown] = &list(60)[..] else { panic!("one problem") };
        assert_eq!((shown.first, shown.since, shown.count), (Wall(1_000_010), Wall(1_000_060), 3));
        problems.clear(Topic::Playlist);
        problems.set_at(at(10_000), Topic::Playlist, "gone".to_owned());
        let [shown] = &list(10_000)[..] else { panic!("one problem") };
        assert_eq!((shown.first, shown.count), (Wall(1_010_000), 1), "that was another story");
    }

    #[test]
    fn alarms_and_problems_stand_in_one_list_the_worst_first() {
        let problems = Problems::default();
        problems.sign_at(at(0), Sign::Stalled { ms: 700 });
        problems.set_at(at(1), Topic::Ffmpeg, "missing".to_owned());
        problems.sign_at(at(2), Sign::Outage(true));
        let list = problems.list_at(at(3), Wall(100));
        let shown: Vec<_> = list.iter().map(|problem| (problem.name, problem.level.unwrap().name())).collect();
        assert_eq!(shown, [("ffmpeg", "critical"), ("upstream_outage", "critical"), ("loop_stall", "warning")]);
        assert!(list.iter().all(|problem| !problem.text.is_empty() && problem.count == 1));
        let alarms = problems.alarms_at(at(3), Wall(100));
        assert_eq!(alarms.len(), Alarm::ALL.len(), "all of them have a state");
        assert_eq!(alarms.iter().filter(|alarm| alarm.level.is_none() && alarm.text.is_empty()).count(), 7);
        assert_eq!(problems.levels().len(), NAMES);
    }
}

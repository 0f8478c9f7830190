//! The time-lines of the specification (5-X): what one sick source and one stubborn viewer make of an hour.
//!
//! One slot; the child ends at once on SIGTERM; whoever is sent away comes back one second later. Everything is exact to
//! the millisecond: there are no ticks here. The prototype that first measured them had ticks of 250 ms, which shows in
//! the rows with silence; see [`Fate::Silent`].

use crate::observer::{Observer, Violation};
use crate::spec::{Ms, Spec};
use pure::model::face::Share;
use pure::model::lineup::{ChannelId, SourceClass};
use pure::rules::admission::{BoardFacts, Work};
use pure::rules::failure::End;
use pure::rules::gate::Kind;
use pure::rules::pool::{Effect, Effects, Event, Generation, Note, Pool, SlotIndex, ViewerId};
use pure::rules::sources::Sources;
use pure::time::Mono;
use std::fmt::Write as _;

const HOUR: Ms = 3_600_000;

/// What every child of the source does.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Ends this long after its start, without a packet.
    Exits(Ms),
    /// Gives a picture at once, and ends after so long.
    Plays(Ms),
    /// Never gives a packet.
    Mute,
    /// Gives a picture at once, one packet every 250 ms, and falls silent: its last packet comes so long after a start
    /// for a viewer, and so long after a restart.
    ///
    /// Ten seconds of picture are forty packets; the last comes after 9,750 ms. In the prototype the first tick of a child
    /// that a viewer had started came 250 ms sooner, so its last packet came 9,500 ms after the start. With those
    /// two numbers the table of 5-X comes out to the digit.
    Silent(Ms, Ms),
}

/// A rule that was broken, and how.
#[derive(Debug)]
pub struct Broken {
    /// Its number.
    pub rule: &'static str,
    /// In words.
    pub text: String,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What is told of it.
    pub name: &'static str,
    /// The source.
    pub fate: Fate,
    /// How long it may be silent.
    pub class: SourceClass,
    /// Whether the viewer waits for as long as he is told.
    pub obeys: bool,
}

/// The rows of 5-X, in its order. The row that takes the plan's window of 300 s for the class of 180 s is missing: rule
/// B3 makes it impossible, and that row was why.
pub const ROWS: &[Row] = &[
    Row { name: "child exits after 1 s", fate: Fate::Exits(1_000), class: SourceClass::Live, obeys: false },
    Row { name: "the same, Retry-After obeyed", fate: Fate::Exits(1_000), class: SourceClass::Live, obeys: true },
    Row { name: "exits after 40 s of picture", fate: Fate::Plays(40_000), class: SourceClass::Live, obeys: false },
    Row { name: "exits after 75 s of picture", fate: Fate::Plays(75_000), class: SourceClass::Live, obeys: false },
    Row { name: "never a first byte", fate: Fate::Mute, class: SourceClass::Live, obeys: false },
    Row {
        name: "10 s picture then silence, 30 s class",
        fate: Fate::Silent(9_750, 9_750),
        class: SourceClass::Live,
        obeys: false,
    },
    Row {
        name: "10 s picture then silence, 180 s class",
        fate: Fate::Silent(9_750, 9_750),
        class: SourceClass::File,
        obeys: false,
    },
    Row {
        name: "30 s class, packets as in the prototype's ticks",
        fate: Fate::Silent(9_500, 9_750),
        class: SourceClass::Live,
        obeys: false,
    },
    Row {
        name: "180 s class, packets as in the prototype's ticks",
        fate: Fate::Silent(9_500, 9_750),
        class: SourceClass::File,
        obeys: false,
    },
];

struct Story {
    row: Row,
    now: Ms,
    pool: Pool,
    effects: Effects,
    observer: Observer,
    /// The living child: which, since when, whether it has a packet yet, and its last one.
    child: Option<(u64, Ms, bool, Ms)>,
    viewer: u64,
    /// When the viewer comes back.
    ask_at: Option<Ms>,
    spawns: Vec<(Ms, Kind)>,
    opened: Vec<Ms>,
    refusals: u64,
}

/// Lives one hour of a row.
///
/// # Errors
/// What the observer found wrong.
pub fn tell(row: Row) -> Result<String, Broken> {
    let plenty = BoardFacts {
        memory_available_bytes: Some(1 << 40),
        fds_open: 10,
        fds_limit: 1_024,
        ffmpeg_present: true,
        heat_milli_c: None,
    };
    let mut story = Story {
        row,
        now: 0,
        pool: Pool::new(1),
        effects: Effects::default(),
        observer: Observer::new(Spec::PLAN, 1, 0),
        child: None,
        viewer: 0,
        ask_at: Some(0),
        spawns: Vec::new(),
        opened: Vec::new(),
        refusals: 0,
    };
    story.tell(Event::Facts(plenty));
    story.live();
    match story.observer.violation.take() {
        Some(Violation { rule, text, at }) => {
            Err(Broken { rule, text: format!("{}: {at} broke {rule}: {text}", row.name) })
        }
        None => Ok(story.text()),
    }
}

/// All rows as text.
///
/// # Errors
/// What the observer found wrong.
pub fn all() -> Result<String, Broken> {
    ROWS.iter().map(|row| tell(*row)).collect()
}

impl Story {
    fn live(&mut self) {
        loop {
            let deadline = self.pool.next_deadline().map(|at| at.0.max(self.now));
            let child = self.child_acts_at();
            let next = [deadline, child, self.ask_at].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at < HOUR) else { return };
            self.now = next;
            if child == Some(next) {
                self.child_acts();
            } else if deadline == Some(next) {
                self.hear();
                self.tell(Event::Deadline);
            } else {
                self.ask_at = None;
                self.viewer += 1;
                let sources = Sources::one(ChannelId(1), Work::Copy, self.row.class);
                self.tell(Event::Ask { viewer: ViewerId(self.viewer), tuner: None, share: Share::BOX, sources });
            }
            if self.observer.violation.is_some() {
                return;
            }
        }
    }

    fn child_acts_at(&self) -> Option<Ms> {
        let (_, since, has_packet, _) = self.child?;
        match self.row.fate {
            Fate::Exits(after) => Some(since + after),
            Fate::Mute => None,
            Fate::Plays(_) | Fate::Silent(..) if !has_packet => Some(since),
            Fate::Plays(after) => Some(since + after),
            Fate::Silent(..) => None,
        }
    }

    fn child_acts(&mut self) {
        let Some((generation, since, has_packet, last)) = self.child else { return };
        let (slot, generation) = (SlotIndex(0), Generation(generation));
        match self.row.fate {
            Fate::Plays(_) | Fate::Silent(..) if !has_packet => {
                self.child = Some((generation.0, since, true, last));
                self.tell(Event::Output { slot, generation });
            }
            _ => {
                self.hear();
                self.child = None;
                self.tell(Event::Exited { slot, generation, end: End::Plain });
            }
        }
    }

    fn hear(&mut self) {
        if let Some((generation, since, true, last)) = self.child {
            let at = Mono(since + (self.now - since).min(last - since) / 250 * 250);
            let (slot, generation) = (SlotIndex(0), Generation(generation));
            self.tell(Event::Heard {
                slot,
                generation,
                output_at: at,
                picture_at: at,
                played_ms: None,
                silent_ms_max: 0,
            });
        }
    }

    fn tell(&mut self, event: Event) {
        self.pool.on(Mono(self.now), event, &mut self.effects);
        let effects: Vec<Effect> = self.effects.drain().collect();
        self.observer.on(Mono(self.now), &event, &effects);
        let mut ended = None;
        for effect in effects {
            match effect {
                Effect::Start { generation, kind, .. } => {
                    self.spawns.push((self.now, kind));
                    let last = match (self.row.fate, kind) {
                        (Fate::Silent(_, restarted), Kind::Restart) => self.now + restarted,
                        (Fate::Silent(started, _), _) => self.now + started,
                        _ => HOUR * 2,
                    };
                    self.child = Some((generation.0, self.now, false, last));
                }
                Effect::Terminate { generation, .. } => ended = Some(generation),
                Effect::Refuse { refusal, .. } => {
                    self.refusals += 1;
                    let wait = if self.row.obeys { u64::from(refusal.retry_after_s()) * 1_000 } else { 1_000 };
                    self.ask_at = Some(self.now + wait);
                }
                Effect::Close { .. } => self.ask_at = Some(self.now + 1_000),
                Effect::Note(Note::Opened { .. }) => self.opened.push(self.now),
                _ => {}
            }
        }
        if let Some(generation) = ended {
            self.child = None;
            self.tell(Event::Exited { slot: SlotIndex(0), generation, end: End::Plain });
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n  spawns", self.row.name);
        for (at, kind) in &self.spawns {
            let kind = match kind {
                Kind::Cold => 'c',
                Kind::Restart => 'r',
                Kind::Probe => 'p',
            };
            write!(text, " {at}{kind}").unwrap_or_default();
        }
        text.push_str("\n  OPEN at");
        for at in &self.opened {
            write!(text, " {at}").unwrap_or_default();
        }
        if self.opened.is_empty() {
            text.push_str(" never");
        }
        writeln!(text, "\n  in 60 min: {} spawns, {} refusals", self.spawns.len(), self.refusals).unwrap_or_default();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_goes_as_written_to_the_millisecond() {
        let told = all().unwrap();
        assert_eq!(told, include_str!("../golden/timelines.txt"), "see golden/timelines.txt; it came out as\n{told}");
    }
}

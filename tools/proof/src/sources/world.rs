//! Some hours in a home whose channels have several sources, and whose providers count streams.
//!
//! Time is virtual, and all chance comes from the seed. Not here: what is right, which only [`super::checker`] says; and
//! whatever one source alone can do, which is for [`crate::world`].

use super::checker::Checker;
use crate::dice::Dice;
use crate::spec::Ms;
use crate::trace::Trace;
use pure::model::face::Share;
use pure::model::lineup::{Account, ChannelId, SourceClass};
use pure::rules::admission::{BoardFacts, Work};
use pure::rules::constants::Rules;
use pure::rules::failure::{End, Failure};
use pure::rules::health::ProbeResult;
use pure::rules::pool::{Effect, Effects, Event, Generation, Needs, Pool, SlotIndex, ViewerId};
use pure::rules::sources::{Sources, Supply};
use pure::time::Mono;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const SECOND: Ms = 1_000;
const MINUTE: Ms = 60 * SECOND;
const HOUR: Ms = 60 * MINUTE;

const PLENTY: BoardFacts = BoardFacts {
    memory_available_bytes: None,
    fds_open: 40,
    fds_limit: 1_024,
    ffmpeg_present: true,
    heat_milli_c: None,
};

/// How a source's children fare at present.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    /// Ends before its first packet.
    Dead(End),
    /// Never a packet.
    Mute,
    /// Ends after so long.
    Flaps(Ms),
    /// Falls silent after so long.
    Stalls(Ms),
    /// From then on its clock goes at so many thousandths.
    Slow(Ms, u64),
    /// Shows nothing of use after so long.
    Blank(Ms),
    /// Another one each time.
    Moody,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    account: usize,
    mood: Mood,
    start: (Ms, Ms),
    /// From one packet, or burst of them, to the next.
    every: Ms,
    /// From SIGTERM to the end, and from SIGKILL.
    term: Option<Ms>,
    kill: Ms,
    to_encode: bool,
    must_encode: bool,
}

#[derive(Clone, Copy, Debug)]
struct Child {
    slot: u8,
    generation: u64,
    channel: usize,
    source: usize,
    first: Option<Ms>,
    every: Ms,
    silent_from: Ms,
    slow_from: Ms,
    thousandths: u64,
}

impl Child {
    fn newest(&self, now: Ms) -> Ms {
        let first = self.first.unwrap_or(now);
        let last = now.min(self.silent_from.max(first));
        first + (last - first) / self.every * self.every
    }

    fn heard(&self, now: Ms) -> Event {
        let first = self.first.unwrap_or(now);
        let newest = self.newest(now);
        let lost = newest.saturating_sub(self.slow_from) * (1_000 - self.thousandths) / 1_000;
        // A burst brings what is played until the next.
        let burst = if self.every > SECOND { self.every } else { 0 };
        Event::Heard {
            slot: SlotIndex(self.slot),
            generation: Generation(self.generation),
            output_at: Mono(newest),
            picture_at: Mono(newest),
            played_ms: Some(newest - first + burst - lost.min(newest - first)),
            silent_ms_max: if newest > first { self.every } else { 0 },
        }
    }
}

#[derive(Clone, Debug)]
struct Person {
    likes: Vec<usize>,
    viewer: Option<u64>,
    plan: u32,
    /// How long he stays, about.
    stays: Ms,
    /// How soon he is back when he is sent away.
    insists: Ms,
    tuner: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    First(u64),
    Exit(u64),
    Unsuited(u64),
    Blank(u64),
    SpawnFailed(u64),
    Probed(u8, u64),
    Person(usize, u32),
    Mood(usize, usize),
    Limit(usize),
    Reset,
    Short(bool),
    Crash,
    Sweep,
    Drain,
}

/// The world of one seed.
pub struct World {
    dice: Dice,
    now: Ms,
    end: Ms,
    rules: Rules,
    slots_len: usize,
    pool: Pool,
    effects: Effects,
    checker: Checker,
    happenings: BinaryHeap<Reverse<(Ms, u64, What)>>,
    planned: u64,
    /// How many streams each account allows; the first one has no limit.
    limits: Vec<Option<u16>>,
    channels: Vec<Vec<Source>>,
    children: Vec<Child>,
    people: Vec<Person>,
    next_viewer: u64,
    facts: BoardFacts,
    late: Ms,
    is_draining: bool,
    deadlines: (Ms, u32),
    trace: Option<Trace>,
    ill: u64,
}

impl World {
    /// The world of this seed, for so many hours.
    pub fn new(seed: u64, hours: u64, trace: bool) -> Self {
        let mut dice = Dice::new(seed ^ 0x50c5);
        let slots_len = dice.between(3, 4) as usize;
        let late = if dice.percent(30) { dice.between(1, 60) } else { 0 };
        let ill = *dice.pick(&[10, 30, 60, 85]);
        let limits = [None].into_iter().chain((0..3).map(|_| Some(dice.between(1, 3) as u16))).collect();
        let channels: Vec<Vec<Source>> = (0..6)
            .map(|_| {
                let len = dice.between(1, 4);
                (0..len).map(|_| source(&mut dice, ill)).collect()
            })
            .collect();
        let people_len = dice.between(3, 9);
        let people = (0..people_len)
            .map(|_| Person {
                likes: (0..dice.between(1, 4)).map(|_| dice.index(6)).collect(),
                viewer: None,
                plan: 0,
                stays: *dice.pick(&[4 * SECOND, MINUTE, 10 * MINUTE, HOUR]),
                insists: *dice.pick(&[300, 2 * SECOND, 20 * SECOND, 3 * MINUTE]),
                tuner: dice.once_in(10).then(|| dice.index(slots_len) as u8),
            })
            .collect();
        // Looks come every few seconds and bring news with them: what needs news has to ask for it without them, too.
        let looks = if dice.percent(50) { Rules::DEFAULT.probe_every_ms } else { None };
        let rules = Rules { probe_every_ms: looks, ..Rules::DEFAULT };
        let mut world = Self {
            now: 0,
            end: hours * HOUR,
            rules,
            slots_len,
            pool: Pool::with_rules(slots_len, rules),
            effects: Effects::default(),
            checker: Checker::new(slots_len, channels.len(), late),
            happenings: BinaryHeap::new(),
            planned: 0,
            limits,
            channels,
            children: Vec::new(),
            people,
            next_viewer: 0,
            facts: PLENTY,
            late,
            is_draining: false,
            deadlines: (0, 0),
            trace: trace.then(|| Trace::new(seed)),
            ill,
            dice,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        self.plan(SECOND, What::Sweep);
        let end = self.end;
        self.plan(end, What::Drain);
        for index in 0..self.people.len() {
            let after = self.dice.roll(2 * MINUTE);
            self.plan_person(index, after);
        }
        for channel in 0..self.channels.len() {
            for source in 0..self.channels[channel].len() {
                let at = self.dice.wait(30 * MINUTE);
                self.plan(at, What::Mood(channel, source));
            }
        }
        let hours = end / HOUR;
        for (percent, most, what) in [
            (30, 2 * hours, What::Limit(0)),
            (60, hours, What::Reset),
            (30, hours, What::Short(true)),
            (30, 2, What::Crash),
        ] {
            if self.dice.percent(percent) {
                for _ in 0..self.dice.between(1, most.max(1)) {
                    let at = self.dice.roll(end);
                    let account = self.dice.between(1, 3) as usize;
                    self.plan(at, if what == What::Limit(0) { What::Limit(account) } else { what });
                }
            }
        }
    }

    /// Lives through it.
    pub fn run(mut self) -> (Checker, Option<Trace>) {
        self.tell(Event::Facts(self.facts));
        while self.checker.violation.is_none() {
            let deadline = self.pool.next_deadline().map(|at| {
                let late = if self.late == 0 { 0 } else { (at.0 ^ (at.0 >> 7)) % (self.late + 1) };
                self.now.max(at.0 + late)
            });
            let happening = self.happenings.peek().map(|Reverse((at, ..))| *at);
            match (deadline, happening) {
                (Some(deadline), happening) if happening.is_none_or(|at| deadline <= at) => {
                    self.now = deadline;
                    self.deadlines = (self.now, if self.deadlines.0 == self.now { self.deadlines.1 + 1 } else { 0 });
                    if self.deadlines.1 > 100 {
                        self.checker.broken("timer", "a hundred deadlines in one millisecond");
                    }
                    self.tell_heard();
                    self.tell(Event::Deadline);
                }
                (_, Some(_)) => {
                    let Some(Reverse((at, _, what))) = self.happenings.pop() else { break };
                    self.now = self.now.max(at);
                    self.happens(what);
                }
                _ => break,
            }
            if self.is_draining && self.children.is_empty() && self.pool.is_idle() || self.now > self.end + HOUR {
                break;
            }
        }
        (self.checker, self.trace)
    }

    // ---- Time -----------------------------------------------------------------------------------------------------------

    fn plan(&mut self, at: Ms, what: What) {
        self.planned += 1;
        self.happenings.push(Reverse((at.max(self.now), self.planned, what)));
    }

    fn plan_person(&mut self, index: usize, after: Ms) {
        self.people[index].plan += 1;
        let plan = self.people[index].plan;
        self.plan(self.now + after, What::Person(index, plan));
    }

    fn tell(&mut self, event: Event) {
        if self.checker.violation.is_some() {
            return;
        }
        if let Some(trace) = &mut self.trace {
            trace.event(self.now, &event);
        }
        self.pool.on(Mono(self.now), event, &mut self.effects);
        let effects: Vec<Effect> = self.effects.drain().collect();
        if let Some(trace) = &mut self.trace {
            trace.effects(&effects);
        }
        self.checker.on(self.now, &event, &effects);
        for effect in effects {
            self.perform(effect);
        }
    }

    /// As the daemon does: before the clock judges, and not before anything else.
    fn tell_heard(&mut self) {
        for index in 0..self.children.len() {
            let child = self.children[index];
            if child.first.is_some() {
                self.tell(child.heard(self.now));
            }
        }
    }

    fn happens(&mut self, what: What) {
        match what {
            What::First(generation) => {
                let now = self.now;
                if let Some(child) = self.child(generation) {
                    child.first = Some(now);
                    let (slot, generation) = (SlotIndex(child.slot), Generation(generation));
                    self.tell(Event::Output { slot, generation });
                }
            }
            What::Exit(generation) => {
                if let Some(index) = self.children.iter().position(|child| child.generation == generation) {
                    let child = self.children.swap_remove(index);
                    let end = match self.channels[child.channel][child.source].mood {
                        Mood::Dead(end) if child.first.is_none() => end,
                        _ => End::Plain,
                    };
                    self.tell(Event::Exited { slot: SlotIndex(child.slot), generation: Generation(generation), end });
                }
            }
            What::Unsuited(generation) => {
                if let Some(child) = self.child(generation).copied() {
                    self.channels[child.channel][child.source].to_encode = true;
                    let (slot, generation) = (SlotIndex(child.slot), Generation(generation));
                    self.tell(Event::Unsuited { slot, generation, needs: Needs::Work(Work::Encode) });
                }
            }
            What::Blank(generation) => {
                if let Some(child) = self.child(generation).copied() {
                    // It is said again as long as it is so.
                    self.plan(self.now + 10 * SECOND, What::Blank(generation));
                    self.tell(Event::Blank { slot: SlotIndex(child.slot), generation: Generation(generation) });
                }
            }
            What::SpawnFailed(generation) => {
                if let Some(index) = self.children.iter().position(|child| child.generation == generation) {
                    let slot = SlotIndex(self.children.swap_remove(index).slot);
                    self.tell(Event::SpawnFailed { slot, generation: Generation(generation) });
                }
            }
            What::Probed(slot, generation) => {
                let result = if self.dice.once_in(30) { ProbeResult::Unknown } else { ProbeResult::Healthy };
                self.tell(Event::Probed { slot: SlotIndex(slot), generation: Generation(generation), result });
            }
            What::Person(index, plan) => {
                if self.people[index].plan == plan && !self.is_draining {
                    self.person_acts(index);
                }
            }
            What::Mood(channel, source) => {
                self.channels[channel][source].mood = mood(&mut self.dice, self.ill);
                let after = self.dice.wait(40 * MINUTE);
                self.plan(self.now + after, What::Mood(channel, source));
            }
            What::Limit(account) => self.limits[account] = Some(self.dice.between(1, 3) as u16),
            What::Reset => {
                let channel = self.dice.index(self.channels.len()) as u32;
                self.tell(Event::Reset { channel: ChannelId(channel) });
            }
            What::Short(is_short) => {
                self.facts = if is_short { BoardFacts { memory_available_bytes: Some(0), ..PLENTY } } else { PLENTY };
                self.tell(Event::Facts(self.facts));
                if is_short {
                    let after = self.dice.wait(30 * SECOND);
                    self.plan(self.now + after, What::Short(false));
                }
            }
            What::Crash => self.crash(),
            What::Sweep => {
                self.plan(self.now + 30 * SECOND, What::Sweep);
                self.tell_heard();
                self.tell(Event::Sweep);
            }
            What::Drain => {
                self.is_draining = true;
                self.tell(Event::Drain);
            }
        }
    }

    fn child(&mut self, generation: u64) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.generation == generation)
    }

    /// The daemon dies, and is back after a while.
    fn crash(&mut self) {
        let mut text = String::new();
        if self.pool.remember(&mut text).is_err() {
            self.checker.broken("S3", "it cannot remember");
        }
        self.now += 3 * SECOND;
        self.children.clear();
        self.happenings.retain(|Reverse((_, _, what))| {
            matches!(what, What::Person(..) | What::Mood(..) | What::Limit(_) | What::Reset | What::Short(_))
                || matches!(what, What::Crash | What::Sweep | What::Drain)
        });
        self.pool = Pool::with_rules(self.slots_len, self.rules);
        self.pool.recall(Mono(self.now), &text, false);
        self.checker.daemon_crashed(self.now);
        self.tell(Event::Facts(self.facts));
        for index in 0..self.people.len() {
            if self.people[index].viewer.take().is_some() {
                let after = self.dice.roll(5 * SECOND);
                self.plan_person(index, after);
            }
        }
    }

    // ---- Children and people ----------------------------------------------------------------------------------------------

    fn perform(&mut self, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Start { slot, generation, channel, source, work, .. } => {
                self.birth(slot.0, generation.0, (channel.0 as usize, usize::from(source)), work);
            }
            Effect::Terminate { generation, .. } => {
                if let Some(child) = self.child(generation.0).copied() {
                    if let Some(after) = self.channels[child.channel][child.source].term {
                        let after = self.dice.roll(after + 1);
                        self.plan(now + after, What::Exit(generation.0));
                    }
                }
            }
            Effect::Kill { generation, .. } => {
                if let Some(child) = self.child(generation.0).copied() {
                    let after = self.channels[child.channel][child.source].kill;
                    self.plan(now + after, What::Exit(generation.0));
                }
            }
            Effect::Probe { slot, generation, .. } => {
                let after = self.dice.between(150, 1_500);
                self.plan(now + after, What::Probed(slot.0, generation.0));
            }
            Effect::Admit { viewer, .. } => {
                if let Some(index) = self.watching(viewer.0) {
                    let stays = self.people[index].stays;
                    let after = self.dice.wait(stays);
                    self.plan_person(index, after);
                }
            }
            Effect::Refuse { viewer, .. } | Effect::Close { viewer, .. } => {
                if let Some(index) = self.watching(viewer.0) {
                    self.people[index].viewer = None;
                    let insists = self.people[index].insists;
                    let after = self.dice.wait(insists);
                    self.plan_person(index, after);
                }
            }
            Effect::Quarantine { .. } | Effect::Gap { .. } | Effect::Note(_) => {}
        }
    }

    fn birth(&mut self, slot: u8, generation: u64, (channel, place): (usize, usize), work: Work) {
        let source = self.channels[channel][place];
        let start = self.now + self.dice.between(source.start.0, source.start.1);
        let mood = match source.mood {
            Mood::Moody => mood(&mut self.dice, 70),
            mood => mood,
        };
        let mut child = Child {
            slot,
            generation,
            channel,
            source: place,
            first: None,
            every: source.every,
            silent_from: Ms::MAX,
            slow_from: Ms::MAX,
            thousandths: 1_000,
        };
        self.children.push(child);
        if self.dice.once_in(150) {
            return self.plan(self.now, What::SpawnFailed(generation));
        }
        if source.must_encode && work == Work::Copy {
            return self.plan(start, What::Unsuited(generation));
        }
        match mood {
            Mood::Dead(_) => {
                let after = self.dice.roll(3 * SECOND);
                return self.plan(self.now + after, What::Exit(generation));
            }
            Mood::Mute => return,
            Mood::Well | Mood::Moody => {}
            Mood::Flaps(after) => {
                let after = self.dice.roll(after);
                self.plan(start + after, What::Exit(generation));
            }
            Mood::Stalls(after) => child.silent_from = start + after,
            Mood::Slow(after, thousandths) => (child.slow_from, child.thousandths) = (start + after, thousandths),
            Mood::Blank(after) => self.plan(start + after, What::Blank(generation)),
        }
        if let Some(last) = self.children.last_mut() {
            *last = child;
        }
        self.plan(start, What::First(generation));
    }

    fn watching(&self, viewer: u64) -> Option<usize> {
        self.people.iter().position(|person| person.viewer == Some(viewer))
    }

    fn person_acts(&mut self, index: usize) {
        let person = &mut self.people[index];
        if let Some(viewer) = person.viewer.take() {
            self.tell(Event::Leave { viewer: ViewerId(viewer) });
            let stays = self.people[index].stays;
            let after = if self.dice.percent(40) { self.dice.roll(3 * SECOND) } else { self.dice.wait(stays / 2) };
            return self.plan_person(index, after);
        }
        let channel = *self.dice.pick(&self.people[index].likes);
        self.next_viewer += 1;
        let person = &mut self.people[index];
        person.viewer = Some(self.next_viewer);
        let tuner = person.tuner.map(SlotIndex);
        let patience = if self.dice.percent(20) { self.dice.between(10, 9 * SECOND) } else { HOUR };
        self.plan_person(index, patience);
        let limits = &self.limits;
        let supplies = self.channels[channel].iter().map(|source| Supply {
            class: SourceClass::Live,
            work: if source.to_encode { Work::Encode } else { Work::Copy },
            account: limits[source.account].map(|streams_max| Account { id: source.account as u32, streams_max }),
        });
        let sources = Sources::new(ChannelId(channel as u32), supplies).expect("a channel has a source");
        self.tell(Event::Ask { viewer: ViewerId(self.next_viewer), tuner, share: Share::BOX, sources });
    }
}

fn source(dice: &mut Dice, ill: u64) -> Source {
    Source {
        account: dice.index(4),
        mood: mood(dice, ill),
        start: *dice.pick(&[(0, 0), (200, 2 * SECOND), (200, 3 * SECOND), (3 * SECOND, 7 * SECOND)]),
        every: *dice.pick(&[250, 250, 250, 2 * SECOND, 6 * SECOND]),
        term: *dice.pick(&[Some(0), Some(200), Some(200), Some(1_500), None]),
        kill: if dice.once_in(12) { dice.between(4 * SECOND, 4 * MINUTE) } else { 20 },
        to_encode: false,
        must_encode: dice.once_in(20),
    }
}

fn mood(dice: &mut Dice, ill: u64) -> Mood {
    if !dice.percent(ill) {
        return Mood::Well;
    }
    let after = dice.wait(40 * SECOND);
    match dice.roll(12) {
        0 => Mood::Dead(End::Plain),
        1 => Mood::Dead(*dice.pick(&[End::Failed(Failure::Connect), End::Failed(Failure::Policy)])),
        2 | 3 => Mood::Mute,
        4 | 5 => Mood::Flaps(after + 1),
        6 | 7 => Mood::Stalls(after),
        8 => Mood::Slow(after, dice.between(0, 900)),
        9 => Mood::Blank(after),
        _ => Mood::Moody,
    }
}

//! Every history of a small model: one slot, one or two channels, two viewers, and small numbers.
//!
//! Breadth first. States are told apart by a hash of the pool, the observer's books and the children, with all times
//! relative to now and cut off where they no longer matter. When a level has no new state the model is closed: the rules hold
//! in each history of it, however long.
//!
//! A state takes 26 KiB, because the pool has room for 64 slots and 256 viewers. Those of a level are kept as long as
//! there is memory for them; the others are made again from their parents, whose numbers take nine bytes each.

use crate::observer::{Observer, Violation};
use crate::points::{Counts, Point};
use crate::spec::{Ms, Spec};
use pure::model::lineup::{ChannelId, SourceClass};
use pure::rules::admission::{BoardFacts, Work};
use pure::rules::failure::{End, Failure};
use pure::rules::health::ProbeResult;
use pure::rules::pool::{Effect, Effects, Event, Generation, Needs, Pool, SlotIndex, ViewerId};
use pure::time::Mono;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hash as _, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// States of one level that are kept whole: 2 GiB.
const KEPT: usize = 75_000;

const PLENTY: BoardFacts = BoardFacts {
    memory_available_bytes: Some(1 << 40),
    fds_open: 10,
    fds_limit: 1_024,
    ffmpeg_present: true,
    heat_milli_c: None,
};
const NOTHING: BoardFacts = BoardFacts { memory_available_bytes: Some(0), ..PLENTY };

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Its name.
    pub name: &'static str,
    /// The small numbers.
    pub spec: Spec,
    /// Channels that may be asked for.
    pub channels: u32,
    /// Viewers at most.
    pub viewers: u64,
    /// Slots.
    pub slots: usize,
    /// Whether children may also be unsuited, useless, wrongly configured, or not be born, and whether people press reset.
    pub rare: bool,
    /// Whether memory comes and goes.
    pub pressed: bool,
}

/// The small numbers, in ticks. Two failures open, in a window of six; three ticks of rest; three between restarts; two
/// restarts in eight ticks; two spawns at once and one each tick.
pub const SMALL: Spec = Spec {
    failures: 2,
    window_min: 6,
    open: 3,
    cooldown: 3,
    restarts: 2,
    throttle_window: 8,
    period: 1,
    burst_max: 2,
    acquire: 90,
    silence_live: 3,
    silence_file: 3,
    silence_first: 2,
    sweep: 0,
    stable: 3,
    fresh: 1,
    start: 3,
    tune: 2,
    linger: 1,
    gap: 4,
    term: 1,
    reap: 1,
    preempted: 1,
    usage: 500,
    probe_every: None,
    unhealthy: 2,
    unhealthy_looks: 3,
    probes: 1,
    reservation: 1,
    admission_retry: 1,
};

/// Smaller ones still, for two channels and for looks.
pub const SMALLER: Spec = Spec {
    window_min: 5,
    cooldown: 2,
    throttle_window: 4,
    silence_live: 2,
    silence_file: 2,
    silence_first: 1,
    stable: 2,
    start: 2,
    tune: 1,
    gap: 3,
    ..SMALL
};

/// One channel: to closure.
pub const ONE: Model =
    Model { name: "one channel", spec: SMALL, channels: 1, viewers: 2, slots: 1, rare: true, pressed: true };

/// One channel, soon.
pub const QUICK: Model = Model { name: "one channel, soon", spec: SMALLER, ..ONE };

/// One channel whose output is looked at: to closure.
pub const LOOKS: Model = Model {
    name: "one channel with looks",
    spec: Spec { probe_every: Some(1), ..SMALLER },
    channels: 1,
    viewers: 1,
    slots: 1,
    rare: false,
    pressed: false,
};

/// Two channels that share a slot.
pub const TWO: Model = Model {
    name: "two channels on one slot",
    spec: SMALLER,
    channels: 2,
    viewers: 2,
    slots: 1,
    rare: false,
    pressed: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Child {
    generation: u64,
    slot: u8,
    channel: u32,
    first: bool,
    dying: bool,
    copies: bool,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// A tick passes, and each child that plays has given packets in it, or not.
    Tick(bool),
    Ask(u64, u32),
    Leave(u64),
    Output(u8),
    Exit(u8, u8),
    Unsuited(u8),
    NotTs(u8),
    NotBorn(u8),
    Stale(u8),
    Facts(bool),
    Probed(u8),
    Reset(u32),
    Drain,
}

#[derive(Clone)]
struct State {
    now: Ms,
    pool: Pool,
    observer: Observer,
    children: Vec<Child>,
    /// Who is there, as bits.
    present: u64,
    plenty: bool,
    /// The look on its way, and when it began.
    looking: Option<(u8, u64, Ms)>,
    /// Channels that were seen to need encoding, as bits.
    to_encode: u32,
    draining: bool,
    newest: u64,
    /// Looks in a row that said nothing.
    unknowns: u8,
}

impl State {
    fn root(model: &Model, effects: &mut Effects) -> Self {
        let mut state = Self {
            now: 100,
            pool: Pool::with_rules(model.slots, model.spec.rules()),
            observer: Observer::new(model.spec, model.slots, 0),
            children: Vec::new(),
            present: 0,
            plenty: true,
            looking: None,
            to_encode: 0,
            draining: false,
            newest: 0,
            unknowns: 0,
        };
        state.tell(Event::Facts(PLENTY), effects);
        state
    }

    fn moves(&self, model: &Model, out: &mut Vec<Move>) {
        out.clear();
        let plays = self.children.iter().any(|child| child.first);
        // ffprobe is killed after some time, so an answer comes.
        if self.looking.is_none_or(|(.., since)| self.now < since + 2) {
            out.push(Move::Tick(false));
            if plays {
                out.push(Move::Tick(true));
            }
        }
        for child in &self.children {
            if !child.first && !child.dying {
                out.push(Move::Output(child.slot));
            }
            out.push(Move::Exit(child.slot, 0));
            if model.rare && !child.dying && !child.first {
                out.push(Move::Exit(child.slot, 1));
                out.push(Move::NotTs(child.slot));
                out.push(Move::NotBorn(child.slot));
                if child.copies {
                    out.push(Move::Unsuited(child.slot));
                }
            }
            if self.newest > 1 {
                out.push(Move::Stale(child.slot));
            }
        }
        if self.looking.is_some() {
            // What is unknown leaves the timer as it is: for ever, if nothing else were said.
            out.extend((0..if self.unknowns < 2 { 3 } else { 2 }).map(Move::Probed));
        }
        if self.draining {
            return;
        }
        for viewer in 0..model.viewers {
            if self.present & 1 << viewer != 0 {
                out.push(Move::Leave(viewer));
            }
        }
        // Viewers are alike: the first who is not there comes.
        let free = (0..model.viewers).find(|viewer| self.present & 1 << viewer == 0);
        if let Some(viewer) = free {
            out.extend((0..model.channels).map(|channel| Move::Ask(viewer, channel)));
        }
        if model.pressed {
            out.push(Move::Facts(!self.plenty));
        }
        if model.rare {
            out.push(Move::Reset(0));
            out.push(Move::Drain);
        }
    }

    fn child(&mut self, slot: u8) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.slot == slot)
    }

    fn act(&mut self, model: &Model, what: Move, effects: &mut Effects) {
        match what {
            Move::Tick(fresh) => {
                self.now += 1;
                if fresh {
                    for index in 0..self.children.len() {
                        let child = self.children[index];
                        if child.first && !child.dying {
                            let (slot, generation) = (SlotIndex(child.slot), Generation(child.generation));
                            let at = Mono(self.now);
                            self.tell(Event::Heard { slot, generation, output_at: at, picture_at: at }, effects);
                        }
                    }
                }
                let mut times = 0;
                while self.pool.next_deadline().is_some_and(|at| at.0 <= self.now) {
                    self.tell(Event::Deadline, effects);
                    times += 1;
                    if times > 20 {
                        let text = "twenty deadlines in one tick".to_owned();
                        self.observer.violation.get_or_insert(Violation { rule: "timer", text, at: self.now });
                        break;
                    }
                }
                self.observer.on(Mono(self.now), &Event::Deadline, &[]);
            }
            Move::Ask(viewer, channel) => {
                self.present |= 1 << viewer;
                let (viewer, channel) = (ViewerId(viewer), ChannelId(channel));
                let class = SourceClass::Live;
                let work = if self.to_encode & 1 << channel.0 == 0 { Work::Copy } else { Work::Encode };
                self.tell(Event::Ask { viewer, channel, tuner: None, work, class }, effects);
            }
            Move::Leave(viewer) => {
                self.present &= !(1 << viewer);
                self.tell(Event::Leave { viewer: ViewerId(viewer) }, effects);
            }
            Move::Output(slot) => {
                let Some(child) = self.child(slot) else { return };
                child.first = true;
                let generation = Generation(child.generation);
                self.tell(Event::Output { slot: SlotIndex(slot), generation }, effects);
            }
            Move::Exit(..) | Move::NotBorn(_) => {
                let (Move::Exit(slot, _) | Move::NotBorn(slot)) = what else { return };
                let Some(index) = self.children.iter().position(|child| child.slot == slot) else { return };
                let generation = Generation(self.children.remove(index).generation);
                let slot = SlotIndex(slot);
                self.tell(
                    match what {
                        Move::Exit(_, 0) => Event::Exited { slot, generation, end: End::Plain },
                        Move::Exit(..) => Event::Exited { slot, generation, end: End::Failed(Failure::Policy) },
                        _ => Event::SpawnFailed { slot, generation },
                    },
                    effects,
                );
            }
            Move::Unsuited(slot) | Move::NotTs(slot) => {
                let Some(child) = self.child(slot) else { return };
                let (slot, generation, channel) = (SlotIndex(slot), Generation(child.generation), child.channel);
                if matches!(what, Move::Unsuited(_)) {
                    self.to_encode |= 1 << channel;
                }
                self.tell(
                    match what {
                        Move::Unsuited(_) => Event::Unsuited { slot, generation, needs: Needs::Work(Work::Encode) },
                        _ => Event::Useless { slot, generation, failure: Failure::NotTs },
                    },
                    effects,
                );
            }
            Move::Stale(slot) => {
                let stale = (1..self.newest).rev().find(|it| self.children.iter().all(|child| child.generation != *it));
                if let Some(generation) = stale.map(Generation) {
                    self.tell(Event::Exited { slot: SlotIndex(slot), generation, end: End::Plain }, effects);
                }
            }
            Move::Facts(plenty) => {
                self.plenty = plenty;
                self.tell(Event::Facts(if plenty { PLENTY } else { NOTHING }), effects);
            }
            Move::Probed(result) => {
                let Some((slot, generation, _)) = self.looking.take() else { return };
                self.unknowns = if result == 2 { self.unknowns + 1 } else { 0 };
                let result = [ProbeResult::Healthy, ProbeResult::Unhealthy, ProbeResult::Unknown][result as usize];
                let (slot, generation) = (SlotIndex(slot), Generation(generation));
                self.tell(Event::Probed { slot, generation, result }, effects);
            }
            Move::Reset(channel) => self.tell(Event::Reset { channel: ChannelId(channel) }, effects),
            Move::Drain => {
                self.draining = true;
                self.tell(Event::Drain, effects);
            }
        }
        let _ = model;
    }

    fn tell(&mut self, event: Event, effects: &mut Effects) {
        if self.observer.violation.is_some() {
            return;
        }
        self.pool.on(Mono(self.now), event, effects);
        let list: Vec<Effect> = effects.drain().collect();
        self.observer.on(Mono(self.now), &event, &list);
        for effect in list {
            match effect {
                Effect::Start { slot, generation, work, channel, .. } => {
                    self.newest = generation.0;
                    let copies = work == Work::Copy;
                    let child = Child {
                        generation: generation.0,
                        slot: slot.0,
                        channel: channel.0,
                        first: false,
                        dying: false,
                        copies,
                    };
                    self.children.push(child);
                }
                Effect::Terminate { slot, .. } => {
                    if let Some(child) = self.child(slot.0) {
                        child.dying = true;
                    }
                }
                Effect::Refuse { viewer, .. } | Effect::Close { viewer, .. } => self.present &= !(1 << viewer.0),
                Effect::Probe { slot, generation, .. } => {
                    self.looking = Some((slot.0, generation.0, self.now));
                }
                _ => {}
            }
        }
        if !matches!(event, Event::Facts(_) | Event::Heard { .. }) {
            let now = Mono(self.now);
            self.observer.compare(self.pool.channels(now), self.pool.slots(now));
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.pool.fingerprint(Mono(self.now), &mut hasher);
        self.observer.fingerprint(&mut hasher);
        for child in &self.children {
            (self.newest - child.generation, child.slot, child.channel, child.first, child.dying, child.copies)
                .hash(&mut hasher);
        }
        (
            self.present,
            self.plenty,
            self.to_encode,
            self.looking.map(|(.., since)| self.now - since),
            self.draining,
            self.newest.min(2),
            self.unknowns,
        )
            .hash(&mut hasher);
        hasher.finish()
    }
}

/// Hashes are hashes already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Where a state came from.
#[derive(Clone, Copy)]
struct Origin {
    parent: u32,
    what: Move,
}

/// What the exploration came to.
pub struct Explored {
    /// The model's name.
    pub name: &'static str,
    /// States, transitions and levels.
    pub states: usize,
    /// See [`Explored::states`].
    pub transitions: u64,
    /// See [`Explored::states`].
    pub levels: usize,
    /// Nothing new was left.
    pub closed: bool,
    /// What was reached.
    pub counts: Counts,
    /// How it broke a rule.
    pub failure: Option<String>,
    /// That rule.
    pub broken: Option<&'static str>,
    /// Seconds it took.
    pub seconds: f64,
}

struct Found {
    hash: u64,
    origin: Origin,
    state: Option<Box<State>>,
}

struct Search<'a> {
    model: &'a Model,
    origins: Vec<Origin>,
    seen: HashSet<u64, BuildHasherDefault<Same>>,
}

/// Explores a model until it is closed, or has so many states.
pub fn run(model: &Model, states_max: usize) -> Explored {
    let began = Instant::now();
    let mut effects = Effects::default();
    let root = State::root(model, &mut effects);
    let mut search = Search { model, origins: Vec::new(), seen: HashSet::default() };
    search.seen.insert(root.fingerprint());
    search.origins.push(Origin { parent: 0, what: Move::Tick(false) });
    let mut level: Vec<(u32, Option<Box<State>>)> = vec![(0, Some(Box::new(root)))];
    let mut explored = Explored {
        name: model.name,
        states: 1,
        transitions: 0,
        levels: 0,
        closed: false,
        counts: Counts::default(),
        failure: None,
        broken: None,
        seconds: 0.0,
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    while !level.is_empty() && search.origins.len() < states_max && explored.failure.is_none() {
        explored.levels += 1;
        let share = level.len().div_ceil(threads);
        let mut parts = Vec::new();
        std::thread::scope(|scope| {
            let search = &search;
            let mut workers = Vec::new();
            while !level.is_empty() {
                let part = level.split_off(level.len() - share.min(level.len()));
                workers.push(scope.spawn(move || search.expand(part, KEPT / threads)));
            }
            parts.extend(workers.into_iter().rev().filter_map(|worker| worker.join().ok()));
        });
        for (found, counts, transitions, failure) in parts {
            let (broken, failure) = failure.unzip();
            explored.broken = explored.broken.or(broken);
            explored.counts.add(&counts);
            explored.transitions += transitions;
            explored.failure = explored.failure.take().or(failure);
            for Found { hash, origin, state } in found {
                if search.seen.insert(hash) {
                    let number = search.origins.len() as u32;
                    search.origins.push(origin);
                    level.push((number, state));
                }
            }
        }
    }
    explored.closed = level.is_empty() && explored.failure.is_none();
    explored.states = search.origins.len();
    explored.seconds = began.elapsed().as_secs_f64();
    explored
}

type Part = (Vec<Found>, Counts, u64, Option<(&'static str, String)>);

impl Search<'_> {
    /// Everything that can follow on these states and was not seen on an earlier level.
    fn expand(&self, level: Vec<(u32, Option<Box<State>>)>, keep: usize) -> Part {
        let mut effects = Effects::default();
        let mut found = Vec::new();
        let mut new: HashSet<u64, BuildHasherDefault<Same>> = HashSet::default();
        let mut counts = Counts::default();
        let mut transitions = 0;
        let mut moves = Vec::new();
        let mut line: Vec<(u32, Box<State>)> = Vec::new();
        for (number, state) in level {
            let state = match state {
                Some(state) => state,
                None => self.again(number, &mut line, &mut effects),
            };
            state.moves(self.model, &mut moves);
            for what in &moves {
                let mut next = state.clone();
                let model = self.model;
                let act = catch_unwind(AssertUnwindSafe(|| next.act(model, *what, &mut effects)));
                if act.is_err() {
                    let text = "the rules' own assertion failed".to_owned();
                    next.observer.violation.get_or_insert(Violation { rule: "assert", text, at: next.now });
                    effects = Effects::default();
                }
                transitions += 1;
                next.observer.count_into(&mut counts);
                if let Some(violation) = &next.observer.violation {
                    return (found, counts, transitions, Some((violation.rule, self.story(number, *what))));
                }
                let hash = next.fingerprint();
                if !self.seen.contains(&hash) && new.insert(hash) {
                    let origin = Origin { parent: number, what: *what };
                    let state = (found.len() < keep).then_some(next);
                    found.push(Found { hash, origin, state });
                }
            }
        }
        (found, counts, transitions, None)
    }

    /// Makes a state again. `line` holds the ancestors of the last one that was; those of the next are mostly the same.
    fn again(&self, number: u32, line: &mut Vec<(u32, Box<State>)>, effects: &mut Effects) -> Box<State> {
        let mut missing = Vec::new();
        let mut at = number;
        loop {
            while line.last().is_some_and(|(last, _)| *last > at) {
                line.pop();
            }
            if at == 0 || line.last().is_some_and(|(last, _)| *last == at) {
                break;
            }
            missing.push(at);
            at = self.origins[at as usize].parent;
        }
        let mut state = match line.last() {
            Some((_, state)) => state.clone(),
            None => Box::new(State::root(self.model, effects)),
        };
        for number in missing.into_iter().rev() {
            state.act(self.model, self.origins[number as usize].what, effects);
            line.push((number, state.clone()));
        }
        state
    }

    /// How a state is reached, in words.
    fn story(&self, number: u32, last: Move) -> String {
        let mut path = vec![last];
        let mut at = number;
        while at != 0 {
            path.push(self.origins[at as usize].what);
            at = self.origins[at as usize].parent;
        }
        path.reverse();
        let mut effects = Effects::default();
        let mut state = State::root(self.model, &mut effects);
        let mut text = format!("{}: {} moves\n", self.model.name, path.len());
        for what in path {
            let act = catch_unwind(AssertUnwindSafe(|| state.act(self.model, what, &mut effects)));
            let slots: Vec<_> = state.pool.slots(Mono(state.now)).map(|slot| (slot.state, slot.viewers)).collect();
            writeln!(text, "  {:>5} {what:?} => {slots:?} {:?}", state.now, state.children).unwrap_or_default();
            if act.is_err() {
                text.push_str("the rules' own assertion failed\n");
                break;
            }
        }
        if let Some(violation) = state.observer.violation {
            writeln!(text, "broke {}: {}", violation.rule, violation.text).unwrap_or_default();
        }
        text
    }
}

impl Explored {
    /// What was found, in words.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {}, {} states, {} transitions, {} levels, {:.1} s\n",
            self.name,
            if self.closed { "closed" } else { "not closed" },
            self.states,
            self.transitions,
            self.levels,
            self.seconds
        );
        for point in Point::ALL {
            if self.counts.of(*point) > 0 {
                writeln!(text, "  {:<44}{:>12}", point.name(), self.counts.of(*point)).unwrap_or_default();
            }
        }
        text
    }
}

//! A day in a home: sources of every temperament, children that obey or do not, people, and a board under pressure.
//!
//! Time is virtual. The world goes from one thing that happens to the next, which may be the pool's own deadline; there
//! are no ticks. All chance comes from the seed. Not here: what is right, which only [`crate::observer`] says.

use crate::dice::Dice;
use crate::observer::{Observer, Violation};
use crate::points::{Counts, Point};
use crate::spec::{Ms, Spec};
use crate::trace::Trace;
use pure::model::face::Share;
use pure::model::lineup::{ChannelId, SourceClass};
use pure::rules::admission::{BoardFacts, Work};
use pure::rules::failure::{End, Failure};
use pure::rules::gate::Kind;
use pure::rules::health::ProbeResult;
use pure::rules::pool::{Effect, Effects, Event, Generation, Needs, Pool, Refusal, SlotIndex, ViewerId};
use pure::rules::sources::Sources;
use pure::time::Mono;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const SECOND: Ms = 1_000;
const MINUTE: Ms = 60 * SECOND;
const HOUR: Ms = 60 * MINUTE;
const MIB: u64 = 1 << 20;

const PLENTY: BoardFacts = BoardFacts {
    memory_available_bytes: Some(8_192 * MIB),
    fds_open: 40,
    fds_limit: 1_024,
    ffmpeg_present: true,
    heat_milli_c: Some(55_000),
};

/// How a channel's children fare.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lives,
    /// Ends before its first packet.
    Dies {
        after: Ms,
        end: End,
    },
    /// Ends after some picture: between these.
    Flaps(Ms, Ms),
    /// Never a packet, never an end.
    Mute,
    /// Packets for so long, then silence.
    FallsSilent(Ms),
    /// Packets go on, the picture stands still.
    Freezes(Ms),
    NotTs,
    /// Closes its output and lives on.
    Closes(Ms),
    /// In a format that clients do not play, until so much is done about it.
    Unsuited(Work),
    /// Its picture cannot be decoded from then on.
    Spoils(Ms),
    /// ffprobe says now this, now that.
    Doubtful,
    /// The kernel does not start it, so often in a hundred.
    NotBorn(u64),
    /// One of two fates each time.
    Moody,
}

#[derive(Clone, Debug)]
struct Source {
    class: SourceClass,
    work: Work,
    fate: Fate,
    /// How long until a first packet, between these.
    start: (Ms, Ms),
    packet_every: Ms,
    /// From SIGTERM to the end; `None`: ignored.
    term: Option<Ms>,
    /// From SIGKILL to the end.
    kill: Ms,
    /// Dead until then, whatever its fate.
    dead_until: Ms,
}

#[derive(Clone, Debug)]
struct Child {
    generation: u64,
    slot: u8,
    channel: usize,
    first: Option<Ms>,
    packet_every: Ms,
    /// Packets, and pictures, until then.
    output_until: Ms,
    picture_until: Ms,
    spoils_at: Ms,
    doubtful: bool,
    term: Option<Ms>,
    kill: Ms,
    dying: bool,
}

impl Child {
    fn newest(&self, now: Ms, until: Ms) -> Ms {
        let first = self.first.unwrap_or(now);
        let last = now.min(until.max(first));
        first + (last - first) / self.packet_every * self.packet_every
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Waits, watches long, tries again later.
    Patient,
    /// Another channel every few seconds.
    Zapper,
    /// Back one second after he was sent away.
    Stubborn,
    /// Back when he was told to come.
    Obedient,
    /// Leaves before the first packet.
    Hasty,
    /// Opens, closes, opens again.
    Kodi,
}

#[derive(Clone, Debug)]
struct Person {
    habit: Habit,
    /// What he likes.
    channels: Vec<usize>,
    tuner: Option<u8>,
    viewer: Option<u64>,
    watches: usize,
    session_until: Ms,
    /// Counts what was planned for him, so that an old plan is not carried out.
    plan: u32,
    idle: Ms,
    length: Ms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    First(u64),
    Exit(u64, u8),
    Useless(u64, bool),
    Unsuited(u64, Work),
    SpawnFailed(u64),
    Probed(u8, u64, u8),
    Person(usize, u32),
    Sweep,
    Facts,
    Crowd,
    Storm,
    Reset,
    Hold(u8, bool),
    Free(u8),
    Stale,
    Crash,
    Walk(u32),
    Drain,
}

const ENDS: [End; 14] = [
    End::Plain,
    End::Finished,
    End::Finished,
    End::Plain,
    End::Failed(Failure::Connect),
    End::Failed(Failure::Dns),
    End::Failed(Failure::Auth),
    End::Failed(Failure::Http),
    End::Failed(Failure::Crash),
    End::Failed(Failure::Limit),
    End::Failed(Failure::Oom),
    End::Failed(Failure::Config),
    End::Failed(Failure::Policy),
    End::Clock,
];

fn end_index(end: End) -> u8 {
    ENDS.iter().position(|other| *other == end).unwrap_or(0) as u8
}

/// What one seed came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was reached.
    pub counts: Counts,
    /// Events told to the pool.
    pub events: u64,
    /// Spawns, restarts and probes among them.
    pub spawns: u64,
    /// See [`Outcome::spawns`].
    pub restarts: u64,
    /// See [`Outcome::spawns`].
    pub probes: u64,
    /// Breakers that opened.
    pub openings: u64,
    /// What went wrong, if anything.
    pub violation: Option<Violation>,
}

/// The world of one seed.
pub struct World {
    spec: Spec,
    slow: bool,
    dice: Dice,
    now: Ms,
    end: Ms,
    pool: Pool,
    slots_len: usize,
    effects: Effects,
    buffer: Vec<Effect>,
    observer: Observer,
    happenings: BinaryHeap<Reverse<(Ms, u64, What)>>,
    planned: u64,
    sources: Vec<Source>,
    children: Vec<Child>,
    people: Vec<Person>,
    next_viewer: u64,
    facts: BoardFacts,
    facts_told: bool,
    /// How late deadlines are told at most.
    lateness: Ms,
    draining: bool,
    empty_since: Option<Ms>,
    deadlines_at: (Ms, u32),
    trace: Option<Trace>,
    outcome: Outcome,
    steps: u64,
}

impl World {
    /// The world of this seed, for so many hours.
    pub fn new(seed: u64, hours: u64, trace: bool) -> Self {
        let mut dice = Dice::new(seed);
        // So few tokens, and so much patience, that acquisitions time out; with the plan's numbers they hardly can.
        let slow = dice.once_in(40);
        let spec = if slow { Spec { period: 50_000, tune: 100_000, gap: 150_000, ..Spec::PLAN } } else { Spec::PLAN };
        let slots_len = dice.between(1, 8) as usize;
        let stormy = dice.percent(30);
        let walker = dice.once_in(60);
        let lateness = if dice.percent(30) { dice.between(1, 60) } else { 0 };
        let channels_len = if dice.once_in(4) { dice.between(8, 24) } else { dice.between(1, 12) } as usize;
        let ill = *dice.pick(&[5, 20, 50, 90]);
        let sources = (0..channels_len).map(|_| source(&mut dice, ill)).collect::<Vec<_>>();
        let people_len = if stormy { dice.between(5, 12) } else { dice.between(1, 10) } as usize;
        let people = (0..people_len).map(|_| person(&mut dice, channels_len, slots_len)).collect();
        let mut world = Self {
            spec,
            now: 0,
            end: hours * HOUR,
            pool: if slow { Pool::with_rules(slots_len, spec.rules()) } else { Pool::new(slots_len) },
            slow,
            slots_len,
            effects: Effects::default(),
            buffer: Vec::new(),
            observer: Observer::new(spec, slots_len, lateness),
            happenings: BinaryHeap::new(),
            planned: 0,
            sources,
            children: Vec::new(),
            people,
            next_viewer: 0,
            facts: PLENTY,
            facts_told: false,
            lateness,
            draining: false,
            empty_since: None,
            deadlines_at: (0, 0),
            trace: trace.then(|| {
                eprintln!("slots {slots_len} lateness {lateness}");
                Trace::new(seed)
            }),
            outcome: Outcome::default(),
            steps: 0,
            dice,
        };
        world.populate(seed, stormy, walker);
        world
    }

    fn new_pool(&self) -> Pool {
        if self.slow { Pool::with_rules(self.slots_len, self.spec.rules()) } else { Pool::new(self.slots_len) }
    }

    fn populate(&mut self, seed: u64, stormy: bool, walker: bool) {
        self.plan(SECOND, What::Sweep);
        for index in 0..self.people.len() {
            let idle = self.people[index].idle;
            let at = self.dice.wait(idle / 2);
            self.plan_person(index, at);
        }
        let end = self.end;
        self.plan(end, What::Drain);
        if stormy {
            for _ in 0..self.dice.between(1, 4) {
                let at = self.dice.roll(end);
                self.plan(at, What::Storm);
            }
        }
        if self.dice.percent(40) {
            for _ in 0..self.dice.between(1, 6) {
                let at = self.dice.roll(end);
                self.plan(at, What::Crowd);
            }
        }
        if self.dice.percent(40) {
            for _ in 0..self.dice.between(1, 12) {
                let at = self.dice.roll(end);
                self.plan(at, What::Facts);
            }
        }
        if self.dice.percent(25) {
            for _ in 0..self.dice.between(1, 3) {
                let at = self.dice.roll(end);
                self.plan(at, What::Crash);
            }
        }
        for _ in 0..self.dice.roll(30) {
            let at = self.dice.roll(end);
            self.plan(at, What::Reset);
        }
        if self.dice.percent(20) {
            for _ in 0..self.dice.between(1, 10) {
                let slot = self.dice.index(self.slots_len) as u8;
                let at = self.dice.roll(end);
                let after = self.dice.wait(10 * MINUTE);
                self.plan(at, What::Hold(slot, true));
                self.plan(at + after, What::Hold(slot, false));
            }
        }
        // With dice of their own, so that all other days stay what they were.
        let mut dice = Dice::new(seed ^ 0x66_7265_65);
        if dice.percent(15) {
            for _ in 0..dice.between(1, 20) {
                let slot = dice.index(self.slots_len) as u8;
                self.plan(dice.roll(end), What::Free(slot));
            }
        }
        for _ in 0..self.dice.roll(200) {
            let at = self.dice.roll(end);
            self.plan(at, What::Stale);
        }
        if walker {
            let at = self.dice.roll(end / 2);
            self.plan(at, What::Walk(0));
        }
    }

    /// Lives the day.
    pub fn run(mut self) -> (Outcome, Option<Trace>) {
        loop {
            let deadline = self.pool.next_deadline().map(|at| {
                let late = if self.lateness == 0 { 0 } else { (at.0 ^ (at.0 >> 7)) % (self.lateness + 1) };
                self.now.max(at.0 + late)
            });
            let happening = self.happenings.peek().map(|Reverse((at, ..))| *at);
            match (deadline, happening) {
                (Some(deadline), happening) if happening.is_none_or(|at| deadline <= at) => {
                    self.now = deadline;
                    self.on_deadline();
                }
                (_, Some(_)) => {
                    let Some(Reverse((at, _, what))) = self.happenings.pop() else { break };
                    self.now = self.now.max(at);
                    self.on_happening(what);
                }
                _ => break,
            }
            if self.observer.violation.is_some() {
                break;
            }
            if self.draining && self.children.is_empty() && self.pool.is_idle() {
                self.check_end();
                break;
            }
            if self.now > self.end + HOUR {
                self.complain("G9", "the drain has no end");
                break;
            }
        }
        self.outcome.violation = self.observer.violation.take();
        (self.outcome, self.trace)
    }

    fn complain(&mut self, rule: &'static str, text: &str) {
        let violation = Violation { rule, text: text.to_owned(), at: self.now };
        self.observer.violation.get_or_insert(violation);
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

    fn on_deadline(&mut self) {
        let (at, times) = self.deadlines_at;
        self.deadlines_at = (self.now, if at == self.now { times + 1 } else { 0 });
        if self.deadlines_at.1 > 100 {
            self.complain("timer", "a hundred deadlines in one millisecond");
            return;
        }
        self.tell_facts();
        self.tell_heard();
        self.tell(Event::Deadline);
    }

    fn tell_heard(&mut self) {
        for index in 0..self.children.len() {
            let child = &self.children[index];
            if child.first.is_some() {
                let event = Event::Heard {
                    slot: SlotIndex(child.slot),
                    generation: Generation(child.generation),
                    output_at: Mono(child.newest(self.now, child.output_until)),
                    picture_at: Mono(child.newest(self.now, child.picture_until)),
                    played_ms: None,
                    silent_ms_max: 0,
                };
                self.tell(event);
            }
        }
    }

    fn tell_facts(&mut self) {
        if !self.facts_told {
            self.facts_told = true;
            self.tell(Event::Facts(self.facts));
        }
    }

    /// Tells the pool, lets the observer judge, and does what is asked.
    fn tell(&mut self, event: Event) {
        if self.observer.violation.is_some() {
            return;
        }
        if let Some(trace) = &mut self.trace {
            trace.event(self.now, &event);
        }
        self.pool.on(Mono(self.now), event, &mut self.effects);
        self.outcome.events += 1;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend(self.effects.drain());
        if let Some(trace) = &mut self.trace {
            trace.effects(&buffer);
        }
        self.observer.on(Mono(self.now), &event, &buffer);
        self.observer.count_into(&mut self.outcome.counts);
        self.steps += 1;
        if self.steps % 64 == 0 {
            self.observer.compare(self.pool.channels(Mono(self.now)), self.pool.slots(Mono(self.now)));
        }
        for effect in buffer.drain(..) {
            self.perform(effect);
        }
        self.buffer = buffer;
        self.watch_emptiness();
    }

    /// I21: half a minute after the last viewer nothing runs.
    fn watch_emptiness(&mut self) {
        if !self.observer.is_empty() {
            self.empty_since = None;
            return;
        }
        let since = *self.empty_since.get_or_insert(self.now);
        let spec = self.spec;
        if self.now > since + spec.start + spec.linger + spec.term + spec.reap + 2 * self.lateness
            && !self.observer.is_quiet()
        {
            self.complain("I21", "nobody has watched for half a minute, and something runs");
        }
    }

    fn check_end(&mut self) {
        self.observer.check_given_back();
        let left = self.pool.slots(Mono(self.now)).any(|slot| slot.viewers > 0 || slot.channel.is_some());
        if left {
            self.complain("I21", "a slot was not given back");
        }
        if let Some(at) = self.pool.next_deadline() {
            if at.0 <= self.now {
                self.complain("timer", "a deadline is due when all is over");
            }
        }
        self.observer.compare(self.pool.channels(Mono(self.now)), self.pool.slots(Mono(self.now)));
    }

    // ---- What happens -----------------------------------------------------------------------------------------------------

    fn on_happening(&mut self, what: What) {
        match what {
            What::First(generation) => {
                if let Some(child) = self.child(generation) {
                    child.1.first = Some(child.0);
                    let slot = SlotIndex(child.1.slot);
                    self.tell(Event::Output { slot, generation: Generation(generation) });
                }
            }
            What::Exit(generation, end) => self.exit(generation, ENDS[end as usize]),
            What::Useless(generation, is_ts) => {
                if let Some((_, child)) = self.child(generation) {
                    let slot = SlotIndex(child.slot);
                    let failure = if is_ts { Failure::EarlyExit } else { Failure::NotTs };
                    self.tell(Event::Useless { slot, generation: Generation(generation), failure });
                }
            }
            What::Unsuited(generation, needs) => {
                if let Some((_, child)) = self.child(generation) {
                    let (slot, channel) = (SlotIndex(child.slot), child.channel);
                    self.sources[channel].work = needs;
                    let needs = Needs::Work(needs);
                    self.tell(Event::Unsuited { slot, generation: Generation(generation), needs });
                }
            }
            What::SpawnFailed(generation) => {
                if let Some(index) = self.children.iter().position(|child| child.generation == generation) {
                    let slot = SlotIndex(self.children.swap_remove(index).slot);
                    self.tell(Event::SpawnFailed { slot, generation: Generation(generation) });
                }
            }
            What::Probed(slot, generation, result) => {
                let result = [ProbeResult::Healthy, ProbeResult::Unhealthy, ProbeResult::Unknown][result as usize];
                self.tell(Event::Probed { slot: SlotIndex(slot), generation: Generation(generation), result });
            }
            What::Person(index, plan) => {
                if self.people[index].plan == plan {
                    self.person_acts(index);
                }
            }
            What::Sweep => {
                self.plan(self.now + self.spec.sweep, What::Sweep);
                if !self.draining {
                    self.tell_heard();
                    self.tell(Event::Sweep);
                }
            }
            What::Facts => self.press_the_board(),
            What::Crowd => self.crowd(),
            What::Storm => self.storm(),
            What::Reset => {
                let index = self.dice.index(self.sources.len());
                // Sometimes it is another source now; while nothing plays it, so that each attempt has one class.
                let is_idle = self.children.iter().all(|child| child.channel != index)
                    && self.people.iter().all(|person| person.viewer.is_none() || person.watches != index);
                if is_idle {
                    let source = &mut self.sources[index];
                    source.class =
                        if source.class == SourceClass::Live { SourceClass::File } else { SourceClass::Live };
                }
                self.tell(Event::Reset { channel: ChannelId(index as u32) });
            }
            What::Hold(slot, is_held) => self.tell(Event::Hold { slot: SlotIndex(slot), is_held }),
            What::Free(slot) => self.tell(Event::Free { slot: SlotIndex(slot) }),
            What::Stale => self.stale(),
            What::Crash => self.crash(),
            What::Walk(step) => self.walk(step),
            What::Drain => {
                self.draining = true;
                self.tell(Event::Drain);
                // Nobody has told the people: they ask on, and the gate has to stay closed.
                for index in 0..self.people.len() {
                    let after = self.dice.roll(SECOND);
                    self.plan_person(index, after);
                }
            }
        }
    }

    fn child(&mut self, generation: u64) -> Option<(Ms, &mut Child)> {
        let now = self.now;
        self.children.iter_mut().find(|child| child.generation == generation).map(|child| (now, child))
    }

    fn exit(&mut self, generation: u64, end: End) {
        if let Some(index) = self.children.iter().position(|child| child.generation == generation) {
            let child = self.children.swap_remove(index);
            self.tell_facts();
            self.tell(Event::Exited { slot: SlotIndex(child.slot), generation: Generation(generation), end });
        }
    }

    /// Less memory, descriptors or FFmpeg, or more heat, for a while.
    fn press_the_board(&mut self) {
        if self.facts != PLENTY {
            self.facts = PLENTY;
            self.facts_told = false;
            return;
        }
        match self.dice.roll(5) {
            0 => self.facts.memory_available_bytes = Some(self.dice.between(0, 400) * MIB),
            // Enough for one or two.
            1 => self.facts.memory_available_bytes = Some(self.dice.between(160, 330) * MIB),
            2 => self.facts.fds_open = self.dice.between(970, 1_030) as u32,
            3 => self.facts.heat_milli_c = Some(self.dice.between(81_990, 82_010) as i32),
            _ => self.facts.ffmpeg_present = false,
        }
        self.facts_told = false;
        let after = self.dice.wait(4 * MINUTE);
        self.plan(self.now + after, What::Facts);
    }

    /// Many ask for the same in the same moment.
    fn crowd(&mut self) {
        let channel = self.dice.index(self.sources.len());
        let guests = if self.dice.once_in(12) { 270 } else { self.dice.between(5, 20) };
        for _ in 0..guests {
            let person = Person {
                habit: if guests > 100 { Habit::Hasty } else { *self.dice.pick(&[Habit::Hasty, Habit::Obedient]) },
                channels: vec![channel],
                tuner: None,
                viewer: None,
                watches: channel,
                session_until: self.now + MINUTE,
                plan: 0,
                idle: 1_000 * HOUR,
                length: MINUTE,
            };
            self.people.push(person);
            let after = self.dice.roll(100);
            self.plan_person(self.people.len() - 1, after);
        }
    }

    /// Most sources die at the same time, while many watch.
    fn storm(&mut self) {
        let until = self.now + self.dice.wait(10 * MINUTE);
        let spared = self.dice.roll(30);
        for index in 0..self.sources.len() {
            if !self.dice.percent(spared) {
                self.sources[index].dead_until = until;
            }
        }
        for index in 0..self.children.len() {
            let child = &self.children[index];
            if self.sources[child.channel].dead_until == until {
                let generation = child.generation;
                let after = self.dice.roll(300);
                self.plan(self.now + after, What::Exit(generation, 0));
            }
        }
        for index in 0..self.people.len() {
            if self.people[index].viewer.is_none() && self.dice.percent(70) {
                let after = self.dice.roll(20 * SECOND);
                self.plan_person(index, after);
            }
        }
    }

    /// A late report about a child that is long gone, or never was.
    fn stale(&mut self) {
        let slot = SlotIndex(self.dice.roll(self.slots_len as u64) as u8);
        let newest = self.children.iter().map(|child| child.generation).max().unwrap_or(1);
        let living: Vec<u64> = self.children.iter().map(|child| child.generation).collect();
        let mut stale = newest.saturating_sub(self.dice.between(1, 4));
        while living.contains(&stale) {
            stale = stale.saturating_sub(1);
        }
        let generation = Generation(stale);
        let now = Mono(self.now);
        let event = match self.dice.roll(6) {
            0 => Event::Output { slot, generation },
            1 => Event::Exited { slot, generation, end: End::Plain },
            2 => Event::Heard { slot, generation, output_at: now, picture_at: now, played_ms: None, silent_ms_max: 0 },
            3 => Event::Useless { slot, generation, failure: Failure::NotTs },
            4 => Event::Unsuited { slot, generation, needs: Needs::Work(Work::Sound) },
            _ => Event::SpawnFailed { slot, generation },
        };
        self.tell(event);
    }

    /// The daemon is killed, and all of its children with it; another one reads back what it wrote.
    fn crash(&mut self) {
        let mut text = String::new();
        if self.pool.remember(&mut text).is_err() {
            self.complain("I25", "it cannot remember");
        }
        if let Some(trace) = &mut self.trace {
            trace.say(self.now, &format!("the daemon is killed, and reads back: {text}"));
        }
        self.children.clear();
        self.happenings.retain(|Reverse((_, _, what))| !matches!(what, What::Probed(..)));
        self.pool = self.new_pool();
        self.pool.recall(Mono(self.now), &text, false);
        self.facts_told = false;
        self.observer.daemon_crashed(Mono(self.now));
        self.observer.compare(self.pool.channels(Mono(self.now)), self.pool.slots(Mono(self.now)));
        self.observer.compare_ledger(self.pool.restarts_in_window(Mono(self.now)));
        for index in 0..self.people.len() {
            if self.people[index].viewer.take().is_some() {
                let after = self.dice.between(500, 5 * SECOND);
                self.plan_person(index, after);
            }
        }
    }

    /// Thousands of dead channels, one after the other: what remembers them gets full.
    fn walk(&mut self, step: u32) {
        if step > 3_000 || self.draining {
            return;
        }
        self.next_viewer += 1;
        let viewer = ViewerId(self.next_viewer);
        let sources = Sources::one(ChannelId(1_000 + step), Work::Copy, SourceClass::File);
        self.tell_facts();
        self.tell(Event::Ask { viewer, tuner: None, share: Share::BOX, sources });
        self.tell(Event::Leave { viewer });
        self.plan(self.now + 210, What::Walk(step + 1));
    }

    // ---- Children ---------------------------------------------------------------------------------------------------------

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Start { slot, generation, channel, kind, work, .. } => {
                self.outcome.spawns += 1;
                self.outcome.restarts += u64::from(kind != Kind::Cold);
                self.outcome.probes += u64::from(kind == Kind::Probe);
                self.birth(slot.0, generation.0, channel, work);
            }
            Effect::Terminate { generation, .. } => {
                if let Some((now, child)) = self.child(generation.0) {
                    child.dying = true;
                    if let Some(after) = child.term {
                        self.plan(now + after, What::Exit(generation.0, 0));
                    }
                }
            }
            Effect::Kill { generation, .. } => {
                if let Some((now, child)) = self.child(generation.0) {
                    let after = child.kill;
                    self.plan(now + after, What::Exit(generation.0, 0));
                }
            }
            Effect::Admit { viewer, .. } => self.person_admitted(viewer.0),
            Effect::Refuse { viewer, refusal } => self.person_refused(viewer.0, refusal),
            Effect::Close { viewer, .. } => {
                if let Some(index) = self.watching(viewer.0) {
                    self.people[index].viewer = None;
                    let after = match self.people[index].habit {
                        Habit::Stubborn | Habit::Kodi => SECOND,
                        _ => self.dice.wait(10 * SECOND),
                    };
                    self.plan_person(index, after);
                }
            }
            Effect::Probe { slot, generation, .. } => {
                let now = self.now;
                let child = self.children.iter().find(|child| child.generation == generation.0).cloned();
                let result = match child {
                    _ if self.dice.once_in(40) => 2,
                    Some(child) if child.doubtful => *self.dice.pick(&[0, 1, 1, 1, 1, 1, 2]),
                    Some(child) if now >= child.spoils_at => {
                        if self.dice.once_in(6) {
                            2
                        } else {
                            1
                        }
                    }
                    _ => 0,
                };
                let after = if result == 2 { 9 * SECOND } else { self.dice.between(150, 1_500) };
                self.plan(now + after, What::Probed(slot.0, generation.0, result));
            }
            Effect::Note(pure::rules::pool::Note::Opened { .. }) => self.outcome.openings += 1,
            Effect::Quarantine { .. } | Effect::Gap { .. } | Effect::Note(_) => {}
        }
    }

    fn birth(&mut self, slot: u8, generation: u64, channel: ChannelId, work: Work) {
        let now = self.now;
        let walked = channel.0 >= 1_000;
        let index = if walked { 0 } else { channel.0 as usize };
        let source = self.sources[index].clone();
        let dead = Fate::Dies { after: 20, end: End::Failed(Failure::Connect) };
        let fate = match source.fate {
            _ if walked || source.dead_until > now => dead,
            Fate::Moody if self.dice.percent(50) => Fate::Lives,
            Fate::Moody => *self.dice.pick(&[dead, Fate::Mute, Fate::Flaps(1_000, 40_000), Fate::FallsSilent(8_000)]),
            Fate::Unsuited(needs) if work >= needs => Fate::Lives,
            fate => fate,
        };
        let start = now + self.dice.between(source.start.0, source.start.1);
        let mut child = Child {
            generation,
            slot,
            channel: index,
            first: None,
            packet_every: source.packet_every,
            output_until: Ms::MAX,
            picture_until: Ms::MAX,
            spoils_at: Ms::MAX,
            doubtful: false,
            term: source.term.map(|most| self.dice.roll(most + 1)),
            kill: if source.kill > SECOND && self.dice.percent(50) { source.kill } else { self.dice.roll(50) },
            dying: false,
        };
        match fate {
            Fate::Lives | Fate::Moody => self.plan(start, What::First(generation)),
            Fate::Dies { after, end } => self.plan(now + after, What::Exit(generation, end_index(end))),
            Fate::Flaps(low, high) => {
                let lives = self.dice.between(low, high);
                self.plan(start, What::First(generation));
                let end = end_index(*self.dice.pick(&[End::Plain, End::Finished, End::Failed(Failure::Crash)]));
                self.plan(start + lives, What::Exit(generation, end));
            }
            Fate::Mute => {}
            Fate::FallsSilent(after) => {
                child.output_until = start + after;
                child.picture_until = start + after;
                self.plan(start, What::First(generation));
            }
            Fate::Freezes(after) => {
                child.picture_until = start + after;
                self.plan(start, What::First(generation));
            }
            Fate::NotTs => self.plan(start, What::Useless(generation, false)),
            Fate::Closes(after) => {
                if after > 0 {
                    self.plan(start, What::First(generation));
                    child.output_until = start + after;
                    child.picture_until = start + after;
                }
                self.plan(start + after, What::Useless(generation, true));
            }
            Fate::Unsuited(needs) => self.plan(start, What::Unsuited(generation, needs)),
            Fate::Spoils(after) => {
                child.spoils_at = start + after;
                self.plan(start, What::First(generation));
            }
            Fate::Doubtful => {
                child.doubtful = true;
                self.plan(start, What::First(generation));
            }
            Fate::NotBorn(percent) => {
                if self.dice.percent(percent) {
                    self.plan(now, What::SpawnFailed(generation));
                } else {
                    self.plan(start, What::First(generation));
                }
            }
        }
        self.children.push(child);
    }

    // ---- People -----------------------------------------------------------------------------------------------------------

    fn watching(&self, viewer: u64) -> Option<usize> {
        self.people.iter().position(|person| person.viewer == Some(viewer))
    }

    fn person_acts(&mut self, index: usize) {
        let now = self.now;
        let person = &mut self.people[index];
        if let Some(viewer) = person.viewer.take() {
            // He has enough of this channel, or of this evening.
            self.tell(Event::Leave { viewer: ViewerId(viewer) });
            let person = &self.people[index];
            let after = match person.habit {
                _ if now >= person.session_until => self.dice.wait(person.idle),
                Habit::Zapper => self.dice.between(50, 800),
                Habit::Kodi => self.dice.between(300, 2 * SECOND),
                _ => self.dice.wait(5 * SECOND),
            };
            self.plan_person(index, after);
            return;
        }
        if now >= person.session_until {
            person.session_until = now + self.dice.wait(person.length);
            person.watches = *self.dice.pick(&person.channels);
        } else if person.habit == Habit::Zapper || person.habit != Habit::Kodi && self.dice.once_in(6) {
            person.watches = *self.dice.pick(&person.channels);
        }
        self.next_viewer += 1;
        let viewer = self.next_viewer;
        person.viewer = Some(viewer);
        let (channel, habit) = (person.watches, person.habit);
        let tuner = person.tuner.map(SlotIndex);
        let source = &self.sources[channel];
        let (work, class) = (source.work, source.class);
        // When he gives up waiting; who is admitted plans anew.
        let patience = match habit {
            Habit::Hasty => self.dice.between(10, 8 * SECOND),
            Habit::Kodi if self.dice.percent(50) => self.dice.between(10, 500),
            Habit::Zapper => self.dice.between(SECOND, 8 * SECOND),
            _ => HOUR,
        };
        self.plan_person(index, patience);
        self.tell_facts();
        let sources = Sources::one(ChannelId(channel as u32), work, class);
        self.tell(Event::Ask { viewer: ViewerId(viewer), tuner, share: Share::BOX, sources });
    }

    fn person_admitted(&mut self, viewer: u64) {
        let Some(index) = self.watching(viewer) else { return };
        let person = &self.people[index];
        let left = person.session_until.saturating_sub(self.now).max(SECOND);
        let after = match person.habit {
            Habit::Zapper => self.dice.wait(6 * SECOND),
            Habit::Kodi if self.dice.percent(50) => self.dice.between(10, 400),
            Habit::Hasty => self.dice.wait(30 * SECOND),
            Habit::Stubborn => left,
            _ => left.min(self.dice.wait(20 * MINUTE)),
        };
        self.plan_person(index, after);
    }

    fn person_refused(&mut self, viewer: u64, refusal: Refusal) {
        let Some(index) = self.watching(viewer) else { return };
        let now = self.now;
        let person = &mut self.people[index];
        person.viewer = None;
        let after = match person.habit {
            _ if now >= person.session_until => self.dice.wait(person.idle),
            Habit::Stubborn | Habit::Kodi => SECOND,
            Habit::Obedient => u64::from(refusal.retry_after_s()) * SECOND,
            Habit::Zapper => self.dice.between(50, SECOND),
            Habit::Patient | Habit::Hasty => self.dice.wait(20 * SECOND),
        };
        self.plan_person(index, after);
    }
}

fn source(dice: &mut Dice, ill: u64) -> Source {
    let fate = if !dice.percent(ill) {
        Fate::Lives
    } else {
        match dice.roll(20) {
            0 | 1 => Fate::Dies { after: dice.between(0, 60), end: *dice.pick(&ENDS) },
            2 => Fate::Dies { after: dice.between(200, 15 * SECOND), end: *dice.pick(&ENDS) },
            3 | 4 => {
                let low = dice.between(100, 120 * SECOND);
                Fate::Flaps(low, low + dice.roll(30 * SECOND))
            }
            5 | 6 => Fate::Mute,
            7 | 8 => Fate::FallsSilent(dice.between(0, 200 * SECOND)),
            9 => Fate::Freezes(dice.between(0, 200 * SECOND)),
            10 => Fate::NotTs,
            11 => Fate::Closes(if dice.once_in(2) { 0 } else { dice.between(1, 60 * SECOND) }),
            12 => Fate::Unsuited(*dice.pick(&[Work::Sound, Work::Encode])),
            13 | 14 => Fate::Spoils(dice.between(0, 60 * SECOND)),
            15 => Fate::Doubtful,
            16 => Fate::NotBorn(dice.between(20, 100)),
            _ => Fate::Moody,
        }
    };
    let class = if dice.percent(20) { SourceClass::File } else { SourceClass::Live };
    let start = match dice.roll(6) {
        0 => (0, 0),
        1..=3 => (200, 3 * SECOND),
        4 => (3 * SECOND, 12 * SECOND),
        _ => (17 * SECOND, 21 * SECOND),
    };
    Source {
        class,
        work: if dice.percent(30) && !matches!(fate, Fate::Unsuited(_)) { Work::Encode } else { Work::Copy },
        fate,
        start: if dice.percent(ill) { start } else { (100, 2 * SECOND) },
        packet_every: if dice.once_in(10) { dice.between(SECOND, 12 * SECOND) } else { 250 },
        term: match dice.roll(10) {
            0 => None,
            1 => Some(3 * SECOND),
            2..=4 => Some(0),
            _ => Some(200),
        },
        kill: if dice.once_in(30) { dice.between(4 * SECOND, 4 * MINUTE) } else { 0 },
        dead_until: 0,
    }
}

fn person(dice: &mut Dice, channels_len: usize, slots_len: usize) -> Person {
    let habit = match dice.roll(12) {
        0..=3 => Habit::Patient,
        4 => Habit::Zapper,
        5 | 6 => Habit::Stubborn,
        7 | 8 => Habit::Obedient,
        9 => Habit::Hasty,
        _ => Habit::Kodi,
    };
    let len = dice.between(1, 5);
    let (idle, length) = match habit {
        Habit::Stubborn => (8 * HOUR, 6 * MINUTE),
        Habit::Zapper | Habit::Hasty => (8 * HOUR, 6 * MINUTE),
        Habit::Kodi => (7 * HOUR, 10 * MINUTE),
        Habit::Patient | Habit::Obedient => (5 * HOUR, 70 * MINUTE),
    };
    // Somebody records, or leaves it on, all day.
    let (idle, length) = if dice.percent(20) && matches!(habit, Habit::Patient | Habit::Obedient) {
        (30 * MINUTE, 10 * HOUR)
    } else {
        (idle, length)
    };
    Person {
        habit,
        channels: (0..len).map(|_| dice.index(channels_len)).collect(),
        tuner: dice.once_in(8).then(|| if dice.once_in(30) { slots_len as u8 } else { dice.index(slots_len) as u8 }),
        viewer: None,
        watches: 0,
        session_until: 0,
        plan: 0,
        idle,
        length,
    }
}

/// What a run over many seeds must reach.
pub const WANTED: &[Point] = Point::ALL;

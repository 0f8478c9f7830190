//! Alarms: what is wrong with the box as a whole, by name, with a level, raised and cleared with hysteresis.
//!
//! A sign goes in, and what changed comes out. Signs of one cause are clustered: an alarm that is raised again soon is
//! the same one, with a count and the times of its first and last sign. What is *not* here: words for people, logs,
//! and faults of the set-up such as a taken port (`observe::problems`); what is wrong with one channel
//! ([`crate::rules::pool`]).
//!
//! Nothing here allocates, and nothing happens by itself: [`Alarms::on`] with [`Sign::Tick`] lets time pass. Whoever
//! reads should do that first.

use crate::limits::{
    ALARM_CLUSTER_MS, ALARM_FALL_MS, BOARD_ALARM_MS, CHILD_FDS, COPY_MEMORY_BYTES, CRASH_CHANNELS_MIN, CRASH_WINDOW_MS,
    CRASHES_MAX, ESCALATION_WINDOW_MS, ESCALATIONS_MAX, OOM_ALARM_MS, PRESSURE_HOLD_MS, PRESSURE_KEEP_PERCENT,
    PRESSURE_PERCENT, RESERVE_FDS, RESERVE_MEMORY_BYTES, RESTARTS_MAX, STALL_ALARM_MS, STALL_CRITICAL_MS,
    STALL_WARNING_MS, STORM_ALARM_MS, STORM_WINDOW_MS, STORMS_CRITICAL, THROTTLE_WINDOW_MS, VELOCITY_CRITICAL,
    VELOCITY_CRITICAL_KEEP, VELOCITY_WARNING, VELOCITY_WARNING_KEEP, VELOCITY_WINDOW_MS,
};
use crate::model::lineup::ChannelId;
use crate::rules::admission::{BoardFacts, Short};
use crate::time::Mono;

/// Which alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Children are restarted often.
    RestartVelocity,
    /// So many restarts are wanted that the throttle holds some back.
    RestartStorm,
    /// Nearly all slots are taken. That is what they are for: it warns those who plan, and is nobody's fault.
    PoolPressure,
    /// Half of what was watched lately cannot be had (B12).
    UpstreamOutage,
    /// FFmpeg crashes on several channels (F03).
    FfmpegUnhealthy,
    /// There is too little memory to start more, or a child was ended for want of it (F04, K03).
    Memory,
    /// A child cannot be ended and keeps its slot (F06).
    SlotQuarantined,
    /// The executor stood still (K12).
    LoopStall,
    /// There are too few file descriptors to start more, or none at all (K01, K02).
    Fds,
}

impl Alarm {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::RestartVelocity,
        Self::RestartStorm,
        Self::PoolPressure,
        Self::UpstreamOutage,
        Self::FfmpegUnhealthy,
        Self::Memory,
        Self::SlotQuarantined,
        Self::LoopStall,
        Self::Fds,
    ];

    /// Its name in API, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RestartVelocity => "restart_velocity",
            Self::RestartStorm => "restart_storm",
            Self::PoolPressure => "pool_pressure",
            Self::UpstreamOutage => "upstream_outage",
            Self::FfmpegUnhealthy => "ffmpeg_unhealthy",
            Self::Memory => "memory",
            Self::SlotQuarantined => "slot_quarantined",
            Self::LoopStall => "loop_stall",
            Self::Fds => "fds",
        }
    }

    /// How long its reason must last before it is raised.
    const fn rise_after_ms(self) -> u64 {
        match self {
            // Whoever zaps takes a second slot for a moment.
            Self::PoolPressure => PRESSURE_HOLD_MS,
            _ => 0,
        }
    }

    /// How long its reason must be gone before it falls. What is told by single signs has its time in
    /// [`Record::until`].
    const fn fall_after_ms(self) -> u64 {
        match self {
            Self::PoolPressure => PRESSURE_HOLD_MS,
            Self::RestartVelocity => ALARM_FALL_MS,
            _ => 0,
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing; the box does its work.
    Warning,
    /// Somebody has no picture, or soon will have none.
    Critical,
}

impl Level {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Warning, Self::Critical];

    /// Its name in API, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How many slots are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounts {
    /// All.
    pub all: usize,
    /// Not free, for whatever reason.
    pub taken: usize,
    /// With a picture.
    pub playing: usize,
    /// Given up.
    pub quarantined: usize,
}

/// What happened, as far as alarms care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A permit for a restart or for a probe of an open breaker was spent.
    Restarted,
    /// The throttle holds a restart back.
    Throttled {
        /// It is the first after a quiet minute.
        storm: bool,
    },
    /// Half of the channels in use are open, or no longer.
    Outage(bool),
    /// A child was ended by a signal that we did not send.
    Crashed(ChannelId),
    /// A child was ended for want of memory.
    OutOfMemory,
    /// Admission turned a child away.
    Short(Short),
    /// The kernel refused a file descriptor.
    FdsExhausted,
    /// The pool looks like this now.
    Slots(SlotCounts),
    /// The board was looked at.
    Board(BoardFacts),
    /// The executor came this much too late.
    Stalled {
        /// Milliseconds.
        ms: u64,
    },
    /// Nothing but time.
    Tick,
}

/// An alarm as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Which.
    pub alarm: Alarm,
    /// How bad; `None`: not raised.
    pub level: Option<Level>,
    /// Raised since then, at whichever level.
    pub since: Mono,
    /// Its first sign in this cluster.
    pub first: Mono,
    /// Its last one.
    pub last: Mono,
    /// Its signs in this cluster; 0 when there never was one.
    pub count: u32,
    /// What was measured: restarts in [`VELOCITY_WINDOW_MS`], storms in [`STORM_WINDOW_MS`], slots, batches of crashes,
    /// bytes of memory or descriptors, the longest stall in milliseconds.
    pub value: u64,
    /// What `value` is a part of, where it is one: all slots, the limit of descriptors.
    pub of: u64,
}

/// An alarm that was raised, cleared, or changed its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub alarm: Alarm,
    /// What it was.
    pub before: Option<Level>,
    /// What it is.
    pub level: Option<Level>,
}

/// What one sign changed.
pub type Changes = heapless::Vec<Change, { Alarm::ALL.len() }>;

/// Why only a fresh start can help (E1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escalation {
    /// Not one slot is left.
    AllSlotsQuarantined,
    /// FFmpeg crashed again and again, and plays nothing.
    FfmpegUnhealthy,
}

/// What is known about one alarm.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    level: Option<Level>,
    since: Mono,
    first: Mono,
    last: Mono,
    count: u32,
    /// Signs since the last update.
    fresh: u32,
    /// For alarms of single signs: until when they hold, at [`Level::Warning`] and [`Level::Critical`].
    until: [Mono; 2],
    rising_since: Option<Mono>,
    falling_since: Option<Mono>,
}

impl Record {
    /// Notes a sign that counts until then.
    fn sign(&mut self, level: Level, until: Mono) {
        let [warning, critical] = &mut self.until;
        match level {
            Level::Warning => *warning = until.max(*warning),
            Level::Critical => *critical = until.max(*critical),
        }
        self.fresh = self.fresh.saturating_add(1);
    }

    fn held(&self, now: Mono) -> Option<Level> {
        let [warning, critical] = self.until;
        if now < critical { Some(Level::Critical) } else { (now < warning).then_some(Level::Warning) }
    }
}

/// What an alarm asks for at a moment.
struct Measure {
    /// It is raised to this.
    raise: Option<Level>,
    /// It does not fall below this.
    keep: Option<Level>,
    value: u64,
    of: u64,
}

impl Measure {
    const fn held(level: Option<Level>, value: u64, of: u64) -> Self {
        Self { raise: level, keep: level, value, of }
    }
}

/// All alarms.
#[derive(Debug, Default)]
pub struct Alarms {
    records: [Record; Alarm::ALL.len()],
    /// As many as the throttle lets through in [`VELOCITY_WINDOW_MS`].
    restarts: heapless::HistoryBuffer<Mono, RESTARTS_KEPT>,
    storms: heapless::HistoryBuffer<Mono, STORMS_CRITICAL>,
    outage: bool,
    /// Crashes that have not been part of an alarm yet.
    crashes: heapless::HistoryBuffer<(Mono, ChannelId), CRASHES_MAX>,
    /// When FFmpeg was last found unhealthy.
    unhealthy: heapless::HistoryBuffer<Mono, ESCALATIONS_MAX>,
    slots: SlotCounts,
    memory_available_bytes: u64,
    fds: (u32, u32),
    stall_ms: u64,
}

#[expect(clippy::cast_possible_truncation, reason = "a ratio of two constants, five")]
const RESTARTS_KEPT: usize = RESTARTS_MAX * VELOCITY_WINDOW_MS.div_ceil(THROTTLE_WINDOW_MS) as usize;
const _: () = assert!(RESTARTS_KEPT >= VELOCITY_CRITICAL, "as many are kept as are asked for");

impl Alarms {
    /// Takes a sign, and says which alarms it changed.
    pub fn on(&mut self, now: Mono, sign: Sign) -> Changes {
        match sign {
            Sign::Restarted => self.restarts.write(now),
            Sign::Throttled { storm } => {
                if storm {
                    self.storms.write(now);
                }
                let until = now.plus_ms(STORM_ALARM_MS);
                if storm || self.level(Alarm::RestartStorm).is_some() {
                    let level = if self.storms_len(now) >= STORMS_CRITICAL { Level::Critical } else { Level::Warning };
                    self.record(Alarm::RestartStorm).sign(level, until);
                }
            }
            Sign::Outage(outage) => self.outage = outage,
            Sign::Crashed(channel) => self.crashed(now, channel),
            Sign::OutOfMemory => self.record(Alarm::Memory).sign(Level::Critical, now.plus_ms(OOM_ALARM_MS)),
            Sign::Short(Short::Memory) => self.is_short(now, Alarm::Memory),
            Sign::Short(Short::Fds) => self.is_short(now, Alarm::Fds),
            // FFmpeg that is missing is a problem of its own, and heat has no alarm.
            Sign::Short(_) | Sign::Tick => {}
            Sign::FdsExhausted => self.record(Alarm::Fds).sign(Level::Critical, now.plus_ms(BOARD_ALARM_MS)),
            Sign::Slots(slots) => self.slots = slots,
            Sign::Board(facts) => self.board(now, &facts),
            Sign::Stalled { ms } => self.stalled(now, ms),
        }
        self.update(now)
    }

    /// Whether only a fresh start can help. It waits for as long as anything plays: a restart would take that away,
    /// too.
    pub fn escalation(&self, now: Mono) -> Option<Escalation> {
        let SlotCounts { all, playing, quarantined, .. } = self.slots;
        let unhealthy = self.unhealthy.as_slice().iter().filter(|at| now.ms_since(**at) < ESCALATION_WINDOW_MS).count();
        if all > 0 && quarantined == all {
            Some(Escalation::AllSlotsQuarantined)
        } else {
            (unhealthy >= ESCALATIONS_MAX && playing == 0).then_some(Escalation::FfmpegUnhealthy)
        }
    }

    /// All alarms, raised or not.
    pub fn views(&self, now: Mono) -> impl Iterator<Item = View> {
        Alarm::ALL.into_iter().zip(&self.records).map(move |(alarm, record)| {
            let Measure { value, of, .. } = self.measure(alarm, now);
            let Record { level, since, first, last, count, .. } = *record;
            View { alarm, level, since, first, last, count, value, of }
        })
    }

    fn level(&mut self, alarm: Alarm) -> Option<Level> {
        self.record(alarm).level
    }

    fn record(&mut self, alarm: Alarm) -> &mut Record {
        self.records.get_mut(alarm as usize).expect("each alarm has a record")
    }

    fn storms_len(&self, now: Mono) -> usize {
        self.storms.as_slice().iter().filter(|at| now.ms_since(**at) < STORM_WINDOW_MS).count()
    }

    /// F03. A batch of crashes counts once; the next alarm needs new ones.
    fn crashed(&mut self, now: Mono, channel: ChannelId) {
        self.crashes.write((now, channel));
        let recent = || self.crashes.as_slice().iter().filter(|(at, _)| now.ms_since(*at) < CRASH_WINDOW_MS);
        let others = recent().filter(|(_, other)| *other != channel).count();
        let until = now.plus_ms(CRASH_WINDOW_MS);
        if recent().count() >= CRASHES_MAX && others >= CRASH_CHANNELS_MIN - 1 {
            self.crashes.clear();
            self.unhealthy.write(now);
            self.record(Alarm::FfmpegUnhealthy).sign(Level::Critical, until);
        } else {
            // One more of the same keeps it up.
            let [_, critical] = &mut self.record(Alarm::FfmpegUnhealthy).until;
            if now < *critical {
                *critical = until;
            }
        }
    }

    fn is_short(&mut self, now: Mono, alarm: Alarm) {
        self.record(alarm).sign(Level::Warning, now.plus_ms(BOARD_ALARM_MS));
    }

    fn board(&mut self, now: Mono, facts: &BoardFacts) {
        self.memory_available_bytes = facts.memory_available_bytes.unwrap_or_default();
        self.fds = (facts.fds_open, facts.fds_limit);
        let mut low = |alarm: Alarm, is_low: bool| {
            // A look says how it is, not that something happened: only the first one counts.
            let record = self.record(alarm);
            if is_low && record.level.is_some() {
                let [warning, _] = &mut record.until;
                *warning = now.plus_ms(BOARD_ALARM_MS).max(*warning);
            } else if is_low {
                record.sign(Level::Warning, now.plus_ms(BOARD_ALARM_MS));
            }
        };
        low(
            Alarm::Memory,
            facts.memory_available_bytes.is_some_and(|bytes| bytes < COPY_MEMORY_BYTES + RESERVE_MEMORY_BYTES),
        );
        low(Alarm::Fds, facts.fds_open.saturating_add(CHILD_FDS) > facts.fds_limit.saturating_sub(RESERVE_FDS));
    }

    fn stalled(&mut self, now: Mono, ms: u64) {
        if ms < STALL_WARNING_MS {
            return;
        }
        self.stall_ms = if self.level(Alarm::LoopStall).is_some() { ms.max(self.stall_ms) } else { ms };
        let level = if ms >= STALL_CRITICAL_MS { Level::Critical } else { Level::Warning };
        self.record(Alarm::LoopStall).sign(level, now.plus_ms(STALL_ALARM_MS));
    }

    /// What an alarm is worth now, and where it rises and falls.
    fn measure(&self, alarm: Alarm, now: Mono) -> Measure {
        let held = self.records.get(alarm as usize).and_then(|record| record.held(now));
        let SlotCounts { all, taken, quarantined, .. } = self.slots;
        match alarm {
            Alarm::RestartVelocity => {
                let count =
                    self.restarts.as_slice().iter().filter(|at| now.ms_since(**at) < VELOCITY_WINDOW_MS).count();
                let level = |warning, critical| {
                    if count >= critical { Some(Level::Critical) } else { (count >= warning).then_some(Level::Warning) }
                };
                Measure {
                    raise: level(VELOCITY_WARNING, VELOCITY_CRITICAL),
                    keep: level(VELOCITY_WARNING_KEEP, VELOCITY_CRITICAL_KEEP),
                    value: count as u64,
                    of: 0,
                }
            }
            Alarm::PoolPressure => {
                let above = |percent| (all > 0 && 100 * taken >= percent * all).then_some(Level::Warning);
                Measure {
                    raise: above(PRESSURE_PERCENT),
                    keep: above(PRESSURE_KEEP_PERCENT),
                    value: taken as u64,
                    of: all as u64,
                }
            }
            Alarm::SlotQuarantined => {
                let level = if 2 * quarantined >= all { Level::Critical } else { Level::Warning };
                Measure::held((quarantined > 0).then_some(level), quarantined as u64, all as u64)
            }
            Alarm::UpstreamOutage => Measure::held(self.outage.then_some(Level::Critical), u64::from(self.outage), 0),
            Alarm::RestartStorm => Measure::held(held, self.storms_len(now) as u64, 0),
            Alarm::FfmpegUnhealthy => Measure::held(held, self.unhealthy.len() as u64, 0),
            Alarm::Memory => Measure::held(held, self.memory_available_bytes, 0),
            Alarm::LoopStall => Measure::held(held, self.stall_ms, 0),
            Alarm::Fds => Measure::held(held, self.fds.0.into(), self.fds.1.into()),
        }
    }

    fn update(&mut self, now: Mono) -> Changes {
        let mut changes = Changes::new();
        for alarm in Alarm::ALL {
            let Measure { raise, keep, .. } = self.measure(alarm, now);
            let record = self.record(alarm);
            let before = record.level;
            let waited = |since: &mut Option<Mono>, holds: bool, ms: u64| {
                if holds {
                    now.ms_since(*since.get_or_insert(now)) >= ms
                } else {
                    *since = None;
                    false
                }
            };
            if waited(&mut record.rising_since, raise > before, alarm.rise_after_ms()) {
                record.level = raise;
            }
            if waited(&mut record.falling_since, keep < before, alarm.fall_after_ms()) {
                record.level = keep;
            }
            let fresh = core::mem::take(&mut record.fresh);
            if record.level.is_some() {
                if before.is_none() {
                    if record.count == 0 || now.ms_since(record.last) > ALARM_CLUSTER_MS {
                        record.first = now;
                        record.count = 0;
                    }
                    record.since = now;
                    record.count = record.count.saturating_add(fresh.max(1));
                    record.last = now;
                } else if fresh > 0 || (raise.is_some() && record.until == [Mono(0); 2]) {
                    record.count = record.count.saturating_add(fresh);
                    record.last = now;
                }
            }
            if record.level != before {
                let pushed = changes.push(Change { alarm, before, level: record.level });
                assert!(pushed.is_ok(), "there is room for one change of each alarm");
                (record.rising_since, record.falling_since) = (None, None);
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const A: ChannelId = ChannelId(1);
    const B: ChannelId = ChannelId(2);
    const MIB: u64 = 1024 * 1024;

    /// Alarms on a time-line in seconds.
    #[derive(Default)]
    struct Story {
        alarms: Alarms,
        now: Mono,
        told: Vec<(u64, &'static str, Option<Level>)>,
    }

    impl Story {
        fn at(&mut self, second: u64, sign: Sign) -> &mut Self {
            assert!(self.now <= Mono(second * 1_000), "time goes on");
            self.now = Mono(second * 1_000);
            for change in self.alarms.on(self.now, sign) {
                assert_ne!(change.before, change.level);
                self.told.push((second, change.alarm.name(), change.level));
            }
            self
        }

        /// A tick each second until then.
        fn until(&mut self, second: u64) -> &mut Self {
            for second in self.now.0 / 1_000 + 1..=second {
                self.at(second, Sign::Tick);
            }
            self
        }

        fn told(&mut self) -> Vec<(u64, &'static str, Option<Level>)> {
            core::mem::take(&mut self.told)
        }

        fn view(&self, alarm: Alarm) -> View {
            self.alarms.views(self.now).find(|view| view.alarm == alarm).unwrap()
        }
    }

    const WARNING: Option<Level> = Some(Level::Warning);
    const CRITICAL: Option<Level> = Some(Level::Critical);

    fn slots(all: usize, taken: usize, playing: usize, quarantined: usize) -> Sign {
        Sign::Slots(SlotCounts { all, taken, playing, quarantined })
    }

    #[test]
    fn restarts_warn_at_one_in_two_minutes_and_are_critical_at_two_a_minute() {
        let mut story = Story::default();
        story.at(0, Sign::Restarted).at(100, Sign::Restarted);
        assert_eq!(story.told(), []);
        // Three in five minutes are 0.6 a minute, two were 0.4.
        story.at(200, Sign::Restarted);
        assert_eq!(story.told(), [(200, "restart_velocity", WARNING)]);
        // At 300 the first is gone, at 400 the second: only one is left, and after another minute the alarm falls.
        story.until(600);
        assert_eq!(story.told(), [(460, "restart_velocity", None)]);
        for second in 700..709 {
            story.at(second, Sign::Restarted);
        }
        assert_eq!(story.told(), [(702, "restart_velocity", WARNING)]);
        story.at(709, Sign::Restarted);
        assert_eq!(story.told(), [(709, "restart_velocity", CRITICAL)]);
        assert_eq!(story.view(Alarm::RestartVelocity).value, 10);
        // From 1002 on it is worth less than critical; a minute later it falls to what it is worth then.
        story.until(1_060).at(1_061, Sign::Restarted).at(1_061, Sign::Restarted).until(1_200);
        assert_eq!(story.told(), [(1_062, "restart_velocity", WARNING)]);
        story.until(1_420);
        assert_eq!(story.told(), []);
        story.until(1_421);
        assert_eq!(story.told(), [(1_421, "restart_velocity", None)]);
    }

    #[test]
    fn a_storm_is_one_alarm_however_often_it_blows() {
        let mut story = Story::default();
        story.at(10, Sign::Throttled { storm: false });
        assert_eq!(story.told(), [], "one that waits is no storm");
        story.at(20, Sign::Throttled { storm: true }).at(50, Sign::Throttled { storm: false });
        story.at(200, Sign::Throttled { storm: true });
        assert_eq!(story.told(), [(20, "restart_storm", WARNING)]);
        let view = story.view(Alarm::RestartStorm);
        assert_eq!((view.count, view.first, view.last, view.value), (3, Mono(20_000), Mono(200_000), 2));
        story.at(400, Sign::Throttled { storm: true });
        assert_eq!(story.told(), [(400, "restart_storm", CRITICAL)], "three are what a soak fails at");
        story.until(800);
        assert_eq!(story.told(), [(700, "restart_storm", None)]);
        // Again within the cluster: still the same story.
        story.at(900, Sign::Throttled { storm: true });
        let view = story.view(Alarm::RestartStorm);
        assert_eq!((view.count, view.first, view.since), (5, Mono(20_000), Mono(900_000)));
        story.until(10_000).at(10_000, Sign::Throttled { storm: true });
        let view = story.view(Alarm::RestartStorm);
        assert_eq!((view.count, view.first, view.level), (1, Mono(10_000_000), WARNING));
    }

    #[test]
    fn full_is_a_warning_and_a_moment_is_none() {
        let mut story = Story::default();
        story.at(0, slots(4, 4, 4, 0)).until(9);
        story.at(9, slots(4, 3, 3, 0)).at(10, slots(4, 4, 4, 0)).until(19);
        assert_eq!(story.told(), []);
        story.until(20);
        assert_eq!(story.told(), [(20, "pool_pressure", WARNING)]);
        story.at(30, slots(4, 3, 3, 0)).at(35, slots(4, 4, 4, 0)).until(60);
        assert_eq!(story.told(), []);
        story.at(61, slots(4, 3, 3, 0)).until(90);
        assert_eq!(story.told(), [(71, "pool_pressure", None)]);
        for (taken, level) in [(8, None), (9, WARNING), (10, WARNING)] {
            let mut story = Story::default();
            story.at(0, slots(10, taken, 0, 0)).until(20);
            assert_eq!(story.view(Alarm::PoolPressure).level, level, "{taken} of 10");
        }
        let mut empty = Story::default();
        empty.at(0, slots(0, 0, 0, 0)).until(20);
        assert_eq!(empty.told(), []);
    }

    #[test]
    fn ffmpeg_is_unhealthy_when_it_crashes_on_two_channels() {
        let mut story = Story::default();
        for second in 0..6 {
            story.at(second, Sign::Crashed(A));
        }
        assert_eq!(story.told(), [], "one channel alone is that channel's trouble");
        story.at(500, Sign::Crashed(B));
        assert_eq!(story.told(), [(500, "ffmpeg_unhealthy", CRITICAL)]);
        story.at(1_000, Sign::Crashed(A)).until(1_599);
        assert_eq!(story.told(), [], "one more keeps it up");
        story.until(1_600);
        assert_eq!(story.told(), [(1_600, "ffmpeg_unhealthy", None)]);
        let mut slow = Story::default();
        slow.at(0, Sign::Crashed(A)).at(300, Sign::Crashed(B)).at(600, Sign::Crashed(A));
        assert_eq!(slow.told(), [], "ten minutes later is not within ten minutes");
        slow.at(601, Sign::Crashed(A));
        assert_eq!(slow.told(), [(601, "ffmpeg_unhealthy", CRITICAL)]);
    }

    #[test]
    fn three_batches_of_crashes_escalate_unless_something_plays() {
        let mut story = Story::default();
        story.at(0, slots(4, 2, 0, 0));
        for second in 1..=8 {
            story.at(second, Sign::Crashed(if second % 2 == 0 { A } else { B }));
            assert_eq!(story.alarms.escalation(story.now), None, "{second}");
        }
        story.at(9, Sign::Crashed(B));
        assert_eq!(story.alarms.escalation(story.now), Some(Escalation::FfmpegUnhealthy));
        assert_eq!(story.view(Alarm::FfmpegUnhealthy).count, 3);
        story.at(10, slots(4, 3, 1, 0));
        assert_eq!(story.alarms.escalation(story.now), None, "a restart would take a picture away");
        story.at(11, slots(4, 2, 0, 0));
        assert_eq!(story.alarms.escalation(story.now), Some(Escalation::FfmpegUnhealthy));
        story.until(3_603);
        assert_eq!(story.alarms.escalation(story.now), None, "the first was an hour ago");
    }

    #[test]
    fn a_lost_slot_warns_and_the_last_one_escalates() {
        let mut story = Story::default();
        story.at(0, slots(4, 1, 0, 1));
        assert_eq!(story.told(), [(0, "slot_quarantined", WARNING)]);
        story.at(1, slots(4, 2, 0, 2));
        assert_eq!(story.told(), [(1, "slot_quarantined", CRITICAL)]);
        assert_eq!(story.alarms.escalation(story.now), None);
        story.at(2, slots(4, 4, 0, 4));
        assert_eq!(story.alarms.escalation(story.now), Some(Escalation::AllSlotsQuarantined));
        story.at(3, slots(4, 0, 0, 0));
        assert_eq!(story.told(), [(3, "slot_quarantined", None)]);
        assert_eq!(story.alarms.escalation(story.now), None);
        assert_eq!(Story::default().alarms.escalation(Mono(0)), None, "no slots are known yet");
    }

    #[test]
    fn memory_warns_when_nothing_more_fits_and_is_critical_after_a_kill() {
        let facts = |mib: u64| {
            Sign::Board(BoardFacts {
                memory_available_bytes: Some(mib * MIB),
                fds_open: 20,
                fds_limit: 1024,
                ffmpeg_present: true,
                ..BoardFacts::default()
            })
        };
        let mut story = Story::default();
        story.at(0, facts(160));
        assert_eq!(story.told(), []);
        story.at(10, facts(159)).at(20, facts(159)).at(60, facts(400)).until(79);
        assert_eq!(story.told(), [(10, "memory", WARNING)]);
        assert_eq!(story.view(Alarm::Memory).count, 1, "a look that finds the same is no second alarm");
        story.until(80);
        assert_eq!(story.told(), [(80, "memory", None)]);
        story.at(100, Sign::Short(Short::Memory)).at(130, Sign::OutOfMemory).until(429);
        assert_eq!(story.told(), [(100, "memory", WARNING), (130, "memory", CRITICAL)]);
        story.until(430);
        assert_eq!(story.told(), [(430, "memory", None)]);
        let unknown = Sign::Board(BoardFacts { fds_limit: 1024, ..BoardFacts::default() });
        story.at(500, unknown);
        assert_eq!(story.told(), [], "unknown is not little");
    }

    #[test]
    fn descriptors_warn_before_they_are_gone() {
        let facts = |fds_open| Sign::Board(BoardFacts { fds_open, fds_limit: 256, ..BoardFacts::default() });
        let mut story = Story::default();
        story.at(0, facts(256 - 32 - 12)).at(1, facts(256 - 32 - 11));
        assert_eq!(story.told(), [(1, "fds", WARNING)]);
        let view = story.view(Alarm::Fds);
        assert_eq!((view.value, view.of), (213, 256));
        story.at(2, Sign::FdsExhausted).at(3, Sign::Short(Short::Fds));
        assert_eq!(story.told(), [(2, "fds", CRITICAL)]);
        story.until(100);
        assert_eq!(story.told(), [(62, "fds", WARNING), (63, "fds", None)]);
        story.at(101, Sign::Short(Short::Ffmpeg));
        assert_eq!(story.told(), [], "that is a problem of its own");
    }

    #[test]
    fn a_stall_is_remembered_with_its_worst() {
        let mut story = Story::default();
        story.at(0, Sign::Stalled { ms: 499 });
        assert_eq!(story.told(), []);
        story.at(1, Sign::Stalled { ms: 2_500 }).at(2, Sign::Stalled { ms: 600 });
        assert_eq!(story.told(), [(1, "loop_stall", CRITICAL)]);
        let view = story.view(Alarm::LoopStall);
        assert_eq!((view.value, view.count), (2_500, 2));
        story.until(400);
        assert_eq!(story.told(), [(301, "loop_stall", WARNING), (302, "loop_stall", None)]);
        story.at(401, Sign::Stalled { ms: 700 });
        assert_eq!(story.view(Alarm::LoopStall).value, 700);
    }

    #[test]
    fn an_outage_lasts_as_long_as_it_lasts() {
        let mut story = Story::default();
        story.at(0, Sign::Outage(true)).until(5_000);
        assert_eq!(story.told(), [(0, "upstream_outage", CRITICAL)]);
        let view = story.view(Alarm::UpstreamOutage);
        assert_eq!((view.count, view.since, view.last), (1, Mono(0), Mono(5_000_000)));
        story.at(5_001, Sign::Outage(false));
        assert_eq!(story.told(), [(5_001, "upstream_outage", None)]);
    }

    #[test]
    fn whatever_happens_all_is_quiet_an_hour_later() {
        // Any order of any signs: an alarm never tells the same level twice in a row, a count never counts nothing,
        // and what no longer happens is forgotten.
        for seed in 1..200_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = |bound: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % bound
            };
            let mut story = Story::default();
            let mut shown = [None; Alarm::ALL.len()];
            for _ in 0..500 {
                let second = story.now.0 / 1_000 + next(40);
                let all = 4;
                let quarantined = usize::try_from(next(2)).unwrap();
                let sign = match next(11) {
                    0 => Sign::Restarted,
                    1 => Sign::Throttled { storm: next(2) == 0 },
                    2 => Sign::Outage(next(2) == 0),
                    3 => Sign::Crashed(ChannelId(u32::try_from(next(3)).unwrap())),
                    4 => Sign::OutOfMemory,
                    5 => Sign::Short([Short::Memory, Short::Fds, Short::Ffmpeg][usize::try_from(next(3)).unwrap()]),
                    6 => Sign::FdsExhausted,
                    7 => slots(all, usize::try_from(next(5)).unwrap().max(quarantined), 0, quarantined),
                    8 => Sign::Board(BoardFacts {
                        memory_available_bytes: Some(next(400) * MIB),
                        fds_open: u32::try_from(next(256)).unwrap(),
                        fds_limit: 256,
                        ..BoardFacts::default()
                    }),
                    9 => Sign::Stalled { ms: next(4_000) },
                    _ => Sign::Tick,
                };
                story.at(second, sign);
                for (_, name, level) in story.told() {
                    let index = Alarm::ALL.iter().position(|alarm| alarm.name() == name).unwrap();
                    assert_ne!(shown[index], level, "seed {seed}: {name}");
                    shown[index] = level;
                }
                for view in story.alarms.views(story.now) {
                    assert_eq!(view.level, shown[view.alarm as usize], "seed {seed}: {:?}", view.alarm);
                    assert!(view.level.is_none() || view.count > 0, "seed {seed}: {view:?}");
                    assert!(view.first <= view.last && view.last <= story.now, "seed {seed}: {view:?}");
                    assert!(view.level.is_none() || view.since >= view.first, "seed {seed}: {view:?}");
                }
            }
            let end = story.now.0 / 1_000;
            story.at(end, Sign::Outage(false)).at(end, slots(4, 0, 0, 0)).until(end + 700);
            assert!(story.alarms.views(story.now).all(|view| view.level.is_none()), "seed {seed}");
        }
    }
}

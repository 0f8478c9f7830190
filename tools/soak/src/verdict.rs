//! From evidence to a verdict. It reads no clock, no file and no socket, so that every way to fail has a test.
//!
//! The order matters: what is broken is broken, whatever else is missing; and where nothing is broken, stability is
//! claimed only if there was enough to break.

use crate::metrics::above;

/// Bars of the guard that no option moves. Source: the daemon's rules for restarts.
const RESTARTS_MAX: f64 = 10.0;
const THROTTLE_WINDOW_S: f64 = 60.0;
const COOLDOWN_S: f64 = 30.0;
/// A slope wants minutes, and each of these has its own lowest point.
const SLOPE_BIN_S: f64 = 60.0;
const SLOPE_BINS_MIN: usize = 5;

/// What fails a run. `None`: it is not looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// So many restart storms are too many.
    pub restart_storms: Option<f64>,
    /// No turn of the executor may be late by more.
    pub loop_stall_ms: Option<f64>,
    /// No more descriptors after than before.
    pub fd_delta: Option<f64>,
    /// Resident memory may not grow faster.
    pub rss_slope_kib_h: Option<f64>,
    /// No more answers that should not have been: 5xx without its reason, too late, or none at all.
    pub unexpected_5xx: Option<f64>,
    /// No more broken invariants.
    pub invariant: Option<f64>,
}

/// The kernel's word about the daemon, and the daemon's own, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub at_s: f64,
    pub fds: u32,
    pub threads: u32,
    pub rss_kib: u64,
    /// Children that are not probers.
    pub children: u32,
    pub zombies: u32,
    /// How long the daemon has waited for a processor, in all; `None` where the kernel does not tell.
    pub waited_ms: Option<f64>,
    pub told: Option<Told>,
}

/// What `/metrics` said. `None`: it has no such name.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub storms: Option<f64>,
    pub spawns: Option<f64>,
    pub active: Option<f64>,
    pub panics: Option<f64>,
    pub quarantined: Option<f64>,
    /// Restarts by channel.
    pub restarts: Option<Vec<(String, f64)>>,
    /// Channels whose breaker is open.
    pub open: Option<usize>,
    pub lag: Vec<(f64, f64)>,
}

impl Told {
    fn all_restarts(&self) -> Option<f64> {
        self.restarts.as_ref().map(|restarts| restarts.iter().map(|(_, count)| count).sum())
    }
}

/// What the viewers met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub requests: u64,
    pub streams: u64,
    pub refused: u64,
    /// 5xx without a reason, later than the tune deadline, or no answer at all.
    pub unexpected_5xx: u64,
    /// The first few of them in words.
    pub unexpected: Vec<String>,
}

/// All that a run has shown.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub duration_s: f64,
    pub slots: Option<u32>,
    /// Nobody watching, before and after; `None` where that moment never came.
    pub idle_before: Option<Sample>,
    pub idle_after: Option<Sample>,
    pub samples: Vec<Sample>,
    pub load: Load,
    /// What was seen to be wrong while it ran, such as a zombie that stayed.
    pub seen_wrong: Vec<String>,
    /// Starts that the fake FFmpeg witnessed.
    pub witnessed_starts: Option<u64>,
}

/// Figures for the report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub restarts: Option<f64>,
    pub restarts_in_a_minute_max: Option<f64>,
    pub restart_storms: Option<f64>,
    pub spawns: Option<f64>,
    pub open_max: Option<usize>,
    pub pool_active_max: Option<f64>,
    pub children_max: u32,
    pub threads_max: u32,
    pub rss_max_kib: u64,
    pub rss_slope_kib_h: Option<f64>,
    pub fd_delta: Option<f64>,
    /// Turns later than a bound of the histogram, that bound, and how many of them came while the machine let the
    /// daemon wait for a processor as long.
    pub loop_stalls: Option<f64>,
    pub loop_stalls_of_machine: Option<f64>,
    pub loop_stall_bound_ms: Option<f64>,
}

/// What it comes to.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub figures: Figures,
    pub broken: Vec<String>,
    pub missing: Vec<String>,
}

impl Verdict {
    /// 0 stable, 1 unstable, 3 not enough evidence.
    pub fn exit_code(&self) -> u8 {
        match (self.broken.is_empty(), self.missing.is_empty()) {
            (false, _) => 1,
            (true, false) => 3,
            (true, true) => 0,
        }
    }

    pub fn word(&self) -> &'static str {
        match self.exit_code() {
            0 => "stable",
            1 => "unstable",
            _ => "not enough evidence",
        }
    }
}

/// Judges.
pub fn judge(evidence: &Evidence, limits: &Limits) -> Verdict {
    let mut verdict = Verdict { figures: figures(evidence, limits), ..Verdict::default() };
    let figures = verdict.figures.clone();
    let (broken, missing) = (&mut verdict.broken, &mut verdict.missing);

    let told_len = evidence.samples.iter().filter(|sample| sample.told.is_some()).count();
    if evidence.samples.len() < 3 {
        missing.push("the daemon's /proc could not be read".to_owned());
    }
    if told_len * 2 < evidence.samples.len() || told_len < 2 {
        missing.push(format!("/metrics answered {told_len} of {} times", evidence.samples.len()));
    }
    // Without faults nothing was tried.
    match figures.restarts {
        None => missing.push("/metrics has no tunerd_channel_restart_total".to_owned()),
        Some(restarts) if restarts < 1.0 => missing.push("no channel was ever restarted".to_owned()),
        Some(_) => {}
    }
    match figures.open_max {
        None => missing.push("/metrics has no tunerd_circuit_breaker_state".to_owned()),
        Some(0) => missing.push("no breaker ever opened".to_owned()),
        Some(_) => {}
    }
    if evidence.load.refused == 0 {
        missing.push("no tune was ever refused".to_owned());
    }
    if evidence.load.streams == 0 {
        missing.push("nobody ever got a picture".to_owned());
    }

    check(limits.restart_storms.map(|limit| limit - 1.0), figures.restart_storms, "restart storms", broken, missing);
    if let Some(limit) = limits.loop_stall_ms {
        let what = format!("turns of the executor later than {limit} ms");
        let of_machine = figures.loop_stalls_of_machine.unwrap_or(0.0);
        check(Some(0.0), figures.loop_stalls.map(|stalls| stalls - of_machine), &what, broken, missing);
        if of_machine > 0.0 {
            missing.push(format!("cannot tell: {of_machine:.0} {what} came while the machine was too busy"));
        }
    }
    check(limits.fd_delta, figures.fd_delta, "more file descriptors after than before", broken, missing);
    check(limits.rss_slope_kib_h, figures.rss_slope_kib_h, "KiB of memory an hour", broken, missing);
    if let Some(limit) = limits.unexpected_5xx {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = evidence.load.unexpected_5xx as f64;
        if count > limit {
            broken.push(format!("{count} unexpected answers: {}", evidence.load.unexpected.join("; ")));
        }
    }
    if let Some(limit) = limits.invariant {
        let wrong = invariants(evidence);
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        if wrong.len() as f64 > limit {
            broken.extend(wrong);
        }
    }
    verdict
}

/// A figure over its limit is broken, one that is not there is missing.
fn check(limit: Option<f64>, value: Option<f64>, what: &str, broken: &mut Vec<String>, missing: &mut Vec<String>) {
    match (limit, value) {
        (Some(_), None) => missing.push(format!("cannot tell: {what}")),
        (Some(limit), Some(value)) if value > limit => broken.push(format!("{value:.0} {what}, at most {limit:.0}")),
        _ => {}
    }
}

fn figures(evidence: &Evidence, limits: &Limits) -> Figures {
    let samples = &evidence.samples;
    let told = || samples.iter().filter_map(|sample| sample.told.as_ref());
    // Between two moments of rest nothing is counted that belongs to neither side.
    let at_rest = |sample: &Option<Sample>| sample.as_ref().and_then(|sample| sample.told.clone());
    let first = at_rest(&evidence.idle_before).or_else(|| told().next().cloned());
    let last = at_rest(&evidence.idle_after).or_else(|| told().next_back().cloned());
    let (first, last) = (first.as_ref(), last.as_ref());
    let delta = |value: &dyn Fn(&Told) -> Option<f64>| Some(value(last?)? - first.and_then(value).unwrap_or(0.0));
    let stalls = limits.loop_stall_ms.and_then(|limit| above(&first?.lag, &last?.lag, limit / 1_000.0));
    Figures {
        restarts: delta(&Told::all_restarts),
        restarts_in_a_minute_max: restarts_within(samples, THROTTLE_WINDOW_S, &Told::all_restarts),
        restart_storms: delta(&|told| told.storms),
        spawns: delta(&|told| told.spawns),
        open_max: told().filter_map(|told| told.open).max(),
        pool_active_max: told().filter_map(|told| told.active).reduce(f64::max),
        children_max: samples.iter().map(|sample| sample.children).max().unwrap_or(0),
        threads_max: samples.iter().map(|sample| sample.threads).max().unwrap_or(0),
        rss_max_kib: samples.iter().map(|sample| sample.rss_kib).max().unwrap_or(0),
        rss_slope_kib_h: slope_per_h(samples, evidence.duration_s),
        fd_delta: evidence
            .idle_before
            .as_ref()
            .zip(evidence.idle_after.as_ref())
            .map(|(before, after)| f64::from(after.fds) - f64::from(before.fds)),
        loop_stalls: stalls.map(|(_, count)| count),
        loop_stalls_of_machine: limits.loop_stall_ms.map(|limit| stalls_of_machine(samples, limit)),
        loop_stall_bound_ms: stalls.map(|(bound, _)| bound * 1_000.0),
    }
}

/// Stalls between two looks in which the daemon waited for a processor as long as one of them lasted at least.
fn stalls_of_machine(samples: &[Sample], limit_ms: f64) -> f64 {
    let stalls = |pair: &[Sample]| {
        let [before, after] = pair else { return None };
        let waited_ms = after.waited_ms? - before.waited_ms?;
        let (_, count) = above(&before.told.as_ref()?.lag, &after.told.as_ref()?.lag, limit_ms / 1_000.0)?;
        Some(count.min((waited_ms / limit_ms).floor()))
    };
    samples.windows(2).filter_map(stalls).sum()
}

/// The most that a counter grew within a span of this length, between looks no further apart.
fn restarts_within(samples: &[Sample], span_s: f64, value: &dyn Fn(&Told) -> Option<f64>) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        samples.iter().filter_map(|sample| Some((sample.at_s, value(sample.told.as_ref()?)?))).collect();
    let mut from = 0;
    let mut most: Option<f64> = None;
    for (at, count) in &points {
        while points[from].0 < at - span_s {
            from += 1;
        }
        most = Some(most.unwrap_or(0.0).max(count - points[from].1));
    }
    most
}

/// Growth of the lowest resident memory of each minute, by least squares; `None` for runs that are too short to tell.
/// The first fifth warms up. Lowest, because what viewers take and give back is no leak.
fn slope_per_h(samples: &[Sample], duration_s: f64) -> Option<f64> {
    let warm_s = duration_s / 5.0;
    let mut bins: Vec<(f64, f64)> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.at_s >= warm_s) {
        let bin = (sample.at_s / SLOPE_BIN_S).floor();
        #[expect(clippy::cast_precision_loss, reason = "kibibytes of a process")]
        let rss = sample.rss_kib as f64;
        match bins.last_mut() {
            Some((last, lowest)) if (*last - bin).abs() < 0.5 => *lowest = lowest.min(rss),
            _ => bins.push((bin, rss)),
        }
    }
    if bins.len() < SLOPE_BINS_MIN {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "minutes of a run")]
    let count = bins.len() as f64;
    let mean = |value: &dyn Fn(&(f64, f64)) -> f64| bins.iter().map(value).sum::<f64>() / count;
    let (mean_at, mean_rss) = (mean(&|bin| bin.0), mean(&|bin| bin.1));
    let rising: f64 = bins.iter().map(|(at, rss)| (at - mean_at) * (rss - mean_rss)).sum();
    let spread: f64 = bins.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
    Some(rising / spread * 3_600.0 / SLOPE_BIN_S)
}

/// What must never be, and was.
fn invariants(evidence: &Evidence) -> Vec<String> {
    let mut wrong = evidence.seen_wrong.clone();
    let samples = &evidence.samples;
    if let Some(slots) = evidence.slots {
        if let Some(sample) = samples.iter().find(|sample| sample.children > slots) {
            wrong.push(format!("{} children on {slots} slots after {:.0} s", sample.children, sample.at_s));
        }
    }
    if let Some(most) = restarts_within(samples, THROTTLE_WINDOW_S, &Told::all_restarts) {
        if most > RESTARTS_MAX {
            wrong.push(format!("{most:.0} restarts within {THROTTLE_WINDOW_S} s"));
        }
    }
    let channels = samples.iter().filter_map(|sample| sample.told.as_ref()?.restarts.as_ref());
    let mut names: Vec<&String> = channels.flatten().map(|(channel, _)| channel).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of_channel = |told: &Told| {
            let restarts = told.restarts.as_ref()?;
            Some(restarts.iter().find(|(channel, _)| channel == name).map_or(0.0, |(_, count)| *count))
        };
        // Just below, because a restart may fall on either side of the moment when we look.
        if restarts_within(samples, COOLDOWN_S - 1.0, &of_channel).is_some_and(|most| most > 1.0) {
            wrong.push(format!("two restarts of {name} within {COOLDOWN_S} s"));
        }
    }
    let told: Vec<(f64, &Told)> =
        samples.iter().filter_map(|sample| Some((sample.at_s, sample.told.as_ref()?))).collect();
    for pair in told.windows(2) {
        let [(_, before), (at, after)] = pair else { continue };
        if before.spawns.zip(after.spawns).is_some_and(|(before, after)| after < before) {
            wrong.push(format!("counters went back after {at:.0} s: the daemon was restarted"));
        }
    }
    let last = told.last().map(|(_, told)| *told);
    if let Some((before, after)) = told.first().and_then(|(_, told)| told.panics).zip(last.and_then(|told| told.panics))
    {
        if after > before {
            wrong.push(format!("{:.0} panics", after - before));
        }
    }
    if told.iter().any(|(_, told)| told.quarantined.is_some_and(|slots| slots > 0.0)) {
        wrong.push("a slot was given up".to_owned());
    }
    if let Some(after) = &evidence.idle_after {
        if after.children > 0 || after.zombies > 0 {
            wrong.push(format!("{} children and {} zombies are left", after.children, after.zombies));
        }
        if let Some(before) = &evidence.idle_before {
            if after.threads > before.threads {
                wrong.push(format!("{} threads before, {} after", before.threads, after.threads));
            }
        }
        if let Some((witnessed, told)) = evidence.witnessed_starts.zip(after.told.as_ref().and_then(|told| told.spawns))
        {
            #[expect(clippy::cast_precision_loss, reason = "starts of a run")]
            if (witnessed as f64 - told).abs() > 0.5 {
                wrong.push(format!("{witnessed} starts were witnessed, {told:.0} were counted"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        restart_storms: Some(3.0),
        loop_stall_ms: Some(100.0),
        fd_delta: Some(0.0),
        rss_slope_kib_h: Some(64.0),
        unexpected_5xx: Some(0.0),
        invariant: Some(0.0),
    };

    /// An hour of a daemon that is as it should be: faults happened, and nothing came of them.
    fn good() -> Evidence {
        let sample = |second: u32| {
            // A restart every minute, of two channels in turn; memory goes up and down with the viewers.
            let minutes = f64::from(second / 60);
            let told = Told {
                storms: Some(1.0),
                spawns: Some(minutes + 5.0),
                active: Some(2.0),
                panics: Some(0.0),
                quarantined: Some(0.0),
                restarts: Some(vec![
                    ("a".to_owned(), (minutes / 2.0).floor()),
                    ("b".to_owned(), (minutes / 2.0).ceil()),
                ]),
                open: Some(usize::from(second % 300 > 200)),
                lag: vec![(0.01, f64::from(second)), (0.1, f64::from(second)), (f64::INFINITY, f64::from(second))],
            };
            Sample {
                at_s: f64::from(second),
                fds: 30 + second % 7,
                threads: 2,
                rss_kib: 20_000 + u64::from(second % 50) * 10,
                children: 2,
                zombies: 0,
                waited_ms: Some(f64::from(second) * 2.0),
                told: Some(told),
            }
        };
        let at_rest = |second: u32, spawns: f64| {
            let last: Sample = sample(second);
            Some(Told { spawns: Some(spawns), ..last.told? })
        };
        let idle = |told| Some(Sample { fds: 20, threads: 2, rss_kib: 19_000, told, ..Sample::default() });
        Evidence {
            duration_s: 3_600.0,
            slots: Some(4),
            idle_before: idle(at_rest(0, 0.0)),
            idle_after: idle(at_rest(3_599, 64.0)),
            samples: (0..3_600).map(sample).collect(),
            load: Load { requests: 500, streams: 300, refused: 200, ..Load::default() },
            seen_wrong: vec![],
            witnessed_starts: Some(64),
        }
    }

    fn exit(evidence: &Evidence) -> (u8, String) {
        let verdict = judge(evidence, &LIMITS);
        (verdict.exit_code(), format!("{:?} {:?}", verdict.broken, verdict.missing))
    }

    fn each(evidence: &mut Evidence, change: impl Fn(f64, &mut Sample)) {
        for sample in &mut evidence.samples {
            change(sample.at_s, sample);
        }
    }

    /// Changes what was told while it ran, and at rest before and after.
    fn told(evidence: &mut Evidence, change: impl Fn(f64, &mut Told)) {
        each(evidence, |at, sample| {
            if let Some(told) = sample.told.as_mut() {
                change(at, told);
            }
        });
        for (at, rest) in [(-1.0, &mut evidence.idle_before), (3_600.0, &mut evidence.idle_after)] {
            if let Some(told) = rest.as_mut().and_then(|sample| sample.told.as_mut()) {
                change(at, told);
            }
        }
    }

    #[test]
    fn a_good_hour_is_stable() {
        assert_eq!(exit(&good()), (0, "[] []".to_owned()));
        let figures = judge(&good(), &LIMITS).figures;
        assert_eq!(figures.restarts, Some(59.0));
        assert_eq!(figures.restarts_in_a_minute_max, Some(1.0));
        assert_eq!((figures.rss_max_kib, figures.fd_delta, figures.open_max), (20_490, Some(0.0), Some(1)));
        assert!(figures.rss_slope_kib_h.unwrap().abs() < 1.0, "{figures:?}");
    }

    #[test]
    fn everything_that_must_not_be_is_unstable() {
        type Change = fn(&mut Evidence);
        let cases: &[(&str, Change)] = &[
            ("KiB of memory an hour", |evidence| {
                // A leak of 100 KiB an hour, hidden under half a megabyte of ups and downs.
                for (second, sample) in (0_u64..).zip(&mut evidence.samples) {
                    sample.rss_kib += second / 36;
                }
            }),
            ("file descriptors", |evidence| evidence.idle_after.as_mut().unwrap().fds += 1),
            ("restart storms", |evidence| {
                told(evidence, |at, told| told.storms = Some(if at > 9.0 { 4.0 } else { 1.0 }));
            }),
            ("later than 100 ms", |evidence| {
                told(evidence, |at, told| told.lag[1].1 -= if at > 1_800.0 { 1.0 } else { 0.0 });
            }),
            ("unexpected answers", |evidence| {
                evidence.load.unexpected_5xx = 1;
                evidence.load.unexpected.push("500".to_owned());
            }),
            ("restarts within 60 s", |evidence| {
                // Ten at once, of channels that never had one, and one before.
                told(evidence, |at, told| {
                    let more = (0..10).map(|index| (format!("x{index}"), if at > 99.0 { 1.0 } else { 0.0 }));
                    told.restarts.as_mut().unwrap().extend(more);
                });
            }),
            ("two restarts of b", |evidence| {
                told(evidence, |at, told| told.restarts.as_mut().unwrap()[1].1 += if at > 190.0 { 1.0 } else { 0.0 });
            }),
            ("children on 4 slots", |evidence| {
                each(evidence, |at, sample| sample.children = if at > 7.0 { 5 } else { 4 });
            }),
            ("panics", |evidence| told(evidence, |at, told| told.panics = Some(if at > 7.0 { 1.0 } else { 0.0 }))),
            ("given up", |evidence| {
                told(evidence, |at, told| told.quarantined = Some(if at > 3_000.0 { 1.0 } else { 0.0 }));
            }),
            ("went back", |evidence| told(evidence, |at, told| told.spawns = Some(if at > 99.0 { 1.0 } else { 50.0 }))),
            ("zombies are left", |evidence| evidence.idle_after.as_mut().unwrap().zombies = 1),
            ("children and", |evidence| evidence.idle_after.as_mut().unwrap().children = 1),
            ("threads", |evidence| evidence.idle_after.as_mut().unwrap().threads = 3),
            ("were witnessed", |evidence| evidence.witnessed_starts = Some(65)),
            ("a zombie stayed", |evidence| evidence.seen_wrong.push("a zombie stayed".to_owned())),
        ];
        for (word, change) in cases {
            let mut evidence = good();
            change(&mut evidence);
            let (code, said) = exit(&evidence);
            assert!(code == 1 && said.contains(word), "{word}: {code} {said}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_called_stable() {
        type Change = fn(&mut Evidence);
        let cases: &[(&str, Change)] = &[
            ("/metrics answered 0", |evidence| each(evidence, |_, sample| sample.told = None)),
            ("tunerd_channel_restart_total", |evidence| told(evidence, |_, told| told.restarts = None)),
            ("no channel was ever restarted", |evidence| told(evidence, |_, told| told.restarts = Some(vec![]))),
            ("tunerd_circuit_breaker_state", |evidence| told(evidence, |_, told| told.open = None)),
            ("no breaker ever opened", |evidence| told(evidence, |_, told| told.open = Some(0))),
            ("no tune was ever refused", |evidence| evidence.load.refused = 0),
            ("nobody ever got a picture", |evidence| evidence.load.streams = 0),
            ("later than 100 ms", |evidence| told(evidence, |_, told| told.lag.clear())),
            ("restart storms", |evidence| told(evidence, |_, told| told.storms = None)),
            ("file descriptors", |evidence| evidence.idle_after = None),
            ("KiB of memory", |evidence| evidence.samples.truncate(240)),
            ("/proc could not be read", |evidence| evidence.samples.clear()),
        ];
        for (word, change) in cases {
            let mut evidence = good();
            change(&mut evidence);
            evidence.duration_s = evidence.samples.last().map_or(0.0, |sample| sample.at_s);
            let (code, said) = exit(&evidence);
            assert!(code == 3 && said.contains(word), "{word}: {code} {said}");
        }
    }

    #[test]
    fn bars_that_are_just_held_are_held() {
        let mut evidence = good();
        told(&mut evidence, |at, told| {
            let more = (0..9).map(|index| (format!("x{index}"), if at > 99.0 { 1.0 } else { 0.0 }));
            told.restarts.as_mut().unwrap().extend(more);
            told.storms = Some(if at > 9.0 { 3.0 } else { 1.0 });
        });
        assert_eq!(judge(&evidence, &LIMITS).figures.restarts_in_a_minute_max, Some(10.0));
        // More viewers at a time, later on: what they take, they give back.
        for (second, sample) in (0_u64..).zip(&mut evidence.samples) {
            sample.rss_kib += if second % 60 > 20 { second } else { 0 };
        }
        assert_eq!(exit(&evidence), (0, "[] []".to_owned()));
    }

    #[test]
    fn what_the_machine_is_to_blame_for_says_nothing() {
        let mut evidence = good();
        told(&mut evidence, |at, told| told.lag[1].1 -= if at > 1_800.0 { 1.0 } else { 0.0 });
        assert_eq!(exit(&evidence).0, 1);
        // In that second the daemon had to wait for a processor.
        each(&mut evidence, |at, sample| {
            let waited_ms = sample.waited_ms.as_mut().unwrap();
            *waited_ms += if at > 1_800.0 { 130.0 } else { 0.0 };
        });
        let (code, said) = exit(&evidence);
        assert!(code == 3 && said.contains("too busy"), "{code} {said}");
        // Of two such turns that explains one only.
        told(&mut evidence, |at, told| told.lag[1].1 -= if at > 2_000.0 { 1.0 } else { 0.0 });
        assert_eq!(exit(&evidence).0, 1);
        each(&mut evidence, |_, sample| sample.waited_ms = None);
        assert_eq!(exit(&evidence).0, 1, "a kernel that does not tell is no excuse");
    }

    #[test]
    fn a_limit_that_was_not_asked_for_is_not_looked_at() {
        let mut evidence = good();
        evidence.idle_after.as_mut().unwrap().fds += 5;
        let limits = Limits { fd_delta: None, ..LIMITS };
        assert_eq!(judge(&evidence, &limits).exit_code(), 0);
        let limits = Limits { fd_delta: Some(5.0), ..LIMITS };
        assert_eq!(judge(&evidence, &limits).exit_code(), 0);
    }
}

//! What the bounds say about a run, judged by those who saw it: the fake FFmpeg's log and the viewers' own notes.
//!
//! It keeps books of its own and shares no code with the daemon. It calls a failure only what is one beyond doubt, and
//! so a restart only what is one beyond doubt: what it finds is really wrong, and what it cannot know it leaves alone.

use crate::kit::fakeff::{Line, key_of};
use std::collections::{BTreeMap, BTreeSet};

/// What a viewer did once. Times are those of the log.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) channel: String,
    pub(super) asked_ms: u64,
    pub(super) answered_ms: u64,
    /// When he left, or was sent away.
    pub(super) ended_ms: u64,
    /// `None`: there was no answer.
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) retry_after_s: Option<u32>,
    pub(super) head_only: bool,
}

/// Moments of the same event as parent and child see them, on a busy machine.
const SLACK_MS: u64 = 1_000;
const COOLDOWN_MS: u64 = 30_000;
const WINDOW_MS: u64 = 60_000;
const RESTARTS_MAX: usize = 10;
const FAILURE_WINDOW_MS: u64 = 300_000;
const START_TIMEOUT_MS: u64 = 20_000;
const ANSWER_MS_MAX: u64 = 10_000;

/// One child, from its lines.
#[derive(Debug)]
struct Attempt {
    key: String,
    at_ms: u64,
    /// When it failed beyond doubt.
    failed_ms: Option<u64>,
}

/// Channel and time of each restart beyond doubt, in order.
pub(super) fn restarts(log: &[Line], visits: &[Visit], killed: &BTreeMap<u32, u64>) -> Vec<(String, u64)> {
    let attempts = attempts(log, visits, killed);
    let failed_before = |attempt: &Attempt| {
        attempts.iter().filter(|other| other.key == attempt.key).filter_map(|other| other.failed_ms).any(|failed| {
            // A failure that is about to leave the window may have left it.
            failed < attempt.at_ms && attempt.at_ms < failed + FAILURE_WINDOW_MS - SLACK_MS
        })
    };
    attempts.iter().filter(|attempt| failed_before(attempt)).map(|found| (found.key.clone(), found.at_ms)).collect()
}

fn attempts(log: &[Line], visits: &[Visit], killed: &BTreeMap<u32, u64>) -> Vec<Attempt> {
    let starts = log.iter().enumerate().filter(|(_, line)| line.event == "start");
    let attempt = |(place, start): (usize, &Line)| {
        // Numbers of processes come back after a while.
        let own = log[place + 1..].iter().take_while(|line| line.event != "start" || line.pid != start.pid);
        let own: Vec<&Line> = own.filter(|line| line.pid == start.pid).collect();
        let when = |event: &str| own.iter().find(|line| line.event == event).map(|line| line.ms);
        let (out, term) = (when("out"), when("term"));
        let ended = when("end")
            .or_else(|| killed.get(&start.pid).copied())
            .filter(|ended| term.is_none_or(|term| term > *ended));
        let failed_ms = match (ended, out) {
            // Nobody may end a start before its first byte but the child itself.
            (Some(ended), None) => Some(ended),
            // Afterwards it counts while somebody watches.
            (Some(ended), Some(_)) => is_watched(&start.key, ended, visits).then_some(ended),
            (None, None) => term.filter(|term| *term + SLACK_MS >= start.ms + START_TIMEOUT_MS),
            (None, Some(_)) => None,
        };
        Attempt { key: start.key.clone(), at_ms: start.ms, failed_ms }
    };
    starts.map(attempt).collect()
}

/// Whether somebody certainly had this channel at this moment.
fn is_watched(key: &str, at_ms: u64, visits: &[Visit]) -> bool {
    visits.iter().any(|visit| {
        visit.status == Some(200)
            && !visit.head_only
            && key == key_of(&visit.channel)
            && visit.answered_ms + SLACK_MS < at_ms
            && at_ms + SLACK_MS < visit.ended_ms
    })
}

/// Every bound that was broken, in words.
pub(super) fn judge(log: &[Line], visits: &[Visit], killed: &BTreeMap<u32, u64>) -> Vec<String> {
    let mut wrong = Vec::new();
    let restarts = restarts(log, visits, killed);
    for (channel, at) in &restarts {
        let earlier = restarts.iter().filter(|(other, when)| other == channel && when < at).map(|(_, when)| when);
        if let Some(before) = earlier.max().filter(|before| **before + COOLDOWN_MS > at + SLACK_MS) {
            wrong.push(format!("{channel} was restarted at {before} and at {at}"));
        }
        let in_window = restarts.iter().filter(|(_, when)| when <= at && *when + WINDOW_MS > at + SLACK_MS).count();
        if in_window > RESTARTS_MAX {
            wrong.push(format!("{in_window} restarts in the minute before {at}"));
        }
    }
    for overlap in log.iter().filter(|line| line.event == "overlap") {
        wrong.push(format!("{} had two children at {}: {}", overlap.key, overlap.ms, overlap.more));
    }
    wrong.extend(visits.iter().filter_map(|visit| dishonest(visit).map(|words| format!("{words}: {visit:?}"))));
    wrong
}

/// What is wrong with an answer (5-V).
fn dishonest(visit: &Visit) -> Option<&'static str> {
    if visit.answered_ms > visit.asked_ms + ANSWER_MS_MAX + SLACK_MS {
        return Some("later than ten seconds");
    }
    match (visit.status, &visit.error, visit.retry_after_s) {
        (None, ..) => Some("no answer"),
        (Some(200 | 404), ..) => None,
        (Some(503), None, _) => Some("no reason"),
        (Some(503), Some(error), Some(1..=120)) if error.starts_with("80") => None,
        (Some(503), Some(_), _) => Some("no honest wait"),
        (Some(_), ..) => Some("an unexpected status"),
    }
}

/// Processes of the log, for those who look at `/proc`.
pub(super) fn keys_by_pid(log: &[Line]) -> BTreeMap<u32, String> {
    log.iter().filter(|line| line.event == "start").map(|line| (line.pid, line.key.clone())).collect()
}

/// Channels with more than one of these processes.
pub(super) fn doubled(living: &[u32], keys: &BTreeMap<u32, String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    living.iter().filter_map(|pid| keys.get(pid)).filter(|key| !seen.insert(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &str, key: &str, pid: u32, ms: u64) -> Line {
        Line { event: event.to_owned(), key: key_of(key), pid, ms, more: String::new() }
    }

    fn refused(asked_ms: u64, answered_ms: u64) -> Visit {
        Visit {
            channel: "a".to_owned(),
            asked_ms,
            answered_ms,
            ended_ms: answered_ms,
            status: Some(503),
            error: Some("806 Tune Failed".to_owned()),
            retry_after_s: Some(30),
            head_only: false,
        }
    }

    fn watched(from: u64, to: u64) -> Visit {
        Visit { status: Some(200), ended_ms: to, ..refused(from, from) }
    }

    /// A source that is dead: it ends before its first byte, each time.
    fn dead(key: &str, starts: &[u64]) -> Vec<Line> {
        let lines =
            starts.iter().zip(1..).flat_map(|(ms, pid)| [line("start", key, pid, *ms), line("end", key, pid, ms + 50)]);
        lines.collect()
    }

    #[test]
    fn restarts_are_told_from_cold_starts() {
        let restarts = |log: &[Line], visits: &[Visit]| -> Vec<u64> {
            restarts(log, visits, &BTreeMap::new()).into_iter().map(|(_, ms)| ms).collect()
        };
        assert_eq!(restarts(&dead("a", &[0, 1_000, 31_000]), &[]), [1_000, 31_000]);
        // What ends with nobody watching has not failed.
        let played = [
            line("start", "a", 1, 0),
            line("out", "a", 1, 10),
            line("end", "a", 1, 9_000),
            line("start", "a", 2, 9_100),
        ];
        assert!(restarts(&played, &[]).is_empty());
        assert_eq!(restarts(&played, &[watched(20, 60_000)]), [9_100]);
        assert!(restarts(&played, &[watched(20, 9_100)]).is_empty(), "he may have left just before");
        // Ended by us in time, and too late.
        let asked = |ms| {
            [
                line("start", "a", 1, 0),
                line("term", "a", 1, ms),
                line("end", "a", 1, ms + 9),
                line("start", "a", 2, 30_000),
            ]
        };
        assert!(restarts(&asked(8_000), &[]).is_empty());
        assert_eq!(restarts(&asked(20_010), &[]), [30_000]);
        assert!(restarts(&dead("a", &[0, 300_500]), &[]).is_empty(), "forgotten by then");
        let mut killed = vec![line("start", "a", 7, 0), line("out", "a", 7, 10), line("start", "a", 8, 9_000)];
        assert_eq!(super::restarts(&killed, &[watched(20, 20_000)], &BTreeMap::from([(7, 5_000)])).len(), 1);
        killed.remove(2);
        assert!(restarts(&killed, &[]).is_empty());
    }

    #[test]
    fn broken_bounds_are_found() {
        let found = |log: &[Line], visits: &[Visit]| judge(log, visits, &BTreeMap::new()).join("\n");
        assert_eq!(found(&dead("a", &[0, 1_000, 31_000, 61_000]), &[refused(0, 60)]), "");
        assert!(found(&dead("a", &[0, 1_000, 29_000]), &[]).contains("was restarted at 1000 and at 29000"));
        let many = |count: u32| -> Vec<Line> {
            let mut log: Vec<Line> =
                (0..count).flat_map(|n| dead(&format!("c{n}"), &[u64::from(n), 2_000 + u64::from(n)])).collect();
            // Each key has its own processes.
            for (place, line) in log.iter_mut().enumerate() {
                line.pid = 1_000 + u32::try_from(place / 2).unwrap();
            }
            log
        };
        assert_eq!(found(&many(10), &[]), "");
        assert!(found(&many(11), &[]).contains("11 restarts in the minute"));
        assert!(found(&[line("overlap", "a", 2, 5)], &[]).contains("two children"));
        for (visit, words) in [
            (refused(0, 11_100), "later than ten seconds"),
            (Visit { status: Some(500), ..refused(0, 1) }, "an unexpected status"),
            (Visit { status: None, ..refused(0, 1) }, "no answer"),
            (Visit { error: None, ..refused(0, 1) }, "no reason"),
            (Visit { retry_after_s: None, ..refused(0, 1) }, "no honest wait"),
            (Visit { retry_after_s: Some(0), ..refused(0, 1) }, "no honest wait"),
            (Visit { retry_after_s: Some(121), ..refused(0, 1) }, "no honest wait"),
        ] {
            assert!(found(&[], std::slice::from_ref(&visit)).starts_with(words), "{words}: {visit:?}");
        }
    }

    #[test]
    fn two_children_of_a_channel_are_seen() {
        let keys = keys_by_pid(&[line("start", "a", 1, 0), line("start", "b", 2, 0), line("start", "a", 3, 0)]);
        assert!(doubled(&[1, 2, 99], &keys).is_empty());
        assert_eq!(doubled(&[1, 2, 3], &keys), [key_of("a")]);
    }
}

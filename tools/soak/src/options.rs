//! What was typed.

use crate::verdict::Limits;
use std::path::PathBuf;
use std::time::Duration;

pub const HELP: &str = "\
usage: tools/soak/run [cycles] [OPTION]…

Without `cycles` it watches a daemon under load and faults; with it, somebody tunes and leaves, over and over.

  --duration TIME     how long: 90s, 10m, 24h (default: 10m)
  --url URL           page of a daemon that runs on this machine; without it one is started, with a fake FFmpeg
  --pid N             its process, where it cannot be found by its port
  --channels LIST     only these guide numbers, such as 1,2.1 (default: all)
  --viewers N         who zap about (default: 6)
  --seed N            for another script of the viewers (default: 1)
  --fail-on LIST      restart_storms=3,loop_stall_ms=100,fd_delta=0,rss_slope_kib_h=…,unexpected_5xx=0,invariant=0
                      (default: all of these; memory may grow 6144 KiB an hour, 64 from eight hours on)
  --count N           of cycles (default: 40000)
  --json FILE         where to write the figures as well

Exit code: 0 stable, 1 unstable, 2 the soak itself failed, 3 not enough evidence.
";

/// Short runs see noise: a megabyte in ten minutes.
const RSS_SLOPE_SHORT_KIB_H: f64 = 6_144.0;
const RSS_SLOPE_LONG_KIB_H: f64 = 64.0;
const LONG: Duration = Duration::from_secs(8 * 3_600);

#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub cycles: bool,
    pub duration: Duration,
    pub url: Option<String>,
    pub pid: Option<u32>,
    pub channels: Vec<String>,
    pub viewers: usize,
    pub seed: u64,
    pub limits: Limits,
    pub count: u64,
    pub json: Option<PathBuf>,
    /// Programs to start where no URL is given.
    pub tunerd: Option<PathBuf>,
    pub fakeff: Option<PathBuf>,
}

/// `None`: help was asked for.
pub fn parse(words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        cycles: false,
        duration: Duration::from_secs(600),
        url: None,
        pid: None,
        channels: Vec::new(),
        viewers: 6,
        seed: 1,
        limits: Limits {
            restart_storms: None,
            loop_stall_ms: None,
            fd_delta: None,
            rss_slope_kib_h: None,
            unexpected_5xx: None,
            invariant: None,
        },
        count: 40_000,
        json: None,
        tunerd: None,
        fakeff: None,
    };
    let mut limits = None;
    let mut words = words;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "cycles" => options.cycles = true,
            "--duration" => options.duration = duration(&value()?)?,
            "--url" => options.url = Some(value()?),
            "--pid" => options.pid = Some(u32::try_from(number(value()?)?).map_err(|_| "no such process".to_owned())?),
            "--channels" => options.channels = value()?.split(',').map(|one| one.trim().to_owned()).collect(),
            "--viewers" => options.viewers = usize::try_from(number(value()?)?.clamp(1, 64)).unwrap_or(1),
            "--seed" => options.seed = number(value()?)?,
            "--fail-on" => limits = Some(fail_on(&value()?)?),
            "--count" => options.count = number(value()?)?.max(100),
            "--json" => options.json = Some(value()?.into()),
            "--tunerd" => options.tunerd = Some(value()?.into()),
            "--fakeff" => options.fakeff = Some(value()?.into()),
            _ => return Err(format!("there is no option {word}; see --help")),
        }
    }
    options.limits = limits.unwrap_or(Limits {
        restart_storms: Some(3.0),
        loop_stall_ms: Some(100.0),
        fd_delta: Some(0.0),
        rss_slope_kib_h: Some(if options.duration < LONG { RSS_SLOPE_SHORT_KIB_H } else { RSS_SLOPE_LONG_KIB_H }),
        unexpected_5xx: Some(0.0),
        invariant: Some(0.0),
    });
    Ok(Some(options))
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_s = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        unit => return Err(format!("{unit:?} is no unit of time; s, m, h and d are")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no time"))?;
    match number.checked_mul(unit_s) {
        Some(seconds @ 1..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{text:?} is too short or too long")),
    }
}

fn fail_on(list: &str) -> Result<Limits, String> {
    let mut limits = Limits {
        restart_storms: None,
        loop_stall_ms: None,
        fd_delta: None,
        rss_slope_kib_h: None,
        unexpected_5xx: None,
        invariant: None,
    };
    for pair in list.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(format!("{pair:?} is not name=number"))?;
        let value: f64 = value.trim().parse().map_err(|_| format!("{value:?} is no number"))?;
        let limit = match name.trim() {
            "restart_storms" => &mut limits.restart_storms,
            "loop_stall_ms" => &mut limits.loop_stall_ms,
            "fd_delta" => &mut limits.fd_delta,
            "rss_slope_kib_h" => &mut limits.rss_slope_kib_h,
            "unexpected_5xx" => &mut limits.unexpected_5xx,
            "invariant" => &mut limits.invariant,
            name => return Err(format!("nothing is called {name}; see --help")),
        };
        *limit = Some(value);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Options>, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        let options = read("cycles --duration 24h --channels 1,2.1 --fail-on restart_storms=3,fd_delta=0 --seed 7");
        let options = options.unwrap().unwrap();
        assert!(options.cycles && options.seed == 7 && options.duration == Duration::from_secs(86_400));
        assert_eq!(options.channels, ["1", "2.1"]);
        assert_eq!((options.limits.restart_storms, options.limits.loop_stall_ms), (Some(3.0), None));
        assert_eq!(read("--help"), Ok(None));
        for wrong in ["--duration", "--duration 5x", "--duration 0s", "--fail-on fd", "--fail-on x=1", "--lasts 5"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn long_runs_have_a_narrower_bar_for_memory() {
        let slope = |line| read(line).unwrap().unwrap().limits.rss_slope_kib_h;
        assert_eq!((slope("--duration 10m"), slope("--duration 24h")), (Some(6_144.0), Some(64.0)));
    }
}

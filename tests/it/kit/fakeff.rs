//! The fake FFmpeg of `tests/fakeff` in a daemon's folder, what it witnessed, and what the kernel and the daemon's own
//! metrics say meanwhile.

use super::{Daemon, Setup, TUNERD, children_of, wait_until};
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

/// Where it lies: script and log are beside it.
#[derive(Clone)]
pub(crate) struct Fake(PathBuf);

impl Fake {
    /// Puts it in the place of FFmpeg and ffprobe.
    pub(crate) fn install(setup: &mut Setup) -> Self {
        let built = built();
        let folder = setup.folder.path().join("fakeff");
        fs::create_dir_all(&folder).unwrap();
        for name in ["ffmpeg", "ffprobe"] {
            // A link: a copy could still be open for writing in a child that another test forks at this moment.
            fs::hard_link(&built, folder.join(name)).unwrap();
        }
        setup.set("ffmpeg", &format!("path = {:?}", folder.join("ffmpeg").to_str().unwrap()));
        // Script and log, which a real one would have no business with.
        setup.set("ffmpeg", &format!("paths = [{:?}]", folder.to_str().unwrap()));
        // Where the prober is looked for.
        let path = std::env::var("PATH").unwrap_or_default();
        setup.environment("PATH", &format!("{}:{path}", folder.to_str().unwrap()));
        Self(folder)
    }

    /// Channels 1, 2, … with a name and modes each, in a setup that is not started yet.
    pub(crate) fn setup(channels: &[(&str, &str)]) -> (Self, Setup) {
        let mut setup = Setup::new();
        let fake = Self::install(&mut setup);
        fake.channels(channels);
        let playlist = channels.iter().fold("#EXTM3U\n".to_owned(), |mut all, (name, _)| {
            writeln!(all, "#EXTINF:-1,{name}\n{}", address_of(name)).unwrap();
            all
        });
        setup.playlist(playlist);
        (fake, setup)
    }

    /// The same, and a daemon that has read them.
    pub(crate) fn daemon(channels: &[(&str, &str)]) -> (Self, Daemon) {
        let (fake, setup) = Self::setup(channels);
        let daemon = setup.start();
        daemon.wait_for_log("playlist loaded");
        (fake, daemon)
    }

    /// From the next start on these channels do as said; what is not named plays.
    pub(crate) fn channels(&self, channels: &[(&str, &str)]) {
        let script = channels.iter().fold(String::new(), |mut all, (name, modes)| {
            writeln!(all, "{}: {modes}", key_of(name)).unwrap();
            all
        });
        self.script(&script);
    }

    /// Puts another script in place, whole.
    pub(crate) fn script(&self, text: &str) {
        fs::write(self.0.join("fakeff.script.new"), text).unwrap();
        fs::rename(self.0.join("fakeff.script.new"), self.0.join("fakeff.script")).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// All that was witnessed so far, in order.
    pub(crate) fn log(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.0.join("fakeff.log")).unwrap_or_default();
        text.lines().map(Line::parse).collect()
    }

    /// All starts of a channel.
    pub(crate) fn starts(&self, name: &str) -> Vec<Line> {
        self.events("start", name)
    }

    /// All lines of a channel that tell this.
    pub(crate) fn events(&self, event: &str, name: &str) -> Vec<Line> {
        let key = key_of(name);
        self.log().into_iter().filter(|line| line.event == event && line.key == key).collect()
    }

    /// When a channel's starts came, in seconds after the first one.
    pub(crate) fn start_seconds(&self, name: &str) -> Vec<f64> {
        let starts = self.starts(name);
        let first = starts.first().map_or(0, |start| start.ms);
        starts.iter().map(|start| seconds(start.ms - first)).collect()
    }
}

/// The program. `cargo test` builds it, unless it is told which tests to run.
fn built() -> PathBuf {
    static FRESH: Once = Once::new();
    let built = Path::new(TUNERD).with_file_name("examples").join("fakeff");
    FRESH.call_once(|| {
        let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakeff");
        let newest = fs::read_dir(sources).unwrap().filter_map(|entry| changed(&entry.unwrap().path())).max();
        if changed(&built) < newest {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--locked", "--example", "fakeff"]).current_dir(env!("CARGO_MANIFEST_DIR"));
            if !cfg!(debug_assertions) {
                cargo.arg("--release");
            }
            assert!(cargo.status().unwrap().success(), "cargo build --example fakeff");
        }
    });
    built
}

/// What names a channel in script and log: the group that it is sent to, one for each name.
pub(crate) fn key_of(name: &str) -> String {
    let hash = name.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // Three digits each, so that none stands in another.
    let [a, b, c] = [hash, hash / 150, hash / 22_500].map(|part| 100 + part % 150);
    format!("239.{a}.{b}.{c}")
}

/// The address of a fake channel: of the kind that FFmpeg hears by itself. The fake one never does.
pub(crate) fn address_of(name: &str) -> String {
    format!("udp://{}:9", key_of(name))
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a test run")]
pub(crate) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// The clock of the log.
pub(crate) fn monotonic_ms() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(time.tv_sec() * 1_000 + time.tv_nsec() / 1_000_000).unwrap()
}

/// A line of the log: `event key=… start=… pid=… ms=… …`.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// `start`, `out` (its first byte), `term`, `end` (by itself), `grandchild`, `silence`, `closed`, `probe`.
    pub(crate) event: String,
    pub(crate) key: String,
    pub(crate) pid: u32,
    pub(crate) ms: u64,
    pub(crate) more: String,
}

impl Line {
    fn parse(line: &str) -> Self {
        let mut words = line.splitn(6, ' ');
        let event = words.next().unwrap().to_owned();
        let mut field = |name: &str| {
            let word = words.next().unwrap_or_else(|| panic!("{line:?} has no {name}"));
            word.strip_prefix(name).unwrap_or_else(|| panic!("{line:?} has no {name}")).to_owned()
        };
        // Which start of its key it is stands between.
        let (key, _, pid, ms) = (field("key="), field("start="), field("pid="), field("ms="));
        let more = words.next().unwrap_or_default().to_owned();
        Self { event, key, pid: pid.parse().unwrap(), ms: ms.parse().unwrap(), more }
    }

    /// A number among the further fields.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.more.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }
}

/// What `/metrics` said at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let mut answer = daemon.get("/metrics");
        // Two who ask at once have to take turns.
        wait_until("/metrics answers", Duration::from_secs(5), || {
            if answer.status != 200 {
                answer = daemon.get("/metrics");
            }
            answer.status == 200
        });
        Self::parse(answer.text())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(
            lines
                .map(|line| {
                    line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap())).unwrap()
                })
                .collect(),
        )
    }

    /// The value of exactly this name, labels included: `tunerd_x{reason="y"}`.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The value that must be there.
    pub(crate) fn must(&self, name: &str) -> f64 {
        self.get(name).unwrap_or_else(|| panic!("{name} is not among the metrics: {:?}", self.0.keys()))
    }

    /// All of a name, whatever the labels, with these.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().filter_map(move |(full, value)| {
            let labels = full.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, *value))
        })
    }

    /// The sum over all labels; zero where there is none.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.all(name).map(|(_, value)| value).sum()
    }
}

/// What the kernel says about a process at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Proc {
    pub(crate) fds: usize,
    pub(crate) threads: usize,
    pub(crate) rss_kib: u64,
    /// Its children, zombies among them.
    pub(crate) children: Vec<u32>,
    pub(crate) zombies: usize,
}

impl Proc {
    pub(crate) fn of(pid: u32) -> Self {
        let children = children_of(pid);
        Self {
            fds: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
            threads: fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(),
            rss_kib: rss_kib(pid).unwrap(),
            zombies: children.iter().filter(|child| is_zombie(**child)).count(),
            children,
        }
    }
}

/// Resident memory of a process.
pub(crate) fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

pub(crate) fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

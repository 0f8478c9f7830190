//! The daemon as the kernel sees it, and a daemon of our own where none was named.

use crate::Outcome;
use crate::verdict::Sample;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than a daemon takes that drains for five seconds.
const END_WITHIN: Duration = Duration::from_secs(8);
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What the kernel says about a process now; `None` when it is gone or not ours to look at. `zombies` are its children
/// that wait for it.
pub fn look(pid: u32, at_s: f64) -> Option<(Sample, Vec<u32>)> {
    let fds = u32::try_from(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    let mut children = 0;
    let mut zombies = Vec::new();
    let own_name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let own_name = own_name.trim_end();
    for (child, state, name) in children_of(pid) {
        if state == 'Z' {
            zombies.push(child);
        } else if !name.contains("probe") && name != own_name {
            // One that still has our name has not become its program yet, which may be ffprobe.
            children += 1;
        }
    }
    let sample = Sample {
        at_s,
        fds,
        threads: u32::try_from(field("Threads:")?).ok()?,
        rss_kib: field("VmRSS:")?,
        children,
        zombies: u32::try_from(zombies.len()).ok()?,
        waited_ms: waited_ms(pid),
        told: None,
    };
    Some((sample, zombies))
}

/// How long a process has waited for a processor: its first thread, which is the daemon's executor.
fn waited_ms(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).ok()?;
    let waited_ns: f64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(waited_ns / 1e6)
}

/// Process, state and name of each child.
fn children_of(parent: u32) -> Vec<(u32, char, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may end while we look.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name stands in parentheses and may hold anything; state and parent follow it.
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else { continue };
        let mut fields = rest.split_whitespace();
        let state = fields.next().and_then(|state| state.chars().next()).unwrap_or('?');
        if fields.next().and_then(|field| field.parse().ok()) == Some(parent) {
            found.push((pid, state, name.to_owned()));
        }
    }
    found
}

/// The process that listens on this port of this machine.
pub fn listener(address: SocketAddr) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inodes: Vec<String> = table.lines().skip(1).filter_map(|line| listening_inode(line, address)).collect();
    let holds = |pid: &u32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .any(|target| inodes.iter().any(|inode| target.to_str() == Some(&format!("socket:[{inode}]"))))
    };
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(holds)
}

/// The inode of a line of `/proc/net/tcp` that is a listener for this address.
fn listening_inode(line: &str, address: SocketAddr) -> Option<String> {
    let mut fields = line.split_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_le_bytes());
    let ours = ip.is_unspecified() || IpAddr::V4(ip) == address.ip();
    let fits = state == "0A" && ours && u16::from_str_radix(port, 16).ok()? == address.port();
    fits.then(|| inode.to_owned())
}

/// What the channels of our own daemon do, one of each temperament. Few enough always fail that the throttle for all
/// of them together is a bound, not the rule: what it cuts off would be a restart storm.
const CHANNELS: [(&str, &str); 10] = [
    ("steady", "live, bitrate=2000000"),
    ("second", "live, bitrate=2000000, says"),
    ("slow", "start_delay=4000, bitrate=2000000"),
    ("dead", "refused"),
    ("flapping", "exit_after=12000..40000, bitrate=2000000"),
    ("falls-silent", "silence_after=15000, bitrate=2000000, ignore_term"),
    ("never", "silent"),
    ("crashes-now-and-then", "live, bitrate=2000000 | exit_after=20000, signal=11 | live | live"),
    ("floods", "live, stderr_flood, odd_sizes, bitrate=2000000"),
    ("misconfigured", "usage_error"),
];

/// A daemon of our own. It ends with this, and its folder goes.
pub struct Own {
    child: Child,
    folder: PathBuf,
    pub page: SocketAddr,
}

impl Own {
    pub fn start(tunerd: &Path, fakeff: &Path, slots: u32, channels: Option<&[(&str, &str)]>) -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("tunerd-soak.{}", std::process::id()));
        fs::create_dir(&folder)?;
        for name in ["ffmpeg", "ffprobe"] {
            fs::copy(fakeff, folder.join(name))?;
        }
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 100 + high % 100, low, 1);
        let (mut playlist, mut script) = ("#EXTM3U\n".to_owned(), String::new());
        for (index, (name, modes)) in channels.unwrap_or(&CHANNELS).iter().enumerate() {
            // A group of its own, so that nobody has to be called. What stands in for FFmpeg hears none.
            let group = format!("239.255.100.{}", 100 + index);
            writeln!(playlist, "#EXTINF:-1,{name}\nudp://{group}:9")?;
            writeln!(script, "{group}: {modes}")?;
        }
        fs::write(folder.join("fakeff.script"), script)?;
        fs::write(folder.join("channels.m3u"), playlist)?;
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        // All viewers come from one address. A small ring is full soon, and then memory stays as it is. What stands in
        // for FFmpeg tries no encoders, makes no slates and sees nothing.
        let settings = format!(
            "state_dir = {:?}\n[lineup]\nplaylist = {:?}\n[ffmpeg]\npath = {:?}\npaths = [{:?}]\n[slots]\ncount = {slots}\nring_mib = 1\n\
             [transcode]\nenabled = false\n[health]\nslates = false\nglance = false\n[access]\nopen = true\n\
             [network]\naddress = \"{address}\"\n\
             page_port = 8080\nconnections_max = 128\nconnections_per_address_max = 100\n",
            path("state"),
            path("channels.m3u"),
            path("ffmpeg"),
            path("")
        );
        fs::write(folder.join("tunerd.toml"), settings)?;
        let child = Command::new(tunerd)
            .arg("--config")
            .arg(folder.join("tunerd.toml"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn()?;
        let mut own = Self { child, folder, page: SocketAddr::from((address, 8080)) };
        let give_up_at = Instant::now() + READY_WITHIN;
        while crate::http::get(own.page, "/lineup.json", Duration::from_secs(2)).is_err() {
            if own.child.try_wait()?.is_some() || Instant::now() > give_up_at {
                return Err(format!("the daemon is not ready; it said:\n{}", own.last_words()).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(own)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many starts of FFmpeg were witnessed.
    pub fn witnessed_starts(&self) -> u64 {
        let log = fs::read_to_string(self.folder.join("fakeff.log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with("start ")).count() as u64
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let signal = |signal| i32::try_from(self.child.id()).map(|pid| kill(Pid::from_raw(pid), signal));
        // It may have ended before.
        let _ = signal(Signal::SIGTERM);
        let give_up_at = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < give_up_at {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("soak: {} remains: {error}", self.folder.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn this_process_is_seen_as_it_is() {
        let (sample, zombies) = look(std::process::id(), 1.0).unwrap();
        assert!(sample.fds >= 3 && sample.threads >= 1 && sample.rss_kib > 500, "{sample:?}");
        assert!(zombies.is_empty());
        assert!(look(u32::MAX, 1.0).is_none());
    }

    #[test]
    fn zombies_are_no_children_that_work() {
        let mut child = Command::new("true").spawn().unwrap();
        let give_up_at = Instant::now() + Duration::from_secs(5);
        while !look(std::process::id(), 0.0).unwrap().1.contains(&child.id()) {
            assert!(Instant::now() < give_up_at);
            std::thread::sleep(Duration::from_millis(10));
        }
        child.wait().unwrap();
        assert!(!look(std::process::id(), 0.0).unwrap().1.contains(&child.id()));
    }

    #[test]
    fn who_listens_is_found_by_the_port() {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listening.local_addr().unwrap();
        assert_eq!(listener(address), Some(std::process::id()));
        drop(listening);
        assert_eq!(listener(address), None);
    }
}

//! The measured servers: how each is started, what the kernel says it costs, how it is ended.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::{Outcome, http, pause};

pub const SOURCE: SocketAddr = local(8000);
const BARE: SocketAddr = local(8001);
const NGINX: SocketAddr = local(8002);
const TUNERD: SocketAddr = local(5004);
/// Where discovery is asked for. Source: `HDHOMERUN_DISCOVER_UDP_PORT` of libhdhomerun's `hdhomerun_discover.h`.
pub const DISCOVERY: SocketAddr = local(65001);

/// Of each slot of tunerd.
pub const RING_MIB: u64 = 4;

/// The measured server has a processor for itself; source and viewers share the other.
const SERVER_CPU: usize = 0;
const BENCH_CPU: usize = 1;

const READY_WITHIN: Duration = Duration::from_secs(10);
/// Longer than a daemon takes that drains for five seconds.
const END_WITHIN: Duration = Duration::from_secs(7);
/// Ticks a second of the times in /proc, on every architecture.
const USER_HZ: u64 = 100;

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bare,
    Nginx,
    Tunerd,
    /// The daemon's engine with a viewer for each channel who throws away what he gets, and no doors.
    Pull,
    /// An FFmpeg for each channel that copies it, and nobody who reads that.
    Copy,
}

/// What tunerd has to play.
#[derive(Clone, Copy)]
pub enum Lineup {
    /// Its own demo channels.
    Demo,
    /// This many channels of the source.
    Source(usize),
    /// This many channels that nobody plays.
    Listed(usize),
}

/// A server at work. Dropping it ends it and all it started.
pub struct Server {
    pub address: SocketAddr,
    /// Of each channel, in order.
    pub paths: Vec<String>,
    child: Child,
    log: PathBuf,
}

/// Processor time since the start, in seconds.
#[derive(Clone, Copy)]
pub struct Cpu {
    /// Of the process that was started.
    pub own: f64,
    /// Of all processes below it, alive and gone.
    pub children: f64,
}

impl Server {
    /// Starts a server in the empty directory `room` and waits until it can be asked for its channels.
    ///
    /// # Errors
    /// It could not be started or is not ready in time; the error has the end of its log.
    pub fn start(kind: Kind, lineup: Lineup, tunerd: Option<&Path>, room: &Path) -> Outcome<Self> {
        let mut server = Self::spawn(kind, lineup, tunerd, room)?;
        let give_up_at = Instant::now() + READY_WITHIN;
        loop {
            let ready = match kind {
                Kind::Bare | Kind::Nginx => std::net::TcpStream::connect(server.address).is_ok(),
                Kind::Tunerd => server.learn_lineup(lineup),
                Kind::Pull => true,
                Kind::Copy => server.descendants()?.len() >= server.paths.len(),
            };
            if ready {
                return Ok(server);
            }
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() >= give_up_at {
                let log = fs::read_to_string(&server.log)?;
                let tail: Vec<&str> = log.lines().rev().take(8).collect();
                let fate = ended.map_or("is not ready".to_owned(), |status| format!("left with {status}"));
                let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n    ");
                return Err(format!("{kind} {fate}; its last words:\n    {tail}").into());
            }
            pause(Duration::from_millis(20))?;
        }
    }

    /// Starts a server and does not wait.
    pub fn spawn(kind: Kind, lineup: Lineup, tunerd: Option<&Path>, room: &Path) -> Outcome<Self> {
        let (address, mut command) = match kind {
            Kind::Bare => (BARE, bare_command()?),
            Kind::Nginx => (NGINX, nginx_command(room)?),
            Kind::Pull => (SOURCE, pull_command(lineup)?),
            Kind::Copy => (SOURCE, copy_command(lineup)),
            Kind::Tunerd => (TUNERD, tunerd_command(tunerd.ok_or("tunerd is not given")?, lineup, room)?),
        };
        let paths = match lineup {
            Lineup::Demo | Lineup::Listed(_) => Vec::new(),
            Lineup::Source(channels_len) => (0..channels_len).map(|index| format!("/{index}.ts")).collect(),
        };
        let log = room.join("server.log");
        let output = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let mut cpus = CpuSet::new();
        cpus.set(if cpus_len()? > 1 { SERVER_CPU } else { 0 })?;
        // SAFETY: between fork and exec only two system calls are made; nothing is allocated, nothing locked.
        unsafe {
            command.pre_exec(move || {
                set_pdeathsig(Signal::SIGTERM)?;
                Ok(sched_setaffinity(Pid::from_raw(0), &cpus)?)
            });
        }
        let child = command.spawn().map_err(|error| format!("{kind} cannot be started: {error}"))?;
        Ok(Self { address, paths, child, log })
    }

    /// Asks tunerd for its channels. Whether it has all of them yet.
    fn learn_lineup(&mut self, lineup: Lineup) -> bool {
        let page = http::get(self.address, "/lineup.json").unwrap_or_default();
        let numbers = page.split("\"GuideNumber\"").skip(1).filter_map(|rest| rest.split('"').nth(1));
        self.paths = numbers.map(|number| format!("/auto/v{number}")).collect();
        let expected_len = match lineup {
            Lineup::Demo => 1,
            Lineup::Source(channels_len) | Lineup::Listed(channels_len) => channels_len,
        };
        self.paths.len() >= expected_len
    }

    /// Processor time up to now.
    ///
    /// A clock of the process is read where one is alive: its counters in /proc have ticks of 10 ms only.
    pub fn cpu(&self) -> Outcome<Cpu> {
        let mut children: f64 = self.descendants()?.iter().filter_map(|pid| process_cpu(*pid).ok()).sum();
        let own = process_cpu(self.pid())?;
        let stat = Stat::read(self.pid())?;
        children += stat.waited_for_ticks as f64 / USER_HZ as f64;
        Ok(Cpu { own, children })
    }

    /// Proportional set size in KiB, of the process and, for nginx, of its worker.
    pub fn pss_kib(&self, kind: Kind) -> Outcome<u64> {
        self.sum(kind, |pid| kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:"))
    }

    /// Resident set size in KiB, of the process and, for nginx, of its worker.
    pub fn rss_kib(&self, kind: Kind) -> Outcome<u64> {
        self.sum(kind, |pid| kib(&format!("/proc/{pid}/status"), "VmRSS:"))
    }

    /// How often the threads were switched to something else, by their will or not: each time one had been awake.
    pub fn switches(&self, kind: Kind) -> Outcome<u64> {
        self.sum(kind, |pid| {
            let mut sum = 0;
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                let status = fs::read_to_string(thread?.path().join("status"))?;
                let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
                sum += counts.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
            }
            Ok(sum)
        })
    }

    /// Proportional set size in KiB of all processes below this one.
    pub fn children_pss_kib(&self) -> Outcome<u64> {
        self.descendants()?.iter().map(|pid| kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")).sum()
    }

    fn sum(&self, kind: Kind, each: impl Fn(Pid) -> Outcome<u64>) -> Outcome<u64> {
        let mut sum = each(self.pid())?;
        if kind == Kind::Nginx {
            for worker in self.descendants()? {
                sum += each(worker)?;
            }
        }
        Ok(sum)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// All processes below this one.
    fn descendants(&self) -> Outcome<Vec<Pid>> {
        let mut pairs = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
            if let Ok(stat) = Stat::read(Pid::from_raw(pid)) {
                pairs.push((Pid::from_raw(pid), stat.parent));
            }
        }
        let mut family = vec![self.pid()];
        let mut next = 0;
        while next < family.len() {
            let parent = family[next];
            family.extend(pairs.iter().filter(|pair| pair.1 == parent).map(|pair| pair.0));
            next += 1;
        }
        Ok(family.split_off(1))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let children: Vec<(Pid, Stat)> = self
            .descendants()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|child| Some((child, Stat::read(child).ok()?)))
            .collect();
        let _gone = kill(self.pid(), Signal::SIGTERM);
        let kill_at = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= kill_at {
                eprintln!("bench: {} did not end and is killed", self.pid());
                let _gone = self.child.kill();
                let _reaped = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // A child that was told to die with its parent may need a moment.
        let outlived = |(child, before): &(Pid, Stat)| {
            Stat::read(*child).is_ok_and(|now| now.started_ticks == before.started_ticks && !now.is_zombie)
        };
        let kill_at = Instant::now() + Duration::from_millis(300);
        while children.iter().any(outlived) && Instant::now() < kill_at {
            std::thread::sleep(Duration::from_millis(10));
        }
        for (child, _) in children.iter().filter(|child| outlived(child)) {
            eprintln!("bench: process {child} outlived its server and is killed");
            let _gone = kill(*child, Signal::SIGKILL);
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Bare => "bare loop",
            Self::Nginx => "nginx",
            Self::Tunerd => "tunerd",
            Self::Pull => "pull",
            Self::Copy => "FFmpeg -c copy",
        })
    }
}

fn bare_command() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare", &BARE.to_string(), &SOURCE.to_string(), "/0.ts"]);
    Ok(command)
}

fn nginx_command(room: &Path) -> io::Result<Command> {
    let room = room.display();
    // `user` counts for root only, who may be root of nothing but the bench's own namespace.
    let config = format!(
        "user root root;
worker_processes 1;
daemon off;
pid {room}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {room}/body;
    proxy_temp_path {room}/proxy;
    fastcgi_temp_path {room}/fastcgi;
    uwsgi_temp_path {room}/uwsgi;
    scgi_temp_path {room}/scgi;
    server {{
        listen {NGINX};
        location = /lineup.json {{ root {room}; }}
        location / {{
            proxy_pass http://{SOURCE};
            proxy_buffering off;
            chunked_transfer_encoding off;
        }}
    }}
}}
"
    );
    fs::write(format!("{room}/nginx.conf"), config)?;
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-c", &format!("{room}/nginx.conf")]);
    Ok(command)
}

fn pull_command(lineup: Lineup) -> io::Result<Command> {
    let channels_len = if let Lineup::Source(channels_len) = lineup { channels_len } else { 1 };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["puller", &SOURCE.to_string(), &channels_len.to_string()]);
    Ok(command)
}

/// As tunerd started FFmpeg before it pulled streams by itself.
fn copy_command(lineup: Lineup) -> Command {
    let channels_len = if let Lineup::Source(channels_len) = lineup { channels_len } else { 1 };
    let one = format!(
        "ffmpeg -nostdin -v warning -analyzeduration 3000000 -probesize 5000000 -fpsprobesize 0 -f mpegts \
         -scan_all_pmts 0 -i http://{SOURCE}/$index.ts -map 0:v:0? -map 0:a? -c copy -max_interleave_delta 1000000 \
         -muxdelay 0 -muxpreload 0 -flush_packets 1 -pat_period 0.1 -f mpegts pipe:1 >/dev/null &"
    );
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("index=0; while [ $index -lt {channels_len} ]; do {one} index=$((index + 1)); done; wait"),
    ]);
    command
}

fn tunerd_command(tunerd: &Path, lineup: Lineup, room: &Path) -> io::Result<Command> {
    let room = room.display();
    let mut source = String::new();
    let mut slots_len = 4;
    if let Lineup::Source(channels_len) | Lineup::Listed(channels_len) = lineup {
        if matches!(lineup, Lineup::Source(_)) {
            slots_len = slots_len.max(channels_len);
        }
        let mut playlist = "#EXTM3U\n".to_owned();
        for index in 0..channels_len {
            playlist += &format!("#EXTINF:-1 tvg-chno=\"{}\",Bench {index}\nhttp://{SOURCE}/{index}.ts\n", index + 1);
        }
        fs::write(format!("{room}/bench.m3u"), playlist)?;
        source = format!("[lineup]\nplaylist = \"{room}/bench.m3u\"\nthis_box = true\n");
    }
    let config = format!(
        "name = \"bench\"
state_dir = \"{room}/state\"
{source}[slots]
count = {slots_len}
ring_mib = {RING_MIB}
[transcode]
enabled = false
[access]
open = true
[network]
address = \"{}\"
page_port = 8080
stream_port = {}
connections_max = 512
connections_per_address_max = 512
",
        TUNERD.ip(),
        TUNERD.port()
    );
    fs::create_dir_all(format!("{room}/state"))?;
    fs::write(format!("{room}/tunerd.toml"), config)?;
    let mut command = Command::new(tunerd);
    command.arg("--config").arg(format!("{room}/tunerd.toml"));
    Ok(command)
}

/// Keeps the bench itself, with source and viewers, off the processor of the measured server.
pub fn pin_bench() -> Outcome<()> {
    if cpus_len()? < 2 {
        eprintln!("bench: one processor only: server, source and viewers share it, and figures are worth less");
        return Ok(());
    }
    let mut cpus = CpuSet::new();
    cpus.set(BENCH_CPU)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cpus)?)
}

fn cpus_len() -> Outcome<usize> {
    let present = fs::read_to_string("/proc/cpuinfo")?;
    Ok(present.lines().filter(|line| line.starts_with("processor")).count().max(1))
}

/// What is needed of /proc/<pid>/stat.
struct Stat {
    is_zombie: bool,
    parent: Pid,
    /// Since boot; with the pid it names a process for good.
    started_ticks: u64,
    /// utime and stime of children that were waited for, and of theirs.
    waited_for_ticks: u64,
}

impl Stat {
    /// Source: proc_pid_stat(5): fields 3 (state), 4 (ppid), 16 and 17 (cutime, cstime), 22 (starttime). The name, field
    /// 2, may have anything in it, so counting begins behind it.
    fn read(pid: Pid) -> Outcome<Self> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, behind_name) = line.rsplit_once(')').ok_or("/proc/…/stat has no name in it")?;
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).ok_or("/proc/…/stat is too short");
        let waited_for_ticks = field(16)?.parse::<u64>()? + field(17)?.parse::<u64>()?;
        Ok(Self {
            is_zombie: *field(3)? == "Z",
            parent: Pid::from_raw(field(4)?.parse()?),
            started_ticks: field(22)?.parse()?,
            waited_for_ticks,
        })
    }
}

/// Seconds that the processors of server and bench were busy, with whatever, since boot.
///
/// Source: proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; in ticks.
pub fn busy_seconds() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let mut ticks = 0;
    for cpu in [SERVER_CPU, BENCH_CPU] {
        let name = format!("cpu{cpu} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
        let times = line.split_whitespace().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
        ticks += times.filter_map(|(_, time)| time.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(ticks as f64 / USER_HZ as f64)
}

/// Processor time of this process, with source and viewers, in seconds.
pub fn bench_cpu() -> Outcome<f64> {
    process_cpu(Pid::this())
}

fn process_cpu(pid: Pid) -> Outcome<f64> {
    Ok(Duration::from(ClockId::pid_cpu_clock_id(pid)?.now()?).as_secs_f64())
}

fn kib(file: &str, key: &str) -> Outcome<u64> {
    let text = fs::read_to_string(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)).ok_or(format!("{file} has no {key}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

//! Measures how tunerd takes playlists of any size, against its bars. `README.md` says what the figures mean.
//!
//! A provider (a thread of this process) has a playlist of so many entries. It is imported, refreshed without and with
//! changes, while one client asks for the device over and over and another for the lineup. What the daemon's processor
//! time and memory were is the kernel's word.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the bans are the daemon's, not the bench's")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Seconds of processor time for 40,000 entries, all of it.
const CPU_S_MAX: f64 = 5.0;
const PEAK_MIB_MAX: f64 = 32.0;
const IDLE_MIB_MAX: f64 = 20.0;
const STALL_P999_MS_MAX: f64 = 20.0;
/// Times as long for four times as many entries and more is not linear.
const LINEAR_MAX: f64 = 2.0;
/// Entries of the group that is chosen.
const CHOSEN: usize = 500;
const PAGE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const USER_HZ: f64 = 100.0;

/// A playlist as providers write them. `version` changes one entry in a hundred: renamed, moved, gone, new.
fn playlist(entries: usize, version: usize) -> String {
    let mut text = "#EXTM3U url-tvg=\"http://guide.example/xmltv.xml.gz\"\n".to_owned();
    for n in 0..entries {
        let (mut name, mut group) = (format!("UK: Some Channel {n} HD"), n / CHOSEN);
        if version > 0 && group > 0 && n % 100 == 7 {
            match n / 100 % 4 {
                0 => name = format!("UK: Renamed {n}.{version}"),
                1 => group += 1,
                2 => continue,
                _ => writeln!(text, "#EXTINF:-1,New {n}.{version}\nhttp://127.0.0.1:9/new/{n}.{version}.ts").unwrap(),
            }
        }
        writeln!(
            text,
            "#EXTINF:-1 tvg-id=\"channel.{n}.uk\" tvg-name=\"{name}\" tvg-logo=\"http://logos.example/uk/{n}.png\" \
             group-title=\"Group {group}\",{name}\nhttp://127.0.0.1:9/live/somebody/something/{n}.ts"
        )
        .unwrap();
    }
    text
}

/// The provider: holds its answers back until it has something to say.
struct Provider {
    address: SocketAddr,
    body: Arc<Mutex<Option<Arc<String>>>>,
}

impl Provider {
    fn start() -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, body) = (listener.local_addr()?, Arc::new(Mutex::new(None::<Arc<String>>)));
        let shared = Arc::clone(&body);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head);
                let body = loop {
                    if let Some(body) = shared.lock().unwrap().clone() {
                        break body;
                    }
                    thread::sleep(Duration::from_millis(5));
                };
                let _ =
                    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(body.as_bytes());
            }
        });
        Ok(Self { address, body })
    }

    fn has(&self, body: Option<String>) {
        *self.body.lock().unwrap() = body.map(Arc::new);
    }
}

fn ask(request: &str) -> Outcome<String> {
    let mut socket = TcpStream::connect(PAGE)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn get(path: &str) -> Outcome<String> {
    ask(&format!("GET {path} HTTP/1.0\r\nHost: {PAGE}\r\n\r\n"))
}

struct Daemon {
    child: Child,
    room: PathBuf,
}

impl Daemon {
    fn start(tunerd: &str, provider: &Provider, chosen: bool) -> Outcome<Self> {
        let room = std::env::temp_dir().join(format!("tunerd-subscriptions.{}", std::process::id()));
        fs::create_dir_all(&room)?;
        let groups = if chosen { "groups = [\"Group 0\"]\n" } else { "" };
        let settings = format!(
            "state_dir = {:?}\n[lineup]\nplaylist = \"http://{}/list.m3u\"\nthis_box = true\n{groups}[access]\nopen = true\n\
             [network]\naddress = \"127.0.0.1\"\npage_port = 8080\ndiscovery = false\nssdp = false\nmdns = false\n",
            room.join("state"),
            provider.address
        );
        let path = room.join("tunerd.toml");
        fs::write(&path, settings)?;
        let log = fs::File::create(room.join("log"))?;
        let child = Command::new(tunerd)
            .arg("--config")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .env_remove("NOTIFY_SOCKET")
            .spawn()?;
        let mut daemon = Self { child, room };
        let until = Instant::now() + Duration::from_secs(10);
        while get("/lineup_status.json").is_err() {
            if daemon.child.try_wait()?.is_some() || Instant::now() > until {
                return Err(fs::read_to_string(daemon.room.join("log"))?.into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_secs(1));
        Ok(daemon)
    }

    /// Of `/proc/PID/status`, in MiB.
    fn memory(&self, what: &str) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(what)).ok_or("no such figure of memory")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<f64>()? / 1024.0)
    }

    fn cpu_s(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / USER_HZ)
    }

    /// From here on the peak is counted anew.
    fn reset_peak(&self) -> Outcome<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.room);
    }
}

/// Clients that ask all the time.
struct Clients {
    stop: Arc<AtomicBool>,
    waits: thread::JoinHandle<Vec<f64>>,
    lengths: thread::JoinHandle<Vec<usize>>,
}

impl Clients {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (one, two) = (Arc::clone(&stop), Arc::clone(&stop));
        let waits = thread::spawn(move || {
            let mut waits = Vec::new();
            while !one.load(Ordering::Relaxed) {
                let began = Instant::now();
                if get("/discover.json").is_ok_and(|answer| answer.contains("DeviceID")) {
                    waits.push(began.elapsed().as_secs_f64() * 1e3);
                } else {
                    waits.push(f64::MAX);
                }
                thread::sleep(Duration::from_millis(1));
            }
            waits
        });
        let lengths = thread::spawn(move || {
            let mut lengths = Vec::new();
            while !two.load(Ordering::Relaxed) {
                match get("/lineup.json") {
                    // Before the first lineup there is none, which is no lineup of no channels.
                    Ok(answer) if answer.starts_with("HTTP/1.0 503") || answer.starts_with("HTTP/1.1 503") => {}
                    Ok(answer) if answer.ends_with("}]") => lengths.push(answer.matches("\"GuideNumber\"").count()),
                    _ => lengths.push(usize::MAX),
                }
                thread::sleep(Duration::from_millis(20));
            }
            lengths
        });
        Self { stop, waits, lengths }
    }

    fn end(self) -> (Vec<f64>, Vec<usize>) {
        self.stop.store(true, Ordering::Relaxed);
        (self.waits.join().unwrap_or_default(), self.lengths.join().unwrap_or_default())
    }
}

#[derive(Default)]
struct Report {
    missed: usize,
}

impl Report {
    fn bar(&mut self, what: &str, value: f64, limit: f64, unit: &str) {
        let verdict = if value <= limit { "PASS" } else { "MISS" };
        self.missed += usize::from(value > limit);
        println!("  {verdict}  {what}: {value:.2}{unit}, bar at most {limit}{unit}");
    }
}

/// One refresh with the clients at it: processor seconds, seconds, peak above `idle`, and what the clients saw.
fn refresh(
    daemon: &Daemon,
    idle: f64,
    go: impl FnOnce() -> Outcome<()>,
) -> Outcome<(f64, f64, f64, Vec<f64>, Vec<usize>)> {
    daemon.reset_peak()?;
    let clients = Clients::start();
    thread::sleep(Duration::from_millis(200));
    // What the clients cost is taken off below.
    let (before, began) = (daemon.cpu_s()?, Instant::now());
    go()?;
    let until = Instant::now() + Duration::from_secs(120);
    while get("/lineup_status.json")?.contains("\"ScanInProgress\":1") {
        if Instant::now() > until {
            return Err("the import does not end".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    let (cpu, took) = (daemon.cpu_s()? - before, began.elapsed().as_secs_f64());
    thread::sleep(Duration::from_millis(200));
    let (mut waits, lengths) = clients.end();
    waits.sort_by(f64::total_cmp);
    Ok((cpu, took, daemon.memory("VmHWM")? - idle, waits, lengths))
}

fn p999(waits: &[f64]) -> f64 {
    waits.get(waits.len().saturating_sub(1 + waits.len() / 1_000)).copied().unwrap_or(f64::MAX)
}

/// Measures one size; gives the processor seconds of the import.
fn measure(tunerd: &str, entries: usize, chosen: bool, report: &mut Report) -> Outcome<f64> {
    println!("{entries} entries, {}", if chosen { "500 of them chosen" } else { "all of them chosen" });
    let provider = Provider::start()?;
    let daemon = Daemon::start(tunerd, &provider, chosen)?;
    let idle = daemon.memory("VmRSS")?;
    let scan = || {
        let asked =
            ask(&format!("POST /lineup.post?scan=start HTTP/1.0\r\nHost: {PAGE}\r\nContent-Length: 0\r\n\r\n"))?;
        if asked.contains(" 200 ") { Ok(()) } else { Err(asked.into()) }
    };
    // What the machine does to such answers by itself.
    let alone = Clients::start();
    thread::sleep(Duration::from_secs(3));
    let (mut alone, _) = alone.end();
    alone.sort_by(f64::total_cmp);
    let mut stalls = Vec::new();
    let mut import_s = 0.0;
    for (what, version) in [("imported", 0), ("refreshed, nothing new", 0), ("refreshed, one in a hundred changed", 1)]
    {
        let base = if what == "imported" { idle } else { daemon.memory("VmRSS")? };
        let body = playlist(entries, version);
        let mib = body.len() as f64 / f64::from(1 << 20);
        let (cpu, took, peak, waits, lengths) = refresh(&daemon, base, || {
            provider.has(Some(body));
            if what == "imported" { Ok(()) } else { scan() }
        })?;
        let expected = if chosen { CHOSEN } else { entries };
        // New ones of the whole lineup come and others go; what is not there at all was never read.
        let served = get("/lineup.json")?.matches("\"GuideNumber\"").count();
        if served != expected && (chosen || version == 0 || served < entries / 2) {
            return Err(format!("{what}: {served} channels instead of {}", expected).into());
        }
        let odd = lengths.iter().filter(|len| **len != expected && (chosen || version == 0)).count();
        println!("        {what}: {mib:.1} MiB, {cpu:.2} s of processor in {took:.2} s, peak {peak:.1} MiB above idle");
        println!("        {} lineups seen, {odd} odd; device asked {} times", lengths.len(), waits.len());
        report.bar("lineups that were neither the old nor the new", odd as f64, 0.0, "");
        if entries == 40_000 {
            report.bar("processor time", cpu, CPU_S_MAX, " s");
        }
        report.bar("peak memory above idle", peak, PEAK_MIB_MAX, " MiB");
        stalls.extend(waits);
        if what == "imported" {
            import_s = cpu;
        }
    }
    stalls.sort_by(f64::total_cmp);
    let longest = |waits: &[f64]| waits.last().copied().unwrap_or(f64::MAX);
    println!(
        "        answers about the device before: p99.9 {:.1} ms, longest {:.1} ms",
        p999(&alone),
        longest(&alone)
    );
    println!("        and meanwhile: longest {:.1} ms", longest(&stalls));
    report.bar("answers about the device meanwhile, p99.9", p999(&stalls), STALL_P999_MS_MAX, " ms");
    thread::sleep(Duration::from_secs(2));
    let after = daemon.memory("VmRSS")?;
    if chosen && entries == 40_000 {
        report.bar("resident afterwards", after, IDLE_MIB_MAX, " MiB");
    } else {
        println!("        resident before {idle:.1} MiB, afterwards {after:.1} MiB");
    }
    println!();
    Ok(import_s)
}

fn run() -> Outcome<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (tunerd, sizes) = arguments.split_first().ok_or("usage: tools/bench/subscriptions [SIZE…]")?;
    let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
    let sizes = if sizes.is_empty() { vec![1_000, 5_000, 40_000, 200_000] } else { sizes };
    let mut report = Report::default();
    let mut known: Vec<(usize, f64)> = Vec::new();
    for entries in sizes {
        let import_s = measure(tunerd, entries, true, &mut report)?;
        known.push((entries, import_s));
        if entries == 40_000 {
            measure(tunerd, entries, false, &mut report)?;
        }
    }
    // Small ones are start-up, not import.
    let large: Vec<_> = known.iter().filter(|(entries, _)| *entries >= 5_000).collect();
    if let [(few, few_s), .., (many, many_s)] = large[..] {
        let each = |entries: usize, seconds: f64| seconds / entries as f64 * 1e6;
        println!(
            "{few} entries took {:.1} µs each, {many} took {:.1} µs each",
            each(*few, *few_s),
            each(*many, *many_s)
        );
        report.bar("that is times as much", each(*many, *many_s) / each(*few, *few_s), LINEAR_MAX, "");
    }
    Ok(ExitCode::from(u8::from(report.missed > 0)))
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("bench: {error}");
        ExitCode::from(2)
    })
}

//! What is measured, and the bars.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::answers::{SEARCH, amplification, echo, flood, requests_per_second, waits_ms};
use crate::report::{Report, list, median, say};
use crate::servers::{DISCOVERY, Kind, Lineup, RING_MIB, SOURCE, Server, bench_cpu, busy_seconds};
use crate::source::{self, Source};
use crate::viewers::{Care, Sample, SlowViewer, Viewers, wait_for_first_byte, wait_for_key_frame};
use crate::{Outcome, http, pause};

// The bars.
const RELAY_TO_BARE_MAX: f64 = 1.3;
const RELAY_TO_NGINX_MAX: f64 = 0.8;
const CHANNELS_TO_NGINX_MAX: f64 = 1.3;
const PULL_TO_COPY_MAX: f64 = 0.1;
const VIEWER_KIB_MAX: f64 = 16.0;
const ZAP_MS_MAX: f64 = 50.0;
const COLD_MS_MAX: f64 = 1200.0;
const IDLE_MIB_MAX: f64 = 12.0;
const WAKEUPS_PER_SECOND_MAX: f64 = 2.0;
const DISCOVERY_MS_MAX: f64 = 300.0;
const BINARY_MIB_MAX: f64 = 8.0;
const STALL_P999_MS_MAX: f64 = 20.0;
const DISCOVERY_P99_MS_MAX: f64 = 50.0;
const DISCOVERY_MEDIAN_MS_MAX: f64 = 2.0;
/// The longest answer, with addresses that have IPv4's longest form, to the shortest question.
const AMPLIFICATION_MAX: f64 = 113.0 / 14.0;
/// A flood, in datagrams a second.
const FLOOD: u64 = 20_000;
/// Channels of the lineup that is asked for.
const LISTED_LEN: usize = 500;
const NGINX_TO_TUNERD_MAX: f64 = 2.0;

const EVERY: [Kind; 3] = [Kind::Bare, Kind::Nginx, Kind::Tunerd];

/// All viewers are served after this, or the figure cannot be measured. A daemon may start channels one by one.
pub const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// A ring of 4 MiB has been written all over, so what grows from then on grows for another reason.
const RING_FULL_AFTER: Duration = Duration::from_secs(8);
/// Of the source's rate. The rest is null packets and what a remuxer packs tighter.
const RATE_SHARE_MIN: f64 = 0.85;

/// Above this, a figure is marked. Processors' worth; the bench itself and interrupts leave a few hundredths.
const FOREIGN_MAX: f64 = 0.1;

/// One subcommand.
pub type Figure = fn(&mut Bench) -> Outcome<()>;

/// Every figure by name, in the order of `all`.
pub const ALL: [(&str, Figure); 10] = [
    ("relay8", |bench| bench.relay(8)),
    ("relay32", |bench| bench.relay(32)),
    ("channels36", Bench::channels),
    ("pull", Bench::pull),
    ("memory", Bench::memory),
    ("zap", Bench::zap),
    ("failing8", Bench::failing),
    ("discovery", Bench::answers),
    ("http", Bench::http),
    ("idle", Bench::idle),
];

/// How to measure, and what came out so far.
pub struct Bench {
    pub tunerd: Option<PathBuf>,
    pub scratch: PathBuf,
    pub rounds_len: usize,
    pub measured: Duration,
    pub warmup: Duration,
    pub report: Report,
    rooms_len: usize,
}

impl Default for Bench {
    fn default() -> Self {
        Self {
            tunerd: None,
            scratch: PathBuf::new(),
            rounds_len: 3,
            measured: Duration::from_secs(15),
            warmup: Duration::from_secs(5),
            report: Report::default(),
            rooms_len: 0,
        }
    }
}

/// One server under load for one window.
#[derive(Clone, Copy)]
struct Cost {
    /// Seconds of processor for each delivered GB, of the server itself.
    own: f64,
    /// The same with the server's children.
    total: f64,
    /// Mbit/s that the viewers had on average.
    viewer_rate: f64,
    /// Processors' worth of work that others did meanwhile on the two processors of the bench.
    foreign: f64,
}

/// Medians of all rounds, in seconds of processor for each delivered GB.
struct Medians {
    own: f64,
    total: f64,
}

impl Bench {
    fn relay(&mut self, viewers_len: usize) -> Outcome<()> {
        println!("relay{viewers_len}: {viewers_len} viewers of one live channel, 8 Mbit/s");
        if let [bare, nginx, tunerd] = &self.costs(&EVERY, 1, viewers_len)?[..] {
            self.report.bar("tunerd beside the bare loop", tunerd.own / bare.own, RELAY_TO_BARE_MAX, "×");
            self.report.bar("tunerd beside nginx", tunerd.own / nginx.own, RELAY_TO_NGINX_MAX, "×");
            say("with its FFmpeg, beside the bare loop", tunerd.total / bare.own, "×");
            say("with its FFmpeg, beside nginx", tunerd.total / nginx.own, "×");
        }
        println!();
        Ok(())
    }

    fn channels(&mut self) -> Outcome<()> {
        println!("channels36: 36 live channels of 8 Mbit/s with one viewer each");
        if let [nginx, tunerd] = &self.costs(&[Kind::Nginx, Kind::Tunerd], 36, 36)?[..] {
            self.report.bar("tunerd beside nginx", tunerd.own / nginx.own, CHANNELS_TO_NGINX_MAX, "×");
            say("with its probers, beside nginx", tunerd.total / nginx.own, "×");
        }
        println!();
        Ok(())
    }

    /// What it takes to have channels in their rings, beside an FFmpeg for each that copies it. FFmpeg's output goes
    /// nowhere, which favours it.
    fn pull(&mut self) -> Outcome<()> {
        const CHANNELS: usize = 36;
        println!("pull: 36 live channels of 8 Mbit/s, each taken from the source by tunerd or by an FFmpeg of its own");
        let (mut by_cpu, mut by_memory) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds_len {
            let (pull_cpu, pull_kib) = self.taken(Kind::Pull, CHANNELS)?;
            let (copy_cpu, copy_kib) = self.taken(Kind::Copy, CHANNELS)?;
            let ring_kib = (RING_MIB * 1024) as f64;
            println!(
                "        a channel: tunerd {:.3} % of a processor, {:.0} KiB beside its ring; FFmpeg {:.3} %, {:.0} KiB",
                pull_cpu * 100.0,
                pull_kib - ring_kib,
                copy_cpu * 100.0,
                copy_kib
            );
            by_cpu.push(pull_cpu / copy_cpu);
            by_memory.push((pull_kib - ring_kib).max(0.0) / copy_kib);
        }
        self.report.bar("processor time of a pull beside FFmpeg", median(&by_cpu), PULL_TO_COPY_MAX, " ×");
        self.report.bar("memory of a pull beside FFmpeg", median(&by_memory), PULL_TO_COPY_MAX, " ×");
        println!();
        Ok(())
    }

    /// Processors' worth and KiB that one of so many channels takes.
    fn taken(&mut self, kind: Kind, channels_len: usize) -> Outcome<(f64, f64)> {
        let (_source, server) = self.start(kind, Lineup::Source(channels_len))?;
        pause(RING_FULL_AFTER.max(self.warmup))?;
        let (before, began) = (server.cpu()?, Instant::now());
        pause(self.measured)?;
        let (after, seconds) = (server.cpu()?, began.elapsed().as_secs_f64());
        let (cpu, kib) = match kind {
            Kind::Copy => (after.children - before.children, server.children_pss_kib()?),
            _ => (after.own - before.own, server.pss_kib(kind)?),
        };
        Ok((cpu / seconds / channels_len as f64, kib as f64 / channels_len as f64))
    }

    /// Of `kinds`, those that are there to be measured.
    fn present(&self, kinds: &[Kind]) -> Vec<Kind> {
        kinds.iter().copied().filter(|kind| *kind != Kind::Tunerd || self.tunerd.is_some()).collect()
    }

    /// Measures and prints what each server costs; one entry for each that is there.
    ///
    /// Rounds go over all servers, so that a busy moment of the machine does not fall on one of them alone.
    fn costs(&mut self, kinds: &[Kind], channels_len: usize, viewers_len: usize) -> Outcome<Vec<Medians>> {
        let kinds = self.present(kinds);
        let mut rounds: Vec<Vec<Cost>> = vec![Vec::new(); kinds.len()];
        for _ in 0..self.rounds_len {
            for (costs, kind) in rounds.iter_mut().zip(&kinds) {
                let cost = self.cost(*kind, channels_len, viewers_len);
                costs.push(cost.map_err(|error| format!("{kind}: {error}"))?);
            }
        }
        println!("        CPU seconds per delivered GB: median (each round; what a viewer had)");
        let mut medians = Vec::new();
        for (costs, kind) in rounds.iter().zip(&kinds) {
            let column = |of: fn(&Cost) -> f64| costs.iter().map(of).collect::<Vec<f64>>();
            let (own, total) = (column(|cost| cost.own), column(|cost| cost.total));
            let rate = median(&column(|cost| cost.viewer_rate));
            let line = |name: &str, values: &[f64]| {
                println!("        {name:18} {:5.2}  ({}; {rate:.2} Mbit/s)", median(values), list(values));
            };
            line(&kind.to_string(), &own);
            if *kind == Kind::Tunerd {
                line("tunerd and FFmpeg", &total);
            }
            medians.push(Medians { own: median(&own), total: median(&total) });
        }
        let foreign = rounds.iter().flatten().map(|cost| cost.foreign).fold(0.0, f64::max);
        if foreign > FOREIGN_MAX {
            println!("        DISTURBED: other programs kept {foreign:.2} of 2 processors busy; better measure again");
        }
        Ok(medians)
    }

    fn cost(&mut self, kind: Kind, channels_len: usize, viewers_len: usize) -> Outcome<Cost> {
        let (_source, server) = self.start(kind, Lineup::Source(channels_len))?;
        let viewers = open_viewers(&server, viewers_len, Care::Count)?;
        pause(self.warmup)?;
        let (foreign_before, began) = (busy_seconds()? - bench_cpu()?, Instant::now());
        let (before, cpu_before) = (viewers.sample(), server.cpu()?);
        pause(self.measured)?;
        let (after, cpu_after) = (viewers.sample(), server.cpu()?);
        let (foreign_after, seconds) = (busy_seconds()? - bench_cpu()?, began.elapsed().as_secs_f64());
        let rates = viewer_rates(&before, &after, seconds)?;
        let gigabytes = bytes_between(&before, &after).iter().sum::<f64>() / 1e9;
        let children = cpu_after.children - cpu_before.children;
        let total = cpu_after.own - cpu_before.own + children;
        // The worker of nginx is its child, and is nginx itself.
        let own = if kind == Kind::Nginx { total } else { total - children };
        let viewer_rate = rates.iter().sum::<f64>() / rates.len() as f64;
        let foreign = (foreign_after - foreign_before - total) / seconds;
        Ok(Cost { own: own / gigabytes, total: total / gigabytes, viewer_rate, foreign })
    }

    fn memory(&mut self) -> Outcome<()> {
        println!("memory: PSS with 1, 8 and 32 viewers of one live channel");
        for kind in self.present(&EVERY) {
            let (_source, server) = self.start(kind, Lineup::Source(1))?;
            let mut pss = Vec::new();
            let mut viewers = Vec::new();
            for more_len in [1, 7, 24] {
                viewers.push(open_viewers(&server, more_len, Care::Count)?);
                pause(RING_FULL_AFTER)?;
                pss.push(server.pss_kib(kind)? as f64);
            }
            println!("        {kind:10} {} KiB", list(&pss));
            let (to_8, to_32) = ((pss[1] - pss[0]) / 7.0, (pss[2] - pss[1]) / 24.0);
            if kind == Kind::Tunerd {
                self.report.bar("tunerd, each viewer from 1 to 8", to_8, VIEWER_KIB_MAX, " KiB");
                self.report.bar("tunerd, each viewer from 8 to 32", to_32, VIEWER_KIB_MAX, " KiB");
            } else {
                say(&format!("{kind}, each viewer from 8 to 32"), to_32, " KiB");
            }
        }
        if self.tunerd.is_some() {
            self.slow_viewer()?;
        }
        println!();
        Ok(())
    }

    /// A slow viewer may cost what every viewer may, and not more with time; the others have every packet.
    fn slow_viewer(&mut self) -> Outcome<()> {
        let (_source, server) = self.start(Kind::Tunerd, Lineup::Source(1))?;
        let others = open_viewers(&server, 8, Care::Check)?;
        // The first slow one runs code that never ran before, and pages of code count as memory as well.
        let _first = SlowViewer::start(server.address, &server.paths[0])?;
        pause(RING_FULL_AFTER * 2)?;
        let (before, pss_before, began) = (others.sample(), server.pss_kib(Kind::Tunerd)?, Instant::now());
        let _slow = SlowViewer::start(server.address, &server.paths[0])?;
        // Long enough to fill the sockets between, and then the ring.
        pause(RING_FULL_AFTER * 3)?;
        let (after, pss_after) = (others.sample(), server.pss_kib(Kind::Tunerd)?);
        viewer_rates(&before, &after, began.elapsed().as_secs_f64())?;
        let grown = pss_after as f64 - pss_before as f64;
        self.report.bar("tunerd, a viewer that reads 1 kB/s, after 24 s", grown, VIEWER_KIB_MAX, " KiB");
        self.report.bar("gaps in what 8 others had meanwhile", (after.gaps - before.gaps) as f64, 0.0, "");
        Ok(())
    }

    fn zap(&mut self) -> Outcome<()> {
        println!(
            "zap: a second viewer of a running channel, until its first key frame after PAT and PMT, median of 20"
        );
        for kind in self.present(&EVERY) {
            let (_source, server) = self.start(kind, Lineup::Source(1))?;
            let _first = open_viewers(&server, 1, Care::Count)?;
            pause(Duration::from_secs(3))?;
            let mut waits = Vec::new();
            for index in 0..20 {
                // Over all phases of a key frame a second, in no order that could fall in step with it.
                pause(Duration::from_millis(200 + index * 7 % 20 * 50))?;
                waits.push(milliseconds(wait_for_key_frame(server.address, &server.paths[0])?));
            }
            let worst = waits.iter().copied().fold(0.0, f64::max);
            if kind == Kind::Tunerd {
                self.report.bar("tunerd", median(&waits), ZAP_MS_MAX, " ms");
            } else {
                say(&kind.to_string(), median(&waits), " ms");
            }
            say("    the longest", worst, " ms");
        }
        self.cold()?;
        println!();
        Ok(())
    }

    fn cold(&mut self) -> Outcome<()> {
        println!("cold: a demo channel nobody watches, until its first byte, median of 5");
        let mut ffmpeg_waits = Vec::new();
        for _ in 0..5 {
            pause(Duration::from_millis(100))?;
            ffmpeg_waits.push(milliseconds(ffmpeg_alone()?));
        }
        say("FFmpeg alone, a test picture into a pipe", median(&ffmpeg_waits), " ms");
        if self.tunerd.is_none() {
            return Ok(());
        }
        let mut waits = Vec::new();
        for _ in 0..5 {
            let server = self.start_alone(Kind::Tunerd, Lineup::Demo)?;
            pause(Duration::from_millis(500))?;
            waits.push(milliseconds(wait_for_first_byte(server.address, &server.paths[0])?));
        }
        println!("        tunerd: {} ms", list(&waits));
        self.report.bar("tunerd", median(&waits), COLD_MS_MAX, " ms");
        Ok(())
    }

    fn failing(&mut self) -> Outcome<()> {
        println!("failing8: the source of 8 channels with a viewer each dies, and they are tried again for a minute");
        if self.tunerd.is_none() {
            return Ok(());
        }
        let (source, server) = self.start(Kind::Tunerd, Lineup::Source(8))?;
        let viewers = open_viewers(&server, 8, Care::Count)?;
        pause(self.warmup)?;
        let calm = waits_ms(DISCOVERY, self.measured)?;
        let before = lags(server.address)?;
        drop(source);
        let ill = waits_ms(DISCOVERY, Duration::from_secs(60))?;
        let after = lags(server.address)?;
        drop(viewers);
        let starts: f64 = counter(server.address, "tunerd_pull_total")?;
        say("pulls started in all, the first eight included", starts, "");
        if starts < 16.0 {
            return Err("the channels were not tried again, so nothing was measured".into());
        }
        say("discovery while all is well, p99", percentile(&calm, 990), " ms");
        self.report.bar("discovery meanwhile, p99", percentile(&ill, 990), DISCOVERY_P99_MS_MAX, " ms");
        let between: Vec<(f64, f64)> =
            after.iter().zip(&before).map(|(after, before)| (after.0, after.1 - before.1)).collect();
        let all = between.last().map_or(0.0, |(_, count)| *count);
        let p999 = between.iter().find(|(_, count)| *count >= all * 0.999).map_or(f64::MAX, |(bound, _)| *bound);
        say("measurements of the executor's lateness", all, "");
        self.report.bar("the executor's lateness, p99.9 (its bucket's bound)", p999 * 1e3, STALL_P999_MS_MAX, " ms");
        println!();
        Ok(())
    }

    fn answers(&mut self) -> Outcome<()> {
        println!("discovery: asked a hundred times a second while 8 live channels have a viewer each");
        say("an echo of the same datagrams, median", median(&echo(self.warmup)?), " ms");
        if self.tunerd.is_none() {
            return Ok(());
        }
        let (_source, server) = self.start(Kind::Tunerd, Lineup::Source(8))?;
        let viewers = open_viewers(&server, 8, Care::Check)?;
        pause(self.warmup)?;
        let waits = waits_ms(DISCOVERY, self.measured)?;
        self.report.bar("tunerd, median", median(&waits), DISCOVERY_MEDIAN_MS_MAX, " ms");
        self.report.bar("tunerd, p99", percentile(&waits, 990), DISCOVERY_P99_MS_MAX, " ms");
        self.report.bar("bytes out for each byte in, shortest search", amplification()?, AMPLIFICATION_MAX, "");
        let (before, began) = (viewers.sample(), Instant::now());
        let answers_before = counter(server.address, "tunerd_discovery_answers_total")?;
        // A little more, because the kernel may lose some on the way.
        let sent = flood(FLOOD + FLOOD / 10, self.measured)?;
        let answers = counter(server.address, "tunerd_discovery_answers_total")? - answers_before;
        let after = viewers.sample();
        let seconds = began.elapsed().as_secs_f64();
        viewer_rates(&before, &after, seconds)?;
        say("datagrams sent in a flood, half of them to be answered", sent, " a second");
        say("and answered", answers / seconds, " a second");
        self.report.bar("a flood of so many a second, beside what was sent", FLOOD as f64 / sent, 1.0, "×");
        self.report.bar("gaps in what the 8 viewers had meanwhile", (after.gaps - before.gaps) as f64, 0.0, "");
        let waits = waits_ms(DISCOVERY, Duration::from_secs(2))?;
        self.report.bar("tunerd, median afterwards", median(&waits), DISCOVERY_MEDIAN_MS_MAX, " ms");
        println!();
        Ok(())
    }

    /// The same bytes from both, whose rounds take turns.
    fn http(&mut self) -> Outcome<()> {
        println!("http: /lineup.json of {LISTED_LEN} channels, 4 clients, a connection for each request");
        if self.tunerd.is_none() {
            return Ok(());
        }
        let tunerd = self.start_alone(Kind::Tunerd, Lineup::Listed(LISTED_LEN))?;
        let document = http::get(tunerd.address, "/lineup.json")?;
        let room = self.room()?;
        fs::write(room.join("lineup.json"), &document)?;
        let nginx = Server::start(Kind::Nginx, Lineup::Demo, None, &room)?;
        println!("        {} bytes each", document.len());
        let mut rates = [Vec::new(), Vec::new()];
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..self.rounds_len {
            for (index, server) in [&nginx, &tunerd].into_iter().enumerate() {
                let (cpu_before, began) = (server.cpu()?, Instant::now());
                let rate = requests_per_second(server.address, "/lineup.json", document.len(), self.measured)?;
                let (cpu, seconds) = (server.cpu()?, began.elapsed().as_secs_f64());
                let cpu = cpu.own + cpu.children - cpu_before.own - cpu_before.children;
                rates[index].push(rate);
                costs[index].push(cpu * 1e6 / (rate * seconds));
            }
        }
        for (name, (rates, costs)) in ["nginx", "tunerd"].into_iter().zip(rates.iter().zip(&costs)) {
            let (rate, cost) = (median(rates), median(costs));
            println!("        {name:10} {rate:.0} requests a second ({}), {cost:.1} µs of processor each", list(rates));
        }
        let ratio = median(&rates[0]) / median(&rates[1]);
        self.report.bar("nginx's requests a second beside tunerd's", ratio, NGINX_TO_TUNERD_MAX, "×");
        println!();
        Ok(())
    }

    fn idle(&mut self) -> Outcome<()> {
        println!("idle: the demo lineup loaded, nothing playing");
        for kind in self.present(&[Kind::Nginx, Kind::Tunerd]) {
            let server = self.start_alone(kind, Lineup::Demo)?;
            pause(self.warmup)?;
            let (before, began) = (server.switches(kind)?, Instant::now());
            pause(self.measured * 2)?;
            let wakeups = (server.switches(kind)? - before) as f64 / began.elapsed().as_secs_f64();
            let resident = server.rss_kib(kind)? as f64 / 1024.0;
            if kind == Kind::Tunerd {
                self.report.bar("tunerd, resident", resident, IDLE_MIB_MAX, " MiB");
                self.report.bar("tunerd, wake-ups a second", wakeups, WAKEUPS_PER_SECOND_MAX, "");
            } else {
                say("nginx, resident (master and worker)", resident, " MiB");
                say("nginx, wake-ups a second", wakeups, "");
            }
        }
        let Some(tunerd) = self.tunerd.clone() else { return Ok(()) };
        let mut waits = Vec::new();
        for _ in 0..5 {
            waits.push(milliseconds(self.discovery()?));
        }
        println!("        tunerd, first answer to discovery after process start: {} ms", list(&waits));
        self.report.bar("tunerd, the median of these", median(&waits), DISCOVERY_MS_MAX, " ms");
        let binary_mib = fs::metadata(tunerd)?.len() as f64 / f64::from(1 << 20);
        self.report.bar("tunerd, the binary", binary_mib, BINARY_MIB_MAX, " MiB");
        println!();
        Ok(())
    }

    /// From before the process starts to its first answer, asked every 5 ms. The state directory is empty.
    fn discovery(&mut self) -> Outcome<Duration> {
        let answer_type = [0x00, 0x03];
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        let room = self.room()?;
        let began = Instant::now();
        socket.send_to(&SEARCH, DISCOVERY)?;
        let _server = Server::spawn(Kind::Tunerd, Lineup::Demo, self.tunerd.as_deref(), &room)?;
        while began.elapsed() < Duration::from_secs(10) {
            socket.send_to(&SEARCH, DISCOVERY)?;
            let mut answer = [0; 1500];
            if socket.recv(&mut answer).is_ok_and(|len| answer[..len].starts_with(&answer_type)) {
                return Ok(began.elapsed());
            }
            pause(Duration::ZERO)?;
        }
        Err("discovery was not answered within 10 s".into())
    }

    /// Starts the source, then the server on it.
    fn start(&mut self, kind: Kind, lineup: Lineup) -> Outcome<(Source, Server)> {
        let file = self.scratch.join("source.ts");
        if !file.exists() {
            source::make_file(&file)?;
        }
        let source = Source::start(SOURCE, &file)?;
        Ok((source, self.start_alone(kind, lineup)?))
    }

    fn start_alone(&mut self, kind: Kind, lineup: Lineup) -> Outcome<Server> {
        let room = self.room()?;
        Server::start(kind, lineup, self.tunerd.as_deref(), &room)
    }

    /// A new empty directory.
    fn room(&mut self) -> Outcome<PathBuf> {
        self.rooms_len += 1;
        let room = self.scratch.join(self.rooms_len.to_string());
        fs::create_dir(&room)?;
        Ok(room)
    }
}

/// Spreads viewers over the channels and waits until every one is served.
fn open_viewers(server: &Server, viewers_len: usize, care: Care) -> Outcome<Viewers> {
    let paths = server.paths.iter().cycle().take(viewers_len).cloned().collect();
    let viewers = Viewers::start(server.address, paths, care)?;
    let give_up_at = Instant::now() + SERVED_WITHIN;
    loop {
        let sample = viewers.sample();
        if sample.streaming_len == viewers_len && sample.bytes.iter().all(|bytes| *bytes > 0) {
            return Ok(viewers);
        }
        if Instant::now() > give_up_at {
            return Err(format!("only {} of {viewers_len} viewers are served", sample.streaming_len).into());
        }
        pause(Duration::from_millis(20))?;
    }
}

fn bytes_between(before: &Sample, after: &Sample) -> Vec<f64> {
    after.bytes.iter().zip(&before.bytes).map(|(after, before)| (after - before) as f64).collect()
}

/// What each viewer had, in Mbit/s.
///
/// # Errors
/// One was left or starved: the server did not do the work, so its cost says nothing.
fn viewer_rates(before: &Sample, after: &Sample, seconds: f64) -> Outcome<Vec<f64>> {
    if after.streaming_len < after.bytes.len() {
        return Err(format!("{} viewers were dropped", after.bytes.len() - after.streaming_len).into());
    }
    let rates: Vec<f64> = bytes_between(before, after).iter().map(|bytes| bytes * 8.0 / 1e6 / seconds).collect();
    let lowest = rates.iter().copied().fold(f64::MAX, f64::min);
    if lowest < RATE_SHARE_MIN * (source::BYTES_PER_SECOND * 8) as f64 / 1e6 {
        return Err(format!("a viewer had only {lowest:.2} Mbit/s").into());
    }
    Ok(rates)
}

/// How long FFmpeg itself needs from its start to the first byte of a picture like the demo's.
fn ffmpeg_alone() -> Outcome<Duration> {
    let began = Instant::now();
    #[rustfmt::skip]
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25"])
        .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-c:a", "aac"])
        .args(["-t", "5", "-f", "mpegts", "pipe:1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut byte = [0];
    let read = child.stdout.take().map(|mut stdout| std::io::Read::read(&mut stdout, &mut byte));
    let waited = began.elapsed();
    child.kill()?;
    child.wait()?;
    if matches!(read, Some(Ok(1))) { Ok(waited) } else { Err("FFmpeg alone brought nothing".into()) }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The value that `per_mille` of all stay below.
fn percentile(values: &[f64], per_mille: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() * per_mille / 1_000).copied().unwrap_or(f64::MAX)
}

/// The histogram of the executor's lateness: bounds in seconds, and how many measurements were at most so late.
fn lags(address: SocketAddr) -> Outcome<Vec<(f64, f64)>> {
    let text = http::get(address, "/metrics")?;
    let rows = text.lines().filter_map(|line| {
        let (bound, count) = line.strip_prefix("tunerd_event_loop_lag_seconds_bucket{le=\"")?.split_once("\"} ")?;
        Some((if bound == "+Inf" { f64::MAX } else { bound.parse().ok()? }, count.parse().ok()?))
    });
    let rows: Vec<(f64, f64)> = rows.collect();
    if rows.is_empty() { Err("there is no histogram of the executor's lateness".into()) } else { Ok(rows) }
}

/// The sum of a counter over all its labels.
fn counter(address: SocketAddr, name: &str) -> Outcome<f64> {
    let text = http::get(address, "/metrics")?;
    let rows = text.lines().filter(|line| line.starts_with(name));
    Ok(rows.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

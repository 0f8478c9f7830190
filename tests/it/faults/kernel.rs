//! K: what the kernel runs out of.

use super::{MOMENT, Viewer, all_failures, as_strs, failures, is_raised, mounting, open, refused};
use crate::kit::fakeff::{Fake, Metrics, Proc};
use crate::kit::media::make_ts;
use crate::kit::source::Source;
use crate::kit::{Daemon, Folder, Setup, http, inside, run, send, wait_until};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn set_limit(daemon: &Daemon, limit: &str) {
    let (status, said) = run("prlimit", &["--pid", &daemon.pid().to_string(), limit]);
    assert!(status.success(), "{said}");
}

/// Processor time of a process so far, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn k01_without_descriptors_it_waits_and_does_not_spin() {
    let (_fake, daemon) = Fake::daemon(&[("good", "live")]);
    let viewer = Viewer::watch(&daemon, 1);
    let open_now = Proc::of(daemon.pid()).fds;
    set_limit(&daemon, &format!("--nofile={}:", open_now + 3));
    let waiting: Vec<TcpStream> = (0..12).map(|_| http::connect(daemon.address(), 5004)).collect();
    let before = ticks(daemon.pid());
    std::thread::sleep(Duration::from_secs(3));
    let used = ticks(daemon.pid()) - before;
    assert!(used < 60, "{used} hundredths of a second in 3 s");
    assert!(is_raised(&daemon, "fds") || !daemon.has_ended());
    assert!(!viewer.is_over() && viewer.has_picture());
    drop(waiting);
    set_limit(&daemon, "--nofile=1024:");
    wait_until("it answers again", Duration::from_secs(5), || daemon.get("/discover.json").status == 200);
    assert!(is_raised(&daemon, "fds"), "it was noticed");
}

#[test]
fn k02_a_start_that_descriptors_do_not_allow_is_refused() {
    let (fake, daemon) = Fake::daemon(&[("one", "live"), ("two", "live")]);
    let viewer = Viewer::watch(&daemon, 1);
    // Twelve for a child and a reserve of 32 must be left; two are missing.
    set_limit(&daemon, &format!("--nofile={}:", Proc::of(daemon.pid()).fds + 12 + 32 - 2));
    let told = refused(&daemon, 2);
    assert!(told.code == "803" && told.wait_s == 30 && told.took < MOMENT, "{told:?}");
    assert!(fake.starts("two").is_empty() && all_failures(&daemon) == 0);
    let reason = Metrics::of(&daemon).must("tunerd_stream_failure_total{reason=\"fd\"}");
    assert!((reason - 1.0).abs() < 0.5, "{reason}");
    let newcomer = open(&daemon, 1);
    drop(newcomer);
    set_limit(&daemon, "--nofile=1024:");
    drop(open(&daemon, 2));
    assert!(!viewer.is_over());
}

/// A daemon with a file of ours in the place of one of the kernel's.
fn with_file_at(place: &str, content: &str, channels: &[(&str, &str)]) -> (Fake, Daemon, PathBuf) {
    let (fake, mut setup) = Fake::setup(channels);
    let file = setup.folder.write("kernel-file", content);
    let wrapper = mounting(&format!("mount --bind '{}' {place}", file.display()));
    setup.wrapper(&as_strs(&wrapper));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    (fake, daemon, file)
}

#[test]
fn k03_a_start_that_memory_does_not_allow_is_refused() {
    let meminfo = |available_mib: u64| {
        format!("MemTotal: 3884452 kB\nMemFree: 115060 kB\nMemAvailable: {} kB\n", available_mib * 1024)
    };
    let (fake, daemon, file) = with_file_at("/proc/meminfo", &meminfo(2_000), &[("one", "live"), ("two", "live")]);
    let viewer = Viewer::watch(&daemon, 1);
    // In its first ten seconds the first child has not taken what is its own: 64 + 64 + 96 would be needed.
    fs::write(&file, meminfo(200)).unwrap();
    let told = refused(&daemon, 2);
    assert!(told.code == "803" && told.wait_s == 30 && told.took < MOMENT, "{told:?}");
    // Then what is available is so without it: 64 + 96 is enough.
    std::thread::sleep(Duration::from_secs(11));
    drop(open(&daemon, 2));
    daemon_waits_for_rest(&daemon, &fake, "two");
    fs::write(&file, meminfo(150)).unwrap();
    assert_eq!(refused(&daemon, 2).code, "803");
    assert_eq!((fake.starts("one").len(), fake.starts("two").len(), all_failures(&daemon)), (1, 1, 0));
    assert!(!viewer.is_over() && viewer.has_picture());
}

/// Until the child of this channel is gone.
fn daemon_waits_for_rest(daemon: &Daemon, fake: &Fake, name: &str) {
    let pid = fake.starts(name).last().unwrap().pid;
    wait_until("the child is gone", Duration::from_secs(12), || !daemon.children().contains(&pid));
}

#[test]
fn k04_without_memory_of_its_own_it_ends_and_says_why() {
    let mut setup = Setup::new();
    setup.set("slots", "count = 4").set("slots", "ring_mib = 64");
    setup.wrapper(&["prlimit", "--as=200000000"]);
    let daemon = setup.launch();
    let status = daemon.ended(Duration::from_secs(10));
    assert!(!status.success(), "{status}");
    // Its last words may still be on their way here.
    wait_until("it says why", Duration::from_secs(5), || daemon.log().contains("memory"));
    assert!(daemon.log().len() < 4_000, "{}", daemon.log());
}

/// A daemon whose state is on a little disk of its own, which is then filled, and emptied again.
fn on_a_full_disk(options: &str, fill: impl Fn(&std::path::Path)) {
    let (_fake, mut setup) = Fake::setup(&[("one", "live"), ("two", "live")]);
    let state = setup.state_dir();
    fs::create_dir_all(&state).unwrap();
    let wrapper = mounting(&format!("mount -t tmpfs -o {options},mode=700 tmpfs '{}'", state.display()));
    setup.wrapper(&as_strs(&wrapper));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let viewer = Viewer::watch(&daemon, 1);
    // Its disk, as the daemon sees it.
    let inside = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), state.display()));
    assert!(inside.join("tunerd.db").exists() || fs::read_dir(&inside).unwrap().count() > 0, "{}", inside.display());
    fill(&inside);
    let filler = "x".repeat(99);
    let many = (0..3_000).map(|n| format!("#EXTINF:-1,New {n}\nhttp://fake.example/new{n}-{filler}.ts\n"));
    let many = many.collect::<Vec<String>>().concat();
    let playlist = daemon.setup.folder.path().join("channels.m3u");
    let before = fs::read_to_string(&playlist).unwrap();
    fs::write(&playlist, format!("{before}{many}")).unwrap();
    daemon.scan();
    assert!(!viewer.is_over() && !daemon.has_ended());
    drop(open(&daemon, 1));
    // It goes on, and says so if it could not keep what it was given.
    let told = daemon.status()["problems"].to_string() + &daemon.log();
    let kept = daemon.channels().len() == 3_002;
    assert!(kept || told.contains("store") || told.contains("full") || told.contains("disk"), "{told}");
    wait_until("there is a picture", Duration::from_secs(5), || viewer.has_picture());
    for file in fs::read_dir(&inside).unwrap().flatten() {
        if file.file_name().to_str().unwrap().starts_with("fill") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    daemon.scan();
    wait_until("all channels are there", Duration::from_secs(10), || daemon.channels().len() == 3_002);
    assert!(!viewer.is_over());
}

#[test]
fn k05_a_full_disk_stops_no_stream() {
    on_a_full_disk("size=8m", |disk| {
        let _ = fs::write(disk.join("fill"), vec![0; 16 * 1024 * 1024]);
    });
}

#[test]
fn k06_a_disk_without_inodes_stops_no_stream() {
    on_a_full_disk("size=64m,nr_inodes=24", |disk| {
        for index in 0..100 {
            if fs::write(disk.join(format!("fill{index}")), "").is_err() {
                return;
            }
        }
        panic!("there are inodes left");
    });
}

#[test]
fn k07_a_full_run_directory_costs_what_the_guard_would_remember_and_nothing_else() {
    let (fake, mut setup) = Fake::setup(&[("good", "live"), ("wrong", "usage_error")]);
    let folder = setup.folder.path().join("run");
    fs::create_dir_all(&folder).unwrap();
    let wrapper = mounting(&format!("mount -t tmpfs -o size=16k,mode=700 tmpfs '{}'", folder.display()));
    setup.wrapper(&as_strs(&wrapper)).environment("RUNTIME_DIRECTORY", folder.to_str().unwrap());
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let inside = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), folder.display()));
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 1, "what the guard knows is kept there");
    let _ = fs::write(inside.join("fill"), vec![0; 64 * 1024]);
    let viewer = Viewer::watch(&daemon, 1);
    assert_eq!(refused(&daemon, 2).code, "806");
    wait_until("it was counted", Duration::from_secs(5), || {
        Metrics::of(&daemon).must("tunerd_snapshot_skipped_total") > 0.5
    });
    assert_eq!(
        (refused(&daemon, 2).code.as_str(), fake.starts("wrong").len()),
        ("806", 1),
        "it remembers all the same"
    );
    assert!(viewer.has_picture() && !daemon.has_ended());
    fs::remove_file(inside.join("fill")).unwrap();
    // What changes next is kept again.
    send(fake.starts("good")[0].pid, Signal::SIGKILL);
    wait_until("it is written", Duration::from_secs(5), || {
        let files = fs::read_dir(&inside).unwrap().flatten();
        files.filter_map(|file| fs::read_to_string(file.path()).ok()).any(|text| text.contains("crash"))
    });
}

#[test]
fn k08_a_disk_that_fails_to_sync_stops_no_stream() {
    let (_fake, daemon) = Fake::daemon(&[("one", "live")]);
    let viewer = Viewer::watch(&daemon, 1);
    let log = daemon.setup.folder.path().join("strace");
    let mut tracer = std::process::Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"])
        .args(["-o", log.to_str().unwrap(), "-p", &daemon.pid().to_string()])
        .spawn()
        .unwrap();
    let traced = || fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap().contains("TracerPid:\t0");
    wait_until("it is traced", Duration::from_secs(5), || !traced());
    let playlist = daemon.setup.folder.path().join("channels.m3u");
    let before = fs::read_to_string(&playlist).unwrap();
    fs::write(&playlist, format!("{before}#EXTINF:-1,New\nhttp://fake.example/new.ts\n")).unwrap();
    daemon.scan();
    wait_until("a sync has failed", Duration::from_secs(5), || {
        fs::read_to_string(&log).unwrap_or_default().contains("EIO")
    });
    let told = daemon.status()["problems"].to_string() + &daemon.log();
    assert!(told.contains("store") || told.contains("I/O"), "{told}");
    assert!(!viewer.is_over() && !daemon.has_ended());
    drop(open(&daemon, 1));
    send(tracer.id(), Signal::SIGTERM);
    tracer.wait().unwrap();
    assert!(daemon.get("/healthz").status == 200 && !viewer.is_over());
}

#[test]
fn k10_without_ports_of_its_own_a_source_cannot_be_reached() {
    if !inside(&["--net"], "faults::kernel::k10_without_ports_of_its_own_a_source_cannot_be_reached") {
        return;
    }
    // One port for all connections that go out, and one at a time to each place: the second channel finds none.
    let (status, said) = run("ip", &["link", "set", "lo", "up"]);
    assert!(status.success(), "{said}");
    let folder = Folder::new();
    let source = Source::live(&make_ts(&folder.path().join("live.ts"), 20));
    let mut setup = Setup::new();
    setup.playlist(format!(
        "#EXTM3U\n#EXTINF:-1,One\n{}\n#EXTINF:-1,Two\n{}\n",
        source.url("/1.ts"),
        source.url("/2.ts")
    ));
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let connect = |port: u16| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        socket.connect(&std::net::SocketAddr::from((daemon.address(), 5004)).into()).unwrap();
        TcpStream::from(socket)
    };
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "50000 50000").unwrap();
    let ask = |port: u16, channel: usize| {
        let mut stream = connect(port);
        let request = format!("GET /auto/v{channel} HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address());
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut head = vec![0; 100];
        stream.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
        let len = stream.read(&mut head).unwrap();
        (String::from_utf8_lossy(&head[..len]).into_owned(), stream)
    };
    let (first, _stream) = ask(40_001, 1);
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    let (second, _) = ask(40_002, 2);
    assert!(second.starts_with("HTTP/1.1 503"), "{second}");
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999").unwrap();
    assert_eq!(failures(&daemon, "connect"), all_failures(&daemon), "{}", daemon.log());
    assert!(failures(&daemon, "connect") >= 1);
}

#[test]
fn k11_a_hot_board_encodes_nothing_more_and_copies_on() {
    // Channels of a playlist are copied; those of the demo have to be encoded.
    let heat = |milli_c: u32| format!("{milli_c}\n");
    let folder = Folder::new();
    let temperature = folder.write("temp", heat(60_000));
    let prepare = format!(
        "mount -t tmpfs tmpfs /sys/class/thermal; mkdir /sys/class/thermal/thermal_zone0; \
         touch /sys/class/thermal/thermal_zone0/temp; mount --bind '{}' /sys/class/thermal/thermal_zone0/temp",
        temperature.display()
    );
    let wrapper = mounting(&prepare);
    let (_fake, mut setup) = Fake::setup(&[("copied", "live")]);
    setup.wrapper(&as_strs(&wrapper));
    let copying = setup.start();
    copying.wait_for_log("playlist loaded");
    let mut setup = Setup::new();
    Fake::install(&mut setup);
    setup.wrapper(&as_strs(&wrapper));
    let encoding = setup.start();
    encoding.wait_for_lineup();
    let running = http::open(encoding.address(), 5004, "/auto/v1.1");
    assert_eq!(running.0.status, 200);
    fs::write(&temperature, heat(83_000)).unwrap();
    let told = super::refused_at(&encoding, "/auto/v1.2");
    assert_eq!((&*told.code, told.wait_s), ("803", 60), "{told:?}");
    drop(open(&copying, 1));
    let mut stream = running.1;
    crate::kit::media::read_bytes(&mut stream, 188 * 50);
    fs::write(&temperature, heat(80_000)).unwrap();
    assert_eq!(http::open(encoding.address(), 5004, "/auto/v1.2").0.status, 200);
    assert_eq!(all_failures(&encoding) + all_failures(&copying), 0);
}

#[test]
fn k12_an_executor_that_stood_still_says_so() {
    let (_fake, daemon) = Fake::daemon(&[("good", "live")]);
    let viewer = Viewer::watch(&daemon, 1);
    // A free box is left asleep: it measures every few seconds only, and often from the next time on.
    std::thread::sleep(Duration::from_secs(6));
    daemon.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(2_600));
    daemon.signal(Signal::SIGCONT);
    wait_until("the alarm is raised", Duration::from_secs(5), || is_raised(&daemon, "loop_stall"));
    let metrics = Metrics::of(&daemon);
    let late = metrics.must("tunerd_event_loop_lag_seconds_count")
        - metrics.must("tunerd_event_loop_lag_seconds_bucket{le=\"2\"}");
    assert!(late > 0.5, "the histogram has it");
    assert!(!viewer.is_over() && all_failures(&daemon) == 0, "no channel is to blame");
}

#[test]
fn k14_tuning_and_leaving_two_thousand_times_leaves_nothing() {
    // The short form of `tools/soak/run cycles`: mostly the child still lingers, every fiftieth time another is started.
    let channels = [1, 2, 3, 4, 5].map(|number| format!("zap{number}"));
    let channels: Vec<(&str, &str)> = channels.iter().map(|name| (name.as_str(), "live, bitrate=16000000")).collect();
    let (fake, mut setup) = Fake::setup(&channels);
    setup.set("slots", "count = 4").set("slots", "ring_mib = 1");
    let daemon = setup.start();
    daemon.wait_for_log("playlist loaded");
    let rest = || {
        let (mut last, mut since) = (Proc::of(daemon.pid()), Instant::now());
        wait_until("it comes to rest", Duration::from_secs(20), || {
            std::thread::sleep(Duration::from_millis(100));
            let now = Proc::of(daemon.pid());
            if !now.children.is_empty() || now.fds != last.fds || now.threads != last.threads {
                since = Instant::now();
            }
            last = now;
            since.elapsed() > Duration::from_secs(1)
        });
        last
    };
    for tuner in 0..4 {
        let (_, mut stream) = super::open_at(&daemon, &format!("/tuner{tuner}/v{}", tuner + 1));
        crate::kit::media::read_bytes(&mut stream, 3 * 1024 * 1024 / 2);
    }
    daemon.wait_until_idle();
    let before = rest();
    let starts = fake.log().iter().filter(|line| line.event == "start").count();
    for cycle in 0..2_000 {
        crate::kit::media::read_bytes(&mut open(&daemon, 1 + cycle / 50 % channels.len()), 188);
    }
    daemon.wait_until_idle();
    let after = rest();
    let starts = fake.log().iter().filter(|line| line.event == "start").count() - starts;
    assert!(starts >= 20, "{starts} cold starts");
    assert_eq!((before.fds, before.threads, 0), (after.fds, after.threads, after.zombies));
    assert!(after.rss_kib <= before.rss_kib + 2_048, "{} → {} KiB", before.rss_kib, after.rss_kib);
    // And a descriptor that is left is seen: this one is ours.
    let held = http::connect(daemon.address(), 5004);
    wait_until("one more descriptor", MOMENT, || Proc::of(daemon.pid()).fds == before.fds + 1);
    drop(held);
}

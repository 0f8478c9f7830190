//! The plug is pulled at any moment of any write (P01, P02): what was acknowledged is there, whole, or nothing was.
//!
//! A daemon writes while `strace` looks on: each write to a file, each flush, and each answer that told the owner "done".
//! From that log the disk is rebuilt as it may look after every single step: with all that was not flushed yet, with
//! nothing of it, or with some of its sectors. The daemon's own code opens each of them and has to find the owner's
//! last acknowledged change, or the one after it, and never half of one.
//!
//! Taken for granted: a file that was made, renamed or removed stays so, and a flushed sector is on the disk.

use crate::kit::fakeff::Fake;
use crate::kit::{Folder, wait_until};
use rusqlite::Connection;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};
use tunerd::store;

/// Changes of the owner's.
const CHANGES: usize = 80;
/// Different disks that must have been tried.
const DISKS_MIN: usize = 10_000;
const SECTOR: usize = 512;

#[test]
fn p01_no_power_cut_loses_or_halves_what_was_acknowledged() {
    let (folder, log) = write_under_strace();
    let steps = read(&log, &folder.path().join("state"));
    let acknowledged = steps.iter().filter(|step| matches!(step, Step::Acknowledged)).count();
    assert_eq!(acknowledged, CHANGES, "each change was acknowledged once, and seen to be");
    let disks = Mutex::new(Disks::new(&steps));
    let (tried, memory) = (AtomicUsize::new(0), Folder::in_memory());
    thread::scope(|scope| {
        for number in 0..2 {
            let (disks, tried, folder) = (&disks, &tried, memory.path().join(number.to_string()));
            scope.spawn(move || {
                let next = || disks.lock().unwrap().next();
                while let Some(disk) = next() {
                    disk.judge(&folder);
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let tried = tried.into_inner();
    println!("{tried} different disks after {} steps, {acknowledged} changes", steps.len());
    assert!(tried >= DISKS_MIN, "only {tried} different disks");
}

/// Gives the folder, which is the test's own, and the log.
fn write_under_strace() -> (Arc<Folder>, PathBuf) {
    let (_fake, mut setup) = Fake::setup(&[("One", "live"), ("Two", "live")]);
    let log = setup.folder.path().join("strace");
    setup.wrapper(&[
        "strace",
        "-D",
        "-f",
        "-qq",
        "-y",
        "-xx",
        "-s",
        "70000",
        "-e",
        "signal=none",
        "-e",
        "trace=openat,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,ftruncate,fallocate,copy_file_range,\
         unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat",
        "-o",
        log.to_str().unwrap(),
    ]);
    let daemon = setup.start();
    wait_until("the playlist's channels are there", Duration::from_secs(20), || {
        daemon.get("/lineup.json").status == 200 && daemon.channels().len() == 2
    });
    let listed: serde_json::Value = serde_json::from_slice(&daemon.get("/api/v1/channels").body).unwrap();
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|channel| channel["id"].clone()).collect();
    assert_eq!(ids.len(), 2);
    for number in 1..=CHANGES {
        // Two rows, one change.
        let answer = daemon.call("PATCH /api/v1/channels", &json!({"channels": ids, "group": number.to_string()}));
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    let folder = daemon.setup.folder.clone();
    drop(daemon);
    (folder, log)
}

/// What the daemon did that a disk or the owner could notice.
enum Step {
    /// A file is there; if it was, it is as it was.
    Made(PathBuf),
    /// All its bytes are gone, or it got longer.
    Length(PathBuf, usize),
    Written(PathBuf, usize, Vec<u8>),
    Flushed(PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
    /// The owner was told that it is done.
    Acknowledged,
}

/// The steps below `state`, with paths from there.
fn read(log: &Path, state: &Path) -> Vec<Step> {
    let (mut steps, mut unfinished, mut ends) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for line in BufReader::new(fs::File::open(log).unwrap()).lines() {
        let line = line.unwrap();
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        // One that waited is told in two lines; it counts when it was done.
        if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread.to_owned(), begun.to_owned());
        } else if call.starts_with("<...") {
            let (_, rest) = call.split_once("resumed>").unwrap();
            let begun = unfinished.remove(thread).unwrap();
            steps.extend(step(&format!("{begun}{rest}"), state, &mut ends));
        } else {
            steps.extend(step(call, state, &mut ends));
        }
    }
    steps
}

/// What one call did. `ends` is where the next plain write to a file goes.
fn step(call: &str, state: &Path, ends: &mut BTreeMap<PathBuf, usize>) -> Option<Step> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let result: usize = result.split(['<', ' ']).next()?.parse().ok()?;
    let arguments = arguments.trim_end().strip_suffix(')').unwrap();
    let below = |path: &[u8]| Path::new(std::str::from_utf8(path).ok()?).strip_prefix(state).ok().map(Path::to_owned);
    let quoted = || arguments.split('"').skip(1).step_by(2).map(bytes).collect::<Vec<_>>();
    let opened = || Some(bytes(arguments.split_once('<')?.1.split_once('>')?.0));
    let number = || arguments.rsplit(", ").next().unwrap().parse::<usize>().unwrap();
    match name {
        "openat" => {
            let path = below(quoted().first()?)?;
            ends.insert(path.clone(), 0);
            if arguments.contains("O_TRUNC") {
                return Some(Step::Length(path, 0));
            }
            arguments.contains("O_CREAT").then_some(Step::Made(path))
        }
        "write" | "writev" | "sendto" | "sendmsg" => {
            let data = quoted().concat();
            if data.starts_with(b"HTTP/1.1 204 ") {
                return Some(Step::Acknowledged);
            }
            let path = below(&opened()?)?;
            let end = ends.get_mut(&path)?;
            *end += result;
            Some(Step::Written(path, *end - result, data))
        }
        "pwrite64" => {
            let (path, data) = (below(&opened()?)?, quoted().concat());
            assert_eq!(data.len(), result, "a whole write");
            Some(Step::Written(path, number(), data))
        }
        "ftruncate" => Some(Step::Length(below(&opened()?)?, number())),
        "fsync" | "fdatasync" => Some(Step::Flushed(below(&opened()?)?)),
        "unlink" | "unlinkat" => Some(Step::Removed(below(quoted().first()?)?)),
        "rename" | "renameat" | "renameat2" => {
            let paths = quoted();
            Some(Step::Renamed(below(paths.first()?)?, below(paths.get(1)?)?))
        }
        "mkdir" | "mkdirat" => None,
        _ => {
            let path = opened().and_then(|path| below(&path));
            assert!(path.is_none(), "{call}: not known to this test");
            None
        }
    }
}

/// Bytes as `strace -xx` shows them.
fn bytes(shown: &str) -> Vec<u8> {
    shown.split("\\x").skip(1).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// A file as the disk may have it.
#[derive(Clone, Default)]
struct Written {
    /// What is certainly there.
    flushed: Vec<u8>,
    /// What was asked for since.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Written {
    fn with(&self, mut takes: impl FnMut() -> bool) -> Vec<u8> {
        let mut all = self.flushed.clone();
        for change in &self.pending {
            match change {
                Change::Length(len) if takes() => all.resize(*len, 0),
                Change::Length(_) => {}
                Change::Bytes(at, bytes) => {
                    // Sectors are written whole or not at all.
                    let mut from = 0;
                    while from < bytes.len() {
                        let to = bytes.len().min(from + SECTOR - (at + from) % SECTOR);
                        if takes() {
                            all.resize(all.len().max(at + to), 0);
                            all[at + from..at + to].copy_from_slice(&bytes[from..to]);
                        }
                        from = to;
                    }
                }
            }
        }
        all
    }
}

/// All disks, one after the other; each of them once.
struct Disks<'a> {
    steps: std::slice::Iter<'a, Step>,
    files: BTreeMap<PathBuf, Written>,
    acknowledged: usize,
    waiting: Vec<Disk>,
    seen: HashSet<u64>,
    dice: u64,
}

struct Disk {
    files: Vec<(PathBuf, Vec<u8>)>,
    acknowledged: usize,
    /// For people.
    what: &'static str,
    steps_left: usize,
}

impl<'a> Disks<'a> {
    fn new(steps: &'a [Step]) -> Self {
        let (files, waiting, seen) = (BTreeMap::new(), Vec::new(), HashSet::new());
        Self { steps: steps.iter(), files, acknowledged: 0, waiting, seen, dice: 0x9e37_79b9_7f4a_7c15 }
    }

    fn next(&mut self) -> Option<Disk> {
        while self.waiting.is_empty() {
            let step = self.steps.next()?;
            self.take(step);
            self.cut();
        }
        self.waiting.pop()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Made(path) => drop(self.files.entry(path.clone()).or_default()),
            Step::Length(path, len) => self.file(path).pending.push(Change::Length(*len)),
            Step::Written(path, at, bytes) => self.file(path).pending.push(Change::Bytes(*at, bytes.clone())),
            Step::Flushed(path) => {
                // Directories are flushed, too; what is in them is taken for granted.
                if let Some(file) = self.files.get_mut(path) {
                    file.flushed = file.with(|| true);
                    file.pending.clear();
                }
            }
            Step::Renamed(from, to) => {
                let file = self.files.remove(from).unwrap_or_default();
                self.files.insert(to.clone(), file);
            }
            Step::Removed(path) => drop(self.files.remove(path)),
            Step::Acknowledged => self.acknowledged += 1,
        }
    }

    fn file(&mut self, path: &Path) -> &mut Written {
        self.files.entry(path.to_owned()).or_default()
    }

    /// The plug is pulled now.
    fn cut(&mut self) {
        let mut dice = self.dice;
        let mut toss = || {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice & 1 == 0
        };
        let mut disk = |what, takes: &mut dyn FnMut() -> bool| {
            let files = self.files.iter().map(|(path, file)| (path.clone(), file.with(&mut *takes))).collect();
            let disk = Disk { files, acknowledged: self.acknowledged, what, steps_left: self.steps.len() };
            let number = BuildHasherDefault::<DefaultHasher>::default().hash_one((&disk.files, disk.acknowledged));
            if self.seen.insert(number) {
                self.waiting.push(disk);
            }
        };
        disk("all is kept", &mut || true);
        disk("only what was flushed", &mut || false);
        disk("some sectors", &mut toss);
        self.dice = dice;
    }
}

impl Disk {
    /// Opens it as the daemon does.
    fn judge(&self, folder: &Path) {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).unwrap();
        for (path, bytes) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let opened = store::open(folder).unwrap();
        opened.handle.stop();
        opened.thread.join().unwrap();
        // What the provider lists may be an older state, and is fetched again; what the owner says is looked at here.
        let database = Connection::open(folder.join("tunerd.db")).unwrap();
        let mut chosen = database.prepare("SELECT grouping FROM override").unwrap();
        let groups = chosen.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let groups: Vec<usize> = groups.map(|group| group.unwrap().parse().unwrap()).collect();
        let told = || {
            let (after, what, left) = (self.acknowledged, self.what, self.steps_left);
            format!("{groups:?} after {after} acknowledged changes, {left} steps before the end, {what}")
        };
        assert_eq!(opened.problem, None, "{}", told());
        if self.acknowledged > 0 {
            assert_eq!(groups.len(), 2, "{}", told());
        }
        assert!(groups.windows(2).all(|pair| pair[0] == pair[1]), "half a change: {}", told());
        let found = groups.first().copied().unwrap_or(0);
        assert!((self.acknowledged..=self.acknowledged + 1).contains(&found), "{}", told());
    }
}

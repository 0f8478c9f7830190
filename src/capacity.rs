//! How many slots this box has, and why: what is known of it at once, and what it was seen to do.
//!
//! The first start of a box measures it, in the background and after the trials of encoders: how fast it decodes and
//! encodes, how many packets it can look into, and how long its disk takes. That is kept in the state directory, with
//! what it depends on, and decides at the next start; a box that is another one since is measured again. So is one whose
//! owner has its encoders tried again. The decision is in `pure::rules::capacity`.

use crate::board::Board;
use crate::board::vitals;
use crate::clock;
use crate::engine::{self, facts, process};
use pure::limits::{LOOK_MEASURE_MS, LOOK_MEASURE_PACKETS_MAX, READ_BYTES_MAX};
use pure::model::encoder::Candidates;
use pure::rules::capacity::{Capacity, Facts, Measured, sentence};
use pure::time::Wall;
use pure::wire::ts::{Inspector, PACKET_BYTES};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::sync::oneshot;

/// In the state directory.
const FILE: &str = "capacity.json";
/// More than it ever has.
const BYTES_MAX: u64 = 16 * 1024;

/// What a measurement depends on: where this is another one, it counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Of {
    board: String,
    encoders: Vec<String>,
    /// Where it is, how long, and how old: it need not be asked.
    ffmpeg: String,
    /// In steps: some kernels keep a little more for themselves at one start than at the next.
    memory_mib: Option<u64>,
}

/// What was measured, as it is kept and shown. Null: that could not be found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    encode_percent: Option<u32>,
    by_chip: bool,
    decode_percent: Option<u32>,
    sync_ms: Option<u32>,
    packets_per_s: Option<u32>,
}

impl From<Found> for Measured {
    fn from(found: Found) -> Self {
        let Found { encode_percent, by_chip, decode_percent, sync_ms, packets_per_s } = found;
        Self { encode_percent, by_chip, decode_percent, sync_ms, packets_per_s }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    of: Of,
    found: Found,
    /// Seconds since 1970.
    at: i64,
}

/// What is told of it.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// How many there are.
    slots: usize,
    /// How many there will be after the next start.
    next: usize,
    /// How many the board is for at most.
    board: usize,
    /// Why not more: the name of what is tightest.
    because: &'static str,
    /// The same in words.
    text: String,
    /// In how many of them pictures of 720 lines can be made smaller at once.
    encodes: Option<usize>,
    measured: Option<ShownFound>,
}

#[derive(Debug, Serialize)]
struct ShownFound {
    #[serde(flatten)]
    found: Found,
    at: String,
}

/// What this box can carry, as the doors see it.
#[derive(Clone)]
pub struct Handle(Rc<Inner>);

struct Inner {
    folder: PathBuf,
    of: Of,
    /// Without what was measured.
    facts: Facts,
    kept: RefCell<Option<Kept>>,
    slots: Cell<usize>,
}

/// What the owner said in the settings, where he did.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Slots.
    pub slots: Option<usize>,
    /// Ring of each.
    pub ring_mib: usize,
}

impl Handle {
    /// What is known of this box at once, with what an earlier start of it has kept in `folder`. It waits for the disk.
    pub fn new(board: &Board, wanted: Wanted, encoders: Option<&Candidates>, ffmpeg: &Path, folder: &Path) -> Self {
        let of = Of {
            board: board.name.clone(),
            encoders: encoders.into_iter().flatten().map(ToString::to_string).collect(),
            ffmpeg: describe(ffmpeg),
            memory_mib: facts::memory_total_bytes().map(|bytes| (bytes >> 20).next_multiple_of(64)),
        };
        let kept = load(folder).filter(|kept| kept.of == of);
        let facts = Facts {
            wanted: wanted.slots,
            board: board.slots,
            ring_mib: wanted.ring_mib,
            memory_total_bytes: facts::memory_total_bytes(),
            memory_max_bytes: facts::memory_max_bytes(),
            link_mbit: vitals::link_mbit(),
            measured: None,
        };
        let inner = Inner { folder: folder.to_owned(), of, facts, kept: RefCell::new(kept), slots: Cell::new(0) };
        inner.slots.set(inner.capacity().slots);
        Self(Rc::new(inner))
    }

    /// How many slots this start has.
    pub fn slots_len(&self) -> usize {
        self.0.slots.get()
    }

    /// How many slots there are and why no more, for people.
    pub fn sentence(&self) -> String {
        let slots = self.slots_len();
        format!("{slots} tuner{}, {}", if slots == 1 { "" } else { "s" }, self.0.capacity())
    }

    /// Measures the box, unless it was measured before; `again`: in any case. The encoders have been tried.
    pub async fn measure(&self, engine: &engine::Handle, again: bool) {
        let inner = &self.0;
        if inner.kept.borrow().is_some() && !again {
            return;
        }
        let encoders = engine.encoders();
        let best = encoders.iter().filter(|encoder| encoder.speed_percent.is_some());
        let best = best.max_by_key(|encoder| encoder.speed_percent);
        let decode_percent = engine.decode_percent().await;
        let folder = inner.folder.clone();
        let Some((sync_ms, packets_per_s)) =
            aside(move || (sync_ms(&folder).ok(), packets_per_s(LOOK_MEASURE_MS))).await
        else {
            return;
        };
        let found = Found {
            encode_percent: best.and_then(|encoder| encoder.speed_percent),
            by_chip: best.is_some_and(|encoder| encoder.hardware),
            decode_percent,
            sync_ms,
            packets_per_s: Some(packets_per_s),
        };
        let kept = Kept { of: inner.of.clone(), found, at: clock::wall().0 };
        *inner.kept.borrow_mut() = Some(kept.clone());
        let (next, now) = (inner.capacity(), inner.slots.get());
        tracing::info!("this box was measured: {}", sentence(&found.into()));
        if next.slots != now {
            tracing::warn!(now, next = next.slots, "another number of tuners from the next start on, {next}");
        }
        let folder = inner.folder.clone();
        match aside(move || save(&kept, &folder)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "what was measured is not kept, so it is done again next time"),
            None => tracing::warn!("what was measured is not kept: no thread could be had"),
        }
    }

    /// All of it.
    pub fn shown(&self) -> Shown {
        let capacity = self.0.capacity();
        let kept = self.0.kept.borrow();
        Shown {
            slots: self.slots_len(),
            next: capacity.slots,
            board: self.0.facts.board,
            because: capacity.tightest.name(),
            text: capacity.to_string(),
            encodes: capacity.encodes(),
            measured: kept.as_ref().map(|kept| ShownFound { found: kept.found, at: Wall(kept.at).to_string() }),
        }
    }
}

impl Inner {
    fn capacity(&self) -> Capacity {
        let measured = self.kept.borrow().as_ref().map(|kept| kept.found.into());
        Capacity::of(Facts { measured, ..self.facts })
    }
}

/// Which FFmpeg that is. Another one has another length or time.
fn describe(ffmpeg: &Path) -> String {
    let Ok(path) = process::find(ffmpeg) else { return String::new() };
    let (len, changed) = fs::metadata(&path).map_or((0, 0), |data| (data.len(), data.mtime()));
    format!("{} {len} {changed}", path.display())
}

/// Runs what takes its time on a thread of its own; `None`: there is none to be had.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("measuring".to_owned()).stack_size(256 * 1024);
    thread.spawn(move || done.send(work()).unwrap_or_default()).ok()?;
    result.await.ok()
}

/// Until something small is on the disk: the second-worst of five times.
fn sync_ms(folder: &Path) -> io::Result<u32> {
    let path = folder.join("capacity.try");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let mut took = [0; 5];
    for took in &mut took {
        let began = clock::mono();
        file.write_all(&[0; 4_096])?;
        file.sync_all()?;
        *took = clock::mono().ms_since(began);
    }
    drop(file);
    fs::remove_file(path)?;
    took.sort_unstable();
    Ok(u32::try_from(took[3]).unwrap_or(u32::MAX))
}

/// How many packets a second are looked into as relays do it: the best of four times. Only the time that this thread has
/// the processor counts, whatever else runs just now.
fn packets_per_s(measure_ms: u64) -> u32 {
    // A picture's packets, with their clock and counter.
    let mut bytes = vec![0; READ_BYTES_MAX / PACKET_BYTES * PACKET_BYTES];
    for (counter, packet) in (0..16_u8).cycle().zip(bytes.chunks_exact_mut(PACKET_BYTES)) {
        packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10 | counter]);
    }
    let mut best = 0;
    for _ in 0..4 {
        let (began_ms, mut packets, mut inspector) = (clock::thread_cpu_ms(), 0, Inspector::new());
        let took_ms = loop {
            for packet in bytes.chunks_exact(PACKET_BYTES).filter_map(|packet| packet.first_chunk()) {
                black_box(inspector.packet(black_box(packet)));
                packets += 1;
            }
            let took_ms = clock::thread_cpu_ms().saturating_sub(began_ms);
            if took_ms >= measure_ms || packets >= LOOK_MEASURE_PACKETS_MAX {
                break took_ms;
            }
        };
        best = best.max(packets * 1_000 / took_ms.max(1));
    }
    u32::try_from(best).unwrap_or(u32::MAX)
}

/// Nothing where it cannot be read.
fn load(folder: &Path) -> Option<Kept> {
    let mut text = String::new();
    File::open(folder.join(FILE)).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Old or new, whole: who has neither measures again.
fn save(kept: &Kept, folder: &Path) -> io::Result<()> {
    let (path, new) = (folder.join(FILE), folder.join("capacity.json.new"));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(kept)?)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let of = Of {
            board: "generic".to_owned(),
            encoders: vec!["software".to_owned()],
            ffmpeg: "/usr/bin/ffmpeg 1 2".to_owned(),
            memory_mib: Some(1_024),
        };
        Kept { of, found: Found { packets_per_s: Some(50_000), ..Found::default() }, at: 1_700_000_000 }
    }

    #[test]
    fn what_was_measured_is_kept_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("tunerd-capacity-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let before = load(&folder);
        save(&kept(), &folder).unwrap();
        let after = load(&folder);
        let took_ms = sync_ms(&folder).unwrap();
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        fs::write(folder.join(FILE), "{\"of\":").unwrap();
        let damaged = load(&folder);
        let nowhere = (save(&kept(), &folder.join("none")).is_err(), sync_ms(&folder.join("none")).is_err());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!((before, after, damaged), (None, Some(kept()), None));
        assert_eq!((names.len(), nowhere), (1, (true, true)), "nothing else is left: {names:?}");
        assert!(took_ms < 60_000);
    }

    #[test]
    fn packets_are_looked_into_and_counted() {
        assert!(packets_per_s(1) > 1_000);
    }

    #[test]
    fn another_ffmpeg_is_another_box() {
        assert_eq!(describe(Path::new("/nowhere/ffmpeg")), "");
        let shell = describe(Path::new("/bin/sh"));
        assert!(shell.starts_with("/bin/sh ") && shell != describe(Path::new("/bin/cat")));
    }
}

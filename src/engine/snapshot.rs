//! What the guard knows, kept where the next run finds it after a crash: a crash must not be a way around it (B13).
//!
//! The file lives as long as the board runs: its first line names the start of the board, and one of another start is
//! not read. It also names the run that wrote it, whose leftovers the next one ends (F21). Where it cannot be written,
//! life goes on without (K07). What stands in it is decided in `pure::rules::pool`.

use super::process::RunMark;
use crate::clock;
use crate::observe::metrics::Metrics;
use pure::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_EVERY_MS};
use pure::time::Mono;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const FILE: &str = "guard.snapshot";
/// The first words of the file; another format would have another number.
const FORMAT: &str = "tunerd-guard-1";

/// What another run of the same start of the board had written.
pub(super) struct Recalled {
    /// For `Pool::recall`.
    pub(super) text: String,
    /// It had ended in order.
    pub(super) clean: bool,
    /// Whose it is.
    pub(super) run: RunMark,
}

/// The file, and when it is to be written.
pub(super) struct Snapshot {
    /// `None`: nowhere.
    path: Option<PathBuf>,
    metrics: Rc<Metrics>,
    /// The text that stands in the file, and the one that is made to be compared with it.
    text: String,
    next: String,
    written_at: Option<Mono>,
    due_at: Option<Mono>,
    failed_before: bool,
}

impl Snapshot {
    /// Reads what stands in `folder`, and notes there that we run. `None` for the folder keeps nothing.
    pub(super) fn open(folder: Option<&Path>, metrics: Rc<Metrics>) -> (Self, Option<Recalled>) {
        let mut path = folder.map(|folder| folder.join(FILE));
        let mut recalled = path.as_deref().and_then(read);
        if recalled.as_ref().is_some_and(|recalled| recalled.run.is_alive() && recalled.run != RunMark::ours()) {
            // Two that share a folder would each undo what the other remembers.
            tracing::warn!("another tunerd runs with the same folder; what the guard knows is not kept");
            (path, recalled) = (None, None);
        }
        let text = recalled.as_ref().map(|recalled| recalled.text.clone()).unwrap_or_default();
        let mut snapshot =
            Self { path, metrics, text, next: String::new(), written_at: None, due_at: None, failed_before: false };
        // From now on the next run knows that we were there.
        snapshot.write(clock::mono(), "running");
        (snapshot, recalled)
    }

    /// Something may have changed.
    pub(super) fn note(&mut self, now: Mono) {
        if self.path.is_some() && self.due_at.is_none() {
            let free_at = self.written_at.map_or(now, |at| at.plus_ms(SNAPSHOT_EVERY_MS));
            self.due_at = Some(free_at.max(now));
        }
    }

    /// When [`Snapshot::keep`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.due_at
    }

    /// Writes what `remember` says, if that is due and something else than what was written.
    pub(super) fn keep(&mut self, now: Mono, remember: impl FnOnce(&mut String) -> fmt::Result) {
        if self.due_at.is_none_or(|due_at| due_at > now) {
            return;
        }
        self.due_at = None;
        // Also when nothing is written: making the text costs more than writing it.
        self.written_at = Some(now);
        if self.take(remember) {
            self.write(now, "running");
        }
    }

    /// Writes the last state, and that the end is in order.
    pub(super) fn close(&mut self, now: Mono, remember: impl FnOnce(&mut String) -> fmt::Result) {
        self.take(remember);
        self.due_at = None;
        self.write(now, "clean");
    }

    /// Says whether the text is another one now.
    fn take(&mut self, remember: impl FnOnce(&mut String) -> fmt::Result) -> bool {
        self.next.clear();
        let fits = remember(&mut self.next).is_ok() && self.next.len() <= SNAPSHOT_BYTES_MAX;
        if !fits {
            self.metrics.snapshots_skipped.add(1);
            return false;
        }
        std::mem::swap(&mut self.text, &mut self.next);
        self.text != self.next || self.failed_before
    }

    fn write(&mut self, now: Mono, state: &str) {
        let Some(path) = &self.path else { return };
        let (boot, run) = (clock::boot_id(), RunMark::ours());
        let head = format!("{FORMAT} {boot} {run} {state}");
        let sum = sum(&head, &self.text);
        self.written_at = Some(now);
        match replace(path, &format!("{head} {sum:016x}\n{}", self.text)) {
            Ok(()) => self.failed_before = false,
            Err(error) => {
                self.metrics.snapshots_skipped.add(1);
                if !std::mem::replace(&mut self.failed_before, true) {
                    tracing::warn!(
                        %error,
                        "what the guard knows cannot be kept in {}; a crash would make it forgotten",
                        path.display()
                    );
                }
            }
        }
    }
}

/// Either the old text or the new one, whole, as far as a crash of ours goes. A crash of the board makes it worthless
/// anyway, so nothing is synced.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    let written = written.and_then(|mut file| file.write_all(content.as_bytes()));
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        // It may be what fills the file system.
        fs::remove_file(&new).unwrap_or_default();
    })
}

fn read(path: &Path) -> Option<Recalled> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "what the guard knew cannot be read from {}", path.display());
            return None;
        }
    };
    let mut content = String::new();
    let read = file.take(SNAPSHOT_BYTES_MAX as u64 + 1_024).read_to_string(&mut content);
    let parsed = read.ok().and_then(|_| parse(&content));
    if parsed.is_none() {
        tracing::warn!("what the guard knew in {} is damaged and is not used", path.display());
    }
    parsed?
}

/// `None`: damaged; `Some(None)`: whole, of another start of the board.
#[expect(clippy::option_option, reason = "three cases, and the caller names them")]
fn parse(content: &str) -> Option<Option<Recalled>> {
    let (first, text) = content.split_once('\n')?;
    let (head, found) = first.rsplit_once(' ')?;
    if u64::from_str_radix(found, 16).ok()? != sum(head, text) {
        return None;
    }
    let mut words = head.split(' ');
    let (format, boot, run, state) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if format != FORMAT || boot != clock::boot_id() || boot.is_empty() {
        return Some(None);
    }
    let run = RunMark::parse(run)?;
    Some(Some(Recalled { text: text.to_owned(), clean: state == "clean", run }))
}

/// FNV-1a: it has to notice a torn or tangled file, not a forged one.
fn sum(head: &str, text: &str) -> u64 {
    let bytes = head.bytes().chain(*b"\n").chain(text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tunerd-snapshot-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn open(&self) -> (Snapshot, Option<Recalled>) {
            Snapshot::open(Some(&self.0), Rc::default())
        }

        fn file(&self) -> PathBuf {
            self.0.join(FILE)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn says(text: &str) -> impl FnOnce(&mut String) -> fmt::Result {
        move |out| out.write_str(text)
    }

    #[test]
    fn what_was_noted_is_found_after_a_crash_and_after_an_end_in_order() {
        let folder = Folder::new("found");
        let (mut snapshot, recalled) = folder.open();
        assert!(recalled.is_none());
        let now = clock::mono();
        snapshot.note(now);
        snapshot.keep(snapshot.next_deadline().unwrap(), says("restart 5\n"));
        // The crash: nothing more is said.
        drop(snapshot);
        let (mut snapshot, recalled) = folder.open();
        let recalled = recalled.unwrap();
        assert_eq!((recalled.text.as_str(), recalled.clean, recalled.run), ("restart 5\n", false, RunMark::ours()));
        // A second crash, before anything is noted, loses nothing either.
        drop(snapshot);
        (snapshot, _) = folder.open();
        snapshot.close(now.plus_ms(9), says("restart 5\nrestart 6\n"));
        let recalled = folder.open().1.unwrap();
        assert_eq!((recalled.text.as_str(), recalled.clean), ("restart 5\nrestart 6\n", true));
    }

    #[test]
    fn it_is_written_on_change_and_once_a_second_at_most() {
        let folder = Folder::new("often");
        let (mut snapshot, _) = folder.open();
        let written = || fs::read_to_string(folder.file()).unwrap();
        let (start, mut now) = (snapshot.written_at.unwrap(), snapshot.written_at.unwrap());
        let (mut last, mut writes) = (written(), 0);
        for round in 0..500 {
            now = now.plus_ms(20);
            snapshot.note(now);
            snapshot.keep(now, says(&format!("restart {round}\n")));
            if written() != last {
                (last, writes) = (written(), writes + 1);
            }
        }
        assert_eq!((now.ms_since(start), writes), (10_000, 10));
        // Without change there is a text to compare, and no write.
        now = now.plus_ms(SNAPSHOT_EVERY_MS);
        snapshot.note(now);
        snapshot.keep(now, says("restart 500\n"));
        fs::remove_file(folder.file()).unwrap();
        snapshot.note(now);
        assert_eq!(snapshot.next_deadline(), Some(now.plus_ms(SNAPSHOT_EVERY_MS)));
        snapshot.keep(now.plus_ms(SNAPSHOT_EVERY_MS), says("restart 500\n"));
        assert!(!folder.file().exists());
        assert_eq!(snapshot.next_deadline(), None, "nothing happens, nobody is woken");
    }

    #[test]
    fn what_is_damaged_or_of_another_start_of_the_board_is_not_used() {
        let folder = Folder::new("damaged");
        let (mut snapshot, _) = folder.open();
        snapshot.close(clock::mono(), says("restart 1\nrestart 2\nrestart 3\n"));
        drop(snapshot);
        let good = fs::read_to_string(folder.file()).unwrap();
        let recalled = |content: &[u8]| {
            fs::write(folder.file(), content).unwrap();
            read(&folder.file())
        };
        assert!(recalled(good.as_bytes()).is_some());
        for at in 0..good.len() {
            assert!(recalled(&good.as_bytes()[..at]).is_none(), "cut at {at}");
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(recalled(&bytes).is_none(), "flipped at {at}");
        }
        for content in [b"\xff\xfe".to_vec(), b"\n".to_vec(), vec![b'x'; 2 * SNAPSHOT_BYTES_MAX]] {
            assert!(recalled(&content).is_none());
        }
        let head = format!("{FORMAT} 00000000-0000-0000-0000-000000000000 1-1 clean");
        let other = format!("{head} {:016x}\nrestart 1\n", sum(&head, "restart 1\n"));
        assert!(matches!(parse(&other), Some(None)), "whole, and of another start");
    }

    #[test]
    fn where_nothing_can_be_written_life_goes_on() {
        let folder = Folder::new("full");
        // A directory in its place: whoever runs the tests may write everywhere.
        fs::create_dir(folder.file()).unwrap();
        let metrics = Rc::<Metrics>::default();
        let (mut snapshot, recalled) = Snapshot::open(Some(&folder.0), Rc::clone(&metrics));
        assert!(recalled.is_none());
        let mut now = clock::mono();
        for _ in 0..3 {
            now = now.plus_ms(SNAPSHOT_EVERY_MS);
            snapshot.note(now);
            snapshot.keep(now, says("restart 1\n"));
        }
        assert_eq!(metrics.snapshots_skipped.get(), 4);
        fs::remove_dir(folder.file()).unwrap();
        now = now.plus_ms(SNAPSHOT_EVERY_MS);
        snapshot.note(now);
        snapshot.keep(now, says("restart 1\n"));
        assert!(folder.open().1.is_some(), "and is caught up with when it can be");
        let (mut nowhere, recalled) = Snapshot::open(None, metrics);
        nowhere.note(now);
        assert!(recalled.is_none() && nowhere.next_deadline().is_none());
    }

    #[test]
    fn two_that_share_a_folder_leave_each_other_alone() {
        let folder = Folder::new("shared");
        // Whoever started the tests lives, and is not us.
        let other = nix::unistd::getppid().as_raw();
        let started = fs::read_to_string(format!("/proc/{other}/stat")).unwrap();
        let started = started.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().to_owned();
        let head = format!("{FORMAT} {} {other}-{started} running", clock::boot_id());
        let content = format!("{head} {:016x}\nrestart 1\n", sum(&head, "restart 1\n"));
        fs::write(folder.file(), &content).unwrap();
        let (mut snapshot, recalled) = folder.open();
        assert!(recalled.is_none());
        snapshot.close(clock::mono(), says(""));
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), content);
    }
}

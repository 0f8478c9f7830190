//! The update room: takes a bundle in, and has its signature verified before anything else is done with it.
//!
//! Today a bundle comes from one door only, `hdhomerun_config upgrade`, when the owner has switched that on; see
//! `pure::rules::control::upload`. It is poured into one file in the state directory, of one upload at a time, by a
//! thread of its own: a card that is slow for seconds holds up nobody but who sends. The file is gone when its upload is
//! dropped, whatever becomes of it, and what a crash left is removed at the next start.
//!
//! RAUC verifies, in a process of its own. `rauc info` proves who signed the bundle's manifest. Of a bundle in RAUC's
//! `verity` format that is all it reads: the contents hang on a hash in that manifest, and are checked block by block
//! while they are installed.
//!
//! Not here yet: the installation. A genuine bundle is refused as well, with words that say so, because what has to be
//! asked before `rauc install` is not there: version and board, whether somebody watches, and whether the new system
//! plays, or goes back.

use crate::clock;
use crate::engine;
use crate::engine::Checked;
use crate::observe::problems::{Problems, Topic};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{AccessFlags, access};
use pure::limits::{UPLOAD_NOTICE_MS, UPLOAD_PIECE_BYTES, UPLOAD_PIECES, UPLOAD_RESERVE_BYTES};
use pure::rules::control::upload::Refusal;
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// The file of an upload, in the state directory.
const FILE: &str = "upload.raucb";
/// Where RAUC is told which slots the system has; without it there is nothing to install into.
const SYSTEM: &str = "/etc/rauc/system.conf";

/// How updates are taken.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most bytes that somebody may send; none when nobody may.
    pub upload_bytes_max: Option<u32>,
    /// The certificates of those who may sign.
    pub keyring: PathBuf,
    /// Where files are kept.
    pub state_dir: PathBuf,
}

/// What doors know of the room.
#[derive(Clone)]
pub struct Handle(Rc<Room>);

struct Room {
    options: Options,
    engine: engine::Handle,
    problems: Problems,
    /// A second one is with whoever has the file.
    seat: Arc<()>,
    /// Ends what the page tells of the last refusal.
    notice: RefCell<Option<AbortHandle>>,
}

impl Handle {
    /// A room without an upload; what an earlier run left is removed.
    pub fn new(options: Options, engine: engine::Handle, problems: Problems) -> Self {
        let left = options.state_dir.join(FILE);
        match fs::remove_file(&left) {
            Ok(()) => tracing::info!(file = %left.display(), "removed what was left of an upload"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The state directory is no good; the store says so.
            Err(error) => tracing::debug!(file = %left.display(), %error, "cannot be removed"),
        }
        let (seat, notice) = (Arc::default(), RefCell::default());
        Self(Rc::new(Room { options, engine, problems, seat, notice }))
    }

    /// The most bytes that somebody may send; none when nobody may.
    pub fn upload_bytes_max(&self) -> Option<u32> {
        self.0.options.upload_bytes_max
    }

    /// Begins to take a bundle in.
    ///
    /// # Errors
    /// Somebody else does already, or there is no thread for it.
    pub fn begin(&self) -> Result<Incoming, Refusal> {
        if Arc::strong_count(&self.0.seat) > 1 {
            return Err(Refusal::Busy);
        }
        let (pieces, mut inbox) = mpsc::channel(UPLOAD_PIECES);
        let (why, failed) = oneshot::channel();
        let (seat, path) = (Arc::clone(&self.0.seat), self.0.options.state_dir.join(FILE));
        let thread = std::thread::Builder::new().name("upload".to_owned()).stack_size(256 * 1024);
        let started = thread.spawn(move || {
            let poured = pour(&path, &mut inbox);
            fs::remove_file(&path).unwrap_or_default();
            drop(seat);
            // Who has given up does not hear it; who is sending finds the inbox closed and looks here.
            why.send(poured.err()).unwrap_or_default();
        });
        match started {
            Ok(_) => Ok(Incoming { pieces, piece: Vec::new(), failed: Some(failed) }),
            Err(error) => {
                tracing::warn!(%error, "no thread for an upload");
                Err(Refusal::NotStored)
            }
        }
    }

    /// Verifies what has come in, and says why it is not installed: until there is an installation, there is always a
    /// reason.
    pub async fn take(&self, mut incoming: Incoming) -> Refusal {
        let refusal = match incoming.complete().await {
            Ok(()) => self.verify().await,
            Err(refusal) => refusal,
        };
        incoming.discard().await;
        refusal
    }

    async fn verify(&self) -> Refusal {
        let Options { keyring, state_dir, .. } = &self.0.options;
        if let Err(error) = access(keyring.as_path(), AccessFlags::R_OK) {
            tracing::warn!(keyring = %keyring.display(), %error, "keyring cannot be read");
            return Refusal::NoKeyring;
        }
        let Ok(rauc) = engine::process::find(Path::new("rauc")) else { return Refusal::NoRauc };
        let mut with_keyring = OsString::from("--keyring=");
        with_keyring.push(keyring);
        match self.0.engine.check(&rauc, &["info".into(), with_keyring, state_dir.join(FILE).into()]).await {
            // Who tells RAUC where the slots are has installed our image, or means to be treated so.
            Checked::Good if Path::new(SYSTEM).exists() => Refusal::NoInstaller,
            Checked::Good => Refusal::NotOurImage,
            Checked::Bad(says) => {
                tracing::warn!(says, "RAUC refuses an uploaded bundle");
                Refusal::NotGenuine
            }
            Checked::NotNow => Refusal::NotNow,
            Checked::TooSlow => Refusal::TooSlow,
        }
    }

    /// Tells people that somebody's upload was refused.
    pub fn refused(&self, peer: IpAddr, refusal: Refusal) {
        let Room { problems, notice, .. } = &*self.0;
        problems.set(Topic::Update, format!("An update from {peer} was not installed: {}.", refusal.words()));
        let over = tokio::task::spawn_local({
            let problems = problems.clone();
            async move {
                clock::pause(UPLOAD_NOTICE_MS).await;
                problems.clear(Topic::Update);
            }
        });
        if let Some(earlier) = notice.replace(Some(over.abort_handle())) {
            earlier.abort();
        }
    }
}

/// What goes to the thread that writes.
enum Part {
    Bytes(Vec<u8>),
    /// That was all; answered when it is written.
    End(oneshot::Sender<()>),
}

/// A bundle on its way into its file. Dropped, it is gone.
pub struct Incoming {
    pieces: mpsc::Sender<Part>,
    /// What is not worth a write yet.
    piece: Vec<u8>,
    /// Resolves when the file is gone, with the reason if it is not that we wanted it. None once that was heard.
    failed: Option<oneshot::Receiver<Option<Refusal>>>,
}

impl Incoming {
    /// Writes bytes behind those before, and waits while the disk is slow.
    ///
    /// # Errors
    /// The disk is full, or cannot be written.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), Refusal> {
        self.piece.extend_from_slice(data);
        if self.piece.len() < UPLOAD_PIECE_BYTES {
            return Ok(());
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Refusal> {
        let piece = std::mem::take(&mut self.piece);
        self.send(Part::Bytes(piece)).await
    }

    async fn complete(&mut self) -> Result<(), Refusal> {
        self.flush().await?;
        let (done, written) = oneshot::channel();
        self.send(Part::End(done)).await?;
        match written.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why().await),
        }
    }

    async fn send(&mut self, part: Part) -> Result<(), Refusal> {
        match self.pieces.send(part).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why().await),
        }
    }

    async fn why(&mut self) -> Refusal {
        let told = match self.failed.take() {
            Some(failed) => failed.await.ok().flatten(),
            None => None,
        };
        told.unwrap_or(Refusal::NotStored)
    }

    /// Throws it away; returns when the next one may come.
    pub async fn discard(self) {
        let Self { pieces, failed, .. } = self;
        drop(pieces);
        if let Some(failed) = failed {
            failed.await.map(drop).unwrap_or_default();
        }
    }
}

/// Writes what comes until nobody sends any more.
fn pour(path: &Path, inbox: &mut mpsc::Receiver<Part>) -> Result<(), Refusal> {
    let mut file = create(path).map_err(|error| refusal(&error))?;
    while let Some(part) = inbox.blocking_recv() {
        match part {
            Part::Bytes(bytes) => {
                let room = fstatvfs(&file).map_err(|errno| refusal(&errno.into()))?;
                #[allow(clippy::useless_conversion, reason = "these are of other types on other machines")]
                let free_bytes = u64::from(room.blocks_available()).saturating_mul(u64::from(room.fragment_size()));
                if free_bytes < UPLOAD_RESERVE_BYTES + bytes.len() as u64 {
                    return Err(Refusal::DiskFull);
                }
                file.write_all(&bytes).map_err(|error| refusal(&error))?;
            }
            Part::End(done) => done.send(()).unwrap_or_default(),
        }
    }
    Ok(())
}

/// A new file, and never one that somebody has put there.
fn create(path: &Path) -> io::Result<File> {
    fs::remove_file(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Refusal::DiskFull,
        _ => {
            tracing::warn!(%error, "an upload cannot be written");
            Refusal::NotStored
        }
    }
}

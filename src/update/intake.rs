//! A bundle on its way into its file: one upload or download at a time, written by a thread of its own, so that a card
//! that is slow for seconds holds up nobody but who sends. The file is gone when its upload is dropped, whatever becomes
//! of it.

use super::Claim;
use nix::sys::statvfs::fstatvfs;
use pure::limits::{UPLOAD_PIECE_BYTES, UPLOAD_PIECES, UPLOAD_RESERVE_BYTES};
use pure::rules::updating::Refusal;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What goes to the thread that writes.
enum Part {
    Bytes(Vec<u8>),
    /// That was all; answered when it is written.
    End(oneshot::Sender<()>),
}

/// A bundle on its way into its file. Dropped, it is gone.
pub struct Incoming {
    claim: Claim,
    pieces: mpsc::Sender<Part>,
    /// What is not worth a write yet.
    piece: Vec<u8>,
    taken: u64,
    /// The most bytes that it may have.
    bytes_max: u64,
    /// Resolves when the file is gone, with the reason if it is not that we wanted it. None once that was heard.
    failed: Option<oneshot::Receiver<Option<Refusal>>>,
}

impl Incoming {
    /// Begins a file. Whoever has it holds the seat.
    pub(super) fn begin(claim: Claim, path: PathBuf, seat: Arc<()>, bytes_max: u64) -> Result<Self, Refusal> {
        let (pieces, mut inbox) = mpsc::channel(UPLOAD_PIECES);
        let (why, failed) = oneshot::channel();
        let thread = std::thread::Builder::new().name("upload".to_owned()).stack_size(256 * 1024);
        let started = thread.spawn(move || {
            let poured = pour(&path, &mut inbox);
            fs::remove_file(&path).unwrap_or_default();
            drop(seat);
            // Who has given up does not hear it; who is sending finds the inbox closed and looks here.
            why.send(poured.err()).unwrap_or_default();
        });
        match started {
            Ok(_) => Ok(Self { claim, pieces, piece: Vec::new(), taken: 0, bytes_max, failed: Some(failed) }),
            Err(error) => {
                tracing::warn!(%error, "no thread for an upload");
                Err(Refusal::NotStored)
            }
        }
    }

    /// Writes bytes behind those before, and waits while the disk is slow. `of`: how many there will be, if that is known.
    ///
    /// # Errors
    /// It is too large, the disk is full, or cannot be written.
    pub async fn write(&mut self, data: &[u8], of: Option<u64>) -> Result<(), Refusal> {
        self.taken += data.len() as u64;
        if self.taken.max(of.unwrap_or_default()) > self.bytes_max {
            return Err(Refusal::TooLarge);
        }
        self.claim.fetched(self.taken, of);
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

    pub(super) async fn complete(&mut self) -> Result<(), Refusal> {
        if self.taken == 0 {
            return Err(Refusal::Incomplete);
        }
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

    /// Throws it away; returns when the file is gone, with the claim, which somebody else may have then.
    pub async fn discard(self) -> Claim {
        let Self { claim, pieces, failed, .. } = self;
        drop(pieces);
        if let Some(failed) = failed {
            failed.await.map(drop).unwrap_or_default();
        }
        claim
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

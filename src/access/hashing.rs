//! Passwords are hashed here, one at a time, on a thread of their own: it takes some hundred milliseconds and 19 MiB.

use super::Refusal;
use crate::store::access::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use pure::limits::{PASSWORD_INBOX, PASSWORD_MEMORY_KIB, PASSWORD_PASSES};
use std::io;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// What is asked of the allocator, most of which is never touched: the C library gives back at once only what is larger
/// than 32 MiB, and keeps the rest for later, a few times over.
/// Source: `DEFAULT_MMAP_THRESHOLD_MAX` in glibc's malloc.
const ROOM_BYTES: usize = 33 * 1024 * 1024;
const _: () = assert!(ROOM_BYTES > PASSWORD_MEMORY_KIB as usize * 1_024, "it holds what a hash takes");

/// The thread.
pub(super) struct Hasher(mpsc::SyncSender<Job>);

struct Job {
    password: String,
    salt: [u8; 16],
    memory_kib: u32,
    passes: u32,
    answer: oneshot::Sender<Option<[u8; 32]>>,
}

impl Hasher {
    /// Starts it. It ends when nobody can ask it any more.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, inbox) = mpsc::sync_channel::<Job>(PASSWORD_INBOX);
        std::thread::Builder::new().name("passwords".to_owned()).stack_size(256 * 1024).spawn(move || {
            while let Ok(job) = inbox.recv() {
                // Who has gone away need not be answered.
                if !job.answer.is_closed() {
                    let hashed = work(&job.password, &job.salt, job.memory_kib, job.passes);
                    job.answer.send(hashed).unwrap_or_default();
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// What is to be kept of a new password.
    pub(super) async fn new_hash(&self, password: String, salt: [u8; 16]) -> Result<PasswordHash, Refusal> {
        let (memory_kib, passes) = (PASSWORD_MEMORY_KIB, PASSWORD_PASSES);
        let hash = self.hash(password, salt, memory_kib, passes).await?;
        Ok(PasswordHash { salt, hash, memory_kib, passes })
    }

    pub(super) async fn hash(
        &self,
        password: String,
        salt: [u8; 16],
        memory_kib: u32,
        passes: u32,
    ) -> Result<[u8; 32], Refusal> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Job { password, salt, memory_kib, passes, answer }).map_err(|_| Refusal::Busy)?;
        answered.await.ok().flatten().ok_or(Refusal::Busy)
    }
}

/// What is to be kept of a new password, at once.
pub(super) fn hash(password: &str, salt: [u8; 16]) -> Option<PasswordHash> {
    let (memory_kib, passes) = (PASSWORD_MEMORY_KIB, PASSWORD_PASSES);
    work(password, &salt, memory_kib, passes).map(|hash| PasswordHash { salt, hash, memory_kib, passes })
}

/// None when there is no memory for it, or a damaged database wants something absurd.
fn work(password: &str, salt: &[u8; 16], memory_kib: u32, passes: u32) -> Option<[u8; 32]> {
    if memory_kib > PASSWORD_MEMORY_KIB || passes > PASSWORD_PASSES {
        return None;
    }
    let params = Params::new(memory_kib, passes, 1, Some(32)).ok()?;
    let mut blocks: Vec<Block> = Vec::new();
    blocks.try_reserve_exact(ROOM_BYTES / Block::SIZE).ok()?;
    blocks.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = [0; 32];
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, &mut blocks).ok().map(|()| hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hashed_as_argon2id_does_it() {
        // Made with the reference implementation: argon2 saltsaltsaltsalt -id -t 2 -k 19456 -p 1 -l 32 -r
        let hash = work("correct horse battery", b"saltsaltsaltsalt", 19_456, 2).unwrap();
        let text = hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(text, "88f390e5fd8edb516c8e706fa3502215c0ee4977220a7294ad714efb27e03683");
        assert_eq!(work("a", b"saltsaltsaltsalt", 19_457, 2), None);
        assert_eq!(work("a", b"saltsaltsaltsalt", 19_456, 3), None);
    }
}

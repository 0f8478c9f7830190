//! What becomes of an update: what was attempted is on the disk before it begins, and after a fresh start it is told.

use super::memory::{self, Attempt, Proof};
use super::rauc::Boot;
use super::{Claim, Room};
use crate::clock;
use pure::limits::UPDATE_TRIAL_MS_MAX;
use pure::model::notification::Event;
use pure::rules::updating::{Refusal, Version};
use std::io;
use std::rc::Rc;
use tokio::sync::oneshot;

impl Room {
    pub(super) async fn save(&self) -> Result<(), Refusal> {
        let _turn = self.saving.lock().await;
        let (memory, folder) = (self.memory.borrow().clone(), self.options.state_dir.clone());
        let (done, saved) = oneshot::channel();
        // The disk may take seconds.
        let thread = std::thread::Builder::new().name("update".to_owned()).stack_size(256 * 1024);
        let started = thread.spawn(move || done.send(memory.save(&folder)).unwrap_or_default());
        let saved = match started {
            Ok(_) => saved.await.map_err(io::Error::other).and_then(|saved| saved),
            Err(error) => Err(error),
        };
        saved.map_err(|error| {
            tracing::warn!(%error, "what was attempted cannot be kept");
            Refusal::NotStored
        })
    }

    pub(super) async fn attempt(&self, attempt: Option<Attempt>) -> Result<(), Refusal> {
        self.memory.borrow_mut().attempt = attempt;
        self.save().await
    }

    /// What became of what was attempted before this start of the box, or of this daemon.
    pub(super) async fn look_back(self: &Rc<Self>) {
        let Some(attempt) = self.memory.borrow().attempt.clone() else { return };
        if attempt.boot == clock::boot_id() {
            match Version::parse(&attempt.version).filter(|_| attempt.written && !attempt.back) {
                Some(version) => {
                    self.machine.borrow_mut().resume(version);
                    let (room, claim) = (Rc::clone(self), Claim(Rc::downgrade(self)));
                    self.work(async move { room.start_anew(claim).await });
                }
                None => self.forget("failed", "the program was started anew in the middle of it").await,
            }
            return;
        }
        if !attempt.written {
            self.forget("failed", "the box was switched off in the middle of it").await;
            return;
        }
        let booted = self.boot.borrow().as_ref().and_then(Boot::booted).map(|slot| slot.name.clone());
        if booted.is_some_and(|booted| booted == attempt.from_slot) {
            let why = match memory::proof(&self.options.state_dir) {
                // What was written in this start is about the system that runs now.
                Some((boot, Proof::Bad(why))) if boot != clock::boot_id() => why,
                _ => "it did not start".to_owned(),
            };
            tracing::warn!(version = attempt.version, why, "the box went back to the version before");
            self.memory.borrow_mut().failed.clone_from(&attempt.version);
            self.news.borrow_mut().push((Event::UpdateRolledBack, attempt.version));
            self.forget("rolled_back", &why).await;
        }
    }

    pub(super) async fn forget(&self, outcome: &str, why: &str) {
        self.memory.borrow_mut().close(outcome, why, clock::wall());
        self.save().await.unwrap_or_default();
    }

    /// Looks whether a new system has proved itself.
    pub(super) async fn settle(&self) {
        if !self.is_on_trial() {
            return;
        }
        let proof = memory::proof(&self.options.state_dir).filter(|(boot, _)| boot == clock::boot_id());
        match proof {
            Some((_, Proof::Good)) => {}
            // Who asks for the proof starts the box anew without it.
            None if clock::mono().ms_since(clock::started()) >= UPDATE_TRIAL_MS_MAX => {}
            _ => return,
        }
        let attempt = self.memory.borrow().attempt.clone().unwrap_or_default();
        tracing::info!(version = attempt.version, from = attempt.from, "the new version has proved itself");
        self.memory.borrow_mut().offered = None;
        if attempt.back {
            self.forget("back", "").await;
        } else {
            self.news.borrow_mut().push((Event::UpdateInstalled, attempt.version));
            self.forget("installed", "").await;
        }
        self.look().await.map(drop).unwrap_or_default();
    }
}

//! What becomes of an update: what was attempted is on the disk before it begins, and after a fresh start it is told.

use super::memory::{self, Attempt, Proof};
use super::{Boot, BootSlot, Claim, Room};
use crate::clock;
use pure::limits::{INSTALL_MS_MAX, UPDATE_PROOF_MS_MAX, UPDATE_RESUME_LOOK_MS, UPDATE_TRIAL_MS_MAX};
use pure::model::notification::Event;
use pure::rules::updating::aftermath::{Aftermath, Found, aftermath};
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
            self.machine.borrow_mut().resume(Version::parse(&attempt.version));
            let (room, claim) = (Rc::clone(self), Claim(Rc::downgrade(self)));
            self.work(async move { room.resume(claim, attempt).await });
            return;
        }
        match aftermath(self.found(&attempt)) {
            Aftermath::Written | Aftermath::OnTrial => {}
            Aftermath::RolledBack => {
                let why = self.why_not().unwrap_or_else(|| "it did not start".to_owned());
                tracing::warn!(version = attempt.version, why, "the box went back to the version before");
                self.memory.borrow_mut().failed.clone_from(&attempt.version);
                self.news.borrow_mut().push((Event::UpdateRolledBack, attempt.version));
                self.forget("rolled_back", &why).await;
            }
            Aftermath::Failed(why) => self.forget("failed", why).await,
        }
    }

    /// Goes on with what was under way when this daemon was started anew, and the board was not.
    async fn resume(self: &Rc<Self>, claim: Claim, attempt: Attempt) {
        let give_up_at = clock::mono().plus_ms(INSTALL_MS_MAX);
        while matches!(self.look().await, Err(Refusal::Busy | Refusal::NotNow | Refusal::TooSlow))
            && clock::mono() < give_up_at
        {
            clock::pause(UPDATE_RESUME_LOOK_MS).await;
        }
        if let Aftermath::Failed(why) = aftermath(self.found(&attempt)) {
            tracing::warn!(version = attempt.version, why, "an update came to nothing");
            self.forget("failed", why).await;
            return;
        }
        tracing::info!(version = attempt.version, "what was under way before waits for a fresh start of the box");
        self.machine.borrow_mut().written();
        self.attempt(Some(Attempt { written: true, ..attempt })).await.unwrap_or_default();
        self.start_anew(claim).await;
    }

    fn found(&self, attempt: &Attempt) -> Found {
        let boot = self.boot.borrow();
        let booted = boot.as_ref().and_then(Boot::booted).filter(|_| !attempt.from_slot.is_empty());
        let other = boot.as_ref().and_then(Boot::other);
        let is_it = |other: &BootSlot| attempt.back || other.version.as_ref() == Some(&attempt.version);
        Found {
            is_new_start: attempt.boot != clock::boot_id(),
            written: attempt.written,
            back: attempt.back,
            is_same_slot: booted.map(|slot| slot.name == attempt.from_slot),
            is_next: other.and_then(|other| Some(other.is_next? && is_it(other))),
            was_tried: self.why_not().is_some(),
        }
    }

    /// Why the other system went, if it said so. What was written in this start is about the system that runs now.
    fn why_not(&self) -> Option<String> {
        match memory::proof(&self.options.state_dir) {
            Some((boot, Proof::Bad(why))) if boot != clock::boot_id() => Some(why),
            _ => None,
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
        let is_asked = memory::is_proving(&self.options.state_dir);
        let up_ms = clock::mono().ms_since(clock::started());
        if !has_proved(proof.as_ref().map(|(_, proof)| proof), is_asked, up_ms) {
            return;
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

/// Whether a system that has been up for so long is one to stay with, as far as can be told.
fn has_proved(proof: Option<&Proof>, is_asked: bool, up_ms: u64) -> bool {
    match proof {
        Some(Proof::Good) => true,
        Some(Proof::Bad(_)) => false,
        // Who asks for the proof starts the box anew without it.
        None if is_asked => up_ms >= UPDATE_TRIAL_MS_MAX,
        // Whoever goes back to a system that was proved at its first start is not asked again.
        None => up_ms >= UPDATE_PROOF_MS_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_for_a_proof_has_to_give_it_and_who_is_not_has_given_it() {
        let bad = Proof::Bad("nobody listens".to_owned());
        for (proof, is_asked, up_ms, expected) in [
            (Some(&Proof::Good), true, 0, true),
            (Some(&bad), true, UPDATE_TRIAL_MS_MAX, false),
            (None, true, UPDATE_TRIAL_MS_MAX - 1, false),
            (None, true, UPDATE_TRIAL_MS_MAX, true),
            (None, false, UPDATE_PROOF_MS_MAX - 1, false),
            (None, false, UPDATE_PROOF_MS_MAX, true),
        ] {
            assert_eq!(has_proved(proof, is_asked, up_ms), expected, "{proof:?} {is_asked} {up_ms}");
        }
    }
}

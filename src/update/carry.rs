//! The way of a bundle: brought here, verified, written to the other boot slot, and the fresh start asked for. When it may
//! take which step: `pure::rules::updating`.

use super::intake::Incoming;
use super::memory::{self, Attempt};
use super::{Claim, FILE, From, REBOOT, Room, channel, rauc, running};
use crate::clock;
use pure::limits::{REBOOT_MS_MAX, UPDATE_HOUR, UPDATE_LOOK_MS, UPDATE_TAKE_BACK_MS};
use pure::model::source_url::SourceUrl;
use pure::rules::updating::{
    InstallPermit, Known, Manifest, Moment, Phase, RebootPermit, Refusal, Version, judge, timing,
};
use pure::time::Wall;
use std::ffi::OsString;
use std::fs;
use std::rc::Rc;

/// Where a bundle is.
pub(super) enum Bundle {
    File(Incoming),
    /// At an address that RAUC reads by itself.
    Address(Claim, SourceUrl),
}

impl Room {
    // ---- Judging ----------------------------------------------------------------------------------------------------

    /// Verifies what has come in, once all of it is on the disk.
    pub(super) async fn judge_file(&self, incoming: &mut Incoming) -> Result<Version, Refusal> {
        incoming.complete().await?;
        self.look_at(self.options.state_dir.join(FILE).into()).await
    }

    /// Verifies a bundle, and says which version it is.
    async fn look_at(&self, bundle: OsString) -> Result<Version, Refusal> {
        self.machine.borrow_mut().check();
        let rauc = self.rauc()?;
        let manifest: Manifest = rauc.info(bundle).await?;
        if !rauc::has_slots() {
            return Err(Refusal::NotOurImage);
        }
        let boot = self.look().await?;
        let known = Known {
            compatible: boot.compatible,
            running: running().as_deref().and_then(Version::parse),
            floor: Version::parse(&self.memory.borrow().floor),
            recalled: self.memory.borrow().recalled(),
            is_on_trial: self.is_on_trial(),
        };
        let version = judge(&known, &manifest)?;
        self.machine.borrow_mut().accepted(version.clone());
        Ok(version)
    }

    // ---- Bringing ---------------------------------------------------------------------------------------------------

    /// Brings what is somewhere else here, and goes on with it.
    pub(super) async fn bring(self: &Rc<Self>, from: From, mut incoming: Incoming) -> Result<(), Refusal> {
        let fetched = self.fetch(from, &mut incoming).await;
        match fetched {
            // RAUC reads it where it is.
            Ok(Some((url, version))) => {
                let claim = incoming.discard().await;
                self.carry(Bundle::Address(claim, url), version).await;
                return Ok(());
            }
            Ok(None) => {}
            Err(refusal) => {
                drop(incoming.discard().await);
                return Err(refusal);
            }
        }
        match self.judge_file(&mut incoming).await {
            Ok(version) => self.carry(Bundle::File(incoming), version).await,
            Err(refusal) => {
                drop(incoming.discard().await);
                return Err(refusal);
            }
        }
        Ok(())
    }

    async fn fetch(&self, from: From, incoming: &mut Incoming) -> Result<Option<(SourceUrl, Version)>, Refusal> {
        let fetcher = &self.rooms.fetcher;
        match from {
            From::Address(url) => {
                if let Some(url) = channel::parts(fetcher, &url).await {
                    // It may only be that this RAUC cannot read from there.
                    match self.look_at(url.as_str().into()).await {
                        Ok(version) => return Ok(Some((url, version))),
                        Err(Refusal::NotGenuine | Refusal::TooSlow) => self.machine.borrow_mut().fetch_again(),
                        Err(refusal) => return Err(refusal),
                    }
                }
                channel::fetch(fetcher, (&url, fetcher.typed()), None, incoming).await?;
            }
            From::Channel => {
                let (told, chosen) = self.ask_channel().await?;
                let (url, announced) = chosen.ok_or(Refusal::NothingNew)?;
                channel::fetch(fetcher, (&url, told), Some(&announced), incoming).await?;
            }
        }
        Ok(None)
    }

    // ---- Installing -------------------------------------------------------------------------------------------------

    /// Waits until it may, has the bundle installed, and waits for the fresh start.
    pub(super) async fn carry(self: &Rc<Self>, bundle: Bundle, version: Version) {
        let permit = loop {
            if self.is_recalled() {
                match bundle {
                    Bundle::File(incoming) => drop(incoming.discard().await),
                    Bundle::Address(claim, _) => drop(claim),
                }
                tracing::warn!(%version, "an update was called back before it was installed");
                self.refused.set(Some((clock::wall(), Refusal::Recalled)));
                return;
            }
            let moment = self.moment();
            if let Some(permit) = self.machine.borrow_mut().ask_install(moment) {
                break permit;
            }
            clock::pause(UPDATE_LOOK_MS).await;
        };
        let installed = self.write(permit, &bundle, &version).await;
        let claim = match bundle {
            Bundle::File(incoming) => incoming.discard().await,
            Bundle::Address(claim, _) => claim,
        };
        if let Err(refusal) = installed {
            tracing::warn!(%version, why = refusal.words(), "an update was not installed");
            self.refused.set(Some((clock::wall(), refusal)));
            self.memory.borrow_mut().close("failed", refusal.words(), clock::wall());
            self.save().await.unwrap_or_default();
            return;
        }
        tracing::info!(%version, "an update is installed and waits for a fresh start of the box");
        self.machine.borrow_mut().written();
        if let Some(attempt) = &mut self.memory.borrow_mut().attempt {
            attempt.written = true;
        }
        self.save().await.unwrap_or_default();
        self.start_anew(claim).await;
    }

    async fn write(&self, permit: InstallPermit, bundle: &Bundle, version: &Version) -> Result<(), Refusal> {
        let boot = self.boot.borrow().clone().unwrap_or_default();
        let attempt = Attempt {
            version: version.to_string(),
            from: running().unwrap_or_default(),
            from_slot: boot.booted().map(|slot| slot.name.clone()).unwrap_or_default(),
            boot: clock::boot_id().to_owned(),
            written: false,
            back: false,
            channels: self.channels_len(),
        };
        memory::forget_proof(&self.options.state_dir);
        // What may be started the next time must be known then.
        self.attempt(Some(attempt)).await?;
        let at = match bundle {
            Bundle::File(_) => self.options.state_dir.join(FILE).into(),
            Bundle::Address(_, url) => url.as_str().into(),
        };
        tracing::info!(%version, "an update is being installed");
        let mut on_percent = |percent| self.machine.borrow_mut().progress(percent);
        self.rauc()?.install(permit, at, &mut on_percent).await
    }

    /// Asks for the fresh start as soon as it may come; the claim is kept meanwhile.
    pub(super) async fn start_anew(self: &Rc<Self>, claim: Claim) {
        self.look().await.map(drop).unwrap_or_default();
        loop {
            if *self.machine.borrow().phase() == Phase::Written && self.is_recalled() {
                if self.take_back().await.is_ok() {
                    break;
                }
                // Not started while that is so, unless somebody pulls the plug.
                clock::pause(UPDATE_TAKE_BACK_MS).await;
                continue;
            }
            let moment = self.moment();
            let permit = self.machine.borrow_mut().ask_reboot(moment);
            if let Some(permit) = permit {
                self.ask_root(permit, REBOOT).unwrap_or_default();
            }
            clock::pause(UPDATE_LOOK_MS).await;
            if *self.machine.borrow().phase() == Phase::Idle {
                break;
            }
        }
        drop(claim);
    }

    fn is_recalled(&self) -> bool {
        let machine = self.machine.borrow();
        machine.version().is_some_and(|version| self.memory.borrow().has_recalled(version))
    }

    /// Has the boot loader stay with what runs, instead of what is written and was called back since.
    async fn take_back(&self) -> Result<(), Refusal> {
        let rauc = self.rauc()?;
        rauc.mark("mark-active", "booted").await?;
        // Nor is that a way back.
        rauc.mark("mark-bad", "other").await.unwrap_or_default();
        tracing::warn!("an update was called back before it was started");
        self.refused.set(Some((clock::wall(), Refusal::Recalled)));
        self.forget("failed", Refusal::Recalled.words()).await;
        self.look().await.map(drop).unwrap_or_default();
        Ok(())
    }

    pub(super) fn moment(&self) -> Moment {
        let wishes = self.wishes.borrow();
        let (now, hour) = (clock::wall(), wishes.update_hour.unwrap_or(UPDATE_HOUR));
        let since = self.memory.borrow().offered.as_ref().map(|offered| Wall(offered.since));
        let is_night = |at| timing::is_night(at, hour, self.options.device);
        let is_timed = clock::wall_is_plausible();
        Moment {
            now: clock::mono(),
            is_watched: self.rooms.engine.tuners().iter().any(|tuner| !tuner.watchers.is_empty()),
            is_night: is_timed && clock::time_of_day(now).is_some_and(is_night),
            is_overdue: is_timed && since.is_some_and(|since| timing::is_overdue(since, now)),
        }
    }

    /// Asks the root unit that does it; each waits for a file of this name.
    pub(super) fn ask_root(self: &Rc<Self>, permit: RebootPermit, wish: &'static str) -> Result<(), Refusal> {
        drop(permit);
        tracing::info!(wish, "asking for a fresh start of the box");
        if let Err(error) = fs::File::create(self.options.runtime_dir.join(wish)) {
            tracing::error!(%error, "a fresh start of the box cannot be asked for");
            self.machine.borrow_mut().reboot_failed();
            return Err(Refusal::NotStored);
        }
        let room = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            clock::pause(REBOOT_MS_MAX).await;
            if let Some(room) = room.upgrade() {
                tracing::error!("nobody started the box anew; switch it off and on");
                fs::remove_file(room.options.runtime_dir.join(wish)).unwrap_or_default();
                room.machine.borrow_mut().reboot_failed();
            }
        });
        Ok(())
    }
}

//! What the channel offers this box, and when that goes its way without being asked for.

use super::channel::{self, Announced};
use super::memory::Offered;
use super::{Boot, From, Handle, Room, running};
use crate::clock;
use crate::observe::problems::Topic;
use pure::limits::CHANNEL_PERIOD_S;
use pure::model::notification::Event;
use pure::model::source_url::SourceUrl;
use pure::rules::reach::Reach;
use pure::rules::updating::rollout::{NotForUs, choose};
use pure::rules::updating::{Haste, Moment, Phase, Refusal, Version};

impl Room {
    pub(super) fn channel(&self) -> Option<String> {
        self.wishes.borrow().update_channel.clone().or_else(|| self.options.channel.clone())
    }

    /// Asks the channel, and says how far it may lead, and what this box may have.
    pub(super) async fn ask_channel(&self) -> Result<(Reach, Option<(SourceUrl, Announced)>), Refusal> {
        let asked = self.hear_channel().await;
        self.asked.set(Some((clock::wall(), asked.as_ref().err().copied())));
        if let Err(refusal) = &asked {
            tracing::warn!(why = refusal.words(), "the update channel is of no use");
        }
        asked
    }

    async fn hear_channel(&self) -> Result<(Reach, Option<(SourceUrl, Announced)>), Refusal> {
        let url = channel::address(&self.channel().ok_or(Refusal::NoChannel)?)?;
        let before = self.memory.borrow().clone();
        let told = channel::ask(&self.rooms.fetcher, &url, before.seen()).await?;
        let boot = self.boot.borrow().clone();
        let compatible = match boot {
            Some(boot) => boot.compatible,
            None => self.look().await?.compatible,
        };
        let mut after = before.clone();
        after.see(told.seen);
        after.recalled = told.file.abort.iter().map(ToString::to_string).collect();
        let is_withdrawn =
            |offered: &Offered| Version::parse(&offered.version).is_some_and(|version| after.has_recalled(&version));
        if before.offered.as_ref().is_some_and(is_withdrawn) {
            tracing::warn!("what the channel had was called back");
            self.refused.set(Some((clock::wall(), Refusal::Recalled)));
        }
        if let Some(minimum) = told.file.minimum_version.as_ref() {
            if Version::parse(&after.floor).is_none_or(|floor| floor < *minimum) {
                after.floor = minimum.to_string();
            }
        }
        let (running, failed) = (running().as_deref().and_then(Version::parse), Version::parse(&after.failed));
        let device = self.options.device;
        let chosen = match choose(&told.file, device, &compatible, running.as_ref(), failed.as_ref()) {
            Ok(bundle) => {
                let url = told.url.resolve(&bundle.url).map_err(|_| Refusal::BadAddress)?;
                Some((url, Announced { sha256: bundle.sha256, bytes: bundle.bytes }))
            }
            Err(NotForUs::Current | NotForUs::Board | NotForUs::Hold | NotForUs::Aborted | NotForUs::Later) => None,
        };
        let version = told.file.version.to_string();
        after.offered = match (&chosen, before.offered.clone()) {
            (None, _) => None,
            (Some(_), Some(known)) if known.version == version => Some(known),
            (Some(_), _) => {
                self.news.borrow_mut().push((Event::UpdateAvailable, version.clone()));
                Some(Offered { version, since: clock::wall().0 })
            }
        };
        if after != before {
            {
                // What was attempted meanwhile is not ours to change.
                let mut memory = self.memory.borrow_mut();
                (after.attempt, after.last) = (memory.attempt.clone(), memory.last.clone());
                *memory = after;
            }
            self.save().await?;
        }
        self.tell_recall();
        Ok((told.reach, chosen))
    }

    /// Tells the owner when what runs here turned out to be bad. It is his to go back: what he watches may well work.
    pub(super) fn tell_recall(&self) {
        let (memory, boot, problems) = (self.memory.borrow(), self.boot.borrow(), &self.rooms.problems);
        let running = running();
        let is_bad = |text: &str| Version::parse(text).is_some_and(|version| memory.has_recalled(&version));
        let Some(running) = running.filter(|running| is_bad(running)) else {
            problems.clear(Topic::Recalled);
            return;
        };
        let other = boot.as_ref().and_then(Boot::other).filter(|other| other.is_good);
        let way_back = match other.and_then(|other| other.version.as_deref()).filter(|version| !is_bad(version)) {
            Some(version) => format!("Go back to {version}, or install a newer one"),
            None => "Install a newer one".to_owned(),
        };
        let text = format!("The makers of version {running}, which runs here, have called it back. {way_back}.");
        problems.set(Topic::Recalled, text);
    }

    /// Lets what the channel has go its way, unless the owner does not want that.
    pub(super) fn go_by_itself(&self, handle: &Handle) {
        let is_wanted = self.wishes.borrow().update_automatic.unwrap_or(true);
        let is_idle = *self.machine.borrow().phase() == Phase::Idle && !self.is_on_trial();
        let Moment { is_watched, is_night, is_overdue, .. } = self.moment();
        let is_time = is_night && (!is_watched || is_overdue);
        // One that was refused is not fetched again and again all night.
        let (now, may_try) = (clock::mono(), clock::mono() >= self.next_try_at.get());
        if is_wanted && is_idle && is_time && may_try && self.memory.borrow().offered.is_some() {
            self.next_try_at.set(now.plus_ms(u64::from(CHANNEL_PERIOD_S) * 1_000));
            handle.install(From::Channel, Haste::Night).unwrap_or_default();
        }
    }
}

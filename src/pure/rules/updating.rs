//! Updates: what may be installed, when, and how far one has come.
//!
//! Here: versions, what a bundle must be ([`judge`]), and the way of one update ([`Updating`]), whose two dangerous steps
//! take a permit each. [`timing`] says when an update that nobody asked for may go its way, [`rollout`] what an update
//! channel may make us believe, [`aftermath`] what became of one while this program was away. Not here: the bundle itself, its signature, RAUC; those are the daemon's update room.
//!
//! The invariant: nothing is written and nothing is started anew while somebody watches, unless the owner says now, or an
//! automatic update has been put off for its seven days.

pub mod aftermath;
pub mod rollout;
pub mod timing;

use crate::limits::{UPDATE_QUIET_MS, VERSION_BYTES_MAX};
use crate::time::Mono;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

// ---- Versions -------------------------------------------------------------------------------------------------------

/// Numbers with dots between them, and maybe something behind a `-` or a `~`, which comes before the same without it.
///
/// Those that are equal need not be written alike: `1.0` is `1.0.0`.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    parts: [u32; 4],
}

impl Version {
    /// None when it cannot be told whether another one is newer.
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers, tail) = split(text);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '~' | '+' | '_');
        if text.len() > VERSION_BYTES_MAX || tail.is_some_and(|tail| tail.is_empty() || !tail.chars().all(is_plain)) {
            return None;
        }
        let (mut parts, mut len) = ([0; 4], 0);
        for part in numbers.split('.') {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            *parts.get_mut(len)? = part.parse().ok().filter(|_| is_number)?;
            len += 1;
        }
        Some(Self { text: String::from(text), parts })
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once(['-', '~']).map_or((text, None), |(numbers, tail)| (numbers, Some(tail)))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let tails = match (split(&self.text).1, split(&other.text).1) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(two)) => one.cmp(two),
        };
        self.parts.cmp(&other.parts).then(tails)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

// ---- What may be installed ------------------------------------------------------------------------------------------

/// Why there is no update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The owner has not asked for uploads by that door.
    Off,
    /// A piece is missing, or there is none.
    Incomplete,
    /// It is larger than the owner allows.
    TooLarge,
    /// There is one update at a time.
    Busy,
    /// The disk has too little room.
    DiskFull,
    /// It cannot be written.
    NotStored,
    /// There is no keyring.
    NoKeyring,
    /// There is nobody who could check it.
    NoRauc,
    /// Who could install it does not answer.
    NoService,
    /// The board cannot carry a check now.
    NotNow,
    /// The check had no end.
    TooSlow,
    /// It is not what it should be.
    NotGenuine,
    /// It is genuine, and this system has no place for it.
    NotOurImage,
    /// It is for other boards.
    WrongBoard,
    /// What runs is newer.
    Older,
    /// It runs already.
    Same,
    /// Its version says nothing.
    NoVersion,
    /// It is older than what the channel says is safe.
    BelowMinimum,
    /// It turned out to be bad, and the channel says so.
    Recalled,
    /// What runs has not proved itself yet.
    OnTrial,
    /// RAUC gave up while it wrote.
    NotWritten,
    /// It cannot be fetched.
    NotFetched,
    /// The address is none.
    BadAddress,
    /// There is no channel.
    NoChannel,
    /// The channel has nothing newer for this box.
    NothingNew,
    /// The channel cannot be believed.
    Channel(rollout::Distrust),
    /// What came is not what the channel announced.
    NotAsAnnounced,
    /// There is nothing to cancel any more.
    TooLate,
    /// There is nothing to go back to.
    NoWayBack,
    /// It was not installed because somebody took it back.
    Cancelled,
}

impl Refusal {
    /// For people: the rest of a sentence that begins with who is refused.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Off => "uploads are switched off; hdhomerun_upload under [update] switches them on",
            Self::Incomplete => "a part of it is missing; send it again",
            Self::TooLarge => "it is larger than upload_mib_max under [update] allows",
            Self::Busy => "another upload is going on; send it again when that is done",
            Self::DiskFull => "there is too little room on the disk of state_dir",
            Self::NotStored => "it cannot be written to state_dir; the log says why",
            Self::NoKeyring => "no keyring says who may sign; name a readable one with keyring under [update]",
            Self::NoRauc => "without RAUC nobody can check its signature; install the package rauc",
            Self::NoService => "RAUC's service does not answer; the log says why",
            Self::NotNow => "the box is too busy to check it; send it again later",
            Self::TooSlow => "checking its signature took too long; send it again later",
            Self::NotGenuine => "it is no whole bundle with a signature that the keyring of this box trusts",
            Self::NotOurImage => {
                "the bundle is genuine; this box was not installed from our image, so update it with a new build and \
                 a restart of the service"
            }
            Self::WrongBoard => "it is for other boards than this one; get the one for this board",
            Self::Older => "it is older than what runs here; to go back to the version before, use the page's button",
            Self::Same => "it is the version that runs here already",
            Self::NoVersion => "it does not say which version it is in a way that can be compared",
            Self::BelowMinimum => "it is older than the oldest version that is still safe; get a newer one",
            Self::Recalled => "its makers have called it back; get a newer one",
            Self::OnTrial => "the version that runs here has not proved itself yet; try again in some minutes",
            Self::NotWritten => {
                "RAUC could not write it; the version that runs here is untouched, and the log says why"
            }
            Self::NotFetched => "it cannot be fetched; the log says why",
            Self::BadAddress => "only an address that begins with http:// or https:// can be fetched",
            Self::NoChannel => "there is no update channel; set one in the settings, or upload a bundle",
            Self::NothingNew => "the update channel has nothing newer for this box",
            Self::Channel(why) => why.words(),
            Self::NotAsAnnounced => "it is not what the update channel announced; somebody may have changed it",
            Self::TooLate => "there is nothing that can be cancelled; what is being written has to be written",
            Self::NoWayBack => "there is no other version on this box that could be started",
            Self::Cancelled => "it was cancelled",
        }
    }
}

/// What a bundle says of itself, and its signer with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// RAUC's word for the boards that it is for.
    pub compatible: String,
    /// As it stands there.
    pub version: String,
}

/// What is known of this box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// RAUC's word for this board.
    pub compatible: String,
    /// What runs; none where the system does not say it.
    pub running: Option<Version>,
    /// What is older is not safe any more. It only ever rises.
    pub floor: Option<Version>,
    /// What turned out to be bad.
    pub recalled: Vec<Version>,
    /// Whether what runs has yet to prove itself.
    pub is_on_trial: bool,
}

/// Whether a genuine bundle may be installed here, and as which version.
///
/// # Errors
/// [`Refusal`]: it may not, and nothing is written.
pub fn judge(known: &Known, manifest: &Manifest) -> Result<Version, Refusal> {
    if manifest.compatible != known.compatible {
        return Err(Refusal::WrongBoard);
    }
    let version = Version::parse(&manifest.version).ok_or(Refusal::NoVersion)?;
    if let Some(running) = &known.running {
        match version.cmp(running) {
            Ordering::Less => return Err(Refusal::Older),
            Ordering::Equal => return Err(Refusal::Same),
            Ordering::Greater => {}
        }
    }
    if known.floor.as_ref().is_some_and(|floor| *floor > version) {
        return Err(Refusal::BelowMinimum);
    }
    if known.recalled.contains(&version) {
        return Err(Refusal::Recalled);
    }
    if known.is_on_trial { Err(Refusal::OnTrial) } else { Ok(version) }
}

// ---- The way of one update ------------------------------------------------------------------------------------------

/// How an update is to go its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// The owner says now, whoever watches.
    Now,
    /// Somebody asked for it; as soon as nobody watches.
    Quiet,
    /// Nobody asked for it; at night, when nobody watches.
    Night,
}

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    #[default]
    Idle,
    /// It comes in: so many bytes, of so many if that is known.
    Fetching {
        /// So far.
        bytes: u64,
        /// Of all.
        of: Option<u64>,
    },
    /// It is looked at.
    Checking,
    /// It may be installed, and waits until nobody watches.
    Waiting,
    /// It is written to the other boot slot.
    Installing {
        /// Of a hundred.
        percent: u8,
    },
    /// It is there, and waits for a fresh start of the box until nobody watches.
    Written,
    /// The box is about to be started anew.
    Rebooting,
}

impl Phase {
    /// In the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fetching { .. } => "fetching",
            Self::Checking => "checking",
            Self::Waiting => "waiting",
            Self::Installing { .. } => "installing",
            Self::Written => "written",
            Self::Rebooting => "rebooting",
        }
    }
}

/// Permission to write a bundle that was judged to the other boot slot. Only [`Updating::ask_install`] makes one.
#[must_use = "a permit that is not spent is an update that never happened"]
#[derive(Debug)]
pub struct InstallPermit {
    _minted: (),
}

/// Permission to start the box anew. Only [`Updating::ask_reboot`] and [`Updating::reboot_now`] make one.
///
/// ```
/// fn spend(permit: pure::rules::updating::RebootPermit) {
///     drop(permit);
/// }
/// ```
///
/// ```compile_fail
/// fn spend(permit: pure::rules::updating::RebootPermit) {
///     drop(permit);
/// }
/// spend(pure::rules::updating::RebootPermit { _minted: () });
/// ```
#[must_use = "a permit that is not spent is a box that goes on as it was"]
#[derive(Debug)]
pub struct RebootPermit {
    _minted: (),
}

/// What counts for whether the box may be disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Now.
    pub now: Mono,
    /// Whether somebody watches.
    pub is_watched: bool,
    /// Whether it is the time of night for that.
    pub is_night: bool,
    /// Whether it was put off for as long as it may be.
    pub is_overdue: bool,
}

/// One update at a time, from its first byte to the fresh start.
#[derive(Clone, Debug, Default)]
pub struct Updating {
    phase: Phase,
    haste: Option<Haste>,
    version: Option<Version>,
    /// Since when nobody watches.
    quiet_since: Option<Mono>,
}

impl Updating {
    /// How far it has come.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Which version it is, once that is known.
    pub const fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// How it is to go its way.
    pub const fn haste(&self) -> Option<Haste> {
        self.haste
    }

    /// Begins one.
    ///
    /// # Errors
    /// [`Refusal::Busy`]: there is one.
    pub fn begin(&mut self, haste: Haste) -> Result<(), Refusal> {
        if self.phase != Phase::Idle {
            return Err(Refusal::Busy);
        }
        *self = Self { phase: Phase::Fetching { bytes: 0, of: None }, haste: Some(haste), ..Self::default() };
        Ok(())
    }

    /// So much of it has come.
    pub fn fetched(&mut self, so_far: u64, all: Option<u64>) {
        if let Phase::Fetching { bytes, of } = &mut self.phase {
            (*bytes, *of) = (so_far, all);
        }
    }

    /// All of it has.
    pub fn check(&mut self) {
        if matches!(self.phase, Phase::Fetching { .. }) {
            self.phase = Phase::Checking;
        }
    }

    /// It has to come again, in another way.
    pub fn fetch_again(&mut self) {
        if self.phase == Phase::Checking {
            self.phase = Phase::Fetching { bytes: 0, of: None };
        }
    }

    /// It was begun before this program was started anew, and RAUC may still write it.
    pub fn resume(&mut self, version: Option<Version>) {
        if self.phase == Phase::Idle {
            let phase = Phase::Installing { percent: 0 };
            *self = Self { phase, haste: Some(Haste::Quiet), version, quiet_since: None };
        }
    }

    /// It may be installed.
    pub fn accepted(&mut self, version: Version) {
        if self.phase == Phase::Checking {
            (self.phase, self.version) = (Phase::Waiting, Some(version));
        }
    }

    /// Asks to write it.
    pub fn ask_install(&mut self, moment: Moment) -> Option<InstallPermit> {
        if self.phase != Phase::Waiting || !self.may_disturb(moment) {
            return None;
        }
        self.phase = Phase::Installing { percent: 0 };
        Some(InstallPermit { _minted: () })
    }

    /// So much of it is written.
    pub fn progress(&mut self, now: u8) {
        if let Phase::Installing { percent } = &mut self.phase {
            *percent = now.min(100).max(*percent);
        }
    }

    /// All of it is.
    pub fn written(&mut self) {
        if matches!(self.phase, Phase::Installing { .. }) {
            self.phase = Phase::Written;
        }
    }

    /// Asks for the fresh start.
    pub fn ask_reboot(&mut self, moment: Moment) -> Option<RebootPermit> {
        if self.phase != Phase::Written || !self.may_disturb(moment) {
            return None;
        }
        self.phase = Phase::Rebooting;
        Some(RebootPermit { _minted: () })
    }

    /// The owner wants the fresh start, with what is there: what was written, or what was there before.
    ///
    /// # Errors
    /// [`Refusal::Busy`]: something is being written, or comes in.
    pub fn reboot_now(&mut self) -> Result<RebootPermit, Refusal> {
        if !matches!(self.phase, Phase::Idle | Phase::Written) {
            return Err(Refusal::Busy);
        }
        self.phase = Phase::Rebooting;
        Ok(RebootPermit { _minted: () })
    }

    /// The fresh start has not come; it may be asked for again.
    pub fn reboot_failed(&mut self) {
        if self.phase == Phase::Rebooting {
            self.phase = if self.version.is_some() { Phase::Written } else { Phase::Idle };
        }
    }

    /// The owner does not want it after all, or wants it now.
    pub fn hurry(&mut self) {
        self.haste = self.haste.map(|_| Haste::Now);
    }

    /// Whether it can still be thrown away.
    pub const fn can_cancel(&self) -> bool {
        matches!(self.phase, Phase::Fetching { .. } | Phase::Checking | Phase::Waiting)
    }

    /// There is none any more.
    pub fn end(&mut self) {
        *self = Self::default();
    }

    fn may_disturb(&mut self, moment: Moment) -> bool {
        let Moment { now, is_watched, is_night, is_overdue } = moment;
        self.quiet_since = if is_watched { None } else { self.quiet_since.or(Some(now)) };
        // Who changes from one channel to another is gone for a moment.
        let is_quiet = self.quiet_since.is_some_and(|since| now.ms_since(since) >= UPDATE_QUIET_MS);
        match self.haste {
            None => false,
            Some(Haste::Now) => true,
            Some(Haste::Quiet) => is_quiet,
            Some(Haste::Night) => is_night && (is_quiet || is_overdue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn known() -> Known {
        let running = Version::parse("1.1");
        Known { compatible: "tunerd-test".into(), running, floor: None, recalled: Vec::new(), is_on_trial: false }
    }

    fn bundle(version: &str) -> Manifest {
        Manifest { compatible: "tunerd-test".into(), version: version.into() }
    }

    #[test]
    fn versions_have_an_order() {
        let rising = [
            "0.9",
            "1.0.0-rc1",
            "1.0.0-rc2",
            "1.0",
            "1.0.1",
            "1.1~dev",
            "1.1",
            "1.9",
            "1.10",
            "20261122",
            "20261122.1",
        ];
        for (place, one) in rising.iter().enumerate() {
            for (other_place, other) in rising.iter().enumerate() {
                let expected = place.cmp(&other_place);
                assert_eq!(version(one).cmp(&version(other)), expected, "{one} {other}");
            }
        }
        assert_eq!(version("1.0"), version("1.0.0"));
        for none in
            ["", "one", "1.", ".1", "1..2", "1.2.3.4.5", "1.0-", "v1", "1.0 ", "1,0", "+1", "1.0-a b", "4294967296"]
        {
            assert_eq!(Version::parse(none), None, "{none}");
        }
        assert_eq!(Version::parse(&"1".repeat(VERSION_BYTES_MAX + 1)), None);
    }

    #[test]
    fn only_what_is_newer_and_for_this_board_is_installed() {
        assert_eq!(judge(&known(), &bundle("1.2")), Ok(version("1.2")));
        assert_eq!(judge(&known(), &bundle("1.0")), Err(Refusal::Older));
        assert_eq!(judge(&known(), &bundle("1.1.0")), Err(Refusal::Same));
        assert_eq!(judge(&known(), &bundle("latest")), Err(Refusal::NoVersion));
        let other = Manifest { compatible: "tunerd-other".into(), ..bundle("1.2") };
        assert_eq!(judge(&known(), &other), Err(Refusal::WrongBoard));
        let on_trial = Known { is_on_trial: true, ..known() };
        assert_eq!(judge(&on_trial, &bundle("1.2")), Err(Refusal::OnTrial));
    }

    #[test]
    fn what_is_below_the_minimum_is_refused_even_where_it_is_newer() {
        let known = Known { floor: Version::parse("1.5"), ..known() };
        assert_eq!(judge(&known, &bundle("1.4")), Err(Refusal::BelowMinimum));
        assert_eq!(judge(&known, &bundle("1.5")), Ok(version("1.5")));
        // A system that does not say what it is takes what is safe.
        let unknown = Known { running: None, ..known };
        assert_eq!(judge(&unknown, &bundle("1.4")), Err(Refusal::BelowMinimum));
        assert_eq!(judge(&unknown, &bundle("1.6")), Ok(version("1.6")));
    }

    #[test]
    fn what_was_called_back_is_refused_whoever_brings_it() {
        let known = Known { recalled: [version("1.2.0")].into(), ..known() };
        assert_eq!(judge(&known, &bundle("1.2")), Err(Refusal::Recalled));
        assert_eq!(judge(&known, &bundle("1.2.1")), Ok(version("1.2.1")));
    }

    #[test]
    fn an_update_that_rauc_went_on_writing_waits_as_any_other() {
        let mut updating = Updating::default();
        updating.resume(Some(version("1.2")));
        assert_eq!(updating.phase(), &Phase::Installing { percent: 0 });
        assert_eq!(updating.begin(Haste::Now), Err(Refusal::Busy));
        updating.written();
        assert!(updating.ask_reboot(moment(0, true)).is_none());
        assert!(updating.ask_reboot(moment(1, false)).is_none());
        assert!(updating.ask_reboot(moment(6, false)).is_some());
        let mut busy = waiting(Haste::Now);
        busy.resume(None);
        assert_eq!(busy.phase(), &Phase::Waiting, "not over one that is under way");
    }

    fn moment(s: u64, is_watched: bool) -> Moment {
        Moment { now: Mono(s * 1_000), is_watched, is_night: false, is_overdue: false }
    }

    fn waiting(haste: Haste) -> Updating {
        let mut updating = Updating::default();
        updating.begin(haste).unwrap();
        updating.fetched(5, Some(10));
        assert_eq!(updating.phase(), &Phase::Fetching { bytes: 5, of: Some(10) });
        updating.check();
        updating.accepted(version("1.2"));
        assert_eq!(updating.phase(), &Phase::Waiting);
        updating
    }

    #[test]
    fn nobody_who_watches_is_disturbed() {
        let mut updating = waiting(Haste::Quiet);
        assert!(updating.ask_install(moment(0, true)).is_none());
        assert!(updating.ask_install(moment(10, false)).is_none(), "he may only be zapping");
        assert!(updating.ask_install(moment(12, true)).is_none());
        assert!(updating.ask_install(moment(20, false)).is_none());
        assert!(updating.ask_install(moment(25, false)).is_some());
        updating.progress(40);
        updating.progress(30);
        assert_eq!(updating.phase(), &Phase::Installing { percent: 40 });
        assert!(updating.ask_reboot(moment(30, false)).is_none(), "it is not written yet");
        updating.written();
        assert!(updating.ask_reboot(moment(40, true)).is_none());
        for s in 40..100_000 {
            assert!(updating.ask_reboot(moment(s, true)).is_none());
        }
        assert!(updating.ask_reboot(moment(100_000, false)).is_none());
        assert!(updating.ask_reboot(moment(100_005, false)).is_some());
        assert!(updating.ask_reboot(moment(100_006, false)).is_none(), "once");
    }

    #[test]
    fn the_owner_may_say_now() {
        let mut updating = waiting(Haste::Now);
        assert!(updating.ask_install(moment(0, true)).is_some());
        updating.written();
        assert!(updating.ask_reboot(moment(0, true)).is_some());
        let mut later = waiting(Haste::Quiet);
        assert!(later.ask_install(moment(0, true)).is_none());
        later.hurry();
        assert!(later.ask_install(moment(0, true)).is_some());
    }

    #[test]
    fn what_nobody_asked_for_waits_for_the_night_and_seven_days_at_most() {
        let mut updating = waiting(Haste::Night);
        for s in 0..1_000 {
            assert!(updating.ask_install(moment(s, false)).is_none(), "it is day");
        }
        let night = |s, is_watched| Moment { is_night: true, ..moment(s, is_watched) };
        assert!(updating.ask_install(night(1_000, true)).is_none());
        let overdue = Moment { is_overdue: true, ..moment(1_001, true) };
        assert!(updating.ask_install(overdue).is_none(), "not even then by day");
        assert!(updating.ask_install(Moment { is_night: true, ..overdue }).is_some());
        let mut updating = waiting(Haste::Night);
        assert!(updating.ask_install(night(0, false)).is_none());
        assert!(updating.ask_install(night(5, false)).is_some());
    }

    #[test]
    fn one_at_a_time_and_what_is_written_is_written() {
        let mut updating = Updating::default();
        assert!(!updating.can_cancel());
        updating.begin(Haste::Now).unwrap();
        assert_eq!(updating.begin(Haste::Now), Err(Refusal::Busy));
        assert!(updating.can_cancel());
        assert_eq!(updating.reboot_now().unwrap_err(), Refusal::Busy);
        updating.end();
        let mut updating = waiting(Haste::Now);
        assert!(updating.can_cancel());
        assert!(updating.ask_install(moment(0, false)).is_some());
        assert!(!updating.can_cancel());
        assert_eq!(updating.reboot_now().unwrap_err(), Refusal::Busy);
        updating.written();
        assert!(!updating.can_cancel());
        assert!(updating.reboot_now().is_ok());
        updating.reboot_failed();
        assert_eq!(updating.phase(), &Phase::Written);
        // Back to the other version, without an update.
        let mut updating = Updating::default();
        assert!(updating.reboot_now().is_ok());
        updating.reboot_failed();
        assert_eq!(updating.phase(), &Phase::Idle);
    }
}

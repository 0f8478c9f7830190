//! What clients set on tuners over TCP 65001, and what they get.
//!
//! Old clients see four receivers with aerials: they lock one, tune it to a frequency, filter it, and have its packets
//! sent to them. [`Control`] keeps what they set, word by word, because they compare. It says what follows from it: a
//! [`Change`] tells the daemon to play a channel to a target, or to stop. It never waits: whatever is slow or ill
//! shows later, in the status.
//!
//! Here: variables ([`variable`]), their texts (`control/texts.rs`), locks, targets ([`target`]), when a stream or a
//! lock has lost its owner ([`delivery`]), and uploads ([`upload`]). Not here: frames ([`crate::wire::hdhr`]), playing
//! (the engine), datagrams ([`crate::wire::rtp`]), and tuners that HTTP takes, of which the daemon tells with
//! [`Seen`].
//!
//! Whoever holds a tuner is one: a key, or a viewer over HTTP. While there is one, nobody else can set anything; all
//! can look.

pub mod delivery;
pub mod target;
mod texts;
pub mod upload;
pub mod variable;

#[cfg(test)]
mod tests;

use crate::limits::{FILTER_BYTES_MAX, LOCK_IDLE_MS, SLOTS_MAX};
use crate::model::channel_map::{ChannelMap, Mux, MuxPlan, Place, Rf};
use crate::model::guide_number::GuideNumber;
use crate::model::lineup::{Channel, ChannelId, Lineup};
use crate::model::pid_filter::PidFilter;
use crate::model::profile::Profile;
use crate::rules::control::delivery::{Delivery, Gone, Presence};
use crate::rules::control::target::{Target, TargetError};
use crate::rules::control::texts::{Reception, Signal, put};
use crate::rules::control::variable::{TunerVariable, Variable};
use crate::rules::pool::SlotIndex;
use crate::time::Mono;
use crate::wire::hdhr::control::{CONTROL_REPLY_BYTES_MAX, ControlRequest, write_error, write_value};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use heapless::String;

/// Bytes of the longest name of a variable.
const NAME_BYTES_MAX: usize = "/tuner63/channelmap".len();
/// Bytes of the longest text of a variable: what a reply has room for behind frame, name and NULs.
pub const TEXT_BYTES_MAX: usize = CONTROL_REPLY_BYTES_MAX - 8 - (2 + NAME_BYTES_MAX + 1) - (3 + 1);
/// The text of a variable.
pub type Text = String<TEXT_BYTES_MAX>;
/// Bytes of a channel's text: clients have room for no more in a status.
const CHANNEL_BYTES_MAX: usize = 31;
/// Bytes of other texts that are kept.
const SHORT_BYTES_MAX: usize = 64;

const NONE: &str = "none";
const EVERY_PID: &str = "0x0000-0x1fff";

const _: () = assert!(FILTER_BYTES_MAX <= TEXT_BYTES_MAX, "what was set can be given back");

// ---- What comes in ------------------------------------------------------------------------------------------------

/// Names a control connection; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// On which connection.
    pub connection: ConnectionId,
    /// From where.
    pub peer: SocketAddr,
}

impl By {
    fn address(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

/// What the daemon knows when somebody asks.
pub trait World {
    /// The lineup; none while it is being loaded.
    fn lineup(&self) -> Option<&Lineup>;
    /// What goes on in a tuner's slot.
    fn seen(&self, tuner: SlotIndex) -> Seen<'_>;
    /// What the box is.
    fn device(&self) -> Device<'_>;
    /// How the box is doing.
    fn board(&self) -> Board;
    /// How the search for channels is doing.
    fn scan(&self) -> Scan;
}

/// What goes on in a tuner's slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen<'a> {
    /// What plays there.
    pub channel: Option<ChannelId>,
    /// A viewer over HTTP: his address and port.
    pub http: Option<SocketAddr>,
    /// Whether it plays or tries to, and no pictures come.
    pub is_failing: bool,
    /// What comes in.
    pub bits_per_s: u64,
    /// Datagrams that go out.
    pub packets_per_s: u32,
    /// The PIDs of the programme, once they are known.
    pub pids: Option<&'a PidFilter>,
    /// What was counted.
    pub counters: Counters,
}

/// What was counted in a slot since it began to play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// How often the rhythm of packets was lost.
    pub resyncs: u64,
    /// How often a viewer was too slow.
    pub overflows: u64,
    /// Packets marked as damaged.
    pub damaged_packets: u64,
    /// Tables with a wrong check sum.
    pub damaged_sections: u64,
    /// Datagrams that could not be sent.
    pub dropped_packets: u64,
}

/// What the box is, in words of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// For programs: `hdhomerun5_atsc`.
    pub model: &'a str,
    /// For people: `HDHR5-4US`.
    pub hw_model: &'a str,
    /// A date: clients compare it as a number.
    pub version: &'a str,
    /// Whose work this is, in one line.
    pub copyright: &'a str,
}

/// How the box is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Board {
    /// All memory.
    pub memory_mib: u32,
    /// What of it is free.
    pub free_mib: u32,
    /// The longest delay of the executor lately.
    pub stall_ms: u32,
    /// The speed of the network.
    pub link_mbit: u32,
}

/// How the search for channels is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Whether it is done.
    pub state: ScanState,
    /// How far it is, in percent.
    pub progress: u8,
    /// How many channels there are.
    pub found: u32,
}

/// Whether a search is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanState {
    /// Not yet.
    Running,
    /// Done, or never begun because all is known.
    Complete,
    /// Somebody stopped it, or it failed.
    Incomplete,
}

/// What the owner of the box allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Over how many routers a stream to a group may go; none when there may be no such stream.
    pub multicast_ttl_max: Option<u8>,
    /// Whether anybody in the network may start the box anew.
    pub may_restart: bool,
}

// ---- What comes out -----------------------------------------------------------------------------------------------

/// What the daemon is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Play this, in place of whatever that tuner played to a target before.
    Play(Play),
    /// Play nothing more to a target from this tuner.
    Stop {
        /// Which one.
        tuner: SlotIndex,
    },
    /// Go on, with the packets that [`Control::pids`] names now.
    Filter {
        /// Which one.
        tuner: SlotIndex,
    },
    /// Look for channels.
    ScanStart,
    /// Look no more for channels.
    ScanAbort,
    /// Start the box anew.
    Restart,
}

/// What is to be played to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Play {
    /// From which tuner.
    pub tuner: SlotIndex,
    /// What.
    pub channel: ChannelId,
    /// Where to.
    pub target: Target,
    /// In which profile.
    pub profile: Profile,
}

/// Changes of several tuners.
pub type Changes = heapless::Vec<Change, SLOTS_MAX>;

/// Why a request did not work. The text begins with `ERROR: `, which is all that clients look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// There is no such variable.
    Unknown,
    /// The request could not be read.
    Malformed,
    /// Somebody else holds the tuner.
    Locked(IpAddr),
    /// The variable cannot be set.
    ReadOnly,
    /// The variable cannot be read.
    WriteOnly,
    /// The value is none for this variable.
    Value,
    /// The owner of the box does not allow it.
    NotAllowed,
    /// The lineup is not there yet.
    Loading,
}

/// The first three are those of real units; the others are our own words, because no capture shows theirs.
impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("ERROR: unknown getset variable"),
            Self::Malformed => f.write_str("ERROR: malformed getset request"),
            Self::Locked(address) => write!(f, "ERROR: resource locked by {address}"),
            Self::ReadOnly => f.write_str("ERROR: getset variable is read-only"),
            Self::WriteOnly => f.write_str("ERROR: getset variable is write-only"),
            Self::Value => f.write_str("ERROR: invalid getset value"),
            Self::NotAllowed => f.write_str("ERROR: getset value is not allowed"),
            Self::Loading => f.write_str("ERROR: lineup is still loading"),
        }
    }
}

impl core::error::Error for ControlError {}

// ---- Control ------------------------------------------------------------------------------------------------------

/// All tuners, as control clients know them.
#[derive(Debug)]
pub struct Control {
    /// As many as there are slots; never more, so that nothing is allocated after the start.
    tuners: Vec<Tuner>,
    policy: Policy,
}

/// What is set on a tuner.
#[derive(Debug)]
struct Tuner {
    map: ChannelMap,
    tuned: Tuned,
    /// As it was set, or as it follows from the guide number; empty when nothing is tuned.
    channel: String<CHANNEL_BYTES_MAX>,
    /// As it was set; empty when nothing is tuned by guide number.
    vchannel: String<SHORT_BYTES_MAX>,
    /// As it was set; empty when none is.
    program: String<SHORT_BYTES_MAX>,
    programme: Option<u16>,
    profile: Profile,
    /// As it was set; empty for every PID.
    filter: String<FILTER_BYTES_MAX>,
    /// Whether the programme's PIDs are sent, and not those of the filter.
    sends_programme: bool,
    /// What is meant by all that, in the lineup of that time.
    meant: Option<ChannelId>,
    aim: Option<Aim>,
    lock: Option<Lock>,
    /// Why the last stream ended by itself; 0 when it did not.
    stop: u8,
}

/// What a tuner is tuned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tuned {
    Nothing,
    Frequency(u32),
    Number(GuideNumber),
}

/// Where a tuner's packets go.
#[derive(Debug)]
struct Aim {
    /// As it was set.
    text: String<SHORT_BYTES_MAX>,
    target: Target,
    owner: IpAddr,
    delivery: Delivery,
}

#[derive(Debug)]
struct Lock {
    key: u32,
    owner: IpAddr,
    presence: Presence,
    /// When the key was last seen.
    active_at: Mono,
}

impl Lock {
    /// When it is dropped, if its key is not seen before.
    fn expires_at(&self) -> Option<Mono> {
        self.presence.gone_at().map(|gone_at| gone_at.max(self.active_at).plus_ms(LOCK_IDLE_MS))
    }
}

impl Control {
    /// Tuners that nobody has set anything on.
    pub fn new(tuners_len: usize, map: ChannelMap, policy: Policy) -> Self {
        let tuners = (0..tuners_len.min(SLOTS_MAX)).map(|_| Tuner::new(map)).collect();
        Self { tuners, policy }
    }

    /// Answers a request, and says what follows from it.
    ///
    /// The answer is to be sent in one piece: some clients read once. It is empty for uploads only, which are none of
    /// ours: see [`upload`].
    pub fn answer<'o>(
        &mut self,
        now: Mono,
        by: &By,
        request: ControlRequest<'_>,
        world: &dyn World,
        out: &'o mut [u8; CONTROL_REPLY_BYTES_MAX],
    ) -> (&'o [u8], Change) {
        let mut text = Text::new();
        let (name, result) = match request {
            ControlRequest::Upgrade(_) => return (&[], Change::Nothing),
            ControlRequest::Malformed => ("", Err(ControlError::Malformed)),
            ControlRequest::Get { name } => {
                let result = self.variable(name).and_then(|variable| {
                    self.heard(now, by, variable);
                    self.get(variable, world, &mut text)
                });
                (name, result.map(|()| Change::Nothing))
            }
            ControlRequest::Set { name, value, lockkey } => {
                let result = self.variable(name).and_then(|variable| {
                    let change = self.set(now, by, variable, value, lockkey, world)?;
                    match variable {
                        // A key is nobody else's business; the one who holds it sees that it works.
                        Variable::Tuner(_, TunerVariable::LockKey) => self.get(variable, world, &mut text)?,
                        _ => put(&mut text, format_args!("{value}")),
                    }
                    Ok(change)
                });
                (name, result)
            }
        };
        match result {
            Ok(change) => (write_value(out, name, &text).unwrap_or_default(), change),
            Err(error) => {
                put(&mut text, format_args!("{error}"));
                (write_error(out, &text).unwrap_or_default(), Change::Nothing)
            }
        }
    }

    /// The variable with this name.
    ///
    /// # Errors
    /// [`ControlError::Unknown`].
    pub fn variable(&self, name: &str) -> Result<Variable, ControlError> {
        Variable::parse(name, self.tuners.len()).ok_or(ControlError::Unknown)
    }

    /// Appends the text of a variable.
    ///
    /// # Errors
    /// [`ControlError::WriteOnly`].
    pub fn get(&self, variable: Variable, world: &dyn World, out: &mut Text) -> Result<(), ControlError> {
        if !variable.is_readable() {
            return Err(ControlError::WriteOnly);
        }
        let device = world.device();
        match variable {
            Variable::Help => put(out, format_args!("{}", texts::HELP)),
            Variable::Copyright => put(out, format_args!("{}", device.copyright)),
            Variable::Debug => texts::board(world.board(), self.tuners.len(), out),
            Variable::Features => put(out, format_args!("{}", texts::FEATURES)),
            Variable::HwModel => put(out, format_args!("{}", device.hw_model)),
            Variable::Model => put(out, format_args!("{}", device.model)),
            Variable::Version => put(out, format_args!("{}", device.version)),
            Variable::LineupScan => texts::scan(world.scan(), out),
            Variable::Restart => return Err(ControlError::WriteOnly),
            Variable::Tuner(index, variable) => {
                let tuner = self.tuner(index).ok_or(ControlError::Unknown)?;
                tuner.get(variable, &world.seen(index), world.lineup(), out);
            }
        }
        Ok(())
    }

    /// Sets a variable, and says what follows from it.
    ///
    /// # Errors
    /// [`ControlError`]: nothing has changed.
    pub fn set(
        &mut self,
        now: Mono,
        by: &By,
        variable: Variable,
        value: &str,
        lockkey: Option<u32>,
        world: &dyn World,
    ) -> Result<Change, ControlError> {
        if !variable.is_writable() {
            return Err(ControlError::ReadOnly);
        }
        let policy = self.policy;
        match (variable, value) {
            (Variable::LineupScan, "start") => Ok(Change::ScanStart),
            (Variable::LineupScan, "abort") => Ok(Change::ScanAbort),
            (Variable::Restart, "self") if policy.may_restart => Ok(Change::Restart),
            (Variable::Restart, "self") => Err(ControlError::NotAllowed),
            (Variable::Tuner(index, variable), _) => {
                let tuner = self.tuners.get_mut(usize::from(index.0)).ok_or(ControlError::Unknown)?;
                let before = tuner.play(index);
                tuner.expire_lock(now);
                tuner.set(now, by, variable, value, lockkey, policy, &world.seen(index), world.lineup())?;
                let after = tuner.play(index);
                Ok(match after {
                    Some(play) if before != after => Change::Play(play),
                    None if before.is_some() => Change::Stop { tuner: index },
                    Some(_) if variable.chooses_packets() => Change::Filter { tuner: index },
                    _ => Change::Nothing,
                })
            }
            _ => Err(ControlError::Value),
        }
    }

    /// What a tuner is to play to a target just now; for trying again what the engine could not start.
    pub fn wanted(&self, tuner: SlotIndex) -> Option<Play> {
        self.tuner(tuner)?.play(tuner)
    }

    /// Which PIDs a tuner is to send. None: those of the programme that it plays, with its tables.
    pub fn pids(&self, tuner: SlotIndex) -> Option<PidFilter> {
        let tuner = self.tuner(tuner)?;
        (!tuner.sends_programme).then(|| PidFilter::parse(&tuner.filter).unwrap_or(PidFilter::ALL))
    }

    /// Where clients were told to find what a tuner plays; none for what is on no frequency.
    pub fn place(&self, tuner: SlotIndex, lineup: &Lineup) -> Option<Place> {
        let tuner = self.tuner(tuner)?;
        tuner.place(tuner.meant?, lineup)
    }

    /// Who holds a tuner over control, with a key or with packets that go to him: HTTP has to take another one.
    pub fn held_by(&self, tuner: SlotIndex) -> Option<IpAddr> {
        let tuner = self.tuner(tuner)?;
        let locked = tuner.lock.as_ref().map(|lock| lock.owner);
        locked.or_else(|| tuner.aim.as_ref().map(|aim| aim.owner))
    }

    /// A keepalive came from a receiver's socket. False when no stream goes there, or when its key opens nothing.
    pub fn keepalive(&mut self, now: Mono, from: SocketAddr, key: u32) -> bool {
        let from = (from.ip().to_canonical(), from.port());
        let mut is_known = false;
        for tuner in &mut self.tuners {
            let Some(aim) = &mut tuner.aim else { continue };
            if (aim.target.address.ip(), aim.target.address.port()) != from {
                continue;
            }
            match &mut tuner.lock {
                Some(lock) if lock.key == key => lock.active_at = now,
                Some(_) => continue,
                // Whoever held a key that was dropped meanwhile still sends it.
                None => {}
            }
            aim.delivery.keepalive(now);
            is_known = true;
        }
        is_known
    }

    /// The receiver's machine refused a datagram. [`Control::deadline`] says when that is enough.
    pub fn refused(&mut self, now: Mono, tuner: SlotIndex) {
        if let Some(aim) = self.tuners.get_mut(usize::from(tuner.0)).and_then(|tuner| tuner.aim.as_mut()) {
            aim.delivery.refused(now);
        }
    }

    /// A control connection is closed.
    pub fn closed(&mut self, now: Mono, connection: ConnectionId) {
        for tuner in &mut self.tuners {
            for presence in tuner.presences() {
                presence.closed(now, connection);
            }
        }
    }

    /// The engine has given a stream up for good: its target is forgotten, so that whoever looks sees it.
    pub fn ended(&mut self, tuner: SlotIndex) {
        if let Some(tuner) = self.tuners.get_mut(usize::from(tuner.0)).filter(|tuner| tuner.aim.is_some()) {
            tuner.aim = None;
            tuner.stop = STOP_ENGINE;
        }
    }

    /// There is a new lineup. What plays goes on as long as its channel is there; the rest is looked up again.
    pub fn new_lineup(&mut self, lineup: &Lineup, changes: &mut Changes) {
        for (index, tuner) in (0..).map(SlotIndex).zip(&mut self.tuners) {
            let before = tuner.play(index);
            let goes_on = tuner.aim.is_some() && tuner.meant.is_some_and(|id| lineup.by_id(id).is_some());
            if !goes_on {
                tuner.meant = tuner.look_up(Some(lineup));
            }
            let change = match tuner.play(index) {
                after if after == before => continue,
                Some(play) => Change::Play(play),
                None => Change::Stop { tuner: index },
            };
            // There is room for every tuner.
            changes.push(change).unwrap_or_default();
        }
    }

    /// When [`Control::deadline`] is to be called next.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.tuners.iter().filter_map(Tuner::next_deadline).min()
    }

    /// Drops locks and streams that have lost their owner.
    pub fn deadline(&mut self, now: Mono, changes: &mut Changes) {
        for (index, tuner) in (0..).map(SlotIndex).zip(&mut self.tuners) {
            let before = tuner.play(index);
            tuner.expire_lock(now);
            tuner.expire_aim(now);
            if before.is_some() && tuner.play(index).is_none() {
                changes.push(Change::Stop { tuner: index }).unwrap_or_default();
            }
        }
    }

    fn tuner(&self, index: SlotIndex) -> Option<&Tuner> {
        self.tuners.get(usize::from(index.0))
    }

    /// Somebody asks about a tuner, who may be its owner on a new connection.
    fn heard(&mut self, now: Mono, by: &By, variable: Variable) {
        let Variable::Tuner(index, _) = variable else { return };
        if let Some(tuner) = self.tuners.get_mut(usize::from(index.0)) {
            tuner.expire_lock(now);
            tuner.heard(now, by);
        }
    }
}

/// The engine could not go on.
const STOP_ENGINE: u8 = 1;

/// What a person reads behind `stop=`.
const fn stop_code(gone: Gone) -> u8 {
    match gone {
        Gone::Silent => 2,
        Gone::Orphaned => 3,
        Gone::Refused => 4,
    }
}

impl TunerVariable {
    /// Whether it says which packets of a stream are sent.
    const fn chooses_packets(self) -> bool {
        matches!(self, Self::Filter | Self::Program | Self::Channel | Self::VChannel)
    }
}

// ---- A tuner ------------------------------------------------------------------------------------------------------

impl Tuner {
    const fn new(map: ChannelMap) -> Self {
        Self {
            map,
            tuned: Tuned::Nothing,
            channel: String::new(),
            vchannel: String::new(),
            program: String::new(),
            programme: None,
            profile: Profile::None,
            filter: String::new(),
            sends_programme: false,
            meant: None,
            aim: None,
            lock: None,
            stop: 0,
        }
    }

    fn play(&self, tuner: SlotIndex) -> Option<Play> {
        let (channel, aim) = (self.meant?, self.aim.as_ref()?);
        Some(Play { tuner, channel, target: aim.target, profile: self.profile })
    }

    fn presences(&mut self) -> impl Iterator<Item = &mut Presence> {
        let lock = self.lock.as_mut().map(|lock| &mut lock.presence);
        lock.into_iter().chain(self.aim.as_mut().map(|aim| aim.delivery.presence()))
    }

    fn next_deadline(&self) -> Option<Mono> {
        let lock = self.lock.as_ref().and_then(Lock::expires_at);
        let aim = self.aim.as_ref().and_then(|aim| aim.delivery.gone_at()).map(|(at, _)| at);
        lock.into_iter().chain(aim).min()
    }

    fn heard(&mut self, now: Mono, by: &By) {
        if let Some(lock) = self.lock.as_mut().filter(|lock| lock.owner == by.address()) {
            lock.presence.heard(now, by.connection);
        }
        if let Some(aim) = self.aim.as_mut().filter(|aim| aim.owner == by.address()) {
            aim.delivery.presence().heard(now, by.connection);
        }
    }

    /// Drops a lock that has lost its owner.
    fn expire_lock(&mut self, now: Mono) {
        if self.lock.as_ref().and_then(Lock::expires_at).is_some_and(|at| at <= now) {
            self.lock = None;
        }
    }

    /// Drops a stream that has lost its owner.
    fn expire_aim(&mut self, now: Mono) {
        if let Some(gone) = self.aim.as_ref().and_then(|aim| aim.delivery.gone(now)) {
            self.aim = None;
            self.stop = stop_code(gone);
        }
    }

    // ---- Set ----

    #[expect(clippy::too_many_arguments, reason = "all that a decision depends on, and nothing kept for it")]
    fn set(
        &mut self,
        now: Mono,
        by: &By,
        variable: TunerVariable,
        value: &str,
        lockkey: Option<u32>,
        policy: Policy,
        seen: &Seen<'_>,
        lineup: Option<&Lineup>,
    ) -> Result<(), ControlError> {
        let is_force = variable == TunerVariable::LockKey && value == "force";
        let viewer = self.http_viewer(seen);
        match (&mut self.lock, viewer) {
            (Some(lock), _) if lockkey == Some(lock.key) => {
                lock.active_at = now;
                for presence in self.presences() {
                    presence.adopt(now, by.connection);
                }
            }
            (Some(_), _) if is_force => {}
            (Some(lock), _) => return Err(ControlError::Locked(lock.owner)),
            // Even by force: a viewer over HTTP is known to be there.
            (None, Some(viewer)) => return Err(ControlError::Locked(viewer.ip().to_canonical())),
            (None, None) => self.heard(now, by),
        }
        match variable {
            TunerVariable::Channel => self.set_channel(value)?,
            TunerVariable::VChannel => self.set_vchannel(value, lineup)?,
            TunerVariable::ChannelMap => self.map = ChannelMap::parse(value).ok_or(ControlError::Value)?,
            TunerVariable::Filter => {
                PidFilter::parse(value).ok_or(ControlError::Value)?;
                keep(&mut self.filter, value)?;
                self.sends_programme = false;
            }
            TunerVariable::Program => self.set_program(value)?,
            TunerVariable::Target => return self.set_target(now, by, value, policy),
            TunerVariable::LockKey => return self.set_lockkey(now, by, value),
            TunerVariable::Debug
            | TunerVariable::PlpInfo
            | TunerVariable::Status
            | TunerVariable::StreamInfo
            | TunerVariable::VStatus => return Err(ControlError::ReadOnly),
        }
        self.meant = self.look_up(lineup);
        Ok(())
    }

    /// `none`, `auto:578000000`, `8vsb:27`, or a bare number, as Jellyfin sends it.
    fn set_channel(&mut self, value: &str) -> Result<(), ControlError> {
        let tuned = if value == NONE {
            Tuned::Nothing
        } else {
            let (modulation, rf) = value.rsplit_once(':').unwrap_or(("auto", value));
            let is_modulation = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if modulation.is_empty() || modulation == NONE || !modulation.bytes().all(is_modulation) {
                return Err(ControlError::Value);
            }
            let frequency_hz = Rf::parse(rf).and_then(|rf| rf.frequency(self.map)).ok_or(ControlError::Value)?;
            Tuned::Frequency(frequency_hz)
        };
        keep(&mut self.channel, if value == NONE { "" } else { value })?;
        self.retune(tuned);
        Ok(())
    }

    /// `none`, or a guide number, and maybe a profile.
    fn set_vchannel(&mut self, value: &str, lineup: Option<&Lineup>) -> Result<(), ControlError> {
        let (number, profile) = with_profile(value)?;
        if number == NONE {
            self.retune(Tuned::Nothing);
            self.channel.clear();
            return Ok(());
        }
        let lineup = lineup.ok_or(ControlError::Loading)?;
        let number: GuideNumber = number.parse().map_err(|_| ControlError::Value)?;
        let channel = lineup.by_number(&number).ok_or(ControlError::Value)?;
        let mut vchannel = String::new();
        keep(&mut vchannel, value)?;
        let place = self.place(channel.id, lineup);
        self.retune(Tuned::Number(number));
        self.vchannel = vchannel;
        self.channel = texts::place(place, channel);
        self.profile = profile;
        self.programme = place.map(|place| place.programme);
        self.sends_programme = true;
        Ok(())
    }

    /// What was chosen on one frequency means nothing on another.
    fn retune(&mut self, tuned: Tuned) {
        self.tuned = tuned;
        self.vchannel.clear();
        self.program.clear();
        self.filter.clear();
        self.programme = None;
        self.profile = Profile::None;
        self.sends_programme = false;
    }

    /// `none` or `0`, or the number of a programme, and maybe a profile.
    fn set_program(&mut self, value: &str) -> Result<(), ControlError> {
        let (number, profile) = with_profile(value)?;
        let programme: u16 = match number {
            NONE => 0,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| ControlError::Value)?
            }
            _ => return Err(ControlError::Value),
        };
        keep(&mut self.program, value)?;
        self.programme = Some(programme).filter(|programme| *programme != 0);
        self.sends_programme = self.programme.is_some();
        self.profile = profile;
        self.filter.clear();
        Ok(())
    }

    /// `none`, or where packets go.
    fn set_target(&mut self, now: Mono, by: &By, value: &str, policy: Policy) -> Result<(), ControlError> {
        if value == NONE {
            self.aim = None;
            self.stop = 0;
            return Ok(());
        }
        let target = Target::parse(value, by.peer, policy.multicast_ttl_max).map_err(|error| match error {
            TargetError::Form => ControlError::Value,
            TargetError::NotAllowed => ControlError::NotAllowed,
        })?;
        let mut text = String::new();
        keep(&mut text, value)?;
        let delivery = Delivery::new(now, by.connection, target.is_multicast());
        self.stop = 0;
        self.aim = Some(Aim { text, target, owner: by.address(), delivery });
        Ok(())
    }

    /// `none`, `force`, or a key. That the asker may do so was checked before.
    fn set_lockkey(&mut self, now: Mono, by: &By, value: &str) -> Result<(), ControlError> {
        match value {
            "force" => {
                self.lock = None;
                self.aim = None;
            }
            // Clients have set the target to none before; one that forgot would be sent packets for ever.
            NONE => {
                if self.lock.take().is_some() {
                    self.aim = None;
                }
            }
            key => {
                let is_plain = key.bytes().all(|byte| byte.is_ascii_digit());
                let key = key.parse().ok().filter(|key| is_plain && *key != 0).ok_or(ControlError::Value)?;
                let presence = Presence::new(now, by.connection);
                self.lock = Some(Lock { key, owner: by.address(), presence, active_at: now });
            }
        }
        Ok(())
    }

    // ---- Look up ----

    /// The viewer over HTTP that holds this tuner; none where control holds it, though others may watch along.
    fn http_viewer(&self, seen: &Seen<'_>) -> Option<SocketAddr> {
        seen.http.filter(|_| self.lock.is_none() && self.aim.is_none())
    }

    fn plan(&self, lineup: &Lineup) -> MuxPlan {
        MuxPlan::new(self.map, lineup.channels().len())
    }

    fn place(&self, id: ChannelId, lineup: &Lineup) -> Option<Place> {
        self.plan(lineup).place(lineup.position(id)?)
    }

    /// Which channel of a lineup is meant by what was set.
    fn look_up(&self, lineup: Option<&Lineup>) -> Option<ChannelId> {
        let lineup = lineup?;
        let channel = match self.tuned {
            Tuned::Nothing => None,
            Tuned::Frequency(hz) => lineup.channels().get(self.plan(lineup).mux(hz)?.channel(self.programme)?),
            Tuned::Number(number) => lineup.by_number(&number),
        };
        channel.map(|channel| channel.id)
    }

    // ---- Get ----

    fn get(&self, variable: TunerVariable, seen: &Seen<'_>, lineup: Option<&Lineup>, out: &mut Text) {
        let viewer = self.http_viewer(seen);
        let on = On::new(self, seen, lineup);
        let or_none = |text| if str::is_empty(text) { NONE } else { text };
        match variable {
            TunerVariable::Channel => put(out, format_args!("{}", on.ch)),
            TunerVariable::ChannelMap => put(out, format_args!("{}", self.map)),
            TunerVariable::Debug => on.reception(seen).debug(&seen.counters, self.stop, out),
            TunerVariable::Filter => match seen.pids.filter(|_| viewer.is_some() || self.sends_programme) {
                Some(pids) => put(out, format_args!("{pids}")),
                None if viewer.is_some() || self.filter.is_empty() => put(out, format_args!("{EVERY_PID}")),
                None => put(out, format_args!("{}", self.filter)),
            },
            TunerVariable::LockKey => match (&self.lock, viewer) {
                (Some(lock), _) => put(out, format_args!("{}", lock.owner)),
                (None, Some(viewer)) => put(out, format_args!("{}", viewer.ip().to_canonical())),
                (None, None) => put(out, format_args!("{NONE}")),
            },
            TunerVariable::PlpInfo => put(out, format_args!("{NONE}")),
            TunerVariable::Program => match (viewer, on.place, self.programme) {
                (Some(_), Some(place), _) => put(out, format_args!("{}", place.programme)),
                (None, _, Some(programme)) if self.program.is_empty() => put(out, format_args!("{programme}")),
                (Some(_), None, _) => put(out, format_args!("{NONE}")),
                (None, _, _) => put(out, format_args!("{}", or_none(&self.program))),
            },
            TunerVariable::Status => on.reception(seen).status(out),
            TunerVariable::StreamInfo => match (lineup, on.mux) {
                (Some(lineup), Some(mux)) => texts::streaminfo(lineup, mux, self.map.is_dvb(), out),
                _ => put(out, format_args!("{NONE}")),
            },
            TunerVariable::Target => match (&self.aim, viewer) {
                (Some(aim), _) => put(out, format_args!("{}", aim.text)),
                (None, Some(viewer)) => {
                    let viewer = SocketAddr::new(viewer.ip().to_canonical(), viewer.port());
                    put(out, format_args!("http://{viewer}"));
                }
                (None, None) => put(out, format_args!("{NONE}")),
            },
            TunerVariable::VChannel => match on.channel {
                Some(channel) if viewer.is_some() => put(out, format_args!("{}", channel.number)),
                _ if viewer.is_some() => put(out, format_args!("{NONE}")),
                _ => put(out, format_args!("{}", or_none(&self.vchannel))),
            },
            TunerVariable::VStatus => texts::vstatus(on.channel, out),
        }
    }
}

/// What a tuner is on, as far as the lineup knows it.
struct On<'a> {
    /// Its channel text; `none` when it is on nothing.
    ch: String<CHANNEL_BYTES_MAX>,
    lock: Option<String<CHANNEL_BYTES_MAX>>,
    frequency_hz: Option<u32>,
    mux: Option<Mux>,
    /// The channel that is meant, and where it is.
    channel: Option<&'a Channel>,
    place: Option<Place>,
}

impl<'a> On<'a> {
    fn new(tuner: &Tuner, seen: &Seen<'_>, lineup: Option<&'a Lineup>) -> Self {
        let is_http = tuner.http_viewer(seen).is_some();
        let id = if is_http { seen.channel } else { tuner.meant.or_else(|| tuner.look_up(lineup)) };
        let channel = id.zip(lineup).and_then(|(id, lineup)| lineup.by_id(id));
        let place = channel.zip(lineup).and_then(|(channel, lineup)| tuner.place(channel.id, lineup));
        let frequency_hz = match tuner.tuned {
            Tuned::Frequency(hz) if !is_http => Some(hz),
            _ => place.map(|place| place.frequency_hz),
        };
        let on_air = frequency_hz.zip(lineup).and_then(|(hz, lineup)| tuner.plan(lineup).mux(hz));
        // A channel without a frequency is a mux of its own.
        let alone = || {
            let first = lineup?.position(channel?.id)?;
            Some(Mux { frequency_hz: 0, tsid: 0, first, len: 1 })
        };
        let mux = on_air.or_else(alone);
        let ch = match channel {
            Some(channel) if is_http => texts::place(place, channel),
            _ if is_http || tuner.channel.is_empty() => text(NONE),
            _ => tuner.channel.clone(),
        };
        let lock = mux.map(|_| lock_text(if is_http { "" } else { &tuner.channel }, tuner.map));
        Self { ch, lock, frequency_hz, mux, channel, place }
    }

    fn reception(&self, seen: &Seen<'_>) -> Reception<'_> {
        let signal = match &self.lock {
            None => Signal::None,
            Some(_) if seen.is_failing => Signal::Failing,
            Some(_) => Signal::Full,
        };
        Reception {
            ch: &self.ch,
            lock: self.lock.as_deref().unwrap_or(NONE),
            frequency_hz: self.frequency_hz,
            signal,
            bits_per_s: seen.bits_per_s,
            packets_per_s: seen.packets_per_s,
        }
    }
}

/// What a tuner says that it locked on: what was asked for, or what it would have found by itself.
fn lock_text(channel: &str, map: ChannelMap) -> String<CHANNEL_BYTES_MAX> {
    let modulation = channel.rsplit_once(':').map_or("auto", |(modulation, _)| modulation);
    text(match modulation {
        "auto6t" => "t6qam64",
        "auto7t" => "t7qam64",
        "auto8t" => "t8qam64",
        "auto6c" => "a6qam256-6900",
        "auto7c" => "a7qam256-6900",
        "auto8c" => "a8qam256-6900",
        "qam" => "qam256",
        auto if auto.starts_with("auto") => map.auto_lock(),
        asked => asked,
    })
}

/// A text that fits.
fn text<const N: usize>(words: &str) -> String<N> {
    String::try_from(words).unwrap_or_default()
}

/// Keeps a value word by word.
fn keep<const N: usize>(place: &mut String<N>, value: &str) -> Result<(), ControlError> {
    *place = String::try_from(value).map_err(|()| ControlError::Value)?;
    Ok(())
}

/// A value, and the profile that may stand behind it.
fn with_profile(value: &str) -> Result<(&str, Profile), ControlError> {
    let Some((value, profile)) = value.split_once(' ') else { return Ok((value, Profile::None)) };
    let profile = profile.strip_prefix("transcode=").and_then(|name| name.parse().ok());
    Ok((value, profile.ok_or(ControlError::Value)?))
}

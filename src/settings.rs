//! Settings: a small TOML for how to start, and the command line over it.
//!
//! What people change while it runs is in the store, not here. Every refusal names the key, what was found, what is
//! allowed, and the line to write. `tools/tunerd.toml.example` documents every key.

use pure::limits::{
    ACCESS_NAMES_MAX, CONNECTIONS_DEFAULT, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_DEFAULT, GROUPS_MAX, GUIDES_MAX,
    MULTICAST_TTL_MAX, NAME_BYTES_MAX, NOTICE_AFTER_S, NOTICE_COLLECT_S, NOTICE_QUIET_S, NOTICE_S_MAX, RING_MIB_MAX,
    RING_MIB_MIN, SECURITY_CONTACT_BYTES_MAX, SLOTS_MAX, SUBNETS_MAX, UPLOAD_MIB_DEFAULT, UPLOAD_MIB_MAX,
};
use pure::model::subnet::Subnet;
use pure::model::wishes;
use pure::rules::notices::Timing;
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use tracing::Level;

/// Checked settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, as the owner writes it")]
pub struct Settings {
    /// What clients call this box.
    pub name: String,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// File or address of the playlist; `None`: the demo channels.
    pub playlist: Option<String>,
    /// Its groups that become channels; `None`: as chosen otherwise, and all at first.
    pub groups: Option<Vec<String>>,
    /// Whether streams may come from this box itself.
    pub this_box: bool,
    /// Files or addresses of guides, besides those that the playlist names.
    pub guides: Vec<String>,
    /// How many days of guide clients get.
    pub guide_days: usize,
    /// Channels that the guide may lack or have too many before clients get none, of 100.
    pub guide_mismatch_percent: usize,
    /// Whether each programme must have a number as an episode.
    pub guide_episodes_required: bool,
    /// Slots; `None`: the board's number.
    pub slots: Option<usize>,
    /// Ring of each slot; `None`: the board's size.
    pub ring_mib: Option<usize>,
    /// Address to listen on.
    pub address: Ipv4Addr,
    /// Port of the page and the device's answers.
    pub page_port: u16,
    /// Used where the page port cannot be bound and is not written in the settings.
    pub page_port_fallback: Option<u16>,
    /// Port of the streams.
    pub stream_port: u16,
    /// Port of the first further face; the others have the next ones.
    pub face_port: u16,
    /// Whether discovery is answered.
    pub discovery: bool,
    /// Whether the box is announced and found by SSDP.
    pub ssdp: bool,
    /// Whether it has a name by mDNS.
    pub mdns: bool,
    /// Networks whose members are answered as if they were in ours.
    pub subnets: Vec<Subnet>,
    /// Over how many routers a stream to a group may go; none when there may be no such stream.
    pub multicast_ttl_max: Option<u8>,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// FFmpeg.
    pub ffmpeg: PathBuf,
    /// ffprobe.
    pub ffprobe: PathBuf,
    /// What they may use beyond the usual files and devices.
    pub ffmpeg_paths: Vec<PathBuf>,
    /// Whether ffprobe looks at what slots make.
    pub probe: bool,
    /// Whether some of these looks also see whether a picture is black or frozen, and hear whether there is sound.
    pub glance: bool,
    /// Whether viewers get their head before there is a picture.
    pub early_headers: bool,
    /// Whether viewers of a channel that is restarted are shown why they have no picture.
    pub slates: bool,
    /// Whether clients may ask for other pictures than the channels' own.
    pub transcode: bool,
    /// Whether `hdhomerun_config upgrade` may send updates.
    pub hdhomerun_upload: bool,
    /// The largest update, in MiB.
    pub bundle_mib_max: usize,
    /// Where updates are announced, if anywhere.
    pub update_channel: Option<String>,
    /// The certificates of those who may sign updates.
    pub keyring: PathBuf,
    /// Whether the board may be started anew when tunerd fails again and again; `None`: as the board says.
    pub reboot: Option<bool>,
    /// Whether everybody near may manage the box, without a password.
    pub access_open: bool,
    /// Names by which the box may be asked besides its own, in small letters.
    pub access_names: Vec<String>,
    /// Whom to tell of a hole in what the box runs.
    pub security_contact: Option<String>,
    /// How patient the box is before anybody is told what happens.
    pub notices: Timing,
    /// Most verbose level that is logged.
    pub log_level: Level,
}

/// What was typed on the command line.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `--config FILE`
    pub config: Option<PathBuf>,
    /// `--state DIR`
    pub state: Option<PathBuf>,
    /// `--playlist FILE-OR-URL`
    pub playlist: Option<String>,
    /// `--check`
    pub check: bool,
    /// `--safe-mode`
    pub safe_mode: bool,
    /// `--escalate`
    pub escalate: bool,
    /// `--forget-password`
    pub forget_password: bool,
    /// `--factory-reset`
    pub factory_reset: bool,
    /// `--prove`
    pub prove: bool,
    /// `--base URL`
    pub base: Option<String>,
    /// `--within SECONDS`
    pub within_s: Option<u64>,
    /// `--setup FILE`
    pub setup: Option<PathBuf>,
    /// `--wifi FILE`
    pub wifi: Option<PathBuf>,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `--help`
    Help,
    /// `--version`
    Version,
    /// `ctl`, and what stands behind it, which is not read here.
    Ctl(Vec<std::ffi::OsString>),
    /// `doctor`: to examine the box at this address, or this one.
    Doctor(Option<String>),
    /// To run, or to check and end.
    Run(CommandLine),
}

/// Settings that cannot be used, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text of `--help`.
pub const HELP: &str = "\
tunerd turns this box into a network tuner that Plex, Jellyfin, Kodi and VLC find as an HDHomeRun.

Usage: tunerd [OPTION]...
       tunerd ctl COMMAND       ask a box that runs, or tell it what to do: see tunerd ctl --help
       tunerd doctor [--address HOST[:PORT]]

  --config FILE            settings to read (default: /etc/tunerd.toml, if it is there)
  --playlist FILE-OR-URL   channels to offer instead of the demo channels
  --state DIR              where to keep state (default: /var/lib/tunerd)
  --check                  check settings, state directory and FFmpeg, and end
  --forget-password        forget the owner's password and all tokens; the next start lets a new one be set
  --factory-reset          remove all that is in the state directory, and keep the device id; while no tunerd runs
  --safe-mode              show page and logs, and play nothing; systemd asks for this when nothing else helps
  --escalate               say whether a fresh start of the board may help (systemd asks): 0 yes, 75 safe mode instead
  --prove                  find out whether the tunerd that runs here plays, and end: 0 yes, 1 no; for the unit that marks
                           a new system as good
  --base URL               with --prove: where its page is (default: as the settings say)
  --within SECONDS         with --prove: how long it is given (default: 300)
  --setup FILE             take over what somebody wrote into FILE on the card, wipe it, and end; while no tunerd runs
  --wifi FILE              with --setup: where wpa_supplicant is told of a network
  --version                print the version and end
  --help                   print this and end

tunerd doctor does with a box what Plex, Jellyfin, Kodi, Channels and VLC do with it, prints what works, and what to do
about what does not; it ends with 0 when all is well and with 1 otherwise. Without an address it examines this box.

Every setting is explained in tools/tunerd.toml.example.
";

/// Reads the command line.
///
/// # Errors
/// An option that is unknown, has no value, or stands twice.
pub fn command_line(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Request, SettingsError> {
    use lexopt::Arg::{Long, Short, Value};
    let explain = |error: lexopt::Error| SettingsError(format!("{error}; see tunerd --help"));
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut typed = CommandLine::default();
    let mut is_first = true;
    while let Some(argument) = parser.next().map_err(explain)? {
        let was_first = std::mem::take(&mut is_first);
        match argument {
            Value(word) if was_first && word == "doctor" => return doctor(parser),
            Long("help") | Short('h') => return Ok(Request::Help),
            Long("version") | Short('V') => return Ok(Request::Version),
            Long("check") => typed.check = true,
            Long("safe-mode") => typed.safe_mode = true,
            Long("escalate") => typed.escalate = true,
            Long("forget-password") => typed.forget_password = true,
            Long("factory-reset") => typed.factory_reset = true,
            Long("prove") => typed.prove = true,
            Long("base") => {
                let value = parser.value().map_err(explain)?;
                let text = value.into_string().map_err(|_| SettingsError("--base is not UTF-8".to_owned()))?;
                typed.base = Some(text);
            }
            Long("within") => {
                use lexopt::ValueExt as _;
                typed.within_s = Some(parser.value().and_then(|value| value.parse()).map_err(explain)?);
            }
            Long("setup") => typed.setup = Some(parser.value().map_err(explain)?.into()),
            Long("wifi") => typed.wifi = Some(parser.value().map_err(explain)?.into()),
            Long("config") => typed.config = Some(parser.value().map_err(explain)?.into()),
            Long("state") => typed.state = Some(parser.value().map_err(explain)?.into()),
            Long("playlist") => {
                let value = parser.value().map_err(explain)?;
                let text = value.into_string().map_err(|_| SettingsError("--playlist is not UTF-8".to_owned()))?;
                typed.playlist = Some(text);
            }
            // The daemon has options only, so whatever stands in front of this word has been for nothing.
            Value(word) if word == "ctl" => {
                return Ok(Request::Ctl(parser.raw_args().map_err(explain)?.collect()));
            }
            other => return Err(explain(other.unexpected())),
        }
    }
    Ok(Request::Run(typed))
}

/// What stands behind `doctor`.
fn doctor(mut parser: lexopt::Parser) -> Result<Request, SettingsError> {
    let explain = |error: lexopt::Error| SettingsError(format!("{error}; see tunerd --help"));
    let mut address = None;
    while let Some(argument) = parser.next().map_err(explain)? {
        match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(Request::Help),
            lexopt::Arg::Long("address") => {
                let value = parser.value().map_err(explain)?;
                let text = value.into_string().map_err(|_| SettingsError("--address is not UTF-8".to_owned()))?;
                address = Some(text);
            }
            other => return Err(explain(other.unexpected())),
        }
    }
    Ok(Request::Doctor(address))
}

/// Where settings are looked for when nobody says.
pub const DEFAULT_CONFIG: &str = "/etc/tunerd.toml";

/// Reads and checks the settings that `typed` asks for.
///
/// # Errors
/// A file that was named and cannot be read, and whatever [`parse`] refuses.
pub fn load(typed: &CommandLine) -> Result<Settings, SettingsError> {
    let path = typed.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && typed.config.is_none() => String::new(),
        Err(error) => {
            return Err(SettingsError(format!(
                "cannot read the settings {}: {error}. Name a readable file with --config, or leave it out to use the \
                 defaults.",
                path.display()
            )));
        }
    };
    let mut settings = parse(&text, &path)?;
    take_typed(&mut settings, typed)?;
    Ok(settings)
}

/// What safe mode runs with when the settings cannot be used.
pub fn fallback(typed: &CommandLine) -> Settings {
    let mut settings = parse("", Path::new("")).expect("nothing written means the defaults, which are good");
    // A playlist that is no good is not read in safe mode anyway.
    take_typed(&mut settings, &CommandLine { playlist: None, ..typed.clone() }).unwrap_or_default();
    settings
}

fn take_typed(settings: &mut Settings, typed: &CommandLine) -> Result<(), SettingsError> {
    if let Some(state) = &typed.state {
        settings.state_dir.clone_from(state);
    }
    if let Some(playlist) = &typed.playlist {
        settings.playlist = Some(check_playlist("--playlist", playlist)?);
    }
    Ok(())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    name: Option<String>,
    state_dir: Option<PathBuf>,
    lineup: LineupTable,
    guide: GuideTable,
    slots: SlotsTable,
    network: NetworkTable,
    ffmpeg: FfmpegTable,
    transcode: TranscodeTable,
    health: HealthTable,
    update: UpdateTable,
    ladder: LadderTable,
    access: AccessTable,
    notifications: NotificationsTable,
    log: LogTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LineupTable {
    playlist: Option<String>,
    groups: Option<Vec<String>>,
    this_box: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GuideTable {
    sources: Option<Vec<String>>,
    days: Option<i64>,
    mismatch_percent: Option<i64>,
    require_episode_numbers: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SlotsTable {
    count: Option<i64>,
    ring_mib: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkTable {
    address: Option<String>,
    page_port: Option<i64>,
    stream_port: Option<i64>,
    face_port: Option<i64>,
    discovery: Option<bool>,
    ssdp: Option<bool>,
    mdns: Option<bool>,
    subnets: Option<Vec<String>>,
    multicast_ttl_max: Option<i64>,
    early_headers: Option<bool>,
    connections_max: Option<i64>,
    connections_per_address_max: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FfmpegTable {
    path: Option<PathBuf>,
    probe_path: Option<PathBuf>,
    paths: Option<Vec<PathBuf>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TranscodeTable {
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HealthTable {
    probe: Option<bool>,
    slates: Option<bool>,
    glance: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "as the owner writes them, with their unit")]
struct NotificationsTable {
    after_s: Option<i64>,
    collect_s: Option<i64>,
    quiet_s: Option<i64>,
}

impl NotificationsTable {
    fn check(self) -> Result<Timing, SettingsError> {
        let ms = |key: &str, found: Option<i64>, usual: usize| {
            let seconds = check_range(key, found.unwrap_or(widen(usual)), 0, NOTICE_S_MAX)?;
            Ok(seconds as u64 * 1_000)
        };
        Ok(Timing {
            after_ms: ms("notifications.after_s", self.after_s, NOTICE_AFTER_S)?,
            collect_ms: ms("notifications.collect_s", self.collect_s, NOTICE_COLLECT_S)?,
            quiet_ms: ms("notifications.quiet_s", self.quiet_s, NOTICE_QUIET_S)?,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UpdateTable {
    hdhomerun_upload: Option<bool>,
    upload_mib_max: Option<i64>,
    keyring: Option<PathBuf>,
    channel: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LadderTable {
    reboot: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AccessTable {
    open: Option<bool>,
    names: Option<Vec<String>>,
    security_contact: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogTable {
    level: Option<String>,
}

/// Parses and checks a settings file; `path` is for messages only.
///
/// # Errors
/// The first thing that is wrong, with its place or key, what is allowed, and the line to write.
pub fn parse(text: &str, path: &Path) -> Result<Settings, SettingsError> {
    let file: File = toml::from_str(text).map_err(|error| {
        SettingsError(format!(
            "{}: {}\nEvery key is explained in tools/tunerd.toml.example.",
            path.display(),
            explain(&error, text)
        ))
    })?;
    let refuse = |error: SettingsError| SettingsError(format!("{}: {error}", path.display()));
    check(file).map_err(refuse)
}

const GUIDES_LINE: &str = "sources = [\"https://provider.example/guide.xml.gz\"]";
const SUBNETS_LINE: &str = "subnets = [\"10.8.0.0/24\"]";

fn check(file: File) -> Result<Settings, SettingsError> {
    let name = file.name.unwrap_or_else(|| "tunerd".to_owned());
    if !wishes::is_name(&name) {
        return Err(bad("name", &format!("{name:?}"), "1 to 32 characters", "name = \"tunerd\""));
    }
    let network = file.network;
    let address = network.address.unwrap_or_else(|| "0.0.0.0".to_owned());
    let address = address.parse().map_err(|_| {
        bad("network.address", &format!("{address:?}"), "an IPv4 address of this box, or all", "address = \"0.0.0.0\"")
    })?;
    let level = file.log.level.unwrap_or_else(|| "info".to_owned());
    let log_level = match level.as_str() {
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "info" => Level::INFO,
        "debug" => Level::DEBUG,
        _ => return Err(bad("log.level", &format!("{level:?}"), "error, warn, info or debug", "level = \"info\"")),
    };
    let state_dir = file.state_dir.unwrap_or_else(|| PathBuf::from("/var/lib/tunerd"));
    if !state_dir.is_absolute() {
        let found = format!("{:?}", state_dir.display().to_string());
        return Err(bad("state_dir", &found, "an absolute path", "state_dir = \"/var/lib/tunerd\""));
    }
    let page_port = network.page_port.map(|port| check_port("network.page_port", port)).transpose()?;
    let stream_port = check_port("network.stream_port", network.stream_port.unwrap_or(5004))?;
    let face_port = network.face_port.map(|port| check_port("network.face_port", port)).transpose()?;
    if page_port == Some(stream_port) {
        let found = stream_port.to_string();
        return Err(bad("network.page_port", &found, "another port than network.stream_port", "page_port = 8080"));
    }
    let subnets = network.subnets.unwrap_or_default();
    if subnets.len() > SUBNETS_MAX {
        let allowed = format!("up to {SUBNETS_MAX} of them");
        return Err(bad("network.subnets", &format!("a list of {}", subnets.len()), &allowed, SUBNETS_LINE));
    }
    let subnets = subnets.iter().map(|text| {
        text.parse()
            .map_err(|()| bad("network.subnets", &format!("{text:?}"), "networks with their prefix", SUBNETS_LINE))
    });
    let subnets = subnets.collect::<Result<Vec<Subnet>, SettingsError>>()?;
    let upload_mib_max = file.update.upload_mib_max.unwrap_or(widen(UPLOAD_MIB_DEFAULT));
    let upload_mib_max = check_range("update.upload_mib_max", upload_mib_max, 1, UPLOAD_MIB_MAX)?;
    let keyring = file.update.keyring.unwrap_or_else(|| PathBuf::from("/etc/tunerd/keyring.pem"));
    if !keyring.is_absolute() {
        let found = format!("{:?}", keyring.display().to_string());
        return Err(bad("update.keyring", &found, "an absolute path", "keyring = \"/etc/tunerd/keyring.pem\""));
    }
    if file.update.channel.as_deref().is_some_and(|channel| !wishes::is_channel(channel)) {
        let line = "channel = \"https://updates.example/stable.json\"";
        return Err(bad("update.channel", "no usable address", "an address with http:// or https://", line));
    }
    let channel = file.update.channel;
    let ffmpeg = file.ffmpeg.path.unwrap_or_else(|| PathBuf::from("ffmpeg"));
    let ffmpeg_paths = file.ffmpeg.paths.unwrap_or_default();
    if let Some(path) = ffmpeg_paths.iter().find(|path| !path.is_absolute()) {
        return Err(bad(
            "ffmpeg.paths",
            &format!("{:?}", path.display().to_string()),
            "absolute paths",
            "paths = [\"/dev/encoder\"]",
        ));
    }
    let playlist = file.lineup.playlist.map(|playlist| check_playlist("lineup.playlist", &playlist)).transpose()?;
    let guides = file.guide.sources.unwrap_or_default();
    if guides.len() > GUIDES_MAX {
        let allowed = format!("up to {GUIDES_MAX} of them");
        return Err(bad("guide.sources", &format!("a list of {}", guides.len()), &allowed, GUIDES_LINE));
    }
    let guides = guides.iter().map(|guide| check_guide(guide)).collect::<Result<Vec<String>, SettingsError>>()?;
    Ok(Settings {
        name,
        state_dir,
        playlist,
        groups: check_groups(file.lineup.groups)?,
        this_box: file.lineup.this_box.unwrap_or(false),
        guides,
        guide_days: check_range("guide.days", file.guide.days.unwrap_or(7), 1, 14)?,
        guide_mismatch_percent: check_range(
            "guide.mismatch_percent",
            file.guide.mismatch_percent.unwrap_or(10),
            0,
            100,
        )?,
        guide_episodes_required: file.guide.require_episode_numbers.unwrap_or(false),
        slots: file.slots.count.map(|count| check_range("slots.count", count, 1, SLOTS_MAX)).transpose()?,
        ring_mib: file
            .slots
            .ring_mib
            .map(|mib| check_range("slots.ring_mib", mib, RING_MIB_MIN, RING_MIB_MAX))
            .transpose()?,
        address,
        page_port: page_port.unwrap_or(80),
        page_port_fallback: page_port.is_none().then_some(8080),
        stream_port,
        face_port: face_port.unwrap_or(stream_port.saturating_add(1)),
        discovery: network.discovery.unwrap_or(true),
        ssdp: network.ssdp.unwrap_or(true),
        mdns: network.mdns.unwrap_or(true),
        subnets,
        multicast_ttl_max: network
            .multicast_ttl_max
            .map(|most| check_range("network.multicast_ttl_max", most, 1, MULTICAST_TTL_MAX.into()))
            .transpose()?
            .and_then(|most| u8::try_from(most).ok()),
        connections_max: check_range(
            "network.connections_max",
            network.connections_max.unwrap_or(widen(CONNECTIONS_DEFAULT)),
            8,
            CONNECTIONS_MAX,
        )?,
        connections_per_address_max: check_range(
            "network.connections_per_address_max",
            network.connections_per_address_max.unwrap_or(widen(CONNECTIONS_PER_ADDRESS_DEFAULT)),
            1,
            CONNECTIONS_MAX,
        )?,
        ffprobe: file.ffmpeg.probe_path.unwrap_or_else(|| beside(&ffmpeg, "ffprobe")),
        ffmpeg,
        ffmpeg_paths,
        probe: file.health.probe.unwrap_or(true),
        glance: file.health.glance.unwrap_or(true),
        early_headers: network.early_headers.unwrap_or(false),
        slates: file.health.slates.unwrap_or(true),
        transcode: file.transcode.enabled.unwrap_or(true),
        hdhomerun_upload: file.update.hdhomerun_upload.unwrap_or(false),
        bundle_mib_max: upload_mib_max,
        update_channel: channel,
        keyring,
        reboot: file.ladder.reboot,
        access_open: file.access.open.unwrap_or(false),
        access_names: check_names(file.access.names.unwrap_or_default())?,
        security_contact: file.access.security_contact.map(check_contact).transpose()?,
        notices: file.notifications.check()?,
        log_level,
    })
}

/// Where another program of a suite is: in the same folder, or where `PATH` says.
fn beside(program: &Path, other: &str) -> PathBuf {
    match program.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.join(other),
        _ => PathBuf::from(other),
    }
}

/// What is wrong with the TOML, and in which line. The line itself is not shown, nor a value that holds an address:
/// there may be a password in it, and this goes to the log.
fn explain(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() + 1);
    let message = error.message().trim();
    let quoted = message.find('"').zip(message.rfind('"')).and_then(|(from, to)| message.get(from..=to));
    let message = match quoted {
        Some(value) if value.contains("://") => message.replace(value, "(an address)"),
        _ if message.contains("://") => "something is wrong with an address".to_owned(),
        _ => message.to_owned(),
    };
    line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
}

fn bad(key: &str, found: &str, allowed: &str, line: &str) -> SettingsError {
    SettingsError(format!("{key} is {found}; allowed: {allowed}. Write, for example: {line}"))
}

fn widen(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn check_range(key: &str, found: i64, min: usize, max: usize) -> Result<usize, SettingsError> {
    let leaf = key.rsplit('.').next().unwrap_or(key);
    usize::try_from(found).ok().filter(|number| (min..=max).contains(number)).ok_or_else(|| {
        let near = found.clamp(widen(min), widen(max));
        bad(key, &found.to_string(), &format!("{min} to {max}"), &format!("{leaf} = {near}"))
    })
}

fn check_port(key: &str, found: i64) -> Result<u16, SettingsError> {
    let leaf = key.rsplit('.').next().unwrap_or(key);
    let example = if leaf == "stream_port" { 5004 } else { 8080 };
    u16::try_from(found)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| bad(key, &found.to_string(), "1 to 65535", &format!("{leaf} = {example}")))
}

/// Groups are named as the playlist names them; an empty name is that of entries without one.
fn check_groups(groups: Option<Vec<String>>) -> Result<Option<Vec<String>>, SettingsError> {
    let line = "groups = [\"News\", \"Sport\"]";
    let Some(groups) = groups else { return Ok(None) };
    if groups.len() > GROUPS_MAX {
        let allowed = format!("up to {GROUPS_MAX} of them");
        return Err(bad("lineup.groups", &format!("a list of {}", groups.len()), &allowed, line));
    }
    match groups.iter().find(|group| group.len() > NAME_BYTES_MAX || group.chars().any(char::is_control)) {
        Some(wrong) => Err(bad("lineup.groups", &format!("{wrong:?}"), "names of the playlist's groups", line)),
        None => Ok(Some(groups)),
    }
}

/// Names of hosts and addresses, without a port: they are compared with what a browser calls the box.
fn check_names(names: Vec<String>) -> Result<Vec<String>, SettingsError> {
    let line = "names = [\"tv.example\", \"192.0.2.1\"]";
    if names.len() > ACCESS_NAMES_MAX {
        let allowed = format!("up to {ACCESS_NAMES_MAX} of them");
        return Err(bad("access.names", &format!("a list of {}", names.len()), &allowed, line));
    }
    let check = |name: String| {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(address.to_canonical().to_string());
        }
        let is_part = |part: &str| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if name.len() <= 253 && name.split('.').all(is_part) {
            return Ok(name.to_ascii_lowercase());
        }
        Err(bad("access.names", &format!("{name:?}"), "names of hosts, or addresses, without a port", line))
    };
    names.into_iter().map(check).collect()
}

/// What may stand behind `Contact:` in a security.txt.
///
/// Source: RFC 9116, section 2.5.3.
fn check_contact(contact: String) -> Result<String, SettingsError> {
    let is_known = ["mailto:", "https://", "tel:"].iter().any(|scheme| contact.starts_with(scheme));
    if is_known && contact.len() <= SECURITY_CONTACT_BYTES_MAX && contact.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(contact);
    }
    let line = "security_contact = \"mailto:security@example.com\"";
    let allowed = "an address that starts with mailto:, https:// or tel:";
    Err(bad("access.security_contact", &format!("{contact:?}"), allowed, line))
}

/// A playlist is a file, or an address that starts with `http://` or `https://`.
fn check_playlist(key: &str, found: &str) -> Result<String, SettingsError> {
    check_source(key, found, "playlist = \"/home/me/channels.m3u\"")
}

fn check_guide(found: &str) -> Result<String, SettingsError> {
    check_source("guide.sources", found, GUIDES_LINE)
}

fn check_source(key: &str, found: &str, line: &str) -> Result<String, SettingsError> {
    let allowed = "the path of a file, or an address with http:// or https://";
    if found.trim().is_empty() || found.chars().any(char::is_control) {
        return Err(bad(key, "empty or has control characters", allowed, line));
    }
    match found.split_once("://") {
        None => Ok(found.to_owned()),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
            match found.parse::<pure::model::source_url::SourceUrl>() {
                Ok(url) => Ok(url.as_str().to_owned()),
                Err(error) => Err(bad(key, &format!("no usable address ({error})"), allowed, line)),
            }
        }
        Some((scheme, _)) => Err(bad(key, &format!("an address with {scheme}://"), allowed, line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text, Path::new("t.toml")).unwrap_err().to_string()
    }

    #[test]
    fn nothing_written_means_the_defaults() {
        let settings = parse("", Path::new("t.toml")).unwrap();
        assert_eq!((settings.page_port, settings.page_port_fallback, settings.stream_port), (80, Some(8080), 5004));
        assert_eq!(settings.state_dir, Path::new("/var/lib/tunerd"));
        assert_eq!(settings.slots, None);
        assert_eq!(settings.log_level, Level::INFO);
        assert_eq!((settings.probe, settings.glance, settings.early_headers), (true, true, false));
        assert!(settings.transcode);
        assert_eq!((settings.reboot, settings.this_box, settings.hdhomerun_upload), (None, false, false));
        assert_eq!((settings.bundle_mib_max, settings.update_channel.as_deref()), (UPLOAD_MIB_DEFAULT, None));
        assert_eq!(fallback(&CommandLine::default()), settings);
    }

    #[test]
    fn ffprobe_is_looked_for_where_ffmpeg_is() {
        let ffprobe = |text: &str| parse(text, Path::new("t.toml")).unwrap().ffprobe;
        assert_eq!(ffprobe(""), Path::new("ffprobe"));
        assert_eq!(ffprobe("[ffmpeg]\npath = \"ffmpeg7\""), Path::new("ffprobe"));
        assert_eq!(ffprobe("[ffmpeg]\npath = \"/opt/ffmpeg/bin/ffmpeg\""), Path::new("/opt/ffmpeg/bin/ffprobe"));
        let both = "[ffmpeg]\npath = \"/opt/ffmpeg\"\nprobe_path = \"probe\"";
        assert_eq!(ffprobe(both), Path::new("probe"));
    }

    #[test]
    fn the_example_is_valid_and_shows_the_defaults() {
        let example = include_str!("../tools/tunerd.toml.example");
        let defaults = parse("", Path::new("t.toml")).unwrap();
        assert_eq!(parse(example, Path::new("example")).unwrap(), defaults);
        let commented = |line: &&str| line.starts_with("# ") && line.contains(" = ") || line.starts_with("#[");
        let uncommented: String = example
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(shown) if commented(&line) && toml::from_str::<toml::Table>(shown).is_ok() => shown,
                _ => line,
            })
            .fold(String::new(), |all, line| all + line + "\n");
        assert!(parse(&uncommented, Path::new("example")).is_ok(), "every key it shows exists");
    }

    #[test]
    fn a_bad_value_is_answered_with_key_range_and_the_line_to_write() {
        for (text, parts) in [
            ("[slots]\ncount = 0", &["slots.count is 0", "1 to 64", "count = 1"][..]),
            ("[slots]\ncount = 65", &["slots.count is 65", "count = 64"]),
            ("[slots]\nring_mib = 999", &["slots.ring_mib", "1 to 64"]),
            ("[network]\npage_port = 70000", &["network.page_port is 70000", "1 to 65535", "page_port = 8080"]),
            ("[network]\npage_port = 5004", &["network.page_port", "another port"]),
            ("[network]\naddress = \"router\"", &["network.address is \"router\"", "IPv4"]),
            ("[network]\nsubnets = [\"house\"]", &["network.subnets is \"house\"", "subnets = [\"10.8.0.0/24\"]"]),
            (
                "[network]\nmulticast_ttl_max = 9",
                &["network.multicast_ttl_max is 9", "1 to 8", "multicast_ttl_max = 8"],
            ),
            ("[update]\nupload_mib_max = 0", &["update.upload_mib_max is 0", "1 to 2048", "upload_mib_max = 1"]),
            ("[update]\nhdhomerun_upload = \"yes\"", &["line 2", "invalid type", "boolean"]),
            ("[update]\nkeyring = \"key.pem\"", &["update.keyring is \"key.pem\"", "absolute", "keyring.pem"]),
            ("[ffmpeg]\npaths = [\"dev\"]", &["ffmpeg.paths is \"dev\"", "absolute"]),
            ("[access]\nnames = [\"tv.example:80\"]", &["access.names", "tv.example:80", "without a port"]),
            ("[access]\nnames = [\"http://tv.example\"]", &["access.names", "without a port"]),
            ("[access]\nsecurity_contact = \"me\"", &["access.security_contact is \"me\"", "mailto:"]),
            (
                "[access]\nsecurity_contact = \"mailto:a@b\\nExpires: never\"",
                &["access.security_contact", "mailto:security@example.com"],
            ),
            ("name = \"\"", &["name is \"\"", "1 to 32"]),
            ("state_dir = \"state\"", &["state_dir is \"state\"", "absolute"]),
            ("[log]\nlevel = \"loud\"", &["log.level is \"loud\"", "error, warn, info or debug"]),
            ("[lineup]\nplaylist = \"ftp://h/x\"", &["lineup.playlist", "ftp://", "http://"]),
            ("[lineup]\nplaylist = \"http://\"", &["lineup.playlist", "no usable address"]),
            ("[slots]\ncont = 4", &["line 2", "unknown field `cont`", "count", "tools/tunerd.toml.example"]),
            ("slots = 4", &["t.toml", "invalid type"]),
            ("name = ", &["t.toml", "line 1"]),
        ] {
            let message = refused(text);
            for part in parts {
                assert!(message.contains(part), "{text:?} gave {message:?}, without {part:?}");
            }
        }
    }

    #[test]
    fn a_password_in_a_wrong_line_is_not_repeated() {
        for text in [
            "[lineup]\nplalist = \"http://me:pass42@h/\"",
            "[lineup]\nplaylist = \"http://me:pass42@h/",
            "lineup = \"http://me:pass42@h/\"",
            "[slots]\ncount = 'a \"quoted\" http://h/ pass42'",
        ] {
            let message = refused(text);
            assert!(message.contains("line ") && !message.contains("pass42"), "{text:?} gave {message:?}");
        }
    }

    #[test]
    fn the_command_line_is_read() {
        let read = |line: &str| command_line(line.split_whitespace().map(Into::into));
        assert_eq!(read("--help"), Ok(Request::Help));
        assert_eq!(read("--check --version"), Ok(Request::Version));
        let typed = CommandLine { check: true, state: Some("/s".into()), ..CommandLine::default() };
        assert_eq!(read("--state /s --check"), Ok(Request::Run(typed)));
        for wrong in ["--stat", "--state", "extra", "-x"] {
            assert!(read(wrong).unwrap_err().to_string().contains("tunerd --help"), "{wrong}");
        }
    }
}

//! The only file that starts and ends child processes.
//!
//! A child gets its own process group, dies with the daemon, inherits no privilege, no core dump and only the
//! environment it needs, is bounded in what it may take and in what it may do ([`sandbox`](super::sandbox)), and is started
//! from an argument list, never through a shell.
//! What runs is decided in `pure::model::recipe`, whether and when in `pure::rules::pool`.
//!
//! The daemon adopts what its children leave behind, so that nothing they started can outlive them unseen: the
//! nursery knows every child by name, and whoever else turns up among our children is a stray and is ended.
#![expect(unsafe_code, reason = "pre_exec runs between fork and exec, and nix has no pidfd; see there")]
#![expect(clippy::disallowed_methods, reason = "the one place that starts processes")]

use super::facts;
use super::sandbox::{Needs, Network, Proof, Sandbox, try_escape};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, rlim_t, setrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{AccessFlags, Pid, getppid};
use pure::limits::{
    CHILD_DATA_BYTES_MAX, CHILD_DATA_BYTES_MIN, CHILD_FDS_MAX, CHILD_FILE_BYTES_MAX, CHILD_OOM_SCORE, ENCODE_NICE,
    PIPE_BYTES,
};
use pure::rules::admission::Work;
use pure::rules::gate::{CheckPermit, GlancePermit, ProbePermit, SlatePermit, SpawnPermit, TrialPermit};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{OnceLock, PoisonError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

/// What a child keeps of our environment: where programs, fonts, certificates and libraries are, and no more.
/// `NOTIFY_SOCKET` above all stays with us: only the daemon may say that it is well; and so do proxies: a child has ours,
/// or none.
const ENVIRONMENT: [&str; 11] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
    "FONTCONFIG_FILE",
    "FONTCONFIG_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LIBVA_DRIVER_NAME",
];

/// Carries the run's mark to everything that a child starts.
const MARK_VARIABLE: &str = "TUNERD_RUN";

/// Names one run of the daemon: its process id, and when that process was started, in ticks since the board was.
/// Both together never repeat within one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunMark {
    /// The daemon's process id.
    pub pid: i32,
    /// When it was started.
    pub started: u64,
}

impl RunMark {
    /// This run's.
    pub fn ours() -> Self {
        static OURS: OnceLock<RunMark> = OnceLock::new();
        *OURS.get_or_init(|| {
            let pid = nix::unistd::getpid().as_raw();
            Self { pid, started: Stat::of(pid).map_or(0, |stat| stat.started) }
        })
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.split_once('-')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// Whether that run is still going on.
    pub fn is_alive(self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != b'Z')
    }
}

impl fmt::Display for RunMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.started)
    }
}

/// A line of `/proc/PID/stat`, as far as we read it.
struct Stat {
    state: u8,
    parent: i32,
    group: i32,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Source: `proc_pid_stat(5)`. The name stands in parentheses and may hold anything.
    fn parse(line: &[u8]) -> Option<Self> {
        let end = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(line.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        // The 22nd field of the line, the 20th after the name.
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self { state, parent, group, started })
    }
}

/// The nursery: every child that we started and that is not reaped, by process id.
///
/// It belongs to the process, as its children do; only the executor's thread starts any.
#[expect(clippy::disallowed_types, reason = "the tests of one process run side by side; never held for long")]
static NURSERY: std::sync::Mutex<BTreeMap<i32, Awaited>> = std::sync::Mutex::new(BTreeMap::new());

#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// A [`Reaper`] will reap it.
    Yes,
    /// Its reaper was dropped: tokio was told to kill and reap it.
    ByTokio,
}

fn nursery<R>(act: impl FnOnce(&mut BTreeMap<i32, Awaited>) -> R) -> R {
    act(&mut NURSERY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What a look at our children found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Children that nobody looks after, and that were killed just now.
    pub killed: usize,
    /// Dead ones that were reaped just now.
    pub reaped: usize,
    /// Those of them that are still there.
    pub left: usize,
}

/// From now on orphans among our descendants become our children. To be called once, before any child is started.
pub fn adopt_orphans() {
    // Kernels before 3.4 cannot; there, init adopts them as ever.
    prctl::set_child_subreaper(true).unwrap_or_default();
}

/// Children that we started and that are not reaped.
pub fn children_len() -> usize {
    nursery(|known| known.len())
}

/// Ends and reaps children of ours that nobody looks after: what a dead child had started, in whatever group or
/// session. One that is in the group of a living child is left to that child.
///
/// It takes some fifty microseconds. Only processes that we did not start ourselves are waited for here: whom tokio
/// awaits must be left to it.
pub fn sweep_strays() -> Strays {
    nursery(|known| {
        let mut strays = Strays::default();
        let found = children_of_ours();
        // What tokio has reaped by itself is gone.
        known.retain(|pid, awaited| *awaited == Awaited::Yes || found.contains(pid));
        for pid in found.into_iter().filter(|pid| !known.contains_key(pid)) {
            let Some(stat) = Stat::of(pid) else { continue };
            if stat.state != b'Z' {
                if known.contains_key(&stat.group) {
                    continue;
                }
                strays.killed += 1;
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
            }
            // A child of ours keeps its process id until we have reaped it: nobody else can be meant.
            match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => strays.left += 1,
                Ok(_) => strays.reaped += 1,
            }
        }
        strays
    })
}

/// All our children. Each thread has its own; those of kernels that do not tell are looked for among all processes.
fn children_of_ours() -> Vec<i32> {
    let mut lists = fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|task| {
        fs::read_to_string(task.path().join("children"))
            .map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
    });
    let told = lists.try_fold(Vec::new(), |mut all, list| {
        all.extend(list?);
        Ok::<_, io::Error>(all)
    });
    told.unwrap_or_else(|_| {
        let ours = nix::unistd::getpid().as_raw();
        all_processes().filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.parent == ours)).collect()
    })
}

fn all_processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Kills what another run of the daemon left behind and says how many that were. `mark` is that run's; while it is
/// still going on nothing is touched.
///
/// Everything that a child starts carries the mark in its environment, in whatever group or session it is. A process
/// id alone is never trusted: it is held by a pidfd before its bearer is looked at.
pub fn end_strangers(mark: RunMark) -> usize {
    if mark.is_alive() {
        return 0;
    }
    let wanted = format!("{MARK_VARIABLE}={mark}");
    let ours = nix::unistd::getpid().as_raw();
    all_processes().filter(|pid| *pid != ours && end_marked(*pid, wanted.as_bytes())).count()
}

/// Kills one process if it carries `wanted` in its environment.
fn end_marked(pid: i32, wanted: &[u8]) -> bool {
    let carries = || {
        // Not ours to read, or gone: not ours to end either.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted)
    };
    if !carries() {
        return false;
    }
    let Some(pidfd) = hold(pid) else { return false };
    // Whoever has the number now is who the pidfd holds, or came after him; a process never takes our mark on.
    if !carries() {
        return false;
    }
    let no_details = std::ptr::null::<nix::libc::siginfo_t>();
    // SAFETY: pidfd_send_signal reads no memory of ours when it is given no details.
    let sent = unsafe {
        nix::libc::syscall(nix::libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), Signal::SIGKILL as i32, no_details, 0)
    };
    sent == 0
}

/// A handle on one process, whoever gets its number later; readable once it has ended.
fn hold(pid: i32) -> Option<OwnedFd> {
    // SAFETY: pidfd_open takes a number and flags and touches no memory.
    let opened = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, nix::libc::PIDFD_NONBLOCK) };
    let raw = i32::try_from(opened).ok().filter(|raw| *raw >= 0)?;
    // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A child that the nursery knows.
struct Registered {
    pid: Pid,
    reaped: Cell<bool>,
}

impl Registered {
    /// Its number may be another's from now on.
    fn reaped(&self) {
        self.reaped.set(true);
        nursery(|known| known.remove(&self.pid.as_raw()));
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if !self.reaped.get() {
            nursery(|known| known.insert(self.pid.as_raw(), Awaited::ByTokio));
        }
    }
}

/// A running child.
pub(super) struct Child {
    /// To be fed, if it was asked for.
    stdin: Option<ChildStdin>,
    stdout: pipe::Receiver,
    stderr: ChildStderr,
    reaper: Reaper,
}

/// A running child that is given something: a look at our output, or the making of a slate.
pub(super) struct Prober {
    /// `None` once it was taken, to be closed.
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
    pub(super) reaper: Reaper,
}

/// A process group that a child leads. It may be signalled only while the child is not reaped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(Pid);

impl Group {
    /// Asks all of its processes to end.
    pub(super) fn terminate(self) {
        // An error says that nobody is left to end.
        killpg(self.0, Signal::SIGTERM).unwrap_or_default();
    }

    /// Ends all of its processes.
    pub(super) fn kill(self) {
        killpg(self.0, Signal::SIGKILL).unwrap_or_default();
    }
}

/// Why a child was not started.
#[derive(Debug)]
pub enum StartError {
    /// The board is out of processes, memory or descriptors: it may work in a moment, and no channel is to blame.
    Resource(io::Error),
    /// The program cannot be run: somebody has to repair the box.
    Program(io::Error),
}

impl StartError {
    fn new(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            // A program that is being replaced is busy for a moment.
            Some(
                Errno::EAGAIN
                | Errno::ENOMEM
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOBUFS
                | Errno::EINTR
                | Errno::ETXTBSY
                | Errno::ENOSPC,
            ) => Self::Resource(error),
            _ => Self::Program(error),
        }
    }

    /// Whether the board is short of something.
    pub fn is_resource(&self) -> bool {
        matches!(self, Self::Resource(_))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(error) => write!(f, "the board is short of processes, memory or descriptors: {error}"),
            Self::Program(error) => write!(f, "the program cannot be run: {error}"),
        }
    }
}

/// How a child comes by what it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It makes it.
    Made,
    /// From the network, by itself.
    Own,
    /// From us, on its standard input.
    Fed,
    /// Over HTTP, through the proxy that listens there.
    Proxy(SocketAddr),
}

/// Starts `program` for `work` and spends the permit on it.
///
/// # Errors
/// [`StartError`]: the board is short of something, or the program cannot be run.
pub(super) fn start(
    permit: SpawnPermit,
    program: &Path,
    arguments: &[String],
    work: Work,
    input: Input,
) -> Result<Child, StartError> {
    drop(permit);
    let network = match input {
        Input::Made | Input::Fed => Network::None,
        Input::Own => Network::Any,
        Input::Proxy(address) => Network::Port(address.port()),
    };
    let devices = matches!(work, Work::Transcode(_));
    let limits = Limits { nice: if work.encodes() { ENCODE_NICE } else { 0 }, confined: Some((network, devices)) };
    start_child(program, arguments, limits, input)
}

/// What a child may take and do.
#[derive(Clone, Copy)]
struct Limits {
    nice: i32,
    /// Whom it may call, and whether it may use devices; `None`: as we may.
    confined: Option<(Network, bool)>,
}

/// Starts `program` to try an encoder, and spends the permit on it.
///
/// # Errors
/// [`StartError`]: the board is short of something, or the program cannot be run.
pub(super) fn trial(permit: TrialPermit, program: &Path, arguments: &[String]) -> Result<Child, StartError> {
    drop(permit);
    start_child(program, arguments, Limits { nice: ENCODE_NICE, confined: Some((Network::None, true)) }, Input::Made)
}

/// Starts `program` to see how fast it decodes what it is given on its standard input, and spends the permit on it.
///
/// # Errors
/// [`StartError`]: the board is short of something, or the program cannot be run.
pub(super) fn decode(permit: TrialPermit, program: &Path, arguments: &[&str]) -> Result<Prober, StartError> {
    drop(permit);
    start_prober(program, arguments)
}

/// Starts `program`, which checks the signature of a file, and spends the permit on it.
///
/// # Errors
/// [`StartError`]: the board is short of something, or the program cannot be run.
pub(super) fn check(permit: CheckPermit, program: &Path, arguments: &[OsString]) -> Result<Child, StartError> {
    drop(permit);
    // No decoder, and its files may be anywhere.
    start_child(program, arguments, Limits { nice: ENCODE_NICE, confined: None }, Input::Made)
}

fn start_child(
    program: &Path,
    arguments: &[impl AsRef<OsStr>],
    limits: Limits,
    input: Input,
) -> Result<Child, StartError> {
    let mut command = prepare(program, limits);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
    match input {
        Input::Made | Input::Own => {}
        Input::Fed => drop(command.stdin(Stdio::piped())),
        // All of FFmpeg's connections over HTTP heed it, also those that a demuxer wants.
        Input::Proxy(address) => drop(command.env("http_proxy", format!("http://{address}"))),
    }
    let run = |command: &mut Command| {
        let (mut inner, registered) = spawn(command)?;
        let stdin = inner.stdin.take();
        let stdout = inner.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.into_owned_fd()?;
        let stderr = inner.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // A smaller pipe only means more wake-ups: users without privilege share a budget of pipe pages.
        fcntl(stdout.as_fd(), FcntlArg::F_SETPIPE_SZ(i32::try_from(PIPE_BYTES).unwrap_or(i32::MAX)))
            .unwrap_or_default();
        Ok(Child {
            stdin,
            stdout: pipe::Receiver::from_owned_fd(stdout)?,
            stderr,
            reaper: Reaper::new(inner, registered),
        })
    };
    run(&mut command).map_err(StartError::new)
}

/// Starts `program`, which looks at what it is given on its standard input, and spends the permit on it.
///
/// # Errors
/// [`StartError`]: the board is short of something, or the program cannot be run.
pub(super) fn probe(permit: ProbePermit, program: &Path, arguments: &[&str]) -> Result<Prober, StartError> {
    drop(permit);
    start_prober(program, arguments)
}

/// Starts `program` to make a slate of what it is given on its standard input, and spends the permit on it.
///
/// # Errors
/// [`StartError`]: the board is short of something, or the program cannot be run.
pub(super) fn slate(permit: SlatePermit, program: &Path, arguments: &[String]) -> Result<Prober, StartError> {
    drop(permit);
    start_prober(program, arguments)
}

/// The same for who decodes a picture of what it is given.
///
/// # Errors
/// [`StartError`]: the board is short of something, or the program cannot be run.
pub(super) fn glance(permit: GlancePermit, program: &Path, arguments: &[&str]) -> Result<Prober, StartError> {
    drop(permit);
    start_prober(program, arguments)
}

fn start_prober(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Prober, StartError> {
    // A look is never more urgent than what it looks at.
    let mut command = prepare(program, Limits { nice: ENCODE_NICE, confined: Some((Network::None, false)) });
    command.args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped());
    let run = |command: &mut Command| {
        let (mut inner, registered) = spawn(command)?;
        let stdin = inner.stdin.take();
        let stdout = inner.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stderr = inner.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Prober { stdin, stdout, stderr, reaper: Reaper::new(inner, registered) })
    };
    run(&mut command).map_err(StartError::new)
}

fn prepare(program: &Path, limits: Limits) -> Command {
    let (mark, mut command) = (RunMark::ours(), Command::new(program));
    command
        .env_clear()
        .envs(environment())
        .env(MARK_VARIABLE, mark.to_string())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let (daemon, data_bytes) = (Pid::from_raw(mark.pid), data_bytes_max());
    let sandbox = limits.confined.map(|(network, devices)| {
        let program = find(program).ok();
        Sandbox::new(&Needs { program: program.as_deref(), network, devices })
    });
    // SAFETY: child_setup and enter make only system calls that are safe between fork and exec, and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            child_setup(daemon, limits.nice, data_bytes)?;
            if let Some(sandbox) = &sandbox {
                sandbox.enter();
            }
            Ok(())
        });
    }
    command
}

/// Has a child try what its sandbox forbids, in one as those have that are fed. `ours` is a directory that no child may
/// read. `None` where no child could be started for that.
pub fn prove_sandbox(ours: &Path) -> Option<Proof> {
    use std::os::unix::process::CommandExt as _;
    let (daemon, data_bytes) = (Pid::from_raw(RunMark::ours().pid), data_bytes_max());
    let sandbox = Sandbox::new(&Needs { program: None, network: Network::None, devices: false });
    let ours = CString::new(ours.as_os_str().as_bytes()).ok()?;
    // It never becomes that program: what it tells is the error of its start.
    let mut command = std::process::Command::new("/bin/false");
    // SAFETY: as above; try_escape is of the same kind.
    unsafe {
        command.pre_exec(move || {
            child_setup(daemon, 0, data_bytes)?;
            sandbox.enter();
            Err(try_escape(&ours))
        });
    }
    Proof::of(&command.spawn().err()?)
}

/// What our children see of our environment.
fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    let kept = ENVIRONMENT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    // FFmpeg's words are read by us: in English, please.
    kept.chain([("LC_ALL", "C.UTF-8".into())])
}

/// Half of the board's memory, within bounds.
fn data_bytes_max() -> u64 {
    let board_bytes = facts::memory_total_bytes().unwrap_or(u64::MAX);
    (board_bytes / 2).clamp(CHILD_DATA_BYTES_MIN, CHILD_DATA_BYTES_MAX)
}

fn spawn(command: &mut Command) -> io::Result<(tokio::process::Child, Registered)> {
    // In one step: a sweep in between would take the child for a stray.
    nursery(|known| {
        let inner = command.spawn()?;
        let id = inner.id().and_then(|id| i32::try_from(id).ok()).ok_or(io::ErrorKind::NotFound)?;
        known.insert(id, Awaited::Yes);
        Ok((inner, Registered { pid: Pid::from_raw(id), reaped: Cell::new(false) }))
    })
}

/// Runs in the child between fork and exec.
fn child_setup(daemon: Pid, nice: i32, data_bytes: u64) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The daemon may have died before the line above.
    if getppid() != daemon {
        return Err(Errno::ESRCH.into());
    }
    prctl::set_no_new_privs()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // These fail only where somebody has set less already.
    for (resource, most) in [
        (Resource::RLIMIT_DATA, data_bytes),
        (Resource::RLIMIT_NOFILE, CHILD_FDS_MAX),
        (Resource::RLIMIT_FSIZE, CHILD_FILE_BYTES_MAX),
    ] {
        // 32 bits on 32-bit ARM: what is more than all of its memory is no limit.
        let most = rlim_t::try_from(most).unwrap_or(RLIM_INFINITY);
        setrlimit(resource, most, most).unwrap_or_default();
    }
    if nice > 0 {
        // SAFETY: a system call with a number; it is about this process only.
        unsafe { nix::libc::nice(nice) };
    }
    // Where /proc cannot be written the kernel chooses as it likes.
    if let Ok(score) = open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        let mut digits = [0; 8];
        nix::unistd::write(&score, decimal(CHILD_OOM_SCORE, &mut digits)).unwrap_or_default();
    }
    Ok(())
}

/// A small number in digits, without allocating.
fn decimal(number: i32, digits: &mut [u8; 8]) -> &[u8] {
    let mut left = number.unsigned_abs();
    let mut from = digits.len();
    loop {
        from -= 1;
        if let Some(digit) = digits.get_mut(from) {
            *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        }
        left /= 10;
        if left == 0 || from == 0 {
            return digits.get(from..).unwrap_or_default();
        }
    }
}

impl Child {
    /// Its process group.
    pub(super) fn group(&self) -> Group {
        self.reaper.group()
    }

    /// What it takes, what it makes, what it says, and its end, to be awaited side by side.
    pub(super) fn split(self) -> (Option<ChildStdin>, pipe::Receiver, ChildStderr, Reaper) {
        (self.stdin, self.stdout, self.stderr, self.reaper)
    }
}

/// Awaits a child's end.
pub(super) struct Reaper {
    /// Tells that it has ended, before it is reaped; kernels before 5.3 have none.
    handle: Option<AsyncFd<OwnedFd>>,
    inner: tokio::process::Child,
    registered: Registered,
}

impl Reaper {
    fn new(inner: tokio::process::Child, registered: Registered) -> Self {
        let pidfd = hold(registered.pid.as_raw());
        let handle = pidfd.and_then(|pidfd| {
            // SAFETY: an OwnedFd is open as long as it is there, and always the same.
            unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.ok()
        });
        Self { handle, inner, registered }
    }

    /// The child's process group.
    pub(super) fn group(&self) -> Group {
        Group(self.registered.pid)
    }

    /// Waits until it has ended and is reaped, and ends what is left of its group.
    pub(super) async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.ended().await;
        // Grandchildren may hold the pipe, the encoder or the source. While the child is not reaped its group's number
        // is nobody else's.
        self.group().kill();
        let status = self.inner.wait().await;
        self.registered.reaped();
        status
    }

    /// Waits until it has ended, and leaves it to be reaped.
    async fn ended(&mut self) {
        let Some(handle) = &self.handle else {
            // Without a handle only reaping tells; what follows is answered from memory then.
            self.inner.wait().await.map(drop).unwrap_or_default();
            return;
        };
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(mut guard) = handle.readable().await {
            match waitid(Id::Pid(self.registered.pid), flags) {
                Ok(WaitStatus::StillAlive) => guard.clear_ready(),
                _ => return,
            }
        }
    }
}

/// FFmpeg is not where it was looked for. The text is for people.
#[derive(Debug)]
pub struct Missing(PathBuf);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FFmpeg was not found as {}, so nothing can play. Install the package ffmpeg, or name the program with \
             path under [ffmpeg]",
            self.0.display()
        )
    }
}

/// Where FFmpeg is: a path as it stands, a plain name as `PATH` finds it.
///
/// # Errors
/// There is no program that we may run.
pub fn find(name: &Path) -> Result<PathBuf, Missing> {
    let is_program = |path: &PathBuf| nix::unistd::access(path, AccessFlags::X_OK).is_ok() && path.is_file();
    let found = if name.components().count() > 1 {
        Some(name.to_owned()).filter(is_program)
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(is_program)
    };
    found.ok_or_else(|| Missing(name.to_owned()))
}

/// Tests that start processes take turns: the sweep of one would end what another has started by itself.
#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "tests run side by side")]
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pure::model::lineup::ChannelId;
    use pure::model::lineup::SourceClass;
    use pure::rules::admission::BoardFacts;
    use pure::rules::constants::Rules;
    use pure::rules::gate::{Gate, Wish};
    use pure::time::Mono;
    use std::time::{Duration, Instant};

    fn run<R>(future: impl Future<Output = R>) -> R {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Starts a script as FFmpeg is started.
    fn script(text: &str, work: Work) -> Result<Child, StartError> {
        program("sh", &["-c", text], work)
    }

    fn program(name: &str, arguments: &[&str], work: Work) -> Result<Child, StartError> {
        let facts = BoardFacts { ffmpeg_present: true, fds_limit: 1_024, ..BoardFacts::default() };
        let wish = Wish { channel: ChannelId(1), source: 0, account: None, class: SourceClass::Live, work };
        let (permit, _) = Gate::new(1, Rules::DEFAULT).commit(Mono(0), &facts, wish, 0).unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        start(permit, Path::new(name), &arguments, work, Input::Made)
    }

    async fn read_line(stdout: &pipe::Receiver) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            stdout.readable().await.unwrap();
            let mut byte = [0];
            match stdout.try_read(&mut byte) {
                Ok(0) => break,
                Ok(_) => line.push(byte[0]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        String::from_utf8(line).unwrap().trim().to_owned()
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < end, "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_there(pid: i32) -> bool {
        Stat::of(pid).is_some_and(|stat| stat.state != b'Z')
    }

    #[test]
    fn a_child_gets_little_and_may_take_little() {
        let _alone = alone();
        run(async {
            let tell = "ulimit -n; ulimit -c; ulimit -d; nice; env | tr '\\n' ' '; echo";
            for (work, niceness) in [(Work::Copy, 0), (Work::Encode, ENCODE_NICE)] {
                let before: i32 = run_now("nice").parse().unwrap();
                let (_, stdout, _stderr, mut reaper) = script(tell, work).unwrap().split();
                assert_eq!(read_line(&stdout).await, CHILD_FDS_MAX.to_string());
                assert_eq!(read_line(&stdout).await, "0", "no core");
                assert_eq!(read_line(&stdout).await, (data_bytes_max() / 1024).to_string());
                // It may not read that itself.
                let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", reaper.registered.pid)).unwrap();
                assert_eq!(score.trim(), CHILD_OOM_SCORE.to_string());
                assert_eq!(read_line(&stdout).await, (before + niceness).min(19).to_string());
                let environment = read_line(&stdout).await;
                assert!(environment.contains(&format!("{MARK_VARIABLE}={}", RunMark::ours())), "{environment}");
                assert!(environment.contains("PATH=") && environment.contains("LC_ALL=C.UTF-8"), "{environment}");
                // cargo sets this one for tests.
                assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
                assert!(!environment.contains("CARGO_MANIFEST_DIR"), "{environment}");
                assert!(reaper.reap().await.unwrap().success());
            }
        });
    }

    fn run_now(program: &str) -> String {
        let output = std::process::Command::new(program).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn what_a_child_leaves_behind_is_ended() {
        let _alone = alone();
        // At stake: a helper that outlives its FFmpeg holds the provider's connection for ever. Three kinds: one in the
        // child's group, one in a session of its own, and one whose parent is gone before the child is.
        adopt_orphans();
        run(async {
            let leave = "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; \
                         (setsid sh -c 'echo $$; exec sleep 1000' &); sleep 1000";
            let (_, stdout, _stderr, mut reaper) = script(leave, Work::Copy).unwrap().split();
            let mut left = Vec::new();
            for _ in 0..3 {
                left.push(read_line(&stdout).await.parse::<i32>().unwrap());
            }
            // The order in which they tell is not known, but the orphan is the one whose parent we are.
            until("the orphan is ours", || {
                left.iter().any(|pid| Stat::of(*pid).unwrap().parent == RunMark::ours().pid)
            })
            .await;
            until("the orphan alone is ended while its maker lives", || {
                sweep_strays();
                left.iter().filter(|pid| is_there(**pid)).count() == 2
            })
            .await;
            reaper.group().kill();
            assert!(!reaper.reap().await.unwrap().success());
            until("all of them are ended and reaped", || {
                sweep_strays();
                left.iter().all(|pid| Stat::of(*pid).is_none())
            })
            .await;
        });
    }

    #[test]
    fn an_orphan_in_the_group_of_a_living_child_is_left_to_it() {
        let _alone = alone();
        adopt_orphans();
        run(async {
            let (_, stdout, _stderr, mut reaper) =
                script("(sh -c 'echo $$; exec sleep 1000' &); sleep 1000", Work::Copy).unwrap().split();
            let orphan: i32 = read_line(&stdout).await.parse().unwrap();
            until("it is ours", || Stat::of(orphan).unwrap().parent == RunMark::ours().pid).await;
            sweep_strays();
            sweep_strays();
            assert!(is_there(orphan));
            reaper.group().terminate();
            reaper.reap().await.unwrap();
            until("it ended with the group", || {
                sweep_strays();
                Stat::of(orphan).is_none()
            })
            .await;
        });
    }

    #[test]
    fn sweeping_takes_no_end_away_from_who_awaits_it() {
        let _alone = alone();
        adopt_orphans();
        run(async {
            for _ in 0..20 {
                let (_, _stdout, _stderr, mut reaper) = script("exit 7", Work::Copy).unwrap().split();
                let pid = reaper.registered.pid.as_raw();
                until("it has ended", || Stat::of(pid).unwrap().state == b'Z').await;
                sweep_strays();
                assert_eq!(reaper.reap().await.unwrap().code(), Some(7));
            }
            // Who is not awaited any more is reaped all the same.
            let child = script("sleep 1000", Work::Copy).unwrap();
            let pid = child.reaper.registered.pid.as_raw();
            drop(child);
            until("tokio reaps it", || {
                sweep_strays();
                Stat::of(pid).is_none()
            })
            .await;
        });
    }

    #[test]
    fn strangers_are_known_by_their_mark_alone() {
        let _alone = alone();
        // A run that is long over left three processes; a fourth belongs to somebody else.
        let gone = RunMark { pid: 1, started: u64::MAX };
        assert!(!gone.is_alive() && RunMark::ours().is_alive());
        assert_eq!(RunMark::parse(&gone.to_string()), Some(gone));
        let marked = |mark: RunMark, text: &str| {
            let mut command = std::process::Command::new("setsid");
            command.args(["sh", "-c", text]).env(MARK_VARIABLE, mark.to_string()).spawn().unwrap()
        };
        let mut ours = [marked(gone, "sleep 1000"), marked(gone, "sleep 1000 & wait"), marked(gone, "exec sleep 1000")];
        let mut other = marked(RunMark { pid: 1, started: 5 }, "exec sleep 1000");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(end_strangers(RunMark::ours()), 0, "who lives is left alone");
        assert!(end_strangers(gone) >= 3);
        for child in &mut ours {
            assert!(!child.wait().unwrap().success());
        }
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        // Who is killed is still there for a moment.
        let end = Instant::now() + Duration::from_secs(5);
        while end_strangers(gone) > 0 {
            assert!(Instant::now() < end, "somebody does not die");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn who_cannot_start_says_whose_fault_it_is() {
        let _alone = alone();
        run(async {
            for name in ["/no/such/program", "/dev/null", "/etc"] {
                let error = program(name, &[], Work::Copy).map(drop).unwrap_err();
                assert!(!error.is_resource(), "{name}: {error}");
            }
        });
        for errno in [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE] {
            assert!(StartError::new(errno.into()).is_resource());
        }
    }

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name_is() {
        let line = b"42 (a b) Z 7 (x)) S 1 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 999 1 2 3\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.group, stat.started), (b'S', 1, 42, 999));
        assert!(Stat::parse(b"42 (a").is_none() && Stat::parse(b"").is_none());
        let ours = Stat::of(RunMark::ours().pid).unwrap();
        assert!(ours.started > 0 && ours.state != b'Z');
    }

    #[test]
    fn stderr_at_full_speed_holds_nobody_up() {
        let _alone = alone();
        // F09: the flood is read and dropped; the executor is asked every ten milliseconds whether it still comes round.
        run(async {
            let child = script("yes 'a line that says nothing at all' >&2", Work::Copy).unwrap();
            let (_, _stdout, stderr, mut reaper) = child.split();
            let mut words = super::super::last_words::LastWords::new();
            let hearing = super::super::last_words::hear(stderr, pure::rules::pool::SlotIndex(0), &mut words);
            let asking = async {
                let mut late_us = 0;
                for _ in 0..200 {
                    late_us = late_us.max(crate::clock::late_us_after(10).await);
                }
                late_us / 1_000
            };
            let killing = async {
                let late_ms = asking.await;
                reaper.group().kill();
                reaper.reap().await.unwrap();
                late_ms
            };
            let ((), late_ms) = tokio::join!(hearing, killing);
            assert!(late_ms < 100, "{late_ms} ms");
            assert_eq!(words.lines().last().map(String::as_str), Some("a line that says nothing at all"));
        });
    }
}

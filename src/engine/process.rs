//! The only file that starts and ends child processes.
//!
//! A child gets its own process group, dies with the daemon, inherits no privilege and no core dump, and is started
//! from an argument list, never through a shell. What runs is decided in `pure::model::recipe`, whether and when in
//! `pure::rules::pool`.
#![expect(unsafe_code, reason = "pre_exec runs between fork and exec; see child_setup")]
#![expect(clippy::disallowed_methods, reason = "the one place that starts processes")]

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, getppid};
use pure::limits::PIPE_BYTES;
use pure::rules::gate::SpawnPermit;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::net::unix::pipe;
use tokio::process::{ChildStderr, Command};

/// A running child.
pub(super) struct Child {
    inner: tokio::process::Child,
    stdout: pipe::Receiver,
    stderr: ChildStderr,
    group: Group,
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

/// Starts `program` and spends the permit on it.
///
/// # Errors
/// What the kernel said: the program is missing, or memory, processes or descriptors are short.
pub(super) fn start(permit: SpawnPermit, program: &Path, arguments: &[String]) -> io::Result<Child> {
    drop(permit);
    let daemon = nix::unistd::getpid();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // SAFETY: child_setup makes only system calls that are safe between fork and exec, and allocates nothing.
    unsafe {
        command.pre_exec(move || child_setup(daemon));
    }
    let mut inner = command.spawn()?;
    let id = inner.id().and_then(|id| i32::try_from(id).ok()).ok_or(io::ErrorKind::NotFound)?;
    let stdout = inner.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.into_owned_fd()?;
    let stderr = inner.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    // A smaller pipe only means more wake-ups: users without privilege share a budget of pipe pages.
    nix::fcntl::fcntl(
        stdout.as_fd(),
        nix::fcntl::FcntlArg::F_SETPIPE_SZ(i32::try_from(PIPE_BYTES).unwrap_or(i32::MAX)),
    )
    .unwrap_or_default();
    Ok(Child { inner, stdout: pipe::Receiver::from_owned_fd(stdout)?, stderr, group: Group(Pid::from_raw(id)) })
}

/// Runs in the child between fork and exec.
fn child_setup(daemon: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The daemon may have died before the line above.
    if getppid() != daemon {
        return Err(io::ErrorKind::NotFound.into());
    }
    prctl::set_no_new_privs()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

impl Child {
    /// Its process group.
    pub(super) fn group(&self) -> Group {
        self.group
    }

    /// What it makes, what it says, and its end, to be awaited side by side.
    pub(super) fn split(self) -> (pipe::Receiver, ChildStderr, Reaper) {
        (self.stdout, self.stderr, Reaper { inner: self.inner, group: self.group })
    }
}

/// Awaits a child's end.
pub(super) struct Reaper {
    inner: tokio::process::Child,
    group: Group,
}

impl Reaper {
    /// Waits until it has ended and is reaped, and ends what is left of its group.
    pub(super) async fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.inner.wait().await;
        // Grandchildren may hold the pipe, the encoder or the source; the group's id stays theirs while any lives.
        self.group.kill();
        status
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

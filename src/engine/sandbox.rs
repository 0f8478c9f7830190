//! What a child may still do once it runs, whatever the streams in it make of it: a filter of system calls (seccomp), a list
//! of files and ports (Landlock), and no capability.
//!
//! All of it is prepared before the fork; between fork and exec only system calls are made. A kernel that lacks one of them
//! is done without, and [`Proof`] tells of it, which is found out at start by a child that tries.
//!
//! Not here: another user for children. That takes the right to become any user, and a daemon that has it is worth more
//! to whoever takes it over than what is closed here: its files, its memory and its sockets are out of a child's reach
//! without it.
#![expect(unsafe_code, reason = "the system calls of seccomp and Landlock; nix and std have neither")]

use nix::libc::{self, c_int, c_long, sock_filter, sock_fprog};
use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Whom a child may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// Nobody: it is fed, or makes its picture by itself.
    None,
    /// Over TCP, this port alone: a proxy of ours.
    Port(u16),
    /// Whom its arguments name.
    Any,
}

/// What a child works with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs<'a> {
    /// The program that it becomes.
    pub(super) program: Option<&'a Path>,
    pub(super) network: Network,
    /// Whether it may use the devices that encode.
    pub(super) devices: bool,
}

/// What a child is put into.
#[derive(Debug)]
pub(super) struct Sandbox {
    filter: Vec<sock_filter>,
    rules: Option<OwnedFd>,
}

/// Whether what is forbidden was refused to a child that tried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// A socket, and what else only the filter of system calls refuses.
    pub calls: bool,
    /// Files of ours.
    pub files: bool,
}

/// Files and directories beyond the usual ones, and where caches are.
static FURTHER: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Lets children use these files and directories as well; to be said once, before any is started.
pub fn allow(mut further: Vec<PathBuf>) {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    if let Some(cache) = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))) {
        // What is not there cannot be allowed, and FFmpeg cannot make it then.
        let fonts = cache.join("fontconfig");
        if cache.is_dir() {
            fs::create_dir(&fonts).unwrap_or_default();
        }
        further.extend([fonts, cache.join("mesa_shader_cache"), cache.join("mesa_shader_cache_db")]);
    }
    FURTHER.set(further).unwrap_or_default();
}

impl Sandbox {
    pub(super) fn new(needs: &Needs<'_>) -> Self {
        Self { filter: filter(needs.network), rules: rules(needs) }
    }

    /// Puts this process into it, for good. To be called between fork and exec, last of all: it makes system calls only.
    pub(super) fn enter(&self) {
        drop_capabilities();
        if let Some(rules) = &self.rules {
            // SAFETY: a system call with two numbers.
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) };
        }
        let program =
            sock_fprog { len: u16::try_from(self.filter.len()).unwrap_or(0), filter: self.filter.as_ptr().cast_mut() };
        // SAFETY: the kernel copies the filter, which is alive, and writes nothing.
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    }
}

/// The right to open low ports above all, which is ours alone. As root, all others with it.
fn drop_capabilities() {
    /// Source: `linux/capability.h`.
    const VERSION_3: u32 = 0x2008_0522;
    let (header, none) = ([VERSION_3, 0], [0_u32; 6]);
    // SAFETY: numbers only.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    // SAFETY: the kernel reads both, which are as long as this version has it, and writes nothing of a known version.
    unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
}

// ---- System calls ---------------------------------------------------------------------------------------------------

/// What no decoder needs and what attacks on kernels begin with.
const REFUSED: [c_long; 44] = [
    // Into others.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Other namespaces, roots and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Large parts of the kernel that are attacked often.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_fanotify_init,
    // The whole system.
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Source: `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
#[cfg(target_arch = "arm")]
const ARCHITECTURE: u32 = 0x4000_0028;

/// All kinds of namespace, as `clone` takes them.
const NAMESPACES: c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// A program of the kernel's, over one `seccomp_data`; nothing of it loops.
fn filter(network: Network) -> Vec<sock_filter> {
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    // Source: `linux/seccomp.h`. Of an argument the lower half counts, which comes first on all that we build for.
    let argument = u32::try_from(offset_of!(libc::seccomp_data, args)).unwrap_or(0);
    let mut to = vec![
        load(u32::try_from(offset_of!(libc::seccomp_data, arch)).unwrap_or(0)),
        jump(is, ARCHITECTURE, 1, 0),
        answer(refused(libc::EPERM)),
        load(u32::try_from(offset_of!(libc::seccomp_data, nr)).unwrap_or(0)),
    ];
    // The same calls once more, by other numbers.
    #[cfg(target_arch = "x86_64")]
    to.extend([jump(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0x4000_0000, 0, 1), answer(refused(libc::EPERM))]);
    for call in REFUSED {
        to.extend([jump(is, number(call), 0, 1), answer(refused(libc::EPERM))]);
    }
    // Its arguments lie in memory, where they could change; the C library then takes the older one.
    to.extend([jump(is, number(libc::SYS_clone3), 0, 1), answer(refused(libc::ENOSYS))]);
    to.extend([
        jump(is, number(libc::SYS_clone), 0, 4),
        load(argument),
        jump(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, NAMESPACES.unsigned_abs(), 0, 1),
        answer(refused(libc::EPERM)),
        answer(libc::SECCOMP_RET_ALLOW),
    ]);
    if network == Network::None {
        to.extend([jump(is, number(libc::SYS_socket), 0, 1), answer(refused(libc::EACCES))]);
    } else {
        to.extend([
            jump(is, number(libc::SYS_socket), 0, 4),
            load(argument),
            jump(is, libc::AF_INET.unsigned_abs(), 2, 0),
            jump(is, libc::AF_INET6.unsigned_abs(), 1, 0),
            answer(refused(libc::EACCES)),
        ]);
    }
    to.push(answer(libc::SECCOMP_RET_ALLOW));
    to
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn refused(error: c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | error.unsigned_abs()
}

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or(0), jt, jf, k }
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    statement(code, k, jt, jf)
}

fn answer(k: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, k, 0, 0)
}

// ---- Files ----------------------------------------------------------------------------------------------------------

/// Rights of Landlock, each with all before it. Source: `linux/landlock.h`.
mod right {
    pub(super) const EXECUTE: u64 = 1;
    pub(super) const WRITE_FILE: u64 = 1 << 1;
    pub(super) const READ_FILE: u64 = 1 << 2;
    pub(super) const READ_DIR: u64 = 1 << 3;
    pub(super) const TRUNCATE: u64 = 1 << 14;
    pub(super) const IOCTL_DEV: u64 = 1 << 15;
    pub(super) const CONNECT_TCP: u64 = 1 << 1;
    /// Those that files have, too; the others are for directories.
    pub(super) const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
    pub(super) const READ: u64 = READ_FILE | READ_DIR;
}

#[repr(C)]
#[derive(Default)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

#[repr(C)]
struct NetPortAttr {
    allowed_access: u64,
    port: u64,
}

const RULE_PATH_BENEATH: c_int = 1;
const RULE_NET_PORT: c_int = 2;
const CREATE_RULESET_VERSION: u32 = 1;

/// Programs and libraries.
const PROGRAMS: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store"];

/// What libraries look at; of `/etc` only this, for other services keep secrets there.
const LOOKED_AT: [&str; 23] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/fonts",
    "/etc/ssl",
    "/etc/pki",
    "/etc/gnutls",
    "/etc/crypto-policies",
    "/etc/ca-certificates",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/localtime",
    "/etc/OpenCL",
    "/etc/vulkan",
    "/etc/glvnd",
    "/var/cache/fontconfig",
    "/sys",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/devices",
    "/proc/driver",
];

const ALWAYS_THERE: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Names below `/dev` of what encodes, and of what comes behind a number; the unit names the same.
const ENCODERS: [&str; 8] = ["dri", "video", "media", "nvidia", "mpp_service", "rga", "dma_heap", "mali"];

/// The list, as the kernel holds it; `None` where it has no Landlock.
fn rules(needs: &Needs<'_>) -> Option<OwnedFd> {
    let version = version();
    // Each version knows a few rights more; the first had thirteen.
    let handled_fs: u64 = match version {
        ..=0 => return None,
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    };
    let handled = RulesetAttr {
        handled_access_fs: handled_fs,
        // To listen, too.
        handled_access_net: if version >= 4 && needs.network != Network::Any { 0b11 } else { 0 },
        // Abstract sockets, and signals to anybody outside.
        scoped: if version >= 6 { 0b11 } else { 0 },
    };
    // SAFETY: the kernel reads that many bytes of it, of which it knows the first ones; the others are zero then.
    let made =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size_of::<RulesetAttr>(), 0) };
    let raw = c_int::try_from(made).ok().filter(|raw| *raw >= 0)?;
    // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
    let rules = unsafe { OwnedFd::from_raw_fd(raw) };
    let permit = |path: &Path, rights: u64| permit(&rules, path, rights & handled_fs);

    for path in PROGRAMS {
        permit(Path::new(path), right::READ | right::EXECUTE);
    }
    for path in LOOKED_AT {
        permit(Path::new(path), right::READ);
    }
    for path in ALWAYS_THERE {
        permit(Path::new(path), right::READ_FILE | right::WRITE_FILE);
    }
    if needs.devices {
        permit_devices(&permit);
    }
    if let Some(program) = needs.program {
        permit(program, right::READ_FILE | right::EXECUTE);
    }
    // What our environment names, and children have.
    for variable in ["LD_LIBRARY_PATH", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        for path in std::env::split_paths(&std::env::var_os(variable).unwrap_or_default()) {
            permit(&path, right::READ | right::EXECUTE);
        }
    }
    for path in FURTHER.get().into_iter().flatten() {
        permit(path, u64::MAX);
    }
    if let Network::Port(port) = needs.network {
        let attr = NetPortAttr { allowed_access: right::CONNECT_TCP, port: u64::from(port) };
        // SAFETY: the kernel reads the attributes, which are of the kind that is named.
        unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), RULE_NET_PORT, &raw const attr, 0);
        }
    }
    Some(rules)
}

fn version() -> c_long {
    let nothing = std::ptr::null::<RulesetAttr>();
    // SAFETY: with this flag the kernel looks at no memory.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, CREATE_RULESET_VERSION) }
}

fn permit_devices(permit: &impl Fn(&Path, u64)) {
    const RIGHTS: u64 = right::READ_FILE | right::WRITE_FILE | right::READ_DIR | right::IOCTL_DEV;
    let dev = Path::new("/dev");
    // FFmpeg finds the codecs of the kernel by their names there.
    permit(dev, right::READ_DIR);
    for entry in fs::read_dir(dev).into_iter().flatten().flatten() {
        if ENCODERS.iter().any(|start| entry.file_name().as_bytes().starts_with(start.as_bytes())) {
            permit(&entry.path(), RIGHTS);
        }
    }
}

/// Whatever is not there needs no permission.
fn permit(rules: &OwnedFd, path: &Path, rights: u64) {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return };
    // SAFETY: the name ends with a zero byte and is alive.
    let raw = unsafe { libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    if raw < 0 {
        return;
    }
    // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
    let place = unsafe { OwnedFd::from_raw_fd(raw) };
    let rights = if path.is_dir() { rights } else { rights & right::OF_FILES };
    let attr = PathBeneathAttr { allowed_access: rights, parent_fd: place.as_raw_fd() };
    // SAFETY: the kernel reads the attributes, which are of the kind that is named.
    unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), RULE_PATH_BENEATH, &raw const attr, 0);
    }
}

// ---- Proof ----------------------------------------------------------------------------------------------------------

const CALLS: i32 = 1;
const FILES: i32 = 2;
/// Above all errors that there are: what a child tells is no error of its start.
const TOLD: i32 = 1_000;

/// Tries what is forbidden, in a child that is in its sandbox and becomes no program, and tells by an error. It makes
/// system calls only. `ours` is a directory that no child may read.
pub(super) fn try_escape(ours: &CString) -> io::Error {
    let mut escaped = 0;
    // SAFETY: numbers only.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: likewise.
    let unshared = unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWUSER) };
    // SAFETY: likewise; where it is allowed it asks the daemon's tracing, which nobody answers.
    let traced = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    if socket >= 0 || unshared == 0 || traced == 0 {
        escaped |= CALLS;
    }
    // SAFETY: the name ends with a zero byte and is alive.
    let opened = unsafe { libc::open(ours.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    if opened >= 0 {
        escaped |= FILES;
    }
    io::Error::from_raw_os_error(TOLD + escaped)
}

impl Proof {
    /// Of what [`try_escape`] told; `None` where it did not come so far.
    pub(super) fn of(told: &io::Error) -> Option<Self> {
        let escaped = told.raw_os_error()?.checked_sub(TOLD).filter(|escaped| (0..=3).contains(escaped))?;
        Some(Self { calls: escaped & CALLS == 0, files: escaped & FILES == 0 })
    }
}

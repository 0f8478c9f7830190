//! Starts a daemon, asks it, and leaves nothing behind.
pub(crate) mod fakeff;
pub(crate) mod hdhr;
pub(crate) mod http;
pub(crate) mod media;
pub(crate) mod relay;
pub(crate) mod rtsp;
pub(crate) mod source;

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The daemon under test.
pub(crate) const TUNERD: &str = env!("CARGO_BIN_EXE_tunerd");
/// How long a machine that is busy with other tests may take for what takes a moment. What must be quick says how quick.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A directory of this test's own; gone when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("it-{}-{}", std::process::id(), unique()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// One that is on no disk, for what is written very often.
    pub(crate) fn in_memory() -> Self {
        let path = Path::new("/dev/shm").join(format!("tunerd-it-{}-{}", std::process::id(), unique()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test may have taken its own rights away.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A loopback address that no other test uses.
pub(crate) fn address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    // There are more tests than numbers in one byte, and some of them last.
    let high = (u32::from(high) + 61 * (next / 250)) % 250;
    let byte = |number| u8::try_from(1 + number).unwrap();
    Ipv4Addr::new(127, byte(high), low, byte(next % 250))
}

/// Waits until `holds`, or fails the test with `what` after `limit`.
pub(crate) fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How a daemon is to be started. A clone starts another one in the same folder, once the first has ended.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) folder: Arc<Folder>,
    pub(crate) address: Ipv4Addr,
    /// Lines of the settings, by table; the empty name is the top.
    tables: Vec<(&'static str, String)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// A program that becomes the daemon, and its arguments.
    wrapper: Vec<String>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let (folder, address) = (Arc::new(Folder::new()), address());
        let state = folder.path().join("state");
        let mut setup = Self {
            folder,
            address,
            tables: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        };
        setup.set("", &format!("state_dir = {:?}", state.to_str().unwrap()));
        setup.set("network", &format!("address = \"{address}\""));
        // Ordinary users cannot open port 80.
        setup.set("network", "page_port = 8080");
        // Sources of tests are on this box.
        setup.set("lineup", "this_box = true");
        // These speak to a whole network; who wants them has one of its own.
        setup.set("network", "ssdp = false");
        setup.set("network", "mdns = false");
        // It would start FFmpeg where a test counts how often it was started.
        setup.set("transcode", "enabled = false");
        setup.set("health", "slates = false");
        setup.set("health", "glance = false");
        // Who tests the owner's password asks for one.
        setup.set("access", "open = true");
        setup
    }

    /// Adds a line to a table of the settings, in place of the one that has its key.
    pub(crate) fn set(&mut self, table: &'static str, line: &str) -> &mut Self {
        let key = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
        if !self.tables.iter().any(|(name, _)| *name == table) {
            self.tables.push((table, String::new()));
        }
        let (_, lines) = self.tables.iter_mut().find(|(name, _)| *name == table).unwrap();
        *lines = lines.lines().filter(|old| key(old) != key(line)).fold(String::new(), |all, old| all + old + "\n");
        writeln!(lines, "{line}").unwrap();
        self
    }

    /// No port for the page: the usual one, and the one in its place.
    pub(crate) fn default_page_port(&mut self) -> &mut Self {
        for (_, lines) in &mut self.tables {
            *lines = lines.replace("page_port = 8080\n", "");
        }
        self
    }

    pub(crate) fn playlist(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        let path = self.folder.write("channels.m3u", text);
        self.set("lineup", &format!("playlist = {:?}", path.to_str().unwrap()))
    }

    /// Puts a shell script in FFmpeg's place.
    pub(crate) fn fake_ffmpeg(&mut self, script: &str) -> &mut Self {
        let path = self.folder.write("fake-ffmpeg", format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // What it reads and writes lies there; a real one would not be let.
        let folder = format!("paths = [{:?}]", self.folder.path().to_str().unwrap());
        self.set("ffmpeg", &format!("path = {:?}", path.to_str().unwrap())).set("ffmpeg", &folder)
    }

    pub(crate) fn argument(&mut self, argument: &str) -> &mut Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub(crate) fn environment(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has the daemon started by another program, which must become it: its process stays the same.
    pub(crate) fn wrapper(&mut self, program: &[&str]) -> &mut Self {
        self.wrapper = program.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Writes the settings file.
    pub(crate) fn write_settings(&self) -> PathBuf {
        let text = self.tables.iter().fold(String::new(), |all, (name, lines)| {
            if name.is_empty() { format!("{lines}{all}") } else { format!("{all}[{name}]\n{lines}") }
        });
        self.folder.write("tunerd.toml", text)
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(self) -> Daemon {
        let daemon = self.launch();
        wait_until("the daemon says it is ready", Duration::from_secs(10), || {
            assert!(!daemon.has_ended(), "the daemon ended at once:\n{}", daemon.log());
            daemon.log().contains(" is ready as device ")
        });
        daemon
    }

    /// Starts the daemon and does not wait.
    pub(crate) fn launch(self) -> Daemon {
        let settings = self.write_settings();
        // A file, because what the daemon has said before it answers must be there when the answer is.
        let log = self.folder.path().join(format!("log-{}", unique()));
        let mut line = self.wrapper.iter().map(String::as_str).chain([TUNERD]);
        let child = Command::new(line.next().unwrap())
            .args(line)
            .arg("--config")
            .arg(settings)
            .args(&self.arguments)
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Daemon { child: Mutex::new(child), log, setup: self }
    }
}

/// A running daemon; killed when it is dropped, and its children with it.
pub(crate) struct Daemon {
    child: Mutex<Child>,
    log: PathBuf,
    pub(crate) setup: Setup,
}

impl Daemon {
    pub(crate) fn demo() -> Self {
        let daemon = Setup::new().start();
        daemon.wait_for_lineup();
        daemon
    }

    /// It is ready before its channels are.
    pub(crate) fn wait_for_lineup(&self) {
        wait_until("there are channels", SOON, || self.get("/lineup.json").status == 200);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.setup.address
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Whether it has logged a text. Long lines are cut there, and paths may be long.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.log().contains(&text.chars().take(200).collect::<String>())
    }

    pub(crate) fn wait_for_log(&self, part: &str) {
        wait_until(&format!("the log says {part:?}"), SOON, || {
            let said = self.log().contains(part);
            assert!(said || !self.has_ended(), "it ended without saying {part:?}:\n{}", self.log());
            said
        });
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for its end.
    pub(crate) fn ended(&self, limit: Duration) -> ExitStatus {
        wait_until("the daemon ends", limit, || self.has_ended());
        self.child.lock().unwrap().wait().unwrap()
    }

    /// Its living children.
    pub(crate) fn children(&self) -> Vec<u32> {
        children_of(self.pid())
    }

    /// Asks the page's port.
    /// Asks the API: `request` is a method and a target, and POST where no method stands; nothing is sent for null.
    pub(crate) fn call(&self, request: &str, body: &serde_json::Value) -> http::Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(request, "application/json", body.as_bytes())
    }

    /// The same with a body of any kind.
    pub(crate) fn send(&self, request: &str, content_type: &str, body: &[u8]) -> http::Answer {
        let (method, target) = request.split_once(' ').unwrap_or(("POST", request));
        let (address, len) = (self.address(), body.len());
        let mut bytes = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: {len}\r\n\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        http::send(address, 8080, &bytes)
    }

    pub(crate) fn get(&self, target: &str) -> http::Answer {
        http::get(self.address(), 8080, target)
    }

    /// Numbers and names of all channels, in order.
    pub(crate) fn channels(&self) -> Vec<(String, String)> {
        let lineup: serde_json::Value = serde_json::from_slice(&self.get("/lineup.json").body).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let channels = lineup.as_array().unwrap().iter();
        channels.map(|channel| (text(&channel["GuideNumber"]), text(&channel["GuideName"]))).collect()
    }

    /// What the page says about a topic that has a problem.
    pub(crate) fn problem(&self, topic: &str) -> Option<String> {
        let status = self.status();
        let found = status["problems"].as_array().unwrap().iter().find(|problem| problem["topic"] == topic);
        found.map(|problem| problem["text"].as_str().unwrap().to_owned())
    }

    pub(crate) fn is_scanning(&self) -> bool {
        let status: serde_json::Value = serde_json::from_slice(&self.get("/lineup_status.json").body).unwrap();
        status["ScanInProgress"] == 1
    }

    /// Has the playlist fetched again, as clients do it, and waits for the end.
    pub(crate) fn scan(&self) {
        self.begin_scan();
        wait_until("the scan ends", Duration::from_secs(30), || !self.is_scanning());
    }

    pub(crate) fn begin_scan(&self) {
        let address = self.address();
        let request = "POST /lineup.post?scan=start HTTP/1.1";
        let head = format!("{request}\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let mut answer = http::ask(address, 8080, &head);
        while answer.status == 503 {
            // Asked too often, as no client does it.
            let wait_s = answer.header("retry-after").expect("a refusal says when to come back").parse().unwrap();
            std::thread::sleep(Duration::from_secs(wait_s));
            answer = http::ask(address, 8080, &head);
        }
        assert_eq!(answer.status, 200);
    }

    /// Has the settings read again, as they are in `setup` now.
    pub(crate) fn hang_up(&self) {
        self.setup.write_settings();
        self.signal(Signal::SIGHUP);
    }

    /// Open file descriptors.
    pub(crate) fn fds(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The page's JSON of everything.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.get("/api/v1/status").body).unwrap()
    }

    /// The state of each tuner, as the page shows it.
    pub(crate) fn tuner_states(&self) -> Vec<String> {
        let status = self.status();
        let tuners = status["tuners"].as_array().unwrap();
        tuners.iter().map(|tuner| tuner["state"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn wait_until_idle(&self) {
        wait_until("all tuners are free and no child is left", Duration::from_secs(20), || {
            self.tuner_states().iter().all(|state| state == "free") && self.children().is_empty()
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        // It may have ended before.
        let _ = child.kill();
        child.wait().unwrap();
        if std::thread::panicking() {
            eprintln!("---- the daemon's log ----\n{}", self.log());
        }
    }
}

/// The living, unreaped children of a process.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may end while we look.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name stands in parentheses and may hold anything; state and parent follow it.
        let mut fields = stat.rsplit(')').next().unwrap().split_whitespace();
        if fields.nth(1).and_then(|field| field.parse().ok()) == Some(parent) {
            children.push(pid);
        }
    }
    children
}

/// Sends a signal to a process, which must be there.
pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Runs a program to its end, with a limit.
pub(crate) fn run(program: &str, arguments: &[&str]) -> (ExitStatus, String) {
    let output = Command::new("timeout").arg("60").arg(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; ./tools/test installs what is missing"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status, text)
}

/// Runs a test once more in namespaces of its own, and says whether this is that run. `flags` are `unshare`'s.
///
/// Root makes them directly, everybody else with a user namespace around them.
pub(crate) fn inside(flags: &[&str], test: &str) -> bool {
    const INSIDE: &str = "TUNERD_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some_and(|name| name == test) {
        return true;
    }
    let mut command = Command::new("timeout");
    command.args(["120", "unshare"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command.args(flags).arg("--").arg(std::env::current_exe().unwrap());
    let output = output.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, test).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
    false
}

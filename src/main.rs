//! Puts the rooms together: settings, store, observe, engine, subscriptions, doors; and stops them in reverse.

use nix::sys::signal::Signal;
use pure::limits::{DRAIN_MS, PROVE_MS_MAX, SCANS_BURST, SCANS_PERIOD_MS};
use pure::model::encoder::Candidates;
use pure::rules::bucket::Bucket;
use pure::rules::control::Policy;
use pure::rules::escalation::Decision;
use pure::rules::replies::Replies;
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tunerd::board::vitals::Vitals;
use tunerd::doors::clients::Seen;
use tunerd::doors::{control, discovery, http, interfaces, mdns, ssdp};
use tunerd::engine::sandbox::Proof;
use tunerd::fetch::Fetcher;
use tunerd::guardian::{self, Guardian};
use tunerd::observe::black_box::BlackBox;
use tunerd::observe::history::History;
use tunerd::observe::logs::{self, Logs};
use tunerd::observe::metrics::Metrics;
use tunerd::observe::problems::{Problems, Topic};
use tunerd::settings::{self, CommandLine, Request, Settings};
use tunerd::setup::{self, Outcome};
use tunerd::{access, board, capacity, clock, doctor, engine, ladder, notices, store, subscriptions, update};

/// The settings or the command line cannot be used (`EX_USAGE` of `sysexits.h`).
const EXIT_USAGE: u8 = 64;
/// What was written on the card cannot be taken over (`EX_DATAERR`).
const EXIT_DATA: u8 = 65;
/// No port could be opened at all (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;
/// Something that must not happen (`EX_SOFTWARE`).
const EXIT_SOFTWARE: u8 = 70;
/// `--escalate`: not a fresh start of the board, but safe mode (`EX_TEMPFAIL`).
const EXIT_SAFE_MODE: u8 = 75;

/// What people read who wonder why nothing plays.
const SAFE_MODE: &str = "Safe mode: tunerd failed again and again, so nothing plays until somebody looks. The log below \
                         may say why. To try again, switch the box off and on, or run: systemctl restart tunerd";
/// The same when it is plain why.
const SAFE_MODE_SETTINGS: &str = "Safe mode: the settings cannot be used, so nothing plays until they are repaired. Then \
                                  run: systemctl restart tunerd";
/// The same for `systemctl status`.
const SAFE_MODE_STATUS: &str = "Safe mode: page and logs are there, and nothing plays.";

fn main() -> ExitCode {
    clock::mono();
    let request = settings::command_line(std::env::args_os().skip(1));
    let typed = match request {
        Ok(Request::Run(typed)) => typed,
        Ok(Request::Doctor(address)) => return examine(address.as_deref()),
        Ok(Request::Help) => return say(settings::HELP),
        Ok(Request::Ctl(words)) => return tunerd::ctl::run(words),
        Ok(Request::Version) => return say(concat!("tunerd ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => return refuse(&error),
    };
    match settings::load(&typed) {
        Ok(settings) if typed.check => check(&settings),
        Ok(settings) if typed.escalate => escalate(&settings),
        Ok(settings) if typed.forget_password => forget_password(&settings),
        Ok(settings) if typed.factory_reset => factory_reset(&settings.state_dir),
        Ok(settings) if typed.prove => prove(&typed, &settings),
        Ok(settings) if typed.setup.is_some() => set_up(&typed, &settings),
        Ok(settings) => start(&typed, &settings, None),
        // Without settings there is no telling where reboots would be counted.
        Err(error) if typed.escalate => {
            complain(&format!("safe mode, because: {error}"));
            ExitCode::from(EXIT_SAFE_MODE)
        }
        Err(error) if typed.safe_mode => start(&typed, &settings::fallback(&typed), Some(&error)),
        Err(error) => refuse(&error),
    }
}

/// `tunerd doctor`: examines a box from here.
fn examine(address: Option<&str>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let examined = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(doctor::outside::examine(address, |text| {
            say(text);
        }))
    });
    match examined {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            complain(&why);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn refuse(error: &settings::SettingsError) -> ExitCode {
    complain(&error.to_string());
    ExitCode::from(EXIT_USAGE)
}

/// `--escalate`: see [`ladder`].
fn escalate(settings: &Settings) -> ExitCode {
    logs::init(settings.log_level);
    let may_reboot = settings.reboot.unwrap_or_else(|| board::detect().is_known());
    let last_end = ladder::LastEnd::of_environment();
    match ladder::escalate(&settings.state_dir, may_reboot, &last_end, EXIT_USAGE) {
        Decision::Reboot => {
            tracing::error!(?last_end, "tunerd failed again and again; a fresh start of the board may help");
            ExitCode::SUCCESS
        }
        Decision::SafeMode(because) => {
            tracing::error!(?last_end, "tunerd failed again and again; safe mode, because {}", because.words());
            ExitCode::from(EXIT_SAFE_MODE)
        }
    }
}

/// What the image's initial ramdisk leaves where it had to begin anew with the data partition; see `board/image/initrd`.
const DATA_RESET: &str = "/run/tunerd-data-reset";

fn data_reset() -> Option<String> {
    let words = "The card's data could not be read, so this box began anew, with nothing that was set up before.";
    std::fs::exists(DATA_RESET).unwrap_or(false).then(|| words.to_owned())
}

/// Prints what was asked for. A closed pipe is the reader's wish.
fn say(text: &str) -> ExitCode {
    use std::io::Write as _;
    std::io::stdout().write_all(text.as_bytes()).unwrap_or_default();
    ExitCode::SUCCESS
}

fn complain(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "tunerd: {text}").unwrap_or_default();
}

/// `--prove`: see [`doctor::prove`].
fn prove(typed: &CommandLine, settings: &Settings) -> ExitCode {
    let host = if settings.address.is_unspecified() { Ipv4Addr::LOCALHOST } else { settings.address };
    let ports = [Some(settings.page_port), settings.page_port_fallback];
    let mut places: Vec<(Ipv4Addr, u16)> = ports.into_iter().flatten().map(|port| (host, port)).collect();
    if let Some(base) = &typed.base {
        let Some(place) = doctor::prove::place(base) else {
            complain(&format!("{base:?} is no address of a page; write for example --base http://127.0.0.1:8080"));
            return ExitCode::from(EXIT_USAGE);
        };
        places = vec![place];
    }
    let expected =
        doctor::prove::Expected { discovery: settings.discovery, channels: update::had_channels(&settings.state_dir) };
    update::proving(&settings.state_dir);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let proved = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let within_ms = typed.within_s.map_or(PROVE_MS_MAX, |seconds| seconds.saturating_mul(1_000));
        runtime.block_on(doctor::prove::prove(&places, &expected, within_ms, |text| {
            say(text);
        }))
    });
    match proved {
        Ok(()) => {
            update::proved(&settings.state_dir, Ok(()));
            say("It answers, lists its channels and plays.\n")
        }
        Err(why) => {
            complain(&format!("this system does not prove itself: {why}"));
            update::proved(&settings.state_dir, Err(&why));
            ExitCode::FAILURE
        }
    }
}

/// `--forget-password`: whoever may write our state need not know it.
fn forget_password(settings: &Settings) -> ExitCode {
    match store::access::forget(&settings.state_dir) {
        Ok(()) => {
            say("Password and tokens are forgotten. Restart tunerd (systemctl restart tunerd), and open its page.\n")
        }
        Err(error) => {
            complain(&format!("the password was not forgotten: {error}"));
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

/// `--factory-reset`: likewise.
fn factory_reset(state_dir: &Path) -> ExitCode {
    match store::factory_reset(state_dir) {
        Ok(()) => say("All that tunerd kept is forgotten, but its device id. What is in its settings file stays.\n"),
        Err(error) => {
            complain(&format!("not everything was forgotten: {error}"));
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

/// `--setup`: see [`setup`].
fn set_up(typed: &CommandLine, settings: &Settings) -> ExitCode {
    logs::init(settings.log_level);
    let Some(file) = &typed.setup else { return ExitCode::from(EXIT_SOFTWARE) };
    let (state_dir, wifi) = (settings.state_dir.as_path(), typed.wifi.as_deref());
    match setup::run(&setup::Places { file, wifi, state_dir, name: &settings.name }) {
        Outcome::Nothing => ExitCode::SUCCESS,
        Outcome::Applied => say("What was written in the file is so now, and the file is empty again.\n"),
        Outcome::Problem(text) => {
            complain(&text);
            ExitCode::from(EXIT_DATA)
        }
    }
}

/// `--check`: what a start would find, without starting.
fn check(settings: &Settings) -> ExitCode {
    let mut sound = true;
    let mut line = |good: bool, text: String| {
        sound &= good;
        say(&format!("{} {text}\n", if good { "ok     " } else { "PROBLEM" }));
    };
    line(true, "the settings can be used".to_owned());
    match engine::process::find(&settings.ffmpeg) {
        Ok(path) => line(true, format!("FFmpeg is {}", path.display())),
        Err(missing) => line(false, missing.to_string()),
    }
    let folder = &settings.state_dir;
    let writable = nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK);
    match writable {
        Ok(()) if folder.is_dir() => line(true, format!("state can be kept in {}", folder.display())),
        Ok(()) => line(false, format!("{} is not a directory; name one with state_dir", folder.display())),
        Err(nix::Error::ENOENT) => line(true, format!("{} does not exist yet; the start creates it", folder.display())),
        Err(error) => line(false, format!("state cannot be kept in {}: {error}", folder.display())),
    }
    let board = board::detect();
    let encoders = settings.transcode.then(|| board.candidates(engine::encoders::has_device));
    let tuners = capacity_of(settings, &board, encoders.as_ref()).sentence();
    line(true, format!("board: {}, with {tuners}", board.name));
    if sound { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) }
}

fn start(typed: &CommandLine, settings: &Settings, wrong: Option<&settings::SettingsError>) -> ExitCode {
    if let Some(zone) = store::time_zone(&settings.state_dir) {
        clock::set_zone(&zone);
    }
    let logs = logs::init(settings.log_level);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // For the resolver: a name that takes its time must not hold up the others.
        .max_blocking_threads(4)
        .thread_stack_size(256 * 1024)
        .build_local(tokio::runtime::LocalOptions::default());
    match runtime {
        Ok(runtime) => runtime.block_on(run(typed, settings, wrong, logs)),
        Err(error) => {
            tracing::error!(%error, "no executor; is the box out of memory or file descriptors?");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

async fn run(
    typed: &CommandLine,
    settings: &Settings,
    wrong: Option<&settings::SettingsError>,
    logs: Logs,
) -> ExitCode {
    let (mut signals, child_ended) = match Signals::new().and_then(|signals| Ok((signals, pipe(Signal::SIGCHLD)?))) {
        Ok(heard) => heard,
        Err(error) => {
            tracing::error!(%error, "signals cannot be heard");
            return ExitCode::from(EXIT_SOFTWARE);
        }
    };
    let (metrics, problems) = (Rc::new(Metrics::default()), Problems::default());
    let runtime_dir = runtime_dir(settings);
    let black_box = BlackBox::open(Some(&runtime_dir));
    guardian::watch_panics(&metrics, &black_box);
    let board = board::detect();
    if typed.safe_mode {
        let why = if wrong.is_some() { SAFE_MODE_SETTINGS } else { SAFE_MODE };
        problems.set(Topic::SafeMode, why.to_owned());
    }
    if let Some(wrong) = wrong {
        problems.set(Topic::Settings, format!("The settings cannot be used, so these are the defaults. {wrong}"));
    }

    // Identity first, then the doors: clients find the box while channels are still being loaded.
    let store::Opened { handle: store, device_id, problem, thread: store_thread } =
        match store::open(&settings.state_dir) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, "no database, not even in memory");
                return ExitCode::from(EXIT_SOFTWARE);
            }
        };
    if let Some(problem) = problem.or_else(data_reset) {
        problems.set(Topic::Store, problem);
    }
    if let Some(text) = setup::problem(&settings.state_dir) {
        problems.set(Topic::Setup, text);
    }
    let guide = match store::guide::open(&settings.state_dir) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(%error, "no guide's thread; is the box out of memory?");
            return ExitCode::from(EXIT_SOFTWARE);
        }
    };
    confine(settings, &problems);
    let fetcher = Fetcher::new(settings.this_box);
    let encoders = settings.transcode.then(|| board.candidates(engine::encoders::has_device));
    let capacity = capacity_of(settings, &board, encoders.as_ref());
    let options = engine::Options {
        slots_len: capacity.slots_len(),
        ring_mib: settings.ring_mib.unwrap_or(board.ring_mib),
        ffmpeg: settings.ffmpeg.clone(),
        ffprobe: settings.ffprobe.clone(),
        probe: settings.probe,
        glance: settings.glance,
        early_headers: settings.early_headers,
        slates: settings.slates,
        encoders,
        vitals: board.sources(),
        runtime_dir: Some(runtime_dir.clone()),
        fetcher: fetcher.clone(),
        safe_mode: typed.safe_mode,
    };
    let (engine, supervisor) = engine::new(&options, Rc::clone(&metrics), problems.clone(), black_box.clone());
    let rooms = subscriptions::Rooms {
        store: store.clone(),
        guide: guide.handle,
        engine: engine.clone(),
        problems: problems.clone(),
        fetcher: fetcher.clone(),
        metrics: Rc::clone(&metrics),
    };
    let guides = subscriptions::guides::Handle::new(guide_options(settings));
    let subscriptions = subscriptions::Handle::new(rooms, settings.playlist.clone(), settings.groups.clone(), guides);
    let access = match access::open(store.clone(), settings.access_open).await {
        Ok(access) => access,
        Err(error) => {
            tracing::error!(%error, "no thread for passwords; is the box out of memory?");
            return ExitCode::from(EXIT_SOFTWARE);
        }
    };
    let rooms = notices::Rooms {
        store: store.clone(),
        engine: engine.clone(),
        subscriptions: subscriptions.clone(),
        problems: problems.clone(),
        fetcher: fetcher.clone(),
    };
    let notices = notices::Handle::new(rooms, settings.notices);
    let bundle_bytes_max = settings.bundle_mib_max as u64 * 1024 * 1024;
    let update = update::Handle::new(
        update::Options {
            upload_bytes_max: settings.hdhomerun_upload.then(|| u32::try_from(bundle_bytes_max).unwrap_or(u32::MAX)),
            bundle_bytes_max,
            keyring: settings.keyring.clone(),
            channel: settings.update_channel.clone(),
            state_dir: settings.state_dir.clone(),
            runtime_dir,
            device: device_id,
        },
        update::Rooms { engine: engine.clone(), fetcher, problems: problems.clone() },
    );
    let (links, watcher) = interfaces::watch();
    let app = Rc::new(http::App {
        settings_name: RefCell::new(settings.name.clone()),
        device_id,
        access,
        names: settings.access_names.clone(),
        security_contact: settings.security_contact.clone(),
        mdns_host: RefCell::new(mdns::NAME.to_owned()),
        board: board.name.clone(),
        capacity: capacity.clone(),
        page_port: Cell::new(None),
        stream_port: Cell::new(None),
        face_ports: RefCell::default(),
        device_changes: watch::Sender::new(()),
        has_v6: Cell::new(false),
        subnets: settings.subnets.clone(),
        interfaces: links,
        ffmpeg: settings.ffmpeg.clone(),
        engine: engine.clone(),
        doctor: doctor::Handle::new(
            settings.address,
            doctor::Off { discovery: !settings.discovery, ssdp: !settings.ssdp, mdns: !settings.mdns },
        ),
        subscriptions: subscriptions.clone(),
        notices: notices.clone(),
        update: update.clone(),
        logs: logs.clone(),
        metrics: Rc::clone(&metrics),
        problems: problems.clone(),
        history: History::default(),
        vitals: Vitals::new(&settings.state_dir, board.sources()),
        clients: Seen::default(),
        replies: RefCell::new(Replies::new()),
        documents: http::Documents::default(),
        scans: RefCell::new(Bucket::new(SCANS_PERIOD_MS, SCANS_BURST)),
    });
    app.check_ffmpeg();
    let Some(announced) = open_doors(settings, &app) else {
        tracing::error!("neither the page's nor the streams' port could be opened; giving up");
        return ExitCode::from(EXIT_UNAVAILABLE);
    };
    tokio::task::spawn_local(watcher.run());
    tokio::task::spawn_local(http::keep_history(Rc::clone(&app)));
    tokio::task::spawn_local(http::follow_wishes(Rc::clone(&app)));
    let guardian = Guardian {
        engine: engine.clone(),
        store: store.clone(),
        metrics: Rc::clone(&metrics),
        problems: problems.clone(),
        black_box: black_box.clone(),
        child_ended,
        instead: typed.safe_mode.then_some(SAFE_MODE_STATUS),
    };
    let loading = if typed.safe_mode {
        tokio::task::spawn_local(subscriptions::run_stored(subscriptions.clone(), wrong.is_none()))
    } else {
        tokio::task::spawn_local(subscriptions::run(subscriptions.clone()))
    };
    announce(&app, settings);
    let updating = tokio::task::spawn_local(update::run(
        update,
        {
            let subscriptions = subscriptions.clone();
            move || subscriptions.wishes()
        },
        {
            let notices = notices.clone();
            move |event, thing| notices.happened(event, thing)
        },
    ));
    let telling = tokio::task::spawn_local(notices::run(notices, {
        let (app, address) = (Rc::clone(&app), settings.address);
        move || notices::Identity {
            name: app.name(),
            address: app.base_url(IpAddr::V4(reached_at(address))).to_string(),
        }
    }));
    let trials = tokio::task::spawn_local({
        let engine = engine.clone();
        async move {
            let mut again = false;
            let tried = async || capacity.measure(&engine, std::mem::replace(&mut again, true)).await;
            engine.try_encoders(tried).await;
        }
    });

    let mut supervisor = tokio::task::spawn_local(supervisor);
    let mut guardian = tokio::task::spawn_local(guardian.watch());
    let signal = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::SIGHUP => reload(typed, settings, &app, &logs),
                signal => break signal,
            },
            ended = &mut supervisor => match ended {
                Ok(()) => return give_up(&black_box, "the guard found that only a fresh start can help"),
                // Its assertions found the pool in a state that must not be.
                Err(error) => guardian::abort(&black_box, &format!("the supervisor panicked: {error}")),
            },
            why = &mut guardian => match why {
                Ok(why) => return give_up(&black_box, &why),
                Err(error) => guardian::abort(&black_box, &format!("the guardian panicked: {error}")),
            },
        }
    };
    tracing::info!(signal = signal.as_str(), "stopping; once more Ctrl-C ends at once");
    guardian::tell_stopping();
    let draining = async {
        if tokio::time::timeout(Duration::from_millis(DRAIN_MS), engine.drain()).await.is_err() {
            tracing::warn!("not everything ended in time; the kernel ends the rest");
        }
    };
    tokio::join!(draining, announced.leave());
    trials.abort();
    updating.abort();
    telling.abort();
    loading.abort();
    guardian.abort();
    guardian.await.map(drop).unwrap_or_default();
    loading.await.unwrap_or_default();
    telling.await.unwrap_or_default();
    // Its thread writes what is left and ends.
    store.stop();
    if store_thread.join().is_err() {
        tracing::error!("the store ended badly");
    }
    // What it was doing is lost anyway; the end must not wait for a large guide.
    drop(guide.thread);
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// The doors through which the box is announced; they have to say farewell.
struct Announced {
    ssdp: Option<ssdp::Ssdp>,
    mdns: Option<mdns::Mdns>,
}

impl Announced {
    async fn leave(self) {
        let Self { ssdp, mdns } = self;
        let over_ssdp = async {
            if let Some(ssdp) = ssdp {
                ssdp.leave().await;
            }
        };
        let over_mdns = async {
            if let Some(mdns) = mdns {
                mdns.leave().await;
            }
        };
        tokio::join!(over_ssdp, over_mdns);
    }
}

/// Opens whatever ports can be had, and notes those that cannot. None when there is none for HTTP.
fn open_doors(settings: &Settings, app: &Rc<http::App>) -> Option<Announced> {
    http::pack_page();
    let connections = http::Connections::new(settings.connections_max, settings.connections_per_address_max);
    let open = |port: u16| http::listen(IpAddr::V4(settings.address), port);
    let serve = |listener: TcpListener| {
        let port = listener.local_addr().map(|address| address.port()).ok();
        tokio::task::spawn_local(http::serve(listener, Rc::clone(app), Rc::clone(&connections), None));
        port
    };
    match open(settings.stream_port) {
        Ok(listener) => app.stream_port.set(serve(listener)),
        Err(error) => app.problems.set(
            Topic::StreamPort,
            format!(
                "Port {} for the streams cannot be opened: {error}. Stop the program that holds it, another tuner \
                 perhaps, or choose another stream_port",
                settings.stream_port
            ),
        ),
    }
    match (open(settings.page_port), settings.page_port_fallback) {
        (Ok(listener), _) => app.page_port.set(serve(listener)),
        (Err(error), Some(fallback)) => match open(fallback) {
            Ok(listener) => {
                app.page_port.set(serve(listener));
                tracing::info!(
                    %error,
                    "port {} cannot be opened, so the page is on port {fallback}; some clients look on port 80 only",
                    settings.page_port
                );
            }
            Err(fallback_error) => app.problems.set(
                Topic::PagePort,
                format!(
                    "The page has no port: {} ({error}) and {fallback} ({fallback_error}) cannot be opened. Choose \
                     another page_port",
                    settings.page_port
                ),
            ),
        },
        (Err(error), None) => app.problems.set(
            Topic::PagePort,
            format!("Port {} for the page cannot be opened: {error}. Choose another page_port", settings.page_port),
        ),
    }
    app.page_port.get().or(app.stream_port.get())?;
    if settings.address.is_unspecified() {
        // The same ports over IPv6: all of them, or clients that come that way are told addresses that do not answer.
        let ports = [app.page_port.get(), app.stream_port.get()].into_iter().flatten();
        let listeners: std::io::Result<Vec<TcpListener>> =
            ports.map(|port| http::listen(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)).collect();
        match listeners {
            Ok(listeners) => {
                for listener in listeners {
                    serve(listener);
                }
                app.has_v6.set(true);
            }
            Err(error) => tracing::info!(%error, "pages and streams are there over IPv4 only"),
        }
    }
    let faces = http::keep_ports(Rc::clone(app), settings.address, settings.face_port, Rc::clone(&connections));
    tokio::task::spawn_local(faces);
    open_control(settings, app);
    if settings.discovery {
        discovery::open(app, settings.address);
    }
    Some(Announced {
        ssdp: settings.ssdp.then(|| ssdp::open(app, settings.address)),
        mdns: settings.mdns.then(|| mdns::open(app, settings.address)),
    })
}

/// TCP 65001, and the port of the keepalives that belongs to it.
fn open_control(settings: &Settings, app: &Rc<http::App>) {
    let listeners = match control::listen(settings.address) {
        Ok(listeners) => listeners,
        Err(error) => {
            app.problems.set(
                Topic::ControlPort,
                format!(
                    "Clients that set tuners, such as tvheadend and MythTV, cannot: TCP port {} cannot be opened: \
                     {error}. Stop the other tuner program that holds it",
                    pure::wire::hdhr::PORT
                ),
            );
            return;
        }
    };
    let policy = Policy { multicast_ttl_max: settings.multicast_ttl_max, may_restart: false };
    let door = control::Door::new(Rc::clone(app), app.update.clone(), policy);
    for listener in listeners {
        tokio::task::spawn_local(Rc::clone(&door).serve(listener));
    }
    match control::listen_keepalives(settings.address, settings.stream_port) {
        Ok(socket) => drop(tokio::task::spawn_local(Rc::clone(&door).hear_keepalives(socket))),
        Err(error) => tracing::warn!(
            %error,
            "UDP port {} cannot be opened: streams to receivers live as long as their control connection",
            settings.stream_port
        ),
    }
    tokio::task::spawn_local(door.keep_time());
}

/// Finds out how much of what FFmpeg must not do this kernel refuses to it, and says what is missing.
fn confine(settings: &Settings, problems: &Problems) {
    engine::sandbox::allow(settings.ffmpeg_paths.clone());
    match engine::process::prove_sandbox(&settings.state_dir) {
        Some(Proof { calls: true, files: true }) => {
            tracing::info!("FFmpeg is confined: it may use no files of ours, and no network where it needs none");
        }
        // Kernels without Landlock are common on small boards, and nobody there can do anything about it.
        Some(Proof { calls: true, files: false }) => tracing::info!(
            "FFmpeg is confined, but for files: this kernel has no Landlock, or paths below [ffmpeg] opens ours"
        ),
        Some(Proof { calls: false, .. }) => problems.set(
            Topic::Sandbox,
            "FFmpeg is not confined, so a stream that takes it over may call others in the house: this kernel does not \
             filter system calls, or the service forbids it. Use a kernel with CONFIG_SECCOMP_FILTER, as all of Debian's \
             are, and the unit that comes with tunerd"
                .to_owned(),
        ),
        None => tracing::warn!("it could not be tried whether FFmpeg is confined"),
    }
}

/// Tells systemd and people that we are there, and where.
fn announce(app: &Rc<http::App>, settings: &Settings) {
    guardian::tell_ready();
    let base = app.base_url(IpAddr::V4(reached_at(settings.address)));
    let (id, tuners) = (app.device_id, app.capacity.sentence());
    let after_ms = clock::mono().ms_since(clock::started());
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(after_ms, "tunerd {version} is ready as device {id} with {tuners}");
    tracing::info!("its page: {base}/");
    tracing::info!("in Plex, type {}, and for the guide {base}/xmltv.xml", base.trim_start_matches("http://"));
}

/// Where others in the house reach what listens on `address`.
fn reached_at(address: Ipv4Addr) -> Ipv4Addr {
    if address.is_unspecified() { doctor::own_address() } else { address }
}

/// What this box can carry, as far as that is known at once.
fn capacity_of(settings: &Settings, board: &board::Board, encoders: Option<&Candidates>) -> capacity::Handle {
    let wanted = capacity::Wanted { slots: settings.slots, ring_mib: settings.ring_mib.unwrap_or(board.ring_mib) };
    capacity::Handle::new(board, wanted, encoders, &settings.ffmpeg, &settings.state_dir)
}

fn guide_options(settings: &Settings) -> subscriptions::guides::Options {
    subscriptions::guides::Options {
        addresses: settings.guides.clone(),
        days: u8::try_from(settings.guide_days).unwrap_or(u8::MAX),
        mismatch_percent: u8::try_from(settings.guide_mismatch_percent).unwrap_or(u8::MAX),
        episodes_required: settings.guide_episodes_required,
    }
}

/// SIGHUP: takes over what can change while it runs, and says what cannot.
fn reload(typed: &CommandLine, started_with: &Settings, app: &http::App, logs: &Logs) {
    let settings = match settings::load(typed) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!("the settings were not taken over, the old ones stay: {error}");
            return;
        }
    };
    app.settings_name.borrow_mut().clone_from(&settings.name);
    logs.set_level(settings.log_level);
    app.subscriptions.guides().set_options(guide_options(&settings));
    app.subscriptions.set_playlist(settings.playlist.clone(), settings.groups.clone());
    let fixed = Settings {
        name: started_with.name.clone(),
        playlist: started_with.playlist.clone(),
        groups: started_with.groups.clone(),
        guides: started_with.guides.clone(),
        guide_days: started_with.guide_days,
        guide_mismatch_percent: started_with.guide_mismatch_percent,
        guide_episodes_required: started_with.guide_episodes_required,
        log_level: started_with.log_level,
        ..settings
    };
    if fixed == *started_with {
        tracing::info!("settings read again; the playlist is fetched again");
    } else {
        tracing::warn!("settings read again; slots, ports, state_dir and FFmpeg's path change with the next start");
    }
}

/// Where what a crash must not make forgotten is kept: what systemd gave us for that, which is memory, or our state.
fn runtime_dir(settings: &Settings) -> PathBuf {
    let given = std::env::var_os("RUNTIME_DIRECTORY").unwrap_or_default();
    // There may be several, with colons between them.
    let first = std::env::split_paths(&given).next().filter(|path| path.is_absolute());
    first.unwrap_or_else(|| settings.state_dir.clone())
}

/// Ends for a fresh start, which is systemd's to make. Children end with us.
fn give_up(black_box: &BlackBox, why: &str) -> ExitCode {
    tracing::error!("giving up for a fresh start: {why}");
    black_box.save(why);
    ExitCode::from(EXIT_SOFTWARE)
}

/// Signals, as bytes in pipes: nothing runs in a handler.
struct Signals {
    terminate: UnixStream,
    interrupt: UnixStream,
    hang_up: UnixStream,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        // The first SIGINT arms it, the second one ends the process at once, with its children.
        let armed = Arc::new(AtomicBool::new(false));
        let interrupt = Signal::SIGINT as i32;
        signal_hook::flag::register_conditional_shutdown(interrupt, 130, Arc::clone(&armed))?;
        signal_hook::flag::register(interrupt, armed)?;
        Ok(Self { terminate: pipe(Signal::SIGTERM)?, interrupt: pipe(Signal::SIGINT)?, hang_up: pipe(Signal::SIGHUP)? })
    }

    async fn next(&mut self) -> Signal {
        let (mut one, mut two, mut three) = ([0], [0], [0]);
        tokio::select! {
            _ = self.terminate.read(&mut one) => Signal::SIGTERM,
            _ = self.interrupt.read(&mut two) => Signal::SIGINT,
            _ = self.hang_up.read(&mut three) => Signal::SIGHUP,
        }
    }
}

fn pipe(signal: Signal) -> std::io::Result<UnixStream> {
    let (ours, handlers) = std::os::unix::net::UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal as i32, handlers)?;
    ours.set_nonblocking(true)?;
    UnixStream::from_std(ours)
}

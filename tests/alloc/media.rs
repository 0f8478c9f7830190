//! A packet's way: from a child into the ring, and from the ring to a viewer.

use crate::allocations;
use pure::model::face::Share;
use pure::model::lineup::{Channel, ChannelId, DemoIndex, Lineup, Source};
use pure::model::profile::Profile;
use pure::rules::reach::Reach;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tunerd::board::vitals::Sources;
use tunerd::engine::{self, Options, Progress};
use tunerd::fetch::Fetcher;
use tunerd::observe::black_box::BlackBox;
use tunerd::observe::metrics::Metrics;
use tunerd::observe::problems::Problems;

const PACKETS: u64 = 1_000_000;
const GOLDEN: &[u8] = include_bytes!("../golden/h264-mp2.ts");

/// A child that makes the golden second over and over, as fast as it is read.
fn endless_child(folder: &Path) -> PathBuf {
    let (stream, script) = (folder.join("second.ts"), folder.join("ffmpeg"));
    fs::write(&stream, GOLDEN.repeat(50)).unwrap();
    let mut file = fs::File::create(&script).unwrap();
    writeln!(file, "#!/bin/sh\nwhile cat '{}'; do :; done", stream.display()).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[test]
fn a_packet_on_its_way_allocates_nothing() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("alloc-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    // Children see but the places of real programs.
    engine::sandbox::allow(vec![folder.clone()]);
    let (allocated, passed) = play(endless_child(&folder), Source::Demo(DemoIndex(0)));
    fs::remove_dir_all(&folder).unwrap();
    assert!(passed >= PACKETS, "only {passed} packets came");
    assert_eq!(allocated, 0, "in {passed} packets");
}

#[test]
fn a_packet_that_is_pulled_allocates_as_little_as_hyper_lets_it() {
    // What is ours allocates nothing. hyper lends out its buffer with what it has read, and takes it back when the piece
    // is dropped before the next one is wanted, as we do; now and then it takes a new one all the same. TLS copies what
    // it has decrypted into buffers of its own; that is not looked at here.
    let server = endless_server();
    let url = format!("http://{server}/live.ts").parse().unwrap();
    let source = Source::Url {
        url,
        user_agent: None,
        headers: pure::model::headers::Headers::default(),
        account: None,
        reach: Reach::ThisBox,
        provider: None,
    };
    let (allocated, passed) = play("/no/ffmpeg/is/needed".into(), source);
    assert!(passed >= PACKETS, "only {passed} packets came");
    assert!(allocated * ALLOCATED_EVERY < passed, "{allocated} in {passed} packets");
}

/// Packets between two allocations, when all is pulled at full speed.
const ALLOCATED_EVERY: u64 = 10_000;

/// Sends the golden second over and over, as fast as it is read.
fn endless_server() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = [0; 4096];
            if std::io::Read::read(&mut stream, &mut head).is_ok() {
                let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                let seconds = GOLDEN.repeat(50);
                while sent.is_ok() {
                    sent = stream.write_all(&seconds);
                }
            }
        }
    });
    address
}

/// Plays a source; says how much was allocated in how many packets.
fn play(ffmpeg: PathBuf, source: Source) -> (u64, u64) {
    let options = Options {
        // Two, because a taken last one is an alarm, which is worth a text.
        slots_len: 2,
        ring_mib: 4,
        ffmpeg,
        ffprobe: "ffprobe".into(),
        probe: false,
        glance: false,
        early_headers: false,
        slates: true,
        encoders: None,
        vitals: Sources::default(),
        runtime_dir: None,
        fetcher: Fetcher::new(true),
        safe_mode: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let black_box = BlackBox::open(None);
        let (engine, supervisor) = engine::new(&options, Rc::new(Metrics::default()), Problems::default(), black_box);
        tokio::task::spawn_local(supervisor);
        let channel = Channel {
            id: ChannelId(1),
            number: "1.1".parse().unwrap(),
            name: "One".to_owned(),
            group: String::new(),
            logo: String::new(),
            tvg_id: String::new(),
            tvg_shift_min: 0,
            sources: vec![source],
        };
        engine.set_lineup(Arc::new(Lineup::new(vec![channel]).unwrap()));
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut viewer = engine.watch(ChannelId(1), Profile::None, None, Share::BOX, peer).await.unwrap();
        // The first packets find the memory that all others use again.
        pass(&mut viewer, PACKETS / 10).await;
        let before = allocations();
        let passed = pass(&mut viewer, PACKETS).await;
        let allocated = allocations() - before;
        drop(viewer);
        engine.drain().await;
        (allocated, passed)
    })
}

/// Takes at least so many packets; says how many.
async fn pass(viewer: &mut engine::Viewer, wanted: u64) -> u64 {
    let mut bytes = 0;
    while bytes < wanted * 188 {
        let progress = viewer.send(|pieces| {
            // As much as a socket takes at once.
            let len = pieces.iter().map(|piece| piece.len()).sum::<usize>().min(64 * 1024);
            bytes += len as u64;
            Ok(len)
        });
        match progress.unwrap() {
            Progress::CaughtUp => viewer.more().await,
            Progress::Blocked | Progress::Ended => panic!("it ended after {bytes} bytes"),
        }
    }
    bytes / 188
}

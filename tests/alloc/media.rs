//! A packet's way: from a child into the ring, and from the ring to a viewer.

use crate::allocations;
use pure::model::lineup::{Channel, ChannelId, DemoIndex, Lineup, Source};
use pure::model::profile::Profile;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tunerd::engine::{self, Options, Progress};
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
    let options = Options {
        // Two, because a taken last one is an alarm, which is worth a text.
        slots_len: 2,
        ring_mib: 4,
        ffmpeg: endless_child(&folder),
        ffprobe: "ffprobe".into(),
        probe: false,
        glance: false,
        early_headers: false,
        encoders: None,
        runtime_dir: None,
        safe_mode: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    let (allocated, passed) = runtime.block_on(async {
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
            sources: vec![Source::Demo(DemoIndex(0))],
        };
        engine.set_lineup(Rc::new(Lineup::new(vec![channel]).unwrap()));
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut viewer = engine.watch(ChannelId(1), Profile::None, None, peer).await.unwrap();
        // The first packets find the memory that all others use again.
        pass(&mut viewer, PACKETS / 10).await;
        let before = allocations();
        let passed = pass(&mut viewer, PACKETS).await;
        let allocated = allocations() - before;
        drop(viewer);
        engine.drain().await;
        (allocated, passed)
    });
    fs::remove_dir_all(&folder).unwrap();
    assert!(passed >= PACKETS, "only {passed} packets came");
    assert_eq!(allocated, 0, "in {passed} packets");
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

//! The engine of the daemon alone: it pulls channels of the source into their rings, and each has one viewer, who throws
//! away what he gets. No socket of a viewer takes part, so that pulls are measured and nothing else.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use pure::model::face::Share;
use pure::model::lineup::{Channel, ChannelId, Lineup, Source};
use pure::model::profile::Profile;
use pure::rules::reach::Reach;
use tunerd::engine::{self, Options, Progress};
use tunerd::fetch::Fetcher;
use tunerd::observe::black_box::BlackBox;
use tunerd::observe::metrics::Metrics;
use tunerd::observe::problems::Problems;

use crate::Outcome;
use crate::servers::RING_MIB;

/// Plays until it is killed, or until one of the channels ends.
pub fn run(source: SocketAddr, channels_len: u32) -> Outcome<()> {
    let options = Options {
        slots_len: channels_len as usize + 1,
        ring_mib: RING_MIB as usize,
        ffmpeg: "/no/ffmpeg/is/needed".into(),
        ffprobe: "ffprobe".into(),
        probe: false,
        glance: false,
        slates: false,
        early_headers: false,
        encoders: None,
        vitals: tunerd::board::vitals::Sources::default(),
        runtime_dir: None,
        fetcher: Fetcher::new(true),
        safe_mode: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let black_box = BlackBox::open(None);
        let (engine, supervisor) = engine::new(&options, Rc::new(Metrics::default()), Problems::default(), black_box);
        tokio::task::spawn_local(supervisor);
        let channels: Result<Vec<Channel>, String> = (0..channels_len).map(|index| channel(source, index)).collect();
        let lineup = Lineup::new(channels?).map_err(|error| format!("{error:?}"))?;
        engine.set_lineup(Arc::new(lineup));
        let watching: Vec<_> =
            (0..channels_len).map(|index| tokio::task::spawn_local(watch(engine.clone(), ChannelId(index)))).collect();
        for viewer in watching {
            viewer.await??;
        }
        Ok(())
    })
}

fn channel(source: SocketAddr, index: u32) -> Result<Channel, String> {
    let url = format!("http://{source}/{index}.ts").parse().map_err(|error| format!("{error}"))?;
    Ok(Channel {
        id: ChannelId(index),
        number: format!("{}", index + 1).parse().map_err(|_| "an odd number")?,
        name: format!("Bench {index}"),
        group: String::new(),
        logo: String::new(),
        tvg_id: String::new(),
        tvg_shift_min: 0,
        sources: vec![Source::Url {
            url,
            user_agent: None,
            headers: pure::model::headers::Headers::default(),
            account: None,
            reach: Reach::ThisBox,
            provider: None,
        }],
    })
}

async fn watch(engine: engine::Handle, channel: ChannelId) -> Result<(), String> {
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut viewer = loop {
        // As many as start at once may be too many at once.
        match engine.watch(channel, Profile::None, None, Share::BOX, peer).await {
            Ok(viewer) => break viewer,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(300)).await,
        }
    };
    loop {
        match viewer.send(|pieces| Ok(pieces.iter().map(|piece| piece.len()).sum())) {
            Ok(Progress::CaughtUp) => viewer.more().await,
            other => return Err(format!("channel {} ended: {other:?}", channel.0)),
        }
    }
}

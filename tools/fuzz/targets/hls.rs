//! Any text as an HLS playlist, followed by any other: what is taken is in it, in order, and within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pure::limits::{HLS_LINES_MAX, HLS_REFRESH_MS_MAX, HLS_REFRESH_MS_MIN, URL_BYTES_MAX};
use pure::rules::window::Window;
use pure::wire::hls::{Playlist, choose, iv, parse};

fuzz_target!(|bytes: &[u8]| {
    let mut window = Window::default();
    let text = String::from_utf8_lossy(bytes);
    // One playlist after the other, as a server may change its mind.
    for text in text.split('\u{0}') {
        match parse(text) {
            Err(_) => {}
            Ok(Playlist::Master(variants)) => {
                assert!(!variants.is_empty());
                if let Ok(best) = choose(&variants) {
                    assert!(variants.contains(best) && best.uri.len() <= URL_BYTES_MAX);
                }
            }
            Ok(Playlist::Media(media)) => {
                assert!(media.segments.len() <= HLS_LINES_MAX);
                let mut before: Option<u64> = None;
                while let Some(next) = window.take(&media) {
                    assert!(before.is_none_or(|before| before < next.sequence) || next.sequence == u64::MAX);
                    assert!(next.segment.part.uri.len() <= URL_BYTES_MAX);
                    if let Some(key) = media.key(next.segment) {
                        assert!(key.iv.is_none_or(|given| given == iv(key, next.sequence)));
                    }
                    if before.replace(next.sequence) == Some(u64::MAX) {
                        break;
                    }
                }
                let pause_ms = window.refresh_ms(&media);
                assert!((HLS_REFRESH_MS_MIN..=HLS_REFRESH_MS_MAX).contains(&pause_ms));
                window.is_over(&media);
            }
        }
    }
});

//! Which segment of an HLS playlist is next, and when to look again.
//!
//! Not here: how playlists are written ([`crate::wire::hls`]), and fetching (the daemon's `engine`). A playlist that
//! stands still is no failure here: nothing comes out, and silence is judged where all silence is, in
//! [`crate::rules::pool`].
//!
//! Source: RFC 8216, 6.3.3 and 6.3.4.

use crate::limits::{HLS_REFRESH_MS_MAX, HLS_REFRESH_MS_MIN};
use crate::wire::hls::{Media, Segment};

/// How far from its end a live playlist is begun, in target durations.
const FROM_END: u64 = 3;

/// A reader's place in a playlist that moves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// The number of the segment that is next; none before the first.
    next: Option<u64>,
    /// The last number that was seen, to notice that nothing was added.
    seen_end: u64,
    /// The next segment does not follow on the one before it.
    broken: bool,
}

/// The next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next<'a> {
    /// It.
    pub segment: &'a Segment,
    /// Its number.
    pub sequence: u64,
    /// It follows on nothing.
    pub discontinuity: bool,
}

impl Window {
    /// The next segment of `media`, if there is one yet. It counts as taken.
    pub fn take<'a>(&mut self, media: &'a Media) -> Option<Next<'a>> {
        let len = media.segments.len() as u64;
        let end = media.sequence.saturating_add(len);
        let wanted = match self.next {
            Some(next) if next < media.sequence => {
                // Too slow: it went on without us.
                self.broken = true;
                begin(media)
            }
            // It counts anew: its encoder was started again.
            Some(next) if next > end.saturating_add(len) => {
                self.broken = true;
                begin(media)
            }
            Some(next) => next,
            None => begin(media),
        };
        self.next = Some(wanted);
        let index = usize::try_from(wanted.checked_sub(media.sequence)?).ok()?;
        let segment = media.segments.get(index)?;
        self.next = Some(wanted.saturating_add(1));
        let discontinuity = segment.discontinuity || core::mem::take(&mut self.broken);
        Some(Next { segment, sequence: wanted, discontinuity })
    }

    /// The segment that was taken last could not be had.
    pub fn missed(&mut self) {
        self.broken = true;
    }

    /// Whether all of a playlist to which nothing will be added was taken.
    pub fn is_over(&self, media: &Media) -> bool {
        let end = media.sequence.saturating_add(media.segments.len() as u64);
        media.is_over && self.next.is_some_and(|next| next >= end)
    }

    /// How long to wait, from one look to the next: a segment's time, and half of that when nothing was added.
    pub fn refresh_ms(&mut self, media: &Media) -> u64 {
        let end = media.sequence.saturating_add(media.segments.len() as u64);
        let last_ms = media.segments.last().map_or(media.target_ms, |segment| segment.duration_ms);
        let pause_ms = if core::mem::replace(&mut self.seen_end, end) == end { media.target_ms / 2 } else { last_ms };
        pause_ms.clamp(HLS_REFRESH_MS_MIN, HLS_REFRESH_MS_MAX)
    }
}

/// Where a reader begins.
fn begin(media: &Media) -> u64 {
    if media.is_over {
        return media.sequence;
    }
    let mut left_ms = media.target_ms.saturating_mul(FROM_END);
    let mut first = media.segments.len();
    for (index, segment) in media.segments.iter().enumerate().rev() {
        first = index;
        left_ms = left_ms.saturating_sub(segment.duration_ms);
        if left_ms == 0 {
            break;
        }
    }
    media.sequence.saturating_add(first as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hls::{Playlist, parse};
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn media(first: u64, len: u64, more: &str) -> Media {
        let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        let segments = (first..first + len).fold(String::new(), |all, n| all + &format!("#EXTINF:4,\n{n}.ts\n"));
        match parse(&(head + &segments + more)) {
            Ok(Playlist::Media(media)) => media,
            other => unreachable!("{other:?}"),
        }
    }

    fn all(window: &mut Window, media: &Media) -> Vec<(u64, bool)> {
        core::iter::from_fn(|| window.take(media).map(|next| (next.sequence, next.discontinuity))).collect()
    }

    #[test]
    fn a_live_window_is_begun_near_its_end_and_followed() {
        let mut window = Window::default();
        assert_eq!(all(&mut window, &media(10, 6, "")), [(13, false), (14, false), (15, false)]);
        assert!(all(&mut window, &media(10, 6, "")).is_empty());
        assert_eq!(all(&mut window, &media(12, 6, "")), [(16, false), (17, false)]);
        assert!(!window.is_over(&media(12, 6, "")));
        assert_eq!(all(&mut Window::default(), &media(10, 2, "")), [(10, false), (11, false)], "a short one");
    }

    #[test]
    fn a_film_is_begun_at_its_beginning_and_ends() {
        let (mut window, film) = (Window::default(), media(0, 9, "#EXT-X-ENDLIST\n"));
        assert!(!window.is_over(&film));
        assert_eq!(all(&mut window, &film).len(), 9);
        assert!(window.is_over(&film));
    }

    #[test]
    fn who_was_left_behind_joins_again_and_says_so() {
        let mut window = Window::default();
        assert_eq!(all(&mut window, &media(10, 3, "")).len(), 3);
        assert_eq!(all(&mut window, &media(50, 3, "")), [(50, true), (51, false), (52, false)]);
        assert_eq!(all(&mut window, &media(0, 3, "")), [(0, true), (1, false), (2, false)], "it counts anew");
        window.missed();
        assert_eq!(all(&mut window, &media(1, 3, "")), [(3, true)]);
    }

    #[test]
    fn looks_come_at_the_pace_of_segments() {
        let mut window = Window::default();
        assert_eq!([window.refresh_ms(&media(1, 3, "")), window.refresh_ms(&media(1, 3, ""))], [4_000, 2_000]);
        assert_eq!(window.refresh_ms(&media(2, 3, "")), 4_000);
        let hasty = parse("#EXTM3U\n#EXT-X-TARGETDURATION:0\n#EXTINF:0,\na\n").unwrap();
        let Playlist::Media(hasty) = hasty else { unreachable!() };
        assert_eq!(window.refresh_ms(&hasty), 500);
    }
}

//! A look at a channel in the page: an HLS playlist, and its segments.
//!
//! Who may look, and for how long: `engine::preview`.
//! Source: RFC 8216.

use super::App;
use super::answer::{self, Body};
use super::api::json;
use super::owner::{Answer, done};
use super::v1::{Call, PREFIX};
use crate::engine::Segment;
use crate::engine::preview::{No, Over, Preview};
use crate::subscriptions::Error;
use hyper::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use pure::limits::{PREVIEW_MS_MAX, SEGMENT_MS_MAX};
use pure::model::lineup::ChannelId;
use pure::rules::pool::Refusal;
use serde::Serialize;
use std::fmt::Write as _;
use std::rc::Rc;

/// Where nobody knows when it will be better: encoders are tried in the first half minute.
const RETRY_AFTER_S: u32 = 30;
/// The box is well and does as it should: what fails is what a preview would be made of.
const NO_PICTURE: StatusCode = StatusCode::FAILED_DEPENDENCY;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Start,
    Playlist,
    Segment,
    End,
}

#[derive(Serialize)]
struct PreviewView {
    id: u64,
    /// Its playlist's path.
    playlist: String,
    /// For how long it plays at most.
    seconds: u64,
}

/// Answers one of them.
pub(super) async fn respond(app: &Rc<App>, ask: Ask, call: &Call<'_>) -> Answer {
    if ask == Ask::Start {
        let id = ChannelId(call.id()?);
        app.engine.lineup().and_then(|lineup| lineup.by_id(id).map(|_| ())).ok_or(Error::NotFound)?;
        return Ok(match app.engine.preview(id, call.asked.peer).await {
            Ok(preview) => {
                let (id, seconds) = (preview.id, PREVIEW_MS_MAX / 1_000);
                json(
                    StatusCode::CREATED,
                    &PreviewView { id, playlist: format!("{PREFIX}/preview/{id}/index.m3u8"), seconds },
                )
            }
            Err(no) => refused(no),
        });
    }
    let preview = app.engine.find_preview(call.id()?.into()).ok_or(Error::NotFound)?;
    match ask {
        Ask::Start | Ask::Playlist => Ok(playlist(&preview, call.query).await),
        Ask::Segment => segment(&preview, call.second_part()),
        Ask::End => {
            preview.end(Over::Closed);
            Ok(done())
        }
    }
}

/// For a player, or, with `look`, for who wants to know whether there is still one, and waits for nothing.
async fn playlist(preview: &Preview, query: &str) -> Response<Body> {
    let found = if query == "look" { preview.segments() } else { preview.news().await };
    match found {
        Ok(segments) => fresh("application/vnd.apple.mpegurl", write(&segments)),
        Err(over) => refused(No::Over(over)),
    }
}

fn segment(preview: &Preview, name: &str) -> Answer {
    let number = name.strip_suffix(".ts").filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let sequence = number.and_then(|number| number.parse().ok()).ok_or(Error::NotFound)?;
    match preview.packets(sequence) {
        Ok(packets) => Ok(fresh("video/mp2t", packets.ok_or(Error::NotFound)?)),
        Err(over) => Ok(refused(No::Over(over))),
    }
}

fn fresh(content_type: &'static str, body: impl Into<hyper::body::Bytes>) -> Response<Body> {
    let mut answer = answer::plain(StatusCode::OK, content_type, body);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The playlist of these segments, which go on.
fn write(segments: &[Segment]) -> String {
    // Rounded as section 4.3.3.1 says.
    let target_s = (SEGMENT_MS_MAX + 500) / 1_000;
    let (sequence, mut breaks) = segments.first().map_or((0, 0), |first| (first.sequence, first.breaks));
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target_s}\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{breaks}\n"
    );
    for segment in segments {
        if segment.breaks != breaks {
            text += "#EXT-X-DISCONTINUITY\n";
            breaks = segment.breaks;
        }
        let (seconds, rest) = (segment.ms / 1_000, segment.ms % 1_000);
        writeln!(text, "#EXTINF:{seconds}.{rest:03},\n{}.ts", segment.sequence).unwrap_or_default();
    }
    text
}

/// Why there is no preview, or none any more.
fn refused(no: No) -> Response<Body> {
    let (status, why) = match no {
        No::Untried => (NO_PICTURE, "the box is finding out what it can encode; try again in a minute"),
        No::Cannot(cannot) => (NO_PICTURE, cannot.words()),
        No::Over(Over::Late) => (NO_PICTURE, "the channel did not show a picture in time"),
        No::Over(over) => (
            StatusCode::GONE,
            match over {
                Over::TimeUp => "this preview has lasted for two minutes, which is all that one may",
                Over::GaveWay => "this preview has made room: its tuner is needed",
                Over::Ended => "the channel plays no longer",
                Over::Closed | Over::Left | Over::Late => "this preview is over",
            },
        ),
        No::Refused(refusal) => why(refusal),
    };
    let mut answer = answer::problem(status, why, None);
    if status == NO_PICTURE {
        let retry_after_s = if let No::Refused(refusal) = no { refusal.retry_after_s() } else { RETRY_AFTER_S };
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    answer
}

fn why(refusal: Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::AllTunersInUse | Refusal::TunerInUse | Refusal::ShareInUse => {
            (StatusCode::CONFLICT, "all tuners are in use, and a preview takes none from those who watch")
        }
        Refusal::AccountFull => (StatusCode::CONFLICT, "the provider allows no further stream at once"),
        Refusal::Draining => (NO_PICTURE, "nothing plays while the box stops or is in safe mode"),
        Refusal::Short(_) => (NO_PICTURE, "the board cannot carry another picture now"),
        Refusal::Busy { .. } | Refusal::ViewersFull | Refusal::SlotStuck => {
            (NO_PICTURE, "the box is doing as much as it can already")
        }
        Refusal::TuneFailed { .. } | Refusal::NoVideo { .. } => (NO_PICTURE, "the channel does not show a picture"),
        Refusal::Resting { .. } => (NO_PICTURE, "the channel rests after several failures"),
        Refusal::Misconfigured => {
            (NO_PICTURE, "the channel cannot be played as it is set up; its source must be changed")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_says_where_it_begins_and_where_it_breaks() {
        let segment = |sequence, ms, breaks| Segment::new(sequence, ms, breaks);
        let segments = [segment(7, 2_000, 1), segment(8, 3_499, 1), segment(9, 2_040, 2)];
        assert_eq!(
            write(&segments),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXTINF:2.000,\n7.ts\n#EXTINF:3.499,\n8.ts\n#EXT-X-DISCONTINUITY\n\
             #EXTINF:2.040,\n9.ts\n"
        );
    }
}

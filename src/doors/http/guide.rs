//! The guide: a whole document or none, from the file that it was made into.
//!
//! Not here: what is in it and when it is made (`subscriptions::guides`); what the owner may ask about it ([`super::api`]
//! has the table, [`super::guides`] the answers).

use super::App;
use super::answer::{self, Body};
use super::lineup::loading;
use super::route::Asked;
use crate::clock;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};
use hyper::{Response, StatusCode};
use pure::model::face::FaceId;
use pure::model::lineup::Mark;

/// How the guide is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As XML; packed on the way where the client says that it can unpack.
    Xml,
    /// As a packed file.
    Gzip,
}

pub(super) async fn xmltv(app: &App, asked: &Asked, form: Form, headers: &HeaderMap) -> Response<Body> {
    let Some(lineup) = app.engine.lineup() else { return loading() };
    if !clock::wall_is_plausible() {
        return answer::later("The clock of this box is not set yet, so there is no guide.\n", 60);
    }
    let marks = app.subscriptions.marks();
    let cut = asked.cut(app, &lineup);
    let is_empty = match &cut {
        None => lineup.channels().iter().all(|channel| marks.of(channel.id) == Mark::Hidden),
        Some(cut) => cut.listed_len() == 0,
    };
    if is_empty {
        return answer::later("There are no channels, so there is no guide.\n", 60);
    }
    let id = asked.face.as_ref().map_or(FaceId::BOX, |face| face.id);
    let served = match app.subscriptions.guides().fitting(&lineup, &marks, cut.as_deref().map(|cut| (id, cut))).await {
        Ok(served) => served,
        Err(why) => return answer::later(why, 10),
    };
    let is_packed = form == Form::Gzip || accepts_gzip(headers);
    let Some(document) = served.published.documents.get(&id) else {
        return answer::later("The guide is still being made.\n", 10);
    };
    let Ok(parts) = document.parts(&asked.reach.base, is_packed).await else {
        return answer::later("The guide cannot be read.\n", 60);
    };
    let content_type = if form == Form::Gzip { "application/gzip" } else { answer::XML };
    let mut answer = answer::file(content_type, parts.head, (parts.file, parts.from, parts.bytes), parts.end);
    if form == Form::Xml {
        answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if is_packed {
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    debug_assert_eq!(answer.status(), StatusCode::OK);
    answer
}

/// Source: RFC 9110, section 12.5.3; what nobody writes, such as `*`, is taken for no.
pub(super) fn accepts_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty());
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_whether_it_can_unpack() {
        for (value, can) in [
            ("gzip, deflate", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("gzipped", false),
            ("identity", false),
            ("", false),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&asked), can, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}

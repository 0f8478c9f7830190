//! Answers that are not streams.

use crate::clock;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    SERVER,
};
use hyper::{Response, StatusCode};
use pure::limits::{EVENT_PERIOD_MS, EVENTS_PER_ANSWER};
use pure::rules::pool::Refusal;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A body that keeps its client's connection from being taken for idle until it is sent.
pub(super) struct Kept {
    body: Body,
    _answering: super::Answering,
}

impl Kept {
    pub(super) fn new(body: Body, answering: super::Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl hyper::body::Body for Kept {
    type Data = Bytes;
    type Error = <Body as hyper::body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(super) type Body = Either<Full<Bytes>, Either<Poured, Told>>;

/// A part of a file that is read while it is sent, so that a large one takes no memory, with something before and behind.
pub(super) struct Poured {
    head: Bytes,
    file: Arc<File>,
    from: u64,
    left: u64,
    end: Bytes,
}

/// What is read of a file at once: from the page cache that takes some ten microseconds.
const PIECE_BYTES: usize = 64 * 1024;

impl hyper::body::Body for Poured {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.head.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.head)))));
        }
        if self.left == 0 {
            let end = std::mem::take(&mut self.end);
            return Poll::Ready((!end.is_empty()).then_some(Ok(Frame::data(end))));
        }
        let mut piece = vec![0; usize::try_from(self.left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))];
        Poll::Ready(Some(match self.file.read_exact_at(&mut piece, self.from) {
            Ok(()) => {
                self.from += piece.len() as u64;
                self.left -= piece.len() as u64;
                Ok(Frame::data(Bytes::from(piece)))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.head.is_empty() && self.end.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left + (self.head.len() + self.end.len()) as u64)
    }
}

/// Something that is told again and again, as server-sent events are, until the connection's time is over.
pub(super) struct Told {
    tell: Box<dyn FnMut() -> Bytes>,
    pause: Pin<Box<dyn Future<Output = ()>>>,
    left: u32,
}

impl hyper::body::Body for Told {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.pause.as_mut().poll(context));
        self.pause = Box::pin(clock::pause(EVENT_PERIOD_MS));
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data((self.tell)()))))
    }
}

/// An answer that tells the same thing anew, at once and then every [`EVENT_PERIOD_MS`].
/// Source: WHATWG HTML, section 9.2, server-sent events; the client connects again when it ends.
pub(super) fn events(tell: impl FnMut() -> Bytes + 'static) -> Response<Body> {
    let mut answer = plain(StatusCode::OK, "text/event-stream", "");
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let told = Told { tell: Box::new(tell), pause: Box::pin(std::future::ready(())), left: EVENTS_PER_ANSWER };
    answer.map(|_| Either::Right(Either::Right(told)))
}

pub(super) const JSON: &str = "application/json; charset=\"utf-8\"";
pub(super) const XML: &str = "text/xml; charset=\"utf-8\"";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

const ERROR_HEADER: HeaderName = HeaderName::from_static("x-hdhomerun-error");

/// What a connection over the limit gets, without being read.
pub(super) const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nX-HDHomeRun-Error: 803 System Busy\r\n\
    Retry-After: 30\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The same to who was read, and is not the owner, while only his places are left.
pub(super) fn crowded() -> Response<Body> {
    let mut answer = later("", 30);
    answer.headers_mut().insert(ERROR_HEADER, HeaderValue::from_static("803 System Busy"));
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// An answer of the device, with the headers of a real box.
/// Source: real units, as the captures in several clients' issue threads show.
pub(super) fn device(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    of_device(plain(StatusCode::OK, content_type, body))
}

/// The same from a file: `bytes` of it, from a place on, between two texts.
pub(super) fn file(
    content_type: &'static str,
    head: Vec<u8>,
    (file, from, bytes): (Arc<File>, u64, u64),
    end: Vec<u8>,
) -> Response<Body> {
    let answer = plain(StatusCode::OK, content_type, "");
    let poured = Poured { head: head.into(), file, from, left: bytes, end: end.into() };
    of_device(answer.map(|_| Either::Right(Either::Left(poured))))
}

fn of_device(mut answer: Response<Body>) -> Response<Body> {
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("HDHomeRun/1.0"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

/// An answer of the page or the API.
pub(super) fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             media-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

/// An answer of the device, from what it says.
pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    serde_json::to_vec(value).map_or_else(|_| broken(), |body| device(JSON, body))
}

/// Something of ours is wrong.
pub(super) fn broken() -> Response<Body> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "")
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    /// For a person.
    detail: &'a str,
    /// What is wrong of what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

/// A no of the API, which says why, and which field is wrong.
/// Source: RFC 9457.
pub(super) fn problem(status: StatusCode, detail: &str, field: Option<&str>) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem { r#type: "about:blank", title, status: status.as_u16(), detail, field };
    serde_json::to_vec(&problem).map_or_else(|_| broken(), |body| plain(status, "application/problem+json", body))
}

/// What was asked makes no sense; `why` is for a person.
pub(super) fn bad_request(why: &str) -> Response<Body> {
    plain(StatusCode::BAD_REQUEST, TEXT, format!("{why}\n"))
}

/// No page of a browser may ask this, ours included.
pub(super) fn forbidden() -> Response<Body> {
    plain(StatusCode::FORBIDDEN, TEXT, "")
}

/// A method that nothing here has; above all `SUBSCRIBE`, which would have us call strangers (S41).
pub(super) fn no_such_method() -> Response<Body> {
    plain(StatusCode::NOT_IMPLEMENTED, TEXT, "")
}

/// There is nothing at this address.
pub(super) fn not_found() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, TEXT, "There is nothing at this address.\n")
}

/// There is something, but not for this method.
pub(super) fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, "");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Not now; `why` is for a person.
pub(super) fn later(why: &'static str, retry_after_s: u32) -> Response<Body> {
    let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, why);
    let headers = answer.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// A stream's no, as a real box says it. The body stays empty: some clients (Jellyfin's shared streams, for one) do not
/// look at the status and would take a text for video.
/// Source: SiliconDust's HTTP documentation, error codes.
fn error(status: StatusCode, code: &'static str, retry_after_s: Option<u32>) -> Response<Body> {
    let mut answer = device(TEXT, "");
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(ERROR_HEADER, HeaderValue::from_static(code));
    if let Some(seconds) = retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// No such channel.
pub(super) fn unknown_channel() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "801 Unknown Channel", None)
}

/// A `transcode=` that no box knows.
pub(super) fn unknown_profile() -> Response<Body> {
    error(StatusCode::SERVICE_UNAVAILABLE, "802 Unknown Transcode Profile", None)
}

/// Not so fast.
pub(super) fn busy(retry_after_s: u32) -> Response<Body> {
    error(StatusCode::SERVICE_UNAVAILABLE, "803 System Busy", Some(retry_after_s))
}

/// The engine said no.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let code = match refusal {
        Refusal::Draining | Refusal::Short(_) | Refusal::ViewersFull | Refusal::SlotStuck | Refusal::Busy { .. } => {
            "803 System Busy"
        }
        Refusal::TunerInUse => "804 Tuner In Use",
        Refusal::AllTunersInUse | Refusal::AccountFull | Refusal::ShareInUse => "805 All Tuners In Use",
        Refusal::TuneFailed { .. } | Refusal::Misconfigured => "806 Tune Failed",
        Refusal::NoVideo { .. } | Refusal::Resting { .. } => "807 No Video Data",
    };
    error(StatusCode::SERVICE_UNAVAILABLE, code, Some(refusal.retry_after_s()))
}

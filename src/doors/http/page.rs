//! The page, embedded; nothing of it comes from elsewhere.

use super::answer::{self, Body};
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Request, Response, StatusCode};

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

macro_rules! script {
    ($name:literal) => {
        Asset {
            path: concat!("/", $name),
            content_type: "text/javascript; charset=utf-8",
            body: include_bytes!(concat!("web/", $name)),
        }
    };
}

const ASSETS: [Asset; 24] = [
    Asset { path: "/", content_type: "text/html; charset=utf-8", body: include_bytes!("web/index.html") },
    Asset { path: "/style.css", content_type: "text/css; charset=utf-8", body: include_bytes!("web/style.css") },
    Asset { path: "/manage.css", content_type: "text/css; charset=utf-8", body: include_bytes!("web/manage.css") },
    Asset { path: "/icon.svg", content_type: "image/svg+xml", body: include_bytes!("web/icon.svg") },
    script!("early.js"),
    script!("add.js"),
    script!("app.js"),
    script!("api.js"),
    script!("dom.js"),
    script!("status.js"),
    script!("texts.js"),
    script!("texts-en.js"),
    script!("texts-de.js"),
    script!("texts-manage-en.js"),
    script!("texts-manage-de.js"),
    script!("graph.js"),
    script!("qr.js"),
    script!("home.js"),
    script!("setup.js"),
    script!("manage.js"),
    script!("channels.js"),
    script!("sources.js"),
    script!("guide.js"),
    script!("system.js"),
];

pub(super) fn asset(path: &str) -> Option<&'static Asset> {
    const TABLE: &[Asset] = &ASSETS;
    TABLE.iter().find(|asset| asset.path == path)
}

/// Names what is embedded: a browser that has it need not get it again. FNV-1a, because it only has to differ.
const RELEASE: u64 = {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < ASSETS.len() {
        let mut at = 0;
        while at < ASSETS[index].body.len() {
            hash = (hash ^ ASSETS[index].body[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        index += 1;
    }
    hash
};

/// Serves a file; a browser that has this release's already is told so.
pub(super) fn serve(asset: &'static Asset, request: &Request<()>) -> Response<Body> {
    let release = HeaderValue::try_from(format!("\"{RELEASE:016x}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    let mut response = if request.headers().get(IF_NONE_MATCH) == Some(&release) {
        answer::plain(StatusCode::NOT_MODIFIED, asset.content_type, "")
    } else {
        answer::plain(StatusCode::OK, asset.content_type, Bytes::from_static(asset.body))
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, release);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

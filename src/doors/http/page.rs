//! The page, embedded; nothing of it comes from elsewhere.

use super::answer::{self, Body};
use super::guide::accepts_gzip;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use hyper::{Request, Response, StatusCode};
use std::borrow::Cow;
use std::io::Write as _;
use std::sync::OnceLock;

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! script {
    ($name:literal) => {
        Asset { path: concat!("/", $name), content_type: SCRIPT, body: include_bytes!(concat!("web/", $name)) }
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

/// Each file packed, once somebody has asked for it: they are small, so packing one takes about a millisecond.
static PACKED: [OnceLock<Option<Vec<u8>>>; ASSETS.len()] = [const { OnceLock::new() }; ASSETS.len()];

fn packed(asset: &'static Asset) -> Option<&'static [u8]> {
    let place = ASSETS.iter().position(|known| known.path == asset.path)?;
    let pack = || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bare(asset)).ok()?;
        encoder.finish().ok()
    };
    PACKED[place].get_or_init(pack).as_deref()
}

/// What is packed: of a script no indentation, and no line that is nothing but comment. Lines stay lines, so a browser
/// that complains names the right one.
fn bare(asset: &'static Asset) -> Cow<'static, [u8]> {
    let Some(script) = (asset.content_type == SCRIPT).then(|| std::str::from_utf8(asset.body).ok()).flatten() else {
        return Cow::Borrowed(asset.body);
    };
    let (mut bare, mut in_comment) = (String::with_capacity(script.len()), false);
    for line in script.lines().map(str::trim) {
        let is_comment = in_comment || line.starts_with("//") || line.starts_with("/*");
        in_comment = (in_comment || line.starts_with("/*")) && !line.ends_with("*/");
        if !is_comment {
            bare.push_str(line);
        }
        bare.push('\n');
    }
    Cow::Owned(bare.into_bytes())
}

/// Serves a file; a browser that has this release's already is told so.
pub(super) fn serve(asset: &'static Asset, request: &Request<()>) -> Response<Body> {
    let packed = if accepts_gzip(request.headers()) { packed(asset) } else { None };
    let form = if packed.is_some() { "gz" } else { "" };
    let release =
        HeaderValue::try_from(format!("\"{RELEASE:016x}{form}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    let mut response = if request.headers().get(IF_NONE_MATCH) == Some(&release) {
        answer::plain(StatusCode::NOT_MODIFIED, asset.content_type, "")
    } else {
        let mut whole =
            answer::plain(StatusCode::OK, asset.content_type, Bytes::from_static(packed.unwrap_or(asset.body)));
        if packed.is_some() {
            whole.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        whole
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, release);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read as _;

    const BYTES_MAX: usize = 100_000;

    #[test]
    fn the_whole_page_is_small_when_packed_and_the_same_when_unpacked() {
        let mut sum = 0;
        for path in ASSETS.iter().map(|asset| asset.path) {
            let asset = asset(path).unwrap();
            let packed = packed(asset).unwrap();
            let mut body = Vec::new();
            GzDecoder::new(packed).read_to_end(&mut body).unwrap();
            assert!(body == *bare(asset), "{path}");
            sum += packed.len();
        }
        assert!(sum <= BYTES_MAX, "{sum}");
    }

    #[test]
    fn what_is_packed_of_a_script_is_what_runs_line_by_line() {
        const WRITTEN: &[u8] = b"// a\nlet b = 1; // c\n  /** d\n   * e */\n  f(\"/* g\");\n";
        static ASSET: Asset = Asset { path: "/a.js", content_type: SCRIPT, body: WRITTEN };
        assert_eq!(*bare(&ASSET), *b"\nlet b = 1; // c\n\n\nf(\"/* g\");\n");
        assert_eq!(*bare(asset("/style.css").unwrap()), *asset("/style.css").unwrap().body);
    }

    #[test]
    fn who_takes_gzip_gets_it_and_each_form_has_a_tag_of_its_own() {
        let ask = |name: &str, value: &str| Request::builder().header(name, value).body(()).unwrap();
        let home = asset("/").unwrap();
        let plain = serve(home, &ask("accept", "*/*"));
        let packed = serve(home, &ask("accept-encoding", "gzip, deflate"));
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_ne!(plain.headers()[ETAG], packed.headers()[ETAG]);
        let mut again = ask("accept-encoding", "gzip");
        again.headers_mut().insert(IF_NONE_MATCH, packed.headers()[ETAG].clone());
        assert_eq!(serve(home, &again).status(), StatusCode::NOT_MODIFIED);
    }
}

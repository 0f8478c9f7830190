//! The page, embedded; nothing of it comes from elsewhere.

use super::answer::{self, Body};
use super::guide::accepts_gzip;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use hyper::{Request, Response, StatusCode};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::OnceLock;

/// A file of the page, as it is served: one of those in `web/`, or several that are always wanted together. Joined,
/// they pack much better, because they are so alike, and are fewer questions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    parts: &'static [(&'static str, &'static str)],
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! joined {
    ($path:literal, $content_type:expr, $($name:literal),+) => {
        Asset { path: $path, content_type: $content_type, parts: &[$(($name, include_str!(concat!("web/", $name)))),+] }
    };
}

/// Of joined scripts each stands behind those that it imports. tests/browser/mock.mjs reads this table.
const ASSETS: [Asset; 8] = [
    joined!("/", HTML, "index.html"),
    joined!("/style.css", STYLE, "style.css", "manage.css"),
    joined!("/icon.svg", "image/svg+xml", "icon.svg"),
    joined!("/early.js", SCRIPT, "early.js"),
    joined!(
        "/app.js",
        SCRIPT,
        "dom.js",
        "texts.js",
        "api.js",
        "status.js",
        "qr.js",
        "graph.js",
        "add.js",
        "setup.js",
        "home.js",
        "app.js"
    ),
    joined!("/views.js", SCRIPT, "manage.js", "channels.js", "sources.js", "guide.js", "system.js"),
    joined!("/texts-en.js", SCRIPT, "texts-en.js", "texts-manage-en.js"),
    joined!("/texts-de.js", SCRIPT, "texts-de.js", "texts-manage-de.js"),
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
        let mut part = 0;
        while part < ASSETS[index].parts.len() {
            let body = ASSETS[index].parts[part].1.as_bytes();
            let mut at = 0;
            while at < body.len() {
                hash = (hash ^ body[at] as u64).wrapping_mul(0x0100_0000_01b3);
                at += 1;
            }
            part += 1;
        }
        index += 1;
    }
    hash
};

/// Each file packed, as soon as that is done.
static PACKED: [OnceLock<Option<Vec<u8>>>; ASSETS.len()] = [const { OnceLock::new() }; ASSETS.len()];

/// Packs all of them, on a thread that ends then: a large one takes a small board's core for many milliseconds, which
/// nobody who watches may have to wait for. Who comes earlier gets them as they are.
pub fn pack() {
    const TABLE: &[Asset] = &ASSETS;
    let all = || {
        for asset in TABLE {
            packed(asset);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("page".to_owned()).stack_size(256 * 1024).spawn(all) {
        tracing::warn!(%error, "no thread to pack the page");
    }
}

fn place_of(asset: &Asset) -> Option<usize> {
    ASSETS.iter().position(|known| known.path == asset.path)
}

fn packed(asset: &'static Asset) -> Option<&'static [u8]> {
    let pack = || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bare(asset).as_bytes()).ok()?;
        encoder.finish().ok()
    };
    PACKED[place_of(asset)?].get_or_init(pack).as_deref()
}

/// What is served: the parts, without indentation, empty lines, and lines that are nothing but comment. What scripts
/// import of each other stands before them, once, and not at all if they are joined.
fn bare(asset: &Asset) -> String {
    let mut imports = BTreeMap::<&str, BTreeSet<&str>>::new();
    let mut bare = String::new();
    for (_, part) in asset.parts {
        let mut in_comment = false;
        for line in part.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let begins = line.starts_with("/*") || line.starts_with("<!--");
            let is_comment = in_comment || begins || line.starts_with("//");
            in_comment = (in_comment || begins) && !line.ends_with("*/") && !line.ends_with("-->");
            if let Some((names, from)) = import(line) {
                imports.entry(home_of(from)).or_default().extend(names.split(", "));
            } else if !is_comment {
                bare.push_str(line);
                bare.push('\n');
            }
        }
    }
    for (from, names) in imports.into_iter().filter(|(from, _)| *from != asset.path) {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        bare.insert_str(0, &format!("import {{ {names} }} from \".{from}\";\n"));
    }
    bare
}

/// `import { names } from "./from";`
fn import(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("import { ")?.strip_suffix("\";")?.split_once(" } from \"./")
}

/// The path of the file that has the script as a part.
fn home_of(script: &str) -> &'static str {
    let has = |asset: &&Asset| asset.parts.iter().any(|(name, _)| *name == script);
    ASSETS.iter().find(has).map_or("", |asset| asset.path)
}

/// Serves a file; a browser that has this release's already is told so.
pub(super) fn serve(asset: &'static Asset, request: &Request<()>) -> Response<Body> {
    let packed =
        place_of(asset).filter(|_| accepts_gzip(request.headers())).and_then(|place| PACKED[place].get()?.as_deref());
    let form = if packed.is_some() { "gz" } else { "" };
    let release =
        HeaderValue::try_from(format!("\"{RELEASE:016x}{form}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    let mut response = if request.headers().get(IF_NONE_MATCH) == Some(&release) {
        answer::plain(StatusCode::NOT_MODIFIED, asset.content_type, "")
    } else {
        let body = packed.map_or_else(|| Bytes::from(bare(asset)), Bytes::from_static);
        let mut whole = answer::plain(StatusCode::OK, asset.content_type, body);
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
            assert!(body == bare(asset).as_bytes(), "{path}");
            sum += packed.len();
        }
        assert!(sum <= BYTES_MAX, "{sum}");
    }

    #[test]
    fn what_is_served_of_scripts_is_what_runs_and_what_they_import_of_others() {
        static ASSET: Asset = Asset {
            path: "/app.js",
            content_type: SCRIPT,
            parts: &[
                (
                    "a.js",
                    "// a\nimport { t } from \"./texts.js\";\nlet b = 1; // c\n\n  /** d\n   * e */\n  f(\"/* g\");\n",
                ),
                (
                    "h.js",
                    "import { form, field } from \"./manage.js\";\nimport { field } from \"./manage.js\";\ni();\n",
                ),
            ],
        };
        assert_eq!(bare(&ASSET), "import { field, form } from \"./views.js\";\nlet b = 1; // c\nf(\"/* g\");\ni();\n");
    }

    #[test]
    fn scripts_import_only_what_is_served() {
        for (name, part) in ASSETS.iter().flat_map(|asset| asset.parts) {
            for from in part.lines().filter_map(import).map(|(_, from)| from) {
                assert!(!home_of(from).is_empty(), "{name} imports {from}");
            }
        }
    }

    #[test]
    fn who_takes_gzip_gets_it_and_each_form_has_a_tag_of_its_own() {
        let ask = |name: &str, value: &str| Request::builder().header(name, value).body(()).unwrap();
        let home = asset("/").unwrap();
        packed(home).unwrap();
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

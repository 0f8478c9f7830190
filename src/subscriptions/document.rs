//! A document, from an address or a local file, and a bound on its size. How one is fetched, how long that may take and
//! how far it may lead: [`crate::fetch`].

use crate::fetch::{Answer, Ask, Fetcher, Kind};
use crate::store::guide::Validators;
use bytes::Bytes;
use hyper::header::{ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use pure::limits::{NAME_BYTES_MAX, PLAYLIST_BYTES_MAX};
use pure::model::headers::Headers;
use pure::model::provider::Provider;
use pure::model::source_url::SourceUrl;
use pure::rules::reach::Reach;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What is said when a document has no end in sight.
pub(super) fn too_large(bytes_max: u64) -> String {
    format!("it is larger than {} MiB", bytes_max / 1024 / 1024)
}

/// How something is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    /// Who fetches it.
    pub(super) fetcher: &'a Fetcher,
    /// How far its address may lead.
    pub(super) reach: Reach,
    /// What people call it.
    pub(super) thing: &'static str,
    /// How large it may be.
    pub(super) bytes_max: u64,
    /// What the provider wants to see; otherwise who we are.
    pub(super) user_agent: Option<&'a str>,
    /// And what else.
    pub(super) headers: Option<&'a Headers>,
    /// How it is reached, if its provider has a way of his own.
    pub(super) provider: Option<&'a Provider>,
    /// The version that we have.
    pub(super) known: Option<&'a Validators>,
}

impl<'a> Asking<'a> {
    /// For a playlist whose address the owner typed.
    pub(super) fn new(fetcher: &'a Fetcher) -> Self {
        let (reach, bytes_max) = (fetcher.typed(), PLAYLIST_BYTES_MAX as u64);
        Self {
            fetcher,
            reach,
            thing: "playlist",
            bytes_max,
            user_agent: None,
            headers: None,
            provider: None,
            known: None,
        }
    }

    /// For what a provider's own list or login is.
    pub(super) fn of(self, provider: Option<&'a Provider>) -> Self {
        let Some(by) = provider else { return self };
        Self { user_agent: by.user_agent.as_deref(), headers: Some(&by.headers), provider, ..self }
    }

    /// For what he names elsewhere, too: only his own host is told what is his.
    pub(super) fn named_by(self, provider: Option<&'a Provider>, url: &SourceUrl) -> Self {
        let headers = provider.and_then(|by| by.headers_at(url));
        Self { headers, ..self.of(provider) }
    }

    /// Opens a document; `None`: it is the version that we have. Errors are for people, and name no secret.
    pub(super) async fn get(self, url: &SourceUrl) -> Result<Option<Document>, String> {
        let known = self.known.map(|known| {
            let all = [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)];
            all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)))
        });
        let conditions: Vec<(HeaderName, String)> = known.into_iter().flatten().collect();
        let Self { user_agent, headers, provider, .. } = self;
        let ask = Ask { user_agent, headers, provider, conditions: &conditions, ..Ask::new(url, self.reach) };
        match self.fetcher.session().get(ask).await {
            Ok(answer) => {
                let reach = answer.reach;
                Ok(Some(Document { reach, bytes_max: self.bytes_max, body: Body::Answer(Box::new(answer)) }))
            }
            Err(error) => match error.kind {
                Kind::Status(304, _) if !conditions.is_empty() => Ok(None),
                Kind::Status(status, _) => Err(format!("{error}: {}", explain_status(status, self.thing))),
                _ => Err(error.to_string()),
            },
        }
    }

    /// The same, also of a local file if `address` is its path, which only the owner can have written.
    pub(super) async fn read(self, address: &str) -> Result<Option<Document>, String> {
        if let Ok(url) = address.parse::<SourceUrl>() {
            return self.get(&url).await;
        }
        let (file, whole) = open_plain(Path::new(address))?;
        let reach = self.fetcher.typed();
        Ok(Some(Document { reach, bytes_max: self.bytes_max, body: Body::File(file, whole) }))
    }
}

/// A document that was found, and is still to be read.
pub(super) struct Document {
    /// How far the addresses in it may lead: no further than to where it lies itself.
    pub(super) reach: Reach,
    bytes_max: u64,
    body: Body,
}

enum Body {
    Answer(Box<Answer>),
    /// With its length.
    File(fs::File, u64),
}

impl Document {
    /// Gives it to `take`, piece by piece so that nobody else waits long, each with the length of the whole where that is
    /// known; and tells its version.
    pub(super) async fn pour(
        self,
        mut take: impl AsyncFnMut(Bytes, Option<u64>) -> Result<(), String>,
    ) -> Result<Validators, String> {
        let mut left = self.bytes_max;
        let mut body = self.body;
        let mut buffer = vec![0; if matches!(body, Body::File(..)) { 64 * 1024 } else { 0 }];
        loop {
            let (piece, whole) = match &mut body {
                Body::Answer(answer) => (answer.piece().await.map_err(|error| error.to_string())?, answer.whole),
                Body::File(file, whole) => {
                    let len = file.read(&mut buffer).map_err(|error| format!("the file cannot be read ({error})"))?;
                    let piece = buffer.get(..len).filter(|piece| !piece.is_empty());
                    (piece.map(Bytes::copy_from_slice), Some(*whole))
                }
            };
            let Some(bytes) = piece else { return Ok(version(&body)) };
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| too_large(self.bytes_max))?;
            take(bytes, whole).await?;
            tokio::task::yield_now().await;
        }
    }
}

/// What the server calls what it gave.
fn version(body: &Body) -> Validators {
    let Body::Answer(answer) = body else { return Validators::default() };
    let said = |name: HeaderName| {
        let value = answer.headers.get(name).and_then(|value| value.to_str().ok());
        // Longer ones are no names but contents.
        value.filter(|value| value.len() <= NAME_BYTES_MAX).map(ToOwned::to_owned)
    };
    Validators { etag: said(ETAG), last_modified: said(LAST_MODIFIED) }
}

/// Opens a plain file, and says how long it is.
fn open_plain(path: &Path) -> Result<(fs::File, u64), String> {
    // A pipe without writer would block for ever.
    let opened = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| format!("the file cannot be opened ({error})"))?;
    let kind = file.metadata().map_err(|error| format!("the file cannot be looked at ({error})"))?;
    if kind.is_dir() {
        return Err("it is a directory, not a file".to_owned());
    }
    if kind.is_file() { Ok((file, kind.len())) } else { Err("it is no plain file".to_owned()) }
}

fn explain_status(status: u16, thing: &str) -> String {
    match status {
        401 | 403 => "it refuses the login, which may have expired".to_owned(),
        404 | 410 => format!("there is no such {thing}"),
        429 => "it was asked too often".to_owned(),
        500.. => "it has trouble of its own".to_owned(),
        _ => format!("which is no {thing}"),
    }
}

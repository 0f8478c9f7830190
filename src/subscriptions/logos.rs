//! Logos: fetched when the first client wants one, kept by the store, served by us. A provider's server sees one request
//! for each, and no client has to reach it.

use super::document::Asking;
use super::{Error, Handle};
use crate::clock;
use bytes::Bytes;
use pure::limits::{LOGO_BYTES_MAX, LOGO_FAILURE_MS, LOGO_FAILURES_MAX, LOGO_FETCHES_MAX};
use pure::model::fingerprint::Fingerprint;
use pure::model::lineup::{Channel, Source};
use pure::model::source_url::SourceUrl;
use pure::time::Mono;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long one may take, all in all.
const WITHIN: Duration = Duration::from_secs(15);

/// Logos on their way.
pub(super) struct Logos {
    turns: Semaphore,
    /// Not to be had, until then.
    failed: RefCell<BTreeMap<i64, Mono>>,
}

impl Logos {
    pub(super) fn new() -> Self {
        Self { turns: Semaphore::new(LOGO_FETCHES_MAX), failed: RefCell::default() }
    }

    fn has_failed(&self, fingerprint: i64) -> bool {
        self.failed.borrow().get(&fingerprint).is_some_and(|until| *until > clock::mono())
    }

    fn fail(&self, fingerprint: i64) {
        let (now, mut failed) = (clock::mono(), self.failed.borrow_mut());
        failed.retain(|_, until| *until > now);
        if failed.len() < LOGO_FAILURES_MAX {
            failed.insert(fingerprint, now.plus_ms(LOGO_FAILURE_MS));
        }
    }
}

/// What a picture is, by its first bytes. SVG is none: it can hold programs.
pub(super) fn content_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

impl Handle {
    /// The logo of a channel, and what kind of picture it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]: it is not to be had, or is no picture. [`Error::Later`]: others are being fetched.
    pub async fn logo(&self, channel: &Channel) -> Result<(Vec<u8>, &'static str), Error> {
        let (store, logos, address) = (&self.0.rooms.store, &self.0.logos, &channel.logo);
        let fingerprint = Fingerprint::EMPTY.with(address).signed();
        let day = clock::wall().0.div_euclid(86_400);
        if let Some(bytes) = store.logo(fingerprint, day).await? {
            let kind = content_type(&bytes).ok_or(Error::NotFound)?;
            return Ok((bytes, kind));
        }
        if logos.has_failed(fingerprint) {
            return Err(Error::NotFound);
        }
        let turn = tokio::time::timeout(WITHIN, logos.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Error::Later("too many logos are wanted at once".to_owned())) };
        let url: SourceUrl = address.parse().map_err(|_| Error::NotFound)?;
        let asking = Asking::new(&self.0.rooms.fetcher);
        // A provider's leads no further than his stream.
        let listed = channel.sources.iter().find_map(|source| match source {
            Source::Url { reach, provider, .. } => Some((*reach, provider.as_deref())),
            Source::Demo(_) => None,
        });
        let own = store.has_own_logo(channel.id).await?;
        let (reach, provider) = if own { (asking.reach, None) } else { listed.unwrap_or_default() };
        let asking = Asking { reach, thing: "logo", ..asking }.named_by(provider, &url);
        let mut bytes = Vec::new();
        let take = async |piece: Bytes, _| {
            if bytes.len() + piece.len() > LOGO_BYTES_MAX {
                return Err("it is too large for a logo".to_owned());
            }
            bytes.extend_from_slice(&piece);
            Ok(())
        };
        let fetching = async {
            let document = asking.get(&url).await?;
            document.ok_or("nobody asked for that")?.pour(take).await
        };
        let fetched = tokio::time::timeout(WITHIN, fetching).await;
        let kind = if matches!(fetched, Ok(Ok(_))) { content_type(&bytes) } else { None };
        let Some(kind) = kind else {
            logos.fail(fingerprint);
            return Err(Error::NotFound);
        };
        store.keep_logo(fingerprint, day, bytes.clone()).await?;
        Ok((bytes, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_are_logos() {
        assert_eq!(content_type(b"\x89PNG\r\n"), Some("image/png"));
        assert_eq!(content_type(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        for other in [&b""[..], b"<svg onload=alert(1)>", b"<html>", b"RIFF\0\0\0\0WAVE", b"\xff\xd8"] {
            assert_eq!(content_type(other), None);
        }
    }
}

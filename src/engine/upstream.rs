//! What a source sends, as pieces of bytes: a stream over HTTP as it comes, or the segments of an HLS playlist one after
//! the other, decrypted.
//!
//! Nothing here is unbounded, and nothing is fetched ahead: whoever takes the pieces sets the pace. Where things may be
//! fetched from is decided in [`crate::fetch`], which segment is next in `pure::rules::window`. Whether silence has
//! lasted too long is for `pure::rules::pool` to say, not for a time-out here.

use crate::clock;
use crate::fetch::proxy::Proxy;
use crate::fetch::{Answer, Ask, FetchError, Fetcher, Rest, Session};
use aes::cipher::{BlockDecryptMut as _, KeyIvInit as _};
use hyper::body::Bytes;
use pure::limits::{HLS_BYTES_MAX, HLS_MISSES_MAX, HLS_SEGMENT_BYTES_MAX, PULL_COALESCE_MS};
use pure::model::headers::Headers;
use pure::model::lineup::Source;
use pure::model::provider::Provider;
use pure::model::recipe::{self, Reader};
use pure::model::source_url::SourceUrl;
use pure::rules::failure::{End, Failure};
use pure::rules::reach::Reach;
use pure::rules::window::Window;
use pure::time::Mono;
use pure::wire::hls::{self, Media, Playlist};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why no more comes.
#[derive(Debug)]
pub(super) struct Broken {
    /// What that is for the channel.
    pub(super) end: End,
    /// For people.
    pub(super) text: String,
    /// It is sound, but FFmpeg had better fetch it by itself, as this.
    pub(super) beyond: Option<Reader>,
}

impl Broken {
    pub(super) fn new(end: End, text: impl fmt::Display) -> Self {
        Self { end, text: text.to_string(), beyond: None }
    }

    pub(super) fn beyond(reader: Reader) -> Self {
        let text = "it is of a kind that FFmpeg fetches by itself";
        Self { beyond: Some(reader), ..Self::new(End::Failed(Failure::NotTs), text) }
    }

    /// Whether it says for sure what that is for the channel.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self.end, End::Failed(_) | End::Clock | End::Busy { .. })
    }
}

impl From<FetchError> for Broken {
    fn from(error: FetchError) -> Self {
        Self::new(error.end(), error)
    }
}

/// What comes next.
pub(super) enum Piece {
    /// Some bytes.
    Bytes(Bytes),
    /// What comes after this follows on nothing.
    Discontinuity,
    /// Nothing more.
    End,
}

/// A source that is to be opened.
#[derive(Clone)]
pub(super) struct Remote {
    fetcher: Fetcher,
    url: SourceUrl,
    reach: Reach,
    wants: Wants,
}

/// What a provider wants to see in every request.
#[derive(Clone)]
struct Wants {
    user_agent: String,
    headers: Headers,
    provider: Option<Arc<Provider>>,
}

impl Wants {
    fn ask<'a>(&'a self, url: &'a SourceUrl, reach: Reach) -> Ask<'a> {
        let (user_agent, headers) = (Some(self.user_agent.as_str()), Some(&self.headers));
        Ask { user_agent, headers, provider: self.provider.as_deref(), ..Ask::new(url, reach) }
    }
}

impl Remote {
    /// Of a source on the network.
    pub(super) fn of(fetcher: &Fetcher, source: &Source) -> Option<Self> {
        let Source::Url { url, reach, headers, provider, .. } = source else { return None };
        let headers = provider.as_ref().map_or_else(|| headers.clone(), |by| headers.under(&by.headers));
        let wants = Wants { user_agent: recipe::user_agent(source), headers, provider: provider.clone() };
        Some(Self { fetcher: fetcher.clone(), url: url.clone(), reach: *reach, wants })
    }

    /// A proxy for a child that fetches it by itself.
    pub(super) fn proxy(&self) -> io::Result<Proxy> {
        Proxy::new(&self.fetcher, &self.url, self.reach, self.wants.provider.clone())
    }

    /// The source as such a child is told of it: at the host where it was found.
    pub(super) fn found(&self, source: &Source) -> Source {
        let mut found = source.clone();
        if let Source::Url { url, reach, provider, .. } = &mut found {
            (*url, *reach) = self.fetcher.place(url, *reach, provider.as_deref());
        }
        found
    }
}

/// An open source.
pub(super) enum Upstream {
    /// As it comes; the first piece was looked at.
    Stream { answer: Box<Answer>, first: Option<Bytes> },
    /// Segments of a playlist.
    Hls(Box<Follower>),
}

impl Upstream {
    /// Asks the source, and finds out what it is.
    pub(super) async fn open(remote: &Remote) -> Result<Self, Broken> {
        let Remote { fetcher, url, reach, wants } = remote;
        let mut session = fetcher.session();
        let mut answer = session.get(wants.ask(url, *reach)).await?;
        let first = answer.next().await?;
        // Providers serve anything under any name.
        match first.as_deref().and_then(Reader::of_content) {
            Some(Reader::File) => return Err(Broken::beyond(Reader::File)),
            Some(Reader::Hls) => {}
            _ if url.looks_like_hls() => {}
            _ => return Ok(Self::Stream { answer: Box::new(answer), first }),
        }
        let text = document(&mut answer, first).await?;
        Ok(Self::Hls(Box::new(Follower::open(session, answer, text, wants.clone()).await?)))
    }

    /// Whether it is a playlist.
    pub(super) fn is_playlist(&self) -> bool {
        matches!(self, Self::Hls(_))
    }

    /// A stream comes as it plays: from now on many small pieces may be taken as few large ones, straight from the network
    /// where nothing must be done to it. Segments come in one go.
    pub(super) fn relax(self) -> Result<Rest, Self> {
        match self {
            Self::Stream { answer, first: None } => {
                answer.relax(PULL_COALESCE_MS).map_err(|answer| Self::Stream { answer, first: None })
            }
            other => Err(other),
        }
    }

    /// The next piece; waited for as long as it takes.
    pub(super) async fn next(&mut self) -> Result<Piece, Broken> {
        match self {
            Self::Stream { answer, first } => match first.take() {
                Some(bytes) => Ok(Piece::Bytes(bytes)),
                None => Ok(answer.next().await?.map_or(Piece::End, Piece::Bytes)),
            },
            Self::Hls(follower) => follower.next().await,
        }
    }
}

/// Reads a playlist to its end.
async fn document(answer: &mut Answer, first: Option<Bytes>) -> Result<String, Broken> {
    let mut text = Vec::new();
    let mut next = first;
    while let Some(bytes) = next {
        if text.len() + bytes.len() > HLS_BYTES_MAX {
            return Err(Broken::new(End::Failed(Failure::Limit), hls::HlsError::TooLong));
        }
        text.extend_from_slice(&bytes);
        next = answer.piece().await?;
    }
    // Names in odd letters are no reason to stop.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn read(text: &str) -> Result<Playlist, Broken> {
    hls::parse(text).map_err(refused)
}

fn refused(error: hls::HlsError) -> Broken {
    match error {
        hls::HlsError::Beyond => Broken::beyond(Reader::Hls),
        hls::HlsError::TooLong => Broken::new(End::Failed(Failure::Limit), error),
        _ => Broken::new(End::Failed(Failure::NotTs), error),
    }
}

/// A segment that is being read.
struct Open {
    answer: Answer,
    cipher: Option<Cipher>,
    left: u64,
    is_first: bool,
}

/// Follows an HLS playlist.
pub(super) struct Follower {
    session: Session,
    wants: Wants,
    /// Where the window is, and how far its addresses may lead.
    url: SourceUrl,
    reach: Reach,
    /// Where it was asked for: a redirect may lead elsewhere the next time.
    asked: (SourceUrl, Reach),
    media: Media,
    window: Window,
    look_at: Mono,
    open: Option<Open>,
    /// What was taken from the window and is not opened yet.
    next: Option<Wanted>,
    key: Option<(String, [u8; 16])>,
    misses: u8,
}

/// A segment that is to be fetched.
struct Wanted {
    part: hls::Part,
    key: Option<(String, [u8; 16])>,
    discontinuity: bool,
}

impl Follower {
    async fn open(session: Session, answer: Answer, text: String, wants: Wants) -> Result<Self, Broken> {
        let (url, reach) = (answer.url.clone(), answer.reach);
        let mut follower = Self {
            session,
            wants,
            asked: (url.clone(), reach),
            url,
            reach,
            media: Media::default(),
            window: Window::default(),
            look_at: Mono::default(),
            open: None,
            next: None,
            key: None,
            misses: 0,
        };
        follower.session.done(answer);
        match read(&text)? {
            Playlist::Media(media) => follower.media = media,
            Playlist::Master(variants) => {
                let chosen = hls::choose(&variants).map_err(refused)?.uri.clone();
                follower.asked = (follower.resolve(&chosen)?, reach);
                follower.look().await?;
            }
        }
        let pause_ms = follower.window.refresh_ms(&follower.media);
        follower.look_at = clock::mono().plus_ms(pause_ms);
        Ok(follower)
    }

    fn resolve(&self, uri: &str) -> Result<SourceUrl, Broken> {
        let policy =
            |error| Broken::new(End::Failed(Failure::Policy), format!("its playlist has a bad address: {error}"));
        let url = self.url.resolve(uri).map_err(policy)?;
        if self.url.scheme() == pure::model::source_url::Scheme::Https && url.scheme() != self.url.scheme() {
            let text = "its playlist leads from https to http, which could be read on the way";
            return Err(Broken::new(End::Failed(Failure::Policy), text));
        }
        Ok(url)
    }

    async fn ask(&mut self, url: &SourceUrl, reach: Reach, range: Option<(u64, u64)>) -> Result<Answer, Broken> {
        let ask = Ask { range, ..self.wants.ask(url, reach) };
        Ok(self.session.get(ask).await?)
    }

    /// Gets the window as it is now.
    async fn look(&mut self) -> Result<(), Broken> {
        let (url, reach) = self.asked.clone();
        let mut answer = self.ask(&url, reach, None).await?;
        let first = answer.piece().await?;
        let text = document(&mut answer, first).await?;
        let Playlist::Media(media) = read(&text)? else {
            return Err(Broken::new(End::Failed(Failure::NotTs), "its playlist names playlists of playlists"));
        };
        (self.url, self.reach, self.media) = (answer.url.clone(), answer.reach, media);
        self.session.done(answer);
        Ok(())
    }

    async fn next(&mut self) -> Result<Piece, Broken> {
        loop {
            if let Some(open) = &mut self.open {
                match open.next().await {
                    Ok(Some(bytes)) => {
                        if std::mem::take(&mut open.is_first) {
                            self.misses = 0;
                            // Sound without a wrapping, most likely.
                            if bytes.first() != Some(&pure::wire::ts::SYNC_BYTE) {
                                return Err(Broken::beyond(Reader::Hls));
                            }
                        }
                        return Ok(Piece::Bytes(bytes));
                    }
                    Ok(None) => {
                        if let Some(Open { answer, .. }) = self.open.take() {
                            self.session.done(answer);
                        }
                    }
                    Err(broken) => self.missed(broken)?,
                }
                continue;
            }
            if let Some(wanted) = &mut self.next {
                if std::mem::take(&mut wanted.discontinuity) {
                    return Ok(Piece::Discontinuity);
                }
                if let Err(broken) = self.open_next().await {
                    self.missed(broken)?;
                }
                continue;
            }
            if !self.take() {
                if self.window.is_over(&self.media) {
                    return Ok(Piece::End);
                }
                clock::until(Some(self.look_at)).await;
                if let Err(broken) = self.look().await {
                    self.missed(broken)?;
                }
                self.look_at = clock::mono().plus_ms(self.window.refresh_ms(&self.media));
            }
        }
    }

    /// A segment, or a look at the window, that failed may be an accident; several in a row are the source's end. What
    /// must not be opened never is an accident.
    fn missed(&mut self, broken: Broken) -> Result<(), Broken> {
        (self.open, self.next) = (None, None);
        self.window.missed();
        self.misses += 1;
        let is_final = broken.beyond.is_some()
            || matches!(broken.end, End::Failed(failure) if failure.is_final() || failure == Failure::Limit);
        if is_final || self.misses >= HLS_MISSES_MAX { Err(broken) } else { Ok(()) }
    }

    /// Takes the next segment from the window, if there is one.
    fn take(&mut self) -> bool {
        let Some(next) = self.window.take(&self.media) else { return false };
        if next.segment.is_gap {
            self.window.missed();
            return true;
        }
        let key = self.media.key(next.segment).map(|key| (key.uri.clone(), hls::iv(key, next.sequence)));
        let (part, discontinuity) = (next.segment.part.clone(), next.discontinuity);
        self.next = Some(Wanted { part, key, discontinuity });
        true
    }

    /// Opens the segment that is to be read next.
    async fn open_next(&mut self) -> Result<(), Broken> {
        let Some(Wanted { part, key, .. }) = self.next.take() else { return Ok(()) };
        let cipher = match key {
            Some((uri, iv)) => Some(Cipher::new(self.key(&uri).await?, iv)),
            None => None,
        };
        let (url, reach) = (self.resolve(&part.uri)?, self.reach);
        let answer = self.ask(&url, reach, part.range).await?;
        if part.range.is_some() != answer.is_part {
            return Err(Broken::new(End::Failed(Failure::Http), "its server gives other bytes than were asked for"));
        }
        self.open = Some(Open { answer, cipher, left: HLS_SEGMENT_BYTES_MAX, is_first: true });
        Ok(())
    }

    async fn key(&mut self, uri: &str) -> Result<[u8; 16], Broken> {
        if let Some((_, key)) = self.key.as_ref().filter(|(known, _)| known == uri) {
            return Ok(*key);
        }
        let (url, reach) = (self.resolve(uri)?, self.reach);
        let mut answer = self.ask(&url, reach, None).await?;
        let mut bytes = heapless::Vec::<u8, 16>::new();
        let odd = || Broken::new(End::Failed(Failure::Http), "its key is no key");
        while let Some(piece) = answer.piece().await? {
            bytes.extend_from_slice(&piece).map_err(|()| odd())?;
        }
        let key = bytes.into_array().map_err(|_| odd())?;
        self.session.done(answer);
        self.key = Some((uri.to_owned(), key));
        Ok(key)
    }
}

impl Open {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let Some(bytes) = self.answer.piece().await? else {
                return match self.cipher.take() {
                    None => Ok(None),
                    Some(cipher) => cipher.finish().map(|last| Some(last).filter(|last| !last.is_empty())),
                };
            };
            self.left = self
                .left
                .checked_sub(bytes.len() as u64)
                .ok_or_else(|| Broken::new(End::Failed(Failure::Limit), "one of its segments has no end in sight"))?;
            let Some(cipher) = &mut self.cipher else { return Ok(Some(bytes)) };
            let bytes = cipher.push(&bytes);
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }
}

type Decryptor = cbc::Decryptor<aes::Aes128>;

const BLOCK: usize = 16;

/// Decrypts a segment as it comes. The last block waits for the end: it says how much of it is padding (PKCS #7).
struct Cipher {
    decryptor: Decryptor,
    waiting: Vec<u8>,
}

impl Cipher {
    fn new(key: [u8; BLOCK], iv: [u8; BLOCK]) -> Self {
        Self { decryptor: Decryptor::new(&key.into(), &iv.into()), waiting: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) -> Bytes {
        self.waiting.extend_from_slice(bytes);
        // At least one byte stays, and so at least the last block.
        let blocks = self.waiting.len().saturating_sub(1) / BLOCK;
        let rest = self.waiting.split_off(blocks * BLOCK);
        let mut whole = std::mem::replace(&mut self.waiting, rest);
        self.decrypt(&mut whole);
        whole.into()
    }

    fn decrypt(&mut self, whole: &mut [u8]) {
        for block in whole.chunks_exact_mut(BLOCK) {
            self.decryptor.decrypt_block_mut(block.into());
        }
    }

    fn finish(mut self) -> Result<Bytes, Broken> {
        let odd = || Broken::new(End::Failed(Failure::NotTs), "one of its segments cannot be decrypted");
        let mut last = std::mem::take(&mut self.waiting);
        if last.is_empty() {
            return Ok(Bytes::new());
        }
        if last.len() != BLOCK {
            return Err(odd());
        }
        self.decrypt(&mut last);
        let padding = last.last().copied().map_or(0, usize::from);
        if !(1..=BLOCK).contains(&padding) || !last.ends_with(&vec![u8::try_from(padding).unwrap_or(0); padding]) {
            return Err(odd());
        }
        last.truncate(BLOCK - padding);
        Ok(last.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_decrypted_in_whatever_pieces_it_comes() {
        // NIST SP 800-38A, F.2.1, and the block of padding that openssl adds.
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
        };
        let key: [u8; 16] = hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
        let iv: [u8; 16] = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let plain = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        let coded = hex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
                         55e21d7100b988ffec32feeafaf23538");
        for len in [1, 7, 16, 17, 48] {
            let mut cipher = Cipher::new(key, iv);
            let mut out: Vec<u8> = coded.chunks(len).flat_map(|piece| cipher.push(piece)).collect();
            out.extend(cipher.finish().unwrap());
            assert_eq!(out, plain, "{len}");
        }
        for cut in [0, 1, 15, 17, 32] {
            let mut cipher = Cipher::new(key, iv);
            cipher.push(&coded[..cut]);
            assert_eq!(cipher.finish().is_ok(), cut == 0, "{cut}");
        }
    }
}

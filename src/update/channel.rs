//! The update channel: asks it, and believes what it says or not; fetches bundles.
//!
//! Who may sign: `pure::wire::release`; what follows: `pure::rules::updating::rollout`. Here are the signatures. Nothing of
//! a document is read before both of them are good.

use super::intake::Incoming;
use super::release;
use crate::clock;
use crate::fetch::{Ask, Fetcher};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pure::limits::CHANNEL_BYTES_MAX;
use pure::model::source_url::{Scheme, SourceUrl};
use pure::rules::reach::Reach;
use pure::rules::updating::Refusal;
use pure::rules::updating::rollout::{Distrust, Seen, believe};
use pure::wire::release::{
    ChannelFile, DOCUMENT_WORD, Envelope, KEY_BYTES, KEY_WORD, KeyRecord, SIGNATURE_SUFFIX, hex,
};
use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, UnparsedPublicKey};

/// The root's public key: as PEM, or in hexadecimal.
const ROOT_KEY: &str = "/etc/tunerd/channel.pub";
/// In front of an Ed25519 key in its usual form. Source: RFC 8410, section 4.
const KEY_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What was read of a channel, and where its addresses begin.
pub(super) struct Told {
    pub(super) file: ChannelFile,
    pub(super) seen: Seen,
    pub(super) url: SourceUrl,
    pub(super) reach: Reach,
}

/// An address that bundles and channels may have.
pub(super) fn address(text: &str) -> Result<SourceUrl, Refusal> {
    let url: Option<SourceUrl> = text.parse().ok();
    url.filter(|url| matches!(url.scheme(), Scheme::Http | Scheme::Https)).ok_or(Refusal::BadAddress)
}

/// Asks the channel at `url`.
pub(super) async fn ask(fetcher: &Fetcher, url: &SourceUrl, seen: Seen) -> Result<Told, Refusal> {
    let root = root_key().ok_or(Refusal::Channel(Distrust::NoRoot))?;
    if !clock::wall_is_plausible() {
        return Err(Refusal::Channel(Distrust::Clock));
    }
    let signature = address(&format!("{url}{SIGNATURE_SUFFIX}", url = url.as_str()))?;
    let (document, base, reach) = small(fetcher, url).await?;
    let (signature, ..) = small(fetcher, &signature).await?;
    let (file, key) = verify(&root, &document, &signature).map_err(Refusal::Channel)?;
    let seen = believe(seen, &key, &file, clock::wall()).map_err(Refusal::Channel)?;
    Ok(Told { file, seen, url: base, reach })
}

/// Checks both signatures, and only then reads what was signed.
fn verify(root: &[u8], document: &[u8], signature: &[u8]) -> Result<(ChannelFile, KeyRecord), Distrust> {
    let envelope = std::str::from_utf8(signature).ok().and_then(Envelope::parse).ok_or(Distrust::Signature)?;
    let is_good = |key: &[u8], word: &[u8], text: &[u8], signature: &[u8]| {
        UnparsedPublicKey::new(&ED25519, key).verify(&[word, text].concat(), signature).map_err(|_| Distrust::Signature)
    };
    is_good(root, KEY_WORD, envelope.record.as_bytes(), &envelope.root)?;
    let key = release::key(envelope.record.as_bytes()).ok_or(Distrust::Form)?;
    is_good(&key.key, DOCUMENT_WORD, document, &envelope.release)?;
    let file = release::file(document).ok_or(Distrust::Form)?;
    Ok((file, key))
}

fn root_key() -> Option<[u8; KEY_BYTES]> {
    let text = std::fs::read_to_string(ROOT_KEY).ok()?;
    let key = read_key(&text);
    if key.is_none() {
        tracing::warn!("{ROOT_KEY} holds no Ed25519 key");
    }
    key
}

fn read_key(text: &str) -> Option<[u8; KEY_BYTES]> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----") && !line.is_empty());
    let text: String = lines.collect();
    hex(&text).or_else(|| BASE64_STANDARD.decode(text).ok()?.strip_prefix(&KEY_HEAD)?.try_into().ok())
}

/// Fetches a document; gives where it was found, and how far addresses in it may lead.
async fn small(fetcher: &Fetcher, url: &SourceUrl) -> Result<(Vec<u8>, SourceUrl, Reach), Refusal> {
    let not_fetched = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "the update channel cannot be asked");
        Refusal::NotFetched
    };
    let mut answer =
        fetcher.session().get(Ask::new(url, fetcher.typed())).await.map_err(|error| not_fetched(&error))?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.piece().await.map_err(|error| not_fetched(&error))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > CHANNEL_BYTES_MAX {
            return Err(Refusal::Channel(Distrust::Form));
        }
    }
    Ok((bytes, answer.url, answer.reach))
}

/// What a bundle must be that was announced.
pub(super) struct Announced {
    pub(super) sha256: [u8; 32],
    pub(super) bytes: u64,
}

/// Fetches a bundle into its file. Of one that was announced no byte more is taken than was.
pub(super) async fn fetch(
    fetcher: &Fetcher,
    (url, reach): (&SourceUrl, Reach),
    announced: Option<&Announced>,
    incoming: &mut Incoming,
) -> Result<(), Refusal> {
    let not_fetched = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "an update cannot be fetched");
        Refusal::NotFetched
    };
    let mut answer = fetcher.session().get(Ask::new(url, reach)).await.map_err(|error| not_fetched(&error))?;
    let (mut hash, mut bytes) = (Context::new(&SHA256), 0);
    let whole = answer.whole.or(announced.map(|announced| announced.bytes));
    while let Some(piece) = answer.piece().await.map_err(|error| not_fetched(&error))? {
        bytes += piece.len() as u64;
        if announced.is_some_and(|announced| bytes > announced.bytes) {
            return Err(Refusal::NotAsAnnounced);
        }
        hash.update(&piece);
        incoming.write(&piece, whole).await?;
    }
    let is_it = |announced: &Announced| announced.bytes == bytes && hash.finish().as_ref() == announced.sha256;
    if announced.is_none_or(is_it) { Ok(()) } else { Err(Refusal::NotAsAnnounced) }
}

/// Where a server gives out parts of a bundle, and with it where RAUC can read it without our help.
pub(super) async fn parts(fetcher: &Fetcher, url: &SourceUrl) -> Option<SourceUrl> {
    let ask = Ask { range: Some((0, 1)), ..Ask::new(url, fetcher.typed()) };
    let answer = fetcher.session().get(ask).await.ok()?;
    answer.is_part.then_some(answer.url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    const DOCUMENT: &str =
        r#"{"format":1,"serial":1,"expires":"2027-01-01T00:00:00Z","version":"1.2","percentage":100,"bundles":{}}"#;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn digits(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
    }

    /// As tools sign a channel: the root key names the release key, which signs the document.
    fn envelope(root: &Ed25519KeyPair, named: &Ed25519KeyPair, release: &Ed25519KeyPair, document: &str) -> String {
        let key = digits(named.public_key().as_ref());
        let record = format!(r#"{{"format":1,"serial":1,"expires":"2027-01-01T00:00:00Z","key":"{key}"}}"#);
        let sign = |pair: &Ed25519KeyPair, word: &[u8], text: &str| {
            digits(pair.sign(&[word, text.as_bytes()].concat()).as_ref())
        };
        let (by_root, by_release) = (sign(root, KEY_WORD, &record), sign(release, DOCUMENT_WORD, document));
        format!("tunerd-signature 1\nkey {record}\nroot {by_root}\nrelease {by_release}\n")
    }

    #[test]
    fn both_keys_must_have_signed() {
        let (root, release, stranger) = (pair(1), pair(2), pair(3));
        let judge = |signature: &str, document: &str| {
            verify(root.public_key().as_ref(), document.as_bytes(), signature.as_bytes()).map(|(file, _)| file.serial)
        };
        let good = envelope(&root, &release, &release, DOCUMENT);
        assert_eq!(judge(&good, DOCUMENT), Ok(1));
        // The key after next, as the root names it, is as good: that is how keys are changed.
        let next = pair(4);
        assert_eq!(judge(&envelope(&root, &next, &next, DOCUMENT), DOCUMENT), Ok(1));
        let changed = DOCUMENT.replace("1.2", "1.3");
        for (signature, document, what) in [
            (good.as_str(), changed.as_str(), "another document"),
            (&envelope(&stranger, &release, &release, DOCUMENT), DOCUMENT, "another root"),
            (&envelope(&root, &release, &stranger, DOCUMENT), DOCUMENT, "another release key"),
            (&envelope(&root, &root, &release, DOCUMENT), DOCUMENT, "a key that signed nothing"),
            (&good.replace("\"serial\":1", "\"serial\":2"), DOCUMENT, "a changed record"),
            (&good[..good.len() - 20], DOCUMENT, "a truncated signature"),
            ("", DOCUMENT, "none"),
        ] {
            assert_eq!(judge(signature, document), Err(Distrust::Signature), "{what}");
        }
        // What one key signed is no signature of the other kind.
        let record = good.lines().nth(1).unwrap().strip_prefix("key ").unwrap();
        let mixed = good.replace("release ", "root ").replacen("root ", "release ", 1);
        assert_eq!(judge(&mixed, record), Err(Distrust::Signature));
        let other = "{\"format\":2}";
        assert_eq!(judge(&envelope(&root, &release, &release, other), other), Err(Distrust::Form));
    }

    #[test]
    fn keys_are_read_as_openssl_writes_them() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let key = read_key(pem).unwrap();
        // Source: RFC 8410, section 10.1.
        assert_eq!(digits(&key), "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        assert_eq!(read_key(&format!("{}\n", digits(&key))), Some(key));
        for wrong in ["", "-----BEGIN PUBLIC KEY-----", "19bf", &pem.replace("MCow", "MCov")] {
            assert_eq!(read_key(wrong), None, "{wrong}");
        }
    }
}

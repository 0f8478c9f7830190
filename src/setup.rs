//! `tunerd --setup`: takes over what somebody wrote into `setup.toml` on the card, before tunerd starts.
//!
//! All of it is judged first (`pure::model::setup`), then all of it is kept, and then the file is wiped. A power cut in
//! between repeats it at the next start, to the same result. What is wrong is explained where it was written, and on
//! the page: the file keeps what somebody wrote, and the box what it had.

use crate::access;
use crate::store::access::PasswordHash;
use crate::store::{self, Opened, StoreError};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use pure::limits::{PASSPHRASE_ROUNDS, SETUP_BYTES_MAX, SETUP_REFUSED_BYTES_MAX};
use pure::model::password;
use pure::model::setup::{Key, Network, Password, Setup, Written};
use pure::model::subscription::FieldError;
use ring::pbkdf2;
use serde::Deserialize;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// What the file is before somebody writes into it, and afterwards.
pub const TEMPLATE: &str = include_str!("../board/image/setup.toml");
/// In front of each line that explains what is wrong with the others.
const MARK: &str = "#! ";
/// So many of them.
const EXPLAINED_LINES: usize = 2;
/// In the state directory: the same, for the page.
const REFUSED: &str = "setup-refused";
/// Beside the file: one that nothing can be written into.
const ASIDE: &str = "setup-refused.toml";
/// Where the names of time zones are.
const ZONES: &str = "/usr/share/zoneinfo";

/// What it works with.
pub struct Places<'a> {
    /// What somebody may have written.
    pub file: &'a Path,
    /// Where `wpa_supplicant` is told of a network; none where that is not ours to say.
    pub wifi: Option<&'a Path>,
    /// Of the daemon, which does not run.
    pub state_dir: &'a Path,
    /// What the box is called when nobody says otherwise.
    pub name: &'a str,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is written.
    Nothing,
    /// It is so now.
    Applied,
    /// What went wrong, for people; nothing was taken over, but where it says so.
    Problem(String),
}

/// Takes over what is written.
pub fn run(places: &Places<'_>) -> Outcome {
    let outcome = take_over(places);
    let note = places.state_dir.join(REFUSED);
    match &outcome {
        Outcome::Problem(text) => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(places.state_dir);
            if let Err(error) = made.and_then(|()| fs::write(&note, text)) {
                tracing::warn!(%error, "the page will not tell it: {} cannot be written", note.display());
            }
        }
        Outcome::Nothing | Outcome::Applied => fs::remove_file(note).unwrap_or_default(),
    }
    outcome
}

/// What went wrong with what stands on the card; none when nothing did.
pub fn problem(state_dir: &Path) -> Option<String> {
    let file = File::open(state_dir.join(REFUSED)).ok()?;
    let mut bytes = Vec::new();
    file.take(SETUP_REFUSED_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn take_over(places: &Places<'_>) -> Outcome {
    let path = places.file;
    let (mut file, bytes) = match open(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Err(error) = begin(path, TEMPLATE) {
                tracing::warn!(%error, "{} cannot be made", path.display());
            }
            return Outcome::Nothing;
        }
        Err(error) => return refuse(&format!("it cannot be read: {error}"), Ok(())),
    };
    let text = if bytes.len() as u64 > SETUP_BYTES_MAX {
        Err(format!("it has more than {SETUP_BYTES_MAX} bytes"))
    } else {
        String::from_utf8(bytes).map_err(|_| "it is no plain text; save it as UTF-8".to_owned())
    };
    let text = match text {
        Ok(text) => text,
        Err(why) => {
            let explained = format!("{}{MARK}What was written is in {ASIDE} now.\n{TEMPLATE}", explain(&why));
            let moved = fs::rename(path, path.with_file_name(ASIDE)).and_then(|()| begin(path, &explained));
            return refuse(&why, moved);
        }
    };
    let own = without_marks(&text);
    let old_len = text.len();
    let taken = read(own).and_then(
        |written| {
            if written.is_empty() { Ok(false) } else { apply(written, places).map(|()| true) }
        },
    );
    match taken {
        // What was explained has been corrected by taking it away.
        Ok(false) if own.len() < old_len && own != TEMPLATE => finish(&mut file, old_len, Outcome::Nothing),
        Ok(false) => Outcome::Nothing,
        Ok(true) => finish(&mut file, old_len, Outcome::Applied),
        Err(why) => {
            let explained = explain(&why) + own;
            // The same as at the last start: the card is not written to.
            let told = if explained == text { Ok(()) } else { rewrite(&mut file, old_len, &explained) };
            refuse(&why, told)
        }
    }
}

fn refuse(why: &str, told: io::Result<()>) -> Outcome {
    if let Err(error) = told {
        tracing::warn!(%error, "it cannot be explained on the card");
    }
    Outcome::Problem(format!("What stands in setup.toml on the card was not taken over: {why}. Correct it there."))
}

/// The lines that explain it, [`EXPLAINED_LINES`] of them.
fn explain(why: &str) -> String {
    format!("{MARK}This was not taken over: {why}.\n{MARK}Correct it, save, and start the box again.\n")
}

/// What a person wrote: without our explanation, and what Windows puts in front of a text.
fn without_marks(text: &str) -> &str {
    let mut rest = text.trim_start_matches('\u{feff}');
    while rest.starts_with(MARK) {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest
}

// ---- Reading --------------------------------------------------------------------------------------------------------

/// The file, and one byte more of it than it may have.
fn open(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut file = OpenOptions::new().read(true).write(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(SETUP_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Lines {
    name: Option<String>,
    time_zone: Option<String>,
    playlist: Option<String>,
    password: Option<String>,
    password_hash: Option<String>,
    wifi_ssid: Option<String>,
    wifi_password: Option<String>,
    wifi_country: Option<String>,
}

/// What is written.
///
/// # Errors
/// Why that cannot be read: in which line, and never with a word of it.
pub fn read(text: &str) -> Result<Written, String> {
    let lines: Lines = toml::from_str(text).map_err(|error: toml::de::Error| {
        let what = match error.message() {
            message if message.starts_with("unknown field") => {
                "there is no such setting; those that there are stand in the file as it came with the box"
            }
            message if message.starts_with("duplicate") => "this setting stands twice",
            message if message.starts_with("invalid type") => "a text in quotation marks belongs behind the =",
            _ => "this is not written as name = \"text\"; \\ and \" in the text want a \\ in front of them",
        };
        let before = error.span().and_then(|span| text.get(..span.start));
        // As it is counted once this is explained above it.
        let line = before.map(|before| before.matches('\n').count() + 1 + EXPLAINED_LINES);
        line.map_or_else(|| what.to_owned(), |line| format!("line {line}: {what}"))
    })?;
    let Lines { name, time_zone, playlist, password, password_hash, wifi_ssid, wifi_password, wifi_country } = lines;
    Ok(Written { name, time_zone, playlist, password, password_hash, wifi_ssid, wifi_password, wifi_country })
}

// ---- Keeping --------------------------------------------------------------------------------------------------------

fn told(error: &FieldError) -> String {
    format!("{}: {}", error.field, error.why)
}

fn not_kept(error: &dyn fmt::Display) -> String {
    format!("the box could not keep it, and tries again at its next start: {error}")
}

/// Keeps all of it, or says why not.
fn apply(written: Written, places: &Places<'_>) -> Result<(), String> {
    let setup = written.judge().map_err(|error| told(&error))?;
    if setup.time_zone.as_ref().is_some_and(|zone| Path::new(ZONES).is_dir() && !Path::new(ZONES).join(zone).is_file())
    {
        return Err("time_zone: there is none of this name; write for example Europe/Berlin".to_owned());
    }
    let wifi = match (&setup.network, places.wifi) {
        (Some(network), Some(path)) => Some((path, for_supplicant(network))),
        (Some(_), None) => return Err("wifi_ssid: the network of this box is set up elsewhere".to_owned()),
        (None, _) => None,
    };
    let Opened { handle, device_id, problem, thread } =
        store::open(places.state_dir).map_err(|error| not_kept(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| not_kept(&error))?;
    let kept = match problem {
        Some(problem) => Err(not_kept(&problem)),
        None => runtime.block_on(keep(&handle, setup, &device_id.to_string(), places.name, || match wifi {
            Some((path, text)) => replace(path, &text).map_err(|error| not_kept(&error)),
            None => Ok(()),
        })),
    };
    handle.stop();
    if thread.join().is_err() {
        return Err(not_kept(&"the database ended badly"));
    }
    kept
}

/// Keeps what belongs into the database, as the page would; `first` is done when nothing can be wrong with it any more.
async fn keep(
    store: &store::Handle,
    setup: Setup,
    device_id: &str,
    usual_name: &str,
    first: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let no = |error: StoreError| not_kept(&error);
    let mut wishes = store.wishes().await.map_err(no)?;
    wishes.name = setup.name.or(wishes.name);
    wishes.time_zone = setup.time_zone.or(wishes.time_zone);
    let name = wishes.name.clone().unwrap_or_else(|| usual_name.to_owned());
    let hash = setup.password.map(|password| hash(&password, &[&name, device_id, "tunerd"])).transpose()?;
    first()?;
    let edit = |error: store::EditError| match error {
        store::EditError::Field(error) => told(&error),
        store::EditError::NotFound => not_kept(&"it is gone"),
        store::EditError::Store(error) => not_kept(&error),
    };
    store.set_wishes(wishes).await.map_err(edit)?;
    if let Some(playlist) = setup.playlist {
        let known = store.subscriptions().await.map_err(no)?;
        if known.iter().all(|(known, _)| known.address != playlist.address) {
            store.put(playlist).await.map_err(edit)?;
        }
    }
    if let Some(hash) = hash {
        store.set_password(hash, false).await.map_err(no)?;
    }
    Ok(())
}

fn hash(password: &Password, names: &[&str]) -> Result<PasswordHash, String> {
    match password {
        Password::Plain(password) => {
            password::judge(password, names).map_err(|weak| format!("password: {weak}"))?;
            access::hash(password).ok_or_else(|| not_kept(&"no memory, or no random numbers"))
        }
        Password::Hash(text) => access::read_hash(text).ok_or_else(|| {
            "password_hash: what this prints: argon2 \"$(openssl rand -hex 8)\" -id -t 2 -k 19456 -p 1 -l 32 -e"
                .to_owned()
        }),
    }
}

fn for_supplicant(network: &Network) -> String {
    let made = match &network.key {
        Key::None => None,
        Key::Made(made) => Some(*made),
        Key::Passphrase(passphrase) => {
            let mut made = [0; 32];
            let rounds = NonZeroU32::new(PASSPHRASE_ROUNDS).expect("not none");
            let (salt, secret) = (network.ssid.as_bytes(), passphrase.as_bytes());
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, rounds, salt, secret, &mut made);
            Some(made)
        }
    };
    network.for_supplicant(made.as_ref())
}

// ---- Writing --------------------------------------------------------------------------------------------------------

/// Old or new, whole, for nobody else to read, and on the disk. A link at this place is replaced, not followed.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => begin(&new, text)?,
    }
    fs::rename(&new, path)?;
    sync_folder(path)
}

/// A file that is not there yet.
fn begin(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The file is as it came with the box again. Until then it counts: the next start takes it over once more.
fn finish(file: &mut File, old_len: usize, outcome: Outcome) -> Outcome {
    match rewrite(file, old_len, TEMPLATE) {
        Ok(()) => outcome,
        Err(error) => Outcome::Problem(format!(
            "What stands in setup.toml on the card was taken over, but cannot be wiped ({error}): the passwords in it can \
             still be read."
        )),
    }
}

/// Writes over what is there, in place: what was written before is gone from where it stood, though a card may keep old
/// blocks where nobody but its maker can look.
fn rewrite(file: &mut File, old_len: usize, text: &str) -> io::Result<()> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(old_len.max(text.len()), b'\n');
    file.rewind()?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

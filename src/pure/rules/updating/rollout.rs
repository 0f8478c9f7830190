//! What an update channel may make us believe, and which boxes a release is for.
//!
//! The signatures were good when this is asked; what is left is who replays, withholds or mixes what was signed once. The
//! memory of a box is [`Seen`]: the key and the serial that it has believed last. A new key begins its serials anew, so
//! that whoever stole a key and signed the highest serial there is has gained nothing once the key is replaced.

use super::Version;
use crate::model::device_id::DeviceId;
use crate::model::fingerprint::Fingerprint;
use crate::time::Wall;
use crate::wire::release::{Bundle, ChannelFile, KeyRecord};
use alloc::string::ToString as _;

/// What was believed last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Serial of the release key.
    pub key: u64,
    /// Serial of the document.
    pub serial: u64,
}

/// Why a channel is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// There is no root key on this box.
    NoRoot,
    /// A signature is missing or wrong.
    Signature,
    /// What is signed cannot be read.
    Form,
    /// The clock of the box is not set, so nobody can say what is too old.
    Clock,
    /// The release key does not count any more.
    KeyExpired,
    /// A newer release key was seen.
    KeyReplaced,
    /// It should have been replaced by now.
    Expired,
    /// A newer one was seen.
    Replayed,
}

impl Distrust {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoRoot => "this box has no key that an update channel could be checked with",
            Self::Signature => "the update channel is not signed by who may sign it; somebody may have changed it",
            Self::Form => "the update channel says something that this version does not understand",
            Self::Clock => "the clock of this box is not set yet, so the update channel cannot be judged",
            Self::KeyExpired => "the key of the update channel has expired",
            Self::KeyReplaced => "the update channel is signed with a key that was replaced",
            Self::Expired => "what the update channel says is too old; somebody may keep newer updates from this box",
            Self::Replayed => "the update channel says something older than before; somebody may have put it there",
        }
    }
}

/// Believes what was signed, or not. What is given is the memory from now on.
///
/// # Errors
/// [`Distrust`]: the memory stays as it was.
pub fn believe(seen: Seen, key: &KeyRecord, file: &ChannelFile, now: Wall) -> Result<Seen, Distrust> {
    if key.serial < seen.key {
        return Err(Distrust::KeyReplaced);
    }
    if key.expires <= now {
        return Err(Distrust::KeyExpired);
    }
    let told = Seen { key: key.serial, serial: file.serial };
    if told < seen {
        return Err(Distrust::Replayed);
    }
    if file.expires <= now {
        return Err(Distrust::Expired);
    }
    Ok(told)
}

/// Why a release is not for this box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForUs {
    /// It runs, or something newer does.
    Current,
    /// There is none for this board.
    Board,
    /// Nobody gets it for now.
    Hold,
    /// It turned out to be bad.
    Aborted,
    /// Other boxes get it first.
    Later,
}

/// The bundle that this box may have. `failed`: a version that went wrong here and is not tried again by itself.
///
/// # Errors
/// [`NotForUs`]
pub fn choose<'a>(
    file: &'a ChannelFile,
    device: DeviceId,
    compatible: &str,
    running: Option<&Version>,
    failed: Option<&Version>,
) -> Result<&'a Bundle, NotForUs> {
    let bundle = file.bundles.iter().find(|bundle| bundle.compatible == compatible).ok_or(NotForUs::Board)?;
    if running.is_some_and(|running| file.version <= *running) {
        return Err(NotForUs::Current);
    }
    if file.abort.contains(&file.version) || failed == Some(&file.version) {
        return Err(NotForUs::Aborted);
    }
    if file.hold {
        return Err(NotForUs::Hold);
    }
    if place(device, &file.version) < file.percentage { Ok(bundle) } else { Err(NotForUs::Later) }
}

/// Where this box stands among a hundred, for this version: those who are first are others each time.
fn place(device: DeviceId, version: &Version) -> u8 {
    let print = Fingerprint::EMPTY.with(device.get().to_be_bytes()).with(version.to_string()).number();
    // The low bits of such a print are the worse ones.
    u8::try_from((print >> 32) % 100).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;

    const NOW: Wall = Wall(1_800_000_000);

    fn key(serial: u64) -> KeyRecord {
        KeyRecord { serial, expires: NOW.plus_s(1_000_000), key: [1; 32] }
    }

    fn file(serial: u64) -> ChannelFile {
        ChannelFile {
            serial,
            expires: NOW.plus_s(100_000),
            version: Version::parse("1.2").unwrap(),
            minimum_version: None,
            percentage: 100,
            hold: false,
            abort: vec![],
            bundles: vec![Bundle { compatible: "tunerd-test".into(), url: String::new(), sha256: [0; 32], bytes: 1 }],
        }
    }

    #[test]
    fn replay_an_older_document_is_not_believed() {
        let seen = believe(Seen::default(), &key(1), &file(7), NOW).unwrap();
        assert_eq!(seen, Seen { key: 1, serial: 7 });
        assert_eq!(believe(seen, &key(1), &file(6), NOW), Err(Distrust::Replayed));
        assert_eq!(believe(seen, &key(1), &file(7), NOW), Ok(seen), "the same one may come again");
        assert_eq!(believe(seen, &key(1), &file(8), NOW), Ok(Seen { key: 1, serial: 8 }));
    }

    #[test]
    fn freeze_what_has_expired_is_not_believed() {
        let old = ChannelFile { expires: NOW, ..file(7) };
        assert_eq!(believe(Seen::default(), &key(1), &old, NOW), Err(Distrust::Expired));
        let old = KeyRecord { expires: NOW, ..key(1) };
        assert_eq!(believe(Seen::default(), &old, &file(7), NOW), Err(Distrust::KeyExpired));
    }

    #[test]
    fn a_key_that_was_replaced_counts_no_more() {
        let seen = believe(Seen { key: 1, serial: 7 }, &key(2), &file(1), NOW).unwrap();
        assert_eq!(seen, Seen { key: 2, serial: 1 }, "a new key begins anew");
        assert_eq!(believe(seen, &key(1), &file(100), NOW), Err(Distrust::KeyReplaced));
    }

    #[test]
    fn fast_forward_a_stolen_key_cannot_end_all_updates() {
        let stolen = believe(Seen::default(), &key(1), &file(u64::MAX), NOW).unwrap();
        assert_eq!(believe(stolen, &key(1), &file(8), NOW), Err(Distrust::Replayed));
        assert!(believe(stolen, &key(2), &file(1), NOW).is_ok(), "the root key names another one");
    }

    fn chosen(file: &ChannelFile, random: u32) -> Result<(), NotForUs> {
        let running = Version::parse("1.1");
        choose(file, DeviceId::from_random(random), "tunerd-test", running.as_ref(), None).map(|_| ())
    }

    #[test]
    fn a_share_of_the_boxes_gets_it_first_and_those_stay_in() {
        let count = |percentage| {
            let file = ChannelFile { percentage, ..file(1) };
            (0..10_000).filter(|random| chosen(&file, *random).is_ok()).count()
        };
        assert_eq!((count(0), count(100)), (0, 10_000));
        for percentage in [1_u8, 10, 25, 50, 90] {
            let share = count(percentage);
            assert!(share.abs_diff(usize::from(percentage) * 100) < 250, "{percentage}: {share}");
        }
        for random in 0..1_000 {
            let mut was_in = false;
            for percentage in 0..=100 {
                let is_in = chosen(&ChannelFile { percentage, ..file(1) }, random).is_ok();
                assert!(is_in || !was_in, "who was in at a smaller share stays in");
                was_in = is_in;
            }
        }
        let other = ChannelFile { version: Version::parse("1.3").unwrap(), percentage: 10, ..file(1) };
        let firsts =
            |file: &ChannelFile| (0..1_000).filter(|random| chosen(file, *random).is_ok()).collect::<vec::Vec<_>>();
        assert_ne!(firsts(&other), firsts(&ChannelFile { percentage: 10, ..file(1) }), "others are first each time");
    }

    #[test]
    fn a_bad_release_stops() {
        assert_eq!(chosen(&file(1), 1), Ok(()));
        assert_eq!(chosen(&ChannelFile { hold: true, ..file(1) }, 1), Err(NotForUs::Hold));
        let aborted = ChannelFile { abort: vec![Version::parse("1.2").unwrap()], ..file(1) };
        assert_eq!(chosen(&aborted, 1), Err(NotForUs::Aborted));
        let (device, version) = (DeviceId::from_random(1), Version::parse("1.2").unwrap());
        let again = file(1);
        let failed = choose(&again, device, "tunerd-test", None, Some(&version));
        assert_eq!(failed.unwrap_err(), NotForUs::Aborted, "it is not tried again and again");
    }

    #[test]
    fn wrong_software_nothing_older_and_nothing_for_other_boards() {
        let older = ChannelFile { version: Version::parse("1.0").unwrap(), ..file(1) };
        assert_eq!(chosen(&older, 1), Err(NotForUs::Current));
        let same = ChannelFile { version: Version::parse("1.1.0").unwrap(), ..file(1) };
        assert_eq!(chosen(&same, 1), Err(NotForUs::Current), "it runs already");
        let file = file(1);
        let other = choose(&file, DeviceId::from_random(1), "tunerd-other", None, None);
        assert_eq!(other.unwrap_err(), NotForUs::Board);
    }
}

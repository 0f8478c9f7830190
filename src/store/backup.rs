//! One file with all that the owner chose, sealed with a password: nothing of it can be read without.
//!
//! The key is made with Argon2id, which takes memory and time on purpose; that is done on the store's thread, so that it
//! is done once at a time. What is sealed is packed first. The frame around it: `pure::wire::backup`; what is inside:
//! `document`.

use super::document::{self, Restored, Scope};
use super::owner::field;
use super::{EditError, Handle, StoreError};
use argon2::{Algorithm, Argon2, Params, Version};
use pure::limits::{BACKUP_BYTES_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};
use pure::wire::backup::{self, Costs, NONCE_BYTES, SALT_BYTES, TAG_BYTES};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Source: OWASP, Password Storage Cheat Sheet: the smallest memory that it recommends, which a Pi Zero has.
const COSTS: Costs = Costs { kib: 19 * 1024, passes: 2, lanes: 1 };

impl Handle {
    /// All that the owner chose, sealed with a password.
    ///
    /// # Errors
    /// The password is none, or it cannot be made.
    pub async fn backup(&self, password: String) -> Result<Vec<u8>, EditError> {
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count()) {
            let why = format!("{PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters");
            return Err(field("password", why));
        }
        self.ask(move |database| {
            let packed = document::pack(&database.owner, Scope::Backup)?;
            Ok(seal(packed, &password, COSTS)?)
        })
        .await
    }

    /// Makes everything what a backup says, whole or not at all. What was before is a revision.
    ///
    /// # Errors
    /// It cannot be opened, or it is none; nothing was changed.
    pub async fn restore(&self, file: Vec<u8>, password: String) -> Result<Restored, EditError> {
        if password.chars().count() > PASSWORD_CHARS_MAX {
            return Err(field("password", format!("at most {PASSWORD_CHARS_MAX} characters")));
        }
        self.replace("a backup restored".to_owned(), move |_| Ok((open(&file, &password)?, Scope::Backup))).await
    }
}

fn key(password: &str, salt: &[u8; SALT_BYTES], costs: Costs) -> Result<LessSafeKey, StoreError> {
    let failed = || StoreError("the key of the backup could not be made; is the box out of memory?".to_owned());
    let mut key = [0; 32];
    let params = Params::new(costs.kib, costs.passes, costs.lanes, Some(key.len())).map_err(|_| failed())?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.as_bytes(), salt, &mut key).map_err(|_| failed())?;
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(|_| failed())?))
}

fn seal(mut packed: Vec<u8>, password: &str, costs: Costs) -> Result<Vec<u8>, StoreError> {
    let failed = || StoreError("the backup could not be sealed".to_owned());
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    let random = SystemRandom::new();
    random.fill(&mut salt).and_then(|()| random.fill(&mut nonce)).map_err(|_| failed())?;
    let sealed_len = packed.len() + TAG_BYTES;
    if sealed_len > BACKUP_BYTES_MAX {
        return Err(StoreError("there is more than a backup can hold".to_owned()));
    }
    let mut file = backup::head(costs, &salt, &nonce, u32::try_from(sealed_len).map_err(|_| failed())?);
    let (key, nonce) = (key(password, &salt, costs)?, Nonce::assume_unique_for_key(nonce));
    key.seal_in_place_append_tag(nonce, Aad::from(&file), &mut packed).map_err(|_| failed())?;
    file.append(&mut packed);
    Ok(file)
}

/// What is packed in a backup.
fn open(file: &[u8], password: &str) -> Result<Vec<u8>, EditError> {
    let frame = backup::parse(file).map_err(|wrong| field("body", wrong.to_string()))?;
    let key = key(password, frame.salt, frame.costs)?;
    let mut sealed = frame.sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*frame.nonce);
    let len =
        key.open_in_place(nonce, Aad::from(frame.head), &mut sealed).map(|packed| packed.len()).map_err(|_| {
            field("password", "this is not the password that the backup was made with, or the file is damaged")
        })?;
    sealed.truncate(len);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As little as there may be: what is tried here is not how dear it is.
    const CHEAP: Costs = Costs { kib: 8, passes: 1, lanes: 1 };
    const PASSWORD: &str = "correct horse";

    #[test]
    fn only_the_password_and_every_byte_open_it() {
        let file = seal(b"SECRET42".to_vec(), PASSWORD, CHEAP).unwrap();
        assert_eq!(open(&file, PASSWORD).unwrap(), b"SECRET42");
        assert!(!file.windows(8).any(|part| part == b"SECRET42"));
        assert!(matches!(open(&file, "correct horsf"), Err(EditError::Field(error)) if error.field == "password"));
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                assert!(matches!(open(&damaged, PASSWORD), Err(EditError::Field(_))), "bit {bit} of byte {at}");
            }
        }
        for len in 0..file.len() {
            assert!(matches!(open(&file[..len], PASSWORD), Err(EditError::Field(error)) if error.field == "body"));
        }
        let again = seal(b"SECRET42".to_vec(), PASSWORD, CHEAP).unwrap();
        assert_ne!(file, again, "neither salt nor nonce is used twice");
    }
}

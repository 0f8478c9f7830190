//! The release procedure of `tools/README.md`, with `tools/keys` and the real RAUC.
//!
//! A leaked key that boxes go on trusting is worth as much as the box; a rotation that locks boxes out is worse. So the
//! whole life of two release keys is gone through here: made, used, followed by the next, revoked.

use crate::kit::{Folder, TUNERD, run};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const PASSPHRASE: &str = "a passphrase\n";

/// A desk with a root, a machine for releases, and boxes that trust one keyring or the other.
struct Desk {
    folder: Folder,
}

impl Desk {
    fn new() -> Self {
        let folder = Folder::new();
        fs::write(folder.path().join("passphrase"), PASSPHRASE).unwrap();
        let desk = Self { folder };
        let content = desk.path("content");
        fs::create_dir_all(&content).unwrap();
        // A bundle that gets too small, packed, is none.
        fs::write(content.join("root.img"), &fs::read(TUNERD).unwrap()[..200_000]).unwrap();
        let manifest = "[update]\ncompatible=tunerd-test\nversion=1\n[bundle]\nformat=verity\n\
                        [image.rootfs]\nfilename=root.img\n";
        fs::write(content.join("manifest.raucm"), manifest).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `tools/keys COMMAND` with paths of the desk, and says what it said where it would not.
    fn try_keys(&self, command: &str, paths: &[&str]) -> Result<(), String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/keys");
        let passphrase = format!("TUNERD_PASSPHRASE_FILE={}", self.path("passphrase").display());
        let mut arguments = vec![passphrase, script.display().to_string(), command.to_owned()];
        arguments.extend(paths.iter().map(|path| self.path(path).display().to_string()));
        let (status, said) = run("env", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        if status.success() { Ok(()) } else { Err(said) }
    }

    fn keys(&self, command: &str, paths: &[&str]) {
        self.try_keys(command, paths).unwrap();
    }

    /// A machine with keys that the roots have signed.
    fn release(&self, machine: &str) {
        self.keys("release", &[machine]);
        self.keys("sign", &["root", machine]);
    }

    /// A bundle that these keys have signed.
    fn bundle(&self, keys: &str) -> PathBuf {
        let bundle = self.path(&format!("{keys}.raucb"));
        let argument = |name: &str, file: &str| format!("--{name}={}", self.path(keys).join(file).display());
        let (certificate, key, keyring) =
            (argument("cert", "release.pem"), argument("key", "release.key"), argument("keyring", "root.pem"));
        let content = self.path("content");
        let files = [content.to_str().unwrap(), bundle.to_str().unwrap()];
        let (status, said) = run("rauc", &["bundle", &certificate, &key, &keyring, files[0], files[1]]);
        assert!(status.success(), "{said}");
        bundle
    }

    /// What a box with this keyring says to a bundle; `None` when it takes it.
    fn refusal(&self, keyring: &str, bundle: &Path) -> Option<String> {
        let system = self.path("system.conf");
        let text = format!(
            "[system]\ncompatible=tunerd-test\nbootloader=noop\nbundle-formats=verity\n\
             [keyring]\npath={}\ncheck-crl=true\ncheck-purpose=codesign\nuse-bundle-signing-time=true\n",
            self.path(keyring).display()
        );
        fs::write(&system, text).unwrap();
        let (status, said) = run("rauc", &[&format!("--conf={}", system.display()), "info", bundle.to_str().unwrap()]);
        (!status.success()).then_some(said)
    }
}

#[test]
fn a_release_key_is_followed_by_the_next_and_a_revoked_one_is_refused() {
    let desk = Desk::new();
    desk.keys("root", &["root"]);
    desk.release("first");
    let first = desk.bundle("first");
    assert_eq!(desk.refusal("root/root.pem", &first), None);
    // Rotation: boxes in the field know the root only, so nothing has to reach them before the second key is used.
    fs::copy(desk.path("root/root.pem"), desk.path("field.pem")).unwrap();
    desk.release("second");
    let second = desk.bundle("second");
    assert_eq!(desk.refusal("field.pem", &second), None);
    // A leak: an update signed by the second key brings a keyring that refuses the first.
    desk.keys("revoke", &["root", "first/release.pem"]);
    let said = desk.refusal("root/root.pem", &first).expect("a revoked key signs nothing");
    assert!(said.contains("certificate revoked"), "{said}");
    // Signed before the list was written, and as good as ever.
    assert_eq!(desk.refusal("root/root.pem", &second), None);
    let said = desk.try_keys("revoke", &["root", "first/release.pem"]).unwrap_err();
    assert!(said.contains("not revoked yet"), "{said}");
    // One day may see more than one leak.
    desk.keys("revoke", &["root", "second/release.pem"]);
    assert!(desk.refusal("root/root.pem", &second).is_some());
    desk.release("third");
    assert_eq!(desk.refusal("root/root.pem", &desk.bundle("third")), None);
}

#[test]
fn strangers_and_development_keys_sign_nothing_for_a_release() {
    let (desk, stranger) = (Desk::new(), Desk::new());
    for whose in [&desk, &stranger] {
        whose.keys("root", &["root"]);
        whose.release("machine");
        whose.keys("development", &["development"]);
    }
    let development = desk.bundle("development");
    for bundle in [&development, &stranger.bundle("machine")] {
        let said = desk.refusal("root/root.pem", bundle).expect("not a key of this root");
        assert!(said.contains("signature verification failed"), "{said}");
    }
    // And each development build is its own: one desk does not open another's boxes, nor a release theirs.
    assert_eq!(desk.refusal("development/root.pem", &development), None);
    assert!(stranger.refusal("development/root.pem", &development).is_some());
    assert!(desk.refusal("development/root.pem", &desk.bundle("machine")).is_some());
    assert!(desk.path("development/development").exists() && !desk.path("machine/development").exists());
}

#[test]
fn keys_are_private_never_overwritten_and_the_roots_are_locked() {
    let desk = Desk::new();
    desk.keys("root", &["root"]);
    desk.release("machine");
    desk.keys("development", &["development"]);
    let mut keys = Vec::new();
    for folder in ["root", "machine", "development"] {
        let files = fs::read_dir(desk.path(folder)).unwrap().map(|file| file.unwrap().path());
        keys.extend(files.filter(|file| file.extension().is_some_and(|extension| extension == "key")));
    }
    assert_eq!(keys.len(), 6, "two roots, two of the release, two of development: {keys:?}");
    for key in keys {
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o77, 0, "{}", key.display());
        let locked = fs::read_to_string(&key).unwrap().contains("ENCRYPTED");
        assert_eq!(locked, key.starts_with(desk.path("root")), "{}", key.display());
    }
    for (again, paths) in [("root", "root"), ("development", "development"), ("release", "machine")] {
        let said = desk.try_keys(again, &[paths]).unwrap_err();
        assert!(said.contains("never overwritten"), "{said}");
    }
    assert!(desk.try_keys("sign", &["root", "machine"]).unwrap_err().contains("signed already"));
    fs::write(desk.path("passphrase"), "another\n").unwrap();
    desk.keys("release", &["next"]);
    let said = desk.try_keys("sign", &["root", "next"]).unwrap_err();
    assert!(said.contains("is the passphrase right?"), "{said}");
    fs::write(desk.path("passphrase"), PASSPHRASE).unwrap();
    desk.keys("sign", &["root", "next"]);
}

#[test]
fn a_channel_file_is_signed_by_a_key_that_the_root_has_named() {
    let desk = Desk::new();
    desk.keys("root", &["root"]);
    fs::write(desk.path("stable.json"), "{\"format\":1}\n").unwrap();
    let root = fs::read_to_string(desk.path("root/channel.pub")).unwrap();
    for (machine, serial) in [("first", 1), ("second", 2)] {
        desk.release(machine);
        desk.keys("announce", &[machine, "stable.json"]);
        let signed = fs::read_to_string(desk.path("stable.json.sig")).unwrap();
        let lines: Vec<&str> = signed.lines().collect();
        assert_eq!((lines.len(), lines[0]), (4, "tunerd-signature 1"));
        let record = lines[1].strip_prefix("key ").unwrap();
        verify(root.trim(), &format!("tunerd release key\n{record}"), lines[2].strip_prefix("root ").unwrap());
        let named: serde_json::Value = serde_json::from_str(record).unwrap();
        // The one that was signed last ends those before it.
        assert_eq!((&named["format"], &named["serial"]), (&1.into(), &serial.into()));
        let document = "tunerd update channel\n{\"format\":1}\n";
        verify(named["key"].as_str().unwrap(), document, lines[3].strip_prefix("release ").unwrap());
    }
}

/// As a box does it; key and signature in hex.
fn verify(key: &str, text: &str, signature: &str) {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, bytes(key));
    key.verify(text.as_bytes(), &bytes(signature)).unwrap();
}

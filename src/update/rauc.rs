//! RAUC, by its own client: that speaks over D-Bus to RAUC's service, which has the rights that we have not.
//!
//! Source: `rauc(1)` and the sources of RAUC 1.13, `main.c`: the JSON of `info` and `status`, the lines of `install`.

use crate::engine::{self, Checked};
use nix::unistd::{AccessFlags, access};
use pure::limits::{CHECK_MS_MAX, INSTALL_MS_MAX};
use pure::rules::updating::{InstallPermit, Manifest, Refusal};
use serde::Deserialize;
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where RAUC is told which slots the system has; who has that has installed our image, or means to be treated so.
const SYSTEM: &str = "/etc/rauc/system.conf";

/// Whether there are boot slots to install into.
pub(super) fn has_slots() -> bool {
    Path::new(SYSTEM).exists()
}

/// A boot slot, as RAUC knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootSlot {
    /// As the boot loader calls it.
    pub name: String,
    /// Whether the system that runs was started from it.
    pub is_booted: bool,
    /// Whether the boot loader would start it.
    pub is_good: bool,
    /// Whether the boot loader starts this one the next time; none when RAUC does not say.
    pub is_next: Option<bool>,
    /// What was installed into it; none when that is not known, as after the first flash.
    pub version: Option<String>,
}

/// What there is to start from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// RAUC's word for this board.
    pub compatible: String,
    /// In RAUC's order.
    pub slots: Vec<BootSlot>,
}

impl Boot {
    /// The slot that was started.
    pub fn booted(&self) -> Option<&BootSlot> {
        self.slots.iter().find(|slot| slot.is_booted)
    }

    /// The other one.
    pub fn other(&self) -> Option<&BootSlot> {
        self.slots.iter().find(|slot| !slot.is_booted)
    }

    fn parse(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let groups = json["slots"].as_array()?.iter().filter_map(Value::as_object);
        let primary = json["boot_primary"].as_str();
        let slot = |(name, slot): (&String, &Value)| {
            let version = text(&slot["slot_status"]["bundle"]["version"]);
            let (is_booted, is_good) = (slot["state"] == "booted", slot["boot_status"] == "good");
            let is_next = primary.map(|primary| primary == name);
            Some(BootSlot { name: text(&slot["bootname"])?, is_booted, is_good, is_next, version })
        };
        let slots = groups.flatten().filter_map(slot).collect();
        Some(Self { compatible: text(&json["compatible"])?, slots })
    }
}

/// What RAUC tells of a bundle, as far as it matters.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    compatible: Option<String>,
    version: Option<String>,
}

/// RAUC's client.
pub(super) struct Rauc<'a> {
    engine: &'a engine::Handle,
    keyring: &'a Path,
    program: PathBuf,
}

impl<'a> Rauc<'a> {
    /// # Errors
    /// [`Refusal::NoRauc`]
    pub(super) fn find(engine: &'a engine::Handle, keyring: &'a Path) -> Result<Self, Refusal> {
        let program = engine::process::find(Path::new("rauc")).map_err(|_| Refusal::NoRauc)?;
        Ok(Self { engine, keyring, program })
    }

    async fn run(&self, arguments: &[OsString]) -> Result<String, Refusal> {
        match self.engine.check(&self.program, arguments, CHECK_MS_MAX, &mut |_| {}).await {
            Checked::Good(said) => Ok(said),
            // So RAUC's service says while it writes.
            Checked::Bad(says) if says.contains("already processing a different method") => Err(Refusal::Busy),
            Checked::Bad(says) => {
                tracing::warn!(says, command = ?arguments.first(), "RAUC refuses");
                Err(Refusal::NotGenuine)
            }
            Checked::NotNow => Err(Refusal::NotNow),
            Checked::TooSlow => Err(Refusal::TooSlow),
        }
    }

    /// Verifies who signed the bundle's manifest, and reads that. Of a bundle in RAUC's `verity` format that is all it
    /// reads: the contents hang on a hash in it, and are checked block by block while they are installed.
    pub(super) async fn info(&self, bundle: OsString) -> Result<Manifest, Refusal> {
        let mut arguments: Vec<OsString> = vec!["info".into(), "--output-format=json".into()];
        match access(self.keyring, AccessFlags::R_OK) {
            Ok(()) => {
                let mut with_keyring = OsString::from("--keyring=");
                with_keyring.push(self.keyring);
                arguments.push(with_keyring);
            }
            // RAUC knows one of its own.
            Err(_) if has_slots() => {}
            Err(error) => {
                tracing::warn!(keyring = %self.keyring.display(), %error, "keyring cannot be read");
                return Err(Refusal::NoKeyring);
            }
        }
        arguments.push(bundle);
        let said = self.run(&arguments).await?;
        let told: Told = serde_json::from_str(&said).unwrap_or_default();
        Ok(Manifest { compatible: told.compatible.unwrap_or_default(), version: told.version.unwrap_or_default() })
    }

    /// What there is to start from. RAUC's service does not tell it while it writes.
    pub(super) async fn status(&self) -> Result<Boot, Refusal> {
        let said = self.run(&["status".into(), "--detailed".into(), "--output-format=json".into()]).await;
        let said = said.map_err(|refusal| if refusal == Refusal::NotGenuine { Refusal::NoService } else { refusal })?;
        Boot::parse(&said).ok_or_else(|| {
            tracing::warn!("RAUC tells its status in another way than we know");
            Refusal::NoService
        })
    }

    /// Has it written to the other slot, and tells how far that is.
    pub(super) async fn install(
        &self,
        permit: InstallPermit,
        bundle: OsString,
        on_percent: &mut dyn FnMut(u8),
    ) -> Result<(), Refusal> {
        drop(permit);
        let mut last_error = String::new();
        let mut on_line = |line: &str| {
            if let Some(percent) = percent(line) {
                on_percent(percent);
            }
            if let Some(error) = line.trim().strip_prefix("LastError: ") {
                error.clone_into(&mut last_error);
            }
        };
        let arguments = ["install".into(), bundle];
        let checked = self.engine.check(&self.program, &arguments, INSTALL_MS_MAX, &mut on_line).await;
        match checked {
            Checked::Good(_) => Ok(()),
            Checked::NotNow => Err(Refusal::NotNow),
            Checked::Bad(says) => {
                tracing::warn!(says, last_error, "RAUC did not install an update");
                Err(Refusal::NotWritten)
            }
            Checked::TooSlow => {
                tracing::warn!("RAUC has not installed an update in an hour");
                Err(Refusal::NotWritten)
            }
        }
    }

    /// Tells the boot loader of a slot, `other` or `booted`: `mark-active`, it starts that the next time; `mark-bad`, it does
    /// not, and nobody goes back to it.
    pub(super) async fn mark(&self, how: &str, slot: &str) -> Result<(), Refusal> {
        let said = self.run(&["status".into(), how.into(), slot.into()]).await;
        said.map(drop).map_err(|refusal| if refusal == Refusal::NotGenuine { Refusal::NoWayBack } else { refusal })
    }
}

/// Of a line such as ` 40% Copying image to rootfs.1`.
fn percent(line: &str) -> Option<u8> {
    line.trim_start().split_once('%')?.0.parse().ok().filter(|percent| *percent <= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_found_in_lines() {
        assert_eq!(percent(" 40% Copying image to rootfs.1"), Some(40));
        assert_eq!(percent("100% Installing done."), Some(100));
        for line in ["installing", "idle", "101% x", "LastError: 5% of", ""] {
            assert_eq!(percent(line), None, "{line}");
        }
    }

    #[test]
    fn slots_are_read_as_rauc_tells_them() {
        // As RAUC 1.13 writes it, shortened.
        let text = r#"{"compatible":"tunerd-qemu","variant":"","booted":"A","boot_primary":"rootfs.0","slots":[
            {"rootfs.1":{"class":"rootfs","device":"/dev/x","type":"ext4","bootname":"B","state":"inactive",
             "parent":null,"mountpoint":null,"boot_status":"bad",
             "slot_status":{"bundle":{"compatible":"tunerd-qemu","version":"1.2"},"status":"ok"}}},
            {"data.0":{"class":"data","bootname":null,"state":"active"}},
            {"rootfs.0":{"bootname":"A","state":"booted","boot_status":"good","slot_status":{}}}]}"#;
        let boot = Boot::parse(text).unwrap();
        assert_eq!(boot.compatible, "tunerd-qemu");
        let slot = |name: &str, is_booted, is_good, version: Option<&str>| BootSlot {
            name: name.to_owned(),
            is_booted,
            is_good,
            is_next: Some(is_booted),
            version: version.map(str::to_owned),
        };
        assert_eq!(boot.slots, [slot("B", false, false, Some("1.2")), slot("A", true, true, None)]);
        assert_eq!((boot.booted(), boot.other()), (boot.slots.get(1), boot.slots.first()));
        for wrong in ["", "{}", "[]", "{\"compatible\":\"x\"}", "{\"slots\":[]}"] {
            assert_eq!(Boot::parse(wrong), None, "{wrong}");
        }
    }
}

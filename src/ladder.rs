//! `tunerd --escalate`: systemd asks it when it has given up restarting us. The answer is an exit status; what follows
//! from it stands in `systemd/tunerd-escalate.service`.
//!
//! What is decided stands in `pure::rules::escalation`; here it is read, asked and written down, safely: a reboot that
//! is not on the disk would not be counted, and might go on for ever.

use crate::{clock, disk};
use pure::limits::REBOOTS_BYTES_MAX;
use pure::rules::escalation::{Because, Case, Decision, Ledger};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// In the state directory.
const FILE: &str = "reboots";

/// How the daemon ended, as systemd tells whom it starts because of that.
/// Source: `systemd.exec(5)`, `$MONITOR_EXIT_CODE` and `$MONITOR_EXIT_STATUS`, since systemd 251.
#[derive(Clone, Debug, Default)]
pub struct LastEnd {
    code: String,
    status: String,
}

impl LastEnd {
    /// As our environment says.
    pub fn of_environment() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self { code: variable("MONITOR_EXIT_CODE"), status: variable("MONITOR_EXIT_STATUS") }
    }

    /// Whether it was no crash: it ended because somebody wanted it (and was started again too often), or because its
    /// settings, `usage_status`, are wrong. Where systemd does not say, it was one.
    fn was_in_order(&self, usage_status: u8) -> bool {
        self.code == "exited" && (self.status == "0" || self.status == usage_status.to_string())
    }
}

/// Decides what helps, and writes a reboot down in `folder`. `usage_status` is what a daemon ends with whose settings
/// are wrong.
pub fn escalate(folder: &Path, may_reboot: bool, last_end: &LastEnd, usage_status: u8) -> Decision {
    let path = folder.join(FILE);
    let mut ledger = match read(&path) {
        Ok(text) => Ledger::parse(&text),
        Err(error) => {
            tracing::error!(%error, "{} cannot be read", path.display());
            return Decision::SafeMode(Because::NotCounted);
        }
    };
    let before = ledger.clone();
    let case =
        Case { boot: clock::boot_id(), now: clock::mono(), may_reboot, crashed: !last_end.was_in_order(usage_status) };
    let decision = ledger.decide(&case);
    if ledger == before {
        return decision;
    }
    // On the disk: the next thing may be a reboot.
    match disk::replace(&path, ledger.to_string().as_bytes()) {
        Ok(()) => decision,
        Err(error) => {
            tracing::error!(%error, "{} cannot be written", path.display());
            Decision::SafeMode(Because::NotCounted)
        }
    }
}

/// What stands there; nothing, where there is no such file yet. Bytes that are no text become a damaged line.
fn read(path: &Path) -> io::Result<String> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(REBOOTS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_crash_is_one() {
        for (code, status, in_order) in [
            ("exited", "0", true),
            ("exited", "64", true),
            ("exited", "70", false),
            ("exited", "69", false),
            ("killed", "ABRT", false),
            ("dumped", "0", false),
            ("", "", false),
        ] {
            let end = LastEnd { code: code.to_owned(), status: status.to_owned() };
            assert_eq!(end.was_in_order(64), in_order, "{code} {status}");
        }
    }
}

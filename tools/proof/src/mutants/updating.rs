//! The defects in the rules of updates, which unit tests have to find.

use super::Mutant;

const UPDATING: &str = "rules/updating.rs";
const AFTERMATH: &str = "rules/updating/aftermath.rs";
const ROLLOUT: &str = "rules/updating/rollout.rs";
const TIMING: &str = "rules/updating/timing.rs";

const fn mutant(
    id: &'static str,
    what: &'static str,
    file: &'static str,
    edits: &'static [(&'static str, &'static str)],
) -> Mutant {
    Mutant { id, what, file, edits, rules: &["tests"] }
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "U1",
        "below the minimum is taken where nothing is known of the system",
        UPDATING,
        &[(
            "if known.floor.as_ref().is_some_and(|floor| *floor > version) {",
            "if known.running.is_some() && known.floor.as_ref().is_some_and(|floor| *floor > version) {",
        )],
    ),
    mutant(
        "U2",
        "the minimum itself is refused",
        UPDATING,
        &[("is_some_and(|floor| *floor > version)", "is_some_and(|floor| *floor >= version)")],
    ),
    mutant(
        "U3",
        "nothing is below the minimum",
        UPDATING,
        &[("if known.floor.as_ref().is_some_and(|floor| *floor > version) {", "if false {")],
    ),
    mutant(
        "U4",
        "something new is installed over a trial",
        UPDATING,
        &[("if known.is_on_trial { Err(Refusal::OnTrial) } else { Ok(version) }", "Ok(version)")],
    ),
    mutant(
        "U5",
        "what was called back is installed",
        UPDATING,
        &[("if known.recalled.contains(&version) {", "if false {")],
    ),
    mutant(
        "U6",
        "an older version is installed",
        UPDATING,
        &[("Ordering::Less => return Err(Refusal::Older),", "Ordering::Less => {}")],
    ),
    mutant(
        "U7",
        "a bundle for other boards is installed",
        UPDATING,
        &[("if manifest.compatible != known.compatible {", "if manifest.compatible.is_empty() {")],
    ),
    mutant(
        "U8",
        "1.10 is older than 1.9",
        UPDATING,
        &[("self.parts.cmp(&other.parts).then(tails)", "self.text.cmp(&other.text).then(tails)")],
    ),
    mutant(
        "U9",
        "a release candidate is newer than its release",
        UPDATING,
        &[(
            "(None, Some(_)) => Ordering::Greater,\n            (Some(_), None) => Ordering::Less,",
            "(None, Some(_)) => Ordering::Less,\n            (Some(_), None) => Ordering::Greater,",
        )],
    ),
    mutant(
        "U10",
        "who asked for it disturbs at once",
        UPDATING,
        &[("Some(Haste::Quiet) => is_quiet,", "Some(Haste::Quiet) => true,")],
    ),
    mutant("U11", "now waits for quiet", UPDATING, &[("Some(Haste::Now) => true,", "Some(Haste::Now) => is_quiet,")]),
    mutant(
        "U12",
        "what nobody asked for comes by day",
        UPDATING,
        &[(
            "Some(Haste::Night) => is_night && (is_quiet || is_overdue),",
            "Some(Haste::Night) => is_quiet || is_night && is_overdue,",
        )],
    ),
    mutant(
        "U13",
        "what is overdue comes by day",
        UPDATING,
        &[(
            "Some(Haste::Night) => is_night && (is_quiet || is_overdue),",
            "Some(Haste::Night) => is_night && is_quiet || is_overdue,",
        )],
    ),
    mutant(
        "U14",
        "what is overdue waits for ever",
        UPDATING,
        &[("is_night && (is_quiet || is_overdue)", "is_night && is_quiet")],
    ),
    mutant(
        "U15",
        "who changes channels counts as gone",
        UPDATING,
        &[("now.ms_since(since) >= UPDATE_QUIET_MS", "now >= since")],
    ),
    mutant(
        "U16",
        "who comes back is forgotten",
        UPDATING,
        &[(
            "if is_watched { None } else { self.quiet_since.or(Some(now)) }",
            "self.quiet_since.or(Some(now).filter(|_| !is_watched))",
        )],
    ),
    mutant(
        "U17",
        "the box is started anew before all is written",
        UPDATING,
        &[(
            "if self.phase != Phase::Written || !self.may_disturb(moment) {",
            "if !matches!(self.phase, Phase::Written | Phase::Installing { .. }) || !self.may_disturb(moment) {",
        )],
    ),
    mutant(
        "U18",
        "the owner starts the box anew while it is written",
        UPDATING,
        &[(
            "if !matches!(self.phase, Phase::Idle | Phase::Written) {",
            "if !matches!(self.phase, Phase::Idle | Phase::Written | Phase::Installing { .. }) {",
        )],
    ),
    mutant(
        "U19",
        "one is begun over another",
        UPDATING,
        &[(
            "        if self.phase != Phase::Idle {\n            return Err(Refusal::Busy);\n        }\n        *self = Self { phase: Phase::Fetching",
            "        *self = Self { phase: Phase::Fetching",
        )],
    ),
    mutant(
        "U20",
        "what is being written can be cancelled",
        UPDATING,
        &[(
            "matches!(self.phase, Phase::Fetching { .. } | Phase::Checking | Phase::Waiting)",
            "matches!(self.phase, Phase::Fetching { .. } | Phase::Checking | Phase::Waiting | Phase::Installing { .. })",
        )],
    ),
    mutant(
        "U21",
        "a fresh start that did not come forgets what is written",
        UPDATING,
        &[(
            "self.phase = if self.version.is_some() { Phase::Written } else { Phase::Idle };",
            "self.phase = Phase::Idle;",
        )],
    ),
    mutant(
        "U22",
        "nobody is in the first share",
        ROLLOUT,
        &[(
            "if place(device, &file.version) < file.percentage",
            "if place(device, &file.version) + 1 < file.percentage",
        )],
    ),
    mutant(
        "U23",
        "one share more gets it",
        ROLLOUT,
        &[("if place(device, &file.version) < file.percentage", "if place(device, &file.version) <= file.percentage")],
    ),
    mutant(
        "U24",
        "the same boxes are first each time",
        ROLLOUT,
        &[(
            ".with(device.get().to_be_bytes()).with(version.to_string()).number()",
            ".with(device.get().to_be_bytes()).number()",
        )],
    ),
    mutant(
        "U25",
        "a release that was aborted goes on",
        ROLLOUT,
        &[(
            "if file.abort.contains(&file.version) || failed == Some(&file.version) {",
            "if failed == Some(&file.version) {",
        )],
    ),
    mutant(
        "U26",
        "what went wrong here is tried again",
        ROLLOUT,
        &[(
            "if file.abort.contains(&file.version) || failed == Some(&file.version) {",
            "if file.abort.contains(&file.version) {",
        )],
    ),
    mutant("U27", "nothing is held", ROLLOUT, &[("if file.hold {", "if file.hold && file.percentage == 0 {")]),
    mutant("U28", "what runs is offered", ROLLOUT, &[("file.version <= *running", "file.version < *running")]),
    mutant(
        "U29",
        "a key that was replaced signs again",
        ROLLOUT,
        &[("if key.serial < seen.key {", "if key.serial < seen.key && file.serial < seen.serial {")],
    ),
    mutant(
        "U30",
        "the serials of an old key bind the next one",
        ROLLOUT,
        &[("if told < seen {", "if file.serial < seen.serial {")],
    ),
    mutant("U31", "what was signed last comes back", ROLLOUT, &[("if told < seen {", "if told.key < seen.key {")]),
    mutant(
        "U32",
        "the same document is refused the second time",
        ROLLOUT,
        &[("if told < seen {", "if told <= seen {")],
    ),
    mutant(
        "U33",
        "a document is good for one second more",
        ROLLOUT,
        &[("if file.expires <= now {", "if file.expires < now {")],
    ),
    mutant("U34", "a key is good for ever", ROLLOUT, &[("if key.expires <= now {", "if key.expires < now {")]),
    mutant(
        "U35",
        "a document is good for ever",
        ROLLOUT,
        &[("    if file.expires <= now {\n        return Err(Distrust::Expired);\n    }\n", "")],
    ),
    mutant(
        "U36",
        "the night is an hour early",
        TIMING,
        &[("u32::from(hour.min(23)) * 60)", "u32::from(hour.min(23)) * 60 + 60)")],
    ),
    mutant(
        "U37",
        "all boxes begin at once",
        TIMING,
        &[("(jitter_min(device)..UPDATE_WINDOW_MIN)", "(0..UPDATE_WINDOW_MIN)")],
    ),
    mutant(
        "U38",
        "all boxes have the same turn",
        TIMING,
        &[(".with(device.get().to_be_bytes()).number()", ".number()")],
    ),
    mutant(
        "U39",
        "the night has no end",
        TIMING,
        &[("(jitter_min(device)..UPDATE_WINDOW_MIN).contains(&since)", "jitter_min(device) <= since")],
    ),
    mutant("U40", "a wrong hour is taken as it stands", TIMING, &[("u32::from(hour.min(23))", "u32::from(hour)")]),
    mutant("U41", "overdue a second early", TIMING, &[(">= UPDATE_PUT_OFF_S", ">= UPDATE_PUT_OFF_S - 1")]),
    mutant(
        "U42",
        "a clock that was set back makes it overdue",
        TIMING,
        &[("now.0.saturating_sub(since.0) >=", "(now.0 - since.0).abs() >=")],
    ),
    mutant(
        "U43",
        "what RAUC wrote without us is lost",
        AFTERMATH,
        &[(
            "Some(true) => Aftermath::Written,\n",
            "Some(true) if written => Aftermath::Written,\n            Some(true) => Aftermath::Failed(\"\"),\n",
        )],
    ),
    mutant(
        "U44",
        "what runs after a power cut counts as failed",
        AFTERMATH,
        &[("Some(false) => Aftermath::OnTrial,", "Some(false) if written => Aftermath::OnTrial,")],
    ),
    mutant(
        "U45",
        "a system that went back unseen is not told",
        AFTERMATH,
        &[("Some(true) if written || was_tried =>", "Some(true) if written =>")],
    ),
    mutant(
        "U46",
        "what was written is given up when RAUC is silent",
        AFTERMATH,
        &[("            None if written => Aftermath::Written,\n", "")],
    ),
    mutant(
        "U47",
        "a trial of a slot that nobody knows is given up",
        AFTERMATH,
        &[("        None if written => Aftermath::OnTrial,\n", "")],
    ),
];

//! What became of an update while this program was not there to see it: it was started anew, alone or with the board.
//!
//! The invariant: what is told is what the boot loader says. That this program has not seen something end does not mean
//! that it failed: RAUC writes on without us.

/// What was noted before, and what is found now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Found {
    /// Whether the board was started anew, too.
    pub is_new_start: bool,
    /// Whether RAUC was known to be done with it.
    pub written: bool,
    /// Whether it is the owner's way back.
    pub back: bool,
    /// Whether the slot runs that ran then; none where RAUC does not say.
    pub is_same_slot: Option<bool>,
    /// Whether the boot loader would start that version the next time; none where RAUC does not say.
    pub is_next: Option<bool>,
    /// Whether the other system was started, and said that it does not play.
    pub was_tried: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// It is there, and a fresh start of the board is all that is missing.
    Written,
    /// It runs, and has yet to prove itself.
    OnTrial,
    /// The boot loader went back.
    RolledBack,
    /// It came to nothing, and why.
    Failed(&'static str),
}

/// Judges that. While RAUC still writes there is nothing to judge.
pub const fn aftermath(found: Found) -> Aftermath {
    let Found { is_new_start, written, back, is_same_slot, is_next, was_tried } = found;
    if !is_new_start {
        return match is_next {
            Some(true) => Aftermath::Written,
            None if written => Aftermath::Written,
            _ if back => Aftermath::Failed("the program was started anew before the boot loader knew of it"),
            Some(false) if written => Aftermath::Failed("the boot loader was told otherwise since"),
            Some(false) => Aftermath::Failed("the program was started anew in the middle of it, and RAUC gave it up"),
            None => Aftermath::Failed("the program was started anew in the middle of it, and RAUC does not say more"),
        };
    }
    match is_same_slot {
        // Even if nobody saw it being written.
        Some(false) => Aftermath::OnTrial,
        Some(true) if written || was_tried => Aftermath::RolledBack,
        None if written => Aftermath::OnTrial,
        _ => Aftermath::Failed("the box was switched off in the middle of it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Found =
        Found { is_new_start: false, written: false, back: false, is_same_slot: None, is_next: None, was_tried: false };

    fn why(found: Found) -> &'static str {
        match aftermath(found) {
            Aftermath::Failed(why) => why,
            other => panic!("{found:?}: {other:?}"),
        }
    }

    #[test]
    fn what_rauc_wrote_without_us_is_written() {
        let same = Found { is_same_slot: Some(true), ..NOTHING };
        for (written, back) in [(false, false), (true, false), (true, true)] {
            let found = Found { written, back, is_next: Some(true), ..same };
            assert_eq!(aftermath(found), Aftermath::Written, "{found:?}");
        }
        assert!(why(Found { is_next: Some(false), ..same }).contains("RAUC gave it up"));
        assert!(why(Found { is_next: None, ..same }).contains("does not say"));
        // RAUC had said so before.
        assert_eq!(aftermath(Found { written: true, ..same }), Aftermath::Written);
        assert!(why(Found { written: true, is_next: Some(false), ..same }).contains("told otherwise"));
    }

    #[test]
    fn a_way_back_goes_on_where_the_boot_loader_knows_of_it() {
        let back = Found { written: true, back: true, is_same_slot: Some(true), ..NOTHING };
        assert_eq!(aftermath(Found { is_next: Some(true), ..back }), Aftermath::Written);
        assert!(why(Found { is_next: Some(false), ..back }).contains("before the boot loader knew"));
    }

    #[test]
    fn after_a_fresh_start_of_the_board_the_slot_that_runs_says_it() {
        let new = Found { is_new_start: true, ..NOTHING };
        for written in [false, true] {
            let found = Found { written, is_same_slot: Some(false), ..new };
            assert_eq!(aftermath(found), Aftermath::OnTrial, "{found:?}");
        }
        assert_eq!(aftermath(Found { written: true, is_same_slot: Some(true), ..new }), Aftermath::RolledBack);
        assert_eq!(aftermath(Found { was_tried: true, is_same_slot: Some(true), ..new }), Aftermath::RolledBack);
        assert!(why(Found { is_same_slot: Some(true), ..new }).contains("switched off"));
        // Who does not know the slot believes what was noted.
        assert_eq!(aftermath(Found { written: true, ..new }), Aftermath::OnTrial);
        assert!(why(new).contains("switched off"));
    }
}

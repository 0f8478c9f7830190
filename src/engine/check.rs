//! A program that checks the signature of a file: started with a permit, heard within bounds, ended in time.

use super::probe::hear;
use super::process;
use crate::clock;
use pure::limits::{CHECK_MS_MAX, CHECK_WORDS_BYTES_MAX};
use pure::rules::gate::CheckPermit;
use std::ffi::OsString;
use std::path::Path;

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The program ended well.
    Good,
    /// It ended otherwise, or could not be run; these are its last words, as people may see them.
    Bad(String),
    /// The board cannot carry it now.
    NotNow,
    /// It had to be ended.
    TooSlow,
}

/// Runs `program` to its end, or for [`CHECK_MS_MAX`]; dropped, it ends the program.
pub(super) async fn check(permit: CheckPermit, program: &Path, arguments: &[OsString]) -> Checked {
    check_within(CHECK_MS_MAX, permit, program, arguments).await
}

async fn check_within(kill_ms: u64, permit: CheckPermit, program: &Path, arguments: &[OsString]) -> Checked {
    let (_, mut output, mut words, mut reaper) = match process::check(permit, program, arguments) {
        Ok(child) => child.split(),
        Err(error) if error.is_resource() => return Checked::NotNow,
        Err(error) => return Checked::Bad(error.to_string()),
    };
    let group = reaper.group();
    let running = async {
        let heard = tokio::try_join!(hear(&mut output, CHECK_WORDS_BYTES_MAX), hear(&mut words, CHECK_WORDS_BYTES_MAX));
        if heard.is_err() {
            group.kill();
        }
        (heard, reaper.reap().await)
    };
    tokio::select! {
        (heard, status) = running => match (heard, status) {
            (Err(_), _) => Checked::Bad("it said too much".to_owned()),
            (Ok(_), Ok(status)) if status.success() => Checked::Good,
            (Ok((_, words)), _) => Checked::Bad(last_words(&words)),
        },
        () = clock::pause(kill_ms) => {
            // Its reaper is dropped next, so tokio reaps it.
            group.kill();
            Checked::TooSlow
        }
    }
}

/// The last line that it said, without what could harm a terminal.
fn last_words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(240).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pure::rules::admission::BoardFacts;
    use pure::rules::constants::Rules;
    use pure::rules::gate::Gate;

    fn check_script(script: &str, kill_ms: u64) -> Checked {
        check_program("sh", &["-c".into(), script.into()], kill_ms)
    }

    fn check_program(program: &str, arguments: &[OsString], kill_ms: u64) -> Checked {
        let facts = BoardFacts { fds_limit: 1_024, ..BoardFacts::default() };
        let permit = Gate::new(1, Rules::DEFAULT).permit_check(&facts, 0).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_within(kill_ms, permit, Path::new(program), arguments))
    }

    #[test]
    fn only_a_good_end_is_good() {
        let _alone = process::alone();
        assert_eq!(check_script("echo fine; echo words >&2", 5_000), Checked::Good);
        let bad = |words: &str| Checked::Bad(words.to_owned());
        assert_eq!(check_script("echo one >&2; printf 'two\\033[2J\\n\\n' >&2; exit 1", 5_000), bad("two [2J"));
        assert_eq!(check_script("exit 1", 5_000), bad("it said nothing"));
        assert_eq!(check_script("kill -SEGV $$", 5_000), bad("it said nothing"));
        assert_eq!(check_script("yes", 5_000), bad("it said too much"));
        assert_eq!(check_script("exec >&- 2>&-; sleep 60", 300), Checked::TooSlow);
        assert_eq!(check_script("trap '' TERM; sleep 60 & sleep 60", 300), Checked::TooSlow);
        assert!(matches!(check_program("/no/such/program", &[], 5_000), Checked::Bad(_)));
    }
}

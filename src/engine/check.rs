//! A program that checks the signature of a file, or has one written to a boot slot: started with a permit, heard within
//! bounds, ended in time.

use super::probe::hear;
use super::process;
use crate::clock;
use pure::limits::CHECK_WORDS_BYTES_MAX;
use pure::rules::gate::CheckPermit;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The program ended well, and said this.
    Good(String),
    /// It ended otherwise, or could not be run; these are its last words, as people may see them.
    Bad(String),
    /// The board cannot carry it now.
    NotNow,
    /// It had to be ended.
    TooSlow,
}

/// Runs `program` to its end, or for `kill_ms`, and tells of each line that it says; dropped, it ends the program.
pub(super) async fn check(
    kill_ms: u64,
    permit: CheckPermit,
    program: &Path,
    arguments: &[OsString],
    on_line: &mut dyn FnMut(&str),
) -> Checked {
    let (_, output, mut words, mut reaper) = match process::check(permit, program, arguments) {
        Ok(child) => child.split(),
        Err(error) if error.is_resource() => return Checked::NotNow,
        Err(error) => return Checked::Bad(error.to_string()),
    };
    let group = reaper.group();
    let running = async {
        let heard = tokio::try_join!(hear_lines(output, on_line), hear(&mut words, CHECK_WORDS_BYTES_MAX));
        if heard.is_err() {
            group.kill();
        }
        (heard, reaper.reap().await)
    };
    tokio::select! {
        (heard, status) = running => match (heard, status) {
            (Err(_), _) => Checked::Bad("it said too much".to_owned()),
            (Ok((said, _)), Ok(status)) if status.success() => Checked::Good(said),
            (Ok((_, words)), _) => Checked::Bad(last_words(&words)),
        },
        () = clock::pause(kill_ms) => {
            // Its reaper is dropped next, so tokio reaps it.
            group.kill();
            Checked::TooSlow
        }
    }
}

/// Hears what it says, line by line, and gives all of it.
async fn hear_lines(pipe: impl AsyncRead + Unpin, on_line: &mut dyn FnMut(&str)) -> io::Result<String> {
    let mut pipe = BufReader::new(pipe.take(CHECK_WORDS_BYTES_MAX as u64 + 1));
    let mut said = Vec::new();
    loop {
        let from = said.len();
        if pipe.read_until(b'\n', &mut said).await? == 0 {
            break;
        }
        on_line(String::from_utf8_lossy(said.get(from..).unwrap_or_default()).trim_end());
    }
    if said.len() > CHECK_WORDS_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
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
        runtime.block_on(check(kill_ms, permit, Path::new(program), arguments, &mut |_| {}))
    }

    #[test]
    fn only_a_good_end_is_good() {
        let _alone = process::alone();
        assert_eq!(check_script("echo fine; echo words >&2", 5_000), Checked::Good("fine\n".to_owned()));
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

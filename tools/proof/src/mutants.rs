//! Defects put into the rules on purpose, to see whether the proofs find them (testing 4.3).
//!
//! Each is a change of text that must fit exactly once: when the rules are rewritten, a mutant that no longer fits is a
//! failure of the run, and somebody has to decide what becomes of it. The numbers M1 to M27 are the specification's; the
//! others are ours.
//!
//! What would make a kill worth nothing is kept out: the rules as they are have to pass the same judge in the same run,
//! and a judge that comes to no end, crashes, or does not build is not a kill.
//!
//! Of updates the engines know nothing: those mutants are judged by the unit tests of the rules.

mod table;
mod updating;

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
pub use table::MUTANTS;

/// A defect.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its number.
    pub id: &'static str,
    /// What it does.
    pub what: &'static str,
    /// The file, in `src/pure`.
    pub file: &'static str,
    /// What is there, and what is put in its place; each must be there exactly once.
    pub edits: &'static [(&'static str, &'static str)],
    /// The rules that may find it, `time` for one that loops, `tests` where the unit tests judge; empty when it is
    /// equivalent, with the reason in `what`.
    pub rules: &'static [&'static str],
}

/// What became of one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing was changed, and nothing was found.
    Holds,
    /// Nothing was changed, and something was found: no kill of this run means anything.
    Broken(String),
    Killed {
        by: String,
        as_expected: bool,
    },
    Survived,
    Equivalent,
    /// Said to be equivalent, and killed.
    Different(String),
    /// It neither passed nor failed.
    Undecided(String),
    Stale(String),
    Unbuilt(String),
}

/// Processor seconds that a judgement may take: some mutants loop for ever. The rules as they are take a quarter of it.
const JUDGE_SECONDS: u64 = 120;

/// The signal that ends who has used up his processor time.
const SIGXCPU: i32 = 24;

/// The rules as they are.
const CONTROL: Mutant = Mutant { id: "none", what: "the rules as they are", file: "", edits: &[], rules: &[] };

/// Builds and judges all mutants whose number is one of `words`, or whose own words contain one; all of them without
/// any. `--third N` takes every third one, beginning with the `N`th. Says whether all is well.
///
/// # Errors
/// When the work cannot be done at all.
pub fn run(words: &[String]) -> io::Result<bool> {
    let all = words.iter().any(|word| word == "--all");
    let third = match words.iter().position(|word| word == "--third") {
        None => None,
        Some(place) => match words.get(place + 1).and_then(|number| number.parse::<usize>().ok()) {
            Some(number @ 1..=3) => Some((place + 1, number - 1)),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "--third takes 1, 2 or 3")),
        },
    };
    let filter: Vec<&String> = (0..)
        .zip(words)
        .filter(|(place, word)| !word.starts_with("--") && third.is_none_or(|(number, _)| number != *place))
        .map(|(_, word)| word)
        .collect();
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4);
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| tools.join("target"), PathBuf::from).join("mutants");
    let chosen = MUTANTS
        .iter()
        .chain(updating::MUTANTS)
        .filter(|it| filter.is_empty() || filter.iter().any(|word| it.id == *word || it.what.contains(word.as_str())));
    // Those that no longer fit are told before minutes are spent on the others; of a third, all of them as well.
    let mut all_fit = true;
    for mutant in chosen.clone().filter(|it| !it.edits.is_empty()) {
        if let Err(stale) = mutant.put_into(&fs::read_to_string(tools.join("../../src/pure").join(mutant.file))?) {
            println!("  {}: {}", mutant.id, stale.words());
            all_fit = false;
        }
    }
    if !all_fit {
        return Ok(false);
    }
    let chosen = (0..).zip(chosen).filter(|(place, _)| third.is_none_or(|(_, first)| place % 3 == first));
    let chosen: Vec<&Mutant> = std::iter::once(&CONTROL).chain(chosen.map(|(_, mutant)| mutant)).collect();
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let fates = Mutex::new(vec![None; chosen.len()]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|number| {
                let (base, tools, chosen, next, fates) = (&base, &tools, &chosen, &next, &fates);
                scope.spawn(move || -> io::Result<()> {
                    let bench = Bench::new(&base.join(number.to_string()), tools)?;
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(mutant) = chosen.get(index) else { return Ok(()) };
                        let started = Instant::now();
                        let fate = bench.judge(mutant, all)?;
                        println!(
                            "{:<5} {:>5.1} s  {:<66} {}",
                            mutant.id,
                            started.elapsed().as_secs_f64(),
                            mutant.what,
                            fate.words()
                        );
                        fates.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(fate);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker died"))))
    })?;
    let fates = fates.into_inner().unwrap_or_else(PoisonError::into_inner);
    let count = |test: fn(&Fate) -> bool| fates.iter().flatten().filter(|fate| test(fate)).count();
    let killed = count(|fate| matches!(fate, Fate::Killed { .. }));
    let equivalent = count(|fate| *fate == Fate::Equivalent);
    let survived = count(|fate| *fate == Fate::Survived);
    // One that was never judged is not well either.
    let bad = fates.len() - killed - equivalent - survived - count(|fate| *fate == Fate::Holds);
    println!("mutants: {killed} killed, {equivalent} equivalent, {survived} survived");
    for (mutant, fate) in chosen.iter().zip(&fates) {
        match fate {
            Some(Fate::Killed { .. } | Fate::Equivalent | Fate::Holds) => {}
            Some(fate) => println!("  {}: {}", mutant.id, fate.words()),
            None => println!("  {}: not judged", mutant.id),
        }
    }
    println!("  {} s, {bad} could not be judged", began.elapsed().as_secs());
    Ok(survived == 0 && bad == 0)
}

impl Mutant {
    /// Its file with the defect in it.
    fn put_into(&self, original: &str) -> Result<String, Fate> {
        let mut text = original.to_owned();
        for (find, put) in self.edits {
            let times = text.matches(find).count();
            if times != 1 {
                return Err(Fate::Stale(format!("{find:?} is {times} times in {}", self.file)));
            }
            text = text.replacen(find, put, 1);
        }
        Ok(text)
    }
}

impl Fate {
    fn words(&self) -> String {
        match self {
            Self::Killed { by, as_expected: true } => format!("killed: {by}"),
            Self::Killed { by, .. } => format!("killed: {by} (another rule than expected)"),
            Self::Holds => "holds".to_owned(),
            Self::Broken(text) => format!("BROKEN WITHOUT A DEFECT: {text}"),
            Self::Different(text) => format!("NOT EQUIVALENT: {text}"),
            Self::Undecided(text) => format!("UNDECIDED: {text}"),
            Self::Survived => "SURVIVED".to_owned(),
            Self::Equivalent => "equivalent".to_owned(),
            Self::Stale(text) => format!("STALE: {text}"),
            Self::Unbuilt(text) => format!("DOES NOT BUILD: {text}"),
        }
    }
}

/// A copy of the rules and of this tool, to be changed and built.
struct Bench {
    folder: PathBuf,
    /// The rules in it; the sources that somebody may be working on are read once.
    pure: PathBuf,
}

impl Bench {
    fn new(folder: &Path, tools: &Path) -> io::Result<Self> {
        let root = tools.join("../..");
        fs::create_dir_all(folder)?;
        // The workspace of the copy has no daemon in it.
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let mut keeps = false;
        let mut virtual_manifest = String::new();
        for line in manifest.lines() {
            if line.starts_with('[') {
                keeps = line.starts_with("[workspace");
            }
            if keeps && !line.starts_with("exclude") && !line.starts_with("members") {
                virtual_manifest.push_str(line);
                virtual_manifest.push('\n');
            }
        }
        let virtual_manifest = virtual_manifest.replacen(
            "[workspace]\n",
            "[workspace]\nmembers = [\"src/pure\"]\nexclude = [\"tools/proof\"]\n",
            1,
        );
        write_if_new(&folder.join("Cargo.toml"), virtual_manifest.as_bytes())?;
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        copy(&root.join("src/pure"), &folder.join("src/pure"))?;
        // The unit tests read it.
        copy(&root.join("tests/golden"), &folder.join("tests/golden"))?;
        let copied = folder.join("tools/proof");
        for part in ["src", "golden"] {
            copy(&tools.join(part), &copied.join(part))?;
        }
        for part in ["Cargo.toml", "Cargo.lock"] {
            write_if_new(&copied.join(part), &fs::read(tools.join(part))?)?;
        }
        Ok(Self { folder: folder.to_owned(), pure: folder.join("src/pure") })
    }

    fn judge(&self, mutant: &Mutant, all: bool) -> io::Result<Fate> {
        if mutant.id == CONTROL.id {
            return Ok(match self.build_and_judge(mutant, all)? {
                Fate::Survived => match self.test()? {
                    Fate::Survived => Fate::Holds,
                    other => Fate::Broken(other.words()),
                },
                other => Fate::Broken(other.words()),
            });
        }
        if mutant.edits.is_empty() {
            return Ok(Fate::Equivalent);
        }
        let target = self.pure.join(mutant.file);
        let original = fs::read_to_string(&target)?;
        let text = match mutant.put_into(&original) {
            Ok(text) => text,
            Err(stale) => return Ok(stale),
        };
        fs::write(&target, text)?;
        let fate = if mutant.rules == ["tests"] { self.test() } else { self.build_and_judge(mutant, all) };
        fs::write(&target, original)?;
        Ok(match fate? {
            // What is said to be equivalent has to live.
            Fate::Survived if mutant.rules.is_empty() => Fate::Equivalent,
            fate @ Fate::Killed { .. } if mutant.rules.is_empty() => Fate::Different(fate.words()),
            fate => fate,
        })
    }

    fn build_and_judge(&self, mutant: &Mutant, all: bool) -> io::Result<Fate> {
        let target = self.folder.join("target");
        let build = Command::new("cargo")
            .args(["build", "--quiet", "--locked", "--profile", "mutant", "--bin", "proof", "-j1"])
            .args(["--config", "build.warnings='allow'"])
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", "-Awarnings")
            // Few lines change from one to the next; where nothing is built twice this is switched off.
            .env("CARGO_INCREMENTAL", "1")
            .current_dir(self.folder.join("tools/proof"))
            .stdin(Stdio::null())
            .output()?;
        if !build.status.success() {
            let text = String::from_utf8_lossy(&build.stderr);
            let first = text.lines().find(|line| line.starts_with("error")).unwrap_or("no error was told");
            return Ok(Fate::Unbuilt(first.to_owned()));
        }
        // Processor time and not a clock's: on a busy machine all would be slow.
        let output = Command::new("sh")
            .args(["-c", "ulimit -c 0 && ulimit -S -t \"$0\" && exec \"$@\"", &JUDGE_SECONDS.to_string()])
            .arg(target.join("mutant/proof"))
            .arg("judge")
            .args(all.then_some("--all"))
            .args(mutant.rules.first().is_some_and(|rule| rule.starts_with('S')).then_some("--sources"))
            .stdin(Stdio::null())
            .output()?;
        if output.status.signal() == Some(SIGXCPU) && mutant.rules.contains(&"time") {
            return Ok(Fate::Killed { by: "time, no end".to_owned(), as_expected: true });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("killed ")).collect();
        if found.is_empty() {
            if output.status.success() && text.trim() == "survived" {
                return Ok(Fate::Survived);
            }
            let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("").to_owned();
            return Ok(Fate::Undecided(format!("{}, {last}", output.status)));
        }
        let rule_of = |line: &&str| line.split_once(' ').map_or("", |(_, rule)| rule).to_owned();
        let as_expected = found.iter().map(rule_of).any(|rule| mutant.rules.contains(&rule.as_str()));
        Ok(Fate::Killed { by: found.join(", "), as_expected })
    }

    /// Has the unit tests judge.
    fn test(&self) -> io::Result<Fate> {
        let output = Command::new("sh")
            .args(["-c", "ulimit -c 0 && ulimit -S -t \"$0\" && exec \"$@\"", &JUDGE_SECONDS.to_string()])
            .args(["cargo", "test", "--offline", "-p", "pure", "--lib", "-j1", "rules::updating"])
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .env("RUSTFLAGS", "-Awarnings")
            .env("CARGO_INCREMENTAL", "1")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()?;
        let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let failed = told.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        if let Some(failed) = failed {
            let name = failed.strip_prefix("rules::updating::").unwrap_or(failed);
            return Ok(Fate::Killed { by: name.to_owned(), as_expected: true });
        }
        // Where no test ran, nothing was judged.
        if output.status.success() && told.contains("test result: ok.") && !told.contains("ok. 0 passed") {
            return Ok(Fate::Survived);
        }
        Ok(match said.lines().find(|line| line.starts_with("error")) {
            Some(first) => Fate::Unbuilt(first.to_owned()),
            None => Fate::Undecided(output.status.to_string()),
        })
    }
}

/// Copies a folder; what is the same already keeps its time, so that nothing is built in vain.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            write_if_new(&target, &fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn write_if_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|known| known == bytes) { Ok(()) } else { fs::write(path, bytes) }
}

//! `tunerd ctl`: the API for people in a shell, and for their scripts.
//!
//! It is a client like any other: what it says and asks goes over HTTP to a box, this one or another. Which words mean
//! which request stands in [`command`], how an answer is shown in [`show`], and the one connection in [`remote`]. What
//! comes from a box is text of strangers: no control character of it reaches a terminal.

mod command;
mod remote;
mod show;

use crate::clock;
use command::{Ask, Command};
use hyper::Method;
use remote::{Remote, Sent};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// The text of `tunerd ctl --help`.
const HELP: &str = "\
tunerd ctl asks a box, and tells it what to do.

Usage: tunerd ctl [--box HOST[:PORT]] [--token TOKEN] [--json] COMMAND

  status                        how the box is
  tuners                        who watches what
  channels [SEARCH]             the channels
  channel ID retry              try one that rests once more
  channel ID hide|show          take it from clients' lists, or put it back
  channel ID favorite           put it among the favourites
  channel ID rename NAME        another name; without one, that of its list
  channel ID number NUMBER      another number
  sources                       playlists, logins and other boxes
  source add ADDRESS [NAME]     add a playlist (xtream and hdhomerun: see post)
  source ID refresh|remove      fetch it now; remove it
  source ID approve|refuse|undo what to do with a change set
  guides                        guides, and how they are
  guide add ADDRESS             add one
  guide ID refresh|remove       fetch it now; remove it
  logs [-f] [--level LEVEL]     log lines; -f: and those that follow
  backup FILE                   everything into a file, encrypted with the password
  restore FILE                  everything from such a file
  doctor [stop]                 play as clients do, and say what is wrong; stop: no more
  get PATH                      anything else of the API, such as: get /alarms
  post|put|patch|delete PATH [JSON]

  --box HOST[:PORT]   which box (default: TUNERD_BOX, or this one at 127.0.0.1:80)
  --token TOKEN       who asks; better in TUNERD_TOKEN, where others do not see it. Make one on the page, below System.
  --json              what the box said, for scripts
  --help              print this and end

backup and restore take the password from TUNERD_PASSWORD, or ask for it.
Exit code: 0 done, 1 the box said no, 64 the command makes no sense, 69 the box does not answer.
";

/// Why something was not done, for people.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// What was typed makes no sense.
    Usage(String),
    /// The box does not answer, or a file cannot be read or written.
    Unavailable(String),
    /// The box said no.
    Refused(String),
}

impl Failure {
    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Unavailable(_) => 69,
            Self::Refused(_) => 1,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Usage(text) | Self::Unavailable(text) | Self::Refused(text) => text,
        }
    }
}

/// Does what the command line behind `ctl` says.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let typed = match command::parse(arguments) {
        Ok(Some(typed)) => typed,
        Ok(None) => {
            print(HELP);
            return ExitCode::SUCCESS;
        }
        Err(failure) => return complain(&failure),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(obey(&typed)),
        Err(error) => Err(Failure::Unavailable(format!("this process cannot wait for anything: {error}"))),
    };
    done.map_or_else(|failure| complain(&failure), |()| ExitCode::SUCCESS)
}

fn complain(failure: &Failure) -> ExitCode {
    writeln!(std::io::stderr(), "tunerd ctl: {}", show::clean(failure.text())).unwrap_or_default();
    ExitCode::from(failure.code())
}

/// Whether somebody still reads: a closed pipe is the reader's wish.
fn print(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

async fn obey(typed: &command::Typed) -> Result<(), Failure> {
    let remote = Remote::new(typed.address.as_deref(), typed.token.as_deref())?;
    match &typed.command {
        Command::Ask(ask) => {
            let value = whole(&remote, ask).await?;
            print(&if typed.json { show::json(&value) } else { (ask.show)(&value) });
            Ok(())
        }
        Command::Logs { follow, level } => logs(&remote, *follow, level, typed.json).await,
        Command::Backup(file) => backup(&remote, file).await,
        Command::Restore(file) => restore(&remote, file, typed.json).await,
        Command::Doctor => doctor(&remote, typed.json).await,
    }
}

/// An answer; of a list in parts, all of them.
async fn whole(remote: &Remote, ask: &Ask) -> Result<Value, Failure> {
    let mut value = remote.json(&ask.method, &ask.path, ask.body.as_ref()).await?;
    if !ask.is_list {
        return Ok(value);
    }
    let mut items = Vec::new();
    loop {
        items.extend(value["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        let Some(next) = value["next"].as_i64() else { return Ok(Value::Array(items)) };
        let mark = if ask.path.contains('?') { '&' } else { '?' };
        value = remote.json(&ask.method, &format!("{}{mark}after={next}", ask.path), None).await?;
    }
}

async fn logs(remote: &Remote, follow: bool, level: &str, is_json: bool) -> Result<(), Failure> {
    let mut path = format!("/logs?level={level}");
    loop {
        let page = remote.json(&Method::GET, &path, None).await?;
        let lines = page["items"].as_array().into_iter().flatten();
        let text: String = lines.map(|line| if is_json { format!("{line}\n") } else { show::log_line(line) }).collect();
        if !print(&text) || !follow {
            return Ok(());
        }
        if let Some(next) = page["next"].as_str() {
            path = format!("/logs?level={level}&after={next}");
        }
        clock::pause(1_000).await;
    }
}

/// Of the person who asks; it is not shown while he types it only where the terminal is told so.
fn password() -> Result<String, Failure> {
    if let Ok(password) = std::env::var("TUNERD_PASSWORD") {
        return Ok(password);
    }
    write!(std::io::stderr(), "Password of the box (it is shown here): ").unwrap_or_default();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read {
        Ok(1..) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        _ => Err(Failure::Usage("no password was given; set TUNERD_PASSWORD".to_owned())),
    }
}

async fn backup(remote: &Remote, file: &Path) -> Result<(), Failure> {
    let asked = serde_json::json!({ "password": password()? });
    let bytes = remote.bytes(&Method::POST, "/backup", Sent::Json(asked.to_string())).await?;
    let write = || -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Nobody else's, and never over another file.
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        out.write_all(&bytes)?;
        out.sync_all()
    };
    write().map_err(|error| Failure::Unavailable(format!("{} cannot be written: {error}", file.display())))?;
    print(&format!(
        "{} bytes are in {}. Keep the password: without it they are nothing.\n",
        bytes.len(),
        file.display()
    ));
    Ok(())
}

async fn restore(remote: &Remote, file: &Path, is_json: bool) -> Result<(), Failure> {
    let bytes = std::fs::read(file);
    let bytes = bytes.map_err(|error| Failure::Unavailable(format!("{} cannot be read: {error}", file.display())))?;
    let sent = Sent::Backup { bytes, password: password()? };
    let answer = remote.bytes(&Method::POST, "/restore", sent).await?;
    let value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
    print(&if is_json { show::json(&value) } else { show::restored(&value) });
    Ok(())
}

async fn doctor(remote: &Remote, is_json: bool) -> Result<(), Failure> {
    remote.json(&Method::POST, "/doctor", None).await?;
    let report = loop {
        let report = remote.json(&Method::GET, "/doctor", None).await?;
        if report["state"] != "running" {
            break report;
        }
        clock::pause(500).await;
    };
    print(&if is_json { show::json(&report) } else { show::doctor(&report) });
    if report["state"] == "stopped" {
        return Err(Failure::Refused("somebody has stopped the doctor".to_owned()));
    }
    let checks = report["checks"].as_array().into_iter().flatten();
    match checks.filter(|check| check["outcome"] == "fail").count() {
        0 => Ok(()),
        failed => Err(Failure::Refused(format!("{failed} of the doctor's checks failed"))),
    }
}

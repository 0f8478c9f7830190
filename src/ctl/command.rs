//! Which words mean which request.

use super::Failure;
use super::show;
use hyper::Method;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::PathBuf;

/// What was typed.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) address: Option<String>,
    pub(super) token: Option<String>,
    pub(super) json: bool,
    pub(super) command: Command,
}

#[derive(Debug)]
pub(super) enum Command {
    Ask(Ask),
    Logs { follow: bool, level: String },
    Backup(PathBuf),
    Restore(PathBuf),
    Doctor,
}

/// One request, and how its answer is shown.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Below `/api/v1`, with its query.
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// Whether it comes in parts.
    pub(super) is_list: bool,
    pub(super) show: fn(&Value) -> String,
}

impl Ask {
    fn get(path: impl Into<String>, show: fn(&Value) -> String) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, is_list: false, show }
    }

    fn list(path: impl Into<String>, show: fn(&Value) -> String) -> Self {
        Self { is_list: true, ..Self::get(path, show) }
    }

    fn tell(method: Method, path: impl Into<String>, body: Option<Value>) -> Self {
        Self { method, path: path.into(), body, is_list: false, show: show::done }
    }
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::Usage(format!("{}; see tunerd ctl --help", text.into()))
}

/// Reads the command line behind `ctl`; none when help is wanted.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Option<Typed>, Failure> {
    use lexopt::Arg::{Long, Short, Value as Word};
    let explain = |error: lexopt::Error| usage(error.to_string());
    let text = |word: OsString| word.into_string().map_err(|_| usage("that is not UTF-8"));
    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut address, mut token, mut json, mut follow) = (None, None, false, false);
    let (mut level, mut words) = (None, Vec::new());
    while let Some(argument) = parser.next().map_err(explain)? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("box") => address = Some(text(parser.value().map_err(explain)?)?),
            Long("token") => token = Some(text(parser.value().map_err(explain)?)?),
            Long("json") => json = true,
            Long("follow") | Short('f') => follow = true,
            Long("level") => level = Some(text(parser.value().map_err(explain)?)?),
            Word(word) => words.push(text(word)?),
            other => return Err(explain(other.unexpected())),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if (follow || level.is_some()) && words != ["logs"] {
        return Err(usage("-f and --level go with logs only"));
    }
    let command = match words[..] {
        ["logs"] => Command::Logs { follow, level: self::level(level)? },
        ["backup", file] => Command::Backup(file.into()),
        ["restore", file] => Command::Restore(file.into()),
        ["doctor"] => Command::Doctor,
        _ => Command::Ask(ask(&words)?),
    };
    Ok(Some(Typed { address, token, json, command }))
}

fn level(typed: Option<String>) -> Result<String, Failure> {
    let level = typed.unwrap_or_else(|| "info".to_owned());
    if ["error", "warn", "info", "debug"].contains(&level.as_str()) {
        return Ok(level);
    }
    Err(usage(format!("{level:?} is no level: error, warn, info or debug")))
}

/// Those that are one request each.
fn ask(words: &[&str]) -> Result<Ask, Failure> {
    Ok(match *words {
        [] => return Err(usage("what shall it do?")),
        ["status"] => Ask::get("/status", show::status),
        ["tuners"] => Ask::get("/status", show::tuners),
        ["channels"] => Ask::list("/channels?limit=500", show::channels),
        ["channels", search] => Ask::list(format!("/channels?limit=500&search={}", encoded(search)), show::channels),
        ["channel", id, ref what @ ..] => channel(number(id)?, what)?,
        ["sources"] => Ask::get("/subscriptions", show::sources),
        ["source", "add", address] => added("/subscriptions", json!({"kind": "playlist", "address": address})),
        ["source", "add", address, name] => {
            added("/subscriptions", json!({"kind": "playlist", "address": address, "name": name}))
        }
        ["source", id, "remove"] => Ask::tell(Method::DELETE, format!("/subscriptions/{}", number(id)?), None),
        ["source", id, what @ ("refresh" | "approve" | "refuse" | "undo")] => {
            Ask::tell(Method::POST, format!("/subscriptions/{}/{what}", number(id)?), None)
        }
        ["guides"] => Ask::get("/guides", show::guides),
        ["guide", "add", address] => Ask::tell(Method::POST, "/guides", Some(json!({"address": address}))),
        ["guide", id, "refresh"] => Ask::tell(Method::POST, format!("/guides/{}/refresh", number(id)?), None),
        ["guide", id, "remove"] => Ask::tell(Method::DELETE, format!("/guides/{}", number(id)?), None),
        ["doctor", "stop"] => Ask::tell(Method::DELETE, "/doctor", None),
        ["get", path] => Ask::get(path, show::json),
        [method @ ("post" | "put" | "patch" | "delete"), path] => any(method, path, None),
        [method @ ("post" | "put" | "patch" | "delete"), path, body] => {
            let body = serde_json::from_str(body).map_err(|error| usage(format!("that is no JSON: {error}")))?;
            any(method, path, Some(body))
        }
        [word, ..] => return Err(usage(format!("{word:?} is no command, or lacks something"))),
    })
}

fn any(method: &str, path: &str, body: Option<Value>) -> Ask {
    let method = match method {
        "post" => Method::POST,
        "put" => Method::PUT,
        "patch" => Method::PATCH,
        _ => Method::DELETE,
    };
    Ask { show: show::json, ..Ask::tell(method, path, body) }
}

fn added(path: &str, body: Value) -> Ask {
    Ask { show: show::added, ..Ask::tell(Method::POST, path, Some(body)) }
}

fn channel(id: u32, what: &[&str]) -> Result<Ask, Failure> {
    let edit = |what: Value| {
        let mut body = json!({"channels": [id]});
        if let (Some(body), Value::Object(what)) = (body.as_object_mut(), what) {
            body.extend(what);
        }
        Ask::tell(Method::PATCH, "/channels", Some(body))
    };
    Ok(match *what {
        ["retry"] => Ask::tell(Method::POST, format!("/channels/{id}/retry"), None),
        ["hide"] => edit(json!({"mark": "hidden"})),
        ["show"] => edit(json!({"mark": "plain"})),
        ["favorite"] => edit(json!({"mark": "favorite"})),
        ["rename"] => edit(json!({"name": null})),
        ["rename", name] => edit(json!({"name": name})),
        ["number", number] => edit(json!({"number_from": number})),
        _ => return Err(usage("channel ID retry, hide, show, favorite, rename [NAME] or number NUMBER")),
    })
}

fn number(word: &str) -> Result<u32, Failure> {
    word.parse().map_err(|_| usage(format!("{word:?} is no id; lists show them in their first column")))
}

/// As a query has it.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => all.push(byte.into()),
            _ => write!(all, "%{byte:02X}").unwrap_or_default(),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<(String, Option<Value>), Failure> {
        let words = line.split(' ').map(OsString::from).collect();
        match parse(words)?.map(|typed| typed.command) {
            Some(Command::Ask(Ask { method, path, body, .. })) => Ok((format!("{method} {path}"), body)),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn words_mean_requests() {
        for (line, request, body) in [
            ("status", "GET /status", None),
            ("--json channels ü", "GET /channels?limit=500&search=%C3%BC", None),
            ("channel 7 retry", "POST /channels/7/retry", None),
            ("channel 7 hide", "PATCH /channels", Some(json!({"channels": [7], "mark": "hidden"}))),
            ("channel 7 rename", "PATCH /channels", Some(json!({"channels": [7], "name": null}))),
            (
                "source add http://x/l",
                "POST /subscriptions",
                Some(json!({"kind": "playlist", "address": "http://x/l"})),
            ),
            ("source 2 undo", "POST /subscriptions/2/undo", None),
            ("guide 3 remove", "DELETE /guides/3", None),
            ("put /x [1]", "PUT /x", Some(json!([1]))),
        ] {
            assert_eq!(asked(line), Ok((request.to_owned(), body)), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for line in [
            "nonsense",
            "channel x hide",
            "channel 7",
            "source 1 explode",
            "put /x {",
            "status -f",
            "--x",
            "logs --level x",
        ] {
            let words = line.split(' ').map(OsString::from).collect();
            assert!(matches!(parse(words), Err(Failure::Usage(_))), "{line}");
        }
        assert!(matches!(parse(vec!["--help".into()]), Ok(None)));
    }
}

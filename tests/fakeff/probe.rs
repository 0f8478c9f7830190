//! As ffprobe: reads a piece of our output and says what is in it, or does as the script says for the channel whose
//! mark the piece bears.

use crate::script::Modes;
use crate::ts::MARK;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

pub(super) fn run(arguments: &[String]) -> ExitCode {
    let input = crate::read_all(Duration::from_secs(60));
    let mark = mark_of(&input).unwrap_or_default();
    let modes = Modes::find("probe", std::slice::from_ref(&mark));
    modes.log("probe", &format!("bytes={} modes={}", input.len(), modes.text()));
    if let Some(ms) = modes.number("probe_delay", 0) {
        thread::sleep(Duration::from_millis(ms));
    }
    let healthy = !mark.is_empty() && input.len() >= 188 * 20;
    for mode in modes.names() {
        match mode {
            "hang" => loop {
                thread::sleep(Duration::from_secs(3_600));
            },
            "flood" => {
                let block = [b'x'; 16 * 1024];
                while std::io::stdout().write_all(&block).is_ok() {}
                return ExitCode::FAILURE;
            }
            "nonsense" => {
                let _ = std::io::stdout().write_all(b"{\"streams\": [{\"codec_type\": \xFF\xFE,,, \n");
                return ExitCode::SUCCESS;
            }
            "crash" => {
                let _: nix::Result<()> = nix::sys::signal::raise(nix::sys::signal::Signal::SIGABRT);
            }
            "unhealthy" => return unhealthy(),
            "healthy" => return answer(arguments),
            _ => {}
        }
    }
    if healthy { answer(arguments) } else { unhealthy() }
}

fn mark_of(input: &[u8]) -> Option<String> {
    let at = input.windows(MARK.len()).rposition(|window| window == MARK)? + MARK.len();
    let len = input.get(at..)?.iter().take(80).position(|byte| *byte == b';')?;
    Some(String::from_utf8_lossy(&input[at..at + len]).into_owned())
}

fn unhealthy() -> ExitCode {
    let _ = std::io::stderr().write_all(b"pipe:0: Invalid data found when processing input\n");
    ExitCode::FAILURE
}

/// The entries that were asked for, in the format that was asked for; JSON where nothing else is known.
fn answer(arguments: &[String]) -> ExitCode {
    let after = |options: &[&str]| {
        let at = arguments.iter().position(|one| options.contains(&one.as_str()))?;
        arguments.get(at + 1).map(String::as_str)
    };
    let format = after(&["-of", "-print_format", "-output_format"]).unwrap_or("default");
    let entries = after(&["-show_entries"]).and_then(|entries| entries.split_once("stream=")).map(|(_, list)| list);
    let entries: Vec<&str> = entries
        .unwrap_or("index,codec_name,codec_type")
        .split([':', ' '])
        .next()
        .unwrap_or_default()
        .split(',')
        .collect();
    let streams = [("0", "h264", "video"), ("1", "mp2", "audio")];
    let value = |stream: (&'static str, &'static str, &'static str), entry: &str| match (entry, stream.2) {
        ("index", _) => Some(stream.0),
        ("codec_name", _) => Some(stream.1),
        ("codec_type", kind) => Some(kind),
        ("width" | "height", "video") => Some("64"),
        ("sample_rate", "audio") => Some("48000"),
        _ => None,
    };
    let mut text = String::new();
    let (kind, options) = format.split_once('=').unwrap_or((format, ""));
    if kind == "json" {
        let objects = streams.map(|stream| {
            let pairs = entries.iter().filter_map(|entry| {
                let found = value(stream, entry)?;
                let is_number = found.bytes().all(|byte| byte.is_ascii_digit());
                Some(if is_number { format!("\"{entry}\": {found}") } else { format!("\"{entry}\": \"{found}\"") })
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        });
        text = format!("{{\"programs\": [], \"streams\": [{}]}}\n", objects.join(", "));
    } else {
        for stream in streams {
            let found = || entries.iter().filter_map(|entry| value(stream, entry).map(|found| (*entry, found)));
            let bare = options.contains("p=0") || options.contains("nk=1") || options.contains("nokey=1");
            let _ = match kind {
                "csv" if bare => writeln!(text, "{}", found().map(|(_, found)| found).collect::<Vec<_>>().join(",")),
                "csv" => writeln!(text, "stream,{}", found().map(|(_, found)| found).collect::<Vec<_>>().join(",")),
                "compact" => {
                    let pairs: Vec<String> = found().map(|(entry, found)| format!("{entry}={found}")).collect();
                    writeln!(text, "{}{}", if bare { "" } else { "stream|" }, pairs.join("|"))
                }
                _ if bare => found().try_for_each(|(_, found)| writeln!(text, "{found}")),
                _ => {
                    let pairs: Vec<String> = found().map(|(entry, found)| format!("{entry}={found}")).collect();
                    writeln!(text, "[STREAM]\n{}\n[/STREAM]", pairs.join("\n"))
                }
            };
        }
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

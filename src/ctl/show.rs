//! Answers of a box as people read them.

use serde_json::Value;
use std::fmt::Write as _;

/// For scripts, and for whatever has no table of its own.
pub(super) fn json(value: &Value) -> String {
    if value.is_null() {
        return String::new();
    }
    // serde leaves DEL and the controls behind it as they are; a terminal would obey them.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let text = text.chars().fold(String::new(), |mut all, one| {
        match one {
            '\u{7f}'..='\u{9f}' => write!(all, "\\u{:04x}", u32::from(one)).unwrap_or_default(),
            _ => all.push(one),
        }
        all
    });
    text + "\n"
}

pub(super) fn done(_: &Value) -> String {
    "Done.\n".to_owned()
}

pub(super) fn added(value: &Value) -> String {
    format!("Added with the id {}.\n", text(&value["id"]))
}

/// Without what a terminal would obey.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}

/// A field of an answer in a cell.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(is) => if *is { "yes" } else { "no" }.to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

/// Rows below their headings, each column as wide as it must be.
fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let headings = headings.iter().map(|heading| heading.to_uppercase()).collect();
    let mut all = String::new();
    for row in [headings].iter().chain(&rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        all.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        all.push('\n');
    }
    all
}

/// What a column is called, and what stands in it.
type Column<'a> = (&'a str, fn(&Value) -> String);

/// A table of some fields of each item.
fn fields(items: &Value, columns: &[Column<'_>]) -> String {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    table(&headings, items.iter().map(|item| columns.iter().map(|(_, cell)| cell(item)).collect()))
}

/// 90 s, 15 min, 3 h, 2 d.
fn lasting(seconds: &Value) -> String {
    match seconds.as_u64() {
        None => "-".to_owned(),
        Some(s @ ..120) => format!("{s} s"),
        Some(s @ ..7_200) => format!("{} min", s / 60),
        Some(s @ ..172_800) => format!("{} h", s / 3_600),
        Some(s) => format!("{} d", s / 86_400),
    }
}

pub(super) fn status(status: &Value) -> String {
    let problems = status["problems"].as_array().into_iter().flatten();
    let problems = problems.map(|problem| format!("! {}\n", text(&problem["text"])));
    let ill = status["channels_ill"].as_array().into_iter().flatten();
    let ill = ill.map(|ill| {
        format!("! {} {} is {}: {}\n", text(&ill["number"]), text(&ill["name"]), text(&ill["state"]), text(&ill["why"]))
    });
    let addresses = &status["addresses"];
    format!(
        "{}\n{}\n{} {} on {}, device {}, up {}\npage   {}\nlineup {}\nguide  {}\n",
        text(&status["sentence"]),
        problems.chain(ill).collect::<String>(),
        text(&status["name"]),
        text(&status["version"]),
        text(&status["board"]),
        text(&status["device_id"]),
        lasting(&status["uptime_s"]),
        text(&addresses["base"]),
        text(&addresses["lineup_m3u"]),
        text(&addresses["guide"]),
    )
}

pub(super) fn tuners(status: &Value) -> String {
    let channel = |tuner: &Value| match &tuner["channel"] {
        Value::Null => "-".to_owned(),
        channel => format!("{} {}", text(&channel["number"]), text(&channel["name"])),
    };
    let viewers = |tuner: &Value| {
        let viewers = tuner["viewers"].as_array().into_iter().flatten();
        let all = viewers.map(|viewer| text(&viewer["address"])).collect::<Vec<_>>().join(" ");
        if all.is_empty() { "-".to_owned() } else { all }
    };
    let rate = |tuner: &Value| match tuner["bits_per_s"].as_u64() {
        None | Some(0) => "-".to_owned(),
        Some(bits) => format!("{}.{} Mbit/s", bits / 1_000_000, bits / 100_000 % 10),
    };
    fields(
        &status["tuners"],
        &[
            ("tuner", |tuner| text(&tuner["tuner"])),
            ("state", |tuner| text(&tuner["state"])),
            ("since", |tuner| lasting(&tuner["since_s"])),
            ("channel", channel),
            ("rate", rate),
            ("picture", |tuner| text(&tuner["picture"])),
            ("viewers", viewers),
        ],
    )
}

pub(super) fn channels(channels: &Value) -> String {
    fields(
        channels,
        &[
            ("id", |channel| text(&channel["id"])),
            ("number", |channel| text(&channel["number"])),
            ("name", |channel| text(&channel["name"])),
            ("group", |channel| text(&channel["group"])),
            ("mark", |channel| text(&channel["mark"])),
            ("sources", |channel| channel["sources"].as_array().map_or(0, Vec::len).to_string()),
        ],
    )
}

pub(super) fn sources(subscriptions: &Value) -> String {
    fields(
        subscriptions,
        &[
            ("id", |one| text(&one["id"])),
            ("kind", |one| text(&one["kind"])),
            ("name", |one| text(&one["name"])),
            ("entries", |one| text(&one["entries"])),
            ("loaded", |one| text(&one["loaded_at"])),
            ("next in", |one| lasting(&one["next_in_s"])),
            ("expires", |one| text(&one["account"]["expires_at"])),
            ("problem", |one| text(&one["error"])),
        ],
    )
}

pub(super) fn guides(guides: &Value) -> String {
    fields(
        &guides["guides"],
        &[
            ("id", |guide| text(&guide["id"])),
            ("named by", |guide| text(&guide["named_by"])),
            ("channels", |guide| text(&guide["channels"])),
            ("programmes", |guide| text(&guide["programmes"])),
            ("fetched", |guide| text(&guide["fetched_at"])),
            ("address", |guide| text(&guide["address"])),
            ("problem", |guide| text(&guide["problem"])),
        ],
    )
}

pub(super) fn log_line(line: &Value) -> String {
    format!("{} {:5} {}\n", text(&line["at"]), text(&line["level"]), text(&line["text"]))
}

pub(super) fn restored(value: &Value) -> String {
    let mut all = String::new();
    for (what, count) in value["restored"].as_object().into_iter().flatten() {
        writeln!(all, "{} {}", text(count), clean(what)).unwrap_or_default();
    }
    for what in value["ignored"].as_array().into_iter().flatten() {
        writeln!(all, "left out: {}", text(what)).unwrap_or_default();
    }
    if all.is_empty() { done(value) } else { all }
}

pub(super) fn doctor(report: &Value) -> String {
    fields(
        &report["checks"],
        &[
            ("client", |check| text(&check["client"])),
            ("check", |check| text(&check["name"])),
            ("outcome", |check| text(&check["outcome"])),
            ("ms", |check| text(&check["took_ms"])),
            ("detail", |check| text(&check["detail"])),
            ("what to do", |check| text(&check["fix"])),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_stand_below_each_other_and_nothing_reaches_the_terminal() {
        let channels = json!([
            {"id": 1, "number": "5.1", "name": "Ünе\u{1b}[2J", "group": "", "mark": "plain", "sources": [1]},
            {"id": 20, "number": "6", "name": "B", "group": "News", "mark": "hidden", "sources": []},
        ]);
        let shown = super::channels(&channels);
        let expected = "ID  NUMBER  NAME     GROUP  MARK    SOURCES\n1   5.1     Ünе\u{fffd}[2J  -      plain   1\n";
        assert!(shown.starts_with(expected), "{shown}");
        assert!(shown.ends_with("20  6       B        News   hidden  0\n"), "{shown}");
        assert_eq!(json(&json!("\u{1b}\u{9b}")), "\"\\u001b\\u009b\"\n");
    }

    #[test]
    fn times_are_told_roughly() {
        for (seconds, told) in
            [(json!(0), "0 s"), (json!(119), "119 s"), (json!(120), "2 min"), (json!(200_000), "2 d")]
        {
            assert_eq!(lasting(&seconds), told);
        }
        assert_eq!(lasting(&Value::Null), "-");
    }
}

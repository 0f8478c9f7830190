//! The figures as text for people and as JSON for machines.

use crate::options::Options;
use crate::verdict::{Evidence, Verdict};
use std::fmt::Write as _;

/// A string as JSON writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

fn number(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map_or("null".to_owned(), |value| format!("{value:.1}").trim_end_matches(".0").to_owned())
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
}

/// Names and values, in the order of the report; values are JSON.
pub fn rows(options: &Options, evidence: &Evidence, verdict: &Verdict) -> Vec<(&'static str, String)> {
    let (figures, load) = (&verdict.figures, &evidence.load);
    vec![
        ("verdict", quoted(verdict.word())),
        ("exit", verdict.exit_code().to_string()),
        ("duration_s", number(Some(evidence.duration_s))),
        ("seed", options.seed.to_string()),
        ("requests", load.requests.to_string()),
        ("streams", load.streams.to_string()),
        ("refused", load.refused.to_string()),
        ("unexpected_5xx", load.unexpected_5xx.to_string()),
        ("spawns", number(figures.spawns)),
        ("restarts", number(figures.restarts)),
        ("restarts_in_a_minute_max", number(figures.restarts_in_a_minute_max)),
        ("restart_storms", number(figures.restart_storms)),
        ("breakers_open_max", figures.open_max.map_or("null".to_owned(), |open| open.to_string())),
        ("pool_active_max", number(figures.pool_active_max)),
        ("children_max", figures.children_max.to_string()),
        ("threads_max", figures.threads_max.to_string()),
        ("rss_max_kib", figures.rss_max_kib.to_string()),
        ("rss_slope_kib_h", number(figures.rss_slope_kib_h)),
        ("fd_delta", number(figures.fd_delta)),
        ("loop_stalls", number(figures.loop_stalls)),
        ("loop_stalls_of_machine", number(figures.loop_stalls_of_machine)),
        ("loop_stall_bound_ms", number(figures.loop_stall_bound_ms)),
        ("witnessed_starts", evidence.witnessed_starts.map_or("null".to_owned(), |starts| starts.to_string())),
        ("broken", list(&verdict.broken)),
        ("missing", list(&verdict.missing)),
    ]
}

pub fn text(rows: &[(&str, String)]) -> String {
    rows.iter().fold(String::new(), |mut all, (name, value)| {
        let _ = writeln!(all, "{name:>26}  {value}");
        all
    })
}

pub fn json(rows: &[(&str, String)]) -> String {
    let pairs: Vec<String> = rows.iter().map(|(name, value)| format!("  {}: {value}", quoted(name))).collect();
    format!("{{\n{}\n}}\n", pairs.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_cannot_break_the_json() {
        assert_eq!(quoted("a \"b\"\\\n\u{1b}"), "\"a \\\"b\\\"\\\\\\u000a\\u001b\"");
        assert_eq!(
            (number(Some(3.0)), number(Some(0.25)), number(None), number(Some(f64::INFINITY))),
            ("3".into(), "0.2".into(), "null".into(), "null".into())
        );
        assert_eq!(json(&[("a", "1".into()), ("b", "[]".into())]), "{\n  \"a\": 1,\n  \"b\": []\n}\n");
    }
}

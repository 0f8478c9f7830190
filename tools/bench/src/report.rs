//! Figures as text: what was measured, beside what, and whether the bar is held.

/// Counts the bars.
#[derive(Default)]
pub struct Report {
    pub held_len: u32,
    pub missed_len: u32,
}

impl Report {
    /// Says whether `value` is at most `limit`. `unit` begins with a space where it wants one.
    pub fn bar(&mut self, what: &str, value: f64, limit: f64, unit: &str) {
        let held = value <= limit;
        let (count, verdict) = if held { (&mut self.held_len, "PASS") } else { (&mut self.missed_len, "MISS") };
        *count += 1;
        println!("  {verdict}  {what}: {}{unit}, bar at most {}{unit}", short(value), short(limit));
    }
}

/// Says a figure that has no bar.
pub fn say(what: &str, value: f64, unit: &str) {
    println!("        {what}: {}{unit}", short(value));
}

/// The middle one; of an even count, the upper middle.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// All of them, in the order they were measured.
pub fn list(values: &[f64]) -> String {
    values.iter().copied().map(short).collect::<Vec<_>>().join(" ")
}

fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.strip_suffix(".00").map(str::to_owned).unwrap_or(text)
}

//! What `/metrics` says, as far as the soak needs it. Prometheus' text format.

use std::collections::BTreeMap;

/// One answer of `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Lines that cannot be read are left out: what is missing is noticed where it is needed.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .filter_map(|line| {
                    let (name, value) = line.rsplit_once(' ')?;
                    Some((name.to_owned(), value.parse().ok()?))
                })
                .collect(),
        )
    }

    /// The sum over all labels of a name; `None` where the name is not known at all.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let values: Vec<f64> = self.each(name).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// All values of a name, with what stands in the braces.
    pub fn each<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.iter().filter_map(move |(full, value)| {
            let labels = full.strip_prefix(name)?;
            let labels = if labels.is_empty() { labels } else { labels.strip_prefix('{')?.strip_suffix('}')? };
            Some((labels, *value))
        })
    }

    /// Upper bounds and cumulative counts of a histogram, in order.
    pub fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = self
            .each(&name)
            .filter_map(|(labels, count)| {
                let bound =
                    labels.split(',').find_map(|label| label.trim().strip_prefix("le=\""))?.trim_end_matches('"');
                Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }, count))
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets
    }
}

/// How many observations between two looks were certainly above `limit_s`: those above the first bound at or over it.
pub fn above(before: &[(f64, f64)], after: &[(f64, f64)], limit_s: f64) -> Option<(f64, f64)> {
    let (bound, within) = after.iter().copied().find(|(bound, _)| *bound >= limit_s)?;
    let (_, all) = after.last().copied()?;
    let earlier = |at: f64| before.iter().find(|(bound, _)| bound.total_cmp(&at).is_eq()).map_or(0.0, |found| found.1);
    let all_before = before.last().map_or(0.0, |found| found.1);
    Some((bound, (all - within) - (all_before - earlier(bound))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# TYPE tunerd_channel_restart_total counter
tunerd_channel_restart_total{channel_id=\"1\"} 3
tunerd_channel_restart_total{channel_id=\"2\"} 4
tunerd_channel_restart_totals 99
tunerd_lag_seconds_bucket{le=\"0.01\"} 90
tunerd_lag_seconds_bucket{le=\"0.1\"} 97
tunerd_lag_seconds_bucket{le=\"+Inf\"} 100
tunerd_lag_seconds_count 100
nonsense
";

    #[test]
    fn values_are_found_and_summed_by_name() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.sum("tunerd_channel_restart_total"), Some(7.0));
        assert_eq!(metrics.sum("tunerd_lag_seconds_count"), Some(100.0));
        assert_eq!(metrics.sum("tunerd_channel_restart"), None);
        let each: Vec<_> = metrics.each("tunerd_channel_restart_total").collect();
        assert_eq!(each, [("channel_id=\"1\"", 3.0), ("channel_id=\"2\"", 4.0)]);
    }

    #[test]
    fn long_stalls_are_what_lies_above_the_bound() {
        let after = Metrics::parse(TEXT).buckets("tunerd_lag_seconds");
        assert_eq!(after.len(), 3);
        assert_eq!(above(&[], &after, 0.1), Some((0.1, 3.0)));
        assert_eq!(above(&[], &after, 0.05), Some((0.1, 3.0)), "never more than is certain");
        assert_eq!(above(&[(0.01, 10.0), (0.1, 12.0), (f64::INFINITY, 14.0)], &after, 0.1), Some((0.1, 1.0)));
        assert_eq!(above(&[], &[], 0.1), None);
        assert_eq!(above(&[], &after, 5.0), Some((f64::INFINITY, 0.0)));
    }
}

//! Metrics on their way out.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// What one scrape gets: families of metrics by name. Sources that write the same name share its family.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<String, MetricFamily>,
}

/// The names and values of labels.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.put(name, help, MetricType::GAUGE, metric);
    }

    /// Something that only grows; its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        self.put(name, help, MetricType::COUNTER, metric);
    }

    /// A distribution: the upper bounds of its buckets, how many observations fell into each and no lower one,
    /// one more for those above all bounds, and the sum of the observations.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        (bounds, counts, sum): (&[f64], &[u64], f64),
    ) {
        let mut below = 0;
        let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        // Counted from the buckets, so that they agree while observations go on.
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.put(name, help, MetricType::HISTOGRAM, metric);
    }

    /// A distribution that prometheus keeps itself.
    pub(crate) fn observed(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        kept: &prometheus::Histogram,
    ) {
        let seen = prometheus::core::Metric::metric(kept);
        let mut metric = labelled(labels);
        metric.set_histogram(seen.get_histogram().clone());
        self.put(name, help, MetricType::HISTOGRAM, metric);
    }

    /// A family as prometheus makes it.
    pub(crate) fn family(&mut self, family: MetricFamily) {
        if !family.get_metric().is_empty() {
            self.families.insert(family.name().to_owned(), family);
        }
    }

    pub(crate) fn text(self) -> Result<String, prometheus::Error> {
        let families: Vec<MetricFamily> = self.families.into_values().collect();
        prometheus::TextEncoder::new().encode_to_string(&families)
    }

    fn put(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) {
        let family = self.families.entry(name.to_owned()).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_one_name_share_a_family_and_buckets_add_up() {
        let mut exposition = Exposition::default();
        exposition.gauge("a_b", "A.", &[("x", "1")], 2.0);
        exposition.histogram("a_c", "C.", &[], (&[0.5, 1.0], &[1, 2, 4], 9.5));
        exposition.gauge("a_b", "A.", &[("x", "quoted \"\n")], 3.0);
        let expected = "# HELP a_b A.\n# TYPE a_b gauge\na_b{x=\"1\"} 2\na_b{x=\"quoted \\\"\\n\"} 3\n\
            # HELP a_c C.\n# TYPE a_c histogram\na_c_bucket{le=\"0.5\"} 1\na_c_bucket{le=\"1\"} 3\n\
            a_c_bucket{le=\"+Inf\"} 7\na_c_sum 9.5\na_c_count 7\n";
        assert_eq!(exposition.text().unwrap(), expected);
    }
}

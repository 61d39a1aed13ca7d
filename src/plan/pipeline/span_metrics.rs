//! Span metrics: request, error and duration metrics of every span, made before sampling. In: the validated profile.
//! Out: settings of the connector. No cluster.

use std::collections::BTreeSet;

use super::config::{Exemplars, ExplicitBuckets, Histogram, SpanMetrics};
use super::{SPAN_METRICS_DURATION, SPAN_METRICS_NAMESPACE, has_exemplars};
use crate::quantity;
use crate::validate::{Indicator, Slo, ValidatedProfile};

/// Nanoseconds of a millisecond.
const MILLISECOND: i128 = 1_000_000;
/// Bucket bounds in milliseconds: from a cache hit to a job of some minutes.
const BOUNDS: [i128; 14] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000];

/// Settings of the span metrics connector.
pub(super) fn settings(profile: &ValidatedProfile) -> SpanMetrics {
    SpanMetrics {
        namespace: SPAN_METRICS_NAMESPACE,
        histogram: Histogram { unit: "s", explicit: ExplicitBuckets { buckets: buckets(&profile.slos) } },
        // Prometheus scrapes each collector by itself, so that its own label tells collectors apart; this one would be a new
        // random value, and with it a new set of series, at every start.
        exclude_dimensions: ["collector.instance.id"],
        // One set of series for a service, not one for each of its pods and restarts. The Prometheus exporter knows
        // series apart by their labels alone: sets with equal labels would overwrite each other.
        resource_metrics_key_attributes: ["service.name"],
        // Span names with an id in them must not fill the memory. What is above goes to one series with
        // otel_metric_overflow="true".
        aggregation_cardinality_limit: 1000,
        // Longer than a week: counters of a weekly job go on where they stood, and rates over its runs stay right.
        series_expiration: "192h",
        metrics_flush_interval: "15s",
        exemplars: Exemplars { enabled: has_exemplars(profile) },
    }
}

/// The bounds of the histogram: a fixed set, and the threshold of each latency SLO on it. Without a bound at the threshold
/// the SLO's series would not exist.
fn buckets(slos: &[Slo]) -> Vec<String> {
    let thresholds = slos.iter().filter_map(|slo| match &slo.indicator {
        Indicator::Latency { histogram, threshold, .. } if histogram.metric == SPAN_METRICS_DURATION => {
            quantity::nanos(threshold)
        }
        Indicator::Operation { threshold: Some(threshold), .. } => quantity::nanos(threshold),
        _ => None,
    });
    let bounds: BTreeSet<i128> = BOUNDS.iter().map(|bound| bound * MILLISECOND).chain(thresholds).collect();
    bounds.into_iter().map(duration).collect()
}

/// Nanoseconds as a Go duration, exact.
fn duration(nanoseconds: i128) -> String {
    let units = [("s", 1000 * MILLISECOND), ("ms", MILLISECOND), ("us", 1000)];
    units
        .into_iter()
        .find(|(_, size)| nanoseconds % size == 0)
        .map_or_else(|| format!("{nanoseconds}ns"), |(unit, size)| format!("{}{unit}", nanoseconds / size))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::burn_rate::Objective;
    use crate::profile::HistogramType;
    use crate::promql::Selector;

    fn latency(metric: &str, threshold: &str) -> Slo {
        Slo {
            name: "fast".to_owned(),
            objective: Objective(995_000),
            window_days: 30,
            indicator: Indicator::Latency {
                histogram: Selector { metric: metric.to_owned(), matchers: Vec::new() },
                threshold: threshold.to_owned(),
                kind: HistogramType::Classic,
            },
            group_by: Vec::new(),
            page: true,
            ticket: true,
            labels: BTreeMap::new(),
            minimum_events: None,
            absent_after: "1h".to_owned(),
        }
    }

    #[test]
    fn a_threshold_on_our_histogram_becomes_a_bound_once_and_in_order() {
        let slos = [
            latency(SPAN_METRICS_DURATION, "0.35"),
            latency(SPAN_METRICS_DURATION, "0.350"),
            latency(SPAN_METRICS_DURATION, "2.50"),
            latency(SPAN_METRICS_DURATION, "0.00125"),
            latency(SPAN_METRICS_DURATION, "900"),
            latency("http_request_duration_seconds", "0.4"),
        ];
        assert_eq!(
            buckets(&slos),
            [
                "1250us", "5ms", "10ms", "25ms", "50ms", "100ms", "250ms", "350ms", "500ms", "1s", "2500ms",
                "5s", "10s", "30s", "60s", "300s", "900s"
            ]
        );
        assert_eq!(buckets(&[]).len(), BOUNDS.len());
    }
}

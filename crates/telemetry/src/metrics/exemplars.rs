//! In: measurements that were made in kept traces. Out: the last one of each series, of each bucket in a histogram, with its
//! ids. Bounded. No network.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use opentelemetry::trace::{SpanId, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};

use super::labels;

/// As many series as the SDK keeps of one instrument; further ones it adds up without their attributes.
const MAX_SERIES: usize = 2000;

/// One measurement and the span that it was made in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) value: f64,
    pub(super) time: SystemTime,
}

/// The ids of the context's span, when its trace is kept: an exemplar must lead to something.
pub(super) fn kept(context: &Context) -> Option<(TraceId, SpanId)> {
    if !context.has_active_span() {
        return None;
    }
    let span = context.span();
    let span = span.span_context();
    span.is_sampled().then(|| (span.trace_id(), span.span_id()))
}

/// One for each bucket.
type Buckets = Box<[Option<Exemplar>]>;

/// The exemplars of one instrument.
#[derive(Debug)]
pub(super) struct Exemplars {
    bounds: Box<[f64]>,
    /// By attributes in the order in which they came. Sorting belongs to the reader, who is seldom there.
    series: Mutex<HashMap<Vec<KeyValue>, Buckets>>,
}

impl Exemplars {
    /// Without bounds there is one bucket, as in a counter.
    pub(super) fn new(bounds: &[f64]) -> Self {
        Self { bounds: bounds.into(), series: Mutex::default() }
    }

    pub(super) fn note(&self, (trace_id, span_id): (TraceId, SpanId), value: f64, attributes: &[KeyValue]) {
        if !value.is_finite() {
            return; // The SDK does not count it either.
        }
        let exemplar = Exemplar { trace_id, span_id, value, time: SystemTime::now() };
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buckets) = series.get_mut(attributes) {
            buckets[bucket] = Some(exemplar);
        } else if series.len() < MAX_SERIES {
            let mut buckets = vec![None; self.bounds.len() + 1];
            buckets[bucket] = Some(exemplar);
            series.insert(attributes.to_vec(), buckets.into());
        }
    }

    /// By labels as they are exposed.
    pub(super) fn by_labels(&self) -> HashMap<BTreeMap<String, String>, Buckets> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut by_labels = HashMap::<_, Buckets>::with_capacity(series.len());
        for (attributes, buckets) in series {
            by_labels
                .entry(labels::of_attributes(&attributes))
                .and_modify(|other| keep_later(other, &buckets))
                .or_insert(buckets);
        }
        by_labels
    }
}

/// The same attributes in another order are the same series.
fn keep_later(buckets: &mut [Option<Exemplar>], others: &[Option<Exemplar>]) {
    for (bucket, other) in buckets.iter_mut().zip(others) {
        if other.map(|exemplar| exemplar.time) > bucket.map(|exemplar| exemplar.time) {
            *bucket = *other;
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::Value;

    use super::*;

    const SPAN: (TraceId, SpanId) = (TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]));

    fn values(exemplars: &Exemplars, labels: &[(&str, &str)]) -> Vec<Option<f64>> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        exemplars.by_labels()[&labels]
            .iter()
            .map(|exemplar| exemplar.map(|exemplar| exemplar.value))
            .collect()
    }

    #[test]
    fn each_bucket_keeps_its_last_measurement() {
        let exemplars = Exemplars::new(&[1.0, 2.5]);
        for value in [0.5, 1.0, 2.6, 7.0, f64::NAN, f64::INFINITY] {
            exemplars.note(SPAN, value, &[]);
        }
        // 1 belongs to the bucket that ends at 1.
        assert_eq!(values(&exemplars, &[]), [Some(1.0), None, Some(7.0)]);
    }

    #[test]
    fn the_order_of_attributes_does_not_matter() {
        let (a, b) = (KeyValue::new("a.b", 1), KeyValue::new("c", true));
        let exemplars = Exemplars::new(&[]);
        exemplars.note(SPAN, 1.0, &[a.clone(), b.clone()]);
        exemplars.note(SPAN, 2.0, &[b.clone(), a.clone()]);
        assert_eq!(values(&exemplars, &[("a_b", "1"), ("c", "true")]), [Some(2.0)]);
        exemplars.note(SPAN, 3.0, &[a, b]);
        assert_eq!(values(&exemplars, &[("a_b", "1"), ("c", "true")]), [Some(3.0)]);
    }

    #[test]
    fn no_more_series_are_kept_than_the_sdk_keeps() {
        let exemplars = Exemplars::new(&[1.0]);
        for round in [0.5, 5.0] {
            for number in 0..10_000 {
                exemplars.note(SPAN, round, &[KeyValue::new("user", Value::I64(number))]);
            }
        }
        assert_eq!(exemplars.by_labels().len(), 2000);
        assert_eq!(values(&exemplars, &[("user", "1999")]), [Some(0.5), Some(5.0)], "the first ones go on");
    }
}

//! In: measurements. Out: the same in OpenTelemetry instruments, and an exemplar where the current trace is kept. No network.

use std::sync::Arc;

use opentelemetry::metrics::{self, Gauge, UpDownCounter};
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry::{Context, KeyValue};

use super::Metrics;
use super::exemplars::{self, Exemplars};

/// Seconds. 2.5 is where the latency objective of the exporter's profile ends.
const API_DURATION_BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A counter with exemplars.
#[derive(Clone, Debug)]
pub struct Counter {
    counter: metrics::Counter<u64>,
    exemplars: Option<Arc<Exemplars>>,
}

impl Counter {
    pub(super) fn new(counter: metrics::Counter<u64>, exemplars: Option<Arc<Exemplars>>) -> Self {
        Self { counter, exemplars }
    }

    /// Adds to the series of these attributes; its exemplar is the current span.
    pub fn add(&self, value: u64, attributes: &[KeyValue]) {
        self.counter.add(value, attributes);
        if let Some(exemplars) = &self.exemplars
            && let Some(span) = current_kept()
        {
            exemplars.note(span, value as f64, attributes);
        }
    }
}

/// A histogram with exemplars.
#[derive(Clone, Debug)]
pub struct Histogram {
    histogram: metrics::Histogram<f64>,
    exemplars: Option<Arc<Exemplars>>,
}

impl Histogram {
    pub(super) fn new(histogram: metrics::Histogram<f64>, exemplars: Option<Arc<Exemplars>>) -> Self {
        Self { histogram, exemplars }
    }

    /// Records a value in the series of these attributes; its exemplar is the current span. A value that is not finite is
    /// ignored.
    pub fn record(&self, value: f64, attributes: &[KeyValue]) {
        self.record_with(current_kept, value, attributes);
    }

    /// The same, for a span that is not the current one any more.
    pub(crate) fn record_in(&self, context: &Context, value: f64, attributes: &[KeyValue]) {
        self.record_with(|| exemplars::kept(context), value, attributes);
    }

    fn record_with(
        &self,
        span: impl FnOnce() -> Option<(TraceId, SpanId)>,
        value: f64,
        attributes: &[KeyValue],
    ) {
        self.histogram.record(value, attributes);
        if let Some(exemplars) = &self.exemplars
            && let Some(span) = span()
        {
            exemplars.note(span, value, attributes);
        }
    }
}

/// Nothing else happens while the current context is borrowed: who makes another one current then would panic.
fn current_kept() -> Option<(TraceId, SpanId)> {
    Context::map_current(exemplars::kept)
}

/// The instruments that every application of this library has.
#[derive(Clone, Debug)]
pub struct TelemetryInstruments {
    /// `trakt_exports_total`: exports that came to an end.
    pub exports: Counter,
    /// `trakt_api_duration_seconds`: how long API calls took, by `endpoint`, `method`, `outcome`.
    pub api_duration: Histogram,
    /// `trakt_cache_hit_ratio`: the share of look-ups that the cache answered, 0 to 1.
    pub cache_hit_ratio: Gauge<f64>,
    active_operations: UpDownCounter<i64>,
}

impl TelemetryInstruments {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            exports: metrics.counter("trakt_exports_total", "{export}", "Exports that came to an end."),
            api_duration: metrics.histogram(
                "trakt_api_duration_seconds",
                "s",
                "How long API calls took.",
                &API_DURATION_BOUNDS,
            ),
            cache_hit_ratio: metrics.gauge(
                "trakt_cache_hit_ratio",
                "1",
                "The share of look-ups that the cache answered.",
            ),
            active_operations: metrics.up_down_counter(
                "trakt_active_operations",
                "{operation}",
                "Operations that are running.",
            ),
        }
    }

    /// Counts one operation in `trakt_active_operations` until the guard is dropped, also by a panic.
    #[must_use = "the operation counts as active only while the guard lives"]
    pub fn active_operation(&self, operation: &'static str) -> ActiveOperation {
        let guard = ActiveOperation {
            counter: self.active_operations.clone(),
            attributes: [KeyValue::new("operation", operation)],
        };
        guard.counter.add(1, &guard.attributes);
        guard
    }
}

/// One operation that runs, in `trakt_active_operations`.
#[derive(Debug)]
pub struct ActiveOperation {
    counter: UpDownCounter<i64>,
    attributes: [KeyValue; 1],
}

impl Drop for ActiveOperation {
    fn drop(&mut self) {
        self.counter.add(-1, &self.attributes);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::tests::{metrics, span};
    use super::*;

    /// The lines of a page that begin with `start`.
    fn lines(metrics: &Metrics, start: &str) -> Vec<String> {
        let page = metrics.render(Some("application/openmetrics-text")).body;
        page.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    #[test]
    fn the_bounds_of_call_durations_fit_seconds() {
        let metrics = metrics();
        let duration = TelemetryInstruments::new(&metrics).api_duration;
        for seconds in [0.004, 0.2, 2.4, 2.6, 29.0] {
            duration.record(seconds, &[KeyValue::new("endpoint", "/users/{id}")]);
        }
        let buckets = lines(&metrics, "trakt_api_duration_seconds_bucket");
        let counts: Vec<_> = buckets.iter().map(|line| line.split_once("le=").unwrap().1).collect();
        let expected = [
            r#""0.005"} 1"#,
            r#""0.01"} 1"#,
            r#""0.025"} 1"#,
            r#""0.05"} 1"#,
            r#""0.1"} 1"#,
            r#""0.25"} 2"#,
            r#""0.5"} 2"#,
            r#""1.0"} 2"#,
            r#""2.5"} 3"#,
            r#""5.0"} 4"#,
            r#""10.0"} 4"#,
            r#""30.0"} 5"#,
            r#""+Inf"} 5"#,
        ];
        assert_eq!(counts, expected);
    }

    #[test]
    fn an_exemplar_is_the_last_measurement_in_a_kept_trace() {
        let metrics = metrics();
        let jobs = metrics.counter("jobs_total", "", "Jobs.");
        let exemplar =
            || lines(&metrics, "jobs_total")[0].split_once(" # ").map(|(_, exemplar)| exemplar.to_owned());
        jobs.add(1, &[]);
        assert_eq!(exemplar(), None, "without a span");
        {
            let _current = span(0xa1, false).attach();
            jobs.add(1, &[]);
        }
        assert_eq!(exemplar(), None, "the trace is not kept");
        for trace_id in [0xb2, 0xc3] {
            let _current = span(trace_id, true).attach();
            jobs.add(1, &[]);
        }
        jobs.add(1, &[]);
        assert!(exemplar().is_some_and(|exemplar| exemplar.contains("0c3\"")), "{:?}", exemplar());
        assert!(lines(&metrics, "jobs_total")[0].starts_with("jobs_total 5 # {"));
    }

    #[test]
    fn exemplars_of_many_series_stay_few() {
        let metrics = metrics();
        let jobs = metrics.counter("jobs_total", "", "Jobs.");
        let _current = span(0xa1, true).attach();
        for number in 0..10_000_i64 {
            jobs.add(1, &[KeyValue::new("number", number)]);
        }
        let series = lines(&metrics, "jobs_total");
        assert_eq!(series.len(), 2001, "the SDK keeps 2000 and adds up the others");
        assert_eq!(series.iter().filter(|line| line.contains("trace_id")).count(), 2000);
        assert!(
            series.iter().any(|line| line == r#"jobs_total{otel_metric_overflow="true"} 8000"#),
            "{series:#?}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_thousand_tasks_lose_no_count() {
        let metrics = metrics();
        let instruments = TelemetryInstruments::new(&metrics);
        let task = |number: usize| {
            let instruments = instruments.clone();
            async move {
                let kind = [KeyValue::new("kind", ["movies", "ratings"][number % 2])];
                for round in 0..20 {
                    let active = instruments.active_operation("export");
                    {
                        let _current = span(number as u128 + 1, number.is_multiple_of(3)).attach();
                        instruments.exports.add(1, &kind);
                        instruments.api_duration.record(f64::from(round) / 10.0, &kind);
                    }
                    tokio::task::yield_now().await;
                    drop(active);
                }
            }
        };
        let tasks: Vec<_> = (0..1000).map(|number| tokio::spawn(task(number))).collect();
        // Scrapes in the meantime take nothing away.
        for _ in 0..20 {
            metrics.render(Some("application/openmetrics-text"));
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        for kind in ["movies", "ratings"] {
            let exports =
                lines(&metrics, &format!("trakt_exports_total{{kind=\"{kind}\"}} 10000 # {{trace_id=\""));
            assert_eq!(exports.len(), 1, "{:?}", lines(&metrics, "trakt_exports_total"));
            let name = format!("trakt_api_duration_seconds_count{{kind=\"{kind}\"}}");
            assert_eq!(lines(&metrics, &name), [format!("{name} 10000")]);
        }
        assert_eq!(lines(&metrics, "trakt_active"), [r#"trakt_active_operations{operation="export"} 0"#]);
    }

    #[tokio::test]
    async fn an_operation_is_not_active_after_a_panic_or_an_abort() {
        let metrics = metrics();
        let instruments = TelemetryInstruments::new(&metrics);
        let active = |count: i64| {
            assert_eq!(
                lines(&metrics, "trakt_active"),
                [format!("trakt_active_operations{{operation=\"export\"}} {count}")]
            );
        };
        let outer = instruments.active_operation("export");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _active = instruments.active_operation("export");
            active(2);
            std::panic::resume_unwind(Box::new("on purpose"));
        }));
        assert!(panicked.is_err());
        active(1);

        let (started, has_started) = tokio::sync::oneshot::channel();
        let task = tokio::spawn({
            let instruments = instruments.clone();
            async move {
                let _active = instruments.active_operation("export");
                started.send(()).unwrap();
                std::future::pending::<()>().await;
            }
        });
        has_started.await.unwrap();
        active(2);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        active(1);
        drop(outer);
        active(0);
    }
}

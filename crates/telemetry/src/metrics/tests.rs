use std::collections::BTreeSet;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};

use super::*;
use crate::fixture::Recorder;

const OPENMETRICS: Option<&str> = Some("application/openmetrics-text");

pub(super) fn metrics() -> Metrics {
    let resource = Resource::builder_empty().with_attribute(KeyValue::new("service.name", "trakt")).build();
    Metrics::new(&resource).unwrap()
}

/// A context whose span has this trace id and is kept, or not.
pub(super) fn span(trace_id: u128, kept: bool) -> Context {
    let flags = if kept { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let span =
        SpanContext::new(TraceId::from(trace_id), SpanId::from(2), flags, false, TraceState::default());
    Context::new().with_remote_span_context(span)
}

/// Without the times of exemplars, which must be there.
fn without_times(page: &str) -> String {
    let line = |line: &str| match line.split_once(" # {") {
        Some(_) => {
            let (rest, time) = line.rsplit_once(' ').unwrap();
            let (seconds, milliseconds) = time.split_once('.').expect("seconds with a fraction");
            assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000 && milliseconds.len() == 3, "{line}");
            format!("{rest}\n")
        }
        None => format!("{line}\n"),
    };
    page.lines().map(line).collect()
}

/// Some of everything: OpenTelemetry's and native, with labels that need care.
pub(super) fn various() -> Metrics {
    let metrics = metrics();
    let jobs = metrics.counter("jobs_total", "{job}", "Jobs; a \\ and\na \"line\".");
    {
        let _current = span(0xa1, true).attach();
        jobs.add(2, &[KeyValue::new("http.method", "GET"), KeyValue::new("2:xx", "a\"b\\c\nd é 漢")]);
        let _current = span(0xb2, false).attach();
        jobs.add(1, &[]);
    }
    metrics.counter("jobs.by-name", "", "").add(3, &[KeyValue::new("le", 1)]);
    let duration = metrics.histogram("duration_seconds", "s", "Durations.", &[0.5, 1.0, 1e-7_f64.recip()]);
    let attributes = [KeyValue::new("ok", true)];
    duration.record_in(&span(0xc3, true), 0.75, &attributes);
    duration.record_in(&span(0xd4, true), 0.625, &attributes);
    duration.record_in(&span(0xe5, true), 2e7, &attributes);
    duration.record(1.0, &attributes);
    metrics.gauge("ratio", "1", "A ratio.").record(0.25, &[]);
    metrics.up_down_counter("running", "", "Running.").add(-2, &[]);

    // OpenTelemetry's gauges do not take an infinity.
    let native = prometheus::Gauge::new("limit", "A limit.").unwrap();
    native.set(f64::INFINITY);
    metrics.registry().register(Box::new(native)).unwrap();
    let native = prometheus::IntCounter::new("native_total", "Native.").unwrap();
    native.inc_by(7);
    metrics.registry().register(Box::new(native)).unwrap();
    let options =
        prometheus::HistogramOpts::new("native_seconds", "Native.").buckets(vec![1.0, f64::INFINITY]);
    let native = prometheus::Histogram::with_opts(options).unwrap();
    native.observe(3.0);
    metrics.registry().register(Box::new(native)).unwrap();
    metrics
}

const VARIOUS_TEXT: &str = r#"# HELP duration_seconds Durations.
# TYPE duration_seconds histogram
duration_seconds_bucket{ok="true",le="0.5"} 0
duration_seconds_bucket{ok="true",le="1"} 3
duration_seconds_bucket{ok="true",le="10000000"} 3
duration_seconds_bucket{ok="true",le="+Inf"} 4
duration_seconds_sum{ok="true"} 20000002.375
duration_seconds_count{ok="true"} 4
# TYPE jobs_by_name counter
jobs_by_name{exported_le="1"} 3
# HELP jobs_total Jobs; a \\ and\na "line".
# TYPE jobs_total counter
jobs_total 1
jobs_total{_2_xx="a\"b\\c\nd é 漢",http_method="GET"} 2
# HELP limit A limit.
# TYPE limit gauge
limit inf
# HELP native_seconds Native.
# TYPE native_seconds histogram
native_seconds_bucket{le="1"} 0
native_seconds_bucket{le="+Inf"} 1
native_seconds_sum 3
native_seconds_count 1
# HELP native_total Native.
# TYPE native_total counter
native_total 7
# HELP ratio A ratio.
# TYPE ratio gauge
ratio 0.25
# HELP running Running.
# TYPE running gauge
running -2
# HELP target_info Target metadata
# TYPE target_info gauge
target_info{service_name="trakt"} 1
"#;

const VARIOUS_OPENMETRICS: &str = r#"# TYPE duration_seconds histogram
# HELP duration_seconds Durations.
duration_seconds_bucket{ok="true",le="0.5"} 0
duration_seconds_bucket{ok="true",le="1.0"} 3 # {trace_id="000000000000000000000000000000d4",span_id="0000000000000002"} 0.625
duration_seconds_bucket{ok="true",le="10000000.0"} 3
duration_seconds_bucket{ok="true",le="+Inf"} 4 # {trace_id="000000000000000000000000000000e5",span_id="0000000000000002"} 20000000
duration_seconds_sum{ok="true"} 20000002.375
duration_seconds_count{ok="true"} 4
# TYPE jobs_by_name unknown
jobs_by_name{exported_le="1"} 3
# TYPE jobs counter
# HELP jobs Jobs; a \\ and\na \"line\".
jobs_total 1
jobs_total{_2_xx="a\"b\\c\nd é 漢",http_method="GET"} 2 # {trace_id="000000000000000000000000000000a1",span_id="0000000000000002"} 2
# TYPE limit gauge
# HELP limit A limit.
limit +Inf
# TYPE native_seconds histogram
# HELP native_seconds Native.
native_seconds_bucket{le="1.0"} 0
native_seconds_bucket{le="+Inf"} 1
native_seconds_sum 3
native_seconds_count 1
# TYPE native counter
# HELP native Native.
native_total 7
# TYPE ratio gauge
# HELP ratio A ratio.
ratio 0.25
# TYPE running gauge
# HELP running Running.
running -2
# TYPE target info
# HELP target Target metadata
target_info{service_name="trakt"} 1
# EOF
"#;

#[test]
fn prometheus_text_has_every_series() {
    let page = various().render(None);
    assert_eq!(page.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(page.body, VARIOUS_TEXT);
}

#[test]
fn openmetrics_has_the_exemplars_as_well() {
    let page = various().render(OPENMETRICS);
    assert_eq!(page.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(without_times(&page.body), VARIOUS_OPENMETRICS);
}

#[test]
fn both_formats_have_the_same_series_and_values() {
    let metrics = various();
    let samples = |accept| -> BTreeSet<(String, String)> {
        let page = metrics.render(accept).body;
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split_once(" # {").map_or(line, |(sample, _)| sample))
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(series, value)| {
                // Bounds are numbers, not names.
                let series = series.replace("le=\"+Inf\"", "le=\"inf\"").replace(".0\"}", "\"}");
                (series, value.parse::<f64>().unwrap().to_string())
            })
            .collect()
    };
    let text = samples(None);
    assert_eq!(text.len(), 18);
    assert_eq!(text, samples(OPENMETRICS));
}

#[test]
fn metrics_that_are_off_record_nothing() {
    let metrics = Metrics::disabled();
    let _current = span(1, true).attach();
    let instruments = TelemetryInstruments::new(&metrics);
    instruments.exports.add(1, &[]);
    instruments.api_duration.record(1.0, &[]);
    instruments.cache_hit_ratio.record(1.0, &[]);
    drop(instruments.active_operation("x"));
    metrics.meter("other").u64_counter("others_total").build().add(1, &[]);
    assert!(metrics.provider().is_none() && metrics.made.lock().unwrap().is_empty());
    assert_eq!(metrics.render(None).body, "");
    assert_eq!(metrics.render(OPENMETRICS).body, "# EOF\n");
}

/// The lines that are logged while `work` runs.
fn logged(work: impl FnOnce()) -> Vec<String> {
    let recorder = Recorder::text("info");
    recorder.run(work);
    recorder.lines()
}

/// The samples of a page without `target_info`.
fn samples(metrics: &Metrics) -> Vec<String> {
    let page = metrics.render(None).body;
    page.lines().filter(|line| !line.starts_with(['#', 't'])).map(str::to_owned).collect()
}

#[test]
fn an_instrument_that_cannot_be_made_is_reported_and_records_nothing() {
    let metrics = metrics();
    let long: &'static str = "x".repeat(256).leak();
    let lines = logged(|| {
        for name in ["", "2x", "_x", "a b", "größe", "a:b", long] {
            metrics.counter(name, "", "").add(1, &[]);
        }
        metrics.gauge("g", "größe", "").record(1.0, &[]);
        for bounds in [&[1.0, 1.0][..], &[2.0, 1.0], &[f64::NAN], &[1.0, f64::INFINITY]] {
            metrics.histogram("h", "", "", bounds).record(1.0, &[]);
        }
    });
    let reasons = [
        "not begin with a letter",
        "not begin with a letter",
        "not begin with a letter",
        "something else than letters",
        "something else than letters",
        "something else than letters",
        "longer than 255",
        "its unit is",
        "do not increase",
        "do not increase",
        "not all finite",
        "not all finite",
    ];
    assert_eq!(lines.len(), reasons.len(), "{lines:#?}");
    for (line, reason) in lines.iter().zip(reasons) {
        assert!(line.contains("WARN") && line.contains("the metric records nothing"), "{line}");
        assert!(line.contains(reason), "{reason}: {line}");
    }
    assert!(lines[8].contains("metric=h"), "{}", lines[8]);
    assert_eq!(samples(&metrics), [""; 0]);

    // The check is neither stricter than the SDK's nor laxer.
    let meter = metrics.meter("other");
    for name in ["", "2x", "_x", "a b", "größe", "a:b", long] {
        meter.u64_counter(name).build().add(1, &[]);
    }
    assert_eq!(samples(&metrics), [""; 0]);
    let longest: &'static str = "x".repeat(255).leak();
    for name in ["x", "X9", "a_b", "a.c", "a-d", "a/e", longest] {
        metrics.counter(name, "", "").add(1, &[]);
    }
    assert_eq!(samples(&metrics).len(), 7);
}

#[test]
fn one_name_is_one_instrument() {
    let metrics = metrics();
    metrics.counter("jobs", "{job}", "Jobs.").add(1, &[]);
    let lines = logged(|| {
        metrics.counter("jobs", "", "Said in another way.").add(2, &[]);
        metrics.counter("JOBS", "", "").add(3, &[]);
        metrics.histogram("seconds.a", "", "", &[1.0]).record(0.5, &[]);
        metrics.histogram("seconds/a", "", "", &[2.0]).record(0.5, &[]);
    });
    assert_eq!(lines, [""; 0]);
    let lines = logged(|| {
        metrics.gauge("jobs", "", "").record(9.0, &[]);
        metrics.histogram("Jobs", "", "", &[1.0]).record(9.0, &[]);
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains("its name belongs to an instrument of another kind")));
    let expected = [
        "jobs 6",
        r#"seconds_a_bucket{le="1"} 2"#,
        r#"seconds_a_bucket{le="+Inf"} 2"#,
        "seconds_a_sum 1",
        "seconds_a_count 2",
    ];
    assert_eq!(samples(&metrics), expected);
}

#[test]
fn what_another_collector_may_hand_in_does_not_spoil_the_page() {
    struct Odd;
    impl prometheus::core::Collector for Odd {
        fn desc(&self) -> Vec<&prometheus::core::Desc> {
            Vec::new()
        }
        fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
            use prometheus::proto::{Metric, MetricFamily, MetricType};
            let family = |name: &str, kind| {
                let mut family = MetricFamily::default();
                family.set_name(name.to_owned());
                family.set_field_type(kind);
                family.set_metric(vec![Metric::default()]);
                family
            };
            vec![
                family("untyped", MetricType::UNTYPED),
                family("summary", MetricType::SUMMARY),
                family("_total", MetricType::COUNTER),
            ]
        }
    }
    let metrics = Metrics::disabled();
    metrics.registry().register(Box::new(Odd)).unwrap();
    assert_eq!(metrics.render(None).body, "# TYPE _total counter\n_total 0\n");
    assert_eq!(metrics.render(OPENMETRICS).body, "# TYPE _total unknown\n_total 0\n# EOF\n");
}

//! Answers as a Prometheus 3.5 gives them → what is absent and why.

use serde_json::json;

use super::super::needs::{found_query, needs};
use super::*;
use crate::validate::fixture;

const SPEC: &str = "
selector: {matchLabels: {app: x}}
service: {name: x}
metrics: {instruments: [{name: speed_seconds, type: Histogram}, {name: depth, type: Gauge}]}
slos:
- {name: calls, objective: '99', ratio: {bad: 'errors_total{code=~\"5..\"}', total: 'calls_total{code!=\"\"}'}}
- {name: fast, objective: '99', latency: {histogram: speed_seconds, threshold: '0.3'}}
- {name: native, objective: '99', latency: {histogram: size_bytes, threshold: '0.3', type: Native}}
- {name: login, objective: '99', operation: {name: 'POST /login', threshold: '0.25'}}
- {name: fresh, objective: '99', freshness: {counter: runs_total, maxAge: 1h}}
";

fn all() -> Vec<Need> {
    needs(&fixture(SPEC))
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn every_slo_and_every_instrument_needs_series_of_the_namespace() {
    let needs = all();
    let lines: Vec<_> = needs.iter().map(|need| format!("{}: {}", need.by, need.forms[0])).collect();
    assert_eq!(
        lines,
        [
            r#"SLO calls (ratio.total): calls_total{code!="",namespace="media"}"#,
            r#"SLO calls (ratio.bad): errors_total{code=~"5..",namespace="media"}"#,
            r#"SLO fast (latency): speed_seconds_count{namespace="media"}"#,
            r#"SLO fast (latency): speed_seconds_bucket{namespace="media",le="0.3"}"#,
            r#"SLO native (latency): size_bytes{namespace="media"}"#,
            r#"SLO login (operation): traces_span_metrics_duration_seconds_count{namespace="media",service_name="x",span_name="POST /login"}"#,
            r#"SLO login (operation): traces_span_metrics_duration_seconds_bucket{namespace="media",service_name="x",span_name="POST /login",le="0.25"}"#,
            r#"SLO fresh (freshness.counter): runs_total{namespace="media"}"#,
            r#"spec.metrics.instruments: speed_seconds_bucket{le="+Inf",namespace="media"}"#,
            r#"spec.metrics.instruments: depth{namespace="media"}"#,
        ]
    );
    for need in needs.iter().flat_map(|need| &need.forms) {
        let own = need.matchers.iter().filter(|matcher| matcher.0 == "namespace").count();
        assert_eq!(own, 1, "{need}");
    }
}

#[test]
fn one_query_asks_for_all() {
    let needs = all();
    let query = found_query(needs.iter().map(|need| need.forms.as_slice()));
    promql_parser::parser::parse(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
    assert!(
        query.contains(r#"label_replace(count(depth{namespace="media"}), "found", "9", "", "")"#),
        "{query}"
    );
    let answer = json!({"resultType": "vector", "result": [
        {"metric": {"found": "9"}, "value": [1.5, "4"]}, {"metric": {"found": "0"}, "value": [1.5, "1"]},
        {"metric": {}, "value": [1.5, "1"]}]});
    assert_eq!(found(&serde_json::from_value(answer).unwrap()), [0, 9].into());
}

#[test]
fn a_histogram_is_missed_once_and_a_counter_of_errors_not_at_all() {
    let needs = all();
    let absent_with = |found: &[usize]| {
        let (missing, unused) = absent(&needs, &found.iter().copied().collect());
        let of = |list: Vec<&Need>| list.iter().map(|need| need.forms[0].metric.clone()).collect::<Vec<_>>();
        (of(missing), of(unused))
    };
    assert_eq!(absent_with(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), (vec![], vec![]));
    assert_eq!(
        absent_with(&[0, 4, 5, 6, 7, 8, 9]),
        (texts(&["speed_seconds_count"]), texts(&["errors_total"]))
    );
    assert_eq!(absent_with(&[0, 1, 2, 4, 5, 6, 7, 8, 9]), (texts(&["speed_seconds_bucket"]), vec![]));
}

#[test]
fn names_are_looked_for_among_those_of_their_kind() {
    let needs = all();
    let with = |need: usize, names: &[&str]| {
        of_name(&needs[need], Some(&names.iter().map(|name| (*name).to_owned()).collect()))
    };
    let name = |near: &[&str]| Cause::Name(texts(near));
    assert_eq!(with(0, &["call_total", "up"]), name(&["call_total"]));
    assert_eq!(with(2, &["speed_second_bucket", "speed_second_count"]), name(&["speed_second"]));
    assert_eq!(with(2, &["speed_seconds"]), Cause::OtherType(HistogramType::Native));
    assert_eq!(with(4, &["size_bytes_bucket", "size_bytes_count"]), Cause::OtherType(HistogramType::Classic));
    assert_eq!(with(4, &["sizes_bytes", "size_byte_count"]), name(&["sizes_bytes"]));
    assert_eq!(with(8, &["speeds_seconds_bucket", "speed_seconds_x"]), name(&["speeds_seconds"]));
    assert_eq!(with(9, &["up"]), name(&[]));
    assert_eq!(of_name(&needs[9], None), Cause::Unknown);
}

#[test]
fn each_matcher_is_suspected_alone() {
    let suspects = suspects(&all()[0], "media");
    let printed: Vec<_> = suspects.iter().map(|forms| forms[0].to_string()).collect();
    assert_eq!(printed, [r#"calls_total{namespace="media"}"#, r#"calls_total{code!="",namespace="media"}"#]);
}

#[test]
fn a_matcher_is_told_with_what_its_label_has() {
    let matcher = |value: &str| ("code".to_owned(), "=", value.to_owned());
    let values = texts(&["200", "404", "500", "503"]);
    assert_eq!(
        of_matcher(&matcher("50"), &values, &[]),
        Cause::Value("code=\"50\"".to_owned(), texts(&["\"500\"", "\"503\"", "\"200\""]))
    );
    let labels =
        texts(&["__name__", "instance", "job", "namespace", "pod", "status", "status_code", "co\nde"]);
    assert_eq!(
        of_matcher(&matcher("50"), &[], &labels),
        Cause::Label("code".to_owned(), texts(&["status_code", "status"]))
    );
    let Cause::Value(_, near) = of_matcher(&matcher("x"), &["é".repeat(100)], &[]) else {
        panic!("a value")
    };
    assert_eq!(near, [format!("\"{}...\"", "é".repeat(60))]);
}

#[test]
fn a_threshold_is_told_with_the_bounds_beside_it() {
    let bounds = texts(&["10.0", "0.1", "+Inf", "0.25", "1", "5e-05"]);
    let bound = |threshold: &str, below: Option<&str>, above: Option<&str>| {
        let expected = Cause::Bound(threshold.to_owned(), below.map(str::to_owned), above.map(str::to_owned));
        assert_eq!(of_threshold(threshold, &bounds), expected);
    };
    bound("0.3", Some("0.25"), Some("1"));
    bound("0.00001", None, Some("0.00005"));
    bound("11", Some("10"), None);
    for none in [&[][..], &texts(&["+Inf"])] {
        assert_eq!(of_threshold("1", none), Cause::NoBuckets);
    }
}

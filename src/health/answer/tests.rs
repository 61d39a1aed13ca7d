//! Answers as a Prometheus 3.5 gives them → values without changing parts.

use serde_json::{Value, json};

use super::*;
use crate::health::subject::Monitor;
use crate::kinds::ChildKind;

const POOL: &str = "media/trakt-metrics";

fn active(pod: &str, health: &str, error: &str) -> Value {
    json!({"discoveredLabels": {"__address__": "x"}, "scrapePool": POOL, "health": health, "lastError": error,
        "labels": {"instance": "10.0.0.1:8081", "job": POOL, "namespace": "media", "pod": pod},
        "scrapeUrl": "http://10.0.0.1:8081/metrics", "globalUrl": "http://10.0.0.1:8081/metrics",
        "lastScrape": "2026-01-01T00:00:00Z", "lastScrapeDuration": 0.01, "scrapeInterval": "30s", "scrapeTimeout": "10s"})
}

fn seen(list: &[Value]) -> Option<(Vec<Target>, bool)> {
    let list = serde_json::from_value(json!({"activeTargets": list, "droppedTargets": []})).expect("a list");
    targets(list, POOL)
}

#[test]
fn targets_are_up_down_or_pending() {
    assert_eq!(seen(&[]), None);
    let mut other = active("a", "up", "");
    other["scrapePool"] = json!("another");
    assert_eq!(seen(&[other]), None, "a server that does not know the filter");
    assert_eq!(seen(&[active("a", "up", "")]), Some((vec![], false)));
    assert_eq!(seen(&[active("a", "up", ""), active("b", "unknown", "")]), Some((vec![], true)));
    let refused = "Get \"http://10.0.0.1:8081/metrics\": dial tcp 10.0.0.1:8081: connect: connection refused";
    let (down, _) = seen(&[active("b", "down", refused), active("a", "down", "EOF")]).expect("targets");
    assert_eq!(down.iter().map(|target| target.pod.as_str()).collect::<Vec<_>>(), ["media/a", "media/b"]);
    let target = Target {
        pod: "media/b".to_owned(),
        port: 8081,
        path: "/metrics".to_owned(),
        error: "connection refused".to_owned(),
    };
    assert_eq!(down[1], target);
}

#[test]
fn a_target_without_a_pod_goes_by_its_address() {
    let mut target = active("a", "down", "EOF");
    target["labels"] = json!({"job": POOL});
    assert_eq!(seen(&[target]).expect("targets").0[0].pod, "10.0.0.1");
}

#[test]
fn one_cause_has_one_text() {
    for (errors, kept) in [
        (
            &[
                "Get \"http://10.0.0.1:8081/metrics\": context deadline exceeded",
                "Get \"http://10.0.0.1:8081/metrics\": dial tcp 10.0.0.1:8081: i/o timeout",
                "Get \"http://10.0.0.1:8081/metrics\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            ][..],
            "no answer in time",
        ),
        (
            &[
                "Get \"http://10.0.0.1:8081/metrics\": read tcp 10.0.0.9:40001->10.0.0.1:8081: read: connection reset by peer",
            ],
            "connection reset",
        ),
        (&["server returned HTTP status 404 Not Found"], "server returned HTTP status 404 Not Found"),
        (
            &[
                "expected a valid start token, got \"<\" (\"INVALID\") while parsing: \"<\"",
                "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target",
            ],
            "the answer is not in a format of Prometheus",
        ),
        (&["Get \"http://10.0.0.1:8081/metrics\": EOF"], "EOF"),
    ] {
        for error in errors {
            assert_eq!(scrape_error(error), kept, "{error}");
        }
    }
}

#[test]
fn rules_are_loaded_missing_or_failing() {
    let list = json!({"groups": [
        {"name": "media/trakt/calls", "file": "/etc/x", "interval": 30, "rules": [
            {"name": "slo:events:increase", "query": "1", "health": "ok", "type": "recording", "evaluationTime": 0.1},
            {"name": "slo:bad", "health": "err", "type": "recording", "lastError":
                "found duplicate series for the match group {job=\"a\"} on the right hand-side: [{x=\"1\"}, {x=\"2\"}];many-to-many matching not allowed"},
            {"name": "slo:new", "health": "unknown", "type": "recording"}]},
        {"name": "media/other/calls", "rules": [{"name": "r", "health": "err", "lastError": "e"}]}]});
    let object = Monitor {
        kind: ChildKind::PrometheusRule,
        name: "trakt-slo".to_owned(),
        labels: BTreeMap::default(),
    };
    let names = ["media/trakt/calls", "media/trakt/speed"].map(str::to_owned).into();
    let found = rules(serde_json::from_value(list).expect("a list"), &Groups { object, names }, true);
    assert!(found.refused);
    assert_eq!(found.loaded, ["media/trakt/calls".to_owned()].into());
    let failing = Failing {
        group: "media/trakt/calls".to_owned(),
        rule: "slo:bad".to_owned(),
        error: "found duplicate series for the match group {...} on the right hand-side: {...};many-to-many matching not allowed"
            .to_owned(),
    };
    assert_eq!(found.failing, [failing]);
}

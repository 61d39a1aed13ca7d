//! A real Prometheus has an application's metrics, and the profile names them wrongly: status names the right ones.

use axum::Router;
use axum::routing::get;
use testbed::Directory;

use super::targets::{configure, job, port_of, start};
use super::*;

const PRESENT: &str = "MetricsPresent";

/// What the application exposes.
const PAGE: &str = r#"
# TYPE http_requests_total counter
http_requests_total{code="200",method="GET"} 7
http_requests_total{code="404",method="GET"} 1
# TYPE http_duration_seconds histogram
http_duration_seconds_bucket{le="0.1"} 1
http_duration_seconds_bucket{le="0.25"} 2
http_duration_seconds_bucket{le="0.5"} 3
http_duration_seconds_bucket{le="+Inf"} 4
http_duration_seconds_sum 5
http_duration_seconds_count 4
# TYPE queue_depth gauge
queue_depth 3
"#;

/// The port of a process that serves [`PAGE`].
async fn application() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let routes = Router::new().route("/metrics", get(|| async { PAGE }));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    port
}

fn ratio(name: &str, bad: &str, total: &str) -> Value {
    json!({"name": name, "objective": "99", "ratio": {"bad": bad, "total": total}})
}

fn latency(name: &str, threshold: &str) -> Value {
    json!({"name": name, "objective": "99",
        "latency": {"histogram": "http_duration_seconds", "threshold": threshold}})
}

fn spec(instrument: (&str, &str), slos: &[Value]) -> Value {
    let mut spec = minimal_spec();
    let instrument = json!({"name": instrument.0, "type": instrument.1});
    spec["metrics"] = json!({"prometheus": "ConfigMap", "instruments": [instrument]});
    spec["slos"] = json!(slos);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_profile_names_wrongly_is_told_with_what_is_there() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("series").await;
    let directory = Directory::create("health-series").expect("a directory");
    let prometheus = start(directory.path());
    let jobs = [
        job("trakt-metrics", &namespace, "app-0", Some(application().await), "/metrics"),
        job("trakt-collector", &namespace, "trakt-collector-0", Some(port_of(&prometheus.url)), "/metrics"),
    ];
    configure(directory.path(), &jobs, &[]);
    let _operator = cluster.operator(&[&namespace], &["--prometheus-url", &prometheus.url]);

    let slos = [
        ratio("typo", "http_requests_total{code=\"500\"}", "http_reqests_total"),
        ratio(
            "value",
            "http_requests_total{code=\"500\"}",
            "http_requests_total{method=\"GET\",code=\"20x\"}",
        ),
        latency("fast", "0.3"),
    ];
    settle(cluster, &client, &namespace, spec(("queue_depht", "Gauge"), &slos)).await;
    let words = [
        "http_reqests_total of SLO typo (ratio.total): no metric has this name; similar are http_requests_total;",
        "SLO value (ratio.total): code=\"20x\" selects nothing; values that the label has: \"200\", \"404\";",
        "the threshold 0.3 is no bound of its buckets; the nearest are 0.25 and 0.5; and another:",
    ];
    wait_for(&client, &namespace, (PRESENT, "False", "MetricsMissing"), &words).await;

    // Corrected one by one. A counter of errors may come into being with the first error.
    let slos = [
        ratio("typo", "http_request_errors_total", "http_requests_total"),
        ratio("value", "http_requests_total{code=\"500\"}", "http_requests_total{status=\"200\"}"),
        latency("fast", "0.3"),
    ];
    apply_profile(&client, &namespace, "trakt", spec(("queue_depht", "Gauge"), &slos)).await;
    let words = [
        "the metric has no label status; it has",
        "queue_depht of spec.metrics.instruments: no metric has this name; similar are queue_depth:",
    ];
    wait_for(&client, &namespace, (PRESENT, "False", "MetricsMissing"), &words).await;

    let slos = [slos[0].clone(), latency("fast", "0.3")];
    let instrument = ("http_duration_seconds", "Histogram");
    apply_profile(&client, &namespace, "trakt", spec(instrument, &slos)).await;
    let words = ["SLO fast (latency): the threshold 0.3", "0.25 and 0.5: give a bound"];
    wait_for(&client, &namespace, (PRESENT, "False", "ThresholdNotABound"), &words).await;

    let slos = [slos[0].clone(), latency("fast", "0.25")];
    apply_profile(&client, &namespace, "trakt", spec(instrument, &slos)).await;
    let words = ["http_request_errors_total of SLO typo (ratio.bad)", "similar are http_requests_total"];
    wait_for(&client, &namespace, (PRESENT, "True", "MetricsFound"), &words).await;
}

//! The operator watches itself: the trace of a reconcile in a real Jaeger, log lines with its id, metrics, an orderly end.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Jaeger, http_get};

use crate::common::*;

fn tags(span: &Value) -> BTreeMap<String, String> {
    let list = span["tags"].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|tag| {
            let value = tag["value"].as_str().map_or_else(|| tag["value"].to_string(), str::to_owned);
            (tag["key"].as_str().unwrap_or_default().to_owned(), value)
        })
        .collect()
}

fn parent(span: &Value) -> Option<String> {
    span["references"].as_array()?.iter().find(|r| r["refType"] == "CHILD_OF")?["spanID"]
        .as_str()
        .map(str::to_owned)
}

/// Traces of the operator whose root is a reconcile of this namespace, from Jaeger's query API.
fn reconciles(jaeger: &Jaeger, namespace: &str) -> Vec<Value> {
    let url = format!("{}/api/traces?service=telemetry-operator&limit=500&lookback=1h", jaeger.query_url());
    let (_, text) = http_get(&url).expect("Jaeger answers");
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let traces = answer["data"].as_array().cloned().unwrap_or_default();
    traces
        .into_iter()
        .filter(|trace| {
            let spans = trace["spans"].as_array().cloned().unwrap_or_default();
            spans.iter().any(|span| {
                span["operationName"] == "reconcile"
                    && tags(span).get("namespace").is_some_and(|found| found == namespace)
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_is_one_trace_with_every_step_and_object() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("trace").await;
    let jaeger = Jaeger::start().expect("Jaeger");
    let mut operator = Operator::start(
        cluster,
        &[&namespace],
        &["--otlp-endpoint", jaeger.otlp_endpoint()],
        &[("OTEL_BSP_SCHEDULE_DELAY", "500")],
        true,
    );
    apply_profile(&client, &namespace, "trakt", full_spec()).await;
    let profile = observed(&client, &namespace, "trakt").await;
    let children = profile.status.expect("a status").children;
    let trace = eventually("the trace of the first reconcile in Jaeger", || {
        let found = reconciles(&jaeger, &namespace).into_iter().find(|trace| {
            let spans = trace["spans"].as_array().cloned().unwrap_or_default();
            spans.iter().any(|span| tags(span).get("verb").is_some_and(|verb| verb == "created"))
        });
        async move { found.ok_or_else(|| "no trace in which objects are created".to_owned()) }
    })
    .await;
    let spans = trace["spans"].as_array().cloned().unwrap_or_default();
    let named =
        |name: &str| spans.iter().filter(|span| span["operationName"] == name).cloned().collect::<Vec<_>>();

    let roots: Vec<_> = spans.iter().filter(|span| parent(span).is_none()).collect();
    assert_eq!(roots.len(), 1, "one root: {roots:?}");
    let root = roots[0];
    assert_eq!(root["operationName"], "reconcile");
    let root_tags = tags(root);
    for (key, value) in [("profile", "trakt"), ("generation", "1"), ("trigger", "profile")] {
        assert_eq!(root_tags.get(key).map(String::as_str), Some(value), "{root_tags:?}");
    }
    for step in ["observe", "validate", "plan", "apply", "status"] {
        let found = named(step);
        assert!(!found.is_empty(), "no span {step}");
        for span in found {
            assert_eq!(parent(&span).as_deref(), root["spanID"].as_str(), "{step} is a child of the root");
        }
    }
    let apply = &named("apply")[0];
    let objects: BTreeMap<String, BTreeMap<String, String>> = named("apply_object")
        .iter()
        .map(|span| {
            assert_eq!(parent(span).as_deref(), apply["spanID"].as_str(), "an object is a child of apply");
            let tags = tags(span);
            (format!("{}/{}", tags["kind"], tags["name"]), tags)
        })
        .collect();
    let mut expected = children.clone();
    expected.sort();
    assert_eq!(objects.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(
        objects.values().all(|tags| tags["changed"] == "true" && tags["verb"] == "created"),
        "{objects:?}"
    );

    let id = trace["traceID"].as_str().expect("an id");
    let lines: Vec<_> = operator.log_lines().into_iter().filter(|line| line["trace_id"] == id).collect();
    assert!(lines.iter().any(|line| line["message"] == "reconciled"), "{lines:?}");
    let applied = lines.iter().filter(|line| line["message"] == "applied").count();
    assert_eq!(applied, children.len(), "a line for each applied object carries the trace's id");
    assert!(lines.iter().all(|line| line["span_id"].as_str().is_some_and(|id| id.len() == 16)), "{lines:?}");

    // Whatever is in hand at SIGTERM is flushed: the trace of an edit made just before is there afterwards.
    let mut spec = full_spec();
    spec["traces"]["sampling"]["ratio"] = json!("0.5");
    apply_profile(&client, &namespace, "trakt", spec).await;
    let edited = observed(&client, &namespace, "trakt").await;
    let started = Instant::now();
    let status = operator.daemon.terminate().expect("the operator ends");
    assert_eq!(status.code(), Some(0), "exit code after SIGTERM");
    assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
    let generation = edited.metadata.generation.expect("a generation").to_string();
    eventually("the trace of the last reconcile", || {
        let found = reconciles(&jaeger, &namespace).iter().any(|trace| {
            let spans = trace["spans"].as_array().cloned().unwrap_or_default();
            spans.iter().any(|span| tags(span).get("generation") == Some(&generation))
        });
        async move { if found { Ok(()) } else { Err("not there".to_owned()) } }
    })
    .await;
}

/// A collector that accepts connections and never answers costs nothing but the spans.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_costs_only_the_spans() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("dead").await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let mut operator = Operator::start(cluster, &[&namespace], &["--otlp-endpoint", &endpoint], &[], true);
    apply_profile(&client, &namespace, "trakt", full_spec()).await;
    observed(&client, &namespace, "trakt").await;
    let page = operator.page("/metrics").1;
    assert!(!page.contains("reconcile_errors_total{"), "{page}");
    let started = Instant::now();
    let status = operator.daemon.terminate().expect("the operator ends");
    assert_eq!(status.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_reconciles_objects_and_profiles() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("metrics").await;
    let operator = cluster.operator(&[&namespace], &[]);
    apply_profile(&client, &namespace, "trakt", minimal_spec()).await;
    observed(&client, &namespace, "trakt").await;
    eventually("every series", || {
        let page = operator.page("/metrics").1;
        async move {
            let wanted = [
                "telemetry_operator_reconciles_total{result=\"ok\"}",
                "telemetry_operator_reconcile_duration_seconds_count",
                "telemetry_operator_applied_objects_total{kind=\"Deployment\",verb=\"created\"} 2",
                "telemetry_operator_profiles{condition=\"Ready\",status=\"false\"} 1",
                "telemetry_operator_crd_served 1",
            ];
            let missing: Vec<_> = wanted.iter().filter(|series| !page.contains(**series)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} not in\n{page}")) }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_bad_kubeconfig_are_clear_errors() {
    let cluster = shared();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = taken.local_addr().expect("an address").to_string();
    let run = |kubeconfig: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_telemetry-operator"))
            .args(["run", "--listen", &address])
            .env("KUBECONFIG", kubeconfig)
            .output()
            .expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(cluster.plane.kubeconfig().to_str().expect("a path"));
    assert_eq!(code, Some(2));
    assert!(text.contains(&address) && text.contains("--listen"), "{text}");
    let (code, text) = run("/nonexistent/kubeconfig");
    assert_eq!(code, Some(2));
    assert!(text.contains("/nonexistent/kubeconfig") && text.contains("KUBECONFIG"), "{text}");
}

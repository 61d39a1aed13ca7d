//! The operator watches itself: the trace of a reconcile in a real Jaeger, log lines with its id, metrics, an orderly end.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use serde_json::json;
use testbed::{Jaeger, Span};

use crate::common::*;

/// Traces of the operator whose root is a reconcile of this namespace, by trace id.
fn reconciles(jaeger: &Jaeger, namespace: &str) -> BTreeMap<String, Vec<Span>> {
    let mut traces = BTreeMap::<_, Vec<Span>>::new();
    for span in jaeger.spans_of_service("telemetry-operator").expect("Jaeger answers") {
        traces.entry(span.trace.clone()).or_default().push(span);
    }
    traces.retain(|_, spans| {
        spans.iter().any(|span| span.name == "reconcile" && span.tag("namespace") == namespace)
    });
    traces
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
    let (id, spans) = eventually("the trace of the first reconcile in Jaeger", || {
        let created = |spans: &[Span]| spans.iter().any(|span| span.tag("verb") == "created");
        let found = reconciles(&jaeger, &namespace).into_iter().find(|(_, spans)| created(spans));
        async move { found.ok_or_else(|| "no trace in which objects are created".to_owned()) }
    })
    .await;
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();

    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_none()).collect();
    assert_eq!(roots.len(), 1, "one root: {roots:?}");
    let root = roots[0];
    assert_eq!(root.name, "reconcile");
    for (key, value) in [("profile", "trakt"), ("generation", "1"), ("trigger", "profile")] {
        assert_eq!(root.tag(key), value, "{root:?}");
    }
    for step in ["observe", "validate", "plan", "apply", "status"] {
        let found = named(step);
        assert!(!found.is_empty(), "no span {step}");
        for span in found {
            assert_eq!(span.parent.as_ref(), Some(&root.id), "{step} is a child of the root");
        }
    }
    let apply = named("apply")[0];
    let objects: BTreeMap<String, &Span> = named("apply_object")
        .into_iter()
        .map(|span| {
            assert_eq!(span.parent.as_ref(), Some(&apply.id), "an object is a child of apply");
            (format!("{}/{}", span.tag("kind"), span.tag("name")), span)
        })
        .collect();
    let mut expected = children.clone();
    expected.sort();
    assert_eq!(objects.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(
        objects.values().all(|span| span.tag("changed") == "true" && span.tag("verb") == "created"),
        "{objects:?}"
    );

    let lines: Vec<_> =
        operator.log_lines().into_iter().filter(|line| line["trace_id"] == id.as_str()).collect();
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
        let of_edit = |spans: &Vec<Span>| spans.iter().any(|span| span.tag("generation") == generation);
        let found = reconciles(&jaeger, &namespace).values().any(of_edit);
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
        let condition = format!(
            "telemetry_operator_profile_condition{{condition=\"Ready\",profile=\"trakt\",profile_namespace=\"{namespace}\","
        );
        async move {
            let wanted = [
                condition.as_str(),
                "telemetry_operator_api_requests_total{code=\"200\",method=\"GET\"}",
                "telemetry_operator_api_requests_total{code=\"201\",method=\"PATCH\"}",
                "telemetry_operator_api_request_duration_seconds_count{method=\"PATCH\"}",
                "process_resident_memory_bytes",
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
    profiles(&client, &namespace).delete("trakt", &DeleteParams::default()).await.expect("it is deleted");
    eventually("no series of the profile that is gone", || {
        let page = operator.page("/metrics").1;
        async move { if page.contains("profile=\"trakt\"") { Err(page) } else { Ok(()) } }
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

//! A real Prometheus at `--prometheus-url`: its targets, its rules, its refusals, its absence.

use std::fs;
use std::path::Path;

use testbed::{Directory, free_ports};

use super::*;
use crate::prometheus::Prometheus;

const TARGETS: &str = "ScrapeTargetsUp";
const RULES: &str = "RulesProvisioned";

/// A scrape job. `targets` is a port at this host, or none for a job that finds nothing.
pub fn job(name: &str, namespace: &str, pod: &str, port: Option<u16>, path: &str) -> Value {
    let targets = port.map(|port| {
        json!({"targets": [format!("127.0.0.1:{port}")],
        "labels": {"namespace": namespace, "pod": pod}})
    });
    json!({"job_name": format!("{namespace}/{name}"), "scrape_interval": "1s", "metrics_path": path,
        "static_configs": targets.into_iter().collect::<Vec<_>>()})
}

/// JSON is YAML.
pub fn configure(directory: &Path, jobs: &[Value], rule_files: &[&str]) {
    let config =
        json!({"global": {"evaluation_interval": "1s"}, "scrape_configs": jobs, "rule_files": rule_files});
    // Prometheus looks once a second: it must not see half a file.
    fs::write(directory.join("new"), config.to_string()).expect("a file is written");
    fs::rename(directory.join("new"), directory.join("prometheus.yml")).expect("the file is replaced");
}

pub fn start(directory: &Path) -> Prometheus {
    configure(directory, &[], &[]);
    let arguments = [
        format!("--config.file={}", directory.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", directory.join("data").display()),
        "--enable-feature=auto-reload-config".to_owned(),
        "--config.auto-reload-interval=1s".to_owned(),
    ];
    Prometheus::start(&arguments, directory)
}

/// The port of a URL without a path.
pub fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

/// The rule file that the operator has made for the profile.
async fn rule_file(client: &Client, namespace: &str) -> String {
    let (kind, name) = parse_reference("ConfigMap/trakt-slo");
    let object = child_api(client, namespace, kind).get(&name).await.expect("the rules");
    let files = object.data["data"].as_object().expect("files");
    files.values().next().and_then(Value::as_str).expect("a file").to_owned()
}

fn spec() -> Value {
    let mut spec = minimal_spec();
    spec["metrics"] = json!({"prometheus": "ConfigMap", "port": 8081});
    spec["slos"] = json!([{"name": "calls", "objective": "99.5", "ratio": {
        "bad": "calls_total{outcome=\"error\"}", "total": "calls_total"}}]);
    spec
}

/// A pod that the profile selects and that runs.
async fn application_pod(client: &Client, namespace: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let body = json!({"metadata": {"name": "app-0", "labels": {"app": "x"}}, "spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "app", "image": "x", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}});
    let pod = serde_json::from_value(body).expect("a pod");
    let pod = api.create(&PostParams::default(), &pod).await.expect("the pod is made");
    report(client, &pod, container("app", true, running(), json!({}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_told_as_prometheus_sees_them() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("targets").await;
    let directory = Directory::create("health-targets").expect("a directory");
    let mut prometheus = start(directory.path());
    let operator = cluster.operator(&[&namespace], &["--prometheus-url", &prometheus.url]);
    // Stand for the application and the collector: both serve metrics.
    let (application, other) = (port_of(&operator.url), port_of(&prometheus.url));
    let collector = || job("trakt-collector", &namespace, "trakt-collector-0", Some(other), "/metrics");
    let [closed] = free_ports().expect("a free port");
    let own = |port, path| job("trakt-metrics", &namespace, "app-0", port, path);

    let mut spec = spec();
    spec["slos"] = json!([]);
    spec["metrics"]["instruments"] = json!([{"name": "telemetry_operator_lead", "type": "Gauge"}]);
    settle(cluster, &client, &namespace, spec).await;
    all_ready(&client, &namespace, &["collector", "jaeger"]).await;
    let words = ["ConfigMap/trakt-metrics", "load"];
    wait_for(&client, &namespace, (TARGETS, "False", "TargetsNotLoaded"), &words).await;
    wait_for(&client, &namespace, ("Ready", "False", "TargetsNotLoaded"), &[]).await;

    configure(directory.path(), &[own(None, "/metrics"), collector()], &[]);
    wait_for(&client, &namespace, (TARGETS, "Unknown", "NoPods"), &["spec.selector"]).await;
    application_pod(&client, &namespace).await;
    wait_for(&client, &namespace, (TARGETS, "False", "NoTargets"), &[&namespace]).await;

    configure(directory.path(), &[own(Some(closed), "/metrics"), collector()], &[]);
    let target = format!("pod {namespace}/app-0 port {closed} path /metrics: connection refused");
    let words = [target.as_str(), "spec.metrics.port"];
    wait_for(&client, &namespace, (TARGETS, "False", "TargetsDown"), &words).await;
    wait_for(&client, &namespace, ("Ready", "False", "TargetsDown"), &words).await;

    configure(directory.path(), &[own(Some(application), "/wrong"), collector()], &[]);
    let words = ["path /wrong: server returned HTTP status 404 Not Found", "spec.metrics.path"];
    wait_for(&client, &namespace, (TARGETS, "False", "TargetsDown"), &words).await;

    configure(directory.path(), &[own(Some(application), "/metrics"), collector()], &[]);
    wait_for(&client, &namespace, (TARGETS, "True", "TargetsUp"), &[]).await;
    wait_for(&client, &namespace, ("Ready", "True", "AllReady"), &[]).await;

    // Not a part of Ready.
    let words = ["similar are telemetry_operator_leader:"];
    wait_for(&client, &namespace, ("MetricsPresent", "False", "MetricsMissing"), &words).await;
    at_rest(cluster, &operator, &namespace).await;

    prometheus.process.kill().expect("it ends");
    let words = [prometheus.url.as_str(), "Connection refused", "--prometheus-url"];
    wait_for(&client, &namespace, (TARGETS, "Unknown", "PrometheusUnreachable"), &words).await;
    wait_for(&client, &namespace, ("MetricsPresent", "Unknown", "PrometheusUnreachable"), &[]).await;
    wait_for(&client, &namespace, ("Ready", "True", "AllReady"), &[]).await;
    assert!(
        operator
            .page("/metrics")
            .1
            .contains("telemetry_operator_prometheus_queries_total{result=\"failed\"}")
    );
}

/// Prometheus is asked twice and more, and neither a write nor a reconcile comes of it.
async fn at_rest(cluster: &Cluster, operator: &Operator, namespace: &str) {
    let count = |name: &str| {
        let page = operator.page("/metrics").1;
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let (queries, reconciles) =
        ("telemetry_operator_prometheus_queries_total", "telemetry_operator_reconciles_total");
    cluster.quiet(&[namespace]).await;
    let before = (cluster.operator_writes(&[namespace]), count(reconciles), count(queries));
    // Nothing is waited for: the time itself is the test.
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(cluster.operator_writes(&[namespace]), before.0, "writes at rest");
    assert_eq!(count(reconciles), before.1, "reconciles at rest");
    assert!(count(queries) >= before.2 + 4, "targets of two jobs, twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_told_as_prometheus_sees_them() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("rules").await;
    let directory = Directory::create("health-rules").expect("a directory");
    let prometheus = start(directory.path());
    let operator = cluster.operator(&[&namespace], &["--prometheus-url", &prometheus.url]);
    settle(cluster, &client, &namespace, spec()).await;
    let group = format!("{namespace}/trakt/calls");
    let words = [group.as_str(), "ConfigMap/trakt-slo"];
    wait_for(&client, &namespace, (RULES, "False", "RulesNotLoaded"), &words).await;

    let rules = rule_file(&client, &namespace).await;
    fs::write(directory.path().join("slo.yaml"), &rules).expect("the rules are written");
    configure(directory.path(), &[], &["slo.yaml"]);
    wait_for(&client, &namespace, (RULES, "True", "RulesLoaded"), &[]).await;

    // Somebody's broken file: the rules that are loaded stay, and a change of them would not take effect.
    fs::write(directory.path().join("bad.yaml"), "groups: [{name: x, rules: [{record: a, expr: 'sum('}]}]")
        .expect("the rules are written");
    configure(directory.path(), &[], &["slo.yaml", "bad.yaml"]);
    wait_for(&client, &namespace, (RULES, "False", "RulesNotLoaded"), &["refused its last configuration"])
        .await;

    // A rule that meets two series and may give one.
    let period =
        json!({"name": format!("{group}/period"), "rules": [{"record": "slo:one", "expr": "vector(1)"}]});
    let failing = json!({"groups": [period, {"name": group, "rules": [{"record": "slo:twice",
        "expr": "label_replace(vector(1), \"x\", \"a\", \"\", \"\") or label_replace(vector(2), \"x\", \"b\", \"\", \"\")",
        "labels": {"x": "c"}}]}]});
    fs::write(directory.path().join("failing.yaml"), failing.to_string()).expect("the rules are written");
    configure(directory.path(), &[], &["failing.yaml"]);
    let words = ["slo:twice", group.as_str(), "same labelset"];
    wait_for(&client, &namespace, (RULES, "False", "RulesFailing"), &words).await;

    configure(directory.path(), &[], &["slo.yaml"]);
    wait_for(&client, &namespace, (RULES, "True", "RulesLoaded"), &[]).await;

    // A fresh operator does not write what is already there.
    cluster.quiet(&[&namespace]).await;
    let before = cluster.operator_writes(&[&namespace]);
    drop(operator);
    let second = cluster.operator(&[&namespace], &["--prometheus-url", &prometheus.url]);
    eventually("the second operator to have asked", || async {
        let page = second.page("/metrics").1;
        let asked = page.contains("telemetry_operator_prometheus_queries_total{result=\"ok\"}");
        if asked { Ok(()) } else { Err(page) }
    })
    .await;
    cluster.quiet(&[&namespace]).await;
    assert_eq!(cluster.operator_writes(&[&namespace]), before, "writes after a restart");
}

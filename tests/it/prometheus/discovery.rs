//! The managed Prometheus' discovery on a real API server, under the rights that its RoleBinding gives it.

use std::path::Path;
use std::{fs, io};

use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan;
use testbed::{Directory, wait_until};

use super::{DEADLINE, Prometheus, delivered, files, only, profile};
use crate::common::{output, shared};

const NAMESPACE: &str = "media";

/// What `profile` is called with: both parts of a selector.
const SELECTOR: &str = "selector: {matchLabels: {app: trakt}, \
                        matchExpressions: [{key: tier, operator: NotIn, values: [batch]}, {key: on, operator: Exists}]}";

#[test]
fn finds_the_selected_pods_of_its_namespace_once_each() {
    let cluster = shared();
    let spec = delivered(&format!("{SELECTOR}, metrics: {{port: 9102}}"), "Managed");
    let children = plan::prometheus::plan(&profile("trakt", &spec, &Observed::default())).expect("a plan");
    let account = only(&children, ChildKind::ServiceAccount);
    let binding = only(&children, ChildKind::RoleBinding);
    let labels = json!({"app": "trakt", "on": "1"});
    let collector = json!({
        "app.kubernetes.io/name": "opentelemetry-collector",
        "app.kubernetes.io/instance": "trakt",
        "app.kubernetes.io/component": "collector",
    });
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}}),
        account.clone(),
        binding.clone(),
        pod(NAMESPACE, "selected", &labels),
        pod(NAMESPACE, "ended", &labels),
        pod(NAMESPACE, "without-address", &labels),
        pod(NAMESPACE, "batch", &json!({"app": "trakt", "on": "1", "tier": "batch"})),
        pod(NAMESPACE, "off", &json!({"app": "trakt"})),
        pod("elsewhere", "selected", &labels),
        pod(NAMESPACE, "collector", &collector),
    ];
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    cluster.plane.apply(&documents.join("\n---\n")).expect("the objects are accepted");
    for (namespace, name, phase, address) in [
        (NAMESPACE, "selected", "Running", "127.0.1.1"),
        (NAMESPACE, "ended", "Succeeded", "127.0.1.2"),
        (NAMESPACE, "batch", "Running", "127.0.1.3"),
        (NAMESPACE, "off", "Running", "127.0.1.4"),
        ("elsewhere", "selected", "Running", "127.0.1.5"),
        (NAMESPACE, "collector", "Running", "127.0.1.6"),
    ] {
        let status =
            json!({"status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]}}).to_string();
        let target = format!("pod/{name}");
        let patch = ["patch", &target, "--namespace", namespace, "--subresource=status", "--patch", &status];
        output(cluster.plane.kubectl(patch));
    }

    let directory = Directory::create("prometheus-discovery").expect("a directory");
    let kubeconfig = cluster
        .plane
        .kubeconfig_for_service_account(NAMESPACE, account["metadata"]["name"].as_str().expect("a name"))
        .expect("a kubeconfig");
    let prometheus = start(&files(&children)["prometheus.yml"], &kubeconfig, directory.path());
    let expected = json!([
        ["http://127.0.1.1:9102/metrics", {"job": "media/trakt-metrics", "namespace": NAMESPACE, "pod": "selected",
            "instance": "127.0.1.1:9102"}],
        ["http://127.0.1.6:8888/metrics", {"job": "media/trakt-collector", "namespace": NAMESPACE, "pod": "collector",
            "instance": "127.0.1.6:8888"}],
        ["http://127.0.1.6:8889/metrics", {"job": "media/trakt-collector", "namespace": NAMESPACE, "pod": "collector",
            "instance": "127.0.1.6:8889"}],
    ]);
    wait_until(&format!("the targets {expected:#}"), DEADLINE, || {
        let found = prometheus.get("/api/v1/targets")["activeTargets"].take();
        let target = |target: &Value| json!([target["scrapeUrl"], target["labels"]]);
        let mut found: Vec<_> = found.as_array().into_iter().flatten().map(target).collect();
        found.sort_by_key(Value::to_string);
        if json!(found) != expected {
            return Err(io::Error::other(format!("{:#}", json!(found))).into());
        }
        Ok(Some(()))
    })
    .unwrap();
}

/// A pod that declares two ports, one container without any, and a native sidecar.
fn pod(namespace: &str, name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "containers": [
                {"name": "app", "image": "app:1", "ports": [{"containerPort": 80}, {"containerPort": 9000}]},
                {"name": "helper", "image": "helper:1"},
            ],
            "initContainers": [
                {"name": "sidecar", "image": "sidecar:1", "restartPolicy": "Always", "ports": [{"containerPort": 4317}]},
            ],
        },
    })
}

/// Prometheus on this configuration, with a kubeconfig in the place of the account that a pod has.
fn start(configuration: &str, kubeconfig: &Path, directory: &Path) -> Prometheus {
    let mut configuration: Value = serde_yaml::from_str(configuration).expect("YAML");
    for job in configuration["scrape_configs"].as_array_mut().expect("jobs") {
        job["kubernetes_sd_configs"][0]["kubeconfig_file"] = json!(kubeconfig);
    }
    let file = directory.join("prometheus.yml");
    fs::write(&file, serde_yaml::to_string(&configuration).expect("YAML")).expect("a file is written");
    Prometheus::start(&[format!("--config.file={}", file.display())], directory)
}

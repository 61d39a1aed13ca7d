//! The Prometheus Operator on a node of its own: its kinds change what every profile without a choice gets. It comes when a profile is
//! there already, and its Prometheus selects by a label, as that of kube-prometheus-stack does.

use std::fs::{read_dir, read_to_string};

use serde_json::{Value, json};
use testbed::{Image, Part, Stack, prometheus};

use crate::common::{EXPORTER, Site, small, start};
use crate::policies;

const RBAC: &str = "rbac.authorization.k8s.io";

#[test]
fn the_prometheus_operator_takes_over() {
    let stack = start(&[]);
    let monitoring = Site::new(&stack, "monitoring");
    let site = Site::new(&stack, "letterboxd");
    site.exporter_profile(&json!({
        "metrics": {"prometheus": "Auto"},
        "slos": [{"name": "calls", "objective": "99.5", "ratio": {
            "bad": "trakt_api_duration_seconds_count{outcome=\"error\"}", "total": "trakt_api_duration_seconds_count"}}],
    }));
    site.run_exporter();
    site.ready(EXPORTER);
    site.condition(EXPORTER, "ScrapeTargetsUp", "Unknown", "NotVerified");
    let files = [format!("configmap/{EXPORTER}-metrics"), format!("configmap/{EXPORTER}-slo")];
    for file in &files {
        site.get(file);
    }

    install(&stack, &monitoring);
    let message = site.condition(EXPORTER, "ScrapeTargetsUp", "False", "NotSelected");
    for part in [&format!("PodMonitor/{EXPORTER}-metrics"), "monitoring/main", "release"] {
        assert!(message.contains(part), "{part} in: {message}");
    }
    site.condition(EXPORTER, "RulesProvisioned", "False", "NotSelected");
    site.condition(EXPORTER, "Ready", "False", "NotSelected");
    for file in &files {
        assert!(site.kubectl(&format!("get {file}")).is_err(), "{file} is left over");
    }

    site.patch(&format!("tp/{EXPORTER}"), &json!({"spec": {"metrics": {"labels": {"release": "main"}}}}));
    site.condition(EXPORTER, "ScrapeTargetsUp", "True", "TargetsUp");
    site.condition(EXPORTER, "RulesProvisioned", "True", "RulesLoaded");
    site.ready(EXPORTER);

    let exports = site.exports();
    site.export(&exports);
    measured(&site, &monitoring);
    policies::check(
        &site,
        &[
            (EXPORTER, "collector", 4317),
            ("collector", "jaeger", 4317),
            ("prometheus", EXPORTER, 8081),
            ("prometheus", "collector", 8889),
            ("prometheus", "collector", 8888),
        ],
    );
}

/// What Prometheus has of the application and of the collector, with the same labels as without the Prometheus Operator,
/// and what it makes of it.
fn measured(site: &Site, monitoring: &Site) {
    let url = monitoring.forward("main", 9090);
    let query = |expression: &str| prometheus::query(&url.url(), expression);
    site.wait("targets that are up", || {
        let up = query("up")?;
        let mut jobs: Vec<_> = up.iter().map(|sample| (sample.label("job"), sample.value)).collect();
        jobs.sort_by(|one, other| one.0.cmp(other.0));
        let job = |part: &str| format!("{}/{EXPORTER}-{part}", site.namespace);
        let collector = job("collector");
        anyhow::ensure!(jobs == [(&*collector, 1.0), (&*collector, 1.0), (&*job("metrics"), 1.0)], "{up:?}");
        let labels = ["__name__", "instance", "job", "namespace", "pod"];
        anyhow::ensure!(up.iter().all(|sample| sample.labels.keys().eq(labels)), "{up:?}");
        Ok(Some(()))
    });
    let sum = |expression: &str, wanted: f64| {
        site.wait(&format!("{expression} to be {wanted}"), || {
            let found = query(expression)?;
            anyhow::ensure!(found.len() == 1 && (found[0].value - wanted).abs() < 1e-9, "{found:?}");
            Ok(Some(()))
        });
    };
    sum("sum(trakt_exports_total)", 3.0);
    sum("sum(traces_span_metrics_calls_total{span_name=\"export\"})", 1.0);
    sum("slo:objective:ratio{slo=\"calls\"}", 0.995);
    site.rules_are_evaluated(&url, 2);
}

/// The Prometheus Operator's kinds, itself, and a Prometheus that selects what has the label `release: main`, anywhere.
fn install(stack: &Stack, site: &Site) {
    let parts = [Part::PrometheusOperator, Part::PrometheusConfigReloader];
    stack.node().load(&parts.map(|part| Image::of_part(part).unwrap())).unwrap();
    for file in read_dir(testbed::path(Part::PrometheusOperatorCrds).unwrap()).unwrap() {
        stack.apply(None, &read_to_string(file.unwrap().path()).unwrap()).unwrap();
    }
    stack.kubectl("wait --for=condition=Established crd --all --timeout=60s").unwrap();
    let mut items = account(
        site.namespace,
        "prometheus-operator",
        &json!([
            {"apiGroups": ["monitoring.coreos.com"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["apps"], "resources": ["statefulsets", "daemonsets"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["configmaps", "secrets", "services", "services/finalizers", "endpoints"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["pods", "persistentvolumeclaims"], "verbs": ["list", "delete"]},
            {"apiGroups": [""], "resources": ["namespaces", "nodes"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
            {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get"]},
            {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get", "list", "watch"]},
        ]),
    );
    items.extend(account(site.namespace, "prometheus", &json!([
        {"apiGroups": [""], "resources": ["pods", "services", "endpoints"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    ])));
    items.extend([
        operator(),
        prometheus_object(),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "main"},
        "spec": {"selector": {"prometheus": "main"}, "ports": [{"port": 9090}]}}),
    ]);
    site.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
}

/// An account with these rights in the whole cluster.
fn account(namespace: &str, name: &str, rules: &Value) -> Vec<Value> {
    let metadata = json!({"name": name});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": metadata, "rules": rules}),
        json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]}),
    ]
}

fn pod_security() -> Value {
    json!({"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}})
}

fn operator() -> Value {
    let labels = json!({"app.kubernetes.io/name": "prometheus-operator"});
    let container = json!({
        "name": "prometheus-operator",
        "image": "localhost/prometheus-operator:testbed",
        "args": ["--prometheus-config-reloader=localhost/prometheus-config-reloader:testbed"],
        "resources": small(),
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
    });
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "prometheus-operator"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "serviceAccountName": "prometheus-operator", "securityContext": pod_security(), "containers": [container]}}}})
}

fn prometheus_object() -> Value {
    let release = json!({"matchLabels": {"release": "main"}});
    json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": {"name": "main"}, "spec": {
        "image": "localhost/prometheus:testbed", "version": "v3.5.0", "serviceAccountName": "prometheus",
        "securityContext": pod_security(), "resources": small(), "evaluationInterval": "5s",
        "podMonitorSelector": release, "podMonitorNamespaceSelector": {},
        "serviceMonitorSelector": release, "serviceMonitorNamespaceSelector": {},
        "ruleSelector": release, "ruleNamespaceSelector": {},
    }})
}

//! Prometheus objects, by the Prometheus Operator's own definitions: the one that does not select a profile's monitors is named
//! with the label that it wants. On a control plane of its own, since kinds are for the whole cluster.

use super::*;
use crate::kinds::crd;

/// A Prometheus object as kube-prometheus-stack makes it, but for the selector of namespaces.
const PROMETHEUS: &str = "
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: k8s, namespace: monitoring}
spec:
  podMonitorSelector: {matchLabels: {release: kps}}
  podMonitorNamespaceSelector: {matchLabels: {observed: 'yes'}}
  serviceMonitorSelector: {matchLabels: {release: kps}}
  serviceMonitorNamespaceSelector: {}
  ruleSelector: {matchLabels: {release: kps}}
  ruleNamespaceSelector: {}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_object_that_does_not_select_the_monitors_is_named() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    for plural in ["servicemonitors", "podmonitors", "prometheusrules", "prometheuses"] {
        cluster.plane.apply(&crd(plural)).expect("the CRD is accepted");
    }
    cluster
        .plane
        .apply("{apiVersion: v1, kind: Namespace, metadata: {name: monitoring}}")
        .expect("a namespace");
    eventually("the kind Prometheus to be served", || {
        let mut get =
            cluster.plane.kubectl(["get", "prometheuses.monitoring.coreos.com", "--all-namespaces"]);
        let answer = testbed::output(&mut get).map_err(|error| error.to_string());
        async move { answer }
    })
    .await;
    let namespace = cluster.namespace("selected").await;
    // One that works everywhere: another one does not look for Prometheus objects.
    let _operator = cluster.operator(&[], &[]);
    let mut spec = full_spec();
    spec["metrics"] = json!({"prometheus": "Auto"});
    settle(&cluster, &client, &namespace, spec.clone()).await;
    let targets = "ScrapeTargetsUp";
    let rules = "RulesProvisioned";
    let words = ["no object of kind Prometheus", "--prometheus-url"];
    wait_for(&client, &namespace, (targets, "Unknown", "NotVerified"), &words).await;
    wait_for(&client, &namespace, (rules, "True", "Provisioned"), &["PrometheusRule/trakt-slo"]).await;

    cluster.plane.apply(PROMETHEUS).expect("the Prometheus object is accepted");
    let words = ["PodMonitor/trakt-metrics", "monitoring/k8s", "release=kps", "spec.metrics.labels"];
    wait_for(&client, &namespace, (targets, "False", "NotSelected"), &words).await;
    let words = ["PrometheusRule/trakt-slo", "monitoring/k8s", "release=kps"];
    wait_for(&client, &namespace, (rules, "False", "NotSelected"), &words).await;

    // The label that it wants. The name of its Service cannot be resolved from here, and for a Prometheus that is not the
    // profile's own this is no fault of the profile.
    spec["metrics"]["labels"] = json!({"release": "kps"});
    apply_profile(&client, &namespace, "trakt", spec).await;
    let url = "http://prometheus-k8s-0.prometheus-operated.monitoring.svc:9090";
    wait_for(&client, &namespace, (rules, "Unknown", "PrometheusUnreachable"), &[url]).await;
    let words = ["label the namespace", "observed=yes"];
    wait_for(&client, &namespace, (targets, "False", "NotSelected"), &words).await;
    output(cluster.plane.kubectl(["label", "namespace", &namespace, "observed=yes"]));
    wait_for(&client, &namespace, (targets, "Unknown", "PrometheusUnreachable"), &[url]).await;
}

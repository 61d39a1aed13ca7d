use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::kinds::ChildKind;
use crate::observed::Observed;
use crate::validate::{fixture, fixture_with};

const MINIMAL: &str = "{selector: {matchLabels: {app: trakt}}, service: {name: trakt}}";

fn with_metrics(metrics: &str) -> ValidatedProfile {
    fixture(&format!(
        "{{selector: {{matchLabels: {{app: trakt}}}}, service: {{name: trakt}}, metrics: {metrics}}}"
    ))
}

fn prometheus_operator() -> Observed {
    Observed {
        served: BTreeSet::from([ChildKind::ServiceMonitor, ChildKind::PodMonitor]),
        ..Observed::default()
    }
}

fn by_kind(children: &[Child], kind: ChildKind) -> &Value {
    &children.iter().find(|child| child.kind == kind).expect("a child of this kind").body
}

#[test]
fn nothing_without_metrics_and_nothing_for_a_managed_prometheus() {
    for metrics in ["{enabled: false}", "{prometheus: Managed}"] {
        assert_eq!(plan(&with_metrics(metrics)).expect("a plan"), vec![], "{metrics}");
    }
}

#[test]
fn the_same_profile_gives_the_same_bytes() {
    for observed in [Observed::default(), prometheus_operator()] {
        let twice = [(); 2].map(|()| plan(&fixture_with(MINIMAL, &observed)).expect("a plan"));
        assert!(!twice[0].is_empty());
        assert_eq!(twice[0], twice[1]);
    }
}

#[test]
fn the_config_map_holds_one_scrape_file() {
    let children = plan(&with_metrics("{port: 9102, path: /m, interval: 15s}")).expect("a plan");
    assert_eq!(children.len(), 1);
    let body = by_kind(&children, ChildKind::ConfigMap);
    assert_eq!(body["metadata"]["name"], "trakt-metrics");
    assert_eq!(body["metadata"]["labels"][SCRAPE_LABEL], "true");
    let file = body["data"]["media.trakt.scrape.yaml"].as_str().expect("the file");
    let parsed: Value = serde_yaml::from_str(file).expect("YAML");
    let step = |replacement, regex| {
        json!({"source_labels": ["__meta_kubernetes_pod_ip"], "regex": regex, "target_label": "__address__",
               "replacement": replacement, "action": "replace"})
    };
    assert_eq!(
        parsed["scrape_configs"][0],
        json!({
            "job_name": "media/trakt-metrics",
            "scrape_interval": "15s",
            "metrics_path": "/m",
            "kubernetes_sd_configs": [{
                "role": "pod",
                "namespaces": {"names": ["media"]},
                "selectors": [{"role": "pod", "label": "app=trakt,app.kubernetes.io/managed-by notin (telemetry-operator)"}],
            }],
            "relabel_configs": [
                {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Succeeded|Failed", "action": "drop"},
                step("${1}:9102", "([^:]+)"),
                step("[${1}]:9102", "(.+:.*)"),
                {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace", "action": "replace"},
                {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod", "action": "replace"},
            ],
        })
    );
    let collector = &parsed["scrape_configs"][1];
    assert_eq!(collector["job_name"], "media/trakt-collector");
    assert_eq!(
        collector["kubernetes_sd_configs"][0]["selectors"][0]["label"],
        "app.kubernetes.io/component=collector,app.kubernetes.io/instance=trakt,\
         app.kubernetes.io/name=opentelemetry-collector"
    );
    assert_eq!(collector["metrics_path"], "/metrics");
    assert_eq!(collector["relabel_configs"][1]["replacement"], "${1}:8889");
    // What it says of itself is another target of the same job.
    let own = &parsed["scrape_configs"][2];
    assert_eq!(own["job_name"], "media/trakt-collector-own");
    assert_eq!(own["kubernetes_sd_configs"], collector["kubernetes_sd_configs"]);
    assert_eq!(own["relabel_configs"][1]["replacement"], "${1}:8888");
    let job = json!({"target_label": "job", "replacement": "media/trakt-collector", "action": "replace"});
    assert_eq!(own["relabel_configs"][5], job);
}

#[test]
fn selectors_as_the_api_server_takes_them() {
    for (selector, expected) in [
        ("{matchLabels: {b: two, a: one}}", "a=one,b=two"),
        ("{matchLabels: {a: ''}}", "a="),
        ("{matchExpressions: [{key: tier, operator: In, values: [web, api]}]}", "tier in (web,api)"),
        ("{matchExpressions: [{key: tier, operator: NotIn, values: [batch]}]}", "tier notin (batch)"),
        ("{matchExpressions: [{key: tier, operator: In, values: ['']}]}", "tier in ()"),
        ("{matchExpressions: [{key: example.com/on, operator: Exists}]}", "example.com/on"),
        ("{matchExpressions: [{key: off, operator: DoesNotExist}]}", "!off"),
        ("{matchLabels: {a: one}, matchExpressions: [{key: off, operator: DoesNotExist}]}", "a=one,!off"),
    ] {
        let profile = fixture(&format!("{{selector: {selector}, service: {{name: trakt}}}}"));
        // Our own pods are never the application's.
        let expected = format!("{expected},app.kubernetes.io/managed-by notin (telemetry-operator)");
        assert_eq!(selector_text(&profile.selector), expected, "{selector}");
    }
}

#[test]
fn monitors_when_their_kinds_are_served() {
    let spec =
        "{selector: {matchExpressions: [{key: app, operator: In, values: [trakt]}]}, service: {name: trakt},
                 metrics: {port: 9102, path: /m, interval: 15s}}";
    let profile = fixture_with(spec, &prometheus_operator());
    let children = plan(&profile).expect("a plan");
    assert_eq!(
        children.iter().map(Child::reference).collect::<Vec<_>>(),
        ["PodMonitor/trakt-metrics", "ServiceMonitor/trakt-collector"]
    );
    assert_eq!(
        by_kind(&children, ChildKind::PodMonitor)["spec"],
        json!({
            "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["trakt"]}, {"key": "app.kubernetes.io/managed-by", "operator": "NotIn", "values": ["telemetry-operator"]}]},
            "podMetricsEndpoints": [{
                "path": "/m",
                "interval": "15s",
                "relabelings": [
                    {"sourceLabels": ["__meta_kubernetes_pod_ip"], "regex": "([^:]+)",
                     "targetLabel": "__address__", "replacement": "${1}:9102", "action": "replace"},
                    {"sourceLabels": ["__meta_kubernetes_pod_ip"], "regex": "(.+:.*)",
                     "targetLabel": "__address__", "replacement": "[${1}]:9102", "action": "replace"},
                    {"regex": "container", "action": "labeldrop"},
                ],
            }],
        })
    );
    let endpoints = ["metrics", "own-metrics"].map(|port| {
        json!({
            "port": port,
            "path": "/metrics",
            "interval": "15s",
            "relabelings": [
                {"targetLabel": "job", "replacement": "media/trakt-collector", "action": "replace"},
                {"regex": "container|endpoint|service", "action": "labeldrop"},
            ],
        })
    });
    assert_eq!(
        by_kind(&children, ChildKind::ServiceMonitor)["spec"],
        json!({
            "selector": {"matchLabels": meta::pod_labels(&profile, Component::Collector)},
            "endpoints": endpoints,
        })
    );
}

/// The Prometheus Operator names the job of a PodMonitor after its namespace and name.
#[test]
fn the_pod_monitors_name_is_the_job() {
    let profile = fixture_with(MINIMAL, &prometheus_operator());
    let children = plan(&profile).expect("a plan");
    let metadata = &by_kind(&children, ChildKind::PodMonitor)["metadata"];
    let job = format!("{}/{}", metadata["namespace"].as_str().unwrap(), metadata["name"].as_str().unwrap());
    assert_eq!(job, application_job(&profile));
}

/// A Prometheus object selects by labels of the user's choice, and the labels by which the operator finds its children stay.
#[test]
fn monitors_and_rules_carry_the_profiles_labels() {
    let spec = "{selector: {matchLabels: {app: trakt}}, service: {name: trakt},
        metrics: {labels: {release: kps, app.kubernetes.io/instance: other}},
        slos: [{name: fresh, objective: '99', freshness: {counter: runs_total, maxAge: 6h}}]}";
    let mut observed = prometheus_operator();
    observed.served.insert(ChildKind::PrometheusRule);
    let children = crate::plan::plan(&fixture_with(spec, &observed)).expect("a plan").children;
    for kind in [ChildKind::PodMonitor, ChildKind::ServiceMonitor, ChildKind::PrometheusRule] {
        let labels = &by_kind(&children, kind)["metadata"]["labels"];
        assert_eq!(labels["release"], "kps", "{kind:?}");
        assert_eq!(labels["app.kubernetes.io/instance"], "trakt", "{kind:?}");
    }
    assert!(by_kind(&children, ChildKind::Service)["metadata"]["labels"]["release"].is_null());
}

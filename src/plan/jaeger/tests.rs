use serde_json::{Value, json};

use super::*;
use crate::validate::fixture;

fn profile(rest: &str) -> ValidatedProfile {
    fixture(&format!("{{selector: {{matchLabels: {{app: trakt}}}}, service: {{name: trakt}}, {rest}}}"))
}

fn body(children: &[Child], kind: ChildKind) -> &Value {
    &children.iter().find(|child| child.kind == kind).expect("a child of this kind").body
}

fn configuration(profile: &ValidatedProfile) -> Value {
    let children = plan(profile).expect("a plan");
    let file = body(&children, ChildKind::ConfigMap)["data"]["jaeger.yaml"].as_str().expect("the file");
    serde_yaml::from_str(file).expect("YAML")
}

const BADGER: &str = "traces: {jaeger: {storage: Badger, retention: 2d, size: 20Gi, storageClassName: fast}}, metrics: {enabled: false}";

#[test]
fn nothing_when_traces_are_off_or_go_elsewhere() {
    for rest in ["traces: {enabled: false}", "traces: {endpoint: 'http://tempo.monitoring:4317'}"] {
        assert_eq!(plan(&profile(rest)).expect("a plan"), vec![], "{rest}");
    }
}

#[test]
fn the_same_profile_gives_the_same_bytes() {
    for rest in ["metrics: {prometheus: Managed}", BADGER] {
        assert_eq!(plan(&profile(rest)).expect("a plan"), plan(&profile(rest)).expect("a plan"), "{rest}");
    }
}

#[test]
fn traces_in_memory() {
    let profile = profile("metrics: {prometheus: ConfigMap}");
    let children = plan(&profile).expect("a plan");
    let names = ["ServiceAccount", "ConfigMap", "Service", "NetworkPolicy", "Deployment"];
    assert_eq!(
        children.iter().map(Child::reference).collect::<Vec<_>>(),
        names.map(|kind| format!("{kind}/trakt-jaeger"))
    );
    assert_eq!(
        configuration(&profile),
        json!({
            "extensions": {
                "healthcheckv2": {
                    "use_v2": true,
                    "http": {"endpoint": "0.0.0.0:13133", "status": {"enabled": true, "path": "/status"}},
                },
                "jaeger_query": {
                    "storage": {"traces": "traces"},
                    "enable_tracing": false,
                    "http": {"endpoint": "0.0.0.0:16686"},
                    "grpc": {"endpoint": "0.0.0.0:16685"},
                },
                "jaeger_storage": {"backends": {"traces": {"memory": {"max_traces": 6990}}}},
            },
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "0.0.0.0:4317"}}}},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "traces"}},
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
                "telemetry": {"logs": {"encoding": "json"}, "metrics": {"level": "none"}},
            },
        })
    );
    let spec = &body(&children, ChildKind::Deployment)["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], 10001);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["containers"][0]["args"], json!(["--config=/etc/jaeger/jaeger.yaml"]));
    assert_eq!(pod["containers"][0]["readinessProbe"]["httpGet"]["path"], "/status");
    assert_eq!(pod["containers"][0]["readinessProbe"]["httpGet"]["port"], 13133);
}

#[test]
fn traces_on_a_volume() {
    let profile = profile(BADGER);
    let children = plan(&profile).expect("a plan");
    let claim = &body(&children, ChildKind::PersistentVolumeClaim);
    assert_eq!(claim["metadata"]["name"], "trakt-jaeger");
    assert_eq!(
        claim["spec"],
        json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "20Gi"}},
            "storageClassName": "fast",
        })
    );
    let spec = &body(&children, ChildKind::Deployment)["spec"];
    assert_eq!(spec["strategy"], json!({"type": "Recreate"}));
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["securityContext"]["fsGroup"], 10001);
    assert_eq!(pod["volumes"][1]["persistentVolumeClaim"]["claimName"], "trakt-jaeger");
    assert_eq!(pod["containers"][0]["volumeMounts"][1]["mountPath"], "/badger");
    let file = configuration(&profile);
    assert_eq!(
        file["extensions"]["jaeger_storage"]["backends"]["traces"],
        json!({"badger": {
            "directories": {"keys": "/badger/keys", "values": "/badger/values"},
            "ephemeral": false,
            "maintenance_interval": "5m",
            "ttl": {"spans": "48h"},
        }})
    );
    assert_eq!(file["service"]["pipelines"]["traces"]["processors"], json!(["memory_limiter"]));
    assert_eq!(
        file["processors"]["memory_limiter"],
        json!({"check_interval": "1s", "limit_mib": 819, "spike_limit_mib": 204})
    );
}

#[test]
fn the_clusters_default_storage_class_is_left_to_the_cluster() {
    let children = plan(&profile("traces: {jaeger: {storage: Badger}}")).expect("a plan");
    let spec = &body(&children, ChildKind::PersistentVolumeClaim)["spec"];
    assert_eq!(spec["storageClassName"], Value::Null);
    assert_eq!(spec["resources"]["requests"]["storage"], "10Gi");
}

#[test]
fn the_monitor_tab_asks_the_prometheus_that_is_known() {
    let mut known = profile("metrics: {prometheus: ConfigMap}");
    known.prometheus_url = Some("http://prometheus.monitoring:9090/prefix".to_owned());
    for (profile, endpoint) in [
        (profile("metrics: {prometheus: ConfigMap}"), None),
        (profile("metrics: {prometheus: Managed}"), Some("http://trakt-prometheus:9090")),
        (known, Some("http://prometheus.monitoring:9090/prefix")),
    ] {
        let file = configuration(&profile);
        let source = endpoint.map(|endpoint| {
            json!({"metrics": {"prometheus": {
                "endpoint": endpoint,
                "metric_namespace": "traces_span_metrics",
                "latency_unit": "s",
                "normalize_calls": true,
                "normalize_duration": true,
            }}})
        });
        assert_eq!(file["extensions"]["jaeger_storage"].get("metric_backends"), source.as_ref());
        let metrics = file["extensions"]["jaeger_query"]["storage"].get("metrics");
        assert_eq!(metrics.is_some(), endpoint.is_some());
    }
}

/// Jaeger builds the names of the metrics from namespace, unit and flags; they must be the collector's.
#[test]
fn the_monitor_tabs_names_are_the_collectors() {
    let namespace = pipeline::SPAN_METRICS_NAMESPACE;
    assert_eq!(format!("{namespace}_calls_total"), pipeline::SPAN_METRICS_CALLS);
    assert_eq!(format!("{namespace}_duration_seconds"), pipeline::SPAN_METRICS_DURATION);
}

#[test]
fn more_memory_keeps_more_traces_and_none_keeps_one() {
    let traces = |limit: &str| {
        let rest = format!("jaeger: {{resources: {{limits: {{memory: {limit}}}}}}}");
        configuration(&profile(&rest))["extensions"]["jaeger_storage"]["backends"]["traces"]["memory"]["max_traces"]
            .as_u64()
            .expect("a number")
    };
    assert_eq!(["32Mi", "256Mi", "1Gi", "64Gi"].map(traces), [218, 1747, 6990, 447_392]);
    assert_eq!(config::max_traces(0), 1);
}

#[test]
fn a_changed_configuration_rolls_the_pods() {
    let hash = |rest: &str| {
        let children = plan(&profile(rest)).expect("a plan");
        body(&children, ChildKind::Deployment)["spec"]["template"]["metadata"]["annotations"].clone()
    };
    assert_eq!(hash("metrics: {enabled: false}"), hash("metrics: {enabled: false, port: 9000}"));
    assert_ne!(hash("metrics: {enabled: false}"), hash("metrics: {prometheus: Managed}"));
}

#[test]
fn queries_are_not_open_to_the_world() {
    for rest in ["metrics: {enabled: false}", "metrics: {prometheus: Managed}", BADGER] {
        let profile = profile(rest);
        let children = plan(&profile).expect("a plan");
        let service = &body(&children, ChildKind::Service)["spec"];
        assert_eq!(service["type"], "ClusterIP");
        let ports: Vec<_> =
            service["ports"].as_array().unwrap().iter().map(|port| (&port["name"], &port["port"])).collect();
        assert_eq!(json!(ports), json!([["otlp-grpc", 4317], ["query-grpc", 16685], ["query-http", 16686]]));

        let policy = &body(&children, ChildKind::NetworkPolicy)["spec"];
        let ingress = policy["ingress"].as_array().expect("rules");
        assert_eq!(ingress.len(), 2, "{rest}");
        assert_eq!(
            ingress[0]["from"],
            json!([{"podSelector": {"matchLabels": meta::pod_labels(&profile, Component::Collector)}}])
        );
        assert_eq!(ingress[0]["ports"], json!([{"port": 4317, "protocol": "TCP"}]));
        assert_eq!(
            ingress[1]["from"][0]["podSelector"],
            json!({"matchLabels": {"app.kubernetes.io/name": "grafana"}})
        );
        let egress = policy.get("egress").and_then(Value::as_array).map_or(0, Vec::len);
        // Prometheus and name resolution, or nothing at all.
        assert_eq!(egress, if profile.prometheus_url.is_some() { 2 } else { 0 }, "{rest}");
    }
}

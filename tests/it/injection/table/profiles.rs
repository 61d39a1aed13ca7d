//! The profiles of the table.

use serde_json::{Value, json};

/// The profiles of the table: name and spec.
pub fn profiles() -> Vec<(&'static str, Value)> {
    let service = |name: &str| json!({"name": name});
    let app = |name: &str| json!({"matchLabels": {"app": name}});
    let resources = json!({"requests": {"cpu": "1"}, "limits": {"memory": "48Mi"}});
    let everything = json!({
        "selector": {"matchLabels": {"tier": "web"}, "matchExpressions": [
            {"key": "app", "operator": "In", "values": ["full", "fuller"]},
            {"key": "canary", "operator": "DoesNotExist"},
            {"key": "zone", "operator": "NotIn", "values": ["x", "y"]},
            {"key": "team", "operator": "Exists"}]},
        "service": {"name": "full service", "version": "1.2.3+build_7", "environment": "prod-eu"},
        "traces": {"sampling": {"ratio": "0.25", "at": "Application"}, "protocols": ["OTLP", "JaegerThriftHTTP"]},
        "logs": {"endpoint": "https://loki.example:3100/otlp"},
        "sidecar": {"image": "localhost/other-collector:1", "resources": resources, "environment": [
            {"name": "JAEGER_ENDPOINT", "value": "http://127.0.0.1:14268/api/traces"},
            {"name": "QUOTED", "value": "it's \"$(POD)\" \\ ${env:X}\n{{ x }}"},
            {"name": "OTEL_LOG_LEVEL", "value": "debug"}]},
        "collector": {"image": "localhost/collector:2", "imagePullSecrets": ["registry", "mirror"]},
    });
    let metrics = json!({"selector": app("metrics"), "service": service("m"), "traces": {"enabled": false},
        "collector": {"image": "localhost/collector:2"}, "sidecar": {"resources": {"requests": {"memory": "1Gi"}}}});
    let grpc = json!({"selector": app("grpc"), "service": service("g"), "metrics": {"enabled": false},
        "sidecar": {"environment": [{"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "value": "grpc"}]}});
    let thrift = json!({"selector": app("thrift"), "service": service("t"),
        "traces": {"protocols": ["JaegerThriftHTTP"]}});
    let off = json!({"selector": app("off"), "service": service("o"), "sidecar": {"enabled": false}});
    let silent = json!({"selector": app("silent"), "service": service("s"), "traces": {"enabled": false},
        "metrics": {"enabled": false}});
    vec![
        ("plain", json!({"selector": app("plain"), "service": service("plain")})),
        ("everything", everything),
        ("metrics", metrics),
        ("grpc", grpc),
        ("thrift", thrift),
        ("off", off),
        ("silent", silent),
    ]
}

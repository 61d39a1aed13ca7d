//! What people get wrong: values by hand, each with the field that the refusal must name.

use serde_json::{Value, json};

use super::bounds::field_path;
use super::{Case, set};

/// Field, wrong values.
const TEXTS: [(&str, &[&str]); 36] = [
    ("/spec/service/name", &[" shop", "shop-", "sh\nop", "shop{}", "é"]),
    ("/spec/service/version", &["v 1", "-1", "1.0\""]),
    ("/spec/service/environment", &["pro duction", "prod/eu"]),
    ("/spec/traces/sampling/ratio", &["1.5", "-0.1", "50%", ".5", "1e-1", "2", "01"]),
    (
        "/spec/traces/endpoint",
        &[
            "http://tempo",
            "tempo:4317",
            "ftp://tempo:21",
            "http://tempo:4317/",
            "http://a b:4317",
            "grpc://a:4317",
        ],
    ),
    ("/spec/traces/jaeger/retention", &["72", "0h", "1w", "99999h", "1.5h", "90m"]),
    ("/spec/traces/jaeger/size", &["10", "0Gi", "1.5Gi", "10GB", "-1Gi"]),
    ("/spec/traces/jaeger/storageClassName", &["Fast", "fast_ssd"]),
    ("/spec/metrics/path", &["metrics", "/me trics", "/metrics?x=1", "http://x/metrics"]),
    ("/spec/metrics/interval", &["4s", "11m", "30", "1h", "0s", "1m30s", "1000s"]),
    ("/spec/metrics/instruments/0/name", &["1st_total", "a-b", "a b", "a{b}"]),
    ("/spec/metrics/instruments/0/unit", &["µs", "a b", "\"s\""]),
    ("/spec/metrics/labels/release", &["a b", "-a", "a/b"]),
    (
        "/spec/logs/endpoint",
        &["loki:3100", "http:///otlp", "http://loki:99999999", "http://loki:3100/otlp?x"],
    ),
    ("/spec/dashboards/folder", &["../etc", "-Shop", "Shop "]),
    ("/spec/dashboards/labels/team", &["a b", "-a", "a/b"]),
    ("/spec/dashboards/dataSourceLabels/team", &["a b", "-a", "a/b"]),
    ("/spec/slos/0/name", &["Orders", "1st", "a_b", "a-", "a b"]),
    ("/spec/slos/0/objective", &["100", "1.00001", "-1", "99,5", "99.5%", ".5", "1e1"]),
    ("/spec/slos/0/window", &["0d", "91d", "13w", "0w", "30", "720h", "1m"]),
    ("/spec/slos/0/groupBy/0", &["1a", "a-b", "a.b", "é"]),
    ("/spec/slos/1/alerting/absentAfter", &["20", "0h", "1w", "90s"]),
    ("/spec/slos/5/operation/threshold", &["-1", "0.5s", "1e-3", "inf", "0.000001"]),
    ("/spec/slos/2/latency/threshold", &["-1", "0.5s", "1e-3", "inf", "0.000001"]),
    ("/spec/slos/6/freshness/maxAge", &["26", "0h", "1w", "1h30m"]),
    (
        "/spec/alerting/runbookBaseURL",
        &["runbooks", "javascript:alert(1)", "https://a/{{ . }}", "https://a?x=1"],
    ),
    ("/spec/sidecar/image", &["UPPER/image", "image tag", "image@sha256:abc", "-image"]),
    ("/spec/sidecar/environment/0/name", &["1A", "A-B", "A B", "A=B"]),
    ("/spec/collector/imagePullSecrets/0", &["Secret", "a_b", "-a"]),
    ("/spec/collector/resources/requests/cpu", &["0", "-1", "1.5Gi", "0m", "1e3", "1,5"]),
    ("/spec/collector/resources/limits/memory", &["0", "1.5Gi", "1gb", "-1", "1e9", "512mi"]),
    ("/spec/collector/nodeSelector/kubernetes.io~1os", &["lin ux", "-"]),
    ("/spec/collector/tolerations/0/value", &["a b", "a/b"]),
    ("/spec/collector/priorityClassName", &["High", "a_b"]),
    ("/spec/selector/matchLabels/app.kubernetes.io~1name", &["a b", "-a"]),
    ("/spec/selector/matchExpressions/0/key", &["a b", "/a", "UPPER.example/a", "a/b/c", "-a"]),
];

/// Texts that the pattern of their field refuses.
pub fn texts(base: &Value) -> Vec<Case> {
    let cases = |(pointer, values): (&str, &'static [&str])| {
        let pointer = pointer.to_owned();
        values.iter().map(move |value| Case {
            constraint: None,
            path: field_path(&pointer).replace("~1", "/"),
            code: "TP0105",
            refusal: "should match".to_owned(),
            body: set(base, &[(&pointer, json!(value))]),
        })
    };
    TEXTS.into_iter().flat_map(cases).collect()
}

/// What breaks a rule: the field that the refusal names, and the changes that break it.
pub fn rules(base: &Value) -> Vec<Case> {
    let mut rows: Vec<(String, Vec<(String, Value)>)> = Vec::new();
    let mut row = |path: &str, changes: &[(&str, Value)]| {
        rows.push((
            path.to_owned(),
            changes.iter().map(|(pointer, value)| ((*pointer).to_owned(), value.clone())).collect(),
        ));
    };
    for name in ["1st", "a.b", "trailing-dot.x", &"a".repeat(46)] {
        row("metadata.name", &[("/metadata/name", json!(name))]);
    }
    row("spec.slos", &[("/spec/metrics/enabled", json!(false))]);
    for port in [4317, 4318, 13133, 14268] {
        row("spec.metrics.port", &[("/spec/metrics/port", json!(port))]);
    }
    row("spec.selector", &[("/spec/selector", json!({}))]);
    row("spec.selector", &[("/spec/selector", json!({"matchLabels": {}, "matchExpressions": []}))]);
    row("spec.selector.matchLabels", &[("/spec/selector/matchLabels", json!({"a".repeat(318): "x"}))]);
    let expression = "/spec/selector/matchExpressions/0";
    for (operator, values) in
        [("In", json!([])), ("NotIn", json!([])), ("Exists", json!(["x"])), ("DoesNotExist", json!(["x"]))]
    {
        let requirement = json!({"key": "app", "operator": operator, "values": values});
        row("spec.selector.matchExpressions[0].values", &[(expression, requirement)]);
    }
    row("spec.selector.matchExpressions[0].values", &[(expression, json!({"key": "app", "operator": "In"}))]);
    row("spec.traces.jaeger", &[("/spec/traces/endpoint", json!("http://tempo:4317"))]);
    for field in ["retention", "size", "storageClassName"] {
        row(&format!("spec.traces.jaeger.{field}"), &[("/spec/traces/jaeger/storage", json!("Memory"))]);
        let value = json!({field: base["spec"]["traces"]["jaeger"][field]});
        row(&format!("spec.traces.jaeger.{field}"), &[("/spec/traces/jaeger", value)]);
    }
    for labels in [
        ("spec.alerting.labels", "/spec/alerting/labels"),
        ("spec.slos[0].alerting.labels", "/spec/slos/0/alerting/labels"),
    ] {
        for key in [
            "alertname",
            "namespace",
            "severity",
            "slo",
            "slo_tier",
            "telemetry_profile",
            "service",
            "slo_group",
            "burn_rate_factor",
            "a-b",
            "1a",
            "",
            "é",
        ] {
            row(labels.0, &[(labels.1, json!({key: "x"}))]);
        }
        row(labels.0, &[(labels.1, json!({"a".repeat(64): "x"}))]);
    }
    row("spec.slos[0]", &[("/spec/slos/0", json!({"name": "a", "objective": "99"}))]);
    row("spec.slos[0]", &[("/spec/slos/0/freshness", json!({"counter": "a", "maxAge": "1h"}))]);
    for labels in
        [json!(["le"]), json!(["namespace"]), json!(["__a"]), json!(["a", "slo"]), json!(["a", "a"])]
    {
        row("spec.slos[0].groupBy", &[("/spec/slos/0/groupBy", labels)]);
    }
    let freshness = |more: Value| {
        let mut freshness = json!({"maxAge": "1h"});
        freshness.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        ("/spec/slos/6/freshness", freshness)
    };
    row("spec.slos[6].freshness", &[freshness(json!({}))]);
    row("spec.slos[6].freshness", &[freshness(json!({"counter": "a", "timestamp": "b"}))]);
    row("spec.slos[0]", &[("/spec/slos/0/operation", json!({"name": "a"}))]);
    row("spec.slos[0].ratio", &[("/spec/slos/0/ratio", json!({"total": "a"}))]);
    row("spec.slos[0].ratio", &[("/spec/slos/0/ratio/bad", json!("a"))]);
    for zero in ["0", "0.0", "00", "0.0000"] {
        row("spec.slos[0].objective", &[("/spec/slos/0/objective", json!(zero))]);
    }
    for zero in ["0", "0.00000"] {
        row("spec.slos[2].latency.threshold", &[("/spec/slos/2/latency/threshold", json!(zero))]);
        row("spec.slos[5].operation.threshold", &[("/spec/slos/5/operation/threshold", json!(zero))]);
    }
    row("spec.collector.replicas", &[("/spec/collector/replicas", json!(2))]);
    row("spec.collector.autoscaling.min", &[("/spec/collector/autoscaling", json!({"min": 4, "max": 3}))]);
    for workload in ["collector", "jaeger", "sidecar"] {
        for (amount, request, limit) in [
            ("cpu", "2", "1500m"),
            ("cpu", "1001m", "1"),
            ("cpu", "0.5", "499m"),
            ("memory", "1Gi", "1G"),
            ("memory", "1025Mi", "1Gi"),
            ("memory", "2000000", "1M"),
        ] {
            let resources = json!({"requests": {amount: request}, "limits": {amount: limit}});
            let pointer = format!("/spec/{workload}/resources");
            row(&format!("spec.{workload}.resources.requests"), &[(&pointer, resources)]);
        }
    }
    for workload in ["collector", "jaeger"] {
        let pointer = format!("/spec/{workload}/tolerations/0");
        let path = format!("spec.{workload}.tolerations[0]");
        row(&format!("{path}.value"), &[(&pointer, json!({"key": "a", "operator": "Exists", "value": "b"}))]);
        for toleration in [json!({}), json!({"operator": "Equal"}), json!({"effect": "NoExecute"})] {
            row(&format!("{path}.key"), &[(&pointer, toleration)]);
        }
    }
    let case = |(path, changes): (String, Vec<(String, Value)>)| {
        let changes: Vec<_> =
            changes.iter().map(|(pointer, value)| (pointer.as_str(), value.clone())).collect();
        Case { constraint: None, path, code: "TP0201", refusal: String::new(), body: set(base, &changes) }
    };
    rows.into_iter().map(case).collect()
}

/// What the API server cannot know and `validate` finds: code, field, pointer and value.
pub fn meaning(base: &Value) -> Vec<Case> {
    let rows = [
        ("TP0301", "spec.slos[0].ratio.good", "/spec/slos/0/ratio/good", json!("rate(orders_total[5m])")),
        ("TP0301", "spec.slos[0].ratio.total", "/spec/slos/0/ratio/total", json!("sum(orders_total)")),
        ("TP0301", "spec.slos[1].ratio.bad", "/spec/slos/1/ratio/bad", json!("orders_total{state=~\"[\"}")),
        ("TP0301", "spec.slos[2].latency.histogram", "/spec/slos/2/latency/histogram", json!("a[5m]")),
        ("TP0301", "spec.slos[6].freshness.counter", "/spec/slos/6/freshness/counter", json!("{job=\"x\"}")),
        ("TP0301", "spec.slos[7].freshness.timestamp", "/spec/slos/7/freshness/timestamp", json!("time()")),
        ("TP0310", "spec.slos[4].operation", "/spec/traces/enabled", json!(false)),
        ("TP0310", "spec.slos[5].operation", "/spec/traces/sampling/at", json!("Application")),
        (
            "TP0302",
            "spec.slos[0].ratio.total",
            "/spec/slos/0/ratio/total",
            json!("orders_total{namespace=\"other\"}"),
        ),
        ("TP0303", "spec.slos[0].objective", "/spec/slos/0/objective", json!("10")),
        (
            "TP0306",
            "spec.selector.matchExpressions[0].key",
            "/spec/selector/matchExpressions/0/key",
            json!("a".repeat(64)),
        ),
        ("TP0306", "spec.jaeger.tolerations[0].key", "/spec/jaeger/tolerations/0/key", json!("a..b/c")),
        (
            "TP0304",
            "spec.collector.resources.limits.memory",
            "/spec/collector/resources",
            json!({"limits": {"memory": "31Mi"}}),
        ),
        (
            "TP0304",
            "spec.jaeger.resources.limits.memory",
            "/spec/jaeger/resources",
            json!({"limits": {"memory": "1000"}}),
        ),
        ("TP0305", "spec.logs.endpoint", "/spec/logs/endpoint", json!("http://loki:70000")),
        ("TP0306", "spec.selector.matchLabels", "/spec/selector/matchLabels", json!({"a b": "x"})),
        ("TP0306", "spec.metrics.labels", "/spec/metrics/labels", json!({"UPPER/x": "x"})),
        ("TP0306", "spec.dashboards.labels", "/spec/dashboards/labels", json!({"UPPER/x": "x"})),
        (
            "TP0306",
            "spec.dashboards.dataSourceLabels",
            "/spec/dashboards/dataSourceLabels",
            json!({"UPPER/x": "x"}),
        ),
        ("TP0306", "spec.collector.nodeSelector", "/spec/collector/nodeSelector", json!({"-": "x"})),
        ("TP0307", "spec.metrics.interval", "/spec/metrics/interval", json!("2m")),
        ("TP0307", "spec.slos[6].freshness.maxAge", "/spec/slos/6/freshness/maxAge", json!("60s")),
        (
            "TP0308",
            "spec.slos[2].latency.histogram",
            "/spec/slos/2/latency/histogram",
            json!("a_seconds_bucket"),
        ),
        (
            "TP0308",
            "spec.slos[2].latency.histogram",
            "/spec/slos/2/latency/histogram",
            json!("a_seconds{le=\"1\"}"),
        ),
        (
            "TP0401",
            "spec.collector.image",
            "/spec/collector/image",
            json!("otel/opentelemetry-collector-k8s:0.155.0"),
        ),
    ];
    let case = |(code, path, pointer, value): (&'static str, &str, &str, Value)| Case {
        constraint: None,
        path: path.to_owned(),
        code,
        refusal: String::new(),
        body: set(base, &[(pointer, value)]),
    };
    rows.into_iter().map(case).collect()
}

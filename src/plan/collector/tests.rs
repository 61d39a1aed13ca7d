use serde_json::{Value, json};

use super::*;
use crate::validate::fixture;

fn planned(spec: &str) -> Vec<Child> {
    let base = "selector: {matchLabels: {app: trakt}}\nservice: {name: trakt}\n";
    plan(&fixture(&format!("{base}{spec}"))).unwrap()
}

fn kinds(children: &[Child]) -> Vec<ChildKind> {
    children.iter().map(|child| child.kind).collect()
}

fn body(children: &[Child], kind: ChildKind) -> &Value {
    &children.iter().find(|child| child.kind == kind).unwrap_or_else(|| panic!("no {}", kind.name())).body
}

#[test]
fn a_single_collector_has_no_autoscaler_and_no_budget() {
    let children = planned("");
    assert_eq!(
        kinds(&children),
        [
            ChildKind::ServiceAccount,
            ChildKind::NetworkPolicy,
            ChildKind::ConfigMap,
            ChildKind::Service,
            ChildKind::Deployment,
        ]
    );
    assert!(children.iter().all(|child| child.name == "trakt-collector"));
    assert_eq!(body(&children, ChildKind::Deployment)["spec"]["replicas"], 1);
}

#[test]
fn replicas_have_a_budget_and_an_autoscaler_takes_their_number() {
    let fixed = planned("collector: {replicas: 3}");
    assert_eq!(body(&fixed, ChildKind::Deployment)["spec"]["replicas"], 3);
    let budget = &body(&fixed, ChildKind::PodDisruptionBudget)["spec"];
    assert_eq!(budget["maxUnavailable"], 1);
    assert_eq!(budget["unhealthyPodEvictionPolicy"], "AlwaysAllow");

    let auto = planned("collector: {autoscaling: {min: 2, max: 5, cpu: 70}}");
    assert_eq!(body(&auto, ChildKind::Deployment)["spec"].get("replicas"), None);
    assert_eq!(
        body(&auto, ChildKind::HorizontalPodAutoscaler)["spec"],
        json!({
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "trakt-collector"},
            "minReplicas": 2,
            "maxReplicas": 5,
            "metrics": [{
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }],
        })
    );
    assert!(kinds(&auto).contains(&ChildKind::PodDisruptionBudget));
    let one = planned("collector: {autoscaling: {min: 1, max: 1}}");
    assert!(!kinds(&one).contains(&ChildKind::PodDisruptionBudget));
}

#[test]
fn without_signals_there_is_no_collector() {
    assert_eq!(planned("traces: {enabled: false}\nmetrics: {enabled: false}"), []);
}

#[test]
fn the_service_the_pod_and_the_policy_name_the_same_ports() {
    let all: &[(&str, u16)] = &[
        ("otlp-grpc", 4317),
        ("otlp-http", 4318),
        ("jaeger-thrift", 14268),
        ("metrics", 8889),
        ("own-metrics", 8888),
    ];
    for (spec, expected) in [
        ("traces: {protocols: [OTLP, JaegerThriftHTTP]}", all),
        ("", &[all[0], all[1], all[3], all[4]]),
        ("traces: {protocols: [JaegerThriftHTTP]}\nmetrics: {enabled: false}", &all[2..3]),
        ("traces: {enabled: false}", &[all[0], all[1], all[3], all[4]]),
        ("metrics: {enabled: false}", &all[..2]),
    ] {
        let children = planned(spec);
        let service = body(&children, ChildKind::Service)["spec"]["ports"].as_array().unwrap();
        let ports: Vec<_> = service
            .iter()
            .map(|port| {
                assert_eq!(port["targetPort"], port["port"], "{spec}");
                (port["name"].as_str().unwrap(), u16::try_from(port["port"].as_u64().unwrap()).unwrap())
            })
            .collect();
        assert_eq!(ports, expected, "{spec}");
        let pod = &body(&children, ChildKind::Deployment)["spec"]["template"]["spec"]["containers"][0];
        let container: Vec<_> = pod["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap()))
            .collect();
        let health = [("health", 13133)];
        let pods: Vec<_> =
            expected.iter().chain(&health).map(|(name, port)| (*name, u64::from(*port))).collect();
        assert_eq!(container, pods, "{spec}");
        let mut allowed: Vec<u64> = body(&children, ChildKind::NetworkPolicy)["spec"]["ingress"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|rule| rule["ports"].as_array().unwrap())
            .map(|port| port["port"].as_u64().unwrap())
            .collect();
        let mut open: Vec<u64> = expected.iter().map(|(_, port)| u64::from(*port)).collect();
        allowed.sort_unstable();
        open.sort_unstable();
        assert_eq!(allowed, open, "{spec}");
    }
}

#[test]
fn a_changed_configuration_rolls_the_pods_and_nothing_else_does() {
    let hash = |spec| {
        let children = planned(spec);
        body(&children, ChildKind::Deployment)["spec"]["template"]["metadata"]["annotations"]
            [meta::CONFIG_HASH]
            .clone()
    };
    let first = hash("");
    assert!(first.is_string());
    assert_ne!(first, hash("traces: {sampling: {ratio: '0.1'}}"));
    assert_eq!(first, hash("collector: {replicas: 2}\ndashboards: {enabled: false}"));
}

#[test]
fn a_pod_that_ends_serves_until_the_nodes_know_and_still_has_time_to_send_what_it_holds() {
    let children = planned("");
    let pod = &body(&children, ChildKind::Deployment)["spec"]["template"]["spec"];
    let drain = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    assert_eq!(drain, 5);
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
}

#[test]
fn the_pod_reads_the_configuration_that_is_planned() {
    let children = planned("");
    let pod = &body(&children, ChildKind::Deployment)["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let volume = json!([{"name": "config", "configMap": {"name": "trakt-collector"}}]);
    let mount = json!([{"name": "config", "mountPath": "/etc/otelcol", "readOnly": true}]);
    assert_eq!(pod["volumes"], volume);
    assert_eq!(container["volumeMounts"], mount);
    assert_eq!(container["args"], json!(["--config=/etc/otelcol/collector.yaml"]));
    assert!(body(&children, ChildKind::ConfigMap)["data"]["collector.yaml"].is_string());
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], 13133, "{probe}");
    }
}

#[test]
fn the_memory_limiter_acts_before_the_go_runtime_does() {
    for limit in ["32Mi", "100M", "512Mi", "3Gi"] {
        let children = planned(&format!("collector: {{resources: {{limits: {{memory: {limit}}}}}}}"));
        let pod = &body(&children, ChildKind::Deployment)["spec"]["template"]["spec"];
        let go = &pod["containers"][0]["env"][0];
        assert_eq!(go["name"], "GOMEMLIMIT");
        let go: u64 = go["value"].as_str().unwrap().strip_suffix("MiB").unwrap().parse().unwrap();
        let text = body(&children, ChildKind::ConfigMap)["data"]["collector.yaml"].as_str().unwrap();
        let configuration: Value = serde_yaml::from_str(text).unwrap();
        let limiter = &configuration["processors"]["memory_limiter"];
        let [hard, spike] = ["limit_mib", "spike_limit_mib"].map(|bound| limiter[bound].as_u64().unwrap());
        assert!(0 < spike && spike < hard && hard < go, "{limit}: {spike} {hard} {go}");
    }
}

#[test]
fn the_policy_allows_the_arrows_of_the_picture() {
    let policy = |spec| body(&planned(spec), ChildKind::NetworkPolicy)["spec"].clone();
    let labels = |name: &str, component: &str| {
        json!({"matchLabels": {
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/instance": "trakt",
            "app.kubernetes.io/component": component,
        }})
    };
    let tcp = |port: u16| json!({"protocol": "TCP", "port": port});
    let udp = |port: u16| json!({"protocol": "UDP", "port": port});
    let dns = json!({"ports": [udp(53), tcp(53), udp(5353), tcp(5353)]});
    let application = json!({"podSelector": {
        "matchLabels": {"app": "trakt"},
        "matchExpressions": [{"key": "app.kubernetes.io/managed-by", "operator": "NotIn", "values": ["telemetry-operator"]}],
    }});

    let managed = policy("metrics: {prometheus: Managed}");
    assert_eq!(
        managed["ingress"],
        json!([
            {"from": [application], "ports": [tcp(4317), tcp(4318)]},
            {"from": [{"podSelector": labels("prometheus", "prometheus")}], "ports": [tcp(8889), tcp(8888)]},
        ])
    );
    assert_eq!(
        managed["egress"],
        json!([{"to": [{"podSelector": labels("jaeger", "jaeger")}], "ports": [tcp(4317)]}, dns])
    );

    let own = policy(
        "traces: {endpoint: 'https://otlp.eu.example.com:4317'}\nlogs: {endpoint: 'http://loki.eu.example.com/otlp'}",
    );
    let foreign = json!([{
        "namespaceSelector": {},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    }]);
    assert_eq!(own["ingress"][1], json!({"from": foreign, "ports": [tcp(8889), tcp(8888)]}));
    assert_eq!(own["egress"], json!([{"ports": [tcp(4317)]}, {"ports": [tcp(80)]}, dns]));

    let sends_nothing = policy("traces: {enabled: false}");
    assert_eq!(sends_nothing.get("egress"), None);
}

#[test]
fn an_image_without_a_component_is_refused() {
    let spec = "
selector: {matchLabels: {app: trakt}}
service: {name: trakt}
collector: {image: 'mirror.example/otel/opentelemetry-collector-k8s:0.155.0'}
";
    let error = plan(&fixture(spec)).unwrap_err();
    assert_eq!(error.reason(), "ComponentMissing");
    assert!(error.to_string().contains("exporter prometheus"), "{error}");
    plan(&fixture(&format!("{spec}metrics: {{enabled: false}}")))
        .expect("traces alone need no Prometheus exporter");
}

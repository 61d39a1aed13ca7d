use serde_json::json;

use super::*;
use crate::validate::fixture;

const PROFILE: &str = "
selector: {matchLabels: {app: trakt}}
service: {name: trakt}
";

#[test]
fn arrows_become_rules_and_only_senders_resolve_names() {
    let profile = fixture(PROFILE);
    let ingress = [
        Arrow::new(&profile, Peer::Application, &[4317, 4318]),
        Arrow::new(&profile, Peer::Component(Component::Collector), &[4317]),
        Arrow::new(&profile, Peer::Software("grafana"), &[16686]),
    ];
    let child = policy(&profile, Component::Jaeger, &ingress, &[]).unwrap();
    assert_eq!(child.reference(), "NetworkPolicy/trakt-jaeger");
    let collector = json!({
        "app.kubernetes.io/name": "opentelemetry-collector",
        "app.kubernetes.io/instance": "trakt",
        "app.kubernetes.io/component": "collector",
    });
    let tcp = |port: u16| json!({"protocol": "TCP", "port": port});
    let udp = |port: u16| json!({"protocol": "UDP", "port": port});
    let not_ours =
        json!({"key": "app.kubernetes.io/managed-by", "operator": "NotIn", "values": ["telemetry-operator"]});
    assert_eq!(
        child.body["spec"]["ingress"],
        json!([
            {"from": [{"podSelector": {"matchLabels": {"app": "trakt"}, "matchExpressions": [not_ours]}}], "ports": [tcp(4317), tcp(4318)]},
            {"from": [{"podSelector": {"matchLabels": collector}}], "ports": [tcp(4317)]},
            {
                "from": [{
                    "namespaceSelector": {},
                    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "grafana"}},
                }],
                "ports": [tcp(16686)],
            },
        ])
    );
    assert_eq!(child.body["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(child.body["spec"].get("egress"), None, "nothing is sent, so no name is resolved");

    let egress = [Arrow::new(&profile, Peer::Anywhere, &[6443])];
    let child = policy(&profile, Component::Jaeger, &[], &egress).unwrap();
    assert_eq!(child.body["spec"].get("ingress"), None);
    assert_eq!(
        child.body["spec"]["egress"],
        json!([{"ports": [tcp(6443)]}, {"ports": [udp(53), tcp(53), udp(5353), tcp(5353)]}])
    );
}

#[test]
fn a_service_may_stand_before_another_port_of_its_pods() {
    let profile = fixture(PROFILE);
    for (url, port, namespace) in [
        ("http://tempo:4317", 4317, Some("media")),
        ("http://loki-gateway.monitoring/otlp", 80, Some("monitoring")),
        ("https://loki.monitoring.svc:3100", 3100, Some("monitoring")),
        ("https://loki.monitoring.svc.cluster.local", 443, Some("monitoring")),
        ("https://otlp.eu.example.com", 443, None),
        ("http://10.0.0.7:9090", 9090, None),
        ("http://[fd00::1]:9090", 9090, None),
    ] {
        let child = policy(&profile, Component::Collector, &[], &Arrow::to_url(&profile, url)).unwrap();
        let rules = child.body["spec"]["egress"].as_array().unwrap();
        assert_eq!(rules[0], json!({"ports": [{"protocol": "TCP", "port": port}]}), "{url}");
        let of_namespace = namespace.map(|name| {
            json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]})
        });
        assert_eq!(rules[1..rules.len() - 1].first(), of_namespace.as_ref(), "{url}");
    }
}

use serde_json::{Value, json};

use super::*;
use crate::validate::fixture;

fn profile(metrics: &str, rest: &str) -> ValidatedProfile {
    fixture(&format!(
        "{{selector: {{matchLabels: {{app: trakt}}}}, service: {{name: trakt}}, metrics: {metrics}, {rest}}}"
    ))
}

fn body(children: &[Child], kind: ChildKind) -> &Value {
    &children.iter().find(|child| child.kind == kind).expect("a child of this kind").body
}

fn managed() -> ValidatedProfile {
    profile("{prometheus: Managed, port: 9102}", "")
}

const SLO: &str =
    "slos: [{name: sync, objective: '99.5', ratio: {bad: sync_errors_total, total: sync_runs_total}}]";

#[test]
fn nothing_unless_managed() {
    for metrics in ["{enabled: false}", "{prometheus: ConfigMap}", "{prometheus: Operator}", "{}"] {
        assert_eq!(plan(&profile(metrics, "")).expect("a plan"), vec![], "{metrics}");
    }
}

#[test]
fn the_same_profile_gives_the_same_bytes() {
    assert_eq!(plan(&managed()).expect("a plan"), plan(&managed()).expect("a plan"));
}

#[test]
fn its_children() {
    let children = plan(&managed()).expect("a plan");
    let names = ["ServiceAccount", "RoleBinding", "ConfigMap", "Service", "NetworkPolicy", "Deployment"];
    assert_eq!(
        children.iter().map(Child::reference).collect::<Vec<_>>(),
        names.map(|kind| format!("{kind}/trakt-prometheus"))
    );
    assert_eq!(body(&children, ChildKind::Service)["spec"]["type"], "ClusterIP");
    let binding = body(&children, ChildKind::RoleBinding);
    assert_eq!(
        binding["roleRef"],
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "telemetry-operator-prometheus"})
    );
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "ServiceAccount", "name": "trakt-prometheus", "namespace": "media"}])
    );
}

#[test]
fn the_configuration_names_a_rule_file_only_when_there_is_one() {
    for (rest, files) in [("", vec!["prometheus.yml"]), (SLO, vec!["prometheus.yml", "rules.yaml"])] {
        let children = plan(&profile("{prometheus: Managed}", rest)).expect("a plan");
        let data = body(&children, ChildKind::ConfigMap)["data"].as_object().expect("files");
        assert_eq!(data.keys().collect::<Vec<_>>(), files);
        let config: Value = serde_yaml::from_str(data["prometheus.yml"].as_str().unwrap()).expect("YAML");
        assert_eq!(config["global"], json!({"evaluation_interval": "30s"}));
        assert_eq!(config.get("rule_files"), (files.len() == 2).then(|| json!(["rules.yaml"])).as_ref());
        let jobs: Vec<_> =
            config["scrape_configs"].as_array().unwrap().iter().map(|job| &job["job_name"]).collect();
        assert_eq!(jobs, ["media/trakt-metrics", "media/trakt-collector", "media/trakt-collector-own"]);
        for job in config["scrape_configs"].as_array().unwrap() {
            assert_eq!(job["always_scrape_classic_histograms"], true, "native histograms stand beside them");
        }
    }
}

/// A pod template that follows the configuration would lose every sample at each edit.
#[test]
fn an_edit_of_targets_or_rules_leaves_the_pod_alone() {
    let deployment =
        |metrics, rest| body(&plan(&profile(metrics, rest)).expect("a plan"), ChildKind::Deployment).clone();
    let plain = deployment("{prometheus: Managed}", "");
    assert_eq!(plain, deployment("{prometheus: Managed, port: 9102, interval: 15s}", ""));
    assert_eq!(plain, deployment("{prometheus: Managed}", SLO));
}

#[test]
fn alerts_go_to_every_alertmanager() {
    let mut profile = managed();
    profile.alertmanager_urls =
        vec!["http://alertmanager.monitoring:9093".to_owned(), "https://alerts.example.com/am".to_owned()];
    let children = plan(&profile).expect("a plan");
    let text = body(&children, ChildKind::ConfigMap)["data"]["prometheus.yml"].as_str().expect("a file");
    let config: Value = serde_yaml::from_str(text).expect("YAML");
    assert_eq!(
        config["alerting"]["alertmanagers"],
        json!([
            {"scheme": "http", "static_configs": [{"targets": ["alertmanager.monitoring:9093"]}]},
            {"scheme": "https", "path_prefix": "/am", "static_configs": [{"targets": ["alerts.example.com"]}]},
        ])
    );
    let egress = &body(&children, ChildKind::NetworkPolicy)["spec"]["egress"];
    assert_eq!(egress[3], json!({"ports": [{"port": 9093, "protocol": "TCP"}]}));
    let monitoring = json!({"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}});
    assert_eq!(egress[4], json!({"to": [{"namespaceSelector": monitoring}]}));
    assert_eq!(egress[5], json!({"ports": [{"port": 443, "protocol": "TCP"}]}));
}

#[test]
fn the_pod() {
    let children = plan(&managed()).expect("a plan");
    let spec = &body(&children, ChildKind::Deployment)["spec"];
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], 65534);
    assert_eq!(pod["automountServiceAccountToken"], true);
    assert_eq!(pod["volumes"][1], json!({"name": "data", "emptyDir": {"sizeLimit": "4Gi"}}));
    assert_eq!(
        pod["containers"][0]["args"],
        json!([
            "--config.file=/etc/prometheus/prometheus.yml",
            "--enable-feature=auto-reload-config,exemplar-storage,native-histograms",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=91d",
            "--storage.tsdb.retention.size=2GB",
            "--log.format=json",
        ])
    );
    assert_eq!(pod["containers"][0]["livenessProbe"]["httpGet"]["path"], "/-/healthy");
    assert_eq!(pod["containers"][0]["readinessProbe"]["httpGet"]["path"], "/-/ready");
}

#[test]
fn only_the_arrows_of_the_picture() {
    let profile = managed();
    let children = plan(&profile).expect("a plan");
    let policy = &body(&children, ChildKind::NetworkPolicy)["spec"];
    let ingress: Vec<_> =
        policy["ingress"].as_array().unwrap().iter().map(|rule| &rule["from"][0]["podSelector"]).collect();
    let name = |name: &str| json!({"matchLabels": {"app.kubernetes.io/name": name}});
    let component = |component| json!({"matchLabels": meta::pod_labels(&profile, component)});
    assert_eq!(
        json!(ingress),
        json!([name("grafana"), component(Component::Jaeger), name("telemetry-operator")])
    );
    for rule in policy["ingress"].as_array().unwrap() {
        assert_eq!(rule["ports"], json!([{"port": 9090, "protocol": "TCP"}]));
    }
    let egress: Vec<_> = policy["egress"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let ports: Vec<_> = rule["ports"].as_array().unwrap().iter().map(|port| &port["port"]).collect();
            json!([rule["to"][0]["podSelector"], ports])
        })
        .collect();
    assert_eq!(
        json!(egress),
        json!([
            [{"matchLabels": {"app": "trakt"}, "matchExpressions": [{"key": "app.kubernetes.io/managed-by", "operator": "NotIn", "values": ["telemetry-operator"]}]}, [9102]],
            [component(Component::Collector), [8889, 8888]],
            [null, [443, 6443]],
            [null, [53, 53, 5353, 5353]],
        ])
    );
}

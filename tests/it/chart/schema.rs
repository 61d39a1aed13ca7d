//! The schema of the values: it knows each of them, and refuses what is none.

use serde_json::Value;

use super::{chart, helm};
use crate::common::repository_file;

/// Wrong values, and what Helm says of them.
const REFUSED: [(&str, &str); 28] = [
    ("replicas=2", "additional properties 'replicas' not allowed"),
    ("replicaCount=two", "at '/replicaCount': got string, want integer"),
    ("replicaCount=-1", "at '/replicaCount': minimum: got -1, want 0"),
    ("image.tga=1.0.0", "at '/image': additional properties 'tga' not allowed"),
    ("image.repository=a b", "at '/image/repository': 'a b' does not match pattern"),
    ("image.tag=1", "at '/image/tag': got number, want string"),
    ("image.digest=sha256:12", "at '/image/digest': 'sha256:12' does not match pattern"),
    (
        "image.pullPolicy=Sometimes",
        "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
    ),
    ("imagePullSecrets={mirror}", "at '/imagePullSecrets/0': got string, want object"),
    ("fullnameOverride=Observe", "at '/fullnameOverride': 'Observe' does not match pattern"),
    ("namespaceOverride=a.b", "at '/namespaceOverride': 'a.b' does not match pattern"),
    ("crds.install=true", "at '/crds': additional properties 'install' not allowed"),
    ("crds.keep=maybe", "at '/crds/keep': got string, want boolean"),
    ("injection.mode=auto", "at '/injection/mode': value must be one of 'Auto', 'Policy', 'Webhook', 'None'"),
    ("watchNamespaces=media", "at '/watchNamespaces': got string, want array"),
    ("watchNamespaces={media,media}", "at '/watchNamespaces': items at 0 and 1 are equal"),
    ("watchNamespaces={Media}", "at '/watchNamespaces/0': 'Media' does not match pattern"),
    ("operands.loki.image.tag=v3", "at '/operands': additional properties 'loki' not allowed"),
    ("operands.collector.image.tag=", "at '/operands/collector/image/tag': '' does not match pattern"),
    ("prometheus.url=prometheus:9090", "at '/prometheus/url': 'prometheus:9090' does not match pattern"),
    (
        "alertmanagerURLs={alertmanager:9093}",
        "at '/alertmanagerURLs/0': 'alertmanager:9093' does not match pattern",
    ),
    ("grafanaURL=grafana", "at '/grafanaURL': 'grafana' does not match pattern"),
    ("leaderElection.leaseDuration=1", "at '/leaderElection/leaseDuration': minimum: got 1, want 5"),
    ("log.format=logfmt", "at '/log/format': value must be one of 'json', 'text'"),
    ("resources.limit.memory=1Gi", "at '/resources': additional properties 'limit' not allowed"),
    ("podDisruptionBudget.maxUnavailable=half", "at '/podDisruptionBudget/maxUnavailable'"),
    ("serviceMonitor.interval=often", "at '/serviceMonitor/interval': 'often' does not match pattern"),
    ("extraArgs={1}", "at '/extraArgs/0': got number, want string"),
];

/// Helm's own word, and the usual one for a chart that another depends on. Neither has a default here.
const OF_HELM: [&str; 2] = ["enabled", "global"];

#[test]
fn wrong_values_are_refused_with_the_place_and_the_reason() {
    for (value, message) in REFUSED {
        let mut template = helm(&["template", "telemetry-operator", "--set", value]);
        let answer = template.arg(chart()).output().expect("helm runs");
        let error = String::from_utf8_lossy(&answer.stderr);
        assert!(!answer.status.success(), "{value} is accepted");
        assert!(error.contains(message), "{value}: {error}");
    }
}

#[test]
fn a_release_after_which_nothing_can_be_called_is_refused() {
    for release in ["1st", "my.release"] {
        let answer = helm(&["template", release]).arg(chart()).output().expect("helm runs");
        let error = String::from_utf8_lossy(&answer.stderr);
        assert!(!answer.status.success() && error.contains("set fullnameOverride"), "{release}: {error}");
    }
}

#[test]
fn the_schema_and_the_values_have_the_same_names() {
    let schema: Value =
        serde_json::from_str(&repository_file("charts/telemetry-operator/values.schema.json"))
            .expect("the schema");
    let values: Value =
        serde_yaml::from_str(&repository_file("charts/telemetry-operator/values.yaml")).expect("the values");
    let mut places = 0;
    compare(&schema, &values, "", &mut places);
    assert!(places > 80, "only {places} values were compared");
}

fn compare(schema: &Value, values: &Value, path: &str, places: &mut u32) {
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{path}: the schema accepts any name");
    let values = values.as_object().unwrap_or_else(|| panic!("{path} is no map"));
    for name in values.keys() {
        assert!(properties.contains_key(name), "{path}/{name} is not in the schema");
    }
    for (name, schema) in properties {
        *places += 1;
        let path = format!("{path}/{name}");
        let nested = schema["properties"].is_object();
        assert!(nested || schema["description"].is_string(), "{path} is not described");
        match values.get(name) {
            Some(value) => compare(schema, value, &path, places),
            // `resources` may hold more than the default does.
            None => assert!(
                path.starts_with("/resources/") || OF_HELM.contains(&name.as_str()),
                "{path} has no default"
            ),
        }
    }
}

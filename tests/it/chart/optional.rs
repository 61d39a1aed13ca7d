//! What can be switched on and off: on it is there, off it is not.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{WITH_POLICY, chart, find, reference, render, sets, template};
use crate::common::repository_file;

/// A value, and the objects that are there with it and not without. The sets `defaults` with and without it.
const SWITCHES: [(&str, &[&str]); 8] = [
    ("podDisruptionBudget.enabled=true", &["PodDisruptionBudget/telemetry-operator"]),
    ("networkPolicy.enabled=true", &["NetworkPolicy/telemetry-operator"]),
    ("serviceMonitor.enabled=true", &["ServiceMonitor/telemetry-operator"]),
    ("prometheusRule.enabled=true", &["PrometheusRule/telemetry-operator"]),
    ("grafanaDashboard.enabled=true", &["ConfigMap/telemetry-operator-dashboard"]),
    (
        "injection.mode=Policy",
        &[
            "MutatingAdmissionPolicy/telemetry-operator-sidecar",
            "MutatingAdmissionPolicyBinding/telemetry-operator-sidecar",
        ],
    ),
    (
        "injection.mode=Webhook",
        &[
            "MutatingWebhookConfiguration/telemetry-operator-webhook",
            "Secret/telemetry-operator-webhook",
            "Service/telemetry-operator-webhook",
        ],
    ),
    ("extraObjects[0].kind=ConfigMap,extraObjects[0].metadata.name=more", &["ConfigMap/more"]),
];

/// A value that takes these objects away.
const OFF: [(&str, &[&str]); 4] = [
    ("crds.enabled=false", &["CustomResourceDefinition/telemetryprofiles.telemetry-operator.dev"]),
    ("serviceAccount.create=false", &["ServiceAccount/telemetry-operator"]),
    (
        "rbac.aggregateClusterRoles=false",
        &["ClusterRole/telemetry-operator-view", "ClusterRole/telemetry-operator-edit"],
    ),
    (
        "rbac.create=false",
        &[
            "ClusterRole/telemetry-operator",
            "ClusterRole/telemetry-operator-edit",
            "ClusterRole/telemetry-operator-prometheus",
            "ClusterRole/telemetry-operator-view",
            "ClusterRoleBinding/telemetry-operator",
            "Role/telemetry-operator",
            "RoleBinding/telemetry-operator",
        ],
    ),
];

fn references(values: &[&str]) -> BTreeSet<String> {
    let values: Vec<_> = values.iter().flat_map(|value| ["--set", *value]).collect();
    render("defaults", &values).iter().map(reference).collect()
}

#[test]
fn each_switch_adds_its_objects_and_no_other() {
    let without = references(&["injection.mode=None"]);
    for (value, objects) in SWITCHES {
        let added: BTreeSet<_> =
            references(&["injection.mode=None", value]).difference(&without).cloned().collect();
        assert_eq!(added, objects.iter().map(|object| (*object).to_owned()).collect(), "{value}");
    }
}

#[test]
fn each_switch_takes_away_its_objects_and_no_other() {
    let with = references(&[]);
    for (value, objects) in OFF {
        let gone: BTreeSet<_> = with.difference(&references(&[value])).cloned().collect();
        assert_eq!(gone, objects.iter().map(|object| (*object).to_owned()).collect(), "{value}");
    }
}

#[test]
fn every_template_renders_something_in_some_set() {
    let mut text: String = sets().iter().map(|set| template(set, &[])).collect();
    text += &template(&super::set("defaults"), &WITH_POLICY);
    for entry in std::fs::read_dir(chart().join("templates")).expect("templates") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if name.ends_with(".yaml") {
            assert!(text.contains(&format!("# Source: telemetry-operator/templates/{name}\n")), "{name}");
        }
    }
}

#[test]
fn the_server_decides_what_auto_means_and_the_operator_is_told() {
    for (arguments, way) in [(&WITH_POLICY[..], "policy"), (&[], "webhook")] {
        let objects = render("defaults", arguments);
        let container =
            &find(&objects, "Deployment/telemetry-operator")["spec"]["template"]["spec"]["containers"][0];
        let variables = container["env"].as_array().expect("variables");
        assert!(variables.contains(&json!({"name": "INJECTION", "value": way})), "{variables:?}");
        let policies = objects.iter().filter(|object| object["kind"] == "MutatingAdmissionPolicy").count();
        assert_eq!(policies == 1, way == "policy");
    }
}

/// Every value of values.yaml changes something: none is there for nothing.
#[test]
fn every_value_is_used() {
    let templates = ["templates", "templates/tests"].map(|folder| {
        let files = std::fs::read_dir(chart().join(folder)).expect("templates");
        let files = files.map(|file| file.expect("an entry").path()).filter(|path| path.is_file());
        files.map(|path| std::fs::read_to_string(path).expect("text")).collect::<String>()
    });
    let templates = templates.concat();
    let values: Value =
        serde_yaml::from_str(&repository_file("charts/telemetry-operator/values.yaml")).expect("the values");
    let schema: Value =
        serde_json::from_str(&repository_file("charts/telemetry-operator/values.schema.json"))
            .expect("the schema");
    for (name, value) in values.as_object().expect("a map") {
        // Of an image the parts are used together, and some maps go into the object as they are.
        let whole = templates.contains(&format!(".Values.{name} "))
            || templates.contains(&format!(".Values.{name})"));
        let used = |part: &String| {
            ["", "image."].iter().any(|_| templates.contains(&format!(".Values.{name}.{part}"))) || whole
        };
        let parts = value.as_object().filter(|_| schema["properties"][name]["properties"].is_object());
        match parts {
            Some(parts) => assert!(
                parts.keys().all(used),
                "{name}: {:?}",
                parts.keys().filter(|part| !used(part)).collect::<Vec<_>>()
            ),
            None => assert!(templates.contains(&format!(".Values.{name}")), "{name} is used nowhere"),
        }
    }
}

//! What the chart says twice is the same: its version, its images, the CustomResourceDefinition, the example in its annotations.

use std::process::Command;

use serde_json::{Value, json};
use telemetry_operator::settings::Settings;
use testbed::{Directory, Part};

use super::{WITH_POLICY, chart, find, render, set, template, text};
use crate::common::*;

const CRD: &str = "CustomResourceDefinition/telemetryprofiles.telemetry-operator.dev";

#[test]
fn the_chart_has_the_version_of_the_operator() {
    let chart: Value =
        serde_yaml::from_str(&repository_file("charts/telemetry-operator/Chart.yaml")).expect("Chart.yaml");
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let example: Value = serde_yaml::from_str(text(&chart["annotations"]["artifacthub.io/crdsExamples"]))
        .expect("the examples");
    let minimal: Value =
        serde_yaml::from_str(&repository_file("examples/minimal.yaml")).expect("the example");
    assert_eq!(example, json!([minimal]));
}

#[test]
fn the_operator_is_told_its_own_defaults() {
    let objects = render("defaults", &[]);
    let container =
        &find(&objects, "Deployment/telemetry-operator")["spec"]["template"]["spec"]["containers"][0];
    let variable = |name: &str| {
        let variables = container["env"].as_array().expect("variables");
        let found = variables.iter().find(|variable| variable["name"] == name);
        text(&found.unwrap_or_else(|| panic!("{name} is not set"))["value"]).to_owned()
    };
    let settings = Settings::default();
    assert_eq!(variable("COLLECTOR_IMAGE"), settings.collector_image);
    assert_eq!(variable("JAEGER_IMAGE"), settings.jaeger_image);
    assert_eq!(variable("PROMETHEUS_IMAGE"), settings.prometheus_image);
    assert_eq!(variable("INSTALLATION"), settings.installation.name());
    assert_eq!(container["image"], format!("telemetry-operator:{}", env!("CARGO_PKG_VERSION")));
}

/// Every variable that the chart sets is one that `run` reads.
#[test]
fn the_operator_reads_every_variable() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    run.args(["run", "--help"]);
    let help = output(run);
    let objects = render("everything-on", &[]);
    let container =
        &find(&objects, "Deployment/telemetry-operator")["spec"]["template"]["spec"]["containers"][0];
    let elsewhere = ["POD_NAME", "POD_NAMESPACE"];
    for variable in container["env"].as_array().expect("variables") {
        let name = text(&variable["name"]);
        let known = name.starts_with("OTEL_")
            || elsewhere.contains(&name)
            || help.contains(&format!("[env: {name}="));
        assert!(known, "nobody reads {name}: {help}");
    }
}

#[test]
fn the_schema_and_the_operator_accept_the_same_leases() {
    let schema: Value =
        serde_json::from_str(&repository_file("charts/telemetry-operator/values.schema.json"))
            .expect("the schema");
    let duration = &schema["properties"]["leaderElection"]["properties"]["leaseDuration"];
    let mut run = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    let answer = run.args(["run", "--lease-duration=1"]).output().expect("the program runs");
    let error = String::from_utf8_lossy(&answer.stderr);
    let range = format!("1 is not in {}..={}", duration["minimum"], duration["maximum"]);
    assert!(error.contains(&range), "{range}: {error}");
}

#[test]
fn the_policy_is_the_one_that_the_command_prints() {
    let objects = render("other-names", &WITH_POLICY);
    let mut policy = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    policy.args([
        "policy",
        "--installation=observe",
        "--collector-image=registry.example.com/mirror/collector:1.5",
    ]);
    for printed in super::objects(&output(policy)) {
        let mut rendered = find(&objects, &super::reference(&printed)).clone();
        rendered["metadata"].as_object_mut().expect("a map").remove("labels");
        assert_eq!(rendered, printed);
    }
}

#[test]
fn a_namespaced_policy_is_bound_to_the_watched_namespaces() {
    let objects = render("namespaced", &WITH_POLICY);
    let binding = find(&objects, "MutatingAdmissionPolicyBinding/telemetry-operator-sidecar");
    let selector = json!({"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["media", "shop"]}]});
    assert_eq!(binding["spec"]["matchResources"]["namespaceSelector"], selector);
}

#[test]
fn the_crd_is_the_file_byte_by_byte() {
    let file = repository_file("crds/telemetryprofile.yaml");
    let bare = template(&set("no-injection"), &["--show-only", "templates/crd.yaml"]);
    assert!(bare.contains(&file), "the file is changed where nothing is added");
    let objects = render("everything-on", &[]);
    let mut crd = find(&objects, CRD).clone();
    let metadata = crd["metadata"].as_object_mut().expect("a map");
    let annotations = metadata.remove("annotations").expect("annotations");
    assert_eq!(annotations, json!({"helm.sh/resource-policy": "keep", "example.com/owner": "platform"}));
    assert_eq!(metadata.remove("labels"), Some(json!({"team": "platform"})));
    assert_eq!(crd, serde_yaml::from_str::<Value>(&file).expect("the CRD"));
    let kept = template(&set("defaults"), &["--show-only", "templates/crd.yaml"]);
    let added = "  annotations:\n    helm.sh/resource-policy: keep\n";
    assert!(
        kept.contains(added) && kept.replace(added, "").contains(&file),
        "more than one annotation is added"
    );
}

/// The README is what helm-docs makes of the comments in values.yaml.
pub fn readme() -> String {
    let copy = Directory::create("helm-docs").expect("a directory");
    for file in ["Chart.yaml", "values.yaml", "README.md.gotmpl"] {
        std::fs::copy(chart().join(file), copy.path().join(file)).expect("a copy");
    }
    let mut command = Command::new(testbed::path(Part::HelmDocs).expect("helm-docs"));
    command.args(["--sort-values-order=file", "--log-level=warning"]);
    command.arg("--chart-search-root").arg(copy.path());
    output(command);
    let readme = std::fs::read_to_string(copy.path().join("README.md")).expect("the README");
    let bare: Vec<_> =
        readme.lines().filter(|line| line.starts_with('|') && line.ends_with("|  |")).collect();
    assert!(bare.is_empty(), "values without a comment: {bare:?}");
    readme
}

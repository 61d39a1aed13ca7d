//! Files that are made from the code are the ones that the code makes.

use serde_json::Value;
use telemetry_operator::plan::dashboard;
use telemetry_operator::settings::Settings;
use telemetry_operator::{profile, rbac, yaml};

use crate::common::assert_current;

/// Stands in the chart's files where the installation's name comes.
const NAME: &str = "installation-name";
/// Stands in the chart's files where the collector's image comes.
const IMAGE: &str = "collector-image";

#[test]
fn the_crd_file_is_current() {
    let crd = yaml::to_string(&profile::crd().expect("the CRD")).expect("YAML");
    assert_current("crds/telemetryprofile.yaml", &crd);
    assert_current("charts/telemetry-operator/files/telemetryprofile.yaml", &crd);
}

#[test]
fn the_charts_rules_are_current() {
    let rules = rbac::rules(&NAME.parse().expect("a name"));
    assert_current("charts/telemetry-operator/files/rules.yaml", &yaml::to_string(&rules).expect("YAML"));
}

#[test]
fn the_page_of_rights_is_current() {
    assert_current("docs/rights.md", &rbac::markdown(&rbac::rules(&"name".parse().expect("a name"))));
}

#[test]
fn the_charts_policy_is_current() {
    let settings = Settings {
        installation: NAME.parse().expect("a name"),
        collector_image: IMAGE.to_owned(),
        ..Settings::default()
    };
    let [policy, binding] = telemetry_operator::inject::policy::documents(&settings);
    let text = |document: &Value| yaml::to_string(document).expect("YAML");
    assert_current("charts/telemetry-operator/files/policy.yaml", &text(&policy));
    assert_current("charts/telemetry-operator/files/policy-binding.yaml", &text(&binding));
}

#[test]
fn the_charts_dashboards_are_current() {
    for (name, board) in dashboard::of_the_chart().expect("dashboards") {
        let text = format!("{}\n", serde_json::to_string_pretty(&board).expect("JSON"));
        assert_current(&format!("charts/telemetry-operator/files/dashboards/{name}.json"), &text);
    }
}

#[test]
fn the_charts_readme_is_current() {
    assert_current("charts/telemetry-operator/README.md", &crate::chart::readme());
}

//! Documents agree with the code: every reason, condition, metric and label has its line, every alert its runbook.

use std::collections::BTreeSet;

use telemetry::{TelemetryConfig, TelemetryManager};
use telemetry_operator::apply::{Applied, AppliedChild, Verb};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::metrics::{Metrics, ProfileCondition, ReconcileResult};
use telemetry_operator::profile::OWN_LABELS;
use telemetry_operator::rollout::Tried;
use telemetry_operator::status::conditions::{ConditionType, Reason};

use crate::alertmanager::alert_rules;
use crate::common::repository_file;

/// The words in backticks at the start of table rows.
fn rows(document: &str) -> Vec<String> {
    let first = document.lines().filter_map(|line| line.strip_prefix("| `"));
    first.filter_map(|rest| rest.split_once('`')).map(|(word, _)| word.to_owned()).collect()
}

#[test]
fn every_condition_and_reason_has_a_line_and_no_line_is_stale() {
    let mut documented = rows(&repository_file("docs/conditions.md"));
    let mut known: Vec<_> = ConditionType::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    known.extend(Reason::ALL.iter().map(|reason| reason.as_str()));
    documented.sort();
    known.sort();
    assert_eq!(documented, known);
}

#[test]
fn every_metric_has_a_line_and_no_line_is_stale() {
    let config = TelemetryConfig {
        service_name: "documents".to_owned(),
        prometheus_enabled: false,
        ..TelemetryConfig::default()
    };
    let telemetry = TelemetryManager::new(config).expect("telemetry");
    let metrics = Metrics::new(telemetry.registry()).expect("instruments");
    // A vector without a series does not show: touch each of them.
    metrics.reconciled(ReconcileResult::Ok, 0.1);
    metrics.failed("ListFailed");
    metrics.watch_failed("Service");
    metrics.asked_prometheus(true);
    metrics.restarted(Tried::Restarted);
    metrics.webhook_request("injected");
    let child = AppliedChild {
        kind: ChildKind::Service,
        name: "trakt-collector".to_owned(),
        verb: Verb::Repaired,
        live: serde_json::Value::Null,
    };
    metrics.applied(&Applied { children: vec![child], ..Applied::default() });
    metrics.asked_api("GET", "200", 0.1);
    metrics.set_leader(true);
    let ready = ProfileCondition {
        namespace: "media".to_owned(),
        profile: "trakt".to_owned(),
        condition: "Ready".to_owned(),
        status: "true",
        reason: "Ready".to_owned(),
    };
    let text = metrics.render(&[ready], &[("injected", 1)]).expect("text");
    let mut emitted: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    let mut documented: Vec<_> = rows(&repository_file("docs/operator-telemetry.md"))
        .into_iter()
        .filter(|word| {
            word.starts_with("telemetry_") || word.starts_with("process_") || word == "target_info"
        })
        .collect();
    emitted.sort();
    documented.sort();
    assert_eq!(documented, emitted);
}

#[test]
fn every_alert_has_its_runbook_and_no_runbook_is_stale() {
    let linked: BTreeSet<_> = alert_rules()
        .iter()
        .map(|rule| {
            let url = rule["annotations"]["runbook_url"].as_str().expect("a URL");
            let base = "https://github.com/telemetry-operator/telemetry-operator/blob/main/docs/runbooks/";
            url.strip_prefix(base).unwrap_or_else(|| panic!("{url} is elsewhere")).to_owned()
        })
        .collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let written: BTreeSet<_> = std::fs::read_dir(folder)
        .expect("the runbooks")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    assert_eq!(written, linked);
    let list = repository_file("docs/alerting.md");
    for name in written {
        assert!(list.contains(&format!("(runbooks/{name})")), "docs/alerting.md does not list {name}");
    }
}

#[test]
fn every_label_and_annotation_of_alerts_is_documented() {
    let document = repository_file("docs/alerting.md");
    let rules = alert_rules();
    let names = |group: &str| -> BTreeSet<String> {
        let maps = rules.iter().map(|rule| rule[group].as_object().expect("a map"));
        maps.flat_map(|map| map.keys().cloned()).collect()
    };
    let labels: BTreeSet<_> = names("labels").into_iter().chain(["alertname".to_owned()]).collect();
    assert_eq!(labels, OWN_LABELS.map(str::to_owned).into(), "labels that a profile may not set");
    for name in labels.iter().chain(&names("annotations")) {
        assert!(document.contains(&format!("`{name}`")), "{name} is not documented");
    }
}

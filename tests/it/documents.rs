//! Documents agree with the code: every reason, condition and metric has its line.

use telemetry::{TelemetryConfig, TelemetryManager};
use telemetry_operator::apply::{Applied, AppliedChild, Verb};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::metrics::{Metrics, ReconcileResult};
use telemetry_operator::rollout::Tried;
use telemetry_operator::status::conditions::{ConditionType, Reason};

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
    let text = metrics.render(&[("Ready".to_owned(), "true")], &[("injected", 1)]).expect("text");
    let mut emitted: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    let mut documented: Vec<_> = rows(&repository_file("docs/operator-telemetry.md"))
        .into_iter()
        .filter(|word| word.starts_with("telemetry_") || word == "target_info")
        .collect();
    emitted.sort();
    documented.sort();
    assert_eq!(documented, emitted);
}

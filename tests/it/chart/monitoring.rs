//! The alerts and the dashboard of the operator itself: each name of a metric is real, Prometheus reads each query, each alert
//! fires when it should and not before.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testbed::{Directory, Part};

use super::{find, render, text};
use crate::common::repository_file;

/// Labels of the operator's targets.
const LABELS: &str = r#"job="telemetry-operator",namespace="telemetry-system""#;

/// Series of an operator that works: name, labels, values of three hours.
const WELL: [(&str, &str, &str); 6] = [
    ("up", "pod=\"a\"", "1x180"),
    ("telemetry_operator_leader", "pod=\"a\"", "1x180"),
    ("telemetry_operator_reconciles_total", "pod=\"a\",result=\"error\"", "3x180"),
    ("telemetry_operator_watch_errors_total", "pod=\"a\",kind=\"Service\"", "5x180"),
    ("telemetry_operator_webhook_certificate_expiry_timestamp_seconds", "pod=\"a\"", "864000x180"),
    ("telemetry_operator_crd_served", "pod=\"a\"", "1x180"),
];

/// An alert, a series, its values with which the alert fires (none: there is no such series), and the alert's labels then,
/// besides its severity.
type Case = (&'static str, &'static str, Option<&'static str>, &'static [(&'static str, &'static str)]);

const FIRES: [Case; 8] = [
    ("TelemetryOperatorDown", "up", Some("0x180"), &[]),
    ("TelemetryOperatorDown", "up", None, &[]),
    ("TelemetryOperatorNoLeader", "telemetry_operator_leader", Some("0x180"), &[]),
    ("TelemetryOperatorReconcileErrors", "telemetry_operator_reconciles_total", Some("0+1x180"), &[]),
    (
        "TelemetryOperatorWatchErrors",
        "telemetry_operator_watch_errors_total",
        Some("0+1x180"),
        &[("kind", "Service")],
    ),
    (
        "TelemetryOperatorWebhookCertificateExpiry",
        "telemetry_operator_webhook_certificate_expiry_timestamp_seconds",
        // The clock of these tests starts at 0.
        Some("604800x180"),
        &[("job", "telemetry-operator"), ("namespace", "telemetry-system"), ("pod", "a")],
    ),
    ("TelemetryOperatorProfilesNotServed", "telemetry_operator_crd_served", Some("0x180"), &[]),
    // Pods that get their sidecar by the policy need no certificate, and no alert.
    ("", "telemetry_operator_webhook_certificate_expiry_timestamp_seconds", Some("0x180"), &[]),
];

/// The groups of the rendered PrometheusRule.
fn groups() -> Value {
    let objects = render("everything-on", &[]);
    find(&objects, "PrometheusRule/telemetry-operator")["spec"].clone()
}

fn alerts() -> Vec<Value> {
    groups()["groups"][0]["rules"].as_array().expect("rules").clone()
}

fn dashboard() -> Value {
    let objects = render("everything-on", &[]);
    let files =
        find(&objects, "ConfigMap/telemetry-operator-dashboard")["data"].as_object().expect("files").clone();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["telemetry-system-telemetry-operator.json"]);
    serde_json::from_str(text(&files["telemetry-system-telemetry-operator.json"])).expect("JSON")
}

fn queries() -> Vec<String> {
    let board = dashboard();
    let panels = board["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    targets.map(|target| text(&target["expr"]).to_owned()).collect()
}

/// promtool, with these files in a directory.
fn promtool(arguments: &[&str], files: &[(&str, &Value)]) -> Result<String, String> {
    let directory = Directory::create("chart-rules").expect("a directory");
    for (name, value) in files {
        // JSON is YAML.
        fs::write(directory.path().join(name), value.to_string()).expect("a file");
    }
    let mut command = Command::new(testbed::path(Part::Promtool).expect("promtool"));
    testbed::output(command.args(arguments).current_dir(directory.path())).map_err(|error| error.to_string())
}

#[test]
fn every_metric_is_one_that_the_operator_has() {
    let documented = repository_file("docs/operator-telemetry.md");
    let alerts = alerts();
    let expressions = alerts.iter().map(|alert| text(&alert["expr"]).to_owned());
    let mut seen = BTreeSet::new();
    for expression in expressions.chain(queries()) {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("telemetry_")) {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(documented.contains(&format!("| `{name}` |")), "{name} in {expression}");
            seen.insert(name.to_owned());
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn prometheus_reads_every_query_and_every_alert() {
    let answer = promtool(&["check", "rules", "rules.yaml"], &[("rules.yaml", &groups())]).expect("rules");
    assert!(answer.contains(&format!("{} rules found", alerts().len())), "{answer}");
    let rule = |(number, query): (usize, String)| {
        let query = query.replace("$job", "telemetry-operator").replace("$__rate_interval", "5m");
        json!({"record": format!("dashboard:query:{number}"), "expr": query})
    };
    let rules: Vec<_> = queries().into_iter().enumerate().map(rule).collect();
    assert!(rules.len() > 15, "{rules:?}");
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    promtool(&["check", "rules", "rules.yaml"], &[("rules.yaml", &rules)]).expect("queries");
}

#[test]
fn every_alert_says_what_happened_and_what_to_do() {
    let documented = repository_file("docs/operator-telemetry.md");
    assert_eq!(documented.matches("| `TelemetryOperator").count(), alerts().len());
    for alert in alerts() {
        assert!(text(&alert["annotations"]["summary"]).len() > 20, "{alert}");
        assert!(text(&alert["annotations"]["description"]).len() > 100, "{alert}");
        assert!(["warning", "critical"].contains(&text(&alert["labels"]["severity"])), "{alert}");
        assert!(!alert["annotations"].to_string().contains("{{"), "an annotation is a template: {alert}");
        let row = format!("| `{}` | {} |", text(&alert["alert"]), text(&alert["labels"]["severity"]));
        assert!(documented.contains(&row), "{row} is not in docs/operator-telemetry.md");
    }
}

/// A test of promtool: with this series changed these alerts fire after two hours, and no other; before a minute none does.
fn case(alert: &str, changed: &str, values: Option<&str>, labels: &[(&str, &str)]) -> Value {
    let series = WELL.iter().filter_map(|(name, more, well)| {
        let values = if *name == changed { values? } else { well };
        Some(json!({"series": format!("{name}{{{LABELS},{more}}}"), "values": values}))
    });
    let tests = alerts().into_iter().map(|rule| {
        let name = text(&rule["alert"]).to_owned();
        let mut expected = Vec::new();
        if name == alert {
            let mut all = rule["labels"].clone();
            for (label, value) in labels {
                all[*label] = json!(value);
            }
            expected.push(json!({"exp_labels": all, "exp_annotations": rule["annotations"]}));
        }
        json!([
            {"eval_time": "1m", "alertname": name, "exp_alerts": []},
            {"eval_time": "2h", "alertname": name, "exp_alerts": expected},
        ])
    });
    let tests: Vec<_> = tests.flat_map(|pair| pair.as_array().cloned().unwrap_or_default()).collect();
    json!({"interval": "1m", "input_series": series.collect::<Vec<_>>(), "alert_rule_test": tests})
}

#[test]
fn each_alert_fires_when_it_should_and_no_other() {
    let never: BTreeSet<_> = alerts().iter().map(|alert| text(&alert["alert"]).to_owned()).collect();
    let fired: BTreeSet<_> =
        FIRES.iter().map(|(alert, ..)| (*alert).to_owned()).filter(|alert| !alert.is_empty()).collect();
    assert_eq!(fired, never);
    let mut tests = vec![case("", "", None, &[])];
    tests.extend(FIRES.iter().map(|(alert, series, values, labels)| case(alert, series, *values, labels)));
    let file = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests});
    let files = [("rules.yaml", &groups()), ("tests.yaml", &file)];
    let answer = promtool(&["test", "rules", "tests.yaml"], &files);
    answer.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_alert_that_does_not_fire_would_be_noticed() {
    let tests = [case("TelemetryOperatorDown", "", None, &[])];
    let file = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests});
    let answer =
        promtool(&["test", "rules", "tests.yaml"], &[("rules.yaml", &groups()), ("tests.yaml", &file)]);
    assert!(answer.expect_err("a failure").contains("TelemetryOperatorDown"));
}

/// Two installations have two dashboards, and one keeps its own.
#[test]
fn a_dashboard_belongs_to_its_installation() {
    let uid = |arguments: &[&str]| {
        let arguments = [&["--set", "grafanaDashboard.enabled=true"], arguments].concat();
        let objects = render("defaults", &arguments);
        let found = objects.iter().find(|object| object["kind"] == "ConfigMap").expect("a dashboard");
        let files = found["data"].as_object().expect("files");
        let board: Value = serde_json::from_str(text(files.values().next().expect("a file"))).expect("JSON");
        text(&board["uid"]).to_owned()
    };
    assert_eq!(uid(&[]), uid(&["--set", "replicaCount=2"]));
    assert_ne!(uid(&[]), uid(&["--set", "fullnameOverride=observe"]));
    assert!(uid(&[]).len() <= 40);
}

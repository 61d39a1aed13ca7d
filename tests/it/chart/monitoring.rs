//! The alerts and the dashboards of the chart: each name of a metric is real, Prometheus reads each query, each alert
//! fires when it should and not before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use telemetry_operator::plan::slo;
use testbed::{Directory, Part};

use super::{find, render, text};
use crate::common::repository_file;

/// Labels of the operator's targets.
const LABELS: &str = r#"job="telemetry-operator",namespace="telemetry-system""#;

/// Series of an operator that works: name, labels, values of three hours.
const WELL: [(&str, &str, &str); 7] = [
    ("up", "pod=\"a\"", "1x180"),
    ("telemetry_operator_leader", "pod=\"a\"", "1x180"),
    ("telemetry_operator_reconciles_total", "pod=\"a\",result=\"error\"", "3x180"),
    // None at all.
    (
        "telemetry_operator_profile_condition",
        "pod=\"a\",profile_namespace=\"media\",profile=\"trakt\",condition=\"Ready\",status=\"false\",reason=\"Conflict\"",
        "_x180",
    ),
    ("telemetry_operator_watch_errors_total", "pod=\"a\",kind=\"Service\"", "5x180"),
    ("telemetry_operator_webhook_certificate_expiry_timestamp_seconds", "pod=\"a\"", "864000x180"),
    ("telemetry_operator_crd_served", "pod=\"a\"", "1x180"),
];

/// An alert, a series, its values with which the alert fires (none: there is no such series), and the alert's labels then,
/// besides its severity.
type Case = (&'static str, &'static str, Option<&'static str>, &'static [(&'static str, &'static str)]);

const FIRES: [Case; 9] = [
    ("TelemetryOperatorDown", "up", Some("0x180"), &[]),
    ("TelemetryOperatorDown", "up", None, &[]),
    ("TelemetryOperatorNoLeader", "telemetry_operator_leader", Some("0x180"), &[]),
    ("TelemetryOperatorReconcileErrors", "telemetry_operator_reconciles_total", Some("0+1x180"), &[]),
    (
        "TelemetryOperatorProfileNotReady",
        "telemetry_operator_profile_condition",
        Some("1x180"),
        &[("profile_namespace", "media"), ("profile", "trakt")],
    ),
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

/// The dashboards by file.
fn dashboards(objects: &[Value]) -> BTreeMap<String, Value> {
    let files = find(objects, "ConfigMap/telemetry-operator-dashboard")["data"].as_object().expect("files");
    let parsed =
        files.iter().map(|(file, board)| (file.clone(), serde_json::from_str(text(board)).expect("JSON")));
    parsed.collect()
}

/// Every panel that is no row.
fn panels() -> Vec<Value> {
    let boards = dashboards(&render("everything-on", &[]));
    let panels = boards.values().flat_map(|board| board["panels"].as_array().expect("panels").clone());
    panels.filter(|panel| panel["type"] != "row").collect()
}

fn queries() -> Vec<String> {
    let targets =
        panels().into_iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    targets.map(|target| text(&target["expr"]).to_owned()).collect()
}

#[test]
fn every_panel_says_what_it_shows() {
    for panel in panels() {
        let title = text(&panel["title"]);
        assert!(text(&panel["description"]).len() > 50, "{title}");
        assert!(
            ["Empty:", "is zero, too"].iter().any(|words| text(&panel["description"]).contains(words)),
            "{title}"
        );
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(defaults["unit"].is_string() && defaults["thresholds"]["steps"].is_array(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
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
        for name in
            words.filter(|word| word.starts_with("telemetry_operator_") || word.starts_with("process_"))
        {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(documented.contains(&format!("| `{name}` |")), "{name} in {expression}");
            seen.insert(name.to_owned());
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
}

#[test]
fn every_record_is_one_that_rules_make() {
    let records: Vec<_> =
        slo::BURN_RATES.iter().map(|window| window.record).chain([slo::BUDGET_REMAINING]).collect();
    let queries = queries();
    let words = queries
        .iter()
        .flat_map(|query| query.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c)));
    let named: BTreeSet<_> = words.filter(|word| word.starts_with("slo:")).collect();
    assert!(named.len() >= 2 && named.iter().all(|name| records.contains(name)), "{named:?}");
    let alerts = queries.iter().filter(|query| query.contains("ALERTS{")).collect::<Vec<_>>();
    assert!(!alerts.is_empty());
    let both = format!("alertname=~\"{}|{}\"", slo::ALERT, slo::ABSENT_ALERT);
    assert!(alerts.iter().all(|query| query.contains(&both)), "{alerts:?}");
}

#[test]
fn prometheus_reads_every_query_and_every_alert() {
    let answer = promtool(&["check", "rules", "rules.yaml"], &[("rules.yaml", &groups())]).expect("rules");
    assert!(answer.contains(&format!("{} rules found", alerts().len())), "{answer}");
    let rule = |(number, query): (usize, String)| {
        let query = query.replace("$job", "telemetry-operator").replace("$__rate_interval", "5m");
        let query = query.replace("$profile_namespace", ".+");
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
    let uids = |name: &str, more: &[&str]| -> BTreeSet<String> {
        let set = format!("fullnameOverride={name}");
        let arguments = [&["--set", "grafanaDashboard.enabled=true", "--set", &set], more].concat();
        let objects = render("defaults", &arguments);
        let map = find(&objects, &format!("ConfigMap/{name}-dashboard")).clone();
        let files = map["data"].as_object().expect("files");
        let expected = ["fleet", "operator"].map(|board| format!("telemetry-system.{name}.{board}.json"));
        assert!(files.keys().eq(expected.iter()), "{:?}", files.keys());
        let boards = files.values().map(|board| serde_json::from_str::<Value>(text(board)).expect("JSON"));
        let boards = boards.inspect(|board| {
            assert!(
                text(&board["title"]).ends_with(&format!(" (telemetry-system/{name})")),
                "{}",
                board["title"]
            );
        });
        boards.map(|board| text(&board["uid"]).to_owned()).collect()
    };
    let first = uids("one", &[]);
    assert_eq!(first, uids("one", &["--set", "replicaCount=2"]));
    assert!(first.len() == 2 && first.is_disjoint(&uids("other", &[])), "{first:?}");
    assert!(first.iter().all(|uid| uid.len() == 16), "{first:?}");
}

/// They link to each other, and the folder is the one of the values.
#[test]
fn dashboards_are_in_one_folder_and_know_each_other() {
    let objects =
        render("defaults", &["--set", "grafanaDashboard.enabled=true,grafanaDashboard.folder=Platform"]);
    let annotations = &find(&objects, "ConfigMap/telemetry-operator-dashboard")["metadata"]["annotations"];
    let folders = json!({"grafana_folder": "Platform", "k8s-sidecar-target-directory": "Platform"});
    assert_eq!(*annotations, folders);
    let boards: Vec<_> = dashboards(&objects).into_values().collect();
    for (here, there) in [(0, 1), (1, 0)] {
        assert_eq!(boards[here]["links"][0]["url"], format!("/d/{}", text(&boards[there]["uid"])));
    }
}

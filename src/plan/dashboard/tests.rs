//! Tables of profiles, and everything that must hold for each dashboard of each of them.

mod content;
mod lint;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::observed::Observed;
use crate::plan::{pipeline, slo};
use crate::validate::{fixture, fixture_with};

pub(super) const BASE: &str = r#"
selector: {matchLabels: {app: trakt}}
service: {name: export-trakt-4-letterboxd}
"#;

const INSTRUMENTS: &str = r#"
metrics:
  instruments:
    - {name: films_exported_total, type: Counter, unit: "{film}", description: "Films that were exported"}
    - {name: export_duration_seconds, type: Histogram, unit: s}
    - {name: cache_hit_ratio, type: Gauge, unit: "1"}
    - {name: active_operations, type: UpDownCounter, unit: "{operation}"}
"#;

const SLOS: &str = r#"
slos:
  - {name: availability, objective: "99.5", ratio: {bad: 'exports_total{result="error"}', total: exports_total}}
  - {name: freshness, objective: "90", window: 7d, freshness: {counter: exports_total, maxAge: 26h}}
"#;

const LOGS: &str = "logs: {endpoint: 'http://loki.monitoring:3100/otlp'}\n";

/// Profiles that switch every part on and off.
pub(super) fn table() -> Vec<(&'static str, ValidatedProfile)> {
    let specs = [
        ("minimal", String::new()),
        ("everything", format!("{INSTRUMENTS}{SLOS}{LOGS}")),
        ("no traces", format!("traces: {{enabled: false}}\n{INSTRUMENTS}{LOGS}")),
        ("no metrics", format!("metrics: {{enabled: false}}\n{LOGS}")),
        ("only logs", format!("traces: {{enabled: false}}\nmetrics: {{enabled: false}}\n{LOGS}")),
        ("text logs", format!("logs: {{format: Text, endpoint: 'https://logs.example.com/otlp'}}\n{SLOS}")),
        ("VictoriaLogs", LOGS.replace("3100/otlp'", "9428/insert/opentelemetry', store: VictoriaLogs")),
        ("sampled", "traces: {sampling: {ratio: '0.25'}}\n".to_owned()),
        ("sampled by the SDK", "traces: {sampling: {ratio: '0.25', at: Application}}\n".to_owned()),
        ("back end", "traces: {endpoint: 'http://tempo:4317'}\n".to_owned()),
        ("no alerts", SLOS.replace("objective", "alerting: {page: false, ticket: false}, objective")),
    ];
    specs.into_iter().map(|(name, spec)| (name, fixture(&format!("{BASE}{spec}")))).collect()
}

fn everything() -> ValidatedProfile {
    fixture(&format!("{BASE}{INSTRUMENTS}{SLOS}{LOGS}"))
}

/// The dashboards by view.
pub(super) fn boards(profile: &ValidatedProfile) -> BTreeMap<String, Value> {
    let children = plan(profile).expect("a plan");
    let board = |child: &Child| {
        let view = child.name.rsplit('-').next().expect("a view").to_owned();
        (view, serde_json::from_str(text(child)).expect("JSON"))
    };
    children.iter().map(board).collect()
}

/// The dashboard's text in a child of either kind.
fn text(child: &Child) -> &str {
    match child.kind {
        ChildKind::ConfigMap => {
            let data = child.body["data"].as_object().expect("data");
            assert_eq!(data.len(), 1, "{}", child.name);
            data.values().next().and_then(Value::as_str).expect("a file")
        }
        _ => child.body["spec"]["json"].as_str().expect("json"),
    }
}

pub(super) fn panels(board: &Value) -> &[Value] {
    board["panels"].as_array().expect("panels")
}

/// Every string of the value.
pub(super) fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().flat_map(strings).collect(),
        Value::Object(map) => map.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

fn views(profile: &ValidatedProfile) -> Vec<String> {
    boards(profile).into_keys().collect()
}

fn panel<'a>(board: &'a Value, title: &str) -> &'a Value {
    let found = panels(board).iter().find(|panel| panel["title"] == title);
    found.unwrap_or_else(|| panic!("no panel {title:?} among {:?}", titles(board)))
}

fn titles(board: &Value) -> Vec<&str> {
    panels(board).iter().filter_map(|panel| panel["title"].as_str()).collect()
}

fn expressions(panel: &Value) -> Vec<&str> {
    let targets = panel["targets"].as_array().into_iter().flatten();
    targets.filter_map(|target| target["expr"].as_str()).collect()
}

#[test]
fn there_is_a_dashboard_for_each_signal_that_is_on() {
    let views: BTreeMap<_, _> = table().into_iter().map(|(name, profile)| (name, views(&profile))).collect();
    assert_eq!(views["minimal"], ["metrics", "traces"]);
    assert_eq!(views["everything"], ["logs", "metrics", "slos", "traces"]);
    assert_eq!(views["no traces"], ["logs", "metrics"]);
    assert_eq!(views["no metrics"], ["logs", "traces"]);
    assert_eq!(views["only logs"], ["logs"]);
    let off = fixture(&format!("{BASE}{INSTRUMENTS}{SLOS}dashboards: {{enabled: false}}\n"));
    assert_eq!(plan(&off).expect("a plan"), []);
}

#[test]
fn a_dashboard_for_the_sidecar() {
    let profile = fixture(&format!(
        "{BASE}dashboards: {{folder: My Team, labels: {{grafana_dashboard: 'yes', {}: other}}}}\n",
        crate::kinds::MANAGED_BY_LABEL,
    ));
    let children = plan(&profile).expect("a plan");
    assert_eq!(
        children.iter().map(Child::reference).collect::<Vec<_>>(),
        ["ConfigMap/trakt-dashboard-traces", "ConfigMap/trakt-dashboard-metrics"]
    );
    let metadata = &children[0].body["metadata"];
    assert_eq!(metadata["namespace"], "media");
    assert_eq!(metadata["labels"]["grafana_dashboard"], "yes");
    assert_eq!(
        metadata["labels"][crate::kinds::MANAGED_BY_LABEL],
        crate::kinds::MANAGED_BY,
        "ours cannot be replaced"
    );
    assert_eq!(metadata["annotations"]["k8s-sidecar-target-directory"], "My Team");
    assert_eq!(metadata["annotations"]["grafana_folder"], "My Team");
    assert_eq!(metadata["ownerReferences"][0]["name"], "trakt");
    assert!(children[0].body["data"]["media.trakt.traces.json"].is_string());
}

#[test]
fn the_folder_is_one_relative_name() {
    for service in ["a/../../etc", "a.b", "x/y z", "A"] {
        let profile =
            fixture(&format!("selector: {{matchLabels: {{app: x}}}}\nservice: {{name: '{service}'}}\n"));
        for child in plan(&profile).expect("a plan") {
            let folder = child.body["metadata"]["annotations"]["grafana_folder"].as_str().expect("a folder");
            assert!(!folder.contains(['/', '\\', '.']) && !folder.is_empty(), "{service}: {folder}");
        }
    }
}

#[test]
fn a_dashboard_for_the_grafana_operator() {
    let spec = format!("{BASE}dashboards: {{delivery: GrafanaOperator, folder: My Team}}\n");
    let served = BTreeSet::from([ChildKind::GrafanaDashboard]);
    let profile = fixture_with(&spec, &Observed { served, ..Observed::default() });
    let children = plan(&profile).expect("a plan");
    assert_eq!(children[1].reference(), "GrafanaDashboard/trakt-dashboard-metrics");
    assert_eq!(children[1].body["apiVersion"], "grafana.integreatly.org/v1beta1");
    let spec = children[1].body["spec"].as_object().expect("a spec");
    let keys: Vec<&str> = spec.keys().map(String::as_str).collect();
    assert_eq!(keys, ["allowCrossNamespaceImport", "folder", "instanceSelector", "json", "resyncPeriod"]);
    assert_eq!(spec["instanceSelector"], json!({}));
    assert_eq!(spec["allowCrossNamespaceImport"], true);
    assert_eq!(spec["folder"], "My Team");

    let by_config_map = plan(&fixture(BASE)).expect("a plan");
    assert_eq!(text(&children[1]), text(&by_config_map[1]), "the dashboard does not depend on its delivery");
}

#[test]
fn the_same_profile_gives_the_same_bytes() {
    for (name, profile) in table() {
        assert_eq!(plan(&profile).expect("a plan"), plan(&profile.clone()).expect("a plan"), "{name}");
    }
}

#[test]
fn uid_and_title_are_unique_and_stay() {
    let (mut uids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    let mut profile = everything();
    for (namespace, name) in
        [("media", "trakt"), ("media-trakt", "x"), ("media", "trakt-x"), ("other", "trakt")]
    {
        (profile.namespace, profile.name) = (namespace.to_owned(), name.to_owned());
        for (view, board) in boards(&profile) {
            let uid = board["uid"].as_str().expect("a uid").to_owned();
            assert!(
                uid.len() <= 40 && uid.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
                "{uid}"
            );
            assert!(uids.insert(uid), "uid of {namespace}/{name} {view}");
            assert!(titles.insert(board["title"].to_string()), "title of {namespace}/{name} {view}");
        }
    }
    // Whoever changes them gives every user a second set of dashboards and breaks their bookmarks.
    let board = boards(&everything()).remove("slos").expect("a dashboard");
    assert_eq!(board["title"], "export-trakt-4-letterboxd SLOs (media/trakt)");
    assert_eq!(board["uid"], "cbc289fb642f97bd");
}

/// Two with one uid, title or file name make Grafana stop loading dashboards altogether.
#[test]
fn two_hundred_profiles_share_no_uid_title_or_file() {
    let mut profile = everything();
    profile.service.name = "s".repeat(63);
    let (mut uids, mut titles, mut files) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    // The longest names, which differ at their ends, and pairs that read alike when they are put together.
    let long = (0..150).map(|number| {
        (format!("{}{:03}", "n".repeat(60), number / 2), format!("{}{:03}", "p".repeat(42), number))
    });
    let alike = (0..50).map(|cut| {
        let name = "a-".repeat(51);
        (name[..=2 * cut].to_owned(), name[2 * cut + 2..].trim_end_matches('-').to_owned())
    });
    for (namespace, name) in long.chain(alike) {
        (profile.namespace, profile.name) = (namespace, name);
        for child in plan(&profile).expect("a plan") {
            let board: Value = serde_json::from_str(text(&child)).expect("JSON");
            let file = child.body["data"].as_object().and_then(|data| data.keys().next()).expect("a file");
            let at = format!("{}/{}: {}", profile.namespace, profile.name, child.name);
            assert!(uids.insert(board["uid"].to_string()), "uid of {at}");
            assert!(titles.insert(board["title"].to_string()), "title of {at}");
            assert!(files.insert(file.clone()), "file of {at}");
        }
    }
    assert_eq!(uids.len(), 800);
}

#[test]
fn the_longest_names_fit() {
    let mut profile = everything();
    profile.namespace = "n".repeat(63);
    profile.name = "p".repeat(45);
    profile.service.name = "s".repeat(63);
    for child in plan(&profile).expect("a plan") {
        assert!(child.name.len() <= 253, "{}", child.name);
        let board: Value = serde_json::from_str(text(&child)).expect("JSON");
        // The width of the column in Grafana's database.
        assert!(board["title"].as_str().expect("a title").len() <= 189, "{}", board["title"]);
        let file = child.body["data"].as_object().and_then(|data| data.keys().next()).expect("a file");
        assert!(file.len() <= 253, "{file}");
    }
}

#[test]
fn views_link_to_each_other() {
    for (name, profile) in table() {
        let boards = boards(&profile);
        let own_links = |board: &Value| {
            let links = board["links"].as_array().expect("links").clone();
            links.iter().map(|link| link["url"].as_str().expect("a URL").to_owned()).collect::<BTreeSet<_>>()
        };
        for (view, board) in &boards {
            let others = boards.iter().filter(|(other, _)| *other != view);
            let expected =
                others.map(|(_, other)| format!("/d/{}", other["uid"].as_str().expect("a uid"))).collect();
            assert_eq!(own_links(board), expected, "{name}: {view}");
        }
    }
}

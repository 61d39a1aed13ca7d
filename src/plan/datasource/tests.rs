use std::collections::BTreeSet;

use super::*;
use crate::observed::Observed;
use crate::validate::{fixture, fixture_with};

const BASE: &str = r#"
selector: {matchLabels: {app: trakt}}
service: {name: export-trakt-4-letterboxd}
dashboards: {dataSources: Provisioned, dataSourceLabels: {grafana_datasource: 'yes', team: films}}
"#;
const MANAGED: &str = "metrics: {prometheus: Managed, interval: 2m}\n";
const LOKI: &str = "logs: {endpoint: 'http://loki.monitoring:3100/otlp'}\n";
const VICTORIA_LOGS: &str =
    "logs: {endpoint: 'http://logs.monitoring:9428/insert/opentelemetry/', store: VictoriaLogs}\n";

/// The data sources in the provisioning file, as Grafana reads them.
fn provisioned(spec: &str) -> Vec<Value> {
    let children = plan(&fixture(&format!("{BASE}{spec}"))).expect("a plan");
    let [child] = &children[..] else { panic!("{children:?}") };
    assert_eq!(child.reference(), "ConfigMap/trakt-datasources");
    let labels = &child.body["metadata"]["labels"];
    assert_eq!((&labels["grafana_datasource"], &labels["team"]), (&json!("yes"), &json!("films")));
    let file = child.body["data"]["media.trakt.datasources.yaml"].as_str().expect("the file");
    assert!(
        !file.replace("$$", "").contains('$'),
        "Grafana would take it for a variable of its environment: {file}"
    );
    let content: Value = serde_yaml::from_str(&file.replace("$$", "$")).expect("YAML");
    assert_eq!(content["apiVersion"], 1);
    content["datasources"].as_array().expect("a list").clone()
}

fn of_type<'a>(sources: &'a [Value], plugin: &str) -> &'a Value {
    let found = sources.iter().find(|source| source["type"] == plugin);
    found.unwrap_or_else(|| panic!("no {plugin} in {sources:?}"))
}

#[test]
fn nothing_where_grafana_has_its_own() {
    let spec = "selector: {matchLabels: {app: x}}\nservice: {name: x}\n";
    assert_eq!(plan(&fixture(spec)).expect("a plan"), []);
    assert_eq!(
        plan(&fixture(&format!("{spec}dashboards: {{enabled: false, dataSources: Provisioned}}")))
            .expect("a plan"),
        []
    );
    assert_eq!(
        plan(&fixture(&format!("{BASE}traces: {{endpoint: 'http://tempo:4317'}}"))).expect("a plan"),
        []
    );
}

#[test]
fn every_back_end_is_linked_to_the_others() {
    for (logs, plugin, url, query) in [
        (LOKI, "loki", "http://loki.monitoring:3100", "{${__tags}} | trace_id=\"${__span.traceId}\""),
        (
            VICTORIA_LOGS,
            "victoriametrics-logs-datasource",
            "http://logs.monitoring:9428",
            "trace_id:=\"${__span.traceId}\"",
        ),
    ] {
        let sources = provisioned(&format!("{MANAGED}{logs}"));
        assert_eq!(sources.len(), 3);
        let (prometheus, jaeger, logs) =
            (of_type(&sources, "prometheus"), of_type(&sources, "jaeger"), of_type(&sources, plugin));
        assert_eq!(prometheus["url"], "http://trakt-prometheus.media:9090");
        assert_eq!(prometheus["jsonData"]["timeInterval"], "2m");
        assert_eq!(jaeger["url"], "http://trakt-jaeger.media:16686");
        assert_eq!(logs["url"], url);
        let exemplars = &prometheus["jsonData"]["exemplarTraceIdDestinations"];
        assert_eq!(exemplars, &json!([{ "name": "trace_id", "datasourceUid": jaeger["uid"] }]));
        let to_logs = &jaeger["jsonData"]["tracesToLogsV2"];
        assert_eq!((&to_logs["datasourceUid"], &to_logs["query"]), (&logs["uid"], &json!(query)));
        let to_metrics = &jaeger["jsonData"]["tracesToMetrics"];
        assert_eq!(to_metrics["datasourceUid"], prometheus["uid"]);
        let call = to_metrics["queries"][0]["query"].as_str().expect("a query");
        assert_eq!(
            call,
            r#"sum(rate(traces_span_metrics_calls_total{namespace="media",job="media/trakt-collector",span_name="${__span.name}"}[480s]))"#
        );
        let derived = &logs["jsonData"]["derivedFields"][0];
        assert_eq!((&derived["datasourceUid"], &derived["url"]), (&jaeger["uid"], &json!("${__value.raw}")));
        let names: BTreeSet<_> = sources.iter().map(|source| source["name"].to_string()).collect();
        assert!(names.len() == 3 && names.iter().all(|name| name.contains("(media/trakt)")), "{names:?}");
        assert!(sources.iter().all(|source| source["editable"] == false && source["isDefault"] == false));
    }
}

#[test]
fn a_link_leads_to_a_data_source_that_is_there() {
    for spec in [
        format!("traces: {{endpoint: 'http://tempo:4317'}}\n{MANAGED}{LOKI}"),
        format!("traces: {{enabled: false}}\n{MANAGED}{VICTORIA_LOGS}"),
        format!("metrics: {{enabled: false}}\n{LOKI}"),
        MANAGED.to_owned(),
        String::new(),
    ] {
        let sources = provisioned(&spec);
        let uids: BTreeSet<_> = sources.iter().map(|source| source["uid"].as_str().expect("a uid")).collect();
        let text = serde_json::to_string(&sources).expect("JSON");
        for (_, rest) in
            text.match_indices("\"datasourceUid\":\"").map(|(at, key)| text.split_at(at + key.len()))
        {
            let uid = rest.split('"').next().expect("a uid");
            assert!(uids.contains(uid), "{spec}: {uid} of {uids:?}");
        }
    }
}

#[test]
fn dashboards_have_them_as_their_choice() {
    let profile = fixture(&format!("{BASE}{MANAGED}{VICTORIA_LOGS}"));
    let sources = provisioned(&format!("{MANAGED}{VICTORIA_LOGS}"));
    let mut seen = 0;
    for child in dashboard::plan(&profile).expect("a plan") {
        let file = child.body["data"].as_object().and_then(|data| data.values().next()).expect("a file");
        let board: Value = serde_json::from_str(file.as_str().expect("a text")).expect("JSON");
        for variable in board["templating"]["list"].as_array().expect("variables") {
            if variable["type"] == "datasource" {
                let source = of_type(&sources, variable["query"].as_str().expect("a type"));
                assert_eq!(variable["current"]["value"], source["uid"], "{}", child.name);
                seen += 1;
            }
        }
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn objects_for_the_grafana_operator() {
    let served = BTreeSet::from([ChildKind::GrafanaDatasource]);
    let spec = format!("{BASE}{LOKI}").replace("dashboards: {", "dashboards: {delivery: GrafanaOperator, ");
    let children = plan(&fixture_with(&spec, &Observed { served, ..Observed::default() })).expect("a plan");
    let names: Vec<_> = children.iter().map(Child::reference).collect();
    assert_eq!(
        names,
        ["GrafanaDatasource/trakt-datasource-jaeger", "GrafanaDatasource/trakt-datasource-logs"]
    );
    let spec = &children[1].body["spec"];
    assert_eq!((&spec["allowCrossNamespaceImport"], &spec["instanceSelector"]), (&json!(true), &json!({})));
    // Its fields are the API's, in which nothing is replaced.
    assert_eq!(spec["datasource"]["jsonData"]["derivedFields"][0]["url"], "${__value.raw}");
}

#[test]
fn uids_stay() {
    // Whoever changes them breaks every link and bookmark into Grafana's Explore.
    let sources = provisioned(LOKI);
    assert_eq!(of_type(&sources, "jaeger")["uid"], short_hash(b"media/trakt/datasource/jaeger"));
}

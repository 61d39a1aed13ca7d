//! The Logs dashboard asks a real VictoriaLogs for what a real collector, on the generated configuration, has sent to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use telemetry_operator::observed::Observed;
use telemetry_operator::plan::{self, Child};
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::validate;
use testbed::victoria_logs::{VictoriaLogs, ask, records};
use testbed::{Directory, wait_until};

use super::running::Running;
use super::{DEADLINE, planned, profile, telemetry};

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;

/// The only file of a child.
fn file(children: &[Child], name: &str) -> String {
    let child = children.iter().find(|child| child.name == name).unwrap_or_else(|| panic!("no {name}"));
    let data = child.body["data"].as_object().expect("a ConfigMap");
    data.values().next().and_then(Value::as_str).expect("a file").to_owned()
}

/// What the data source's plugin would ask for a target, in the form `field=value …` for each row or series.
fn answer(url: &str, target: &Value) -> Vec<String> {
    let query = target["expr"].as_str().expect("a query");
    let range = [("start", "1h"), ("end", "now"), ("step", "1h")];
    let what = match target["queryType"].as_str().expect("a type") {
        "instant" => {
            let limit = target["maxLines"].to_string();
            let text =
                ask(url, "query", &[("query", query), ("limit", &limit), range[0]]).expect("an answer");
            let row = |line: &str| serde_json::from_str::<BTreeMap<String, String>>(line).expect("a row");
            return text.lines().map(|line| told(&row(line))).collect();
        }
        "stats" => ask(url, "stats_query", &[("query", &format!("_time:1h {query}"))]),
        "statsRange" => ask(url, "stats_query_range", &[("query", query), range[0], range[1], range[2]]),
        other => panic!("the plugin has no query type {other}"),
    };
    let answer: Value = serde_json::from_str(&what.expect("an answer")).expect("JSON");
    let series = answer["data"]["result"].as_array().expect("series").iter().map(|series| {
        let mut fields: BTreeMap<String, String> =
            serde_json::from_value(series["metric"].clone()).expect("labels");
        let values = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
        let number = |value: &Value| value[1].as_str().expect("a value").parse::<u64>().expect("a number");
        fields.insert("value".to_owned(), values.iter().map(number).sum::<u64>().to_string());
        told(&fields)
    });
    let mut series: Vec<_> = series.collect();
    series.sort();
    series
}

fn told(fields: &BTreeMap<String, String>) -> String {
    let shown =
        ["_msg", "message", "records", "scope_name", "severity", "severity_text", "trace_id", "value"];
    let shown = shown.iter().filter_map(|name| Some(format!("{name}={}", fields.get(*name)?)));
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_query_of_the_logs_dashboard_is_answered_by_a_real_store() {
    let store = VictoriaLogs::start().expect("a log store");
    let endpoint = format!("{}/insert/opentelemetry", store.url());
    let profile = profile(
        "films.export",
        &format!(
            "logs: {{store: VictoriaLogs, endpoint: '{endpoint}'}}\ndashboards: {{dataSources: Provisioned}}"
        ),
    );
    let directory = Directory::create("collector-logs").expect("a directory");
    let text = planned(&profile).expect("a file");
    let collector = Running::start("logs", &text, "127.0.0.1:9", &directory);
    collector.post(
        "/v1/logs",
        &telemetry::log_records(&[
            (9, "INFO", "export.done", Some(TRACE)),
            (13, "WARN", "trying again", Some(TRACE)),
            (17, "ERROR", "call failed", Some(TRACE)),
            (17, "ERROR", "call failed", Some(TRACE)),
            (9, "INFO", "{\"message\": \"started\"}", None),
        ]),
    );
    wait_until("five records in the store", DEADLINE, || {
        Ok((records(store.url(), "*")?.len() == 5).then_some(()))
    })
    .expect("they arrive");

    let profile = validate(&profile, &Observed::default(), &Settings::default()).expect("a valid profile");
    let children = plan::plan(&profile).expect("a plan").children;
    let board: Value = serde_json::from_str(&file(&children, "trakt-dashboard-logs")).expect("JSON");
    let mut answers = BTreeMap::new();
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            if target["datasource"]["type"] == "victoriametrics-logs-datasource" {
                answers.insert(panel["title"].as_str().expect("a title"), answer(store.url(), target));
            }
        }
    }
    let error = format!("_msg=call failed severity_text=ERROR trace_id={TRACE:032x}");
    let mut newest = answers.remove("Newest records").expect("records");
    newest.sort();
    assert_eq!(newest.len(), 5, "{newest:#?}");
    assert_eq!(newest[0], error);
    assert!(newest[4].contains("message=started"), "a record that is JSON has its fields: {newest:#?}");
    let expected = json!({
        "Records by severity": ["severity=error value=2", "severity=info value=2", "severity=warn value=1"],
        "Errors over time": ["value=2"],
        "Errors in the time shown": ["value=2"],
        "Newest errors": [error, error],
        "Most frequent errors": ["message=call failed records=2"],
        "Where records come from": ["records=5 scope_name=exporter::job"],
    });
    assert_eq!(json!(answers), expected);

    let sources = file(&children, "trakt-datasources").replace("$$", "$");
    let sources: Value = serde_yaml::from_str(&sources).expect("YAML");
    let sources = sources["datasources"].as_array().expect("a list");
    let jaeger = sources.iter().find(|source| source["type"] == "jaeger").expect("Jaeger");
    let query = jaeger["jsonData"]["tracesToLogsV2"]["query"].as_str().expect("a query");
    let query = query.replace("${__span.traceId}", &format!("{TRACE:032x}"));
    assert_eq!(records(store.url(), &query).expect("an answer").len(), 4, "{query}");
}

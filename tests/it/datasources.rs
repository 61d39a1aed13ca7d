//! What the provisioned data sources ask: the PromQL of a span's metrics is read by the real Prometheus' own parser; the LogQL of a
//! span's log records, and that of the Logs dashboard, by Grafana's grammar. LogsQL is run, in `collector::logs`.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use telemetry_operator::plan::{dashboard, datasource};
use testbed::{Directory, Part, grafana};

use crate::dashboards::{promtool, validated};

/// What Grafana puts into queries.
const VARIABLES: [(&str, &str); 5] = [
    ("${__span.name}", "GET /films/{id}"),
    ("${__span.traceId}", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ("${__tags}", "service_name=\"export-trakt-4-letterboxd\""),
    ("$__range", "3600s"),
    ("$__auto", "60s"),
];

fn filled(query: &Value) -> String {
    let query = query.as_str().expect("a query").to_owned();
    VARIABLES.iter().fold(query, |text, (name, value)| text.replace(name, value))
}

/// The settings of Jaeger's data source, with links to the others.
fn jaeger() -> Value {
    let change = json!({
        "metrics": {"prometheus": "Managed"},
        "dashboards": {"dataSources": "Provisioned"},
    });
    let children = datasource::plan(&validated(&change)).expect("a plan");
    let text = children[0].body["data"]["media.trakt.datasources.yaml"].as_str().expect("a file");
    let file: Value = serde_yaml::from_str(&text.replace("$$", "$")).expect("YAML");
    let sources = file["datasources"].as_array().expect("a list");
    sources.iter().find(|source| source["type"] == "jaeger").expect("Jaeger")["jsonData"].clone()
}

#[test]
fn prometheus_reads_what_is_asked_about_a_span() {
    let jaeger = jaeger();
    let queries = jaeger["tracesToMetrics"]["queries"].as_array().expect("queries");
    let queries: Vec<_> =
        queries.iter().map(|query| (query["name"].to_string(), filled(&query["query"]))).collect();
    let answer = promtool(&queries).unwrap_or_else(|error| panic!("{error}\n{queries:#?}"));
    assert!(queries.len() == 3 && answer.contains("3 rules found"), "{answer}");
}

/// What the grammar says against any of these queries.
fn not_logql(queries: &[String]) -> Result<(), String> {
    let directory = Directory::create("logql").expect("a directory");
    let file = directory.path().join("queries.json");
    fs::write(&file, json!(queries).to_string()).expect("a file");
    let check = testbed::path(Part::Logql).expect("the grammar").join("check.js");
    let mut node = Command::new("node");
    let output =
        node.arg(check).stdin(Stdio::from(File::open(&file).expect("the file"))).output().expect("node runs");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() && told.is_empty() { Ok(()) } else { Err(told) }
}

#[test]
fn grafana_reads_every_query_to_loki() {
    let mut queries = vec![filled(&jaeger()["tracesToLogsV2"]["query"])];
    for format in ["JSON", "Text"] {
        let profile = validated(&json!({"logs": {"endpoint": "http://loki:3100/otlp", "format": format}}));
        for child in dashboard::plan(&profile).expect("a plan") {
            let file = child.body["data"].as_object().and_then(|data| data.values().next()).expect("a file");
            let board: Value = serde_json::from_str(file.as_str().expect("a text")).expect("JSON");
            let targets = board["panels"].as_array().expect("panels").iter().flat_map(|panel| {
                panel["targets"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|target| target["datasource"]["type"] == "loki")
            });
            queries.extend(targets.map(|target| filled(&target["expr"])));
        }
    }
    assert!(queries.len() >= 15, "{queries:#?}");
    not_logql(&queries).unwrap_or_else(|told| panic!("{told}"));
    for broken in ["{a=\"b\"", "sum by (count_over_time({a=\"b\"}[5m])", "{a=\"b\"} | detected_level=~error"]
    {
        let told = not_logql(&[broken.to_owned()]).expect_err(broken);
        assert!(told.starts_with(&format!("{broken}: not LogQL at ")), "{told}");
    }
}

/// No Grafana runs here. What it would read is what the operator has written, at addresses of this machine.
#[test]
fn what_make_grafana_starts_is_complete() {
    let change = json!({
        "metrics": {"prometheus": "Managed"},
        "logs": {"endpoint": "http://logs.logs:9428/insert/opentelemetry", "store": "VictoriaLogs"},
        "dashboards": {"dataSources": "Provisioned", "folder": "My Team"},
    });
    let profile = validated(&change);
    let children =
        [dashboard::plan(&profile).expect("a plan"), datasource::plan(&profile).expect("a plan")].concat();
    let maps: Vec<Value> = children.iter().map(|child| child.body.clone()).collect();
    let at =
        |name: &str, port: u16| (format!("http://{name}:{port}"), format!("http://127.0.0.1:{}", port + 1));
    let addresses =
        [at("trakt-prometheus.media", 9090), at("trakt-jaeger.media", 16686), at("logs.logs", 9428)];
    let directory = Directory::create("grafana").expect("a directory");
    let root = directory.path();
    fs::create_dir_all(root.join("dashboards/Gone")).expect("something old");
    grafana::provision(root, &maps, &addresses).expect("written");

    let read =
        |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let yaml = |path: &str| serde_yaml::from_str::<Value>(&read(path)).expect("YAML");
    let grafana = &yaml("compose.yaml")["services"]["grafana"];
    assert!(grafana["image"].as_str().is_some_and(|image| !image.ends_with("latest}")), "{grafana}");
    for volume in grafana["volumes"].as_array().expect("volumes") {
        let here = volume.as_str().and_then(|text| text.split(':').next()).expect("a path");
        assert!(root.join(here).is_dir(), "{volume}");
    }
    assert_eq!(
        yaml("provisioning/dashboards/profiles.yaml")["providers"][0]["options"]["path"],
        "/dashboards"
    );
    let sources = yaml("provisioning/datasources/media.trakt.datasources.yaml");
    let urls: Vec<_> =
        sources["datasources"].as_array().expect("a list").iter().map(|source| &source["url"]).collect();
    assert_eq!(urls, addresses.iter().map(|(_, here)| here).collect::<Vec<_>>());
    for view in ["traces", "metrics", "logs", "slos"] {
        let board: Value =
            serde_json::from_str(&read(&format!("dashboards/My Team/media.trakt.{view}.json")))
                .expect("JSON");
        assert!(board["uid"].is_string(), "{view}");
    }
    assert!(!root.join("dashboards/Gone").exists(), "what is no longer there is not shown");
}

//! Every PromQL query of every generated dashboard, read by the real Prometheus' own parser.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use telemetry_operator::observed::Observed;
use telemetry_operator::plan::{Child, dashboard};
use telemetry_operator::profile::{TelemetryProfile, TelemetryProfileSpec};
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::{ValidatedProfile, validate};
use testbed::{Directory, Part};

/// Grafana's variables with a value that they may have.
const VARIABLES: [(&str, &str); 4] = [
    ("$__rate_interval", "2m"),
    ("$__range", "1h"),
    ("$span_kind", "SPAN_KIND_SERVER|SPAN_KIND_CLIENT"),
    ("$operation", "GET /films/\\\\{id\\\\}|.+"),
];

fn spec() -> Value {
    json!({
        "selector": {"matchLabels": {"app": "trakt"}},
        "service": {"name": "export-trakt-4-letterboxd"},
        "metrics": {"instruments": [
            {"name": "films_total", "type": "Counter", "unit": "{film}"},
            {"name": "export_duration_seconds", "type": "Histogram", "unit": "s"},
            {"name": "queue:length", "type": "Gauge"},
            {"name": "active_operations", "type": "UpDownCounter", "description": "In work: $x, {{y}}, \"z\""},
        ]},
        "logs": {"endpoint": "http://loki:3100/otlp"},
        "slos": [
            {"name": "availability", "objective": "99.9",
             "ratio": {"bad": "runs_total{result=\"error\"}", "total": "runs_total"}},
            {"name": "speed", "objective": "95", "window": "7d",
             "latency": {"histogram": "export_duration_seconds", "threshold": "0.5"}},
            {"name": "freshness", "objective": "90", "freshness": {"counter": "runs_total", "maxAge": "26h"}},
        ],
    })
}

/// A profile with everything, but for these fields of its spec.
pub fn validated(change: &Value) -> ValidatedProfile {
    let mut spec = spec();
    for (field, value) in change.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    let spec: TelemetryProfileSpec = serde_json::from_value(spec).expect("a spec");
    let mut profile = TelemetryProfile::new("trakt", spec);
    profile.metadata.namespace = Some("media".to_owned());
    validate(&profile, &Observed::default(), &Settings::default()).expect("a valid profile")
}

/// The expressions of a profile's dashboards with their panels' names, and of their variables.
fn expressions(change: &Value) -> Vec<(String, String)> {
    dashboard::plan(&validated(change)).expect("a plan").iter().flat_map(of_board).collect()
}

fn of_board(child: &Child) -> Vec<(String, String)> {
    let files = child.body["data"].as_object().expect("a ConfigMap");
    let text = files.values().next().and_then(Value::as_str).expect("a file");
    let board: Value = serde_json::from_str(text).expect("JSON");
    let of_panel = |panel: &Value| {
        let name = format!("{}, {}", child.name, panel["title"]);
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let prometheus = targets.into_iter().filter(|target| target["datasource"]["type"] == "prometheus");
        prometheus.map(move |target| (name.clone(), target["expr"].as_str().expect("a query").to_owned()))
    };
    let of_variable = |variable: &Value| {
        let query = variable["query"].as_str()?.strip_prefix("label_values(")?.rsplit_once(", ")?.0;
        Some((format!("{}, variable {}", child.name, variable["name"]), query.to_owned()))
    };
    let panels = board["panels"].as_array().expect("panels").iter().flat_map(of_panel);
    let variables = board["templating"]["list"].as_array().expect("variables").iter().filter_map(of_variable);
    panels.chain(variables).collect()
}

/// What promtool says of a rule file with one rule for each expression; an error names the rule by its number.
pub fn promtool(expressions: &[(String, String)]) -> Result<String, String> {
    let rules: Vec<_> = expressions
        .iter()
        .enumerate()
        .map(|(number, (_, expression))| {
            let expression =
                VARIABLES.iter().fold(expression.clone(), |text, (name, value)| text.replace(name, value));
            json!({"record": format!("dashboard:query:{number}"), "expr": expression})
        })
        .collect();
    let directory = Directory::create("dashboard-queries").expect("a directory");
    let file = directory.path().join("rules.yaml");
    // JSON is YAML.
    let text = json!({"groups": [{"name": "dashboards", "rules": rules}]}).to_string();
    fs::write(&file, text).expect("a file");
    let promtool = testbed::path(Part::Promtool).expect("promtool");
    testbed::output(Command::new(promtool).args(["check", "rules"]).arg(&file))
        .map_err(|error| error.to_string())
}

#[test]
fn prometheus_reads_every_query() {
    for change in [
        json!({}),
        json!({"traces": {"enabled": false}}),
        json!({"metrics": {"enabled": false}, "slos": []}),
        json!({"traces": {"sampling": {"ratio": "0.1"}}, "slos": []}),
        json!({"service": {"name": "A b/c.d_e"}, "logs": {}}),
    ] {
        let expressions = expressions(&change);
        if change["metrics"]["enabled"] == false {
            assert!(
                expressions.is_empty(),
                "without metrics there is nothing to ask Prometheus: {expressions:?}"
            );
            continue;
        }
        assert!(expressions.len() > 10, "{change}: only {expressions:?}");
        let answer =
            promtool(&expressions).unwrap_or_else(|error| panic!("{change}: {error}\n{expressions:#?}"));
        assert!(answer.contains(&format!("{} rules found", expressions.len())), "{answer}");
    }
}

#[test]
fn a_broken_query_would_be_noticed() {
    for broken in ["sum(rate(x{a=\"b\"}[$__rate_interval])", "rate(x)", "x{a=\"$unknown\"}[$__interval]"] {
        let error = promtool(&[("broken".to_owned(), broken.to_owned())]).expect_err(broken);
        assert!(error.contains("dashboard:query:0") || error.contains("parse"), "{broken}: {error}");
    }
}

//! The real programs read what the operator makes of payloads that the API server would not even let into a profile: the
//! escaping holds by itself. One run for all payloads where a program takes many files.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};
use telemetry_operator::plan::slo::ALERT;
use telemetry_operator::{plan, yaml};
use testbed::{Directory, Part};

use super::rendered::{self, DELIVERIES};
use super::{fields, payloads};

/// Secret, listener and payloads.
pub struct Bait {
    pub directory: Directory,
    listener: TcpListener,
    pub address: String,
    pub payloads: Vec<String>,
}

impl Bait {
    pub fn lay() -> Self {
        let directory = Directory::create("canary").expect("a directory");
        let file = directory.path().join("secret");
        fs::write(&file, payloads::SECRET).expect("the secret is written");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let address = listener.local_addr().expect("an address").to_string();
        let payloads = payloads::all(&file, &address);
        Self { directory, listener, address, payloads }
    }

    /// Nobody has called; a connection would wait here to be taken.
    pub fn assert_untouched(&self) {
        let caller = self.listener.accept();
        assert!(caller.is_err(), "somebody followed an address from a profile: {caller:?}");
    }
}

/// The collector's configuration of a body.
fn configuration(body: &Value) -> String {
    let profile = rendered::validated(body, "media", DELIVERIES[1]);
    let children = plan::collector::plan(&profile).expect("a plan");
    let mut files = children.iter().filter_map(|child| child.body["data"]["collector.yaml"].as_str());
    files.next().expect("a configuration").to_owned()
}

/// What the collector makes of a configuration, with the secret in its environment.
fn expanded(bait: &Bait, text: &str) -> String {
    let path = bait.directory.path().join("collector.yaml");
    fs::write(&path, text).expect("the configuration is written");
    let mut command = Command::new(testbed::path(Part::Collector).expect("the collector"));
    command.args(["print-config", "--mode=unredacted", "--validate=false"]);
    command.arg(format!("--config={}", path.display())).env("CANARY", payloads::SECRET);
    command.env("POD_IP", "127.0.0.1");
    testbed::output(&mut command).unwrap_or_else(|error| panic!("{error:#}\n{text}"))
}

#[test]
fn the_collector_expands_nothing() {
    let bait = Bait::lay();
    let [base, _] = fields::bases();
    for three in bait.payloads.chunks(3) {
        let chosen = |index: usize| three.get(index).map_or("text", String::as_str);
        let mut body = base.clone();
        body["spec"]["service"] = json!({"name": chosen(0), "version": chosen(1), "environment": chosen(2)});
        let text = expanded(&bait, &configuration(&body));
        assert!(!text.contains(payloads::SECRET), "the collector read the secret:\n{text}");
        let configuration: Value = serde_yaml::from_str(&text).expect("YAML");
        let processors = configuration["processors"].as_object().expect("processors").values();
        let attributes = processors.filter_map(|processor| processor["attributes"].as_array()).flatten();
        let value = |key: &str| {
            attributes.clone().find(|attribute| attribute["key"] == key).expect("the attribute")["value"]
                .clone()
        };
        assert_eq!(value("service.name"), chosen(0));
        assert_eq!(value("service.version"), chosen(1));
        assert_eq!(value("deployment.environment.name"), chosen(2));
    }
    bait.assert_untouched();
}

/// The check above would notice: the same program does expand what nobody has escaped.
#[test]
fn the_collector_would_expand_what_is_not_escaped() {
    let bait = Bait::lay();
    let [base, _] = fields::bases();
    let text = configuration(&base).replace("staging", "${env:CANARY}");
    assert!(expanded(&bait, &text).contains(payloads::SECRET));
}

/// A profile with a payload wherever an alert repeats what the profile says.
fn alerting(payload: &str) -> Value {
    let [mut body, _] = fields::bases();
    body["spec"]["service"]["name"] = json!(payload);
    body["spec"]["alerting"] = json!({"labels": {"team": payload}, "runbookBaseURL": payload});
    // As far apart as promtool's samples.
    body["spec"]["metrics"]["interval"] = json!("60s");
    body["spec"]["slos"] = json!([{
        "name": "failures", "objective": "99.5",
        "ratio": {"bad": "orders_total{state=\"failed\"}", "total": "orders_total"},
        "alerting": {"ticket": false, "labels": {"tier": payload}},
    }]);
    body
}

fn rules(payload: &str, namespace: &str) -> String {
    let profile = rendered::validated(&alerting(payload), namespace, DELIVERIES[1]);
    plan::slo::rule_file(&profile).expect("a plan").expect("rules")
}

/// The alerts as they shall fire: those of a plain text, with the payload in its place.
fn expected(payload: &str, namespace: &str) -> Vec<Value> {
    const PLAIN: &str = "PLAINTEXT";
    let file: Value = serde_yaml::from_str(&rules(PLAIN, namespace)).expect("rules");
    let rules = file["groups"][0]["rules"].as_array().expect("rules");
    let texts = |texts: &Value| -> serde_json::Map<String, Value> {
        let texts = texts.as_object().expect("texts").iter();
        texts
            .map(|(key, text)| {
                let text = text.as_str().expect("a text");
                // All events are bad, and the budget is half a percent.
                let text = text.replace("{{ $value | humanize }}", "200");
                let url = payload.trim_end_matches('/');
                (key.clone(), text.replace(PLAIN, if key == "runbook_url" { url } else { payload }).into())
            })
            .collect()
    };
    let alerts = rules.iter().filter(|rule| rule["alert"].is_string());
    alerts
        .map(|alert| json!({"exp_labels": texts(&alert["labels"]), "exp_annotations": texts(&alert["annotations"])}))
        .collect()
}

/// Alerts fire in a real engine: labels and annotations come out as the profile has them.
#[test]
fn alerts_say_what_the_profile_says() {
    let bait = Bait::lay();
    let directory = bait.directory.path();
    let (mut files, mut series, mut alerts) = (Vec::new(), Vec::new(), Vec::new());
    for (index, payload) in bait.payloads.iter().enumerate() {
        let (namespace, name) = (format!("n{index}"), format!("{index}.rules.yaml"));
        fs::write(directory.join(&name), rules(payload, &namespace)).expect("the rules are written");
        files.push(name);
        alerts.extend(expected(payload, &namespace));
        series.push(json!({
            "series": format!("orders_total{{namespace=\"{namespace}\",state=\"failed\"}}"), "values": "0+60x60",
        }));
    }
    assert!(alerts.len() > bait.payloads.len(), "each has more than one alert");
    let test = json!({"interval": "1m", "input_series": series, "alert_rule_test": [
        {"eval_time": "50m", "alertname": ALERT, "exp_alerts": alerts}]});
    let test = json!({"rule_files": files, "evaluation_interval": "1m", "tests": [test]});
    let text = yaml::to_string(&test).expect("YAML");
    fs::write(directory.join("test.yaml"), text).expect("the test is written");
    let mut command = Command::new(testbed::path(Part::Promtool).expect("promtool"));
    command.args(["test", "rules", "test.yaml"]).current_dir(directory).env("CANARY", payloads::SECRET);
    if let Err(error) = testbed::output(&mut command) {
        panic!("{error:#}");
    }
    bait.assert_untouched();
}

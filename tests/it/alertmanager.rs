//! The real Alertmanager with the configuration of docs/alerting.md, on the alerts of generated rules: a page goes to the
//! pager, a ticket to the tickets, and a page mutes the tickets of the same SLO and group, and no other alert.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use telemetry_operator::observed::Observed;
use telemetry_operator::plan;
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::validate;
use testbed::{Daemon, Directory, Part, Readiness, free_ports, http, http_get, wait_until};

use crate::common::{output, repository_file, shared};
use crate::kinds::crd;

const DEADLINE: Duration = Duration::from_secs(60);

/// Two SLOs, the second one in parts.
const PROFILE: &str = "
    apiVersion: telemetry-operator.dev/v1alpha1
    kind: TelemetryProfile
    metadata: {name: trakt, namespace: media}
    spec:
      selector: {matchLabels: {app: trakt}}
      service: {name: trakt}
      slos:
      - {name: calls, objective: '99.9', ratio: {bad: errors_total, total: calls_total}}
      - {name: films, objective: '99.9', groupBy: [region, tier], ratio: {bad: errors_total, total: calls_total}}";

type Labels = BTreeMap<String, String>;

/// The first YAML block of the document that has this line.
fn block(document: &str, line: &str) -> String {
    let blocks = document.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let mut blocks = blocks.map(|(block, _)| block);
    blocks.find(|block| block.lines().any(|found| found == line)).expect("a block with this line").to_owned()
}

/// The rule of every alert of a profile with SLOs of all tiers, and with one in parts.
pub fn alert_rules() -> Vec<Value> {
    let profile: TelemetryProfile = serde_yaml::from_str(PROFILE).expect("a profile");
    let profile = validate(&profile, &Observed::default(), &Settings::default()).expect("a valid profile");
    let rules = plan::slo::rule_file(&profile).expect("rules").expect("SLOs");
    let rules: Value = serde_yaml::from_str(&rules).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.filter(|rule| rule["alert"].is_string()).cloned().collect()
}

/// The labels of every alert, with those of the groups as Prometheus would expand them.
fn alerts() -> Vec<Labels> {
    alert_rules()
        .into_iter()
        .flat_map(|rule| {
            let mut labels: Labels = serde_json::from_value(rule["labels"].clone()).expect("labels");
            labels.insert("alertname".to_owned(), rule["alert"].as_str().expect("a name").to_owned());
            expanded(labels)
        })
        .collect()
}

fn expanded(labels: Labels) -> Vec<Labels> {
    let Some(template) = labels.get("slo_group").cloned() else { return vec![labels] };
    let group = |region: &str| {
        let group = template.replace("{{ $labels.region }}", region).replace("{{ $labels.tier }}", "free");
        assert_eq!(group, format!("{region}/free"));
        let mut labels = labels.clone();
        labels.extend(
            [("region", region), ("tier", "free"), ("slo_group", &group)]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        labels
    };
    ["eu", "us"].map(group).into()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An Alertmanager with the document's configuration.
struct Alertmanager {
    url: String,
    config: PathBuf,
    _process: Daemon,
    _directory: Directory,
}

/// An alert as Alertmanager shows it.
#[derive(Debug)]
struct Shown {
    labels: Labels,
    muted: bool,
    receiver: String,
}

impl Alertmanager {
    fn start() -> Self {
        let directory = Directory::create("alertmanager").expect("a directory");
        let config = directory.path().join("alertmanager.yml");
        fs::write(&config, block(&repository_file("docs/alerting.md"), "inhibit_rules:")).expect("a file");
        let [port] = free_ports().expect("a free port");
        let mut command = Command::new(testbed::path(Part::Alertmanager).expect("Alertmanager"));
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--cluster.listen-address=");
        let url = format!("http://127.0.0.1:{port}");
        let readiness = Readiness::Http { url: format!("{url}/-/ready"), deadline: DEADLINE };
        let log = directory.path().join("log");
        let process = Daemon::start("alertmanager", command, &log, readiness).expect("Alertmanager");
        Self { url, config, _process: process, _directory: directory }
    }

    /// Sends alerts that begin now, or have ended.
    fn send(&self, alerts: &[Labels], ended: bool) {
        let ends = if ended { "2026-01-01T00:00:00Z" } else { "2100-01-01T00:00:00Z" };
        let alerts: Vec<_> = alerts
            .iter()
            .map(|labels| json!({"labels": labels, "startsAt": "2025-01-01T00:00:00Z", "endsAt": ends}))
            .collect();
        let url = format!("{}/api/v2/alerts", self.url);
        let (status, answer) = http("POST", &url, &json!(alerts).to_string()).expect("an answer");
        assert_eq!(status, 200, "{answer}");
    }

    /// The alerts once there are this many: it stores them beside its answer.
    fn alerts(&self, number: usize) -> Vec<Shown> {
        wait_until(&format!("{number} alerts in Alertmanager"), DEADLINE, || {
            let (_, text) = http_get(&format!("{}/api/v2/alerts", self.url))?;
            let alerts: Vec<Value> = serde_json::from_str(&text)?;
            Ok((alerts.len() == number).then_some(alerts))
        })
        .expect("the alerts")
        .into_iter()
        .map(|alert| Shown {
            labels: serde_json::from_value(alert["labels"].clone()).expect("labels"),
            muted: alert["status"]["inhibitedBy"] != json!([]),
            receiver: alert["receivers"][0]["name"].as_str().expect("a receiver").to_owned(),
        })
        .collect()
    }
}

#[test]
fn the_documented_configuration_is_accepted_and_routes_by_severity() {
    let alertmanager = Alertmanager::start();
    let mut amtool = Command::new(testbed::path(Part::Amtool).expect("amtool"));
    amtool.arg("check-config").arg(&alertmanager.config);
    let checked = output(amtool);
    assert!(checked.contains("1 inhibit rules") && checked.contains("3 receivers"), "{checked}");

    let sent = alerts();
    alertmanager.send(&sent, false);
    // Two pages and two tickets for one group and each of two, and for each SLO one for its metric.
    for Shown { labels, receiver, .. } in alertmanager.alerts(3 * 4 + 2) {
        let expected = if labels["severity"] == "page" { "pager" } else { "tickets" };
        assert_eq!(receiver, expected, "{labels:?}");
    }
}

#[test]
fn a_page_mutes_the_tickets_of_its_slo_and_group_and_nothing_else() {
    let alertmanager = Alertmanager::start();
    let of = |slo: &str, group: Option<&str>| {
        let of =
            |labels: &Labels| labels["slo"] == slo && labels.get("slo_group").map(String::as_str) == group;
        alerts().into_iter().filter(of).collect::<Vec<_>>()
    };
    let tickets = |mut alerts: Vec<Labels>| {
        alerts.retain(|labels| labels["severity"] == "ticket");
        alerts
    };
    let calls = of("calls", None);
    let films = of("films", Some("eu/free"));
    let mut sent = [calls.clone(), films.clone(), tickets(of("films", Some("us/free")))].concat();
    // The same SLO of another profile and of another namespace; alerts of others, with and without a namespace.
    for (label, value) in [("telemetry_profile", "other"), ("namespace", "shop")] {
        let mut ticket = tickets(calls.clone()).remove(0);
        ticket.insert(label.to_owned(), value.to_owned());
        sent.push(ticket);
    }
    for severity in ["page", "ticket"] {
        sent.push(labels(&[("alertname", "DiskFull"), ("severity", severity)]));
        sent.push(labels(&[("alertname", "PodCrash"), ("severity", severity), ("namespace", "media")]));
    }
    alertmanager.send(&sent, false);

    let muted = |found: Vec<Shown>| {
        let mut muted: Vec<_> =
            found.into_iter().filter(|alert| alert.muted).map(|alert| alert.labels).collect();
        muted.sort();
        muted
    };
    let burning = |alerts: Vec<Labels>| {
        let mut burning = tickets(alerts);
        burning.retain(|labels| labels["alertname"] == "ErrorBudgetBurn");
        burning.sort();
        burning
    };
    let expected = burning([calls.clone(), films.clone()].concat());
    assert_eq!(expected.len(), 4, "two tiers of tickets for each SLO");
    assert_eq!(muted(alertmanager.alerts(sent.len())), expected);

    // The pages of one SLO end: its tickets are heard.
    let mut pages = calls;
    pages.retain(|labels| labels["severity"] == "page");
    alertmanager.send(&pages, true);
    assert_eq!(muted(alertmanager.alerts(sent.len() - pages.len())), burning(films));
}

/// The top route has a schema. Those below it have none in the definition, so each is tried at the top.
#[tokio::test(flavor = "multi_thread")]
async fn the_prometheus_operators_definition_accepts_the_documented_object() {
    let cluster = shared();
    let namespace = cluster.namespace("alerting").await;
    cluster.plane.apply(&crd("alertmanagerconfigs")).expect("the definition is accepted");
    wait_until("the API server to serve AlertmanagerConfigs", DEADLINE, || {
        testbed::output(&mut cluster.plane.kubectl(["get", "alertmanagerconfigs", "-n", &namespace]))
            .map(Some)
    })
    .expect("the kind");
    let document = block(&repository_file("docs/alerting.md"), "kind: AlertmanagerConfig");
    let object: Value = serde_yaml::from_str(&document).expect("YAML");
    let below = object["spec"]["route"]["routes"].as_array().expect("routes below the first").clone();
    let routes = below.into_iter().map(|route| {
        let mut object = object.clone();
        object["spec"]["route"] = route;
        object
    });
    let directory = Directory::create("alertmanagerconfig").expect("a directory");
    let file = directory.path().join("object.json");
    for object in [object.clone()].into_iter().chain(routes) {
        fs::write(&file, object.to_string()).expect("a file");
        let mut apply = cluster.plane.kubectl(["apply", "--server-side", "--dry-run=server"]);
        apply.args(["--namespace", &namespace, "--filename"]).arg(&file);
        output(apply);
    }
}

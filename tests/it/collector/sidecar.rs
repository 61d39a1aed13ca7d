//! The sidecar's configuration: the files that a pod's arguments name, which the collector reads as one.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use telemetry_operator::inject::Injector;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan::sidecar::{BASE_FILE, DIRECTORY, METRICS_FILE};
use telemetry_operator::plan::{self};
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::validate;
use testbed::{Daemon, Directory, Part, Readiness, free_ports};

use super::running::{Running, exchange};
use super::{DEADLINE, TABLE, examples, planned, profile, telemetry};

#[test]
fn the_collector_accepts_the_files_of_every_sidecar() {
    let directory = Directory::create("sidecar-validate").expect("a directory");
    let binary = testbed::path(Part::Collector).expect("the collector");
    let settings = Settings::default();
    let mut combinations = std::collections::BTreeSet::new();
    for profile in TABLE.iter().map(|spec| profile("on", spec)).chain(examples()) {
        let validated = validate(&profile, &Observed::default(), &settings).expect("a valid profile");
        let children = plan::sidecar::plan(&validated).expect("a plan");
        for (file, text) in children[0].body["data"].as_object().expect("files") {
            fs::write(directory.path().join(file), text.as_str().expect("text")).expect("a file is written");
        }
        let labels: serde_json::Map<_, _> = profile
            .spec
            .selector
            .match_labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let mut pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app"}]}});
        let injector = Injector::new(&profile, &settings);
        if !injector.is_wanted() {
            continue;
        }
        let patch = injector.patch(&pod);
        json_patch::patch(&mut pod, &patch).expect("the patch fits");
        let arguments: Vec<String> = pod["spec"]["initContainers"][0]["args"]
            .as_array()
            .expect("arguments")
            .iter()
            .map(|argument: &Value| {
                let here = directory.path().display().to_string();
                argument.as_str().expect("text").replace(DIRECTORY, &here)
            })
            .collect();
        let mut command = Command::new(&binary);
        command.arg("validate").args(&arguments);
        if let Err(error) = testbed::output(&mut command) {
            panic!("the collector refuses {arguments:?} of {:?}: {error:#}", profile.spec);
        }
        combinations.insert(arguments);
    }
    assert!(combinations.len() >= 7, "{combinations:#?}");
}

/// What a sidecar says of itself comes out of the collector, with the application's pod as its instance.
#[test]
fn a_sidecars_own_metrics_come_through_the_collector() {
    const MEMORY: u64 = 128 << 20;
    let directory = Directory::create("sidecar-own-metrics").expect("a directory");
    let configuration = planned(&profile("trakt", "")).expect("a file");
    let collector = Running::start("collector", &configuration, "127.0.0.1:9", &directory);
    let [grpc, http, health] = free_ports().expect("free ports");
    let files = plan::sidecar::files("trakt", MEMORY).expect("the files");
    let mut command = Command::new(testbed::path(Part::Collector).expect("the collector"));
    for name in [BASE_FILE, METRICS_FILE] {
        let text = files[name]
            .replace("trakt-collector:4317", &collector.otlp_grpc())
            .replace("127.0.0.1:4317", &format!("127.0.0.1:{grpc}"))
            .replace("127.0.0.1:4318", &format!("127.0.0.1:{http}"))
            .replace("0.0.0.0:13133", &format!("127.0.0.1:{health}"))
            .replace("interval: 30000", "interval: 200");
        let file = directory.path().join(name);
        fs::write(&file, text).expect("a file is written");
        command.arg(format!("--config={}", file.display()));
    }
    let ready = Readiness::Http { url: format!("http://127.0.0.1:{health}/"), deadline: DEADLINE };
    let log = directory.path().join("sidecar.log");
    command.env("HOSTNAME", "trakt-abc");
    let sidecar = Daemon::start("sidecar", command, &log, ready).expect("a sidecar");

    let body = telemetry::counter().to_string();
    let head = format!(
        "POST /v1/metrics HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(exchange(http, head.as_bytes()).contains(" 200 "));
    let of_pod = [("instance", "trakt-abc"), ("job", "trakt")];
    collector.wait_for("otelcol_exporter_queue_capacity", &of_pod, (MEMORY / 8) as f64);
    collector.wait_for("otelcol_receiver_accepted_metric_points_total", &of_pod, 1.0);
    collector.wait_for("otelcol_receiver_refused_metric_points_total", &of_pod, 0.0);
    collector.wait_for("otelcol_exporter_sent_metric_points_total", &of_pod, 1.0);
    // It opens no port for them.
    assert_eq!(crate::common::listening(sidecar.id()), [grpc, http, health].into());
}

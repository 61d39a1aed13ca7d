//! What `examples/export-trakt-4-letterboxd.yaml` names, asked of a real Prometheus that scrapes the exporter.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use exporter::simulator::Behaviour;
use serde_json::{Value, json};
use testbed::{Daemon, Directory, Part, Readiness, free_ports, http_get, wait_until};

use super::stack::*;
use crate::common::*;

/// A Prometheus that scrapes one port.
struct Prometheus {
    url: String,
    _process: Daemon,
    _directory: Directory,
}

impl Prometheus {
    fn scraping(port: u16) -> Self {
        let directory = Directory::create("prometheus").expect("a directory");
        let config = directory.path().join("prometheus.json");
        let job = json!({
            "job_name": "exporter",
            "scrape_interval": "200ms",
            "scrape_timeout": "200ms",
            "static_configs": [{"targets": [format!("127.0.0.1:{port}")]}],
        });
        fs::write(&config, json!({"scrape_configs": [job]}).to_string()).expect("the configuration");
        let [port] = free_ports().expect("a port");
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(testbed::path(Part::Prometheus).expect("Prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--enable-feature=exemplar-storage")
            .current_dir(directory.path());
        let readiness = Readiness::Http { url: format!("{url}/-/ready"), deadline: PLENTY };
        let log = directory.path().join("log");
        let process = Daemon::start("prometheus", command, &log, readiness).expect("Prometheus");
        Self { url, _process: process, _directory: directory }
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) =
            http_get(&format!("{}/api/v1/{path}", self.url)).expect("an answer of Prometheus");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["data"].take()
    }

    /// The value of every series that a selector finds.
    fn values(&self, selector: &str) -> Vec<f64> {
        let found = list(&self.get(&format!("query?query={selector}"))["result"]);
        found.iter().map(|series| text(&series["value"][1]).parse().expect("a number")).collect()
    }

    /// Waits until the sum of what a selector finds is this.
    fn await_sum(&self, selector: &str, wanted: f64) {
        wait_until(&format!("{selector} to be {wanted}"), PLENTY, || {
            let values = self.values(selector);
            let sum: f64 = values.iter().sum();
            // Counts of a few.
            if !values.is_empty() && (sum - wanted).abs() < 0.5 {
                return Ok(Some(()));
            }
            Err(io::Error::other(format!("{values:?}")).into())
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// The type of a metric. In `OpenMetrics` the family of a counter has no `_total`.
    fn kind(&self, name: &str) -> String {
        let metadata = self.get("metadata");
        let family = [name, name.trim_end_matches("_total")].iter().find_map(|name| metadata.get(name));
        text(&family.unwrap_or_else(|| panic!("no metadata of {name} in {metadata:#}"))[0]["type"])
    }
}

/// The profile's objectives by name.
fn objective<'a>(profile: &'a Value, name: &str) -> &'a Value {
    let all = profile["spec"]["slos"].as_array().expect("objectives");
    all.iter().find(|slo| slo["name"] == name).unwrap_or_else(|| panic!("no objective {name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_finds_every_metric_and_every_selector_of_the_profile_after_an_incident() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../export-trakt-4-letterboxd.yaml");
    let profile: Value = serde_yaml::from_str(&read(path.as_ref())).expect("YAML");
    let simulator = simulator(size(450, 150, 30), 3).await;
    let collector = backends().collector();
    let (variables, port) = environment(&collector.grpc_endpoint());
    let cache = Directory::create("cache").expect("a directory");
    let arguments = ["--config", CONFIG, "--cache", cache.path().to_str().expect("a path")];
    let service = Service::start(&simulator.url(), &arguments, &variables);
    let prometheus = Prometheus::scraping(port);

    // An increase is seen only where there was a series before.
    prometheus.await_sum("trakt_exports_total", 0.0);
    prometheus.await_sum("export_trakt_movies_exported_total", 0.0);
    simulator.behave(Behaviour { error_rate: 0.2, ..Behaviour::default() }).expect("a behaviour");
    assert!(service.export(None).await.is_success());
    let asked = asked(&simulator);
    let [all, failed] = [asked.len(), asked.iter().filter(|asked| asked.status != 200).count()];
    assert!(failed > 0, "nothing went wrong");
    let [all, failed] = [all, failed].map(|count| f64::from(u32::try_from(count).expect("a few")));

    let calls = &objective(&profile, "api-calls")["ratio"];
    prometheus.await_sum(&text(&calls["total"]), all);
    prometheus.await_sum(&text(&calls["bad"]), failed);
    let latency = &objective(&profile, "api-latency")["latency"];
    let [histogram, threshold] = ["histogram", "threshold"].map(|key| text(&latency[key]));
    // The simulator answers at once: every call is below the threshold, in the bucket that ends there.
    prometheus.await_sum(&format!("{histogram}_bucket{{le=\"{threshold}\"}}"), all);
    let freshness = &objective(&profile, "export-freshness")["freshness"];
    prometheus.await_sum(&text(&freshness["counter"]), 3.0);

    for instrument in profile["spec"]["metrics"]["instruments"].as_array().expect("instruments") {
        let [name, declared] = ["name", "type"].map(|key| text(&instrument[key]));
        let (series, exposed) = match declared.as_str() {
            "Counter" => (name.clone(), "counter"),
            "Gauge" | "UpDownCounter" => (name.clone(), "gauge"),
            "Histogram" => (format!("{name}_bucket"), "histogram"),
            other => panic!("{name} is a {other}"),
        };
        assert!(!prometheus.values(&series).is_empty(), "{name} is not exposed");
        assert_eq!(prometheus.kind(&name), exposed, "{name}");
    }

    // From a bucket to the trace of a call in it.
    let (trace, _) = asked[0].context.clone().expect("a trace context");
    let exemplars = prometheus.get(&format!("query_exemplars?query={histogram}_bucket"));
    assert_eq!(exemplars[0]["exemplars"][0]["labels"]["trace_id"], trace, "{exemplars:#}");
    assert!(!backends().spans(&trace, 1).is_empty());

    let (_, page) = http_get(&format!("http://127.0.0.1:{port}/metrics")).expect("a page of metrics");
    assert_eq!(promtool(&page), (Some(0), String::new()));
}

/// What `promtool check metrics` says about a page.
fn promtool(page: &str) -> (Option<i32>, String) {
    let mut promtool = Command::new(testbed::path(Part::Promtool).expect("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    promtool.stdin.take().expect("an input").write_all(page.as_bytes()).expect("a reader");
    let output = promtool.wait_with_output().expect("an end");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    (output.status.code(), said)
}

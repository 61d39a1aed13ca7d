//! The real Prometheus and promtool on what the server exposes.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use opentelemetry::KeyValue;
use serde_json::{Value, json};
use testbed::{Daemon, Directory, Part, Readiness, free_ports, http_get, wait_until};

use super::server::{self, Server};
use super::tests::{metrics, span, various};
use super::{Metrics, TelemetryInstruments};
use crate::runtime::Background;

const DEADLINE: Duration = Duration::from_secs(60);
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A Prometheus that scrapes one server every second.
struct Prometheus {
    url: String,
    _process: Daemon,
    _directory: Directory,
    _server: (Server, Background),
}

impl Prometheus {
    /// `protocols`: in which formats it may ask.
    fn scraping(metrics: &Metrics, protocols: &str) -> Self {
        let listener = server::bind(Some(LOCALHOST), 0).unwrap();
        let target = listener.local_addr().unwrap();
        let background = Background::start().unwrap();
        let ready = Arc::new(AtomicBool::new(true));
        let server = Server::start(listener, metrics.clone(), ready, background.handle());

        let directory = Directory::create("telemetry-prometheus").unwrap();
        let config = directory.path().join("prometheus.yml");
        let job = json!({
            "job_name": "trakt",
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "scrape_protocols": protocols.split(' ').collect::<Vec<_>>(),
            "static_configs": [{"targets": [target.to_string()]}],
        });
        fs::write(&config, json!({"scrape_configs": [job]}).to_string()).unwrap();
        let [port] = free_ports().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(testbed::path(Part::Prometheus).unwrap());
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--enable-feature=exemplar-storage")
            .current_dir(directory.path());
        let readiness = Readiness::Http { url: format!("{url}/-/ready"), deadline: DEADLINE };
        let log = directory.path().join("prometheus.log");
        let process = Daemon::start("prometheus", command, &log, readiness).unwrap();
        let prometheus =
            Self { url, _process: process, _directory: directory, _server: (server, background) };
        wait_until("the first scrape", DEADLINE, || {
            let targets = prometheus.get("/api/v1/targets");
            let target = &targets["activeTargets"][0];
            match target["health"].as_str() {
                Some("up") => Ok(Some(())),
                _ => Err(io::Error::other(target["lastError"].to_string()).into()),
            }
        })
        .unwrap();
        prometheus
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = http_get(&format!("{}{path}", self.url)).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    /// Labels and value of every series of this name, without those of the scrape.
    fn series(&self, name: &str) -> Vec<(Value, String)> {
        let mut data = self.get(&format!("/api/v1/query?query={name}"));
        let mut series: Vec<_> = data["result"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .map(|series| {
                let mut labels = series["metric"].take();
                for name in ["__name__", "instance", "job"] {
                    labels.as_object_mut().unwrap().remove(name);
                }
                (labels, series["value"][1].as_str().unwrap().to_owned())
            })
            .collect();
        series.sort_by_key(|(labels, _)| labels.to_string());
        series
    }
}

/// As Prometheus asks without being told how.
const DEFAULT: &str = "OpenMetricsText1.0.0 OpenMetricsText0.0.1 PrometheusText1.0.0 PrometheusText0.0.4";

#[test]
fn prometheus_reads_the_same_from_either_format() {
    let value = |value: &str| value.to_owned();
    let bucket = |bound: &str, count: &str| (json!({"ok": "true", "le": bound}), value(count));
    let expected = [
        (
            "jobs_total",
            vec![
                (json!({"_2_xx": "a\"b\\c\nd é 漢", "http_method": "GET"}), value("2")),
                (json!({}), value("1")),
            ],
        ),
        ("jobs_by_name", vec![(json!({"exported_le": "1"}), value("3"))]),
        (
            "duration_seconds_bucket",
            vec![bucket("+Inf", "4"), bucket("0.5", "0"), bucket("1.0", "3"), bucket("1e+07", "3")],
        ),
        ("duration_seconds_sum", vec![(json!({"ok": "true"}), value("20000002.375"))]),
        ("duration_seconds_count", vec![(json!({"ok": "true"}), value("4"))]),
        ("limit", vec![(json!({}), value("+Inf"))]),
        ("native_seconds_count", vec![(json!({}), value("1"))]),
        ("native_total", vec![(json!({}), value("7"))]),
        ("ratio", vec![(json!({}), value("0.25"))]),
        ("running", vec![(json!({}), value("-2"))]),
        ("target_info", vec![(json!({"service_name": "trakt"}), value("1"))]),
    ];
    for protocols in [DEFAULT, "PrometheusText0.0.4"] {
        let prometheus = Prometheus::scraping(&various(), protocols);
        for (name, series) in &expected {
            assert_eq!(prometheus.series(name), *series, "{name} by {protocols}");
        }
        let metadata = prometheus.get("/api/v1/metadata");
        let openmetrics = protocols == DEFAULT;
        let (jobs, target) = if openmetrics { ("jobs", "target") } else { ("jobs_total", "target_info") };
        assert_eq!(metadata[jobs][0]["type"], "counter", "{protocols}: {metadata:#}");
        assert_eq!(metadata[jobs][0]["help"], "Jobs; a \\ and\na \"line\".", "{protocols}");
        assert_eq!(metadata[target][0]["type"], if openmetrics { "info" } else { "gauge" }, "{metadata:#}");
    }
}

#[test]
fn an_exemplar_leads_from_prometheus_to_its_trace() {
    let metrics = metrics();
    let instruments = TelemetryInstruments::new(&metrics);
    let call = [KeyValue::new("endpoint", "/sync/history"), KeyValue::new("outcome", "ok")];
    instruments.api_duration.record_in(&span(0xa1, true), 0.3, &call);
    instruments.api_duration.record_in(&span(0xb2, true), 3.0, &call);
    {
        let _current = span(0xc3, true).attach();
        instruments.exports.add(1, &[KeyValue::new("kind", "movies")]);
    }
    let prometheus = Prometheus::scraping(&metrics, DEFAULT);
    let exemplars = |name: &str| {
        let path = format!("/api/v1/query_exemplars?query={name}");
        wait_until(&path, DEADLINE, || {
            let found = prometheus.get(&path);
            Ok((found != json!([])).then_some(found))
        })
        .unwrap()
    };
    let found = exemplars("trakt_exports_total");
    assert_eq!(found[0]["seriesLabels"]["kind"], "movies", "{found:#}");
    let exemplar = &found[0]["exemplars"][0];
    let labels = json!({"trace_id": format!("{:032x}", 0xc3), "span_id": "0000000000000002"});
    assert_eq!((&exemplar["labels"], &exemplar["value"]), (&labels, &json!("1")), "{found:#}");

    let found = exemplars("trakt_api_duration_seconds_bucket");
    let mut by_bucket: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            assert_eq!(series["seriesLabels"]["endpoint"], "/sync/history");
            let exemplar = &series["exemplars"][0];
            (
                series["seriesLabels"]["le"].as_str(),
                exemplar["labels"]["trace_id"].as_str(),
                exemplar["value"].as_str(),
            )
        })
        .collect();
    by_bucket.sort();
    let [first, second] = [0xa1, 0xb2].map(|trace_id| format!("{trace_id:032x}"));
    let expected =
        [(Some("0.5"), Some(first.as_str()), Some("0.3")), (Some("5.0"), Some(second.as_str()), Some("3"))];
    assert_eq!(by_bucket, expected);
}

#[test]
fn promtool_has_nothing_to_say_about_the_names() {
    let metrics = metrics();
    let instruments = TelemetryInstruments::new(&metrics);
    instruments.exports.add(1, &[KeyValue::new("kind", "movies")]);
    instruments.api_duration.record(0.3, &[KeyValue::new("endpoint", "/sync/history")]);
    instruments.cache_hit_ratio.record(0.9, &[]);
    let _active = instruments.active_operation("export.movies");

    let mut promtool = Command::new(testbed::path(Part::Promtool).unwrap())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.render(None).body.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((output.status.code(), said), (Some(0), [String::new(), String::new()]));
}

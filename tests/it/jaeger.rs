//! The real Jaeger on generated configurations: it starts on every one, opens no port beyond those of its Service and its
//! health, gives back what it was sent, and asks Prometheus for the metrics that the collector makes.
//!
//! Ports and directories are moved, because several run on one machine; nothing else of a configuration is changed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan;
use telemetry_operator::plan::pipeline;
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::{ValidatedProfile, validate};
use testbed::{Daemon, Directory, Part, Readiness, free_ports, http_get, wait_until};

use crate::common::listening;

const DEADLINE: Duration = Duration::from_secs(60);

/// A profile whose spec has `rest` beside selector and service.
fn profile(rest: &str, prometheus_url: Option<&str>) -> ValidatedProfile {
    let spec = format!("{{selector: {{matchLabels: {{app: trakt}}}}, service: {{name: trakt}}, {rest}}}");
    let mut profile = TelemetryProfile::new("trakt", serde_yaml::from_str(&spec).expect("a spec"));
    profile.metadata.namespace = Some("media".to_owned());
    let settings = Settings { prometheus_url: prometheus_url.map(str::to_owned), ..Settings::default() };
    validate(&profile, &Observed::default(), &settings).expect("a valid profile")
}

/// `jaeger.yaml` as the operator plans it.
fn configuration(rest: &str, prometheus_url: Option<&str>) -> Value {
    let children = plan::jaeger::plan(&profile(rest, prometheus_url)).expect("a plan");
    let config_map = children.iter().find(|child| child.kind == ChildKind::ConfigMap).expect("a ConfigMap");
    serde_yaml::from_str(config_map.body["data"]["jaeger.yaml"].as_str().expect("a file")).expect("YAML")
}

/// A running Jaeger and where its ports were moved to.
struct Jaeger {
    process: Daemon,
    otlp: u16,
    query: u16,
    ports: BTreeSet<u16>,
}

impl Jaeger {
    /// Starts one that keeps its files, if it has any, in `directory`, and waits until it calls itself healthy.
    fn start(configuration: &Value, directory: &Path) -> Self {
        let [otlp, query, query_grpc, health] = free_ports().expect("free ports");
        let mut moved = configuration.clone();
        edit(&mut moved, &mut |text| {
            for (from, to) in [(4317, otlp), (16686, query), (16685, query_grpc), (13133, health)] {
                if text == format!("0.0.0.0:{from}") {
                    return format!("127.0.0.1:{to}");
                }
            }
            text.replacen(
                "/badger",
                &format!("{}/badger", directory.display()),
                usize::from(text.starts_with('/')),
            )
        });
        let file = directory.join("jaeger.yaml");
        fs::write(&file, serde_yaml::to_string(&moved).expect("YAML")).expect("the configuration is written");
        let mut command = Command::new(testbed::path(Part::Jaeger).expect("Jaeger"));
        command.arg(format!("--config={}", file.display()));
        let readiness =
            Readiness::Http { url: format!("http://127.0.0.1:{health}/status"), deadline: DEADLINE };
        let process = Daemon::start("jaeger", command, &directory.join("jaeger.log"), readiness)
            .unwrap_or_else(|error| panic!("Jaeger does not turn healthy: {error:?}\n{configuration:#}"));
        Self { process, otlp, query, ports: [otlp, query, query_grpc, health].into() }
    }

    fn query(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.query);
        let (status, body) = http_get(&url).expect("an answer");
        assert_eq!(status, 200, "{url}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Waits until the span of [`Collector::send`] can be read.
    fn wait_for_span(&self) {
        wait_until("the span in Jaeger", DEADLINE, || {
            let traces = self.query("/api/traces?service=trakt&lookback=1h&limit=10");
            Ok((traces["data"][0]["spans"][0]["operationName"] == "sync history").then_some(()))
        })
        .unwrap();
    }
}

/// Applies a change to every string value.
fn edit(value: &mut Value, change: &mut impl FnMut(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(list) => list.iter_mut().for_each(|value| edit(value, change)),
        Value::Object(map) => map.values_mut().for_each(|value| edit(value, change)),
        _ => {}
    }
}

const BADGER: &str = "traces: {jaeger: {storage: Badger, retention: 2d, size: 1Gi}}";

#[test]
fn starts_on_every_configuration_and_opens_only_its_ports() {
    for (rest, prometheus_url) in [
        ("", None),
        ("jaeger: {resources: {limits: {memory: 32Mi}}}", None),
        ("jaeger: {resources: {limits: {memory: 64Gi}}}", None),
        ("traces: {sampling: {ratio: '0.1'}, protocols: [JaegerThriftHTTP]}", None),
        ("metrics: {enabled: false}", None),
        ("metrics: {prometheus: Managed}", None),
        ("", Some("https://prometheus.example.com/prefix")),
        (BADGER, None),
        ("traces: {jaeger: {storage: Badger, retention: 9999d}}, metrics: {prometheus: Managed}", None),
        ("traces: {jaeger: {storage: Badger}}, jaeger: {resources: {limits: {memory: 512Mi}}}", None),
    ] {
        let directory = Directory::create("jaeger-table").expect("a directory");
        let jaeger = Jaeger::start(&configuration(rest, prometheus_url), directory.path());
        assert_eq!(listening(jaeger.process.id()), jaeger.ports, "open ports with {rest:?}");
        assert_eq!(jaeger.query("/api/services")["total"], 0, "{rest:?}");
    }
}

#[test]
fn gives_back_what_it_was_sent() {
    let directory = Directory::create("jaeger-memory").expect("a directory");
    let jaeger = Jaeger::start(&configuration("", None), directory.path());
    // The collector must live until the span has arrived: one that ends tries only once.
    let collector = Collector::start(jaeger.otlp, directory.path());
    collector.send();
    jaeger.wait_for_span();
}

#[test]
fn traces_on_a_volume_outlive_the_process() {
    let directory = Directory::create("jaeger-badger").expect("a directory");
    let configuration = configuration(BADGER, None);
    let mut jaeger = Jaeger::start(&configuration, directory.path());
    let collector = Collector::start(jaeger.otlp, directory.path());
    collector.send();
    jaeger.wait_for_span();
    jaeger.process.terminate().expect("Jaeger ends");
    Jaeger::start(&configuration, directory.path()).wait_for_span();
}

/// What the Traces dashboard asks a search for, of every storage, with spans as the profile's collector sends them there.
#[test]
fn failed_traces_are_found_by_the_tag_of_the_dashboard() {
    for rest in ["", BADGER] {
        let profile = profile(rest, None);
        let directory = Directory::create("jaeger-failed").expect("a directory");
        let jaeger = Jaeger::start(&configuration(rest, None), directory.path());
        let pipeline = serde_json::to_value(pipeline::configuration(&profile)).expect("a configuration");
        let collector =
            Collector::start_with(jaeger.otlp, directory.path(), &pipeline["processors"]["transform"]);
        collector.send();
        let failed = "6b8efff798038103d269b633813fc60c";
        collector.send_one(failed, json!({"code": 2}));
        let tags = dashboard_tag(&profile);
        let (key, value) = tags.split_once('=').expect("a tag");
        let query =
            format!("/api/traces?service=trakt&lookback=1h&limit=10&tags=%7B%22{key}%22:%22{value}%22%7D");
        jaeger.wait_for_span();
        wait_until(&format!("the failed trace by {tags} in {rest:?}"), DEADLINE, || {
            let traces = jaeger.query(&query)["data"].as_array().cloned().unwrap_or_default();
            let found: Vec<_> = traces.iter().filter_map(|trace| trace["traceID"].as_str()).collect();
            assert!(found.iter().all(|id| *id == failed), "{rest:?}: {found:?}");
            Ok((!found.is_empty()).then_some(()))
        })
        .unwrap();
    }
}

/// The tags by which the Traces dashboard searches for traces with an error.
fn dashboard_tag(profile: &ValidatedProfile) -> String {
    let boards = plan::dashboard::plan(profile).expect("a plan");
    let traces = boards.iter().find(|board| board.name.ends_with("-traces")).expect("a dashboard");
    let text = traces.body["data"]["media.trakt.traces.json"].as_str().expect("a file");
    let board: Value = serde_json::from_str(text).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let tags = panels.iter().find_map(|panel| panel["targets"][0]["tags"].as_str());
    tags.expect("a search by tags").to_owned()
}

/// A Monitor tab that asks for names which nobody exposes is empty and says nothing.
#[test]
fn the_monitor_tab_asks_for_the_collectors_span_metrics() {
    let (url, queries) = recording_prometheus();
    let directory = Directory::create("jaeger-monitor").expect("a directory");
    let jaeger = Jaeger::start(&configuration("", Some(&url)), directory.path());
    for (path, expected) in [
        ("/api/metrics/calls?", format!("sum(rate({}{{", pipeline::SPAN_METRICS_CALLS)),
        ("/api/metrics/errors?", format!("sum(rate({}{{", pipeline::SPAN_METRICS_CALLS)),
        (
            "/api/metrics/latencies?quantile=0.95&",
            format!("sum(rate({}_bucket{{", pipeline::SPAN_METRICS_DURATION),
        ),
    ] {
        jaeger.query(&format!("{path}service=trakt&groupByOperation=true"));
        let query = queries.recv_timeout(DEADLINE).expect("a query arrives at Prometheus");
        assert!(query.contains(&expected), "{path} asks {query:?}, expected {expected:?} in it");
        while queries.try_recv().is_ok() {}
    }
}

/// A collector that carries spans from OTLP over HTTP, which a test can speak, to Jaeger's OTLP over gRPC.
struct Collector {
    _process: Daemon,
    otlp_http: u16,
}

impl Collector {
    fn start(jaeger_otlp: u16, directory: &Path) -> Self {
        Self::start_with(jaeger_otlp, directory, &Value::Null)
    }

    /// One with this transform processor, unless it is null.
    fn start_with(jaeger_otlp: u16, directory: &Path, transform: &Value) -> Self {
        let [otlp_http] = free_ports().expect("a free port");
        let processors = if transform.is_null() { json!({}) } else { json!({"transform": transform}) };
        let names: Vec<_> = processors.as_object().into_iter().flat_map(|map| map.keys()).collect();
        let configuration = json!({
            "processors": processors,
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": format!("127.0.0.1:{otlp_http}")}}}},
            "exporters": {"otlp_grpc": {"endpoint": format!("127.0.0.1:{jaeger_otlp}"), "tls": {"insecure": true}}},
            "service": {
                "pipelines": {"traces": {"receivers": ["otlp"], "processors": names, "exporters": ["otlp_grpc"]}},
                "telemetry": {"metrics": {"level": "none"}},
            },
        });
        let file = directory.join("collector.yaml");
        fs::write(&file, configuration.to_string()).expect("the configuration is written");
        let mut command = Command::new(testbed::path(Part::Collector).expect("the collector"));
        command.arg(format!("--config={}", file.display()));
        let mut check = || Ok(TcpStream::connect(("127.0.0.1", otlp_http)).is_ok());
        let readiness = Readiness::When { what: "OTLP over HTTP", deadline: DEADLINE, check: &mut check };
        let process = Daemon::start("collector", command, &directory.join("collector.log"), readiness)
            .unwrap_or_else(|error| panic!("the collector does not start: {error:?}"));
        Self { _process: process, otlp_http }
    }

    /// Sends one span, `sync history` of the service `trakt`.
    fn send(&self) {
        self.send_one("5b8efff798038103d269b633813fc60c", json!({}));
    }

    /// The same in a trace of this id, with this status.
    fn send_one(&self, trace: &str, status: Value) {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_nanos();
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "trakt"}}]},
            "scopeSpans": [{"spans": [{
                "traceId": trace,
                "status": status,
                "spanId": "eee19b7ec3c1b174",
                "name": "sync history",
                "kind": 2,
                "startTimeUnixNano": (now - 1_000_000).to_string(),
                "endTimeUnixNano": now.to_string(),
            }]}],
        }]})
        .to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.otlp_http)).expect("the collector listens");
        let length = body.len();
        write!(
            stream,
            "POST /v1/traces HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("the span is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.lines().next().is_some_and(|line| line.contains(" 200 ")), "{answer}");
    }
}

/// A Prometheus that has no series and tells which queries it was asked.
fn recording_prometheus() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(query) = answer_query(stream)
                && sender.send(query).is_err()
            {
                return;
            }
        }
    });
    (url, receiver)
}

/// Answers one request; the `query` of its form, decoded.
fn answer_query(stream: TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form).ok()?;
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    write!(
        reader.get_mut(),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let form = String::from_utf8(form).ok()?;
    let query = form.split('&').find_map(|pair| pair.strip_prefix("query="))?;
    Some(percent_decode(query))
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                bytes.push(u8::from_str_radix(&String::from_utf8_lossy(&hex), 16).expect("a percent code"));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

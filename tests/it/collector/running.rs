//! A collector that runs on a generated configuration whose ports were moved, and what can be asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_yaml::Value;
use telemetry_operator::plan::pipeline::{
    HEALTH, JAEGER_THRIFT_HTTP, OTLP_GRPC, OTLP_HTTP, OWN_METRICS, PROMETHEUS_EXPORTER,
};
use testbed::{Daemon, Directory, Part, Readiness, free_ports, http_get, wait_until};

use super::DEADLINE;
use crate::common::listening;

/// A running collector.
pub struct Running {
    process: Daemon,
    /// Where each port of the configuration is now.
    moved: BTreeMap<u16, u16>,
}

/// One sample of a scrape.
#[derive(Debug)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    value: f64,
}

impl Running {
    /// Starts the collector and waits until it calls itself healthy. Only ports and the trace back end are changed in the
    /// configuration, and span metrics come every 200 ms, so that no test waits for them.
    pub fn start(name: &str, configuration: &str, back_end: &str, directory: &Directory) -> Self {
        let mut configuration: Value = serde_yaml::from_str(configuration).expect("YAML");
        let known = [OTLP_GRPC, OTLP_HTTP, JAEGER_THRIFT_HTTP, PROMETHEUS_EXPORTER, HEALTH];
        let [own, ports @ ..] = free_ports::<6>().expect("free ports");
        let mut moved = BTreeMap::new();
        edit(&mut configuration, &mut |text| {
            let (from, to) =
                known.into_iter().zip(ports).find(|(from, _)| *text == format!("0.0.0.0:{from}"))?;
            moved.insert(from, to);
            Some(format!("127.0.0.1:{to}"))
        });
        let readers = &mut configuration["service"]["telemetry"]["metrics"]["readers"];
        if let Some(reader) = readers.get_mut(0) {
            let exporter = &mut reader["pull"]["exporter"]["prometheus"];
            assert_eq!(exporter["port"], OWN_METRICS);
            exporter["host"] = "127.0.0.1".into();
            exporter["port"] = own.into();
            moved.insert(OWN_METRICS, own);
        }
        configuration["exporters"]["otlp_grpc"]["endpoint"] = back_end.into();
        configuration["connectors"]["span_metrics"]["metrics_flush_interval"] = "200ms".into();
        let file = directory.path().join(format!("{name}.yaml"));
        fs::write(&file, serde_yaml::to_string(&configuration).expect("YAML"))
            .expect("the configuration is written");
        let mut command = Command::new(testbed::path(Part::Collector).expect("the collector"));
        command.arg(format!("--config={}", file.display()));
        let url = format!("http://127.0.0.1:{}/", moved[&HEALTH]);
        let log = directory.path().join(format!("{name}.log"));
        let process = Daemon::start(name, command, &log, Readiness::Http { url, deadline: DEADLINE })
            .unwrap_or_else(|error| panic!("{name} does not turn healthy: {error:#}"));
        Self { process, moved }
    }

    /// The ports that the configuration names.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.moved.values().copied().collect()
    }

    pub fn otlp_grpc(&self) -> String {
        format!("127.0.0.1:{}", self.moved[&OTLP_GRPC])
    }

    /// Sends OTLP.
    pub fn post(&self, path: &str, body: &serde_json::Value) {
        self.request(OTLP_HTTP, path, "application/json", body.to_string().as_bytes());
    }

    /// Sends a Thrift batch as an old Jaeger client does.
    pub fn post_thrift(&self, batch: &[u8]) {
        self.request(JAEGER_THRIFT_HTTP, "/api/traces", testbed::THRIFT, batch);
    }

    fn request(&self, port: u16, path: &str, content_type: &str, body: &[u8]) {
        let head = format!(
            "POST {path} HTTP/1.0\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = exchange(self.moved[&port], &[head.as_bytes(), body].concat());
        let status = answer.lines().next().unwrap_or_default();
        assert!(status.contains(" 200 ") || status.contains(" 202 "), "{path}: {answer}\n{}", self.log());
    }

    /// Waits until the samples of a metric with these labels have this sum, and returns them.
    pub fn wait_for(&self, metric: &str, labels: &[(&str, &str)], sum: f64) -> Vec<Sample> {
        self.wait_at(PROMETHEUS_EXPORTER, metric, labels, sum)
    }

    /// The same for what it says of itself.
    pub fn wait_for_own(&self, metric: &str, labels: &[(&str, &str)], sum: f64) -> Vec<Sample> {
        self.wait_at(OWN_METRICS, metric, labels, sum)
    }

    fn wait_at(&self, port: u16, metric: &str, labels: &[(&str, &str)], sum: f64) -> Vec<Sample> {
        let url = format!("http://127.0.0.1:{}/metrics", self.moved[&port]);
        let what = format!("{metric} with {labels:?} to be {sum}");
        let found = wait_until(&what, DEADLINE, || {
            let (_, text) = http_get(&url)?;
            let samples = samples(&text, metric, labels);
            let seen: f64 = samples.iter().map(|sample| sample.value).sum();
            if samples.is_empty() || (seen - sum).abs() > 1e-6 {
                return Err(std::io::Error::other(format!("it is {seen} in {samples:?}")).into());
            }
            Ok(Some(samples))
        });
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()))
    }

    /// A scrape in the format that carries exemplars.
    pub fn open_metrics(&self) -> String {
        let request = "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n";
        exchange(self.moved[&PROMETHEUS_EXPORTER], request.as_bytes())
    }

    fn log(&self) -> String {
        testbed::log_tail(self.process.log())
    }

    /// The TCP ports on which the process listens.
    pub fn listening(&self) -> BTreeSet<u16> {
        listening(self.process.id())
    }
}

/// Sends a request to a loopback port; the whole answer.
pub fn exchange(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the collector listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    stream.write_all(request).expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Replaces strings for which `change` has something else.
fn edit(value: &mut Value, change: &mut impl FnMut(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = change(text) {
                *text = new;
            }
        }
        Value::Sequence(list) => list.iter_mut().for_each(|value| edit(value, change)),
        Value::Mapping(map) => map.values_mut().for_each(|value| edit(value, change)),
        _ => {}
    }
}

/// The samples of a metric in the text format that have these labels. No label value of these tests has a quote or comma.
fn samples(text: &str, metric: &str, wanted: &[(&str, &str)]) -> Vec<Sample> {
    text.lines()
        .filter_map(|line| {
            let (labels, value) = line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once("} ")?;
            let labels: BTreeMap<String, String> = labels
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
                .collect();
            Some(Sample { labels, value: value.parse().ok()? })
        })
        .filter(|sample| {
            wanted.iter().all(|(name, value)| sample.labels.get(*name).is_some_and(|found| found == value))
        })
        .collect()
}

/// A log store that takes one request and tells its first line.
pub struct LogStore {
    pub address: String,
    requests: Receiver<String>,
}

impl LogStore {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream);
            let mut first = String::new();
            reader.read_line(&mut first).expect("a request");
            reader
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .expect("the answer is sent");
            // The test may be over, for another reason, when the request comes.
            let _ = sender.send(first.trim().to_owned());
        });
        Self { address, requests }
    }

    /// The first line of the request.
    pub fn request(&self, deadline: Duration) -> String {
        self.requests.recv_timeout(deadline).expect("a request arrives at the log store")
    }
}

//! The stack that telemetry goes to, what Jaeger says of it, and programs that run in a process of their own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use telemetry::{TelemetryConfig, TelemetryManager};
use testbed::{Collector, Jaeger, LogStore, Span, wait_until};
use tokio::net::TcpSocket;

/// For whatever is waited for.
pub const PLENTY: Duration = Duration::from_secs(60);

/// Set in a process of its own: the name of the program that it runs.
const PROGRAM: &str = "TELEMETRY_TEST_PROGRAM";

/// A collector in front of a Jaeger and a log store.
pub struct Stack {
    pub jaeger: Jaeger,
    pub logs: LogStore,
    pub collector: Collector,
}

impl Stack {
    pub fn start() -> Self {
        let jaeger = Jaeger::start().expect("Jaeger");
        let logs = LogStore::start().expect("a log store");
        let collector = Collector::start(jaeger.otlp_endpoint(), logs.endpoint()).expect("a collector");
        Self { jaeger, logs, collector }
    }

    /// Waits until Jaeger has this many spans of the service; all that it has.
    pub fn spans(&self, service: &str, wanted: usize) -> Vec<Span> {
        wait_until(&format!("{wanted} spans of {service} in Jaeger"), PLENTY, || {
            let spans = self.jaeger.spans_of_service(service)?;
            if spans.len() < wanted {
                let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
                return Err(std::io::Error::other(format!("{} so far: {names:?}", spans.len())).into());
            }
            Ok(Some(spans))
        })
        .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Waits until the log store has this many records of the service; all that it has.
    pub fn log_records(&self, service: &str, wanted: usize) -> Vec<Value> {
        let of_service =
            |record: &Value| attributes(&record["resource"]).get("service.name") == Some(&service.into());
        wait_until(&format!("{wanted} log records of {service}"), PLENTY, || {
            let records: Vec<_> = self.logs.records().into_iter().filter(of_service).collect();
            if records.len() < wanted {
                return Err(std::io::Error::other(format!("{} so far", records.len())).into());
            }
            Ok(Some(records))
        })
        .unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// One stack for every test that leaves it as it is.
pub fn shared() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(Stack::start)
}

/// An endpoint that refuses connections for as long as the socket lives: bound, so that nobody else gets it, but not listened on.
pub fn refusing_endpoint() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    (socket, endpoint)
}

/// An endpoint that takes connections, for as long as the listener lives, and never answers.
pub fn mute_endpoint() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

/// How many spans and log records had this result, so far, as a scrape shows them.
pub fn exported(manager: &TelemetryManager, result: &str) -> [u64; 2] {
    let page = manager.render_metrics(None).body;
    ["spans", "log_records"].map(|signal| {
        let series = format!("telemetry_exported_{signal}_total{{result=\"{result}\"}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&series));
        value.map_or(0, |value| value.parse().unwrap())
    })
}

/// Telemetry that goes to `endpoint` and opens no port. Every test has a service of its own.
pub fn config(service: &str, endpoint: &str) -> TelemetryConfig {
    TelemetryConfig {
        service_name: service.into(),
        service_version: "1.2.3".into(),
        environment: "testing".into(),
        jaeger_endpoint: Some(endpoint.into()),
        prometheus_enabled: false,
        ..TelemetryConfig::default()
    }
}

/// The one span of this name.
pub fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "spans called {name} in {spans:#?}");
    found[0]
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// OTLP attributes as JSON has them, each with the value inside its type.
pub fn attributes(value: &Value) -> BTreeMap<String, Value> {
    list(value)
        .iter()
        .map(|attribute| {
            let typed = attribute["value"].as_object().and_then(|value| value.values().next());
            (text(&attribute["key"]), typed.cloned().unwrap_or_default())
        })
        .collect()
}

/// What a program wrote to standard error.
pub struct Ran {
    pub stderr: String,
}

impl Ran {
    /// Its standard error, which has to consist of JSON lines only.
    pub fn json_lines(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in: {line}"));
        self.stderr.lines().map(parse).collect()
    }

    /// Level and message of the lines about the endpoint, without those at debug.
    pub fn about_export(&self) -> Vec<(String, String)> {
        let lines = self.json_lines().into_iter().filter(|line| line["endpoint"].is_string());
        lines
            .filter(|line| line["level"] != "DEBUG")
            .map(|line| (text(&line["level"]), text(&line["message"])))
            .collect()
    }
}

/// Runs the test `name` once more in a process of its own with these variables. There [`is_own_process`] is true.
pub fn run_in_own_process(name: &str, environment: &[(&str, &str)]) -> Ran {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", name]).env(PROGRAM, name);
    // What this process happens to have is not part of the test.
    for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("OTEL_")) {
        program.env_remove(variable);
    }
    let child = program.envs(environment.iter().copied()).output().unwrap();
    let stderr = String::from_utf8(child.stderr).unwrap();
    let stdout = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && stdout.contains("1 passed"), "{}\n{stdout}\n{stderr}", child.status);
    Ran { stderr }
}

pub fn is_own_process(name: &str) -> bool {
    std::env::var(PROGRAM).is_ok_and(|program| program == name)
}

/// A variable that a test gives to its process.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// The runtime of a program, with two workers.
pub fn block_on<F: Future>(program: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(program)
}

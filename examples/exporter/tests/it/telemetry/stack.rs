//! Where telemetry goes, and what has arrived there.

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use exporter::simulator::Simulator;
use serde_json::Value;
use testbed::{Collector, Jaeger, LogStore, Span, free_ports, http_get, wait_until};

/// For whatever is waited for.
pub const PLENTY: Duration = Duration::from_secs(60);

pub const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/telemetry.toml");

/// The back ends of all tests. Traces and log records are told apart by their ids.
pub struct Backends {
    jaeger: Jaeger,
    logs: LogStore,
}

pub fn backends() -> &'static Backends {
    static BACKENDS: OnceLock<Backends> = OnceLock::new();
    BACKENDS.get_or_init(|| Backends {
        jaeger: Jaeger::start().expect("Jaeger"),
        logs: LogStore::start().expect("a log store"),
    })
}

impl Backends {
    pub fn collector(&self) -> Collector {
        Collector::start(self.jaeger.otlp_endpoint(), self.logs.endpoint()).expect("a collector")
    }

    /// The spans of a trace that have arrived so far.
    pub fn arrived(&self, trace: &str) -> Vec<Span> {
        self.jaeger.spans_of_trace(trace).expect("an answer of Jaeger")
    }

    /// Waits until a trace has this many spans: all that it has.
    pub fn spans(&self, trace: &str, wanted: usize) -> Vec<Span> {
        wait_until(&format!("{wanted} spans of trace {trace} in Jaeger"), PLENTY, || {
            let spans = self.arrived(trace);
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            let so_far = || io::Error::other(format!("{} so far: {names:?}", spans.len()));
            if spans.len() < wanted { Err(so_far().into()) } else { Ok(Some(spans)) }
        })
        .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Waits until the log store has this many records with a correlation id: all that it has.
    pub fn log_records(&self, correlation: &str, wanted: usize) -> Vec<Value> {
        let belongs = |record: &Value| attribute(&record["attributes"], "correlation_id") == correlation;
        wait_until(&format!("{wanted} log records of {correlation}"), PLENTY, || {
            let records: Vec<_> = self.logs.records().into_iter().filter(belongs).collect();
            let so_far = || io::Error::other(format!("{} so far", records.len()));
            if records.len() < wanted { Err(so_far().into()) } else { Ok(Some(records)) }
        })
        .unwrap_or_else(|error| panic!("{error:#}"))
    }
}

pub fn is_failed(span: &Span) -> bool {
    span.tag("otel.status_code") == "ERROR"
}

/// The one span of this name.
pub fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "spans called {name} in {spans:#?}");
    found[0]
}

pub fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The text of one attribute as OTLP writes it in JSON; nothing when there is none.
pub fn attribute(attributes: &Value, key: &str) -> String {
    let found = list(attributes).into_iter().find(|attribute| attribute["key"] == key);
    found.map(|found| text(&found["value"]["stringValue"])).unwrap_or_default()
}

/// One request that the simulator has answered.
#[derive(Debug)]
pub struct Asked {
    /// Without the slash at its beginning.
    pub endpoint: String,
    pub status: u16,
    /// Trace and span of its `traceparent`.
    pub context: Option<(String, String)>,
    pub correlation: Option<String>,
}

/// Everything that the simulator was asked, from its own books.
pub fn asked(simulator: &Simulator) -> Vec<Asked> {
    let (_, body) = http_get(&format!("{}/sim/requests", simulator.url())).expect("the simulator's books");
    let books: Value = serde_json::from_str(&body).expect("JSON");
    let requests: Vec<_> = list(&books["latest"]).iter().map(request).collect();
    assert_eq!(books["total"], requests.len(), "the simulator has forgotten some");
    requests
}

fn request(request: &Value) -> Asked {
    let parts = |header: &str| {
        let parts: Vec<_> = header.split('-').map(str::to_owned).collect();
        (parts[1].clone(), parts[2].clone())
    };
    Asked {
        endpoint: text(&request["path"]).trim_start_matches('/').to_owned(),
        status: request["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status"),
        context: request["traceparent"].as_str().map(parts),
        correlation: request["correlation_id"].as_str().map(str::to_owned),
    }
}

/// What an injected sidecar would tell the program, with every trace kept.
pub fn environment(endpoint: &str) -> (Vec<(&'static str, String)>, u16) {
    let [port] = free_ports().expect("a port");
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on".to_owned()),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", port.to_string()),
        // Sent at once, and not when seconds have passed.
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100".to_owned()),
    ];
    (variables, port)
}

/// The JSON lines of a text, which has to consist of them.
pub fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in: {line}"));
    text.lines().map(parse).collect()
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

//! A Jaeger that keeps spans in memory. In: nothing. Out: an OTLP address to send to and a query address to read from.
//! Does not talk to the cluster.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::build::path;
use crate::control_plane::retry_when_port_taken;
use crate::daemon::{Daemon, Readiness};
use crate::directory::{Directory, remove_if_present};
use crate::net::{accepts_connections, free_ports, http_get};
use crate::part::Part;
use crate::span::{self, Span};

const DEADLINE: Duration = Duration::from_secs(60);
const MAX_TRACES: u32 = 20_000;

/// A running Jaeger. Dropping it ends it.
pub struct Jaeger {
    process: Daemon,
    directory: Directory,
    otlp_endpoint: String,
    query_url: String,
}

impl Jaeger {
    /// Starts one and waits until it takes spans and answers queries.
    pub fn start() -> Result<Jaeger> {
        let program = path(Part::Jaeger)?;
        let directory = Directory::create("jaeger")?;
        let config = directory.path().join("config.json");
        let log = directory.path().join("jaeger.log");
        retry_when_port_taken(|| {
            let [otlp, query, query_grpc] = free_ports()?;
            fs::write(&config, configuration(otlp, query, query_grpc).to_string())?;
            fs::write(&log, "")?;
            let query_url = format!("http://127.0.0.1:{query}");
            let mut command = Command::new(&program);
            command.arg("--config").arg(&config);
            // The log is asked as well: another Jaeger might answer if it has taken a port in the meantime.
            let mut ready = || {
                let runs = fs::read_to_string(&log)?.contains("Everything is ready");
                Ok(runs
                    && accepts_connections(otlp)
                    && http_get(&format!("{query_url}/api/services"))?.0 == 200)
            };
            let what = "spans accepted and queries answered";
            let readiness = Readiness::When { what, deadline: DEADLINE, check: &mut ready };
            let process = Daemon::start("jaeger", command, &log, readiness)?;
            Ok((process, format!("http://127.0.0.1:{otlp}"), query_url))
        })
        .map(|(process, otlp_endpoint, query_url)| Jaeger { process, directory, otlp_endpoint, query_url })
        .context("cannot start Jaeger")
    }

    /// Where to send spans: OTLP over gRPC, without TLS.
    pub fn otlp_endpoint(&self) -> &str {
        &self.otlp_endpoint
    }

    /// Where to read them: the base of `/api/services` and `/api/traces`. There is no user interface: its files are not in
    /// Jaeger's module.
    pub fn query_url(&self) -> &str {
        &self.query_url
    }

    /// The spans of a service that have arrived within the last hour.
    pub fn spans_of_service(&self, service: &str) -> Result<Vec<Span>> {
        spans_of_service(&self.query_url, service, MAX_TRACES)
    }

    /// The spans of a trace that have arrived.
    pub fn spans_of_trace(&self, id: &str) -> Result<Vec<Span>> {
        spans_of_trace(&self.query_url, id)
    }

    /// Ends it and removes its files.
    pub fn stop(mut self) -> Result<()> {
        self.process.terminate()?;
        remove_if_present(self.directory.path())
    }
}

/// The spans of a service that have arrived within the last hour at the Jaeger whose query API is at `url`. `limit` bounds the
/// traces, and must not be larger than what that Jaeger keeps.
pub fn spans_of_service(url: &str, service: &str, limit: u32) -> Result<Vec<Span>> {
    spans(url, &format!("?service={service}&limit={limit}&lookback=1h"))
}

/// The spans of a trace that have arrived at the Jaeger whose query API is at `url`.
pub fn spans_of_trace(url: &str, id: &str) -> Result<Vec<Span>> {
    spans(url, &format!("/{id}"))
}

fn spans(url: &str, query: &str) -> Result<Vec<Span>> {
    let (status, text) = http_get(&format!("{url}/api/traces{query}"))?;
    // Jaeger's word for a trace of which nothing has arrived.
    if status == 404 {
        return Ok(Vec::new());
    }
    ensure!(status == 200, "Jaeger answers {status}: {text}");
    Ok(span::of_answer(&serde_json::from_str(&text).with_context(|| format!("status {status}: {text}"))?))
}

fn configuration(otlp: u16, query: u16, query_grpc: u16) -> Value {
    let local = |port: u16| json!({"endpoint": format!("127.0.0.1:{port}")});
    json!({
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            // Its own metrics would take one more port.
            "telemetry": {"metrics": {"level": "none"}},
        },
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": MAX_TRACES}}}},
            "jaeger_query": {"storage": {"traces": "memory"}, "http": local(query), "grpc": local(query_grpc)},
        },
        "receivers": {"otlp": {"protocols": {"grpc": local(otlp)}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    })
}

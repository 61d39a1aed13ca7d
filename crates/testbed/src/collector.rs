//! The collector between an application and its back ends. In: where traces and log records go on to. Out: OTLP addresses to
//! send to. Can be taken away and brought back at the same addresses, as an outage does. Does not talk to the cluster.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::build::path;
use crate::control_plane::retry_when_port_taken;
use crate::daemon::{Daemon, Readiness};
use crate::directory::Directory;
use crate::net::{accepts_connections, free_ports};
use crate::part::Part;

const DEADLINE: Duration = Duration::from_secs(60);
/// The header of requests that shows at the other end.
pub const TENANT_HEADER: &str = "x-tenant";

/// A collector that passes everything on at once, with the header [`TENANT_HEADER`] of each request as the attribute `tenant`
/// of what is in it. Dropping it ends it.
pub struct Collector {
    process: Option<Daemon>,
    directory: Directory,
    program: PathBuf,
    grpc: u16,
    http: u16,
}

impl Collector {
    /// Starts one and waits until it takes OTLP. Traces go on to `traces`, an OTLP gRPC address with `http://`, log records
    /// to `logs`, an OTLP HTTP address, as JSON.
    pub fn start(traces: &str, logs: &str) -> Result<Collector> {
        let program = path(Part::Collector)?;
        let directory = Directory::create("collector")?;
        retry_when_port_taken(|| {
            let [grpc, http] = free_ports()?;
            let configuration = configuration(grpc, http, traces, logs).to_string();
            fs::write(directory.path().join("config.json"), configuration)?;
            Ok((run(&program, &directory, grpc)?, grpc, http))
        })
        .map(|(process, grpc, http)| Collector { process: Some(process), directory, program, grpc, http })
        .context("cannot start the collector")
    }

    /// Where to send OTLP over gRPC.
    pub fn grpc_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Where to send OTLP over HTTP: the base, without a path.
    pub fn http_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Kills it, as a crash would. Its ports refuse connections from now on.
    pub fn take_away(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Starts it again at the same addresses, and waits until it takes OTLP.
    pub fn bring_back(&mut self) -> Result<()> {
        self.process = Some(run(&self.program, &self.directory, self.grpc)?);
        Ok(())
    }
}

fn run(program: &PathBuf, directory: &Directory, grpc: u16) -> Result<Daemon> {
    let log = directory.path().join("collector.log");
    fs::write(&log, "")?;
    let mut command = Command::new(program);
    command.arg("--config").arg(directory.path().join("config.json"));
    // The log is asked as well: somebody else might answer at the port if it has been taken in the meantime.
    let mut ready =
        || Ok(fs::read_to_string(&log)?.contains("Everything is ready") && accepts_connections(grpc));
    let readiness = Readiness::When { what: "OTLP accepted", deadline: DEADLINE, check: &mut ready };
    Daemon::start("collector", command, &log, readiness)
}

fn configuration(grpc: u16, http: u16, traces: &str, logs: &str) -> Value {
    let local = |port: u16| json!({"endpoint": format!("127.0.0.1:{port}"), "include_metadata": true});
    let tenant = format!("metadata.{TENANT_HEADER}");
    let pipeline = |to| json!({"receivers": ["otlp"], "processors": ["attributes"], "exporters": [to]});
    // Without queues of its own what it has taken has arrived, also when it is killed the moment after.
    let no_queue = json!({"enabled": false});
    let traces = json!({
        "endpoint": traces.trim_start_matches("http://"),
        "tls": {"insecure": true},
        "sending_queue": no_queue,
    });
    let logs =
        json!({"endpoint": logs, "encoding": "json", "compression": "none", "sending_queue": no_queue});
    json!({
        "receivers": {"otlp": {"protocols": {"grpc": local(grpc), "http": local(http)}}},
        "processors": {"attributes": {"actions": [
            {"key": "tenant", "from_context": tenant, "action": "upsert"},
        ]}},
        "exporters": {
            "otlp_grpc": traces,
            "otlp_http": logs,
        },
        "service": {
            "pipelines": {
                "traces": pipeline("otlp_grpc"),
                "logs": pipeline("otlp_http"),
            },
            // Its own metrics would take one more port.
            "telemetry": {"metrics": {"level": "none"}},
        },
    })
}

//! VictoriaLogs: a log store that takes OTLP over HTTP. In: nothing, or its address and a LogsQL query. Out: where to send log
//! records and to ask for them, and its answers. Only [`deploy`] talks to the cluster.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::build::path;
use crate::control_plane::retry_when_port_taken;
use crate::daemon::{Daemon, Readiness};
use crate::directory::Directory;
use crate::forward::Forward;
use crate::image::Image;
use crate::net::{free_ports, http_get, http_with};
use crate::part::Part;
use crate::prometheus::encoded;
use crate::stack::Stack;

const DEADLINE: Duration = Duration::from_secs(30);
/// Where it runs on a node.
pub const NAMESPACE: &str = "logs";
const MANIFESTS: &str = include_str!("victoria-logs.yaml");

/// Where it is asked on a node.
pub const URL: &str = "http://victoria-logs.logs:9428";
/// What profiles on a node name as `logs.endpoint`, once it is deployed.
pub const ENDPOINT: &str = "http://victoria-logs.logs:9428/insert/opentelemetry";

/// A running VictoriaLogs. Dropping it ends it.
pub struct VictoriaLogs {
    _process: Daemon,
    _directory: Directory,
    url: String,
}

impl VictoriaLogs {
    /// Starts one at a free loopback port, and waits until it answers.
    pub fn start() -> Result<VictoriaLogs> {
        let program = path(Part::VictoriaLogs)?;
        let directory = Directory::create("victoria-logs")?;
        let log = directory.path().join("victoria-logs.log");
        retry_when_port_taken(|| {
            let [port] = free_ports()?;
            let url = format!("http://127.0.0.1:{port}");
            let mut command = Command::new(&program);
            command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
            command.arg("-storageDataPath").arg(directory.path().join("data"));
            let mut ready = || Ok(http_get(&format!("{url}/health")).is_ok_and(|(status, _)| status == 200));
            let readiness =
                Readiness::When { what: "queries answered", deadline: DEADLINE, check: &mut ready };
            let process = Daemon::start("victoria-logs", command, &log, readiness)?;
            Ok((process, url))
        })
        .map(|(process, url)| VictoriaLogs { _process: process, _directory: directory, url })
        .context("cannot start VictoriaLogs")
    }

    /// Where to ask: the base of `/select/logsql/…`. OTLP goes to `/insert/opentelemetry` below it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Starts one on a node, without waiting for it.
pub fn deploy(stack: &Stack) -> Result<()> {
    stack.node().load(&[Image::of_part(Part::VictoriaLogs)?])?;
    stack.namespace(NAMESPACE)?;
    stack.apply(Some(NAMESPACE), MANIFESTS)
}

/// The API of the one on a node, through a loopback port.
pub fn forward(stack: &Stack) -> Result<Forward> {
    stack.node().forward(NAMESPACE, "victoria-logs", 9428)
}

/// The log records that a LogsQL query finds, as a Grafana panel of records asks for them.
pub fn records(url: &str, query: &str) -> Result<Vec<Value>> {
    let answer = ask(url, "query", &[("query", query)])?;
    answer.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The answer of `/select/logsql/<what>` with these parameters, or what the store says against them.
pub fn ask(url: &str, what: &str, parameters: &[(&str, &str)]) -> Result<String> {
    let pairs: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let url = format!("{url}/select/logsql/{what}");
    let body = pairs.join("&");
    let (status, text) = http_with("POST", &url, "application/x-www-form-urlencoded", body.as_bytes())?;
    ensure!(status == 200, "{what} {parameters:?}: {status}: {text}");
    Ok(text)
}

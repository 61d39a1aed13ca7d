//! The operator as a process. In: a cluster, arguments, variables. Out: its address, its pages, its log.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use testbed::{Daemon, Readiness, free_ports, http_get};

use super::{Cluster, DEADLINE};

/// A running operator.
pub struct Operator {
    pub daemon: Daemon,
    pub url: String,
}

impl Operator {
    pub fn start(
        cluster: &Cluster,
        namespaces: &[&str],
        arguments: &[&str],
        environment: &[(&str, &str)],
        ready: bool,
    ) -> Self {
        let account = &cluster.operator_kubeconfig;
        Self::start_as(cluster, account, namespaces, arguments, environment, ready)
    }

    /// One with another account than the cluster's.
    pub fn start_as(
        cluster: &Cluster,
        account: &Path,
        namespaces: &[&str],
        arguments: &[&str],
        environment: &[(&str, &str)],
        ready: bool,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let [port] = free_ports().expect("a port");
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
        command.arg("run").arg("--listen").arg(format!("127.0.0.1:{port}"));
        for namespace in namespaces {
            command.arg("--watch-namespace").arg(namespace);
        }
        command.args(arguments).env("KUBECONFIG", account);
        command.envs(environment.iter().copied());
        let log =
            cluster.plane.directory().join(format!("operator-{}.log", NEXT.fetch_add(1, Ordering::Relaxed)));
        let readiness = if ready {
            Readiness::Http { url: format!("{url}/readyz"), deadline: DEADLINE }
        } else {
            Readiness::Spawned
        };
        let daemon =
            Daemon::start("telemetry-operator", command, &log, readiness).expect("the operator starts");
        Self { daemon, url }
    }

    /// Body of a page of the operator.
    pub fn page(&self, path: &str) -> (u16, String) {
        http_get(&format!("{}{path}", self.url)).expect("the operator answers")
    }

    /// Every log line so far, parsed.
    pub fn log_lines(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.daemon.log()).expect("the log");
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

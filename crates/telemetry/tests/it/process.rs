//! What only shows in a process of its own: the global subscriber, standard error, the end of the program.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use telemetry::{TelemetryConfig, TelemetryError, TelemetryManager};
use tokio::net::TcpSocket;

use crate::common::*;

fn logging(endpoint: &str, log_filter: &str) -> TelemetryConfig {
    TelemetryConfig { log_filter: log_filter.into(), ..config("program", endpoint) }
}

/// Refuses connections for as long as the socket lives: bound, so that nobody else gets it, but not listened on.
fn refusing_endpoint() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    (socket, endpoint)
}

#[test]
fn dropped_without_a_shutdown_it_holds_up_nobody() {
    const NAME: &str = "process::dropped_without_a_shutdown_it_holds_up_nobody";
    if is_own_process(NAME) {
        // Takes connections and never answers.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let started = Instant::now();
        runtime.block_on(async {
            let manager = TelemetryManager::new(logging(&endpoint, "info")).unwrap();
            manager.install_global().unwrap();
            tracing::info_span!("reconcile").in_scope(|| tracing::info!("working"));
            drop(manager);
            tracing::info!("still logging");
        });
        drop(runtime);
        assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
        return;
    }
    let lines = run_in_own_process(NAME, &[]).json_lines();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["working", "still logging"]);
}

/// A program that ends without a word loses nothing that its telemetry could still deliver while it lives.
#[test]
fn a_dropped_manager_still_delivers() {
    let manager = TelemetryManager::new(config("dropped", &shared().collector.grpc_endpoint())).unwrap();
    block_on(manager.trace_operation("last words", async { Ok::<_, String>(()) })).unwrap();
    drop(manager);
    assert_eq!(shared().spans("dropped", 1).len(), 1);
}

#[test]
fn only_one_set_up_in_a_process() {
    const NAME: &str = "process::only_one_set_up_in_a_process";
    if is_own_process(NAME) {
        let (_socket, endpoint) = refusing_endpoint();
        let bad = TelemetryManager::new(logging(&endpoint, "billing=loud"));
        assert!(matches!(bad, Err(TelemetryError::LogFilter { .. })), "{bad:?}");
        let first = TelemetryManager::new(logging(&endpoint, "info")).unwrap();
        let second = TelemetryManager::new(logging(&endpoint, "info")).unwrap();
        first.install_global().unwrap();
        let taken = second.install_global();
        assert!(matches!(taken, Err(TelemetryError::AlreadyInitialized)), "{taken:?}");
        return;
    }
    assert_eq!(run_in_own_process(NAME, &[]).stderr, "");
}

#[test]
fn a_taken_port_is_named_with_the_key_to_change() {
    let taken = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = TelemetryConfig {
        prometheus_enabled: true,
        prometheus_port: port,
        ..config("port", "http://127.0.0.1:1")
    };
    let error = TelemetryManager::new(config).unwrap_err().to_string();
    assert!(error.contains(&port.to_string()) && error.contains("prometheus_port"), "{error}");
}

/// While every worker of the program's runtime is busy, telemetry goes on: it has a thread of its own.
#[test]
fn a_blocked_runtime_does_not_block_telemetry() {
    let open = TelemetryConfig {
        prometheus_enabled: true,
        prometheus_port: 0,
        ..config("blocked", &shared().collector.grpc_endpoint())
    };
    let manager = TelemetryManager::new(open).unwrap();
    let address = manager.metrics_address().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        manager.trace_operation("busy", async { Ok::<_, String>(()) }).await.unwrap();
        // From here on the only worker waits, without giving way.
        assert_eq!(shared().spans("blocked", 1).len(), 1);
        let (status, body) =
            testbed::http_get(&format!("http://127.0.0.1:{}/healthz", address.port())).unwrap();
        assert_eq!((status, body.trim()), (200, "ok"));
    });
}

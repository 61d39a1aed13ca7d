//! Setting up: what is global and what is not, what is left behind by one that fails, what disabled telemetry opens.

use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use telemetry::{TelemetryConfig, TelemetryError, TelemetryManager};

use crate::common::*;

/// How many threads this process has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn with_port(port: u16, endpoint: &str) -> TelemetryConfig {
    TelemetryConfig { prometheus_enabled: true, prometheus_port: port, ..config("setup", endpoint) }
}

#[test]
fn only_one_is_the_telemetry_of_the_whole_process() {
    const NAME: &str = "setup::only_one_is_the_telemetry_of_the_whole_process";
    if is_own_process(NAME) {
        let (_socket, endpoint) = refusing_endpoint();
        let first = TelemetryManager::new(config("first", &endpoint)).unwrap();
        let second = TelemetryManager::new(config("second", &endpoint)).unwrap();
        first.install_global().unwrap();
        let taken = second.install_global();
        assert!(matches!(taken, Err(TelemetryError::AlreadyInitialized)), "{taken:?}");
        return;
    }
    assert_eq!(run_in_own_process(NAME, &[]).stderr, "");
}

#[test]
fn a_set_up_that_fails_leaves_nothing_behind() {
    const NAME: &str = "setup::a_set_up_that_fails_leaves_nothing_behind";
    if is_own_process(NAME) {
        let (_socket, endpoint) = refusing_endpoint();
        let before = threads();
        let taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = TelemetryManager::new(with_port(port, &endpoint)).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("prometheus_port"), "{error}");
        drop(taken);
        let loud = TelemetryConfig { log_filter: "billing=loud".into(), ..with_port(port, &endpoint) };
        let error = TelemetryManager::new(loud).unwrap_err();
        assert!(matches!(error, TelemetryError::LogFilter { .. }), "{error}");
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("the port is still taken");
        assert_eq!(threads(), before);
        return;
    }
    assert_eq!(run_in_own_process(NAME, &[]).stderr, "");
}

#[test]
fn disabled_telemetry_has_no_thread_and_no_port_and_its_shutdown_waits_for_nothing() {
    const NAME: &str =
        "setup::disabled_telemetry_has_no_thread_and_no_port_and_its_shutdown_waits_for_nothing";
    if is_own_process(NAME) {
        let before = threads();
        let disabled = TelemetryConfig { enabled: false, ..with_port(0, "http://127.0.0.1:1") };
        let manager = TelemetryManager::new(disabled).unwrap();
        assert_eq!(manager.metrics_address(), None);
        let shutdown = pin!(manager.shutdown(PLENTY));
        let polled = shutdown.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(()))), "{polled:?}");
        assert_eq!(threads(), before);
        // The other way round, so that the check is known to see threads: connections, spans, log records.
        let _enabled = TelemetryManager::new(with_port(0, "http://127.0.0.1:1")).unwrap();
        assert_eq!(threads(), before + 3);
        return;
    }
    assert_eq!(run_in_own_process(NAME, &[]).stderr, "");
}

/// While every worker of the program's runtime is busy, telemetry goes on: it has a thread of its own.
#[test]
fn a_blocked_runtime_does_not_block_telemetry() {
    let open = TelemetryConfig {
        service_name: "blocked".into(),
        ..with_port(0, &shared().collector.grpc_endpoint())
    };
    let manager = TelemetryManager::new(open).unwrap();
    let port = manager.metrics_address().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        manager.trace_operation("busy", async { Ok::<_, String>(()) }).await.unwrap();
        // From here on the only worker waits, without giving way.
        assert_eq!(shared().spans("blocked", 1).len(), 1);
        let (status, body) = testbed::http_get(&format!("http://127.0.0.1:{port}/healthz")).unwrap();
        assert_eq!((status, body.trim()), (200, "ok"));
    });
}

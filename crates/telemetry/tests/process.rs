//! What only shows in a process of its own: the global subscriber, standard error, the end of the program.
//! Each test starts this test binary once more and runs one of the programs below in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use telemetry::{LogFormat, TelemetryConfig, TelemetryError};
use tokio::net::TcpSocket;

/// Set in the second process.
const PROGRAM: &str = "TELEMETRY_TEST_PROGRAM";
const PLENTY: Duration = Duration::from_secs(20);

fn config(otlp_endpoint: Option<String>, log_filter: &str) -> TelemetryConfig {
    TelemetryConfig {
        service_name: "program".into(),
        service_version: "1.2.3".into(),
        otlp_endpoint,
        log_filter: log_filter.into(),
        log_format: LogFormat::Json,
    }
}

/// Runs the test `name` in a process of its own, with `environment`; gives what it wrote to standard error.
fn run_in_own_process(name: &str, environment: &[(&str, &str)]) -> Vec<Value> {
    let started = Instant::now();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(PROGRAM, name)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let stderr = String::from_utf8(child.stderr).unwrap();
    let stdout = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && stdout.contains("1 passed"), "{}\n{stdout}\n{stderr}", child.status);
    assert!(started.elapsed() < PLENTY, "the program took {:?}:\n{stderr}", started.elapsed());
    stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in: {line}")))
        .collect()
}

fn is_own_process(name: &str) -> bool {
    std::env::var(PROGRAM).is_ok_and(|program| program == name)
}

fn refusing_endpoint() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    (socket, endpoint)
}

#[test]
fn a_dead_endpoint_is_one_warning_and_then_one_debug_line_for_each_batch() {
    const NAME: &str = "a_dead_endpoint_is_one_warning_and_then_one_debug_line_for_each_batch";
    if is_own_process(NAME) {
        return work_against_a_dead_endpoint();
    }
    let lines = run_in_own_process(NAME, &[("OTEL_BSP_SCHEDULE_DELAY", "20")]);
    let of_level = |level: &str| lines.iter().filter(|line| line["level"] == level).collect::<Vec<_>>();
    assert_eq!(of_level("WARN").len(), 1, "{lines:#?}");
    assert!(!of_level("DEBUG").is_empty(), "{lines:#?}");
    let lost: u64 = lines.iter().filter_map(|line| line["spans"].as_u64()).sum();
    let made = of_level("INFO");
    assert_eq!(lost, made.len() as u64, "not every lost span is accounted for: {lines:#?}");
    assert_eq!(lines.len(), 1 + of_level("DEBUG").len() + made.len(), "lines of somebody else: {lines:#?}");
    for line in made {
        assert_eq!(line["trace_id"].as_str().map(str::len), Some(32), "{line}");
        assert!(line["endpoint"].is_null(), "{line}");
    }
}

/// Makes spans until three batches of them are lost, then ends in good order.
fn work_against_a_dead_endpoint() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (_socket, endpoint) = refusing_endpoint();
        let telemetry = telemetry::init(&config(Some(endpoint), "debug")).unwrap();
        let batches = |telemetry: &telemetry::Telemetry| {
            let text =
                prometheus::TextEncoder::new().encode_to_string(&telemetry.registry().gather()).unwrap();
            let failed = text.lines().find(|line| line.contains("failed")).expect("no counter").to_owned();
            failed.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        let deadline = Instant::now() + PLENTY;
        for wanted in 1..=3 {
            tracing::info_span!("reconcile").in_scope(|| tracing::info!("working"));
            while batches(&telemetry) < wanted {
                assert!(
                    Instant::now() < deadline,
                    "waited for {wanted} lost spans, saw {}",
                    batches(&telemetry)
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        tracing::info_span!("reconcile").in_scope(|| tracing::info!("working"));
        let end = telemetry.shutdown(PLENTY).await;
        assert!(matches!(end, Err(TelemetryError::SpansLost { count: 1 })), "{end:?}");
    });
}

#[test]
fn dropped_without_a_shutdown_it_holds_up_nobody() {
    const NAME: &str = "dropped_without_a_shutdown_it_holds_up_nobody";
    if is_own_process(NAME) {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let started = Instant::now();
        runtime.block_on(async {
            let telemetry = telemetry::init(&config(Some(endpoint), "info")).unwrap();
            tracing::info_span!("reconcile").in_scope(|| tracing::info!("working"));
            drop(telemetry);
            tracing::info!("still logging");
        });
        drop(runtime);
        assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
        return;
    }
    let lines = run_in_own_process(NAME, &[]);
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["working", "still logging"]);
}

#[test]
fn only_one_set_up_in_a_process() {
    const NAME: &str = "only_one_set_up_in_a_process";
    if is_own_process(NAME) {
        let bad = telemetry::init(&config(None, "billing=loud"));
        assert!(matches!(bad, Err(TelemetryError::LogFilter { .. })), "{bad:?}");
        let _first = telemetry::init(&config(None, "info")).unwrap();
        let second = telemetry::init(&config(None, "info"));
        assert!(matches!(second, Err(TelemetryError::AlreadyInitialized)), "{second:?}");
        return;
    }
    assert_eq!(run_in_own_process(NAME, &[]), Vec::<Value>::new());
}

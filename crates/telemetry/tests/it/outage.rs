//! The endpoint is away, mute, or comes back, while the program works.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, Tracer};
use serde_json::json;
use telemetry::TelemetryManager;

use crate::common::*;
use crate::export::{QUICK, installed, work};

const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

/// Works until more spans and more log records have this result.
async fn work_until(manager: &TelemetryManager, result: &str, what: &str) {
    let before = exported(manager, result);
    let deadline = Instant::now() + PLENTY;
    loop {
        work(manager, "export.step").await;
        let now = exported(manager, result);
        if now.iter().zip(before).all(|(now, before)| *now > before) {
            return;
        }
        assert!(Instant::now() < deadline, "waited for {what}: {result} {before:?}, now {now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Nobody listens; somebody listens and never answers; a collector comes; it goes; it comes back.
async fn go_through_outages() {
    let mut stack = Stack::start();
    let endpoint = match variable(PROTOCOL).as_str() {
        "grpc" => stack.collector.grpc_endpoint(),
        _ => stack.collector.http_endpoint(),
    };
    stack.collector.take_away().unwrap();
    let manager = installed("outages", &endpoint);
    work_until(&manager, "failed", "losses at a closed port").await;
    let mute = TcpListener::bind(endpoint.trim_start_matches("http://")).unwrap();
    work_until(&manager, "failed", "losses at a port that never answers").await;
    work_until(&manager, "failed", "more of them").await;
    drop(mute);
    stack.collector.bring_back().unwrap();
    work_until(&manager, "delivered", "deliveries to a collector that was not there before").await;
    stack.collector.take_away().unwrap();
    work_until(&manager, "failed", "losses after the collector's end").await;
    stack.collector.bring_back().unwrap();
    work_until(&manager, "delivered", "deliveries to a collector that came back").await;
    manager.shutdown(PLENTY).await.unwrap();
    let [delivered, failed] = ["delivered", "failed"].map(|result| exported(&manager, result));
    assert!(stack.spans("outages", delivered[0] as usize).len() as u64 >= delivered[0]);
    // Telemetry is over: this is a line and nothing else.
    manager.logger().info("counts", json!({"delivered": delivered, "failed": failed}));
}

#[test]
fn an_outage_ends_by_itself_and_every_loss_is_counted_and_told() {
    const NAME: &str = "outage::an_outage_ends_by_itself_and_every_loss_is_counted_and_told";
    if is_own_process(NAME) {
        return block_on(go_through_outages());
    }
    for protocol in ["grpc", "http/protobuf"] {
        let ran = run_in_own_process(NAME, &[&QUICK[..], &[(PROTOCOL, protocol)]].concat());
        let told = ran.about_export();
        for signal in ["spans", "log records"] {
            let of_signal = told.iter().filter(|(_, message)| message.contains(signal));
            let levels: Vec<_> = of_signal.map(|(level, _)| level.as_str()).collect();
            assert_eq!(levels, ["WARN", "INFO", "WARN", "INFO"], "{protocol}, {signal}: {told:#?}");
        }
        let lines = ran.json_lines();
        let counts = lines.last().expect("no lines");
        let count = |result: &str, signal: usize| counts[result][signal].as_u64().unwrap();
        let made = lines.iter().filter(|line| line["message"] == "export.step").count() as u64;
        for (signal, field) in ["spans", "log_records"].into_iter().enumerate() {
            // No log record is made of the failure to send log records.
            assert_eq!(count("delivered", signal) + count("failed", signal), made, "{protocol}, {field}");
            let told: u64 = lines.iter().filter_map(|line| line[field].as_u64()).sum();
            assert_eq!(told, count("failed", signal), "{protocol}, {field}: not every loss is in a line");
        }
    }
}

/// The resident memory of this process, in MiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() >> 10
}

async fn many(manager: &TelemetryManager, operations: usize) {
    for _ in 0..operations {
        work(manager, "export.step").await;
    }
}

#[test]
fn a_collector_that_goes_away_costs_telemetry_only_and_it_comes_back_by_itself() {
    const NAME: &str = "outage::a_collector_that_goes_away_costs_telemetry_only_and_it_comes_back_by_itself";
    const SERVICE: &str = "outage";
    /// Many times what the queues hold.
    const DURING: usize = 50_000;
    if is_own_process(NAME) {
        // Memory is counted for the whole process, so the test has one to itself.
        return block_on(async {
            let mut stack = Stack::start();
            let manager = installed(SERVICE, &stack.collector.grpc_endpoint());
            many(&manager, 500).await;
            stack.spans(SERVICE, 500);
            stack.log_records(SERVICE, 500);

            stack.collector.take_away().unwrap();
            many(&manager, DURING).await;
            let at_half = resident();
            many(&manager, DURING).await;
            let growth = resident().saturating_sub(at_half);
            assert!(growth < 16, "memory grew by {growth} MiB while nobody listened");

            stack.collector.bring_back().unwrap();
            work_until(&manager, "delivered", "spans and log records after the outage").await;
            manager.shutdown(PLENTY).await.unwrap();
            let failed = exported(&manager, "failed");
            assert!(failed.iter().all(|failed| *failed > 0), "the outage was not counted: {failed:?}");
        });
    }
    let told = run_in_own_process(NAME, &QUICK[..1]).about_export();
    // Each signal says once that it is lost and once that it is not any more.
    let warnings = told.iter().filter(|(level, _)| level == "WARN").count();
    assert_eq!((told.len(), warnings), (4, 2), "{told:#?}");
}

#[test]
fn memory_stays_bounded_and_work_goes_on_while_nobody_answers() {
    const NAME: &str = "outage::memory_stays_bounded_and_work_goes_on_while_nobody_answers";
    if is_own_process(NAME) {
        let (_mute, endpoint) = mute_endpoint();
        return block_on(async {
            let manager = installed("mute", &endpoint);
            let tracer = manager.tracer();
            let (before, started) = (resident(), Instant::now());
            for _ in 0..3_000 {
                manager.logger().info("large", json!({"text": "x".repeat(40 << 10)}));
                let text = KeyValue::new("text", "x".repeat(40 << 10));
                tracer.span_builder("large").with_attributes([text]).start(tracer).end();
            }
            let (grown, took) = (resident().saturating_sub(before), started.elapsed());
            // Two full queues, with a batch of each on its way, are 36 MiB; without bounds it would be more than 200.
            assert!(grown < 100, "{grown} MiB more");
            assert!(took < PLENTY, "it took {took:?}");
        });
    }
    let queues = [("OTEL_BSP_MAX_QUEUE_SIZE", "256"), ("OTEL_BLRP_MAX_QUEUE_SIZE", "256")];
    run_in_own_process(NAME, &queues);
}

//! The collector goes away while the program works, and comes back.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use telemetry::TelemetryManager;

use crate::common::*;

/// Many times what the queues hold.
const DURING: usize = 50_000;

async fn work(manager: &TelemetryManager, phase: &'static str, operations: usize) -> Duration {
    let started = Instant::now();
    for number in 0..operations {
        let operation = async {
            manager
                .logger()
                .info("working", json!({"phase": phase, "number": number, "load": "x".repeat(200)}));
            Ok::<_, String>(())
        };
        manager.trace_operation(phase, operation).await.unwrap();
    }
    started.elapsed()
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_collector_that_goes_away_costs_telemetry_only_and_it_comes_back_by_itself() {
    const NAME: &str = "outage::a_collector_that_goes_away_costs_telemetry_only_and_it_comes_back_by_itself";
    const SERVICE: &str = "outage";
    if is_own_process(NAME) {
        // Memory is counted for the whole process, so the test has one to itself.
        return block_on(async {
            let mut stack = Stack::start();
            let manager = TelemetryManager::new(config(SERVICE, &stack.collector.grpc_endpoint())).unwrap();
            manager.install_global().unwrap();
            work(&manager, "before", 500).await;
            stack.spans(SERVICE, 500);
            stack.log_records(SERVICE, 500);

            stack.collector.take_away().unwrap();
            work(&manager, "during", DURING).await;
            let at_half = resident_bytes();
            work(&manager, "during", DURING).await;
            let growth = resident_bytes().saturating_sub(at_half);
            assert!(growth < 16 << 20, "memory grew by {growth} bytes while nobody listened");

            stack.collector.bring_back().unwrap();
            let deadline = Instant::now() + PLENTY;
            let arrived = |stack: &Stack| {
                let after = |name: &String| name == "after";
                let spans =
                    stack.spans(SERVICE, 0).iter().map(|span| span.name.clone()).filter(after).count();
                let records = stack.log_records(SERVICE, 0);
                let records = records.iter().filter(|record| record.to_string().contains("after")).count();
                (spans, records)
            };
            while matches!(arrived(&stack), (0, _) | (_, 0)) {
                assert!(Instant::now() < deadline, "waited for spans and log records after the outage");
                work(&manager, "after", 10).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            manager.shutdown(PLENTY).await.unwrap();
            let text = manager.render_metrics(None).body;
            for signal in ["spans", "log_records"] {
                let lost = format!("telemetry_exported_{signal}_total{{result=\"failed\"}} 0");
                assert!(text.contains(&format!("telemetry_exported_{signal}_total")), "{text}");
                assert!(!text.contains(&lost), "the outage was not counted:\n{text}");
            }
        });
    }
    let lines = run_in_own_process(NAME, &[("OTEL_BSP_SCHEDULE_DELAY", "200")]).json_lines();
    let about_export: Vec<_> =
        lines.iter().filter(|line| line["message"] != "working").map(ToString::to_string).collect();
    // Each signal says once that it is lost and once that it is not any more.
    assert_eq!(about_export.len(), 4, "{about_export:#?}");
    let warnings = about_export.iter().filter(|line| line.contains("\"level\":\"WARN\"")).count();
    assert_eq!(warnings, 2, "{about_export:#?}");
}

//! What is sent, how it is sent, and what is said when it cannot be sent.

use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, Tracer};
use serde_json::{Value, json};
use telemetry::{CorrelationId, TelemetryConfig, TelemetryError, TelemetryManager};
use testbed::TENANT_HEADER;

use crate::common::*;

/// Batches that come quickly, and requests that give up quickly, but not on a machine that is merely busy.
pub const QUICK: [(&str, &str); 3] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
];

/// The telemetry of a whole process.
pub fn installed(service: &str, endpoint: &str) -> TelemetryManager {
    let config = TelemetryConfig { log_filter: "debug".into(), ..config(service, endpoint) };
    let manager = TelemetryManager::new(config).unwrap();
    manager.install_global().unwrap();
    manager
}

/// One span, with one log record in it.
pub async fn work(manager: &TelemetryManager, message: &str) {
    let work = async {
        manager.logger().info(message, json!({"films": 3, "nested": {"list": [1, true]}}));
        Ok::<_, String>(())
    };
    manager.trace_operation("work", work).await.unwrap();
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

#[test]
fn everything_arrives_with_the_headers_of_the_environment() {
    const NAME: &str = "export::everything_arrives_with_the_headers_of_the_environment";
    if is_own_process(NAME) {
        return block_on(async {
            let manager = installed(&variable("SERVICE"), &variable("ENDPOINT"));
            let id = CorrelationId::parse("order-7").unwrap();
            id.scope(work(&manager, "export.done")).await;
            manager.shutdown(PLENTY).await.unwrap();
            assert_eq!((exported(&manager, "delivered"), exported(&manager, "failed")), ([1, 1], [0, 0]));
        });
    }
    let collector = &shared().collector;
    let headers = format!("{TENANT_HEADER}=blue");
    for (service, protocol, endpoint) in [
        ("export-grpc", "grpc", collector.grpc_endpoint()),
        ("export-http", "http/protobuf", collector.http_endpoint()),
    ] {
        let ran = run_in_own_process(
            NAME,
            &[
                ("SERVICE", service),
                ("ENDPOINT", &endpoint),
                ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ],
        );
        assert_eq!(messages(&ran.json_lines()), ["export.done"]);
        let spans = shared().spans(service, 1);
        let span = named(&spans, "work");
        assert_eq!(span.tag("tenant"), "blue", "{span:#?}");
        assert_eq!(span.tag("correlation.id"), "order-7", "{span:#?}");
        let records = shared().log_records(service, 1);
        let record = &records[0];
        assert_eq!(
            (&record["traceId"], &record["spanId"]),
            (&json!(span.trace), &json!(span.id)),
            "{record}"
        );
        assert_eq!((&record["severityNumber"], &record["flags"]), (&json!(9), &json!(1)), "{record}");
        let attributes = attributes(&record["attributes"]);
        assert_eq!(attributes["tenant"], "blue", "{record}");
        assert_eq!(attributes["correlation_id"], "order-7", "{record}");
        assert_eq!(attributes["films"], "3", "integers are text in OTLP's JSON: {record}");
        let list = json!({"arrayValue": {"values": [{"intValue": "1"}, {"boolValue": true}]}});
        assert_eq!(attributes["nested"]["values"], json!([{"key": "list", "value": list}]), "{record}");
    }
}

/// A receiver of gRPC refuses what is larger than 4 MiB, whole.
#[test]
fn large_batches_are_sent_in_parts_and_what_is_too_large_fails_alone() {
    const NAME: &str = "export::large_batches_are_sent_in_parts_and_what_is_too_large_fails_alone";
    if is_own_process(NAME) {
        return block_on(async {
            let manager = installed("large", &variable("ENDPOINT"));
            let tracer = manager.tracer();
            let text = "x".repeat(100 << 10);
            for number in 0..100 {
                manager.logger().info("large", json!({"text": text}));
                let text = if number == 50 { "x".repeat(5 << 20) } else { text.clone() };
                let span = tracer.span_builder("large").with_attributes([KeyValue::new("text", text)]);
                span.start(tracer).end();
            }
            let lost = manager.shutdown(PLENTY).await;
            assert!(matches!(lost, Err(TelemetryError::Lost { spans: 1, log_records: 0 })), "{lost:?}");
            assert_eq!((exported(&manager, "delivered"), exported(&manager, "failed")), ([99, 100], [1, 0]));
        });
    }
    let endpoint = shared().collector.grpc_endpoint();
    let lines = run_in_own_process(NAME, &[("ENDPOINT", &endpoint)]).json_lines();
    let lost: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(lost.len(), 1, "{lost:#?}");
    assert_eq!((&lost[0]["spans"], lost[0]["log_records"].is_null()), (&json!(1), true), "{}", lost[0]);
    assert!(lost[0]["error"].as_str().unwrap().contains("code: "), "{}", lost[0]);
}

#[test]
fn an_endpoint_that_never_answers_holds_up_a_batch_for_the_time_out_of_the_environment() {
    const NAME: &str =
        "export::an_endpoint_that_never_answers_holds_up_a_batch_for_the_time_out_of_the_environment";
    if is_own_process(NAME) {
        let (_mute, endpoint) = mute_endpoint();
        for base in [endpoint.clone(), format!("{endpoint}/otlp")] {
            block_on(async {
                let manager = TelemetryManager::new(config("mute", &base)).unwrap();
                manager.trace_operation("work", async { Ok::<_, String>(()) }).await.unwrap();
                let started = Instant::now();
                let lost = manager.shutdown(PLENTY).await;
                let took = started.elapsed();
                assert!(matches!(lost, Err(TelemetryError::Lost { spans: 1, log_records: 0 })), "{lost:?}");
                let wanted = Duration::from_millis(350)..Duration::from_secs(3);
                assert!(wanted.contains(&took), "{base}: {took:?}");
            });
        }
        return;
    }
    let environment = [("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "400")];
    run_in_own_process(NAME, &environment);
}

#[test]
fn an_endpoint_without_a_place_for_logs_is_named_once_and_takes_the_spans() {
    const NAME: &str = "export::an_endpoint_without_a_place_for_logs_is_named_once_and_takes_the_spans";
    if is_own_process(NAME) {
        return block_on(async {
            let manager = installed("no-logs", &variable("ENDPOINT"));
            for round in 1..=3 {
                work(&manager, "export.step").await;
                // Each in a batch of its own.
                let sent = || (exported(&manager, "delivered"), exported(&manager, "unsupported"));
                let arrived = || Ok((sent() == ([round, 0], [0, round])).then_some(()));
                testbed::wait_until("the answers to a batch of each", PLENTY, arrived)
                    .unwrap_or_else(|error| panic!("{error}: {:?}", sent()));
            }
            manager.shutdown(PLENTY).await.unwrap();
            assert_eq!(exported(&manager, "failed"), [0, 0]);
        });
    }
    let jaeger = shared().jaeger.otlp_endpoint();
    let collector = format!("{}/v1/traces", shared().collector.http_endpoint());
    let nowhere = collector.replace("traces", "nowhere");
    for variables in [
        vec![("ENDPOINT", jaeger)],
        vec![("ENDPOINT", &collector), ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &nowhere)],
    ] {
        let ran = run_in_own_process(NAME, &[&variables[..], &QUICK].concat());
        let told = ran.about_export();
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].0 == "WARN" && told[0].1.contains("a Jaeger stores traces only"), "{told:#?}");
    }
}

#[test]
fn an_error_names_its_cause_over_both_protocols() {
    const NAME: &str = "export::an_error_names_its_cause_over_both_protocols";
    if is_own_process(NAME) {
        let (_closed, endpoint) = refusing_endpoint();
        return block_on(async {
            let manager = installed("causes", &endpoint);
            work(&manager, "export.step").await;
            let lost = manager.shutdown(PLENTY).await;
            assert!(matches!(lost, Err(TelemetryError::Lost { spans: 1, log_records: 1 })), "{lost:?}");
        });
    }
    let lines =
        run_in_own_process(NAME, &[("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf")]).json_lines();
    let warnings: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 2, "{lines:#?}");
    for warning in warnings {
        assert!(warning["error"].as_str().unwrap().contains("Connection refused"), "{warning}");
    }
}

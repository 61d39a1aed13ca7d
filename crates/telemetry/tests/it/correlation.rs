//! Log lines and log records carry the ids of the operation that they belong to, whatever runs beside it.

use std::collections::BTreeMap;

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, SpanId};
use serde_json::{Value, json};
use telemetry::{CorrelationId, TelemetryConfig, TelemetryManager, in_current_operation};
use tokio::runtime::Handle;
use tokio::task::LocalSet;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use crate::common::*;

const OPERATIONS: usize = 1_000;

fn logging(service: &str, endpoint: &str) -> TelemetryConfig {
    TelemetryConfig { log_filter: "info".into(), ..config(service, endpoint) }
}

/// Each operation logs by `tracing`, by the logger, and from work that it has spawned, and waits in between.
async fn operation(manager: &TelemetryManager, number: usize) {
    let id = CorrelationId::parse(&format!("request-{number}")).unwrap();
    let work = manager.trace_operation(format!("operation {number}"), async {
        tokio::task::yield_now().await;
        tracing::info!(number, "by tracing");
        tokio::task::yield_now().await;
        manager.logger().info("by logger", json!({"number": number}));
        let logger = manager.logger().clone();
        telemetry::spawn(async move {
            tokio::task::yield_now().await;
            tracing::warn!(number, "spawned, by tracing");
            logger.error("spawned, by logger", json!({"number": number}));
        })
        .await
    });
    id.scope(work).await.unwrap();
}

#[test]
fn of_a_thousand_concurrent_operations_each_line_names_its_own() {
    const NAME: &str = "correlation::of_a_thousand_concurrent_operations_each_line_names_its_own";
    const SERVICE: &str = "correlation";
    if is_own_process(NAME) {
        return block_on(async {
            let endpoint = variable("ENDPOINT");
            let manager = TelemetryManager::new(logging(SERVICE, &endpoint)).unwrap();
            manager.install_global().unwrap();
            let running: Vec<_> = (0..OPERATIONS)
                .map(|number| {
                    let manager = manager.clone();
                    tokio::spawn(async move { operation(&manager, number).await })
                })
                .collect();
            for task in running {
                task.await.unwrap();
            }
            manager.shutdown(PLENTY).await.unwrap();
        });
    }
    let endpoint = shared().collector.grpc_endpoint();
    let queues = [("OTEL_BSP_MAX_QUEUE_SIZE", "8192"), ("OTEL_BLRP_MAX_QUEUE_SIZE", "8192")];
    let ran = run_in_own_process(NAME, &[queues[0], queues[1], ("ENDPOINT", &endpoint)]);

    let spans = shared().spans(SERVICE, OPERATIONS);
    let own: BTreeMap<_, _> = spans.iter().map(|span| (span.name.clone(), span)).collect();
    assert_eq!(own.len(), OPERATIONS);
    let check = |number: &str, trace: &Value, span: &Value, correlation: &Value, of: &Value| {
        let own = own[&format!("operation {number}")];
        assert_eq!((trace, span), (&json!(own.trace), &json!(own.id)), "{of}");
        assert_eq!(correlation, &json!(format!("request-{number}")), "{of}");
        assert_eq!(own.tag("correlation.id"), format!("request-{number}"));
    };
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 4 * OPERATIONS);
    for line in &lines {
        let number = line["number"].to_string();
        check(&number, &line["trace_id"], &line["span_id"], &line["correlation_id"], line);
    }
    let records = shared().log_records(SERVICE, 4 * OPERATIONS);
    assert_eq!(records.len(), 4 * OPERATIONS);
    for record in &records {
        let attributes = attributes(&record["attributes"]);
        // Integers are text in OTLP's JSON.
        let number = attributes["number"].as_str().unwrap();
        check(number, &record["traceId"], &record["spanId"], &attributes["correlation_id"], record);
    }
}

/// The correlation id and the span of whatever runs here.
fn here() -> (Option<String>, Option<SpanId>) {
    let span = Context::map_current(|context| {
        context.has_active_span().then(|| context.span().span_context().span_id())
    });
    (CorrelationId::current().map(|id| id.to_string()), span)
}

#[tokio::test(flavor = "multi_thread")]
async fn work_elsewhere_belongs_to_its_operation_only_when_it_is_told_so() {
    let manager =
        TelemetryManager::new(TelemetryConfig { jaeger_endpoint: None, ..config("elsewhere", "") }).unwrap();
    let subscriber = tracing_subscriber::registry().with(manager.layer());
    let _current = tracing::subscriber::set_default(subscriber);
    let local = LocalSet::new();
    let work = manager.trace_operation("operation", async {
        let own = here();
        assert!(own.0.as_deref() == Some("order-7") && own.1.is_some(), "{own:?}");
        // On a thread for blocking work, by closure or by future; on this thread; bound twice.
        assert_eq!(telemetry::spawn_blocking(here).await.unwrap(), own);
        let bound = in_current_operation(async { here() });
        let blocking = tokio::task::spawn_blocking(move || Handle::current().block_on(bound));
        assert_eq!(blocking.await.unwrap(), own);
        let not_movable = std::rc::Rc::new(());
        let bound = in_current_operation(async move {
            tokio::task::yield_now().await;
            drop(not_movable);
            here()
        });
        assert_eq!(local.spawn_local(bound).await.unwrap(), own);
        let twice = in_current_operation(in_current_operation(async { here() }));
        assert_eq!(telemetry::spawn(twice).await.unwrap(), own);

        assert_eq!(tokio::spawn(async { here() }).await.unwrap(), (None, None));
        assert_eq!(tokio::task::spawn_blocking(here).await.unwrap(), (None, None));
        Ok::<_, String>(())
    });
    // The operation is inside of the span, and both are current: it is the inner one that counts.
    let work = work.instrument(tracing::info_span!("around"));
    local.run_until(CorrelationId::parse("order-7").unwrap().scope(work)).await.unwrap();
    let outside = telemetry::spawn_blocking(here).await.unwrap();
    assert_eq!((outside, telemetry::spawn(async { here() }).await.unwrap()), ((None, None), (None, None)));
}

#[test]
fn correlation_and_structure_can_be_switched_off() {
    const NAME: &str = "correlation::correlation_and_structure_can_be_switched_off";
    if is_own_process(NAME) {
        return block_on(async {
            let plain = TelemetryConfig {
                correlation_enabled: false,
                structured_format: false,
                jaeger_endpoint: None,
                ..logging("plain", "")
            };
            let manager = TelemetryManager::new(plain).unwrap();
            manager.install_global().unwrap();
            operation(&manager, 7).await;
        });
    }
    let ran = run_in_own_process(NAME, &[]);
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.stderr);
    for line in lines {
        assert!(line.contains("number=7"), "{line}");
        assert!(
            !line.contains("trace_id") && !line.contains("request-7") && !line.starts_with('{'),
            "{line}"
        );
    }
}

/// Without telemetry a program still says what it does.
#[test]
fn disabled_telemetry_leaves_plain_log_lines() {
    const NAME: &str = "correlation::disabled_telemetry_leaves_plain_log_lines";
    if is_own_process(NAME) {
        return block_on(async {
            let manager = TelemetryManager::new(TelemetryConfig {
                enabled: false,
                ..logging("disabled", "http://127.0.0.1:1")
            });
            let manager = manager.unwrap();
            manager.install_global().unwrap();
            operation(&manager, 7).await;
            manager.shutdown(PLENTY).await.unwrap();
        });
    }
    let lines = run_in_own_process(NAME, &[]).json_lines();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for line in lines {
        assert_eq!(line["number"], 7, "{line}");
        assert!(line.get("trace_id").is_none(), "{line}");
    }
}

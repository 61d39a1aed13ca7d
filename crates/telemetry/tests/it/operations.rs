//! `trace_operation`, read back from Jaeger behind a real collector.

use std::fmt;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt};
use telemetry::{CorrelationId, TelemetryConfig, TelemetryManager};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use crate::common::*;

#[derive(Debug, PartialEq)]
struct Refused(u16);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}", self.0)
    }
}

fn manager(service: &str) -> TelemetryManager {
    TelemetryManager::new(config(service, &shared().collector.grpc_endpoint())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_says_who_ran_it_and_gives_its_result_back() {
    let manager = manager("operation-ok");
    let id = CorrelationId::parse("order-7").unwrap();
    let inner = manager.trace_operation("inner", async { Ok::<_, Refused>(vec![1, 2, 3]) });
    let outer = manager.trace_operation("outer", inner);
    assert_eq!(id.scope(outer).await, Ok(vec![1, 2, 3]));
    let dynamic = format!("export {}", 7);
    assert_eq!(manager.trace_operation(dynamic, async { Ok::<_, Refused>(()) }).await, Ok(()));
    manager.shutdown(PLENTY).await.unwrap();

    let spans = shared().spans("operation-ok", 3);
    let (outer, inner, dynamic) = (named(&spans, "outer"), named(&spans, "inner"), named(&spans, "export 7"));
    for span in [outer, inner, dynamic] {
        for (key, value) in
            [("service.name", "operation-ok"), ("service.version", "1.2.3"), ("environment", "testing")]
        {
            assert_eq!(span.tag(key), value, "{span:#?}");
        }
        assert_eq!(span.tag("span.kind"), "internal", "{span:#?}");
        assert_eq!(span.tag("error"), "", "{span:#?}");
        assert_eq!(span.events, [], "{span:#?}");
        assert_eq!(span.resource["deployment.environment.name"], "testing", "{span:#?}");
        assert_eq!(span.resource["deployment.environment"], "testing", "{span:#?}");
    }
    assert_eq!((outer.tag("correlation.id"), inner.tag("correlation.id")), ("order-7", "order-7"));
    assert!(!dynamic.tags.contains_key("correlation.id"), "{dynamic:#?}");
    assert_eq!(inner.parent.as_ref(), Some(&outer.id));
    assert_eq!(outer.parent, None);
    assert_eq!(inner.trace, outer.trace);
    assert_ne!(dynamic.trace, outer.trace);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_an_exception_with_its_message() {
    let manager = manager("operation-error");
    let result = manager.trace_operation("export", async { Err::<(), _>(Refused(429)) }).await;
    assert_eq!(result, Err(Refused(429)));
    manager.shutdown(PLENTY).await.unwrap();

    let spans = shared().spans("operation-error", 1);
    let span = named(&spans, "export");
    assert_eq!(span.tag("otel.status_code"), "ERROR", "{span:#?}");
    assert_eq!(span.tag("otel.status_description"), "refused with 429", "{span:#?}");
    assert!(span.tag("error.type").ends_with("Refused"), "{span:#?}");
    assert_eq!(span.events.len(), 1, "{span:#?}");
    assert_eq!(span.events[0]["event"], "exception");
    assert_eq!(span.events[0]["exception.message"], "refused with 429");
    assert!(span.events[0]["exception.type"].ends_with("Refused"), "{span:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_marks_its_span_and_goes_on() {
    let manager = manager("operation-panic");
    let film = manager.config().service_name.len();
    let panicking = {
        let manager = manager.clone();
        tokio::spawn(async move {
            manager
                .trace_operation("export", async {
                    tokio::task::yield_now().await;
                    if manager.config().enabled {
                        panic!("film {film} is odd");
                    }
                    Ok::<_, Refused>(())
                })
                .await
        })
    };
    let panic = panicking.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("film 15 is odd"));
    manager.shutdown(PLENTY).await.unwrap();

    let spans = shared().spans("operation-panic", 1);
    let span = named(&spans, "export");
    assert_eq!(span.tag("operation.outcome"), "panicked", "{span:#?}");
    assert_eq!(span.tag("otel.status_code"), "ERROR", "{span:#?}");
    assert_eq!(span.events[0]["exception.type"], "panic", "{span:#?}");
    assert_eq!(span.events[0]["exception.message"], "film 15 is odd", "{span:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_future_marks_its_span() {
    let manager = manager("operation-dropped");
    let endless = manager.trace_operation("export", std::future::pending::<Result<(), Refused>>());
    assert!(tokio::time::timeout(Duration::from_millis(50), endless).await.is_err());
    // One that was never polled has not begun: there is nothing to mark.
    drop(manager.trace_operation("never begun", std::future::pending::<Result<(), Refused>>()));
    manager.trace_operation("last", async { Ok::<_, Refused>(()) }).await.unwrap();
    manager.shutdown(PLENTY).await.unwrap();

    let spans = shared().spans("operation-dropped", 2);
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let span = named(&spans, "export");
    assert_eq!(span.tag("operation.outcome"), "cancelled", "{span:#?}");
    assert_eq!(span.tag("otel.status_code"), "ERROR", "{span:#?}");
    assert!(!named(&spans, "last").tags.contains_key("operation.outcome"));
}

/// Code that uses the library's operations and code that uses `tracing` make one trace together, whichever is outside.
#[tokio::test]
async fn operations_and_tracing_spans_nest_in_each_other() {
    let manager = manager("operation-nested");
    let subscriber = tracing_subscriber::registry().with(manager.layer());
    let _current = tracing::subscriber::set_default(subscriber);
    let innermost = manager.trace_operation("innermost", async { Ok::<_, Refused>(()) });
    let inner = async { innermost.instrument(tracing::info_span!("inner tracing")).await };
    let operation = manager.trace_operation("operation", inner);
    operation.instrument(tracing::info_span!("outer tracing")).await.unwrap();
    manager.shutdown(PLENTY).await.unwrap();

    let spans = shared().spans("operation-nested", 4);
    let chain = ["outer tracing", "operation", "inner tracing", "innermost"].map(|name| named(&spans, name));
    assert_eq!(chain[0].parent, None);
    for pair in chain.windows(2) {
        assert_eq!(pair[1].parent.as_ref(), Some(&pair[0].id), "{spans:#?}");
    }
}

#[tokio::test]
async fn what_is_logged_does_not_decide_what_is_traced() {
    for filter in ["off", "error", ""] {
        let service = format!("operation-filter-{}", if filter.is_empty() { "none" } else { filter });
        let quiet = TelemetryConfig {
            log_filter: filter.into(),
            ..config(&service, &shared().collector.grpc_endpoint())
        };
        let manager = TelemetryManager::new(quiet).unwrap();
        let subscriber = tracing_subscriber::registry().with(manager.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("not logged").in_scope(|| tracing::info!("not logged either"));
        });
        manager.shutdown(PLENTY).await.unwrap();
        assert_eq!(shared().spans(&service, 1).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_passes_results_through_and_sends_nothing() {
    let endpoint = shared().collector.grpc_endpoint();
    let mut disabled = config("operation-disabled", &endpoint);
    disabled.enabled = false;
    disabled.prometheus_enabled = true;
    let mut untraced = config("operation-untraced", &endpoint);
    untraced.tracing_enabled = false;
    for off in [disabled, untraced] {
        let manager = TelemetryManager::new(off).unwrap();
        assert_eq!(manager.metrics_address(), None);
        let result = manager.trace_operation("export", async { Err::<(), _>(Refused(1)) }).await;
        assert_eq!(result, Err(Refused(1)));
        let result = manager.instrument_api_call("users/me", "GET", async { Ok::<_, Refused>(7) }).await;
        assert_eq!(result, Ok(7));
        manager.shutdown(PLENTY).await.unwrap();
    }
    // What was sent afterwards has arrived, so what was sent before would have, too.
    let manager = manager("operation-after");
    manager.trace_operation("after", async { Ok::<_, Refused>(()) }).await.unwrap();
    manager.shutdown(PLENTY).await.unwrap();
    shared().spans("operation-after", 1);
    for service in ["operation-disabled", "operation-untraced"] {
        assert_eq!(shared().spans(service, 0).len(), 0, "spans of {service}");
    }
}

/// A `Display` that fails after a very long text.
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&"ä".repeat(1 << 20))?;
        Err(fmt::Error)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_or_cannot_be_formatted_takes_nothing_down() {
    let manager = manager("operation-message");
    assert!(manager.trace_operation("export", async { Err::<(), _>(Broken) }).await.is_err());
    manager.shutdown(PLENTY).await.unwrap();
    let spans = shared().spans("operation-message", 1);
    let message = &named(&spans, "export").events[0]["exception.message"];
    assert_eq!((message.len(), message.chars().all(|c| c == 'ä')), (8 << 10, true));
}

/// Says in which span it is dropped.
struct Last(std::sync::mpsc::Sender<SpanId>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.send(current_span()).unwrap();
    }
}

fn current_span() -> SpanId {
    Context::map_current(|context| context.span().span_context().span_id())
}

#[tokio::test]
async fn what_a_future_does_while_it_is_dropped_belongs_to_its_operation() {
    let manager =
        TelemetryManager::new(TelemetryConfig { jaeger_endpoint: None, ..config("drops", "") }).unwrap();
    let (sender, spans) = std::sync::mpsc::channel();
    let operation = |endless: bool| {
        let last = Last(sender.clone());
        let sender = sender.clone();
        async move {
            sender.send(current_span()).unwrap();
            if endless {
                std::future::pending::<()>().await;
            }
            drop(last);
            Ok::<_, Refused>(())
        }
    };
    manager.trace_operation("done", operation(false)).await.unwrap();
    let given_up = manager.trace_operation("given up", operation(true));
    tokio::time::timeout(Duration::from_millis(20), given_up).await.unwrap_err();
    let seen: Vec<_> = spans.try_iter().collect();
    assert_eq!(seen.len(), 4);
    assert!(seen[0] == seen[1] && seen[2] == seen[3] && seen[0] != seen[2], "{seen:?}");
    assert!(!seen.contains(&SpanId::INVALID), "{seen:?}");
}

/// What is true of the future is true of the operation, however deep: it may move between threads, or not, and is no larger.
#[tokio::test]
async fn an_operation_is_as_movable_and_nearly_as_small_as_its_future() {
    fn movable<F: Future + Send>(future: F) -> F {
        future
    }
    let manager =
        TelemetryManager::new(TelemetryConfig { jaeger_endpoint: None, ..config("sizes", "") }).unwrap();
    let large = [1_u8; 16 << 10];
    let work = async {
        tokio::task::yield_now().await;
        Ok::<_, Refused>(large.len())
    };
    let size = size_of_val(&work);
    let call = manager.instrument_api_call("sync/history", "GET", work);
    let nested = manager.trace_operation("outer", manager.trace_operation("inner", call));
    let nested = movable(CorrelationId::random().scope(nested));
    assert!(size_of_val(&nested) < size + 1024, "{} from {size}", size_of_val(&nested));
    assert_eq!(nested.await, Ok(16 << 10));

    let local = std::rc::Rc::new(7);
    let unmovable = async {
        tokio::task::yield_now().await;
        Ok::<_, Refused>(*local)
    };
    assert_eq!(manager.trace_operation("here", unmovable).await, Ok(7));
}

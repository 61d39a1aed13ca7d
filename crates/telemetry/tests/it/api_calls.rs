//! `instrument_api_call` and the headers between two processes: spans from Jaeger, measurements from a scrape.

use http::HeaderMap;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{FutureExt, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use telemetry::{
    CORRELATION_HEADER, CorrelationId, TelemetryManager, extract_headers, inject_headers, record_http_status,
};

use crate::common::*;

fn manager(service: &str) -> TelemetryManager {
    TelemetryManager::new(config(service, &shared().collector.grpc_endpoint())).unwrap()
}

/// An API call that answers with this status; its outgoing headers.
async fn call(status: u16) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    inject_headers(&mut headers);
    record_http_status(status);
    if status < 400 { Ok(headers) } else { Err(format!("status {status}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_client_span_with_old_and_new_names_and_a_measurement() {
    let manager = manager("api-call");
    manager.instrument_api_call("sync/history/movies", "GET", call(200)).await.unwrap();
    manager.instrument_api_call("sync/history/movies", "GET", call(200)).await.unwrap();
    manager.instrument_api_call("sync/ratings", "POST", call(503)).await.unwrap_err();
    manager.shutdown(PLENTY).await.unwrap();

    let spans = shared().spans("api-call", 3);
    let failed = named(&spans, "api.sync/ratings");
    for (key, value) in [
        ("span.kind", "client"),
        ("component", "api_client"),
        ("http.method", "POST"),
        ("http.request.method", "POST"),
        ("http.url", "sync/ratings"),
        ("url.template", "sync/ratings"),
        ("http.status_code", "503"),
        ("http.response.status_code", "503"),
        ("service.name", "api-call"),
        ("otel.status_code", "ERROR"),
        ("otel.status_description", "status 503"),
    ] {
        assert_eq!(failed.tag(key), value, "{key} of {failed:#?}");
    }
    assert_eq!(spans.iter().filter(|span| span.name == "api.sync/history/movies").count(), 2);

    let text = manager.render_metrics(None).body;
    for (labels, count) in [
        (r#"endpoint="sync/history/movies",method="GET",outcome="ok""#, 2),
        (r#"endpoint="sync/ratings",method="POST",outcome="error""#, 1),
    ] {
        let line = format!("trakt_api_duration_seconds_count{{{labels}}} {count}");
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_or_panics_is_measured_too() {
    let manager = manager("api-call-lost");
    let endless = std::future::pending::<Result<(), String>>();
    let given_up = manager.instrument_api_call("slow", "GET", endless);
    tokio::time::timeout(std::time::Duration::from_millis(50), given_up).await.unwrap_err();
    let panicking = {
        let manager = manager.clone();
        let odd = async {
            if Context::current().has_active_span() {
                panic!("odd");
            }
            Ok::<_, String>(())
        };
        tokio::spawn(async move { manager.instrument_api_call("odd", "GET", odd).await })
    };
    assert!(panicking.await.unwrap_err().is_panic());
    let text = manager.render_metrics(None).body;
    for (endpoint, outcome) in [("slow", "cancelled"), ("odd", "panicked")] {
        let series = format!(
            r#"trakt_api_duration_seconds_count{{endpoint="{endpoint}",method="GET",outcome="{outcome}"}} 1"#
        );
        assert!(text.lines().any(|line| line == series), "no `{series}` in\n{text}");
    }
    manager.shutdown(PLENTY).await.unwrap();
}

/// What one process sends, another takes up: one trace, one correlation id, the caller's baggage.
#[tokio::test(flavor = "multi_thread")]
async fn trace_and_correlation_id_go_over_process_bounds() {
    let (client, server) = (manager("api-client"), manager("api-server"));
    let baggage = Context::current_with_baggage([KeyValue::new("tenant", "films & co")]);
    let id = CorrelationId::random();
    let calling = client.instrument_api_call("exports", "POST", call(200)).with_context(baggage);
    let headers = id.clone().scope(calling).await.unwrap();
    assert_eq!(headers[CORRELATION_HEADER], id.as_str());
    let baggage = headers["baggage"].to_str().unwrap();
    assert!(baggage.contains(&format!("correlation.id={id}")), "{baggage}");
    assert!(baggage.contains("tenant=films%20&%20co"), "{baggage}");

    let seen = server.trace_operation("export", async {
        let tenant = Context::map_current(|context| context.baggage().get("tenant").map(ToString::to_string));
        Ok::<_, String>((CorrelationId::current(), tenant))
    });
    let (taken, tenant) = extract_headers(&headers).run(seen).await.unwrap();
    assert_eq!((taken, tenant.as_deref()), (Some(id.clone()), Some("films & co")));
    client.shutdown(PLENTY).await.unwrap();
    server.shutdown(PLENTY).await.unwrap();

    let client = shared().spans("api-client", 1);
    let both = shared().spans("api-server", 2);
    let (call, export) = (named(&client, "api.exports"), named(&both, "export"));
    assert_eq!(export.parent.as_ref(), Some(&call.id));
    assert_eq!(export.trace, call.trace);
    assert!(headers["traceparent"].to_str().unwrap().contains(&call.trace), "{headers:?}");
    assert_eq!((call.tag("correlation.id"), export.tag("correlation.id")), (id.as_str(), id.as_str()));
}

#[test]
fn headers_that_cannot_be_read_count_as_absent() {
    let incoming = |pairs: &[(&'static str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        extract_headers(&headers)
    };
    let id = |pairs: &[(&'static str, &str)]| incoming(pairs).correlation_id.map(|id| id.to_string());
    assert_eq!(id(&[]), None);
    assert_eq!(id(&[("baggage", "correlation.id=from-baggage,x=y")]).as_deref(), Some("from-baggage"));
    assert_eq!(
        id(&[(CORRELATION_HEADER, "from-header"), ("baggage", "correlation.id=from-baggage")]).as_deref(),
        Some("from-header")
    );
    // What is not usable as an id does not hide one that is.
    for bad in ["", "two words", "a\"b", "ä", "x;y", &"x".repeat(129)] {
        let headers = [(CORRELATION_HEADER, bad), ("baggage", "correlation.id=from-baggage")];
        assert_eq!(id(&headers).as_deref(), Some("from-baggage"), "{bad:?}");
        assert_eq!(id(&[(CORRELATION_HEADER, bad)]), None, "{bad:?}");
    }
    for bad in ["", "00-0-0-01", "00-00000000000000000000000000000000-0000000000000000-01", "ff", "\u{e4}"] {
        assert!(!incoming(&[("traceparent", bad)]).context.has_active_span(), "{bad:?}");
    }
}

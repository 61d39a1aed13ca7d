//! In: batches of ended spans. Out: the same over OTLP gRPC, counted by result. Talks to the endpoint, never
//! blocks the code that makes spans: the SDK calls the exporter from a thread of its own, behind a bounded
//! queue.
//!
//! An endpoint that is away costs the spans and nothing else. The SDK's own log lines are compiled out (they
//! would come once per batch for as long as it lasts); here one warning says when it begins, one line when it
//! is over, and each lost batch is a line at debug. The counter goes on counting either way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tonic::transport::{Channel, Endpoint};

use crate::error::TelemetryError;

/// One batch, all retries together. Also what a shutdown may have to wait for before its own batch is sent.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Where packets are dropped and not refused, the kernel would go on trying for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Spans handed to the exporter, by result.
#[derive(Clone, Debug)]
pub(crate) struct ExportCounters {
    delivered: IntCounter,
    failed: IntCounter,
}

impl ExportCounters {
    pub(crate) fn register(registry: &Registry) -> Result<Self, TelemetryError> {
        let spans = IntCounterVec::new(
            Opts::new(
                "telemetry_exported_spans_total",
                "Spans handed to the OTLP exporter, by result, without those that a full queue turned away",
            ),
            &["result"],
        )?;
        registry.register(Box::new(spans.clone()))?;
        Ok(Self {
            delivered: spans.with_label_values(&["delivered"]),
            failed: spans.with_label_values(&["failed"]),
        })
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.get()
    }
}

/// The OTLP exporter, with an account of what became of the spans.
#[derive(Debug)]
pub(crate) struct OtlpExporter {
    otlp: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    counters: ExportCounters,
    failing: AtomicBool,
}

impl OtlpExporter {
    /// Checks the endpoint and makes the exporter; connects when the first batch is sent, not now.
    pub(crate) fn new(endpoint: &str, counters: ExportCounters) -> Result<Self, TelemetryError> {
        let otlp = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_channel(channel(endpoint)?)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        Ok(Self { otlp, endpoint: endpoint.to_owned(), counters, failing: AtomicBool::new(false) })
    }

    fn account(&self, spans: u64, result: &OTelSdkResult) {
        let endpoint = self.endpoint.as_str();
        match result {
            Ok(()) => {
                self.counters.delivered.inc_by(spans);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(endpoint, "the OTLP endpoint takes spans again");
                }
            }
            Err(error) => {
                self.counters.failed.inc_by(spans);
                if self.failing.swap(true, Ordering::Relaxed) {
                    tracing::debug!(endpoint, spans, %error, "a batch of spans is lost");
                } else {
                    tracing::warn!(
                        endpoint,
                        spans,
                        %error,
                        "the OTLP endpoint does not take spans; they are lost until it does"
                    );
                }
            }
        }
    }
}

impl SpanExporter for OtlpExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.otlp.export(batch).await;
        self.account(spans, &result);
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

fn channel(endpoint: &str) -> Result<Channel, TelemetryError> {
    let refuse = |reason: String| TelemetryError::Endpoint { endpoint: endpoint.to_owned(), reason };
    let parsed = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        refuse(format!("not a URL{cause}"))
    })?;
    if let Some(reason) = objection(endpoint, &parsed) {
        return Err(refuse(reason.to_owned()));
    }
    // The channel starts a task at once, and panics where there is nothing to run it.
    tokio::runtime::Handle::try_current().map_err(|_| TelemetryError::NoRuntime)?;
    Ok(parsed.connect_timeout(CONNECT_TIMEOUT).timeout(EXPORT_TIMEOUT).connect_lazy())
}

/// What would only show at the first export, or never.
fn objection(endpoint: &str, parsed: &Endpoint) -> Option<&'static str> {
    let uri = parsed.uri();
    let host = uri.host().unwrap_or_default();
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    if endpoint.starts_with("https://") {
        return Some("TLS is not supported, spans are sent in plaintext gRPC");
    }
    if !endpoint.starts_with("http://") {
        return Some("the scheme http:// is missing");
    }
    if authority.contains('@') {
        return Some("it contains a user or a password, which OTLP has no use for");
    }
    if host.is_empty() {
        return Some("the host is missing");
    }
    if authority.len() > host.len() && uri.port_u16().is_none_or(|port| port == 0) {
        return Some("the port is not a number from 1 to 65535");
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Some("a path belongs to OTLP over HTTP, OTLP over gRPC takes a host and a port");
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;
    use crate::fixture::Recorder;

    fn refusal(endpoint: &str) -> String {
        match channel(endpoint) {
            Err(error @ TelemetryError::Endpoint { .. }) => error.to_string(),
            other => panic!("`{endpoint}` was not refused: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_bad_endpoint_is_named_with_its_fault() {
        for (endpoint, fault) in [
            ("", "not a URL"),
            ("not a url", "not a URL"),
            ("http://", "not a URL"),
            ("jaeger:4317", "the scheme http:// is missing"),
            ("unix:///run/otlp", "the scheme http:// is missing"),
            ("https://jaeger:4317", "TLS is not supported"),
            ("http://:4317", "the host is missing"),
            ("http://jaeger:70000", "the port is not a number"),
            ("http://jaeger:0", "the port is not a number"),
            ("http://[::1]:x", "the port is not a number"),
            ("http://me:secret@jaeger:4317", "a user or a password"),
            ("http://jaeger:4318/v1/traces", "a path belongs to OTLP over HTTP"),
            ("http://jaeger:4317?x=1", "a path belongs to OTLP over HTTP"),
        ] {
            let refusal = refusal(endpoint);
            assert!(refusal.contains(fault), "`{endpoint}`: wanted `{fault}` in: {refusal}");
            assert!(refusal.contains(&format!("`{endpoint}`")), "the endpoint is not named in: {refusal}");
        }
    }

    #[tokio::test]
    async fn a_good_endpoint_is_taken() {
        for endpoint in
            ["http://127.0.0.1:4317", "http://jaeger.tracing.svc:4317/", "http://[::1]:4317", "http://otlp"]
        {
            assert!(channel(endpoint).is_ok(), "`{endpoint}` was refused: {:?}", channel(endpoint));
        }
    }

    #[tokio::test]
    async fn an_outage_is_reported_when_it_begins_and_when_it_ends() {
        let registry = Registry::new();
        let counters = ExportCounters::register(&registry).unwrap();
        let exporter = OtlpExporter::new("http://127.0.0.1:4317", counters).unwrap();
        let away = || Err(OTelSdkError::InternalFailure("connection refused".into()));
        let recorder = Recorder::new("debug");
        recorder.run(|| {
            for result in [Ok(()), away(), away(), Ok(()), Ok(()), away()] {
                exporter.account(2, &result);
            }
        });

        let lines = recorder.json_lines();
        let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
        assert_eq!(levels, ["WARN", "DEBUG", "INFO", "WARN"], "{lines:#?}");
        assert_eq!(lines[0]["endpoint"], "http://127.0.0.1:4317");
        assert!(lines[0]["error"].as_str().unwrap().contains("connection refused"), "{}", lines[0]);
        assert_eq!((exporter.counters.delivered.get(), exporter.counters.failed()), (6, 6));
    }

    #[test]
    fn without_a_runtime_it_is_an_error_and_not_a_panic() {
        assert!(matches!(channel("http://127.0.0.1:4317"), Err(TelemetryError::NoRuntime)));
    }
}

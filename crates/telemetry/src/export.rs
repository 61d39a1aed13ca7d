//! In: batches of ended spans and of log records. Out: the same over OTLP, gRPC or HTTP, counted by result. Talks to the
//! endpoint, never blocks the code that makes spans and log lines: the SDK calls the exporters from threads of its own,
//! behind bounded queues (`OTEL_BSP_*`, `OTEL_BLRP_*`). What a full queue turns away the SDK does not tell; it is in no
//! counter.
//!
//! | module | what it holds |
//! |---|---|
//! | `account` | counters, and the lines that say when an outage begins and ends |
//! | `connection` | the gRPC channel and the HTTP client |
//! | `size` | how much of a batch fits into one request |

mod account;
mod connection;
mod size;

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_otlp::{ExporterBuildError, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;

use crate::endpoint::{OtlpEndpoint, Protocol, Signal};
use crate::error::TelemetryError;

use account::Account;
pub(crate) use account::ExportCounters;
use connection::HttpClient;
pub(crate) use size::FIELD;
#[cfg(test)]
pub(crate) use size::of_record as size_of_record;

/// One batch, all requests and retries together. Also what a shutdown may have to wait for before its own batch is sent.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans.
#[derive(Debug)]
pub(crate) struct OtlpSpans {
    otlp: opentelemetry_otlp::SpanExporter,
    link: Link,
}

/// Sends log records.
#[derive(Debug)]
pub(crate) struct OtlpLogs {
    otlp: opentelemetry_otlp::LogExporter,
    link: Link,
}

/// Makes the exporter of spans; it connects when the first batch is sent, not now.
pub(crate) fn span_exporter(
    endpoint: &OtlpEndpoint,
    counters: &ExportCounters,
    background: &Handle,
) -> Result<OtlpSpans, TelemetryError> {
    let mut link = Link::new(Signal::Traces, endpoint, counters, background);
    let builder = opentelemetry_otlp::SpanExporter::builder();
    let otlp = match endpoint.protocol {
        Protocol::Grpc => link.grpc(builder.with_tonic(), &endpoint.url)?.build(),
        Protocol::HttpProtobuf => link.http(builder.with_http(), &endpoint.url).build(),
    }?;
    Ok(OtlpSpans { otlp, link })
}

/// Makes the exporter of log records; it connects when the first batch is sent, not now.
pub(crate) fn log_exporter(
    endpoint: &OtlpEndpoint,
    counters: &ExportCounters,
    background: &Handle,
) -> Result<OtlpLogs, TelemetryError> {
    let mut link = Link::new(Signal::Logs, endpoint, counters, background);
    let builder = opentelemetry_otlp::LogExporter::builder();
    let otlp = match endpoint.protocol {
        Protocol::Grpc => link.grpc(builder.with_tonic(), &endpoint.url)?.build(),
        Protocol::HttpProtobuf => link.http(builder.with_http(), &endpoint.url).build(),
    }?;
    Ok(OtlpLogs { otlp, link })
}

impl SpanExporter for OtlpSpans {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        let deadline = Instant::now() + self.link.timeout;
        let mut outcome = Ok(());
        while !batch.is_empty() {
            let rest = batch.split_off(size::of_request(batch.iter().map(size::of_span)));
            let part = std::mem::replace(&mut batch, rest);
            let sent = self.link.send(part.len(), deadline, self.otlp.export(part)).await;
            outcome = outcome.and(sent);
        }
        outcome
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.otlp.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

impl LogExporter for OtlpLogs {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let deadline = Instant::now() + self.link.timeout;
        let records: Vec<_> = batch.iter().collect();
        let mut records = records.as_slice();
        let mut outcome = Ok(());
        while !records.is_empty() {
            let (part, rest) =
                records.split_at(size::of_request(records.iter().map(|(record, _)| size::of_record(record))));
            records = rest;
            let sent = self.link.send(part.len(), deadline, self.otlp.export(LogBatch::new(part))).await;
            outcome = outcome.and(sent);
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

/// What both exporters know about their way to the endpoint.
#[derive(Debug)]
struct Link {
    account: Account,
    background: Handle,
    timeout: Duration,
    http: Option<Arc<HttpClient>>,
}

impl Link {
    fn new(signal: Signal, endpoint: &OtlpEndpoint, counters: &ExportCounters, background: &Handle) -> Self {
        let timeout = timeout(signal, |name| std::env::var(name).ok());
        let account = Account::new(signal, endpoint.url.clone(), counters);
        Self { account, background: background.clone(), timeout, http: None }
    }

    fn grpc<B: WithTonicConfig + WithExportConfig>(
        &self,
        builder: B,
        url: &str,
    ) -> Result<B, ExporterBuildError> {
        let channel = connection::channel(url, &self.background)?;
        Ok(builder.with_channel(channel).with_timeout(self.timeout))
    }

    fn http<B: WithHttpConfig + WithExportConfig>(&mut self, builder: B, url: &str) -> B {
        let client = Arc::new(HttpClient::new(self.background.clone(), self.timeout));
        self.http = Some(Arc::clone(&client));
        builder
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_shared_http_client(client)
            .with_endpoint(url)
            .with_timeout(self.timeout)
    }

    /// Waits for one request with `items` in it, and counts them by what became of it.
    ///
    /// The exporters of OTLP check their own time-out between two attempts only, so one that hangs is ended here. The clock
    /// is a task in the background, which has a runtime; the thread that waits has none.
    async fn send(
        &self,
        items: usize,
        deadline: Instant,
        request: impl Future<Output = OTelSdkResult>,
    ) -> OTelSdkResult {
        let mut alarm = self.background.spawn(async move { tokio::time::sleep_until(deadline.into()).await });
        let result = tokio::select! {
            biased;
            _ = &mut alarm => Err(OTelSdkError::Timeout(self.timeout)),
            result = request => result,
        };
        alarm.abort();
        let result = match result {
            // Whatever the error says, it comes from the end of the background, which takes no more tasks.
            Err(_) if self.background.spawn(async {}).await.is_err() => Err(OTelSdkError::AlreadyShutdown),
            result => result,
        };
        let cause = self.http.as_ref().and_then(|client| client.take_failure());
        self.account.enter(items as u64, &result, cause.as_deref());
        result
    }
}

/// The time-out of a signal: in milliseconds from its own variable, else from that of all signals.
fn timeout(signal: Signal, lookup: impl Fn(&str) -> Option<String>) -> Duration {
    let milliseconds =
        |name: &str| lookup(name)?.trim().parse().ok().filter(|milliseconds| *milliseconds > 0);
    let own = match signal {
        Signal::Traces => "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        Signal::Logs => "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
    };
    milliseconds(own)
        .or_else(|| milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT"))
        .map_or(TIMEOUT, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_out_of_the_signal_goes_before_that_of_all_signals() {
        let of = |variables: &[(&str, &str)], signal| {
            let lookup = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            timeout(signal, lookup).as_millis()
        };
        let all = ("OTEL_EXPORTER_OTLP_TIMEOUT", "700");
        let logs = ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "900");
        assert_eq!(of(&[], Signal::Traces), 5000);
        assert_eq!(of(&[all, logs], Signal::Traces), 700);
        assert_eq!(of(&[all, logs], Signal::Logs), 900);
        for unusable in ["0", "5s", ""] {
            assert_eq!(of(&[("OTEL_EXPORTER_OTLP_TIMEOUT", unusable)], Signal::Traces), 5000, "{unusable}");
        }
    }
}

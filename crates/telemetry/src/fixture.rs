//! For the tests of this crate: a subscriber like the real one that keeps its spans and lines, a
//! configuration, and a port that nobody listens on.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tokio::net::TcpSocket;
use tracing::Dispatch;
use tracing::dispatcher::DefaultGuard;

use crate::logs::{self, LogLayer};
use crate::{LogFormat, TelemetryConfig, manager};

pub(crate) fn config(otlp_endpoint: Option<String>) -> TelemetryConfig {
    TelemetryConfig {
        service_name: "fixture".into(),
        service_version: "1.2.3".into(),
        otlp_endpoint,
        log_filter: "info".into(),
        log_format: LogFormat::Json,
    }
}

/// The real layers over an exporter that keeps every span and a writer that keeps every line.
pub(crate) struct Recorder {
    subscriber: Dispatch,
    spans: Kept,
    lines: Lines,
}

impl Recorder {
    pub(crate) fn new(log_filter: &str) -> Self {
        Self::with_format(log_filter, LogFormat::Json)
    }

    pub(crate) fn with_format(log_filter: &str, format: LogFormat) -> Self {
        let spans = Kept::default();
        let lines = Lines::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let writer = lines.clone();
        let logs = LogLayer::new(format, move || writer.clone());
        let filter = logs::filter(log_filter).unwrap();
        let subscriber = manager::subscriber(provider.tracer("fixture"), filter, logs);
        Self { subscriber, spans, lines }
    }

    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.subscriber, work)
    }

    pub(crate) fn set_default(&self) -> DefaultGuard {
        tracing::dispatcher::set_default(&self.subscriber)
    }

    /// The spans, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.spans.0.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.get()
    }

    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.lines.json()
    }
}

/// The log lines of `work` under the telemetry of `config`, and its result.
pub(crate) fn lines_of_unexported<T>(
    config: &TelemetryConfig,
    work: impl FnOnce() -> T,
) -> (Vec<serde_json::Value>, T) {
    let lines = Lines::default();
    let writer = lines.clone();
    let (subscriber, _telemetry) = manager::assemble(config, move || writer.clone()).unwrap();
    let result = tracing::dispatcher::with_default(&subscriber, work);
    (lines.json(), result)
}

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn get(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.get()
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in line: {line}")))
            .collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A port that refuses connections for as long as this lives: bound, so that nobody else gets it, but not
/// listened on.
pub(crate) struct ClosedPort(TcpSocket);

impl ClosedPort {
    pub(crate) fn reserve() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}

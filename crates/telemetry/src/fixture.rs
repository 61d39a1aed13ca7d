//! For the tests of this crate: a subscriber like the real one that keeps its spans, lines and log records. No network.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tracing::Dispatch;
use tracing::dispatcher::DefaultGuard;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;

use crate::log_sink::LogSink;
use crate::logs::{self, LogLayer};
use crate::{CorrelatedLogger, traces};

/// The real layers over exporters that keep every span and log record, and a writer that keeps every line.
pub(crate) struct Recorder {
    subscriber: Dispatch,
    logger: CorrelatedLogger,
    spans: Kept<SpanData>,
    log_records: Kept<SdkLogRecord>,
    lines: Lines,
}

impl Recorder {
    /// With JSON lines.
    pub(crate) fn new(log_filter: &str) -> Self {
        Self::build(log_filter, true, true, Sampler::AlwaysOn)
    }

    /// With lines for people.
    pub(crate) fn text(log_filter: &str) -> Self {
        Self::build(log_filter, false, true, Sampler::AlwaysOn)
    }

    /// Without ids in its lines.
    pub(crate) fn uncorrelated() -> Self {
        Self::build("info", true, false, Sampler::AlwaysOn)
    }

    /// With spans that are never exported.
    pub(crate) fn unexported() -> Self {
        Self::build("info", true, true, Sampler::AlwaysOff)
    }

    fn build(log_filter: &str, structured: bool, correlation: bool, sampler: Sampler) -> Self {
        let (spans, log_records, lines) = (Kept::default(), Kept::default(), Lines::default());
        let tracers =
            SdkTracerProvider::builder().with_sampler(sampler).with_simple_exporter(spans.clone()).build();
        let loggers = SdkLoggerProvider::builder().with_simple_exporter(log_records.clone()).build();
        let writer = lines.writer();
        let sink = LogSink::new(structured, correlation, writer, Some(logs::logger(&loggers)));
        let logger = CorrelatedLogger::new(sink.clone(), "fixture", log_filter);
        let layer = LogLayer::new(sink).with_filter(logs::filter(log_filter).unwrap());
        let subscriber = registry().with(traces::layer(tracers.tracer("fixture"))).with(layer).into();
        Self { subscriber, logger, spans, log_records, lines }
    }

    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.subscriber, work)
    }

    pub(crate) fn set_default(&self) -> DefaultGuard {
        tracing::dispatcher::set_default(&self.subscriber)
    }

    pub(crate) fn dispatch(&self) -> Dispatch {
        self.subscriber.clone()
    }

    pub(crate) fn logger(&self) -> &CorrelatedLogger {
        &self.logger
    }

    /// The spans, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.spans.get()
    }

    pub(crate) fn log_records(&self) -> Vec<SdkLogRecord> {
        self.log_records.get()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.get()
    }

    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in line: {line}"))
        };
        self.lines().iter().map(parse).collect()
    }
}

#[derive(Debug)]
struct Kept<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Kept<T> {
    fn get(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl SpanExporter for Kept<SpanData> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl LogExporter for Kept<SdkLogRecord> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch.iter().map(|(record, _)| record.clone()));
        Ok(())
    }
}

/// What was written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn writer(&self) -> BoxMakeWriter {
        let lines = self.clone();
        BoxMakeWriter::new(move || lines.clone())
    }

    fn get(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
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

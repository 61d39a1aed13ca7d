//! Everything that can go wrong between [`init`](crate::init) and [`shutdown`](crate::Telemetry::shutdown).

use std::time::Duration;

/// Why telemetry could not be set up, or could not be ended in good order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The OTLP endpoint is not one that spans can be sent to.
    #[error("OTLP endpoint `{endpoint}`: {reason}; it must look like http://127.0.0.1:4317")]
    Endpoint {
        /// The endpoint as it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An OTLP endpoint was given, but there is no tokio runtime that could carry the connection.
    #[error("an OTLP exporter can only be set up inside a tokio runtime")]
    NoRuntime,
    /// The exporter refuses its settings, for example an `OTEL_EXPORTER_OTLP_*` variable.
    #[error(transparent)]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// A directive of the log filter cannot be read.
    #[error("log filter: directive `{directive}` is not understood: {reason}")]
    LogFilter {
        /// The directive, out of the whole filter.
        directive: String,
        /// What the parser says.
        reason: String,
    },
    /// A metric of this crate could not be registered.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// This process has a global `tracing` subscriber already; there can be only one.
    #[error("telemetry is set up already in this process")]
    AlreadyInitialized,
    /// Spans were still waiting when the deadline of the shutdown came.
    #[error("telemetry was not flushed within {0:?}; the spans still waiting are lost")]
    ShutdownTimeout(Duration),
    /// The shutdown sent what was waiting, but the endpoint did not take it.
    #[error("{count} spans were lost at shutdown: the OTLP endpoint did not take them")]
    SpansLost {
        /// How many spans.
        count: u64,
    },
    /// The tracer provider could not be shut down.
    #[error("shutdown of the tracer provider: {0}")]
    Shutdown(String),
}

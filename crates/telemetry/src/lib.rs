//! Traces, correlated logs and a metrics registry for one process, from one small configuration.
//!
//! In: a [`TelemetryConfig`]. Out: the global `tracing` subscriber, and a [`Telemetry`] that holds the
//! Prometheus registry and ends it all in good order. It talks to the OTLP endpoint and to standard error, to
//! nothing else.
//!
//! ```text
//! tracing span ──► traces: filter, OpenTelemetry span ──► batch queue ──► export: OTLP over gRPC
//! tracing event ─► logs: filter, trace_id and span_id of the current span ──► one line on standard error
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `config` | [`TelemetryConfig`], [`LogFormat`] |
//! | `manager` | [`init`], [`Telemetry`]: puts the parts together, shuts them down |
//! | `traces` | tracer provider, resource, which spans belong to a trace, [`trace_id`] |
//! | `export` | the OTLP exporter: endpoint, time limits, what happens when nobody listens |
//! | `logs` | the log layer: filter, correlation, writer |
//! | `line` | one event as one line, JSON or text |
//! | `error` | [`TelemetryError`] |
//!
//! ```no_run
//! # async fn run() -> Result<(), telemetry::TelemetryError> {
//! use telemetry::{LogFormat, TelemetryConfig};
//!
//! let telemetry = telemetry::init(&TelemetryConfig {
//!     service_name: "billing".into(),
//!     service_version: env!("CARGO_PKG_VERSION").into(),
//!     otlp_endpoint: Some("http://127.0.0.1:4317".into()),
//!     log_filter: "info".into(),
//!     log_format: LogFormat::Json,
//! })?;
//! tracing::info_span!("invoice", customer = 7).in_scope(|| tracing::info!("sent"));
//! telemetry.shutdown(std::time::Duration::from_secs(5)).await
//! # }
//! ```

mod config;
mod error;
mod export;
mod line;
mod logs;
mod manager;
mod traces;

#[cfg(test)]
mod fixture;

pub use config::{LogFormat, TelemetryConfig};
pub use error::TelemetryError;
pub use manager::{Telemetry, init};
pub use traces::trace_id;

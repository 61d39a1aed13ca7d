//! Traces, metrics and correlated logs for one process, from one small configuration.
//!
//! In: a [`TelemetryConfig`], from TOML or from code. Out: a [`TelemetryManager`], which is tracer, meter and logger in one
//! value. It talks to the OTLP endpoint, to whoever scrapes `/metrics`, and to standard error.
//!
//! ```text
//! trace_operation, instrument_api_call, tracing spans ─► sampler ─► queue ─► OTLP: traces
//! CorrelatedLogger, tracing events ─► ids of the current operation ─┬► one line on standard error
//!                                                                   └► queue ─► OTLP: log records
//! instruments ─► exemplar of the current span ─► /metrics (Prometheus text or OpenMetrics), /healthz, /readyz
//! ```
//!
//! # Quickstart
//!
//! ```
//! use std::time::Duration;
//!
//! use telemetry::{CorrelationId, KeyValue, TelemetryConfig, TelemetryManager, inject_headers};
//!
//! const TOML: &str = r#"
//! [telemetry]
//! service_name = "export-trakt-4-letterboxd"
//! service_version = "1.0.0"
//! environment = "production"
//! sample_rate = 0.1
//! [telemetry.tracing]
//! jaeger_endpoint = "http://127.0.0.1:4317"
//! "#;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = TelemetryConfig::from_toml("telemetry.toml", TOML)?.config;
//!     # // The port of the default may be taken where this runs.
//!     # let config = TelemetryConfig { prometheus_port: 0, ..config };
//!     let telemetry = TelemetryManager::new(config)?;
//!     telemetry.install_global()?;
//!
//!     let export = telemetry.trace_operation("export.movies", async {
//!         let _active = telemetry.instruments().active_operation("export.movies");
//!         let films = telemetry.instrument_api_call("sync/history/movies", "GET", fetch()).await?;
//!         tracing::info!(films, "fetched");
//!         telemetry.instruments().exports.add(1, &[KeyValue::new("type", "movies")]);
//!         Ok::<_, std::io::Error>(films)
//!     });
//!     // Spans, log lines and outgoing calls of this export all carry the id.
//!     assert_eq!(CorrelationId::random().scope(export).await?, 3);
//!
//!     // A dead endpoint costs telemetry, not the program.
//!     if let Err(error) = telemetry.shutdown(Duration::from_secs(5)).await {
//!         eprintln!("{error}");
//!     }
//!     Ok(())
//! }
//!
//! async fn fetch() -> std::io::Result<u64> {
//!     let mut headers = http::HeaderMap::new();
//!     inject_headers(&mut headers);
//!     // … the request with these headers …
//!     Ok(3)
//! }
//! ```
//!
//! # What belongs to what
//!
//! | module | what it holds |
//! |---|---|
//! | `config`, `endpoint` | [`TelemetryConfig`]: code, TOML, `OTEL_*` variables; where each signal goes |
//! | `manager`, `shutdown`, `runtime` | [`TelemetryManager`]: puts the parts together, ends them; the thread that carries connections |
//! | `operation`, `api_call` | [`trace_operation`](TelemetryManager::trace_operation), [`instrument_api_call`](TelemetryManager::instrument_api_call) |
//! | `correlation`, `propagation` | [`CorrelationId`], and what goes over process bounds in headers |
//! | `metrics` | [`TelemetryInstruments`], exemplars, `/metrics` and health |
//! | `logger`, `logs`, `log_sink`, `line` | [`CorrelatedLogger`], the layer for `tracing` events, one event as one line |
//! | `traces`, `export` | resource, which spans belong to a trace; OTLP, time limits, what happens when nobody listens |
//! | `error` | [`TelemetryError`] |
//!
//! # What it costs when things go wrong
//!
//! An endpoint that is away, slow or silent costs what would have been sent and nothing else: queues are bounded, exports run on
//! threads of their own, one warning says when it begins and one line when it is over. A future that is dropped or panics ends
//! its span marked as such. Dropping the manager blocks nobody.

mod api_call;
mod config;
mod correlation;
mod endpoint;
mod error;
mod export;
mod line;
mod log_sink;
mod logger;
mod logs;
mod manager;
mod metrics;
mod operation;
mod propagation;
mod runtime;
mod shutdown;
mod traces;

#[cfg(test)]
mod fixture;

pub use api_call::record_http_status;
pub use config::{ConfigError, ConfigFile, Problem, TelemetryConfig};
pub use correlation::{CorrelationId, in_current_operation, spawn, spawn_blocking};
pub use error::TelemetryError;
pub use logger::CorrelatedLogger;
pub use manager::TelemetryManager;
pub use metrics::{ActiveOperation, Counter, Exposition, Histogram, TelemetryInstruments};
pub use opentelemetry::KeyValue;
pub use propagation::{CORRELATION_HEADER, Incoming, extract_headers, inject_headers};
pub use traces::trace_id;

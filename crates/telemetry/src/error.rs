//! Everything that can go wrong between [`TelemetryManager::new`](crate::TelemetryManager::new) and
//! [`shutdown`](crate::TelemetryManager::shutdown). No network.

use std::error::Error;
use std::fmt::{self, Write};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::ConfigError;

/// Why telemetry could not be set up, or could not be ended in good order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The configuration, or an `OTEL_*` variable, says something that cannot be meant.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The port of `/metrics` and health cannot be listened on.
    #[error("cannot serve /metrics on {address}: {reason}; {}", remedy(.reason))]
    Port {
        /// Where it was tried.
        address: SocketAddr,
        /// What the system says.
        reason: io::Error,
    },
    /// An OTLP exporter cannot be made for an endpoint.
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
    /// The thread that carries the connections could not be started.
    #[error("cannot start the thread of telemetry: {0}")]
    Runtime(io::Error),
    /// This process has a global `tracing` subscriber already; there can be only one.
    #[error("telemetry is set up already in this process")]
    AlreadyInitialized,
    /// Spans or log records were still waiting when the deadline of the shutdown came.
    #[error("telemetry was not flushed within {0:?}; what was still waiting is lost")]
    ShutdownTimeout(Duration),
    /// The shutdown sent what was waiting, but the endpoint did not take it.
    #[error(
        "{spans} spans and {log_records} log records were lost at shutdown: the OTLP endpoint did not take them"
    )]
    Lost {
        /// How many spans.
        spans: u64,
        /// How many log records.
        log_records: u64,
    },
    /// A provider could not be shut down.
    #[error("shutdown of telemetry: {0}")]
    Shutdown(String),
}

/// What to change so that the port can be had.
fn remedy(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: change OTEL_EXPORTER_PROMETHEUS_HOST"
        }
        _ => "choose another port: `[telemetry.metrics] prometheus_port`, or OTEL_EXPORTER_PROMETHEUS_PORT",
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut chain = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let colon = if chain.is_empty() { "" } else { ": " };
        append(&mut chain, format_args!("{colon}{error}"));
        next = error.source();
    }
    chain
}

/// What `format!` gives, which panics when a `Display` or `Debug` of somebody else's returns an error; this does not.
pub(crate) fn formatted(arguments: fmt::Arguments<'_>) -> String {
    let mut text = String::new();
    append(&mut text, arguments);
    text
}

/// Formats at the end of `text`. What cannot be formatted is marked as such.
pub(crate) fn append(text: &mut String, arguments: fmt::Arguments<'_>) {
    if text.write_fmt(arguments).is_err() {
        text.push_str("<not formattable>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_cannot_be_had_comes_with_what_to_change() {
        for (kind, wanted) in [
            (io::ErrorKind::AddrInUse, ["prometheus_port", "OTEL_EXPORTER_PROMETHEUS_PORT"]),
            (io::ErrorKind::AddrNotAvailable, ["10.0.0.9:8081", "OTEL_EXPORTER_PROMETHEUS_HOST"]),
        ] {
            let address = SocketAddr::from(([10, 0, 0, 9], 8081));
            let error = TelemetryError::Port { address, reason: kind.into() }.to_string();
            for part in wanted {
                assert!(error.contains(part), "{part} is not in: {error}");
            }
        }
    }
}

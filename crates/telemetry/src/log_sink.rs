//! In: records, from `tracing` events and from the logger. Out: one line for each on the writer, and one log record in the
//! queue of OTLP, where there is one. No network of its own. A writer that fails loses the line and nothing else.

mod otlp;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use opentelemetry_sdk::logs::SdkLogger;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::line::{self, Record};
use crate::traces::is_transport;

/// Where everything that is logged goes. A clone is the same sink.
#[derive(Clone)]
pub(crate) struct LogSink(Arc<Inner>);

struct Inner {
    structured: bool,
    correlation: bool,
    writer: BoxMakeWriter,
    otlp: Option<SdkLogger>,
}

impl LogSink {
    /// `structured`: lines are JSON, otherwise text. `correlation`: lines carry ids. What goes out over OTLP carries them
    /// in any case, as the data model of OpenTelemetry has a place for them.
    pub(crate) fn new(
        structured: bool,
        correlation: bool,
        writer: BoxMakeWriter,
        otlp: Option<SdkLogger>,
    ) -> Self {
        Self(Arc::new(Inner { structured, correlation, writer, otlp }))
    }

    pub(crate) fn write(&self, record: Record<'_>) {
        let Inner { structured, correlation, writer, otlp } = self.0.as_ref();
        let line = line::render(&record, *structured, *correlation);
        // There is nowhere left to report to.
        let _ = writer.make_writer().write_all(line.as_bytes());
        // To send what is said about sending would make more of it.
        if let Some(logger) = otlp
            && !is_transport(record.target)
        {
            otlp::emit(logger, record);
        }
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSink").field("structured", &self.0.structured).finish_non_exhaustive()
    }
}

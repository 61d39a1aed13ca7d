//! In: everything of a [`TelemetryManager`](crate::TelemetryManager) that has an end. Out: the end, within a deadline, or without
//! anybody waiting for it. Talks to the endpoint through the exporters.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::oneshot;

use crate::error::TelemetryError;
use crate::export::{ExportCounters, Signal};
use crate::runtime::Background;

/// How long the thread of a dropped manager goes on trying to deliver.
const AFTER_DROP: Duration = Duration::from_secs(5);

/// Ends telemetry once: by [`run`](Self::run), or else when dropped.
#[derive(Debug)]
pub(crate) struct Shutdown {
    waiting: Mutex<Option<Parts>>,
}

#[derive(Debug)]
struct Parts {
    spans: SdkTracerProvider,
    logs: Option<SdkLoggerProvider>,
    counters: ExportCounters,
    /// Carries the connections; `None` when nothing is sent and nothing is served.
    background: Option<Background>,
    /// Dropped, it stops the server.
    stop_server: oneshot::Sender<()>,
}

impl Shutdown {
    pub(crate) fn new(
        spans: SdkTracerProvider,
        logs: Option<SdkLoggerProvider>,
        counters: ExportCounters,
        background: Option<Background>,
        stop_server: oneshot::Sender<()>,
    ) -> Self {
        Self { waiting: Mutex::new(Some(Parts { spans, logs, counters, background, stop_server })) }
    }

    /// Sends what is waiting. The first call does it; others find nothing to do.
    pub(crate) async fn run(&self, deadline: Duration) -> Result<(), TelemetryError> {
        let Some(parts) = self.take() else { return Ok(()) };
        let (done, result) = oneshot::channel();
        // The batch processors block whoever shuts them down, and that must not be a worker of the caller's runtime.
        thread::Builder::new()
            .name("telemetry-shutdown".to_owned())
            .spawn(move || drop(done.send(parts.end(deadline))))
            .map_err(TelemetryError::Runtime)?;
        result.await.unwrap_or_else(|_| Err(TelemetryError::Shutdown("its thread panicked".to_owned())))
    }

    fn take(&self) -> Option<Parts> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        if let Some(parts) = self.take() {
            // Without a thread to be had, what was waiting is lost, and nobody is held up.
            drop(thread::Builder::new().spawn(move || drop(parts.end(AFTER_DROP))));
        }
    }
}

impl Parts {
    fn end(self, deadline: Duration) -> Result<(), TelemetryError> {
        let Self { spans, logs, counters, background, stop_server } = self;
        let started = Instant::now();
        let lost = || (counters.failed(Signal::Spans), counters.failed(Signal::LogRecords));
        let before = lost();
        // Both at once: each may need the whole deadline.
        let results = thread::scope(|scope| {
            let logs = logs.map(|logs| scope.spawn(move || logs.shutdown_with_timeout(deadline)));
            let spans = spans.shutdown_with_timeout(deadline);
            let logs = logs.map_or(Ok(Ok(())), thread::ScopedJoinHandle::join);
            [spans, logs.unwrap_or_else(|_| Err(OTelSdkError::InternalFailure("panicked".to_owned())))]
        });
        // The port goes last: until here, somebody may still read what was delivered.
        drop(stop_server);
        if let Some(background) = background {
            background.stop(deadline.saturating_sub(started.elapsed()));
        }
        let failures: Vec<_> = results.into_iter().filter_map(failure).collect();
        if !failures.is_empty() {
            return Err(if started.elapsed() >= deadline {
                TelemetryError::ShutdownTimeout(deadline)
            } else {
                TelemetryError::Shutdown(failures.join("; "))
            });
        }
        let after = lost();
        let (spans, log_records) = (after.0 - before.0, after.1 - before.1);
        if spans + log_records > 0 {
            return Err(TelemetryError::Lost { spans, log_records });
        }
        Ok(())
    }
}

fn failure(result: OTelSdkResult) -> Option<String> {
    match result {
        Ok(()) | Err(OTelSdkError::AlreadyShutdown) => None,
        Err(error) => Some(error.to_string()),
    }
}

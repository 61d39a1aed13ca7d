//! In: everything of a [`TelemetryManager`](crate::TelemetryManager) that has an end. Out: the end, within a deadline, or without
//! anybody waiting for it. Talks to the endpoint through the exporters.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::{oneshot, watch};

use crate::endpoint::Signal;
use crate::error::TelemetryError;
use crate::export::ExportCounters;
use crate::metrics::server::Server;
use crate::runtime::Background;

/// How long the thread of a dropped manager goes on trying to deliver.
const AFTER_DROP: Duration = Duration::from_secs(5);

/// Ends telemetry once: by [`run`](Self::run), or else when dropped.
#[derive(Debug)]
pub(crate) struct Shutdown {
    waiting: Mutex<Option<Parts>>,
    /// Closed when there is nothing left to wait for.
    over: watch::Receiver<()>,
}

#[derive(Debug)]
struct Parts {
    spans: SdkTracerProvider,
    logs: Option<SdkLoggerProvider>,
    counters: ExportCounters,
    server: Option<Server>,
    /// Carries the connections; `None` when nothing is sent and nothing is served.
    background: Option<Background>,
    /// Goes with the other parts.
    over: watch::Sender<()>,
}

impl Shutdown {
    pub(crate) fn new(
        spans: SdkTracerProvider,
        logs: Option<SdkLoggerProvider>,
        counters: ExportCounters,
        server: Option<Server>,
        background: Option<Background>,
    ) -> Self {
        let (sender, over) = watch::channel(());
        let parts = Parts { spans, logs, counters, server, background, over: sender };
        Self { waiting: Mutex::new(Some(parts)), over }
    }

    /// Sends what is waiting. The first call does it; others wait for its end.
    pub(crate) async fn run(&self, deadline: Duration) -> Result<(), TelemetryError> {
        let Some(parts) = self.take() else {
            // Nothing is ever sent: this waits for the sender to be dropped.
            let _ = self.over.clone().changed().await;
            return Ok(());
        };
        if parts.background.is_none() {
            // Nothing to send, nothing to close: nothing that takes time.
            return parts.end(deadline);
        }
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
        if let Some(parts) = self.take().filter(|parts| parts.background.is_some()) {
            // A machine that has no thread left for this has worse to lose than what was waiting.
            let end = thread::Builder::new().name("telemetry-shutdown".to_owned());
            drop(end.spawn(move || drop(parts.end(AFTER_DROP))));
        }
    }
}

impl Parts {
    fn end(self, deadline: Duration) -> Result<(), TelemetryError> {
        let Self { spans, logs, counters, server, background, over: _over } = self;
        let started = Instant::now();
        let left = || deadline.saturating_sub(started.elapsed());
        let lost = || (counters.failed(Signal::Traces), counters.failed(Signal::Logs));
        let before = lost();
        // Both at once: each may need the whole deadline.
        let results = thread::scope(|scope| {
            let logs = logs.map(|logs| scope.spawn(move || logs.shutdown_with_timeout(deadline)));
            let spans = spans.shutdown_with_timeout(deadline);
            let logs = logs.map_or(Ok(Ok(())), thread::ScopedJoinHandle::join);
            [spans, logs.unwrap_or_else(|_| Err(OTelSdkError::InternalFailure("panicked".to_owned())))]
        });
        let took = started.elapsed();
        // The port goes last: until here, somebody may still read what was delivered.
        if let Some(server) = server {
            server.stop(left());
        }
        if let Some(background) = background {
            background.stop(left());
        }
        let failures: Vec<_> = results.into_iter().filter_map(failure).collect();
        if !failures.is_empty() {
            return Err(if took >= deadline {
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

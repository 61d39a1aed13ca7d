//! In: a [`TelemetryConfig`]. Out: the subscriber with both layers, the registry, and the way to end them.
//! Talks to the OTLP endpoint through `export` only.

use std::io;
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use prometheus::Registry;
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::config::TelemetryConfig;
use crate::error::TelemetryError;
use crate::export::ExportCounters;
use crate::logs::{self, LogLayer};
use crate::traces;

/// The telemetry of this process.
///
/// Dropping it is safe at any time and blocks nobody, but leaves behind the spans that were not sent yet;
/// [`shutdown`](Self::shutdown) sends them.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    registry: Registry,
    exported: ExportCounters,
}

/// Sets up traces, logs and metrics, and makes them the subscriber of the whole process. Once per process.
///
/// With an OTLP endpoint it has to be called inside a tokio runtime, which then carries the connection;
/// nothing is sent before the first spans have ended. Logs go to standard error, standard output is left to
/// the program's results.
///
/// # Errors
/// A bad endpoint, a bad directive of the log filter, no runtime, or a second call. Nothing is set up then.
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let (subscriber, telemetry) = assemble(config, io::stderr)?;
    tracing::dispatcher::set_global_default(subscriber).map_err(|_| TelemetryError::AlreadyInitialized)?;
    Ok(telemetry)
}

/// All of [`init`] except that the subscriber becomes the global one, so that a test can have one of its own.
pub(crate) fn assemble<W>(
    config: &TelemetryConfig,
    writer: W,
) -> Result<(Dispatch, Telemetry), TelemetryError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = logs::filter(&config.log_filter)?;
    let registry = Registry::new();
    let exported = ExportCounters::register(&registry)?;
    let provider = traces::provider(config, exported.clone())?;
    let tracer = provider.tracer(config.service_name.clone());
    let subscriber = subscriber(tracer, filter, LogLayer::new(config.log_format, writer));
    Ok((subscriber, Telemetry { provider, registry, exported }))
}

/// The two layers, each with a filter of its own: what is logged does not decide what is traced.
pub(crate) fn subscriber<W>(tracer: SdkTracer, filter: EnvFilter, logs: LogLayer<W>) -> Dispatch
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    Dispatch::new(tracing_subscriber::registry().with(traces::layer(tracer)).with(logs.with_filter(filter)))
}

impl Telemetry {
    /// The metrics of this process: `telemetry_exported_spans_total` by `result`, and what the program
    /// registers.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Sends the spans that are still waiting and closes the exporter, within the deadline. Logs go on
    /// working; spans that are made afterwards go nowhere.
    ///
    /// # Errors
    /// Spans were lost: because the deadline came first, or because the endpoint did not take them.
    pub async fn shutdown(self, deadline: Duration) -> Result<(), TelemetryError> {
        let Self { provider, exported, .. } = self;
        let started = Instant::now();
        let failed_before = exported.failed();
        // It waits for the batch thread, which in turn needs the workers of this runtime for the connection,
        // so it must not block one of them. With the deadline inside as well, it leaves no thread behind.
        let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(deadline));
        let flushed = match tokio::time::timeout(deadline, flush).await {
            Ok(Ok(flushed)) => flushed.map_err(|error| error.to_string()),
            Ok(Err(panicked)) => Err(panicked.to_string()),
            Err(_) => return Err(TelemetryError::ShutdownTimeout(deadline)),
        };
        match flushed {
            Err(_) if started.elapsed() >= deadline => Err(TelemetryError::ShutdownTimeout(deadline)),
            Err(reason) => Err(TelemetryError::Shutdown(reason)),
            Ok(()) => match exported.failed() - failed_before {
                0 => Ok(()),
                count => Err(TelemetryError::SpansLost { count }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::mpsc::Receiver;

    use super::*;
    use crate::fixture::{ClosedPort, config};

    const PLENTY: Duration = Duration::from_secs(20);

    /// Ends `spans` spans with an exporter to `endpoint`; shuts down within `deadline`; gives the result, how
    /// long the spans took, and how long the shutdown took.
    async fn export(
        endpoint: String,
        spans: u64,
        deadline: Duration,
    ) -> (Result<(), TelemetryError>, Duration, Duration) {
        let (subscriber, telemetry) = assemble(&config(Some(endpoint)), io::sink).unwrap();
        let started = Instant::now();
        tracing::dispatcher::with_default(&subscriber, || {
            for _ in 0..spans {
                tracing::info_span!("reconcile").in_scope(|| ());
            }
        });
        let made = started.elapsed();
        let result = telemetry.shutdown(deadline).await;
        (result, made, started.elapsed() - made)
    }

    /// Takes a connection, keeps it, and never answers. The receiver yields the connection.
    fn silent_listener() -> (String, Receiver<io::Result<(TcpStream, SocketAddr)>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (connected, connection) = std::sync::mpsc::channel();
        std::thread::spawn(move || connected.send(listener.accept()));
        (endpoint, connection)
    }

    #[tokio::test]
    async fn a_closed_port_costs_the_spans_and_says_so() {
        let port = ClosedPort::reserve();
        let (result, _, took) = export(port.endpoint(), 3, PLENTY).await;
        assert!(matches!(result, Err(TelemetryError::SpansLost { count: 3 })), "{result:?}");
        assert!(took < PLENTY, "shutdown took {took:?}");
    }

    #[test]
    fn an_endpoint_that_never_answers_does_not_hold_up_the_end() {
        for workers in [None, Some(2)] {
            let (endpoint, connection) = silent_listener();
            let deadline = Duration::from_millis(700);
            let started = Instant::now();
            let runtime = match workers {
                None => tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
                Some(n) => tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(n)
                    .enable_all()
                    .build()
                    .unwrap(),
            };
            let (result, _, took) = runtime.block_on(export(endpoint, 3, deadline));
            drop(runtime);
            let all = started.elapsed();
            assert!(
                matches!(result, Err(TelemetryError::ShutdownTimeout(d)) if d == deadline),
                "with {workers:?} workers: {result:?}"
            );
            assert!(took >= deadline, "with {workers:?} workers it gave up after {took:?}");
            assert!(
                all < Duration::from_secs(3),
                "with {workers:?} workers the runtime ended after {all:?} only"
            );
            let connection =
                connection.recv_timeout(PLENTY).expect("waited for a connection of the exporter");
            assert!(connection.is_ok(), "{connection:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_does_not_block_the_program() {
        let (endpoint, connection) = silent_listener();
        let (result, made, _) = export(endpoint, 20_000, Duration::from_millis(100)).await;
        assert!(matches!(result, Err(TelemetryError::ShutdownTimeout(_))), "{result:?}");
        assert!(
            made < Duration::from_secs(4),
            "20000 spans took {made:?}: the program waited for the exporter"
        );
        drop(connection);
    }

    #[tokio::test]
    async fn the_registry_counts_lost_spans_and_takes_the_programs_own_metrics() {
        let port = ClosedPort::reserve();
        let (subscriber, telemetry) = assemble(&config(Some(port.endpoint())), io::sink).unwrap();
        let registry = telemetry.registry().clone();
        let own = prometheus::IntCounter::new("reconciles_total", "Reconciles.").unwrap();
        registry.register(Box::new(own.clone())).unwrap();
        own.inc();
        tracing::dispatcher::with_default(&subscriber, || tracing::info_span!("reconcile").in_scope(|| ()));
        telemetry.shutdown(PLENTY).await.unwrap_err();

        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "reconciles_total 1",
            "telemetry_exported_spans_total{result=\"delivered\"} 0",
            "telemetry_exported_spans_total{result=\"failed\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
        }
    }

    #[tokio::test]
    async fn without_an_exporter_there_is_nothing_to_flush() {
        let (subscriber, telemetry) = assemble(&config(None), io::sink).unwrap();
        tracing::dispatcher::with_default(&subscriber, || tracing::info_span!("reconcile").in_scope(|| ()));
        telemetry.shutdown(PLENTY).await.unwrap();
    }
}

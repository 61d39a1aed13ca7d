//! In: a [`TelemetryConfig`]. Out: tracer, meter and logger in one value. Talks to the endpoint through `export`, to scrapers
//! through `metrics`; what they need runs on the `telemetry` thread.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::metrics::{Gauge, Meter, UpDownCounter};
use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use opentelemetry_semantic_conventions::attribute::{SERVICE_NAME, SERVICE_VERSION};
use prometheus::Registry;
#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use serde_json::json;
use tracing::{Dispatch, Subscriber, dispatcher};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Resolved, TelemetryConfig};
use crate::error::TelemetryError;
use crate::export::{self, ExportCounters};
use crate::log_sink::LogSink;
use crate::logger::CorrelatedLogger;
use crate::logs::{self, LogLayer};
use crate::metrics::server::{self, Server};
use crate::metrics::{Counter, Exposition, Histogram, Metrics, TelemetryInstruments};
use crate::runtime::Background;
use crate::shutdown::Shutdown;
use crate::traces::{self, ENVIRONMENT_ATTRIBUTE};

/// The scope of the application's own instruments.
const SCOPE: &str = "application";

/// The telemetry of one process: tracer, meter, logger. Cheap to clone; every clone is the same telemetry.
///
/// Dropping the last clone is safe at any time and blocks nobody; [`shutdown`](Self::shutdown) sends what is still waiting.
#[derive(Clone, Debug)]
pub struct TelemetryManager {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: TelemetryConfig,
    span_attributes: Vec<KeyValue>,
    tracer: SdkTracer,
    tracers: SdkTracerProvider,
    metrics: Metrics,
    /// The application's own instruments; without effect when `custom_metrics` is off.
    custom: Metrics,
    meter: Meter,
    instruments: TelemetryInstruments,
    filter: EnvFilter,
    sink: LogSink,
    logger: CorrelatedLogger,
    ready: Arc<AtomicBool>,
    metrics_address: Option<SocketAddr>,
    shutdown: Shutdown,
}

impl TelemetryManager {
    /// Sets up traces, metrics and logs, and opens the port of `/metrics`. `OTEL_*` variables go before the configuration.
    ///
    /// Nothing global is touched: see [`install_global`](Self::install_global). No runtime is needed: connections and the port
    /// have a thread of their own. Logs go to standard error, standard output is left to the program's results.
    ///
    /// # Errors
    /// A bad configuration or log filter, or a port that is taken. Nothing is set up then.
    pub fn new(config: TelemetryConfig) -> Result<Self, TelemetryError> {
        let resolved = config.resolve(|name| std::env::var(name).ok())?;
        let config = &resolved.config;
        let filter = logs::filter(&config.log_filter)?;
        let listener = listener(&resolved)?;
        let needs_background = resolved.spans.is_some() || resolved.logs.is_some() || listener.is_some();
        let background = needs_background.then(Background::start).transpose()?;

        let resource = traces::resource(&resolved);
        let metrics = if config.enabled { Metrics::new(&resource)? } else { Metrics::disabled() };
        let custom = if config.custom_metrics { metrics.clone() } else { Metrics::disabled() };
        // Processor time, memory, open files and the time of the start: what saturates, and when it was restarted.
        #[cfg(target_os = "linux")]
        metrics.registry().register(Box::new(ProcessCollector::for_self()))?;
        let counters = ExportCounters::register(metrics.registry())?;
        let handle = background.as_ref().map(Background::handle);
        let span_exporter = resolved.spans.as_ref().zip(handle);
        let span_exporter = span_exporter
            .map(|(endpoint, handle)| export::span_exporter(endpoint, &counters, handle))
            .transpose()?;
        let log_exporter = resolved.logs.as_ref().zip(handle);
        let log_exporter = log_exporter
            .map(|(endpoint, handle)| export::log_exporter(endpoint, &counters, handle))
            .transpose()?;
        let tracers = traces::provider(resource.clone(), resolved.sampler.clone(), span_exporter);
        let loggers = log_exporter.map(|exporter| logs::provider(resource, exporter));
        let sink = LogSink::new(
            config.structured_format,
            config.correlation_enabled,
            BoxMakeWriter::new(io::stderr),
            loggers.as_ref().map(logs::logger),
        );
        let logger = CorrelatedLogger::new(sink.clone(), &config.service_name, &config.log_filter);
        let ready = Arc::new(AtomicBool::new(true));
        let metrics_address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let server = listener
            .zip(handle)
            .map(|(listener, handle)| Server::start(listener, metrics.clone(), Arc::clone(&ready), handle));
        for notice in &resolved.notices {
            logger.warn("telemetry.configuration", json!({"notice": notice}));
        }
        let inner = Inner {
            span_attributes: span_attributes(config),
            tracer: tracers.tracer(config.service_name.clone()),
            tracers: tracers.clone(),
            instruments: TelemetryInstruments::new(&metrics),
            meter: custom.meter(SCOPE),
            custom,
            filter,
            sink,
            logger,
            ready,
            metrics_address,
            shutdown: Shutdown::new(tracers, loggers, counters, server, background),
            metrics,
            config: resolved.config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes this the telemetry of the whole process: the `tracing` subscriber, and the tracer, meter and propagator that
    /// OpenTelemetry's `global` gives to libraries. Once per process.
    ///
    /// # Errors
    /// The process has a `tracing` subscriber already; nothing is changed then.
    pub fn install_global(&self) -> Result<(), TelemetryError> {
        let subscriber = Dispatch::new(tracing_subscriber::registry().with(self.layer()));
        dispatcher::set_global_default(subscriber).map_err(|_| TelemetryError::AlreadyInitialized)?;
        global::set_tracer_provider(self.inner.tracers.clone());
        if let Some(meters) = self.inner.custom.provider() {
            global::set_meter_provider(meters.clone());
        }
        global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
            Box::new(TraceContextPropagator::new()),
            Box::new(BaggagePropagator::new()),
        ]));
        Ok(())
    }

    /// The layer that turns `tracing` spans into spans of this telemetry and writes `tracing` events as log lines with their
    /// ids, for a program that puts together a subscriber of its own. What is logged does not decide what is traced.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let lines = LogLayer::new(self.inner.sink.clone()).with_filter(self.inner.filter.clone());
        // A list and not `and_then`, which would take the lower of the two levels for both.
        let mut layers = vec![lines.boxed()];
        if self.inner.config.enabled {
            layers.push(traces::layer(self.inner.tracer.clone()).boxed());
        }
        layers
    }

    /// The configuration in force: as given, with what `OTEL_*` variables changed in it.
    pub fn config(&self) -> &TelemetryConfig {
        &self.inner.config
    }

    /// The tracer, for spans by the OpenTelemetry API.
    pub fn tracer(&self) -> &SdkTracer {
        &self.inner.tracer
    }

    /// The meter, for instruments by the OpenTelemetry API; they are exposed under exactly the names that they are given, and
    /// without exemplars. Does nothing when `custom_metrics` is off.
    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// The logger.
    pub fn logger(&self) -> &CorrelatedLogger {
        &self.inner.logger
    }

    /// The instruments that every application has.
    pub fn instruments(&self) -> &TelemetryInstruments {
        &self.inner.instruments
    }

    /// An application's own counter, exposed under exactly this name, which should end in `_total`. Counts nothing when
    /// `custom_metrics` is off.
    pub fn counter(&self, name: &'static str, unit: &'static str, description: &'static str) -> Counter {
        self.inner.custom.counter(name, unit, description)
    }

    /// An application's own histogram with these bucket bounds, exposed under exactly this name.
    pub fn histogram(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        bounds: &[f64],
    ) -> Histogram {
        self.inner.custom.histogram(name, unit, description, bounds)
    }

    /// An application's own gauge, exposed under exactly this name.
    pub fn gauge(&self, name: &'static str, unit: &'static str, description: &'static str) -> Gauge<f64> {
        self.inner.custom.gauge(name, unit, description)
    }

    /// An application's own up-down counter, exposed under exactly this name.
    pub fn up_down_counter(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> UpDownCounter<i64> {
        self.inner.custom.up_down_counter(name, unit, description)
    }

    /// The Prometheus registry behind `/metrics`, for metrics that are made with the `prometheus` crate.
    pub fn registry(&self) -> &Registry {
        self.inner.metrics.registry()
    }

    /// What `/metrics` answers to a request with this `Accept` header, for a program that serves it itself.
    pub fn render_metrics(&self, accept: Option<&str>) -> Exposition {
        self.inner.metrics.render(accept)
    }

    /// Where `/metrics` and health are served; `None` when they are not.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.inner.metrics_address
    }

    /// What `/readyz` answers from now on. True at the beginning.
    pub fn set_ready(&self, ready: bool) {
        self.inner.ready.store(ready, Ordering::Relaxed);
    }

    /// Sends the spans and log records that are still waiting and closes connections and port, within the deadline. Log lines
    /// go on being written; spans that are made afterwards go nowhere. A second call waits for the end of the first one.
    ///
    /// # Errors
    /// Something was lost: because the deadline came first, or because the endpoint did not take it.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), TelemetryError> {
        self.inner.shutdown.run(deadline).await
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.inner.config.enabled
    }

    pub(crate) fn span_attributes(&self) -> &[KeyValue] {
        &self.inner.span_attributes
    }
}

/// The port of `/metrics`, taken at once so that a port that is not to be had is an error at the start.
fn listener(resolved: &Resolved) -> Result<Option<TcpListener>, TelemetryError> {
    let TelemetryConfig { enabled, prometheus_enabled, prometheus_port: port, .. } = resolved.config;
    if !(enabled && prometheus_enabled) {
        return Ok(None);
    }
    let host = resolved.metrics_host;
    server::bind(host, port).map(Some).map_err(|reason| {
        let address = SocketAddr::new(host.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), port);
        TelemetryError::Port { address, reason }
    })
}

/// What stands on the span of each operation, beside the resource that has the same for tools that look there.
fn span_attributes(config: &TelemetryConfig) -> Vec<KeyValue> {
    // Counted references: a span copies no text.
    let shared = |text: &str| Arc::<str>::from(text);
    [
        (SERVICE_NAME, &config.service_name),
        (SERVICE_VERSION, &config.service_version),
        (ENVIRONMENT_ATTRIBUTE, &config.environment),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| KeyValue::new(key, shared(value)))
    .collect()
}

//! Jaeger's configuration. In: the validated profile and its storage. Out: the file, typed. No cluster.
//!
//! Only what is listed is opened. There is no batch processor: the collector batches already, and without one its
//! request is answered when the spans are stored, so that it sends again what was not.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{DATA_DIRECTORY, HEALTH, QUERY_GRPC, QUERY_HTTP};
use crate::plan::pipeline;
use crate::validate::{JaegerStorage, ValidatedProfile};

/// Path of the health endpoint.
pub(super) const HEALTH_PATH: &str = "/status";

/// The one trace storage, and the one source of span metrics.
const TRACES: &str = "traces";
const METRICS: &str = "metrics";

/// Bytes of one span in memory: 1.4 KiB was measured for spans with nine attributes.
const BYTES_PER_SPAN: u64 = 1536;
/// Spans of one trace. Jaeger counts traces, memory fills with spans: the guess is on the safe side.
const SPANS_PER_TRACE: u64 = 50;

const MIB: u64 = 1024 * 1024;

#[derive(Debug, Serialize)]
pub(super) struct Config {
    extensions: Extensions,
    receivers: Receivers,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    processors: BTreeMap<&'static str, MemoryLimiter>,
    exporters: Exporters,
    service: Service,
}

#[derive(Debug, Serialize)]
struct Extensions {
    healthcheckv2: HealthCheck,
    jaeger_query: Query,
    jaeger_storage: Storage,
}

#[derive(Debug, Serialize)]
struct HealthCheck {
    use_v2: bool,
    http: HealthHttp,
}

#[derive(Debug, Serialize)]
struct HealthHttp {
    endpoint: String,
    status: HealthStatus,
}

#[derive(Debug, Serialize)]
struct HealthStatus {
    enabled: bool,
    path: &'static str,
}

#[derive(Debug, Serialize)]
struct Query {
    storage: QueryStorage,
    /// Jaeger's spans about its own queries, which it would send to itself.
    enable_tracing: bool,
    http: Listener,
    grpc: Listener,
}

#[derive(Debug, Serialize)]
struct QueryStorage {
    traces: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Listener {
    endpoint: String,
}

#[derive(Debug, Serialize)]
struct Storage {
    backends: BTreeMap<&'static str, Backend>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metric_backends: BTreeMap<&'static str, MetricBackend>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Backend {
    Memory {
        max_traces: u64,
    },
    Badger {
        directories: Directories,
        /// True would put the files into a temporary directory.
        ephemeral: bool,
        maintenance_interval: &'static str,
        ttl: TimeToLive,
    },
}

#[derive(Debug, Serialize)]
struct Directories {
    keys: String,
    values: String,
}

#[derive(Debug, Serialize)]
struct TimeToLive {
    spans: String,
}

#[derive(Debug, Serialize)]
struct MetricBackend {
    prometheus: PrometheusSource,
}

#[derive(Debug, Serialize)]
struct PrometheusSource {
    endpoint: String,
    metric_namespace: &'static str,
    latency_unit: &'static str,
    normalize_calls: bool,
    normalize_duration: bool,
}

#[derive(Debug, Serialize)]
struct Receivers {
    otlp: Otlp,
}

#[derive(Debug, Serialize)]
struct Otlp {
    protocols: OtlpProtocols,
}

#[derive(Debug, Serialize)]
struct OtlpProtocols {
    grpc: Listener,
}

#[derive(Debug, Serialize)]
struct MemoryLimiter {
    check_interval: &'static str,
    limit_mib: u64,
    spike_limit_mib: u64,
}

#[derive(Debug, Serialize)]
struct Exporters {
    jaeger_storage_exporter: StorageExporter,
}

#[derive(Debug, Serialize)]
struct StorageExporter {
    trace_storage: &'static str,
}

#[derive(Debug, Serialize)]
struct Service {
    extensions: [&'static str; 3],
    pipelines: Pipelines,
    telemetry: Telemetry,
}

#[derive(Debug, Serialize)]
struct Pipelines {
    traces: Pipeline,
}

#[derive(Debug, Serialize)]
struct Pipeline {
    receivers: [&'static str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processors: Vec<&'static str>,
    exporters: [&'static str; 1],
}

/// Jaeger's own telemetry: log lines as JSON, and no port for metrics that nobody scrapes.
#[derive(Debug, Serialize)]
struct Telemetry {
    logs: TelemetryLogs,
    metrics: TelemetryMetrics,
}

#[derive(Debug, Serialize)]
struct TelemetryLogs {
    encoding: &'static str,
}

#[derive(Debug, Serialize)]
struct TelemetryMetrics {
    level: &'static str,
}

/// The configuration for a profile.
pub(super) fn config(profile: &ValidatedProfile, storage: &JaegerStorage) -> Config {
    let processors = memory_limiter(profile, storage);
    let metric_backends = metric_backends(profile);
    Config {
        receivers: Receivers {
            otlp: Otlp { protocols: OtlpProtocols { grpc: listen(pipeline::OTLP_GRPC) } },
        },
        exporters: Exporters { jaeger_storage_exporter: StorageExporter { trace_storage: TRACES } },
        service: Service {
            extensions: ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            pipelines: Pipelines {
                traces: Pipeline {
                    receivers: ["otlp"],
                    processors: processors.keys().copied().collect(),
                    exporters: ["jaeger_storage_exporter"],
                },
            },
            telemetry: Telemetry {
                logs: TelemetryLogs { encoding: "json" },
                metrics: TelemetryMetrics { level: "none" },
            },
        },
        extensions: Extensions {
            healthcheckv2: HealthCheck {
                use_v2: true,
                http: HealthHttp {
                    endpoint: listen(HEALTH).endpoint,
                    status: HealthStatus { enabled: true, path: HEALTH_PATH },
                },
            },
            jaeger_query: Query {
                storage: QueryStorage {
                    traces: TRACES,
                    metrics: (!metric_backends.is_empty()).then_some(METRICS),
                },
                enable_tracing: false,
                http: listen(QUERY_HTTP),
                grpc: listen(QUERY_GRPC),
            },
            jaeger_storage: Storage {
                backends: BTreeMap::from([(TRACES, backend(profile, storage))]),
                metric_backends,
            },
        },
        processors,
    }
}

fn listen(port: u16) -> Listener {
    Listener { endpoint: format!("0.0.0.0:{port}") }
}

fn backend(profile: &ValidatedProfile, storage: &JaegerStorage) -> Backend {
    match storage {
        JaegerStorage::Memory => Backend::Memory { max_traces: max_traces(profile.jaeger.memory_limit) },
        JaegerStorage::Badger { retention, .. } => Backend::Badger {
            directories: Directories {
                keys: format!("{DATA_DIRECTORY}/keys"),
                values: format!("{DATA_DIRECTORY}/values"),
            },
            ephemeral: false,
            maintenance_interval: "5m",
            ttl: TimeToLive { spans: retention.clone() },
        },
    }
}

/// How many traces fit: half of the memory limit, the other half being for the process and for garbage not yet
/// collected. Jaeger refuses 0.
pub(super) fn max_traces(memory_limit: u64) -> u64 {
    (memory_limit / 2 / (SPANS_PER_TRACE * BYTES_PER_SPAN)).max(1)
}

/// With Badger, more than can be written in time is refused, and the collector keeps it. Not with traces in memory: what
/// fills it is the storage, which gives up old traces only for new ones, so a limiter would refuse from then on for ever.
fn memory_limiter(
    profile: &ValidatedProfile,
    storage: &JaegerStorage,
) -> BTreeMap<&'static str, MemoryLimiter> {
    let share = |percent: u64| profile.jaeger.memory_limit * percent / 100 / MIB;
    let limiter = || MemoryLimiter { check_interval: "1s", limit_mib: share(80), spike_limit_mib: share(20) };
    match storage {
        JaegerStorage::Memory => BTreeMap::new(),
        JaegerStorage::Badger { .. } => BTreeMap::from([("memory_limiter", limiter())]),
    }
}

/// The Monitor tab, where a Prometheus is known. The names that it asks for are built from namespace, unit and the two
/// `normalize` flags; they are those of the collector's span metrics.
fn metric_backends(profile: &ValidatedProfile) -> BTreeMap<&'static str, MetricBackend> {
    let source = |url: &String| PrometheusSource {
        endpoint: url.replace('$', "$$"),
        metric_namespace: pipeline::SPAN_METRICS_NAMESPACE,
        latency_unit: "s",
        normalize_calls: true,
        normalize_duration: true,
    };
    profile.prometheus_url.iter().map(|url| (METRICS, MetricBackend { prometheus: source(url) })).collect()
}

//! The collector's configuration as types. In: nothing. Out: what `pipeline` fills in and serde writes. No cluster.
//!
//! Text of the profile can only stand in a [`Literal`]; every other string is a constant of ours.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::components::Class;

/// Text that the collector shall take as it is: it expands `${…}` in every string, and reads `$$` as a plain `$`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Literal(String);

impl Literal {
    /// Escapes the text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.replace('$', "$$"))
    }
}

/// A component's name in a configuration: its type, or `type/name`.
pub type Id = &'static str;

/// A whole configuration.
#[derive(Debug, Serialize)]
pub struct Configuration {
    pub(super) receivers: BTreeMap<Id, Receiver>,
    pub(super) processors: BTreeMap<Id, Processor>,
    pub(super) exporters: BTreeMap<Id, Exporter>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) connectors: BTreeMap<Id, Connector>,
    pub(super) extensions: BTreeMap<Id, Extension>,
    pub(super) service: Service,
}

impl Configuration {
    /// Class and type of every component that is used.
    pub fn components(&self) -> impl Iterator<Item = (Class, &'static str)> {
        let of = |class: Class, ids: Vec<Id>| {
            ids.into_iter().map(move |id| (class, id.split_once('/').map_or(id, |(kind, _)| kind)))
        };
        of(Class::Receiver, self.receivers.keys().copied().collect())
            .chain(of(Class::Processor, self.processors.keys().copied().collect()))
            .chain(of(Class::Exporter, self.exporters.keys().copied().collect()))
            .chain(of(Class::Connector, self.connectors.keys().copied().collect()))
            .chain(of(Class::Extension, self.extensions.keys().copied().collect()))
    }
}

/// Settings of a receiver.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Receiver {
    Otlp { protocols: OtlpProtocols },
    Jaeger { protocols: JaegerProtocols },
}

#[derive(Debug, Serialize)]
pub(super) struct OtlpProtocols {
    pub grpc: GrpcServer,
    pub http: HttpServer,
}

#[derive(Debug, Serialize)]
pub(super) struct JaegerProtocols {
    pub thrift_http: HttpServer,
}

#[derive(Debug, Serialize)]
pub(super) struct HttpServer {
    pub endpoint: String,
}

#[derive(Debug, Serialize)]
pub(super) struct GrpcServer {
    pub endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Keepalive>,
}

#[derive(Debug, Serialize)]
pub(super) struct Keepalive {
    pub server_parameters: ServerParameters,
}

#[derive(Debug, Serialize)]
pub(super) struct ServerParameters {
    pub max_connection_age: &'static str,
    pub max_connection_age_grace: &'static str,
}

/// Settings of a processor.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Processor {
    MemoryLimiter { check_interval: &'static str, limit_mib: u64, spike_limit_mib: u64 },
    Resource { attributes: Vec<ResourceAction> },
    ProbabilisticSampler { mode: &'static str, sampling_percentage: f64 },
    Transform { error_mode: &'static str, trace_statements: [String; 1] },
    Batch { timeout: &'static str, send_batch_size: u32, send_batch_max_size: u32 },
}

#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(super) enum ResourceAction {
    Upsert { key: &'static str, value: Literal },
    Delete { pattern: &'static str },
}

/// Settings of an exporter.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Exporter {
    Otlp {
        endpoint: Literal,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<Plaintext>,
        sending_queue: SendingQueue,
        retry_on_failure: RetryOnFailure,
    },
    Prometheus {
        endpoint: String,
        translation_strategy: &'static str,
        enable_open_metrics: bool,
        metric_expiration: &'static str,
    },
}

/// TLS settings of a connection without TLS.
#[derive(Debug, Serialize)]
pub(super) struct Plaintext {
    pub insecure: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct SendingQueue {
    pub sizer: &'static str,
    pub queue_size: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct RetryOnFailure {
    pub initial_interval: &'static str,
    pub max_interval: &'static str,
    pub max_elapsed_time: &'static str,
}

/// Settings of a connector.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Connector {
    Forward {},
    SpanMetrics(SpanMetrics),
}

#[derive(Debug, Serialize)]
pub(super) struct SpanMetrics {
    pub namespace: &'static str,
    pub histogram: Histogram,
    pub exclude_dimensions: [&'static str; 1],
    pub resource_metrics_key_attributes: [&'static str; 1],
    pub aggregation_cardinality_limit: u32,
    pub series_expiration: &'static str,
    pub metrics_flush_interval: &'static str,
    pub exemplars: Exemplars,
}

#[derive(Debug, Serialize)]
pub(super) struct Histogram {
    pub unit: &'static str,
    pub explicit: ExplicitBuckets,
}

#[derive(Debug, Serialize)]
pub(super) struct ExplicitBuckets {
    pub buckets: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Exemplars {
    pub enabled: bool,
}

/// Settings of an extension.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Extension {
    HealthCheck { endpoint: String },
}

/// How the components are joined.
#[derive(Debug, Serialize)]
pub(super) struct Service {
    pub extensions: Vec<Id>,
    pub pipelines: BTreeMap<Id, Pipeline>,
    pub telemetry: Telemetry,
}

/// One pipeline.
#[derive(Debug, Serialize)]
pub(super) struct Pipeline {
    pub receivers: Vec<Id>,
    pub processors: Vec<Id>,
    pub exporters: Vec<Id>,
}

/// The collector's own telemetry.
#[derive(Debug, Serialize)]
pub(super) struct Telemetry {
    /// Who it is of; `None` takes away what the collector says of itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resource: BTreeMap<&'static str, Option<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<OwnLogs>,
    pub metrics: OwnMetrics,
}

#[derive(Debug, Serialize)]
pub(super) struct OwnLogs {
    pub encoding: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct OwnMetrics {
    pub level: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
}

impl OwnMetrics {
    /// None at all.
    pub const NONE: Self = Self { level: "none", readers: Vec::new() };

    /// What was received, refused, sent, lost and queued, and the process: about half of the series of the next level.
    pub fn basic(reader: Reader) -> Self {
        Self { level: "basic", readers: vec![reader] }
    }
}

/// How the collector's own metrics leave it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reader {
    Pull { exporter: PullExporter },
    Periodic { interval: u32, timeout: u32, exporter: PushExporter },
}

#[derive(Debug, Serialize)]
pub(super) struct PullExporter {
    pub prometheus: OwnPrometheus,
}

/// The names are those that the Prometheus exporter gives, with unit and `_total`: a sidecar's metrics come through that one.
#[derive(Debug, Serialize)]
pub(super) struct OwnPrometheus {
    pub host: &'static str,
    pub port: u16,
    pub without_scope_info: bool,
    pub without_type_suffix: bool,
    pub without_units: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct PushExporter {
    pub otlp: PushOtlp,
}

#[derive(Debug, Serialize)]
pub(super) struct PushOtlp {
    pub protocol: &'static str,
    pub endpoint: Literal,
    pub insecure: bool,
}

//! The collector's configuration. In: the validated profile. Out: a typed [`Configuration`]. No cluster.
//!
//! ```text
//! otlp, jaeger ─▶ traces/in: memory_limiter, resource ─┬▶ span_metrics ─▶ metrics/spans ─▶ prometheus
//!                                                      └▶ forward ─▶ traces/out: sampler, transform, batch ─▶ otlp_grpc
//! otlp ─▶ metrics: memory_limiter, resource ─▶ prometheus
//! otlp ─▶ logs: memory_limiter, resource, batch ─▶ otlp_http
//! ```
//!
//! The memory limiter stands where telemetry comes in, and only there: its refusal is an answer to the sender, who tries
//! again. Behind the fork it would make the sender repeat spans that are already counted.

mod config;
pub mod sidecar;
mod span_metrics;

use std::collections::BTreeMap;

pub use config::Configuration;

use self::config::*;
use super::meta::{self, Component};
use crate::validate::{Endpoint, JaegerStorage, TraceBackEnd, Traces, ValidatedProfile};

/// OTLP over gRPC.
pub const OTLP_GRPC: u16 = 4317;
/// OTLP over HTTP.
pub const OTLP_HTTP: u16 = 4318;
/// Jaeger Thrift over HTTP.
pub const JAEGER_THRIFT_HTTP: u16 = 14268;
/// The path of Jaeger Thrift over HTTP.
pub const JAEGER_THRIFT_PATH: &str = "/api/traces";
/// Where Prometheus scrapes the collector.
pub const PROMETHEUS_EXPORTER: u16 = 8889;
/// Where Prometheus scrapes the collector's metrics about itself.
pub const OWN_METRICS: u16 = 8888;
/// Health of the collector.
pub const HEALTH: u16 = 13133;

/// What the names of all span metrics in Prometheus start with.
pub const SPAN_METRICS_NAMESPACE: &str = "traces_span_metrics";
/// Counter of spans.
pub const SPAN_METRICS_CALLS: &str = "traces_span_metrics_calls_total";
/// Histogram of the spans' durations in seconds, without `_bucket`.
pub const SPAN_METRICS_DURATION: &str = "traces_span_metrics_duration_seconds";
/// Their label `status_code` where the span failed.
pub const SPAN_FAILED: &str = "STATUS_CODE_ERROR";

/// By which Jaeger's memory finds a span that failed; OpenTelemetry's name for what a format without a status gets.
pub const STATUS_ATTRIBUTE: &str = "otel.status_code";

const MIB: u64 = 1024 * 1024;

/// True when the collector makes span metrics: it needs spans to make them of and somebody who wants metrics.
#[must_use]
pub fn has_span_metrics(profile: &ValidatedProfile) -> bool {
    profile.traces.is_some() && profile.metrics.is_some()
}

/// True when an exemplar of the span metrics leads to a trace that is kept. Where the collector samples afterwards, most would
/// lead to one that was dropped.
#[must_use]
pub fn has_exemplars(profile: &ValidatedProfile) -> bool {
    has_span_metrics(profile)
        && profile.traces.as_ref().is_some_and(|traces| traces.collector_sampling_percentage.is_none())
}

/// True when the collector listens for OTLP. Metrics and logs come by nothing else.
#[must_use]
pub fn receives_otlp(profile: &ValidatedProfile) -> bool {
    profile.traces.as_ref().is_some_and(|traces| traces.otlp)
        || profile.metrics.is_some()
        || profile.logs.is_some()
}

/// True when the collector listens for Jaeger Thrift.
#[must_use]
pub fn receives_jaeger_thrift(profile: &ValidatedProfile) -> bool {
    profile.traces.as_ref().is_some_and(|traces| traces.jaeger_thrift_http)
}

/// The configuration of the profile's collector.
#[must_use]
pub fn configuration(profile: &ValidatedProfile) -> Configuration {
    let mut assembly = Assembly::new(profile);
    if let Some(traces) = &profile.traces {
        assembly.traces(traces);
    }
    if profile.metrics.is_some() {
        assembly.metrics();
    }
    if let Some(logs) = &profile.logs {
        assembly.logs(&logs.endpoint);
    }
    assembly.configuration
}

/// A configuration that grows by one signal after the other; a component comes in when a pipeline first uses it.
struct Assembly<'a> {
    profile: &'a ValidatedProfile,
    configuration: Configuration,
}

impl<'a> Assembly<'a> {
    fn new(profile: &'a ValidatedProfile) -> Self {
        let mut receivers = BTreeMap::new();
        if receives_otlp(profile) {
            receivers.insert("otlp", otlp_receiver());
        }
        if receives_jaeger_thrift(profile) {
            let thrift_http = HttpServer { endpoint: everywhere(JAEGER_THRIFT_HTTP) };
            receivers.insert("jaeger", Receiver::Jaeger { protocols: JaegerProtocols { thrift_http } });
        }
        let configuration = Configuration {
            receivers,
            processors: BTreeMap::from([
                ("memory_limiter", memory_limiter(profile.collector.memory_limit)),
                ("resource", resource(profile)),
            ]),
            exporters: BTreeMap::new(),
            connectors: BTreeMap::new(),
            extensions: BTreeMap::from([(
                "health_check",
                Extension::HealthCheck { endpoint: everywhere(HEALTH) },
            )]),
            service: Service {
                extensions: vec!["health_check"],
                pipelines: BTreeMap::new(),
                telemetry: Telemetry {
                    // Its instance is new at each start, and as a label it would make every series new. Prometheus knows the pod.
                    resource: ["service.instance.id", "service.name", "service.version"]
                        .map(|key| (key, None))
                        .into(),
                    logs: Some(OwnLogs { encoding: "json" }),
                    metrics: own_metrics(profile),
                },
            },
        };
        Self { profile, configuration }
    }

    fn traces(&mut self, traces: &Traces) {
        let mut receivers = Vec::new();
        receivers.extend(traces.jaeger_thrift_http.then_some("jaeger"));
        receivers.extend(traces.otlp.then_some("otlp"));
        let mut outward = Vec::new();
        if let Some(percentage) =
            traces.collector_sampling_percentage.as_deref().and_then(|text| text.parse().ok())
        {
            self.configuration.processors.insert("probabilistic_sampler", sampler(percentage));
            outward.push("probabilistic_sampler");
        }
        if traces.back_end == TraceBackEnd::Jaeger(JaegerStorage::Memory) {
            self.configuration.processors.insert("transform", mark_failed());
            outward.push("transform");
        }
        outward.push("batch");
        self.batch();
        self.configuration.exporters.insert("otlp_grpc", self.trace_exporter(traces));

        let exporters = vec!["otlp_grpc"];
        if has_span_metrics(self.profile) {
            self.configuration.connectors.insert("forward", Connector::Forward {});
            let exits = vec!["forward", "span_metrics"];
            self.pipeline("traces/in", receivers, vec!["memory_limiter", "resource"], exits);
            self.pipeline("traces/out", vec!["forward"], outward, exporters);
        } else {
            let processors = ["memory_limiter", "resource"].into_iter().chain(outward).collect();
            self.pipeline("traces", receivers, processors, exporters);
        }
    }

    fn metrics(&mut self) {
        self.configuration.exporters.insert("prometheus", prometheus_exporter());
        // No batch: the exporter keeps the newest value of each series until it is scraped.
        self.pipeline("metrics", vec!["otlp"], vec!["memory_limiter", "resource"], vec!["prometheus"]);
        if has_span_metrics(self.profile) {
            let connector = Connector::SpanMetrics(span_metrics::settings(self.profile));
            self.configuration.connectors.insert("span_metrics", connector);
            // The connector hands on the resource of whichever pod came first; as labels it would be wrong for the others.
            let anonymous =
                Processor::Resource { attributes: vec![ResourceAction::Delete { pattern: ".*" }] };
            self.configuration.processors.insert("resource/none", anonymous);
            self.pipeline("metrics/spans", vec!["span_metrics"], vec!["resource/none"], vec!["prometheus"]);
        }
    }

    fn logs(&mut self, endpoint: &Endpoint) {
        self.batch();
        let exporter = otlp_exporter(&endpoint.url, true, self.profile.collector.memory_limit);
        self.configuration.exporters.insert("otlp_http", exporter);
        self.pipeline("logs", vec!["otlp"], vec!["memory_limiter", "resource", "batch"], vec!["otlp_http"]);
    }

    fn pipeline(&mut self, id: Id, receivers: Vec<Id>, processors: Vec<Id>, exporters: Vec<Id>) {
        self.configuration.service.pipelines.insert(id, Pipeline { receivers, processors, exporters });
    }

    fn batch(&mut self) {
        // The largest batch stays below the 4 MiB that a gRPC server takes by default, at some KiB a span.
        let batch = Processor::Batch { timeout: "200ms", send_batch_size: 1024, send_batch_max_size: 1024 };
        self.configuration.processors.insert("batch", batch);
    }

    fn trace_exporter(&self, traces: &Traces) -> Exporter {
        let memory_limit = self.profile.collector.memory_limit;
        match &traces.back_end {
            TraceBackEnd::Jaeger(_) => {
                let jaeger = meta::child_name(self.profile, Component::Jaeger);
                otlp_exporter(&format!("{jaeger}:{OTLP_GRPC}"), false, memory_limit)
            }
            TraceBackEnd::Endpoint(endpoint) => {
                otlp_exporter(&endpoint.authority, endpoint.tls, memory_limit)
            }
        }
    }
}

/// `tls: false` for gRPC without TLS. Over HTTP the URL's scheme decides.
fn otlp_exporter(endpoint: &str, tls: bool, memory_limit: u64) -> Exporter {
    Exporter::Otlp {
        endpoint: Literal::new(endpoint),
        tls: (!tls).then_some(Plaintext { insecure: true }),
        // While the back end is away the queue fills. In memory a batch takes two to three times its size on the wire,
        // so that a full queue stays below the memory limiter's bound.
        sending_queue: SendingQueue { sizer: "bytes", queue_size: memory_limit / 8 },
        retry_on_failure: RetryOnFailure {
            initial_interval: "1s",
            max_interval: "30s",
            max_elapsed_time: "5m",
        },
    }
}

/// A port on every address of the pod.
fn everywhere(port: u16) -> String {
    format!("0.0.0.0:{port}")
}

fn otlp_receiver() -> Receiver {
    // A gRPC connection is balanced once, when it is made: without an end to it a further collector would get no work.
    let keepalive = Keepalive {
        server_parameters: ServerParameters { max_connection_age: "5m", max_connection_age_grace: "30s" },
    };
    Receiver::Otlp {
        protocols: OtlpProtocols {
            grpc: GrpcServer { endpoint: everywhere(OTLP_GRPC), keepalive: Some(keepalive) },
            http: HttpServer { endpoint: everywhere(OTLP_HTTP) },
        },
    }
}

/// Refuses telemetry above 60 % of the memory limit and collects garbage by force above 75 %: both below GOMEMLIMIT, which
/// is at 80 %, so that senders are told to wait before the Go runtime spends its time on saving memory.
fn memory_limiter(memory_limit: u64) -> Processor {
    Processor::MemoryLimiter {
        check_interval: "1s",
        limit_mib: memory_limit * 75 / 100 / MIB,
        spike_limit_mib: memory_limit * 15 / 100 / MIB,
    }
}

/// Who the application is. Upsert: the profile selects these pods and names their service once; dashboards, SLOs and
/// Jaeger look for that name, whatever an SDK guesses (`unknown_service:java`). Who wants the SDK's version or environment
/// leaves them out of the profile.
fn resource(profile: &ValidatedProfile) -> Processor {
    let service = &profile.service;
    let attributes = [
        ("service.name", Some(&service.name)),
        ("service.version", service.version.as_ref()),
        ("deployment.environment.name", service.environment.as_ref()),
        // The name before semantic conventions 1.27, which many dashboards still read.
        ("deployment.environment", service.environment.as_ref()),
    ];
    let upsert = |(key, value): (_, Option<&String>)| {
        value.map(|value| ResourceAction::Upsert { key, value: Literal::new(value) })
    };
    Processor::Resource { attributes: attributes.into_iter().filter_map(upsert).collect() }
}

/// Proportional: decides by 56 bits of the trace id, so that small ratios are exact and all collectors keep the same traces.
/// The default mode has 14 bits: it would drop everything below 0.006 %.
fn sampler(sampling_percentage: f64) -> Processor {
    Processor::ProbabilisticSampler { mode: "proportional", sampling_percentage }
}

/// Jaeger's memory knows the status of a span, and no search by text finds it there (`failed_tag` of the dashboards).
fn mark_failed() -> Processor {
    let mark = format!(
        "set(span.attributes[\"{STATUS_ATTRIBUTE}\"], \"ERROR\") where span.status.code == STATUS_CODE_ERROR"
    );
    Processor::Transform { error_mode: "ignore", trace_statements: [mark] }
}

fn prometheus_exporter() -> Exporter {
    Exporter::Prometheus {
        endpoint: everywhere(PROMETHEUS_EXPORTER),
        // The names of rules and dashboards depend on it: they must not follow a changed default.
        translation_strategy: "UnderscoreEscapingWithSuffixes",
        // Exemplars exist in this format only.
        enable_open_metrics: true,
        metric_expiration: "5m",
    }
}

/// Metrics of the collector about itself, for whoever scrapes its other metrics. They do not go through its own pipeline: when
/// that refuses, they must say so.
fn own_metrics(profile: &ValidatedProfile) -> OwnMetrics {
    if profile.metrics.is_none() {
        return OwnMetrics::NONE;
    }
    let prometheus = OwnPrometheus {
        host: "0.0.0.0",
        port: OWN_METRICS,
        without_scope_info: true,
        without_type_suffix: false,
        without_units: false,
    };
    OwnMetrics::basic(Reader::Pull { exporter: PullExporter { prometheus } })
}

#[cfg(test)]
mod tests;

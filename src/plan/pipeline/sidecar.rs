//! The configuration of the sidecar in parts, which the collector merges: maps key by key. In: the collector's address, a
//! memory limit. Out: typed parts. No cluster.
//!
//! Its own metrics go where the application's go, to the collector: a port for them would be one in the application's pod.
//!
//! No batch processor: SDKs send batches already, and what waits in one would be outside the queue's bound.

use std::collections::BTreeMap;

use serde::Serialize;

use super::config::*;
use super::{HEALTH, JAEGER_THRIFT_HTTP, OTLP_GRPC, OTLP_HTTP};
use super::{everywhere, memory_limiter, otlp_exporter, receives_jaeger_thrift};
use crate::plan::components::Class;
use crate::validate::ValidatedProfile;

/// The parts of a sidecar's configuration.
#[derive(Debug)]
pub struct Parts {
    /// What all signals share.
    pub base: Part,
    /// Traces by OTLP.
    pub traces: Part,
    /// Traces by Jaeger Thrift.
    pub jaeger: Part,
    /// Metrics by OTLP.
    pub metrics: Part,
    /// Logs by OTLP.
    pub logs: Part,
}

/// A part of a configuration.
#[derive(Debug, Default, Serialize)]
pub struct Part {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    receivers: BTreeMap<Id, Receiver>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    processors: BTreeMap<Id, Processor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exporters: BTreeMap<Id, Exporter>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: BTreeMap<Id, Extension>,
    service: PartOfService,
}

#[derive(Debug, Default, Serialize)]
struct PartOfService {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<Id>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pipelines: BTreeMap<Id, Pipeline>,
    #[serde(skip_serializing_if = "Option::is_none")]
    telemetry: Option<Telemetry>,
}

impl Parts {
    /// The parts of a sidecar that sends to `collector` (`host:port`) and may use so many bytes of memory.
    #[must_use]
    pub fn new(collector: &str, memory_limit: u64) -> Self {
        let base = Part {
            processors: BTreeMap::from([("memory_limiter", memory_limiter(memory_limit))]),
            exporters: BTreeMap::from([("otlp_grpc", otlp_exporter(collector, false, memory_limit))]),
            // The kubelet asks at the pod's address; everything else is for this pod alone.
            extensions: BTreeMap::from([(
                "health_check",
                Extension::HealthCheck { endpoint: everywhere(HEALTH) },
            )]),
            service: PartOfService {
                extensions: vec!["health_check"],
                telemetry: Some(Telemetry {
                    resource: BTreeMap::new(),
                    logs: Some(OwnLogs { encoding: "json" }),
                    metrics: OwnMetrics::NONE,
                }),
                ..PartOfService::default()
            },
            ..Part::default()
        };
        let thrift_http = HttpServer { endpoint: loopback(JAEGER_THRIFT_HTTP) };
        Self {
            base,
            traces: signal("traces", "otlp", otlp_receiver()),
            jaeger: signal(
                "traces/jaeger",
                "jaeger",
                Receiver::Jaeger { protocols: JaegerProtocols { thrift_http } },
            ),
            metrics: with_own_metrics(signal("metrics", "otlp", otlp_receiver()), collector),
            logs: signal("logs", "otlp", otlp_receiver()),
        }
    }
}

/// Class and type of every component that a sidecar of this profile uses.
pub fn components(profile: &ValidatedProfile) -> impl Iterator<Item = (Class, &'static str)> {
    [
        (Class::Receiver, "otlp"),
        (Class::Processor, "memory_limiter"),
        (Class::Exporter, "otlp_grpc"),
        (Class::Extension, "health_check"),
    ]
    .into_iter()
    .chain(receives_jaeger_thrift(profile).then_some((Class::Receiver, "jaeger")))
}

/// One pipeline from one receiver.
fn signal(pipeline: Id, name: Id, receiver: Receiver) -> Part {
    let path =
        Pipeline { receivers: vec![name], processors: vec!["memory_limiter"], exporters: vec!["otlp_grpc"] };
    Part {
        receivers: BTreeMap::from([(name, receiver)]),
        service: PartOfService { pipelines: BTreeMap::from([(pipeline, path)]), ..PartOfService::default() },
        ..Part::default()
    }
}

/// The sidecar's own metrics, with the pod's name as their instance. Where the collector takes none, this part is not read.
fn with_own_metrics(mut part: Part, collector: &str) -> Part {
    let otlp =
        PushOtlp { protocol: "grpc", endpoint: Literal::new(&format!("http://{collector}")), insecure: true };
    let exporter = PushExporter { otlp };
    part.service.telemetry = Some(Telemetry {
        // The container runtime sets the variable, to the node's name for a pod in the node's network.
        resource: BTreeMap::from([("service.instance.id", Some("${env:HOSTNAME:-}"))]),
        logs: None,
        // The last push must not keep a pod from ending while the collector is away.
        metrics: OwnMetrics::basic(Reader::Periodic { interval: 30_000, timeout: 2_000, exporter }),
    });
    part
}

fn otlp_receiver() -> Receiver {
    Receiver::Otlp {
        protocols: OtlpProtocols {
            grpc: GrpcServer { endpoint: loopback(OTLP_GRPC), keepalive: None },
            http: HttpServer { endpoint: loopback(OTLP_HTTP) },
        },
    }
}

/// A port that only the pod itself reaches.
fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

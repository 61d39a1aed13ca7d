//! What the injection reads of a profile, a pod and a container: each fact once in Rust and, beside it, once in CEL. A test
//! runs both on the same pods. In: a [`Scene`]. Out: texts and truths. No cluster.
//!
//! The CEL reads `params` (the profile), `object` (the pod), `c` (a container of it) and the policy's own `variables`.

use serde_json::Value;

use crate::profile::{SamplingPoint, TelemetryProfile, TelemetryProfileSpec, TraceProtocol};
use crate::quantity;
use crate::settings::Settings;
use crate::validate::{SIDECAR_DEFAULTS, sidecar_amounts, sidecar_image};

/// The variable that names the protocol of OTLP.
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
/// The protocol that OpenTelemetry's specification gives as the default.
const DEFAULT_PROTOCOL: &str = "http/protobuf";
/// Label that a Deployment puts on its pods; their ReplicaSet's name ends with its value.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// The Deployment behind a pod of this ReplicaSet, from the pod's metadata: the name without the hash that the Deployment gave
/// it. None for a ReplicaSet of its own.
#[must_use]
pub fn deployment<'a>(metadata: &Value, replica_set: &'a str) -> Option<&'a str> {
    let hash = metadata["labels"][TEMPLATE_HASH].as_str().filter(|hash| !hash.is_empty())?;
    replica_set.strip_suffix(hash)?.strip_suffix('-')
}

/// What facts are read from.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The profile.
    pub profile: &'a TelemetryProfile,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// The pod.
    pub pod: &'a Value,
    /// One of its containers.
    pub container: &'a Value,
}

impl<'a> Scene<'a> {
    fn spec(self) -> &'a TelemetryProfileSpec {
        &self.profile.spec
    }

    fn cpu(self) -> (String, String) {
        let [cpu, _] = sidecar_amounts(&self.spec().sidecar);
        cpu
    }

    fn memory(self) -> (String, String) {
        let [_, memory] = sidecar_amounts(&self.spec().sidecar);
        memory
    }

    /// Kind and name of what made the pod.
    fn owner(self) -> Option<(&'a str, &'a str)> {
        let owners = self.pod["metadata"]["ownerReferences"].as_array()?;
        let owner = owners.iter().find(|owner| owner["controller"] == true)?;
        Some((owner["kind"].as_str()?, owner["name"].as_str()?))
    }

    fn owner_named(self, wanted: &str) -> Option<&'a str> {
        self.owner().filter(|(kind, _)| *kind == wanted).map(|(_, name)| name)
    }

    fn deployment(self) -> Option<&'a str> {
        // A template that is injected before there are pods names its Deployment itself.
        self.owner_named("Deployment")
            .or_else(|| deployment(&self.pod["metadata"], self.owner_named("ReplicaSet")?))
    }

    /// Names of the variables that the container or `sidecar.environment` sets.
    fn given(self) -> impl Iterator<Item = &'a str> {
        let own = self.container["env"].as_array().into_iter().flatten();
        let chosen = self.spec().sidecar.environment.iter().map(|variable| variable.name.as_str());
        own.filter_map(|variable| variable["name"].as_str()).chain(chosen)
    }

    /// The container's protocol of OTLP: its own, the profile's, else the default.
    fn protocol(self) -> &'a str {
        let own = self.container["env"].as_array().into_iter().flatten();
        let own = own.filter(|variable| variable["name"] == PROTOCOL).find_map(|v| v["value"].as_str());
        let chosen = &self.spec().sidecar.environment;
        own.or_else(|| chosen.iter().find(|variable| variable.name == PROTOCOL).map(|v| v.value.as_str()))
            .unwrap_or(DEFAULT_PROTOCOL)
    }
}

/// A text that a profile, a pod or a container decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// The profile's name.
    Profile,
    /// The profile's namespace, which is the pod's.
    Namespace,
    /// The sidecar's image: its own, else the collector's, else the operator's default.
    Image,
    /// CPU request.
    CpuRequest,
    /// CPU limit.
    CpuLimit,
    /// Memory request.
    MemoryRequest,
    /// Memory limit.
    MemoryLimit,
    /// Four fifths of the memory limit in MiB: the Go runtime must see it, or it grows until the kernel ends it.
    GoMemory,
    /// `service.name`.
    Service,
    /// `service.version`, as a value of `OTEL_RESOURCE_ATTRIBUTES`.
    Version,
    /// `deployment.environment.name`.
    Environment,
    /// The sampling ratio.
    Ratio,
    /// The container's name.
    Container,
    /// The Deployment's name.
    Deployment,
    /// The name of what made the pod.
    Owner,
    /// The port of the container's protocol.
    Port,
    /// The container's protocol.
    Protocol,
}

impl Text {
    /// The text in this scene; empty where it is not there.
    #[must_use]
    pub fn read(self, scene: &Scene<'_>) -> String {
        let spec = scene.spec();
        match self {
            Self::Profile => scene.profile.metadata.name.clone().unwrap_or_default(),
            Self::Namespace => {
                scene.profile.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned())
            }
            Self::Image => sidecar_image(spec, scene.settings),
            Self::CpuRequest => scene.cpu().0,
            Self::CpuLimit => scene.cpu().1,
            Self::MemoryRequest => scene.memory().0,
            Self::MemoryLimit => scene.memory().1,
            Self::GoMemory => {
                let limit = quantity::bytes(&scene.memory().1).unwrap_or_default();
                (limit * 8 / 10 / (1024 * 1024)).to_string()
            }
            Self::Service => spec.service.name.clone(),
            Self::Version => spec.service.version.clone().unwrap_or_default().replace('+', "%2B"),
            Self::Environment => spec.service.environment.clone().unwrap_or_default(),
            Self::Ratio => spec.traces.sampling.ratio.clone(),
            Self::Container => scene.container["name"].as_str().unwrap_or_default().to_owned(),
            Self::Deployment => scene.deployment().unwrap_or_default().to_owned(),
            Self::Owner => scene.owner().map(|(_, name)| name).unwrap_or_default().to_owned(),
            Self::Port => if scene.protocol() == "grpc" { "4317" } else { "4318" }.to_owned(),
            Self::Protocol => scene.protocol().to_owned(),
        }
    }

    /// The CEL expression for it.
    #[must_use]
    pub fn cel(self) -> String {
        match self {
            Self::Profile => "params.metadata.name".to_owned(),
            Self::Namespace => "params.metadata.namespace".to_owned(),
            Self::Image => "variables.image".to_owned(),
            Self::CpuRequest => "variables.cpuRequest".to_owned(),
            Self::CpuLimit => "variables.cpuLimit".to_owned(),
            Self::MemoryRequest => "variables.memoryRequest".to_owned(),
            Self::MemoryLimit => "variables.memoryLimit".to_owned(),
            Self::GoMemory => {
                "string(quantity(variables.memoryLimit).asInteger() * 8 / 10 / 1048576)".to_owned()
            }
            Self::Service => "params.spec.service.name".to_owned(),
            Self::Version => "params.spec.service.version.replace('+', '%2B')".to_owned(),
            Self::Environment => "params.spec.service.environment".to_owned(),
            Self::Ratio => "params.spec.traces.sampling.ratio".to_owned(),
            Self::Container => "c.name".to_owned(),
            Self::Deployment => "variables.owner[0].name.substring(0, size(variables.owner[0].name) - \
                                 size(variables.templateHash) - 1)"
                .to_owned(),
            Self::Owner => "variables.owner[0].name".to_owned(),
            Self::Port => format!("({} == 'grpc' ? '4317' : '4318')", Self::Protocol.cel()),
            Self::Protocol => format!(
                "(c.?env.orValue([]).filter(e, e.name == '{PROTOCOL}' && has(e.value)).map(e, e.value) + \
                 params.spec.sidecar.environment.filter(e, e.name == '{PROTOCOL}').map(e, e.value) + \
                 ['{DEFAULT_PROTOCOL}'])[0]"
            ),
        }
    }
}

/// A truth about a profile, a pod or a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Traces are on.
    Traces,
    /// Traces are on and come by OTLP.
    TracesByOtlp,
    /// Traces are on and come by Jaeger Thrift, too.
    TracesByThrift,
    /// Metrics are on.
    Metrics,
    /// Logs are on, and there is a store for them.
    Logs,
    /// The application samples.
    SamplesInApplication,
    /// The service has a version.
    HasVersion,
    /// The service has an environment.
    HasEnvironment,
    /// A Deployment stands behind the pod.
    InDeployment,
    /// A StatefulSet made the pod.
    InStatefulSet,
    /// A DaemonSet made the pod.
    InDaemonSet,
    /// A Job made the pod.
    InJob,
    /// The pod bounds its containers together.
    PodResources,
    /// The container says by itself where it sends OTLP.
    OwnEndpoint,
    /// The container chooses its sampler by itself.
    OwnSampler,
}

impl Fact {
    /// Whether it is so in this scene.
    #[must_use]
    pub fn holds(self, scene: &Scene<'_>) -> bool {
        let spec = scene.spec();
        let receives = |protocol| spec.traces.enabled && spec.traces.protocols.contains(&protocol);
        match self {
            Self::Traces => spec.traces.enabled,
            Self::TracesByOtlp => receives(TraceProtocol::Otlp),
            Self::TracesByThrift => receives(TraceProtocol::JaegerThriftHttp),
            Self::Metrics => spec.metrics.enabled,
            Self::Logs => spec.logs.enabled && spec.logs.endpoint.is_some(),
            Self::SamplesInApplication => spec.traces.sampling.at == SamplingPoint::Application,
            Self::HasVersion => spec.service.version.is_some(),
            Self::HasEnvironment => spec.service.environment.is_some(),
            Self::InDeployment => scene.deployment().is_some(),
            Self::InStatefulSet => scene.owner_named("StatefulSet").is_some(),
            Self::InDaemonSet => scene.owner_named("DaemonSet").is_some(),
            // A CronJob's pods are made by Jobs of it.
            Self::InJob => scene.owner_named("Job").or(scene.owner_named("CronJob")).is_some(),
            Self::PodResources => !scene.pod["spec"]["resources"].is_null(),
            Self::OwnEndpoint => scene
                .given()
                .any(|name| name.starts_with("OTEL_EXPORTER_OTLP_") && name.ends_with("ENDPOINT")),
            Self::OwnSampler => scene.given().any(|name| name == "OTEL_TRACES_SAMPLER"),
        }
    }

    /// The CEL expression for it.
    #[must_use]
    pub fn cel(self) -> String {
        let receives = |protocol: &str| {
            format!("params.spec.traces.enabled && '{protocol}' in params.spec.traces.protocols")
        };
        let owned = |kind: &str| format!("variables.owner.exists(o, o.kind == '{kind}')");
        match self {
            Self::Traces => "params.spec.traces.enabled".to_owned(),
            Self::TracesByOtlp => receives("OTLP"),
            Self::TracesByThrift => receives("JaegerThriftHTTP"),
            Self::Metrics => "params.spec.metrics.enabled".to_owned(),
            Self::Logs => "params.spec.logs.enabled && has(params.spec.logs.endpoint)".to_owned(),
            Self::SamplesInApplication => "params.spec.traces.sampling.at == 'Application'".to_owned(),
            Self::HasVersion => "has(params.spec.service.version)".to_owned(),
            Self::HasEnvironment => "has(params.spec.service.environment)".to_owned(),
            Self::InDeployment => format!(
                "{} && variables.templateHash != '' && \
                 variables.owner[0].name.endsWith('-' + variables.templateHash)",
                owned("ReplicaSet")
            ),
            Self::InStatefulSet => owned("StatefulSet"),
            Self::InDaemonSet => owned("DaemonSet"),
            Self::InJob => owned("Job"),
            Self::PodResources => "has(object.spec.resources)".to_owned(),
            Self::OwnEndpoint => "(c.?env.orValue([]) + params.spec.sidecar.environment).exists(e, \
                 e.name.startsWith('OTEL_EXPORTER_OTLP_') && e.name.endsWith('ENDPOINT'))"
                .to_owned(),
            Self::OwnSampler => "(c.?env.orValue([]) + params.spec.sidecar.environment).exists(e, \
                                 e.name == 'OTEL_TRACES_SAMPLER')"
                .to_owned(),
        }
    }
}

/// The policy's variables, each used by several expressions: name and expression. They stand in the order of their use of
/// each other.
#[must_use]
pub fn variables(settings: &Settings) -> Vec<(&'static str, String)> {
    let amount = |kind: &str, what: &str| format!("params.spec.sidecar.?resources.?{kind}.?{what}");
    // As `validate::sidecar_amounts`: a given request pulls the default limit up, a given limit pulls the default request down.
    let filled = |what: &str, (request, limit): (&str, &str)| {
        let (requests, limits) = (amount("requests", what), amount("limits", what));
        let pull = |given: &str, than: &str, default: &str| {
            format!(
                "{given}.hasValue() && quantity({given}.value()).{than}(quantity('{default}')) ? {given}.value() : '{default}'"
            )
        };
        [
            format!(
                "{requests}.hasValue() ? {requests}.value() : ({})",
                pull(&limits, "isLessThan", request)
            ),
            format!("{limits}.hasValue() ? {limits}.value() : ({})", pull(&requests, "isGreaterThan", limit)),
        ]
    };
    let [cpu_request, cpu_limit] = filled("cpu", SIDECAR_DEFAULTS.cpu);
    let [memory_request, memory_limit] = filled("memory", SIDECAR_DEFAULTS.memory);
    let image = format!(
        "params.spec.sidecar.?image.or(params.spec.collector.?image).orValue({})",
        quoted(&settings.collector_image)
    );
    vec![
        ("image", image),
        ("cpuRequest", cpu_request),
        ("cpuLimit", cpu_limit),
        ("memoryRequest", memory_request),
        ("memoryLimit", memory_limit),
        (
            "owner",
            "object.metadata.?ownerReferences.orValue([]).filter(o, o.?controller.orValue(false))".to_owned(),
        ),
        ("templateHash", format!("object.metadata.?labels[?'{TEMPLATE_HASH}'].orValue('')")),
    ]
}

/// A CEL string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        match c {
            '\\' | '\'' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

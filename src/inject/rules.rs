//! Which pods get the sidecar, and why others cannot have it: each rule once in Rust and, beside it, once in CEL, as a
//! match condition of the policy. In: a profile and a pod. Out: a [`Decision`]. No cluster.

use serde_json::Value;

use super::{Decision, INJECT_LABEL, Refusal, SIDECAR};
use crate::kinds::{MANAGED_BY, MANAGED_BY_LABEL};
use crate::plan::pipeline::{HEALTH, JAEGER_THRIFT_HTTP, OTLP_GRPC, OTLP_HTTP};
use crate::profile::{LabelSelectorRequirement, SelectorOperator, TelemetryProfile, TraceProtocol};

/// Annotation of a pod that a kubelet runs by itself and only shows to the API server.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// A condition that a pod and its profile must fulfil. The order is that of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The profile wants a sidecar: it is on, there is a signal for it, and the profile stays.
    Wanted,
    /// The profile selects the pod.
    Selected,
    /// The pod has no sidecar yet.
    NotInjected,
    /// The pod does not opt out.
    NotOptedOut,
    /// The sidecar's configuration is there or will come.
    Configured,
    /// The pod does not use the node's network.
    OwnNetwork,
    /// The pod runs on Linux.
    Linux,
    /// The API server really starts the pod.
    NoMirror,
    /// Nothing else in the pod has the sidecar's name.
    NameFree,
    /// Nothing else in the pod listens at the sidecar's ports.
    PortsFree,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 10] = [
        Self::Wanted,
        Self::Selected,
        Self::NotInjected,
        Self::NotOptedOut,
        Self::Configured,
        Self::OwnNetwork,
        Self::Linux,
        Self::NoMirror,
        Self::NameFree,
        Self::PortsFree,
    ];

    /// The name of the match condition.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Selected => "selected",
            Self::NotInjected => "not-injected",
            Self::NotOptedOut => "not-opted-out",
            Self::Configured => "configured",
            Self::OwnNetwork => "own-network",
            Self::Linux => "linux",
            Self::NoMirror => "no-mirror",
            Self::NameFree => "name-free",
            Self::PortsFree => "ports-free",
        }
    }

    /// What becomes of a pod that breaks the rule; none when it keeps it.
    #[must_use]
    pub fn broken(self, profile: &TelemetryProfile, pod: &Value) -> Option<Decision> {
        let spec = &pod["spec"];
        match self {
            Self::Wanted => (!wanted(profile)).then_some(Decision::NotSelected),
            Self::Selected => {
                (!selects(profile, &pod["metadata"]["labels"])).then_some(Decision::NotSelected)
            }
            Self::NotInjected => named(&spec["initContainers"]).then_some(Decision::Injected),
            Self::NotOptedOut => {
                (pod["metadata"]["labels"][INJECT_LABEL] == "false").then_some(Decision::OptedOut)
            }
            Self::Configured => (!configured(profile)).then(|| {
                refused(
                    "ProfileNotApplied",
                    "the profile's condition Ready is False and its sidecar has no configuration: mend the profile",
                )
            }),
            Self::OwnNetwork => (spec["hostNetwork"] == true).then(|| {
                refused(
                    "HostNetwork",
                    "it uses the node's network, where the sidecar's ports can be taken: send to the collector's Service, \
                     and label the pod telemetry-operator.dev/inject=false",
                )
            }),
            Self::Linux => {
                let windows = spec["os"]["name"] == "windows"
                    || spec["nodeSelector"]["kubernetes.io/os"] == "windows";
                windows.then(|| {
                    refused(
                        "Windows",
                        "it runs on Windows, for which there is no sidecar: send to the collector's Service, and label the \
                         pod telemetry-operator.dev/inject=false",
                    )
                })
            }
            Self::NoMirror => (!pod["metadata"]["annotations"][MIRROR_ANNOTATION].is_null()).then(|| {
                refused("MirrorPod", "a kubelet runs it from a file of its own: add the sidecar to that file")
            }),
            Self::NameFree => (named(&spec["containers"]) || named(&spec["volumes"])).then(|| {
                let message =
                    format!("a container or volume of it is called {SIDECAR}, as the sidecar's: rename it");
                refused("NameTaken", message)
            }),
            Self::PortsFree => taken_port(profile, spec).map(|(container, port)| {
                let message = format!(
                    "container {container} listens at port {port}, which the sidecar needs: move it to another port"
                );
                refused("PortTaken", message)
            }),
        }
    }

    /// The CEL expression that is true when the rule is kept.
    #[must_use]
    pub fn cel(self) -> String {
        match self {
            Self::Wanted => "!has(params.metadata.deletionTimestamp) && params.spec.sidecar.enabled && \
                             (params.spec.traces.enabled || params.spec.metrics.enabled || \
                             (params.spec.logs.enabled && has(params.spec.logs.endpoint)))"
                .to_owned(),
            Self::Selected => selected_cel(),
            Self::NotInjected => format!("!{}", named_cel("initContainers")),
            Self::NotOptedOut => {
                format!("object.metadata.?labels[?'{INJECT_LABEL}'].orValue('') != 'false'")
            }
            Self::Configured => {
                "!params.?status.?conditions.orValue([]).exists(c, c.type == 'Ready' && c.status == 'False' && \
                 (c.reason == 'ComponentMissing' || !(('ConfigMap/' + params.metadata.name + '-sidecar') in \
                 params.status.?children.orValue([]))))"
                    .to_owned()
            }
            Self::OwnNetwork => "!object.spec.?hostNetwork.orValue(false)".to_owned(),
            Self::Linux => "object.spec.?os.?name.orValue('linux') != 'windows' && \
                            object.spec.?nodeSelector[?'kubernetes.io/os'].orValue('linux') != 'windows'"
                .to_owned(),
            Self::NoMirror => {
                format!("!object.metadata.?annotations[?'{MIRROR_ANNOTATION}'].hasValue()")
            }
            Self::NameFree => format!("!{} && !{}", named_cel("containers"), named_cel("volumes")),
            Self::PortsFree => format!(
                "!(object.spec.containers + object.spec.?initContainers.orValue([])).exists(c, \
                 c.?ports.orValue([]).exists(p, p.?protocol.orValue('TCP') == 'TCP' && (p.containerPort in \
                 [{OTLP_GRPC}, {OTLP_HTTP}, {HEALTH}] || (p.containerPort == {JAEGER_THRIFT_HTTP} && \
                 'JaegerThriftHTTP' in params.spec.traces.protocols))))"
            ),
        }
    }
}

fn refused(reason: &'static str, message: impl Into<String>) -> Decision {
    Decision::Refused(Refusal { reason, message: message.into() })
}

/// What becomes of a pod when it is made: the first rule that it breaks decides.
#[must_use]
pub fn decide(profile: &TelemetryProfile, pod: &Value) -> Decision {
    Rule::ALL.into_iter().find_map(|rule| rule.broken(profile, pod)).unwrap_or(Decision::Inject)
}

/// True when the profile wants a sidecar in the pods that it selects.
#[must_use]
pub fn wanted(profile: &TelemetryProfile) -> bool {
    let spec = &profile.spec;
    let signal =
        spec.traces.enabled || spec.metrics.enabled || spec.logs.enabled && spec.logs.endpoint.is_some();
    profile.metadata.deletion_timestamp.is_none() && spec.sidecar.enabled && signal
}

/// True when the profile's selector fits pods with these labels (an object, or null). The profile's own workloads may bear
/// labels that the application is selected by: they are never its pods.
#[must_use]
pub fn selects(profile: &TelemetryProfile, labels: &Value) -> bool {
    let selector = &profile.spec.selector;
    let label = |key: &str| labels[key].as_str();
    selector.match_expressions.iter().all(|requirement| meets(labels, requirement))
        && selector.match_labels.iter().all(|(key, value)| label(key) == Some(value.0.as_str()))
        && label(MANAGED_BY_LABEL) != Some(MANAGED_BY)
}

/// True when labels (an object, or null) meet this requirement of a selector.
#[must_use]
pub fn meets(labels: &Value, requirement: &LabelSelectorRequirement) -> bool {
    let found = labels[&requirement.key].as_str();
    let listed = found.is_some_and(|found| requirement.values.iter().any(|value| value.0 == found));
    match requirement.operator {
        SelectorOperator::In => listed,
        SelectorOperator::NotIn => !listed,
        SelectorOperator::Exists => found.is_some(),
        SelectorOperator::DoesNotExist => found.is_none(),
    }
}

fn selected_cel() -> String {
    let labels = "object.metadata.?labels.orValue({})";
    format!(
        "params.spec.selector.?matchLabels.orValue({{}}).all(k, k in {labels} && \
         {labels}[k] == params.spec.selector.matchLabels[k]) && \
         params.spec.selector.?matchExpressions.orValue([]).all(r, \
         r.operator == 'Exists' ? r.key in {labels} : r.operator == 'DoesNotExist' ? !(r.key in {labels}) : \
         (r.key in {labels} && {labels}[r.key] in r.values) == (r.operator == 'In')) && \
         {labels}[?'{MANAGED_BY_LABEL}'].orValue('') != '{MANAGED_BY}'"
    )
}

/// False while the operator says that the profile cannot be applied and its sidecar's configuration is not there: a pod
/// would wait for it. A component that the image lacks would end the sidecar at each start.
fn configured(profile: &TelemetryProfile) -> bool {
    let Some(status) = &profile.status else { return true };
    let name = profile.metadata.name.as_deref().unwrap_or_default();
    let written = status.children.contains(&format!("ConfigMap/{name}-sidecar"));
    !status.conditions.iter().any(|condition| {
        condition.kind == "Ready"
            && condition.status == crate::profile::ConditionStatus::False
            && (condition.reason == "ComponentMissing" || !written)
    })
}

fn named(list: &Value) -> bool {
    list.as_array().into_iter().flatten().any(|item| item["name"] == SIDECAR)
}

fn named_cel(list: &str) -> String {
    format!("object.spec.?{list}.orValue([]).exists(c, c.name == '{SIDECAR}')")
}

/// The first container that declares a port of the sidecar.
fn taken_port(profile: &TelemetryProfile, spec: &Value) -> Option<(String, i64)> {
    let mut ports = vec![OTLP_GRPC, OTLP_HTTP, HEALTH];
    if profile.spec.traces.protocols.contains(&TraceProtocol::JaegerThriftHttp) {
        ports.push(JAEGER_THRIFT_HTTP);
    }
    let taken = |port: &Value| {
        let number = port["containerPort"].as_i64()?;
        let tcp = port["protocol"].is_null() || port["protocol"] == "TCP";
        (tcp && ports.iter().any(|port| i64::from(*port) == number)).then_some(number)
    };
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| spec[list].as_array());
    containers.flatten().find_map(|container| {
        let port = container["ports"].as_array()?.iter().find_map(taken)?;
        Some((container["name"].as_str().unwrap_or_default().to_owned(), port))
    })
}

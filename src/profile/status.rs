//! The profile's status: conditions, addresses and the effective settings. Types only; `crate::status` fills them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw and did.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryProfileStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not; docs/conditions.md explains each reason.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Where to send, and where to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// The settings that are in force, defaults and choices included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// Which of the selected pods have the present sidecar. Pods that have ended or are going do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarStatus>,
    /// Every object that the operator keeps for this profile, as Kind/name.
    #[serde(default)]
    pub children: Vec<String>,
}

/// One condition, in the shape of Kubernetes' own.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// One fixed word for the cause.
    pub reason: String,
    /// What is so, and what to do.
    pub message: String,
    /// The generation of the profile that it is about.
    pub observed_generation: i64,
    /// When `status` last changed, RFC 3339.
    pub last_transition_time: String,
}

/// Values of a condition.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

/// Where to send, and where to look. Addresses inside the cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// OTLP by gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<String>,
    /// OTLP by HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<String>,
    /// Jaeger Thrift by HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jaeger_thrift_http: Option<String>,
    /// Jaeger's page and query API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_query: Option<String>,
    /// The managed Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<String>,
}

/// The settings that are in force.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// The share of traces that reaches the back end, whoever samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_ratio: Option<String>,
    /// Where traces go: `Jaeger (Memory)`, `Jaeger (Badger)` or the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_back_end: Option<String>,
    /// How Prometheus is told of targets: Operator, ConfigMap or Managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_by: Option<String>,
    /// How Prometheus is told of rules: Operator, ConfigMap or Managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_by: Option<String>,
    /// How dashboards reach Grafana: ConfigMap or GrafanaOperator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboards_by: Option<String>,
    /// The collector's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector_image: Option<String>,
}

/// The application's pods by what is so with their sidecar.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SidecarStatus {
    /// Pods with the present sidecar.
    pub injected: i32,
    /// Pods with an older one.
    pub outdated: i32,
    /// Pods without one.
    pub missing: i32,
    /// Pods that opt out by label.
    pub opted_out: i32,
    /// The first few of the pods that are missing it or have an older one.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub attention: Vec<PodAttention>,
}

/// A pod that lacks the present sidecar.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodAttention {
    /// Its name.
    pub pod: String,
    /// What it lacks.
    pub state: PodState,
    /// One fixed word for the cause.
    pub reason: String,
    /// What is so, and for a pod that cannot have one what to do.
    pub message: String,
}

/// How a pod lacks the present sidecar.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    /// It has none of this profile.
    Missing,
    /// It has an older one.
    Outdated,
}

//! What a user may set of the workloads: image, resources, placement. Small types of our own, never a PodSpec: the CRD
//! stays small enough for client-side apply, and what is not here stays under the operator's control.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelValue, yes};

/// Settings of a workload that the operator runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Container image. Left out: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Names of Secrets with registry credentials, in the profile's namespace.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<ObjectName>,
    /// CPU and memory. Left out: the operator's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels that a node must carry.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16))]
    pub node_selector: BTreeMap<String, LabelValue>,
    /// Node taints that are tolerated.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// PriorityClass of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<ObjectName>,
}

/// The collector's workload.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
    .message("the autoscaler decides the number of replicas: remove collector.replicas, or remove collector.autoscaling")
    .field_path(".replicas"))]
pub struct Collector {
    /// Number of collectors. Left out together with `autoscaling`: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub replicas: Option<i32>,
    /// A HorizontalPodAutoscaler decides the number of collectors; the operator then never writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Image, resources and placement.
    #[serde(flatten)]
    pub workload: Workload,
}

/// Bounds and aim of the autoscaler.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min <= self.max")
    .message("min is above max: lower min or raise max").field_path(".min"))]
pub struct Autoscaling {
    /// Fewest collectors.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 50))]
    pub min: i32,
    /// Most collectors.
    #[schemars(range(min = 1, max = 50))]
    pub max: i32,
    /// Mean CPU use of the requested CPU that is aimed at, in percent.
    #[serde(default = "eighty")]
    #[schemars(range(min = 10, max = 95))]
    pub cpu: i32,
}

/// The collector sidecar in the application's pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.resources) || !has(self.resources.limits) || !has(self.resources.limits.memory) || quantity(self.resources.limits.memory).compareTo(quantity('32Mi')) >= 0")
    .message("a sidecar does not start with so little memory: give at least 32Mi").field_path(".resources.limits.memory"))]
pub struct Sidecar {
    /// False: no sidecar; the application sends to the collector's Service.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Container image. Left out: the collector's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// CPU and memory. Left out: the operator's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Further environment variables for the application's containers; one that a container sets itself is kept.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub environment: Vec<EnvironmentVariable>,
    /// Manual: pods get the present sidecar when they are next made. Auto: the operator restarts pods that lack it.
    #[serde(default)]
    pub rollout: Rollout,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self {
            enabled: true,
            image: None,
            resources: None,
            environment: Vec::new(),
            rollout: Rollout::Manual,
        }
    }
}

/// When pods get a changed sidecar.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rollout {
    /// When they are next made.
    #[default]
    Manual,
    /// The operator restarts them.
    Auto,
}

/// An environment variable with a plain value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentVariable {
    /// Its name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Its value as plain text: `$(NAME)` is not expanded. Put no secret here: a profile is readable by many.
    #[schemars(length(max = 1024))]
    pub value: String,
}

/// CPU and memory of a container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.requests) || !has(self.limits) || !has(self.requests.cpu) || !has(self.limits.cpu) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0")
    .message("the CPU request is above the limit: lower requests.cpu or raise limits.cpu").field_path(".requests"))]
#[x_kube(validation = Rule::new("!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || !has(self.limits.memory) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0")
    .message("the memory request is above the limit: lower requests.memory or raise limits.memory").field_path(".requests"))]
pub struct Resources {
    /// What the scheduler reserves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// What the container may use at most. The collector's and Jaeger's own memory bounds follow from the memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
}

/// An amount of CPU and memory.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAmounts {
    /// CPU, for example `500m` or `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        regex(pattern = r"^([1-9][0-9]{0,6}m|[1-9][0-9]{0,3}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9][0-9]{0,2})$")
    )]
    pub cpu: Option<String>,
    /// Memory, for example `256Mi`; at least 32Mi as a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[1-9][0-9]{0,12}(Ki|Mi|Gi|Ti|k|M|G|T)?$"))]
    pub memory: Option<String>,
}

/// A node taint that is tolerated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.operator) || self.operator != 'Exists' || !has(self.value)")
    .message("operator Exists ignores the value: remove value, or use operator Equal").field_path(".value"))]
#[x_kube(validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')")
    .message("a toleration without a key matches by operator Exists only: give key, or set operator to Exists").field_path(".key"))]
pub struct Toleration {
    /// Key of the taint. Left out with operator Exists: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 317),
        regex(pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    )]
    pub key: Option<String>,
    /// Equal or Exists. Left out: Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<LabelValue>,
    /// NoSchedule, PreferNoSchedule or NoExecute. Left out: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// How a toleration compares.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TolerationOperator {
    /// The value is equal.
    Equal,
    /// The key is there.
    Exists,
}

impl TolerationOperator {
    /// The operator as Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "Equal",
            Self::Exists => "Exists",
        }
    }
}

/// Effects of a taint.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// New pods are not placed.
    NoSchedule,
    /// New pods are placed elsewhere if possible.
    PreferNoSchedule,
    /// Running pods are removed, too.
    NoExecute,
}

impl TaintEffect {
    /// The effect as Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A container image: registry, name and a tag or digest.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct Image(
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-zA-Z0-9_./:]*[a-zA-Z0-9])?(@sha256:[a-f0-9]{64})?$")
    )]
    pub String,
);

/// The name of another object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct ObjectName(
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))] pub String,
);

fn one() -> i32 {
    1
}

fn eighty() -> i32 {
    80
}

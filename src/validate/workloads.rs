//! Workload settings of the spec → workloads with every default in force. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::label_values;
use super::problem::{Code, Problems};
use super::validated::Workload;
use crate::profile;
use crate::quantity;

/// Smallest memory limit that a Go process with our configurations starts and works in.
const SMALLEST_MEMORY_LIMIT: u64 = 32 * 1024 * 1024;

/// Defaults of a workload: CPU request and limit, memory request and limit.
pub struct Defaults {
    /// CPU request and limit.
    pub cpu: (&'static str, &'static str),
    /// Memory request and limit.
    pub memory: (&'static str, &'static str),
}

/// About 5,000 spans a second.
pub(super) const COLLECTOR: Defaults = Defaults { cpu: ("100m", "1"), memory: ("128Mi", "512Mi") };
/// Some hundred thousand spans in memory.
pub(super) const JAEGER: Defaults = Defaults { cpu: ("100m", "1"), memory: ("256Mi", "1Gi") };
/// One application's series.
pub(super) const PROMETHEUS: Defaults = Defaults { cpu: ("100m", "1"), memory: ("256Mi", "1Gi") };

/// What the public contrib image, the largest one, starts and works in.
pub const SIDECAR: Defaults = Defaults { cpu: ("20m", "500m"), memory: ("64Mi", "128Mi") };

/// Puts the operator's defaults under the profile's settings.
pub(super) fn workload(
    path: &str,
    given: &profile::Workload,
    default_image: &str,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Workload {
    problems.label_keys(&format!("{path}.nodeSelector"), given.node_selector.keys());
    for (index, toleration) in given.tolerations.iter().enumerate() {
        problems.label_keys(&format!("{path}.tolerations[{index}].key"), toleration.key.iter());
    }
    let resources = given.resources.clone().unwrap_or_default();
    let requests = resources.requests.unwrap_or_default();
    let limits = resources.limits.unwrap_or_default();
    let (cpu_request, cpu_limit) = fill(requests.cpu, limits.cpu, defaults.cpu);
    let (memory_request, memory_limit) = fill(requests.memory, limits.memory, defaults.memory);
    let memory_bytes = quantity::bytes(&memory_limit).unwrap_or_default();
    if memory_bytes < SMALLEST_MEMORY_LIMIT {
        problems.add(
            Code::MemoryLimit,
            &format!("{path}.resources.limits.memory"),
            format!("{memory_limit} is too little to start with"),
            "give at least 32Mi",
        );
    }
    let amounts = |cpu: String, memory: String| {
        BTreeMap::from([("cpu".to_owned(), Quantity(cpu)), ("memory".to_owned(), Quantity(memory))])
    };
    Workload {
        image: given.image.as_ref().map_or_else(|| default_image.to_owned(), |image| image.0.clone()),
        image_pull_secrets: given.image_pull_secrets.iter().map(|name| name.0.clone()).collect(),
        resources: ResourceRequirements {
            requests: Some(amounts(cpu_request, memory_request)),
            limits: Some(amounts(cpu_limit, memory_limit)),
            ..ResourceRequirements::default()
        },
        memory_limit: memory_bytes,
        node_selector: label_values(&given.node_selector),
        tolerations: given.tolerations.iter().map(toleration).collect(),
        priority_class_name: given.priority_class_name.as_ref().map(|name| name.0.clone()),
    }
}

/// CPU and memory of a sidecar with these settings, each as request and limit. The schema has refused a limit that is too
/// small: the API server injects without asking us.
#[must_use]
pub fn sidecar_amounts(given: &profile::Sidecar) -> [(String, String); 2] {
    let profile::Resources { requests, limits } = given.resources.clone().unwrap_or_default();
    let (requests, limits) = (requests.unwrap_or_default(), limits.unwrap_or_default());
    [fill(requests.cpu, limits.cpu, SIDECAR.cpu), fill(requests.memory, limits.memory, SIDECAR.memory)]
}

/// Request and limit, where one that is given pulls the default of the other along: a request is never above its limit.
fn fill(request: Option<String>, limit: Option<String>, defaults: (&str, &str)) -> (String, String) {
    let above = |a: &str, b: &str| quantity::nanos(a) > quantity::nanos(b);
    match (request, limit) {
        (Some(request), Some(limit)) => (request, limit),
        (Some(request), None) if above(&request, defaults.1) => (request.clone(), request),
        (Some(request), None) => (request, defaults.1.to_owned()),
        (None, Some(limit)) if above(defaults.0, &limit) => (limit.clone(), limit),
        (None, Some(limit)) => (defaults.0.to_owned(), limit),
        (None, None) => (defaults.0.to_owned(), defaults.1.to_owned()),
    }
}

fn toleration(given: &profile::Toleration) -> Toleration {
    Toleration {
        key: given.key.clone(),
        operator: given.operator.map(|operator| operator.as_str().to_owned()),
        value: given.value.as_ref().map(|value| value.0.clone()),
        effect: given.effect.map(|effect| effect.as_str().to_owned()),
        toleration_seconds: None,
    }
}

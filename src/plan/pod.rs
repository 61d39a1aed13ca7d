//! What all workloads have in common: account, Deployment, pod template, probes, security context. In: the validated
//! profile and what differs. Out: children. No cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EnvVar,
    HTTPGetAction, Lifecycle, LifecycleHandler, LocalObjectReference, PodAffinityTerm, PodAntiAffinity,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext, Service,
    ServiceAccount, ServicePort, ServiceSpec, SleepAction, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{self, Component};
use super::{Child, PlanError};
use crate::kinds::ChildKind;
use crate::validate::{ValidatedProfile, Workload};

/// Largest total size of a ConfigMap's data in bytes.
const CONFIG_MAP_BYTES: usize = 1024 * 1024;

/// How long a new pod must have been ready before it counts as available and an old one goes. A configuration or a memory
/// limit that ends the process shows within seconds of its first ready answer; without this such a pod would replace a
/// good one, and conditions would flip at each of its restarts.
const MIN_READY_SECONDS: i32 = 10;

/// How long a pod that drains goes on after it was told to end: each node takes it out of the Service in its own time, mostly
/// within a second or two. Without it, who sends to the Service meets a closed port meanwhile. It is part of the grace period.
const DRAIN_SECONDS: i64 = 5;
const GRACE_SECONDS: i64 = 30;

/// What makes one workload differ from another.
#[derive(Clone, Debug)]
pub struct PodParts<'a> {
    /// The component: names and labels follow.
    pub component: Component,
    /// Image, resources, placement.
    pub workload: &'a Workload,
    /// Numeric user and group; the volumes' group, too.
    pub user: i64,
    /// The container's arguments.
    pub args: Vec<String>,
    /// Named TCP ports.
    pub ports: Vec<(&'static str, i32)>,
    /// The port (by number) and path that answer when the process lives and is ready.
    pub health: Health,
    /// Volumes and where they are mounted.
    pub volumes: Vec<(Volume, VolumeMount)>,
    /// Hash of the configuration; none for software that reloads by itself.
    pub config_hash: Option<String>,
    /// True when the pod itself talks to the API server.
    pub api_access: bool,
    /// True when others send to the pod: one that ends goes on until they have heard of it.
    pub drains: bool,
}

/// Where the kubelet asks for health.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// TCP port.
    pub port: i32,
    /// Path that answers 200 while the process lives.
    pub live: &'static str,
    /// Path that answers 200 while it can serve.
    pub ready: &'static str,
}

/// The component's own ServiceAccount. Its token is not mounted unless a pod asks for it.
///
/// # Errors
/// When the object cannot be written.
pub fn service_account(profile: &ValidatedProfile, component: Component) -> Result<Child, PlanError> {
    Child::new(
        ChildKind::ServiceAccount,
        &ServiceAccount {
            metadata: meta::object_meta(profile, component),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        },
    )
}

/// A ConfigMap with these files.
///
/// # Errors
/// When the files do not fit.
pub fn config_map(metadata: ObjectMeta, data: BTreeMap<String, String>) -> Result<Child, PlanError> {
    let bytes = data.iter().map(|(name, text)| name.len() + text.len()).sum();
    if bytes > CONFIG_MAP_BYTES {
        let name = metadata.name.as_deref().unwrap_or_default();
        return Err(PlanError::TooLarge { reference: format!("ConfigMap/{name}"), bytes });
    }
    Child::new(ChildKind::ConfigMap, &ConfigMap { metadata, data: Some(data), ..ConfigMap::default() })
}

/// A Deployment of the component. `replicas: None` leaves the number to an autoscaler.
///
/// # Errors
/// When the object cannot be written.
pub fn deployment(
    profile: &ValidatedProfile,
    parts: &PodParts<'_>,
    replicas: Option<i32>,
    strategy: DeploymentStrategy,
) -> Result<Child, PlanError> {
    Child::new(
        ChildKind::Deployment,
        &Deployment {
            metadata: meta::object_meta(profile, parts.component),
            spec: Some(DeploymentSpec {
                replicas,
                revision_history_limit: Some(3),
                progress_deadline_seconds: Some(300),
                min_ready_seconds: Some(MIN_READY_SECONDS),
                selector: meta::pod_selector(profile, parts.component),
                strategy: Some(strategy),
                template: pod_template(profile, parts),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        },
    )
}

fn pod_template(profile: &ValidatedProfile, parts: &PodParts<'_>) -> PodTemplateSpec {
    let workload = parts.workload;
    let annotations =
        parts.config_hash.as_ref().map(|hash| BTreeMap::from([(meta::CONFIG_HASH.to_owned(), hash.clone())]));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(meta::labels(profile, parts.component)),
            annotations,
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(meta::child_name(profile, parts.component)),
            automount_service_account_token: Some(parts.api_access),
            // The Service environment variables of a large namespace slow every start and are read by nobody.
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(parts.user),
                run_as_group: Some(parts.user),
                fs_group: Some(parts.user),
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![container(parts)],
            volumes: some_list(parts.volumes.iter().map(|(volume, _)| volume.clone()).collect()),
            image_pull_secrets: some_list(
                workload
                    .image_pull_secrets
                    .iter()
                    .map(|name| LocalObjectReference { name: name.clone() })
                    .collect(),
            ),
            node_selector: (!workload.node_selector.is_empty()).then(|| workload.node_selector.clone()),
            tolerations: some_list(workload.tolerations.clone()),
            priority_class_name: workload.priority_class_name.clone(),
            affinity: Some(spread_over_nodes(profile, parts.component)),
            ..PodSpec::default()
        }),
    }
}

fn container(parts: &PodParts<'_>) -> Container {
    // The Go runtime must see the limit: otherwise it grows until the kernel ends it. 80 % leaves room for the rest.
    let env = vec![EnvVar {
        name: "GOMEMLIMIT".to_owned(),
        value: Some(format!("{}MiB", parts.workload.memory_limit * 8 / 10 / (1024 * 1024))),
        ..EnvVar::default()
    }];
    Container {
        name: parts.component.as_str().to_owned(),
        image: Some(parts.workload.image.clone()),
        args: some_list(parts.args.clone()),
        env: Some(env),
        ports: some_list(
            parts
                .ports
                .iter()
                .map(|(name, port)| ContainerPort {
                    name: Some((*name).to_owned()),
                    container_port: *port,
                    protocol: Some("TCP".to_owned()),
                    ..ContainerPort::default()
                })
                .collect(),
        ),
        resources: Some(parts.workload.resources.clone()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        // A start may take a minute on a busy node; only then does the liveness probe count.
        startup_probe: Some(probe(parts.health.ready, parts.health.port, 2, 30)),
        readiness_probe: Some(probe(parts.health.ready, parts.health.port, 5, 3)),
        liveness_probe: Some(probe(parts.health.live, parts.health.port, 10, 6)),
        lifecycle: parts.drains.then(drain),
        volume_mounts: some_list(parts.volumes.iter().map(|(_, mount)| mount.clone()).collect()),
        ..Container::default()
    }
}

/// The kubelet waits by itself: the image has no shell.
fn drain() -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds: DRAIN_SECONDS }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

fn probe(path: &str, port: i32, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(port),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

fn spread_over_nodes(profile: &ValidatedProfile, component: Component) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: PodAffinityTerm {
                    label_selector: Some(meta::pod_selector(profile, component)),
                    topology_key: "kubernetes.io/hostname".to_owned(),
                    ..PodAffinityTerm::default()
                },
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// `None` for an empty list: Kubernetes drops empty lists, and the comparison with the live object must not see one.
fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// A TCP port that others in the cluster connect to; the pods name it alike.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// Name of the port.
    pub name: &'static str,
    /// Its number.
    pub port: u16,
    /// What is spoken there, for meshes: `grpc` or `http`.
    pub app_protocol: &'static str,
}

/// The component's Service, inside the cluster only.
///
/// # Errors
/// When the object cannot be written.
pub fn service(
    profile: &ValidatedProfile,
    component: Component,
    listeners: &[Listener],
) -> Result<Child, PlanError> {
    let ports = listeners.iter().map(|listener| ServicePort {
        name: Some(listener.name.to_owned()),
        port: listener.port.into(),
        target_port: Some(IntOrString::Int(listener.port.into())),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some(listener.app_protocol.to_owned()),
        ..ServicePort::default()
    });
    Child::new(
        ChildKind::Service,
        &Service {
            metadata: meta::object_meta(profile, component),
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".to_owned()),
                selector: Some(meta::pod_labels(profile, component)),
                ports: Some(ports.collect()),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        },
    )
}

/// The component's ConfigMap as a read-only directory.
#[must_use]
pub fn config_volume(
    profile: &ValidatedProfile,
    component: Component,
    directory: &str,
) -> (Volume, VolumeMount) {
    (
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: meta::child_name(profile, component),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        VolumeMount {
            name: "config".to_owned(),
            mount_path: directory.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        },
    )
}

/// A new pod first, then the old one goes: somebody always serves, and a pod that never becomes ready costs nothing.
#[must_use]
pub fn new_pod_first() -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(1)),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

//! The Jaeger that keeps a profile's traces. In: the validated profile. Out: account, configuration, Service, Deployment,
//! NetworkPolicy and, with Badger, the volume; nothing when traces go elsewhere. No cluster.

mod config;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::meta::{self, Component};
use super::network::{self, Arrow, Peer};
use super::pod::{self, Health, Listener, PodParts};
use super::{Child, PlanError, pipeline, prometheus, short_hash};
use crate::kinds::ChildKind;
use crate::validate::{JaegerStorage, ValidatedProfile};
use crate::yaml;

/// Queries and the user interface, over HTTP.
pub const QUERY_HTTP: u16 = 16686;
/// Queries over gRPC.
pub const QUERY_GRPC: u16 = 16685;

/// Health, for the kubelet alone.
const HEALTH: u16 = 13133;
/// User and group of the image.
const USER: i64 = 10001;
const CONFIG_DIRECTORY: &str = "/etc/jaeger";
const CONFIG_FILE: &str = "jaeger.yaml";
const DATA_DIRECTORY: &str = "/badger";

/// Plans Jaeger.
///
/// # Errors
/// When an object or the configuration cannot be written.
pub fn plan(profile: &ValidatedProfile) -> Result<Vec<Child>, PlanError> {
    let Some(storage) = profile.jaeger_storage() else {
        return Ok(Vec::new());
    };
    let file = yaml::to_string(&config::config(profile, storage))?;
    let hash = short_hash(file.as_bytes());
    let data = BTreeMap::from([(CONFIG_FILE.to_owned(), file)]);
    let mut children = vec![
        pod::service_account(profile, Component::Jaeger)?,
        pod::config_map(meta::object_meta(profile, Component::Jaeger), data)?,
        service(profile)?,
        network_policy(profile)?,
        deployment(profile, storage, hash)?,
    ];
    if let JaegerStorage::Badger { size, storage_class_name, .. } = storage {
        children.push(volume_claim(profile, size, storage_class_name.as_ref())?);
    }
    Ok(children)
}

fn deployment(profile: &ValidatedProfile, storage: &JaegerStorage, hash: String) -> Result<Child, PlanError> {
    let mut volumes = vec![pod::config_volume(profile, Component::Jaeger, CONFIG_DIRECTORY)];
    if let JaegerStorage::Badger { .. } = storage {
        volumes.push(data_volume(profile));
    }
    let parts = PodParts {
        component: Component::Jaeger,
        workload: &profile.jaeger,
        user: USER,
        args: vec![format!("--config={CONFIG_DIRECTORY}/{CONFIG_FILE}")],
        ports: vec![
            ("otlp-grpc", pipeline::OTLP_GRPC.into()),
            ("query-http", QUERY_HTTP.into()),
            ("query-grpc", QUERY_GRPC.into()),
            ("health", HEALTH.into()),
        ],
        health: Health { port: HEALTH.into(), live: config::HEALTH_PATH, ready: config::HEALTH_PATH },
        volumes,
        config_hash: Some(hash),
        api_access: false,
        drains: false,
    };
    pod::deployment(profile, &parts, Some(1), strategy(storage))
}

/// Badger has a single writer: the old pod must be gone before the new one opens the files. In memory, the traces stay
/// until a new pod is ready: one that never becomes ready (a wrong image, no room) costs none.
fn strategy(storage: &JaegerStorage) -> DeploymentStrategy {
    match storage {
        JaegerStorage::Badger { .. } => {
            DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }
        }
        JaegerStorage::Memory => pod::new_pod_first(),
    }
}

fn data_volume(profile: &ValidatedProfile) -> (Volume, VolumeMount) {
    (
        Volume {
            name: "data".to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: meta::child_name(profile, Component::Jaeger),
                ..PersistentVolumeClaimVolumeSource::default()
            }),
            ..Volume::default()
        },
        VolumeMount {
            name: "data".to_owned(),
            mount_path: DATA_DIRECTORY.to_owned(),
            ..VolumeMount::default()
        },
    )
}

fn volume_claim(
    profile: &ValidatedProfile,
    size: &str,
    storage_class_name: Option<&String>,
) -> Result<Child, PlanError> {
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(size.to_owned()))]);
    Child::new(
        ChildKind::PersistentVolumeClaim,
        &PersistentVolumeClaim {
            metadata: meta::object_meta(profile, Component::Jaeger),
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some(requests),
                    ..VolumeResourceRequirements::default()
                }),
                storage_class_name: storage_class_name.cloned(),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        },
    )
}

/// Inside the cluster only: queries have no authentication.
fn service(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    let listener = |name, port, app_protocol| Listener { name, port, app_protocol };
    let listeners = [
        listener("otlp-grpc", pipeline::OTLP_GRPC, "grpc"),
        listener("query-grpc", QUERY_GRPC, "grpc"),
        listener("query-http", QUERY_HTTP, "http"),
    ];
    pod::service(profile, Component::Jaeger, &listeners)
}

fn network_policy(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    let ingress = [
        Arrow::new(profile, Peer::Component(Component::Collector), &[pipeline::OTLP_GRPC]),
        Arrow::new(profile, Peer::Software("grafana"), &[QUERY_HTTP, QUERY_GRPC]),
    ];
    let egress = if profile.has_managed_prometheus() {
        vec![Arrow::new(profile, Peer::Component(Component::Prometheus), &[prometheus::PORT])]
    } else {
        profile.prometheus_url.iter().flat_map(|url| Arrow::to_url(profile, url)).collect()
    };
    network::policy(profile, Component::Jaeger, &ingress, &egress)
}

#[cfg(test)]
mod tests;

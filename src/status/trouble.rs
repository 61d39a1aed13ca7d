//! Pods → the first cause that keeps one of them from serving, and what to do about it. Pure.
//!
//! The first cause is the one that stands first in [`Kind`], then the pod that comes first by name: the same pods give the
//! same text, whatever order they are listed in. No counter of restarts and no time is in it.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use kube::ResourceExt;

use super::conditions::Reason;
use crate::plan::meta::Component;
use crate::stable::stable;
use crate::validate::{ValidatedProfile, Workload};

/// Words of the kubelet for an image that cannot be had.
const IMAGE: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];
/// Words of the kubelet for a container that cannot be made of its image.
const NOT_MADE: [&str; 3] = ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"];
const OUT_OF_MEMORY: &str = "OOMKilled";

/// What keeps a pod from serving, in the order in which a user would look.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unschedulable { scheduler: String },
    Image { image: String, error: String },
    NotMade { word: String, error: String },
    OutOfMemory,
    Ended { container: String, code: i32 },
    NotReady,
}

/// The reason and the message for the first cause, if the pods show one. `reference` is their Deployment.
pub(super) fn first(
    pods: &[&Pod],
    profile: &ValidatedProfile,
    component: Component,
    reference: &str,
) -> Option<(Reason, String)> {
    let causes = pods.iter().filter_map(|pod| Some((kind(pod)?, pod.name_any())));
    let (kind, pod) = causes.min()?;
    let (reason, text) = say(&kind, &pod, profile, component);
    Some((reason, format!("{reference}: pod {pod} {text}")))
}

fn kind(pod: &Pod) -> Option<Kind> {
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let of_containers =
        status.container_statuses.iter().flatten().filter_map(|container| of_container(container, pod));
    unschedulable(status).into_iter().chain(of_containers).min()
}

fn unschedulable(status: &PodStatus) -> Option<Kind> {
    let placed = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")?;
    let refused = placed.status == "False" && placed.reason.as_deref() == Some("Unschedulable");
    refused.then(|| Kind::Unschedulable {
        scheduler: stable(placed.message.as_deref().unwrap_or("no node fits")),
    })
}

fn of_container(container: &ContainerStatus, pod: &Pod) -> Option<Kind> {
    if container.ready {
        return None;
    }
    let state = container.state.as_ref();
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let word = waiting.reason.as_deref().unwrap_or_default();
        let error = waiting.message.as_deref().unwrap_or(word);
        if IMAGE.contains(&word) {
            return Some(Kind::Image { image: image(container, pod), error: pull_error(error) });
        }
        if NOT_MADE.contains(&word) {
            return Some(Kind::NotMade { word: word.to_owned(), error: stable(error) });
        }
    }
    let ended = |state: Option<&ContainerState>| state.and_then(|state| state.terminated.clone());
    match ended(state).or_else(|| ended(container.last_state.as_ref())) {
        Some(ended) => Some(of_end(container, &ended)),
        None => state.is_some_and(|state| state.running.is_some()).then_some(Kind::NotReady),
    }
}

fn of_end(container: &ContainerStatus, ended: &ContainerStateTerminated) -> Kind {
    match ended.reason.as_deref() {
        Some(OUT_OF_MEMORY) => Kind::OutOfMemory,
        // The runtime could not even begin; its message says why.
        Some(word @ ("StartError" | "ContainerCannotRun")) => Kind::NotMade {
            word: word.to_owned(),
            error: stable(ended.message.as_deref().unwrap_or("the runtime does not say why")),
        },
        _ => Kind::Ended { container: container.name.clone(), code: ended.exit_code },
    }
}

/// The image as the pod asks for it; the kubelet's status may spell it otherwise.
fn image(container: &ContainerStatus, pod: &Pod) -> String {
    let asked = pod.spec.iter().flat_map(|spec| &spec.containers).find(|asked| asked.name == container.name);
    asked.and_then(|asked| asked.image.clone()).unwrap_or_else(|| container.image.clone())
}

/// The kubelet alternates between the error and `Back-off pulling image "x": ErrImagePull: ` before the same error.
fn pull_error(message: &str) -> String {
    stable(message.split_once("ErrImagePull: ").map_or(message, |(_, error)| error))
}

fn say(kind: &Kind, pod: &str, profile: &ValidatedProfile, component: Component) -> (Reason, String) {
    let place = Place::of(profile, component);
    let namespace = &profile.namespace;
    match kind {
        Kind::Unschedulable { scheduler } => (
            Reason::PodsUnschedulable,
            format!("has no place on any node: {scheduler}; make room in the cluster{}", place.placement()),
        ),
        Kind::Image { image, error } => {
            (Reason::ImagePullFailed, format!("cannot have its image {image}: {error}; {}", place.image()))
        }
        Kind::NotMade { word, error } => (
            Reason::ContainerNotStarted,
            format!(
                "cannot start its container ({word}): {error}; see `kubectl -n {namespace} describe pod {pod}`"
            ),
        ),
        Kind::OutOfMemory => (
            Reason::OutOfMemory,
            format!("was ended for want of memory ({OUT_OF_MEMORY}): {}", place.memory()),
        ),
        Kind::Ended { container, code } => (
            Reason::PodsCrashing,
            format!(
                "has ended with exit code {code} and is started again; see why by `kubectl -n {namespace} logs {pod} -c {container} --previous`"
            ),
        ),
        Kind::NotReady => (
            Reason::PodsNotReady,
            format!(
                "runs, and its readiness probe does not succeed yet; if it stays so, see `kubectl -n {namespace} logs {pod}`"
            ),
        ),
    }
}

/// Where a user changes a workload: fields of the profile, or nowhere but at the operator itself.
struct Place<'a> {
    field: Option<&'static str>,
    workload: &'a Workload,
}

impl<'a> Place<'a> {
    fn of(profile: &'a ValidatedProfile, component: Component) -> Self {
        match component {
            Component::Jaeger => Self { field: Some("spec.jaeger"), workload: &profile.jaeger },
            Component::Prometheus => Self { field: None, workload: &profile.prometheus },
            _ => Self { field: Some("spec.collector"), workload: &profile.collector },
        }
    }

    fn placement(&self) -> String {
        self.field.map_or_else(String::new, |field| {
            format!(", or change {field}.resources, {field}.nodeSelector or {field}.tolerations")
        })
    }

    fn image(&self) -> String {
        match self.field {
            Some(field) => format!(
                "correct {field}.image, or name a Secret with the registry's credentials in {field}.imagePullSecrets"
            ),
            None => "correct the operator's --prometheus-image".to_owned(),
        }
    }

    fn memory(&self) -> String {
        let limits = self.workload.resources.limits.as_ref();
        let limit = limits.and_then(|limits| limits.get("memory")).map_or("", |limit| limit.0.as_str());
        match self.field {
            Some(field) => format!("raise {field}.resources.limits.memory, which is {limit}"),
            None => format!(
                "a managed Prometheus has {limit}; let the application expose fewer series, or run a Prometheus of your own and set spec.metrics.prometheus to Operator or ConfigMap"
            ),
        }
    }
}

#[cfg(test)]
mod tests;

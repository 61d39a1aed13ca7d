//! A Deployment's own status and its pods → whether they serve, and why not. Pure.
//!
//! What counts is the Deployment's word: pods that were ended and serve again are ready.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;

use super::conditions::{ConditionType, Finding, Reason};
use super::{Running, said, trouble};
use crate::apply::Applied;
use crate::kinds::ChildKind;
use crate::observe::pods::rolled_out;
use crate::plan::meta::{COMPONENT_LABEL, Component, child_name};
use crate::stable::stable;
use crate::validate::ValidatedProfile;

/// Whether the component's pods are ready, with `note` added when they are.
pub(super) fn pods(
    kind: ConditionType,
    profile: &ValidatedProfile,
    component: Component,
    applied: &Applied,
    running: &Running,
    note: &str,
) -> Finding {
    let name = child_name(profile, component);
    let reference = format!("Deployment/{name}");
    if applied.conflicts.contains(&reference) {
        return Finding::no(kind, Reason::ForeignObject, format!("{reference} belongs to somebody else"));
    }
    if let Some(failure) = applied.failures.iter().find(|failure| failure.reference == reference) {
        return Finding::no(kind, Reason::ApplyFailed, format!("{reference}: {}", said(&failure.error)));
    }
    let Some(live) = applied.live(ChildKind::Deployment, &name) else {
        return Finding::no(kind, Reason::PodsStarting, format!("{reference} is not there yet"));
    };
    if rolled_out(live) {
        return Finding::yes(kind, Reason::PodsReady, format!("{reference} has its pods ready{note}"));
    }
    let pods: Vec<_> = running.pods.iter().filter(|pod| is_of(pod, component)).collect();
    let selector = format!(
        "app.kubernetes.io/instance={},app.kubernetes.io/component={}",
        profile.name,
        component.as_str()
    );
    let namespace = &profile.namespace;
    if let Some(problem) = problem(&live["status"], "ReplicaFailure", "True") {
        let message = format!("{reference} cannot make its pods: {problem}");
        return Finding::no(kind, Reason::PodsFailing, message);
    }
    if let Some((reason, message)) = trouble::first(&pods, profile, component, &reference) {
        return Finding::no(kind, reason, message);
    }
    if let Some(problem) = problem(&live["status"], "Progressing", "False") {
        let message =
            format!("{reference}: {problem}; look at `kubectl -n {namespace} describe pods -l {selector}`");
        return Finding::no(kind, Reason::PodsFailing, message);
    }
    let message = format!(
        "{reference} has not all its pods ready; look at `kubectl -n {namespace} get pods -l {selector}`"
    );
    Finding::no(kind, Reason::PodsStarting, message)
}

fn is_of(pod: &Pod, component: Component) -> bool {
    pod.labels().get(COMPONENT_LABEL).is_some_and(|label| label == component.as_str())
}

/// What the Deployment controller says in a condition of this type and status.
fn problem(status: &Value, kind: &str, value: &str) -> Option<String> {
    let conditions = status["conditions"].as_array()?;
    let found =
        conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == value)?;
    Some(stable(found["message"].as_str().unwrap_or("it does not say why")))
}

//! A Deployment's own status → whether its pods serve. Pure.

use serde_json::Value;

use super::conditions::{ConditionType, Finding, Reason};
use super::said;
use crate::apply::Applied;
use crate::kinds::ChildKind;
use crate::plan::meta::{Component, child_name};
use crate::validate::ValidatedProfile;

/// Whether the component's pods are ready, with `note` added when they are.
pub(super) fn pods(
    kind: ConditionType,
    profile: &ValidatedProfile,
    component: Component,
    applied: &Applied,
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
    let status = &live["status"];
    let seen = status["observedGeneration"].as_i64() >= live["metadata"]["generation"].as_i64();
    let available = status["availableReplicas"].as_i64().unwrap_or(0);
    let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
    let updated = status["updatedReplicas"].as_i64().unwrap_or(0);
    if seen && wanted > 0 && available >= wanted && updated >= wanted {
        return Finding::yes(kind, Reason::PodsReady, format!("{reference} has its pods ready{note}"));
    }
    match progress_problem(status) {
        Some(problem) => Finding::no(
            kind,
            Reason::PodsFailing,
            format!(
                "{reference}: {problem}; look at `kubectl -n {} describe pods -l app.kubernetes.io/instance={},app.kubernetes.io/component={}`",
                profile.namespace,
                profile.name,
                component.as_str()
            ),
        ),
        None => Finding::no(
            kind,
            Reason::PodsStarting,
            format!(
                "{reference} has not all its pods ready; look at `kubectl -n {} get pods -l app.kubernetes.io/instance={},app.kubernetes.io/component={}`",
                profile.namespace,
                profile.name,
                component.as_str()
            ),
        ),
    }
}

/// What the Deployment controller says when pods cannot be made or do not become ready in time.
fn progress_problem(status: &Value) -> Option<String> {
    let conditions = status["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| {
            (condition["type"] == "ReplicaFailure" && condition["status"] == "True")
                || (condition["type"] == "Progressing" && condition["status"] == "False")
        })
        .map(|condition| condition["message"].as_str().unwrap_or("pods do not become ready").to_owned())
}

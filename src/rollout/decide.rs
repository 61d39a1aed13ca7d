//! (workload, its pods that lack the present sidecar, disruption budgets) → whether it is restarted, and why not. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use serde_json::Value;

use super::RESTARTED_FOR;
use crate::observe::pods::rolled_out;
use crate::sidecars::{Lacking, RESTARTED_AT, Workload, WorkloadKind};

/// A pod that a restart makes within this time and that lacks the sidecar again shows that restarts do not help. One that is
/// made later was missed for another cause, and a further restart repairs it.
const TRIAL: SignedDuration = SignedDuration::from_mins(10);

/// What is so with a workload whose pods lack the present sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can be restarted.
    Restart,
    /// It rolls, or has not all its pods; it is looked at again.
    Rolling,
    /// It may not be restarted now: why, and what to do.
    Held(String),
    /// It was restarted for this sidecar, and this pod of the restart lacks it all the same.
    Useless {
        /// The first such pod.
        pod: String,
    },
    /// There is nothing to do: it is not there, has no pods to keep, or only such as have the sidecar and are no longer waited
    /// for.
    Gone,
}

/// Whether this workload is to be restarted, disruption budgets apart. `pods` are those that lack the sidecar; without any,
/// it may still have been restarted just now, so that the next one waits for it.
#[must_use]
pub fn verdict(
    workload: &Workload,
    namespace: &str,
    live: &Value,
    pods: &[&Lacking],
    fingerprint: &str,
    now: Timestamp,
) -> Verdict {
    let another = live["metadata"]["uid"] != workload.uid.as_str();
    if another || !live["metadata"]["deletionTimestamp"].is_null() || wants_none(workload.kind, live) {
        return Verdict::Gone;
    }
    let restarted = &live["spec"]["template"]["metadata"]["annotations"];
    let (at, for_sidecar) = (restarted[RESTARTED_AT].as_str(), restarted[RESTARTED_FOR].as_str());
    // A time that nobody can read is as good as one of just now: better no restart than one after another.
    let trial_ends = at.and_then(|at| at.parse::<Timestamp>().ok()).and_then(|at| at.checked_add(TRIAL).ok());
    let on_trial = for_sidecar == Some(fingerprint) && trial_ends.is_none_or(|end| now < end);
    let settled = settled(workload.kind, live);
    if pods.is_empty() {
        return if on_trial && !settled { Verdict::Rolling } else { Verdict::Gone };
    }
    if let Some(why) = held(workload, namespace, live) {
        return Verdict::Held(why);
    }
    if !settled {
        return Verdict::Rolling;
    }
    if for_sidecar != Some(fingerprint) {
        return Verdict::Restart;
    }
    // Pods of older templates are on their way out: what is known of the pods is older than the workload's status.
    if pods.iter().any(|pod| pod.restarted_at.as_deref() != at) {
        return Verdict::Rolling;
    }
    let made_on_trial = |pod: &&Lacking| trial_ends.is_none_or(|end| pod.created.is_none_or(|at| at < end));
    if on_trial || pods.iter().any(made_on_trial) { useless(pods) } else { Verdict::Restart }
}

fn useless(pods: &[&Lacking]) -> Verdict {
    Verdict::Useless { pod: pods.iter().map(|pod| pod.pod.clone()).min().unwrap_or_default() }
}

/// The disruption budget that forbids it to disturb the workload's pods: why, and what to do.
#[must_use]
pub fn budget(workload: &Workload, live: &Value, budgets: &[PodDisruptionBudget]) -> Option<String> {
    let labels = live["spec"]["template"]["metadata"]["labels"].as_object();
    let labels: BTreeMap<String, String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let selects = |budget: &&PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        selector.is_some_and(|selector| Selector::try_from(selector).is_ok_and(|it| it.matches(&labels)))
    };
    let forbids = |budget: &&PodDisruptionBudget| {
        let status = budget.status.as_ref();
        let stale = status.and_then(|status| status.observed_generation) < budget.metadata.generation;
        stale || status.and_then(|status| status.disruptions_allowed) < Some(1)
    };
    let mut names: Vec<_> = budgets.iter().filter(selects).filter(forbids).map(|it| it.name_any()).collect();
    names.sort_unstable();
    let name = names.first()?;
    Some(format!(
        "PodDisruptionBudget/{name} allows no disruption of the pods of {}: the restart waits until it does",
        workload.reference()
    ))
}

fn wants_none(kind: WorkloadKind, live: &Value) -> bool {
    match kind {
        WorkloadKind::Deployment | WorkloadKind::StatefulSet => live["spec"]["replicas"] == 0,
        WorkloadKind::DaemonSet => {
            seen(live) && live["status"]["desiredNumberScheduled"].as_i64().unwrap_or(0) == 0
        }
    }
}

/// Why a restart of this workload would change none of its pods.
fn held(workload: &Workload, namespace: &str, live: &Value) -> Option<String> {
    let reference = workload.reference();
    let (spec, name) = (&live["spec"], &workload.name);
    let field = if workload.kind == WorkloadKind::Deployment { "strategy" } else { "updateStrategy" };
    if spec["paused"] == true {
        return Some(format!(
            "{reference} is paused: go on by `kubectl -n {namespace} rollout resume deployment/{name}`"
        ));
    }
    if spec[field]["type"] == "OnDelete" {
        return Some(format!(
            "{reference} has the {field} OnDelete, by which a restart changes no pod: delete its pods one after another"
        ));
    }
    if spec[field]["rollingUpdate"]["partition"].as_i64().is_some_and(|partition| partition > 0) {
        return Some(format!(
            "{reference} holds pods back by {field}.rollingUpdate.partition: set it to 0, or delete these pods"
        ));
    }
    None
}

/// True when the controller has seen the present spec.
fn seen(live: &Value) -> bool {
    live["status"]["observedGeneration"].as_i64() >= live["metadata"]["generation"].as_i64()
}

/// True when no pod of the workload is being replaced, and all of them are available.
fn settled(kind: WorkloadKind, live: &Value) -> bool {
    let status = &live["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    match kind {
        WorkloadKind::Deployment => rolled_out(live),
        WorkloadKind::StatefulSet => {
            let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
            seen(live)
                && status["currentRevision"] == status["updateRevision"]
                && count("replicas") == wanted
                && count("availableReplicas") >= wanted
        }
        WorkloadKind::DaemonSet => {
            let wanted = count("desiredNumberScheduled");
            seen(live) && count("updatedNumberScheduled") >= wanted && count("numberAvailable") >= wanted
        }
    }
}

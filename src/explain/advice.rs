//! What does not fit, and what to do about it, in words. In: a profile and labels; a verdict. Out: sentences. Pure, no cluster.

use serde_json::Value;

use super::{Subject, Verdict, WayReport};
use crate::inject::{INJECT_LABEL, deployment, meets};
use crate::profile::{LabelSelector, SelectorOperator, TelemetryProfile};
use crate::sidecars::Controller;

/// Why a profile wants no sidecar in pods with these labels.
pub(super) fn why_not_selected(profile: &TelemetryProfile, labels: &Value) -> String {
    match first_unmet(&profile.spec.selector, labels) {
        Some(unmet) => unmet,
        None if !profile.spec.sidecar.enabled => "sidecar.enabled is false".to_owned(),
        None if profile.metadata.deletion_timestamp.is_some() => "the profile is being deleted".to_owned(),
        None => "the profile has switched off every signal that a sidecar could carry".to_owned(),
    }
}

/// The first requirement of a selector that labels do not meet.
fn first_unmet(selector: &LabelSelector, labels: &Value) -> Option<String> {
    let found = |key: &str| labels[key].as_str();
    let is = |key: &str| match found(key) {
        Some(value) => format!("the pod's label {key} is {value:?}"),
        None => format!("the pod has no label {key}"),
    };
    let exact = selector.match_labels.iter().filter(|(key, value)| found(key) != Some(value.0.as_str()));
    let exact = exact.map(|(key, value)| format!("{}, and it selects {:?}", is(key), value.0));
    let sets = selector.match_expressions.iter().filter(|requirement| !meets(labels, requirement));
    let sets = sets.map(|requirement| {
        let values: Vec<_> = requirement.values.iter().map(|value| value.0.as_str()).collect();
        let wanted = match requirement.operator {
            SelectorOperator::In => format!("In {}", values.join(", ")),
            SelectorOperator::NotIn => format!("NotIn {}", values.join(", ")),
            other => other.as_str().to_owned(),
        };
        format!("{}, and it selects {wanted}", is(&requirement.key))
    });
    exact.chain(sets).next()
}

/// What makes the pods anew.
#[derive(Debug)]
pub(super) struct Workload<'a> {
    subject: &'a Subject,
    kind: String,
    name: String,
}

impl<'a> Workload<'a> {
    /// The subject itself, or the pod's controller. A ReplicaSet with a template hash belongs to the Deployment of its name
    /// without that hash.
    pub(super) fn of(subject: &'a Subject) -> Self {
        if subject.kind != "Pod" {
            return Self { subject, kind: subject.kind.clone(), name: subject.name.clone() };
        }
        let metadata = &subject.pod["metadata"];
        let Some(owner) = Controller::of(metadata) else {
            return Self { subject, kind: String::new(), name: String::new() };
        };
        match deployment(metadata, &owner.name).filter(|_| owner.is_replica_set()) {
            Some(name) => Self { subject, kind: "Deployment".to_owned(), name: name.to_owned() },
            None => Self { subject, kind: owner.kind, name: owner.name },
        }
    }

    /// How its pods come to be made anew.
    fn renew(&self) -> String {
        let Self { subject: Subject { namespace, name: pod, .. }, kind, name } = self;
        match kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                format!("kubectl rollout restart -n {namespace} {}/{name}", kind.to_lowercase())
            }
            "ReplicaSet" | "ReplicationController" => {
                format!("kubectl delete pod -n {namespace} {pod}: its {kind} {name} makes another")
            }
            "Job" => format!(
                "pods of a Job are not made anew: delete Job {name} and create it again; a CronJob's next run has the sidecar"
            ),
            "" => "delete the pod and create it again".to_owned(),
            other => format!("let {other} {name} make the pod again"),
        }
    }
}

/// What to do, one step each.
pub(super) fn steps(
    verdict: Verdict,
    workload: &Workload<'_>,
    restarts: bool,
    way: &WayReport,
) -> Vec<String> {
    let mut steps = Vec::new();
    let wanted = matches!(verdict, Verdict::Outdated | Verdict::Missing | Verdict::WouldBeInjected);
    if wanted && !way.fix.is_empty() {
        steps.push(way.fix.clone());
    }
    match verdict {
        Verdict::Outdated | Verdict::Missing if restarts => steps.push(format!(
            "nothing more: the profile has sidecar.rollout: Auto, and its condition SidecarInjected says how far the operator \
             is; by hand: {}",
            workload.renew()
        )),
        Verdict::Outdated | Verdict::Missing | Verdict::Abandoned => steps.push(workload.renew()),
        Verdict::OptedOut => steps.push(format!("if it shall have one, remove the label {INJECT_LABEL}")),
        // What to do about a refusal is in its message; where no profile selects, each one's reason is told.
        Verdict::Refused | Verdict::NotSelected | Verdict::Injected | Verdict::WouldBeInjected => {}
    }
    steps
}

//! What happened → the profile's status. Pure but for the caller's one patch.
//!
//! In: the profile, what validating, planning and applying came to. Out: the whole status; the caller sends it when it
//! differs from the present one. `Ready` is never True while something that can be seen is broken.

pub mod conditions;
mod prometheus;
mod series;
mod sidecar;
mod summary;
mod trouble;
mod workload;

use k8s_openapi::api::core::v1::Pod;

use crate::apply::Applied;
use crate::health::Health;
use crate::kinds::ChildKind;
use crate::plan::meta::Component;
use crate::plan::{Plan, PlanError};
use crate::profile::{Condition, ConditionStatus, TelemetryProfile, TelemetryProfileStatus};
use crate::rollout::Rollout;
use crate::sidecars::Sidecars;
use crate::validate::{JaegerStorage, ProfileError, TraceBackEnd, ValidatedProfile};
use conditions::ConditionType as Type;
use conditions::{Finding, Reason, date};
use prometheus::View;
pub use sidecar::Injection;
use summary::{effective, endpoints};
use workload::pods;

/// The collector's NetworkPolicy knows a Prometheus by its label alone.
const LABEL_NOTE: &str =
    "; to reach the collector, its pods need the label app.kubernetes.io/name=prometheus";

/// What one reconcile came to.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Seen for the first time; nothing has been written yet.
    Seen,
    /// The profile is paused.
    Paused,
    /// The stored object does not fit the operator's type.
    Undecodable(&'a str),
    /// The profile is wrong.
    Invalid(&'a ProfileError),
    /// The profile has no plan.
    Unplanned(&'a PlanError),
    /// The plan was applied as far as possible.
    Applied {
        /// The validated profile.
        profile: &'a ValidatedProfile,
        /// Its plan.
        plan: &'a Plan,
        /// What applying came to.
        applied: &'a Applied,
        /// What the running things say.
        running: &'a Running,
    },
}

/// What the running things of a profile say of themselves.
#[derive(Debug, Default)]
pub struct Running {
    /// The pods of its workloads, when one of these has not all it wants.
    pub pods: Vec<Pod>,
    /// What Prometheus says; none when it has not been asked.
    pub health: Option<Health>,
    /// How the application's pods get their sidecar.
    pub injection: Injection,
    /// Which of them have it; none when they have not been looked at.
    pub sidecars: Option<Sidecars>,
    /// What the operator does for those that lack it; none when that is not its business.
    pub rollout: Option<Rollout>,
}

/// The status after `outcome`. `now` dates conditions that flip, RFC 3339.
#[must_use]
pub fn status(
    present: &TelemetryProfileStatus,
    generation: i64,
    outcome: &Outcome<'_>,
    now: &str,
) -> TelemetryProfileStatus {
    let mut next = present.clone();
    next.observed_generation = Some(generation);
    let findings = match outcome {
        Outcome::Seen => {
            vec![Finding::unknown(
                Type::Ready,
                Reason::Progressing,
                "the operator has begun with this profile",
            )]
        }
        Outcome::Paused => keep_but(
            present,
            &[
                Finding::unknown(
                    Type::Ready,
                    Reason::PausedByProfile,
                    "nothing is checked or repaired while spec.paused is true",
                ),
                Finding::yes(
                    Type::Paused,
                    Reason::PausedByProfile,
                    "the operator writes nothing for this profile: set spec.paused to false to go on",
                ),
            ],
        ),
        Outcome::Undecodable(error) => {
            let message = format!("the stored object does not fit: {error}; apply the profile again");
            keep_but(present, &[Finding::no(Type::Ready, Reason::Undecodable, message)])
        }
        Outcome::Invalid(error) => {
            let message = format!("nothing was changed: {error}");
            keep_but(present, &[not_paused(), Finding::no(Type::Ready, Reason::InvalidProfile, message)])
        }
        Outcome::Unplanned(error) => {
            let reason = Reason::named(error.reason()).unwrap_or(Reason::PlanFailed);
            let message = format!("nothing was changed: {error}");
            keep_but(present, &[not_paused(), Finding::no(Type::Ready, reason, message)])
        }
        Outcome::Applied { profile, plan, applied, running } => {
            next.endpoints = Some(endpoints(profile));
            next.effective = Some(effective(profile));
            next.children = plan
                .children
                .iter()
                .map(crate::plan::Child::reference)
                .filter(|child| !applied.conflicts.contains(child) && !applied.unserved.contains(child))
                .collect();
            if let Some(sidecars) = &running.sidecars {
                next.sidecar = Some(sidecar::counts(sidecars));
            }
            findings(&View { profile, plan, applied, running, present, generation })
        }
    };
    next.conditions = date(findings, &present.conditions, generation, now);
    next
}

/// The present status, or an empty one.
#[must_use]
pub fn present(profile: &TelemetryProfile) -> TelemetryProfileStatus {
    profile.status.clone().unwrap_or_default()
}

/// The value of a condition in a list.
#[must_use]
pub fn value_of(conditions: &[Condition], kind: Type) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.kind == kind.as_str())
}

/// Findings about the parts stay what they were: nothing was looked at. These replace theirs.
fn keep_but(present: &TelemetryProfileStatus, replaced: &[Finding]) -> Vec<Finding> {
    let kept = Type::ALL.into_iter().filter(|kind| replaced.iter().all(|finding| finding.kind != *kind));
    let kept = kept.filter_map(|kind| {
        let old = value_of(&present.conditions, kind)?;
        let reason = Reason::named(&old.reason)?;
        Some(Finding { kind, status: old.status, reason, message: old.message.clone() })
    });
    kept.chain(replaced.iter().cloned()).collect()
}

fn not_paused() -> Finding {
    Finding::no(Type::Paused, Reason::NotPaused, "spec.paused is false")
}

fn findings(view: &View<'_>) -> Vec<Finding> {
    let View { profile, plan, applied, running, .. } = *view;
    let targets = view.targets();
    let mut findings = vec![
        collector(profile, applied, running),
        trace_back_end(profile, applied, running),
        view.series(&targets),
        targets,
        view.rules(),
        dashboards(profile, plan, applied),
        view.sidecar(),
        conflicted(applied, running),
        not_paused(),
    ];
    findings.push(ready(view, &findings));
    findings
}

/// The summary: the first thing that is broken, in the order in which a user would look.
fn ready(view: &View<'_>, findings: &[Finding]) -> Finding {
    let View { applied, running, .. } = *view;
    if !applied.conflicts.is_empty() {
        let message = format!(
            "{} belongs to somebody else and was left alone: rename or delete it, or rename the profile",
            applied.conflicts.join(", ")
        );
        return Finding::no(Type::Ready, Reason::ForeignObject, message);
    }
    if let Some(overlap) = overlap(running) {
        return Finding::no(Type::Ready, Reason::SelectorOverlap, overlap);
    }
    if !applied.failures.is_empty() {
        let list: Vec<_> = applied
            .failures
            .iter()
            .map(|failure| format!("{}: {}", failure.reference, said(&failure.error)))
            .collect();
        return Finding::no(Type::Ready, Reason::ApplyFailed, list.join("; "));
    }
    let broken = findings.iter().find(|finding| {
        // A counter that comes into being with its first event is absent in all health.
        let apart = [Type::Conflicted, Type::Paused, Type::MetricsPresent];
        finding.status == ConditionStatus::False && !apart.contains(&finding.kind)
    });
    match broken {
        Some(broken) => {
            Finding::no(Type::Ready, broken.reason, format!("{}: {}", broken.kind.as_str(), broken.message))
        }
        None => Finding::yes(
            Type::Ready,
            Reason::AllReady,
            "everything that the profile asks for is there; conditions that are Unknown say what nobody can verify",
        ),
    }
}

/// What the API server said, without the parts that change from try to try.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn overlap(running: &Running) -> Option<String> {
    running.sidecars.as_ref().and_then(sidecar::overlap)
}

fn conflicted(applied: &Applied, running: &Running) -> Finding {
    if !applied.conflicts.is_empty() {
        let message = format!("{} exists and was not made by this profile", applied.conflicts.join(", "));
        return Finding::yes(Type::Conflicted, Reason::ForeignObject, message);
    }
    match overlap(running) {
        Some(overlap) => Finding::yes(Type::Conflicted, Reason::SelectorOverlap, overlap),
        None => Finding::no(
            Type::Conflicted,
            Reason::NoConflict,
            "no foreign object is in the way, and no other profile selects the same pods",
        ),
    }
}

fn collector(profile: &ValidatedProfile, applied: &Applied, running: &Running) -> Finding {
    if !profile.has_collector() {
        return Finding::unknown(
            Type::CollectorReady,
            Reason::NotRequested,
            "no signal passes through a collector",
        );
    }
    pods(Type::CollectorReady, profile, Component::Collector, applied, running, "")
}

fn trace_back_end(profile: &ValidatedProfile, applied: &Applied, running: &Running) -> Finding {
    let kind = Type::TraceBackendReady;
    let Some(traces) = &profile.traces else {
        return Finding::unknown(kind, Reason::NotRequested, "spec.traces.enabled is false");
    };
    match &traces.back_end {
        TraceBackEnd::Jaeger(storage) => {
            let note = match storage {
                JaegerStorage::Memory => "; traces are kept in memory and are lost when its pod restarts",
                JaegerStorage::Badger { .. } => "",
            };
            pods(kind, profile, Component::Jaeger, applied, running, note)
        }
        TraceBackEnd::Endpoint(endpoint) => {
            let message = format!("traces go to {}, which the operator does not look into", endpoint.url);
            Finding::unknown(kind, Reason::External, message)
        }
    }
}

fn dashboards(profile: &ValidatedProfile, plan: &Plan, applied: &Applied) -> Finding {
    let kind = Type::DashboardsProvisioned;
    if profile.dashboards.is_none() {
        return Finding::unknown(kind, Reason::NotRequested, "spec.dashboards.enabled is false");
    }
    let optional = [ChildKind::GrafanaDashboard, ChildKind::GrafanaDatasource];
    if let Some(missing) = missing(plan, applied, kind, &optional, Component::Dashboard) {
        return missing;
    }
    let list: Vec<_> = of_component(plan, Component::Dashboard).collect();
    let logs = match (&profile.logs, profile.logs_wanted) {
        (Some(_), _) => "",
        (None, true) => "; there is no Logs dashboard, because spec.logs.endpoint names no log store",
        (None, false) => "; there is no Logs dashboard, because spec.logs.enabled is false",
    };
    Finding::yes(kind, Reason::Provisioned, format!("{} written{logs}", list.join(", ")))
}

/// What is in the way of this component's children: a kind that is not served, a foreign object, a refused write.
fn missing(
    plan: &Plan,
    applied: &Applied,
    kind: Type,
    optional: &[ChildKind],
    component: Component,
) -> Option<Finding> {
    let unserved: Vec<_> = applied
        .unserved
        .iter()
        .filter(|child| optional.iter().any(|kind| child.starts_with(&format!("{}/", kind.name()))))
        .cloned()
        .collect();
    if !unserved.is_empty() {
        let message = format!(
            "{} cannot be written, because the cluster does not serve the kind: install its CRDs, or set metrics.prometheus to ConfigMap or Managed",
            unserved.join(", ")
        );
        return Some(Finding::no(kind, Reason::KindNotServed, message));
    }
    let mine: Vec<_> = of_component(plan, component).collect();
    if let Some(foreign) = applied.conflicts.iter().find(|child| mine.contains(child)) {
        return Some(Finding::no(kind, Reason::ForeignObject, format!("{foreign} belongs to somebody else")));
    }
    let failure = applied.failures.iter().find(|failure| mine.contains(&failure.reference))?;
    Some(Finding::no(kind, Reason::ApplyFailed, format!("{}: {}", failure.reference, said(&failure.error))))
}

fn of_component(plan: &Plan, component: Component) -> impl Iterator<Item = String> + '_ {
    plan.children
        .iter()
        .filter(move |child| {
            child.body["metadata"]["labels"]["app.kubernetes.io/component"] == component.as_str()
        })
        .map(crate::plan::Child::reference)
}

#[cfg(test)]
mod tests;

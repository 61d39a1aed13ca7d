//! What the running things of a profile say of themselves, and the restart of those without their sidecar. In: what was applied,
//! what is known of Prometheus and of the pods. Out: a [`Running`], a [`Rollout`]. Talks to the cluster (lists of the workloads'
//! pods, restarts).

use std::time::Instant;

use jiff::Timestamp;
use kube::ResourceExt;
use tracing::{Instrument, info_span};

use super::{Context, ProfileRef, ReconcileError, report};
use crate::apply::Applied;
use crate::health::Subject;
use crate::inject::Injector;
use crate::kinds::ChildKind;
use crate::observe;
use crate::plan::meta::{Component, child_name};
use crate::profile::{self, TelemetryProfile};
use crate::rollout::{self, Rollout};
use crate::settings::InjectionMode;
use crate::sidecars::About;
use crate::status::{Injection, Running};
use crate::validate::ValidatedProfile;

/// What the running things say of themselves. A managed Prometheus is asked when its pod can answer.
pub(super) async fn look(
    context: &Context,
    stored: &TelemetryProfile,
    profile: &ValidatedProfile,
    applied: &Applied,
) -> Result<Running, ReconcileError> {
    let pods = observe::pods::pods(&context.client, profile, applied).await.map_err(ReconcileError::Pods)?;
    let managed = applied.live(ChildKind::Deployment, &child_name(profile, Component::Prometheus));
    let can_answer = !profile.has_managed_prometheus() || managed.is_some_and(observe::pods::rolled_out);
    let reference = ProfileRef::new(&profile.name).within(&profile.namespace);
    let health = context.answers.note(&reference, Subject::of(profile).filter(|_| can_answer));
    let about = About::of(stored, &Injector::new(stored, &context.settings));
    let sidecars = context.sidecars.answer(&profile.namespace, &profile.name, &about);
    Ok(Running { pods, health, injection: injection(context), sidecars, rollout: None })
}

/// How pods get their sidecar now.
pub(super) fn injection(context: &Context) -> Injection {
    Injection {
        way: context.capabilities.observed().injection,
        off: context.settings.injection == InjectionMode::None,
        webhook: context.webhook.borrow().clone(),
    }
}

/// Restarts a workload whose pods lack the present sidecar, where the profile asks for that and nothing speaks against it: the
/// pods would get no sidecar or that of another profile, or the sidecar's configuration is not as it should be.
pub(super) async fn roll_out(
    context: &Context,
    profile: &TelemetryProfile,
    applied: &Applied,
    running: &Running,
) -> Option<Rollout> {
    let sidecar = &profile.spec.sidecar;
    let sidecars = running.sidecars.as_ref()?;
    let clean = applied.conflicts.is_empty() && applied.failures.is_empty() && sidecars.overlaps.is_empty();
    let has_use = running.injection.works() || !sidecar.enabled;
    if sidecar.rollout != profile::Rollout::Auto || !clean || !has_use || sidecars.workloads.is_empty() {
        return None;
    }
    let namespace = profile.namespace().unwrap_or_default();
    let settling =
        context.sidecars.settling(&namespace, &profile.name_any(), sidecar.enabled, Instant::now());
    if let Some(wait) = settling {
        return Some(rollout::settling(sidecars, wait));
    }
    let rollout = rollout::step(&context.client, &namespace, sidecars, Timestamp::now())
        .instrument(info_span!("rollout"))
        .await;
    if let Some((workload, tried)) = &rollout.tried {
        context.metrics.restarted(*tried);
        report::restart(context, profile, workload, *tried).await;
    }
    Some(rollout)
}

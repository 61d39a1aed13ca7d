//! What a reconcile came to → one patch of the status, when it differs, and events on transitions.
//! In: client, profile, outcome. Talks to the cluster.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tracing::{Instrument, info_span};

use super::{Context, ReconcileError, StoredProfile};
use crate::apply::MANAGER;
use crate::observe::is_not_found;
use crate::profile::{
    API_VERSION, Condition, ConditionStatus, KIND, TelemetryProfile, TelemetryProfileStatus,
};
use crate::rollout::Tried;
use crate::sidecars::Workload;
use crate::status::conditions::ConditionType;
use crate::status::{self, Outcome, value_of};

/// Longest text that the API server takes in an event, in bytes.
const NOTE_BYTES: usize = 1024;

/// Writes the status of a decoded profile.
pub(super) async fn profile(
    context: &Context,
    profile: &TelemetryProfile,
    outcome: &Outcome<'_>,
) -> Result<(), ReconcileError> {
    let present = status::present(profile);
    let generation = profile.metadata.generation.unwrap_or_default();
    write(context, profile, &present, generation, outcome).await
}

/// Writes the status of a profile that could not be decoded. Its present status is read as far as possible: writing
/// the same again would wake us for ever.
pub(super) async fn undecodable(
    context: &Context,
    stored: &StoredProfile,
    error: &str,
) -> Result<(), ReconcileError> {
    let live = profiles(context, stored).get_opt(&stored.name_any()).await.map_err(ReconcileError::Status)?;
    let Some(live) = live else { return Ok(()) };
    let present = serde_json::from_value(live.data["status"].clone()).unwrap_or_default();
    let generation = stored.meta().generation.unwrap_or_default();
    write(context, stored, &present, generation, &Outcome::Undecodable(error)).await
}

async fn write<K: Resource<DynamicType = ()>>(
    context: &Context,
    object: &K,
    present: &TelemetryProfileStatus,
    generation: i64,
    outcome: &Outcome<'_>,
) -> Result<(), ReconcileError> {
    let next = status::status(present, generation, outcome, &now());
    let changed = next != *present;
    let span = info_span!("status", changed);
    async {
        if changed {
            patch(context, object, &next).await.map_err(ReconcileError::Status)?;
            events(context, object, &present.conditions, &next.conditions).await;
        }
        Ok(())
    }
    .instrument(span)
    .await
}

/// The profiles in the object's namespace, without their type: what is undecodable has a status, too.
fn profiles<K: Resource<DynamicType = ()>>(context: &Context, object: &K) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<TelemetryProfile>(&());
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    Api::namespaced_with(context.client.clone(), &namespace, &resource)
}

/// RFC 3339 with whole seconds, as Kubernetes writes times.
fn now() -> String {
    DateTimePrinter::new().precision(Some(0)).timestamp_to_string(&Timestamp::now())
}

async fn patch<K: Resource<DynamicType = ()>>(
    context: &Context,
    object: &K,
    next: &TelemetryProfileStatus,
) -> Result<(), kube::Error> {
    let api = profiles(context, object);
    let name = object.meta().name.clone().unwrap_or_default();
    let body = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        // The UID makes this fail, not create anything, when the profile was deleted and made anew meanwhile.
        "metadata": {"name": name, "uid": object.meta().uid},
        "status": next,
    });
    match api.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body)).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// One event for each transition that a user must hear of.
async fn events<K: Resource<DynamicType = ()>>(
    context: &Context,
    object: &K,
    before: &[Condition],
    after: &[Condition],
) {
    for kind in [ConditionType::Ready, ConditionType::Conflicted, ConditionType::Paused] {
        let Some(condition) = value_of(after, kind) else {
            continue;
        };
        let old = value_of(before, kind);
        if !is_transition(kind, old, condition) {
            continue;
        }
        let bad = condition.status == ConditionStatus::False && kind == ConditionType::Ready
            || condition.status == ConditionStatus::True && kind == ConditionType::Conflicted;
        let event = Event {
            type_: if bad { EventType::Warning } else { EventType::Normal },
            reason: condition.reason.clone(),
            action: "Reconcile".to_owned(),
            note: Some(note(&condition.message)),
            secondary: None,
        };
        publish(context, object, &event).await;
    }
}

/// Ready speaks at each new value or reason but for the first sight; the others when they begin or end.
fn is_transition(kind: ConditionType, old: Option<&Condition>, new: &Condition) -> bool {
    let flipped = old.is_none_or(|old| old.status != new.status);
    match kind {
        ConditionType::Ready => {
            let reason_changed = old.is_none_or(|old| old.reason != new.reason);
            (flipped || reason_changed) && new.status != ConditionStatus::Unknown
        }
        _ => flipped && (old.is_some() || new.status == ConditionStatus::True),
    }
}

/// One event for each restart that was tried, at the profile, with the workload beside it.
pub(super) async fn restart(
    context: &Context,
    profile: &TelemetryProfile,
    workload: &Workload,
    tried: Tried,
) {
    let reference = workload.reference();
    let (type_, text) = match tried {
        Tried::Restarted => (
            EventType::Normal,
            format!("{reference} was restarted, so that its pods get the present sidecar"),
        ),
        Tried::Failed => {
            (EventType::Warning, format!("{reference} cannot be restarted: SidecarInjected says why"))
        }
        // It is tried again with what it has become.
        Tried::Conflict => return,
    };
    let event = Event {
        type_,
        reason: "SidecarRollout".to_owned(),
        action: "Restart".to_owned(),
        note: Some(note(&text)),
        secondary: Some(ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some(workload.kind.as_str().to_owned()),
            name: Some(workload.name.clone()),
            namespace: profile.namespace(),
            uid: Some(workload.uid.clone()),
            ..ObjectReference::default()
        }),
    };
    publish(context, profile, &event).await;
}

/// An event that cannot be written is not worth a retry.
async fn publish<K: Resource<DynamicType = ()>>(context: &Context, object: &K, event: &Event) {
    if let Err(error) = context.recorder.publish(event, &object.object_ref(&())).await {
        tracing::warn!(%error, reason = event.reason, "an event could not be written");
    }
}

fn note(message: &str) -> String {
    let trace = telemetry::trace_id().map(|id| format!(" (trace {id})")).unwrap_or_default();
    let room = NOTE_BYTES - trace.len();
    let end = (0..=room.min(message.len())).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{trace}", &message[..end])
}

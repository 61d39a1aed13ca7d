//! (plan) → the cluster: server-side apply of what differs, in the order of kinds, then deletion of what the plan no
//! longer has.
//!
//! In: client, plan. Out: [`Applied`]. Talks to the cluster. An object of somebody else under a name that we need is never
//! touched; one object that cannot be written does not keep the others from being written.

mod ownership;

use futures::future::join_all;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tracing::{Instrument, Span, field, info_span};

use crate::drift::first_difference;
use crate::kinds::{ChildKind, MANAGED_BY, MANAGED_BY_LABEL};
use crate::observe::is_not_found;
use crate::observed::Observed;
use crate::plan::meta::INSTANCE_LABEL;
use crate::plan::{APPLIED_HASH, Child, Plan};

/// Our field manager.
pub const MANAGER: &str = "telemetry-operator";
/// Field manager that holds `spec.replicas` while it passes from us to an autoscaler.
const HANDOVER: &str = "telemetry-operator-handover";

/// What was done with a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Every planned field was as planned: nothing was sent.
    Unchanged,
    /// It did not exist.
    Created,
    /// The plan has changed.
    Updated,
    /// Somebody had changed or deleted what the plan still has.
    Repaired,
}

impl Verb {
    /// The word for spans and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Repaired => "repaired",
        }
    }
}

/// A child that is as planned now.
#[derive(Clone, Debug)]
pub struct AppliedChild {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// What was done.
    pub verb: Verb,
    /// The live object, with its status where it has one.
    pub live: Value,
}

/// A child that could not be written.
#[derive(Debug)]
pub struct Failure {
    /// Kind/name.
    pub reference: String,
    /// What the API server said.
    pub error: kube::Error,
}

/// What applying a plan came to.
#[derive(Debug, Default)]
pub struct Applied {
    /// Children that are as planned.
    pub children: Vec<AppliedChild>,
    /// Kind/name of objects that stand where a child should and belong to somebody else.
    pub conflicts: Vec<String>,
    /// Kind/name of children whose kind is not served.
    pub unserved: Vec<String>,
    /// Kind and name of objects that were deleted because the plan has them no more.
    pub pruned: Vec<(ChildKind, String)>,
    /// Children that could not be written or deleted.
    pub failures: Vec<Failure>,
}

impl Applied {
    /// The live object of a child.
    #[must_use]
    pub fn live(&self, kind: ChildKind, name: &str) -> Option<&Value> {
        self.children.iter().find(|child| child.kind == kind && child.name == name).map(|child| &child.live)
    }
}

/// Whom the plan is for.
#[derive(Clone, Debug)]
pub struct Target {
    /// Namespace of the profile and its children.
    pub namespace: String,
    /// Name of the profile.
    pub profile: String,
    /// Kind/name of the children that status told of for this same generation: one that is gone was deleted by somebody.
    pub expected: Vec<String>,
}

/// Why live objects could not be read. Nothing has been written then.
#[derive(Debug, thiserror::Error)]
#[error("cannot list {kind} in namespace {namespace}: {source}")]
pub struct ListError {
    kind: &'static str,
    namespace: String,
    source: kube::Error,
}

/// Brings the cluster to the plan.
///
/// # Errors
/// When the live objects cannot be listed; everything else is told in [`Applied`].
pub async fn apply(
    client: &Client,
    plan: &Plan,
    target: &Target,
    observed: &Observed,
) -> Result<Applied, ListError> {
    let live = list(client, target, observed).await?;
    let mut applied = Applied::default();
    let Plan { children } = plan;
    for child in children {
        if observed.serves(child.kind) {
            apply_child(client, child, target, &live, &mut applied).await;
        } else {
            applied.unserved.push(child.reference());
        }
    }
    prune(client, plan, target, live, &mut applied).await;
    Ok(applied)
}

/// Every live object with the profile's labels, one request for each served kind.
async fn list(
    client: &Client,
    target: &Target,
    observed: &Observed,
) -> Result<Vec<(ChildKind, DynamicObject)>, ListError> {
    let params = ListParams::default()
        .labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY},{INSTANCE_LABEL}={}", target.profile));
    let served = ChildKind::ALL.into_iter().filter(|kind| observed.serves(*kind));
    let lists = join_all(served.map(|kind| {
        let params = &params;
        async move { (kind, api(client, kind, target).list(params).await) }
    }))
    .await;
    let mut live = Vec::new();
    for (kind, list) in lists {
        match list {
            Ok(list) => live.extend(list.items.into_iter().map(|object| (kind, object))),
            // An optional kind that has just gone has no objects.
            Err(error) if kind.is_optional() && is_not_found(&error) => {}
            Err(source) => {
                return Err(ListError { kind: kind.name(), namespace: target.namespace.clone(), source });
            }
        }
    }
    Ok(live)
}

async fn apply_child(
    client: &Client,
    child: &Child,
    target: &Target,
    live: &[(ChildKind, DynamicObject)],
    applied: &mut Applied,
) {
    let span = info_span!(
        "apply_object",
        kind = child.kind.name(),
        name = child.name,
        verb = field::Empty,
        changed = field::Empty,
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
    );
    let known = live.iter().find(|(kind, object)| *kind == child.kind && object.name_any() == child.name);
    let result = write(client, child, target, known.map(|(_, object)| object)).instrument(span.clone()).await;
    match result {
        Ok(Some(done)) => {
            span.record("verb", done.verb.as_str()).record("changed", done.verb != Verb::Unchanged);
            applied.children.push(done);
        }
        Ok(None) => {
            record_error(&span, "conflicted", "the object belongs to somebody else");
            applied.conflicts.push(child.reference());
        }
        Err(error) => {
            record_error(&span, "failed", &error.to_string());
            applied.failures.push(Failure { reference: child.reference(), error });
        }
    }
}

fn record_error(span: &Span, verb: &str, message: &str) {
    span.record("verb", verb)
        .record("changed", false)
        .record("otel.status_code", "ERROR")
        .record("otel.status_description", message);
}

/// Writes one child if it differs. `None`: the name is taken by somebody else's object.
async fn write(
    client: &Client,
    child: &Child,
    target: &Target,
    known: Option<&DynamicObject>,
) -> Result<Option<AppliedChild>, kube::Error> {
    let api = api(client, child.kind, target);
    // An object that lost its labels is not in the list, and a foreign one never was: look by name before writing.
    let live = match known {
        Some(object) => Some(object.clone()),
        None => api.get_opt(&child.name).await?,
    };
    let applied =
        |verb, live| Ok(Some(AppliedChild { kind: child.kind, name: child.name.clone(), verb, live }));
    let Some(live) = live else {
        let expected = target.expected.contains(&child.reference());
        let verb = if expected { Verb::Repaired } else { Verb::Created };
        let created = send(&api, child).await?;
        tracing::info!(kind = child.kind.name(), name = child.name, verb = verb.as_str(), "applied");
        return applied(verb, created);
    };
    if !ownership::is_ours(&live, &target.profile) {
        return Ok(None);
    }
    let live_value = serde_json::to_value(&live).map_err(kube::Error::SerdeError)?;
    let Some(field) = first_difference(&child.body, &live_value) else {
        return applied(Verb::Unchanged, live_value);
    };
    let same_plan = live.annotations().get(APPLIED_HASH).map(String::as_str)
        == child.body["metadata"]["annotations"][APPLIED_HASH].as_str();
    let verb = if same_plan { Verb::Repaired } else { Verb::Updated };
    hand_over_replicas(&api, child, &live).await?;
    // A binding's role can never be changed: one to another role takes its place.
    if first_difference(&json!({"roleRef": child.body["roleRef"]}), &live_value).is_some() {
        delete(&api, &live).await?;
    }
    let written = send(&api, child).await?;
    tracing::info!(kind = child.kind.name(), name = child.name, verb = verb.as_str(), field, "applied");
    applied(verb, written)
}

async fn send(api: &Api<DynamicObject>, child: &Child) -> Result<Value, kube::Error> {
    let params = PatchParams::apply(MANAGER).force();
    let object = api.patch(&child.name, &params, &Patch::Apply(&child.body)).await?;
    serde_json::to_value(object).map_err(kube::Error::SerdeError)
}

/// When the number of replicas passes to an autoscaler, dropping our field would set it to 1 at once. Another manager
/// holds the present number until the autoscaler writes its own.
/// <https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership>
async fn hand_over_replicas(
    api: &Api<DynamicObject>,
    child: &Child,
    live: &DynamicObject,
) -> Result<(), kube::Error> {
    let planned = child.kind == ChildKind::Deployment && child.body["spec"]["replicas"].is_null();
    if !planned || !ownership::owns_replicas(live) {
        return Ok(());
    }
    let body = json!({
        "apiVersion": child.kind.api_version(),
        "kind": child.kind.name(),
        "metadata": {"name": child.name},
        "spec": {"replicas": live.data["spec"]["replicas"]},
    });
    api.patch(&child.name, &PatchParams::apply(HANDOVER).force(), &Patch::Apply(&body)).await?;
    Ok(())
}

/// Deletes this very object: the UID keeps one that was made anew meanwhile safe. False when it was gone already.
async fn delete(api: &Api<DynamicObject>, object: &DynamicObject) -> Result<bool, kube::Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&object.name_any(), &params).await {
        Ok(_) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes our objects that the plan no longer has.
async fn prune(
    client: &Client,
    plan: &Plan,
    target: &Target,
    live: Vec<(ChildKind, DynamicObject)>,
    applied: &mut Applied,
) {
    for (kind, object) in live {
        let name = object.name_any();
        let planned = plan.children.iter().any(|child| child.kind == kind && child.name == name);
        let going = object.metadata.deletion_timestamp.is_some();
        if planned || going || !ownership::is_ours(&object, &target.profile) {
            continue;
        }
        let span = info_span!("delete_object", kind = kind.name(), name, changed = true);
        match delete(&api(client, kind, target), &object).instrument(span).await {
            Ok(true) => {
                tracing::info!(kind = kind.name(), name, "pruned");
                applied.pruned.push((kind, name));
            }
            Ok(false) => {}
            Err(error) => {
                applied.failures.push(Failure { reference: format!("{}/{name}", kind.name()), error });
            }
        }
    }
}

fn api(client: &Client, kind: ChildKind, target: &Target) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &target.namespace, &kind.api_resource())
}

//! Restarts the workloads whose pods lack the present sidecar, the way `kubectl rollout restart` does. In: client, what is
//! known of the pods. Out: a [`Rollout`], what is so with each workload. Talks to the cluster: one read of each workload
//! concerned, at most one patch.
//!
//! One workload of a profile after another: a sidecar that does not work then harms one of them, and the others, which serve,
//! are left alone. The restart is sent for the state that was read, by its resourceVersion: a state leads to one restart, no
//! matter how old what is known of the pods is.

pub mod decide;

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tracing::{Instrument, field, info_span};

use crate::sidecars::{Lacking, RESTARTED_AT, Sidecars, Workload};
use crate::stable::stable;
pub use decide::Verdict;
use decide::{budget, verdict};

/// Annotation of a template: the sidecar for which the operator has restarted it.
pub const RESTARTED_FOR: &str = "telemetry-operator.dev/restarted-for";
/// Field manager of restarts. One of its own, so that they are no part of anything that is applied.
const MANAGER: &str = "telemetry-operator-rollout";
/// Workloads and disruption budgets send no events to us: look again after this time.
const RECHECK: Duration = Duration::from_secs(15);
/// Workloads that are read at once.
const CONCURRENCY: usize = 8;

/// What is so with the workloads whose pods lack the present sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Each of them, by kind and name.
    pub workloads: Vec<(Workload, Verdict)>,
    /// What came of the restart, if one was tried.
    pub tried: Option<(Workload, Tried)>,
    /// How long nothing is restarted yet, after a change.
    pub settling: Option<Duration>,
}

/// What came of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The workload rolls.
    Restarted,
    /// It was changed meanwhile; it is looked at again.
    Conflict,
    /// The API server refused.
    Failed,
}

impl Tried {
    /// The word for spans and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restarted => "restarted",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        }
    }
}

impl Rollout {
    /// When to look again, where something is to come of it without any further event about the pods.
    #[must_use]
    pub fn recheck(&self) -> Option<Duration> {
        let mut verdicts = self.workloads.iter().map(|(_, verdict)| verdict);
        let waits =
            verdicts.any(|verdict| matches!(verdict, Verdict::Restart | Verdict::Rolling | Verdict::Held(_)));
        waits.then_some(self.settling.unwrap_or(RECHECK))
    }
}

/// What is to be restarted after this time, when every API server gives new pods the present sidecar.
#[must_use]
pub fn settling(sidecars: &Sidecars, wait: Duration) -> Rollout {
    let lacking = sidecars.workloads.iter().filter(|workload| !sidecars.of(workload).is_empty());
    let workloads = lacking.map(|workload| (workload.clone(), Verdict::Restart)).collect();
    Rollout { workloads, tried: None, settling: Some(wait) }
}

/// Looks at the workloads and restarts one of them where it may be.
pub async fn step(client: &Client, namespace: &str, sidecars: &Sidecars, now: Timestamp) -> Rollout {
    let fingerprint = &sidecars.about.fingerprint;
    let workloads = sidecars.workloads.iter();
    let looks =
        workloads.map(|workload| look(client, namespace, workload, sidecars.of(workload), fingerprint, now));
    // One type for all: a stream of futures that borrow from a map is beyond the compiler otherwise.
    let looks: Vec<BoxFuture<'_, _>> = looks.map(FutureExt::boxed).collect();
    let mut looked: Vec<_> = stream::iter(looks).buffered(CONCURRENCY).collect().await;
    looked.retain(|(_, verdict, _)| *verdict != Verdict::Gone);
    let stop =
        looked.iter().any(|(_, verdict, _)| matches!(verdict, Verdict::Rolling | Verdict::Useless { .. }));
    let mut tried = None;
    if !stop && looked.iter().any(|(_, verdict, _)| *verdict == Verdict::Restart) {
        let budgets = budgets(client, namespace).await;
        for (workload, verdict, live) in &mut looked {
            let Some(live) = live.as_ref().filter(|_| *verdict == Verdict::Restart) else { continue };
            match budgets.as_ref().map(|budgets| budget(workload, live, budgets)) {
                Err(why) => *verdict = Verdict::Held(why.clone()),
                Ok(Some(why)) => *verdict = Verdict::Held(why),
                Ok(None) => {
                    let (result, next) = restart(client, namespace, workload, live, fingerprint, now).await;
                    *verdict = next;
                    tried = Some((workload.clone(), result));
                    break;
                }
            }
        }
    }
    let workloads = looked.into_iter().map(|(workload, verdict, _)| (workload, verdict)).collect();
    Rollout { workloads, tried, settling: None }
}

/// Reads one workload. Without a live state nothing can be sent.
async fn look(
    client: &Client,
    namespace: &str,
    workload: &Workload,
    pods: Vec<&Lacking>,
    fingerprint: &str,
    now: Timestamp,
) -> (Workload, Verdict, Option<Value>) {
    let (verdict, live) = match api(client, namespace, workload).get_opt(&workload.name).await {
        Ok(None) => (Verdict::Gone, None),
        Ok(Some(live)) => {
            let live =
                json!({"metadata": live.metadata, "spec": live.data["spec"], "status": live.data["status"]});
            (verdict(workload, namespace, &live, &pods, fingerprint, now), Some(live))
        }
        Err(error) => {
            (Verdict::Held(format!("{} cannot be read: {}", workload.reference(), said(&error))), None)
        }
    };
    (workload.clone(), verdict, live)
}

async fn budgets(client: &Client, namespace: &str) -> Result<Vec<PodDisruptionBudget>, String> {
    let api: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), namespace);
    match api.list(&Default::default()).await {
        Ok(list) => Ok(list.items),
        Err(error) => {
            Err(format!("the disruption budgets of namespace {namespace} cannot be listed: {}", said(&error)))
        }
    }
}

/// Sends the restart, for exactly the state that was read.
async fn restart(
    client: &Client,
    namespace: &str,
    workload: &Workload,
    live: &Value,
    fingerprint: &str,
    now: Timestamp,
) -> (Tried, Verdict) {
    let span = info_span!(
        "restart_workload",
        kind = workload.kind.as_str(),
        name = workload.name,
        result = field::Empty,
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
    );
    let now = DateTimePrinter::new().precision(Some(0)).timestamp_to_string(&now);
    let body = json!({
        "metadata": {"uid": workload.uid, "resourceVersion": live["metadata"]["resourceVersion"]},
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now, RESTARTED_FOR: fingerprint}}}},
    });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let api = api(client, namespace, workload);
    let result = api.patch(&workload.name, &params, &Patch::Merge(&body)).instrument(span.clone()).await;
    let (tried, verdict) = match result {
        Ok(_) => (Tried::Restarted, Verdict::Rolling),
        Err(kube::Error::Api(status)) if status.code == 409 => (Tried::Conflict, Verdict::Restart),
        Err(error) => {
            let why = format!("{} cannot be restarted: {}", workload.reference(), said(&error));
            span.record("otel.status_code", "ERROR").record("otel.status_description", &why);
            (Tried::Failed, Verdict::Held(why))
        }
    };
    span.record("result", tried.as_str());
    tracing::info!(
        kind = workload.kind.as_str(),
        name = workload.name,
        namespace,
        result = tried.as_str(),
        "restart for the present sidecar"
    );
    (tried, verdict)
}

fn api(client: &Client, namespace: &str, workload: &Workload) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("apps", "v1", workload.kind.as_str());
    let resource = ApiResource::from_gvk_with_plural(&kind, workload.kind.plural());
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// What the API server said, the same at each try.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => stable(&status.message),
        other => stable(&other.to_string()),
    }
}

#[cfg(test)]
mod tests;

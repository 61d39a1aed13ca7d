//! Status tells the truth about running things: what a real Prometheus says of real targets and of the generated rules, what
//! Prometheus objects select, and what pods report.
//!
//! The control plane has no node, so nothing runs in its pods. Where a test needs a pod that runs or fails, it writes into the
//! pod's status what a kubelet would write. Prometheus runs beside it and finds its targets in a file.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::common::*;

mod pods;
mod selection;
mod series;
mod targets;

/// Waits until a condition of the profile `trakt` has this status and reason, and a message with all of these words.
async fn wait_for(client: &Client, namespace: &str, expected: (&str, &str, &str), words: &[&str]) -> String {
    let (kind, status, reason) = expected;
    eventually(&format!("{kind} to be {status}/{reason} with {words:?}"), || async {
        let profile = profiles(client, namespace).get("trakt").await.map_err(|error| error.to_string())?;
        let found = condition(&profile, kind);
        let fits = found.0 == status && found.1 == reason && words.iter().all(|word| found.2.contains(word));
        if fits { Ok(found.2) } else { Err(format!("{found:?}")) }
    })
    .await
}

/// The pods of a component of the profile `trakt`, as soon as the controllers have made them.
async fn pods_of(client: &Client, namespace: &str, component: &str) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let labels = format!("app.kubernetes.io/instance=trakt,app.kubernetes.io/component={component}");
    eventually(&format!("pods of {component}"), || async {
        let list =
            api.list(&ListParams::default().labels(&labels)).await.map_err(|error| error.to_string())?;
        if list.items.is_empty() { Err("none".to_owned()) } else { Ok(list.items) }
    })
    .await
}

/// Writes a pod's status in the kubelet's stead. Fields that are left out stay as they are.
async fn report(client: &Client, pod: &Pod, status: Value) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().expect("a namespace"));
    api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(json!({"status": status})))
        .await
        .expect("the status is taken");
}

/// The status of a pod whose one container is in this state.
fn container(name: &str, ready: bool, state: Value, last_state: Value) -> Value {
    // Long ago, so that the pod is available at once: a test does not wait for `minReadySeconds`.
    let word = if ready { "True" } else { "False" };
    json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": word, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "containerStatuses": [{"name": name, "ready": ready, "restartCount": 1, "image": "x", "imageID": "x",
            "state": state, "lastState": last_state}],
    })
}

fn running() -> Value {
    json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}})
}

/// Every pod of these components runs and is ready.
async fn all_ready(client: &Client, namespace: &str, components: &[&str]) {
    for component in components {
        for pod in pods_of(client, namespace, component).await {
            report(client, &pod, container(component, true, running(), json!({}))).await;
        }
    }
}

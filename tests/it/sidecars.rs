//! Status knows every pod of the application, and what a profile asks to be restarted is restarted once.
//!
//! The workload controllers are real. There is no node: a pod runs or is ready when the test writes that into its status.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use telemetry_operator::profile::{SidecarStatus, TelemetryProfile};

use crate::common::*;

mod conflict;
mod counts;
mod policy;
mod restarts;

/// Label of the applications' pods in these tests, and the operator's for carriers.
pub const APP: &str = "app=x";

/// A profile of the pods with `app: x`. Its only child that matters here is the sidecar's configuration.
pub fn spec(rollout: &str, variable: &str) -> Value {
    json!({
        "selector": {"matchLabels": {"app": "x"}},
        "service": {"name": "x"},
        "sidecar": {"rollout": rollout, "environment": [{"name": "ROUND", "value": variable}]},
    })
}

/// A pod template that Pod Security "restricted" admits.
fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "app", "image": "registry.example/app:1", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        },
    })
}

/// A pod of its own.
pub fn bare_pod(name: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let mut pod = template();
    pod["metadata"]["name"] = json!(name);
    edit(&mut pod);
    pod
}

/// A workload called `name` with this number of pods.
pub fn workload(kind: &str, name: &str, replicas: u32) -> Value {
    let mut template = template();
    template["metadata"]["labels"]["workload"] = json!(name);
    let mut body = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"workload": name}}, "template": template}});
    if kind != "DaemonSet" {
        body["spec"]["replicas"] = json!(replicas);
    }
    body
}

fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = match kind {
        "Pod" => ("", "v1"),
        "PodDisruptionBudget" => ("policy", "v1"),
        _ => ("apps", "v1"),
    };
    Api::namespaced_with(
        client.clone(),
        namespace,
        &ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)),
    )
}

pub async fn create(client: &Client, namespace: &str, kind: &str, body: Value) -> DynamicObject {
    let object = serde_json::from_value(body).expect("an object");
    api(client, namespace, kind)
        .create(&PostParams::default(), &object)
        .await
        .unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// The application's pods that are not going, by name.
async fn pods(client: &Client, namespace: &str, labels: &str) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = api.list(&ListParams::default().labels(labels)).await.expect("pods").items;
    list.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

/// Waits until this number of such pods is there.
pub async fn wait_for_pods(client: &Client, namespace: &str, labels: &str, number: usize) -> Vec<Pod> {
    eventually(&format!("{number} pods with {labels}"), || async {
        let pods = pods(client, namespace, labels).await;
        if pods.len() == number { Ok(pods) } else { Err(format!("{} pods", pods.len())) }
    })
    .await
}

pub fn is_injected(pod: &Pod) -> bool {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    init.into_iter().any(|container| container.name == "telemetry-sidecar")
}

/// Makes every such pod ready that is not, as a kubelet would.
pub async fn make_ready(client: &Client, namespace: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for pod in pods(client, namespace, APP).await {
        let status = pod.status.clone().unwrap_or_default();
        if status.phase.as_deref() == Some("Pending") {
            let status = json!({"status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            // It may have gone meanwhile.
            let _ = api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await;
        }
    }
}

/// The profile `trakt`, or another one, as it is.
async fn profile(client: &Client, namespace: &str, name: &str) -> TelemetryProfile {
    profiles(client, namespace).get(name).await.expect("the profile")
}

fn counts(profile: &TelemetryProfile) -> SidecarStatus {
    profile.status.clone().and_then(|status| status.sidecar).unwrap_or_default()
}

/// injected, outdated, missing, opted out.
fn numbers(counts: &SidecarStatus) -> (i32, i32, i32, i32) {
    (counts.injected, counts.outdated, counts.missing, counts.opted_out)
}

/// Waits until the profile has these numbers, with `SidecarInjected` of this reason and these words in its message; the pods
/// are made ready meanwhile when `ready`.
pub async fn wait_for(
    client: &Client,
    namespace: &str,
    expected: (i32, i32, i32, i32),
    reason: &str,
    words: &[&str],
    ready: bool,
) -> SidecarStatus {
    eventually(&format!("{expected:?} pods and {reason} with {words:?}"), || async {
        if ready {
            make_ready(client, namespace).await;
        }
        let profile = profile(client, namespace, "trakt").await;
        let found = counts(&profile);
        let conditions = profile.status.clone().map(|status| status.conditions).unwrap_or_default();
        let condition = conditions.iter().find(|condition| condition.kind == "SidecarInjected");
        let fits = condition.is_some_and(|condition| {
            condition.reason == reason && words.iter().all(|word| condition.message.contains(word))
        });
        if fits && numbers(&found) == expected { Ok(found) } else { Err(format!("{condition:?} {found:?}")) }
    })
    .await
}

/// Finished requests of the operator's account in this namespace, by the API server's audit log: of this verb, about
/// `resource/name`, or about a whole `resource/`.
fn requests(cluster: &Cluster, namespace: &str, verb: &str, of: &str) -> usize {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}");
    let log = std::fs::read_to_string(cluster.plane.audit_log()).expect("the audit log");
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fits = events.filter(|event| {
        let object = &event["objectRef"];
        event["stage"] == "ResponseComplete"
            && event["user"]["username"] == user.as_str()
            && event["verb"] == verb
            && format!("{}/{}", text(&object["resource"]), text(&object["name"])) == of
            && object["subresource"].is_null()
            && object["namespace"] == namespace
    });
    fits.count()
}

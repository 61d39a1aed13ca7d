//! The operator as it is deployed, on an API server without the policy: it chooses the webhook by itself.

use std::time::Instant;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};

use super::*;
use crate::injection::{pods, table};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_without_the_policy_has_its_pods_injected_by_the_operator() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let _owned = operator_objects().await;
    let namespace = cluster.namespace("webhook-operator").await;
    let spec = json!({"selector": {"matchLabels": {"app": "plain"}}, "service": {"name": "plain"}});
    apply_profile(&client, &namespace, "trakt", spec).await;

    let [port] = free_ports().expect("a port");
    cluster
        .plane
        .apply("{apiVersion: v1, kind: Namespace, metadata: {name: telemetry-system}}")
        .expect("a namespace");
    for kind in ["secret", "service", "mutatingwebhookconfiguration"] {
        output(cluster.plane.kubectl([
            "delete",
            kind,
            WEBHOOK,
            "--ignore-not-found",
            "--namespace",
            OPERATOR_NAMESPACE,
        ]));
    }
    let mut running = operator(cluster, &namespace, port, true);
    eventually("the status to name the missing file", || async {
        let profile = profiles(&client, &namespace).get("trakt").await.map_err(|error| error.to_string())?;
        let status = serde_json::to_string(&profile.status).expect("JSON");
        if status.contains("--set injection.mode=Webhook") { Ok(()) } else { Err(status) }
    })
    .await;
    deploy(cluster);
    let pod = table::pod("plain");
    wait_for_injection(&client, &namespace, &pod).await;
    for (field, value) in [("app", "other"), ("telemetry-operator.dev/inject", "false")] {
        let mut other = pod.clone();
        other["metadata"]["labels"][field] = json!(value);
        assert!(!has_sidecar(&dry_run(&client, &namespace, &other).await.expect("a pod")), "{field}");
    }
    replicas_are_injected(&client, &namespace, &pod).await;
    eventually("the injections in the metrics", || {
        let page = running.page("/metrics").1;
        let found = page.contains("telemetry_operator_webhook_requests_total{result=\"injected\"}")
            && !page.contains("certificate_expiry_timestamp_seconds 0");
        async move { if found { Ok(()) } else { Err(page) } }
    })
    .await;

    // Without the operator pods start at once, without a sidecar; with it again they have one.
    running.daemon.kill().expect("it is killed");
    let started = Instant::now();
    let missed = dry_run(&client, &namespace, &pod).await.expect("a pod");
    assert!(!has_sidecar(&missed) && started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    let before = configuration(&client, WEBHOOK).await.resource_version();
    let mut running = operator(cluster, &namespace, port, true);
    wait_for_injection(&client, &namespace, &pod).await;
    assert_eq!(configuration(&client, WEBHOOK).await.resource_version(), before, "it was written again");
    // After the signal it answers until the API server may have heard of it.
    assert_eq!(running.daemon.terminate().expect("it ends").code(), Some(0));
    let denied = cluster.operator_denials();
    assert!(denied.is_empty(), "the account lacks a right: {denied:?}");
}

/// Pods that a real ReplicaSet makes, under Pod Security "restricted".
async fn replicas_are_injected(client: &Client, namespace: &str, pod: &Value) {
    let body = json!({
        "metadata": {"name": "plain"},
        "spec": {
            "replicas": 20, "selector": {"matchLabels": {"app": "plain"}},
            "template": {"metadata": {"labels": {"app": "plain"}}, "spec": pod["spec"]},
        },
    });
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let body = serde_json::from_value(body).expect("a Deployment");
    api.create(&PostParams::default(), &body).await.expect("the Deployment is made");
    let list = ListParams::default().labels("app=plain");
    eventually("20 pods with their sidecar", || async {
        let found = pods(client, namespace).list(&list).await.map_err(|error| error.to_string())?;
        let injected = found.items.iter().filter(|pod| has_sidecar(&pod.data)).count();
        if (injected, found.items.len()) == (20, 20) {
            Ok(())
        } else {
            Err(format!("{injected} of {}", found.items.len()))
        }
    })
    .await;
}

//! The numbers in status, and what they cost.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_is_counted_and_what_lacks_its_sidecar_is_named() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("pods-counted").await;
    let operator = cluster.operator(&[&namespace], &[]);
    // Two pods are there before anybody asks for a sidecar.
    create(&client, &namespace, "Deployment", workload("Deployment", "early", 2)).await;
    let early = wait_for_pods(&client, &namespace, APP, 2).await;
    apply_profile(&client, &namespace, "trakt", spec("Manual", "1")).await;
    let command = format!("kubectl -n {namespace} rollout restart deployment/early");
    let first = early[0].name_any();
    let found = wait_for(&client, &namespace, (0, 0, 2, 0), "PodsMissing", &[&first, &command], false).await;
    assert!(found.attention.iter().all(|attention| attention.reason == "Missed"), "{found:?}");

    create(&client, &namespace, "Deployment", workload("Deployment", "web", 2)).await;
    let opt_out = bare_pod("away", |pod| {
        pod["metadata"]["labels"]["telemetry-operator.dev/inject"] = json!("false");
    });
    create(&client, &namespace, "Pod", opt_out).await;
    let taken = bare_pod("taken", |pod| {
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 4317}]);
    });
    create(&client, &namespace, "Pod", taken).await;
    let found = wait_for(&client, &namespace, (2, 0, 3, 1), "PodsMissing", &[&first], false).await;
    let refused = found.attention.iter().find(|attention| attention.pod == "taken").expect("the refused pod");
    assert!(refused.reason == "PortTaken" && refused.message.contains("4317"), "{refused:?}");
    let page = operator.page("/metrics").1;
    for series in ["{state=\"injected\"} 2", "{state=\"missing\"} 3", "{state=\"opted_out\"} 1"] {
        assert!(page.contains(&format!("telemetry_operator_sidecar_pods{series}")), "{series} not in {page}");
    }

    // Pods that go, end or lose the label are none of the profile's.
    output(cluster.plane.kubectl(["-n", &namespace, "delete", "deployment", "early"]));
    wait_for(&client, &namespace, (2, 0, 1, 1), "PodsRefused", &["pod taken", "4317"], false).await;
    let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let ended = json!({"status": {"phase": "Succeeded"}});
    api.patch_status("taken", &PatchParams::default(), &Patch::Merge(&ended)).await.expect("it has ended");
    wait_for(&client, &namespace, (2, 0, 0, 1), "AllInjected", &[], false).await;
    output(cluster.plane.kubectl(["-n", &namespace, "label", "pod", "away", "app-"]));
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], false).await;

    apply_profile(&client, &namespace, "trakt", spec("Manual", "2")).await;
    let command = format!("kubectl -n {namespace} rollout restart deployment/web");
    wait_for(&client, &namespace, (0, 2, 0, 0), "PodsOutdated", &["ROUND", &command], false).await;
    at_rest(cluster, &client, &namespace).await;

    output(cluster.plane.kubectl(["-n", &namespace, "scale", "deployment/web", "--replicas=0"]));
    wait_for(&client, &namespace, (0, 0, 0, 0), "NoPods", &["spec.selector"], false).await;
}

/// Nothing is listed while nothing happens; an event that changes no answer leads to a look and to no write.
async fn at_rest(cluster: &Cluster, client: &Client, namespace: &str) {
    cluster.quiet(&[namespace]).await;
    let (writes, lists) =
        (cluster.operator_writes(&[namespace]), requests(cluster, namespace, "list", "pods/"));
    // The time itself is the test.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(requests(cluster, namespace, "list", "pods/"), lists, "lists at rest");
    let pod = &pods(client, namespace, APP).await[0].name_any();
    output(cluster.plane.kubectl(["-n", namespace, "annotate", "pod", pod, "example.com/note=1"]));
    eventually("the pods to be looked at", || {
        let now = requests(cluster, namespace, "list", "pods/");
        async move { if now > lists { Ok(()) } else { Err("no list".to_owned()) } }
    })
    .await;
    cluster.quiet(&[namespace]).await;
    assert_eq!(cluster.operator_writes(&[namespace]), writes, "writes without news");
}

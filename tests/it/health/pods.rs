//! What pods report → `CollectorReady` and `TraceBackendReady`, from the pods' own events.

use super::*;

fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_cause_is_named_and_gone_when_the_pods_serve() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("pods").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    let mut spec = minimal_spec();
    spec["metrics"] = json!({"prometheus": "ConfigMap"});
    spec["collector"] = json!({"image": "registry.invalid/otel/opentelemetry-collector-contrib:1"});
    settle(cluster, &client, &namespace, spec.clone()).await;
    let collector = &pods_of(&client, &namespace, "collector").await[0];
    let name = collector.name_any();

    let unschedulable = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}]});
    report(&client, collector, unschedulable).await;
    let kind = "CollectorReady";
    wait_for(&client, &namespace, (kind, "False", "PodsUnschedulable"), &[&name, "1 Insufficient cpu."])
        .await;

    let error = "failed to pull and unpack image: dial tcp: lookup registry.invalid: no such host";
    report(&client, collector, container("collector", false, waiting("ErrImagePull", error), json!({})))
        .await;
    let words = [
        &name,
        "registry.invalid/otel/opentelemetry-collector-contrib:1",
        "no such host",
        "spec.collector.image",
    ];
    let message = wait_for(&client, &namespace, (kind, "False", "ImagePullFailed"), &words).await;
    wait_for(&client, &namespace, ("Ready", "False", "ImagePullFailed"), &[&message]).await;

    // The other turn of the same cause is no news.
    cluster.quiet(&[&namespace]).await;
    let before = cluster.operator_writes(&[&namespace]);
    let back_off = format!("Back-off pulling image \"x\": ErrImagePull: {error}");
    report(
        &client,
        collector,
        container("collector", false, waiting("ImagePullBackOff", &back_off), json!({})),
    )
    .await;
    cluster.quiet(&[&namespace]).await;
    assert_eq!(cluster.operator_writes(&[&namespace]), before);

    let killed = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
    let crash_loop = waiting("CrashLoopBackOff", "back-off 10s restarting failed container");
    report(&client, collector, container("collector", false, crash_loop.clone(), killed)).await;
    let words = [&name, "OOMKilled", "spec.collector.resources.limits.memory, which is 512Mi"];
    wait_for(&client, &namespace, (kind, "False", "OutOfMemory"), &words).await;

    let ended = json!({"terminated": {"reason": "Error", "exitCode": 1}});
    report(&client, collector, container("collector", false, crash_loop, ended.clone())).await;
    let command = format!("kubectl -n {namespace} logs {name} -c collector --previous");
    wait_for(&client, &namespace, (kind, "False", "PodsCrashing"), &["exit code 1", &command]).await;

    // It has ended before and serves now: ready.
    report(&client, collector, container("collector", true, running(), ended)).await;
    wait_for(&client, &namespace, (kind, "True", "PodsReady"), &[]).await;
    wait_for(
        &client,
        &namespace,
        ("TraceBackendReady", "False", "PodsStarting"),
        &["Deployment/trakt-jaeger"],
    )
    .await;
    all_ready(&client, &namespace, &["jaeger"]).await;
    wait_for(&client, &namespace, ("Ready", "True", "AllReady"), &[]).await;

    // A new image that does not come: the old pod still serves, and that is not what the profile asks for.
    spec["collector"] = json!({"image": "registry.invalid/otel/opentelemetry-collector-contrib:2"});
    apply_profile(&client, &namespace, "trakt", spec).await;
    let second = eventually("a pod with the second image", || async {
        let pods = pods_of(&client, &namespace, "collector").await;
        let new = pods.into_iter().find(|pod| pod.name_any() != name);
        new.ok_or_else(|| "only the old one".to_owned())
    })
    .await;
    report(&client, &second, container("collector", false, waiting("ErrImagePull", error), json!({}))).await;
    let second = second.name_any();
    let words = [second.as_str(), "opentelemetry-collector-contrib:2"];
    wait_for(&client, &namespace, (kind, "False", "ImagePullFailed"), &words).await;

    // Jaeger's pod goes; another one comes and serves.
    let jaeger = &pods_of(&client, &namespace, "jaeger").await[0];
    let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    api.delete(&jaeger.name_any(), &Default::default()).await.expect("deleted");
    wait_for(&client, &namespace, ("TraceBackendReady", "False", "PodsStarting"), &[]).await;
    all_ready(&client, &namespace, &["jaeger"]).await;
    wait_for(&client, &namespace, ("TraceBackendReady", "True", "PodsReady"), &[]).await;
}

/// Its address cannot be resolved outside the cluster: that is what it looks like when something is in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_managed_prometheus_that_does_not_answer_is_not_ready() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("managed").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    let mut spec = minimal_spec();
    spec["metrics"] = json!({"prometheus": "Managed"});
    spec["slos"] =
        json!([{"name": "fresh", "objective": "99", "freshness": {"counter": "runs_total", "maxAge": "6h"}}]);
    settle(cluster, &client, &namespace, spec).await;
    let (targets, rules) = ("ScrapeTargetsUp", "RulesProvisioned");
    wait_for(&client, &namespace, (targets, "False", "PodsStarting"), &["Deployment/trakt-prometheus"]).await;
    wait_for(&client, &namespace, (rules, "False", "RulesPending"), &["Deployment/trakt-prometheus"]).await;

    all_ready(&client, &namespace, &["collector", "jaeger", "prometheus"]).await;
    let url = format!("http://trakt-prometheus.{namespace}.svc:9090");
    for kind in [targets, rules, "Ready"] {
        wait_for(&client, &namespace, (kind, "False", "PrometheusUnreachable"), &[&url]).await;
    }
}

//! `rollout: Auto`: once per change, never while the workload rolls, never against its disruption budget.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1 as events;

use super::*;
use crate::injection::wait_until_injected;

/// How many restarts of this workload were sent.
fn restarts(cluster: &Cluster, namespace: &str, resource: &str, name: &str) -> usize {
    let sent = format!("patch {resource}/{name}  -> 200");
    cluster.operator_writes(&[namespace]).iter().filter(|write| **write == sent).count()
}

async fn wait_for_restarts(cluster: &Cluster, namespace: &str, workload: (&str, &str), number: usize) {
    let (resource, name) = workload;
    eventually(&format!("{number} restarts of {resource}/{name}"), || {
        let now = restarts(cluster, namespace, resource, name);
        async move { if now == number { Ok(()) } else { Err(format!("{now}")) } }
    })
    .await;
}

/// A profile with `Auto` and an application whose pods have its sidecar and are ready.
async fn running(
    cluster: &Cluster,
    client: &Client,
    purpose: &str,
    workloads: &[Value],
) -> (String, Operator) {
    let namespace = cluster.namespace(purpose).await;
    let operator = cluster.operator(&[&namespace], &[]);
    apply_profile(client, &namespace, "trakt", spec("Auto", "1")).await;
    observed(client, &namespace, "trakt").await;
    // A pod that is made before the API server has heard of the profile would be repaired: a restart too many.
    wait_until_injected(client, &namespace, &bare_pod("probe", |_| ())).await;
    for body in workloads {
        create(client, &namespace, body["kind"].as_str().expect("a kind"), body.clone()).await;
    }
    (namespace, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_restarted_once_per_change_and_not_while_it_rolls() {
    let cluster = shared();
    let client = cluster.client().await;
    let web = workload("Deployment", "web", 2);
    let (namespace, operator) = running(cluster, &client, "restart", &[web]).await;
    let deployment = ("deployments", "web");
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], true).await;

    apply_profile(&client, &namespace, "trakt", spec("Auto", "2")).await;
    wait_for_restarts(cluster, &namespace, deployment, 1).await;
    // Its new pods are not ready: it rolls, whatever the profile becomes meanwhile.
    apply_profile(&client, &namespace, "trakt", spec("Auto", "3")).await;
    eventually("the third round to be seen", || async {
        let profile = observed(&client, &namespace, "trakt").await;
        let (found, counts) = (condition(&profile, "SidecarInjected"), counts(&profile));
        let outdated = counts.injected == 0 && counts.outdated >= 2;
        if outdated && found.1 == "RolloutInProgress" { Ok(()) } else { Err(format!("{found:?} {counts:?}")) }
    })
    .await;
    let before = requests(cluster, &namespace, "get", "deployments/web");
    eventually("the Deployment to be looked at", || {
        let now = requests(cluster, &namespace, "get", "deployments/web");
        async move { if now > before { Ok(()) } else { Err(format!("{now}")) } }
    })
    .await;
    cluster.quiet(&[&namespace]).await;
    assert_eq!(restarts(cluster, &namespace, deployment.0, deployment.1), 1, "not while it rolls");
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], true).await;
    cluster.quiet(&[&namespace]).await;
    assert_eq!(restarts(cluster, &namespace, deployment.0, deployment.1), 2, "once per change");

    let live = api(&client, &namespace, "Deployment").get("web").await.expect("the Deployment");
    let annotations = &live.data["spec"]["template"]["metadata"]["annotations"];
    assert!(annotations["kubectl.kubernetes.io/restartedAt"].is_string(), "{annotations}");
    assert!(annotations["telemetry-operator.dev/restarted-for"].is_string(), "{annotations}");
    let mut managers = live.metadata.managed_fields.iter().flatten();
    assert!(managers.any(|entry| entry.manager.as_deref() == Some("telemetry-operator-rollout")));
    let api: Api<events::Event> = Api::namespaced(client.clone(), &namespace);
    let list = api.list(&Default::default()).await.expect("events").items;
    let told = list.iter().filter(|event| event.reason.as_deref() == Some("SidecarRollout"));
    assert!(
        told.clone().all(|event| event.note.as_deref().is_some_and(|note| note.contains("Deployment/web")))
    );
    assert!(told.count() > 0, "no event");
    let page = operator.page("/metrics").1;
    let series = "telemetry_operator_workload_restarts_total{result=\"restarted\"} 2";
    assert!(page.contains(series), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disruption_budget_is_respected_and_pods_that_were_missed_are_repaired() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("budget").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    // The pods are there before the profile: missed.
    create(&client, &namespace, "Deployment", workload("Deployment", "web", 2)).await;
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "all"},
        "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": "x"}}}});
    create(&client, &namespace, "PodDisruptionBudget", budget).await;
    wait_for_pods(&client, &namespace, APP, 2).await;
    make_ready(&client, &namespace).await;
    apply_profile(&client, &namespace, "trakt", spec("Auto", "1")).await;
    let words = ["PodDisruptionBudget/all", "Deployment/web"];
    wait_for(&client, &namespace, (0, 0, 2, 0), "RolloutBlocked", &words, true).await;
    cluster.quiet(&[&namespace]).await;
    assert_eq!(restarts(cluster, &namespace, "deployments", "web"), 0);
    output(cluster.plane.kubectl(["-n", &namespace, "delete", "poddisruptionbudget", "all"]));
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], true).await;
    assert_eq!(restarts(cluster, &namespace, "deployments", "web"), 1);
}

/// A node of which no kubelet knows: it is enough for a DaemonSet's pods.
async fn node(client: &Client, name: &str) {
    let body = json!({"metadata": {"name": name, "labels": {"only": name}}});
    let node = serde_json::from_value(body).expect("a node");
    Api::<Node>::all(client.clone()).create(&PostParams::default(), &node).await.expect("the node is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn stateful_sets_and_daemon_sets_are_restarted_one_after_another() {
    let cluster = shared();
    let client = cluster.client().await;
    let mut daemon = workload("DaemonSet", "agent", 1);
    daemon["spec"]["template"]["spec"]["nodeSelector"] = json!({"only": "restarts"});
    // A node without a kubelet bears a taint.
    daemon["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    node(&client, "restarts").await;
    let (namespace, _operator) =
        running(cluster, &client, "kinds-restart", &[daemon, workload("StatefulSet", "db", 1)]).await;
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], true).await;
    apply_profile(&client, &namespace, "trakt", spec("Auto", "2")).await;
    // By kind and name, the StatefulSet comes first; the other one waits until it has its pod.
    wait_for_restarts(cluster, &namespace, ("statefulsets", "db"), 1).await;
    cluster.quiet(&[&namespace]).await;
    assert_eq!(restarts(cluster, &namespace, "daemonsets", "agent"), 0, "one after another");
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], true).await;
    for (resource, name) in [("statefulsets", "db"), ("daemonsets", "agent")] {
        assert_eq!(restarts(cluster, &namespace, resource, name), 1, "{resource}/{name}");
    }
    Api::<Node>::all(client.clone()).delete("restarts", &Default::default()).await.expect("the node goes");
}

/// Something at admission rewrites the sidecar's arguments. Restarts would go on for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_does_not_help_is_the_last_one() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("useless").await;
    let rule = "apiGroups: [''], operations: [CREATE], resources: [pods]";
    // Only a policy that was evaluated before is evaluated again: no match condition on what another one adds.
    let mutation = r#"
  - patchType: JSONPatch
    jsonPatch:
      expression: "object.spec.?initContainers.orValue([]).size() > 0 ? [JSONPatch{op: 'replace', path:
        '/spec/initContainers/0/args/0', value: '--config=other.yaml'}] : []""#;
    let policy = rewriting_policy(&namespace, rule, "IfNeeded", mutation);
    cluster.plane.apply(&policy).expect("a policy");
    let _operator = cluster.operator(&[&namespace], &[]);
    apply_profile(&client, &namespace, "trakt", spec("Manual", "1")).await;
    observed(&client, &namespace, "trakt").await;
    // The policy is in force some time after it was written.
    eventually("the argument to be rewritten", || async {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let pod = serde_json::from_value(bare_pod("probe", |_| ())).expect("a pod");
        let made =
            api(&client, &namespace, "Pod").create(&dry, &pod).await.map_err(|error| error.to_string())?;
        let argument = &made.data["spec"]["initContainers"][0]["args"][0];
        if argument == "--config=other.yaml" { Ok(()) } else { Err(argument.to_string()) }
    })
    .await;
    create(&client, &namespace, "Deployment", workload("Deployment", "web", 1)).await;
    wait_for(&client, &namespace, (0, 1, 0, 0), "PodsOutdated", &["args"], true).await;
    assert_eq!(restarts(cluster, &namespace, "deployments", "web"), 0, "nobody has asked for it");
    apply_profile(&client, &namespace, "trakt", spec("Auto", "1")).await;
    let words = ["Deployment/web", "explain pod", "rollout restart deployment/web"];
    wait_for(&client, &namespace, (0, 1, 0, 0), "RestartDidNotHelp", &words, true).await;
    cluster.quiet(&[&namespace]).await;
    assert_eq!(restarts(cluster, &namespace, "deployments", "web"), 1);
    output(cluster.plane.kubectl(["delete", "mutatingadmissionpolicybinding", &namespace]));
}

//! The policy that injects is followed: it is missing, it is another one, it is there. On a control plane of its own, since
//! policies are for the whole cluster.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_policy_is_told_and_its_pods_are_repaired_when_it_comes() {
    let cluster = Cluster::start_with(false);
    let client = cluster.client().await;
    let namespace = cluster.namespace("policy").await;
    let [port] = testbed::free_ports().expect("a port");
    let listen = format!("127.0.0.1:{port}");
    let environment = [("POD_NAMESPACE", OPERATOR_NAMESPACE)];
    let arguments = ["--webhook-listen", listen.as_str()];
    let _operator = Operator::start(&cluster, &[&namespace], &arguments, &environment, true);
    apply_profile(&client, &namespace, "trakt", spec("Auto", "1")).await;
    observed(&client, &namespace, "trakt").await;
    create(&client, &namespace, "Deployment", workload("Deployment", "web", 2)).await;
    let file = "--set injection.mode=Policy";
    let name = "MutatingAdmissionPolicy/telemetry-operator-sidecar";
    wait_for(&client, &namespace, (0, 0, 2, 0), "PolicyMissing", &[name, file], true).await;
    cluster.quiet(&[&namespace]).await;
    let sent = |writes: &[String]| writes.iter().filter(|write| write.contains("deployments/web")).count();
    assert_eq!(sent(&cluster.operator_writes(&[&namespace])), 0, "a restart would not help");

    let policy = injection_policy();
    cluster.plane.apply(&policy).expect("the policy is accepted");
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], true).await;
    assert!(pods(&client, &namespace, APP).await.iter().all(is_injected));

    let edit = |value: &str| {
        let patch = json!({"spec": {"paramRef": {"parameterNotFoundAction": value}}}).to_string();
        let resource = "mutatingadmissionpolicybindings/telemetry-operator-sidecar";
        output(cluster.plane.kubectl(["patch", resource, "--type=merge", "-p", &patch]));
    };
    edit("Deny");
    let binding = "MutatingAdmissionPolicyBinding/telemetry-operator-sidecar";
    let words = [binding, "spec.paramRef.parameterNotFoundAction", file];
    wait_for(&client, &namespace, (2, 0, 0, 0), "PolicyDiffers", &words, false).await;
    edit("Allow");
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], false).await;

    // As on a cluster that was upgraded and has only the webhook yet.
    cluster.plane.apply(&crate::chart::webhook()).expect("what the webhook needs");
    entries(&cluster, 0).await;
    for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
        output(cluster.plane.kubectl(["delete", kind, "telemetry-operator-sidecar"]));
    }
    entries(&cluster, 1).await;
    wait_for(&client, &namespace, (2, 0, 0, 0), "AllInjected", &[], false).await;
    cluster.plane.apply(&policy).expect("the policy is accepted");
    entries(&cluster, 0).await;
}

/// Waits until the API server is told of so many profiles' webhooks.
async fn entries(cluster: &Cluster, wanted: usize) {
    eventually(&format!("{wanted} entries of the webhook"), || async {
        let mut get = cluster.plane.kubectl(["get", "mutatingwebhookconfiguration", "-o", "json"]);
        let list: Value =
            serde_json::from_str(&testbed::output(&mut get).map_err(|error| format!("{error:#}"))?)
                .map_err(|error| error.to_string())?;
        let found = list["items"][0]["webhooks"].as_array().map_or(0, Vec::len);
        if found == wanted { Ok(()) } else { Err(list["items"][0]["webhooks"].to_string()) }
    })
    .await;
}

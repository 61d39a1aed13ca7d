//! The operator is away while pods are made: they start without a sidecar. It comes back: its status names them, and they are
//! repaired.

use std::time::Instant;

use super::*;
use crate::sidecars;

/// Deployments and the pods of each.
const DEPLOYMENTS: usize = 5;
const REPLICAS: u32 = 40;
/// How soon status must name what was missed.
const NAMED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_were_made_while_the_operator_was_away_are_named_and_repaired() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let _owned = operator_objects().await;
    let namespace = cluster.namespace("webhook-away").await;
    let [port] = free_ports().expect("a port");
    deploy(cluster);
    let [manual, auto] = ["Manual", "Auto"].map(|rollout| sidecars::spec(rollout, "1"));
    apply_profile(&client, &namespace, "trakt", manual).await;
    let pod = sidecars::bare_pod("probe", |_| ());
    let mut operator_before = operator(cluster, &namespace, port, true);
    wait_for_injection(&client, &namespace, &pod).await;

    // The API server goes on calling the webhook that is not there any more.
    operator_before.daemon.kill().expect("it is killed");
    for number in 0..DEPLOYMENTS {
        let mut workload = sidecars::workload("Deployment", &format!("web-{number}"), REPLICAS);
        // All at once: nothing here is about how a Deployment rolls.
        workload["spec"]["strategy"] =
            json!({"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "100%"}});
        sidecars::create(&client, &namespace, "Deployment", workload).await;
    }
    let all = DEPLOYMENTS as i32 * REPLICAS as i32;
    let made = sidecars::wait_for_pods(&client, &namespace, sidecars::APP, all as usize).await;
    assert!(!made.iter().any(sidecars::is_injected), "one is injected");
    sidecars::make_ready(&client, &namespace).await;

    let returned = Instant::now();
    let _operator = operator(cluster, &namespace, port, true);
    let mut names: Vec<_> = made.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
    names.sort_unstable();
    sidecars::wait_for(&client, &namespace, (0, 0, all, 0), "PodsMissing", &names[..3], false).await;
    assert!(returned.elapsed() < NAMED, "named after {:?}", returned.elapsed());

    apply_profile(&client, &namespace, "trakt", auto).await;
    sidecars::wait_for(&client, &namespace, (all, 0, 0, 0), "AllInjected", &[], true).await;
    let now = sidecars::wait_for_pods(&client, &namespace, sidecars::APP, all as usize).await;
    assert!(now.iter().all(sidecars::is_injected), "one is not injected");
}

//! Rights that an installation may lack: what the operator says then, and that it works as soon as it has them.

use super::*;
use crate::injection::wait_until_injected;
use crate::sidecars;

/// Without the right to restart StatefulSets status names one. The right about finalizers, which no request needs, is needed
/// where the API server checks who owns what.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_may_not_do_is_named_and_done_once_it_may() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("refused").await;
    let installed = Installed::new(cluster, REFUSED, &[&namespace], |rules| {
        rules.restarts.clear();
        rules.profiles.retain(|right| {
            !right.rule.resources.iter().flatten().any(|resource| resource.ends_with("/finalizers"))
        });
    });
    installed.inject_by_policy();
    sidecars::create(&client, &namespace, "StatefulSet", sidecars::workload("StatefulSet", "db", 1)).await;
    sidecars::wait_for_pods(&client, &namespace, sidecars::APP, 1).await;
    sidecars::make_ready(&client, &namespace).await;
    let _operator = installed.operator(&[]);
    apply_profile(&client, &namespace, "trakt", sidecars::spec("Auto", "1")).await;
    told(&client, &namespace, "trakt", "Ready", &["set finalizers on"]).await;
    assert!(children(&client, &namespace).await.is_empty(), "an object without its owner");

    installed.grant(|rules| rules.restarts.clear());
    wait_until_injected(&client, &namespace, &sidecars::bare_pod("probe", |_| ())).await;
    told(
        &client,
        &namespace,
        "trakt",
        "SidecarInjected",
        &["StatefulSet/db cannot be read", "cannot get resource"],
    )
    .await;
    assert!(!children(&client, &namespace).await.is_empty(), "the rest is done");

    installed.grant(|_| ());
    sidecars::wait_for(&client, &namespace, (1, 0, 0, 0), "AllInjected", &[], true).await;
}

//! Two profiles that select one pod.

use super::*;

fn selecting(key: &str, variable: &str) -> Value {
    let mut spec = spec("Auto", variable);
    spec["selector"] = json!({"matchLabels": {key: "x"}});
    spec
}

async fn wait_for_conflict(
    client: &Client,
    namespace: &str,
    name: &str,
    expected: (&str, &str),
    words: &[&str],
) {
    eventually(&format!("{name} to be Conflicted {expected:?} with {words:?}"), || async {
        let found = condition(&profile(client, namespace, name).await, "Conflicted");
        let fits = (found.0.as_str(), found.1.as_str()) == expected;
        let told = words.iter().all(|word| found.2.contains(word));
        if fits && told { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_profiles_of_one_pod_name_each_other_and_restart_nothing() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("overlap").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    let (free, taken) = (("False", "NoConflict"), ("True", "SelectorOverlap"));
    let keys = [("one", "app"), ("two", "workload")];
    for (name, key) in keys {
        apply_profile(&client, &namespace, name, selecting(key, "1")).await;
    }
    for name in ["one", "two"] {
        observed(&client, &namespace, name).await;
        wait_for_conflict(&client, &namespace, name, free, &[]).await;
    }
    // `app: x` and `workload: x`.
    create(&client, &namespace, "Deployment", workload("Deployment", "x", 1)).await;
    let pod = wait_for_pods(&client, &namespace, APP, 1).await.remove(0);
    wait_for_conflict(&client, &namespace, "one", taken, &["profile two", &pod.name_any()]).await;
    wait_for_conflict(&client, &namespace, "two", taken, &["profile one", &pod.name_any()]).await;
    assert!(is_injected(&pod), "{pod:?}");
    let owner = &pod.labels()["telemetry-operator.dev/sidecar"];
    let (has, lacks) = if owner == "one" { ("one", "two") } else { ("two", "one") };
    eventually("the two to count it", || async {
        let has = counts(&profile(&client, &namespace, has).await);
        let lacks = counts(&profile(&client, &namespace, lacks).await);
        let reason = lacks.attention.first().map(|attention| attention.reason.as_str());
        let fits = numbers(&has) == (1, 0, 0, 0) && numbers(&lacks) == (0, 0, 1, 0);
        if fits && reason == Some("SelectorOverlap") { Ok(()) } else { Err(format!("{has:?} {lacks:?}")) }
    })
    .await;
    let ready = condition(&profile(&client, &namespace, lacks).await, "Ready");
    assert_eq!((ready.0.as_str(), ready.1.as_str()), ("False", "SelectorOverlap"));
    // The pod becomes outdated, and whose sidecar the next one has nobody knows.
    let key = |of: &str| keys.iter().find(|(name, _)| *name == of).expect("a profile").1;
    apply_profile(&client, &namespace, has, selecting(key(has), "2")).await;
    let edited = tokio::time::Instant::now();
    make_ready(&client, &namespace).await;
    eventually("it to be outdated", || async {
        let found = counts(&profile(&client, &namespace, has).await);
        if numbers(&found) == (0, 1, 0, 0) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    // Without the conflict it would come five seconds after the edit: the time itself is the test.
    tokio::time::sleep_until(edited + Duration::from_secs(8)).await;
    assert_eq!(restarts(cluster, &namespace), 0, "no restart in a conflict");

    // One wants no sidecar any more, and later goes.
    let mut off = selecting(key(lacks), "1");
    off["sidecar"]["enabled"] = json!(false);
    apply_profile(&client, &namespace, lacks, off).await;
    for name in ["one", "two"] {
        wait_for_conflict(&client, &namespace, name, free, &[]).await;
    }
    eventually("the restart", || {
        let now = restarts(cluster, &namespace);
        async move { if now == 1 { Ok(()) } else { Err(format!("{now}")) } }
    })
    .await;
    apply_profile(&client, &namespace, lacks, selecting(key(lacks), "1")).await;
    wait_for_conflict(&client, &namespace, has, taken, &[&format!("profile {lacks}")]).await;
    profiles(&client, &namespace).delete(lacks, &Default::default()).await.expect("it goes");
    wait_for_conflict(&client, &namespace, has, free, &[]).await;
}

fn restarts(cluster: &Cluster, namespace: &str) -> usize {
    let own = cluster.operator_writes(&[namespace]);
    own.iter().filter(|write| write.starts_with("patch deployments/x ")).count()
}

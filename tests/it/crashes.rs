//! The operator is killed at many moments of a first reconcile: the end state is always the same.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::common::*;

/// Every child without what differs between two namespaces by nature.
async fn state(client: &kube::Client, namespace: &str) -> BTreeMap<String, String> {
    let normal = |value: Value| {
        let mut value = value;
        if let Some(owner) = value["metadata"]["ownerReferences"].get_mut(0) {
            owner["uid"] = Value::Null;
        }
        // The hash covers the namespace, which is in the object.
        value["metadata"]["annotations"]["telemetry-operator.dev/applied-hash"] = Value::Null;
        let text = value.to_string().replace(namespace, "NAMESPACE");
        // Hashes of configurations and dashboards that name the namespace.
        mask_hashes(&text)
    };
    children(client, namespace)
        .await
        .into_iter()
        .map(|(reference, object)| (reference, normal(without_server_fields(&object))))
        .collect()
}

/// Replaces runs of 16 hexadecimal digits.
fn mask_hashes(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut run = String::new();
    for character in text.chars().chain(std::iter::once(' ')) {
        if character.is_ascii_hexdigit() {
            run.push(character);
            continue;
        }
        masked.push_str(if run.len() >= 16 { "HASH" } else { &run });
        run.clear();
        masked.push(character);
    }
    masked
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_twelve_moments_the_end_is_the_same() {
    let cluster = shared();
    let client = cluster.client().await;
    let reference_namespace = cluster.namespace("crash").await;
    let operator = cluster.operator(&[&reference_namespace], &[]);
    apply_profile(&client, &reference_namespace, "trakt", full_spec()).await;
    observed(&client, &reference_namespace, "trakt").await;
    cluster.quiet(&[&reference_namespace]).await;
    let expected = state(&client, &reference_namespace).await;
    let writes = cluster.operator_writes(&[&reference_namespace]).len();
    drop(operator);
    assert!(expected.len() > 15, "{:?}", expected.keys());
    assert!(writes > 16, "{writes} writes");

    // After the n-th write; 0 is before the first.
    for moment in (0..writes).step_by((writes / 12).max(1)).take(12) {
        let namespace = cluster.namespace("crash").await;
        let mut operator = cluster.operator(&[&namespace], &[]);
        apply_profile(&client, &namespace, "trakt", full_spec()).await;
        // Waits without a pause: the next write is a few milliseconds away.
        let started = std::time::Instant::now();
        while cluster.operator_writes(&[&namespace]).len() < moment {
            assert!(
                started.elapsed() < DEADLINE,
                "waited for write {moment}; seen {:?}",
                cluster.operator_writes(&[&namespace])
            );
        }
        operator.daemon.kill().expect("the operator is killed");
        let at = cluster.operator_writes(&[&namespace]).len();
        let _second = cluster.operator(&[&namespace], &[]);
        observed(&client, &namespace, "trakt").await;
        eventually_within(
            &format!("the same state after a kill at write {at} of {writes}"),
            Duration::from_secs(60),
            || {
                let (client, namespace, expected) = (client.clone(), namespace.clone(), &expected);
                async move {
                    let found = state(&client, &namespace).await;
                    match expected.iter().find(|(reference, object)| found.get(*reference) != Some(object)) {
                        None if found.len() == expected.len() => Ok(()),
                        None => Err(format!("more than expected: {:?}", found.keys())),
                        Some((reference, object)) => {
                            Err(format!("{reference}: expected {object}, found {:?}", found.get(reference)))
                        }
                    }
                }
            },
        )
        .await;
    }
}

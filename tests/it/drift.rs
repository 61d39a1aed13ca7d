//! A hundred random drifts over every kind of child are all repaired, from the watch.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;

use crate::common::*;

/// A small generator with a printed seed: a failure can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64, enough to pick.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("an index")
    }
}

/// A way to harm a child.
#[derive(Clone, Copy, Debug)]
pub enum Drift {
    ChangeLabel,
    RemoveLabel,
    RemoveManagedBy,
    ChangeInstance,
    RemoveOwner,
    RemoveHash,
    Content,
    Delete,
}

/// Every way to harm a child.
pub const DRIFTS: [Drift; 8] = [
    Drift::ChangeLabel,
    Drift::RemoveLabel,
    Drift::RemoveManagedBy,
    Drift::ChangeInstance,
    Drift::RemoveOwner,
    Drift::RemoveHash,
    Drift::Content,
    Drift::Delete,
];

/// A merge patch that harms a field of the object's content which the operator sets.
fn content_patch(kind: ChildKind, object: &DynamicObject) -> Value {
    match kind {
        ChildKind::ServiceAccount => json!({"automountServiceAccountToken": true}),
        ChildKind::NetworkPolicy => json!({"spec": {"ingress": [{}]}}),
        ChildKind::ConfigMap => {
            let key =
                object.data["data"].as_object().and_then(|data| data.keys().next().cloned()).expect("a key");
            json!({"data": {key: "changed by hand"}})
        }
        ChildKind::Service => json!({"spec": {"selector": {"added": "by-hand"}}}),
        // Only fields that the operator sets: what it does not set is left to others.
        ChildKind::Deployment => {
            json!({"spec": {"revisionHistoryLimit": 9, "template": {"spec": {"serviceAccountName": "default"}}}})
        }
        ChildKind::PodDisruptionBudget => json!({"spec": {"maxUnavailable": 2}}),
        ChildKind::RoleBinding => {
            json!({"subjects": [{"kind": "ServiceAccount", "name": "thief", "namespace": "default"}]})
        }
        ChildKind::HorizontalPodAutoscaler => json!({"spec": {"maxReplicas": 99}}),
        ChildKind::ServiceMonitor => json!({"spec": {"endpoints": []}}),
        ChildKind::PodMonitor => json!({"spec": {"podMetricsEndpoints": []}}),
        ChildKind::PrometheusRule => json!({"spec": {"groups": []}}),
        ChildKind::GrafanaDashboard => json!({"spec": {"json": "{}"}}),
        ChildKind::GrafanaDatasource => json!({"spec": {"datasource": {"url": "http://elsewhere"}}}),
        // A claim's content cannot be changed while it is not bound.
        ChildKind::PersistentVolumeClaim => {
            json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "changed-by-hand"}}})
        }
    }
}

async fn harm(client: &kube::Client, namespace: &str, reference: &str, object: &DynamicObject, drift: Drift) {
    let (kind, name) = parse_reference(reference);
    let api = child_api(client, namespace, kind);
    let patch = match drift {
        Drift::ChangeLabel => {
            json!({"metadata": {"labels": {"app.kubernetes.io/component": "changed-by-hand"}}})
        }
        Drift::RemoveLabel => json!({"metadata": {"labels": {"app.kubernetes.io/part-of": null}}}),
        Drift::RemoveManagedBy => json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
        Drift::ChangeInstance => json!({"metadata": {"labels": {"app.kubernetes.io/instance": "another"}}}),
        Drift::RemoveOwner => json!({"metadata": {"ownerReferences": null}}),
        Drift::RemoveHash => {
            json!({"metadata": {"annotations": {"telemetry-operator.dev/applied-hash": null}}})
        }
        Drift::Content => content_patch(kind, object),
        Drift::Delete => {
            api.delete(&name, &DeleteParams::default())
                .await
                .unwrap_or_else(|error| panic!("{reference}: {error}"));
            return;
        }
    };
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap_or_else(|error| panic!("{drift:?} of {reference}: {error}"));
}

/// Children without what the API server and others write.
pub fn comparable(children: &BTreeMap<String, DynamicObject>) -> BTreeMap<String, Value> {
    children.iter().map(|(reference, object)| (reference.clone(), without_server_fields(object))).collect()
}

/// Harms one child and waits until all children are as in `target` again.
pub async fn harm_and_wait(
    client: &kube::Client,
    namespace: &str,
    reference: &str,
    drift: Drift,
    target: &BTreeMap<String, Value>,
    what: &str,
) {
    let live = children(client, namespace).await;
    let object = live.get(reference).unwrap_or_else(|| panic!("{reference} is not there before {what}"));
    harm(client, namespace, reference, object, drift).await;
    let what = format!("the repair of {what}: {drift:?} of {reference}");
    eventually_within(&what, Duration::from_secs(30), || async {
        let found = comparable(&children(client, namespace).await);
        match target.iter().find(|(reference, object)| found.get(*reference) != Some(object)) {
            None => Ok(()),
            Some((reference, object)) => {
                Err(format!("{reference}: wanted {object}, found {:?}", found.get(reference)))
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_random_drifts_are_repaired() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("drift").await;
    let operator = cluster.operator(&[&namespace], &[]);
    let mut spec = full_spec();
    spec["collector"] = json!({"autoscaling": {"min": 2, "max": 4}});
    settle(cluster, &client, &namespace, spec).await;
    let wanted = children(&client, &namespace).await;
    let kinds: std::collections::BTreeSet<_> =
        wanted.keys().map(|reference| parse_reference(reference).0).collect();
    let expected: std::collections::BTreeSet<_> =
        ChildKind::ALL.into_iter().filter(|kind| !kind.is_optional()).collect();
    assert_eq!(kinds, expected, "the profile has a child of every kind that is always served");

    let seed = u64::from(std::process::id()) << 16 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let references: Vec<_> = wanted.keys().cloned().collect();
    let target = comparable(&wanted);
    for number in 0..100 {
        // The first rounds go through every child, so that no kind is left to luck.
        let reference =
            &references[if number < references.len() { number } else { random.below(references.len()) }];
        let drift = DRIFTS[random.below(DRIFTS.len())];
        let what = format!("drift {number} (seed {seed})");
        harm_and_wait(&client, &namespace, reference, drift, &target, &what).await;
    }
    let metrics = operator.page("/metrics").1;
    let repairs: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("telemetry_operator_repaired_objects_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!(repairs >= 60.0, "the operator counts its repairs:\n{metrics}");
}

//! An edit changes exactly the children that it concerns, counted by resourceVersion.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;

use crate::common::*;

/// The children of `after` that are new or have another version, and those that are gone, marked with '-'.
fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let new = after.iter().filter(|(reference, version)| before.get(*reference) != Some(version));
    let gone = before.keys().filter(|reference| !after.contains_key(*reference));
    new.map(|(reference, _)| reference.clone()).chain(gone.map(|reference| format!("-{reference}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_changes_exactly_what_it_concerns() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("edit").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    let mut spec = full_spec();
    settle(cluster, &client, &namespace, spec.clone()).await;

    type Edit = fn(&mut Value);
    let edits: [(&str, Edit, &[&str]); 8] = [
        (
            "another sampling ratio rolls the collector and changes the dashboards that tell it",
            |spec| spec["traces"]["sampling"]["ratio"] = json!("0.5"),
            &[
                "ConfigMap/trakt-collector",
                "ConfigMap/trakt-dashboard-metrics",
                "ConfigMap/trakt-dashboard-traces",
                "Deployment/trakt-collector",
            ],
        ),
        (
            "another objective changes the rules in the managed Prometheus and the SLO dashboard",
            |spec| spec["slos"][0]["objective"] = json!("99"),
            &["ConfigMap/trakt-dashboard-slos", "ConfigMap/trakt-prometheus"],
        ),
        (
            "another Jaeger image",
            |spec| spec["jaeger"] = json!({"image": "registry.example.com/jaeger:2.14.0"}),
            &["Deployment/trakt-jaeger"],
        ),
        (
            "another scrape interval",
            |spec| spec["metrics"]["interval"] = json!("15s"),
            &["ConfigMap/trakt-prometheus"],
        ),
        (
            "another instrument",
            |spec| spec["metrics"]["instruments"] = json!([{"name": "trakt_queue", "type": "Gauge"}]),
            &["ConfigMap/trakt-dashboard-metrics"],
        ),
        (
            "a label of the dashboards",
            |spec| spec["dashboards"] = json!({"labels": {"team": "media"}}),
            &[
                "ConfigMap/trakt-dashboard-logs",
                "ConfigMap/trakt-dashboard-metrics",
                "ConfigMap/trakt-dashboard-slos",
                "ConfigMap/trakt-dashboard-traces",
            ],
        ),
        (
            "one replica needs no disruption budget",
            |spec| spec["collector"] = json!({"replicas": 1}),
            &["Deployment/trakt-collector", "-PodDisruptionBudget/trakt-collector"],
        ),
        (
            "an alert label changes the rules only",
            |spec| spec["alerting"] = json!({"labels": {"team": "media"}}),
            &["ConfigMap/trakt-prometheus"],
        ),
    ];
    for (what, edit, expected) in edits {
        let before = versions(&client, &namespace).await;
        edit(&mut spec);
        settle(cluster, &client, &namespace, spec.clone()).await;
        let mut found = changed(&before, &versions(&client, &namespace).await);
        let mut expected: Vec<_> = expected.iter().map(|reference| (*reference).to_owned()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{what}");
    }
}

/// The API server refuses one child; the others are made, status names the child and what the API server said.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_child_is_named_and_does_not_stop_the_others() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("refused").await;
    let quota = format!(
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: none, namespace: {namespace}}}\nspec: {{hard: {{persistentvolumeclaims: '0'}}}}\n"
    );
    cluster.plane.apply(&quota).expect("a quota");
    let quotas: kube::Api<k8s_openapi::api::core::v1::ResourceQuota> =
        kube::Api::namespaced(client.clone(), &namespace);
    eventually("the quota to be in force", || {
        let quotas = quotas.clone();
        async move {
            let quota = quotas.get("none").await.map_err(|error| error.to_string())?;
            let used = quota.status.and_then(|status| status.used).unwrap_or_default();
            if used.contains_key("persistentvolumeclaims") { Ok(()) } else { Err(format!("{used:?}")) }
        }
    })
    .await;
    let operator = cluster.operator(&[&namespace], &[]);
    apply_profile(&client, &namespace, "trakt", full_spec()).await;
    let profile = observed(&client, &namespace, "trakt").await;
    let (ready, reason, message) = condition(&profile, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "ApplyFailed"), "{message}");
    assert!(message.contains("PersistentVolumeClaim/trakt-jaeger") && message.contains("quota"), "{message}");
    let made = children(&client, &namespace).await;
    assert!(made.contains_key("Deployment/trakt-jaeger") && made.contains_key("Deployment/trakt-collector"));
    let metrics = operator.page("/metrics").1;
    assert!(
        metrics.contains("telemetry_operator_reconcile_errors_total{reason=\"ApplyFailed\"}"),
        "{metrics}"
    );

    let output = output(cluster.plane.kubectl(["-n", &namespace, "delete", "resourcequota", "none"]));
    assert!(output.contains("deleted"), "{output}");
    wait_for_children(&client, &namespace, &["PersistentVolumeClaim/trakt-jaeger"], &[]).await;
}

/// From a fixed number to an autoscaler: the present number stays, and whatever the autoscaler writes is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_keeps_its_replicas() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("scale").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    let mut spec = minimal_spec();
    spec["collector"] = json!({"replicas": 3});
    apply_profile(&client, &namespace, "trakt", spec.clone()).await;
    observed(&client, &namespace, "trakt").await;
    let deployments: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
        kube::Api::namespaced(client.clone(), &namespace);
    let replicas = || async {
        deployments.get("trakt-collector").await.expect("the Deployment").spec.expect("a spec").replicas
    };
    assert_eq!(replicas().await, Some(3));
    spec["collector"] = json!({"autoscaling": {"min": 2, "max": 9}});
    settle(cluster, &client, &namespace, spec.clone()).await;
    assert_eq!(replicas().await, Some(3), "the number stays while it is handed over");

    // The autoscaler itself needs metrics of running pods; what it does is a write to the scale subresource.
    output(cluster.plane.kubectl(["-n", &namespace, "scale", "deployment/trakt-collector", "--replicas=7"]));
    cluster.quiet(&[&namespace]).await;
    // An edit that applies the Deployment again must not take the number back.
    spec["traces"] = json!({"sampling": {"ratio": "0.1"}});
    settle(cluster, &client, &namespace, spec.clone()).await;
    assert_eq!(replicas().await, Some(7));

    spec["collector"] = json!({"replicas": 2});
    apply_profile(&client, &namespace, "trakt", spec).await;
    observed(&client, &namespace, "trakt").await;
    assert_eq!(replicas().await, Some(2), "a fixed number is ours again");
}

/// Something at admission rewrites a field that the operator sets. It must not fight: the two would write for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_admission_rewrites_is_no_endless_fight() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("rewritten").await;
    let rule = "apiGroups: [apps], operations: [CREATE, UPDATE], resources: [deployments]";
    let mutation = r#"
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{spec: Object.spec{revisionHistoryLimit: 7}}"}"#;
    let policy = rewriting_policy(&namespace, rule, "Never", mutation);
    cluster.plane.apply(&policy).expect("a policy");
    let deployments = child_api(&client, &namespace, ChildKind::Deployment);
    // The policy is in force some time after it was written.
    let probe = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let probe: kube::core::DynamicObject = serde_json::from_value(probe).expect("a Deployment");
    eventually("the policy to be in force", || {
        let (deployments, probe) = (deployments.clone(), probe.clone());
        async move {
            let dry = kube::api::PostParams { dry_run: true, ..Default::default() };
            let made = deployments.create(&dry, &probe).await.map_err(|error| error.to_string())?;
            let limit = made.data["spec"]["revisionHistoryLimit"].clone();
            if limit == 7 { Ok(()) } else { Err(limit.to_string()) }
        }
    })
    .await;
    let _operator = cluster.operator(&[&namespace], &[]);
    settle(cluster, &client, &namespace, minimal_spec()).await;
    let live = deployments.get("trakt-collector").await.expect("the Deployment");
    assert_eq!(live.data["spec"]["revisionHistoryLimit"], 7, "the policy's value stands");
}

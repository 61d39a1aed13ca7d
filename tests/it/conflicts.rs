//! An object of somebody else under a name that we need is never touched, and is named.

use kube::api::PostParams;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;

use crate::common::*;

/// A foreign object of this kind: our labels are copied onto it, which must not fool anybody.
pub fn foreign(kind: ChildKind, name: &str) -> DynamicObject {
    let mut body = json!({
        "apiVersion": kind.api_version(), "kind": kind.name(),
        "metadata": {"name": name, "labels": {
            "app.kubernetes.io/managed-by": "telemetry-operator", "app.kubernetes.io/instance": "trakt"}},
    });
    let pods =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec: Value = match kind {
        ChildKind::NetworkPolicy => json!({"podSelector": {"matchLabels": {"a": "b"}}}),
        ChildKind::PersistentVolumeClaim => {
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}})
        }
        ChildKind::Service => json!({"ports": [{"port": 1}]}),
        ChildKind::Deployment => json!({"selector": {"matchLabels": {"a": "b"}}, "template": pods}),
        ChildKind::PodDisruptionBudget => json!({"maxUnavailable": 1}),
        ChildKind::HorizontalPodAutoscaler => {
            json!({"maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "x", "apiVersion": "apps/v1"}})
        }
        ChildKind::ServiceMonitor => json!({"selector": {}, "endpoints": []}),
        ChildKind::PodMonitor => json!({"selector": {}, "podMetricsEndpoints": []}),
        ChildKind::PrometheusRule => json!({"groups": []}),
        ChildKind::GrafanaDashboard | ChildKind::GrafanaDatasource => json!({"instanceSelector": {}}),
        ChildKind::ServiceAccount | ChildKind::RoleBinding | ChildKind::ConfigMap => Value::Null,
    };
    if !spec.is_null() {
        body["spec"] = spec;
    }
    if kind == ChildKind::RoleBinding {
        body["roleRef"] =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    }
    serde_json::from_value(body).expect("an object")
}

/// A full profile whose collector has both an autoscaler and a disruption budget.
fn spec() -> Value {
    let mut spec = full_spec();
    spec["collector"] = json!({"autoscaling": {"min": 2, "max": 4}});
    spec
}

/// Every child of the profile in turn is taken by somebody else. One profile for each: they run side by side.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_object_under_each_name_is_untouched_and_named() {
    let cluster = shared();
    let client = cluster.client().await;
    let first = cluster.namespace("conflict").await;
    let _operator = cluster.operator(&[&first], &[]);
    apply_profile(&client, &first, "trakt", spec()).await;
    let wanted = observed(&client, &first, "trakt").await.status.expect("a status").children;
    assert!(wanted.len() > 15, "{wanted:?}");
    check_each(cluster, &spec(), &wanted, &wanted).await;
}

/// For each of `taken`: with a foreign object in its place, it is untouched and named, and the others of `wanted` are made.
pub async fn check_each(cluster: &Cluster, spec: &Value, wanted: &[String], taken: &[String]) {
    let client = cluster.client().await;
    let mut namespaces = Vec::new();
    for _ in taken {
        namespaces.push(cluster.namespace("conflict").await);
    }
    let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
    let mut foreigners = Vec::new();
    for (reference, namespace) in taken.iter().zip(&names) {
        let (kind, name) = parse_reference(reference);
        let api = child_api(&client, namespace, kind);
        let object = api.create(&PostParams::default(), &foreign(kind, &name)).await;
        foreigners.push((kind, name, object.unwrap_or_else(|error| panic!("foreign {reference}: {error}"))));
    }
    let _operators = cluster.operator(&names, &[]);
    for namespace in &names {
        apply_profile(&client, namespace, "trakt", spec.clone()).await;
    }
    for ((reference, namespace), (kind, name, before)) in taken.iter().zip(&names).zip(&foreigners) {
        let profile = observed(&client, namespace, "trakt").await;
        let (status, _, message) = condition(&profile, "Conflicted");
        assert_eq!(status, "True", "{reference}: {message}");
        assert!(message.contains(reference.as_str()), "{message} does not name {reference}");
        let (ready, reason, _) = condition(&profile, "Ready");
        assert_eq!((ready.as_str(), reason.as_str()), ("False", "ForeignObject"), "{reference}");
        let made = profile.status.expect("a status").children;
        let others: Vec<_> = wanted.iter().filter(|other| *other != reference).cloned().collect();
        assert_eq!(made, others, "with {reference} taken the others are made");
        let live = child_api(&client, namespace, *kind).get(name).await.expect("the foreign object");
        let same = |object: &DynamicObject| (object.metadata.uid.clone(), without_server_fields(object));
        assert_eq!(same(&live), same(before), "{reference} was touched");
        let mut managers = live.metadata.managed_fields.iter().flatten();
        let touched = managers.any(|entry| entry.manager.as_deref() == Some("telemetry-operator"));
        assert!(!touched, "{reference} bears our field manager");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_foreign_object_goes_its_place_is_taken() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("conflict-ends").await;
    let services = child_api(&client, &namespace, ChildKind::Service);
    let object = foreign(ChildKind::Service, "trakt-collector");
    services.create(&PostParams::default(), &object).await.expect("the foreign Service");
    let _operator = cluster.operator(&[&namespace], &[]);
    apply_profile(&client, &namespace, "trakt", minimal_spec()).await;
    let profile = observed(&client, &namespace, "trakt").await;
    assert_eq!(condition(&profile, "Conflicted").0, "True");
    services.delete("trakt-collector", &Default::default()).await.expect("the foreign Service is deleted");
    wait_for_children(&client, &namespace, &["Service/trakt-collector"], &[]).await;
    wait_for_condition(&client, &namespace, "Conflicted", "False", DEADLINE).await;
}

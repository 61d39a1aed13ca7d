//! Kinds of the Prometheus Operator that appear while the operator runs are used, and when they vanish it goes back to
//! ConfigMaps. On a control plane of its own, since kinds are for the whole cluster.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use telemetry_operator::kinds::ChildKind;
use testbed::Part;

use crate::common::*;
use crate::{conflicts, drift};

pub fn crd(plural: &str) -> String {
    let folder = testbed::path(Part::PrometheusOperatorCrds).expect("the CRDs");
    let file = Path::new(&folder).join(format!("monitoring.coreos.com_{plural}.yaml"));
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_appear_are_used_and_kinds_that_vanish_are_left() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let namespace = cluster.namespace("kinds").await;
    let operator = cluster.operator(&[&namespace], &[]);
    let mut spec = full_spec();
    spec["metrics"] = json!({"prometheus": "Auto"});
    apply_profile(&client, &namespace, "trakt", spec.clone()).await;
    let objects = ["ServiceMonitor/trakt-collector", "PodMonitor/trakt-metrics", "PrometheusRule/trakt-slo"];
    let files = ["ConfigMap/trakt-metrics", "ConfigMap/trakt-slo"];
    wait_for_children(&client, &namespace, &files, &[]).await;

    for plural in ["servicemonitors", "podmonitors", "prometheusrules"] {
        cluster.plane.apply(&crd(plural)).expect("the CRD is accepted");
    }
    wait_for_children(&client, &namespace, &objects, &files).await;
    let profile = observed(&client, &namespace, "trakt").await;
    let effective = profile.status.expect("a status").effective.expect("effective settings");
    assert_eq!(
        (effective.scrape_by.as_deref(), effective.rules_by.as_deref()),
        (Some("Operator"), Some("Operator"))
    );

    // Objects of these kinds are watched, too.
    for reference in objects {
        let (kind, name) = parse_reference(reference);
        child_api(&client, &namespace, kind).delete(&name, &Default::default()).await.expect("deleted");
        wait_for_children(&client, &namespace, &[reference], &[]).await;
    }
    cluster.quiet(&[&namespace]).await;

    for plural in ["servicemonitors", "podmonitors", "prometheusrules"] {
        output(cluster.plane.kubectl(["delete", "crd", &format!("{plural}.monitoring.coreos.com")]));
    }
    wait_for_children(&client, &namespace, &files, &objects).await;
    cluster.quiet(&[&namespace]).await;
    let profile = observed(&client, &namespace, "trakt").await;
    assert_ne!(condition(&profile, "Ready").1, "ApplyFailed");
    let writes = cluster.operator_writes(&[&namespace]).len();
    let errors = |page: &str| {
        let lines = page.lines().filter(|line| line.starts_with("telemetry_operator_reconcile_errors_total"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = errors(&operator.page("/metrics").1);
    // Nothing is waited for: that no error loop goes on is shown by time alone.
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(errors(&operator.page("/metrics").1), before, "no reconcile fails any more");
    assert_eq!(cluster.operator_writes(&[&namespace]).len(), writes, "nothing is written any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_asked_for_and_not_served_is_named() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("unserved").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    let mut spec = full_spec();
    spec["metrics"] = json!({"prometheus": "Operator"});
    apply_profile(&client, &namespace, "trakt", spec).await;
    let profile = observed(&client, &namespace, "trakt").await;
    for (kind, child) in
        [("ScrapeTargetsUp", "PodMonitor/trakt-metrics"), ("RulesProvisioned", "PrometheusRule/trakt-slo")]
    {
        let (status, reason, message) = condition(&profile, kind);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "KindNotServed"), "{message}");
        assert!(message.contains(child), "{message}");
    }
    assert_eq!(condition(&profile, "Ready").0, "False");
}

/// The Grafana Operator's CRDs are not to be had from a package registry. This stands for one of them: the same names, any content.
pub fn grafana_crd(kind: ChildKind) -> String {
    let (kind, plural) = (kind.name(), kind.plural());
    format!(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.grafana.integreatly.org}}
spec:
  group: grafana.integreatly.org
  names: {{kind: {kind}, plural: {plural}}}
  scope: Namespaced
  versions:
  - name: v1beta1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    )
}

/// With all optional kinds served: each is written and repaired, and a foreign object under each of their names is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_optional_kinds_are_children_like_the_others() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    for plural in ["servicemonitors", "podmonitors", "prometheusrules"] {
        cluster.plane.apply(&crd(plural)).expect("the CRD is accepted");
    }
    for kind in [ChildKind::GrafanaDashboard, ChildKind::GrafanaDatasource] {
        cluster.plane.apply(&grafana_crd(kind)).expect("the CRD is accepted");
    }
    let kinds = [
        "servicemonitors.monitoring.coreos.com",
        "podmonitors.monitoring.coreos.com",
        "prometheusrules.monitoring.coreos.com",
        "grafanadashboards.grafana.integreatly.org",
        "grafanadatasources.grafana.integreatly.org",
    ];
    for kind in kinds {
        output(cluster.plane.kubectl([
            "wait",
            "--for=condition=Established",
            &format!("crd/{kind}"),
            "--timeout=60s",
        ]));
    }
    let namespace = cluster.namespace("optional").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    let mut spec = full_spec();
    spec["metrics"] = json!({"prometheus": "Operator"});
    spec["dashboards"] = json!({"delivery": "GrafanaOperator", "dataSources": "Provisioned"});
    apply_profile(&client, &namespace, "trakt", spec.clone()).await;
    let profile = observed(&client, &namespace, "trakt").await;
    assert_eq!(condition(&profile, "Ready").1, "PodsStarting");
    let wanted = profile.status.expect("a status").children;
    let optional: Vec<_> =
        wanted.iter().filter(|reference| parse_reference(reference).0.is_optional()).cloned().collect();
    let kinds: std::collections::BTreeSet<_> =
        optional.iter().map(|reference| parse_reference(reference).0).collect();
    assert_eq!(kinds.len(), 5, "{optional:?}");
    cluster.quiet(&[&namespace]).await;
    let before = versions(&client, &namespace).await;
    spec["service"]["version"] = json!("2.0.0");
    settle(&cluster, &client, &namespace, spec.clone()).await;
    let after = versions(&client, &namespace).await;
    for reference in &optional {
        assert_eq!(before.get(reference), after.get(reference), "{reference} does not depend on the version");
    }
    let target = drift::comparable(&children(&client, &namespace).await);
    for reference in &optional {
        for way in drift::DRIFTS {
            drift::harm_and_wait(&client, &namespace, reference, way, &target, "a drift").await;
        }
    }
    conflicts::check_each(&cluster, &spec, &wanted, &optional).await;
}

//! An operator that works everywhere does all that it can do: what it asks for is what its roles give, both ways. Then another
//! installation that works in one namespace takes that namespace over, and gives it back.

use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;

use super::granted::{granted, uncovered, unused};
use super::*;
use crate::kinds::{crd, grafana_crd};
use crate::sidecars;

/// It looks at the labels of namespaces.
const PROMETHEUS: &str = "
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: any, namespace: default}
spec:
  podMonitorSelector: {}
  podMonitorNamespaceSelector: {matchLabels: {observed: 'yes'}}
";

const OPTIONAL: [&str; 6] = [
    "servicemonitors.monitoring.coreos.com",
    "podmonitors.monitoring.coreos.com",
    "prometheusrules.monitoring.coreos.com",
    "prometheuses.monitoring.coreos.com",
    "grafanadashboards.grafana.integreatly.org",
    "grafanadatasources.grafana.integreatly.org",
];

/// A control plane with every optional kind and a node of which no kubelet knows.
async fn start() -> (Cluster, Client) {
    let cluster = Cluster::start();
    for kind in OPTIONAL {
        let (plural, group) = kind.split_once('.').expect("a group");
        let grafana =
            ChildKind::ALL.into_iter().find(|kind| kind.plural() == plural && group.starts_with("grafana"));
        let definition = grafana.map_or_else(|| crd(plural), grafana_crd);
        cluster.plane.apply(&definition).expect("the CRD is accepted");
    }
    for kind in OPTIONAL {
        let kind = format!("crd/{kind}");
        output(cluster.plane.kubectl(["wait", "--for=condition=Established", &kind, "--timeout=60s"]));
    }
    let client = cluster.client().await;
    let node = serde_json::from_value(json!({"metadata": {"name": "rights"}})).expect("a node");
    Api::<Node>::all(client.clone()).create(&PostParams::default(), &node).await.expect("the node is made");
    (cluster, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_is_used_and_nothing_else_is_asked_for() {
    let (cluster, client) = start().await;
    let installed = Installed::new(&cluster, "rights", &[], |_| ());
    installed.inject_by_policy();
    cluster.plane.apply(PROMETHEUS).expect("the Prometheus object is accepted");
    let [namespace, mode] = [cluster.namespace("rights").await, cluster.namespace("rights-mode").await];

    let operator = installed.operator(&[]);
    tokio::join!(
        children_come_and_go(&client, &namespace),
        an_event_comes_again(&client, &namespace),
        the_application_is_restarted(&client, &mode),
    );
    stop(operator);
    let operator = installed.operator_with_webhook();
    let probe = sidecars::bare_pod("probe", |_| ());
    webhook::wait_for_injection(&client, &mode, &probe).await;
    an_undecodable_profile_is_told(&cluster).await;
    stop(operator);

    let granted = granted(&installed.name);
    let requests = installed.requests();
    assert_eq!(
        uncovered(&granted, requests.iter()),
        [] as [&Request; 0],
        "asked for without a right, or refused"
    );
    assert_eq!(unused(&granted, requests.iter()), BTreeSet::new(), "granted and not used");

    another_installation_takes_over(&cluster, &client, &installed, &mode).await;
}

/// Ends it in order, so that the next one finds its Lease free.
fn stop(mut operator: Operator) {
    assert_eq!(operator.daemon.terminate().expect("it ends").code(), Some(0));
}

/// A profile that has an object of every kind in its time, and none in the end.
async fn children_come_and_go(client: &Client, namespace: &str) {
    let mut spec = full_spec();
    spec["collector"] = json!({"autoscaling": {"min": 2, "max": 4}});
    apply_profile(client, namespace, "trakt", spec.clone()).await;
    observed(client, namespace, "trakt").await;
    let mut seen = kinds(client, namespace).await;
    spec["metrics"] = json!({"prometheus": "Operator"});
    spec["dashboards"] = json!({"delivery": "GrafanaOperator", "dataSources": "Provisioned"});
    apply_profile(client, namespace, "trakt", spec.clone()).await;
    let words = "PodMonitor/trakt-metrics";
    wait_for_children(client, namespace, &[words], &["Deployment/trakt-prometheus"]).await;
    told(client, namespace, "trakt", "ScrapeTargetsUp", &["observed=yes"]).await;
    seen.extend(kinds(client, namespace).await);
    assert_eq!(seen, ChildKind::ALL.into_iter().collect(), "a kind has no object");
    let off = json!({"enabled": false});
    let spec = json!({"selector": spec["selector"], "service": spec["service"], "traces": off, "metrics": off, "dashboards": off});
    apply_profile(client, namespace, "trakt", spec).await;
    eventually("every object to be deleted", || async {
        let mut left = children(client, namespace).await;
        left.retain(|reference, _| reference.contains("/trakt-"));
        if left.is_empty() { Ok(()) } else { Err(format!("{:?}", left.keys())) }
    })
    .await;
}

async fn kinds(client: &Client, namespace: &str) -> BTreeSet<ChildKind> {
    children(client, namespace).await.keys().map(|reference| parse_reference(reference).0).collect()
}

/// A profile is wrong, then right, then wrong in the same way: the second event is the first one once more.
async fn an_event_comes_again(client: &Client, namespace: &str) {
    let ratio = |total: &str| json!([{"name": "calls", "objective": "99", "ratio": {"bad": "bad_total", "total": total}}]);
    for (total, is_wrong) in [("rate(x[5m])", true), ("all_total", false), ("rate(x[5m])", true)] {
        let mut spec = minimal_spec();
        spec["slos"] = ratio(total);
        apply_profile(client, namespace, "wrong", spec).await;
        let profile = observed(client, namespace, "wrong").await;
        let (_, reason, message) = condition(&profile, "Ready");
        assert_eq!(reason == "InvalidProfile", is_wrong, "{reason}: {message}");
    }
    profiles(client, namespace).delete("wrong", &Default::default()).await.expect("it is deleted");
}

/// A workload of each kind, made before its profile: its pods are missed, and it is restarted.
async fn the_application_is_restarted(client: &Client, namespace: &str) {
    let workloads = [("Deployment", "web"), ("StatefulSet", "db"), ("DaemonSet", "agent")];
    for (kind, name) in workloads {
        let mut workload = sidecars::workload(kind, name, 1);
        // A node without a kubelet bears a taint.
        workload["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        sidecars::create(client, namespace, kind, workload).await;
    }
    sidecars::wait_for_pods(client, namespace, sidecars::APP, workloads.len()).await;
    sidecars::make_ready(client, namespace).await;
    let mut spec = sidecars::spec("Auto", "1");
    spec["metrics"] = json!({"prometheus": "Managed"});
    apply_profile(client, namespace, "trakt", spec).await;
    sidecars::wait_for(client, namespace, (3, 0, 0, 0), "AllInjected", &[], true).await;
}

/// Another version of the CRD lets a profile through that this operator cannot read.
async fn an_undecodable_profile_is_told(cluster: &Cluster) {
    let definition = repository_file("crds/telemetryprofile.yaml");
    let mut anything: Value = serde_yaml::from_str(&definition).expect("YAML");
    anything["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    cluster.plane.apply(&anything.to_string()).expect("the other CRD");
    let namespace = cluster.namespace("rights-undecodable").await;
    let profile = json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
        "metadata": {"name": "odd"}, "spec": {"selector": 5}});
    eventually("the CRD to let it through and the operator to tell", || async {
        cluster.plane.apply_in(Some(&namespace), &profile.to_string()).map_err(|error| error.to_string())?;
        let get = ["get", "tp", "odd", "-n", &namespace, "-o", "jsonpath={.status.conditions}"];
        let found = testbed::output(&mut cluster.plane.kubectl(get)).map_err(|error| error.to_string())?;
        if found.contains("Ready") { Ok(()) } else { Err(found) }
    })
    .await;
    output(cluster.plane.kubectl(["delete", "tp", "odd", "-n", &namespace]));
    cluster.plane.apply(&definition).expect("the CRD");
}

/// Whose role the managed Prometheus has, and which object says so.
async fn role(client: &Client, namespace: &str) -> Result<(String, Option<String>), String> {
    let api = child_api(client, namespace, ChildKind::RoleBinding);
    let binding = api.get("trakt-prometheus").await.map_err(|error| error.to_string())?;
    let role = &binding.data["roleRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((format!("{}/{}", text(&role["kind"]), text(&role["name"])), binding.uid()))
}

/// A binding's role cannot be changed: it is made anew, once, and nothing fails for it.
async fn another_installation_takes_over(
    cluster: &Cluster,
    client: &Client,
    everywhere: &Installed<'_>,
    namespace: &str,
) {
    let other = Installed::new(cluster, "other", &[namespace], |_| ());
    other.inject_by_policy();
    let mut spec = minimal_spec();
    spec["selector"]["matchLabels"]["app"] = json!("z");
    spec["metrics"] = json!({"prometheus": "Operator"});
    apply_profile(client, namespace, "monitored", spec).await;
    let mut before = role(client, namespace).await.expect("the binding");
    assert_eq!(before.0, "ClusterRole/rights-prometheus");
    for (installed, expected) in
        [(&other, "Role/other-prometheus"), (everywhere, "ClusterRole/rights-prometheus")]
    {
        let operator = installed.operator(&[]);
        let now = eventually(&format!("the role {expected}"), || async {
            let found = role(client, namespace).await?;
            if found.0 == expected { Ok(found) } else { Err(found.0) }
        })
        .await;
        assert_ne!(now.1, before.1, "it is the same object");
        if installed.watched.is_empty() {
            told(client, namespace, "monitored", "ScrapeTargetsUp", &["observed=yes"]).await;
        } else {
            told(
                client,
                namespace,
                "monitored",
                "ScrapeTargetsUp",
                &["does not look for objects of kind Prometheus"],
            )
            .await;
        }
        // Something else to do, after which no error is counted.
        let mut spec = sidecars::spec("Auto", "1");
        spec["metrics"] = json!({"prometheus": "Managed", "interval": if expected.starts_with("Role") { "20s" } else { "25s" }});
        apply_profile(client, namespace, "trakt", spec).await;
        observed(client, namespace, "trakt").await;
        let page = operator.page("/metrics").1;
        let errors =
            page.lines().filter(|line| line.starts_with("telemetry_operator_reconcile_errors_total{"));
        assert_eq!(errors.collect::<Vec<_>>(), [] as [&str; 0]);
        assert_eq!(role(client, namespace).await.expect("the binding"), now, "it was made again");
        before = now;
        stop(operator);
    }
    assert_eq!(uncovered(&granted(&other.name), other.requests().iter()), [] as [&Request; 0]);
}

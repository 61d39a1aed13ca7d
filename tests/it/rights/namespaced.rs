//! Two installations in one cluster, each in one namespace, with Roles there: both work, by their own webhooks, nothing is refused
//! to either, and neither touches what is the other's.

use kube::Client;
use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;

use super::granted::{granted, uncovered};
use super::*;
use crate::sidecars;
use crate::webhook::{configuration, has_sidecar, wait_for_injection};

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_work_side_by_side_with_rights_in_their_namespaces_only() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let namespaces = [cluster.namespace("first").await, cluster.namespace("second").await];
    let installations = [
        Installed::new(cluster, "first", &[&namespaces[0]], |_| ()),
        Installed::new(cluster, "second", &[&namespaces[1]], |_| ()),
    ];
    let operators = installations.each_ref().map(Installed::operator_with_webhook);
    let probe = sidecars::bare_pod("probe", |_| ());
    for namespace in &namespaces {
        let mut spec = sidecars::spec("Manual", namespace);
        spec["metrics"] = json!({"prometheus": "Managed"});
        apply_profile(&client, namespace, "trakt", spec).await;
        observed(&client, namespace, "trakt").await;
        wait_for_injection(&client, namespace, &probe).await;
    }
    // Each has told the API server of its own profile only.
    for (installed, namespace) in installations.iter().zip(&namespaces) {
        let entries = configuration(&client, &installed.name.webhook()).await.webhooks.unwrap_or_default();
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, [format!("trakt.{namespace}.sidecar.telemetry-operator.dev")]);
    }
    for (installed, namespace) in installations.iter().zip(&namespaces) {
        is_bound_to(&client, namespace, &format!("{}-prometheus", installed.name)).await;
    }
    // The first one goes: the other's pods get their sidecar as before, and its objects stay as they are.
    let [first, second] = operators;
    drop(first);
    let before = versions(&client, &namespaces[1]).await;
    let made = crate::injection::dry_run(&client, &namespaces[1], &probe).await.expect("a pod");
    assert!(has_sidecar(&made), "{made}");
    assert_eq!(versions(&client, &namespaces[1]).await, before);
    drop(second);
    for (installed, namespace) in installations.iter().zip(&namespaces) {
        let requests = installed.requests();
        assert_eq!(uncovered(&granted(&installed.name), requests.iter()), [] as [&Request; 0]);
        let allowed = [namespace.as_str(), installed.namespace.as_str(), ""];
        let astray: Vec<_> =
            requests.iter().filter(|request| !allowed.contains(&request.namespace.as_str())).collect();
        assert_eq!(astray, [] as [&Request; 0], "{} in a namespace of others", installed.name);
        let at_large: BTreeSet<_> = requests.iter().filter(|request| request.namespace.is_empty()).collect();
        assert!(at_large.iter().all(|request| request.name == installed.name.webhook()), "{at_large:?}");
    }
}

async fn is_bound_to(client: &Client, namespace: &str, role: &str) {
    let api = child_api(client, namespace, ChildKind::RoleBinding);
    let binding = api.get("trakt-prometheus").await.expect("the binding");
    let group = "rbac.authorization.k8s.io";
    let expected: Value = json!({"apiGroup": group, "kind": "Role", "name": role});
    assert_eq!(binding.data["roleRef"], expected);
}

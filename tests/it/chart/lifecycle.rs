//! A release of each set of values is installed, upgraded twice, rolled back and uninstalled by the real Helm. In: the sets. Out:
//! whether the cluster follows its manifest, and whether the operator works on with the rights that it gets. It talks to the cluster.

use kube::Client;
use serde_json::json;
use testbed::Part;

use super::NAMESPACE;
use super::release::Release;
use crate::common::*;

type Planned = (&'static str, &'static str, &'static [&'static str], Option<(&'static str, &'static str)>);

/// A set, the release's name, more values, and the operator's namespace and account where it runs. The first one brings the kind,
/// which stays. The rights of an account are looked up by its name, so it is the installation's.
const RELEASES: [Planned; 6] = [
    ("defaults", "telemetry-operator", &[], Some((NAMESPACE, "telemetry-operator"))),
    ("other-names", "second", &["serviceAccount.name=observe"], Some(("observe-system", "observe"))),
    ("namespaced", "telemetry-operator", &[], Some((NAMESPACE, "telemetry-operator"))),
    ("two-replicas", "telemetry-operator", &[], None),
    ("everything-on", "telemetry-operator", &[], None),
    ("webhook", "telemetry-operator", &[], None),
];
/// Upgrades, each with an object that the other has not.
const UPGRADES: [&[&str]; 2] = [
    &["networkPolicy.enabled=true", "podDisruptionBudget.enabled=false", "log.filter=debug"],
    &["networkPolicy.enabled=false", "podDisruptionBudget.enabled=true", "log.filter=warn"],
];
/// A namespace in which every set has the operator work.
const WATCHED: &str = "media";
const KIND: &str = "customresourcedefinition.apiextensions.k8s.io/telemetryprofiles.telemetry-operator.dev\n";

/// The operator does what a new version of the profile says.
async fn works(client: &Client, operator: Option<&Operator>, version: &str) {
    if operator.is_none() {
        return;
    }
    let mut spec = minimal_spec();
    spec["service"]["version"] = json!(version);
    apply_profile(client, WATCHED, "trakt", spec).await;
    observed(client, WATCHED, "trakt").await;
    eventually(&format!("the children to tell of version {version}"), || async {
        let children = children(client, WATCHED).await;
        let told = children.values().any(|child| json!(child).to_string().contains(version));
        if told { Ok(()) } else { Err(format!("{:?}", children.keys())) }
    })
    .await;
}

async fn lives_and_ends(
    cluster: &Cluster,
    client: &Client,
    release: &mut Release<'_>,
    more: &[&str],
    runs: bool,
) {
    let step = |number: u32| format!("{number}.0.0-{}", release.name);
    let versions = [1, 2, 3].map(step);
    release.apply("install", more);
    let first = release.stands();
    let mut operator = runs.then(|| release.operator(&[]));
    works(client, operator.as_ref(), &versions[0]).await;
    let mut before = first.clone();
    for upgrade in UPGRADES {
        release.apply("upgrade", &[more, upgrade].concat());
        let after = release.stands();
        assert_ne!(before, after, "an upgrade without a change");
        before = after;
    }
    if let Some(mut old) = operator.take() {
        old.daemon.terminate().expect("it ends");
        operator = Some(release.operator(&[]));
    }
    works(client, operator.as_ref(), &versions[1]).await;
    release.helm(&["rollback", release.name, "1"]);
    assert_eq!(release.stands(), first, "a rollback to something else");
    works(client, operator.as_ref(), &versions[2]).await;
    if let Some(mut operator) = operator {
        operator.daemon.terminate().expect("it ends");
    }
    release.helm(&["uninstall", release.name]);
    let kind =
        if first.iter().any(|object| object["kind"] == "CustomResourceDefinition") { KIND } else { "" };
    eventually("only the kind to be left", || async {
        let left = release.left();
        if left == kind { Ok(()) } else { Err(left) }
    })
    .await;
    let profiles = output(cluster.plane.kubectl(["get", "telemetryprofiles", "-n", WATCHED, "-o", "name"]));
    assert_eq!(profiles, "telemetryprofile.telemetry-operator.dev/trakt\n", "profiles outlive a release");
}

#[tokio::test]
async fn a_release_of_every_set_lives_and_ends() {
    let cluster = Cluster::empty();
    let mut definitions = cluster.plane.kubectl(["apply", "--server-side", "-f"]);
    definitions.arg(testbed::path(Part::PrometheusOperatorCrds).expect("the definitions"));
    output(definitions);
    for namespace in [WATCHED, "shop", "observe-system"] {
        output(cluster.plane.kubectl(["create", "namespace", namespace]));
    }
    let client = cluster.client().await;
    for (set, name, more, runs) in RELEASES {
        let mut release = Release::new(&cluster, name, NAMESPACE, set);
        lives_and_ends(&cluster, &client, &mut release, more, runs.is_some()).await;
        let refused: Vec<_> = requests(cluster.plane.audit_log())
            .into_iter()
            .filter(|request| request.refusal.is_some() && Some(request.who()) == runs)
            .collect();
        assert!(refused.is_empty(), "{set}: {refused:#?}");
    }
    // The garbage collector has heard of the kind by now (it looks every 30 seconds), so that the children go with it.
    output(cluster.plane.kubectl([
        "delete",
        "crd",
        "telemetryprofiles.telemetry-operator.dev",
        "--timeout=60s",
    ]));
    wait_for_children(&client, WATCHED, &[], &["Deployment/trakt-collector", "ConfigMap/trakt-collector"])
        .await;
}

//! The chart's life on a real node: installed, upgraded twice, rolled back and removed, with an application that runs on. In: the
//! chart. Out: whether what the operator wrote stays, and what is left in the end. It talks to the cluster.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testbed::{OPERATOR_NAMESPACE, RELEASE, Stack, output};

use crate::common::{EXPORTER, Site, start};
use crate::image::ARCHIVE;

/// Kinds outside of namespaces of which the chart makes objects.
const CLUSTER_SCOPED: &str = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,\
    mutatingadmissionpolicies,mutatingadmissionpolicybindings";

fn upgrade(stack: &Stack, values: &[&str]) {
    let mut helm = stack.helm_install(&[]).unwrap();
    for value in values {
        helm.args(["--set", value]);
    }
    output(&mut helm).unwrap();
}

/// Helm's answer to a command about the release.
fn release(stack: &Stack, arguments: &[&str]) -> String {
    let mut helm = stack.helm().unwrap();
    output(helm.args(arguments).args(["--namespace", OPERATOR_NAMESPACE])).unwrap()
}

/// The pods of an application by name, with how often their containers were started again.
fn pods(site: &Site<'_>) -> BTreeMap<String, u64> {
    let list = site.list(&format!("pods -l app.kubernetes.io/name={EXPORTER}"));
    let restarts = |pod: &Value| {
        let statuses =
            ["containerStatuses", "initContainerStatuses"].map(|key| pod["status"][key].as_array());
        statuses.into_iter().flatten().flatten().filter_map(|status| status["restartCount"].as_u64()).sum()
    };
    list.iter().map(|pod| (pod["metadata"]["name"].as_str().unwrap().to_owned(), restarts(pod))).collect()
}

/// Certificate and key of the webhook, and whom the API server trusts.
fn certificate(stack: &Stack) -> (Value, Value) {
    let secret = stack.get(OPERATOR_NAMESPACE, &format!("secret/{RELEASE}-webhook")).unwrap();
    let webhook =
        stack.get(OPERATOR_NAMESPACE, &format!("mutatingwebhookconfiguration/{RELEASE}-webhook")).unwrap();
    (secret["data"].clone(), webhook["webhooks"][0]["clientConfig"]["caBundle"].clone())
}

/// The names of what the release has outside of namespaces.
fn left(stack: &Stack) -> Vec<String> {
    let names = stack.kubectl(&format!("get {CLUSTER_SCOPED} -o name")).unwrap();
    names.lines().filter(|name| name.contains(RELEASE)).map(str::to_owned).collect()
}

/// A pod that a profile selects starts, whoever injects.
fn starts(site: &Site<'_>, name: &str) {
    site.kubectl(&format!("rollout restart deployment/{name}")).unwrap();
    site.available(name);
}

#[test]
fn a_release_lives_and_ends() {
    let stack = start(&[]);
    let site = Site::new(&stack, "lifecycle");
    // The operator asks its Prometheus by name: Ready means that the image can resolve names.
    site.exporter_profile(&json!({"metrics": {"prometheus": "Managed"}}));
    site.run_exporter();
    site.ready(EXPORTER);
    let before = pods(&site);
    assert!(!before.is_empty() && before.values().all(|restarts| *restarts == 0), "{before:?}");
    assert!(release(&stack, &["test", RELEASE]).contains("Succeeded"));

    // From now on the image that the Dockerfile makes.
    stack.node().load_archive(&ARCHIVE).unwrap();
    let built = "image.repository=localhost/telemetry-operator,image.tag=built";
    upgrade(&stack, &[built, "injection.mode=Webhook", "replicaCount=2"]);
    site.ready(EXPORTER);
    let lease = stack.get(OPERATOR_NAMESPACE, &format!("lease/{RELEASE}")).unwrap();
    let written = site.wait("the webhook's certificate", || {
        let written = certificate(&stack);
        Ok((written.0.is_object() && written.1.is_string()).then_some(written))
    });

    upgrade(&stack, &[built, "injection.mode=Webhook", "replicaCount=2", "log.filter=debug"]);
    site.ready(EXPORTER);
    assert_eq!(certificate(&stack), written, "an upgrade touched the certificate");
    let after = stack.get(OPERATOR_NAMESPACE, &format!("lease/{RELEASE}")).unwrap();
    assert_eq!(after["metadata"]["uid"], lease["metadata"]["uid"], "an upgrade made the Lease anew");
    assert_eq!(pods(&site), before, "upgrades touched the application");

    release(&stack, &["rollback", RELEASE, "1", "--wait", "--timeout", "120s"]);
    site.ready(EXPORTER);
    assert_eq!(pods(&site), before, "a rollback touched the application");
    let injecting = left(&stack).join(" ");
    assert!(injecting.contains("mutatingadmissionpolicy"), "{injecting}");
    assert!(!injecting.contains("mutatingwebhook"), "{injecting}");

    let told = release(&stack, &["uninstall", RELEASE, "--wait"]);
    assert!(
        told.contains("telemetryprofiles.telemetry-operator.dev"),
        "Helm says that the kind stays: {told}"
    );
    assert_eq!(left(&stack), [""; 0], "left by uninstall");
    assert_eq!(pods(&site), before, "uninstall touched the application");
    starts(&site, EXPORTER);
    stack.kubectl(&format!("delete namespace {} --timeout=60s", site.namespace)).unwrap();
    stack.kubectl(&format!("delete namespace {OPERATOR_NAMESPACE} --timeout=60s")).unwrap();
    stack.kubectl("delete crd telemetryprofiles.telemetry-operator.dev --timeout=60s").unwrap();
}

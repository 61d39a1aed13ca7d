//! The end of an installation, in every order that makes a difference. In: orders of steps. Out: whether pods still start after each
//! step, whether namespaces go, and what is left. It talks to the cluster.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serde_json::{Value, json};
use testbed::free_ports;

use super::release::Release;
use crate::common::*;
use crate::injection::{dry_run, wait_until_injected};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    DeleteProfile,
    Uninstall,
    DeleteKind,
    DeleteApplication,
    DeleteOperator,
}
use Step::{DeleteApplication, DeleteKind, DeleteOperator, DeleteProfile, Uninstall};

/// The kind takes the profiles with it, so nothing is left for `DeleteProfile` after it; and with the operator's namespace goes what
/// Helm knows of the release, so nothing is left for `Uninstall`. Namespaces that no step names are deleted at the end.
const ORDERS: [&[Step]; 8] = [
    &[DeleteProfile, Uninstall, DeleteKind],
    &[DeleteProfile, DeleteKind, Uninstall],
    &[Uninstall, DeleteKind],
    &[DeleteKind, Uninstall],
    &[DeleteApplication, Uninstall, DeleteKind],
    &[DeleteOperator, DeleteProfile, DeleteKind],
    &[DeleteKind, DeleteOperator, DeleteApplication],
    &[Uninstall, DeleteProfile, DeleteKind],
];
/// The webhook's, where its configuration is there without its Service, or the profiles without the operator.
const WEBHOOK_ORDERS: [&[Step]; 4] = [
    &[DeleteKind, Uninstall],
    &[DeleteOperator, DeleteProfile, DeleteKind],
    &[DeleteApplication, DeleteOperator, DeleteKind],
    &[Uninstall, DeleteProfile, DeleteKind],
];

const RELEASE: &str = "telemetry-operator";
/// What is left outside of namespaces when the operator's namespace was deleted instead of the release: Helm kept there what it knew
/// of it, and nothing that is in no namespace belongs to one. One command deletes it.
const LEFT_WITHOUT_HELM: [&str; 8] = [
    "clusterrole.rbac.authorization.k8s.io/telemetry-operator",
    "clusterrole.rbac.authorization.k8s.io/telemetry-operator-edit",
    "clusterrole.rbac.authorization.k8s.io/telemetry-operator-prometheus",
    "clusterrole.rbac.authorization.k8s.io/telemetry-operator-view",
    "clusterrolebinding.rbac.authorization.k8s.io/telemetry-operator",
    "mutatingadmissionpolicy.admissionregistration.k8s.io/telemetry-operator-sidecar",
    "mutatingadmissionpolicybinding.admissionregistration.k8s.io/telemetry-operator-sidecar",
    "mutatingwebhookconfiguration.admissionregistration.k8s.io/telemetry-operator-webhook",
];
const REST: &str = "clusterroles,clusterrolebindings,mutatingadmissionpolicies,mutatingadmissionpolicybindings,\
    mutatingwebhookconfigurations";

/// A cluster, and a namespace in which nothing is ever installed.
struct Site {
    cluster: Cluster,
    client: Client,
    other: String,
    namespaced: String,
    global: String,
}

impl Site {
    async fn start() -> Self {
        let cluster = Cluster::empty();
        let kinds = |namespaced: &str| {
            let list = ["api-resources", "--verbs=list,create", "--output=name", namespaced];
            let kinds = output(cluster.plane.kubectl(list));
            // Kubernetes' own: events, and the address of each Service.
            let own = |kind: &&str| kind.starts_with("events") || kind.starts_with("ipaddresses");
            kinds.lines().filter(|kind| !own(kind)).collect::<Vec<_>>().join(",")
        };
        let (namespaced, global) = (kinds("--namespaced=true"), kinds("--namespaced=false"));
        let client = cluster.client().await;
        let other = cluster.namespace("other").await;
        Self { cluster, client, other, namespaced, global }
    }

    fn kubectl(&self, arguments: &str) -> String {
        output(self.cluster.plane.kubectl(arguments.split_whitespace()))
    }

    /// Kind/name of all objects in a namespace, or outside of namespaces.
    fn objects(&self, namespace: Option<&str>) -> BTreeSet<String> {
        let names = match namespace {
            Some(namespace) => self.kubectl(&format!("get {} -n {namespace} -o name", self.namespaced)),
            None => self.kubectl(&format!("get {} -o name", self.global)),
        };
        names.lines().filter(|name| !name.starts_with("namespace/")).map(str::to_owned).collect()
    }

    /// A pod that the profile selects can be made, with a sidecar or without.
    async fn pods_start(&self, namespaces: &[&str], after: &str) {
        for namespace in namespaces {
            let made = dry_run(&self.client, namespace, &pod()).await;
            made.unwrap_or_else(|error| panic!("no pod in {namespace} after {after}: {error}"));
        }
    }

    async fn gone(&self, namespace: &str) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        eventually_within(&format!("{namespace} to be gone"), std::time::Duration::from_secs(60), || async {
            match api.get_opt(namespace).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app.kubernetes.io/name": "export-trakt"}},
    "spec": {
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "web", "image": "web:1", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    }})
}

/// An installation at work, and what was there before it.
struct Installed<'a> {
    site: &'a Site,
    release: Release<'a>,
    operator: Option<Operator>,
    application: &'a str,
    before: [BTreeSet<String>; 2],
    gone: Vec<Step>,
}

impl<'a> Installed<'a> {
    async fn new(site: &'a Site, mode: &str, namespace: &'a str, application: &'a str, keep: bool) -> Self {
        let before = [site.objects(None), site.objects(Some(application))];
        let release = Release::new(&site.cluster, RELEASE, namespace, "defaults");
        release.apply("install", &[&format!("injection.mode={mode}"), &format!("crds.keep={keep}")]);
        let [port] = free_ports().expect("a port");
        let (listen, port) = (format!("127.0.0.1:{port}"), port.to_string());
        let mut arguments = Vec::new();
        if mode == "Webhook" {
            // Without a node nothing serves the Service's address.
            let service = json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "telemetry-operator-webhook", "namespace": namespace},
                "spec": {"type": "ExternalName", "externalName": "127.0.0.1"}});
            site.kubectl(&format!("delete service telemetry-operator-webhook -n {namespace}"));
            site.cluster.plane.apply(&service.to_string()).expect("a Service");
            arguments = vec!["--webhook-listen", &listen, "--webhook-port", &port];
        }
        let operator = Some(release.operator(&arguments));
        apply_profile(&site.client, application, "trakt", full_spec()).await;
        observed(&site.client, application, "trakt").await;
        wait_until_injected(&site.client, application, &pod()).await;
        assert!(children(&site.client, application).await.len() > 5, "the profile has no children");
        Self { site, release, operator, application, before, gone: Vec::new() }
    }

    /// The operator's pods end with the release or with its namespace. Until then they bear what goes.
    fn stop(&mut self) {
        if let Some(mut operator) = self.operator.take() {
            assert_eq!(operator.page("/healthz").0, 200, "after {:?}", self.gone);
            operator.daemon.terminate().expect("it ends");
        }
    }

    fn take(&mut self, step: Step) {
        let (site, namespace, application) = (self.site, self.release.namespace, self.application);
        match step {
            DeleteProfile => {
                site.kubectl(&format!("delete telemetryprofile trakt -n {application} --timeout=60s"))
            }
            DeleteKind => site.kubectl(
                "delete crd telemetryprofiles.telemetry-operator.dev --ignore-not-found --timeout=60s",
            ),
            DeleteApplication => site.kubectl(&format!("delete namespace {application} --timeout=60s")),
            Uninstall => {
                self.stop();
                self.release.helm(&["uninstall", RELEASE])
            }
            DeleteOperator => {
                self.stop();
                site.kubectl(&format!("delete namespace {namespace} --timeout=60s"))
            }
        };
        self.gone.push(step);
    }

    fn is_gone(&self, step: Step) -> bool {
        self.gone.contains(&step)
    }

    async fn pods_start(&self) {
        let namespaces = [self.site.other.as_str(), self.application];
        let there = if self.is_gone(DeleteApplication) { 1 } else { 2 };
        self.site.pods_start(&namespaces[..there], &format!("{:?}", self.gone)).await;
    }

    /// Nothing that the profile made is there any more. The garbage collector hears of a new kind within 30 seconds; only the last
    /// order waits for that. Where a kind goes before, children stay until their namespace goes: nobody can ask for their owner.
    async fn application_is_as_before(&self) {
        eventually(&format!("{} to be as before, after {:?}", self.application, self.gone), || async {
            let children = children(&self.site.client, self.application).await;
            if !children.is_empty() {
                return Err(format!("{:?}", children.keys()));
            }
            let now = self.site.objects(Some(self.application));
            let more: Vec<_> = now.difference(&self.before[1]).collect();
            if more.is_empty() { Ok(()) } else { Err(format!("{more:?}")) }
        })
        .await;
    }

    fn left(&self) -> Vec<String> {
        self.site.objects(None).difference(&self.before[0]).cloned().collect()
    }
}

async fn ends(site: &Site, mode: &str, number: usize, order: &[Step], waits: bool) {
    let application = site.cluster.namespace("application").await;
    let namespace = format!("operator-{number}");
    // Once the release takes the kind with it, and with the kind the profiles.
    let keep = *order != [Uninstall, DeleteKind];
    let mut installed = Installed::new(site, mode, &namespace, &application, keep).await;
    for step in order {
        installed.take(*step);
        installed.pods_start().await;
        if *step == DeleteProfile && waits {
            installed.application_is_as_before().await;
        }
    }
    let left = installed.left();
    if installed.is_gone(Uninstall) {
        assert_eq!(left, [""; 0], "left after {order:?}");
    } else {
        let other = if mode == "Policy" { "mutatingwebhook" } else { "mutatingadmission" };
        let expected: Vec<_> =
            LEFT_WITHOUT_HELM.into_iter().filter(|name| !name.starts_with(other)).collect();
        assert_eq!(left, expected, "left after {order:?}");
        site.kubectl(&format!("delete {REST} -l app.kubernetes.io/instance={RELEASE}"));
        assert_eq!(installed.left(), [""; 0], "left after the last command");
        installed.pods_start().await;
    }
    site.kubectl(&format!("delete namespace {namespace} {application} --ignore-not-found --wait=false"));
}

async fn in_every_order(mode: &str, orders: &[&[Step]]) {
    let site = Site::start().await;
    for (number, order) in orders.iter().enumerate() {
        ends(&site, mode, number, order, number + 1 == orders.len()).await;
    }
    let all = site.kubectl("get namespaces -o name");
    for namespace in all.lines().filter_map(|name| name.strip_prefix("namespace/")) {
        if namespace.starts_with("application-") || namespace.starts_with("operator-") {
            site.gone(namespace).await;
        }
    }
}

#[tokio::test]
async fn pods_start_and_namespaces_go_in_every_order_of_an_uninstall() {
    in_every_order("Policy", &ORDERS).await;
}

#[tokio::test]
async fn pods_start_and_namespaces_go_in_every_order_with_a_webhook() {
    in_every_order("Webhook", &WEBHOOK_ORDERS).await;
}

//! The rights that an installation asks for, derived from the table of kinds. Pure.
//!
//! In: the installation's name. Out: [`Rules`], by the scope in which they are needed, each with its reason.
//! `charts/telemetry-operator/files/rules.yaml` and `docs/rights.md` are made from here, the chart makes roles of it, and a
//! test compares them with what the operator does.

mod page;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::Serialize;

use crate::installation::Installation;
use crate::kinds::ChildKind;
use crate::profile::{GROUP, PLURAL};
pub use page::markdown;

/// The group of what is asked when a pod is made.
const ADMISSION: &str = "admissionregistration.k8s.io";

/// A rule, and why it is there.
#[derive(Clone, Debug, Serialize)]
pub struct Right {
    /// The rule, as in a role.
    #[serde(flatten)]
    pub rule: PolicyRule,
    /// What it is needed for.
    #[serde(skip)]
    pub why: &'static str,
}

/// Rights by scope. Each becomes a role of its own.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Of the operator, where profiles are: in each watched namespace, or everywhere.
    pub profiles: Vec<Right>,
    /// Of the operator, in the same place, and not needed to work: without them the status of a profile with
    /// `sidecar.rollout: Auto` names the workload that the operator may not restart.
    pub restarts: Vec<Right>,
    /// Of the operator, where the policy injects: on what is in no namespace, by name.
    pub policy: Vec<Right>,
    /// Of the operator, where its webhook injects: on what is in no namespace, by name.
    pub webhook: Vec<Right>,
    /// Of the operator, where its webhook injects: in its own namespace, by name.
    pub certificates: Vec<Right>,
    /// Of the operator that works everywhere: what helps to find the Prometheus that selects a monitor.
    pub discovery: Vec<Right>,
    /// Of the operator, in its own namespace, by name.
    pub own: Vec<Right>,
    /// Of a managed Prometheus, in its namespace.
    pub prometheus: Vec<Right>,
    /// Of people who may see profiles.
    pub view: Vec<Right>,
    /// Of people who may also write them.
    pub edit: Vec<Right>,
}

/// Every right that goes with this installation. No Secret but one, no wildcard, no right to pass on what the operator does not
/// have itself.
#[must_use]
pub fn rules(installation: &Installation) -> Rules {
    Rules {
        profiles: profiles(),
        restarts: vec![rule(
            "apps",
            &["daemonsets", "statefulsets"],
            &["get", "patch"],
            "restarts the workloads whose pods lack their sidecar, where the profile says `sidecar.rollout: Auto`",
        )],
        // Nothing here is made or deleted: the policy, the webhook's configuration and its Secret come with the installation.
        policy: vec![
            rule(
                ADMISSION,
                &["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"],
                &["get"],
                "sees whether the policy that injects is there and is this version's",
            )
            .named(installation.policy()),
        ],
        webhook: vec![
            rule(
                ADMISSION,
                &["mutatingwebhookconfigurations"],
                &["get", "patch"],
                "tells the API server which pods to show to the webhook, and whom to trust",
            )
            .named(installation.webhook()),
        ],
        certificates: vec![
            rule("", &["secrets"], &["get", "update"], "keeps the webhook's certificates")
                .named(installation.webhook()),
        ],
        discovery: vec![
            rule(
                "monitoring.coreos.com",
                &["prometheuses"],
                &["list"],
                "finds the Prometheus that selects a profile's monitors and rules, to say in status whether it has loaded them",
            ),
            rule(
                "",
                &["namespaces"],
                &["get"],
                "its labels, where such a Prometheus selects namespaces by them",
            ),
        ],
        // Server-side apply of the Lease needs create with its name where it does not exist yet.
        own: vec![
            rule(
                "coordination.k8s.io",
                &["leases"],
                &["get", "create", "patch", "update"],
                "chooses the one replica that writes",
            )
            .named(installation.name().to_owned()),
        ],
        prometheus: vec![rule(
            "",
            &["pods"],
            &["list", "watch"],
            "finds the pods that it scrapes; the operator has this right itself, so it may bind an account to it",
        )],
        view: vec![rule(
            GROUP,
            &[PLURAL],
            &["get", "list", "watch"],
            "sees profiles and what has become of them",
        )],
        edit: vec![rule(
            GROUP,
            &[PLURAL],
            &["create", "update", "patch", "delete", "deletecollection"],
            "writes profiles",
        )],
    }
}

fn profiles() -> Vec<Right> {
    let mut rules = vec![
        rule(
            GROUP,
            &[PLURAL],
            &["get", "list", "watch"],
            "the profiles; `get` for one that cannot be decoded",
        ),
        rule(GROUP, &[&format!("{PLURAL}/status")], &["patch"], "writes what has become of a profile"),
        rule(
            GROUP,
            &[&format!("{PLURAL}/finalizers")],
            &["update"],
            "makes a profile the owner of its objects, where the API server checks that (OwnerReferencesPermissionEnforcement, as on \
             OpenShift); no request needs it elsewhere",
        ),
        rule(
            "events.k8s.io",
            &["events"],
            &["create", "patch"],
            "tells of transitions; `patch` counts one that comes again",
        ),
        rule(
            "",
            &["pods"],
            &["list", "watch"],
            "sees which of the application's pods have their sidecar, and why a pod of the collector or of Jaeger does not run",
        ),
        rule("apps", &["replicasets"], &["get"], "the Deployment that keeps a pod without its sidecar"),
    ];
    let mut groups: Vec<&str> = ChildKind::ALL.iter().map(|kind| kind.group()).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let kinds = ChildKind::ALL.into_iter().filter(|kind| kind.group() == group);
        let mut plurals: Vec<_> = kinds.map(ChildKind::plural).collect();
        plurals.sort_unstable();
        // Server-side apply is a patch; it needs create where the object does not exist yet.
        rules.push(rule(
            group,
            &plurals,
            &["get", "list", "watch", "create", "patch", "delete"],
            reason(group),
        ));
    }
    rules
}

/// Why the operator keeps objects of the kinds of a group.
fn reason(group: &str) -> &'static str {
    match group {
        "" => "keeps configurations, accounts without rights, addresses and Jaeger's volume",
        "apps" => {
            "keeps collector, Jaeger and the managed Prometheus, and restarts the application's Deployments where the profile says `sidecar.rollout: Auto`"
        }
        "autoscaling" => "keeps the collector's autoscaler",
        "grafana.integreatly.org" => "keeps dashboards for the Grafana Operator, where its kind is served",
        "monitoring.coreos.com" => {
            "keeps monitors and rules for the Prometheus Operator, where its kinds are served"
        }
        "networking.k8s.io" => "keeps who may talk to collector, Jaeger and the managed Prometheus",
        "policy" => {
            "keeps the collector's disruption budget, and reads those of the application before a restart"
        }
        _ => {
            "binds a managed Prometheus' account to the right to find pods; Kubernetes lets nobody pass on more than they have"
        }
    }
}

impl Right {
    /// The right on objects of one name only.
    fn named(mut self, name: String) -> Self {
        self.rule.resource_names = Some(vec![name]);
        self
    }
}

fn rule(group: &str, resources: &[&str], verbs: &[&str], why: &'static str) -> Right {
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    let rule = PolicyRule {
        api_groups: Some(list(&[group])),
        resources: Some(list(resources)),
        verbs: list(verbs),
        ..PolicyRule::default()
    };
    Right { rule, why }
}

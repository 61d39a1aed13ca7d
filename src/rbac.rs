//! The operator's own rights and those it hands to a managed Prometheus, derived from the table of kinds. Pure.
//!
//! In: nothing. Out: two ClusterRoles and a Role. `deploy/rbac.yaml` is made from here, and a test compares the two.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::inject::{WEBHOOK, policy};
use crate::kinds::ChildKind;
use crate::plan::prometheus::PROMETHEUS_ROLE;
use crate::profile::{GROUP, PLURAL};

/// Name of the operator's ClusterRole.
pub const OPERATOR_ROLE: &str = "telemetry-operator";

/// What the operator may do: keep children of the table's kinds, read profiles and write their status, write events.
/// No Secret, no wildcard. What it tells the API server of its webhook is one object, by name. The one role that it may hand
/// on, by name, is [`prometheus_role`].
#[must_use]
pub fn operator_role() -> ClusterRole {
    let mut rules = vec![
        rule(&[GROUP], &[PLURAL], &["get", "list", "watch"]),
        rule(&[GROUP], &[&format!("{PLURAL}/status")], &["patch"]),
        // Owner references with blockOwnerDeletion need this where the API server enforces it.
        rule(&[GROUP], &[&format!("{PLURAL}/finalizers")], &["update"]),
        rule(&["events.k8s.io"], &["events"], &["create", "patch"]),
        // Why a workload's pods do not serve, and whether the application has any.
        rule(&[""], &["pods"], &["list", "watch"]),
        // What keeps a pod that lacks its sidecar, and its restart where the profile asks for that; Deployments and disruption
        // budgets are in the table of kinds.
        rule(&["apps"], &["replicasets"], &["get"]),
        rule(&["apps"], &["daemonsets", "statefulsets"], &["get", "patch"]),
        named_rule(
            "admissionregistration.k8s.io",
            &["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"],
            &["get"],
            policy::NAME,
        ),
        // Which Prometheus selects the profiles' monitors and rules, by the labels of their namespace where it asks for some.
        rule(&["monitoring.coreos.com"], &["prometheuses"], &["list"]),
        rule(&[""], &["namespaces"], &["get"]),
    ];
    let mut groups: Vec<&str> = ChildKind::ALL.iter().map(|kind| kind.group()).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let mut plurals: Vec<_> =
            ChildKind::ALL.iter().filter(|kind| kind.group() == group).map(|kind| kind.plural()).collect();
        plurals.sort_unstable();
        // Server-side apply is a patch; it needs create where the object does not exist yet.
        rules.push(rule(&[group], &plurals, &["get", "list", "watch", "create", "patch", "delete"]));
    }
    rules.push(named_rule("rbac.authorization.k8s.io", &["clusterroles"], &["bind"], PROMETHEUS_ROLE));
    // It comes from deploy/webhook.yaml: the operator may make no other.
    let configurations = &["mutatingwebhookconfigurations"];
    rules.push(named_rule("admissionregistration.k8s.io", configurations, &["get", "patch"], WEBHOOK));
    role(OPERATOR_ROLE, rules)
}

/// What the operator may do in its own namespace: keep the webhook's certificates in one Secret.
#[must_use]
pub fn webhook_role() -> Role {
    Role {
        metadata: ObjectMeta { name: Some(WEBHOOK.to_owned()), ..ObjectMeta::default() },
        rules: Some(vec![named_rule("", &["secrets"], &["get", "update"], WEBHOOK)]),
    }
}

/// What a managed Prometheus may do in its namespace: find pods.
#[must_use]
pub fn prometheus_role() -> ClusterRole {
    role(PROMETHEUS_ROLE, vec![rule(&[""], &["pods"], &["get", "list", "watch"])])
}

fn role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        rules: Some(rules),
        aggregation_rule: None,
    }
}

/// A right on objects of one name.
fn named_rule(group: &str, resources: &[&str], verbs: &[&str], name: &str) -> PolicyRule {
    PolicyRule { resource_names: Some(vec![name.to_owned()]), ..rule(&[group], resources, verbs) }
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(list(groups)),
        resources: Some(list(resources)),
        verbs: list(verbs),
        ..PolicyRule::default()
    }
}

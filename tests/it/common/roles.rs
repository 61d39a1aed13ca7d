//! The account and the roles of an installation, as the chart makes them. In: its name, its namespace, its rules, the namespaces
//! that it watches (none for all). Out: manifests. No cluster.

use serde_json::{Value, json};
use telemetry_operator::installation::Installation;
use telemetry_operator::rbac::{Right, Rules};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The manifests, in the order in which they can be applied.
pub fn roles(installation: &Installation, namespace: &str, rules: &Rules, watched: &[&str]) -> Vec<Value> {
    let name = installation.name();
    let Rules { profiles, restarts, policy, webhook, certificates, discovery, own, prometheus, .. } = rules;
    let cluster = [policy.as_slice(), webhook].concat();
    let own = [own.as_slice(), certificates].concat();
    let both = |role: Value| {
        let binding = binding(&role, name, namespace);
        [role, binding]
    };
    let metadata = json!({"name": name, "namespace": namespace});
    let mut documents = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
    ];
    let where_profiles_are = [profiles.as_slice(), restarts].concat();
    let of_prometheus = installation.prometheus_role();
    if watched.is_empty() {
        let everywhere = [where_profiles_are.as_slice(), &cluster, discovery].concat();
        documents.push(role(None, &of_prometheus, prometheus));
        documents.extend(both(role(None, name, &everywhere)));
    } else {
        documents.extend(both(role(None, name, &cluster)));
    }
    for watched in watched {
        documents.push(role(Some(watched), &of_prometheus, prometheus));
        // The operator's own namespace may be a watched one: this role has a name of its own.
        documents.extend(both(role(Some(watched), &format!("{name}-profiles"), &where_profiles_are)));
    }
    documents.extend(both(role(Some(namespace), name, &own)));
    documents
}

/// A Role in a namespace, or a ClusterRole.
pub fn role(namespace: Option<&str>, name: &str, rights: &[Right]) -> Value {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let mut role = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name}, "rules": rights});
    if let Some(namespace) = namespace {
        role["metadata"]["namespace"] = namespace.into();
    }
    role
}

/// Gives the role to the account.
fn binding(role: &Value, account: &str, namespace: &str) -> Value {
    let kind = role["kind"].as_str().unwrap_or_default();
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": format!("{kind}Binding"), "metadata": role["metadata"],
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role["metadata"]["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]})
}

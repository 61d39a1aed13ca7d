//! What no rule may ever give, and what the workloads of a profile have: no cluster.

use serde_json::{Value, json};
use telemetry_operator::rbac::Right;

use super::*;

/// Verbs that pass on rights, or take those of others.
const VERBS: [&str; 4] = ["*", "escalate", "bind", "impersonate"];

#[test]
fn no_rule_gives_a_dangerous_right() {
    let rules = rbac::rules(&Installation::default());
    let Rules { profiles, restarts, policy, webhook, certificates, discovery, own, prometheus, .. } = &rules;
    let named: Vec<&Right> = [policy, webhook, certificates, own].into_iter().flatten().collect();
    let all = [profiles, restarts, discovery, prometheus].into_iter().flatten().chain(named.iter().copied());
    for right in all {
        let list = |items: &Option<Vec<String>>| items.clone().unwrap_or_default();
        let (groups, resources) = (list(&right.rule.api_groups), list(&right.rule.resources));
        let verbs = &right.rule.verbs;
        assert!(!verbs.iter().any(|verb| VERBS.contains(&verb.as_str())), "{right:?}");
        assert!(!groups.iter().chain(&resources).any(|word| word.contains('*')), "{right:?}");
        assert!(right.rule.non_resource_urls.is_none(), "{right:?}");
        for resource in &resources {
            let allowed: &[&str] = match resource.as_str() {
                "secrets" => &["get", "update"],
                // Containers of others: no pods/exec, no pods/attach, no nodes/proxy, nothing made.
                "pods" => &["list", "watch"],
                "clusterroles" | "roles" | "clusterrolebindings" | "customresourcedefinitions" => &[],
                "mutatingwebhookconfigurations" => &["get", "patch"],
                "mutatingadmissionpolicies" | "mutatingadmissionpolicybindings" | "namespaces" => &["get"],
                other => {
                    let subresource = other.split_once('/').map(|(_, subresource)| subresource);
                    assert!(matches!(subresource, None | Some("status" | "finalizers")), "{right:?}");
                    continue;
                }
            };
            assert!(verbs.iter().all(|verb| allowed.contains(&verb.as_str())), "{right:?}");
        }
    }
    let only = |right: &&Right| right.rule.resource_names.as_ref().is_some_and(|names| names.len() == 1);
    assert!(named.iter().all(only), "a right of an installation on objects that are not its own");
    let has_secrets = |right: &&Right| right.rule.resources.iter().flatten().any(|name| name == "secrets");
    assert_eq!(named.iter().copied().filter(has_secrets).count(), 1, "one Secret, by name");
    // A managed Prometheus may do nothing that the operator may not: Kubernetes would refuse the binding.
    assert!(prometheus.iter().all(|given| profiles.iter().any(|held| {
        held.rule.resources == given.rule.resources
            && given.rule.verbs.iter().all(|verb| held.rule.verbs.contains(verb))
    })));
}

/// Only a managed Prometheus has rights, and only its pod has a token.
#[test]
fn the_workloads_of_a_profile_have_no_rights_but_a_managed_prometheus() {
    let profile = json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
        "metadata": {"name": "trakt", "namespace": "media"}, "spec": full_spec()});
    let rendered = crate::cli::succeed(&["render", "-f", "-"], Some(&profile.to_string()));
    let objects: Vec<Value> = serde_yaml::Deserializer::from_str(&rendered)
        .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
        .collect();
    let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    assert_eq!(of("ServiceAccount").count(), 3);
    for account in of("ServiceAccount") {
        assert_eq!(account["automountServiceAccountToken"], false, "{account}");
    }
    assert_eq!(of("Deployment").count(), 3);
    for deployment in of("Deployment") {
        let (pod, name) = (&deployment["spec"]["template"]["spec"], &deployment["metadata"]["name"]);
        assert_eq!(pod["serviceAccountName"], *name);
        assert_eq!(pod["automountServiceAccountToken"], name == "trakt-prometheus", "{name}");
    }
    let subjects: Vec<_> = of("RoleBinding").map(|binding| &binding["subjects"]).collect();
    let prometheus = json!([{"kind": "ServiceAccount", "name": "trakt-prometheus", "namespace": "media"}]);
    assert_eq!(subjects, [&prometheus]);
    assert_eq!(of("Role").chain(of("ClusterRole")).chain(of("ClusterRoleBinding")).count(), 0);
}

//! Files that are made from the code are the ones that the code makes.

use telemetry_operator::settings::Settings;
use telemetry_operator::{cli, inject, plan, profile, rbac, yaml};

use crate::common::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, assert_current};

#[test]
fn the_crd_file_is_current() {
    let crd = profile::crd().expect("the CRD");
    assert_current("crds/telemetryprofile.yaml", &yaml::to_string(&crd).expect("YAML"));
}

#[test]
fn the_rbac_manifest_is_current() {
    let binding = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": rbac::OPERATOR_ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": rbac::OPERATOR_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR_ACCOUNT, "namespace": OPERATOR_NAMESPACE}],
    });
    let mut webhook_role = rbac::webhook_role();
    webhook_role.metadata.namespace = Some(OPERATOR_NAMESPACE.to_owned());
    let mut webhook_binding = binding.clone();
    webhook_binding["kind"] = "RoleBinding".into();
    webhook_binding["metadata"] =
        serde_json::json!({"name": inject::WEBHOOK, "namespace": OPERATOR_NAMESPACE});
    webhook_binding["roleRef"]["kind"] = "Role".into();
    webhook_binding["roleRef"]["name"] = inject::WEBHOOK.into();
    let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}});
    let account = serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": OPERATOR_ACCOUNT, "namespace": OPERATOR_NAMESPACE}});
    let documents = [
        yaml::to_string(&namespace),
        yaml::to_string(&account),
        yaml::to_string(&rbac::operator_role()),
        yaml::to_string(&rbac::prometheus_role()),
        yaml::to_string(&binding),
        yaml::to_string(&webhook_role),
        yaml::to_string(&webhook_binding),
    ];
    let documents: Vec<_> = documents.into_iter().map(|text| text.expect("YAML")).collect();
    assert_current("deploy/rbac.yaml", &documents.join("---\n"));
}

#[test]
fn the_injection_policy_is_current() {
    assert_current("deploy/injection-policy.yaml", &cli::policy(&Settings::default()).expect("YAML"));
}

#[test]
fn the_operator_has_no_dangerous_right() {
    let rules = rbac::operator_role().rules.unwrap_or_default();
    for rule in &rules {
        let resources = rule.resources.clone().unwrap_or_default();
        let groups = rule.api_groups.clone().unwrap_or_default();
        for word in rule.verbs.iter().chain(&resources).chain(&groups) {
            assert!(!word.contains('*'), "a wildcard in {rule:?}");
        }
        assert!(!resources.iter().any(|resource| resource == "secrets"), "{rule:?}");
        assert!(!rule.verbs.iter().any(|verb| verb == "escalate" || verb == "impersonate"), "{rule:?}");
        if rule.verbs.iter().any(|verb| verb == "bind") {
            assert_eq!(rule.resource_names, Some(vec![plan::prometheus::PROMETHEUS_ROLE.to_owned()]));
        }
    }
}

#[test]
fn the_operator_has_one_secret_and_tells_the_api_server_of_one_webhook() {
    let names = Some(vec![inject::WEBHOOK.to_owned()]);
    let rules = rbac::operator_role().rules.unwrap_or_default();
    let registration: Vec<_> = rules
        .iter()
        .filter(|rule| {
            rule.resources.iter().flatten().any(|resource| resource == "mutatingwebhookconfigurations")
        })
        .collect();
    assert!(registration.len() == 1 && registration[0].resource_names == names, "{registration:?}");
    assert_eq!(registration[0].verbs, ["get", "patch"]);
    let secrets = rbac::webhook_role().rules.unwrap_or_default();
    assert!(secrets.len() == 1 && secrets[0].resource_names == names, "{secrets:?}");
    assert_eq!(secrets[0].verbs, ["get", "update"]);
}

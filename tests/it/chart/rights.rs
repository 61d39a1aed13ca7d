//! The roles that the chart makes are those of `rbac::rules`, in the scope that the values ask for, and nobody else gets them.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use telemetry_operator::rbac::{self, Right};

use super::{WITH_POLICY, render, sets, template, text};

const OPERATOR: &str = "telemetry-operator";

/// Kind, namespace and name, with the rules.
type Roles = BTreeMap<String, Value>;

fn place(object: &Value) -> String {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("-");
    format!("{} {namespace} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn roles(objects: &[Value]) -> Roles {
    let roles = objects.iter().filter(|object| object["rules"].is_array());
    roles.map(|object| (place(object), object["rules"].clone())).collect()
}

/// Who is bound to which role.
fn bindings(objects: &[Value]) -> BTreeMap<String, Value> {
    let bindings = objects.iter().filter(|object| object["roleRef"].is_object());
    bindings
        .map(|binding| {
            let namespace = binding["metadata"]["namespace"].as_str().unwrap_or("-");
            let role = &binding["roleRef"];
            let role = format!("{} {namespace} {}", text(&role["kind"]), text(&role["name"]));
            (role, binding["subjects"].clone())
        })
        .collect()
}

fn rules_of(parts: &[&[Right]]) -> Value {
    json!(parts.concat())
}

fn expected<const N: usize>(roles: [(&str, Value); N]) -> Roles {
    roles.into_iter().map(|(place, rules)| (place.to_owned(), rules)).collect()
}

#[test]
fn an_installation_for_all_namespaces_has_these_roles() {
    let rules = rbac::rules(&OPERATOR.parse().expect("a name"));
    let everywhere = [rules.profiles, rules.restarts, rules.discovery].concat();
    for (arguments, way, own) in [
        (&WITH_POLICY[..], &rules.policy, &[][..]),
        (&[], &rules.webhook, &rules.certificates),
        (&["--set", "injection.mode=None"], &vec![], &[]),
    ] {
        let objects = render("defaults", arguments);
        assert_eq!(
            roles(&objects),
            expected([
                ("ClusterRole - telemetry-operator", rules_of(&[&everywhere, way])),
                ("ClusterRole - telemetry-operator-prometheus", rules_of(&[&rules.prometheus])),
                ("ClusterRole - telemetry-operator-view", rules_of(&[&rules.view])),
                ("ClusterRole - telemetry-operator-edit", rules_of(&[&rules.edit])),
                ("Role telemetry-system telemetry-operator", rules_of(&[&rules.own, own])),
            ])
        );
        bound(&objects, &["ClusterRole - telemetry-operator", "Role telemetry-system telemetry-operator"]);
    }
}

#[test]
fn a_namespaced_installation_has_no_rights_elsewhere() {
    let rules = rbac::rules(&OPERATOR.parse().expect("a name"));
    let profiles = rules_of(&[&rules.profiles, &rules.restarts]);
    let namespaced = expected([
        ("Role media telemetry-operator-profiles", profiles.clone()),
        ("Role media telemetry-operator-prometheus", rules_of(&[&rules.prometheus])),
        ("Role shop telemetry-operator-profiles", profiles),
        ("Role shop telemetry-operator-prometheus", rules_of(&[&rules.prometheus])),
        ("Role telemetry-system telemetry-operator", rules_of(&[&rules.own])),
    ]);
    assert_eq!(roles(&render("namespaced", &["--set", "injection.mode=None"])), namespaced);
    let objects = render("namespaced", &WITH_POLICY);
    let mut with_policy = namespaced;
    with_policy.insert("ClusterRole - telemetry-operator".to_owned(), rules_of(&[&rules.policy]));
    assert_eq!(roles(&objects), with_policy);
    bound(
        &objects,
        &[
            "ClusterRole - telemetry-operator",
            "Role media telemetry-operator-profiles",
            "Role shop telemetry-operator-profiles",
            "Role telemetry-system telemetry-operator",
        ],
    );
}

#[test]
fn without_restarts_the_operator_may_restart_nothing() {
    let objects = render("defaults", &["--set", "rbac.restarts=false"]);
    let rules = &roles(&objects)["ClusterRole - telemetry-operator"];
    assert!(!rules.to_string().contains("statefulsets"), "{rules}");
}

/// The operator's account is bound to these roles, and nobody to any other.
fn bound(objects: &[Value], roles: &[&str]) {
    let account = json!([{"kind": "ServiceAccount", "name": OPERATOR, "namespace": "telemetry-system"}]);
    let expected: BTreeMap<_, _> = roles.iter().map(|role| ((*role).to_owned(), account.clone())).collect();
    assert_eq!(bindings(objects), expected);
}

#[test]
fn no_role_of_any_set_has_a_dangerous_right() {
    for set in sets() {
        for (place, rules) in roles(&super::objects(&template(&set, &[]))) {
            for rule in rules.as_array().expect("rules") {
                let rule: PolicyRule = serde_json::from_value(rule.clone()).expect("a rule");
                let problem = danger(&rule);
                assert!(problem.is_none(), "{}: {place}: {problem:?}: {rule:?}", set.display());
            }
        }
    }
}

#[test]
fn a_dangerous_right_would_be_noticed() {
    let rule = |resource: &str, verb: &str| PolicyRule {
        resources: Some(vec![resource.to_owned()]),
        verbs: vec![verb.to_owned()],
        ..PolicyRule::default()
    };
    for (resource, verb) in
        [("secrets", "list"), ("pods", "*"), ("*", "get"), ("clusterroles", "bind"), ("pods/exec", "create")]
    {
        assert!(danger(&rule(resource, verb)).is_some(), "{verb} {resource}");
    }
    assert!(danger(&rule("pods", "list")).is_none());
}

fn danger(rule: &PolicyRule) -> Option<&'static str> {
    let resources = rule.resources.clone().unwrap_or_default();
    let any = |words: &[String], bad: &[&str]| words.iter().any(|word| bad.contains(&word.as_str()));
    let all = [rule.verbs.clone(), resources.clone(), rule.api_groups.clone().unwrap_or_default()].concat();
    if all.iter().any(|word| word.contains('*')) {
        Some("a wildcard")
    } else if any(&rule.verbs, &["escalate", "bind", "impersonate"]) {
        Some("a right to get more rights")
    } else if any(&resources, &["pods/exec", "pods/attach", "nodes/proxy", "roles", "clusterroles"]) {
        Some("a right to act as another")
    } else if any(&resources, &["secrets"])
        && (rule.resource_names.is_none() || any(&rule.verbs, &["list", "watch", "create"]))
    {
        Some("Secrets without a name")
    } else {
        None
    }
}

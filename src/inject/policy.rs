//! The `MutatingAdmissionPolicy` and its binding: the API server evaluates the policy for every profile in a pod's namespace,
//! with the profile as `params`. In: the operator's settings. Out: two objects. No cluster.

use serde_json::{Value, json};

use super::rules::Rule;
use super::{INJECT_LABEL, facts, patch};
use crate::profile::{API_VERSION, KIND};
use crate::settings::Settings;

/// The API group and version in which both are served from Kubernetes 1.36 on.
pub const API: &str = "admissionregistration.k8s.io/v1";
/// Kind of the policy.
pub const POLICY_KIND: &str = "MutatingAdmissionPolicy";
/// Kind of the binding.
pub const BINDING_KIND: &str = "MutatingAdmissionPolicyBinding";

/// The policy and its binding.
#[must_use]
pub fn documents(settings: &Settings) -> [Value; 2] {
    [policy(settings), binding(&settings.installation.policy())]
}

fn policy(settings: &Settings) -> Value {
    let conditions = Rule::ALL.map(|rule| json!({"name": rule.name(), "expression": rule.cel()}));
    let variables = facts::variables(settings).into_iter().chain(patch::variables());
    let variables: Vec<_> =
        variables.map(|(name, expression)| json!({"name": name, "expression": expression})).collect();
    json!({
        "apiVersion": API,
        "kind": POLICY_KIND,
        "metadata": {"name": settings.installation.policy()},
        "spec": {
            "paramKind": {"apiVersion": API_VERSION, "kind": KIND},
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {
                    "matchExpressions": [{"key": INJECT_LABEL, "operator": "NotIn", "values": ["false"]}],
                },
                "resourceRules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "resources": ["pods"],
                    "operations": ["CREATE"],
                    "scope": "*",
                }],
            },
            "matchConditions": conditions,
            "variables": variables,
            // A pod must start in any case; the status of the profile names one without its sidecar.
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "IfNeeded",
            "mutations": [{
                "patchType": "JSONPatch",
                "jsonPatch": {"expression": patch::cel()},
            }],
        },
    })
}

fn binding(name: &str) -> Value {
    json!({
        "apiVersion": API,
        "kind": BINDING_KIND,
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"},
        },
    })
}

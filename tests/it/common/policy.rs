//! Something else at admission that rewrites what is made in one namespace. In: its name, what it rewrites. Out: manifests.

/// A MutatingAdmissionPolicy and its binding. `rule` is the rest of a resource rule, `mutation` the YAML of one mutation.
pub fn rewriting_policy(namespace: &str, rule: &str, reinvocation: &str, mutation: &str) -> String {
    format!(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: {namespace}}}
spec:
  matchConstraints:
    resourceRules:
    - {{{rule}, apiVersions: [v1]}}
  matchConditions:
  - {{name: here, expression: "object.metadata.namespace == '{namespace}'"}}
  failurePolicy: Fail
  reinvocationPolicy: {reinvocation}
  mutations:
{mutation}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: {namespace}}}
spec: {{policyName: {namespace}}}
"#
    )
}

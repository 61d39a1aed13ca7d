//! (CRD schema, profile with defaults) → the CEL rules that do not hold. Pure, no cluster.
//!
//! Rules about a change (`oldSelf`) need the object before it and are left to the API server. A rule that cannot be
//! evaluated here is a finding of its own: it must not pass in silence.

use kube::core::cel::{ErrorKind, Validator};
use serde_json::Value;

use super::code::Code;
use super::schema::Draft;

/// Evaluates every rule.
pub(super) fn check(schema: &Value, profile: &Value) -> Vec<Draft> {
    let Err(errors) = Validator::new().validate(schema, profile, None) else {
        return Vec::new();
    };
    let draft = |mut error: kube::core::cel::ValidationError| {
        // A rule of the whole object gives its path with a dot in front.
        error.field_path = error.field_path.trim_start_matches('.').to_owned();
        if error.kind == ErrorKind::ValidationFailure {
            let (message, fix) = error.message.split_once(": ").unwrap_or((error.message.as_str(), ""));
            return Draft {
                code: Code::Rule.as_str(),
                path: error.field_path,
                message: message.to_owned(),
                fix: fix.to_owned(),
            };
        }
        Draft {
            code: Code::RuleNotEvaluated.as_str(),
            path: error.field_path,
            message: format!("the rule {} cannot be evaluated here: {}", error.rule, error.message),
            fix: "check this profile with kubectl apply --dry-run=server".to_owned(),
        }
    };
    errors.into_iter().map(draft).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Code, check};

    #[test]
    fn a_rule_that_cannot_be_evaluated_does_not_pass() {
        for rule in
            ["self.a.frobnicate() > 1", "self.a ==", "self.a", "self.missing == 1", "sets.nothing(self.a)"]
        {
            let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": rule, "message": "what: fix", "fieldPath": ".a"}]});
            let codes: Vec<_> =
                check(&schema, &json!({"a": 1})).into_iter().map(|draft| draft.code).collect();
            assert_eq!(codes, [Code::RuleNotEvaluated.as_str()], "{rule}");
        }
    }

    #[test]
    fn a_broken_rule_names_its_field_and_the_fix() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.a > 1", "message": "a is small: give 2", "fieldPath": ".a"}]});
        let drafts = check(&schema, &json!({"a": 1}));
        let told: Vec<_> = drafts
            .iter()
            .map(|draft| (draft.path.as_str(), draft.message.as_str(), draft.fix.as_str()))
            .collect();
        assert_eq!(told, [("a", "a is small", "give 2")]);
        assert!(check(&schema, &json!({"a": 2})).is_empty());
    }
}

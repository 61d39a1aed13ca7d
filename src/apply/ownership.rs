//! Whose object is it? In: a live object and a profile. Out: ours or not. Pure.

use kube::ResourceExt;
use kube::core::DynamicObject;

use crate::apply::MANAGER;
use crate::profile::{API_VERSION, KIND};

/// True when the live object is the profile's own.
///
/// It is when a TelemetryProfile of this name owns it; the UID may be that of a deleted predecessor, whose children are
/// taken over. An object whose owner reference was removed is still ours when our field manager has applied it. Labels
/// prove nothing: anybody can copy them.
#[must_use]
pub fn is_ours(live: &DynamicObject, profile: &str) -> bool {
    let group = API_VERSION.split('/').next().unwrap_or_default();
    let mut owners = live
        .owner_references()
        .iter()
        .filter(|owner| owner.kind == KIND && owner.api_version.split('/').next() == Some(group))
        .peekable();
    if owners.peek().is_some() {
        return owners.any(|owner| owner.name == profile);
    }
    live.managed_fields()
        .iter()
        .any(|entry| entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply"))
}

/// True when our field manager owns `spec.replicas` of the live object.
#[must_use]
pub fn owns_replicas(live: &DynamicObject) -> bool {
    live.managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(MANAGER))
        .filter_map(|entry| entry.fields_v1.as_ref())
        .any(|fields| !fields.0["f:spec"]["f:replicas"].is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(metadata: Value) -> DynamicObject {
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
            .expect("an object")
    }

    #[test]
    fn the_owner_decides() {
        let owner = |name: &str, version: &str| {
            json!({"name": "x", "ownerReferences": [
                {"apiVersion": version, "kind": "TelemetryProfile", "name": name, "uid": "u"}]})
        };
        assert!(is_ours(&object(owner("trakt", "telemetry-operator.dev/v1alpha1")), "trakt"));
        assert!(is_ours(&object(owner("trakt", "telemetry-operator.dev/v1")), "trakt"));
        assert!(!is_ours(&object(owner("other", "telemetry-operator.dev/v1alpha1")), "trakt"));
        assert!(!is_ours(&object(owner("trakt", "example.com/v1")), "trakt"));
    }

    #[test]
    fn without_an_owner_the_field_manager_decides() {
        let managed = |manager: &str, operation: &str| {
            json!({"name": "x", "labels": {"app.kubernetes.io/managed-by": "telemetry-operator"},
                   "managedFields": [{"manager": manager, "operation": operation}]})
        };
        assert!(is_ours(&object(managed("telemetry-operator", "Apply")), "trakt"));
        assert!(!is_ours(&object(managed("telemetry-operator", "Update")), "trakt"));
        assert!(!is_ours(&object(managed("kubectl", "Apply")), "trakt"));
        assert!(!is_ours(&object(json!({"name": "x"})), "trakt"));
    }
}

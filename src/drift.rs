//! (planned object, live object) → the first field in which the live one differs, if any. Pure.
//!
//! Fields that the plan does not set belong to others (defaults, other controllers) and are not compared, except where
//! Kubernetes treats a value as a whole: an added key in a selector or an added rule in a list changes the meaning.

use serde_json::{Map, Value};

use crate::quantity;

/// Maps that Kubernetes treats as a whole.
const WHOLE_MAPS: [&str; 7] = [
    "selector",
    "podSelector",
    "namespaceSelector",
    "objectSelector",
    "matchLabels",
    "nodeSelector",
    "roleRef",
];

/// Lists whose items have an identity, and the fields that make it. Others add items of their own to these.
const KEYED_LISTS: [(&str, &[&str]); 7] = [
    ("ownerReferences", &["uid"]),
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("imagePullSecrets", &["name"]),
];

/// Maps of quantities: `1000m` and `1` are the same.
const QUANTITY_MAPS: [&str; 2] = ["requests", "limits"];

/// Path of the first planned field that the live object does not have so, or `None` when nothing need be written.
#[must_use]
pub fn first_difference(planned: &Value, live: &Value) -> Option<String> {
    // A network policy has no fields of others: one added peer opens a door.
    let whole = planned["kind"] == "NetworkPolicy";
    let mut path = Vec::new();
    let planned = planned.as_object()?;
    for (key, value) in planned.iter().filter(|(key, _)| *key != "apiVersion" && *key != "kind") {
        path.push(key.clone());
        if let Some(found) = compare(value, &live[key], &mut path, whole && key == "spec") {
            return Some(found);
        }
        path.pop();
    }
    None
}

fn compare(planned: &Value, live: &Value, path: &mut Vec<String>, whole: bool) -> Option<String> {
    let here = |path: &[String]| Some(path.join("."));
    let name = path.last().map_or("", String::as_str);
    match (planned, live) {
        (Value::Object(planned), Value::Object(live)) => compare_maps(planned, live, path, whole),
        (Value::Array(planned), Value::Array(live)) => {
            let keys = KEYED_LISTS.iter().find(|(list, _)| *list == name).map(|(_, keys)| *keys);
            match keys {
                Some(keys) => compare_keyed(planned, live, keys, path, whole),
                None if planned.len() != live.len() => here(path),
                None => planned.iter().zip(live).enumerate().find_map(|(index, (planned, live))| {
                    step(path, index.to_string(), |path| compare(planned, live, path, whole))
                }),
            }
        }
        // Kubernetes does not keep an empty map.
        (Value::Object(planned), Value::Null) if planned.is_empty() => None,
        (planned, live) => {
            let in_quantities = path.len() > 1 && QUANTITY_MAPS.contains(&path[path.len() - 2].as_str())
                || name == "sizeLimit";
            let equal = planned == live || in_quantities && same_quantity(planned, live);
            if equal { None } else { here(path) }
        }
    }
}

fn compare_maps(
    planned: &Map<String, Value>,
    live: &Map<String, Value>,
    path: &mut Vec<String>,
    whole: bool,
) -> Option<String> {
    let whole = whole || path.last().is_some_and(|name| WHOLE_MAPS.contains(&name.as_str()));
    if whole && let Some(added) = live.keys().find(|key| !planned.contains_key(*key)) {
        return step(path, added.clone(), |path| Some(path.join(".")));
    }
    planned.iter().find_map(|(key, value)| {
        step(path, key.clone(), |path| compare(value, live.get(key).unwrap_or(&Value::Null), path, whole))
    })
}

fn compare_keyed(
    planned: &[Value],
    live: &[Value],
    keys: &[&str],
    path: &mut Vec<String>,
    whole: bool,
) -> Option<String> {
    planned.iter().enumerate().find_map(|(index, item)| {
        let same = |other: &&Value| keys.iter().all(|key| item[key] == other[key]);
        let found = live.iter().find(same).unwrap_or(&Value::Null);
        step(path, index.to_string(), |path| compare(item, found, path, whole))
    })
}

fn step(
    path: &mut Vec<String>,
    name: String,
    inside: impl FnOnce(&mut Vec<String>) -> Option<String>,
) -> Option<String> {
    path.push(name);
    let found = inside(path);
    path.pop();
    found
}

fn same_quantity(planned: &Value, live: &Value) -> bool {
    match (planned.as_str().and_then(quantity::nanos), live.as_str().and_then(quantity::nanos)) {
        (Some(planned), Some(live)) => planned == live,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn difference(planned: Value, live: Value) -> Option<String> {
        first_difference(&planned, &live)
    }

    #[test]
    fn what_others_add_is_theirs() {
        let planned = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}});
        let live = json!({"spec": {"replicas": 1, "paused": false, "template": {"spec": {
            "dnsPolicy": "ClusterFirst", "containers": [{"name": "proxy"}, {"name": "a", "image": "x", "stdin": false}]}}}});
        assert_eq!(difference(planned, live), None);
    }

    #[test]
    fn a_changed_or_missing_field_is_named() {
        let planned = json!({"metadata": {"labels": {"a": "1"}}, "data": {"f": "text"}});
        assert_eq!(
            difference(planned.clone(), json!({"metadata": {"labels": {"a": "2"}}, "data": {"f": "text"}})),
            Some("metadata.labels.a".to_owned())
        );
        assert_eq!(difference(planned, json!({"metadata": {"labels": {"a": "1"}}})), Some("data".to_owned()));
    }

    #[test]
    fn an_added_selector_key_is_a_difference() {
        let planned = json!({"kind": "Service", "spec": {"selector": {"a": "1"}}});
        let live = json!({"spec": {"selector": {"a": "1", "b": "2"}}});
        assert_eq!(difference(planned, live), Some("spec.selector.b".to_owned()));
    }

    #[test]
    fn an_added_peer_opens_a_network_policy() {
        let planned =
            json!({"kind": "NetworkPolicy", "spec": {"ingress": [{"from": [{"podSelector": {}}]}]}});
        let live = json!({"spec": {"ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}]}]}});
        assert_eq!(
            difference(planned.clone(), live),
            Some("spec.ingress.0.from.0.namespaceSelector".to_owned())
        );
        let live = json!({"spec": {"ingress": [{"from": [{"podSelector": {}}]}, {}]}});
        assert_eq!(difference(planned, live), Some("spec.ingress".to_owned()));
    }

    #[test]
    fn quantities_are_compared_by_amount_and_only_where_they_are_quantities() {
        let planned = json!({"limits": {"cpu": "1000m", "memory": "1Gi"}});
        assert_eq!(difference(planned, json!({"limits": {"cpu": "1", "memory": "1024Mi"}})), None);
        assert_eq!(
            difference(json!({"data": {"v": "1000m"}}), json!({"data": {"v": "1"}})),
            Some("data.v".to_owned())
        );
    }

    #[test]
    fn a_lost_owner_is_a_difference_and_another_owner_is_not() {
        let planned = json!({"metadata": {"ownerReferences": [{"uid": "1", "controller": true}]}});
        let live = json!({"metadata": {"ownerReferences": [{"uid": "9"}, {"uid": "1", "controller": true}]}});
        assert_eq!(difference(planned.clone(), live), None);
        assert!(difference(planned, json!({"metadata": {"ownerReferences": [{"uid": "9"}]}})).is_some());
    }
}

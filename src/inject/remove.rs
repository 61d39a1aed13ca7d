//! Takes the sidecar out of a pod. In: a pod or a template as raw JSON. Out: the same without what injection added, by the
//! record that injection left in it. No cluster.

use serde_json::{Map, Value};

use super::{RECORD_ANNOTATION, SIDECAR, SIDECAR_LABEL, VERSION_ANNOTATION};

/// Takes the sidecar and everything that came with it out of a pod. True when there was something.
pub fn remove(pod: &mut Value) -> bool {
    let mut containers = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    if !containers.any(|container| is_named(container, &[SIDECAR])) {
        return false;
    }
    let record = pod["metadata"]["annotations"][RECORD_ANNOTATION].as_str().unwrap_or_default().to_owned();
    for (whose, names) in record.split(';').filter_map(|entry| entry.split_once('=')) {
        let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        match whose.split_once('/') {
            Some(("containers", container)) => remove_variables(pod, container, &names),
            None if whose == "imagePullSecrets" => {
                filter(pod.get_mut("spec"), "imagePullSecrets", |secret| !is_named(secret, &names));
            }
            _ => {}
        }
    }
    filter(pod.get_mut("spec"), "initContainers", |container| !is_named(container, &[SIDECAR]));
    filter(pod.get_mut("spec"), "volumes", |volume| !is_named(volume, &[SIDECAR]));
    without(pod.get_mut("metadata"), "labels", &[SIDECAR_LABEL]);
    without(pod.get_mut("metadata"), "annotations", &[VERSION_ANNOTATION, RECORD_ANNOTATION]);
    true
}

fn remove_variables(pod: &mut Value, container: &str, names: &[&str]) {
    let containers = pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    let named = containers.into_iter().flatten().find(|found| found["name"] == container);
    filter(named, "env", |variable| !is_named(variable, names));
}

fn is_named(item: &Value, names: &[&str]) -> bool {
    item["name"].as_str().is_some_and(|name| names.contains(&name))
}

/// Keeps what fits of a list in a field, and the field only if something was kept or nothing was taken.
fn filter(parent: Option<&mut Value>, field: &str, keep: impl Fn(&Value) -> bool) {
    let Some(Value::Object(parent)) = parent else { return };
    let Some(Value::Array(list)) = parent.get_mut(field) else { return };
    let length = list.len();
    list.retain(keep);
    if list.is_empty() && length > 0 {
        parent.remove(field);
    }
}

/// Takes keys out of a map in a field, and the field if nothing else was in it.
fn without(parent: Option<&mut Value>, field: &str, keys: &[&str]) {
    let Some(Value::Object(parent)) = parent else { return };
    let Some(Value::Object(map)) = parent.get_mut(field) else { return };
    let length = map.len();
    map.retain(|key, _| !keys.contains(&key.as_str()));
    if Map::is_empty(map) && length > 0 {
        parent.remove(field);
    }
}

//! (pod as it would be, pod as it is) → the first thing of the sidecar in which they differ. What the API server or other
//! controllers add to a pod is not compared. Pure.

use serde_json::{Value, json};

use super::{RECORD_ANNOTATION, SIDECAR, VERSION_ANNOTATION};
use crate::drift::first_difference;

/// In what the live pod differs, in a few words; none when it has the present sidecar.
pub(super) fn difference(wanted: &Value, live: &Value) -> Option<String> {
    let annotation = |pod: &Value, key: &str| pod["metadata"]["annotations"][key].clone();
    if annotation(wanted, VERSION_ANNOTATION) != annotation(live, VERSION_ANNOTATION) {
        return Some("its sidecar was configured by another version of the operator".to_owned());
    }
    // Image and resources are compared as they were decided: a registry's mirror or an autoscaler may have rewritten them since.
    let [wanted_image, wanted_resources] = decided(wanted);
    let [live_image, live_resources] = decided(live);
    if wanted_image != live_image {
        return Some(format!("its sidecar has another image: {live_image}"));
    }
    if wanted_resources != live_resources {
        return Some("its sidecar has other resources".to_owned());
    }
    let mut container = sidecar(wanted).clone();
    if let Some(container) = container.as_object_mut() {
        container.remove("image");
        container.remove("resources");
    }
    if let Some(path) = part("initContainers", &container, sidecar(live)) {
        return Some(format!("its sidecar has another {path}"));
    }
    if let Some(path) = part("volumes", volume(wanted), volume(live)) {
        return Some(format!("its sidecar's volume has another {path}"));
    }
    if let Some(variable) = variable(wanted, live) {
        return Some(variable);
    }
    (annotation(wanted, RECORD_ANNOTATION) != annotation(live, RECORD_ANNOTATION))
        .then(|| "other variables or pull secrets were added to it".to_owned())
}

/// The sidecar's image and its resources, as the record has them.
fn decided(pod: &Value) -> [&str; 2] {
    let record = pod["metadata"]["annotations"][RECORD_ANNOTATION].as_str().unwrap_or_default();
    let entry = record.split(';').find_map(|entry| entry.strip_prefix("sidecar=")).unwrap_or_default();
    let (image, resources) = entry.split_once(',').unwrap_or_default();
    [image, resources]
}

fn sidecar(pod: &Value) -> &Value {
    named(&pod["spec"]["initContainers"], SIDECAR)
}

fn volume(pod: &Value) -> &Value {
    named(&pod["spec"]["volumes"], SIDECAR)
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    const NONE: &Value = &Value::Null;
    list.as_array().into_iter().flatten().find(|item| item["name"] == name).unwrap_or(NONE)
}

/// The path of the first field of `wanted` that is different in `live`.
fn part(list: &str, wanted: &Value, live: &Value) -> Option<String> {
    let path = first_difference(&json!({list: [wanted]}), &json!({list: [live]}))?;
    let prefix = format!("{list}.0.");
    Some(path.strip_prefix(&prefix).unwrap_or(&path).to_owned())
}

/// The first variable of an application's container that has another value.
fn variable(wanted: &Value, live: &Value) -> Option<String> {
    let containers = wanted["spec"]["containers"].as_array().into_iter().flatten();
    containers.into_iter().find_map(|container| {
        let name = container["name"].as_str().unwrap_or_default();
        let live = named(&live["spec"]["containers"], name);
        let variables = container["env"].as_array().into_iter().flatten();
        variables.into_iter().find_map(|variable| {
            let variable_name = variable["name"].as_str().unwrap_or_default();
            let same = named(&live["env"], variable_name) == variable;
            (!same).then(|| format!("container {name} has another {variable_name}"))
        })
    })
}

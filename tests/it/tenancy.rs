//! What one author of profiles can do to others: nothing that a profile makes reaches out of its namespace, no two profiles
//! share an object or a name, and every pod is one that a restricted namespace admits.

mod collisions;
mod references;
mod restricted;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use telemetry_operator::inject::Injector;
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::render::{Assumptions, RenderError, render};
use telemetry_operator::settings::Settings;

use crate::common::*;
use crate::injection::table;

/// Reference of the application's pod among a profile's objects.
const APPLICATION: &str = "Pod/application";

/// A profile, and what of the cluster decides over its children.
struct Base {
    /// For messages.
    name: &'static str,
    profile: Value,
    served: BTreeSet<ChildKind>,
}

/// Profiles that together make every kind of child by every way. Each has every field that its way allows.
fn bases() -> Vec<Base> {
    let everything: Value =
        serde_yaml::from_str(&repository_file("examples/everything-on.yaml")).expect("the example");
    let base = |name, served: &[ChildKind], change: fn(&mut Value)| {
        let mut profile = everything.clone();
        change(&mut profile["spec"]);
        Base { name, profile, served: served.iter().copied().collect() }
    };
    let optional: Vec<_> = ChildKind::ALL.into_iter().filter(|kind| kind.is_optional()).collect();
    vec![
        base("managed", &[], |_| ()),
        base("by files, to a back end", &[], |spec| {
            spec["metrics"]["prometheus"] = json!("ConfigMap");
            spec["traces"].as_object_mut().expect("traces").remove("jaeger");
            spec["traces"]["endpoint"] = json!("http://tempo.tracing:4317");
        }),
        base("by objects of other operators", &optional, |spec| {
            spec["metrics"]["prometheus"] = json!("Operator");
            spec["traces"]["jaeger"] = json!({"storage": "Memory"});
        }),
    ]
}

impl Base {
    /// Every object that the profile makes in this namespace, and a pod with its sidecar, under `Kind/name`.
    fn objects(&self, profile: &Value, namespace: &str) -> Result<Vec<(String, Value)>, RenderError> {
        let assumptions = Assumptions {
            served: self.served.clone(),
            namespace: Some(namespace.to_owned()),
            owner_uid: Some("6f1d8f0a-0000-4000-8000-000000000001".to_owned()),
        };
        let rendered = render("profile.json", &profile.to_string(), &assumptions, &Settings::default())?;
        let children = rendered.into_iter().flat_map(|rendered| rendered.children);
        let mut objects: Vec<_> = children.map(|child| (child.reference(), child.body)).collect();
        objects.push((APPLICATION.to_owned(), injected_pod(profile, namespace)));
        Ok(objects)
    }

    /// What the profile itself makes when it is called so.
    fn objects_of(&self, name: &str, namespace: &str) -> Vec<(String, Value)> {
        let mut profile = self.profile.clone();
        profile["metadata"]["name"] = json!(name);
        let mut objects = self.objects(&profile, namespace).unwrap_or_else(|error| panic!("{name}: {error}"));
        objects.retain(|(reference, _)| reference != APPLICATION);
        objects
    }
}

/// An application's pod with the profile's sidecar.
fn injected_pod(profile: &Value, namespace: &str) -> Value {
    let mut profile: TelemetryProfile = serde_json::from_value(profile.clone()).expect("a profile");
    profile.metadata.namespace = Some(namespace.to_owned());
    let mut pod = table::pod("application");
    pod["metadata"]["namespace"] = json!(namespace);
    // Whatever the selector asks for, the pod has.
    let mut labels = serde_json::Map::new();
    for (key, value) in &profile.spec.selector.match_labels {
        labels.insert(key.clone(), json!(value.0));
    }
    for requirement in &profile.spec.selector.match_expressions {
        if let Some(value) = requirement.values.first().filter(|_| requirement.operator.as_str() == "In") {
            labels.insert(requirement.key.clone(), json!(value.0));
        }
    }
    pod["metadata"]["labels"] = Value::Object(labels);
    let patch = Injector::new(&profile, &Settings::default()).patch(&pod);
    json_patch::patch(&mut pod, &patch).expect("the patch fits");
    pod
}

/// Calls `see` for every text in the object, with its path: names joined by `/`, `*` for an item of a list.
fn texts(value: &Value, path: &str, see: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(path, text),
        Value::Array(list) => list.iter().for_each(|item| texts(item, &format!("{path}/*"), see)),
        Value::Object(map) => {
            map.iter()
                .for_each(|(key, value)| texts(value, &format!("{path}/{}", key.replace('/', "~1")), see));
        }
        _ => {}
    }
}

//! Every text of a profile that its author chooses: values, keys of maps, entries of lists. In: the CRD's schema and valid
//! profiles. Out: where each stands. No cluster.
//!
//! The list is made from the schema, so that a new field without a profile that sets it fails here.

use serde_json::{Value, json};
use telemetry_operator::profile;

use crate::common::repository_file;

/// One text of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its place in the schema, such as `spec.slos[].name`; the key of a map ends in `{key}`.
    pub name: String,
    /// Pointer to the value, or to the map whose key it is.
    pointer: String,
    key: bool,
}

impl Field {
    /// The path that refusals name; that of the map for a key.
    pub fn path(&self) -> String {
        crate::invalid::field_path(&self.pointer).replace("~1", "/")
    }

    /// Puts a payload there; a map keeps what it has.
    pub fn put(&self, body: &mut Value, payload: &str) {
        let place = body.pointer_mut(&self.pointer).unwrap_or_else(|| panic!("{} is not set", self.name));
        match place {
            Value::Object(map) if self.key => {
                map.insert(payload.to_owned(), json!("value"));
            }
            place => *place = json!(payload),
        }
    }

    /// Whether a refusal at this path can be about this field.
    pub fn is_meant_by(&self, path: &str, payload: &str) -> bool {
        let own = self.path();
        let below = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        below(&own, path) || (self.key && path == format!("{own}.{payload}"))
    }
}

/// Two profiles that set every field between them.
pub fn bases() -> [Value; 2] {
    let everything: Value =
        serde_yaml::from_str(&repository_file("examples/everything-on.yaml")).expect("the example");
    let mut endpoint = everything.clone();
    let traces = endpoint["spec"]["traces"].as_object_mut().expect("traces");
    traces.remove("jaeger");
    traces.insert("endpoint".to_owned(), json!("http://tempo:4317"));
    [everything, endpoint]
}

/// The fields that each base is the first to set.
pub fn all(bases: &[Value; 2]) -> [Vec<Field>; 2] {
    let crd = profile::crd().expect("the CRD");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut wanted = Vec::new();
    names(schema, "spec", &mut wanted);
    let mut missing = wanted.clone();
    let found = bases.each_ref().map(|base| {
        let mut fields = Vec::new();
        walk(schema, &base["spec"], "spec", "/spec", &mut fields);
        fields.retain(|field: &Field| missing.contains(&field.name));
        missing.retain(|name| fields.iter().all(|field| field.name != *name));
        fields
    });
    assert!(missing.is_empty(), "no profile sets {missing:?}");
    found
}

fn names(schema: &Value, name: &str, found: &mut Vec<String>) {
    if schema["type"] == "string" {
        found.push(name.to_owned());
    }
    for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
        names(schema, &format!("{name}.{property}"), found);
    }
    if schema["items"].is_object() {
        names(&schema["items"], &format!("{name}[]"), found);
    }
    if schema["additionalProperties"].is_object() {
        found.push(format!("{name}{{key}}"));
        names(&schema["additionalProperties"], &format!("{name}{{}}"), found);
    }
}

/// The first place of each name that the value has.
fn walk(schema: &Value, value: &Value, name: &str, pointer: &str, found: &mut Vec<Field>) {
    let mut add = |name: String, key| {
        if found.iter().all(|field| field.name != name) {
            found.push(Field { name, pointer: pointer.to_owned(), key });
        }
    };
    match value {
        Value::String(_) => add(name.to_owned(), false),
        Value::Object(map) if schema["additionalProperties"].is_object() => {
            add(format!("{name}{{key}}"), true);
            if let Some((key, value)) = map.iter().next() {
                let pointer = format!("{pointer}/{}", key.replace('/', "~1"));
                walk(&schema["additionalProperties"], value, &format!("{name}{{}}"), &pointer, found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let (name, pointer) = (format!("{name}.{key}"), format!("{pointer}/{key}"));
                walk(&schema["properties"][key], value, &name, &pointer, found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                walk(&schema["items"], value, &format!("{name}[]"), &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

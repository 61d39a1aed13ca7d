//! Nothing in a profile names an object of another namespace. Every text field of the CRD is tried with names that point
//! elsewhere; what comes of it is read from all objects that the profile makes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use telemetry_operator::installation::Installation;
use telemetry_operator::profile;

use super::{Base, bases, texts};

const NAMESPACE: &str = "media";

/// Names that mean something of another namespace, or of none, to one reader or another.
const ELSEWHERE: [&str; 6] = [
    "kube-system",
    "kube-system/default",
    "default.kube-system.svc.cluster.local",
    "../kube-system/default",
    "system:serviceaccount:kube-system:default",
    "http://default.kube-system:8080",
];

/// Endings of keys by which Kubernetes objects refer to others. Keys of new references end like these, too.
const ENDINGS: [&str; 5] = ["name", "Name", "namespace", "Namespace", "Namespaces"];

/// What ends like a reference and names nothing outside of its own object.
const OWN: [&str; 12] = [
    "/metadata/name",
    "/metadata/annotations",
    "/metadata/labels",
    "/groups/*/name",
    "/containers/*/",
    "/initContainers/*/",
    "/volumes/*/name",
    "/ports/*/name",
    "/metrics/*/resource/name",
    "/spec/datasource/",
    "matchLabels/app.kubernetes.io~1name",
    "/selector/app.kubernetes.io~1name",
];

/// What an author chooses of the references: field of the profile, and where its text comes out. Each names an object of the
/// pod's or claim's own namespace, or one without a namespace that every author of pods can name.
const CHOSEN: [(&str, &str); 5] = [
    ("spec.collector.imagePullSecrets[]", "imagePullSecrets/*/name"),
    ("spec.collector.priorityClassName", "priorityClassName"),
    ("spec.jaeger.imagePullSecrets[]", "imagePullSecrets/*/name"),
    ("spec.jaeger.priorityClassName", "priorityClassName"),
    ("spec.traces.jaeger.storageClassName", "storageClassName"),
];

/// Where a policy lets the profile's own pods send to the namespace of an endpoint. It gives no right there, and names no object.
const SENT_TO: &str = "/spec/egress/*/to/*/namespaceSelector/matchLabels/kubernetes.io~1metadata.name";
/// The fields that choose it.
const ENDPOINTS: [&str; 2] = ["spec.logs.endpoint", "spec.traces.endpoint"];

/// A text field that the base has a value for.
#[derive(Clone)]
struct Field {
    /// Its path in the schema.
    path: String,
    /// The path by which a finding names it.
    place: String,
    pointer: String,
}

/// The text fields of a schema that the base has a value for, below `at`.
fn fields(schema: &Value, value: &Value, at: &Field, found: &mut Vec<Field>) {
    if schema["type"] == "string" && schema["enum"].is_null() && value.is_string() {
        found.push(at.clone());
    }
    let below = |path: String, place: String, key: &str| Field {
        path: format!("{}{path}", at.path),
        place: format!("{}{place}", at.place),
        pointer: format!("{}/{}", at.pointer, key.replace('/', "~1")),
    };
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        fields(part, &value[name], &below(format!(".{name}"), format!(".{name}"), name), found);
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let below = below("[]".to_owned(), format!("[{index}]"), &index.to_string());
        fields(&schema["items"], item, &below, found);
    }
    if schema["additionalProperties"].is_object() {
        for (key, item) in value.as_object().into_iter().flatten() {
            let below = below(".*".to_owned(), format!(".{key}"), key);
            fields(&schema["additionalProperties"], item, &below, found);
        }
    }
}

/// Paths of all text fields in the schema.
fn all_paths(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if schema["type"] == "string" && schema["enum"].is_null() {
        found.insert(path.to_owned());
    }
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        all_paths(part, &format!("{path}.{name}"), found);
    }
    for (part, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[part].is_object() {
            all_paths(&schema[part], &format!("{path}{mark}"), found);
        }
    }
}

/// The references of the objects: path in the object, and text.
fn references(objects: &[(String, Value)]) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (_, object) in objects {
        texts(object, "", &mut |path, text| {
            let key = path.rsplit('/').next().unwrap_or_default();
            let own =
                OWN.iter().any(|own| path.contains(own)) && !path.contains("From/") && !path.contains("Ref/");
            if !own && (ENDINGS.iter().any(|ending| key.ends_with(ending)) || path.contains("amespaces/")) {
                found.insert((path.to_owned(), text.to_owned()));
            }
        });
    }
    found
}

/// What of these objects leaves the profile's namespace: they are all in it, and what they name is among them.
fn strays(profile: &Value, objects: &[(String, Value)]) -> Vec<String> {
    let siblings: BTreeSet<_> =
        objects.iter().filter_map(|(reference, _)| reference.split_once('/')).collect();
    let is_sibling = |text: &str| siblings.iter().any(|(_, name)| *name == text);
    let outside = objects.iter().filter(|(_, object)| object["metadata"]["namespace"] != NAMESPACE);
    let mut found: Vec<_> = outside.map(|(reference, _)| reference.clone()).collect();
    for (path, text) in references(objects) {
        let fine = if path == SENT_TO || CHOSEN.iter().any(|(_, place)| path.ends_with(place)) {
            true
        } else if path.contains("amespace") {
            text == NAMESPACE
        } else if path == "/roleRef/name" {
            text == Installation::default().prometheus_role()
        } else if path.contains("/ownerReferences/") {
            profile["metadata"]["name"] == text.as_str()
        } else {
            is_sibling(&text)
        };
        if !fine {
            found.push(format!("{path}: {text}"));
        }
    }
    found
}

/// The profile with a text of its own in each of the fields that may have one, and these fields by their texts.
struct Tried {
    profile: Value,
    objects: Vec<(String, Value)>,
    accepted: BTreeMap<String, Field>,
}

/// All fields at once; those that a finding names get the base's value back, until the rest is accepted.
fn attempt(base: &Base, fields: &[Field], elsewhere: &str) -> Tried {
    let numbered = |(number, field): (usize, &Field)| {
        (elsewhere.replacen("kube", &format!("kube{number}"), 1), field.clone())
    };
    let mut accepted: BTreeMap<_, _> = fields.iter().enumerate().map(numbered).collect();
    loop {
        let mut profile = base.profile.clone();
        for (text, field) in &accepted {
            *profile.pointer_mut(&field.pointer).expect("the field") = json!(text);
        }
        let findings = match base.objects(&profile, NAMESPACE) {
            Ok(objects) => return Tried { profile, objects, accepted },
            Err(error) => error.0,
        };
        let before = accepted.len();
        // A finding about a whole part is about each field in it.
        accepted.retain(|_, field| !findings.iter().any(|finding| field.place.starts_with(&finding.path)));
        assert!(accepted.len() < before, "{elsewhere}: no field of ours: {findings:?}");
    }
}

#[test]
fn no_field_names_an_object_of_another_namespace() {
    let crd = profile::crd().expect("the CRD");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut missing = BTreeSet::new();
    all_paths(schema, "spec", &mut missing);
    let mut chosen = BTreeSet::new();
    let (mut pairs, mut taken) = (0, 0);
    for base in bases() {
        let plain = base.objects(&base.profile, NAMESPACE).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(strays(&base.profile, &plain), [""; 0], "{}", base.name);
        let mut fields_of_base = Vec::new();
        let root = Field { path: "spec".to_owned(), place: "spec".to_owned(), pointer: "/spec".to_owned() };
        fields(schema, &base.profile["spec"], &root, &mut fields_of_base);
        fields_of_base.iter().for_each(|field| _ = missing.remove(&field.path));
        for elsewhere in ELSEWHERE {
            let tried = attempt(&base, &fields_of_base, elsewhere);
            pairs += fields_of_base.len();
            taken += tried.accepted.len();
            assert_eq!(strays(&tried.profile, &tried.objects), [""; 0], "{}: {elsewhere}", base.name);
            for (path, text) in references(&tried.objects).difference(&references(&plain)) {
                // Of an endpoint, only the namespace in its address comes out.
                let of = tried.accepted.iter().find(|(whole, _)| whole.contains(text.as_str()));
                let (whole, field) = of.unwrap_or_else(|| panic!("{path} is {text}"));
                if path == SENT_TO {
                    assert!(ENDPOINTS.contains(&field.path.as_str()), "{} chooses {path}", field.path);
                    continue;
                }
                assert_eq!(whole, text, "{path}");
                let place = CHOSEN.iter().find(|(_, place)| path.ends_with(place));
                let (_, place) = place.unwrap_or_else(|| panic!("{} chooses {path}", field.path));
                chosen.insert((field.path.clone(), *place));
            }
        }
    }
    assert!(missing.is_empty(), "no base has these fields: {missing:?}");
    let known: BTreeSet<_> = CHOSEN.iter().map(|(field, place)| ((*field).to_owned(), *place)).collect();
    assert_eq!(chosen, known, "left: fields that choose a reference, right: the known ones");
    println!("{pairs} pairs of field and name, {taken} accepted");
    assert!(pairs > 1000 && taken > 100, "{pairs} {taken}");
}

/// The same rules notice objects that break them.
#[test]
fn a_reference_to_another_namespace_would_be_noticed() {
    for (path, value) in [
        ("/spec/template/spec/serviceAccountName", json!("default")),
        ("/spec/template/spec/volumes", json!([{"name": "a", "secret": {"secretName": "other"}}])),
        (
            "/spec/template/spec/volumes",
            json!([{"name": "a", "projected": {"sources": [{"secret": {"name": "b"}}]}}]),
        ),
        ("/spec/template/spec/containers/0/envFrom", json!([{"secretRef": {"name": "other"}}])),
        ("/metadata/namespace", json!("kube-system")),
    ] {
        let base = bases().swap_remove(0);
        let mut objects = base.objects(&base.profile, NAMESPACE).expect("objects");
        let (_, deployment) =
            objects.iter_mut().find(|(name, _)| name.starts_with("Deployment/")).expect("a Deployment");
        let (parent, key) = path.rsplit_once('/').expect("a path");
        deployment.pointer_mut(parent).expect("the parent")[key] = value;
        assert_eq!(strays(&base.profile, &objects).len(), 1, "{path}");
    }
}

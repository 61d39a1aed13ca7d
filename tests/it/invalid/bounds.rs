//! (CRD, valid base) → one broken profile for each bound, pattern, list of words, type, required and unknown field.

use serde_json::{Map, Value, json};

use super::{Case, set};

/// One case for each constraint of the schema, each broken alone.
pub fn cases(schema: &Value, base: &Value) -> Vec<Case> {
    let mut walk = Walk { base, cases: Vec::new() };
    walk.value(&schema["properties"]["spec"], "spec", "/spec");
    walk.cases
}

/// Every constraint of the schema but the rules, as `path keyword`.
pub fn constraints(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(&schema["properties"]["spec"], "spec", &mut found);
    found
}

fn collect(schema: &Value, path: &str, found: &mut Vec<String>) {
    for keyword in schema.as_object().expect("a schema").keys() {
        match keyword.as_str() {
            "description"
            | "default"
            | "format"
            | "nullable"
            | "x-kubernetes-validations"
            | "x-kubernetes-list-map-keys" => {}
            "items" => collect(&schema["items"], &format!("{path}[]"), found),
            "additionalProperties" => collect(&schema["additionalProperties"], &format!("{path}.*"), found),
            "required" => {
                found.extend(strings(&schema["required"]).map(|name| format!("{path}.{name} required")));
            }
            "properties" => {
                found.push(format!("{path} unknown"));
                for (name, schema) in schema["properties"].as_object().expect("properties") {
                    collect(schema, &format!("{path}.{name}"), found);
                }
            }
            other => found.push(format!("{path} {other}")),
        }
    }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

struct Walk<'a> {
    base: &'a Value,
    cases: Vec<Case>,
}

impl Walk<'_> {
    /// `path` is that of the schema, `pointer` that of a value in the base which the schema is for.
    fn value(&mut self, schema: &Value, path: &str, pointer: &str) {
        for keyword in schema.as_object().expect("a schema").keys() {
            match keyword.as_str() {
                "required" => {
                    for name in strings(&schema["required"]) {
                        let body = without(self.base, &format!("{pointer}/{name}"));
                        self.add(&format!("{path}.{name}"), "required", &format!("{pointer}/{name}"), body);
                    }
                }
                "properties" => self.properties(schema, path, pointer),
                "items" => self.items(&schema["items"], path, pointer),
                "additionalProperties" => {
                    self.value(
                        &schema["additionalProperties"],
                        &format!("{path}.*"),
                        &format!("{pointer}/key"),
                    );
                }
                keyword => {
                    if let Some((value, at)) = broken(schema, keyword, self.base.pointer(pointer)) {
                        self.add(
                            path,
                            keyword,
                            &format!("{pointer}{at}"),
                            set(self.base, &[(pointer, value)]),
                        );
                    }
                }
            }
        }
    }

    fn properties(&mut self, schema: &Value, path: &str, pointer: &str) {
        let body = set(self.base, &[(&format!("{pointer}/nonsense"), json!(1))]);
        self.add(path, "unknown", &format!("{pointer}/nonsense"), body);
        for (name, schema) in schema["properties"].as_object().expect("properties") {
            self.value(schema, &format!("{path}.{name}"), &format!("{pointer}/{name}"));
        }
    }

    /// The entries of a list differ: each field is broken in the first entry that has it.
    fn items(&mut self, schema: &Value, path: &str, pointer: &str) {
        let path = format!("{path}[]");
        let Some(properties) = schema["properties"].as_object() else {
            return self.value(schema, &path, &format!("{pointer}/0"));
        };
        let entries = self.base.pointer(pointer).and_then(Value::as_array).expect("the base has every list");
        let mut own = schema.clone();
        own["properties"] = json!({});
        self.value(&own, &path, &format!("{pointer}/0"));
        for (name, schema) in properties {
            let index = entries.iter().position(|entry| entry.get(name).is_some()).unwrap_or(0);
            self.value(schema, &format!("{path}.{name}"), &format!("{pointer}/{index}/{name}"));
        }
    }

    fn add(&mut self, path: &str, keyword: &str, pointer: &str, body: Value) {
        let (code, refusal) = expected(keyword);
        self.cases.push(Case {
            constraint: Some(format!("{path} {keyword}")),
            path: field_path(pointer),
            code,
            refusal: refusal.to_owned(),
            body,
        });
    }
}

/// `/spec/slos/0/name` as the API server writes it.
pub fn field_path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.trim_start_matches('/').split('/') {
        match part.parse::<usize>() {
            Ok(index) => path += &format!("[{index}]"),
            Err(_) if path.is_empty() => path += part,
            Err(_) => path += &format!(".{part}"),
        }
    }
    path
}

/// A value that breaks this keyword, and where below the value the break is.
fn broken(schema: &Value, keyword: &str, present: Option<&Value>) -> Option<(Value, &'static str)> {
    let bound = || usize::try_from(schema[keyword].as_u64().expect("a bound")).expect("a small bound");
    Some(match keyword {
        "type" if schema["type"] == "string" => (json!(7), ""),
        "type" => (json!("text"), ""),
        "pattern" => {
            let length = schema["minLength"].as_u64().unwrap_or(1).max(1);
            ("!".repeat(usize::try_from(length).expect("a small bound")).into(), "")
        }
        "minLength" => ("a".repeat(bound() - 1).into(), ""),
        "maxLength" => ("a".repeat(bound() + 1).into(), ""),
        "minimum" => (json!(schema["minimum"].as_f64().expect("a bound") as i64 - 1), ""),
        "maximum" => (json!(schema["maximum"].as_f64().expect("a bound") as i64 + 1), ""),
        "minItems" => (json!([]), ""),
        "maxItems" => {
            let first = present.and_then(|list| list.get(0)).expect("the base has an entry");
            ((0..=bound()).map(|index| numbered(first, index)).collect(), "")
        }
        "maxProperties" => {
            let entries = (0..=bound()).map(|index| (format!("a{index}"), json!("x")));
            (Value::Object(entries.collect::<Map<_, _>>()), "")
        }
        "enum" => (json!("Nope"), ""),
        "x-kubernetes-list-type" => {
            let first = present.and_then(|list| list.get(0)).expect("the base has an entry");
            (json!([first, first]), "/1")
        }
        _ => return None,
    })
}

/// A copy of a list's entry that is not the same as its neighbours.
fn numbered(entry: &Value, index: usize) -> Value {
    let mut entry = entry.clone();
    match &mut entry {
        Value::Object(map) if map.contains_key("name") => {
            map.insert("name".to_owned(), format!("a{index}").into());
            entry
        }
        Value::Object(_) => entry,
        _ => format!("a{index}").into(),
    }
}

fn without(base: &Value, pointer: &str) -> Value {
    let mut body = base.clone();
    let (parent, name) = pointer.rsplit_once('/').expect("a field");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut);
    parent.and_then(|map| map.remove(name)).unwrap_or_else(|| panic!("the base lacks {pointer}"));
    body
}

/// The code that `validate` gives, and what the API server's refusal contains.
fn expected(keyword: &str) -> (&'static str, &'static str) {
    match keyword {
        "unknown" => ("TP0101", "unknown field"),
        "type" => ("TP0102", "FieldValueTypeInvalid"),
        "required" => ("TP0103", "FieldValueRequired"),
        "enum" => ("TP0104", "FieldValueNotSupported"),
        "pattern" => ("TP0105", "should match"),
        "minimum" => ("TP0106", "should be greater than or equal to"),
        "maximum" => ("TP0106", "should be less than or equal to"),
        "minLength" => ("TP0107", "should be at least"),
        "maxLength" => ("TP0107", "FieldValueTooLong"),
        "minItems" => ("TP0108", "should have at least"),
        "maxItems" | "maxProperties" => ("TP0108", "FieldValueTooMany"),
        "x-kubernetes-list-type" => ("TP0109", "FieldValueDuplicate"),
        other => panic!("the table does not know the keyword {other}: teach it"),
    }
}

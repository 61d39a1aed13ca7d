//! (CRD schema, document) → findings, by the API server's rules and with its paths. Pure, no cluster.

use regex::Regex;
use serde_json::{Map, Value};

use super::code::Code;
use super::suggest::nearest;
use crate::manifest::document::{Document, join};
use crate::manifest::scalar;

/// Something that a check found, before it is known where in which file it stands.
#[derive(Debug)]
pub(super) struct Draft {
    pub code: &'static str,
    pub path: String,
    pub message: String,
    pub fix: String,
}

/// Drops nulls where the schema knows none, as the API server does before it looks further: the field counts as absent.
pub(super) fn prune_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| {
                !value.is_null()
                    || property(schema, key).is_none_or(|schema| schema["nullable"] == Value::Bool(true))
            });
            for (key, value) in map {
                if let Some(schema) = property(schema, key) {
                    prune_nulls(schema, value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| prune_nulls(&schema["items"], item)),
        _ => {}
    }
}

/// Checks a whole document.
pub(super) fn check(schema: &Value, document: &Document) -> Vec<Draft> {
    let mut checker = Checker { document, root: schema, drafts: Vec::new() };
    checker.value(schema, &document.value, "");
    checker.drafts
}

/// The schema of one field: a named one, or that of a map's values.
fn property<'s>(schema: &'s Value, key: &str) -> Option<&'s Value> {
    schema["properties"]
        .get(key)
        .or_else(|| schema.get("additionalProperties").filter(|more| more.is_object()))
}

struct Checker<'a> {
    document: &'a Document,
    root: &'a Value,
    drafts: Vec<Draft>,
}

impl Checker<'_> {
    fn add(&mut self, code: Code, path: &str, message: String, fix: String) {
        self.drafts.push(Draft { code: code.as_str(), path: path.to_owned(), message, fix });
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        let nullable = schema["nullable"] == Value::Bool(true);
        if value.is_null() && nullable && schema.get("enum").is_none() {
            return;
        }
        if !self.has_type(schema, value, path) {
            return;
        }
        match value {
            Value::Object(map) => self.object(schema, map, path),
            Value::Array(list) => self.list(schema, list, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or(f64::NAN), path),
            Value::Bool(_) | Value::Null => {}
        }
        self.allowed(schema, value, path);
    }

    fn has_type(&mut self, schema: &Value, value: &Value, path: &str) -> bool {
        let wanted = schema["type"].as_str().unwrap_or_default();
        let given = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        // An enum reports null by itself: the API server, too, says that the value is not supported.
        if wanted.is_empty() || wanted == given || (value.is_null() && schema.get("enum").is_some()) {
            return true;
        }
        let word = self.document.word(path).map(str::to_owned);
        let fix = match (wanted, value, &word) {
            ("string", Value::Bool(_) | Value::Number(_) | Value::Null, Some(word)) => {
                format!("write it in quotes: \"{word}\"")
            }
            ("integer" | "boolean", Value::String(text), _) if plain_type(text) == wanted => {
                format!("write {text} without quotes")
            }
            _ => format!("write {}{}", article(wanted), explain(schema)),
        };
        let what = match word {
            Some(word) => format!("`{word}` is read as {}", article(given)),
            None => format!("this is {}", article(given)),
        };
        self.add(Code::WrongType, path, format!("{what}, and the field is {}", article(wanted)), fix);
        false
    }

    fn object(&mut self, schema: &Value, map: &Map<String, Value>, path: &str) {
        for (key, value) in map {
            match property(schema, key) {
                Some(schema) => self.value(schema, value, &join(path, key)),
                None => self.unknown(schema, key, path),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(name) {
                let fix = format!("add `{name}`{}", explain(&schema["properties"][name]));
                self.add(Code::Missing, &join(path, name), format!("`{name}` is required here"), fix);
            }
        }
        if let Some(max) = schema["maxProperties"].as_u64().filter(|max| map.len() as u64 > *max) {
            self.add(
                Code::Count,
                path,
                format!("{} entries are too many", map.len()),
                format!("keep at most {max}"),
            );
        }
    }

    fn unknown(&mut self, schema: &Value, key: &str, path: &str) {
        let known = || schema["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str);
        let fix = if let Some(near) = nearest(key, known()) {
            format!("write `{near}`")
        } else if let Some(elsewhere) = find_field(self.root, key, "") {
            format!("this field is at {elsewhere}: move it there")
        } else {
            format!("remove it; the fields here are {}", known().collect::<Vec<_>>().join(", "))
        };
        self.add(Code::UnknownField, &join(path, key), format!("there is no field `{key}` here"), fix);
    }

    fn list(&mut self, schema: &Value, list: &[Value], path: &str) {
        for (index, item) in list.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{path}[{index}]"));
        }
        if let Some(max) = schema["maxItems"].as_u64().filter(|max| list.len() as u64 > *max) {
            self.add(
                Code::Count,
                path,
                format!("{} entries are too many", list.len()),
                format!("keep at most {max}"),
            );
        }
        if let Some(min) = schema["minItems"].as_u64().filter(|min| (list.len() as u64) < *min) {
            let fix = format!("give at least {min}, or leave the field out");
            self.add(Code::Count, path, format!("{} entries are too few", list.len()), fix);
        }
        let keys: Vec<_> = schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let identity = |item: &Value| match keys.as_slice() {
            [] => item.clone(),
            keys => keys.iter().map(|key| item[*key].clone()).collect(),
        };
        if matches!(schema["x-kubernetes-list-type"].as_str(), Some("map" | "set")) {
            let identities: Vec<_> = list.iter().map(identity).collect();
            for (index, this) in identities.iter().enumerate() {
                if let Some(first) = identities[..index].iter().position(|other| other == this) {
                    let what = if keys.is_empty() { "value".to_owned() } else { keys.join(" and ") };
                    let message = format!("entry {first} has the same {what}");
                    let fix = format!("give every entry a {what} of its own, or remove one");
                    self.add(Code::DuplicateEntry, &format!("{path}[{index}]"), message, fix);
                }
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(min) = schema["minLength"].as_u64().filter(|min| length < *min) {
            let message = format!("{text:?} has {length} characters");
            self.add(Code::Length, path, message, format!("write at least {min}{}", explain(schema)));
            return;
        }
        if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
            self.add(
                Code::Length,
                path,
                format!("{length} characters are too many"),
                format!("write at most {max}"),
            );
            return;
        }
        let Some(pattern) = schema["pattern"].as_str() else {
            return;
        };
        match Regex::new(pattern) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => {
                let message = format!("{text:?} does not match {pattern}");
                self.add(Code::Pattern, path, message, format!("write text of this form{}", explain(schema)));
            }
            Err(error) => {
                let fix = "check this profile with kubectl apply --dry-run=server".to_owned();
                self.add(
                    Code::RuleNotEvaluated,
                    path,
                    format!("the pattern {pattern} cannot be read: {error}"),
                    fix,
                );
            }
        }
    }

    fn number(&mut self, schema: &Value, number: f64, path: &str) {
        let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
            let fix = match (min, max) {
                (Some(min), Some(max)) => format!("write a number from {min} to {max}"),
                (Some(min), None) => format!("write a number of at least {min}"),
                (_, max) => format!("write a number of at most {}", max.unwrap_or_default()),
            };
            self.add(Code::Range, path, format!("{number} is out of range"), fix);
        }
    }

    fn allowed(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) else {
            return;
        };
        let words: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
        let list = words.join(", ");
        let fix = match value.as_str().and_then(|word| nearest(word, words.iter().copied())) {
            Some(near) => format!("write {near} (allowed: {list})"),
            None => format!("write one of {list}"),
        };
        self.add(Code::NotAllowed, path, format!("{value} is not one of the allowed words"), fix);
    }
}

/// The type that a text would have without quotes.
fn plain_type(text: &str) -> &'static str {
    match scalar::resolve(text) {
        Ok(Value::Bool(_)) => "boolean",
        Ok(Value::Number(number)) if !number.is_f64() => "integer",
        _ => "string",
    }
}

fn article(kind: &str) -> &'static str {
    match kind {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "string" => "text",
        "array" => "a list",
        "object" => "a map of fields",
        _ => "empty",
    }
}

/// What the field is for, as `kubectl explain` says it.
fn explain(schema: &Value) -> String {
    schema["description"]
        .as_str()
        .map(|text| format!(" ({})", text.trim_end_matches('.')))
        .unwrap_or_default()
}

/// The first path with a field of this name, for one that was put into the wrong place.
fn find_field(schema: &Value, name: &str, path: &str) -> Option<String> {
    let fields = schema["properties"].as_object()?;
    let open = || fields.iter().filter(|(key, _)| *key != "status" && *key != "metadata");
    open().find(|(key, _)| *key == name).map(|(key, _)| join(path, key)).or_else(|| {
        open().find_map(|(key, schema)| {
            let items = schema.get("items").map(|items| (items, "[]"));
            let (schema, mark) = items.unwrap_or((schema, ""));
            find_field(schema, name, &format!("{}{mark}", join(path, key)))
        })
    })
}

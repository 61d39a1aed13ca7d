//! What a payload changed in the children of a profile: nothing but texts, and in each of them it stands as text. In: the
//! children with and without it. Out: what is wrong. No cluster.
//!
//! Files inside the children are opened, so that a key that a payload made would be seen.

use serde_json::Value;
use telemetry_operator::plan::Child;

/// Who reads a text, and so what it must not hold beyond what the operator itself writes.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    Collector,
    Grafana,
    /// Annotations and labels of alerts.
    Template,
    Kubernetes,
    /// PromQL of rules: a real Prometheus parses it in a test of its own.
    PromQl,
}

impl Reader {
    fn of(path: &str) -> Self {
        match path {
            _ if path.contains("/spec/json") || path.contains(".json/") => Self::Grafana,
            _ if path.contains("/rules/") && path.ends_with("/expr") => Self::PromQl,
            _ if path.contains("/rules/") => Self::Template,
            _ if path.contains(".yaml/") => Self::Collector,
            _ => Self::Kubernetes,
        }
    }

    /// How often a text holds what this reader acts on.
    fn active(self, text: &str) -> usize {
        let count = |text: &str, signs: &[&str]| signs.iter().map(|sign| text.matches(sign).count()).sum();
        match self {
            Self::Collector => count(&text.replace("$$", ""), &["$"]),
            Self::Grafana => count(text, &["$", "{{", "[[", "<", "](", "`"]),
            Self::Template => count(&text.replace("{{ \"{{\" }}", "").replace("{{ \"{\" }}", ""), &["{{"]),
            Self::Kubernetes => count(&text.replace("$$", ""), &["$("]),
            Self::PromQl => 0,
        }
    }

    /// The text as this reader takes it.
    fn read(self, text: &str) -> String {
        match self {
            Self::Collector => text.replace("$$", "$"),
            Self::Template => text.replace("{{ \"{{\" }}", "{{").replace("{{ \"{\" }}", "{"),
            Self::Grafana => references(text),
            Self::Kubernetes | Self::PromQl => text.to_owned(),
        }
    }
}

/// Resolves HTML's character references by number.
fn references(text: &str) -> String {
    let mut parts = text.split("&#");
    let mut read = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once(';').expect("a reference ends");
        read.push(char::from_u32(number.parse().expect("a number")).expect("a character"));
        read += rest;
    }
    read
}

/// Everything in which the children differ in another way than by the payload as text.
pub fn wrong(base: &[Child], got: &[Child], payload: &str) -> Vec<String> {
    let opened = |children: &[Child]| {
        let children = children.iter().map(|child| (child.reference(), open(&child.body, "")));
        children.map(|(reference, body)| serde_json::json!([reference, body])).collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    differ(&opened(base).into(), &opened(got).into(), "", payload, &mut wrong);
    wrong
}

/// The value with its files parsed.
fn open(value: &Value, key: &str) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), open(value, key)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(|value| open(value, "")).collect(),
        Value::String(text) if key.ends_with(".json") || key == "json" => {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{key}: {error}\n{text}"))
        }
        Value::String(text) if key.ends_with(".yaml") => {
            serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{key}: {error}\n{text}"))
        }
        value => value.clone(),
    }
}

fn differ(base: &Value, got: &Value, path: &str, payload: &str, wrong: &mut Vec<String>) {
    match (base, got) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in after {
                match before.get(key) {
                    Some(before) => differ(before, value, &format!("{path}/{key}"), payload, wrong),
                    // Labels that the profile adds; a label of an alert, a node, an object.
                    None if key == payload && value == "value" => {}
                    None => wrong.push(format!("{path}: a new key {key:?} with {value}")),
                }
            }
            let gone = before.keys().filter(|key| !after.contains_key(*key));
            wrong.extend(gone.map(|key| format!("{path}: no key {key:?} any more")));
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                differ(before, after, &format!("{path}/{index}"), payload, wrong);
            }
        }
        (Value::String(before), Value::String(after)) if before != after => {
            text(before, after, path, payload, wrong);
        }
        (before, after) if before != after => wrong.push(format!("{path}: {before} became {after}")),
        _ => {}
    }
}

fn text(before: &str, after: &str, path: &str, payload: &str, wrong: &mut Vec<String>) {
    let reader = Reader::of(path);
    let (was, is) = (reader.active(before), reader.active(after));
    if was != is {
        wrong.push(format!("{path}: {is} things to act on instead of {was} in {after:?}"));
    }
    let hash = path.ends_with("-hash");
    let blank = |text: &str| text.replace(|c: char| c.is_control() || "\u{2028}\u{2029}".contains(c), " ");
    let read = blank(&reader.read(after));
    // The braces of a unit are taken off for people.
    let payload = blank(payload);
    let payload = payload.trim().trim_matches(['{', '}']);
    if reader != Reader::PromQl && !hash && !read.contains(payload) {
        wrong.push(format!("{path}: {before:?} became {after:?}, which is not the payload"));
    }
}

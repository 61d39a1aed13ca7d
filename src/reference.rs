//! The reference page of the custom resource: CRD → Markdown. Pure, no cluster.
//!
//! `docs/profile-reference.md` is this text; a test compares them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::profile::{API_VERSION, KIND, crd};

const INTRODUCTION: &str = "\
Generated from the CRD; `UPDATE=1 cargo test reference` writes it anew. `kubectl explain tp.spec` shows the same texts.
`telemetry-operator validate -f FILE` checks a profile against all of it without a cluster, see [validation](validation.md).

An entry reads: path, type, then whether the field is required or what it defaults to. A field without either may be
left out. `[]` stands for each entry of a list, `{}` for each value of a map. *Rules* are checked by the API server beyond
type and bounds, over the fields below the path that they stand at.
";

/// The whole page.
///
/// # Errors
/// When the CRD cannot be read as JSON, which a test rules out.
pub fn markdown() -> Result<String, serde_json::Error> {
    let crd = crd()?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut page = format!(
        "# {KIND} reference\n\n`apiVersion: {API_VERSION}`, `kind: {KIND}`, short name `tp`, namespaced.\n"
    );
    let _ = write!(page, "\n{INTRODUCTION}");
    rules(&mut page, schema);
    for (part, value) in schema["properties"].as_object().into_iter().flatten() {
        let _ = write!(page, "\n## {part}\n\n{}\n", text(value, "description"));
        rules(&mut page, value);
        let required = names(&value["required"]);
        for (name, field) in value["properties"].as_object().into_iter().flatten() {
            let path = format!("{part}.{name}");
            let _ = write!(page, "\n### {path}\n");
            entry(&mut page, field, &path, required.contains(&name.as_str()));
        }
    }
    Ok(page)
}

/// One field and everything below it.
fn entry(page: &mut String, schema: &Value, path: &str, required: bool) {
    let mut facts = vec![kind(schema)];
    if required {
        facts.push("required".to_owned());
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_object()) {
        facts.push(format!("default `{default}`"));
    }
    let _ = write!(page, "\n**`{path}`** ({})\n", facts.join(", "));
    let _ = write!(page, "\n{}\n", text(schema, "description"));
    let bounds = bounds(schema);
    if !bounds.is_empty() {
        let _ = write!(page, "\nBounds: {}.\n", bounds.join("; "));
    }
    rules(page, schema);
    let required = names(&schema["required"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        entry(page, field, &format!("{path}.{name}"), required.contains(&name.as_str()));
    }
    for (nested, mark) in [(&schema["items"], "[]"), (&schema["additionalProperties"], "{}")] {
        if nested["properties"].is_object() || nested.get("pattern").is_some() {
            entry(page, nested, &format!("{path}{mark}"), false);
        }
    }
}

fn kind(schema: &Value) -> String {
    let simple = |schema: &Value| match schema["enum"].as_array() {
        Some(words) => {
            let words: Vec<_> =
                words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
            format!("one of {}", words.join(", "))
        }
        None => text(schema, "type").to_owned(),
    };
    if schema["items"].is_object() {
        return format!("list of {}", simple(&schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        return format!("map of {}", simple(&schema["additionalProperties"]));
    }
    simple(schema)
}

fn bounds(schema: &Value) -> Vec<String> {
    let range = |min: &str, max: &str, what: &str| {
        let (min, max) = (schema[min].as_f64(), schema[max].as_f64());
        match (min, max) {
            (Some(min), Some(max)) => Some(format!("{min} to {max}{what}")),
            (Some(min), None) => Some(format!("at least {min}{what}")),
            (None, Some(max)) => Some(format!("at most {max}{what}")),
            (None, None) => None,
        }
    };
    let ranges = [
        range("minimum", "maximum", ""),
        range("minLength", "maxLength", " characters"),
        range("minItems", "maxItems", " entries"),
        range("minProperties", "maxProperties", " entries"),
    ];
    let mut bounds: Vec<_> = ranges.into_iter().flatten().collect();
    if let Some(pattern) = schema["pattern"].as_str() {
        bounds.push(format!("matches `{pattern}`"));
    }
    match schema["x-kubernetes-list-type"].as_str() {
        Some("map") => {
            bounds.push(format!(
                "no two entries with the same {}",
                names(&schema["x-kubernetes-list-map-keys"]).join(" and ")
            ));
        }
        Some("set") => bounds.push("no value twice".to_owned()),
        _ => {}
    }
    bounds
}

fn rules(page: &mut String, schema: &Value) {
    let rules = schema["x-kubernetes-validations"].as_array().map_or(&[][..], Vec::as_slice);
    if rules.is_empty() {
        return;
    }
    page.push_str("\nRules:\n\n");
    for rule in rules {
        let changes = if text(rule, "rule").contains("oldSelf") { " (on a change)" } else { "" };
        let _ = writeln!(page, "- {}{changes}", text(rule, "message"));
    }
}

fn text<'v>(schema: &'v Value, key: &str) -> &'v str {
    schema[key].as_str().unwrap_or_default()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn the_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/profile-reference.md");
        let page = super::markdown().expect("the CRD is readable");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(path, &page).expect("the page can be written");
        }
        let committed = fs::read_to_string(path).unwrap_or_default();
        assert!(page == committed, "docs/profile-reference.md is stale: run UPDATE=1 cargo test reference");
    }
}

//! The reference page of the custom resource: CRD → Markdown. Pure, no cluster.
//!
//! `docs/profile-reference.md` is this text; a test compares them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::profile::{API_VERSION, KIND, crd};

const INTRODUCTION: &str = "\
Generated from the CRD; `make generate` writes it anew. `kubectl explain tp.spec` shows the same texts.
`telemetry-operator validate -f FILE` checks a profile against all of it without a cluster, see [validation](validation.md).

A section is an object; `[]` stands for each entry of a list. A field that is neither required nor has a default may be left
out. *Bounds* follow the meaning. Rules are checked by the API server beyond type and bounds.
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
    for part in ["spec", "status"] {
        object(&mut page, &schema["properties"][part], part);
    }
    Ok(page)
}

/// One object: a section with a row for each field, then the objects below it.
fn object(page: &mut String, schema: &Value, path: &str) {
    let _ = write!(page, "\n## {path}\n\n{}\n", text(schema, "description"));
    rules(page, schema);
    page.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    let required = names(&schema["required"]);
    let fields = || schema["properties"].as_object().into_iter().flatten();
    for (name, field) in fields() {
        row(page, name, field, required.contains(&name.as_str()));
    }
    for (name, field) in fields() {
        if field["properties"].is_object() {
            object(page, field, &format!("{path}.{name}"));
        }
        if field["items"]["properties"].is_object() {
            object(page, &field["items"], &format!("{path}.{name}[]"));
        }
    }
}

/// One field: type with default, then meaning, bounds and rules. A bar would end the cell.
fn row(page: &mut String, name: &str, schema: &Value, required: bool) {
    let mut facts = vec![kind(schema)];
    if required {
        facts.push("**required**".to_owned());
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_object()) {
        facts.push(format!("default `{default}`"));
    }
    let mut meaning = text(schema, "description").to_owned();
    let nested =
        [&schema["items"], &schema["additionalProperties"]].into_iter().filter(|part| part.is_object());
    let each = nested.flat_map(bounds).map(|bound| format!("each {bound}"));
    let bounds: Vec<_> = bounds(schema).into_iter().chain(each).collect();
    if !bounds.is_empty() {
        let _ = write!(meaning, " *{}*", bounds.join("; "));
    }
    if !schema["properties"].is_object() {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let _ = write!(meaning, " Rule: {}.", text(rule, "message"));
        }
    }
    let cell = |text: &str| text.trim().replace('|', "\\|");
    let _ = writeln!(page, "| `{name}` | {} | {} |", cell(&facts.join(", ")), cell(&meaning));
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
        assert!(page == committed, "docs/profile-reference.md is stale: run `make generate`");
    }
}

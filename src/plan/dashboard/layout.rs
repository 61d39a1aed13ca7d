//! Where panels go and what follows from it: position, id, defaults of their type, data sources of their targets; links between
//! dashboards. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::template::defect;
use crate::plan::PlanError;

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// A row with every value in it.
#[derive(Debug)]
pub(super) struct Row {
    /// Its title.
    pub title: String,
    /// Its panels, each with its width and height.
    pub panels: Vec<Value>,
}

/// Places rows below each other and each row's panels from left to right, line by line.
pub(super) fn place(rows: Vec<Row>, defaults: &BTreeMap<String, Value>) -> Result<Vec<Value>, PlanError> {
    let mut placed = Vec::new();
    let mut y = 0;
    for row in rows.into_iter().filter(|row| !row.panels.is_empty()) {
        placed.push(json!({
            "collapsed": false,
            "gridPos": { "h": 1, "w": COLUMNS, "x": 0, "y": y },
            "id": placed.len() + 1,
            "panels": [],
            "title": row.title,
            "type": "row",
        }));
        y += 1;
        let (mut x, mut line_height) = (0, 0);
        for panel in row.panels {
            let mut panel = complete(panel, defaults)?;
            let (width, height) = size(&panel)?;
            if x + width > COLUMNS {
                (x, y, line_height) = (0, y + line_height, 0);
            }
            panel.insert("gridPos".to_owned(), json!({ "h": height, "w": width, "x": x, "y": y }));
            panel.insert("id".to_owned(), (placed.len() + 1).into());
            placed.push(Value::Object(panel));
            x += width;
            line_height = line_height.max(height);
        }
        y += line_height;
    }
    Ok(placed)
}

fn size(panel: &Map<String, Value>) -> Result<(u64, u64), PlanError> {
    let side =
        |key: &str| panel.get("gridPos").and_then(|place| place[key].as_u64()).filter(|side| *side > 0);
    match (side("w"), side("h")) {
        (Some(width), Some(height)) if width <= COLUMNS => Ok((width, height)),
        _ => Err(defect(format!("a panel template has no size that fits: {}", Value::Object(panel.clone())))),
    }
}

/// The panel with the defaults of its type; its targets with their letters and the panel's data source.
fn complete(panel: Value, defaults: &BTreeMap<String, Value>) -> Result<Map<String, Value>, PlanError> {
    let base = panel["type"].as_str().and_then(|kind| defaults.get(kind)).cloned();
    let base =
        base.ok_or_else(|| defect(format!("a panel template has a type without defaults: {panel}")))?;
    let Value::Object(mut panel) = merge(base, panel) else {
        return Err(defect("a panel template is no object".to_owned()));
    };
    if let Some(Value::Array(targets)) = panel.remove("targets") {
        let prometheus = || json!({ "type": "prometheus", "uid": "${datasource}" });
        let source = panel.entry("datasource").or_insert_with(prometheus).clone();
        let targets = targets.into_iter().zip('A'..='Z').map(|(target, letter)| {
            merge(target, json!({ "datasource": source, "refId": letter.to_string() }))
        });
        let targets: Vec<Value> = targets.collect();
        panel.insert("targets".to_owned(), targets.into());
    }
    Ok(panel)
}

/// `over` on top of `base`: objects are merged, everything else is replaced.
fn merge(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                let merged = match base.remove(&key) {
                    Some(below) => merge(below, value),
                    None => value,
                };
                base.insert(key, merged);
            }
            Value::Object(base)
        }
        (_, over) => over,
    }
}

/// A link from a dashboard to the one with this uid, which takes the time along, and on request the variables.
pub(super) fn link(title: &str, tooltip: &str, uid: &str, with_variables: bool) -> Value {
    json!({
        "asDropdown": false,
        "icon": "dashboard",
        "includeVars": with_variables,
        "keepTime": true,
        "tags": [],
        "targetBlank": false,
        "title": title,
        "tooltip": tooltip,
        "type": "link",
        "url": format!("/d/{uid}"),
    })
}

/// The variables that the panels use, themselves or through other variables.
pub(super) fn used_variables(variables: Vec<Value>, panels: &[Value]) -> Vec<Value> {
    let mut texts: Vec<String> = panels.iter().map(Value::to_string).collect();
    let mut used = Vec::new();
    // A variable can only use those before it.
    for variable in variables.into_iter().rev() {
        let name = variable["name"].as_str().unwrap_or_default();
        if texts.iter().any(|text| mentions(text, name)) {
            texts.push(variable.to_string());
            used.push(variable);
        }
    }
    used.reverse();
    used
}

/// True where the text has `${name}` or `$name`.
fn mentions(text: &str, name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let bare = format!("${name}");
    text.contains(&format!("${{{name}}}"))
        || text.match_indices(&bare).any(|(at, _)| !text[at + bare.len()..].starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(width: u64, height: u64) -> Value {
        json!({ "type": "stat", "gridPos": { "w": width, "h": height } })
    }

    fn positions(panels: &[Value]) -> Vec<(u64, u64)> {
        let number = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().expect("placed");
        panels.iter().map(|panel| (number(panel, "x"), number(panel, "y"))).collect()
    }

    #[test]
    fn panels_flow_and_empty_rows_vanish() {
        let defaults = BTreeMap::from([("stat".to_owned(), json!({}))]);
        let rows = vec![
            Row {
                title: "one".to_owned(),
                panels: vec![panel(8, 4), panel(8, 6), panel(8, 4), panel(12, 5)],
            },
            Row { title: "none".to_owned(), panels: vec![] },
            Row { title: "two".to_owned(), panels: vec![panel(24, 3)] },
        ];
        let placed = place(rows, &defaults).expect("placed");
        assert_eq!(positions(&placed), [(0, 0), (0, 1), (8, 1), (16, 1), (0, 7), (0, 12), (0, 13)]);
        assert!(place(vec![Row { title: String::new(), panels: vec![panel(25, 1)] }], &defaults).is_err());
        assert!(
            place(vec![Row { title: String::new(), panels: vec![json!({ "type": "pie" })] }], &defaults)
                .is_err()
        );
    }

    #[test]
    fn defaults_are_merged_below_the_panel() {
        let merged = merge(json!({"a": {"b": 1, "c": [1, 2]}, "d": 1}), json!({"a": {"c": [3]}, "e": 2}));
        assert_eq!(merged, json!({"a": {"b": 1, "c": [3]}, "d": 1, "e": 2}));
    }

    #[test]
    fn only_variables_in_use_remain() {
        let variables = vec![
            json!({ "name": "datasource" }),
            json!({ "name": "kind", "datasource": "${datasource}" }),
            json!({ "name": "kinds" }),
        ];
        let names = |panels: &[Value]| {
            let used = used_variables(variables.clone(), panels);
            used.iter()
                .map(|variable| variable["name"].as_str().expect("a name").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[json!("{a=~\"$kind\"}")]), ["datasource", "kind"]);
        assert_eq!(names(&[json!("$kinds")]), ["kinds"]);
        assert!(names(&[json!("$kinder")]).is_empty());
    }
}

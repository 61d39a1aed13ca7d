//! The variables of a dashboard. In: their definitions. Out: every choice that is to be tried, each with the text that stands for
//! every variable. It asks Prometheus for the values of label variables.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::TimeRange;
use super::source::Sources;
use crate::prometheus;

/// A value for every variable.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// Which variable is not at its default, and at what; empty for none.
    pub name: String,
    values: Vec<(String, String)>,
    /// The variable that is not at its default.
    changed: Option<String>,
}

impl Choice {
    /// False where the target would ask what it asks with every variable at its default.
    pub fn concerns(&self, target: &Value) -> bool {
        self.changed.as_ref().is_none_or(|name| {
            let text = target.to_string();
            text.contains(&format!("${name}")) || text.contains(&format!("${{{name}"))
        })
    }

    /// The target with the values in the place of their variables.
    pub fn fill(&self, target: &Value) -> Value {
        match target {
            Value::String(text) => Value::String(self.fill_text(text)),
            Value::Array(list) => list.iter().map(|item| self.fill(item)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), self.fill(value))).collect(),
            other => other.clone(),
        }
    }

    fn fill_text(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        })
    }
}

/// The defaults, then each value of each variable.
pub(super) fn choices(board: &Value, sources: &Sources, range: TimeRange) -> Result<Vec<Choice>> {
    let mut choices = vec![Choice { name: String::new(), values: Vec::new(), changed: None }];
    for variable in board["templating"]["list"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().context("a variable without a name")?;
        match variable["type"].as_str() {
            // Which data source is meant is said by its type.
            Some("datasource") => {}
            Some("query") => {
                let (default, values) = query(variable, &choices[0], sources, range)
                    .with_context(|| format!("variable {name}"))?;
                for choice in &mut choices {
                    choice.values.push((name.to_owned(), default.clone()));
                }
                for value in values {
                    let mut choice = choices[0].clone();
                    choice.name = format!("{name}={value}");
                    choice.changed = Some(name.to_owned());
                    choice.values.retain(|(other, _)| other != name);
                    choice.values.push((name.to_owned(), escaped(&value)));
                    choices.push(choice);
                }
            }
            other => bail!("variable {name} has the type {other:?}, which is not known here"),
        }
    }
    Ok(choices)
}

/// The default of a variable of `label_values(selector, label)`, and each of its values.
fn query(
    variable: &Value,
    defaults: &Choice,
    sources: &Sources,
    range: TimeRange,
) -> Result<(String, Vec<String>)> {
    let text = defaults.fill_text(variable["query"].as_str().context("no query")?);
    let inner = text.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) = inner
        .and_then(|inner| inner.rsplit_once(", "))
        .with_context(|| format!("{text} is no label_values"))?;
    let path = format!(
        "/api/v1/label/{label}/values?start={}&end={}&match[]={}",
        range.from,
        range.to,
        prometheus::encoded(selector)
    );
    let values = prometheus::ask(&sources.prometheus, &path)?;
    let values: Vec<String> = serde_json::from_value(values).context("label values")?;
    ensure!(!values.is_empty(), "{text} has no values");
    ensure!(variable["includeAll"] == true, "without All its default is not known");
    let all = variable["allValue"].as_str().filter(|all| !all.is_empty()).map(str::to_owned);
    Ok((
        all.unwrap_or_else(|| values.iter().map(|value| escaped(value)).collect::<Vec<_>>().join("|")),
        values,
    ))
}

/// As Grafana's Prometheus data source puts a value of a variable with several into `label=~"…"`.
fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for c in value.chars() {
        if "\\^$*+?.()|[]{}'".contains(c) {
            escaped.push_str("\\\\");
        }
        escaped.push(c);
    }
    escaped
}

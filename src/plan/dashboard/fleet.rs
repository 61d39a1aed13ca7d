//! The two dashboards that the chart brings: all profiles, and the operator itself. In: `dashboards/fleet.json` and
//! `dashboards/operator.json`. Out: dashboards as Grafana reads them, placed and completed as those of a profile. No cluster.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::layout::{self, Row};
use super::template::{Look, RowTemplate};
use crate::plan::PlanError;

/// One of the two as its file has it: rows as a view has them, none of which depends on a profile.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Template {
    title: String,
    description: String,
    refresh: String,
    /// The begin of the time that is shown first.
    time_from: String,
    /// The tag besides the operator's.
    tag: String,
    /// Variables besides the data source.
    variables: Vec<Value>,
    rows: Vec<RowTemplate>,
}

/// Name and content of the chart's dashboards. Each uid is `NAME-uid`, and `release-place` stands in each title: the chart
/// replaces both, because two installations in one Grafana must share neither.
///
/// # Errors
/// When a template is broken.
pub fn of_the_chart() -> Result<[(&'static str, Value); 2], PlanError> {
    Ok([
        ("fleet", dashboard("fleet", include_str!("../../../dashboards/fleet.json"), "operator")?),
        ("operator", dashboard("operator", include_str!("../../../dashboards/operator.json"), "fleet")?),
    ])
}

fn dashboard(name: &str, text: &str, other: &str) -> Result<Value, PlanError> {
    let look = Look::load()?;
    let template: Template = serde_json::from_str(text)?;
    let rows = template.rows.into_iter().map(|row| Row { title: row.title, panels: row.panels }).collect();
    let panels = layout::place(rows, &look.panels)?;
    let mut variables = layout::used_variables(look.variables, &panels);
    variables.extend(template.variables);
    let other_title = if other == "fleet" { "All profiles" } else { "Operator" };
    let link = layout::link(other_title, "", &format!("{other}-uid"), false);
    let mut dashboard: Map<String, Value> = look.dashboard;
    dashboard.extend([
        ("uid".to_owned(), format!("{name}-uid").into()),
        ("title".to_owned(), template.title.into()),
        ("description".to_owned(), template.description.into()),
        ("tags".to_owned(), json!(["telemetry-operator", template.tag])),
        ("time".to_owned(), json!({ "from": template.time_from, "to": "now" })),
        ("refresh".to_owned(), template.refresh.into()),
        ("links".to_owned(), json!([link])),
        ("templating".to_owned(), json!({ "list": variables })),
        ("panels".to_owned(), panels.into()),
    ]);
    Ok(Value::Object(dashboard))
}

//! Grafana dashboards: one for each signal of the profile and one for its SLOs. In: the validated profile, and the
//! templates in `dashboards/`. Out: a ConfigMap for Grafana's dashboard sidecar or a GrafanaDashboard object for each.
//! No cluster.
//!
//! A dashboard's uid and title carry namespace and profile: one pair that is there twice makes Grafana stop loading
//! dashboards from files altogether. A panel that would be empty for this profile whatever happens is left out.

mod escape;
mod fleet;
mod layout;
mod template;
mod unit;
mod values;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::meta::{self, Component};
use super::{Child, PlanError, datasource, pod, short_hash};
use crate::kinds::ChildKind;
use crate::validate::{Dashboards, Delivery, ValidatedProfile};
pub use fleet::of_the_chart;
use template::{Look, ViewTemplate};
use values::Values;

/// Annotations that dashboard sidecars take the folder from: the usual one, and the one of older charts.
const FOLDER_ANNOTATIONS: [&str; 2] = ["k8s-sidecar-target-directory", "grafana_folder"];
/// How often the Grafana Operator compares Grafana with the object.
pub(super) const RESYNC_PERIOD: &str = "10m";

/// One of the dashboards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// Operations and traces.
    Traces,
    /// Spans, instruments and the process.
    Metrics,
    /// Log records.
    Logs,
    /// Objectives and alerts.
    Slos,
}

impl View {
    /// The views of a profile, in the order of the links between them.
    fn of(profile: &ValidatedProfile) -> Vec<Self> {
        let views = [
            (Self::Traces, profile.traces.is_some()),
            (Self::Metrics, profile.metrics.is_some()),
            (Self::Logs, profile.logs.is_some()),
            (Self::Slos, !profile.slos.is_empty()),
        ];
        views.into_iter().filter(|(_, there)| *there).map(|(view, _)| view).collect()
    }

    /// The word in names.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Slos => "slos",
        }
    }

    /// The word in titles.
    const fn title(self) -> &'static str {
        match self {
            Self::Traces => "Traces",
            Self::Metrics => "Metrics",
            Self::Logs => "Logs",
            Self::Slos => "SLOs",
        }
    }
}

/// Plans the profile's dashboards.
///
/// # Errors
/// When a template is broken or a dashboard does not fit into a ConfigMap.
pub fn plan(profile: &ValidatedProfile) -> Result<Vec<Child>, PlanError> {
    let Some(dashboards) = &profile.dashboards else {
        return Ok(Vec::new());
    };
    View::of(profile).into_iter().map(|view| child(profile, dashboards, view)).collect()
}

/// The dashboard's uid in Grafana: the same for the profile's whole life.
fn uid(profile: &ValidatedProfile, view: View) -> String {
    short_hash(format!("{}/{}/{}", profile.namespace, profile.name, view.as_str()).as_bytes())
}

/// Where the profile's SLOs are shown; none without dashboards, or where nobody has said where Grafana is.
pub(super) fn slo_url(profile: &ValidatedProfile) -> Option<String> {
    let grafana = profile.grafana_url.as_ref().filter(|_| profile.dashboards.is_some())?;
    Some(format!("{grafana}/d/{}", uid(profile, View::Slos)))
}

fn child(profile: &ValidatedProfile, dashboards: &Dashboards, view: View) -> Result<Child, PlanError> {
    let name = format!("{}-{}", meta::child_name(profile, Component::Dashboard), view.as_str());
    let mut metadata = meta::named_meta(profile, Component::Dashboard, name);
    let text = serde_json::to_string(&dashboard(profile, view)?)?;
    if dashboards.by == Delivery::Operator {
        let spec = GrafanaDashboardSpec {
            allow_cross_namespace_import: true,
            folder: &dashboards.folder,
            instance_selector: LabelSelector::default(),
            json: text,
            resync_period: RESYNC_PERIOD,
        };
        return Child::new(ChildKind::GrafanaDashboard, &GrafanaDashboard { metadata, spec });
    }
    let folder = |annotation: &str| (annotation.to_owned(), dashboards.folder.clone());
    metadata.annotations = Some(FOLDER_ANNOTATIONS.into_iter().map(folder).collect());
    meta::add_labels(&mut metadata, &dashboards.labels);
    // The sidecar writes the files of the whole cluster into one directory. No name has a dot: `a-b`/`c` is not `a`/`b-c`.
    let file = format!("{}.{}.{}.json", profile.namespace, profile.name, view.as_str());
    pod::config_map(metadata, BTreeMap::from([(file, text)]))
}

#[derive(Debug, Serialize)]
struct GrafanaDashboard<'a> {
    metadata: ObjectMeta,
    spec: GrafanaDashboardSpec<'a>,
}

/// The uid is the one in the JSON: not every version of this kind has a field for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GrafanaDashboardSpec<'a> {
    allow_cross_namespace_import: bool,
    folder: &'a str,
    instance_selector: LabelSelector,
    json: String,
    resync_period: &'static str,
}

/// The whole dashboard as Grafana reads it.
fn dashboard(profile: &ValidatedProfile, view: View) -> Result<Value, PlanError> {
    let look = Look::load()?;
    let template = ViewTemplate::load(view)?;
    let common = Values::of_profile(profile)?;
    let panels = layout::place(values::rows(profile, view, &template, &common)?, &look.panels)?;
    let variables = look.variables.iter().map(|variable| common.fill(variable)).collect::<Result<_, _>>()?;
    let mut variables = layout::used_variables(variables, &panels);
    for variable in variables.iter_mut().filter(|variable| variable["type"] == "datasource") {
        let own = variable["query"].as_str().and_then(|plugin| datasource::current(profile, plugin));
        if let Some(own) = own {
            variable["current"] = own;
        }
    }

    let mut dashboard: Map<String, Value> = look.dashboard;
    dashboard.extend([
        ("uid".to_owned(), uid(profile, view).into()),
        ("title".to_owned(), title(profile, view).into()),
        ("description".to_owned(), common.fill(&template.description.into())?),
        ("tags".to_owned(), json!(["telemetry-operator", view.as_str(), profile.namespace])),
        ("time".to_owned(), json!({ "from": time_from(profile, view), "to": "now" })),
        ("refresh".to_owned(), template.refresh.into()),
        ("links".to_owned(), links(profile, view)),
        ("templating".to_owned(), json!({ "list": variables })),
        ("panels".to_owned(), panels.into()),
    ]);
    Ok(Value::Object(dashboard))
}

fn title(profile: &ValidatedProfile, view: View) -> String {
    format!("{} {} ({}/{})", profile.service.name, view.title(), profile.namespace, profile.name)
}

/// An error budget is seen over its whole window, everything else over the last hour.
fn time_from(profile: &ValidatedProfile, view: View) -> String {
    match profile.slos.iter().map(|slo| slo.window_days).max() {
        Some(days) if view == View::Slos => format!("now-{days}d"),
        _ => "now-1h".to_owned(),
    }
}

/// Links to the profile's other dashboards, which take the time and the chosen data sources along.
fn links(profile: &ValidatedProfile, view: View) -> Value {
    let others = View::of(profile).into_iter().filter(|other| *other != view);
    others
        .map(|other| layout::link(other.title(), &title(profile, other), &uid(profile, other), true))
        .collect()
}

#[cfg(test)]
mod tests;

//! The files in `dashboards/`, as they are compiled in. Out: parsed templates. No cluster.
//!
//! `look.json` has what all dashboards share: the frame, each panel type's defaults, every variable. A view's file has
//! rows of panels in Grafana's own form, without what follows from their place (`id`, `x` and `y`, `refId`, the data
//! source of targets). `instruments.json` has the panels for each type of instrument, `log-stores.json` how
//! the Logs dashboard asks each log store. Texts may name values as
//! `<<name>>`; a text that is nothing but such a name becomes the value, whatever its type.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::View;
use crate::plan::PlanError;
use crate::profile::{InstrumentType, LogStore};

/// What all dashboards share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    /// Fields of every dashboard.
    pub dashboard: Map<String, Value>,
    /// Defaults by panel type.
    pub panels: BTreeMap<String, Value>,
    /// Every variable; later ones may use earlier ones.
    pub variables: Vec<Value>,
}

/// One dashboard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ViewTemplate {
    /// The dashboard's description.
    pub description: String,
    /// How often it is refreshed.
    pub refresh: String,
    /// Its rows.
    pub rows: Vec<RowTemplate>,
}

/// One row of a dashboard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowTemplate {
    /// The row's title.
    pub title: String,
    /// Whether it is there.
    #[serde(default)]
    pub when: When,
    /// Whether it is repeated.
    #[serde(default)]
    pub each: Each,
    /// Its panels.
    pub panels: Vec<Value>,
}

/// When a row is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum When {
    /// With its dashboard.
    #[default]
    Always,
    /// When Prometheus has the collector's span metrics.
    SpanMetrics,
    /// When traces go to a back end that others send to, too.
    SharedTraces,
    /// When an SLO has alerts.
    Alerts,
}

/// What a row is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Each {
    /// There is one such row.
    #[default]
    Once,
    /// There is one such row, with the panels of every declared instrument.
    Instrument,
    /// There is one such row for each SLO.
    Slo,
}

impl Look {
    /// Parses `look.json`.
    pub fn load() -> Result<Self, PlanError> {
        Ok(serde_json::from_str(include_str!("../../../dashboards/look.json"))?)
    }
}

impl RowTemplate {
    /// Parses `health.json`: how a signal fares in the collector.
    pub fn of_health() -> Result<Self, PlanError> {
        Ok(serde_json::from_str(include_str!("../../../dashboards/health.json"))?)
    }
}

impl ViewTemplate {
    /// Parses the view's file.
    pub fn load(view: View) -> Result<Self, PlanError> {
        Ok(serde_json::from_str(match view {
            View::Traces => include_str!("../../../dashboards/traces.json"),
            View::Metrics => include_str!("../../../dashboards/metrics.json"),
            View::Logs => include_str!("../../../dashboards/logs.json"),
            View::Slos => include_str!("../../../dashboards/slos.json"),
        })?)
    }
}

/// What `log-stores.json` says of a log store: values that the Logs dashboard names, queries among them, in which texts may name
/// values in turn.
pub(super) fn log_store(store: LogStore) -> Result<Map<String, Value>, PlanError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "PascalCase")]
    struct LogStores {
        loki: Map<String, Value>,
        victoria_logs: Map<String, Value>,
    }
    let stores: LogStores = serde_json::from_str(include_str!("../../../dashboards/log-stores.json"))?;
    Ok(match store {
        LogStore::Loki => stores.loki,
        LogStore::VictoriaLogs => stores.victoria_logs,
    })
}

/// The panels of one instrument by its type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct InstrumentTemplates {
    counter: Vec<Value>,
    gauge: Vec<Value>,
    histogram: Vec<Value>,
    up_down_counter: Vec<Value>,
}

impl InstrumentTemplates {
    /// Parses `instruments.json`.
    pub fn load() -> Result<Self, PlanError> {
        Ok(serde_json::from_str(include_str!("../../../dashboards/instruments.json"))?)
    }

    /// The panels of an instrument of this type.
    pub fn of(&self, kind: InstrumentType) -> &[Value] {
        match kind {
            InstrumentType::Counter => &self.counter,
            InstrumentType::Histogram => &self.histogram,
            InstrumentType::Gauge => &self.gauge,
            InstrumentType::UpDownCounter => &self.up_down_counter,
        }
    }
}

/// A template that does not hold together; the tests rule it out.
pub(super) fn defect(message: String) -> PlanError {
    PlanError::Json(serde::de::Error::custom(message))
}

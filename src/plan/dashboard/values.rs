//! What the templates' `<<names>>` stand for, and the rows of a view with these values in them. In: the validated
//! profile. Out: rows. No cluster.
//!
//! Names of metrics, records and jobs come from the modules that make them; user text is escaped for where it goes.

use std::collections::BTreeMap;

use serde_json::{Number, Value, json};

use super::layout::Row;
use super::template::{Each, InstrumentTemplates, RowTemplate, ViewTemplate, When, defect, log_store};
use super::{View, escape, unit};
use crate::burn_rate::{Severity, Tier, days};
use crate::plan::slo::{self, wanted_tiers};
use crate::plan::{PlanError, pipeline, scrape};
use crate::profile::{Instrument, LogFormat, LogStore};
use crate::validate::{Indicator, JaegerStorage, Slo, Traces, ValidatedProfile};

/// Explore with one trace. Grafana puts the data source, the cell's value and the time into it.
const TRACE_URL: &str = "/explore?schemaVersion=1&panes=%7B%22trace%22%3A%7B\
    %22datasource%22%3A%22${jaeger_datasource}%22%2C\
    %22queries%22%3A%5B%7B%22refId%22%3A%22A%22%2C%22query%22%3A%22${__value.raw}%22%2C\
    %22datasource%22%3A%7B%22type%22%3A%22jaeger%22%2C%22uid%22%3A%22${jaeger_datasource}%22%7D%7D%5D%2C\
    %22range%22%3A%7B%22from%22%3A%22${__from}%22%2C%22to%22%3A%22${__to}%22%7D%7D%7D";

/// Values by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(BTreeMap<String, Value>);

impl Values {
    /// What every template may name.
    pub fn of_profile(profile: &ValidatedProfile) -> Result<Self, PlanError> {
        let scraped = |job: &str| escape::matchers(&[("namespace", &profile.namespace), ("job", job)]);
        let slos = [("namespace", profile.namespace.as_str()), ("telemetry_profile", &profile.name)];
        let (counted, kept) = profile.traces.as_ref().map(sampling).unwrap_or_default();
        let exemplars = pipeline::has_exemplars(profile);
        let trace_link = json!({ "title": "Open the trace", "url": TRACE_URL, "targetBlank": false });
        let trace_links = profile.traces.iter().map(|_| trace_link.clone()).collect::<Value>();
        let mut values = Self::default()
            .with("service", profile.service.name.as_str())
            .with("app", scraped(&scrape::application_job(profile)))
            .with("collector", scraped(&scrape::collector_job(profile)))
            .with("calls", pipeline::SPAN_METRICS_CALLS)
            .with("duration", pipeline::SPAN_METRICS_DURATION)
            .with("counted", counted)
            .with("kept", kept)
            .with("slos", escape::matchers(&slos))
            .with("alerts", format!("{}|{}", slo::ALERT, slo::ABSENT_ALERT))
            .with("absent_alert", slo::ABSENT_ALERT)
            .with("burn_runbook", slo::BURN_RUNBOOK)
            .with("absent_runbook", slo::ABSENT_RUNBOOK)
            .with("runbook_link", slo::runbook_url(profile, "${__value.raw}"))
            .with("period_events", slo::PERIOD_EVENTS)
            .with("period_bad_events", slo::PERIOD_BAD_EVENTS)
            .with("objective", slo::OBJECTIVE)
            .with("error_ratio", slo::ERROR_RATIO)
            .with("budget_remaining", slo::BUDGET_REMAINING)
            .with("trace_links", trace_links)
            .with("failed_tag", failed_tag(profile))
            .with("exemplars", exemplars)
            .with("exemplar_text", if exemplars { "A dot is one span: it leads to its trace. " } else { "" })
            .with("budget_thresholds", steps(&[("orange", json!(0)), ("green", json!(0.25))], "red"));
        for slo::Window { length, record, .. } in slo::BURN_RATES {
            values = values.with(format!("burn_rate_{length}"), record);
        }
        if let Some(logs) = &profile.logs {
            values = values
                .with("logs", escape::matchers(&[(service_label(logs.store), &profile.service.name)]))
                .with("log_parser", log_parser(logs.store, logs.format))
                .with(
                    "trace_text",
                    if profile.traces.is_some() {
                        "Click the trace id to see what it belongs to. "
                    } else {
                        ""
                    },
                );
            for (name, template) in log_store(logs.store)? {
                let value = values.fill(&template)?;
                values = values.with(name, value);
            }
        }
        Ok(values)
    }

    /// What the panels of an instrument may name besides.
    fn of_instrument(&self, instrument: &Instrument) -> Self {
        let (unit, rate) = (unit::of(instrument), unit::rate_of(instrument));
        self.clone()
            .with("instrument", instrument.name.as_str())
            .with("about", about(instrument.description.as_deref().unwrap_or_default()))
            .with("unit", unit.id)
            .with("axis", unit.axis)
            .with("rate_unit", rate.id)
            .with("rate_axis", rate.axis)
    }

    /// What the panels of an SLO may name besides.
    fn of_slo(&self, profile: &ValidatedProfile, slo: &Slo) -> Self {
        let matchers = escape::matchers(&[
            ("namespace", &profile.namespace),
            ("telemetry_profile", &profile.name),
            ("slo", &slo.name),
        ]);
        let target = |slo::Window { length, record, .. }: &slo::Window| json!({ "expr": format!("max({record}{{{matchers}}})"), "legendFormat": length });
        let left = Left::of(profile, slo);
        self.clone()
            .with("slo", slo.name.as_str())
            .with("left_title", left.title)
            .with("left_text", left.text)
            .with("left_unit", left.unit)
            .with("seconds_per_event", left.factor.to_string())
            .with("budget", slo.objective.budget_ratio().to_string())
            .with("window_seconds", (slo.window_days * 24 * 3600).to_string())
            .with("window", days(slo.window_days))
            .with("objective_share", slo.objective.ratio().to_f64())
            .with("budget_share", slo.objective.budget_ratio().to_f64())
            .with("burn_thresholds", burn_thresholds(slo))
            .with("burn_targets", slo::BURN_RATES.iter().map(target).collect::<Value>())
            .with("this_slo", matchers)
    }

    /// What the row on the collector's health may name besides.
    fn of_signal(&self, signal: Signal) -> Self {
        let values = self
            .clone()
            .with("signal", signal.metric)
            .with("items", signal.items)
            .with("data_type", signal.data_type);
        if signal.is_sampled { values } else { values.with("kept", "") }
    }

    fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The template with values in the place of their names.
    pub fn fill(&self, template: &Value) -> Result<Value, PlanError> {
        Ok(match template {
            Value::String(text) => match text.strip_prefix("<<").and_then(|rest| rest.strip_suffix(">>")) {
                Some(name) if !name.contains("<<") => self.get(name)?.clone(),
                _ => self.fill_text(text)?.into(),
            },
            Value::Array(list) => {
                list.iter().map(|item| self.fill(item)).collect::<Result<Vec<_>, _>>()?.into()
            }
            Value::Object(map) => {
                let filled = map.iter().map(|(key, value)| Ok((key.clone(), self.fill(value)?)));
                Value::Object(filled.collect::<Result<_, PlanError>>()?)
            }
            other => other.clone(),
        })
    }

    fn fill_text(&self, text: &str) -> Result<String, PlanError> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("<<") {
            let (name, after) =
                after.split_once(">>").ok_or_else(|| defect(format!("no >> follows << in {text}")))?;
            let value = self.get(name)?.as_str();
            filled.push_str(before);
            filled.push_str(value.ok_or_else(|| defect(format!("<<{name}>> is no text, in {text}")))?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn get(&self, name: &str) -> Result<&Value, PlanError> {
        self.0
            .get(name)
            .ok_or_else(|| defect(format!("a dashboard template names the unknown value <<{name}>>")))
    }
}

/// What passes through the collector, as its own metrics call it.
#[derive(Clone, Copy)]
struct Signal {
    /// In the names of its metrics.
    metric: &'static str,
    /// In a sentence.
    items: &'static str,
    /// As the label of its queues.
    data_type: &'static str,
    /// The collector may keep a part of it only.
    is_sampled: bool,
}

impl Signal {
    /// The signal of a dashboard of which everything has come through the collector.
    fn of(view: View) -> Option<Self> {
        match view {
            View::Traces => {
                Some(Self { metric: "spans", items: "spans", data_type: "traces", is_sampled: true })
            }
            View::Logs => Some(Self {
                metric: "log_records",
                items: "log records",
                data_type: "logs",
                is_sampled: false,
            }),
            View::Metrics | View::Slos => None,
        }
    }
}

/// What may still go wrong in an SLO's period: events, or time.
struct Left {
    title: &'static str,
    text: &'static str,
    unit: &'static str,
    /// What one of the counted events is worth in `unit`.
    factor: u32,
}

impl Left {
    fn of(profile: &ValidatedProfile, slo: &Slo) -> Self {
        match slo.indicator {
            // An evaluation of the rules is an event.
            Indicator::Freshness { .. } => Self {
                title: "Time left",
                text: "How long the last success may still be too old before the error budget is spent.",
                unit: "s",
                factor: slo::evaluation_seconds(profile),
            },
            _ => Self {
                title: "Bad events left",
                text: "How many events may still be bad before the error budget is spent, at the present number of events.",
                unit: "short",
                factor: 1,
            },
        }
    }
}

/// The rows of a view that this profile has something for.
pub(super) fn rows(
    profile: &ValidatedProfile,
    view: View,
    template: &ViewTemplate,
    common: &Values,
) -> Result<Vec<Row>, PlanError> {
    let mut rows = Vec::new();
    for template in template.rows.iter().filter(|row| holds(row.when, profile)) {
        match template.each {
            Each::Once => rows.push(row(template, common)?),
            Each::Instrument => rows.push(instruments(profile, template, common)?),
            Each::Slo => {
                for slo in &profile.slos {
                    rows.push(row(template, &common.of_slo(profile, slo))?);
                }
            }
        }
    }
    if let Some(signal) = Signal::of(view).filter(|_| profile.metrics.is_some()) {
        rows.push(row(&RowTemplate::of_health()?, &common.of_signal(signal))?);
    }
    Ok(rows)
}

fn row(template: &RowTemplate, values: &Values) -> Result<Row, PlanError> {
    let panels = template.panels.iter().map(|panel| values.fill(panel)).collect::<Result<_, _>>()?;
    Ok(Row { title: values.fill_text(&template.title)?, panels })
}

fn instruments(
    profile: &ValidatedProfile,
    template: &RowTemplate,
    common: &Values,
) -> Result<Row, PlanError> {
    let templates = InstrumentTemplates::load()?;
    let mut row = row(template, common)?;
    for instrument in profile.metrics.iter().flat_map(|metrics| &metrics.instruments) {
        let values = common.of_instrument(instrument);
        for panel in templates.of(instrument.kind) {
            row.panels.push(values.fill(panel)?);
        }
    }
    Ok(row)
}

fn holds(when: When, profile: &ValidatedProfile) -> bool {
    match when {
        When::Always => true,
        When::SpanMetrics => pipeline::has_span_metrics(profile),
        When::SharedTraces => profile.traces.is_some() && profile.jaeger_storage().is_none(),
        When::Alerts => profile.slos.iter().any(|slo| slo.page || slo.ticket),
    }
}

/// What sampling means for span metrics, and what for stored traces; each a sentence or nothing.
fn sampling(traces: &Traces) -> (String, String) {
    match &traces.collector_sampling_percentage {
        Some(percentage) => (
            format!("All spans are counted, although only {percentage} % of the traces are kept. "),
            format!("The collector keeps {percentage} % of the traces. "),
        ),
        None if traces.ratio.parse::<f64>().is_ok_and(|ratio| ratio < 1.0) => {
            let text =
                format!("The application itself sends only a share of {} of its traces. ", traces.ratio);
            (text.clone(), text)
        }
        None => (String::new(), String::new()),
    }
}

/// By which tag a search in Jaeger finds traces with a failed span. Jaeger's memory takes its own tag `error` for a boolean, which
/// no search by text is, and finds nothing; the collector marks the failed spans that it sends there.
fn failed_tag(profile: &ValidatedProfile) -> String {
    match profile.jaeger_storage() {
        Some(JaegerStorage::Memory) => format!("{}=ERROR", pipeline::STATUS_ATTRIBUTE),
        _ => "error=true".to_owned(),
    }
}

/// Under which label a store selects by `service.name`: Loki's have no dots.
const fn service_label(store: LogStore) -> &'static str {
    match store {
        LogStore::Loki => "service_name",
        LogStore::VictoriaLogs => "service.name",
    }
}

/// JSON records become fields; a record that is none stays as it is.
const fn log_parser(store: LogStore, format: LogFormat) -> &'static str {
    match (format, store) {
        (LogFormat::Json, LogStore::Loki) => " | json | drop __error__, __error_details__",
        (LogFormat::Json, LogStore::VictoriaLogs) => " | unpack_json",
        (LogFormat::Text, _) => "",
    }
}

/// A user's description as a sentence in a longer text.
fn about(description: &str) -> String {
    let text = escape::markdown(description.trim());
    match text.chars().last() {
        None => String::new(),
        Some('.' | '!' | '?') => format!("{text} "),
        Some(_) => format!("{text}. "),
    }
}

/// Lines where the SLO's alerts fire: red pages, orange opens a ticket.
fn burn_thresholds(slo: &Slo) -> Value {
    let tiers = wanted_tiers(slo);
    let line = |tier: &Tier| {
        let color = if tier.severity == Severity::Page { "red" } else { "orange" };
        Some((color, tier.factor().parse::<Number>().ok()?.into()))
    };
    // The fastest tier comes first and has the largest factor; Grafana wants the smallest first.
    steps(&tiers.iter().rev().filter_map(line).collect::<Vec<_>>(), "green")
}

/// Grafana's thresholds: a color from each value on, `base` below the first.
fn steps(lines: &[(&str, Value)], base: &str) -> Value {
    let first = json!({ "color": base, "value": null });
    let steps = lines.iter().map(|(color, value)| json!({ "color": color, "value": value }));
    json!({ "mode": "absolute", "steps": std::iter::once(first).chain(steps).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values::default().with("name", "a<<b>>").with("list", json!([1, 2]))
    }

    #[test]
    fn names_become_values() {
        let filled = values().fill(&json!({ "x": "<<list>>", "y": ["say <<name>>!", 3, "<<name>>"] }));
        assert_eq!(filled.expect("filled"), json!({ "x": [1, 2], "y": ["say a<<b>>!", 3, "a<<b>>"] }));
    }

    #[test]
    fn broken_templates_are_named() {
        for (template, message) in [
            ("<<nobody>>", "unknown value <<nobody>>"),
            ("and <<nobody>>", "unknown value <<nobody>>"),
            ("and <<list>>", "<<list>> is no text"),
            ("and <<name", "no >> follows"),
        ] {
            let error = values().fill(&json!(template)).expect_err(template).to_string();
            assert!(error.contains(message), "{template}: {error}");
        }
    }

    #[test]
    fn descriptions_are_sentences() {
        assert_eq!(about("  "), "");
        assert_eq!(about("Films exported"), "Films exported. ");
        assert_eq!(about("Really?"), "Really? ");
    }
}

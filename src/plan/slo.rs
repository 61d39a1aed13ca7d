//! SLOs as Prometheus rules: recording rules and alerts for each SLO. In: the validated profile. Out: a PrometheusRule, a
//! ConfigMap with a rule file, or the file's text for the managed Prometheus. No cluster.
//!
//! Recorded is how many events and how many bad ones there were since the evaluation before, exactly (`counter`). Every
//! window is a ratio of their sums, so that a quiet night does not weigh as much as a busy day, and no window costs more
//! with more series: the counters are read once for each evaluation, the windows read two series. There is no NaN anywhere:
//! bad events are 0 while there are events, and a ratio is left out when there were none.
//!
//! **Two groups.** The records of the windows and the alerts that read them are evaluated with each scrape. The sums over
//! the period read the most samples and change the least: they are evaluated every two minutes, in a group of their own.
//!
//! **Cold start.** A ticket's long window says little about a service of an hour's age, hence tickets wait until the
//! records reach back into its older half. Pages do not wait.
//!
//! **Little traffic.** Where `minimumEvents` is set, a window with fewer events is widened step by step.
//!
//! docs/slos.md has the records, their labels, what they cost and how exact they are.

mod alert;
mod counter;
mod query;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::meta::{Component, monitor_meta, object_meta};
use super::{Child, PlanError, pod};
use crate::kinds::ChildKind;
use crate::promql::Selector;
use crate::validate::{Delivery, Slo, ValidatedProfile, seconds};
use crate::yaml;

pub(super) use alert::{ABSENT_RUNBOOK, BURN_RUNBOOK, runbook_url};
pub use counter::LATENESS;
pub use query::Measure;
use query::Queries;
use rules::RuleFile;
pub(crate) use rules::identity;
pub use rules::{evaluation_seconds, wanted_tiers};

/// Record: events since the evaluation before. For freshness: 1 while it is measured.
pub const EVENTS: &str = "slo:events:increase";
/// Record: bad events since the evaluation before, there whenever [`EVENTS`] is. For freshness: 0 or 1.
pub const BAD_EVENTS: &str = "slo:bad_events:increase";
/// Record: events in the SLO's period.
pub const PERIOD_EVENTS: &str = "slo:events:period";
/// Record: bad events in the SLO's period.
pub const PERIOD_BAD_EVENTS: &str = "slo:bad_events:period";
/// Record: the share of bad events in the SLO's period.
pub const ERROR_RATIO: &str = "slo:error_ratio:period";
/// Record: the unspent share of the period's error budget; below 0 when more than all of it is spent.
pub const BUDGET_REMAINING: &str = "slo:error_budget_remaining:ratio";
/// Record: the objective as a share.
pub const OBJECTIVE: &str = "slo:objective:ratio";
/// Record: always 1, with objective, window and indicator as labels.
pub const INFO: &str = "slo:info";
/// Name of every tier's alert.
pub const ALERT: &str = "ErrorBudgetBurn";
/// Name of the alert on an SLO without data.
pub const ABSENT_ALERT: &str = "SLOMetricAbsent";

/// A window and the record of its burn rate: the share of bad events over the error budget.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its length as a Prometheus duration.
    pub length: &'static str,
    /// Name of the record.
    pub record: &'static str,
    /// True for a window that only shows that a burn goes on, a twelfth as long as the one that it goes with.
    is_short: bool,
    /// What stands in for this window when it holds too few events, the shortest first: steps small enough that the first one
    /// which holds a run of a regular job holds one only.
    between: &'static [&'static str],
    /// The window whose record stands in after those.
    pub wider: Option<&'static str>,
}

/// The windows, the shortest first.
pub const BURN_RATES: [Window; 7] = [
    Window {
        length: "5m",
        record: "slo:burn_rate:5m",
        is_short: true,
        between: &["10m", "20m"],
        wider: Some("30m"),
    },
    Window {
        length: "30m",
        record: "slo:burn_rate:30m",
        is_short: true,
        between: &["45m", "1h", "90m"],
        wider: Some("2h"),
    },
    Window {
        length: "1h",
        record: "slo:burn_rate:1h",
        is_short: false,
        between: &["2h", "3h", "4h"],
        wider: Some("6h"),
    },
    Window {
        length: "2h",
        record: "slo:burn_rate:2h",
        is_short: true,
        between: &["3h", "4h", "6h", "9h", "12h", "18h", "1d", "36h", "2d"],
        wider: Some("3d"),
    },
    Window {
        length: "6h",
        record: "slo:burn_rate:6h",
        is_short: false,
        between: &["9h", "12h", "18h"],
        wider: Some("1d"),
    },
    Window {
        length: "1d",
        record: "slo:burn_rate:1d",
        is_short: false,
        between: &["36h", "2d"],
        wider: Some("3d"),
    },
    Window { length: "3d", record: "slo:burn_rate:3d", is_short: false, between: &[], wider: None },
];

impl Window {
    /// Its own length and those that stand in for it, before the next window does.
    pub fn lengths(&self) -> impl Iterator<Item = &'static str> {
        [self.length].into_iter().chain(self.between.iter().copied())
    }

    /// The fewest events from which the window is judged; none where every event counts.
    #[must_use]
    pub fn at_least(&self, slo: &Slo) -> Option<u32> {
        slo.minimum_events.map(|least| if self.is_short { least.div_ceil(12) } else { least })
    }
}

/// The record of a window's burn rate.
fn burn_rate_of(length: &str) -> Option<&'static str> {
    BURN_RATES.iter().find(|window| window.length == length).map(|window| window.record)
}

/// Label of ConfigMaps with rule files, for a Prometheus that collects them.
pub const RULES_LABEL: &str = "telemetry-operator.dev/prometheus-rules";

/// Plans the PrometheusRule or the ConfigMap with the SLOs' rules. Nothing without SLOs or metrics, and nothing for the
/// managed Prometheus, whose own configuration holds [`rule_file`].
///
/// # Errors
/// When the rules do not fit into a ConfigMap.
pub fn plan(profile: &ValidatedProfile) -> Result<Vec<Child>, PlanError> {
    let Some(metrics) = &profile.metrics else {
        return Ok(Vec::new());
    };
    let child = match metrics.rules_by {
        _ if profile.slos.is_empty() => None,
        Delivery::Managed => None,
        Delivery::Operator => Some(prometheus_rule(profile)?),
        Delivery::ConfigMap => Some(config_map(profile)?),
    };
    Ok(child.into_iter().collect())
}

/// The rules as the text of a Prometheus rule file; none without SLOs or metrics.
///
/// # Errors
/// When the rules cannot be written.
pub fn rule_file(profile: &ValidatedProfile) -> Result<Option<String>, PlanError> {
    if profile.metrics.is_none() || profile.slos.is_empty() {
        return Ok(None);
    }
    Ok(Some(yaml::to_string(&rules::rule_file(profile))?))
}

/// The names of the rule groups.
#[must_use]
pub fn group_names(profile: &ValidatedProfile) -> BTreeSet<String> {
    profile.slos.iter().flat_map(|slo| rules::group_names(profile, slo)).collect()
}

/// The series without which an SLO has no data, within the profile's namespace.
#[must_use]
pub fn needed_series(profile: &ValidatedProfile, slo: &Slo) -> Vec<Selector> {
    Queries::new(profile, slo, evaluation_seconds(profile)).needed()
}

/// What an SLO counts, within the profile's namespace.
#[must_use]
pub fn measure(profile: &ValidatedProfile, slo: &Slo) -> Measure {
    Queries::new(profile, slo, evaluation_seconds(profile)).measure()
}

/// Selects a record of an SLO. Not by the label `service`: a service with a new name keeps its history.
#[must_use]
pub fn record(profile: &ValidatedProfile, slo: &Slo, name: &str) -> Selector {
    Selector::new(name)
        .in_namespace(&profile.namespace)
        .with_matcher("telemetry_profile", "=", &*profile.name)
        .with_matcher("slo", "=", &*slo.name)
}

/// Of these span metrics, those of the service's spans with a name.
pub(crate) fn spans(metric: Selector, profile: &ValidatedProfile, name: &str) -> Selector {
    metric.with_matcher("service_name", "=", &*profile.service.name).with_matcher("span_name", "=", name)
}

/// The bucket up to a threshold. Exporters and versions of Prometheus spell the same bound in different ways.
pub(crate) fn bucket(buckets: &Selector, threshold: &str) -> Selector {
    let (whole, fraction) = threshold.split_once('.').unwrap_or((threshold, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let plain = |bound: String| bound.replace('.', "\\.");
    let spellings = if fraction.is_empty() {
        vec![whole.to_owned(), format!("{whole}.0")]
    } else if let (true, Some(digit)) = (whole == "0", fraction.strip_prefix("0000")) {
        vec![format!("0.{fraction}"), format!("{digit}e-05")]
    } else {
        return buckets.clone().with_matcher("le", "=", format!("{whole}.{fraction}"));
    };
    let pattern: Vec<_> = spellings.into_iter().map(plain).collect();
    buckets.clone().with_matcher("le", "=~", pattern.join("|"))
}

/// Unique among the profiles whose files one Prometheus loads: neither name has a dot, so that `a-b`/`c` is not `a`/`b-c`.
fn rule_file_name(profile: &ValidatedProfile) -> String {
    format!("{}.{}.slo.rules.yaml", profile.namespace, profile.name)
}

#[derive(Serialize)]
struct PrometheusRule {
    metadata: ObjectMeta,
    spec: RuleFile,
}

fn prometheus_rule(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    let object =
        PrometheusRule { metadata: monitor_meta(profile, Component::Slo), spec: rules::rule_file(profile) };
    Child::new(ChildKind::PrometheusRule, &object)
}

fn config_map(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    let mut metadata = object_meta(profile, Component::Slo);
    metadata.labels.get_or_insert_default().insert(RULES_LABEL.to_owned(), "true".to_owned());
    let text = yaml::to_string(&rules::rule_file(profile))?;
    pod::config_map(metadata, BTreeMap::from([(rule_file_name(profile), text)]))
}

#[cfg(test)]
mod tests;

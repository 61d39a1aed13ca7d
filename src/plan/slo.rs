//! SLOs as Prometheus rules: one group for each SLO, recording rules first, then its burn-rate alerts. In: the validated
//! profile. Out: a PrometheusRule, a ConfigMap with a rule file, or the file's text for the managed Prometheus. No cluster.
//!
//! Recorded are events and bad events, never their ratio: every longer window is a ratio of sums, so that a quiet night
//! does not weigh as much as a busy day. There is no NaN anywhere: bad events are 0 while there are events, and a ratio is
//! left out when there were none.
//!
//! **Where a window's numbers come from.** Up to one day straight from the counters. Three days and the period
//! come from sums over the base records of five minutes. Reading counters costs time in proportion to series and samples:
//! with 200 series scraped every 30 s one evaluation took 10 ms for 6h, 40 ms for 1d, 110 ms for 3d, and 30d would take more
//! than a second, every 30 s and for every SLO; the sum over 30d of records takes 10 ms whatever the number of series. Sums of records are less exact in
//! one case, a counter that has just come into being: `rate()` does not extrapolate below zero, which lost 1.8 % of a total
//! outage of ten minutes. That is nothing to the budget of a period or to a ticket after days, and those two
//! windows are the ones that are summed. The group is evaluated every 30 s, so that a scrape interval of 30 s weighs every scrape the same.
//!
//! **Cold start.** A ticket's long window says little about a service of an hour's age, hence tickets wait until the
//! records cover half of it. Pages do not wait.
//!
//! **No alert says that the total is absent.** Without kube-state-metrics a missing series cannot be told from a
//! workload that is scaled to zero or a counter before its first event.

mod query;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::meta::{Component, monitor_meta, object_meta};
use super::{Child, PlanError, pod};
use crate::kinds::ChildKind;
use crate::validate::{Delivery, ValidatedProfile};
use crate::yaml;

use rules::RuleFile;

/// Record: all events per second. For freshness: 1 while it is measured.
pub const EVENTS: &str = "slo:events:rate5m";
/// Record: bad events per second, there whenever [`EVENTS`] is. For freshness: 0 or 1.
pub const BAD_EVENTS: &str = "slo:bad_events:rate5m";
/// Windows and their records of the burn rate: the share of bad events over the error budget.
pub const BURN_RATES: [(&str, &str); 7] = [
    ("5m", "slo:burn_rate:5m"),
    ("30m", "slo:burn_rate:30m"),
    ("1h", "slo:burn_rate:1h"),
    ("2h", "slo:burn_rate:2h"),
    ("6h", "slo:burn_rate:6h"),
    ("1d", "slo:burn_rate:1d"),
    ("3d", "slo:burn_rate:3d"),
];
/// Record: the share of bad events in the SLO's period.
pub const ERROR_RATIO: &str = "slo:error_ratio:period";
/// Record: the unspent share of the period's error budget; below 0 when more than all of it is spent.
pub const BUDGET_REMAINING: &str = "slo:error_budget_remaining:ratio";
/// Record: the objective as a share.
pub const OBJECTIVE: &str = "slo:objective:ratio";
/// Record: always 1, with objective, window and indicator as labels.
pub const INFO: &str = "slo:info";
/// Name of every alert.
pub const ALERT: &str = "ErrorBudgetBurn";

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

/// The names of the rule groups, one for each SLO.
#[must_use]
pub fn group_names(profile: &ValidatedProfile) -> BTreeSet<String> {
    profile.slos.iter().map(|slo| rules::group_name(profile, slo)).collect()
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

//! Rule groups: which rules there are, in which order, with which labels. In: the validated profile. Out: a typed rule
//! file. No cluster.

use std::collections::BTreeMap;

use serde::Serialize;

use super::query::Queries;
use super::{
    BAD_EVENTS, BUDGET_REMAINING, BURN_RATES, ERROR_RATIO, EVENTS, INFO, OBJECTIVE, PERIOD_BAD_EVENTS,
    PERIOD_EVENTS, alert,
};
use crate::burn_rate::{Severity, Tier, tiers};
use crate::promql::NAMESPACE_LABEL;
use crate::validate::{Indicator, Slo, ValidatedProfile};

/// How often an SLO is evaluated at most, in seconds.
const INTERVAL: u32 = 30;
/// How often the period is summed up. A series is shown for five minutes after its last sample, so there are two in them.
const PERIOD_INTERVAL: &str = "2m";

/// A Prometheus rule file, and the spec of a PrometheusRule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, Serialize)]
struct Group {
    name: String,
    interval: String,
    rules: Vec<Rule>,
}

/// A rule that records, or one that alerts.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Rule {
    Record {
        record: String,
        expr: String,
        labels: Labels,
    },
    Alert {
        alert: String,
        expr: String,
        #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
        hold: Option<String>,
        labels: Labels,
        annotations: Labels,
    },
}

pub(crate) type Labels = BTreeMap<String, String>;

impl Rule {
    fn record(name: &str, expr: String, labels: &Labels) -> Self {
        Self::Record { record: name.to_owned(), expr, labels: labels.clone() }
    }
}

/// The rules of every SLO.
pub fn rule_file(profile: &ValidatedProfile) -> RuleFile {
    RuleFile { groups: profile.slos.iter().flat_map(|slo| groups(profile, slo)).collect() }
}

/// The rules of one SLO: those that alerts need, and those that show how the period went, which cost more and change slowly.
fn groups(profile: &ValidatedProfile, slo: &Slo) -> [Group; 2] {
    let interval = evaluation_seconds(profile);
    let queries = Queries::new(profile, slo, interval);
    let [name, period_name] = group_names(profile, slo);
    // In the order of evaluation: an alert sees the records of the same evaluation.
    let mut rules = records(profile, slo, &queries);
    rules.extend(wanted_tiers(slo).iter().map(|tier| alert::burns(profile, slo, &queries, tier)));
    rules.extend(alert::absent(profile, slo, &queries));
    [
        Group { name, interval: format!("{interval}s"), rules },
        Group {
            name: period_name,
            interval: PERIOD_INTERVAL.to_owned(),
            rules: period_records(profile, slo, &queries),
        },
    ]
}

/// How often an SLO is evaluated in seconds: each scrape once, and every half minute at most.
pub fn evaluation_seconds(profile: &ValidatedProfile) -> u32 {
    profile.metrics.as_ref().map_or(INTERVAL, |metrics| metrics.interval_seconds.max(INTERVAL))
}

/// The tiers that have an alert, the fastest first.
pub fn wanted_tiers(slo: &Slo) -> Vec<Tier> {
    let wanted = |tier: &Tier| match tier.severity {
        Severity::Page => slo.page,
        Severity::Ticket => slo.ticket,
    };
    tiers(slo.objective, slo.window_days).into_iter().filter(wanted).collect()
}

/// Unique in a Prometheus that loads the rules of many profiles.
pub fn group_names(profile: &ValidatedProfile, slo: &Slo) -> [String; 2] {
    let name = format!("{}/{}/{}", profile.namespace, profile.name, slo.name);
    let period = format!("{name}/period");
    [name, period]
}

fn records(profile: &ValidatedProfile, slo: &Slo, queries: &Queries) -> Vec<Rule> {
    let labels = identity(profile, slo);
    let record = |name: &str, expr| Rule::record(name, expr, &labels);
    let mut rules = vec![record(EVENTS, queries.events()), record(BAD_EVENTS, queries.bad_events())];
    // From the widest on: each may stand in for the one before it.
    rules.extend(BURN_RATES.iter().rev().map(|window| record(window.record, queries.burn_rate(window))));
    rules
}

fn period_records(profile: &ValidatedProfile, slo: &Slo, queries: &Queries) -> Vec<Rule> {
    let period = format!("{}d", slo.window_days);
    let labels = identity(profile, slo);
    let mut info = labels.clone();
    info.extend([
        ("objective".to_owned(), slo.objective.percent().to_string()),
        ("window".to_owned(), period.clone()),
        ("indicator".to_owned(), indicator(slo).to_owned()),
    ]);
    let record = |name: &str, expr| Rule::record(name, expr, &labels);
    vec![
        record(PERIOD_EVENTS, queries.sum(EVENTS, &period)),
        record(PERIOD_BAD_EVENTS, queries.sum(BAD_EVENTS, &period)),
        record(ERROR_RATIO, queries.error_ratio()),
        record(BUDGET_REMAINING, queries.budget_remaining()),
        record(OBJECTIVE, format!("vector({})", slo.objective.ratio())),
        Rule::record(INFO, "vector(1)".to_owned(), &info),
    ]
}

/// The labels that tell one SLO from every other.
pub(crate) fn identity(profile: &ValidatedProfile, slo: &Slo) -> Labels {
    [
        (NAMESPACE_LABEL, &profile.namespace),
        ("telemetry_profile", &profile.name),
        ("service", &profile.service.name),
        ("slo", &slo.name),
    ]
    .into_iter()
    .map(|(label, value)| (label.to_owned(), value.clone()))
    .collect()
}

const fn indicator(slo: &Slo) -> &'static str {
    match slo.indicator {
        Indicator::Ratio { .. } => "ratio",
        Indicator::Latency { .. } => "latency",
        Indicator::Operation { .. } => "operation",
        Indicator::Freshness { .. } => "freshness",
    }
}

//! Rule groups: records and alerts with their labels and texts. In: the validated profile. Out: a typed rule file. No
//! cluster.
//!
//! Prometheus expands the labels and annotations of alerts as Go templates, so whatever the profile says is escaped there.
//! The labels of records are plain text.

use std::collections::BTreeMap;

use serde::Serialize;

use super::query::{Queries, Source};
use super::{ALERT, BAD_EVENTS, BUDGET_REMAINING, BURN_RATES, ERROR_RATIO, EVENTS, INFO, OBJECTIVE};
use crate::burn_rate::{Severity, Tier, tiers};
use crate::promql::NAMESPACE_LABEL;
use crate::validate::{Indicator, Slo, ValidatedProfile};

/// How often a group is evaluated.
const INTERVAL: &str = "30s";

/// A Prometheus rule file, and the spec of a PrometheusRule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, Serialize)]
struct Group {
    name: String,
    interval: &'static str,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Rule {
    Record { record: String, expr: String, labels: Labels },
    Alert { alert: String, expr: String, labels: Labels, annotations: Labels },
}

type Labels = BTreeMap<String, String>;

/// The rules of every SLO.
pub fn rule_file(profile: &ValidatedProfile) -> RuleFile {
    RuleFile { groups: profile.slos.iter().map(|slo| group(profile, slo)).collect() }
}

/// The rules of one SLO in the order of evaluation: an alert sees the records of the same evaluation.
fn group(profile: &ValidatedProfile, slo: &Slo) -> Group {
    let mut rules = records(profile, slo);
    rules.extend(
        tiers(slo.objective, slo.window_days)
            .into_iter()
            .filter(|tier| match tier.severity {
                Severity::Page => slo.page,
                Severity::Ticket => slo.ticket,
            })
            .map(|tier| alert(profile, slo, &tier)),
    );
    Group { name: group_name(profile, slo), interval: INTERVAL, rules }
}

/// Unique in a Prometheus that loads the rules of many profiles.
pub fn group_name(profile: &ValidatedProfile, slo: &Slo) -> String {
    format!("{}/{}/{}", profile.namespace, profile.name, slo.name)
}

fn records(profile: &ValidatedProfile, slo: &Slo) -> Vec<Rule> {
    let queries = Queries::new(profile, slo);
    let period = format!("{}d", slo.window_days);
    let labels = identity(profile, slo);
    let record =
        |name: &str, expr: String| Rule::Record { record: name.to_owned(), expr, labels: labels.clone() };

    let mut rules = vec![record(EVENTS, queries.events()), record(BAD_EVENTS, queries.bad_events())];
    rules.extend(BURN_RATES.iter().map(|(window, name)| {
        let source = if *window == "3d" { Source::Records } else { Source::Counters };
        record(name, queries.burn_rate(window, source))
    }));
    rules.push(record(ERROR_RATIO, queries.error_ratio(&period, Source::Records)));
    rules.push(record(BUDGET_REMAINING, queries.budget_remaining(&period)));
    rules.push(record(OBJECTIVE, format!("vector({})", slo.objective.ratio())));
    let mut info = labels.clone();
    info.extend([
        ("objective".to_owned(), slo.objective.percent().to_string()),
        ("window".to_owned(), period),
        ("indicator".to_owned(), indicator(slo).to_owned()),
    ]);
    rules.push(Rule::Record { record: INFO.to_owned(), expr: "vector(1)".to_owned(), labels: info });
    rules
}

/// The labels that tell one SLO from every other.
fn identity(profile: &ValidatedProfile, slo: &Slo) -> Labels {
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
        Indicator::Freshness { .. } => "freshness",
    }
}

fn alert(profile: &ValidatedProfile, slo: &Slo, tier: &Tier) -> Rule {
    let mut labels: Labels = profile.alert_labels.clone();
    labels.extend(slo.labels.clone());
    labels.extend(identity(profile, slo));
    labels.insert("severity".to_owned(), tier.severity.as_str().to_owned());
    labels.insert("slo_tier".to_owned(), tier.name.to_owned());
    Rule::Alert {
        alert: ALERT.to_owned(),
        expr: condition(profile, slo, tier),
        labels: labels.into_iter().map(|(label, value)| (label, literal(&value))).collect(),
        annotations: annotations(profile, slo, tier),
    }
}

/// Both windows burn too fast; for a ticket, the records also reach back into the older half of the long window.
fn condition(profile: &ValidatedProfile, slo: &Slo, tier: &Tier) -> String {
    let queries = Queries::new(profile, slo);
    let burns =
        |window: &str| format!("{} > {}", queries.record(&format!("slo:burn_rate:{window}")), tier.factor());
    let mut condition = format!("{} and {}", burns(tier.long), burns(tier.short));
    if let Some(half) = tier.known_for {
        let older = format!("{}[{half}] offset {half}", queries.record(EVENTS));
        condition.push_str(&format!(" and on() group(present_over_time({older}))"));
    }
    condition
}

fn annotations(profile: &ValidatedProfile, slo: &Slo, tier: &Tier) -> Labels {
    let (service, name, namespace) =
        (literal(&profile.service.name), literal(&slo.name), literal(&profile.namespace));
    let Tier { long, short, .. } = tier;
    let (factor, period) = (tier.factor(), slo.window_days);
    let summary = format!("{service}: SLO {name} has a burn rate above {factor} over {long} and {short}");
    let description = format!(
        "SLO {name} of {service} in namespace {namespace}: {objective} % over {period} days, an error budget of {budget} %. \
         Over the last {long} it was spent {{{{ $value | humanize }}}} times as fast as it lasts, and over the last {short} it \
         still is. The limit is {factor}, that is {threshold} % {bad}; {long} at the limit spends {share} % of the budget.",
        objective = slo.objective.percent(),
        budget = slo.objective.budget_percent(),
        threshold = tier.error_percent(slo.objective),
        bad = bad_events(slo),
        share = tier.budget_share(period),
    );
    let mut annotations =
        Labels::from([("summary".to_owned(), summary), ("description".to_owned(), description)]);
    if let Some(base) = &profile.runbook_base_url {
        let url = format!("{base}/{}", ALERT.to_lowercase());
        annotations.insert("runbook_url".to_owned(), literal(&url));
    }
    annotations
}

/// What the percentage of bad events is a percentage of, for people.
fn bad_events(slo: &Slo) -> String {
    match &slo.indicator {
        Indicator::Ratio { .. } => "of the events being bad".to_owned(),
        Indicator::Latency { threshold, .. } => format!("of the events above {}", literal(threshold)),
        Indicator::Freshness { max_age, .. } => {
            format!("of the time without growth for {}", literal(max_age))
        }
    }
}

/// Text that a Go template prints as it is.
fn literal(text: &str) -> String {
    let mut escaped = text.replace("{{", "{{ \"{{\" }}");
    // A brace at the end would join one that follows.
    if escaped.ends_with('{') {
        escaped.truncate(escaped.len() - 1);
        escaped.push_str("{{ \"{\" }}");
    }
    escaped
}

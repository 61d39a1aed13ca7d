//! Alerts: one for each tier, and one for a metric that is not there. In: the validated profile. Out: rules. No cluster.
//!
//! Prometheus expands the labels and annotations of alerts as Go templates, so whatever the profile says is escaped here.

use super::query::Queries;
use super::rules::{Labels, Rule, identity};
use super::{ABSENT_ALERT, ALERT};
use crate::burn_rate::{Severity, Tier, days};
use crate::plan::{dashboard, scrape};
use crate::promql::Selector;
use crate::validate::{Indicator, Slo, ValidatedProfile};

/// Where the operator's own runbooks are: a file for each tier, and [`ABSENT_RUNBOOK`].
const RUNBOOKS: &str = "https://github.com/telemetry-operator/telemetry-operator/blob/main/docs/runbooks";
/// Start of the names of the tiers' runbooks.
pub const BURN_RUNBOOK: &str = "error-budget-burn-";
/// The runbook of [`ABSENT_ALERT`].
pub const ABSENT_RUNBOOK: &str = "slo-metric-absent";

/// Both windows of the tier burn too fast; for a ticket, the SLO has also been measured for half of the long window.
pub(super) fn burns(profile: &ValidatedProfile, slo: &Slo, queries: &Queries, tier: &Tier) -> Rule {
    let above = |window: &str| {
        let record = super::burn_rate_of(window).unwrap_or_default();
        format!("{} > {}", queries.record(record), tier.factor())
    };
    let mut condition = format!("{} and {}", above(tier.long), above(tier.short));
    if let Some(half) = tier.known_for {
        condition.push_str(&format!(" {}", queries.is_known_for(half)));
    }
    let mut labels = labels(profile, slo, tier.severity);
    labels.extend(
        [
            ("slo_tier", tier.name.to_owned()),
            ("long_window", tier.long.to_owned()),
            ("short_window", tier.short.to_owned()),
            ("burn_rate_factor", tier.factor()),
        ]
        .map(|(label, value)| (label.to_owned(), value)),
    );
    if !slo.group_by.is_empty() {
        // One label for whatever the SLO is split by, so that an inhibition can name it.
        let values: Vec<_> = slo.group_by.iter().map(|label| format!("{{{{ $labels.{label} }}}}")).collect();
        labels.insert("slo_group".to_owned(), values.join("/"));
    }
    Rule::Alert {
        alert: ALERT.to_owned(),
        expr: condition,
        hold: None,
        labels,
        annotations: annotations(profile, burn_texts(profile, slo, tier), &runbook(tier)),
    }
}

/// Pods of the application run, and a series without which the SLO has no data has been absent for a while. A target
/// stands for its pod, whether it can be scraped or not: without pods there are no targets, and no alert.
pub(super) fn absent(profile: &ValidatedProfile, slo: &Slo, queries: &Queries) -> Option<Rule> {
    if !slo.ticket {
        return None;
    }
    let pods = Selector::new("up").in_namespace(&profile.namespace).with_matcher(
        "job",
        "=",
        scrape::application_job(profile),
    );
    let needed = queries.needed().into_iter();
    let present: Vec<_> = needed.map(|series| format!("group(last_over_time({series}[5m]))")).collect();
    let service = literal(&profile.service.name);
    let (name, age) = (literal(&slo.name), &slo.absent_after);
    let summary = format!("{service}: SLO {name} has had no data for {age} although pods run");
    let description = format!(
        "Pods of {service} run in namespace {namespace}, and Prometheus has not had the series that SLO {name} is computed \
         from for {age}: the alert's expression has their selectors. Until they are back, no burn rate and no alert of this \
         SLO says anything.",
        namespace = literal(&profile.namespace),
    );
    Some(Rule::Alert {
        alert: ABSENT_ALERT.to_owned(),
        expr: format!("group({pods}) unless on () ({})", present.join(" and ")),
        hold: Some(slo.absent_after.clone()),
        labels: labels(profile, slo, Severity::Ticket),
        annotations: annotations(profile, (summary, description), ABSENT_RUNBOOK),
    })
}

/// File name of a tier's runbook, without its ending.
fn runbook(tier: &Tier) -> String {
    format!("{BURN_RUNBOOK}{}", tier.name)
}

/// Where a runbook is.
pub fn runbook_url(profile: &ValidatedProfile, runbook: &str) -> String {
    match &profile.runbook_base_url {
        Some(base) => format!("{base}/{runbook}"),
        None => format!("{RUNBOOKS}/{runbook}.md"),
    }
}

/// The user's labels, and over them who and what the alert is about.
fn labels(profile: &ValidatedProfile, slo: &Slo, severity: Severity) -> Labels {
    let mut labels = profile.alert_labels.clone();
    labels.extend(slo.labels.clone());
    labels.extend(identity(profile, slo));
    labels.extend(
        [
            ("severity", severity.as_str().to_owned()),
            ("slo_objective", slo.objective.percent().to_string()),
            ("slo_window", format!("{}d", slo.window_days)),
        ]
        .map(|(label, value)| (label.to_owned(), value)),
    );
    labels.into_iter().map(|(label, value)| (label, literal(&value))).collect()
}

fn annotations(
    profile: &ValidatedProfile,
    (summary, description): (String, String),
    runbook: &str,
) -> Labels {
    let runbook_url = literal(&runbook_url(profile, runbook));
    let dashboard_url = dashboard::slo_url(profile).map(|url| ("dashboard_url", literal(&url)));
    [("summary", summary), ("description", description), ("runbook_url", runbook_url)]
        .into_iter()
        .chain(dashboard_url)
        .map(|(name, text)| (name.to_owned(), text))
        .collect()
}

/// Summary and description of a tier's alert.
fn burn_texts(profile: &ValidatedProfile, slo: &Slo, tier: &Tier) -> (String, String) {
    let (service, name, namespace) =
        (literal(&profile.service.name), literal(&slo.name), literal(&profile.namespace));
    let Tier { long, short, .. } = tier;
    let (factor, period) = (tier.factor(), slo.window_days);
    let summary =
        format!("{service}: SLO {name}{} has a burn rate above {factor} over {long} and {short}", group(slo));
    let description = format!(
        "SLO {name} of {service}{group} in namespace {namespace}: {objective} % over {days}, an error budget of {budget} %. \
         Over the last {long} it was spent {{{{ $value | humanize }}}} times as fast as it lasts, and over the last {short} it \
         still is. The limit is {factor}, that is {threshold} % {bad}; {long} at the limit spends {share} % of the budget.",
        group = group(slo),
        days = days(period),
        objective = slo.objective.percent(),
        budget = slo.objective.budget_percent(),
        threshold = tier.error_percent(slo.objective),
        bad = bad_events(slo),
        share = tier.budget_share(period),
    );
    (summary, description)
}

/// Which part of a split SLO it is.
fn group(slo: &Slo) -> String {
    let parts: Vec<_> =
        slo.group_by.iter().map(|label| format!("{label} {{{{ $labels.{label} }}}}")).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// What the percentage of bad events is a percentage of, for people.
fn bad_events(slo: &Slo) -> String {
    match &slo.indicator {
        Indicator::Ratio { .. } => "of the events being bad".to_owned(),
        Indicator::Latency { threshold, .. } => format!("of the events above {}", literal(threshold)),
        Indicator::Operation { name, threshold: None } => {
            format!("of the spans {} being errors", literal(name))
        }
        Indicator::Operation { name, threshold: Some(threshold) } => {
            format!("of the spans {} above {} s", literal(name), literal(threshold))
        }
        Indicator::Freshness { max_age, .. } => {
            format!("of the time without a success for {}", literal(max_age))
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

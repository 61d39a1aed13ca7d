//! Plain words for what an SLO measures and when a tier fires. Pure, no cluster.

use jiff::SignedDuration;

use crate::burn_rate::{Severity, Tier};
use crate::plan::pipeline::SPAN_METRICS_CALLS;
use crate::profile::HistogramType;
use crate::validate::{Events, Indicator, Slo, Success, ValidatedProfile};

/// What is good, and among what.
pub(super) fn measures(profile: &ValidatedProfile, slo: &Slo) -> String {
    let namespace = &profile.namespace;
    match &slo.indicator {
        Indicator::Ratio { events: Events::Good(good), total } => {
            format!("events counted by {total}; those counted by {good} are good (namespace {namespace})")
        }
        Indicator::Ratio { events: Events::Bad(bad), total } => {
            format!("events counted by {total}; those counted by {bad} are bad (namespace {namespace})")
        }
        Indicator::Latency { histogram, threshold, kind } => {
            let kind = match kind {
                HistogramType::Classic => "histogram",
                HistogramType::Native => "native histogram",
            };
            format!(
                "events in the {kind} {histogram}; those up to {threshold} in its unit are good (namespace {namespace})"
            )
        }
        Indicator::Operation { name, threshold } => {
            let good = match threshold {
                None => "those without an error are good".to_owned(),
                Some(threshold) => format!("those that end within {threshold} s are good"),
            };
            format!(
                "spans {name:?} of the service {}, as the collector counts them in {SPAN_METRICS_CALLS}; {good}",
                profile.service.name
            )
        }
        Indicator::Freshness { success, max_age } => {
            let success = match success {
                Success::Counter(counter) => format!("growth of {counter}"),
                Success::Timestamp(gauge) => format!("success, whose time is in {gauge},"),
            };
            format!(
                "time; it is good while the last {success} is at most {max_age} old (namespace {namespace})"
            )
        }
    }
}

/// When a tier fires, in a sentence.
pub(super) fn threshold(slo: &Slo, tier: &Tier) -> String {
    let verb = match tier.severity {
        Severity::Page => "pages",
        Severity::Ticket => "opens a ticket",
    };
    let (long, short) = (window(tier.long), window(tier.short));
    let percent = tier.error_percent(slo.objective);
    let share = tier.budget_share(slo.window_days);
    if super::counts_time(slo) {
        let limit = duration(tier.error_share(slo.objective) * f64::from(tier.long_seconds()));
        return format!(
            "{verb} when the last success was too old for more than {percent} % of {long} ({limit}), and of {short}: {share} % \
             of the budget is gone then"
        );
    }
    format!(
        "{verb} when more than {percent} % of the events of {long}, and of {short}, are bad: {share} % of the budget is gone then"
    )
}

/// The last hour, the last 5 minutes.
pub(super) fn window(length: &str) -> String {
    let (number, unit) = length.split_at(length.len().saturating_sub(1));
    let unit = match unit {
        "m" => "minute",
        "h" => "hour",
        _ => "day",
    };
    if number == "1" { format!("the last {unit}") } else { format!("the last {number} {unit}s") }
}

/// A duration in whole seconds, rounded up: `1h 2m 3s`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    // A product such as 0.001 · 2592000 may lie a hair above the whole number.
    format!("{:#}", SignedDuration::from_secs((seconds - 1e-6).ceil() as i64))
}

/// A number of events with its digits in groups; with decimals where there are few.
#[must_use]
pub fn count(number: f64) -> String {
    if number < 100.0 {
        let decimals = if number < 1.0 { 6 } else { 2 };
        let text = format!("{number:.decimals$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

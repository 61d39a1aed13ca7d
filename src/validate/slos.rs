//! SLOs of the spec → SLOs that are parsed and can alert. Pure.

use super::problem::{Code, Problems};
use super::validated::{Events, Indicator, Slo};
use crate::burn_rate::{Objective, Severity, tiers};
use crate::profile::{self, TelemetryProfileSpec};
use crate::promql::{Selector, SelectorError};

/// Longest scrape interval that the shortest window of the rules, 5 minutes, bears: four samples in each.
const LONGEST_INTERVAL: u32 = 75;
/// Shortest age that a counter's growth can be told in.
const SHORTEST_AGE: u32 = 120;
const DAY: u32 = 24 * 60 * 60;

/// Parses every SLO; what is wrong goes to `problems`.
pub(super) fn validate(spec: &TelemetryProfileSpec, problems: &mut Problems) -> Vec<Slo> {
    let interval = seconds(&spec.metrics.interval).unwrap_or_default();
    if !spec.slos.is_empty() && interval > LONGEST_INTERVAL {
        problems.add(
            Code::Duration,
            "spec.metrics.interval",
            format!("{} is too long for SLOs, whose shortest window is 5 minutes", spec.metrics.interval),
            "give at most 75s",
        );
    }
    let slos = spec.slos.iter().enumerate();
    slos.filter_map(|(index, slo)| one(&format!("spec.slos[{index}]"), slo, interval, problems)).collect()
}

fn one(path: &str, slo: &profile::Slo, interval: u32, problems: &mut Problems) -> Option<Slo> {
    let objective = number(path, "objective", &slo.objective, Objective::parse(&slo.objective), problems);
    let window_days = number(path, "window", &slo.window, seconds(&slo.window), problems).map(|s| s / DAY);
    let indicator = indicator(path, slo, problems);
    let (objective, window_days, indicator) = (objective?, window_days?, indicator?);
    if let Indicator::Freshness { max_age, .. } = &indicator {
        check_age(path, max_age, interval, window_days, problems);
    }
    for (wanted, severity, field) in
        [(slo.alerting.page, Severity::Page, "page"), (slo.alerting.ticket, Severity::Ticket, "ticket")]
    {
        if wanted && !tiers(objective, window_days).iter().any(|tier| tier.severity == severity) {
            problems.add(
                Code::AlertCannotFire,
                &format!("{path}.objective"),
                format!(
                    "with an objective of {} % not even a full outage burns the budget fast enough for a {field}",
                    slo.objective
                ),
                format!("raise the objective, or set alerting.{field} to false"),
            );
        }
    }
    Some(Slo {
        name: slo.name.clone(),
        objective,
        window_days,
        indicator,
        page: slo.alerting.page,
        ticket: slo.alerting.ticket,
        labels: slo.alerting.labels.iter().map(|(key, text)| (key.clone(), text.0.clone())).collect(),
    })
}

fn indicator(path: &str, slo: &profile::Slo, problems: &mut Problems) -> Option<Indicator> {
    if let Some(ratio) = &slo.ratio {
        let total = selector(&format!("{path}.ratio.total"), &ratio.total, problems);
        let events = match (&ratio.good, &ratio.bad) {
            (Some(good), _) => Events::Good(selector(&format!("{path}.ratio.good"), good, problems)?),
            (None, Some(bad)) => Events::Bad(selector(&format!("{path}.ratio.bad"), bad, problems)?),
            (None, None) => return None,
        };
        return Some(Indicator::Ratio { events, total: total? });
    }
    if let Some(latency) = &slo.latency {
        let path = format!("{path}.latency.histogram");
        let histogram = selector(&path, &latency.histogram, problems)?;
        check_histogram(&path, &histogram, problems);
        return Some(Indicator::Latency { histogram, threshold: latency.threshold.clone() });
    }
    let freshness = slo.freshness.as_ref()?;
    let counter = selector(&format!("{path}.freshness.counter"), &freshness.counter, problems)?;
    Some(Indicator::Freshness { counter, max_age: freshness.max_age.clone() })
}

fn selector(path: &str, text: &str, problems: &mut Problems) -> Option<Selector> {
    match Selector::parse(text) {
        Ok(selector) => Some(selector),
        Err(error) => {
            let (code, fix) = match error {
                SelectorError::ReservedLabel(_) => (
                    Code::ReservedMatcher,
                    "remove this matcher: the operator adds the profile's namespace itself",
                ),
                _ => (
                    Code::Selector,
                    "write one metric with matchers and nothing around it, for example http_requests_total{code=~\"5..\"}",
                ),
            };
            problems.add(code, path, format!("{text:?}: {error}"), fix);
            None
        }
    }
}

/// A histogram is named without the suffix of one of its parts, and the threshold chooses the bucket.
fn check_histogram(path: &str, histogram: &Selector, problems: &mut Problems) {
    let part = ["_bucket", "_count", "_sum"].into_iter().find(|part| histogram.metric.ends_with(part));
    if let Some(part) = part {
        let name = histogram.metric.trim_end_matches(part);
        problems.add(
            Code::Histogram,
            path,
            format!("{} is a part of a histogram", histogram.metric),
            format!("name the histogram: {name}"),
        );
    }
    if histogram.matchers.iter().any(|(label, ..)| label == "le") {
        problems.add(
            Code::Histogram,
            path,
            "the label le is chosen by the threshold",
            "remove the matcher on le",
        );
    }
}

fn check_age(path: &str, max_age: &str, interval: u32, window_days: u32, problems: &mut Problems) {
    let Some(age) = seconds(max_age) else { return };
    let shortest = SHORTEST_AGE.max(2 * interval);
    if age < shortest || age > window_days.saturating_mul(DAY) {
        problems.add(
            Code::Duration,
            &format!("{path}.freshness.maxAge"),
            format!("{max_age} lies outside what can be measured"),
            format!("give at least {shortest}s (two scrapes, and two minutes) and at most the SLO's window"),
        );
    }
}

/// What a parser made of a text of the schema's pattern. `None` cannot be where the API server has checked the schema;
/// where nobody has, it must not go by in silence.
fn number<T>(path: &str, field: &str, text: &str, parsed: Option<T>, problems: &mut Problems) -> Option<T> {
    if parsed.is_none() {
        problems.add(
            Code::Number,
            &format!("{path}.{field}"),
            format!("{text:?} cannot be read"),
            "see `kubectl explain tp.spec.slos` for its form",
        );
    }
    parsed
}

/// Seconds of a Prometheus duration with one unit.
fn seconds(duration: &str) -> Option<u32> {
    let unit = duration.chars().last()?;
    let number: u32 = duration.strip_suffix(unit)?.parse().ok()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    };
    number.checked_mul(factor)
}

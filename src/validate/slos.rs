//! SLOs of the spec → SLOs that are parsed and can alert. Pure.

use super::problem::{Code, Problems};
use super::validated::{Events, Indicator, Slo, Success};
use crate::burn_rate::{Objective, Severity, all_tiers, tiers};
use crate::profile::{self, SamplingPoint, TelemetryProfileSpec};
use crate::promql::{Selector, SelectorError};

/// Longest scrape interval that the shortest window of the rules, 5 minutes, bears: four samples in each.
const LONGEST_INTERVAL: u32 = 75;
/// Shortest age that a counter's growth can be told in.
const SHORTEST_AGE: u32 = 120;
const DAY: u32 = 24 * 60 * 60;

/// Parses every SLO; what is wrong goes to `problems`.
pub(super) fn validate(spec: &TelemetryProfileSpec, problems: &mut Problems) -> Vec<Slo> {
    let interval = interval_seconds(spec);
    if !spec.slos.is_empty() && interval > LONGEST_INTERVAL {
        problems.add(
            Code::Duration,
            "spec.metrics.interval",
            format!("{} is too long for SLOs, whose shortest window is 5 minutes", spec.metrics.interval),
            "give at most 75s",
        );
    }
    let slos = spec.slos.iter().enumerate();
    slos.filter_map(|(index, slo)| {
        let path = format!("spec.slos[{index}]");
        if slo.operation.is_some() {
            check_spans(&path, spec, problems);
        }
        one(&path, slo, interval, problems)
    })
    .collect()
}

/// The scrape interval in seconds.
pub(super) fn interval_seconds(spec: &TelemetryProfileSpec) -> u32 {
    seconds(&spec.metrics.interval).unwrap_or_default()
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
                cannot_fire(objective, window_days, severity),
                format!("raise the objective, or set alerting.{field} to false"),
            );
        }
    }
    Some(Slo {
        name: slo.name.clone(),
        objective,
        window_days,
        indicator,
        group_by: slo.group_by.clone(),
        page: slo.alerting.page,
        ticket: slo.alerting.ticket,
        labels: slo.alerting.labels.iter().map(|(key, text)| (key.clone(), text.0.clone())).collect(),
        minimum_events: slo.alerting.minimum_events.and_then(|events| u32::try_from(events).ok()),
        absent_after: slo.alerting.absent_after.clone(),
    })
}

/// Why no alert of this severity can fire, in numbers.
fn cannot_fire(objective: Objective, window_days: u32, severity: Severity) -> String {
    let lowest = all_tiers(window_days).into_iter().rfind(|tier| tier.severity == severity);
    let limit = lowest.map_or_else(String::new, |tier| {
        format!(
            ", and the {} tier, the lowest, needs more than {} times, that is {} % of bad events",
            tier.name,
            tier.factor(),
            tier.error_percent(objective)
        )
    });
    format!(
        "with an objective of {} % not even a full outage burns the budget fast enough for a {}: a service that \
         fails every event burns {} times as fast as the budget lasts{limit}",
        objective.percent(),
        severity.as_str(),
        objective.outage_burn_rate()
    )
}

/// The operator counts spans in the collector, before it samples: what the application does not send is not counted.
fn check_spans(path: &str, spec: &TelemetryProfileSpec, problems: &mut Problems) {
    let path = format!("{path}.operation");
    if !spec.traces.enabled {
        problems.add(
            Code::Operation,
            &path,
            "operations are counted from spans, and traces are off",
            "set traces.enabled to true, or give an indicator of the application's own metrics",
        );
    }
    let sampling = &spec.traces.sampling;
    if sampling.at == SamplingPoint::Application && sampling.ratio.parse() != Ok(1.0) {
        problems.add(
            Code::Operation,
            &path,
            format!(
                "the application sends only a share of {} of its traces, so that events would be counted by chance",
                sampling.ratio
            ),
            "set traces.sampling.at to Collector, which counts every span before it samples",
        );
    }
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
        let threshold = latency.threshold.clone();
        return Some(Indicator::Latency { histogram, threshold, kind: latency.kind });
    }
    if let Some(operation) = &slo.operation {
        let (name, threshold) = (operation.name.clone(), operation.threshold.clone());
        return Some(Indicator::Operation { name, threshold });
    }
    let freshness = slo.freshness.as_ref()?;
    let success = match (&freshness.counter, &freshness.timestamp) {
        (Some(text), _) => Success::Counter(selector(&format!("{path}.freshness.counter"), text, problems)?),
        (None, Some(text)) => {
            Success::Timestamp(selector(&format!("{path}.freshness.timestamp"), text, problems)?)
        }
        (None, None) => return None,
    };
    Some(Indicator::Freshness { success, max_age: freshness.max_age.clone() })
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
#[must_use]
pub fn seconds(duration: &str) -> Option<u32> {
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

//! What Prometheus has of the series that a profile needs → one finding. Pure.

use super::conditions::{ConditionType, Finding, Reason};
use super::prometheus::{NOT_ASKED, View};
use crate::health::{Cause, Missing, Report, Sight, needs};
use crate::profile::{ConditionStatus, HistogramType};

const KIND: ConditionType = ConditionType::MetricsPresent;

impl View<'_> {
    /// The condition `MetricsPresent`. `targets` is `ScrapeTargetsUp`.
    pub(super) fn series(&self, targets: &Finding) -> Finding {
        let needs = needs(self.profile);
        if self.profile.metrics.is_none() || needs.is_empty() {
            return Finding::unknown(
                KIND,
                Reason::NotRequested,
                "the profile has no SLOs and no instruments",
            );
        }
        if targets.status != ConditionStatus::True {
            let message = "nothing is looked for until ScrapeTargetsUp is True";
            return Finding::unknown(KIND, targets.reason, message);
        }
        let pending = || self.not_asked_yet(Finding::unknown(KIND, Reason::MetricsPending, NOT_ASKED));
        let health = self.running.health.as_ref();
        match health.and_then(|health| health.series.as_ref()) {
            Some(Sight::Seen { prometheus, seen }) if seen.needs == needs => {
                of_report(&prometheus.name, seen)
            }
            Some(Sight::Unreachable { prometheus, error }) => {
                let message = format!("{} does not answer queries: {error}", prometheus.name);
                Finding::unknown(KIND, Reason::PrometheusUnreachable, message)
            }
            Some(Sight::Nobody(why)) => Finding::unknown(KIND, Reason::NotVerified, why.as_str()),
            // The answer is one to an older profile.
            Some(Sight::Seen { .. } | Sight::Unselected(_)) | None => pending(),
        }
    }
}

fn of_report(prometheus: &str, report: &Report) -> Finding {
    let list = |missing: &[Missing]| missing.iter().map(text).collect::<Vec<_>>().join("; ");
    if report.missing.is_empty() {
        let unused = if report.unused.is_empty() {
            String::new()
        } else {
            format!(
                "; absent so far, which is right as long as there was no such event: {}",
                list(&report.unused)
            )
        };
        let message = format!("{prometheus} has every series that the SLOs and instruments need{unused}");
        return Finding::yes(KIND, Reason::MetricsFound, message);
    }
    let others = match report.others {
        0 => String::new(),
        1 => "; and another".to_owned(),
        more => format!("; and {more} others"),
    };
    let is_bound = |missing: &Missing| matches!(missing.cause, Cause::Bound(..));
    let (reason, next) = if report.missing.iter().all(is_bound) {
        (Reason::ThresholdNotABound, "give a bound as threshold, or the histogram another bucket")
    } else {
        (
            Reason::MetricsMissing,
            "correct the profile, or wait for what comes into being with its first event",
        )
    };
    let message = format!("absent so far in {prometheus}: {}{others}: {next}", list(&report.missing));
    Finding::no(KIND, reason, message)
}

fn text(Missing { need, cause }: &Missing) -> String {
    let what = format!("{} of {}", need.written, need.by);
    let known = |list: &[String]| list.join(", ");
    match cause {
        Cause::Unknown => what,
        Cause::Name(near) if near.is_empty() => format!("{what}: no metric has this name or a similar one"),
        Cause::Name(near) => format!("{what}: no metric has this name; similar are {}", known(near)),
        Cause::OtherType(HistogramType::Native) => {
            format!("{what}: it is a native histogram: set latency.type to Native")
        }
        Cause::OtherType(HistogramType::Classic) => {
            format!("{what}: it is a classic histogram: set latency.type to Classic")
        }
        Cause::Label(label, labels) if labels.is_empty() => {
            format!("{what}: the metric has no label {label}")
        }
        Cause::Label(label, labels) => {
            format!("{what}: the metric has no label {label}; it has {}", known(labels))
        }
        Cause::Value(matcher, values) if values.is_empty() => format!("{what}: {matcher} selects nothing"),
        Cause::Value(matcher, values) => {
            format!("{what}: {matcher} selects nothing; values that the label has: {}", known(values))
        }
        Cause::Together => format!("{what}: no series fits all matchers, though some fit each"),
        Cause::NoBuckets => {
            format!("{what}: it has no buckets (a summary has none): let the application expose a histogram")
        }
        Cause::Bound(threshold, below, above) => {
            let bounds: Vec<_> = below.iter().chain(above).cloned().collect();
            let are = if bounds.len() == 1 { "is" } else { "are" };
            format!(
                "{what}: the threshold {threshold} is no bound of its buckets; the nearest {are} {}",
                bounds.join(" and ")
            )
        }
    }
}

#[cfg(test)]
mod tests;

//! The PromQL of one SLO's recording rules. In: an indicator and the SLO's identity. Out: expressions that give one
//! series without labels. No cluster.

use super::{BAD_EVENTS, ERROR_RATIO, EVENTS};
use crate::promql::Selector;
use crate::validate::{Events, Indicator, Slo, ValidatedProfile};

/// The window of the base records.
const BASE: &str = "5m";

/// Where a window's numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The counters themselves.
    Counters,
    /// Sums over the base records.
    Records,
}

/// The queries of one SLO.
pub struct Queries<'a> {
    profile: &'a ValidatedProfile,
    slo: &'a Slo,
    measure: Measure,
}

/// What the indicator counts, each selector within the profile's namespace.
enum Measure {
    Events {
        total: Selector,
        bad: Bad,
    },
    Freshness {
        /// 1 when the counter has grown lately.
        grown: String,
        /// 1 when it should have.
        expected: String,
    },
}

/// How bad events are counted.
enum Bad {
    /// By a counter of their own.
    Counter(Selector),
    /// As the total without the good ones.
    AllBut(Selector),
    /// As the histogram's count without this bucket.
    Above(Selector),
}

impl<'a> Queries<'a> {
    /// The queries of an SLO of this profile.
    pub fn new(profile: &'a ValidatedProfile, slo: &'a Slo) -> Self {
        let within = |selector: &Selector| selector.clone().in_namespace(&profile.namespace);
        let measure = match &slo.indicator {
            Indicator::Ratio { events, total } => Measure::Events {
                total: within(total),
                bad: match events {
                    Events::Bad(bad) => Bad::Counter(within(bad)),
                    Events::Good(good) => Bad::AllBut(within(good)),
                },
            },
            Indicator::Latency { histogram, threshold } => Measure::Events {
                total: within(&histogram.with_suffix("_count")),
                bad: Bad::Above(bucket(&within(&histogram.with_suffix("_bucket")), threshold)),
            },
            Indicator::Freshness { counter, max_age } => {
                freshness(&within(counter), max_age, &record(profile, slo, EVENTS), slo.window_days)
            }
        };
        Self { profile, slo, measure }
    }

    /// Selects a record of this SLO.
    pub fn record(&self, name: &str) -> Selector {
        record(self.profile, self.slo, name)
    }

    /// All events per second; for freshness 1 while it is measured.
    pub fn events(&self) -> String {
        match &self.measure {
            // Without the threshold's bucket nothing is known of slow events: then no event counts.
            Measure::Events { total, bad: Bad::Above(bucket) } => {
                format!("{} and {}", rate(total, BASE), rate(bucket, BASE))
            }
            Measure::Events { total, .. } => rate(total, BASE),
            Measure::Freshness { grown, expected } => format!("{grown} or {expected}"),
        }
    }

    /// Bad events per second, 0 rather than absent while there are events; for freshness 0 or 1.
    pub fn bad_events(&self) -> String {
        match &self.measure {
            Measure::Events { total, bad } => format!("{} and {}", bad.rate(total, BASE), rate(total, BASE)),
            Measure::Freshness { grown, expected } => format!("0 * {grown} or {expected}"),
        }
    }

    /// The share of bad events in a window; absent without events.
    pub fn error_ratio(&self, window: &str, source: Source) -> String {
        match (&self.measure, source) {
            (Measure::Events { total, bad }, Source::Counters) => {
                format!("{} / ({} > 0)", bad.rate(total, window), rate(total, window))
            }
            _ => {
                let sum = |record| format!("sum(sum_over_time({}[{window}]))", self.record(record));
                format!("{} / ({} > 0)", sum(BAD_EVENTS), sum(EVENTS))
            }
        }
    }

    /// The burn rate of a window; absent without events.
    pub fn burn_rate(&self, window: &str, source: Source) -> String {
        format!("{} / {}", self.error_ratio(window, source), self.slo.objective.budget_ratio())
    }

    /// The unspent share of the period's budget: all of it when there were no events.
    pub fn budget_remaining(&self, period: &str) -> String {
        format!(
            "1 - sum({}) / {} or 1 + 0 * sum(sum_over_time({}[{period}]))",
            self.record(ERROR_RATIO),
            self.slo.objective.budget_ratio(),
            self.record(EVENTS)
        )
    }
}

impl Bad {
    /// Bad events per second. A counter of good or bad events that does not exist has counted none: many come into
    /// being with their first event. Two rates are extrapolated each for itself, and their difference can be a little
    /// less than nothing, hence the clamps.
    fn rate(&self, total: &Selector, window: &str) -> String {
        match self {
            Self::Counter(bad) => format!("({} or vector(0))", rate(bad, window)),
            Self::AllBut(good) => {
                format!("clamp_min({} - ({} or vector(0)), 0)", rate(total, window), rate(good, window))
            }
            Self::Above(bucket) => {
                format!("clamp_min({} - {}, 0)", rate(total, window), rate(bucket, window))
            }
        }
    }
}

/// Rates first, then their sum: a sum of counters would fall when a pod goes.
fn rate(selector: &Selector, window: &str) -> String {
    format!("sum(rate({selector}[{window}]))")
}

/// Selects a record of an SLO. Not by the label `service`: a service with a new name keeps its history.
fn record(profile: &ValidatedProfile, slo: &Slo, name: &str) -> Selector {
    Selector::new(name)
        .in_namespace(&profile.namespace)
        .with_matcher("telemetry_profile", "=", &*profile.name)
        .with_matcher("slo", "=", &*slo.name)
}

/// The bucket up to a threshold. Exporters and versions of Prometheus spell the same bound in different ways.
fn bucket(buckets: &Selector, threshold: &str) -> Selector {
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

/// Freshness has grown while the counter has, or while a series of it is new and above 0: the process of a job may
/// create its counter with the first success. It is expected once the counter has been there longer than its highest
/// age, and from then on for good, whether the counter is still there or not; a counter that was never seen, or only
/// just, counts neither way.
fn freshness(counter: &Selector, max_age: &str, events: &Selector, window_days: u32) -> Measure {
    let before = format!("last_over_time({counter}[{max_age}] offset {max_age})");
    Measure::Freshness {
        grown: format!(
            "group(increase({counter}[{max_age}]) > 0 or (last_over_time({counter}[{max_age}]) > 0 unless {before}))"
        ),
        expected: format!("group({before} or last_over_time({events}[{window_days}d]))"),
    }
}

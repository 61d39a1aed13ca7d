//! The PromQL of one SLO's recording rules. In: an indicator and the SLO's identity. Out: expressions that give one
//! series for each group, with the labels of `groupBy` and no others. No cluster.

use super::counter::{self, Sample};
use super::{
    BAD_EVENTS, ERROR_RATIO, EVENTS, PERIOD_BAD_EVENTS, PERIOD_EVENTS, Window, bucket, burn_rate_of, spans,
};
use crate::plan::pipeline::{SPAN_FAILED, SPAN_METRICS_CALLS, SPAN_METRICS_DURATION};
use crate::profile::HistogramType;
use crate::promql::Selector;
use crate::validate::{Events, Indicator, Slo, Success, ValidatedProfile};

/// The queries of one SLO.
pub struct Queries<'a> {
    profile: &'a ValidatedProfile,
    slo: &'a Slo,
    /// Seconds from one evaluation to the next.
    interval: u32,
}

/// What the indicator counts.
pub enum Measure {
    /// All events, and those of them that are good or bad, each by counters.
    Counters {
        /// Selects the counters of all events.
        total: Selector,
        /// Selects the counters of those that are good or bad.
        part: Selector,
        /// Which of both.
        part_is_good: bool,
    },
    /// Observations of a native histogram, of which those up to a threshold are good.
    Native {
        /// Selects the histograms.
        histogram: Selector,
        /// A decimal.
        threshold: String,
    },
    /// Time in which a job's last success is recent.
    Freshness {
        /// Selects what tells of a success.
        success: Selector,
        /// An expression that is there when it is.
        recent: String,
        /// An expression that is there when there should have been one.
        expected: String,
    },
}

impl<'a> Queries<'a> {
    /// The queries of an SLO of this profile, evaluated every `interval` seconds.
    pub const fn new(profile: &'a ValidatedProfile, slo: &'a Slo, interval: u32) -> Self {
        Self { profile, slo, interval }
    }

    /// Selects a record of this SLO.
    pub fn record(&self, name: &str) -> Selector {
        super::record(self.profile, self.slo, name)
    }

    /// Events since the evaluation before; for freshness 1 while it is measured.
    pub fn events(&self) -> String {
        match self.measure() {
            Measure::Counters { total, part, .. } => {
                let events = self.over_groups("sum", &self.increase(&total, &total, Sample::Float));
                if !self.is_classic_latency() {
                    return events;
                }
                // Without the threshold's bucket nothing is known of slow events: then no event counts.
                let bucket = counter::latest(&part, self.interval);
                format!("{events} and {}", self.over_groups("group", &bucket))
            }
            Measure::Native { histogram, .. } => {
                let observations = self.increase(&histogram, &histogram, Sample::Histogram);
                format!("histogram_count({})", self.over_groups("sum", &observations))
            }
            Measure::Freshness { recent, expected, .. } => self.either(&recent, &expected),
        }
    }

    /// Bad events since the evaluation before, 0 rather than absent while there are events, and never more than these.
    pub fn bad_events(&self) -> String {
        let all = self.over_groups("max", &self.record(EVENTS).to_string());
        let (counted, counts_good) = match self.measure() {
            Measure::Counters { total, part, part_is_good } => {
                let increase = self.increase(&part, &total, Sample::Float);
                (self.over_groups("sum", &increase), part_is_good)
            }
            Measure::Native { histogram, threshold } => {
                let observations = self.increase(&histogram, &histogram, Sample::Histogram);
                let observations = self.over_groups("sum", &observations);
                // The share of nothing is NaN, and a comparison drops it.
                (format!("histogram_fraction(0, {threshold}, {observations}) * {all} >= 0"), true)
            }
            Measure::Freshness { recent, expected, .. } => {
                return format!("0 * {}", self.either(&recent, &expected));
            }
        };
        // A counter of good or bad events that does not exist has counted none: many come into being with their first
        // event.
        let part = format!("({counted} or 0 * {all}) <= {all} or {all}");
        if counts_good { format!("{all} - ({part})") } else { part }
    }

    /// The burn rate of a window; absent without events. With a least number of events, longer windows stand in for one that
    /// holds fewer; the longest has none, and there two bad events are enough.
    pub fn burn_rate(&self, window: &Window) -> String {
        let budget = self.slo.objective.budget_ratio();
        let (bad, all) = (self.sum(BAD_EVENTS, window.length), self.sum(EVENTS, window.length));
        let Some(least) = window.at_least(self.slo) else {
            return format!("{bad} / ({all} > 0) / {budget}");
        };
        let judged = window.lengths().map(|length| {
            format!("{} / ({} >= {least}) / {budget}", self.sum(BAD_EVENTS, length), self.sum(EVENTS, length))
        });
        let last = match window.wider.and_then(burn_rate_of) {
            Some(record) => self.over_groups("max", &self.record(record).to_string()),
            None => format!("({bad} >= 2) / ({all} > 0) / {budget}"),
        };
        judged.chain([last]).collect::<Vec<_>>().join(" or ")
    }

    /// Events, or bad ones, of a window.
    pub fn sum(&self, record: &str, window: &str) -> String {
        self.over_groups("sum", &format!("sum_over_time({}[{window}])", self.record(record)))
    }

    /// The share of bad events in the period; absent without events.
    pub fn error_ratio(&self) -> String {
        format!("{} / ({} > 0)", self.record(PERIOD_BAD_EVENTS), self.record(PERIOD_EVENTS))
    }

    /// The unspent share of the period's budget: all of it when there were no events.
    pub fn budget_remaining(&self) -> String {
        format!(
            "1 - {} / {} or 1 + 0 * {}",
            self.record(ERROR_RATIO),
            self.slo.objective.budget_ratio(),
            self.record(PERIOD_EVENTS)
        )
    }

    /// True where this SLO was measured in the older half of a window that is twice as long.
    pub fn is_known_for(&self, half: &str) -> String {
        let older = format!("present_over_time({}[{half}] offset {half})", self.record(EVENTS));
        let labels = self.slo.group_by.join(", ");
        format!("and on ({labels}) {}", self.over_groups("group", &older))
    }

    /// The series without which the SLO has no data, each as a selector within the profile's namespace.
    pub fn needed(&self) -> Vec<Selector> {
        match self.measure() {
            Measure::Counters { total, part, .. } if self.is_classic_latency() => vec![total, part],
            Measure::Counters { total, .. } => vec![total],
            Measure::Native { histogram, .. } => vec![histogram],
            Measure::Freshness { success, .. } => vec![success],
        }
    }

    /// What is counted, within the profile's namespace.
    pub fn measure(&self) -> Measure {
        let counters = |total, part, part_is_good| Measure::Counters { total, part, part_is_good };
        let latency = |histogram: Selector, threshold: &str| {
            let part = bucket(&histogram.with_suffix("_bucket"), threshold);
            counters(histogram.with_suffix("_count"), part, true)
        };
        match &self.slo.indicator {
            Indicator::Ratio { events: Events::Good(good), total } => {
                counters(self.within(total), self.within(good), true)
            }
            Indicator::Ratio { events: Events::Bad(bad), total } => {
                counters(self.within(total), self.within(bad), false)
            }
            Indicator::Latency { histogram, threshold, kind: HistogramType::Classic } => {
                latency(self.within(histogram), threshold)
            }
            Indicator::Latency { histogram, threshold, kind: HistogramType::Native } => {
                Measure::Native { histogram: self.within(histogram), threshold: threshold.clone() }
            }
            Indicator::Operation { name, threshold: None } => {
                let total = self.spans(SPAN_METRICS_CALLS, name);
                let bad = total.clone().with_matcher("status_code", "=", SPAN_FAILED);
                counters(total, bad, false)
            }
            Indicator::Operation { name, threshold: Some(threshold) } => {
                latency(self.spans(SPAN_METRICS_DURATION, name), threshold)
            }
            Indicator::Freshness { success, max_age } => self.freshness(success, max_age),
        }
    }

    fn increase(&self, series: &Selector, total: &Selector, sample: Sample) -> String {
        counter::increase(series, total, sample, self.interval)
    }

    fn either(&self, recent: &str, expected: &str) -> String {
        format!("{} or {}", self.over_groups("group", recent), self.over_groups("group", expected))
    }

    const fn is_classic_latency(&self) -> bool {
        matches!(
            self.slo.indicator,
            Indicator::Latency { kind: HistogramType::Classic, .. }
                | Indicator::Operation { threshold: Some(_), .. }
        )
    }

    /// A counter is recent while it grows, or while a series of it is new and above 0: the process of a job may create its
    /// counter with the first success. A success is expected once the series has been there longer than its highest age, and
    /// from then on for good, whether it is still there or not; a series that was never seen, or only just, counts neither way.
    fn freshness(&self, success: &Success, max_age: &str) -> Measure {
        let measured = format!("last_over_time({}[{}d])", self.record(EVENTS), self.slo.window_days);
        let (Success::Counter(series) | Success::Timestamp(series)) = success;
        let series = self.within(series);
        let last = format!("last_over_time({series}[{max_age}])");
        let (recent, expected) = match success {
            Success::Counter(_) => {
                let before = format!("last_over_time({series}[{max_age}] offset {max_age})");
                let recent = format!("increase({series}[{max_age}]) > 0 or ({last} > 0 unless {before})");
                (recent, before)
            }
            Success::Timestamp(_) => {
                let age = super::seconds(max_age).unwrap_or_default();
                (format!("{last} > time() - {age}"), last)
            }
        };
        Measure::Freshness { success: series, recent, expected: format!("{expected} or {measured}") }
    }

    fn within(&self, selector: &Selector) -> Selector {
        selector.clone().in_namespace(&self.profile.namespace)
    }

    fn spans(&self, metric: &str, name: &str) -> Selector {
        spans(self.within(&Selector::new(metric)), self.profile, name)
    }

    fn over_groups(&self, aggregation: &str, expression: &str) -> String {
        if self.slo.group_by.is_empty() {
            return format!("{aggregation}({expression})");
        }
        format!("{aggregation} by ({}) ({expression})", self.slo.group_by.join(", "))
    }
}

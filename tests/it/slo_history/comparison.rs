//! Prometheus against the reference, number by number and alert by alert. In: what the rules gave, and the history. Out: how
//! much was compared, what fired, and each disagreement.

use std::collections::BTreeSet;
use std::ops::Range;

use super::clock::{HOUR, STEPS, at};
use super::replay::Outcomes;
use super::simulator::History;

/// Largest difference: relative, and for the remaining budget absolute. The rules sum whole numbers, so that only rounding is
/// left.
const TOLERANCE: f64 = 1e-9;
/// Records of the burn rates and their windows in minutes.
const BURN_RATES: [(&str, i64); 7] = [
    ("slo:burn_rate:5m", 5),
    ("slo:burn_rate:30m", 30),
    ("slo:burn_rate:1h", 60),
    ("slo:burn_rate:2h", 120),
    ("slo:burn_rate:6h", 360),
    ("slo:burn_rate:1d", 1440),
    ("slo:burn_rate:3d", 4320),
];

/// The comparison of one SLO.
#[derive(Default)]
pub struct Comparison {
    /// Numbers that were there on both sides.
    pub numbers: usize,
    /// Steps at which an alert was compared, and those too near to its limit.
    pub alerts: usize,
    pub undecided: usize,
    /// The tiers that fired at some step.
    pub fired: BTreeSet<&'static str>,
    pub faults: Vec<String>,
}

impl Comparison {
    /// The records and alerts of each step in which Prometheus ran, for one of the SLO's groups.
    pub fn burn_rates(&mut self, outcomes: &Outcomes, route: &str, history: &History, down: &Range<usize>) {
        let steps = || (0..STEPS).filter(|step| !down.contains(step));
        for (record, minutes) in BURN_RATES {
            let expected = |step| history.burn_rate(at(step), minutes);
            self.record((record, route), outcomes, steps().map(|step| (step, expected(step))));
        }
        let played = outcomes.keys().map(String::as_str).filter(|name| !name.starts_with("slo:"));
        let wanted = history.tiers().map(|(tier, _)| tier.name);
        assert_eq!(played.collect::<BTreeSet<_>>(), wanted.collect(), "the tiers that have an alert");
        for tier in history.tiers() {
            let name = tier.0.name;
            let values = &outcomes[name].get(route);
            for step in steps() {
                let Some(expected) = history.fires(tier, at(step)) else {
                    self.undecided += 1;
                    continue;
                };
                self.alerts += 1;
                let fires = values.is_some_and(|values| values[step].is_some());
                if fires {
                    self.fired.insert(name);
                }
                if fires != expected {
                    self.faults.push(format!("{name} {route} at step {step}: {fires} instead of {expected}"));
                }
            }
        }
    }

    /// The records of the period at each hour.
    pub fn period(&mut self, outcomes: &Outcomes, route: &str, history: &History, down: &Range<usize>) {
        type Number = fn(&History, i64) -> Option<f64>;
        let records: [(&str, Number); 4] = [
            ("slo:events:period", |history, time| history.period(time).measured(|period| period.events)),
            ("slo:bad_events:period", |history, time| history.period(time).measured(|period| period.bad)),
            ("slo:error_ratio:period", |history, time| history.period(time).error_ratio()),
            ("slo:error_budget_remaining:ratio", History::budget_remaining),
        ];
        for (record, number) in records {
            let steps = (0..STEPS).step_by(HOUR).filter(|step| !down.contains(step));
            let expected = steps.map(|step| (step, number(history, at(step))));
            self.record((record, route), outcomes, expected);
        }
    }

    fn record(
        &mut self,
        (record, route): (&str, &str),
        outcomes: &Outcomes,
        expected: impl Iterator<Item = (usize, Option<f64>)>,
    ) {
        let values = outcomes[record].get(route);
        for (step, expected) in expected {
            let value = values.and_then(|values| values[step]);
            let scale = if record.contains("remaining") { 1.0 } else { expected.unwrap_or(1.0).max(1e-12) };
            let agree = match (expected, value) {
                (Some(expected), Some(value)) => (expected - value).abs() <= TOLERANCE * scale,
                (expected, value) => expected.is_none() && value.is_none(),
            };
            self.numbers += usize::from(value.is_some());
            if !agree {
                self.faults
                    .push(format!("{record} {route} at step {step}: {value:?} instead of {expected:?}"));
            }
        }
    }
}

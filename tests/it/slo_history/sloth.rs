//! The remaining budget as Sloth computes it: the average of recorded ratios of five minutes. In: a scenario. Out: the share at
//! the end of the history, for the numbers in docs/slos.md.

use testbed::remote_write::Labels;

use super::clock::HOUR;
use super::scenarios::Scenario;
use super::simulator::float;
use super::store::Store;

/// Sloth's record of the error ratio.
const RATIO: &str = "slo:sli_error:ratio_rate5m";

pub fn budget_remaining(store: &Store, scenario: &Scenario) -> f64 {
    let total = format!("{}_total", scenario.metric());
    let ratio = format!("sum(rate({total}{{code=\"500\"}}[5m])) / sum(rate({total}[5m]))");
    for values in store.evaluate(&ratio, 1).values() {
        let labels = [("__name__", RATIO), ("sloth_slo", scenario.name)];
        let labels: Labels =
            labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        store.record(labels, values, 1);
    }
    let (record, days) = (format!("{RATIO}{{sloth_slo=\"{}\"}}", scenario.name), scenario.days);
    let average = format!("sum_over_time({record}[{days}d]) / count_over_time({record}[{days}d])");
    let found = store.evaluate(&average, HOUR);
    let last = found.values().next().expect("a ratio").iter().rev().find_map(|value| *value);
    1.0 - last.expect("a ratio") * 1e6 / float(scenario.budget())
}
